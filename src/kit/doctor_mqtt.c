/* Which MQTT is spoken, who may come in, and what CONNACK promises. */
#include "kit/doctor_priv.h"

#include <stdio.h>

/* ---- versions ---- */

static bool v31_spoken(struct doctor *d)
{
    CLEANUP(buf_done)
    struct buf body = { 0 };
    struct why why;
    struct peer *p = doctor_peer(d, &why);

    if (p == NULL)
        return false;
    buf_init(&body, 256);
    put_prefixed16(&body, SPAN("MQIsdp"));
    put_u8(&body, MQTT_3_1);
    put_u8(&body, 2);
    put_u16(&body, 60);
    put_prefixed16(&body, span_of_str(text(&d->k, "doctor-%s", b64(&d->k, fill_random(&d->k, 6)))));
    peer_speak_311(p);
    say_packet(p, MQTT_CONNECT << 4, buf_span(&body));
    const struct received *r = peer_receive(p, 0);
    bool yes = is_packet(r, MQTT_CONNACK) && r->reason != MQTT3_UNACCEPTABLE_VERSION;
    peer_close(p);
    return yes;
}

static bool v311_spoken(struct doctor *d, bool *ret_anonymous)
{
    struct why why;
    struct mqtt_connect c = doctor_connect(d);
    struct peer *p = doctor_peer(d, &why);

    c.version = MQTT_3_1_1;
    const struct received *r = p == NULL ? NULL : doctor_say_connect(p, &c);
    bool yes = is_packet(r, MQTT_CONNACK) && r->reason != MQTT3_UNACCEPTABLE_VERSION;
    *ret_anonymous = yes && r->reason == MQTT3_ACCEPTED;
    peer_close(p);
    return yes;
}

/* No CONNACK came: what did? */
static void no_connack(struct doctor *d, const struct received *r)
{
    char line[64];

    d->over = true;
    if (doctor_speaks_http(d, d->s->plain, line, sizeof line))
        found(d, DOCTOR_PROBLEM, "not-mqtt", "Is this the right port?",
              "MQTT is not spoken on port %u; it answers a web request with \"%s\".", d->s->port, line);
    else if (r->got == GOT_GARBAGE || r->got == GOT_PACKET)
        found(d, DOCTOR_PROBLEM, "not-mqtt", "Is this the right port?",
              "CONNECT is answered with something else: %s.", describe(&d->k, r));
    else if (r->got == GOT_END)
        found(d, DOCTOR_PROBLEM, "not-mqtt",
              "Either it is no MQTT broker, or it wants a client certificate, or refuses this machine: its log "
              "will say.",
              "It closes the connection at CONNECT without an answer, in MQTT 5 and in 3.1.1.");
    else
        found(d, DOCTOR_PROBLEM, "not-mqtt", "Is something else listening on that port, or the broker stuck?",
              "It accepts the connection and never answers CONNECT.");
}

static void tell_versions(struct doctor *d, bool v31)
{
    if (d->v5)
        found(d, DOCTOR_OK, "mqtt-versions", NULL, "It speaks MQTT 5%s%s.", d->v311 ? ", 3.1.1" : "",
              v31 ? " and even 3.1" : "");
    else
        found(d, DOCTOR_NOTE, "mqtt-versions",
              "MQTT 5 tells reasons, limits and expiry; ACE works best with it.",
              "It speaks MQTT 3.1.1%s, but not 5.", v31 ? " and 3.1" : "");
    if (d->v5 && !d->v311)
        found(d, DOCTOR_NOTE, "mqtt-311", "Many devices speak nothing else.", "MQTT 3.1.1 is not spoken.");
}

/* ---- who may come in ---- */

static void tell_anonymous(struct doctor *d, uint8_t refusal)
{
    if (d->anonymous)
        found(d, DOCTOR_WARNING, "anonymous",
              "If that is not meant for public topics only, demand tokens, passwords or certificates.",
              "Anybody may connect without saying who they are.");
    else
        found(d, DOCTOR_OK, "anonymous", NULL, "Nobody gets in without credentials: CONNACK 0x%02x (%s).",
              refusal, mqtt_reason_name(MQTT_CONNACK, refusal));
}

