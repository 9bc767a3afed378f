/* Counting and measuring, against the exact answer. */
#include "load/histogram.h"
#include "load/login.h"
#include "load/pace.h"
#include "load/report.h"
#include "load/template.h"
#include "load/track.h"
#include "load/trouble.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- histogram ---- */

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int64_t exact(const int64_t *sorted, size_t count, double fraction)
{
    size_t rank = (size_t)((double)count * fraction);
    if ((double)rank < (double)count * fraction)
        rank++;
    return sorted[rank == 0 ? 0 : rank - 1];
}

static void percentiles_are_at_most_a_64th_above_the_exact_ones(void **state UNUSED)
{
    enum { COUNT = 20000 };
    static const double fractions[] = { 0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 };
    struct histogram *h = calloc(1, sizeof *h);
    int64_t *values = calloc(COUNT, sizeof *values);
    uint64_t seed = 4711;

    for (unsigned spread = 4; spread <= 44; spread += 8) {
        histogram_reset(h);
        for (size_t i = 0; i < COUNT; i++) {
            values[i] = (int64_t)(next_random(&seed) >> (64 - spread + next_random(&seed) % 4));
            histogram_add(h, values[i]);
        }
        qsort(values, COUNT, sizeof *values, compare);
        for (size_t i = 0; i < COUNT_OF(fractions); i++) {
            int64_t wanted = exact(values, COUNT, fractions[i]), got = histogram_at(h, fractions[i]);
            assert_true(got >= wanted);
            assert_true(got <= wanted + wanted / 64 + 1);
        }
        assert_int_equal(histogram_at(h, 1), values[COUNT - 1]);
        assert_int_equal(h->total, COUNT);
    }
    free(values);
    free(h);
}

static void a_histogram_takes_any_value(void **state UNUSED)
{
    struct histogram *h = calloc(1, sizeof *h);

    assert_int_equal(histogram_at(h, 0.5), 0);
    assert_true(histogram_mean(h) <= 0);
    histogram_add(h, -5);
    assert_int_equal(histogram_at(h, 1), 0);
    histogram_add(h, INT64_MAX);
    histogram_add(h, INT64_MAX - 1);
    assert_int_equal(histogram_at(h, 1), INT64_MAX);
    assert_int_equal(h->total, 3);
    free(h);
}

static void two_histograms_add_up_to_one(void **state UNUSED)
{
    struct histogram *h = calloc(3, sizeof *h);
    uint64_t seed = 42;

    for (size_t i = 0; i < 1000; i++) {
        int64_t v = (int64_t)(next_random(&seed) % 1000000);
        histogram_add(&h[i % 2], v);
        histogram_add(&h[2], v);
    }
    histogram_merge(&h[0], &h[1]);
    assert_memory_equal(h[0].counts, h[2].counts, sizeof h[0].counts);
    assert_int_equal(h[0].max_ns, h[2].max_ns);
    assert_int_equal(h[0].total, h[2].total);
    free(h);
}

/* ---- templates ---- */

static void expands_to(const char *pattern, size_t number, const char *client_id, const char *expected)
{
    struct buf out;

    buf_init(&out, 1024);
    template_expand(pattern, number, client_id, &out);
    assert_true(span_eq_str(buf_span(&out), expected));
    buf_done(&out);
}

static void a_template_names_each_client(void **state UNUSED)
{
    expands_to("plain", 3, NULL, "plain");
    expands_to("a/%i/b", 17, NULL, "a/17/b");
    expands_to("%i%i", 5, NULL, "55");
    expands_to("%c/%i", 0, "dev-9", "dev-9/0");
    expands_to("100%%/%c", 1, "x", "100%/x");
    expands_to("", 1, "x", "");
}

static void what_no_template_knows_is_refused(void **state UNUSED)
{
    assert_true(template_valid("a/%i/%c/%%", true));
    assert_true(template_valid("%i", false));
    assert_true(template_valid("none", false));
    assert_false(template_valid("%c", false));
    assert_false(template_valid("%d", true));
    assert_false(template_valid("ends with %", true));
    assert_true(template_valid("%%i", false));
    assert_false(template_valid("%%%", true));
}

