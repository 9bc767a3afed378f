/* The claims of a CWT and what the AS puts there: the rules of RFC 8392 3.1 and AF-63 where CBOR has forms of its own,
 * and a broker without a clock. The layers around them are in cwt_test.c. */
#include "crypto/hash.h"
#include "crypto/test_hex.h"
#include "token/claims.h"
#include "token/fixture_cwt_priv.h"

static void a_good_cwt_carries_every_claim(void **state)
{
    CLEANUP(token_unrefp)
    struct token *t = cwt_accept(
        *state, CWT({ 5, "1a000f423f" }, { 39, "4401020304" }, { 40, "183c" }, { 7, "43000102" }), false);
    uint8_t thumbprint[JWK_THUMBPRINT_LEN];

    assert_int_equal(t->format, TOKEN_CWT);
    assert_span_equal(t->iss, SPAN(FIXTURE_ISS));
    assert_span_equal(t->sub, SPAN("sensor-1"));
    assert_span_equal(t->aud, SPAN(FIXTURE_AUD));
    assert_span_equal(t->jti, SPAN("\x00\x01\x02"));
    assert_span_equal(t->cnonce, SPAN("\x01\x02\x03\x04"));
    assert_true(t->has_exp && t->has_exi && t->has_iat && t->has_nbf);
    assert_int_equal(t->exp.s, FIXTURE_NOW + 600);
    assert_int_equal(t->exi_s, 60);
    assert_int_equal(t->iat.s, FIXTURE_NOW);
    assert_int_equal(t->nbf.s, FIXTURE_NOW - 1);
    assert_int_equal(scope_size(t->scope), 1);
    assert_int_equal(t->cnf_how, TOKEN_CNF_KEY);
    assert_int_equal(key_kind(t->cnf), KEY_ED25519);
    assert_int_equal(jwk_thumbprint(t->cnf, thumbprint), ST_OK);
    assert_memory_equal(t->cnf_thumbprint, thumbprint, sizeof thumbprint);
    assert_null(t->cnf_kid.p);
    assert_false(t->encrypted || t->by_introspection || t->no_clock);
}

static void tk52_times_that_are_no_whole_numbers_are_refused(void **state)
{
    static const char *const bad[] = {
        "6731303030363030",   /* "1000600" */
        "20",                 /* -1 */
        "f97e00",             /* NaN */
        "f97c00",             /* Infinity */
        "1b0020000000000001", /* 2^53 + 1 */
        "1bffffffffffffffff",
        "c11a000f4498", /* tag 1: RFC 8392 2 has none */
        "f5",
        "f6",
    };
    static const char *const whole = "fb412e893000000000"; /* 1000600.0 */

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        cwt_refused(*state, CWT({ 4, bad[i] }), ST_BAD_TOKEN, "TK-52");
        cwt_refused(*state, CWT({ 5, bad[i] }), ST_BAD_TOKEN, "TK-52");
        cwt_refused(*state, CWT({ 6, bad[i] }), ST_BAD_TOKEN, "TK-52");
        cwt_refused(*state, CWT({ 40, bad[i] }), ST_BAD_TOKEN, "TK-52");
    }
    cwt_refused(*state, CWT({ 4, whole }), ST_BAD_TOKEN, "TK-52");
    cwt_refused(*state, CWT({ 5, whole }), ST_BAD_TOKEN, "TK-52");
    cwt_refused(*state, CWT({ 4, NULL }), ST_BAD_TOKEN, "TK-52");
}

/* RFC 8392 A.7: when it was made may be told in parts of a second. */
static void iat_may_be_a_fraction(void **state)
{
    CLEANUP(token_unrefp)
    struct token *t = cwt_accept(*state, CWT({ 6, "fb412e848100000000" }), false); /* 1000000.5 */

    assert_true(t->has_iat);
    assert_int_equal(t->iat.s, FIXTURE_NOW);
}

static void expired_and_future_cwts_are_refused(void **state)
{
    cwt_refused(*state, CWT({ 4, "1a000f4236" }), ST_TOKEN_EXPIRED,
                "AF-63 exp");                                             /* 10 s ago, and 10 s of skew */
    cwt_refused(*state, CWT({ 5, "1a000f424b" }), ST_BAD_TOKEN, "TK-53"); /* in 11 s */
    cwt_refused(*state, CWT({ 6, "1a000f424b" }), ST_BAD_TOKEN, "TK-53");
    cwt_refused(*state, CWT({ 40, "00" }), ST_TOKEN_EXPIRED, "AF-75");
    cwt_refused(*state, CWT({ 40, "183c" }, { 7, NULL }), ST_BAD_TOKEN, "AF-76");
}

