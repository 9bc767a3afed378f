/* What is remembered of addresses: rates, limits, bans, and what happens when there are too many of them. */
#include "broker/source.h"

#include <pthread.h>
#include <stdio.h>

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#define SECOND 1000
#define MINUTE 60000

static const struct hash_key key = { { 1, 2 } };

static struct mono_time at(int64_t ms)
{
    return (struct mono_time){ 1000000 + ms };
}

static struct net_source from(const char *text)
{
    struct net_source s;

    assert_true(net_source_parse(text, &s));
    return s;
}

static struct sources *make(const struct source_settings *settings)
{
    struct sources *s = NULL;

    assert_int_equal(sources_new(settings, key, &s), ST_OK);
    return s;
}

static const struct source_settings strict = { .addresses = 1024,
                                               .faults_per_min = 6,
                                               .faults_burst = 3,
                                               .ban_ms = 10 * SECOND,
                                               .ban_max_ms = 60 * MINUTE,
                                               .calm_ms = 10 * MINUTE };

/* Faults at `ms` until it is banned; for how long. */
static int64_t misbehave(struct sources *s, struct net_source who, int64_t ms, int *ret_faults)
{
    int64_t banned = 0;
    int faults = 0;

    while (banned == 0 && faults < 100) {
        banned = source_fault(s, who, at(ms));
        faults++;
    }
    if (ret_faults != NULL)
        *ret_faults = faults;
    return banned;
}

static void who_connects_too_fast_waits_for_the_bucket_to_fill(void **state UNUSED)
{
    const struct source_settings settings = { .addresses = 64, .connects_per_s = 10, .connects_burst = 5 };
    struct sources *s = make(&settings);
    struct net_source who = from("192.0.2.1");

    for (int i = 0; i < 5; i++)
        assert_int_equal(source_connects(s, who, at(0)), SOURCE_WELCOME);
    assert_int_equal(source_connects(s, who, at(0)), SOURCE_TOO_FAST);
    assert_int_equal(source_connects(s, from("192.0.2.2"), at(0)), SOURCE_WELCOME); /* another address */
    assert_int_equal(source_connects(s, who, at(100)), SOURCE_WELCOME);
    assert_int_equal(source_connects(s, who, at(100)), SOURCE_TOO_FAST);
    for (int i = 0; i < 5; i++)
        assert_int_equal(source_connects(s, who, at(5 * SECOND)), SOURCE_WELCOME);
    sources_free(s);
}

/* Not even for long: a fleet behind one address connects as fast as it can after each restart. */
static void connecting_too_fast_is_no_reason_for_a_ban(void **state UNUSED)
{
    struct source_settings settings = strict;
    settings.connects_per_s = 10;
    settings.connects_burst = 5;
    struct sources *s = make(&settings);
    struct net_source who = from("192.0.2.1");
    struct source_ban bans[1];
    size_t all;

    for (int i = 0; i < 10000; i++)
        (void)source_connects(s, who, at(i));
    assert_int_equal(sources_bans(s, at(10000), bans, 1, &all), 0);
    sources_free(s);
}

static void connections_of_one_address_are_counted_until_they_leave(void **state UNUSED)
{
    const struct source_settings settings = { .addresses = 64, .max_arriving = 2, .max_connections = 3 };
    struct sources *s = make(&settings);
    struct net_source who = from("2001:db8::1"), same_64 = from("2001:db8::2");

    assert_int_equal(source_connects(s, who, at(0)), SOURCE_WELCOME);
    assert_int_equal(source_connects(s, same_64, at(0)), SOURCE_WELCOME);
    assert_int_equal(source_connects(s, who, at(0)), SOURCE_TOO_MANY); /* two are arriving */
    source_arrived(s, who);
    assert_int_equal(source_connects(s, who, at(0)), SOURCE_WELCOME);
    source_arrived(s, who);
    assert_int_equal(source_connects(s, who, at(0)), SOURCE_TOO_MANY); /* three in all */
    source_left(s, who, true);
    assert_int_equal(source_connects(s, who, at(0)), SOURCE_WELCOME);
    source_left(s, who, false);
    source_left(s, who, false);
    source_left(s, who, true);
    for (int i = 0; i < 5; i++) /* more than there were */
        source_left(s, who, true);
    assert_int_equal(source_connects(s, who, at(0)), SOURCE_WELCOME);
    assert_int_equal(source_connects(s, who, at(0)), SOURCE_WELCOME);
    assert_int_equal(source_connects(s, who, at(0)), SOURCE_TOO_MANY);
    sources_free(s);
}

