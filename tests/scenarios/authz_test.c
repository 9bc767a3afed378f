/* What a token lets its holder do, and for how long (RFC 9431 3, 4, 5; mqtt-tls-profile.md sections 7 and 8). */
#include "harness.h"

#include <stdlib.h>

#define ALL  "[[\"a/#\",[\"pub\",\"sub\"]]]"
#define PUB  "[[\"a/#\",[\"pub\"]]]"
#define SUB  "[[\"a/#\",[\"sub\"]]]"
#define EDGE "[[\"s/+/t\",[\"sub\"]],[\"x/#\",[\"sub\"]],[\"p/one\",[\"pub\"]]]"

/* ---- PUBLISH ---- */

static void a_publish_inside_the_scope_is_accepted_at_each_qos(void **state)
{ /* MT-81 */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", PUB);

    client_publish(pub, "a/b", "x", 0, 0);
    expect_nothing(pub);
    client_publish(pub, "a", "x", 1, 1); /* a/# covers a */
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    client_publish(pub, "a/b/c", "x", 2, 2);
    (void)expect_ack(pub, MQTT_PUBREC, 2, MQTT_SUCCESS);
    client_ack(pub, MQTT_PUBREL, 2, MQTT_SUCCESS);
    (void)expect_ack(pub, MQTT_PUBCOMP, 2, MQTT_SUCCESS);
    assert_int_equal(STAT(b, messages_in), 3);
}

static void a_publish_outside_the_scope_at_qos_0_ends_the_connection(void **state)
{ /* MT-97 */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", PUB);

    client_publish(pub, "b", "x", 0, 0);
    expect_thrown_out(pub, MQTT_NOT_AUTHORIZED, "MT-81");
    assert_int_equal(log_count(b, "publish_refused"), 1);
    assert_int_equal(log_count(b, "client_disconnected"), 0);
    assert_int_equal(STAT(b, messages_in), 0);
}

