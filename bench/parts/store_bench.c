/* store_bench FOLDER: LMDB as src/store/kv.c uses it beside SQLite (WAL, synchronous=FULL) under the broker's load. A message kept
 * for a session that is away is two rows: its body, and what the session is owed; both go when it is delivered.
 * Prints Markdown. Everything is measured in this one process, which does nothing else. */
#include "store/kv.h"

#include <endian.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SESSIONS     20
#define BODY_BYTES   120 /* topic, properties and 64 bytes of payload */
#define OWED_BYTES   32
#define ROWS_AT_REST 1000000
#define PHASE_US     3000000
#define COMMITS_MAX  100000

/* ---- the two engines, one face ---- */

struct engine {
    const char *name;
    void (*open)(const char *folder);
    void (*close)(void);
    void (*change)(bool del, struct span key, struct span value);
    void (*commit)(void);
    uint64_t (*scan)(void); /* bytes seen */
    const char *file;       /* in the folder */
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "store_bench: %s failed\n", what);
    exit(1);
}

static struct {
    struct kv *kv;
    struct kv_batch batch;
} lmdb;

static void lmdb_open(const char *folder)
{
    char path[300];

    (void)snprintf(path, sizeof path, "%s/lmdb", folder);
    must(kv_open(path, &(struct kv_settings){ .check = true }, &lmdb.kv, NULL) == ST_OK, "kv_open");
    kv_batch_init(&lmdb.batch, UINT64_C(1) << 30);
}

static void lmdb_close(void)
{
    kv_batch_done(&lmdb.batch);
    kv_close(lmdb.kv);
}

static void lmdb_change(bool del, struct span key, struct span value)
{
    must((del ? kv_batch_del(&lmdb.batch, key) : kv_batch_put(&lmdb.batch, key, value)) == ST_OK, "kv_batch");
}

static void lmdb_commit(void)
{
    const struct kv_batch *batch = &lmdb.batch;

    must(kv_apply(lmdb.kv, &batch, 1, NULL) == ST_OK, "kv_apply");
    kv_batch_reset(&lmdb.batch);
}

static enum status count_bytes(void *ctx, struct span key, struct span value)
{
    *(uint64_t *)ctx += key.len + value.len;
    return ST_OK;
}

static uint64_t lmdb_scan(void)
{
    uint64_t bytes = 0;

    must(kv_scan(lmdb.kv, SPAN_NONE, count_bytes, &bytes, NULL) == ST_OK, "kv_scan");
    return bytes;
}

static struct {
    sqlite3 *db;
    sqlite3_stmt *put, *del, *begin, *commit, *scan;
    bool inside;
} lite;

static sqlite3_stmt *prepared(const char *text)
{
    sqlite3_stmt *stmt = NULL;

    must(sqlite3_prepare_v3(lite.db, text, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) == SQLITE_OK, text);
    return stmt;
}

static void lite_open(const char *folder)
{
    char path[300];

    (void)snprintf(path, sizeof path, "%s/sqlite.db", folder);
    must(sqlite3_open(path, &lite.db) == SQLITE_OK, "sqlite3_open");
    must(sqlite3_exec(lite.db,
                      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA locking_mode=EXCLUSIVE;"
                      "PRAGMA cache_size=-65536; PRAGMA mmap_size=4294967296;"
                      "CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID;",
                      NULL, NULL, NULL) == SQLITE_OK,
         "sqlite3_exec");
    lite.put = prepared("INSERT INTO kv VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET v = excluded.v");
    lite.del = prepared("DELETE FROM kv WHERE k = ?1");
    lite.begin = prepared("BEGIN IMMEDIATE");
    lite.commit = prepared("COMMIT");
    lite.scan = prepared("SELECT k, v FROM kv ORDER BY k");
}

static void lite_step(sqlite3_stmt *stmt)
{
    must(sqlite3_step(stmt) == SQLITE_DONE, "sqlite3_step");
    sqlite3_reset(stmt);
}

