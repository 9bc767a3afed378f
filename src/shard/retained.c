#include "shard/retained.h"

#include "base/list.h"
#include "shard/message.h"
#include "shard/shard_priv.h"
#include "topic/level_trie.h"
#include "topic/topic_tree.h"

#include <stdlib.h>

struct retained_node {
    struct trie_node trie;
    struct retained_node *first_child;
    struct retained_node *sibling;
    struct retained_node **link;    /* what points at this one among its siblings */
    struct message *message;        /* NULL: only on the way to others */
    struct list round;              /* of all nodes with a message, for the purge */
    struct list kin;                /* of those published on the same token */
    struct publisher *publisher;    /* NULL: without a token */
    struct stored_retained *record; /* NULL: not on disk */
};

/* Of a message that is on disk, or will be; a newer one of the topic takes it over. */
struct stored_retained {
    struct durable durable;
    uint64_t number;
    const struct retained_node *node;
};

/* One token and what was published on it. */
struct publisher {
    struct table_node node; /* in store->publishers */
    uint64_t tag;
    size_t refs; /* its messages, and whoever is looking at it */
    struct list kin;
};

struct retained {
    struct level_trie trie;
    struct retained_limits limits;
    struct list round;
    struct table publishers;
    struct shard *shard; /* whose journal writes it down; NULL: nobody's */
    size_t count;
    size_t records;
    size_t message_bytes;
};

#define PURGE_AT_LIMIT 64 /* messages looked at when a limit stands in the way: bounded work per packet */

enum status retained_new(struct hash_key key, struct retained_limits limits, struct retained **ret_store)
{
    struct retained *store = calloc(1, sizeof *store);

    if (store == NULL || trie_init(&store->trie, key, sizeof(struct retained_node)) != ST_OK) {
        free(store);
        return ST_NO_MEMORY;
    }
    if (table_init(&store->publishers, key) != ST_OK) {
        trie_done(&store->trie);
        free(store);
        return ST_NO_MEMORY;
    }
    store->limits = limits;
    if (store->limits.max_levels > TOPIC_TREE_MAX_LEVELS)
        store->limits.max_levels = TOPIC_TREE_MAX_LEVELS;
    list_init(&store->round);
    *ret_store = store;
    return ST_OK;
}

/* The shard goes, not the message. */
static void forget_message(struct retained_node *node)
{
    message_unref(node->message);
    if (node->record != NULL)
        list_remove(&node->record->durable.link);
    free(node->record);
}

void retained_free(struct retained *store)
{
    if (store == NULL)
        return;
    for (struct trie_node *n = trie_next(&store->trie, NULL); n != NULL; n = trie_next(&store->trie, n))
        forget_message((struct retained_node *)n);
    trie_done(&store->trie);
    for (struct table_node *n; (n = table_take_any(&store->publishers)) != NULL;)
        free(CONTAINER_OF(n, struct publisher, node));
    table_done(&store->publishers);
    free(store);
}

size_t retained_count(const struct retained *store)
{
    return store->count;
}

size_t retained_tree_bytes(const struct retained *store)
{
    return store->trie.bytes + store->publishers.count * sizeof(struct publisher) +
           store->records * sizeof(struct stored_retained);
}

size_t retained_bytes(const struct retained *store)
{
    return store->message_bytes + retained_tree_bytes(store);
}

void retained_limit(struct retained *store, size_t max_messages, size_t max_bytes)
{
    store->limits.max_messages = max_messages;
    store->limits.max_bytes = max_bytes;
}

/* ---- nodes ---- */

static struct retained_node *root_of(const struct retained *store)
{
    return (struct retained_node *)store->trie.root;
}

static struct retained_node *child_of(const struct retained *store, const struct retained_node *node,
                                      struct span level)
{
    return (struct retained_node *)trie_child(&store->trie, &node->trie, level,
                                              trie_level_hash(&store->trie, level));
}

static struct retained_node *find_node(const struct retained *store, struct topic_name topic)
{
    struct topic_levels levels = topic_levels(topic.s);
    struct retained_node *node = root_of(store);
    struct span level;

