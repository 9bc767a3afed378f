/* The token store while memory is short: what it says it did, it did; what was written down is read back or the start fails, so that a
 * token which was revoked is never good again because of that. And what it answers at its limits. */
#include "broker/token_journal.h"
#include "shard/fixture_test.h"
#include "shard/message.h"
#include "store/kv_batch.h"
#include "support/failing_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

static void wake(void *ctx UNUSED)
{
}

static void forget_changes(struct token_store *store)
{
    struct token_change *change = token_store_take_changes(store), *next;

    for (; change != NULL; change = next) {
        next = change->next;
        token_change_free(change);
    }
}

/* ---- while memory is short ---- */

struct story {
    struct fixture *f;
    struct token *exi, *known, *other;
    struct kv_batch rows;
    unsigned done;
};

static void assert_told(enum status st, const struct why *why)
{
    if (st != ST_OK && st != ST_NO_MEMORY)
        fail_msg("%s: %s: %s", status_name(st), why->clause, why->text);
}

static void try_store(void *ctx, long n)
{
    struct story *story = ctx;
    struct fixture *f = story->f;
    struct token_term term = { 0 };
    struct token_kept kept;
    struct why why = { 0 };
    struct token *found;
    uint8_t name[TOKEN_HASH_LEN] = { 1 };

    fixture_new_store(f);
    token_store_set_journal(f->store, wake, NULL);
    failing_memory_begin(n);
    enum status accepted = token_store_accept(f->store, story->exi, f->now, &term, &why);
    assert_told(accepted, &why);
    enum status was_kept = token_store_keep(f->store, story->known, SPAN("10.0.0.1:1"), f->now, &kept, &why);
    assert_told(was_kept, &why);
    token_store_remember(f->store, story->other, f->now);
    enum status revoked =
        token_store_revoke(f->store, story->other->hash, (struct wall_time){ f->now.wall.s + 100 });
    enum status changed = token_store_change(f->store, name, (struct wall_time){ f->now.wall.s + 100 });
    enum status suspended = token_store_suspend(f->store, SPAN(ISS2), true);
    (void)failing_memory_end();
    assert_true(revoked == ST_OK || revoked == ST_NO_MEMORY);
    assert_true(changed == ST_OK || changed == ST_NO_MEMORY);
    assert_true(suspended == ST_OK || suspended == ST_NO_MEMORY);
    if (accepted == ST_OK)
        assert_true(term.change > 0 && term.until_s == f->now.wall.s + 100);
    found = token_store_by_key(f->store, story->known->cnf_thumbprint, f->now);
    assert_int_equal(found != NULL, was_kept == ST_OK);
    token_unref(found);
    assert_null(token_store_lookup(f->store, story->other->hash, f->now)); /* in any case */
    if (revoked == ST_OK)
        assert_int_equal(fixture_accept(f, story->other, "AF-98"), ST_BAD_TOKEN);
    assert_int_equal(token_store_suspend(f->store, SPAN(ISS2), false), ST_OK);
    assert_int_equal(fixture_accept(f, story->exi, NULL),
                     ST_OK); /* what failed is done when it is tried again */
    story->done += accepted == ST_OK && was_kept == ST_OK && revoked == ST_OK;
}

static struct story story_begin(struct fixture *f)
{
    return (struct story){ .f = f,
                           .exi = fixture_token(f, (struct wish){ .exi_s = 100, .sequence = 7 }),
                           .known = fixture_token(f, (struct wish){ .kid = "k", .secret = true }),
                           .other = fixture_token(f, (struct wish){ 0 }) };
}

static void story_end(struct story *story)
{
    token_unref(story->exi);
    token_unref(story->known);
    token_unref(story->other);
}

static void what_the_store_says_it_did_it_did(void **state UNUSED) /* MT-40, AF-75, AF-98 */
{
    struct fixture f = fixture_begin();
    struct story story = story_begin(&f);

    assert_true(failing_memory_each(try_store, &story) > 10);
    assert_true(story.done > 0);
    story_end(&story);
    fixture_end(&f);
}

static void try_new(void *ctx, long n)
{
    struct story *story = ctx;
    static const uint8_t secret[TOKEN_STORE_SECRET_LEN] = { 3 };
    struct token_store *store = NULL;

    failing_memory_begin(n);
    enum status st = token_store_new(&story->f->limits, secret, &store);
    (void)failing_memory_end();
    assert_true(st == ST_OK || st == ST_NO_MEMORY);
    token_store_free(store);
}