static void lite_close(void)
{
    sqlite3_stmt *const all[] = { lite.put, lite.del, lite.begin, lite.commit, lite.scan };

    for (size_t i = 0; i < COUNT_OF(all); i++)
        sqlite3_finalize(all[i]);
    must(sqlite3_close(lite.db) == SQLITE_OK, "sqlite3_close");
}

static void lite_change(bool del, struct span key, struct span value)
{
    sqlite3_stmt *stmt = del ? lite.del : lite.put;

    if (!lite.inside)
        lite_step(lite.begin);
    lite.inside = true;
    sqlite3_bind_blob(stmt, 1, key.p, (int)key.len, SQLITE_STATIC);
    if (!del)
        sqlite3_bind_blob(stmt, 2, value.p, (int)value.len, SQLITE_STATIC);
    lite_step(stmt);
}

static void lite_commit(void)
{
    lite_step(lite.commit);
    lite.inside = false;
}

static uint64_t lite_scan(void)
{
    uint64_t bytes = 0;

    while (sqlite3_step(lite.scan) == SQLITE_ROW) {
        must(sqlite3_column_blob(lite.scan, 0) != NULL && sqlite3_column_blob(lite.scan, 1) != NULL, "a row");
        bytes += (uint64_t)sqlite3_column_bytes(lite.scan, 0) + (uint64_t)sqlite3_column_bytes(lite.scan, 1);
    }
    sqlite3_reset(lite.scan);
    return bytes;
}

static const struct engine engines[] = {
    { "LMDB", lmdb_open, lmdb_close, lmdb_change, lmdb_commit, lmdb_scan, "lmdb/data.mdb" },
    { "SQLite", lite_open, lite_close, lite_change, lite_commit, lite_scan, "sqlite.db" },
};

/* ---- the load ---- */

static void message(const struct engine *e, bool del, uint64_t n)
{
    static const uint8_t bytes[BODY_BYTES];
    struct {
        uint8_t bytes[17];
    } owed = { "q" }, body = { "m" };
    uint64_t session = htobe64(n % SESSIONS), number = htobe64(n);

    memcpy(owed.bytes + 1, &session, 8);
    memcpy(owed.bytes + 9, &number, 8);
    memcpy(body.bytes + 1, &number, 8);
    e->change(del, span_of(owed.bytes, 17), span_of(bytes, OWED_BYTES));
    e->change(del, span_of(body.bytes, 9), span_of(bytes, BODY_BYTES));
}

