/* How long a token may be used here: by its exp, or from its first receipt (exi, or no clock of ours), and whether its
 * cnonce was fresh when it came. */
#include "shard/token_store_priv.h"

#include "base/reader.h"
#include "codec/base64.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

#include <stdlib.h>

#define SEQUENCE_LEN  8
#define JTI_MAX       1024
#define NONCE_MAC_LEN (TOKEN_CNONCE_LEN - 8)

/* ---- how long ---- */

/* `first`: when its life began, by both clocks. */
static enum status term_from(const struct token *token, struct now first, struct token_term *ret,
                             struct why *why)
{
    struct wall_time end;
    int64_t life_s;

    *ret = (struct token_term){ TIME_NEVER, TIME_NEVER, 0 };
    if (!token_end(token, first.wall, &end)) {
        if (token->no_clock)
            return reject(why, ST_BAD_TOKEN, "AF-75", "without a clock a token needs exi, or exp and iat", 0);
        return ST_OK; /* the verifier is configured to take such tokens (TK-52) */
    }
    life_s = end.s - first.wall.s;
    if (!token->no_clock)
        ret->until_s = end.s;
    if (life_s < INT64_C(1) << 40) /* far from overflow; a longer life is the calendar's to watch */
        ret->until_ms = first.mono.ms +
                        (token->no_clock || token->has_exi ? life_s * MS_PER_S : now_ms_until(first, end.s));
    return ST_OK;
}

static enum status still(const struct token_term *term, struct now now, struct why *why)
{
    if (term_over(term->until_s, term->until_ms, now))
        return reject(why, ST_TOKEN_EXPIRED, "MT-100", "token expired", 0);
    return ST_OK;
}

enum status token_term_of(const struct token *token, struct now now, struct token_term *ret_term,
                          struct why *why)
{
    if (token->has_exi || token->no_clock)
        return reject(why, ST_BAD_TOKEN, "AF-75", "tokens living from their first receipt are not taken here",
                      0);
    return term_from(token, now, ret_term, why);
}

/* ---- sequence numbers of exi tokens ---- */

static bool sequence_is(const struct table_node *node, const void *id)
{
    return memcmp(CONTAINER_OF(node, struct sequence, node)->id, id, TOKEN_HASH_LEN) == 0;
}

static struct sequence *find_sequence(const struct token_store *store, const uint8_t id[TOKEN_HASH_LEN])
{
    struct table_node *node = store_find(&store->sequences, id, sequence_is);

    return node == NULL ? NULL : CONTAINER_OF(node, struct sequence, node);
}

/* jti = name of this resource server | 8-byte number (AF-76); cti of a CWT is the bytes, jti of a JWT their base64url.
 * Whatever the AS calls us: numbers are compared among those of one issuer and one name. */
static enum status read_sequence(const struct token *token, struct receipt *r, struct why *why)
{
    CLEANUP(buf_done)
    struct buf bytes;
    struct buf *id = &bytes;
    enum status st = ST_OK;

    buf_init(&bytes, JTI_MAX + 1 + token->iss.len);
    if (token->format == TOKEN_CWT)
        put_bytes(&bytes, token->jti);
    else
        st = base64url_decode(token->jti, &bytes, NULL);
    if (st == ST_NO_MEMORY)
        return reject(why, st, "memory", "out of memory", 0);
    if (st != ST_OK || !buf_ok(&bytes) || bytes.len < SEQUENCE_LEN)
        return reject(why, ST_BAD_TOKEN, "AF-76", "exi, but jti ends in no sequence number", 0);
    struct reader number =
        reader_make(span_cut(buf_span(&bytes), bytes.len - SEQUENCE_LEN, SEQUENCE_LEN), "AF-77");
    r->sequence = read_u64(&number);
    r->has_sequence = true;
    buf_truncate(id, bytes.len - SEQUENCE_LEN);
    put_u8(id, 0);
    put_bytes(id, token->iss);
    if (!buf_ok(id) || sha256(buf_span(id), r->id) != ST_OK)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    return ST_OK;
}

static enum status sequence_put(struct token_store *store, const uint8_t id[TOKEN_HASH_LEN], uint64_t least)
{
    struct sequence *s = calloc(1, sizeof *s);

    if (s == NULL)
        return ST_NO_MEMORY;
    memcpy(s->id, id, sizeof s->id);
    s->least = least;
    table_insert(&store->sequences, &s->node, table_hash(&store->sequences, span_of(id, TOKEN_HASH_LEN)));
    return ST_OK;
}

enum status sequence_restore(struct token_store *store, const uint8_t id[TOKEN_HASH_LEN], struct span record)
{
    struct reader r = reader_make(record, "token journal");
    uint64_t least = read_u64(&r);

    if (reader_finish(&r, NULL) != ST_OK || find_sequence(store, id) != NULL)
        return ST_NOT_FOUND;
    return sequence_put(store, id, least);
}