static void a_publish_outside_the_scope_at_qos_1_and_2_is_answered(void **state)
{ /* MT-96 */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", PUB);
    struct mqtt_ack ack;

    client_publish(pub, "b", "x", 1, 1);
    ack = expect_ack(pub, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
    assert_reason(&ack.properties, "MT-81");
    client_publish(pub, "b", "x", 2, 2);
    ack = expect_ack(pub, MQTT_PUBREC, 2, MQTT_NOT_AUTHORIZED);
    assert_reason(&ack.properties, "MT-81");
    client_ack(pub, MQTT_PUBREL, 2, MQTT_SUCCESS); /* refused: nothing is waiting for it */
    (void)expect_ack(pub, MQTT_PUBCOMP, 2, MQTT_PACKET_ID_NOT_FOUND);
    assert_int_equal(log_count(b, "publish_refused"), 2);
    assert_int_equal(STAT(b, messages_in), 0);
}

static void a_client_that_wants_no_reasons_gets_none(void **state)
{ /* MQTT5 [MQTT-3.1.2-29] */
    struct bench *b = *state;
    struct conn_io *pub =
        client_connected_with(b, &(struct connect_wish){ .id = "p", .scope = PUB, .no_problem_info = true });
    struct mqtt_ack ack;

    client_publish(pub, "b", "x", 1, 1);
    ack = expect_ack(pub, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
    assert_false(mqtt_has(&ack.properties, PROP_REASON_STRING));
}

static void topics_can_be_hidden(void **state)
{ /* D-24 */
    struct bench *b = *state;
    struct conn_io *c;

    b->settings.hide_topics = true;
    c = client_connected(b, "c", ALL);
    client_publish(c, "b", "x", 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_UNSPECIFIED_ERROR);
    client_subscribe(c, "b", 0, MQTT_UNSPECIFIED_ERROR);
}

static void permission_to_subscribe_is_none_to_publish(void **state)
{ /* MT-81 */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", SUB);

    client_publish(c, "a/b", "x", 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
}

/* ---- SUBSCRIBE ---- */

static void a_filter_must_lie_inside_one_entry(void **state)
{ /* MT-82, MT-99 */
    static const struct {
        const char *filter;
        uint8_t code;
    } rows[] = {
        { "s/1/t", 1 },  { "s/+/t", 1 },     { "s/#", 0x87 },   { "#", 0x87 },       { "+/#", 0x87 },
        { "x", 1 },      { "x/+/y/#", 1 },   { "x/#", 1 },      { "+", 0x87 },       { "p/one", 0x87 },
        { "+/1", 0x87 }, { "$SYS/#", 0x87 }, { "s/+/+", 0x87 }, { "s/1/t/u", 0x87 },
    };
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", EDGE);

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        client_subscribe(c, rows[i].filter, 1, rows[i].code);
    assert_int_equal(STAT(b, subscriptions), 5);
    assert_int_equal(log_count(b, "subscribe_refused"), COUNT_OF(rows) - 5);
}

static void one_refused_filter_leaves_the_others_alone(void **state)
{ /* MT-99 */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", EDGE);
    struct mqtt_subscription wants[] = { wish_filter("x/1", 2), wish_filter("#", 1), wish_filter("s/1/t", 0) };
    struct mqtt_suback ack;
    struct buf packet;

    buf_init(&packet, 1 << 16);
    mqtt_write_subscribe(&packet, MQTT_5, 9, NULL, wants, 3);
    client_send(c, buf_span(&packet));
    ack = expect_suback(c, 9, MQTT_GRANTED_QOS_2);
    assert_int_equal(ack.reasons.len, 3);
    assert_memory_equal(ack.reasons.p, "\x02\x87\x00", 3);
    assert_reason(&ack.properties, "MT-82");
    buf_done(&packet);
}

static void authz_info_is_reserved(void **state)
{ /* MT-30, MT-31 */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", "[[\"#\",[\"pub\",\"sub\"]]]");

    client_subscribe(c, "authz-info", 0, MQTT_NOT_AUTHORIZED);
    client_publish(c, "authz-info", "token", 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
    client_subscribe(c, "#", 0, MQTT_SUCCESS);
}

/* ---- Will ---- */

static void a_will_outside_the_scope_keeps_the_client_out(void **state)
{ /* MT-84, MT-90, D-28 */
    struct bench *b = *state;
    struct conn_io *c = client_new(b);

    client_connect(c, &(struct connect_wish){ .id = "c", .scope = SUB, .will_topic = "a/gone" });
    expect_refused(c, MQTT_NOT_AUTHORIZED, "MT-84");
    assert_int_equal(log_count(b, "connect_refused"), 1);
    assert_int_equal(STAT(b, sessions), 0);
}

static void a_will_is_published_when_the_network_goes(void **state)
{ /* MT-112, MQTT5 [MQTT-3.1.2-8] */
    struct bench *b = *state;
    struct conn_io *watcher = client_connected(b, "w", ALL);
    struct conn_io *c = client_connected_with(
        b, &(struct connect_wish){ .id = "c", .scope = PUB, .will_topic = "a/gone", .will_qos = 1 });

    client_subscribe(watcher, "a/#", 2, MQTT_GRANTED_QOS_2);
    client_drop(c);
    (void)expect_publish(watcher, "a/gone", "gone", 1);
    assert_int_equal(STAT(b, wills_published), 1);
}

static void a_goodbye_takes_the_will_back(void **state)
{ /* MQTT5 [MQTT-3.14.4-3] */
    struct bench *b = *state;
    struct conn_io *watcher = client_connected(b, "w", ALL);
    struct conn_io *c =
        client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = PUB, .will_topic = "a/gone" });

    client_subscribe(watcher, "a/#", 0, MQTT_SUCCESS);
    client_bye(c);
    expect_nothing(watcher);
}

static void a_goodbye_may_ask_for_the_will(void **state)
{ /* MQTT5 3.14.2.1: 0x04 */
    struct bench *b = *state;
    struct conn_io *watcher = client_connected(b, "w", ALL);
    struct conn_io *c =
        client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = PUB, .will_topic = "a/gone" });

    client_subscribe(watcher, "a/#", 0, MQTT_SUCCESS);
    client_send(c, SPAN("\xe0\x01\x04"));
    (void)expect_publish(watcher, "a/gone", "gone", 0);
}

static void a_will_waits_for_its_delay_and_is_called_off_by_a_return(void **state)
{ /* MT-113, MQTT5 [MQTT-3.1.3-9] */
    struct bench *b = *state;
    struct conn_io *watcher = client_connected(b, "w", ALL);
    struct connect_wish wish = {
        .id = "c", .scope = PUB, .will_topic = "a/gone", .will_delay_s = 10, .expiry_s = 100, .resume = true
    };
    struct conn_io *c = client_connected_with(b, &wish);

    client_subscribe(watcher, "a/#", 0, MQTT_SUCCESS);
    client_drop(c);
    bench_advance(b, 5000);
    expect_nothing(watcher);
    c = client_connected_with(b, &wish);
    bench_advance(b, 20000);
    expect_nothing(watcher);
    client_drop(c);
    bench_advance(b, 11000);
    (void)expect_publish(watcher, "a/gone", "gone", 0);
}

static void a_delayed_will_is_published_when_the_session_ends_before(void **state)
{ /* MQTT5 [MQTT-3.1.2-8] */
    struct bench *b = *state;
    struct conn_io *watcher = client_connected(b, "w", ALL);
    struct conn_io *c = client_connected_with(
        b, &(struct connect_wish){
               .id = "c", .scope = PUB, .will_topic = "a/gone", .will_delay_s = 100, .expiry_s = 10 });

    client_subscribe(watcher, "a/#", 0, MQTT_SUCCESS);
    client_drop(c);
    bench_advance(b, 9000);
    expect_nothing(watcher);
    bench_advance(b, 2000);
    (void)expect_publish(watcher, "a/gone", "gone", 0);
    assert_int_equal(STAT(b, sessions), 1);
}

/* ---- the end of a token ---- */

static void the_end_of_the_token_ends_the_connection_and_publishes_the_will(void **state)
{ /* MT-100, MT-101, MT-112 */
    struct bench *b = *state;
    struct conn_io *watcher = client_connected(b, "w", ALL);
    struct conn_io *c = client_connected_with(
        b, &(struct connect_wish){ .id = "c", .scope = PUB, .life_s = 30, .will_topic = "a/gone" });

    client_subscribe(watcher, "a/#", 0, MQTT_SUCCESS);
    bench_advance(b, 29000);
    expect_nothing(c);
    bench_advance(b, 1500);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-100");
    (void)expect_publish(watcher, "a/gone", "gone", 0);
    assert_int_equal(log_count(b, "token_expired"), 1);
    assert_int_equal(log_count(b, "client_disconnected"), 0);
    assert_int_equal(STAT(b, tokens_expired), 1);
}

static void a_jump_of_the_calendar_ends_tokens_at_once(void **state)
{ /* MT-100, design 3.2 */
    struct bench *b = *state;
    struct conn_io *c =
        client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = PUB, .life_s = 3000 });

    bench_jump(b, 3001);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-100");
}

