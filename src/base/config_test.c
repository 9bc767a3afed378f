/* Settings tables: what is read, what is refused and how it is said. */
#include "base/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct listener {
    char *address;
    int64_t port;
    bool public_only;
};

struct settings {
    int64_t workers;
    int64_t lifetime_s;
    int64_t grace_ms;
    size_t packet_max;
    bool hints;
    int durability;
    char *name;
    char *secret;
    char *certificate;
    struct config_strings audiences;
    struct config_records listeners;
};

static const char *const durabilities[] = { "commit", "interval", "none", NULL };

static const struct config_setting listener_settings[] = {
    { "address", CONFIG_STRING, AT(struct listener, address), .dflt = "127.0.0.1", .help = "Where to listen." },
    { "port", CONFIG_INT, AT(struct listener, port), .flags = CONFIG_REQUIRED, .max = 65535, .example = "8883",
      .help = "TCP port." },
    { "public_only", CONFIG_BOOL, AT(struct listener, public_only), .help = "Only public topics." },
    { NULL }
};
static const struct config_table listener_table = { "listener", listener_settings, sizeof(struct listener),
                                                    NULL };

static const struct config_setting rows[] = {
    { "workers", CONFIG_INT, AT(struct settings, workers), .dflt = "1", .min = 1, .max = 64, .unit = "threads",
      .help = "Worker threads." },
    { "lifetime", CONFIG_DURATION_S, AT(struct settings, lifetime_s), .dflt = "10m",
      .help = "Token lifetime." },
    { "grace", CONFIG_DURATION_MS, AT(struct settings, grace_ms), .dflt = "1500ms", .help = "Grace." },
    { "packet_max", CONFIG_SIZE, AT(struct settings, packet_max), .dflt = "1m", .min = 1024, .max = 268435456,
      .help = "Largest packet." },
    { "hints", CONFIG_BOOL, AT(struct settings, hints), .dflt = "yes", .help = "Send hints." },
    { "durability", CONFIG_ENUM, AT(struct settings, durability), .choices = durabilities,
      .help = "What PUBACK means." },
    { "name", CONFIG_STRING, AT(struct settings, name), .help = "Name." },
    { "audiences", CONFIG_STRINGS, AT(struct settings, audiences), .max = 3, .help = "Names." },
    { "tls.certificate", CONFIG_PATH, AT(struct settings, certificate), .flags = CONFIG_REQUIRED,
      .example = "server.pem", .help = "Certificate." },
    { "tls.secret", CONFIG_STRING, AT(struct settings, secret), .flags = CONFIG_SECRET,
      .help = "Pass phrase." },
    { "listeners", CONFIG_RECORDS, AT(struct settings, listeners), .record = &listener_table,
      .help = "Listeners." },
    { NULL }
};

static enum status workers_even(const void *settings, struct buf *problem)
{
    const struct settings *s = settings;
    if (s->workers == 13) {
        put_str(problem, "thirteen workers bring bad luck");
        return ST_MALFORMED;
    }
    return ST_OK;
}

static const struct config_table table = { "symbolon-test", rows, sizeof(struct settings), workers_even };

#define CERT "tls: {certificate: c.pem}\n"

static enum status parse(const char *yaml, struct settings *out, struct buf *problem)
{
    buf_init(problem, CONFIG_PROBLEM_MAX);
    return config_parse(&table, span_of_str(yaml), "etc/test.yaml", out, problem);
}

static void accepts(const char *yaml, struct settings *out)
{
    struct buf problem;
    enum status st = parse(yaml, out, &problem);
    if (st != ST_OK)
        fail_msg("%.*s", SPAN_FMT(buf_span(&problem)));
    buf_done(&problem);
}

static void refuses(const char *yaml, const char *said)
{
    struct settings s;
    struct buf problem;
    assert_int_not_equal(parse(yaml, &s, &problem), ST_OK);
    put_u8(&problem, '\0');
    if (strstr((const char *)problem.p, said) == NULL)
        fail_msg("expected \"%s\" in: %s", said, (const char *)problem.p);
    assert_null(s.name);
    buf_done(&problem);
}

static void defaults_fill_what_the_file_leaves_out(void **state)
{
    struct settings s;
    (void)state;
    accepts(CERT, &s);
    assert_int_equal(s.workers, 1);
    assert_int_equal(s.lifetime_s, 600);
    assert_int_equal(s.grace_ms, 1500);
    assert_int_equal(s.packet_max, 1024 * 1024);
    assert_true(s.hints);
    assert_int_equal(s.durability, 0);
    assert_null(s.name);
    assert_int_equal(s.audiences.count, 0);
    assert_int_equal(s.listeners.count, 0);
    assert_string_equal(s.certificate, "etc/c.pem");
    config_done(&table, &s);
    config_done(&table, &s); /* twice is harmless */
}