/* AF-63 steps 3 and 5, TK-54, TK-65 */
static void names_must_be_ours(void **state)
{
    CLEANUP(token_unrefp)
    struct token *one_of = cwt_accept(*state,
                                      CWT({ 3, "826178"
                                               "6662726f6b6572" }),
                                      false); /* ["x", "broker"] */

    assert_span_equal(one_of->aud, SPAN("broker"));
    cwt_refused(*state, CWT({ 1, "7368747470733a2f2f6173322e6578616d706c65" }), ST_BAD_TOKEN, "AF-63 iss");
    cwt_refused(*state, CWT({ 1, "4161" }), ST_BAD_TOKEN, "AF-63 iss");
    cwt_refused(*state, CWT({ 3, NULL }), ST_BAD_TOKEN, "AF-63 aud");
    cwt_refused(*state, CWT({ 3, "6642726f6b6572" }), ST_BAD_TOKEN, "AF-63 aud"); /* "Broker" */
    cwt_refused(*state, CWT({ 3, "6562726f6b65" }), ST_BAD_TOKEN, "AF-63 aud");
    cwt_refused(*state, CWT({ 3, "4662726f6b6572" }), ST_BAD_TOKEN, "AF-63 aud"); /* bytes */
    cwt_refused(*state,
                CWT({ 3, "8207"
                         "6662726f6b6572" }),
                ST_BAD_TOKEN, "AF-63 aud");
    cwt_refused(*state, CWT({ 3, "80" }), ST_BAD_TOKEN, "AF-63 aud");
    cwt_refused(*state, CWT({ 2, "07" }), ST_MALFORMED, "AF-63 claims");
    cwt_refused(*state, CWT({ 2, "626100" }), ST_MALFORMED, "AF-63 claims"); /* U+0000 */
    cwt_refused(*state, CWT({ 7, "6161" }), ST_MALFORMED, "RFC 8392 3.1.7");
    cwt_refused(*state, CWT({ 7, "40" }), ST_MALFORMED, "RFC 8392 3.1.7");
}

/* TK-48, TK-50, TK-49: also key 1 as 01 and 1801 */
static void claims_that_are_not_strict_cbor_are_refused(void **state)
{
    const struct fixture *f = *state;
    static const struct {
        struct span claims;
        const char *clause;
    } rows[] = {
        { SPAN("\xa2\x01\x61\x61\x01\x61\x62"), "TK-48" },
        { SPAN("\xa2\x01\x61\x61\x18\x01\x61\x62"), "TK-50" },
        { SPAN("\xbf\x01\x61\x61\xff"), "TK-50" },
        { SPAN("\xa1\x01\x61\x61\x00"), "TK-50" },
        { SPAN("\xa1\x01\x61\xff"), "TK-50" },
        { SPAN("\xa1\x01\x1c"), "TK-50" },
        { SPAN("\xa1\x01\x9a\xff\xff\xff\xff"), "TK-49" },
        { SPAN("\xa1\x01\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x00"), "TK-49" },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf cwt;
        buf_init(&cwt, ROOM);
        assert_int_equal(sy_cose_sign1(f->as, SPAN("as-1"), rows[i].claims, &cwt), ST_OK);
        assert_text_refused(f, buf_span(&cwt), ST_MALFORMED, rows[i].clause);
    }
}

/* D-20, AF-106, MT-86: the array; in a byte string; tagged as RFC 9594 7 says; and the texts a JWT may carry. */
static void d20_every_carriage_of_a_scope_is_understood(void **state)
{
    static const char *const forms[] = {
        AIF, "4e" AIF, "da637402234e" AIF, /* TN(290), application/aif+cbor */
    };

    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        CLEANUP(token_unrefp)
        struct token *t = cwt_accept(*state, CWT({ 9, forms[i] }), false);
        assert_int_equal(scope_size(t->scope), 1);
        assert_true(scope_may_publish(t->scope, (struct topic_name){ SPAN("topic1") }));
    }
    CLEANUP(token_unrefp)
    struct token *text = cwt_accept(*state, CWT({ 9, "745b5b22746f70696331222c5b22707562225d5d5d" }), false);
    CLEANUP(token_unrefp)
    struct token *none = cwt_accept(*state, CWT({ 9, NULL }), false);
    CLEANUP(token_unrefp)
    struct token *empty = cwt_accept(*state, CWT({ 9, "4180" }), false);
    assert_int_equal(scope_size(text->scope), 1);
    assert_int_equal(scope_size(none->scope), 0); /* MT-83 */
    assert_int_equal(scope_size(empty->scope), 0);
}

