/* Authentication Data byte for byte: the vectors of mqtt-tls-profile.md section 13, and every length there is. */
#include "codec/json.h"
#include "scope/scope.h"
#include "support/vectors.h"
#include "token/auth_data.h"

#define ROOM 4096

struct vectors {
    struct js *js;
    struct buf room;
    struct key *secret, *pair, *public;
    struct span exporter, rs_nonce, client_nonce;
};

static int load(void **state)
{
    struct vectors *v = calloc(1, sizeof(*v));

    v->js = vectors_load("ace-mqtt/proof.json");
    buf_init(&v->room, ROOM);
    assert_non_null(buf_room(&v->room, ROOM));
    assert_int_equal(key_new_secret(vector_hex(v->js, "key_hex", &v->room), &v->secret, NULL), ST_OK);
    assert_int_equal(key_new_ed25519_private(vector_hex(v->js, "ed25519_seed_hex", &v->room), &v->pair, NULL),
                     ST_OK);
    assert_int_equal(key_public(v->pair, &v->public), ST_OK);
    v->exporter = vector_hex(v->js, "exporter_hex", &v->room);
    v->rs_nonce = vector_hex(v->js, "rs_nonce_hex", &v->room);
    v->client_nonce = vector_hex(v->js, "client_nonce_hex", &v->room);
    *state = v;
    return 0;
}

static int unload(void **state)
{
    struct vectors *v = *state;

    js_unref(v->js);
    buf_done(&v->room);
    key_unref(v->secret);
    key_unref(v->pair);
    key_unref(v->public);
    free(v);
    return 0;
}

/* MT-56, MT-57, MT-63, MT-64; also with the broker's half of the key. */
static void section_13_proofs_over_the_exporter_are_the_vectors(void **state)
{
    struct vectors *v = *state;
    CLEANUP(buf_done)
    struct buf pop;

    buf_init(&pop, ROOM);
    assert_int_equal(pop_make_exporter(v->secret, v->exporter, &pop), ST_OK);
    assert_span_equal(buf_span(&pop), vector_hex(v->js, "hs256_exporter_hex", &v->room));
    assert_int_equal(pop_check_exporter(v->secret, v->exporter, buf_span(&pop), NULL), ST_OK);

    buf_reset(&pop);
    assert_int_equal(pop_make_exporter(v->pair, v->exporter, &pop), ST_OK);
    assert_span_equal(buf_span(&pop), vector_hex(v->js, "ed25519_exporter_hex", &v->room));
    assert_int_equal(pop_check_exporter(v->public, v->exporter, buf_span(&pop), NULL), ST_OK);
}

static void section_13_proofs_over_the_nonces_are_the_vectors(void **state)
{
    struct vectors *v = *state;
    CLEANUP(buf_done)
    struct buf pop;

    buf_init(&pop, ROOM);
    assert_int_equal(pop_make_nonces(v->secret, v->rs_nonce, v->client_nonce, &pop), ST_OK);
    assert_span_equal(buf_span(&pop), vector_hex(v->js, "hs256_nonces_hex", &v->room));
    assert_int_equal(pop_check_nonces(v->secret, v->rs_nonce, v->client_nonce, buf_span(&pop), NULL), ST_OK);

    buf_reset(&pop);
    assert_int_equal(pop_make_nonces(v->pair, v->rs_nonce, v->client_nonce, &pop), ST_OK);
    assert_span_equal(buf_span(&pop), vector_hex(v->js, "ed25519_nonces_hex", &v->room));
    assert_int_equal(pop_check_nonces(v->public, v->rs_nonce, v->client_nonce, buf_span(&pop), NULL), ST_OK);
}

static void section_13_layout_a_is_the_vector(void **state)
{
    struct vectors *v = *state;
    CLEANUP(buf_done)
    struct buf data;
    struct span token = vector_str(v->js, "layout_a_token"),
                pop = vector_hex(v->js, "hs256_exporter_hex", &v->room);
    struct auth_data parsed;

    buf_init(&data, ROOM);
    assert_int_equal(auth_data_write_connect(token, pop, &data), ST_OK);
    assert_span_equal(buf_span(&data), vector_hex(v->js, "layout_a_hex", &v->room));
    assert_int_equal(auth_data_parse_connect(buf_span(&data), &parsed, NULL), ST_OK);
    assert_span_equal(parsed.token, token);
    assert_span_equal(parsed.pop, pop);
}

