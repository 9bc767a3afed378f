/* Random packets of every type, in both versions, come back as they were: decode(encode(x)) == x, over a seeded
 * generator that fills every field and property the packet may carry. And no truncation or change of a byte does more than be refused. */
#include "mqtt/any_packet_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define ROUNDS 400 /* packets per type and side */
#define SEED   UINT64_C(0x5eed0f5eed)

/* ---- dice ---- */

struct dice {
    uint64_t x;
    enum mqtt_version version;
    char text[65536]; /* what the spans of one packet point into */
    size_t used;
};

static uint32_t roll(struct dice *d, uint32_t sides)
{
    d->x ^= d->x << 13;
    d->x ^= d->x >> 7;
    d->x ^= d->x << 17;
    return (uint32_t)(d->x >> 32) % sides;
}

static bool heads(struct dice *d)
{
    return roll(d, 2) == 0;
}

static struct span random_pieces(struct dice *d, const char *const *pieces, uint32_t n, uint32_t at_least)
{
    size_t start = d->used;

    for (uint32_t i = roll(d, 12) + at_least; i > 0; i--) {
        const char *piece = pieces[roll(d, n)];
        assert_true(d->used + strlen(piece) < sizeof d->text);
        memcpy(d->text + d->used, piece, strlen(piece));
        d->used += strlen(piece);
    }
    return span_of(d->text + start, d->used - start);
}

static struct span random_text(struct dice *d)
{
    static const char *const pieces[] = { "a",   "Z", "/", " ", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8c\xa1",
                                          "\x01" };
    return random_pieces(d, pieces, COUNT_OF(pieces), 0);
}

static struct span random_topic(struct dice *d)
{
    static const char *const pieces[] = { "a", "b/", "/", "$x", "\xc3\xa9" };
    return random_pieces(d, pieces, COUNT_OF(pieces), 1);
}

static struct topic_filter random_filter(struct dice *d)
{
    static const char *const some[] = {
        "#", "+", "a/+/b", "+/+", "a/#", "$share/g/a/+", "/", "sensor/+/\xc3\xa9/#"
    };
    return (struct topic_filter){ heads(d) ? random_topic(d) : span_of_str(some[roll(d, COUNT_OF(some))]) };
}

static struct span random_binary(struct dice *d, uint32_t max)
{
    size_t start = d->used, len = roll(d, max + 1);

    assert_true(d->used + len < sizeof d->text);
    for (size_t i = 0; i < len; i++)
        d->text[d->used++] = (char)roll(d, 256);
    return span_of(d->text + start, len);
}

/* ---- properties ---- */

#define SPANS(X)                                                     \
    X(PROP_CONTENT_TYPE, content_type, random_text(d))               \
    X(PROP_RESPONSE_TOPIC, response_topic, random_topic(d))          \
    X(PROP_CORRELATION_DATA, correlation_data, random_binary(d, 40)) \
    X(PROP_ASSIGNED_CLIENT_ID, assigned_client_id, random_text(d))   \
    X(PROP_AUTH_METHOD, auth_method, random_text(d))                 \
    X(PROP_AUTH_DATA, auth_data, random_binary(d, 300))              \
    X(PROP_RESPONSE_INFO, response_info, random_text(d))             \
    X(PROP_SERVER_REFERENCE, server_reference, random_text(d))       \
    X(PROP_REASON_STRING, reason_string, random_text(d))
