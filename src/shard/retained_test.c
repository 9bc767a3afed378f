/* Retained messages against a plain list under the naive matcher, through long random lives; limits and ends. */
#include "shard/retained.h"

#include "mqtt/naive_topic.h"
#include "shard/message.h"
#include "topic/topic_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define KEY    ((struct hash_key){ { 3, 4 } })
#define LIMITS ((struct retained_limits){ .max_messages = 100000, .max_bytes = 100000000, .max_levels = 200 })

static uint64_t work; /* of all queries */

static struct topic_filter filter_of(const char *text)
{
    return (struct topic_filter){ span_of_str(text) };
}

static struct topic_name name_of(const char *text)
{
    return (struct topic_name){ span_of_str(text) };
}

static struct now at(int64_t mono_ms, int64_t wall_s)
{
    return (struct now){ { mono_ms }, { wall_s } };
}

static struct retained *store_new(struct retained_limits limits)
{
    struct retained *store = NULL;

    assert_int_equal(retained_new(KEY, limits, &store), ST_OK);
    return store;
}

static struct message *message_of(const char *topic, const char *payload, int64_t expires_ms,
                                  int64_t token_until_s)
{
    struct message_parts parts = { .topic = span_of_str(topic),
                                   .payload = span_of_str(payload),
                                   .retain = true,
                                   .expires_ms = expires_ms,
                                   .token_until_s = token_until_s };
    struct message *m = NULL;

    assert_int_equal(message_new(&parts, &m), ST_OK);
    return m;
}

static enum status set_until(struct retained *store, const char *topic, const char *payload, int64_t expires_ms,
                             int64_t token_until_s, struct now now)
{
    struct message *m = message_of(topic, payload, expires_ms, token_until_s);
    enum status st = retained_set(store, m, now, NULL);

    message_unref(m);
    return st;
}

static enum status set(struct retained *store, const char *topic, const char *payload)
{
    return set_until(store, topic, payload, TIME_NEVER, TIME_NEVER, at(0, 0));
}

static bool count_one(void *ctx, const struct message *m UNUSED)
{
    ++*(size_t *)ctx;
    return true;
}

static bool stop_at_once(void *ctx UNUSED, const struct message *m UNUSED)
{
    return false;
}

static bool keep(void *ctx, const struct message *m)
{
    *(const struct message **)ctx = m;
    return true;
}

/* Borrowed; NULL if there is none or it has expired. */
static const struct message *get(const struct retained *store, const char *topic, struct now now)
{
    const struct message *m = NULL;

    (void)retained_query(store, filter_of(topic), now, &work, keep, &m);
    return m;
}

static size_t found(const struct retained *store, const char *filter, struct now now)
{
    size_t n = 0;
    size_t calls = retained_query(store, filter_of(filter), now, &work, count_one, &n);

    assert_int_equal(calls, n);
    return n;
}

static void a_topic_keeps_its_last_message(void **state UNUSED)
{
    struct retained *store = store_new(LIMITS);

    assert_int_equal(set(store, "a/b", "one"), ST_OK);
    assert_int_equal(set(store, "a/b", "two"), ST_OK); /* MQTT5 [MQTT-3.3.1-5] */
    assert_int_equal(retained_count(store), 1);
    assert_true(span_eq_str(message_payload(get(store, "a/b", at(0, 0))), "two"));
    assert_null(get(store, "a", at(0, 0)));
    assert_int_equal(set(store, "a/b", ""), ST_OK); /* MQTT5 [MQTT-3.3.1-6], [MQTT-3.3.1-7] */
    assert_int_equal(retained_count(store), 0);
    assert_null(get(store, "a/b", at(0, 0)));
    assert_int_equal(set(store, "a/b", ""), ST_OK);
    assert_false(retained_clear(store, name_of("a/b")));
    assert_int_equal(set(store, "a/b", "three"), ST_OK);
    assert_true(retained_clear(store, name_of("a/b")));
    retained_free(store);
}