/* ---- tracks ---- */

static void a_stamp_comes_back_as_it_was(void **state UNUSED)
{
    uint8_t bytes[STAMP_LEN + 4] = { 0 };
    struct stamp in = { .run = 0xFFFEFDFC, .publisher = 7, .number = UINT64_C(1) << 40, .sent_ns = -3 }, out;

    stamp_write(&in, bytes);
    assert_true(stamp_read(span_of(bytes, sizeof bytes), &out));
    assert_true(out.run == in.run && out.publisher == in.publisher && out.number == in.number &&
                out.sent_ns == in.sent_ns);
    assert_false(stamp_read(span_of(bytes, STAMP_LEN - 1), &out));
    bytes[0] ^= 1;
    assert_false(stamp_read(span_of(bytes, sizeof bytes), &out));
}

static void messages_in_order_are_simply_received(void **state UNUSED)
{
    struct track t = { 0 };

    for (uint64_t i = 0; i < 1000; i++)
        assert_true(track_got(&t, i));
    assert_true(t.received == 1000 && t.expected == 1000 && t.lost == 0 && t.twice == 0 && t.late == 0);
}

static void gaps_doubles_and_late_ones_are_told_apart(void **state UNUSED)
{
    struct track t = { 0 };

    assert_true(track_got(&t, 0));
    assert_true(track_got(&t, 3)); /* 1 and 2 are missing */
    assert_int_equal(t.lost, 2);
    assert_true(track_got(&t, 1)); /* late */
    assert_false(track_got(&t, 1));
    assert_false(track_got(&t, 3));
    assert_false(track_got(&t, 0));
    assert_true(t.lost == 1 && t.late == 1 && t.twice == 3 && t.received == 3 && t.expected == 4);
    assert_true(track_got(&t, 4 + 10 * TRACK_WINDOW)); /* far ahead: all of the window is new */
    assert_false(track_got(&t, 2));                    /* nobody knows any more */
    assert_true(track_got(&t, 3 + 10 * TRACK_WINDOW));
    assert_int_equal(t.lost, (uint64_t)10 * TRACK_WINDOW); /* 2, and 4 up to 2562 */
}

/* Any order with doubles and losses, against a table of what came. */
static void tracks_agree_with_a_naive_count(void **state UNUSED)
{
    enum { NUMBERS = 3000, NEAR = 100 };
    uint64_t seed = 99;

    for (int round = 0; round < 50; round++) {
        struct track t = { 0 };
        bool *came = calloc(NUMBERS + NEAR, sizeof *came);
        uint64_t received = 0, twice = 0, highest = 0;
        for (uint64_t i = 0; i < NUMBERS; i++) {
            uint64_t number = i + next_random(&seed) % NEAR;
            if (next_random(&seed) % 10 == 0)
                continue;
            if (came[number])
                twice++;
            else
                received++;
            assert_int_equal(track_got(&t, number), !came[number]);
            came[number] = true;
            highest = number > highest ? number : highest;
        }
        assert_int_equal(t.received, received);
        assert_int_equal(t.twice, twice);
        assert_int_equal(t.lost, highest + 1 - received);
        free(came);
    }
}

static void tracks_are_found_by_run_and_publisher_and_bounded(void **state UNUSED)
{
    struct tracks tracks = { 0 };

    for (uint32_t i = 0; i < TRACKS_MAX; i++) {
        struct track *t = tracks_find(&tracks, &(struct stamp){ .run = i % 3, .publisher = i, .number = 10 });
        assert_non_null(t);
        assert_true(track_got(t, 10) && t->lost == 0); /* what was before is not missed */
    }
    for (uint32_t i = 0; i < TRACKS_MAX; i++) {
        struct track *t = tracks_find(&tracks, &(struct stamp){ .run = i % 3, .publisher = i, .number = 99 });
        assert_true(t != NULL && t->publisher == i && t->expected == 11);
    }
    assert_null(tracks_find(&tracks, &(struct stamp){ .run = 9, .publisher = 9 }));
    tracks_done(&tracks);
}

