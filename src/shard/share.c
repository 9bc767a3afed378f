/* Groups at their home: who is in them, whose turn it is, what waits (share.h). */
#include "shard/share.h"

#include "shard/shard_priv.h"

#include <stdlib.h>

struct share_member {
    struct table_node node; /* in shard->share_members */
    struct list link;       /* in one of the group's lists: `in` */
    struct list *in;
    struct share *group;
    unsigned at; /* shard */
    uint64_t number;
    int32_t room;  /* messages of QoS 1 and 2 it has room for, as far as we know */
    uint32_t sent; /* such messages handed to it */
    uint8_t qos;
    uint8_t part;
    bool deaf;    /* connected, but not reading */
    bool durable; /* its session outlives its connection, and the disk knows of it */
};

/* A SHARE_JOIN to be answered when every shard knows of the group's filter. */
struct share_joining {
    struct interest_waiter waiter;
    struct list link; /* in shard->share_joins */
    struct shard_msg *msg;
};

/* ---- groups ---- */

unsigned share_home(const struct shard *shard, struct span text)
{
    return shard->count == 1 ? 0 : (unsigned)(siphash(shard->settings->home_key, text) % shard->count);
}

static bool has_text(const struct table_node *node, const void *key)
{
    const struct share *g = CONTAINER_OF(node, struct share, node);

    return span_eq(share_text(g), *(const struct span *)key);
}

struct share *share_find(const struct shard *shard, struct span text)
{
    struct table_node *node = table_find(&shard->shares, table_hash(&shard->shares, text), has_text, &text);

    return node == NULL ? NULL : CONTAINER_OF(node, struct share, node);
}

struct share *share_get(struct shard *shard, struct span text)
{
    struct share *g = share_find(shard, text);

    if (g == NULL) {
        g = calloc(1, sizeof *g + text.len);
        if (g == NULL)
            return NULL;
        g->shard = shard;
        durable_init(&g->durable, DURABLE_GROUP);
        list_init(&g->group.link);
        list_init(&g->ready);
        list_init(&g->busy);
        list_init(&g->away);
        list_init(&g->queue);
        g->text_len = text.len;
        memcpy(g->text, text.p, text.len);
        table_insert(&shard->shares, &g->node, table_hash(&shard->shares, text));
    }
    share_ref(g);
    return g;
}

void share_ref(struct share *group)
{
    group->refs++;
}

void share_unref(struct share *group)
{
    if (group == NULL || --group->refs > 0)
        return;
    ASSERT(group->member_count == 0 && list_empty(&group->queue));
    table_remove(&group->shard->shares, &group->node);
    if (group->durable.stored)
        journal_bury(&group->shard->journal, group, &group->durable, RECORD_GROUP, group->number, 0);
    else {
        list_remove(&group->durable.link);
        free(group);
    }
}

struct span share_text(const struct share *group)
{
    return span_of(group->text, group->text_len);
}

struct topic_filter share_filter(const struct share *group)
{
    struct topic_filter filter;
    struct span name;

    topic_filter_unshare((struct topic_filter){ share_text(group) }, &name, &filter);
    return filter;
}

enum status share_open(struct share *g, bool *ret_first, struct why *why)
{
    enum status st = topic_tree_add(g->shard->tree, share_filter(g), &g->group.in_tree, ret_first, why);

    if (st != ST_OK)
        return st;
    g->open = true;
    g->first_seq = g->shard->share_seq + 1;
    return ST_OK;
}

/* The first member came. */
static enum status open_group(struct share *g, struct why *why)
{
    struct shard *shard = g->shard;
    bool first;
    enum status st = share_open(g, &first, why);

