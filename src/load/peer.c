#include "load/packets.h"
#include "load/peer_priv.h"

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

void peer_sent(struct peer *peer)
{
    peer->wrote_ns = peer->world->loop->now_ns;
    link_packet_done(&peer->link);
}

/* ---- logging in ---- */

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
    else if (peer_prove(peer, &connect, &data, &pop, &why) != ST_OK) {
        peer_fail(peer, "no proof of possession: %s", why.text);
        return;
    }
    mqtt_write_connect(link_plain(link), &connect);
    peer_sent(peer);
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
    peer_sent(peer);
    peer->state = PEER_SUBACK;
}

int64_t peer_answered(struct peer *peer)
{
    int64_t took_ns = peer->world->loop->now_ns - peer->asked_ns;

    peer->asked_ns = 0;
    return took_ns > 0 ? took_ns : 0;
}

static uint16_t next_packet_id(struct peer *peer)
{
    peer->next_id = peer->next_id == UINT16_MAX ? 1 : (uint16_t)(peer->next_id + 1);
    return peer->next_id;
}

void peer_subscribe(struct peer *peer, const struct mqtt_subscription *subscriptions, size_t count)
{
    ASSERT(peer->asked_ns == 0);
    mqtt_write_subscribe(link_plain(&peer->link), peer->world->version, next_packet_id(peer), NULL,
                         subscriptions, count);
    peer->asked_ns = link_now();
    peer_sent(peer);
}

static void got_suback(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_suback suback;
    struct why why = { "", "", 0 };
    bool first = peer->state == PEER_SUBACK, later = peer->state == PEER_READY && peer->asked_ns != 0;

    if ((!first && !later) || mqtt_read_suback(frame, peer->world->version, &suback, &why) != ST_OK ||
        (first && suback.reasons.len != 1)) {
        peer_fail(peer, "SUBACK: %s", why.text[0] != '\0' ? why.text : "unexpected");
        return;
    }
    for (size_t i = 0; i < suback.reasons.len; i++) {
        if (suback.reasons.p[i] < 0x80)
            continue;
        peer_fail(peer, "SUBACK 0x%02x %s%s%s", suback.reasons.p[i],
                  mqtt_reason_name(MQTT_SUBACK, suback.reasons.p[i]), first ? " for " : "",
                  first ? peer->filter : "");
        return;
    }
    if (first) {
        peer_is_ready(peer);
        return;
    }
    peer->subscribed(peer, suback.reasons.len, peer_answered(peer));
}

/* ---- messages ---- */

static void short_ack(struct peer *peer, enum mqtt_packet_type type, uint16_t id)
{
    struct mqtt_ack ack = { .type = type, .packet_id = id };

    mqtt_write_ack(link_plain(&peer->link), peer->world->version, &ack);
    peer_sent(peer);
}

static void measure(struct peer *peer, const struct stamp *stamp)
{
    peer->received++;
    if (peer->latency != NULL)
        histogram_add(peer->latency, peer->world->loop->now_ns - stamp->sent_ns);
}

/* NULL: a stranger. */
static struct track *track_of(struct peer *peer, const struct stamp *stamp)
{
    if (peer->known == NULL)
        return tracks_find(&peer->tracks, stamp);
    size_t at = stamp->publisher / peer->world->spread;
    struct track *track = at < peer->known_count ? &peer->known[at] : NULL;
    return track != NULL && track->run == stamp->run && track->publisher == stamp->publisher ? track : NULL;
}

static void count_message(struct peer *peer, struct span payload)
{
    struct track *track = NULL;
    struct stamp stamp;
    bool stamped = stamp_read(payload, &stamp);

    if (stamped && peer->unchecked) {
        measure(peer, &stamp);
    } else if (stamped && peer->message != NULL && stamp.run == peer->world->run) {
        peer->message(peer, &stamp);
    } else if (!stamped || peer->message != NULL || (track = track_of(peer, &stamp)) == NULL) {
        peer->strange++;
        peer->received++;
    } else if (track_got(track, stamp.number)) {
        measure(peer, &stamp);
    }
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

static void publish(struct peer *peer, const struct stamp *stamp, struct mqtt_publish_out *out)
{
    struct buf *fill = &peer->world->fill;

    ASSERT(fill->len >= STAMP_LEN);
    stamp_write(stamp, fill->p);
    out->payload = buf_span(fill);
    if (out->qos > 0) {
        out->packet_id = next_packet_id(peer);
        peer->inflight++;
    }
    peer->sent++;
    mqtt_write_publish(link_plain(&peer->link), peer->world->version, out);
    peer_sent(peer);
}

void peer_publish(struct peer *peer, int64_t stamp_ns)
{
    struct stamp stamp = {
        .run = peer->world->run, .publisher = peer->publisher, .number = peer->sent, .sent_ns = stamp_ns
    };
    struct mqtt_publish_out out = { .qos = peer->qos, .topic = span_of_str(peer->topic) };

    publish(peer, &stamp, &out);
}

void peer_retain(struct peer *peer, const char *topic, uint64_t number)
{
    struct stamp stamp = { .run = peer->world->run, .number = number, .sent_ns = peer->world->loop->now_ns };
    struct mqtt_publish_out out = { .qos = peer->qos, .retain = true, .topic = span_of_str(topic) };

    publish(peer, &stamp, &out);
}

/* ---- everything else ---- */

void peer_ping(struct peer *peer)
{
    mqtt_write_ping(link_plain(&peer->link), MQTT_PINGREQ);
    peer->pings++;
    peer_sent(peer);
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

static void got_packet(struct link *link, const struct mqtt_frame *frame)
{
    struct peer *peer = CONTAINER_OF(link, struct peer, link);

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
        peer_got_auth(peer, frame);
        break;
    default:
        peer_fail(peer, "%s was not expected", mqtt_packet_name(frame->type));
    }
}

static void link_not_mqtt(struct link *link, const char *why)
{
    peer_fail(CONTAINER_OF(link, struct peer, link), "not MQTT: %s", why);
}

static size_t link_data(struct link *link, struct span in)
{
    static const struct packet_events events = { got_packet, link_not_mqtt };

    return packets_each(link, in, PACKET_MAX, &events);
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
    *peer =
        (struct peer){ .world = world, .number = number, .client_id = client_id, .latency = world->latency };
    link_init(&peer->link, world->loop, &peer_events, world->batch);
}

void peer_open(struct peer *peer)
{
    peer->state = PEER_OPENING;
    peer->leaving = false;
    peer->inflight = 0;
    peer->next_id = 1; /* the SUBSCRIBE's, if it has a filter */
    peer->asked_ns = 0;
    peer->renewing = NULL;
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
