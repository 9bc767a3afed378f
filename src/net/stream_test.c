/* Streams over socket pairs; both ends live in this process, sometimes on two loops in two threads. What does not depend on
 * it is tested once more with the bytes in WebSocket frames. */
#include "net/dial.h"
#include "net/listener.h"
#include "net/stream.h"
#include "net/test_certs.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "net/test_wait.h"

#define BUF_MAX (64u * 1024 * 1024)

static bool websocket;

/* One end: what its stream told. */
struct end {
    struct stream *stream;
    struct buf got;
    size_t keep;  /* on_data() leaves all until at least this much is there */
    size_t bites; /* on_data() uses at most this much at once; 0: all */
    int calls;
    bool ready, closed, moved, drained;
    enum status st;
    struct why why;
    struct loop *move_to;
    struct loop *stop_when_closed;
    bool pause_on_data;
};

static void on_ready(void *ctx)
{
    struct end *e = ctx;
    e->ready = true;
}

static size_t on_data(void *ctx, struct span data)
{
    struct end *e = ctx;
    e->calls++;
    if (e->move_to != NULL) {
        stream_move(e->stream, e->move_to);
        e->move_to = NULL;
        return 0;
    }
    if (data.len < e->keep)
        return 0;
    size_t used = e->bites != 0 && e->bites < data.len ? e->bites : data.len;
    put_bytes(&e->got, span_cut(data, 0, used));
    if (e->pause_on_data)
        stream_pause(e->stream);
    return used;
}

static void on_drained(void *ctx)
{
    struct end *e = ctx;
    e->drained = true;
}

static void on_moved(void *ctx)
{
    struct end *e = ctx;
    e->moved = true;
}

static void on_closed(void *ctx, enum status st, const struct why *why)
{
    struct end *e = ctx;
    assert_false(e->closed); /* exactly once */
    e->closed = true;
    e->st = st;
    e->why = *why;
    e->stream = NULL;
    if (e->stop_when_closed != NULL)
        loop_stop(e->stop_when_closed);
}

static const struct stream_events events = { on_ready, on_data, on_drained, on_moved, on_closed };

struct world {
    struct loop *loop;
    struct tls_config *client_tls, *server_tls;
    struct end a, b; /* client, server */
    struct stream_settings a_settings, b_settings;
};

static void world_init(struct world *w, bool tls)
{
    *w = (struct world){ 0 };
    assert_int_equal(loop_new(&w->loop, NULL), ST_OK);
    buf_init(&w->a.got, BUF_MAX);
    buf_init(&w->b.got, BUF_MAX);
    if (tls) {
        struct tls_settings client = { .ca_pem = buf_span(&test_certs.ca.cert_pem) };
        struct tls_settings server = { .cert_pem = buf_span(&test_certs.server.cert_pem),
                                       .key_pem = buf_span(&test_certs.server.key_pem) };
        assert_int_equal(tls_config_new_client(&client, &w->client_tls, NULL), ST_OK);
        assert_int_equal(tls_config_new_server(&server, &w->server_tls, NULL), ST_OK);
    }
}

static void world_done(struct world *w)
{
    loop_free(w->loop);
    buf_done(&w->a.got);
    buf_done(&w->b.got);
    tls_config_unref(w->client_tls);
    tls_config_unref(w->server_tls);
}

static void connect_ends(struct world *w)
{
    static const struct ws_server_settings at = { .path = WS_PATH };
    static const struct ws_client_settings to = { .host = "localhost", .port = 80, .path = WS_PATH };
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    if (websocket) {
        assert_int_equal(ws_new_client(&to, &w->a_settings.ws, NULL), ST_OK);
        assert_int_equal(ws_new_server(&at, &w->b_settings.ws, NULL), ST_OK);
    }
    if (w->client_tls != NULL) {
        struct tls_expect expect = { .host = "localhost" };
        assert_int_equal(tls_session_new_client(w->client_tls, &expect, &w->a_settings.tls, NULL), ST_OK);
        assert_int_equal(tls_session_new_server(w->server_tls, &w->b_settings.tls, NULL), ST_OK);
    }
    assert_int_equal(stream_new(w->loop, fds[0], &w->a_settings, &events, &w->a, &w->a.stream, NULL), ST_OK);
    assert_int_equal(stream_new(w->loop, fds[1], &w->b_settings, &events, &w->b, &w->b.stream, NULL), ST_OK);
}

