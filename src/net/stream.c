#include "net/stream_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HANDSHAKE_MS 10000
#define LINGER_MS    2000
#define UNREAD_MAX   (256u * 1024)
#define HIGH_WATER   (256u * 1024)
#define BACKLOG_MAX  (16u * 1024 * 1024)
#define FLUSH_AT     (128u * 1024)

/* Probes of TCP on a silent connection: it is given up after five minutes. */
#define PROBE_AFTER_S 180
#define PROBE_EVERY_S 30
#define PROBES        4

static void on_watch(struct loop_watch *watch, uint32_t events);
static void stream_chore(struct chore *chore);

/* -- polling --------------------------------------------------------------------------------------------- */

/* Leaves the kernel's set at once, so the descriptor may be closed or moved. */
static void poll_drop(struct stream *s)
{
    s->polls = false;
    loop_watch_set(s->loop, &s->watch, s->fd, s->watched, 0);
    s->watched = 0;
}

bool stream_wants_input(const struct stream *s)
{
    if (s->eof)
        return false;
    return s->state == STREAM_HANDSHAKING || s->state == STREAM_UPGRADING || s->state == STREAM_FLUSHING ||
           s->state == STREAM_LINGERING || (s->state == STREAM_OPEN && !s->paused && !s->ended);
}

void stream_poll_update(struct stream *s)
{
    if (!s->polls)
        return;
    uint32_t events =
        (stream_wants_input(s) ? (uint32_t)EPOLLIN : 0) | (s->pending.len > 0 ? (uint32_t)EPOLLOUT : 0);
    if (events == s->watched)
        return;
    if (loop_watch_set(s->loop, &s->watch, s->fd, s->watched, events))
        s->watched = events;
    else
        stream_die(s, ST_NO_MEMORY, stream_why("memory", "out of memory"));
}

/* -- the end --------------------------------------------------------------------------------------------- */

void stream_die(struct stream *s, enum status st, struct why why)
{
    if (s->state == STREAM_DEAD)
        return;
    if (s->cancel_dial != NULL) {
        s->cancel_dial(s->dialing);
        s->cancel_dial = NULL;
    }
    if (s->end_why.clause == NULL) { /* else stream_close() or the peer's end came first and is the reason */
        s->end_st = st;
        s->end_why = why;
    }
    s->state = STREAM_DEAD;
    s->moving = false;
    timer_stop(&s->loop->wheel, &s->timer);
    poll_drop(s);
    list_remove(&s->in_dirty);
    loop_chore(s->loop, &s->chore);
}

static void stream_free(struct stream *s)
{
    list_remove(&s->in_all);
    list_remove(&s->in_dirty);
    list_remove(&s->chore.link);
    stream_weigh(s, 0);
    if (s->fd >= 0)
        close(s->fd);
    tls_session_free(s->tls);
    ws_free(s->ws);
    buf_done(&s->gather);
    buf_done(&s->pending);
    buf_wipe(&s->unread);
    free(s);
}

void stream_begin_close(struct stream *s, enum status st, struct why why)
{
    if (s->state >= STREAM_FLUSHING)
        return;
    if (s->state != STREAM_OPEN && st == ST_OK) {
        stream_die(s, ST_OK, why);
        return;
    }
    s->end_st = st;
    s->end_why = why;
    s->state = STREAM_FLUSHING;
    s->paused = false;
    s->moving = false;
    timer_start(&s->loop->wheel, &s->timer, mono_plus_ms(s->loop->now.mono, s->linger_ms));
    stream_dirty(s);
    stream_poll_update(s);
    loop_chore(s->loop, &s->chore);
}

static void on_timer(struct timer *timer, struct now now)
{
    struct stream *s = CONTAINER_OF(timer, struct stream, timer);
    (void)now;
    if (s->broken)
        stream_die(s, ST_IO, stream_why("connection", "the peer is gone"));
    else if (s->state == STREAM_HANDSHAKING)
        stream_die(s, ST_TIMEOUT, stream_why("limits.handshake_timeout", "the TLS handshake took too long"));
    else if (s->state == STREAM_UPGRADING)
        stream_die(s, ST_TIMEOUT,
                   stream_why("limits.handshake_timeout", "the upgrade to WebSocket took too long"));
    else
        stream_die(s, ST_OK, JUST_CLOSED);
}

/* -- events ---------------------------------------------------------------------------------------------- */

/* The peer reset the connection, perhaps only because it closed with bytes of ours unread. What it had sent before is
 * still there to be read, and counts. */