    while (node != NULL && topic_level_next(&levels, &level))
        node = child_of(store, node, level);
    return node;
}

static void prune(struct retained *store, struct retained_node *node)
{
    while (node->trie.parent != NULL && node->trie.children == 0 && node->message == NULL) {
        struct retained_node *parent = (struct retained_node *)node->trie.parent;
        *node->link = node->sibling;
        if (node->sibling != NULL)
            node->sibling->link = node->link;
        trie_drop(&store->trie, &node->trie);
        node = parent;
    }
}

static struct retained_node *add_child(struct retained *store, struct retained_node *parent, struct span level)
{
    struct retained_node *node = (struct retained_node *)trie_add_child(&store->trie, &parent->trie, level,
                                                                        trie_level_hash(&store->trie, level));
    if (node == NULL)
        return NULL;
    list_init(&node->round);
    list_init(&node->kin);
    node->sibling = parent->first_child;
    node->link = &parent->first_child;
    if (node->sibling != NULL)
        node->sibling->link = &node->sibling;
    parent->first_child = node;
    return node;
}

static struct retained_node *make_node(struct retained *store, struct span topic)
{
    struct topic_levels levels = topic_levels(topic);
    struct retained_node *node = root_of(store);
    struct span level;

    while (topic_level_next(&levels, &level)) {
        struct retained_node *child = child_of(store, node, level);
        if (child == NULL)
            child = add_child(store, node, level);
        if (child == NULL) {
            prune(store, node);
            return NULL;
        }
        node = child;
    }
    return node;
}

/* ---- whose message it is ---- */

static bool has_tag(const struct table_node *node, const void *tag)
{
    return CONTAINER_OF(node, struct publisher, node)->tag == *(const uint64_t *)tag;
}

static struct publisher *publisher_find(const struct retained *store, uint64_t tag)
{
    struct table_node *node = table_find(
        &store->publishers, table_hash(&store->publishers, span_of(&tag, sizeof tag)), has_tag, &tag);

    return node == NULL ? NULL : CONTAINER_OF(node, struct publisher, node);
}

/* A reference. */
static struct publisher *publisher_take(struct retained *store, uint64_t tag)
{
    struct publisher *p = publisher_find(store, tag);

    if (p == NULL) {
        p = calloc(1, sizeof *p);
        if (p == NULL)
            return NULL;
        p->tag = tag;
        list_init(&p->kin);
        table_insert(&store->publishers, &p->node, table_hash(&store->publishers, span_of(&tag, sizeof tag)));
    }
    p->refs++;
    return p;
}

static void publisher_release(struct retained *store, struct publisher *p)
{
    if (p == NULL || --p->refs > 0)
        return;
    table_remove(&store->publishers, &p->node);
    free(p);
}

/* ---- one message ---- */

static void drop_message(struct retained *store, struct retained_node *node)
{
    store->records -= node->record != NULL;
    if (node->record != NULL)
        journal_bury(&store->shard->journal, node->record, &node->record->durable, RECORD_RETAINED,
                     node->record->number, 0);
    node->record = NULL;
    list_remove(&node->kin);
    publisher_release(store, TAKE(node->publisher));
    list_remove(&node->round);
    store->count--;
    store->message_bytes -= message_size(node->message);
    message_unref(node->message);
    node->message = NULL;
}

/* ---- on disk ---- */

void retained_keep(struct retained *store, struct shard *shard)
{
    if (shard->journal.on)
        store->shard = shard;
}

/* Of the message that is there, or a new one under `number`; NULL: no memory. */
static struct stored_retained *record_for(struct retained *store, struct retained_node *node, uint64_t number)
{
    struct stored_retained *r = TAKE(node->record);

    if (r != NULL)
        return r;
    r = malloc(sizeof *r);
    if (r == NULL)
        return NULL;
    _Static_assert(sizeof *r >= sizeof(struct tomb), "it becomes its own tombstone");
    store->records++;
    durable_init(&r->durable, DURABLE_RETAINED);
    r->number = number;
    r->node = node;
    return r;
}

