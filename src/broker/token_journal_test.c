/* The journal of the token store brings back what was answered, and outlives a disk that fails. */
#include "broker/token_journal.h"

#include "record/record.h"
#include "shard/fixture_test.h"
#include "store/kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

struct disk {
    char folder[64];
    struct kv *kv;
};

static void open_disk(struct disk *disk)
{
    struct why why = { 0 };

    if (kv_open(disk->folder, &(struct kv_settings){ 0 }, &disk->kv, &why) != ST_OK)
        fail_msg("%s: %s", why.clause, why.text);
}

static struct disk new_disk(void)
{
    struct disk disk = { .folder = "/tmp/token-journal-XXXXXX" };

    assert_non_null(mkdtemp(disk.folder));
    open_disk(&disk);
    return disk;
}

static void remove_disk(struct disk *disk)
{
    static const char *const names[] = { "data.mdb", "lock.mdb", "lock" };
    char path[128];

    kv_close(disk->kv);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", disk->folder, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(disk->folder), 0);
}

static void wake(void *ctx)
{
    (void)ctx;
}

struct reading {
    struct token_journal *journal;
    struct now now;
};

static enum status read_row(void *ctx, struct span key, struct span value)
{
    struct reading *reading = ctx;

    return token_journal_read(reading->journal, key, value, reading->now);
}

static struct token_journal *open_journal(struct fixture *f, const struct disk *disk)
{
    struct reading reading = { .now = f->now };

    assert_int_equal(token_journal_new(f->store, wake, NULL, &reading.journal), ST_OK);
    for (unsigned i = 0; i < TOKEN_JOURNAL_KINDS; i++)
        assert_int_equal(kv_scan(disk->kv, token_journal_prefix(i), read_row, &reading, NULL), ST_OK);
    return reading.journal;
}

/* How many changes there were. */
static uint32_t seal(struct token_journal *journal, struct kv_batch *batch)
{
    kv_batch_init(batch, SIZE_MAX / 2);
    assert_int_equal(token_journal_seal(journal, batch), ST_OK);
    return batch->count;
}

static uint32_t write_down(struct token_journal *journal, const struct disk *disk)
{
    struct kv_batch batch;
    const struct kv_batch *const batches[] = { &batch };
    uint32_t count = seal(journal, &batch);

    assert_int_equal(kv_apply(disk->kv, batches, 1, NULL), ST_OK);
    kv_batch_done(&batch);
    token_journal_stored(journal);
    return count;
}

static uint64_t rows(const struct disk *disk)
{
    struct kv_stats stats;

    assert_int_equal(kv_stats(disk->kv, &stats, NULL), ST_OK);
    return stats.entries;
}

