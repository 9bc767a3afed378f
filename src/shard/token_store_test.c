/* What the token store keeps, counts and forgets. */
#include "shard/fixture_test.h"
#include "token/token_record.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define NEVER INT64_MAX

/* ---- exi ---- */

static void an_exi_token_lives_from_its_first_receipt(void **state) /* AF-75 */
{
    struct fixture f = fixture_begin();
    struct token_term first, later;

    (void)state;
    for (int cwt = 0; cwt <= 1; cwt++) {
        struct token *token =
            fixture_token(&f, (struct wish){ .exi_s = 100, .sequence = 5 + (uint64_t)cwt, .cwt = cwt });

        assert_int_equal(token_store_accept(f.store, token, f.now, &first, NULL), ST_OK);
        assert_int_equal(first.until_s, f.now.wall.s + 100);
        assert_int_equal(first.until_ms, f.now.mono.ms + 100000);
        fixture_pass(&f, 60); /* another connection does not start it anew */
        assert_int_equal(token_store_accept(f.store, token, f.now, &later, NULL), ST_OK);
        assert_memory_equal(&first, &later, sizeof first);
        fixture_pass(&f, 39);
        assert_int_equal(fixture_accept(&f, token, NULL), ST_OK);
        fixture_pass(&f, 1);
        assert_int_equal(fixture_accept(&f, token, "AF-75"), ST_TOKEN_EXPIRED);
        assert_int_equal(fixture_accept(&f, token, "AF-77"),
                         ST_TOKEN_EXPIRED); /* and not a second time either */
        token_unref(token);
    }
    fixture_end(&f);
}

static void older_numbers_are_over_with_the_newest_that_is(void **state) /* AF-77, TK-64 */
{
    struct fixture f = fixture_begin();
    struct token *seen = fixture_token(&f, (struct wish){ .exi_s = 500, .sequence = 2 });
    struct token *short_one = fixture_token(&f, (struct wish){ .exi_s = 10, .sequence = 3 });
    struct token *never_seen = fixture_token(&f, (struct wish){ .exi_s = 500, .sequence = 1 });
    struct token *newer = fixture_token(&f, (struct wish){ .exi_s = 500, .sequence = 4 });
    struct token *other = fixture_token(&f, (struct wish){ .exi_s = 500, .sequence = 1, .issuer = 1 });

    (void)state;
    assert_int_equal(fixture_accept(&f, seen, NULL), ST_OK);
    assert_int_equal(fixture_accept(&f, short_one, NULL), ST_OK);
    fixture_pass(&f, 11);
    token_store_purge(f.store, f.now);
    assert_int_equal(fixture_accept(&f, short_one, "AF-77"), ST_TOKEN_EXPIRED);
    assert_int_equal(fixture_accept(&f, never_seen, "AF-77"), ST_TOKEN_EXPIRED);
    assert_int_equal(fixture_accept(&f, seen, NULL), ST_OK); /* it has begun its life */
    assert_int_equal(fixture_accept(&f, newer, NULL), ST_OK);
    assert_int_equal(fixture_accept(&f, other, NULL), ST_OK); /* another issuer counts for itself */
    token_unref(seen);
    token_unref(short_one);
    token_unref(never_seen);
    token_unref(newer);
    token_unref(other);
    fixture_end(&f);
}

static void exp_and_exi_together_end_with_the_earlier(void **state) /* AF-75 */
{
    struct fixture f = fixture_begin();
    struct token *token = fixture_token(&f, (struct wish){ .exi_s = 500, .life_s = 50, .sequence = 1 });
    struct token_term term;

    (void)state;
    assert_int_equal(token_store_accept(f.store, token, f.now, &term, NULL), ST_OK);
    assert_int_equal(term.until_s, f.now.wall.s + 50);
    token_unref(token);
    fixture_end(&f);
}

