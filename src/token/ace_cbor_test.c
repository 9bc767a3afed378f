/* ACE documents in CBOR: the RFC's own example, every row of the tables there and back, and what is refused. */
#include "base/reader.h"
#include "codec/base64.h"
#include "codec/cbor.h"
#include "token/ace_cbor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define CBOR_MAX 65536

static void from_hex(const char *hex, struct buf *out)
{
    buf_init(out, CBOR_MAX);
    for (size_t i = 0; hex[i] != '\0'; i += 2) {
        char byte[3] = { hex[i], hex[i + 1], '\0' };
        put_u8(out, (uint8_t)strtoul(byte, NULL, 16));
    }
}

static enum status read_hex(enum ace_document document, const char *hex, struct js **ret, struct why *why)
{
    CLEANUP(buf_done)
    struct buf cbor;

    from_hex(hex, &cbor);
    return ace_from_cbor(document, buf_span(&cbor), CBOR_MAX, ret, why);
}

static void assert_json(const struct js *js, const char *json)
{
    CLEANUP(js_unrefp)
    struct js *want = NULL;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, CBOR_MAX);
    assert_int_equal(js_parse(span_of_str(json), CBOR_MAX, &want, NULL), ST_OK);
    assert_int_equal(js_print(js, &text), ST_OK);
    if (!js_same(js, want))
        fail_msg("%.*s instead of %s", SPAN_FMT(buf_span(&text)), json);
}

static void assert_cbor(enum ace_document document, const char *json, const char *hex)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(buf_done)
    struct buf cbor;
    CLEANUP(buf_done)
    struct buf want;
    struct why why = { 0 };

    buf_init(&cbor, CBOR_MAX);
    from_hex(hex, &want);
    assert_int_equal(js_parse(span_of_str(json), CBOR_MAX, &js, NULL), ST_OK);
    if (ace_to_cbor(document, js, &cbor, &why) != ST_OK)
        fail_msg("%s: %s", json, why.text);
    assert_int_equal(cbor.len, want.len);
    assert_memory_equal(cbor.p, want.p, want.len);
}

/* One document both ways. */
static void both_ways(enum ace_document document, const char *json, const char *hex)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;

    assert_int_equal(read_hex(document, hex, &js, NULL), ST_OK);
    assert_json(js, json);
    assert_cbor(document, json, hex);
}

static void refused(enum ace_document document, const char *hex, enum status st, const char *clause)
{
    struct js *js = NULL;
    struct why why = { 0 };

    assert_int_equal(read_hex(document, hex, &js, &why), st);
    assert_string_equal(why.clause, clause);
    assert_null(js);
}

static void af12_the_example_of_the_hints(void **state UNUSED)
{
    /* RFC 9200 5.3, figure 3: the text's own bytes (with the nibble the seed copy lost) */
    both_ways(
        ACE_HINTS,
        "{\"AS\":\"coaps://as.example.com/token\",\"audience\":\"coaps://rs.example.com\","
        "\"scope\":\"rTempC\",\"cnonce\":\"4KFWuz8\"}",
        "a401781c636f6170733a2f2f61732e6578616d706c652e636f6d2f746f6b656e0576636f6170733a2f2f72732e6578616d70"
        "6c652e636f6d09667254656d7043182745e0a156bb3f");
    both_ways(ACE_HINTS, "{\"AS\":\"https://a\",\"kid\":\"PQJ4M_xiZ84\"}",
              "a201696874747073"
              "3a2f2f61"
              "0248"
              "3d027833fc6267ce");
}

static void af27_a_token_request(void **state UNUSED)
{
    /* AF-24: null asks for the profile. AF-16: cnonce. AF-40: a kid. */
    both_ways(ACE_TOKEN_REQUEST,
              "{\"req_cnf\":{\"kid\":\"k\"},\"audience\":\"b\",\"client_id\":\"c\",\"client_secret\":\"s\","
              "\"grant_type\":\"client_credentials\",\"ace_profile\":null,\"cnonce\":\"AAEC\"}",
              "a704a10341"
              "6b"
              "056162"
              "18186163"
              "181941"
              "73"
              "182102"
              "1826f6"
              "1827"
              "43000102");
    both_ways(ACE_TOKEN_REQUEST,
              "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"abc\",\"ace_profile\":\"mqtt_tls\"}",
              "a31821031825436162631826"
              "03");
}

