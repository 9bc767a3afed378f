/* The parts of the command that can be tested without a broker: options, formats, the profile, tokens taken apart. */
#include "cli/connect.h"
#include "cli/format.h"
#include "cli/json_text.h"
#include "cli/jwt_text.h"
#include "cli/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the first two above */
#include <cmocka.h>

/* ---- options ---- */

struct opts {
    bool flag, other;
    const char *text;
    int64_t number;
    struct text_list list;
    int64_t ms;
};

static const struct option_row rows[] = {
    { .name = "Heading:", .kind = OPTION_HEADING },
    { 'f', "flag", OPTION_FLAG, offsetof(struct opts, flag), NULL, "a flag" },
    { 'o', NULL, OPTION_FLAG, offsetof(struct opts, other), NULL, "another" },
    { 't', "text", OPTION_TEXT, offsetof(struct opts, text), "TEXT", "a text" },
    { 'n', "number", OPTION_NUMBER, offsetof(struct opts, number), "N", "a number", -1, 9 },
    { 0, "list", OPTION_LIST, offsetof(struct opts, list), "X", "a list" },
    { 'w', "words", OPTION_PROPERTY, offsetof(struct opts, list), "A B C", "three words" },
    { 's', "seconds", OPTION_SECONDS, offsetof(struct opts, ms), "S", "seconds", 0, 10000 },
    { .kind = OPTION_END },
};
static const struct option_set sets[] = { { rows, 0 } };
static const struct option_command command = { .usage = "test", .sets = sets, .set_count = 1 };

static enum option_result parse(struct opts *o, struct text_list *rest, char complaint[256],
                                const char *const *words)
{
    char *argv[16] = { (char *)(uintptr_t) "test" };
    int argc = 1;

    *o = (struct opts){ 0 };
    *rest = (struct text_list){ 0 };
    for (; words[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    return options_parse(&command, argc, argv, o, rest, complaint, 256);
}

static void options_are_taken_in_every_usual_spelling(void **state UNUSED)
{
    struct opts o;
    struct text_list rest;
    char complaint[256];

    assert_int_equal(parse(&o, &rest, complaint,
                           (const char *const[]){ "-fo", "-n5", "--text=a=b", "--list", "1", "word", "--list=2",
                                                  "--", "-f", NULL }),
                     OPTION_OK);
    assert_true(o.flag && o.other);
    assert_string_equal(o.text, "a=b");
    assert_int_equal(o.number, 5);
    assert_int_equal(o.list.count, 2);
    assert_string_equal(o.list.items[1], "2");
    assert_null(o.list.items[2]); /* usable as a NULL-terminated array */
    assert_int_equal(rest.count, 2);
    assert_string_equal(rest.items[0], "word");
    assert_string_equal(rest.items[1], "-f");
    text_list_done(&o.list);
    text_list_done(&rest);
    assert_int_equal(parse(&o, &rest, complaint, (const char *const[]){ "-ftx", "-n", "-1", "-", NULL }),
                     OPTION_OK);
    assert_string_equal(o.text, "x");
    assert_int_equal(o.number, -1);
    assert_string_equal(rest.items[0], "-");
    text_list_done(&rest);
    assert_int_equal(parse(&o, &rest, complaint, (const char *const[]){ "-w", "a", "-b", "c", "-f", NULL }),
                     OPTION_OK);
    assert_int_equal(o.list.count, 4);
    assert_string_equal(o.list.items[1], "-b");
    assert_string_equal(o.list.items[3], "");
    assert_true(o.flag);
    text_list_done(&o.list);
    assert_int_equal(
        parse(&o, &rest, complaint, (const char *const[]){ "-w", "a", "user-property", "n", "v", "-f", NULL }),
        OPTION_OK);
    assert_int_equal(o.list.count, 4);
    assert_string_equal(o.list.items[2], "n");
    assert_string_equal(o.list.items[3], "v");
    assert_true(o.flag);
    text_list_done(&o.list);
    text_list_done(&rest);
    assert_int_equal(parse(&o, &rest, complaint, (const char *const[]){ "-s", "1.25", NULL }), OPTION_OK);
    assert_int_equal(o.ms, 1250);
    text_list_done(&rest);
}

static void options_that_make_no_sense_are_refused_with_a_reason(void **state UNUSED)
{
    static const char *const bad[][3] = {
        { "-z" },         { "--zzz" },
        { "--flag=1" },   { "-t" },
        { "--text" },     { "-n", "10" },
        { "-n", "" },     { "-n", "5x" },
        { "-n", "-2" },   { "--number=1e1" },
        { "--Heading:" }, { "-n", "99999999999999999999" },
        { "-w", "a" },    { "-wa" },
        { "--words=a" },  { "-fz" },
        { "-s", "x" },    { "-s", "1.x" },
        { "-s", "11" },   { "-s", ".5" },
        { "-s", "" },     { "-s", "99999999999999999999" },
        { "--fla" },
    };
    struct opts o;
    struct text_list rest;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char complaint[256] = "";
        assert_int_equal(parse(&o, &rest, complaint, bad[i]), OPTION_BAD);
        assert_true(complaint[0] != '\0');
        text_list_done(&rest);
        text_list_done(&o.list);
    }
}

static void scope_options_become_aif(void **state UNUSED)
{
    static const struct {
        const char *items[3];
        size_t count;
        const char *want; /* NULL: refused */
    } cases[] = {
        { { "pub:a/#", "sub,pub:b" }, 2, "[[\"a/#\",[\"pub\"]],[\"b\",[\"pub\",\"sub\"]]]" },
        { { "sub:with \"quotes\"" }, 1, "[[\"with \\\"quotes\\\"\",[\"sub\"]]]" },
        { { "[[\"a\",[\"pub\"]]]" }, 1, "[[\"a\",[\"pub\"]]]" },
        { { "a/#" }, 1, NULL },
        { { "fly:a" }, 1, NULL },
        { { "pub:a", "b" }, 2, NULL },
    };
    char complaint[256];

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct text_list list = { (const char **)(uintptr_t)cases[i].items, cases[i].count };
        char *json = NULL;
        assert_int_equal(scope_of_options(&list, &json, complaint, sizeof complaint), cases[i].want != NULL);
        if (cases[i].want != NULL)
            assert_string_equal(json, cases[i].want);
        free(json);
    }
}

