/* as/signer.h - who signs tokens: an interface, so that the key can move into a process or token of its own with
 * nothing else in it.
 * The one here keeps Ed25519 keys as PEM files (mode 0600) in a folder of the state directory, and their ages in
 * the database. One key is current; retired ones stay in the JWKS until the last token signed with them is over.
 * Ownership: signer_free(NULL) does nothing. Threads: one. */
#ifndef SYMBOLON_AS_SIGNER_H
#define SYMBOLON_AS_SIGNER_H

#include "base/buf.h"
#include "base/clock.h"
#include "codec/json.h"
#include "store/sql.h"
#include "token/claims.h"

#define SIGNER_KID_MAX 64

struct signer_key {
    char kid[SIGNER_KID_MAX]; /* RFC 7638 thumbprint */
    int64_t created_at;
    bool current;
    int64_t keep_until; /* Unix time; of retired ones */
};

struct signer;

/* What is around the claims. */
struct signer_wrap {
    bool cwt;                 /* COSE_Sign1 instead of a compact JWS */
    const struct key *shared; /* not NULL: encrypted under this, outside */
    struct span shared_kid;
};

struct signer_ops {
    /* Appends a token over these claims by the current key. */
    enum status (*issue)(struct signer *signer, const struct token_claims *claims,
                         const struct signer_wrap *wrap, struct buf *out, struct why *why);
    /* The public keys in force as a JWK Set (RFC 7517 5). */
    enum status (*jwks)(struct signer *signer, struct js **ret_jwks, struct why *why);
    /* True if `key` is one of ours: it must not become a PoP key (TK-58). */
    bool (*owns)(struct signer *signer, const struct key *key);
    /* fn for each key, the current one first. */
    enum status (*each)(struct signer *signer, enum status (*fn)(void *ctx, const struct signer_key *key),
                        void *ctx);
    /* Inside the caller's transaction: a new current key; the old one is kept in the JWKS until `keep_until`. */
    enum status (*rotate)(struct signer *signer, struct wall_time now, struct wall_time keep_until,
                          struct signer_key *ret_key, struct why *why);
    /* Reads the keys again: after the transaction of a rotate() was rolled back. */
    enum status (*reload)(struct signer *signer, struct wall_time now, struct why *why);
    /* Forgets retired keys whose time is over. */
    enum status (*purge)(struct signer *signer, struct wall_time now, struct why *why);
    void (*free)(struct signer *signer);
};

struct signer {
    const struct signer_ops *ops;
};

/* What issue() does, for signers that have the key at hand. */
enum status signer_issue_with(const struct key *key, struct span kid, const struct token_claims *claims,
                              const struct signer_wrap *wrap, struct buf *out, struct why *why) MUST_CHECK;

/* Keys in `folder` (made if absent, 0700); the first key is made on the first start. `sql` is lent and has its
 * tables. */
enum status signer_local_new(const char *folder, struct sql *sql, struct wall_time now,
                             struct signer **ret_signer, struct why *why) MUST_CHECK;
void signer_free(struct signer *signer);
void signer_freep(struct signer **signer);

#endif