static void af35_a_token_response(void **state UNUSED)
{
    both_ways(
        ACE_TOKEN_RESPONSE,
        "{\"access_token\":\"a.b.c\",\"expires_in\":3600,\"token_type\":\"PoP\",\"ace_profile\":\"mqtt_tls\"}",
        "a40145612e622e6302190e10182202182603");
}

static void af51_errors_are_integers(void **state UNUSED)
{
    static const char *const names[] = { "invalid_request",     "invalid_client",           "invalid_grant",
                                         "unauthorized_client", "unsupported_grant_type",   "invalid_scope",
                                         "unsupported_pop_key", "incompatible_ace_profiles" };

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char json[80], hex[16];
        snprintf(json, sizeof json, "{\"error\":\"%s\"}", names[i]);
        snprintf(hex, sizeof hex, "a1181e%02zx", i + 1);
        both_ways(ACE_TOKEN_RESPONSE, json, hex);
        both_ways(ACE_INTROSPECTION_RESPONSE, json, hex);
    }
    both_ways(ACE_TOKEN_RESPONSE, "{\"error\":9,\"error_description\":\"x\"}", "a2181e09181f6178");
    both_ways(ACE_TOKEN_RESPONSE, "{\"error\":\"invalid_scope\",\"error_uri\":\"u\"}", "a2181e0618206175");
}

static void af80_introspection(void **state UNUSED)
{
    both_ways(ACE_INTROSPECTION_REQUEST, "{\"token\":\"xyz\",\"token_type_hint\":\"PoP\"}",
              "a20b4378797a182102");
    /* AF 5.2: text as the table says, an integer as the example has it */
    both_ways(ACE_INTROSPECTION_REQUEST, "{\"token\":\"xyz\",\"token_type_hint\":\"access_token\"}",
              "a20b4378797a18216c"
              "6163636573735f746f6b656e");
    both_ways(ACE_INTROSPECTION_RESPONSE, "{\"active\":false}", "a10af4"); /* AF-83 */
    both_ways(ACE_INTROSPECTION_RESPONSE,
              "{\"iss\":\"i\",\"aud\":[\"a\",\"b\"],\"exp\":16,\"jti\":\"AAE\",\"active\":true,\"exi\":5}",
              "a60161690382616161620410074200010af5182805");
}

static void key_40_is_exi_in_introspection_and_nothing_in_a_token_request(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(js_unrefp)
    struct js *request = NULL;

    assert_int_equal(read_hex(ACE_INTROSPECTION_RESPONSE, "a1182805", &js, NULL), ST_OK);
    assert_json(js, "{\"exi\":5}");
    assert_int_equal(read_hex(ACE_TOKEN_REQUEST, "a1182841aa", &request, NULL), ST_OK); /* nonce1: not ours */
    assert_json(request, "{}");
}

static void profiles_by_name_and_number(void **state UNUSED)
{
    /* AF-8, D-6 */
    static const char *const names[] = { "coap_dtls", "coap_oscore", "mqtt_tls" };

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_string_equal(ace_profile_name((int64_t)i + 1), names[i]);
        assert_int_equal(ace_profile_number(span_of_str(names[i])), i + 1);
    }
    assert_null(ace_profile_name(0));
    assert_null(ace_profile_name(99));
    assert_int_equal(ace_profile_number(SPAN("MQTT_TLS")), -1);
    refused(ACE_TOKEN_REQUEST, "a11826686d7174745f746c73", ST_MALFORMED, "AF-7"); /* the name in CBOR */
    assert_cbor(ACE_TOKEN_REQUEST, "{\"ace_profile\":\"\"}", "a11826f6");         /* AF-24 */
}

static void names_without_an_integer_are_text_and_registered_ones_are_not(void **state UNUSED)
{
    /* AF-7 */
    both_ways(ACE_TOKEN_REQUEST, "{\"grant_type\":\"client_credentials\",\"req_cnf_proof\":\"p\"}",
              "a21821026d"
              "7265715f636e665f70726f6f66"
              "6170");
    refused(ACE_TOKEN_REQUEST, "a16a6772616e745f7479706502", ST_MALFORMED, "AF-7"); /* "grant_type": 2 */
    refused(ACE_TOKEN_REQUEST, "a166616374697665f5", ST_MALFORMED, "AF-7");         /* of another document */
}

