/* kit/doctor.h - looks at any MQTT broker over the wire and says in words what it found: how it is reached, its TLS, the
 * versions and features it speaks, its limits, and whether authorization by ACE (RFC 9431) works there. It is a polite
 * guest: a bounded number of connections one after the other, topics under symbolon-doctor/<random> alone, retained
 * messages taken away again, secrets only to a server whose certificate is good.
 * Blocking, one thread. Texts are lent for the call. */
#ifndef SYMBOLON_KIT_DOCTOR_H
#define SYMBOLON_KIT_DOCTOR_H

#include "base/status.h"
#include "crypto/key.h"

enum doctor_level { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_WARNING, DOCTOR_PROBLEM, DOCTOR_LEVELS };

struct doctor_finding {
    enum doctor_level level;
    const char *theme;  /* "TLS" */
    const char *id;     /* stable: "tls-certificate" */
    const char *text;   /* what was found, and what it means */
    const char *advice; /* what to do about it; NULL: nothing */
};

typedef void doctor_report_fn(void *ctx, const struct doctor_finding *finding);

struct doctor_settings {
    const char *host;
    uint16_t port;
    bool plain; /* the port speaks MQTT without TLS */
    uint16_t
        plain_port; /* where MQTT without TLS would usually be, to be looked at beside `port`; 0: nowhere */
    const char *ca_file;         /* NULL: the system's */
    const char *user, *password; /* NULL: none */
    struct span token;           /* none: empty */
    const struct key *token_key;
    const char *as_url; /* NULL: what the broker hints at */
    const char *as_ca;  /* NULL: ca_file */
    int64_t wait_ms;    /* the longest for one answer; 0: 5000 */
};

const char *doctor_level_name(enum doctor_level level); /* "ok", "note", "warning", "problem" */

/* ST_OK whatever was found. Each finding is reported once, as soon as it is there. */
enum status doctor_run(const struct doctor_settings *settings, doctor_report_fn *report, void *ctx,
                       struct why *why) MUST_CHECK;

#endif
