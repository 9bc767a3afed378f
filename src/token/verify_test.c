/* A token from its first byte to its last check: what is accepted, in which order it is refused (AF-63), and the
 * attacks of tokens.md section 7 on wrappers and keys. Those on claims are in claims_test.c. */
#include "crypto/hash.h"
#include "token/fixture_priv.h"

#include <pthread.h>

static void a_good_token_carries_every_claim(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    struct wall_time end;

    buf_init(&text, ROOM);
    fixture_token(f, CHANGES({ "nbf", "999999" }, { "cnonce", "\"AQIDBA\"" }, { "exi", "60" }), &text);
    assert_int_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
    assert_span_equal(token->iss, SPAN(FIXTURE_ISS));
    assert_span_equal(token->sub, SPAN("sensor-1"));
    assert_span_equal(token->client_id, SPAN("sensor-1"));
    assert_span_equal(token->aud, SPAN(FIXTURE_AUD));
    assert_span_equal(token->jti, SPAN("token-1"));
    assert_span_equal(token->cnonce, SPAN("\x01\x02\x03\x04"));
    assert_true(token->has_exp && token->has_exi && token->has_iat && token->has_nbf);
    assert_int_equal(token->exp.s, FIXTURE_NOW + 600);
    assert_int_equal(token->iat.s, FIXTURE_NOW);
    assert_int_equal(token->nbf.s, FIXTURE_NOW - 1);
    assert_int_equal(token->exi_s, 60);
    assert_int_equal(scope_size(token->scope), 3);
    assert_int_equal(key_kind(token->cnf), KEY_ED25519);
    assert_false(token->by_introspection);
    assert_false(token->encrypted);
    assert_true(token_end(token, (struct wall_time){ FIXTURE_NOW }, &end));
    assert_int_equal(end.s, FIXTURE_NOW + 60);
    assert_true(token_end(token, (struct wall_time){ FIXTURE_NOW + 590 }, &end));
    assert_int_equal(end.s, FIXTURE_NOW + 600); /* exp */
    assert_true(token_end(token, (struct wall_time){ FIXTURE_NOW + 603 }, &end));
    assert_int_equal(end.s, FIXTURE_NOW + 610); /* came late, but within the 10 s of skew */
}

