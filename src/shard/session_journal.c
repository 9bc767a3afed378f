/* The records of a session, its subscriptions and its deliveries (journal.h): what is written of them, and when they go. */
#include "shard/shard_priv.h"
#include "shard/share.h"

#include <stdlib.h>

static int64_t wall_ms(struct now now)
{
    return now.wall.s * MS_PER_S + now.wall.ms;
}

/* ---- the session itself ---- */

enum status session_keep(struct session *s)
{
    struct session_journal *sj;

    if (!s->shard->journal.on || s->journal != NULL)
        return ST_OK;
    sj = calloc(1, sizeof *sj);
    if (sj == NULL)
        return ST_NO_MEMORY;
    durable_init(&sj->durable, DURABLE_SESSION);
    sj->session = s;
    sj->number = s->number;
    s->journal = sj;
    pressure_add(s->shard->pressure, COUNT_KEPT_SESSIONS, 1);
    return ST_OK;
}

void session_change(struct session *s, unsigned parts)
{
    struct session_journal *sj = s->journal;

    if (sj == NULL)
        return;
    sj->changed |= (uint8_t)parts;
    journal_change(&s->shard->journal, &sj->durable);
}

void session_left(struct session *s)
{
    if (s->journal == NULL)
        return;
    s->journal->left_ms = wall_ms(s->shard->now);
    session_change(s, SESSION_RECORD);
}

void session_clock_moved(struct session *s, int64_t ms)
{
    if (s->journal == NULL)
        return;
    outbox_clock_moved(&s->outbox);
    if (s->journal->left_ms == 0)
        return;
    s->journal->left_ms = s->journal->left_ms + ms > 0 ? s->journal->left_ms + ms : 1;
    session_change(s, SESSION_RECORD);
}

void session_returned(struct session *s)
{
    if (s->journal == NULL)
        return;
    s->journal->left_ms = 0;
    s->journal->version = (uint8_t)s->conn->version;
    session_change(s, SESSION_RECORD);
}

/* What is left says that the records are to be removed; the session's own first: what else it had means nothing then. */
void session_bury(struct session *s)
{
    struct session_journal *sj = TAKE(s->journal);

    if (sj == NULL)
        return;
    pressure_give(s->shard->pressure, COUNT_KEPT_SESSIONS, 1);
    sj->session = NULL;
    sj->changed = sj->stored;
    if (sj->stored != 0) {
        journal_change(&s->shard->journal, &sj->durable);
        s->shard->journal.ended = s->shard->journal.epoch;
        return;
    }
    list_remove(&sj->durable.link);
    s->shard->journal.changes++;
    free(sj);
}

struct barrier session_barrier(const struct session *s)
{
    return s->journal == NULL ? (struct barrier){ 0 }
                              : journal_barrier_of(&s->shard->journal, &s->journal->durable);
}

static struct record_owner owner_of(const struct session *s)
{
    struct record_owner owner = { 0 };
    const struct token *t = s->grant->token;

    owner.until_ms = s->grant->until_s == TIME_NEVER && s->grant->until_ms == TIME_NEVER
                         ? RECORD_NEVER
                         : grant_until_wall(s->grant, s->shard->now) * MS_PER_S;
    if (t == NULL)
        return owner;
    owner.has_token = true;
    owner.iss = t->iss;
    owner.sub = t->sub;
    owner.client_id = t->client_id;
    memcpy(owner.cnf_thumbprint, t->cnf_thumbprint, sizeof owner.cnf_thumbprint);
    memcpy(owner.token_hash, t->hash, sizeof owner.token_hash);
    owner.has_twin = t->has_twin;
    if (t->has_twin)
        memcpy(owner.token_twin, t->twin, sizeof owner.token_twin);
    return owner;
}

static enum status put_record(const struct session_journal *sj, struct kv_batch *batch)
{
    const struct session *s = sj->session;
    struct record_session r = { .session = sj->number };

    if (s == NULL || s->expiry_s == 0 || s->grant == NULL) /* it ends with its connection now */
        return record_delete(batch, record_key_session(sj->number));
    r.client_id = session_client_id(s);
    r.expiry_s = s->expiry_s;
    r.left_ms = sj->left_ms;
    r.version = sj->version;
    r.owner = owner_of(s);
    return record_put_session(batch, &r);
}

static enum status put_will(const struct session_journal *sj, struct kv_batch *batch)
{
    struct record_will r;

    if (sj->session == NULL || sj->session->will == NULL)
        return record_delete(batch, record_key_will(sj->number));
    r = will_record(sj->session->will, sj->number);
    return record_put_will(batch, &r);
}

static enum status put_received(const struct session_journal *sj, struct kv_batch *batch)
{
    const struct session *s = sj->session;

    if (s == NULL || s->received.count == 0)
        return record_delete(batch, record_key_received(sj->number));
    return record_put_received(batch, sj->number, s->received.ids, s->received.count);
}

