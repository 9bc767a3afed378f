#include "shard/restore_index.h"

#include "base/array.h"
#include "shard/journal.h"
#include "shard/message.h"
#include "shard/shard_priv.h"

#include <stdlib.h>

struct restored_session {
    uint64_t number;
    struct session *session;
};

struct restored_body {
    uint64_t number;
    struct message *message; /* a reference */
    struct body *body;       /* the one on disk: a reference; NULL: nobody has asked */
    unsigned shard;          /* whose it is */
    struct body **others;    /* by shard, references; NULL: nobody else has asked */
};

/* ---- sessions ---- */

bool restore_sessions_takes(const struct restore_sessions *t, uint64_t number)
{
    return t->count == 0 || t->at[t->count - 1].number < number;
}

enum status restore_sessions_add(struct restore_sessions *t, uint64_t number, struct session *s)
{
    ASSERT(restore_sessions_takes(t, number));
    if (!array_grow(&t->at, sizeof *t->at, t->count, &t->cap))
        return ST_NO_MEMORY;
    t->at[t->count++] = (struct restored_session){ number, s };
    return ST_OK;
}

struct session *restore_sessions_find(struct restore_sessions *t, uint64_t number)
{
    size_t at;

    if (t->last < t->count && t->at[t->last].number == number)
        return t->at[t->last].session;
    at = array_find(t->at, sizeof *t->at, t->count, number);
    if (at == t->count)
        return NULL;
    t->last = at;
    return t->at[at].session;
}

void restore_sessions_done(struct restore_sessions *t)
{
    free(t->at);
    *t = (struct restore_sessions){ 0 };
}

/* ---- bodies ---- */

bool restore_bodies_takes(const struct restore_bodies *t, uint64_t number)
{
    return t->count == 0 || t->at[t->count - 1].number < number;
}

enum status restore_bodies_add(struct restore_bodies *t, uint64_t number, struct message *m)
{
    ASSERT(restore_bodies_takes(t, number));
    if (!array_grow(&t->at, sizeof *t->at, t->count, &t->cap)) {
        message_unref(m);
        return ST_NO_MEMORY;
    }
    t->at[t->count++] = (struct restored_body){ .number = number, .message = m };
    return ST_OK;
}

static struct restored_body *find(struct restore_bodies *t, uint64_t number)
{
    size_t at;

    if (t->last + 1 < t->count && t->at[t->last + 1].number == number)
        return &t->at[++t->last];
    at = array_find(t->at, sizeof *t->at, t->count, number);
    if (at == t->count)
        return NULL;
    t->last = at;
    return &t->at[at];
}

static enum status get_other(const struct restore_bodies *t, struct restored_body *b, unsigned shard,
                             struct body **ret_body, bool *moved)
{
    if (b->others == NULL)
        b->others = calloc(t->shard_count, sizeof(struct body *));
    if (b->others == NULL)
        return ST_NO_MEMORY;
    if (b->others[shard] == NULL) {
        b->others[shard] = journal_body(t->shards[shard], b->message);
        *moved = true;
    }
    *ret_body = b->others[shard];
    return *ret_body != NULL ? ST_OK : ST_NO_MEMORY;
}

enum status restore_bodies_get(struct restore_bodies *t, uint64_t number, unsigned shard,
                               struct body **ret_body, bool *moved)
{
    struct restored_body *b = find(t, number);

    *moved = false;
    if (b == NULL)
        return ST_NOT_FOUND;
    if (b->body == NULL) {
        b->shard = shard;
        if (body_restore(t->shards[shard], number, b->message, &b->body) != ST_OK)
            return ST_NO_MEMORY;
    }
    if (b->shard != shard)
        return get_other(t, b, shard, ret_body, moved);
    *ret_body = b->body;
    return ST_OK;
}

void restore_bodies_end(struct restore_bodies *t, void (*unused)(void *ctx, uint64_t number), void *ctx)
{
    for (size_t i = 0; i < t->count; i++) {
        struct restored_body *b = &t->at[i];

        if (b->body == NULL)
            unused(ctx, b->number);
        else
            body_unref(t->shards[b->shard], b->body);
        for (unsigned k = 0; b->others != NULL && k < t->shard_count; k++)
            body_unref(t->shards[k], b->others[k]);
        free(b->others);
        message_unref(b->message);
    }
    free(t->at);
    *t = (struct restore_bodies){ 0 };
}
