/* Readers fail once and stay failed, buffers keep to their limit, timers never fire early, text is UTF-8 or
 * not. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/host_port.h"
#include "base/log.h"
#include "base/reader.h"
#include "base/table.h"
#include "base/timer.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

static void reader_stays_failed_after_a_short_read(void **state UNUSED)
{
    struct reader r = reader_make(SPAN("\x01\x02\x03"), "test");
    struct why why;

    assert_int_equal(read_u16(&r), 0x0102);
    assert_int_equal(read_u16(&r), 0);
    assert_int_equal(read_u8(&r), 0); /* one byte is there, but the reader has failed */
    assert_int_equal(reader_left(&r), 0);
    assert_int_equal(reader_finish(&r, &why), ST_MALFORMED);
    assert_string_equal(why.clause, "test");
}

static void reader_refuses_bytes_left_over(void **state UNUSED)
{
    struct reader r = reader_make(SPAN("\x01\x02"), NULL);

    read_u8(&r);
    assert_int_equal(reader_finish(&r, NULL), ST_MALFORMED);
    read_u8(&r);
    assert_int_equal(reader_finish(&r, NULL), ST_OK);
}

static void nested_reader_cannot_leave_its_block(void **state UNUSED)
{
    struct reader r = reader_make(SPAN("\x02\xaa\xbb\xcc"), NULL);
    struct reader inner = read_block_varint(&r);

    assert_int_equal(read_u16(&inner), 0xaabb);
    assert_int_equal(read_u8(&inner), 0);
    assert_false(reader_ok(&inner));
    assert_int_equal(read_u8(&r), 0xcc);
    assert_int_equal(reader_finish(&r, NULL), ST_OK);
}

static void varint_takes_the_shortest_form_only(void **state UNUSED)
{
    static const struct {
        struct span in;
        bool ok;
        uint32_t value;
    } rows[] = {
        { { (const uint8_t *)"\x00", 1 }, true, 0 },
        { { (const uint8_t *)"\x7f", 1 }, true, 127 },
        { { (const uint8_t *)"\x80\x01", 2 }, true, 128 },
        { { (const uint8_t *)"\xff\xff\xff\x7f", 4 }, true, 268435455 },
        { { (const uint8_t *)"\x80\x00", 2 }, false, 0 }, /* MQTT5 [MQTT-1.5.5-1] */
        { { (const uint8_t *)"\xff\xff\xff\xff\x01", 5 }, false, 0 },
        { { (const uint8_t *)"\x80", 1 }, false, 0 },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct reader r = reader_make(rows[i].in, NULL);
        assert_int_equal(read_varint(&r), rows[i].value);
        assert_int_equal(reader_ok(&r), rows[i].ok);
    }
}

static void varint_round_trip(void **state UNUSED)
{
    struct buf b;

    buf_init(&b, 16);
    for (uint32_t v = 0; v <= 268435455; v = v * 3 + 1) {
        buf_reset(&b);
        put_varint(&b, v);
        assert_int_equal(b.len, varint_size(v));
        struct reader r = reader_make(buf_span(&b), NULL);
        assert_int_equal(read_varint(&r), v);
        assert_int_equal(reader_finish(&r, NULL), ST_OK);
    }
    put_varint(&b, 268435456);
    assert_false(buf_ok(&b));
    buf_done(&b);
}

static void buffer_keeps_to_its_limit(void **state UNUSED)
{
    struct buf b;
    size_t len;

    buf_init(&b, 5);
    put_str(&b, "abc");
    put_u32(&b, 1);
    assert_false(buf_ok(&b));
    put_u8(&b, 1); /* would fit, but failure is sticky */
    assert_int_equal(b.len, 3);
    assert_null(buf_take(&b, &len));
    buf_reset(&b);
    put_fmt(&b, "%s-%d", "x", 7);
    char *s = (char *)buf_take(&b, &len);
    assert_string_equal(s, "x-7");
    assert_int_equal(len, 3);
    free(s);
    buf_done(&b);
}

static void arena_keeps_to_its_limit(void **state UNUSED)
{
    struct arena a;

    arena_init(&a, 10000);
    assert_non_null(arena_alloc(&a, 6000));
    assert_null(arena_alloc(&a, 6000));
    assert_string_equal(arena_str(&a, SPAN("kept")), "kept");
    arena_done(&a);
}

