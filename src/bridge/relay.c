#include "bridge/relay.h"

#include "base/utf8.h"
#include "bridge/path.h"
#include "mqtt/reason.h"

#include <stdlib.h>
#include <string.h>

#define PATH_BYTES_MAX 4096
#define NODE_BYTES_MAX 64
#define MESSAGE_BYTES  256 /* what each costs beside its text */

/* A message that the other side has not finished yet. */
struct relayed {
    struct list link; /* relay->pending */
    uint64_t id;      /* on the other side */
    uint64_t handle;  /* on the side it came from; 0: QoS 0, nobody waits */
    size_t bytes;     /* that it costs, here and on the other side */
    struct span topic;
    char text[];
};

static enum rule_side other(enum rule_side side)
{
    return side == SIDE_LOCAL ? SIDE_REMOTE : SIDE_LOCAL;
}

static struct span span_of_bytes(struct symbolon_bytes bytes)
{
    return span_of(bytes.p, bytes.len);
}

static struct symbolon_bytes bytes_of_span(struct span s)
{
    return (struct symbolon_bytes){ s.p, s.len };
}

void relay_init(struct relay *r, const struct rules *rules, struct span node, relay_dropped *dropped, void *ctx)
{
    *r = (struct relay){ .rules = rules, .node = node, .dropped = dropped, .ctx = ctx };
    list_init(&r->pending[SIDE_LOCAL]);
    list_init(&r->pending[SIDE_REMOTE]);
    buf_init(&r->topic, TOPIC_LEN_MAX);
    buf_init(&r->response, TOPIC_LEN_MAX);
    buf_init(&r->path, PATH_BYTES_MAX);
    buf_init(&r->remote_node, NODE_BYTES_MAX);
}

void relay_set_remote_node(struct relay *r, struct span node)
{
    buf_reset(&r->remote_node);
    if (node.len <= NODE_BYTES_MAX)
        put_bytes(&r->remote_node, node);
}

void relay_done(struct relay *r)
{
    for (int side = SIDE_LOCAL; side <= SIDE_REMOTE; side++)
        for (struct list *link = list_shift(&r->pending[side]); link != NULL;
             link = list_shift(&r->pending[side]))
            free(CONTAINER_OF(link, struct relayed, link));
    buf_done(&r->topic);
    buf_done(&r->response);
    buf_done(&r->path);
    buf_done(&r->remote_node);
}

static void acknowledge(struct relay *r, enum rule_side from, uint64_t handle, uint8_t reason)
{
    if (handle != 0)
        r->side[from].ack(r->side[from].ctx, handle, r->side[from].v3 ? MQTT_SUCCESS : reason);
}

/* Of all that can have gone wrong, what PUBACK and PUBREC have a code for (MQTT5 3.4.2.1, 3.5.2.1). */
static uint8_t reason_of(const struct symbolon_error *result)
{
    switch (result->reason_code) {
    case MQTT_UNSPECIFIED_ERROR:
    case MQTT_IMPLEMENTATION_ERROR:
    case MQTT_NOT_AUTHORIZED:
    case MQTT_TOPIC_NAME_INVALID:
    case MQTT_QUOTA_EXCEEDED:
    case MQTT_PAYLOAD_FORMAT_INVALID:
        return (uint8_t)result->reason_code;
    default:
        return MQTT_UNSPECIFIED_ERROR;
    }
}

/* A message whose life was over has not been refused by anybody. */
static void finish(struct relay *r, enum rule_side from, struct span topic, uint64_t handle,
                   const struct symbolon_error *result)
{
    bool good = result->status == SYMBOLON_OK || result->status == SYMBOLON_TIMEOUT;

    if (!good) {
        r->counters[from].refused++;
        r->dropped(r->ctx, from, topic, result);
    }
    acknowledge(r, from, handle, good ? MQTT_SUCCESS : reason_of(result));
}

/* -- how much is under way -- */

static size_t bytes_of(const struct symbolon_message *m)
{
    size_t bytes = MESSAGE_BYTES + 2 * m->topic.len + m->payload.len + m->content_type.len +
                   m->response_topic.len + m->correlation_data.len;

    for (size_t i = 0; i < m->user_property_count; i++)
        bytes += m->user_properties[i].name.len + m->user_properties[i].value.len;
    return bytes;
}

