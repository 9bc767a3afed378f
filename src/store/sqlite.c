/* SQLite behind sql.h. Statements stay prepared in a small table keyed by the address of their text. */
#include "base/log.h"
#include "store/sql_priv.h"
#include "store/sqlite_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#define STATEMENTS_MAX 128 /* more than the program has; the rest is prepared each time */
#define COLUMNS_MAX    24
#define WAL_PAGES      1000 /* then they go into the database: as SQLite itself would */
#define BUSY_MS        5000 /* another process holds the write lock: an operator with a shell, a backup */
#define GROUP_BUSY_MS  1000 /* ... and everybody waits with us */

struct statement {
    const char *text;
    sqlite3_stmt *stmt;
    bool busy; /* being walked: a callback that runs the same text gets one of its own */
};

struct sqlite {
    struct sql base;
    sqlite3 *db;
    struct sqlite_log *log; /* or NULL */
    bool quiet;
    bool grouped;
    bool writing;   /* the group may: it has the lock */
    bool inner;     /* a transaction of the caller's is open in the group */
    bool shut_out;  /* the lock was waited for in vain: until it is had, it is asked for without waiting */
    bool lost;      /* SQLite gave the group up in its midst: nothing of it will have happened */
    int64_t synced; /* sqlite3_total_changes64() at the last sync */
    int wal_pages;
    struct statement statements[STATEMENTS_MAX];
};

static struct sqlite *sqlite_of(struct sql *sql)
{
    return CONTAINER_OF(sql, struct sqlite, base);
}

static enum status failed(struct sqlite *s, int rc, struct why *why)
{
    int primary = rc & 0xff;

    if (primary == SQLITE_NOMEM)
        return reject(why, ST_NO_MEMORY, "store", "out of memory", 0);
    if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY)
        return reject(why, ST_EXISTS, "store", "a row with this key is already there", 0);
    if (!s->quiet)
        log_event(NULL, LOG_WARNING, "store_error", F_I64("code", rc), F_STR("text", sqlite3_errmsg(s->db)));
    if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED)
        return reject(why, ST_IO, "store", "the database is locked by another process", 0);
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB)
        return reject(why, ST_INTERNAL, "store", "the file is damaged, or no database", 0);
    if (primary == SQLITE_FULL)
        return reject(why, ST_IO, "store", "the disk is full", 0);
    return reject(why, ST_IO, "store", "the database refused", 0);
}

static enum status prepare(struct sqlite *s, const char *text, struct statement *own, struct statement **ret,
                           struct why *why)
{
    struct statement *slot = own;

    for (size_t i = 0; i < STATEMENTS_MAX; i++) {
        struct statement *known = &s->statements[i];
        if (known->text == text && !known->busy) {
            *ret = known;
            return ST_OK;
        }
        if (known->text == text)
            break; /* busy: a nested walk */
        if (known->text == NULL) {
            slot = known;
            break;
        }
    }
    int rc =
        sqlite3_prepare_v3(s->db, text, -1, slot == own ? 0 : SQLITE_PREPARE_PERSISTENT, &slot->stmt, NULL);
    if (rc != SQLITE_OK)
        return failed(s, sqlite3_extended_errcode(s->db), why);
    slot->text = text;
    *ret = slot;
    return ST_OK;
}

static int bind_one(sqlite3_stmt *stmt, int at, const struct sql_value *v)
{
    switch (v->kind) {
    case SQL_IS_I64:
        return sqlite3_bind_int64(stmt, at, v->number);
    case SQL_IS_TEXT:
        return sqlite3_bind_text64(stmt, at, v->bytes.p == NULL ? "" : (const char *)v->bytes.p, v->bytes.len,
                                   SQLITE_STATIC, SQLITE_UTF8);
    case SQL_IS_BLOB:
        return sqlite3_bind_blob64(stmt, at, v->bytes.p == NULL ? "" : (const char *)v->bytes.p, v->bytes.len,
                                   SQLITE_STATIC);
    case SQL_IS_NULL:
        break;
    }
    return sqlite3_bind_null(stmt, at);
}

