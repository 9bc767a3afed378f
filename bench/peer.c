#include "peer.h"

#include "mqtt/packet.h"
#include "token/auth_data.h"

#include <stdio.h>
#include <stdlib.h>

#define PACKET_MAX     (1u << 20)
#define OUR_RECEIVE    65535
#define TOKEN_FILE_MAX (256u << 20)

void latency_add(struct latency *latency, int64_t ns)
{
    uint64_t us = ns <= 1000 ? 1 : (uint64_t)ns / 1000;
    unsigned power = 63u - (unsigned)__builtin_clzll(us);
    uint64_t step = power >= 5 ? (us >> (power - 5)) - 32 : ((us << 5) >> power) - 32;
    size_t at = power * LATENCY_STEPS + (size_t)step;
    latency->counts[at < COUNT_OF(latency->counts) ? at : COUNT_OF(latency->counts) - 1]++;
    latency->total++;
}

double latency_us(const struct latency *latency, double fraction)
{
    uint64_t seen = 0, wanted = (uint64_t)((double)latency->total * fraction);
    for (size_t i = 0; i < COUNT_OF(latency->counts); i++) {
        seen += latency->counts[i];
        if (seen > wanted)
            return (double)(1ull << i / LATENCY_STEPS) * (1 + (double)(i % LATENCY_STEPS) / LATENCY_STEPS);
    }
    return 0;
}

