/* The journal of the token store brings back what was answered, and outlives a disk that fails. */
#include "broker/token_journal.h"

#include "broker/fixture_test.h"
#include "store/sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

static void wake(void *ctx)
{
    (void)ctx;
}

static struct token_journal *open_journal(struct fixture *f, const char *folder)
{
    struct token_journal *journal = NULL;
    struct why why = { 0 };

    if (token_journal_new(folder, f->store, wake, NULL, f->now, &journal, &why) != ST_OK)
        fail_msg("%s: %s", why.clause, why.text);
    return journal;
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {
        "tokens.db",         "tokens.db-wal",         "tokens.db-shm",
        "tokens.db.damaged", "tokens.db.damaged-wal", "tokens.db.damaged-shm"
    };
    char path[128];

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

static void what_was_written_down_is_there_after_a_restart(void **state) /* MT-33, AF-77, TK-64 */
{
    struct fixture f = fixture_begin();
    char folder[] = "/tmp/token-journal-XXXXXX";
    struct token_journal *journal;
    struct token *known = fixture_token(&f, (struct wish){ .kid = "k-1", .secret = true, .life_s = 5000 });
    struct token *gone = fixture_token(&f, (struct wish){ .life_s = 100 });
    struct token *exi = fixture_token(&f, (struct wish){ .exi_s = 1000, .sequence = 7 });
    struct token *ended = fixture_token(&f, (struct wish){ .exi_s = 10, .sequence = 5 });
    struct token *early = fixture_token(&f, (struct wish){ .exi_s = 1000, .sequence = 4 });
    struct token *revoked = fixture_token(&f, (struct wish){ .life_s = 3000 }), *found;
    struct token_store *first;
    struct token_kept kept;
    struct token_term before, after;

    (void)state;
    assert_non_null(mkdtemp(folder));
    journal = open_journal(&f, folder);
    assert_int_equal(token_store_keep(f.store, known, SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_true(kept.change > 0);
    assert_false(token_store_is_committed(f.store, kept.change));
    assert_int_equal(token_store_keep(f.store, gone, SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_int_equal(token_store_accept(f.store, exi, f.now, &before, NULL), ST_OK);
    assert_int_equal(fixture_accept(&f, ended, NULL), ST_OK);
    assert_int_equal(token_store_revoke(f.store, revoked->hash, (struct wall_time){ .s = WALL + 3000 }), ST_OK);
    assert_int_equal(token_journal_write(journal, NULL), ST_OK);
    assert_true(token_store_is_committed(f.store, kept.change));

    /* As after kill -9: nobody says goodbye to the file. */
    first = TAKE(f.store);
    fixture_new_store(&f);
    fixture_pass(&f, 200);
    f.now.mono.ms = 5000; /* another boot */
    {
        struct token_journal *second = open_journal(&f, folder);

        token_store_purge(f.store, f.now);
        found = token_store_by_kid(f.store, SPAN("k-1"), f.now);
        assert_non_null(found);
        assert_true(key_same(found->cnf, known->cnf));
        assert_true(scope_same(found->scope, known->scope));
        assert_memory_equal(found->hash, known->hash, TOKEN_HASH_LEN);
        assert_true(span_eq(found->iss, known->iss) && span_eq(found->sub, known->sub));
        token_unref(found);
        assert_null(token_store_by_key(f.store, gone->cnf_thumbprint, f.now));
        assert_int_equal(token_store_accept(f.store, exi, f.now, &after, NULL), ST_OK);
        assert_int_equal(after.until_s, before.until_s);
        assert_int_equal(fixture_accept(&f, ended, NULL), ST_TOKEN_EXPIRED);
        assert_int_equal(fixture_accept(&f, early, "AF-77"), ST_TOKEN_EXPIRED);
        assert_int_equal(fixture_accept(&f, revoked, NULL), ST_BAD_TOKEN);
        token_journal_free(second);
    }
    token_unref(known);
    token_unref(gone);
    token_unref(exi);
    token_unref(ended);
    token_unref(early);
    token_unref(revoked);
    token_journal_free(journal);
    token_store_free(first);
    remove_folder(folder);
    fixture_end(&f);
}

static void a_damaged_file_is_set_aside(void **state)
{
    struct fixture f = fixture_begin();
    char folder[] = "/tmp/token-journal-XXXXXX", path[128];
    struct token_journal *journal;
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/tokens.db", folder);
    file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        (void)fputs("this is no database\n", file);
    (void)fclose(file);
    journal = open_journal(&f, folder);
    token_journal_free(journal);
    (void)snprintf(path, sizeof path, "%s/tokens.db.damaged", folder);
    assert_int_equal(access(path, F_OK), 0);
    remove_folder(folder);
    fixture_end(&f);
}

/* A folder in its place stands for all that hinders us, and is no fault of the file: a disk that is full, another process
 * at work on it. What was revoked must not be forgotten for that. */
static void a_file_that_cannot_be_opened_now_is_left_alone(void **state)
{
    struct fixture f = fixture_begin();
    char folder[] = "/tmp/token-journal-XXXXXX", path[128];
    struct token_journal *journal = NULL;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/tokens.db", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(token_journal_new(folder, f.store, wake, NULL, f.now, &journal, NULL), ST_IO);
    assert_int_equal(rmdir(path), 0);
    remove_folder(folder);
    fixture_end(&f);
}

/* MT-40: what waits for the disk is bounded, too; and all of it is there when the disk is. */
static void a_disk_that_fails_is_waited_for_without_end_but_not_without_bounds(void **state)
{
    enum { WAITING = 65536 }; /* what the store lets wait */
    struct fixture f = fixture_begin();
    char folder[] = "/tmp/token-journal-XXXXXX", path[128];
    struct token_journal *journal;
    struct key *key = NULL;
    struct token *first, *second;
    struct token_kept kept;
    struct sql *sql = NULL;

    (void)state;
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    first = fixture_token(&f, (struct wish){ .key = key, .life_s = 3000 });
    second = fixture_token(&f, (struct wish){ .key = key, .life_s = 3001 });
    assert_non_null(mkdtemp(folder));
    journal = open_journal(&f, folder);
    (void)snprintf(path, sizeof path, "%s/tokens.db", folder);
    assert_int_equal(sql_open(path, 0, &sql, NULL), ST_OK);
    assert_int_equal(sql_run(sql, "ALTER TABLE token_state RENAME TO away", NULL, NULL), ST_OK);
    for (uint32_t i = 0; i < WAITING; i++) { /* a long list of what was revoked is in nobody's way */
        uint8_t hash[TOKEN_HASH_LEN] = { (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 1 };

        assert_int_equal(token_store_revoke(f.store, hash, (struct wall_time){ .s = WALL + 3000 }), ST_OK);
    }
    assert_int_equal(token_journal_write(journal, NULL), ST_IO);
    for (uint32_t i = 0; i < WAITING / 2; i++) {
        assert_int_equal(token_store_keep(f.store, first, SPAN("a"), f.now, &kept, NULL), ST_OK);
        assert_int_equal(token_store_keep(f.store, second, SPAN("a"), f.now, &kept, NULL), ST_OK);
        if (i % 30000 == 0)
            assert_int_equal(token_journal_write(journal, NULL), ST_IO);
    }
    assert_int_equal(token_store_keep(f.store, first, SPAN("a"), f.now, &kept, NULL), ST_QUOTA);
    assert_int_equal(sql_run(sql, "ALTER TABLE away RENAME TO token_state", NULL, NULL), ST_OK);
    assert_int_equal(token_journal_write(journal, NULL), ST_OK);
    assert_int_equal(token_store_keep(f.store, first, SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_false(token_store_is_committed(f.store, kept.change));
    assert_int_equal(token_journal_write(journal, NULL), ST_OK);
    assert_true(token_store_is_committed(f.store, kept.change));
    sql_close(sql);
    token_journal_free(journal);
    token_unref(first);
    token_unref(second);
    key_unref(key);
    remove_folder(folder);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_down_is_there_after_a_restart),
        cmocka_unit_test(a_damaged_file_is_set_aside),
        cmocka_unit_test(a_file_that_cannot_be_opened_now_is_left_alone),
        cmocka_unit_test(a_disk_that_fails_is_waited_for_without_end_but_not_without_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
