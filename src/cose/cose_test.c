/* COSE messages: published ones, and every form that must be refused whatever its key says. */
#include "cose/cose.h"

#include "cose/cose_priv.h"
#include "crypto/test_hex.h"
#include "support/vectors.h"

#define ROOM 4096

static struct key *secret(struct span bytes)
{
    struct key *key = NULL;

    assert_int_equal(key_new_secret(bytes, &key, NULL), ST_OK);
    return key;
}

static struct key *row_key(const struct js *key)
{
    CLEANUP(buf_done)
    struct buf bytes;
    struct key *made = NULL;
    struct span kind;
    enum status st;

    buf_init(&bytes, ROOM);
    if (!js_get_str(key, "kind", &kind))
        return NULL; /* a kind not spoken here */
    if (span_eq_str(kind, "oct"))
        return secret(vector_hex(key, "k_hex", &bytes));
    if (span_eq_str(kind, "Ed25519")) {
        st = key_new_ed25519_public(vector_hex(key, "x_hex", &bytes), &made, NULL);
    } else {
        (void)vector_hex(key, "x_hex", &bytes);
        (void)vector_hex(key, "y_hex", &bytes);
        st = key_new_p256_public(span_cut(buf_span(&bytes), 0, 32), span_cut(buf_span(&bytes), 32, 32), &made,
                                 NULL);
    }
    assert_int_equal(st, ST_OK);
    return made;
}

static enum status open_message(struct span message, const struct key *key, struct buf *out, struct why *why)
{
    CLEANUP(sy_cose_done)
    struct cose cose = { 0 };
    enum status st = sy_cose_parse(message, ROOM, &cose, why);

    if (st != ST_OK)
        return st;
    assert_non_null(key);
    return sy_cose_open(&cose, key, out, why);
}

/* Examples of the COSE working group, RFC 8392 A and RFC 8747 3.3. */
static void published_messages_open_or_are_refused_with_their_rule(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *rows = vectors_load("cose/messages.json");

    for (size_t i = 0; i < js_size(rows); i++) {
        const struct js *row = js_at(rows, i);
        CLEANUP(key_unrefp)
        struct key *key = row_key(js_get(row, "key"));
        struct buf message, expected, content;
        struct why why = { 0 };
        struct span refused = vector_str_or_none(row, "refused");

        buf_init(&message, ROOM);
        buf_init(&expected, ROOM);
        buf_init(&content, ROOM);
        enum status st = open_message(vector_hex(row, "cose_hex", &message), key, &content, &why);
        if ((st == ST_OK) != (refused.p == NULL) || (st != ST_OK && !span_eq_str(refused, why.clause)))
            fail_msg("%.*s: %s, %s", SPAN_FMT(vector_str(row, "name")), status_name(st), why.clause);
        if (st == ST_OK)
            assert_true(span_eq(buf_span(&content), vector_hex(row, "content_hex", &expected)));
        else
            assert_int_equal(content.len, 0);
        buf_done(&message);
        buf_done(&expected);
        buf_done(&content);
    }
    assert_true(js_size(rows) > 50);
}

