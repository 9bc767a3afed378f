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
#define CIPHER_KEEP  (512u * 1024) /* a larger shared buffer is given back after use */
#define JUST_CLOSED  ((struct why){ "connection", "closed", 0 })

static void on_poll(uv_poll_t *poll, int status, int events);
static void stream_chore(struct chore *chore);
static void act_on_end(struct stream *s);

static struct why why_make(const char *clause, const char *text)
{
    return (struct why){ clause, text, 0 };
}

/* -- polling --------------------------------------------------------------------------------------------- */

static void poll_gone(uv_handle_t *handle)
{
    free(handle);
}

static void poll_drop(struct stream *s)
{
    if (s->poll == NULL)
        return;
    s->poll->data = NULL;
    uv_poll_stop(s->poll); /* leaves the kernel's set at once, so the descriptor may be closed or moved */
    uv_close((uv_handle_t *)s->poll, poll_gone);
    s->poll = NULL;
    s->poll_events = 0;
}

static bool wants_input(const struct stream *s)
{
    if (s->eof)
        return false;
    return s->state == STREAM_HANDSHAKING || s->state == STREAM_FLUSHING || s->state == STREAM_LINGERING ||
           (s->state == STREAM_OPEN && !s->paused);
}

/* Called after every change of what we wait for; costs a system call only if that did change. */
static void poll_update(struct stream *s)
{
    if (s->poll == NULL)
        return;
    int events = (wants_input(s) ? UV_READABLE : 0) | (s->pending.len > 0 ? UV_WRITABLE : 0);
    if (events == s->poll_events)
        return;
    s->poll_events = events;
    if (events == 0)
        uv_poll_stop(s->poll);
    else
        uv_poll_start(s->poll, events, on_poll);
}

static bool poll_make(struct stream *s)
{
    s->poll = calloc(1, sizeof *s->poll);
    if (s->poll == NULL)
        return false;
    if (uv_poll_init(&s->loop->uv, s->poll, s->fd) != 0) {
        free(TAKE(s->poll));
        return false;
    }
    s->poll->data = s;
    poll_update(s);
    return true;
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
    if (s->fd >= 0)
        close(s->fd);
    tls_session_free(s->tls);
    buf_done(&s->gather);
    buf_done(&s->pending);
    buf_wipe(&s->unread);
    free(s);
}

/* Output leaves first, then the reason given is reported. */
static void begin_close(struct stream *s, enum status st, struct why why)
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
    if (!list_linked(&s->in_dirty))
        list_append(&s->loop->dirty, &s->in_dirty);
    poll_update(s);
}

static void on_timer(struct timer *timer, struct now now)
{
    struct stream *s = CONTAINER_OF(timer, struct stream, timer);
    (void)now;
    if (s->broken)
        stream_die(s, ST_IO, why_make("connection", "the peer is gone"));
    else if (s->state == STREAM_HANDSHAKING)
        stream_die(s, ST_TIMEOUT, why_make("handshake_timeout", "the TLS handshake took too long"));
    else
        stream_die(s, ST_OK, JUST_CLOSED);
}

/* -- writing --------------------------------------------------------------------------------------------- */

/* The peer is gone, but what it sent before it went may be unread yet: reading goes on until it finds the end. */
static void write_failed(struct stream *s)
{
    if (s->state != STREAM_OPEN || !wants_input(s)) {
        stream_die(s, s->state >= STREAM_FLUSHING ? ST_OK : ST_IO, why_make("connection", "the peer is gone"));
        return;
    }
    s->broken = true;
    buf_done(&s->pending);
    s->pending_at = 0;
    timer_start(&s->loop->wheel, &s->timer, mono_plus_ms(s->loop->now.mono, s->linger_ms));
}

/* Gives bytes to the socket; what it does not take stays in `pending` (which was empty). */
static void write_out(struct stream *s, struct span bytes)
{
    ASSERT(s->pending.len == 0);
    while (!s->broken && bytes.len > 0) {
        ssize_t n = send(s->fd, bytes.p, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            bytes = span_cut(bytes, (size_t)n, bytes.len);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno != EINTR) {
            write_failed(s);
            return;
        }
    }
    if (bytes.len > 0 && !s->broken) {
        put_bytes(&s->pending, bytes);
        s->pending_at = 0;
        if (!buf_ok(&s->pending))
            stream_die(s, ST_NO_MEMORY, why_make("memory", "out of memory"));
    }
}

