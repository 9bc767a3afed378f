#include "shard/journal_records.h"

#include "shard/durable_post.h"
#include "shard/message.h"
#include "shard/shard_priv.h"
#include "shard/share.h"

#include <stdlib.h>

static struct record_key key_of(const struct tomb *t)
{
    switch ((enum record_kind)t->durable.letter) {
    case RECORD_SUBSCRIPTION:
        return record_key_subscription(t->a, (uint32_t)t->b);
    case RECORD_DELIVERY:
        return record_key_delivery(t->a, t->b);
    case RECORD_MESSAGE:
        return record_key_message(t->a);
    case RECORD_RETAINED:
        return record_key_retained(t->a);
    case RECORD_GROUP:
        return record_key_group(t->a);
    case RECORD_ITEM:
        return record_key_item(t->a, t->b);
    case RECORD_OUT:
        return record_key_out((uint32_t)(t->a >> 32), (uint32_t)t->a, t->b);
    case RECORD_SESSION: /* removed by what is left of the session: session_put() */
    case RECORD_WILL:
    case RECORD_RECEIVED:
    case RECORD_META:
    case RECORD_TOKEN:
    case RECORD_ASIDE:
        break;
    }
    ASSERT(false); /* a tomb of something that is no object of a shard */
    return record_key_meta();
}

static enum status put_tomb(struct shard *shard, struct durable *d, struct kv_batch *batch)
{
    (void)shard;
    return record_delete(batch, key_of(CONTAINER_OF(d, struct tomb, durable)));
}

static void free_tomb(struct durable *d)
{
    free(CONTAINER_OF(d, struct tomb, durable));
}

static enum status put_body(struct shard *shard, struct durable *d, struct kv_batch *batch)
{
    const struct body *body = CONTAINER_OF(d, struct body, durable);
    struct record_message r = message_record(body->message, body->number, shard->now);

    return record_put_message(batch, &r);
}

struct row {
    enum status (*put)(struct shard *shard, struct durable *d, struct kv_batch *batch);
    void (*sealed)(struct durable *d); /* besides that it is stored now; NULL: nothing */
    void (*forget)(struct durable *d); /* of what may have gone */
};

static const struct row journal_kinds[DURABLE_KINDS] = {
    [DURABLE_TOMB] = { put_tomb, free_tomb, free_tomb },
    [DURABLE_SESSION] = { session_put, session_sealed, session_forget },
    [DURABLE_SUBSCRIPTION] = { subscription_put, NULL, NULL },
    [DURABLE_DELIVERY] = { delivery_put, NULL, NULL },
    [DURABLE_BODY] = { put_body, NULL, NULL },
    [DURABLE_RETAINED] = { retained_put, NULL, NULL },
    [DURABLE_GROUP] = { share_group_put, NULL, NULL },
    [DURABLE_ITEM] = { share_item_put, NULL, NULL },
    [DURABLE_OUT] = { durable_post_put, NULL, NULL },
};

enum status journal_put(struct shard *shard, struct durable *d, struct kv_batch *batch)
{
    ASSERT(d->kind < DURABLE_KINDS && journal_kinds[d->kind].put != NULL);
    return journal_kinds[d->kind].put(shard, d, batch);
}

void journal_sealed(struct durable *d)
{
    d->stored = true;
    if (journal_kinds[d->kind].sealed != NULL)
        journal_kinds[d->kind].sealed(d);
}

void journal_forget(struct durable *d)
{
    ASSERT(journal_kinds[d->kind].forget != NULL); /* else somebody still owned it */
    journal_kinds[d->kind].forget(d);
}