static void names_of_nobody_are_skipped(void **state UNUSED)
{
    /* RFC 6749 3.1: unrecognized parameters are ignored */
    CLEANUP(js_unrefp)
    struct js *js = NULL;

    /* -65537: 1, 99: {}, "x": [] */
    assert_int_equal(read_hex(ACE_TOKEN_REQUEST, "a33a00010000011863a0617880", &js, NULL), ST_OK);
    assert_json(js, "{}");
}

static void hostile_cbor_is_refused(void **state UNUSED)
{
    refused(ACE_TOKEN_REQUEST,
            "a218210218210"
            "2",
            ST_MALFORMED, "TK-48");                                  /* twice */
    refused(ACE_TOKEN_REQUEST, "bf182102ff", ST_MALFORMED, "TK-50"); /* indefinite */
    refused(ACE_TOKEN_REQUEST,
            "a11900210"
            "2",
            ST_MALFORMED, "TK-50");                                  /* not the shortest form */
    refused(ACE_TOKEN_REQUEST, "a118210200", ST_MALFORMED, "TK-50"); /* a byte behind it */
    refused(ACE_TOKEN_REQUEST, "818181818181818181818181818181818181818100", ST_MALFORMED, "TK-49");
    refused(ACE_TOKEN_REQUEST, "80", ST_MALFORMED, "AF-5");
    refused(ACE_TOKEN_REQUEST, "a1056161ff", ST_MALFORMED, "TK-50");
    refused(ACE_TOKEN_REQUEST,
            "a10541"
            "61",
            ST_MALFORMED, "AF-7");                                /* bytes for text */
    refused(ACE_TOKEN_REQUEST, "a1056100", ST_MALFORMED, "AF-7"); /* a NUL in it */
    refused(ACE_TOKEN_REQUEST,
            "a1182561"
            "61",
            ST_MALFORMED, "AF-7");                                  /* text for bytes */
    refused(ACE_TOKEN_REQUEST, "a1182541ff", ST_MALFORMED, "AF-7"); /* bytes that are no text */
    refused(ACE_TOKEN_REQUEST, "a11821f6", ST_MALFORMED, "AF-7");
    refused(ACE_TOKEN_REQUEST,
            "a10441"
            "61",
            ST_MALFORMED, "AF-48");
    refused(ACE_TOKEN_REQUEST,
            "a104a10361"
            "6b",
            ST_MALFORMED, "AF-48"); /* kid as text */
    refused(ACE_TOKEN_REQUEST, "a104a10180", ST_MALFORMED, "RFC 9052 7");
    refused(ACE_INTROSPECTION_RESPONSE, "a104fb3ff0000000000000", ST_MALFORMED, "AF-7"); /* TK-52: exp 1.0 */
}

static void a_document_may_not_be_larger_than_asked(void **state UNUSED)
{
    struct js *js = NULL;
    struct why why = { 0 };

    assert_int_equal(ace_from_cbor(ACE_HINTS,
                                   SPAN("\xa1\x01\x61"
                                        "a"),
                                   3, &js, &why),
                     ST_TOO_LARGE);
}

static const char ed25519_hex[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
static const char ed25519_jwk[] = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

static void af48_keys_in_confirmations(void **state UNUSED)
{
    char json[400], hex[400];

    snprintf(json, sizeof json, "{\"req_cnf\":{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}}}",
             ed25519_jwk);
    snprintf(hex, sizeof hex, "a104a101a301012006215820%s", ed25519_hex);
    both_ways(ACE_TOKEN_REQUEST, json, hex);

    /* rs_cnf by key and by thumbprint (MT-26, MT-29): COSE_CertHash, RFC 9360 2 */
    snprintf(json, sizeof json,
             "{\"rs_cnf\":{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"},\"x5t#S256\":\"%s\"}}",
             ed25519_jwk, ed25519_jwk);
    snprintf(hex, sizeof hex, "a11829a201a301012006215820%s1822822f5820%s", ed25519_hex, ed25519_hex);
    both_ways(ACE_TOKEN_RESPONSE, json, hex);

    /* AF-43: a secret with its kid and algorithm */
    both_ways(ACE_TOKEN_RESPONSE,
              "{\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODw\",\"kid\":\"k1\",\"alg\":"
              "\"HS256\"}}}",
              "a108a101a4010402426b31030520"
              "50000102030405060708090a0b0c0d0e0f");
}

