/* Groups as the disk remembers them (share.h): at start-up, in one thread, with all shards at hand. */
#include "base/array.h"
#include "shard/shard_priv.h"
#include "shard/share.h"

#include <stdlib.h>

struct share_restore {
    struct shard *const *shards;
    unsigned count;
    struct share **groups; /* by number, a reference each */
    size_t n, cap;
    uint64_t max_group, max_seq;
};

enum status share_restore_new(struct shard *const *shards, unsigned count, struct share_restore **ret_r)
{
    struct share_restore *r = calloc(1, sizeof *r);

    if (r == NULL)
        return ST_NO_MEMORY;
    r->shards = shards;
    r->count = count;
    *ret_r = r;
    return ST_OK;
}

static struct shard *home_of(const struct share_restore *r, struct span text)
{
    return r->shards[share_home(r->shards[0], text)];
}

/* Of a record that is nothing of ours any more. */
static enum status remove_record(struct shard *shard, enum record_kind letter, uint64_t a, uint64_t b)
{
    struct tomb *tomb = malloc(sizeof *tomb);

    if (tomb == NULL)
        return ST_NO_MEMORY;
    durable_init(&tomb->durable, DURABLE_TOMB);
    tomb->durable.stored = true;
    journal_bury(&shard->journal, tomb, &tomb->durable, letter, a, b);
    return ST_OK;
}

static bool add_group(struct share_restore *r, struct share *g)
{
    if (!array_grow(&r->groups, sizeof *r->groups, r->n, &r->cap))
        return false;
    r->groups[r->n++] = g;
    return true;
}

enum status share_restore_group(struct share_restore *r, const struct record_group *record)
{
    struct shard *home = home_of(r, record->text);
    struct share *g = share_get(home, record->text);

    if (g == NULL)
        return ST_NO_MEMORY;
    if (record->group > r->max_group)
        r->max_group = record->group;
    if (g->number != 0) { /* one of the same text was there before: what waited in this one goes as well */
        share_unref(g);
        return remove_record(home, RECORD_GROUP, record->group, 0);
    }
    if (!add_group(r, g)) {
        share_unref(g);
        return ST_NO_MEMORY;
    }
    g->number = record->group;
    g->kept = true;
    g->durable.stored = true;
    return ST_OK;
}

static struct share *find_group(const struct share_restore *r, uint64_t number)
{
    size_t from = 0, to = r->n;

    while (from < to) {
        size_t mid = from + (to - from) / 2;

        if (r->groups[mid]->number == number)
            return r->groups[mid];
        if (r->groups[mid]->number < number)
            from = mid + 1;
        else
            to = mid;
    }
    return NULL;
}

enum status share_restore_item(struct share_restore *r, const struct record_item *record,
                               const struct message *m)
{
    struct share *g = find_group(r, record->group);
    struct share_item *item;
    enum status st;

    if (record->seq > r->max_seq)
        r->max_seq = record->seq;
    if (g == NULL) {
        st = remove_record(r->shards[0], RECORD_ITEM, record->group, record->seq);
        return st == ST_OK ? ST_NOT_FOUND : st;
    }
    item = share_item_new(m, record->seq, 0);
    if (item == NULL)
        return ST_NO_MEMORY;
    item->kept = true;
    item->group = record->group;
    item->durable.stored = true;
    share_put_back(g, item);
    return ST_OK;
}

struct share *share_restore_delivery(struct share_restore *r, struct shard *shard, struct span text,
                                     uint64_t seq)
{
    if (seq > r->max_seq)
        r->max_seq = seq;
    return share_get(shard, text);
}

/* ---- the end ---- */

static void go_on_counting(const struct share_restore *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        r->shards[i]->share_seq = r->max_seq;
        r->shards[i]->next_group = r->max_group / r->count;
    }
}

/* The filter of a group, into the tree of its home, and the others know of it. */
static enum status open_group(const struct share_restore *r, struct share *g, struct why *why)
{
    bool first;
    enum status st = share_open(g, &first, why);

    if (st != ST_OK)
        return st;
    g->first_seq = 0; /* what came before the start is its business */
    for (unsigned i = 0; first && i < r->count; i++) {
        if (r->shards[i] == g->shard)
            continue;
        st = topic_tree_interest_add(r->shards[i]->tree, share_filter(g), g->shard->index, why);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status join(const struct share_restore *r, struct share_subscription *ss, struct why *why)
{
    struct span text = share_text(ss->share);
    struct share_note note = share_remember(ss);
    struct share *g = share_get(home_of(r, text), text);
    enum status st = ST_OK;

    if (g == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    if (!g->open)
        st = open_group(r, g, why);
    if (st == ST_OK)
        st = share_home_join(g, &note, ss->share->shard->index, why);
    share_unref(g);
    return st;
}

/* Who makes a group durable comes first: else its records would go, and be written again. */
static enum status join_all(const struct share_restore *r, bool qos0, struct why *why)
{
    for (unsigned i = 0; i < r->count; i++)
        TABLE_EACH (node, &r->shards[i]->share_subscriptions) {
            struct share_subscription *ss = CONTAINER_OF(node, struct share_subscription, number_node);
            enum status st = (ss->sub.qos == 0) == qos0 ? join(r, ss, why) : ST_OK;

            if (st != ST_OK)
                return st;
        }
    return ST_OK;
}

/* Members elsewhere may have to give something back. */
static void tell_numbers(const struct share_restore *r)
{
    for (unsigned i = 0; i < r->count; i++)
        TABLE_EACH (node, &r->shards[i]->shares) {
            struct share *g = CONTAINER_OF(node, struct share, node);
            const struct share *home = share_find(home_of(r, share_text(g)), share_text(g));

            if (g != home)
                g->number = home != NULL && home->kept ? home->number : 0;
        }
}

enum status share_restore_end(struct share_restore *r, struct why *why)
{
    enum status st;

    go_on_counting(r);
    st = join_all(r, false, why);
    if (st == ST_OK)
        st = join_all(r, true, why);
    for (size_t i = 0; i < r->n; i++) {
        share_look_over(r->groups[i]);
        share_unref(r->groups[i]);
    }
    tell_numbers(r);
    free(r->groups);
    free(r);
    return st;
}
