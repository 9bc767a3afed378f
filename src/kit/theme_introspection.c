/* B-11xx: tokens by reference; the kit is the authorization server, well and badly (RFC 7662, RFC 9200 5.9). */
#include "kit/play_as_priv.h"
#include "kit/say_priv.h"

#include "mqtt/reason.h"

static struct span reference(struct kit *k)
{
    return span_of_str(b64(k, fill_random(k, 24)));
}

/* The answer for a good token, without the closing brace. */
static const char *active(struct kit *k, const char *rest)
{
    return text(
        k,
        "{\"active\":true,\"iss\":\"%s\",\"aud\":\"%s\",\"exp\":%lld,\"client_id\":\"kit\",\"scope\":\"%s\","
        "\"cnf\":{\"jwk\":%s}%s",
        k->s->issuer, k->s->audience, (long long)wall_s() + 600,
        b64(k, span_of_str(text(k, "[[\"%s\",[\"pub\",\"sub\"]]]", under_root(k, "#")))),
        public_jwk(k, k->pop[POP_ED25519]), rest);
}

static void set(struct kit *k, enum play play, int status, const char *body)
{
    play_as_set(k->play_as, play, status, span_of_str(body));
}

static void refused(struct kit *k)
{
    must_refuse_token(k, reference(k), k->pop[POP_ED25519]);
    if (going(k) && play_as_requests(k->play_as) == 0)
        trouble(k, "the broker did not ask the kit: is its introspection endpoint set?");
}

static void accepted(struct kit *k)
{
    set(k, PLAY_ANSWER, 200, active(k, "}"));
    must_accept_token(k, reference(k), k->pop[POP_ED25519]);
}

static void inactive(struct kit *k)
{
    refused(k);
}

static void answered(struct kit *k, const char *body)
{
    set(k, PLAY_ANSWER, 200, body);
    refused(k);
}

static void active_text(struct kit *k)
{
    answered(k, text(k, "{\"active\":\"true\"%s", strchr(active(k, "}"), ',')));
}

static void active_one(struct kit *k)
{
    answered(k, text(k, "{\"active\":1%s", strchr(active(k, "}"), ',')));
}

static void active_missing(struct kit *k)
{
    answered(k, text(k, "{%s", strchr(active(k, "}"), ',') + 1));
}

static void active_twice(struct kit *k)
{
    answered(k, active(k, ",\"active\":false}"));
}

static void cut_short(struct kit *k)
{
    answered(k, active(k, ""));
}

static void two_values(struct kit *k)
{
    answered(k, active(k, "}{}"));
}

static void not_json(struct kit *k)
{
    answered(k, "active=true");
}

static void deep(struct kit *k)
{
    struct span open = repeated(k, "[", 3000), close = repeated(k, "]", 3000);

    answered(k, active(k, text(k, ",\"x\":%.*s%.*s}", SPAN_FMT(open), SPAN_FMT(close))));
}

static void no_cnf(struct kit *k)
{
    answered(k, text(k, "{\"active\":true,\"iss\":\"%s\",\"aud\":\"%s\",\"exp\":%lld}", k->s->issuer,
                     k->s->audience, (long long)wall_s() + 600));
}

static void other_audience(struct kit *k)
{
    answered(k, text(k, "{\"active\":true,\"aud\":\"another.broker\",\"exp\":%lld,\"cnf\":{\"jwk\":%s}}",
                     (long long)wall_s() + 600, public_jwk(k, k->pop[POP_ED25519])));
}

static void other_issuer(struct kit *k)
{
    answered(k, text(k,
                     "{\"active\":true,\"iss\":\"https://"
                     "evil.example\",\"aud\":\"%s\",\"exp\":%lld,\"cnf\":{\"jwk\":%s}}",
                     k->s->audience, (long long)wall_s() + 600, public_jwk(k, k->pop[POP_ED25519])));
}