#define NUMBERS(X)                                                                    \
    X(PROP_PAYLOAD_FORMAT, payload_format, (uint8_t)roll(d, 2))                       \
    X(PROP_MESSAGE_EXPIRY, message_expiry_s, roll(d, UINT32_MAX))                     \
    X(PROP_SESSION_EXPIRY, session_expiry_s, roll(d, UINT32_MAX))                     \
    X(PROP_SERVER_KEEP_ALIVE, server_keep_alive_s, (uint16_t)roll(d, 65536))          \
    X(PROP_REQUEST_PROBLEM_INFO, request_problem_info, (uint8_t)roll(d, 2))           \
    X(PROP_WILL_DELAY, will_delay_s, roll(d, UINT32_MAX))                             \
    X(PROP_REQUEST_RESPONSE_INFO, request_response_info, (uint8_t)roll(d, 2))         \
    X(PROP_RECEIVE_MAXIMUM, receive_maximum, (uint16_t)(1 + roll(d, 65535)))          \
    X(PROP_TOPIC_ALIAS_MAXIMUM, topic_alias_maximum, (uint16_t)roll(d, 65536))        \
    X(PROP_TOPIC_ALIAS, topic_alias, (uint16_t)(1 + roll(d, 65535)))                  \
    X(PROP_MAXIMUM_QOS, maximum_qos, (uint8_t)roll(d, 2))                             \
    X(PROP_RETAIN_AVAILABLE, retain_available, (uint8_t)roll(d, 2))                   \
    X(PROP_MAXIMUM_PACKET_SIZE, maximum_packet_size, 1 + roll(d, UINT32_MAX))         \
    X(PROP_WILDCARD_AVAILABLE, wildcard_available, (uint8_t)roll(d, 2))               \
    X(PROP_SUBSCRIPTION_ID_AVAILABLE, subscription_id_available, (uint8_t)roll(d, 2)) \
    X(PROP_SHARED_AVAILABLE, shared_available, (uint8_t)roll(d, 2))                   \
    X(PROP_SUBSCRIPTION_ID, subscription_id, 1 + roll(d, 268435455))

#define BIT(id) (UINT64_C(1) << (id))

/* Table 2-4 once more, by packet: the test does not ask the code under test. */
static uint64_t allowed(unsigned place, enum mqtt_side from)
{
    uint64_t message = BIT(PROP_PAYLOAD_FORMAT) | BIT(PROP_MESSAGE_EXPIRY) | BIT(PROP_CONTENT_TYPE) |
                       BIT(PROP_RESPONSE_TOPIC) | BIT(PROP_CORRELATION_DATA) | BIT(PROP_USER);
    uint64_t answer = BIT(PROP_REASON_STRING) | BIT(PROP_USER);
    uint64_t auth = BIT(PROP_AUTH_METHOD) | BIT(PROP_AUTH_DATA);
    uint64_t limits = BIT(PROP_SESSION_EXPIRY) | BIT(PROP_RECEIVE_MAXIMUM) | BIT(PROP_MAXIMUM_PACKET_SIZE) |
                      BIT(PROP_TOPIC_ALIAS_MAXIMUM);

    switch (place) {
    case IN_WILL:
        return message | BIT(PROP_WILL_DELAY);
    case MQTT_CONNECT:
        return limits | auth | BIT(PROP_USER) | BIT(PROP_REQUEST_PROBLEM_INFO) |
               BIT(PROP_REQUEST_RESPONSE_INFO);
    case MQTT_CONNACK:
        return limits | auth | answer | BIT(PROP_MAXIMUM_QOS) | BIT(PROP_RETAIN_AVAILABLE) |
               BIT(PROP_ASSIGNED_CLIENT_ID) | BIT(PROP_WILDCARD_AVAILABLE) |
               BIT(PROP_SUBSCRIPTION_ID_AVAILABLE) | BIT(PROP_SHARED_AVAILABLE) | BIT(PROP_SERVER_KEEP_ALIVE) |
               BIT(PROP_RESPONSE_INFO) | BIT(PROP_SERVER_REFERENCE);
    case MQTT_PUBLISH:
        return message | BIT(PROP_TOPIC_ALIAS) | (from == MQTT_FROM_SERVER ? BIT(PROP_SUBSCRIPTION_ID) : 0);
    case MQTT_SUBSCRIBE:
        return BIT(PROP_SUBSCRIPTION_ID) | BIT(PROP_USER);
    case MQTT_UNSUBSCRIBE:
        return BIT(PROP_USER);
    case MQTT_DISCONNECT:
        return answer | BIT(PROP_SERVER_REFERENCE) | (from == MQTT_FROM_CLIENT ? BIT(PROP_SESSION_EXPIRY) : 0);
    case MQTT_AUTH:
        return answer | auth;
    default:
        return answer;
    }
}

