/* bench/mint.h - tokens of our own making, signed with a key that the broker trusts (--key, --issuer, --audience). */
#ifndef SYMBOLON_BENCH_MINT_H
#define SYMBOLON_BENCH_MINT_H

#include "crypto/key.h"
#include "scope/scope.h"

struct mint {
    const char *issuer, *audience;
    struct key *key;
    struct scope *scope;
    uint64_t serial;
};

/* Dies without a private key in `key_file`. The texts stay the caller's; `scope` is AIF, of every token. */
void mint_init(struct mint *mint, const char *key_file, const char *issuer, const char *audience,
               const char *scope);
/* A text of its own, to be freed; bound to `cnf`, of client number `client`. */
struct span mint_token(struct mint *mint, const struct key *cnf, size_t client, int64_t exp_s);
void mint_done(struct mint *mint);

#endif
