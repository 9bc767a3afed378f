#include "token/token_record.h"

#include "base/reader.h"
#include "codec/cbor.h"
#include "token/token_priv.h"

#define RECORD_VERSION 1

/* Which members are there; also the order of the bits. */
enum record_flag {
    HAS_EXP,
    HAS_EXI,
    HAS_IAT,
    HAS_NBF,
    BY_INTROSPECTION,
    ENCRYPTED,
    NO_CLOCK,
    HAS_KEY,
    HAS_TWIN
};

/* ---- writing ---- */

static void put_text(struct buf *out, struct span s)
{
    put_u8(out, s.p != NULL);
    put_prefixed16(out, s);
}

static uint32_t flags_of(const struct token *t)
{
    return (uint32_t)t->has_exp << HAS_EXP | (uint32_t)t->has_exi << HAS_EXI | (uint32_t)t->has_iat << HAS_IAT |
           (uint32_t)t->has_nbf << HAS_NBF | (uint32_t)t->by_introspection << BY_INTROSPECTION |
           (uint32_t)t->encrypted << ENCRYPTED | (uint32_t)t->no_clock << NO_CLOCK |
           (uint32_t)(t->cnf != NULL) << HAS_KEY | (uint32_t)t->has_twin << HAS_TWIN;
}

static void put_key(struct buf *out, const struct key *key)
{
    put_u8(out, (uint8_t)key_kind(key));
    put_prefixed16(out, key_kind(key) == KEY_SECRET ? key_secret(key) : key_x(key));
    put_prefixed16(out, key_kind(key) == KEY_P256 ? key_y(key) : SPAN_NONE);
}

static enum status put_scope(struct buf *out, const struct scope *scope)
{
    CLEANUP(buf_done)
    struct buf cbor;
    enum status st;

    buf_init(&cbor, SCOPE_MAX_BYTES * 2);
    st = scope_to_cbor(scope, &cbor);
    put_u32(out, (uint32_t)cbor.len);
    put_bytes(out, buf_span(&cbor));
    return st;
}

enum status token_record_write(const struct token *t, struct buf *out)
{
    const struct span texts[] = { t->iss, t->sub, t->client_id, t->aud, t->jti, t->cnonce, t->cnf_kid };
    enum status st;

    put_u8(out, RECORD_VERSION);
    put_u32(out, flags_of(t));
    put_u8(out, (uint8_t)t->format);
    put_u8(out, (uint8_t)t->cnf_how);
    put_u32(out, t->skew_s);
    put_u64(out, (uint64_t)t->exp.s);
    put_u64(out, (uint64_t)t->exi_s);
    put_u64(out, (uint64_t)t->iat.s);
    put_u64(out, (uint64_t)t->nbf.s);
    put_bytes(out, span_of(t->cnf_thumbprint, sizeof t->cnf_thumbprint));
    put_bytes(out, span_of(t->hash, sizeof t->hash));
    if (t->has_twin)
        put_bytes(out, span_of(t->twin, sizeof t->twin));
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        put_text(out, texts[i]);
    if (t->cnf != NULL)
        put_key(out, t->cnf);
    st = put_scope(out, t->scope);
    if (st != ST_OK)
        return st;
    return buf_status(out);
}

/* ---- reading ---- */

/* Everything of fixed size, and spans into the record. */
struct record {
    uint32_t flags;
    uint8_t format, cnf_how;
    uint32_t skew_s;
    int64_t exp, exi, iat, nbf;
    struct span thumbprint, hash, twin;
    struct span texts[7];
    uint8_t kind;
    struct span first, second; /* of the key */
    struct span scope;
};

static struct span read_text(struct reader *r)
{
    bool there = read_u8(r) != 0;
    struct span s = read_prefixed16(r);

    return there ? s : SPAN_NONE;
}

static enum status read_all(struct span bytes, struct record *out, struct why *why)
{
    struct reader r = reader_make(bytes, "token record");
    uint8_t version = read_u8(&r);

