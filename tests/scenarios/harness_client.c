/* The clients of a bench: tokens, packets out, packets in. */
#include "harness.h"

#include "jose/jwk.h"

#include "jose/jws.h"

#include "codec/base64.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- tokens ---- */

static void more_claims(struct bench *b, const struct token_wish *wish, struct token_claims *claims,
                        struct buf *jti)
{
    claims->cnf_kid = span_of_str(wish->kid);
    claims->cnonce = wish->cnonce;
    if (wish->kid_only)
        claims->cnf = NULL;
    if (wish->x5t.p != NULL) {
        claims->cnf = NULL;
        claims->cnf_x5t = wish->x5t;
    }
    if (wish->not_before_s != 0) {
        claims->has_nbf = true;
        claims->nbf.s = b->now.wall.s + wish->not_before_s;
    }
    claims->has_iat = wish->has_iat;
    claims->iat = b->now.wall;
    if (wish->exi_s == 0)
        return;
    claims->has_exp = false;
    claims->has_exi = true;
    claims->exi_s = wish->exi_s;
    assert_int_equal(token_exi_jti_write(SPAN(BENCH_AUD), wish->sequence, jti), ST_OK);
    claims->jti = buf_span(jti);
}

/* What our own AS never writes: cnf with nothing but a kid. */
static void issue_kid_only(const struct token_claims *claims, const struct key *signer, struct span signer_kid,
                           struct buf *out)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL, *cnf = js_new_object();
    CLEANUP(buf_done)
    struct buf text;
    struct token_claims with_x5t = *claims; /* put in, and then replaced */

    buf_init(&text, 65535);
    with_x5t.cnf_x5t = SPAN("12345678901234567890123456789012");
    assert_int_equal(token_introspection_js(&with_x5t, &js), ST_OK);
    assert_int_equal(js_set_str(cnf, "kid", claims->cnf_kid), ST_OK);
    assert_int_equal(js_set_take(js, "cnf", cnf), ST_OK);
    assert_int_equal(js_print(js, &text), ST_OK);
    assert_int_equal(jws_sign(signer, signer_kid, SPAN("at+jwt"), SPAN_NONE, buf_span(&text), out), ST_OK);
}

static void issue(struct bench *b, const struct token_wish *wish, const struct token_claims *claims,
                  struct buf *out)
{
    const struct key *signer = wish->wrong_issuer    ? b->other_key
                               : wish->second_issuer ? b->second_key
                                                     : b->as_key;
    struct span kid = wish->second_issuer ? SPAN("as-2") : SPAN("as-1");
    bool secret = claims->cnf != NULL && key_kind(claims->cnf) == KEY_SECRET;
    enum status st = ST_OK;

    if (wish->kid_only)
        issue_kid_only(claims, signer, kid, out);
    else if (secret && wish->cwt)
        st = token_issue_cwt_encrypt0(claims, NULL, SPAN_NONE, b->shared, SPAN("rs-1"), out, NULL);
    else if (secret)
        st = token_issue_jwe(claims, NULL, SPAN_NONE, b->shared, SPAN("rs-1"), out, NULL);
    else if (wish->cwt)
        st = token_issue_cwt_sign1(claims, signer, kid, out, NULL);
    else
        st = token_issue_jws(claims, signer, kid, out, NULL);
    assert_int_equal(st, ST_OK);
}

void token_make(struct bench *b, const struct token_wish *wish, struct buf *out)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    CLEANUP(buf_done)
    struct buf jti;
    struct token_claims claims = { .iss = wish->second_issuer ? SPAN(BENCH_ISS2) : SPAN(BENCH_ISS),
                                   .sub = span_of_str(wish->sub == NULL ? "sub of the tests" : wish->sub),
                                   .aud = span_of_str(wish->aud == NULL ? BENCH_AUD : wish->aud),
                                   .has_exp = true,
                                   .exp = { b->now.wall.s + (wish->life_s == 0 ? 3600 : wish->life_s) },
                                   .cnf = wish->key };

    buf_init(&jti, 256);
    if (wish->scope != NULL) {
        assert_int_equal(scope_from_text(span_of_str(wish->scope), &scope, NULL), ST_OK);
        claims.scope = scope;
    }
    more_claims(b, wish, &claims, &jti);
    issue(b, wish, &claims, out);
}

