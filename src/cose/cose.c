#include "cose/cose.h"

#include "cose/cose_priv.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "crypto/secret.h"
#include "crypto/sign.h"

#define PROTECTED_MAX 16 /* bytes of protected headers we write: alg */

enum label { LABEL_ALG = 1, LABEL_CRIT = 2, LABEL_KID = 4, LABEL_IV = 5, LABEL_PARTIAL_IV = 6, LABEL_TYP = 16 };

/* clang-format off */
/* alg                      kind           key          bytes  JOSE       tag  AEAD */
static const struct alg_rule {
    enum cose_alg alg;
    enum cose_kind kind;
    enum key_kind key;
    size_t key_len;    /* of a secret: at least (MAC), exactly (cipher) */
    const char *jose;
    size_t tag_len;    /* signature, MAC, or authentication tag */
    enum aead_alg aead;
} alg_rules[] = {
    { COSE_ES256,              COSE_SIGN1,    KEY_P256,    0,  "ES256", 64, 0 },
    { COSE_EDDSA,              COSE_SIGN1,    KEY_ED25519, 0,  "EdDSA", 64, 0 },
    { COSE_HMAC_256_64,        COSE_MAC0,     KEY_SECRET,  32, NULL,    8,  0 },
    { COSE_HMAC_256_256,       COSE_MAC0,     KEY_SECRET,  32, "HS256", 32, 0 },
    { COSE_A128GCM,            COSE_ENCRYPT0, KEY_SECRET,  16, NULL,    16, AEAD_AES128_GCM },
    { COSE_A256GCM,            COSE_ENCRYPT0, KEY_SECRET,  32, NULL,    16, AEAD_AES256_GCM },
    { COSE_AES_CCM_16_64_128,  COSE_ENCRYPT0, KEY_SECRET,  16, NULL,    8,  AEAD_AES128_CCM_8 },
    { COSE_AES_CCM_16_128_128, COSE_ENCRYPT0, KEY_SECRET,  16, NULL,    16, AEAD_AES128_CCM },
};

/* RFC 9052 4.4, 6.3, 5.3 */
static const struct { enum cose_kind kind; const char *context; size_t items; } kinds[] = {
    { COSE_SIGN1,    "Signature1", 4 },
    { COSE_MAC0,     "MAC0",       4 },
    { COSE_ENCRYPT0, "Encrypt0",   3 },
};
/* clang-format on */

static const struct alg_rule *find_alg(int64_t alg)
{
    for (size_t i = 0; i < COUNT_OF(alg_rules); i++)
        if (alg_rules[i].alg == alg)
            return &alg_rules[i];
    return NULL;
}

static const struct alg_rule *rule_of(enum cose_alg alg)
{
    const struct alg_rule *rule = find_alg(alg);

    ASSERT(rule != NULL);
    return rule;
}

static size_t kind_row(enum cose_kind kind)
{
    size_t i = 0;

    while (kinds[i].kind != kind)
        i++;
    return i;
}

bool sy_cose_alg_fits(enum cose_alg alg, const struct key *key)
{
    const struct alg_rule *rule = rule_of(alg);
    size_t len = key_secret(key).len;

    if (key_kind(key) != rule->key)
        return false;
    return rule->kind == COSE_MAC0 ? len >= rule->key_len : len == rule->key_len;
}

size_t sy_cose_key_len(enum cose_alg alg)
{
    const struct alg_rule *rule = rule_of(alg);
    return rule->kind == COSE_ENCRYPT0 ? rule->key_len : 0;
}

const char *sy_cose_jose_name(enum cose_alg alg)
{
    return rule_of(alg)->jose;
}

/* ---- taking apart ---- */

/* Both buckets of headers; the protected one is NULL when it is empty. */
struct headers {
    const struct cb *protected, *open;
};

static enum status malformed(struct why *why, const char *clause, const char *text)
{
    return reject(why, ST_MALFORMED, clause, text, 0);
}

static bool same_label(const struct cb *a, const struct cb *b)
{
    struct span at, bt;
    int64_t ai, bi;

    if (cb_as_i64(a, &ai))
        return cb_as_i64(b, &bi) && ai == bi;
    return cb_as_text(a, &at) && cb_as_text(b, &bt) && span_eq(at, bt);
}

