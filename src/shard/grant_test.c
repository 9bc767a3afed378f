/* Grants: whose they are, and when they end; what they answer when they have ended; the same while memory is short. */
#include "record/record.h"
#include "shard/authz.h"
#include "shard/message.h"
#include "support/failing_memory.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define ABSENT ((struct span){ 0 })

static const struct now then = { { 50000 }, { .s = 1000 } };

static struct now later(int64_t wall_s, int64_t mono_s)
{
    return (struct now){ { then.mono.ms + mono_s * 1000 }, { .s = then.wall.s + wall_s } };
}

/* ---- owners ---- */

static bool same_owner(struct token a, struct token b)
{
    struct grant ga = { .token = &a }, gb = { .token = &b };
    bool same = grant_same_owner(&ga, &gb);

    assert_int_equal(same, grant_same_owner(&gb, &ga));
    return same;
}

static void the_owner_is_the_subject_else_the_client_else_the_key(void **state UNUSED) /* MT-60 */
{
    struct token bare = { .iss = SPAN("as"), .sub = ABSENT, .client_id = ABSENT, .cnf_thumbprint = { 1 } };
    struct token other_key = bare, sub = bare, sub2 = bare, client = bare, client2 = bare, other_iss = bare;
    struct grant without = { 0 }, with = { .token = &bare };

    other_key.cnf_thumbprint[0] = 2;
    sub.sub = SPAN("s");
    sub2.sub = SPAN("t");
    client.client_id = SPAN("c");
    client2.client_id = SPAN("d");
    other_iss.iss = SPAN("another");
    assert_true(same_owner(bare, bare));
    assert_false(same_owner(bare, other_key));
    assert_false(same_owner(bare, other_iss)); /* two issuers may name two parties alike */
    assert_true(same_owner(sub, sub));
    assert_false(same_owner(sub, sub2));
    assert_false(same_owner(sub, bare)); /* one that says who it is, and one that does not */
    assert_true(same_owner(client, client));
    assert_false(same_owner(client, client2));
    assert_false(same_owner(client, bare));
    assert_false(same_owner(sub, client));
    other_key.sub = sub.sub;
    assert_true(same_owner(sub, other_key)); /* of the same party, with another key */
    assert_true(grant_same_owner(&without, &without));
    assert_false(grant_same_owner(&without, &with));
    assert_false(grant_same_owner(&with, &without));
}

static void the_log_names_the_subject_else_the_client(void **state UNUSED)
{
    struct token token = { .sub = SPAN("s"), .client_id = SPAN("c") };
    struct grant with = { .token = &token }, without = { 0 };

    assert_true(span_eq_str(grant_subject(&with), "s"));
    token.sub = ABSENT;
    assert_true(span_eq_str(grant_subject(&with), "c"));
    assert_int_equal(grant_subject(&without).len, 0);
}

static void a_tag_is_never_that_of_no_token(void **state UNUSED)
{
    struct token token = { .hash = { 0 } };
    struct grant with = { .token = &token }, without = { 0 };

    assert_int_equal(grant_tag(&without), 0);
    assert_int_not_equal(grant_tag(&with), 0);
    token.hash[3] = 7;
    assert_int_equal(grant_tag(&with), token_tag_of(token.hash));
    assert_int_not_equal(grant_tag(&with), 1);
}

/* ---- two clocks ---- */

static void the_first_clock_ends_it(void **state UNUSED) /* MT-100 */
{
    struct grant g = { .until_s = then.wall.s + 10, .until_ms = then.mono.ms + 20000 };

    assert_false(grant_expired(&g, later(9, 9)));
    assert_true(grant_expired(&g, later(10, 0))); /* the calendar jumped forward */
    assert_true(grant_expired(&g, later(0, 20))); /* it jumped back, and time went by all the same */
    assert_false(grant_expired(&g, later(-5, 19)));
}

static void what_has_ended_ends_no_later_by_being_ended_again(void **state UNUSED)
{
    struct grant g = { .until_s = TIME_NEVER, .until_ms = TIME_NEVER };

    grant_end(&g, later(5, 5));
    assert_true(grant_expired(&g, later(5, 5)));
    grant_end(&g, later(9, 9));
    assert_int_equal(g.until_s, then.wall.s + 5);
    assert_int_equal(g.until_ms, then.mono.ms + 5000);
}

