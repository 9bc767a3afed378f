/* Which topics get an alias, and which one. */
#include "shard/alias_out.h"

#include "base/table.h"

#include <stdio.h>

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

static uint32_t hash_of(const char *topic)
{
    return (uint32_t)siphash((struct hash_key){ { 1, 2 } }, span_of_str(topic));
}

static enum alias_use take(struct alias_out **table, uint16_t maximum, const char *topic, uint16_t *ret_alias)
{
    return alias_out_take(table, maximum, span_of_str(topic), hash_of(topic), ret_alias);
}

static void a_topic_is_told_once_and_known_from_then_on(void **state)
{ /* MQTT5 [MQTT-3.1.2-26]: never beyond the maximum, never 0 ([MQTT-3.3.2-8]) */
    struct alias_out *table = NULL;
    uint16_t alias = 0, again = 0;

    (void)state;
    assert_int_equal(take(&table, 3, "plant/1/temperature", &alias), ALIAS_TELL);
    assert_in_range(alias, 1, 3);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(take(&table, 3, "plant/1/temperature", &again), ALIAS_KNOWN);
        assert_int_equal(again, alias);
    }
    alias_out_forget(table, alias); /* it was not sent */
    assert_int_equal(take(&table, 3, "plant/1/temperature", &again), ALIAS_TELL);
    alias_out_free(table);
}

static void two_topics_never_share_an_alias(void **state)
{
    enum { TOPICS = 300, MAXIMUM = 64 };
    struct alias_out *table = NULL;
    char holder[MAXIMUM + 1][32] = { "" }; /* what the client thinks */
    unsigned known = 0;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char topic[32];
        uint16_t alias = 0;

        snprintf(topic, sizeof topic, "plant/%d/temperature", (i * 7919 + i / 5) % TOPICS);
        switch (take(&table, MAXIMUM, topic, &alias)) {
        case ALIAS_TELL:
            assert_in_range(alias, 1, MAXIMUM);
            snprintf(holder[alias], sizeof holder[alias], "%s", topic);
            break;
        case ALIAS_KNOWN:
            assert_string_equal(holder[alias], topic);
            known++;
            break;
        case ALIAS_NONE:
            break;
        }
    }
    assert_true(known > 0);
    alias_out_free(table);
}

static void topics_that_come_once_do_not_push_out_the_others(void **state)
{
    struct alias_out *table = NULL;
    unsigned told = 0, known = 0;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        char topic[32];
        uint16_t alias;

        snprintf(topic, sizeof topic, "once/%d", i);
        if (i % 2 == 0)
            snprintf(topic, sizeof topic, "often/%d", i / 2 % 4);
        enum alias_use use = take(&table, 16, topic, &alias);
        told += use == ALIAS_TELL;
        known += use == ALIAS_KNOWN && i % 2 == 0;
    }
    assert_in_range(told, 1, 20); /* copies are made for those that have a place, no more */
    assert_in_range(known, 4900, 5000);
    alias_out_free(table);
}

static void a_place_goes_to_whom_it_is_of_use(void **state)
{
    struct alias_out *table = NULL;
    uint16_t alias;

    (void)state;
    assert_int_equal(take(&table, 1, "first/topic", &alias), ALIAS_TELL);
    assert_int_equal(take(&table, 1, "other/topic", &alias), ALIAS_NONE);
    assert_int_equal(take(&table, 1, "first/topic", &alias), ALIAS_KNOWN); /* still in use */
    assert_int_equal(take(&table, 1, "other/topic", &alias), ALIAS_NONE);
    assert_int_equal(take(&table, 1, "other/topic", &alias), ALIAS_TELL); /* twice, and the first not once */
    assert_int_equal(take(&table, 1, "other/topic", &alias), ALIAS_KNOWN);
    alias_out_free(table);
}

static void short_and_very_long_topics_go_without(void **state)
{
    char topic[ALIAS_TOPIC_MAX + 2];
    struct alias_out *table = NULL;
    uint16_t alias;

    (void)state;
    memset(topic, 'x', sizeof topic);
    topic[sizeof topic - 1] = '\0';
    assert_int_equal(take(&table, 4, topic, &alias), ALIAS_NONE);
    assert_int_equal(take(&table, 4, "a/b", &alias), ALIAS_NONE);
    assert_null(table); /* nor does it take memory */
    topic[ALIAS_TOPIC_MAX] = '\0';
    assert_int_equal(take(&table, 4, topic, &alias), ALIAS_TELL);
    alias_out_free(table);
}

static void it_knows_when_nobody_needs_it(void **state)
{
    struct alias_out *table = NULL;
    uint16_t alias;

    (void)state;
    assert_int_equal(take(&table, 4, "plant/1", &alias), ALIAS_TELL);
    assert_false(alias_out_idle(table));
    assert_true(alias_out_idle(table));
    assert_int_equal(take(&table, 4, "plant/1", &alias), ALIAS_KNOWN);
    assert_false(alias_out_idle(table));
    alias_out_free(table);
    alias_out_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_is_told_once_and_known_from_then_on),
        cmocka_unit_test(two_topics_never_share_an_alias),
        cmocka_unit_test(topics_that_come_once_do_not_push_out_the_others),
        cmocka_unit_test(a_place_goes_to_whom_it_is_of_use),
        cmocka_unit_test(short_and_very_long_topics_go_without),
        cmocka_unit_test(it_knows_when_nobody_needs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
