/* A copy of a database that is in use, by SQLite's online backup. */
#include "store/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#define PAGES_A_STEP 256
#define WAIT_MS      5000

static enum status said(int rc, struct why *why)
{
    int primary = rc & 0xff;

    if (primary == SQLITE_OK || primary == SQLITE_DONE)
        return ST_OK;
    if (primary == SQLITE_NOMEM)
        return reject(why, ST_NO_MEMORY, "store", "out of memory", 0);
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB)
        return reject(why, ST_DAMAGED, "store", "the database is damaged, or no database", 0);
    if (primary == SQLITE_FULL)
        return reject(why, ST_IO, "store", "the disk is full", 0);
    if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED)
        return reject(why, ST_IO, "store", "the database is locked by another process", 0);
    return reject(why, ST_IO, "store", "the database cannot be read, or its copy not be written", 0);
}

static int open_existing(const char *path, sqlite3 **ret_db)
{
    int rc = sqlite3_open_v2(path, ret_db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc == SQLITE_OK)
        sqlite3_busy_timeout(*ret_db, WAIT_MS);
    return rc;
}

/* One read transaction around all steps: else every writer in between would make it begin anew. */
static int copy_pages(sqlite3 *from, sqlite3 *to, sql_progress_fn *progress, void *ctx)
{
    int rc = sqlite3_exec(from, "BEGIN; SELECT COUNT(*) FROM sqlite_master", NULL, NULL, NULL);

    if (rc != SQLITE_OK)
        return rc;
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (backup == NULL)
        return sqlite3_errcode(to);
    do {
        rc = sqlite3_backup_step(backup, PAGES_A_STEP);
        int all = sqlite3_backup_pagecount(backup);
        if (progress != NULL)
            progress(ctx, all - sqlite3_backup_remaining(backup), all);
    } while (rc == SQLITE_OK);
    int end = sqlite3_backup_finish(backup);
    return rc == SQLITE_DONE ? end : rc;
}

static int check_row(void *ctx, int columns, char **values, char **names UNUSED)
{
    *(bool *)ctx = columns == 1 && values[0] != NULL && strcmp(values[0], "ok") == 0;
    return 0;
}

static enum status check(sqlite3 *db, struct why *why)
{
    bool ok = false;
    enum status st = said(sqlite3_exec(db, "PRAGMA integrity_check(1)", check_row, &ok, NULL), why);

    return st != ST_OK || ok ? st : reject(why, ST_DAMAGED, "store", "the database is damaged", 0);
}

/* The copy is one file, without what belongs to write-ahead logging. */
static enum status fill(const char *from_path, const char *to_path, sql_progress_fn *progress, void *ctx,
                        struct why *why)
{
    sqlite3 *from = NULL, *to = NULL;
    int rc = open_existing(from_path, &from);

    if (rc == SQLITE_OK)
        rc = open_existing(to_path, &to);
    if (rc == SQLITE_OK)
        rc = copy_pages(from, to, progress, ctx);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(to, "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL", NULL, NULL, NULL);
    enum status st = said(rc, why);
    if (st == ST_OK)
        st = check(to, why);
    sqlite3_close(from);
    sqlite3_close(to);
    return st;
}

enum status sql_copy(const char *from, const char *to, sql_progress_fn *progress, void *ctx, struct why *why)
{
    if (access(from, F_OK) != 0)
        return reject(why, ST_NOT_FOUND, "store", "there is no such database", 0);
    int fd = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno == EEXIST ? reject(why, ST_EXISTS, "store", "the copy's file is there already", 0)
                               : reject(why, ST_IO, "store", "the copy's file cannot be made", 0);
    enum status st = fill(from, to, progress, ctx, why);
    if (st == ST_OK && fsync(fd) != 0)
        st = reject(why, ST_IO, "store", "the copy cannot be synced", 0);
    close(fd);
    if (st != ST_OK)
        unlink(to);
    return st;
}

enum status sql_nobody_has(const char *path, struct why *why)
{
    sqlite3 *db = NULL;

    if (access(path, F_OK) != 0)
        return ST_OK;
    int rc = open_existing(path, &db);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(db, 0);
        rc = sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; ROLLBACK", NULL, NULL, NULL);
    }
    sqlite3_close(db);
    if ((rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)
        return reject(why, ST_EXISTS, "store", "another process has the database open", 0);
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB ? ST_OK : said(rc, why);
}
