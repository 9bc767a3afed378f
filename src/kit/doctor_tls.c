/* What TLS says of the broker before it says anything itself. */
#include "kit/doctor_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SOON_DAYS 21
#define DAY_S     86400

static const char *date(struct doctor *d, int64_t s)
{
    char day[32];
    struct tm tm;
    time_t t = (time_t)s;

    if (gmtime_r(&t, &tm) == NULL || strftime(day, sizeof day, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        return "?";
    return text(&d->k, "%s", day);
}

/* ---- it is no TLS: what then? ---- */

bool doctor_speaks_plain_mqtt(struct doctor *d, uint16_t port)
{
    struct why why;
    struct mqtt_connect c = doctor_connect(d);
    struct peer *p = peer_try(&d->k, &(struct peer_how){ .plain = true, .port = port }, &why);

    if (p == NULL)
        return false;
    bool yes = is_packet(doctor_say_connect(p, &c), MQTT_CONNACK);
    peer_close(p);
    return yes;
}

static void no_tls(struct doctor *d, const struct why *why)
{
    char line[64];

    d->over = true;
    if (doctor_speaks_plain_mqtt(d, d->s->port)) {
        found(d, DOCTOR_PROBLEM, "tls-plain",
              "Whoever is on the way reads and changes everything: switch TLS on. To look at it as it is: "
              "mqtt://HOST.",
              "There is no TLS on port %u: MQTT is spoken there in the clear.", d->s->port);
    } else if (doctor_speaks_http(d, true, line, sizeof line)) {
        found(d, DOCTOR_PROBLEM, "not-mqtt", "Is this the right port? 8883 is the usual one.",
              "Neither TLS nor MQTT is spoken on port %u; it answers a web request with \"%s\".", d->s->port,
              line);
    } else if (strstr(why->text, "no answer") != NULL) {
        found(d, DOCTOR_PROBLEM, "tls-silent", "Is something else listening there, or the broker stuck?",
              "Port %u accepts connections and then says nothing at all.", d->s->port);
    } else {
        found(d, DOCTOR_PROBLEM, "tls", "Look into the broker's log for the other half of the story.",
              "TLS fails: %s (%s).", why->text, why->clause);
    }
}

/* ---- versions ---- */

static bool accepts(struct doctor *d, const char *priorities)
{
    struct why why;
    struct peer_how how = { .any_peer = true, .priorities = priorities };
    struct peer *p = peer_try(&d->k, &how, &why);
    bool yes = p != NULL;

    peer_close(p);
    return yes;
}

static void versions(struct doctor *d)
{
    bool v13 = accepts(d, "NORMAL:-VERS-ALL:+VERS-TLS1.3");
    bool v12 = accepts(d, "NORMAL:-VERS-ALL:+VERS-TLS1.2");
    bool old =
        accepts(d, "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0:+SIGN-RSA-SHA1:+SIGN-ECDSA-SHA1:+SHA1:%COMPAT");

    if (old)
        found(d, DOCTOR_WARNING, "tls-versions", "Switch TLS 1.0 and 1.1 off: RFC 8996 says must not.",
              "It still accepts TLS 1.1 or 1.0%s%s.", v12 ? ", beside 1.2" : "", v13 ? ", beside 1.3" : "");
    else
        found(d, v13 ? DOCTOR_OK : DOCTOR_NOTE, "tls-versions",
              v13 ? NULL : "TLS 1.3 needs one round trip less.", "It accepts TLS %s and nothing older.",
              v13 && v12 ? "1.3 and 1.2"
              : v13      ? "1.3"
                         : "1.2, not 1.3,");
}

/* ---- certificate ---- */

static void life(struct doctor *d, const struct tls_look_cert *c)
{
    int64_t now = wall_s(), left = c->until_s - now;

    if (left < 0)
        found(d, DOCTOR_PROBLEM, "tls-expired",
              "Put a new certificate in place now; clients that check refuse this one.",
              "The certificate expired on %s, %lld days ago.", date(d, c->until_s), (long long)(-left / DAY_S));
    else if (c->from_s > now)
        found(d, DOCTOR_PROBLEM, "tls-not-yet", "Check the clock of this machine and of the one that made it.",
              "The certificate is valid from %s on, which is still to come.", date(d, c->from_s));
    else
        found(d, left < SOON_DAYS * DAY_S ? DOCTOR_WARNING : DOCTOR_OK, "tls-life",
              left < SOON_DAYS * DAY_S ? "Renew it before it does." : NULL,
              "The certificate is good until %s: %lld days more.", date(d, c->until_s),
              (long long)(left / DAY_S));
}

static void certificate(struct doctor *d, const struct tls_look *look)
{
    const struct tls_look_cert *c = &look->certs[0];
    bool expired = c->until_s < wall_s() || c->from_s > wall_s();

    if (look->chain == 0) {
        found(d, DOCTOR_PROBLEM, "tls-certificate", NULL, "It shows no X.509 certificate.");
        return;
    }
    found(d, DOCTOR_NOTE, "tls-certificate", NULL,
          "Certificate of \"%s\", key %s, from \"%s\"; %u in the chain.", c->subject, c->key, c->issuer,
          look->chain);
    life(d, c);
    if (look->named)
        found(d, DOCTOR_OK, "tls-name", NULL, "It is for %s (it names: %s).", d->s->host, c->names);
    else
        found(
            d, DOCTOR_PROBLEM, "tls-name",
            "Ask for the broker by a name in its certificate, or give it one with this name in subjectAltName.",
            "It is not for %s: it names %s.", d->s->host, c->names[0] == '\0' ? "nothing at all" : c->names);
    if (look->trusted)
        found(d, DOCTOR_OK, "tls-trust", NULL, "Its chain leads to an authority that is trusted here.");
    else if (!expired)
        found(d, DOCTOR_PROBLEM, "tls-trust",
              "Name its authority with --cafile, or let the broker send the certificates between.",
              "It is not trusted here: %s", look->problem);
    d->trusted = look->trusted && look->named;
}

/* ---- the rest ---- */

static void resumption(struct doctor *d, struct peer *p)
{
    struct buf ticket;
    struct why why;
    struct peer_how how = { .any_peer = true };
    struct mqtt_connect c = doctor_connect(d);

    /* Tickets of TLS 1.3 come behind the handshake, with the first answer at the latest. */
    (void)doctor_say_connect(p, &c);
    buf_init(&ticket, 65536);
    bool has = tls_resumption_data(peer_tls(p), &ticket);
    how.resume = bytes(&d->k, &ticket);
    peer_close(p);
    p = has && how.resume.len > 0 ? peer_try(&d->k, &how, &why) : NULL;
    bool resumed = p != NULL && tls_resumed(peer_tls(p));
    peer_close(p);
    found(d, resumed ? DOCTOR_OK : DOCTOR_NOTE, "tls-resumption",
          resumed ? NULL : "Session tickets would make reconnecting cheaper for both.", "TLS sessions are %s.",
          resumed ? "resumed with tickets" : "not resumed: each connection is a full handshake");
}

static void extras(struct doctor *d, struct peer *p, const struct tls_look *look)
{
    struct span alpn = tls_alpn(peer_tls(p));

    found(d, DOCTOR_NOTE, "tls-suite", NULL, "%s with %s, key exchange over %s.", look->version, look->cipher,
          look->group == NULL ? "RSA or a finite field" : look->group);
    if (alpn.len > 0)
        found(d, DOCTOR_OK, "tls-alpn", NULL, "ALPN: it chose \"%.*s\".", SPAN_FMT(alpn));
    else
        found(d, DOCTOR_NOTE, "tls-alpn", NULL,
              "ALPN: it does not choose \"mqtt\", so it cannot share a port.");
    if (look->asked_for_certificate)
        found(d, DOCTOR_NOTE, "tls-client-certificate", NULL,
              "It asks clients for a certificate or a key of their own.");
}

static void tls12(struct doctor *d)
{
    struct why why;
    struct tls_look *look = calloc(1, sizeof *look);
    struct peer_how how = { .any_peer = true, .tls12 = true };
    struct peer *p = look == NULL ? NULL : peer_try(&d->k, &how, &why);

    if (p != NULL) {
        tls_look(peer_tls(p), d->s->host, look);
        if (!look->extended_master_secret)
            found(d, DOCTOR_WARNING, "tls-ems",
                  "A proof of possession bound to such a session can be replayed: use 1.3.",
                  "In TLS 1.2 it does not know the extended master secret (RFC 7627).");
        else
            found(d, DOCTOR_OK, "tls-ems", NULL, "In TLS 1.2 the extended master secret (RFC 7627) is used.");
    }
    peer_close(p);
    free(look);
}

static void raw_key(struct doctor *d)
{
    struct why why;
    struct tls_look *look = calloc(1, sizeof *look);
    struct peer_how how = { .any_peer = true, .raw_key = d->k.pop[POP_ED25519] };
    struct peer *p = look == NULL ? NULL : peer_try(&d->k, &how, &why);

    if (p != NULL) {
        tls_look(peer_tls(p), d->s->host, look);
        if (look->showed_raw_key)
            found(d, DOCTOR_NOTE, "tls-raw-key", NULL, "Clients may show a raw public key (RFC 7250) in TLS.");
    }
    peer_close(p);
    free(look);
}

void doctor_tls(struct doctor *d)
{
    struct why why = { "", "", 0 };
    struct tls_look *look = calloc(1, sizeof *look);

    if (d->s->plain || look == NULL) {
        if (d->s->plain)
            found(d, DOCTOR_WARNING, "plain",
                  "Whoever is on the way reads and changes everything, passwords too: use TLS beyond this "
                  "machine.",
                  "MQTT without TLS was asked for.");
        free(look);
        return;
    }
    int64_t start = mono_ms();
    struct peer *p = doctor_peer(d, &why);
    int64_t ms = mono_ms() - start;
    if (p == NULL) {
        no_tls(d, &why);
        free(look);
        return;
    }
    tls_look(peer_tls(p), d->s->host, look);
    found(d, DOCTOR_OK, "tls", NULL, "TCP and TLS together take %s.", took(d, ms));
    versions(d);
    extras(d, p, look);
    certificate(d, look);
    tls12(d);
    raw_key(d);
    resumption(d, p);
    if (d->s->plain_port != 0 && doctor_speaks_plain_mqtt(d, d->s->plain_port))
        found(d, DOCTOR_WARNING, "plain-too",
              "If nobody needs it, close it; what goes there can be read on the way.",
              "Port %u speaks MQTT without TLS beside it.", d->s->plain_port);
    free(look);
}