/* ---- troubles ---- */

static void troubles_are_counted_by_kind_and_bounded(void **state UNUSED)
{
    struct troubles t = { 0 };

    for (int i = 0; i < 100; i++) {
        trouble_add(&t, "CONNACK 0x%02x", i % 2);
        trouble_add(&t, "kind %d\n", i);
    }
    assert_int_equal(t.total, 200);
    assert_int_equal(t.count, TROUBLE_ROWS);
    assert_int_equal(t.rows[0].times, 50);
    assert_string_equal(t.rows[1].text, "kind 0?"); /* no control characters from elsewhere */
    uint64_t sum = 0;
    for (size_t i = 0; i < t.count; i++)
        sum += t.rows[i].times;
    assert_int_equal(sum, 200);
}

/* ---- tokens ---- */

static enum status read_tokens(const char *content, struct login *login)
{
    char name[] = "/tmp/load_test_XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content));
    (void)close(fd);
    enum status st = login_read_tokens(login, name, &(struct why){ 0 });
    (void)unlink(name);
    return st;
}

#define HEX32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void tokens_are_read_from_a_file(void **state UNUSED)
{
    struct login login = { 0 };

    assert_int_equal(read_tokens("tok1 oct " HEX32 "\ntok2 Ed25519 " HEX32 "\n\ntok3 P-256 " HEX32, &login),
                     ST_OK);
    assert_int_equal(login.count, 3);
    assert_true(span_eq_str(login.identities[1].token, "tok2"));
    assert_int_equal(key_kind(login.identities[2].key), KEY_P256);
    login_done(&login);
}

/* A CWT stands in a file as the text an authorization server answers with; a broker is shown its bytes. */
static void a_cwt_is_presented_as_its_bytes(void **state UNUSED)
{
    static const uint8_t cwt[] = { 0xd2, 0x84, 0x43, 0xa1, 0x01, 0x27, 0xa0, 0x41, 0xa0, 0x41, 0x00 };
    struct login login = { 0 };

    assert_int_equal(read_tokens("0oRDoQEnoEGgQQA oct " HEX32 "\n0oRDoQEnoEGgQQ. oct " HEX32, &login), ST_OK);
    assert_int_equal(login.count, 2);
    assert_true(span_eq(login.identities[0].token, span_of(cwt, sizeof cwt)));
    assert_true(span_eq_str(login.identities[1].token, "0oRDoQEnoEGgQQ."));
    login_done(&login);
}

static void files_that_hold_no_tokens_are_refused(void **state UNUSED)
{
    static const char *const wrong[] = { "",
                                         "\n",
                                         "token\n",
                                         "token oct\n",
                                         "token oct xyz\n",
                                         "token oct 012\n",
                                         "token RSA " HEX32 "\n",
                                         "token Ed25519 00\n",
                                         " oct " HEX32 "\n" };

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct login login = { 0 };
        assert_int_not_equal(read_tokens(wrong[i], &login), ST_OK);
        login_done(&login);
    }
    struct login login = { 0 };
    assert_int_equal(login_read_tokens(&login, "/nonexistent", &(struct why){ 0 }), ST_NOT_FOUND);
}

/* ---- reports ---- */

static struct load_report *good_report(void)
{
    struct load_report *r = calloc(1, sizeof *r);

    r->clients = r->ready = 4;
    r->part_count = 1;
    r->parts[0].name = "run";
    r->parts[0].seconds = 2;
    r->sent = r->acked = r->expected = r->received = 1000;
    r->parts[0].sent = r->parts[0].received = 1000;
    for (int64_t i = 1; i <= 1000; i++)
        histogram_add(&r->parts[0].latency, i * 1000);
    return r;
}

