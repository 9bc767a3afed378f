#include "shard/interest.h"
#include "shard/session.h"
#include "shard/shard_priv.h"
#include "shard/share.h"

#include <stdlib.h>

/* A subscription is known by its session and its place in the tree, or its group: two pointers, which a peer cannot
 * choose. */
struct place {
    const struct session *session;
    const void *where;
};

static const void *where(const struct subscription *sub)
{
    return sub->shared ? share_of(sub) : (const void *)sub->in_tree.node;
}

static uint64_t place_hash(const struct shard *shard, const struct session *s, const void *where)
{
    struct place place = { s, where };

    return table_hash(&shard->subscriptions, span_of(&place, sizeof place));
}

static bool is_at(const struct table_node *node, const void *key)
{
    const struct subscription *sub = CONTAINER_OF(node, struct subscription, node);
    const struct place *place = key;

    return sub->session == place->session && where(sub) == place->where;
}

struct subscription *subscription_find(const struct session *s, struct topic_filter filter)
{
    const struct shard *shard = s->shard;
    const void *at = NULL;
    struct table_node *node;

    if (topic_filter_is_shared(filter)) {
        at = share_find(shard, filter.s);
    } else {
        const struct topic_subscription *any = topic_tree_find(shard->tree, filter);

        if (any != NULL)
            at = any->node;
    }
    if (at == NULL)
        return NULL;
    node = table_find(&shard->subscriptions, place_hash(shard, s, at), is_at, &(struct place){ s, at });
    return node == NULL ? NULL : CONTAINER_OF(node, struct subscription, node);
}

static enum status new_in_tree(struct session *s, struct topic_filter filter, struct subscription **ret_sub,
                               bool *ret_first, struct why *why)
{
    struct subscription *sub =
        calloc(1, session_is_kept(s) ? sizeof(struct durable_subscription) : sizeof *sub);
    enum status st;

    if (sub == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    sub->session = s;
    st = topic_tree_add(s->shard->tree, filter, &sub->in_tree, ret_first, why);
    if (st != ST_OK) {
        free(sub);
        return st;
    }
    *ret_sub = sub;
    return ST_OK;
}

static void give_room(struct shard *shard, size_t bytes)
{
    pressure_give(shard->pressure, COUNT_SUBSCRIPTIONS, 1);
    pressure_give(shard->pressure, COUNT_FILTER_BYTES, bytes);
}

/* Among the subscriptions of all sessions. */
static enum status take_room(struct shard *shard, size_t bytes, struct why *why)
{
    if (shard->restoring) {
        pressure_add(shard->pressure, COUNT_SUBSCRIPTIONS, 1);
        pressure_add(shard->pressure, COUNT_FILTER_BYTES, bytes);
        return ST_OK;
    }
    if (!pressure_take(shard->pressure, COUNT_SUBSCRIPTIONS, 1, shard->settings->max_all_subscriptions))
        return reject(why, ST_QUOTA, "limits.subscriptions", "this broker holds no more subscriptions", 0);
    if (pressure_take(shard->pressure, COUNT_FILTER_BYTES, bytes, shard->settings->max_all_subscription_bytes))
        return ST_OK;
    pressure_give(shard->pressure, COUNT_SUBSCRIPTIONS, 1);
    return reject(why, ST_QUOTA, "limits.subscription_bytes", "this broker holds no more topic filters", 0);
}

static void keep(struct session *s, struct subscription *sub)
{
    struct subscription_record *r;

    sub->on_disk = true;
    s->shard->journal.subscriptions++;
    r = subscription_record(sub);
    durable_init(&r->durable, DURABLE_SUBSCRIPTION);
    r->sub = sub;
    r->n = ++s->journal->next_subscription;
    journal_change(&s->shard->journal, &r->durable);
}

enum status subscription_new(struct session *s, struct topic_filter filter, struct subscription **ret_sub,
                             bool *ret_first, struct why *why)
{
    struct shard *shard = s->shard;
    struct subscription *sub;
    enum status st;

    if (s->subscription_count >= shard->settings->max_subscriptions && !shard->restoring)
        return reject(why, ST_QUOTA, "session.max_subscriptions",
                      "this session has as many subscriptions as it may", 0);
    if (s->subscription_bytes + filter.s.len > shard->settings->max_subscription_bytes && !shard->restoring)
        return reject(why, ST_QUOTA, "session.max_subscription_bytes",
                      "this session's filters are as long as they may be", 0);
    st = take_room(shard, filter.s.len, why);
    if (st != ST_OK)
        return st;
    *ret_first = false;
    if (topic_filter_is_shared(filter))
        st = share_subscription_new(s, filter, &sub, why);
    else
        st = new_in_tree(s, filter, &sub, ret_first, why);
    if (st != ST_OK) {
        give_room(shard, filter.s.len);
        return st;
    }
    table_insert(&shard->subscriptions, &sub->node, place_hash(shard, s, where(sub)));
    list_append(&s->subscriptions, &sub->link);
    sub->filter_len = (uint16_t)filter.s.len;
    s->subscription_count++;
    s->subscription_bytes += sub->filter_len;
    STATS_INC(&shard->stats, subscriptions);
    throttle_account(shard);
    if (session_is_kept(s))
        keep(s, sub);
    *ret_sub = sub;
    return ST_OK;
}

void subscription_filter(const struct subscription *sub, struct buf *out)
{
    if (sub->shared)
        put_bytes(out, share_text(share_of(sub)));
    else
        topic_tree_filter(&sub->in_tree, out);
}

static void free_in_tree(struct subscription *sub)
{
    struct shard *shard = sub->session->shard;
    struct buf *filter = &shard->text;

    if (shard->count > 1) { /* the text is gone with the last one */
        buf_reset(filter);
        topic_tree_filter(&sub->in_tree, filter);
    }
    if (topic_tree_remove(shard->tree, &sub->in_tree) && shard->count > 1 && buf_ok(filter))
        interest_remove(shard, buf_span(filter));
    subscription_dispose(sub);
}

void subscription_free(struct subscription *sub)
{
    struct session *s = sub->session;

    table_remove(&s->shard->subscriptions, &sub->node);
    list_remove(&sub->link);
    s->subscription_count--;
    s->subscription_bytes -= sub->filter_len;
    STATS_DEC(&s->shard->stats, subscriptions);
    give_room(s->shard, sub->filter_len);
    if (sub->shared)
        share_subscription_free(sub);
    else
        free_in_tree(sub);
}
