/* tests/torture/powerloss_probe.c - a small program that writes, says what it knows to be safe, and is killed: what
 * powerloss_test.py runs under powerloss.so.
 *
 *   powerloss_probe plain|lmdb|sqlite FOLDER N     makes N changes; after each that was synced prints its number
 *   powerloss_probe plain|lmdb|sqlite FOLDER       prints how many are there, all in order; fails if the file is damaged */
#include <fcntl.h>
#include <lmdb.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAYLOAD 3000

static void need(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", what);
    exit(2);
}

static void say(unsigned n)
{
    printf("%u\n", n);
    fflush(stdout);
}

/* ---- a file of numbers, and a name changed over another: what configuration files do ---- */

static void sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY);

    need(fd >= 0 && fsync(fd) == 0, "folder");
    close(fd);
}

static void plain_write(const char *folder, unsigned n)
{
    char path[4096], fresh[4096], line[32];
    int fd;

    snprintf(path, sizeof path, "%s/plain", folder);
    snprintf(fresh, sizeof fresh, "%s/plain.new", folder);
    for (unsigned i = 1; i <= n; i++) {
        fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        snprintf(line, sizeof line, "%010u\n", i);
        need(fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line), "write");
        need(fsync(fd) == 0 && close(fd) == 0, "fsync");
        need(rename(fresh, path) == 0, "rename");
        sync_folder(folder);
        say(i);
    }
}

static unsigned plain_read(const char *folder)
{
    char path[4096], line[32] = "";
    int fd;

    snprintf(path, sizeof path, "%s/plain", folder);
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return 0;
    need(read(fd, line, sizeof line) == 11, "torn");
    return (unsigned)strtoul(line, NULL, 10);
}

/* ---- LMDB ---- */

static MDB_env *lmdb_open(const char *folder)
{
    MDB_env *env;

    need(mdb_env_create(&env) == 0 && mdb_env_set_mapsize(env, (size_t)1 << 28) == 0, "env");
    need(mdb_env_open(env, folder, 0, 0600) == 0, "open");
    sync_folder(folder);
    return env;
}

static void lmdb_write(const char *folder, unsigned n)
{
    MDB_env *env = lmdb_open(folder);
    char payload[PAYLOAD];
    MDB_txn *txn;
    MDB_dbi dbi;

    for (unsigned i = 1; i <= n; i++) {
        uint32_t key = __builtin_bswap32(i);

        memset(payload, (int)i, sizeof payload);
        need(mdb_txn_begin(env, NULL, 0, &txn) == 0, "begin");
        need(mdb_dbi_open(txn, NULL, 0, &dbi) == 0, "database");
        need(mdb_put(txn, dbi, &(MDB_val){ 4, &key }, &(MDB_val){ PAYLOAD, payload }, 0) == 0, "put");
        need(mdb_txn_commit(txn) == 0, "commit");
        say(i);
    }
}

static unsigned lmdb_read(const char *folder)
{
    MDB_env *env = lmdb_open(folder);
    MDB_val key, value;
    MDB_cursor *cursor;
    unsigned n = 0;
    MDB_txn *txn;
    MDB_dbi dbi;

    need(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0, "begin");
    need(mdb_dbi_open(txn, NULL, 0, &dbi) == 0, "database");
    need(mdb_cursor_open(txn, dbi, &cursor) == 0, "cursor");
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        uint32_t want = __builtin_bswap32(++n);

        need(key.mv_size == 4 && memcmp(key.mv_data, &want, 4) == 0, "a number is missing");
        need(value.mv_size == PAYLOAD, "length");
        for (unsigned i = 0; i < PAYLOAD; i++)
            need(((const unsigned char *)value.mv_data)[i] == (unsigned char)n, "torn");
    }
    return n;
}

/* ---- SQLite ---- */

static sqlite3 *sqlite_open(const char *folder)
{
    char path[4096];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/db.sqlite", folder);
    need(sqlite3_open(path, &db) == SQLITE_OK, "open");
    need(sqlite3_exec(db,
                      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=20;"
                      "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, x BLOB)",
                      NULL, NULL, NULL) == SQLITE_OK,
         sqlite3_errmsg(db));
    return db;
}

static void sqlite_write(const char *folder, unsigned n)
{
    sqlite3 *db = sqlite_open(folder);
    char text[128];

    for (unsigned i = 1; i <= n; i++) {
        snprintf(text, sizeof text, "INSERT INTO t VALUES(%u, zeroblob(%d))", i, PAYLOAD);
        need(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK, sqlite3_errmsg(db));
        say(i);
    }
}

static unsigned sqlite_read(const char *folder)
{
    sqlite3 *db = sqlite_open(folder);
    sqlite3_stmt *q;
    unsigned n;

    need(sqlite3_prepare_v2(db, "SELECT count(*), coalesce(max(n), 0) FROM t", -1, &q, NULL) == SQLITE_OK &&
             sqlite3_step(q) == SQLITE_ROW,
         sqlite3_errmsg(db));
    n = (unsigned)sqlite3_column_int(q, 0);
    need(n == (unsigned)sqlite3_column_int(q, 1), "a row is missing");
    sqlite3_finalize(q);
    need(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &q, NULL) == SQLITE_OK &&
             sqlite3_step(q) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(q, 0), "ok") == 0,
         "integrity_check");
    sqlite3_finalize(q);
    return n;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*write)(const char *folder, unsigned n);
        unsigned (*read)(const char *folder);
    } kinds[] = { { "plain", plain_write, plain_read },
                  { "lmdb", lmdb_write, lmdb_read },
                  { "sqlite", sqlite_write, sqlite_read } };

    for (unsigned i = 0; argc >= 3 && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(argv[1], kinds[i].name) != 0)
            continue;
        if (argc > 3)
            kinds[i].write(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
        else
            say(kinds[i].read(argv[2]));
        return 0;
    }
    return 1;
}
