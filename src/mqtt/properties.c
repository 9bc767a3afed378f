#include "mqtt/properties.h"

#include "base/utf8.h"
#include "mqtt/packet_priv.h"

enum value_type { T_BYTE, T_U16, T_U32, T_VARINT, T_UTF8, T_BINARY, T_PAIR };
enum value_check { ANY, BOOL, NOT_ZERO, TOPIC };

#define NO_FIELD   SIZE_MAX
#define FIELD(f)   offsetof(struct mqtt_properties, f)
#define W(name)    IN(MQTT_##name)
#define WILL       IN(IN_WILL)
#define ALL_ACKS   (W(PUBACK) | W(PUBREC) | W(PUBREL) | W(PUBCOMP) | W(SUBACK) | W(UNSUBACK))
#define ANSWERS    (W(CONNACK) | ALL_ACKS | W(DISCONNECT) | W(AUTH))
#define EVERYWHERE (WILL | W(CONNECT) | W(PUBLISH) | W(SUBSCRIBE) | W(UNSUBSCRIBE) | ANSWERS)

struct property_rule {
    const char *name;
    enum value_type type;
    enum value_check check;
    size_t field;
    uint32_t may_appear, may_repeat;
    const char *section; /* where its value and "more than once" are spoken of */
};

/* clang-format off */
/* MQTT5 2.2.2.2, Table 2-4.
 * id       name                                type      value     field                           may appear in                            may repeat in  section */