static bool verdict_of(const struct load_settings *s, const struct load_report *r, const char *says)
{
    struct buf words;

    buf_init(&words, 4096);
    bool ok = report_verdict(s, r, &words);
    put_u8(&words, 0);
    assert_non_null(strstr((const char *)words.p, says));
    buf_done(&words);
    return ok;
}

static void the_verdict_names_what_is_wrong(void **state UNUSED)
{
    struct load_settings s = { .mode = LOAD_P2P, .qos = 2 };
    struct load_report *r = good_report();

    assert_true(verdict_of(&s, r, "once and in order"));
    r->twice = 2;
    assert_false(verdict_of(&s, r, "2 messages came twice"));
    s.qos = 1; /* MQTT5 4.3.2 */
    assert_true(verdict_of(&s, r, "which QoS 1 permits"));
    r->lost = 3;
    assert_false(verdict_of(&s, r, "LOST 3 messages"));
    s.qos = 0;
    assert_false(verdict_of(&s, r, "QoS 0 permits it"));
    r->lost = r->twice = 0;
    r->late = 1;
    assert_false(verdict_of(&s, r, "1 messages out of order"));
    r->late = 0;
    r->acked = 999;
    assert_false(verdict_of(&s, r, "1 messages not acknowledged"));
    r->acked = 1000;
    r->failed = 1;
    assert_false(verdict_of(&s, r, "1 connections failed"));
    free(r);
}

static void the_document_says_what_was_counted(void **state UNUSED)
{
    struct login login = { 0 };
    struct load_settings s = {
        .mode = LOAD_FANOUT, .qos = 1, .host = "h", .port = 1, .version = MQTT_5, .login = &login, .clients = 3
    };
    struct load_report *r = good_report();
    struct js *js = NULL;
    int64_t v = 0;
    bool ok = false;
    struct span text;

    trouble_add(&r->troubles, "odd \xff");
    assert_int_equal(report_json(&s, r, &js), ST_OK);
    assert_true(js_get_str(js, "bench", &text) && span_eq_str(text, "fan-out"));
    assert_true(js_get_i64(js, "received_per_s", &v) && v == 500);
    assert_true(js_get_i64(js_get(js, "latency"), "p50_us", &v) && v >= 500 && v <= 508);
    assert_true(js_get_i64(js_get(js, "latency"), "max_us", &v) && v == 1000);
    assert_true(js_get_bool(js, "ok", &ok) && !ok); /* there was an error */
    assert_int_equal(js_size(js_get(js, "errors")), 1);
    assert_null(js_get(js, "process"));
    js_unref(js);
    free(r);
}

static void the_parts_of_a_run_are_told_apart(void **state UNUSED)
{
    struct login login = { 0 };
    struct load_settings s = {
        .mode = LOAD_WILDCARDS, .host = "h", .port = 1, .version = MQTT_5, .login = &login, .pid = 7
    };
    struct load_report *r = good_report();
    struct js *js = NULL;
    struct span text;
    int64_t v = 0;

    r->has_process = true;
    r->parts[0].name = "empty";
    r->parts[1] = (struct load_part){ .name = "subscribe", .seconds = 1, .operations = 500 };
    r->parts[1].from = (struct usage){ .cpu_s = 1, .rss_kib = 1000 };
    r->parts[1].to = (struct usage){ .cpu_s = 1.5, .rss_kib = 1200 };
    histogram_add(&r->parts[1].times, 2000000);
    r->part_count = 2;
    assert_int_equal(report_json(&s, r, &js), ST_OK);
    const struct js *parts = js_get(js, "parts");
    assert_int_equal(js_size(parts), 2);
    assert_true(js_get_str(js_at(parts, 1), "part", &text) && span_eq_str(text, "subscribe"));
    assert_true(js_get_i64(js_at(parts, 1), "operations", &v) && v == 500);
    assert_true(js_get_i64(js_at(parts, 1), "cpu_us", &v) && v == 500000);
    assert_true(js_get_i64(js_at(parts, 1), "rss_from_kib", &v) && v == 1000);
    assert_true(js_get_i64(js_get(js_at(parts, 1), "times"), "max_us", &v) && v == 2000);
    assert_true(js_get_i64(js_get(js_at(parts, 0), "latency"), "count", &v) && v == 1000);
    assert_true(js_get_i64(js, "received_measured", &v) && v == 0); /* the last part's */
    assert_true(js_get_i64(js_get(js, "process"), "cpu_us", &v) && v == 500000);
    js_unref(js);
    free(r);
}