static void a_calendar_set_back_does_not_prolong_a_token(void **state)
{ /* design 3.2: calendar and monotonic */
    struct bench *b = *state;
    struct conn_io *c =
        client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = PUB, .life_s = 30 });

    bench_jump(b, -1000);
    bench_advance(b, 31000);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-100");
}

static void a_packet_on_an_expired_token_is_not_processed(void **state)
{ /* MT-100: the check at each packet, before any timer has run */
    struct bench *b = *state;
    struct conn_io *watcher = client_connected(b, "w", ALL);
    struct conn_io *c =
        client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = PUB, .life_s = 30 });
    static const uint8_t publish[] = "\x30\x06\x00\x03"
                                     "a/b\x00";

    client_subscribe(watcher, "a/#", 0, MQTT_SUCCESS);
    b->now.wall.s += 31;
    (void)shard_input(b->shard[0], c->conn, span_of(publish, 8), b->now);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-100");
    expect_nothing(watcher);
}

static void nothing_is_forwarded_on_an_expired_token(void **state)
{ /* MT-98: the check at each delivery, before any timer has run */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL);
    struct conn_io *c =
        client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = SUB, .life_s = 30 });
    static const uint8_t publish[] = "\x30\x06\x00\x03"
                                     "a/b\x00";

    client_subscribe(c, "a/#", 0, MQTT_SUCCESS);
    b->now.wall.s += 31;
    (void)shard_input(b->shard[0], pub->conn, span_of(publish, 8), b->now);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-100");
    assert_int_equal(STAT(b, dropped_not_authorized), 1);
}

