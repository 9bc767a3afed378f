#include "shard/journal.h"

#include "shard/durable_post.h"
#include "shard/gate.h"
#include "shard/journal_records.h"
#include "shard/memory.h"
#include "shard/shard_priv.h"
#include "shard/share.h"

#include <stdlib.h>

#define TOMBS_PER_BATCH 16384 /* of those nobody waits for: a few ms of one turn */

/* ---- life ---- */

enum status journal_init(struct shard *shard)
{
    struct journal *j = &shard->journal;
    unsigned count = shard->count;

    *j = (struct journal){ .on = shard->world.store != NULL,
                           .epoch = 1,
                           .next_body = 1,
                           .next_retained = 1,
                           .starved_ms = TIME_NEVER };
    j->waits = j->on && shard->settings->durability == DURABILITY_COMMIT;
    list_init(&j->dirty);
    list_init(&j->tombs_later);
    list_init(&j->gates);
    kv_batch_init(&j->batch, SIZE_MAX);
    if (!j->on || count == 1)
        return ST_OK;
    j->peers = calloc(count, sizeof *j->peers);
    j->wait.sent = calloc(count, sizeof *j->wait.sent);
    j->next.sent = calloc(count, sizeof *j->next.sent);
    return j->peers != NULL && j->wait.sent != NULL && j->next.sent != NULL ? ST_OK : ST_NO_MEMORY;
}

static void free_tombs(struct list *list)
{
    LIST_EACH_SAFE (it, list) {
        struct durable *d = CONTAINER_OF(it, struct durable, link);

        list_remove(it);
        journal_forget(d);
    }
}

/* After all that is durable has gone. */
void journal_done(struct shard *shard)
{
    struct journal *j = &shard->journal;

    if (j->dirty.next != NULL)
        free_tombs(&j->dirty);
    if (j->tombs_later.next != NULL)
        free_tombs(&j->tombs_later);
    kv_batch_done(&j->batch);
    free(j->peers);
    free(j->wait.sent);
    free(j->next.sent);
}

/* ---- what is gone ---- */

static void bury(struct journal *j, struct list *where, void *block, struct durable *d, enum record_kind letter,
                 uint64_t a, uint64_t b)
{
    struct tomb *tomb = block;
    bool stored = d->stored;

    list_remove(&d->link);
    j->changes++;
    if (!stored) { /* came and went between two batches: the disk never hears of it */
        free(block);
        return;
    }
    *tomb = (struct tomb){ .a = a, .b = b };
    durable_init(&tomb->durable, DURABLE_TOMB);
    tomb->durable.letter = (uint8_t)letter;
    list_append(where, &tomb->durable.link);
}

void journal_bury(struct journal *j, void *block, struct durable *d, enum record_kind letter, uint64_t a,
                  uint64_t b)
{
    bury(j, &j->dirty, block, d, letter, a, b);
}

void journal_bury_later(struct journal *j, void *block, struct durable *d, enum record_kind letter, uint64_t a,
                        uint64_t b)
{
    bury(j, &j->tombs_later, block, d, letter, a, b);
}

/* ---- barriers ---- */

struct barrier journal_barrier_all(const struct journal *j)
{
    if (!j->waits || (list_empty(&j->dirty) && j->out == 0))
        return (struct barrier){ 0 };
    return (struct barrier){ list_empty(&j->dirty) ? j->out : j->epoch, false };
}

struct barrier journal_barrier_of(const struct journal *j, const struct durable *d)
{
    if (!j->waits)
        return (struct barrier){ 0 };
    return (struct barrier){ list_linked(&d->link) ? j->epoch : j->out, false };
}

struct barrier journal_barrier_since(const struct journal *j, uint64_t changes, bool remote)
{
    if (!j->waits || (changes == j->changes && !remote))
        return (struct barrier){ 0 };
    return (struct barrier){ j->epoch, remote };
}

/* ---- epochs ---- */

static bool all_confirmed(const struct shard *shard, const struct journal_wait *w)
{
    for (unsigned i = 0; i < shard->count; i++)
        if (shard->journal.peers[i].confirmed < w->sent[i])
            return false;
    return true;
}

static void see_confirmed(struct shard *shard)
{
    struct journal *j = &shard->journal;

    while (j->wait.epoch != 0 && all_confirmed(shard, &j->wait)) {
        struct journal_wait passed = j->wait;

        j->confirmed = passed.epoch;
        passed.epoch = 0;
        j->wait = j->next;
        j->next = passed;
    }
    if (j->wait.epoch == 0)
        j->confirmed = j->epoch - 1;
}

