/* Messages there and back, and the limits that trying shows. All topics lie under the doctor's own. */
#include "kit/doctor_priv.h"

#include <stdio.h>

#define QUIET_MS 500 /* to wait for what may not come */
#define PACKETS  5   /* of QoS 2, there and back, that are waited for */
#define LONG_ID  1024
#define LEVELS   64
#define PIECE    (64u << 10)
#define LARGE    (512u << 10)

static struct peer *in(struct doctor *d, const struct received **r)
{
    struct mqtt_connect c = doctor_connect(d);

    c.version = d->v5 ? MQTT_5 : MQTT_3_1_1;
    return d->logged_in ? doctor_login(d, c, r) : NULL;
}

/* The code of the SUBACK; 0xFF without one. */
static uint8_t subscribe(struct peer *p, const char *filter, uint8_t qos)
{
    say_subscribe(p, filter, qos);
    const struct received *r = peer_receive(p, 0);
    return is_packet(r, MQTT_SUBACK) && r->suback.reasons.len == 1 ? r->suback.reasons.p[0] : 0xFF;
}

/* Publishes and takes what comes until message and answer are there. A reason code of PUBACK or PUBREC >= 0x80, or
 * what else came, goes to *ret_code. */
static bool there_and_back(struct peer *p, const char *topic, const char *payload, uint8_t qos,
                           uint8_t *ret_code)
{
    bool answered = qos == 0, arrived = false;
    int64_t until = mono_ms() + PACKETS * kit_of(p)->wait_ms;

    *ret_code = 0;
    say_publish(p, topic, payload, qos, 7);
    while (!answered || !arrived) {
        const struct received *r = mono_ms() < until ? peer_receive(p, 0) : NULL;
        if (is_packet(r, MQTT_PUBACK) || is_packet(r, MQTT_PUBREC) || is_packet(r, MQTT_PUBCOMP)) {
            if (r->reason >= 0x80) {
                *ret_code = r->reason;
                return false;
            }
            if (r->frame.type == MQTT_PUBREC)
                say_packet(p, MQTT_PUBREL << 4 | 2, span_of((const uint8_t[]){ 0, 7 }, 2));
            else
                answered = true;
        } else if (is_packet(r, MQTT_PUBREL)) {
            uint8_t id[2] = { (uint8_t)(r->ack.packet_id >> 8), (uint8_t)r->ack.packet_id };
            say_packet(p, MQTT_PUBCOMP << 4, span_of(id, 2));
        } else if (is_packet(r, MQTT_PUBLISH)) {
            uint8_t id[2] = { (uint8_t)(r->publish.packet_id >> 8), (uint8_t)r->publish.packet_id };
            arrived |= span_eq_str(r->publish.topic.s, topic) && span_eq_str(r->publish.payload, payload);
            if (r->publish.qos > 0)
                say_packet(p, (uint8_t)((r->publish.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC) << 4),
                           span_of(id, 2));
        } else {
            *ret_code = is_packet(r, MQTT_DISCONNECT) ? r->reason : 0xFF;
            return false;
        }
    }
    return true;
}

static void round_trips(struct doctor *d, struct peer *p)
{
    for (uint8_t qos = 0; qos <= d->qos_max; qos++) {
        uint8_t code = 0;
        const char *topic = doctor_topic(d, text(&d->k, "qos%u", qos));
        int64_t start = mono_ms();
        if (there_and_back(p, topic, "symbolon doctor", qos, &code))
            found(d, DOCTOR_OK, "round-trip", NULL, "A message of QoS %u is there and back in %s.", qos,
                  took(d, mono_ms() - start));
        else
            found(d, DOCTOR_WARNING, "round-trip",
                  code == MQTT_NOT_AUTHORIZED ? "Allow symbolon-doctor/# to these credentials to see more."
                                              : NULL,
                  "A message of QoS %u does not come back: %s.", qos,
                  code == 0xFF ? "nothing answers it" : mqtt_reason_name(MQTT_PUBACK, code));
        if (code != 0)
            return; /* the connection may be gone */
    }
}

static void retained(struct doctor *d, struct peer *p)
{
    const struct received *r;
    const char *topic = doctor_topic(d, "retained");

    if (!d->retain)
        return;
    say_publish_bytes(p, topic, SPAN("kept"), 1, true, 8);
    r = peer_receive(p, 0);
    bool taken = is_packet(r, MQTT_PUBACK) && r->reason < 0x80;
    struct peer *late = in(d, &r);
    bool kept = taken && late != NULL && subscribe(late, topic, 0) <= 2 &&
                is_packet(peer_receive(late, 0), MQTT_PUBLISH);
    say_publish_bytes(p, topic, SPAN_NONE, 1, true, 9); /* and away with it */
    (void)peer_receive(p, 0);
    found(d, kept ? DOCTOR_OK : DOCTOR_WARNING, "retained-message", NULL,
          kept ? "A retained message waits for late subscribers (and was taken away again)."
               : "A retained message does not reach a late subscriber.");
    peer_close(late);
}