static void a_store_is_made_or_not(void **state UNUSED)
{
    struct fixture f = fixture_begin();
    struct story story = { .f = &f };

    assert_true(failing_memory_each(try_new, &story) > 0);
    fixture_end(&f);
}

static void try_restart(void *ctx, long n)
{
    struct story *story = ctx;
    struct fixture *f = story->f;
    struct token_journal *journal = NULL;
    struct kv_op op;
    struct token *found;

    fixture_new_store(f);
    failing_memory_begin(n);
    enum status st = token_journal_new(f->store, wake, NULL, &journal);
    for (size_t at = 0; st == ST_OK && kv_batch_next(&story->rows, &at, &op);)
        st = token_journal_read(journal, op.key, op.value, f->now);
    (void)failing_memory_end();
    assert_true(st == ST_OK || st == ST_NO_MEMORY); /* and the broker does not start */
    if (st == ST_OK) {
        struct kv_batch batch;

        assert_int_equal(token_journal_rows(journal), story->rows.count);
        assert_true(token_store_is_revoked(f->store, story->other->hash));
        assert_int_equal(fixture_accept(f, story->exi, "AF-75"), ST_OK);
        found = token_store_by_key(f->store, story->known->cnf_thumbprint, f->now);
        assert_non_null(found);
        token_unref(found);
        kv_batch_init(&batch, SIZE_MAX / 2);
        assert_int_equal(token_journal_seal(journal, &batch), ST_OK);
        assert_int_equal(batch.count, 0); /* nothing of it is taken off the disk */
        kv_batch_done(&batch);
        story->done++;
    }
    token_journal_free(journal);
}

