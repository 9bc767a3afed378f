/* What the token store keeps, counts and forgets, and that its journal brings back what was answered. */
#include "broker/token_store.h"

#include "broker/token_journal.h"
#include "codec/base64.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "jose/jwks.h"
#include "store/sql.h"
#include "token/claims.h"
#include "token/token_record.h"
#include "token/verifier.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define ISS   "https://as.example"
#define ISS2  "https://second.example"
#define WALL  1800000000
#define NEVER INT64_MAX

struct fixture {
    struct key *as[2];
    struct key *shared;
    struct verifier *verifier;
    struct token_store_limits limits;
    struct token_store *store;
    struct now now;
};

static struct jwks *keys_of(struct key *key, const char *kid)
{
    struct jwk jwk = { .kid = span_of_str(kid), .ops = UINT32_MAX };
    struct jwks *jwks = NULL;

    assert_int_equal(key_public(key, &jwk.key), ST_OK);
    assert_int_equal(jwks_make(&jwk, 1, &jwks), ST_OK);
    key_unref(jwk.key);
    return jwks;
}

static void make_store(struct fixture *f)
{
    uint8_t secret[TOKEN_STORE_SECRET_LEN];

    assert_int_equal(random_bytes(secret, sizeof secret), ST_OK);
    token_store_free(f->store);
    f->store = NULL;
    assert_int_equal(token_store_new(&f->limits, secret, &f->store), ST_OK);
}

static struct fixture begin_with(bool no_clock)
{
    struct fixture f = { .now = { { 1000000 }, { .s = WALL } } };
    uint8_t secret[32] = { 7 };
    struct span audience = SPAN("broker");

    assert_int_equal(key_generate(KEY_ED25519, &f.as[0]), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &f.as[1]), ST_OK);
    assert_int_equal(key_new_secret(span_of(secret, 32), &f.shared, NULL), ST_OK);
    {
        struct verifier_issuer issuers[] = { { .iss = SPAN(ISS), .jwks = keys_of(f.as[0], "1") },
                                             { .iss = SPAN(ISS2), .jwks = keys_of(f.as[1], "2") } };
        struct verifier_shared_key shared = { .iss = SPAN(ISS), .kid = SPAN("rs"), .key = f.shared };
        struct verifier_config config = { .issuers = issuers,
                                          .n_issuers = 2,
                                          .audiences = &audience,
                                          .n_audiences = 1,
                                          .shared_keys = &shared,
                                          .n_shared_keys = 1,
                                          .no_clock = no_clock,
                                          .require_cnonce = no_clock };

        assert_int_equal(verifier_new(&config, &f.verifier, NULL), ST_OK);
        jwks_unref(issuers[0].jwks);
        jwks_unref(issuers[1].jwks);
    }
    token_store_limits_init(&f.limits);
    f.limits.need_cnonce = no_clock;
    make_store(&f);
    return f;
}

static struct fixture begin(void)
{
    return begin_with(false);
}

static void end(struct fixture *f)
{
    token_store_free(f->store);
    verifier_unref(f->verifier);
    key_unref(f->as[0]);
    key_unref(f->as[1]);
    key_unref(f->shared);
}

struct wish {
    const struct key *key; /* NULL: a new one */
    const char *kid;
    int64_t life_s, exi_s;
    uint64_t sequence;
    unsigned issuer;
    struct span cnonce;
    bool secret;
    bool cwt;
    int64_t iat_back_s; /* iat so far in the past */
    const char *scope;
};

static struct token *make(struct fixture *f, struct wish wish)
{
    struct token_claims claims = { .iss = wish.issuer == 0 ? SPAN(ISS) : SPAN(ISS2),
                                   .sub = SPAN("device"),
                                   .aud = SPAN("broker"),
                                   .cnf = wish.key,
                                   .cnf_kid = span_of_str(wish.kid),
                                   .cnonce = wish.cnonce,
                                   .has_exp = wish.exi_s == 0 || wish.life_s != 0,
                                   .exp.s =
                                       f->now.wall.s + (wish.life_s == 0 ? 600 : wish.life_s) - wish.iat_back_s,
                                   .has_iat = true,
                                   .iat.s = f->now.wall.s - wish.iat_back_s,
                                   .has_exi = wish.exi_s != 0,
                                   .exi_s = wish.exi_s };
    CLEANUP(key_unrefp)
    struct key *own = NULL;
    CLEANUP(buf_done)
    struct buf jti;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    struct token *token = NULL;
    struct why why = { 0 };

