/* Authorization with ACE: does the broker name an authorization server, does that answer, does a token work? */
#include "kit/as_talk_priv.h"
#include "kit/doctor_priv.h"

#include "codec/base64.h"
#include "token/hints.h"

#include <stdio.h>
#include <stdlib.h>

#define SKEW_NOTE_S 5

/* ---- the broker ---- */

static void take_hints(struct doctor *d, const struct mqtt_properties *p)
{
    struct span json;
    struct hints hints = { 0 };
    struct why why = { "", "", 0 };

    if (!mqtt_find_user_property(p, SPAN(ACE_AS_HINT), &json)) {
        found(d, DOCTOR_NOTE, "ace-hint", "Clients must then be told the authorization server by other means.",
              "The refusal names no authorization server (no user property ace_as_hint).");
        return;
    }
    if (hints_parse(json, &hints, &why) != ST_OK) {
        found(d, DOCTOR_PROBLEM, "ace-hint", "The property must be JSON with \"AS\" (RFC 9431 2.4.1).",
              "Its ace_as_hint cannot be read: %s (%s).", why.text, why.clause);
        return;
    }
    found(d, DOCTOR_OK, "ace-hint", NULL, "It sends clients to %.*s%s%.*s%s.", SPAN_FMT(hints.as),
          hints.audience.p != NULL ? " for a token with audience \"" : "", SPAN_FMT(hints.audience),
          hints.audience.p != NULL ? "\"" : "");
    if (hints.cnonce.len > 0)
        found(d, DOCTOR_NOTE, "ace-cnonce", NULL,
              "Tokens must carry a fresh client nonce of the broker's (cnonce).");
    if (d->as_url[0] == '\0' && hints.as.len < sizeof d->as_url)
        (void)snprintf(d->as_url, sizeof d->as_url, "%.*s", SPAN_FMT(hints.as));
    (void)snprintf(d->audience, sizeof d->audience, "%.*s", SPAN_FMT(hints.audience));
    hints_done(&hints);
}

/* The method without data asks for nothing but the hints. */
static void method(struct doctor *d)
{
    struct why why;
    struct mqtt_connect c = connect_ace(&d->k, SPAN_NONE);
    struct peer *p = doctor_peer(d, &why);
    const struct received *r = p == NULL ? NULL : doctor_say_connect(p, &c);

    if (!is_packet(r, MQTT_CONNACK)) {
        found(d, DOCTOR_NOTE, "ace", NULL, "The authentication method \"ace\" is not answered: %s.",
              r == NULL ? "no connection" : describe(&d->k, r));
    } else if (r->reason == MQTT_NOT_AUTHORIZED ||
               mqtt_find_user_property(&r->connack.properties, SPAN(ACE_AS_HINT), &(struct span){ 0 })) {
        d->ace = true;
        found(d, DOCTOR_OK, "ace", NULL,
              "The authentication method \"ace\" (RFC 9431) is known here: CONNACK 0x%02x.", r->reason);
        take_hints(d, &r->connack.properties);
    } else {
        found(d, DOCTOR_NOTE, "ace", NULL,
              "No ACE here: the authentication method \"ace\" gets CONNACK 0x%02x (%s).", r->reason,
              mqtt_reason_name(MQTT_CONNACK, r->reason));
    }
    peer_close(p);
}

/* A token by challenge and response, too: the other way in (RFC 9431 2.2.4.2.2). */
static void challenge(struct doctor *d)
{
    struct why why;

    if (d->s->token.len == 0 || !d->trusted || d->s->plain || !d->ace)
        return;
    struct mqtt_connect c = connect_ace(&d->k, layout_b(&d->k, d->s->token));
    struct peer *p = doctor_known_peer(d, &why);
    const struct received *r = p == NULL ? NULL : doctor_say_connect(p, &c);
    if (is_packet(r, MQTT_AUTH)) {
        struct span nonce = fill_random(&d->k, ACE_NONCE_LEN);
        struct span both = joined(&d->k, r->auth.properties.auth_data, nonce);
        say_auth(p, MQTT_CONTINUE_AUTHENTICATION, answer_d9(&d->k, nonce, proof(&d->k, d->s->token_key, both)));
        r = peer_receive(p, 0);
    }
    bool in = is_packet(r, MQTT_CONNACK) && r->reason == MQTT_SUCCESS;
    found(d, in ? DOCTOR_OK : DOCTOR_NOTE, "ace-challenge", NULL,
          "The proof by challenge and response is %s%s.",
          in ? "accepted" : "refused: ", in || r == NULL ? "" : describe(&d->k, r));
    peer_close(p);
}

static void authz_info(struct doctor *d)
{
    struct why why;
    struct mqtt_connect c = doctor_connect(d);
    struct peer *p = doctor_peer(d, &why);
    const struct received *r = p == NULL ? NULL : doctor_say_connect(p, &c);
    bool in = is_packet(r, MQTT_CONNACK) && r->reason == MQTT_SUCCESS;

    if (in) {
        say_publish(p, "authz-info", "\x01 no token", 1,
                    1); /* refused as what it is, wherever tokens are taken */
        r = peer_receive(p, 0);
        if (is_packet(r, MQTT_PUBACK) && r->reason == MQTT_PAYLOAD_FORMAT_INVALID)
            found(d, DOCTOR_OK, "authz-info", NULL,
                  "Tokens can be left on the topic authz-info, for keys shown in TLS.");
        else
            found(d, DOCTOR_NOTE, "authz-info", NULL, "The topic authz-info takes no tokens.");
    }
    peer_close(p);
}

