/* Makes a folder of a backup. The database comes last: until it is there the folder has no authorization server. */
#include "as/audit.h"
#include "as/backup.h"
#include "as/schema.h"
#include "net/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* More than are given out while nobody makes a backup. exi tokens with a number below one that has ended are refused
 * (AF-77), and readers of the list of revoked tokens go by theirs: neither may come a second time. */
#define GAP "4294967296"

struct restore {
    const char *from, *dir;
    bool force;
    struct wall_time now, made_at;
    char db[BACKUP_PATH_BYTES], part[BACKUP_PATH_BYTES]; /* as.db, and while it is made */
    struct sql *sql;                                     /* of the latter */
    struct why *why;
    int64_t files, clients, tokens;
    bool aside;
};

static enum status refuse(struct restore *r, enum status st, const char *text)
{
    return reject(r->why, st, "restore", text, 0);
}

static enum status take_i64(void *ctx, const struct sql_row *row)
{
    *(int64_t *)ctx = sql_i64(row, 0);
    return ST_OK;
}

/* ---- is it a backup, and whole? ---- */

static enum status check_backup(struct restore *r)
{
    int64_t tables = 0, lost = 0;
    enum status st = sql_query(r->sql,
                               "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'"
                               " AND name IN ('backup', 'backup_file', 'signing_key', 'token')",
                               take_i64, &tables, r->why);

    if (st != ST_OK || tables != 4)
        return refuse(r, st == ST_OK ? ST_MALFORMED : st, "the file is no backup of an authorization server");
    st = sql_query(r->sql, "SELECT made_at FROM backup", take_i64, &r->made_at.s, r->why);
    if (st == ST_OK)
        st = as_schema(r->sql, r->why);
    if (st == ST_OK)
        st = sql_query(r->sql,
                       "SELECT COUNT(*) FROM signing_key WHERE (keep_until IS NULL OR keep_until > $1)"
                       " AND 'keys/' || kid || '.pem' NOT IN (SELECT name FROM backup_file)",
                       take_i64, &lost, r->why, SQL_I64(r->now.s));
    if (st == ST_OK && lost > 0)
        return refuse(r, ST_DAMAGED, "a signing key is not in the file");
    for (size_t i = 0; st == ST_OK && i < backup_parts_count; i++) {
        int64_t there = 0;
        st = sql_query(r->sql, "SELECT COUNT(*) FROM backup_file WHERE name = $1", take_i64, &there, r->why,
                       SQL_TEXT(span_of_str(backup_parts[i].name)));
        if (st == ST_OK && there == 0 && backup_parts[i].needed)
            return refuse(r, ST_DAMAGED, "pop.key is not in the file");
    }
    return st;
}

/* ---- the database ---- */

/* What was given out after the backup is not known any more, and its numbers must not be given out again. */
static enum status leave_a_gap(struct restore *r)
{
    static const char *const changes[] = {
        "UPDATE resource_server SET exi_sequence = exi_sequence + " GAP,
        "UPDATE status_update SET no = no + " GAP,
        "DELETE FROM status_change",
        "UPDATE status_reader SET last = last + " GAP ", floor = last + " GAP " + 1",
        "DROP TABLE backup",
        "DROP TABLE backup_file",
    };
    enum status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < COUNT_OF(changes); i++)
        st = sql_run(r->sql, changes[i], NULL, r->why);
    return st;
}

static enum status put_audit(struct restore *r)
{
    char actor[32], detail[64];
    struct audit_head head;

    snprintf(actor, sizeof actor, "uid:%u", (unsigned)getuid());
    snprintf(detail, sizeof detail, "{\"made_at\":%lld}", (long long)r->made_at.s);
    struct audit_entry entry = {
        .at = r->now.s, .actor = span_of_str(actor), .event = SPAN("restore"), .detail = span_of_str(detail)
    };
    return audit_append(r->sql, &entry, &head, r->why);
}