/* ---- formats ---- */

static const struct symbolon_message message = {
    .topic = { "a/b", 3 },
    .payload = { "\x00\xffx", 3 },
    .qos = 1,
    .retain = true,
    .packet_id = 7,
    .has_expiry = true,
    .expiry_s = 60,
    .content_type = { "text/plain", 10 },
    .response_topic = { "r", 1 },
    .correlation_data = { "\x01\x02", 2 },
    .user_properties = &(const struct symbolon_user_property){ { "k", 1 }, { "v", 1 } },
    .user_property_count = 1,
};
static const struct timespec at = { 1800000000, 42 };

static void assert_format(const char *format, const struct symbolon_message *m, const char *want,
                          size_t want_len)
{
    CLEANUP(buf_done)
    struct buf out = { .max = 4096 };
    size_t where;

    assert_true(format_check(format, &where));
    assert_int_equal(format_message(format, false, FORMAT_PROGRAM, m, at, &out), ST_OK);
    assert_int_equal(out.len, want_len);
    assert_memory_equal(out.p, want, want_len);
}

#define ASSERT_FORMAT(format, m, want) assert_format(format, m, want, sizeof(want) - 1)

static void formats_print_what_they_say(void **state UNUSED)
{
    const struct symbolon_message json = { .topic = { "t", 1 }, .payload = { "{\"a\": 1}", 8 } };

    ASSERT_FORMAT("%t|%x|%X|%l|%q|%r|%m|%C|%D|%E|%R|%P|%%", &message,
                  "a/b|00ff78|00FF78|3|1|1|7|text/plain|\x01\x02|60|r|k:v|%");
    ASSERT_FORMAT("%p", &message, "\x00\xffx");
    ASSERT_FORMAT("%U\\t\\n\\\\", &message, "1800000000.000000042\t\n\\");
    ASSERT_FORMAT("", &message, "");
    /* as mosquitto_sub 2.0.11 prints them */
    ASSERT_FORMAT("%6t|%-6t|%06l|%3.2t|%06x|%-5m|%05m|%6.1C|%05E", &message,
                  "   a/b|a/b   |000003| a/|00ff78|7    |00007|     t|00060");
    ASSERT_FORMAT("@@|@N|%A|%S|%F", &message, "@|000000042|||");
    CLEANUP(buf_done)
    struct buf out = { .max = 4096 };
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    assert_int_equal(format_message("%J", false, FORMAT_PROGRAM, &json, at, &out), ST_OK);
    assert_int_equal(js_parse(buf_span(&out), 4096, &js, NULL), ST_OK);
    int64_t a = 0;
    assert_true(js_get_i64(js_get(js, "payload"), "a", &a));
    assert_int_equal(a, 1);
}

