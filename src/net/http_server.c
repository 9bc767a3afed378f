/* Connections, what is in them, and their limits. A connection goes
 *
 *     HEAD -> BODY or CHUNKS -> (the handler) -> HEAD ...
 *
 * and WAITING from a handler that answers later to its answer. What comes in one piece is looked at where it lies; else
 * head and body are gathered. */
#include "net/http_server.h"

#include "base/arena.h"
#include "base/list.h"
#include "base/table.h"
#include "crypto/random.h"
#include "net/http_message.h"
#include "net/loop_priv.h"
#include "net/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_BODY        (64u * 1024)
#define MAX_REPLY       (16u * 1024 * 1024)
#define REPLY_HEAD_MAX  4096
#define TIMEOUT_S       30u
#define MAX_CONNECTIONS 1000u
#define PATIENCE        2             /* timeouts that one request may take altogether, its answer with it */
#define UNREAD_MAX      (64u * 1024)  /* bytes of requests behind one that is being answered */
#define HIGH_WATER      (256u * 1024) /* of answers that a peer does not fetch: then it is not read */
#define QUERY_MAX       (4 * HTTP_HEAD_MAX)

/* Everything that comes from one network address (source.h). Lives while something does. */
struct address {
    struct table_node node;
    struct net_source source;
    unsigned connections, waiting;
};

struct http_server {
    struct loop *loop;
    struct listener *listener;
    struct tls_config *tls; /* NULL: plain */
    http_handler_fn *handler;
    void *ctx;
    size_t max_body;
    int64_t timeout_ms;
    struct list connections;
    unsigned count, max, per_address;
    struct table addresses;
    unsigned waiting, limited, limited_max,
        limited_per_address; /* requests to be answered later; those that limits count */
    int64_t dated_s;
    char date[HTTP_DATE_BYTES];
};

struct http_later {
    http_gone_fn *gone;
    void *ctx;
    bool limited;
    struct http_reply reply;
};

enum place { PLACE_HEAD, PLACE_BODY, PLACE_CHUNKS, PLACE_WAITING, PLACE_CLOSING };

struct connection {
    struct list link;
    struct http_server *server; /* NULL: it was freed */
    struct stream *stream;
    struct address *address;
    struct net_peer peer;
    enum place place;
    bool in_handler, paused, is_head, keep_alive, old;
    size_t head_seen; /* bytes of an unfinished head that were looked at */
    struct buf head;  /* of a request whose body comes in pieces */
    struct buf body;
    uint64_t body_left;
    struct http_chunks chunks;
    struct http_later later;
    struct timer timer;
    int64_t active_ms, since_ms; /* a byte moved; the request began */
    size_t backlog;              /* at the last look */
};

/* What a handler's request stands for. */
struct exchange {
    struct connection *connection;
    const struct http_head *head;
    struct span query;
    struct arena arena;
};

struct span http_request_header(const struct http_request *request, const char *name)
{
    const struct exchange *x = request->priv;
    struct span value = SPAN_NONE;
    (void)http_field(x->head, name, &value);
    return value;
}

