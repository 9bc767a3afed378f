/* Topic names and filters: the grammar, and matching, covering and intersecting against naive forms of themselves
 * over every short filter of a small alphabet. */
#include "mqtt/naive_topic.h"
#include "mqtt/random_topic.h"
#include "mqtt/topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

static struct topic_filter filter_of(const char *text)
{
    return (struct topic_filter){ span_of_str(text) };
}

static struct topic_name name_of(const char *text)
{
    return (struct topic_name){ span_of_str(text) };
}

/* ---- the alphabet ---- */

static const char *const name_letters[] = { "a", "b", "", "$" };
static const char *const filter_letters[] = { "a", "b", "", "$", "+", "#" };

/* Filters of up to three levels against names of up to four: one deeper, so that every difference shows. */
static void load(struct naive_topics *names, struct naive_topics *filters)
{
    struct topic_filter ignored;
    size_t kept = 0;

    naive_enumerate(names, name_letters, COUNT_OF(name_letters), 4);
    naive_enumerate(filters, filter_letters, COUNT_OF(filter_letters), 3);
    for (size_t i = 0; i < filters->count; i++)
        if (topic_filter_parse(span_of_str(filters->text[i]), &ignored, NULL) == ST_OK)
            memmove(filters->text[kept++], filters->text[i], NAIVE_TEXT);
    filters->count = kept;
}

static struct naive_topics names, filters;

/* ---- grammar ---- */

static void topic_names_follow_the_grammar(void **state UNUSED)
{
    static const struct {
        const char *name;
        const char *clause; /* NULL: fine */
        size_t at;
    } rows[] = {
        { "a", NULL, 0 },
        { "/", NULL, 0 },
        { "a//b/", NULL, 0 },
        { "$SYS/x", NULL, 0 },
        { "\xe6\xb8\xa9\xe5\xba\xa6/\xf0\x9f\x8c\xa1", NULL, 0 },
        { "", "MQTT5 [MQTT-4.7.3-1]", 0 },
        { "+", "MQTT5 [MQTT-3.3.2-2]", 0 },
        { "a/b#", "MQTT5 [MQTT-3.3.2-2]", 3 },
        { "a/\xff", "MQTT5 [MQTT-1.5.4-1]", 0 },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct topic_name name;
        struct why why = { 0 };
        enum status st = topic_name_parse(span_of_str(rows[i].name), &name, &why);
        assert_int_equal(st, rows[i].clause == NULL ? ST_OK : ST_MALFORMED);
        if (rows[i].clause == NULL)
            continue;
        assert_string_equal(why.clause, rows[i].clause);
        assert_int_equal(why.at, rows[i].at);
    }
}

static void topic_filters_follow_the_grammar(void **state UNUSED)
{
    static const struct {
        const char *filter;
        const char *clause;
        size_t at;
    } rows[] = {
        { "#", NULL, 0 },
        { "+", NULL, 0 },
        { "/+", NULL, 0 },
        { "+/tennis/#", NULL, 0 },
        { "sport/tennis/player1/#", NULL, 0 },
        { "$share", NULL, 0 }, /* without a slash it is a topic like any other */
        { "$share/g/a/+", NULL, 0 },
        { "$share/g/#", NULL, 0 },
        { "$share/g//", NULL, 0 },
        { "", "MQTT5 [MQTT-4.7.3-1]", 0 },
        { "a#", "MQTT5 [MQTT-4.7.1-1]", 1 },
        { "sport/tennis#", "MQTT5 [MQTT-4.7.1-1]", 12 },
        { "sport/tennis/#/ranking", "MQTT5 [MQTT-4.7.1-1]", 13 },
        { "#/", "MQTT5 [MQTT-4.7.1-1]", 0 },
        { "##", "MQTT5 [MQTT-4.7.1-1]", 0 },
        { "sport+", "MQTT5 [MQTT-4.7.1-2]", 5 },
        { "a/+b/c", "MQTT5 [MQTT-4.7.1-2]", 2 },
        { "$share//a", "MQTT5 [MQTT-4.8.2-1]", 7 },
        { "$share/", "MQTT5 [MQTT-4.8.2-1]", 7 },
        { "$share/g", "MQTT5 [MQTT-4.8.2-2]", 8 },
        { "$share/g/", "MQTT5 [MQTT-4.8.2-2]", 8 },
        { "$share/+/a", "MQTT5 [MQTT-4.8.2-2]", 7 },
        { "$share/g#/a", "MQTT5 [MQTT-4.8.2-2]", 7 },
        { "$share/g/a#", "MQTT5 [MQTT-4.7.1-1]", 10 },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct topic_filter filter;
        struct why why = { 0 };
        enum status st = topic_filter_parse(span_of_str(rows[i].filter), &filter, &why);
        if (st != (rows[i].clause == NULL ? ST_OK : ST_MALFORMED))
            fail_msg("%s: %s", rows[i].filter, status_name(st));
        if (rows[i].clause == NULL)
            continue;
        assert_string_equal(why.clause, rows[i].clause);
        assert_int_equal(why.at, rows[i].at);
    }
}