static enum status count(struct restore *r)
{
    enum status st = sql_query(r->sql, "SELECT COUNT(*) FROM principal WHERE kind = 'client'", take_i64,
                               &r->clients, r->why);

    return st != ST_OK
               ? st
               : sql_query(r->sql, "SELECT COUNT(*) FROM token WHERE expires_at > $1 AND revoked_at IS NULL",
                           take_i64, &r->tokens, r->why, SQL_I64(r->now.s));
}

/* In one transaction; the room of the files is overwritten (secure_delete). */
static enum status make_database(struct restore *r)
{
    enum status st = sql_begin(r->sql, r->why);

    if (st == ST_OK)
        st = leave_a_gap(r);
    if (st == ST_OK)
        st = put_audit(r);
    if (st == ST_OK)
        st = sql_commit(r->sql, r->why);
    if (st != ST_OK)
        sql_rollback(r->sql);
    return st == ST_OK ? count(r) : st;
}

/* ---- the folder ---- */

/* What is there is never overwritten: it goes aside, under a name with the time. */
static enum status set_aside(struct restore *r, const char *path)
{
    char to[BACKUP_PATH_BYTES + 64];

    if (access(path, F_OK) != 0)
        return ST_OK;
    snprintf(to, sizeof to, "%s.replaced-%lld", path, (long long)r->now.s);
    if (rename(path, to) != 0)
        return refuse(r, ST_IO, "what is there cannot be set aside");
    r->aside = true;
    return ST_OK;
}

/* The file says what it is called, and is believed only if that is one of our names. */
static bool name_ok(struct span name)
{
    for (size_t i = 0; i < backup_parts_count; i++)
        if (span_eq_str(name, backup_parts[i].name))
            return true;
    if (!span_starts_with(name, SPAN("keys/")) || name.len < sizeof "keys/x.pem" - 1)
        return false;
    for (size_t i = sizeof "keys/" - 1; i < name.len - 4; i++)
        if (name.p[i] == '/' || name.p[i] == '.' || name.p[i] == '\0')
            return false;
    return span_eq_str(span_cut(name, name.len - 4, name.len), ".pem");
}

static enum status write_file(void *ctx, const struct sql_row *row)
{
    struct restore *r = ctx;
    char name[256], path[BACKUP_PATH_BYTES];
    struct buf there;

    if (!name_ok(sql_bytes(row, 0)) || sql_bytes(row, 0).len >= sizeof name)
        return refuse(r, ST_MALFORMED, "a file in it has a name that none of ours has");
    snprintf(name, sizeof name, "%.*s", SPAN_FMT(sql_bytes(row, 0)));
    enum status st = backup_path(r->dir, name, "", path, r->why);
    if (st != ST_OK)
        return st;
    buf_init(&there, BACKUP_FILE_MAX);
    bool same = file_read(path, &there, NULL) == ST_OK && span_eq(buf_span(&there), sql_bytes(row, 2));
    buf_wipe(&there);
    if (!same)
        st = set_aside(r, path);
    if (!same && st == ST_OK)
        st = file_create(path, sql_bytes(row, 2), (mode_t)sql_i64(row, 1) & 0644, r->why);
    r->files++;
    return st;
}

static enum status make_folder(struct restore *r, const char *path)
{
    struct stat about;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return refuse(r, ST_IO, "the folder cannot be made");
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode))
        return refuse(r, ST_IO, "not a folder");
    return ST_OK;
}

static enum status write_files(struct restore *r)
{
    char keys[BACKUP_PATH_BYTES];
    enum status st = backup_path(r->dir, "keys", "", keys, r->why);

    if (st == ST_OK)
        st = make_folder(r, keys);
    if (st == ST_OK)
        st = backup_sync_folder(keys, r->why); /* the name of keys/ */
    return st == ST_OK ? sql_query(r->sql, "SELECT name, mode, content FROM backup_file", write_file, r, r->why)
                       : st;
}