static void a_retained_message_lives_no_longer_than_its_publishers_token(void **state)
{ /* MT-111, D-27 */
    struct bench *b = *state;
    struct conn_io *reader =
        client_connected_with(b, &(struct connect_wish){ .id = "r", .scope = ALL, .life_s = 10000 });
    struct conn_io *pub =
        client_connected_with(b, &(struct connect_wish){ .id = "p", .scope = PUB, .life_s = 30 });

    client_publish_with(pub, &(struct publish_wish){ .topic = "a/r", .payload = "kept", .retain = true });
    client_bye(pub);
    client_subscribe(reader, "a/r", 0, MQTT_SUCCESS);
    assert_true(expect_publish(reader, "a/r", "kept", 0).retain);
    client_unsubscribe(reader, "a/r");
    bench_advance(b, 31000);
    reader->in_at = reader->in.len;
    client_subscribe(reader, "a/r", 0, MQTT_SUCCESS);
    expect_nothing(reader);
    bench_advance(b, 2000);
    assert_int_equal(STAT(b, retained_messages), 0);
}

/* ---- re-authentication ---- */

static void start_reauth(struct conn_io *c, const struct token_wish *wish, struct key *key)
{
    struct token_wish w = *wish;
    struct buf token, data;

    w.key = key;
    buf_init(&token, 65535);
    buf_init(&data, 65535);
    token_make(c->b, &w, &token);
    assert_int_equal(auth_data_write_connect(buf_span(&token), SPAN_NONE, &data), ST_OK);
    client_auth(c, MQTT_REAUTHENTICATE, ACE_METHOD, buf_span(&data));
    buf_done(&token);
    buf_done(&data);
}

static void finish_reauth(struct conn_io *c, const struct key *key)
{
    struct mqtt_auth auth = expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
    struct buf pop, data;

    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 1024);
    assert_int_equal(pop_make_nonces(key, auth.properties.auth_data, SPAN("12345678"), &pop), ST_OK);
    assert_int_equal(auth_data_write_answer(SPAN("12345678"), buf_span(&pop), false, &data), ST_OK);
    client_auth(c, MQTT_CONTINUE_AUTHENTICATION, ACE_METHOD, buf_span(&data));
    buf_done(&pop);
    buf_done(&data);
}

static void a_new_token_prolongs_the_connection(void **state)
{ /* MT-102, MT-105, MT-106 */
    struct bench *b = *state;
    struct key *key;
    struct conn_io *c =
        client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = ALL, .life_s = 30 });

    assert_int_equal(key_generate(KEY_P256, &key), ST_OK);
    start_reauth(c, &(struct token_wish){ .scope = "[[\"b/#\",[\"pub\",\"sub\"]]]", .life_s = 1000 }, key);
    finish_reauth(c, key);
    (void)expect_auth(c, MQTT_SUCCESS);
    bench_advance(b, 60000);
    client_subscribe(c, "b/1", 0, MQTT_SUCCESS);
    client_subscribe(c, "a/1", 0, MQTT_NOT_AUTHORIZED); /* the scope is swapped, not added to */
    assert_int_equal(log_count(b, "reauthenticated"), 1);
    key_unref(key);
}