/* AF-77. The place for it was made when the first token of that kind came. */
static enum status raise_sequence(struct token_store *store, const struct receipt *r)
{
    struct sequence *s = find_sequence(store, r->id);
    CLEANUP(buf_done)
    struct buf record = { 0 };
    uint64_t number;

    enum status st;

    if (!r->has_sequence || s == NULL || r->sequence < s->least)
        return ST_OK;
    buf_init(&record, 8);
    put_u64(&record, r->sequence == UINT64_MAX ? UINT64_MAX : r->sequence + 1);
    if (!buf_ok(&record))
        return ST_NO_MEMORY;
    st = store_change(store, TOKEN_SEQUENCE, r->id, buf_span(&record), &number);
    if (st == ST_OK)
        s->least = r->sequence == UINT64_MAX ? UINT64_MAX : r->sequence + 1;
    return st;
}

/* ---- receipts ---- */

static bool receipt_is(const struct table_node *node, const void *hash)
{
    return memcmp(CONTAINER_OF(node, struct receipt, node)->hash, hash, TOKEN_HASH_LEN) == 0;
}

static struct receipt *find_receipt(const struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN])
{
    struct table_node *node = store_find(&store->receipts, hash, receipt_is);

    return node == NULL ? NULL : CONTAINER_OF(node, struct receipt, node);
}

static enum status write_receipt(struct token_store *store, struct receipt *r)
{
    CLEANUP(buf_done)
    struct buf record;

    buf_init(&record, 128);
    put_u8(&record, r->has_sequence);
    put_bytes(&record, span_of(r->id, sizeof r->id));
    put_u64(&record, r->sequence);
    put_u64(&record, (uint64_t)r->first_s);
    put_u64(&record, (uint64_t)r->until_s);
    if (!buf_ok(&record))
        return ST_NO_MEMORY;
    return store_change(store, TOKEN_RECEIPT, r->hash, buf_span(&record), &r->change);
}

/* Its time has passed: what it leaves behind is its number. When that cannot be written down the receipt stays, for
 * another try: forgetting it would let the token begin again. */
static void receipt_end(struct token_store *store, struct receipt *r)
{
    if (raise_sequence(store, r) != ST_OK)
        return;
    table_remove(&store->receipts, &r->node);
    store_change_gone(store, TOKEN_RECEIPT, r->hash);
    free(r);
}

static void purge_receipts(struct token_store *store, struct now now)
{
    struct table_node *node = table_next(&store->receipts, NULL);

    while (node != NULL) {
        struct table_node *next = table_next(&store->receipts, node);
        struct receipt *r = CONTAINER_OF(node, struct receipt, node);

        if (term_over(r->until_s, r->until_ms, now))
            receipt_end(store, r);
        node = next;
    }
}

/* Nothing below what has expired before may begin its life (AF-77, TK-64). */
static enum status check_sequence(struct token_store *store, const struct receipt *r, struct why *why)
{
    struct sequence *s = find_sequence(store, r->id);

    if (!r->has_sequence)
        return ST_OK;
    if (s != NULL && r->sequence < s->least)
        return reject(why, ST_TOKEN_EXPIRED, "AF-77", "exi token older than one that has expired", 0);
    if (s != NULL)
        return ST_OK;
    if (store->sequences.count >= SEQUENCES_MAX)
        return reject(why, ST_QUOTA, "AF-77", "exi tokens under too many names of this server", 0);
    if (sequence_put(store, r->id, 0) != ST_OK)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    return ST_OK;
}

static enum status begin(struct token_store *store, const struct token *token, struct now now,
                         struct token_term *ret_term, struct why *why)
{
    struct receipt *r, first = { .first_s = now.wall.s };
    enum status st = ST_OK;

    if (token->has_exi)
        st = read_sequence(token, &first, why);
    if (st == ST_OK)
        st = check_sequence(store, &first, why);
    if (st == ST_OK)
        st = term_from(token, now, ret_term, why);
    if (st == ST_OK)
        st = still(ret_term, now, why);
    if (st != ST_OK)
        return st;
    if (store->receipts.count >= store->limits.max_receipts)
        purge_receipts(store, now);
    if (store->receipts.count >= store->limits.max_receipts || !store_may_change(store))
        return reject(why, ST_QUOTA, "token.max_receipts", "no more tokens that live from their first receipt",
                      0);
    memcpy(first.hash, token->hash, sizeof first.hash);
    first.until_s = ret_term->until_s;
    first.until_ms = ret_term->until_ms;
    r = malloc(sizeof *r);
    if (r == NULL || write_receipt(store, &first) != ST_OK) {
        free(r);
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    *r = first;
    ret_term->change = r->change;
    table_insert(&store->receipts, &r->node, table_hash(&store->receipts, span_of(r->hash, TOKEN_HASH_LEN)));
    return ST_OK;
}

static enum status by_receipt(struct token_store *store, const struct token *token, struct now now,
                              struct token_term *ret_term, struct why *why)
{
    struct receipt *r = find_receipt(store, token->hash);