/* "$3" is a name to SQLite, so that the order of first appearance does not matter. */
static int bind_all(sqlite3_stmt *stmt, const struct sql_value *args, size_t count)
{
    ASSERT(count < 100 && sqlite3_bind_parameter_count(stmt) == (int)count);
    for (size_t i = 0; i < count; i++) {
        char name[8] = { '$' };
        size_t n = 1;
        if (i + 1 >= 10)
            name[n++] = (char)('0' + (i + 1) / 10);
        name[n] = (char)('0' + (i + 1) % 10);
        int at = sqlite3_bind_parameter_index(stmt, name);
        ASSERT(at > 0);
        int rc = bind_one(stmt, at, &args[i]);
        if (rc != SQLITE_OK)
            return rc;
    }
    return SQLITE_OK;
}

static enum status give_row(sqlite3_stmt *stmt, sql_row_fn *row_fn, void *ctx)
{
    struct sql_value columns[COLUMNS_MAX];
    int count = sqlite3_column_count(stmt);

    ASSERT(count <= COLUMNS_MAX);
    for (int i = 0; i < count; i++) {
        int type = sqlite3_column_type(stmt, i);
        if (type == SQLITE_INTEGER) {
            columns[i] = SQL_I64(sqlite3_column_int64(stmt, i));
        } else if (type == SQLITE_NULL) {
            columns[i] = SQL_NULL;
        } else {
            const void *p = sqlite3_column_blob(stmt, i); /* before _bytes: that one may convert */
            columns[i].kind = type == SQLITE_BLOB ? SQL_IS_BLOB : SQL_IS_TEXT;
            columns[i].number = 0;
            columns[i].bytes = span_of(p, (size_t)sqlite3_column_bytes(stmt, i));
        }
    }
    struct sql_row row = { columns, (size_t)count };
    return row_fn(ctx, &row);
}

static enum status walk(struct sqlite *s, sqlite3_stmt *stmt, sql_row_fn *row_fn, void *ctx, struct why *why)
{
    for (;;) {
        int rc = sqlite3_step(stmt);
        if (rc == SQLITE_DONE)
            return ST_OK;
        if (rc != SQLITE_ROW)
            return failed(s, sqlite3_extended_errcode(s->db), why);
        if (row_fn == NULL)
            continue;
        enum status st = give_row(stmt, row_fn, ctx);
        if (st != ST_OK)
            return st;
    }
}

/* ---- many transactions, one commit (SQL_GROUPED) ----
 *     first statement        BEGIN, to read; with the first that writes BEGIN IMMEDIATE, and no reading before it in vain
 *     sql_begin() ...        a savepoint in the group
 *     sql_sync()             COMMIT, which with SQL_DURABLE asks the disk once for all of them */

static enum status plain(struct sqlite *s, const char *text, struct why *why)
{
    struct statement own = { 0 }, *statement = NULL;
    enum status st = prepare(s, text, &own, &statement, why);

    if (st != ST_OK)
        return st;
    st = walk(s, statement->stmt, NULL, NULL, why);
    sqlite3_reset(statement->stmt);
    sqlite3_finalize(own.stmt);
    return st;
}

static bool in_transaction(const struct sqlite *s)
{
    return sqlite3_get_autocommit(s->db) == 0;
}

/* One who waits for the lock keeps all others waiting: once, then whoever wants to write is refused at once. */
static enum status begin_to_write(struct sqlite *s, struct why *why)
{
    enum status st = plain(s, "BEGIN IMMEDIATE", why);
    const bool busy = st != ST_OK && (sqlite3_errcode(s->db) & 0xff) == SQLITE_BUSY;

    if (st == ST_OK ? s->shut_out : busy && !s->shut_out) {
        s->shut_out = busy;
        sqlite3_busy_timeout(s->db, busy ? 0 : GROUP_BUSY_MS);
    }
    return st;
}

/* A reader that wants to write ends first: its place in the log may be an old one by now, if another process wrote. */
static enum status join_group(struct sqlite *s, bool writes, struct why *why)
{
    enum status st = ST_OK;

    if (in_transaction(s) && (s->writing || !writes))
        return ST_OK;
    if (in_transaction(s))
        st = plain(s, "COMMIT", why);
    if (st == ST_OK)
        st = writes ? begin_to_write(s, why) : plain(s, "BEGIN", why);
    s->writing = st == ST_OK && writes;
    return st;
}

static enum status group_begin(struct sqlite *s, struct why *why)
{
    enum status st = join_group(s, true, why);