static const struct property_rule rules[PROPERTIES] = {
    [0x01] = { "Payload Format Indicator",          T_BYTE,   BOOL,     FIELD(payload_format),          W(PUBLISH) | WILL,                       0,          "MQTT5 3.3.2.3.2"   },
    [0x02] = { "Message Expiry Interval",           T_U32,    ANY,      FIELD(message_expiry_s),        W(PUBLISH) | WILL,                       0,          "MQTT5 3.3.2.3.3"   },
    [0x03] = { "Content Type",                      T_UTF8,   ANY,      FIELD(content_type),            W(PUBLISH) | WILL,                       0,          "MQTT5 3.3.2.3.9"   },
    [0x08] = { "Response Topic",                    T_UTF8,   TOPIC,    FIELD(response_topic),          W(PUBLISH) | WILL,                       0,          "MQTT5 3.3.2.3.5"   },
    [0x09] = { "Correlation Data",                  T_BINARY, ANY,      FIELD(correlation_data),        W(PUBLISH) | WILL,                       0,          "MQTT5 3.3.2.3.6"   },
    [0x0B] = { "Subscription Identifier",           T_VARINT, NOT_ZERO, FIELD(subscription_id),         W(PUBLISH) | W(SUBSCRIBE),               W(PUBLISH), "MQTT5 3.8.2.1.2"   },
    [0x11] = { "Session Expiry Interval",           T_U32,    ANY,      FIELD(session_expiry_s),        W(CONNECT) | W(CONNACK) | W(DISCONNECT), 0,          "MQTT5 3.1.2.11.2"  },
    [0x12] = { "Assigned Client Identifier",        T_UTF8,   ANY,      FIELD(assigned_client_id),      W(CONNACK),                              0,          "MQTT5 3.2.2.3.7"   },
    [0x13] = { "Server Keep Alive",                 T_U16,    ANY,      FIELD(server_keep_alive_s),     W(CONNACK),                              0,          "MQTT5 3.2.2.3.14"  },
    [0x15] = { "Authentication Method",             T_UTF8,   ANY,      FIELD(auth_method),             W(CONNECT) | W(CONNACK) | W(AUTH),       0,          "MQTT5 3.1.2.11.9"  },
    [0x16] = { "Authentication Data",               T_BINARY, ANY,      FIELD(auth_data),               W(CONNECT) | W(CONNACK) | W(AUTH),       0,          "MQTT5 3.1.2.11.10" },
    [0x17] = { "Request Problem Information",       T_BYTE,   BOOL,     FIELD(request_problem_info),    W(CONNECT),                              0,          "MQTT5 3.1.2.11.7"  },
    [0x18] = { "Will Delay Interval",               T_U32,    ANY,      FIELD(will_delay_s),            WILL,                                    0,          "MQTT5 3.1.3.2.2"   },
    [0x19] = { "Request Response Information",      T_BYTE,   BOOL,     FIELD(request_response_info),   W(CONNECT),                              0,          "MQTT5 3.1.2.11.6"  },
    [0x1A] = { "Response Information",              T_UTF8,   ANY,      FIELD(response_info),           W(CONNACK),                              0,          "MQTT5 3.2.2.3.15"  },
    [0x1C] = { "Server Reference",                  T_UTF8,   ANY,      FIELD(server_reference),        W(CONNACK) | W(DISCONNECT),              0,          "MQTT5 3.2.2.3.16"  },
    [0x1F] = { "Reason String",                     T_UTF8,   ANY,      FIELD(reason_string),           ANSWERS,                                 0,          "MQTT5 3.2.2.3.9"   },
    [0x21] = { "Receive Maximum",                   T_U16,    NOT_ZERO, FIELD(receive_maximum),         W(CONNECT) | W(CONNACK),                 0,          "MQTT5 3.1.2.11.3"  },
    [0x22] = { "Topic Alias Maximum",               T_U16,    ANY,      FIELD(topic_alias_maximum),     W(CONNECT) | W(CONNACK),                 0,          "MQTT5 3.1.2.11.5"  },
    [0x23] = { "Topic Alias",                       T_U16,    NOT_ZERO, FIELD(topic_alias),             W(PUBLISH),                              0,          "MQTT5 3.3.2.3.4"   },
    [0x24] = { "Maximum QoS",                       T_BYTE,   BOOL,     FIELD(maximum_qos),             W(CONNACK),                              0,          "MQTT5 3.2.2.3.4"   },
    [0x25] = { "Retain Available",                  T_BYTE,   BOOL,     FIELD(retain_available),        W(CONNACK),                              0,          "MQTT5 3.2.2.3.5"   },
    [0x26] = { "User Property",                     T_PAIR,   ANY,      NO_FIELD,                       EVERYWHERE,                              EVERYWHERE, "MQTT5 3.1.2.11.8"  },
    [0x27] = { "Maximum Packet Size",               T_U32,    NOT_ZERO, FIELD(maximum_packet_size),     W(CONNECT) | W(CONNACK),                 0,          "MQTT5 3.1.2.11.4"  },
    [0x28] = { "Wildcard Subscription Available",   T_BYTE,   BOOL,     FIELD(wildcard_available),      W(CONNACK),                              0,          "MQTT5 3.2.2.3.11"  },
    [0x29] = { "Subscription Identifier Available", T_BYTE,   BOOL,     FIELD(subscription_id_available), W(CONNACK),                            0,          "MQTT5 3.2.2.3.12"  },
    [0x2A] = { "Shared Subscription Available",     T_BYTE,   BOOL,     FIELD(shared_available),        W(CONNACK),                              0,          "MQTT5 3.2.2.3.13"  },
};
/* clang-format on */

struct value {
    uint32_t number;
    struct span bytes; /* T_UTF8, T_BINARY; the name of a T_PAIR */
    struct span second;
};

static const struct property_rule *rule_of(uint32_t id)
{
    return id < PROPERTIES && rules[id].name != NULL ? &rules[id] : NULL;
}

static struct value read_value(struct reader *r, enum value_type type)
{
    struct value v = { 0 };

    switch (type) {
    case T_BYTE:
        v.number = read_u8(r);
        break;
    case T_U16:
        v.number = read_u16(r);
        break;
    case T_U32:
        v.number = read_u32(r);
        break;
    case T_VARINT:
        v.number = read_varint(r);
        break;
    case T_UTF8:
    case T_BINARY:
        v.bytes = read_prefixed16(r);
        break;
    case T_PAIR:
        v.bytes = read_prefixed16(r);
        v.second = read_prefixed16(r);
        break;
    }
    return v;
}

