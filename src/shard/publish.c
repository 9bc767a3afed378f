/* PUBLISH from a client (MQTT5 3.3): allowed? then once to everybody who wants it, and acknowledged. */
#include "shard/authz_info.h"
#include "shard/route.h"
#include "shard/send.h"
#include "shard/shard_priv.h"

#include <stdlib.h>

/* ---- topic aliases (MQTT5 3.3.2.3.4) ---- */

#define ALIAS_TOPIC_BYTES 256u /* room for the topic of each, on the average */

/* Topics of 64 KiB behind all of them would cost a connection far more than the longest packet does. */
static size_t alias_bytes_max(const struct conn *c)
{
    size_t usual = (size_t)c->shard->settings->topic_alias_maximum * ALIAS_TOPIC_BYTES;

    return usual > c->shard->settings->max_packet_bytes ? usual : c->shard->settings->max_packet_bytes;
}

static enum status keep_alias(struct conn *c, uint16_t alias, struct span topic, struct why *why)
{
    if (c->aliases == NULL)
        c->aliases = calloc(c->shard->settings->topic_alias_maximum, sizeof *c->aliases);
    if (c->aliases == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    struct span *kept = &c->aliases[alias - 1];
    if (c->alias_bytes - kept->len + topic.len > alias_bytes_max(c))
        return reject(why, ST_QUOTA, "limits.topic_aliases", "the topics behind the aliases are too long", 0);
    uint8_t *copy = malloc(topic.len);
    if (copy == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    memcpy(copy, topic.p, topic.len);
    c->alias_bytes += topic.len - kept->len;
    free((void *)kept->p);
    *kept = span_of(copy, topic.len);
    return ST_OK;
}

/* Fills in the topic where only its alias came, remembers it where both did. */
static enum status resolve_alias(struct conn *c, struct mqtt_publish *p, struct why *why)
{
    uint16_t alias = p->properties.topic_alias;

    if (!mqtt_has(&p->properties, PROP_TOPIC_ALIAS))
        return ST_OK;
    if (alias == 0 || alias > c->shard->settings->topic_alias_maximum)
        return reject(why, ST_BAD_TOPIC_ALIAS, "MQTT5 [MQTT-3.3.2-9]", "topic alias beyond Topic Alias Maximum",
                      0);
    if (p->topic.s.len > 0)
        return keep_alias(c, alias, p->topic.s, why);
    if (c->aliases == NULL || c->aliases[alias - 1].p == NULL)
        return reject(why, ST_PROTOCOL, "MQTT5 3.3.2.3.4", "topic alias without a topic", 0);
    p->topic.s = c->aliases[alias - 1];
    return ST_OK;
}

/* ---- refusals ---- */

/* MT-96, MT-97: with an acknowledgement to put it in, the refusal goes there; else the connection ends. In 3.1.1 no
 * acknowledgement has room for it (MT-126, MQTT311 [MQTT-3.3.5-2]). */
static void refuse(struct conn *c, const struct mqtt_publish *p, uint8_t code, enum status st,
                   const struct why *why)
{
    if (p->qos == 0 || c->version != MQTT_5) {
        conn_refuse(c, code, st, why, "publish_refused");
        return;
    }
    atomic_fetch_add_explicit(&c->shard->stats.refusals[st], 1, memory_order_relaxed);
    log_event(&c->log, LOG_NOTICE, "publish_refused", F_WHY(st, *why), F_I64("reason_code", code),
              F_SPAN("topic", p->topic.s));
    send_ack(c, p->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, p->packet_id, code, why);
}

static uint8_t refusal_code(const struct conn *c, enum status st)
{
    uint8_t code = status_mqtt5_code(st);

    return code == MQTT_NOT_AUTHORIZED && c->shard->settings->hide_topics ? MQTT_UNSPECIFIED_ERROR
                                                                          : code; /* D-24 */
}

/* ---- acceptance ---- */

static enum status make_message(struct conn *c, const struct mqtt_publish *p, struct message **ret_message)
{
    struct buf *properties = &c->shard->scratch;
    struct message_parts parts = {
        .topic = p->topic.s,
        .payload = p->payload,
        .qos = p->qos,
        .retain = p->retain,
        .publisher = c->session->number,
        .expires_ms = TIME_NEVER,
        .token_until_s = TIME_NEVER,
    };

    if (p->properties.has != 0) {
        buf_reset(properties);
        mqtt_put_message_properties(properties, &p->properties);
        if (!buf_ok(properties))
            return ST_NO_MEMORY;
        parts.properties = buf_span(properties);
    }
    if (mqtt_has(&p->properties, PROP_MESSAGE_EXPIRY))
        parts.expires_ms = message_expires_ms(c->shard->now, p->properties.message_expiry_s);
    if (p->retain)
        retained_bound(c->session, &parts);
    return message_new(&parts, ret_message);
}

/* While the store fails, what it would have to take is refused before anything changes. */
static enum status check_store(struct conn *c, const struct mqtt_publish *p, const struct message *m,
                               struct why *why)
{
    if (!c->shard->journal.failing || p->qos == 0)
        return ST_OK;
    if ((p->qos < 2 || !session_is_kept(c->session)) && !route_needs_disk(c->shard, m))
        return ST_OK;
    return journal_refuse(&c->shard->journal, why);
}

/* *ret_barrier: what its acknowledgement waits for; with a reference of an ask, perhaps, when accepted. */
static enum status accept(struct conn *c, const struct mqtt_publish *p, struct barrier *ret_barrier,
                          struct why *why)
{
    CLEANUP(message_unrefp)
    struct message *m = NULL;
    struct journal *j = &c->shard->journal;
    uint64_t changes = j->changes;
    enum route_care care = ROUTE_UNKNOWN;
    struct route_wait wait;
    enum status st = make_message(c, p, &m);

    if (st == ST_OK && p->qos > 0 && c->shard->settings->queue_full == QUEUE_REFUSE &&
        !route_has_room(c->shard, m)) {
        STATS_INC(&c->shard->stats, refused_queue_full);
        return reject(why, ST_QUOTA, "session.queue_full", "the queue of a subscriber is full", 0);
    }
    if (st == ST_OK) {
        st = check_store(c, p, m, why);
        if (st != ST_OK)
            return st;
    }
    if (st == ST_OK && p->qos == 2)
        st = id_set_add(&c->session->received, p->packet_id);
    if (st != ST_OK)
        return reject(why, st, "memory", "out of memory", 0);
    if (p->qos == 2)
        session_change(c->session, SESSION_RECEIVED);
    if (p->qos > 0)
        care = p->qos == 2 && session_is_kept(c->session) ? ROUTE_ONCE : ROUTE_CONFIRM;
    STATS_INC(&c->shard->stats, messages_in);
    STATS_ADD(&c->shard->stats, payload_in, p->payload.len);
    st = route_publish(c->shard, m, care, &wait);
    *ret_barrier = journal_barrier_since(j, changes, wait.remote);
    ret_barrier->ask = wait.ask;
    if (st == ST_OK || p->qos == 0)
        return ST_OK;
    retained_ask_unref(TAKE(ret_barrier->ask));
    if (p->qos == 2 && id_set_remove(&c->session->received, p->packet_id))
        session_change(c->session, SESSION_RECEIVED);
    if (st == ST_QUOTA)
        return reject(why, st, "retained", "delivered, but not kept: a limit of retained messages", 0);
    return reject(why, st, "memory", "out of memory: not everybody got it", 0);
}

/* What is wrong enough to end the connection, whoever may publish what. */
static enum status check(struct conn *c, struct mqtt_publish *p, struct why *why)
{
    const struct shard_settings *settings = c->shard->settings;
    enum status st = resolve_alias(c, p, why);

    if (st != ST_OK)
        return st;
    if (grant_is_built_in(c->session->grant)) {
        p->retain = p->retain && settings->retain_available;
        return ST_OK;
    }
    if (p->qos > settings->maximum_qos)
        return reject(why, ST_BAD_QOS, "MQTT5 [MQTT-3.2.2-11]", "the QoS is beyond Maximum QoS", 0);
    if (p->retain && !settings->retain_available)
        return reject(why, ST_NO_RETAIN, "MQTT5 [MQTT-3.2.2-14]", "retained messages are not available", 0);
    return ST_OK;
}

/* Open between packets: QoS 2, and QoS 1 that is not acknowledged before it is durable. A client of 3.1.1 has not been
 * told of a maximum; its packet identifiers are the limit. */
static bool beyond_receive_maximum(const struct conn *c, const struct mqtt_publish *p)
{
    uint32_t open = c->session->received.count;

    if (p->qos == 0 || c->version != MQTT_5)
        return false;
    open = open > c->received_before ? open - c->received_before : 0; /* MQTT5 4.9 */
    return open + gate_publishes(c) >= c->throttle.receive_maximum;
}

/* MT-74 speaks of PUBREL from the client too: the message was checked and passed on with its PUBLISH (method A of
 * MQTT5 figure 4.3), so nothing is left to be released. */
void on_publish(struct conn *c, const struct mqtt_frame *frame)
{
    struct mqtt_publish p;
    struct authz az;
    struct barrier barrier;
    struct why why = { 0 };
    enum status st = mqtt_read_publish(frame, c->version, &p, &why);

    c->shard->published += frame->total_len;
    if (st == ST_OK)
        st = check(c, &p, &why);
    if (st != ST_OK) {
        conn_fail(c, st, &why);
        return;
    }
    if (p.qos == 2 && id_set_has(&c->session->received, p.packet_id)) { /* passed on already: [MQTT-4.3.3-10] */
        send_ack_when(c, MQTT_PUBREC, p.packet_id, MQTT_SUCCESS, NULL, session_barrier(c->session));
        return;
    }
    if (beyond_receive_maximum(c, &p)) {
        st = reject(&why, ST_QUOTA, "MQTT5 [MQTT-3.3.4-7]", "more in flight than Receive Maximum", 0);
        conn_refuse(c, MQTT_RECEIVE_MAXIMUM_EXCEEDED, st, &why, "packet_refused");
        return;
    }
    if (c->shard->settings->authz_info && span_eq_str(p.topic.s, AUTHZ_INFO_TOPIC)) {
        authz_info_publish(c, &p);
        return;
    }
    az = conn_authz(c);
    if (topic_too_deep(p.topic.s, c->shard->settings->max_topic_levels))
        st = reject(&why, ST_BAD_TOPIC, "limits.topic_levels", "the topic has too many levels", 0);
    else
        st = authz_publish(&az, p.topic, conn_authz_cache(c), &why);
    if (st == ST_OK && pressure_is_high(c->shard->pressure)) {
        st = throttle_publish(c->shard, &p, &why);
        if (st != ST_OK && p.qos == 0)
            return; /* nobody waits for an answer */
    }
    if (st == ST_OK)
        st = accept(c, &p, &barrier, &why);
    if (st != ST_OK)
        refuse(c, &p, refusal_code(c, st), st, &why);
    else if (p.qos > 0) {
        send_ack_when(c, p.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, p.packet_id, MQTT_SUCCESS, NULL, barrier);
        retained_ask_unref(barrier.ask);
    }
}
