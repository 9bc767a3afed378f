/* shard/fixture_test.h - for the tests of the token store and its journal: two authorization servers, their tokens, a
 * store, and a clock whose hands the test turns. Everything aborts the test that goes wrong inside. */
#ifndef SYMBOLON_SHARD_FIXTURE_TEST_H
#define SYMBOLON_SHARD_FIXTURE_TEST_H

#include "shard/token_store.h"
#include "token/verifier.h"

#define ISS  "https://as.example"
#define ISS2 "https://second.example"
#define WALL 1800000000 /* where the calendar starts */

struct fixture {
    struct key *as[2];
    struct key *shared;
    struct verifier *verifier;
    struct token_store_limits limits;
    struct token_store *store;
    struct now now;
};

/* A broker with a clock, or one without that asks for cnonces. */
struct fixture fixture_begin(void);
struct fixture fixture_begin_with(bool no_clock);
void fixture_end(struct fixture *f);
/* In place of the former one, with the limits as they are now. */
void fixture_new_store(struct fixture *f);
void fixture_pass(struct fixture *f, int64_t s);

/* What a token shall be like; what is 0 is as usual. */
struct wish {
    const struct key *key; /* NULL: a new one */
    const char *kid;
    int64_t life_s, exi_s;
    uint64_t sequence;
    unsigned issuer;
    struct span cnonce;
    bool secret;
    bool cwt;
    int64_t iat_back_s; /* iat so far in the past */
    const char *scope;
};

/* Issued and verified; one reference. */
struct token *fixture_token(struct fixture *f, struct wish wish);
/* Refused ones by this clause, unless it is NULL. */
enum status fixture_accept(struct fixture *f, const struct token *token, const char *clause);

#endif
