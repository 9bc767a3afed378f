/* cli/jwt_text.h - looks into a token without believing it: what it says, not whether it is true. */
#ifndef SYMBOLON_CLI_JWT_TEXT_H
#define SYMBOLON_CLI_JWT_TEXT_H

#include "base/span.h"
#include "base/status.h"
#include "codec/json.h"

#define JWT_TEXT_MAX 65536

enum jwt_shape { JWT_SIGNED, JWT_ENCRYPTED, JWT_OPAQUE, CWT_SIGNED, CWT_MACED, CWT_ENCRYPTED };

struct jwt_look {
    enum jwt_shape shape;
    struct js *header; /* NULL for JWT_OPAQUE */
    /* JWT_SIGNED, CWT_SIGNED, CWT_MACED; "scope" is decoded to an AIF array where possible. A CWT's are written as JSON,
     * by the names that JWT has for them. */
    struct js *claims;
};

/* A JWT is text; a CWT may be its bytes, or base64url of them as JSON has it. JWT_OPAQUE for anything else. */
enum status jwt_look(struct span token, struct jwt_look *out, struct why *why) MUST_CHECK;
void jwt_look_done(struct jwt_look *look);

#endif
