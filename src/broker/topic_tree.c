#include "broker/topic_tree.h"

#include "broker/level_trie.h"

#include <stdlib.h>

struct topic_node {
    struct trie_node trie;
    struct topic_subscription *subscriptions;
    uint64_t shards;
};

struct topic_tree {
    struct level_trie trie;
    unsigned max_levels;
};

enum status topic_tree_new(struct hash_key key, unsigned max_levels, struct topic_tree **ret_tree)
{
    struct topic_tree *tree = calloc(1, sizeof *tree);

    if (tree == NULL || trie_init(&tree->trie, key, sizeof(struct topic_node)) != ST_OK) {
        free(tree);
        return ST_NO_MEMORY;
    }
    tree->max_levels = max_levels < TOPIC_TREE_MAX_LEVELS ? max_levels : TOPIC_TREE_MAX_LEVELS;
    *ret_tree = tree;
    return ST_OK;
}

void topic_tree_free(struct topic_tree *tree)
{
    if (tree == NULL)
        return;
    for (struct trie_node *n = trie_next(&tree->trie, NULL); n != NULL; n = trie_next(&tree->trie, n)) {
        struct topic_subscription *sub = ((struct topic_node *)n)->subscriptions;
        for (struct topic_subscription *next; sub != NULL; sub = next) {
            next = sub->next;
            *sub = (struct topic_subscription){ 0 };
        }
    }
    trie_done(&tree->trie);
    free(tree);
}

/* ---- one filter ---- */

static struct topic_node *find_node(const struct topic_tree *tree, struct topic_filter filter)
{
    struct topic_levels levels = topic_levels(filter.s);
    struct trie_node *node = tree->trie.root;
    struct span level;

    while (node != NULL && topic_level_next(&levels, &level))
        node = trie_child(&tree->trie, node, level, trie_level_hash(&tree->trie, level));
    return (struct topic_node *)node;
}

/* Drops the node and its parents as far as nothing needs them any more. */
static void prune(struct topic_tree *tree, struct topic_node *node)
{
    while (node->trie.parent != NULL && node->trie.children == 0 && node->subscriptions == NULL &&
           node->shards == 0) {
        struct topic_node *parent = (struct topic_node *)node->trie.parent;
        trie_drop(&tree->trie, &node->trie);
        node = parent;
    }
}

static enum status make_node(struct topic_tree *tree, struct topic_filter filter, struct topic_node **ret,
                             struct why *why)
{
    struct topic_levels levels = topic_levels(filter.s);
    struct trie_node *node = tree->trie.root;
    struct span level;

    if (topic_level_count(filter.s) > tree->max_levels)
        return reject(why, ST_BAD_FILTER, "max_topic_levels", "the topic filter has too many levels", 0);
    while (topic_level_next(&levels, &level)) {
        uint64_t hash = trie_level_hash(&tree->trie, level);
        struct trie_node *child = trie_child(&tree->trie, node, level, hash);
        if (child == NULL)
            child = trie_add_child(&tree->trie, node, level, hash);
        if (child == NULL) {
            prune(tree, (struct topic_node *)node);
            return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
        }
        node = child;
    }
    *ret = (struct topic_node *)node;
    return ST_OK;
}

/* ---- subscriptions ---- */

enum status topic_tree_add(struct topic_tree *tree, struct topic_filter filter, struct topic_subscription *sub,
                           bool *ret_first, struct why *why)
{
    struct topic_node *node = NULL;

    ASSERT(sub->node == NULL);
    enum status st = make_node(tree, filter, &node, why);
    if (st != ST_OK)
        return st;
    *ret_first = node->subscriptions == NULL;
    *sub =
        (struct topic_subscription){ .node = node, .next = node->subscriptions, .link = &node->subscriptions };
    if (sub->next != NULL)
        sub->next->link = &sub->next;
    node->subscriptions = sub;
    return ST_OK;
}

bool topic_tree_remove(struct topic_tree *tree, struct topic_subscription *sub)
{
    struct topic_node *node = sub->node;

    if (node == NULL)
        return false;
    *sub->link = sub->next;
    if (sub->next != NULL)
        sub->next->link = sub->link;
    *sub = (struct topic_subscription){ 0 };
    bool last = node->subscriptions == NULL;
    prune(tree, node);
    return last;
}

struct topic_subscription *topic_tree_find(const struct topic_tree *tree, struct topic_filter filter)
{
    const struct topic_node *node = find_node(tree, filter);
    return node == NULL ? NULL : node->subscriptions;
}

