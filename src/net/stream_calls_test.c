/* What a message costs a stream in calls that cost: of the kernel, of GnuTLS, of malloc() by us. Counted at link time
 * (-Wl,--wrap), so that nobody makes it dearer unseen; docs/performance.md has the model. */
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

#define PACKET_BYTES 92 /* PUBLISH, QoS 0, 64 bytes of payload */

static struct {
    unsigned recvs, sends, records_in, records_out, allocations;
} count;

ssize_t __real_recv(int fd, void *room, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *room, size_t len, int flags);
ssize_t __real_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __real_gnutls_record_recv(gnutls_session_t session, void *room, size_t len);
ssize_t __wrap_gnutls_record_recv(gnutls_session_t session, void *room, size_t len);
ssize_t __real_gnutls_record_send(gnutls_session_t session, const void *bytes, size_t len);
ssize_t __wrap_gnutls_record_send(gnutls_session_t session, const void *bytes, size_t len);
void *__real_malloc(size_t len);
void *__wrap_malloc(size_t len);
void *__real_calloc(size_t n, size_t len);
void *__wrap_calloc(size_t n, size_t len);
void *__real_realloc(void *p, size_t len);
void *__wrap_realloc(void *p, size_t len);

ssize_t __wrap_recv(int fd, void *room, size_t len, int flags)
{
    count.recvs++;
    return __real_recv(fd, room, len, flags);
}

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
    count.sends++;
    return __real_send(fd, bytes, len, flags);
}

ssize_t __wrap_gnutls_record_recv(gnutls_session_t session, void *room, size_t len)
{
    count.records_in++;
    return __real_gnutls_record_recv(session, room, len);
}

ssize_t __wrap_gnutls_record_send(gnutls_session_t session, const void *bytes, size_t len)
{
    count.records_out++;
    return __real_gnutls_record_send(session, bytes, len);
}

void *__wrap_malloc(size_t len)
{
    count.allocations++;
    return __real_malloc(len);
}

void *__wrap_calloc(size_t n, size_t len)
{
    count.allocations++;
    return __real_calloc(n, len);
}

void *__wrap_realloc(void *p, size_t len)
{
    count.allocations++;
    return __real_realloc(p, len);
}

struct end {
    struct stream *stream;
    size_t got, calls;
    bool ready;
};

static void on_ready(void *ctx)
{
    struct end *e = ctx;
    e->ready = true;
}

static size_t on_data(void *ctx, struct span data)
{
    struct end *e = ctx;
    e->got += data.len;
    e->calls++;
    return data.len;
}

static void on_closed(void *ctx, enum status st UNUSED, const struct why *why UNUSED)
{
    struct end *e = ctx;
    e->stream = NULL;
}

static const struct stream_events events = { on_ready, on_data, NULL, NULL, on_closed };

struct world {
    struct loop *loop;
    struct tls_config *client_tls, *server_tls;
    struct end a, b;
};

static void turns(struct world *w, int n)
{
    for (int i = 0; i < n; i++)
        loop_turn(w->loop);
}