/* RFC 8037 A.3: the index "one token per PoP key" (MT-33). */
static void mt33_the_thumbprint_of_cnf_is_there(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(buf_done)
    struct buf thumbprint;
    CLEANUP(token_unrefp)
    struct token *token = NULL;

    buf_init(&text, ROOM);
    buf_init(&thumbprint, 64);
    fixture_token(f, NO_CHANGE, &text);
    assert_int_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
    base64url_encode(span_of(token->cnf_thumbprint, sizeof(token->cnf_thumbprint)), &thumbprint);
    assert_span_equal(buf_span(&thumbprint), SPAN("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
}

static void each_signature_algorithm_is_accepted(void **state)
{
    const struct fixture *f = *state;
    const struct {
        const char *header;
        const struct key *key;
    } rows[] = {
        { FIXTURE_HEADER, f->as },
        { "{\"alg\":\"ES256\",\"kid\":\"as-p256\"}", f->as_p256 },
        { "{\"alg\":\"HS256\",\"kid\":\"mac-1\",\"typ\":\"application/at+jwt\"}", f->mac },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf text;
        CLEANUP(token_unrefp)
        struct token *token = NULL;
        buf_init(&text, ROOM);
        fixture_sign_claims(rows[i].header, NO_CHANGE, rows[i].key, &text);
        assert_int_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
    }
}

/* AF-63: everything from step `i` on is wrong, everything before is right: step `i` must answer. */
static void af63_the_first_failure_decides(void **state)
{
    const struct fixture *f = *state;
    /* clang-format off */
    static const struct { const char *name, *json; enum status st; const char *clause; } steps[] = {
        { "sub",         "7",                        ST_MALFORMED,     "AF-63 claims"  }, /* 2 claims readable */
        { "iss",         "\"https://as2.example\"",  ST_BAD_TOKEN,     "AF-63 iss"     }, /* 3 */
        { "exp",         "999000",                   ST_TOKEN_EXPIRED, "AF-63 exp"     }, /* 4 */
        { "nbf",         "1000600",                  ST_BAD_TOKEN,     "TK-53"         },
        { "aud",         "\"other\"",                ST_BAD_TOKEN,     "AF-63 aud"     }, /* 5 */
        { "scope",       "[[\"a#\",[\"pub\"]]]",     ST_BAD_SCOPE,     NULL            }, /* 6 */
        { "cnonce",      "\"+\"",                    ST_BAD_TOKEN,     "AF-19"         }, /* 7 */
        { "ace_profile", "\"coap_dtls\"",            ST_BAD_TOKEN,     "AF-94"         }, /* 8 */
        { "cnf",         "{}",                       ST_BAD_TOKEN,     "TK-2"          },
    };
    /* clang-format on */
    struct change changes[COUNT_OF(steps) + 1];

    for (size_t first = 0; first < COUNT_OF(steps); first++) {
        CLEANUP(buf_done)
        struct buf text;
        struct token *token = NULL;
        struct why why = { 0 };
        size_t n = 0;
        buf_init(&text, ROOM);
        for (size_t i = first; i < COUNT_OF(steps); i++)
            changes[n++] = (struct change){ steps[i].name, steps[i].json };
        changes[n] = (struct change){ NULL, NULL };
        fixture_token(f, changes, &text);
        assert_int_equal(fixture_verify(f, buf_span(&text), &token, &why), steps[first].st);
        if (steps[first].clause != NULL)
            assert_string_equal(why.clause, steps[first].clause);
        /* step 1: the same with a broken signature is a broken signature */
        text.p[text.len - 5] = text.p[text.len - 5] == 'A' ? 'B' : 'A';
        assert_int_equal(fixture_verify(f, buf_span(&text), &token, &why), ST_BAD_TOKEN);
        assert_string_equal(why.clause,
                            first <= 1 ? TOKEN_CLAUSE_KEY_UNKNOWN : "RFC 7515 5.2"); /* iss is another's */
    }
}

static void tk40_unsigned_tokens_are_refused(void **state)
{
    const struct fixture *f = *state;
    static const char *const headers[] = { "{\"alg\":\"none\"}", "{\"alg\":\"NONE\",\"kid\":\"as-1\"}",
                                           "{\"alg\":\"nOnE\"}" };

    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        assert_signed_refused(f, headers[i], NULL, ST_BAD_TOKEN, "TK-40");
        /* with a signature that would be right */
        assert_signed_refused(f, headers[i], f->as, ST_BAD_TOKEN, "TK-40");
    }
}

static void tk40_the_signature_cannot_be_left_out(void **state)
{
    assert_signed_refused(*state, FIXTURE_HEADER, NULL, ST_BAD_TOKEN, "TK-63");
}

/* HS256 under every published form of the AS's public key, with and without its kid. */
static void tk41_the_public_key_is_no_hmac_secret(void **state)
{
    const struct fixture *f = *state;
    struct buf forms[3];

    for (size_t i = 0; i < COUNT_OF(forms); i++)
        buf_init(&forms[i], 4096);
    assert_int_equal(key_write_pem(f->as, false, &forms[0]), ST_OK);
    assert_int_equal(key_write_spki(f->as, &forms[1]), ST_OK);
    put_bytes(&forms[2], key_x(f->as));
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        CLEANUP(key_unrefp)
        struct key *secret = NULL;
        assert_int_equal(key_new_secret(buf_span(&forms[i]), &secret, NULL), ST_OK);
        assert_signed_refused(f, "{\"alg\":\"HS256\",\"kid\":\"as-1\"}", secret, ST_BAD_TOKEN, "TK-41");
        /* the one HS256 key is tried */
        assert_signed_refused(f, "{\"alg\":\"HS256\"}", secret, ST_BAD_TOKEN, "RFC 7515 5.2");
        buf_done(&forms[i]);
    }
}

static void tk41_alg_and_kid_of_different_keys_are_refused(void **state)
{
    const struct fixture *f = *state;

    assert_signed_refused(f, "{\"alg\":\"ES256\",\"kid\":\"as-1\"}", f->as_p256, ST_BAD_TOKEN, "TK-41");
}