void retained_clock_moved(struct retained *store)
{
    LIST_EACH (it, &store->round) {
        struct retained_node *node = CONTAINER_OF(it, struct retained_node, round);

        if (node->record != NULL && node->message->expires_ms != TIME_NEVER)
            journal_change(&store->shard->journal, &node->record->durable);
    }
}

enum status retained_put(struct shard *shard, struct durable *d, struct kv_batch *batch)
{
    const struct stored_retained *of = CONTAINER_OF(d, struct stored_retained, durable);
    struct record_message r = message_record(of->node->message, of->number, shard->now);

    return record_put_retained(batch, &r);
}

static bool over_limits(const struct retained *store, size_t more_messages, size_t more_bytes)
{
    return store->count + more_messages > store->limits.max_messages ||
           retained_bytes(store) + more_bytes > store->limits.max_bytes;
}

/* In place of what is there; with the record of that number, if it is to be on disk. Takes the reference `publisher`. */
static enum status put_message(struct retained *store, struct retained_node *node,
                               const struct message *message, uint64_t number, struct publisher *publisher)
{
    struct stored_retained *record = NULL;

    if (store->shard != NULL) {
        record = record_for(store, node, number);
        if (record == NULL) {
            publisher_release(store, publisher);
            return ST_NO_MEMORY;
        }
    }
    if (node->message != NULL)
        drop_message(store, node);
    if (publisher != NULL)
        list_append(&publisher->kin, &node->kin);
    node->publisher = publisher;
    node->record = record;
    node->message = message_ref(message);
    message_keep(message, store->limits.cell);
    list_append(&store->round, &node->round);
    store->count++;
    store->message_bytes += message_size(message);
    return ST_OK;
}

static uint64_t next_number(struct retained *store)
{
    return store->shard == NULL
               ? 0
               : store->shard->journal.next_retained++ * store->shard->count + store->shard->index;
}

enum status retained_set(struct retained *store, const struct message *message, struct now now, struct why *why)
{
    struct topic_name topic = { message_topic(message) };

    if (message_payload(message).len == 0) {
        retained_clear(store, topic);
        return ST_OK;
    }
    if (topic_level_count(topic.s) > store->limits.max_levels)
        return reject(why, ST_BAD_TOPIC, "limits.topic_levels", "the topic has too many levels", 0);
    size_t more_bytes = message_size(message);
    if (over_limits(store, 1, more_bytes))
        retained_purge(store, now, PURGE_AT_LIMIT);