static void receipts_are_bounded(void **state) /* AF-75 */
{
    struct fixture f = fixture_begin();

    (void)state;
    f.limits.max_receipts = 3;
    fixture_new_store(&f);
    for (unsigned i = 1; i <= 5; i++) {
        struct token *token = fixture_token(&f, (struct wish){ .exi_s = 10, .sequence = i });

        if (i == 5)
            fixture_pass(&f, 11); /* those before make room */
        assert_int_equal(fixture_accept(&f, token, "token.max_receipts"), i == 4 ? ST_QUOTA : ST_OK);
        token_unref(token);
    }
    fixture_end(&f);
}

static void without_a_store_exi_is_refused(void **state) /* AF-75 */
{
    struct fixture f = fixture_begin();
    struct token *token = fixture_token(&f, (struct wish){ .exi_s = 10, .sequence = 1 });
    struct token_term term;
    struct why why;

    (void)state;
    assert_int_equal(token_term_of(token, f.now, &term, &why), ST_BAD_TOKEN);
    token_unref(token);
    fixture_end(&f);
}

/* ---- cnonce ---- */

static void a_cnonce_is_good_for_one_token_and_a_while(void **state) /* AF-15, AF-17, AF-18, TK-64 */
{
    struct fixture f = fixture_begin_with(true);
    uint8_t nonce[TOKEN_CNONCE_LEN], second[TOKEN_CNONCE_LEN], forged[TOKEN_CNONCE_LEN];
    struct token *mine, *again, *none, *bad, *stale;

    (void)state;
    assert_int_equal(token_store_cnonce(f.store, f.now, nonce), ST_OK);
    assert_int_equal(token_store_cnonce(f.store, f.now, second), ST_OK);
    assert_memory_not_equal(nonce, second, sizeof nonce);
    memcpy(forged, nonce, sizeof forged);
    forged[5] ^= 1;
    fixture_pass(&f, 100);
    mine = fixture_token(&f, (struct wish){ .cnonce = span_of(nonce, sizeof nonce), .life_s = 600 });
    again = fixture_token(&f, (struct wish){ .cnonce = span_of(nonce, sizeof nonce) });
    bad = fixture_token(&f, (struct wish){ .cnonce = span_of(forged, sizeof forged) });
    none = fixture_token(&f, (struct wish){ .cnonce = SPAN("some other server's nonce") });
    stale = fixture_token(&f, (struct wish){ .cnonce = span_of(second, sizeof second) });
    assert_int_equal(fixture_accept(&f, mine, NULL), ST_OK);
    assert_int_equal(fixture_accept(&f, again, "TK-64"), ST_BAD_TOKEN);
    assert_int_equal(fixture_accept(&f, bad, "AF-18"), ST_BAD_TOKEN);
    assert_int_equal(fixture_accept(&f, none, "AF-18"), ST_BAD_TOKEN);
    fixture_pass(&f, 21);
    assert_int_equal(fixture_accept(&f, stale, "AF-18"), ST_BAD_TOKEN);
    token_store_purge(f.store, f.now);
    assert_int_equal(fixture_accept(&f, mine, NULL), ST_OK); /* who was in time may come again */
    assert_int_equal(fixture_accept(&f, again, "TK-64"), ST_BAD_TOKEN);
    token_unref(mine);
    token_unref(again);
    token_unref(bad);
    token_unref(none);
    token_unref(stale);
    fixture_end(&f);
}

static void without_a_clock_life_is_a_length(void **state) /* AF-75 */
{
    struct fixture f = fixture_begin_with(true);
    uint8_t nonce[TOKEN_CNONCE_LEN];
    struct token_term term;
    struct token *token;

    (void)state;
    assert_int_equal(token_store_cnonce(f.store, f.now, nonce), ST_OK);
    token = fixture_token(
        &f, (struct wish){ .cnonce = span_of(nonce, sizeof nonce), .life_s = 60, .iat_back_s = 1000000 });
    assert_int_equal(token_store_accept(f.store, token, f.now, &term, NULL), ST_OK);
    assert_int_equal(term.until_s, NEVER);
    assert_int_equal(term.until_ms, f.now.mono.ms + 60000);
    f.now.wall.s += 1000000; /* what the calendar says means nothing */
    assert_int_equal(fixture_accept(&f, token, NULL), ST_OK);
    fixture_pass(&f, 60);
    token_store_purge(f.store, f.now);
    assert_int_not_equal(fixture_accept(&f, token, NULL),
                         ST_OK); /* over, and it does not begin again while its nonce is fresh */
    fixture_pass(&f, 1000);
    token_store_purge(f.store, f.now);
    assert_int_not_equal(fixture_accept(&f, token, NULL), ST_OK); /* nor when it no longer is */
    token_unref(token);
    fixture_end(&f);
}