static void siphash_matches_the_published_vectors(void **state UNUSED)
{
    /* Aumasson & Bernstein, appendix A: key 00..0f, input 00..0e; and the empty input of the reference vectors.
     */
    struct hash_key key = { { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) } };
    uint8_t in[15];

    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)i;
    assert_true(siphash(key, span_of(in, 15)) == UINT64_C(0xa129ca6149be45e5));
    assert_true(siphash(key, SPAN_NONE) == UINT64_C(0x726fdb47dd0e0e31));
}

struct entry {
    struct table_node node;
    int key;
};

static bool entry_eq(const struct table_node *node, const void *key)
{
    return CONTAINER_OF(node, struct entry, node)->key == *(const int *)key;
}

static void table_finds_what_was_put_in_while_it_grows(void **state UNUSED)
{
    static struct entry entries[5000];
    struct table t;

    assert_int_equal(table_init(&t, (struct hash_key){ { 1, 2 } }), ST_OK);
    for (int i = 0; i < 5000; i++) {
        entries[i].key = i;
        table_insert(&t, &entries[i].node, table_hash(&t, span_of(&i, sizeof i)));
    }
    for (int i = 0; i < 5000; i += 2)
        table_remove(&t, &entries[i].node);
    for (int i = 0; i < 5000; i++) {
        struct table_node *n = table_find(&t, table_hash(&t, span_of(&i, sizeof i)), entry_eq, &i);
        assert_ptr_equal(n, i % 2 == 0 ? NULL : &entries[i].node);
    }
    size_t seen = 0;
    TABLE_EACH (n, &t)
        seen++;
    assert_int_equal(seen, t.count);
    assert_int_equal(seen, 2500);
    while (table_take_any(&t) != NULL)
        ;
    assert_int_equal(t.count, 0);
    table_done(&t);
}

struct clocked {
    struct timer timer;
    int64_t due_ms, fired_ms;
};

static void note_time(struct timer *t, struct now now)
{
    CONTAINER_OF(t, struct clocked, timer)->fired_ms = now.mono.ms;
}

static void timers_fire_in_time_and_never_early(void **state UNUSED)
{
    static struct clocked timers[2000];
    struct timer_wheel wheel;
    struct now now = { .mono = { 12345 } };
    uint64_t seed = 42;
    int64_t last = 0;

    timer_wheel_init(&wheel, now.mono);
    for (size_t i = 0; i < COUNT_OF(timers); i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        timer_init(&timers[i].timer, note_time);
        timers[i].due_ms = now.mono.ms + (int64_t)(seed >> 33) % (i % 4 == 0 ? 100000000 : 50000);
        timer_start(&wheel, &timers[i].timer, (struct mono_time){ timers[i].due_ms });
        last = timers[i].due_ms > last ? timers[i].due_ms : last;
    }
    while (now.mono.ms <= last + 2 * TIMER_TICK_MS) {
        int64_t wait = timer_wheel_wait_ms(&wheel, now.mono);
        if (wait < 0)
            break;
        now.mono.ms += wait;
        timer_wheel_advance(&wheel, now);
    }
    for (size_t i = 0; i < COUNT_OF(timers); i++) {
        assert_true(timers[i].fired_ms >= timers[i].due_ms);
        assert_true(timers[i].fired_ms <= timers[i].due_ms + 2 * TIMER_TICK_MS);
    }
    assert_int_equal(wheel.count, 0);
    assert_int_equal(timer_wheel_wait_ms(&wheel, now.mono), -1);
}

static struct timer_wheel shared_wheel;

static void restart_myself(struct timer *t, struct now now)
{
    struct clocked *c = CONTAINER_OF(t, struct clocked, timer);

    c->fired_ms++;
    timer_start(&shared_wheel, t, now.mono); /* already due: next tick, never an endless loop */
}