static void fill(uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 31 + i / 255);
}

/* -- the basics, plain and over TLS --- */

static void check_echo(bool tls)
{
    struct world w;
    world_init(&w, tls);
    connect_ends(&w);
    stream_send(w.a.stream, SPAN("early")); /* before the handshake: waits */
    WAIT_FOR(w.loop, w.a.ready && w.b.ready);
    WAIT_FOR(w.loop, w.b.got.len == 5);
    stream_send(w.b.stream, SPAN("re"));
    stream_send(w.b.stream, SPAN("ply"));
    WAIT_FOR(w.loop, w.a.got.len == 5);
    assert_true(span_eq_str(buf_span(&w.a.got), "reply"));
    assert_int_equal(w.a.calls, 1); /* gathered: one record, one write, one read */
    assert_int_equal(stream_backlog(w.b.stream), 0);
    stream_send(w.b.stream, SPAN("!"));
    stream_close(w.b.stream);
    WAIT_FOR(w.loop, w.a.closed && w.b.closed);
    assert_int_equal(w.a.got.len, 6); /* what was sent before the close arrives */
    assert_int_equal(w.a.st, ST_OK);
    assert_int_equal(w.b.st, ST_OK);
    world_done(&w);
}

static void what_is_sent_arrives_and_a_close_is_orderly(void **state)
{
    (void)state;
    check_echo(false);
    check_echo(true);
}

static void check_large(bool tls)
{
    const size_t total = 9000001;
    struct world w;
    uint8_t *data = malloc(total);
    assert_non_null(data);
    fill(data, total);
    world_init(&w, tls);
    w.a_settings.high_water = 100000;
    w.b.bites = 50001; /* b's leftovers come again and again */
    w.b_settings.unread_max = 16u * 1024 * 1024;
    connect_ends(&w);
    WAIT_FOR(w.loop, w.a.ready && w.b.ready);
    stream_send(w.a.stream, span_of(data, total)); /* the socket takes a part only */
    assert_true(stream_congested(w.a.stream));
    WAIT_FOR(w.loop, w.a.drained && stream_backlog(w.a.stream) == 0);
    assert_false(stream_congested(w.a.stream));
    w.b.bites = 0;
    stream_send(w.a.stream, SPAN("."));
    WAIT_FOR(w.loop, w.b.got.len == total + 1);
    assert_memory_equal(w.b.got.p, data, total);
    stream_abort(w.a.stream, ST_OK, (struct why){ "test", "over", 0 });
    WAIT_FOR(w.loop, w.b.closed);
    world_done(&w);
    free(data);
}

static void partial_writes_and_slow_readers_lose_nothing(void **state)
{
    (void)state;
    check_large(false);
    check_large(true);
}

static void check_leftover(bool tls)
{
    struct world w;
    world_init(&w, tls);
    connect_ends(&w);
    w.b.keep = 10; /* a packet of ten bytes: parts are left until it is whole */
    WAIT_FOR(w.loop, w.b.ready && w.a.ready);
    stream_send(w.a.stream, SPAN("1234"));
    WAIT_FOR(w.loop, w.b.calls == 1);
    assert_int_equal(w.b.got.len, 0);
    stream_send(w.a.stream, SPAN("567890"));
    WAIT_FOR(w.loop, w.b.got.len == 10);
    assert_true(span_eq_str(buf_span(&w.b.got), "1234567890"));
    assert_int_equal(w.b.calls, 2);
    stream_abort(w.a.stream, ST_OK, (struct why){ "test", "over", 0 });
    WAIT_FOR(w.loop, w.a.closed && w.b.closed);
    world_done(&w);
}

