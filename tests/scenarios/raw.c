/* Packets byte by byte. */
#include "raw.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

struct bench *raw_bench(void)
{
    struct bench *b = bench_new(2);

    bench_public(b, "[[\"#\",[\"pub\",\"sub\"]]]");
    b->settings.max_guest_expiry_s = 1000;
    return b;
}

int raw_set_up(void **state)
{
    *state = raw_bench();
    return 0;
}

struct conn_io *raw_client(struct bench *b, enum mqtt_version version)
{
    struct conn_io *c = client_new(b);

    c->version = version;
    return c;
}

static uint8_t nibble(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = strchr(digits, tolower((unsigned char)digit));

    if (digit == '\0' || at == NULL)
        fail_msg("'%c' is no hexadecimal digit", digit);
    return (uint8_t)(at - digits);
}

void raw_bytes(const char *text, struct buf *out)
{
    bool quoted = false;

    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\'') {
            quoted = !quoted;
        } else if (quoted) {
            put_u8(out, (uint8_t)*p);
        } else if (*p != ' ') {
            put_u8(out, (uint8_t)(nibble(p[0]) << 4 | nibble(p[1])));
            p++;
        }
    }
    assert_false(quoted);
    assert_true(buf_ok(out));
}

void raw_send(struct conn_io *c, const char *text)
{
    CLEANUP(buf_done)
    struct buf bytes;

    buf_init(&bytes, 1 << 20);
    raw_bytes(text, &bytes);
    client_send(c, buf_span(&bytes));
}

void raw_packet(struct conn_io *c, uint8_t first, const char *rest)
{
    CLEANUP(buf_done)
    struct buf body, packet;

    buf_init(&body, 1 << 20);
    buf_init(&packet, 1 << 20);
    raw_bytes(rest, &body);
    put_u8(&packet, first);
    put_varint(&packet, (uint32_t)body.len);
    put_bytes(&packet, buf_span(&body));
    client_send(c, buf_span(&packet));
    buf_done(&packet);
}

static void show(const char *title, struct span bytes)
{
    fprintf(stderr, "%s", title);
    for (size_t i = 0; i < bytes.len; i++)
        fprintf(stderr, " %02x", bytes.p[i]);
    fprintf(stderr, "\n");
}

void raw_expect(struct conn_io *c, const char *text)
{
    CLEANUP(buf_done)
    struct buf want;
    struct span rest = span_cut(buf_span(&c->in), c->in_at, SIZE_MAX);

    buf_init(&want, 1 << 20);
    raw_bytes(text, &want);
    if (!span_eq(span_cut(rest, 0, want.len), buf_span(&want))) {
        show("expected", buf_span(&want));
        show("came", span_cut(rest, 0, 64));
        fail_msg("other bytes than expected");
    }
    c->in_at += want.len;
}

void raw_thrown_out(struct conn_io *c, uint8_t code, const char *name)
{
    struct mqtt_frame frame;
    struct mqtt_disconnect d;

    if (!client_next(c, &frame) || frame.type != MQTT_DISCONNECT)
        fail_msg("%s: no DISCONNECT", name);
    assert_int_equal(mqtt_read_disconnect(&frame, MQTT_5, &d, NULL), ST_OK);
    if (d.reason != code)
        fail_msg("%s: 0x%02x instead of 0x%02x", name, d.reason, code);
    expect_closed(c);
}

void raw_expect_last(struct conn_io *c, const char *text)
{
    raw_expect(c, text);
    expect_closed(c);
}

struct conn_io *guest_with(struct bench *b, struct connect_wish wish)
{
    wish.no_method = true;
    return client_connected_with(b, &wish);
}

struct conn_io *guest(struct bench *b, const char *id)
{
    return guest_with(b, (struct connect_wish){ .id = id });
}

struct conn_io *guest3(struct bench *b, const char *id)
{
    return guest_with(b, (struct connect_wish){ .id = id, .v3 = true });
}

static struct conn_io *come_back(struct bench *b, struct connect_wish wish, bool expect_present)
{
    struct conn_io *c = client_new(b);

    wish.no_method = true;
    wish.resume = true;
    wish.expiry_s = 100;
    client_connect(c, &wish);
    assert_int_equal(expect_connack(c, 0).session_present, expect_present);
    return c;
}

struct conn_io *back(struct bench *b, const char *id, bool expect_present)
{
    return come_back(b, (struct connect_wish){ .id = id }, expect_present);
}

struct conn_io *back3(struct bench *b, const char *id, bool expect_present)
{
    return come_back(b, (struct connect_wish){ .id = id, .v3 = true }, expect_present);
}

void publish_whole(struct conn_io *c, const char *topic, const char *payload, uint8_t qos, bool retain)
{
    client_publish_with(
        c,
        &(struct publish_wish){
            .topic = topic, .payload = payload, .qos = qos, .packet_id = qos > 0 ? 900 : 0, .retain = retain });
    if (qos == 1)
        (void)expect_ack(c, MQTT_PUBACK, 900, MQTT_SUCCESS);
    if (qos != 2)
        return;
    (void)expect_ack(c, MQTT_PUBREC, 900, MQTT_SUCCESS);
    client_ack(c, MQTT_PUBREL, 900, MQTT_SUCCESS);
    (void)expect_ack(c, MQTT_PUBCOMP, 900, MQTT_SUCCESS);
}

void finish(struct conn_io *c, const struct mqtt_publish *p)
{
    if (p->qos == 1)
        client_ack(c, MQTT_PUBACK, p->packet_id, MQTT_SUCCESS);
    if (p->qos != 2)
        return;
    client_ack(c, MQTT_PUBREC, p->packet_id, MQTT_SUCCESS);
    (void)expect_ack(c, MQTT_PUBREL, p->packet_id, MQTT_SUCCESS);
    client_ack(c, MQTT_PUBCOMP, p->packet_id, MQTT_SUCCESS);
}

void subscribe(struct conn_io *c, const char *filter, uint8_t qos)
{
    client_subscribe(c, filter, qos, qos);
}
