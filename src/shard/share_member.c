/* The members of groups at home wherever: what sessions of this shard tell the homes, and what comes of it (share.h). */
#include "shard/share.h"

#include "shard/shard_priv.h"

#include <stdlib.h>

static struct share_subscription *of(const struct subscription *sub)
{
    ASSERT(sub->shared);
    return CONTAINER_OF(sub, struct share_subscription, sub);
}

struct subscription_record *share_subscription_record(struct subscription *sub)
{
    return &of(sub)->record;
}

struct share *share_of(const struct subscription *sub)
{
    return of(sub)->share;
}

/* To the group's home; false when out of memory. */
static bool post_home(const struct share *g, enum shard_msg_kind kind, struct span text,
                      const struct share_note *note, const struct message *m)
{
    struct shard *shard = g->shard;
    struct shard_msg *msg = shard_msg_new(kind, shard->index, text);

    if (msg == NULL)
        return false;
    msg->share = *note;
    if (m != NULL)
        msg->message = message_ref(m);
    shard->world.post(shard->world.ctx, share_home(shard, share_text(g)), msg);
    return true;
}

static bool home_is_here(const struct share *g)
{
    return share_home(g->shard, share_text(g)) == g->shard->index;
}

/* Number of the group in its records, as far as we know; 0: it is not durable. */
static uint64_t durable_number(const struct share *g)
{
    return !home_is_here(g) || g->kept ? g->number : 0;
}

/* ---- how much room a member has ---- */

static bool is_stuffed(const struct session *s)
{
    return s->ties->stuffed_at > 0 && s->outbox.bytes >= s->ties->stuffed_at;
}

static int32_t room_of(const struct session *s)
{
    return is_stuffed(s) ? 0 : session_room(s);
}

/* The part of a session's limits that each of its groups may use: no more than all of them together. */
static uint8_t part_of(uint32_t count)
{
    uint8_t part = 0;

    while (part < 31 && UINT32_C(1) << part < count)
        part++;
    return part;
}

/* Each group is told of its part, so that all of them together hand out about what there is room for; but of one place at
 * least. */
static int32_t room_told(const struct session *s)
{
    int32_t room = room_of(s), part = room >> part_of(s->ties->count);

    return room > 0 && part == 0 ? 1 : part;
}

static struct share_note note_of(struct share_subscription *ss)
{
    struct session *s = ss->sub.session;
    struct share_note note = { .number = ss->number, .seen = ss->seen, .qos = ss->sub.qos };

    note.open =
        session_is_reading(s) && (ss->sub.qos > 0 || !is_stuffed(s)); /* QoS 0 is not asked for its room */
    note.connected = conn_is_open(s->conn);
    note.durable = session_is_kept(s);
    note.room = note.open ? room_told(s) : 0;
    note.part = part_of(s->ties->count);
    return note;
}

/* Home will be told so, or has been: who then believes that there is no room has to be told when there is. */
static void remember(struct share_subscription *ss, const struct share_note *note)
{
    ss->belief = note->room;
    ss->part = note->part;
    list_remove(&ss->starving);
    if (!note->open || (note->qos > 0 && note->room <= 0))
        list_append(&ss->sub.session->ties->starving, &ss->starving);
    if (!note->open)
        ss->sub.session->ties->shut = true;
}

struct share_note share_remember(struct share_subscription *ss)
{
    struct share_note note = note_of(ss);

    remember(ss, &note);
    return note;
}

static void tell(struct share_subscription *ss)
{
    struct share_note note = share_remember(ss);

    if (home_is_here(ss->share)) {
        share_home_state(ss->share->shard, &note);
    } else if (!post_home(ss->share, MSG_SHARE_STATE, SPAN_NONE, &note, NULL)) {
        list_remove(&ss->starving); /* tell it another time */
        list_append(&ss->sub.session->ties->starving, &ss->starving);
    }
}

/* ---- life ---- */

static bool has_number(const struct table_node *node, const void *key)
{
    return CONTAINER_OF(node, struct share_subscription, number_node)->number == *(const uint64_t *)key;
}

static uint64_t number_hash(const struct shard *shard, uint64_t number)
{
    return table_hash(&shard->share_subscriptions, span_of(&number, sizeof number));
}

static struct share_ties *make_ties(struct session *s)
{
    struct share_ties *ties = calloc(1, sizeof *ties);

    if (ties == NULL)
        return NULL;
    ties->session = s;
    ties->open = conn_is_open(s->conn);
    ties->durable = session_is_kept(s);
    list_init(&ties->subscriptions);
    list_init(&ties->starving);
    list_init(&ties->dirty);
    s->ties = ties;
    return ties;
}