    if (r == NULL)
        return begin(store, token, now, ret_term, why);
    *ret_term = (struct token_term){ r->until_s, r->until_ms, r->change };
    if (!term_over(r->until_s, r->until_ms, now))
        return ST_OK;
    receipt_end(store, r);
    return reject(why, ST_TOKEN_EXPIRED, "AF-75", "its life from the first receipt is over", 0);
}

/* What the calendar says of the time we were away goes by the calendar; one that was set back does not make it longer
 * than it was. Without a calendar nothing is restored: no token outlives a restart then, for want of its cnonce. */
enum status receipt_restore(struct token_store *store, const uint8_t id[TOKEN_HASH_LEN], struct span record,
                            struct now now)
{
    struct reader in = reader_make(record, "token journal");
    struct receipt *r, from = { 0 };
    int64_t life_s, left_s;

    from.has_sequence = read_u8(&in) != 0;
    struct span sequence_id = read_bytes(&in, TOKEN_HASH_LEN);
    from.sequence = read_u64(&in);
    from.first_s = (int64_t)read_u64(&in);
    from.until_s = (int64_t)read_u64(&in);
    if (reader_finish(&in, NULL) != ST_OK || find_receipt(store, id) != NULL)
        return ST_NOT_FOUND;
    memcpy(from.hash, id, sizeof from.hash);
    memcpy(from.id, sequence_id.p, sizeof from.id);
    if (from.has_sequence && find_sequence(store, from.id) == NULL && sequence_put(store, from.id, 0) != ST_OK)
        return ST_NO_MEMORY;
    life_s = from.until_s - from.first_s;
    left_s = from.until_s - now.wall.s;
    if (from.until_s == TIME_NEVER || life_s < 0)
        return ST_NOT_FOUND;
    if (left_s > life_s)
        left_s = life_s;
    from.until_ms = now.mono.ms + left_s * MS_PER_S; /* over already: the next purge draws the consequence */
    r = malloc(sizeof *r);
    if (r == NULL)
        return ST_NO_MEMORY;
    *r = from;
    table_insert(&store->receipts, &r->node, table_hash(&store->receipts, span_of(id, TOKEN_HASH_LEN)));
    return ST_OK;
}

/* ---- cnonce: seconds(4) | counter(4) | MAC(16), so that asking for them costs us nothing ---- */

static bool nonce_is(const struct table_node *node, const void *nonce)
{
    return memcmp(CONTAINER_OF(node, struct nonce, node)->nonce, nonce, TOKEN_CNONCE_LEN) == 0;
}

static enum status nonce_mac(const struct token_store *store, const uint8_t nonce[TOKEN_CNONCE_LEN],
                             uint8_t out[SHA256_LEN])
{
    return hmac_sha256(span_of(store->nonce_key, sizeof store->nonce_key),
                       span_of(nonce, TOKEN_CNONCE_LEN - NONCE_MAC_LEN), out);
}

static void put_be32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

enum status token_store_cnonce(struct token_store *store, struct now now, uint8_t out[TOKEN_CNONCE_LEN])
{
    uint8_t mac[SHA256_LEN];
    enum status st;

    put_be32(out, (uint32_t)(now.mono.ms / MS_PER_S));
    store_lock(store);
    put_be32(out + 4, store->next_nonce++);
    store_unlock(store);
    st = nonce_mac(store, out, mac);
    if (st == ST_OK)
        memcpy(out + TOKEN_CNONCE_LEN - NONCE_MAC_LEN, mac, NONCE_MAC_LEN);
    return st;
}

/* Modulo 2^32 seconds; an age before we began is too old like any other. */
static uint32_t nonce_age_s(const uint8_t *nonce, struct now now)
{
    struct reader r = reader_make(span_of(nonce, 4), "AF-15");

    return (uint32_t)(now.mono.ms / MS_PER_S) - read_u32(&r);
}

static enum status check_fresh(const struct token_store *store, struct span nonce, struct now now,
                               struct why *why)
{
    uint8_t mac[SHA256_LEN];