static void what_was_written_down_is_read_back_or_the_start_fails(void **state UNUSED) /* AF-98 */
{
    struct fixture f = fixture_begin();
    struct story story = story_begin(&f);
    struct token_journal *journal;
    struct token_kept kept;

    assert_int_equal(token_journal_new(f.store, wake, NULL, &journal), ST_OK);
    assert_int_equal(token_store_keep(f.store, story.known, SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_int_equal(fixture_accept(&f, story.exi, NULL), ST_OK);
    assert_int_equal(token_store_revoke(f.store, story.other->hash, (struct wall_time){ f.now.wall.s + 500 }),
                     ST_OK);
    kv_batch_init(&story.rows, SIZE_MAX / 2);
    assert_int_equal(token_journal_seal(journal, &story.rows), ST_OK);
    token_journal_stored(journal);
    token_journal_free(journal);
    assert_int_equal(story.rows.count, 3);
    assert_true(failing_memory_each(try_restart, &story) > 4);
    assert_true(story.done > 0);
    f.limits.max_revoked = 0; /* settings have changed meanwhile: what was revoked stays so */
    try_restart(&story, 0);
    kv_batch_done(&story.rows);
    story_end(&story);
    fixture_end(&f);
}

static void try_seal(void *ctx, long n)
{
    struct story *story = ctx;
    struct fixture *f = story->f;
    struct token_journal *journal = NULL;
    struct kv_batch batch;

    fixture_new_store(f);
    assert_int_equal(token_journal_new(f->store, wake, NULL, &journal), ST_OK);
    assert_int_equal(
        token_store_revoke(f->store, story->other->hash, (struct wall_time){ f->now.wall.s + 500 }), ST_OK);
    assert_int_equal(fixture_accept(f, story->exi, NULL), ST_OK);
    kv_batch_init(&batch, SIZE_MAX / 2);
    failing_memory_begin(n);
    enum status st = token_journal_seal(journal, &batch);
    (void)failing_memory_end();
    assert_true(st == ST_OK || st == ST_NO_MEMORY);
    if (st != ST_OK) {
        assert_int_equal(batch.count, 0);
        assert_int_equal(token_journal_seal(journal, &batch), ST_OK); /* the next turn */
    }
    assert_int_equal(batch.count, 2);
    token_journal_stored(journal);
    kv_batch_done(&batch);
    token_journal_free(journal);
    story->done += st == ST_OK;
}

static void what_is_to_be_written_down_waits_for_memory(void **state UNUSED)
{
    struct fixture f = fixture_begin();
    struct story story = story_begin(&f);

    assert_true(failing_memory_each(try_seal, &story) > 0);
    assert_true(story.done > 0);
    story_end(&story);
    fixture_end(&f);
}

/* ---- rows that are none ---- */

static void rows_that_cannot_be_read_are_dropped_and_those_of_others_stay(void **state UNUSED)
{
    struct fixture f = fixture_begin();
    struct token_journal *journal;
    struct kv_batch batch;
    uint8_t key[2 + TOKEN_HASH_LEN] = "tr", id[TOKEN_HASH_LEN] = { 0 };
    static const uint8_t zeros[8 + 1 + TOKEN_HASH_LEN + 3 * 8] = { 0 };
    static const uint8_t late[8] = { 0, 0, 1 };

    assert_int_equal(token_journal_new(f.store, wake, NULL, &journal), ST_OK);
    for (const char *letter = "rnfk"; *letter != '\0'; letter++) {
        key[1] = (uint8_t)*letter;
        key[5] = 1;
        assert_int_equal(token_journal_read(journal, span_of(key, sizeof key), SPAN("x"), f.now), ST_OK);
        key[5] = 2;
        if (*letter != 'n')
            assert_int_equal(
                token_journal_read(journal, span_of(key, sizeof key), span_of(zeros, sizeof zeros), f.now),
                ST_OK);
    }
    assert_int_equal(token_journal_rows(journal), 0);
    kv_batch_init(&batch, SIZE_MAX / 2);
    assert_int_equal(token_journal_seal(journal, &batch), ST_OK);
    assert_int_equal(batch.count, 7);
    token_journal_stored(journal);
    key[1] = '?'; /* of a later version */
    assert_int_equal(token_journal_read(journal, span_of(key, sizeof key), SPAN("x"), f.now), ST_OK);
    assert_int_equal(token_journal_read(journal, span_of(key, 5), SPAN("x"), f.now), ST_OK);
    kv_batch_reset(&batch);
    assert_int_equal(token_journal_seal(journal, &batch), ST_OK);
    assert_int_equal(batch.count, 0);
    kv_batch_done(&batch);
    assert_int_equal(token_store_restore(f.store, TOKEN_SEQUENCE, id, span_of(late, 8), f.now), ST_OK);
    assert_int_equal(token_store_restore(f.store, TOKEN_SEQUENCE, id, span_of(late, 8), f.now), ST_NOT_FOUND);
    assert_int_equal(token_store_restore(f.store, TOKEN_CHANGE_KINDS, id, span_of(late, 8), f.now),
                     ST_NOT_FOUND);
    token_journal_free(journal);
    fixture_end(&f);
}

/* ---- at the limits ---- */

static void revocations_are_bounded_and_end_with_their_tokens(void **state UNUSED) /* AF-98 */
{
    struct fixture f = fixture_begin();
    uint8_t name[TOKEN_HASH_LEN] = { 0 };
    struct token_store_counts counts;
    struct buf hashes;

    f.limits.max_revoked = 2;
    fixture_new_store(&f);
    for (uint8_t i = 0; i < 3; i++) {
        name[0] = i;
        assert_int_equal(token_store_revoke(f.store, name, (struct wall_time){ f.now.wall.s + 10 + i }),
                         i < 2 ? ST_OK : ST_QUOTA);
        assert_int_equal(token_store_change(f.store, name, (struct wall_time){ f.now.wall.s + 10 + i }),
                         i < 2 ? ST_OK : ST_QUOTA);
    }
    fixture_pass(&f, 10);
    token_store_purge(f.store, f.now);
    token_store_count(f.store, &counts);
    assert_int_equal(counts.revoked, 1);
    assert_int_equal(counts.changed, 1);
    buf_init(&hashes, TOKEN_HASH_LEN - 1);
    assert_int_equal(token_store_revoked(f.store, &hashes), ST_NO_MEMORY);
    buf_done(&hashes);
    fixture_pass(&f, 1);
    token_store_purge(f.store, f.now);
    token_store_count(f.store, &counts);
    assert_int_equal(counts.revoked + counts.changed, 0);
    fixture_end(&f);
}

static void issuers_that_are_silent_are_suspended_one_by_one(void **state UNUSED)
{
    struct fixture f = fixture_begin();
    struct token *first = fixture_token(&f, (struct wish){ 0 });
    struct token *second = fixture_token(&f, (struct wish){ .issuer = 1 });
    enum status st = ST_OK;
    unsigned count = 0;

    assert_int_equal(token_store_suspend(f.store, SPAN(ISS), true), ST_OK);
    assert_int_equal(token_store_suspend(f.store, SPAN(ISS), true), ST_OK); /* once more is once */
    assert_int_equal(token_store_suspend(f.store, SPAN(ISS2), true), ST_OK);
    assert_int_equal(fixture_accept(&f, first, "revocation.max_stale"), ST_UNREACHABLE);
    assert_int_equal(token_store_suspend(f.store, SPAN(ISS), false), ST_OK);
    assert_int_equal(fixture_accept(&f, first, NULL), ST_OK);
    assert_int_equal(fixture_accept(&f, second, "revocation.max_stale"), ST_UNREACHABLE);
    while (st == ST_OK && count < 1000) {
        char name[32];

        snprintf(name, sizeof name, "https://%u.example", count++);
        st = token_store_suspend(f.store, span_of_str(name), true);
    }
    assert_int_equal(st, ST_QUOTA);
    token_unref(first);
    token_unref(second);
    fixture_end(&f);
}

static void the_cache_takes_what_fits_and_is_not_stale(void **state UNUSED) /* RFC 9770 */
{
    struct fixture f = fixture_begin();
    struct token *a = fixture_token(&f, (struct wish){ 0 }), *b = fixture_token(&f, (struct wish){ 0 });
    struct token_store_counts counts;

    assert_int_equal(token_store_change(f.store, a->hash, (struct wall_time){ f.now.wall.s + 100 }), ST_OK);
    token_store_remember(f.store, a, f.now); /* it was read before that news */
    assert_null(token_store_lookup(f.store, a->hash, f.now));
    assert_true(token_store_is_stale(f.store, a) && !token_store_is_stale(f.store, b));
    f.limits.max_cached_bytes = 1;
    fixture_new_store(&f);
    token_store_remember(f.store, b, f.now);
    f.limits.max_cached_bytes = 4096;
    f.limits.max_cached = 0;
    fixture_new_store(&f);
    token_store_remember(f.store, b, f.now);
    f.limits.max_cached = 100;
    f.limits.max_cached_bytes = 1800; /* there is room for one */
    fixture_new_store(&f);
    token_store_remember(f.store, a, f.now);
    token_store_remember(f.store, b, f.now);
    token_store_count(f.store, &counts);
    assert_int_equal(counts.cached, 1);
    assert_null(token_store_lookup(f.store, a->hash, f.now));
    token_unref(a);
    token_unref(b);
    fixture_end(&f);
}

static bool is_of_second(void *ctx UNUSED, const struct token *token)
{
    return span_eq_str(token->iss, ISS2);
}

static void a_kid_that_names_two_keys_names_none(void **state UNUSED) /* TK-7 */
{
    struct fixture f = fixture_begin();
    struct token *a = fixture_token(&f, (struct wish){ .kid = "k", .secret = true });
    struct token *b = fixture_token(&f, (struct wish){ .kid = "k", .secret = true });
    struct token *other = fixture_token(&f, (struct wish){ .kid = "k", .issuer = 1 });
    struct token_kept kept;
    struct key *key;

    assert_null(token_store_key(f.store, SPAN(ISS), SPAN("k"), f.now));
    assert_null(token_store_key(f.store, SPAN(ISS), SPAN_NONE, f.now));
    assert_null(token_store_by_kid(f.store, SPAN_NONE, f.now));
    assert_int_equal(token_store_keep(f.store, a, SPAN("10.0.0.1:9"), f.now, &kept, NULL), ST_OK);
    assert_int_equal(token_store_keep(f.store, other, SPAN("10.0.0.1:9"), f.now, &kept, NULL), ST_OK);
    key = token_store_key(f.store, SPAN(ISS), SPAN("k"), f.now); /* another issuer's is another's */
    assert_ptr_equal(key, a->cnf);
    key_unref(key);
    assert_int_equal(token_store_keep(f.store, b, SPAN("10.0.0.1:9"), f.now, &kept, NULL), ST_OK);
    assert_null(token_store_key(f.store, SPAN(ISS), SPAN("k"), f.now));
    assert_null(token_store_by_kid(f.store, SPAN("k"), f.now));
    token_store_used(f.store, a, f.now);
    token_store_keep_only(f.store, is_of_second, NULL); /* the other issuer has left the settings */
    assert_null(token_store_by_key(f.store, a->cnf_thumbprint, f.now));
    assert_null(token_store_by_key(f.store, b->cnf_thumbprint, f.now));
    token_unref(a);
    token_unref(b);
    token_unref(other);
    fixture_end(&f);
}

static void who_has_not_proved_a_key_makes_room(void **state UNUSED) /* MT-40 */
{
    struct fixture f = fixture_begin();
    struct token *tokens[3], *found;
    struct token_kept kept;

    f.limits.max_kept = 2;
    fixture_new_store(&f);
    for (unsigned i = 0; i < 3; i++)
        tokens[i] = fixture_token(&f, (struct wish){ 0 });
    assert_int_equal(token_store_keep(f.store, tokens[0], SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_int_equal(token_store_keep(f.store, tokens[1], SPAN("a"), f.now, &kept, NULL), ST_OK);
    token_store_used(f.store, tokens[0], f.now);
    assert_int_equal(token_store_keep(f.store, tokens[2], SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_null(token_store_by_key(f.store, tokens[1]->cnf_thumbprint, f.now));
    token_store_used(f.store, tokens[2], f.now);
    assert_int_equal(token_store_keep(f.store, tokens[1], SPAN("a"), f.now, &kept, NULL), ST_QUOTA);
    found = token_store_by_key(f.store, tokens[2]->cnf_thumbprint, f.now);
    assert_ptr_equal(found, tokens[2]);
    token_unref(found);
    assert_null(token_store_by_certificate(f.store, tokens[2]->cnf_thumbprint, f.now)); /* it named a key */
    assert_int_equal(token_store_revoke(f.store, tokens[2]->hash, (struct wall_time){ f.now.wall.s + 50 }),
                     ST_OK);
    assert_null(token_store_by_key(f.store, tokens[2]->cnf_thumbprint, f.now));
    assert_int_equal(token_store_keep(f.store, tokens[1], SPAN("a"), f.now, &kept, NULL),
                     ST_OK); /* in its place */
    for (unsigned i = 0; i < 3; i++)
        token_unref(tokens[i]);
    fixture_end(&f);
}

static void while_the_disk_is_behind_nothing_new_is_promised(void **state UNUSED) /* MT-40, AF-75 */
{
    struct fixture f = fixture_begin();
    struct token *token = fixture_token(&f, (struct wish){ 0 });
    struct token *other = fixture_token(&f, (struct wish){ 0 });
    struct token *exi = fixture_token(&f, (struct wish){ .exi_s = 10, .sequence = 1 });
    struct token_kept kept;
    enum status st = ST_OK;

    token_store_set_journal(f.store, wake, NULL);
    for (unsigned i = 0; st == ST_OK && i < 1000000; i++) {
        st = token_store_keep(f.store, i % 2 == 0 ? token : other, SPAN("a"), f.now, &kept, NULL);
        if (st == ST_OK)
            token_store_keep_only(f.store, is_of_second, NULL);
    }
    assert_int_equal(st, ST_QUOTA);
    assert_int_equal(fixture_accept(&f, exi, NULL), ST_QUOTA);
    forget_changes(f.store); /* the disk has caught up */
    assert_int_equal(token_store_keep(f.store, token, SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_int_equal(fixture_accept(&f, exi, NULL), ST_OK);
    token_unref(token);
    token_unref(other);
    token_unref(exi);
    fixture_end(&f);
}

static void an_exi_token_needs_a_number(void **state UNUSED) /* AF-76 */
{
    struct fixture f = fixture_begin();
    struct token *token = fixture_token(&f, (struct wish){ .exi_s = 10, .sequence = UINT64_MAX });
    struct token bad = *token;

    for (unsigned i = 0; i < 2; i++) {
        bad.format = i == 0 ? TOKEN_JWT : TOKEN_CWT;
        bad.hash[0]++;
        bad.jti = i == 0 ? SPAN("?") : SPAN("short");
        assert_int_equal(fixture_accept(&f, &bad, "AF-76"), ST_BAD_TOKEN);
    }
    bad.format = TOKEN_JWT;
    bad.jti = SPAN("AQI");
    assert_int_equal(fixture_accept(&f, &bad, "AF-76"), ST_BAD_TOKEN);
    assert_int_equal(fixture_accept(&f, token, NULL), ST_OK); /* the last number there is */
    fixture_pass(&f, 11);
    assert_int_equal(fixture_accept(&f, token, "AF-75"), ST_TOKEN_EXPIRED);
    bad = *token;
    bad.hash[1]++;
    bad.exi_s = 0; /* its life would be over as it begins */
    bad.has_exp = true;
    bad.exp.s = f.now.wall.s - 1000;
    assert_int_equal(fixture_accept(&f, &bad, NULL), ST_TOKEN_EXPIRED);
    token_unref(token);
    fixture_end(&f);
}

static void names_under_which_numbers_are_counted_are_bounded(void **state UNUSED) /* AF-77 */
{
    struct fixture f = fixture_begin();
    struct token *token = fixture_token(&f, (struct wish){ .exi_s = 10, .sequence = 1 });
    struct token with = *token;
    enum status st = ST_OK;
    unsigned i;

    with.format = TOKEN_CWT;
    for (i = 0; st == ST_OK && i < 100000; i++) {
        struct buf jti;

        buf_init(&jti, 64);
        put_fmt(&jti, "server-%u", i);
        put_u64(&jti, 1);
        with.jti = buf_span(&jti);
        memcpy(with.hash, &i, sizeof i);
        st = fixture_accept(&f, &with, "AF-77");
        buf_done(&jti);
    }
    assert_int_equal(st, ST_QUOTA);
    assert_true(i > 1);
    token_unref(token);
    fixture_end(&f);
}

static void a_cnonce_is_asked_for_and_bounded(void **state UNUSED) /* AF-18 */
{
    struct fixture f = fixture_begin();
    struct token *token, with;
    uint8_t nonce[TOKEN_CNONCE_LEN];

    f.limits.need_cnonce = true;
    f.limits.max_nonces = 1;
    fixture_new_store(&f);
    token = fixture_token(&f, (struct wish){ 0 });
    with = *token;
    assert_int_equal(fixture_accept(&f, &with, "AF-18"), ST_BAD_TOKEN); /* none at all */
    with.cnonce = SPAN("short");
    assert_int_equal(fixture_accept(&f, &with, "AF-18"), ST_BAD_TOKEN);
    assert_int_equal(token_store_cnonce(f.store, f.now, nonce), ST_OK);
    with.cnonce = span_of(nonce, sizeof nonce);
    assert_int_equal(fixture_accept(&f, &with, NULL), ST_OK);
    assert_int_equal(token_store_cnonce(f.store, f.now, nonce), ST_OK);
    assert_int_equal(fixture_accept(&f, &with, "max_nonces"), ST_QUOTA);
    token_unref(token);
    fixture_end(&f);
}

static void a_token_without_end_has_none_here(void **state UNUSED) /* TK-52 */
{
    struct fixture f = fixture_begin();
    struct token *token = fixture_token(&f, (struct wish){ 0 });
    struct token with = *token;
    struct token_term term;

    with.has_exp = false;
    assert_int_equal(token_term_of(&with, f.now, &term, NULL), ST_OK);
    assert_true(term.until_s == TIME_NEVER && term.until_ms == TIME_NEVER);
    with.has_exp = true;
    with.exp.s = INT64_C(1) << 50; /* the calendar watches it */
    assert_int_equal(token_term_of(&with, f.now, &term, NULL), ST_OK);
    assert_true(term.until_s == with.exp.s && term.until_ms == TIME_NEVER);
    with.no_clock = true;
    assert_int_equal(token_term_of(&with, f.now, &term, NULL), ST_BAD_TOKEN);
    with.has_exp = with.has_exi = false;
    assert_int_equal(token_store_accept(f.store, &with, f.now, &term, NULL), ST_BAD_TOKEN); /* AF-75 */
    token_unref(token);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_store_says_it_did_it_did),
        cmocka_unit_test(a_store_is_made_or_not),
        cmocka_unit_test(what_was_written_down_is_read_back_or_the_start_fails),
        cmocka_unit_test(what_is_to_be_written_down_waits_for_memory),
        cmocka_unit_test(rows_that_cannot_be_read_are_dropped_and_those_of_others_stay),
        cmocka_unit_test(revocations_are_bounded_and_end_with_their_tokens),
        cmocka_unit_test(issuers_that_are_silent_are_suspended_one_by_one),
        cmocka_unit_test(the_cache_takes_what_fits_and_is_not_stale),
        cmocka_unit_test(a_kid_that_names_two_keys_names_none),
        cmocka_unit_test(who_has_not_proved_a_key_makes_room),
        cmocka_unit_test(while_the_disk_is_behind_nothing_new_is_promised),
        cmocka_unit_test(an_exi_token_needs_a_number),
        cmocka_unit_test(names_under_which_numbers_are_counted_are_bounded),
        cmocka_unit_test(a_cnonce_is_asked_for_and_bounded),
        cmocka_unit_test(a_token_without_end_has_none_here),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
