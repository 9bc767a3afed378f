/* Rules: which topics go over, and what they are called there. */
#include "bridge/rules.h"
#include "scope/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define OUT  RULE_OUT
#define IN_  RULE_IN
#define BOTH RULE_BOTH

static struct rules *make(const struct rule_text *texts, size_t count)
{
    CLEANUP(buf_done)
    struct buf problem = { .max = 4096 };
    struct rules *rules = NULL;

    if (rules_new(texts, count, &rules, &problem) != ST_OK)
        print_message("%.*s", SPAN_FMT(buf_span(&problem)));
    assert_non_null(rules);
    return rules;
}

/* "" where it does not go over. */
static void assert_maps(const struct rules *rules, enum rule_side from, const char *topic, const char *want)
{
    CLEANUP(buf_done)
    struct buf out = { .max = TOPIC_LEN_MAX };
    struct topic_name name;

    assert_int_equal(topic_name_parse(span_of_str(topic), &name, NULL), ST_OK);
    bool went = rules_map(rules, from, name, &out) != NULL;
    put_u8(&out, '\0');
    assert_string_equal((const char *)out.p, want);
    assert_int_equal(went, want[0] != '\0');
}

static void a_prefix_is_exchanged_for_the_other(void **state UNUSED)
{
    CLEANUP(rules_freep)
    struct rules *rules = make((const struct rule_text[]){ { "sensors/#", "", "site7/", OUT, 1 },
                                                           { "cmd/+", "from-hub/", "", IN_, 2 } },
                               2);

    assert_maps(rules, SIDE_LOCAL, "sensors/a/b", "site7/sensors/a/b");
    assert_maps(rules, SIDE_LOCAL, "sensors", "site7/sensors");
    assert_maps(rules, SIDE_LOCAL, "other", "");
    assert_maps(rules, SIDE_REMOTE, "cmd/reset", "from-hub/cmd/reset");
    assert_maps(rules, SIDE_REMOTE, "cmd/a/b", "");
    assert_maps(rules, SIDE_REMOTE, "site7/sensors/a", ""); /* it goes out only */
    assert_maps(rules, SIDE_LOCAL, "from-hub/cmd/reset", "");
}

static void the_first_rule_that_matches_decides(void **state UNUSED)
{
    CLEANUP(rules_freep)
    struct rules *rules =
        make((const struct rule_text[]){ { "a/b", "", "x/", BOTH, 0 }, { "#", "", "y/", BOTH, 2 } }, 2);

    assert_maps(rules, SIDE_LOCAL, "a/b", "x/a/b");
    assert_maps(rules, SIDE_LOCAL, "a/c", "y/a/c");
    assert_maps(rules, SIDE_REMOTE, "x/a/b", "a/b");
}

/* "a/#" matches "a", which has no slash to exchange. */
static void the_parent_level_goes_over_where_it_has_a_name(void **state UNUSED)
{
    CLEANUP(rules_freep)
    struct rules *rules = make(
        (const struct rule_text[]){ { "#", "here/", "there/", BOTH, 2 }, { "#", "bare/", "", IN_, 2 } }, 2);

    assert_maps(rules, SIDE_LOCAL, "here", "there");
    assert_maps(rules, SIDE_REMOTE, "there", "here");
    assert_maps(rules, SIDE_LOCAL, "here/", "there/");
    assert_maps(rules, SIDE_REMOTE, "x", "bare/x");
}

static void an_empty_filter_makes_topics_of_the_prefixes(void **state UNUSED)
{
    CLEANUP(rules_freep)
    struct rules *rules = make((const struct rule_text[]){ { "", "a/b", "c", BOTH, 2 } }, 1);

    assert_maps(rules, SIDE_LOCAL, "a/b", "c");
    assert_maps(rules, SIDE_REMOTE, "c", "a/b");
    assert_maps(rules, SIDE_REMOTE, "c/d", "");
}

/* MQTT5 4.7.2: what follows a prefix there may begin with $; here it would be one of our own topics. */
static void no_topic_of_the_other_broker_becomes_one_of_sys(void **state UNUSED)
{
    CLEANUP(rules_freep)
    struct rules *rules = make((const struct rule_text[]){ { "#", "", "site7/", BOTH, 2 } }, 1);

    assert_maps(rules, SIDE_REMOTE, "site7/$SYS/broker/uptime", "");
    assert_maps(rules, SIDE_REMOTE, "site7/ok", "ok");
    assert_maps(rules, SIDE_REMOTE, "site7/", ""); /* nothing would be left of it */
    assert_maps(rules, SIDE_REMOTE, "site7", "");
    assert_maps(rules, SIDE_LOCAL, "$SYS/broker/uptime", "");
}

