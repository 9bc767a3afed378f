/* The small parts: forms, throttle, the signer with its files, derived keys, settings, private files. */
#include "as/params.h"
#include "as/pop_key.h"
#include "as/schema.h"
#include "as/throttle.h"
#include "as/world_test.h"
#include "base/log.h"
#include "net/file.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

static void forms_decode_as_browsers_encode(void **state UNUSED)
{
    /* RFC 6749 App. B */
    CLEANUP(js_unrefp)
    struct js *params = NULL;
    struct span value;

    assert_int_equal(
        params_parse_form(SPAN("a=1+2%2B3&b=%C3%A4&&c=&ace_profile=&d=x=y&req_cnf=%7B%22kid%22%3A%22k%22%7D"),
                          &params, NULL),
        ST_OK);
    assert_true(js_get_str(params, "a", &value) && span_eq_str(value, "1 2+3"));
    assert_true(js_get_str(params, "b", &value) && span_eq_str(value, "\xc3\xa4"));
    assert_null(js_get(params, "c"));
    assert_true(js_get_str(params, "ace_profile", &value) && value.len == 0); /* AF-24 */
    assert_true(js_get_str(params, "d", &value) && span_eq_str(value, "x=y"));
    assert_true(js_get_str(js_get(params, "req_cnf"), "kid", &value) && span_eq_str(value, "k")); /* AF-28 */
}

static void media_types_compare_as_http_says(void **state UNUSED)
{
    static const struct {
        const char *type;
        enum status st;
    } rows[] = {
        { "application/json", ST_OK },
        { "Application/ACE+JSON ; charset=utf-8", ST_OK },
        { "application/ace+json;x=y", ST_OK },
        { "application/jsonx", ST_UNSUPPORTED },
        { "application/ace+cbor", ST_UNSUPPORTED },
        { "", ST_UNSUPPORTED },
        { ";", ST_UNSUPPORTED },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(js_unrefp)
        struct js *params = NULL;
        assert_int_equal(params_parse(span_of_str(rows[i].type), SPAN("{}"), &params, NULL), rows[i].st);
    }
}

static void the_throttle_counts_by_name_and_window(void **state UNUSED)
{
    static struct throttle t;
    struct mono_time now = { 1000 };

    throttle_init(&t, (struct hash_key){ { 1, 2 } });
    assert_int_equal(throttle_wait_s(&t, SPAN("a"), 2, now), 0);
    throttle_failed(&t, SPAN("a"), now);
    assert_int_equal(throttle_wait_s(&t, SPAN("a"), 2, now), 0);
    throttle_failed(&t, SPAN("a"), mono_plus_ms(now, 1000));
    assert_int_equal(throttle_wait_s(&t, SPAN("a"), 2, mono_plus_ms(now, 1000)), 59);
    assert_int_equal(throttle_wait_s(&t, SPAN("b"), 2, now), 0);
    assert_int_equal(throttle_wait_s(&t, SPAN("a"), 2, mono_plus_ms(now, THROTTLE_WINDOW_MS)), 0);
}

static void a_flood_of_names_does_not_free_the_worst(void **state UNUSED)
{
    static struct throttle t;
    struct mono_time now = { 1000 };
    char name[32];

    throttle_init(&t, (struct hash_key){ { 3, 4 } });
    for (int i = 0; i < 10; i++)
        throttle_failed(&t, SPAN("guesser"), now);
    for (int i = 0; i < 100000; i++) {
        int n = snprintf(name, sizeof name, "name-%d", i);
        throttle_failed(&t, span_of(name, (size_t)n), now);
    }
    assert_true(throttle_wait_s(&t, SPAN("guesser"), 5, now) > 0);
}

static void derived_keys_differ_by_kid_and_master(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *m1 = NULL, *m2 = NULL, *a = NULL, *again = NULL, *b = NULL, *c = NULL;

    assert_int_equal(key_generate(KEY_SECRET, &m1), ST_OK);
    assert_int_equal(key_generate(KEY_SECRET, &m2), ST_OK);
    assert_int_equal(pop_key_derive(m1, SPAN("k1"), &a, NULL), ST_OK);
    assert_int_equal(pop_key_derive(m1, SPAN("k1"), &again, NULL), ST_OK);
    assert_int_equal(pop_key_derive(m1, SPAN("k2"), &b, NULL), ST_OK);
    assert_int_equal(pop_key_derive(m2, SPAN("k1"), &c, NULL), ST_OK);
    assert_int_equal(key_secret(a).len, POP_KEY_LEN);
    assert_true(key_same(a, again));
    assert_false(key_same(a, b));
    assert_false(key_same(a, c));
}

