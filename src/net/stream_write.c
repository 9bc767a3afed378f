/* Writing: what a turn gathered becomes records and one write; see stream_priv.h. */
#include "net/stream_priv.h"

#include "base/prefetch.h"

#include <errno.h>
#include <sys/socket.h>

#define CIPHER_KEEP (512u * 1024) /* a larger shared buffer is given back after use */
/* Streams, and bytes, that are encrypted before the first of them is written. */
#define SEALED_MAX   64
#define SEALED_BYTES (64u * 1024)
#define SEAL_AHEAD   2   /* so many before its turn what a stream points at is asked for */
#define PREFETCH_MAX 256 /* bytes of what it gathered: the processor sees by itself how it goes on */

/* The peer is gone, but what it sent before it went may be unread yet: reading goes on until it finds the end. */
static void write_failed(struct stream *s)
{
    if (s->state != STREAM_OPEN || !stream_wants_input(s)) {
        stream_die(s, s->state >= STREAM_FLUSHING ? ST_OK : ST_IO,
                   stream_why("connection", "the peer is gone"));
        return;
    }
    s->broken = true;
    buf_done(&s->pending);
    s->pending_at = 0;
    timer_start(&s->loop->wheel, &s->timer, mono_plus_ms(s->loop->now.mono, s->linger_ms));
}

/* Gives bytes to the socket; what it does not take stays in `pending` (which was empty). The last ones wait in the kernel for
 * the end that finish_close() puts behind them: one segment, one acknowledgement, and the peer is woken once. */
static void write_out(struct stream *s, struct span bytes)
{
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (s->state == STREAM_FLUSHING ? MSG_MORE : 0);
    ASSERT(s->pending.len == 0);
    while (!s->broken && bytes.len > 0) {
        ssize_t n = send(s->fd, bytes.p, bytes.len, flags);
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
            stream_die(s, ST_NO_MEMORY, stream_why("memory", "out of memory"));
    }
}

static void empty_cipher(struct loop *loop)
{
    if (loop->cipher.cap > CIPHER_KEEP)
        buf_done(&loop->cipher);
    buf_reset(&loop->cipher);
}

/* What the TLS layer produced beside data: handshake flights, alerts, key updates. */
void stream_write_cipher(struct stream *s)
{
    struct buf *cipher = &s->loop->cipher;
    if (cipher->len > 0 && s->state != STREAM_DEAD) {
        if (s->pending.len > 0)
            put_bytes(&s->pending, buf_span(cipher));
        else
            write_out(s, buf_span(cipher));
    }
    empty_cipher(s->loop);
    stream_poll_update(s);
}

void stream_write_pending(struct stream *s)
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

static void write_plain(struct stream *s, struct span plain)
{
    if (s->tls == NULL) {
        write_out(s, plain);
    } else {
        struct tls_io io = { SPAN_NONE, &s->loop->cipher };
        struct why why;
        enum status st = tls_write(s->tls, &io, plain, &why);
        if (s->state != STREAM_FLUSHING || st != ST_OK)
            stream_write_cipher(s); /* else finish_close() follows, and writes it with its own */
        if (st != ST_OK)
            stream_die(s, st, why);
    }
}

/* What the connection itself has to say, and `payload` in a frame. */
static void write_framed(struct stream *s, struct span payload)
{
    struct buf *framed = &s->loop->framed;
    enum status st = ws_write(s->ws, payload, framed);
    if (st == ST_OK) {
        write_plain(s, buf_span(framed));
    } else {
        stream_write_cipher(s); /* last words, perhaps, which only the end was to go with */
        stream_die(s, st, stream_why("memory", "out of memory"));
    }
    if (framed->cap > CIPHER_KEEP)
        buf_done(framed);
    buf_reset(framed);
}

static void give_gather_back(struct stream *s)
{
    if (s->secret)
        explicit_bzero(s->gather.p, s->gather.len);
    loop_give_spare(s->loop, &s->gather);
}

static void write_gather(struct stream *s)
{
    if (s->ws != NULL)
        write_framed(s, buf_span(&s->gather));
    else
        write_plain(s, buf_span(&s->gather));
    give_gather_back(s);
}

/* A request, its answer, a Pong: none of it gathers, and some of it is due before data may be written. */
static void write_ws_output(struct stream *s)
{
    if (s->ws != NULL && ws_has_output(s->ws) && (s->tls == NULL || tls_established(s->tls)))
        write_framed(s, SPAN_NONE);
}

/* The last of all there is to say. */
static void say_end(struct stream *s)
{
    s->said_end = true;
    if (s->ws != NULL) {
        ws_close(s->ws);
        write_ws_output(s);
    }
    if (s->tls != NULL) {
        struct tls_io io = { SPAN_NONE, &s->loop->cipher };
        tls_close(s->tls, &io);
        stream_write_cipher(s);
    }
}

/* Once more when the socket has taken what it left now: last words may be among that. */
static void finish_close(struct stream *s)
{
    if (!s->said_end)
        say_end(s);
    if (s->state != STREAM_FLUSHING || s->pending.len > 0)
        return;
    if (s->eof || s->broken) {
        stream_die(s, ST_OK, JUST_CLOSED);
        return;
    }
    shutdown(s->fd, SHUT_WR);
    s->state = STREAM_LINGERING;
}

