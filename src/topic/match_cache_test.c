/* What a tree remembers of its matches: it says what a tree that remembers nothing says, whatever happens between; it is
 * bounded, gives way to whoever comes, and stays out of the way where nothing is found again. */
#include "topic/match_cache.h"
#include "topic/topic_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define KEY  ((struct hash_key){ { 3, 4 } })
#define MOST 256

static uint64_t dice;

static uint32_t roll(uint32_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)(dice >> 32) % sides;
}

static struct topic_name name_of(const char *text)
{
    return (struct topic_name){ span_of_str(text) };
}

static struct topic_filter filter_of(const char *text)
{
    return (struct topic_filter){ span_of_str(text) };
}

/* ---- two trees: one remembers ---- */

#define LONG \
    "a-level-that-is-long-enough-to-make-the-topic-too-long/for-what-is-remembered-together-with-its-nodes/"

static const char *const topics[] = { "a",        "a/b",       "a/b/c", "a/b/d",  "b",       "",
                                      "/",        "a//b",      "$SYS",  "$SYS/a", "$x/b",    LONG "abc",
                                      LONG "abd", "c/d/e/f/g", "c/d",   "c/d/e",  "c/d/e/f", "d" };
static const char *const filters[] = { "a",        "a/b",   "a/b/c",     "a/b/d", "b",         "/",
                                       "a//b",     "$SYS",  "$SYS/a",    "$x/b",  "d",         LONG "abc",
                                       LONG "abd", "c/d/e", "c/d",       "c/d/+", "c/+/e/f/g", "a/#",
                                       "+/b",      "#",     "$SYS/#",    "c/d/#", "a/+/c",     LONG "+",
                                       "+/+/c",    "a/b/#", "c/d/e/f/g", "+" };

#define PLAIN  15 /* the first filters have no wildcard: what is remembered lives longer */
#define PEOPLE 40

struct person {
    struct topic_subscription sub[2];
    unsigned hits[2];
    size_t filter;
};

struct twins {
    struct topic_tree *tree[2]; /* [0] remembers nothing */
    struct person people[PEOPLE];
    uint64_t wanted[COUNT_OF(filters)]; /* by other shards */
};

static struct twins *looking;
static int looking_at;

static void hit(void *ctx, struct topic_subscription *sub)
{
    struct person *p = (struct person *)((char *)sub - (looking_at == 0 ? offsetof(struct person, sub[0])
                                                                        : offsetof(struct person, sub[1])));

    assert_true(p >= looking->people && p < looking->people + PEOPLE);
    p->hits[looking_at]++;
    ++*(size_t *)ctx;
}

static void look_up(struct twins *t, size_t topic, bool nobody)
{
    uint64_t shards[2];
    size_t hits = 0;

    looking = t;
    for (looking_at = 0; looking_at < 2; looking_at++) {
        for (size_t i = 0; i < PEOPLE; i++)
            t->people[i].hits[looking_at] = 0;
        shards[looking_at] =
            topic_tree_match(t->tree[looking_at], name_of(topics[topic]), nobody ? NULL : hit, &hits);
    }
    assert_true(shards[0] == shards[1]);
    for (size_t i = 0; i < PEOPLE; i++)
        if (t->people[i].hits[0] != t->people[i].hits[1])
            fail_msg("%s, filter %s: %u and %u", topics[topic], filters[t->people[i].filter],
                     t->people[i].hits[0], t->people[i].hits[1]);
}

static void change_person(struct twins *t)
{
    struct person *p = &t->people[roll(PEOPLE)];
    bool first[2], was = p->sub[0].node != NULL;

    if (was)
        assert_int_equal(topic_tree_remove(t->tree[0], &p->sub[0]), topic_tree_remove(t->tree[1], &p->sub[1]));
    if (was && roll(2) == 0)
        return;
    p->filter = roll(roll(8) == 0 ? COUNT_OF(filters) : PLAIN);
    for (int i = 0; i < 2; i++)
        assert_int_equal(topic_tree_add(t->tree[i], filter_of(filters[p->filter]), &p->sub[i], &first[i], NULL),
                         ST_OK);
    assert_int_equal(first[0], first[1]);
}