static void fill_properties(struct dice *d, unsigned place, enum mqtt_side from, struct mqtt_properties *p,
                            struct buf *raw)
{
    *p = (struct mqtt_properties){ 0 };
    if (d->version != MQTT_5)
        return;
    p->has = allowed(place, from) & ((uint64_t)roll(d, UINT32_MAX) << 32 | roll(d, UINT32_MAX));
    if (heads(d))
        p->has = 0;
    if (!mqtt_has(p, PROP_AUTH_METHOD))
        p->has &= ~BIT(PROP_AUTH_DATA);
#define FILL(id, field, value) \
    if (mqtt_has(p, id))       \
        p->field = value;
    SPANS(FILL)
    NUMBERS(FILL)
#undef FILL
    size_t start = raw->len;
    if (mqtt_has(p, PROP_USER))
        for (uint32_t i = roll(d, 4) + 1; i > 0; i--)
            mqtt_put_user_property(raw, random_text(d), random_text(d));
    if (place == MQTT_PUBLISH && mqtt_has(p, PROP_SUBSCRIPTION_ID)) {
        mqtt_put_subscription_id(raw, p->subscription_id);
        for (uint32_t i = roll(d, 3); i > 0; i--)
            mqtt_put_subscription_id(raw, 1 + roll(d, 1000));
    }
    assert_true(buf_ok(raw));
    p->raw = span_cut(buf_span(raw), start, SIZE_MAX);
}

static void check_repeated(const struct mqtt_properties *a, const struct mqtt_properties *b)
{
    struct span name[2], value[2];
    uint32_t id[2];
    size_t i = 0, j = 0;
    bool more;

    do { /* in order: [MQTT-3.3.2-18] */
        more = mqtt_next_user_property(a, &i, &name[0], &value[0]);
        assert_int_equal(mqtt_next_user_property(b, &j, &name[1], &value[1]), more);
        if (more)
            assert_true(span_eq(name[0], name[1]) && span_eq(value[0], value[1]));
    } while (more);
    i = j = 0;
    do {
        more = mqtt_next_subscription_id(a, &i, &id[0]);
        assert_int_equal(mqtt_next_subscription_id(b, &j, &id[1]), more);
        if (more)
            assert_int_equal(id[0], id[1]);
    } while (more);
}

static void check_properties(const struct mqtt_properties *a, const struct mqtt_properties *b, unsigned place)
{
    assert_int_equal(a->has, b->has);
#define SAME_SPAN(id, field, value)   assert_true(span_eq(a->field, b->field));
#define SAME_NUMBER(id, field, value) assert_int_equal(a->field, b->field);
    SPANS(SAME_SPAN)
    NUMBERS(SAME_NUMBER)
    if (place == MQTT_SUBSCRIBE) { /* not repeatable there: the field says it all */
        struct mqtt_properties x = *a, y = *b;
        x.has = y.has &= ~BIT(PROP_SUBSCRIPTION_ID);
        check_repeated(&x, &y);
    } else {
        check_repeated(a, b);
    }
}

/* ---- packets ---- */

struct made {
    struct any_packet packet;
    struct mqtt_publish_out publish;
    struct mqtt_subscription subscriptions[5];
    struct topic_filter filters[5];
    size_t count;
    struct buf raw;  /* user properties of the packet */
    struct buf ids;  /* subscription identifiers of a PUBLISH */
    struct buf sent; /* properties of a PUBLISH that travel with the message */
};

