/* WebSocket over memory: frames in every cut, and what ends a connection. */
#include "net/ws_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

/* -- frames ----------------------------------------------------------------------------------------------- */

enum { FIN = 0x80, CONT = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

/* By hand from RFC 6455 5.2, independent of wslay. */
static void put_head(struct buf *out, unsigned first, bool mask, uint64_t len)
{
    const unsigned m = mask ? 0x80 : 0;
    put_u8(out, (uint8_t)first);
    if (len > UINT16_MAX) {
        put_u8(out, (uint8_t)(m | 127));
        put_u64(out, len);
    } else if (len > 125) {
        put_u8(out, (uint8_t)(m | 126));
        put_u16(out, (uint16_t)len);
    } else {
        put_u8(out, (uint8_t)(m | len));
    }
    if (mask)
        put_u32(out, 0xa1b2c3d4);
}

static void put_frame(struct buf *out, unsigned first, bool mask, struct span payload)
{
    static const uint8_t key[] = { 0xa1, 0xb2, 0xc3, 0xd4 };
    put_head(out, first, mask, payload.len);
    for (size_t i = 0; i < payload.len; i++)
        put_u8(out, mask ? payload.p[i] ^ key[i % 4] : payload.p[i]);
}

/* In pieces of `bite`, in place, as streams do it. */
static enum ws_result hear(struct ws *ws, struct span all, size_t bite, struct buf *got, struct why *why)
{
    enum ws_result result = WS_OK;
    for (size_t at = 0; at < all.len && result == WS_OK; at += bite) {
        struct span part = span_cut(all, at, bite);
        uint8_t *room = malloc(part.len);
        size_t len;
        assert_non_null(room);
        memcpy(room, part.p, part.len);
        result = ws_read(ws, span_of(room, part.len), room, &len, why);
        assert_true(len <= part.len);
        put_bytes(got, span_of(room, len));
        free(room);
    }
    return result;
}

static void fill(struct buf *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        put_u8(out, (uint8_t)(i * 31 + i / 251));
}

/* MQTT5 [MQTT-6.0.0-2], MQTT311 [MQTT-6.0.0-2]: packets need not fit frames, one frame may hold many, or a part. */
static void bytes_arrive_in_order_however_they_are_cut(void **state)
{
    const size_t bites[] = { 1, 2, 3, 13, 4096, 5000, 65536, WS_WORLD_MAX };
    const size_t frames[] = { 1, 7, 125, 126, 127, 4095, 65535, 65536, 100000 };
    struct buf data, wire, got;
    (void)state;
    buf_init(&data, WS_WORLD_MAX);
    buf_init(&wire, WS_WORLD_MAX);
    buf_init(&got, WS_WORLD_MAX);
    fill(&data, 100000);
    for (size_t f = 0; f < COUNT_OF(frames); f++) {
        buf_reset(&wire);
        size_t total = frames[f] < 100 ? 5000 : data.len;
        for (size_t at = 0; at < total; at += frames[f]) {
            bool last = at + frames[f] >= total;
            unsigned opcode = at == 0 ? BINARY : CONT;
            put_frame(&wire, opcode | (last ? FIN : 0u), true,
                      span_cut(span_cut(buf_span(&data), 0, total), at, frames[f]));
            put_frame(&wire, FIN | PONG, true, SPAN("nobody asked"));
            put_frame(&wire, opcode == BINARY && !last ? CONT : FIN | PING, true, SPAN_NONE);
        }
        for (size_t b = frames[f] == 1 ? 1 : 0; b < COUNT_OF(bites); b++) {
            struct why why = { 0 };
            struct ws *ws = ws_world_open_server();
            buf_reset(&got);
            if (hear(ws, buf_span(&wire), bites[b], &got, &why) != WS_OK)
                fail_msg("frames of %zu in bites of %zu: %s", frames[f], bites[b], why.text);
            assert_true(span_eq(buf_span(&got), span_cut(buf_span(&data), 0, total)));
            assert_null(ws->frames); /* nothing is kept between frames */
            assert_null(ws->control.p);
            ws_free(ws);
        }
    }
    buf_done(&data);
    buf_done(&wire);
    buf_done(&got);
}

static void a_frame_of_the_largest_size_costs_no_memory(void **state)
{
    struct why why = { 0 };
    struct ws *ws = ws_world_open_server();
    struct buf wire, got;
    (void)state;
    buf_init(&wire, WS_WORLD_MAX);
    buf_init(&got, WS_WORLD_MAX);
    put_head(&wire, FIN | BINARY, true, WS_FRAME_MAX);
    fill(&wire, 100000);
    assert_int_equal(hear(ws, buf_span(&wire), 50000, &got, &why), WS_OK);
    assert_int_equal(got.len, 100000); /* what came is there at once */
    assert_null(ws->control.p);
    ws_free(ws);
    buf_done(&wire);
    buf_done(&got);
}

/* RFC 6455 5.1, 5.2: what we send is one frame, masked if and only if we are the client, by a key of its own. */
static void what_is_sent_is_one_binary_frame(void **state)
{
    const size_t sizes[] = { 1, 125, 126, 65535, 65536, 200000 };
    struct buf data, wire, again, got;
    (void)state;
    buf_init(&data, WS_WORLD_MAX);
    buf_init(&wire, WS_WORLD_MAX);
    buf_init(&again, WS_WORLD_MAX);
    buf_init(&got, WS_WORLD_MAX);
    fill(&data, 200000);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct why why = { 0 };
        struct ws *s = ws_world_open_server(), *c = ws_world_open_client();
        struct span part = span_cut(buf_span(&data), 0, sizes[i]);
        buf_reset(&wire);
        buf_reset(&again);
        put_frame(&again, FIN | BINARY, false, part);
        assert_int_equal(ws_write(s, part, &wire), ST_OK);
        assert_true(span_eq(buf_span(&wire), buf_span(&again)));
        buf_reset(&got);
        assert_int_equal(hear(c, buf_span(&wire), 777, &got, &why), WS_OK);
        assert_true(span_eq(buf_span(&got), part));
        buf_reset(&wire);
        buf_reset(&again);
        assert_int_equal(ws_write(c, part, &wire), ST_OK);
        assert_int_equal(ws_write(c, part, &again), ST_OK);
        assert_int_equal(wire.len, again.len);
        assert_false(span_eq(buf_span(&wire), buf_span(&again))); /* another key */
        buf_reset(&got);
        assert_int_equal(hear(s, buf_span(&wire), 777, &got, &why), WS_OK);
        assert_true(span_eq(buf_span(&got), part));
        ws_free(s);
        ws_free(c);
    }
    buf_done(&data);
    buf_done(&wire);
    buf_done(&again);
    buf_done(&got);
}