/* D-1: both answers of section 13, told apart by length. */
static void section_13_layouts_d6_and_d9_are_the_vectors(void **state)
{
    struct vectors *v = *state;
    struct span pop = vector_hex(v->js, "hs256_nonces_hex", &v->room);

    for (int draft06 = 0; draft06 <= 1; draft06++) {
        CLEANUP(buf_done)
        struct buf data;
        struct auth_answer answer;
        buf_init(&data, ROOM);
        assert_int_equal(auth_data_write_answer(v->client_nonce, pop, draft06, &data), ST_OK);
        assert_span_equal(buf_span(&data), vector_hex(v->js, draft06 ? "d6_hex" : "d9_hex", &v->room));
        assert_int_equal(auth_data_parse_answer(buf_span(&data), pop_len_for(v->secret), &answer, NULL), ST_OK);
        assert_int_equal(answer.draft06, draft06);
        assert_span_equal(answer.nonce, v->client_nonce);
        assert_span_equal(answer.pop, pop);
    }
}

/* MT-80, MT-86: the scope example as a JWT carries it. */
static void section_13_scope_claim_is_the_vector(void **state)
{
    struct vectors *v = *state;
    CLEANUP(scope_unrefp)
    struct scope *from_json = NULL;
    CLEANUP(scope_unrefp)
    struct scope *from_claim = NULL;
    CLEANUP(buf_done)
    struct buf claim;

    buf_init(&claim, ROOM);
    assert_int_equal(scope_from_json(js_get(v->js, "scope_json"), &from_json, NULL), ST_OK);
    assert_int_equal(scope_to_claim(from_json, &claim), ST_OK);
    assert_span_equal(buf_span(&claim), vector_str(v->js, "scope_claim"));
    assert_int_equal(scope_from_claim(js_get(v->js, "scope_claim"), &from_claim, NULL), ST_OK);
    assert_true(scope_same(from_json, from_claim));
}

/* MT-122: what follows "ace" in the RFC's user name is base64url of the token; the user name itself is another
 * module's. */
static void section_13_user_name_of_3_1_1_holds_the_token(void **state)
{
    struct vectors *v = *state;
    struct span user_name = vector_str(v->js, "v311_user_name_rfc");
    CLEANUP(buf_done)
    struct buf token;

    buf_init(&token, ROOM);
    assert_true(span_starts_with(user_name, SPAN(ACE_METHOD)));
    assert_int_equal(base64url_decode(span_cut(user_name, 3, user_name.len), &token, NULL), ST_OK);
    assert_span_equal(buf_span(&token), vector_str(v->js, "v311_token"));
}

/* What D-1 says, in three lines: the model the parser is held against. */
static int expected_layout(size_t total, size_t pop_len, size_t nlen)
{
    if (total == pop_len + 8)
        return 9;
    return total >= pop_len && nlen >= 8 && nlen <= 64 && total == pop_len + 2 + nlen ? 6 : 0;
}

/* D-1, MT-63, exhaustively: every nlen that two bytes can say, in every total length up to beyond the longest answer
 * (64 of nonce, 64 of proof, 2). */
static void d1_the_length_alone_decides_between_d6_and_d9(void **state UNUSED)
{
    static const size_t pop_lens[] = { 32, 64 };
    uint8_t data[140] = { 0 };

    for (size_t p = 0; p < COUNT_OF(pop_lens); p++) {
        for (size_t total = 0; total <= sizeof(data); total++) {
            for (size_t nlen = 0; nlen <= 65535; nlen++) {
                struct auth_answer answer;
                data[0] = (uint8_t)(nlen >> 8);
                data[1] = (uint8_t)nlen;
                int layout = expected_layout(total, pop_lens[p], nlen);
                enum status st = auth_data_parse_answer(span_of(data, total), pop_lens[p], &answer, NULL);
                assert_int_equal(st, layout == 0 ? ST_MALFORMED : ST_OK);
                if (st != ST_OK)
                    continue;
                assert_int_equal(answer.draft06, layout == 6);
                assert_ptr_equal(answer.nonce.p, data + (layout == 6 ? 2 : 0));
                assert_int_equal(answer.nonce.len, layout == 6 ? nlen : 8);
                assert_ptr_equal(answer.pop.p, answer.nonce.p + answer.nonce.len);
                assert_int_equal(answer.pop.len, pop_lens[p]);
            }
        }
    }
}