    buf_init(&jti, 256);
    buf_init(&text, 65535);
    if (wish.key == NULL)
        assert_int_equal(key_generate(wish.secret ? KEY_SECRET : KEY_ED25519, &own), ST_OK);
    if (wish.key == NULL)
        claims.cnf = own;
    assert_int_equal(
        scope_from_text(span_of_str(wish.scope != NULL ? wish.scope : "[[\"a\",[\"pub\"]]]"), &scope, NULL),
        ST_OK);
    claims.scope = scope;
    if (wish.exi_s != 0 && wish.cwt) {
        put_str(&jti, "broker");
        put_u64(&jti, wish.sequence);
    } else if (wish.exi_s != 0) {
        assert_int_equal(token_exi_jti_write(SPAN("broker"), wish.sequence, &jti), ST_OK);
    }
    claims.jti = buf_span(&jti);
    if (key_kind(claims.cnf) == KEY_SECRET)
        assert_int_equal(token_issue_jwe(&claims, NULL, SPAN_NONE, f->shared, SPAN("rs"), &text, NULL), ST_OK);
    else if (wish.cwt)
        assert_int_equal(token_issue_cwt_sign1(&claims, f->as[wish.issuer],
                                               wish.issuer == 0 ? SPAN("1") : SPAN("2"), &text, NULL),
                         ST_OK);
    else
        assert_int_equal(
            token_issue_jws(&claims, f->as[wish.issuer], wish.issuer == 0 ? SPAN("1") : SPAN("2"), &text, NULL),
            ST_OK);
    if (token_verify(buf_span(&text), f->verifier, f->now.wall, &token, &why) != ST_OK)
        fail_msg("%s: %s", why.clause, why.text);
    return token;
}

static void pass(struct fixture *f, int64_t s)
{
    f->now.mono.ms += s * 1000;
    f->now.wall.s += s;
}

static enum status accept(struct fixture *f, const struct token *token, const char *clause)
{
    struct token_term term;
    struct why why = { 0 };
    enum status st = token_store_accept(f->store, token, f->now, &term, &why);

    if (st != ST_OK && clause != NULL)
        assert_string_equal(why.clause, clause);
    return st;
}

/* ---- exi ---- */

static void an_exi_token_lives_from_its_first_receipt(void **state) /* AF-75 */
{
    struct fixture f = begin();
    struct token_term first, later;

    (void)state;
    for (int cwt = 0; cwt <= 1; cwt++) {
        struct token *token =
            make(&f, (struct wish){ .exi_s = 100, .sequence = 5 + (uint64_t)cwt, .cwt = cwt });

        assert_int_equal(token_store_accept(f.store, token, f.now, &first, NULL), ST_OK);
        assert_int_equal(first.until_s, f.now.wall.s + 100);
        assert_int_equal(first.until_ms, f.now.mono.ms + 100000);
        pass(&f, 60); /* another connection does not start it anew */
        assert_int_equal(token_store_accept(f.store, token, f.now, &later, NULL), ST_OK);
        assert_memory_equal(&first, &later, sizeof first);
        pass(&f, 39);
        assert_int_equal(accept(&f, token, NULL), ST_OK);
        pass(&f, 1);
        assert_int_equal(accept(&f, token, "AF-75"), ST_TOKEN_EXPIRED);
        assert_int_equal(accept(&f, token, "AF-77"), ST_TOKEN_EXPIRED); /* and not a second time either */
        token_unref(token);
    }
    end(&f);
}

static void older_numbers_are_over_with_the_newest_that_is(void **state) /* AF-77, TK-64 */
{
    struct fixture f = begin();
    struct token *seen = make(&f, (struct wish){ .exi_s = 500, .sequence = 2 });
    struct token *short_one = make(&f, (struct wish){ .exi_s = 10, .sequence = 3 });
    struct token *never_seen = make(&f, (struct wish){ .exi_s = 500, .sequence = 1 });
    struct token *newer = make(&f, (struct wish){ .exi_s = 500, .sequence = 4 });
    struct token *other = make(&f, (struct wish){ .exi_s = 500, .sequence = 1, .issuer = 1 });

    (void)state;
    assert_int_equal(accept(&f, seen, NULL), ST_OK);
    assert_int_equal(accept(&f, short_one, NULL), ST_OK);
    pass(&f, 11);
    token_store_purge(f.store, f.now);
    assert_int_equal(accept(&f, short_one, "AF-77"), ST_TOKEN_EXPIRED);
    assert_int_equal(accept(&f, never_seen, "AF-77"), ST_TOKEN_EXPIRED);
    assert_int_equal(accept(&f, seen, NULL), ST_OK); /* it has begun its life */
    assert_int_equal(accept(&f, newer, NULL), ST_OK);
    assert_int_equal(accept(&f, other, NULL), ST_OK); /* another issuer counts for itself */
    token_unref(seen);
    token_unref(short_one);
    token_unref(never_seen);
    token_unref(newer);
    token_unref(other);
    end(&f);
}

