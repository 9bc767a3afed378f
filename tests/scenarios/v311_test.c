/* MQTT 3.1.1 on the same broker: the protocol (MQTT311 chapters 3 and 4), token and proof in user name and password
 * (mqtt-tls-profile.md section 9), and both versions side by side. */
#include "harness.h"

#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

static struct conn_io *connected3(struct bench *b, const char *id)
{
    return client_connected_with(b, &(struct connect_wish){ .v3 = true, .id = id, .scope = ALL });
}

/* Clean Session 0. */
static struct conn_io *resuming3(struct bench *b, const char *id, bool expect_present)
{
    struct conn_io *c = client_new(b);
    struct mqtt_connack ack;

    client_connect(c, &(struct connect_wish){ .v3 = true, .id = id, .scope = ALL, .resume = true });
    ack = expect_connack(c, MQTT3_ACCEPTED);
    assert_int_equal(ack.session_present, expect_present);
    return c;
}

static void refused3(struct bench *b, const struct connect_wish *wish, enum mqtt3_return_code code)
{
    struct conn_io *c = client_new(b);

    client_connect(c, wish);
    expect_refused3(c, code);
}

/* ---- token and proof ---- */

static void mt122_mt123_a_token_in_the_user_name_and_a_proof_in_the_password(void **state)
{ /* MT-121, MT-122, MT-123, for each kind of key */
    static const enum key_kind kinds[] = { KEY_ED25519, KEY_P256, KEY_SECRET };
    struct bench *b = *state;

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        struct conn_io *c;

        assert_int_equal(key_generate(kinds[i], &key), ST_OK);
        for (int draft = 0; draft < 2; draft++) { /* D-18: both encodings */
            c = client_connected_with(
                b, &(struct connect_wish){
                       .v3 = true, .id = "c", .scope = ALL, .key = key, .draft06 = draft == 1 });
            client_subscribe(c, "a/b", 1, 1);
            client_bye(c);
        }
    }
    assert_int_equal(STAT(b, tokens_accepted), 6);
}

static void mt123_the_password_is_the_published_vector(void **state)
{ /* mqtt-tls-profile.md section 13: the key 00..1f, the exporter value 40..5f */
    static const char password[] = "\xfc\x92\xe8\xd7\x2d\x18\xe7\x27\x71\x6e\x91\xc0\x9f\x40\x7e\xed\x37\x85"
                                   "\xc0\x52\x15\xb7\xf8\xec\x64\x04\xdf\x19\x22\x75\xdd\x9c";
    static const char flipped[] = "\xfc\x92\xe8\xd7\x2d\x18\xe7\x27\x71\x6e\x91\xc0\x9f\x40\x7e\xed\x37\x85"
                                  "\xc0\x52\x15\xb7\xf8\xec\x64\x04\xdf\x19\x22\x75\xdd\x9d";
    struct bench *b = *state;
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct connect_wish wish = { .v3 = true, .id = "c", .scope = ALL, .password_text = flipped };
    uint8_t secret[32];

    for (uint8_t i = 0; i < sizeof secret; i++)
        secret[i] = i;
    assert_int_equal(key_new_secret(span_of(secret, sizeof secret), &key, NULL), ST_OK);
    wish.key = key;
    for (int good = 0; good < 2; good++) {
        struct conn_io *c = client_new(b);

        for (uint8_t i = 0; i < ACE_EXPORTER_LEN; i++)
            c->exporter_value[i] = (uint8_t)(0x40 + i);
        client_connect(c, &wish);
        (void)expect_connack(c, good ? MQTT3_ACCEPTED : MQTT3_NOT_AUTHORIZED);
        wish.password_text = password;
    }
}

static void mt125_without_a_token_nobody_gets_in(void **state)
{
    struct bench *b = *state;

    b->settings.authz_info = false;
    refused3(b, &(struct connect_wish){ .v3 = true, .id = "c", .no_method = true }, MQTT3_NOT_AUTHORIZED);
    refused3(b, &(struct connect_wish){ .v3 = true, .id = "c", .scope = ALL, .user_text = "ace" },
             MQTT3_NOT_AUTHORIZED);
    assert_true(log_has(b, "connect_refused", "MT-125"));
    refused3(b,
             &(struct connect_wish){
                 .v3 = true, .id = "c", .scope = ALL, .user_text = "aceeyJhbGciOiJub25lIn0.e30." },
             MQTT3_NOT_AUTHORIZED);
}

