#include "kit/capture_priv.h"

#include <stdlib.h>
#include <time.h>

#define CAPTURE_MAX (64u << 20)
#define FLOWS_MAX   4096
#define SEGMENT_MAX 32768 /* bytes in one made-up packet */
#define FIRST_PORT  40000
#define SERVER_PORT 8883

enum { BLOCK_SECTION = 0x0A0D0D0A, BLOCK_INTERFACE = 1, BLOCK_PACKET = 6, BLOCK_SECRETS = 10 };
enum { LINKTYPE_RAW_IP = 101, SECRETS_TLS = 0x544c534b, OPTION_COMMENT = 1 };
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_PSH = 8, TCP_ACK = 16 };

struct flow {
    uint32_t next[2]; /* sequence numbers: of the server, of the client */
    bool ended;
};

struct capture {
    struct buf keys;
    struct buf packets; /* finished blocks */
    char comment[96];
    unsigned flows;
    struct flow flow[FLOWS_MAX];
};

/* pcapng is in the writer's byte order; we say little-endian and write it. */
static void le16(struct buf *b, uint16_t v)
{
    put_u8(b, (uint8_t)v);
    put_u8(b, (uint8_t)(v >> 8));
}

static void le32(struct buf *b, uint32_t v)
{
    le16(b, (uint16_t)v);
    le16(b, (uint16_t)(v >> 16));
}

static void pad4(struct buf *b, size_t len)
{
    for (; len % 4 != 0; len++)
        put_u8(b, 0);
}

static void block(struct buf *out, uint32_t type, const struct buf *body)
{
    uint32_t total = (uint32_t)body->len + 12;

    le32(out, type);
    le32(out, total);
    put_bytes(out, buf_span(body));
    le32(out, total);
}

