#include "net/http_server.h"
#include "base/list.h"
#include "net/file.h"
#include "net/listener_priv.h"
#include "net/loop_priv.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_BODY        (64u * 1024)
#define MAX_DISCARD     (1024u * 1024) /* of a body that is too long */
#define MAX_REPLY       (16u * 1024 * 1024)
#define PEM_MAX         (256u * 1024)
#define TIMEOUT_S       30u
#define MAX_CONNECTIONS 1000u
#define LAST_RUNS       8 /* of libmicrohttpd before it is stopped: a reply that waits is out after two */
#define PATIENCE        2 /* timeouts that one request may take altogether, handshake and answer with it */
#define CONNECTION_KEEP (16u * 1024) /* libmicrohttpd's own memory per connection: head and headers */

/* The same as for MQTT (tls_config.c), in libmicrohttpd's way of asking. */
#define PRIORITIES                                                                                        \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM" \
    ":-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1"         \
    ":%SERVER_PRECEDENCE"

struct http_server {
    struct loop *loop;
    struct MHD_Daemon *daemon;
    uv_poll_t *poll;
    struct timer timer;
    struct chore chore; /* libmicrohttpd wants to run again at once */
    http_handler_fn *handler;
    void *ctx;
    uint16_t port;
    size_t max_body;
    struct list visits; /* the one whose request has lasted longest first */
    struct timer patience;
    int64_t patience_ms;
    struct list waiting; /* struct http_later, not answered yet */
    unsigned waiting_count, waiting_max, waiting_per_address;
    bool ending; /* the handler's world may be gone */
};

/* libmicrohttpd closes connections on which nothing moves; one on which a byte moves now and then it would keep for ever.
 * So each is watched from its beginning, or the end of the last request, to the end of the next. */
struct visit {
    struct list link;
    struct http_server *server;
    int fd; /* libmicrohttpd's */
    int64_t since_ms;
};

/* What one request gathers between its head and its end. */
struct gathering {
    struct buf body;
    size_t seen; /* bytes that came, kept or not */
    struct http_later *later;
};

/* A request whose connection is suspended: libmicrohttpd does not look at it, so we do, for its end only. Answered or
 * given up, the connection is resumed, and on_request() is called once more. */
struct http_later {
    struct list link; /* of server->waiting, while it waits */
    struct http_server *server;
    struct MHD_Connection *connection;
    uv_poll_t *poll;
    http_gone_fn *gone;
    void *ctx;
    struct net_peer peer;
    bool given_up;
    struct http_reply reply;
};

/* What a handler's request stands for. */
struct exchange {
    struct http_server *server;
    struct MHD_Connection *connection;
    struct gathering *gathering;
};

struct span http_request_header(const struct http_request *request, const char *name)
{
    const struct exchange *x = request->priv;
    return span_of_str(MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name));
}

struct span http_request_query(const struct http_request *request, const char *name)
{
    const struct exchange *x = request->priv;
    const char *value = NULL;
    size_t len = 0;
    if (MHD_lookup_connection_value_n(x->connection, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value, &len) !=
        MHD_YES)
        return SPAN_NONE;
    return value != NULL ? span_of(value, len) : SPAN(""); /* "?name", without "=" */
}

void http_reply_header(struct http_reply *reply, const char *static_name, const char *value)
{
    ASSERT(reply->header_count < HTTP_REPLY_HEADERS);
    char *copy = strdup(value);
    if (copy == NULL)
        return; /* the reply goes out without it, or is refused by the caller's next allocation */
    reply->headers[reply->header_count].name = static_name;
    reply->headers[reply->header_count].value = copy;
    reply->header_count++;
}

/* -- one request ----------------------------------------------------------------------------------------- */

static void look_at_cert(struct MHD_Connection *connection, struct http_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info == NULL || info->tls_session == NULL)
        return;
    unsigned count = 0;
    unsigned problems = 0;
    const gnutls_datum_t *peers = gnutls_certificate_get_peers(info->tls_session, &count);
    if (peers == NULL || count == 0)
        return;
    request->cert_der = span_of(peers[0].data, peers[0].size);
    gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                                      .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT };
    request->cert_verified =
        gnutls_certificate_verify_peers(info->tls_session, &purpose, 1, &problems) == 0 && problems == 0;
}