static void filters_find_what_they_match(void **state UNUSED)
{
    static const struct {
        const char *filter;
        size_t count;
    } rows[] = { { "#", 5 },      { "+", 1 },   { "a/#", 3 }, { "a/+", 2 },
                 { "a/b", 1 },    { "+/b", 1 }, { "/#", 1 },  { "$SYS/#", 1 },
                 { "$SYS/+", 1 }, { "+/x", 0 }, { "c", 0 },   { "a", 1 },
                 { "a/b/#", 1 },  { "+/#", 5 }, { "+/+", 3 }, { "a/b/c/d/#", 0 } };
    struct retained *store = store_new(LIMITS);

    assert_int_equal(set(store, "a", "1"), ST_OK);
    assert_int_equal(set(store, "a/b", "1"), ST_OK);
    assert_int_equal(set(store, "a/c", "1"), ST_OK);
    assert_int_equal(set(store, "/x/y", "1"), ST_OK);
    assert_int_equal(set(store, "b/", "1"), ST_OK);
    assert_int_equal(set(store, "$SYS/x", "1"), ST_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) /* leading wildcards and $: MQTT5 [MQTT-4.7.2-1] */
        if (found(store, rows[i].filter, at(0, 0)) != rows[i].count)
            fail_msg("%s: %zu", rows[i].filter, found(store, rows[i].filter, at(0, 0)));
    assert_int_equal(retained_query(store, filter_of("#"), at(0, 0), &work, stop_at_once, NULL), 1);
    retained_free(store);
    retained_free(NULL);
}

static void a_message_ends_with_its_interval_or_its_publishers_token(void **state UNUSED)
{
    struct retained *store = store_new(LIMITS);

    /* MT-111: min(token expiry, message expiry interval) */
    assert_int_equal(set_until(store, "interval", "x", 1000, TIME_NEVER, at(0, 100)), ST_OK);
    assert_int_equal(set_until(store, "token", "x", TIME_NEVER, 200, at(0, 100)), ST_OK);
    assert_int_equal(set_until(store, "both", "x", 5000, 150, at(0, 100)), ST_OK);
    assert_int_equal(set(store, "never", "x"), ST_OK);
    assert_int_equal(found(store, "#", at(999, 149)), 4);
    assert_int_equal(found(store, "#", at(1000, 149)), 3);
    assert_int_equal(found(store, "#", at(1000, 150)), 2);
    assert_null(get(store, "token", at(0, 200)));
    assert_int_equal(retained_count(store), 4); /* not handed out any more, but still there */
    assert_int_equal(retained_purge(store, at(1000, 200), 2), 2);
    assert_int_equal(retained_purge(store, at(1000, 200), 100), 1); /* the round goes on where it stopped */
    assert_int_equal(retained_purge(store, at(1000, 200), 100), 0);
    assert_int_equal(retained_count(store), 1);
    assert_int_equal(found(store, "#", at(1000, 200)), 1);
    retained_free(store);
}

static void messages_and_bytes_are_limited(void **state UNUSED)
{
    struct retained *store = store_new((struct retained_limits){ 2, 100000, 200 });
    struct message *m = message_of("c", "x", TIME_NEVER, TIME_NEVER);
    struct why why;

    assert_int_equal(set_until(store, "a", "x", 10, TIME_NEVER, at(0, 0)), ST_OK);
    assert_int_equal(set(store, "b", "x"), ST_OK);
    assert_int_equal(retained_set(store, m, at(0, 0), &why), ST_QUOTA);
    assert_string_equal(why.clause, "retained.*");
    assert_null(get(store, "c", at(0, 0)));
    assert_int_equal(set(store, "b", "longer than before"), ST_OK);   /* in place of an old one */
    assert_int_equal(retained_set(store, m, at(10, 0), &why), ST_OK); /* "a" has expired: its room is taken */
    assert_null(get(store, "a", at(0, 0)));
    retained_free(store);

    size_t bytes;
    store = store_new((struct retained_limits){ 1000, 4096, 200 });
    bytes = retained_bytes(store);
    char big[4096];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    assert_int_equal(set(store, "a/b", "small"), ST_OK);
    assert_int_equal(set(store, "a/b", big), ST_QUOTA); /* the old one stays */
    assert_true(span_eq_str(message_payload(get(store, "a/b", at(0, 0))), "small"));
    assert_int_equal(set(store, "big", big), ST_QUOTA);
    assert_true(retained_clear(store, name_of("a/b")));
    assert_int_equal(retained_bytes(store), bytes);
    message_unref(m);
    retained_free(store);
}