static void every_type_is_read(void **state)
{
    struct settings s;
    (void)state;
    accepts("workers: 8\nlifetime: 2h\ngrace: 250ms\npacket_max: 64k\nhints: off\ndurability: none\n"
            "name: \"a b\"\naudiences: [x]\ntls: {certificate: /abs/c.pem, secret: s}\n"
            "listeners:\n  - {port: 1883, public_only: true}\n  - {address: \"::1\", port: 8883}\n",
            &s);
    assert_int_equal(s.workers, 8);
    assert_int_equal(s.lifetime_s, 7200);
    assert_int_equal(s.grace_ms, 250);
    assert_int_equal(s.packet_max, 65536);
    assert_false(s.hints);
    assert_int_equal(s.durability, 2);
    assert_string_equal(s.name, "a b");
    assert_int_equal(s.audiences.count, 1);
    assert_string_equal(s.certificate, "/abs/c.pem");
    assert_string_equal(s.secret, "s");
    assert_int_equal(s.listeners.count, 2);
    const struct listener *l = s.listeners.items;
    assert_string_equal(l[0].address, "127.0.0.1");
    assert_true(l[0].public_only);
    assert_int_equal(l[1].port, 8883);
    config_done(&table, &s);
}

static void unknown_keys_are_named_with_what_is_allowed(void **state)
{
    (void)state;
    refuses(CERT "wrokers: 3\n",
            "etc/test.yaml:1: wrokers: unknown setting; allowed here: workers, lifetime, grace");
    refuses("tls: {cert: a}\n",
            "etc/test.yaml:1: tls.cert: unknown setting; allowed here: certificate, secret\n");
    refuses(CERT "listeners:\n  - {prot: 1}\n",
            "listeners.prot: unknown setting; allowed here: address, port, public_only\n");
    refuses(CERT "Workers: 3\n", "Workers: unknown setting");
}

static void the_shape_of_the_file_is_checked(void **state)
{
    (void)state;
    refuses(CERT "workers: 1\nworkers: 2\n", "workers: Mapping field already seen");
    refuses(CERT "workers: [1]\n", "workers: Expecting STRING");
    refuses(CERT "audiences: x\n", "audiences: Expecting SEQUENCE");
    refuses(CERT "audiences: [[x]]\n", "audiences: Expecting STRING");
    refuses("tls: x\n", "tls: Expecting MAPPING");
    refuses("- x\n", "Expecting MAPPING");
    refuses(CERT "---\nworkers: 3\n", "Ignoring documents after first");
    refuses("name: &a x\n" CERT "workers: *a\n", "aliases are not used here");
    refuses("\t{", "etc/test.yaml: ");
    refuses("workers: \"\xff\"\n", "etc/test.yaml: ");
    refuses("{[a]: b}", "etc/test.yaml");
    refuses(CERT "audiences: [a, b, c, d]\n", "Excessive entries (3 max)");
}

static void a_bad_value_names_setting_and_form(void **state)
{
    (void)state;
    refuses(CERT "workers: 0\n", "etc/test.yaml: workers: \"0\" does not fit; expected integer, 1 to 64\n");
    refuses(CERT "workers: 65\n", "1 to 64");
    refuses(CERT "workers: 1.5\n", "workers");
    refuses(CERT "workers: 0x10\n", "workers");
    refuses(CERT "workers: \"\"\n", "workers");
    refuses(CERT "workers:\n", "workers");
    refuses(CERT "workers: 99999999999999999999\n", "workers");
    refuses(CERT "lifetime: -1s\n", "lifetime");
    refuses(CERT "lifetime: 1.5h\n", "duration in whole seconds");
    refuses(CERT "lifetime: 250ms\n", "duration in whole seconds");
    refuses(CERT "lifetime: 9223372036854775807d\n", "lifetime");
    refuses(CERT "packet_max: 1000\n", "1k to 256m");
    refuses(CERT "packet_max: 1t\n", "packet_max");
    refuses(CERT "hints: maybe\n", "true or false");
    refuses(CERT "durability: fsync\n", "one of commit, interval, none");
    refuses(CERT "listeners: [{port: 1}, {port: 70000}]\n", "listeners[2].port: \"70000\" does not fit");
    refuses(CERT "listeners: [{address: x}]\n", "listeners[1].port: must be set");
    refuses("workers: 1\n", "tls.certificate: must be set");
    refuses(CERT "workers: 13\n", "thirteen workers");
}

static void all_bad_values_are_told_at_once(void **state)
{
    struct settings s;
    struct buf problem;
    (void)state;
    assert_int_equal(parse("workers: 0\nhints: 7\n", &s, &problem), ST_MALFORMED);
    put_u8(&problem, '\0');
    assert_non_null(strstr((const char *)problem.p, "workers"));
    assert_non_null(strstr((const char *)problem.p, "hints"));
    assert_non_null(strstr((const char *)problem.p, "tls.certificate"));
    buf_done(&problem);
}