static enum status check_labels(const struct headers *h, struct why *why)
{
    for (size_t i = 0; i < cb_size(h->protected); i++)
        for (size_t k = 0; k < cb_size(h->open); k++)
            if (same_label(cb_key_at(h->protected, i), cb_key_at(h->open, k)))
                return malformed(why, "TK-48", "a header in both buckets");
    return ST_OK;
}

static const struct cb *header(const struct headers *h, int64_t label)
{
    const struct cb *value = cb_get(h->protected, label);
    return value == NULL ? cb_get(h->open, label) : value;
}

static enum status read_bytes_header(const struct headers *h, int64_t label, struct span *ret, struct why *why)
{
    const struct cb *value = header(h, label);

    *ret = SPAN_NONE;
    if (value == NULL)
        return ST_OK;
    if (!cb_as_bytes(value, ret))
        return malformed(why, "RFC 9052 3.1", "a header that must be bytes is not");
    if (ret->p == NULL) /* present, though empty */
        *ret = SPAN("");
    return ST_OK;
}

static enum status read_alg(const struct headers *h, struct cose *out, struct why *why)
{
    const struct cb *value = cb_get(h->protected, LABEL_ALG);
    int64_t number;

    if (cb_get(h->open, LABEL_ALG) != NULL)
        return reject(why, ST_BAD_TOKEN, "TK-43", "alg in the unprotected headers", 0);
    if (value == NULL)
        return reject(why, ST_BAD_TOKEN, "TK-43", "no alg in the protected headers", 0);
    if (!cb_is(value, CB_INTEGER) && !cb_is(value, CB_TEXT))
        return malformed(why, "RFC 9052 3.1", "alg is neither integer nor text");
    if (!cb_as_i64(value, &number) || find_alg(number) == NULL)
        return reject(why, ST_UNSUPPORTED, "tokens.md 4", "algorithm not spoken", 0);
    out->alg = (enum cose_alg)number;
    return ST_OK;
}

static enum status read_headers(const struct headers *h, struct cose *out, struct why *why)
{
    enum status st;

    if (!cb_is(h->open, CB_MAP))
        return malformed(why, "RFC 9052 3", "the unprotected headers are no map");
    if (header(h, LABEL_CRIT) != NULL)
        return reject(why, ST_UNSUPPORTED, "TK-47", "crit names extensions, and none is understood", 0);
    st = read_alg(h, out, why);
    if (st == ST_OK)
        st = check_labels(h, why);
    if (st == ST_OK)
        st = read_bytes_header(h, LABEL_KID, &out->kid, why);
    if (st == ST_OK)
        st = read_bytes_header(h, LABEL_IV, &out->iv, why);
    if (st != ST_OK)
        return st;
    if (out->kid.len > COSE_MAX_KID)
        return malformed(why, "TK-45", "kid longer than allowed");
    if (header(h, LABEL_PARTIAL_IV) != NULL)
        return reject(why, ST_UNSUPPORTED, "RFC 9052 3.1", "a partial IV, and no context to complete it", 0);
    out->typ = header(h, LABEL_TYP);
    return ST_OK;
}

/* The protected headers are a map inside a byte string, or no bytes at all (RFC 9052 3). */
static enum status read_buckets(const struct cb *array, struct cose *out, struct why *why)
{
    struct headers h = { .open = cb_at(array, 1) };
    enum status st;

    if (!cb_as_bytes(cb_at(array, 0), &out->protected))
        return malformed(why, "RFC 9052 3", "the protected headers are no byte string");
    if (out->protected.len > 0) {
        st = cb_parse(out->protected, out->protected.len, &out->owned[1], why);
        if (st != ST_OK)
            return st;
        if (!cb_is(out->owned[1], CB_MAP))
            return malformed(why, "RFC 9052 3", "the protected headers are no map");
        h.protected = out->owned[1];
    }
    return read_headers(&h, out, why);
}

