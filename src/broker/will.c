#include "broker/will.h"

#include <stdlib.h>

struct will {
    uint32_t delay_s;
    uint32_t expiry_s;
    bool has_expiry;
    bool retain;
    uint8_t qos;
    size_t topic_len, properties_len, payload_len;
    uint8_t bytes[]; /* topic, properties, payload */
};

static size_t put_at(uint8_t *p, size_t at, struct span s)
{
    if (s.len > 0)
        memcpy(p + at, s.p, s.len);
    return at + s.len;
}

enum status will_new(const struct mqtt_will *from, struct will **ret_will)
{
    CLEANUP(buf_done)
    struct buf properties;
    struct span block;
    struct will *w;
    size_t at;

    buf_init(&properties, MQTT_REMAINING_LENGTH_MAX);
    mqtt_put_message_properties(&properties, &from->properties);
    if (!buf_ok(&properties))
        return ST_NO_MEMORY;
    block = buf_span(&properties);
    w = malloc(sizeof *w + from->topic.s.len + block.len + from->payload.len);
    if (w == NULL)
        return ST_NO_MEMORY;
    *w = (struct will){ .delay_s =
                            mqtt_has(&from->properties, PROP_WILL_DELAY) ? from->properties.will_delay_s : 0,
                        .has_expiry = mqtt_has(&from->properties, PROP_MESSAGE_EXPIRY),
                        .expiry_s = from->properties.message_expiry_s,
                        .retain = from->retain,
                        .qos = from->qos,
                        .topic_len = from->topic.s.len,
                        .properties_len = block.len,
                        .payload_len = from->payload.len };
    at = put_at(w->bytes, 0, from->topic.s);
    at = put_at(w->bytes, at, block);
    put_at(w->bytes, at, from->payload);
    *ret_will = w;
    return ST_OK;
}

void will_free(struct will *will)
{
    free(will);
}

uint32_t will_delay_s(const struct will *will)
{
    return will->delay_s;
}

struct topic_name will_topic(const struct will *will)
{
    return (struct topic_name){ span_of(will->bytes, will->topic_len) };
}

struct message_parts will_parts(const struct will *will, uint64_t publisher, struct now now)
{
    const uint8_t *properties = will->bytes + will->topic_len;

    return (struct message_parts){
        .topic = will_topic(will).s,
        .properties = span_of(properties, will->properties_len),
        .payload = span_of(properties + will->properties_len, will->payload_len),
        .qos = will->qos,
        .retain = will->retain,
        .publisher = publisher,
        .expires_ms = will->has_expiry ? message_expires_ms(now, will->expiry_s) : TIME_NEVER,
        .token_until_s = TIME_NEVER,
    };
}