static uint8_t random_reason(struct dice *d, enum mqtt_packet_type type, enum mqtt_side from)
{
    uint8_t code;

    if (d->version != MQTT_5) { /* MQTT311 3.2.2.3, 3.9.3 */
        static const uint8_t granted[] = { 0, 1, 2, 0x80 };
        return type == MQTT_CONNACK ? (uint8_t)roll(d, 6) : type == MQTT_SUBACK ? granted[roll(d, 4)] : 0;
    }
    do
        code = (uint8_t)roll(d, 256);
    while (!mqtt_reason_allowed(type, from, code));
    return code;
}

static uint16_t random_id(struct dice *d)
{
    return (uint16_t)(1 + roll(d, 65535));
}

static void make_connect(struct dice *d, struct made *m)
{
    struct mqtt_connect *c = &m->packet.u.connect;

    c->version = d->version;
    c->clean_start = heads(d);
    c->has_will = heads(d);
    c->has_user_name = heads(d);
    c->has_password = heads(d) && (c->has_user_name || d->version == MQTT_5); /* MQTT311 [MQTT-3.1.2-22] */
    c->keep_alive_s = (uint16_t)roll(d, 65536);
    c->client_id = random_text(d);
    if (c->client_id.len == 0 && d->version != MQTT_5)
        c->clean_start = true; /* MQTT311 [MQTT-3.1.3-7] */
    fill_properties(d, MQTT_CONNECT, MQTT_FROM_CLIENT, &c->properties, &m->raw);
    if (c->has_will) {
        c->will.topic.s = random_topic(d);
        c->will.payload = random_binary(d, 300);
        c->will.qos = (uint8_t)roll(d, 3);
        c->will.retain = heads(d);
        fill_properties(d, IN_WILL, MQTT_FROM_CLIENT, &c->will.properties, &m->ids);
    }
    if (c->has_user_name)
        c->user_name = random_text(d);
    if (c->has_password)
        c->password = random_binary(d, 100);
    mqtt_write_connect(&m->sent, c);
}

static void make_publish(struct dice *d, struct made *m, enum mqtt_side from, struct buf *out)
{
    struct mqtt_publish *p = &m->packet.u.publish;
    struct mqtt_publish_out *o = &m->publish;
    uint32_t id;

    p->qos = (uint8_t)roll(d, 3);
    p->retain = heads(d);
    p->dup = p->qos > 0 && heads(d);
    p->packet_id = p->qos > 0 ? random_id(d) : 0;
    fill_properties(d, MQTT_PUBLISH, from, &p->properties, &m->raw);
    if (!mqtt_has(&p->properties, PROP_TOPIC_ALIAS) || heads(d))
        p->topic.s = random_topic(d);
    p->payload = random_binary(d, 20000);
    mqtt_put_message_properties(&m->sent, &p->properties);
    for (size_t at = 0; mqtt_next_subscription_id(&p->properties, &at, &id);)
        mqtt_put_subscription_id(&m->ids, id);
    *o = (struct mqtt_publish_out){ .qos = p->qos,
                                    .retain = p->retain,
                                    .dup = p->dup,
                                    .has_message_expiry = mqtt_has(&p->properties, PROP_MESSAGE_EXPIRY),
                                    .message_expiry_s = p->properties.message_expiry_s,
                                    .packet_id = p->packet_id,
                                    .topic_alias = p->properties.topic_alias,
                                    .topic = p->topic.s,
                                    .subscription_ids = buf_span(&m->ids),
                                    .properties = buf_span(&m->sent),
                                    .payload = p->payload };
    mqtt_write_publish(out, d->version, o);
    assert_int_equal(out->len, mqtt_publish_size(o, d->version));
}

