/* A stream in WebSocket frames against a peer that writes every byte itself; stream_test.c has both ends ours. */
#include "net/dial.h"
#include "net/listener.h"
#include "net/stream.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "net/test_wait.h"

#define REQUEST                                                                      \
    "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"   \
    "Sec-WebSocket-Protocol: mqtt\r\n\r\n"
#define ANSWER                                                                          \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

/* Masked with 0, so that they can be read here. */
#define HEAD(first, len) first len "\0\0\0\0"

static const struct ws_server_settings at = { .path = WS_PATH };

struct world {
    struct loop *loop;
    int fd; /* the peer's */
    struct stream *stream;
    struct buf got;  /* by the stream */
    struct buf seen; /* by the peer */
    bool ready, moved, closed, pause_on_data, peer_end;
    size_t bites;
    struct loop *move_to;
    enum status st;
    struct why why;
};

static void on_ready(void *ctx)
{
    struct world *w = ctx;
    w->ready = true;
}

static size_t on_data(void *ctx, struct span data)
{
    struct world *w = ctx;
    size_t used = w->bites != 0 && w->bites < data.len ? w->bites : data.len;
    put_bytes(&w->got, span_cut(data, 0, used));
    if (w->pause_on_data)
        stream_pause(w->stream);
    if (w->move_to != NULL)
        stream_move(w->stream, TAKE(w->move_to));
    return used;
}

static void on_moved(void *ctx)
{
    struct world *w = ctx;
    w->moved = true;
}

static void on_closed(void *ctx, enum status st, const struct why *why)
{
    struct world *w = ctx;
    w->closed = true;
    w->st = st;
    w->why = *why;
}

static const struct stream_events events = { on_ready, on_data, NULL, on_moved, on_closed };

static void world_init(struct world *w, int64_t handshake_ms)
{
    int fds[2];
    struct stream_settings settings = { .handshake_ms = handshake_ms };
    *w = (struct world){ 0 };
    buf_init(&w->got, 1u << 24);
    buf_init(&w->seen, 1u << 24);
    assert_int_equal(loop_new(&w->loop, NULL), ST_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(ws_new_server(&at, &settings.ws, NULL), ST_OK);
    w->fd = fds[0];
    assert_int_equal(stream_new(w->loop, fds[1], &settings, &events, w, &w->stream, NULL), ST_OK);
}

static void world_done(struct world *w)
{
    loop_free(w->loop);
    close(w->fd);
    buf_done(&w->got);
    buf_done(&w->seen);
}

static void say(struct world *w, struct span bytes)
{
    assert_int_equal(write(w->fd, bytes.p, bytes.len), bytes.len);
}

/* Turns the loop and listens until that much was seen. */
static bool sees(struct world *w, size_t len)
{
    uint8_t part[4096];
    ssize_t n = read(w->fd, part, sizeof part);
    if (n > 0)
        put_bytes(&w->seen, span_of(part, (size_t)n));
    w->peer_end = n == 0;
    return w->seen.len >= len;
}

static void expect(struct world *w, struct span bytes)
{
    WAIT_FOR(w->loop, sees(w, bytes.len) || w->peer_end);
    if (!span_eq(buf_span(&w->seen), bytes))
        fail_msg("seen: %.*s", SPAN_FMT(buf_span(&w->seen)));
    buf_reset(&w->seen);
}

static void upgraded(struct world *w)
{
    world_init(w, 0);
    say(w, SPAN(REQUEST));
    expect(w, SPAN(ANSWER));
    assert_true(w->ready);
}

/* -- the upgrade ------------------------------------------------------------------------------------------ */

static void a_peer_that_takes_too_long_to_upgrade_is_left(void **state)
{
    struct world w;
    size_t at_byte = 0;
    (void)state;
    world_init(&w, 30);
    while (!w.closed) { /* a byte now and then does not help */
        if (at_byte < 40)
            say(&w, span_cut(SPAN(REQUEST), at_byte++, 1));
        loop_turn_wait(w.loop);
    }
    assert_false(w.ready);
    assert_int_equal(w.st, ST_TIMEOUT);
    assert_string_equal(w.why.clause, "limits.handshake_timeout");
    world_done(&w);
}

static void a_refusal_is_answered_and_the_connection_closed(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 0);
    say(&w, SPAN("GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n"));
    expect(&w, SPAN("HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 21\r\nConnection: "
                    "close\r\n\r\n"
                    "nothing at this path\n"));
    WAIT_FOR(w.loop, sees(&w, 0) && w.peer_end);
    assert_false(w.closed); /* it waits for us, so that we can read what it said */
    assert_int_equal(shutdown(w.fd, SHUT_WR), 0);
    WAIT_FOR(w.loop, w.closed);
    assert_int_equal(w.st, ST_NOT_FOUND);
    assert_string_equal(w.why.clause, "path");
    assert_false(w.ready);
    world_done(&w);
}