void stream_weigh(struct stream *s, size_t bytes)
{
    if (s->loop == NULL)
        return; /* between two, where nothing is weighed */
    s->loop->output_bytes += bytes - s->weighed;
    s->weighed = bytes;
}

static void flush(struct stream *s)
{
    list_remove(&s->in_dirty);
    if (s->pending.len == 0 && s->gather.len > 0 && may_write_data(s))
        write_gather(s);
    if (s->pending.len == 0 && s->state >= STREAM_UPGRADING && s->state <= STREAM_FLUSHING)
        write_ws_output(s);
    if (s->state == STREAM_FLUSHING && s->pending.len == 0)
        finish_close(s);
    stream_poll_update(s);
    stream_weigh(s, s->gather.cap + s->pending.cap);
    if (s->congested && s->state == STREAM_OPEN && stream_backlog(s) <= s->high_water / 4) {
        s->congested = false;
        if (s->events->on_drained != NULL)
            s->events->on_drained(s->ctx);
    }
}

void stream_dirty(struct stream *s)
{
    if (!list_linked(&s->in_dirty))
        list_append(&s->loop->dirty, &s->in_dirty);
}

struct sealed {
    struct stream *stream;
    size_t len; /* of its records in loop->cipher; 0: it is left to flush() */
};

/* Not one that closes: its last words go with close_notify, in flush(). */
static bool can_seal(const struct stream *s)
{
    return s->tls != NULL && s->ws == NULL && s->pending.len == 0 && s->gather.len > 0 &&
           s->state != STREAM_FLUSHING && may_write_data(s);
}

/* What was gathered, as records at the end of loop->cipher. */
static size_t seal(struct stream *s)
{
    struct buf *cipher = &s->loop->cipher;
    struct tls_io io = { SPAN_NONE, cipher };
    size_t before = cipher->len;
    struct why why;
    enum status st = tls_write(s->tls, &io, buf_span(&s->gather), &why);

    give_gather_back(s);
    if (st == ST_OK)
        return cipher->len - before;
    buf_truncate(cipher, before);
    stream_die(s, st, why);
    return 0;
}

static void prefetch_for_seal(const struct stream *s)
{
    if (s->tls != NULL)
        tls_prefetch(s->tls);
    prefetch(s->gather.p, s->gather.len < PREFETCH_MAX ? s->gather.len : PREFETCH_MAX);
}

/* Several streams: all are encrypted, then all are written, then each is looked after. Writing wakes who reads; the sooner the
 * next write follows, the more of them find that reader awake, which is what a write to many costs most. Between seal() and
 * write_out() nobody is called, so nothing else gets into loop->cipher and no stream goes. */
static void flush_some(struct loop *loop, struct list *batch)
{
    struct sealed sealed[SEALED_MAX];
    const struct buf *cipher = &loop->cipher;
    size_t count = 0, bytes = 0, at = 0;
    struct list *link;

    while (count < SEALED_MAX && bytes < SEALED_BYTES && (link = list_shift(batch)) != NULL) {
        struct stream *s = CONTAINER_OF(link, struct stream, in_dirty);
        prefetch(s, sizeof *s);
        bytes += s->gather.len;
        sealed[count++] = (struct sealed){ s, 0 };
    }
    for (size_t i = 0; i < count; i++) {
        struct stream *s = sealed[i].stream;
        if (i + SEAL_AHEAD < count)
            prefetch_for_seal(sealed[i + SEAL_AHEAD].stream);
        if (buf_ok(cipher) && can_seal(s))
            sealed[i].len = seal(s);
    }
    for (size_t i = 0; i < count; at += sealed[i++].len) {
        if (sealed[i].len > 0)
            write_out(sealed[i].stream, span_cut(buf_span(cipher), at, sealed[i].len));
    }
    empty_cipher(loop);
    for (size_t i = 0; i < count; i++)
        flush(sealed[i].stream);
}

void streams_flush(struct loop *loop)
{
    struct list batch; /* on_drained() may make streams dirty again: they wait for the next turn */
    list_init(&batch);
    struct list *link;
    while ((link = list_shift(&loop->dirty)) != NULL)
        list_append(&batch, link);
    while (!list_empty(&batch))
        flush_some(loop, &batch);
}

uint8_t *stream_append(struct stream *s, size_t len)
{
    ASSERT(!s->moving);
    if (s->state >= STREAM_FLUSHING)
        return NULL;
    if (s->gather.len >= s->flush_at && s->pending.len == 0 && may_write_data(s))
        write_gather(s);
    if (s->state >= STREAM_FLUSHING) /* it died of that */
        return NULL;
    if (len > s->backlog_max || stream_backlog(s) > s->backlog_max - len) {
        stream_die(s, ST_QUOTA, stream_why("backlog_max", "the peer reads too slowly"));
        return NULL;
    }
    if (s->gather.cap == 0)
        s->gather = loop_take_spare(s->loop, SIZE_MAX / 2); /* bounded just above */
    uint8_t *room = buf_room(&s->gather, len);
    if (room == NULL) {
        stream_die(s, ST_NO_MEMORY, stream_why("memory", "out of memory"));
        return NULL;
    }
    buf_added(&s->gather, len);
    stream_dirty(s);
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