/* Topics and payloads are other people's words. */
static void no_message_commands_a_terminal(void **state UNUSED)
{
    static const struct symbolon_message evil = {
        .topic = { "a\x1b]0;x\a\n\xc2\x9b\xc3\xa9", 12 },
        .payload = { "1\n2\t\x1b[2J\x7f\x9b", 10 },
        .response_topic = { "r\r", 2 },
    };
    static const char want[] = "a?]0;x????\xc3\xa9|1\n2\t?[2J??|r?\x1b";
    CLEANUP(buf_done)
    struct buf out = { .max = 4096 };

    assert_int_equal(format_message("%t|%p|%R\\e", false, FORMAT_TERMINAL, &evil, at, &out), ST_OK);
    assert_int_equal(out.len, sizeof want - 1);
    assert_memory_equal(out.p, want, sizeof want - 1);
    buf_reset(&out);
    assert_int_equal(format_message("%j", false, FORMAT_TERMINAL, &evil, at, &out), ST_OK);
    for (size_t i = 0; i < out.len; i++)
        assert_true(out.p[i] >= 0x20 && (out.p[i] != 0xc2 || out.p[i + 1] >= 0xa0));
}

static void json_output_carries_bytes_that_are_no_text_as_hex(void **state UNUSED)
{
    CLEANUP(buf_done)
    struct buf out = { .max = 4096 };
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct span hex;

    assert_int_equal(format_message("%j", false, FORMAT_PROGRAM, &message, at, &out), ST_OK);
    assert_int_equal(js_parse(buf_span(&out), 4096, &js, NULL), ST_OK);
    assert_true(js_get_str(js, "payload_hex", &hex));
    assert_true(span_eq_str(hex, "00ff78"));
    assert_null(js_get(js, "payload"));
    assert_int_equal(format_message("%J", false, FORMAT_PROGRAM, &message, at, &out), ST_MALFORMED);
}

static void unknown_formats_are_found_before_anything_is_printed(void **state UNUSED)
{
    static const char *const bad[] = {
        "%z", "%", "a%", "\\", "\\q", "%p%", "@", "%5q", "%5.2p", "%99999t", "%-"
    };
    size_t where;

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(format_check(bad[i], &where));
    assert_false(format_check("abc%z", &where));
    assert_int_equal(where, 3);
}

/* ---- profile ---- */

static void a_profile_survives_being_written(void **state UNUSED)
{
    CLEANUP(buf_done)
    struct buf text = { .max = 4096 }, again = { .max = 4096 };
    struct profile p;

    assert_int_equal(
        profile_parse(SPAN("{\"host\":\"h\",\"port\":1,\"cafile\":\"c\",\"as\":\"https://a\",\"as_cafile\":"
                           "\"d\",\"client_id\":\"i\",\"client_secret_file\":\"s\",\"key\":\"k\",\"audience\":"
                           "\"u\",\"trusted_as\":[\"https://a\",\"https://b\"]}"),
                      &p, NULL),
        ST_OK);
    assert_string_equal(p.as_url, "https://a");
    assert_int_equal(p.trusted_as.count, 2);
    assert_int_equal(profile_print(&p, &text), ST_OK);
    profile_done(&p);
    assert_int_equal(profile_parse(buf_span(&text), &p, NULL), ST_OK);
    assert_int_equal(profile_print(&p, &again), ST_OK);
    assert_true(span_eq(buf_span(&text), buf_span(&again)));
    profile_done(&p);
}

static void broken_profiles_are_refused(void **state UNUSED)
{
    static const char *const bad[] = { "",
                                       "[]",
                                       "{\"hots\":\"h\"}",
                                       "{\"host\":1}",
                                       "{\"host\":\"\"}",
                                       "{\"port\":\"1\"}",
                                       "{\"port\":0}",
                                       "{\"port\":65536}",
                                       "{\"trusted_as\":\"https://a\"}",
                                       "{\"trusted_as\":[1]}",
                                       "{\"host\":\"a\",\"host\":\"b\"}" };
    struct profile p;

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_not_equal(profile_parse(span_of_str(bad[i]), &p, NULL), ST_OK);
    assert_int_equal(profile_parse(SPAN("{}"), &p, NULL), ST_OK);
    profile_done(&p);
}