/* What the TLS layer produced beside data: handshake flights, alerts, key updates. */
static void write_cipher(struct stream *s)
{
    struct buf *cipher = &s->loop->cipher;
    if (cipher->len > 0 && s->state != STREAM_DEAD) {
        if (s->pending.len > 0)
            put_bytes(&s->pending, buf_span(cipher));
        else
            write_out(s, buf_span(cipher));
    }
    if (cipher->cap > CIPHER_KEEP)
        buf_done(cipher);
    buf_reset(cipher);
    poll_update(s);
}

static void write_pending(struct stream *s)
{
    while (s->pending_at < s->pending.len) {
        struct span rest = span_cut(buf_span(&s->pending), s->pending_at, s->pending.len);
        ssize_t n = send(s->fd, rest.p, rest.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            s->pending_at += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR) {
            write_failed(s);
            return;
        }
    }
    buf_done(&s->pending);
    s->pending_at = 0;
}

static bool may_write_data(const struct stream *s)
{
    return s->state == STREAM_OPEN ||
           (s->state == STREAM_FLUSHING && (s->tls == NULL || tls_established(s->tls)));
}

static void write_gather(struct stream *s)
{
    if (s->tls == NULL) {
        write_out(s, buf_span(&s->gather));
    } else {
        struct tls_io io = { SPAN_NONE, &s->loop->cipher };
        struct why why;
        enum status st = tls_write(s->tls, &io, buf_span(&s->gather), &why);
        write_cipher(s);
        if (st != ST_OK)
            stream_die(s, st, why);
    }
    loop_give_spare(s->loop, &s->gather);
}

static void finish_close(struct stream *s)
{
    if (s->tls != NULL) {
        struct tls_io io = { SPAN_NONE, &s->loop->cipher };
        tls_close(s->tls, &io);
        write_cipher(s);
    }
    if (s->state != STREAM_FLUSHING)
        return;
    if (s->eof || s->broken) {
        stream_die(s, ST_OK, JUST_CLOSED);
        return;
    }
    if (s->pending.len == 0) /* else the descriptor's close says it; close_notify is only a courtesy */
        shutdown(s->fd, SHUT_WR);
    s->state = STREAM_LINGERING;
}

static void flush(struct stream *s)
{
    list_remove(&s->in_dirty);
    if (s->pending.len == 0 && s->gather.len > 0 && may_write_data(s))
        write_gather(s);
    if (s->state == STREAM_FLUSHING && s->pending.len == 0)
        finish_close(s);
    poll_update(s);
    if (s->congested && s->state == STREAM_OPEN && stream_backlog(s) <= s->high_water / 4) {
        s->congested = false;
        if (s->events->on_drained != NULL)
            s->events->on_drained(s->ctx);
    }
}

void streams_flush(struct loop *loop)
{
    struct list batch; /* on_drained() may make streams dirty again: they wait for the next turn */
    list_init(&batch);
    struct list *link;
    while ((link = list_shift(&loop->dirty)) != NULL)
        list_append(&batch, link);
    while ((link = list_shift(&batch)) != NULL)
        flush(CONTAINER_OF(link, struct stream, in_dirty));
}

uint8_t *stream_append(struct stream *s, size_t len)
{
    ASSERT(!s->moving);
    if (s->gather.len >= s->flush_at && s->pending.len == 0 && may_write_data(s))
        write_gather(s);
    if (s->state >= STREAM_FLUSHING)
        return NULL;
    if (len > s->backlog_max || stream_backlog(s) > s->backlog_max - len) {
        stream_die(s, ST_QUOTA, why_make("backlog_max", "the peer reads too slowly"));
        return NULL;
    }
    if (s->gather.cap == 0)
        s->gather = loop_take_spare(s->loop, SIZE_MAX / 2); /* bounded just above */
    uint8_t *room = buf_room(&s->gather, len);
    if (room == NULL) {
        stream_die(s, ST_NO_MEMORY, why_make("memory", "out of memory"));
        return NULL;
    }
    buf_added(&s->gather, len);
    if (!list_linked(&s->in_dirty))
        list_append(&s->loop->dirty, &s->in_dirty);
    if (stream_backlog(s) > s->high_water)
        s->congested = true;
    return room;
}

