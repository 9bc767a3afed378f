/* Who gets in: CONNECT with method "ace" (RFC 9431 2.2.4, 2.4; mqtt-tls-profile.md sections 5 and 8). */
#include "harness.h"

#include "crypto/sign.h"
#include "token/hints.h"

#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

struct fixture {
    struct bench *b;
    struct conn_io *c;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->b = bench_new(1);
    f->c = client_new(f->b);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    bench_free(f->b);
    free(f);
    return 0;
}

static struct key *new_key(enum key_kind kind)
{
    struct key *key;

    assert_int_equal(key_generate(kind, &key), ST_OK);
    return key;
}

/* CONNECT with this token and these bytes as proof. */
static void connect_with(struct conn_io *c, struct span token, struct span pop)
{
    struct buf data;

    buf_init(&data, 65535);
    assert_int_equal(auth_data_write_connect(token, pop, &data), ST_OK);
    client_connect(c, &(struct connect_wish){ .id = "c", .data = buf_span(&data), .has_data = true });
    buf_done(&data);
}

static struct buf make_token(struct bench *b, const struct key *key)
{
    struct buf token;

    buf_init(&token, 65535);
    token_make(b, &(struct token_wish){ .scope = ALL, .key = key }, &token);
    return token;
}

static struct buf make_proof(const struct conn_io *c, const struct key *key)
{
    struct buf pop;

    buf_init(&pop, ACE_POP_MAX);
    assert_int_equal(pop_make_exporter(key, span_of(c->exporter_value, ACE_EXPORTER_LEN), &pop), ST_OK);
    return pop;
}

static void assert_one_event(const struct fixture *f)
{
    assert_int_equal(log_count(f->b, "connect_refused"), 1);
    assert_int_equal(log_count(f->b, "client_disconnected"), 0);
    assert_int_equal(log_count(f->b, "client_connected"), 0);
}

/* ---- accepted ---- */

static void an_exporter_proof_is_accepted_for_each_kind_of_key(void **state)
{ /* MT-22, MT-53, MT-56, MT-57, MT-64, MT-93, MT-14 */
    static const enum key_kind kinds[] = { KEY_SECRET, KEY_ED25519, KEY_P256 };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct key *key = new_key(kinds[i]);
        struct conn_io *c = client_new(f->b);
        struct mqtt_connack ack;

        client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .key = key });
        ack = expect_connack(c, MQTT_SUCCESS);
        assert_false(ack.session_present);                                /* MT-71 */
        assert_true(span_eq_str(ack.properties.auth_method, ACE_METHOD)); /* MQTT5 [MQTT-4.12.0-5] */
        client_subscribe(c, "a/b", 1, MQTT_GRANTED_QOS_1);
        client_bye(c);
        key_unref(key);
    }
}

static void a_challenge_is_answered_in_the_layout_of_the_rfc(void **state)
{ /* MT-58, MT-59, D-1 */
    static const enum key_kind kinds[] = { KEY_SECRET, KEY_ED25519, KEY_P256 };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct key *key = new_key(kinds[i]);

        client_bye(client_connected_with(
            f->b, &(struct connect_wish){ .id = "c", .scope = ALL, .key = key, .challenge = true }));
        key_unref(key);
    }
}

static void a_challenge_is_answered_in_the_layout_of_the_draft(void **state)
{ /* D-1 */
    struct fixture *f = *state;
    struct key *key = new_key(KEY_SECRET);

    (void)client_connected_with(
        f->b,
        &(struct connect_wish){ .id = "c", .scope = ALL, .key = key, .challenge = true, .draft06 = true });
    key_unref(key);
}

static void the_connack_tells_the_truth_about_limits(void **state)
{ /* MQTT5 3.2.2.3, MT-85 */
    struct fixture *f = *state;
    struct mqtt_connack ack;

    f->b->settings.receive_maximum = 17;
    f->b->settings.max_packet_bytes = 5000;
    f->b->settings.topic_alias_maximum = 3;
    f->b->settings.max_keep_alive_s = 60;
    f->b->settings.max_session_expiry_s = 100;
    client_connect(f->c, &(struct connect_wish){
                             .id = "", .scope = ALL, .sub = "s", .keep_alive_s = 90, .expiry_s = 1000 });
    ack = expect_connack(f->c, MQTT_SUCCESS);
    assert_int_equal(ack.properties.receive_maximum, 17);
    assert_int_equal(ack.properties.maximum_packet_size, 5000);
    assert_int_equal(ack.properties.topic_alias_maximum, 3);
    assert_int_equal(ack.properties.server_keep_alive_s, 60);
    assert_int_equal(ack.properties.session_expiry_s, 100); /* MT-77 */
    assert_true(mqtt_has(&ack.properties, PROP_WILDCARD_AVAILABLE));
    assert_int_equal(ack.properties.wildcard_available, 1);
    assert_true(mqtt_has(&ack.properties, PROP_SHARED_AVAILABLE));
    assert_int_equal(ack.properties.shared_available, 1);
    assert_true(ack.properties.assigned_client_id.len > 0); /* MQTT5 [MQTT-3.2.2-16] */
}