struct token *token_introspected(const struct bench *b, struct span text, const struct key *key,
                                 const char *scope)
{
    struct token *token = NULL;
    CLEANUP(js_unrefp)
    struct js *jwk = NULL;
    CLEANUP(buf_done)
    struct buf body;

    buf_init(&body, 4096);
    assert_int_equal(jwk_print(key, SPAN_NONE, NULL, false, &jwk), ST_OK);
    put_fmt(&body,
            "{\"active\":true,\"aud\":\"" BENCH_AUD
            "\",\"exp\":%lld,\"sub\":\"c\",\"scope\":%s,\"cnf\":{\"jwk\":",
            (long long)b->now.wall.s + 600, scope);
    assert_int_equal(js_print(jwk, &body), ST_OK);
    put_str(&body, "}}");
    assert_int_equal(token_from_introspection(buf_span(&body), text, SPAN(BENCH_ISS), b->verifier, b->now.wall,
                                              &token, NULL),
                     ST_OK);
    return token;
}

/* ---- clients: sending ---- */

static struct conn_io *io_new(struct bench *b)
{
    struct conn_io *c = calloc(1, sizeof *c);

    assert_non_null(c);
    c->version = MQTT_5;
    c->b = b;
    c->at = b->next_shard++ % b->count;
    c->peer = b->peer != NULL ? b->peer : "192.0.2.1:1000";
    c->exporter = EXPORTER_OK;
    (void)bench_random(b, c->exporter_value, sizeof c->exporter_value);
    buf_init(&c->in, (size_t)1 << 28);
    buf_init(&c->out, (size_t)1 << 28);
    buf_init(&c->psk, 1024);
    list_append(&b->clients, &c->link);
    return c;
}

struct conn_io *client_known(struct bench *b, enum identity_kind kind, struct span bytes)
{
    struct conn_io *c = io_new(b);
    bool fault;

    c->identity = (struct conn_identity){ .kind = kind, .bytes = bytes };
    if (kind == IDENTITY_PSK &&
        !shard_psk_key(b->shard[c->at], bytes, SPAN("192.0.2.7:1883"), b->now, &c->psk, &fault)) {
        c->closed = true; /* the handshake fails */
        return NULL;
    }
    c->identity.key = buf_span(&c->psk);
    c->conn = shard_accept(b->shard[c->at], c, span_of_str(c->peer), false, b->now);
    assert_non_null(c->conn);
    return c;
}

struct conn_io *client_new(struct bench *b)
{
    return client_known(b, IDENTITY_NONE, SPAN_NONE);
}

void client_send(struct conn_io *c, struct span bytes)
{
    if (!c->closed)
        put_bytes(&c->out, bytes);
    if (!c->b->manual)
        bench_run(c->b);
}

static void send_buf(struct conn_io *c, struct buf *packet)
{
    assert_true(buf_ok(packet));
    client_send(c, buf_span(packet));
    buf_done(packet);
}

static void write_will(const struct connect_wish *wish, struct mqtt_connect *connect)
{
    if (wish->will_topic == NULL)
        return;
    connect->has_will = true;
    connect->will.topic.s = span_of_str(wish->will_topic);
    connect->will.payload = span_of_str(wish->will_payload == NULL ? "gone" : wish->will_payload);
    connect->will.qos = wish->will_qos;
    connect->will.retain = wish->will_retain;
    if (wish->will_response_topic != NULL) {
        connect->will.properties.response_topic = span_of_str(wish->will_response_topic);
        mqtt_set(&connect->will.properties, PROP_RESPONSE_TOPIC);
        connect->will.properties.correlation_data = span_of("\x00\xff", 2);
        mqtt_set(&connect->will.properties, PROP_CORRELATION_DATA);
    }
    if (wish->will_expiry_s > 0 && !wish->v3) {
        connect->will.properties.message_expiry_s = wish->will_expiry_s;
        mqtt_set(&connect->will.properties, PROP_MESSAGE_EXPIRY);
    }
    if (wish->will_delay_s > 0 && !wish->v3) {
        connect->will.properties.will_delay_s = wish->will_delay_s;
        mqtt_set(&connect->will.properties, PROP_WILL_DELAY);
    }
}

