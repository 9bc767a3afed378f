/* The witness: a well-behaved client that stays connected and subscribed while others misbehave. It must notice nothing. */
#include "kit/say_priv.h"

static struct peer *open_visitor(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_plain(k);

    say_connect(p, &c);
    return expect_reason(p, MQTT_CONNACK, 0) != NULL ? p : NULL;
}

/* Whatever comes of it is not the case's verdict. */
static bool settle(struct kit *k, struct peer *p, const char *topic)
{
    bool ready = subscribed(p, topic, 0);

    k->decided = false;
    buf_reset(&k->seen);
    if (ready) {
        peer_keep(p);
        k->witness = p;
        k->witness_topic = topic == k->s->public_topic ? WITNESS_PUBLIC : WITNESS_OWN;
    }
    return ready;
}

static const char *witness_topic(struct kit *k)
{
    return k->witness_topic == WITNESS_PUBLIC ? k->s->public_topic : under_root(k, "witness");
}

void witness_ready(struct kit *k)
{
    bool tokens = k->issuer_key != NULL || (k->s->as_url != NULL && k->s->client_id != NULL);

    if (k->witness != NULL || k->no_witness)
        return;
    if (tokens && settle(k, open_good(k), under_root(k, "witness")))
        return;
    if (k->s->public_topic != NULL && settle(k, open_visitor(k), k->s->public_topic))
        return;
    k->no_witness = true; /* no client of ours gets in: nobody to be disturbed */
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
