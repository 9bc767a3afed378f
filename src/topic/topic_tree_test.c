/* The topic tree against a plain list of filters under the naive matcher, through long random lives; its size and
 * depth limits. */
#include "mqtt/naive_topic.h"
#include "mqtt/random_topic.h"
#include "topic/topic_tree.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the last three above first */
#include <cmocka.h>

#define KEY        ((struct hash_key){ { 1, 2 } })
#define REMEMBERED 64

static struct topic_filter filter_of(const char *text)
{
    return (struct topic_filter){ span_of_str(text) };
}

static struct topic_name name_of(const char *text)
{
    return (struct topic_name){ span_of_str(text) };
}

static uint64_t dice;

static uint32_t roll(uint32_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)(dice >> 32) % sides;
}

static struct topic_tree *tree_new(unsigned levels)
{
    struct topic_tree *tree = NULL;

    assert_int_equal(topic_tree_new(KEY, levels, REMEMBERED, &tree), ST_OK);
    return tree;
}

/* ---- a subscriber, and what reached it ---- */

struct subscriber {
    struct topic_subscription tree; /* first, so that a visitor finds its way back */
    const char *filter;             /* NULL: not subscribed */
    unsigned hits;
};

static void count_hit(void *ctx, struct topic_subscription *sub)
{
    ((struct subscriber *)(void *)sub)->hits++;
    ++*(size_t *)ctx;
}

static size_t hits_of(struct topic_tree *tree, const char *topic)
{
    size_t hits = 0;

    topic_tree_match(tree, name_of(topic), count_hit, &hits);
    return hits;
}

static void add(struct topic_tree *tree, struct subscriber *s, const char *filter, bool want_first)
{
    bool first;

    assert_int_equal(topic_tree_add(tree, filter_of(filter), &s->tree, &first, NULL), ST_OK);
    assert_int_equal(first, want_first);
    s->filter = filter;
}

static void every_matching_filter_is_visited_once(void **state UNUSED)
{
    static const char *const all[] = { "a/b",   "a/+",    "+/b", "+/+", "a/#",  "#",     "a/b/#", "+/b/#",
                                       "a/b/c", "$SYS/#", "b/#", "+",   "/a/b", "a/b/+", "a//b" };
    struct subscriber subs[COUNT_OF(all)] = { 0 };
    struct topic_tree *tree = tree_new(200);
    size_t hits = 0;

    for (size_t i = 0; i < COUNT_OF(all); i++)
        add(tree, &subs[i], all[i], true);
    topic_tree_match(tree, name_of("a/b"), count_hit, &hits);
    assert_int_equal(hits, 8);
    for (size_t i = 0; i < COUNT_OF(all); i++)
        assert_int_equal(subs[i].hits, naive_matches(all[i], "a/b"));
    assert_int_equal(hits_of(tree, "$SYS/x"), 1); /* MQTT5 [MQTT-4.7.2-1] */
    topic_tree_free(tree);
}

static void first_and_last_of_a_filter_are_told(void **state UNUSED)
{
    struct subscriber x = { 0 }, y = { 0 };
    struct topic_tree *tree = tree_new(200);

    add(tree, &x, "a/+", true);
    add(tree, &y, "a/+", false);
    assert_ptr_equal(topic_tree_find(tree, filter_of("a/+")), &y.tree);
    assert_ptr_equal(y.tree.next, &x.tree);
    assert_null(topic_tree_find(tree, filter_of("a")));
    assert_false(topic_tree_remove(tree, &x.tree));
    assert_true(topic_tree_remove(tree, &y.tree));
    assert_false(topic_tree_remove(tree, &y.tree)); /* harmless */
    assert_int_equal(topic_tree_nodes(tree), 0);
    topic_tree_free(tree);
}

static void a_subscription_knows_its_filter(void **state UNUSED)
{
    static const char *const all[] = { "a", "/", "a//+", "+/+/#", "#" };
    struct topic_tree *tree = tree_new(200);
    struct buf text;

    buf_init(&text, 100);
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        struct subscriber s = { 0 };
        add(tree, &s, all[i], true);
        buf_reset(&text);
        topic_tree_filter(&s.tree, &text);
        assert_true(span_eq_str(buf_span(&text), all[i]));
        topic_tree_remove(tree, &s.tree);
    }
    buf_done(&text);
    topic_tree_free(tree);
}

