/* net/tls_world.h - for tests: client and server joined in memory, what one puts out is the other's input. */
#ifndef SYMBOLON_NET_TLS_WORLD_H
#define SYMBOLON_NET_TLS_WORLD_H

#include "net/test_certs.h"
#include "net/tls.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#define ONLY(version) "NORMAL:-VERS-ALL:+VERS-" version
#define ONLY_1_2      ONLY("TLS1.2")
#define ONLY_1_3      ONLY("TLS1.3")
#define ACE_LABEL     SPAN("EXPORTER-ACE-MQTT-Sign-Challenge")
#define BUF_MAX       (32u * 1024 * 1024)

struct tls_side {
    struct tls_config *config;
    struct tls_session *session;
    struct buf out; /* on its way to the other side */
    enum tls_result result;
    struct why why;
};

struct tls_pair {
    void *psk_ctx;
    struct tls_side client, server;
};

struct tls_variant {
    struct tls_settings client, server;
    struct tls_expect expect;
    void *psk_ctx; /* server */
};

struct tls_variant tls_usual(void); /* CA and name, as everywhere */
void tls_pair_init(struct tls_pair *p, const struct tls_variant *v);
void tls_pair_done(struct tls_pair *p);
/* One handshake call with everything the other side has sent. */
void tls_step(struct tls_side *to, struct tls_side *from);
void tls_join(struct tls_pair *p); /* steps until both are up or one failed */
bool tls_up(const struct tls_pair *p);
void tls_say(struct tls_side *from, struct span plain);
/* Everything there is to read at `to`, in one buffer; the result that ended it. */
enum tls_result tls_hear(struct tls_side *to, struct tls_side *from, struct buf *heard);
/* What the client was given to resume with, into `ticket`, which is set up here; false if nothing. A ticket of TLS 1.3 comes
 * after the handshake: it is listened for. */
bool tls_take_ticket(struct tls_pair *p, struct buf *ticket);
/* A second session with the same configurations; the client's may resume (expect->resume). */
void tls_again(struct tls_pair *p, const struct tls_expect *expect);

#endif