static void tk44_an_unknown_kid_says_so(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf text;
    struct token *token = NULL;
    struct why why;

    buf_init(&text, ROOM);
    fixture_sign_claims("{\"alg\":\"EdDSA\",\"kid\":\"as-9\"}", NO_CHANGE, f->as, &text);
    assert_int_equal(fixture_verify(f, buf_span(&text), &token, &why), ST_BAD_TOKEN);
    assert_true(verifier_key_unknown(&why));
    why.clause = NULL;
    assert_false(verifier_key_unknown(&why));
}

/* Two servers, one kid: each token is checked with the key of the issuer it names, and with no other. */
static void tk44_the_same_kid_at_two_issuers_never_crosses(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    CLEANUP(verifier_unrefp)
    struct verifier *v = NULL;
    const struct jwk same_kid = { f->as_two, SPAN("as-1"), SPAN_NONE, UINT32_MAX };
    /* clang-format off */
    const struct { const char *iss; const struct key *key; enum status expected; const char *clause; } rows[] = {
        { "\"" FIXTURE_ISS "\"",        f->as,     ST_OK,        NULL           },
        { "\"https://as2.example\"",    f->as_two, ST_OK,        NULL           },
        { "\"" FIXTURE_ISS "\"",        f->as_two, ST_BAD_TOKEN, "RFC 7515 5.2" },
        { "\"https://as2.example\"",    f->as,     ST_BAD_TOKEN, "RFC 7515 5.2" },
        { "\"https://as3.example\"",    f->as,     ST_BAD_TOKEN, "TK-44"        },
        { NULL,                         f->as,     ST_BAD_TOKEN, "TK-44"        },
        { "7",                          f->as,     ST_BAD_TOKEN, "TK-44"        },
    };
    /* clang-format on */

    fixture_config(f, &c);
    jwks_unref(c.issuers[1].jwks);
    assert_int_equal(jwks_make(&same_kid, 1, &c.issuers[1].jwks), ST_OK);
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf text;
        CLEANUP(token_unrefp)
        struct token *token = NULL;
        struct why why = { 0 };
        buf_init(&text, ROOM);
        fixture_sign_claims(FIXTURE_HEADER, CHANGES({ "iss", rows[i].iss }), rows[i].key, &text);
        assert_int_equal(token_verify(buf_span(&text), v, (struct wall_time){ FIXTURE_NOW }, &token, &why),
                         rows[i].expected);
        if (rows[i].clause != NULL)
            assert_string_equal(why.clause, rows[i].clause);
    }
}

/* A key of as2.example, entitled to speak for itself, does not make a token "from" as.example (AF-63 step 3). */
static void tk65_a_token_naming_another_as_is_refused(void **state)
{
    const struct fixture *f = *state;

    assert_signed_refused(f, "{\"alg\":\"EdDSA\",\"kid\":\"as-2\"}", f->as_two, ST_BAD_TOKEN, "AF-63 iss");
}

/* tokens.md section 6 step 5: without kid only if exactly one key fits. */
static void without_kid_only_one_fitting_key_will_do(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(token_unrefp)
    struct token *token = NULL;

    buf_init(&text, ROOM);
    fixture_sign_claims("{\"alg\":\"ES256\"}", CHANGES({ "iss", NULL }), f->as_p256, &text);
    assert_int_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
    assert_span_equal(token->iss, SPAN(FIXTURE_ISS));
    buf_reset(&text);
    fixture_sign_claims("{\"alg\":\"EdDSA\"}", CHANGES({ "iss", NULL }), f->as, &text);
    assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, "TK-44");
}

static void tk45_a_hostile_kid_is_only_compared(void **state)
{
    const struct fixture *f = *state;
    static const char *const kids[] = { "../../etc/passwd", "' OR 1=1 --", "as-1 ", "AS-1",
                                        "as-1\\u0001",      "as-1\\/",     "" };

    for (size_t i = 0; i < COUNT_OF(kids); i++) {
        char header[128];
        (void)snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", kids[i]);
        assert_signed_refused(f, header, f->as, ST_BAD_TOKEN, TOKEN_CLAUSE_KEY_UNKNOWN);
    }
}