static void af46_what_a_key_forbids_it_goes_on_to_forbid(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    char hex[400], json[400];

    snprintf(hex, sizeof hex,
             "a104a101a4010104810120062158"
             "20%s",
             ed25519_hex); /* key_ops: [sign] */
    assert_int_equal(read_hex(ACE_TOKEN_REQUEST, hex, &js, NULL), ST_OK);
    snprintf(
        json, sizeof json,
        "{\"req_cnf\":{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\",\"key_ops\":[\"sign\"]}}}",
        ed25519_jwk);
    assert_json(js, json);
}

static void keys_that_are_none_are_refused(void **state UNUSED)
{
    refused(ACE_TOKEN_REQUEST,
            "a104a101a20104"
            "2141aa",
            ST_MALFORMED, "TK-3");
    refused(ACE_TOKEN_REQUEST, "a104a101a3010320416e214165", ST_BAD_POP_KEY, "tokens.md 4"); /* AF-52: RSA */
    /* AF-46: for an algorithm nobody here knows (-13), or one no PoP key has (A128GCM) */
    refused(ACE_TOKEN_RESPONSE,
            "a108a101a3010403"
            "2c2050000102030405060708090a0b0c0d0e0f",
            ST_BAD_POP_KEY, "AF-46");
    refused(ACE_TOKEN_RESPONSE,
            "a108a101a3010403"
            "012050000102030405060708090a0b0c0d0e0f",
            ST_BAD_POP_KEY, "AF-46");
    refused(ACE_TOKEN_REQUEST, "a104a102d08343a1010aa040", ST_BAD_POP_KEY, "TK-1"); /* Encrypted_COSE_Key */
}

static void kids_that_are_no_text_keep_their_bytes(void **state UNUSED)
{
    /* MT-27: the kid of the profile's own example */
    both_ways(ACE_TOKEN_RESPONSE, "{\"cnf\":{\"kid\":\"base64url:PQJ4M_xiZ84\"}}",
              "a108a103483d027833fc6267ce");
    both_ways(ACE_TOKEN_RESPONSE, "{\"cnf\":{\"kid\":\"base64url:YmFzZTY0dXJsOkFB\"}}",
              "a108a1034c"
              "6261736536"
              "3475726c3a"
              "4141");
    both_ways(ACE_TOKEN_RESPONSE, "{\"cnf\":{\"kid\":\"plain\"}}", "a108a10345706c61696e");
    CLEANUP(buf_done)
    struct buf bytes;
    buf_init(&bytes, 64);
    assert_int_equal(ace_kid_bytes(SPAN("base64url:PQJ4M_xiZ84"), &bytes), ST_OK);
    assert_true(span_eq(buf_span(&bytes), SPAN("\x3d\x02\x78\x33\xfc\x62\x67\xce")));
    buf_reset(&bytes);
    assert_int_equal(ace_kid_bytes(SPAN("base64url:not it!"), &bytes), ST_OK); /* just a text that looks odd */
    assert_true(span_eq_str(buf_span(&bytes), "base64url:not it!"));
}

static void a_cwt_is_bytes_here_and_base64url_there(void **state UNUSED)
{
    static const char *const cwts[] = { "d83dd28440a04040", "d2844043a0a0a0", "d0834043a0a0a0",
                                        "d8628440a04080" };

    for (size_t i = 0; i < COUNT_OF(cwts); i++) {
        CLEANUP(js_unrefp)
        struct js *js = NULL;
        CLEANUP(buf_done)
        struct buf raw;
        CLEANUP(buf_done)
        struct buf text;
        CLEANUP(buf_done)
        struct buf presented;
        struct span token;
        char hex[64];

        from_hex(cwts[i], &raw);
        buf_init(&text, 256);
        buf_init(&presented, 256);
        base64url_encode(buf_span(&raw), &text);
        snprintf(hex, sizeof hex, "a10b%02zx%s", 0x40 + raw.len, cwts[i]);
        assert_int_equal(read_hex(ACE_INTROSPECTION_REQUEST, hex, &js, NULL), ST_OK);
        assert_true(js_get_str(js, "token", &token));
        assert_true(span_eq(token, buf_span(&text)));
        assert_int_equal(ace_token_bytes(token, &presented), ST_OK);
        assert_true(span_eq(buf_span(&presented), buf_span(&raw)));
    }
    both_ways(ACE_INTROSPECTION_REQUEST, "{\"token\":\"eyJ.e30.c2ln\"}", "a10b4c65794a2e6533302e63326c6e");
    refused(ACE_INTROSPECTION_REQUEST, "a10b42ff00", ST_MALFORMED, "AF-7");
}