    if (reader_ok(&r) && version != RECORD_VERSION)
        return reject(why, ST_BAD_VERSION, "token record", "written by another version", 0);
    out->flags = read_u32(&r);
    out->format = read_u8(&r);
    out->cnf_how = read_u8(&r);
    out->skew_s = read_u32(&r);
    out->exp = (int64_t)read_u64(&r);
    out->exi = (int64_t)read_u64(&r);
    out->iat = (int64_t)read_u64(&r);
    out->nbf = (int64_t)read_u64(&r);
    out->thumbprint = read_bytes(&r, TOKEN_HASH_LEN);
    out->hash = read_bytes(&r, TOKEN_HASH_LEN);
    if ((out->flags & IN(HAS_TWIN)) != 0)
        out->twin = read_bytes(&r, TOKEN_HASH_LEN);
    for (size_t i = 0; i < COUNT_OF(out->texts); i++)
        out->texts[i] = read_text(&r);
    if ((out->flags & IN(HAS_KEY)) != 0) {
        out->kind = read_u8(&r);
        out->first = read_prefixed16(&r);
        out->second = read_prefixed16(&r);
    }
    out->scope = read_bytes(&r, read_u32(&r));
    return reader_finish(&r, why);
}

static enum status read_key(const struct record *from, struct key **ret_key, struct why *why)
{
    switch (from->kind) {
    case KEY_SECRET:
        return key_new_secret(from->first, ret_key, why);
    case KEY_ED25519:
        return key_new_ed25519_public(from->first, ret_key, why);
    case KEY_P256:
        return key_new_p256_public(from->first, from->second, ret_key, why);
    default:
        return reject(why, ST_MALFORMED, "token record", "no such kind of key", 0);
    }
}

static enum status read_scope(struct span bytes, struct scope **ret_scope, struct why *why)
{
    CLEANUP(cb_unrefp)
    struct cb *cb = NULL;
    enum status st = cb_parse(bytes, SCOPE_MAX_BYTES * 2, &cb, why);

    return st != ST_OK ? st : scope_from_cbor(cb, ret_scope, why);
}

static enum status check(const struct record *from, struct why *why)
{
    bool has_key = (from->flags & IN(HAS_KEY)) != 0;

    if (from->format > TOKEN_REFERENCE || from->cnf_how > TOKEN_CNF_X5T || from->texts[0].p == NULL ||
        has_key != (from->cnf_how == TOKEN_CNF_KEY))
        return reject(why, ST_MALFORMED, "token record", "members that do not fit together", 0);
    return ST_OK;
}

static void fill(struct token *t, const struct record *from)
{
    struct span *const texts[] = { &t->iss, &t->sub, &t->client_id, &t->aud, &t->jti, &t->cnonce, &t->cnf_kid };

    for (size_t i = 0; i < COUNT_OF(texts); i++)
        *texts[i] = token_keep(t, from->texts[i]);
    t->format = (enum token_format)from->format;
    t->cnf_how = (enum token_cnf)from->cnf_how;
    t->has_exp = (from->flags & IN(HAS_EXP)) != 0;
    t->has_exi = (from->flags & IN(HAS_EXI)) != 0;
    t->has_iat = (from->flags & IN(HAS_IAT)) != 0;
    t->has_nbf = (from->flags & IN(HAS_NBF)) != 0;
    t->by_introspection = (from->flags & IN(BY_INTROSPECTION)) != 0;
    t->encrypted = (from->flags & IN(ENCRYPTED)) != 0;
    t->no_clock = (from->flags & IN(NO_CLOCK)) != 0;
    t->exp.s = from->exp;
    t->exi_s = from->exi;
    t->iat.s = from->iat;
    t->nbf.s = from->nbf;
    t->skew_s = from->skew_s;
    memcpy(t->cnf_thumbprint, from->thumbprint.p, TOKEN_HASH_LEN);
    memcpy(t->hash, from->hash.p, TOKEN_HASH_LEN);
    t->has_twin = (from->flags & IN(HAS_TWIN)) != 0;
    if (t->has_twin)
        memcpy(t->twin, from->twin.p, TOKEN_HASH_LEN);
}

enum status token_record_read(struct span bytes, struct token **ret_token, struct why *why)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct record from = { 0 };
    struct token *t;
    size_t text = 0;
    enum status st = read_all(bytes, &from, why);

    if (st == ST_OK)
        st = check(&from, why);
    if (st == ST_OK && (from.flags & IN(HAS_KEY)) != 0)
        st = read_key(&from, &key, why);
    if (st == ST_OK)
        st = read_scope(from.scope, &scope, why);
    if (st != ST_OK)
        return st;
    for (size_t i = 0; i < COUNT_OF(from.texts); i++)
        text += from.texts[i].len;
    t = token_alloc(text);
    if (t == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    fill(t, &from);
    t->scope = TAKE(scope);
    t->cnf = TAKE(key);
    *ret_token = t;
    return ST_OK;
}