static void a_run_without_a_part_is_told_too(void **state UNUSED)
{
    struct login login = { 0 };
    struct load_settings s = { .mode = LOAD_RETAINED, .host = "h", .version = MQTT_5, .login = &login };
    struct load_report *r = calloc(1, sizeof *r);
    struct js *js = NULL;
    struct buf text;

    buf_init(&text, 4096);
    assert_int_equal(report_json(&s, r, &js), ST_OK);
    assert_int_equal(js_size(js_get(js, "parts")), 0);
    report_text(&s, r, &text);
    assert_true(buf_ok(&text) && text.len > 0);
    assert_false(verdict_of(&s, r, "no client was ready"));
    buf_done(&text);
    js_unref(js);
    free(r);
}

/* Whenever it is asked, however late: the n-th is due n intervals after the start, and rounding does not add up. */
static void a_schedule_waits_for_nobody(void **state UNUSED)
{
    struct pace pace = pace_from(1000, 3);

    assert_int_equal(pace_due(&pace), 1000);
    pace.count = 3000000;
    assert_int_equal(pace_due(&pace), 1000 + INT64_C(1000000) * 1000000000);
    pace = pace_from(0, 1e9);
    pace.count = 12345;
    assert_int_equal(pace_due(&pace), 12345);
}

static void the_live_line_fits_its_heading(void **state UNUSED)
{
    struct histogram *h = calloc(1, sizeof *h);
    struct load_second second = {
        .phase = LOAD_RUNNING, .at_s = 3, .seconds = 1, .connected = 7, .sent = 10, .received = 20, .latency = h
    };

    for (int mode = 0; mode < LOAD_MODES; mode++) {
        struct buf head, line;
        buf_init(&head, 1024);
        buf_init(&line, 1024);
        report_heading((enum load_mode)mode, &head);
        report_second((enum load_mode)mode, &second, &line);
        assert_int_equal(head.len, line.len);
        buf_done(&head);
        buf_done(&line);
    }
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_at_most_a_64th_above_the_exact_ones),
        cmocka_unit_test(a_histogram_takes_any_value),
        cmocka_unit_test(two_histograms_add_up_to_one),
        cmocka_unit_test(a_template_names_each_client),
        cmocka_unit_test(what_no_template_knows_is_refused),
        cmocka_unit_test(a_stamp_comes_back_as_it_was),
        cmocka_unit_test(messages_in_order_are_simply_received),
        cmocka_unit_test(gaps_doubles_and_late_ones_are_told_apart),
        cmocka_unit_test(tracks_agree_with_a_naive_count),
        cmocka_unit_test(tracks_are_found_by_run_and_publisher_and_bounded),
        cmocka_unit_test(troubles_are_counted_by_kind_and_bounded),
        cmocka_unit_test(tokens_are_read_from_a_file),
        cmocka_unit_test(a_cwt_is_presented_as_its_bytes),
        cmocka_unit_test(files_that_hold_no_tokens_are_refused),
        cmocka_unit_test(the_verdict_names_what_is_wrong),
        cmocka_unit_test(the_document_says_what_was_counted),
        cmocka_unit_test(the_parts_of_a_run_are_told_apart),
        cmocka_unit_test(a_run_without_a_part_is_told_too),
        cmocka_unit_test(a_schedule_waits_for_nobody),
        cmocka_unit_test(the_live_line_fits_its_heading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
