/* COSE_Key: published keys, there and back, and what must be refused. */
#include "cose/cose_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "crypto/test_hex.h"

/* RFC 8392 A.2.3 */
#define P256_X "143329cce7868e416927599cf65a34f3ce2ffda55a7eca69ed8919a394d42f0f"
#define P256_Y "60f7f1a780d8a783bfb7a2dd6b2796e8128dbbcef9d3d168db9529971a36e7b9"
#define P256_D "6c1382765aec5358f117733d281c1c7bdc39884d04a45a1e6c67c858bc206c19"
/* RFC 8037 A.1 */
#define ED_X   "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
#define ED_D   "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
#define SECRET "403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388"

struct held {
    struct cose_key key;
    struct cb *cb;
};

static void held_done(struct held *h)
{
    sy_cose_key_done(&h->key);
    cb_unref(h->cb);
}

static enum status parse(const char *text, enum cose_key_want want, struct held *out, struct why *why)
{
    struct hex bytes = hex(text);

    *out = (struct held){ 0 };
    return sy_cose_key_parse(hex_span(&bytes), want, &out->key, &out->cb, why);
}

static void accepted(const char *text, enum cose_key_want want, enum key_kind kind, const char *part)
{
    CLEANUP(held_done)
    struct held h;
    struct why why = { 0 };

    if (parse(text, want, &h, &why) != ST_OK)
        fail_msg("%s: %s, %s", text, why.clause, why.text);
    assert_int_equal(key_kind(h.key.key), kind);
    struct span bytes = kind == KEY_SECRET ? key_secret(h.key.key) : key_x(h.key.key);
    assert_hex_equal(bytes.p, bytes.len, part);
}

static void refused(const char *text, enum cose_key_want want, enum status expected, const char *clause)
{
    CLEANUP(held_done)
    struct held h;
    struct why why = { 0 };
    enum status st = parse(text, want, &h, &why);

    if (st != expected || strcmp(why.clause, clause) != 0)
        fail_msg("%s: %s, %s: %s", text, status_name(st), why.clause, why.text);
    assert_null(h.cb);
}

static void published_keys_are_read(void **state UNUSED)
{
    CLEANUP(held_done)
    struct held h;

    /* RFC 8392 A.2.2 and A.2.3, as they stand there */
    accepted("a4205820" SECRET "0104024c53796d6d65747269633235360304", COSE_KEY_SECRET, KEY_SECRET, SECRET);
    accepted("a72358206c1382765aec5358f117733d281c1c7bdc39884d04a45a1e6c67c858bc206c19225820" P256_Y
             "215820" P256_X "2001010202524173796d6d657472696345434453413235360326",
             COSE_KEY_PRIVATE, KEY_P256, P256_X);
    /* RFC 8747 3.3 */
    accepted("a3030501042058206684523ab17337f173500e5728c628547cb37dfe68449c65f885d1b73b49eae1",
             COSE_KEY_SECRET, KEY_SECRET, "6684523ab17337f173500e5728c628547cb37dfe68449c65f885d1b73b49eae1");
    accepted("a301012006215820" ED_X, COSE_KEY_PUBLIC, KEY_ED25519, ED_X);
    accepted("a401012006215820" ED_X "235820" ED_D, COSE_KEY_PRIVATE, KEY_ED25519, ED_X);
    accepted("a401022001215820" P256_X "225820" P256_Y, COSE_KEY_ANY, KEY_P256, P256_X);

    assert_int_equal(parse("a4205820" SECRET "0104024c53796d6d65747269633235360304", COSE_KEY_ANY, &h, NULL),
                     ST_OK);
    assert_true(span_eq(h.key.kid, SPAN("Symmetric256")));
    assert_true(h.key.has_alg && h.key.alg == COSE_HMAC_256_64);
}

static void keys_are_written_in_deterministic_order(void **state UNUSED)
{
    static const enum cose_alg es256 = COSE_ES256;
    struct hex d = hex(P256_D), seed = hex(ED_D), secret = hex(SECRET);
    CLEANUP(key_unrefp)
    struct key *p256 = NULL;
    CLEANUP(key_unrefp)
    struct key *ed = NULL;
    CLEANUP(key_unrefp)
    struct key *mac = NULL;
    CLEANUP(buf_wipe)
    struct buf out;

    buf_init(&out, COSE_KEY_MAX_BYTES);
    assert_int_equal(key_new_p256_private(hex_span(&d), &p256, NULL), ST_OK);
    assert_int_equal(key_new_ed25519_private(hex_span(&seed), &ed, NULL), ST_OK);
    assert_int_equal(key_new_secret(hex_span(&secret), &mac, NULL), ST_OK);
    assert_int_equal(sy_cose_key_write(p256, SPAN("k"), &es256, true, &out), ST_OK);
    assert_hex_equal(out.p, out.len, "a7010202416b03262001215820" P256_X "225820" P256_Y "235820" P256_D);
    buf_reset(&out);
    assert_int_equal(sy_cose_key_write(p256, SPAN_NONE, NULL, false, &out), ST_OK); /* TK-56: no private part */
    assert_hex_equal(out.p, out.len, "a401022001215820" P256_X "225820" P256_Y);
    buf_reset(&out);
    assert_int_equal(sy_cose_key_write(ed, SPAN(""), NULL, false, &out), ST_OK);
    assert_hex_equal(out.p, out.len, "a4010102402006215820" ED_X);
    buf_reset(&out);
    assert_int_equal(sy_cose_key_write(mac, SPAN_NONE, NULL, false, &out), ST_OK);
    assert_hex_equal(out.p, out.len, "a20104205820" SECRET);
}

