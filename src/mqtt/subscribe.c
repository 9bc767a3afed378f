/* SUBSCRIBE, UNSUBSCRIBE and their answers: MQTT5 3.8 to 3.11, the same in 3.1.1. */
#include "mqtt/packet_priv.h"

enum subscription_option {
    OPTION_QOS = 0x03,
    OPTION_NO_LOCAL = 0x04,
    OPTION_RETAIN_AS_PUBLISHED = 0x08,
    OPTION_RETAIN_HANDLING = 0x30,
    OPTION_RESERVED = 0xc0,
};
#define RETAIN_HANDLING_SHIFT 4

static void set_options(struct mqtt_subscription *sub, uint8_t options)
{
    sub->qos = options & OPTION_QOS;
    sub->no_local = (options & OPTION_NO_LOCAL) != 0;
    sub->retain_as_published = (options & OPTION_RETAIN_AS_PUBLISHED) != 0;
    sub->retain_handling = (uint8_t)((options & OPTION_RETAIN_HANDLING) >> RETAIN_HANDLING_SHIFT);
}

/* MQTT5 3.8.3.1; before it only the QoS, the other bits being reserved. */
static enum status read_subscription(struct reader *r, enum mqtt_version version, struct mqtt_subscription *out,
                                     struct why *why)
{
    enum status st = packet_read_topic_filter(r, &out->filter, why);
    if (st != ST_OK)
        return st;
    size_t at = reader_at(r);
    uint8_t options = read_u8(r);
    set_options(out, options);
    if (version == MQTT_3_1_1 && reader_ok(r) && options > 2)
        return reject(why, ST_MALFORMED, "MQTT311 [MQTT-3.8.3-4]", "not a Requested QoS", at);
    if ((options & OPTION_RESERVED) != 0)
        return reject(why, ST_MALFORMED, "MQTT5 [MQTT-3.8.3-5]", "reserved Subscription Options are set", at);
    if (out->qos == 3)
        return reject(why, ST_PROTOCOL, "MQTT5 3.8.3.1", "Maximum QoS 3", at);
    if (out->retain_handling == 3)
        return reject(why, ST_PROTOCOL, "MQTT5 3.8.3.1", "Retain Handling 3", at);
    if (out->no_local && topic_filter_is_shared(out->filter))
        return reject(why, ST_PROTOCOL, "MQTT5 [MQTT-3.8.3-4]", "No Local on a shared subscription", at);
    return ST_OK;
}

enum status mqtt_read_subscribe(const struct mqtt_frame *frame, enum mqtt_version version,
                                struct mqtt_subscribe *out, struct why *why)
{
    struct reader r = packet_reader(frame, version);
    struct mqtt_subscription sub;

    *out = (struct mqtt_subscribe){ 0 };
    enum status st = packet_check_version(version, why);
    if (st == ST_OK)
        st = packet_read_id(&r, packet_clause(version, "MQTT5 [MQTT-2.2.1-3]", "MQTT311 [MQTT-2.3.1-1]"),
                            &out->packet_id, why);
    if (st == ST_OK)
        st = packet_read_properties(&r, frame, version, &out->properties, why);
    if (st != ST_OK)
        return st;
    if (reader_left(&r) == 0)
        return reject(why, ST_PROTOCOL,
                      packet_clause(version, "MQTT5 [MQTT-3.8.3-2]", "MQTT311 [MQTT-3.8.3-3]"),
                      "no topic filter", reader_at(&r));
    struct reader filters = r;
    out->filters = read_rest(&filters);
    while (reader_left(&r) > 0) {
        st = read_subscription(&r, version, &sub, why);
        if (st != ST_OK)
            return st;
        out->count++;
    }
    return reader_finish(&r, why);
}

bool mqtt_next_subscription(const struct mqtt_subscribe *subscribe, size_t *at, struct mqtt_subscription *ret)
{
    struct reader r = reader_make(span_cut(subscribe->filters, *at, SIZE_MAX), NULL);

    if (reader_left(&r) == 0)
        return false;
    ret->filter.s = read_prefixed16(&r);
    set_options(ret, read_u8(&r));
    *at += reader_at(&r);
    return reader_ok(&r);
}

void mqtt_write_subscribe(struct buf *out, enum mqtt_version version, uint16_t packet_id,
                          const struct mqtt_properties *properties,
                          const struct mqtt_subscription *subscriptions, size_t count)
{
    size_t start = packet_begin(out, MQTT_SUBSCRIBE, 0x02);

    put_u16(out, packet_id);
    if (version >= MQTT_5)
        mqtt_put_properties(out, MQTT_SUBSCRIBE, properties);
    for (size_t i = 0; i < count; i++) {
        const struct mqtt_subscription *sub = &subscriptions[i];
        put_prefixed16(out, sub->filter.s);
        unsigned options = sub->qos;
        if (version >= MQTT_5)
            options |= (sub->no_local ? OPTION_NO_LOCAL : 0) |
                       (sub->retain_as_published ? OPTION_RETAIN_AS_PUBLISHED : 0) |
                       (unsigned)sub->retain_handling << RETAIN_HANDLING_SHIFT;
        put_u8(out, (uint8_t)options);
    }
    packet_end(out, start);
}