static void write_wishes(const struct connect_wish *wish, struct mqtt_properties *p)
{
    if (wish->v3)
        return;
    if (wish->expiry_s > 0) {
        p->session_expiry_s = wish->expiry_s;
        mqtt_set(p, PROP_SESSION_EXPIRY);
    }
    if (wish->receive_maximum > 0) {
        p->receive_maximum = wish->receive_maximum;
        mqtt_set(p, PROP_RECEIVE_MAXIMUM);
    }
    if (wish->max_packet_bytes > 0) {
        p->maximum_packet_size = wish->max_packet_bytes;
        mqtt_set(p, PROP_MAXIMUM_PACKET_SIZE);
    }
    if (wish->topic_alias_maximum > 0) {
        p->topic_alias_maximum = wish->topic_alias_maximum;
        mqtt_set(p, PROP_TOPIC_ALIAS_MAXIMUM);
    }
    if (wish->wants_response_info) {
        p->request_response_info = 1;
        mqtt_set(p, PROP_REQUEST_RESPONSE_INFO);
    }
    if (wish->no_problem_info) {
        p->request_problem_info = 0;
        mqtt_set(p, PROP_REQUEST_PROBLEM_INFO);
    }
}

static void make_proof(struct conn_io *c, const struct connect_wish *wish, const struct key *key,
                       struct buf *text, struct buf *pop)
{
    struct token_wish token = { .scope = wish->scope,
                                .sub = wish->sub != NULL ? wish->sub : wish->id,
                                .key = key,
                                .life_s = wish->life_s };

    buf_init(text, 65535);
    buf_init(pop, ACE_POP_MAX);
    token_make(c->b, &token, text);
    if (!wish->challenge)
        assert_int_equal(pop_make_exporter(key, span_of(c->exporter_value, ACE_EXPORTER_LEN), pop), ST_OK);
}

static void write_data(struct conn_io *c, const struct connect_wish *wish, const struct key *key,
                       struct buf *data)
{
    struct buf text, pop;

    make_proof(c, wish, key, &text, &pop);
    assert_int_equal(auth_data_write_connect(buf_span(&text), buf_span(&pop), data), ST_OK);
    buf_done(&text);
    buf_done(&pop);
}

/* MT-122, MT-123. */
static void write_user_name(struct conn_io *c, const struct connect_wish *wish, const struct key *key,
                            struct mqtt_connect *connect, struct buf *name, struct buf *pop)
{
    struct buf text;

    make_proof(c, wish, key, &text, pop);
    put_str(name, ACE_METHOD);
    if (wish->draft06)
        put_bytes(name, buf_span(&text)); /* a JWT is UTF-8 */
    else
        base64url_encode(buf_span(&text), name);
    buf_done(&text);
    connect->has_user_name = true;
    connect->user_name = wish->user_text != NULL ? span_of_str(wish->user_text) : buf_span(name);
    connect->has_password = !wish->no_password;
    connect->password = wish->password_text != NULL ? span_of_str(wish->password_text) : buf_span(pop);
}

static void write_connect(struct conn_io *c, const struct connect_wish *wish, const struct key *key,
                          struct buf *out)
{
    struct mqtt_connect connect = { .version = wish->v3 ? MQTT_3_1_1 : MQTT_5,
                                    .clean_start = !wish->resume,
                                    .keep_alive_s = wish->keep_alive_s,
                                    .client_id = span_of_str(wish->id),
                                    .has_user_name = wish->user_name,
                                    .user_name = SPAN("somebody") };
    bool by_user_name = wish->v3 || wish->as_user_name;
    struct buf data, pop;

    buf_init(&data, 65535);
    buf_init(&pop, ACE_POP_MAX);
    c->version = connect.version;
    write_will(wish, &connect);
    write_wishes(wish, &connect.properties);
    if (by_user_name && !wish->no_method)
        write_user_name(c, wish, key, &connect, &data, &pop);
    if (!by_user_name && !wish->no_method) {
        connect.properties.auth_method = span_of_str(wish->method == NULL ? ACE_METHOD : wish->method);
        mqtt_set(&connect.properties, PROP_AUTH_METHOD);
    }
    if (!by_user_name && !wish->no_method && !wish->no_data) {
        if (wish->has_data)
            put_bytes(&data, wish->data);
        else
            write_data(c, wish, key, &data);
        connect.properties.auth_data = buf_span(&data);
        mqtt_set(&connect.properties, PROP_AUTH_DATA);
    }
    mqtt_write_connect(out, &connect);
    assert_true(buf_ok(out));
    buf_done(&data);
    buf_done(&pop);
}

