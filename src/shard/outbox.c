#include "shard/outbox.h"

#include "shard/memory.h"
#include "shard/shard_priv.h"
#include "shard/share.h"

#include <stdlib.h>

#define OLDEST_LOOK 512 /* deliveries looked at for one that may go */

void outbox_init(struct outbox *o, struct stats *stats)
{
    *o = (struct outbox){ .stats = stats };
    list_init(&o->waiting);
    list_init(&o->held);
    list_init(&o->in_flight);
}

/* The backlog is bounded by its count: its messages are in the retained store anyway. */
static size_t delivery_size(const struct delivery *d)
{
    return d->backlog ? 0 : sizeof *d + (d->message == NULL ? 0 : message_size(d->message));
}

/* `more` may be the negative of what goes. */
static void weigh(struct outbox *o, size_t more)
{
    o->bytes += more;
    STATS_ADD(o->stats, queued_bytes, more);
}

static struct delivery *delivery_of(struct list *link)
{
    return CONTAINER_OF(link, struct delivery, link);
}

void outbox_done(struct outbox *o)
{
    LIST_EACH_SAFE (it, &o->waiting)
        outbox_drop(o, delivery_of(it));
    LIST_EACH_SAFE (it, &o->held)
        outbox_drop(o, delivery_of(it));
    LIST_EACH_SAFE (it, &o->in_flight)
        outbox_drop(o, delivery_of(it));
    free(o->slots);
    o->slots = NULL;
}

bool outbox_has_room(const struct outbox *o, const struct outbox_limits *limits, const struct message *message)
{
    return o->count < limits->max_messages && o->bytes < limits->max_bytes &&
           message_size(message) <= limits->max_bytes - o->bytes;
}

static bool may_make_room(const struct delivery *d)
{
    return !d->backlog && !d->dup && d->packet_id == 0 && d->how.share == NULL;
}

static struct delivery *oldest_in(const struct list *line)
{
    unsigned looked = 0;

    LIST_EACH (it, line) {
        if (may_make_room(delivery_of(it)))
            return delivery_of(it);
        if (++looked == OLDEST_LOOK)
            break;
    }
    return NULL;
}

struct delivery *outbox_oldest(const struct outbox *o)
{
    struct delivery *d = oldest_in(&o->waiting);

    return d != NULL ? d : oldest_in(&o->held);
}

/* ---- on disk ---- */

static struct session *session_of(const struct outbox *o)
{
    return CONTAINER_OF(o, struct session, outbox);
}

static struct durable_delivery *durable_of(struct delivery *d)
{
    return CONTAINER_OF(d, struct durable_delivery, d);
}

/* Of the allocator. */
static uint64_t block_of(const struct delivery *d)
{
    return memory_block(d->on_disk ? sizeof(struct durable_delivery) : sizeof *d);
}

static void change(struct outbox *o, struct delivery *d)
{
    if (d->on_disk)
        journal_change(&session_of(o)->shard->journal, &durable_of(d)->durable);
}

/* Room for one; of a session on disk with what its record needs. NULL: no memory. */
static struct delivery *delivery_new(struct outbox *o, const struct message *message, bool on_disk,
                                     bool backlog)
{
    struct session *s = session_of(o);
    struct durable_delivery *dd;
    struct body *body;

    if (!on_disk)
        return malloc(sizeof(struct delivery));
    dd = malloc(sizeof *dd);
    body = dd == NULL ? NULL : journal_body(s->shard, message);
    if (body == NULL) {
        free(dd);
        return NULL;
    }
    dd->body = body;
    dd->session = s->number;
    dd->n = backlog ? ++o->backlog_n : ++o->next_n;
    durable_init(&dd->durable, DURABLE_DELIVERY);
    return &dd->d;
}

static void delivery_free(struct outbox *o, struct delivery *d)
{
    struct session *s = session_of(o);
    struct durable_delivery *dd;

    if (!d->on_disk) {
        free(d);
        return;
    }
    dd = durable_of(d);
    body_unref(s->shard, dd->body);
    if (s->ending)
        journal_bury_later(&s->shard->journal, dd, &dd->durable, RECORD_DELIVERY, dd->session, dd->n);
    else
        journal_bury(&s->shard->journal, dd, &dd->durable, RECORD_DELIVERY, dd->session, dd->n);
}

struct barrier outbox_barrier(const struct outbox *o, struct delivery *d)
{
    return d->on_disk ? journal_barrier_of(&session_of(o)->shard->journal, &durable_of(d)->durable)
                      : (struct barrier){ 0 };
}

void outbox_clock_moved(struct outbox *o)
{
    struct list *const lists[] = { &o->waiting, &o->held, &o->in_flight };

    for (size_t i = 0; i < COUNT_OF(lists); i++)
        LIST_EACH (it, lists[i]) {
            struct delivery *d = delivery_of(it);

            if (d->on_disk && d->message != NULL && d->message->expires_ms != TIME_NEVER)
                journal_change(&session_of(o)->shard->journal, &durable_of(d)->body->durable);
        }
}

