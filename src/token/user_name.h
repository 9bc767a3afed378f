/* token/user_name.h - the token in the user name of a CONNECT of MQTT 3.1.1 (RFC 9431 6.1; MT-122, D-18). After "ace"
 *
 *   RFC 9431   base64url without padding, always
 *   draft-06   the token as it is if that is UTF-8, else in Base64
 *
 * and nothing says which. The alphabets tell them apart: a "." stands only in a JWT as it is; "+", "/", "=" make it
 * Base64; what is base64url alone is decoded, unless no token comes out, when it is a reference as it is. So a client of
 * draft-06 is misread only if its opaque reference happens to be the base64url of something that looks like a token.
 * No state, so any thread. */
#ifndef SYMBOLON_TOKEN_USER_NAME_H
#define SYMBOLON_TOKEN_USER_NAME_H

#include "base/buf.h"

bool user_name_is_ace(struct span user_name);

/* Appends the token. `user_name` is MQTT text, user_name_is_ace(). ST_DENIED: nothing behind "ace" (MT-125).
 * ST_NO_MEMORY, ST_TOO_LARGE: of `out`. */
enum status user_name_token(struct span user_name, struct buf *out, struct why *why) MUST_CHECK;

#endif
