/* What a scope lets its holder do: the rules of spec section 7 one by one, and random scopes against a holder who
 * asks topic by topic. */
#include "codec/json.h"
#include "mqtt/naive_topic.h"
#include "scope/scope.h"

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

static struct scope *scope_of(const char *json)
{
    struct scope *scope = NULL;
    struct why why = { 0 };

    if (scope_from_text(span_of_str(json), &scope, &why) != ST_OK)
        fail_msg("%s: %s %s", json, why.clause, why.text);
    return scope;
}

#define RFC_EXAMPLE "[[\"topic1\",[\"pub\",\"sub\"]],[\"topic2/#\",[\"pub\"]],[\"+/topic3\",[\"sub\"]]]"

/* ---- reading and writing ---- */

static void the_example_of_the_rfc_is_read(void **state UNUSED)
{
    struct scope *scope = scope_of(RFC_EXAMPLE); /* MT-80, RFC 9431 2.3 figure 9 */

    assert_int_equal(scope_size(scope), 3);
    assert_true(span_eq_str(scope_at(scope, 0).filter.s, "topic1"));
    assert_int_equal(scope_at(scope, 0).permissions, SCOPE_PUB | SCOPE_SUB);
    assert_true(span_eq_str(scope_at(scope, 1).filter.s, "topic2/#"));
    assert_int_equal(scope_at(scope, 1).permissions, SCOPE_PUB);
    assert_true(span_eq_str(scope_at(scope, 2).filter.s, "+/topic3"));
    assert_int_equal(scope_at(scope, 2).permissions, SCOPE_SUB);
    scope_unref(scope);
}

static void what_is_no_scope_is_refused_as_a_whole(void **state UNUSED)
{
    static const struct {
        const char *text, *clause;
        size_t at;
    } rows[] = {
        { "[[\"a\",[\"pub\"]],[\"b\",[\"read\"]]]", "MT-87", 1 },
        { "[[\"a\",[\"PUB\"]]]", "MT-87", 0 },
        { "[[\"a\",[\"pub\",\"pub\"]]]", "MT-87", 0 },
        { "[[\"a\",[1]]]", "MT-87", 0 },
        { "[[\"a\",[\"pub\"]],[\"b\",[\"pub\"]],[\"a\",[\"sub\"]]]", "MT-87", 2 },
        { "[[\"a/+\",[\"pub\"]],[\"a/+\",[\"pub\"]]]", "MT-87", 1 },
        { "[[7,[\"pub\"]]]", "MT-87", 0 },
        { "[[\"a#\",[\"pub\"]]]", "MT-87", 0 },
        { "[[\"#/a\",[\"pub\"]]]", "MT-87", 0 },
        { "[[\"a+/b\",[\"pub\"]]]", "MT-87", 0 },
        { "[[\"\",[\"pub\"]]]", "MT-87", 0 },
        { "[[\"$share/g/a\",[\"sub\"]]]", "MT-87", 0 },
        { "[[\"a\",[]]]", "MT-80", 0 },
        { "[[\"a\",\"pub\"]]", "MT-80", 0 },
        { "[[\"a\"]]", "MT-80", 0 },
        { "[[\"a\",[\"pub\"],[\"sub\"]]]", "MT-80", 0 },
        { "[\"a\"]", "MT-80", 0 },
        { "[[\"a\\u0000\",[\"pub\"]]]", "MT-86", 0 }, /* the JSON reader knows no U+0000 */
        { "[[\"a\",[\"pub\"]]", "MT-86", 0 },
        { "{\"a\":[\"pub\"]}", "MT-86", 0 }, /* neither base64url nor an array */
        { "publish_+/topic3", "MT-86", 0 },  /* D-21: the strings of early drafts */
        { "e30", "MT-80", 0 },               /* base64url of {} */
        { "", "MT-86", 0 },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct scope *scope = NULL;
        struct why why = { 0 };
        enum status st = scope_from_text(span_of_str(rows[i].text), &scope, &why);
        if (st != ST_BAD_SCOPE || strcmp(why.clause, rows[i].clause) != 0)
            fail_msg("%s: %s %s", rows[i].text, status_name(st), why.clause == NULL ? "" : why.clause);
        if (strcmp(why.clause, "MT-86") != 0)
            assert_int_equal(why.at, rows[i].at);
        assert_null(scope);
    }
}

