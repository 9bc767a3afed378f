#include "load/peer.h"

#include "codec/base64.h"
#include "token/auth_data.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PACKET_MAX  MQTT_PACKET_SIZE_MAX
#define OUR_RECEIVE 65535
#define NS_PER_S    INT64_C(1000000000)
#define CREDENTIALS 65535

void peer_fail(struct peer *peer, const char *fmt, ...)
{
    char text[TROUBLE_TEXT];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    trouble_add(peer->world->troubles, "%s", text);
    peer->leaving = true; /* counted already */
    link_close(&peer->link, text);
}

static void sent_packet(struct peer *peer)
{
    peer->wrote_ns = peer->world->loop->now_ns;
    link_packet_done(&peer->link);
}

/* ---- logging in ---- */

/* Token and proof of possession over this TLS session's exporter value. */
static enum status make_proof(struct peer *peer, const struct identity *identity, struct buf *pop,
                              struct why *why)
{
    uint8_t exporter[ACE_EXPORTER_LEN];

    if (peer->link.tls == NULL)
        return reject(why, ST_UNSUPPORTED, "RFC 9431 2.2", "a token needs TLS", 0);
    enum status st = tls_exporter(peer->link.tls, SPAN(ACE_EXPORTER_LABEL), exporter, sizeof exporter, why);
    return st == ST_OK ? pop_make_exporter(identity->key, span_of(exporter, sizeof exporter), pop) : st;
}

static enum status put_ace(struct peer *peer, struct mqtt_connect *connect, struct buf *data, struct buf *pop,
                           struct why *why)
{
    const struct login *login = peer->world->login;
    const struct identity *identity = &login->identities[peer->number % login->count];
    enum status st = make_proof(peer, identity, pop, why);

    if (st != ST_OK)
        return st;
    if (connect->version == MQTT_3_1_1) { /* RFC 9431 6.1 */
        put_str(data, ACE_METHOD);
        base64url_encode(identity->token, data);
        connect->has_user_name = connect->has_password = true;
        connect->user_name = buf_span(data);
        connect->password = buf_span(pop);
        return buf_ok(data) ? ST_OK : reject(why, ST_TOO_LARGE, "RFC 9431 6.1", "the token is too long", 0);
    }
    st = auth_data_write_connect(identity->token, buf_span(pop), data);
    connect->properties.auth_method = span_of_str(ACE_METHOD);
    connect->properties.auth_data = buf_span(data);
    mqtt_set(&connect->properties, PROP_AUTH_METHOD);
    mqtt_set(&connect->properties, PROP_AUTH_DATA);
    return st;
}

static void put_password(const struct login *login, struct mqtt_connect *connect)
{
    connect->has_user_name = login->user != NULL;
    connect->user_name = span_of_str(login->user);
    connect->has_password = login->password != NULL;
    connect->password = span_of_str(login->password);
}

static void link_opened(struct link *link)
{
    struct peer *peer = CONTAINER_OF(link, struct peer, link);
    const struct peer_world *world = peer->world;
    CLEANUP(buf_done)
    struct buf data;
    CLEANUP(buf_done)
    struct buf pop;
    struct why why = { "", "", 0 };
    struct mqtt_connect connect = { .version = world->version,
                                    .clean_start = true,
                                    .keep_alive_s = world->keep_alive_s,
                                    .client_id = span_of_str(peer->client_id) };

    connect.properties.receive_maximum = OUR_RECEIVE;
    mqtt_set(&connect.properties, PROP_RECEIVE_MAXIMUM);
    buf_init(&data, CREDENTIALS);
    buf_init(&pop, ACE_POP_MAX);
    if (world->login->count == 0)
        put_password(world->login, &connect);
    else if (put_ace(peer, &connect, &data, &pop, &why) != ST_OK) {
        peer_fail(peer, "no proof of possession: %s", why.text);
        return;
    }
    mqtt_write_connect(link_plain(link), &connect);
    sent_packet(peer);
    peer->keep_alive_s = world->keep_alive_s;
    peer->state = PEER_CONNACK;
}

static void peer_is_ready(struct peer *peer)
{
    peer->state = PEER_READY;
    if (peer->ready != NULL)
        peer->ready(peer);
}