/* RFC 8392 A.4, A.5: what we make is what others make. */
static void messages_without_a_signature_are_reproduced(void **state UNUSED)
{
    struct hex mac_key = hex("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388");
    struct hex key = hex("231f4c4d4d3051fdc2ec0a3851d5b383"), iv = hex("99a0d7846e762c49ffe8a63e0b");
    struct hex claims =
        hex("a70175636f61703a2f2f61732e6578616d706c652e636f6d02656572696b77037818636f61703a2f2f6c6967"
            "68742e6578616d706c652e636f6d041a5612aeb0051a5610d9f0061a5610d9f007420b71");
    CLEANUP(key_unrefp)
    struct key *mac = secret(hex_span(&mac_key));
    CLEANUP(key_unrefp)
    struct key *shared = secret(hex_span(&key));
    CLEANUP(buf_done)
    struct buf out;

    buf_init(&out, ROOM);
    assert_int_equal(sy_cose_mac0(COSE_HMAC_256_64, mac, SPAN("Symmetric256"), hex_span(&claims), &out), ST_OK);
    assert_hex_equal(
        out.p, out.len,
        "d18443a10104a1044c53796d6d65747269633235365850a70175636f61703a2f2f61732e6578616d706c652e636f6d0265"
        "6572696b77037818636f61703a2f2f6c696768742e6578616d706c652e636f6d041a5612aeb0051a5610d9f0061a5610d9"
        "f007420b7148093101ef6d789200");
    buf_reset(&out);
    assert_int_equal(cose_encrypt0_with(COSE_AES_CCM_16_64_128, shared, SPAN("Symmetric128"), hex_span(&iv),
                                        hex_span(&claims), &out),
                     ST_OK);
    assert_hex_equal(
        out.p, out.len,
        "d08343a1010aa2044c53796d6d6574726963313238054d99a0d7846e762c49ffe8a63e0b5858b918a11fd81e438b7f973d"
        "9e2e119bcb22424ba0f38a80f27562f400ee1d0d6c0fdb559c02421fd384fc2ebe22d7071378b0ea7428fff157444d45f7"
        "e6afcda1aae5f6495830c58627087fc5b4974f319a8707a635dd643b");
}

/* ---- ours, there and back, and every change of them ---- */

struct made {
    enum cose_alg alg;
    struct key *key;
    struct buf message;
};

#define MADE 8

static struct key *key_for(enum cose_alg alg)
{
    struct key *key = NULL;

    if (alg == COSE_ES256 || alg == COSE_EDDSA)
        assert_int_equal(key_generate(alg == COSE_ES256 ? KEY_P256 : KEY_ED25519, &key), ST_OK);
    else
        key = secret(span_cut(SPAN("a secret of thirty-two bytes ..."), 0,
                              sy_cose_key_len(alg) == 0 ? 32 : sy_cose_key_len(alg)));
    return key;
}

static void make_all(struct made made[MADE])
{
    static const enum cose_alg algs[MADE] = {
        COSE_ES256,   COSE_EDDSA,   COSE_HMAC_256_64,       COSE_HMAC_256_256,
        COSE_A128GCM, COSE_A256GCM, COSE_AES_CCM_16_64_128, COSE_AES_CCM_16_128_128
    };

    for (size_t i = 0; i < MADE; i++) {
        struct made *m = &made[i];
        enum status st;
        m->alg = algs[i];
        m->key = key_for(algs[i]);
        buf_init(&m->message, ROOM);
        if (i < 2)
            st = sy_cose_sign1(m->key, SPAN("kid"), SPAN("content"), &m->message);
        else if (i < 4)
            st = sy_cose_mac0(algs[i], m->key, SPAN("kid"), SPAN("content"), &m->message);
        else
            st = sy_cose_encrypt0(algs[i], m->key, SPAN("kid"), SPAN("content"), &m->message);
        assert_int_equal(st, ST_OK);
    }
}

static void made_done(struct made made[MADE])
{
    for (size_t i = 0; i < MADE; i++) {
        key_unref(made[i].key);
        buf_done(&made[i].message);
    }
}

static void what_we_make_we_open_under_its_own_key_only(void **state UNUSED)
{
    struct made made[MADE];

    make_all(made);
    for (size_t i = 0; i < MADE; i++) {
        for (size_t k = 0; k < MADE; k++) {
            CLEANUP(buf_done)
            struct buf out;
            CLEANUP(key_unrefp)
            struct key *other = i == k ? key_for(made[k].alg) : key_ref(made[k].key);
            bool same_secret = key_kind(other) == KEY_SECRET && key_same(other, made[i].key);
            struct why why = { 0 };
            buf_init(&out, ROOM);
            assert_int_equal(open_message(buf_span(&made[i].message), made[i].key, &out, &why), ST_OK);
            assert_true(span_eq(buf_span(&out), SPAN("content")));
            buf_reset(&out);
            /* TK-41, TK-42: a key that is not one for the algorithm, or another one of its kind */
            if (!same_secret)
                assert_int_equal(open_message(buf_span(&made[i].message), other, &out, &why), ST_BAD_TOKEN);
        }
    }
    made_done(made);
}