/* As text: more entries than may be, and more text than the entries that may be could take. */
static void scopes_as_text_have_limits(void **state UNUSED)
{
    CLEANUP(buf_done)
    struct buf text;
    struct scope *scope = NULL;
    struct why why;

    buf_init(&text, 4 * SCOPE_MAX_BYTES);
    for (size_t i = 0; i <= SCOPE_MAX_PAIRS; i++)
        put_fmt(&text, "%s[\"%zu\",[\"pub\"]]", i == 0 ? "[" : ",", i);
    put_str(&text, "]");
    assert_int_equal(scope_from_text(buf_span(&text), &scope, &why), ST_TOO_LARGE);
    assert_string_equal(why.clause, "SCOPE_MAX_PAIRS");
    buf_reset(&text);
    while (text.len < 2 * SCOPE_MAX_BYTES)
        put_str(&text, "W10A");
    assert_int_equal(scope_from_text(buf_span(&text), &scope, &why), ST_TOO_LARGE);
    assert_string_equal(why.clause, "SCOPE_MAX_BYTES");
    assert_null(scope);
}

static void scopes_have_limits(void **state UNUSED)
{
    struct scope_entry entries[SCOPE_MAX_PAIRS + 1];
    char names[SCOPE_MAX_PAIRS + 1][300];
    struct scope *scope = NULL;
    struct why why;

    for (size_t i = 0; i <= SCOPE_MAX_PAIRS; i++) {
        snprintf(names[i], sizeof names[i], "%zu", i);
        entries[i] = (struct scope_entry){ filter_of(names[i]), SCOPE_PUB };
    }
    assert_int_equal(scope_build(entries, SCOPE_MAX_PAIRS + 1, &scope, &why), ST_TOO_LARGE);
    assert_string_equal(why.clause, "SCOPE_MAX_PAIRS");
    assert_int_equal(scope_build(entries, SCOPE_MAX_PAIRS, &scope, &why), ST_OK);
    scope_unref(scope);
    for (size_t i = 0; i <= SCOPE_MAX_PAIRS; i++) {
        snprintf(names[i], sizeof names[i], "%0299zu", i);
        entries[i] = (struct scope_entry){ filter_of(names[i]), SCOPE_PUB };
    }
    assert_int_equal(scope_build(entries, SCOPE_MAX_PAIRS, &scope, &why), ST_TOO_LARGE);
    assert_string_equal(why.clause, "SCOPE_MAX_BYTES");
    entries[0].permissions = 4;
    assert_int_equal(scope_build(entries, 1, &scope, &why), ST_BAD_SCOPE);
    entries[0].permissions = 0;
    assert_int_equal(scope_build(entries, 1, &scope, &why), ST_BAD_SCOPE);
}

static void every_carriage_means_the_same(void **state UNUSED)
{
    struct js *array = NULL, *text = NULL, *encoded = NULL, *number = js_new_i64(1);
    struct scope *a = NULL, *b = NULL, *c = NULL, *from_number = NULL;
    struct buf claim;

    buf_init(&claim, 4096); /* D-20, MT-86 */
    assert_int_equal(js_parse(SPAN(RFC_EXAMPLE), 4096, &array, NULL), ST_OK);
    text = js_new_str(SPAN(RFC_EXAMPLE));
    assert_int_equal(scope_from_claim(array, &a, NULL), ST_OK);
    assert_int_equal(scope_from_claim(text, &b, NULL), ST_OK);
    assert_int_equal(scope_to_claim(a, &claim), ST_OK);
    assert_true(span_starts_with(buf_span(&claim), SPAN("W1sidG9waWMxIixb"))); /* base64url of [["topic1",[ */
    assert_int_equal(span_find(buf_span(&claim), '=', 0), claim.len);
    encoded = js_new_str(buf_span(&claim));
    assert_int_equal(scope_from_claim(encoded, &c, NULL), ST_OK);
    assert_true(scope_same(a, b) && scope_same(b, c));
    assert_int_equal(scope_from_claim(number, &from_number, NULL), ST_BAD_SCOPE);
    js_unref(array);
    js_unref(text);
    js_unref(encoded);
    js_unref(number);
    scope_unref(a);
    scope_unref(b);
    scope_unref(c);
    buf_done(&claim);
}

static void writing_gives_back_what_was_read(void **state UNUSED)
{
    struct scope *scope = scope_of(RFC_EXAMPLE);
    struct buf text;

    buf_init(&text, 4096);
    assert_int_equal(scope_to_text(scope, &text), ST_OK);
    assert_true(span_eq_str(buf_span(&text), RFC_EXAMPLE));
    scope_unref(scope);
    buf_done(&text);
}