    if (st == ST_OK)
        st = plain(s, "SAVEPOINT inner_one", why);
    s->inner = st == ST_OK;
    return st;
}

static enum status group_commit(struct sqlite *s, struct why *why)
{
    if (!s->inner || !in_transaction(s))
        return reject(why, ST_IO, "store", "the transaction was given up", 0);
    enum status st = plain(s, "RELEASE inner_one", why);
    s->inner = st != ST_OK;
    return st;
}

static enum status group_rollback(struct sqlite *s, struct why *why)
{
    enum status st = ST_OK;

    if (s->inner && in_transaction(s)) {
        st = plain(s, "ROLLBACK TO inner_one", why);
        if (st == ST_OK)
            st = plain(s, "RELEASE inner_one", why);
        s->lost = s->lost || st != ST_OK; /* half of something is in the group */
    }
    s->inner = false;
    return st;
}

static bool sqlite_unsynced(const struct sql *sql)
{
    const struct sqlite *s = CONTAINER_OF(sql, struct sqlite, base);

    return s->grouped && (s->lost || sqlite3_total_changes64(s->db) != s->synced);
}

static enum status commit_group(struct sqlite *s, struct why *why)
{
    if (s->log == NULL)
        return plain(s, "COMMIT", why);
    sqlite_log_begin(s->log);
    enum status st = plain(s, "COMMIT", why);
    sqlite_log_end(s->log);
    return st;
}

/* Into the database only what is safe in the log: a checkpoint by SQLite itself would sync it, and keep to itself that
 * this failed. */
static enum status sqlite_sync(struct sql *sql, struct why *why)
{
    struct sqlite *s = sqlite_of(sql);
    enum status st =
        s->lost ? reject(why, ST_IO, "store", "the database gave up what was to be kept", 0) : ST_OK;

    ASSERT(!s->inner || !in_transaction(s));
    if (st == ST_OK && in_transaction(s))
        st = commit_group(s, why);
    if (in_transaction(s)) { /* all of it or nothing */
        enum status ignored = plain(s, "ROLLBACK", NULL);
        (void)ignored;
    }
    s->lost = s->writing = s->inner = false;
    s->synced = sqlite3_total_changes64(s->db);
    if (st == ST_OK && s->wal_pages >= WAL_PAGES) {
        s->wal_pages = 0; /* what a reader holds back goes after the next commit */
        sqlite3_wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    return st;
}

/* ---- statements ---- */

static enum status run_statement(struct sqlite *s, const char *text, const struct sql_value *args,
                                 size_t args_count, sql_row_fn *row_fn, void *ctx, int64_t *ret_changed,
                                 struct why *why)
{
    struct statement own = { 0 }, *statement = NULL;
    enum status st = prepare(s, text, &own, &statement, why);

    if (st == ST_OK && s->grouped)
        st = join_group(s, sqlite3_stmt_readonly(statement->stmt) == 0, why);
    if (st != ST_OK) {
        sqlite3_finalize(own.stmt);
        return st;
    }
    int rc = bind_all(statement->stmt, args, args_count);
    statement->busy = true;
    st = rc == SQLITE_OK ? walk(s, statement->stmt, row_fn, ctx, why) : failed(s, rc, why);
    statement->busy = false;
    if (st == ST_OK && ret_changed != NULL)
        *ret_changed = sqlite3_changes64(s->db);
    sqlite3_reset(statement->stmt);
    sqlite3_clear_bindings(statement->stmt);
    sqlite3_finalize(own.stmt); /* NULL does nothing */
    return st;
}

/* BEGIN IMMEDIATE, COMMIT, ROLLBACK as parts of a group; everything else in it. */
static enum status execute_grouped(struct sqlite *s, const char *text, const struct sql_value *args,
                                   size_t args_count, sql_row_fn *row_fn, void *ctx, int64_t *ret_changed,
                                   struct why *why)
{
    const struct span words = args_count == 0 && row_fn == NULL ? span_of_str(text) : SPAN_NONE;
    enum status st;

