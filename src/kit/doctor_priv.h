/* kit/doctor_priv.h - what the checks of the doctor share. A check is straight-line code over the kit's peers; it judges
 * by itself and never calls fail(). Everything a check made goes with it: doctor.c drops it. */
#ifndef SYMBOLON_KIT_DOCTOR_PRIV_H
#define SYMBOLON_KIT_DOCTOR_PRIV_H

#include "kit/doctor.h"
#include "kit/say_priv.h"
#include "net/tls_look.h"

struct doctor {
    const struct doctor_settings *s;
    struct kit k;
    struct kit_settings ks;
    doctor_report_fn *report;
    void *ctx;
    const char *theme;
    char root[48];  /* of all topics */
    bool over;      /* nothing that follows would make sense */
    bool trusted;   /* its certificate is good, for this host */
    bool v5, v311;  /* spoken */
    bool anonymous; /* somebody without a name may come in */
    bool ace;       /* method "ace" is known here */
    bool logged_in; /* somehow: the checks of messages can be made */
    uint32_t packet_max;
    uint8_t qos_max;
    bool retain, shared; /* by CONNACK */
    struct peer *silent; /* opened first, never says a word */
    int64_t silent_since;
    char as_url[1024]; /* from the settings or the hints; "": none */
    char audience[256];
};

/* Appends nothing: tells at once. `advice` may be NULL. */
void found(struct doctor *d, enum doctor_level level, const char *id, const char *advice, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

/* A connection as it usually is: to the port, with TLS or without, whatever certificate. NULL: *why says. */
struct peer *doctor_peer(struct doctor *d, struct why *why);
/* The same for secrets: if the server has shown once who it is, it must do so on this connection, too. */
struct peer *doctor_known_peer(struct doctor *d, struct why *why);
/* A CONNECT of our own: fresh identifier, clean start. */
struct mqtt_connect doctor_connect(struct doctor *d);
/* The answer to CONNECT, after answering a challenge is not tried. */
const struct received *doctor_say_connect(struct peer *p, const struct mqtt_connect *c);
/* Connects with what credentials there are (else anonymously); NULL if the broker refused: *ret says how, or is NULL. */
struct peer *doctor_login(struct doctor *d, struct mqtt_connect c, const struct received **ret);
const char *doctor_topic(struct doctor *d, const char *rest);
/* True if `r` is that packet. */
bool is_packet(const struct received *r, enum mqtt_packet_type type);
/* "80 ms" */
const char *took(struct doctor *d, int64_t ms);

/* Is MQTT spoken there without TLS? */
bool doctor_speaks_plain_mqtt(struct doctor *d, uint16_t port);
/* Its answer to a web request, the first line of it; false: none in words. */
bool doctor_speaks_http(struct doctor *d, bool plain, char *line, size_t cap);

/* One per file. */
void doctor_network(struct doctor *d);
void doctor_tls(struct doctor *d);
void doctor_websocket(struct doctor *d);
void doctor_mqtt(struct doctor *d);
void doctor_capabilities(struct doctor *d, const struct mqtt_connack *c);
void doctor_messages(struct doctor *d);
void doctor_limits(struct doctor *d);
void doctor_ace(struct doctor *d);
void doctor_silence(struct doctor *d);

#endif