static void sameness_ignores_the_order(void **state UNUSED)
{
    struct scope *a = scope_of("[[\"x\",[\"pub\"]],[\"a/+\",[\"sub\",\"pub\"]],[\"b\",[\"sub\"]]]");
    struct scope *b = scope_of("[[\"b\",[\"sub\"]],[\"a/+\",[\"pub\",\"sub\"]],[\"x\",[\"pub\"]]]");
    struct scope *c = scope_of("[[\"b\",[\"pub\"]],[\"a/+\",[\"pub\",\"sub\"]],[\"x\",[\"pub\"]]]");

    assert_true(scope_same(a, b));
    assert_false(scope_same(a, c));
    scope_unref(a);
    scope_unref(b);
    scope_unref(c);
}

/* ---- deciding ---- */

static void publishing_needs_an_entry_that_covers_the_topic(void **state UNUSED)
{
    static const struct {
        const char *topic;
        bool publish, receive;
    } rows[] = { /* MT-81; MT-84 asks the same of a Will topic */
                 { "topic1", true, true },        { "topic1/a", false, false },
                 { "topic2", true, false },       { "topic2/a", true, false },
                 { "topic2/a/b", true, false },   { "topic3", false, false },
                 { "x/topic3", false, true },     { "x/y/topic3", false, false },
                 { "$SYS/topic3", false, false }, { "topic2/topic3", true, true }
    };
    struct scope *scope = scope_of(RFC_EXAMPLE);

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(scope_may_publish(scope, name_of(rows[i].topic)), rows[i].publish);
        assert_int_equal(scope_may_receive(scope, name_of(rows[i].topic)), rows[i].receive);
    }
    scope_unref(scope);
}

static void subscribing_needs_one_entry_around_the_filter(void **state UNUSED)
{
    static const struct {
        const char *scope, *filter;
        bool allowed;
    } rows[] = { /* MT-82 and the tests under it */
                 { "[[\"a/+\",[\"sub\"]]]", "a/#", false },
                 { "[[\"a/#\",[\"sub\"]]]", "a/+", true },
                 { "[[\"+/b\",[\"sub\"]]]", "a/b", true },
                 { "[[\"#\",[\"sub\"]]]", "$SYS/x", false },
                 { "[[\"#\",[\"sub\"]]]", "#", true },
                 { "[[\"topic2/#\",[\"sub\"]]]", "topic2", true },
                 { "[[\"topic2/#\",[\"pub\"]]]", "topic2", false },
                 { "[[\"a/b\",[\"sub\"]]]", "a/+", false },
                 /* not the union of several */
                 { "[[\"a\",[\"sub\"]],[\"a/+\",[\"sub\"]],[\"a/+/#\",[\"sub\"]]]", "a/#", false },
                 /* of a shared one the filter inside counts */
                 { "[[\"a/#\",[\"sub\"]]]", "$share/g/a/b", true },
                 { "[[\"a/+\",[\"sub\"]]]", "$share/g/a/#", false },
                 /* "*" is no wildcard, whatever the RFC's example says */
                 { "[[\"a/*\",[\"sub\"]]]", "a/b", false },
                 { "[[\"a/*\",[\"sub\"]]]", "a/*", true },
                 { "[[\"$SYS/#\",[\"sub\"]]]", "$SYS/x/+", true }
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct scope *scope = scope_of(rows[i].scope);
        if (scope_may_subscribe(scope, filter_of(rows[i].filter)) != rows[i].allowed)
            fail_msg("%s: %s", rows[i].scope, rows[i].filter);
        scope_unref(scope);
    }
}

static void an_empty_scope_permits_nothing(void **state UNUSED)
{
    struct scope *scope = scope_of("[]"); /* MT-83 */

    assert_true(scope_is_empty(scope));
    assert_false(scope_may_publish(scope, name_of("a")));
    assert_false(scope_may_receive(scope, name_of("a")));
    assert_false(scope_may_subscribe(scope, filter_of("a")));
    assert_true(scope_covers(scope, scope));
    scope_unref(scope);
}

static void references_are_counted(void **state UNUSED)
{
    struct scope *scope = scope_of("[[\"a\",[\"pub\"]]]");
    struct scope *again = scope_ref(scope);

    scope_unref(scope);
    assert_true(scope_may_publish(again, name_of("a")));
    scope_unrefp(&again);
    scope_unref(NULL);
    assert_null(scope_ref(NULL));
}