static void tell_credentials(struct doctor *d, const struct received *r, bool in)
{
    bool token = d->s->token.len > 0;
    const char *what = token ? "The token and the proof over the TLS exporter" : "User name and password";

    if (!d->trusted && !d->s->plain)
        found(d, DOCTOR_PROBLEM, "login", "See under TLS.",
              "The credentials were not sent: this server has not shown that it is %s.", d->s->host);
    else if (r == NULL)
        found(
            d, DOCTOR_PROBLEM, "login", "Do several servers answer to this name?",
            "The credentials were not sent: the next connection failed, or was not to a server that has shown "
            "that it is %s.",
            d->s->host);
    else if (in)
        found(d, DOCTOR_OK, "login", NULL, "%s are accepted.", what);
    else
        found(d, DOCTOR_PROBLEM, "login",
              token ? "\"symbolon token inspect\" shows what the token says: audience, issuer and life must "
                      "fit the broker."
                    : "Check them with the broker's administrator.",
              "%s are refused: %s.", what, describe(&d->k, r));
}

/* ---- what CONNACK promises ---- */

static void tell_limits(struct doctor *d, const struct mqtt_properties *p)
{
    if (mqtt_has(p, PROP_MAXIMUM_PACKET_SIZE))
        found(d, DOCTOR_NOTE, "maximum-packet-size", NULL, "Packets may have %u bytes.",
              p->maximum_packet_size);
    else
        found(d, DOCTOR_NOTE, "maximum-packet-size", NULL, "It names no limit for the size of packets.");
    found(d, DOCTOR_NOTE, "receive-maximum", NULL,
          "Messages of QoS 1 and 2 that may be under way to it at once: %u.", mqtt_receive_maximum(p));
    found(d, DOCTOR_NOTE, "topic-alias-maximum", NULL, "Topic aliases it takes: %u.",
          mqtt_has(p, PROP_TOPIC_ALIAS_MAXIMUM) ? p->topic_alias_maximum : 0);
    if (mqtt_has(p, PROP_SESSION_EXPIRY))
        found(d, DOCTOR_NOTE, "session-expiry", NULL, "It shortens sessions to %u s.", p->session_expiry_s);
    if (mqtt_has(p, PROP_SERVER_KEEP_ALIVE))
        found(d, DOCTOR_NOTE, "server-keep-alive", NULL, "It sets the keep alive itself: %u s.",
              p->server_keep_alive_s);
    if (mqtt_has(p, PROP_RESPONSE_INFO))
        found(d, DOCTOR_NOTE, "response-information", NULL, "For response topics it proposes \"%.*s\".",
              SPAN_FMT(p->response_info));
}

static void feature(struct doctor *d, bool has, const char *id, const char *name)
{
    found(d, has ? DOCTOR_OK : DOCTOR_NOTE, id, NULL, "%s: %s.", name, has ? "yes" : "no, it says");
}

static bool available(const struct mqtt_properties *p, enum mqtt_property id, uint8_t value)
{
    return !mqtt_has(p, id) || value != 0;
}

void doctor_capabilities(struct doctor *d, const struct mqtt_connack *c)
{
    const struct mqtt_properties *p = &c->properties;

    d->qos_max = mqtt_maximum_qos(p);
    d->retain = available(p, PROP_RETAIN_AVAILABLE, p->retain_available);
    d->shared = available(p, PROP_SHARED_AVAILABLE, p->shared_available);
    d->packet_max = mqtt_maximum_packet_size(p);
    tell_limits(d, p);
    found(d, d->qos_max == 2 ? DOCTOR_OK : DOCTOR_NOTE, "maximum-qos", NULL, "Maximum QoS: %u.", d->qos_max);
    feature(d, d->retain, "retain", "Retained messages");
    feature(d, d->shared, "shared", "Shared subscriptions");
    feature(d, available(p, PROP_WILDCARD_AVAILABLE, p->wildcard_available), "wildcards",
            "Wildcards in filters");
    feature(d, available(p, PROP_SUBSCRIPTION_ID_AVAILABLE, p->subscription_id_available), "subscription-ids",
            "Subscription identifiers");
}