/* The algorithm says which of the structures this is; a tag in front must say the same (TK-42). */
static enum status check_kind(const struct cb *array, const uint64_t *tag, struct cose *out, struct why *why)
{
    out->kind = rule_of(out->alg)->kind;
    if (tag != NULL && *tag != out->kind)
        return reject(why, ST_BAD_TOKEN, "TK-42", "alg is not one for this COSE tag", 0);
    if (cb_size(array) != kinds[kind_row(out->kind)].items)
        return malformed(why, "RFC 9052 2", "not the array this algorithm stands in");
    if (out->kind != COSE_ENCRYPT0 && out->iv.p != NULL)
        return malformed(why, "RFC 9052 3.1", "an IV where nothing is encrypted");
    if (out->kind != COSE_ENCRYPT0 && !cb_as_bytes(cb_at(array, 3), &out->signature))
        return malformed(why, "RFC 9052 4.2", "signature or MAC is no byte string");
    if (!cb_as_bytes(cb_at(array, 2), &out->content))
        return malformed(why, "RFC 9052 2", "the content is no byte string");
    return ST_OK;
}

enum status sy_cose_read(const struct cb *cb, struct cose *out, struct why *why)
{
    uint64_t tag;
    const struct cb *inner = cb_tagged(cb, &tag), *array = inner == NULL ? cb : inner;
    enum status st;

    *out = (struct cose){ 0 };
    if (inner != NULL && (tag == 96 || tag == 97 || tag == 98))
        return reject(why, ST_UNSUPPORTED, "RFC 9052 2", "COSE for several recipients or signers is not spoken",
                      0);
    if (inner != NULL && tag != COSE_ENCRYPT0 && tag != COSE_MAC0 && tag != COSE_SIGN1)
        return malformed(why, "TK-12", "not a COSE tag");
    if (!cb_is(array, CB_ARRAY) || cb_size(array) < 3 || cb_size(array) > 4)
        return malformed(why, "RFC 9052 2", "not an array of COSE");
    st = read_buckets(array, out, why);
    return st == ST_OK ? check_kind(array, inner == NULL ? NULL : &tag, out, why) : st;
}

enum status sy_cose_parse(struct span bytes, size_t max_bytes, struct cose *out, struct why *why)
{
    CLEANUP(cb_unrefp)
    struct cb *cb = NULL;
    enum status st;

    *out = (struct cose){ 0 };
    st = cb_parse(bytes, max_bytes, &cb, why);
    if (st != ST_OK)
        return st;
    st = sy_cose_read(cb, out, why);
    out->owned[0] = TAKE(cb);
    return st;
}

void sy_cose_done(struct cose *cose)
{
    for (size_t i = 0; i < COUNT_OF(cose->owned); i++)
        cb_unref(cose->owned[i]);
    *cose = (struct cose){ 0 };
}

/* ---- what is signed, authenticated, or bound to the ciphertext ---- */

/* [context, protected, external_aad, payload]; Enc_structure ends before the payload. Nobody here has external data. */
static void put_structure(enum cose_kind kind, struct span protected, struct span payload, struct buf *out)
{
    cb_put_array(out, kinds[kind_row(kind)].items);
    cb_put_text(out, span_of_str(kinds[kind_row(kind)].context));
    cb_put_bytes(out, protected);
    cb_put_bytes(out, SPAN_NONE);
    if (kind != COSE_ENCRYPT0)
        cb_put_bytes(out, payload);
}

static void structure_init(struct buf *b, struct span protected, struct span payload)
{
    buf_init(b, protected.len + payload.len + 64); /* heads and the context */
}

static enum status not_opened(struct why *why)
{
    return reject(why, ST_BAD_TOKEN, "RFC 9052 4.4", "does not verify or decrypt under this key", 0);
}

static enum status check_mac(const struct alg_rule *rule, const struct key *key, struct span data,
                             struct span mac, struct why *why)
{
    uint8_t expected[SHA256_LEN];
    enum status st;

    if (mac.len != rule->tag_len)
        return reject(why, ST_BAD_TOKEN, "TK-63", "MAC of the wrong length", 0);
    st = hmac_sha256(key_secret(key), data, expected);
    if (st == ST_OK && !secret_eq(span_of(expected, rule->tag_len), mac))
        st = not_opened(why);
    secret_wipe(expected, sizeof expected);
    return st;
}

