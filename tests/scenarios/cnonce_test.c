/* A broker that hands out cnonces and counts the life of tokens from their first receipt, for want of a clock
 * (AF-15 to AF-19, MT-91); tokens that ask for that themselves (exi: AF-75 to AF-77); and the same token twice (MT-73). */
#include "harness.h"

#include "crypto/hash.h"
#include "token/hints.h"

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

struct fixture {
    struct bench *b;
    struct key *key;
    struct buf token;
};

static struct fixture begin(unsigned shards)
{
    struct fixture f = { .b = bench_new(shards) };

    assert_int_equal(key_generate(KEY_ED25519, &f.key), ST_OK);
    buf_init(&f.token, 65535);
    return f;
}

static void end(struct fixture *f)
{
    key_unref(f->key);
    buf_done(&f->token);
    bench_free(f->b);
}

/* The cnonce of the hints a refused CONNECT is given. */
static void discover(struct bench *b, uint8_t nonce[TOKEN_CNONCE_LEN])
{
    struct conn_io *c = client_new(b);
    struct mqtt_connack connack;
    struct span json;
    struct hints hints;

    client_connect(c, &(struct connect_wish){ .id = "d", .no_data = true });
    connack = expect_connack(c, MQTT_NOT_AUTHORIZED);
    assert_true(mqtt_find_user_property(&connack.properties, SPAN(ACE_AS_HINT), &json));
    assert_int_equal(hints_parse(json, &hints, NULL), ST_OK);
    assert_int_equal(hints.cnonce.len, TOKEN_CNONCE_LEN);
    memcpy(nonce, hints.cnonce.p, TOKEN_CNONCE_LEN);
    hints_done(&hints);
}

static void make(struct fixture *f, struct token_wish wish)
{
    wish.key = f->key;
    wish.scope = wish.scope != NULL ? wish.scope : ALL;
    wish.has_iat = true;
    buf_reset(&f->token);
    token_make(f->b, &wish, &f->token);
}

static struct conn_io *connect(struct fixture *f)
{
    struct conn_io *c = client_new(f->b);
    struct buf pop, data;

    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 65535);
    assert_int_equal(pop_make_exporter(f->key, span_of(c->exporter_value, ACE_EXPORTER_LEN), &pop), ST_OK);
    assert_int_equal(auth_data_write_connect(buf_span(&f->token), buf_span(&pop), &data), ST_OK);
    client_connect(c, &(struct connect_wish){ .id = "d", .data = buf_span(&data), .has_data = true });
    buf_done(&pop);
    buf_done(&data);
    return c;
}

static void a_token_with_the_nonce_of_the_hints_is_taken(void **state) /* MT-91, AF-15, AF-17, AF-18, AF-19 */
{
    (void)state;
    for (unsigned shards = 1; shards <= 3; shards++) {
        struct fixture f = begin(shards);
        uint8_t nonce[TOKEN_CNONCE_LEN];
        struct conn_io *c;

        bench_without_clock(f.b);
        discover(f.b, nonce);
        make(&f, (struct token_wish){ .cnonce = span_of(nonce, sizeof nonce), .life_s = 60 });
        bench_jump(f.b, -400000); /* the calendar is wrong by days, and nobody looks */
        c = connect(&f);
        (void)expect_connack(c, MQTT_SUCCESS);
        bench_advance(f.b, 30000);
        client_drop(c);
        c = connect(&f); /* the same token again, its life going on */
        (void)expect_connack(c, MQTT_SUCCESS);
        bench_advance(f.b, 29000);
        expect_nothing(c);
        bench_advance(f.b, 2000);
        expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-100");
        expect_refused(connect(&f), MQTT_NOT_AUTHORIZED, "MT-100");
        end(&f);
    }
}

