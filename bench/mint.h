/* bench/mint.h - tokens of our own making, signed with a key that the broker trusts (--key, --issuer, --audience). */
#ifndef SYMBOLON_BENCH_MINT_H
#define SYMBOLON_BENCH_MINT_H

#include "scope/scope.h"
#include "token_bench.h"

struct mint {
    const struct options *options;
    struct key *key;
    struct scope *scope;
    uint64_t serial;
};

void mint_init(struct mint *mint, const struct options *options);
/* A text of its own, to be freed; bound to `cnf`, for bench/#. */
struct span mint_token(struct mint *mint, const struct key *cnf, size_t client, int64_t exp_s);
void mint_done(struct mint *mint);

#endif
