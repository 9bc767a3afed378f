#include "shard/interest.h"

#include "shard/durable_post.h"
#include "shard/shard_priv.h"

#include <stdlib.h>

static bool has_filter(const struct table_node *node, const void *key)
{
    const struct interest *i = CONTAINER_OF(node, struct interest, node);

    return span_eq(span_of(i->filter, i->filter_len), *(const struct span *)key);
}

static struct interest *find(const struct shard *shard, struct span filter)
{
    struct table_node *node =
        table_find(&shard->interests, table_hash(&shard->interests, filter), has_filter, &filter);

    return node == NULL ? NULL : CONTAINER_OF(node, struct interest, node);
}

static struct interest *find_or_make(struct shard *shard, struct span filter)
{
    struct interest *i = find(shard, filter);

    if (i != NULL)
        return i;
    i = calloc(1, sizeof *i + filter.len);
    if (i == NULL)
        return NULL;
    list_init(&i->waiters);
    i->filter_len = filter.len;
    memcpy(i->filter, filter.p, filter.len);
    table_insert(&shard->interests, &i->node, table_hash(&shard->interests, filter));
    return i;
}

static void forget(struct shard *shard, struct interest *i)
{
    table_remove(&shard->interests, &i->node);
    free(i);
}

/* All the messages are made before the first is posted, so that a shortage of memory leaves nothing half said. */
static struct shard_msg *make_messages(struct shard *shard, enum shard_msg_kind kind, struct span filter)
{
    struct shard_msg *all = NULL;

    for (unsigned i = 1; i < shard->count; i++) {
        struct shard_msg *msg = shard_msg_new(kind, shard->index, filter);

        if (msg == NULL) {
            while (all != NULL) {
                msg = all;
                all = msg->next;
                shard_msg_free(msg);
            }
            return NULL;
        }
        msg->next = all;
        all = msg;
    }
    return all;
}

static void post_all(struct shard *shard, struct shard_msg *all, struct interest *i)
{
    for (unsigned to = 0; to < shard->count; to++) {
        struct shard_msg *msg = all;

        if (to == shard->index)
            continue;
        all = msg->next;
        msg->next = NULL;
        msg->interest = i;
        shard->world.post(shard->world.ctx, to, msg);
    }
}

enum status interest_add(struct shard *shard, struct span filter)
{
    struct interest *i = find_or_make(shard, filter);
    struct shard_msg *all = i == NULL ? NULL : make_messages(shard, MSG_INTEREST_ADD, filter);

    if (all == NULL) {
        if (i != NULL && i->awaiting == 0)
            forget(shard, i);
        return ST_NO_MEMORY;
    }
    i->awaiting += shard->count - 1;
    post_all(shard, all, i);
    return ST_OK;
}

void interest_remove(struct shard *shard, struct span filter)
{
    struct shard_msg *all = shard->going ? NULL : make_messages(shard, MSG_INTEREST_REMOVE, filter);

    if (all != NULL) /* else they go on sending what matches nothing here: a waste, not an error */
        post_all(shard, all, NULL);
}

bool interest_wait(struct shard *shard, struct span filter, struct interest_waiter *waiter)
{
    struct interest *i = shard->count == 1 ? NULL : find(shard, filter);

    if (i == NULL)
        return false;
    list_append(&i->waiters, &waiter->link);
    return true;
}

void interest_on_add(struct shard *shard, struct shard_msg *msg)
{
    unsigned to = msg->from;
    struct topic_filter filter = { shard_msg_filter(msg) };

    /* The answer is the question turned round: it cannot fail for want of memory. */
    msg->failed = topic_tree_interest_add(shard->tree, filter, to, NULL) != ST_OK;
    msg->kind = MSG_INTEREST_ADDED;
    msg->class = SHARD_ACK;
    msg->from = shard->index;
    durable_post_behind(shard, to, msg);
}

void interest_on_added(struct shard *shard, struct shard_msg *msg)
{
    struct interest *i = msg->interest;
    struct list *link;
    struct list waiters;
    bool ok;

    if (msg->failed)
        i->failed = true;
    shard_msg_free(msg);
    ASSERT(i->awaiting > 0);
    if (--i->awaiting > 0)
        return;
    ok = !i->failed;
    list_init(&waiters);
    while ((link = list_shift(&i->waiters)) != NULL)
        list_append(&waiters, link);
    forget(shard, i); /* before telling: a waiter may start all over */
    while ((link = list_shift(&waiters)) != NULL) {
        struct interest_waiter *w = CONTAINER_OF(link, struct interest_waiter, link);

        w->known(shard, w, ok);
    }
}

void interest_on_remove(struct shard *shard, struct shard_msg *msg)
{
    topic_tree_interest_remove(shard->tree, (struct topic_filter){ shard_msg_filter(msg) }, msg->from);
    shard_msg_free(msg);
}

void interest_done(struct shard *shard)
{
    struct table_node *node;

    while ((node = table_take_any(&shard->interests)) != NULL)
        free(CONTAINER_OF(node, struct interest, node));
}