static void frames_that_come_with_the_request_are_not_lost(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 0);
    say(&w, SPAN(REQUEST HEAD("\x82", "\x83") "abc" HEAD("\x82", "\x83") "de"));
    expect(&w, SPAN(ANSWER));
    assert_true(span_eq_str(buf_span(&w.got), "abcde")); /* the half that is there */
    world_done(&w);
}

static void a_peer_that_goes_before_the_upgrade_is_told_of(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 0);
    say(&w, SPAN("GET /mqtt HTTP/1.1\r\n"));
    assert_int_equal(shutdown(w.fd, SHUT_WR), 0);
    WAIT_FOR(w.loop, w.closed);
    assert_int_equal(w.st, ST_IO);
    assert_false(w.ready);
    world_done(&w);
}

/* -- frames ----------------------------------------------------------------------------------------------- */

static void the_output_of_a_turn_is_one_frame_and_a_ping_is_answered(void **state)
{
    struct world w;
    (void)state;
    upgraded(&w);
    say(&w, SPAN(HEAD("\x89", "\x82") "hi"));
    stream_send(w.stream, SPAN("one "));
    stream_send(w.stream, SPAN("two "));
    stream_send(w.stream, SPAN("three"));
    expect(&w, SPAN("\x82\x0done two three\x8a\x02hi"));
    say(&w, SPAN(HEAD("\x89", "\x80"))); /* with nothing else to send */
    expect(&w, SPAN("\x8a\x00"));
    world_done(&w);
}

static void half_a_frame_moves_to_another_loop(void **state)
{
    struct world w;
    struct loop *other;
    (void)state;
    upgraded(&w);
    assert_int_equal(loop_new(&other, NULL), ST_OK);
    w.move_to = other;
    w.bites = 2;
    say(&w, SPAN("\x02\x86"
                 "ABCD\x22\x20\x20\x20")); /* four of six bytes, and no FIN */
    WAIT_FOR(w.loop, w.got.len == 2);
    loop_turn(w.loop);
    WAIT_FOR(other, w.moved);
    w.bites = 0;
    say(&w, SPAN("\x24\x24\x80")); /* the rest, and half a head */
    WAIT_FOR(other, w.got.len == 6);
    assert_true(span_eq_str(buf_span(&w.got), "cbcdef"));
    say(&w, SPAN("\x81\0\0\0\0!"));
    WAIT_FOR(other, w.got.len == 7);
    stream_send(w.stream, SPAN("here"));
    WAIT_FOR(other, sees(&w, 6));
    assert_true(span_eq_str(buf_span(&w.seen), "\x82\x04here"));
    loop_free(other);
    world_done(&w);
}

static void what_came_before_a_violation_is_delivered(void **state) /* MQTT5 [MQTT-6.0.0-1] */
{
    struct world w;
    (void)state;
    upgraded(&w);
    say(&w, SPAN(HEAD("\x82", "\x84") "good" HEAD("\x81", "\x84") "text" HEAD("\x82", "\x81") "x"));
    expect(&w, SPAN("\x88\x02\x03\xeb")); /* 1003 */
    assert_true(span_eq_str(buf_span(&w.got), "good"));
    assert_int_equal(shutdown(w.fd, SHUT_WR), 0);
    WAIT_FOR(w.loop, w.closed);
    assert_int_equal(w.st, ST_PROTOCOL);
    assert_string_equal(w.why.clause, "MQTT5 [MQTT-6.0.0-1]");
    world_done(&w);
}

/* -- the end ---------------------------------------------------------------------------------------------- */

static void the_peers_close_is_answered_behind_what_was_to_be_sent(void **state)
{
    struct world w;
    (void)state;
    upgraded(&w);
    say(&w, SPAN(HEAD("\x82", "\x82") "ab" HEAD("\x88", "\x82") "\x03\xe9"
                                                                "trailing junk"));
    stream_send(w.stream, SPAN("bye"));
    expect(&w, SPAN("\x82\x03"
                    "bye\x88\x02\x03\xe9"));
    assert_true(span_eq_str(buf_span(&w.got), "ab"));
    WAIT_FOR(w.loop, sees(&w, 0) && w.peer_end); /* RFC 6455 7.1.1: the server hangs up first */
    close(w.fd);
    w.fd = open("/dev/null", O_RDONLY);
    WAIT_FOR(w.loop, w.closed);
    assert_int_equal(w.st, ST_OK);
    world_done(&w);
}