static void what_is_left_comes_again_with_the_rest(void **state)
{
    (void)state;
    check_leftover(false);
    check_leftover(true);
}

static void pausing_stops_delivery_and_resuming_hands_the_rest_over(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, true);
    connect_ends(&w);
    w.b.pause_on_data = true;
    w.b.bites = 3;
    WAIT_FOR(w.loop, w.a.ready && w.b.ready);
    stream_send(w.a.stream, SPAN("abcdef"));
    WAIT_FOR(w.loop, w.b.got.len == 3);
    stream_send(w.a.stream, SPAN("ghi"));
    for (int i = 0; i < 20; i++)
        loop_turn(w.loop);
    assert_int_equal(w.b.calls, 1);
    stream_resume(w.b.stream);
    WAIT_FOR(w.loop, w.b.calls == 2);
    w.b.pause_on_data = false;
    w.b.bites = 0;
    stream_resume(w.b.stream);
    WAIT_FOR(w.loop, w.b.got.len == 9);
    assert_true(span_eq_str(buf_span(&w.b.got), "abcdefghi"));
    world_done(&w);
}

static void data_before_the_peers_end_is_not_lost_while_paused(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, true);
    connect_ends(&w);
    w.b.pause_on_data = true;
    w.b.bites = 3;
    WAIT_FOR(w.loop, w.a.ready && w.b.ready);
    stream_send(w.a.stream, SPAN("abcdef"));
    stream_close(w.a.stream);
    WAIT_FOR(w.loop, w.b.calls == 1);
    for (int i = 0; i < 20; i++)
        loop_turn(w.loop);
    assert_false(w.b.closed);
    w.b.pause_on_data = false;
    stream_resume(w.b.stream);
    WAIT_FOR(w.loop, w.b.closed);
    assert_int_equal(w.b.got.len, 6);
    assert_int_equal(w.b.st, ST_OK);
    world_done(&w);
}

/* -- limits --- */

static void a_reader_too_slow_is_cut_off_at_the_limit(void **state)
{
    static const uint8_t kilobyte[1024];
    struct world w;
    (void)state;
    world_init(&w, false);
    w.a_settings.backlog_max = 1000000;
    connect_ends(&w);
    stream_pause(w.b.stream);
    WAIT_FOR(w.loop, w.a.ready);
    int sent = 0;
    while (!w.a.closed && sent < 100000) {
        stream_send(w.a.stream, span_of(kilobyte, sizeof kilobyte));
        if (++sent % 100 == 0)
            loop_turn(w.loop);
    }
    assert_true(w.a.closed);
    assert_int_equal(w.a.st, ST_QUOTA);
    assert_string_equal(w.a.why.clause, "backlog_max");
    world_done(&w);
}

static void too_many_unread_bytes_end_the_connection(void **state)
{
    static const uint8_t junk[400000];
    struct world w;
    (void)state;
    world_init(&w, true);
    w.b_settings.unread_max = 100000;
    w.b.keep = SIZE_MAX;
    connect_ends(&w);
    WAIT_FOR(w.loop, w.a.ready && w.b.ready);
    stream_send(w.a.stream, span_of(junk, sizeof junk));
    WAIT_FOR(w.loop, w.b.closed);
    assert_int_equal(w.b.st, ST_TOO_LARGE);
    world_done(&w);
}

static void a_silent_peer_runs_into_the_handshake_timeout(void **state)
{
    struct world w;
    int fds[2];
    (void)state;
    world_init(&w, true);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(tls_session_new_server(w.server_tls, &w.b_settings.tls, NULL), ST_OK);
    w.b_settings.handshake_ms = 20;
    assert_int_equal(stream_new(w.loop, fds[1], &w.b_settings, &events, &w.b, &w.b.stream, NULL), ST_OK);
    WAIT_FOR(w.loop, w.b.closed);
    assert_int_equal(w.b.st, ST_TIMEOUT);
    assert_false(w.b.ready);
    close(fds[0]);
    world_done(&w);
}

