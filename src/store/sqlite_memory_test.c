/* SQLite without memory: every allocation it asks for is refused once, in turn. What sql_commit() or sql_sync() called
 * done is in the file, what they refused is not, and no answer is but half of one (sql.h). */
#include "store/sql.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define STORIES_MAX 5000

static struct {
    sqlite3_mem_methods real;
    long left; /* allocations until one is refused; negative: none is */
    bool met;
} memory;

static bool refused(void)
{
    if (memory.left < 0 || memory.left-- > 0)
        return false;
    memory.met = true;
    return true;
}

static void *may_malloc(int n)
{
    return refused() ? NULL : memory.real.xMalloc(n);
}

static void *may_realloc(void *p, int n)
{
    return refused() ? NULL : memory.real.xRealloc(p, n);
}

static int set_up(void **state UNUSED)
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory.real);
    sqlite3_mem_methods methods = memory.real;
    methods.xMalloc = may_malloc;
    methods.xRealloc = may_realloc;
    memory.left = -1;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK ? 0 : -1;
}

struct story {
    char folder[64];
    char path[96];
    unsigned flags;
    bool promised; /* it was said that both rows are kept */
    bool refused;  /* that what would keep them failed */
};

static const struct sql_migration STEPS[] = {
    { 1, "first", "CREATE TABLE pair (side TEXT PRIMARY KEY, value BLOB);" },
    { 2, "second", "CREATE INDEX pair_value ON pair (value); CREATE TABLE other (n INTEGER);" },
};

static enum status count_row(void *ctx, const struct sql_row *row)
{
    int *count = ctx;

    assert_true(sql_bytes(row, 0).len == 4 || sql_bytes(row, 0).len == 5);
    assert_int_equal(sql_bytes(row, 1).len, 3000);
    (*count)++;
    return ST_OK;
}

static enum status both_rows(struct sql *sql, struct why *why)
{
    static char value[3000];
    struct span bytes = span_of(value, sizeof value);
    enum status st = sql_begin(sql, why);

    if (st != ST_OK)
        return st;
    st = sql_run(sql, "INSERT INTO pair VALUES ($1, $2)", NULL, why, SQL_TEXT(SPAN("left")), SQL_BLOB(bytes));
    if (st == ST_OK)
        st = sql_run(sql, "INSERT INTO pair VALUES ($1, $2)", NULL, why, SQL_TEXT(SPAN("right")),
                     SQL_BLOB(bytes));
    if (st == ST_OK)
        st = sql_commit(sql, why);
    if (st != ST_OK)
        sql_rollback(sql);
    return st;
}

static enum status live(struct story *story, struct sql *sql, struct why *why)
{
    int rows = 0;
    enum status st = sql_migrate(sql, STEPS, COUNT_OF(STEPS), why);

    if (st == ST_OK && (story->flags & SQL_GROUPED) != 0)
        st = sql_sync(sql, why);
    if (st != ST_OK)
        return st;
    st = both_rows(sql, why);
    if ((story->flags & SQL_GROUPED) != 0) {
        enum status synced = sql_sync(sql, st == ST_OK ? why : NULL);
        st = st == ST_OK ? synced : st;
        assert_false(sql_unsynced(sql));
    }
    story->promised = st == ST_OK;
    story->refused = st != ST_OK;
    if (st == ST_OK)
        st = sql_query(sql, "SELECT side, value FROM pair ORDER BY value, side", count_row, &rows, why);
    assert_true(st != ST_OK || rows == 2);
    return st;
}

static enum status tell(struct story *story, struct why *why)
{
    struct sql *sql = NULL;
    enum status st = sql_open(story->path, story->flags | SQL_QUIET, &sql, why);

    if (st == ST_OK)
        st = live(story, sql, why);
    sql_close(sql);
    return st;
}

