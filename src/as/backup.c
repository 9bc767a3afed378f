#include "as/backup.h"

#include "base/buf.h"
#include "net/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const struct backup_part backup_parts[] = {
    { "pop.key", 0600, true },           { "as.yaml", 0600, false },    { "ca.pem", 0644, false },
    { "ca.key", 0600, false },           { "server.pem", 0644, false }, { "server.key", 0600, false },
    { "admin.credential", 0600, false },
};
const size_t backup_parts_count = COUNT_OF(backup_parts);

struct backup {
    const char *dir, *out;
    char db[BACKUP_PATH_BYTES], part[BACKUP_PATH_BYTES]; /* `out` while it is made */
    struct sql *sql;                                     /* of it */
    struct why *why;
    int64_t keys;
    unsigned missing; /* of backup_parts, by place */
};

enum status backup_path(const char *dir, const char *name, const char *end, char out[BACKUP_PATH_BYTES],
                        struct why *why)
{
    int n = snprintf(out, BACKUP_PATH_BYTES, "%s/%s%s", dir, name, end);

    return n > 0 && n < BACKUP_PATH_BYTES ? ST_OK
                                          : reject(why, ST_TOO_LARGE, "backup", "the path is too long", 0);
}

enum status backup_sync_folder(const char *path, struct why *why)
{
    char folder[BACKUP_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    int n = snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : (int)(slash - path + 1),
                     slash == NULL ? "." : path);
    int fd = n > 0 && n < BACKUP_PATH_BYTES ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return ok ? ST_OK : reject(why, ST_IO, "backup", "the folder cannot be synced", 0);
}

void backup_progress(void *ctx UNUSED, int64_t pages, int64_t of)
{
    if (isatty(STDERR_FILENO) && of > 0)
        fprintf(stderr, "\r%lld of %lld pages%s", (long long)pages, (long long)of, pages == of ? "\n" : "");
}

static enum status add_file(struct backup *b, const char *name, unsigned mode)
{
    char path[BACKUP_PATH_BYTES];
    struct buf content;
    enum status st = backup_path(b->dir, name, "", path, b->why);

    if (st != ST_OK)
        return st;
    buf_init(&content, BACKUP_FILE_MAX);
    st = file_read(path, &content, b->why);
    if (st == ST_OK)
        st = sql_run(b->sql, "INSERT INTO backup_file (name, mode, content) VALUES ($1, $2, $3)", NULL, b->why,
                     SQL_TEXT(span_of_str(name)), SQL_I64(mode), SQL_BLOB(buf_span(&content)));
    buf_wipe(&content);
    return st;
}

/* The copy's rows: their files were there before them, and are until the key is over. */
static enum status add_key(void *ctx, const struct sql_row *row)
{
    struct backup *b = ctx;
    char name[BACKUP_PATH_BYTES];
    bool current = sql_is_null(row, 1);
    int n = snprintf(name, sizeof name, "keys/%.*s.pem", SPAN_FMT(sql_bytes(row, 0)));

    if (n < 0 || n >= BACKUP_PATH_BYTES)
        return reject(b->why, ST_TOO_LARGE, "backup", "the path is too long", 0);
    enum status st = add_file(b, name, 0600);
    if (st == ST_NOT_FOUND && !current && sql_i64(row, 1) <= now_read().wall.s + 1)
        return ST_OK;
    b->keys += st == ST_OK;
    return st == ST_NOT_FOUND ? reject(b->why, st, "backup", "a signing key's file is missing", 0) : st;
}

static enum status add_files(struct backup *b)
{
    enum status st = sql_query(b->sql, "SELECT kid, keep_until FROM signing_key", add_key, b, b->why);

    for (size_t i = 0; st == ST_OK && i < backup_parts_count; i++) {
        st = add_file(b, backup_parts[i].name, backup_parts[i].mode);
        if (st == ST_NOT_FOUND && !backup_parts[i].needed) {
            b->missing |= IN(i);
            st = ST_OK;
        }
    }
    return st;
}