void connect_packet(struct conn_io *c, const struct connect_wish *wish, struct buf *out)
{
    CLEANUP(key_unrefp)
    struct key *own = NULL;

    assert_int_equal(key_generate(KEY_ED25519, &own), ST_OK);
    write_connect(c, wish, wish->key != NULL ? wish->key : own, out);
}

static void answer_challenge(struct conn_io *c, const struct key *key, bool draft06)
{
    struct mqtt_auth auth = expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
    struct span client_nonce = SPAN("\x11\x12\x13\x14\x15\x16\x17\x18");
    struct buf pop, data;

    assert_int_equal(auth.properties.auth_data.len, ACE_NONCE_LEN);
    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 1024);
    assert_int_equal(pop_make_nonces(key, auth.properties.auth_data, client_nonce, &pop), ST_OK);
    assert_int_equal(auth_data_write_answer(client_nonce, buf_span(&pop), draft06, &data), ST_OK);
    client_auth(c, MQTT_CONTINUE_AUTHENTICATION, ACE_METHOD, buf_span(&data));
    buf_done(&pop);
    buf_done(&data);
}

void client_connect(struct conn_io *c, const struct connect_wish *wish)
{
    CLEANUP(key_unrefp)
    struct key *own = NULL;
    const struct key *key = wish->key;
    struct buf packet;

    if (key == NULL) {
        assert_int_equal(key_generate(KEY_ED25519, &own), ST_OK);
        key = own;
    }
    buf_init(&packet, (size_t)1 << 20);
    write_connect(c, wish, key, &packet);
    send_buf(c, &packet);
    if (wish->challenge && !wish->has_data)
        answer_challenge(c, key, wish->draft06);
}

void client_leave_token(struct conn_io *c, struct span token, uint8_t qos, uint16_t packet_id)
{
    struct mqtt_publish_out p = {
        .qos = qos, .packet_id = packet_id, .topic = SPAN("authz-info"), .payload = token
    };
    struct buf packet;

    buf_init(&packet, (size_t)1 << 20);
    mqtt_write_publish(&packet, c->version, &p);
    send_buf(c, &packet);
}

struct conn_io *client_connected_with(struct bench *b, const struct connect_wish *wish)
{
    struct conn_io *c = client_new(b);

    client_connect(c, wish);
    (void)expect_connack(c, MQTT_SUCCESS);
    return c;
}

struct conn_io *client_connected(struct bench *b, const char *id, const char *scope)
{
    return client_connected_with(b, &(struct connect_wish){ .id = id, .scope = scope });
}

void client_drop(struct conn_io *c)
{
    bench_inside(c->b, true);
    if (c->conn != NULL && !c->closed)
        shard_closed(c->b->shard[c->at], c->conn, "reset", c->b->now);
    bench_inside(c->b, false);
    c->conn = NULL;
    c->closed = true;
    bench_flush(c->b);
    if (!c->b->manual)
        bench_run(c->b);
}

void client_bye(struct conn_io *c)
{
    struct mqtt_disconnect d = { .reason = MQTT_SUCCESS };
    struct buf packet;

    buf_init(&packet, 64);
    mqtt_write_disconnect(&packet, c->version, &d);
    send_buf(c, &packet);
}

void client_unstick(struct conn_io *c)
{
    c->stuck = false;
    c->pending = 0;
    bench_inside(c->b, true);
    if (c->conn != NULL)
        shard_output_drained(c->b->shard[c->at], c->conn, c->b->now);
    bench_inside(c->b, false);
    bench_flush(c->b);
}

struct mqtt_subscription wish_filter(const char *filter, uint8_t qos)
{
    return (struct mqtt_subscription){ .filter = { span_of_str(filter) }, .qos = qos };
}

void client_subscribe_with(struct conn_io *c, struct mqtt_subscription want, uint32_t id, uint16_t packet_id)
{
    struct mqtt_properties p = { 0 };
    struct buf packet;

    if (id != 0) {
        p.subscription_id = id;
        mqtt_set(&p, PROP_SUBSCRIPTION_ID);
    }
    buf_init(&packet, 1 << 17);
    mqtt_write_subscribe(&packet, c->version, packet_id, &p, &want, 1);
    send_buf(c, &packet);
}

