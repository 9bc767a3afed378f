/* SUBSCRIBE and UNSUBSCRIBE (MQTT5 3.8 to 3.11). With several shards a SUBSCRIBE is an operation:
 *
 *   all filters: into the tree ---> every other shard told and heard from?
 *   then each filter in turn: retained messages asked for where they live, and collected
 *   all filters there: SUBACK, then the retained messages, then what was published meanwhile (it was held)
 *
 * The order is what keeps a retained message from being older than the last one delivered: it is looked up after
 * every shard has begun to pass on, and it is sent before anything passed on since. Reading from the client stops
 * meanwhile, so one connection has one operation. With one shard and few filters all of it happens at once. */
#include "shard/subscribe.h"

#include "shard/durable_post.h"
#include "shard/interest.h"
#include "shard/route.h"
#include "shard/send.h"
#include "shard/shard_priv.h"
#include "shard/share.h"

#include <stdlib.h>

/* Retained messages of so many filters are looked up here at once. For those of more the shard's own inbox is used, too,
 * so that others have their turn in between. */
#define QUERIES_AT_ONCE 8
/* And when so many nodes of the tree were looked at for them: a '+' in the middle looks into every branch. Some ms. */
#define QUERY_WORK 10000

struct subscribe_op;

struct op_filter {
    struct interest_waiter waiter;
    struct subscribe_op *op;
    struct span filter; /* in op->text */
    bool wants_retained;
    uint8_t qos;
    struct message **found;
    uint32_t found_count;
    uint32_t found_cap;
};

struct subscribe_op {
    struct list link;       /* in session->operations */
    struct list shard_link; /* in shard->operations */
    struct shard *shard;
    struct session *session; /* NULL: has ended */
    struct conn *conn;       /* NULL: is gone */
    uint16_t packet_id;
    uint32_t subscription_id;
    uint32_t waiting; /* for other shards; one more while on_subscribe() or ask_retained() runs */
    uint32_t found;   /* retained messages, of all filters */
    uint64_t work;    /* shard->work when it began */
    size_t asked;     /* so many filters have had their turn in ask_retained() */
    bool refused;
    struct why why;        /* of the first refusal, for the reason string */
    uint32_t grant_serial; /* of the session when it began */
    uint8_t *text;
    uint8_t *reasons;
    size_t count;
    struct op_filter filters[];
};

/* ---- life ---- */

static struct subscribe_op *op_new(struct conn *c, const struct mqtt_subscribe *packet)
{
    struct subscribe_op *op = calloc(1, sizeof *op + packet->count * sizeof op->filters[0]);

    if (op == NULL)
        return NULL;
    op->text = malloc(packet->filters.len);
    op->reasons = calloc(packet->count, 1);
    if (op->text == NULL || op->reasons == NULL) {
        free(op->text);
        free(op->reasons);
        free(op);
        return NULL;
    }
    memcpy(op->text, packet->filters.p, packet->filters.len);
    op->shard = c->shard;
    op->session = c->session;
    op->conn = c;
    op->packet_id = packet->packet_id;
    op->count = packet->count;
    op->waiting = 1;
    if (mqtt_has(&packet->properties, PROP_SUBSCRIPTION_ID))
        op->subscription_id = packet->properties.subscription_id;
    list_append(&op->session->operations, &op->link);
    list_append(&op->shard->operations, &op->shard_link);
    op->session->held++;
    outbox_hold(&op->session->outbox, op->shard->settings->max_retained_backlog);
    op->grant_serial = op->session->grant_serial;
    op->work = op->shard->work;
    return op;
}

static void op_free(struct subscribe_op *op)
{
    list_remove(&op->link);
    list_remove(&op->shard_link);
    for (size_t i = 0; i < op->count; i++) {
        for (uint32_t k = 0; k < op->filters[i].found_count; k++)
            message_unref(op->filters[i].found[k]);
        free(op->filters[i].found);
        list_remove(&op->filters[i].waiter.link);
    }
    free(op->text);
    free(op->reasons);
    free(op);
}

void subscribe_forget_conn(struct session *s)
{
    LIST_EACH (it, &s->operations)
        CONTAINER_OF(it, struct subscribe_op, link)->conn = NULL;
}