static enum status describe(struct backup *b)
{
    static const char *const tables[] = {
        "CREATE TABLE backup (made_at INTEGER NOT NULL, version TEXT NOT NULL)",
        "CREATE TABLE backup_file (name TEXT PRIMARY KEY, mode INTEGER NOT NULL, content BLOB NOT NULL)",
    };
    enum status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < COUNT_OF(tables); i++)
        st = sql_run(b->sql, tables[i], NULL, b->why);
    if (st == ST_OK)
        st = sql_run(b->sql, "INSERT INTO backup (made_at, version) VALUES ($1, $2)", NULL, b->why,
                     SQL_I64(now_read().wall.s), SQL_TEXT(SPAN(SYMBOLON_VERSION)));
    return st == ST_OK ? add_files(b) : st;
}

static enum status check_part(struct backup *b)
{
    enum status st = backup_path(b->dir, "as.db", "", b->db, b->why);
    int n = snprintf(b->part, sizeof b->part, "%s.part", b->out);

    if (st == ST_OK && (n < 0 || n >= BACKUP_PATH_BYTES))
        st = reject(b->why, ST_TOO_LARGE, "backup", "the path is too long", 0);
    if (st == ST_OK && access(b->db, F_OK) != 0)
        st = reject(b->why, ST_NOT_FOUND, "backup", "the folder has no authorization server (as.db)", 0);
    if (st == ST_OK && unlink(b->part) != 0 && errno != ENOENT) /* what a backup that did not finish left */
        st = reject(b->why, ST_IO, "backup", "the file cannot be made", 0);
    return st;
}

static enum status fsync_file(const char *path, struct why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return ok ? ST_OK : reject(why, ST_IO, "backup", "the file cannot be synced", 0);
}

/* Whole or not there: an older backup of that name stays until the new one is on disk. */
static enum status make(struct backup *b)
{
    enum status st = check_part(b);

    if (st != ST_OK)
        return st;
    st = sql_copy(b->db, b->part, backup_progress, NULL, b->why);
    if (st == ST_OK)
        st = sql_open(b->part, SQL_DURABLE | SQL_QUIET, &b->sql, b->why);
    if (st == ST_OK)
        st = describe(b);
    sql_close(TAKE(b->sql)); /* one file again */
    if (st == ST_OK)
        st = fsync_file(b->part, b->why);
    if (st == ST_OK && rename(b->part, b->out) != 0)
        st = reject(b->why, ST_IO, "backup", "the file cannot be renamed into place", 0);
    if (st != ST_OK)
        unlink(b->part);
    return st == ST_OK ? backup_sync_folder(b->out, b->why) : st;
}

int as_backup(int argc, char **argv)
{
    struct why why = { 0 };
    struct backup b = { .why = &why };

    if (argc != 3 || argv[1][0] == '-' || argv[2][0] == '-') {
        fputs("usage: symbolon-as backup DIR FILE\n"
              "  makes FILE, a backup of the authorization server in the folder DIR, which may go on running\n",
              stderr);
        return 2;
    }
    b.dir = argv[1];
    b.out = argv[2];
    umask(077);
    enum status st = make(&b);
    if (st != ST_OK) {
        fprintf(stderr, "symbolon-as backup: %s: %s (%s)\n", b.dir,
                why.text != NULL ? why.text : status_text(st),
                why.clause != NULL ? why.clause : status_name(st));
        return 1;
    }
    printf("%s: the database, %lld signing %s", b.out, (long long)b.keys, b.keys == 1 ? "key" : "keys");
    for (size_t i = 0; i < backup_parts_count; i++)
        if ((b.missing & IN(i)) == 0)
            printf(", %s", backup_parts[i].name);
    for (size_t i = 0; i < backup_parts_count; i++)
        if ((b.missing & IN(i)) != 0)
            printf("\nnot in it, for %s has no such file: %s", b.dir, backup_parts[i].name);
    puts("\nIt holds keys and secrets: keep it as safe as the server.");
    return 0;
}