static void mt123_without_a_good_proof_nobody_gets_in(void **state)
{
    struct bench *b = *state;
    struct conn_io *c;

    refused3(b, &(struct connect_wish){ .v3 = true, .id = "c", .scope = ALL, .no_password = true },
             MQTT3_NOT_AUTHORIZED);
    refused3(b, &(struct connect_wish){ .v3 = true, .id = "c", .scope = ALL, .password_text = "" },
             MQTT3_NOT_AUTHORIZED);
    refused3(b, &(struct connect_wish){ .v3 = true, .id = "c", .scope = ALL, .password_text = "not a proof" },
             MQTT3_NOT_AUTHORIZED);
    c = client_new(
        b); /* MT-61: on a resumed TLS session its value must not be trusted, and nothing else is left */
    c->exporter = EXPORTER_RESUMED;
    client_connect(c, &(struct connect_wish){ .v3 = true, .id = "c", .scope = ALL });
    expect_refused3(c, MQTT3_NOT_AUTHORIZED);
    assert_true(log_has(b, "connect_refused", "MT-61"));
    c = client_new(b);
    c->exporter = EXPORTER_NONE;
    client_connect(c, &(struct connect_wish){ .v3 = true, .id = "c", .scope = ALL });
    expect_refused3(c, MQTT3_NOT_AUTHORIZED);
}

static void a_user_name_of_somebody_else_is_a_bad_one(void **state)
{
    struct bench *b = *state;

    refused3(b, &(struct connect_wish){ .v3 = true, .id = "c", .scope = ALL, .user_text = "alice" },
             MQTT3_BAD_USER_NAME_OR_PASSWORD);
    refused3(b,
             &(struct connect_wish){
                 .v3 = true, .id = "c", .scope = ALL, .user_text = "alice", .password_text = "secret" },
             MQTT3_BAD_USER_NAME_OR_PASSWORD);
}

static void mt55_a_client_of_mqtt_5_may_come_so_where_it_is_switched_on(void **state)
{
    struct bench *b = *state;
    struct connect_wish wish = { .as_user_name = true, .id = "c", .scope = ALL };
    struct conn_io *c = client_new(b);

    client_connect(c, &wish);
    expect_refused(c, MQTT_NOT_AUTHORIZED, "MT-55");
    b->settings.v5_user_name = true;
    c = client_connected_with(b, &wish);
    client_subscribe(c, "a/b", 1, 1);
    client_auth(c, MQTT_REAUTHENTICATE, "ace", SPAN("x")); /* no method was named */
    expect_thrown_out(c, MQTT_PROTOCOL_ERROR, "MQTT5 [MQTT-4.12.0-7]");
}

static void a_reference_is_looked_up_and_what_was_sent_behind_the_connect_waits(void **state)
{ /* MQTT311 3.1.4: clients need not wait for the CONNACK */
    struct bench *b = *state;
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct token *token = NULL;
    struct conn_io *c = client_new(b);
    struct buf packet, jwt;
    struct why why = { 0 };

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    buf_init(&packet, 65535);
    buf_init(&jwt, 65535);
    connect_packet(c,
                   &(struct connect_wish){ .v3 = true,
                                           .id = "c",
                                           .scope = ALL,
                                           .key = key,
                                           .user_text = "acecmVmZXJlbmNlLTE" /* reference-1 */ },
                   &packet);
    put_bytes(&packet, SPAN("\xc0\x00")); /* PINGREQ */
    client_send(c, buf_span(&packet));
    expect_nothing(c);
    assert_true(c->paused);
    token_make(b, &(struct token_wish){ .scope = ALL, .sub = "c", .key = key }, &jwt);
    assert_int_equal(token_verify(buf_span(&jwt), b->verifier, b->now.wall, &token, &why), ST_OK);
    shard_token_resolved(b->shard[b->asked_by], b->asked, ST_OK, token, why, b->now);
    bench_run(b);
    (void)expect_connack(c, MQTT3_ACCEPTED);
    client_send(c, SPAN_NONE);
    assert_int_equal(c->in.len - c->in_at, 2); /* PINGRESP */
    buf_done(&packet);
    buf_done(&jwt);
}

/* ---- the protocol ---- */