void client_subscribe(struct conn_io *c, const char *filter, uint8_t qos, uint8_t expected)
{
    client_subscribe_with(c, wish_filter(filter, qos), 0, 77);
    (void)expect_suback(c, 77, expected);
}

void client_unsubscribe(struct conn_io *c, const char *filter)
{
    struct topic_filter f = { span_of_str(filter) };
    struct buf packet;

    buf_init(&packet, 1 << 17);
    mqtt_write_unsubscribe(&packet, c->version, 78, NULL, &f, 1);
    send_buf(c, &packet);
}

void client_publish_with(struct conn_io *c, const struct publish_wish *wish)
{
    struct mqtt_publish_out p = { .qos = wish->qos,
                                  .retain = wish->retain,
                                  .dup = wish->dup,
                                  .packet_id = wish->packet_id,
                                  .topic_alias = wish->alias,
                                  .has_message_expiry = wish->expiry_s > 0,
                                  .message_expiry_s = wish->expiry_s,
                                  .topic = span_of_str(wish->topic),
                                  .properties = wish->properties,
                                  .payload = span_of_str(wish->payload) };
    struct buf packet;

    buf_init(&packet, (size_t)1 << 22);
    mqtt_write_publish(&packet, c->version, &p);
    send_buf(c, &packet);
}

void client_publish(struct conn_io *c, const char *topic, const char *payload, uint8_t qos, uint16_t packet_id)
{
    client_publish_with(
        c, &(struct publish_wish){ .topic = topic, .payload = payload, .qos = qos, .packet_id = packet_id });
}

void client_ack(struct conn_io *c, enum mqtt_packet_type type, uint16_t packet_id, uint8_t reason)
{
    struct mqtt_ack ack = { .type = type, .packet_id = packet_id, .reason = reason };
    struct buf packet;

    buf_init(&packet, 64);
    mqtt_write_ack(&packet, c->version, &ack);
    send_buf(c, &packet);
}

void client_ping(struct conn_io *c)
{
    client_send(c, SPAN("\xc0\x00"));
}

void client_auth(struct conn_io *c, uint8_t reason, const char *method, struct span data)
{
    struct mqtt_auth auth = { .reason = reason };
    struct buf packet;

    auth.properties.auth_method = span_of_str(method);
    mqtt_set(&auth.properties, PROP_AUTH_METHOD);
    auth.properties.auth_data = data;
    mqtt_set(&auth.properties, PROP_AUTH_DATA);
    buf_init(&packet, 1 << 17);
    mqtt_write_auth(&packet, &auth);
    send_buf(c, &packet);
}

/* ---- clients: receiving ---- */

bool client_next(struct conn_io *c, struct mqtt_frame *frame)
{
    struct span rest = span_cut(buf_span(&c->in), c->in_at, SIZE_MAX);
    struct why why;
    enum status st;

    if (rest.len == 0)
        return false;
    assert_int_equal(mqtt_frame_next(rest, MQTT_FROM_SERVER, MQTT_PACKET_SIZE_MAX, frame, &st, &why),
                     MQTT_FRAME_READY);
    c->in_at += frame->total_len;
    return true;
}

static struct mqtt_frame expect_type(struct conn_io *c, enum mqtt_packet_type type)
{
    struct mqtt_frame frame;

    if (!client_next(c, &frame))
        fail_msg("%s expected, nothing came", mqtt_packet_name(type));
    if (frame.type != type)
        fail_msg("%s expected, %s came", mqtt_packet_name(type), mqtt_packet_name(frame.type));
    return frame;
}

void expect_nothing(struct conn_io *c)
{
    struct mqtt_frame frame;

    if (client_next(c, &frame))
        fail_msg("nothing expected, %s came", mqtt_packet_name(frame.type));
    assert_false(c->closed);
}

void expect_closed(struct conn_io *c)
{
    struct mqtt_frame frame;

    if (client_next(c, &frame))
        fail_msg("the end expected, %s came", mqtt_packet_name(frame.type));
    assert_true(c->closed);
}