static void on_error(struct stream *s)
{
    loop_watch_set(s->loop, &s->watch, s->fd, s->watched, 0); /* an error would be reported for ever */
    s->watched = 0;
    if (s->moving)
        return; /* found again on arrival */
    while (stream_wants_input(s) && !s->moving && stream_read(s))
        continue;
    if (!s->moving)
        stream_die(s, s->state >= STREAM_FLUSHING ? ST_OK : ST_IO,
                   stream_why("connection", "reset by the peer"));
}

static void on_watch(struct loop_watch *watch, uint32_t events)
{
    struct stream *s = CONTAINER_OF(watch, struct stream, watch);
    if (s->watched == 0) /* an event of the same look took it out */
        return;
    loop_begin_turn(s->loop);
    if ((events & EPOLLERR) != 0) {
        on_error(s);
        return;
    }
    if ((events & (EPOLLOUT | EPOLLHUP)) != 0 && s->pending.len > 0) {
        stream_write_pending(s);
        if (s->state != STREAM_DEAD && s->pending.len == 0)
            stream_dirty(s); /* what gathered meanwhile, and stream_poll_update() */
    }
    if ((events & (EPOLLIN | EPOLLHUP)) != 0 && stream_wants_input(s) && !s->moving)
        (void)stream_read(s);
    if (s->state != STREAM_DEAD)
        stream_poll_update(s);
}

void stream_pause(struct stream *s)
{
    s->paused = true;
    stream_poll_update(s);
}

void stream_resume(struct stream *s)
{
    if (!s->paused)
        return;
    s->paused = false;
    if ((s->unread.len > 0 || s->ended) && s->state == STREAM_OPEN) {
        s->due_unread = true;
        loop_chore(s->loop, &s->chore);
    }
    stream_poll_update(s);
}

void stream_hold_end(struct stream *s, bool holds)
{
    s->holds_end = holds;
    if (holds || !s->ended || s->state != STREAM_OPEN)
        return;
    s->due_unread = true;
    loop_chore(s->loop, &s->chore);
}

/* -- moving ---------------------------------------------------------------------------------------------- */

static void arrive(struct loop_task *task)
{
    struct stream *s = CONTAINER_OF(task, struct stream, arrival);
    s->moving = false;
    s->loop = TAKE(s->move_to);
    list_append(&s->loop->streams, &s->in_all);
    s->polls = true;
    stream_poll_update(s);
    if (s->state == STREAM_DEAD)
        return;
    stream_dirty(s); /* output that came along */
    if (s->unread.len > 0 || s->ended) {
        s->due_unread = true;
        loop_chore(s->loop, &s->chore);
    }
    if (s->events->on_moved != NULL)
        s->events->on_moved(s->ctx);
}

static void depart(struct stream *s)
{
    timer_stop(&s->loop->wheel, &s->timer);
    poll_drop(s);
    list_remove(&s->in_all);
    list_remove(&s->in_dirty);
    stream_weigh(s, 0);
    s->loop = NULL;
    s->arrival.run = arrive;
    loop_post(s->move_to, &s->arrival); /* from here on it is the other thread's */
}

void stream_move(struct stream *s, struct loop *to)
{
    ASSERT(!s->moving);
    if (s->state != STREAM_OPEN)
        return; /* on_closed() is about to say why */
    s->moving = true;
    s->move_to = to;
    loop_chore(s->loop, &s->chore);
}

/* -- life ------------------------------------------------------------------------------------------------ */

static void stream_chore(struct chore *chore)
{
    struct stream *s = CONTAINER_OF(chore, struct stream, chore);
    if (s->state == STREAM_DEAD) {
        if (s->events->on_closed != NULL)
            s->events->on_closed(s->ctx, s->end_st, &s->end_why);
        stream_free(s);
        return;
    }
    if (s->state >= STREAM_FLUSHING) /* on_data() may have been looking at it until now */
        buf_wipe(&s->unread);
    if (s->due_ready) {
        s->due_ready = false;
        if (s->state == STREAM_OPEN && s->events->on_ready != NULL)
            s->events->on_ready(s->ctx);
    }
    if (s->due_unread) {
        s->due_unread = false;
        if (s->state == STREAM_OPEN)
            stream_deliver_unread(s);
    }
    if (s->moving && s->state == STREAM_OPEN)
        depart(s);
}

static size_t or_default(size_t value, size_t fallback)
{
    return value != 0 ? value : fallback;
}