/* With what SQLite keeps beside it: the log of the old database would be taken for the new one's. */
static enum status replace_database(struct restore *r)
{
    static const char *const ends[] = { "-wal", "-shm", "" };
    char path[BACKUP_PATH_BYTES];
    enum status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < COUNT_OF(ends); i++) {
        st = backup_path(r->dir, "as.db", ends[i], path, r->why);
        if (st == ST_OK)
            st = set_aside(r, path);
    }
    if (st == ST_OK && rename(r->part, r->db) != 0)
        st = refuse(r, ST_IO, "the database cannot be renamed into place");
    return st == ST_OK ? backup_sync_folder(r->db, r->why) : st;
}

static enum status check_folder(struct restore *r)
{
    char wal[BACKUP_PATH_BYTES];
    enum status st = backup_path(r->dir, "as.db", "", r->db, r->why);

    if (st == ST_OK)
        st = backup_path(r->dir, "as.db", ".restored", r->part, r->why);
    if (st == ST_OK)
        st = backup_path(r->dir, "as.db", ".restored-wal", wal, r->why);
    if (st == ST_OK && access(r->from, R_OK) != 0)
        st = refuse(r, ST_NOT_FOUND, "the backup cannot be read");
    if (st == ST_OK)
        st = make_folder(r, r->dir);
    if (st == ST_OK && access(r->db, F_OK) == 0 && !r->force)
        st = refuse(r, ST_EXISTS, "the folder holds an authorization server: --force sets it aside");
    if (st == ST_OK && sql_nobody_has(r->db, NULL) == ST_EXISTS)
        st = refuse(r, ST_EXISTS, "an authorization server runs there: stop it first");
    if (st == ST_OK) { /* what a restore that did not finish left */
        unlink(wal);
        unlink(r->part);
    }
    return st;
}

static enum status restore(struct restore *r)
{
    enum status st = check_folder(r);

    if (st != ST_OK)
        return st;
    st = sql_copy(r->from, r->part, backup_progress, NULL, r->why);
    if (st == ST_OK)
        st = sql_open(r->part, SQL_DURABLE | SQL_QUIET, &r->sql, r->why);
    if (st == ST_OK)
        st = check_backup(r);
    if (st == ST_OK)
        st = write_files(r);
    if (st == ST_OK)
        st = make_database(r);
    sql_close(TAKE(r->sql));
    if (st == ST_OK)
        st = replace_database(r);
    if (st != ST_OK)
        unlink(r->part);
    return st;
}

static void print_done(const struct restore *r)
{
    char when[32];
    struct tm tm;
    time_t made_at = (time_t)r->made_at.s;

    gmtime_r(&made_at, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    printf("%s is as it was at %s: %lld clients, %lld live tokens, %lld files beside the database.\n", r->dir,
           when, (long long)r->clients, (long long)r->tokens, (long long)r->files);
    if (r->aside)
        printf("What was there is beside it: *.replaced-%lld\n", (long long)r->now.s);
    puts(
        "Tokens issued since are not known to it, and what was revoked or changed since has to be said again.");
}

int as_restore(int argc, char **argv)
{
    struct why why = { 0 };
    struct restore r = { .why = &why, .now = now_read().wall };

    r.force = argc > 1 && strcmp(argv[1], "--force") == 0;
    argc -= r.force;
    argv += r.force;
    if (argc != 3 || argv[1][0] == '-' || argv[2][0] == '-') {
        fputs(
            "usage: symbolon-as restore [--force] FILE DIR\n"
            "  makes DIR what `symbolon-as backup` found; with --force also if it holds a server, which is set "
            "aside\n",
            stderr);
        return 2;
    }
    r.from = argv[1];
    r.dir = argv[2];
    umask(022);
    enum status st = restore(&r);
    if (st != ST_OK) {
        fprintf(stderr, "symbolon-as restore: %s: %s (%s)\n", r.from,
                why.text != NULL ? why.text : status_text(st),
                why.clause != NULL ? why.clause : status_name(st));
        return 1;
    }
    print_done(&r);
    return 0;
}