void assert_reason(const struct mqtt_properties *p, const char *clause)
{
    assert_true(mqtt_has(p, PROP_REASON_STRING));
    if (!span_starts_with(p->reason_string, span_of_str(clause)))
        fail_msg("reason string \"%.*s\" does not name %s", SPAN_FMT(p->reason_string), clause);
}

struct mqtt_connack expect_connack(struct conn_io *c, uint8_t reason)
{
    struct mqtt_frame frame = expect_type(c, MQTT_CONNACK);
    struct mqtt_connack connack;

    assert_int_equal(mqtt_read_connack(&frame, c->version, &connack, NULL), ST_OK);
    if (c->version != MQTT_5)
        assert_int_equal(connack.properties.has, 0);
    if (connack.reason != reason)
        fail_msg("CONNACK 0x%02x expected, 0x%02x came: %.*s", reason, connack.reason,
                 SPAN_FMT(connack.properties.reason_string));
    return connack;
}

struct mqtt_disconnect expect_disconnect(struct conn_io *c, uint8_t reason)
{
    struct mqtt_frame frame = expect_type(c, MQTT_DISCONNECT);
    struct mqtt_disconnect d;

    assert_int_equal(mqtt_read_disconnect(&frame, c->version, &d, NULL), ST_OK);
    if (d.reason != reason)
        fail_msg("DISCONNECT 0x%02x expected, 0x%02x came: %.*s", reason, d.reason,
                 SPAN_FMT(d.properties.reason_string));
    assert_true(c->closed);
    return d;
}

void expect_refused3(struct conn_io *c, enum mqtt3_return_code code)
{
    (void)expect_connack(c, (uint8_t)code);
    expect_closed(c);
}

void expect_refused(struct conn_io *c, uint8_t reason, const char *clause)
{
    struct mqtt_connack connack = expect_connack(c, reason);

    assert_reason(&connack.properties, clause);
    expect_closed(c);
}

void expect_thrown_out(struct conn_io *c, uint8_t reason, const char *clause)
{
    struct mqtt_disconnect d = expect_disconnect(c, reason);

    assert_reason(&d.properties, clause);
    expect_closed(c);
}

struct mqtt_publish expect_publish(struct conn_io *c, const char *topic, const char *payload, uint8_t qos)
{
    struct mqtt_frame frame = expect_type(c, MQTT_PUBLISH);
    struct mqtt_publish p;

    assert_int_equal(mqtt_read_publish(&frame, c->version, &p, NULL), ST_OK);
    if (!span_eq_str(p.topic.s, topic) || !span_eq_str(p.payload, payload))
        fail_msg("%s \"%s\" expected, %.*s \"%.*s\" came", topic, payload, SPAN_FMT(p.topic.s),
                 SPAN_FMT(p.payload));
    assert_int_equal(p.qos, qos);
    return p;
}

struct mqtt_ack expect_ack(struct conn_io *c, enum mqtt_packet_type type, uint16_t packet_id, uint8_t reason)
{
    struct mqtt_frame frame = expect_type(c, type);
    struct mqtt_ack ack;

    assert_int_equal(mqtt_read_ack(&frame, c->version, &ack, NULL), ST_OK);
    assert_int_equal(ack.packet_id, packet_id);
    assert_int_equal(ack.reason, reason);
    return ack;
}

struct mqtt_suback expect_suback(struct conn_io *c, uint16_t packet_id, uint8_t reason)
{
    struct mqtt_frame frame = expect_type(c, MQTT_SUBACK);
    struct mqtt_suback ack;

    assert_int_equal(mqtt_read_suback(&frame, c->version, &ack, NULL), ST_OK);
    assert_int_equal(ack.packet_id, packet_id);
    assert_true(ack.reasons.len >= 1);
    assert_int_equal(ack.reasons.p[0], reason);
    return ack;
}

struct mqtt_auth expect_auth(struct conn_io *c, uint8_t reason)
{
    struct mqtt_frame frame = expect_type(c, MQTT_AUTH);
    struct mqtt_auth auth;

    assert_int_equal(mqtt_read_auth(&frame, &auth, NULL), ST_OK);
    assert_int_equal(auth.reason, reason);
    assert_true(span_eq_str(auth.properties.auth_method, ACE_METHOD));
    return auth;
}