void subscribe_forget_session(struct session *s)
{
    LIST_EACH_SAFE (it, &s->operations) {
        struct subscribe_op *op = CONTAINER_OF(it, struct subscribe_op, link);

        op->session = NULL; /* it stays for the answers that are on their way */
        op->conn = NULL;
        list_remove(it);
    }
}

void subscribe_done(struct shard *shard)
{
    LIST_EACH_SAFE (it, &shard->operations)
        op_free(CONTAINER_OF(it, struct subscribe_op, shard_link));
}

/* ---- the end: SUBACK and retained messages ---- */

static void send_retained(struct subscribe_op *op, const struct op_filter *f)
{
    for (uint32_t k = 0; k < f->found_count; k++) {
        const struct message *m = f->found[k];
        struct delivery_options how = { .qos = m->qos < f->qos ? m->qos : f->qos, .retain = true };

        if (op->subscription_id != 0) {
            how.n_ids = 1;
            how.ids[0] = op->subscription_id;
        }
        session_deliver_retained(op->session, m, &how);
    }
}

static void refuse_filter(struct op_filter *f, uint8_t code, enum status st, const struct why *why)
{
    struct subscribe_op *op = f->op;

    op->reasons[f - op->filters] = code;
    if (!op->refused) {
        op->refused = true;
        op->why = *why;
    }
    atomic_fetch_add_explicit(&op->shard->stats.refusals[st], 1, memory_order_relaxed);
    log_event(op->conn == NULL ? op->shard->log : &op->conn->log, LOG_NOTICE, "subscribe_refused",
              F_WHY(st, *why), F_I64("reason_code", code), F_SPAN("filter", f->filter));
}

/* Another grant came meanwhile, and took subscriptions with it: what is not there is not acknowledged, and its retained
 * messages are not sent (MT-98, MT-107). */
static void refuse_lost(struct subscribe_op *op)
{
    uint8_t code =
        op->shard->settings->hide_topics ? (uint8_t)MQTT_UNSPECIFIED_ERROR : status_mqtt5_code(ST_NOT_IN_SCOPE);

    for (size_t i = 0; i < op->count; i++) {
        struct op_filter *f = &op->filters[i];
        struct why why;

        if (op->reasons[i] >= MQTT_UNSPECIFIED_ERROR ||
            subscription_find(op->session, (struct topic_filter){ f->filter }) != NULL)
            continue;
        for (uint32_t k = 0; k < f->found_count; k++)
            message_unref(f->found[k]);
        f->found_count = 0;
        (void)reject(&why, ST_NOT_IN_SCOPE, "MT-107", "the permission for this filter was taken back", 0);
        refuse_filter(f, code, ST_NOT_IN_SCOPE, &why);
    }
}

static struct barrier kept_barrier(const struct session *s)
{
    return session_is_kept(s) ? journal_barrier_all(&s->shard->journal) : (struct barrier){ 0 };
}

static void op_finish(struct subscribe_op *op)
{
    struct session *s = op->session;
    struct conn *c = op->conn;

    if (s != NULL && s->grant_serial != op->grant_serial)
        refuse_lost(op);
    if (s != NULL) {
        s->held--;
        if (conn_is_open(c)) {
            send_suback(c, MQTT_SUBACK, op->packet_id, span_of(op->reasons, op->count),
                        op->refused ? &op->why : NULL, kept_barrier(s));
            for (size_t i = 0; i < op->count; i++)
                send_retained(op, &op->filters[i]);
        }
        if (s->held == 0)
            outbox_unhold(&s->outbox);
    }
    op_free(op);
    if (s != NULL && conn_is_open(s->conn))
        session_pump(s);
    if (conn_is_open(c))
        conn_go_on(c);
}

/* ---- retained messages of one filter ---- */

static bool collect(struct message ***found, uint32_t *count, uint32_t *cap, const struct message *m)
{
    if (*count == *cap) {
        uint32_t more = *cap == 0 ? 8 : *cap * 2;
        struct message **grown = reallocarray(*found, more, sizeof **found);

        if (grown == NULL)
            return false;
        *found = grown;
        *cap = more;
    }
    (*found)[(*count)++] = message_ref(m);
    return true;
}