static void others_are_not(void **state) /* AF-18, TK-64 */
{
    struct fixture f = begin(1);
    uint8_t nonce[TOKEN_CNONCE_LEN], forged[TOKEN_CNONCE_LEN], late[TOKEN_CNONCE_LEN];

    (void)state;
    bench_without_clock(f.b);
    discover(f.b, nonce);
    discover(f.b, late);
    make(&f, (struct token_wish){ 0 });
    expect_refused(connect(&f), MQTT_NOT_AUTHORIZED, "AF-18"); /* none */
    memcpy(forged, nonce, sizeof forged);
    forged[3]++;
    make(&f, (struct token_wish){ .cnonce = span_of(forged, sizeof forged) });
    expect_refused(connect(&f), MQTT_NOT_AUTHORIZED, "AF-18");
    make(&f, (struct token_wish){ .cnonce = span_of(nonce, sizeof nonce) });
    (void)expect_connack(connect(&f), MQTT_SUCCESS);
    make(&f, (struct token_wish){ .cnonce = span_of(nonce, sizeof nonce), .life_s = 50 });
    expect_refused(connect(&f), MQTT_NOT_AUTHORIZED, "TK-64"); /* it was another token's */
    bench_advance(f.b, 121000);
    make(&f, (struct token_wish){ .cnonce = span_of(late, sizeof late) });
    expect_refused(connect(&f), MQTT_NOT_AUTHORIZED, "AF-18");
    end(&f);
}

