/* B-9xx: sessions across connections (RFC 9431 2.2.4.1). */
#include "kit/say_priv.h"

#include "mqtt/reason.h"

static struct mqtt_connect lasting(struct kit *k, const char *client_id, bool clean)
{
    struct mqtt_connect c = connect_ace(k, SPAN(""));

    c.client_id = span_of_str(client_id);
    c.clean_start = clean;
    c.properties.session_expiry_s = 60;
    mqtt_set(&c.properties, PROP_SESSION_EXPIRY);
    return c;
}

/* Connects and leaves by a cut line; not applicable if the broker allows no session. */
static bool leave_a_session(struct kit *k, const char *client_id, struct span token, const struct key *key,
                            const char *filter)
{
    struct mqtt_connect c = lasting(k, client_id, true);
    struct peer *p = peer_new(k, NULL);

    if (p == NULL)
        return false;
    c.properties.auth_data = layout_a(k, token, proof(k, key, exporter_of(p)));
    say_connect(p, &c);
    const struct received *r = expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS);
    if (r == NULL)
        return false;
    if (mqtt_has(&r->connack.properties, PROP_SESSION_EXPIRY) && r->connack.properties.session_expiry_s == 0) {
        not_applicable(k, "the broker continues no sessions: Session Expiry Interval 0");
        return false;
    }
    if (!check(k, !r->connack.session_present, "Session Present with Clean Start 1"))
        return false;
    if (filter != NULL && !subscribed(p, filter, 1))
        return false;
    peer_close(p);
    return going(k);
}

static struct peer *come_back(struct kit *k, const char *client_id, struct span token, const struct key *key,
                              bool expected_present)
{
    struct mqtt_connect c = lasting(k, client_id, false);
    struct peer *p = peer_new(k, NULL);

    if (p == NULL)
        return NULL;
    c.properties.auth_data = layout_a(k, token, proof(k, key, exporter_of(p)));
    say_connect(p, &c);
    const struct received *r = expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS);
    if (r == NULL || !check(k, r->connack.session_present == expected_present,
                            expected_present ? "Session Present expected" : "no Session Present expected"))
        return NULL;
    saw(k, "Session Present %d", r->connack.session_present);
    return p;
}

static void fresh(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);

    (void)come_back(k, new_client_id(k), token, key, false);
}

static void continued(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    const char *id = new_client_id(k);

    if (leave_a_session(k, id, token, key, NULL))
        (void)come_back(k, id, token, key, true);
}

static void publish_from_another(struct kit *k, const char *topic, const char *payload)
{
    struct peer *p = open_good(k);

    say_publish(p, topic, payload, 1, 1);
    const struct received *r = expect(p, MQTT_PUBACK);
    if (r != NULL)
        (void)check(k, r->reason < 0x80, "the PUBLISH should have been accepted");
}

static void pending_delivered(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    const char *id = new_client_id(k), *topic = under_root(k, "session/a");

    if (!leave_a_session(k, id, token, key, topic))
        return;
    publish_from_another(k, topic, "while away");
    (void)expect_message(come_back(k, id, token, key, true), topic, "while away");
}

static void pending_checked_again(struct kit *k)
{
    const struct key *key = k->pop[POP_ED25519];
    const char *id = new_client_id(k), *topic = under_root(k, "session/b");

    if (!leave_a_session(k, id, token_for(k, key, NULL), key, topic))
        return;
    publish_from_another(k, topic, "not for you any more");
    struct span less = token_for(k, key, text(k, "[[\"%s\",[\"sub\"]]]", under_root(k, "session/other")));
    struct peer *p = come_back(k, id, less, key, true);
    if (p == NULL)
        return;
    say_ping(p);
    const struct received *r = peer_receive(p, 0);
    if (r->got == GOT_PACKET && (r->frame.type == MQTT_PINGRESP || r->frame.type == MQTT_DISCONNECT))
        saw(k, "not delivered");
    else
        fail(k, "PINGRESP expected, got %s", describe(k, r));
}

static void proof_needed_again(struct kit *k)
{
    const struct key *key = k->pop[POP_ED25519];
    struct span token = token_for(k, key, NULL);
    const char *id = new_client_id(k);

    if (!leave_a_session(k, id, token, key, NULL))
        return;
    struct mqtt_connect c = lasting(k, id, false);
    struct peer *p = peer_new(k, NULL);
    if (p == NULL)
        return;
    c.properties.auth_data = layout_a(k, token, proof(k, k->stranger[POP_ED25519], exporter_of(p)));
    say_connect(p, &c);
    (void)expect_refused(p);
}