/* The groups may now hold less for this session, or more: told when it is half or twice as much. At the end of the call:
 * whoever is told may have messages for it, and some of its subscriptions may be about to be taken away (MT-107). */
static void count_ties(struct share_ties *ties, uint32_t count)
{
    if (part_of(count) != part_of(ties->count)) {
        ties->part_changed = true;
        share_touch_ties(ties->session);
    }
    ties->count = count;
}

enum status share_subscription_new(struct session *s, struct topic_filter filter, struct subscription **ret_sub,
                                   struct why *why)
{
    struct shard *shard = s->shard;
    struct share_subscription *ss;
    struct topic_filter inner;
    struct span name;

    topic_filter_unshare(filter, &name, &inner);
    if (name.len > SHARE_NAME_MAX)
        return reject(why, ST_BAD_FILTER, "MQTT5 4.8.2", "a ShareName of more than 256 bytes", 0);
    ss = calloc(1, sizeof *ss);
    if (ss != NULL && (s->ties != NULL || make_ties(s) != NULL))
        ss->share = share_get(shard, filter.s);
    if (ss != NULL && ss->share != NULL && !home_is_here(ss->share))
        ss->leave = shard_msg_new(MSG_SHARE_LEAVE, shard->index, SPAN_NONE);
    if (ss == NULL || ss->share == NULL || (ss->leave == NULL && !home_is_here(ss->share))) {
        if (ss != NULL)
            share_unref(ss->share);
        free(ss);
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    ss->sub.session = s;
    ss->sub.shared = true;
    ss->number = shard->next_member++ * shard->count + shard->index;
    list_init(&ss->starving);
    table_insert(&shard->share_subscriptions, &ss->number_node, number_hash(shard, ss->number));
    count_ties(s->ties, s->ties->count + 1);
    list_append(&s->ties->subscriptions, &ss->tie); /* home hears of this one by share_join() */
    STATS_INC(&shard->stats, shared_subscriptions);
    *ret_sub = &ss->sub;
    return ST_OK;
}

static void leave_home(struct share_subscription *ss)
{
    struct shard *shard = ss->share->shard;
    struct shard_msg *msg = TAKE(ss->leave);

    if (msg == NULL) {
        share_home_leave(shard, ss->number);
    } else if (shard->going) {
        shard_msg_free(msg);
    } else {
        msg->share.number = ss->number;
        shard->world.post(shard->world.ctx, share_home(shard, share_text(ss->share)), msg);
    }
}

void share_subscription_free(struct subscription *sub)
{
    struct share_subscription *ss = of(sub);
    struct shard *shard = ss->share->shard;
    struct share_ties *ties = sub->session->ties;

    leave_home(ss);
    table_remove(&shard->share_subscriptions, &ss->number_node);
    list_remove(&ss->starving);
    list_remove(&ss->tie);
    count_ties(ties, ties->count - 1);
    STATS_DEC(&shard->stats, shared_subscriptions);
    share_unref(ss->share);
    subscription_dispose(&ss->sub);
}

enum status share_join(struct subscription *sub, struct subscribe_op *op, uint32_t at,
                       struct interest_waiter *waiter)
{
    struct share_subscription *ss = of(sub);
    struct shard *shard = ss->share->shard;
    struct share_note note = share_remember(ss);
    struct shard_msg *msg;
    enum status st;

    if (home_is_here(ss->share)) {
        st = share_home_join(ss->share, &note, shard->index, NULL);
        if (st == ST_OK && interest_wait(shard, share_filter(ss->share).s, waiter))
            st = ST_PENDING;
        return st;
    }
    msg = shard_msg_new(MSG_SHARE_JOIN, shard->index, share_text(ss->share));
    if (msg == NULL)
        return ST_NO_MEMORY;
    msg->share = note;
    msg->op = op;
    msg->at = at;
    shard->world.post(shard->world.ctx, share_home(shard, share_text(ss->share)), msg);
    return ST_PENDING;
}

/* ---- getting messages ---- */

static struct share_subscription *find_number(const struct shard *shard, uint64_t number)
{
    struct table_node *node =
        table_find(&shard->share_subscriptions, number_hash(shard, number), has_number, &number);

