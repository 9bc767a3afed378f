/* shard/token_store.h - what the broker knows of tokens apart from any connection: one object for all shards.
 *
 *   kept      tokens published to authz-info, found again by the key that TLS proved (MT-33, MT-40, AF-62)
 *   cached    verified tokens by hash, so that the same token need not be verified twice (MT-73, MT-95)
 *   receipts  when a token was first seen, where its life counts from then (AF-75, AF-77, TK-64)
 *   nonces    the cnonces that tokens have used up (AF-15, AF-18)
 *   revoked   hashes of tokens that must not be used any more, whatever they say themselves (AF-98)
 *
 * Everything is bounded by token_store_limits; what is beyond is refused (ST_QUOTA), except in the cache, which drops
 * the least used. What must survive a restart - kept, receipts, sequence numbers, revoked - becomes a numbered change,
 * taken and written down by a journal (token_journal.h); without one nothing is numbered.
 * Pure: time comes in, nothing is opened. Ownership: token_store_new()/_free(); tokens are references.
 * Threads: any; one lock inside, never held across a call out. Meant for CONNECT, authz-info, handshakes and news of
 * tokens, not for every packet. */
#ifndef SYMBOLON_SHARD_TOKEN_STORE_H
#define SYMBOLON_SHARD_TOKEN_STORE_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/span.h"
#include "base/status.h"
#include "token/token.h"

struct token_store;

struct token_store_limits {
    uint32_t max_kept;
    size_t max_kept_bytes;
    uint32_t kept_per_source; /* tokens kept that came from one address */
    uint32_t unused_s;        /* a kept token that no connection used for so long is dropped; 0: never */
    uint32_t rate_per_minute; /* publications to authz-info from one address; 0: no limit */

    uint32_t max_cached;
    size_t max_cached_bytes;
    uint32_t introspection_s; /* an introspected token is cached so long; 0: not at all */

    uint32_t max_receipts;
    uint32_t max_revoked; /* and as many changed */
    uint32_t max_nonces;
    uint32_t nonce_life_s; /* from the hint to the token that carries it */
    bool need_cnonce;      /* a token without a fresh one is refused (AF-18) */
};
void token_store_limits_init(struct token_store_limits *limits); /* the defaults */

/* `secret`: random, keys the hashes and the cnonces. */
#define TOKEN_STORE_SECRET_LEN 48
enum status token_store_new(const struct token_store_limits *limits,
                            const uint8_t secret[TOKEN_STORE_SECRET_LEN],
                            struct token_store **ret_store) MUST_CHECK;
void token_store_free(struct token_store *store);

/* Bytes of memory, about: what is kept and cached as its limits count it, the rest by its numbers. */
size_t token_store_bytes(struct token_store *store);
/* Drops what time has ended. Now and then. */
void token_store_purge(struct token_store *store, struct now now);

/* ---- wherever a verified token comes in ---- */

/* How long a token may be used, by both clocks (TIME_NEVER: no end by that one). */
struct token_term {
    int64_t until_s;  /* wall: first second without it */
    int64_t until_ms; /* mono */
    uint64_t change;  /* 0, or what the journal has to reach so that a restart remembers when it began */
};

/* Not revoked, cnonce fresh and not another token's, life not over; the life of one that counts from its first receipt
 * begins with the first call (AF-75) and is the same in all later ones. Asking twice is harmless.
 * ST_BAD_TOKEN, ST_TOKEN_EXPIRED, ST_QUOTA, ST_NO_MEMORY. */
enum status token_store_accept(struct token_store *store, const struct token *token, struct now now,
                               struct token_term *ret_term, struct why *why) MUST_CHECK;
/* The same without a store: ST_BAD_TOKEN for a token that needs a memory of receipts. */
enum status token_term_of(const struct token *token, struct now now, struct token_term *ret_term,
                          struct why *why) MUST_CHECK;

/* ---- kept tokens ---- */

/* Counts one publication to authz-info from `source`, the peer's address as text. ST_QUOTA: too many (AF-65). */
enum status token_store_rate(struct token_store *store, struct span source, struct now now,
                             struct why *why) MUST_CHECK;

/* Keeps it under its key: a public key or secret, or a certificate (x5t#S256). It replaces the former of that key if
 * that was the same issuer's; another issuer's stays (TK-66). A token naming its key by kid has to be bound first.
 * When the store is full the oldest that no connection has used yet gives way (MT-40). */
struct token_kept {
    bool replaced;
    uint8_t former[TOKEN_HASH_LEN]; /* hash of the one it replaced */
    uint64_t change; /* 0, or what the journal has to reach before anybody is told that it is kept */
};
enum status token_store_keep(struct token_store *store, struct token *token, struct span source, struct now now,
                             struct token_kept *out, struct why *why) MUST_CHECK;

/* References, or NULL; only what is valid now. By thumbprint of a key (RFC 7638) or of a certificate (SHA-256). */
struct token *token_store_by_key(struct token_store *store, const uint8_t thumbprint[TOKEN_HASH_LEN],
                                 struct now now);