static void hold(struct relay *r, enum rule_side from, bool on)
{
    if (r->held[from] == on || r->side[from].hold == NULL)
        return;
    r->held[from] = on;
    r->side[from].hold(r->side[from].ctx, on);
}

static void begin(struct relay *r, enum rule_side from, struct relayed *m)
{
    list_append(&r->pending[from], &m->link);
    r->bytes[from] += m->bytes;
    if (r->bytes[from] >= RELAY_BYTES_MAX)
        hold(r, from, true);
}

static void end(struct relay *r, enum rule_side from, struct relayed *m)
{
    list_remove(&m->link);
    r->bytes[from] -= m->bytes;
    if (r->bytes[from] < RELAY_BYTES_MAX / 2)
        hold(r, from, false);
}

static struct relayed *relayed_new(const struct symbolon_message *message)
{
    struct relayed *m = malloc(sizeof *m + message->topic.len);

    if (m == NULL)
        return NULL;
    *m = (struct relayed){ .handle = message->handle, .bytes = bytes_of(message) };
    memcpy(m->text, message->topic.p, message->topic.len);
    m->topic = span_of(m->text, message->topic.len);
    return m;
}

/* -- what changes on the way -- */

static struct span path_of(const struct symbolon_message *message)
{
    for (size_t i = 0; i < message->user_property_count; i++)
        if (span_eq_str(span_of_bytes(message->user_properties[i].name), PATH_PROPERTY))
            return span_of_bytes(message->user_properties[i].value);
    return SPAN_NONE;
}

/* Where an answer shall go is a topic, too: if answers come back by a rule, it is called there as that rule has it. */
static void map_response(struct relay *r, enum rule_side from, struct symbolon_message *out)
{
    struct topic_name response;

    buf_reset(&r->response);
    if (out->response_topic.p == NULL ||
        topic_name_parse(span_of_bytes(out->response_topic), &response, NULL) != ST_OK)
        return;
    for (size_t i = 0; i < rules_count(r->rules); i++) {
        const struct rule *rule = rules_at(r->rules, i);
        if (!rule_takes_from(rule, other(from)) || !topic_matches(rule->filter[from], response))
            continue;
        if (rule_exchange(rule, from, response, &r->response))
            out->response_topic = bytes_of_span(buf_span(&r->response));
        return;
    }
}

/* Where it has been it does not go again. */
static bool in_a_ring(const struct relay *r, enum rule_side from, struct span path)
{
    if (from == SIDE_REMOTE)
        return path_ends(path, r->node, PATH_IN);
    return path_ends(path, r->node, PATH_OUT) ||
           (r->remote_node.len > 0 && path_ends(path, buf_span(&r->remote_node), PATH_IN));
}

/* What comes in has been at the other broker, though nobody there may have written it down. */
static void add_nodes(struct relay *r, enum rule_side from, struct span path)
{
    CLEANUP(buf_done)
    struct buf there = { .max = PATH_BYTES_MAX };

    buf_reset(&r->path);
    if (from == SIDE_LOCAL) {
        path_add(path, r->node, PATH_OUT, &r->path);
        return;
    }
    if (r->remote_node.len > 0 && !path_ends(path, buf_span(&r->remote_node), PATH_IN)) {
        path_add(path, buf_span(&r->remote_node), PATH_OUT, &there);
        path = buf_span(&there);
    }
    path_add(path, r->node, PATH_IN, &r->path);
}

/* The properties but the old path, and the new one behind them. False: out of memory. */
static bool write_path(struct relay *r, enum rule_side from, struct span path,
                       const struct symbolon_message *message, struct symbolon_message *out,
                       struct symbolon_user_property **ret_properties)
{
    struct symbolon_user_property *all = calloc(message->user_property_count + 1, sizeof *all);
    size_t n = 0;

