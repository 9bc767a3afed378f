#include "kit/doctor_priv.h"

#include "base/utf8.h"
#include "crypto/random.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MEMORY (32u << 20)

const char *doctor_level_name(enum doctor_level level)
{
    static const char *const names[DOCTOR_LEVELS] = { "ok", "note", "warning", "problem" };
    return names[level];
}

void found(struct doctor *d, enum doctor_level level, const char *id, const char *advice, const char *fmt, ...)
{
    CLEANUP(freep)
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    if (text != NULL)
        utf8_tame(text); /* much of it is the other side's words */
    struct doctor_finding finding = { .level = level,
                                      .theme = d->theme,
                                      .id = id,
                                      .text = text == NULL ? "out of memory" : text,
                                      .advice = advice };
    d->report(d->ctx, &finding);
}

/* ---- what the checks use ---- */

struct peer *doctor_peer(struct doctor *d, struct why *why)
{
    struct peer_how how = { .plain = d->s->plain, .any_peer = true };

    return peer_try(&d->k, &how, why);
}

const char *doctor_topic(struct doctor *d, const char *rest)
{
    return text(&d->k, "%s/%s", d->root, rest);
}

const char *took(struct doctor *d, int64_t ms)
{
    return ms < 1 ? "less than 1 ms" : text(&d->k, "%lld ms", (long long)ms);
}

bool is_packet(const struct received *r, enum mqtt_packet_type type)
{
    return r != NULL && r->got == GOT_PACKET && r->frame.type == type;
}

struct mqtt_connect doctor_connect(struct doctor *d)
{
    struct mqtt_connect c = connect_plain(&d->k);

    c.client_id = span_of_str(text(&d->k, "symbolon-doctor-%s", b64(&d->k, fill_random(&d->k, 6))));
    return c;
}

const struct received *doctor_say_connect(struct peer *p, const struct mqtt_connect *c)
{
    if (c->version == MQTT_3_1_1)
        peer_speak_311(p);
    say_connect(p, c);
    return peer_receive(p, 0);
}

/* Token and proof over the exporter; needs a TLS session whose server is known. */
static void put_proof(struct doctor *d, struct peer *p, struct mqtt_connect *c)
{
    struct span pop = proof(&d->k, d->s->token_key, exporter_of(p));

    c->properties.auth_method = SPAN(ACE_METHOD);
    c->properties.auth_data = layout_a(&d->k, d->s->token, pop);
    mqtt_set(&c->properties, PROP_AUTH_METHOD);
    mqtt_set(&c->properties, PROP_AUTH_DATA);
}

struct peer *doctor_known_peer(struct doctor *d, struct why *why)
{
    struct peer_how how = { .plain = d->s->plain, .any_peer = !d->trusted };

    return peer_try(&d->k, &how, why);
}

struct peer *doctor_login(struct doctor *d, struct mqtt_connect c, const struct received **ret)
{
    struct why why;
    bool secret_ok = d->s->plain || d->trusted;
    struct peer *p = doctor_known_peer(d, &why);

    *ret = NULL;
    if (p == NULL)
        return NULL;
    if (d->s->token.len > 0 && d->trusted && !d->s->plain && c.version == MQTT_5) {
        put_proof(d, p, &c);
    } else if (d->s->user != NULL && secret_ok) {
        c.has_user_name = true;
        c.user_name = span_of_str(d->s->user);
        c.has_password = d->s->password != NULL;
        c.password = span_of_str(d->s->password);
    }
    *ret = doctor_say_connect(p, &c);
    return is_packet(*ret, MQTT_CONNACK) && (*ret)->reason == MQTT_SUCCESS ? p : NULL;
}

/* ---- the round ---- */

static const struct {
    const char *theme;
    void (*check)(struct doctor *d);
} checks[] = {
    { "Network", doctor_network },     { "TLS", doctor_tls },          { "MQTT", doctor_mqtt },
    { "Messages", doctor_messages },   { "Limits", doctor_limits },    { "Authorization (ACE)", doctor_ace },
    { "WebSocket", doctor_websocket }, { "Patience", doctor_silence },
};

static enum status begin(struct doctor *d, struct why *why)
{
    uint8_t random[6];
    CLEANUP(buf_done)
    struct buf hex = { 0 };
    static const char *const mqtt[] = { "mqtt", NULL };
    struct tls_settings tls = { .ca_file = d->s->ca_file, .alpn = mqtt };
    enum status st = random_bytes(random, sizeof random);

    if (st != ST_OK)
        return reject(why, st, "random", "no random bytes", 0);
    buf_init(&hex, 64);
    for (size_t i = 0; i < sizeof random; i++)
        put_fmt(&hex, "%02x", random[i]);
    (void)snprintf(d->root, sizeof d->root, "symbolon-doctor/%.*s", SPAN_FMT(buf_span(&hex)));
    d->ks.root = d->root;
    st = tls_config_new_client(&tls, &d->k.tls, why);
    tls.priorities = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
    if (st == ST_OK)
        st = tls_config_new_client(&tls, &d->k.tls12, why);
    if (st == ST_OK && key_generate(KEY_ED25519, &d->k.pop[POP_ED25519]) != ST_OK)
        st = reject(why, ST_INTERNAL, "key", "a key could not be made", 0);
    return st;
}

enum status doctor_run(const struct doctor_settings *settings, doctor_report_fn *report, void *ctx,
                       struct why *why)
{
    struct doctor *d = calloc(1, sizeof *d);

    if (d == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    d->s = settings;
    d->report = report;
    d->ctx = ctx;
    d->ks = (struct kit_settings){ .subject = KIT_BROKER,
                                   .host = settings->host,
                                   .port = settings->port,
                                   .ca_file = settings->ca_file,
                                   .as_ca = settings->as_ca };
    d->k.s = &d->ks;
    d->k.wait_ms = settings->wait_ms > 0 ? settings->wait_ms : 5000;
    arena_init(&d->k.arena, MEMORY);
    buf_init(&d->k.seen, 4096);
    enum status st = begin(d, why);
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(checks) && !d->over; i++) {
        d->theme = checks[i].theme;
        checks[i].check(d);
        case_drop(&d->k);
    }
    peer_free(d->silent);
    case_drop(&d->k);
    key_unref(d->k.pop[POP_ED25519]);
    tls_config_unref(d->k.tls);
    tls_config_unref(d->k.tls12);
    arena_done(&d->k.arena);
    buf_done(&d->k.seen);
    free(d);
    return st;
}