/* ---- refused: the proof ---- */

static void a_proof_over_another_exporter_value_is_refused(void **state)
{ /* MT-65: also a CONNECT replayed on another connection */
    struct fixture *f = *state;
    struct conn_io *other = client_new(f->b);
    struct buf packet;

    buf_init(&packet, 1 << 16);
    connect_packet(other, &(struct connect_wish){ .id = "c", .scope = ALL }, &packet);
    client_send(f->c, buf_span(&packet));
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "");
    assert_one_event(f);
    client_send(other, buf_span(&packet)); /* where it belongs it is good */
    (void)expect_connack(other, MQTT_SUCCESS);
    buf_done(&packet);
}

static void a_proof_with_another_key_is_refused(void **state)
{ /* MT-65 */
    struct fixture *f = *state;
    struct key *key = new_key(KEY_ED25519), *thief = new_key(KEY_ED25519);
    struct buf token = make_token(f->b, key), pop = make_proof(f->c, thief);

    connect_with(f->c, buf_span(&token), buf_span(&pop));
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "");
    assert_one_event(f);
    buf_done(&token);
    buf_done(&pop);
    key_unref(key);
    key_unref(thief);
}

static void a_truncated_mac_is_refused(void **state)
{ /* MT-63, TK-63 */
    struct fixture *f = *state;
    struct key *key = new_key(KEY_SECRET);
    struct buf token = make_token(f->b, key), pop = make_proof(f->c, key);

    for (size_t len = 1; len < 32; len += 5) {
        struct conn_io *c = client_new(f->b);

        memcpy(c->exporter_value, f->c->exporter_value, sizeof c->exporter_value);
        connect_with(c, buf_span(&token), span_cut(buf_span(&pop), 0, len));
        expect_refused(c, MQTT_NOT_AUTHORIZED, "");
    }
    buf_done(&token);
    buf_done(&pop);
    key_unref(key);
}

static void a_der_signature_is_refused(void **state)
{ /* MT-63: raw r|s, never DER */
    struct fixture *f = *state;
    struct key *key = new_key(KEY_P256);
    struct buf token = make_token(f->b, key), pop = make_proof(f->c, key), der;

    buf_init(&der, 256);
    put_bytes(&der, SPAN("\x30\x46\x02\x21\x00"));
    put_bytes(&der, span_cut(buf_span(&pop), 0, 32));
    put_bytes(&der, SPAN("\x02\x21\x00"));
    put_bytes(&der, span_cut(buf_span(&pop), 32, 32));
    connect_with(f->c, buf_span(&token), buf_span(&der));
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "");
    buf_done(&token);
    buf_done(&pop);
    buf_done(&der);
    key_unref(key);
}

static void an_exporter_proof_on_a_resumed_tls_session_is_refused(void **state)
{ /* MT-61, D-16 */
    struct fixture *f = *state;

    f->c->exporter = EXPORTER_RESUMED;
    client_connect(f->c, &(struct connect_wish){ .id = "c", .scope = ALL });
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "MT-61");
    assert_one_event(f);
}

static void a_challenge_works_on_a_resumed_tls_session(void **state)
{ /* MT-61 */
    struct fixture *f = *state;

    f->c->exporter = EXPORTER_RESUMED;
    client_connect(f->c, &(struct connect_wish){ .id = "c", .scope = ALL, .challenge = true });
    (void)expect_connack(f->c, MQTT_SUCCESS);
}

static void an_exporter_proof_without_tls_is_refused(void **state)
{ /* MT-56 */
    struct fixture *f = *state;

    f->c->exporter = EXPORTER_NONE;
    client_connect(f->c, &(struct connect_wish){ .id = "c", .scope = ALL });
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "MT-56");
}

