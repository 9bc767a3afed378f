/* SUBSCRIBE and UNSUBSCRIBE, what waits for their answers (MQTT5 3.8 to 3.11), and what is subscribed to again when the
 * broker has lost the session. */
#include "client/engine_priv.h"

#include <stdlib.h>

#define REQUESTS_MAX        1000
#define FILTERS_MAX         10000
#define FILTERS_AGAIN       64 /* in one SUBSCRIBE of ours */
#define SUBSCRIPTION_ID_MAX 268435455

/* One subscription as asked for; with resubscribe, kept once the broker has granted it. */
struct kept {
    struct list link;
    uint32_t subscription_id;
    struct mqtt_subscription options; /* .filter in `filter` */
    uint8_t filter[];
};

struct request {
    struct list link;
    uint64_t id;
    uint16_t packet_id;
    bool unsubscribe;
    size_t count;
    struct list wanted; /* struct kept, in the order of the filters; empty without resubscribe */
};

static struct request *request_of(struct list *link)
{
    return CONTAINER_OF(link, struct request, link);
}

static struct kept *kept_of(struct list *link)
{
    return CONTAINER_OF(link, struct kept, link);
}

static void free_kept(struct list *list)
{
    for (struct list *link = list_shift(list); link != NULL; link = list_shift(list))
        free(kept_of(link));
}

static void request_free(struct request *r)
{
    free_kept(&r->wanted);
    free(r);
}

/* ---- asking ---- */

static enum symbolon_status may_ask(const struct engine *e, size_t count,
                                    const struct symbolon_request *request, struct symbolon_error *error)
{
    if (e->state != ENGINE_OPEN)
        return error_set(error, SYMBOLON_CLOSED, "", "not connected");
    if (count == 0 || count > FILTERS_MAX)
        return error_set(error, SYMBOLON_INVALID, "MQTT5 [MQTT-3.8.3-2]", "from 1 to %d filters, please",
                         FILTERS_MAX);
    if (e->request_count >= REQUESTS_MAX)
        return error_set(error, SYMBOLON_QUEUE_FULL, "", "too many requests without an answer");
    if (request == NULL)
        return SYMBOLON_OK;
    if (request->subscription_id > SUBSCRIPTION_ID_MAX)
        return error_set(error, SYMBOLON_INVALID, "MQTT5 3.8.2.1.2",
                         "a subscription identifier above 268435455");
    if (request->subscription_id > 0 && !e->broker_subscription_id)
        return error_set(error, SYMBOLON_UNSUPPORTED, "MQTT5 3.2.2.3.12",
                         "the broker does not support subscription identifiers");
    return SYMBOLON_OK;
}

static enum symbolon_status filter_ok(const char *text, struct topic_filter *ret, struct symbolon_error *error)
{
    struct why why = { 0 };

    if (topic_filter_parse(span_of_str(text), ret, &why) != ST_OK)
        return error_set(error, SYMBOLON_INVALID, why.clause, "filter %s: %s", text, why.text);
    return SYMBOLON_OK;
}

static enum symbolon_status subscription_ok(const struct engine *e, const struct symbolon_subscription *s,
                                            struct mqtt_subscription *out, struct symbolon_error *error)
{
    if (s->qos > 2 || s->retain_handling > 2)
        return error_set(error, SYMBOLON_INVALID, "MQTT5 3.8.3.1", "QoS and retain handling are 0, 1 or 2");
    enum symbolon_status st = filter_ok(s->filter, &out->filter, error);
    if (st != SYMBOLON_OK)
        return st;
    if (e->settings.version == MQTT_3_1_1 && (s->no_local || s->retain_as_published || s->retain_handling > 0))
        return error_set(error, SYMBOLON_UNSUPPORTED, "MQTT3 3.8.3",
                         "MQTT 3.1.1 subscriptions have a QoS and no other option");
    bool shared = topic_filter_is_shared(out->filter);
    if (s->no_local && shared)
        return error_set(error, SYMBOLON_INVALID, "MQTT5 [MQTT-3.8.3-4]", "no_local on a shared subscription");
    if (shared && !e->broker_shared)
        return error_set(error, SYMBOLON_UNSUPPORTED, "MQTT5 3.2.2.3.13",
                         "filter %s: the broker does not support shared subscriptions", s->filter);
    if (!e->broker_wildcard && topic_filter_has_wildcard(out->filter))
        return error_set(error, SYMBOLON_UNSUPPORTED, "MQTT5 3.2.2.3.11",
                         "filter %s: the broker does not support wildcards", s->filter);
    out->qos = s->qos;
    out->no_local = s->no_local;
    out->retain_as_published = s->retain_as_published;
    out->retain_handling = s->retain_handling;
    return SYMBOLON_OK;
}