    return node == NULL ? NULL : CONTAINER_OF(node, struct share_subscription, number_node);
}

static struct delivery_options options_of(const struct share_subscription *ss, const struct message *m,
                                          uint64_t seq)
{
    const struct subscription *sub = &ss->sub;
    struct delivery_options how = { .share = ss->share, .share_seq = seq };

    how.qos = sub->qos < m->qos ? sub->qos : m->qos; /* MQTT5 [MQTT-4.8.2-3] */
    how.retain = sub->retain_as_published && m->retain && !conn_is_v3(sub->session->conn);
    if (sub->id != 0) {
        how.n_ids = 1;
        how.ids[0] = sub->id;
    }
    return how;
}

/* Nobody has to say each time how much room is left; home is told when what it believes is half of what there is. */
static void see_room(struct share_subscription *ss)
{
    struct session *s = ss->sub.session;

    if (ss->sub.qos == 0 || (ss->belief > 0 && ss->belief > room_told(s) / 2))
        return;
    if (room_told(s) > ss->belief)
        tell(ss);
    else if (ss->belief <= 0 && !list_linked(&ss->starving))
        list_append(&s->ties->starving, &ss->starving);
}

/* To home, with a record if the group has them. */
static void send_back(struct share *g, struct share_item *item, uint64_t seq)
{
    struct share_note note = { .seq = seq };
    uint64_t number = durable_number(g);

    if (number != 0)
        share_item_keep(g->shard, item, number);
    share_send(g, share_home(g->shard, share_text(g)), &note, item);
}

static bool can_take(const struct share_subscription *ss, const struct delivery_options *how, uint8_t hops)
{
    struct session *s = ss->sub.session;

    if (how->qos > 0 && hops >= SHARE_FIRM)
        return conn_is_open(s->conn);
    return session_is_reading(s) && (how->qos == 0 || room_of(s) > 0);
}

/* False: it does not fit now, and nothing has happened. Else `item`, the record of the message with the group, if there is one,
 * is taken: it goes in the batch of what became of it, but stays while a session holds the message that ends with its connection. */
static bool put_in(struct share_subscription *ss, const struct message *m, struct delivery_options *how,
                   struct share_item *item)
{
    struct session *s = ss->sub.session;
    struct shard *shard = s->shard;
    enum status st;

    if (item != NULL && how->qos == 1 && !session_is_kept(s))
        how->item = item;
    shard->share_held = NULL;
    st = session_deliver_shared(s, m, how);
    if (st == ST_QUOTA && s->outbox.bytes > 0) {
        s->ties->stuffed_at = s->outbox.bytes; /* room for a smaller one, perhaps, but let it send some first */
        tell(ss);
        return false;
    }
    if (st == ST_QUOTA)
        STATS_INC(&shard->stats, dropped_queue_full); /* too large for whoever has the same limits */
    if (st == ST_NO_MEMORY && how->qos > 0 && item == NULL)
        ss->share->lost = true;
    if (st == ST_NO_MEMORY && how->qos > 0 && item != NULL) { /* counted as dropped, but goes back */
        send_back(ss->share, item, how->share_seq);
        return true;
    }
    if (item != NULL && shard->share_held != item) /* else it is the delivery's, which may be over by now */
        share_item_over(shard, item);
    see_room(ss);
    return true;
}

bool share_take(struct shard *shard, const struct share_note *note, const struct message *m,
                struct share_item *item)
{
    struct share_subscription *ss = find_number(shard, note->number);
    struct delivery_options how;
    struct session *s;