static void what_breaks_the_rules_ends_the_connection_without_a_word(void **state)
{ /* MQTT311 [MQTT-3.1.4-1], [MQTT-4.8.0-1], [MQTT-3.1.0-2], 2.2.1 */
    const struct span packets[] = {
        SPAN("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x"), /* a second CONNECT */
        SPAN("\x82\x06\x00\x01\x00\x01"
             "a\x03"),    /* QoS 3 */
        SPAN("\xf0\x00"), /* AUTH */
        SPAN("\xf0\x07\x19\x05\x15\x00\x02"
             "ab"),
        SPAN("\x40\x03\x00\x01\x00"), /* a reason code */
        SPAN("\xe0\x01\x00"),
        SPAN("\x20\x02\x00\x00"),
        SPAN("\x30\x02\x00\x00"), /* no topic */
    };
    struct bench *b = *state;
    struct conn_io *c;

    for (size_t i = 0; i < COUNT_OF(packets); i++) {
        c = connected3(b, "c");
        client_send(c, packets[i]);
        expect_closed(c);
    }
    c = client_new(b); /* a malformed CONNECT: the reserved flag */
    client_send(c, SPAN("\x10\x0d\x00\x04MQTT\x04\x03\x00\x3c\x00\x01x"));
    expect_closed(c);
    assert_int_equal(STAT(b, connections), 0);
}

static void an_empty_client_identifier_is_for_clean_sessions(void **state)
{ /* MQTT311 [MQTT-3.1.3-6], [MQTT-3.1.3-8], [MQTT-3.1.3-9] */
    struct bench *b = *state;

    (void)connected3(b, "");
    (void)connected3(b, "");
    assert_int_equal(STAT(b, sessions), 2);
    refused3(b, &(struct connect_wish){ .v3 = true, .id = "", .scope = ALL, .sub = "s", .resume = true },
             MQTT3_IDENTIFIER_REJECTED);
}

static void a_stranger_is_told_that_the_identifier_is_taken(void **state)
{ /* MT-60 */
    struct bench *b = *state;
    struct conn_io *c = connected3(b, "c");

    refused3(b, &(struct connect_wish){ .v3 = true, .id = "c", .scope = ALL, .sub = "somebody else" },
             MQTT3_IDENTIFIER_REJECTED);
    expect_nothing(c);
}

static void a_full_broker_is_unavailable(void **state)
{
    struct bench *b = *state;

    b->settings.max_sessions = 0;
    refused3(b, &(struct connect_wish){ .v3 = true, .id = "c", .scope = ALL }, MQTT3_SERVER_UNAVAILABLE);
}

static void a_newer_connection_closes_the_older(void **state)
{ /* MT-76, MQTT311 [MQTT-3.1.4-2] */
    struct bench *b = *state;
    struct conn_io *old = connected3(b, "c"), *new = connected3(b, "c");

    expect_closed(old);
    expect_nothing(new);
}

static void silence_ends_the_connection_after_one_and_a_half_times_the_keep_alive(void **state)
{ /* MQTT311 [MQTT-3.1.2-24], [MQTT-3.12.4-1] */
    struct bench *b = *state;
    struct conn_io *c = client_connected_with(
        b, &(struct connect_wish){ .v3 = true, .id = "c", .scope = ALL, .keep_alive_s = 10 });

    bench_advance(b, 14000);
    client_ping(c);
    assert_int_equal(c->in.len - c->in_at, 2);
    c->in_at += 2;
    bench_advance(b, 14900);
    expect_nothing(c);
    bench_advance(b, 1100);
    expect_closed(c);
    b->settings.max_keep_alive_s = 5; /* of which 3.1.1 cannot be told */
    c = client_connected_with(
        b, &(struct connect_wish){ .v3 = true, .id = "c", .scope = ALL, .keep_alive_s = 60 });
    bench_advance(b, 60000);
    expect_nothing(c);
}