static void scopes_not_understood_are_refused(void **state)
{
    static const struct {
        const char *hex, *clause;
    } rows[] = {
        { "07", "MT-80" },
        { "a0", "MT-80" },
        { "4107", "MT-80" },
        { "f6", "MT-80" },
        { "ca4e" AIF, "RFC 9594 7" },       /* another tag */
        { "da63740223" AIF, "RFC 9594 7" }, /* the tag around an array, not a byte string */
        { "da6374010041"
          "80",
          "RFC 9594 7" }, /* just below the range */
        { "81826161"
          "8163667570",
          "MT-87" }, /* "fup" */
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf cwt;
        struct token *token = NULL;
        struct why why = { 0 };
        buf_init(&cwt, ROOM);
        cwt_sign(*state, CWT({ 9, rows[i].hex }), &cwt);
        assert_int_equal(fixture_verify(*state, buf_span(&cwt), &token, &why), ST_BAD_SCOPE);
        if (strcmp(rows[i].clause, "MT-80") != 0)
            assert_string_equal(why.clause, rows[i].clause);
    }
}

/* AF-94: 3 is mqtt_tls; nothing else is spoken, and in CBOR it is a number. */
static void ace_profile_must_be_mqtt_tls(void **state)
{
    CLEANUP(token_unrefp)
    struct token *absent = cwt_accept(*state, CWT({ 38, NULL }), false);

    assert_non_null(absent);
    cwt_refused(*state, CWT({ 38, "01" }), ST_BAD_TOKEN, "AF-94"); /* coap_dtls */
    cwt_refused(*state, CWT({ 38, "02" }), ST_BAD_TOKEN, "AF-94");
    cwt_refused(*state, CWT({ 38, "22" }), ST_BAD_TOKEN, "AF-94");
    cwt_refused(*state, CWT({ 38, "686d7174745f746c73" }), ST_BAD_TOKEN, "AF-94"); /* "mqtt_tls" */
    cwt_refused(*state, CWT({ 38, "f6" }), ST_BAD_TOKEN, "AF-94");
}

/* AF-17, AF-19: always bytes in a CWT */
static void cnonce_is_bytes(void **state)
{
    cwt_refused(*state, CWT({ 39, "6441514944" }), ST_BAD_TOKEN, "AF-19");
    cwt_refused(*state, CWT({ 39, "40" }), ST_BAD_TOKEN, "AF-19");
    cwt_refused(*state, CWT({ 39, "01" }), ST_BAD_TOKEN, "AF-19");
}

/* ---- a broker without a clock ---- */

static struct verifier *without_clock(const struct fixture *f, uint32_t max_lifetime_s)
{
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    struct verifier *v = NULL;

    fixture_config(f, &c);
    c.config.no_clock = true;
    c.config.max_lifetime_s = max_lifetime_s;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    return v;
}

static enum status verify_unclocked(const struct fixture *f, uint32_t max_lifetime_s,
                                    const struct cwt_change *changes, struct token **ret, struct why *why)
{
    CLEANUP(verifier_unrefp)
    struct verifier *v = without_clock(f, max_lifetime_s);
    CLEANUP(buf_done)
    struct buf cwt;

    buf_init(&cwt, ROOM);
    cwt_sign(f, changes, &cwt);
    return token_verify(buf_span(&cwt), v, (struct wall_time){ 5 }, ret, why); /* 1970 */
}

