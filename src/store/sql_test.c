/* Rows come back as they went in, broken transactions leave nothing, migrations run once, and the failing front
 * fails where told. */
#include "store/sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

static const struct sql_migration steps[] = {
    { 1, "things", "CREATE TABLE thing (name TEXT PRIMARY KEY, n INTEGER, body BLOB);" },
    { 2, "parts",
      "CREATE TABLE part (thing TEXT NOT NULL REFERENCES thing (name) ON DELETE CASCADE, k INTEGER);"
      "CREATE TRIGGER part_keeps BEFORE UPDATE ON part BEGIN SELECT RAISE(ABORT, 'no'); END;" },
};

static struct sql *fresh(void)
{
    struct sql *sql = NULL;

    assert_int_equal(sql_open(":memory:", 0, &sql, NULL), ST_OK);
    assert_int_equal(sql_migrate(sql, steps, COUNT_OF(steps), NULL), ST_OK);
    return sql;
}

static enum status count_one(void *ctx, const struct sql_row *row UNUSED)
{
    ++*(int *)ctx;
    return ST_OK;
}

static int things(struct sql *sql)
{
    int n = 0;
    assert_int_equal(sql_query(sql, "SELECT name FROM thing", count_one, &n, NULL), ST_OK);
    return n;
}

static enum status check_row(void *ctx, const struct sql_row *row)
{
    ++*(int *)ctx;
    assert_true(span_eq_str(sql_bytes(row, 0), "a"));
    assert_int_equal(sql_i64(row, 1), INT64_MIN);
    assert_true(span_eq(sql_bytes(row, 2), SPAN("x\0y")));
    assert_true(sql_is_null(row, 3));
    assert_int_equal(sql_i64(row, 3), 0);
    assert_int_equal(sql_bytes(row, 3).len, 0);
    return ST_OK;
}

static void values_come_back_as_they_went_in(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = fresh();
    int seen = 0;

    assert_int_equal(sql_run(sql, "INSERT INTO thing (body, name, n) VALUES ($3, $1, $2)", NULL, NULL,
                             SQL_TEXT(SPAN("a")), SQL_I64(INT64_MIN), SQL_BLOB(SPAN("x\0y"))),
                     ST_OK);
    assert_int_equal(sql_query(sql, "SELECT name, n, body, NULL FROM thing WHERE name = $1", check_row, &seen,
                               NULL, SQL_TEXT(SPAN("a"))),
                     ST_OK);
    assert_int_equal(seen, 1);
}

static void hostile_text_is_a_value_never_a_statement(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = fresh();
    int64_t changed = -1;

    assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ($1)", NULL, NULL,
                             SQL_TEXT(SPAN("'); DROP TABLE thing; --"))),
                     ST_OK);
    assert_int_equal(things(sql), 1);
    assert_int_equal(
        sql_run(sql, "DELETE FROM thing WHERE name = $1", &changed, NULL, SQL_TEXT(SPAN("' OR 1=1"))), ST_OK);
    assert_int_equal(changed, 0);
}

static void a_second_row_with_the_key_exists(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = fresh();

    for (int i = 0; i < 2; i++)
        assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ($1)", NULL, NULL, SQL_TEXT(SPAN("a"))),
                         i == 0 ? ST_OK : ST_EXISTS);
    assert_int_equal(sql_run(sql, "INSERT INTO part (thing, k) VALUES ('nobody', 1)", NULL, NULL), ST_IO);
}

static void a_rolled_back_transaction_leaves_nothing(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = fresh();

    assert_int_equal(sql_begin(sql, NULL), ST_OK);
    assert_int_equal(sql_begin(sql, NULL), ST_IO); /* they do not nest */
    assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('a')", NULL, NULL), ST_OK);
    sql_rollback(sql);
    assert_int_equal(things(sql), 0);
    sql_rollback(sql);
    assert_int_equal(sql_begin(sql, NULL), ST_OK);
    assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('a')", NULL, NULL), ST_OK);
    assert_int_equal(sql_commit(sql, NULL), ST_OK);
    assert_int_equal(things(sql), 1);
}

static const char nested_text[] = "SELECT name FROM thing";

static enum status nest(void *ctx, const struct sql_row *row UNUSED)
{
    int n = 0;
    assert_int_equal(sql_query(ctx, nested_text, count_one, &n, NULL), ST_OK);
    assert_int_equal(n, 2);
    return ST_QUOTA;
}