/* ---- the authorization server ---- */

static int as_ask(struct doctor *d, const char *method_name, const char *url, struct span body,
                  struct as_answer *out)
{
    struct as_request request = { .url = url, .method = method_name, .body = body };

    *out = as_send(&d->k, &request);
    d->k.decided = false; /* no answer is a finding, not the end */
    return out->code;
}

static bool metadata(struct doctor *d)
{
    struct span url = span_of_str(d->as_url);
    size_t host = span_find(url, '/', sizeof "https://" - 1);
    struct as_answer answer;
    const char *meta =
        text(&d->k, "%.*s/.well-known/oauth-authorization-server", SPAN_FMT(span_cut(url, 0, host)));
    int code = as_ask(d, "GET", meta, SPAN_NONE, &answer);
    struct span endpoint = SPAN_NONE;

    if (code == 0) {
        found(d, DOCTOR_PROBLEM, "as-reach",
              "Clients cannot get tokens either, if they reach it no better: check address, firewall and "
              "--as-cafile.",
              "The authorization server does not answer: %.*s.", SPAN_FMT(buf_span(&d->k.seen)));
        buf_reset(&d->k.seen);
        return false;
    }
    buf_reset(&d->k.seen);
    if (code == 200 && answer.js != NULL && js_get_str(answer.js, "token_endpoint", &endpoint)) {
        found(d, DOCTOR_OK, "as-metadata", NULL,
              "The authorization server describes itself; token endpoint %.*s.", SPAN_FMT(endpoint));
        (void)snprintf(d->as_url, sizeof d->as_url, "%.*s", SPAN_FMT(endpoint));
    } else {
        found(d, DOCTOR_NOTE, "as-metadata", NULL,
              "The authorization server answers (HTTP %d), but not with metadata (RFC 8414).", code);
    }
    as_answer_done(&answer);
    return true;
}

/* An empty request must be refused in the right words (RFC 9200 5.8.3). */
static void token_endpoint(struct doctor *d)
{
    struct as_answer answer;
    struct span error = SPAN_NONE;
    struct span url = span_of_str(d->as_url);
    bool bare = span_find(url, '/', sizeof "https://" - 1) + 1 >= url.len;
    const char *endpoint =
        bare ? text(&d->k, "%.*s/token", SPAN_FMT(span_cut(url, 0, span_find(url, '/', 8)))) : d->as_url;
    int code = as_ask(d, "POST", endpoint, SPAN("{}"), &answer);

    buf_reset(&d->k.seen);
    if (code != 0 && answer.js != NULL && js_get_str(answer.js, "error", &error))
        found(d, DOCTOR_OK, "as-token", NULL,
              "It answers token requests: an empty one is refused with \"%.*s\" (HTTP %d).", SPAN_FMT(error),
              code);
    else if (code != 0)
        found(d, DOCTOR_WARNING, "as-token", "Is that really the token endpoint?",
              "A token request to %s is answered with HTTP %d and no error of OAuth.", endpoint, code);
    as_answer_done(&answer);
}

/* ---- the token at hand ---- */

/* Claims of a signed JWT; nothing is verified, nothing depends on it. */
static void token_times(struct doctor *d)
{
    CLEANUP(buf_done)
    struct buf json;
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct span t = d->s->token;
    size_t dot = span_find(t, '.', 0), end = span_find(t, '.', dot + 1);
    int64_t iat = 0, exp = 0, now = wall_s();

    buf_init(&json, 65536);
    if (end == t.len || base64url_decode(span_cut(t, dot + 1, end - dot - 1), &json, NULL) != ST_OK ||
        js_parse(buf_span(&json), 65536, &js, NULL) != ST_OK)
        return; /* encrypted, CBOR, or a reference */
    if (js_get_i64(js, "iat", &iat) && iat > now + SKEW_NOTE_S)
        found(d, DOCTOR_WARNING, "clock", "Set the clocks of both machines by NTP.",
              "The token was issued %lld s in the future by the clock of this machine.",
              (long long)(iat - now));
    if (js_get_i64(js, "exp", &exp))
        found(d, exp <= now ? DOCTOR_PROBLEM : DOCTOR_NOTE, "token-life", exp <= now ? "Get a new one." : NULL,
              exp <= now ? "The token ended %lld s ago, by the clock of this machine."
                         : "The token lives %lld s more, by the clock of this machine.",
              (long long)(exp <= now ? now - exp : exp - now));
}

void doctor_ace(struct doctor *d)
{
    if (d->s->as_url != NULL)
        (void)snprintf(d->as_url, sizeof d->as_url, "%s", d->s->as_url);
    if (d->v5 && !d->s->plain)
        method(d);
    if (d->ace)
        authz_info(d);
    if (strncmp(d->as_url, "https://", 8) == 0) {
        if (metadata(d))
            token_endpoint(d);
    } else if (d->as_url[0] != '\0') {
        found(d, DOCTOR_PROBLEM, "as-reach", "Tokens must not travel in the clear (RFC 9200 5).",
              "The authorization server is named as %s, which is not https.", d->as_url);
    }
    if (d->s->token.len > 0)
        token_times(d);
    challenge(d);
}