/* D-1: an answer is verified once, in the layout its length says; bytes that would pass in the other do not. */
static void d1_an_answer_is_not_tried_in_the_other_layout(void **state)
{
    struct vectors *v = *state;
    CLEANUP(buf_done)
    struct buf pop;
    CLEANUP(buf_done)
    struct buf data;
    struct auth_answer answer;

    buf_init(&pop, ROOM);
    buf_init(&data, ROOM);
    assert_int_equal(pop_make_nonces(v->secret, v->rs_nonce, SPAN("\x00\x08nonces"), &pop), ST_OK);
    put_bytes(&data, SPAN("\x00\x08nonces"));
    put_bytes(&data, buf_span(&pop));
    assert_int_equal(auth_data_parse_answer(buf_span(&data), 32, &answer, NULL), ST_OK);
    assert_false(answer.draft06);
    assert_int_equal(pop_check_nonces(v->secret, v->rs_nonce, answer.nonce, answer.pop, NULL), ST_OK);
    put_str(&data, "xx");
    assert_int_equal(auth_data_parse_answer(buf_span(&data), 32, &answer, NULL), ST_OK);
    assert_true(answer.draft06);
    assert_int_equal(pop_check_nonces(v->secret, v->rs_nonce, answer.nonce, answer.pop, NULL), ST_BAD_PROOF);
}

/* Layouts A and B, section 5.1: the length prefix must lie within the data, and there must be a token. */
static void mt52_connect_data_of_every_length(void **state UNUSED)
{
    uint8_t data[80] = { 0 };

    for (size_t total = 0; total <= sizeof(data); total++) {
        for (size_t tlen = 0; tlen <= sizeof(data) + 1; tlen++) {
            struct auth_data out;
            data[1] = (uint8_t)tlen;
            enum status st = auth_data_parse_connect(span_of(data, total), &out, NULL);
            assert_int_equal(st, total >= 2 && tlen > 0 && tlen <= total - 2 ? ST_OK : ST_MALFORMED);
            if (st != ST_OK)
                continue;
            assert_int_equal(out.token.len, tlen);
            assert_int_equal(out.pop.len, total - 2 - tlen);
            assert_ptr_equal(out.token.p, data + 2);
        }
    }
    data[0] = 0xff;
    assert_int_equal(auth_data_parse_connect(span_of(data, sizeof(data)), &(struct auth_data){ 0 }, NULL),
                     ST_MALFORMED);
    assert_int_equal(auth_data_parse_connect(SPAN_NONE, &(struct auth_data){ 0 }, NULL), ST_MALFORMED);
}

static void mt58_a_challenge_is_8_bytes(void **state UNUSED)
{
    uint8_t bytes[20] = { 0 };
    struct span nonce;

    for (size_t len = 0; len <= sizeof(bytes); len++)
        assert_int_equal(auth_data_parse_challenge(span_of(bytes, len), &nonce, NULL),
                         len == 8 ? ST_OK : ST_MALFORMED);
}

/* MT-52: MQTT Binary Data ends at 65535 bytes. */
static void mt52_data_that_mqtt_cannot_carry_is_not_written(void **state UNUSED)
{
    static uint8_t big[65536];
    CLEANUP(buf_done)
    struct buf data;

    buf_init(&data, 1 << 20);
    put_str(&data, "before");
    assert_int_equal(auth_data_write_connect(span_of(big, 65533), SPAN_NONE, &data), ST_OK);
    buf_truncate(&data, 6);
    assert_int_equal(auth_data_write_connect(span_of(big, 65533), SPAN("x"), &data), ST_TOO_LARGE);
    assert_int_equal(data.len, 6);
    assert_int_equal(auth_data_write_connect(SPAN_NONE, SPAN("x"), &data), ST_MALFORMED);
    assert_int_equal(data.len, 6);
    assert_int_equal(auth_data_write_connect(span_of(big, 65536), SPAN_NONE, &data), ST_TOO_LARGE);
    assert_int_equal(data.len, 6);
}

