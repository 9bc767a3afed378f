/* store/sql.h - rows in tables: what the authorization server keeps, and the broker of tokens. SQLite stands
 * behind it now; the interface is small enough, and the statements plain enough ($1, $2, ... as placeholders), for
 * PostgreSQL to do so too.
 * Errors:    ST_IO (with SQLite's own words in the log, not in `why`), ST_EXISTS when a UNIQUE or PRIMARY KEY
 *            rule was broken, ST_NO_MEMORY; ST_INTERNAL when the file is damaged. After ST_IO inside a
 *            transaction roll back.
 * Ownership: sql_close(NULL) does nothing. Statements are kept prepared, found again by the address of their
 *            text: give literals.
 * Threads:   a connection belongs to one thread.
 * Durability: a committed transaction survives the death of the process. After a power cut the last few may be
 *            missing, but the file is whole; with SQL_DURABLE each commit is on the disk. SQL_GROUPED gathers: what
 *            the caller commits, and every statement outside a transaction, happens together at the next sql_sync(). */
#ifndef SYMBOLON_STORE_SQL_H
#define SYMBOLON_STORE_SQL_H

#include "base/span.h"
#include "base/status.h"

struct sql;

#define SQL_DURABLE IN(0)
#define SQL_QUIET   IN(1) /* nothing in the log: for a library in somebody else's program */
#define SQL_GROUPED IN(2) /* nothing has happened, and so nothing may be promised, before sql_sync() */

/* Opens or creates (mode 0600). ":memory:" is a database of its own, for tests. */
enum status sql_open(const char *path, unsigned flags, struct sql **ret_sql, struct why *why) MUST_CHECK;
void sql_close(struct sql *sql);
void sql_closep(struct sql **sql);

enum sql_kind { SQL_IS_NULL, SQL_IS_I64, SQL_IS_TEXT, SQL_IS_BLOB };

struct sql_value {
    enum sql_kind kind;
    int64_t number;
    struct span bytes;
};

#define SQL_NULL    ((struct sql_value){ SQL_IS_NULL, 0, SPAN_NONE })
#define SQL_I64(v)  ((struct sql_value){ SQL_IS_I64, (int64_t)(v), SPAN_NONE })
#define SQL_TEXT(s) ((struct sql_value){ SQL_IS_TEXT, 0, (s) })
#define SQL_BLOB(s) ((struct sql_value){ SQL_IS_BLOB, 0, (s) })
/* NULL instead of empty bytes. */
#define SQL_TEXT_OR_NULL(s) ((struct sql_value){ (s).len > 0 ? SQL_IS_TEXT : SQL_IS_NULL, 0, (s) })
#define SQL_BLOB_OR_NULL(s) ((struct sql_value){ (s).len > 0 ? SQL_IS_BLOB : SQL_IS_NULL, 0, (s) })

/* One row of an answer; its bytes are valid during the callback. A NULL column reads as 0 and SPAN_NONE. */
struct sql_row {
    const struct sql_value *columns;
    size_t count;
};
int64_t sql_i64(const struct sql_row *row, size_t column);
struct span sql_bytes(const struct sql_row *row, size_t column);
bool sql_is_null(const struct sql_row *row, size_t column);

/* Anything but ST_OK stops the walk and is what sql_query() returns. */
typedef enum status sql_row_fn(void *ctx, const struct sql_row *row);

/* One statement, with COUNT_OF(args) values for $1 and up:
 *   sql_run(sql, "DELETE FROM token WHERE jti = $1", &changed, why, SQL_TEXT(jti)) */
#define sql_run(sql, text, ret_changed, why, ...)                                                              \
    sql_execute((sql), (text), (const struct sql_value[]){ __VA_ARGS__ __VA_OPT__(, ) SQL_NULL },              \
                COUNT_OF(((const struct sql_value[]){ __VA_ARGS__ __VA_OPT__(, ) SQL_NULL })) - 1, NULL, NULL, \
                (ret_changed), (why))
#define sql_query(sql, text, row_fn, ctx, why, ...)                                                          \
    sql_execute((sql), (text), (const struct sql_value[]){ __VA_ARGS__ __VA_OPT__(, ) SQL_NULL },            \
                COUNT_OF(((const struct sql_value[]){ __VA_ARGS__ __VA_OPT__(, ) SQL_NULL })) - 1, (row_fn), \
                (ctx), NULL, (why))

/* What the two above become. `ret_changed` (rows inserted, updated, deleted) and `row_fn` may be NULL. */
enum status sql_execute(struct sql *sql, const char *text, const struct sql_value *args, size_t args_count,
                        sql_row_fn *row_fn, void *ctx, int64_t *ret_changed, struct why *why) MUST_CHECK;

/* Transactions do not nest; sql_begin() takes the write lock at once. sql_rollback() is harmless without one.
 */
enum status sql_begin(struct sql *sql, struct why *why) MUST_CHECK;
enum status sql_commit(struct sql *sql, struct why *why) MUST_CHECK;
void sql_rollback(struct sql *sql);

/* With SQL_GROUPED one commit for all since the last sql_sync(): sql_begin() opens a part of it that can be rolled back
 * alone. sql_unsynced(): something was changed that only this connection sees. sql_sync() ends the group, also one that
 * only read (it sees one moment of the database, and keeps the log from being emptied): call it when there is no more to do for now.
 * When it fails nothing of the group has happened, unless the disk took what it said it did not: then that shows after
 * the next start. Without SQL_GROUPED false, and nothing. */
bool sql_unsynced(const struct sql *sql);
enum status sql_sync(struct sql *sql, struct why *why) MUST_CHECK;

/* Brings the tables to the newest shape, each step in a transaction of its own. A database with steps this
 * program does not know was used by a newer one: ST_BAD_VERSION. */
struct sql_migration {
    int64_t number; /* 1, 2, 3, ... without gaps */
    const char *name;
    const char *script; /* any number of statements */
};
enum status sql_migrate(struct sql *sql, const struct sql_migration *steps, size_t count,
                        struct why *why) MUST_CHECK;

/* The whole database as it is at one moment into a new file (0600, synced), also while others go on writing to it. What
 * comes out was checked. progress() may be NULL. ST_NOT_FOUND, ST_EXISTS (`to` is there), ST_DAMAGED, ST_IO; then `to`
 * is not there. */
typedef void sql_progress_fn(void *ctx, int64_t pages, int64_t of);
enum status sql_copy(const char *from, const char *to, sql_progress_fn *progress, void *ctx,
                     struct why *why) MUST_CHECK;
/* ST_EXISTS if anybody, also another process, has the database open; ST_OK if not, or if there is none. */
enum status sql_nobody_has(const char *path, struct why *why) MUST_CHECK;

/* For tests: another connection's front that fails with ST_IO at the n-th statement (1 is the next one, 0
 * never) and at every one after it until set again. Takes `inner`. */
enum status sql_failing_new(struct sql *inner_take, struct sql **ret_sql) MUST_CHECK;
void sql_fail_at(struct sql *failing, unsigned n);
void sql_fail_once(struct sql *failing, unsigned n);     /* the n-th alone */
void sql_fail_sync(struct sql *failing, bool fails);     /* sql_sync() fails, and undoes what it was for */
unsigned sql_statements_seen(const struct sql *failing); /* since sql_fail_at() */

#endif