static void removal_prunes(void **state UNUSED)
{
    struct subscriber deep = { 0 }, shallow = { 0 };
    struct topic_tree *tree = tree_new(200);
    size_t empty = topic_tree_bytes(tree);

    add(tree, &deep, "a/b/c/d/#", true);
    add(tree, &shallow, "a/b", true);
    assert_int_equal(topic_tree_nodes(tree), 2); /* "a/b" and below it "c/d/#" */
    topic_tree_remove(tree, &deep.tree);
    assert_int_equal(topic_tree_nodes(tree), 1);
    assert_int_equal(topic_tree_interest_add(tree, filter_of("a"), 3, NULL), ST_OK);
    topic_tree_remove(tree, &shallow.tree);
    assert_int_equal(topic_tree_nodes(tree), 1); /* another shard still wants "a" */
    topic_tree_interest_remove(tree, filter_of("a"), 3);
    topic_tree_interest_remove(tree, filter_of("never/there"), 3);
    assert_int_equal(topic_tree_nodes(tree), 0);
    assert_int_equal(topic_tree_bytes(tree), empty);
    topic_tree_free(tree);
}

static void other_shards_are_a_set(void **state UNUSED)
{
    struct topic_tree *tree = tree_new(200);

    assert_int_equal(topic_tree_interest_add(tree, filter_of("a/+"), 0, NULL), ST_OK);
    assert_int_equal(topic_tree_interest_add(tree, filter_of("a/+"), 0, NULL), ST_OK); /* twice is once */
    assert_int_equal(topic_tree_interest_add(tree, filter_of("a/+"), 5, NULL), ST_OK);
    assert_int_equal(topic_tree_interest_add(tree, filter_of("#"), 63, NULL), ST_OK);
    assert_true(topic_tree_match(tree, name_of("a/b"), NULL, NULL) == (UINT64_C(1) << 63 | 1u << 5 | 1));
    assert_true(topic_tree_match(tree, name_of("b"), NULL, NULL) == UINT64_C(1) << 63);
    topic_tree_interest_remove(tree, filter_of("a/+"), 0);
    assert_true(topic_tree_match(tree, name_of("a/b"), NULL, NULL) == (UINT64_C(1) << 63 | 1u << 5));
    topic_tree_free(tree);
}

static void freeing_the_tree_unhooks_subscriptions(void **state UNUSED)
{
    struct subscriber s = { 0 }, t = { 0 };
    struct topic_tree *tree = tree_new(200);

    add(tree, &s, "a", true);
    add(tree, &t, "a", false);
    topic_tree_free(tree);
    assert_null(s.tree.node);
    assert_null(t.tree.node);
    topic_tree_free(NULL);
}

static void depth_is_limited(void **state UNUSED)
{
    char filter[2 * TOPIC_TREE_MAX_LEVELS + 16];
    struct subscriber s = { 0 }, all = { 0 };
    struct topic_tree *tree = tree_new(100000); /* never above the constant */
    struct why why;
    bool first;

    for (size_t i = 0; i < TOPIC_TREE_MAX_LEVELS; i++) /* "+/+/…/+/": one level too many */
        memcpy(filter + 2 * i, "+/", 2);
    filter[2 * TOPIC_TREE_MAX_LEVELS] = '\0';
    assert_int_equal(topic_tree_add(tree, filter_of(filter), &s.tree, &first, &why), ST_BAD_FILTER);
    assert_string_equal(why.clause, "limits.topic_levels");
    assert_int_equal(topic_tree_interest_add(tree, filter_of(filter), 1, NULL), ST_BAD_FILTER);
    assert_int_equal(topic_tree_nodes(tree), 0);
    filter[2 * TOPIC_TREE_MAX_LEVELS - 1] = '\0';
    add(tree, &s, filter, true);
    add(tree, &all, "#", true);
    for (size_t i = 0; i < TOPIC_TREE_MAX_LEVELS; i++)
        filter[2 * i] = 'x';
    assert_int_equal(hits_of(tree, filter), 2);
    memcpy(filter + 2 * TOPIC_TREE_MAX_LEVELS - 1, "/x", 3); /* a deeper topic meets only the # */
    assert_int_equal(hits_of(tree, filter), 1);
    topic_tree_free(tree);
}