static void tk45_a_kid_of_64_kib_is_refused_by_size(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf header;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&header, ROOM);
    buf_init(&text, ROOM);
    put_str(&header, "{\"alg\":\"EdDSA\",\"kid\":\"");
    for (size_t i = 0; i < 65536; i++)
        put_u8(&header, 'k');
    put_bytes(&header, SPAN("\"}\0"));
    fixture_sign((const char *)header.p, SPAN("{}"), f->as, &text);
    assert_text_refused(f, buf_span(&text), ST_TOO_LARGE, "max_bytes");
}

/* TK-46: the attacker's key in jwk, a URL in jku and x5u, a certificate in x5c: none is looked at. */
static void tk46_keys_named_by_the_header_are_not_used(void **state)
{
    const struct fixture *f = *state;
    static const char *const members[] = {
        "\"jku\":\"https://attacker.example/jwks.json\"",
        "\"x5u\":\"https://attacker.example/cert.pem\"",
        ("\"jwk\":" FIXTURE_CNF_JWK),
        "\"x5c\":[\"MIIB\"]",
    };

    for (size_t i = 0; i < COUNT_OF(members); i++) {
        CLEANUP(key_unrefp)
        struct key *attacker = NULL;
        CLEANUP(buf_done)
        struct buf text;
        CLEANUP(token_unrefp)
        struct token *token = NULL;
        char header[256];
        buf_init(&text, ROOM);
        assert_int_equal(key_generate(KEY_ED25519, &attacker), ST_OK);
        (void)snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"kid\":\"as-1\",%s}", members[i]);
        assert_signed_refused(f, header, attacker, ST_BAD_TOKEN, "RFC 7515 5.2");
        fixture_sign_claims(header, NO_CHANGE, f->as, &text);
        assert_int_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
    }
}

static void assert_header_refused(const struct fixture *f, const char *header, enum status expected,
                                  const char *clause)
{
    assert_signed_refused(f, header, f->as, expected, clause);
}

static void tk47_crit_is_refused(void **state)
{
    const struct fixture *f = *state;

    assert_header_refused(f, "{\"alg\":\"EdDSA\",\"kid\":\"as-1\",\"crit\":[\"x\"],\"x\":1}", ST_BAD_TOKEN,
                          "TK-47");
    assert_header_refused(f, "{\"alg\":\"EdDSA\",\"kid\":\"as-1\",\"crit\":[\"kid\"]}", ST_BAD_TOKEN, "TK-47");
    assert_header_refused(f, "{\"alg\":\"EdDSA\",\"kid\":\"as-1\",\"crit\":[\"b64\"],\"b64\":true}",
                          ST_BAD_TOKEN, "TK-47");
}

static void tk48_duplicate_header_parameters_are_refused(void **state)
{
    assert_header_refused(*state, "{\"alg\":\"EdDSA\",\"kid\":\"as-1\",\"kid\":\"as-1\"}", ST_MALFORMED,
                          "TK-48");
}

static void tk24_other_types_of_jwt_are_refused(void **state)
{
    static const char *const types[] = { "dpop+jwt", "logout+jwt", "req-cnf+jwt", "secevent+jwt",
                                         "",         "JWT ",       "at+jwt;x=y" };

    for (size_t i = 0; i < COUNT_OF(types); i++) {
        char header[128];
        (void)snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"kid\":\"as-1\",\"typ\":\"%s\"}", types[i]);
        assert_header_refused(*state, header, ST_BAD_TOKEN, "TK-24");
    }
}

/* Wraps `inner` in JWS layers until there are `layers` in all, counting the one it already is. */
static void nest(const struct fixture *f, int layers, struct buf *text)
{
    for (int i = 1; i < layers; i++) {
        struct buf outer;
        buf_init(&outer, ROOM);
        fixture_sign("{\"alg\":\"EdDSA\",\"kid\":\"as-1\",\"cty\":\"JWT\"}", buf_span(text), f->as, &outer);
        buf_done(text);
        *text = outer;
    }
}

static void tk49_three_layers_are_taken_and_four_refused(void **state)
{
    const struct fixture *f = *state;

    for (int layers = 1; layers <= 5; layers++) {
        CLEANUP(buf_done)
        struct buf text;
        CLEANUP(token_unrefp)
        struct token *token = NULL;
        buf_init(&text, ROOM);
        fixture_token(f, NO_CHANGE, &text);
        nest(f, layers, &text);
        if (layers <= TOKEN_MAX_LAYERS)
            assert_int_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
        else
            assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, "TK-49");
    }
}