static enum MHD_Result send_reply(struct MHD_Connection *connection, struct http_reply *reply)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->body.len, reply->body.p, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    for (size_t i = 0; i < reply->header_count; i++)
        (void)MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    enum MHD_Result queued = MHD_queue_response(connection, (unsigned)reply->code, response);
    MHD_destroy_response(response);
    return queued;
}

static void reply_done(struct http_reply *reply)
{
    buf_wipe(&reply->body); /* it may hold a token */
    for (size_t i = 0; i < reply->header_count; i++)
        free(reply->headers[i].value);
}

static enum MHD_Result send_code(struct MHD_Connection *connection, int code)
{
    struct http_reply reply = { .code = code };
    return send_reply(connection, &reply);
}

static void later_start(struct http_later *later);

static enum MHD_Result answer(struct http_server *server, struct MHD_Connection *connection, const char *url,
                              const char *method, struct gathering *gathering)
{
    if (server->ending)
        return send_code(connection, MHD_HTTP_SERVICE_UNAVAILABLE);
    struct exchange exchange = { server, connection, gathering };
    struct http_request request = { .method = span_of_str(method),
                                    .path = span_of_str(url),
                                    .body = buf_span(&gathering->body),
                                    .priv = &exchange };
    struct http_reply reply = { .code = MHD_HTTP_OK };
    buf_init(&reply.body, MAX_REPLY);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info != NULL && info->client_addr != NULL)
        net_peer_of(info->client_addr, &request.peer);
    look_at_cert(connection, &request);
    server->handler(server->ctx, &request, &reply);
    if (gathering->later != NULL) {
        reply_done(&reply);
        later_start(gathering->later);
        return MHD_YES;
    }
    if (!buf_ok(&reply.body)) {
        buf_reset(&reply.body);
        reply.code = MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    enum MHD_Result queued = send_reply(connection, &reply);
    reply_done(&reply);
    return queued;
}

/* A body somewhat too long is read and thrown away, so that the client is there to read the 413: closing with bytes
 * unread would reset the connection. Announced longer than that? Answered before any of it is read; libmicrohttpd then
 * closes. */
static bool announced_too_large(const struct http_server *server, struct MHD_Connection *connection)
{
    const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    char *end = NULL;
    return text != NULL && strtoull(text, &end, 10) > server->max_body + MAX_DISCARD;
}

static void later_free(struct http_later *later)
{
    reply_done(&later->reply);
    free(later);
}

static const char *const once[] = { "Authorization", "Content-Type", "Content-Length", "Transfer-Encoding" };

static enum MHD_Result count_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    unsigned *counts = cls;
    (void)kind;
    (void)value;
    for (size_t i = 0; i < COUNT_OF(once); i++)
        counts[i] += strcasecmp(name, once[i]) == 0;
    return MHD_YES;
}

/* Fields of which a proxy in front might have believed another one than we would (RFC 9110 5.3, RFC 9112 6.1). */
static bool ambiguous(struct MHD_Connection *connection)
{
    unsigned counts[COUNT_OF(once)] = { 0 };
    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, count_header, counts);
    for (size_t i = 0; i < COUNT_OF(once); i++)
        if (counts[i] > 1)
            return true;
    return counts[2] > 0 && counts[3] > 0;
}

static enum MHD_Result on_head(struct http_server *server, struct MHD_Connection *connection, void **req_cls)
{
    if (ambiguous(connection))
        return send_code(connection, MHD_HTTP_BAD_REQUEST);
    if (announced_too_large(server, connection))
        return send_code(connection, MHD_HTTP_CONTENT_TOO_LARGE);
    struct gathering *gathering = calloc(1, sizeof *gathering);
    if (gathering == NULL)
        return MHD_NO;
    buf_init(&gathering->body, server->max_body);
    *req_cls = gathering;
    return MHD_YES;
}

/* The connection was resumed. */
static enum MHD_Result send_later(struct MHD_Connection *connection, struct gathering *gathering)
{
    struct http_later *later = TAKE(gathering->later);
    enum MHD_Result queued = MHD_NO;
    if (!later->given_up && !buf_ok(&later->reply.body))
        queued = send_code(connection, MHD_HTTP_INTERNAL_SERVER_ERROR);
    else if (!later->given_up)
        queued = send_reply(connection, &later->reply);
    later_free(later);
    return queued;
}