static enum status check_value(const struct property_rule *rule, const struct value *v, struct why *why,
                               size_t at)
{
    enum status st = ST_OK;
    struct topic_name topic;

    if (rule->type == T_UTF8 || rule->type == T_PAIR)
        st = mqtt_check_text(v->bytes, at, why);
    if (st == ST_OK && rule->type == T_PAIR)
        st = mqtt_check_text(v->second, at, why);
    if (st != ST_OK)
        return st;
    switch (rule->check) {
    case ANY:
        return ST_OK;
    case BOOL:
        if (v->number > 1)
            return reject(why, ST_PROTOCOL, rule->section, "the property may only be 0 or 1", at);
        return ST_OK;
    case NOT_ZERO:
        if (v->number == 0 && rule == &rules[PROP_TOPIC_ALIAS])
            return reject(why, ST_BAD_TOPIC_ALIAS, "MQTT5 [MQTT-3.3.2-8]", "Topic Alias 0", at);
        if (v->number == 0)
            return reject(why, ST_PROTOCOL, rule->section, "the property may not be 0", at);
        return ST_OK;
    case TOPIC:
        if (topic_filter_has_wildcard((struct topic_filter){ v->bytes }))
            return reject(why, ST_MALFORMED, "MQTT5 [MQTT-3.3.2-14]", "wildcard in the Response Topic", at);
        return topic_name_parse(v->bytes, &topic, why);
    }
    return ST_OK;
}

/* Is it known, may it stand here, may this side send it, is it the first one? */
static enum status check_place(uint32_t id, unsigned place, enum mqtt_side from,
                               const struct mqtt_properties *p, struct why *why, size_t at)
{
    const struct property_rule *rule = rule_of(id);

    if (rule == NULL)
        return reject(why, ST_MALFORMED, "MQTT5 2.2.2.2", "unknown property identifier", at);
    if ((rule->may_appear & IN(place)) == 0)
        return reject(why, ST_MALFORMED, "MQTT5 2.2.2.2", "property not allowed in this packet", at);
    if (id == PROP_SUBSCRIPTION_ID && place == MQTT_PUBLISH && from == MQTT_FROM_CLIENT)
        return reject(why, ST_PROTOCOL, "MQTT5 [MQTT-3.3.4-6]", "Subscription Identifier sent by a client", at);
    if (id == PROP_SESSION_EXPIRY && place == MQTT_DISCONNECT && from == MQTT_FROM_SERVER)
        return reject(why, ST_PROTOCOL, "MQTT5 [MQTT-3.14.2-2]", "Session Expiry Interval sent by a server",
                      at);
    if (mqtt_has(p, (enum mqtt_property)id) && (rule->may_repeat & IN(place)) == 0)
        return reject(why, ST_PROTOCOL, rule->section, "the property is included twice", at);
    return ST_OK;
}

static void keep_value(struct mqtt_properties *p, const struct property_rule *rule, const struct value *v)
{
    if (rule->field == NO_FIELD)
        return;
    char *field = (char *)p + rule->field;
    switch (rule->type) {
    case T_BYTE:
        *(uint8_t *)field = (uint8_t)v->number;
        break;
    case T_U16:
        *(uint16_t *)(void *)field = (uint16_t)v->number;
        break;
    case T_U32:
    case T_VARINT:
        *(uint32_t *)(void *)field = v->number;
        break;
    case T_UTF8:
    case T_BINARY:
        *(struct span *)(void *)field = v->bytes;
        break;
    case T_PAIR:
        break;
    }
}

static enum status read_property(struct reader *r, unsigned place, enum mqtt_side from,
                                 struct mqtt_properties *out, struct why *why)
{
    size_t at = reader_at(r);
    uint32_t id = read_varint(r);