static void nonces_cost_nothing_until_they_come_back(void **state) /* AF-15 */
{
    struct fixture f = fixture_begin_with(true);
    struct token_store_counts counts;
    uint8_t nonce[TOKEN_CNONCE_LEN];

    (void)state;
    for (int i = 0; i < 10000; i++)
        assert_int_equal(token_store_cnonce(f.store, f.now, nonce), ST_OK);
    token_store_count(f.store, &counts);
    assert_int_equal(counts.nonces, 0);
    fixture_end(&f);
}

/* ---- the cache ---- */

static void the_cache_gives_back_what_it_was_given_until_its_end(void **state) /* MT-73, MT-95 */
{
    struct fixture f = fixture_begin();
    struct token *token = fixture_token(&f, (struct wish){ .life_s = 100 }), *found;

    (void)state;
    assert_null(token_store_lookup(f.store, token->hash, f.now));
    token_store_remember(f.store, token, f.now);
    found = token_store_lookup(f.store, token->hash, f.now);
    assert_ptr_equal(found, token);
    token_unref(found);
    fixture_pass(&f, 101);
    assert_null(token_store_lookup(f.store, token->hash, f.now));
    token_unref(token);
    token = fixture_token(&f, (struct wish){ .life_s = 100 });
    token_store_remember(f.store, token, f.now);
    token_store_forget_all(f.store);
    assert_null(token_store_lookup(f.store, token->hash, f.now));
    token_unref(token);
    fixture_end(&f);
}

static void the_cache_drops_the_least_used(void **state) /* MT-73 */
{
    struct fixture f = fixture_begin();
    struct token *tokens[6];
    struct token_store_counts counts;

    (void)state;
    f.limits.max_cached = 5;
    fixture_new_store(&f);
    for (int i = 0; i < 6; i++) {
        tokens[i] = fixture_token(&f, (struct wish){ 0 });
        token_store_remember(f.store, tokens[i], f.now);
        if (i >= 1)
            token_unref(token_store_lookup(f.store, tokens[0]->hash, f.now));
    }
    token_unref(token_store_lookup(f.store, tokens[0]->hash, f.now));
    token_store_count(f.store, &counts);
    assert_int_equal(counts.cached, 5);
    for (int i = 0; i < 6; i++) {
        struct token *found = token_store_lookup(f.store, tokens[i]->hash, f.now);

        assert_int_equal(found != NULL, i != 1);
        token_unref(found);
        token_unref(tokens[i]);
    }
    fixture_end(&f);
}

static void a_revoked_token_is_gone_from_everywhere(void **state) /* AF-98 */
{
    struct fixture f = fixture_begin();
    struct token *token = fixture_token(&f, (struct wish){ 0 });
    struct token_kept kept;

    (void)state;
    token_store_remember(f.store, token, f.now);
    assert_int_equal(token_store_keep(f.store, token, SPAN("1.2.3.4:5"), f.now, &kept, NULL), ST_OK);
    assert_int_equal(token_store_revoke(f.store, token->hash, (struct wall_time){ .s = WALL + 700 }), ST_OK);
    assert_true(token_store_is_revoked(f.store, token->hash));
    assert_null(token_store_lookup(f.store, token->hash, f.now));
    assert_null(token_store_by_key(f.store, token->cnf_thumbprint, f.now));
    assert_int_equal(fixture_accept(&f, token, NULL), ST_BAD_TOKEN);
    fixture_pass(&f, 701);
    token_store_purge(f.store, f.now);
    assert_false(token_store_is_revoked(f.store, token->hash));
    token_unref(token);
    fixture_end(&f);
}