void stream_send(struct stream *s, struct span bytes)
{
    if (bytes.len == 0)
        return;
    uint8_t *room = stream_append(s, bytes.len);
    if (room != NULL)
        memcpy(room, bytes.p, bytes.len);
}

size_t stream_backlog(const struct stream *s)
{
    return s->gather.len + s->pending.len - s->pending_at;
}

bool stream_congested(const struct stream *s)
{
    return s->congested;
}

/* -- reading --------------------------------------------------------------------------------------------- */

static bool may_deliver(const struct stream *s)
{
    return s->state == STREAM_OPEN && !s->paused && !s->moving;
}

static size_t deliver(struct stream *s, struct span data)
{
    if (data.len == 0 || !may_deliver(s))
        return 0;
    size_t used = s->events->on_data(s->ctx, data);
    ASSERT(used <= data.len);
    return used;
}

/* Keeps what on_data() left. `rest` may lie inside the loop's shared buffers, never inside s->unread. */
static void keep(struct stream *s, struct span rest)
{
    if (rest.len == 0 || s->state != STREAM_OPEN)
        return;
    /* One read may arrive on top of the limit while paused; nothing is read after that. */
    if (s->unread.len + rest.len > s->unread_max + LOOP_PLAIN_BYTES) {
        stream_die(s, ST_TOO_LARGE, why_make("unread_max", "more unread bytes than allowed"));
        return;
    }
    put_bytes(&s->unread, rest);
    if (!buf_ok(&s->unread))
        stream_die(s, ST_NO_MEMORY, why_make("memory", "out of memory"));
}

static void deliver_unread(struct stream *s)
{
    size_t used = deliver(s, buf_span(&s->unread));
    buf_drop_front(&s->unread, used);
    if (s->unread.len == 0)
        buf_done(&s->unread);
    else if (s->state == STREAM_OPEN && !s->paused && !s->moving && s->unread.len > s->unread_max)
        stream_die(s, ST_TOO_LARGE, why_make("unread_max", "more unread bytes than allowed"));
    if (s->eof && may_deliver(s))
        act_on_end(s);
}

/* `fresh` lies at plain_bytes + LOOP_PLAIN_FRONT, or anywhere else when there is no small rest to put before it. */
static void take_in(struct stream *s, struct span fresh)
{
    if (s->unread.len == 0) {
        size_t used = deliver(s, fresh);
        keep(s, span_cut(fresh, used, fresh.len));
    } else if (s->unread.len <= LOOP_PLAIN_FRONT && may_deliver(s) &&
               fresh.p == s->loop->plain_bytes + LOOP_PLAIN_FRONT) {
        uint8_t *start = s->loop->plain_bytes + LOOP_PLAIN_FRONT - s->unread.len;
        memcpy(start, s->unread.p, s->unread.len);
        struct span whole = span_of(start, s->unread.len + fresh.len);
        buf_reset(&s->unread);
        size_t used = deliver(s, whole);
        keep(s, span_cut(whole, used, whole.len));
        if (s->unread.len == 0)
            buf_done(&s->unread);
    } else { /* a long packet is being put together */
        keep(s, fresh);
        if (s->state == STREAM_OPEN)
            deliver_unread(s);
    }
}

static void act_on_end(struct stream *s)
{
    if (s->end_st == ST_OK)
        begin_close(s, ST_OK, s->end_why);
    else
        stream_die(s, s->end_st, s->end_why);
}

/* The peer sends no more. What it sent before still counts: if that cannot be handed over now (paused, moving),
 * the end waits behind it. */
static void peer_ended(struct stream *s, enum status st, struct why why)
{
    s->eof = true;
    if (s->state == STREAM_LINGERING) {
        stream_die(s, ST_OK, JUST_CLOSED);
    } else if (s->state == STREAM_OPEN) {
        s->end_st = st;
        s->end_why = why;
        if (!s->moving && !(s->paused && s->unread.len > 0))
            act_on_end(s);
    } else if (s->state == STREAM_HANDSHAKING) {
        stream_die(s, ST_IO, why);
    }
}

static void take_eof(struct stream *s)
{
    if (s->tls == NULL)
        peer_ended(s, ST_OK, why_make("connection", "closed by the peer"));
    else
        peer_ended(s, ST_IO, why_make("RFC 8446 6.1", "the connection ended without close_notify"));
}