/* Called by libmicrohttpd for the head, for each piece of the body, and at the end (no piece). */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **req_cls)
{
    struct http_server *server = cls;
    struct gathering *gathering = *req_cls;
    (void)version;
    if (gathering == NULL)
        return on_head(server, connection, req_cls);
    if (gathering->later != NULL)
        return send_later(connection, gathering);
    if (*upload_size == 0)
        return buf_ok(&gathering->body) ? answer(server, connection, url, method, gathering)
                                        : send_code(connection, MHD_HTTP_CONTENT_TOO_LARGE);
    put_bytes(&gathering->body, span_of(upload, *upload_size));
    gathering->seen += *upload_size;
    *upload_size = 0;
    /* chunked without end: the connection is closed */
    return gathering->seen <= server->max_body + MAX_DISCARD ? MHD_YES : MHD_NO;
}

/* -- patience -------------------------------------------------------------------------------------------- */

static void visit_restart(struct visit *visit)
{
    struct http_server *server = visit->server;
    list_remove(&visit->link);
    list_append(&server->visits, &visit->link);
    visit->since_ms = server->loop->now.mono.ms;
    if (!timer_running(&server->patience))
        timer_start(&server->loop->wheel, &server->patience,
                    mono_plus_ms(server->loop->now.mono, server->patience_ms));
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **socket_ctx,
                          enum MHD_ConnectionNotificationCode what)
{
    struct visit *visit = *socket_ctx;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (visit != NULL)
            list_remove(&visit->link);
        free(visit);
        *socket_ctx = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    visit = calloc(1, sizeof *visit);
    if (visit == NULL || info == NULL) {
        free(visit); /* served without a watch rather than not at all */
        return;
    }
    visit->server = cls;
    visit->fd = info->connect_fd;
    list_init(&visit->link);
    *socket_ctx = visit;
    visit_restart(visit);
}

static void on_patience(struct timer *timer, struct now now)
{
    struct http_server *server = CONTAINER_OF(timer, struct http_server, patience);
    LIST_EACH_SAFE (link, &server->visits) {
        struct visit *visit = CONTAINER_OF(link, struct visit, link);
        if (now.mono.ms - visit->since_ms < server->patience_ms) {
            timer_start(&server->loop->wheel, timer,
                        mono_plus_ms((struct mono_time){ visit->since_ms }, server->patience_ms));
            return;
        }
        (void)shutdown(visit->fd, SHUT_RDWR); /* libmicrohttpd sees it and closes */
        list_remove(&visit->link);
    }
}