/* All but the kid, which is only a hint: it stands unprotected. */
static void every_changed_bit_is_refused(void **state UNUSED)
{
    struct made made[MADE];

    make_all(made);
    for (size_t i = 0; i < MADE; i++) {
        struct buf *m = &made[i].message;
        size_t kid_from = 3 + (m->p[2] & 0x1f); /* tag, array, protected headers; then {4: "kid" */
        CLEANUP(buf_done)
        struct buf out;
        buf_init(&out, ROOM);
        for (size_t bit = 0; bit < m->len * 8; bit++) {
            size_t at = bit / 8;
            m->p[at] ^= (uint8_t)(1u << bit % 8);
            enum status st = open_message(buf_span(m), made[i].key, &out, NULL);
            assert_true(st != ST_OK || (at >= kid_from && at < kid_from + 6));
            buf_reset(&out);
            m->p[at] ^= (uint8_t)(1u << bit % 8);
        }
    }
    made_done(made);
}

/* ---- refusals by form ---- */

static void refused(const char *message, enum status expected, const char *clause)
{
    CLEANUP(sy_cose_done)
    struct cose cose = { 0 };
    struct hex bytes = hex(message);
    struct why why = { 0 };
    enum status st = sy_cose_parse(hex_span(&bytes), ROOM, &cose, &why);

    if (st != expected || strcmp(why.clause, clause) != 0)
        fail_msg("%s: %s, %s: %s", message, status_name(st), why.clause, why.text);
}

#define TAG8 "480000000000000000" /* eight bytes */

static void tk43_alg_stands_protected_and_nowhere_else(void **state UNUSED)
{
    refused("d18440a1010440" TAG8, ST_BAD_TOKEN, "TK-43");          /* unprotected only */
    refused("d18443a10104a1010440" TAG8, ST_BAD_TOKEN, "TK-43");    /* in both, the same */
    refused("d18443a10104a1010540" TAG8, ST_BAD_TOKEN, "TK-43");    /* in both, another */
    refused("d18440a040" TAG8, ST_BAD_TOKEN, "TK-43");              /* missing */
    refused("d18441a0a040" TAG8, ST_BAD_TOKEN, "TK-43");            /* missing in a map */
    refused("d18443a101f6a040" TAG8, ST_MALFORMED, "RFC 9052 3.1"); /* null */
}

/* TK-40: no algorithm is no algorithm, however it is written */
static void tk40_algorithms_not_spoken_are_refused(void **state UNUSED)
{
    refused("d18443a10100a040" TAG8, ST_UNSUPPORTED, "tokens.md 4");
    refused("d18447a101646e6f6e65a040" TAG8, ST_UNSUPPORTED, "tokens.md 4"); /* "none" */
    refused("d18445a101390100a040" TAG8, ST_UNSUPPORTED, "tokens.md 4");     /* RS256: -257 */
    refused("d1844ba1013b7fffffffffffffffa040" TAG8, ST_UNSUPPORTED, "tokens.md 4");
    refused("d1844ba1011bffffffffffffffffa040" TAG8, ST_UNSUPPORTED, "tokens.md 4");
}

static void tk47_crit_is_refused_wherever_it_stands(void **state UNUSED)
{
    refused("d18447a2010402811863a040" TAG8, ST_UNSUPPORTED, "TK-47"); /* [99], protected */
    refused("d18446a20104028101a040" TAG8, ST_UNSUPPORTED, "TK-47");   /* [alg], a registered one */
    refused("d18443a10104a102810140" TAG8, ST_UNSUPPORTED, "TK-47");   /* unprotected */
}

