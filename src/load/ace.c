#include "load/ace.h"

#include "codec/base64.h"
#include "crypto/random.h"
#include "token/auth_data.h"

static enum status make_proof(const struct link *link, const struct key *key, struct buf *pop, struct why *why)
{
    uint8_t exporter[ACE_EXPORTER_LEN];

    if (link->tls == NULL)
        return reject(why, ST_UNSUPPORTED, "RFC 9431 2.2", "a token needs TLS", 0);
    enum status st = tls_exporter(link->tls, SPAN(ACE_EXPORTER_LABEL), exporter, sizeof exporter, why);
    return st == ST_OK ? pop_make_exporter(key, span_of(exporter, sizeof exporter), pop) : st;
}

enum status ace_prove(const struct link *link, const struct key *key, struct span token,
                      struct mqtt_connect *connect, struct buf *data, struct buf *pop, struct why *why)
{
    enum status st = make_proof(link, key, pop, why);

    if (st != ST_OK)
        return st;
    if (connect->version == MQTT_3_1_1) { /* RFC 9431 6.1 */
        put_str(data, ACE_METHOD);
        base64url_encode(token, data);
        connect->has_user_name = connect->has_password = true;
        connect->user_name = buf_span(data);
        connect->password = buf_span(pop);
        return buf_ok(data) ? ST_OK : reject(why, ST_TOO_LARGE, "RFC 9431 6.1", "the token is too long", 0);
    }
    st = auth_data_write_connect(token, buf_span(pop), data);
    connect->properties.auth_method = SPAN(ACE_METHOD);
    connect->properties.auth_data = buf_span(data);
    mqtt_set(&connect->properties, PROP_AUTH_METHOD);
    mqtt_set(&connect->properties, PROP_AUTH_DATA);
    return st;
}

void ace_write_auth(struct buf *out, uint8_t reason, struct span data)
{
    struct mqtt_auth auth = { .reason = reason };

    auth.properties.auth_method = SPAN(ACE_METHOD);
    auth.properties.auth_data = data;
    mqtt_set(&auth.properties, PROP_AUTH_METHOD);
    mqtt_set(&auth.properties, PROP_AUTH_DATA);
    mqtt_write_auth(out, &auth);
}

enum status ace_answer(const struct key *key, struct span rs_nonce, struct buf *data)
{
    uint8_t nonce[ACE_NONCE_LEN];
    CLEANUP(buf_done)
    struct buf pop;

    buf_init(&pop, ACE_POP_MAX);
    enum status st = random_bytes(nonce, sizeof nonce);
    if (st == ST_OK)
        st = pop_make_nonces(key, rs_nonce, span_of(nonce, sizeof nonce), &pop);
    return st == ST_OK ? auth_data_write_answer(span_of(nonce, sizeof nonce), buf_span(&pop), false, data) : st;
}
