#include "shard/durable_post.h"

#include "shard/route.h"
#include "shard/shard_priv.h"

#include <stdlib.h>

struct out_post {
    struct durable durable;
    struct list link; /* in shard->outs */
    bool retained;
    unsigned from, to;
    uint64_t n;
    uint64_t epoch; /* it may go when this one is stored */
    const struct message *message;
    struct shard_msg *msg; /* made beforehand: posting cannot fail */
    bool plain;            /* has no record: it is here for the order */
};

bool durable_post_on(const struct shard *shard)
{
    return shard->count > 1 && shard->journal.waits;
}

static struct out_post *out_new(unsigned from, unsigned to, uint64_t n, const struct message *m)
{
    struct out_post *out = calloc(1, sizeof *out);

    if (out == NULL)
        return NULL;
    durable_init(&out->durable, DURABLE_OUT);
    list_init(&out->link);
    out->from = from;
    out->to = to;
    out->n = n;
    out->message = message_ref(m);
    return out;
}

bool durable_post_waits(const struct shard *shard)
{
    return !list_empty(&shard->outs);
}

enum status durable_post(struct shard *shard, unsigned to, struct shard_msg *msg)
{
    struct out_post *out = out_new(shard->index, to, shard->next_out + 1, msg->message);

    ASSERT(durable_post_on(shard) && to != shard->index);
    if (out == NULL) {
        shard_msg_free(msg);
        return ST_NO_MEMORY;
    }
    shard->next_out++;
    out->msg = msg;
    out->retained = msg->kind == MSG_RETAIN_SET;
    out->epoch = shard->journal.epoch;
    journal_change(&shard->journal, &out->durable);
    list_append(&shard->outs, &out->link);
    return ST_OK;
}

void durable_post_behind(struct shard *shard, unsigned to, struct shard_msg *msg)
{
    bool waits = durable_post_waits(shard) && !journal_is_broken(&shard->journal);
    struct out_post *out = waits ? calloc(1, sizeof *out) : NULL;

    if (out == NULL) { /* or no memory, or no disk: the next publication of that topic mends it */
        shard->world.post(shard->world.ctx, to, msg);
        return;
    }
    durable_init(&out->durable, DURABLE_OUT);
    out->plain = true;
    out->to = to;
    out->msg = msg;
    out->epoch = CONTAINER_OF(shard->outs.prev, struct out_post, link)->epoch;
    list_append(&shard->outs, &out->link);
}

enum status durable_post_put(struct shard *shard, struct durable *d, struct kv_batch *batch)
{
    const struct out_post *out = CONTAINER_OF(d, struct out_post, durable);
    struct record_out r = {
        .from = out->from,
        .to = out->to,
        .n = out->n,
        .message = message_record(out->message, 0, shard->now),
        .retained = out->retained,
    };

    return record_put_out(batch, &r);
}

void durable_post_stored(struct shard *shard)
{
    while (!list_empty(&shard->outs)) {
        struct out_post *out = CONTAINER_OF(shard->outs.next, struct out_post, link);
        struct shard_msg *msg = out->msg;
        unsigned to;

        if (out->epoch > shard->journal.stored) /* and so are all behind it */
            return;
        list_remove(&out->link);
        message_unref(TAKE(out->message));
        out->msg = NULL;
        to = out->to;
        if (out->plain)
            free(out);
        else
            msg->out = out;
        shard->world.post(shard->world.ctx, to, msg);
    }
}

void durable_post_pass(struct shard *shard)
{
    LIST_EACH_SAFE (it, &shard->outs) {
        struct out_post *out = CONTAINER_OF(it, struct out_post, link);

        if (!out->plain)
            continue;
        list_remove(&out->link);
        shard->world.post(shard->world.ctx, out->to, out->msg);
        free(out);
    }
}

static void remove_record(struct shard *shard, struct out_post *out)
{
    message_unref(out->message);
    journal_bury(&shard->journal, out, &out->durable, RECORD_OUT, (uint64_t)out->from << 32 | out->to, out->n);
}

void durable_post_arrived(struct shard *shard, struct out_post *out)
{
    remove_record(shard, out);
}

void durable_post_free(struct out_post *out)
{
    if (out == NULL)
        return;
    list_remove(&out->durable.link);
    list_remove(&out->link);
    message_unref(out->message);
    shard_msg_free(out->msg);
    free(out);
}

void durable_post_done(struct shard *shard)
{
    while (!list_empty(&shard->outs))
        durable_post_free(CONTAINER_OF(shard->outs.next, struct out_post, link));
}

enum status durable_post_restore(struct shard *const *shards, unsigned count, const struct record_meta *before,
                                 const struct record_out *record, const struct message *m)
{
    struct out_post *out = out_new(record->from, record->to, record->n, m);
    enum status st = out == NULL ? ST_NO_MEMORY : ST_OK;

    for (unsigned i = 0; st == ST_OK && i < count; i++) {
        if (shards[i]->next_out < record->n)
            shards[i]->next_out = record->n;
        if (!record->retained)
            st = route_restore(shards[i], m, before, record->to);
    }
    if (st == ST_OK && record->retained)
        st = retained_store(shards[retained_owner(shards[0], record->message.topic)], m);
    if (st != ST_OK) { /* nothing is committed: the next start finds it again */
        durable_post_free(out);
        return st;
    }
    out->durable.stored = true;
    remove_record(shards[0], out);
    return ST_OK;
}