/* ---- kept tokens against a naive list ---- */

#define KEYS 6
struct naive {
    struct token *token; /* the one kept under this key */
};

/* Which of the two its issuer made, nobody here knows; it may list either. */
static void a_token_with_two_names_is_revoked_by_either(void **state) /* AF-98 */
{
    struct fixture f = fixture_begin();
    struct token *token = fixture_token(&f, (struct wish){ 0 }), *again = NULL;
    struct wall_time until = { .s = WALL + 700 };
    struct buf record;

    (void)state;
    token->has_twin = true;
    memset(token->twin, 0x55, sizeof token->twin);
    assert_int_equal(fixture_accept(&f, token, NULL), ST_OK);
    assert_int_equal(token_store_change(f.store, token->twin, until), ST_OK);
    assert_true(token_store_is_stale(f.store, token));
    assert_int_equal(fixture_accept(&f, token, "RFC 9770"), ST_BAD_TOKEN);
    assert_int_equal(token_store_revoke(f.store, token->twin, until), ST_OK);
    assert_int_equal(fixture_accept(&f, token, "AF-98"), ST_BAD_TOKEN);

    buf_init(&record, TOKEN_RECORD_MAX);
    assert_int_equal(token_record_write(token, &record), ST_OK);
    assert_int_equal(token_record_read(buf_span(&record), &again, NULL), ST_OK);
    assert_true(again->has_twin);
    assert_memory_equal(again->twin, token->twin, TOKEN_HASH_LEN);
    buf_wipe(&record);
    token_unref(again);
    token_unref(token);
    fixture_end(&f);
}

static void one_token_per_key_whatever_comes(void **state) /* MT-33, TK-66, AF-62 */
{
    struct fixture f = fixture_begin();
    struct key *keys[KEYS];
    struct naive naive[KEYS] = { { NULL } };
    unsigned seed = 7;

    (void)state;
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(key_generate(KEY_ED25519, &keys[i]), ST_OK);
    for (int step = 0; step < 2000; step++) {
        unsigned k, issuer;
        struct token *token, *found;
        struct token_kept out;
        bool taken;

        seed = seed * 1103515245 + 12345;
        k = (seed >> 16) % KEYS;
        issuer = (seed >> 20) % 2;
        if ((seed >> 24) % 8 == 0)
            fixture_pass(&f, 40);
        for (int i = 0; i < KEYS; i++)
            if (naive[i].token != NULL && f.now.wall.s >= naive[i].token->exp.s) {
                token_unref(naive[i].token);
                naive[i].token = NULL;
            }
        token = fixture_token(&f, (struct wish){ .key = keys[k], .issuer = issuer, .life_s = 50 + step % 100 });
        taken = naive[k].token == NULL || span_eq(naive[k].token->iss, token->iss);
        assert_int_equal(token_store_keep(f.store, token, SPAN("[2001:db8:1:2::7]:99"), f.now, &out, NULL),
                         taken ? ST_OK : ST_BAD_TOKEN);
        if (taken) {
            assert_int_equal(out.replaced, naive[k].token != NULL);
            token_unref(naive[k].token);
            naive[k].token = token_ref(token);
        }
        token_unref(token);
        for (int i = 0; i < KEYS; i++) {
            uint8_t thumbprint[JWK_THUMBPRINT_LEN];

            assert_int_equal(jwk_thumbprint(keys[i], thumbprint), ST_OK);
            found = token_store_by_key(f.store, thumbprint, f.now);
            assert_ptr_equal(found, naive[i].token);
            token_unref(found);
        }
    }
    for (int i = 0; i < KEYS; i++) {
        token_unref(naive[i].token);
        key_unref(keys[i]);
    }
    fixture_end(&f);
}