static void faults_end_in_a_ban_that_doubles_each_time(void **state UNUSED)
{
    struct sources *s = make(&strict);
    struct net_source who = from("192.0.2.1");
    int64_t now = 0, expected = 10 * SECOND;
    int faults;

    assert_int_equal(misbehave(s, who, now, &faults), expected);
    assert_int_equal(faults, 4); /* three are forgiven */
    for (int i = 0; i < 12; i++) {
        assert_int_equal(source_connects(s, who, at(now)), SOURCE_BANNED);
        assert_int_equal(source_connects(s, who, at(now + expected - 1)), SOURCE_BANNED);
        now += expected;
        assert_int_equal(source_connects(s, who, at(now)), SOURCE_WELCOME);
        expected = expected * 2 > 60 * MINUTE ? 60 * MINUTE : expected * 2;
        assert_int_equal(misbehave(s, who, now, NULL), expected);
    }
    assert_int_equal(expected, 60 * MINUTE);
    sources_free(s);
}

static void faults_now_and_then_are_forgiven(void **state UNUSED)
{
    struct sources *s = make(&strict);
    struct net_source who = from("192.0.2.1");

    for (int i = 0; i < 100; i++) /* as many in a minute as are allowed */
        assert_int_equal(source_fault(s, who, at(i * 10 * SECOND)), 0);
    assert_int_equal(source_connects(s, who, at(1000 * SECOND)), SOURCE_WELCOME);
    sources_free(s);
}

static void quiet_times_take_the_doublings_back(void **state UNUSED)
{
    struct sources *s = make(&strict);
    struct net_source who = from("192.0.2.1");

    assert_int_equal(misbehave(s, who, 0, NULL), 10 * SECOND);
    assert_int_equal(misbehave(s, who, 10 * SECOND, NULL), 20 * SECOND);
    assert_int_equal(misbehave(s, who, 30 * SECOND, NULL), 40 * SECOND);
    /* its end was at 70 s: one doubling less after ten minutes, none after thirty */
    assert_int_equal(misbehave(s, who, 70 * SECOND + 10 * MINUTE, NULL), 40 * SECOND);
    assert_int_equal(misbehave(s, who, 110 * SECOND + 10 * MINUTE + 40 * MINUTE, NULL), 10 * SECOND);
    sources_free(s);
}

static void a_ban_can_be_lifted_and_what_was_done_is_forgotten(void **state UNUSED)
{
    struct sources *s = make(&strict);
    struct net_source who = from("192.0.2.1"), other = from("198.51.100.1");
    struct source_ban bans[4];
    struct source_totals totals;
    size_t all;
    int faults;

    assert_false(source_unban(s, who, at(0)));
    misbehave(s, who, 0, NULL);
    misbehave(s, other, 0, NULL);
    misbehave(s, other, 10 * SECOND, NULL);
    assert_int_equal(sources_bans(s, at(5 * SECOND), bans, 4, &all), 2);
    assert_true(bans[0].source.bits == other.bits); /* the longest first */
    assert_int_equal(bans[0].times, 2);
    assert_int_equal(bans[1].left_ms, 5 * SECOND);
    assert_int_equal(sources_bans(s, at(5 * SECOND), bans, 1, &all), 1);
    assert_true(bans[0].source.bits == other.bits);
    assert_int_equal(all, 2);
    assert_true(source_unban(s, who, at(5 * SECOND)));
    assert_int_equal(source_connects(s, who, at(5 * SECOND)), SOURCE_WELCOME);
    assert_int_equal(misbehave(s, who, 5 * SECOND, &faults), 10 * SECOND);
    assert_int_equal(faults, 4);
    assert_int_equal(sources_unban_all(s, at(6 * SECOND)), 2);
    assert_int_equal(sources_unban_all(s, at(6 * SECOND)), 0);
    sources_totals(s, at(6 * SECOND), &totals);
    assert_int_equal(totals.bans, 4);
    assert_int_equal(totals.unbans, 3);
    assert_int_equal(totals.banned_now, 0);
    assert_int_equal(totals.known, 2);
    sources_free(s);
}