static void af15_without_a_clock_life_is_a_length_from_first_receipt(void **state)
{
    CLEANUP(token_unrefp)
    struct token *dated = NULL;
    CLEANUP(token_unrefp)
    struct token *counted = NULL;
    struct wall_time end;

    assert_int_equal(verify_unclocked(*state, 0, CWT({ 39, "4101" }), &dated, NULL), ST_OK);
    assert_true(dated->no_clock);
    assert_true(token_end(dated, (struct wall_time){ 5 }, &end));
    assert_int_equal(end.s, 5 + 600); /* exp - iat, no skew */
    assert_int_equal(verify_unclocked(*state, 0, CWT({ 39, "4101" }, { 4, NULL }, { 6, NULL }, { 40, "183c" }),
                                      &counted, NULL),
                     ST_OK);
    assert_true(token_end(counted, (struct wall_time){ 7 }, &end));
    assert_int_equal(end.s, 7 + 60);
    token_unref(counted);
    counted = NULL;
    /* exp without iat is no length: exi alone counts */
    assert_int_equal(
        verify_unclocked(*state, 0, CWT({ 39, "4101" }, { 6, NULL }, { 40, "183c" }), &counted, NULL), ST_OK);
    assert_true(token_end(counted, (struct wall_time){ 7 }, &end));
    assert_int_equal(end.s, 7 + 60);
}

static void af18_without_a_clock_a_cnonce_is_required_and_a_length(void **state)
{
    static const struct {
        struct cwt_change changes[4];
        uint32_t max_lifetime_s;
        enum status st;
        const char *clause;
    } rows[] = {
        { { { 0, NULL } }, 0, ST_BAD_TOKEN, "AF-18" },
        { { { 39, "4101" }, { 6, NULL } }, 0, ST_BAD_TOKEN, "TK-52" },
        { { { 39, "4101" }, { 4, NULL } }, 0, ST_BAD_TOKEN, "TK-52" },
        { { { 39, "4101" }, { 4, NOW } }, 0, ST_TOKEN_EXPIRED, "AF-75" },  /* exp = iat */
        { { { 39, "4101" }, { 4, "01" } }, 0, ST_TOKEN_EXPIRED, "AF-75" }, /* exp before iat */
        { { { 39, "4101" }, { 40, "00" } }, 0, ST_TOKEN_EXPIRED, "AF-75" },
        { { { 39, "4101" } }, 599, ST_BAD_TOKEN, "max_lifetime" },
        { { { 39, "4101" }, { 40, "190258" } }, 599, ST_BAD_TOKEN, "max_lifetime" },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct token *token = NULL;
        struct why why = { 0 };
        assert_int_equal(verify_unclocked(*state, rows[i].max_lifetime_s, rows[i].changes, &token, &why),
                         rows[i].st);
        assert_string_equal(why.clause, rows[i].clause);
    }
}

/* ---- what the AS makes, the broker takes ---- */

static struct token *issue_and_verify(const struct fixture *f, const struct token_claims *claims,
                                      const struct key *signer, bool encrypted)
{
    CLEANUP(buf_done)
    struct buf cwt;
    struct token *token = NULL;
    struct why why = { 0 };
    enum status st;

    buf_init(&cwt, ROOM);
    st = encrypted ? token_issue_cwt_encrypt0(claims, signer, SPAN("as-1"), f->shared, SPAN("rs-1"), &cwt, &why)
                   : token_issue_cwt_sign1(claims, signer, SPAN("as-1"), &cwt, &why);
    if (st != ST_OK || fixture_verify(f, buf_span(&cwt), &token, &why) != ST_OK)
        fail_msg("%s, %s", why.clause, why.text);
    assert_true(span_starts_with(buf_span(&cwt), SPAN("\xd8\x3d"))); /* RFC 8392 6 */
    return token;
}

static struct token_claims issued(const struct key *cnf, const struct scope *scope)
{
    return (struct token_claims){ .iss = SPAN(FIXTURE_ISS),
                                  .sub = SPAN("sensor-1"),
                                  .aud = SPAN(FIXTURE_AUD),
                                  .jti = SPAN("\x00\xff"),
                                  .has_exp = true,
                                  .exp = { FIXTURE_NOW + 60 },
                                  .has_iat = true,
                                  .iat = { FIXTURE_NOW },
                                  .scope = scope,
                                  .cnf = cnf,
                                  .cnf_kid = SPAN("k-1"),
                                  .cnonce = SPAN("nonce"),
                                  .ace_profile = true };
}

