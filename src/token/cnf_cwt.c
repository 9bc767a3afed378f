/* The confirmation claim of a CWT (RFC 8747 3; tokens.md section 1). */
#include "cose/cose_key.h"
#include "token/cwt_priv.h"
#include "token/token_priv.h"

static enum status refuse(struct why *why, const char *clause, const char *text)
{
    return reject(why, ST_BAD_TOKEN, clause, text, 0);
}

/* What the receiver does with the key: check a MAC or a signature. */
static bool may_prove(const struct cose_key *key)
{
    switch (key_kind(key->key)) {
    case KEY_SECRET:
        return sy_cose_key_allows(key, COSE_OP_MAC_VERIFY, COSE_HMAC_256_256);
    case KEY_P256:
        return sy_cose_key_allows(key, COSE_OP_VERIFY, COSE_ES256);
    default:
        return sy_cose_key_allows(key, COSE_OP_VERIFY, COSE_EDDSA);
    }
}

static enum status take_key(const struct verifier *v, struct cose_key *key, bool secret_allowed,
                            struct cnf *out, struct why *why)
{
    bool secret = key_kind(key->key) == KEY_SECRET;
    enum status st;

    if (secret && !secret_allowed)
        return refuse(why, "TK-55", "a symmetric PoP key in a token that is only signed");
    if (!secret && key_is_private(key->key))
        return refuse(why, "TK-56", "private part in what must be a public key");
    if (!may_prove(key))
        return refuse(why, "TK-57", "the PoP key's own members forbid proving with it");
    st = cnf_check_key(v, key->key, why);
    if (st != ST_OK)
        return st;
    out->has_kid = key->kid.p != NULL;
    put_bytes(&out->kid, key->kid);
    out->key = TAKE(key->key);
    return ST_OK;
}

static enum status read_cose_key(const struct verifier *v, const struct cb *value, bool secret_allowed,
                                 struct cnf *out, struct why *why)
{
    CLEANUP(sy_cose_key_done)
    struct cose_key key = { 0 };
    enum status st = sy_cose_key_read(value, COSE_KEY_ANY, &key, why);

    if (st != ST_OK)
        return st == ST_NO_MEMORY ? st : ST_BAD_TOKEN; /* its own why says what is wrong */
    return take_key(v, &key, secret_allowed, out, why);
}

/* A COSE_Key encrypted to us by the same issuer (TK-5): COSE_Encrypt0, with its tag or without. */
static enum status read_encrypted(const struct verifier *v, size_t issuer, const struct cb *value,
                                  struct cnf *out, struct why *why)
{
    CLEANUP(sy_cose_done)
    struct cose cose = { 0 };
    CLEANUP(sy_cose_key_done)
    struct cose_key key = { 0 };
    const struct encrypted_layer layer = { .cose = &cose };
    CLEANUP(buf_wipe)
    struct buf plain;
    CLEANUP(cb_unrefp)
    struct cb *cb = NULL;
    struct verifier_choice choice;
    enum status st;

    buf_init(&plain, COSE_KEY_MAX_BYTES);
    if (buf_room(&plain, COSE_KEY_MAX_BYTES) == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    st = sy_cose_read(value, &cose, why);
    if (st == ST_OK && cose.kind != COSE_ENCRYPT0)
        st = refuse(why, "TK-5", "an encrypted key that is not encrypted");
    if (st == ST_OK)
        st = verifier_shared_key_for(v, &layer, issuer, &choice, why);
    if (st == ST_OK)
        st = sy_cose_open(&cose, choice.key, &plain, why);
    if (st == ST_OK)
        st = sy_cose_key_parse(buf_span(&plain), COSE_KEY_ANY, &key, &cb, why);
    if (st != ST_OK)
        return st == ST_NO_MEMORY ? st : ST_BAD_TOKEN;
    return take_key(v, &key, true, out, why);
}

/* COSE_CertHash = [hashAlg, hashValue] (RFC 9360 2). Another hash than SHA-256 is one we cannot compare (TK-2). */
static bool read_x5t(const struct cb *value, struct cnf *out)
{
    struct span digest;
    int64_t alg;

    if (cb_size(value) != 2 || !cb_as_i64(cb_at(value, 0), &alg) || alg != COSE_SHA256)
        return false;
    if (!cb_as_bytes(cb_at(value, 1), &digest) || digest.len != sizeof out->x5t)
        return false;
    memcpy(out->x5t, digest.p, sizeof out->x5t);
    return true;
}

static enum status read_kid(const struct cb *value, struct buf *out, struct why *why)
{
    struct span kid;

    if (!cb_as_bytes(value, &kid))
        return refuse(why, "TK-6", "kid is no byte string");
    if (kid.len > COSE_MAX_KID)
        return refuse(why, "TK-45", "kid longer than allowed");
    put_bytes(out, kid);
    return buf_ok(out) ? ST_OK : reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
}

enum status cnf_read_cwt(const struct verifier *v, const struct claims_source *source, struct cnf *out,
                         struct why *why)
{
    const struct cb *claim = cb_get(source->cwt, CWT_CNF);
    const struct cb *key = cb_get(claim, CNF_COSE_KEY), *encrypted = cb_get(claim, CNF_ENCRYPTED_COSE_KEY);
    const struct cb *named = cb_get(claim, CNF_KID);
    CLEANUP(buf_done)
    struct buf kid;
    enum status st = ST_OK;

    buf_init(&kid, COSE_MAX_KID);
    if (!cb_is(claim, CB_MAP))
        return refuse(why, "TK-1", "no cnf map: not a proof-of-possession token");
    if (key != NULL && encrypted != NULL)
        return refuse(why, "TK-56", "cnf names a key twice");
    if (key != NULL)
        st = read_cose_key(v, key, source->encrypted, out, why);
    else if (encrypted != NULL)
        st = read_encrypted(v, source->issuer, encrypted, out, why);
    if (st == ST_OK && named != NULL)
        st = read_kid(named, &kid, why);
    return st == ST_OK ? cnf_settle(out, &kid, named != NULL, read_x5t(cb_get(claim, CNF_X5T), out), why) : st;
}
