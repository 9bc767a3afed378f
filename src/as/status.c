#include "as/status.h"

#define PURGED_AT_ONCE 100 /* readers */

static enum status take_i64(void *ctx, const struct sql_row *row)
{
    *(int64_t *)ctx = sql_i64(row, 0);
    return ST_OK;
}

static enum status begin(struct sql *sql, struct status_update *update, struct why *why)
{
    if (update->no != 0)
        return ST_OK;
    return sql_query(sql, "UPDATE status_update SET no = no + 1 RETURNING no", take_i64, &update->no, why);
}

static enum status take_place(void *ctx, const struct sql_row *row)
{
    *(struct status_place *)ctx = (struct status_place){
        .any = true, .last = sql_i64(row, 0), .floor = sql_i64(row, 1), .update_no = sql_i64(row, 2)
    };
    return ST_OK;
}

static enum status forget_before(struct sql *sql, struct span reader, int64_t floor, struct why *why)
{
    enum status st = sql_run(sql, "UPDATE status_reader SET floor = $2 WHERE id = $1 AND floor < $2", NULL, why,
                             SQL_TEXT(reader), SQL_I64(floor));

    if (st == ST_OK)
        st = sql_run(sql, "DELETE FROM status_change WHERE reader = $1 AND idx < $2", NULL, why,
                     SQL_TEXT(reader), SQL_I64(floor));
    return st;
}

static enum status add(struct sql *sql, struct span reader, int64_t index, enum status_what what,
                       struct span hash, int64_t until, struct why *why)
{
    uint8_t entry[STATUS_HASH_LEN] = { STATUS_HASH_SHA256 };

    if (hash.len != SHA256_LEN)
        return ST_OK;
    memcpy(entry + 1, hash.p, SHA256_LEN);
    /* The same twice in one update: a token that was narrowed and then revoked has both, and that is right. */
    return sql_run(sql,
                   "INSERT INTO status_change (reader, idx, what, hash, until) VALUES ($1, $2, $3, $4, $5)"
                   " ON CONFLICT DO NOTHING",
                   NULL, why, SQL_TEXT(reader), SQL_I64(index), SQL_I64(what),
                   SQL_BLOB(span_of(entry, sizeof entry)), SQL_I64(until));
}

/* A reader's change of this update. Three plain statements: one that inserts or updates would make SQLite prepare to take
 * back a part of the transaction, at a cost that grows with the database. */
static enum status next_place(struct sql *sql, const struct status_update *update, struct span reader,
                              struct status_place *ret, struct why *why)
{
    int64_t inserted = 0;
    enum status st = status_place(sql, reader, ret, why);

    if (st != ST_OK || (ret->any && ret->update_no == update->no))
        return st;
    if (ret->any) {
        ret->last++;
        return sql_run(sql, "UPDATE status_reader SET last = $2, update_no = $3 WHERE id = $1", NULL, why,
                       SQL_TEXT(reader), SQL_I64(ret->last), SQL_I64(update->no));
    }
    st = sql_run(sql,
                 "INSERT INTO status_reader (id, last, floor, update_no) SELECT id, 0, 0, $2 FROM principal"
                 " WHERE id = $1",
                 &inserted, why, SQL_TEXT(reader), SQL_I64(update->no));
    ret->any = inserted > 0;
    return st;
}

static enum status tell(struct sql *sql, const struct status_update *update, struct span reader,
                        const struct token_row *row, enum status_what what, int64_t until, struct why *why)
{
    struct status_place place;
    enum status st = next_place(sql, update, reader, &place, why);

    if (st != ST_OK || !place.any)
        return st;
    st = add(sql, reader, place.last, what, row->hash, until, why);
    if (st == ST_OK)
        st = add(sql, reader, place.last, what, row->trl_hash, until, why);
    if (st == ST_OK && place.last - place.floor >= STATUS_CHANGES_MAX)
        st = forget_before(sql, reader, place.last - STATUS_CHANGES_MAX + 1, why);
    return st;
}

enum status status_tell(struct sql *sql, struct status_update *update, const struct token_row *row,
                        enum status_what what, int64_t until, struct why *why)
{
    enum status st = begin(sql, update, why);

    if (st == ST_OK)
        st = tell(sql, update, row->rs_id, row, what, until, why);
    return st == ST_OK ? tell(sql, update, row->client_id, row, what, until, why) : st;
}

enum status status_place(struct sql *sql, struct span reader, struct status_place *ret, struct why *why)
{
    *ret = (struct status_place){ 0 };
    return sql_query(sql, "SELECT last, floor, update_no FROM status_reader WHERE id = $1", take_place, ret,
                     why, SQL_TEXT(reader));
}

enum status status_newest(struct sql *sql, int64_t *ret_no, struct why *why)
{
    return sql_query(sql, "SELECT no FROM status_update", take_i64, ret_no, why);
}