static void tk42_a_tag_that_alg_is_not_for_is_refused(void **state UNUSED)
{
    refused("d28443a10104a040" TAG8, ST_BAD_TOKEN, "TK-42"); /* COSE_Sign1 with HMAC */
    refused("d18443a10126a040" TAG8, ST_BAD_TOKEN, "TK-42"); /* COSE_Mac0 with ES256 */
    refused("d08343a10105a040", ST_BAD_TOKEN, "TK-42");      /* COSE_Encrypt0 with HMAC */
    refused("d08343a10126a040", ST_BAD_TOKEN, "TK-42");
    refused("d18443a10101a040" TAG8, ST_BAD_TOKEN, "TK-42"); /* COSE_Mac0 with A128GCM */
}

/* TK-10: without a tag the algorithm says what this is, and the array must be one of that. */
static void tk10_without_a_tag_the_array_must_be_the_algorithms(void **state UNUSED)
{
    refused("8343a10104a040", ST_MALFORMED, "RFC 9052 2");
    refused("8343a10126a040", ST_MALFORMED, "RFC 9052 2");
    refused("8443a10101a040" TAG8, ST_MALFORMED, "RFC 9052 2");
    refused("8543a10126a0404040", ST_MALFORMED, "RFC 9052 2");
    refused("82a040", ST_MALFORMED, "RFC 9052 2");
}

static void tk48_a_header_twice_is_refused(void **state UNUSED)
{
    refused("d18449a301040441610441"
            "62a040" TAG8,
            ST_MALFORMED, "TK-48");                                      /* kid twice, protected */
    refused("d18446a20104044161a104416240" TAG8, ST_MALFORMED, "TK-48"); /* kid in both buckets */
    refused("d18446a20104044161a104416140" TAG8, ST_MALFORMED, "TK-48"); /* though the same */
    refused("d18447a20104617861"
            "79a16178617a40" TAG8,
            ST_MALFORMED, "TK-48"); /* a text label in both */
}

static void tk45_a_long_kid_is_refused(void **state UNUSED)
{
    CLEANUP(sy_cose_done)
    struct cose cose = { 0 };
    CLEANUP(buf_done)
    struct buf message;
    uint8_t kid[COSE_MAX_KID + 1] = { 0 };
    CLEANUP(key_unrefp)
    struct key *key = key_for(COSE_HMAC_256_256);
    struct why why;

    buf_init(&message, ROOM);
    assert_int_equal(sy_cose_mac0(COSE_HMAC_256_256, key, span_of(kid, sizeof kid - 1), SPAN("x"), &message),
                     ST_OK);
    assert_int_equal(sy_cose_parse(buf_span(&message), ROOM, &cose, NULL), ST_OK);
    assert_true(span_eq(cose.kid, span_of(kid, sizeof kid - 1))); /* NULs and all */
    sy_cose_done(&cose);
    buf_reset(&message);
    assert_int_equal(sy_cose_mac0(COSE_HMAC_256_256, key, span_of(kid, sizeof kid), SPAN("x"), &message),
                     ST_OK);
    assert_int_equal(sy_cose_parse(buf_span(&message), ROOM, &cose, &why), ST_MALFORMED);
    assert_string_equal(why.clause, "TK-45");
}