static void change_shard(struct twins *t)
{
    size_t f = roll(roll(8) == 0 ? COUNT_OF(filters) : PLAIN);
    unsigned shard = roll(3);
    bool was = (t->wanted[f] >> shard & 1) != 0;

    for (int i = 0; i < 2; i++) {
        if (was)
            topic_tree_interest_remove(t->tree[i], filter_of(filters[f]), shard);
        else
            assert_int_equal(topic_tree_interest_add(t->tree[i], filter_of(filters[f]), shard, NULL), ST_OK);
    }
    t->wanted[f] ^= UINT64_C(1) << shard;
}

static void a_tree_that_remembers_says_what_one_says_that_does_not(void **state UNUSED)
{
    struct twins *t = calloc(1, sizeof *t);

    assert_non_null(t);
    dice = UINT64_C(0x70b1c);
    for (int i = 0; i < 2; i++)
        assert_int_equal(topic_tree_new(KEY, 200, i == 0 ? 0 : 64, &t->tree[i]), ST_OK);
    for (unsigned step = 0; step < 60000; step++) {
        if (roll(4) == 0)
            change_person(t);
        else if (roll(8) == 0)
            change_shard(t);
        look_up(t, roll(COUNT_OF(topics)), roll(16) == 0);
    }
    for (int i = 0; i < 2; i++) /* who is left is unhooked */
        topic_tree_free(t->tree[i]);
    free(t);
}

static void all_goes_and_comes_back(
    void **state UNUSED) /* the memory of what is remembered goes with the last filter */
{
    struct topic_subscription sub = { 0 };
    struct topic_tree *tree = NULL;
    bool first;

    assert_int_equal(topic_tree_new(KEY, 200, 64, &tree), ST_OK);
    size_t empty = topic_tree_bytes(tree);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(topic_tree_add(tree, filter_of("a/b"), &sub, &first, NULL), ST_OK);
        assert_int_equal(topic_tree_interest_add(tree, filter_of("a/+"), 5, NULL), ST_OK);
        for (int n = 0; n < 3; n++)
            assert_true(topic_tree_match(tree, name_of("a/b"), NULL, NULL) == 1u << 5);
        assert_true(topic_tree_bytes(tree) >= empty + MATCH_CACHE_FIRST * sizeof(struct match_entry));
        topic_tree_interest_remove(tree, filter_of("a/+"), 5);
        assert_true(topic_tree_match(tree, name_of("a/b"), NULL, NULL) == 0);
        assert_true(topic_tree_remove(tree, &sub));
        assert_true(topic_tree_match(tree, name_of("a/b"), NULL, NULL) == 0);
        topic_tree_interest_remove(tree, filter_of("a/+"), 5);
    }
    assert_int_equal(topic_tree_nodes(tree), 0);
    topic_tree_free(tree);
}

/* ---- the memory itself; nodes are never looked into ---- */

static struct topic_node *node(size_t i)
{
    static char some[16];

    return (struct topic_node *)(void *)&some[i];
}

static bool remember(struct match_cache *c, const char *topic, size_t nodes)
{
    struct topic_node *all[MATCH_CACHE_NODES + 1];
    uint32_t hash;

    for (size_t i = 0; i < COUNT_OF(all); i++)
        all[i] = node(i);
    if (match_cache_find(c, name_of(topic), &hash) != NULL)
        return true;
    if (hash != 0)
        match_cache_add(c, name_of(topic), hash, all, nodes);
    return false;
}

static bool knows(struct match_cache *c, const char *topic)
{
    uint32_t hash;

    return match_cache_find(c, name_of(topic), &hash) != NULL;
}

static void what_fits_is_remembered_and_the_rest_is_not(void **state UNUSED)
{
    struct match_cache c;
    const struct match_entry *e;
    char topic[MATCH_CACHE_SPACE + 2];
    uint32_t hash;

    match_cache_init(&c, KEY, MOST);
    assert_false(remember(&c, "a/b", MATCH_CACHE_NODES));
    e = match_cache_find(&c, name_of("a/b"), &hash);
    assert_non_null(e);
    assert_int_equal(e->count, MATCH_CACHE_NODES);
    for (size_t i = 0; i < MATCH_CACHE_NODES; i++)
        assert_ptr_equal(e->node[i], node(i));
    (void)remember(&c, "a/c", MATCH_CACHE_NODES + 1);
    assert_false(knows(&c, "a/c"));
    for (size_t len = 0; len <= MATCH_CACHE_SPACE + 1; len++) {
        memset(topic, 'x', len);
        topic[len] = '\0';
        (void)remember(&c, topic, 1);
        assert_int_equal(knows(&c, topic), len + sizeof(void *) <= MATCH_CACHE_SPACE);
    }
    match_cache_done(&c);
    assert_false(knows(&c, "a/b"));
}