    if (st != ST_OK)
        return st;
    if (first && shard->count > 1 && interest_add(shard, share_filter(g).s) != ST_OK) {
        (void)topic_tree_remove(shard->tree, &g->group.in_tree);
        g->open = false;
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    return ST_OK;
}

static struct share_item *item_of(struct list *link)
{
    return CONTAINER_OF(link, struct share_item, link);
}

static void take_out(struct share *g, struct share_item *item)
{
    if (g->returned == item)
        g->returned = NULL;
    list_remove(&item->link);
    g->queued--;
    g->queued_bytes -= sizeof *item + message_size(item->message);
    STATS_DEC(&g->shard->stats, queued_messages);
    STATS_ADD(&g->shard->stats, memory_queued, 0 - memory_block(sizeof *item));
    STATS_ADD(&g->shard->stats, queued_bytes, (uint64_t)0 - message_size(item->message));
}

static void drop_item(struct share *g, struct share_item *item)
{
    take_out(g, item);
    share_item_over(g->shard, item);
}

/* The last one went, and with it what waited, as with the last subscriber of any other filter. */
static void close_group(struct share *g)
{
    struct shard *shard = g->shard;

    if (topic_tree_remove(shard->tree, &g->group.in_tree) && shard->count > 1)
        interest_remove(shard, share_filter(g).s);
    g->open = false;
    list_remove(&g->group.link);
    while (!list_empty(&g->queue))
        drop_item(g, item_of(g->queue.next));
}

/* ---- members ---- */

static bool has_number(const struct table_node *node, const void *key)
{
    return CONTAINER_OF(node, struct share_member, node)->number == *(const uint64_t *)key;
}

static struct share_member *find_member(const struct shard *shard, uint64_t number)
{
    uint64_t hash = table_hash(&shard->share_members, span_of(&number, sizeof number));
    struct table_node *node = table_find(&shard->share_members, hash, has_number, &number);

    return node == NULL ? NULL : CONTAINER_OF(node, struct share_member, node);
}

/* A member of QoS 0 needs no room. */
static struct list *list_for(const struct share_member *m, bool open)
{
    if (!open)
        return &m->group->away;
    return m->qos == 0 || m->room > 0 ? &m->group->ready : &m->group->busy;
}

/* Stays where it is in the order if it is in the right list. */
static void place(struct share_member *m, struct list *in)
{
    if (m->in == in)
        return;
    list_remove(&m->link);
    list_append(in, &m->link);
    m->in = in;
}

/* What this member adds to what the group may hold. */
static void count_in(struct share_member *m, bool in)
{
    const struct shard_settings *settings = m->group->shard->settings;
    uint64_t messages = (uint64_t)settings->max_queue_messages >> m->part;
    uint64_t bytes = (uint64_t)settings->max_queue_bytes >> m->part;

    if (m->qos == 0)
        return; /* nothing waits for it */
    m->group->keeper_count += in ? 1 : (uint32_t)-1;
    if (m->durable)
        m->group->durable_count += in ? 1 : (uint32_t)-1;
    m->group->max_queued += in ? messages : (uint64_t)0 - messages;
    m->group->max_queued_bytes += in ? bytes : (uint64_t)0 - bytes;
}

bool share_has_room(const struct share *g, const struct message *m)
{
    if (g->keeper_count == 0 || (list_empty(&g->queue) && !list_empty(&g->ready)))
        return true;
    return g->queued < g->max_queued &&
           g->queued_bytes + sizeof(struct share_item) + message_size(m) <= g->max_queued_bytes;
}

/* The newest go, or the oldest, as with any queue that is full: also when a smaller group may hold less, or an old one comes
 * back. */
static void trim(struct share *g)
{
    while (!list_empty(&g->queue) && (g->queued > g->max_queued || g->queued_bytes > g->max_queued_bytes)) {
        bool oldest = g->shard->settings->queue_full == QUEUE_DROP_OLDEST;

        drop_item(g, item_of(oldest ? g->queue.next : g->queue.prev));
        if (g->keeper_count == 0) /* nobody is left for whom to wait */
            continue;
        if (oldest)
            STATS_INC(&g->shard->stats, dropped_oldest);
        else
            STATS_INC(&g->shard->stats, dropped_queue_full);
    }
}

enum status share_group_put(struct shard *shard, struct durable *d, struct kv_batch *batch)
{
    const struct share *g = CONTAINER_OF(d, struct share, durable);
    struct record_group r = { .group = g->number, .text = share_text(g) };

    (void)shard;
    return g->kept ? record_put_group(batch, &r) : record_delete(batch, record_key_group(g->number));
}

/* The first durable member came, or the last one went: what waits is on disk as long as there is one. */
static void see_durable(struct share *g)
{
    struct shard *shard = g->shard;

    if (g->kept == (g->durable_count > 0))
        return;
    g->kept = g->durable_count > 0;
    if (g->number == 0)
        g->number = ++shard->next_group * shard->count + shard->index;
    journal_change(&shard->journal, &g->durable);
    LIST_EACH (it, &g->queue) {
        if (g->kept)
            share_item_keep(shard, item_of(it), g->number);
        else
            share_item_unkeep(shard, item_of(it));
    }
}

void share_look_over(struct share *g)
{
    see_durable(g);
    trim(g);
}

static void set_state(struct share_member *m, const struct share_note *note)
{
    count_in(m, false);
    m->qos = note->qos;
    m->part = note->part;
    m->durable = note->durable;
    count_in(m, true);
    see_durable(m->group);
    m->group->deaf_count -= m->deaf;
    m->deaf = note->connected && !note->open;
    m->group->deaf_count += m->deaf;
    m->room = note->room - (int32_t)(m->sent - note->seen); /* less what it had not seen */
    place(m, list_for(m, note->open));
}

static enum status add_member(struct share *g, const struct share_note *note, unsigned from,
                              struct share_member **ret_member, struct why *why)
{
    struct share_member *m = calloc(1, sizeof *m);
    enum status st;