/* RFC 6455 5.5.2, 5.5.3: a Pong with the Ping's payload, for the last of several that came at once. */
static void a_ping_is_answered_and_a_flood_once(void **state)
{
    struct why why = { 0 };
    struct ws *ws = ws_world_open_server();
    struct buf wire, got, expected;
    (void)state;
    buf_init(&wire, WS_WORLD_MAX);
    buf_init(&got, WS_WORLD_MAX);
    buf_init(&expected, WS_WORLD_MAX);
    for (int i = 0; i < 1000; i++)
        put_frame(&wire, FIN | PING, true, SPAN("first"));
    put_frame(&wire, FIN | PING, true, SPAN("last"));
    put_frame(&wire, FIN | PONG, true, SPAN("unsolicited"));
    assert_int_equal(hear(ws, buf_span(&wire), 100, &got, &why), WS_OK);
    assert_int_equal(got.len, 0);
    assert_true(ws_has_output(ws));
    struct buf out;
    buf_init(&out, WS_WORLD_MAX);
    assert_int_equal(ws_write(ws, SPAN("data"), &out), ST_OK);
    put_frame(&expected, FIN | PONG, false, SPAN("last"));
    put_frame(&expected, FIN | BINARY, false, SPAN("data"));
    assert_true(span_eq(buf_span(&out), buf_span(&expected)));
    assert_false(ws_has_output(ws));
    assert_null(ws->pong.p);
    ws_free(ws);
    buf_done(&out);
    buf_done(&wire);
    buf_done(&got);
    buf_done(&expected);
}