static uint16_t checksum(uint32_t sum, struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        sum += i % 2 == 0 ? (uint32_t)s.p[i] << 8 : s.p[i];
    while (sum > 0xFFFF)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

static void patch16(struct buf *b, size_t at, uint16_t v)
{
    if (!buf_ok(b))
        return;
    b->p[at] = (uint8_t)(v >> 8);
    b->p[at + 1] = (uint8_t)v;
}

static void ip_packet(struct buf *b, const struct capture *c, unsigned number, bool from_client, uint8_t flags,
                      struct span data)
{
    const struct flow *f = &c->flow[number];
    uint16_t client = (uint16_t)(FIRST_PORT + number);
    uint16_t tcp_len = (uint16_t)(20 + data.len);

    put_u16(b, 0x4500);
    put_u16(b, (uint16_t)(20 + tcp_len));
    put_u32(b, 0x00004000); /* no fragments */
    put_u16(b, 0x4006);     /* TTL 64, TCP */
    put_u16(b, 0);
    put_u32(b, from_client ? 0x0A000001 : 0x0A000002);
    put_u32(b, from_client ? 0x0A000002 : 0x0A000001);
    patch16(b, 10, checksum(0, span_of(b->p, 20)));
    put_u16(b, from_client ? client : SERVER_PORT);
    put_u16(b, from_client ? SERVER_PORT : client);
    put_u32(b, f->next[from_client]);
    put_u32(b, (flags & TCP_ACK) != 0 ? f->next[!from_client] : 0);
    put_u8(b, 0x50);
    put_u8(b, flags);
    put_u16(b, 0xFFFF);
    put_u32(b, 0);
    put_bytes(b, data);
    if (buf_ok(b)) /* the pseudo header: both addresses, protocol, length */
        patch16(b, 36,
                checksum(0x0A000001u / 65536 + 1 + 0x0A000002u / 65536 + 2 + 6 + tcp_len,
                         span_of(b->p + 20, tcp_len)));
}

static void packet(struct capture *c, unsigned number, bool from_client, uint8_t flags, struct span data)
{
    CLEANUP(buf_done)
    struct buf ip, body;
    struct timespec now;

    buf_init(&ip, 65536);
    buf_init(&body, 65536 + 256);
    ip_packet(&ip, c, number, from_client, flags, data);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    le32(&body, 0);
    le32(&body, (uint32_t)(us >> 32));
    le32(&body, (uint32_t)us);
    le32(&body, (uint32_t)ip.len);
    le32(&body, (uint32_t)ip.len);
    put_bytes(&body, buf_span(&ip));
    pad4(&body, ip.len);
    if (c->comment[0] != '\0') {
        struct span text = span_of_str(c->comment);
        le16(&body, OPTION_COMMENT);
        le16(&body, (uint16_t)text.len);
        put_bytes(&body, text);
        pad4(&body, text.len);
        le32(&body, 0);
        c->comment[0] = '\0';
    }
    block(&c->packets, BLOCK_PACKET, &body);
    uint32_t counts = (flags & (TCP_SYN | TCP_FIN)) != 0;
    c->flow[number].next[from_client] += (uint32_t)data.len + counts;
}

struct capture *capture_new(void)
{
    struct capture *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    buf_init(&c->keys, 4u << 20);
    buf_init(&c->packets, CAPTURE_MAX);
    return c;
}

void capture_free(struct capture *c)
{
    if (c == NULL)
        return;
    buf_wipe(&c->keys);
    buf_done(&c->packets);
    free(c);
}

struct buf *capture_keys(struct capture *c)
{
    return &c->keys;
}

void capture_comment(struct capture *c, const char *text)
{
    if (c == NULL)
        return;
    size_t len = strnlen(text, sizeof c->comment - 1);
    memcpy(c->comment, text, len);
    c->comment[len] = '\0';
}

unsigned capture_begin(struct capture *c)
{
    if (c == NULL || c->flows == FLOWS_MAX)
        return FLOWS_MAX;
    unsigned number = c->flows++;
    packet(c, number, true, TCP_SYN, SPAN_NONE);
    packet(c, number, false, TCP_SYN | TCP_ACK, SPAN_NONE);
    packet(c, number, true, TCP_ACK, SPAN_NONE);
    return number;
}

void capture_bytes(struct capture *c, unsigned flow, bool from_client, struct span bytes)
{
    if (c == NULL || flow >= FLOWS_MAX)
        return;
    for (size_t at = 0; at < bytes.len; at += SEGMENT_MAX)
        packet(c, flow, from_client, TCP_PSH | TCP_ACK, span_cut(bytes, at, SEGMENT_MAX));
}

void capture_end(struct capture *c, unsigned flow)
{
    if (c == NULL || flow >= FLOWS_MAX || c->flow[flow].ended)
        return;
    c->flow[flow].ended = true;
    packet(c, flow, true, TCP_FIN | TCP_ACK, SPAN_NONE);
    packet(c, flow, false, TCP_FIN | TCP_ACK, SPAN_NONE);
    packet(c, flow, true, TCP_ACK, SPAN_NONE);
}

enum status capture_write(const struct capture *c, struct buf *out)
{
    CLEANUP(buf_wipe)
    struct buf body;

    buf_init(&body, 5u << 20);
    le32(&body, 0x1A2B3C4D);
    le16(&body, 1);
    le16(&body, 0);
    le32(&body, UINT32_MAX); /* section length: not said */
    le32(&body, UINT32_MAX);
    block(out, BLOCK_SECTION, &body);
    buf_reset(&body);
    le16(&body, LINKTYPE_RAW_IP);
    le16(&body, 0);
    le32(&body, 0); /* no limit on packets */
    block(out, BLOCK_INTERFACE, &body);
    buf_reset(&body);
    le32(&body, SECRETS_TLS);
    le32(&body, (uint32_t)c->keys.len);
    put_bytes(&body, buf_span(&c->keys));
    pad4(&body, c->keys.len);
    block(out, BLOCK_SECRETS, &body);
    put_bytes(out, buf_span(&c->packets));
    return buf_ok(&body) && buf_ok(out) && buf_ok(&c->packets) && buf_ok(&c->keys) ? ST_OK : ST_NO_MEMORY;
}
