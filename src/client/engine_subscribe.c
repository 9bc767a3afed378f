/* SUBSCRIBE and UNSUBSCRIBE, and what waits for their answers (MQTT5 3.8 to 3.11). */
#include "client/engine_priv.h"

#include <stdlib.h>

#define REQUESTS_MAX 1000
#define FILTERS_MAX  10000

struct request {
    struct list link;
    uint64_t id;
    uint16_t packet_id;
    bool unsubscribe;
    size_t count;
};

static struct request *request_of(struct list *link)
{
    return CONTAINER_OF(link, struct request, link);
}

static enum symbolon_status may_ask(const struct engine *e, size_t count, struct symbolon_error *error)
{
    if (e->state != ENGINE_OPEN)
        return error_set(error, SYMBOLON_CLOSED, "", "not connected");
    if (count == 0 || count > FILTERS_MAX)
        return error_set(error, SYMBOLON_INVALID, "MQTT5 [MQTT-3.8.3-2]", "from 1 to %d filters, please",
                         FILTERS_MAX);
    if (e->request_count >= REQUESTS_MAX)
        return error_set(error, SYMBOLON_QUEUE_FULL, "", "too many requests without an answer");
    return SYMBOLON_OK;
}

static enum symbolon_status filter_ok(const char *text, struct topic_filter *ret, struct symbolon_error *error)
{
    struct why why = { 0 };

    if (topic_filter_parse(span_of_str(text), ret, &why) != ST_OK)
        return error_set(error, SYMBOLON_INVALID, why.clause, "filter %s: %s", text, why.text);
    return SYMBOLON_OK;
}

/* Notes the request and sends its packet, which starts at `before`, unless it is more than the broker accepts. */
static enum symbolon_status ask(struct engine *e, struct request *r, size_t before, uint64_t *ret_id,
                                struct symbolon_error *error)
{
    if (e->out.len - before > e->broker_max_packet) {
        buf_truncate(&e->out, before);
        engine_give_packet_id(e, r->packet_id);
        free(r);
        return error_set(error, SYMBOLON_TOO_LARGE, "MQTT5 [MQTT-3.2.2-15]",
                         "more than the broker accepts at once");
    }
    r->id = ++e->last_id;
    if (ret_id != NULL)
        *ret_id = r->id;
    list_append(&e->requests, &r->link);
    e->request_count++;
    engine_send(e);
    return SYMBOLON_OK;
}

static struct request *request_new(struct engine *e, bool unsubscribe, size_t count)
{
    struct request *r = calloc(1, sizeof *r);

    if (r == NULL)
        return NULL;
    r->unsubscribe = unsubscribe;
    r->count = count;
    r->packet_id = engine_take_packet_id(e);
    ASSERT(r->packet_id != 0);
    return r;
}

enum symbolon_status engine_subscribe(struct engine *e, const struct symbolon_subscription *subscriptions,
                                      size_t count, struct now now, uint64_t *ret_id,
                                      struct symbolon_error *error)
{
    CLEANUP(freep)
    struct mqtt_subscription *subs = NULL;
    enum symbolon_status st = may_ask(e, count, error);