static void on_request_over(void *cls, struct MHD_Connection *connection, void **req_cls,
                            enum MHD_RequestTerminationCode how)
{
    struct gathering *gathering = *req_cls;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    (void)cls;
    if (info != NULL && info->socket_context != NULL && how == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        visit_restart(info->socket_context);
    if (gathering == NULL)
        return;
    if (gathering->later != NULL) { /* the connection ended after it was resumed, before we were called again */
        ASSERT(!list_linked(&gathering->later->link));
        later_free(gathering->later);
    }
    buf_wipe(&gathering->body); /* it may hold a client's secret */
    free(gathering);
    *req_cls = NULL;
}

/* -- answers that come later ----------------------------------------------------------------------------- */

static struct visit *visit_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

/* Without the port. */
static struct span host_of(const struct net_peer *peer)
{
    struct span s = span_of_str(peer->address);
    while (s.len > 0 && s.p[s.len - 1] != ':')
        s.len--;
    return s;
}

static unsigned waiting_from(const struct http_server *server, const struct net_peer *peer)
{
    unsigned count = 0;
    LIST_EACH (link, &server->waiting)
        count += span_eq(host_of(&CONTAINER_OF(link, struct http_later, link)->peer), host_of(peer));
    return count;
}

struct http_later *http_later_new(const struct http_request *request, http_gone_fn *gone, void *ctx)
{
    const struct exchange *x = request->priv;
    struct http_server *server = x->server;
    ASSERT(x->gathering->later == NULL);
    if (server->waiting_count >= server->waiting_max)
        return NULL;
    if (server->waiting_per_address != 0 && waiting_from(server, &request->peer) >= server->waiting_per_address)
        return NULL;
    struct http_later *later = calloc(1, sizeof *later);
    if (later == NULL)
        return NULL;
    later->server = server;
    later->connection = x->connection;
    later->gone = gone;
    later->ctx = ctx;
    later->peer = request->peer;
    later->reply.code = MHD_HTTP_OK;
    buf_init(&later->reply.body, MAX_REPLY);
    list_append(&server->waiting, &later->link);
    server->waiting_count++;
    x->gathering->later = later;
    return later;
}

static void poll_gone(uv_handle_t *handle)
{
    free(handle);
}

/* Out of the waiting ones; libmicrohttpd calls us again for it. */
static void later_end(struct http_later *later)
{
    struct http_server *server = later->server;
    struct visit *visit = visit_of(later->connection);
    if (later->poll != NULL) {
        later->poll->data = NULL;
        uv_poll_stop(later->poll);
        uv_close((uv_handle_t *)TAKE(later->poll), poll_gone);
    }
    list_remove(&later->link);
    server->waiting_count--;
    if (visit != NULL)
        visit_restart(visit);
    MHD_resume_connection(later->connection);
    loop_chore(server->loop, &server->chore);
}

static void later_give_up(struct http_later *later)
{
    later->given_up = true;
    later_end(later);
    later->gone(later->ctx);
}

static void on_hang_up(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    loop_begin_turn(poll->loop->data);
    if (poll->data != NULL)
        later_give_up(poll->data);
}

/* Without memory to watch it, the end of such a connection is noticed when it is answered. */
static void later_watch(struct http_later *later, int fd)
{
    uv_poll_t *poll = calloc(1, sizeof *poll);
    if (poll == NULL || uv_poll_init(&later->server->loop->uv, poll, fd) != 0) {
        free(poll);
        return;
    }
    poll->data = later;
    later->poll = poll;
    uv_poll_start(poll, UV_DISCONNECT, on_hang_up);
}

static void later_start(struct http_later *later)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(later->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct visit *visit = visit_of(later->connection);
    if (visit != NULL)
        list_remove(&visit->link);
    MHD_suspend_connection(later->connection);
    if (info != NULL)
        later_watch(later, info->connect_fd);
}

struct http_reply *http_later_reply(struct http_later *later)
{
    return &later->reply;
}

void http_later_send(struct http_later *later_take)
{
    later_end(later_take);
}

size_t http_server_waiting(const struct http_server *server)
{
    return server->waiting_count;
}

/* -- on the loop ----------------------------------------------------------------------------------------- */

static void run(struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    (void)MHD_run(server->daemon);
    bool wait = MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES;
    if (wait && wait_ms == 0)
        loop_chore(server->loop, &server->chore);
    else if (wait)
        timer_start(&server->loop->wheel, &server->timer,
                    mono_plus_ms(server->loop->now.mono, (int64_t)wait_ms));
    else
        timer_stop(&server->loop->wheel, &server->timer);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    loop_begin_turn(poll->loop->data);
    if (poll->data != NULL)
        run(poll->data);
}

static void on_chore(struct chore *chore)
{
    run(CONTAINER_OF(chore, struct http_server, chore));
}

static void on_timer(struct timer *timer, struct now now)
{
    (void)now;
    run(CONTAINER_OF(timer, struct http_server, timer));
}

static void no_log(void *cls, const char *format, va_list args)
{
    (void)cls;
    (void)format;
    (void)args;
}

/* PEM with the NUL libmicrohttpd wants. */
static enum status read_pem(const char *path, struct buf *out, struct why *why)
{
    if (path == NULL)
        return ST_OK;
    enum status st = file_read(path, out, why);
    put_u8(out, 0);
    if (st == ST_OK && !buf_ok(out))
        st = reject(why, ST_TOO_LARGE, "file", "larger than a PEM file should be", 0);
    return st;
}

static enum status daemon_start(struct http_server *server, const struct http_server_settings *settings, int fd,
                                const struct buf *cert, const struct buf *key, const struct buf *ca,
                                struct why *why)
{
    unsigned flags = MHD_USE_EPOLL | MHD_USE_PEDANTIC_CHECKS | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem tls[5];
    size_t n = 0;
    if (cert->len > 0) {
        flags |= MHD_USE_TLS;
        tls[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0, cert->p };
        tls[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_KEY, 0, key->p };
        tls[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)PRIORITIES };
        if (ca->len > 0)
            tls[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_TRUST, 0, ca->p };
    }
    tls[n] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, no_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        settings->max_connections != 0 ? settings->max_connections : MAX_CONNECTIONS,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, settings->max_connections_per_address,
        MHD_OPTION_CONNECTION_TIMEOUT, settings->timeout_s != 0 ? settings->timeout_s : TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_KEEP, MHD_OPTION_NOTIFY_COMPLETED,
        on_request_over, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_ARRAY, tls,
        MHD_OPTION_END);
    if (server->daemon == NULL)
        return reject(why, ST_IO, "https", "the HTTPS server does not start: certificate or key unusable", 0);
    return ST_OK;
}