static void depth_is_limited(void **state UNUSED)
{
    struct retained *store = store_new((struct retained_limits){ 10, 100000, 3 });

    assert_int_equal(set(store, "a/b/c", "x"), ST_OK);
    assert_int_equal(set(store, "a/b/c/d", "x"), ST_BAD_TOPIC);
    assert_int_equal(found(store, "+/+/+/+", at(0, 0)), 0);
    assert_int_equal(found(store, "a/b/c/d/e/f", at(0, 0)), 0);
    assert_int_equal(found(store, "+/+/+/#", at(0, 0)), 1);
    retained_free(store);
}

/* An expired message below a topic that is just being stored: making room must not take the new node away. */
static void making_room_does_not_disturb_the_newcomer(void **state UNUSED)
{
    struct retained *store = store_new((struct retained_limits){ 1, 100000, 200 });

    assert_int_equal(set_until(store, "a/b/c", "x", 10, TIME_NEVER, at(0, 0)), ST_OK);
    assert_int_equal(set_until(store, "a/b", "y", TIME_NEVER, TIME_NEVER, at(10, 0)), ST_OK);
    assert_int_equal(retained_count(store), 1);
    assert_int_equal(found(store, "a/#", at(10, 0)), 1);
    retained_free(store);
}

/* ---- a random life ---- */

static struct naive_topics names, filters;
static uint64_t dice;

static uint32_t roll(uint32_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)(dice >> 32) % sides;
}

static void load(void)
{
    static const char *const name_letters[] = { "a", "b", "", "$x" };
    static const char *const filter_letters[] = { "a", "b", "", "$x", "+", "#" };
    struct topic_filter ignored_filter;
    struct topic_name ignored_name;
    size_t kept = 0;

    naive_enumerate(&names, name_letters, COUNT_OF(name_letters), 4);
    for (size_t i = 0; i < names.count; i++)
        if (topic_name_parse(span_of_str(names.text[i]), &ignored_name, NULL) == ST_OK)
            memmove(names.text[kept++], names.text[i], NAIVE_TEXT);
    names.count = kept;
    naive_enumerate(&filters, filter_letters, COUNT_OF(filter_letters), 3);
    kept = 0;
    for (size_t i = 0; i < filters.count; i++)
        if (topic_filter_parse(span_of_str(filters.text[i]), &ignored_filter, NULL) == ST_OK)
            memmove(filters.text[kept++], filters.text[i], NAIVE_TEXT);
    filters.count = kept;
}

struct life {
    struct retained *store;
    int64_t until[NAIVE_TOPICS]; /* by name; 0: nothing stored */
    bool seen[NAIVE_TOPICS];
};

static bool see(void *ctx, const struct message *m)
{
    struct life *life = ctx;

    for (size_t i = 0; i < names.count; i++) {
        if (span_eq_str(message_topic(m), names.text[i])) {
            assert_false(life->seen[i]); /* once */
            life->seen[i] = true;
            return true;
        }
    }
    fail_msg("a topic nobody stored");
    return false;
}

static void check_query(struct life *life, const char *filter, int64_t mono)
{
    size_t want = 0;

    memset(life->seen, 0, sizeof life->seen);
    size_t calls = retained_query(life->store, filter_of(filter), at(mono, 0), &work, see, life);
    for (size_t i = 0; i < names.count; i++) {
        bool wanted = life->until[i] > mono && naive_matches(filter, names.text[i]);
        if (life->seen[i] != wanted)
            fail_msg("%s: %s", filter, names.text[i]);
        want += wanted;
    }
    assert_int_equal(calls, want);
}