void topic_tree_filter(const struct topic_subscription *sub, struct buf *out)
{
    const struct trie_node *path[TOPIC_TREE_MAX_LEVELS];
    size_t depth = 0;

    ASSERT(sub->node != NULL);
    for (const struct trie_node *n = &sub->node->trie; n->parent != NULL; n = n->parent)
        path[depth++] = n;
    while (depth-- > 0) {
        put_bytes(out, trie_level(path[depth], sizeof(struct topic_node)));
        if (depth > 0)
            put_u8(out, '/');
    }
}

/* ---- other shards ---- */

enum status topic_tree_interest_add(struct topic_tree *tree, struct topic_filter filter, unsigned shard,
                                    struct why *why)
{
    struct topic_node *node = NULL;

    ASSERT(shard < TOPIC_TREE_MAX_SHARDS);
    enum status st = make_node(tree, filter, &node, why);
    if (st == ST_OK)
        node->shards |= UINT64_C(1) << shard;
    return st;
}

void topic_tree_interest_remove(struct topic_tree *tree, struct topic_filter filter, unsigned shard)
{
    struct topic_node *node = find_node(tree, filter);

    ASSERT(shard < TOPIC_TREE_MAX_SHARDS);
    if (node == NULL)
        return;
    node->shards &= ~(UINT64_C(1) << shard);
    prune(tree, node);
}

/* ---- matching ---- */

struct match {
    const struct topic_tree *tree;
    topic_tree_visit *visit;
    void *ctx;
    uint64_t shards;
    bool dollar;   /* no leading wildcard may match: MQTT5 [MQTT-4.7.2-1] */
    bool deeper;   /* the topic goes on below what the tree can hold */
    size_t levels; /* of the topic, as far as listed */
    struct span level[TOPIC_TREE_MAX_LEVELS];
    uint64_t hash[TOPIC_TREE_MAX_LEVELS];
};

static void take(struct match *m, const struct trie_node *trie)
{
    const struct topic_node *node = (const struct topic_node *)trie;

    m->shards |= node->shards;
    if (m->visit == NULL)
        return;
    for (struct topic_subscription *sub = node->subscriptions; sub != NULL; sub = sub->next)
        m->visit(m->ctx, sub);
}

static void list_levels(struct match *m, struct topic_name topic)
{
    struct topic_levels levels = topic_levels(topic.s);

    while (m->levels < m->tree->max_levels && topic_level_next(&levels, &m->level[m->levels])) {
        m->hash[m->levels] = trie_level_hash(&m->tree->trie, m->level[m->levels]);
        m->levels++;
    }
    m->deeper = !levels.done;
}

/* From one node down along the plain children; the "+" branches met on the way are left in `pending`. */
static size_t descend(struct match *m, const struct trie_node *node, size_t depth,
                      const struct trie_node **pending, size_t *pending_depth, size_t count)
{
    const struct level_trie *trie = &m->tree->trie;

    while (node != NULL) {
        bool wildcards = !(m->dollar && depth == 0);
        const struct trie_node *hash = wildcards ? trie_hash(trie, node) : NULL;
        if (hash != NULL)
            take(m, hash);
        if (depth == m->levels) {
            if (!m->deeper)
                take(m, node);
            break;
        }
        const struct trie_node *plus = wildcards ? trie_plus(trie, node) : NULL;
        if (plus != NULL) {
            pending[count] = plus;
            pending_depth[count++] = depth + 1;
        }
        node = trie_child(trie, node, m->level[depth], m->hash[depth]);
        depth++;
    }
    return count;
}

uint64_t topic_tree_match(const struct topic_tree *tree, struct topic_name topic, topic_tree_visit *visit,
                          void *ctx)
{
    /* Each pending branch is deeper than the one below it on this stack, so there is at most one per level. */
    const struct trie_node *pending[TOPIC_TREE_MAX_LEVELS + 1];
    size_t pending_depth[TOPIC_TREE_MAX_LEVELS + 1];
    struct match m;

    m.tree = tree;
    m.visit = visit;
    m.ctx = ctx;
    m.shards = 0;
    m.dollar = topic.s.len > 0 && topic.s.p[0] == '$';
    m.levels = 0; /* the two arrays are filled up to here and not cleared: this is the hottest path there is */
    list_levels(&m, topic);
    size_t count = descend(&m, tree->trie.root, 0, pending, pending_depth, 0);
    while (count > 0) {
        count--;
        count = descend(&m, pending[count], pending_depth[count], pending, pending_depth, count);
    }
    return m.shards;
}

size_t topic_tree_nodes(const struct topic_tree *tree)
{
    return tree->trie.count;
}

size_t topic_tree_bytes(const struct topic_tree *tree)
{
    return sizeof *tree + tree->trie.bytes;
}
