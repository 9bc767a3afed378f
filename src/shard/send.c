#include "shard/send.h"

#include "shard/alias_out.h"
#include "shard/shard_priv.h"

#include <stdio.h>

#define REASON_TEXT_MAX 256

/* "MT-82: no single sub entry of the scope covers this filter": what goes into a reason string. */
static struct span reason_text(char text[REASON_TEXT_MAX], const struct why *why)
{
    int len;

    if (why == NULL || why->text == NULL)
        return SPAN_NONE;
    if (why->clause != NULL)
        len = snprintf(text, REASON_TEXT_MAX, "%s: %s", why->clause, why->text);
    else
        len = snprintf(text, REASON_TEXT_MAX, "%s", why->text);
    if (len < 0)
        return SPAN_NONE;
    return span_of(text, len < REASON_TEXT_MAX ? (size_t)len : REASON_TEXT_MAX - 1);
}

/* Room for one packet of so many bytes; in the gate, if it has to wait. `slip` NULL: a PUBLISH that waits for nothing of its
 * own. */
static uint8_t *packet_room(struct conn *c, const struct slip *slip, size_t len)
{
    static const struct slip plain = { .type = MQTT_PUBLISH };
    uint8_t *room;

    if ((c->gate != NULL || slip != NULL) && gate_holds(c, slip == NULL ? &plain : slip))
        return gate_put(c, slip == NULL ? &plain : slip, len);
    room = c->shard->world.conn_append(c->shard->world.ctx, c->io, len);
    if (room == NULL)
        return NULL;
    STATS_INC(&c->shard->stats, packets_out);
    STATS_ADD(&c->shard->stats, bytes_out, len);
    return room;
}

/* Out with what is in the scratch buffer, if this client can take it. */
static bool send_scratch(struct conn *c, const struct slip *slip)
{
    static const struct slip passes = { .type = MQTT_PINGRESP };
    struct buf *b = &c->shard->scratch;
    uint8_t *room;

    if (c->io == NULL)
        return true;
    if (slip == NULL)
        slip = &passes;
    if (!buf_ok(b) || b->len > c->max_packet_bytes)
        return false;
    room = packet_room(c, slip, b->len);
    if (room != NULL)
        memcpy(room, b->p, b->len);
    return true;
}

static struct buf *scratch(struct conn *c)
{
    buf_reset(&c->shard->scratch);
    return &c->shard->scratch;
}

/* Adds the reason string, unless the client does not want any. */
static void explain(const struct conn *c, struct mqtt_properties *p, char text[REASON_TEXT_MAX],
                    const struct why *why)
{
    if (!c->problem_info)
        return;
    p->reason_string = reason_text(text, why);
    if (p->reason_string.len > 0)
        mqtt_set(p, PROP_REASON_STRING);
}

/* Where to go instead: MQTT5 4.11. */
static void refer(const struct conn *c, struct mqtt_properties *p, uint8_t reason)
{
    struct span reference = c->shard->settings->server_reference;

    if (reason != MQTT_USE_ANOTHER_SERVER || reference.len == 0)
        return;
    p->server_reference = reference;
    mqtt_set(p, PROP_SERVER_REFERENCE);
}

static void unexplain(struct mqtt_properties *p)
{
    p->has &= ~(UINT64_C(1) << PROP_REASON_STRING);
}

void send_ack(struct conn *c, enum mqtt_packet_type type, uint16_t packet_id, uint8_t reason,
              const struct why *why)
{
    send_ack_when(c, type, packet_id, reason, why, (struct barrier){ 0 });
}

static void put_ack(struct conn *c, const struct slip *slip, uint8_t reason, const struct why *why)
{
    struct mqtt_ack ack = { .type = slip->type, .packet_id = slip->packet_id, .reason = reason };
    char text[REASON_TEXT_MAX];

    explain(c, &ack.properties, text, why);
    mqtt_write_ack(scratch(c), c->version, &ack);
    if (send_scratch(c, slip))
        return;
    unexplain(&ack.properties);
    mqtt_write_ack(scratch(c), c->version, &ack);
    (void)send_scratch(c, slip);
}

void send_ack_when(struct conn *c, enum mqtt_packet_type type, uint16_t packet_id, uint8_t reason,
                   const struct why *why, struct barrier barrier)
{
    put_ack(c, &(struct slip){ .type = type, .packet_id = packet_id, .ordered = true, .barrier = barrier },
            reason, why);
}

void send_ack_in_turn(struct conn *c, enum mqtt_packet_type type, uint16_t packet_id, uint8_t reason,
                      const struct why *why)
{
    put_ack(c, &(struct slip){ .type = type, .packet_id = packet_id, .in_turn = true }, reason, why);
}