static void tk49_depth_bombs_are_refused(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf bomb;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&bomb, ROOM);
    buf_init(&text, ROOM);
    for (size_t i = 0; i < 3000; i++)
        put_u8(&bomb, '[');
    fixture_sign(FIXTURE_HEADER, buf_span(&bomb), f->as, &text);
    assert_text_refused(f, buf_span(&text), ST_MALFORMED, "TK-49");
    assert_refused(f, CHANGES({ "x", "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]" }), ST_MALFORMED, "TK-49");
}

/* TK-50: invalid UTF-8, bytes behind, a claims set that is no object. */
static void tk50_claims_that_are_not_one_json_object_are_refused(void **state)
{
    const struct fixture *f = *state;
    static const struct {
        struct span payload;
        const char *clause;
    } rows[] = {
        { { (const uint8_t *)"{\"sub\":\"\xff\"}", 11 }, NULL },
        { { (const uint8_t *)"{}{}", 4 }, "TK-50" },
        { { (const uint8_t *)"[]", 2 }, "AF-63 claims" },
        { { (const uint8_t *)"\"x\"", 3 }, "AF-63 claims" },
        { { (const uint8_t *)"", 0 }, NULL },
        { { (const uint8_t *)"{\"a\":1", 6 }, NULL },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf text;
        struct token *token = NULL;
        struct why why = { 0 };
        buf_init(&text, ROOM);
        fixture_sign(FIXTURE_HEADER, rows[i].payload, f->as, &text);
        assert_int_equal(fixture_verify(f, buf_span(&text), &token, &why), ST_MALFORMED);
        if (rows[i].clause != NULL)
            assert_string_equal(why.clause, rows[i].clause);
    }
}

/* TK-51: a token has one spelling; anything added, padded or respelled anywhere is refused. */
static void tk51_tokens_in_another_spelling_are_refused(void **state)
{
    const struct fixture *f = *state;
    static const char *const additions[] = { "=", " ", "\n", "A", "+", "/", "==", "\t", "." };
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, ROOM);
    fixture_token(f, NO_CHANGE, &text);
    for (size_t a = 0; a < COUNT_OF(additions); a++) {
        for (size_t at = 0; at <= text.len; at += 7) {
            CLEANUP(buf_done)
            struct buf changed;
            struct token *token = NULL;
            buf_init(&changed, ROOM);
            put_bytes(&changed, span_cut(buf_span(&text), 0, at));
            put_str(&changed, additions[a]);
            put_bytes(&changed, span_cut(buf_span(&text), at, text.len));
            assert_int_not_equal(fixture_verify(f, buf_span(&changed), &token, NULL), ST_OK);
            assert_null(token);
        }
    }
}

/* Not one bit of a signed token can be changed. */
static void any_changed_bit_is_refused(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, ROOM);
    fixture_token(f, NO_CHANGE, &text);
    for (size_t bit = 0; bit < text.len * 8; bit++) {
        struct token *token = NULL;
        text.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
        text.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < text.len; len++) {
        struct token *token = NULL;
        assert_int_not_equal(fixture_verify(f, span_cut(buf_span(&text), 0, len), &token, NULL), ST_OK);
    }
}

/* A token of the first `len` bytes of its right MAC, with `flip` in byte `at` of them. */
static void mac_token(const struct fixture *f, size_t len, size_t at, uint8_t flip, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf claims;
    uint8_t mac[SIG_MAX];

    buf_init(&claims, ROOM);
    fixture_claims(NO_CHANGE, &claims);
    base64url_encode(SPAN("{\"alg\":\"HS256\",\"kid\":\"mac-1\"}"), out);
    put_u8(out, '.');
    base64url_encode(buf_span(&claims), out);
    assert_int_equal(sig_make(f->mac, SIG_HS256, buf_span(out), mac), ST_OK);
    mac[at] ^= flip;
    put_u8(out, '.');
    base64url_encode(span_of(mac, len), out);
}

