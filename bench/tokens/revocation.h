/* bench/revocation.h - the command that ends a token: token.revoke, over the authorization server's admin socket. */
#ifndef SYMBOLON_BENCH_REVOCATION_H
#define SYMBOLON_BENCH_REVOCATION_H

#include "token_bench.h"

struct admin;

struct admin *admin_open(const char *path);
void admin_revoke(struct admin *admin, struct span token); /* sends the command */
bool admin_revoked(struct admin *admin, bool wait);        /* true once it is answered, with success */
void admin_close(struct admin *admin);

#endif