/* -- the end ---------------------------------------------------------------------------------------------- */

/* The code of the one Close that comes out, 0 for an empty one. */
static unsigned close_of(struct ws *ws)
{
    ws_close(ws);
    assert_true(ws_has_output(ws));
    struct buf out = ws_world_said(ws);
    assert_true(out.len >= 2);
    assert_int_equal(out.p[0], FIN | CLOSE);
    unsigned code = out.p[1] == 0 ? 0 : (unsigned)(out.p[2] << 8 | out.p[3]);
    buf_reset(&out);
    ws_close(ws);
    assert_int_equal(ws_write(ws, SPAN("more"), &out), ST_OK);
    assert_int_equal(out.len, 0); /* nothing follows a Close */
    buf_done(&out);
    return code;
}

static void put_close(struct buf *wire, unsigned code, const char *reason)
{
    struct buf payload;
    buf_init(&payload, 1000);
    put_u16(&payload, (uint16_t)code);
    put_str(&payload, reason);
    put_frame(wire, FIN | CLOSE, true, buf_span(&payload));
    buf_done(&payload);
}

/* RFC 6455 5.5.1, 7.4 */
static void a_close_is_answered_with_its_code(void **state)
{
    static const struct {
        unsigned code, answer;
    } rows[] = { { 1000, 1000 }, { 1001, 1001 }, { 1014, 1014 }, { 3000, 3000 }, { 4999, 4999 },
                 { 0, 1002 },    { 999, 1002 },  { 1004, 1002 }, { 1005, 1002 }, { 1006, 1002 },
                 { 1015, 1002 }, { 2999, 1002 }, { 5000, 1002 } };
    struct buf wire, got;
    (void)state;
    buf_init(&wire, WS_WORLD_MAX);
    buf_init(&got, WS_WORLD_MAX);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct why why = { 0 };
        struct ws *ws = ws_world_open_server();
        buf_reset(&wire);
        buf_reset(&got);
        put_frame(&wire, FIN | BINARY, true, SPAN("before"));
        put_close(&wire, rows[i].code, "bye");
        put_frame(&wire, FIN | BINARY, true, SPAN("behind"));
        assert_int_equal(hear(ws, buf_span(&wire), WS_WORLD_MAX, &got, &why),
                         rows[i].answer == rows[i].code ? WS_CLOSED : WS_FAILED);
        assert_true(span_eq_str(buf_span(&got), "before"));
        assert_int_equal(close_of(ws), rows[i].answer);
        ws_free(ws);
    }
    struct why why = { 0 };
    struct ws *ws = ws_world_open_server();
    buf_reset(&wire);
    put_frame(&wire, FIN | CLOSE, true, SPAN_NONE); /* no code, and none comes back */
    assert_int_equal(hear(ws, buf_span(&wire), 1, &got, &why), WS_CLOSED);
    assert_int_equal(close_of(ws), 0);
    ws_free(ws);
    ws = ws_world_open_server(); /* ours is a normal one */
    assert_int_equal(close_of(ws), 1000);
    ws_free(ws);
    buf_done(&wire);
    buf_done(&got);
}

struct violation {
    const char *name;
    unsigned first;
    bool mask;
    uint64_t len;
    const char *clause;
    unsigned code;
    bool in_message; /* after a frame without FIN */
};