    if (nonce.len != TOKEN_CNONCE_LEN)
        return reject(why, ST_BAD_TOKEN, "AF-18", "no cnonce of this broker", 0);
    if (nonce_mac(store, nonce.p, mac) != ST_OK)
        return reject(why, ST_INTERNAL, "AF-18", "the cnonce could not be checked", 0);
    if (!secret_eq(span_of(mac, NONCE_MAC_LEN), span_cut(nonce, nonce.len - NONCE_MAC_LEN, NONCE_MAC_LEN)))
        return reject(why, ST_BAD_TOKEN, "AF-18", "no cnonce of this broker", 0);
    if (nonce_age_s(nonce.p, now) > store->limits.nonce_life_s)
        return reject(why, ST_BAD_TOKEN, "AF-18", "the cnonce is no longer fresh", 0);
    return ST_OK;
}

static void purge_nonces(struct token_store *store, struct now now)
{
    struct table_node *node = table_next(&store->nonces, NULL);

    while (node != NULL) {
        struct table_node *next = table_next(&store->nonces, node);
        struct nonce *n = CONTAINER_OF(node, struct nonce, node);

        /* While it would still be fresh, knowing that it was used is all that stops it. */
        if (now.mono.ms >= n->until_ms && nonce_age_s(n->nonce, now) > store->limits.nonce_life_s) {
            table_remove(&store->nonces, node);
            free(n);
        }
        node = next;
    }
}

/* A nonce is one token's: the first that came with it (TK-64). */
static enum status check_nonce(const struct token_store *store, const struct token *token, struct now now,
                               bool *ret_known, struct why *why)
{
    struct table_node *node;

    *ret_known = false;
    if (token->cnonce.p == NULL)
        return reject(why, ST_BAD_TOKEN, "AF-18", "no cnonce, though this server asks for one", 0);
    if (token->cnonce.len != TOKEN_CNONCE_LEN)
        return reject(why, ST_BAD_TOKEN, "AF-18", "no cnonce of this broker", 0);
    node = table_find(&store->nonces, table_hash(&store->nonces, token->cnonce), nonce_is, token->cnonce.p);
    if (node == NULL)
        return check_fresh(store, token->cnonce, now, why);
    if (memcmp(CONTAINER_OF(node, struct nonce, node)->hash, token->hash, TOKEN_HASH_LEN) != 0)
        return reject(why, ST_BAD_TOKEN, "TK-64", "the cnonce was another token's", 0);
    if (now.mono.ms >= CONTAINER_OF(node, struct nonce, node)->until_ms)
        return reject(why, ST_TOKEN_EXPIRED, "MT-100", "token expired", 0);
    *ret_known = true;
    return ST_OK;
}

static enum status use_nonce(struct token_store *store, const struct token *token,
                             const struct token_term *term, struct now now, struct why *why)
{
    struct nonce *n;

    if (store->nonces.count >= store->limits.max_nonces)
        purge_nonces(store, now);
    if (store->nonces.count >= store->limits.max_nonces)
        return reject(why, ST_QUOTA, "max_nonces", "too many tokens with a cnonce", 0);
    n = calloc(1, sizeof *n);
    if (n == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    memcpy(n->nonce, token->cnonce.p, sizeof n->nonce);
    memcpy(n->hash, token->hash, sizeof n->hash);
    n->until_ms = term->until_ms;
    table_insert(&store->nonces, &n->node, table_hash(&store->nonces, token->cnonce));
    return ST_OK;
}

/* ---- all of it ---- */

enum status life_accept(struct token_store *store, const struct token *token, struct now now,
                        struct token_term *ret_term, struct why *why)
{
    bool need_nonce = store->limits.need_cnonce, nonce_known = false;
    enum status st = ST_OK;

    if (token_is_revoked(store, token))
        return reject(why, ST_BAD_TOKEN, "AF-98", "the token was revoked", 0);
    if (token_is_stale(store, token))
        return reject(why, ST_BAD_TOKEN, "RFC 9770", "its issuer has changed meanwhile what the token permits",
                      0);
    if (issuer_is_suspended(store, token->iss))
        return reject(why, ST_UNREACHABLE, "revocation.max_stale",
                      "its issuer has not said for too long what it has revoked", 0);
    if (need_nonce)
        st = check_nonce(store, token, now, &nonce_known, why);
    if (st == ST_OK && (token->has_exi || token->no_clock))
        st = by_receipt(store, token, now, ret_term, why);
    else if (st == ST_OK)
        st = term_from(token, now, ret_term, why);
    if (st == ST_OK)
        st = still(ret_term, now, why);
    if (st == ST_OK && need_nonce && !nonce_known)
        st = use_nonce(store, token, ret_term, now, why);
    return st;
}

void life_purge(struct token_store *store, struct now now)
{
    purge_receipts(store, now);
    purge_nonces(store, now);
}

void life_done(struct token_store *store)
{
    struct table_node *node;

    while ((node = table_take_any(&store->receipts)) != NULL)
        free(CONTAINER_OF(node, struct receipt, node));
    while ((node = table_take_any(&store->sequences)) != NULL)
        free(CONTAINER_OF(node, struct sequence, node));
    while ((node = table_take_any(&store->nonces)) != NULL)
        free(CONTAINER_OF(node, struct nonce, node));
}