/* TK-3 */
static void tk3_a_key_without_its_members_is_refused(void **state UNUSED)
{
    refused("a0", COSE_KEY_ANY, ST_MALFORMED, "RFC 9052 7");
    refused("80", COSE_KEY_ANY, ST_MALFORMED, "RFC 9052 7");
    refused("a10104", COSE_KEY_ANY, ST_MALFORMED, "TK-3"); /* no k */
    refused("a201042063"
            "616263",
            COSE_KEY_ANY, ST_MALFORMED, "TK-3");                               /* k is text */
    refused("a10101", COSE_KEY_ANY, ST_MALFORMED, "TK-3");                     /* no crv */
    refused("a201012006", COSE_KEY_ANY, ST_MALFORMED, "TK-3");                 /* no x */
    refused("a301022001215820" P256_X, COSE_KEY_ANY, ST_MALFORMED, "TK-3");    /* no y */
    refused("a30101200621416100", COSE_KEY_ANY, ST_MALFORMED, "TK-50");        /* something behind it */
    refused("a301012006214161", COSE_KEY_ANY, ST_MALFORMED, "RFC 9053 7.1.1"); /* x of one byte */
    refused("a2010420"
            "40",
            COSE_KEY_ANY, ST_MALFORMED, "RFC 7518 6.4.1");                /* an empty secret */
    refused("a4010420414101040341", COSE_KEY_ANY, ST_MALFORMED, "TK-48"); /* kty twice */
    refused("a401022001215820" P256_X "225820" P256_X, COSE_KEY_ANY, ST_MALFORMED, "TK-61"); /* off the curve */
    refused("a301012006215820"
            "0000000000000000000000000000000000000000000000000000000000000000",
            COSE_KEY_ANY, ST_MALFORMED, "TK-60"); /* small order */
    refused("a30104024161"
            "0261",
            COSE_KEY_ANY, ST_MALFORMED, "TK-48");
    refused("a3010402616b204161", COSE_KEY_ANY, ST_MALFORMED, "RFC 9052 7.1"); /* kid is text */
}

/* A map of an Ed25519 key whose kid is `len` bytes. */
static enum status parse_kid(size_t len, struct held *out, struct why *why)
{
    struct hex x = hex(ED_X);
    static const uint8_t kid[COSE_MAX_KID + 1];
    CLEANUP(buf_done)
    struct buf bytes;

    buf_init(&bytes, COSE_KEY_MAX_BYTES);
    cb_put_map(&bytes, 4);
    cb_put_int(&bytes, 1);
    cb_put_int(&bytes, 1);
    cb_put_int(&bytes, 2);
    cb_put_bytes(&bytes, span_of(kid, len));
    cb_put_int(&bytes, -1);
    cb_put_int(&bytes, 6);
    cb_put_int(&bytes, -2);
    cb_put_bytes(&bytes, hex_span(&x));
    *out = (struct held){ 0 };
    return sy_cose_key_parse(buf_span(&bytes), COSE_KEY_PUBLIC, &out->key, &out->cb, why);
}

/* TK-45. A kid of no bytes is one, and is not the same as none. */
static void tk45_a_kid_has_a_longest_length(void **state UNUSED)
{
    static const size_t lengths[] = { 0, 1, COSE_MAX_KID };
    struct why why = { 0 };

    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        CLEANUP(held_done)
        struct held h;
        assert_int_equal(parse_kid(lengths[i], &h, NULL), ST_OK);
        assert_non_null(h.key.kid.p);
        assert_int_equal(h.key.kid.len, lengths[i]);
    }
    CLEANUP(held_done)
    struct held h;
    assert_int_equal(parse_kid(COSE_MAX_KID + 1, &h, &why), ST_MALFORMED);
    assert_string_equal(why.clause, "TK-45");
}

static void keys_of_rsa_have_no_form_here(void **state UNUSED)
{
    static uint8_t modulus[256];
    CLEANUP(key_unrefp)
    struct key *rsa = NULL;
    CLEANUP(buf_done)
    struct buf out;

    memset(modulus, 0xc5, sizeof modulus);
    buf_init(&out, COSE_KEY_MAX_BYTES);
    assert_int_equal(key_new_rsa_public(span_of(modulus, sizeof modulus), SPAN("\x01\x00\x01"), &rsa, NULL),
                     ST_OK);
    assert_int_equal(sy_cose_key_write(rsa, SPAN_NONE, NULL, false, &out), ST_UNSUPPORTED);
    assert_int_equal(out.len, 0);
}

