#include "shard/route.h"

#include "base/prefetch.h"
#include "shard/durable_post.h"
#include "shard/late.h"
#include "shard/retained_ask.h"
#include "shard/share.h"
#include "topic/topic_tree.h"

struct visit {
    struct shard *shard;
    const struct message *message;
    const struct record_meta *before; /* only who was at home on shard `to` then; NULL: everybody here */
    unsigned to;
    enum status st; /* ST_NO_MEMORY: somebody is to have it, whatever happens, and does not */
    uint32_t late;  /* number of a message that everybody gets once (late.h); 0: of another one */
    bool again;     /* only who has missed it */
};

/* Whether it is the turn of who missed that message last. */
static bool is_due(const struct visit *v, uint32_t missed)
{
    return v->late == 0 || (missed == v->late) == v->again;
}

static void deliver_one(struct visit *v, struct session *s)
{
    if (!is_due(v, s->match.missed))
        return;
    if (session_deliver(s, v->message, &s->match.how) != ST_NO_MEMORY)
        s->match.missed = 0;
    else if (session_is_kept(s) && s->match.how.qos > 0 && !(s->match.copied && v->late != 0)) {
        s->match.missed = v->late;
        v->st = ST_NO_MEMORY;
    }
}

static void deliver_group(struct visit *v, struct share *group)
{
    if (!is_due(v, group->missed))
        return;
    group->missed = 0;
    if (share_publish(group, v->message) == ST_OK)
        return;
    group->missed = v->late;
    v->st = ST_NO_MEMORY;
}

static bool was_there(const struct visit *v, struct span name)
{
    return v->before == NULL || siphash(v->before->home_key, name) % v->before->workers == v->to;
}

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
        if (was_there(v, share_text(CONTAINER_OF(sub, struct share, group))))
            list_append(&v->shard->matched_groups, &sub->link);
        return;
    }
    if (!was_there(v, session_client_id(s)))
        return;
    how = &s->match.how;
    if (sub->no_local && v->message->publisher == s->number)
        return; /* MQTT5 [MQTT-3.8.3-3] */
    if (s->match.active && sub->id != 0 && how->n_ids == DELIVERY_MAX_IDS) {
        deliver_one(v, s);
        how->n_ids = 0;
        s->match.copied = true;
    }
    if (!s->match.active) {
        s->match.active = true;
        s->match.copied = false;
        *how = (struct delivery_options){ 0 };
        list_append(&v->shard->matched, &s->match.link);
        if (s->conn != NULL) /* deliver_one() needs it when all are together */
            prefetch(s->conn, sizeof *s->conn);
    }
    if (qos > how->qos)
        how->qos = qos;
    if (sub->retain_as_published && v->message->retain && !conn_is_v3(s->conn)) /* an option of MQTT 5 */
        how->retain = true;
    if (sub->id != 0)
        how->ids[how->n_ids++] = sub->id;
}

