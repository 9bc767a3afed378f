/* The packet vectors of tests/vectors/mqtt against the codec: what is refused and with which code, what is read, and that
 * writing it again gives the same bytes. The expectations come from the tables of the standard in standard.py there. */
#include "mqtt/any_packet_priv.h"

#include "support/packet_vectors.h"

/* ---- what was read, member by member ---- */

struct members {
    const struct packet_vector *row;
    const struct js *object;
    size_t seen;
};

static void same_number(struct members *m, const char *name, int64_t number)
{
    int64_t expected = -1;

    CHECK(m->row, js_get_i64(m->object, name, &expected));
    if (expected != number)
        fail_msg("%.*s: %s is %lld, not %lld", m->row->id_len, m->row->id, name, (long long)number,
                 (long long)expected);
    m->seen++;
}

static void same_bool(struct members *m, const char *name, bool value)
{
    bool expected = !value;

    CHECK(m->row, js_get_bool(m->object, name, &expected));
    CHECK(m->row, expected == value);
    m->seen++;
}

/* A string, or {"bytes": how many} where it is long. */
static void same_text_value(const struct packet_vector *row, const struct js *value, struct span text)
{
    struct span expected;
    int64_t len = -1;

    if (js_is(value, JS_OBJECT)) {
        CHECK(row, js_get_i64(value, "bytes", &len) && len == (int64_t)text.len);
        return;
    }
    CHECK(row, js_as_str(value, &expected));
    CHECK(row, span_eq(expected, text));
}

static void same_text(struct members *m, const char *name, struct span text)
{
    same_text_value(m->row, js_get(m->object, name), text);
    m->seen++;
}

static void same_binary(struct members *m, const char *name, struct span bytes)
{
    const struct js *value = js_get(m->object, name);
    CLEANUP(buf_done)
    struct buf expected;

    buf_init(&expected, PACKET_VECTOR_ROOM);
    if (js_is(value, JS_OBJECT)) {
        same_text_value(m->row, value, bytes);
    } else {
        packet_vector_unhex(vector_str(m->object, name), &expected);
        CHECK(m->row, span_eq(buf_span(&expected), bytes));
    }
    m->seen++;
}

static void all_seen(const struct members *m)
{
    if (js_size(m->object) != m->seen)
        fail_msg("%.*s: %zu members were read, not %zu", m->row->id_len, m->row->id, m->seen,
                 js_size(m->object));
}

/* ---- properties ---- */

enum form { NUMBER8, NUMBER16, NUMBER32, TEXT, BINARY };

/* clang-format off */
static const struct {
    enum mqtt_property id;
    const char *name;
    enum form form;
    size_t field;
} properties[] = {
#define F(member) offsetof(struct mqtt_properties, member)
    { PROP_PAYLOAD_FORMAT,            "payload_format",            NUMBER8,  F(payload_format)            },
    { PROP_MESSAGE_EXPIRY,            "message_expiry",            NUMBER32, F(message_expiry_s)          },
    { PROP_CONTENT_TYPE,              "content_type",              TEXT,     F(content_type)              },
    { PROP_RESPONSE_TOPIC,            "response_topic",            TEXT,     F(response_topic)            },
    { PROP_CORRELATION_DATA,          "correlation_data",          BINARY,   F(correlation_data)          },
    { PROP_SESSION_EXPIRY,            "session_expiry",            NUMBER32, F(session_expiry_s)          },
    { PROP_ASSIGNED_CLIENT_ID,        "assigned_client_id",        TEXT,     F(assigned_client_id)        },
    { PROP_SERVER_KEEP_ALIVE,         "server_keep_alive",         NUMBER16, F(server_keep_alive_s)       },
    { PROP_AUTH_METHOD,               "authentication_method",     TEXT,     F(auth_method)               },
    { PROP_AUTH_DATA,                 "authentication_data",       BINARY,   F(auth_data)                 },
    { PROP_REQUEST_PROBLEM_INFO,      "request_problem",           NUMBER8,  F(request_problem_info)      },
    { PROP_WILL_DELAY,                "will_delay",                NUMBER32, F(will_delay_s)              },
    { PROP_REQUEST_RESPONSE_INFO,     "request_response",          NUMBER8,  F(request_response_info)     },
    { PROP_RESPONSE_INFO,             "response_information",      TEXT,     F(response_info)             },
    { PROP_SERVER_REFERENCE,          "server_reference",          TEXT,     F(server_reference)          },
    { PROP_REASON_STRING,             "reason_string",             TEXT,     F(reason_string)             },
    { PROP_RECEIVE_MAXIMUM,           "receive_maximum",           NUMBER16, F(receive_maximum)           },
    { PROP_TOPIC_ALIAS_MAXIMUM,       "topic_alias_maximum",       NUMBER16, F(topic_alias_maximum)       },
    { PROP_TOPIC_ALIAS,               "topic_alias",               NUMBER16, F(topic_alias)               },
    { PROP_MAXIMUM_QOS,               "maximum_qos",               NUMBER8,  F(maximum_qos)               },
    { PROP_RETAIN_AVAILABLE,          "retain_available",          NUMBER8,  F(retain_available)          },
    { PROP_MAXIMUM_PACKET_SIZE,       "maximum_packet_size",       NUMBER32, F(maximum_packet_size)       },
    { PROP_WILDCARD_AVAILABLE,        "wildcard_available",        NUMBER8,  F(wildcard_available)        },
    { PROP_SUBSCRIPTION_ID_AVAILABLE, "subscription_id_available", NUMBER8,  F(subscription_id_available) },
    { PROP_SHARED_AVAILABLE,          "shared_available",          NUMBER8,  F(shared_available)          },
#undef F
};
/* clang-format on */

