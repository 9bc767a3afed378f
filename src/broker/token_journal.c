#include "broker/token_journal.h"

#include "base/log.h"
#include "store/sql.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct token_journal {
    struct sql *sql;
    struct token_store *store;
    struct token_change *pending; /* taken from the store, not committed yet; oldest first */
};

/* WITHOUT ROWID: the key is the row. */
static const struct sql_migration steps[] = {
    { 1, "token state",
      "CREATE TABLE token_state (kind INTEGER NOT NULL, id BLOB NOT NULL, record BLOB NOT NULL, "
      "PRIMARY KEY (kind, id)) WITHOUT ROWID;" },
};

/* ---- reading back ---- */

struct reading {
    struct token_journal *journal;
    struct now now;
    struct token_change *dropped; /* rows of no use any more */
    uint32_t restored;
};

static enum status read_row(void *ctx, const struct sql_row *row)
{
    struct reading *reading = ctx;
    int64_t kind = sql_i64(row, 0);
    struct span id = sql_bytes(row, 1);
    struct token_change *change;

    if (kind < 0 || kind >= TOKEN_CHANGE_KINDS || id.len != TOKEN_HASH_LEN)
        return ST_OK; /* not ours to understand, nor to delete */
    if (token_store_restore(reading->journal->store, (enum token_change_kind)kind, id.p, sql_bytes(row, 2),
                            reading->now)) {
        reading->restored++;
        return ST_OK;
    }
    change = calloc(1, sizeof *change);
    if (change == NULL)
        return ST_NO_MEMORY;
    change->kind = (enum token_change_kind)kind;
    change->gone = true;
    memcpy(change->id, id.p, TOKEN_HASH_LEN);
    change->next = reading->dropped;
    reading->dropped = change;
    return ST_OK;
}

static enum status read_all(struct token_journal *journal, struct now now, struct why *why)
{
    struct reading reading = { .journal = journal, .now = now };
    /* What was revoked first, and sequence numbers before the receipts and tokens they speak of. */
    enum status st = sql_query(journal->sql, "SELECT kind, id, record FROM token_state ORDER BY kind DESC",
                               read_row, &reading, why);

    journal->pending = reading.dropped;
    if (st == ST_OK)
        log_event(NULL, LOG_INFO, "token_state_read", F_I64("rows", reading.restored));
    return st;
}

static void forget_pending(struct token_journal *journal)
{
    struct token_change *c;

    while ((c = journal->pending) != NULL) {
        journal->pending = c->next;
        token_change_free(c);
    }
}

/* ---- opening ---- */

static enum status open_file(struct token_journal *journal, const char *path, struct now now, struct why *why)
{
    enum status st = sql_open(path, SQL_DURABLE, &journal->sql, why);

    if (st == ST_OK)
        st = sql_migrate(journal->sql, steps, COUNT_OF(steps), why);
    if (st == ST_OK)
        st = read_all(journal, now, why);
    return st;
}

static bool set_aside(const char *path, const struct why *why)
{
    static const char *const parts[] = { "", "-wal", "-shm" };
    char from[4096], to[4096];
    bool done = true;

    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        (void)snprintf(from, sizeof from, "%s%s", path, parts[i]);
        (void)snprintf(to, sizeof to, "%s.damaged%s", path, parts[i]);
        done = (rename(from, to) == 0 || i > 0) && done;
    }
    if (done)
        log_event(NULL, LOG_ERROR, "token_state_damaged", F_STR("file", path), F_WHY(ST_INTERNAL, *why));
    return done;
}

enum status token_journal_new(const char *folder, struct token_store *store, void (*wake)(void *ctx), void *ctx,
                              struct now now, struct token_journal **ret_journal, struct why *why)
{
    struct token_journal *journal = calloc(1, sizeof *journal);
    char path[4000];
    enum status st;

    if (journal == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    journal->store = store;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        free(journal);
        return reject(why, ST_IO, "state_dir", "the folder is not there and cannot be made", 0);
    }
    if (snprintf(path, sizeof path, "%s/" TOKEN_JOURNAL_FILE, folder) >= (int)sizeof path) {
        free(journal);
        return reject(why, ST_TOO_LARGE, "state_dir", "the path is too long", 0);
    }
    token_store_set_journal(store, wake, ctx);
    st = open_file(journal, path, now, why);
    if (st == ST_INTERNAL) { /* damaged; when it is locked, or the disk full, it is not the file's fault */
        forget_pending(journal);
        sql_close(TAKE(journal->sql));
        if (set_aside(path, why))
            st = open_file(journal, path, now, why);
    }
    if (st == ST_OK)
        st = token_journal_write(journal, why); /* what was dropped */
    if (st != ST_OK) {
        token_journal_free(journal);
        return st;
    }
    *ret_journal = journal;
    return ST_OK;
}

/* ---- writing ---- */

static enum status write_one(struct token_journal *journal, const struct token_change *c, struct why *why)
{
    struct span id = span_of(c->id, TOKEN_HASH_LEN);

    if (c->gone)
        return sql_run(journal->sql, "DELETE FROM token_state WHERE kind = $1 AND id = $2", NULL, why,
                       SQL_I64(c->kind), SQL_BLOB(id));
    return sql_run(journal->sql,
                   "INSERT INTO token_state (kind, id, record) VALUES ($1, $2, $3) "
                   "ON CONFLICT (kind, id) DO UPDATE SET record = excluded.record",
                   NULL, why, SQL_I64(c->kind), SQL_BLOB(id), SQL_BLOB(span_of(c->record, c->record_len)));
}

static enum status write_all(struct token_journal *journal, struct why *why)
{
    enum status st = sql_begin(journal->sql, why);

    for (const struct token_change *c = journal->pending; st == ST_OK && c != NULL; c = c->next)
        st = write_one(journal, c, why);
    if (st == ST_OK)
        st = sql_commit(journal->sql, why);
    if (st != ST_OK)
        sql_rollback(journal->sql);
    return st;
}

static enum status write_pending(struct token_journal *journal, struct why *why)
{
    uint64_t last = 0;
    enum status st;

    if (journal->pending == NULL)
        return ST_OK;
    for (const struct token_change *c = journal->pending; c != NULL; c = c->next)
        last = c->number > last ? c->number : last;
    st = write_all(journal, why);
    if (st != ST_OK)
        return st;
    forget_pending(journal);
    if (last > 0)
        token_store_committed(journal->store, last);
    return ST_OK;
}

/* While what was taken before could not be written, no more is: the store counts what waits, and refuses in the end. */
enum status token_journal_write(struct token_journal *journal, struct why *why)
{
    enum status st = write_pending(journal, why);

    if (st != ST_OK)
        return st;
    journal->pending = token_store_take_changes(journal->store);
    return write_pending(journal, why);
}

void token_journal_free(struct token_journal *journal)
{
    struct why why;

    if (journal == NULL)
        return;
    if (journal->sql != NULL && token_journal_write(journal, &why) != ST_OK)
        log_event(NULL, LOG_ERROR, "token_state_not_written", F_STR("why", why.text));
    forget_pending(journal);
    sql_close(journal->sql);
    free(journal);
}