/* Every filter of two choices per level: the pending branches are as many as they can be. */
static void a_full_binary_tree_of_wildcards_is_walked(void **state UNUSED)
{
    enum { LEVELS = 10, COUNT = 1 << LEVELS };
    struct subscriber *subs = calloc(COUNT, sizeof *subs);
    char(*text)[2 * LEVELS] = calloc(COUNT, sizeof *text);
    struct topic_tree *tree = tree_new(LEVELS);

    assert_non_null(subs);
    assert_non_null(text);
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned l = 0; l < LEVELS; l++) {
            text[i][2 * l] = (i >> l & 1) != 0 ? '+' : 'x';
            text[i][2 * l + 1] = l + 1 < LEVELS ? '/' : '\0';
        }
        add(tree, &subs[i], text[i], true);
    }
    assert_int_equal(hits_of(tree, "x/x/x/x/x/x/x/x/x/x"), COUNT);
    assert_int_equal(hits_of(tree, "y/y/y/y/y/y/y/y/y/y"), 1);
    assert_int_equal(hits_of(tree, "x/x/x/x/x/x/x/x/x"), 0);
    topic_tree_free(tree);
    free(subs);
    free(text);
}

/* ---- a random life ---- */

#define SUBSCRIBERS 60
#define SHARDS      4

struct life {
    struct topic_tree *tree;
    struct subscriber subs[SUBSCRIBERS];
    bool wanted[SHARDS][NAIVE_TOPICS]; /* by shard and filter */
    unsigned local[NAIVE_TOPICS];      /* subscriptions of each filter */
};

static struct naive_topics names, filters;

/* Short ones of many letters, or long ones of few: branching at every level, or labels of many levels. */
static void load(bool deep)
{
    static const char *const name_letters[] = { "a", "b", "", "$x" };
    static const char *const filter_letters[] = { "a", "b", "", "$x", "+", "#" };
    static const char *const deep_letters[] = { "a", "+", "#" };
    struct topic_filter ignored;
    size_t kept = 0;

    if (deep) {
        naive_enumerate(&names, name_letters, 2, 7);
        naive_enumerate(&filters, deep_letters, COUNT_OF(deep_letters), 6);
    } else {
        naive_enumerate(&names, name_letters, COUNT_OF(name_letters), 4);
        naive_enumerate(&filters, filter_letters, COUNT_OF(filter_letters), 3);
    }
    for (size_t i = 0; i < filters.count; i++)
        if (topic_filter_parse(span_of_str(filters.text[i]), &ignored, NULL) == ST_OK)
            memmove(filters.text[kept++], filters.text[i], NAIVE_TEXT);
    filters.count = kept;
}

static size_t index_of(const char *filter)
{
    return (size_t)(filter - filters.text[0]) / NAIVE_TEXT;
}

static void change_something(struct life *life)
{
    struct subscriber *s = &life->subs[roll(SUBSCRIBERS)];
    size_t f = roll((uint32_t)filters.count);
    unsigned shard = roll(SHARDS);

    if (roll(3) == 0) { /* another shard */
        if (life->wanted[shard][f])
            topic_tree_interest_remove(life->tree, filter_of(filters.text[f]), shard);
        else
            assert_int_equal(topic_tree_interest_add(life->tree, filter_of(filters.text[f]), shard, NULL),
                             ST_OK);
        life->wanted[shard][f] = !life->wanted[shard][f];
    } else if (s->filter != NULL) {
        size_t old = index_of(s->filter);
        assert_int_equal(topic_tree_remove(life->tree, &s->tree), --life->local[old] == 0);
        s->filter = NULL;
    } else {
        add(life->tree, s, filters.text[f], life->local[f]++ == 0);
    }
}