/* clang-format off */
static const struct violation violations[] = {
    { "a text frame",                 FIN | TEXT,          true,  4,   "MQTT5 [MQTT-6.0.0-1]", 1003, false },
    { "an empty text frame",          FIN | TEXT,          true,  0,   "MQTT5 [MQTT-6.0.0-1]", 1003, false },
    { "a text frame without FIN",     TEXT,                true,  4,   "MQTT5 [MQTT-6.0.0-1]", 1003, false },
    { "a frame that is not masked",   FIN | BINARY,        false, 4,   "RFC 6455 5.1",         1002, false },
    { "a Ping that is not masked",    FIN | PING,          false, 4,   "RFC 6455 5.1",         1002, false },
    { "RSV1",                         FIN | 0x40 | BINARY, true,  4,   "RFC 6455 5.2",         1002, false },
    { "RSV2",                         FIN | 0x20 | BINARY, true,  4,   "RFC 6455 5.2",         1002, false },
    { "RSV3",                         FIN | 0x10 | BINARY, true,  4,   "RFC 6455 5.2",         1002, false },
    { "RSV1 of a Ping",               FIN | 0x40 | PING,   true,  4,   "RFC 6455 5.2",         1002, false },
    { "opcode 3",                     FIN | 3,             true,  4,   "RFC 6455 5.2",         1002, false },
    { "opcode 7",                     FIN | 7,             true,  4,   "RFC 6455 5.2",         1002, false },
    { "opcode 11",                    FIN | 11,            true,  4,   "RFC 6455 5.2",         1002, false },
    { "opcode 15",                    FIN | 15,            true,  4,   "RFC 6455 5.2",         1002, false },
    { "a continuation of nothing",    FIN | CONT,          true,  4,   "RFC 6455 5.4",         1002, false },
    { "a message within a message",   FIN | BINARY,        true,  4,   "RFC 6455 5.4",         1002, true  },
    { "a fragmented Ping",            PING,                true,  4,   "RFC 6455 5.2",         1002, false },
    { "a Ping of 126 bytes",          FIN | PING,          true,  126, "RFC 6455 5.2",         1002, false },
    { "a Close of 70000 bytes",       FIN | CLOSE,         true,  70000, "RFC 6455 5.2",       1002, false },
    { "a Close of one byte",          FIN | CLOSE,         true,  1,   "RFC 6455 5.5.1",       1002, false },
    { "a frame beyond the limit",     FIN | BINARY,        true,  WS_FRAME_MAX + 1, "RFC 6455 10.4", 1009, false },
    { "a length of 2^62",             FIN | BINARY,        true,  1ull << 62, "RFC 6455 10.4", 1009, false },
    { "a length of 2^63",             FIN | BINARY,        true,  1ull << 63, "RFC 6455 5.2",  1002, false },
    { "a length of 2^64-1",           FIN | BINARY,        true,  UINT64_MAX, "RFC 6455 5.2",  1002, false },
};
/* clang-format on */

/* MQTT5 [MQTT-6.0.0-1], MQTT311 [MQTT-6.0.0-1]: a data frame that is not binary ends the connection. RFC 6455 5, 7.4.1. */
static void what_the_standard_forbids_ends_the_connection(void **state)
{
    struct buf wire, got;
    (void)state;
    buf_init(&wire, WS_WORLD_MAX);
    buf_init(&got, WS_WORLD_MAX);
    for (size_t i = 0; i < COUNT_OF(violations); i++)
        for (size_t bite = 1; bite <= WS_WORLD_MAX; bite = bite == 1 ? WS_WORLD_MAX : WS_WORLD_MAX + 1) {
            const struct violation *v = &violations[i];
            struct why why = { 0 };
            struct ws *ws = ws_world_open_server();
            buf_reset(&wire);
            buf_reset(&got);
            put_frame(&wire, v->in_message ? BINARY : FIN | BINARY, true, SPAN("good"));
            put_head(&wire, v->first, v->mask, v->len);
            for (uint64_t k = 0; k < v->len && k < 4; k++)
                put_u8(&wire, 0);
            if (hear(ws, buf_span(&wire), bite, &got, &why) != WS_FAILED)
                fail_msg("%s: accepted", v->name);
            if (strcmp(why.clause, v->clause) != 0)
                fail_msg("%s: %s %s", v->name, why.clause, why.text);
            assert_true(span_eq_str(buf_span(&got), "good"));
            assert_int_equal(close_of(ws), v->code);
            assert_int_not_equal(ws_failure(ws), ST_OK);
            ws_free(ws);
        }
    buf_done(&wire);
    buf_done(&got);
}

