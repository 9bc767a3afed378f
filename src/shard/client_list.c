#include "shard/client_list.h"

#include "base/array.h"
#include "shard/conn.h"
#include "shard/shard_priv.h"

#include <stdlib.h>

/* ---- rows ---- */

static void row_done(struct client_row *row)
{
    free(row->client_id);
    free(row->peer);
    free(row->subject);
}

void client_rows_done(struct client_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        row_done(&rows->rows[i]);
    free(rows->rows);
    *rows = (struct client_rows){ 0 };
}

static int by_client_id(const void *a, const void *b)
{
    return strcmp(((const struct client_row *)a)->client_id, ((const struct client_row *)b)->client_id);
}

void client_rows_sort(struct client_rows *rows, size_t limit)
{
    if (rows->count > 1)
        qsort(rows->rows, rows->count, sizeof *rows->rows, by_client_id);
    while (rows->count > limit)
        row_done(&rows->rows[--rows->count]);
}

bool client_rows_add(struct client_rows *rows, const struct client_row *row_take)
{
    if (!array_grow(&rows->rows, sizeof *rows->rows, rows->count, &rows->cap))
        return false;
    rows->rows[rows->count++] = *row_take;
    return true;
}

static enum status row_of(const struct session *s, struct client_row *out)
{
    const struct conn *c = s->conn;
    struct now now = s->shard->now;
    int64_t until_s = s->grant == NULL ? TIME_NEVER : grant_until_wall(s->grant, now);

    *out = (struct client_row){
        .client_id = span_dup_str(session_client_id(s)),
        .peer = span_dup_str(c == NULL ? SPAN("") : span_of_str(c->peer)),
        .subject = span_dup_str(s->grant == NULL ? SPAN("") : grant_subject(s->grant)),
        .connected = c != NULL,
        .v3 = conn_is_v3(c),
        .expiry_s = s->expiry_s,
        .token_until_s = until_s == TIME_NEVER ? 0 : until_s,
        .subscriptions = s->subscription_count,
        .queued_messages = (uint64_t)s->outbox.count + s->outbox.backlog_count,
        .queued_bytes = s->outbox.bytes,
        .inflight = s->outbox.in_flight_count,
    };
    if (out->client_id != NULL && out->peer != NULL && out->subject != NULL)
        return ST_OK;
    row_done(out);
    return ST_NO_MEMORY;
}

/* ---- the first so many ---- */

/* In the order of bytes, as strcmp() has it; no Client Identifier holds a 0 (MQTT5 [MQTT-1.5.4-2]). */
static int compare(struct span a, struct span b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter == 0 ? 0 : memcmp(a.p, b.p, shorter);

    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len ? 1 : 0;
}

/* The largest Client Identifier on top of a heap: the one that goes when there are too many. */
struct first_ones {
    const struct session **heap;
    size_t count, limit;
};

static bool is_behind(const struct session *a, const struct session *b)
{
    return compare(session_client_id(a), session_client_id(b)) > 0;
}

static void swap(struct first_ones *f, size_t a, size_t b)
{
    const struct session *s = f->heap[a];

    f->heap[a] = f->heap[b];
    f->heap[b] = s;
}

static void sink(struct first_ones *f)
{
    for (size_t at = 0, child; (child = 2 * at + 1) < f->count; at = child) {
        if (child + 1 < f->count && is_behind(f->heap[child + 1], f->heap[child]))
            child++;
        if (!is_behind(f->heap[child], f->heap[at]))
            return;
        swap(f, at, child);
    }
}

static void keep_first(struct first_ones *f, const struct session *s)
{
    if (f->count == f->limit) {
        if (f->limit > 0 && is_behind(f->heap[0], s)) {
            f->heap[0] = s;
            sink(f);
        }
        return;
    }
    f->heap[f->count] = s;
    for (size_t at = f->count++; at > 0 && is_behind(f->heap[at], f->heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(f, at, (at - 1) / 2);
}

static bool fits(const struct session *s, const struct client_query *q)
{
    struct span id = session_client_id(s);

    return (s->conn != NULL || !q->connected_only) && span_starts_with(id, q->prefix) &&
           compare(id, q->after) > 0;
}

enum status client_list(const struct shard *shard, const struct client_query *query, struct client_rows *out)
{
    struct first_ones first = { .limit = query->limit < shard->sessions.count ? query->limit
                                                                              : shard->sessions.count };
    enum status st = ST_OK;

    first.heap = calloc(first.limit + 1, sizeof *first.heap);
    if (first.heap == NULL)
        return ST_NO_MEMORY;
    TABLE_EACH (node, &shard->sessions) {
        const struct session *s = CONTAINER_OF(node, struct session, node);
        if (!fits(s, query))
            continue;
        out->total++;
        keep_first(&first, s);
    }
    for (size_t i = 0; st == ST_OK && i < first.count; i++) {
        struct client_row row;
        st = row_of(first.heap[i], &row);
        if (st == ST_OK && !client_rows_add(out, &row)) {
            row_done(&row);
            st = ST_NO_MEMORY;
        }
    }
    free(first.heap);
    return st;
}
