/* What a token needs: the proof at login, and its renewal in the session. */
#include "load/peer_priv.h"

#include "load/ace.h"
#include "token/auth_data.h"

enum status peer_prove(struct peer *peer, struct mqtt_connect *connect, struct buf *data, struct buf *pop,
                       struct why *why)
{
    const struct login *login = peer->world->login;
    const struct identity *identity = &login->identities[peer->number % login->count];

    return ace_prove(&peer->link, identity->key, identity->token, connect, data, pop, why);
}

/* ---- renewing (RFC 9431 4): layout B, a challenge, the answer, success ---- */

static void send_auth(struct peer *peer, uint8_t reason, struct span data)
{
    ace_write_auth(link_plain(&peer->link), reason, data);
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
    CLEANUP(buf_done)
    struct buf data;

    buf_init(&data, UINT16_MAX);
    if (ace_answer(peer->renewing->key, rs_nonce, &data) != ST_OK)
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