void send_suback(struct conn *c, enum mqtt_packet_type type, uint16_t packet_id, struct span reasons,
                 const struct why *why, struct barrier barrier)
{
    struct slip slip = { .type = type, .packet_id = packet_id, .barrier = barrier };
    struct mqtt_suback ack = { .type = type, .packet_id = packet_id, .reasons = reasons };
    char text[REASON_TEXT_MAX];

    explain(c, &ack.properties, text, why);
    mqtt_write_suback(scratch(c), c->version, &ack);
    if (send_scratch(c, &slip))
        return;
    unexplain(&ack.properties);
    mqtt_write_suback(scratch(c), c->version, &ack);
    (void)send_scratch(c, &slip);
}

/* The return code that says the same, or none: MQTT311 [MQTT-3.2.2-6]. */
static bool send_connack3(struct conn *c, const struct mqtt_connack *connack, const struct slip *slip)
{
    struct mqtt_connack in3 = { .session_present = connack->session_present };
    enum mqtt3_return_code code;

    if (!mqtt3_code_of(connack->reason, &code))
        return true;
    in3.reason = (uint8_t)code;
    mqtt_write_connack(scratch(c), c->version, &in3);
    return send_scratch(c, slip);
}

bool send_connack(struct conn *c, struct mqtt_connack *connack, const struct why *why, struct barrier barrier)
{
    struct slip slip = { .type = MQTT_CONNACK, .barrier = barrier };
    char text[REASON_TEXT_MAX];

    if (c->version != MQTT_5)
        return send_connack3(c, connack, &slip);
    refer(c, &connack->properties, connack->reason);
    explain(c, &connack->properties, text, why);
    mqtt_write_connack(scratch(c), MQTT_5, connack);
    if (send_scratch(c, &slip))
        return true;
    unexplain(&connack->properties); /* MQTT5 [MQTT-3.2.2-19] */
    mqtt_write_connack(scratch(c), MQTT_5, connack);
    if (send_scratch(c, &slip))
        return true;
    connack->properties.raw = SPAN_NONE; /* MQTT5 [MQTT-3.2.2-20] */
    mqtt_write_connack(scratch(c), MQTT_5, connack);
    return send_scratch(c, &slip);
}

void send_disconnect(struct conn *c, uint8_t reason, const struct why *why)
{
    struct mqtt_disconnect d = { .reason = reason };
    char text[REASON_TEXT_MAX];

    if (c->version != MQTT_5) /* only clients send it there */
        return;
    refer(c, &d.properties, reason);
    explain(c, &d.properties, text, why);
    mqtt_write_disconnect(scratch(c), MQTT_5, &d);
    if (send_scratch(c, NULL))
        return;
    unexplain(&d.properties);
    mqtt_write_disconnect(scratch(c), MQTT_5, &d);
    (void)send_scratch(c, NULL);
}

void send_auth(struct conn *c, uint8_t reason, struct span data, struct barrier barrier)
{
    struct slip slip = { .type = MQTT_AUTH, .barrier = barrier };
    struct mqtt_auth auth = { .reason = reason };

    auth.properties.auth_method = SPAN(ACE_METHOD); /* MQTT5 [MQTT-4.12.0-5], MT-58 */
    mqtt_set(&auth.properties, PROP_AUTH_METHOD);
    if (data.len > 0) {
        auth.properties.auth_data = data;
        mqtt_set(&auth.properties, PROP_AUTH_DATA);
    }
    mqtt_write_auth(scratch(c), &auth);
    (void)send_scratch(c, &slip);
}

void send_pingresp(struct conn *c)
{
    mqtt_write_ping(scratch(c), MQTT_PINGRESP);
    (void)send_scratch(c, NULL);
}

/* ---- PUBLISH ---- */

static size_t put_ids(const struct delivery_options *how, uint8_t *out)
{
    size_t at = 0;

    for (uint8_t i = 0; i < how->n_ids; i++) {
        uint32_t id = how->ids[i];

        out[at++] = PROP_SUBSCRIPTION_ID;
        for (; id >= 128; id >>= 7)
            out[at++] = (uint8_t)(id | 0x80);
        out[at++] = (uint8_t)id;
    }
    return at;
}

/* The usual case needs no thinking: the bytes are there. */
static enum send_result send_wire(struct conn *c, const struct message *m, bool retain)
{
    uint8_t *room;

    if (m->wire_len > c->max_packet_bytes)
        return SEND_TOO_LARGE;
    room = packet_room(c, NULL, m->wire_len);
    if (room == NULL)
        return SEND_NO_ROOM;
    memcpy(room, m->wire, m->wire_len);
    room[0] = (uint8_t)(room[0] | (retain ? 1 : 0));
    return SEND_DONE;
}

static enum send_result send_publish3(struct conn *c, const struct mqtt_publish_out *p, const struct slip *slip)
{
    size_t size = mqtt_publish_size(p, MQTT_3_1_1);
    uint8_t *room;