static void expired(struct kit *k)
{
    answered(k,
             text(k, "{\"active\":true,\"iss\":\"%s\",\"aud\":\"%s\",\"exp\":1000000000,\"cnf\":{\"jwk\":%s}}",
                  k->s->issuer, k->s->audience, public_jwk(k, k->pop[POP_ED25519])));
}

static void plays(struct kit *k, enum play play, int status)
{
    set(k, play, status, active(k, "}"));
    refused(k);
    if (!going(k))
        return;
    saw(k, "asked %u time(s)", play_as_requests(k->play_as));
    /* And when the server is well again, so is the broker. */
    set(k, PLAY_ANSWER, 200, active(k, "}"));
    must_accept_token(k, reference(k), k->pop[POP_ED25519]);
}

static void status_500(struct kit *k)
{
    plays(k, PLAY_STATUS, 500);
}

static void status_401(struct kit *k)
{
    plays(k, PLAY_STATUS, 401);
}

static void status_302(struct kit *k)
{
    plays(k, PLAY_STATUS, 302);
}

static void silence(struct kit *k)
{
    plays(k, PLAY_SILENCE, 0);
}

static void trickle(struct kit *k)
{
    plays(k, PLAY_TRICKLE, 0);
}

static void huge(struct kit *k)
{
    plays(k, PLAY_HUGE, 0);
}

static void garbage(struct kit *k)
{
    plays(k, PLAY_GARBAGE, 0);
}

static void cut_body(struct kit *k)
{
    plays(k, PLAY_CUT, 0);
}

static void hang_up(struct kit *k)
{
    plays(k, PLAY_HANG_UP, 0);
}

/* The client leaves while its token is being looked up: nothing is left behind, nobody else is held up. */
static void client_leaves(struct kit *k)
{
    struct mqtt_connect c = connect_ace(k, layout_b(k, reference(k)));
    struct peer *p = peer_new(k, NULL);

    set(k, PLAY_SILENCE, 0, "");
    say_connect(p, &c);
    (void)peer_receive(p, 100);
    peer_close(p);
    must_accept_token(k, token_for(k, k->pop[POP_ED25519], NULL), k->pop[POP_ED25519]);
}

/* During re-authentication too: the connection is given up, or goes on under its old token; it never gets the new one. */
static void unreachable_while_renewing(struct kit *k)
{
    struct peer *p = open_scoped(k, text(k, "[[\"%s\",[\"pub\"]]]", under_root(k, "old")));

    set(k, PLAY_HANG_UP, 0, "");
    say_auth(p, MQTT_REAUTHENTICATE, layout_b(k, reference(k)));
    if (!going(k))
        return;
    const struct received *r = peer_receive(p, 0);
    if (r->got == GOT_PACKET && r->frame.type == MQTT_DISCONNECT && r->reason == MQTT_NOT_AUTHORIZED)
        saw(k, "%s", describe(k, r));
    else
        fail(k, "DISCONNECT 0x87 expected, got %s", describe(k, r));
}

static void unreachable_at_authz_info(struct kit *k)
{
    struct peer *p = open_guest(k);

    set(k, PLAY_HANG_UP, 0, "");
    say_publish_bytes(p, "authz-info", reference(k), 1, false, 5);
    if (!going(k))
        return;
    const struct received *r = peer_receive(p, 0);
    if (check(k, r->got == GOT_PACKET && r->reason >= 0x80, "a token nobody could look up was accepted"))
        saw(k, "%s", describe(k, r));
}

static void unreachable_for_311(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_plain(k);

    if (p == NULL)
        return;
    peer_speak_311(p);
    set(k, PLAY_HANG_UP, 0, "");
    c.version = MQTT_3_1_1;
    c.has_user_name = c.has_password = true;
    c.user_name = span_of_str(text(k, "ace%s", b64(k, reference(k))));
    c.password = proof(k, k->pop[POP_ED25519], exporter_of(p));
    say_connect(p, &c);
    const struct received *r = peer_receive(p, 0);
    if (!going(k) || r->got == GOT_END)
        return;
    if (check(k, r->got == GOT_PACKET && r->frame.type == MQTT_CONNACK && r->reason != 0,
              "a return code other than 0 expected"))
        saw(k, "CONNACK return code %u", r->reason);
}