static void exp_and_exi_together_end_with_the_earlier(void **state) /* AF-75 */
{
    struct fixture f = begin();
    struct token *token = make(&f, (struct wish){ .exi_s = 500, .life_s = 50, .sequence = 1 });
    struct token_term term;

    (void)state;
    assert_int_equal(token_store_accept(f.store, token, f.now, &term, NULL), ST_OK);
    assert_int_equal(term.until_s, f.now.wall.s + 50);
    token_unref(token);
    end(&f);
}

static void receipts_are_bounded(void **state) /* AF-75 */
{
    struct fixture f = begin();

    (void)state;
    f.limits.max_receipts = 3;
    make_store(&f);
    for (unsigned i = 1; i <= 5; i++) {
        struct token *token = make(&f, (struct wish){ .exi_s = 10, .sequence = i });

        if (i == 5)
            pass(&f, 11); /* those before make room */
        assert_int_equal(accept(&f, token, "max_receipts"), i == 4 ? ST_QUOTA : ST_OK);
        token_unref(token);
    }
    end(&f);
}

static void without_a_store_exi_is_refused(void **state) /* AF-75 */
{
    struct fixture f = begin();
    struct token *token = make(&f, (struct wish){ .exi_s = 10, .sequence = 1 });
    struct token_term term;
    struct why why;

    (void)state;
    assert_int_equal(token_term_of(token, f.now, &term, &why), ST_BAD_TOKEN);
    token_unref(token);
    end(&f);
}

/* ---- cnonce ---- */

static void a_cnonce_is_good_for_one_token_and_a_while(void **state) /* AF-15, AF-17, AF-18, TK-64 */
{
    struct fixture f = begin_with(true);
    uint8_t nonce[TOKEN_CNONCE_LEN], second[TOKEN_CNONCE_LEN], forged[TOKEN_CNONCE_LEN];
    struct token *mine, *again, *none, *bad, *stale;

    (void)state;
    assert_int_equal(token_store_cnonce(f.store, f.now, nonce), ST_OK);
    assert_int_equal(token_store_cnonce(f.store, f.now, second), ST_OK);
    assert_memory_not_equal(nonce, second, sizeof nonce);
    memcpy(forged, nonce, sizeof forged);
    forged[5] ^= 1;
    pass(&f, 100);
    mine = make(&f, (struct wish){ .cnonce = span_of(nonce, sizeof nonce), .life_s = 600 });
    again = make(&f, (struct wish){ .cnonce = span_of(nonce, sizeof nonce) });
    bad = make(&f, (struct wish){ .cnonce = span_of(forged, sizeof forged) });
    none = make(&f, (struct wish){ .cnonce = SPAN("some other server's nonce") });
    stale = make(&f, (struct wish){ .cnonce = span_of(second, sizeof second) });
    assert_int_equal(accept(&f, mine, NULL), ST_OK);
    assert_int_equal(accept(&f, again, "TK-64"), ST_BAD_TOKEN);
    assert_int_equal(accept(&f, bad, "AF-18"), ST_BAD_TOKEN);
    assert_int_equal(accept(&f, none, "AF-18"), ST_BAD_TOKEN);
    pass(&f, 21);
    assert_int_equal(accept(&f, stale, "AF-18"), ST_BAD_TOKEN);
    token_store_purge(f.store, f.now);
    assert_int_equal(accept(&f, mine, NULL), ST_OK); /* who was in time may come again */
    assert_int_equal(accept(&f, again, "TK-64"), ST_BAD_TOKEN);
    token_unref(mine);
    token_unref(again);
    token_unref(bad);
    token_unref(none);
    token_unref(stale);
    end(&f);
}