static void the_end_of_a_ban_is_told_once(void **state UNUSED)
{
    struct sources *s = make(&strict);
    struct net_source who = from("192.0.2.1"), out[4];

    assert_int_equal(sources_released(s, at(0), out, 4), 0);
    misbehave(s, who, 0, NULL);
    assert_int_equal(sources_released(s, at(9999), out, 4), 0);
    assert_int_equal(sources_released(s, at(10000), out, 4), 1);
    assert_true(out[0].bits == who.bits);
    assert_int_equal(sources_released(s, at(10000), out, 4), 0);
    misbehave(s, who, 10 * SECOND, NULL);
    assert_true(source_unban(s, who, at(11 * SECOND)));
    assert_int_equal(sources_released(s, at(60 * MINUTE), out, 4), 0); /* whoever lifted it knows */
    sources_free(s);
}

static void exempt_addresses_are_not_looked_at(void **state UNUSED)
{
    struct net_prefix exempt[2];
    struct source_settings settings = strict;
    struct source_totals totals;

    assert_true(net_prefix_parse("127.0.0.0/8", &exempt[0]) && net_prefix_parse("2001:db8::/32", &exempt[1]));
    settings.exempt = exempt;
    settings.exempt_count = 2;
    settings.connects_per_s = settings.connects_burst = settings.max_arriving = 1;
    struct sources *s = make(&settings);
    const struct net_source who[] = { from("127.0.0.1"), from("2001:db8:5::1"), { 0 } };

    for (size_t i = 0; i < COUNT_OF(who); i++)
        for (int k = 0; k < 100; k++) {
            assert_int_equal(source_connects(s, who[i], at(0)), SOURCE_WELCOME);
            assert_int_equal(source_fault(s, who[i], at(0)), 0);
        }
    sources_totals(s, at(0), &totals);
    assert_int_equal(totals.known, 0);
    assert_int_equal(source_connects(NULL, from("192.0.2.1"), at(0)), SOURCE_WELCOME); /* no table at all */
    sources_free(s);
}

static void a_flood_of_addresses_does_not_let_the_banned_in(void **state UNUSED)
{
    struct source_settings settings = strict;
    settings.addresses = 64;
    struct sources *s = make(&settings);
    struct net_source who = from("192.0.2.1");
    struct source_totals totals;

    assert_true(misbehave(s, who, 0, NULL) > 0);
    for (uint32_t i = 0; i < 100000; i++) {
        struct net_source flood = { UINT64_C(0x20010db800000000) + i };
        (void)source_connects(s, flood, at(i / 100));
        (void)source_fault(s, flood, at(i / 100));
    }
    sources_totals(s, at(1000), &totals);
    assert_true(totals.known <= 64);
    assert_int_equal(source_connects(s, who, at(1000)), SOURCE_BANNED);
    sources_free(s);
}

/* ---- many threads ---- */

#define THREADS 4
#define ROUNDS  200000

static void *hammer(void *arg)
{
    struct sources *s = arg;
    uint64_t random = (uint64_t)(uintptr_t)&s * 2654435761u | 1;

    for (int i = 0; i < ROUNDS; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        struct net_source who = { UINT64_C(0x20010db800000000) + random % 300 };
        if (source_connects(s, who, at(i / 100)) != SOURCE_WELCOME)
            continue;
        bool arrives = random % 3 != 0;
        if (arrives)
            source_arrived(s, who);
        else if (random % 1000 == 0)
            (void)source_fault(s, who, at(i / 100));
        source_left(s, who, arrives);
    }
    return NULL;
}