static void the_scope_is_aif_in_cbor_and_words_stay_words(void **state UNUSED)
{
    /* AF-23, AF-106, MT-80, MT-86: base64url of AIF, in JSON or CBOR, becomes bytes of CBOR */
    static const char hex[] = "a10958308382"
                              "66746f70696331826370756263737562"
                              "8268746f706963322f23816370756282682b2f746f70"
                              "6963338163737562";

    assert_cbor(
        ACE_TOKEN_REQUEST,
        "{\"scope\":[[\"topic1\",[\"pub\",\"sub\"]],[\"topic2/#\",[\"pub\"]],[\"+/topic3\",[\"sub\"]]]}", hex);
    assert_cbor(
        ACE_TOKEN_REQUEST,
        "{\"scope\":"
        "\"W1sidG9waWMxIixbInB1YiIsInN1YiJdXSxbInRvcGljMi8jIixbInB1YiJdXSxbIisvdG9waWMzIixbInN1YiJdXV0\"}",
        hex);
    both_ways(ACE_TOKEN_REQUEST, "{\"scope\":\"read\"}", "a1096472656164");
    both_ways(ACE_TOKEN_REQUEST, "{\"scope\":\"[[\\\"a\\\",[\\\"pub\\\"]]]\"}",
              "a1096f5b5b2261222c5b22707562225d5d5d");
}

static void documents_that_have_no_cbor_are_refused(void **state UNUSED)
{
    static const struct {
        enum ace_document document;
        const char *json;
    } rows[] = {
        { ACE_TOKEN_RESPONSE, "[]" },
        { ACE_TOKEN_RESPONSE, "{\"expires_in\":\"1\"}" },
        { ACE_TOKEN_RESPONSE, "{\"expires_in\":1.5}" },
        { ACE_TOKEN_RESPONSE, "{\"error\":\"server_error\"}" },
        { ACE_TOKEN_RESPONSE, "{\"grant_type\":\"password\"}" }, /* registered, but not for this document */
        { ACE_TOKEN_REQUEST, "{\"cnonce\":\"!\"}" },
        { ACE_TOKEN_REQUEST, "{\"audience\":7}" },
        { ACE_TOKEN_REQUEST, "{\"req_cnf\":7}" },
        { ACE_TOKEN_REQUEST, "{\"req_cnf\":{\"x5t#S256\":\"AA\"}}" },
        { ACE_TOKEN_REQUEST, "{\"other\":{}}" },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(js_unrefp)
        struct js *js = NULL;
        CLEANUP(buf_done)
        struct buf out;
        buf_init(&out, CBOR_MAX);
        put_str(&out, "before");
        assert_int_equal(js_parse(span_of_str(rows[i].json), CBOR_MAX, &js, NULL), ST_OK);
        assert_int_not_equal(ace_to_cbor(rows[i].document, js, &out, NULL), ST_OK);
        assert_true(span_eq_str(buf_span(&out), "before"));
    }
}

/* Documents made at random of every member a table has: there and back they are the same (AF-7, AF 5). */
struct random {
    uint32_t state;
};

static uint32_t draw(struct random *r, uint32_t below)
{
    r->state = r->state * 1664525u + 1013904223u;
    return (r->state >> 8) % below;
}

struct candidate {
    const char *json; /* a member that comes back as it is */
    unsigned documents;
};