static void no_challenge_is_given_without_tls(void **state)
{ /* MT-2 */
    struct fixture *f = *state;
    struct key *key = new_key(KEY_ED25519);
    struct token_wish w = { .key = key, .scope = ALL };
    struct buf token;

    f->c->exporter = EXPORTER_NONE;
    buf_init(&token, 65535);
    token_make(f->b, &w, &token);
    connect_with(f->c, buf_span(&token), SPAN_NONE);
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "MT-2");
    buf_done(&token);
    key_unref(key);
}

/* ---- refused: the token ---- */

static void refuse_token(struct fixture *f, const struct token_wish *wish)
{
    struct token_wish w = *wish;
    struct key *key = new_key(KEY_ED25519);
    struct buf token, pop = make_proof(f->c, key);

    w.key = key;
    w.scope = ALL;
    buf_init(&token, 65535);
    token_make(f->b, &w, &token);
    connect_with(f->c, buf_span(&token), buf_span(&pop));
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "");
    assert_one_event(f);
    buf_done(&token);
    buf_done(&pop);
    key_unref(key);
}

static void a_token_for_another_broker_is_refused(void **state)
{ /* MT-67 */
    refuse_token(*state, &(struct token_wish){ .aud = "another-broker" });
}

static void an_expired_token_is_refused(void **state)
{ /* MT-67, MT-100 */
    refuse_token(*state, &(struct token_wish){ .life_s = -1 });
}

static void a_token_not_yet_valid_is_refused(void **state)
{ /* AF-63 */
    refuse_token(*state, &(struct token_wish){ .not_before_s = 60 });
}

static void a_token_of_another_issuer_is_refused(void **state)
{ /* MT-66, MT-67 */
    refuse_token(*state, &(struct token_wish){ .wrong_issuer = true });
}

static void the_hint_says_where_tokens_are_made(void **state)
{ /* MT-91, MT-92: method ace without data */
    struct fixture *f = *state;
    struct mqtt_connack ack;
    struct span json;
    struct hints hints;

    client_connect(f->c, &(struct connect_wish){ .id = "c", .no_data = true });
    ack = expect_connack(f->c, MQTT_NOT_AUTHORIZED);
    assert_reason(&ack.properties, "MT-92");
    assert_true(mqtt_find_user_property(&ack.properties, SPAN(ACE_AS_HINT), &json));
    assert_int_equal(hints_parse(json, &hints, NULL), ST_OK);
    assert_true(span_eq_str(hints.as, "https://as.example/token"));
    assert_true(span_eq_str(hints.audience, BENCH_AUD));
    hints_done(&hints);
    expect_closed(f->c);
    assert_one_event(f);
}

static void the_hint_can_be_switched_off(void **state)
{ /* D-12 */
    struct fixture *f = *state;
    struct mqtt_connack ack;
    struct span json;

    f->b->settings.send_hints = false;
    client_connect(f->c, &(struct connect_wish){ .id = "c", .no_data = true });
    ack = expect_connack(f->c, MQTT_NOT_AUTHORIZED);
    assert_false(mqtt_find_user_property(&ack.properties, SPAN(ACE_AS_HINT), &json));
}

static void malformed_authentication_data_is_refused(void **state)
{ /* MT-90 */
    static const struct span bad[] = { SPAN("\x00"), SPAN("\x00\x00"),
                                       SPAN("\x00\x05"
                                            "abc"),
                                       SPAN("\x00\x03"
                                            "abc") };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct conn_io *c = client_new(f->b);

        f->b->settings.max_connections = 100;
        client_connect(c, &(struct connect_wish){ .id = "c", .data = bad[i], .has_data = true });
        if (i == 3) /* "abc" could be a reference: the AS would be asked */
            assert_false(c->closed);
        else
            expect_refused(c, MQTT_NOT_AUTHORIZED, "");
    }
}

/* ---- refused: the packet around it ---- */

static void another_method_is_refused(void **state)
{ /* MT-51, D-8: the name is case-sensitive */
    struct fixture *f = *state;
    static const char *const methods[] = { "ACE", "SCRAM-SHA-1", "ace2", "" };

    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        struct conn_io *c = client_new(f->b);

        client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .method = methods[i] });
        expect_refused(c, MQTT_BAD_AUTHENTICATION_METHOD, "MT-51");
    }
}

