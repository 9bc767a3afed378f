/* The witness: a well-behaved client that stays connected and subscribed while others misbehave. It must notice nothing. */
#include "kit/say_priv.h"

#include <stdlib.h>

static struct peer *open_witness(struct kit *k)
{
    struct mqtt_connect c;
    struct peer *p;

    if (k->s->public_topic == NULL || k->issuer_key != NULL || k->s->client_id != NULL)
        return open_good(k);
    p = peer_new(k, NULL);
    c = connect_plain(k);
    say_connect(p, &c);
    return expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS) != NULL ? p : NULL;
}

static const char *witness_topic(struct kit *k)
{
    bool guest = k->issuer_key == NULL && k->s->client_id == NULL;

    return guest ? k->s->public_topic : under_root(k, "witness");
}

void witness_ready(struct kit *k)
{
    if (k->witness != NULL || (k->issuer_key == NULL && k->s->client_id == NULL && k->s->public_topic == NULL))
        return;
    struct peer *p = open_witness(k);
    if (!subscribed(p, witness_topic(k), 0)) {
        if (going(k))
            trouble(k, "the witness could not subscribe to %s", witness_topic(k));
        return;
    }
    peer_keep(p);
    k->witness = p;
    buf_reset(&k->seen);
}

void witness_check(struct kit *k)
{
    struct peer *p = k->witness;

    if (p == NULL)
        return;
    say_publish(p, witness_topic(k), k->current->id, 0, 0);
    const struct received *r = peer_receive(p, 0);
    if (r->got == GOT_PACKET && r->frame.type == MQTT_PUBLISH &&
        span_eq_str(r->publish.payload, k->current->id))
        return;
    fail(k, "another client was disturbed: it got %s", describe(k, r));
    peer_free(p); /* a new one for the next case */
    k->witness = NULL;
}