static void got_connack(struct peer *peer, const struct mqtt_frame *frame)
{
    enum mqtt_version version = peer->world->version;
    struct mqtt_connack connack;
    struct why why = { "", "", 0 };

    if (peer->state != PEER_CONNACK || mqtt_read_connack(frame, version, &connack, &why) != ST_OK) {
        peer_fail(peer, "CONNACK: %s", why.text[0] != '\0' ? why.text : "a second one");
        return;
    }
    if (connack.reason != 0) {
        peer_fail(peer, "CONNACK 0x%02x %s%s%.*s", connack.reason,
                  version == MQTT_5 ? mqtt_reason_name(MQTT_CONNACK, connack.reason) : "(3.1.1)",
                  connack.properties.reason_string.len > 0 ? ": " : "",
                  SPAN_FMT(connack.properties.reason_string));
        return;
    }
    if (peer->world->connected != NULL)
        histogram_add(peer->world->connected, peer->world->loop->now_ns - peer->opened_ns);
    peer->receive_maximum = mqtt_receive_maximum(&connack.properties);
    if (mqtt_has(&connack.properties, PROP_SERVER_KEEP_ALIVE))
        peer->keep_alive_s = connack.properties.server_keep_alive_s;
    if (peer->filter == NULL) {
        peer_is_ready(peer);
        return;
    }
    struct mqtt_subscription sub = { .filter = { span_of_str(peer->filter) }, .qos = peer->qos };
    mqtt_write_subscribe(link_plain(&peer->link), version, 1, NULL, &sub, 1);
    sent_packet(peer);
    peer->state = PEER_SUBACK;
}

static void got_suback(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_suback suback;
    struct why why = { "", "", 0 };

    if (peer->state != PEER_SUBACK || mqtt_read_suback(frame, peer->world->version, &suback, &why) != ST_OK ||
        suback.reasons.len != 1) {
        peer_fail(peer, "SUBACK: %s", why.text[0] != '\0' ? why.text : "unexpected");
        return;
    }
    if (suback.reasons.p[0] >= 0x80)
        peer_fail(peer, "SUBACK 0x%02x %s for %s", suback.reasons.p[0],
                  mqtt_reason_name(MQTT_SUBACK, suback.reasons.p[0]), peer->filter);
    else
        peer_is_ready(peer);
}

/* ---- messages ---- */

static void short_ack(struct peer *peer, enum mqtt_packet_type type, uint16_t id)
{
    struct mqtt_ack ack = { .type = type, .packet_id = id };

    mqtt_write_ack(link_plain(&peer->link), peer->world->version, &ack);
    sent_packet(peer);
}

static void count_message(struct peer *peer, struct span payload)
{
    struct peer_world *world = peer->world;
    struct track *track = peer->only;
    struct stamp stamp;
    bool stamped = stamp_read(payload, &stamp);

    if (stamped && peer->unchecked) {
        peer->received++;
        if (world->latency != NULL)
            histogram_add(world->latency, world->loop->now_ns - stamp.sent_ns);
        return;
    }
    if (!stamped || (track != NULL && (track->run != stamp.run || track->publisher != stamp.publisher)) ||
        (track == NULL && (track = tracks_find(&peer->tracks, &stamp)) == NULL)) {
        peer->strange++;
        peer->received++;
        return;
    }
    if (!track_got(track, stamp.number))
        return;
    peer->received++;
    if (world->latency != NULL)
        histogram_add(world->latency, world->loop->now_ns - stamp.sent_ns);
}

static void got_publish(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_publish publish;
    struct why why = { "", "", 0 };

    if (mqtt_read_publish(frame, peer->world->version, &publish, &why) != ST_OK) {
        peer_fail(peer, "PUBLISH: %s", why.text);
        return;
    }
    count_message(peer, publish.payload);
    if (publish.qos > 0)
        short_ack(peer, publish.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, publish.packet_id);
}

static void got_ack(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_ack ack;
    struct why why = { "", "", 0 };

    if (mqtt_read_ack(frame, peer->world->version, &ack, &why) != ST_OK) {
        peer_fail(peer, "%s: %s", mqtt_packet_name(frame->type), why.text);
        return;
    }
    bool refused = ack.reason >= 0x80;
    if (refused)
        trouble_add(peer->world->troubles, "%s 0x%02x %s", mqtt_packet_name(frame->type), ack.reason,
                    mqtt_reason_name(frame->type, ack.reason));
    peer->unmatched += ack.reason == MQTT_NO_MATCHING_SUBSCRIBERS;
    if (frame->type == MQTT_PUBREL) {
        short_ack(peer, MQTT_PUBCOMP, ack.packet_id);
        return;
    }
    if (frame->type == MQTT_PUBREC && !refused) {
        short_ack(peer, MQTT_PUBREL, ack.packet_id);
        return;
    }
    if (peer->inflight == 0) {
        peer_fail(peer, "%s for nothing that was published", mqtt_packet_name(frame->type));
        return;
    }
    peer->inflight--;
    peer->acked++;
    peer->refused += refused;
}

void peer_publish(struct peer *peer, int64_t stamp_ns)
{
    struct buf *fill = &peer->world->fill;
    struct stamp stamp = {
        .run = peer->world->run, .publisher = peer->publisher, .number = peer->sent++, .sent_ns = stamp_ns
    };
    struct mqtt_publish_out out = { .qos = peer->qos,
                                    .topic = span_of_str(peer->topic),
                                    .payload = buf_span(fill) };

    ASSERT(fill->len >= STAMP_LEN);
    stamp_write(&stamp, fill->p);
    if (peer->qos > 0) {
        peer->next_id = peer->next_id == UINT16_MAX ? 1 : (uint16_t)(peer->next_id + 1);
        out.packet_id = peer->next_id;
        peer->inflight++;
    }
    mqtt_write_publish(link_plain(&peer->link), peer->world->version, &out);
    sent_packet(peer);
}

