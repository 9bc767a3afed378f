#include "shard/send.h"
#include "shard/shard_priv.h"
#include "shard/share.h"

static struct outbox_limits limits_of(const struct shard *shard)
{
    return (struct outbox_limits){ .max_messages = shard->settings->max_queue_messages,
                                   .max_bytes = shard->settings->max_queue_bytes,
                                   .max_backlog = shard->settings->max_retained_backlog,
                                   .max_inflight = shard->settings->max_inflight };
}

/* True when more would only pile up: the client does not read as fast as we write. Asked before each message, so
 * a connection holds at most the limit and one message. Full until half of it is gone. */
static bool output_full(struct conn *c)
{
    const struct shard_world *w = &c->shard->world;
    size_t limit = c->shard->settings->max_output_bytes;

    size_t pending = w->conn_pending(w->ctx, c->io) + gate_bytes(c);

    c->output_full = pending >= (c->output_full ? limit / 2 : limit);
    return c->output_full || (pressure_output_over(c->shard->pressure) && throttle_output(c, pending));
}

/* The second line behind the timer: nothing is forwarded on an expired token (MT-98, MT-100). */
static bool still_authorized(struct session *s)
{
    struct authz az = conn_authz(s->conn);
    struct why why;

    if (authz_alive(&az, &why) == ST_OK)
        return true;
    conn_grant_over(s->conn);
    return false;
}

static void count_not_queued(struct shard *shard, enum status st, bool backlog)
{
    if (st == ST_OK)
        return;
    if (st == ST_QUOTA && backlog)
        STATS_INC(&shard->stats, dropped_retained);
    else if (st == ST_QUOTA)
        STATS_INC(&shard->stats, dropped_queue_full);
    else
        STATS_INC(&shard->stats, dropped_no_memory);
}

static void count_sent(struct stats *stats, const struct message *m)
{
    STATS_INC(stats, messages_out);
    STATS_ADD(stats, payload_out, message_payload(m).len);
}

/* Asked where the subscription does not answer it: it was made, or the message queued, under another grant, or under one that
 * its issuer has narrowed since. */
static bool may_receive(const struct session *s, const struct message *m)
{
    struct authz az = conn_authz(s->conn);

    return authz_receive(&az, (struct topic_name){ message_topic(m) }, NULL) == ST_OK;
}

static void deliver_now(struct session *s, const struct message *m, const struct delivery_options *how)
{
    struct stats *stats = &s->shard->stats;

    if (!still_authorized(s) || (s->grant->news != NULL && !may_receive(s, m))) {
        STATS_INC(stats, dropped_not_authorized);
        return;
    }
    if (output_full(s->conn)) {
        STATS_INC(stats, dropped_output_full);
        return;
    }
    switch (send_publish(s->conn, m, how, 0, false, NULL)) {
    case SEND_DONE:
        count_sent(stats, m);
        break;
    case SEND_TOO_LARGE:
        STATS_INC(stats, dropped_too_large); /* MQTT5 [MQTT-3.1.2-25] */
        break;
    case SEND_NO_ROOM:
        STATS_INC(stats, dropped_output_full);
        break;
    }
}

/* QoS 0 passes what waits for acknowledgements, but neither an earlier QoS 0 message (MQTT5 [MQTT-4.6.0-6]) nor
 * retained messages on their way, which may be older than it. */
static bool goes_straight(const struct session *s)
{
    return s->held == 0 && s->outbox.qos0_count == 0 && s->outbox.backlog_count == 0;
}

/* QUEUE_DROP_OLDEST: what was not sent yet goes, the oldest first, until the new one fits. */
static void make_room(struct session *s, const struct outbox_limits *limits, const struct message *m)
{
    struct delivery *d;

    if (message_size(m) + sizeof *d > limits->max_bytes)
        return; /* it does not fit at all */
    while (!outbox_has_room(&s->outbox, limits, m) && (d = outbox_oldest(&s->outbox)) != NULL) {
        STATS_INC(&s->shard->stats, dropped_oldest);
        session_drop(s, d);
    }
}

bool session_has_room(const struct session *s, const struct message *m)
{
    struct outbox_limits limits = limits_of(s->shard);

    return outbox_has_room(&s->outbox, &limits, m);
}

/* What is delivered here was matched by a subscription, and every subscription lies inside the scope
 * (session_set_grant() sees to it), so only the token's life is asked again, and what news of it say. Queued messages may outlive the grant
 * they were matched under: send_waiting() asks for those. */
static enum status deliver(struct session *s, const struct message *m, const struct delivery_options *how)
{
    struct outbox_limits limits;
    enum status st;
    bool open = conn_is_open(s->conn);

    if (message_expired(m, s->shard->now)) {
        STATS_INC(&s->shard->stats, dropped_expired);
        return ST_OK;
    }
    if (how->qos == 0 && !open)
        return ST_OK; /* QoS 0 does not wait for who is not there */
    if (how->qos == 0 && goes_straight(s)) {
        deliver_now(s, m, how);
        return ST_OK;
    }
    limits = limits_of(s->shard);
    if (how->share == NULL && s->shard->settings->queue_full == QUEUE_DROP_OLDEST)
        make_room(s, &limits, m);
    st = outbox_add(&s->outbox, &limits, m, how, s->grant_serial, s->held > 0 ? OUTBOX_HELD : OUTBOX_WAITING);
    if (st != ST_QUOTA || how->share == NULL)
        count_not_queued(s->shard, st, false);
    if (st == ST_OK && open)
        session_pump(s);
    return st;
}

