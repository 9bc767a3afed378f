/* Many streams that have something to send at the end of the same turn. */
#include "net/stream.h"
#include "net/test_certs.h"

#include <gnutls/gnutls.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants the two above first */
#include <cmocka.h>

#include "net/test_wait.h"

#define PAIRS 70 /* more than are encrypted at once */

static unsigned records, sends, sends_then; /* sends_then: before the last record */

ssize_t __real_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __real_gnutls_record_send(gnutls_session_t session, const void *bytes, size_t len);
ssize_t __wrap_gnutls_record_send(gnutls_session_t session, const void *bytes, size_t len);

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
    sends++;
    return __real_send(fd, bytes, len, flags);
}

ssize_t __wrap_gnutls_record_send(gnutls_session_t session, const void *bytes, size_t len)
{
    records++;
    sends_then = sends;
    return __real_gnutls_record_send(session, bytes, len);
}

struct end {
    struct stream *stream;
    int fd;
    struct buf got;
    bool ready;
    struct end *tell_when_drained; /* which then has something to send as well */
};

static void on_ready(void *ctx)
{
    struct end *e = ctx;
    e->ready = true;
}

static size_t on_data(void *ctx, struct span data)
{
    struct end *e = ctx;
    put_bytes(&e->got, data);
    return data.len;
}

static void on_drained(void *ctx)
{
    struct end *e = ctx;
    if (e->tell_when_drained != NULL)
        stream_send(e->tell_when_drained->stream, SPAN("drained"));
    e->tell_when_drained = NULL;
}

static void on_closed(void *ctx, enum status st UNUSED, const struct why *why UNUSED)
{
    struct end *e = ctx;
    e->stream = NULL;
}

static const struct stream_events events = { on_ready, on_data, on_drained, NULL, on_closed };

struct pair {
    struct end client, server;
};

struct world {
    struct loop *loop;
    struct tls_config *client_tls, *server_tls;
    struct pair pairs[PAIRS];
    size_t count;
};

static bool all_are_ready(const struct world *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (!w->pairs[i].client.ready || !w->pairs[i].server.ready)
            return false;
    return true;
}

static void end_init(struct world *w, struct end *e, int fd, struct tls_session *tls)
{
    struct stream_settings settings = { .tls = tls, .high_water = 1000, .flush_at = 2000 };
    e->fd = fd;
    buf_init(&e->got, 1 << 20);
    assert_int_equal(stream_new(w->loop, fd, &settings, &events, e, &e->stream, NULL), ST_OK);
}

static void world_init(struct world *w, size_t count)
{
    struct tls_settings client = { .ca_pem = buf_span(&test_certs.ca.cert_pem) };
    struct tls_settings server = { .cert_pem = buf_span(&test_certs.server.cert_pem),
                                   .key_pem = buf_span(&test_certs.server.key_pem) };
    struct tls_expect expect = { .host = "localhost" };

    *w = (struct world){ .count = count };
    assert_int_equal(loop_new(&w->loop, NULL), ST_OK);
    assert_int_equal(tls_config_new_client(&client, &w->client_tls, NULL), ST_OK);
    assert_int_equal(tls_config_new_server(&server, &w->server_tls, NULL), ST_OK);
    for (size_t i = 0; i < count; i++) {
        struct tls_session *tls;
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        assert_int_equal(tls_session_new_client(w->client_tls, &expect, &tls, NULL), ST_OK);
        end_init(w, &w->pairs[i].client, fds[0], tls);
        assert_int_equal(tls_session_new_server(w->server_tls, &tls, NULL), ST_OK);
        end_init(w, &w->pairs[i].server, fds[1], tls);
    }
    WAIT_FOR(w->loop, all_are_ready(w));
    for (int i = 0; i < 10; i++)
        loop_turn(w->loop);
}

static void world_done(struct world *w)
{
    loop_free(w->loop);
    tls_config_unref(w->client_tls);
    tls_config_unref(w->server_tls);
    for (size_t i = 0; i < w->count; i++) {
        buf_done(&w->pairs[i].client.got);
        buf_done(&w->pairs[i].server.got);
    }
}