static uint8_t hex_value(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void read_identity(struct identity *identity, char *line)
{
    char token[16384], kind[16], secret[2 * KEY_SECRET_MAX + 1];
    uint8_t bytes[KEY_SECRET_MAX];
    char *kind_at = strchr(line, ' '), *secret_at = kind_at == NULL ? NULL : strchr(kind_at + 1, ' ');

    if (secret_at == NULL)
        die("a token file has lines of token, kind and key");
    snprintf(token, sizeof token, "%.*s", (int)(kind_at - line), line);
    snprintf(kind, sizeof kind, "%.*s", (int)(secret_at - kind_at - 1), kind_at + 1);
    snprintf(secret, sizeof secret, "%s", secret_at + 1);
    size_t len = strcspn(secret, "\n") / 2;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(hex_value(secret[2 * i]) << 4 | hex_value(secret[2 * i + 1]));
    struct span s = span_of(bytes, len);
    enum status st = strcmp(kind, "oct") == 0       ? key_new_secret(s, &identity->key, NULL)
                     : strcmp(kind, "Ed25519") == 0 ? key_new_ed25519_private(s, &identity->key, NULL)
                                                    : key_new_p256_private(s, &identity->key, NULL);
    char *copy = strdup(token);
    if (st != ST_OK || copy == NULL)
        die("no usable key in the token file");
    identity->token = span_of_str(copy);
}

void login_read_tokens(struct login *login, const char *file)
{
    FILE *f = fopen(file, "r");
    char *line = NULL;
    size_t cap = 0, room = 0;

    if (f == NULL)
        die("cannot read %s", file);
    while (getline(&line, &cap, f) > 0) {
        if (login->identities_count == room) {
            room = room == 0 ? 64 : 2 * room;
            login->identities = realloc(login->identities, room * sizeof *login->identities);
            if (login->identities == NULL)
                die("out of memory");
        }
        read_identity(&login->identities[login->identities_count++], line);
    }
    free(line);
    fclose(f);
    if (login->identities_count == 0)
        die("no token in %s", file);
}

void login_done(struct login *login)
{
    for (size_t i = 0; i < login->identities_count; i++) {
        free((void *)(uintptr_t)login->identities[i].token.p);
        key_unref(login->identities[i].key);
    }
    free(login->identities);
    *login = (struct login){ 0 };
}

/* Token and proof of possession over this TLS session's exporter value. */
static void put_ace(struct peer *peer, struct mqtt_properties *p, struct buf *data)
{
    const struct identity *identity = &peer->login->identities[peer->number % peer->login->identities_count];
    CLEANUP(buf_done)
    struct buf pop;
    uint8_t exporter[ACE_EXPORTER_LEN];

    buf_init(&pop, ACE_POP_MAX);
    /* "" and not NULL: the empty context, which differs from none in TLS 1.2 */
    if (gnutls_prf_rfc5705(peer->link.tls, sizeof ACE_EXPORTER_LABEL - 1, ACE_EXPORTER_LABEL, 0, "",
                           sizeof exporter, (char *)exporter) != 0 ||
        pop_make_exporter(identity->key, span_of(exporter, sizeof exporter), &pop) != ST_OK ||
        auth_data_write_connect(identity->token, buf_span(&pop), data) != ST_OK)
        die("no proof of possession could be made");
    p->auth_method = span_of_str(ACE_METHOD);
    p->auth_data = buf_span(data);
    mqtt_set(p, PROP_AUTH_METHOD);
    mqtt_set(p, PROP_AUTH_DATA);
}

static void link_opened(struct link *link)
{
    struct peer *peer = CONTAINER_OF(link, struct peer, link);
    CLEANUP(buf_done)
    struct buf data;
    char client_id[32];

    snprintf(client_id, sizeof client_id, "bench-%zu", peer->number);
    struct mqtt_connect connect = { .version = MQTT_5,
                                    .clean_start = true,
                                    .client_id = span_of_str(client_id) };
    connect.properties.receive_maximum = OUR_RECEIVE;
    mqtt_set(&connect.properties, PROP_RECEIVE_MAXIMUM);
    buf_init(&data, 65535);
    if (peer->login->identities_count > 0) {
        put_ace(peer, &connect.properties, &data);
    } else {
        connect.has_user_name = connect.has_password = true;
        connect.user_name = span_of_str(peer->login->user);
        connect.password = span_of_str(peer->login->password);
    }
    mqtt_write_connect(link_plain(link), &connect);
    link_packet_done(link);
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
    struct mqtt_connack connack;
    struct why why = { 0 };

    if (mqtt_read_connack(frame, MQTT_5, &connack, &why) != ST_OK)
        die("CONNACK: %s", why.text);
    if (connack.reason != 0)
        die("CONNACK 0x%02x %.*s", connack.reason, SPAN_FMT(connack.properties.reason_string));
    peer->receive_maximum = mqtt_receive_maximum(&connack.properties);
    if (peer->filter == NULL) {
        peer_is_ready(peer);
        return;
    }
    struct mqtt_subscription sub = { .filter = { span_of_str(peer->filter) }, .qos = peer->qos };
    mqtt_write_subscribe(link_plain(&peer->link), MQTT_5, 1, NULL, &sub, 1);
    link_packet_done(&peer->link);
    peer->state = PEER_SUBACK;
}

static void got_suback(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_suback suback;
    struct why why = { 0 };

    if (mqtt_read_suback(frame, MQTT_5, &suback, &why) != ST_OK || suback.reasons.len != 1)
        die("SUBACK: %s", why.text);
    if (suback.reasons.p[0] != peer->qos)
        die("SUBACK 0x%02x for %s %.*s", suback.reasons.p[0], peer->filter,
            SPAN_FMT(suback.properties.reason_string));
    peer_is_ready(peer);
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void short_ack(struct peer *peer, enum mqtt_packet_type type, uint16_t id)
{
    struct mqtt_ack ack = { .type = type, .packet_id = id };
    mqtt_write_ack(link_plain(&peer->link), MQTT_5, &ack);
    link_packet_done(&peer->link);
}

static void got_publish(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_publish publish;
    struct why why = { 0 };

    if (mqtt_read_publish(frame, MQTT_5, &publish, &why) != ST_OK)
        die("PUBLISH: %s", why.text);
    if (publish.payload.len != peer->size || publish.payload.len < STAMP_LEN)
        die("a payload of %zu bytes", publish.payload.len);
    uint64_t number = get_u64(publish.payload.p);
    if (number < peer->expected) {
        peer->twice++;
    } else {
        peer->lost += number - peer->expected;
        peer->expected = number + 1;
        peer->received++;
        if (peer->latency != NULL)
            latency_add(peer->latency, peer->link.loop->now_ns - (int64_t)get_u64(publish.payload.p + 8));
    }
    if (publish.qos > 0)
        short_ack(peer, publish.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, publish.packet_id);
}

static void got_ack(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_ack ack;
    struct why why = { 0 };

    if (mqtt_read_ack(frame, MQTT_5, &ack, &why) != ST_OK)
        die("%s: %s", mqtt_packet_name(frame->type), why.text);
    if (ack.reason >= 0x80)
        die("%s 0x%02x %.*s", mqtt_packet_name(frame->type), ack.reason,
            SPAN_FMT(ack.properties.reason_string));
    if (frame->type == MQTT_PUBREC)
        short_ack(peer, MQTT_PUBREL, ack.packet_id);
    else if (frame->type == MQTT_PUBREL)
        short_ack(peer, MQTT_PUBCOMP, ack.packet_id);
    else
        peer->inflight--, peer->acked++;
}

static void got_disconnect(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_disconnect disconnect;
    if (mqtt_read_disconnect(frame, MQTT_5, &disconnect, NULL) != ST_OK)
        die("DISCONNECT that cannot be read");
    if (peer->disconnected == NULL)
        die("DISCONNECT 0x%02x %.*s", disconnect.reason, SPAN_FMT(disconnect.properties.reason_string));
    peer->disconnected(peer, disconnect.reason, disconnect.properties.reason_string);
}

static void got_auth(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_auth auth;
    if (peer->auth == NULL || mqtt_read_auth(frame, &auth, NULL) != ST_OK)
        die("an AUTH that nobody waits for, or that cannot be read");
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
    case MQTT_DISCONNECT:
        got_disconnect(peer, frame);
        break;
    case MQTT_AUTH:
        got_auth(peer, frame);
        break;
    default:
        die("%s was not expected", mqtt_packet_name(frame->type));
    }
}

static size_t link_data(struct link *link, struct span in)
{
    struct peer *peer = CONTAINER_OF(link, struct peer, link);
    size_t used = 0;

    while (used < in.len && link->state == LINK_OPEN) {
        struct mqtt_frame frame;
        enum status st = ST_OK;
        struct why why = { 0 };
        enum mqtt_frame_result result =
            mqtt_frame_next(span_cut(in, used, in.len), MQTT_FROM_SERVER, PACKET_MAX, &frame, &st, &why);
        if (result == MQTT_FRAME_BAD)
            die("not MQTT: %s", why.text);
        if (result == MQTT_FRAME_NEED_MORE)
            break;
        used += frame.total_len;
        got_packet(peer, &frame);
    }
    return used;
}

static void link_gone(struct link *link, const char *reason)
{
    struct peer *peer = CONTAINER_OF(link, struct peer, link);
    bool expected = peer->state == PEER_CLOSED;

    peer->state = PEER_CLOSED;
    if (!expected && peer->gone == NULL)
        die("client %zu: %s", peer->number, reason);
    if (peer->gone != NULL)
        peer->gone(peer, expected ? NULL : reason);
}

static const struct link_events peer_events = { link_opened, link_data, link_gone };

void peer_init(struct peer *peer, struct link_loop *loop, const struct login *login, size_t number,
               size_t batch)
{
    *peer = (struct peer){ .login = login, .number = number };
    link_init(&peer->link, loop, &peer_events, batch);
}

void peer_open(struct peer *peer)
{
    peer->state = PEER_OPENING;
    link_open(&peer->link);
}

void peer_publish(struct peer *peer, int64_t stamp_ns)
{
    uint8_t payload[65536];
    uint64_t number = peer->sent++, stamp = (uint64_t)stamp_ns;

    ASSERT(peer->size >= STAMP_LEN && peer->size <= sizeof payload);
    memcpy(payload, &number, 8);
    memcpy(payload + 8, &stamp, 8);
    memset(payload + STAMP_LEN, 'x', peer->size - STAMP_LEN);
    struct mqtt_publish_out out = { .qos = peer->qos,
                                    .topic = span_of_str(peer->topic),
                                    .payload = span_of(payload, peer->size) };
    if (peer->qos > 0) {
        peer->next_id = peer->next_id == UINT16_MAX ? 1 : (uint16_t)(peer->next_id + 1);
        out.packet_id = peer->next_id;
        peer->inflight++;
    }
    mqtt_write_publish(link_plain(&peer->link), MQTT_5, &out);
    link_packet_done(&peer->link);
}

void peer_disconnect(struct peer *peer)
{
    struct mqtt_disconnect disconnect = { 0 };
    peer->state = PEER_CLOSED;
    peer->link.close_when_flushed = true;
    mqtt_write_disconnect(link_plain(&peer->link), MQTT_5, &disconnect);
    link_packet_done(&peer->link);
}