static void token_needed_again(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    const char *id = new_client_id(k);

    if (!leave_a_session(k, id, token, key, NULL))
        return;
    struct mqtt_connect c = lasting(k, id, false);
    c.properties.has &= ~(UINT64_C(1) << PROP_AUTH_DATA);
    struct peer *p = peer_new(k, NULL);
    say_connect(p, &c);
    const struct received *r = peer_receive(p, 0);
    if (going(k) && r->got == GOT_PACKET && r->frame.type == MQTT_AUTH)
        saw(k, "the broker holds the token and asks for a proof (RFC 9431 2.2.4.2.2)");
    else if (going(k) && r->got == GOT_PACKET && r->frame.type == MQTT_CONNACK && r->reason >= 0x80)
        saw(k, "%s", describe(k, r));
    else
        fail(k, "refusal expected, got %s", describe(k, r));
}

static void ended(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    const char *id = new_client_id(k);
    struct mqtt_connect c = connect_ace(k, SPAN(""));

    c.client_id = span_of_str(id);
    struct peer *p = open_connect(k, &c, token, key);
    say_disconnect(p, 0);
    (void)expect_end(p);
    (void)come_back(k, id, token, key, false);
}

static void taken_over(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    const char *id = new_client_id(k);
    struct mqtt_connect c = lasting(k, id, true);
    struct peer *first = open_connect(k, &c, token, key);

    c = lasting(k, id, true);
    struct peer *second = open_connect(k, &c, token, key);
    if (expect_reason(first, MQTT_DISCONNECT, MQTT_SESSION_TAKEN_OVER) != NULL && expect_end(first))
        (void)expect_alive(second);
}

static void not_taken_over(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    const char *id = new_client_id(k);
    struct mqtt_connect c = lasting(k, id, true);
    struct peer *first = open_connect(k, &c, token, key), *second = peer_new(k, NULL);

    c = lasting(k, id, true);
    c.properties.auth_data = layout_a(k, token, fill_random(k, 64));
    say_connect(second, &c);
    (void)expect_refused(second);
    (void)expect_alive(first);
}

static void guest_takes_over(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    const char *id = new_client_id(k);
    struct mqtt_connect c = lasting(k, id, true);
    struct peer *first = open_connect(k, &c, token, key), *second = peer_new(k, NULL);

    c = connect_plain(k);
    c.client_id = span_of_str(id);
    say_connect(second, &c);
    const struct received *r = expect(second, MQTT_CONNACK);
    if (r == NULL)
        return;
    saw(k, "%s", describe(k, r));
    (void)expect_alive(first);
}

/* clang-format off */
static const struct kit_case cases[] = {
    { "B-901", "RFC 9431 2.4.2; MT-71", "a new session: Session Present 0", NEED_TOKEN, POLITE, fresh },
    { "B-902", "RFC 9431 2.2.4.1, 2.4.2; MT-70 MT-71 MT-72", "a session left behind is continued: Session Present 1", NEED_TOKEN, POLITE, continued },
    { "B-903", "RFC 9431 2.2.4.1; MT-74 MT-75", "what came meanwhile is delivered, subscriptions are kept", NEED_TOKEN, POLITE, pending_delivered },
    { "B-904", "RFC 9431 2.2.4.1; MT-74 MT-78 MT-98", "pending messages are checked against the new token", NEED_MINT, POLITE, pending_checked_again },
    { "B-905", "RFC 9431 2.2.4.1; MT-73", "coming back needs a proof", NEED_MINT, RUDE, proof_needed_again },
    { "B-906", "RFC 9431 2.2.4.1; MT-73 MT-94", "coming back needs a token, or a proof for the one the broker holds", NEED_TOKEN, RUDE, token_needed_again },
    { "B-907", "RFC 9431 5; MT-110", "with Session Expiry Interval 0 nothing is kept", NEED_TOKEN, POLITE, ended },
    { "B-908", "RFC 9431 2.2.4.1; MT-76", "who is taken over gets DISCONNECT 0x8E", NEED_TOKEN, POLITE, taken_over },
    { "B-909", "RFC 9431 2.2.4.1; MT-65 MT-76", "a refused CONNECT takes nobody over", NEED_MINT, RUDE, not_taken_over },
    { "B-910", "RFC 9431 8; MT-76 MT-20", "a client without a token takes no one over who has one", NEED_TOKEN, RUDE, guest_takes_over },
};
/* clang-format on */

const struct kit_theme theme_session = { "session", KIT_BROKER, cases, COUNT_OF(cases) };