static void lengths_have_one_form(void **state)
{
    static const uint8_t long_for_short[] = { FIN | BINARY, 0x80 | 126, 0, 125, 1, 2, 3, 4, 5 };
    static const uint8_t longer_for_long[] = { FIN | BINARY, 0x80 | 127, 0, 0, 0, 0, 0, 0,
                                               255,          255,        1, 2, 3, 4, 5 };
    const struct span rows[] = { span_of(long_for_short, sizeof long_for_short),
                                 span_of(longer_for_long, sizeof longer_for_long) };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct why why = { 0 };
        struct buf got = { .max = 100 };
        struct ws *ws = ws_world_open_server();
        assert_int_equal(hear(ws, rows[i], 100, &got, &why),
                         WS_FAILED); /* RFC 6455 5.2: the minimal number of bytes */
        assert_int_equal(close_of(ws), 1002);
        ws_free(ws);
    }
}

static void a_close_whose_reason_is_no_text_is_refused(void **state)
{
    struct why why = { 0 };
    struct buf wire = { .max = 1000 }, got = { .max = 100 };
    struct ws *ws = ws_world_open_server();
    (void)state;
    put_close(&wire, 1000, "\xff\xfe");
    assert_int_equal(hear(ws, buf_span(&wire), 1, &got, &why), WS_FAILED);
    assert_int_equal(close_of(ws), 1007); /* RFC 6455 8.1 */
    ws_free(ws);
    buf_done(&wire);
}

/* MQTT5 [MQTT-6.0.0-1], MQTT311 [MQTT-6.0.0-1]: the recipient closes, whoever it is. */
static void a_client_takes_no_text_frame(void **state)
{
    struct why why = { 0 };
    struct buf wire = { .max = 1000 }, got = { .max = 100 };
    struct ws *ws = ws_world_open_client();
    (void)state;
    put_frame(&wire, FIN | BINARY, false, SPAN("good"));
    put_frame(&wire, FIN | TEXT, false, SPAN("bad"));
    assert_int_equal(hear(ws, buf_span(&wire), 100, &got, &why), WS_FAILED);
    assert_true(span_eq_str(buf_span(&got), "good"));
    assert_string_equal(why.clause, "MQTT5 [MQTT-6.0.0-1]");
    assert_int_equal(ws_failure(ws), ST_PROTOCOL);
    ws_free(ws);
    buf_done(&wire);
    buf_done(&got);
}

/* RFC 6455 5.1: a client closes when a server masks. */
static void a_client_takes_no_masked_frame(void **state)
{
    struct why why = { 0 };
    struct buf wire = { .max = 1000 }, got = { .max = 100 };
    struct ws *ws = ws_world_open_client();
    (void)state;
    put_frame(&wire, FIN | BINARY, false, SPAN("good"));
    put_frame(&wire, FIN | BINARY, true, SPAN("bad"));
    assert_int_equal(hear(ws, buf_span(&wire), 3, &got, &why), WS_FAILED);
    assert_true(span_eq_str(buf_span(&got), "good"));
    ws_close(ws);
    struct buf out = ws_world_said(ws);
    assert_int_equal(out.len, 2 + 4 + 2); /* masked, as everything a client sends */
    assert_int_equal(out.p[1] & 0x80, 0x80);
    buf_done(&out);
    ws_free(ws);
    buf_done(&wire);
    buf_done(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_in_order_however_they_are_cut),
        cmocka_unit_test(a_frame_of_the_largest_size_costs_no_memory),
        cmocka_unit_test(what_is_sent_is_one_binary_frame),
        cmocka_unit_test(a_ping_is_answered_and_a_flood_once),
        cmocka_unit_test(a_close_is_answered_with_its_code),
        cmocka_unit_test(what_the_standard_forbids_ends_the_connection),
        cmocka_unit_test(lengths_have_one_form),
        cmocka_unit_test(a_close_whose_reason_is_no_text_is_refused),
        cmocka_unit_test(a_client_takes_no_text_frame),
        cmocka_unit_test(a_client_takes_no_masked_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
