/* Sessions as the store has them, put back before the shard runs (session.h). Nothing is dirty by that. */
#include "shard/shard_priv.h"

static int64_t wall_ms(struct now now)
{
    return now.wall.s * MS_PER_S + now.wall.ms;
}

/* Numbers given from now on lie above: number = next * count + index, of whichever shard it was. */
static void number_above(struct shard *shard, uint64_t number)
{
    if (shard->next_session <= number / shard->count)
        shard->next_session = number / shard->count + 1;
}

enum status session_restore(struct shard *shard, const struct record_session *record, struct grant *shadow,
                            struct session **ret_session, struct why *why)
{
    struct session *s;
    enum status st;

    if (session_find(shard, record->client_id) != NULL) {
        grant_free(shadow);
        return reject(why, ST_EXISTS, "durability", "two sessions of one client identifier", 0);
    }
    st = session_new(shard, record->client_id, &s, why);
    if (st != ST_OK) {
        grant_free(shadow);
        return st;
    }
    s->number = record->session;
    s->grant = shadow;
    session_weigh(s);
    s->expiry_s = record->expiry_s;
    st = session_keep(s);
    if (st != ST_OK) {
        session_end(s);
        return reject(why, st, "memory", "out of memory", 0);
    }
    number_above(shard, record->session);
    s->journal->version = record->version;
    s->journal->left_ms = record->left_ms;
    s->journal->stored = SESSION_RECORD;
    *ret_session = s;
    return ST_OK;
}

enum status session_restore_will(struct session *s, const struct record_will *record)
{
    s->journal->stored |= SESSION_WILL;
    return will_restore(record, &s->will);
}

enum status session_restore_received(struct session *s, const struct record_received *record)
{
    s->journal->stored |= SESSION_RECEIVED;
    for (size_t i = 0; i < record->ids.len / 2; i++)
        if (id_set_add(&s->received, record_received_id(record, i)) != ST_OK)
            return ST_NO_MEMORY;
    return ST_OK;
}

enum status session_restore_subscription(struct session *s, const struct record_subscription *record,
                                         bool *ret_first, struct why *why)
{
    struct topic_filter filter = { record->filter };
    struct subscription_record *r;
    struct subscription *sub;
    enum status st;

    if (subscription_find(s, filter) != NULL)
        return reject(why, ST_EXISTS, "durability", "two subscriptions of one filter", 0);
    st = subscription_new(s, filter, &sub, ret_first, why);
    if (st != ST_OK)
        return st;
    sub->id = record->id;
    sub->qos = record->qos;
    sub->no_local = record->no_local;
    sub->retain_as_published = record->retain_as_published;
    r = subscription_record(sub);
    r->n = record->n;
    r->durable.stored = true;
    list_remove(&r->durable.link);
    if (s->journal->next_subscription < record->n)
        s->journal->next_subscription = record->n;
    return ST_OK;
}

enum status session_restore_delivery(struct session *s, const struct record_delivery *record, struct body *body,
                                     struct share *share)
{
    return outbox_restore(&s->outbox, s->shard->settings->max_inflight, record, body, share);
}

void session_restored(struct session *s)
{
    struct now now = s->shard->now;
    struct mono_time since =
        mono_plus_ms(now.mono, -TIMER_TICK_MS); /* a Will without a delay: in the first turn */

    /* Connected to the last: it loses its connection now. Or the calendar went back meanwhile, and nobody knows when it left. */
    if (s->journal->left_ms == 0 || s->journal->left_ms > wall_ms(now))
        session_left(s);
    else
        since.ms -= wall_ms(now) - s->journal->left_ms;
    session_start_waiting(s, since);
}
