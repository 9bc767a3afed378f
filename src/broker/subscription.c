#include "broker/interest.h"
#include "broker/session.h"
#include "broker/shard_priv.h"

#include <stdlib.h>

/* A subscription is known by its session and its place in the tree: two pointers, which a peer cannot choose. */
struct place {
    const struct session *session;
    const struct topic_node *node;
};

static uint64_t place_hash(const struct shard *shard, const struct session *s, const struct topic_node *node)
{
    struct place place = { s, node };

    return table_hash(&shard->subscriptions, span_of(&place, sizeof place));
}

static bool is_at(const struct table_node *node, const void *key)
{
    const struct subscription *sub = CONTAINER_OF(node, struct subscription, node);
    const struct place *place = key;

    return sub->session == place->session && sub->in_tree.node == place->node;
}

struct subscription *subscription_find(const struct session *s, struct topic_filter filter)
{
    const struct shard *shard = s->shard;
    struct topic_subscription *any = topic_tree_find(shard->tree, filter);
    struct table_node *node;

    if (any == NULL)
        return NULL;
    node = table_find(&shard->subscriptions, place_hash(shard, s, any->node), is_at,
                      &(struct place){ s, any->node });
    return node == NULL ? NULL : CONTAINER_OF(node, struct subscription, node);
}

enum status subscription_new(struct session *s, struct topic_filter filter, struct subscription **ret_sub,
                             bool *ret_first, struct why *why)
{
    struct shard *shard = s->shard;
    struct subscription *sub;
    enum status st;

    if (s->subscription_count >= shard->settings->max_subscriptions)
        return reject(why, ST_QUOTA, "max_subscriptions", "this session has as many subscriptions as it may",
                      0);
    sub = calloc(1, sizeof *sub);
    if (sub == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    sub->session = s;
    st = topic_tree_add(shard->tree, filter, &sub->in_tree, ret_first, why);
    if (st != ST_OK) {
        free(sub);
        return st;
    }
    table_insert(&shard->subscriptions, &sub->node, place_hash(shard, s, sub->in_tree.node));
    list_append(&s->subscriptions, &sub->link);
    s->subscription_count++;
    STATS_INC(&shard->stats, subscriptions);
    *ret_sub = sub;
    return ST_OK;
}

void subscription_free(struct subscription *sub)
{
    struct shard *shard = sub->session->shard;
    struct buf *filter = &shard->text;

    if (shard->count > 1) { /* the text is gone with the last one */
        buf_reset(filter);
        topic_tree_filter(&sub->in_tree, filter);
    }
    table_remove(&shard->subscriptions, &sub->node);
    if (topic_tree_remove(shard->tree, &sub->in_tree) && shard->count > 1 && buf_ok(filter))
        interest_remove(shard, buf_span(filter));
    list_remove(&sub->link);
    sub->session->subscription_count--;
    STATS_DEC(&shard->stats, subscriptions);
    free(sub);
}