/* Without an identifier of our own. */
static void assigned_id(struct doctor *d)
{
    struct mqtt_connect c = doctor_connect(d);
    const struct received *r;

    c.client_id = SPAN("");
    struct peer *p = doctor_login(d, c, &r);
    if (p != NULL && mqtt_has(&r->connack.properties, PROP_ASSIGNED_CLIENT_ID))
        found(d, DOCTOR_OK, "assigned-id", NULL, "It gives clients without an identifier one.");
    else
        found(d, DOCTOR_NOTE, "assigned-id", NULL, "It gives clients without an identifier none%s%s.",
              p == NULL && r != NULL ? ": " : "", p == NULL && r != NULL ? describe(&d->k, r) : "");
    peer_close(p);
}

static void log_in(struct doctor *d)
{
    struct mqtt_connect c = doctor_connect(d);
    const struct received *r = NULL;
    bool credentials = d->s->token.len > 0 || d->s->user != NULL;

    c.version = d->v5 ? MQTT_5 : MQTT_3_1_1;
    c.properties.request_response_info = 1;
    mqtt_set(&c.properties, PROP_REQUEST_RESPONSE_INFO);
    struct peer *p = d->anonymous || credentials ? doctor_login(d, c, &r) : NULL;
    d->logged_in = p != NULL;
    if (credentials)
        tell_credentials(d, r, p != NULL);
    else if (p == NULL)
        found(d, DOCTOR_NOTE, "login",
              "Give a user (-u, -P), a token (--token, --key) or a profile to see more.",
              "Without credentials there is no more to be seen of messages and limits.");
    if (p != NULL && d->v5) {
        doctor_capabilities(d, &r->connack);
        assigned_id(d);
    } else {
        d->qos_max = 2;
        d->retain = d->shared = true;
        d->packet_max = MQTT_PACKET_SIZE_MAX;
    }
    peer_close(p);
}

void doctor_mqtt(struct doctor *d)
{
    struct why why = { "", "", 0 };
    struct mqtt_connect c = doctor_connect(d);
    struct peer *p = doctor_peer(d, &why);
    bool anonymous311 = false;

    if (p == NULL) {
        found(d, DOCTOR_PROBLEM, "not-mqtt", NULL, "The second connection already fails: %s (%s).", why.text,
              why.clause);
        d->over = true;
        return;
    }
    int64_t start = mono_ms();
    const struct received *r = doctor_say_connect(p, &c);
    int64_t ms = mono_ms() - start;
    d->v5 = is_packet(r, MQTT_CONNACK) && r->reason != MQTT_UNSUPPORTED_VERSION;
    uint8_t refusal = d->v5 ? r->reason : MQTT_NOT_AUTHORIZED;
    d->anonymous = d->v5 && refusal == MQTT_SUCCESS;
    d->v311 = v311_spoken(d, &anonymous311);
    if (!d->v5 && !d->v311) {
        no_connack(d, r);
        return;
    }
    tell_versions(d, v31_spoken(d));
    if (d->v5)
        found(d, DOCTOR_OK, "connack", NULL, "CONNACK comes after %s.", took(d, ms));
    else
        d->anonymous = anonymous311;
    tell_anonymous(d, refusal);
    if (d->v5 && d->v311 && d->anonymous != anonymous311)
        found(d, DOCTOR_WARNING, "anonymous-311", "Make both versions follow the same rule.",
              "Without credentials MQTT 3.1.1 is %s and MQTT 5 is not.", anonymous311 ? "let in" : "refused");
    peer_close(p);
    log_in(d);
}