static void a_walk_may_run_its_own_statement_and_stop_early(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = fresh();

    assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('a'), ('b')", NULL, NULL), ST_OK);
    assert_int_equal(sql_query(sql, nested_text, nest, sql, NULL), ST_QUOTA);
    assert_int_equal(sql_query(sql, nested_text, nest, sql, NULL), ST_QUOTA);
}

static void migrations_run_once_and_refuse_a_newer_database(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = NULL;
    struct why why;

    assert_int_equal(sql_open(":memory:", 0, &sql, NULL), ST_OK);
    assert_int_equal(sql_migrate(sql, steps, 1, NULL), ST_OK);
    assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('a')", NULL, NULL), ST_OK);
    assert_int_equal(sql_migrate(sql, steps, 2, NULL), ST_OK);
    assert_int_equal(sql_migrate(sql, steps, 2, NULL), ST_OK);
    assert_int_equal(things(sql), 1);
    assert_int_equal(sql_migrate(sql, steps, 1, &why), ST_BAD_VERSION);
}

static void a_broken_migration_changes_nothing(void **state UNUSED)
{
    static const struct sql_migration broken[] = {
        { 1, "half", "CREATE TABLE thing (name TEXT); CREATE TABLE thing (name TEXT);" }
    };
    CLEANUP(sql_closep)
    struct sql *sql = NULL;

    assert_int_equal(sql_open(":memory:", 0, &sql, NULL), ST_OK);
    assert_int_equal(sql_migrate(sql, broken, 1, NULL), ST_IO);
    assert_int_equal(sql_migrate(sql, steps, COUNT_OF(steps), NULL), ST_OK);
}

static void the_file_is_private_and_survives_reopening(void **state UNUSED)
{
    char folder[] = "/tmp/symbolon-sql-XXXXXX";
    char path[64];
    struct sql *sql = NULL;
    struct stat st;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x.db", folder);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sql_open(path, i == 0 ? 0 : SQL_DURABLE, &sql, NULL), ST_OK);
        assert_int_equal(sql_migrate(sql, steps, COUNT_OF(steps), NULL), ST_OK);
        assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('a')", NULL, NULL),
                         i == 0 ? ST_OK : ST_EXISTS);
        sql_close(sql);
    }
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    unlink(path);
    assert_int_equal(sql_open("/nonexistent/x.db", 0, &sql, NULL), ST_IO);
    assert_int_equal(rmdir(folder), 0); /* closing left no -wal and no -shm */
}

static void the_failing_front_fails_from_the_nth_statement_on(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = NULL;

    assert_int_equal(sql_failing_new(fresh(), &sql), ST_OK);
    sql_fail_at(sql, 2);
    assert_int_equal(sql_begin(sql, NULL), ST_OK);
    assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('a')", NULL, NULL), ST_IO);
    assert_int_equal(sql_commit(sql, NULL), ST_IO);
    sql_rollback(sql);
    sql_fail_at(sql, 0);
    assert_int_equal(things(sql), 0);
    assert_int_equal(sql_statements_seen(sql), 1);
}

static void grouped_commits_are_unsynced_until_somebody_syncs(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = NULL;
    char folder[] = "/tmp/symbolon_sql_XXXXXX", path[64];

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.db", folder);
    assert_int_equal(sql_open(path, SQL_GROUPED, &sql, NULL), ST_OK);
    assert_int_equal(sql_migrate(sql, steps, COUNT_OF(steps), NULL), ST_OK);
    assert_true(sql_unsynced(sql));
    assert_int_equal(sql_sync(sql, NULL), ST_OK);
    assert_false(sql_unsynced(sql));
    for (int i = 0; i < 3; i++) /* beyond what goes into the database with a sync */
        for (int k = 0; k < 600; k++) {
            assert_int_equal(
                sql_run(sql, "INSERT INTO thing (n, name) VALUES ($1, $2)", NULL, NULL, SQL_I64(k), SQL_NULL),
                ST_OK);
            assert_true(sql_unsynced(sql));
            assert_int_equal(sql_sync(sql, NULL), ST_OK);
        }
    assert_false(sql_unsynced(sql));
    assert_int_equal(things(sql), 1800);
    sql_close(TAKE(sql));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    for (int i = 0; i < 2; i++) { /* others never are */
        assert_int_equal(sql_open(":memory:", i == 0 ? 0 : SQL_DURABLE, &sql, NULL), ST_OK);
        assert_int_equal(sql_migrate(sql, steps, COUNT_OF(steps), NULL), ST_OK);
        assert_false(sql_unsynced(sql));
        assert_int_equal(sql_sync(sql, NULL), ST_OK);
        sql_close(TAKE(sql));
    }
}