/* Of SUBSCRIBE and UNSUBSCRIBE; 3.1.1 has none, which the writers see to. */
static enum symbolon_status properties(const struct symbolon_request *request, struct mqtt_properties *out,
                                       struct buf *user, struct symbolon_error *error)
{
    *out = (struct mqtt_properties){ 0 };
    if (request == NULL)
        return SYMBOLON_OK;
    if (request->subscription_id > 0) {
        out->subscription_id = request->subscription_id;
        mqtt_set(out, PROP_SUBSCRIPTION_ID);
    }
    enum symbolon_status st =
        user_properties_encode(request->user_properties, request->user_property_count, user, error);
    out->raw = buf_span(user);
    if (user->len > 0)
        mqtt_set(out, PROP_USER);
    return st;
}

/* Sends its packet, which starts at `before`, unless it is more than the broker accepts. */
static enum symbolon_status ask(struct engine *e, struct request *r, size_t before, uint64_t *ret_id,
                                struct symbolon_error *error)
{
    if (e->out.len - before > e->broker_max_packet) {
        buf_truncate(&e->out, before);
        engine_give_packet_id(e, r->packet_id);
        request_free(r);
        return error_set(error, SYMBOLON_TOO_LARGE, "MQTT5 [MQTT-3.2.2-15]",
                         "more than the broker accepts at once");
    }
    if (ret_id != NULL)
        *ret_id = r->id;
    list_append(&e->requests, &r->link);
    e->request_count++;
    engine_send(e);
    return SYMBOLON_OK;
}

static bool want(struct request *r, const struct mqtt_subscription *s, uint32_t subscription_id)
{
    struct kept *k = malloc(sizeof *k + s->filter.s.len);

    if (k == NULL)
        return false;
    memcpy(k->filter, s->filter.s.p, s->filter.s.len);
    k->subscription_id = subscription_id;
    k->options = *s;
    k->options.filter.s = span_of(k->filter, s->filter.s.len);
    list_append(&r->wanted, &k->link);
    return true;
}

static struct request *request_new(struct engine *e, bool unsubscribe, const struct mqtt_subscription *subs,
                                   size_t count, uint32_t subscription_id)
{
    struct request *r = calloc(1, sizeof *r);

    if (r == NULL)
        return NULL;
    r->unsubscribe = unsubscribe;
    r->count = count;
    list_init(&r->wanted);
    for (size_t i = 0; e->settings.resubscribe && i < count; i++) {
        if (!want(r, &subs[i], subscription_id)) {
            request_free(r);
            return NULL;
        }
    }
    r->packet_id = engine_take_packet_id(e);
    if (r->packet_id == 0) {
        request_free(r);
        return NULL;
    }
    return r;
}

static enum symbolon_status no_memory(struct symbolon_error *error)
{
    return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
}

enum symbolon_status engine_subscribe(struct engine *e, const struct symbolon_subscription *subscriptions,
                                      size_t count, const struct symbolon_request *request, struct now now,
                                      uint64_t *ret_id, struct symbolon_error *error)
{
    CLEANUP(freep)
    struct mqtt_subscription *subs = NULL;
    CLEANUP(buf_done)
    struct buf user = { .max = USER_PROPERTIES_BYTES };
    struct mqtt_properties p;
    enum symbolon_status st = may_ask(e, count, request, error);

    e->now = now;
    if (st != SYMBOLON_OK)
        return st;
    subs = calloc(count, sizeof *subs);
    if (subs == NULL)
        return no_memory(error);
    st = properties(request, &p, &user, error);
    for (size_t i = 0; st == SYMBOLON_OK && i < count; i++)
        st = subscription_ok(e, &subscriptions[i], &subs[i], error);
    if (st != SYMBOLON_OK)
        return st;
    struct request *r = request_new(e, false, subs, count, p.subscription_id);
    if (r == NULL)
        return no_memory(error);
    r->id = ++e->last_id;
    size_t before = e->out.len;
    mqtt_write_subscribe(&e->out, e->settings.version, r->packet_id, &p, subs, count);
    return ask(e, r, before, ret_id, error);
}