static void a_user_name_beside_a_token_is_refused(void **state)
{ /* MT-50 */
    struct fixture *f = *state;

    client_connect(f->c, &(struct connect_wish){ .id = "c", .scope = ALL, .user_name = true });
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "MT-50");
}

static void packets_behind_the_connect_are_not_waited_for(void **state)
{ /* MT-54 */
    struct fixture *f = *state;
    struct buf packet;

    buf_init(&packet, 1 << 16);
    connect_packet(f->c, &(struct connect_wish){ .id = "c", .scope = ALL }, &packet);
    put_bytes(&packet, SPAN("\xc0\x00"));
    client_send(f->c, buf_span(&packet));
    expect_refused(f->c, MQTT_PROTOCOL_ERROR, "MT-54");
    assert_one_event(f);
    buf_done(&packet);
}

static void packets_between_challenge_and_connack_end_the_connection(void **state)
{ /* MT-54 */
    struct fixture *f = *state;

    f->b->manual = false;
    struct buf packet;
    buf_init(&packet, 1 << 16);
    connect_packet(f->c, &(struct connect_wish){ .id = "c", .scope = ALL, .challenge = true }, &packet);
    client_send(f->c, buf_span(&packet));
    (void)expect_auth(f->c, MQTT_CONTINUE_AUTHENTICATION);
    client_publish(f->c, "a/b", "too early", 0, 0);
    expect_refused(f->c, MQTT_PROTOCOL_ERROR, "MT-54");
    assert_int_equal(STAT(f->b, messages_in), 0);
    buf_done(&packet);
}

static void a_client_may_leave_before_connack(void **state)
{ /* MT-54: DISCONNECT is allowed */
    struct fixture *f = *state;
    struct buf packet;

    buf_init(&packet, 1 << 16);
    connect_packet(f->c, &(struct connect_wish){ .id = "c", .scope = ALL, .challenge = true }, &packet);
    client_send(f->c, buf_span(&packet));
    (void)expect_auth(f->c, MQTT_CONTINUE_AUTHENTICATION);
    client_bye(f->c);
    expect_closed(f->c);
    assert_int_equal(STAT(f->b, sessions), 0);
    buf_done(&packet);
}

/* ---- challenge and response, wrongly ---- */

static void challenge(struct fixture *f)
{
    struct buf packet;

    buf_init(&packet, 1 << 16);
    connect_packet(f->c, &(struct connect_wish){ .id = "c", .scope = ALL, .challenge = true }, &packet);
    client_send(f->c, buf_span(&packet));
    (void)expect_auth(f->c, MQTT_CONTINUE_AUTHENTICATION);
    buf_done(&packet);
}

static void a_wrong_answer_is_refused_and_uses_up_the_challenge(void **state)
{ /* MT-62, MT-65 */
    struct fixture *f = *state;
    uint8_t answer[ACE_NONCE_LEN + 64] = { 1, 2, 3 };

    challenge(f);
    client_auth(f->c, MQTT_CONTINUE_AUTHENTICATION, ACE_METHOD, span_of(answer, sizeof answer));
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "");
    assert_one_event(f);
}

static void an_answer_of_no_known_layout_is_refused(void **state)
{ /* D-1 */
    struct fixture *f = *state;

    challenge(f);
    client_auth(f->c, MQTT_CONTINUE_AUTHENTICATION, ACE_METHOD, SPAN("short"));
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "");
}

static void an_answer_that_comes_too_late_finds_the_door_closed(void **state)
{ /* MT-62 */
    struct fixture *f = *state;

    challenge(f);
    bench_advance(f->b, f->b->settings.auth_timeout_ms + 100);
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "limits.auth_timeout");
    assert_one_event(f);
}

static void a_second_answer_is_a_protocol_error(void **state)
{ /* MT-62: answered twice */
    struct fixture *f = *state;

    client_connect(f->c, &(struct connect_wish){ .id = "c", .scope = ALL, .challenge = true });
    (void)expect_connack(f->c, MQTT_SUCCESS);
    client_auth(f->c, MQTT_CONTINUE_AUTHENTICATION, ACE_METHOD, SPAN("12345678again"));
    expect_thrown_out(f->c, MQTT_PROTOCOL_ERROR, "MT-54");
}

