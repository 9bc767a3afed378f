/* as/registry.h - who is known here: clients, their groups, and resource servers.
 * Both authenticate alike (client_auth.h), so both are principals of one name space.
 * Ownership: what is read lives in the caller's arena. Failure: ST_NOT_FOUND, ST_EXISTS, ST_IO. Threads: one. */
#ifndef SYMBOLON_AS_REGISTRY_H
#define SYMBOLON_AS_REGISTRY_H

#include "base/arena.h"
#include "base/clock.h"
#include "codec/json.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "store/sql.h"

enum principal_kind { PRINCIPAL_CLIENT, PRINCIPAL_RS };

struct principal {
    enum principal_kind kind;
    struct span id;
    struct span name;
    struct span secret_hash; /* SHA-256 of the secret's text; empty: has none */
    struct span jwk;         /* public key as JWK text; empty: none */
    struct span x5t;         /* SHA-256 of the certificate (RFC 8705); empty: none */
    struct span default_audience;
    unsigned profiles; /* IN(number) of the ACE profiles it speaks; 0: any (clients) */
    bool refresh;      /* its tokens come with a refresh token */
    int64_t created_at;
};

enum rs_format { RS_JWT, RS_CWT, RS_REFERENCE };
const char *rs_format_name(int64_t format);

/* What keeps a self-contained token whole, and its symmetric key secret. */
enum rs_protection {
    RS_AUTO,      /* signed; with a symmetric key encrypted */
    RS_SIGNED,    /* by our key, always: no symmetric keys */
    RS_ENCRYPTED, /* under the key we share, always */
    RS_NESTED,    /* signed, then encrypted */
};
const char *rs_protection_name(int64_t protection);

/* What it can have a proof of possession made with (AF-52). */
enum pop_kind { POP_EDDSA, POP_ES256, POP_SYMMETRIC, POP_X5T, POP_KINDS };
const char *pop_kind_name(int64_t kind); /* "EdDSA", "ES256", "symmetric", "x5t" */
#define POP_KINDS_ALL (IN(POP_KINDS) - 1)

struct resource_server {
    struct span id;
    struct span audience;
    enum rs_format format;
    enum rs_protection protection;
    unsigned pop_keys; /* IN(POP_EDDSA), ... */
    unsigned profiles; /* IN(number), at least one */
    bool refresh;      /* tokens for it come with a refresh token */
    int64_t lifetime_s;
    bool exi;               /* life counts from first receipt (AF-75) */
    struct span secret_key; /* AS-RS key, 32 bytes; empty: none */
    struct span secret_kid;
    struct span rs_jwk; /* rs_cnf (AF-44) */
    struct span rs_x5t;
};

enum status registry_principal(struct sql *sql, struct span id, struct arena *arena, struct principal *ret,
                               struct why *why) MUST_CHECK;
enum status registry_client(struct sql *sql, struct span id, struct arena *arena, struct principal *ret,
                            struct why *why) MUST_CHECK;
enum status registry_rs(struct sql *sql, struct span id, struct arena *arena, struct resource_server *ret,
                        struct why *why) MUST_CHECK;
enum status registry_rs_by_audience(struct sql *sql, struct span audience, struct arena *arena,
                                    struct resource_server *ret, struct why *why) MUST_CHECK;
/* The only resource server there is, for requests without an audience; ST_NOT_FOUND if there are more or none. */
enum status registry_rs_only(struct sql *sql, struct arena *arena, struct resource_server *ret,
                             struct why *why) MUST_CHECK;

/* Inside the caller's transaction. */
enum status registry_add_principal(struct sql *sql, const struct principal *p, struct why *why) MUST_CHECK;
enum status registry_set_principal(struct sql *sql, const struct principal *p, struct why *why) MUST_CHECK;
enum status registry_add_rs(struct sql *sql, const struct resource_server *rs, struct why *why) MUST_CHECK;
enum status registry_set_rs(struct sql *sql, const struct resource_server *rs, struct why *why) MUST_CHECK;
/* With groups, rules that name it, and (for a resource server) rules for its audience. Tokens are the caller's. */
enum status registry_remove_client(struct sql *sql, struct span id, struct why *why) MUST_CHECK;
enum status registry_remove_rs(struct sql *sql, const struct resource_server *rs, struct why *why) MUST_CHECK;

/* Replaces all; `groups` is an array of identifiers or NULL for none. */
enum status registry_set_groups(struct sql *sql, struct span client_id, const struct js *groups,
                                struct why *why) MUST_CHECK;
enum status registry_groups(struct sql *sql, struct span client_id, struct js **ret_groups,
                            struct why *why) MUST_CHECK;

/* The next sequence number of an exi token for this resource server (AF-76); never given twice. */
enum status registry_next_exi(struct sql *sql, struct span rs_id, uint64_t *ret, struct why *why) MUST_CHECK;

/* Ids in order after `after`, at most `limit`. `group` empty: all. */
typedef enum status registry_id_fn(void *ctx, struct span id);
enum status registry_each(struct sql *sql, enum principal_kind kind, struct span group, struct span after,
                          int64_t limit, registry_id_fn *fn, void *ctx, struct why *why) MUST_CHECK;
/* The profiles of all resource servers together. */
enum status registry_profiles(struct sql *sql, unsigned *ret, struct why *why) MUST_CHECK;
enum status registry_count(struct sql *sql, enum principal_kind kind, int64_t *ret, struct why *why) MUST_CHECK;

/* The key in a stored JWK text; `ret_kid` (may be NULL) is its kid, or else its thumbprint, in the arena. */
enum status registry_key(struct span jwk_text, struct arena *arena, struct key **ret_key, struct span *ret_kid,
                         struct why *why) MUST_CHECK;

#endif