static void a_limit_only_shortens(void **state UNUSED)
{
    struct grant g = { .until_s = TIME_NEVER, .until_ms = TIME_NEVER };

    grant_limit(&g, then, 3000);
    assert_int_equal(g.until_ms, then.mono.ms + 3000);
    grant_limit(&g, then, 9000);
    assert_int_equal(g.until_ms, then.mono.ms + 3000);
}

static void its_end_by_the_calendar_is_known_whatever_clock_it_goes_by(void **state UNUSED) /* MT-111 */
{
    struct grant g = { .until_s = TIME_NEVER, .until_ms = TIME_NEVER };

    assert_int_equal(grant_until_wall(&g, then), TIME_NEVER);
    g.until_ms = then.mono.ms + 7000;
    assert_int_equal(grant_until_wall(&g, then), then.wall.s + 7);
    g.until_s = then.wall.s + 5;
    assert_int_equal(grant_until_wall(&g, then), then.wall.s + 5);
}

/* ---- what may be asked of it ---- */

static struct scope *scope_of(const char *text)
{
    struct scope *scope = NULL;

    assert_int_equal(scope_from_text(span_of_str(text), &scope, NULL), ST_OK);
    return scope;
}

static struct topic_name topic(const char *text)
{
    return (struct topic_name){ span_of_str(text) };
}

static struct topic_filter filter(const char *text)
{
    return (struct topic_filter){ span_of_str(text) };
}

static void an_expired_grant_answers_every_question_with_no(void **state UNUSED) /* MT-100, MT-40 */
{
    struct scope *all = scope_of("[[\"#\",[\"pub\",\"sub\"]]]");
    struct token token = { .scope = all };
    struct grant g = { .token = &token, .until_s = then.wall.s, .until_ms = TIME_NEVER };
    struct authz az = { &g, all, then };
    struct authz_cache cache = { 0 };
    struct why why;

    az.now = later(-1, 0);
    assert_int_equal(authz_publish(&az, topic("a"), &cache, NULL), ST_OK);
    az.now = then;
    assert_int_equal(authz_publish(&az, topic("a"), &cache, &why),
                     ST_TOKEN_EXPIRED); /* whatever it was asked before */
    assert_string_equal(why.clause, "MT-100");
    assert_int_equal(authz_will(&az, topic("a"), NULL), ST_TOKEN_EXPIRED);
    assert_int_equal(authz_subscribe(&az, filter("a"), NULL), ST_TOKEN_EXPIRED);
    assert_int_equal(authz_receive(&az, topic("a"), NULL), ST_TOKEN_EXPIRED);
    g.token = NULL;
    assert_int_equal(authz_receive(&az, topic("a"), &why), ST_DENIED);
    assert_string_equal(why.clause, "MT-40");
    scope_unref(all);
}

static void public_topics_are_everybodys(void **state UNUSED) /* MT-21 */
{
    struct scope *own = scope_of("[[\"own/#\",[\"pub\",\"sub\"]]]");
    struct scope *open = scope_of("[[\"open/#\",[\"pub\",\"sub\"]]]");
    struct token token = { .scope = own };
    struct grant with = { .token = &token, .until_s = TIME_NEVER, .until_ms = TIME_NEVER }, without = with;
    struct authz az = { &with, open, then };
    struct why why;

    without.token = NULL;
    assert_int_equal(authz_publish(&az, topic("open/a"), NULL, NULL), ST_OK);
    assert_int_equal(authz_receive(&az, topic("open/a"), NULL), ST_OK);
    assert_int_equal(authz_subscribe(&az, filter("open/+"), NULL), ST_OK);
    assert_int_equal(authz_will(&az, topic("open/a"), NULL), ST_OK);
    assert_int_equal(authz_receive(&az, topic("own/a"), NULL), ST_OK);
    assert_int_equal(authz_receive(&az, topic("closed"), &why), ST_NOT_IN_SCOPE);
    assert_string_equal(why.clause, "MT-98");
    az.grant = &without;
    assert_int_equal(authz_receive(&az, topic("open/a"), NULL), ST_OK);
    assert_int_equal(authz_receive(&az, topic("own/a"), &why), ST_NOT_IN_SCOPE);
    assert_string_equal(why.clause, "MT-21");
    az.public_scope = NULL; /* nothing is public */
    assert_int_equal(authz_receive(&az, topic("open/a"), NULL), ST_NOT_IN_SCOPE);
    assert_int_equal(authz_publish(&az, topic("open/a"), NULL, NULL), ST_NOT_IN_SCOPE);
    assert_int_equal(authz_subscribe(&az, filter("open/a"), NULL), ST_NOT_IN_SCOPE);
    scope_unref(own);
    scope_unref(open);
}