struct span http_request_query(const struct http_request *request, const char *name)
{
    struct exchange *x = request->priv;
    struct span value = SPAN_NONE;
    struct buf text;
    buf_init(&text, HTTP_HEAD_MAX);
    if (http_query_value(x->query, name, &text) && buf_ok(&text))
        value = text.len > 0 ? arena_copy(&x->arena, buf_span(&text)) : SPAN("");
    buf_wipe(&text);
    return value;
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

static void reply_init(struct http_reply *reply)
{
    *reply = (struct http_reply){ .code = 200 };
    buf_init(&reply->body, MAX_REPLY);
}

static void reply_done(struct http_reply *reply)
{
    buf_wipe(&reply->body); /* it may hold a token */
    for (size_t i = 0; i < reply->header_count; i++)
        free(reply->headers[i].value);
    reply->header_count = 0;
}

/* -- addresses ------------------------------------------------------------------------------------------- */

static bool same_source(const struct table_node *node, const void *source)
{
    const struct address *a = CONTAINER_OF(node, const struct address, node);
    return a->source.bits == ((const struct net_source *)source)->bits;
}

static struct address *address_get(struct http_server *server, struct net_source source)
{
    uint64_t hash = table_hash(&server->addresses, span_of(&source, sizeof source));
    struct table_node *node = table_find(&server->addresses, hash, same_source, &source);
    if (node != NULL)
        return CONTAINER_OF(node, struct address, node);
    struct address *a = calloc(1, sizeof *a);
    if (a == NULL)
        return NULL;
    a->source = source;
    table_insert(&server->addresses, &a->node, hash);
    return a;
}

static void address_put(struct http_server *server, struct address *a)
{
    if (--a->connections > 0)
        return;
    table_remove(&server->addresses, &a->node);
    free(a);
}

/* -- answering ------------------------------------------------------------------------------------------- */

static const char *date_now(struct http_server *server)
{
    int64_t now = server->loop->now.wall.s;
    if (server->dated_s != now)
        http_date(now, server->date);
    server->dated_s = now;
    return server->date;
}

/* RFC 9110 8.6: none with 204 and 304; with HEAD it says what GET would have sent. */
static bool print_head(struct connection *c, const struct http_reply *reply, struct buf *out)
{
    http_put_status_line(out, reply->code);
    put_fmt(out, "Date: %s\r\n", date_now(c->server));
    for (size_t i = 0; i < reply->header_count; i++) {
        put_str(out, reply->headers[i].name);
        put_str(out, ": ");
        put_str(out, reply->headers[i].value);
        put_str(out, "\r\n");
    }
    if (reply->code != 204 && reply->code != 304)
        put_fmt(out, "Content-Length: %zu\r\n", reply->body.len);
    if (!c->keep_alive)
        put_str(out, "Connection: close\r\n");
    else if (c->old)
        put_str(out, "Connection: keep-alive\r\n");
    put_str(out, "\r\n");
    return buf_ok(out);
}

static void close_connection(struct connection *c)
{
    c->place = PLACE_CLOSING;
    stream_close(c->stream);
}

/* The reply goes out, and the next request may come. */
static void send_reply(struct connection *c, struct http_reply *reply)
{
    struct buf head;
    if (!buf_ok(&reply->body)) {
        reply_done(reply);
        reply_init(reply);
        reply->code = 500;
    }
    buf_init(&head, REPLY_HEAD_MAX);
    bool printed = print_head(c, reply, &head);
    size_t body_len = c->is_head || reply->code == 204 || reply->code == 304 ? 0 : reply->body.len;
    uint8_t *room = printed ? stream_append(c->stream, head.len + body_len) : NULL;
    if (room != NULL) {
        memcpy(room, head.p, head.len);
        if (body_len > 0)
            memcpy(room + head.len, reply->body.p, body_len);
    }
    buf_wipe(&head);
    reply_done(reply);
    c->place = PLACE_HEAD;
    c->since_ms = c->active_ms = c->server->loop->now.mono.ms;
    if (room == NULL || !c->keep_alive)
        close_connection(c);
}

static void refuse(struct connection *c, int code)
{
    struct http_reply reply;
    reply_init(&reply);
    reply.code = code;
    c->keep_alive = false;
    send_reply(c, &reply);
}

static void look_at_cert(const struct connection *c, struct http_request *request)
{
    const struct tls_session *tls = stream_tls(c->stream);
    if (tls == NULL)
        return;
    request->cert_der = tls_peer_cert(tls);
    request->cert_verified = request->cert_der.len > 0 && tls_peer_verified(tls);
}

static void handle(struct connection *c, const struct http_head *head, const struct http_framing *framing,
                   struct span body)
{
    struct exchange exchange = { .connection = c, .head = head, .query = framing->query };
    struct http_request request = {
        .method = head->start[0], .path = framing->path, .body = body, .peer = c->peer, .priv = &exchange
    };
    struct http_reply reply;
    reply_init(&reply);
    arena_init(&exchange.arena, QUERY_MAX);
    look_at_cert(c, &request);
    c->is_head = framing->is_head;
    c->keep_alive = framing->keep_alive;
    c->old = framing->old;
    c->in_handler = true;
    c->server->handler(c->server->ctx, &request, &reply);
    c->in_handler = false;
    if (c->place == PLACE_WAITING)
        reply_done(&reply);
    else
        send_reply(c, &reply);
    arena_done(&exchange.arena);
}

/* -- requests -------------------------------------------------------------------------------------------- */

/* The body has come whole; the head was kept, and can be parsed, since it was before. */
static void handle_kept(struct connection *c)
{
    struct http_head head;
    struct http_framing framing;
    int code = 400;
    enum status st = http_request_parse(buf_span(&c->head), &head, NULL);
    if (st == ST_OK)
        st = http_framing_of(&head, &framing, &code, NULL);
    if (st == ST_OK)
        handle(c, &head, &framing, buf_span(&c->body));
    else
        refuse(c, code);
    buf_wipe(&c->head);
    buf_wipe(&c->body); /* it may hold a client's secret */
}

/* The rest of the body is to come. */
static void begin_body(struct connection *c, struct span head, const struct http_framing *framing)
{
    buf_init(&c->head, HTTP_HEAD_MAX);
    buf_init(&c->body, c->server->max_body);
    put_bytes(&c->head, head);
    c->body_left = framing->length;
    c->chunks = (struct http_chunks){ 0 };
    c->place = framing->chunked ? PLACE_CHUNKS : PLACE_BODY;
    c->keep_alive = framing->keep_alive;
    if (framing->expect_continue)
        stream_send(c->stream, SPAN("HTTP/1.1 100 Continue\r\n\r\n"));
    if (!buf_ok(&c->head))
        stream_abort(c->stream, ST_NO_MEMORY, (struct why){ "memory", "out of memory", 0 });
}

/* One byte more than a head may have is enough to see that it is too long. */
static size_t take_head(struct connection *c, struct span in)
{
    struct http_head head;
    struct http_framing framing;
    size_t skip = 0;
    int code = 400;
    while (skip + 1 < in.len && in.p[skip] == '\r' && in.p[skip + 1] == '\n')
        skip += 2; /* RFC 9112 2.2 */
    struct span text = span_cut(in, skip, HTTP_HEAD_MAX);
    size_t len = http_head_end(text, skip > 0 ? 0 : c->head_seen);
    if (len == 0) {
        c->head_seen = text.len;
        if (text.len == HTTP_HEAD_MAX)
            refuse(c, 431);
        return skip;
    }
    c->head_seen = 0;
    text.len = len;
    enum status st = http_request_parse(text, &head, NULL);
    if (st != ST_OK) {
        refuse(c, st == ST_TOO_LARGE ? 431 : 400);
        return skip;
    }
    if (http_framing_of(&head, &framing, &code, NULL) != ST_OK || framing.length > c->server->max_body) {
        c->is_head = framing.is_head;
        refuse(c, framing.length > c->server->max_body ? 413 : code);
        return skip;
    }
    struct span body = span_cut(in, skip + len, framing.length);
    if (framing.chunked || body.len < framing.length) {
        begin_body(c, text, &framing);
        return skip + len;
    }
    handle(c, &head, &framing, body);
    return skip + len + body.len;
}

static size_t take_body(struct connection *c, struct span in)
{
    size_t some = in.len < c->body_left ? in.len : (size_t)c->body_left;
    put_bytes(&c->body, span_cut(in, 0, some));
    c->body_left -= some;
    if (!buf_ok(&c->body))
        refuse(c, 500);
    else if (c->body_left == 0)
        handle_kept(c);
    return some;
}

static size_t take_chunks(struct connection *c, struct span in)
{
    struct span rest = in;
    enum status st = http_chunks_read(&c->chunks, &rest, &c->body);
    if (st != ST_OK)
        refuse(c, st == ST_TOO_LARGE ? 413 : st == ST_NO_MEMORY ? 500 : 400);
    else if (c->chunks.state == CHUNKS_DONE)
        handle_kept(c);
    return in.len - rest.len;
}

/* Nothing is handled while something is being answered, or while nobody fetches the answers. */
static bool may_go_on(const struct connection *c)
{
    return c->server != NULL && c->place < PLACE_WAITING && !stream_congested(c->stream);
}

static size_t on_data(void *ctx, struct span data)
{
    struct connection *c = ctx;
    size_t used = 0, some = 1;
    if (c->server == NULL)
        return data.len;
    c->active_ms = c->server->loop->now.mono.ms;
    if (c->place == PLACE_HEAD && c->head_seen == 0)
        c->since_ms = c->active_ms;
    while (used < data.len && some > 0 && may_go_on(c)) {
        struct span in = span_cut(data, used, data.len);
        some = c->place == PLACE_HEAD   ? take_head(c, in)
               : c->place == PLACE_BODY ? take_body(c, in)
                                        : take_chunks(c, in);
        used += some;
    }
    if (c->place == PLACE_CLOSING)
        return data.len;
    if (used < data.len && !may_go_on(c)) {
        c->paused = true;
        stream_pause(c->stream);
    }
    return used;
}

static void go_on(struct connection *c)
{
    if (!c->paused || !may_go_on(c))
        return;
    c->paused = false;
    stream_resume(c->stream);
}

static void on_drained(void *ctx)
{
    go_on(ctx);
}

/* -- answers that come later ----------------------------------------------------------------------------- */

static void later_end(struct connection *c)
{
    struct http_server *server = c->server;
    server->waiting--;
    if (c->later.limited) {
        server->limited--;
        c->address->waiting--;
    }
}

static struct http_later *later_new(const struct http_request *request, bool limited, http_gone_fn *gone,
                                    void *ctx)
{
    struct connection *c = ((const struct exchange *)request->priv)->connection;
    struct http_server *server = c->server;
    ASSERT(c->in_handler && c->place != PLACE_WAITING);
    if (limited && (server->limited >= server->limited_max ||
                    (server->limited_per_address != 0 && c->address->waiting >= server->limited_per_address)))
        return NULL;
    server->waiting++;
    if (limited) {
        server->limited++;
        c->address->waiting++;
    }
    c->place = PLACE_WAITING;
    c->later.gone = gone;
    c->later.ctx = ctx;
    c->later.limited = limited;
    reply_init(&c->later.reply);
    return &c->later;
}

struct http_later *http_later_new(const struct http_request *request, http_gone_fn *gone, void *ctx)
{
    return later_new(request, true, gone, ctx);
}

struct http_later *http_soon_new(const struct http_request *request, http_gone_fn *gone, void *ctx)
{
    struct http_later *later = later_new(request, false, gone, ctx);
    if (later != NULL)
        stream_hold_end(CONTAINER_OF(later, struct connection, later)->stream, true);
    return later;
}

struct http_reply *http_later_reply(struct http_later *later)
{
    return &later->reply;
}

void http_later_send(struct http_later *later_take)
{
    struct connection *c = CONTAINER_OF(later_take, struct connection, later);
    ASSERT(c->place == PLACE_WAITING && !c->in_handler);
    later_end(c);
    send_reply(c, &c->later.reply);
    stream_hold_end(c->stream, false);
    go_on(c);
}

static void give_up(struct connection *c)
{
    if (c->place != PLACE_WAITING)
        return;
    c->place = PLACE_CLOSING;
    later_end(c);
    reply_done(&c->later.reply);
    c->later.gone(c->later.ctx);
}

size_t http_server_waiting(const struct http_server *server)
{
    return server->waiting;
}

/* -- connections ----------------------------------------------------------------------------------------- */

static void leave_server(struct connection *c)
{
    struct http_server *server = c->server;
    if (server == NULL)
        return;
    give_up(c);
    timer_stop(&server->loop->wheel, &c->timer);
    list_remove(&c->link);
    server->count--;
    address_put(server, c->address);
    c->server = NULL;
}

static void on_closed(void *ctx, enum status st, const struct why *why)
{
    struct connection *c = ctx;
    (void)st;
    (void)why;
    leave_server(c);
    buf_wipe(&c->head);
    buf_wipe(&c->body);
    free(c);
}

static bool is_busy(const struct connection *c)
{
    return c->place != PLACE_HEAD || c->head_seen > 0 || stream_backlog(c->stream) > 0;
}

/* Idle for too long, or at one request for too long however busily: RFC 9110 15.5.9 lets us close without a word. */
static void on_timer(struct timer *timer, struct now now)
{
    struct connection *c = CONTAINER_OF(timer, struct connection, timer);
    int64_t timeout = c->server->timeout_ms, at;
    if (c->place == PLACE_WAITING)
        c->active_ms = c->since_ms = now.mono.ms;
    if (stream_backlog(c->stream) < c->backlog)
        c->active_ms = now.mono.ms;
    c->backlog = stream_backlog(c->stream);
    at = c->active_ms + timeout;
    if (is_busy(c) && at > c->since_ms + PATIENCE * timeout)
        at = c->since_ms + PATIENCE * timeout;
    if (at > now.mono.ms)
        timer_start(&c->server->loop->wheel, timer, (struct mono_time){ at });
    else if (is_busy(c))
        stream_abort(c->stream, ST_TIMEOUT, (struct why){ "https.timeout", "the request takes too long", 0 });
    else
        close_connection(c);
}

static const struct stream_events events = { .on_data = on_data,
                                             .on_drained = on_drained,
                                             .on_closed = on_closed };

static enum status open_stream(struct http_server *server, int fd, struct connection *c)
{
    struct stream_settings settings = {
        .handshake_ms = server->timeout_ms,
        .secret = true, /* tokens, keys */
        .unread_max = UNREAD_MAX + HTTP_HEAD_MAX,
        .high_water = HIGH_WATER,
        .backlog_max = MAX_REPLY + HIGH_WATER + HTTP_HEAD_MAX,
    };
    enum status st = server->tls != NULL ? tls_session_new_server(server->tls, &settings.tls, NULL) : ST_OK;
    if (st != ST_OK) {
        close(fd);
        return st;
    }
    return stream_new(server->loop, fd, &settings, &events, c, &c->stream, NULL);
}

static void on_accept(void *ctx, int fd, const struct net_peer *peer)
{
    struct http_server *server = ctx;
    struct address *address = server->count < server->max ? address_get(server, peer->source) : NULL;
    struct connection *c = calloc(1, sizeof *c);
    if (address == NULL || c == NULL ||
        (server->per_address != 0 && address->connections >= server->per_address)) {
        if (address != NULL) { /* perhaps just made */
            address->connections++;
            address_put(server, address);
        }
        free(c);
        close(fd);
        return;
    }
    address->connections++;
    if (open_stream(server, fd, c) != ST_OK) {
        address_put(server, address);
        free(c);
        return;
    }
    c->server = server;
    c->address = address;
    c->peer = *peer;
    c->active_ms = c->since_ms = server->loop->now.mono.ms;
    server->count++;
    list_append(&server->connections, &c->link);
    timer_init(&c->timer, on_timer);
    timer_start(&server->loop->wheel, &c->timer, mono_plus_ms(server->loop->now.mono, server->timeout_ms));
}

/* -- the server ------------------------------------------------------------------------------------------ */

enum status http_server_set_tls(struct http_server *server, const char *cert_file, const char *key_file,
                                const char *client_ca_file, struct why *why)
{
    const struct tls_settings settings = {
        .cert_file = cert_file,
        .key_file = key_file,
        .ca_file = client_ca_file,
        .client_cert = client_ca_file != NULL ? TLS_CLIENT_CERT_OPTIONAL : TLS_CLIENT_CERT_NONE,
        .no_tickets = true,
    };
    struct tls_config *fresh = NULL;
    enum status st = tls_config_new_server(&settings, &fresh, why);
    if (st != ST_OK)
        return st;
    tls_config_unref(server->tls);
    server->tls = fresh;
    return ST_OK;
}

static void take_settings(struct http_server *server, const struct http_server_settings *s)
{
    server->max_body = s->max_body != 0 ? s->max_body : MAX_BODY;
    server->timeout_ms = (s->timeout_s != 0 ? s->timeout_s : TIMEOUT_S) * (int64_t)MS_PER_S;
    server->max = s->max_connections != 0 ? s->max_connections : MAX_CONNECTIONS;
    server->per_address = s->max_connections_per_address;
    server->limited_max = s->max_waiting != 0 ? s->max_waiting : server->max / 2;
    server->limited_per_address = s->max_waiting_per_address;
}

static enum status start(struct http_server *server, const struct http_server_settings *s, struct why *why)
{
    const struct listener_settings where = { .address = s->address, .port = s->port };
    struct hash_key key;
    enum status st = random_bytes(&key, sizeof key);
    if (st == ST_OK)
        st = table_init(&server->addresses, key);
    if (st != ST_OK)
        return reject(why, st, "memory", "out of memory", 0);
    if (s->cert_file != NULL)
        st = http_server_set_tls(server, s->cert_file, s->key_file, s->client_ca_file, why);
    return st == ST_OK ? listener_new(server->loop, &where, on_accept, server, &server->listener, why) : st;
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
    list_init(&server->connections);
    take_settings(server, settings);
    enum status st = start(server, settings, why);
    if (st != ST_OK) {
        http_server_free(server);
        return st;
    }
    *ret_server = server;
    return ST_OK;
}

/* Connections stay with their streams, which the loop owns, until those have closed. */
void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    listener_free(server->listener);
    LIST_EACH_SAFE (link, &server->connections) {
        struct connection *c = CONTAINER_OF(link, struct connection, link);
        leave_server(c);
        stream_close(c->stream);
    }
    streams_flush(server->loop);
    tls_config_unref(server->tls);
    table_done(&server->addresses);
    free(server);
}

uint16_t http_server_port(const struct http_server *server)
{
    return listener_port(server->listener);
}