#define N NEED_PLAY_AS
/* clang-format off */
static const struct kit_case cases[] = {
    { "B-1101", "RFC 9431 2.2.5; RFC 9200 5.9; MT-66 AF-45 AF-64", "a reference is introspected; cnf of the answer is the key", N, POLITE, accepted },
    { "B-1102", "RFC 7662 2.2; AF-83 TK-65", "active false", N, RUDE, inactive },
    { "B-1103", "RFC 7662 2.2; TK-65", "active the text \"true\"", N, RUDE, active_text },
    { "B-1104", "RFC 7662 2.2; TK-65", "active the number 1", N, RUDE, active_one },
    { "B-1105", "RFC 7662 2.2; TK-65", "active missing", N, RUDE, active_missing },
    { "B-1106", "RFC 7662 2.2; TK-48", "active twice", N, RUDE, active_twice },
    { "B-1107", "RFC 8259; TK-50", "cut short", N, RUDE, cut_short },
    { "B-1108", "RFC 8259; TK-50", "two values", N, RUDE, two_values },
    { "B-1109", "RFC 8259; TK-50", "no JSON", N, RUDE, not_json },
    { "B-1110", "RFC 8259 9; TK-49", "3000 levels", N, RUDE, deep },
    { "B-1111", "RFC 9201 4; AF-45", "without cnf", N, RUDE, no_cnf },
    { "B-1112", "RFC 9200 5.10.1.1; MT-67 AF-63", "for another audience", N, RUDE, other_audience },
    { "B-1113", "RFC 9200 5.10.1.1; AF-63", "of another issuer", N, RUDE, other_issuer },
    { "B-1114", "RFC 9200 5.10.1.1; MT-101 AF-63", "expired", N, RUDE, expired },
    { "B-1121", "RFC 9200 5.10.1; AF-64", "status 500", N, RUDE, status_500 },
    { "B-1122", "RFC 9200 5.10.1; AF-64 AF-82", "status 401", N, RUDE, status_401 },
    { "B-1123", "RFC 9200 5.10.1; AF-64", "status 302: not followed", N, RUDE, status_302 },
    { "B-1124", "RFC 9200 5.10.1; AF-64", "no answer at all", N, RUDE, silence },
    { "B-1125", "RFC 9200 5.10.1; AF-64", "an answer byte by byte", N, RUDE, trickle },
    { "B-1126", "RFC 9200 5.10.1; AF-64", "an answer of 8 MiB", N, RUDE, huge },
    { "B-1127", "RFC 9200 5.10.1; AF-64", "no HTTP", N, RUDE, garbage },
    { "B-1128", "RFC 9200 5.10.1; AF-64", "cut in the middle of the body", N, RUDE, cut_body },
    { "B-1129", "RFC 9200 5.10.1; AF-64", "hangs up before TLS: unreachable", N, RUDE, hang_up },
    { "B-1130", "RFC 9200 5.10.1; AF-64", "the client leaves meanwhile", N, RUDE, client_leaves },
    { "B-1131", "RFC 9431 4; MT-105 AF-64", "unreachable while a token is renewed", N, RUDE, unreachable_while_renewing },
    { "B-1132", "RFC 9431 2.2.2; MT-34 AF-64", "unreachable when a reference is put on authz-info", N | NEED_AUTHZ_INFO, RUDE, unreachable_at_authz_info },
    { "B-1133", "RFC 9431 6.1; MT-125 AF-64", "unreachable when a reference comes by MQTT 3.1.1", N | NEED_V311, RUDE, unreachable_for_311 },
};
/* clang-format on */

const struct kit_theme theme_introspection = { "introspection", KIT_BROKER, cases, COUNT_OF(cases) };