static void take_tls_end(struct stream *s, enum tls_result result, struct why why)
{
    write_cipher(s); /* an alert, perhaps */
    if (result == TLS_CLOSED)
        peer_ended(s, ST_OK, why_make("connection", "closed by the peer"));
    else
        begin_close(s, tls_failure(s->tls), why);
}

/* Everything received is decrypted at once, so that GnuTLS holds at most one partial record. */
static void take_ciphertext(struct stream *s, struct tls_io *io)
{
    struct loop *loop = s->loop;
    struct why why = { 0 };
    for (;;) {
        uint8_t *room = loop->plain_bytes + LOOP_PLAIN_FRONT;
        size_t len = 0;
        enum tls_result result = tls_read(s->tls, io, room, LOOP_PLAIN_BYTES - LOOP_PLAIN_FRONT, &len, &why);
        write_cipher(s);
        if (s->state != STREAM_OPEN)
            return;
        if (result == TLS_WANT_INPUT)
            return;
        if (result != TLS_OK) {
            take_tls_end(s, result, why);
            return;
        }
        take_in(s, span_of(room, len));
        if (s->state != STREAM_OPEN)
            return;
    }
}

static void now_open(struct stream *s)
{
    s->state = STREAM_OPEN;
    timer_stop(&s->loop->wheel, &s->timer);
    if (s->gather.len > 0 && !list_linked(&s->in_dirty))
        list_append(&s->loop->dirty, &s->in_dirty);
    if (s->events->on_ready != NULL)
        s->events->on_ready(s->ctx);
}

static void take_handshake(struct stream *s, struct tls_io *io)
{
    struct why why = { 0 };
    enum tls_result result = tls_handshake(s->tls, io, &why);
    if (result == TLS_FAILED) {
        take_tls_end(s, result, why);
        return;
    }
    write_cipher(s);
    if (result == TLS_OK && s->state == STREAM_HANDSHAKING)
        now_open(s);
}

/* False when there was nothing to read. */
static bool on_readable(struct stream *s)
{
    ssize_t n = recv(s->fd, s->loop->read_bytes, LOOP_READ_BYTES, MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            stream_die(s, s->state >= STREAM_FLUSHING ? ST_OK : ST_IO,
                       why_make("connection", "reset by the peer"));
        return false;
    }
    if (n == 0) {
        take_eof(s);
        return false;
    }
    struct tls_io io = { span_of(s->loop->read_bytes, (size_t)n), &s->loop->cipher };
    if (s->state == STREAM_HANDSHAKING)
        take_handshake(s, &io);
    if (s->state != STREAM_OPEN)
        return true; /* FLUSHING, LINGERING: thrown away */
    if (s->tls != NULL) {
        take_ciphertext(s, &io);
    } else if (s->unread.len > 0 && s->unread.len <= LOOP_PLAIN_FRONT) {
        memcpy(s->loop->plain_bytes + LOOP_PLAIN_FRONT, io.in.p, io.in.len);
        take_in(s, span_of(s->loop->plain_bytes + LOOP_PLAIN_FRONT, io.in.len));
    } else {
        take_in(s, io.in);
    }
    return true;
}

/* The peer reset the connection, perhaps only because it closed with bytes of ours unread. What it had sent before is
 * still there to be read, and counts. libuv has stopped the poll. */
static void on_error(struct stream *s)
{
    s->poll_events = 0;
    if (s->moving)
        return; /* found again on arrival */
    while (wants_input(s) && !s->moving && on_readable(s))
        continue;
    if (!s->moving)
        stream_die(s, s->state >= STREAM_FLUSHING ? ST_OK : ST_IO, why_make("connection", "reset by the peer"));
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct stream *s = poll->data;
    loop_begin_turn(poll->loop->data);
    if (s == NULL || s->state == STREAM_DEAD)
        return;
    if (status < 0) {
        on_error(s);
        return;
    }
    if ((events & UV_WRITABLE) != 0 && s->pending.len > 0) {
        write_pending(s);
        if (s->state != STREAM_DEAD && s->pending.len == 0 && !list_linked(&s->in_dirty))
            list_append(&s->loop->dirty, &s->in_dirty); /* what gathered meanwhile, and poll_update() */
    }
    if ((events & UV_READABLE) != 0 && wants_input(s) && !s->moving)
        (void)on_readable(s);
    if (s->state != STREAM_DEAD)
        poll_update(s);
}