static void threads_share_it_and_nothing_is_left_over(void **state UNUSED)
{
    struct source_settings settings = strict;
    settings.addresses = 128; /* fewer than there are: places change hands all the time */
    settings.faults_burst = 1000;
    settings.max_arriving = settings.max_connections = 1000000;
    struct sources *s = make(&settings);
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, s), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct source_totals totals;
    sources_totals(s, at(ROUNDS), &totals);
    assert_true(totals.known > 0 && totals.known <= 128);
    assert_int_equal(totals.refused_many, 0);
    sources_free(s);
}

static void one_address_from_many_threads_is_counted_exactly(void **state UNUSED)
{
    struct source_settings settings = { .addresses = 64, .max_connections = 1 };
    struct sources *s = make(&settings);
    struct net_source who = { UINT64_C(0x20010db800000000) + 7 };
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, s), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(source_connects(s, who, at(ROUNDS)), SOURCE_WELCOME); /* nobody is counted any more */
    assert_int_equal(source_connects(s, who, at(ROUNDS)), SOURCE_TOO_MANY);
    sources_free(s);
}

static void without_a_table_everybody_is_let_in(void **state UNUSED)
{
    struct source_settings none = strict;
    struct source_ban bans[1];
    struct net_source out[1], who = from("192.0.2.1");
    struct source_totals totals;
    struct sources *s;
    size_t all = 7;

    none.addresses = 0;
    s = make(&none);
    assert_int_equal(source_connects(s, who, at(0)), SOURCE_WELCOME);
    source_arrived(s, who);
    source_left(s, who, true);
    for (int i = 0; i < 100; i++)
        assert_int_equal(source_fault(s, who, at(0)), 0);
    assert_false(source_unban(s, who, at(0)));
    assert_int_equal(sources_unban_all(s, at(0)), 0);
    sources_free(s);
    assert_int_equal(source_connects(NULL, who, at(0)), SOURCE_WELCOME); /* a listener that counts nobody */
    assert_false(source_unban(NULL, who, at(0)));
    assert_int_equal(sources_unban_all(NULL, at(0)), 0);
    assert_int_equal(sources_released(NULL, at(0), out, 1), 0);
    assert_int_equal(sources_bans(NULL, at(0), bans, 1, &all), 0);
    assert_int_equal(all, 0);
    sources_totals(NULL, at(0), &totals);
    assert_int_equal(totals.known + totals.bans, 0);
    sources_free(NULL);
}

static void the_longest_bans_are_shown_first_and_the_others_counted(void **state UNUSED)
{
    struct sources *s = make(&strict);
    static const char *const names[] = { "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4" };
    struct source_ban bans[4];
    size_t all, shown;

    for (int i = 0; i < 4; i++) /* each a second later, and so for longer */
        (void)misbehave(s, from(names[i]), i * SECOND, NULL);
    (void)misbehave(s, from("192.0.2.5"), 3 * SECOND, NULL); /* as long as the fourth */
    for (size_t cap = 0; cap <= COUNT_OF(bans); cap++) {
        shown = sources_bans(s, at(3 * SECOND), bans, cap, &all);
        assert_int_equal(shown, cap);
        assert_int_equal(all, 5);
        for (size_t i = 1; i < shown; i++)
            assert_true(bans[i - 1].left_ms >= bans[i].left_ms);
        if (shown > 0)
            assert_int_equal(bans[0].left_ms, 10 * SECOND);
    }
    assert_int_equal(sources_unban_all(s, at(3 * SECOND)), 5);
    assert_int_equal(sources_bans(s, at(3 * SECOND), bans, 4, &all), 0);
    assert_false(source_unban(s, from("192.0.2.99"), at(0))); /* nobody knows it */
    assert_false(source_unban(s, (struct net_source){ 0 }, at(0)));
    assert_false(source_unban(s, from("192.0.2.1"), at(3 * SECOND))); /* it is not banned */
    sources_free(s);
}