static void each_qos_runs_its_course(void **state)
{ /* MQTT311 [MQTT-4.3.1-1], [MQTT-4.3.2-2], [MQTT-4.3.3-1], [MQTT-4.3.3-2], [MQTT-3.3.1-9] */
    struct bench *b = *state;
    struct conn_io *sub = connected3(b, "sub"), *pub = connected3(b, "pub");
    struct mqtt_publish p;

    client_subscribe(sub, "a/#", 2, 2);
    client_publish(pub, "a/0", "zero", 0, 0);
    p = expect_publish(sub, "a/0", "zero", 0);
    assert_false(p.dup || p.retain);
    client_publish(pub, "a/1", "one", 1, 5);
    (void)expect_ack(pub, MQTT_PUBACK, 5, 0);
    p = expect_publish(sub, "a/1", "one", 1);
    client_ack(sub, MQTT_PUBACK, p.packet_id, 0);
    client_publish(pub, "a/2", "two", 2, 6);
    (void)expect_ack(pub, MQTT_PUBREC, 6, 0);
    client_publish_with(
        pub, &(struct publish_wish){ .topic = "a/2", .payload = "two", .qos = 2, .packet_id = 6, .dup = true });
    (void)expect_ack(pub, MQTT_PUBREC, 6, 0);
    client_ack(pub, MQTT_PUBREL, 6, 0);
    (void)expect_ack(pub, MQTT_PUBCOMP, 6, 0);
    p = expect_publish(sub, "a/2", "two", 2);
    client_ack(sub, MQTT_PUBREC, p.packet_id, 0);
    (void)expect_ack(sub, MQTT_PUBREL, p.packet_id, 0);
    client_ack(sub, MQTT_PUBCOMP, p.packet_id, 0);
    expect_nothing(sub);
    client_unsubscribe(sub, "a/#"); /* MQTT311 [MQTT-3.10.4-4]: UNSUBACK, two bytes and no codes */
    assert_memory_equal(sub->in.p + sub->in_at, "\xb0\x02\x00\x4e", 4);
    assert_int_equal(sub->in.len - sub->in_at, 4);
}

static void unfinished_messages_are_sent_again_with_dup(void **state)
{ /* MQTT311 [MQTT-4.4.0-1], [MQTT-3.3.1-1], [MQTT-3.1.2-4], [MQTT-3.2.2-2], MT-71, MT-72, MT-124 */
    struct bench *b = *state;
    struct conn_io *pub = connected3(b, "pub"), *sub = resuming3(b, "sub", false);
    struct mqtt_publish first, again;

    client_subscribe(sub, "a/#", 2, 2);
    client_publish(pub, "a/1", "one", 1, 5);
    first = expect_publish(sub, "a/1", "one", 1);
    assert_false(first.dup);
    client_drop(sub);
    client_publish(pub, "a/2", "while away", 1, 6);
    sub = resuming3(b, "sub", true);
    again = expect_publish(sub, "a/1", "one", 1);
    assert_true(again.dup);
    assert_int_equal(again.packet_id, first.packet_id);
    (void)expect_publish(sub, "a/2", "while away", 1);
    expect_nothing(sub);
}

static void a_clean_session_forgets_before_and_after(void **state)
{ /* MQTT311 [MQTT-3.1.2-6], [MQTT-3.2.2-1] */
    struct bench *b = *state;
    struct conn_io *c = resuming3(b, "c", false);

    client_subscribe(c, "a/#", 1, 1);
    client_drop(c);
    c = connected3(b, "c");
    assert_int_equal(STAT(b, subscriptions), 0);
    client_drop(c);
    assert_int_equal(STAT(b, sessions), 0);
    (void)resuming3(b, "c", false);
}

static void mt77_sessions_of_3_1_1_end_when_the_administrator_says(void **state)
{
    struct bench *b = *state;

    b->settings.max_v3_expiry_s = 100;
    client_drop(resuming3(b, "c", false));
    bench_advance(b, 99000);
    client_drop(resuming3(b, "c", true));
    bench_advance(b, 100001);
    assert_int_equal(STAT(b, sessions), 0);
    b->settings.max_session_expiry_s = 50; /* never longer than any other */
    client_drop(resuming3(b, "c", false));
    bench_advance(b, 51000);
    (void)resuming3(b, "c", false);
    b->settings.session_continuation = false; /* D-25 */
    client_drop(resuming3(b, "d", false));
    (void)resuming3(b, "d", false);
}

