/* Buckets through random growth and shrinking against a plain array of what is in them; without memory to grow. */
#include "base/buckets.h"
#include "support/failing_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define FIRST 16u
#define NODES 20000u

struct item {
    struct bucket_node node;
    uint64_t hash;
    bool in;
};

static uint64_t hash_of(const struct bucket_node *node)
{
    return CONTAINER_OF(node, struct item, node)->hash;
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void put(struct buckets *b, struct item *item, size_t *nodes)
{
    struct bucket_node **bucket;

    buckets_grow(b, *nodes, hash_of);
    bucket = bucket_of(b, item->hash);
    item->node.next = *bucket;
    *bucket = &item->node;
    item->in = true;
    ++*nodes;
}

static void take(struct buckets *b, struct item *item, size_t *nodes)
{
    bucket_remove(b, &item->node, item->hash);
    item->in = false;
    --*nodes;
    buckets_shrink(b, *nodes, FIRST);
}

static bool has(const struct buckets *b, const struct item *item)
{
    for (struct bucket_node *n = *bucket_of(b, item->hash); n != NULL; n = n->next)
        if (n == &item->node)
            return true;
    return false;
}

/* Everything that is in is found, is walked over once, and nothing else. */
static void check(const struct buckets *b, const struct item *items, size_t nodes)
{
    size_t walked = 0;

    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(has(b, &items[i]), items[i].in);
    for (struct bucket_node *n = bucket_next(b, NULL, 0); n != NULL; n = bucket_next(b, n, hash_of(n)))
        walked++;
    assert_int_equal(walked, nodes);
    assert_true(buckets_count(b) <= b->room);
}

static void what_is_in_is_found_through_any_growing_and_shrinking(void **state UNUSED)
{
    struct item *items = calloc(NODES, sizeof *items);
    uint64_t seed = 88172645463325252u;
    struct buckets b;
    size_t nodes = 0;

    assert_non_null(items);
    assert_int_equal(buckets_init(&b, FIRST), ST_OK);
    for (size_t i = 0; i < NODES; i++)
        items[i].hash = random_next(&seed);
    for (int round = 0; round < 8; round++) {
        unsigned wanted = round % 2 == 0 ? 90 : 5; /* percent that stay in */
        for (size_t i = 0; i < NODES; i++) {
            struct item *item = &items[random_next(&seed) % NODES];
            bool in = random_next(&seed) % 100 < wanted;
            size_t before = buckets_count(&b);
            if (in && !item->in)
                put(&b, item, &nodes);
            else if (!in && item->in)
                take(&b, item, &nodes);
            assert_true(buckets_count(&b) <= before + 2 &&
                        before <= buckets_count(&b) + 4); /* never all at once */
        }
        check(&b, items, nodes);
        assert_true(nodes <= buckets_count(&b)); /* short chains */
        assert_true(buckets_count(&b) <= FIRST || nodes >= buckets_count(&b) / 5);
    }
    for (size_t i = 0; i < NODES; i++)
        if (items[i].in)
            take(&b, &items[i], &nodes);
    check(&b, items, 0);
    assert_int_equal(buckets_count(&b), FIRST);
    assert_int_equal(b.room, FIRST);
    buckets_done(&b);
    free(items);
}

static void without_memory_the_chains_get_longer(void **state UNUSED)
{
    struct item *items = calloc(NODES, sizeof *items);
    uint64_t seed = 88172645463325252u;
    struct buckets b;
    size_t nodes = 0;

    assert_non_null(items);
    assert_int_equal(buckets_init(&b, FIRST), ST_OK);
    for (size_t i = 0; i < NODES; i++)
        items[i].hash = random_next(&seed);
    failing_memory_begin_lasting(1);
    for (size_t i = 0; i < 500; i++)
        put(&b, &items[i], &nodes);
    (void)failing_memory_end();
    assert_int_equal(b.room, FIRST);
    check(&b, items, nodes);
    for (size_t i = 500; i < NODES; i++) /* there is some again */
        put(&b, &items[i], &nodes);
    check(&b, items, nodes);
    assert_true(buckets_count(&b) >= nodes);
    buckets_done(&b);
    free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_in_is_found_through_any_growing_and_shrinking),
        cmocka_unit_test(without_memory_the_chains_get_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