static void without_a_clock_life_is_a_length(void **state) /* AF-75 */
{
    struct fixture f = begin_with(true);
    uint8_t nonce[TOKEN_CNONCE_LEN];
    struct token_term term;
    struct token *token;

    (void)state;
    assert_int_equal(token_store_cnonce(f.store, f.now, nonce), ST_OK);
    token =
        make(&f, (struct wish){ .cnonce = span_of(nonce, sizeof nonce), .life_s = 60, .iat_back_s = 1000000 });
    assert_int_equal(token_store_accept(f.store, token, f.now, &term, NULL), ST_OK);
    assert_int_equal(term.until_s, NEVER);
    assert_int_equal(term.until_ms, f.now.mono.ms + 60000);
    f.now.wall.s += 1000000; /* what the calendar says means nothing */
    assert_int_equal(accept(&f, token, NULL), ST_OK);
    pass(&f, 60);
    token_store_purge(f.store, f.now);
    assert_int_not_equal(accept(&f, token, NULL),
                         ST_OK); /* over, and it does not begin again while its nonce is fresh */
    pass(&f, 1000);
    token_store_purge(f.store, f.now);
    assert_int_not_equal(accept(&f, token, NULL), ST_OK); /* nor when it no longer is */
    token_unref(token);
    end(&f);
}

static void nonces_cost_nothing_until_they_come_back(void **state) /* AF-15 */
{
    struct fixture f = begin_with(true);
    struct token_store_counts counts;
    uint8_t nonce[TOKEN_CNONCE_LEN];

    (void)state;
    for (int i = 0; i < 10000; i++)
        assert_int_equal(token_store_cnonce(f.store, f.now, nonce), ST_OK);
    token_store_count(f.store, &counts);
    assert_int_equal(counts.nonces, 0);
    end(&f);
}

/* ---- the cache ---- */

static void the_cache_gives_back_what_it_was_given_until_its_end(void **state) /* MT-73, MT-95 */
{
    struct fixture f = begin();
    struct token *token = make(&f, (struct wish){ .life_s = 100 }), *found;

    (void)state;
    assert_null(token_store_lookup(f.store, token->hash, f.now));
    token_store_remember(f.store, token, f.now);
    found = token_store_lookup(f.store, token->hash, f.now);
    assert_ptr_equal(found, token);
    token_unref(found);
    pass(&f, 101);
    assert_null(token_store_lookup(f.store, token->hash, f.now));
    token_unref(token);
    token = make(&f, (struct wish){ .life_s = 100 });
    token_store_remember(f.store, token, f.now);
    token_store_forget_all(f.store);
    assert_null(token_store_lookup(f.store, token->hash, f.now));
    token_unref(token);
    end(&f);
}