enum status mqtt_read_unsubscribe(const struct mqtt_frame *frame, enum mqtt_version version,
                                  struct mqtt_unsubscribe *out, struct why *why)
{
    struct reader r = packet_reader(frame, version);
    struct topic_filter filter;

    *out = (struct mqtt_unsubscribe){ 0 };
    enum status st = packet_check_version(version, why);
    if (st == ST_OK)
        st = packet_read_id(&r, packet_clause(version, "MQTT5 [MQTT-2.2.1-3]", "MQTT311 [MQTT-2.3.1-1]"),
                            &out->packet_id, why);
    if (st == ST_OK)
        st = packet_read_properties(&r, frame, version, &out->properties, why);
    if (st != ST_OK)
        return st;
    if (reader_left(&r) == 0)
        return reject(why, ST_PROTOCOL,
                      packet_clause(version, "MQTT5 [MQTT-3.10.3-2]", "MQTT311 [MQTT-3.10.3-2]"),
                      "no topic filter", reader_at(&r));
    struct reader filters = r;
    out->filters = read_rest(&filters);
    while (reader_left(&r) > 0) {
        st = packet_read_topic_filter(&r, &filter, why);
        if (st != ST_OK)
            return st;
        out->count++;
    }
    return reader_finish(&r, why);
}

bool mqtt_next_unsubscription(const struct mqtt_unsubscribe *unsubscribe, size_t *at, struct topic_filter *ret)
{
    struct reader r = reader_make(span_cut(unsubscribe->filters, *at, SIZE_MAX), NULL);

    if (reader_left(&r) == 0)
        return false;
    ret->s = read_prefixed16(&r);
    *at += reader_at(&r);
    return reader_ok(&r);
}

void mqtt_write_unsubscribe(struct buf *out, enum mqtt_version version, uint16_t packet_id,
                            const struct mqtt_properties *properties, const struct topic_filter *filters,
                            size_t count)
{
    size_t start = packet_begin(out, MQTT_UNSUBSCRIBE, 0x02);

    put_u16(out, packet_id);
    if (version >= MQTT_5)
        mqtt_put_properties(out, MQTT_UNSUBSCRIBE, properties);
    for (size_t i = 0; i < count; i++)
        put_prefixed16(out, filters[i].s);
    packet_end(out, start);
}

static bool suback_code_allowed(const struct mqtt_frame *frame, enum mqtt_version version, uint8_t code)
{
    if (version == MQTT_3_1_1)
        return code <= 2 || code == MQTT_UNSPECIFIED_ERROR;
    return mqtt_reason_allowed(frame->type, frame->from, code);
}

static const char *suback_code_clause(bool is_suback, enum mqtt_version version)
{
    if (version == MQTT_3_1_1)
        return "MQTT311 [MQTT-3.9.3-2]";
    return is_suback ? "MQTT5 [MQTT-3.9.3-2]" : "MQTT5 [MQTT-3.11.3-2]";
}

static const char *suback_count_clause(bool is_suback, enum mqtt_version version)
{
    if (version == MQTT_3_1_1)
        return "MQTT311 [MQTT-3.8.4-5]";
    return is_suback ? "MQTT5 [MQTT-3.8.4-6]" : "MQTT5 3.11.3";
}

enum status mqtt_read_suback(const struct mqtt_frame *frame, enum mqtt_version version, struct mqtt_suback *out,
                             struct why *why)
{
    bool is_suback = frame->type == MQTT_SUBACK;
    struct reader r = packet_reader(frame, version);

    *out = (struct mqtt_suback){ .type = frame->type };
    enum status st = packet_check_version(version, why);
    if (st == ST_OK)
        st = packet_read_id(&r, packet_clause(version, "MQTT5 2.2.1", "MQTT311 2.3.1"), &out->packet_id, why);
    if (st == ST_OK)
        st = packet_read_properties(&r, frame, version, &out->properties, why);
    if (st != ST_OK)
        return st;
    if (version == MQTT_3_1_1 && !is_suback) /* MQTT311 3.11.3: no payload */
        return reader_finish(&r, why);
    size_t at = reader_at(&r);
    out->reasons = read_rest(&r);
    if (out->reasons.len == 0)
        return reject(why, ST_PROTOCOL, suback_count_clause(is_suback, version), "no reason code", at);
    for (size_t i = 0; i < out->reasons.len; i++)
        if (!suback_code_allowed(frame, version, out->reasons.p[i]))
            return reject(why, ST_MALFORMED, suback_code_clause(is_suback, version),
                          "not a reason code for this packet", at + i);
    return reader_finish(&r, why);
}

void mqtt_write_suback(struct buf *out, enum mqtt_version version, const struct mqtt_suback *suback)
{
    size_t start = packet_begin(out, suback->type, 0);

    put_u16(out, suback->packet_id);
    if (version >= MQTT_5) {
        mqtt_put_properties(out, suback->type, &suback->properties);
        put_bytes(out, suback->reasons);
    } else if (suback->type == MQTT_SUBACK) { /* UNSUBACK has no payload before 5.0 */
        for (size_t i = 0; i < suback->reasons.len; i++)
            put_u8(out, suback->reasons.p[i] <= 2 ? suback->reasons.p[i] : (uint8_t)MQTT_UNSPECIFIED_ERROR);
    }
    packet_end(out, start);
}
