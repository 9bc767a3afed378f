/* bench/link.h - many TLS connections in one thread: epoll, GnuTLS over memory, one write per connection and turn.
 * The generator's own: it has to cost less than what it measures, and to count packets per record, which no
 * library of the product needs to do. Everything fails loudly: a benchmark that limps on measures nothing. */
#ifndef SYMBOLON_BENCH_LINK_H
#define SYMBOLON_BENCH_LINK_H

#include "base/buf.h"
#include "base/list.h"

#include <gnutls/gnutls.h>
#include <netinet/in.h>

#define LINK_READ_MAX 65536

struct link;

struct link_events {
    void (*opened)(struct link *link);                     /* TLS is up */
    size_t (*data)(struct link *link, struct span plain);  /* returns what it used; the rest comes again */
    void (*closed)(struct link *link, const char *reason); /* once; the link may be reopened from here */
};

struct link_loop {
    int epoll;
    struct sockaddr_in address;
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priority;
    struct list dirty; /* links with something to send */
    int64_t now_ns;    /* monotonic, read once a turn */
    size_t open;
    uint64_t records_out, writes, reads;
    uint8_t cipher[LINK_READ_MAX];
    uint8_t plain[LINK_READ_MAX];
};

enum link_state { LINK_CLOSED, LINK_CONNECTING, LINK_HANDSHAKE, LINK_OPEN };

struct link {
    struct link_loop *loop;
    const struct link_events *events;
    enum link_state state;
    int fd;
    gnutls_session_t tls;
    struct list dirty;
    struct buf plain; /* not yet in a record */
    struct buf out;   /* records not yet written */
    struct buf rest;  /* plaintext the owner has not used yet */
    size_t packets;   /* in `plain` */
    size_t batch;     /* packets per record at most */
    struct span feed; /* ciphertext of this read */
    bool epollout;
    bool close_when_flushed;
};

/* `ca_file` holds the one certificate authority that counts. */
void link_loop_init(struct link_loop *loop, const char *host, int port, const char *ca_file);
void link_loop_done(struct link_loop *loop);

void link_init(struct link *link, struct link_loop *loop, const struct link_events *events, size_t batch);
void link_open(struct link *link);
void link_close(struct link *link, const char *reason);

/* Where to append one packet's bytes; link_packet_done() after each. */
struct buf *link_plain(struct link *link);
void link_packet_done(struct link *link);

/* Sends what is pending, then waits at most `wait_ns` for events and handles them. */
void link_loop_turn(struct link_loop *loop, int64_t wait_ns);

int64_t now_ns(void);
void die(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

#endif