    if (m == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    if (!g->open) {
        st = open_group(g, why);
        if (st != ST_OK) {
            free(m);
            return st;
        }
    }
    share_ref(g);
    g->member_count++;
    m->group = g;
    m->at = from;
    m->number = note->number;
    m->sent = note->seen;
    list_init(&m->link);
    table_insert(&g->shard->share_members, &m->node,
                 table_hash(&g->shard->share_members, span_of(&m->number, sizeof m->number)));
    *ret_member = m;
    return ST_OK;
}

static void remove_member(struct share_member *m)
{
    struct share *g = m->group;

    count_in(m, false);
    g->deaf_count -= m->deaf;
    list_remove(&m->link);
    table_remove(&g->shard->share_members, &m->node);
    free(m);
    see_durable(g);
    if (--g->member_count == 0)
        close_group(g);
    else
        trim(g);
    share_unref(g);
}

/* ---- whose turn it is ---- */

static void move_to_end(struct share_member *m)
{
    struct list *in = list_for(m, true);

    list_remove(&m->link);
    list_append(in, &m->link);
    m->in = in;
}

/* A member whose session ends with its connection holds what waits in the group's records until it acknowledges. */
static bool take_here(struct share_member *to, const struct share_note *note, const struct message *m,
                      struct share_item *item)
{
    struct share *g = to->group;
    struct share_item *made = NULL;
    bool taken;

    if (item == NULL && g->kept && !to->durable && (m->qos < to->qos ? m->qos : to->qos) == 1) {
        item = made =
            share_item_new(m, note->seq, note->hops); /* NULL: the client gets it, with no second chance */
        if (made != NULL)
            made->group = g->number;
    }
    taken = share_take(g->shard, note, m, item);
    if (!taken && made != NULL)
        share_item_over(g->shard, made);
    return taken;
}

/* With its record, when that is stored. False: no memory. */
static bool send_item(struct share_member *to, const struct share_note *note, const struct message *m,
                      struct share_item *item)
{
    struct share *g = to->group;

    if (item == NULL) {
        item = share_item_new(m, note->seq, note->hops);
        if (item == NULL)
            return false;
        share_item_keep(g->shard, item, g->number);
    }
    share_send(g, to->at, note, item);
    return true;
}

static bool send_plain(struct share_member *to, const struct share_note *note, const struct message *m)
{
    struct shard *shard = to->group->shard;
    struct shard_msg *msg = shard_msg_new(MSG_SHARE_TAKE, shard->index, share_text(to->group));

    if (msg == NULL)
        return false;
    msg->message = message_ref(m);
    msg->share = *note;
    shard->world.post(shard->world.ctx, to->at, msg);
    return true;
}

/* True: it is the member's now, or lost for want of memory, and so is `item`, its record, if there is one. False: home knows
 * by now that it cannot have it. */
static bool hand_to(struct share_member *to, const struct message *m, uint64_t seq, uint8_t hops,
                    struct share_item *item)
{
    struct share *g = to->group;
    struct shard *shard = g->shard;
    struct share_note note = { .number = to->number, .seq = seq, .hops = hops };

    note.group = g->kept ? g->number : 0;
    note.counted = m->qos > 0 && to->qos > 0;
    if (note.counted) {
        to->room--;
        to->sent++;
    }
    move_to_end(to);
    if (to->at == shard->index)
        return take_here(to, &note, m, item);
    if (item != NULL || (g->kept && m->qos > 0) ? !send_item(to, &note, m, item) : !send_plain(to, &note, m)) {
        STATS_INC(&shard->stats, dropped_no_memory);
        g->lost = true;
        to->sent -= note.counted; /* it will never see that one */
        to->room += note.counted;
    }
    return true;
}

/* To the first member whose turn it is and who takes it: each one who does not leaves the list. */
static bool hand_out(struct share *g, const struct message *m, uint64_t seq, uint8_t hops,
                     struct share_item *item)
{
    struct share_member *to;

