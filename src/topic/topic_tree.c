#include "topic/topic_tree.h"

#include "topic/level_trie.h"
#include "topic/match_cache.h"

#include <stdlib.h>

struct topic_node {
    struct trie_node trie;
    struct topic_subscription *subscriptions;
    uint64_t shards;
};

struct topic_tree {
    struct level_trie trie;
    unsigned max_levels;
    struct match_cache cache;
};

enum status topic_tree_new(struct hash_key key, unsigned max_levels, uint32_t remembered,
                           struct topic_tree **ret_tree)
{
    struct topic_tree *tree = calloc(1, sizeof *tree);

    if (tree == NULL || trie_init(&tree->trie, key, sizeof(struct topic_node)) != ST_OK) {
        free(tree);
        return ST_NO_MEMORY;
    }
    tree->max_levels = max_levels < TOPIC_TREE_MAX_LEVELS ? max_levels : TOPIC_TREE_MAX_LEVELS;
    match_cache_init(&tree->cache, key, remembered);
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
    match_cache_done(&tree->cache);
    trie_done(&tree->trie);
    free(tree);
}

/* ---- one filter ---- */

static struct span first_level(struct span s)
{
    return span_cut(s, 0, span_find(s, '/', 0));
}

static struct span label_of(const struct trie_node *node)
{
    return trie_label(node, sizeof(struct topic_node));
}

static struct trie_node *child_towards(const struct topic_tree *tree, const struct trie_node *node,
                                       struct span rest)
{
    struct span level = first_level(rest);
    return trie_child(&tree->trie, node, level, trie_level_hash(&tree->trie, level));
}

static struct topic_node *find_node(const struct topic_tree *tree, struct topic_filter filter)
{
    struct trie_node *node = tree->trie.root;
    struct span rest = filter.s;

    for (;;) {
        node = child_towards(tree, node, rest);
        if (node == NULL || !span_starts_with(rest, label_of(node)))
            return NULL;
        if (rest.len == node->label_len)
            return (struct topic_node *)node;
        if (rest.p[node->label_len] != '/')
            return NULL;
        rest = span_cut(rest, node->label_len + 1u, SIZE_MAX);
    }
}

static bool is_wanted(const struct topic_node *node)
{
    return node->subscriptions != NULL || node->shards != 0;
}

/* Nobody wants this node any more: the same as match_cache_forget() of its filter, which has to be put together. */
static void forget_node(struct topic_tree *tree, const struct topic_node *node)
{
    uint8_t text[MATCH_CACHE_TOPIC + 1]; /* written from the end, a '/' in front of each label */
    size_t at = sizeof text;
    bool fits = true;

    for (const struct trie_node *n = &node->trie; n->parent != NULL; n = n->parent) {
        struct span label = label_of(n);

        if (topic_filter_has_wildcard((struct topic_filter){ label })) {
            match_cache_forget_all(&tree->cache);
            return;
        }
        fits = fits && label.len < at;
        if (!fits)
            continue; /* too long to be remembered, unless there is a wildcard further up */
        at -= label.len;
        memcpy(text + at, label.p, label.len);
        text[--at] = '/';
    }
    if (fits)
        match_cache_forget(&tree->cache, (struct topic_filter){ span_of(text + at + 1, sizeof text - at - 1) });
}

/* Drops the node and its parents as far as nothing needs them any more. A node left with one child is not joined to
 * it again: it goes when that child goes, and until then the tree is what it was with the removed filter in it. */
static void prune(struct topic_tree *tree, struct topic_node *node)
{
    while (node->trie.parent != NULL && node->trie.children == 0 && !is_wanted(node)) {
        struct topic_node *parent = (struct topic_node *)node->trie.parent;
        trie_drop(&tree->trie, &node->trie);
        node = parent;
    }
    if (tree->trie.count == 0)
        match_cache_done(&tree->cache);
}

/* Bytes of the levels both begin with, without the '/' behind them. */
static size_t common_levels(struct span a, struct span b)
{
    size_t common = 0;

    for (size_t i = 0;; i++) {
        bool a_ends = i == a.len || a.p[i] == '/', b_ends = i == b.len || b.p[i] == '/';
        if (a_ends && b_ends)
            common = i;
        if (i == a.len || i == b.len || a.p[i] != b.p[i])
            return common;
    }
}

/* The child of `node` on the way to `rest`, made or split if need be, so that its label is a whole beginning of
 * `rest`. NULL when out of memory. */
static struct trie_node *make_child(struct topic_tree *tree, struct trie_node *node, struct span rest)
{
    struct trie_node *child = child_towards(tree, node, rest);

    if (child == NULL)
        return trie_add_child(&tree->trie, node, rest, trie_level_hash(&tree->trie, first_level(rest)));
    size_t common = common_levels(label_of(child), rest);
    return common == child->label_len ? child : trie_split(&tree->trie, child, common);
}

static enum status make_node(struct topic_tree *tree, struct topic_filter filter, struct topic_node **ret,
                             struct why *why)
{
    struct trie_node *node = tree->trie.root;
    struct span rest = filter.s;