static void random_documents_come_back_the_same(void **state UNUSED)
{
    static const struct candidate all[] = {
        { "\"audience\":\"b\"", IN(ACE_TOKEN_REQUEST) | IN(ACE_HINTS) },
        { "\"client_id\":\"c\"",
          IN(ACE_TOKEN_REQUEST) | IN(ACE_INTROSPECTION_REQUEST) | IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"client_secret\":\"s\\u00e9\"", IN(ACE_TOKEN_REQUEST) | IN(ACE_INTROSPECTION_REQUEST) },
        { "\"response_type\":\"r\"", IN(ACE_TOKEN_REQUEST) },
        { "\"redirect_uri\":\"r\"", IN(ACE_TOKEN_REQUEST) },
        { "\"state\":\"\"", IN(ACE_TOKEN_REQUEST) | IN(ACE_TOKEN_RESPONSE) },
        { "\"code\":\"x\"", IN(ACE_TOKEN_REQUEST) },
        { "\"grant_type\":\"password\"", IN(ACE_TOKEN_REQUEST) },
        { "\"username\":\"u\"", IN(ACE_TOKEN_REQUEST) | IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"password\":\"p\"", IN(ACE_TOKEN_REQUEST) },
        { "\"refresh_token\":\"t\"", IN(ACE_TOKEN_REQUEST) | IN(ACE_TOKEN_RESPONSE) },
        { "\"ace_profile\":\"coap_oscore\"",
          IN(ACE_TOKEN_REQUEST) | IN(ACE_TOKEN_RESPONSE) | IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"cnonce\":\"AAAA\"", IN(ACE_TOKEN_REQUEST) | IN(ACE_INTROSPECTION_RESPONSE) | IN(ACE_HINTS) },
        { "\"scope\":\"two words\"",
          IN(ACE_TOKEN_REQUEST) | IN(ACE_TOKEN_RESPONSE) | IN(ACE_INTROSPECTION_RESPONSE) | IN(ACE_HINTS) },
        { "\"access_token\":\"t.o.k\"", IN(ACE_TOKEN_RESPONSE) },
        { "\"expires_in\":86400", IN(ACE_TOKEN_RESPONSE) },
        { "\"cnf\":{\"kid\":\"k\"}", IN(ACE_TOKEN_RESPONSE) | IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"rs_cnf\":{\"x5t#S256\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}", IN(ACE_TOKEN_RESPONSE) },
        { "\"req_cnf\":{\"kid\":\"\"}", IN(ACE_TOKEN_REQUEST) },
        { "\"token_type\":\"Bearer\"", IN(ACE_TOKEN_RESPONSE) | IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"error\":\"invalid_grant\"", IN(ACE_TOKEN_RESPONSE) | IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"error_description\":\"d\"", IN(ACE_TOKEN_RESPONSE) | IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"error_uri\":\"e\"", IN(ACE_TOKEN_RESPONSE) | IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"token\":\"t\"", IN(ACE_INTROSPECTION_REQUEST) },
        { "\"token_type_hint\":\"h\"", IN(ACE_INTROSPECTION_REQUEST) },
        { "\"iss\":\"i\"", IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"sub\":\"s\"", IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"aud\":\"a\"", IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"exp\":9007199254740993", IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"nbf\":-1", IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"iat\":0", IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"jti\":\"_-8\"", IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"active\":true", IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"exi\":3600", IN(ACE_INTROSPECTION_RESPONSE) },
        { "\"AS\":\"https://as\"", IN(ACE_HINTS) },
        { "\"kid\":\"AA\"", IN(ACE_HINTS) },
        { "\"client_assertion\":\"j.w.t\"", ~0u },
        { "\"z\":false", ~0u },
        { "\"y\":-70000", ~0u },
    };
    struct random r = { 1 };

    for (int round = 0; round < 3000; round++) {
        enum ace_document document = (enum ace_document)draw(&r, ACE_DOCUMENTS);
        CLEANUP(buf_done)
        struct buf json;
        CLEANUP(buf_done)
        struct buf cbor;
        CLEANUP(js_unrefp)
        struct js *js = NULL, *again = NULL;
        const char *comma = "{";
        buf_init(&json, CBOR_MAX);
        buf_init(&cbor, CBOR_MAX);
        for (size_t i = 0; i < COUNT_OF(all); i++) {
            if ((all[i].documents & IN(document)) == 0 || draw(&r, 2) == 0)
                continue;
            put_str(&json, comma);
            put_str(&json, all[i].json);
            comma = ",";
        }
        put_str(&json, comma[0] == '{' ? "{}" : "}");
        assert_int_equal(js_parse(buf_span(&json), CBOR_MAX, &js, NULL), ST_OK);
        assert_int_equal(ace_to_cbor(document, js, &cbor, NULL), ST_OK);
        assert_int_equal(ace_from_cbor(document, buf_span(&cbor), CBOR_MAX, &again, NULL), ST_OK);
        assert_true(js_same(js, again));
    }
}