static void same_property(struct members *m, size_t i, const struct mqtt_properties *p)
{
    const char *field = (const char *)p + properties[i].field;

    switch (properties[i].form) {
    case NUMBER8:
        same_number(m, properties[i].name, *(const uint8_t *)field);
        break;
    case NUMBER16:
        same_number(m, properties[i].name, *(const uint16_t *)(const void *)field);
        break;
    case NUMBER32:
        same_number(m, properties[i].name, *(const uint32_t *)(const void *)field);
        break;
    case TEXT:
        same_text(m, properties[i].name, *(const struct span *)(const void *)field);
        break;
    case BINARY:
        same_binary(m, properties[i].name, *(const struct span *)(const void *)field);
        break;
    }
}

/* The repeatable ones, in the order they came. */
static void same_repeated(struct members *m, const struct mqtt_properties *p, bool in_publish)
{
    const struct js *users = js_get(m->object, "user_property"), *ids = js_get(m->object, "subscription_id");
    struct span name, value;
    size_t count = 0;
    int64_t expected = 0;
    uint32_t id;

    for (size_t at = 0; mqtt_next_user_property(p, &at, &name, &value); count++) {
        same_text_value(m->row, js_at(js_at(users, count), 0), name);
        same_text_value(m->row, js_at(js_at(users, count), 1), value);
    }
    CHECK(m->row, count == js_size(users));
    m->seen += count > 0;
    if (!in_publish && mqtt_has(p, PROP_SUBSCRIPTION_ID)) {
        same_number(m, "subscription_id", p->subscription_id);
        return;
    }
    count = 0;
    for (size_t at = 0; mqtt_next_subscription_id(p, &at, &id); count++)
        CHECK(m->row, js_as_i64(js_at(ids, count), &expected) && expected == id);
    CHECK(m->row, count == js_size(ids));
    m->seen += count > 0;
}

static void same_properties(struct members *of, const struct mqtt_properties *p, bool in_publish)
{
    struct members m = { of->row, js_get(of->object, "properties"), 0 };

    if (m.object == NULL) {
        CHECK(of->row, p->has == 0);
        return;
    }
    of->seen++;
    for (size_t i = 0; i < COUNT_OF(properties); i++)
        if (mqtt_has(p, properties[i].id))
            same_property(&m, i, p);
    same_repeated(&m, p, in_publish);
    all_seen(&m);
}

/* ---- packets ---- */

static void same_connect(struct members *m, const struct mqtt_connect *c)
{
    same_number(m, "protocol_version", c->version);
    same_bool(m, "clean_start", c->clean_start);
    same_number(m, "keep_alive", c->keep_alive_s);
    same_properties(m, &c->properties, false);
    same_text(m, "client_id", c->client_id);
    if (c->has_user_name)
        same_text(m, "user_name", c->user_name);
    if (c->has_password)
        same_binary(m, "password", c->password);
    if (c->has_will) {
        struct members will = { m->row, js_get(m->object, "will"), 0 };
        same_number(&will, "qos", c->will.qos);
        same_bool(&will, "retain", c->will.retain);
        same_text(&will, "topic", c->will.topic.s);
        same_binary(&will, "payload", c->will.payload);
        same_properties(&will, &c->will.properties, false);
        all_seen(&will);
        m->seen++;
    }
}

static void same_publish(struct members *m, const struct mqtt_publish *p)
{
    same_bool(m, "dup", p->dup);
    same_number(m, "qos", p->qos);
    same_bool(m, "retain", p->retain);
    same_text(m, "topic", p->topic.s);
    if (p->qos > 0)
        same_number(m, "packet_id", p->packet_id);
    same_properties(m, &p->properties, true);
    same_binary(m, "payload", p->payload);
}