enum status stream_new_connecting(struct loop *loop, const struct stream_settings *settings,
                                  const struct stream_events *events, void *ctx, struct stream **ret_stream,
                                  struct why *why)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        tls_session_free(settings->tls);
        ws_free(settings->ws);
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    s->loop = loop;
    s->fd = -1;
    s->state = STREAM_CONNECTING;
    s->tls = settings->tls;
    s->ws = settings->ws;
    s->events = events;
    s->ctx = ctx;
    s->unread_max = or_default(settings->unread_max, UNREAD_MAX);
    s->high_water = or_default(settings->high_water, HIGH_WATER);
    s->flush_at = or_default(settings->flush_at, FLUSH_AT);
    s->backlog_max = or_default(settings->backlog_max, BACKLOG_MAX);
    s->handshake_ms = settings->handshake_ms != 0 ? settings->handshake_ms : HANDSHAKE_MS;
    s->secret = settings->secret;
    s->linger_ms = settings->linger_ms != 0 ? settings->linger_ms : LINGER_MS;
    buf_init(&s->gather, SIZE_MAX / 2);
    buf_init(&s->pending, SIZE_MAX / 2); /* both bounded by backlog_max */
    buf_init(&s->unread, SIZE_MAX / 2);  /* by unread_max */
    s->watch.ready = on_watch;
    list_init(&s->in_dirty);
    list_init(&s->chore.link);
    s->chore.run = stream_chore;
    timer_init(&s->timer, on_timer);
    list_append(&loop->streams, &s->in_all);
    *ret_stream = s;
    return ST_OK;
}

void stream_now_open(struct stream *s)
{
    s->state = STREAM_OPEN;
    timer_stop(&s->loop->wheel, &s->timer);
    stream_dirty(s);
    if (s->events->on_ready != NULL)
        s->events->on_ready(s->ctx);
}

void stream_secured(struct stream *s)
{
    if (s->ws == NULL) {
        stream_now_open(s);
        return;
    }
    s->state = STREAM_UPGRADING;
    stream_dirty(s); /* a client's request */
}

/* A peer that went without a word - power, cable, a router that forgot - is found out, even where MQTT has no Keep
 * Alive. All of it fails on a unix socket, where there is nothing to switch. */
void stream_socket_options(int fd)
{
    int on = 1, idle_s = PROBE_AFTER_S, interval_s = PROBE_EVERY_S, count = PROBES;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

/* A connection that a listener of ours accepted has them from its listener. */
static bool has_socket_options(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;
    return getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len) == 0 && on != 0;
}

void stream_connected(struct stream *s, int fd)
{
    s->fd = fd;
    s->cancel_dial = NULL;
    if (!has_socket_options(fd))
        stream_socket_options(fd);
    s->polls = true;
    if (s->tls != NULL || s->ws != NULL)
        timer_start(&s->loop->wheel, &s->timer, mono_plus_ms(s->loop->now.mono, s->handshake_ms));
    if (s->tls == NULL && s->ws == NULL) {
        s->state = STREAM_OPEN;
        s->due_ready = true;
        loop_chore(s->loop, &s->chore);
        stream_dirty(s);
    } else if (s->tls == NULL) {
        stream_secured(s);
    } else {
        s->state = STREAM_HANDSHAKING;
        struct tls_io io = { SPAN_NONE, &s->loop->cipher };
        stream_take_handshake(s, &io); /* a client's first flight */
    }
    if (s->state != STREAM_DEAD)
        stream_poll_update(s);
}

enum status stream_new(struct loop *loop, int fd, const struct stream_settings *settings,
                       const struct stream_events *events, void *ctx, struct stream **ret_stream,
                       struct why *why)
{
    enum status st = stream_new_connecting(loop, settings, events, ctx, ret_stream, why);
    if (st != ST_OK) {
        close(fd);
        return st;
    }
    stream_connected(*ret_stream, fd);
    return ST_OK;
}

void stream_close(struct stream *s)
{
    ASSERT(!s->moving);
    stream_begin_close(s, ST_OK, JUST_CLOSED);
}

void stream_abort(struct stream *s, enum status st, struct why why)
{
    ASSERT(!s->moving);
    stream_die(s, st, why);
}

void streams_abort_all(struct loop *loop)
{
    LIST_EACH_SAFE (it, &loop->streams) {
        stream_die(CONTAINER_OF(it, struct stream, in_all), ST_OK, stream_why("shutdown", "the program ends"));
    }
}

struct loop *stream_loop(const struct stream *s)
{
    return s->loop;
}

struct tls_session *stream_tls(const struct stream *s)
{
    return s->tls;
}

const struct ws *stream_ws(const struct stream *s)
{
    return s->ws;
}

void stream_set_ctx(struct stream *s, const struct stream_events *events, void *ctx)
{
    s->events = events;
    s->ctx = ctx;
}