static void retained_messages_come_with_the_flag_and_others_without(void **state)
{ /* MQTT311 [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-8] to [MQTT-3.3.1-10], [MQTT-3.8.4-3] */
    struct bench *b = *state;
    struct conn_io *c = connected3(b, "c");
    struct mqtt_publish p;

    client_subscribe(c, "a/#", 0, 0);
    client_publish_with(c, &(struct publish_wish){ .topic = "a/r", .payload = "kept", .retain = true });
    p = expect_publish(c, "a/r", "kept", 0);
    assert_false(p.retain);
    for (int i = 0; i < 2; i++) { /* the second time it replaces the subscription, and they come again */
        client_subscribe(c, "a/r", 1, 1);
        p = expect_publish(c, "a/r", "kept", 0);
        assert_true(p.retain);
    }
    client_publish_with(c, &(struct publish_wish){ .topic = "a/r", .payload = "", .retain = true });
    (void)expect_publish(c, "a/r", "", 0);
    client_subscribe(c, "a/r", 1, 1);
    expect_nothing(c);
}

static void the_will_goes_out_unless_the_client_says_goodbye(void **state)
{ /* MQTT311 [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.14.4-3] */
    struct bench *b = *state;
    struct connect_wish wish = { .v3 = true, .id = "w", .scope = ALL, .will_topic = "a/will", .will_qos = 1 };
    struct conn_io *sub = connected3(b, "sub"), *c;

    client_subscribe(sub, "a/will", 1, 1);
    client_bye(client_connected_with(b, &wish));
    expect_nothing(sub);
    client_drop(client_connected_with(b, &wish));
    (void)expect_publish(sub, "a/will", "gone", 1);
    c = client_connected_with(b, &wish); /* closed by us: MT-112, MQTT311 3.1.2.5 */
    client_publish(c, "b", "not allowed", 1, 1);
    expect_closed(c);
    (void)expect_publish(sub, "a/will", "gone", 1);
    expect_nothing(sub);
}

/* ---- authorization ---- */

static void mt126_a_refused_publish_ends_the_connection(void **state)
{ /* MT-126, D-19, MQTT311 [MQTT-3.3.5-2] */
    struct bench *b = *state;
    struct conn_io *other = client_connected(b, "o", "[[\"b\",[\"sub\"]]]");

    client_subscribe(other, "b", 2, 2);
    for (uint8_t qos = 0; qos <= 2; qos++) {
        struct conn_io *c = connected3(b, "c");

        client_publish(c, "b", "not allowed", qos, qos == 0 ? 0 : 9);
        expect_closed(c);
    }
    expect_nothing(other); /* and it is ignored */
    assert_int_equal(log_count(b, "publish_refused"), 3);
}

static void mt127_a_refused_filter_gets_0x80_and_the_others_their_qos(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = connected3(b, "c");
    const struct mqtt_subscription wants[] = { wish_filter("a/b", 1), wish_filter("b", 1),
                                               wish_filter("$share/g/b", 1), wish_filter("a/#", 2) };
    struct buf packet;

    buf_init(&packet, 200);
    mqtt_write_subscribe(&packet, MQTT_3_1_1, 9, NULL, wants, COUNT_OF(wants));
    client_send(c, buf_span(&packet));
    assert_memory_equal(c->in.p + c->in_at, "\x90\x06\x00\x09\x01\x80\x80\x02", 8); /* MQTT311 [MQTT-3.9.3-2] */
    assert_int_equal(c->in.len - c->in_at, 8);
    buf_done(&packet);
}

static void mt128_nothing_is_forwarded_on_an_expired_token(void **state)
{ /* MT-128, MT-98, MT-100, D-19 */
    struct bench *b = *state;
    struct conn_io *pub = connected3(b, "pub"), *sub;

    sub =
        client_connected_with(b, &(struct connect_wish){ .v3 = true, .id = "sub", .scope = ALL, .life_s = 60 });
    client_subscribe(sub, "a/b", 1, 1);
    b->now.wall.s += 61; /* the timer has not been looked at */
    (void)shard_input(b->shard[0], pub->conn,
                      SPAN("\x30\x06\x00\x03"
                           "a/b"
                           "x"),
                      b->now);
    expect_closed(sub);
}

static void mt84_a_will_outside_the_scope_keeps_the_client_out(void **state)
{
    struct bench *b = *state;

    refused3(b, &(struct connect_wish){ .v3 = true, .id = "c", .scope = ALL, .will_topic = "b" },
             MQTT3_NOT_AUTHORIZED);
    assert_true(log_has(b, "connect_refused", "MT-84"));
}

static void mt21_public_topics_are_open_to_it_too(void **state)
{ /* MT-21, MT-23 */
    struct bench *b = *state;
    struct conn_io *c;

    bench_public(b, "[[\"public/#\",[\"sub\"]]]");
    c = client_connected_with(b, &(struct connect_wish){ .v3 = true, .id = "c", .no_method = true });
    client_subscribe(c, "public/#", 1, 1);
    client_subscribe(c, "a/b", 1, 0x80);
}