static void intersections_are_as_small_as_they_can_be(void **state UNUSED)
{
    static const struct {
        const char *a, *b, *both;
    } rows[] = {
        { "[[\"a/#\",[\"pub\",\"sub\"]]]", "[[\"a/+\",[\"sub\"]],[\"b\",[\"pub\"]]]", "[[\"a/+\",[\"sub\"]]]" },
        { "[[\"a/+\",[\"sub\"]]]", "[[\"+/b\",[\"sub\"]]]", "[[\"a/b\",[\"sub\"]]]" },
        { "[[\"a\",[\"pub\"]],[\"+\",[\"sub\"]]]", "[[\"#\",[\"pub\",\"sub\"]]]",
          "[[\"a\",[\"pub\"]],[\"+\",[\"sub\"]]]" },
        { "[[\"a\",[\"pub\"]],[\"+\",[\"sub\"]]]", "[[\"a\",[\"pub\",\"sub\"]]]",
          "[[\"a\",[\"pub\",\"sub\"]]]" },
        { "[[\"a\",[\"pub\"]],[\"+\",[\"pub\"]]]", "[[\"a\",[\"pub\"]],[\"#\",[\"pub\"]]]",
          "[[\"+\",[\"pub\"]]]" },
        { "[[\"a\",[\"pub\"]]]", "[[\"a\",[\"sub\"]]]", "[]" },
        { "[[\"#\",[\"sub\"]]]", "[[\"$SYS/#\",[\"sub\"]]]", "[]" },
        { "[]", "[[\"#\",[\"sub\"]]]", "[]" },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct scope *a = scope_of(rows[i].a), *b = scope_of(rows[i].b), *want = scope_of(rows[i].both);
        struct scope *both = NULL;
        assert_int_equal(scope_intersect(a, b, &both, NULL), ST_OK);
        if (!scope_same(both, want))
            fail_msg("%s and %s", rows[i].a, rows[i].b);
        scope_unref(a);
        scope_unref(b);
        scope_unref(want);
        scope_unref(both);
    }
}

static void an_intersection_too_large_is_refused(void **state UNUSED)
{
    static char across[2][SCOPE_MAX_PAIRS][24];
    struct scope_entry x[SCOPE_MAX_PAIRS], y[SCOPE_MAX_PAIRS];
    struct scope *a = NULL, *b = NULL, *both = NULL;
    struct why why;

    for (size_t i = 0; i < SCOPE_MAX_PAIRS; i++) { /* "i/+" with "+/j": 65536 different topics */
        snprintf(across[0][i], sizeof across[0][i], "%zu/+", i);
        snprintf(across[1][i], sizeof across[1][i], "+/%zu", i);
        x[i] = (struct scope_entry){ filter_of(across[0][i]), SCOPE_SUB };
        y[i] = (struct scope_entry){ filter_of(across[1][i]), SCOPE_SUB };
    }
    assert_int_equal(scope_build(x, SCOPE_MAX_PAIRS, &a, NULL), ST_OK);
    assert_int_equal(scope_build(y, SCOPE_MAX_PAIRS, &b, NULL), ST_OK);
    assert_int_equal(scope_intersect(a, b, &both, &why), ST_TOO_LARGE);
    assert_string_equal(why.clause, "SCOPE_MAX_PAIRS");
    scope_unref(a);
    scope_unref(b);
}

/* ---- against topic by topic ---- */

static struct naive_topics names, filters;

static void load(void)
{
    static const char *const name_letters[] = { "a", "b", "$x", "c" };
    static const char *const filter_letters[] = { "a", "b", "$x", "+", "#" };
    struct topic_filter ignored;
    size_t kept = 0;

    naive_enumerate(&names, name_letters, COUNT_OF(name_letters), 4);
    naive_enumerate(&filters, filter_letters, COUNT_OF(filter_letters), 3);
    for (size_t i = 0; i < filters.count; i++)
        if (topic_filter_parse(span_of_str(filters.text[i]), &ignored, NULL) == ST_OK)
            memmove(filters.text[kept++], filters.text[i], NAIVE_TEXT);
    filters.count = kept;
}

static uint64_t dice = UINT64_C(0x5c09e);

static uint32_t roll(uint32_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)(dice >> 32) % sides;
}

static struct scope *random_scope(void)
{
    struct scope_entry entries[6];
    struct scope *scope = NULL;
    uint32_t count = roll(COUNT_OF(entries) + 1);

    do
        for (uint32_t i = 0; i < count; i++)
            entries[i] =
                (struct scope_entry){ filter_of(filters.text[roll((uint32_t)filters.count)]), 1 + roll(3) };
    while (scope_build(entries, count, &scope, NULL) != ST_OK); /* the same filter twice: again */
    return scope;
}