static uint64_t now_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t file_bytes(const char *folder, const char *file)
{
    char path[400];
    struct stat st = { 0 };

    (void)snprintf(path, sizeof path, "%s/%s", folder, file);
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

struct figures {
    double cpu_us, rate; /* per message */
    uint64_t median_us, p99_us;
};

/* Commits of `group` messages for PHASE_US. Steady: each message that comes lets one that is `behind` older go. */
static struct figures run_phase(const struct engine *e, unsigned group, uint64_t *next, uint64_t behind)
{
    static uint64_t took[COMMITS_MAX];
    size_t commits = 0;
    uint64_t cpu = now_us(CLOCK_PROCESS_CPUTIME_ID), began = now_us(CLOCK_MONOTONIC), at = began;

    while (at - began < PHASE_US && commits < COMMITS_MAX) {
        for (unsigned i = 0; i < group; i++, ++*next) {
            message(e, false, *next);
            if (behind > 0 && *next >= behind)
                message(e, true, *next - behind);
        }
        e->commit();
        uint64_t now = now_us(CLOCK_MONOTONIC);
        took[commits++] = now - at;
        at = now;
    }
    double messages = (double)commits * group;
    cpu = now_us(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    qsort(took, commits, sizeof took[0], compare_u64);
    return (struct figures){ .cpu_us = (double)cpu / messages,
                             .rate = messages * 1e6 / (double)(at - began),
                             .median_us = took[commits / 2],
                             .p99_us = took[commits * 99 / 100] };
}

static void print_row(const char *what, const struct figures f[COUNT_OF(engines)])
{
    printf("| %s |", what);
    for (size_t i = 0; i < COUNT_OF(engines); i++)
        printf(" %.2f | %.0f | %.2f, %.2f |", f[i].cpu_us, f[i].rate, (double)f[i].median_us / 1000,
               (double)f[i].p99_us / 1000);
    printf("\n");
    (void)fflush(stdout);
}

static void compare_commits(const char *folder)
{
    static const unsigned groups[] = { 1, 10, 100, 1000 };

    printf("| messages in a commit |");
    for (size_t i = 0; i < COUNT_OF(engines); i++)
        printf(" %s: CPU, µs a message | messages/s | commit, ms: median, 99 %% |", engines[i].name);
    printf("\n|---|---|---|---|---|---|---|\n");
    uint64_t next[COUNT_OF(engines)] = { 0 };
    for (int steady = 0; steady < 2; steady++) {
        for (size_t g = 0; g < COUNT_OF(groups); g++) {
            struct figures f[COUNT_OF(engines)];
            char what[64];
            for (size_t i = 0; i < COUNT_OF(engines); i++) {
                engines[i].open(folder);
                f[i] = run_phase(&engines[i], groups[g], &next[i], steady ? 1000 : 0);
                engines[i].close();
            }
            (void)snprintf(what, sizeof what, "%u%s", groups[g], steady ? ", and as many go" : "");
            print_row(what, f);
        }
    }
}

static void compare_opening(const char *folder)
{
    printf("\n| %d rows at rest |", ROWS_AT_REST);
    for (size_t i = 0; i < COUNT_OF(engines); i++)
        printf(" %s |", engines[i].name);
    printf("\n|---|---|---|\n");
    uint64_t bytes[COUNT_OF(engines)], open_us[COUNT_OF(engines)], scan_us[COUNT_OF(engines)];
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        const struct engine *e = &engines[i];
        e->open(folder);
        for (uint64_t n = 0; n < ROWS_AT_REST / 2; n++) {
            message(e, false, n);
            if (n % 1000 == 999)
                e->commit();
        }
        e->close();
        bytes[i] = file_bytes(folder, e->file);
        uint64_t began = now_us(CLOCK_MONOTONIC);
        e->open(folder);
        uint64_t opened = now_us(CLOCK_MONOTONIC);
        must(e->scan() > (uint64_t)ROWS_AT_REST * OWED_BYTES, "scan");
        scan_us[i] = now_us(CLOCK_MONOTONIC) - opened;
        open_us[i] = opened - began;
        e->close();
    }
    printf("| file, MB | %.0f | %.0f |\n", (double)bytes[0] / 1e6, (double)bytes[1] / 1e6);
    printf("| opening, ms (LMDB: each page checked) | %.0f | %.0f |\n", (double)open_us[0] / 1000,
           (double)open_us[1] / 1000);
    printf("| reading all rows, ms | %.0f | %.0f |\n", (double)scan_us[0] / 1000, (double)scan_us[1] / 1000);
}

int main(int argc, char **argv)
{
    char folder[200];

    if (argc != 2) {
        (void)fprintf(stderr, "usage: store_bench FOLDER   (on the disk to be measured; it is left empty)\n");
        return 2;
    }
    for (int part = 0; part < 2; part++) {
        (void)snprintf(folder, sizeof folder, "%s/store-bench-XXXXXX", argv[1]);
        must(mkdtemp(folder) != NULL, "mkdtemp");
        if (part == 0)
            compare_commits(folder);
        else
            compare_opening(folder);
        static const char *const made[] = { "lmdb/data.mdb", "lmdb/lock.mdb", "lmdb",
                                            "sqlite.db",     "sqlite.db-wal", "" };
        for (size_t i = 0; i < COUNT_OF(made); i++) {
            char path[300];
            (void)snprintf(path, sizeof path, "%s/%s", folder, made[i]);
            (void)remove(path);
        }
    }
    return 0;
}