static void the_ends_of_bans_are_told_as_many_as_there_is_room_for(void **state UNUSED)
{
    struct sources *s = make(&strict);
    struct net_source out[2];

    (void)misbehave(s, from("192.0.2.1"), 0, NULL);
    (void)misbehave(s, from("192.0.2.2"), 0, NULL);
    (void)misbehave(s, from("192.0.2.3"), 20 * SECOND, NULL);
    assert_int_equal(sources_released(s, at(21 * SECOND), out, 1), 1);
    assert_int_equal(sources_released(s, at(21 * SECOND), out, 2), 1); /* the third lasts */
    assert_int_equal(sources_released(s, at(21 * SECOND), out, 2), 0);
    assert_true(source_unban(s, from("192.0.2.3"), at(21 * SECOND)));
    sources_free(s);
}

static void without_calm_no_doubling_is_taken_back(void **state UNUSED)
{
    struct source_settings settings = strict;
    struct net_source who = from("192.0.2.1");
    struct sources *s;

    settings.calm_ms = 0;
    s = make(&settings);
    assert_int_equal(misbehave(s, who, 0, NULL), 10 * SECOND);
    assert_int_equal(misbehave(s, who, 1000 * MINUTE, NULL), 20 * SECOND);
    assert_int_equal(source_fault(s, who, at(1000 * MINUTE)), 0); /* it is banned already */
    sources_free(s);
}

static void who_is_known_for_nothing_makes_room_first(void **state UNUSED)
{
    struct source_settings settings = strict;
    struct net_source banned = from("192.0.2.1"), here = from("192.0.2.2");
    struct sources *s;

    settings.addresses = 1; /* one set */
    s = make(&settings);
    (void)misbehave(s, banned, 0, NULL);
    assert_int_equal(source_connects(s, here, at(0)), SOURCE_WELCOME);
    source_arrived(s, here);
    for (int i = 0; i < 200; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "198.51.100.%d", i);
        assert_int_equal(source_connects(s, from(name), at(i)), SOURCE_WELCOME);
        source_left(s, from(name), false);
    }
    assert_int_equal(source_connects(s, banned, at(300)), SOURCE_BANNED);
    source_left(s, here, true);
    source_left(s, here, true);    /* once more than it came: it may have been forgotten between */
    for (int i = 0; i < 50; i++) { /* bans that have ended are of interest, until everybody has one */
        char name[32];

        (void)snprintf(name, sizeof name, "203.0.113.%d", i);
        (void)misbehave(s, from(name), 60 * SECOND + i * SECOND, NULL);
    }
    sources_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_connects_too_fast_waits_for_the_bucket_to_fill),
        cmocka_unit_test(connecting_too_fast_is_no_reason_for_a_ban),
        cmocka_unit_test(connections_of_one_address_are_counted_until_they_leave),
        cmocka_unit_test(faults_end_in_a_ban_that_doubles_each_time),
        cmocka_unit_test(faults_now_and_then_are_forgiven),
        cmocka_unit_test(quiet_times_take_the_doublings_back),
        cmocka_unit_test(a_ban_can_be_lifted_and_what_was_done_is_forgotten),
        cmocka_unit_test(the_end_of_a_ban_is_told_once),
        cmocka_unit_test(exempt_addresses_are_not_looked_at),
        cmocka_unit_test(a_flood_of_addresses_does_not_let_the_banned_in),
        cmocka_unit_test(without_a_table_everybody_is_let_in),
        cmocka_unit_test(the_longest_bans_are_shown_first_and_the_others_counted),
        cmocka_unit_test(the_ends_of_bans_are_told_as_many_as_there_is_room_for),
        cmocka_unit_test(without_calm_no_doubling_is_taken_back),
        cmocka_unit_test(who_is_known_for_nothing_makes_room_first),
        cmocka_unit_test(threads_share_it_and_nothing_is_left_over),
        cmocka_unit_test(one_address_from_many_threads_is_counted_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
