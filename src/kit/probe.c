/* Optional features are asked for on the wire, once. */
#include "kit/say_priv.h"

#include "mqtt/reason.h"

/* A CONNECT of MQTT 3.1.1 without user name: refused in its own words by who speaks it. */
bool speaks_311(struct kit *k)
{
    CLEANUP(buf_done)
    struct buf body = { 0 };

    if (k->v311 != 0)
        return k->v311 > 0;
    struct peer *p = peer_new(k, NULL);
    if (p == NULL)
        return false;
    buf_init(&body, 256);
    put_prefixed16(&body, SPAN("MQTT"));
    put_u8(&body, 4);
    put_u8(&body, 2);
    put_u16(&body, 60);
    put_prefixed16(&body, span_of_str(new_client_id(k)));
    peer_speak_311(p);
    say_packet(p, MQTT_CONNECT << 4, buf_span(&body));
    const struct received *r = peer_receive(p, 0);
    bool yes = r->got == GOT_PACKET && r->frame.type == MQTT_CONNACK && r->frame.body.len == 2 &&
               r->reason != MQTT3_UNACCEPTABLE_VERSION;
    k->v311 = yes ? 1 : -1;
    peer_close(p);
    return yes;
}

/* Bytes that are no token are answered 0x99 there (RFC 9431 2.2.2), and nowhere else. */
bool takes_authz_info(struct kit *k)
{
    if (k->authz_info != 0)
        return k->authz_info > 0;
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_plain(k);
    say_connect(p, &c);
    const struct received *r = peer_receive(p, 0);
    bool yes = false;
    if (r->got == GOT_PACKET && r->frame.type == MQTT_CONNACK && r->reason == 0) {
        say_publish(p, "authz-info", "\x01 no token", 1, 1);
        r = peer_receive(p, 0);
        yes = r->got == GOT_PACKET && r->reason == MQTT_PAYLOAD_FORMAT_INVALID;
    }
    if (p != NULL)
        k->authz_info = yes ? 1 : -1;
    peer_close(p);
    return yes;
}
