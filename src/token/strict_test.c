/* The edges of small forms: records of tokens, PSK identities, hints, user names, keys in documents of CBOR. */
#include "codec/cbor.h"
#include "codec/json.h"
#include "token/ace_cbor.h"
#include "token/hints.h"
#include "token/psk_identity.h"
#include "token/token_record.h"
#include "token/user_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define ROOM 8192

/* ---- records ---- */

static void assert_reads_back(struct token *token, enum status expected)
{
    CLEANUP(buf_done)
    struct buf record;
    CLEANUP(token_unrefp)
    struct token *back = NULL;
    struct why why = { 0 };

    buf_init(&record, ROOM);
    assert_int_equal(token_record_write(token, &record), ST_OK);
    assert_int_equal(token_record_read(buf_span(&record), &back, &why), expected);
    if (expected != ST_OK) {
        assert_string_equal(why.clause, "token record");
        return;
    }
    assert_true(span_eq(back->iss, token->iss) && span_eq(back->cnf_kid, token->cnf_kid));
    assert_true((back->cnf == NULL && token->cnf == NULL) || key_same(back->cnf, token->cnf));
    assert_int_equal(back->has_twin, token->has_twin);
    for (size_t len = 0; len < record.len; len++) { /* and no part of it */
        struct token *part = NULL;

        assert_int_not_equal(token_record_read(span_of(record.p, len), &part, NULL), ST_OK);
    }
}

static void a_record_reads_back_whatever_names_the_key(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_SECRET, KEY_ED25519, KEY_P256 };
    struct scope *scope = NULL;
    struct token token = { .iss = SPAN("https://as.example") };

    assert_int_equal(scope_from_text(SPAN("[[\"a\",[\"pub\"]]]"), &scope, NULL), ST_OK);
    token.scope = scope;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct key *key = NULL;

        assert_int_equal(key_generate(kinds[i], &key), ST_OK);
        token.cnf = key;
        token.has_twin = i == 2;
        assert_reads_back(&token, ST_OK);
        token.cnf_how = TOKEN_CNF_KID; /* and a key: nobody wrote that */
        assert_reads_back(&token, ST_MALFORMED);
        token.cnf_how = TOKEN_CNF_KEY;
        key_unref(key);
    }
    token.cnf = NULL;
    assert_reads_back(&token, ST_MALFORMED); /* a key that is not there */
    token.cnf_how = TOKEN_CNF_KID;
    token.cnf_kid = SPAN("k");
    assert_reads_back(&token, ST_OK);
    token.cnf_how = (enum token_cnf)(TOKEN_CNF_X5T + 1);
    assert_reads_back(&token, ST_MALFORMED);
    token.cnf_how = TOKEN_CNF_X5T;
    token.format = (enum token_format)(TOKEN_REFERENCE + 1);
    assert_reads_back(&token, ST_MALFORMED);
    token.format = TOKEN_CWT;
    token.iss = SPAN_NONE;
    assert_reads_back(&token, ST_MALFORMED);
    scope_unref(scope);
}

static void a_record_of_another_kind_of_key_is_none(void **state UNUSED)
{
    CLEANUP(buf_done)
    struct buf record;
    struct scope *scope = NULL;
    struct key *key = NULL;
    struct token *back = NULL, token = { .iss = SPAN("as") };
    uint8_t *kind;

    buf_init(&record, ROOM);
    assert_int_equal(scope_from_text(SPAN("[]"), &scope, NULL), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    token.scope = scope;
    token.cnf = key;
    assert_int_equal(token_record_write(&token, &record), ST_OK);
    kind = memmem(record.p, record.len, key_x(key).p, key_x(key).len);
    assert_non_null(kind);
    kind[-3] = 99; /* in front of the length of the key */
    assert_int_equal(token_record_read(buf_span(&record), &back, NULL), ST_MALFORMED);
    kind[-3] = KEY_RSA;
    assert_int_equal(token_record_read(buf_span(&record), &back, NULL), ST_MALFORMED);
    kind[-3] = KEY_ED25519;
    record.p[record.len - 1] = 0xff; /* a scope that is none */
    assert_int_not_equal(token_record_read(buf_span(&record), &back, NULL), ST_OK);
    record.p[0]++;
    assert_int_equal(token_record_read(buf_span(&record), &back, NULL), ST_BAD_VERSION);
    key_unref(key);
    scope_unref(scope);
}

/* ---- identities of PSK ---- */

static void mt27_a_kid_has_an_end(void **state UNUSED)
{
    CLEANUP(buf_done)
    struct buf json;
    struct psk_identity id;

    buf_init(&json, ROOM);
    put_str(&json, "{\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"kid\":\"");
    for (int i = 0; i < 300; i++)
        put_u8(&json, 'k');
    put_str(&json, "\"}}}");
    assert_int_equal(psk_identity_parse(buf_span(&json), &id, NULL), ST_MALFORMED);
    assert_int_equal(psk_identity_parse(SPAN("{\"cnf\":{\"jwk\":{\"kty\":1,\"kid\":\"k\"}}}"), &id, NULL),
                     ST_MALFORMED);
    assert_int_equal(psk_identity_parse(SPAN("\xa1\x08\xa2\x01\xa2\x01\x04\x02\x41\x61\x02\x01"), &id, NULL),
                     ST_MALFORMED); /* cnf says something else as well */
    assert_int_equal(psk_identity_parse(SPAN("\xa1\x08\xa1\x01\xa2\x01\x61\x61\x02\x41\x61"), &id, NULL),
                     ST_MALFORMED);
    assert_int_equal(psk_identity_parse(SPAN("\xa1"), &id, NULL), ST_OK); /* of no use, but a token's place */
    assert_int_equal(psk_identity_parse(SPAN("\xa1\x07"), &id, NULL), ST_OK);
}

/* ---- hints ---- */

static void af12_the_as_is_an_absolute_uri(void **state UNUSED)
{
    static const struct {
        const char *uri;
        bool good;
    } rows[] = {
        { "a:b", true },    { "coap+tcp://a", true }, { "h2.x-y+1:z", true }, { "Z1:x", true },
        { "1a:b", false },  { "+a:b", false },        { "a_b:c", false },     { "a/b:c", false },
        { ":b", false },    { "a:", false },          { "ab", false },        { "a:b c", false },
        { "a:<b>", false }, { "a:\\u007f", false },   { "a:\\u00e9", false }, { "a[:b", false },
        { "a:b|c", false },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(hints_done)
        struct hints read = { 0 };
        CLEANUP(buf_done)
        struct buf json;

        buf_init(&json, ROOM);
        put_fmt(&json, "{\"AS\":\"%s\"}", rows[i].uri);
        if ((hints_parse(buf_span(&json), &read, NULL) == ST_OK) != rows[i].good)
            fail_msg("%s", rows[i].uri);
    }
}

/* ---- user names ---- */

static void mt122_a_token_that_does_not_fit_is_told_so(void **state UNUSED)
{
    static const char *const names[] = { "aceabc.def.ghi", "aceAAAAAAAAAAAAAAAA", "ace0oRA/+8=" };

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        CLEANUP(buf_done)
        struct buf out;
        struct why why = { 0 };

        buf_init(&out, 2);
        assert_int_not_equal(user_name_token(span_of_str(names[i]), &out, &why), ST_OK);
        assert_non_null(why.text);
    }
}

