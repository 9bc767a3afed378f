/* Our HTTP client against our HTTP server, on one loop. */
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/test_certs.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define PATIENCE_MS 60000
#define URL_MAX     128

static struct test_cert_files files;

struct seen {
    int requests;
    char method[16], path[64], type[64], authorization[64], query[64];
    size_t body_len;
    bool has_cert, verified, loopback;
};

struct answer {
    int count;
    enum status st;
    int code;
    char type[64];
    struct buf body;
};

struct world {
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct seen seen;
    struct answer answer;
    size_t reply_len; /* 0: "hello" */
    struct http_later *later[8];
    int later_count, gone;
    bool refused; /* as many as may were waiting */
};

static void copy(char *to, size_t cap, struct span from)
{
    (void)snprintf(to, cap, "%.*s", SPAN_FMT(from));
}

static void on_gone(void *ctx)
{
    struct world *w = ctx;
    w->gone++;
}

static void handler(void *ctx, const struct http_request *request, struct http_reply *reply)
{
    struct world *w = ctx;
    struct seen *s = &w->seen;
    s->requests++;
    copy(s->method, sizeof s->method, request->method);
    copy(s->path, sizeof s->path, request->path);
    copy(s->type, sizeof s->type, http_request_header(request, "content-type"));
    copy(s->authorization, sizeof s->authorization, http_request_header(request, "Authorization"));
    copy(s->query, sizeof s->query, http_request_query(request, "q"));
    s->body_len = request->body.len;
    s->has_cert = request->cert_der.len > 0;
    s->verified = request->cert_verified;
    s->loopback = request->peer.is_loopback;
    bool soon = span_eq_str(request->path, "/soon");
    if (soon || span_eq_str(request->path, "/later")) {
        struct http_later *later = (soon ? http_soon_new : http_later_new)(request, on_gone, w);
        w->refused = later == NULL;
        reply->code = 503;
        if (later != NULL)
            w->later[w->later_count++] = later;
        return;
    }
    reply->code = span_eq_str(request->path, "/missing") ? 404 : 200;
    http_reply_header(reply, "Content-Type", "application/json");
    http_reply_header(reply, "Cache-Control", "no-store");
    if (w->reply_len == 0)
        put_str(&reply->body, "hello");
    for (size_t i = 0; i < w->reply_len; i++)
        put_u8(&reply->body, 'x');
}

static void on_done(void *ctx, const struct http_result *result)
{
    struct answer *a = ctx;
    a->count++;
    a->st = result->st;
    a->code = result->code;
    copy(a->type, sizeof a->type, result->content_type);
    buf_reset(&a->body);
    put_bytes(&a->body, result->body);
}

static void world_init(struct world *w, bool tls)
{
    struct http_server_settings settings = {
        .address = "127.0.0.1", .max_body = 1000, .max_waiting = 6, .max_waiting_per_address = 3
    };
    *w = (struct world){ 0 };
    buf_init(&w->answer.body, 1024 * 1024);
    if (tls) {
        settings.cert_file = files.cert;
        settings.key_file = files.key;
        settings.client_ca_file = files.ca;
    }
    assert_int_equal(loop_new(&w->loop, NULL), ST_OK);
    assert_int_equal(http_server_new(w->loop, &settings, handler, w, &w->server, NULL), ST_OK);
    assert_int_equal(http_client_new(w->loop, &w->client, NULL), ST_OK);
}

static void world_done(struct world *w)
{
    http_client_free(w->client);
    http_server_free(w->server);
    loop_free(w->loop);
    buf_done(&w->answer.body);
}

static void url_of(char *url, const struct world *w, const char *host, const char *path)
{
    (void)snprintf(url, URL_MAX, "%s://%s:%u%s", strchr(host, '4') != NULL ? "http" : "https",
                   strchr(host, '4') != NULL ? "127.0.0.1" : host, http_server_port(w->server), path);
}
#define PLAIN "4" /* url_of(): http://127.0.0.1 */