static void same_subscribe(struct members *m, const struct mqtt_subscribe *s)
{
    const struct js *filters = js_get(m->object, "filters");
    struct mqtt_subscription sub;
    size_t count = 0;
    int64_t options = 0;

    same_number(m, "packet_id", s->packet_id);
    same_properties(m, &s->properties, false);
    for (size_t at = 0; mqtt_next_subscription(s, &at, &sub); count++) {
        same_text_value(m->row, js_at(js_at(filters, count), 0), sub.filter.s);
        CHECK(m->row, js_as_i64(js_at(js_at(filters, count), 1), &options));
        CHECK(m->row, options == (sub.qos | (sub.no_local ? 4 : 0) | (sub.retain_as_published ? 8 : 0) |
                                  sub.retain_handling << 4));
    }
    CHECK(m->row, count == s->count && count == js_size(filters));
    m->seen++;
}

static void same_unsubscribe(struct members *m, const struct mqtt_unsubscribe *u)
{
    const struct js *filters = js_get(m->object, "filters");
    struct topic_filter filter;
    size_t count = 0;

    same_number(m, "packet_id", u->packet_id);
    same_properties(m, &u->properties, false);
    for (size_t at = 0; mqtt_next_unsubscription(u, &at, &filter); count++)
        same_text_value(m->row, js_at(filters, count), filter.s);
    CHECK(m->row, count == u->count && count == js_size(filters));
    m->seen++;
}

static void same_suback(struct members *m, const struct mqtt_suback *s)
{
    const struct js *reasons = js_get(m->object, "reasons");
    int64_t code = -1;

    same_number(m, "packet_id", s->packet_id);
    same_properties(m, &s->properties, false);
    CHECK(m->row, js_size(reasons) == s->reasons.len);
    for (size_t i = 0; i < s->reasons.len; i++)
        CHECK(m->row, js_as_i64(js_at(reasons, i), &code) && code == s->reasons.p[i]);
    m->seen += reasons != NULL;
}

static void same_packet(const struct packet_vector *row, const struct any_packet *p)
{
    struct members m = { row, js_get(row->js, "ok"), 0 };

    same_text(&m, "packet", span_of_str(mqtt_packet_name(p->frame.type)));
    switch (p->frame.type) {
    case MQTT_CONNECT:
        same_connect(&m, &p->u.connect);
        break;
    case MQTT_CONNACK:
        same_bool(&m, "session_present", p->u.connack.session_present);
        same_number(&m, "reason", p->u.connack.reason);
        same_properties(&m, &p->u.connack.properties, false);
        break;
    case MQTT_PUBLISH:
        same_publish(&m, &p->u.publish);
        break;
    case MQTT_SUBSCRIBE:
        same_subscribe(&m, &p->u.subscribe);
        break;
    case MQTT_UNSUBSCRIBE:
        same_unsubscribe(&m, &p->u.unsubscribe);
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        same_suback(&m, &p->u.suback);
        break;
    case MQTT_DISCONNECT:
        if (row->version == MQTT_5)
            same_number(&m, "reason", p->u.disconnect.reason);
        same_properties(&m, &p->u.disconnect.properties, false);
        break;
    case MQTT_AUTH:
        same_number(&m, "reason", p->u.auth.reason);
        same_properties(&m, &p->u.auth.properties, false);
        break;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        break;
    default:
        same_number(&m, "packet_id", p->u.ack.packet_id);
        if (row->version == MQTT_5)
            same_number(&m, "reason", p->u.ack.reason);
        same_properties(&m, &p->u.ack.properties, false);
        break;
    }
    all_seen(&m);
}

/* ---- writing again ---- */

#define FILTERS 64

static void write_subscribe(struct buf *out, enum mqtt_version version, const struct mqtt_subscribe *s)
{
    struct mqtt_subscription subs[FILTERS];
    size_t count = 0;

    for (size_t at = 0; count < FILTERS && mqtt_next_subscription(s, &at, &subs[count]);)
        count++;
    mqtt_write_subscribe(out, version, s->packet_id, &s->properties, subs, count);
}

static void write_unsubscribe(struct buf *out, enum mqtt_version version, const struct mqtt_unsubscribe *u)
{
    struct topic_filter filters[FILTERS];
    size_t count = 0;

    for (size_t at = 0; count < FILTERS && mqtt_next_unsubscription(u, &at, &filters[count]);)
        count++;
    mqtt_write_unsubscribe(out, version, u->packet_id, &u->properties, filters, count);
}