static void topics_end_at_65535_bytes_and_hold_no_nul(void **state UNUSED)
{
    char *text = malloc(65536);
    struct topic_name name;
    struct topic_filter filter;
    struct why why;

    assert_non_null(text);
    memset(text, 'a', 65536);
    assert_int_equal(topic_name_parse(span_of(text, 65535), &name, &why), ST_OK);
    assert_int_equal(topic_name_parse(span_of(text, 65536), &name, &why), ST_MALFORMED);
    assert_string_equal(why.clause, "MQTT5 [MQTT-4.7.3-3]");
    assert_int_equal(topic_filter_parse(span_of(text, 65536), &filter, &why), ST_MALFORMED);
    text[3] = '\0';
    assert_int_equal(topic_filter_parse(span_of(text, 9), &filter, &why), ST_MALFORMED);
    assert_string_equal(why.clause, "MQTT5 [MQTT-4.7.3-2]");
    assert_int_equal(why.at, 3);
    free(text);
}

static void levels_are_counted_and_walked(void **state UNUSED)
{
    static const struct {
        const char *text;
        const char *levels[4];
        size_t count;
    } rows[] = {
        { "a", { "a" }, 1 },
        { "/", { "", "" }, 2 },
        { "a//b", { "a", "", "b" }, 3 },
        { "/finance/", { "", "finance", "" }, 3 },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct topic_levels levels = topic_levels(span_of_str(rows[i].text));
        struct span level;
        size_t n = 0;
        while (topic_level_next(&levels, &level))
            assert_true(span_eq_str(level, rows[i].levels[n++]));
        assert_int_equal(n, rows[i].count);
        assert_int_equal(topic_level_count(span_of_str(rows[i].text)), rows[i].count);
    }
}

static void shared_filters_come_apart(void **state UNUSED)
{
    struct span share_name;
    struct topic_filter filter;

    assert_true(topic_filter_is_shared(filter_of("$share/g/a/+")));
    topic_filter_unshare(filter_of("$share/g/a/+"), &share_name, &filter);
    assert_true(span_eq_str(share_name, "g"));
    assert_true(span_eq_str(filter.s, "a/+"));
    assert_false(topic_filter_is_shared(filter_of("$shared/g/a")));
    topic_filter_unshare(filter_of("a/+"), &share_name, &filter);
    assert_int_equal(share_name.len, 0);
    assert_true(span_eq_str(filter.s, "a/+"));
}

/* ---- matching ---- */