static void authz_info_wants_the_nonce_too(void **state) /* AF-18, MT-34 */
{
    struct fixture f = begin(1);
    uint8_t nonce[TOKEN_CNONCE_LEN];
    struct conn_io *c;

    (void)state;
    bench_without_clock(f.b);
    discover(f.b, nonce);
    c = client_new(f.b);
    client_connect(c, &(struct connect_wish){ .id = "v", .no_method = true });
    (void)expect_connack(c, MQTT_SUCCESS);
    make(&f, (struct token_wish){ 0 });
    client_leave_token(c, buf_span(&f.token), 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
    make(&f, (struct token_wish){ .cnonce = span_of(nonce, sizeof nonce) });
    client_leave_token(c, buf_span(&f.token), 1, 2);
    (void)expect_ack(c, MQTT_PUBACK, 2, MQTT_SUCCESS);
    end(&f);
}

static void hints_of_a_broker_with_a_clock_have_none(void **state) /* MT-91 */
{
    struct fixture f = begin(1);
    struct conn_io *c;
    struct mqtt_connack connack;
    struct span json;
    struct hints hints;

    (void)state;
    bench_tokens(f.b, NULL);
    c = client_new(f.b);
    client_connect(c, &(struct connect_wish){ .id = "d", .no_data = true });
    connack = expect_connack(c, MQTT_NOT_AUTHORIZED);
    assert_true(mqtt_find_user_property(&connack.properties, SPAN(ACE_AS_HINT), &json));
    assert_int_equal(hints_parse(json, &hints, NULL), ST_OK);
    assert_null(hints.cnonce.p);
    hints_done(&hints);
    end(&f);
}

/* ---- exi ---- */

static void an_exi_token_ends_a_session_and_does_not_begin_another(void **state) /* AF-75, AF-77, TK-64 */
{
    (void)state;
    for (unsigned shards = 1; shards <= 3; shards++) {
        struct fixture f = begin(shards);
        struct conn_io *c;

        bench_tokens(f.b, NULL);
        make(&f, (struct token_wish){ .exi_s = 60, .sequence = 9 });
        bench_advance(f.b, 1000000); /* it waits until it is first seen */
        c = connect(&f);
        (void)expect_connack(c, MQTT_SUCCESS);
        bench_advance(f.b, 40000);
        client_drop(c);
        c = connect(&f);
        (void)expect_connack(c, MQTT_SUCCESS);
        bench_advance(f.b, 19000);
        expect_nothing(c);
        bench_advance(f.b, 1100);
        expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-100");
        expect_refused(connect(&f), MQTT_NOT_AUTHORIZED, "AF-75");
        make(&f, (struct token_wish){ .exi_s = 60, .sequence = 8 });
        expect_refused(connect(&f), MQTT_NOT_AUTHORIZED, "AF-77");
        make(&f, (struct token_wish){ .exi_s = 60, .sequence = 10 });
        (void)expect_connack(connect(&f), MQTT_SUCCESS);
        end(&f);
    }
}

static void re_authentication_does_not_prolong_exi(void **state) /* AF-75, MT-107 */
{
    struct fixture f = begin(1);
    struct conn_io *c;
    struct mqtt_auth auth;
    struct buf data, pop;

    (void)state;
    buf_init(&data, 65535);
    buf_init(&pop, ACE_POP_MAX);
    bench_tokens(f.b, NULL);
    make(&f, (struct token_wish){ .exi_s = 60, .sequence = 1 });
    c = connect(&f);
    (void)expect_connack(c, MQTT_SUCCESS);
    bench_advance(f.b, 50000);
    assert_int_equal(auth_data_write_connect(buf_span(&f.token), SPAN_NONE, &data), ST_OK);
    client_auth(c, MQTT_REAUTHENTICATE, ACE_METHOD, buf_span(&data));
    auth = expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
    assert_int_equal(pop_make_nonces(f.key, auth.properties.auth_data, SPAN("12345678"), &pop), ST_OK);
    buf_reset(&data);
    assert_int_equal(auth_data_write_answer(SPAN("12345678"), buf_span(&pop), false, &data), ST_OK);
    client_auth(c, MQTT_CONTINUE_AUTHENTICATION, ACE_METHOD, buf_span(&data));
    (void)expect_auth(c, MQTT_SUCCESS);
    bench_advance(f.b, 10100);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-100");
    buf_done(&data);
    buf_done(&pop);
    end(&f);
}

/* ---- the same token twice ---- */

static void the_same_reference_is_not_looked_up_twice_within_the_cache_time(void **state) /* MT-73, MT-95 */
{
    (void)state;
    for (int cached = 0; cached <= 1; cached++) {
        struct fixture f = begin(1);
        struct token_store_limits limits;
        uint64_t first;

        token_store_limits_init(&limits);
        limits.introspection_s = cached ? 30 : 0;
        bench_tokens(f.b, &limits);
        make(&f, (struct token_wish){ .life_s = 600 });
        {
            struct token *token = NULL;

            /* as introspection would describe it, under the reference's own hash */
            assert_int_equal(token_verify(buf_span(&f.token), f.b->verifier, f.b->now.wall, &token, NULL),
                             ST_OK);
            buf_reset(&f.token);
            put_str(&f.token, "reference-1");
            assert_int_equal(sha256(buf_span(&f.token), token->hash), ST_OK);
            token->by_introspection = true;
            (void)connect(&f);
            first = f.b->asked;
            assert_int_not_equal(first, 0);
            shard_token_resolved(f.b->shard[0], first, ST_OK, token, (struct why){ 0 }, f.b->now);
            bench_run(f.b);
        }
        assert_int_equal(STAT(f.b, tokens_accepted), 1);
        bench_advance(f.b, 29000);
        (void)connect(&f);
        assert_int_equal(STAT(f.b, tokens_accepted), cached ? 2 : 1);
        assert_int_equal(f.b->asked != first, !cached);
        bench_advance(f.b, 2000); /* from the answer on, not from the last use */
        (void)connect(&f);
        assert_true(f.b->asked != first);
        end(&f);
    }
}

static void a_token_verified_before_is_forgotten_with_the_keys(void **state) /* MT-73 */
{
    struct fixture f = begin(2);
    struct token_store_counts counts;

    (void)state;
    bench_tokens(f.b, NULL);
    make(&f, (struct token_wish){ 0 });
    (void)expect_connack(connect(&f), MQTT_SUCCESS);
    token_store_count(f.b->tokens, &counts);
    assert_int_equal(counts.cached, 1);
    (void)expect_connack(connect(&f), MQTT_SUCCESS);
    for (unsigned i = 0; i < 2; i++)
        shard_set_verifier(f.b->shard[i], NULL);
    token_store_count(f.b->tokens, &counts);
    assert_int_equal(counts.cached, 0);
    expect_refused(connect(&f), MQTT_NOT_AUTHORIZED, "AF-63");
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_with_the_nonce_of_the_hints_is_taken),
        cmocka_unit_test(others_are_not),
        cmocka_unit_test(authz_info_wants_the_nonce_too),
        cmocka_unit_test(hints_of_a_broker_with_a_clock_have_none),
        cmocka_unit_test(an_exi_token_ends_a_session_and_does_not_begin_another),
        cmocka_unit_test(re_authentication_does_not_prolong_exi),
        cmocka_unit_test(the_same_reference_is_not_looked_up_twice_within_the_cache_time),
        cmocka_unit_test(a_token_verified_before_is_forgotten_with_the_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