/* ---- in and out ---- */

/* The opposite of outbox_drop(). */
static void enter(struct outbox *o, struct delivery *d, struct list *line)
{
    list_append(line, &d->link);
    if (!d->backlog)
        o->count++;
    else if (d->state == DELIVERY_WAITING)
        o->backlog_count++;
    if (d->how.qos == 0)
        o->qos0_count++;
    if (d->state != DELIVERY_WAITING)
        o->in_flight_count++;
    weigh(o, delivery_size(d));
    if (!d->backlog && d->message != NULL) /* else the retained store keeps it */
        message_keep(d->message, o->stats->bodies);
    STATS_ADD(o->stats, memory_queued, block_of(d));
    STATS_INC(o->stats, queued_messages);
}

enum status outbox_add(struct outbox *o, const struct outbox_limits *limits, const struct message *message,
                       const struct delivery_options *how, uint32_t grant_serial, enum outbox_line line)
{
    bool backlog = line == OUTBOX_BACKLOG, on_disk;
    struct delivery *d;

    if (backlog ? o->backlog_count >= limits->max_backlog : !outbox_has_room(o, limits, message))
        return ST_QUOTA;
    on_disk = how->qos > 0 && session_is_kept(session_of(o));
    d = delivery_new(o, message, on_disk, backlog);
    if (d == NULL)
        return ST_NO_MEMORY;
    *d = (struct delivery){ .message = message_ref(message),
                            .how = *how,
                            .grant_serial = grant_serial,
                            .state = DELIVERY_WAITING,
                            .backlog = backlog,
                            .on_disk = on_disk };
    change(o, d);
    if (how->share != NULL) {
        share_ref(how->share);
        share_hold(how);
    }
    enter(o, d, line == OUTBOX_HELD ? &o->held : &o->waiting);
    return ST_OK;
}

void outbox_hold(struct outbox *o, uint32_t max_backlog)
{
    o->backlog_n = o->next_n;
    o->next_n += max_backlog;
}

void outbox_unhold(struct outbox *o)
{
    struct list *link;

    while ((link = list_shift(&o->held)) != NULL)
        list_append(&o->waiting, link);
}

struct delivery *outbox_first(const struct outbox *o)
{
    return list_empty(&o->waiting) ? NULL : delivery_of(o->waiting.next);
}

static enum status make_slots(struct outbox *o, uint16_t max_inflight)
{
    uint32_t size = 2; /* twice the window: what waits for a second sending keeps its slot */

    while (size < (uint32_t)max_inflight * 2 && size < 65536)
        size *= 2;
    o->slots = calloc(size, sizeof *o->slots);
    if (o->slots == NULL)
        return ST_NO_MEMORY;
    o->slot_mask = size - 1;
    return ST_OK;
}

/* There is always a free slot: fewer than the table has are ever taken (see make_slots). */
static uint16_t take_id(struct outbox *o, struct delivery *d)
{
    for (;;) {
        uint16_t id = ++o->next_id;

        if (id != 0 && o->slots[id & o->slot_mask] == NULL) {
            o->slots[id & o->slot_mask] = d;
            return id;
        }
    }
}

enum status outbox_start(struct outbox *o, const struct outbox_limits *limits, struct delivery *d)
{
    ASSERT(d->state == DELIVERY_WAITING && d->how.qos > 0);
    if (o->slots == NULL && make_slots(o, limits->max_inflight) != ST_OK)
        return ST_NO_MEMORY;
    if (d->packet_id == 0)
        d->packet_id = take_id(o, d);
    d->state = d->how.qos == 1 ? DELIVERY_AWAIT_PUBACK : DELIVERY_AWAIT_PUBREC;
    list_remove(&d->link);
    list_append(&o->in_flight, &d->link);
    o->in_flight_count++;
    if (d->backlog)
        o->backlog_count--;
    change(o, d);
    return ST_OK;
}

void outbox_unstart(struct outbox *o, struct delivery *d, struct list *before)
{
    list_remove(&d->link);
    list_append(before, &d->link); /* "append" to a node: in front of it */
    d->state = DELIVERY_WAITING;
    o->in_flight_count--;
    if (d->backlog)
        o->backlog_count++;
    change(o, d);
    if (d->dup)
        return;
    o->slots[d->packet_id & o->slot_mask] = NULL;
    d->packet_id = 0;
}

struct delivery *outbox_find(const struct outbox *o, uint16_t packet_id)
{
    struct delivery *d = o->slots == NULL ? NULL : o->slots[packet_id & o->slot_mask];

    return d != NULL && d->packet_id == packet_id && d->state != DELIVERY_WAITING ? d : NULL;
}

