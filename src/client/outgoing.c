#include "client/outgoing.h"

#include "base/utf8.h"
#include "client/error_priv.h"

#include <stdlib.h>

#define PROPERTIES_MAX USER_PROPERTIES_BYTES

static enum symbolon_status text_ok(struct symbolon_bytes text, const char *what, struct symbolon_error *error)
{
    if (text.len > UINT16_MAX || !utf8_valid_mqtt(span_of_bytes(text)))
        return error_set(error, SYMBOLON_INVALID, "MQTT5 1.5.4", "%s is not UTF-8 text of at most 65535 bytes",
                         what);
    return SYMBOLON_OK;
}

enum symbolon_status user_properties_encode(const struct symbolon_user_property *properties, size_t count,
                                            struct buf *out, struct symbolon_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const struct symbolon_user_property *p = &properties[i];
        if (text_ok(p->name, "a user property", error) != SYMBOLON_OK ||
            text_ok(p->value, "a user property", error) != SYMBOLON_OK)
            return SYMBOLON_INVALID;
        mqtt_put_user_property(out, span_of_bytes(p->name), span_of_bytes(p->value));
    }
    if (!buf_ok(out))
        return error_set(error, SYMBOLON_TOO_LARGE, "", "too many user properties");
    return SYMBOLON_OK;
}

enum symbolon_status message_properties(const struct symbolon_message *m, struct mqtt_properties *out,
                                        struct buf *user, struct symbolon_error *error)
{
    struct topic_name response;

    *out = (struct mqtt_properties){ 0 };
    if (m->payload_is_utf8) {
        if (!utf8_valid(span_of_bytes(m->payload)))
            return error_set(error, SYMBOLON_INVALID, "MQTT5 3.3.2.3.2",
                             "the payload is said to be UTF-8 but is not");
        out->payload_format = 1;
        mqtt_set(out, PROP_PAYLOAD_FORMAT);
    }
    if (m->content_type.p != NULL) {
        if (text_ok(m->content_type, "the content type", error) != SYMBOLON_OK)
            return SYMBOLON_INVALID;
        out->content_type = span_of_bytes(m->content_type);
        mqtt_set(out, PROP_CONTENT_TYPE);
    }
    if (m->response_topic.p != NULL) {
        if (topic_name_parse(span_of_bytes(m->response_topic), &response, NULL) != ST_OK)
            return error_set(error, SYMBOLON_INVALID, "MQTT5 [MQTT-3.3.2-14]",
                             "the response topic is not a topic name");
        out->response_topic = response.s;
        mqtt_set(out, PROP_RESPONSE_TOPIC);
    }
    if (m->correlation_data.p != NULL) {
        if (m->correlation_data.len > UINT16_MAX)
            return error_set(error, SYMBOLON_INVALID, "MQTT5 1.5.6",
                             "correlation data of more than 65535 bytes");
        out->correlation_data = span_of_bytes(m->correlation_data);
        mqtt_set(out, PROP_CORRELATION_DATA);
    }
    enum symbolon_status st = user_properties_encode(m->user_properties, m->user_property_count, user, error);
    if (st != SYMBOLON_OK)
        return st;
    out->raw = buf_span(user);
    if (m->user_property_count > 0)
        mqtt_set(out, PROP_USER);
    return SYMBOLON_OK;
}

static struct span append(uint8_t *to, size_t *at, struct span from)
{
    struct span s = span_of(to + *at, from.len);

    if (from.len > 0)
        memcpy(to + *at, from.p, from.len);
    *at += from.len;
    return s;
}

struct outgoing *outgoing_of_parts(struct span topic, struct span properties, struct span payload)
{
    struct outgoing *o = malloc(sizeof *o + topic.len + properties.len + payload.len);
    size_t at = 0;

    if (o == NULL)
        return NULL;
    *o = (struct outgoing){ 0 };
    o->topic = append(o->bytes, &at, topic);
    o->properties = append(o->bytes, &at, properties);
    o->payload = append(o->bytes, &at, payload);
    return o;
}

enum symbolon_status outgoing_new(const struct symbolon_message *message, struct mono_time now,
                                  struct outgoing **ret_outgoing, struct symbolon_error *error)
{
    CLEANUP(buf_done)
    struct buf user = { .max = PROPERTIES_MAX }, properties = { .max = PROPERTIES_MAX };
    struct mqtt_properties p;
    struct topic_name topic;
    struct why why = { 0 };

    if (message->qos > 2)
        return error_set(error, SYMBOLON_INVALID, "MQTT5 [MQTT-3.3.1-4]", "QoS is 0, 1 or 2");
    if (topic_name_parse(span_of_bytes(message->topic), &topic, &why) != ST_OK)
        return error_set(error, SYMBOLON_INVALID, why.clause, "topic: %s", why.text);
    enum symbolon_status st = message_properties(message, &p, &user, error);
    if (st != SYMBOLON_OK)
        return st;
    mqtt_put_message_properties(&properties, &p);
    if (!buf_ok(&properties))
        return error_set(error, SYMBOLON_TOO_LARGE, "", "the message's properties are too large");
    if (message->payload.len > MQTT_REMAINING_LENGTH_MAX)
        return error_set(error, SYMBOLON_TOO_LARGE, "MQTT5 2.1.4", "no packet can carry such a payload");

    struct outgoing *o = outgoing_of_parts(topic.s, buf_span(&properties), span_of_bytes(message->payload));
    if (o == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    o->qos = message->qos;
    o->retain = message->retain;
    o->has_expiry = message->has_expiry;
    o->expiry_s = message->expiry_s;
    o->taken_at = now;
    *ret_outgoing = o;
    return SYMBOLON_OK;
}

bool outgoing_life(const struct outgoing *o, struct mono_time now, uint32_t *ret_s)
{
    int64_t waited_s = (now.ms - o->taken_at.ms) / MS_PER_S;

    *ret_s = 0;
    if (!o->has_expiry)
        return true;
    if (waited_s > 0 && waited_s >= o->expiry_s)
        return false;
    *ret_s = o->expiry_s - (uint32_t)waited_s;
    return true;
}

struct mqtt_publish_out outgoing_packet(const struct outgoing *o, uint32_t life_s)
{
    return (struct mqtt_publish_out){
        .qos = o->qos,
        .retain = o->retain,
        .dup = o->dup,
        .has_message_expiry = o->has_expiry,
        .message_expiry_s = life_s,
        .packet_id = o->packet_id,
        .topic = o->topic,
        .properties = o->properties,
        .payload = o->payload,
    };
}