static void perform(struct world *w, const struct http_call *call)
{
    int before = w->answer.count;
    struct mono_time until = mono_plus_ms(now_read().mono, PATIENCE_MS);
    assert_int_equal(http_start(w->client, call, on_done, &w->answer, NULL, NULL), ST_OK);
    while (w->answer.count == before) {
        if (now_read().mono.ms > until.ms)
            fail_msg("no answer");
        loop_turn(w->loop);
    }
    assert_int_equal(w->answer.count, before + 1);
}

static void a_request_and_its_answer_arrive_whole(void **state)
{
    struct world w;
    char url[URL_MAX];
    (void)state;
    world_init(&w, true);
    url_of(url, &w, "localhost", "/token?q=a%20b");
    struct http_call call = { .url = url,
                              .body = SPAN("{\"a\":1}"),
                              .content_type = "application/ace+json",
                              .user = "id",
                              .password = "secret",
                              .ca_file = files.ca };
    perform(&w, &call);
    assert_int_equal(w.answer.st, ST_OK);
    assert_int_equal(w.answer.code, 200);
    assert_string_equal(w.answer.type, "application/json");
    assert_true(span_eq_str(buf_span(&w.answer.body), "hello"));
    assert_string_equal(w.seen.method, "POST");
    assert_string_equal(w.seen.path, "/token");
    assert_string_equal(w.seen.query, "a b");
    assert_string_equal(w.seen.type, "application/ace+json");
    assert_string_equal(w.seen.authorization, "Basic aWQ6c2VjcmV0");
    assert_int_equal(w.seen.body_len, 7);
    assert_true(w.seen.loopback);
    assert_false(w.seen.has_cert);
    url_of(url, &w, "localhost", "/missing");
    struct http_call get = { .url = url, .ca_file = files.ca };
    perform(&w, &get);
    assert_int_equal(w.answer.code, 404);
    assert_string_equal(w.seen.method, "GET");
    world_done(&w);
}

static void a_client_certificate_is_asked_for_but_not_demanded(void **state) /* RFC 8705 2 */
{
    struct world w;
    char url[URL_MAX];
    (void)state;
    world_init(&w, true);
    url_of(url, &w, "localhost", "/");
    struct http_call call = {
        .url = url, .ca_file = files.ca, .cert_file = files.client_cert, .key_file = files.client_key
    };
    perform(&w, &call);
    assert_int_equal(w.answer.code, 200);
    assert_true(w.seen.has_cert);
    assert_true(w.seen.verified);
    call.cert_file = files.stranger_cert;
    call.key_file = files.stranger_key;
    perform(&w, &call);
    assert_int_equal(w.answer.st, ST_OK);
    assert_false(w.seen.verified); /* whether it was sent at all is the client's choice */
    world_done(&w);
}

static void a_body_above_the_limit_never_reaches_the_handler(void **state)
{
    static const uint8_t big[1001];
    struct world w;
    char url[URL_MAX];
    (void)state;
    world_init(&w, false);
    url_of(url, &w, PLAIN, "/token");
    struct http_call call = { .url = url, .body = span_of(big, 1000), .allow_http = true };
    perform(&w, &call);
    assert_int_equal(w.answer.code, 200);
    assert_int_equal(w.seen.body_len, 1000);
    call.body.len = 1001;
    perform(&w, &call);
    assert_int_equal(w.answer.code, 413);
    assert_int_equal(w.seen.requests, 1);
    world_done(&w);
}

static void an_answer_above_the_limit_is_refused(void **state)
{
    struct world w;
    char url[URL_MAX];
    (void)state;
    world_init(&w, false);
    w.reply_len = 300000;
    url_of(url, &w, PLAIN, "/jwks.json");
    struct http_call call = { .url = url, .allow_http = true, .max_response = 300000 };
    perform(&w, &call);
    assert_int_equal(w.answer.st, ST_OK);
    assert_int_equal(w.answer.body.len, 300000);
    call.max_response--;
    perform(&w, &call);
    assert_int_equal(w.answer.st, ST_TOO_LARGE);
    world_done(&w);
}