static void a_plain_filter_concerns_one_topic_and_a_wildcard_all(void **state UNUSED)
{
    struct match_cache c;

    match_cache_init(&c, KEY, MOST);
    (void)remember(&c, "a/b", 1);
    (void)remember(&c, "a/c", 1);
    match_cache_forget(&c, filter_of("a/b"));
    assert_false(knows(&c, "a/b"));
    assert_true(knows(&c, "a/c"));
    match_cache_forget(&c, filter_of("never/used"));
    assert_true(knows(&c, "a/c"));
    match_cache_forget(&c, filter_of("x/+"));
    assert_false(knows(&c, "a/c"));
    match_cache_done(&c);
}

static void generations_come_round_without_bringing_back_what_was(void **state UNUSED)
{
    struct match_cache c;

    match_cache_init(&c, KEY, MOST);
    (void)remember(&c, "a/b", 1);
    c.generation = UINT32_MAX;
    (void)remember(&c, "a/c", 1);
    match_cache_forget_all(&c); /* to the number that "a/b" bears */
    assert_false(knows(&c, "a/b"));
    assert_false(knows(&c, "a/c"));
    match_cache_done(&c);
}

static void it_grows_with_the_topics_in_use_and_no_further(void **state UNUSED)
{
    struct match_cache c;
    char topic[32];
    size_t found = 0;

    match_cache_init(&c, KEY, 16 * MATCH_CACHE_FIRST);
    assert_int_equal(match_cache_bytes(&c), 0);
    for (unsigned round = 0; round < 300; round++) { /* more than it begins with has room for */
        found = 0;
        for (unsigned i = 0; i < 4 * MATCH_CACHE_FIRST; i++) {
            snprintf(topic, sizeof topic, "site/%u", i);
            found += remember(&c, topic, 1);
        }
    }
    assert_true(found > 4 * MATCH_CACHE_FIRST * 3 / 4);
    for (unsigned i = 0; i < 50000; i++) {
        snprintf(topic, sizeof topic, "once/%u", i);
        (void)remember(&c, topic, 1);
        assert_true(match_cache_bytes(&c) <= 16 * MATCH_CACHE_FIRST * sizeof(struct match_entry));
    }
    match_cache_done(&c);
    assert_int_equal(match_cache_bytes(&c), 0);
}

/* Ever new topics: hardly one of them is looked for, until topics come back. */
static void where_nothing_is_found_again_hardly_anything_is_looked_for(void **state UNUSED)
{
    struct match_cache c;
    char topic[32];
    uint32_t hash;
    size_t looked = 0, found = 0;

    match_cache_init(&c, KEY, MOST);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(topic, sizeof topic, "once/%u", i);
        (void)match_cache_find(&c, name_of(topic), &hash);
        looked += hash != 0;
        if (hash != 0)
            match_cache_add(&c, name_of(topic), hash, NULL, 0);
    }
    assert_true(looked < 20000 / MATCH_CACHE_SAMPLE + 300);
    for (unsigned i = 0; i < 4000; i++)
        found += remember(&c, "again", 1);
    assert_true(found > 2500);
    match_cache_done(&c);
}

static void who_may_remember_nothing_does_not(void **state UNUSED)
{
    struct match_cache c;

    match_cache_init(&c, KEY, 0);
    for (int i = 0; i < 10; i++)
        assert_false(remember(&c, "a/b", 1));
    match_cache_forget(&c, filter_of("a/b"));
    match_cache_forget_all(&c);
    assert_int_equal(match_cache_bytes(&c), 0);
    match_cache_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_that_remembers_says_what_one_says_that_does_not),
        cmocka_unit_test(all_goes_and_comes_back),
        cmocka_unit_test(what_fits_is_remembered_and_the_rest_is_not),
        cmocka_unit_test(a_plain_filter_concerns_one_topic_and_a_wildcard_all),
        cmocka_unit_test(generations_come_round_without_bringing_back_what_was),
        cmocka_unit_test(it_grows_with_the_topics_in_use_and_no_further),
        cmocka_unit_test(where_nothing_is_found_again_hardly_anything_is_looked_for),
        cmocka_unit_test(who_may_remember_nothing_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