static void data_before_the_peers_close_is_not_lost_while_paused(void **state)
{
    struct world w;
    (void)state;
    upgraded(&w);
    w.pause_on_data = true;
    w.bites = 2;
    say(&w, SPAN(HEAD("\x82", "\x86") "abcdef" HEAD("\x88", "\x80")));
    WAIT_FOR(w.loop, w.got.len == 2);
    for (int i = 0; i < 20; i++)
        loop_turn(w.loop);
    assert_false(w.closed);
    assert_false(sees(&w, 1)); /* no answer yet */
    w.pause_on_data = false;
    w.bites = 0;
    stream_resume(w.stream);
    expect(&w, SPAN("\x88\x00"));
    assert_true(span_eq_str(buf_span(&w.got), "abcdef"));
    close(w.fd);
    w.fd = open("/dev/null", O_RDONLY);
    WAIT_FOR(w.loop, w.closed);
    assert_int_equal(w.st, ST_OK);
    world_done(&w);
}

static void our_close_is_a_frame_and_input_behind_it_is_thrown_away(void **state)
{
    struct world w;
    (void)state;
    upgraded(&w);
    stream_send(w.stream, SPAN("last"));
    stream_close(w.stream);
    expect(&w, SPAN("\x82\x04last\x88\x02\x03\xe8")); /* 1000 */
    say(&w, SPAN(HEAD("\x82", "\x84") "late" HEAD("\x88", "\x82") "\x03\xe8"));
    assert_int_equal(shutdown(w.fd, SHUT_WR), 0);
    WAIT_FOR(w.loop, w.closed);
    assert_int_equal(w.got.len, 0);
    assert_int_equal(w.st, ST_OK);
    world_done(&w);
}

static void a_peer_that_hangs_up_without_close_is_gone_as_on_tcp(void **state)
{
    struct world w;
    (void)state;
    upgraded(&w);
    say(&w, SPAN(HEAD("\x82", "\x82") "ab"));
    assert_int_equal(shutdown(w.fd, SHUT_WR), 0);
    stream_send(w.stream, SPAN("still heard"));
    WAIT_FOR(w.loop, w.closed);
    assert_true(span_eq_str(buf_span(&w.got), "ab"));
    assert_int_equal(w.st, ST_OK);
    expect(&w, SPAN("\x82\x0bstill heard\x88\x02\x03\xe8"));
    world_done(&w);
}

/* -- dialing ---------------------------------------------------------------------------------------------- */

static void on_accept(void *ctx, int fd, const struct net_peer *peer)
{
    struct world *w = ctx;
    (void)peer;
    w->fd = fd;
}

/* The answer of somebody who is no broker. */
static void dialing_tells_why_the_upgrade_was_refused(void **state)
{
    struct world w = { 0 };
    struct listener *listener;
    struct listener_settings where = { .address = "127.0.0.1" };
    (void)state;
    buf_init(&w.seen, 4096);
    assert_int_equal(loop_new(&w.loop, NULL), ST_OK);
    assert_int_equal(listener_new(w.loop, &where, on_accept, &w, &listener, NULL), ST_OK);
    struct dial_settings to = { .host = "127.0.0.1", .port = listener_port(listener), .ws_path = "/nothing" };
    assert_int_equal(dial(w.loop, &to, &events, &w, &w.stream, NULL), ST_OK);
    stream_send(w.stream, SPAN("CONNECT")); /* waits, and is never sent */
    WAIT_FOR(w.loop, w.fd > 0);
    WAIT_FOR(w.loop, sees(&w, 150));
    assert_true(span_starts_with(buf_span(&w.seen), SPAN("GET /nothing HTTP/1.1\r\nHost: 127.0.0.1:")));
    assert_true(span_starts_with(span_cut(buf_span(&w.seen), w.seen.len - 4, 4), SPAN("\r\n\r\n")));
    say(&w, SPAN("HTTP/1.1 404 Not Found\r\n\r\n"));
    WAIT_FOR(w.loop, sees(&w, 0) && w.peer_end);
    close(w.fd);
    w.fd = open("/dev/null", O_RDONLY);
    WAIT_FOR(w.loop, w.closed);
    assert_int_equal(w.st, ST_NOT_FOUND);
    listener_free(listener);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_that_takes_too_long_to_upgrade_is_left),
        cmocka_unit_test(a_refusal_is_answered_and_the_connection_closed),
        cmocka_unit_test(frames_that_come_with_the_request_are_not_lost),
        cmocka_unit_test(a_peer_that_goes_before_the_upgrade_is_told_of),
        cmocka_unit_test(the_output_of_a_turn_is_one_frame_and_a_ping_is_answered),
        cmocka_unit_test(half_a_frame_moves_to_another_loop),
        cmocka_unit_test(what_came_before_a_violation_is_delivered),
        cmocka_unit_test(the_peers_close_is_answered_behind_what_was_to_be_sent),
        cmocka_unit_test(data_before_the_peers_close_is_not_lost_while_paused),
        cmocka_unit_test(our_close_is_a_frame_and_input_behind_it_is_thrown_away),
        cmocka_unit_test(a_peer_that_hangs_up_without_close_is_gone_as_on_tcp),
        cmocka_unit_test(dialing_tells_why_the_upgrade_was_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
