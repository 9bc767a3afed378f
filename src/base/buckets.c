#include "base/buckets.h"

#include <stdlib.h>

/* So many buckets for one node keep the load between a quarter and three quarters. */
#define GROWING   2
#define SHRINKING 4

enum status buckets_init(struct buckets *b, size_t first)
{
    *b = (struct buckets){ .mask = first - 1, .room = first };
    b->heads = calloc(first, sizeof(struct bucket_node *));
    return b->heads == NULL ? ST_NO_MEMORY : ST_OK;
}

void buckets_done(struct buckets *b)
{
    free(b->heads);
    *b = (struct buckets){ 0 };
}

static bool set_room(struct buckets *b, size_t room)
{
    struct bucket_node **heads = reallocarray(b->heads, room, sizeof(struct bucket_node *));

    if (heads == NULL)
        return false;
    b->heads = heads;
    b->room = room;
    return true;
}

static void divide(struct buckets *b, uint64_t (*hash_of)(const struct bucket_node *node))
{
    size_t half = b->mask + 1;
    struct bucket_node **link = &b->heads[b->split], *upper = NULL;

    while (*link != NULL) {
        struct bucket_node *node = *link;

        if ((hash_of(node) & half) == 0) {
            link = &node->next;
            continue;
        }
        *link = node->next;
        node->next = upper;
        upper = node;
    }
    b->heads[half + b->split] = upper;
    if (++b->split == half) {
        b->mask = b->mask * 2 + 1;
        b->split = 0;
    }
}

void buckets_grow(struct buckets *b, size_t nodes, uint64_t (*hash_of)(const struct bucket_node *node))
{
    for (int i = 0; i < GROWING && nodes >= buckets_count(b) / 4 * 3; i++) {
        if (buckets_count(b) == b->room && !set_room(b, b->room * 2))
            return;
        divide(b, hash_of);
    }
}

/* The last bucket goes behind the chain it was divided from. */
static void unite(struct buckets *b)
{
    struct bucket_node **link;

    if (b->split == 0) {
        b->mask /= 2;
        b->split = b->mask + 1;
    }
    b->split--;
    link = &b->heads[b->split];
    while (*link != NULL)
        link = &(*link)->next;
    *link = b->heads[b->mask + 1 + b->split];
}

void buckets_shrink(struct buckets *b, size_t nodes, size_t first)
{
    for (int i = 0; i < SHRINKING && buckets_count(b) > first && nodes < buckets_count(b) / 4; i++)
        unite(b);
    /* If it cannot be made smaller it stays as large as it is. */
    if (b->room > first && buckets_count(b) == first)
        (void)set_room(b, first);
    else if (b->room > first && buckets_count(b) <= b->room / 4)
        (void)set_room(b, b->room / 2);
}

void bucket_remove(struct buckets *b, struct bucket_node *node, uint64_t hash)
{
    struct bucket_node **link = bucket_of(b, hash);

    while (*link != NULL && *link != node)
        link = &(*link)->next;
    ASSERT(*link == node);
    *link = node->next;
    node->next = NULL;
}

struct bucket_node *bucket_next(const struct buckets *b, const struct bucket_node *node, uint64_t hash)
{
    if (b->heads == NULL)
        return NULL;
    if (node != NULL && node->next != NULL)
        return node->next;
    for (size_t i = node == NULL ? 0 : bucket_index(b, hash) + 1; i < buckets_count(b); i++)
        if (b->heads[i] != NULL)
            return b->heads[i];
    return NULL;
}