static int rows_on_disk(const struct story *story)
{
    struct sql *sql = NULL;
    int rows = 0;

    assert_int_equal(sql_open(story->path, 0, &sql, NULL), ST_OK);
    assert_int_equal(sql_migrate(sql, STEPS, COUNT_OF(STEPS), NULL), ST_OK);
    assert_int_equal(sql_query(sql, "SELECT side, value FROM pair", count_row, &rows, NULL), ST_OK);
    sql_close(sql);
    return rows;
}

static void remove_files(const struct story *story)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-journal" };

    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", story->path, ends[i]);
        unlink(path);
    }
}

/* The story again and again, each time with one more allocation granted before the one that is not. */
static void each_allocation(unsigned flags)
{
    struct story story = { .flags = flags };
    long n = 0;

    /* in memory if there is such a folder: a sync for each of a thousand stories is not what is tested */
    snprintf(story.folder, sizeof story.folder, "%s/sqlite-memory-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(story.folder));
    snprintf(story.path, sizeof story.path, "%s/db", story.folder);
    for (;; n++) {
        struct why why = { 0 };
        story.promised = story.refused = memory.met = false;
        memory.left = n;
        enum status st = tell(&story, &why);
        memory.left = -1;
        if (st == ST_OK)
            assert_true(story.promised);
        else
            assert_true(memory.met && (st == ST_NO_MEMORY || st == ST_IO) && why.text[0] != '\0');
        int rows = rows_on_disk(&story);
        assert_true(rows == 0 || rows == 2);
        assert_true(!story.promised || rows == 2);
        assert_true(!story.refused || rows == 0);
        remove_files(&story);
        if (!memory.met)
            break;
        assert_true(n < STORIES_MAX);
    }
    assert_true(n > 100);
    rmdir(story.folder);
}

static void without_memory_a_transaction_is_whole_or_not_there(void **state UNUSED)
{
    each_allocation(0);
}

static void without_memory_a_group_is_whole_or_not_there(void **state UNUSED)
{
    each_allocation(SQL_GROUPED | SQL_DURABLE);
}

/* One request wrote, another one wants to undo what it did: that it cannot must not keep half of it for the first. */
static void a_part_that_cannot_be_undone_takes_its_group_with_it(void **state UNUSED)
{
    struct story story = { 0 };
    static char value[3000];
    const struct sql_value bytes = SQL_BLOB(span_of(value, sizeof value));
    bool met = true;

    snprintf(story.folder, sizeof story.folder, "/tmp/sqlite-memory-XXXXXX");
    assert_non_null(mkdtemp(story.folder));
    snprintf(story.path, sizeof story.path, "%s/db", story.folder);
    for (long n = 0; met; n++) {
        struct sql *sql = NULL;
        assert_int_equal(sql_open(story.path, SQL_GROUPED | SQL_QUIET, &sql, NULL), ST_OK);
        assert_int_equal(sql_migrate(sql, STEPS, COUNT_OF(STEPS), NULL), ST_OK);
        assert_int_equal(sql_sync(sql, NULL), ST_OK);
        assert_int_equal(
            sql_run(sql, "INSERT INTO pair VALUES ($1, $2)", NULL, NULL, SQL_TEXT(SPAN("left")), bytes), ST_OK);
        assert_int_equal(sql_begin(sql, NULL), ST_OK);
        assert_int_equal(
            sql_run(sql, "INSERT INTO pair VALUES ($1, $2)", NULL, NULL, SQL_TEXT(SPAN("right")), bytes),
            ST_OK);
        memory.met = false;
        memory.left = n;
        sql_rollback(sql);
        memory.left = -1;
        met = memory.met;
        enum status st = sql_sync(sql, NULL);
        sql_close(sql);
        assert_int_equal(rows_on_disk(&story), st == ST_OK ? 1 : 0);
        assert_true(met || st == ST_OK);
        remove_files(&story);
        assert_true(n < STORIES_MAX);
    }
    rmdir(story.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_a_transaction_is_whole_or_not_there),
        cmocka_unit_test(without_memory_a_group_is_whole_or_not_there),
        cmocka_unit_test(a_part_that_cannot_be_undone_takes_its_group_with_it),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
