/* What all backends share: transactions and migrations are statements like any other. */
#include "store/sql.h"

#include "store/sql_priv.h"

void sql_close(struct sql *sql)
{
    if (sql != NULL)
        sql->ops->close(sql);
}

void sql_closep(struct sql **sql)
{
    sql_close(*sql);
    *sql = NULL;
}

int64_t sql_i64(const struct sql_row *row, size_t column)
{
    ASSERT(column < row->count);
    return row->columns[column].kind == SQL_IS_I64 ? row->columns[column].number : 0;
}

struct span sql_bytes(const struct sql_row *row, size_t column)
{
    ASSERT(column < row->count);
    return row->columns[column].bytes;
}

bool sql_is_null(const struct sql_row *row, size_t column)
{
    ASSERT(column < row->count);
    return row->columns[column].kind == SQL_IS_NULL;
}

enum status sql_execute(struct sql *sql, const char *text, const struct sql_value *args, size_t args_count,
                        sql_row_fn *row_fn, void *ctx, int64_t *ret_changed, struct why *why)
{
    return sql->ops->execute(sql, text, args, args_count, row_fn, ctx, ret_changed, why);
}

enum status sql_begin(struct sql *sql, struct why *why)
{
    return sql_run(sql, "BEGIN IMMEDIATE", NULL, why);
}

enum status sql_commit(struct sql *sql, struct why *why)
{
    return sql_run(sql, "COMMIT", NULL, why);
}

bool sql_unsynced(const struct sql *sql)
{
    return sql->ops->unsynced(sql);
}

enum status sql_sync(struct sql *sql, struct why *why)
{
    return sql->ops->sync(sql, why);
}

void sql_rollback(struct sql *sql)
{
    /* Without a transaction this fails, which is what the caller of a rollback wants to hear nothing about. */
    enum status ignored = sql_run(sql, "ROLLBACK", NULL, NULL);
    (void)ignored;
}

static enum status take_i64(void *ctx, const struct sql_row *row)
{
    *(int64_t *)ctx = sql_i64(row, 0);
    return ST_OK;
}

static enum status migrate_step(struct sql *sql, const struct sql_migration *step, struct why *why)
{
    enum status st = sql_begin(sql, why);
    if (st != ST_OK)
        return st;
    st = sql->ops->script(sql, step->script, why);
    if (st == ST_OK)
        st = sql_run(sql, "INSERT INTO schema_migration (number, name) VALUES ($1, $2)", NULL, why,
                     SQL_I64(step->number), SQL_TEXT(span_of_str(step->name)));
    if (st == ST_OK)
        st = sql_commit(sql, why);
    if (st != ST_OK)
        sql_rollback(sql);
    return st;
}

enum status sql_migrate(struct sql *sql, const struct sql_migration *steps, size_t count, struct why *why)
{
    int64_t done = 0;
    enum status st;

    st = sql->ops->script(
        sql, "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL)",
        why);
    if (st != ST_OK)
        return st;
    st = sql_query(sql, "SELECT COALESCE(MAX(number), 0) FROM schema_migration", take_i64, &done, why);
    if (st != ST_OK)
        return st;
    if (done > (int64_t)count)
        return reject(why, ST_BAD_VERSION, "store migrations", "the database was written by a newer version",
                      0);
    for (size_t i = (size_t)done; i < count; i++) {
        ASSERT(steps[i].number == (int64_t)i + 1);
        st = migrate_step(sql, &steps[i], why);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}