static uint64_t deliver_to(struct visit *v)
{
    struct shard *shard = v->shard;
    uint64_t others;
    struct list *link;

    ASSERT(list_empty(&shard->matched) && list_empty(&shard->matched_groups));
    others = topic_tree_match(shard->tree, (struct topic_name){ message_topic(v->message) }, gather, v);
    while ((link = list_shift(&shard->matched)) != NULL) {
        struct session *s = CONTAINER_OF(link, struct session, match.link);

        s->match.active = false;
        deliver_one(v, s);
    }
    while ((link = list_shift(&shard->matched_groups)) != NULL)
        deliver_group(v, CONTAINER_OF(CONTAINER_OF(link, struct subscription, link), struct share, group));
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

struct disk {
    struct shard *shard;
    bool needed;
};

static void look_for_kept(void *ctx, struct topic_subscription *in_tree)
{
    struct disk *disk = ctx;
    const struct subscription *sub = CONTAINER_OF(in_tree, struct subscription, in_tree);

    disk->shard->work++;
    if (sub->session == NULL)
        disk->needed = disk->needed || CONTAINER_OF(sub, struct share, group)->durable_count > 0;
    else
        disk->needed = disk->needed || (sub->qos > 0 && session_is_kept(sub->session));
}

bool route_needs_disk(struct shard *shard, const struct message *m)
{
    struct disk disk = { shard, m->retain };

    if (disk.needed)
        return true;
    return topic_tree_match(shard->tree, (struct topic_name){ message_topic(m) }, look_for_kept, &disk) != 0 ||
           disk.needed;
}

/* Who sent it has forgotten it: all get it, each once, as soon as there is memory. */
static void deliver_once(struct shard *shard, struct shard_msg *msg)
{
    struct visit v = { .shard = shard, .message = msg->message };

    late_begin(shard, msg, &v.again);
    v.late = shard->late.number;
    (void)deliver_to(&v);
    if (v.st != ST_OK) {
        late_again(shard, msg);
        return;
    }
    durable_post_arrived(shard, TAKE(msg->out));
    shard_msg_free(msg);
}

void route_on_deliver(struct shard *shard, struct shard_msg *msg)
{
    struct visit v = { .shard = shard, .message = msg->message };
    uint64_t changes = shard->journal.changes;

    if (msg->out != NULL) {
        deliver_once(shard, msg);
        return;
    }
    (void)deliver_to(&v);
    if (msg->durable != 0)
        journal_got(shard, msg->from, msg->durable, changes, v.st != ST_OK);
    shard_msg_spare(&shard->spares, msg);
}

void route_on_retain(struct shard *shard, struct shard_msg *msg)
{
    uint64_t changes = shard->journal.changes;
    enum status st = retained_store(shard, msg->message);

    if (msg->out != NULL && st == ST_NO_MEMORY) {
        late_again(shard, msg);
        return;
    }
    if (msg->out != NULL)
        durable_post_arrived(shard, TAKE(msg->out));
    else if (msg->durable != 0)
        journal_got(shard, msg->from, msg->durable, changes, false);
    if (msg->ask != NULL)
        retained_ask_answer(shard, msg, st == ST_OK);
    else
        shard_msg_free(msg);
}

enum status route_restore(struct shard *shard, const struct message *m, const struct record_meta *before,
                          unsigned to)
{
    struct visit v = { .shard = shard, .message = m, .before = before, .to = to };

    (void)deliver_to(&v);
    return v.st;
}

/* Whether a message may make something dirty on another shard. Where no session at all is on disk, nobody is asked to confirm
 * that it is. One that is new and not seen here yet has not been promised this message either. */
static bool may_be_kept(const struct shard *shard, enum shard_msg_kind kind)
{
    return kind != MSG_DELIVER || shard->settings->pressure == NULL ||
           pressure_count(shard->pressure, COUNT_KEPT_SESSIONS) > 0;
}

/* Whether it is said that a retained message is kept. What is delivered once is acknowledged once it is on disk that it will go:
 * refused later, its identifier would be free for another message before the disk knows. */
static bool is_asked(const struct shard *shard, enum shard_msg_kind kind, enum route_care care,
                     const struct route_wait *wait)
{
    return kind == MSG_RETAIN_SET && wait != NULL &&
           (care == ROUTE_CONFIRM || (care == ROUTE_ONCE && !durable_post_on(shard)));
}

static enum status post_message(struct shard *shard, unsigned to, enum shard_msg_kind kind,
                                const struct message *m, enum route_care care, struct route_wait *wait)
{
    struct shard_msg *msg = shard_msg_reuse(&shard->spares, kind, shard->index);

    if (msg != NULL && is_asked(shard, kind, care, wait)) {
        msg->ask = retained_ask_new();
        if (msg->ask == NULL) {
            shard_msg_free(msg);
            msg = NULL;
        }
    }
    if (msg == NULL) {
        STATS_INC(&shard->stats, dropped_no_memory);
        return ST_NO_MEMORY;
    }
    msg->message = message_ref(m);
    if (msg->ask != NULL)
        wait->ask = retained_ask_ref(msg->ask);
    if (durable_post_on(shard) && (care == ROUTE_ONCE || (kind == MSG_RETAIN_SET && durable_post_waits(shard))))
        return durable_post(shard, to, msg);
    if (wait != NULL && care != ROUTE_UNKNOWN && shard->journal.waits && may_be_kept(shard, kind)) {
        msg->durable = journal_number(shard, to);
        wait->remote = true;
    }
    shard->world.post(shard->world.ctx, to, msg);
    return ST_OK;
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

/* What all shards together may hold, less what the others do. Two who store at the same moment may both find room. */
static void limit_retained(struct shard *shard)
{
    const struct shard_settings *settings = shard->settings;
    uint64_t messages = pressure_count(shard->pressure, COUNT_RETAINED) - shard->retained_told;
    uint64_t bytes = pressure_count(shard->pressure, COUNT_RETAINED_BYTES) - shard->retained_bytes_told;

    retained_limit(shard->retained,
                   messages < settings->max_retained_messages ? settings->max_retained_messages - messages : 0,
                   bytes < settings->max_retained_bytes ? settings->max_retained_bytes - bytes : 0);
}

enum status retained_store(struct shard *shard, const struct message *m)
{
    struct why why = { 0 };
    enum status st;

    if (message_retained_expired(m, shard->now) && m->payload_at != m->wire_len)
        return ST_OK; /* a Will of a token that has ended: delivered, not kept (MT-111, MT-112) */
    limit_retained(shard);
    st = retained_set(shard_retained(shard, message_topic(m)), m, shard->now, &why);
    if (st != ST_OK) {
        STATS_INC(&shard->stats, dropped_retained);
        log_event(shard->log, LOG_WARNING, "retained_not_stored", F_WHY(st, why),
                  F_SPAN("topic", message_topic(m)));
    }
    shard_count_retained(shard);
    if (retained_count(shard->retained) > 0 && !timer_running(&shard->purge))
        timer_start(&shard->timers, &shard->purge, mono_plus_ms(shard->now.mono, MS_PER_S));
    return st;
}

enum status route_publish(struct shard *shard, const struct message *m, enum route_care care,
                          struct route_wait *ret_wait)
{
    struct visit v = { .shard = shard, .message = m };
    enum status st = ST_OK;
    uint64_t others;

    if (ret_wait != NULL)
        *ret_wait = (struct route_wait){ 0 };
    /* The store first, so that whoever hears of the message finds it there. */
    if (m->retain) {
        unsigned owner = retained_owner(shard, message_topic(m));

        if (owner == shard->index)
            st = retained_store(shard, m);
        else
            st = post_message(shard, owner, MSG_RETAIN_SET, m, care, ret_wait);
    }
    others = deliver_to(&v);
    for (unsigned to = 0; others != 0 && to < shard->count; to++) {
        if ((others >> to & 1) != 0 && to != shard->index &&
            post_message(shard, to, MSG_DELIVER, m, care, ret_wait) != ST_OK)
            st = ST_NO_MEMORY;
        others &= ~(UINT64_C(1) << to);
    }
    if (v.st != ST_OK)
        st = v.st;
    return st;
}