    if (topic_level_count(filter.s) > tree->max_levels)
        return reject(why, ST_BAD_FILTER, "limits.topic_levels", "the topic filter has too many levels", 0);
    for (;;) {
        struct trie_node *child = make_child(tree, node, rest);
        if (child == NULL) {
            prune(tree, (struct topic_node *)node);
            return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
        }
        node = child;
        if (rest.len == node->label_len)
            break;
        rest = span_cut(rest, node->label_len + 1u, SIZE_MAX);
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
    if (!is_wanted(node))
        match_cache_forget(&tree->cache, filter);
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
    if (!is_wanted(node))
        forget_node(tree, node);
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
        put_bytes(out, label_of(path[depth]));
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
    if (st != ST_OK)
        return st;
    if (!is_wanted(node))
        match_cache_forget(&tree->cache, filter);
    node->shards |= UINT64_C(1) << shard;
    return ST_OK;
}

void topic_tree_interest_remove(struct topic_tree *tree, struct topic_filter filter, unsigned shard)
{
    struct topic_node *node = find_node(tree, filter);

    ASSERT(shard < TOPIC_TREE_MAX_SHARDS);
    if (node == NULL || !is_wanted(node))
        return;
    node->shards &= ~(UINT64_C(1) << shard);
    if (!is_wanted(node))
        match_cache_forget(&tree->cache, filter);
    prune(tree, node);
}

/* ---- matching ---- */

struct match {
    const struct topic_tree *tree;
    topic_tree_visit *visit;
    void *ctx;
    uint64_t shards;
    struct topic_node *wanted[MATCH_CACHE_NODES]; /* met so far that somebody wants */
    size_t wanted_count;                          /* may be more than fit */
    bool dollar;                                  /* no leading wildcard may match: MQTT5 [MQTT-4.7.2-1] */
    bool deeper;                                  /* the topic goes on below what the tree can hold */
    size_t levels;                                /* of the topic, as far as listed */
    struct span level[TOPIC_TREE_MAX_LEVELS];
    uint64_t hash[TOPIC_TREE_MAX_LEVELS];
};

static void visit_all(const struct topic_node *node, topic_tree_visit *visit, void *ctx)
{
    for (struct topic_subscription *sub = node->subscriptions; sub != NULL; sub = sub->next)
        visit(ctx, sub);
}

static void take(struct match *m, const struct trie_node *trie)
{
    struct topic_node *node = (struct topic_node *)trie;

    if (!is_wanted(node))
        return;
    if (m->wanted_count < MATCH_CACHE_NODES)
        m->wanted[m->wanted_count] = node;
    m->wanted_count++;
    m->shards |= node->shards;
    if (m->visit != NULL)
        visit_all(node, m->visit, m->ctx);
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

/* Whether the topic goes on as the rest of this label says, its first level having been found already. *depth is
 * then behind the label. A # at its end is taken here. */
static bool follow(struct match *m, const struct trie_node *node, size_t *depth)
{
    struct topic_levels label = topic_levels(label_of(node));
    struct span level;

    for (bool first = true; topic_level_next(&label, &level); first = false) {
        if (!first && span_eq_str(level, "#")) {
            take(m, node);
            return false;
        }
        if (*depth == m->levels)
            return false;
        if (!first && !span_eq(level, m->level[*depth]) && !span_eq_str(level, "+"))
            return false;
        ++*depth;
    }
    return true;
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
        pending_depth[count] = depth;
        if (plus != NULL && follow(m, plus, &pending_depth[count]))
            pending[count++] = plus;
        node = trie_child(trie, node, m->level[depth], m->hash[depth]);
        if (node != NULL && !follow(m, node, &depth))
            break;
    }
    return count;
}

/* Level by level. `hash`: of match_cache_find(). */
static uint64_t walk(struct topic_tree *tree, struct topic_name topic, uint32_t hash, topic_tree_visit *visit,
                     void *ctx)
{
    /* Pending branches left the path at different nodes of it, so there is at most one per level. */
    const struct trie_node *pending[TOPIC_TREE_MAX_LEVELS + 1];
    size_t pending_depth[TOPIC_TREE_MAX_LEVELS + 1];
    struct match m;

    m.tree = tree;
    m.visit = visit;
    m.ctx = ctx;
    m.shards = 0;
    m.wanted_count =
        0; /* the arrays are filled up to here and not cleared: this is the hottest path there is */
    m.dollar = topic.s.len > 0 && topic.s.p[0] == '$';
    m.levels = 0;
    list_levels(&m, topic);
    size_t count = descend(&m, tree->trie.root, 0, pending, pending_depth, 0);
    while (count > 0) {
        count--;
        count = descend(&m, pending[count], pending_depth[count], pending, pending_depth, count);
    }
    if (hash != 0 && m.wanted_count <= MATCH_CACHE_NODES)
        match_cache_add(&tree->cache, topic, hash, m.wanted, m.wanted_count);
    return m.shards;
}

uint64_t topic_tree_match(struct topic_tree *tree, struct topic_name topic, topic_tree_visit *visit, void *ctx)
{
    uint32_t hash;
    const struct match_entry *known = match_cache_find(&tree->cache, topic, &hash);
    struct topic_node *nodes[MATCH_CACHE_NODES];
    uint64_t shards = 0;
    size_t count;

    if (known == NULL)
        return walk(tree, topic, hash, visit, ctx);
    count = known->count;
    for (size_t i = 0; i < count; i++) { /* a visitor may look for another topic */
        nodes[i] = known->node[i];
        shards |= nodes[i]->shards;
    }
    for (size_t i = 0; visit != NULL && i < count; i++)
        visit_all(nodes[i], visit, ctx);
    return shards;
}

size_t topic_tree_nodes(const struct topic_tree *tree)
{
    return tree->trie.count;
}

size_t topic_tree_bytes(const struct topic_tree *tree)
{
    return sizeof *tree + tree->trie.bytes + match_cache_bytes(&tree->cache);
}
