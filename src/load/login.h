/* load/login.h - who many clients are: one user name and password, or as many tokens as there are, each with the key it
 * is bound to; the n-th client takes the n-th, round. */
#ifndef SYMBOLON_LOAD_LOGIN_H
#define SYMBOLON_LOAD_LOGIN_H

#include "crypto/key.h"

struct login {
    const char *user, *password; /* NULL: none. Lent */
    struct identity {
        struct span token; /* a heap block of the login's */
        struct key *key;   /* a reference of the login's */
    } * identities;
    size_t count;
};

/* A copy of the token, a reference of its own to the key. */
enum status login_add(struct login *login, struct span token, const struct key *key) MUST_CHECK;
/* Lines "token kind hex": the token as an authorization server says it in JSON (a CWT is presented as its bytes); kind is oct, Ed25519 or P-256; hex the secret or private scalar. */
enum status login_read_tokens(struct login *login, const char *file, struct why *why) MUST_CHECK;
void login_done(struct login *login);

#endif