static void a_topic_that_grows_too_long_does_not_go_over(void **state UNUSED)
{
    CLEANUP(rules_freep)
    struct rules *rules = make((const struct rule_text[]){ { "#", "", "site7/", BOTH, 2 } }, 1);
    CLEANUP(buf_done)
    struct buf out = { .max = 2 * TOPIC_LEN_MAX };
    CLEANUP(freep)
    char *topic = malloc(TOPIC_LEN_MAX);
    struct topic_name name;

    assert_non_null(topic);
    memset(topic, 'a', TOPIC_LEN_MAX);
    assert_int_equal(topic_name_parse(span_of(topic, TOPIC_LEN_MAX), &name, NULL), ST_OK);
    assert_null(rules_map(rules, SIDE_LOCAL, name, &out));
    assert_int_equal(out.len, 0);
    assert_int_equal(topic_name_parse(span_of(topic, TOPIC_LEN_MAX - 6), &name, NULL), ST_OK);
    assert_non_null(rules_map(rules, SIDE_LOCAL, name, &out));
}

/* ---- a property: there and back is where one was ---- */

static uint32_t random_of(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void random_levels(uint32_t *state, const char *const *words, size_t count, struct buf *out)
{
    size_t levels = 1 + random_of(state) % 3;

    for (size_t i = 0; i < levels; i++) {
        put_str(out, i == 0 ? "" : "/");
        put_str(out, words[random_of(state) % count]);
    }
}

static void mapping_there_and_back_gives_the_topic_again(void **state UNUSED)
{
    static const char *const filters[] = { "#", "a/#", "+/b", "a", "+", "a/+/c", "+/#", "" };
    static const char *const prefixes[] = { "", "x/", "x/y/", "a/", "b/a/" };
    static const char *const words[] = { "a", "b", "c", "x", "y", "" };
    uint32_t seed = 4;
    size_t mapped = 0;

    for (int i = 0; i < 20000; i++) {
        CLEANUP(buf_done)
        struct buf topic = { .max = 256 }, there = { .max = 256 }, back = { .max = 256 },
                   problem = { .max = 4096 };
        CLEANUP(rules_freep)
        struct rules *rules = NULL;
        struct topic_name name;
        struct rule_text text = { filters[random_of(&seed) % COUNT_OF(filters)],
                                  prefixes[random_of(&seed) % COUNT_OF(prefixes)],
                                  prefixes[random_of(&seed) % COUNT_OF(prefixes)], BOTH, 2 };
        enum rule_side from = random_of(&seed) % 2 == 0 ? SIDE_LOCAL : SIDE_REMOTE;

        if (rules_new(&text, 1, &rules, &problem) != ST_OK)
            continue; /* "" and no prefix */
        random_levels(&seed, words, COUNT_OF(words), &topic);
        if (topic_name_parse(buf_span(&topic), &name, NULL) != ST_OK ||
            rules_map(rules, from, name, &there) == NULL)
            continue;
        mapped++;
        name.s = buf_span(&there);
        assert_non_null(rules_map(rules, from == SIDE_LOCAL ? SIDE_REMOTE : SIDE_LOCAL, name, &back));
        assert_true(span_eq(buf_span(&back), buf_span(&topic)));
        assert_true(topic_matches(rules_at(rules, 0)->filter[from], (struct topic_name){ buf_span(&topic) }));
    }
    assert_true(mapped > 1000);
}

/* ---- what cannot be meant ---- */

static bool refused(const struct rule_text *text, const char *want)
{
    CLEANUP(buf_done)
    struct buf problem = { .max = 4096 };
    struct rules *rules = NULL;

    if (rules_new(text, 1, &rules, &problem) == ST_OK) {
        rules_free(rules);
        return false;
    }
    put_u8(&problem, '\0');
    assert_non_null(strstr((const char *)problem.p, want));
    assert_non_null(strstr((const char *)problem.p, "topics[1]"));
    return true;
}

static void filters_that_are_none_are_refused(void **state UNUSED)
{
    assert_true(refused(&(struct rule_text){ "a#", "", "", OUT, 0 }, "no topic filter of the local side"));
    assert_true(refused(&(struct rule_text){ "#", "site", "", OUT, 0 }, "no topic filter of the local side"));
    assert_true(refused(&(struct rule_text){ "+", "", "site", OUT, 0 }, "no topic filter of the remote side"));
    assert_true(refused(&(struct rule_text){ "", "", "x", OUT, 0 }, "no topic filter of the local side"));
    assert_true(refused(&(struct rule_text){ "a", "+/", "", OUT, 0 }, "no wildcard"));
    assert_true(refused(&(struct rule_text){ "a", "", "#", OUT, 0 }, "no wildcard"));
    assert_true(refused(&(struct rule_text){ "$share/g/a", "", "", OUT, 0 }, "shared subscription"));
    assert_false(refused(&(struct rule_text){ "+", "site/", NULL, OUT, 0 }, ""));
}

static size_t complaints(bool echo, const struct rule_text *texts, size_t count)
{
    CLEANUP(rules_freep)
    struct rules *rules = make(texts, count);
    CLEANUP(buf_done)
    struct buf problem = { .max = 4096 };
    size_t lines = 0;

    rules_check(rules, echo, &problem);
    for (size_t at = 0; (at = span_find(buf_span(&problem), '\n', at)) < problem.len; at++)
        lines++;
    return lines;
}

static void rules_that_would_double_a_message_are_found(void **state UNUSED)
{
    const struct rule_text in_twice[] = { { "a/#", "", "", IN_, 0 }, { "+/b", "", "", IN_, 0 } };
    const struct rule_text apart[] = { { "a/#", "", "", IN_, 0 }, { "b/#", "", "", IN_, 0 } };
    const struct rule_text ways[] = { { "a/#", "", "", IN_, 0 }, { "a/b", "", "", OUT, 0 } };
    const struct rule_text out_twice[] = { { "#", "", "x/", OUT, 0 }, { "a", "", "y/", BOTH, 0 } };

    assert_int_equal(complaints(false, in_twice, 2), 1);
    assert_int_equal(complaints(false, apart, 2), 0);
    assert_int_equal(complaints(false, ways, 2), 0); /* No Local sees to that */
    assert_int_equal(complaints(false, out_twice, 2), 1);
}

static void rules_whose_messages_would_come_back_are_found(void **state UNUSED)
{
    const struct rule_text both[] = { { "a/#", "here/", "there/", BOTH, 0 } };
    const struct rule_text ways[] = { { "a/#", "", "", IN_, 0 }, { "a/b", "", "", OUT, 0 } };
    const struct rule_text apart[] = { { "a/#", "", "in/", IN_, 0 }, { "a/#", "", "out/", OUT, 0 } };

    assert_int_equal(complaints(true, both, 1), 1);
    assert_int_equal(complaints(true, ways, 2), 1);
    assert_int_equal(complaints(true, apart, 2), 0);
    assert_int_equal(complaints(false, both, 1), 0);
}

/* ---- what the bridge may do ---- */

static void assert_scope(const struct rules *rules, enum rule_side side, const char *extra, const char *want)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    CLEANUP(buf_done)
    struct buf text = { .max = 4096 };
    struct why why;

    assert_int_equal(rules_scope(rules, side, span_of_str(extra), &scope, &why), ST_OK);
    assert_int_equal(scope_to_text(scope, &text), ST_OK);
    put_u8(&text, '\0');
    assert_string_equal((const char *)text.p, want);
}