static enum status watch(struct http_server *server, struct why *why)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    server->poll = calloc(1, sizeof *server->poll);
    if (server->poll == NULL || info == NULL ||
        uv_poll_init(&server->loop->uv, server->poll, info->epoll_fd) != 0) {
        free(TAKE(server->poll));
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    server->poll->data = server;
    uv_poll_start(server->poll, UV_READABLE, on_poll);
    return ST_OK;
}

static enum status server_start(struct http_server *server, const struct http_server_settings *settings,
                                struct why *why)
{
    struct buf cert, key, ca;
    int fd = -1;
    buf_init(&cert, PEM_MAX);
    buf_init(&key, PEM_MAX);
    buf_init(&ca, PEM_MAX);
    enum status st = read_pem(settings->cert_file, &cert, why);
    if (st == ST_OK)
        st = read_pem(settings->key_file, &key, why);
    if (st == ST_OK)
        st = read_pem(settings->client_ca_file, &ca, why);
    struct listener_settings where = { .address = settings->address, .port = settings->port };
    if (st == ST_OK)
        st = listener_socket(&where, &fd, &server->port, why);
    if (st == ST_OK) {
        st = daemon_start(server, settings, fd, &cert, &key, &ca, why);
        if (st != ST_OK)
            close(fd);
    }
    buf_done(&cert);
    buf_wipe(&key);
    buf_done(&ca);
    return st == ST_OK ? watch(server, why) : st;
}

enum status http_server_new(struct loop *loop, const struct http_server_settings *settings,
                            http_handler_fn *handler, void *ctx, struct http_server **ret_server,
                            struct why *why)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    server->loop = loop;
    server->handler = handler;
    server->ctx = ctx;
    server->max_body = settings->max_body != 0 ? settings->max_body : MAX_BODY;
    timer_init(&server->timer, on_timer);
    timer_init(&server->patience, on_patience);
    list_init(&server->visits);
    list_init(&server->waiting);
    server->waiting_max =
        settings->max_waiting != 0
            ? settings->max_waiting
            : (settings->max_connections != 0 ? settings->max_connections : MAX_CONNECTIONS) / 2;
    server->waiting_per_address = settings->max_waiting_per_address;
    server->patience_ms =
        (settings->timeout_s != 0 ? settings->timeout_s : TIMEOUT_S) * (int64_t)MS_PER_S * PATIENCE;
    list_init(&server->chore.link);
    server->chore.run = on_chore;
    enum status st = server_start(server, settings, why);
    if (st != ST_OK) {
        http_server_free(server);
        return st;
    }
    *ret_server = server;
    return ST_OK;
}

/* libmicrohttpd must not be stopped while connections are suspended. */
static void end_waiting(struct http_server *server)
{
    server->ending = true;
    LIST_EACH_SAFE (link, &server->waiting)
        later_give_up(CONTAINER_OF(link, struct http_later, link));
    for (int i = 0; i < LAST_RUNS; i++)
        (void)MHD_run(server->daemon);
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    if (server->daemon != NULL)
        end_waiting(server);
    timer_stop(&server->loop->wheel, &server->timer);
    list_remove(&server->chore.link);
    if (server->poll != NULL) {
        server->poll->data = NULL;
        uv_poll_stop(server->poll);
        uv_close((uv_handle_t *)server->poll, poll_gone);
    }
    if (server->daemon != NULL)
        MHD_stop_daemon(server->daemon); /* closes the listening socket and each visit */
    timer_stop(&server->loop->wheel, &server->patience);
    free(server);
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}