static void a_peer_that_speaks_no_tls_gets_an_alert(void **state)
{
    struct world w;
    int fds[2];
    uint8_t answer[64];
    (void)state;
    world_init(&w, true);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(tls_session_new_server(w.server_tls, &w.b_settings.tls, NULL), ST_OK);
    assert_int_equal(stream_new(w.loop, fds[1], &w.b_settings, &events, &w.b, &w.b.stream, NULL), ST_OK);
    assert_int_equal(write(fds[0], "\x10\x0c\x00\x04MQTT\x05\x02\x00\x3c\x00\x00", 14), 14);
    ssize_t n = -1;
    WAIT_FOR(w.loop, (n = read(fds[0], answer, sizeof answer)) > 0);
    assert_int_equal(answer[0], 21);
    close(fds[0]);
    WAIT_FOR(w.loop, w.b.closed);
    assert_int_equal(w.b.st, ST_PROTOCOL);
    world_done(&w);
}

static void an_end_without_close_notify_is_told_apart(void **state) /* RFC 8446 6.1 */
{
    struct world w;
    (void)state;
    world_init(&w, true);
    connect_ends(&w);
    WAIT_FOR(w.loop, w.a.ready && w.b.ready);
    stream_abort(w.a.stream, ST_OK, (struct why){ "test", "cable cut", 0 });
    WAIT_FOR(w.loop, w.b.closed);
    assert_int_equal(w.b.st, ST_IO);
    assert_string_equal(w.b.why.clause, "RFC 8446 6.1");
    world_done(&w);
}

static void a_peer_that_never_hangs_up_is_left_after_the_linger_time(void **state)
{
    struct world w;
    int fds[2];
    char answer[8];
    (void)state;
    world_init(&w, false);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    w.b_settings.linger_ms = 20;
    assert_int_equal(stream_new(w.loop, fds[1], &w.b_settings, &events, &w.b, &w.b.stream, NULL), ST_OK);
    WAIT_FOR(w.loop, w.b.ready);
    stream_send(w.b.stream, SPAN("bye"));
    stream_close(w.b.stream);
    WAIT_FOR(w.loop, w.b.closed);
    assert_int_equal(w.b.st, ST_OK);
    assert_int_equal(read(fds[0], answer, sizeof answer), 3);
    close(fds[0]);
    world_done(&w);
}

/* A client that publishes and vanishes with bytes of ours unread (a session ticket, say) resets the connection. */
static void what_came_before_a_reset_is_delivered(void **state)
{
    struct world w;
    int fds[2];
    (void)state;
    world_init(&w, false);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(stream_new(w.loop, fds[1], &w.b_settings, &events, &w.b, &w.b.stream, NULL), ST_OK);
    WAIT_FOR(w.loop, w.b.ready);
    stream_send(w.b.stream, SPAN("never read"));
    loop_turn(w.loop);
    assert_int_equal(write(fds[0], "last words", 10), 10);
    close(fds[0]);
    WAIT_FOR(w.loop, w.b.closed);
    assert_true(span_eq_str(buf_span(&w.b.got), "last words"));
    assert_int_equal(w.b.st, ST_IO);
    world_done(&w);
}

static void what_came_before_the_peer_went_is_delivered_though_writing_fails(void **state)
{
    struct world w;
    int fds[2];
    (void)state;
    world_init(&w, false);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(stream_new(w.loop, fds[1], &w.b_settings, &events, &w.b, &w.b.stream, NULL), ST_OK);
    WAIT_FOR(w.loop, w.b.ready);
    assert_int_equal(write(fds[0], "last words", 10), 10);
    close(fds[0]);
    stream_send(w.b.stream, SPAN("into the void"));
    WAIT_FOR(w.loop, w.b.closed);
    assert_true(span_eq_str(buf_span(&w.b.got), "last words"));
    world_done(&w);
}

