/* kit/say_priv.h - what a case says: packets, tokens, proofs. Each call builds and sends; spans live as long as the case. */
#ifndef SYMBOLON_KIT_SAY_PRIV_H
#define SYMBOLON_KIT_SAY_PRIV_H

#include "kit/peer_priv.h"
#include "token/auth_data.h"

/* ---- tokens ---- */

/* Members of a JWT as JSON texts, so that any of them can be wrong. */
#define CLAIMS_MAX 24
struct claims {
    struct kit *k;
    size_t count;
    struct {
        const char *name, *json;
    } rows[CLAIMS_MAX];
};

/* A token that any broker told to trust the kit takes: all rights under root, bound to `key`, good for an hour. */
struct claims claims_good(struct kit *k, const struct key *key);
void claims_set(struct claims *c, const char *name, const char *json);
void claims_drop(struct claims *c, const char *name);
void claims_scope(struct claims *c, const char *aif_json); /* as RFC 9431 carries it: base64url */
const char *claims_text(const struct claims *c);
const char *public_jwk(struct kit *k, const struct key *key); /* "{...}"; of a secret, the secret */

struct span sign_claims(const struct claims *c); /* JWS by the issuer key; a secret key inside: JWE */
/* Any header, any payload: header.payload.signature under `key` (NULL: an empty signature). */
struct span sign_text(struct kit *k, const char *header, struct span payload, const struct key *key);
struct span encrypt_text(struct kit *k, struct span payload, const char *cty);
const char *b64(struct kit *k, struct span bytes);

/* A good token for key number `kind`, minted, or from the AS (then the AS's secret is the key: *ret_key). */
struct span good_token(struct kit *k, enum pop_kind kind, const struct key **ret_key);
struct span token_for(struct kit *k, const struct key *key, const char *aif_json);
struct span token_for_life(struct kit *k, const struct key *key, const char *aif_json, int64_t seconds);

/* ---- proofs ---- */

struct span exporter_of(struct peer *p);
struct span proof(struct kit *k, const struct key *key, struct span data);
struct span der_of(struct kit *k, struct span raw); /* r|s as an ASN.1 SEQUENCE: what must not be accepted */
struct span der_proof(struct kit *k, struct peer *p, const struct key *key);
struct span layout_a(struct kit *k, struct span token, struct span pop);
struct span layout_b(struct kit *k, struct span token);
struct span answer_d9(struct kit *k, struct span nonce, struct span pop);
struct span answer_d6(struct kit *k, struct span nonce, struct span pop);
struct span joined(struct kit *k, struct span a, struct span b);

/* ---- packets ---- */

/* A CONNECT to be changed before it is sent; clean start, keep alive 60, a fresh client identifier. */
struct mqtt_connect connect_plain(struct kit *k);
struct mqtt_connect connect_ace(struct kit *k, struct span auth_data); /* .p NULL: no Authentication Data */
void say_connect(struct peer *p, const struct mqtt_connect *c);
void say_auth(struct peer *p, uint8_t reason, struct span data);
void say_auth_as(struct peer *p, uint8_t reason, const char *method, struct span data);
void say_publish(struct peer *p, const char *topic, const char *payload, uint8_t qos, uint16_t packet_id);
void say_publish_bytes(struct peer *p, const char *topic, struct span payload, uint8_t qos, bool retain,
                       uint16_t packet_id);
void say_subscribe(struct peer *p, const char *filter, uint8_t qos);
void say_subscribe_span(struct peer *p, struct span filter, uint8_t qos);
void say_disconnect(struct peer *p, uint8_t reason);
void say_ping(struct peer *p);
void say_packet(struct peer *p, uint8_t first_byte, struct span body); /* any body under a right length */

/* ---- conversations ---- */

/* Expects AUTH 0x18 with 8 bytes; returns them, or an empty span after fail(). */
struct span expect_challenge(struct peer *p);
void answer_challenge(struct peer *p, const struct key *key);
/* Connects with the proof over the exporter, or by challenge and response; NULL after fail(). */
struct peer *open_with(struct kit *k, struct span token, const struct key *key);
struct peer *open_by_challenge(struct kit *k, struct span token, const struct key *key);
struct peer *open_connect(struct kit *k, struct mqtt_connect *c, struct span token, const struct key *key);
/* A minted token with this scope, and a connection that has it. */
struct peer *open_scoped(struct kit *k, const char *aif_json);
struct peer *open_good(struct kit *k);
bool subscribed(struct peer *p, const char *filter, uint8_t qos); /* SUBSCRIBE accepted */
void expect_suback(struct peer *p, uint8_t code);                 /* one code */
/* PUBLISH with this topic and payload is the next thing. */
const struct received *expect_message(struct peer *p, const char *topic, const char *payload);
/* What comes next, behind a challenge answered with `key` if the broker gives one: it may judge the token after the
 * proof. */
const struct received *receive_behind_challenge(struct peer *p, const struct key *key);
/* A token that is presented must be refused with 0x87 by challenge: before or after the answer. */
void must_refuse_token(struct kit *k, struct span token, const struct key *key);
void must_accept_token(struct kit *k, struct span token, const struct key *key);

/* A token that ends in two to three seconds, by the broker's clock and tolerance; and the wait for what
 * follows: DISCONNECT 0x87, or at least no answer any more. */
struct span short_token(struct kit *k, const struct key *key, const char *aif_json);
void wait_expiry(struct kit *k, struct peer *p);

/* A client without a token, and a token put on authz-info by one (theme_authz_info.c). */
struct peer *open_guest(struct kit *k);
bool put_token(struct kit *k, struct span token);

#endif
