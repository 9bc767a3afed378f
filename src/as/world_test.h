/* as/world_test.h - an authorization server in memory for tests: a database that can be made to fail, a signer that is
 * a test double, a clock whose hands the test turns. Everything aborts the test that goes wrong inside. */
#ifndef SYMBOLON_AS_WORLD_TEST_H
#define SYMBOLON_AS_WORLD_TEST_H

#include "as/as.h"
#include "codec/json.h"
#include "crypto/key.h"

#define WORLD_ISSUER "https://as.test:8443"
#define WORLD_START  1800000000

struct world {
    struct sql *sql; /* sql_fail_at() works on it */
    struct signer *signer;
    struct key *signing_key;
    struct key *pop_master;
    struct as_settings settings;
    struct as *as;
    struct now now;
    /* Of the last request: */
    int code;
    bool challenge;
    int64_t retry_after_s;
    struct js *answer; /* NULL: no JSON body */
    char content_type[64];
    char etag[AS_ETAG_MAX];
    int64_t waited_s;
    struct as_wait wait; /* wait_s > 0: it was not answered; world_wait_answer() does */
    uint8_t raw[4096];   /* the body, as far as it fits */
    size_t raw_len;
    const char *accept, *prefer, *if_none_match; /* for the next requests, until changed; may be NULL */
    struct span authorization;
    struct span cert_der;
    struct span peer;
};

struct world *world_new(void);
void world_free(struct world *w);
void world_freep(struct world **w);
void world_pass(struct world *w, int64_t seconds);

/* A command that must be answered "ok"; the answer lives until the world's next one. */
const struct js *world_admin(struct world *w, const char *line);
/* A command that must be refused with this status name. */
void world_admin_refused(struct world *w, const char *line, const char *error);

/* The answer's body, or NULL; w->code. `body` is JSON unless it does not start with '{': then a form. */
const struct js *world_post(struct world *w, const char *path, const char *body);
const struct js *world_get(struct world *w, const char *path); /* may have a query, without escapes */
const struct js *world_wait_answer(struct world *w);

/* Text formatted into a heap string that lives as long as the world. */
const char *world_text(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A member of an answer as such a string; aborts the test if it is not there. */
const char *world_str(struct world *w, const struct js *obj, const char *name);
/* A public key as JWK text. */
const char *world_jwk(struct world *w, const struct key *key);
/* What assertion_sign() makes at the world's time; NULL for absent names. */
const char *world_assertion(struct world *w, const struct key *key, const char *typ, const char *client_id,
                            const char *aud, const char *jti);

#endif