/* -- moving --- */

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void check_move(bool tls)
{
    struct world w;
    struct loop *other;
    pthread_t thread;
    world_init(&w, tls);
    assert_int_equal(loop_new(&other, NULL), ST_OK);
    connect_ends(&w);
    WAIT_FOR(w.loop, w.a.ready && w.b.ready);

    w.b.move_to = other;
    w.b.stop_when_closed = other;
    w.b.keep = 8;
    stream_send(w.a.stream, SPAN("unread-"));
    assert_int_equal(pthread_create(&thread, NULL, run_loop, other), 0);
    for (int i = 0; i < 50; i++) /* b leaves with seven bytes unread */
        loop_turn(w.loop);
    stream_send(w.a.stream, SPAN("then more"));
    for (int i = 0; i < 50; i++)
        loop_turn(w.loop);
    stream_close(w.a.stream);
    WAIT_FOR(w.loop, w.a.closed);
    pthread_join(thread, NULL); /* the other loop stops when b is closed there */
    assert_true(w.b.moved);
    assert_true(w.b.closed);
    assert_true(span_eq_str(buf_span(&w.b.got), "unread-then more"));
    loop_free(other);
    world_done(&w);
}

static void a_stream_moves_to_another_thread_with_its_unread_bytes(void **state)
{
    (void)state;
    check_move(false);
    check_move(true);
}

static void what_was_pipelined_before_a_close_moves_too(void **state)
{
    struct world w;
    struct loop *other;
    (void)state;
    world_init(&w, true);
    assert_int_equal(loop_new(&other, NULL), ST_OK);
    connect_ends(&w);
    WAIT_FOR(w.loop, w.a.ready && w.b.ready);
    w.b.move_to = other;
    stream_send(w.a.stream, SPAN("CONNECT PUBLISH DISCONNECT"));
    stream_close(w.a.stream);
    for (int i = 0; i < 20; i++)
        loop_turn(w.loop);
    assert_false(w.b.closed);
    WAIT_FOR(other, w.b.closed);
    assert_true(span_eq_str(buf_span(&w.b.got), "CONNECT PUBLISH DISCONNECT"));
    assert_int_equal(w.b.st, ST_OK);
    loop_free(other);
    world_done(&w);
}

static void output_waiting_to_leave_moves_too(void **state)
{
    const size_t total = 3000000;
    struct world w;
    struct loop *other;
    uint8_t *data = malloc(total);
    (void)state;
    assert_non_null(data);
    fill(data, total);
    world_init(&w, true);
    assert_int_equal(loop_new(&other, NULL), ST_OK);
    connect_ends(&w);
    WAIT_FOR(w.loop, w.a.ready && w.b.ready);
    stream_pause(w.a.stream);
    stream_send(w.b.stream, span_of(data, total));
    stream_move(w.b.stream, other);
    loop_turn(w.loop);
    loop_turn(w.loop);
    loop_turn(other);
    assert_true(w.b.moved);
    stream_resume(w.a.stream);
    struct mono_time until = mono_plus_ms(now_read().mono, PATIENCE_MS);
    while (w.a.got.len < total && now_read().mono.ms < until.ms) {
        loop_turn(w.loop);
        loop_turn(other);
    }
    assert_int_equal(w.a.got.len, total);
    assert_memory_equal(w.a.got.p, data, total);
    loop_free(other);
    world_done(&w);
    free(data);
}

/* -- TCP: listener and dial --- */

struct server {
    struct world *w;
    struct net_peer peer;
    int accepted;
    int no_delay, keep_alive, idle_s; /* of the accepted socket, before the stream has it */
};

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    (void)getsockopt(fd, level, name, &value, &len);
    return value;
}