static enum status verify(const struct alg_rule *rule, const struct cose *cose, const struct key *key,
                          struct why *why)
{
    CLEANUP(buf_done)
    struct buf data;

    structure_init(&data, cose->protected, cose->content);
    put_structure(cose->kind, cose->protected, cose->content, &data);
    if (!buf_ok(&data))
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    if (cose->kind == COSE_MAC0)
        return check_mac(rule, key, buf_span(&data), cose->signature, why);
    enum status st = sig_check(key, sig_for_key(key), buf_span(&data), cose->signature, why);
    return st == ST_OK || st == ST_NO_MEMORY ? st : ST_BAD_TOKEN; /* its own why says what is wrong */
}

static enum status decrypt(const struct alg_rule *rule, const struct cose *cose, const struct key *key,
                           struct buf *out, struct why *why)
{
    CLEANUP(buf_done)
    struct buf aad;
    enum status st;

    structure_init(&aad, cose->protected, SPAN_NONE);
    if (cose->iv.len != aead_nonce_len(rule->aead) || cose->content.len < rule->tag_len)
        return reject(why, ST_BAD_TOKEN, "TK-62", "IV or tag of the wrong length", 0);
    put_structure(cose->kind, cose->protected, SPAN_NONE, &aad);
    if (!buf_ok(&aad))
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    size_t text_len = cose->content.len - rule->tag_len;
    st = aead_open(rule->aead, key_secret(key), cose->iv, buf_span(&aad), span_cut(cose->content, 0, text_len),
                   span_cut(cose->content, text_len, rule->tag_len), out, why);
    if (st == ST_OK || st == ST_NO_MEMORY || st == ST_TOO_LARGE)
        return st;
    return not_opened(why);
}

enum status sy_cose_open(const struct cose *cose, const struct key *key, struct buf *out, struct why *why)
{
    const struct alg_rule *rule = rule_of(cose->alg);
    enum status st;

    if (!sy_cose_alg_fits(cose->alg, key))
        return reject(why, ST_BAD_TOKEN, "TK-41", "alg is not this key's", 0);
    if (cose->kind == COSE_ENCRYPT0)
        return decrypt(rule, cose, key, out, why);
    st = verify(rule, cose, key, why);
    if (st != ST_OK)
        return st;
    put_bytes(out, cose->content);
    return buf_ok(out) ? ST_OK : buf_refuse(out, "content larger than allowed", why);
}

/* ---- making ---- */

static void put_protected(enum cose_alg alg, struct buf *out)
{
    buf_init(out, PROTECTED_MAX);
    cb_put_map(out, 1);
    cb_put_int(out, LABEL_ALG);
    cb_put_int(out, alg);
}

/* Tag, array, both buckets: kid and IV say nothing that needs protection (RFC 8392 A has them there too). */
static void put_front(enum cose_kind kind, struct span protected, struct span kid, struct span iv,
                      struct buf *out)
{
    cb_put_tag(out, kind);
    cb_put_array(out, kinds[kind_row(kind)].items);
    cb_put_bytes(out, protected);
    cb_put_map(out, (size_t)(kid.p != NULL) + (size_t)(iv.p != NULL));
    if (kid.p != NULL) {
        cb_put_int(out, LABEL_KID);
        cb_put_bytes(out, kid);
    }
    if (iv.p != NULL) {
        cb_put_int(out, LABEL_IV);
        cb_put_bytes(out, iv);
    }
}

void sy_cose_put_plain(const struct cose *cose, struct span kid, struct buf *out)
{
    put_front(cose->kind, cose->protected, kid, cose->iv, out);
    cb_put_bytes(out, cose->content);
    if (cose->kind != COSE_ENCRYPT0)
        cb_put_bytes(out, cose->signature);
}

static enum status finish(struct buf *out, size_t start, enum status st)
{
    if (st == ST_OK && buf_ok(out))
        return ST_OK;
    if (out->len > start)
        buf_truncate(out, start);
    return st == ST_OK ? buf_status(out) : st;
}