struct collecting {
    struct shard *shard;
    struct message ***found;
    uint32_t *count;
    uint32_t *cap;
    uint32_t *all; /* what max_retained_backlog limits */
};

static bool collect_visit(void *ctx, const struct message *m)
{
    struct collecting *to = ctx;

    if (*to->all < to->shard->settings->max_retained_backlog && collect(to->found, to->count, to->cap, m)) {
        ++*to->all;
        return true;
    }
    STATS_INC(&to->shard->stats, dropped_retained);
    return false;
}

static void query(struct shard *shard, struct span filter, struct collecting *to)
{
    const struct retained *store = shard_retained(shard, filter);

    if (store != NULL)
        retained_query(store, (struct topic_filter){ filter }, shard->now, &shard->work, collect_visit, to);
}

static void query_here(struct shard *shard, struct op_filter *f)
{
    struct collecting to = { shard, &f->found, &f->found_count, &f->found_cap, &f->op->found };

    query(shard, f->filter, &to);
}

static void query_there(struct op_filter *f, unsigned owner)
{
    struct shard *shard = f->op->shard;
    struct shard_msg *msg = shard_msg_new(MSG_RETAIN_QUERY, shard->index, f->filter);

    if (msg == NULL) {
        STATS_INC(&shard->stats, dropped_no_memory);
        return;
    }
    msg->op = f->op;
    msg->at = (uint32_t)(f - f->op->filters);
    f->op->waiting++;
    durable_post_behind(shard, owner, msg);
}

static void query_retained(struct op_filter *f)
{
    struct shard *shard = f->op->shard;
    struct topic_filter filter = { f->filter };

    for (unsigned i = 0; i < shard->count; i++) {
        if (!topic_filter_has_wildcard(filter) && i != retained_owner(shard, f->filter))
            continue;
        if (i == shard->index && f->op->asked <= QUERIES_AT_ONCE && shard->work - f->op->work < QUERY_WORK)
            query_here(shard, f);
        else
            query_there(f, i);
    }
}

/* The client's next packet is read when this one is answered. */
static void wait_for_others(struct subscribe_op *op)
{
    struct conn *c = op->conn;

    if (conn_is_open(c) && !c->paused)
        conn_pause(c);
}

/* One filter after the other: a thousand that each match everything retained would hold a thousand times all of it, and
 * this shard for as long. */
static void ask_retained(struct subscribe_op *op)
{
    while (op->asked < op->count) {
        struct op_filter *f = &op->filters[op->asked++];

        if (op->session == NULL || !f->wants_retained || op->found >= op->shard->settings->max_retained_backlog)
            continue;
        op->waiting = 1;
        query_retained(f);
        if (--op->waiting > 0) {
            wait_for_others(op);
            return;
        }
    }
    op_finish(op);
}

static void op_answered(struct subscribe_op *op)
{
    ASSERT(op->waiting > 0);
    if (--op->waiting == 0)
        ask_retained(op);
}

void subscribe_on_query(struct shard *shard, struct shard_msg *msg)
{
    unsigned to = msg->from;
    uint32_t cap = 0, all = 0;
    struct collecting into = { shard, &msg->found, &msg->found_count, &cap, &all };

    query(shard, shard_msg_filter(msg), &into);
    msg->kind = MSG_RETAIN_FOUND;
    msg->class = SHARD_ACK;
    msg->from = shard->index;
    shard->world.post(shard->world.ctx, to, msg);
}

void subscribe_on_found(struct shard *shard, struct shard_msg *msg)
{
    struct subscribe_op *op = msg->op;
    struct op_filter *f = &op->filters[msg->at];

    for (uint32_t i = 0; i < msg->found_count; i++) {
        struct collecting to = { shard, &f->found, &f->found_count, &f->found_cap, &op->found };

        if (!collect_visit(&to, msg->found[i]))
            break;
    }
    shard_msg_free(msg);
    op_answered(op);
}

/* ---- one filter ---- */