static void its_rights_are_its_rules_and_no_more(void **state UNUSED)
{
    CLEANUP(rules_freep)
    struct rules *rules = make((const struct rule_text[]){ { "s/#", "", "x/", OUT, 1 },
                                                           { "c/+", "", "x/", IN_, 1 },
                                                           { "b", "", "x/", BOTH, 1 },
                                                           { "s/#", "", "y/", IN_, 1 } },
                               4);

    assert_scope(rules, SIDE_LOCAL, "$SYS/state",
                 "[[\"s/#\",[\"pub\",\"sub\"]],[\"c/+\",[\"pub\"]],[\"b\",[\"pub\",\"sub\"]],[\"$SYS/"
                 "state\",[\"pub\"]]]");
    assert_scope(
        rules, SIDE_REMOTE, NULL,
        "[[\"x/s/#\",[\"pub\"]],[\"x/c/+\",[\"sub\"]],[\"x/b\",[\"pub\",\"sub\"]],[\"y/s/#\",[\"sub\"]]]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_is_exchanged_for_the_other),
        cmocka_unit_test(the_first_rule_that_matches_decides),
        cmocka_unit_test(the_parent_level_goes_over_where_it_has_a_name),
        cmocka_unit_test(an_empty_filter_makes_topics_of_the_prefixes),
        cmocka_unit_test(no_topic_of_the_other_broker_becomes_one_of_sys),
        cmocka_unit_test(a_topic_that_grows_too_long_does_not_go_over),
        cmocka_unit_test(mapping_there_and_back_gives_the_topic_again),
        cmocka_unit_test(filters_that_are_none_are_refused),
        cmocka_unit_test(rules_that_would_double_a_message_are_found),
        cmocka_unit_test(rules_whose_messages_would_come_back_are_found),
        cmocka_unit_test(its_rights_are_its_rules_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
