#include "cose/cose_key.h"

/* RFC 9052 table 4, RFC 9053 tables 17, 19 to 21 */
enum { KTY = 1, KID = 2, ALG = 3, KEY_OPS = 4, CRV = -1, X = -2, Y = -3, D = -4, K = -1 };
enum { KTY_OKP = 1, KTY_EC2 = 2, KTY_SYMMETRIC = 4 };
enum { CRV_P256 = 1, CRV_ED25519 = 6 };

#define ALL_OPS UINT32_MAX

static enum status malformed(struct why *why, const char *clause, const char *text)
{
    return reject(why, ST_MALFORMED, clause, text, 0);
}

static enum status read_ops(const struct cb *cb, uint32_t *ops, struct why *why)
{
    const struct cb *list = cb_get(cb, KEY_OPS);
    int64_t op;

    *ops = ALL_OPS;
    if (list == NULL)
        return ST_OK;
    if (!cb_is(list, CB_ARRAY) || cb_size(list) == 0)
        return malformed(why, "RFC 9052 7.1", "key_ops is no array or an empty one");
    *ops = 0;
    for (size_t i = 0; i < cb_size(list); i++) {
        const struct cb *item = cb_at(list, i);
        if (!cb_is(item, CB_INTEGER) && !cb_is(item, CB_TEXT))
            return malformed(why, "RFC 9052 7.1", "key_ops holds something that is no operation");
        if (cb_as_i64(item, &op) && op >= COSE_OP_SIGN && op <= COSE_OP_MAC_VERIFY)
            *ops |= IN(op);
    }
    return ST_OK;
}

static enum status read_common(const struct cb *cb, struct cose_key *out, struct why *why)
{
    const struct cb *kid = cb_get(cb, KID), *alg = cb_get(cb, ALG);
    enum status st = read_ops(cb, &out->ops, why);

    if (st != ST_OK)
        return st;
    if (kid != NULL && !cb_as_bytes(kid, &out->kid))
        return malformed(why, "RFC 9052 7.1", "kid is no byte string");
    if (kid != NULL && out->kid.p == NULL)
        out->kid = SPAN("");
    if (out->kid.len > COSE_MAX_KID)
        return malformed(why, "TK-45", "kid longer than allowed");
    out->has_alg = alg != NULL;
    if (out->has_alg && !cb_as_i64(alg, &out->alg))
        return reject(why, ST_UNSUPPORTED, "RFC 9052 7.1", "alg is no algorithm we speak", 0);
    return ST_OK;
}

/* A coordinate or private part at its full width (RFC 9053 7.1.1, 7.2). */
static enum status read_part(const struct cb *cb, int64_t label, struct span *ret, struct why *why)
{
    const struct cb *value = cb_get(cb, label);

    if (value == NULL)
        return malformed(why, "TK-3", "a required member is missing");
    if (label == Y && (cb_is(value, CB_TRUE) || cb_is(value, CB_FALSE)))
        return reject(why, ST_UNSUPPORTED, "RFC 9053 7.1.1", "a compressed point", 0);
    if (!cb_as_bytes(value, ret) || ret->len != KEY_PART_LEN)
        return malformed(why, "RFC 9053 7.1.1", "a key part does not have 32 bytes");
    return ST_OK;
}

static enum status want_asymmetric(const struct cb *cb, enum cose_key_want want, bool *ret_private,
                                   struct why *why)
{
    *ret_private = cb_get(cb, D) != NULL;
    if (want == COSE_KEY_SECRET)
        return reject(why, ST_BAD_POP_KEY, "RFC 9052 7.1", "a symmetric key is wanted here", 0);
    if (want == COSE_KEY_PUBLIC && *ret_private)
        return reject(why, ST_BAD_POP_KEY, "TK-56", "private part in what must be a public key", 0);
    if (want == COSE_KEY_PRIVATE && !*ret_private)
        return reject(why, ST_BAD_POP_KEY, "RFC 9052 7.1", "a private key is wanted here", 0);
    return ST_OK;
}

static enum status private_key(bool p256, struct span d, struct span x, struct span y, struct key **ret_key,
                               struct why *why)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    enum status st = p256 ? key_new_p256_private(d, &key, why) : key_new_ed25519_private(d, &key, why);

    if (st != ST_OK)
        return st;
    if (!span_eq(key_x(key), x) || !span_eq(key_y(key), y))
        return malformed(why, "RFC 9053 7.1.1", "the public part does not belong to the private part");
    *ret_key = TAKE(key);
    return ST_OK;
}

static enum status read_point(const struct cb *cb, bool p256, enum cose_key_want want, struct key **ret_key,
                              struct why *why)
{
    struct span x = SPAN_NONE, y = SPAN_NONE, d = SPAN_NONE;
    bool with_private;
    int64_t crv;
    enum status st;

