#include "kit/capture_priv.h"
#include "kit/peer_priv.h"

#include "mqtt/reason.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKET_MAX (1u << 20)

struct peer {
    struct kit *k;
    struct peer *next;
    int fd;
    struct tls_session *tls;
    struct buf cipher_in;  /* from the socket, not yet decrypted */
    struct buf cipher_out; /* to the socket */
    struct buf plain;      /* decrypted, not yet taken */
    size_t taken;          /* bytes at the front of plain that belong to the packet lent last */
    struct received last;
    enum mqtt_version version;
    bool ended;
    unsigned flow; /* its number in the capture */
};

static int remaining(int64_t deadline)
{
    int64_t left = deadline - mono_ms();
    return left <= 0 ? 0 : (int)left;
}

static bool wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd p = { .fd = fd, .events = events };
    int n;

    do {
        n = poll(&p, 1, remaining(deadline));
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* ---- the socket ---- */

static int connect_one(const struct addrinfo *a, int64_t deadline)
{
    int error = 0, one = 1;
    socklen_t len = sizeof error;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
        return fd;
    if (errno == EINPROGRESS && wait_for(fd, POLLOUT, deadline) &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static int connect_to(const char *host, uint16_t port, int64_t deadline)
{
    struct addrinfo wanted = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list = NULL;
    char number[8];
    int fd = -1;

    (void)snprintf(number, sizeof number, "%u", port);
    if (getaddrinfo(host, number, &wanted, &list) != 0)
        return -1;
    for (struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next)
        fd = connect_one(a, deadline);
    freeaddrinfo(list);
    return fd;
}

static bool flush(struct peer *p, int64_t deadline)
{
    if (p->cipher_out.len > 0)
        capture_bytes(p->k->capture, p->flow, true, buf_span(&p->cipher_out));
    for (size_t at = 0; at < p->cipher_out.len;) {
        ssize_t n = send(p->fd, p->cipher_out.p + at, p->cipher_out.len - at, MSG_NOSIGNAL);
        if (n > 0)
            at += (size_t)n;
        else if (n < 0 && errno == EINTR)
            continue;
        else if (n < 0 && errno == EAGAIN && wait_for(p->fd, POLLOUT, deadline))
            continue;
        else
            return false;
    }
    buf_reset(&p->cipher_out);
    return true;
}

/* Waits for bytes; false at the end of the stream or of the time (then p->ended is as it was). */
static bool fill(struct peer *p, int64_t deadline)
{
    uint8_t *room = buf_room(&p->cipher_in, 65536);

    if (room == NULL || !wait_for(p->fd, POLLIN, deadline))
        return false;
    ssize_t n = recv(p->fd, room, 65536, 0);
    if (n > 0) {
        buf_added(&p->cipher_in, (size_t)n);
        capture_bytes(p->k->capture, p->flow, false, span_of(room, (size_t)n));
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    p->ended = true;
    return false;
}

/* ---- TLS ---- */

static enum tls_result shake(struct peer *p, int64_t deadline, struct why *why)
{
    for (;;) {
        struct tls_io io = { buf_span(&p->cipher_in), &p->cipher_out };
        enum tls_result r = tls_handshake(p->tls, &io, why);

        buf_drop_front(&p->cipher_in, p->cipher_in.len - io.in.len);
        (void)flush(p, deadline);
        if (r != TLS_WANT_INPUT)
            return r;
        if (!fill(p, deadline)) {
            (void)reject(why, p->ended ? ST_PROTOCOL : ST_TIMEOUT, "TLS",
                         p->ended ? "the connection ended in the handshake" : "no answer in the handshake", 0);
            return TLS_FAILED;
        }
    }
}

static void drain(struct peer *p)
{
    struct why why;

    if (p->tls == NULL) {
        put_bytes(&p->plain, buf_span(&p->cipher_in));
        buf_reset(&p->cipher_in);
        return;
    }
    for (;;) {
        struct tls_io io = { buf_span(&p->cipher_in), &p->cipher_out };
        uint8_t *room = buf_room(&p->plain, TLS_RECORD_MAX);
        size_t got = 0;

        if (room == NULL)
            return;
        enum tls_result r = tls_read(p->tls, &io, room, TLS_RECORD_MAX, &got, &why);
        buf_drop_front(&p->cipher_in, p->cipher_in.len - io.in.len);
        buf_added(&p->plain, got);
        if (r == TLS_OK)
            continue;
        if (r != TLS_WANT_INPUT)
            p->ended = true;
        return;
    }
}

static enum status own_config(struct kit *k, const struct peer_how *how, struct tls_config **ret,
                              struct why *why)
{
    static const char *const mqtt[] = { "mqtt", NULL };
    /* With a raw key the suite that RFC 9431 2.2.3 names, and nothing else. The one it names for PSK GnuTLS lacks. */
    static const char raw12[] = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:-CIPHER-ALL:+AES-128-GCM";
    static const char tls12[] = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
    CLEANUP(buf_wipe)
    struct buf pem;
    struct tls_settings s = { .ca_file = k->s->ca_file, .alpn = how->no_alpn ? NULL : mqtt };
    enum status st = ST_OK;

    buf_init(&pem, 4096);
    if (how->alpn != NULL)
        s.alpn = how->alpn;
    s.priorities = how->priorities != NULL ? how->priorities : how->tls12 ? tls12 : NULL;
    if (how->raw_key != NULL) {
        s.raw_keys = true;
        s.priorities = how->tls12 ? raw12 : NULL;
        st = key_write_pem(how->raw_key, true, &pem);
        s.key_pem = buf_span(&pem);
    }
    return st != ST_OK ? st : tls_config_new_client(&s, ret, why);
}

static enum status start_tls(struct peer *p, const struct peer_how *how, struct why *why)
{
    CLEANUP(tls_config_unrefp)
    struct tls_config *own = NULL;
    struct tls_expect expect = { .host = p->k->s->host,
                                 .any_name = p->k->s->insecure,
                                 .any_peer = how->any_peer };
    enum status st = ST_OK;

    expect.resume = how->resume;
    expect.psk_identity = how->psk_identity;
    expect.psk_key = how->psk_key;
    bool psk12 = how->psk_identity.p != NULL && how->tls12;
    if (how->priorities != NULL || how->no_alpn || how->alpn != NULL || how->raw_key != NULL || psk12)
        st = own_config(p->k, how, &own, why);
    else
        own = tls_config_ref(how->tls12 ? p->k->tls12 : p->k->tls);
    if (st == ST_OK)
        st = tls_session_new_client(own, &expect, &p->tls, why);
    if (st == ST_OK && p->k->capture != NULL)
        tls_keylog(p->tls, capture_keys(p->k->capture));
    return st;
}

/* ---- making one ---- */

void peer_free(struct peer *p)
{
    if (p == NULL)
        return;
    if (p->fd >= 0) {
        capture_end(p->k->capture, p->flow);
        (void)close(p->fd);
    }
    tls_session_free(p->tls);
    buf_done(&p->cipher_in);
    buf_done(&p->cipher_out);
    buf_done(&p->plain);
    free(p);
}

static struct peer *make(struct kit *k, uint16_t port, struct why *why)
{
    struct peer *p = calloc(1, sizeof *p);

    if (p == NULL) {
        (void)reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
        return NULL;
    }
    p->k = k;
    p->version = MQTT_5;
    buf_init(&p->cipher_in, 4u << 20);
    buf_init(&p->cipher_out, 4u << 20);
    buf_init(&p->plain, 4u << 20);
    p->fd = connect_to(k->s->host, port != 0 ? port : k->s->port, mono_ms() + k->wait_ms);
    if (p->fd < 0) {
        (void)reject(why, ST_UNREACHABLE, "TCP", "nobody accepts connections there", 0);
        peer_free(p);
        return NULL;
    }
    p->flow = capture_begin(k->capture);
    return p;
}

static struct peer *make_and_shake(struct kit *k, const struct peer_how *how, struct why *why)
{
    static const struct peer_how plain = { 0 };
    if (how == NULL)
        how = &plain;
    struct peer *p = make(k, how->port, why);

    if (p == NULL)
        return NULL;
    if (!how->plain && (start_tls(p, how, why) != ST_OK || shake(p, mono_ms() + k->wait_ms, why) != TLS_OK)) {
        peer_free(p);
        return NULL;
    }
    p->next = k->peers;
    k->peers = p;
    return p;
}

struct peer *peer_try(struct kit *k, const struct peer_how *how, struct why *ret_why)
{
    *ret_why = (struct why){ "", "", 0 };
    return going(k) ? make_and_shake(k, how, ret_why) : NULL;
}

struct peer *peer_new(struct kit *k, const struct peer_how *how)
{
    struct why why = { "", "", 0 };
    struct peer *p = peer_try(k, how, &why);

    if (p == NULL && going(k))
        trouble(k, "no connection: %s (%s)", why.text, why.clause);
    return p;
}

void peer_keep(struct peer *p)
{
    for (struct peer **at = &p->k->peers; *at != NULL; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            p->next = NULL;
            return;
        }
}

void peer_close(struct peer *p)
{
    if (p == NULL || p->fd < 0)
        return;
    capture_end(p->k->capture, p->flow);
    (void)close(p->fd);
    p->fd = -1;
    p->ended = true;
}

void peer_speak_311(struct peer *p)
{
    if (p != NULL)
        p->version = MQTT_3_1_1;
}

enum mqtt_version peer_version(const struct peer *p)
{
    return p == NULL ? MQTT_5 : p->version;
}

struct tls_session *peer_tls(struct peer *p)
{
    return p->tls;
}

struct kit *kit_of(struct peer *p)
{
    return p->k;
}

/* ---- using it ---- */

void peer_send(struct peer *p, struct span bytes)
{
    if (p == NULL || p->fd < 0 || !going(p->k))
        return;
    struct tls_io io = { SPAN_NONE, &p->cipher_out };
    struct why why;

    if (p->tls == NULL)
        put_bytes(&p->cipher_out, bytes);
    else if (tls_write(p->tls, &io, bytes, &why) != ST_OK)
        return; /* a peer that has hung up already is seen when receiving */
    (void)flush(p, mono_ms() + p->k->wait_ms);
}

static enum status parse(struct peer *p, struct received *r)
{
    const struct mqtt_frame *f = &r->frame;
    enum status st = ST_OK;

    switch (f->type) {
    case MQTT_CONNACK:
        st = p->version == MQTT_3_1_1 && f->body.len == 2
                 ? ST_OK
                 : mqtt_read_connack(f, p->version, &r->connack, &r->why);
        if (f->body.len == 2) {
            r->connack.session_present = (f->body.p[0] & 1) != 0;
            r->connack.reason = f->body.p[1];
        }
        r->reason = r->connack.reason;
        break;
    case MQTT_PUBLISH:
        st = mqtt_read_publish(f, p->version, &r->publish, &r->why);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        st = mqtt_read_ack(f, p->version, &r->ack, &r->why);
        r->reason = r->ack.reason;
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        st = mqtt_read_suback(f, p->version, &r->suback, &r->why);
        break;
    case MQTT_DISCONNECT:
        st = mqtt_read_disconnect(f, p->version, &r->disconnect, &r->why);
        r->reason = r->disconnect.reason;
        break;
    case MQTT_AUTH:
        st = mqtt_read_auth(f, &r->auth, &r->why);
        r->reason = r->auth.reason;
        break;
    default:
        break;
    }
    return st;
}

static bool take_packet(struct peer *p)
{
    struct received *r = &p->last;
    enum status st = ST_OK;

    switch (mqtt_frame_next(buf_span(&p->plain), MQTT_FROM_SERVER, PACKET_MAX, &r->frame, &st, &r->why)) {
    case MQTT_FRAME_NEED_MORE:
        return false;
    case MQTT_FRAME_BAD:
        r->got = GOT_GARBAGE;
        return true;
    case MQTT_FRAME_READY:
        break;
    }
    p->taken = r->frame.total_len;
    r->got = parse(p, r) == ST_OK ? GOT_PACKET : GOT_GARBAGE;
    return true;
}

struct span peer_bytes(struct peer *p, int64_t ms)
{
    int64_t deadline = mono_ms() + (ms > 0 ? ms : p->k->wait_ms);

    buf_drop_front(&p->plain, p->taken);
    p->taken = 0;
    while (p->plain.len == 0 && !p->ended && remaining(deadline) > 0) {
        (void)fill(p, deadline);
        drain(p);
        (void)flush(p, deadline);
    }
    return buf_span(&p->plain);
}

bool peer_ended(const struct peer *p)
{
    return p->ended;
}

const struct received *peer_receive(struct peer *p, int64_t ms)
{
    static const struct received nothing = { .got = GOT_NOTHING };
    if (p == NULL || !going(p->k))
        return &nothing;
    int64_t deadline = mono_ms() + (ms > 0 ? ms : p->k->wait_ms);

    buf_drop_front(&p->plain, p->taken);
    p->taken = 0;
    p->last = (struct received){ .got = GOT_NOTHING };
    while (!take_packet(p)) {
        if (p->ended) {
            p->last.got = GOT_END;
            break;
        }
        bool more = fill(p, deadline);
        drain(p);
        (void)flush(p, deadline); /* what TLS itself had to say */
        if (!more && !p->ended && remaining(deadline) == 0)
            break;
    }
    return &p->last;
}
