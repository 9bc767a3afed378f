/* The connections of a worker: from accept() over TLS to the shard, and from the shard back to the stream. */
#include "broker/worker_priv.h"

#include "shard/peer.h"
#include "shard/pressure.h"
#include "shard/throttle.h"
#include "token/auth_data.h"
#include "token/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define UNREAD_SLACK 4096

/* What a connection takes that is idle: measured (tests/blackbox/z_bounds_test.py looks whether it is still so). */
#define PLAIN_BYTES 1024
#define TLS_BYTES   (10u * 1024)

/* -- addresses (source.h) -------------------------------------------------------------------------------- */

static struct log log_of(const struct conn_io *io)
{
    return (struct log){ .parent = &io->worker->log, .source = peer_source(span_of_str(io->address)) };
}

/* In the line of those who are not authorized yet, the oldest first. */
static void join_line(struct conn_io *io)
{
    io->in_line = true;
    list_append(&io->worker->line, &io->line);
    io->worker->line_count++;
    atomic_fetch_add_explicit(&io->worker->common->arriving, 1, memory_order_relaxed);
}

static void leave_line(struct conn_io *io)
{
    if (!io->in_line)
        return;
    io->in_line = false;
    list_remove(&io->line);
    io->worker->line_count--;
    atomic_fetch_sub_explicit(&io->worker->common->arriving, 1, memory_order_relaxed);
}

static void conn_welcome(void *ctx, struct conn_io *io)
{
    (void)ctx;
    leave_line(io);
    if (!io->arrived)
        source_arrived(io->worker->common->sources, io->source);
    io->arrived = true;
}

/* What no honest client does. Enough of it, and its address is not let in for a while. */
static void blame(struct conn_io *io)
{
    struct worker *w = io->worker;
    int64_t ms = source_fault(w->common->sources, io->source, loop_now(w->loop).mono);
    char address[NET_SOURCE_TEXT];

    if (ms == 0)
        return;
    atomic_fetch_add_explicit(&w->refused.bans, 1, memory_order_relaxed);
    net_source_format(io->source, address);
    log_event(&w->log, LOG_WARNING, "address_banned", F_STR("address", address), F_I64("ms", ms));
}

static void conn_fault(void *ctx, struct conn_io *io)
{
    (void)ctx;
    blame(io);
}

/* -- the stream's events --------------------------------------------------------------------------------- */

static struct now now_of(const struct conn_io *io)
{
    return loop_now(io->worker->loop);
}

static void introduce(struct conn_io *io, bool moved)
{
    struct worker *w = io->worker;
    if (!w->stopping)
        io->conn = shard_accept(w->shard, io, span_of_str(io->address), moved, now_of(io));
    if (io->conn == NULL)
        stream_close(io->stream); /* shard_accept() has logged why */
}

static void on_ready(void *ctx)
{
    introduce(ctx, false);
}

static size_t on_data(void *ctx, struct span data)
{
    struct conn_io *io = ctx;
    if (io->conn == NULL)
        return 0;
    return shard_input(io->worker->shard, io->conn, data, now_of(io));
}

static void on_drained(void *ctx)
{
    struct conn_io *io = ctx;
    if (io->conn != NULL)
        shard_output_drained(io->worker->shard, io->conn, now_of(io));
}

