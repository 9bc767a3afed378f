#include "broker/route.h"

#include "broker/share.h"
#include "broker/topic_tree.h"

struct visit {
    struct shard *shard;
    const struct message *message;
};

/* A session matched by several of its subscriptions gets one copy: the highest QoS, every Subscription Identifier
 * (MQTT5 [MQTT-3.3.4-2], [MQTT-3.3.4-3]). Beyond DELIVERY_MAX_IDS of them a further copy carries the rest. */
static void gather(void *ctx, struct topic_subscription *in_tree)
{
    struct visit *v = ctx;
    struct subscription *sub = CONTAINER_OF(in_tree, struct subscription, in_tree);
    struct session *s = sub->session;
    struct delivery_options *how;
    uint8_t qos = sub->qos < v->message->qos ? sub->qos : v->message->qos;

    v->shard->work++;
    if (s == NULL) { /* a group's: it gets a copy of its own for one of its members */
        list_append(&v->shard->matched_groups, &sub->link);
        return;
    }
    how = &s->match.how;
    if (sub->no_local && v->message->publisher == s->number)
        return; /* MQTT5 [MQTT-3.8.3-3] */
    if (s->match.active && sub->id != 0 && how->n_ids == DELIVERY_MAX_IDS) {
        session_deliver(s, v->message, how);
        how->n_ids = 0;
    }
    if (!s->match.active) {
        s->match.active = true;
        *how = (struct delivery_options){ 0 };
        list_append(&v->shard->matched, &s->match.link);
    }
    if (qos > how->qos)
        how->qos = qos;
    if (sub->retain_as_published && v->message->retain && !conn_is_v3(s->conn)) /* an option of MQTT 5 */
        how->retain = true;
    if (sub->id != 0)
        how->ids[how->n_ids++] = sub->id;
}

static uint64_t deliver_here(struct shard *shard, const struct message *m)
{
    struct visit v = { shard, m };
    uint64_t others;
    struct list *link;

    ASSERT(list_empty(&shard->matched) && list_empty(&shard->matched_groups));
    others = topic_tree_match(shard->tree, (struct topic_name){ message_topic(m) }, gather, &v);
    while ((link = list_shift(&shard->matched)) != NULL) {
        struct session *s = CONTAINER_OF(link, struct session, match.link);

        s->match.active = false;
        session_deliver(s, m, &s->match.how);
    }
    while ((link = list_shift(&shard->matched_groups)) != NULL)
        share_publish(CONTAINER_OF(CONTAINER_OF(link, struct subscription, link), struct share, group), m);
    return others;
}

struct room {
    struct shard *shard;
    const struct message *message;
    bool full;
};

static void look_for_room(void *ctx, struct topic_subscription *in_tree)
{
    struct room *r = ctx;
    const struct subscription *sub = CONTAINER_OF(in_tree, struct subscription, in_tree);
    const struct session *s = sub->session;

    r->shard->work++;
    if (s == NULL) {
        if (!share_has_room(CONTAINER_OF(sub, struct share, group), r->message))
            r->full = true;
    } else if (sub->qos > 0 && !(sub->no_local && r->message->publisher == s->number)) {
        r->full = r->full || !session_has_room(s, r->message);
    }
}

bool route_has_room(struct shard *shard, const struct message *m)
{
    struct room r = { shard, m, false };

    (void)topic_tree_match(shard->tree, (struct topic_name){ message_topic(m) }, look_for_room, &r);
    return !r.full;
}

void route_deliver(struct shard *shard, const struct message *m)
{
    (void)deliver_here(shard, m);
}

static bool post_message(struct shard *shard, unsigned to, enum shard_msg_kind kind, const struct message *m)
{
    struct shard_msg *msg = shard_msg_new(kind, shard->index, SPAN_NONE);

    if (msg == NULL) {
        STATS_INC(&shard->stats, dropped_no_memory);
        return false;
    }
    msg->message = message_ref(m);
    shard->world.post(shard->world.ctx, to, msg);
    return true;
}

void retained_bound(const struct session *s, struct message_parts *parts)
{
    const struct shard *shard = s->shard;

    if (shard->settings->keep_retained)
        return;
    parts->token_until_s = grant_until_wall(s->grant, shard->now);
    parts->token_tag = grant_tag(s->grant);
}

unsigned retained_owner(const struct shard *shard, struct span topic)
{
    return shard->count == 1 || topic_is_reserved(topic)
               ? 0
               : (unsigned)(siphash(shard->settings->home_key, topic) % shard->count);
}

void retained_store(struct shard *shard, const struct message *m)
{
    struct why why = { 0 };
    enum status st;

    if (message_retained_expired(m, shard->now) && m->payload_at != m->wire_len)
        return; /* a Will of a token that has ended: delivered, not kept (MT-111, MT-112) */
    st = retained_set(shard_retained(shard, message_topic(m)), m, shard->now, &why);
    if (st != ST_OK) {
        STATS_INC(&shard->stats, dropped_retained);
        log_event(shard->log, LOG_WARNING, "retained_not_stored", F_WHY(st, why),
                  F_SPAN("topic", message_topic(m)));
    }
    shard_count_retained(shard);
    if (retained_count(shard->retained) > 0 && !timer_running(&shard->purge))
        timer_start(&shard->timers, &shard->purge, mono_plus_ms(shard->now.mono, MS_PER_S));
}

void route_publish(struct shard *shard, const struct message *m)
{
    uint64_t others;

    /* The store first, so that whoever hears of the message finds it there. */
    if (m->retain) {
        unsigned owner = retained_owner(shard, message_topic(m));

        if (owner == shard->index)
            retained_store(shard, m);
        else
            (void)post_message(shard, owner, MSG_RETAIN_SET, m);
    }
    others = deliver_here(shard, m);
    for (unsigned to = 0; others != 0 && to < shard->count; to++) {
        if ((others >> to & 1) != 0 && to != shard->index)
            (void)post_message(shard, to, MSG_DELIVER, m);
        others &= ~(UINT64_C(1) << to);
    }
}