static void shared(struct doctor *d)
{
    const struct received *r;
    struct peer *p = in(d, &r);
    uint8_t code = 0;
    const char *topic = doctor_topic(d, "shared");

    if (p == NULL || !d->shared) {
        peer_close(p);
        return;
    }
    uint8_t answer = subscribe(p, text(&d->k, "$share/doctor/%s", topic), 1);
    if (answer > 2)
        found(d, DOCTOR_NOTE, "shared-subscription", NULL, "A shared subscription is refused: %s.",
              mqtt_reason_name(MQTT_SUBACK, answer));
    else if (there_and_back(p, topic, "shared", 1, &code))
        found(d, DOCTOR_OK, "shared-subscription", NULL, "A shared subscription delivers.");
    else
        found(d, DOCTOR_WARNING, "shared-subscription", NULL,
              "A shared subscription is accepted but does not deliver.");
    peer_close(p);
}

static void sys_banner(struct doctor *d)
{
    const struct received *r;
    struct peer *p = in(d, &r);

    if (p == NULL)
        return;
    say_subscribe(p, "$SYS/broker/version", 0);
    for (int i = 0; i < 2; i++) {
        r = peer_receive(p, QUIET_MS);
        if (!is_packet(r, MQTT_PUBLISH))
            continue;
        found(d, DOCTOR_NOTE, "banner", NULL, "It calls itself \"%.*s\" ($SYS/broker/version).",
              SPAN_FMT(r->publish.payload));
        break;
    }
    peer_close(p);
}

void doctor_messages(struct doctor *d)
{
    const struct received *r;
    struct peer *p = in(d, &r);

    if (p == NULL)
        return;
    uint8_t code = subscribe(p, doctor_topic(d, "#"), d->qos_max);
    if (code <= 2) {
        round_trips(d, p);
        peer_close(p);
        p = in(d, &r);
        if (p != NULL)
            retained(d, p);
        shared(d);
    } else {
        found(d, DOCTOR_NOTE, "subscribe", "Allow symbolon-doctor/# to these credentials to see more.",
              "A subscription to %s is refused: %s.", doctor_topic(d, "#"),
              code == 0xFF ? "no SUBACK came" : mqtt_reason_name(MQTT_SUBACK, code));
    }
    peer_close(p);
    sys_banner(d);
}

/* ---- limits ---- */

static void long_client_id(struct doctor *d)
{
    struct mqtt_connect c = doctor_connect(d);
    const struct received *r;

    c.client_id = repeated(&d->k, "d", LONG_ID);
    struct peer *p = doctor_login(d, c, &r);
    found(d, DOCTOR_NOTE, "client-id", NULL, "A client identifier of %d bytes is %s%s.", LONG_ID,
          p != NULL ? "accepted" : "refused: ", p != NULL || r == NULL ? "" : describe(&d->k, r));
    peer_close(p);
}

/* True if the broker takes a message of QoS 1 on that topic. */
static bool takes(struct doctor *d, const char *topic, struct span payload, const char **ret_answer)
{
    const struct received *r;
    struct peer *p = in(d, &r);

    if (p == NULL) {
        *ret_answer = "no connection";
        return false;
    }
    say_publish_bytes(p, topic, payload, 1, false, 3);
    r = peer_receive(p, 0);
    bool yes = is_packet(r, MQTT_PUBACK) && r->reason < 0x80;
    *ret_answer = describe(&d->k, r);
    peer_close(p);
    return yes;
}

static void deep_topic(struct doctor *d)
{
    const char *answer;
    struct span deep = repeated(&d->k, "/l", LEVELS);
    bool yes = takes(d, text(&d->k, "%s%.*s", d->root, SPAN_FMT(deep)), SPAN("x"), &answer);

    found(d, DOCTOR_NOTE, "topic-levels", NULL, "A topic of %d levels is %s%s.", LEVELS + 2,
          yes ? "accepted" : "refused: ", yes ? "" : answer);
}

static void utf8(struct doctor *d)
{
    const char *answer;
    bool yes = takes(d, text(&d->k, "%s/\xc3\xa9\xe2\x9c\x93\xf0\x9f\x8c\xb3", d->root), SPAN("x"), &answer);

    found(d, yes ? DOCTOR_OK : DOCTOR_WARNING, "utf8", NULL, "A topic with letters beyond ASCII is %s%s.",
          yes ? "accepted" : "refused: ", yes ? "" : answer);
}

static void large_packets(struct doctor *d)
{
    const char *answer = "";
    size_t taken = 0;

    for (size_t size = PIECE; size <= LARGE && size + 1024 < d->packet_max; size *= 2) {
        if (!takes(d, doctor_topic(d, "large"), repeated(&d->k, "0123456789abcdef", size / 16), &answer)) {
            found(d, DOCTOR_NOTE, "large-message", NULL, "A message of %zu KiB is refused: %s.", size >> 10,
                  answer);
            break;
        }
        taken = size;
    }
    if (taken > 0)
        found(d, DOCTOR_OK, "large-message", NULL, "Messages of %zu KiB are accepted%s.", taken >> 10,
              taken == LARGE ? " (larger ones were not tried)" : "");
}

void doctor_limits(struct doctor *d)
{
    const char *answer;

    if (!d->logged_in)
        return;
    if (d->v5)
        long_client_id(d);
    if (!takes(d, doctor_topic(d, "small"), SPAN("x"), &answer))
        return; /* nothing may be published; that was said above */
    deep_topic(d);
    utf8(d);
    large_packets(d);
}