/* MT-63, TK-63: for every key, every other length of the proof is refused before any computing. */
static void mt63_a_proof_has_the_one_length_of_its_key(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_SECRET, KEY_ED25519, KEY_P256 };
    static const size_t lens[] = { 32, 64, 64 };

    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        CLEANUP(buf_done)
        struct buf pop;
        uint8_t exporter[ACE_EXPORTER_LEN] = { 7 };
        struct span input = span_of(exporter, sizeof(exporter));
        buf_init(&pop, 256);
        assert_int_equal(key_generate(kinds[k], &key), ST_OK);
        assert_int_equal(pop_len_for(key), lens[k]);
        assert_int_equal(pop_make_exporter(key, input, &pop), ST_OK);
        assert_int_equal(pop.len, lens[k]);
        assert_int_equal(pop_check_exporter(key, input, buf_span(&pop), NULL), ST_OK);
        while (pop.len < 130)
            put_u8(&pop, 0);
        for (size_t len = 0; len <= pop.len; len++) {
            struct why why = { 0 };
            if (len == lens[k])
                continue;
            assert_int_equal(pop_check_exporter(key, input, span_cut(buf_span(&pop), 0, len), &why),
                             ST_BAD_PROOF);
            assert_string_equal(why.clause, "MT-63");
        }
    }
}

/* MT-65, TK-68: any single wrong bit, anywhere, gets the same answer. */
static void mt65_any_changed_bit_of_a_proof_is_refused_alike(void **state)
{
    struct vectors *v = *state;
    const struct key *keys[] = { v->secret, v->pair };

    for (size_t k = 0; k < COUNT_OF(keys); k++) {
        CLEANUP(buf_done)
        struct buf pop;
        buf_init(&pop, 256);
        assert_int_equal(pop_make_nonces(keys[k], v->rs_nonce, v->client_nonce, &pop), ST_OK);
        for (size_t bit = 0; bit < pop.len * 8; bit++) {
            struct why why = { 0 };
            pop.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(pop_check_nonces(keys[k], v->rs_nonce, v->client_nonce, buf_span(&pop), &why),
                             ST_BAD_PROOF);
            assert_string_equal(why.clause, "MT-65");
            pop.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void mt65_a_proof_of_other_nonces_or_another_key_is_refused(void **state)
{
    struct vectors *v = *state;
    CLEANUP(key_unrefp)
    struct key *other = NULL;
    CLEANUP(buf_done)
    struct buf pop;

    buf_init(&pop, 256);
    assert_int_equal(key_generate(KEY_SECRET, &other), ST_OK);
    assert_int_equal(pop_make_nonces(v->secret, v->rs_nonce, v->client_nonce, &pop), ST_OK);
    assert_int_equal(pop_check_nonces(v->secret, v->client_nonce, v->rs_nonce, buf_span(&pop), NULL),
                     ST_BAD_PROOF);
    assert_int_equal(pop_check_nonces(other, v->rs_nonce, v->client_nonce, buf_span(&pop), NULL), ST_BAD_PROOF);
    assert_int_equal(pop_check_exporter(v->secret, v->exporter, buf_span(&pop), NULL), ST_BAD_PROOF);
}

static void a_public_key_cannot_prove(void **state)
{
    struct vectors *v = *state;
    CLEANUP(buf_done)
    struct buf pop;

    buf_init(&pop, 256);
    assert_int_not_equal(pop_make_exporter(v->public, v->exporter, &pop), ST_OK);
    assert_int_equal(pop.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(section_13_proofs_over_the_exporter_are_the_vectors),
        cmocka_unit_test(section_13_proofs_over_the_nonces_are_the_vectors),
        cmocka_unit_test(section_13_layout_a_is_the_vector),
        cmocka_unit_test(section_13_layouts_d6_and_d9_are_the_vectors),
        cmocka_unit_test(section_13_scope_claim_is_the_vector),
        cmocka_unit_test(section_13_user_name_of_3_1_1_holds_the_token),
        cmocka_unit_test(d1_the_length_alone_decides_between_d6_and_d9),
        cmocka_unit_test(d1_an_answer_is_not_tried_in_the_other_layout),
        cmocka_unit_test(mt52_connect_data_of_every_length),
        cmocka_unit_test(mt58_a_challenge_is_8_bytes),
        cmocka_unit_test(mt52_data_that_mqtt_cannot_carry_is_not_written),
        cmocka_unit_test(mt63_a_proof_has_the_one_length_of_its_key),
        cmocka_unit_test(mt65_any_changed_bit_of_a_proof_is_refused_alike),
        cmocka_unit_test(mt65_a_proof_of_other_nonces_or_another_key_is_refused),
        cmocka_unit_test(a_public_key_cannot_prove),
    };
    return cmocka_run_group_tests_name("auth_data", tests, load, unload);
}
