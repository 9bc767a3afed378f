/* What a stream still has to say when it closes, to a peer that reads slowly or has said its own end already. */
#include "net/stream.h"
#include "net/test_certs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants the two above first */
#include <cmocka.h>

#include "net/test_wait.h"

#define LAST_WORDS (1u << 20) /* more than a socket takes */

struct end {
    struct stream *stream;
    bool ready, closed, answers; /* what it hears, with its last words */
    enum status st;
};

static void on_ready(void *ctx)
{
    struct end *e = ctx;
    e->ready = true;
}

static void say_last_words(struct end *e)
{
    uint8_t *room = stream_append(e->stream, LAST_WORDS);

    assert_non_null(room);
    memset(room, 'x', LAST_WORDS);
}

static size_t on_data(void *ctx, struct span data)
{
    struct end *e = ctx;
    if (e->answers)
        say_last_words(e);
    return data.len;
}

static void on_closed(void *ctx, enum status st, const struct why *why UNUSED)
{
    struct end *e = ctx;
    e->stream = NULL;
    e->closed = true;
    e->st = st;
}

static const struct stream_events events = { on_ready, on_data, NULL, NULL, on_closed };

/* A peer that does what it is told, at its own pace: TLS over a socket, without a stream. */
struct peer {
    int fd;
    struct tls_session *tls;
    struct buf out;
    uint8_t in[65536];
    size_t in_len, in_at; /* what was received, and what of it was used */
    size_t got;           /* bytes of data */
    bool told, ended;     /* close_notify, and the end behind it */
};

struct world {
    struct loop *loop;
    struct tls_config *client_tls, *server_tls;
    struct end b;
    struct peer peer;
};

static void peer_write(struct peer *p)
{
    if (p->out.len > 0)
        assert_int_equal(send(p->fd, p->out.p, p->out.len, MSG_NOSIGNAL), p->out.len);
    buf_reset(&p->out);
}

/* More input, if all was used; false: there is none. */
static bool peer_receive(struct peer *p)
{
    ssize_t n;

    if (p->in_at < p->in_len)
        return true;
    n = recv(p->fd, p->in, sizeof p->in, MSG_DONTWAIT);
    if (n == 0)
        p->ended = true;
    if (n <= 0)
        return false;
    p->in_len = (size_t)n;
    p->in_at = 0;
    return true;
}

static void peer_decrypt(struct peer *p)
{
    struct tls_io io = { span_of(p->in + p->in_at, p->in_len - p->in_at), &p->out };
    uint8_t room[32768];
    size_t len = 0;
    struct why why;
    enum tls_result result = tls_read(p->tls, &io, room, sizeof room, &len, &why);

    assert_int_not_equal(result, TLS_FAILED);
    p->in_at = p->in_len - io.in.len;
    p->got += len;
    p->told = result == TLS_CLOSED;
}

static void peer_read(struct peer *p)
{
    while (!p->told && peer_receive(p))
        peer_decrypt(p);
    if (!p->told)
        peer_decrypt(p); /* a close is told by itself, once its bytes were used with data in front */
    p->in_at = p->told ? p->in_len : p->in_at;
    if (p->told)
        (void)peer_receive(p);
}

static bool peer_is_secured(struct peer *p)
{
    struct why why;
    struct tls_io io = { SPAN_NONE, &p->out };
    enum tls_result result;

    if (p->in_len > 0 && !peer_receive(p))
        return tls_established(p->tls);
    (void)peer_receive(p);
    io.in = span_of(p->in + p->in_at, p->in_len - p->in_at);
    result = tls_handshake(p->tls, &io, &why);
    assert_int_not_equal(result, TLS_FAILED);
    p->in_at = p->in_len - io.in.len;
    peer_write(p);
    return tls_established(p->tls);
}

static void world_init(struct world *w)
{
    struct tls_settings client = { .ca_pem = buf_span(&test_certs.ca.cert_pem) };
    struct tls_settings server = { .cert_pem = buf_span(&test_certs.server.cert_pem),
                                   .key_pem = buf_span(&test_certs.server.key_pem) };
    struct tls_expect expect = { .host = "localhost" };
    struct stream_settings b = { .linger_ms = 60000 }; /* nothing here is to end by it */
    int fds[2];

    *w = (struct world){ 0 };
    buf_init(&w->peer.out, 1 << 20);
    assert_int_equal(loop_new(&w->loop, NULL), ST_OK);
    assert_int_equal(tls_config_new_client(&client, &w->client_tls, NULL), ST_OK);
    assert_int_equal(tls_config_new_server(&server, &w->server_tls, NULL), ST_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    w->peer.fd = fds[0];
    assert_int_equal(tls_session_new_client(w->client_tls, &expect, &w->peer.tls, NULL), ST_OK);
    assert_int_equal(tls_session_new_server(w->server_tls, &b.tls, NULL), ST_OK);
    assert_int_equal(stream_new(w->loop, fds[1], &b, &events, &w->b, &w->b.stream, NULL), ST_OK);
    WAIT_FOR(w->loop, peer_is_secured(&w->peer) && w->b.ready);
}

static void world_done(struct world *w)
{
    if (w->peer.fd >= 0)
        close(w->peer.fd);
    loop_free(w->loop);
    tls_session_free(w->peer.tls);
    tls_config_unref(w->client_tls);
    tls_config_unref(w->server_tls);
    buf_done(&w->peer.out);
}

static bool peer_heard_the_end(struct peer *p)
{
    peer_read(p);
    return p->ended;
}

/* It has all, is told that this was all, and its connection ends though it does not end it itself. */
static void last_words_that_do_not_fit_are_followed_by_the_end(void **state UNUSED)
{
    struct world w;

    world_init(&w);
    say_last_words(&w.b);
    stream_close(w.b.stream);
    loop_turn(w.loop);
    assert_true(stream_backlog(w.b.stream) > 0);
    WAIT_FOR(w.loop, peer_heard_the_end(&w.peer));
    assert_int_equal(w.peer.got, LAST_WORDS);
    assert_true(w.peer.told);
    assert_false(w.b.closed); /* it still listens */
    close(w.peer.fd);
    w.peer.fd = -1;
    WAIT_FOR(w.loop, w.b.closed);
    assert_int_equal(w.b.st, ST_OK);
    world_done(&w);
}

/* RFC 8446 6.1: who has said close_notify may go on reading. */
static void who_has_said_its_end_gets_all_that_was_on_its_way(void **state UNUSED)
{
    struct world w;
    struct tls_io io;
    struct why why;

    world_init(&w);
    w.b.answers = true;
    io = (struct tls_io){ SPAN_NONE, &w.peer.out };
    assert_int_equal(tls_write(w.peer.tls, &io, SPAN("a question"), &why), ST_OK);
    tls_close(w.peer.tls, &io);
    peer_write(&w.peer); /* both are there in one turn */
    assert_int_equal(shutdown(w.peer.fd, SHUT_WR), 0);
    WAIT_FOR(w.loop, peer_heard_the_end(&w.peer));
    assert_int_equal(w.peer.got, LAST_WORDS);
    assert_true(w.peer.told);
    WAIT_FOR(w.loop, w.b.closed);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_words_that_do_not_fit_are_followed_by_the_end),
        cmocka_unit_test(who_has_said_its_end_gets_all_that_was_on_its_way),
    };
    return cmocka_run_group_tests(tests, test_certs_make, test_certs_drop);
}