/* ---- tokens ---- */

static void a_token_is_taken_apart_without_being_believed(void **state UNUSED)
{
    struct jwt_look look;
    struct span s;
    CLEANUP(buf_done)
    struct buf text = { .max = 4096 };

    /* {"alg":"HS256"} . {"sub":"x","scope":"W1siYS8jIixbInN1YiJdXV0"} . nonsense */
    assert_int_equal(
        jwt_look(SPAN("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4Iiwic2NvcGUiOiJXMXNpWVM4aklpeGJJbk4xWWlKZFhWMCJ9.AA"),
                 &look, NULL),
        ST_OK);
    assert_int_equal(look.shape, JWT_SIGNED);
    assert_true(js_get_str(look.header, "alg", &s) && span_eq_str(s, "HS256"));
    put_value(&text, SPAN_NONE, js_get(look.claims, "scope")); /* D-20: opened */
    assert_true(span_eq_str(buf_span(&text), "sub:a/#"));
    jwt_look_done(&look);
    assert_int_equal(jwt_look(SPAN("eyJhbGciOiJkaXIifQ.a.b.c.d"), &look, NULL), ST_OK);
    assert_int_equal(look.shape, JWT_ENCRYPTED);
    jwt_look_done(&look);
}

static void what_is_no_jwt_is_called_opaque(void **state UNUSED)
{
    static const char *const opaque[] = { "", "abc", "a.b", "a.b.c", "....", "e30" };
    struct jwt_look look;

    for (size_t i = 0; i < COUNT_OF(opaque); i++) {
        assert_int_equal(jwt_look(span_of_str(opaque[i]), &look, NULL), ST_OK);
        assert_int_equal(look.shape, JWT_OPAQUE);
        jwt_look_done(&look);
    }
    assert_int_equal(jwt_look(SPAN("e30.W10.x"), &look, NULL), ST_MALFORMED); /* claims that are a list */
    jwt_look_done(&look);
}

static void nothing_from_a_peer_steers_the_terminal(void **state UNUSED)
{
    CLEANUP(buf_done)
    struct buf text = { .max = 4096 };
    CLEANUP(js_unrefp)
    struct js *js = NULL;

    assert_int_equal(
        js_parse(SPAN("[\"a\\u001b[31m\",{\"b\\u0007\":1},1800000000,true,null,[]]"), 4096, &js, NULL), ST_OK);
    put_value(&text, SPAN("exp"), js_at(js, 0));
    put_value(&text, SPAN_NONE, js_at(js, 1));
    put_value(&text, SPAN("exp"), js_at(js, 2));
    for (size_t i = 0; i < text.len; i++)
        assert_true(text.p[i] >= 0x20);
    put_u8(&text, '\0');
    assert_non_null(strstr((const char *)text.p, "2027-01-15 08:00:00 UTC"));
}

static void every_status_has_an_exit_code_of_its_own_kind(void **state UNUSED)
{
    assert_int_equal(exit_code_for(SYMBOLON_OK), 0);
    for (int st = SYMBOLON_OK + 1; st <= SYMBOLON_NOT_FOUND; st++)
        assert_int_not_equal(exit_code_for((enum symbolon_status)st), 0);
    assert_int_equal(exit_code_for(SYMBOLON_NOT_AUTHORIZED), EXIT_NOT_AUTHORIZED);
    assert_int_equal(exit_code_for(SYMBOLON_UNTRUSTED), EXIT_UNTRUSTED);
    assert_int_equal(exit_code_for((enum symbolon_status)1000), EXIT_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_taken_in_every_usual_spelling),
        cmocka_unit_test(options_that_make_no_sense_are_refused_with_a_reason),
        cmocka_unit_test(scope_options_become_aif),
        cmocka_unit_test(formats_print_what_they_say),
        cmocka_unit_test(no_message_commands_a_terminal),
        cmocka_unit_test(json_output_carries_bytes_that_are_no_text_as_hex),
        cmocka_unit_test(unknown_formats_are_found_before_anything_is_printed),
        cmocka_unit_test(a_profile_survives_being_written),
        cmocka_unit_test(broken_profiles_are_refused),
        cmocka_unit_test(a_token_is_taken_apart_without_being_believed),
        cmocka_unit_test(what_is_no_jwt_is_called_opaque),
        cmocka_unit_test(nothing_from_a_peer_steers_the_terminal),
        cmocka_unit_test(every_status_has_an_exit_code_of_its_own_kind),
    };
    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