/* Both ends are open, and have said what is said in the beginning. */
static void world_init(struct world *w, bool tls)
{
    struct stream_settings a = { 0 }, b = { 0 };
    int fds[2];

    *w = (struct world){ 0 };
    assert_int_equal(loop_new(&w->loop, NULL), ST_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    if (tls) {
        struct tls_settings client = { .ca_pem = buf_span(&test_certs.ca.cert_pem) };
        struct tls_settings server = { .cert_pem = buf_span(&test_certs.server.cert_pem),
                                       .key_pem = buf_span(&test_certs.server.key_pem) };
        struct tls_expect expect = { .host = "localhost" };

        assert_int_equal(tls_config_new_client(&client, &w->client_tls, NULL), ST_OK);
        assert_int_equal(tls_config_new_server(&server, &w->server_tls, NULL), ST_OK);
        assert_int_equal(tls_session_new_client(w->client_tls, &expect, &a.tls, NULL), ST_OK);
        assert_int_equal(tls_session_new_server(w->server_tls, &b.tls, NULL), ST_OK);
    }
    assert_int_equal(stream_new(w->loop, fds[0], &a, &events, &w->a, &w->a.stream, NULL), ST_OK);
    assert_int_equal(stream_new(w->loop, fds[1], &b, &events, &w->b, &w->b.stream, NULL), ST_OK);
    for (int i = 0; i < 1000 && !(w->a.ready && w->b.ready); i++)
        loop_turn(w->loop);
    assert_true(w->a.ready && w->b.ready);
    turns(w, 10);
}

static void world_done(struct world *w)
{
    loop_free(w->loop);
    tls_config_unref(w->client_tls);
    tls_config_unref(w->server_tls);
}

static void send_packet(struct end *e)
{
    static const uint8_t packet[PACKET_BYTES];
    stream_send(e->stream, span_of(packet, sizeof packet));
}

/* One packet through, and back; the second time nothing has to be learnt or made. */
static void costs_of_a_packet(struct world *w)
{
    send_packet(&w->a);
    turns(w, 5);
    w->b.calls = w->b.got = 0;
    memset(&count, 0, sizeof count);
    send_packet(&w->a);
    turns(w, 5);
    assert_int_equal(w->b.got, PACKET_BYTES);
    assert_int_equal(w->b.calls, 1);
    assert_int_equal(count.sends, 1);
    assert_int_equal(count.recvs, 1);
    assert_int_equal(count.allocations, 0);
}

static void a_packet_costs_one_read_and_one_write(void **state UNUSED)
{
    struct world w;

    world_init(&w, false);
    costs_of_a_packet(&w);
    world_done(&w);
}

/* Nor does GnuTLS look for a second record where none is: each look takes a block of the largest record's size. */
static void a_packet_in_tls_costs_one_read_one_write_and_one_record_each_way(void **state UNUSED)
{
    struct world w;

    world_init(&w, true);
    costs_of_a_packet(&w);
    assert_int_equal(count.records_in, 1);
    assert_int_equal(count.records_out, 1);
    world_done(&w);
}

static void what_a_turn_gathers_leaves_in_one_record_and_one_write(void **state UNUSED)
{
    struct world w;

    world_init(&w, true);
    memset(&count, 0, sizeof count);
    for (int i = 0; i < 100; i++)
        send_packet(&w.a);
    turns(&w, 5);
    assert_int_equal(w.b.got, 100 * PACKET_BYTES);
    assert_int_equal(w.b.calls, 1);
    assert_int_equal(count.sends, 1);
    assert_int_equal(count.recvs, 1);
    assert_int_equal(count.records_out, 1);
    assert_int_equal(count.records_in, 1);
    world_done(&w);
}

static void what_came_in_many_records_is_read_at_once(void **state UNUSED)
{
    struct world w;

    world_init(&w, true);
    stream_pause(w.b.stream);
    for (int i = 0; i < 16; i++) {
        send_packet(&w.a);
        turns(&w, 1);
    }
    memset(&count, 0, sizeof count);
    stream_resume(w.b.stream);
    turns(&w, 5);
    assert_int_equal(w.b.got, 16 * PACKET_BYTES);
    assert_int_equal(count.recvs, 1);
    assert_true(count.records_in <= 17);
    world_done(&w);
}

/* And the end of the stream goes with them: a segment less, on TCP. */
static void last_words_leave_with_the_close_in_one_write(void **state UNUSED)
{
    struct world w;

    world_init(&w, true);
    memset(&count, 0, sizeof count);
    send_packet(&w.a);
    stream_close(w.a.stream);
    loop_turn(w.loop); /* before the other end closes as well */
    assert_int_equal(count.sends, 1);
    turns(&w, 10);
    assert_int_equal(w.b.got, PACKET_BYTES);
    assert_null(w.b.stream);
    assert_null(w.a.stream);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_costs_one_read_and_one_write),
        cmocka_unit_test(a_packet_in_tls_costs_one_read_one_write_and_one_record_each_way),
        cmocka_unit_test(what_a_turn_gathers_leaves_in_one_record_and_one_write),
        cmocka_unit_test(what_came_in_many_records_is_read_at_once),
        cmocka_unit_test(last_words_leave_with_the_close_in_one_write),
    };
    return cmocka_run_group_tests(tests, test_certs_make, test_certs_drop);
}