    add_nodes(r, from, path);
    *ret_properties = all;
    if (all == NULL || !buf_ok(&r->path))
        return false;
    for (size_t i = 0; i < message->user_property_count; i++)
        if (!span_eq_str(span_of_bytes(message->user_properties[i].name), PATH_PROPERTY))
            all[n++] = message->user_properties[i];
    all[n++] = (struct symbolon_user_property){ bytes_of_span(SPAN(PATH_PROPERTY)),
                                                bytes_of_span(buf_span(&r->path)) };
    out->user_properties = all;
    out->user_property_count = n;
    return true;
}

static void fill(const struct rule *rule, const struct symbolon_message *message, struct symbolon_message *out)
{
    *out = *message;
    out->handle = 0;
    out->dup = false;
    out->packet_id = 0;
    out->qos = message->qos < rule->qos ? message->qos : rule->qos;
    /* What a sender claims of its payload and is not so, its receivers shall not be told by us. */
    out->payload_is_utf8 = message->payload_is_utf8 && utf8_valid(span_of_bytes(message->payload));
}

static void strip(struct symbolon_message *out)
{
    out->payload_is_utf8 = out->has_expiry = false;
    out->content_type = out->response_topic = out->correlation_data = (struct symbolon_bytes){ NULL, 0 };
    out->user_properties = NULL;
    out->user_property_count = 0;
}

/* -- over -- */

static void hand_over(struct relay *r, enum rule_side from, const struct symbolon_message *message,
                      const struct symbolon_message *out)
{
    const struct relay_side *to = &r->side[other(from)];
    struct symbolon_error error = { .status = SYMBOLON_NO_MEMORY, .reason_code = -1, .text = "out of memory" };
    struct relayed *m = relayed_new(message);

    if (m == NULL) {
        finish(r, from, span_of_bytes(message->topic), message->handle, &error);
        return;
    }
    begin(r, from, m);
    r->counters[from].passed++;
    if (to->publish(to->ctx, out, &m->id, &error) == SYMBOLON_OK)
        return; /* relay_published() may have freed it by now */
    r->counters[from].passed--;
    end(r, from, m);
    free(m);
    finish(r, from, span_of_bytes(message->topic), message->handle, &error);
}

static bool takes_qos0(const struct relay *r, enum rule_side from)
{
    const struct relay_side *to = &r->side[other(from)];

    return r->bytes[from] < RELAY_BYTES_MAX && to->connected(to->ctx) && to->waiting(to->ctx) < RELAY_QOS0_MAX;
}

void relay_message(struct relay *r, enum rule_side from, const struct symbolon_message *message)
{
    struct topic_name topic;
    struct symbolon_message out;
    CLEANUP(freep)
    struct symbolon_user_property *properties = NULL;
    const struct rule *rule = NULL;
    struct span path = path_of(message);

    buf_reset(&r->topic);
    if (topic_name_parse(span_of_bytes(message->topic), &topic, NULL) == ST_OK)
        rule = rules_map(r->rules, from, topic, &r->topic);
    if (rule == NULL || in_a_ring(r, from, path)) {
        r->counters[from].ended += rule != NULL;
        acknowledge(r, from, message->handle, MQTT_SUCCESS);
        return;
    }
    fill(rule, message, &out);
    out.topic = bytes_of_span(buf_span(&r->topic));
    if (out.qos == 0 && !takes_qos0(r, from)) {
        r->counters[from].missed++;
        acknowledge(r, from, message->handle, MQTT_SUCCESS);
        return;
    }
    if (r->side[other(from)].v3) {
        strip(&out);
    } else {
        map_response(r, from, &out);
        if (!write_path(r, from, path, message, &out, &properties)) {
            finish(r, from, topic.s, message->handle,
                   &(struct symbolon_error){ .status = SYMBOLON_NO_MEMORY, .reason_code = -1 });
            return;
        }
    }
    hand_over(r, from, message, &out);
}

void relay_published(struct relay *r, enum rule_side to, uint64_t id, const struct symbolon_error *result)
{
    enum rule_side from = other(to);

    LIST_EACH (link, &r->pending[from]) {
        struct relayed *m = CONTAINER_OF(link, struct relayed, link);
        if (m->id != id)
            continue;
        end(r, from, m);
        finish(r, from, m->topic, m->handle, result);
        free(m);
        return;
    }
}