static void an_unused_token_goes_after_a_while_and_a_used_one_stays(void **state) /* MT-40 */
{
    struct fixture f = fixture_begin();
    struct token *used = fixture_token(&f, (struct wish){ .life_s = 1000 }),
                 *unused = fixture_token(&f, (struct wish){ .life_s = 1000 });
    struct token_kept kept;
    struct token *found;

    (void)state;
    f.limits.unused_s = 100;
    fixture_new_store(&f);
    assert_int_equal(token_store_keep(f.store, used, SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_int_equal(token_store_keep(f.store, unused, SPAN("a"), f.now, &kept, NULL), ST_OK);
    fixture_pass(&f, 99);
    token_store_used(f.store, used, f.now);
    fixture_pass(&f, 2);
    assert_null(token_store_by_key(f.store, unused->cnf_thumbprint, f.now));
    found = token_store_by_key(f.store, used->cnf_thumbprint, f.now);
    assert_non_null(found);
    token_unref(found);
    token_unref(used);
    token_unref(unused);
    fixture_end(&f);
}

static void a_network_of_ipv6_is_one_source(void **state) /* MT-40, AF-65 */
{
    struct fixture f = fixture_begin();
    struct token_kept kept;

    (void)state;
    f.limits.kept_per_source = 2;
    fixture_new_store(&f);
    for (int i = 0; i < 4; i++) {
        static const char *const peers[] = { "[2001:db8:1:2::1]:1", "[2001:db8:1:2:3:4:5:6]:2",
                                             "[2001:db8:1:2::3]:3", "[2001:db8:1:3::3]:3" };
        struct token *token = fixture_token(&f, (struct wish){ 0 });

        assert_int_equal(token_store_keep(f.store, token, span_of_str(peers[i]), f.now, &kept, NULL),
                         i == 2 ? ST_QUOTA : ST_OK);
        token_unref(token);
    }
    fixture_end(&f);
}

/* ---- threads ---- */

struct worker {
    struct fixture *f;
    struct token **tokens;
};

static void *work(void *arg)
{
    struct worker *w = arg;

    for (int round = 0; round < 300; round++)
        for (int i = 0; i < 8; i++) {
            struct token_kept kept;
            struct token_term term;
            enum status st = token_store_keep(w->f->store, w->tokens[i], SPAN("a"), w->f->now, &kept, NULL);

            ASSERT(st == ST_OK);
            token_store_remember(w->f->store, w->tokens[i], w->f->now);
            token_unref(token_store_lookup(w->f->store, w->tokens[i]->hash, w->f->now));
            token_unref(token_store_by_key(w->f->store, w->tokens[i]->cnf_thumbprint, w->f->now));
            st = token_store_accept(w->f->store, w->tokens[i], w->f->now, &term, NULL);
            ASSERT(st == ST_OK);
            if (round % 50 == 0)
                token_store_purge(w->f->store, w->f->now);
        }
    return NULL;
}

static void several_threads_share_it(void **state)
{
    struct fixture f = fixture_begin();
    struct token *tokens[8];
    struct worker w = { &f, tokens };
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 8; i++)
        tokens[i] = fixture_token(&f, (struct wish){ 0 });
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &w), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 8; i++)
        token_unref(tokens[i]);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exi_token_lives_from_its_first_receipt),
        cmocka_unit_test(older_numbers_are_over_with_the_newest_that_is),
        cmocka_unit_test(exp_and_exi_together_end_with_the_earlier),
        cmocka_unit_test(receipts_are_bounded),
        cmocka_unit_test(without_a_store_exi_is_refused),
        cmocka_unit_test(a_cnonce_is_good_for_one_token_and_a_while),
        cmocka_unit_test(without_a_clock_life_is_a_length),
        cmocka_unit_test(nonces_cost_nothing_until_they_come_back),
        cmocka_unit_test(the_cache_gives_back_what_it_was_given_until_its_end),
        cmocka_unit_test(the_cache_drops_the_least_used),
        cmocka_unit_test(a_revoked_token_is_gone_from_everywhere),
        cmocka_unit_test(a_token_with_two_names_is_revoked_by_either),
        cmocka_unit_test(one_token_per_key_whatever_comes),
        cmocka_unit_test(an_unused_token_goes_after_a_while_and_a_used_one_stays),
        cmocka_unit_test(a_network_of_ipv6_is_one_source),
        cmocka_unit_test(several_threads_share_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