static void kinds_not_spoken_are_told_from_broken_ones(void **state UNUSED)
{
    refused("a10103", COSE_KEY_ANY, ST_UNSUPPORTED, "tokens.md 4");                            /* RSA */
    refused("a101634f4b50", COSE_KEY_ANY, ST_UNSUPPORTED, "tokens.md 4");                      /* "OKP" */
    refused("a301012004215820" ED_X, COSE_KEY_ANY, ST_UNSUPPORTED, "tokens.md 4");             /* X25519 */
    refused("a301022002215820" P256_X, COSE_KEY_ANY, ST_UNSUPPORTED, "tokens.md 4");           /* P-384 */
    refused("a401022001215820" P256_X "22f5", COSE_KEY_ANY, ST_UNSUPPORTED, "RFC 9053 7.1.1"); /* compressed */
    refused("a401022001215820" P256_X "22f4", COSE_KEY_ANY, ST_UNSUPPORTED, "RFC 9053 7.1.1");
    refused("a30101206745643235353139215820" ED_X, COSE_KEY_ANY, ST_UNSUPPORTED,
            "tokens.md 4"); /* crv "Ed25519" */
    refused("a401022001217820"
            "6161616161616161616161616161616161616161616161616161616161616161"
            "225820" P256_Y,
            COSE_KEY_ANY, ST_MALFORMED, "RFC 9053 7.1.1");                                /* x no text */
    refused("a40102200121f6225820" P256_Y, COSE_KEY_ANY, ST_MALFORMED, "RFC 9053 7.1.1"); /* nor null */
}

static void tk56_a_private_part_where_a_public_key_is_wanted_is_refused(void **state UNUSED)
{
    refused("a401012006215820" ED_X "235820" ED_D, COSE_KEY_PUBLIC, ST_BAD_POP_KEY, "TK-56");
    refused("a301012006215820" ED_X, COSE_KEY_PRIVATE, ST_BAD_POP_KEY, "RFC 9052 7.1");
    refused("a301012006215820" ED_X, COSE_KEY_SECRET, ST_BAD_POP_KEY, "RFC 9052 7.1");
    refused("a20104205820" SECRET, COSE_KEY_PUBLIC, ST_BAD_POP_KEY, "RFC 9052 7.1");
    refused("a20104205820" SECRET, COSE_KEY_PRIVATE, ST_BAD_POP_KEY, "RFC 9052 7.1");
    /* the private part of another key, or another half of the public part */
    refused("a501022001215820" P256_X "225820" P256_X "235820" P256_D, COSE_KEY_PRIVATE, ST_MALFORMED,
            "RFC 9053 7.1.1");
    refused("a501022001215820" P256_Y "225820" P256_Y "235820" P256_D, COSE_KEY_PRIVATE, ST_MALFORMED,
            "RFC 9053 7.1.1");
    refused("a401012006215820" ED_X "235820" P256_D, COSE_KEY_PRIVATE, ST_MALFORMED, "RFC 9053 7.1.1");
}

/* TK-57 */
static void tk57_key_ops_and_alg_say_what_a_key_may_do(void **state UNUSED)
{
    static const struct {
        const char *text;
        bool verifies;
    } rows[] = {
        { "a401010327"
          "2006215820" ED_X,
          true }, /* alg EdDSA */
        { "a401010326"
          "2006215820" ED_X,
          false },                                  /* ES256 */
        { "a401010481022006215820" ED_X, true },    /* verify */
        { "a40101048201022006215820" ED_X, true },  /* sign, verify */
        { "a401010481012006215820" ED_X, false },   /* sign */
        { "a401010481182a2006215820" ED_X, false }, /* an operation nobody knows */
        { "a4010104816676"
          "65726966792006215820" ED_X,
          false }, /* "verify": the registered form is the number */
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(held_done)
        struct held h;
        assert_int_equal(parse(rows[i].text, COSE_KEY_PUBLIC, &h, NULL), ST_OK);
        assert_int_equal(sy_cose_key_allows(&h.key, COSE_OP_VERIFY, COSE_EDDSA), rows[i].verifies);
    }
    refused("a4010104802006215820" ED_X, COSE_KEY_PUBLIC, ST_MALFORMED, "RFC 9052 7.1");
    refused("a4010104022006215820" ED_X, COSE_KEY_PUBLIC, ST_MALFORMED, "RFC 9052 7.1");
    refused("a401010481f62006215820" ED_X, COSE_KEY_PUBLIC, ST_MALFORMED, "RFC 9052 7.1");
    refused("a40101"
            "03f6"
            "2006215820" ED_X,
            COSE_KEY_PUBLIC, ST_UNSUPPORTED, "RFC 9052 7.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_keys_are_read),
        cmocka_unit_test(keys_are_written_in_deterministic_order),
        cmocka_unit_test(tk3_a_key_without_its_members_is_refused),
        cmocka_unit_test(tk45_a_kid_has_a_longest_length),
        cmocka_unit_test(keys_of_rsa_have_no_form_here),
        cmocka_unit_test(kinds_not_spoken_are_told_from_broken_ones),
        cmocka_unit_test(tk56_a_private_part_where_a_public_key_is_wanted_is_refused),
        cmocka_unit_test(tk57_key_ops_and_alg_say_what_a_key_may_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