/* ---- both versions ---- */

static void properties_stay_behind_and_the_message_goes_through(void **state)
{
    struct bench *b = *state;
    struct conn_io *v5 = client_connected(b, "five", ALL), *v3 = connected3(b, "three");
    struct buf properties;
    struct mqtt_publish p;

    buf_init(&properties, 100);
    put_u8(&properties, PROP_CONTENT_TYPE);
    put_prefixed16(&properties, SPAN("text/plain"));
    client_subscribe(v5, "a/#", 1, 1);
    client_subscribe(v3, "a/#", 1, 1);
    for (uint8_t qos = 0; qos <= 1; qos++) {
        client_publish_with(v5, &(struct publish_wish){ .topic = "a/x",
                                                        .payload = "with a type",
                                                        .qos = qos,
                                                        .packet_id = qos,
                                                        .expiry_s = 60,
                                                        .properties = buf_span(&properties) });
        p = expect_publish(v5, "a/x", "with a type", qos);
        assert_true(span_eq_str(p.properties.content_type, "text/plain"));
        if (qos > 0)
            (void)expect_ack(v5, MQTT_PUBACK, 1, 0);
        p = expect_publish(v3, "a/x", "with a type", qos);
        assert_int_equal(p.properties.has, 0);
    }
    client_publish_with(v5, &(struct publish_wish){ .topic = "a/y", .payload = "aliased", .alias = 3 });
    (void)expect_publish(v5, "a/y", "aliased", 0);
    client_publish_with(v5, &(struct publish_wish){ .topic = "", .payload = "by alias", .alias = 3 });
    (void)expect_publish(v5, "a/y", "by alias", 0);
    (void)expect_publish(v3, "a/y", "aliased", 0);
    (void)expect_publish(v3, "a/y", "by alias", 0);
    client_publish(v3, "a/z", "back", 1, 7);
    (void)expect_publish(v3, "a/z", "back", 1);
    (void)expect_ack(v3, MQTT_PUBACK, 7, 0);
    p = expect_publish(v5, "a/z", "back", 1);
    assert_int_equal(p.properties.has, 0);
    buf_done(&properties);
}

static void message_expiry_counts_for_clients_that_do_not_know_it(void **state)
{ /* MQTT5 [MQTT-3.3.2-5] */
    struct bench *b = *state;
    struct conn_io *v5 = client_connected(b, "five", ALL), *v3 = resuming3(b, "three", false);

    client_subscribe(v3, "a/#", 1, 1);
    client_drop(v3);
    client_publish_with(v5, &(struct publish_wish){
                                .topic = "a/1", .payload = "short", .qos = 1, .packet_id = 1, .expiry_s = 5 });
    client_publish_with(v5, &(struct publish_wish){
                                .topic = "a/2", .payload = "long", .qos = 1, .packet_id = 2, .expiry_s = 500 });
    bench_advance(b, 6000);
    v3 = resuming3(b, "three", true);
    (void)expect_publish(v3, "a/2", "long", 1);
    expect_nothing(v3);
}

static void a_session_goes_on_in_either_version(void **state)
{ /* MT-124, MT-72 */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c = resuming3(b, "c", false);
    struct mqtt_connack ack;

    client_subscribe(c, "a/#", 1, 1);
    client_drop(c);
    client_publish(pub, "a/1", "first", 1, 1);
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .resume = true, .expiry_s = 100 });
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_true(ack.session_present);
    (void)expect_publish(c, "a/1", "first", 1);
    client_drop(c);
    client_publish(pub, "a/2", "second", 1, 2);
    c = resuming3(b, "c", true);
    assert_true(expect_publish(c, "a/1", "first", 1).dup);
    (void)expect_publish(c, "a/2", "second", 1);
}