static void the_cache_drops_the_least_used(void **state) /* MT-73 */
{
    struct fixture f = begin();
    struct token *tokens[6];
    struct token_store_counts counts;

    (void)state;
    f.limits.max_cached = 5;
    make_store(&f);
    for (int i = 0; i < 6; i++) {
        tokens[i] = make(&f, (struct wish){ 0 });
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
    end(&f);
}

static void a_revoked_token_is_gone_from_everywhere(void **state) /* AF-98 */
{
    struct fixture f = begin();
    struct token *token = make(&f, (struct wish){ 0 });
    struct token_kept kept;

    (void)state;
    token_store_remember(f.store, token, f.now);
    assert_int_equal(token_store_keep(f.store, token, SPAN("1.2.3.4:5"), f.now, &kept, NULL), ST_OK);
    assert_int_equal(token_store_revoke(f.store, token->hash, (struct wall_time){ .s = WALL + 700 }), ST_OK);
    assert_true(token_store_is_revoked(f.store, token->hash));
    assert_null(token_store_lookup(f.store, token->hash, f.now));
    assert_null(token_store_by_key(f.store, token->cnf_thumbprint, f.now));
    assert_int_equal(accept(&f, token, NULL), ST_BAD_TOKEN);
    pass(&f, 701);
    token_store_purge(f.store, f.now);
    assert_false(token_store_is_revoked(f.store, token->hash));
    token_unref(token);
    end(&f);
}

/* ---- kept tokens against a naive list ---- */

#define KEYS 6
struct naive {
    struct token *token; /* the one kept under this key */
};

/* Which of the two its issuer made, nobody here knows; it may list either. */
static void a_token_with_two_names_is_revoked_by_either(void **state) /* AF-98 */
{
    struct fixture f = begin();
    struct token *token = make(&f, (struct wish){ 0 }), *again = NULL;
    struct wall_time until = { .s = WALL + 700 };
    struct buf record;

    (void)state;
    token->has_twin = true;
    memset(token->twin, 0x55, sizeof token->twin);
    assert_int_equal(token_store_revoke(f.store, token->twin, until), ST_OK);
    assert_int_equal(accept(&f, token, "AF-98"), ST_BAD_TOKEN);
    token_store_unrevoke(f.store, token->twin);
    assert_int_equal(accept(&f, token, NULL), ST_OK);
    assert_int_equal(token_store_change(f.store, token->twin, until), ST_OK);
    assert_true(token_store_is_stale(f.store, token));
    assert_int_equal(accept(&f, token, "RFC 9770"), ST_BAD_TOKEN);

    buf_init(&record, TOKEN_RECORD_MAX);
    assert_int_equal(token_record_write(token, &record), ST_OK);
    assert_int_equal(token_record_read(buf_span(&record), &again, NULL), ST_OK);
    assert_true(again->has_twin);
    assert_memory_equal(again->twin, token->twin, TOKEN_HASH_LEN);
    buf_wipe(&record);
    token_unref(again);
    token_unref(token);
    end(&f);
}

static void one_token_per_key_whatever_comes(void **state) /* MT-33, TK-66, AF-62 */
{
    struct fixture f = begin();
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
            pass(&f, 40);
        for (int i = 0; i < KEYS; i++)
            if (naive[i].token != NULL && f.now.wall.s >= naive[i].token->exp.s) {
                token_unref(naive[i].token);
                naive[i].token = NULL;
            }
        token = make(&f, (struct wish){ .key = keys[k], .issuer = issuer, .life_s = 50 + step % 100 });
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
    end(&f);
}

static void an_unused_token_goes_after_a_while_and_a_used_one_stays(void **state) /* MT-40 */
{
    struct fixture f = begin();
    struct token *used = make(&f, (struct wish){ .life_s = 1000 }),
                 *unused = make(&f, (struct wish){ .life_s = 1000 });
    struct token_kept kept;
    struct token *found;

    (void)state;
    f.limits.unused_s = 100;
    make_store(&f);
    assert_int_equal(token_store_keep(f.store, used, SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_int_equal(token_store_keep(f.store, unused, SPAN("a"), f.now, &kept, NULL), ST_OK);
    pass(&f, 99);
    token_store_used(f.store, used, f.now);
    pass(&f, 2);
    assert_null(token_store_by_key(f.store, unused->cnf_thumbprint, f.now));
    found = token_store_by_key(f.store, used->cnf_thumbprint, f.now);
    assert_non_null(found);
    token_unref(found);
    token_unref(used);
    token_unref(unused);
    end(&f);
}

static void a_network_of_ipv6_is_one_source(void **state) /* MT-40, AF-65 */
{
    struct fixture f = begin();
    struct token_kept kept;

    (void)state;
    f.limits.kept_per_source = 2;
    make_store(&f);
    for (int i = 0; i < 4; i++) {
        static const char *const peers[] = { "[2001:db8:1:2::1]:1", "[2001:db8:1:2:3:4:5:6]:2",
                                             "[2001:db8:1:2::3]:3", "[2001:db8:1:3::3]:3" };
        struct token *token = make(&f, (struct wish){ 0 });

        assert_int_equal(token_store_keep(f.store, token, span_of_str(peers[i]), f.now, &kept, NULL),
                         i == 2 ? ST_QUOTA : ST_OK);
        token_unref(token);
    }
    end(&f);
}

/* ---- the journal ---- */

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
    struct fixture f = begin();
    char folder[] = "/tmp/token-journal-XXXXXX";
    struct token_journal *journal;
    struct token *known = make(&f, (struct wish){ .kid = "k-1", .secret = true, .life_s = 5000 });
    struct token *gone = make(&f, (struct wish){ .life_s = 100 });
    struct token *exi = make(&f, (struct wish){ .exi_s = 1000, .sequence = 7 });
    struct token *ended = make(&f, (struct wish){ .exi_s = 10, .sequence = 5 });
    struct token *early = make(&f, (struct wish){ .exi_s = 1000, .sequence = 4 });
    struct token *revoked = make(&f, (struct wish){ .life_s = 3000 }), *found;
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
    assert_int_equal(accept(&f, ended, NULL), ST_OK);
    assert_int_equal(token_store_revoke(f.store, revoked->hash, (struct wall_time){ .s = WALL + 3000 }), ST_OK);
    assert_int_equal(token_journal_write(journal, NULL), ST_OK);
    assert_true(token_store_is_committed(f.store, kept.change));

    /* As after kill -9: nobody says goodbye to the file. */
    first = TAKE(f.store);
    make_store(&f);
    pass(&f, 200);
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
        assert_int_equal(accept(&f, ended, NULL), ST_TOKEN_EXPIRED);
        assert_int_equal(accept(&f, early, "AF-77"), ST_TOKEN_EXPIRED);
        assert_int_equal(accept(&f, revoked, NULL), ST_BAD_TOKEN);
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
    end(&f);
}

static void a_damaged_file_is_set_aside(void **state)
{
    struct fixture f = begin();
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
    end(&f);
}

/* A folder in its place stands for all that hinders us, and is no fault of the file: a disk that is full, another process
 * at work on it. What was revoked must not be forgotten for that. */
static void a_file_that_cannot_be_opened_now_is_left_alone(void **state)
{
    struct fixture f = begin();
    char folder[] = "/tmp/token-journal-XXXXXX", path[128];
    struct token_journal *journal = NULL;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/tokens.db", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(token_journal_new(folder, f.store, wake, NULL, f.now, &journal, NULL), ST_IO);
    assert_int_equal(rmdir(path), 0);
    remove_folder(folder);
    end(&f);
}

/* MT-40: what waits for the disk is bounded, too; and all of it is there when the disk is. */
static void a_disk_that_fails_is_waited_for_without_end_but_not_without_bounds(void **state)
{
    enum { WAITING = 65536 }; /* what the store lets wait */
    struct fixture f = begin();
    char folder[] = "/tmp/token-journal-XXXXXX", path[128];
    struct token_journal *journal;
    struct token *token = make(&f, (struct wish){ .life_s = 3000 });
    struct token_kept kept;
    struct sql *sql = NULL;

    (void)state;
    assert_non_null(mkdtemp(folder));
    journal = open_journal(&f, folder);
    (void)snprintf(path, sizeof path, "%s/tokens.db", folder);
    assert_int_equal(sql_open(path, 0, &sql, NULL), ST_OK);
    assert_int_equal(sql_run(sql, "ALTER TABLE token_state RENAME TO away", NULL, NULL), ST_OK);
    for (uint32_t i = 0; i < WAITING + 5000; i++) {
        uint8_t hash[TOKEN_HASH_LEN] = { (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 1 };

        assert_int_equal(token_store_revoke(f.store, hash, (struct wall_time){ .s = WALL + 3000 }), ST_OK);
        if (i % 30000 == 0)
            assert_int_equal(token_journal_write(journal, NULL), ST_IO);
    }
    assert_int_equal(token_store_keep(f.store, token, SPAN("a"), f.now, &kept, NULL), ST_QUOTA);
    assert_int_equal(sql_run(sql, "ALTER TABLE away RENAME TO token_state", NULL, NULL), ST_OK);
    assert_int_equal(token_journal_write(journal, NULL), ST_OK);
    assert_int_equal(token_store_keep(f.store, token, SPAN("a"), f.now, &kept, NULL), ST_OK);
    assert_false(token_store_is_committed(f.store, kept.change));
    assert_int_equal(token_journal_write(journal, NULL), ST_OK);
    assert_true(token_store_is_committed(f.store, kept.change));
    sql_close(sql);
    token_journal_free(journal);
    token_unref(token);
    remove_folder(folder);
    end(&f);
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
    struct fixture f = begin();
    struct token *tokens[8];
    struct worker w = { &f, tokens };
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 8; i++)
        tokens[i] = make(&f, (struct wish){ 0 });
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &w), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 8; i++)
        token_unref(tokens[i]);
    end(&f);
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
        cmocka_unit_test(what_was_written_down_is_there_after_a_restart),
        cmocka_unit_test(a_damaged_file_is_set_aside),
        cmocka_unit_test(a_file_that_cannot_be_opened_now_is_left_alone),
        cmocka_unit_test(a_disk_that_fails_is_waited_for_without_end_but_not_without_bounds),
        cmocka_unit_test(several_threads_share_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