    if (ss == NULL)
        return false; /* home knows, or will before it gets the message back */
    s = ss->sub.session;
    if (!home_is_here(ss->share))
        ss->share->number = note->group;
    how = options_of(ss, m, note->seq);
    if (note->counted) {
        ss->seen++;
        ss->belief--;
    }
    if (!can_take(ss, &how, note->hops)) {
        tell(ss);
        return false;
    }
    if (note->group != 0 && how.qos == 2 && !session_is_kept(s) && shard->journal.waits) {
        if (item == NULL)
            item = share_item_new(m, note->seq, note->hops);
        if (item != NULL) {
            share_arrive(ss->share, note, item);
        } else {
            STATS_INC(&shard->stats, dropped_no_memory);
            ss->share->lost = true;
        }
        return true;
    }
    return put_in(ss, m, &how, item);
}

void share_arrived(struct shard *shard, struct share *group, struct share_item *item)
{
    struct share_subscription *ss = find_number(shard, item->note.number);
    CLEANUP(message_unrefp)
    struct message *m = message_ref(item->message);
    struct delivery_options how;

    if (ss != NULL) {
        how = options_of(ss, m, item->seq);
        if (can_take(ss, &how, item->hops) && put_in(ss, m, &how, item))
            return;
    }
    send_back(group, item, item->seq);
}

void share_on_take(struct shard *shard, struct shard_msg *msg)
{
    struct share_item *item = TAKE(msg->item);
    unsigned home = msg->from;

    if (share_take(shard, &msg->share, msg->message, item)) {
        shard_msg_free(msg);
        return;
    }
    msg->item = item;
    msg->failed = find_number(shard, msg->share.number) == NULL;
    msg->kind = MSG_SHARE_RETURN; /* the message it came in takes it back */
    msg->from = shard->index;
    if (msg->share.hops < UINT8_MAX)
        msg->share.hops++;
    shard->world.post(shard->world.ctx, home, msg);
}

/* ---- giving them back ---- */

/* False: no memory. By message even where home is here: who gets it next may be about to give one back as well, to this
 * very session, whose outbox somebody is going through. */
static bool give_back(struct shard *shard, struct delivery *d)
{
    struct share *g = d->how.share;
    struct share_note note = { .seq = d->how.share_seq };
    struct share_item *item;

    if (shard->going)
        return true;
    item = TAKE(d->how.item);
    if (item == NULL && durable_number(g) != 0 && d->message->qos > 0) {
        item = share_item_new(d->message, note.seq, 0);
        if (item == NULL) {
            STATS_INC(&shard->stats, dropped_no_memory);
            return false;
        }
    }
    if (item != NULL) {
        send_back(g, item, note.seq);
    } else if (!post_home(g, MSG_SHARE_RETURN, share_text(g), &note, d->message)) {
        STATS_INC(&shard->stats, dropped_no_memory);
        return false;
    }
    return true;
}

static bool was_sent(const struct delivery *d)
{
    return d->packet_id != 0; /* QoS 0 goes with its sending */
}

/* QoS 1 may come to two clients, QoS 2 must not: MQTT5 [MQTT-4.8.2-5]. */
bool share_give_up(struct session *s, struct delivery *d)
{
    if (d->how.share == NULL || d->message == NULL || (was_sent(d) && d->how.qos != 1))
        return false;
    return give_back(s->shard, d);
}

static void give_back_unsent(struct session *s, struct list *from)
{
    LIST_EACH_SAFE (it, from) {
        struct delivery *d = CONTAINER_OF(it, struct delivery, link);

        if (d->how.share != NULL && !was_sent(d) && give_back(s->shard, d))
            session_drop(s, d); /* else it waits for this client */
    }
}

void share_detached(struct session *s)
{
    if (s->ties == NULL || s->shard->going)
        return;
    s->ties->open = false;
    s->ties->durable = session_is_kept(s);
    LIST_EACH (it, &s->ties->subscriptions)
        tell(CONTAINER_OF(it, struct share_subscription, tie));
    give_back_unsent(s, &s->outbox.waiting);
    give_back_unsent(s, &s->outbox.held);
}

void share_ending(struct session *s)
{
    struct list *const lists[] = { &s->outbox.in_flight, &s->outbox.waiting, &s->outbox.held };

    if (s->ties == NULL)
        return;
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        LIST_EACH (it, lists[i])
            (void)share_give_up(s, CONTAINER_OF(it, struct delivery, link));
    list_remove(&s->ties->dirty);
    free(s->ties);
    s->ties = NULL;
}

/* ---- the end of a call ---- */

void share_touch_ties(struct session *s)
{
    if (!list_linked(&s->ties->dirty))
        list_append(&s->shard->share_dirty, &s->ties->dirty);
}

/* Homes that could send nothing here are told when they can. */
static void look_again(struct share_ties *ties)
{
    bool open = conn_is_open(ties->session->conn);
    bool durable = session_is_kept(ties->session);
    struct list look_at, *link;

    if (open != ties->open || durable != ties->durable || ties->part_changed) {
        ties->open = open;
        ties->durable = durable;
        ties->part_changed = false;
        LIST_EACH (it, &ties->subscriptions)
            tell(CONTAINER_OF(it, struct share_subscription, tie));
        return;
    }
    if (list_empty(&ties->starving) || !session_is_reading(ties->session) ||
        (!ties->shut && room_of(ties->session) <= 0))
        return;
    ties->shut = false;
    list_init(&look_at);
    while ((link = list_shift(&ties->starving)) != NULL)
        list_append(&look_at, link);
    while ((link = list_shift(&look_at)) != NULL) /* which may come back while others are told */
        tell(CONTAINER_OF(link, struct share_subscription, starving));
}

void share_settle(struct shard *shard)
{
    struct list *link;

    if (shard->share_stuck)
        share_stored(shard);
    while ((link = list_shift(&shard->share_dirty)) != NULL)
        look_again(CONTAINER_OF(link, struct share_ties, dirty));
}
