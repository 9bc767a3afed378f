/* AS Request Creation Hints as MQTT carries them (MT-91, AF-12, AF-19). */
#include "support/vectors.h"
#include "token/hints.h"

#define ROOM 8192

static void mt91_hints_survive_the_wire(void **state UNUSED)
{
    const struct hints all = { .as = SPAN("https://as.example/token"),
                               .audience = SPAN("broker"),
                               .kid = SPAN("\x00\xff\x10"),
                               .cnonce = SPAN("\x01\x02\x03\x04\x05\x06\x07\x08"),
                               .scope = SPAN("[[\"a\",[\"pub\"]]]") };
    CLEANUP(hints_done)
    struct hints read = { 0 };
    CLEANUP(buf_done)
    struct buf json;

    buf_init(&json, ROOM);
    assert_int_equal(hints_write(&all, &json), ST_OK);
    assert_span_equal(buf_span(&json),
                      SPAN("{\"AS\":\"https://as.example/token\",\"audience\":\"broker\",\"kid\":\"AP8Q\","
                           "\"cnonce\":\"AQIDBAUGBwg\",\"scope\":\"[[\\\"a\\\",[\\\"pub\\\"]]]\"}"));
    assert_int_equal(hints_parse(buf_span(&json), &read, NULL), ST_OK);
    assert_span_equal(read.as, all.as);
    assert_span_equal(read.audience, all.audience);
    assert_span_equal(read.kid, all.kid);
    assert_span_equal(read.cnonce, all.cnonce);
    assert_span_equal(read.scope, all.scope);
}

static void mt91_only_the_as_is_mandatory(void **state UNUSED)
{
    const struct hints only = { .as = SPAN("https://as.example/token") };
    CLEANUP(hints_done)
    struct hints read = { 0 };
    CLEANUP(buf_done)
    struct buf json;

    buf_init(&json, ROOM);
    assert_int_equal(hints_write(&only, &json), ST_OK);
    assert_span_equal(buf_span(&json), SPAN("{\"AS\":\"https://as.example/token\"}"));
    assert_int_equal(hints_parse(SPAN(" { \"AS\" : \"coaps://as.example\", \"new\": [1] } "), &read, NULL),
                     ST_OK);
    assert_span_equal(read.as, SPAN("coaps://as.example"));
    assert_null(read.audience.p);
    assert_null(read.kid.p);
    assert_null(read.cnonce.p);
    assert_null(read.scope.p);
}

static void d20_a_scope_hint_may_be_an_array(void **state UNUSED)
{
    CLEANUP(hints_done)
    struct hints read = { 0 };

    assert_int_equal(
        hints_parse(SPAN("{\"AS\":\"https://as\",\"scope\":[ [ \"a\", [\"sub\"] ] ]}"), &read, NULL), ST_OK);
    assert_span_equal(read.scope, SPAN("[[\"a\",[\"sub\"]]]"));
}

static void mt91_broken_hints_are_refused(void **state UNUSED)
{
    static const char *const texts[] = {
        "",
        "https://as.example/token",
        "[]",
        "{}",
        "{\"as\":\"https://as\"}",
        "{\"AS\":7}",
        "{\"AS\":\"\"}",
        "{\"AS\":\"as.example/token\"}",
        "{\"AS\":\"//as.example\"}",
        "{\"AS\":\"https:\"}",
        "{\"AS\":\":x\"}",
        "{\"AS\":\"1http://as\"}",
        "{\"AS\":\"https://as.example/a b\"}",
        "{\"AS\":\"https://as.example/\\n\"}",
        "{\"AS\":\"https://as.example/<x>\"}",
        "{\"AS\":\"https://as\",\"AS\":\"https://as\"}",
        "{\"AS\":\"https://as\"}x",
        "{\"AS\":\"https://as\",\"audience\":[\"a\"]}",
        "{\"AS\":\"https://as\",\"kid\":\"AA==\"}",
        "{\"AS\":\"https://as\",\"kid\":7}",
        "{\"AS\":\"https://as\",\"cnonce\":\"A\"}",
        "{\"AS\":\"https://as\",\"cnonce\":null}",
        "{\"AS\":\"https://as\",\"scope\":7}",
    };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct hints read;
        assert_int_equal(hints_parse(span_of_str(texts[i]), &read, NULL), ST_MALFORMED);
        assert_null(read.owned);
        hints_done(&read);
    }
}

static void hints_have_a_limit(void **state UNUSED)
{
    static uint8_t big[HINTS_MAX_BYTES];
    struct hints hints = { .as = SPAN("https://as") };
    struct hints read;
    CLEANUP(buf_done)
    struct buf json;

    buf_init(&json, 1 << 16);
    memset(big, 'a', sizeof(big));
    hints.audience = span_of(big, sizeof(big));
    assert_int_equal(hints_write(&hints, &json), ST_TOO_LARGE);
    hints.audience = SPAN_NONE;
    hints.kid = span_of(big, sizeof(big));
    assert_int_equal(hints_write(&hints, &json), ST_TOO_LARGE);
    assert_int_equal(json.len, 0);
    put_str(&json, "{\"AS\":\"https://");
    put_bytes(&json, span_of(big, sizeof(big)));
    put_str(&json, "\"}");
    assert_int_equal(hints_parse(buf_span(&json), &read, NULL), ST_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt91_hints_survive_the_wire),
        cmocka_unit_test(mt91_only_the_as_is_mandatory),
        cmocka_unit_test(d20_a_scope_hint_may_be_an_array),
        cmocka_unit_test(mt91_broken_hints_are_refused),
        cmocka_unit_test(hints_have_a_limit),
    };
    return cmocka_run_group_tests_name("hints", tests, NULL, NULL);
}