static void a_random_life_agrees_with_a_list(void **state UNUSED)
{
    struct life *life = calloc(1, sizeof *life);
    size_t empty;

    assert_non_null(life);
    dice = UINT64_C(0x7e7a);
    life->store = store_new(LIMITS);
    empty = retained_bytes(life->store);
    for (int64_t step = 1; step <= 20000; step++) { /* one millisecond each */
        size_t n = roll((uint32_t)names.count);
        int64_t until = roll(2) == 0 ? TIME_NEVER : step + 1 + roll(300);
        switch (roll(4)) {
        case 0:
            assert_int_equal(set_until(life->store, names.text[n], "", TIME_NEVER, TIME_NEVER, at(step, 0)),
                             ST_OK);
            life->until[n] = 0;
            break;
        case 1:
            retained_purge(life->store, at(step, 0), roll(10));
            break;
        default:
            assert_int_equal(set_until(life->store, names.text[n], "x", until, TIME_NEVER, at(step, 0)), ST_OK);
            life->until[n] = until;
        }
        if (step % 8 == 0)
            check_query(life, filters.text[roll((uint32_t)filters.count)], step);
    }
    for (size_t i = 0; i < names.count; i++)
        retained_clear(life->store, name_of(names.text[i]));
    assert_int_equal(retained_count(life->store), 0);
    assert_int_equal(retained_bytes(life->store), empty);
    retained_free(life->store);
    free(life);
}

static enum status set_on(struct retained *store, const char *topic, uint64_t token_tag)
{
    struct message_parts parts = { .topic = span_of_str(topic),
                                   .payload = SPAN("x"),
                                   .retain = true,
                                   .expires_ms = TIME_NEVER,
                                   .token_until_s = TIME_NEVER,
                                   .token_tag = token_tag };
    struct message *m = NULL;
    enum status st;

    assert_int_equal(message_new(&parts, &m), ST_OK);
    st = retained_set(store, m, at(0, 0), NULL);
    message_unref(m);
    return st;
}

static void a_revoked_token_takes_its_messages_and_no_others(void **state UNUSED)
{ /* MT-111 */
    struct retained *store = store_new(LIMITS);
    size_t empty = retained_bytes(store);

    assert_int_equal(set_on(store, "a/1", 7), ST_OK);
    assert_int_equal(set_on(store, "a/2", 7), ST_OK);
    assert_int_equal(set_on(store, "a/2", 7), ST_OK); /* in its own place */
    assert_int_equal(set_on(store, "a/3", 7), ST_OK);
    assert_int_equal(set_on(store, "a/3", 8), ST_OK); /* another's in its place */
    assert_int_equal(set_on(store, "a/4", 0), ST_OK);
    assert_int_equal(retained_revoke(store, 7), 2);
    assert_int_equal(retained_revoke(store, 7), 0);
    assert_int_equal(retained_revoke(store, 0), 0); /* of no token */
    assert_int_equal(retained_count(store), 2);
    assert_true(retained_clear(store, (struct topic_name){ SPAN("a/3") }));
    assert_true(retained_clear(store, (struct topic_name){ SPAN("a/4") }));
    assert_int_equal(retained_revoke(store, 8), 0);
    assert_int_equal(retained_bytes(store), empty);
    retained_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_keeps_its_last_message),
        cmocka_unit_test(filters_find_what_they_match),
        cmocka_unit_test(a_message_ends_with_its_interval_or_its_publishers_token),
        cmocka_unit_test(messages_and_bytes_are_limited),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(making_room_does_not_disturb_the_newcomer),
        cmocka_unit_test(a_random_life_agrees_with_a_list),
        cmocka_unit_test(a_revoked_token_takes_its_messages_and_no_others),
    };
    load();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
