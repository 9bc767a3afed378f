/* net/stream_priv.h - the inside of a stream, for dial.c.
 *
 *   CONNECTING -> HANDSHAKING -> UPGRADING -> OPEN -> FLUSHING -> LINGERING -> DEAD      (any state may go to DEAD)
 *
 * CONNECTING   no descriptor yet (dial only); what is sent is gathered
 * HANDSHAKING  TLS only; what is sent is gathered; `timer` bounds it
 * UPGRADING    WebSocket only, behind TLS or not; what is sent is gathered; `timer` bounds both together
 * OPEN         data both ways
 * FLUSHING     stream_close() was called or the peer closed: output leaves, input is thrown away; `timer` bounds it.
 *              A WebSocket's Close and close_notify are the last of the output, also if the socket takes it in pieces
 * LINGERING    everything written and FIN sent; waiting for the peer's end, so that it can still read our last
 *              packet (a close with unread input would send RST, and the peer's kernel could drop that packet)
 * DEAD         polling stopped; on_closed() comes at the end of the turn, then the memory goes */
#ifndef SYMBOLON_NET_STREAM_PRIV_H
#define SYMBOLON_NET_STREAM_PRIV_H

#include "net/loop_priv.h"
#include "net/stream.h"

enum stream_state {
    STREAM_CONNECTING,
    STREAM_HANDSHAKING,
    STREAM_UPGRADING,
    STREAM_OPEN,
    STREAM_FLUSHING,
    STREAM_LINGERING,
    STREAM_DEAD
};

struct stream {
    struct loop *loop;
    struct list in_all;   /* loop->streams */
    struct list in_dirty; /* loop->dirty */
    struct chore chore;   /* what is due at the end of this turn; see stream_chore() */
    struct loop_watch watch;
    uint32_t watched; /* events asked for at present; 0: not in the loop's set */
    bool polls;       /* the descriptor is the loop's to watch */
    int fd;
    enum stream_state state;
    bool paused;
    bool holds_end; /* the peer's end counts when this is over */
    bool congested;
    bool moving;
    bool due_ready;  /* chore: on_ready() */
    bool due_unread; /* chore: hand in what was left over */
    bool ended;      /* the peer sends no more data: eof, or Close of a WebSocket */
    bool eof;        /* peer's end seen */
    bool secret;     /* what left is wiped */
    bool said_end;   /* what a stream says last, TLS's and WebSocket's, was written, or waits in `pending` */
    bool broken;     /* writing failed: output is thrown away, what the peer sent before is still read */
    struct tls_session *tls;
    struct ws *ws;
    const struct stream_events *events;
    void *ctx;
    struct buf gather;  /* plaintext of this turn, or what waits behind `pending` */
    struct buf pending; /* ready for the socket, which did not take it; from pending_at on */
    size_t pending_at;
    size_t weighed;    /* what of this is in loop->output_bytes */
    struct buf unread; /* plaintext on_data() left */
    struct timer timer;
    size_t unread_max, high_water, flush_at, backlog_max;
    int64_t handshake_ms, linger_ms;
    enum status end_st;
    struct why end_why;
    struct loop *move_to;
    struct loop_task arrival;
    void (*cancel_dial)(void *dialing); /* CONNECTING only */
    void *dialing;
};

#define JUST_CLOSED ((struct why){ "connection", "closed", 0 })

static inline struct why stream_why(const char *clause, const char *text)
{
    return (struct why){ clause, text, 0 };
}

/* In state CONNECTING, without descriptor. */
enum status stream_new_connecting(struct loop *loop, const struct stream_settings *settings,
                                  const struct stream_events *events, void *ctx, struct stream **ret_stream,
                                  struct why *why) MUST_CHECK;
/* The descriptor is taken; goes on to HANDSHAKING or OPEN. */
void stream_connected(struct stream *stream, int fd);
/* Straight to DEAD. */
void stream_die(struct stream *stream, enum status st, struct why why);
/* To FLUSHING: output leaves first, then the reason given is reported. */
void stream_begin_close(struct stream *stream, enum status st, struct why why);
/* After every change of what we wait for: costs a system call only if that did change. */
void stream_socket_options(int fd); /* also for a listening socket: Linux hands them on */
void stream_poll_update(struct stream *stream);
bool stream_wants_input(const struct stream *stream);

/* stream_write.c: what the TLS layer put into loop->cipher (flights, alerts, key updates); `pending` when the socket
 * is writable again. */
void stream_write_cipher(struct stream *stream);
void stream_write_pending(struct stream *stream);
void stream_weigh(struct stream *stream, size_t bytes); /* of output memory it holds now */
void stream_dirty(struct stream *stream); /* there is, or may be, something to flush at the end of the turn */

/* TLS, if any, is up: to UPGRADING or OPEN. */
void stream_secured(struct stream *stream);
void stream_now_open(struct stream *stream);

/* stream_read.c */
bool stream_read(struct stream *stream); /* false when there was nothing to read */
void stream_take_handshake(struct stream *stream, struct tls_io *io);
void stream_deliver_unread(struct stream *stream);

#endif