    for (uint32_t tried = 0; tried <= g->member_count; tried++) {
        if (!list_empty(&g->ready))
            to = CONTAINER_OF(g->ready.next, struct share_member, link);
        else if (!list_empty(&g->busy) && m->qos == 0)
            to = CONTAINER_OF(g->busy.next, struct share_member, link);
        else
            return false;
        if (hand_to(to, m, seq, hops, item))
            return true;
    }
    return false;
}

/* ---- what waits ---- */

void share_clock_moved(struct share *g)
{
    LIST_EACH (it, &g->queue) {
        struct share_item *item = item_of(it);

        if (share_item_has_record(item) && item->message->expires_ms != TIME_NEVER)
            journal_change(&g->shard->journal, &item->durable);
    }
}

/* Where it belongs: returned messages are older than most, and come in order, each behind the one before. */
static struct list *place_of(struct share *g, uint64_t seq)
{
    struct list *before = g->queue.next;

    if (list_empty(&g->queue) || item_of(g->queue.prev)->seq < seq)
        return &g->queue;
    if (g->returned != NULL && g->returned->seq < seq)
        before = g->returned->link.next;
    while (item_of(before)->seq < seq)
        before = before->next;
    return before;
}

void share_put_back(struct share *g, struct share_item *item)
{
    list_append(place_of(g, item->seq), &item->link); /* "append" to a node: in front of it */
    if (item->link.next != &g->queue)
        g->returned = item;
    g->queued++;
    g->queued_bytes += sizeof *item + message_size(item->message);
    message_keep(item->message, g->shard->stats.bodies);
    STATS_ADD(&g->shard->stats, memory_queued, memory_block(sizeof *item));
    STATS_INC(&g->shard->stats, queued_messages);
    STATS_ADD(&g->shard->stats, queued_bytes, message_size(item->message));
}

static void wait_for_room(struct share *g, const struct message *m, uint64_t seq, uint8_t hops,
                          struct share_item *item)
{
    if (item == NULL)
        item = share_item_new(m, seq, hops);
    if (item == NULL) {
        STATS_INC(&g->shard->stats, dropped_no_memory);
        g->lost = true;
        return;
    }
    item->hops = hops;
    if (g->kept)
        share_item_keep(g->shard, item, g->number);
    else
        share_item_unkeep(g->shard, item);
    share_put_back(g, item);
    trim(g);
}

/* True: the item is somebody else's now, or gone. */
static bool hand_out_item(struct share *g, struct share_item *item)
{
    CLEANUP(message_unrefp)
    struct message *m = message_ref(item->message);
    bool record = share_item_has_record(item);

    if (!hand_out(g, m, item->seq, item->hops, record ? item : NULL))
        return false;
    if (!record)
        share_item_over(g->shard, item);
    return true;
}

/* As far as there is room. A member may come into the list again while this runs: it is seen here, not by a second
 * run inside. */
static void hand_out_waiting(struct share *g)
{
    if (g->handing_out)
        return;
    g->handing_out = true;
    while (!list_empty(&g->queue) && !list_empty(&g->ready)) {
        struct share_item *item = item_of(g->queue.next);

        take_out(g, item);
        if (message_expired(item->message, g->shard->now)) { /* MQTT5 [MQTT-3.3.2-5] */
            STATS_INC(&g->shard->stats, dropped_expired);
            share_item_over(g->shard, item);
        } else if (!hand_out_item(g, item)) {
            share_put_back(g, item);
            break; /* nobody could take it, and nobody can until a member says so */
        }
    }
    g->handing_out = false;
}

/* New, or back again: `item` is its record then, or NULL. */
static void give(struct share *g, const struct message *m, uint64_t seq, uint8_t hops, struct share_item *item)
{
    bool waits = m->qos > 0 && g->keeper_count > 0;

    if (waits && !list_empty(&g->queue)) { /* behind those, or among them */
        wait_for_room(g, m, seq, hops, item);
        hand_out_waiting(g);
    } else if (!hand_out(g, m, seq, hops, item)) {
        if (waits) {
            wait_for_room(g, m, seq, hops, item);
            return;
        }
        if (g->deaf_count > 0) /* else there is nobody, and QoS 0 does not wait */
            STATS_INC(&g->shard->stats, dropped_output_full);
        if (item != NULL)
            share_item_over(g->shard, item);
    }
}

enum status share_publish(struct share *group, const struct message *m)
{
    group->lost = false;
    give(group, m, ++group->shard->share_seq, 0, NULL);
    return group->lost && group->kept && m->qos > 0 ? ST_NO_MEMORY : ST_OK;
}

/* Whether somebody may still have it. */
static bool is_wanted(struct shard *shard, const struct share *group, const struct shard_msg *msg)
{
    if (group == NULL || group->member_count == 0 || msg->share.seq < group->first_seq)
        return false; /* its last member has gone: the message with it */
    if (msg->item != NULL && msg->item->group != group->number)
        return false; /* the same */
    if (message_expired(msg->message, shard->now))
        STATS_INC(&shard->stats, dropped_expired);
    else if (msg->share.hops < SHARE_FIRM || msg->message->qos > 0)
        return true;
    else
        STATS_INC(&shard->stats, dropped_output_full);
    return false;
}

/* ---- what members say ---- */

enum status share_home_join(struct share *group, const struct share_note *note, unsigned from, struct why *why)
{
    struct share_member *m = find_member(group->shard, note->number);