static void check_topic(struct life *life, const char *topic)
{
    uint64_t shards = 0;
    size_t hits = 0, want = 0;

    for (size_t i = 0; i < SUBSCRIBERS; i++)
        life->subs[i].hits = 0;
    for (unsigned s = 0; s < SHARDS; s++)
        for (size_t f = 0; f < filters.count; f++)
            if (life->wanted[s][f] && naive_matches(filters.text[f], topic))
                shards |= UINT64_C(1) << s;
    assert_true(topic_tree_match(life->tree, name_of(topic), count_hit, &hits) == shards);
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        const struct subscriber *s = &life->subs[i];
        unsigned wanted = s->filter != NULL && naive_matches(s->filter, topic);
        assert_int_equal(s->hits, wanted);
        want += wanted;
    }
    assert_int_equal(hits, want);
}

static void live(bool deep)
{
    struct life *life = calloc(1, sizeof *life);
    struct buf text;

    assert_non_null(life);
    load(deep);
    buf_init(&text, 100);
    dice = UINT64_C(0x7ee);
    life->tree = tree_new(200);
    for (int step = 0; step < 20000; step++) {
        change_something(life);
        if (step % 4 == 0)
            check_topic(life, names.text[roll((uint32_t)names.count)]);
    }
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        struct subscriber *s = &life->subs[i];
        if (s->filter == NULL)
            continue;
        buf_reset(&text);
        topic_tree_filter(&s->tree, &text);
        assert_true(span_eq_str(buf_span(&text), s->filter));
        assert_non_null(topic_tree_find(life->tree, filter_of(s->filter)));
        topic_tree_remove(life->tree, &s->tree);
    }
    buf_done(&text);
    for (unsigned s = 0; s < SHARDS; s++)
        for (size_t f = 0; f < filters.count; f++)
            topic_tree_interest_remove(life->tree, filter_of(filters.text[f]), s);
    assert_int_equal(topic_tree_nodes(life->tree), 0);
    topic_tree_free(life->tree);
    free(life);
}

static void a_random_life_agrees_with_a_list(void **state UNUSED)
{
    live(false);
}

static void a_random_life_of_long_filters_agrees_too(void **state UNUSED)
{
    live(true);
}

/* ---- many short lives of deep filters ---- */

#define LIVES   300
#define CROWD_N 24

struct deep {
    struct subscriber sub;
    char text[RANDOM_TEXT];
    uint64_t shards; /* that want the same */
};

static void check_deep(struct topic_tree *tree, struct deep *all, const char *topic, uint64_t seed)
{
    uint64_t shards = 0;
    size_t hits = 0, want = 0;

    for (unsigned i = 0; i < CROWD_N; i++) {
        bool matches = all[i].text[0] != '\0' && naive_matches(all[i].text, topic);

        all[i].sub.hits = 0;
        if (matches)
            shards |= all[i].shards;
    }
    if (topic_tree_match(tree, name_of(topic), count_hit, &hits) != shards)
        fail_msg("seed %llu: other shards of %s", (unsigned long long)seed, topic);
    for (unsigned i = 0; i < CROWD_N; i++) {
        unsigned wanted = all[i].sub.filter != NULL && naive_matches(all[i].text, topic);

        if (all[i].sub.hits != wanted)
            fail_msg("seed %llu: %s and %s", (unsigned long long)seed, all[i].text, topic);
        want += wanted;
    }
    assert_int_equal(hits, want);
}

static void set_interest(struct topic_tree *tree, struct deep *d, unsigned shard)
{
    if ((d->shards >> shard & 1) != 0)
        topic_tree_interest_remove(tree, filter_of(d->text), shard);
    else
        assert_int_equal(topic_tree_interest_add(tree, filter_of(d->text), shard, NULL), ST_OK);
    d->shards ^= UINT64_C(1) << shard;
}

static void forget_deep(struct topic_tree *tree, struct deep *d)
{
    if (d->sub.filter != NULL)
        (void)topic_tree_remove(tree, &d->sub.tree);
    for (unsigned shard = 0; shard < TOPIC_TREE_MAX_SHARDS; shard++)
        if ((d->shards >> shard & 1) != 0)
            set_interest(tree, d, shard);
    memset(d, 0, sizeof *d);
}

static bool is_there(const struct deep *all, const char *text)
{
    for (unsigned i = 0; i < CROWD_N; i++)
        if (strcmp(all[i].text, text) == 0)
            return true;
    return false;
}