static void what_the_as_issues_the_broker_accepts(void **state)
{
    const struct fixture *f = *state;
    static const enum key_kind kinds[] = { KEY_ED25519, KEY_P256, KEY_SECRET };
    const struct scope_entry entry = { { SPAN("topic/#") }, SCOPE_PUB | SCOPE_SUB };
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;

    assert_int_equal(scope_build(&entry, 1, &scope, NULL), ST_OK);
    for (size_t i = 0; i < COUNT_OF(kinds) * 3; i++) {
        enum key_kind kind = kinds[i / 3];
        bool encrypted = i % 3 != 0;
        CLEANUP(key_unrefp)
        struct key *cnf = NULL;
        if (kind == KEY_SECRET && !encrypted)
            continue;
        assert_int_equal(key_generate(kind, &cnf), ST_OK);
        const struct token_claims claims = issued(cnf, scope);
        CLEANUP(token_unrefp)
        struct token *t = issue_and_verify(f, &claims, i % 3 == 1 ? NULL : f->as, encrypted);
        assert_int_equal(t->format, TOKEN_CWT);
        assert_int_equal(t->encrypted, encrypted);
        assert_span_equal(t->jti, SPAN("\x00\xff"));
        assert_span_equal(t->cnf_kid, SPAN("k-1"));
        assert_span_equal(t->cnonce, SPAN("nonce"));
        assert_true(key_same(t->cnf, cnf));
        assert_true(scope_same(t->scope, scope));
        assert_true(kind == KEY_SECRET || !key_is_private(t->cnf)); /* TK-56 */
    }
}

static void tk4_the_as_puts_no_secret_into_a_signed_cwt_and_no_key_of_its_own(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(key_unrefp)
    struct key *secret = NULL;
    CLEANUP(buf_done)
    struct buf cwt;
    struct token_claims claims;
    struct why why;

    buf_init(&cwt, ROOM);
    assert_int_equal(key_generate(KEY_SECRET, &secret), ST_OK);
    claims = issued(secret, NULL);
    assert_int_equal(token_issue_cwt_sign1(&claims, f->as, SPAN("as-1"), &cwt, &why), ST_BAD_POP_KEY);
    assert_string_equal(why.clause, "TK-4");
    claims.cnf = f->as;
    assert_int_equal(token_issue_cwt_sign1(&claims, f->as, SPAN("as-1"), &cwt, &why), ST_BAD_POP_KEY);
    assert_string_equal(why.clause, "TK-58");
    claims.cnf = f->shared;
    assert_int_equal(token_issue_cwt_encrypt0(&claims, NULL, SPAN_NONE, f->shared, SPAN("rs-1"), &cwt, &why),
                     ST_BAD_POP_KEY);
    assert_string_equal(why.clause, "TK-58");
    claims = issued(secret, NULL);
    claims.has_exp = false;
    assert_int_equal(token_issue_cwt_encrypt0(&claims, NULL, SPAN_NONE, f->shared, SPAN("rs-1"), &cwt, &why),
                     ST_INTERNAL);
    assert_string_equal(why.clause, "TK-52");
    assert_int_equal(cwt.len, 0);
}

/* The message inside `cwt` with other unprotected headers (hex of a map), with tags or without. */
static void dress(struct span cwt, const char *open_hex, struct span tags, struct buf *out)
{
    CLEANUP(sy_cose_done)
    struct cose cose = { 0 };
    struct hex open = hex(open_hex);

    assert_int_equal(sy_cose_parse(span_cut(cwt, 2, cwt.len), ROOM, &cose, NULL), ST_OK);
    put_bytes(out, tags);
    cb_put_array(out, cose.kind == COSE_ENCRYPT0 ? 3 : 4);
    cb_put_bytes(out, cose.protected);
    if (cose.kind == COSE_ENCRYPT0) { /* its IV too, behind what is given */
        assert_int_equal(open.bytes[0] & 0xf0, 0xa0);
        open.bytes[0]++;
    }
    put_bytes(out, hex_span(&open));
    if (cose.kind == COSE_ENCRYPT0) {
        cb_put_int(out, 5);
        cb_put_bytes(out, cose.iv);
    }
    cb_put_bytes(out, cose.content);
    if (cose.kind != COSE_ENCRYPT0)
        cb_put_bytes(out, cose.signature);
}

static void assert_known_by(const struct fixture *f, struct span cwt, const uint8_t hash[TOKEN_HASH_LEN])
{
    CLEANUP(token_unrefp)
    struct token *t = NULL;
    struct why why = { 0 };

    if (fixture_verify(f, cwt, &t, &why) != ST_OK)
        fail_msg("refused: %s, %s", why.clause, why.text);
    assert_memory_equal(t->hash, hash, TOKEN_HASH_LEN);
}

/* MT-73, RFC 9770 13.6: tags and unprotected headers can be changed by whoever holds a CWT. However it is dressed, it is
 * known by the hash of what the AS made: or a revoked one would come back in other clothes, and exi start over. */