struct walk {
    status_fn *fn;
    void *ctx;
    enum status_what what; /* of status_each_now() */
};

static enum status give_change(void *ctx, const struct sql_row *row)
{
    const struct walk *walk = ctx;
    return walk->fn(walk->ctx, sql_i64(row, 0), (enum status_what)sql_i64(row, 1), sql_bytes(row, 2));
}

enum status status_each(struct sql *sql, struct span reader, int64_t first, int64_t last, status_fn *fn,
                        void *ctx, struct why *why)
{
    struct walk walk = { .fn = fn, .ctx = ctx };

    return sql_query(sql,
                     "SELECT idx, what, hash FROM status_change WHERE reader = $1 AND idx >= $2 AND idx <= $3"
                     " ORDER BY idx DESC, what",
                     give_change, &walk, why, SQL_TEXT(reader), SQL_I64(first), SQL_I64(last));
}

static enum status give_hashes(void *ctx, const struct sql_row *row)
{
    const struct walk *walk = ctx;
    uint8_t entry[STATUS_HASH_LEN] = { STATUS_HASH_SHA256 };
    enum status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < 2; i++) {
        struct span hash = sql_bytes(row, i);
        if (hash.len != SHA256_LEN)
            continue;
        memcpy(entry + 1, hash.p, SHA256_LEN);
        st = walk->fn(walk->ctx, 0, walk->what, span_of(entry, sizeof entry));
    }
    return st;
}

/* Four texts, each of which walks an index of its own that holds the few tokens it is about. */
enum status status_each_now(struct sql *sql, struct span reader, bool is_rs, struct wall_time now,
                            status_fn *fn, void *ctx, struct why *why)
{
    struct walk walk = { .fn = fn, .ctx = ctx, .what = STATUS_REVOKED };
    enum status st =
        is_rs ? sql_query(sql,
                          "SELECT hash, trl_hash FROM token WHERE rs_id = $1 AND revoked_at IS NOT NULL"
                          " AND expires_at > $2",
                          give_hashes, &walk, why, SQL_TEXT(reader), SQL_I64(now.s))
              : sql_query(sql,
                          "SELECT hash, trl_hash FROM token WHERE client_id = $1 AND revoked_at IS NOT NULL"
                          " AND expires_at > $2",
                          give_hashes, &walk, why, SQL_TEXT(reader), SQL_I64(now.s));

    walk.what = STATUS_CHANGED;
    if (st == ST_OK && is_rs)
        st = sql_query(sql,
                       "SELECT hash, trl_hash FROM token WHERE rs_id = $1 AND changed_at IS NOT NULL"
                       " AND revoked_at IS NULL AND expires_at > $2",
                       give_hashes, &walk, why, SQL_TEXT(reader), SQL_I64(now.s));
    else if (st == ST_OK)
        st = sql_query(sql,
                       "SELECT hash, trl_hash FROM token WHERE client_id = $1 AND changed_at IS NOT NULL"
                       " AND revoked_at IS NULL AND expires_at > $2",
                       give_hashes, &walk, why, SQL_TEXT(reader), SQL_I64(now.s));
    return st;
}

struct over {
    struct sql *sql;
    struct why *why;
    int64_t count;
    char readers[PURGED_AT_ONCE][256];
    int64_t floors[PURGED_AT_ONCE];
};

static enum status take_over(void *ctx, const struct sql_row *row)
{
    struct over *over = ctx;
    struct span reader = sql_bytes(row, 0);

    ASSERT(over->count < PURGED_AT_ONCE && reader.len < sizeof over->readers[0]);
    memcpy(over->readers[over->count], reader.p, reader.len);
    over->readers[over->count][reader.len] = '\0';
    over->floors[over->count++] = sql_i64(row, 1);
    return ST_OK;
}

/* A change with a token that is over goes, and every older one with it: who was away that long asks for the full set. */
enum status status_purge(struct sql *sql, struct wall_time now, bool *ret_more, struct why *why)
{
    struct over over = { .sql = sql, .why = why };
    enum status st = sql_query(sql,
                               "SELECT reader, MAX(idx) + 1 FROM status_change WHERE until <= $1"
                               " GROUP BY reader LIMIT $2",
                               take_over, &over, why, SQL_I64(now.s), SQL_I64(PURGED_AT_ONCE));

    *ret_more = over.count == PURGED_AT_ONCE;
    if (st != ST_OK || over.count == 0)
        return st;
    st = sql_begin(sql, why);
    for (int64_t i = 0; st == ST_OK && i < over.count; i++)
        st = forget_before(sql, span_of_str(over.readers[i]), over.floors[i], why);
    if (st == ST_OK)
        st = sql_commit(sql, why);
    if (st != ST_OK)
        sql_rollback(sql);
    return st;
}