    e->now = now;
    if (st != SYMBOLON_OK)
        return st;
    subs = calloc(count, sizeof *subs);
    if (subs == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    for (size_t i = 0; i < count; i++) {
        const struct symbolon_subscription *s = &subscriptions[i];
        if (s->qos > 2 || s->retain_handling > 2)
            return error_set(error, SYMBOLON_INVALID, "MQTT5 3.8.3.1", "QoS and retain handling are 0, 1 or 2");
        st = filter_ok(s->filter, &subs[i].filter, error);
        if (st != SYMBOLON_OK)
            return st;
        if (e->settings.version == MQTT_3_1_1 &&
            (s->no_local || s->retain_as_published || s->retain_handling > 0))
            return error_set(error, SYMBOLON_UNSUPPORTED, "MQTT3 3.8.3",
                             "MQTT 3.1.1 subscriptions have a QoS and no other option");
        if (s->no_local && topic_filter_is_shared(subs[i].filter))
            return error_set(error, SYMBOLON_INVALID, "MQTT5 [MQTT-3.8.3-4]",
                             "no_local on a shared subscription");
        subs[i].qos = s->qos;
        subs[i].no_local = s->no_local;
        subs[i].retain_as_published = s->retain_as_published;
        subs[i].retain_handling = s->retain_handling;
    }
    struct request *r = request_new(e, false, count);
    if (r == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    size_t before = e->out.len;
    mqtt_write_subscribe(&e->out, e->settings.version, r->packet_id, NULL, subs, count);
    return ask(e, r, before, ret_id, error);
}

enum symbolon_status engine_unsubscribe(struct engine *e, const char *const *filters, size_t count,
                                        struct now now, uint64_t *ret_id, struct symbolon_error *error)
{
    CLEANUP(freep)
    struct topic_filter *parsed = NULL;
    enum symbolon_status st = may_ask(e, count, error);

    e->now = now;
    if (st != SYMBOLON_OK)
        return st;
    parsed = calloc(count, sizeof *parsed);
    if (parsed == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    for (size_t i = 0; i < count; i++) {
        st = filter_ok(filters[i], &parsed[i], error);
        if (st != SYMBOLON_OK)
            return st;
    }
    struct request *r = request_new(e, true, count);
    if (r == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    size_t before = e->out.len;
    mqtt_write_unsubscribe(&e->out, e->settings.version, r->packet_id, NULL, parsed, count);
    return ask(e, r, before, ret_id, error);
}

static struct request *find(struct engine *e, uint16_t packet_id)
{
    LIST_EACH (link, &e->requests)
        if (request_of(link)->packet_id == packet_id)
            return request_of(link);
    return NULL;
}

/* The first refusal among the codes, in words; OK if there is none. */
static void judge(const struct mqtt_suback *suback, struct symbolon_error *result)
{
    const char *packet = mqtt_packet_name(suback->type);

    error_none(result);
    for (size_t i = 0; i < suback->reasons.len; i++) {
        if (suback->reasons.p[i] < MQTT_UNSPECIFIED_ERROR)
            continue;
        error_from_reason(result, packet, suback->reasons.p[i], suback->properties.reason_string);
        return;
    }
}

static void call_back(struct engine *e, const struct request *r, struct span codes,
                      const struct symbolon_error *result)
{
    if (r->unsubscribe)
        e->events->unsubscribed(e->ctx, r->id, codes, result);
    else
        e->events->subscribed(e->ctx, r->id, codes, result);
}

void request_answered(struct engine *e, const struct mqtt_frame *frame)
{
    struct mqtt_suback suback;
    struct symbolon_error result;
    struct why why = { 0 };
    enum status st = mqtt_read_suback(frame, e->settings.version, &suback, &why);
    struct request *r = st == ST_OK ? find(e, suback.packet_id) : NULL;

    if (st == ST_OK && (r == NULL || r->unsubscribe != (suback.type == MQTT_UNSUBACK)))
        st = reject(&why, ST_PROTOCOL, "MQTT5 [MQTT-3.8.4-2]", "an answer to a request that was not made", 0);
    bool says_codes =
        e->settings.version == MQTT_5 || suback.type == MQTT_SUBACK; /* UNSUBACK of 3.1.1 has none */
    if (st == ST_OK && says_codes && suback.reasons.len != r->count)
        st = reject(&why, ST_PROTOCOL, "MQTT5 [MQTT-3.9.3-1]", "not one reason code for each filter", 0);
    if (st != ST_OK) {
        engine_fail_why(e, st, &why);
        return;
    }
    list_remove(&r->link);
    e->request_count--;
    engine_give_packet_id(e, r->packet_id);
    judge(&suback, &result);
    call_back(e, r, suback.reasons, &result);
    free(r);
}

void requests_fail(struct engine *e, const struct symbolon_error *why)
{
    struct list failed;

    list_init(&failed); /* a callback may ask anew: that must not be failed as well */
    for (struct list *link = list_shift(&e->requests); link != NULL; link = list_shift(&e->requests))
        list_append(&failed, link);
    e->request_count = 0;
    for (struct list *link = list_shift(&failed); link != NULL; link = list_shift(&failed)) {
        struct request *r = request_of(link);
        engine_give_packet_id(e, r->packet_id);
        call_back(e, r, SPAN_NONE, why);
        free(r);
    }
}

void requests_done(struct engine *e)
{
    for (struct list *link = list_shift(&e->requests); link != NULL; link = list_shift(&e->requests))
        free(request_of(link));
}
