/* kit/peer_priv.h - one MQTT connection of a case, seen from both sides of politeness: whole packets or any bytes
 * out, whole packets or the end in. A socket, TLS in memory (net/tls.h), and a deadline for everything. */
#ifndef SYMBOLON_KIT_PEER_PRIV_H
#define SYMBOLON_KIT_PEER_PRIV_H

#include "kit/case_priv.h"
#include "mqtt/packet.h"

struct peer_how {
    uint16_t port; /* 0: the settings' */
    bool plain;    /* no TLS */
    bool any_peer; /* whatever certificate it shows: the doctor looks at it, and sends no secret */
    bool tls12;
    const char *priorities;  /* GnuTLS; NULL: ours */
    const char *const *alpn; /* NULL: mqtt */
    bool no_alpn;
    struct span resume;        /* of an earlier session */
    const struct key *raw_key; /* shown as a raw public key (RFC 7250) */
    struct span psk_identity, psk_key;
};

enum peer_got { GOT_PACKET, GOT_END, GOT_NOTHING /* in time */, GOT_GARBAGE };

struct received {
    enum peer_got got;
    struct mqtt_frame frame;
    struct why why; /* of GOT_GARBAGE */
    uint8_t reason; /* of CONNACK, PUBACK and its like, DISCONNECT, AUTH */
    union {
        struct mqtt_connack connack;
        struct mqtt_publish publish;
        struct mqtt_ack ack;
        struct mqtt_suback suback;
        struct mqtt_disconnect disconnect;
        struct mqtt_auth auth;
    };
};

/* Connects and shakes hands; ERROR if there is nobody, FAIL if TLS is refused. `how` NULL: anonymous, TLS 1.3.
 * peer_try() leaves the judgement to the caller: NULL if it was refused, *ret_why says how. */
struct peer *peer_new(struct kit *k, const struct peer_how *how);
struct peer *peer_try(struct kit *k, const struct peer_how *how, struct why *ret_why);
void peer_speak_311(struct peer *p); /* packets are read in the layout of MQTT 3.1.1 from now on */
enum mqtt_version peer_version(const struct peer *p);
void peer_close(struct peer *p); /* without a word */
void peer_keep(struct peer *p);  /* outlives the case: the witness */
void peer_free(struct peer *p);
struct tls_session *peer_tls(struct peer *p); /* NULL: plain */
struct kit *kit_of(struct peer *p);

void peer_send(struct peer *p, struct span bytes);
/* What has come and was not taken, after waiting for the first of it, at most `ms`; for what is not MQTT. Valid until the
 * next call. */
struct span peer_bytes(struct peer *p, int64_t ms);
bool peer_ended(const struct peer *p);
/* The next packet, or how the connection ended; waits at most `ms` (0: the kit's patience). Never NULL; valid until the
 * next call. Once decided: GOT_NOTHING at once. */
const struct received *peer_receive(struct peer *p, int64_t ms);
/* "CONNACK 0x87 \"the token has expired\"" */
const char *describe(struct kit *k, const struct received *r);

/* Expectations. NULL, after fail(), if something else came. */
const struct received *expect(struct peer *p, enum mqtt_packet_type type);
const struct received *expect_reason(struct peer *p, enum mqtt_packet_type type, uint8_t reason);
bool expect_end(struct peer *p); /* nothing but the end of the connection */
/* CONNACK with 0x87, or with another failure, which RFC 9431 2.4.1 permits; then the end. */
bool expect_refused(struct peer *p);
/* DISCONNECT 0x87 (or CONNACK, before the connection was accepted), then the end. `also`: up to 4 more codes, ended by 0. */
bool expect_cut(struct peer *p, const uint8_t *also);
bool expect_alive(struct peer *p); /* PINGREQ is answered, and nothing else came before */

#endif