    if (!reader_ok(r))
        return reject(why, ST_MALFORMED, "MQTT5 2.2.2.2", "property identifier ends too early", at);
    enum status st = check_place(id, place, from, out, why, at);
    if (st != ST_OK)
        return st;
    ASSERT(id < PROPERTIES); /* check_place() knows it; gcc under sanitizers does not */
    const struct property_rule *rule = &rules[id];
    struct value v = read_value(r, rule->type);
    if (!reader_ok(r))
        return reject(why, ST_MALFORMED, "MQTT5 2.2.2.2", "property ends too early or has a wrong length", at);
    st = check_value(rule, &v, why, at);
    if (st != ST_OK) {
        if (why != NULL)
            why->at = at;
        return st;
    }
    if (!mqtt_has(out, (enum mqtt_property)id)) /* of the repeatable ones the first */
        keep_value(out, rule, &v);
    mqtt_set(out, (enum mqtt_property)id);
    return ST_OK;
}

static enum status read_entries(struct reader *block, unsigned place, enum mqtt_side from,
                                struct mqtt_properties *out, struct why *why)
{
    *out = (struct mqtt_properties){ .raw = span_of(block->p, block->len) };
    while (reader_left(block) > 0) {
        enum status st = read_property(block, place, from, out, why);
        if (st != ST_OK)
            return st;
    }
    if (mqtt_has(out, PROP_AUTH_DATA) && !mqtt_has(out, PROP_AUTH_METHOD))
        return reject(why, ST_PROTOCOL, "MQTT5 3.1.2.11.10",
                      "Authentication Data without Authentication Method", reader_at(block));
    return reader_finish(block, why);
}

enum status mqtt_read_properties(struct reader *r, unsigned place, enum mqtt_side from,
                                 struct mqtt_properties *out, struct why *why)
{
    size_t at = reader_at(r);
    struct reader block = read_block_varint(r);

    if (!reader_ok(r))
        return reject(why, ST_MALFORMED, "MQTT5 2.2.2.1", "Property Length is wrong or missing", at);
    return read_entries(&block, place, from, out, why);
}

/* ---- writing ---- */

static bool written_from_raw(const struct property_rule *rule, unsigned place)
{
    return (rule->may_repeat & IN(place)) != 0;
}

static void put_number(struct buf *out, enum value_type type, const void *field)
{
    switch (type) {
    case T_BYTE:
        put_u8(out, *(const uint8_t *)field);
        break;
    case T_U16:
        put_u16(out, *(const uint16_t *)field);
        break;
    case T_U32:
        put_u32(out, *(const uint32_t *)field);
        break;
    default:
        put_varint(out, *(const uint32_t *)field);
        break;
    }
}

static void put_text(struct buf *out, enum value_type type, struct span s)
{
    if (type != T_BINARY && !utf8_valid_mqtt(s))
        out->failed = true;
    put_prefixed16(out, s);
}

/* One property from its field. */
static void put_field(struct buf *out, unsigned id, const struct mqtt_properties *p)
{
    const struct property_rule *rule = &rules[id];
    const void *field = (const char *)p + rule->field;

    put_varint(out, id);
    if (rule->type == T_UTF8 || rule->type == T_BINARY)
        put_text(out, rule->type, *(const struct span *)field);
    else
        put_number(out, rule->type, field);
}

/* The next entry of an encoded block and its bytes; false at the end or where it does not parse. */
static bool next_entry(struct span raw, size_t *at, uint32_t *ret_id, struct value *ret, struct span *ret_bytes)
{
    struct reader r = reader_make(span_cut(raw, *at, SIZE_MAX), NULL);

    if (reader_left(&r) == 0)
        return false;
    uint32_t id = read_varint(&r);
    const struct property_rule *rule = rule_of(id);
    if (!reader_ok(&r) || rule == NULL)
        return false;
    *ret = read_value(&r, rule->type);
    if (!reader_ok(&r))
        return false;
    *ret_id = id;
    *ret_bytes = span_cut(raw, *at, reader_at(&r));
    *at += reader_at(&r);
    return true;
}

static void put_repeated(struct buf *out, unsigned place, const struct mqtt_properties *p)
{
    uint32_t id;
    struct value v;
    struct span bytes;

    for (size_t at = 0; next_entry(p->raw, &at, &id, &v, &bytes);)
        if (mqtt_has(p, (enum mqtt_property)id) && written_from_raw(&rules[id], place))
            put_bytes(out, bytes);
}

