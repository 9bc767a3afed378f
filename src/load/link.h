/* load/link.h - many connections in one thread, with TLS or without: epoll, TLS over memory (net/tls.h), one write per
 * connection and turn. Not net/stream.h: a load generator decides itself how many packets go into a TLS record, and has
 * to cost less than what it measures. A connection that fails says why, once, and may be opened again.
 * Threads: one. Times in ns of the monotonic clock. */
#ifndef SYMBOLON_LOAD_LINK_H
#define SYMBOLON_LOAD_LINK_H

#include "base/buf.h"
#include "base/list.h"
#include "net/tls.h"
#include "net/ws.h"

#include <sys/socket.h>

#define LINK_READ_MAX    65536
#define LINK_BACKLOG_MAX (64u << 20) /* bytes one connection may have waiting */

struct link;

struct link_events {
    void (*opened)(struct link *link);                     /* TCP, TLS and WebSocket are up */
    size_t (*data)(struct link *link, struct span plain);  /* returns what it used; the rest comes again */
    void (*closed)(struct link *link, const char *reason); /* once; the link may be reopened from here */
};

struct link_loop {
    int epoll;
    struct sockaddr_storage address;
    socklen_t address_len;
    struct tls_config *tls; /* NULL: plain TCP */
    struct tls_expect expect;
    /* The certificate that verified, whose thumbprint alone decides from then on (expect.pin): clients of one broker have
     * one chain to verify, not one each. */
    uint8_t pin[TLS_PIN_LEN];
    struct ws_client_settings ws; /* .path NULL: no WebSocket */
    struct list dirty;            /* links with something to send */
    int64_t now_ns;               /* read once a turn */
    size_t open;
    uint64_t reads;
    int wake_fd;
    bool woken; /* wake_fd had something */
    uint8_t cipher[LINK_READ_MAX];
    uint8_t plain[LINK_READ_MAX];
};

enum link_state { LINK_CLOSED, LINK_CONNECTING, LINK_HANDSHAKE, LINK_UPGRADE, LINK_OPEN };

struct link {
    struct link_loop *loop;
    const struct link_events *events;
    enum link_state state;
    int fd;
    struct tls_session *tls;
    struct ws *ws;
    struct list dirty;
    struct buf plain; /* not yet in a record, or a frame */
    struct buf out;   /* records not yet written */
    struct buf rest;  /* plaintext the owner has not used yet */
    size_t packets;   /* in `plain` */
    size_t batch;     /* packets per record (and frame) at most */
    bool pinned;      /* this handshake compares with the certificate remembered */
    bool epollout;
    bool close_when_flushed;
};

/* Finds an address of `host` that accepts connections now, waiting at most `wait_ms` for each. `tls` (a reference is
 * taken; NULL: plain) with `any_name`: see tls_expect. `wake_fd` (-1: none) ends a turn early and sets `woken`. `host`
 * outlives the loop. */
enum status link_loop_open(struct link_loop *loop, const char *host, uint16_t port, struct tls_config *tls,
                           bool any_name, int64_t wait_ms, struct why *why) MUST_CHECK;
/* Before the first link is opened: MQTT goes over WebSocket, asked for at this path (lent). */
void link_loop_use_ws(struct link_loop *loop, const char *path, uint16_t port);
enum status link_loop_watch(struct link_loop *loop, int wake_fd, struct why *why) MUST_CHECK;
void link_loop_done(struct link_loop *loop);

void link_init(struct link *link, struct link_loop *loop, const struct link_events *events, size_t batch);
void link_open(struct link *link); /* a failure comes by `closed`, perhaps at once */
void link_close(struct link *link, const char *reason);

/* Where to append one packet's bytes; link_packet_done() after each. */
struct buf *link_plain(struct link *link);
void link_packet_done(struct link *link);
size_t link_backlog(const struct link *link); /* bytes that wait to be written */

/* Sends what is pending, then waits at most `wait_ns` for events and handles them. */
void link_loop_turn(struct link_loop *loop, int64_t wait_ns);

int64_t link_now(void);

#endif