static void make_subscribe(struct dice *d, struct made *m, struct buf *out)
{
    struct mqtt_subscribe *s = &m->packet.u.subscribe;

    s->packet_id = random_id(d);
    m->count = s->count = 1 + roll(d, COUNT_OF(m->subscriptions));
    fill_properties(d, MQTT_SUBSCRIBE, MQTT_FROM_CLIENT, &s->properties, &m->raw);
    for (size_t i = 0; i < s->count; i++) {
        struct mqtt_subscription *sub = &m->subscriptions[i];
        *sub = (struct mqtt_subscription){ random_filter(d), (uint8_t)roll(d, 3), false, heads(d),
                                           (uint8_t)roll(d, 3) };
        sub->no_local = !topic_filter_is_shared(sub->filter) && heads(d);
        if (d->version != MQTT_5) /* the QoS is all there is */
            *sub = (struct mqtt_subscription){ .filter = sub->filter, .qos = sub->qos };
    }
    mqtt_write_subscribe(out, d->version, s->packet_id, &s->properties, m->subscriptions, s->count);
}

static void make_unsubscribe(struct dice *d, struct made *m, struct buf *out)
{
    struct mqtt_unsubscribe *u = &m->packet.u.unsubscribe;

    u->packet_id = random_id(d);
    m->count = u->count = 1 + roll(d, COUNT_OF(m->filters));
    fill_properties(d, MQTT_UNSUBSCRIBE, MQTT_FROM_CLIENT, &u->properties, &m->raw);
    for (size_t i = 0; i < u->count; i++)
        m->filters[i] = random_filter(d);
    mqtt_write_unsubscribe(out, d->version, u->packet_id, &u->properties, m->filters, u->count);
}

static void make_suback(struct dice *d, struct made *m)
{
    struct mqtt_suback *s = &m->packet.u.suback;
    size_t start = d->used;

    s->type = m->packet.frame.type;
    s->packet_id = random_id(d);
    fill_properties(d, s->type, MQTT_FROM_SERVER, &s->properties, &m->raw);
    start = d->used;
    if (s->type == MQTT_UNSUBACK && d->version != MQTT_5) /* MQTT311 3.11.3 */
        return;
    for (uint32_t i = 1 + roll(d, 6); i > 0; i--)
        d->text[d->used++] = (char)random_reason(d, s->type, MQTT_FROM_SERVER);
    s->reasons = span_of(d->text + start, d->used - start);
}

static void make_other(struct dice *d, struct made *m, enum mqtt_side from)
{
    struct any_packet *p = &m->packet;
    enum mqtt_packet_type type = p->frame.type;

    switch (type) {
    case MQTT_CONNACK:
        p->u.connack.reason = random_reason(d, type, from);
        p->u.connack.session_present = p->u.connack.reason == 0 && heads(d);
        fill_properties(d, type, from, &p->u.connack.properties, &m->raw);
        break;
    case MQTT_DISCONNECT:
        p->u.disconnect.reason = random_reason(d, type, from);
        fill_properties(d, type, from, &p->u.disconnect.properties, &m->raw);
        break;
    case MQTT_AUTH:
        p->u.auth.reason = random_reason(d, type, from);
        fill_properties(d, type, from, &p->u.auth.properties, &m->raw);
        p->u.auth.properties.auth_method = random_text(d);
        mqtt_set(&p->u.auth.properties, PROP_AUTH_METHOD);
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        make_suback(d, m);
        break;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        break;
    default:
        p->u.ack = (struct mqtt_ack){ .type = type,
                                      .packet_id = random_id(d),
                                      .reason = random_reason(d, type, from) };
        fill_properties(d, type, from, &p->u.ack.properties, &m->raw);
    }
}

/* A random packet and its bytes. */
static void make(struct dice *d, enum mqtt_packet_type type, enum mqtt_side from, struct made *m,
                 struct buf *out)
{
    d->used = 0;
    memset(&m->packet, 0, sizeof m->packet);
    buf_reset(&m->raw);
    buf_reset(&m->ids);
    buf_reset(&m->sent);
    m->packet.version = d->version;
    m->packet.frame.type = type;
    m->packet.frame.from = from;
    if (type == MQTT_CONNECT) {
        make_connect(d, m);
        put_bytes(out, buf_span(&m->sent));
    } else if (type == MQTT_PUBLISH) {
        make_publish(d, m, from, out);
    } else if (type == MQTT_SUBSCRIBE) {
        make_subscribe(d, m, out);
    } else if (type == MQTT_UNSUBSCRIBE) {
        make_unsubscribe(d, m, out);
    } else {
        make_other(d, m, from);
        any_packet_write(out, &m->packet);
    }
    assert_true(buf_ok(out));
}