static void an_answer_with_another_method_is_refused(void **state)
{ /* MT-58, MQTT5 [MQTT-4.12.0-5] */
    struct fixture *f = *state;

    challenge(f);
    client_auth(f->c, MQTT_CONTINUE_AUTHENTICATION, "other", SPAN("12345678"));
    expect_refused(f->c, MQTT_BAD_AUTHENTICATION_METHOD, "");
}

static void no_connect_in_time_ends_the_connection(void **state)
{
    struct fixture *f = *state;

    bench_advance(f->b, f->b->settings.connect_timeout_ms + 100);
    expect_closed(f->c);
    assert_one_event(f);
    assert_int_equal(STAT(f->b, connections), 0);
}

/* ---- without a token ---- */

static void without_a_token_and_without_public_topics_nobody_gets_in(void **state)
{ /* MT-20, MT-90 */
    struct fixture *f = *state;
    struct mqtt_connack ack;
    struct span json;

    client_connect(f->c, &(struct connect_wish){ .id = "c", .no_method = true });
    ack = expect_connack(f->c, MQTT_NOT_AUTHORIZED);
    assert_reason(&ack.properties, "MT-20");
    assert_true(mqtt_find_user_property(&ack.properties, SPAN(ACE_AS_HINT), &json));
    expect_closed(f->c);
}

static void without_a_token_only_public_topics_are_open(void **state)
{ /* MT-21, D-37 */
    struct fixture *f = *state;
    struct conn_io *owner;
    struct mqtt_ack ack;

    bench_public(f->b, "[[\"pub/#\",[\"sub\"]]]");
    owner = client_connected(f->b, "owner", "[[\"pub/#\",[\"pub\"]]]");
    client_connect(f->c, &(struct connect_wish){ .id = "guest", .no_method = true });
    (void)expect_connack(f->c, MQTT_SUCCESS);
    client_subscribe(f->c, "pub/news", 0, MQTT_SUCCESS);
    client_subscribe(f->c, "a/b", 0, MQTT_NOT_AUTHORIZED);
    client_publish(owner, "pub/news", "open", 0, 0);
    (void)expect_publish(f->c, "pub/news", "open", 0);
    client_publish(f->c, "pub/news", "mine", 1, 5);
    ack = expect_ack(f->c, MQTT_PUBACK, 5, MQTT_NOT_AUTHORIZED);
    assert_reason(&ack.properties, "MT-21");
}

static void a_bad_token_does_not_fall_back_to_public_topics(void **state)
{ /* design 3.2: no silent fallback from ACE to anything else */
    struct fixture *f = *state;

    bench_public(f->b, "[[\"pub/#\",[\"sub\"]]]");
    client_connect(f->c, &(struct connect_wish){ .id = "c", .no_data = true });
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "MT-92");
}

static void a_password_does_not_fall_back_to_public_topics(void **state)
{
    struct fixture *f = *state;

    bench_public(f->b, "[[\"pub/#\",[\"sub\"]]]");
    client_connect(f->c, &(struct connect_wish){ .id = "c", .no_method = true, .user_name = true });
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "MT-55");
}

static void who_came_without_a_method_may_not_send_auth(void **state)
{ /* MQTT5 [MQTT-4.12.0-7], MT-104 */
    struct fixture *f = *state;

    bench_public(f->b, "[[\"pub/#\",[\"sub\"]]]");
    client_connect(f->c, &(struct connect_wish){ .id = "c", .no_method = true });
    (void)expect_connack(f->c, MQTT_SUCCESS);
    client_auth(f->c, MQTT_REAUTHENTICATE, ACE_METHOD,
                SPAN("\x00\x03"
                     "abc"));
    expect_thrown_out(f->c, MQTT_PROTOCOL_ERROR, "MQTT5 [MQTT-4.12.0-7]");
}

static void an_empty_scope_gets_in_and_may_do_nothing(void **state)
{ /* MT-83, D-34 */
    struct fixture *f = *state;

    client_connect(f->c, &(struct connect_wish){ .id = "c", .scope = "[]" });
    (void)expect_connack(f->c, MQTT_SUCCESS);
    client_subscribe(f->c, "a/b", 0, MQTT_NOT_AUTHORIZED);
}

/* ---- tokens looked up elsewhere ---- */

static struct token *introspected(struct fixture *f, const struct key *key)
{
    struct token *token;
    struct buf text = make_token(f->b, key);

    /* Any verified token stands in for what the AS describes. */
    assert_int_equal(token_verify(buf_span(&text), f->b->verifier, f->b->now.wall, &token, NULL), ST_OK);
    buf_done(&text);
    return token;
}

