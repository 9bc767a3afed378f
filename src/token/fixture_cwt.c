#include "token/fixture_cwt_priv.h"

#include "crypto/test_hex.h"

/* clang-format off */
static const struct cwt_change defaults[] = {
    { 1,  "7268747470733a2f2f61732e6578616d706c65" }, /* FIXTURE_ISS */
    { 2,  "6873656e736f722d31" },
    { 3,  "6e62726f6b65722e6578616d706c65" },         /* FIXTURE_AUD */
    { 4,  "1a000f4498" },                             /* exp 1000600 */
    { 6,  NOW },
    { 7,  "420b71" },
    { 8,  "a101" ED_KEY },
    { 9,  "4e" AIF },
    { 38, "03" },
};
/* clang-format on */

static const struct cwt_change *find(const struct cwt_change *changes, int label)
{
    for (; changes->label != 0; changes++)
        if (changes->label == label)
            return changes;
    return NULL;
}

static void put_claim(int label, const char *text, struct buf *out, size_t *count)
{
    if (text == NULL)
        return;
    struct hex value = hex(text);
    cb_put_int(out, label);
    cb_put_raw(out, hex_span(&value));
    (*count)++;
}

void cwt_claims(const struct cwt_change *changes, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf entries;
    size_t count = 0;

    buf_init(&entries, ROOM);
    for (size_t i = 0; i < COUNT_OF(defaults); i++) {
        const struct cwt_change *c = find(changes, defaults[i].label);
        put_claim(defaults[i].label, c == NULL ? defaults[i].hex : c->hex, &entries, &count);
    }
    for (; changes->label != 0; changes++) {
        bool known = false;
        for (size_t i = 0; i < COUNT_OF(defaults); i++)
            known = known || defaults[i].label == changes->label;
        if (!known)
            put_claim(changes->label, changes->hex, &entries, &count);
    }
    cb_put_map(out, count);
    put_bytes(out, buf_span(&entries));
    assert_true(buf_ok(out));
}

void cwt_sign(const struct fixture *f, const struct cwt_change *changes, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf claims;

    buf_init(&claims, ROOM);
    cwt_claims(changes, &claims);
    assert_int_equal(sy_cose_sign1(f->as, SPAN("as-1"), buf_span(&claims), out), ST_OK);
}

void cwt_encrypt(const struct fixture *f, const struct cwt_change *changes, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf claims;

    buf_init(&claims, ROOM);
    cwt_claims(changes, &claims);
    assert_int_equal(sy_cose_encrypt0(COSE_A256GCM, f->shared, SPAN("rs-1"), buf_span(&claims), out), ST_OK);
}

struct token *cwt_accept(const struct fixture *f, const struct cwt_change *changes, bool encrypted)
{
    CLEANUP(buf_done)
    struct buf cwt;
    struct token *token = NULL;
    struct why why = { 0 };

    buf_init(&cwt, ROOM);
    (encrypted ? cwt_encrypt : cwt_sign)(f, changes, &cwt);
    if (fixture_verify(f, buf_span(&cwt), &token, &why) != ST_OK)
        fail_msg("refused: %s, %s", why.clause, why.text);
    return token;
}

void cwt_refused(const struct fixture *f, const struct cwt_change *changes, enum status expected,
                 const char *clause)
{
    CLEANUP(buf_done)
    struct buf cwt;

    buf_init(&cwt, ROOM);
    cwt_sign(f, changes, &cwt);
    assert_text_refused(f, buf_span(&cwt), expected, clause);
}