/* What was never there need not be removed. */
static bool is_due(const struct session_journal *sj, unsigned part, bool there)
{
    return (sj->changed & part) != 0 && (there || (sj->stored & part) != 0);
}

enum status session_put(struct shard *shard, struct durable *d, struct kv_batch *batch)
{
    const struct session_journal *sj = CONTAINER_OF(d, struct session_journal, durable);
    const struct session *s = sj->session;
    enum status st = ST_OK;

    (void)shard;
    if (is_due(sj, SESSION_RECORD, s != NULL && s->expiry_s > 0))
        st = put_record(sj, batch);
    if (st == ST_OK && is_due(sj, SESSION_WILL, s != NULL && s->will != NULL))
        st = put_will(sj, batch);
    if (st == ST_OK && is_due(sj, SESSION_RECEIVED, s != NULL && s->received.count > 0))
        st = put_received(sj, batch);
    return st;
}

static void note_stored(struct session_journal *sj, unsigned part, bool there)
{
    if ((sj->changed & part) == 0)
        return;
    if (there)
        sj->stored |= (uint8_t)part;
    else
        sj->stored &= (uint8_t)~part;
}

void session_sealed(struct durable *d)
{
    struct session_journal *sj = CONTAINER_OF(d, struct session_journal, durable);
    const struct session *s = sj->session;

    if (s == NULL) {
        free(sj);
        return;
    }
    if ((sj->stored & SESSION_RECORD) != 0 &&
        s->expiry_s == 0) /* ends with its connection: on disk it ends now */
        s->shard->journal.ended = s->shard->journal.epoch;
    note_stored(sj, SESSION_RECORD, s->expiry_s > 0);
    note_stored(sj, SESSION_WILL, s->will != NULL);
    note_stored(sj, SESSION_RECEIVED, s->received.count > 0);
    sj->changed = 0;
}

void session_forget(struct durable *d)
{
    struct session_journal *sj = CONTAINER_OF(d, struct session_journal, durable);

    ASSERT(sj->session == NULL);
    free(sj);
}

/* ---- subscriptions ---- */

struct subscription_record *subscription_record(struct subscription *sub)
{
    if (!sub->on_disk)
        return NULL;
    return sub->shared ? share_subscription_record(sub)
                       : &CONTAINER_OF(sub, struct durable_subscription, sub)->record;
}

void subscription_change(struct subscription *sub)
{
    struct subscription_record *r = subscription_record(sub);

    if (r != NULL)
        journal_change(&sub->session->shard->journal, &r->durable);
}

void subscription_dispose(struct subscription *sub)
{
    struct subscription_record *r = subscription_record(sub);
    struct session *s = sub->session;
    struct journal *j = &s->shard->journal;

    j->subscriptions -= r != NULL;
    if (r == NULL)
        free(sub);
    else if (s->ending)
        journal_bury_later(j, sub, &r->durable, RECORD_SUBSCRIPTION, s->number, r->n);
    else
        journal_bury(j, sub, &r->durable, RECORD_SUBSCRIPTION, s->number, r->n);
}

enum status subscription_put(struct shard *shard, struct durable *d, struct kv_batch *batch)
{
    const struct subscription_record *sr = CONTAINER_OF(d, struct subscription_record, durable);
    const struct subscription *sub = sr->sub;
    struct buf *filter = &shard->text;
    struct record_subscription r = { .session = sub->session->number,
                                     .n = sr->n,
                                     .id = sub->id,
                                     .qos = sub->qos,
                                     .no_local = sub->no_local,
                                     .retain_as_published = sub->retain_as_published };

    buf_reset(filter);
    subscription_filter(sub, filter);
    if (!buf_ok(filter))
        return ST_NO_MEMORY;
    r.filter = buf_span(filter);
    return record_put_subscription(batch, &r);
}

/* ---- deliveries ---- */

enum status delivery_put(struct shard *shard, struct durable *d, struct kv_batch *batch)
{
    const struct durable_delivery *dd = CONTAINER_OF(d, struct durable_delivery, durable);
    const struct delivery *of = &dd->d;
    struct record_delivery r = { .session = dd->session,
                                 .n = dd->n,
                                 .body = dd->body == NULL ? 0 : dd->body->number,
                                 .qos = of->how.qos,
                                 .state = (uint8_t)of->state,
                                 .packet_id = of->packet_id,
                                 .retain = of->how.retain,
                                 .dup = of->dup,
                                 .backlog = of->backlog,
                                 .n_ids = of->how.n_ids,
                                 .share_seq = of->how.share_seq };

    (void)shard;
    _Static_assert(RECORD_MAX_IDS == DELIVERY_MAX_IDS, "");
    memcpy(r.ids, of->how.ids, sizeof r.ids);
    if (of->how.share != NULL)
        r.group = share_text(of->how.share);
    return record_put_delivery(batch, &r);
}