struct token *token_store_by_certificate(struct token_store *store, const uint8_t thumbprint[TOKEN_HASH_LEN],
                                         struct now now);
/* By kid (MT-27), of a symmetric key; NULL too when kept tokens of different keys have it: nobody can tell then whose
 * is meant (TK-6). */
struct token *token_store_by_kid(struct token_store *store, struct span kid, struct now now);
/* The key a token naming only a kid is bound to: that of the kept token of the same issuer whose key has this kid; NULL
 * too when that issuer gave one kid to two keys (TK-6, TK-7). A reference. */
struct key *token_store_key(struct token_store *store, struct span iss, struct span kid, struct now now);

/* Drops the kept tokens `believed` does not believe in. */
void token_store_keep_only(struct token_store *store, bool (*believed)(void *ctx, const struct token *token),
                           void *ctx);

/* A connection proved the key of this kept token: it no longer counts against its source, nor gives way to others. */
void token_store_used(struct token_store *store, const struct token *token, struct now now);

/* ---- verified tokens ---- */

struct token *token_store_lookup(struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN], struct now now);
/* Until its end, or for introspection_s. Best effort. */
void token_store_remember(struct token_store *store, const struct token *token, struct now now);
void token_store_forget_all(struct token_store *store); /* keys or settings changed */

/* ---- cnonce ---- */

#define TOKEN_CNONCE_LEN 24
/* Fresh for nonce_life_s; costs no memory until a token brings it back. */
enum status token_store_cnonce(struct token_store *store, struct now now,
                               uint8_t out[TOKEN_CNONCE_LEN]) MUST_CHECK;

/* ---- revocation ---- */

/* Also forgets it everywhere else in the store. `until`: when the token would have ended anyway; the latest call counts.
 */
enum status token_store_revoke(struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN],
                               struct wall_time until) MUST_CHECK;
bool token_store_is_revoked(struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN]);
/* As given to token_store_revoke(); 0: it is not revoked. */
struct wall_time token_store_revoked_until(struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN]);

/* Appends the hashes of all that are revoked, TOKEN_HASH_LEN bytes each. ST_NO_MEMORY. */
enum status token_store_revoked(struct token_store *store, struct buf *out) MUST_CHECK;

/* The issuer now permits less than the token says: what is cached or kept of it is forgotten, and from now on only
 * introspection tells what it is worth. Not written down: the issuer lists them all when asked anew. */
enum status token_store_change(struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN],
                               struct wall_time until) MUST_CHECK;
/* How many such news there were. Taken before the issuer is asked, it goes into the token made of the answer. */
uint64_t token_store_news(struct token_store *store);
/* What `token` says is older than the latest news of it. Nobody accepts it any more. */
bool token_store_is_stale(struct token_store *store, const struct token *token);

/* Nothing of this issuer is accepted while `yes`: its list of revoked tokens has not been read for too long. At most
 * TOKEN_STORE_ISSUERS at once. */
#define TOKEN_STORE_ISSUERS 16
enum status token_store_suspend(struct token_store *store, struct span iss, bool yes) MUST_CHECK;

/* ---- for the journal ---- */

enum token_change_kind {
    TOKEN_KEPT,     /* id: thumbprint; record: token_record.h; PUT or gone */
    TOKEN_RECEIPT,  /* id: hash; record: first receipt */
    TOKEN_SEQUENCE, /* id: hash of issuer and resource server; record: the least sequence number not expired */
    TOKEN_REVOKED,  /* id: hash; record: until */
    TOKEN_CHANGE_KINDS
};

struct token_change {
    struct token_change *next;
    enum token_change_kind kind;
    bool gone; /* delete the row; else write it, new or over the former */
    uint64_t number;
    uint8_t id[TOKEN_HASH_LEN];
    size_t record_len;
    uint8_t record[];
};

/* From now on changes are numbered; `wake` is called, on any thread, when there are some. Before the first shard. */
void token_store_set_journal(struct token_store *store, void (*wake)(void *ctx), void *ctx);
/* All changes so far, oldest first; the caller's, each freed with token_change_free(). */
struct token_change *token_store_take_changes(struct token_store *store);
void token_change_free(struct token_change *change);
/* Everything up to this number is on disk. */
void token_store_committed(struct token_store *store, uint64_t number);
bool token_store_is_committed(struct token_store *store, uint64_t number);
uint64_t token_store_written(struct token_store *store); /* the last such number */

/* A row read back at the start. ST_NOT_FOUND: it is over by now, cannot be read, or finds no room, and is left out; never so a
 * revocation that is not over. ST_NO_MEMORY: nobody knows. */
enum status token_store_restore(struct token_store *store, enum token_change_kind kind,
                                const uint8_t id[TOKEN_HASH_LEN], struct span record,
                                struct now now) MUST_CHECK;

struct token_store_counts {
    uint32_t kept, cached, receipts, nonces, revoked, changed;
    size_t kept_bytes, cached_bytes;
};
void token_store_count(struct token_store *store, struct token_store_counts *out);

#endif
