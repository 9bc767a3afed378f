/* shard/client_list.h - the sessions of a shard as rows for people: who is here, who is away, what waits for them. No
 * token, key or payload. Pure. */
#ifndef SYMBOLON_SHARD_CLIENT_LIST_H
#define SYMBOLON_SHARD_CLIENT_LIST_H

#include "base/span.h"
#include "base/status.h"
#include "shard/shard.h"

struct client_query {
    struct span prefix; /* of the Client Identifier */
    struct span after;  /* only those behind it, in the order of bytes; empty: from the first */
    bool connected_only;
    size_t limit;
};

struct client_row {
    char *client_id, *peer, *subject; /* heap; peer and subject "" where there is none */
    bool connected;
    bool v3;
    uint32_t expiry_s;     /* Session Expiry Interval in force */
    int64_t token_until_s; /* Unix time; 0: no token, or one without an end */
    uint64_t subscriptions, queued_messages, queued_bytes, inflight;
};

struct client_rows {
    struct client_row *rows;
    size_t count, cap;
    size_t total; /* that fit the query, beyond the limit too */
};

/* The first `limit` in the order of Client Identifiers. ST_NO_MEMORY leaves what there is. */
enum status client_list(const struct shard *shard, const struct client_query *query,
                        struct client_rows *out) MUST_CHECK;
/* False: out of memory, and the row is still the caller's. */
bool client_rows_add(struct client_rows *rows, const struct client_row *row_take) MUST_CHECK;
/* Puts them in order and cuts to `limit`. */
void client_rows_sort(struct client_rows *rows, size_t limit);
void client_rows_done(struct client_rows *rows);

#endif