static void what_is_printed_reads_back_and_hides_secrets(void **state)
{
    struct settings a, b;
    struct buf first, second;
    (void)state;
    accepts("name: \"q\\\"\\\\ \\n \\N \\L \\P \\x80 \\uFEFF \\uFFFF é\"\nlifetime: 90s\naudiences: [\"a b\", "
            "c]\ntls: {certificate: /c, secret: "
            "hush}\n"
            "listeners: [{port: 1}, {port: 0, address: h}]\n",
            &a);
    buf_init(&first, CONFIG_FILE_MAX);
    buf_init(&second, CONFIG_FILE_MAX);
    config_print(&table, &a, &first);
    config_done(&table, &a);
    put_u8(&first, '\0');
    assert_null(strstr((const char *)first.p, "hush"));
    assert_non_null(strstr((const char *)first.p, "secret, set"));
    accepts((const char *)first.p, &b);
    assert_string_equal(b.name,
                        "q\"\\ \n \xc2\x85 \xe2\x80\xa8 \xe2\x80\xa9 \xc2\x80 \xef\xbb\xbf \xef\xbf\xbf é");
    b.secret = span_dup_str(SPAN("other"));
    config_print(&table, &b, &second);
    config_done(&table, &b);
    put_u8(&second, '\0');
    assert_string_equal((const char *)first.p, (const char *)second.p);
    buf_done(&first);
    buf_done(&second);
}

static void the_sample_file_is_valid_and_means_the_defaults(void **state)
{
    struct settings s;
    struct buf text;
    (void)state;
    buf_init(&text, CONFIG_FILE_MAX);
    assert_int_equal(config_describe(&table, SPAN("sample"), &text), ST_OK);
    put_u8(&text, '\0');
    accepts((const char *)text.p, &s);
    assert_int_equal(s.workers, 1);
    assert_string_equal(s.certificate, "etc/server.pem");
    config_done(&table, &s);
    buf_done(&text);
}

static void the_reference_names_every_setting(void **state)
{
    static const char *const forms[] = { "markdown", "roff", "sample" };
    (void)state;
    for (size_t f = 0; f < COUNT_OF(forms); f++) {
        struct buf text;
        buf_init(&text, CONFIG_FILE_MAX);
        assert_int_equal(config_describe(&table, span_of_str(forms[f]), &text), ST_OK);
        put_u8(&text, '\0');
        for (size_t i = 0; rows[i].name != NULL; i++) {
            const char *dot = strchr(rows[i].name, '.');
            assert_non_null(strstr((const char *)text.p, dot == NULL ? rows[i].name : dot + 1));
        }
        assert_non_null(strstr((const char *)text.p, "public_only"));
        buf_done(&text);
    }
    struct buf none;
    buf_init(&none, CONFIG_FILE_MAX);
    assert_int_equal(config_describe(&table, SPAN("html"), &none), ST_NOT_FOUND);
    buf_done(&none);
}

static void a_missing_file_is_not_an_empty_one(void **state)
{
    struct settings s;
    struct buf problem;
    (void)state;
    buf_init(&problem, CONFIG_PROBLEM_MAX);
    assert_int_equal(config_load(&table, "/nonexistent/x.yaml", &s, &problem), ST_NOT_FOUND);
    put_u8(&problem, '\0');
    assert_string_equal((const char *)problem.p, "/nonexistent/x.yaml: No such file or directory\n");
    buf_done(&problem);
}

static void a_file_is_loaded_from_its_place(void **state)
{
    struct settings s;
    struct buf problem;
    char dir[] = "/tmp/config_testXXXXXX", path[64];
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/t.yaml", dir);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(CERT, f);
    fclose(f);
    buf_init(&problem, CONFIG_PROBLEM_MAX);
    assert_int_equal(config_load(&table, path, &s, &problem), ST_OK);
    assert_memory_equal(s.certificate, dir, strlen(dir));
    config_done(&table, &s);
    buf_done(&problem);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_what_the_file_leaves_out),
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(unknown_keys_are_named_with_what_is_allowed),
        cmocka_unit_test(the_shape_of_the_file_is_checked),
        cmocka_unit_test(a_bad_value_names_setting_and_form),
        cmocka_unit_test(all_bad_values_are_told_at_once),
        cmocka_unit_test(what_is_printed_reads_back_and_hides_secrets),
        cmocka_unit_test(the_sample_file_is_valid_and_means_the_defaults),
        cmocka_unit_test(the_reference_names_every_setting),
        cmocka_unit_test(a_missing_file_is_not_an_empty_one),
        cmocka_unit_test(a_file_is_loaded_from_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
