/* What a token needs: the proof at login, and its renewal in the session. */
#include "load/peer_priv.h"

#include "codec/base64.h"
#include "crypto/random.h"
#include "token/auth_data.h"

/* ---- logging in ---- */

static enum status make_proof(struct peer *peer, const struct identity *identity, struct buf *pop,
                              struct why *why)
{
    uint8_t exporter[ACE_EXPORTER_LEN];

    if (peer->link.tls == NULL)
        return reject(why, ST_UNSUPPORTED, "RFC 9431 2.2", "a token needs TLS", 0);
    enum status st = tls_exporter(peer->link.tls, SPAN(ACE_EXPORTER_LABEL), exporter, sizeof exporter, why);
    return st == ST_OK ? pop_make_exporter(identity->key, span_of(exporter, sizeof exporter), pop) : st;
}

enum status peer_prove(struct peer *peer, struct mqtt_connect *connect, struct buf *data, struct buf *pop,
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

/* ---- renewing (RFC 9431 4): layout B, a challenge, the answer, success ---- */

static void send_auth(struct peer *peer, uint8_t reason, struct span data)
{
    struct mqtt_auth auth = { .reason = reason };

    auth.properties.auth_method = SPAN(ACE_METHOD);
    auth.properties.auth_data = data;
    mqtt_set(&auth.properties, PROP_AUTH_METHOD);
    mqtt_set(&auth.properties, PROP_AUTH_DATA);
    mqtt_write_auth(link_plain(&peer->link), &auth);
    peer_sent(peer);
}

void peer_renew(struct peer *peer, const struct identity *identity)
{
    CLEANUP(buf_done)
    struct buf data;

    ASSERT(peer->asked_ns == 0);
    buf_init(&data, UINT16_MAX);
    if (auth_data_write_connect(identity->token, SPAN_NONE, &data) != ST_OK) {
        peer_fail(peer, "the token is too long");
        return;
    }
    peer->renewing = identity;
    peer->asked_ns = link_now();
    send_auth(peer, MQTT_REAUTHENTICATE, buf_span(&data));
}

static void answer_challenge(struct peer *peer, struct span rs_nonce)
{
    uint8_t nonce[ACE_NONCE_LEN];
    CLEANUP(buf_done)
    struct buf pop;
    CLEANUP(buf_done)
    struct buf data;

    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, UINT16_MAX);
    if (random_bytes(nonce, sizeof nonce) != ST_OK ||
        pop_make_nonces(peer->renewing->key, rs_nonce, span_of(nonce, sizeof nonce), &pop) != ST_OK ||
        auth_data_write_answer(span_of(nonce, sizeof nonce), buf_span(&pop), false, &data) != ST_OK)
        peer_fail(peer, "no answer to the broker's challenge");
    else
        send_auth(peer, MQTT_CONTINUE_AUTHENTICATION, buf_span(&data));
}

void peer_got_auth(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_auth auth;

    if (peer->renewing == NULL || mqtt_read_auth(frame, &auth, NULL) != ST_OK) {
        peer_fail(peer, "an AUTH that nobody waits for, or that cannot be read");
    } else if (auth.reason == MQTT_CONTINUE_AUTHENTICATION) {
        answer_challenge(peer, auth.properties.auth_data);
    } else {
        peer->renewing = NULL;
        peer->renewed(peer, peer_answered(peer));
    }
}