static void timer_may_restart_itself_and_be_stopped(void **state UNUSED)
{
    struct clocked c = { 0 };

    timer_wheel_init(&shared_wheel, (struct mono_time){ 0 });
    timer_init(&c.timer, restart_myself);
    timer_start(&shared_wheel, &c.timer, (struct mono_time){ 1 });
    timer_wheel_advance(&shared_wheel, (struct now){ .mono = { 10 * TIMER_TICK_MS } });
    assert_true(c.fired_ms >= 1 && c.fired_ms <= 10);
    timer_stop(&shared_wheel, &c.timer);
    timer_stop(&shared_wheel, &c.timer);
    assert_int_equal(shared_wheel.count, 0);
}

static void timer_beyond_the_wheel_still_fires_on_time(void **state UNUSED)
{
    struct clocked c = { 0 };
    struct now now = { .mono = { 0 } };
    const int64_t due = (int64_t)200 * 24 * 3600 * MS_PER_S;

    timer_wheel_init(&shared_wheel, now.mono);
    timer_init(&c.timer, note_time);
    timer_start(&shared_wheel, &c.timer, (struct mono_time){ due });
    now.mono.ms = due - TIMER_TICK_MS;
    timer_wheel_advance(&shared_wheel, now);
    assert_int_equal(c.fired_ms, 0);
    now.mono.ms = due + TIMER_TICK_MS;
    timer_wheel_advance(&shared_wheel, now);
    assert_int_equal(c.fired_ms, now.mono.ms);
}

static void tamed(const char *text, const char *expected)
{
    char copy[64];

    (void)snprintf(copy, sizeof copy, "%s", text);
    utf8_tame(copy);
    assert_string_equal(copy, expected);
}

static void words_from_elsewhere_are_tamed(void **state UNUSED)
{
    tamed("plain, \xc3\xa4, \xf0\x9f\x94\x91", "plain, \xc3\xa4, \xf0\x9f\x94\x91");
    tamed("a\033[2Jb\x7f\n\t", "a?[2Jb???");
    tamed("\xc2\x9b"
          "31m, \xc2\xa0",
          "??31m, \xc2\xa0"); /* CSI as one character */
    tamed("broken \xff \xc3\xa4", "broken ? ??");
    tamed("", "");
}

/* Eight bytes are looked at together: wherever the odd one lies. */
static void utf8_finds_the_odd_byte_at_every_place(void **state UNUSED)
{
    uint8_t text[40];

    for (size_t len = 1; len <= sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            memset(text, 'a', sizeof text);
            assert_true(utf8_valid_mqtt(span_of(text, len)));
            text[at] = 0;
            assert_false(utf8_valid_mqtt(span_of(text, len)));
            assert_true(utf8_valid(span_of(text, len)));
            text[at] = 0x80;
            assert_false(utf8_valid(span_of(text, len)));
            text[at] = 0x01;
            assert_true(utf8_valid_mqtt(span_of(text, len)));
            text[at] = 0xc3;
            if (at + 1 < len)
                text[at + 1] = 0xa4;
            assert_int_equal(utf8_valid_mqtt(span_of(text, len)), at + 1 < len);
        }
    }
}

static void utf8_accepts_what_the_rfc_accepts(void **state UNUSED)
{
    assert_true(utf8_valid_mqtt(SPAN("plain, \xc3\xa4, \xe2\x82\xac, \xf0\x9f\x94\x91, \xf4\x8f\xbf\xbf")));
    assert_true(utf8_valid(SPAN("nul \0 inside")));
    assert_false(utf8_valid_mqtt(SPAN("nul \0 inside"))); /* MQTT5 [MQTT-1.5.4-2] */
    assert_false(utf8_valid(SPAN("\xc0\x80")));           /* overlong */
    assert_false(utf8_valid(SPAN("\xe0\x9f\xbf")));
    assert_false(utf8_valid(SPAN("\xf0\x8f\xbf\xbf")));
    assert_false(utf8_valid(SPAN("\xed\xa0\x80"))); /* surrogate: MQTT5 [MQTT-1.5.4-1] */
    assert_false(utf8_valid(SPAN("\xf4\x90\x80\x80")));
    assert_false(utf8_valid(SPAN("\xff")));
    assert_false(utf8_valid(SPAN("cut \xe2\x82")));
}

static char logged[8192];

static void keep_line(void *ctx UNUSED, enum log_level level UNUSED, struct span line)
{
    memcpy(logged, line.p, line.len);
    logged[line.len] = '\0';
}

/* The fields of a log are those of what it is a part of: no copy of it may be asked. */
struct owner {
    struct log log;
    int64_t number;
};