/* Every other shard has answered about this filter. */
static void on_known(struct shard *shard, struct interest_waiter *waiter, bool ok)
{
    struct op_filter *f = CONTAINER_OF(waiter, struct op_filter, waiter);
    struct subscribe_op *op = f->op;
    struct subscription *sub;
    struct why why;

    (void)shard;
    if (op->session != NULL && !ok) {
        sub = subscription_find(op->session, (struct topic_filter){ f->filter });
        if (sub != NULL)
            subscription_free(sub);
        f->wants_retained = false;
        (void)reject(&why, ST_NO_MEMORY, "memory", "out of memory", 0);
        refuse_filter(f, status_mqtt5_code(ST_NO_MEMORY), ST_NO_MEMORY, &why);
    }
    op_answered(op);
}

void subscribe_on_joined(struct shard *shard, struct shard_msg *msg)
{
    struct op_filter *f = &msg->op->filters[msg->at];
    bool ok = !msg->failed;

    shard_msg_free(msg);
    on_known(shard, &f->waiter, ok);
}

static enum status check_filter(struct conn *c, struct topic_filter filter, uint32_t subscription_id,
                                uint8_t *ret_code, struct why *why)
{
    const struct shard_settings *settings = c->shard->settings;
    struct authz az = conn_authz(c);
    bool ours = grant_is_built_in(az.grant);
    struct topic_filter inner;
    struct span share_name;
    enum status st;

    topic_filter_unshare(filter, &share_name, &inner);
    if (topic_filter_is_shared(filter) && !settings->shared_subscriptions) {
        *ret_code = MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED;
        return reject(why, ST_UNSUPPORTED, "MQTT5 3.2.2.3.13", "shared subscriptions are not available", 0);
    }
    if (!ours && !settings->wildcard_subscriptions && topic_filter_has_wildcard(filter)) {
        *ret_code = MQTT_WILDCARDS_NOT_SUPPORTED;
        return reject(why, ST_UNSUPPORTED, "MQTT5 3.2.2.3.11", "wildcards are not available", 0);
    }
    if (!ours && !settings->subscription_identifiers && subscription_id != 0) {
        *ret_code = MQTT_SUBSCRIPTION_IDS_NOT_SUPPORTED;
        return reject(why, ST_UNSUPPORTED, "MQTT5 3.2.2.3.12", "subscription identifiers are not available", 0);
    }
    if (topic_too_deep(inner.s, settings->max_topic_levels)) {
        *ret_code = MQTT_TOPIC_FILTER_INVALID;
        return reject(why, ST_BAD_FILTER, "limits.topic_levels", "the filter has too many levels", 0);
    }
    st = authz_subscribe(&az, filter, why);
    if (st != ST_OK)
        *ret_code = settings->hide_topics ? MQTT_UNSPECIFIED_ERROR : status_mqtt5_code(st);
    return st;
}

/* Into the tree, or new options for the subscription that is there (MQTT5 [MQTT-3.8.4-3]). */
static enum status put_filter(struct op_filter *f, const struct mqtt_subscription *want, struct why *why)
{
    struct subscribe_op *op = f->op;
    struct subscription *sub = subscription_find(op->session, want->filter);
    bool first = false;
    enum status st;

