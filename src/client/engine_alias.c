/* Topic aliases, both ways (MQTT5 3.3.2.3.4). They live as long as the connection [MQTT-3.3.2-7]. */
#include "client/engine_priv.h"

#include <stdlib.h>

#define OUR_ALIASES_MAX  256               /* searched one by one */
#define THEIR_TOPICS_MAX ((size_t)4194304) /* bytes of topics the broker can make us remember */

struct alias_topic {
    uint8_t *p; /* NULL: not in use */
    size_t len;
    uint64_t used; /* the higher, the later */
};

static bool set_topic(struct alias_topic *a, struct span topic)
{
    uint8_t *copy = realloc(a->p, topic.len);

    if (copy == NULL)
        return false;
    memcpy(copy, topic.p, topic.len);
    a->p = copy;
    a->len = topic.len;
    return true;
}

static void drop(struct alias_topic **ret_topics, size_t count)
{
    struct alias_topic *topics = TAKE(*ret_topics);

    for (size_t i = 0; topics != NULL && i < count; i++)
        free(topics[i].p);
    free(topics);
}

/* ---- the broker's ---- */

static enum status remember(struct engine *e, struct alias_topic *a, struct span topic, struct why *why)
{
    size_t bytes = e->alias_in_bytes - a->len + topic.len;

    if (bytes > THEIR_TOPICS_MAX)
        return reject(why, ST_QUOTA, "MQTT5 4.13.1", "topic aliases for more than 4 MiB of topics", 0);
    if (!set_topic(a, topic))
        return reject(why, ST_NO_MEMORY, "MQTT5 3.3.2.3.4", "out of memory for a topic alias", 0);
    e->alias_in_bytes = bytes;
    return ST_OK;
}

enum status alias_resolve(struct engine *e, struct mqtt_publish *publish, struct why *why)
{
    size_t max = e->settings.topic_alias_maximum;
    uint16_t alias = publish->properties.topic_alias;
    struct alias_topic *a;

    if (!mqtt_has(&publish->properties, PROP_TOPIC_ALIAS))
        return ST_OK;
    if (alias > max)
        return reject(why, ST_BAD_TOPIC_ALIAS, "MQTT5 [MQTT-3.1.2-26]", "a topic alias beyond our maximum", 0);
    if (e->alias_in == NULL && (e->alias_in = calloc(max, sizeof *e->alias_in)) == NULL)
        return reject(why, ST_NO_MEMORY, "MQTT5 3.3.2.3.4", "out of memory for topic aliases", 0);
    a = &e->alias_in[alias - 1];
    if (publish->topic.s.len > 0)
        return remember(e, a, publish->topic.s, why);
    if (a->p == NULL)
        return reject(why, ST_PROTOCOL, "MQTT5 3.3.2.3.4", "a topic alias that was never set", 0);
    publish->topic.s = span_of(a->p, a->len);
    return ST_OK;
}

/* ---- ours ---- */

void alias_take_maximum(struct engine *e, uint16_t broker_maximum)
{
    size_t max = e->settings.topic_aliases < OUR_ALIASES_MAX ? e->settings.topic_aliases : OUR_ALIASES_MAX;

    e->alias_out_max = broker_maximum < max ? broker_maximum : max; /* [MQTT-3.2.2-17] */
}

/* The alias of the topic, or else the one that was not used for the longest time. */
static size_t choose(const struct engine *e, struct span topic, bool *ret_known)
{
    size_t oldest = 0;

    *ret_known = false;
    for (size_t i = 0; i < e->alias_out_max; i++) {
        const struct alias_topic *a = &e->alias_out[i];
        if (a->p != NULL && span_eq(span_of(a->p, a->len), topic)) {
            *ret_known = true;
            return i;
        }
        if (a->used < e->alias_out[oldest].used)
            oldest = i;
    }
    return oldest;
}

void alias_shorten(struct engine *e, struct mqtt_publish_out *p)
{
    bool known;

    if (e->alias_out_max == 0)
        return;
    if (e->alias_out == NULL && (e->alias_out = calloc(e->alias_out_max, sizeof *e->alias_out)) == NULL)
        return; /* an alias only saves bytes */
    size_t i = choose(e, p->topic, &known);
    p->topic_alias = (uint16_t)(i + 1);
    if (known) {
        p->topic = SPAN_NONE;
    } else if (mqtt_publish_size(p, MQTT_5) > e->broker_max_packet || !set_topic(&e->alias_out[i], p->topic)) {
        p->topic_alias = 0;
        return;
    }
    e->alias_out[i].used = ++e->alias_uses;
}

void alias_forget(struct engine *e)
{
    drop(&e->alias_in, e->settings.topic_alias_maximum);
    drop(&e->alias_out, e->alias_out_max);
    e->alias_in_bytes = e->alias_out_max = 0;
}