static void other_packets_go_on_during_re_authentication(void **state)
{ /* MQTT5 4.12.1 */
    struct bench *b = *state;
    struct key *key;
    struct conn_io *c = client_connected(b, "c", ALL);

    assert_int_equal(key_generate(KEY_SECRET, &key), ST_OK);
    client_subscribe(c, "a/1", 0, MQTT_SUCCESS);
    start_reauth(c, &(struct token_wish){ .scope = "[]" }, key);
    client_publish(c, "a/1", "still allowed", 0, 0);
    finish_reauth(c, key);
    (void)expect_publish(c, "a/1", "still allowed", 0);
    (void)expect_auth(c, MQTT_SUCCESS);
    key_unref(key);
}

static void a_narrower_token_drops_what_it_does_not_cover(void **state)
{ /* MT-107 */
    struct bench *b = *state;
    struct key *key;
    struct conn_io *c = client_connected(b, "c", ALL);
    struct conn_io *pub = client_connected(b, "p", ALL);

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    client_subscribe(c, "a/1", 0, MQTT_SUCCESS);
    client_subscribe(c, "a/2", 0, MQTT_SUCCESS);
    client_publish(c, "a/3", "warm the cache", 0, 0);
    start_reauth(c, &(struct token_wish){ .scope = "[[\"a/2\",[\"sub\"]]]" }, key);
    finish_reauth(c, key);
    (void)expect_auth(c, MQTT_SUCCESS);
    assert_int_equal(STAT(b, subscriptions), 1);
    assert_int_equal(log_count(b, "subscription_lost"), 1);
    client_publish(pub, "a/1", "not yours", 0, 0);
    client_publish(pub, "a/2", "yours", 0, 0);
    (void)expect_publish(c, "a/2", "yours", 0);
    expect_nothing(c);
    client_publish(c, "a/3", "cached no more", 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
    key_unref(key);
}

static void a_narrower_token_can_be_made_to_end_the_connection(void **state)
{ /* MT-107, by option */
    struct bench *b = *state;
    struct key *key;
    struct conn_io *c;

    b->settings.reauth_lost_disconnects = true;
    c = client_connected(b, "c", ALL);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    client_subscribe(c, "a/1", 0, MQTT_SUCCESS);
    start_reauth(c, &(struct token_wish){ .scope = "[[\"a/2\",[\"sub\"]]]" }, key);
    finish_reauth(c, key);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-107");
    key_unref(key);
}

static void a_narrower_token_takes_the_will_away(void **state)
{ /* MT-84, MT-107 */
    struct bench *b = *state;
    struct key *key;
    struct conn_io *watcher = client_connected(b, "w", ALL);
    struct conn_io *c =
        client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = ALL, .will_topic = "a/gone" });

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    client_subscribe(watcher, "a/#", 0, MQTT_SUCCESS);
    start_reauth(c, &(struct token_wish){ .scope = SUB }, key);
    finish_reauth(c, key);
    (void)expect_auth(c, MQTT_SUCCESS);
    assert_int_equal(log_count(b, "will_lost"), 1);
    client_drop(c);
    expect_nothing(watcher);
    key_unref(key);
}

static void a_failed_re_authentication_ends_the_connection(void **state)
{ /* MT-105 */
    struct bench *b = *state;
    struct key *key, *thief;
    struct conn_io *c = client_connected(b, "c", ALL);

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &thief), ST_OK);
    start_reauth(c, &(struct token_wish){ .scope = ALL }, key);
    finish_reauth(c, thief);
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    assert_int_equal(log_count(b, "reauth_refused"), 1);

    c = client_connected(b, "c", ALL);
    start_reauth(c, &(struct token_wish){ .scope = ALL, .aud = "another-broker" }, key);
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    key_unref(key);
    key_unref(thief);
}