static void check_connect(const struct mqtt_connect *a, const struct mqtt_connect *b)
{
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->clean_start, b->clean_start);
    assert_int_equal(a->has_will, b->has_will);
    assert_int_equal(a->has_user_name, b->has_user_name);
    assert_int_equal(a->has_password, b->has_password);
    assert_int_equal(a->keep_alive_s, b->keep_alive_s);
    assert_int_equal(a->will.qos, b->will.qos);
    assert_int_equal(a->will.retain, b->will.retain);
    assert_true(span_eq(a->client_id, b->client_id));
    assert_true(span_eq(a->will.topic.s, b->will.topic.s));
    assert_true(span_eq(a->will.payload, b->will.payload));
    assert_true(span_eq(a->user_name, b->user_name));
    assert_true(span_eq(a->password, b->password));
    check_properties(&a->properties, &b->properties, MQTT_CONNECT);
    check_properties(&a->will.properties, &b->will.properties, IN_WILL);
}

static void check_publish(const struct mqtt_publish *a, const struct mqtt_publish *b)
{
    assert_int_equal(a->qos, b->qos);
    assert_int_equal(a->retain, b->retain);
    assert_int_equal(a->dup, b->dup);
    assert_int_equal(a->packet_id, b->packet_id);
    assert_true(span_eq(a->topic.s, b->topic.s));
    assert_true(span_eq(a->payload, b->payload));
    check_properties(&a->properties, &b->properties, MQTT_PUBLISH);
}

static void check_subscribe(const struct made *m, const struct mqtt_subscribe *b)
{
    const struct mqtt_subscribe *a = &m->packet.u.subscribe;
    struct mqtt_subscription got;
    size_t at = 0;

    assert_int_equal(a->packet_id, b->packet_id);
    assert_int_equal(m->count, b->count);
    for (size_t i = 0; i < m->count; i++) {
        const struct mqtt_subscription *want = &m->subscriptions[i];
        assert_true(mqtt_next_subscription(b, &at, &got));
        assert_true(span_eq(want->filter.s, got.filter.s));
        assert_int_equal(want->qos, got.qos);
        assert_int_equal(want->no_local, got.no_local);
        assert_int_equal(want->retain_as_published, got.retain_as_published);
        assert_int_equal(want->retain_handling, got.retain_handling);
    }
    assert_false(mqtt_next_subscription(b, &at, &got));
    check_properties(&a->properties, &b->properties, MQTT_SUBSCRIBE);
}

static void check_unsubscribe(const struct made *m, const struct mqtt_unsubscribe *b)
{
    const struct mqtt_unsubscribe *a = &m->packet.u.unsubscribe;
    struct topic_filter got;
    size_t at = 0;

    assert_int_equal(a->packet_id, b->packet_id);
    assert_int_equal(m->count, b->count);
    for (size_t i = 0; i < m->count; i++) {
        assert_true(mqtt_next_unsubscription(b, &at, &got));
        assert_true(span_eq(m->filters[i].s, got.s));
    }
    assert_false(mqtt_next_unsubscription(b, &at, &got));
    check_properties(&a->properties, &b->properties, MQTT_UNSUBSCRIBE);
}