static void a_reference_is_looked_up_once_and_the_client_waits(void **state)
{ /* MT-66, MT-95, design 3.2 */
    struct fixture *f = *state;
    uint64_t asked;
    struct key *key = new_key(KEY_ED25519);
    struct buf pop = make_proof(f->c, key);

    connect_with(f->c, SPAN("opaque-reference"), buf_span(&pop));
    expect_nothing(f->c);
    assert_int_equal(f->b->asked_kind, RESOLVE_INTROSPECT);
    shard_token_resolved(f->b->shard[0], f->b->asked, ST_OK, introspected(f, key), (struct why){ 0 },
                         f->b->now);
    asked = f->b->asked;
    (void)expect_connack(f->c, MQTT_SUCCESS);
    client_subscribe(f->c, "a/b", 0, MQTT_SUCCESS);
    client_publish(f->c, "a/b", "x", 0, 0);
    (void)expect_publish(f->c, "a/b", "x", 0);
    assert_int_equal(f->b->asked, asked); /* the answer is kept for the life of the connection */
    buf_done(&pop);
    key_unref(key);
}

static void a_reference_can_be_proved_by_challenge(void **state)
{ /* MT-59, MT-66 */
    struct fixture *f = *state;
    struct key *key = new_key(KEY_ED25519);

    connect_with(f->c, SPAN("opaque-reference"), SPAN_NONE);
    shard_token_resolved(f->b->shard[0], f->b->asked, ST_OK, introspected(f, key), (struct why){ 0 },
                         f->b->now);
    (void)expect_auth(f->c, MQTT_CONTINUE_AUTHENTICATION);
    key_unref(key);
}

static void an_unreachable_as_never_opens_the_door(void **state)
{ /* design 3.2: fail closed and say so */
    struct fixture *f = *state;

    connect_with(f->c, SPAN("opaque-reference"), SPAN("proof"));
    shard_token_resolved(f->b->shard[0], f->b->asked, ST_UNREACHABLE, NULL,
                         (struct why){ "MT-66", "the authorization server did not answer", 0 }, f->b->now);
    expect_refused(f->c, MQTT_SERVER_UNAVAILABLE, "MT-66");
    assert_one_event(f);
}

static void an_as_that_never_answers_is_waited_for_only_so_long(void **state)
{
    struct fixture *f = *state;
    uint64_t asked;

    connect_with(f->c, SPAN("opaque-reference"), SPAN("proof"));
    asked = f->b->asked;
    bench_advance(f->b, f->b->settings.auth_timeout_ms + 100);
    expect_refused(f->c, MQTT_SERVER_UNAVAILABLE, "MT-66");
    /* and its late answer hurts nobody */
    shard_token_resolved(f->b->shard[0], asked, ST_UNREACHABLE, NULL, (struct why){ 0 }, f->b->now);
}

static void an_answer_for_a_connection_that_is_gone_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct key *key = new_key(KEY_ED25519);

    connect_with(f->c, SPAN("opaque-reference"), SPAN("proof"));
    client_drop(f->c);
    shard_token_resolved(f->b->shard[0], f->b->asked, ST_OK, introspected(f, key), (struct why){ 0 },
                         f->b->now);
    assert_int_equal(STAT(f->b, sessions), 0);
    key_unref(key);
}

static void packets_while_the_as_is_asked_end_the_connection(void **state)
{ /* MT-54 */
    struct fixture *f = *state;

    connect_with(f->c, SPAN("opaque-reference"), SPAN("proof"));
    client_ping(f->c);
    expect_refused(f->c, MQTT_PROTOCOL_ERROR, "MT-54");
}

static void an_unknown_key_is_fetched_once(void **state)
{ /* TK-44 */
    struct fixture *f = *state;
    struct key *key = new_key(KEY_ED25519);
    struct token_claims claims = {
        .iss = SPAN(BENCH_ISS), .aud = SPAN(BENCH_AUD), .has_exp = true, .exp = { BENCH_WALL + 100 }, .cnf = key
    };
    struct buf token, pop = make_proof(f->c, key);
    uint64_t asked;

    buf_init(&token, 65535);
    assert_int_equal(token_issue_jws(&claims, f->b->other_key, SPAN("as-2"), &token, NULL), ST_OK);
    connect_with(f->c, buf_span(&token), buf_span(&pop));
    expect_nothing(f->c);
    assert_int_equal(f->b->asked_kind, RESOLVE_KEYS);
    asked = f->b->asked;
    shard_token_resolved(f->b->shard[0], asked, ST_OK, NULL, (struct why){ 0 }, f->b->now);
    assert_int_equal(f->b->asked, asked); /* not again: the keys are as fresh as they get */
    expect_refused(f->c, MQTT_NOT_AUTHORIZED, "TK-44");
    buf_done(&token);
    buf_done(&pop);
    key_unref(key);
}