static void an_exporter_proof_is_not_taken_for_re_authentication(void **state)
{ /* MT-61, MT-103 */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);
    struct key *key;
    struct buf token, pop, data;

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    buf_init(&token, 65535);
    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 65535);
    token_make(b, &(struct token_wish){ .scope = ALL, .key = key }, &token);
    assert_int_equal(pop_make_exporter(key, span_of(c->exporter_value, ACE_EXPORTER_LEN), &pop), ST_OK);
    assert_int_equal(auth_data_write_connect(buf_span(&token), buf_span(&pop), &data), ST_OK);
    client_auth(c, MQTT_REAUTHENTICATE, ACE_METHOD, buf_span(&data));
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-103");
    buf_done(&token);
    buf_done(&pop);
    buf_done(&data);
    key_unref(key);
}

static void a_re_authentication_nobody_finishes_ends_the_connection(void **state)
{ /* MT-62, MT-105 */
    struct bench *b = *state;
    struct key *key;
    struct conn_io *c = client_connected(b, "c", ALL);

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    start_reauth(c, &(struct token_wish){ .scope = ALL }, key);
    (void)expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
    bench_advance(b, b->settings.auth_timeout_ms + 100);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "limits.auth_timeout");
    key_unref(key);
}

static void two_re_authentications_at_once_are_a_protocol_error(void **state)
{ /* MQTT5 4.12.1 */
    struct bench *b = *state;
    struct key *key;
    struct conn_io *c = client_connected(b, "c", ALL);

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    start_reauth(c, &(struct token_wish){ .scope = ALL }, key);
    (void)expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
    start_reauth(c, &(struct token_wish){ .scope = ALL }, key);
    expect_thrown_out(c, MQTT_PROTOCOL_ERROR, "MT-102");
    key_unref(key);
}

static void the_draft_asks_for_an_earlier_challenge(void **state)
{ /* MT-104, D-15 */
    struct bench *b = *state;
    struct key *key;
    struct conn_io *c;

    b->settings.reauth_needs_challenge = true;
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    c = client_connected(b, "c", ALL);
    start_reauth(c, &(struct token_wish){ .scope = ALL }, key);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-104");
    c = client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = ALL, .challenge = true });
    start_reauth(c, &(struct token_wish){ .scope = ALL }, key);
    finish_reauth(c, key);
    (void)expect_auth(c, MQTT_SUCCESS);
    key_unref(key);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(a_publish_inside_the_scope_is_accepted_at_each_qos),
        T(a_publish_outside_the_scope_at_qos_0_ends_the_connection),
        T(a_publish_outside_the_scope_at_qos_1_and_2_is_answered),
        T(a_client_that_wants_no_reasons_gets_none),
        T(topics_can_be_hidden),
        T(permission_to_subscribe_is_none_to_publish),
        T(a_filter_must_lie_inside_one_entry),
        T(one_refused_filter_leaves_the_others_alone),
        T(authz_info_is_reserved),
        T(a_will_outside_the_scope_keeps_the_client_out),
        T(a_will_is_published_when_the_network_goes),
        T(a_goodbye_takes_the_will_back),
        T(a_goodbye_may_ask_for_the_will),
        T(a_will_waits_for_its_delay_and_is_called_off_by_a_return),
        T(a_delayed_will_is_published_when_the_session_ends_before),
        T(the_end_of_the_token_ends_the_connection_and_publishes_the_will),
        T(a_jump_of_the_calendar_ends_tokens_at_once),
        T(a_calendar_set_back_does_not_prolong_a_token),
        T(a_packet_on_an_expired_token_is_not_processed),
        T(nothing_is_forwarded_on_an_expired_token),
        T(a_retained_message_lives_no_longer_than_its_publishers_token),
        T(a_new_token_prolongs_the_connection),
        T(other_packets_go_on_during_re_authentication),
        T(a_narrower_token_drops_what_it_does_not_cover),
        T(a_narrower_token_can_be_made_to_end_the_connection),
        T(a_narrower_token_takes_the_will_away),
        T(a_failed_re_authentication_ends_the_connection),
        T(an_exporter_proof_is_not_taken_for_re_authentication),
        T(a_re_authentication_nobody_finishes_ends_the_connection),
        T(two_re_authentications_at_once_are_a_protocol_error),
        T(the_draft_asks_for_an_earlier_challenge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