static void check(const struct made *m, const struct any_packet *read)
{
    const struct any_packet *made = &m->packet;
    enum mqtt_packet_type type = made->frame.type;

    assert_int_equal(type, read->frame.type);
    switch (type) {
    case MQTT_CONNECT:
        check_connect(&made->u.connect, &read->u.connect);
        break;
    case MQTT_CONNACK:
        assert_int_equal(made->u.connack.reason, read->u.connack.reason);
        assert_int_equal(made->u.connack.session_present, read->u.connack.session_present);
        check_properties(&made->u.connack.properties, &read->u.connack.properties, type);
        break;
    case MQTT_PUBLISH:
        check_publish(&made->u.publish, &read->u.publish);
        break;
    case MQTT_SUBSCRIBE:
        check_subscribe(m, &read->u.subscribe);
        break;
    case MQTT_UNSUBSCRIBE:
        check_unsubscribe(m, &read->u.unsubscribe);
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        assert_int_equal(made->u.suback.packet_id, read->u.suback.packet_id);
        assert_true(span_eq(made->u.suback.reasons, read->u.suback.reasons));
        check_properties(&made->u.suback.properties, &read->u.suback.properties, type);
        break;
    case MQTT_DISCONNECT:
        assert_int_equal(made->u.disconnect.reason, read->u.disconnect.reason);
        check_properties(&made->u.disconnect.properties, &read->u.disconnect.properties, type);
        break;
    case MQTT_AUTH:
        assert_int_equal(made->u.auth.reason, read->u.auth.reason);
        check_properties(&made->u.auth.properties, &read->u.auth.properties, type);
        break;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        break;
    default:
        assert_int_equal(made->u.ack.packet_id, read->u.ack.packet_id);
        assert_int_equal(made->u.ack.reason, read->u.ack.reason);
        check_properties(&made->u.ack.properties, &read->u.ack.properties, type);
    }
}

/* ---- tests ---- */

static bool may_send(enum mqtt_version version, enum mqtt_packet_type type, enum mqtt_side from)
{
    if (version != MQTT_5 && (type == MQTT_AUTH || (type == MQTT_DISCONNECT && from == MQTT_FROM_SERVER)))
        return false; /* MQTT311 2.2.1 */
    switch (type) {
    case MQTT_CONNECT:
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
    case MQTT_PINGREQ:
        return from == MQTT_FROM_CLIENT;
    case MQTT_CONNACK:
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
    case MQTT_PINGRESP:
        return from == MQTT_FROM_SERVER;
    default:
        return true;
    }
}

static void each_packet_of(enum mqtt_version version,
                           void (*test)(struct dice *d, struct made *m, struct span bytes), unsigned rounds)
{
    struct dice *d = calloc(1, sizeof *d);
    struct made m = { 0 };
    struct buf out;

    assert_non_null(d);
    d->x = SEED;
    d->version = version;
    buf_init(&out, 200000);
    buf_init(&m.raw, 100000);
    buf_init(&m.ids, 100000);
    buf_init(&m.sent, 100000);
    for (unsigned type = MQTT_CONNECT; type < MQTT_PACKET_TYPES; type++) {
        for (unsigned side = MQTT_FROM_CLIENT; side <= MQTT_FROM_SERVER; side++) {
            if (!may_send(version, (enum mqtt_packet_type)type, (enum mqtt_side)side))
                continue;
            for (unsigned i = 0; i < rounds; i++) {
                buf_reset(&out);
                make(d, (enum mqtt_packet_type)type, (enum mqtt_side)side, &m, &out);
                test(d, &m, buf_span(&out));
            }
        }
    }
    buf_done(&out);
    buf_done(&m.raw);
    buf_done(&m.ids);
    buf_done(&m.sent);
    free(d);
}

static void each_packet(void (*test)(struct dice *d, struct made *m, struct span bytes), unsigned rounds)
{
    each_packet_of(MQTT_5, test, rounds);
    each_packet_of(MQTT_3_1_1, test, rounds);
}

static void round_trip(struct dice *d, struct made *m, struct span bytes)
{
    struct any_packet read;
    struct why why = { 0 };

    memset(&read, 0, sizeof read);
    enum status st =
        any_packet_read_as(d->version, bytes, m->packet.frame.from, MQTT_PACKET_SIZE_MAX, &read, &why);
    if (st != ST_OK)
        fail_msg("%s: %s %s at %zu", mqtt_packet_name(m->packet.frame.type), why.clause, why.text, why.at);
    assert_int_equal(read.frame.total_len, bytes.len);
    check(m, &read);
}