void outbox_release_message(struct outbox *o, struct delivery *d)
{
    ASSERT(d->state == DELIVERY_AWAIT_PUBREC);
    if (!d->backlog)
        weigh(o, 0 - message_size(d->message));
    message_unref(d->message);
    d->message = NULL;
    d->state = DELIVERY_AWAIT_PUBCOMP;
    if (d->on_disk)
        body_unref(session_of(o)->shard, TAKE(durable_of(d)->body));
    change(o, d);
}

void outbox_drop(struct outbox *o, struct delivery *d)
{
    weigh(o, 0 - delivery_size(d));
    STATS_ADD(o->stats, memory_queued, 0 - block_of(d));
    STATS_DEC(o->stats, queued_messages);
    if (!d->backlog)
        o->count--;
    else if (d->state == DELIVERY_WAITING)
        o->backlog_count--;
    if (d->how.qos == 0)
        o->qos0_count--;
    if (d->state != DELIVERY_WAITING)
        o->in_flight_count--;
    if (d->packet_id != 0)
        o->slots[d->packet_id & o->slot_mask] = NULL;
    list_remove(&d->link);
    message_unref(d->message);
    share_over(&d->how);
    share_unref(d->how.share);
    delivery_free(o, d);
}

void outbox_rewind(struct outbox *o)
{
    struct list *before = o->waiting.next; /* the oldest that has never been sent */

    LIST_EACH_SAFE (it, &o->in_flight) {
        struct delivery *d = delivery_of(it);

        if (d->state == DELIVERY_AWAIT_PUBCOMP)
            continue; /* only its PUBREL is sent again */
        list_remove(it);
        list_append(before, it); /* "append" to a node: in front of it */
        d->state = DELIVERY_WAITING;
        d->dup = true;
        o->in_flight_count--;
        if (d->backlog)
            o->backlog_count++;
    }
}

/* ---- from the store ---- */

/* With the identifier it had: the table grows until there is a place for it. */
static enum status restore_id(struct outbox *o, uint16_t max_inflight, struct delivery *d)
{
    if (o->slots == NULL && make_slots(o, max_inflight) != ST_OK)
        return ST_NO_MEMORY;
    while (o->slots[d->packet_id & o->slot_mask] != NULL) {
        uint32_t size = (o->slot_mask + 1) * 2;
        struct delivery **larger;

        if (size > 65536)
            return ST_EXISTS;
        larger = calloc(size, sizeof *larger);
        if (larger == NULL)
            return ST_NO_MEMORY;
        for (uint32_t i = 0; i <= o->slot_mask; i++)
            if (o->slots[i] != NULL)
                larger[o->slots[i]->packet_id & (size - 1)] = o->slots[i];
        free(o->slots);
        o->slots = larger;
        o->slot_mask = size - 1;
    }
    o->slots[d->packet_id & o->slot_mask] = d;
    o->next_id = d->packet_id;
    return ST_OK;
}

/* What had a packet identifier: outbox_rewind() puts it in front of all that has none. */
static enum delivery_state restored_state(const struct record_delivery *record)
{
    if (record->packet_id == 0 || record->state == DELIVERY_AWAIT_PUBCOMP)
        return (enum delivery_state)record->state;
    return record->qos == 1 ? DELIVERY_AWAIT_PUBACK : DELIVERY_AWAIT_PUBREC;
}

enum status outbox_restore(struct outbox *o, uint16_t max_inflight, const struct record_delivery *record,
                           struct body *body, struct share *share)
{
    struct durable_delivery *dd = calloc(1, sizeof *dd);
    struct delivery *d;
    enum status st;

    if (dd == NULL) {
        share_unref(share);
        return ST_NO_MEMORY;
    }
    d = &dd->d;
    d->packet_id = record->packet_id;
    st = d->packet_id == 0 ? ST_OK : restore_id(o, max_inflight, d);
    if (st != ST_OK) {
        share_unref(share);
        free(dd);
        return st;
    }
    d->how = (struct delivery_options){ .qos = record->qos,
                                        .retain = record->retain,
                                        .n_ids = record->n_ids,
                                        .share = share,
                                        .share_seq = record->share_seq };
    memcpy(d->how.ids, record->ids, sizeof d->how.ids);
    d->state = restored_state(record);
    d->dup = d->packet_id != 0;
    d->backlog = record->backlog;
    d->on_disk = true;
    d->message = body == NULL ? NULL : message_ref(body->message);
    dd->body = body == NULL ? NULL : body_ref(body);
    dd->session = record->session;
    dd->n = record->n;
    durable_init(&dd->durable, DURABLE_DELIVERY);
    dd->durable.stored = true;
    if (o->next_n < record->n)
        o->next_n = record->n;
    enter(o, d, d->state == DELIVERY_WAITING ? &o->waiting : &o->in_flight);
    if (body != NULL && body->number != record->body) /* that one is another shard's now */
        change(o, d);
    return ST_OK;
}