static void mt73_a_cwt_in_other_clothes_is_the_same_token(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(key_unrefp)
    struct key *cnf = NULL;
    static const char *const headers[] = { "a0", "a11863f5", "a10da0" };

    assert_int_equal(key_generate(KEY_ED25519, &cnf), ST_OK);
    for (int encrypted = 0; encrypted <= 1; encrypted++) {
        const struct token_claims claims = issued(cnf, NULL);
        const struct span tag = encrypted ? SPAN("\xd0") : SPAN("\xd2");
        const struct span tags = encrypted ? SPAN("\xd8\x3d\xd0") : SPAN("\xd8\x3d\xd2");
        uint8_t hash[TOKEN_HASH_LEN];
        CLEANUP(buf_done)
        struct buf cwt;
        buf_init(&cwt, ROOM);
        assert_int_equal(encrypted ? token_issue_cwt_encrypt0(&claims, f->as, SPAN("as-1"), f->shared,
                                                              SPAN("rs-1"), &cwt, NULL)
                                   : token_issue_cwt_sign1(&claims, f->as, SPAN("as-1"), &cwt, NULL),
                         ST_OK);
        assert_int_equal(sha256(buf_span(&cwt), hash), ST_OK); /* what the AS lists */
        assert_known_by(f, buf_span(&cwt), hash);
        assert_known_by(f, span_cut(buf_span(&cwt), 2, cwt.len), hash);
        assert_known_by(f, span_cut(buf_span(&cwt), 3, cwt.len), hash);
        for (size_t i = 0; i < COUNT_OF(headers); i++) {
            CLEANUP(buf_done)
            struct buf other;
            buf_init(&other, ROOM);
            dress(buf_span(&cwt), headers[i], i % 2 == 0 ? tags : tag, &other);
            assert_known_by(f, buf_span(&other), hash);
        }
    }
}

/* TK-67 */
static void tk67_no_encrypted_cwt_repeats_an_iv(void **state)
{
    enum { N = 256, IV_LEN = 12 };
    static uint8_t seen[N][IV_LEN];
    const struct fixture *f = *state;
    CLEANUP(key_unrefp)
    struct key *cnf = NULL;

    assert_int_equal(key_generate(KEY_SECRET, &cnf), ST_OK);
    const struct token_claims claims = issued(cnf, NULL);
    for (size_t i = 0; i < N; i++) {
        CLEANUP(buf_done)
        struct buf cwt;
        CLEANUP(sy_cose_done)
        struct cose cose = { 0 };
        buf_init(&cwt, ROOM);
        assert_int_equal(
            token_issue_cwt_encrypt0(&claims, NULL, SPAN_NONE, f->shared, SPAN("rs-1"), &cwt, NULL), ST_OK);
        assert_int_equal(sy_cose_parse(span_cut(buf_span(&cwt), 2, cwt.len), ROOM, &cose, NULL), ST_OK);
        assert_int_equal(cose.iv.len, IV_LEN);
        memcpy(seen[i], cose.iv.p, IV_LEN);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(seen[k], seen[i], IV_LEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_cwt_carries_every_claim),
        cmocka_unit_test(tk52_times_that_are_no_whole_numbers_are_refused),
        cmocka_unit_test(iat_may_be_a_fraction),
        cmocka_unit_test(expired_and_future_cwts_are_refused),
        cmocka_unit_test(names_must_be_ours),
        cmocka_unit_test(claims_that_are_not_strict_cbor_are_refused),
        cmocka_unit_test(d20_every_carriage_of_a_scope_is_understood),
        cmocka_unit_test(scopes_not_understood_are_refused),
        cmocka_unit_test(ace_profile_must_be_mqtt_tls),
        cmocka_unit_test(cnonce_is_bytes),
        cmocka_unit_test(af15_without_a_clock_life_is_a_length_from_first_receipt),
        cmocka_unit_test(af18_without_a_clock_a_cnonce_is_required_and_a_length),
        cmocka_unit_test(what_the_as_issues_the_broker_accepts),
        cmocka_unit_test(tk4_the_as_puts_no_secret_into_a_signed_cwt_and_no_key_of_its_own),
        cmocka_unit_test(mt73_a_cwt_in_other_clothes_is_the_same_token),
        cmocka_unit_test(tk67_no_encrypted_cwt_repeats_an_iv),
    };
    return cmocka_run_group_tests_name("token_cwt_claims", tests, fixture_setup, fixture_teardown);
}