enum status session_deliver(struct session *s, const struct message *m, const struct delivery_options *how)
{
    return deliver(s, m, how);
}

enum status session_deliver_shared(struct session *s, const struct message *m,
                                   const struct delivery_options *how)
{
    return deliver(s, m, how);
}

void session_deliver_retained(struct session *s, const struct message *m, const struct delivery_options *how)
{
    struct outbox_limits limits = limits_of(s->shard);

    count_not_queued(s->shard, outbox_add(&s->outbox, &limits, m, how, s->grant_serial, OUTBOX_BACKLOG), true);
}

void session_drop(struct session *s, struct delivery *d)
{
    outbox_drop(&s->outbox, d);
}

/* MT-74: queued under an earlier grant, asked again under this one. */
static bool still_wanted(struct session *s, struct delivery *d)
{
    if (message_expired(d->message, s->shard->now) && !d->dup) { /* MQTT5 [MQTT-3.3.2-5] */
        STATS_INC(&s->shard->stats, dropped_expired);
        return false;
    }
    if ((d->grant_serial == s->grant_serial && s->grant->news == NULL) || may_receive(s, d->message))
        return true;
    if (!share_give_up(s, d))
        STATS_INC(&s->shard->stats, dropped_not_authorized);
    return false;
}

static uint32_t window_of(const struct session *s)
{
    uint32_t ours = s->shard->settings->max_inflight;

    return s->conn->receive_maximum < ours ? s->conn->receive_maximum : ours;
}

int32_t session_room(const struct session *s)
{
    uint32_t most = s->shard->settings->max_queue_messages;
    uint32_t used = s->outbox.count + s->outbox.backlog_count;

    if (!conn_is_open(s->conn))
        return 0;
    if (window_of(s) < most)
        most = window_of(s);
    return used < most ? (int32_t)(most - used) : 0;
}

bool session_is_reading(struct session *s)
{
    return conn_is_open(s->conn) && !output_full(s->conn) && still_authorized(s);
}

/* Sends the first waiting one; false when it has to go on waiting. */
static bool send_waiting(struct session *s, struct delivery *d)
{
    struct stats *stats = &s->shard->stats;
    struct outbox_limits limits = limits_of(s->shard);
    struct barrier barrier;
    struct list *behind = d->link.next; /* what follows it, whatever is put in front meanwhile */
    bool again = d->dup, gated;

    if (!still_wanted(s, d)) {
        session_drop(s, d);
        return true;
    }
    if (d->how.qos > 0) {
        if (s->outbox.in_flight_count >= window_of(s)) /* MQTT5 [MQTT-3.3.4-9] */
            return false;
        if (outbox_start(&s->outbox, &limits, d) != ST_OK)
            return false; /* no memory for the first one's table: it may be acknowledged to its publisher, so it waits */
    }
    if (conn_is_v3(s->conn) && !d->backlog) /* queued while MQTT 5 was spoken: MQTT311 [MQTT-3.3.1-9] */
        d->how.retain = false;
    gated = d->on_disk && d->how.qos == 2; /* under this identifier for good: it is on disk before it is seen */
    if (gated)
        barrier = outbox_barrier(&s->outbox, d);
    switch (send_publish(s->conn, d->message, &d->how, d->packet_id, d->dup, gated ? &barrier : NULL)) {
    case SEND_DONE:
        if (!again)
            count_sent(stats, d->message);
        break;
    case SEND_TOO_LARGE:
        STATS_INC(stats, dropped_too_large);
        session_drop(s, d);
        return true;
    case SEND_NO_ROOM: /* the connection is ending: whoever comes next gets it, or another member of the group */
        if (d->how.qos > 0)
            outbox_unstart(&s->outbox, d, behind); /* the gate has put back what it held, which is older */
        return false;
    }
    if (d->how.qos == 0)
        session_drop(s, d);
    return true;
}

void session_pump(struct session *s)
{
    struct delivery *d;

    share_touch(s);
    while (s->held == 0 && conn_is_open(s->conn) && (d = outbox_first(&s->outbox)) != NULL) {
        if (output_full(s->conn) || !still_authorized(s) || !send_waiting(s, d))
            return;
    }
}

/* MT-74 speaks of PUBREL too: an outgoing one carries no content, and the message it ends was authorized when it
 * was sent, so it goes out whatever the grant says; otherwise the identifier would be lost for good. */
void session_resend(struct session *s)
{
    outbox_rewind(&s->outbox);
    LIST_EACH (it, &s->outbox.in_flight) {
        const struct delivery *d = CONTAINER_OF(it, struct delivery, link);

        send_ack(s->conn, MQTT_PUBREL, d->packet_id, MQTT_SUCCESS, NULL);
    }
    session_pump(s);
}