static void the_examples_of_the_specification_match(void **state UNUSED)
{
    static const struct {
        const char *filter, *name;
        bool matches;
    } rows[] = {
        /* MQTT5 4.7.1.2 and 4.7.1.3 */
        { "sport/tennis/player1/#", "sport/tennis/player1", true },
        { "sport/tennis/player1/#", "sport/tennis/player1/ranking", true },
        { "sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true },
        { "sport/#", "sport", true },
        { "#", "a/b", true },
        { "sport/tennis/+", "sport/tennis/player1", true },
        { "sport/tennis/+", "sport/tennis/player1/ranking", false },
        { "sport/+", "sport", false },
        { "sport/+", "sport/", true },
        { "+/+", "/finance", true },
        { "/+", "/finance", true },
        { "+", "/finance", false },
        /* MQTT5 [MQTT-4.7.2-1] */
        { "#", "$SYS/monitor/Clients", false },
        { "+/monitor/Clients", "$SYS/monitor/Clients", false },
        { "$SYS/#", "$SYS/monitor/Clients", true },
        { "$SYS/monitor/+", "$SYS/monitor/Clients", true },
        /* MQTT5 4.7.3: case, slashes and spaces count */
        { "ACCOUNTS", "Accounts", false },
        { "Accounts payable", "Accounts payable", true },
        { "/finance", "finance", false },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (topic_matches(filter_of(rows[i].filter), name_of(rows[i].name)) != rows[i].matches)
            fail_msg("%s and %s", rows[i].filter, rows[i].name);
}

static void matching_agrees_with_the_naive_matcher(void **state UNUSED)
{
    for (size_t f = 0; f < filters.count; f++)
        for (size_t n = 0; n < names.count; n++)
            if (topic_matches(filter_of(filters.text[f]), name_of(names.text[n])) !=
                naive_matches(filters.text[f], names.text[n]))
                fail_msg("%s and %s", filters.text[f], names.text[n]);
}

#define RANDOM_PAIRS 30000

/* MQTT5 [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.2-1] */
static void random_topics_of_up_to_200_levels_match_as_the_naive_matcher_says(void **state UNUSED)
{
    static char filter[RANDOM_TEXT], topic[RANDOM_TEXT];
    struct topic_filter parsed;
    struct topic_name name;
    unsigned hits = 0, deep = 0;
    uint64_t dice = 1;

    for (unsigned n = 0; n < RANDOM_PAIRS; n++) {
        random_filter(&dice, filter);
        random_topic(&dice, filter, topic);
        assert_int_equal(topic_filter_parse(span_of_str(filter), &parsed, NULL), ST_OK);
        assert_int_equal(topic_name_parse(span_of_str(topic), &name, NULL), ST_OK);
        bool wanted = naive_matches(filter, topic);
        if (topic_matches(parsed, name) != wanted)
            fail_msg("pair %u: %s and %s", n, filter, topic);
        if (topic_filter_covers(parsed, filter_of(topic)) != wanted) /* a topic is a filter for itself */
            fail_msg("pair %u: %s covers %s", n, filter, topic);
        hits += wanted;
        deep += wanted && topic_level_count(name.s) > 100;
    }
    assert_true(hits > RANDOM_PAIRS / 3 && hits < RANDOM_PAIRS * 9 / 10 && deep > RANDOM_PAIRS / 100);
}

/* MQTT5 [MQTT-4.8.2-1], [MQTT-4.8.2-2] */
static void any_filter_may_be_shared_under_any_name(void **state UNUSED)
{
    static char filter[RANDOM_TEXT], other[RANDOM_TEXT], shared[RANDOM_TEXT + 32];
    struct topic_filter parsed, inner;
    struct span name;
    uint64_t dice = 2;

    for (unsigned n = 0; n < RANDOM_PAIRS / 3; n++) {
        const char *letter = random_letters[random_roll(&dice, COUNT_OF(random_letters))];

        random_filter(&dice, filter);
        random_filter(&dice, other);
        (void)snprintf(shared, sizeof shared, "$share/%s/%s", letter, filter);
        if (letter[0] == '\0') {
            assert_int_equal(topic_filter_parse(span_of_str(shared), &parsed, NULL), ST_MALFORMED);
            continue;
        }
        assert_int_equal(topic_filter_parse(span_of_str(shared), &parsed, NULL), ST_OK);
        topic_filter_unshare(parsed, &name, &inner);
        assert_true(span_eq_str(name, letter));
        assert_true(span_eq_str(inner.s, filter));
        assert_int_equal(topic_filter_covers(filter_of(other), parsed),
                         topic_filter_covers(filter_of(other), filter_of(filter)));
    }
}

/* ---- covering ---- */

static void the_tests_of_section_7_hold(void **state UNUSED)
{
    static const struct {
        const char *outer, *inner;
        bool covers;
    } rows[] = {
        /* MT-82 and the list below it */
        { "a/+", "a/#", false },
        { "a/#", "a/+", true },
        { "+/b", "a/b", true },
        { "#", "$SYS/x", false },
        { "topic2/#", "topic2", true },
        { "topic2/#", "topic2/a", true }, /* MT-81 */
        { "a/#", "a/b/+", true },
        { "a/b/+", "a/#", false },
        { "a/b", "a/+", false },
        { "a/+", "a/b", true },
        { "+", "#", false },
        { "#", "+", true },
        { "#", "#", true },
        { "+/+", "a", false },
        { "$SYS/#", "$SYS/x", true },
        { "+/x", "$SYS/x", false },
        { "a/*", "a/b", false }, /* the RFC's "*" is no wildcard */
        { "+/#", "#", true },    /* every topic has a first level */
        { "+/+/#", "#", false },
        { "a/+/#", "a/#", false },
        /* MT-82 with $share: the filter inside counts */
        { "a/+", "$share/g/a/b", true },
        { "a/+", "$share/g/a/#", false },
        { "#", "$share/g/a", true },
        { "#", "$share/g/$SYS/x", false },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (topic_filter_covers(filter_of(rows[i].outer), filter_of(rows[i].inner)) != rows[i].covers)
            fail_msg("%s and %s", rows[i].outer, rows[i].inner);
}

/* inner's topics are all outer's topics, counted one by one. The names go one level deeper than the filters; the
 * empty topic is counted too, so that "/+/#" does not count as covering "/#". */
static bool naive_covers(const char *outer, const char *inner)
{
    for (size_t n = 0; n < names.count; n++)
        if (naive_matches(inner, names.text[n]) && !naive_matches(outer, names.text[n]))
            return false;
    return true;
}

static void covering_agrees_with_counting_topics(void **state UNUSED)
{
    for (size_t o = 0; o < filters.count; o++)
        for (size_t i = 0; i < filters.count; i++)
            if (topic_filter_covers(filter_of(filters.text[o]), filter_of(filters.text[i])) !=
                naive_covers(filters.text[o], filters.text[i]))
                fail_msg("%s and %s", filters.text[o], filters.text[i]);
}

/* ---- intersecting ---- */

static void check_intersection(const char *a, const char *b, struct buf *out)
{
    bool any = false, found;

    buf_reset(out);
    put_str(out, "kept");
    found = topic_filter_intersect(filter_of(a), filter_of(b), out);
    assert_true(span_starts_with(buf_span(out), SPAN("kept")));
    if (!found)
        assert_int_equal(out->len, 4);
    put_u8(out, 0);
    assert_true(buf_ok(out));
    const char *both = (const char *)out->p + 4;
    struct topic_filter checked;
    if (found && topic_filter_parse(span_of_str(both), &checked, NULL) != ST_OK)
        fail_msg("%s and %s give %s", a, b, both);
    for (size_t n = 0; n < names.count; n++) {
        bool in_both = naive_matches(a, names.text[n]) && naive_matches(b, names.text[n]);
        if (names.text[n][0] == '\0') /* [MQTT-4.7.3-1]: nobody can publish it */
            continue;
        any |= in_both;
        if (in_both != (found && naive_matches(both, names.text[n])))
            fail_msg("%s and %s give %s: %s", a, b, found ? both : "nothing", names.text[n]);
    }
    assert_int_equal(found, any);
}

static void intersecting_agrees_with_counting_topics(void **state UNUSED)
{
    struct buf out;

    buf_init(&out, 256);
    for (size_t a = 0; a < filters.count; a++)
        for (size_t b = 0; b < filters.count; b++)
            check_intersection(filters.text[a], filters.text[b], &out);
    buf_done(&out);
}

static void a_long_topic_needs_no_stack(void **state UNUSED)
{
    char *slashes = malloc(65535);

    assert_non_null(slashes);
    memset(slashes, '/', 65535);
    assert_int_equal(topic_level_count(span_of(slashes, 65535)), 65536);
    assert_true(topic_matches(filter_of("+/#"), (struct topic_name){ span_of(slashes, 65535) }));
    assert_true(topic_filter_covers((struct topic_filter){ span_of(slashes, 65535) },
                                    (struct topic_filter){ span_of(slashes, 65535) }));
    free(slashes);
}

/* MQTT5 [MQTT-1.5.4-1], [MQTT-4.7.3-2], [MQTT-3.3.2-2]: wherever in the words that are looked at it stands. */
static void a_byte_that_no_name_may_have_is_found_at_every_place(void **state)
{
    uint8_t text[27];
    struct topic_name name;

    (void)state;
    for (size_t len = 1; len <= sizeof text; len++)
        for (size_t at = 0; at < len; at++)
            for (unsigned byte = 0; byte < 256; byte++) {
                bool good = byte != 0 && byte < 0x80 && byte != '+' && byte != '#';

                memset(text, 'a', sizeof text);
                text[at] = (uint8_t)byte;
                assert_int_equal(topic_name_parse(span_of(text, len), &name, NULL),
                                 good ? ST_OK : ST_MALFORMED);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topic_names_follow_the_grammar),
        cmocka_unit_test(topic_filters_follow_the_grammar),
        cmocka_unit_test(topics_end_at_65535_bytes_and_hold_no_nul),
        cmocka_unit_test(levels_are_counted_and_walked),
        cmocka_unit_test(shared_filters_come_apart),
        cmocka_unit_test(the_examples_of_the_specification_match),
        cmocka_unit_test(matching_agrees_with_the_naive_matcher),
        cmocka_unit_test(random_topics_of_up_to_200_levels_match_as_the_naive_matcher_says),
        cmocka_unit_test(any_filter_may_be_shared_under_any_name),
        cmocka_unit_test(the_tests_of_section_7_hold),
        cmocka_unit_test(covering_agrees_with_counting_topics),
        cmocka_unit_test(intersecting_agrees_with_counting_topics),
        cmocka_unit_test(a_long_topic_needs_no_stack),
        cmocka_unit_test(a_byte_that_no_name_may_have_is_found_at_every_place),
    };
    load(&names, &filters);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