/* ---- everything else ---- */

void peer_ping(struct peer *peer)
{
    mqtt_write_ping(link_plain(&peer->link), MQTT_PINGREQ);
    peer->pings++;
    sent_packet(peer);
}

void peer_tick(struct peer *peer, int64_t now_ns, int64_t open_limit_ns)
{
    if (peer->state == PEER_READY && peer->keep_alive_s > 0 &&
        now_ns - peer->wrote_ns > peer->keep_alive_s * NS_PER_S / 2)
        peer_ping(peer);
    else if (peer->state != PEER_READY && peer->state != PEER_CLOSED && !peer->leaving &&
             now_ns - peer->opened_ns > open_limit_ns)
        peer_fail(peer, "connection: not ready within %d s", (int)(open_limit_ns / NS_PER_S));
}

static void got_disconnect(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_disconnect d;

    if (mqtt_read_disconnect(frame, peer->world->version, &d, NULL) != ST_OK)
        peer_fail(peer, "a DISCONNECT that cannot be read");
    else if (peer->disconnected != NULL)
        peer->disconnected(peer, d.reason, d.properties.reason_string);
    else
        peer_fail(peer, "DISCONNECT 0x%02x %s%s%.*s", d.reason, mqtt_reason_name(MQTT_DISCONNECT, d.reason),
                  d.properties.reason_string.len > 0 ? ": " : "", SPAN_FMT(d.properties.reason_string));
}

static void got_auth(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_auth auth;

    if (peer->auth == NULL || mqtt_read_auth(frame, &auth, NULL) != ST_OK)
        peer_fail(peer, "an AUTH that nobody waits for, or that cannot be read");
    else
        peer->auth(peer, &auth);
}

static void got_packet(struct peer *peer, const struct mqtt_frame *frame)
{
    switch (frame->type) {
    case MQTT_PUBLISH:
        got_publish(peer, frame);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        got_ack(peer, frame);
        break;
    case MQTT_CONNACK:
        got_connack(peer, frame);
        break;
    case MQTT_SUBACK:
        got_suback(peer, frame);
        break;
    case MQTT_PINGRESP:
        peer->pongs++;
        break;
    case MQTT_DISCONNECT:
        got_disconnect(peer, frame);
        break;
    case MQTT_AUTH:
        got_auth(peer, frame);
        break;
    default:
        peer_fail(peer, "%s was not expected", mqtt_packet_name(frame->type));
    }
}

static size_t link_data(struct link *link, struct span in)
{
    struct peer *peer = CONTAINER_OF(link, struct peer, link);
    size_t used = 0;

    while (used < in.len && link->state == LINK_OPEN) {
        struct mqtt_frame frame;
        enum status st = ST_OK;
        struct why why = { "", "", 0 };
        enum mqtt_frame_result result =
            mqtt_frame_next(span_cut(in, used, in.len), MQTT_FROM_SERVER, PACKET_MAX, &frame, &st, &why);
        if (result == MQTT_FRAME_BAD)
            peer_fail(peer, "not MQTT: %s", why.text);
        if (result != MQTT_FRAME_READY)
            break;
        used += frame.total_len;
        got_packet(peer, &frame);
    }
    return used;
}

static void link_gone(struct link *link, const char *reason)
{
    struct peer *peer = CONTAINER_OF(link, struct peer, link);
    bool asked = peer->leaving && reason == NULL;

    if (!peer->leaving)
        trouble_add(peer->world->troubles, "connection: %s", reason);
    peer->state = PEER_CLOSED;
    if (peer->gone != NULL)
        peer->gone(peer, asked ? NULL : reason != NULL ? reason : "closed");
}

static const struct link_events peer_events = { link_opened, link_data, link_gone };

void peer_init(struct peer *peer, struct peer_world *world, size_t number, char *client_id)
{
    *peer = (struct peer){ .world = world, .number = number, .client_id = client_id };
    link_init(&peer->link, world->loop, &peer_events, world->batch);
}

void peer_open(struct peer *peer)
{
    peer->state = PEER_OPENING;
    peer->leaving = false;
    peer->inflight = 0;
    peer->opened_ns = peer->wrote_ns = link_now();
    link_open(&peer->link);
}

void peer_disconnect(struct peer *peer)
{
    struct mqtt_disconnect disconnect = { 0 };

    if (peer->link.state == LINK_CLOSED)
        return;
    peer->leaving = true;
    if (peer->link.state != LINK_OPEN) {
        link_close(&peer->link, NULL);
        return;
    }
    peer->link.close_when_flushed = true;
    mqtt_write_disconnect(link_plain(&peer->link), peer->world->version, &disconnect);
    link_packet_done(&peer->link);
}

void peer_done(struct peer *peer)
{
    peer->gone = NULL;
    peer->leaving = true;
    link_close(&peer->link, NULL);
    tracks_done(&peer->tracks);
}
