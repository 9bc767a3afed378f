/* Reading: one recv, all of it decrypted, one call of on_data(); see stream_priv.h. */
#include "net/stream_priv.h"

#include <errno.h>
#include <sys/socket.h>

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
        stream_die(s, ST_TOO_LARGE, stream_why("unread_max", "more unread bytes than allowed"));
        return;
    }
    put_bytes(&s->unread, rest);
    if (!buf_ok(&s->unread))
        stream_die(s, ST_NO_MEMORY, stream_why("memory", "out of memory"));
}

/* What was decrypted into the loop's buffer stays there for as long as nobody else is heard: a token among it must not. */
static void forget(uint8_t *plain, size_t len)
{
    explicit_bzero(plain, len);
}

static void act_on_end(struct stream *s)
{
    if (s->end_st == ST_OK)
        stream_begin_close(s, ST_OK, s->end_why);
    else
        stream_die(s, s->end_st, s->end_why);
}

void stream_deliver_unread(struct stream *s)
{
    size_t used = deliver(s, buf_span(&s->unread));
    buf_drop_front(&s->unread, used);
    if (s->unread.len == 0)
        buf_done(&s->unread);
    else if (s->state == STREAM_OPEN && !s->paused && !s->moving && s->unread.len > s->unread_max)
        stream_die(s, ST_TOO_LARGE, stream_why("unread_max", "more unread bytes than allowed"));
    if (s->ended && !s->holds_end && may_deliver(s))
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
        size_t before = s->unread.len;
        uint8_t *start = s->loop->plain_bytes + LOOP_PLAIN_FRONT - before;
        memcpy(start, s->unread.p, s->unread.len);
        struct span whole = span_of(start, s->unread.len + fresh.len);
        buf_reset(&s->unread);
        size_t used = deliver(s, whole);
        keep(s, span_cut(whole, used, whole.len));
        forget(start, before);
        if (s->unread.len == 0)
            buf_done(&s->unread);
    } else { /* a long packet is being put together */
        keep(s, fresh);
        if (s->state == STREAM_OPEN)
            stream_deliver_unread(s);
    }
}

/* The peer sends no more. What it sent before still counts: if that cannot be handed over now (paused, moving),
 * the end waits behind it. */
static void peer_ended(struct stream *s, enum status st, struct why why)
{
    s->ended = true;
    if (s->state == STREAM_LINGERING) {
        stream_die(s, ST_OK, JUST_CLOSED);
    } else if (s->state == STREAM_OPEN) {
        s->end_st = st;
        s->end_why = why;
        if (!s->moving && !s->holds_end && !(s->paused && s->unread.len > 0))
            act_on_end(s);
    } else if (s->state == STREAM_HANDSHAKING || s->state == STREAM_UPGRADING) {
        stream_die(s, ST_IO, why);
    }
}

static void take_eof(struct stream *s)
{
    s->eof = true;
    if (s->tls == NULL)
        peer_ended(s, ST_OK, stream_why("connection", "closed by the peer"));
    else
        peer_ended(s, ST_IO, stream_why("RFC 8446 6.1", "the connection ended without close_notify"));
}

static void take_tls_end(struct stream *s, enum tls_result result, struct why why)
{
    stream_write_cipher(s); /* an alert, perhaps */
    if (result == TLS_CLOSED) {
        s->eof = true;
        peer_ended(s, ST_OK, stream_why("connection", "closed by the peer"));
    } else {
        stream_begin_close(s, tls_failure(s->tls), why);
    }
}

/* -- WebSocket, between what comes from below and take_in() ----------------------------------------------- */

static void upgrade(struct stream *s, struct span *bytes)
{
    struct why why = { 0 };
    enum ws_result result = ws_upgrade(s->ws, bytes, &why);
    stream_dirty(s); /* an answer, perhaps */
    if (result == WS_OK)
        stream_now_open(s);
    else if (result == WS_FAILED)
        stream_begin_close(s, ws_failure(s->ws), why);
}

static void take_frames(struct stream *s, struct span bytes)
{
    uint8_t *room = s->loop->plain_bytes + LOOP_PLAIN_FRONT; /* often the bytes are there already */
    struct why why = { 0 };
    size_t len = 0;
    enum ws_result result = ws_read(s->ws, bytes, room, &len, &why);
    if (ws_has_output(s->ws))
        stream_dirty(s);
    if (len > 0)
        take_in(s, span_of(room, len));
    if (s->state != STREAM_OPEN || result == WS_OK)
        return;
    if (result == WS_CLOSED)
        peer_ended(s, ST_OK, stream_why("connection", "closed by the peer"));
    else
        stream_begin_close(s, ws_failure(s->ws), why);
}

/* Bytes as the peer meant them, TLS taken off. */
static void take_bytes(struct stream *s, struct span bytes)
{
    if (s->ws == NULL) {
        take_in(s, bytes);
        return;
    }
    if (s->state == STREAM_UPGRADING)
        upgrade(s, &bytes);
    if (s->state == STREAM_OPEN && bytes.len > 0)
        take_frames(s, bytes);
}

static bool takes_bytes(const struct stream *s)
{
    return (s->state == STREAM_OPEN || s->state == STREAM_UPGRADING) && !s->ended;
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
        stream_write_cipher(s);
        if (!takes_bytes(s))
            return;
        if (result == TLS_WANT_INPUT)
            return;
        if (result != TLS_OK) {
            take_tls_end(s, result, why);
            return;
        }
        take_bytes(s, span_of(room, len));
        forget(room, len);
        if (!takes_bytes(s))
            return;
    }
}

void stream_take_handshake(struct stream *s, struct tls_io *io)
{
    struct why why = { 0 };
    enum tls_result result = tls_handshake(s->tls, io, &why);
    if (result == TLS_FAILED) {
        take_tls_end(s, result, why);
        return;
    }
    stream_write_cipher(s);
    if (result == TLS_OK && s->state == STREAM_HANDSHAKING)
        stream_secured(s);
}

static void take_received(struct stream *s, struct span received)
{
    struct tls_io io = { received, &s->loop->cipher };
    if (s->state == STREAM_HANDSHAKING)
        stream_take_handshake(s, &io);
    if (!takes_bytes(s))
        return; /* FLUSHING, LINGERING: thrown away */
    if (s->tls != NULL) {
        take_ciphertext(s, &io);
    } else if (s->ws != NULL) {
        take_bytes(s, io.in);
    } else if (s->unread.len > 0 && s->unread.len <= LOOP_PLAIN_FRONT) {
        memcpy(s->loop->plain_bytes + LOOP_PLAIN_FRONT, io.in.p, io.in.len);
        take_in(s, span_of(s->loop->plain_bytes + LOOP_PLAIN_FRONT, io.in.len));
        forget(s->loop->plain_bytes + LOOP_PLAIN_FRONT, received.len);
    } else {
        take_in(s, io.in);
    }
}

/* False when there was nothing to read. */
bool stream_read(struct stream *s)
{
    uint8_t *bytes = s->loop->read_bytes;
    /* A ClientHello names the token it goes with; without TLS all is as it is. */
    bool readable = s->tls == NULL || s->state == STREAM_HANDSHAKING;
    ssize_t n = recv(s->fd, bytes, LOOP_READ_BYTES, MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            stream_die(s, s->state >= STREAM_FLUSHING ? ST_OK : ST_IO,
                       stream_why("connection", "reset by the peer"));
        return false;
    }
    if (n == 0) {
        take_eof(s);
        return false;
    }
    take_received(s, span_of(bytes, (size_t)n));
    if (readable)
        forget(bytes, (size_t)n);
    return true;
}