enum symbolon_status engine_unsubscribe(struct engine *e, const char *const *filters, size_t count,
                                        const struct symbolon_request *request, struct now now,
                                        uint64_t *ret_id, struct symbolon_error *error)
{
    CLEANUP(freep)
    struct topic_filter *parsed = NULL;
    CLEANUP(freep)
    struct mqtt_subscription *subs = NULL; /* the same, for what is kept */
    CLEANUP(buf_done)
    struct buf user = { .max = USER_PROPERTIES_BYTES };
    struct mqtt_properties p;
    enum symbolon_status st = may_ask(e, count, NULL, error);

    e->now = now;
    if (st != SYMBOLON_OK)
        return st;
    if (request != NULL && request->subscription_id > 0)
        return error_set(error, SYMBOLON_INVALID, "MQTT5 3.10.2.1",
                         "UNSUBSCRIBE has no subscription identifier");
    parsed = calloc(count, sizeof *parsed);
    subs = calloc(count, sizeof *subs);
    if (parsed == NULL || subs == NULL)
        return no_memory(error);
    st = properties(request, &p, &user, error);
    for (size_t i = 0; st == SYMBOLON_OK && i < count; i++) {
        st = filter_ok(filters[i], &parsed[i], error);
        subs[i].filter = parsed[i];
    }
    if (st != SYMBOLON_OK)
        return st;
    struct request *r = request_new(e, true, subs, count, 0);
    if (r == NULL)
        return no_memory(error);
    r->id = ++e->last_id;
    size_t before = e->out.len;
    mqtt_write_unsubscribe(&e->out, e->settings.version, r->packet_id, &p, parsed, count);
    return ask(e, r, before, ret_id, error);
}

/* ---- again, in a new session ---- */

/* From *at on, up to `max` that have the same subscription identifier. */
static size_t gather(struct engine *e, struct list **at, size_t max, struct mqtt_subscription *subs)
{
    size_t n = 0;
    uint32_t id = kept_of(*at)->subscription_id;

    for (; *at != &e->kept && n < max && kept_of(*at)->subscription_id == id; *at = (*at)->next)
        subs[n++] = kept_of(*at)->options;
    return n;
}

static enum symbolon_status ask_again(struct engine *e, const struct mqtt_subscription *subs, size_t count,
                                      uint32_t subscription_id, struct symbolon_error *error)
{
    struct mqtt_properties p = { .subscription_id = subscription_id };
    struct request *r = request_new(e, false, subs, count, subscription_id);
    size_t before = e->out.len;

    if (r == NULL)
        return no_memory(error);
    if (subscription_id > 0 && e->broker_subscription_id)
        mqtt_set(&p, PROP_SUBSCRIPTION_ID);
    mqtt_write_subscribe(&e->out, e->settings.version, r->packet_id, &p, subs, count);
    return ask(e, r, before, NULL, error);
}

void requests_resume(struct engine *e, bool session_present)
{
    struct mqtt_subscription subs[FILTERS_AGAIN];
    struct symbolon_error error;
    struct list *at = e->kept.next;
    size_t max = FILTERS_AGAIN;

    while (!session_present && at != &e->kept && e->state == ENGINE_OPEN) {
        struct list *first = at;
        uint32_t id = kept_of(at)->subscription_id;
        size_t n = gather(e, &at, max, subs);
        enum symbolon_status st = ask_again(e, subs, n, id, &error);
        if (st == SYMBOLON_TOO_LARGE && n > 1) {
            max = n / 2;
            at = first;
        } else if (st != SYMBOLON_OK) {
            e->events->subscribed(e->ctx, 0, SPAN_NONE, &error);
        }
    }
}

/* What was granted replaces what was kept of the same filter; what was refused, or unsubscribed, is not kept. */
static void update_kept(struct engine *e, struct request *r, struct span codes)
{
    size_t i = 0;

    for (struct list *link = list_shift(&r->wanted); link != NULL; link = list_shift(&r->wanted), i++) {
        struct kept *k = kept_of(link);
        bool granted = i < codes.len ? codes.p[i] < MQTT_UNSPECIFIED_ERROR : r->unsubscribe;
        LIST_EACH_SAFE (old, &e->kept) {
            if (!span_eq(kept_of(old)->options.filter.s, k->options.filter.s) || (r->unsubscribe && !granted))
                continue;
            list_remove(old);
            free(kept_of(old));
        }
        if (granted && !r->unsubscribe)
            list_append(&e->kept, link);
        else
            free(k);
    }
}

/* ---- answers ---- */

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
    update_kept(e, r, suback.reasons);
    judge(&suback, &result);
    call_back(e, r, suback.reasons, &result);
    request_free(r);
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
        request_free(r);
    }
}

void requests_done(struct engine *e)
{
    for (struct list *link = list_shift(&e->requests); link != NULL; link = list_shift(&e->requests))
        request_free(request_of(link));
    free_kept(&e->kept);
}