static void what_is_no_cose_is_refused(void **state UNUSED)
{
    refused("", ST_MALFORMED, "TK-50");
    refused("a0", ST_MALFORMED, "RFC 9052 2");
    refused("d83d8443a10104a040" TAG8, ST_MALFORMED, "TK-12");   /* the CWT tag is no COSE tag */
    refused("d2d28443a10126a04040", ST_MALFORMED, "RFC 9052 2"); /* a tag twice */
    refused("d862844"
            "3a10126a04040",
            ST_UNSUPPORTED, "RFC 9052 2");
    refused("d1846178a040" TAG8, ST_MALFORMED, "RFC 9052 3");
    refused("d184a10104a040" TAG8, ST_MALFORMED, "RFC 9052 3"); /* protected, but no byte string */
    refused("d1844180a040" TAG8, ST_MALFORMED, "RFC 9052 3");   /* ... with no map in it */
    refused("d18444a1010400a040" TAG8, ST_MALFORMED, "TK-50");  /* ... with something behind it */
    refused("d18443a101048040" TAG8, ST_MALFORMED, "RFC 9052 3");
    refused("d18443a10104a0f6" TAG8, ST_MALFORMED, "RFC 9052 2"); /* detached */
    refused("d18443a10104a040f6", ST_MALFORMED, "RFC 9052 4.2");
    refused("d18443a10104a040" TAG8 "00", ST_MALFORMED, "TK-50");
    refused("d19f43a10104a040" TAG8 "ff", ST_MALFORMED, "TK-50"); /* indefinite length */
    refused("d18443a10104a1046161"
            "40" TAG8,
            ST_MALFORMED, "RFC 9052 3.1"); /* kid as text */
    refused("d18443a10104a1054d0000000000000000000000000040" TAG8, ST_MALFORMED,
            "RFC 9052 3.1"); /* IV of a MAC */
    refused("d08343a10101a1064161"
            "40",
            ST_UNSUPPORTED, "RFC 9052 3.1"); /* partial IV */
}

/* TK-63: HMAC 256/64 has 8 bytes and HMAC 256/256 has 32, no fewer and no more; TK-62 likewise. */
static void tk63_macs_ivs_and_tags_have_their_own_length(void **state UNUSED)
{
    struct made made[MADE];

    make_all(made);
    for (size_t i = 0; i < MADE; i++) {
        CLEANUP(sy_cose_done)
        struct cose cose = { 0 };
        CLEANUP(buf_done)
        struct buf out;
        struct why why = { 0 };
        buf_init(&out, ROOM);
        assert_int_equal(sy_cose_parse(buf_span(&made[i].message), ROOM, &cose, NULL), ST_OK);
        struct span sig = cose.signature, iv = cose.iv, content = cose.content;
        for (size_t len = 0; cose.kind != COSE_ENCRYPT0 && len < sig.len; len++) {
            cose.signature = span_cut(sig, 0, len);
            assert_int_equal(sy_cose_open(&cose, made[i].key, &out, &why), ST_BAD_TOKEN);
            assert_string_equal(why.clause, "TK-63");
        }
        for (size_t len = 0; cose.kind == COSE_ENCRYPT0 && len < iv.len; len++) {
            cose.iv = span_cut(iv, 0, len);
            assert_int_equal(sy_cose_open(&cose, made[i].key, &out, &why), ST_BAD_TOKEN);
            assert_string_equal(why.clause, "TK-62");
        }
        cose.iv = iv;
        for (size_t len = 0; cose.kind == COSE_ENCRYPT0 && len < content.len; len++) {
            cose.content = span_cut(content, 0, len);
            assert_int_equal(sy_cose_open(&cose, made[i].key, &out, &why), ST_BAD_TOKEN);
        }
        assert_int_equal(out.len, 0);
    }
    made_done(made);
}

/* A full MAC is not accepted where the algorithm has a short one, nor the other way round. */
static void tk63_a_mac_of_the_other_algorithm_is_refused(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = key_for(COSE_HMAC_256_256);
    CLEANUP(buf_done)
    struct buf message;
    CLEANUP(buf_done)
    struct buf out;

    buf_init(&message, ROOM);
    buf_init(&out, ROOM);
    assert_int_equal(sy_cose_mac0(COSE_HMAC_256_256, key, SPAN_NONE, SPAN("x"), &message), ST_OK);
    message.p[5] = COSE_HMAC_256_64; /* d1 84 43 a1 01 [05] */
    assert_int_equal(open_message(buf_span(&message), key, &out, NULL), ST_BAD_TOKEN);
}