static void options_of_mqtt_5_are_not_shown_to_3_1_1(void **state)
{ /* MQTT311 [MQTT-3.3.1-9]: Retain As Published of a session that goes on */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c = client_new(b);
    struct mqtt_subscription want = wish_filter("a/#", 1);
    struct publish_wish kept = { .topic = "a/1", .payload = "kept", .qos = 1, .packet_id = 1, .retain = true };

    want.retain_as_published = true;
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .resume = true, .expiry_s = 100 });
    (void)expect_connack(c, MQTT_SUCCESS);
    client_subscribe_with(c, want, 7, 5);
    (void)expect_suback(c, 5, 1);
    client_publish_with(pub, &kept);
    assert_true(expect_publish(c, "a/1", "kept", 1).retain);
    client_drop(c);
    client_publish_with(pub, &kept);
    c = resuming3(b, "c", true);
    assert_false(expect_publish(c, "a/1", "kept", 1).retain);
    assert_false(expect_publish(c, "a/1", "kept", 1).retain);
    kept.qos = 0;
    client_publish_with(pub, &kept);
    assert_false(expect_publish(c, "a/1", "kept", 0).retain);
    client_subscribe(c, "a/1", 1, 1); /* but of a new subscription it is said */
    assert_true(expect_publish(c, "a/1", "kept", 0).retain);
}

static void mt78d_a_continued_session_loses_what_the_new_token_does_not_cover(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c = resuming3(b, "c", false);

    client_subscribe(c, "a/1", 1, 1);
    client_subscribe(c, "a/2", 1, 1);
    client_drop(c);
    client_publish(pub, "a/1", "no longer yours", 1, 1); /* MT-74, MT-78 e */
    client_publish(pub, "a/2", "yours", 1, 2);
    c = client_new(b);
    client_connect(
        c, &(struct connect_wish){ .v3 = true, .id = "c", .scope = "[[\"a/2\",[\"sub\"]]]", .resume = true });
    (void)expect_connack(c, MQTT3_ACCEPTED);
    (void)expect_publish(c, "a/2", "yours", 1);
    expect_nothing(c);
    assert_int_equal(STAT(b, subscriptions), 1);
}

static void a_broker_that_stops_says_nothing_to_it(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = connected3(b, "c");

    shard_stop(b->shard[0], b->now);
    bench_run(b);
    expect_closed(c);
}

static void more_qos_2_messages_than_the_maximum_nobody_told_it_of_are_taken(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = connected3(b, "c");

    b->settings.receive_maximum = 2;
    for (uint16_t id = 1; id <= 5; id++) {
        client_publish(c, "a/x", "open", 2, id);
        (void)expect_ack(c, MQTT_PUBREC, id, 0);
    }
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(mt122_mt123_a_token_in_the_user_name_and_a_proof_in_the_password),
        T(mt123_the_password_is_the_published_vector),
        T(mt125_without_a_token_nobody_gets_in),
        T(mt123_without_a_good_proof_nobody_gets_in),
        T(a_user_name_of_somebody_else_is_a_bad_one),
        T(mt55_a_client_of_mqtt_5_may_come_so_where_it_is_switched_on),
        T(a_reference_is_looked_up_and_what_was_sent_behind_the_connect_waits),
        T(what_breaks_the_rules_ends_the_connection_without_a_word),
        T(an_empty_client_identifier_is_for_clean_sessions),
        T(a_stranger_is_told_that_the_identifier_is_taken),
        T(a_full_broker_is_unavailable),
        T(a_newer_connection_closes_the_older),
        T(silence_ends_the_connection_after_one_and_a_half_times_the_keep_alive),
        T(each_qos_runs_its_course),
        T(unfinished_messages_are_sent_again_with_dup),
        T(a_clean_session_forgets_before_and_after),
        T(mt77_sessions_of_3_1_1_end_when_the_administrator_says),
        T(retained_messages_come_with_the_flag_and_others_without),
        T(the_will_goes_out_unless_the_client_says_goodbye),
        T(mt126_a_refused_publish_ends_the_connection),
        T(mt127_a_refused_filter_gets_0x80_and_the_others_their_qos),
        T(mt128_nothing_is_forwarded_on_an_expired_token),
        T(mt84_a_will_outside_the_scope_keeps_the_client_out),
        T(mt21_public_topics_are_open_to_it_too),
        T(properties_stay_behind_and_the_message_goes_through),
        T(message_expiry_counts_for_clients_that_do_not_know_it),
        T(a_session_goes_on_in_either_version),
        T(options_of_mqtt_5_are_not_shown_to_3_1_1),
        T(mt78d_a_continued_session_loses_what_the_new_token_does_not_cover),
        T(a_broker_that_stops_says_nothing_to_it),
        T(more_qos_2_messages_than_the_maximum_nobody_told_it_of_are_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
