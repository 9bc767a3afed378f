#include "shard/will.h"

#include "record/record.h"

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

/* What `head` says, and behind it these. */
static enum status make(const struct will *head, struct span topic, struct span properties, struct span payload,
                        struct will **ret_will)
{
    struct will *w = malloc(sizeof *w + topic.len + properties.len + payload.len);
    size_t at;

    if (w == NULL)
        return ST_NO_MEMORY;
    *w = *head;
    w->topic_len = topic.len;
    w->properties_len = properties.len;
    w->payload_len = payload.len;
    at = put_at(w->bytes, 0, topic);
    at = put_at(w->bytes, at, properties);
    put_at(w->bytes, at, payload);
    *ret_will = w;
    return ST_OK;
}

enum status will_new(const struct mqtt_will *from, struct will **ret_will)
{
    CLEANUP(buf_done)
    struct buf properties;
    struct will head = { .delay_s =
                             mqtt_has(&from->properties, PROP_WILL_DELAY) ? from->properties.will_delay_s : 0,
                         .has_expiry = mqtt_has(&from->properties, PROP_MESSAGE_EXPIRY),
                         .expiry_s = from->properties.message_expiry_s,
                         .retain = from->retain,
                         .qos = from->qos };

    buf_init(&properties, MQTT_REMAINING_LENGTH_MAX);
    mqtt_put_message_properties(&properties, &from->properties);
    if (!buf_ok(&properties))
        return ST_NO_MEMORY;
    return make(&head, from->topic.s, buf_span(&properties), from->payload, ret_will);
}

enum status will_restore(const struct record_will *record, struct will **ret_will)
{
    struct will head = { .delay_s = record->delay_s,
                         .has_expiry = record->has_expiry,
                         .expiry_s = record->expiry_s,
                         .retain = record->retain,
                         .qos = record->qos };

    return make(&head, record->topic, record->properties, record->payload, ret_will);
}

struct record_will will_record(const struct will *will, uint64_t session)
{
    const uint8_t *properties = will->bytes + will->topic_len;

    return (struct record_will){ .session = session,
                                 .delay_s = will->delay_s,
                                 .expiry_s = will->expiry_s,
                                 .has_expiry = will->has_expiry,
                                 .retain = will->retain,
                                 .qos = will->qos,
                                 .topic = will_topic(will).s,
                                 .properties = span_of(properties, will->properties_len),
                                 .payload = span_of(properties + will->properties_len, will->payload_len) };
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