static void write_publish(struct buf *out, enum mqtt_version version, const struct mqtt_publish *p)
{
    CLEANUP(buf_done)
    struct buf ids;
    CLEANUP(buf_done)
    struct buf travelling;
    struct mqtt_publish_out again = { .qos = p->qos,
                                      .retain = p->retain,
                                      .dup = p->dup,
                                      .packet_id = p->packet_id,
                                      .topic = p->topic.s,
                                      .payload = p->payload,
                                      .topic_alias = p->properties.topic_alias,
                                      .has_message_expiry = mqtt_has(&p->properties, PROP_MESSAGE_EXPIRY),
                                      .message_expiry_s = p->properties.message_expiry_s };
    uint32_t id;

    buf_init(&ids, PACKET_VECTOR_ROOM);
    buf_init(&travelling, PACKET_VECTOR_ROOM);
    for (size_t at = 0; mqtt_next_subscription_id(&p->properties, &at, &id);)
        mqtt_put_subscription_id(&ids, id);
    mqtt_put_message_properties(&travelling, &p->properties);
    again.subscription_ids = buf_span(&ids);
    again.properties = buf_span(&travelling);
    mqtt_write_publish(out, version, &again);
}

/* PUBLISH puts what belongs to one sending first: the same packet, not always the same bytes. */
static bool own_order(const struct any_packet *p)
{
    const struct mqtt_properties *of = &p->u.publish.properties;

    return p->frame.type == MQTT_PUBLISH &&
           (mqtt_has(of, PROP_MESSAGE_EXPIRY) || mqtt_has(of, PROP_TOPIC_ALIAS) ||
            mqtt_has(of, PROP_SUBSCRIPTION_ID));
}

static void write_again(const struct packet_vector *row, const struct any_packet *p)
{
    CLEANUP(buf_done)
    struct buf out;
    struct any_packet again;
    struct why why;

    buf_init(&out, PACKET_VECTOR_ROOM);
    if (p->frame.type == MQTT_PUBLISH)
        write_publish(&out, row->version, &p->u.publish);
    else if (p->frame.type == MQTT_SUBSCRIBE)
        write_subscribe(&out, row->version, &p->u.subscribe);
    else if (p->frame.type == MQTT_UNSUBSCRIBE)
        write_unsubscribe(&out, row->version, &p->u.unsubscribe);
    else
        any_packet_write(&out, p);
    CHECK(row, buf_ok(&out));
    if (packet_vector_is(row, "canonical") && !own_order(p))
        CHECK(row, span_eq(buf_span(&out), span_cut(row->bytes, 0, p->frame.total_len)));
    CHECK(row, any_packet_read_as(row->version, buf_span(&out), row->from, MQTT_PACKET_SIZE_MAX, &again,
                                  &why) == ST_OK);
    same_packet(row, &again);
}

/* ---- rows ---- */

static void run_row(const struct packet_vector *row)
{
    struct any_packet p;
    struct why why = { 0 };
    enum status st = any_packet_read_as(row->version, row->bytes, row->from, MQTT_PACKET_SIZE_MAX, &p, &why);
    int64_t length = (int64_t)row->bytes.len;

    if (packet_vector_is(row, "incomplete")) {
        CHECK(row, st == ST_PENDING);
        return;
    }
    CHECK(row, st != ST_PENDING);
    if (js_get(row->js, "error") != NULL) {
        if (st == ST_OK) {
            CHECK(row, packet_vector_is(row, "may_accept"));
            return;
        }
        if (!packet_vector_allows(row, "error", st))
            fail_msg("%.*s: refused with 0x%02x (%s: %s)", row->id_len, row->id, status_mqtt5_code(st),
                     why.clause, why.text);
        CHECK(row, why.clause != NULL && why.text != NULL && why.at <= row->bytes.len);
        return;
    }
    if (st != ST_OK && js_get(row->js, "may_refuse") != NULL) {
        CHECK(row, packet_vector_allows(row, "may_refuse", st));
        return;
    }
    if (st != ST_OK)
        fail_msg("%.*s: refused, though right (%s: %s)", row->id_len, row->id, why.clause, why.text);
    (void)js_get_i64(row->js, "length", &length);
    CHECK(row, p.frame.total_len == (size_t)length);
    same_packet(row, &p);
    write_again(row, &p);
}

static void each_vector_is_read_refused_and_written_as_the_standard_says(void **state)
{
    (void)state;
    assert_true(packet_vectors_run(MQTT_FROM_CLIENT, run_row) >= 2000);
    assert_true(packet_vectors_run(MQTT_FROM_SERVER, run_row) >= 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_vector_is_read_refused_and_written_as_the_standard_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