/* ---- keys in documents ---- */

static void both_ways(const char *json, bool public_only)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(js_unrefp)
    struct js *back = NULL;
    CLEANUP(buf_done)
    struct buf cbor;
    CLEANUP(buf_done)
    struct buf text;
    struct why why = { 0 };

    buf_init(&cbor, ROOM);
    buf_init(&text, ROOM);
    assert_int_equal(js_parse(span_of_str(json), ROOM, &js, NULL), ST_OK);
    if (ace_to_cbor(ACE_TOKEN_REQUEST, js, &cbor, &why) != ST_OK ||
        ace_from_cbor(ACE_TOKEN_REQUEST, buf_span(&cbor), ROOM, &back, &why) != ST_OK)
        fail_msg("%s: %s", why.clause, why.text);
    assert_int_equal(js_print(back, &text), ST_OK);
    put_u8(&text, '\0');
    assert_int_equal(strstr((const char *)text.p, "\"d\"") == NULL, public_only);
}

/* TK-56: shown as it came, for the reader to refuse. */
static void af46_a_private_part_is_not_hidden_on_the_way(void **state UNUSED)
{
    both_ways("{\"req_cnf\":{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
              "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}}}",
              true);
    both_ways("{\"req_cnf\":{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
              "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"d\":"
              "\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"}}}",
              false);
}

static void af46_what_a_key_may_be_used_for_stays_so(void **state UNUSED)
{
    static const int64_t ops[] = { 1, 2, 3, 4, 5, 6, 9, 10 };
    uint8_t secret[32] = { 5 };

    for (size_t i = 0; i <= COUNT_OF(ops); i++) {
        CLEANUP(buf_done)
        struct buf cbor;
        CLEANUP(js_unrefp)
        struct js *js = NULL;
        const struct js *list;
        size_t count = i < COUNT_OF(ops) ? 1 : COUNT_OF(ops);
        enum status st;

        buf_init(&cbor, ROOM);
        cb_put_map(&cbor, 1);
        cb_put_int(&cbor, 4); /* req_cnf */
        cb_put_map(&cbor, 1);
        cb_put_int(&cbor, 1); /* COSE_Key: kty 4 (symmetric), k, key_ops */
        cb_put_map(&cbor, 3);
        cb_put_int(&cbor, 1);
        cb_put_int(&cbor, 4);
        cb_put_int(&cbor, 4);
        cb_put_array(&cbor, count);
        for (size_t k = 0; k < count; k++)
            cb_put_int(&cbor, ops[count == 1 ? i : k]);
        cb_put_int(&cbor, -1);
        cb_put_bytes(&cbor, span_of(secret, sizeof secret));
        st = ace_from_cbor(ACE_TOKEN_REQUEST, buf_span(&cbor), ROOM, &js, NULL);
        assert_int_equal(st, ST_OK);
        list = js_get(js_get(js_get(js, "req_cnf"), "jwk"), "key_ops");
        assert_true(js_is(list, JS_ARRAY));
        assert_true(js_size(list) >= 1 && js_size(list) <= count); /* signing and MAC have one name in a JWK */
        for (size_t a = 0; a < js_size(list); a++)
            for (size_t b = 0; b < a; b++)
                assert_false(js_same(js_at(list, a), js_at(list, b)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_reads_back_whatever_names_the_key),
        cmocka_unit_test(a_record_of_another_kind_of_key_is_none),
        cmocka_unit_test(mt27_a_kid_has_an_end),
        cmocka_unit_test(af12_the_as_is_an_absolute_uri),
        cmocka_unit_test(mt122_a_token_that_does_not_fit_is_told_so),
        cmocka_unit_test(af46_a_private_part_is_not_hidden_on_the_way),
        cmocka_unit_test(af46_what_a_key_may_be_used_for_stays_so),
    };

    return cmocka_run_group_tests_name("token_strict", tests, NULL, NULL);
}