/* What changes from here on belongs to the next. */
static void close_epoch(struct shard *shard)
{
    struct journal *j = &shard->journal;

    if (j->posted == j->epoch || j->wait.epoch != 0) {
        struct journal_wait *w = j->wait.epoch == 0 ? &j->wait : &j->next;

        w->epoch = j->epoch;
        for (unsigned i = 0; i < shard->count; i++)
            w->sent[i] = j->peers[i].sent;
    }
    if (j->peers != NULL)
        for (unsigned i = 0; i < shard->count; i++)
            j->peers[i].sealed = j->peers[i].got;
    j->epoch++;
    see_confirmed(shard);
}

/* ---- between shards ---- */

uint64_t journal_number(struct shard *shard, unsigned to)
{
    struct journal *j = &shard->journal;

    if (j->peers == NULL)
        return 0;
    j->posted = j->epoch;
    return ++j->peers[to].sent;
}

void journal_got(struct shard *shard, unsigned from, uint64_t number, uint64_t changes, bool lost)
{
    struct journal *j = &shard->journal;
    struct journal_peer *peer;

    if (j->peers == NULL)
        return;
    peer = &j->peers[from];
    peer->got = number;
    peer->lost = peer->lost || lost;
    if (j->changes != changes)
        peer->got_epoch = j->epoch;
    j->owing = true;
}

/* Up to which number all it sent is on our disk. */
static uint64_t durable_of(const struct journal *j, const struct journal_peer *peer)
{
    if (peer->got_epoch <= j->stored)
        return peer->got;
    return j->out == 0 ? peer->sealed : peer->told;
}

static void tell_peers(struct shard *shard)
{
    struct journal *j = &shard->journal;

    if (!j->owing)
        return;
    j->owing = false;
    for (unsigned i = 0; i < shard->count; i++) {
        struct journal_peer *peer = &j->peers[i];
        uint64_t number = durable_of(j, peer);

        if (number > peer->told) {
            struct shard_msg *msg = shard_msg_new(MSG_DURABLE, shard->index, SPAN_NONE);

            if (msg == NULL) {
                j->starved = true;
            } else {
                msg->durable = peer->told = number;
                msg->failed = peer->lost;
                peer->lost = false;
                shard->world.post(shard->world.ctx, i, msg);
            }
        }
        if (peer->told < peer->got)
            j->owing = true;
    }
}

void journal_on_durable(struct shard *shard, struct shard_msg *msg)
{
    struct journal *j = &shard->journal;

    if (msg->failed)
        gate_refuse_remote(shard);
    if (j->peers[msg->from].confirmed < msg->durable)
        j->peers[msg->from].confirmed = msg->durable;
    shard_msg_free(msg);
    see_confirmed(shard);
    gate_open_all(shard);
}

/* ---- one batch ---- */

/* *ret_tombs: so many of those nobody waits for are in it: the more else happens, lest they pile up. */
static enum status put_all(struct shard *shard, size_t *ret_tombs)
{
    struct journal *j = &shard->journal;
    size_t most;

    kv_batch_reset(&j->batch);
    LIST_EACH (it, &j->dirty) {
        enum status st = journal_put(shard, CONTAINER_OF(it, struct durable, link), &j->batch);

        if (st != ST_OK)
            return st;
    }
    most = TOMBS_PER_BATCH + (size_t)j->batch.count;
    *ret_tombs = 0;
    LIST_EACH (it, &j->tombs_later) {
        enum status st = journal_put(shard, CONTAINER_OF(it, struct durable, link), &j->batch);

        if (st != ST_OK)
            return st;
        if (++*ret_tombs == most)
            break;
    }
    return ST_OK;
}

/* All of it is in the batch. */
static void clean_all(struct journal *j, size_t tombs)
{
    struct list *link;

    while ((link = list_shift(&j->dirty)) != NULL)
        journal_sealed(CONTAINER_OF(link, struct durable, link));
    for (size_t i = 0; i < tombs && (link = list_shift(&j->tombs_later)) != NULL; i++)
        journal_sealed(CONTAINER_OF(link, struct durable, link));
}

/* All up to j->stored is on disk. */
static void passed(struct shard *shard)
{
    durable_post_stored(shard);
    share_stored(shard);
    tell_peers(shard);
    gate_open_all(shard);
}

static bool is_idle(const struct journal *j)
{
    return list_empty(&j->dirty) && list_empty(&j->tombs_later) && list_empty(&j->gates) &&
           j->posted != j->epoch && !j->owing;
}