static void what_is_remembered_is_the_answer_to_that_topic_alone(void **state UNUSED) /* MT-81 */
{
    struct scope *own = scope_of("[[\"a/#\",[\"pub\"]]]");
    struct token token = { .scope = own };
    struct grant g = { .token = &token, .until_s = TIME_NEVER, .until_ms = TIME_NEVER };
    struct authz az = { &g, NULL, then };
    struct authz_cache cache = { 0 };
    char long_topic[AUTHZ_CACHE_LEN + 2] = "a/";

    memset(long_topic + 2, 'x', sizeof long_topic - 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(authz_publish(&az, topic("a/1"), &cache, NULL), ST_OK);
        assert_int_equal(authz_publish(&az, topic("a/2"), &cache, NULL), ST_OK);
        assert_int_equal(authz_publish(&az, topic("a/3"), &cache, NULL), ST_OK);
        assert_int_equal(authz_publish(&az, topic(long_topic), &cache, NULL), ST_OK);
        assert_int_equal(authz_publish(&az, topic("b/1"), &cache, NULL), ST_NOT_IN_SCOPE);
        assert_int_equal(authz_publish(&az, topic(""), &cache, NULL), ST_NOT_IN_SCOPE); /* no topic is none */
    }
    token.scope = NULL;
    authz_cache_clear(&cache);
    assert_int_equal(authz_publish(&az, topic("a/3"), &cache, NULL), ST_NOT_IN_SCOPE);
    scope_unref(own);
}

/* ---- what came back from the disk ---- */

struct shadow {
    struct scope *nothing;
    unsigned done;
};

static struct record_owner owner_of(bool has_token, int64_t until_ms)
{
    return (struct record_owner){ .iss = SPAN("as"),
                                  .sub = SPAN("s"),
                                  .client_id = ABSENT,
                                  .has_token = has_token,
                                  .token_hash = { 9 },
                                  .until_ms = until_ms };
}

static void try_shadow(void *ctx, long n)
{
    struct shadow *s = ctx;
    struct record_owner owner = owner_of(true, 1500000);
    struct grant *g = NULL;

    failing_memory_begin(n);
    enum status st = grant_shadow(&owner, s->nothing, &g);
    (void)failing_memory_end();
    assert_true(st == ST_OK || st == ST_NO_MEMORY);
    if (st == ST_OK)
        assert_int_equal(grant_until_wall(g, then), 1500);
    grant_free(g);
    s->done += st == ST_OK;
}

static void what_is_back_from_the_disk_has_an_owner_and_permits_nothing(void **state UNUSED)
{
    struct shadow s = { .nothing = scope_of("[]") };
    struct record_owner owner = owner_of(true, RECORD_NEVER);
    struct token same = { .iss = SPAN("as"), .sub = SPAN("s") };
    struct grant of_same = { .token = &same }, *g = NULL;
    struct authz az = { .now = then };

    assert_true(failing_memory_each(try_shadow, &s) > 1);
    assert_true(s.done > 0);
    assert_int_equal(grant_shadow(&owner, s.nothing, &g), ST_OK);
    az.grant = g;
    assert_true(grant_same_owner(g, &of_same));
    assert_true(grant_expired(g, then));
    assert_int_equal(authz_receive(&az, topic("a"), NULL), ST_TOKEN_EXPIRED);
    assert_true(grant_until_wall(g, then) > INT64_C(1) << 40); /* it had no end */
    grant_free(g);
    owner = owner_of(false, RECORD_NEVER);
    assert_int_equal(grant_shadow(&owner, s.nothing, &g), ST_OK);
    assert_null(g->token);
    grant_free(g);
    scope_unref(s.nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_owner_is_the_subject_else_the_client_else_the_key),
        cmocka_unit_test(the_log_names_the_subject_else_the_client),
        cmocka_unit_test(a_tag_is_never_that_of_no_token),
        cmocka_unit_test(the_first_clock_ends_it),
        cmocka_unit_test(what_has_ended_ends_no_later_by_being_ended_again),
        cmocka_unit_test(a_limit_only_shortens),
        cmocka_unit_test(its_end_by_the_calendar_is_known_whatever_clock_it_goes_by),
        cmocka_unit_test(an_expired_grant_answers_every_question_with_no),
        cmocka_unit_test(public_topics_are_everybodys),
        cmocka_unit_test(what_is_remembered_is_the_answer_to_that_topic_alone),
        cmocka_unit_test(what_is_back_from_the_disk_has_an_owner_and_permits_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