static void change_deep(struct topic_tree *tree, struct deep *all, uint64_t *random)
{
    struct deep *d = &all[random_roll(random, CROWD_N)];
    static char text[RANDOM_TEXT];
    bool first;

    if (d->text[0] != '\0' && random_roll(random, 3) == 0) {
        set_interest(tree, d, random_roll(random, TOPIC_TREE_MAX_SHARDS));
        return;
    }
    forget_deep(tree, d);
    random_filter(random, text);
    if (is_there(all, text))
        return;
    memcpy(d->text, text, sizeof text);
    assert_int_equal(topic_tree_add(tree, filter_of(d->text), &d->sub.tree, &first, NULL), ST_OK);
    assert_true(first);
    d->sub.filter = d->text;
}

/* Levels that are empty, begin with $, hold UTF-8: MQTT5 4.7, [MQTT-4.7.2-1]. A failure says its seed. */
static void random_lives_of_200_levels_agree_with_the_naive_matcher(void **state UNUSED)
{
    static struct deep all[CROWD_N];
    static char topic[RANDOM_TEXT];

    for (uint64_t seed = 1; seed <= LIVES; seed++) {
        struct topic_tree *tree = tree_new(RANDOM_LEVELS);
        uint64_t random = seed;

        for (unsigned step = 0; step < 120; step++) {
            const struct deep *d;

            change_deep(tree, all, &random);
            d = &all[random_roll(&random, CROWD_N)];
            random_topic(&random, d->text[0] != '\0' ? d->text : "a/+/#", topic);
            check_deep(tree, all, topic, seed);
        }
        for (unsigned i = 0; i < CROWD_N; i++)
            forget_deep(tree, &all[i]);
        assert_int_equal(topic_tree_nodes(tree), 0);
        topic_tree_free(tree);
    }
}

/* ---- size ---- */

#define CROWD 100000

static void crowd_filter(char *text, size_t len, unsigned i)
{
    snprintf(text, len, "fleet/%u/vehicle/%u/+/state", i % 100, i);
}

static void a_subscription_costs_at_most_400_bytes(void **state UNUSED)
{
    struct subscriber *subs = calloc(CROWD, sizeof *subs);
    struct topic_tree *tree = tree_new(200);
    char text[64];
    bool first;

    assert_non_null(subs);
    struct mallinfo2 before = mallinfo2();
    for (unsigned i = 0; i < CROWD; i++) {
        crowd_filter(text, sizeof text, i);
        assert_int_equal(topic_tree_add(tree, filter_of(text), &subs[i].tree, &first, NULL), ST_OK);
    }
    struct mallinfo2 after = mallinfo2();
    size_t used = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd; /* 0 under a sanitizer */
    size_t each = used / CROWD + sizeof(struct topic_subscription);
    print_message("%zu bytes a subscription: %zu with malloc's share in the tree, %zu the subscriber's own\n",
                  each, used / CROWD, sizeof(struct topic_subscription));
    assert_true(each <= 400);
    assert_true(topic_tree_bytes(tree) / CROWD + sizeof(struct topic_subscription) <= 400);
    assert_int_equal(hits_of(tree, "fleet/7/vehicle/107/door/state"), 1);
    for (unsigned i = 0; i < CROWD; i++)
        topic_tree_remove(tree, &subs[i].tree);
    assert_int_equal(topic_tree_nodes(tree), 0);
    assert_true(topic_tree_bytes(tree) < 4096); /* the table shrinks as well */
    topic_tree_free(tree);
    free(subs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_matching_filter_is_visited_once),
        cmocka_unit_test(first_and_last_of_a_filter_are_told),
        cmocka_unit_test(a_subscription_knows_its_filter),
        cmocka_unit_test(removal_prunes),
        cmocka_unit_test(other_shards_are_a_set),
        cmocka_unit_test(freeing_the_tree_unhooks_subscriptions),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(a_full_binary_tree_of_wildcards_is_walked),
        cmocka_unit_test(a_random_life_agrees_with_a_list),
        cmocka_unit_test(a_random_life_of_long_filters_agrees_too),
        cmocka_unit_test(random_lives_of_200_levels_agree_with_the_naive_matcher),
        cmocka_unit_test(a_subscription_costs_at_most_400_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