static void the_issuer_may_hold_the_port(void **state UNUSED)
{
    struct as_settings settings = { 0 };
    struct buf problem;
    char *issuer;

    buf_init(&problem, CONFIG_PROBLEM_MAX);
    assert_int_equal(
        config_parse(&as_config,
                     SPAN("issuer: \"https://localhost:${port}/x\"\nhttps:\n  certificate: c\n  key: k\n"),
                     NULL, &settings, &problem),
        ST_OK);
    issuer = as_settings_issuer(&settings, 4711);
    assert_string_equal(issuer, "https://localhost:4711/x");
    free(issuer);
    config_done(&as_config, &settings);
    assert_int_equal(config_parse(&as_config,
                                  SPAN("issuer: \"http://a\"\nhttps:\n  certificate: c\n  key: k\n"), NULL,
                                  &settings, &problem),
                     ST_MALFORMED); /* AF-6: never without TLS */
    buf_done(&problem);
}

static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    char file[512];

    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.')
            unlink(file);
    }
    closedir(dir);
    assert_int_equal(rmdir(path), 0);
}

static void private_files_are_whole_and_never_replaced_by_creation(void **state UNUSED)
{
    char folder[] = "/tmp/symbolon-file-XXXXXX";
    char path[64];
    struct stat about;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/f", folder);
    assert_int_equal(file_create(path, SPAN("one"), 0600, NULL), ST_OK);
    assert_int_equal(file_create(path, SPAN("two"), 0600, NULL), ST_EXISTS);
    assert_int_equal(file_replace(path, SPAN("three"), 0600, NULL), ST_OK);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(about.st_size, 5);
    remove_folder(folder);
    assert_int_equal(file_create(path, SPAN("x"), 0600, NULL), ST_IO);
}

static size_t keys_in_set(struct signer *signer)
{
    CLEANUP(js_unrefp)
    struct js *set = NULL;
    assert_int_equal(signer->ops->jwks(signer, &set, NULL), ST_OK);
    return js_size(js_get(set, "keys"));
}

static enum status take_first_kid(void *ctx, const struct signer_key *key)
{
    char *kid = ctx;
    if (kid[0] == '\0')
        memcpy(kid, key->kid, SIGNER_KID_MAX);
    return ST_OK;
}

static void signing_keys_survive_restarts_and_retire_in_time(void **state UNUSED)
{
    char folder[] = "/tmp/symbolon-keys-XXXXXX";
    char first[SIGNER_KID_MAX] = "", again[SIGNER_KID_MAX] = "", second[SIGNER_KID_MAX] = "";
    CLEANUP(sql_closep)
    struct sql *sql = NULL;
    struct signer *signer = NULL;
    struct signer_key rotated;
    struct wall_time now = { 1000 };

    log_set_level(LOG_ERROR);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(sql_open(":memory:", 0, &sql, NULL), ST_OK);
    assert_int_equal(as_schema(sql, NULL), ST_OK);
    assert_int_equal(signer_local_new(folder, sql, now, &signer, NULL), ST_OK);
    assert_int_equal(signer->ops->each(signer, take_first_kid, first), ST_OK);
    signer_free(signer);
    assert_int_equal(signer_local_new(folder, sql, now, &signer, NULL), ST_OK);
    assert_int_equal(signer->ops->each(signer, take_first_kid, again), ST_OK);
    assert_string_equal(first, again);

    assert_int_equal(signer->ops->rotate(signer, now, (struct wall_time){ 2000 }, &rotated, NULL), ST_OK);
    assert_string_not_equal(rotated.kid, first);
    assert_int_equal(keys_in_set(signer), 2);
    signer_free(signer);
    assert_int_equal(signer_local_new(folder, sql, now, &signer, NULL), ST_OK);
    assert_int_equal(signer->ops->each(signer, take_first_kid, second), ST_OK);
    assert_string_equal(second, rotated.kid);
    assert_int_equal(signer->ops->purge(signer, (struct wall_time){ 1999 }, NULL), ST_OK);
    assert_int_equal(keys_in_set(signer), 2);
    assert_int_equal(signer->ops->purge(signer, (struct wall_time){ 2000 }, NULL), ST_OK);
    assert_int_equal(keys_in_set(signer), 1);

    /* a rotation that was rolled back is no rotation */
    char after[SIGNER_KID_MAX] = "";
    assert_int_equal(sql_begin(sql, NULL), ST_OK);
    assert_int_equal(signer->ops->rotate(signer, now, (struct wall_time){ 3000 }, &rotated, NULL), ST_OK);
    sql_rollback(sql);
    assert_int_equal(signer->ops->reload(signer, now, NULL), ST_OK);
    assert_int_equal(signer->ops->each(signer, take_first_kid, after), ST_OK);
    assert_string_equal(after, second);
    signer_free(signer);

    /* a key named in the database whose file is gone: better no start than other keys */
    remove_folder(folder);
    assert_int_equal(signer_local_new(folder, sql, now, &signer, NULL), ST_NOT_FOUND);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_decode_as_browsers_encode),
        cmocka_unit_test(media_types_compare_as_http_says),
        cmocka_unit_test(the_throttle_counts_by_name_and_window),
        cmocka_unit_test(a_flood_of_names_does_not_free_the_worst),
        cmocka_unit_test(derived_keys_differ_by_kid_and_master),
        cmocka_unit_test(the_issuer_may_hold_the_port),
        cmocka_unit_test(private_files_are_whole_and_never_replaced_by_creation),
        cmocka_unit_test(signing_keys_survive_restarts_and_retire_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