    if (span_eq_str(words, "BEGIN IMMEDIATE"))
        st = group_begin(s, why);
    else if (span_eq_str(words, "COMMIT"))
        st = group_commit(s, why);
    else if (span_eq_str(words, "ROLLBACK"))
        st = group_rollback(s, why);
    else
        st = run_statement(s, text, args, args_count, row_fn, ctx, ret_changed, why);
    if (s->writing && !in_transaction(s)) /* the disk is full, or memory short */
        s->lost = true;
    return st;
}

static enum status sqlite_execute(struct sql *sql, const char *text, const struct sql_value *args,
                                  size_t args_count, sql_row_fn *row_fn, void *ctx, int64_t *ret_changed,
                                  struct why *why)
{
    struct sqlite *s = sqlite_of(sql);

    if (s->grouped)
        return execute_grouped(s, text, args, args_count, row_fn, ctx, ret_changed, why);
    /* ROLLBACK outside a transaction is the only statement whose failure is expected. */
    if (row_fn == NULL && !in_transaction(s) && span_eq_str(span_of_str(text), "ROLLBACK"))
        return ST_OK;
    return run_statement(s, text, args, args_count, row_fn, ctx, ret_changed, why);
}

static enum status sqlite_script(struct sql *sql, const char *text, struct why *why)
{
    struct sqlite *s = sqlite_of(sql);

    if (sqlite3_exec(s->db, text, NULL, NULL, NULL) != SQLITE_OK)
        return failed(s, sqlite3_extended_errcode(s->db), why);
    return ST_OK;
}

static int on_commit(void *ctx, sqlite3 *db UNUSED, const char *name UNUSED, int pages)
{
    struct sqlite *s = ctx;

    s->wal_pages = pages;
    return SQLITE_OK;
}

static void sqlite_close(struct sql *sql)
{
    struct sqlite *s = sqlite_of(sql);

    for (size_t i = 0; i < STATEMENTS_MAX; i++)
        sqlite3_finalize(s->statements[i].stmt);
    sqlite3_close(s->db);
    sqlite_log_free(s->log);
    free(s);
}

static const struct sql_ops sqlite_ops = { sqlite_execute, sqlite_script, sqlite_unsynced, sqlite_sync,
                                           sqlite_close };

/* SQLite would create the file with the umask's mode; hashes of secrets and AS-RS keys live in it. */
static enum status create_private(const char *path, struct why *why)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return reject(why, ST_IO, "store", "the database file cannot be opened or created", 0);
    close(fd);
    return ST_OK;
}

enum status sql_open(const char *path, unsigned flags, struct sql **ret_sql, struct why *why)
{
    enum status st = ST_OK;

    if (!span_eq_str(span_of_str(path), ":memory:"))
        st = create_private(path, why);
    if (st != ST_OK)
        return st;
    struct sqlite *s = calloc(1, sizeof *s);
    if (s == NULL)
        return reject(why, ST_NO_MEMORY, "store", "out of memory", 0);
    s->base.ops = &sqlite_ops;
    s->quiet = (flags & SQL_QUIET) != 0;
    if ((flags & SQL_GROUPED) != 0 && (flags & SQL_DURABLE) != 0 && sqlite_log_new(&s->log) != ST_OK) {
        sqlite_close(&s->base);
        return reject(why, ST_NO_MEMORY, "store", "out of memory", 0);
    }
    /* One thread per connection: SQLite's own mutexes would only cost. */
    int rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                             s->log != NULL ? sqlite_log_vfs(s->log) : NULL);
    if (rc != SQLITE_OK) {
        st = s->db == NULL ? reject(why, ST_NO_MEMORY, "store", "out of memory", 0) : failed(s, rc, why);
        sqlite_close(&s->base);
        return st;
    }
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, BUSY_MS);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    st = sqlite_script(
        &s->base,
        "PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
        "PRAGMA secure_delete = ON;"
        /* KiB it may take, if the database is that large: SQLite's own 2 MiB make every statement read. What does not
         * fit comes from the system's cache, a call for a page. */
        "PRAGMA cache_size = -8192;",
        why);
    if (st == ST_OK)
        st = sqlite_script(
            &s->base, (flags & SQL_DURABLE) != 0 ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
            why);
    if (st == ST_OK && (flags & SQL_GROUPED) != 0) {
        s->grouped = true;
        sqlite3_busy_timeout(s->db, GROUP_BUSY_MS);
        sqlite3_wal_hook(s->db, on_commit, s); /* instead of SQLite's own, which checkpoints */
    }
    if (st != ST_OK) {
        sqlite_close(&s->base);
        return st;
    }
    *ret_sql = &s->base;
    return ST_OK;
}