/* ---- other versions ---- */

static void refused_as_3_1_1(struct fixture *f, struct span connect)
{
    client_send(f->c, connect);
    assert_int_equal(f->c->in.len, 4);
    assert_memory_equal(f->c->in.p, "\x20\x02\x00\x01", 4);
    assert_true(f->c->closed);
    assert_one_event(f);
}

static void a_client_of_mqtt_3_1_is_refused_in_its_own_language(void **state)
{ /* MT-120, MQTT311 [MQTT-3.1.2-2] */
    refused_as_3_1_1(*state, SPAN("\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01x"));
}

static void a_client_of_mqtt_3_1_1_is_refused_where_it_is_switched_off(void **state)
{ /* MT-120 */
    struct fixture *f = *state;

    f->b->settings.accept_v3 = false;
    refused_as_3_1_1(f, SPAN("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x"));
}

static void a_version_of_the_future_is_refused(void **state)
{ /* MQTT5 [MQTT-3.1.2-2] */
    struct fixture *f = *state;

    client_send(f->c, SPAN("\x10\x0e\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x01x"));
    (void)expect_connack(f->c, MQTT_UNSUPPORTED_VERSION);
    expect_closed(f->c);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(an_exporter_proof_is_accepted_for_each_kind_of_key),
        T(a_challenge_is_answered_in_the_layout_of_the_rfc),
        T(a_challenge_is_answered_in_the_layout_of_the_draft),
        T(the_connack_tells_the_truth_about_limits),
        T(a_proof_over_another_exporter_value_is_refused),
        T(a_proof_with_another_key_is_refused),
        T(a_truncated_mac_is_refused),
        T(a_der_signature_is_refused),
        T(an_exporter_proof_on_a_resumed_tls_session_is_refused),
        T(a_challenge_works_on_a_resumed_tls_session),
        T(an_exporter_proof_without_tls_is_refused),
        T(no_challenge_is_given_without_tls),
        T(a_token_for_another_broker_is_refused),
        T(an_expired_token_is_refused),
        T(a_token_not_yet_valid_is_refused),
        T(a_token_of_another_issuer_is_refused),
        T(the_hint_says_where_tokens_are_made),
        T(the_hint_can_be_switched_off),
        T(malformed_authentication_data_is_refused),
        T(another_method_is_refused),
        T(a_user_name_beside_a_token_is_refused),
        T(packets_behind_the_connect_are_not_waited_for),
        T(packets_between_challenge_and_connack_end_the_connection),
        T(a_client_may_leave_before_connack),
        T(a_wrong_answer_is_refused_and_uses_up_the_challenge),
        T(an_answer_of_no_known_layout_is_refused),
        T(an_answer_that_comes_too_late_finds_the_door_closed),
        T(a_second_answer_is_a_protocol_error),
        T(an_answer_with_another_method_is_refused),
        T(no_connect_in_time_ends_the_connection),
        T(without_a_token_and_without_public_topics_nobody_gets_in),
        T(without_a_token_only_public_topics_are_open),
        T(a_bad_token_does_not_fall_back_to_public_topics),
        T(a_password_does_not_fall_back_to_public_topics),
        T(who_came_without_a_method_may_not_send_auth),
        T(an_empty_scope_gets_in_and_may_do_nothing),
        T(a_reference_is_looked_up_once_and_the_client_waits),
        T(a_reference_can_be_proved_by_challenge),
        T(an_unreachable_as_never_opens_the_door),
        T(an_as_that_never_answers_is_waited_for_only_so_long),
        T(an_answer_for_a_connection_that_is_gone_is_dropped),
        T(packets_while_the_as_is_asked_end_the_connection),
        T(an_unknown_key_is_fetched_once),
        T(a_client_of_mqtt_3_1_is_refused_in_its_own_language),
        T(a_client_of_mqtt_3_1_1_is_refused_where_it_is_switched_off),
        T(a_version_of_the_future_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