static void what_was_written_is_read_again(void **state UNUSED)
{
    each_packet(round_trip, ROUNDS);
}

/* A prefix is never wrong by itself: the rest may still come. */
static void prefixes(struct dice *d, struct made *m, struct span bytes)
{
    struct any_packet read;

    for (size_t len = 0; len < bytes.len; len += len < 400 ? 1 : 97) {
        uint8_t *copy = malloc(len > 0 ? len : 1);
        assert_non_null(copy);
        memcpy(copy, bytes.p, len);
        assert_int_equal(any_packet_read_as(d->version, span_of(copy, len), m->packet.frame.from,
                                            MQTT_PACKET_SIZE_MAX, &read, NULL),
                         ST_PENDING);
        free(copy);
    }
}

static void a_beginning_of_a_packet_waits_for_the_rest(void **state UNUSED)
{
    each_packet(prefixes, 20);
}

/* What may still be a packet when its end is missing: a payload, codes or filters cut short between two of them,
 * and the parts that MQTT 5 lets a sender leave out. Everything else must be refused. */
static bool may_survive_cutting(const struct made *m)
{
    switch (m->packet.frame.type) {
    case MQTT_CONNECT:
    case MQTT_CONNACK:
        return false;
    default:
        return true;
    }
}

/* The same packet with its body cut short and the Remaining Length saying so. */
static void cuts(struct dice *d, struct made *m, struct span bytes)
{
    struct any_packet *whole = calloc(1, sizeof *whole);
    struct any_packet read;

    assert_non_null(whole);
    assert_int_equal(
        any_packet_read_as(d->version, bytes, m->packet.frame.from, MQTT_PACKET_SIZE_MAX, whole, NULL), ST_OK);
    struct span body = whole->frame.body;
    for (size_t len = 0; len < body.len; len += len < 400 ? 1 : 97) {
        uint8_t *copy = malloc(len > 0 ? len : 1);
        struct why why = { 0 };
        assert_non_null(copy);
        memcpy(copy, body.p, len);
        read.version = d->version;
        read.frame = whole->frame;
        read.frame.body = span_of(copy, len);
        enum status st = any_packet_body(&read, &why);
        if (st != ST_OK) {
            assert_true(st == ST_MALFORMED || st == ST_PROTOCOL);
            assert_non_null(why.clause);
            assert_true(why.at <= read.frame.head_len + len);
        } else {
            assert_true(may_survive_cutting(m));
        }
        free(copy);
    }
    free(whole);
}

static void a_packet_cut_short_is_refused_or_a_shorter_packet(void **state UNUSED)
{
    each_packet(cuts, 40);
}

static void changes(struct dice *d, struct made *m, struct span bytes)
{
    uint8_t *copy = malloc(bytes.len);
    struct any_packet read;

    assert_non_null(copy);
    for (int i = 0; i < 30; i++) {
        struct why why = { 0 };
        memcpy(copy, bytes.p, bytes.len);
        for (uint32_t k = roll(d, 3) + 1; k > 0; k--)
            copy[roll(d, bytes.len < 200 ? (uint32_t)bytes.len : 200)] = (uint8_t)roll(d, 256);
        enum status st = any_packet_read_as(d->version, span_of(copy, bytes.len), m->packet.frame.from,
                                            MQTT_PACKET_SIZE_MAX, &read, &why);
        if (st != ST_OK && st != ST_PENDING) {
            assert_non_null(why.clause);
            assert_true(why.at <= bytes.len);
        }
    }
    free(copy);
}

static void changed_bytes_are_read_or_refused_and_nothing_else(void **state UNUSED)
{
    each_packet(changes, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_again),
        cmocka_unit_test(a_beginning_of_a_packet_waits_for_the_rest),
        cmocka_unit_test(a_packet_cut_short_is_refused_or_a_shorter_packet),
        cmocka_unit_test(changed_bytes_are_read_or_refused_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