static void of_worker(const struct log *log, struct log_field own[LOG_OWN_FIELDS])
{
    own[0] = F_I64("worker", CONTAINER_OF(log, const struct owner, log)->number);
}

static void of_conn(const struct log *log UNUSED, struct log_field own[LOG_OWN_FIELDS])
{
    own[0] = F_I64("conn", 7);
}

static void of_session(const struct log *log UNUSED, struct log_field own[LOG_OWN_FIELDS])
{
    own[1] = F_STR("client_id", "a b\n\"");
}

static void log_lines_carry_fields_and_no_control_bytes(void **state UNUSED)
{
    const struct log conn = { .own_fields = of_conn };
    const struct log session = { .parent = &conn, .own_fields = of_session };
    char long_value[6000];

    log_set_sink(keep_line, NULL);
    log_event(&session, LOG_NOTICE, "token_rejected", F_STR("clause", "MT-65"), F_HEX("kid", SPAN("\x01\xff")));
    assert_non_null(
        strstr(logged, " notice token_rejected conn=7 client_id=\"a b\\u000a\\\"\" clause=MT-65 kid=01ff"));
    logged[0] = '\0';
    log_event(&session, LOG_DEBUG, "not_wanted");
    assert_string_equal(logged, "");
    memset(long_value, 'x', sizeof long_value);
    log_event(NULL, LOG_ERROR, "long", F_SPAN("v", span_of(long_value, sizeof long_value)));
    assert_true(strlen(logged) < 400);
    log_set_sink(NULL, NULL);
}

static void a_flood_of_one_event_is_counted_instead_of_written(void **state UNUSED)
{
    struct log_limit limit = { .per_s = 3 };
    struct mono_time t = { 5000 };
    unsigned passed = 0;

    for (int i = 0; i < 1000; i++)
        passed += log_limit_pass(&limit, "flooded", SPAN_NONE, t);
    assert_int_equal(passed, 3);
    assert_true(limit.suppressed);
    assert_true(log_limit_pass(&limit, "another", SPAN_NONE, t)); /* which is not drowned by it */
    t.ms += 999;
    assert_false(log_limit_pass(&limit, "flooded", SPAN_NONE, t));
    t.ms += 1;
    assert_true(log_limit_pass(&limit, "flooded", SPAN_NONE, t));
    limit = (struct log_limit){ 0 };
    for (int i = 0; i < 1000; i++)
        assert_true(log_limit_pass(&limit, "unlimited", SPAN("192.0.2.1"), t));
}

static void one_source_does_not_hide_what_others_do(void **state UNUSED)
{
    struct log_limit limit = { .per_s = 100, .key = { { 1, 2 } } };
    const struct mono_time t = { 5000 };
    int loud = 0, quiet = 0, many = 0;

    for (int i = 0; i < 100000; i++)
        loud += log_limit_pass(&limit, "tls_refused", SPAN("192.0.2.1"), t);
    for (int i = 0; i < 5; i++)
        quiet += log_limit_pass(&limit, "tls_refused", SPAN("192.0.2.2"), t);
    assert_int_equal(loud, 25);
    assert_int_equal(quiet, 5);
    assert_true(log_limit_pass(&limit, "connect_refused", SPAN("192.0.2.1"), t)); /* each event by itself */
    for (uint32_t i = 0; i < 10000; i++) /* all of them together have the limit of the event */
        many += log_limit_pass(&limit, "tls_refused", span_of((const uint8_t *)&i, sizeof i), t);
    assert_int_equal(loud + quiet + many, 100);
    assert_true(log_limit_pass(&limit, "tls_refused", SPAN("192.0.2.1"), (struct mono_time){ 6000 }));
    limit.per_s = 1; /* then a share is a whole line */
    assert_true(log_limit_pass(&limit, "another", SPAN("192.0.2.1"), (struct mono_time){ 7000 }));
}

