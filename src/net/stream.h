/* net/stream.h - one connection: a connected socket, with TLS or without, on one loop at a time.
 * Reading:  each wake-up makes one recv of up to 64 KiB into the loop's shared buffer, decrypts all of it and
 *           hands it over in one piece. What on_data() leaves is kept and comes again, in front of what
 * follows. Writing:  what is sent during a turn is gathered, and leaves at its end in as few records and one
 * write as fit. Sends never block. An idle connection keeps no buffer. Ownership: the loop owns a stream until
 * on_closed() has returned, which is called exactly once, never from inside another stream_ function. After
 * that the pointer is gone. Threads:  the loop's thread. stream_move() takes a stream to another loop. */
#ifndef SYMBOLON_NET_STREAM_H
#define SYMBOLON_NET_STREAM_H

#include "base/span.h"
#include "base/status.h"
#include "net/loop.h"
#include "net/tls.h"
#include "net/ws.h"

struct stream;

/* A constant table, which must outlive the stream. */
struct stream_events {
    /* TLS is up, and WebSocket where there is one (a plain stream: at once, but not inside stream_new()). May be NULL. */
    void (*on_ready)(void *ctx);
    /* Returns how many bytes were used up. The rest comes again together with the next bytes, or after
     * stream_resume(). Not called while paused, nor once stream_close() was called. */
    size_t (*on_data)(void *ctx, struct span data);
    /* The backlog fell below `low_water` after having been above `high_water`. May be NULL. */
    void (*on_drained)(void *ctx);
    /* Arrived on another loop after stream_move(). Its unread bytes come next. May be NULL if never moved. */
    void (*on_moved)(void *ctx);
    /* The end. ST_OK: the peer closed in order, or stream_close() completed; else what went wrong. */
    void (*on_closed)(void *ctx, enum status st, const struct why *why);
};

struct stream_settings {
    struct tls_session *tls; /* taken, even on failure; NULL: plain */
    struct ws *ws;           /* taken, even on failure; NULL: bytes go as they are */
    int64_t handshake_ms;    /* for TLS and the upgrade to WebSocket together; 0: 10 s */
    size_t unread_max;       /* on_data() may leave at most this many bytes; 0: 256 KiB */
    size_t high_water;       /* backlog at which stream_congested() turns true; 0: 256 KiB */
    size_t flush_at;         /* gathered bytes that leave before the turn ends; 0: 128 KiB; SIZE_MAX: never */
    size_t backlog_max;      /* a send beyond this aborts the stream with ST_QUOTA; 0: 16 MiB */
    bool secret;             /* nothing that was sent stays in memory once it left */
    int64_t linger_ms;       /* after stream_close(): time to flush and for the peer to hang up; 0: 2 s */
};

/* Takes `fd` (even on failure): a connected, non-blocking stream socket; TCP_NODELAY is set here. */
enum status stream_new(struct loop *loop, int fd, const struct stream_settings *settings,
                       const struct stream_events *events, void *ctx, struct stream **ret_stream,
                       struct why *why) MUST_CHECK;

/* Bytes to the peer, copied. Failure shows in on_closed() only. After stream_close(): ignored. */
void stream_send(struct stream *stream, struct span bytes);
/* The same without a copy: room for exactly `len` bytes, which count as sent and are to be written before any
 * other stream_ call. NULL when the backlog is full (the stream is then being aborted) or closing. */
uint8_t *stream_append(struct stream *stream, size_t len);
/* Bytes accepted and not yet given to the kernel. */
size_t stream_backlog(const struct stream *stream);
bool stream_congested(const struct stream *stream);

void stream_pause(struct stream *stream);  /* no more on_data(), no more reading */
void stream_resume(struct stream *stream); /* bytes left over are handed in again at the end of this turn */
/* While it holds, the peer's saying that it sends no more does not end the stream: an answer is still to come. */
void stream_hold_end(struct stream *stream, bool holds);

/* Flushes, says goodbye (Close, close_notify, FIN), waits for the peer's end within linger_ms, then on_closed(). */
void stream_close(struct stream *stream);
/* Closes at once, for the reason given; on_closed() follows before the turn ends. */
void stream_abort(struct stream *stream, enum status st, struct why why);

/* Moves the stream with its unread bytes and unsent output to another loop: leaves at the end of this turn, then
 * on_moved() and on_data() on the new loop's thread. May be called inside on_data(), which then returns what it
 * used up. Nothing is delivered in between, but on_closed() may still come on the old thread, instead of
 * on_moved(), when the connection breaks before it left. No other stream_ call until on_moved(). */
void stream_move(struct stream *stream, struct loop *to);

struct loop *stream_loop(const struct stream *stream);
struct tls_session *stream_tls(const struct stream *stream); /* NULL: plain */
const struct ws *stream_ws(const struct stream *stream);     /* NULL: none */
void stream_set_ctx(struct stream *stream, const struct stream_events *events, void *ctx);

#endif