static void what_was_written_down_is_there_after_a_restart(void **state) /* MT-33, AF-77, TK-64 */
{
    struct fixture f = fixture_begin();
    struct disk disk = new_disk();
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
    journal = open_journal(&f, &disk);
    assert_int_equal(token_store_keep(f.store, known, SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_true(kept.change > 0);
    assert_false(token_store_is_committed(f.store, kept.change));
    assert_int_equal(token_store_keep(f.store, gone, SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_int_equal(token_store_accept(f.store, exi, f.now, &before, NULL), ST_OK);
    assert_int_equal(fixture_accept(&f, ended, NULL), ST_OK);
    assert_int_equal(token_store_revoke(f.store, revoked->hash, (struct wall_time){ .s = WALL + 3000 }), ST_OK);
    assert_int_equal(write_down(journal, &disk), 5);
    assert_true(token_store_is_committed(f.store, kept.change));

    /* As after kill -9. */
    first = TAKE(f.store);
    fixture_new_store(&f);
    fixture_pass(&f, 200);
    f.now.mono.ms = 5000; /* another boot */
    {
        struct token_journal *second = open_journal(&f, &disk);

        assert_int_equal(token_journal_rows(second), rows(&disk) - 1); /* one token is over */
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
        write_down(second, &disk);
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
    remove_disk(&disk);
    fixture_end(&f);
}

/* Written by another version, or damaged: what can be understood is taken, what cannot be does no harm. */
static void rows_that_make_no_sense_are_left_out(void **state)
{
    struct fixture f = fixture_begin();
    struct disk disk = new_disk();
    struct kv_batch batch;
    const struct kv_batch *const batches[] = { &batch };
    uint8_t key[2 + TOKEN_HASH_LEN] = { RECORD_TOKEN, 'k', 1 };
    struct token_journal *journal;

    (void)state;
    kv_batch_init(&batch, 65536);
    assert_int_equal(kv_batch_put(&batch, span_of(key, sizeof key), SPAN("no token")), ST_OK);
    assert_int_equal(kv_batch_put(&batch, span_of(key, sizeof key - 1), SPAN("short key")), ST_OK);
    key[1] = 'r';
    assert_int_equal(kv_batch_put(&batch, span_of(key, sizeof key), SPAN("")), ST_OK);
    key[1] = 'z';
    assert_int_equal(kv_batch_put(&batch, span_of(key, sizeof key), SPAN("of the future")), ST_OK);
    assert_int_equal(kv_apply(disk.kv, batches, 1, NULL), ST_OK);
    kv_batch_done(&batch);
    journal = open_journal(&f, &disk);
    assert_int_equal(token_journal_rows(journal), 0);
    assert_int_equal(write_down(journal, &disk), 2);
    assert_int_equal(rows(&disk), 2); /* those that are not ours to understand */
    token_journal_free(journal);
    remove_disk(&disk);
    fixture_end(&f);
}

/* MT-40: what waits for the disk is bounded, too; and all of it is there when the disk is. */
static void a_disk_that_fails_is_waited_for_without_end_but_not_without_bounds(void **state)
{
    enum { WAITING = 65536 }; /* what the store lets wait */
    struct fixture f = fixture_begin();
    struct disk disk = new_disk();
    struct token_journal *journal;
    struct key *key = NULL;
    struct token *first, *second;
    struct token_kept kept;
    struct kv_batch batch;

    (void)state;
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    first = fixture_token(&f, (struct wish){ .key = key, .life_s = 3000 });
    second = fixture_token(&f, (struct wish){ .key = key, .life_s = 3001 });
    journal = open_journal(&f, &disk);
    for (uint32_t i = 0; i < WAITING; i++) { /* a long list of what was revoked is in nobody's way */
        uint8_t hash[TOKEN_HASH_LEN] = { (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 1 };

        assert_int_equal(token_store_revoke(f.store, hash, (struct wall_time){ .s = WALL + 3000 }), ST_OK);
    }
    assert_int_equal(seal(journal, &batch), WAITING); /* on its way, and the disk does not answer */
    kv_batch_done(&batch);
    for (uint32_t i = 0; i < WAITING / 2; i++) {
        assert_int_equal(token_store_keep(f.store, first, SPAN("a"), f.now, &kept, NULL), ST_OK);
        assert_int_equal(token_store_keep(f.store, second, SPAN("a"), f.now, &kept, NULL), ST_OK);
        if (i % 30000 == 0) {
            assert_int_equal(seal(journal, &batch), 0);
            kv_batch_done(&batch);
        }
    }
    assert_int_equal(token_store_keep(f.store, first, SPAN("a"), f.now, &kept, NULL), ST_QUOTA);
    token_journal_stored(journal);
    assert_int_equal(write_down(journal, &disk), WAITING);
    assert_int_equal(token_store_keep(f.store, first, SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_false(token_store_is_committed(f.store, kept.change));
    assert_int_equal(write_down(journal, &disk), 1);
    assert_true(token_store_is_committed(f.store, kept.change));
    token_journal_free(journal);
    token_unref(first);
    token_unref(second);
    key_unref(key);
    remove_disk(&disk);
    fixture_end(&f);
}

static void a_batch_for_which_there_is_no_memory_is_tried_again(void **state)
{
    struct fixture f = fixture_begin();
    struct disk disk = new_disk();
    struct token_journal *journal = open_journal(&f, &disk);
    uint8_t hash[TOKEN_HASH_LEN] = { 1 };
    struct kv_batch small;

    (void)state;
    assert_int_equal(token_store_revoke(f.store, hash, (struct wall_time){ .s = WALL + 3000 }), ST_OK);
    kv_batch_init(&small, 8);
    assert_int_equal(token_journal_seal(journal, &small), ST_NO_MEMORY);
    assert_true(kv_batch_empty(&small));
    kv_batch_done(&small);
    assert_int_equal(write_down(journal, &disk), 1);
    assert_int_equal(rows(&disk), 1);
    token_journal_free(journal);
    remove_disk(&disk);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_down_is_there_after_a_restart),
        cmocka_unit_test(rows_that_make_no_sense_are_left_out),
        cmocka_unit_test(a_disk_that_fails_is_waited_for_without_end_but_not_without_bounds),
        cmocka_unit_test(a_batch_for_which_there_is_no_memory_is_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
