/* mqtt/packet_fuzz_priv.h - what both packet targets do: read a stream of packets from one side. What was read is
 * walked to its end, and what can be written again must be read again. */
#ifndef SYMBOLON_MQTT_PACKET_FUZZ_PRIV_H
#define SYMBOLON_MQTT_PACKET_FUZZ_PRIV_H

#include "mqtt/any_packet_priv.h"

static inline void fuzz_walk(const struct mqtt_properties *p)
{
    struct span name, value;
    uint32_t id;
    size_t total = 0;

    for (size_t at = 0; mqtt_next_user_property(p, &at, &name, &value);)
        total += name.len + value.len;
    for (size_t at = 0; mqtt_next_subscription_id(p, &at, &id);)
        ASSERT(id > 0);
    ASSERT(total <= p->raw.len);
}

static inline void fuzz_walk_packet(const struct any_packet *p)
{
    struct mqtt_subscription sub;
    struct topic_filter filter;
    struct topic_name name;
    size_t count = 0;

    switch (p->frame.type) {
    case MQTT_CONNECT:
        fuzz_walk(&p->u.connect.properties);
        fuzz_walk(&p->u.connect.will.properties);
        break;
    case MQTT_PUBLISH:
        fuzz_walk(&p->u.publish.properties);
        ASSERT(p->u.publish.topic.s.len == 0 || topic_name_parse(p->u.publish.topic.s, &name, NULL) == ST_OK);
        ASSERT((p->u.publish.packet_id != 0) == (p->u.publish.qos > 0));
        break;
    case MQTT_SUBSCRIBE:
        for (size_t at = 0; mqtt_next_subscription(&p->u.subscribe, &at, &sub); count++)
            ASSERT(topic_filter_parse(sub.filter.s, &filter, NULL) == ST_OK && sub.qos <= 2);
        ASSERT(count == p->u.subscribe.count && count > 0);
        break;
    case MQTT_UNSUBSCRIBE:
        for (size_t at = 0; mqtt_next_unsubscription(&p->u.unsubscribe, &at, &filter);)
            count++;
        ASSERT(count == p->u.unsubscribe.count && count > 0);
        break;
    default:
        break;
    }
}

static inline void fuzz_write_again(const struct any_packet *p)
{
    struct buf out, once_more;
    struct any_packet again;
    struct why why;

    buf_init(&out, 2 * p->frame.total_len + 64);
    buf_init(&once_more, 2 * p->frame.total_len + 64);
    any_packet_write(&out, p);
    ASSERT(buf_ok(&out));
    if (out.len > 0) {
        ASSERT(any_packet_read_as(p->version, buf_span(&out), p->frame.from, MQTT_PACKET_SIZE_MAX, &again,
                                  &why) == ST_OK);
        any_packet_write(&once_more, &again);
        ASSERT(span_eq(buf_span(&out), buf_span(&once_more)));
    }
    buf_done(&out);
    buf_done(&once_more);
}

static inline void fuzz_stream(struct span in, enum mqtt_version version, enum mqtt_side from)
{
    struct any_packet packet;
    struct why why;

    while (in.len > 0) {
        why = (struct why){ 0 };
        enum status st = any_packet_read_as(version, in, from, 65536, &packet, &why);
        if (st != ST_OK) {
            ASSERT(st == ST_PENDING || (why.clause != NULL && why.text != NULL && why.at <= in.len));
            return;
        }
        fuzz_walk_packet(&packet);
        fuzz_write_again(&packet);
        in = span_cut(in, packet.frame.total_len, SIZE_MAX);
    }
}

#endif