/* The filter of an entry as a C string: a view into `filters`. */
static const char *text_of(const struct scope *scope, size_t i)
{
    static char text[2][NAIVE_TEXT];
    static unsigned turn;
    struct span s = scope_at(scope, i).filter.s;

    turn ^= 1;
    snprintf(text[turn], NAIVE_TEXT, "%.*s", SPAN_FMT(s));
    return text[turn];
}

static bool naive_allows_topic(const struct scope *scope, const char *name, unsigned permission)
{
    for (size_t i = 0; i < scope_size(scope); i++)
        if ((scope_at(scope, i).permissions & permission) != 0 && naive_matches(text_of(scope, i), name))
            return true;
    return false;
}

static bool naive_inside(const char *inner, const char *outer)
{
    for (size_t n = 0; n < names.count; n++)
        if (naive_matches(inner, names.text[n]) && !naive_matches(outer, names.text[n]))
            return false;
    return true;
}

static bool naive_may_subscribe(const struct scope *scope, const char *filter)
{
    for (size_t i = 0; i < scope_size(scope); i++)
        if ((scope_at(scope, i).permissions & SCOPE_SUB) != 0 && naive_inside(filter, text_of(scope, i)))
            return true;
    return false;
}

static void decisions_agree_with_asking_topic_by_topic(void **state UNUSED) /* MT-81, MT-82, MT-98 */
{
    for (int round = 0; round < 400; round++) {
        struct scope *scope = random_scope();
        for (size_t n = 0; n < names.count; n++) {
            const char *name = names.text[n];
            assert_int_equal(scope_may_publish(scope, name_of(name)),
                             naive_allows_topic(scope, name, SCOPE_PUB));
            assert_int_equal(scope_may_receive(scope, name_of(name)),
                             naive_allows_topic(scope, name, SCOPE_SUB));
        }
        for (int i = 0; i < 40; i++) {
            const char *filter = filters.text[roll((uint32_t)filters.count)];
            assert_int_equal(scope_may_subscribe(scope, filter_of(filter)), naive_may_subscribe(scope, filter));
        }
        scope_unref(scope);
    }
}

static void check_minimal(const struct scope *scope)
{
    for (size_t i = 0; i < scope_size(scope); i++)
        for (size_t j = 0; j < scope_size(scope); j++)
            if (i != j && (scope_at(scope, i).permissions & scope_at(scope, j).permissions) != 0)
                assert_false(topic_filter_covers(scope_at(scope, i).filter, scope_at(scope, j).filter));
}

static void an_intersection_permits_what_both_do_and_no_more(void **state UNUSED)
{
    for (int round = 0; round < 400; round++) {
        struct scope *a = random_scope(), *b = random_scope(), *both = NULL;
        assert_int_equal(scope_intersect(a, b, &both, NULL), ST_OK);
        check_minimal(both);
        assert_true(scope_covers(a, both) && scope_covers(b, both));
        for (size_t n = 0; n < names.count; n++) {
            struct topic_name name = name_of(names.text[n]);
            assert_int_equal(scope_may_publish(both, name),
                             scope_may_publish(a, name) && scope_may_publish(b, name));
            assert_int_equal(scope_may_receive(both, name),
                             scope_may_receive(a, name) && scope_may_receive(b, name));
        }
        for (int i = 0; i < 40; i++) {
            struct topic_filter filter = filter_of(filters.text[roll((uint32_t)filters.count)]);
            assert_int_equal(scope_may_subscribe(both, filter),
                             scope_may_subscribe(a, filter) && scope_may_subscribe(b, filter));
        }
        scope_unref(a);
        scope_unref(b);
        scope_unref(both);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_rfc_is_read),
        cmocka_unit_test(what_is_no_scope_is_refused_as_a_whole),
        cmocka_unit_test(scopes_have_limits),
        cmocka_unit_test(scopes_as_text_have_limits),
        cmocka_unit_test(every_carriage_means_the_same),
        cmocka_unit_test(writing_gives_back_what_was_read),
        cmocka_unit_test(sameness_ignores_the_order),
        cmocka_unit_test(publishing_needs_an_entry_that_covers_the_topic),
        cmocka_unit_test(subscribing_needs_one_entry_around_the_filter),
        cmocka_unit_test(an_empty_scope_permits_nothing),
        cmocka_unit_test(references_are_counted),
        cmocka_unit_test(intersections_are_as_small_as_they_can_be),
        cmocka_unit_test(an_intersection_too_large_is_refused),
        cmocka_unit_test(decisions_agree_with_asking_topic_by_topic),
        cmocka_unit_test(an_intersection_permits_what_both_do_and_no_more),
    };
    load();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