void mqtt_put_properties(struct buf *out, unsigned place, const struct mqtt_properties *p)
{
    if (p == NULL || p->has == 0) {
        put_u8(out, 0);
        return;
    }
    size_t start = out->len;
    for (unsigned id = 0; id < PROPERTIES; id++) {
        if (!mqtt_has(p, (enum mqtt_property)id))
            continue;
        if (rules[id].name == NULL || (rules[id].may_appear & IN(place)) == 0)
            out->failed = true; /* a mistake of ours must not become somebody's malformed packet */
        else if (!written_from_raw(&rules[id], place))
            put_field(out, id, p);
    }
    put_repeated(out, place, p);
    mqtt_insert_length(out, start);
}

void mqtt_put_user_property(struct buf *out, struct span name, struct span value)
{
    put_u8(out, PROP_USER);
    put_text(out, T_UTF8, name);
    put_text(out, T_UTF8, value);
}

void mqtt_put_subscription_id(struct buf *out, uint32_t id)
{
    put_u8(out, PROP_SUBSCRIPTION_ID);
    put_varint(out, id);
}

void mqtt_put_message_properties(struct buf *out, const struct mqtt_properties *p)
{
    static const enum mqtt_property travel[] = { PROP_PAYLOAD_FORMAT, PROP_CONTENT_TYPE, PROP_RESPONSE_TOPIC,
                                                 PROP_CORRELATION_DATA };

    for (size_t i = 0; i < COUNT_OF(travel); i++)
        if (mqtt_has(p, travel[i]))
            put_field(out, travel[i], p);
    if (mqtt_has(p, PROP_USER))
        put_repeated(out, IN_WILL, p); /* in a Will only User Property repeats */
}

/* ---- walking ---- */

bool mqtt_next_user_property(const struct mqtt_properties *p, size_t *at, struct span *ret_name,
                             struct span *ret_value)
{
    uint32_t id;
    struct value v;
    struct span bytes;

    if (!mqtt_has(p, PROP_USER))
        return false;
    while (next_entry(p->raw, at, &id, &v, &bytes)) {
        if (id == PROP_USER) {
            *ret_name = v.bytes;
            *ret_value = v.second;
            return true;
        }
    }
    return false;
}

bool mqtt_next_subscription_id(const struct mqtt_properties *p, size_t *at, uint32_t *ret_id)
{
    uint32_t id;
    struct value v;
    struct span bytes;

    if (!mqtt_has(p, PROP_SUBSCRIPTION_ID))
        return false;
    while (next_entry(p->raw, at, &id, &v, &bytes)) {
        if (id == PROP_SUBSCRIPTION_ID) {
            *ret_id = v.number;
            return true;
        }
    }
    return false;
}

bool mqtt_find_user_property(const struct mqtt_properties *p, struct span name, struct span *ret_value)
{
    struct span found;

    for (size_t at = 0; mqtt_next_user_property(p, &at, &found, ret_value);)
        if (span_eq(found, name))
            return true;
    return false;
}

/* ---- what absence means ---- */

uint16_t mqtt_receive_maximum(const struct mqtt_properties *p)
{
    return mqtt_has(p, PROP_RECEIVE_MAXIMUM) ? p->receive_maximum : UINT16_MAX;
}

uint32_t mqtt_maximum_packet_size(const struct mqtt_properties *p)
{
    return mqtt_has(p, PROP_MAXIMUM_PACKET_SIZE) ? p->maximum_packet_size : MQTT_PACKET_SIZE_MAX;
}

uint8_t mqtt_maximum_qos(const struct mqtt_properties *p)
{
    return mqtt_has(p, PROP_MAXIMUM_QOS) ? p->maximum_qos : 2;
}

bool mqtt_request_problem_info(const struct mqtt_properties *p)
{
    return !mqtt_has(p, PROP_REQUEST_PROBLEM_INFO) || p->request_problem_info == 1;
}