static void not_to_cbor(enum ace_document document, const char *json)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(buf_done)
    struct buf cbor;
    struct why why = { 0 };

    buf_init(&cbor, CBOR_MAX);
    assert_int_equal(js_parse(span_of_str(json), CBOR_MAX, &js, NULL), ST_OK);
    enum status st = ace_to_cbor(document, js, &cbor, &why);
    assert_true(st != ST_OK && st != ST_NO_MEMORY && why.text != NULL);
}

static void af7_each_member_has_its_kind(void **state UNUSED)
{
    refused(ACE_INTROSPECTION_RESPONSE, "a10a01", ST_MALFORMED, "AF-7"); /* active that is no truth */
    refused(ACE_INTROSPECTION_RESPONSE, "a10701", ST_MALFORMED, "AF-7"); /* cti that is no bytes */
    refused(ACE_INTROSPECTION_REQUEST, "a10b01", ST_MALFORMED, "AF-7");  /* a token that is no bytes */
    refused(ACE_INTROSPECTION_RESPONSE, "a10301", ST_MALFORMED,
            "AF-7"); /* an audience that is neither text nor array */
    refused(ACE_INTROSPECTION_RESPONSE, "a1038101", ST_MALFORMED, "AF-7");   /* and one that holds a number */
    refused(ACE_INTROSPECTION_RESPONSE, "a103816100", ST_MALFORMED, "AF-7"); /* or a NUL */
    refused(ACE_TOKEN_REQUEST, "a1181801", ST_MALFORMED, "AF-7");            /* client_id: a number */
    refused(ACE_TOKEN_REQUEST,
            "a1182161"
            "78",
            ST_MALFORMED, "AF-7");                                /* grant_type as text */
    refused(ACE_TOKEN_REQUEST, "a16001", ST_MALFORMED, "AF-7");   /* a member without a name */
    refused(ACE_TOKEN_REQUEST, "a1610001", ST_MALFORMED, "AF-7"); /* or with a NUL in it */
    refused(ACE_TOKEN_REQUEST, "80", ST_MALFORMED, "AF-5");       /* an array */
}

static void af7_what_nobody_registered_is_skipped_or_taken_as_it_is(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;

    /* {"x": 1, "y": true, "z": h'00', 2^64-1 below zero: 1, "w": "t"} */
    assert_int_equal(read_hex(ACE_TOKEN_REQUEST,
                              "a5617801"
                              "6179f5"
                              "617a4100"
                              "3bffffffffffffffff01"
                              "61776174",
                              &js, NULL),
                     ST_OK);
    assert_json(js, "{\"x\":1,\"y\":true,\"w\":\"t\"}");
}

static void af5_a_document_has_so_many_members_and_no_more(void **state UNUSED)
{
    CLEANUP(buf_done)
    struct buf json;
    CLEANUP(buf_done)
    struct buf cbor;
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct why why = { 0 };

    buf_init(&json, CBOR_MAX);
    buf_init(&cbor, CBOR_MAX);
    put_str(&json, "{\"m0\":0");
    for (int i = 1; i < 200; i++)
        put_fmt(&json, ",\"m%d\":%d", i, i);
    put_str(&json, "}");
    assert_int_equal(js_parse(buf_span(&json), CBOR_MAX, &js, NULL), ST_OK);
    assert_int_equal(ace_to_cbor(ACE_TOKEN_REQUEST, js, &cbor, &why), ST_TOO_LARGE);
    buf_reset(&cbor);
    cb_put_map(&cbor, 200);
    for (int i = 0; i < 200; i++) {
        cb_put_int(&cbor, 1000 + i);
        cb_put_int(&cbor, 0);
    }
    js_unref(TAKE(js));
    assert_int_equal(ace_from_cbor(ACE_TOKEN_REQUEST, buf_span(&cbor), CBOR_MAX, &js, &why), ST_TOO_LARGE);
}