/* Two connections: what one has gathered the other sees at once, after sql_sync(). */
static void a_group_happens_together(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = NULL;
    CLEANUP(sql_closep)
    struct sql *other = NULL;
    char folder[] = "/tmp/symbolon_sql_XXXXXX", path[64];

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.db", folder);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sql_open(path, SQL_GROUPED | (i == 0 ? SQL_DURABLE : 0), &sql, NULL), ST_OK);
        assert_int_equal(sql_migrate(sql, steps, COUNT_OF(steps), NULL), ST_OK);
        assert_int_equal(sql_run(sql, "DELETE FROM thing", NULL, NULL), ST_OK);
        assert_int_equal(sql_sync(sql, NULL), ST_OK);
        assert_int_equal(sql_open(path, 0, &other, NULL), ST_OK);
        assert_int_equal(things(sql),
                         0); /* reads, and is to write all the same when another one wrote meanwhile */
        assert_int_equal(sql_run(other, "INSERT INTO thing (name) VALUES ('x')", NULL, NULL), ST_OK);
        assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('a')", NULL, NULL), ST_OK);
        assert_int_equal(sql_begin(sql, NULL), ST_OK);
        assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('b')", NULL, NULL), ST_OK);
        assert_int_equal(sql_commit(sql, NULL), ST_OK);
        assert_int_equal(sql_begin(sql, NULL), ST_OK);
        assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('c')", NULL, NULL), ST_OK);
        sql_rollback(sql); /* this part alone */
        sql_rollback(sql); /* harmless */
        assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('a')", NULL, NULL), ST_EXISTS);
        assert_int_equal(things(sql), 3);
        assert_int_equal(things(other), 1);
        assert_true(sql_unsynced(sql));
        assert_int_equal(sql_sync(sql, NULL), ST_OK);
        assert_false(sql_unsynced(sql));
        assert_int_equal(things(other), 3);
        sql_close(TAKE(other));
        sql_close(TAKE(sql));
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* SQLite rolls all of it back by itself when the database is full. */
static void a_large_group_is_there_for_others_once_it_is_synced(void **state UNUSED)
{
    /* Larger than what the log of a connection gathers at once, and than SQLite's own file system writes at once. */
    enum { ROUNDS = 4, BYTES = 300000 };
    static char body[BYTES];
    char folder[] = "/tmp/symbolon-sql-XXXXXX";
    char path[64];
    struct sql *sql = NULL, *other = NULL;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x.db", folder);
    assert_int_equal(sql_open(path, SQL_GROUPED | SQL_DURABLE, &sql, NULL), ST_OK);
    assert_int_equal(sql_migrate(sql, steps, COUNT_OF(steps), NULL), ST_OK);
    assert_int_equal(sql_sync(sql, NULL), ST_OK);
    assert_int_equal(sql_open(path, SQL_DURABLE, &other, NULL), ST_OK);
    for (int i = 0; i < ROUNDS; i++) {
        for (int n = 0; n < 3; n++)
            assert_int_equal(sql_run(sql, "INSERT INTO thing (name, body) VALUES ($1, $2)", NULL, NULL,
                                     SQL_I64(3 * i + n), SQL_BLOB(span_of(body, sizeof body))),
                             ST_OK);
        assert_int_equal(things(other), 3 * i);
        assert_int_equal(sql_sync(sql, NULL), ST_OK);
        assert_int_equal(things(other), 3 * i + 3);
        assert_int_equal(sql_run(other, "UPDATE thing SET n = 1", NULL, NULL),
                         ST_OK); /* the log is others' too */
    }
    sql_close(other);
    sql_close(sql);
    assert_int_equal(sql_open(path, SQL_DURABLE, &sql, NULL), ST_OK);
    assert_int_equal(things(sql), 3 * ROUNDS);
    sql_close(sql);
    unlink(path);
    rmdir(folder);
}

static void a_group_given_up_in_its_midst_has_not_happened(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = NULL;
    static uint8_t big[100000];
    char folder[] = "/tmp/symbolon_sql_XXXXXX", path[64];
    struct why why = { 0 };

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.db", folder);
    memset(big, 'x', sizeof big);
    for (int inner = 0; inner < 2; inner++) {
        assert_int_equal(sql_open(path, SQL_GROUPED | SQL_DURABLE | SQL_QUIET, &sql, NULL), ST_OK);
        assert_int_equal(sql_migrate(sql, steps, COUNT_OF(steps), NULL), ST_OK);
        assert_int_equal(sql_run(sql, "DELETE FROM thing", NULL, NULL), ST_OK);
        assert_int_equal(sql_sync(sql, NULL), ST_OK);
        assert_int_equal(sql_run(sql, "PRAGMA max_page_count = 12", NULL, NULL), ST_OK);
        assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('a')", NULL, NULL), ST_OK);
        if (inner)
            assert_int_equal(sql_begin(sql, NULL), ST_OK);
        assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ($1)", NULL, &why,
                                 SQL_TEXT(span_of(big, sizeof big))),
                         ST_IO);
        assert_string_equal(why.text, "the disk is full");
        if (inner) {
            assert_int_equal(sql_commit(sql, NULL), ST_IO);
            sql_rollback(sql);
        }
        assert_true(sql_unsynced(sql));
        assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('b')", NULL, NULL), ST_OK);
        assert_int_equal(sql_sync(sql, NULL), ST_IO); /* 'a' was promised to nobody, and neither is 'b' */
        assert_int_equal(things(sql), 0);
        assert_false(sql_unsynced(sql));
        assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('c')", NULL, NULL), ST_OK);
        assert_int_equal(sql_sync(sql, NULL), ST_OK);
        assert_int_equal(things(sql), 1);
        assert_int_equal(sql_sync(sql, NULL), ST_OK); /* of what only read */
        sql_close(TAKE(sql));
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static int64_t tried_for_ms(struct sql *sql)
{
    struct timespec a, b;
    struct why why = { 0 };

    clock_gettime(CLOCK_MONOTONIC, &a);
    assert_int_equal(sql_run(sql, "INSERT INTO thing (name) VALUES ('a')", NULL, &why), ST_IO);
    clock_gettime(CLOCK_MONOTONIC, &b);
    assert_string_equal(why.text, "the database is locked by another process");
    return (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
}

#define AGAIN 20

/* A server waits for the lock with everybody waiting for the server: once, not for each who wants to write. */
static void a_lock_of_another_process_is_waited_for_once(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = NULL;
    CLEANUP(sql_closep)
    struct sql *other = NULL;
    char folder[] = "/tmp/symbolon_sql_XXXXXX", path[64];

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.db", folder);
    assert_int_equal(sql_open(path, SQL_GROUPED | SQL_QUIET, &sql, NULL), ST_OK);
    assert_int_equal(sql_migrate(sql, steps, COUNT_OF(steps), NULL), ST_OK);
    assert_int_equal(sql_sync(sql, NULL), ST_OK);
    assert_int_equal(sql_open(path, 0, &other, NULL), ST_OK);
    int64_t shortest = INT64_MAX;
    for (int i = 0; i < 2; i++) {
        int64_t again = 0;

        assert_int_equal(sql_begin(other, NULL), ST_OK);
        int64_t first = tried_for_ms(sql);
        shortest = first < shortest ? first : shortest;
        assert_true(first >= 500);
        for (int n = 0; n < AGAIN; n++)
            again += tried_for_ms(sql);
        assert_int_equal(things(sql), i);
        assert_int_equal(sql_sync(sql, NULL), ST_OK);
        for (int n = 0; n < AGAIN; n++) /* in the next group neither */
            again += tried_for_ms(sql);
        assert_true(again < AGAIN * 500); /* each by itself would wait for four times that */
        sql_rollback(other);
        assert_int_equal(sql_run(sql, "INSERT INTO thing (name, n) VALUES ($1, $1)", NULL, NULL, SQL_I64(i)),
                         ST_OK);
        assert_int_equal(sql_sync(sql, NULL), ST_OK); /* and with that there is patience again */
    }
    assert_true(shortest < 4000);
    sql_close(TAKE(other));
    sql_close(TAKE(sql));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back_as_they_went_in),
        cmocka_unit_test(hostile_text_is_a_value_never_a_statement),
        cmocka_unit_test(a_second_row_with_the_key_exists),
        cmocka_unit_test(a_rolled_back_transaction_leaves_nothing),
        cmocka_unit_test(a_walk_may_run_its_own_statement_and_stop_early),
        cmocka_unit_test(migrations_run_once_and_refuse_a_newer_database),
        cmocka_unit_test(a_broken_migration_changes_nothing),
        cmocka_unit_test(the_file_is_private_and_survives_reopening),
        cmocka_unit_test(grouped_commits_are_unsynced_until_somebody_syncs),
        cmocka_unit_test(a_group_happens_together),
        cmocka_unit_test(a_large_group_is_there_for_others_once_it_is_synced),
        cmocka_unit_test(a_group_given_up_in_its_midst_has_not_happened),
        cmocka_unit_test(a_lock_of_another_process_is_waited_for_once),
        cmocka_unit_test(the_failing_front_fails_from_the_nth_statement_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
