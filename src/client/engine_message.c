/* A received PUBLISH as the application sees it. */
#include "client/engine.h"
#include "client/error_priv.h"

size_t message_user_properties(const struct mqtt_properties *p, struct symbolon_user_property *user, size_t cap)
{
    struct span name, value;
    size_t n = 0, at = 0;

    for (; mqtt_next_user_property(p, &at, &name, &value); n++)
        if (n < cap)
            user[n] = (struct symbolon_user_property){ bytes_of_span(name), bytes_of_span(value) };
    return n;
}

static size_t subscription_ids(const struct mqtt_properties *p, uint32_t *ids, size_t cap)
{
    size_t n = 0, at = 0;

    while (n < cap && mqtt_next_subscription_id(p, &at, &ids[n]))
        n++;
    return n;
}

void message_of_publish(const struct mqtt_publish *publish, struct symbolon_user_property *user,
                        size_t user_cap, uint32_t *ids, size_t ids_cap, struct symbolon_message *out)
{
    const struct mqtt_properties *p = &publish->properties;
    size_t n = message_user_properties(p, user, user_cap);

    *out = (struct symbolon_message){
        .topic = bytes_of_span(publish->topic.s),
        .payload = bytes_of_span(publish->payload),
        .qos = publish->qos,
        .retain = publish->retain,
        .dup = publish->dup,
        .payload_is_utf8 = mqtt_has(p, PROP_PAYLOAD_FORMAT) && p->payload_format == 1,
        .has_expiry = mqtt_has(p, PROP_MESSAGE_EXPIRY),
        .expiry_s = p->message_expiry_s,
        .content_type = bytes_of_span(p->content_type),
        .response_topic = bytes_of_span(p->response_topic),
        .correlation_data = bytes_of_span(p->correlation_data),
        .user_properties = user,
        .user_property_count = n < user_cap ? n : user_cap,
        .packet_id = publish->packet_id,
        .subscription_ids = ids,
        .subscription_id_count = subscription_ids(p, ids, ids_cap),
        .topic_alias = mqtt_has(p, PROP_TOPIC_ALIAS) ? p->topic_alias : 0,
    };
}
