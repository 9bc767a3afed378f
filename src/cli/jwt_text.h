/* cli/jwt_text.h - looks into a token without believing it: what it says, not whether it is true. */
#ifndef SYMBOLON_CLI_JWT_TEXT_H
#define SYMBOLON_CLI_JWT_TEXT_H

#include "base/span.h"
#include "base/status.h"
#include "codec/json.h"

#define JWT_TEXT_MAX 65536

enum jwt_shape { JWT_SIGNED, JWT_ENCRYPTED, JWT_OPAQUE };

struct jwt_look {
    enum jwt_shape shape;
    struct js *header; /* NULL for JWT_OPAQUE */
    struct js *claims; /* JWT_SIGNED only; its "scope" is decoded to an AIF array where possible */
};

/* JWT_OPAQUE for anything that is not made of three or five parts of base64url with a JSON header. */
enum status jwt_look(struct span token, struct jwt_look *out, struct why *why) MUST_CHECK;
void jwt_look_done(struct jwt_look *look);

#endif