static void a_server_we_do_not_trust_is_refused(void **state)
{
    struct world w;
    char url[URL_MAX];
    (void)state;
    world_init(&w, true);
    url_of(url, &w, "localhost", "/");
    struct http_call call = { .url = url, .ca_file = files.stranger_cert };
    perform(&w, &call);
    assert_int_equal(w.answer.st, ST_DENIED);
    call = (struct http_call){ .url = url,
                               .ca_file = files.ca,
                               .pinned_pubkey = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" };
    perform(&w, &call);
    assert_int_equal(w.answer.st, ST_DENIED);
    assert_int_equal(w.seen.requests, 0);
    world_done(&w);
}

static void plain_http_needs_to_be_allowed(void **state)
{
    struct world w;
    char url[URL_MAX];
    (void)state;
    world_init(&w, false);
    url_of(url, &w, PLAIN, "/");
    struct http_call call = { .url = url };
    perform(&w, &call);
    assert_int_equal(w.answer.st, ST_DENIED);
    assert_int_equal(w.seen.requests, 0);
    world_done(&w);
}

static void a_server_that_never_answers_is_a_timeout(void **state)
{
    struct world w;
    char url[URL_MAX];
    int fd;
    uint16_t port;
    struct listener_settings where = { .address = "127.0.0.1" };
    (void)state;
    world_init(&w, false);
    assert_int_equal(listener_socket(&where, &fd, &port, NULL), ST_OK); /* nobody accepts */
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    struct http_call call = { .url = url, .allow_http = true, .timeout_ms = 50 };
    perform(&w, &call);
    assert_int_equal(w.answer.st, ST_TIMEOUT);
    close(fd);
    call.timeout_ms = PATIENCE_MS;
    perform(&w, &call);
    assert_int_equal(w.answer.st, ST_UNREACHABLE);
    world_done(&w);
}

static int raw_connect(const struct world *w)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    to.sin_port = htons(http_server_port(w->server));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* What a plain server says to these bytes, up to when it closes. */
static void raw_exchange(struct world *w, const char *request, char *answer, size_t cap)
{
    struct mono_time until = mono_plus_ms(now_read().mono, PATIENCE_MS);
    size_t len = 0;
    ssize_t n = -1;
    int fd = raw_connect(w);
    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    while (n != 0 && len < cap - 1) {
        if (now_read().mono.ms > until.ms)
            fail_msg("not closed");
        loop_turn(w->loop);
        n = recv(fd, answer + len, cap - 1 - len, MSG_DONTWAIT);
        if (n > 0)
            len += (size_t)n;
    }
    answer[len] = '\0';
    close(fd);
}

static void fields_that_could_mean_two_things_are_refused(void **state)
{
    /* RFC 9110 5.3, RFC 9112 6.1 */
    static const char *const twice[] = {
        "Authorization: Basic eDp5\r\nAuthorization: Basic eDp6\r\nContent-Length: 1\r\n\r\nx",
        "Content-Type: text/plain\r\ncontent-type: application/json\r\nContent-Length: 1\r\n\r\nx",
        "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    char request[512], answer[2048];
    struct world w;
    (void)state;
    world_init(&w, false);
    for (size_t i = 0; i < COUNT_OF(twice); i++) {
        (void)snprintf(request, sizeof request, "POST / HTTP/1.1\r\nHost: x\r\n%s", twice[i]);
        raw_exchange(&w, request, answer, sizeof answer);
        assert_non_null(strstr(answer, "HTTP/1.1 400 "));
        assert_int_equal(w.seen.requests, 0);
    }
    world_done(&w);
}

/* Requests on one plain connection, up to its end: the last of them asks for it. */
static void requests_that_are_not_awaited_are_answered_in_their_order(void **state) /* RFC 9112 9.3.2 */
{
    static const char three[] = "\r\nGET /missing HTTP/1.1\r\nHost: x\r\n\r\n"
                                "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
                                "HEAD /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    char answer[2048];
    struct world w;
    (void)state;
    world_init(&w, false);
    raw_exchange(&w, three, answer, sizeof answer);
    const char *first = strstr(answer, "HTTP/1.1 404 Not Found\r\n");
    assert_true(first == answer);
    const char *second = strstr(first + 1, "HTTP/1.1 200 OK\r\n");
    assert_non_null(second);
    assert_non_null(strstr(first, "Content-Length: 5\r\n\r\nhelloHTTP/1.1 200"));
    const char *third = strstr(second + 1, "HTTP/1.1 200 OK\r\n");
    assert_non_null(third);
    assert_non_null(strstr(third, "Date: "));
    assert_non_null(strstr(third, "Content-Length: 5\r\nConnection: close\r\n\r\n"));
    assert_string_equal(strstr(third, "\r\n\r\n"), "\r\n\r\n"); /* HEAD: nothing behind it, RFC 9110 9.3.2 */
    assert_int_equal(w.seen.requests, 3);
    raw_exchange(&w, "GET / HTTP/1.0\r\n\r\n", answer, sizeof answer);
    assert_non_null(strstr(answer, "hello"));
    world_done(&w);
}

static void a_body_may_come_in_pieces_or_chunks(void **state) /* RFC 9112 6, 7.1; RFC 9110 10.1.1 */
{
    static const char *const pieces[][4] = {
        { "POST /a HTT", "P/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 7\r", "\n\r\nabc", "defg" },
        { "POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\na",
          "bc\r\n4\r\ndefg\r", "\n0\r\n\r\n" },
    };
    struct world w;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        char answer[1024] = "";
        ssize_t n = -1;
        world_init(&w, false);
        int fd = raw_connect(&w);
        for (size_t k = 0; k < COUNT_OF(pieces[i]); k++) {
            assert_int_equal(send(fd, pieces[i][k], strlen(pieces[i][k]), 0), strlen(pieces[i][k]));
            for (int turns = 0; turns < 5; turns++)
                loop_turn(w.loop);
        }
        while (n <= 0) {
            loop_turn(w.loop);
            n = recv(fd, answer, sizeof answer - 1, MSG_DONTWAIT);
        }
        assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
        assert_int_equal(w.seen.body_len, 7);
        close(fd);
        world_done(&w);
    }
    char answer[1024];
    world_init(&w, false);
    raw_exchange(&w,
                 "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: "
                 "close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
                 answer, sizeof answer);
    assert_true(strstr(answer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n") == answer);
    world_done(&w);
}

static void what_is_too_long_or_no_http_is_refused_and_closed(void **state)
{
    static char head[20000] = "GET / HTTP/1.1\r\nHost: x\r\nA: ";
    char answer[1024], chunks[4096] = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n";
    struct world w;
    (void)state;
    world_init(&w, false);
    memset(head + strlen(head), 'a', sizeof head - strlen(head) - 1);
    raw_exchange(&w, head, answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 431 ")); /* RFC 6585 5 */
    memset(chunks + strlen(chunks), 'a', 1100);
    raw_exchange(&w, chunks, answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 413 "));
    raw_exchange(&w, "\x16\x03\x01 hello\r\n\r\n", answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 400 "));
    raw_exchange(&w, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", answer,
                 sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 400 "));
    assert_int_equal(w.seen.requests, 0);
    world_done(&w);
}

static void one_address_has_so_many_connections(void **state)
{
    struct http_server_settings settings = { .address = "127.0.0.1",
                                             .max_connections_per_address = 2,
                                             .max_connections = 3 };
    struct world w = { 0 };
    char byte;
    int fds[3];
    (void)state;
    assert_int_equal(loop_new(&w.loop, NULL), ST_OK);
    assert_int_equal(http_server_new(w.loop, &settings, handler, &w, &w.server, NULL), ST_OK);
    for (int i = 0; i < 3; i++)
        fds[i] = raw_connect(&w);
    for (int i = 0; i < 5; i++)
        loop_turn(w.loop);
    assert_int_equal(recv(fds[2], &byte, 1, MSG_DONTWAIT), 0); /* closed */
    assert_int_equal(recv(fds[1], &byte, 1, MSG_DONTWAIT), -1);
    close(fds[1]);
    for (int i = 0; i < 5; i++)
        loop_turn(w.loop);
    close(fds[2]);
    fds[2] = raw_connect(&w); /* there is room again */
    for (int i = 0; i < 5; i++)
        loop_turn(w.loop);
    assert_int_equal(recv(fds[2], &byte, 1, MSG_DONTWAIT), -1);
    close(fds[0]);
    close(fds[2]);
    http_server_free(w.server);
    loop_free(w.loop);
}

static void a_new_certificate_counts_for_new_connections(void **state)
{
    struct world w;
    char url[URL_MAX];
    struct why why = { 0 };
    (void)state;
    world_init(&w, true);
    url_of(url, &w, "localhost", "/");
    struct http_call call = { .url = url, .ca_file = files.ca };
    perform(&w, &call);
    assert_int_equal(w.answer.code, 200);
    assert_int_not_equal(http_server_set_tls(w.server, "/nonexistent", files.key, NULL, &why), ST_OK);
    perform(&w, &call); /* goes on with what it has */
    assert_int_equal(w.answer.code, 200);
    assert_int_equal(http_server_set_tls(w.server, files.stranger_cert, files.stranger_key, files.ca, &why),
                     ST_OK);
    perform(&w, &call); /* the connection that is open is as it was */
    assert_int_equal(w.answer.code, 200);
    http_client_free(w.client);
    assert_int_equal(http_client_new(w.loop, &w.client, NULL), ST_OK);
    perform(&w, &call);
    assert_int_equal(w.answer.st, ST_DENIED);
    world_done(&w);
}

struct trickle {
    struct loop *loop;
    struct timer timer;
    int fd;
    int sent;
    bool cut;
};

static void on_trickle(struct timer *timer, struct now now)
{
    struct trickle *t = CONTAINER_OF(timer, struct trickle, timer);
    char byte = 'x';
    if (recv(t->fd, &byte, 1, MSG_DONTWAIT) == 0 || send(t->fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        t->cut = true;
    t->sent++;
    timer_start(loop_timers(t->loop), timer, mono_plus_ms(now.mono, 100));
}

static void a_request_that_trickles_is_cut_off_in_the_end(void **state)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n";
    struct http_server_settings settings = { .address = "127.0.0.1", .timeout_s = 1 };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct world w = { 0 };
    struct trickle t = { 0 };
    struct mono_time before = now_read().mono;
    (void)state;
    assert_int_equal(loop_new(&w.loop, NULL), ST_OK);
    assert_int_equal(http_server_new(w.loop, &settings, handler, &w, &w.server, NULL), ST_OK);
    to.sin_port = htons(http_server_port(w.server));
    t.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(t.fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(t.fd, head, sizeof head - 1, 0), sizeof head - 1);
    t.loop = w.loop;
    timer_init(&t.timer, on_trickle);
    timer_start(loop_timers(w.loop), &t.timer, mono_plus_ms(loop_now(w.loop).mono, 100));
    while (!t.cut && t.sent < 100)
        loop_turn_wait(w.loop);
    assert_true(t.cut);
    assert_true(now_read().mono.ms - before.ms > 1200); /* more than one timeout, about two */
    assert_true(t.sent <= 60);
    assert_int_equal(w.seen.requests, 0);
    timer_stop(loop_timers(w.loop), &t.timer);
    close(t.fd);
    http_server_free(w.server);
    loop_free(w.loop);
}

static void many_calls_run_side_by_side_and_one_can_be_cancelled(void **state)
{
    enum { CALLS = 40 };
    struct world w;
    struct answer answers[CALLS] = { 0 };
    struct http_pending *victim = NULL;
    char url[URL_MAX];
    int done = 0;
    (void)state;
    world_init(&w, true);
    struct http_call call = { .url = url, .ca_file = files.ca };
    url_of(url, &w, "localhost", "/");
    for (int i = 0; i < CALLS; i++) {
        buf_init(&answers[i].body, 1024);
        assert_int_equal(http_start(w.client, &call, on_done, &answers[i], i == 7 ? &victim : NULL, NULL),
                         ST_OK);
    }
    http_cancel(victim);
    struct mono_time until = mono_plus_ms(now_read().mono, PATIENCE_MS);
    while (done < CALLS - 1 && now_read().mono.ms < until.ms) {
        loop_turn(w.loop);
        done = 0;
        for (int i = 0; i < CALLS; i++)
            done += answers[i].count;
    }
    assert_int_equal(done, CALLS - 1);
    assert_int_equal(answers[7].count, 0);
    for (int i = 0; i < CALLS; i++) {
        if (i != 7)
            assert_int_equal(answers[i].code, 200);
        buf_done(&answers[i].body);
    }
    /* One more under way when everything is freed: no callback, no leak. */
    assert_int_equal(http_start(w.client, &call, on_done, &w.answer, NULL, NULL), ST_OK);
    loop_turn(w.loop);
    world_done(&w);
}

static void turns_until(struct world *w, const int *count, int wanted)
{
    struct mono_time until = mono_plus_ms(now_read().mono, PATIENCE_MS);
    while (*count < wanted) {
        if (now_read().mono.ms > until.ms)
            fail_msg("it never happened");
        loop_turn(w->loop);
    }
}

static void send_later(struct world *w, int which, const char *text)
{
    struct http_reply *reply = http_later_reply(w->later[which]);
    put_str(&reply->body, text);
    http_reply_header(reply, "Content-Type", "text/later");
    http_later_send(w->later[which]);
}

static void an_answer_may_come_later_while_others_are_served(void **state)
{
    struct world w;
    struct answer late = { 0 };
    char url[URL_MAX], other[URL_MAX];
    for (int tls = 0; tls < 2; tls++) {
        (void)state;
        world_init(&w, tls == 1);
        buf_init(&late.body, 1024);
        late.count = 0;
        url_of(url, &w, tls ? "localhost" : PLAIN, "/later");
        url_of(other, &w, tls ? "localhost" : PLAIN, "/token");
        struct http_call call = { .url = url, .ca_file = files.ca, .allow_http = true };
        struct http_call now = { .url = other, .ca_file = files.ca, .allow_http = true };
        for (int round = 0; round < 3; round++) { /* the connection goes on to be good */
            assert_int_equal(http_start(w.client, &call, on_done, &late, NULL, NULL), ST_OK);
            turns_until(&w, &w.later_count, round + 1);
            perform(&w, &now);
            assert_int_equal(w.answer.code, 200);
            assert_int_equal(late.count, round);
            assert_int_equal(http_server_waiting(w.server), 1);
            send_later(&w, round, "news");
            turns_until(&w, &late.count, round + 1);
            assert_int_equal(late.code, 200);
            assert_string_equal(late.type, "text/later");
            assert_true(span_eq_str(buf_span(&late.body), "news"));
            assert_int_equal(http_server_waiting(w.server), 0);
        }
        assert_int_equal(w.gone, 0);
        world_done(&w);
        buf_done(&late.body);
    }
}

static void whoever_hangs_up_is_not_answered(void **state)
{
    struct world w;
    char url[URL_MAX];
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct http_pending *pending = NULL;
        world_init(&w, tls == 1);
        url_of(url, &w, tls ? "localhost" : PLAIN, "/later");
        struct http_call call = { .url = url, .ca_file = files.ca, .allow_http = true };
        assert_int_equal(http_start(w.client, &call, on_done, &w.answer, &pending, NULL), ST_OK);
        turns_until(&w, &w.later_count, 1);
        http_cancel(pending);
        turns_until(&w, &w.gone, 1);
        assert_int_equal(http_server_waiting(w.server), 0);
        assert_int_equal(w.answer.count, 0);
        world_done(&w);
        assert_int_equal(w.gone, 1);
    }
}

static void so_many_wait_and_no_more(void **state)
{
    struct world w;
    struct answer answers[4] = { 0 };
    char url[URL_MAX];
    (void)state;
    world_init(&w, false);
    url_of(url, &w, PLAIN, "/later");
    struct http_call call = { .url = url, .allow_http = true };
    for (int i = 0; i < 4; i++) {
        buf_init(&answers[i].body, 1024);
        assert_int_equal(http_start(w.client, &call, on_done, &answers[i], NULL, NULL), ST_OK);
        turns_until(&w, &w.seen.requests, i + 1);
    }
    turns_until(&w, &answers[3].count, 1);
    assert_int_equal(answers[3].code, 503);
    assert_true(w.refused);
    assert_int_equal(http_server_waiting(w.server), 3);
    send_later(&w, 1, "a place is free");
    turns_until(&w, &answers[1].count, 1);
    assert_int_equal(http_start(w.client, &call, on_done, &answers[3], NULL, NULL), ST_OK);
    turns_until(&w, &w.later_count, 4);
    assert_false(w.refused);
    world_done(&w); /* three still wait */
    assert_int_equal(w.gone, 3);
    for (int i = 0; i < 4; i++)
        buf_done(&answers[i].body);
}

static void what_was_answered_before_the_server_ends_arrives(void **state)
{
    struct world w;
    char url[URL_MAX];
    (void)state;
    world_init(&w, true);
    url_of(url, &w, "localhost", "/later");
    struct http_call call = { .url = url, .ca_file = files.ca };
    assert_int_equal(http_start(w.client, &call, on_done, &w.answer, NULL, NULL), ST_OK);
    turns_until(&w, &w.later_count, 1);
    send_later(&w, 0, "goodbye");
    http_server_free(TAKE(w.server));
    turns_until(&w, &w.answer.count, 1);
    assert_int_equal(w.answer.code, 200);
    assert_true(span_eq_str(buf_span(&w.answer.body), "goodbye"));
    world_done(&w);
}

static void a_request_behind_one_that_waited_is_not_handled_at_the_end(void **state)
{
    static const char two[] = "GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET /later HTTP/1.1\r\nHost: x\r\n\r\n";
    struct world w;
    (void)state;
    world_init(&w, false);
    int fd = raw_connect(&w);
    assert_int_equal(send(fd, two, sizeof two - 1, 0), sizeof two - 1);
    turns_until(&w, &w.later_count, 1);
    send_later(&w, 0, "goodbye");
    http_server_free(TAKE(w.server));
    assert_int_equal(w.seen.requests, 1);
    close(fd);
    world_done(&w);
}

/* RFC 9112 9.6 leaves half of a connection open for the answers; a program at the end of a pipe closes the other at once. */
static void who_asked_and_says_no_more_is_answered(void **state)
{
    static const char two[] = "GET /soon HTTP/1.1\r\nHost: x\r\n\r\nGET /soon HTTP/1.1\r\nHost: x\r\n\r\n";
    char answer[2048] = { 0 };
    size_t len = 0;
    struct world w;
    (void)state;
    world_init(&w, false);
    int fd = raw_connect(&w);
    assert_int_equal(send(fd, two, sizeof two - 1, 0), sizeof two - 1);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    for (int i = 0; i < 2; i++) {
        turns_until(&w, &w.later_count, i + 1);
        for (int turn = 0; turn < 20; turn++)
            loop_turn(w.loop);
        assert_int_equal(w.gone, 0);
        send_later(&w, i, i == 0 ? "<one>" : "<two>");
    }
    struct mono_time until = mono_plus_ms(now_read().mono, PATIENCE_MS);
    for (ssize_t n = -1; n != 0 && now_read().mono.ms < until.ms;) {
        loop_turn(w.loop);
        n = recv(fd, answer + len, sizeof answer - 1 - len, MSG_DONTWAIT);
        len += n > 0 ? (size_t)n : 0;
    }
    assert_true(now_read().mono.ms < until.ms); /* and then it is closed */
    const char *one = strstr(answer, "<one>");
    assert_non_null(one);
    assert_non_null(strstr(one, "<two>"));
    close(fd);
    world_done(&w);
}

struct patient {
    struct timer timer;
    struct world *w;
};

static void on_patient(struct timer *timer, struct now now)
{
    struct world *w = CONTAINER_OF(timer, struct patient, timer)->w;
    (void)now;
    assert_int_equal(w->answer.count, 0);
    assert_int_equal(w->gone, 0);
    send_later(w, 0, "patience");
}

static void waiting_is_not_a_request_that_takes_too_long(void **state)
{
    struct http_server_settings settings = { .address = "127.0.0.1", .timeout_s = 1 };
    struct world w = { 0 };
    struct patient p = { .w = &w };
    char url[URL_MAX];
    (void)state;
    buf_init(&w.answer.body, 1024);
    assert_int_equal(loop_new(&w.loop, NULL), ST_OK);
    assert_int_equal(http_server_new(w.loop, &settings, handler, &w, &w.server, NULL), ST_OK);
    assert_int_equal(http_client_new(w.loop, &w.client, NULL), ST_OK);
    url_of(url, &w, PLAIN, "/later");
    struct http_call call = { .url = url, .allow_http = true, .timeout_ms = PATIENCE_MS };
    assert_int_equal(http_start(w.client, &call, on_done, &w.answer, NULL, NULL), ST_OK);
    turns_until(&w, &w.later_count, 1);
    timer_init(&p.timer, on_patient);
    timer_start(loop_timers(w.loop), &p.timer, mono_plus_ms(loop_now(w.loop).mono, 2100)); /* twice the limit */
    while (w.answer.count == 0)
        loop_turn_wait(w.loop);
    assert_int_equal(w.answer.code, 200);
    world_done(&w);
}

static int make_certs(void **state)
{
    (void)state;
    test_cert_files_make(&files);
    return 0;
}

static int drop_certs(void **state)
{
    (void)state;
    test_cert_files_remove(&files);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_and_its_answer_arrive_whole),
        cmocka_unit_test(a_client_certificate_is_asked_for_but_not_demanded),
        cmocka_unit_test(a_body_above_the_limit_never_reaches_the_handler),
        cmocka_unit_test(an_answer_above_the_limit_is_refused),
        cmocka_unit_test(a_server_we_do_not_trust_is_refused),
        cmocka_unit_test(plain_http_needs_to_be_allowed),
        cmocka_unit_test(a_server_that_never_answers_is_a_timeout),
        cmocka_unit_test(fields_that_could_mean_two_things_are_refused),
        cmocka_unit_test(requests_that_are_not_awaited_are_answered_in_their_order),
        cmocka_unit_test(a_body_may_come_in_pieces_or_chunks),
        cmocka_unit_test(what_is_too_long_or_no_http_is_refused_and_closed),
        cmocka_unit_test(one_address_has_so_many_connections),
        cmocka_unit_test(a_new_certificate_counts_for_new_connections),
        cmocka_unit_test(a_request_that_trickles_is_cut_off_in_the_end),
        cmocka_unit_test(many_calls_run_side_by_side_and_one_can_be_cancelled),
        cmocka_unit_test(an_answer_may_come_later_while_others_are_served),
        cmocka_unit_test(whoever_hangs_up_is_not_answered),
        cmocka_unit_test(so_many_wait_and_no_more),
        cmocka_unit_test(what_was_answered_before_the_server_ends_arrives),
        cmocka_unit_test(a_request_behind_one_that_waited_is_not_handled_at_the_end),
        cmocka_unit_test(who_asked_and_says_no_more_is_answered),
        cmocka_unit_test(waiting_is_not_a_request_that_takes_too_long),
    };
    return cmocka_run_group_tests(tests, make_certs, drop_certs);
}