static void seal(struct shard *shard)
{
    struct journal *j = &shard->journal;
    size_t tombs;

    j->starved = false;
    if (!j->on || is_idle(j))
        return;
    if (late_waits(shard)) { /* what it has become here and its record go together */
        j->starved = true;
        return;
    }
    if (j->out != 0) {
        tell_peers(shard); /* of what changed nothing here */
        return;
    }
    if (put_all(shard, &tombs) != ST_OK) { /* no memory: all of it stays dirty, and who waits goes on waiting */
        kv_batch_done(&j->batch);
        kv_batch_init(&j->batch, SIZE_MAX);
        j->starved = true;
        return;
    }
    clean_all(j, tombs);
    close_epoch(shard);
    if (!kv_batch_empty(&j->batch)) {
        j->out = j->epoch - 1;
        atomic_store_explicit(&shard->stats.memory_store, j->batch.ops.cap, memory_order_relaxed);
        shard->world.store(shard->world.ctx, j->out, &j->batch);
        tell_peers(shard);
        return;
    }
    j->stored = j->epoch - 1; /* whatever it was, it has gone again */
    passed(shard);
}

/* Acknowledgements wait as long as memory does not come, perhaps for ever: not in silence. */
static void tell_starved(struct shard *shard)
{
    struct journal *j = &shard->journal;
    bool starved = j->starved || late_waits(shard);

    if (starved == (j->starved_ms != TIME_NEVER))
        return;
    if (starved)
        log_event(shard->log, LOG_WARNING, "memory_awaited");
    else
        log_event(shard->log, LOG_NOTICE, "memory_came", F_I64("ms", shard->now.mono.ms - j->starved_ms));
    j->starved_ms = starved ? shard->now.mono.ms : TIME_NEVER;
    atomic_store_explicit(&shard->stats.memory_awaited, starved, memory_order_relaxed);
}

void journal_seal(struct shard *shard)
{
    seal(shard);
    tell_starved(shard);
}

void journal_stored(struct shard *shard, uint64_t seq)
{
    struct journal *j = &shard->journal;

    ASSERT(seq == j->out);
    j->out = 0;
    j->stored = seq;
    atomic_store_explicit(&shard->stats.memory_store, 0, memory_order_relaxed);
    passed(shard);
}

void journal_state(struct shard *shard, enum status st, struct why why)
{
    struct journal *j = &shard->journal;

    j->failing = st != ST_OK;
    j->status = st;
    j->why = why;
    if (!journal_is_broken(j)) /* a store that is only full takes what is on its way */
        return;
    durable_post_pass(shard);
    gate_fail_all(shard);
}

enum status journal_refuse(const struct journal *j, struct why *why)
{
    ASSERT(j->failing);
    return reject(why, ST_QUOTA, "durability", "the store of this broker fails", 0);
}

bool journal_unstored(const struct journal *j)
{
    return j->on && (j->out != 0 || !list_empty(&j->dirty) || !list_empty(&j->tombs_later));
}

/* ---- bodies ---- */

static struct body *body_new(struct shard *shard, uint64_t number, const struct message *m)
{
    struct body *body = malloc(sizeof *body);

    if (body == NULL)
        return NULL;
    *body = (struct body){ .number = number, .message = message_ref(m), .refs = 1 };
    durable_init(&body->durable, DURABLE_BODY);
    STATS_ADD(&shard->stats, memory_queued, memory_block(sizeof *body));
    shard->journal.recent = body;
    return body;
}

struct body *journal_body(struct shard *shard, const struct message *m)
{
    struct journal *j = &shard->journal;
    struct body *body = j->recent;

    if (body != NULL && body->message == m)
        return body_ref(body);
    body = body_new(shard, j->next_body * shard->count + shard->index, m);
    if (body != NULL) {
        j->next_body++;
        journal_change(j, &body->durable);
    }
    return body;
}

struct body *body_ref(struct body *body)
{
    body->refs++;
    return body;
}

void body_unref(struct shard *shard, struct body *body)
{
    struct journal *j = &shard->journal;

    if (body == NULL || --body->refs > 0)
        return;
    if (j->recent == body)
        j->recent = NULL;
    message_unref(body->message);
    STATS_ADD(&shard->stats, memory_queued, 0 - memory_block(sizeof *body));
    journal_bury_later(j, body, &body->durable, RECORD_MESSAGE, body->number, 0);
}

enum status body_restore(struct shard *shard, uint64_t number, const struct message *m, struct body **ret_body)
{
    struct body *body = body_new(shard, number, m);

    if (body == NULL)
        return ST_NO_MEMORY;
    body->durable.stored = true;
    *ret_body = body;
    return ST_OK;
}