    f->wants_retained = want->retain_handling == 0 || (want->retain_handling == 1 && sub == NULL);
    if (sub == NULL) {
        st = subscription_new(op->session, want->filter, &sub, &first, why);
        if (st != ST_OK)
            return st;
    }
    sub->id = op->subscription_id;
    sub->qos = want->qos;
    sub->no_local = want->no_local;
    sub->retain_as_published = want->retain_as_published;
    f->qos = want->qos;
    subscription_change(sub);
    if (sub->shared) { /* retained messages are for who subscribes alone: MQTT5 4.8.2 */
        f->wants_retained = false;
        st = share_join(sub, op, (uint32_t)(f - op->filters), &f->waiter);
        op->waiting += st == ST_PENDING;
        if (st != ST_OK && st != ST_PENDING) {
            subscription_free(sub);
            return reject(why, st, "memory", "out of memory", 0);
        }
        return ST_OK;
    }
    if (first && op->shard->count > 1 && interest_add(op->shard, f->filter) != ST_OK) {
        subscription_free(sub);
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    return ST_OK;
}

static void start_filter(struct op_filter *f, const struct mqtt_subscription *want)
{
    struct subscribe_op *op = f->op;
    struct why why = { 0 };
    uint8_t code;
    enum status st = check_filter(op->conn, want->filter, op->subscription_id, &code, &why);

    if (st == ST_OK) { /* what it has takes no room: who comes back for what waits subscribes to it again */
        if (subscription_find(op->session, want->filter) == NULL)
            st = throttle_subscribe(op->shard, &why);
        if (st == ST_OK && op->shard->journal.failing && session_is_kept(op->session))
            st = journal_refuse(&op->shard->journal, &why);
        if (st == ST_OK)
            st = put_filter(f, want, &why);
        code = status_mqtt5_code(st);
    }
    if (st != ST_OK) {
        f->wants_retained = false;
        refuse_filter(f, code, st, &why);
        return;
    }
    op->reasons[f - op->filters] = want->qos;
    log_event(&op->conn->log, LOG_DEBUG, "subscribed", F_SPAN("filter", f->filter), F_I64("qos", want->qos));
    if (topic_filter_is_shared(want->filter))
        return; /* put_filter() waits, if there is anything to wait for */
    if (interest_wait(op->shard, f->filter, &f->waiter))
        op->waiting++;
}

/* The filters are read again from the copy, so that their text lives as long as the operation. */
static void start_filters(struct subscribe_op *op, const struct mqtt_subscribe *packet)
{
    struct mqtt_subscribe copy = *packet;
    struct mqtt_subscription want;
    uint8_t maximum_qos = grant_is_built_in(op->session->grant) ? 2 : op->shard->settings->maximum_qos;
    size_t at = 0, i = 0;
    struct why why;

    copy.filters = span_of(op->text, packet->filters.len);
    while (mqtt_next_subscription(&copy, &at, &want)) {
        struct op_filter *f = &op->filters[i];

        f->op = op;
        f->filter = want.filter.s;
        f->waiter.known = on_known;
        if (want.qos > maximum_qos) /* MQTT5 [MQTT-3.2.2-10] */
            want.qos = maximum_qos;
        if (i < op->shard->settings->max_subscribe_filters)
            start_filter(f, &want);
        else
            op->reasons[i] = MQTT_QUOTA_EXCEEDED;
        if (i == op->shard->settings->max_subscribe_filters) { /* one event for all of the rest */
            (void)reject(&why, ST_QUOTA, "limits.filters_per_packet", "too many filters in one packet", 0);
            refuse_filter(f, MQTT_QUOTA_EXCEEDED, ST_QUOTA, &why);
        }
        i++;
    }
    ASSERT(i == op->count);
}

void on_subscribe(struct conn *c, const struct mqtt_frame *frame)
{
    struct mqtt_subscribe packet;
    struct subscribe_op *op;
    struct why why = { 0 };
    enum status st = mqtt_read_subscribe(frame, c->version, &packet, &why);

    if (st != ST_OK) {
        conn_fail(c, st, &why);
        return;
    }
    op = op_new(c, &packet);
    if (op == NULL) {
        conn_fail(c, reject(&why, ST_NO_MEMORY, "memory", "out of memory", 0), &why);
        return;
    }
    start_filters(op, &packet);
    if (op->waiting > 1)
        wait_for_others(op);
    op_answered(op);
}

void on_unsubscribe(struct conn *c, const struct mqtt_frame *frame)
{
    CLEANUP(freep)
    uint8_t *reasons = NULL;
    struct mqtt_unsubscribe packet;
    struct topic_filter filter;
    struct why why = { 0 };
    size_t at = 0, i = 0;
    enum status st = mqtt_read_unsubscribe(frame, c->version, &packet, &why);

    if (st == ST_OK && (reasons = malloc(packet.count)) == NULL)
        st = reject(&why, ST_NO_MEMORY, "memory", "out of memory", 0);
    if (st != ST_OK) {
        conn_fail(c, st, &why);
        return;
    }
    while (mqtt_next_unsubscription(&packet, &at, &filter)) {
        struct subscription *sub = subscription_find(c->session, filter);

        reasons[i++] = sub == NULL ? MQTT_NO_SUBSCRIPTION_EXISTED : MQTT_SUCCESS;
        if (sub != NULL)
            subscription_free(sub);
    }
    send_suback(c, MQTT_UNSUBACK, packet.packet_id, span_of(reasons, i), NULL, kept_barrier(c->session));
}
