/* as/admin_login.h - the admin credential: what a caller of the admin socket shows who is neither root nor the user we
 * run as. 32 random bytes as base64url text, made by `symbolon-as init`; of it we keep the SHA-256 alone.
 * Threads: one. */
#ifndef SYMBOLON_AS_ADMIN_LOGIN_H
#define SYMBOLON_AS_ADMIN_LOGIN_H

#include "as/throttle.h"
#include "base/status.h"
#include "crypto/hash.h"

#define ADMIN_CREDENTIAL_BYTES 32

struct admin_login {
    bool possible; /* there is a credential */
    uint8_t hash[SHA256_LEN];
    uint32_t failures_per_minute; /* of one caller */
    struct throttle throttle;
};

/* `text`: what the credential's file holds, a newline at its end allowed; empty: nobody can log in. */
enum status admin_login_init(struct admin_login *login, struct span text, int64_t failures_per_minute,
                             struct why *why) MUST_CHECK;

/* A caller's first line. ST_OK: it logs in with the credential. ST_DENIED: it is no login. ST_MALFORMED,
 * ST_BAD_CREDENTIAL: one that is wrong. ST_QUOTA: `who` was wrong too often in the last minute. */
enum status admin_login_try(struct admin_login *login, struct span line, struct span who, struct mono_time now,
                            struct why *why) MUST_CHECK;

#endif