/* RFC 9053 3.1, 4: keys of another length are keys of another algorithm. */
static void keys_of_the_wrong_length_do_not_fit(void **state UNUSED)
{
    static const uint8_t zeros[64];

    for (size_t len = 1; len <= sizeof zeros; len++) {
        CLEANUP(key_unrefp)
        struct key *key = secret(span_of(zeros, len));
        CLEANUP(buf_done)
        struct buf out;
        buf_init(&out, ROOM);
        assert_int_equal(sy_cose_alg_fits(COSE_HMAC_256_256, key), len >= 32);
        assert_int_equal(sy_cose_alg_fits(COSE_HMAC_256_64, key), len >= 32);
        assert_int_equal(sy_cose_alg_fits(COSE_A128GCM, key), len == 16);
        assert_int_equal(sy_cose_alg_fits(COSE_A256GCM, key), len == 32);
        assert_int_equal(sy_cose_alg_fits(COSE_AES_CCM_16_64_128, key), len == 16);
        assert_false(sy_cose_alg_fits(COSE_EDDSA, key) || sy_cose_alg_fits(COSE_ES256, key));
        if (len != 16)
            assert_int_equal(sy_cose_encrypt0(COSE_A128GCM, key, SPAN_NONE, SPAN("x"), &out), ST_BAD_POP_KEY);
        assert_int_equal(sy_cose_sign1(key, SPAN_NONE, SPAN("x"), &out), ST_BAD_POP_KEY);
        assert_int_equal(out.len, 0);
    }
}

/* TK-67 */
static void tk67_no_iv_comes_twice(void **state UNUSED)
{
    enum { N = 512, IV_AT = 9, IV_LEN = 12 };
    static uint8_t seen[N][IV_LEN];
    CLEANUP(key_unrefp)
    struct key *key = key_for(COSE_A128GCM);

    for (size_t i = 0; i < N; i++) {
        CLEANUP(buf_done)
        struct buf out;
        CLEANUP(sy_cose_done)
        struct cose cose = { 0 };
        buf_init(&out, ROOM);
        assert_int_equal(sy_cose_encrypt0(COSE_A128GCM, key, SPAN_NONE, SPAN("the same text"), &out), ST_OK);
        assert_int_equal(sy_cose_parse(buf_span(&out), ROOM, &cose, NULL), ST_OK);
        assert_int_equal(cose.iv.len, IV_LEN);
        memcpy(seen[i], cose.iv.p, IV_LEN);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(seen[k], seen[i], IV_LEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_messages_open_or_are_refused_with_their_rule),
        cmocka_unit_test(messages_without_a_signature_are_reproduced),
        cmocka_unit_test(what_we_make_we_open_under_its_own_key_only),
        cmocka_unit_test(every_changed_bit_is_refused),
        cmocka_unit_test(tk43_alg_stands_protected_and_nowhere_else),
        cmocka_unit_test(tk40_algorithms_not_spoken_are_refused),
        cmocka_unit_test(tk47_crit_is_refused_wherever_it_stands),
        cmocka_unit_test(tk42_a_tag_that_alg_is_not_for_is_refused),
        cmocka_unit_test(tk10_without_a_tag_the_array_must_be_the_algorithms),
        cmocka_unit_test(tk48_a_header_twice_is_refused),
        cmocka_unit_test(tk45_a_long_kid_is_refused),
        cmocka_unit_test(what_is_no_cose_is_refused),
        cmocka_unit_test(tk63_macs_ivs_and_tags_have_their_own_length),
        cmocka_unit_test(tk63_a_mac_of_the_other_algorithm_is_refused),
        cmocka_unit_test(keys_of_the_wrong_length_do_not_fit),
        cmocka_unit_test(tk67_no_iv_comes_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