/* Only this worker's thread writes it. */
static void count_bytes(struct worker *w, uint64_t more)
{
    atomic_store_explicit(&w->connection_bytes,
                          atomic_load_explicit(&w->connection_bytes, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

static void join_worker(struct conn_io *io, struct worker *w)
{
    io->worker = w;
    list_append(&w->conns, &io->link);
    w->conn_count++;
    count_bytes(w, io->bytes);
}

static void leave_worker(struct conn_io *io)
{
    list_remove(&io->link);
    io->worker->conn_count--;
    count_bytes(io->worker, 0 - (uint64_t)io->bytes);
}

static void on_moved(void *ctx)
{
    struct conn_io *io = ctx;
    join_worker(io, TAKE(io->move_to));
    if (io->was_in_line)
        join_line(io); /* at its end: newer ones were not here before it */
    introduce(io, true);
}

static void give_place(const struct worker_common *common)
{
    if (common->settings->pressure != NULL)
        pressure_give(common->settings->pressure, COUNT_SOCKETS, 1);
}

static void on_closed(void *ctx, enum status st, const struct why *why)
{
    struct conn_io *io = ctx;
    const struct tls_session *tls = stream_tls(io->stream);
    const struct ws *ws = stream_ws(io->stream);
    struct log log = log_of(io);
    if (io->conn != NULL) {
        shard_closed(io->worker->shard, TAKE(io->conn), why->text, now_of(io));
    } else if (st != ST_OK && tls != NULL && !tls_established(tls)) {
        log_event(&log, LOG_INFO, "tls_refused", F_STR("peer", io->address), F_WHY(st, *why));
        /* Who does not trust our certificate says so with an alert: that is no attack. */
        if (st == ST_PROTOCOL && !tls_alerted(tls) && !io->excused)
            blame(io);
    } else if (st != ST_OK && ws != NULL && !ws_upgraded(ws)) {
        log_event(&log, LOG_INFO, "websocket_refused", F_STR("peer", io->address),
                  F_SPAN("origin", ws_refused_origin(ws)), F_WHY(st, *why));
        if (st == ST_PROTOCOL || st == ST_MALFORMED)
            blame(io);
    }
    if (io->move_to == NULL)
        leave_worker(io);
    else
        log_event(&io->worker->log, LOG_DEBUG, "lost_while_moving", F_STR("peer", io->address));
    source_left(io->worker->common->sources, io->source, io->arrived);
    leave_line(io);
    give_place(io->worker->common);
    token_unref(io->built_in);
    free(io);
}

static const struct stream_events stream_events = { on_ready, on_data, on_drained, on_moved, on_closed };

/* -- accepting ------------------------------------------------------------------------------------------- */

bool worker_psk_find(void *conn_io, struct span identity, struct buf *key)
{
    struct conn_io *io = conn_io;
    bool fault = false;
    bool found = shard_psk_key(io->worker->shard, identity, span_of_str(io->address), now_of(io), key, &fault);
    io->excused = !found && !fault; /* its token has ended, say: that the handshake fails now is no attack */
    return found;
}

static enum status open_stream(struct worker_listener *l, int fd, struct conn_io *io, struct why *why)
{
    const struct worker_common *common = l->worker->common;
    const struct shard_settings *settings = common->settings;
    struct stream_settings how = {
        .handshake_ms = common->handshake_ms,
        .unread_max = (settings->max_packet_bytes > settings->max_connect_bytes ? settings->max_packet_bytes
                                                                                : settings->max_connect_bytes) +
                      UNREAD_SLACK,
        /* The shard stops at max_output_bytes and waits for on_drained(): the stream must have noticed as well. */
        .high_water = settings->max_output_bytes - 1,
        .backlog_max = 2 * settings->max_output_bytes + 2 * (size_t)settings->max_packet_bytes,
    };
    enum status st = ST_OK;
    if (l->tls != NULL)
        st = tls_session_new_server(l->tls, &how.tls, why);
    if (st == ST_OK && l->ws != NULL)
        st = ws_new_server(l->ws, &how.ws, why);
    if (st != ST_OK) {
        tls_session_free(how.tls);
        close(fd);
        return st;
    }
    if (how.tls != NULL)
        tls_session_set_psk_ctx(how.tls, io);
    return stream_new(l->worker->loop, fd, &how, &stream_events, io, &io->stream, why);
}

/* The shard counts only those past TLS; here all are counted, so that handshakes cannot exhaust memory, and at the limit
 * of all memory there is not even one more of these. */
static bool take_place(const struct worker *w)
{
    const struct shard_settings *settings = w->common->settings;
    uint32_t most = throttle_connections_most(settings->max_connections);

    if (settings->pressure == NULL)
        return w->conn_count < most;
    return !pressure_is_full(settings->pressure) && pressure_take(settings->pressure, COUNT_SOCKETS, 1, most);
}

/* At once and without a trace in the kernel: no time-wait, nothing that is still sent. */
static void turn_away(int fd)
{
    const struct linger at_once = { .l_onoff = 1 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

static void refuse_fd(struct worker *w, int fd, const struct net_peer *peer, struct token *built_in)
{
    const struct pressure *pressure = w->common->settings->pressure;
    bool memory = pressure != NULL && pressure_is_full(pressure);

    log_event(&w->log, LOG_WARNING, "connection_refused",
              F_STR("clause", memory ? "limits.memory" : "limits.connections"), F_STR("peer", peer->address));
    source_left(w->common->sources, peer->source, false);
    turn_away(fd);
    token_unref(built_in);
}

/* Too many are not authorized yet: whoever has been at it for the longest goes. An honest client is done long before its
 * turn comes; those who take their time take it from each other. */
static void make_room(struct worker *w)
{
    const struct why why = { "limits.handshakes", "newer connections need the room", 0 };
    uint32_t share = w->common->max_arriving / w->common->count;
    if (w->common->max_arriving == 0 || w->line_count < (share > 0 ? share : 1))
        return;
    struct conn_io *io = CONTAINER_OF(w->line.next, struct conn_io, line);
    atomic_fetch_add_explicit(&w->refused.handshakes, 1, memory_order_relaxed);
    leave_line(io);
    if (io->conn != NULL)
        shard_closed(w->shard, TAKE(io->conn), why.text, now_of(io));
    stream_abort(io->stream, ST_QUOTA, why);
}

/* False: it is turned away, and said so where that is news. */
static bool let_in(struct worker *w, const struct net_peer *peer)
{
    struct log log = { .parent = &w->log, .source = peer_source(span_of_str(peer->address)) };
    const char *clause = NULL;

    switch (source_connects(w->common->sources, peer->source, loop_now(w->loop).mono)) {
    case SOURCE_BANNED: /* address_banned has told it */
        atomic_fetch_add_explicit(&w->refused.banned, 1, memory_order_relaxed);
        return false;
    case SOURCE_TOO_FAST:
        atomic_fetch_add_explicit(&w->refused.fast, 1, memory_order_relaxed);
        clause = "hostile.connects";
        break;
    case SOURCE_TOO_MANY:
        atomic_fetch_add_explicit(&w->refused.many, 1, memory_order_relaxed);
        clause = "limits.connections_per_address";
        break;
    case SOURCE_WELCOME:
        make_room(w);
        return true;
    }
    log_event(&log, LOG_WARNING, "connection_refused", F_STR("clause", clause), F_STR("peer", peer->address));
    return false;
}

/* `built_in` (may be NULL) is taken. */
static void take_fd(struct worker_listener *l, int fd, const struct net_peer *peer, struct token *built_in)
{
    struct worker *w = l->worker;
    struct why why;
    struct conn_io *io;

    if (!take_place(w)) {
        refuse_fd(w, fd, peer, built_in);
        return;
    }
    if ((io = calloc(1, sizeof *io + strlen(peer->address) + 1)) == NULL) {
        give_place(w->common);
        refuse_fd(w, fd, peer, built_in);
        return;
    }
    io->bytes = l->tls != NULL ? TLS_BYTES : PLAIN_BYTES;
    io->source = peer->source;
    memcpy(io->address, peer->address, strlen(peer->address) + 1);
    io->built_in = built_in;
    join_worker(io, w);
    if (built_in == NULL)
        join_line(io);
    enum status st = open_stream(l, fd, io, &why);
    if (st != ST_OK) {
        log_event(&w->log, LOG_ERROR, "connection_refused", F_STR("peer", peer->address), F_WHY(st, why));
        leave_worker(io);
        leave_line(io);
        source_left(w->common->sources, peer->source, false);
        give_place(w->common);
        token_unref(built_in);
        free(io);
    }
}

void worker_accept(void *worker_listener, int fd, const struct net_peer *peer)
{
    struct worker_listener *l = worker_listener;
    if (let_in(l->worker, peer))
        take_fd(l, fd, peer, NULL);
    else
        turn_away(fd);
}

void worker_take_built_in(struct worker *w, int fd, struct token *token)
{
    struct worker_listener plain = { .worker = w };
    const struct net_peer peer = { .address = "built-in", .is_loopback = true };

    if (w->stopping) {
        close(fd);
        token_unref(token);
        return;
    }
    take_fd(&plain, fd, &peer, token);
}

void worker_abort_strangers(struct worker *w)
{
    LIST_EACH_SAFE (it, &w->conns) {
        struct conn_io *io = CONTAINER_OF(it, struct conn_io, link);
        if (io->conn == NULL)
            stream_close(io->stream);
    }
}

/* -- the shard's requests -------------------------------------------------------------------------------- */

static uint8_t *conn_append(void *ctx, struct conn_io *io, size_t len)
{
    (void)ctx;
    return stream_append(io->stream, len);
}

static size_t conn_pending(void *ctx, struct conn_io *io)
{
    (void)ctx;
    return stream_backlog(io->stream);
}

static void conn_close(void *ctx, struct conn_io *io)
{
    (void)ctx;
    io->conn = NULL;
    stream_close(io->stream);
}

static void conn_move(void *ctx, struct conn_io *io, unsigned home)
{
    struct worker *w = ctx;
    struct worker *to = w->common->workers[home];
    io->conn = NULL;
    leave_worker(io);
    io->was_in_line = io->in_line;
    leave_line(io);
    io->move_to = to; /* arrives there in on_moved(), with every byte shard_input() did not consume */
    stream_move(io->stream, to->loop);
}

static enum exporter_result conn_exporter(void *ctx, struct conn_io *io, uint8_t out[32])
{
    struct worker *w = ctx;
    struct tls_session *tls = stream_tls(io->stream);
    struct why why;
    if (tls == NULL)
        return EXPORTER_NONE;
    if (tls_resumed(tls))
        return EXPORTER_RESUMED;
    if (out == NULL)
        return EXPORTER_OK;
    enum status st = tls_exporter(tls, SPAN(ACE_EXPORTER_LABEL), out, ACE_EXPORTER_LEN, &why);
    if (st == ST_OK)
        return EXPORTER_OK;
    log_event(&w->log, LOG_ERROR, "exporter_failed", F_WHY(st, why));
    return EXPORTER_NONE;
}

static void conn_identity(void *ctx, struct conn_io *io, struct conn_identity *out)
{
    const struct tls_session *tls = stream_tls(io->stream);
    (void)ctx;
    *out = (struct conn_identity){ .kind = IDENTITY_NONE };
    if (io->built_in != NULL) {
        *out = (struct conn_identity){ .kind = IDENTITY_BUILT_IN, .built_in = io->built_in };
        return;
    }
    switch (tls == NULL ? TLS_PEER_NONE : tls_peer_kind(tls)) {
    case TLS_PEER_NONE:
        break;
    case TLS_PEER_RAW_KEY:
        *out = (struct conn_identity){ .kind = IDENTITY_RAW_KEY, .bytes = tls_peer_raw_key(tls) };
        break;
    case TLS_PEER_PSK:
        *out = (struct conn_identity){ .kind = IDENTITY_PSK,
                                       .bytes = tls_peer_psk_identity(tls),
                                       .key = tls_peer_psk_key(tls) };
        break;
    case TLS_PEER_X509:
        *out = (struct conn_identity){ .kind = IDENTITY_X509,
                                       .bytes = tls_peer_cert(tls),
                                       .verified = tls_peer_verified(tls) };
        break;
    }
}

static void conn_pause(void *ctx, struct conn_io *io, bool pause)
{
    (void)ctx;
    if (pause)
        stream_pause(io->stream);
    else
        stream_resume(io->stream);
}

void worker_new_ticket_keys(struct timer *timer, struct now now)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, ticket_timer);
    struct why why;

    for (unsigned i = 0; i < w->listener_count; i++)
        if (w->listeners[i].tls != NULL && tls_config_new_ticket_key(w->listeners[i].tls, &why) != ST_OK)
            log_event(&w->log, LOG_ERROR, "ticket_key_not_changed", F_STR("clause", why.clause),
                      F_STR("why", why.text));
    timer_start(loop_timers(w->loop), timer, mono_plus_ms(now.mono, WORKER_TICKET_KEY_MS));
}

void worker_fill_conn_world(struct shard_world *world)
{
    world->conn_append = conn_append;
    world->conn_pending = conn_pending;
    world->conn_close = conn_close;
    world->conn_move = conn_move;
    world->conn_exporter = conn_exporter;
    world->conn_identity = conn_identity;
    world->conn_pause = conn_pause;
    world->conn_welcome = conn_welcome;
    world->conn_fault = conn_fault;
}