static void tk63_a_truncated_mac_is_refused(void **state)
{
    const struct fixture *f = *state;

    for (size_t len = 0; len < 32; len++) {
        CLEANUP(buf_done)
        struct buf text;
        buf_init(&text, ROOM);
        mac_token(f, len, 0, 0, &text);
        assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, "TK-63");
    }
}

/* TK-68: where a MAC differs makes no difference to the answer; the comparison itself is crypto/secret.h's. */
static void tk68_every_wrong_mac_byte_gets_the_same_answer(void **state)
{
    const struct fixture *f = *state;

    for (size_t byte = 0; byte < 32; byte++) {
        CLEANUP(buf_done)
        struct buf text;
        buf_init(&text, ROOM);
        mac_token(f, 32, byte, 0x80, &text);
        assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, "RFC 7515 5.2");
    }
}

/* MT-36: bytes that are no token at all are told apart from a token that is not accepted. */
static void mt36_what_is_no_token_is_malformed(void **state)
{
    const struct fixture *f = *state;
    static const struct span texts[] = {
        { NULL, 0 },
        { (const uint8_t *)"\0\0", 2 },
        { (const uint8_t *)"hello", 5 },
        { (const uint8_t *)"\xd8\x3d\xd1\x84\x43", 5 }, /* a CWT, which is not spoken yet */
        { (const uint8_t *)"{\"a\":1}", 7 },
        { (const uint8_t *)"a.b.c", 5 },
        { (const uint8_t *)"e.b.c", 5 },
        { (const uint8_t *)"e....", 5 },
        { (const uint8_t *)"eyJh\xc3\xa9.a.b", 9 },
    };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct token *token = NULL;
        assert_int_equal(fixture_verify(f, texts[i], &token, NULL), ST_MALFORMED);
    }
}

/* MT-66: with introspection configured a reference waits for the AS; a JWT is still checked here. */
static void a_reference_is_pending_when_introspection_is_configured(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    CLEANUP(verifier_unrefp)
    struct verifier *v = NULL;
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct wall_time now = { FIXTURE_NOW };

    buf_init(&text, ROOM);
    fixture_config(f, &c);
    c.config.introspection = true;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    assert_int_equal(token_verify(SPAN("mF_9.B5f-4.1JqM"), v, now, &token, NULL), ST_PENDING);
    assert_int_equal(token_verify(SPAN("4fVb0zOeZ"), v, now, &token, NULL), ST_PENDING);
    assert_int_equal(token_verify(SPAN("4fVb\n0zOeZ"), v, now, &token, NULL), ST_MALFORMED);
    assert_int_equal(token_verify(SPAN_NONE, v, now, &token, NULL), ST_MALFORMED);
    fixture_token(f, NO_CHANGE, &text);
    assert_int_equal(token_verify(buf_span(&text), v, now, &token, NULL), ST_OK);
}

static void a_token_larger_than_allowed_is_refused_first(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, ROOM);
    while (text.len <= TOKEN_MAX_BYTES)
        put_str(&text, "eyJ.");
    assert_text_refused(f, buf_span(&text), ST_TOO_LARGE, "max_bytes");
}

struct job {
    const struct fixture *f;
    struct span text;
    bool ok;
};

static void *verify_often(void *p)
{
    struct job *job = p;

    job->ok = true;
    for (int i = 0; i < 100; i++) {
        CLEANUP(token_unrefp)
        struct token *token = NULL;
        job->ok = job->ok && fixture_verify(job->f, job->text, &token, NULL) == ST_OK;
    }
    return NULL;
}