    if (size == 0 || size > c->max_packet_bytes)
        return SEND_TOO_LARGE;
    room = packet_room(c, slip, size);
    if (room == NULL)
        return SEND_NO_ROOM;
    room += mqtt_publish_head(p, MQTT_3_1_1, room);
    if (p->payload.len > 0)
        memcpy(room, p->payload.p, p->payload.len);
    return SEND_DONE;
}

/* MQTT5 [MQTT-3.1.2-26], [MQTT-3.1.2-27]. */
static enum alias_use choose_alias(struct conn *c, const struct message *m, uint16_t *ret_alias)
{
    *ret_alias = 0;
    if (c->topic_alias_maximum == 0)
        return ALIAS_NONE;
    return alias_out_take(&c->aliases_out, c->topic_alias_maximum, message_topic(m),
                          message_topic_hash(m, c->shard->settings->home_key), ret_alias);
}

static void put_expiry(const struct conn *c, const struct message *m, struct mqtt_publish_out *p)
{
    int64_t left_ms = m->expires_ms - c->shard->now.mono.ms;

    if (m->expires_ms == TIME_NEVER)
        return;
    p->has_message_expiry = true;     /* what is left of it: MQTT5 [MQTT-3.3.2-6] */
    if (left_ms > MESSAGE_AT_ONCE_MS) /* else 0 */
        p->message_expiry_s = (uint32_t)((left_ms - MESSAGE_AT_ONCE_MS + MS_PER_S - 1) / MS_PER_S);
}

static enum send_result send_publish5(struct conn *c, const struct message *m, const struct mqtt_publish_out *p,
                                      const struct slip *slip)
{
    size_t size = mqtt_publish_size(p, MQTT_5), head, body;
    uint8_t *room;

    if (size == 0 || size > c->max_packet_bytes)
        return SEND_TOO_LARGE;
    room = packet_room(c, slip, size);
    if (room == NULL)
        return SEND_NO_ROOM;
    head = mqtt_publish_head(p, MQTT_5, room);
    body = m->wire_len - m->properties_at; /* properties and payload lie side by side */
    ASSERT(head + body == size);
    memcpy(room + head, m->wire + m->properties_at, body);
    return SEND_DONE;
}

/* With an alias in place of the topic, or beside it where the client has to learn it first. */
static enum send_result send_alias(struct conn *c, const struct message *m, struct mqtt_publish_out *p,
                                   enum alias_use use, uint16_t alias)
{
    enum send_result result;

    if (use == ALIAS_KNOWN)
        p->topic = SPAN("");
    p->topic_alias = alias;
    result = send_publish5(c, m, p, NULL);
    if (result == SEND_DONE && use == ALIAS_KNOWN)
        STATS_INC(&c->shard->stats, aliases_used);
    else if (result == SEND_DONE)
        STATS_INC(&c->shard->stats, aliases_told);
    if (result == SEND_DONE || use == ALIAS_KNOWN)
        return result;
    alias_out_forget(c->aliases_out, alias); /* the client has not learnt it */
    p->topic_alias = 0;
    return result == SEND_TOO_LARGE ? send_publish5(c, m, p, NULL) : result; /* without it there may be room */
}

enum send_result send_publish(struct conn *c, const struct message *m, const struct delivery_options *how,
                              uint16_t packet_id, bool dup, const struct barrier *barrier)
{
    uint8_t ids[DELIVERY_MAX_IDS * 5];
    struct mqtt_publish_out p;
    struct slip slip;
    uint16_t alias = 0;
    /* What others may pass on the way teaches no alias. */
    enum alias_use use = barrier == NULL ? choose_alias(c, m, &alias) : ALIAS_NONE;

    ASSERT(c->io != NULL);
    if (how->qos == 0 && how->n_ids == 0 && m->expires_ms == TIME_NEVER && use == ALIAS_NONE &&
        c->version == MQTT_5)
        return send_wire(c, m, how->retain);

    p = (struct mqtt_publish_out){ .qos = how->qos,
                                   .retain = how->retain,
                                   .dup = dup,
                                   .packet_id = packet_id,
                                   .topic = message_topic(m),
                                   .properties = message_properties(m),
                                   .payload = message_payload(m) };
    put_expiry(c, m, &p);
    p.subscription_ids = span_of(ids, put_ids(how, ids));
    if (barrier != NULL)
        slip =
            (struct slip){ .type = MQTT_PUBLISH, .packet_id = packet_id, .ordered = true, .barrier = *barrier };
    if (c->version != MQTT_5) /* properties stay behind, and the message goes without them */
        return send_publish3(c, &p, barrier == NULL ? NULL : &slip);
    if (use != ALIAS_NONE)
        return send_alias(c, m, &p, use, alias);
    return send_publish5(c, m, &p, barrier == NULL ? NULL : &slip);
}