void stream_pause(struct stream *s)
{
    s->paused = true;
    poll_update(s);
}

void stream_resume(struct stream *s)
{
    if (!s->paused)
        return;
    s->paused = false;
    if ((s->unread.len > 0 || s->eof) && s->state == STREAM_OPEN) {
        s->due_unread = true;
        loop_chore(s->loop, &s->chore);
    }
    poll_update(s);
}

/* -- moving ---------------------------------------------------------------------------------------------- */

static void arrive(struct loop_task *task)
{
    struct stream *s = CONTAINER_OF(task, struct stream, arrival);
    s->moving = false;
    s->loop = TAKE(s->move_to);
    list_append(&s->loop->streams, &s->in_all);
    if (!poll_make(s)) {
        stream_die(s, ST_NO_MEMORY, why_make("memory", "out of memory"));
        return;
    }
    if (stream_backlog(s) > 0)
        list_append(&s->loop->dirty, &s->in_dirty);
    if (s->unread.len > 0 || s->eof) {
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
    if (s->due_ready) {
        s->due_ready = false;
        if (s->state == STREAM_OPEN && s->events->on_ready != NULL)
            s->events->on_ready(s->ctx);
    }
    if (s->due_unread) {
        s->due_unread = false;
        if (s->state == STREAM_OPEN)
            deliver_unread(s);
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
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    s->loop = loop;
    s->fd = -1;
    s->state = STREAM_CONNECTING;
    s->tls = settings->tls;
    s->events = events;
    s->ctx = ctx;
    s->unread_max = or_default(settings->unread_max, UNREAD_MAX);
    s->high_water = or_default(settings->high_water, HIGH_WATER);
    s->flush_at = or_default(settings->flush_at, FLUSH_AT);
    s->backlog_max = or_default(settings->backlog_max, BACKLOG_MAX);
    s->handshake_ms = settings->handshake_ms != 0 ? settings->handshake_ms : HANDSHAKE_MS;
    s->linger_ms = settings->linger_ms != 0 ? settings->linger_ms : LINGER_MS;
    buf_init(&s->gather, SIZE_MAX / 2);
    buf_init(&s->pending, SIZE_MAX / 2); /* both bounded by backlog_max */
    buf_init(&s->unread, SIZE_MAX / 2);  /* by unread_max */
    list_init(&s->in_dirty);
    list_init(&s->chore.link);
    s->chore.run = stream_chore;
    timer_init(&s->timer, on_timer);
    list_append(&loop->streams, &s->in_all);
    *ret_stream = s;
    return ST_OK;
}

void stream_connected(struct stream *s, int fd)
{
    int on = 1;
    s->fd = fd;
    s->cancel_dial = NULL;
    /* Fails on a unix socket, where there is nothing to switch off. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!poll_make(s)) {
        stream_die(s, ST_NO_MEMORY, why_make("memory", "out of memory"));
        return;
    }
    if (s->tls == NULL) {
        s->state = STREAM_OPEN;
        s->due_ready = true;
        loop_chore(s->loop, &s->chore);
        if (s->gather.len > 0 && !list_linked(&s->in_dirty))
            list_append(&s->loop->dirty, &s->in_dirty);
    } else {
        s->state = STREAM_HANDSHAKING;
        timer_start(&s->loop->wheel, &s->timer, mono_plus_ms(s->loop->now.mono, s->handshake_ms));
        struct tls_io io = { SPAN_NONE, &s->loop->cipher };
        take_handshake(s, &io); /* a client's first flight */
    }
    if (s->state != STREAM_DEAD)
        poll_update(s);
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
    begin_close(s, ST_OK, JUST_CLOSED);
}

void stream_abort(struct stream *s, enum status st, struct why why)
{
    ASSERT(!s->moving);
    stream_die(s, st, why);
}

void streams_abort_all(struct loop *loop)
{
    LIST_EACH_SAFE (it, &loop->streams) {
        stream_die(CONTAINER_OF(it, struct stream, in_all), ST_OK, why_make("shutdown", "the program ends"));
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

void stream_set_ctx(struct stream *s, const struct stream_events *events, void *ctx)
{
    s->events = events;
    s->ctx = ctx;
}