static void af7_what_json_says_wrong_is_not_written(void **state UNUSED)
{
    not_to_cbor(ACE_INTROSPECTION_RESPONSE, "{\"aud\":1}");
    not_to_cbor(ACE_INTROSPECTION_RESPONSE, "{\"aud\":[1]}");
    not_to_cbor(ACE_TOKEN_REQUEST, "{\"scope\":1}");
    not_to_cbor(ACE_TOKEN_REQUEST, "{\"grant_type\":\"nobody's\"}");
    not_to_cbor(ACE_TOKEN_REQUEST, "{\"grant_type\":true}");
    not_to_cbor(ACE_TOKEN_REQUEST, "{\"cnonce\":\"?\"}");
}

static void af48_a_confirmation_is_read_as_far_as_it_is_known(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;

    refused(ACE_TOKEN_REQUEST, "a10401", ST_MALFORMED, "AF-48");      /* req_cnf that is no map */
    refused(ACE_TOKEN_REQUEST, "a104a10301", ST_MALFORMED, "AF-48");  /* a kid that is no bytes */
    refused(ACE_TOKEN_REQUEST, "a104a10201", ST_BAD_POP_KEY, "TK-1"); /* an encrypted key */
    refused(ACE_TOKEN_REQUEST,
            "a104a1182282"
            "2f4100",
            ST_MALFORMED, "RFC 9360 2"); /* SHA-256 of one byte */
    refused(ACE_TOKEN_REQUEST,
            "a104a1182281"
            "2f",
            ST_MALFORMED, "RFC 9360 2");
    refused(ACE_TOKEN_REQUEST,
            "a104a1182282"
            "2f01",
            ST_MALFORMED, "RFC 9360 2");
    assert_int_equal(read_hex(ACE_TOKEN_REQUEST,
                              "a104a1182282"
                              "38"
                              "2b4100",
                              &js, NULL),
                     ST_OK); /* another hash */
    assert_json(js, "{\"req_cnf\":{}}");
    js_unref(TAKE(js));
    assert_int_equal(read_hex(ACE_TOKEN_REQUEST,
                              "a104a11822826161"
                              "4100",
                              &js, NULL),
                     ST_OK); /* by its name */
    assert_json(js, "{\"req_cnf\":{}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(af7_each_member_has_its_kind),
        cmocka_unit_test(af7_what_nobody_registered_is_skipped_or_taken_as_it_is),
        cmocka_unit_test(af5_a_document_has_so_many_members_and_no_more),
        cmocka_unit_test(af7_what_json_says_wrong_is_not_written),
        cmocka_unit_test(af48_a_confirmation_is_read_as_far_as_it_is_known),
        cmocka_unit_test(af12_the_example_of_the_hints),
        cmocka_unit_test(af27_a_token_request),
        cmocka_unit_test(af35_a_token_response),
        cmocka_unit_test(af51_errors_are_integers),
        cmocka_unit_test(af80_introspection),
        cmocka_unit_test(key_40_is_exi_in_introspection_and_nothing_in_a_token_request),
        cmocka_unit_test(profiles_by_name_and_number),
        cmocka_unit_test(names_without_an_integer_are_text_and_registered_ones_are_not),
        cmocka_unit_test(names_of_nobody_are_skipped),
        cmocka_unit_test(hostile_cbor_is_refused),
        cmocka_unit_test(a_document_may_not_be_larger_than_asked),
        cmocka_unit_test(af48_keys_in_confirmations),
        cmocka_unit_test(af46_what_a_key_forbids_it_goes_on_to_forbid),
        cmocka_unit_test(keys_that_are_none_are_refused),
        cmocka_unit_test(kids_that_are_no_text_keep_their_bytes),
        cmocka_unit_test(a_cwt_is_bytes_here_and_base64url_there),
        cmocka_unit_test(the_scope_is_aif_in_cbor_and_words_stay_words),
        cmocka_unit_test(documents_that_have_no_cbor_are_refused),
        cmocka_unit_test(random_documents_come_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