static void what_a_limit_left_out_is_told(void **state UNUSED)
{
    struct log_limit limit = { .per_s = 1 };
    const struct owner worker = { { .limit = &limit, .own_fields = of_worker }, 1 };
    const struct log conn = { .parent = &worker.log, .own_fields = of_conn };
    uint64_t first = 0;

    log_set_level(LOG_INFO);
    log_set_sink(keep_line, NULL);
    for (int i = 0; i < 10000; i++) /* within a second, or two */
        log_event(&conn, LOG_NOTICE, "flooded");
    first = limit.events[0].suppressed;
    assert_true(first >= 9990);
    logged[0] = '\0';
    log_event(&conn, LOG_ERROR, "flooded"); /* errors always pass */
    assert_non_null(strstr(logged, " error flooded worker=1 conn=7"));
    log_tell_suppressed(&worker.log);
    assert_non_null(strstr(logged, " warning log_suppressed worker=1 event=flooded count="));
    assert_false(limit.suppressed);
    logged[0] = '\0';
    log_tell_suppressed(&worker.log);
    assert_string_equal(logged, "");
    log_set_sink(NULL, NULL);
    log_set_level(LOG_NOTICE);
}

static void every_status_has_its_columns(void **state UNUSED)
{
    for (enum status st = ST_OK; st < STATUSES; st++) {
        assert_true(strlen(status_name(st)) > 0 && strlen(status_text(st)) > 0);
        if (st != ST_OK && st != ST_PENDING) {
            assert_true(status_mqtt5_code(st) >= 0x80);
            assert_true(status_http_code(st) >= 400);
            assert_true(strlen(status_oauth_error(st)) > 0);
        }
    }
}

static void hosts_and_ports_are_read_as_urls_write_them(void **state UNUSED)
{ /* RFC 3986 3.2.2, 3.2.3 */
    static const struct {
        const char *text, *host; /* NULL: refused */
        uint16_t port;
    } rows[] = {
        { "a", "a", 0 },
        { "a.example:1", "a.example", 1 },
        { "a:65535", "a", 65535 },
        { "[::1]", "::1", 0 },
        { "[fe80::1]:8883", "fe80::1", 8883 },
        { "", NULL, 0 },
        { ":1", NULL, 0 },
        { "a:", NULL, 0 },
        { "a:0", NULL, 0 },
        { "a:65536", NULL, 0 },
        { "a:000001", NULL, 0 },
        { "a:1x", NULL, 0 },
        { "a:+1", NULL, 0 },
        { "a b", NULL, 0 },
        { "a/b", NULL, 0 },
        { "\xc3\xa4", NULL, 0 },
        { "::1", NULL, 0 },
        { "[::1", NULL, 0 },
        { "[]:1", NULL, 0 },
        { "[::1]1", NULL, 0 },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct span host;
        uint16_t port;
        bool good = host_port_parse(span_of_str(rows[i].text), &host, &port);

        if (good != (rows[i].host != NULL) ||
            (good && (!span_eq_str(host, rows[i].host) || port != rows[i].port)))
            fail_msg("%s", rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_and_ports_are_read_as_urls_write_them),
        cmocka_unit_test(reader_stays_failed_after_a_short_read),
        cmocka_unit_test(reader_refuses_bytes_left_over),
        cmocka_unit_test(nested_reader_cannot_leave_its_block),
        cmocka_unit_test(varint_takes_the_shortest_form_only),
        cmocka_unit_test(varint_round_trip),
        cmocka_unit_test(buffer_keeps_to_its_limit),
        cmocka_unit_test(arena_keeps_to_its_limit),
        cmocka_unit_test(siphash_matches_the_published_vectors),
        cmocka_unit_test(table_finds_what_was_put_in_while_it_grows),
        cmocka_unit_test(timers_fire_in_time_and_never_early),
        cmocka_unit_test(timer_may_restart_itself_and_be_stopped),
        cmocka_unit_test(timer_beyond_the_wheel_still_fires_on_time),
        cmocka_unit_test(utf8_finds_the_odd_byte_at_every_place),
        cmocka_unit_test(utf8_accepts_what_the_rfc_accepts),
        cmocka_unit_test(words_from_elsewhere_are_tamed),
        cmocka_unit_test(log_lines_carry_fields_and_no_control_bytes),
        cmocka_unit_test(a_flood_of_one_event_is_counted_instead_of_written),
        cmocka_unit_test(one_source_does_not_hide_what_others_do),
        cmocka_unit_test(what_a_limit_left_out_is_told),
        cmocka_unit_test(every_status_has_its_columns),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