static void say_to_all(struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        struct stream *s = w->pairs[i].server.stream;
        uint8_t *room = s == NULL ? NULL : stream_append(s, i + 1);
        if (room != NULL)
            memset(room, (int)i, i + 1);
    }
}

/* i + 1 bytes that all are i, `times` times. */
static bool has_heard(const struct pair *p, size_t i, size_t times)
{
    if (p->client.got.len != (i + 1) * times)
        return false;
    for (size_t at = 0; at < p->client.got.len; at++)
        assert_int_equal(p->client.got.p[at], i);
    return true;
}

static bool all_have_heard(const struct world *w, size_t times)
{
    for (size_t i = 0; i < w->count; i++)
        if (!has_heard(&w->pairs[i], i, times))
            return false;
    return true;
}

static void each_gets_its_own_and_in_order(void **state UNUSED)
{
    struct world w;

    world_init(&w, PAIRS);
    for (size_t times = 1; times <= 3; times++) {
        say_to_all(&w);
        WAIT_FOR(w.loop, all_have_heard(&w, times));
    }
    world_done(&w);
}

static void what_leaves_in_a_turn_is_encrypted_before_it_is_written(void **state UNUSED)
{
    struct world w;

    world_init(&w, 10);
    records = sends = 0;
    say_to_all(&w);
    WAIT_FOR(w.loop, all_have_heard(&w, 1));
    assert_int_equal(records, 10);
    assert_int_equal(sends, 10);
    assert_int_equal(sends_then, 0);
    world_done(&w);
}

/* 3: gone, which is noticed only when it is written to; 7: does not read; 11: closed by ourselves. */
static void nobody_gets_what_is_for_those_who_cannot_be_written_to(void **state UNUSED)
{
    static uint8_t zeros[1 << 20];
    struct world w;

    world_init(&w, 20);
    stream_pause(w.pairs[7].client.stream);
    stream_send(w.pairs[7].server.stream, span_of(zeros, sizeof zeros));
    loop_turn(w.loop);
    assert_true(stream_backlog(w.pairs[7].server.stream) > 0);
    assert_int_equal(shutdown(w.pairs[3].client.fd, SHUT_RD), 0);
    say_to_all(&w);
    stream_abort(w.pairs[11].server.stream, ST_OK, (struct why){ "test", "gone", 0 });
    for (size_t i = 0; i < w.count; i++) {
        if (i != 3 && i != 7 && i != 11)
            WAIT_FOR(w.loop, has_heard(&w.pairs[i], i, 1));
    }
    WAIT_FOR(w.loop, w.pairs[3].server.stream == NULL && w.pairs[11].client.stream == NULL);
    world_done(&w);
}

/* on_drained() of one may fill up another whose turn is still to come, so that it is written at once. */
static void what_on_drained_sends_to_others_comes_behind_what_they_had(void **state UNUSED)
{
    static uint8_t zeros[2000];
    struct world w;

    world_init(&w, 4);
    w.pairs[0].server.tell_when_drained = &w.pairs[3].server;
    stream_send(w.pairs[0].server.stream, span_of(zeros, sizeof zeros));
    assert_true(stream_congested(w.pairs[0].server.stream));
    stream_send(w.pairs[3].server.stream, span_of(zeros, sizeof zeros));
    WAIT_FOR(w.loop, w.pairs[3].client.got.len == sizeof zeros + 7);
    assert_memory_equal(w.pairs[3].client.got.p, zeros, sizeof zeros);
    assert_memory_equal(w.pairs[3].client.got.p + sizeof zeros, "drained", 7);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gets_its_own_and_in_order),
        cmocka_unit_test(what_leaves_in_a_turn_is_encrypted_before_it_is_written),
        cmocka_unit_test(nobody_gets_what_is_for_those_who_cannot_be_written_to),
        cmocka_unit_test(what_on_drained_sends_to_others_comes_behind_what_they_had),
    };
    return cmocka_run_group_tests(tests, test_certs_make, test_certs_drop);
}