static void on_accept(void *ctx, int fd, const struct net_peer *peer)
{
    struct server *s = ctx;
    s->peer = *peer;
    s->accepted++;
    s->no_delay = option(fd, IPPROTO_TCP, TCP_NODELAY);
    s->keep_alive = option(fd, SOL_SOCKET, SO_KEEPALIVE);
    s->idle_s = option(fd, IPPROTO_TCP, TCP_KEEPIDLE);
    assert_int_equal(tls_session_new_server(s->w->server_tls, &s->w->b_settings.tls, NULL), ST_OK);
    assert_int_equal(stream_new(s->w->loop, fd, &s->w->b_settings, &events, &s->w->b, &s->w->b.stream, NULL),
                     ST_OK);
}

static void dialing_a_listener_gives_a_stream(void **state)
{
    struct world w;
    struct server server = { .w = &w };
    struct listener *listener;
    struct listener_settings where = { .address = "127.0.0.1" };
    (void)state;
    world_init(&w, true);
    assert_int_equal(listener_new(w.loop, &where, on_accept, &server, &listener, NULL), ST_OK);
    struct dial_settings to = { .host = "localhost", .port = listener_port(listener), .tls = w.client_tls };
    assert_int_equal(dial(w.loop, &to, &events, &w.a, &w.a.stream, NULL), ST_OK);
    stream_send(w.a.stream, SPAN("hello"));
    WAIT_FOR(w.loop, w.b.got.len == 5);
    assert_true(w.a.ready);
    assert_int_equal(server.accepted, 1);
    assert_int_equal(server.no_delay, 1); /* from the listener: no call for each connection */
    assert_int_equal(server.keep_alive, 1);
    assert_int_equal(server.idle_s, 180);
    assert_true(server.peer.is_loopback);
    assert_memory_equal(server.peer.address, "127.0.0.1:", 10);
    stream_close(w.a.stream);
    WAIT_FOR(w.loop, w.a.closed && w.b.closed);
    listener_free(listener);
    world_done(&w);
}

static void dialing_a_closed_port_says_so(void **state)
{
    struct world w;
    struct listener *listener;
    struct listener_settings where = { .address = "127.0.0.1" };
    (void)state;
    world_init(&w, false);
    assert_int_equal(listener_new(w.loop, &where, on_accept, NULL, &listener, NULL), ST_OK);
    struct dial_settings to = { .host = "127.0.0.1", .port = listener_port(listener) };
    listener_free(listener);
    assert_int_equal(dial(w.loop, &to, &events, &w.a, &w.a.stream, NULL), ST_OK);
    WAIT_FOR(w.loop, w.a.closed);
    assert_int_equal(w.a.st, ST_UNREACHABLE);
    assert_string_equal(w.a.why.text, "connection refused");
    world_done(&w);
}

static void dialing_can_be_called_off(void **state)
{
    struct world w;
    struct dial_settings to = { .host = "localhost", .port = 1 };
    (void)state;
    world_init(&w, false);
    assert_int_equal(dial(w.loop, &to, &events, &w.a, &w.a.stream, NULL), ST_OK);
    stream_abort(w.a.stream, ST_TIMEOUT, (struct why){ "test", "changed our mind", 0 });
    WAIT_FOR(w.loop, w.a.closed);
    assert_int_equal(w.a.st, ST_TIMEOUT);
    world_done(&w);
}

/* Finding out whether a socket file is stale means connecting to it: the first listener sees that. */
static void hang_up(void *ctx, int fd, const struct net_peer *peer)
{
    (void)ctx;
    (void)peer;
    close(fd);
}