static void one_verifier_serves_many_threads(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf text;
    struct job jobs[4];
    pthread_t threads[4];

    buf_init(&text, ROOM);
    fixture_token(f, NO_CHANGE, &text);
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        jobs[i] = (struct job){ f, buf_span(&text), false };
        assert_int_equal(pthread_create(&threads[i], NULL, verify_often, &jobs[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(jobs[i].ok);
    }
}

/* The holder of a token signed by ES256 can give it the twin of its signature, and it verifies. It is known by the same
 * hash, and its issuer's hash of it is one of its two names: or a revoked one would come back, and exi start over. */
static void mt73_a_token_with_the_twin_of_its_signature_is_the_same_token(void **state)
{
    const struct fixture *f = *state;
    const char *header = "{\"alg\":\"ES256\",\"kid\":\"as-p256\"}";

    for (int i = 0; i < 10; i++) {
        CLEANUP(buf_done)
        struct buf text;
        CLEANUP(buf_done)
        struct buf other;
        CLEANUP(jws_done)
        struct jws jws = { 0 };
        CLEANUP(token_unrefp)
        struct token *a = NULL, *b = NULL;
        uint8_t twin[SIG_ES256_LEN], hash[TOKEN_HASH_LEN];
        buf_init(&text, ROOM);
        buf_init(&other, ROOM);
        fixture_sign_claims(header, NO_CHANGE, f->as_p256, &text);
        assert_int_equal(jws_parse(buf_span(&text), &jws, NULL), ST_OK);
        bool lesser = sig_es256_twin(jws.signature, twin);
        put_bytes(&other, jws.signing_input);
        put_u8(&other, '.');
        base64url_encode(span_of(twin, sizeof twin), &other);
        assert_int_equal(fixture_verify(f, buf_span(&text), &a, NULL), ST_OK);
        assert_int_equal(fixture_verify(f, buf_span(&other), &b, NULL), ST_OK);
        assert_memory_equal(a->hash, b->hash, TOKEN_HASH_LEN);
        assert_true(a->has_twin && b->has_twin);
        assert_memory_equal(a->twin, b->twin, TOKEN_HASH_LEN);
        assert_int_equal(sha256(buf_span(&text), hash), ST_OK);
        assert_memory_equal(lesser ? a->twin : a->hash, hash, TOKEN_HASH_LEN);
        assert_int_equal(sha256(buf_span(&other), hash), ST_OK);
        assert_memory_equal(lesser ? a->hash : a->twin, hash, TOKEN_HASH_LEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_token_carries_every_claim),
        cmocka_unit_test(mt33_the_thumbprint_of_cnf_is_there),
        cmocka_unit_test(each_signature_algorithm_is_accepted),
        cmocka_unit_test(af63_the_first_failure_decides),
        cmocka_unit_test(tk40_unsigned_tokens_are_refused),
        cmocka_unit_test(tk40_the_signature_cannot_be_left_out),
        cmocka_unit_test(tk41_the_public_key_is_no_hmac_secret),
        cmocka_unit_test(tk41_alg_and_kid_of_different_keys_are_refused),
        cmocka_unit_test(tk44_an_unknown_kid_says_so),
        cmocka_unit_test(tk44_the_same_kid_at_two_issuers_never_crosses),
        cmocka_unit_test(tk65_a_token_naming_another_as_is_refused),
        cmocka_unit_test(without_kid_only_one_fitting_key_will_do),
        cmocka_unit_test(tk45_a_hostile_kid_is_only_compared),
        cmocka_unit_test(tk45_a_kid_of_64_kib_is_refused_by_size),
        cmocka_unit_test(tk46_keys_named_by_the_header_are_not_used),
        cmocka_unit_test(tk47_crit_is_refused),
        cmocka_unit_test(tk48_duplicate_header_parameters_are_refused),
        cmocka_unit_test(tk24_other_types_of_jwt_are_refused),
        cmocka_unit_test(tk49_three_layers_are_taken_and_four_refused),
        cmocka_unit_test(tk49_depth_bombs_are_refused),
        cmocka_unit_test(tk50_claims_that_are_not_one_json_object_are_refused),
        cmocka_unit_test(tk51_tokens_in_another_spelling_are_refused),
        cmocka_unit_test(any_changed_bit_is_refused),
        cmocka_unit_test(mt73_a_token_with_the_twin_of_its_signature_is_the_same_token),
        cmocka_unit_test(tk63_a_truncated_mac_is_refused),
        cmocka_unit_test(tk68_every_wrong_mac_byte_gets_the_same_answer),
        cmocka_unit_test(mt36_what_is_no_token_is_malformed),
        cmocka_unit_test(a_reference_is_pending_when_introspection_is_configured),
        cmocka_unit_test(a_token_larger_than_allowed_is_refused_first),
        cmocka_unit_test(one_verifier_serves_many_threads),
    };
    return cmocka_run_group_tests_name("token_verify", tests, fixture_setup, fixture_teardown);
}
