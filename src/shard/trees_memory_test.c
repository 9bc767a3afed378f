/* Topic tree, retained store and scope when the n-th allocation fails, for every n: what was refused has changed
 * nothing, and nothing is lost. */
#include "scope/scope.h"
#include "shard/message.h"
#include "shard/retained.h"
#include "support/failing_memory.h"
#include "topic/topic_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define KEY ((struct hash_key){ { 5, 6 } })

static const char *const all[] = {
    "a/b/c/d", "a/b", "a/+/c/#", "a/b/x/y", "a", "+/b/c", "+/b/d", "#", "a/b/c"
};

static void count_visit(void *ctx, struct topic_subscription *sub UNUSED)
{
    ++*(size_t *)ctx;
}

static size_t matches(struct topic_tree *tree)
{
    size_t hits = 0;

    topic_tree_match(tree, (struct topic_name){ SPAN("a/b/c/d") }, count_visit, &hits);
    topic_tree_match(tree, (struct topic_name){ SPAN("a/b/c") }, count_visit, &hits);
    topic_tree_match(tree, (struct topic_name){ SPAN("a/b/x/y") }, count_visit, &hits);
    return hits;
}

/* True if that failed which may: what remembers matches does without. */
static bool tree_with_failure(long n)
{
    struct topic_subscription subs[COUNT_OF(all)] = { 0 };
    struct topic_tree *tree = NULL;
    bool failed = false, first;

    failing_memory_begin(n);
    if (topic_tree_new(KEY, 200, 64, &tree) != ST_OK)
        return true;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        struct topic_filter filter = { span_of_str(all[i]) };
        size_t before = matches(tree);
        enum status st = topic_tree_add(tree, filter, &subs[i], &first, NULL);
        if (st != ST_OK) {
            failed = true;
            assert_int_equal(st, ST_NO_MEMORY);
            assert_null(subs[i].node);
            assert_int_equal(matches(tree), before);
            assert_int_equal(topic_tree_add(tree, filter, &subs[i], &first, NULL),
                             ST_OK); /* the next one is there */
        }
        assert_true(first);
    }
    assert_int_equal(matches(tree), 3 + 4 + 2);
    for (size_t i = 0; i < COUNT_OF(all); i++)
        assert_true(topic_tree_remove(tree, &subs[i]));
    assert_int_equal(topic_tree_nodes(tree), 0);
    topic_tree_free(tree);
    return failed;
}

static void the_topic_tree_survives_every_failed_allocation(void **state UNUSED)
{
    unsigned failures = 0;
    long made, n = 0;

    do {
        failures += tree_with_failure(++n);
        made = failing_memory_end();
    } while (n <= made);
    assert_true(failures > COUNT_OF(all));
    assert_true(made > failures); /* the others */
}

static bool store_with_failure(unsigned n)
{
    static const char *const topics[] = { "a/b/c", "a/b/d", "a", "x/y" };
    struct message *messages[COUNT_OF(topics)] = { NULL };
    struct retained *store = NULL;
    struct now now = { { 0 }, { 0 } };
    bool failed = false;

    for (size_t i = 0; i < COUNT_OF(topics); i++) {
        struct message_parts parts = { .topic = span_of_str(topics[i]),
                                       .payload = SPAN("x"),
                                       .expires_ms = TIME_NEVER,
                                       .token_until_s = TIME_NEVER };
        assert_int_equal(message_new(&parts, &messages[i]), ST_OK);
    }
    failing_memory_begin(n);
    failed = retained_new(KEY, (struct retained_limits){ 10, 10000, 200 }, &store) != ST_OK;
    for (size_t i = 0; store != NULL && i < COUNT_OF(topics); i++) {
        size_t bytes = retained_bytes(store);
        enum status st = retained_set(store, messages[i], now, NULL);
        if (st == ST_OK)
            continue;
        failed = true;
        assert_int_equal(st, ST_NO_MEMORY);
        assert_int_equal(retained_count(store), i);
        assert_int_equal(retained_bytes(store), bytes);
        assert_int_equal(retained_set(store, messages[i], now, NULL), ST_OK);
    }
    assert_true(store == NULL || retained_count(store) == COUNT_OF(topics));
    retained_free(store);
    for (size_t i = 0; i < COUNT_OF(topics); i++)
        message_unref(messages[i]);
    return failed;
}

static void the_retained_store_survives_every_failed_allocation(void **state UNUSED)
{
    unsigned n = 1;

    while (store_with_failure(n))
        n++;
    assert_true(n > 6);
    (void)failing_memory_end();
}

static void a_scope_without_memory_is_no_scope(void **state UNUSED)
{
    struct scope_entry entry = { { SPAN("a/+") }, SCOPE_PUB };
    struct scope *scope = NULL;

    failing_memory_begin(1);
    assert_int_equal(scope_build(&entry, 1, &scope, NULL), ST_NO_MEMORY);
    (void)failing_memory_end();
    assert_null(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_topic_tree_survives_every_failed_allocation),
        cmocka_unit_test(the_retained_store_survives_every_failed_allocation),
        cmocka_unit_test(a_scope_without_memory_is_no_scope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