static enum status authenticate(enum cose_alg alg, const struct key *key, struct span protected,
                                struct span payload, uint8_t tag[SIG_MAX])
{
    CLEANUP(buf_done)
    struct buf data;
    const struct alg_rule *rule = rule_of(alg);

    structure_init(&data, protected, payload);
    put_structure(rule->kind, protected, payload, &data);
    if (!buf_ok(&data))
        return ST_NO_MEMORY;
    return rule->kind == COSE_MAC0 ? hmac_sha256(key_secret(key), buf_span(&data), tag)
                                   : sig_make(key, sig_for_key(key), buf_span(&data), tag);
}

static enum status make(enum cose_alg alg, const struct key *key, struct span kid, struct span payload,
                        struct buf *out)
{
    CLEANUP(buf_done)
    struct buf protected;
    const struct alg_rule *rule = rule_of(alg);
    size_t start = out->len;
    uint8_t tag[SIG_MAX];
    enum status st;

    put_protected(alg, &protected);
    if (!sy_cose_alg_fits(alg, key))
        return ST_BAD_POP_KEY;
    if (!buf_ok(&protected))
        return ST_NO_MEMORY;
    st = authenticate(alg, key, buf_span(&protected), payload, tag);
    if (st != ST_OK)
        return st;
    put_front(rule->kind, buf_span(&protected), kid, SPAN_NONE, out);
    cb_put_bytes(out, payload);
    cb_put_bytes(out, span_of(tag, rule->tag_len));
    return finish(out, start, ST_OK);
}

enum status sy_cose_sign1(const struct key *key, struct span kid, struct span payload, struct buf *out)
{
    return make(key_kind(key) == KEY_P256 ? COSE_ES256 : COSE_EDDSA, key, kid, payload, out);
}

enum status sy_cose_mac0(enum cose_alg alg, const struct key *key, struct span kid, struct span payload,
                         struct buf *out)
{
    ASSERT(rule_of(alg)->kind == COSE_MAC0);
    return make(alg, key, kid, payload, out);
}

static enum status seal(const struct alg_rule *rule, const struct key *key, struct span iv,
                        struct span protected, struct span plaintext, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf aad;
    CLEANUP(buf_done)
    struct buf sealed;
    uint8_t tag[AEAD_TAG_LEN];
    enum status st;

    structure_init(&aad, protected, SPAN_NONE);
    buf_init(&sealed, plaintext.len + AEAD_TAG_LEN);
    put_structure(COSE_ENCRYPT0, protected, SPAN_NONE, &aad);
    if (!buf_ok(&aad))
        return ST_NO_MEMORY;
    st = aead_seal(rule->aead, key_secret(key), iv, buf_span(&aad), plaintext, &sealed, tag);
    if (st != ST_OK)
        return st;
    put_bytes(&sealed, span_of(tag, rule->tag_len));
    if (!buf_ok(&sealed))
        return ST_NO_MEMORY;
    cb_put_bytes(out, buf_span(&sealed));
    return ST_OK;
}

enum status cose_encrypt0_with(enum cose_alg alg, const struct key *key, struct span kid, struct span iv,
                               struct span plaintext, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf protected;
    const struct alg_rule *rule = rule_of(alg);
    size_t start = out->len;

    ASSERT(rule->kind == COSE_ENCRYPT0 && iv.len == aead_nonce_len(rule->aead));
    put_protected(alg, &protected);
    if (!sy_cose_alg_fits(alg, key))
        return ST_BAD_POP_KEY;
    if (!buf_ok(&protected))
        return ST_NO_MEMORY;
    put_front(COSE_ENCRYPT0, buf_span(&protected), kid, iv, out);
    return finish(out, start, seal(rule, key, iv, buf_span(&protected), plaintext, out));
}

enum status sy_cose_encrypt0(enum cose_alg alg, const struct key *key, struct span kid, struct span plaintext,
                             struct buf *out)
{
    uint8_t iv[AEAD_NONCE_MAX];
    enum status st = random_bytes(iv, sizeof iv);

    if (st != ST_OK)
        return st;
    return cose_encrypt0_with(alg, key, kid, span_of(iv, aead_nonce_len(rule_of(alg)->aead)), plaintext, out);
}