    if (cb_get(cb, CRV) == NULL)
        return malformed(why, "TK-3", "no crv");
    if (!cb_as_i64(cb_get(cb, CRV), &crv) || crv != (p256 ? CRV_P256 : CRV_ED25519))
        return reject(why, ST_UNSUPPORTED, "tokens.md 4", "curve not spoken", 0);
    st = want_asymmetric(cb, want, &with_private, why);
    if (st == ST_OK)
        st = read_part(cb, X, &x, why);
    if (st == ST_OK && p256)
        st = read_part(cb, Y, &y, why);
    if (st == ST_OK && with_private)
        st = read_part(cb, D, &d, why);
    if (st != ST_OK)
        return st;
    if (with_private)
        return private_key(p256, d, x, y, ret_key, why);
    return p256 ? key_new_p256_public(x, y, ret_key, why) : key_new_ed25519_public(x, ret_key, why);
}

static enum status read_symmetric(const struct cb *cb, enum cose_key_want want, struct key **ret_key,
                                  struct why *why)
{
    struct span k;

    if (want == COSE_KEY_PUBLIC || want == COSE_KEY_PRIVATE)
        return reject(why, ST_BAD_POP_KEY, "RFC 9052 7.1", "an asymmetric key is wanted here", 0);
    if (!cb_as_bytes(cb_get(cb, K), &k))
        return malformed(why, "TK-3", "no k");
    return key_new_secret(k, ret_key, why);
}

enum status sy_cose_key_read(const struct cb *cb, enum cose_key_want want, struct cose_key *out,
                             struct why *why)
{
    int64_t kty;
    enum status st;

    *out = (struct cose_key){ 0 };
    if (!cb_is(cb, CB_MAP) || cb_get(cb, KTY) == NULL)
        return malformed(why, "RFC 9052 7", "not a map with kty");
    st = read_common(cb, out, why);
    if (st != ST_OK)
        return st;
    if (!cb_as_i64(cb_get(cb, KTY), &kty))
        return reject(why, ST_UNSUPPORTED, "tokens.md 4", "key type not spoken", 0);
    switch (kty) {
    case KTY_OKP:
        return read_point(cb, false, want, &out->key, why);
    case KTY_EC2:
        return read_point(cb, true, want, &out->key, why);
    case KTY_SYMMETRIC:
        return read_symmetric(cb, want, &out->key, why);
    default:
        return reject(why, ST_UNSUPPORTED, "tokens.md 4", "key type not spoken", 0);
    }
}

enum status sy_cose_key_parse(struct span bytes, enum cose_key_want want, struct cose_key *out,
                              struct cb **ret_cb, struct why *why)
{
    CLEANUP(cb_unrefp)
    struct cb *cb = NULL;
    enum status st;

    *out = (struct cose_key){ 0 };
    st = cb_parse(bytes, COSE_KEY_MAX_BYTES, &cb, why);
    if (st == ST_OK)
        st = sy_cose_key_read(cb, want, out, why);
    if (st == ST_OK)
        *ret_cb = TAKE(cb);
    return st;
}

void sy_cose_key_done(struct cose_key *key)
{
    key_unref(key->key);
    *key = (struct cose_key){ 0 };
}

bool sy_cose_key_allows(const struct cose_key *key, enum cose_key_op op, enum cose_alg alg)
{
    return (key->ops & IN(op)) != 0 && (!key->has_alg || key->alg == (int64_t)alg);
}

/* Labels in the order of their encoding: 1, 2, 3, -1, -2, -3, -4 (RFC 8949 4.2.1). */
static void put_member(struct buf *out, int64_t label, struct span bytes)
{
    if (bytes.p == NULL)
        return;
    cb_put_int(out, label);
    cb_put_bytes(out, bytes);
}

static void put_number(struct buf *out, int64_t label, int64_t v)
{
    cb_put_int(out, label);
    cb_put_int(out, v);
}

enum status sy_cose_key_write(const struct key *key, struct span kid, const enum cose_alg *alg,
                              bool with_private, struct buf *out)
{
    bool p256 = key_kind(key) == KEY_P256, secret = key_kind(key) == KEY_SECRET;
    struct span d = with_private ? key_d(key) : SPAN_NONE;
    size_t parts = secret ? 1 : p256 ? 3 : 2; /* k; crv, x, y; crv, x */

    if (key_kind(key) == KEY_RSA)
        return ST_UNSUPPORTED;
    cb_put_map(out, 1 + parts + (size_t)(kid.p != NULL) + (size_t)(alg != NULL) + (size_t)(d.p != NULL));
    put_number(out, KTY, secret ? KTY_SYMMETRIC : p256 ? KTY_EC2 : KTY_OKP);
    put_member(out, KID, kid);
    if (alg != NULL)
        put_number(out, ALG, *alg);
    if (secret) {
        put_member(out, K, key_secret(key));
    } else {
        put_number(out, CRV, p256 ? CRV_P256 : CRV_ED25519);
        put_member(out, X, key_x(key));
        put_member(out, Y, key_y(key));
        put_member(out, D, d);
    }
    return buf_status(out);
}