    struct retained_node *node = make_node(store, topic.s);
    if (node == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    struct publisher *publisher = message->token_tag == 0 ? NULL : publisher_take(store, message->token_tag);
    if (publisher == NULL && message->token_tag != 0) {
        prune(store, node);
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    size_t less_bytes = node->message == NULL ? 0 : message_size(node->message);
    if (more_bytes > less_bytes && over_limits(store, node->message == NULL, more_bytes - less_bytes)) {
        publisher_release(store, publisher);
        prune(store, node);
        return reject(why, ST_QUOTA, "retained.*", "no room for another retained message", 0);
    }
    if (put_message(store, node, message, next_number(store), publisher) != ST_OK) {
        prune(store, node);
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    if (node->record != NULL)
        journal_change(&store->shard->journal, &node->record->durable);
    return ST_OK;
}

enum status retained_restore(struct retained *store, uint64_t number, const struct message *message,
                             struct why *why)
{
    struct retained_node *node = make_node(store, message_topic(message));
    struct publisher *publisher = NULL;

    if (node == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    if (node->message != NULL)
        return reject(why, ST_EXISTS, "durability", "two retained messages of one topic", 0);
    if (message->token_tag != 0)
        publisher = publisher_take(store, message->token_tag);
    if ((publisher == NULL && message->token_tag != 0) ||
        put_message(store, node, message, number, publisher) != ST_OK) {
        prune(store, node);
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    node->record->durable.stored = true;
    return ST_OK;
}

bool retained_clear(struct retained *store, struct topic_name topic)
{
    struct retained_node *node = find_node(store, topic);

    if (node == NULL || node->message == NULL)
        return false;
    drop_message(store, node);
    prune(store, node);
    return true;
}

size_t retained_purge(struct retained *store, struct now now, size_t budget)
{
    size_t dropped = 0;

    if (budget > store->count)
        budget = store->count;
    for (size_t i = 0; i < budget; i++) {
        struct retained_node *node = CONTAINER_OF(list_shift(&store->round), struct retained_node, round);
        list_append(&store->round, &node->round);
        if (!message_retained_expired(node->message, now))
            continue;
        drop_message(store, node);
        prune(store, node);
        dropped++;
    }
    return dropped;
}

size_t retained_revoke(struct retained *store, uint64_t token_tag)
{
    struct publisher *p = publisher_find(store, token_tag);
    size_t dropped = 0;

    if (p == NULL)
        return 0;
    p->refs++;
    for (; !list_empty(&p->kin); dropped++) {
        struct retained_node *node = CONTAINER_OF(p->kin.next, struct retained_node, kin);

        drop_message(store, node);
        prune(store, node);
    }
    publisher_release(store, p);
    return dropped;
}

/* ---- by filter ---- */

/* A walk over the branches a filter can match: down, along, up, without a stack, because a node knows its parent
 * and its sibling and the filter's level follows from the depth. */
struct walk {
    const struct retained *store;
    struct span level[TOPIC_TREE_MAX_LEVELS];
    size_t levels; /* of the filter, without a final # */
    bool hash;     /* it ends in # */
    struct retained_node *node;
    size_t depth;
};

/* Whether nodes at this depth are taken as they come, or the filter names the one. */
static bool any_at(const struct walk *w, size_t depth)
{
    return depth >= w->levels ? w->hash : span_eq_str(w->level[depth], "+");
}

/* The first of these siblings a wildcard may match: below the root not one that starts with $. */
static struct retained_node *eligible(struct retained_node *node, size_t depth)
{
    while (node != NULL && depth == 0) {
        struct span level = trie_label(&node->trie, sizeof *node);
        if (level.len == 0 || level.p[0] != '$')
            break;
        node = node->sibling;
    }
    return node;
}

static struct retained_node *first_below(const struct walk *w)
{
    if (any_at(w, w->depth))
        return eligible(w->node->first_child, w->depth);
    return w->depth < w->levels ? child_of(w->store, w->node, w->level[w->depth]) : NULL;
}

/* On to the next node; false at the end. */
static bool walk_next(struct walk *w)
{
    struct retained_node *next = first_below(w);

    if (next != NULL) {
        w->node = next;
        w->depth++;
        return true;
    }
    for (; w->depth > 0; w->depth--) {
        next = any_at(w, w->depth - 1) ? eligible(w->node->sibling, w->depth - 1) : NULL;
        if (next != NULL) {
            w->node = next;
            return true;
        }
        w->node = (struct retained_node *)w->node->trie.parent;
    }
    return false;
}

/* False if the filter has more levels than any topic here. */
static bool walk_init(struct walk *w, const struct retained *store, struct topic_filter filter)
{
    struct topic_levels levels = topic_levels(filter.s);
    struct span level;

    w->store = store;
    w->levels = 0;
    w->hash = false;
    w->node = root_of(store);
    w->depth = 0;
    while (topic_level_next(&levels, &level)) {
        w->hash = span_eq_str(level, "#");
        if (w->hash)
            return true;
        if (w->levels == store->limits.max_levels)
            return false;
        w->level[w->levels++] = level;
    }
    return true;
}

size_t retained_query(const struct retained *store, struct topic_filter filter, struct now now, uint64_t *work,
                      retained_visit *visit, void *ctx)
{
    struct walk w;
    size_t calls = 0;

    if (!walk_init(&w, store, filter))
        return 0;
    while (walk_next(&w)) {
        ++*work;
        const struct message *message = w.node->message;
        bool inside = w.depth == w.levels || (w.hash && w.depth > w.levels);
        if (!inside || message == NULL || message_retained_expired(message, now))
            continue;
        calls++;
        if (!visit(ctx, message))
            break;
    }
    return calls;
}