    if (m == NULL) {
        enum status st = add_member(group, note, from, &m, why); /* of QoS 0 at first: counts for nothing */

        if (st != ST_OK)
            return st;
    }
    set_state(m, note);
    hand_out_waiting(group);
    return ST_OK;
}

void share_home_state(struct shard *shard, const struct share_note *note)
{
    struct share_member *m = find_member(shard, note->number);

    if (m == NULL)
        return; /* there was no memory for it */
    set_state(m, note);
    trim(m->group);
    hand_out_waiting(m->group);
}

void share_home_leave(struct shard *shard, uint64_t number)
{
    struct share_member *m = find_member(shard, number);

    if (m != NULL)
        remove_member(m);
}

/* ---- messages ---- */

/* The question turned round: it cannot fail for want of memory. */
static void answer_join(struct shard *shard, struct shard_msg *msg, bool ok)
{
    unsigned to = msg->from;

    msg->kind = MSG_SHARE_JOINED;
    msg->class = SHARD_ACK;
    msg->from = shard->index;
    msg->failed = !ok;
    shard->world.post(shard->world.ctx, to, msg);
}

static void on_known(struct shard *shard, struct interest_waiter *waiter, bool ok)
{
    struct share_joining *j = CONTAINER_OF(waiter, struct share_joining, waiter);

    list_remove(&j->link);
    answer_join(shard, j->msg, ok);
    free(j);
}

void share_on_join(struct shard *shard, struct shard_msg *msg)
{
    struct share *g = share_get(shard, shard_msg_filter(msg));
    struct share_joining *j = malloc(sizeof *j);
    bool ok = g != NULL && j != NULL && share_home_join(g, &msg->share, msg->from, NULL) == ST_OK;

    if (ok) {
        *j = (struct share_joining){ .waiter = { .known = on_known }, .msg = msg };
        if (interest_wait(shard, share_filter(g).s, &j->waiter)) {
            list_append(&shard->share_joins, &j->link);
            share_unref(g);
            return;
        }
    }
    share_unref(g);
    free(j);
    answer_join(shard, msg, ok);
}

void share_on_leave(struct shard *shard, struct shard_msg *msg)
{
    share_home_leave(shard, msg->share.number);
    shard_msg_free(msg);
}

void share_on_state(struct shard *shard, struct shard_msg *msg)
{
    share_home_state(shard, &msg->share);
    shard_msg_free(msg);
}

void share_on_return(struct shard *shard, struct shard_msg *msg)
{
    struct share *group;

    if (msg->failed) /* there is no such member: if we had not heard of that, there was no memory to tell us */
        share_home_leave(shard, msg->share.number);
    group = share_find(shard, shard_msg_filter(msg));
    if (is_wanted(shard, group, msg)) {
        give(group, msg->message, msg->share.seq, msg->share.hops, msg->item);
        msg->item = NULL;
    } else if (msg->item != NULL) {
        share_item_over(shard, TAKE(msg->item));
    }
    shard_msg_free(msg);
}

void share_done(struct shard *shard)
{
    LIST_EACH_SAFE (it, &shard->share_joins) {
        struct share_joining *j = CONTAINER_OF(it, struct share_joining, link);

        list_remove(it);
        list_remove(&j->waiter.link);
        shard_msg_free(j->msg);
        free(j);
    }
    while (!list_empty(&shard->share_leaving))
        share_item_free(item_of(shard->share_leaving.next));
    while (!list_empty(&shard->share_arriving))
        share_item_free(item_of(shard->share_arriving.next));
    for (struct table_node *node; (node = table_next(&shard->share_members, NULL)) != NULL;)
        remove_member(CONTAINER_OF(node, struct share_member, node));
}