static void a_unix_listener_names_its_peer(void **state)
{
    struct world w;
    struct server server = { .w = &w };
    struct listener *listener, *second = NULL;
    char path[] = "/tmp/net-stream-test-XXXXXX";
    struct why why;
    (void)state;
    world_init(&w, true);
    assert_non_null(mkdtemp(path));
    char name[64];
    (void)snprintf(name, sizeof name, "%s/socket", path);
    struct listener_settings where = { .unix_path = name };
    assert_int_equal(listener_new(w.loop, &where, hang_up, NULL, &listener, NULL), ST_OK);
    assert_int_equal(listener_new(w.loop, &where, hang_up, NULL, &second, &why), ST_IO);
    assert_string_equal(why.text, "another process listens there");
    listener_free(listener);
    assert_int_equal(listener_new(w.loop, &where, on_accept, &server, &listener, NULL), ST_OK);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    memcpy(address.sun_path, name, strlen(name));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&address, sizeof address), 0);
    WAIT_FOR(w.loop, server.accepted == 1);
    assert_int_equal(server.peer.uid, getuid());
    assert_int_equal(server.peer.pid, getpid());
    close(fd);
    WAIT_FOR(w.loop, w.b.closed);
    listener_free(listener);
    assert_int_equal(access(name, F_OK), -1); /* removed */
    rmdir(path);
    world_done(&w);
}

static int make_websockets(void **state)
{
    websocket = true;
    return test_certs_make(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_arrives_and_a_close_is_orderly),
        cmocka_unit_test(partial_writes_and_slow_readers_lose_nothing),
        cmocka_unit_test(what_is_left_comes_again_with_the_rest),
        cmocka_unit_test(pausing_stops_delivery_and_resuming_hands_the_rest_over),
        cmocka_unit_test(data_before_the_peers_end_is_not_lost_while_paused),
        cmocka_unit_test(a_reader_too_slow_is_cut_off_at_the_limit),
        cmocka_unit_test(too_many_unread_bytes_end_the_connection),
        cmocka_unit_test(a_silent_peer_runs_into_the_handshake_timeout),
        cmocka_unit_test(a_peer_that_speaks_no_tls_gets_an_alert),
        cmocka_unit_test(an_end_without_close_notify_is_told_apart),
        cmocka_unit_test(a_peer_that_never_hangs_up_is_left_after_the_linger_time),
        cmocka_unit_test(what_came_before_a_reset_is_delivered),
        cmocka_unit_test(what_came_before_the_peer_went_is_delivered_though_writing_fails),
        cmocka_unit_test(a_stream_moves_to_another_thread_with_its_unread_bytes),
        cmocka_unit_test(what_was_pipelined_before_a_close_moves_too),
        cmocka_unit_test(output_waiting_to_leave_moves_too),
        cmocka_unit_test(dialing_a_listener_gives_a_stream),
        cmocka_unit_test(dialing_a_closed_port_says_so),
        cmocka_unit_test(dialing_can_be_called_off),
        cmocka_unit_test(a_unix_listener_names_its_peer),
    };
    const struct CMUnitTest framed[] = {
        cmocka_unit_test(what_is_sent_arrives_and_a_close_is_orderly),
        cmocka_unit_test(partial_writes_and_slow_readers_lose_nothing),
        cmocka_unit_test(what_is_left_comes_again_with_the_rest),
        cmocka_unit_test(pausing_stops_delivery_and_resuming_hands_the_rest_over),
        cmocka_unit_test(data_before_the_peers_end_is_not_lost_while_paused),
        cmocka_unit_test(a_reader_too_slow_is_cut_off_at_the_limit),
        cmocka_unit_test(too_many_unread_bytes_end_the_connection),
        cmocka_unit_test(an_end_without_close_notify_is_told_apart),
        cmocka_unit_test(a_stream_moves_to_another_thread_with_its_unread_bytes),
        cmocka_unit_test(what_was_pipelined_before_a_close_moves_too),
        cmocka_unit_test(output_waiting_to_leave_moves_too),
    };
    int failed = cmocka_run_group_tests(tests, test_certs_make, test_certs_drop);
    return failed +
           cmocka_run_group_tests_name("in WebSocket frames", framed, make_websockets, test_certs_drop);
}
