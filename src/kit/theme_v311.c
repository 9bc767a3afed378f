/* B-14xx: MQTT 3.1.1 (RFC 9431 6). */
#include "kit/say_priv.h"

#include "codec/base64.h"
#include "mqtt/reason.h"

#define IT k->pop[POP_ED25519]

static struct span rfc_name(struct kit *k, struct span token)
{
    return span_of_str(text(k, "ace%s", b64(k, token)));
}

static struct span draft_name(struct kit *k, struct span token)
{
    return joined(k, SPAN("ace"), token);
}

static struct mqtt_connect connect_311(struct kit *k, struct span user_name, struct span password)
{
    struct mqtt_connect c = connect_plain(k);

    c.version = MQTT_3_1_1;
    c.has_user_name = user_name.p != NULL;
    c.has_password = password.p != NULL;
    c.user_name = user_name;
    c.password = password;
    return c;
}

static struct peer *new_311(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);

    peer_speak_311(p);
    return p;
}

/* A connection with these rights; NULL after fail(). */
static struct peer *open_311(struct kit *k, struct span token, struct key *key, bool draft)
{
    struct peer *p = new_311(k);

    if (p == NULL)
        return NULL;
    struct mqtt_connect c =
        connect_311(k, draft ? draft_name(k, token) : rfc_name(k, token), proof(k, key, exporter_of(p)));
    say_connect(p, &c);
    return expect_reason(p, MQTT_CONNACK, 0) == NULL ? NULL : p;
}

static struct peer *open_311_scoped(struct kit *k, const char *aif)
{
    return open_311(k, token_for(k, IT, aif), IT, false);
}

static void as_rfc(struct kit *k)
{
    (void)expect_alive(open_311_scoped(k, NULL));
}

static void as_rfc_hs256(struct kit *k)
{
    (void)open_311(k, token_for(k, k->pop[POP_SECRET], NULL), k->pop[POP_SECRET], false);
}

static void as_draft(struct kit *k)
{
    (void)open_311(k, token_for(k, IT, NULL), IT, true);
    if (k->decided && k->verdict == KIT_FAIL && !k->s->draft06) {
        k->decided = false;
        not_applicable(k, "the form of draft-06 is not taken");
    }
}

static void session_present(struct kit *k)
{
    struct peer *p = new_311(k);

    if (p == NULL)
        return;
    struct mqtt_connect c = connect_311(k, rfc_name(k, token_for(k, IT, NULL)), proof(k, IT, exporter_of(p)));
    c.clean_start = false;
    say_connect(p, &c);
    const struct received *r = expect_reason(p, MQTT_CONNACK, 0);
    if (r != NULL)
        (void)check(k, !r->connack.session_present, "Session Present for a client never seen");
}

static void published_and_delivered(struct kit *k)
{
    const char *topic = under_root(k, "v311/a");
    struct peer *old = open_311_scoped(k, NULL), *fresh = open_good(k);

    if (!subscribed(old, topic, 0) || !subscribed(fresh, topic, 0))
        return;
    say_publish(old, topic, "from 3.1.1", 0, 0);
    (void)expect_message(fresh, topic, "from 3.1.1");
    (void)expect_message(old, topic, "from 3.1.1");
    say_publish(fresh, topic, "from 5", 0, 0);
    (void)expect_message(old, topic, "from 5");
}

static void refused_filter(struct kit *k)
{
    struct peer *p = open_311_scoped(k, text(k, "[[\"%s\",[\"sub\"]]]", under_root(k, "in/#")));

    say_subscribe(p, under_root(k, "out"), 0);
    expect_suback(p, 0x80);
    say_subscribe(p, under_root(k, "in/a"), 1);
    expect_suback(p, 1);
}

static void refused_publish(struct kit *k, uint8_t qos)
{
    struct peer *p = open_311_scoped(k, text(k, "[[\"%s\",[\"pub\"]]]", under_root(k, "in/#")));

    say_publish(p, under_root(k, "out"), "x", qos, 4);
    (void)expect_end(p);
}

static void refused_publish_0(struct kit *k)
{
    refused_publish(k, 0);
}

static void refused_publish_1(struct kit *k)
{
    refused_publish(k, 1);
}

static void refused_publish_2(struct kit *k)
{
    refused_publish(k, 2);
}

static void will_outside(struct kit *k)
{
    struct peer *p = new_311(k);
    struct span token = token_for(k, IT, text(k, "[[\"%s\",[\"pub\"]]]", under_root(k, "in/#")));

    if (p == NULL)
        return;
    struct mqtt_connect c = connect_311(k, rfc_name(k, token), proof(k, IT, exporter_of(p)));
    c.has_will = true;
    c.will.topic.s = span_of_str(under_root(k, "out"));
    say_connect(p, &c);
    (void)expect_reason(p, MQTT_CONNACK, MQTT3_NOT_AUTHORIZED);
}

static void cut_at_expiry(struct kit *k)
{
    struct peer *p = open_311(k, short_token(k, IT, NULL), IT, false);
    const struct received *r = peer_receive(p, 3000 + k->wait_ms);

    if (!going(k) || r->got == GOT_END)
        return;
    say_ping(p);
    r = peer_receive(p, 0);
    if (going(k) && r->got == GOT_PACKET)
        fail(k, "the connection goes on after the token's end");
}

/* ---- refused ---- */

/* Return code 5, which says it best; RFC 9431 does not say which. Then the end. */
static void must_refuse(struct kit *k, struct peer *p, const struct mqtt_connect *c)
{
    say_connect(p, c);
    const struct received *r = peer_receive(p, 0);
    if (!going(k) || r->got == GOT_END)
        return;
    if (r->got == GOT_PACKET && r->frame.type == MQTT_CONNACK && r->reason >= 1 && r->reason <= 5) {
        saw(k, "CONNACK return code %u", r->reason);
        (void)expect_end(p);
    } else {
        fail(k, "CONNACK with return code 5 expected, got %s", describe(k, r));
    }
}

static void password_is(struct kit *k, struct span token, struct span (*make)(struct kit *k, struct peer *p))
{
    struct peer *p = new_311(k);

    if (p == NULL)
        return;
    struct mqtt_connect c = connect_311(k, rfc_name(k, token), make(k, p));
    must_refuse(k, p, &c);
}

static struct span by_a_stranger(struct kit *k, struct peer *p)
{
    return proof(k, k->stranger[POP_ED25519], exporter_of(p));
}

static struct span short_by_one(struct kit *k, struct peer *p)
{
    return span_cut(proof(k, IT, exporter_of(p)), 0, 63);
}

static struct span der_password(struct kit *k, struct peer *p)
{
    return der_proof(k, p, k->pop[POP_P256]);
}

static struct span empty_password(struct kit *k, struct peer *p)
{
    (void)k;
    (void)p;
    return SPAN("");
}

static struct span over_nothing(struct kit *k, struct peer *p)
{
    (void)p;
    return proof(k, IT, fill_random(k, 32));
}

static void stolen(struct kit *k)
{
    password_is(k, token_for(k, IT, NULL), by_a_stranger);
}

static void truncated(struct kit *k)
{
    password_is(k, token_for(k, IT, NULL), short_by_one);
}

static void der(struct kit *k)
{
    password_is(k, token_for(k, k->pop[POP_P256], NULL), der_password);
}

static void no_proof(struct kit *k)
{
    password_is(k, token_for(k, IT, NULL), empty_password);
}

static void wrong_bytes(struct kit *k)
{
    password_is(k, token_for(k, IT, NULL), over_nothing);
}

static void expired(struct kit *k)
{
    struct peer *p = new_311(k);

    if (p == NULL)
        return;
    struct mqtt_connect c =
        connect_311(k, rfc_name(k, token_for_life(k, IT, NULL, -7200)), proof(k, IT, exporter_of(p)));
    must_refuse(k, p, &c);
}

static void names(struct kit *k, struct span user_name, struct span password)
{
    struct peer *p = new_311(k);
    struct mqtt_connect c = connect_311(k, user_name, password);

    must_refuse(k, p, &c);
}

static void no_token(struct kit *k)
{
    names(k, SPAN("ace"), fill_random(k, 64));
}

static void another_user(struct kit *k)
{
    names(k, SPAN("admin"), SPAN("admin"));
}

static void no_password(struct kit *k)
{
    names(k, rfc_name(k, token_for(k, IT, NULL)), SPAN_NONE);
}

static void garbage_name(struct kit *k)
{
    names(k, SPAN("ace!!!! not base64 ===="), fill_random(k, 64));
}

static void name_of_64k(struct kit *k)
{
    names(k, joined(k, SPAN("ace"), repeated(k, "A", 65532)), fill_random(k, 64));
}

static void replayed(struct kit *k)
{
    struct span token = token_for(k, IT, NULL);
    struct peer *first = new_311(k), *second = new_311(k);

    if (second == NULL)
        return;
    struct mqtt_connect c = connect_311(k, rfc_name(k, token), proof(k, IT, exporter_of(first)));
    say_connect(first, &c);
    (void)expect_reason(first, MQTT_CONNACK, 0);
    must_refuse(k, second, &c);
}

static void tokenless(struct kit *k)
{
    struct peer *p = new_311(k);
    struct mqtt_connect c = connect_311(k, SPAN_NONE, SPAN_NONE);

    say_connect(p, &c);
    const struct received *r = peer_receive(p, 0);
    if (!going(k) || r->got == GOT_END)
        return;
    if (r->got == GOT_PACKET && r->frame.type == MQTT_CONNACK && r->reason == 0) {
        say_subscribe(p, under_root(k, "x"), 0); /* a guest, for public topics only */
        expect_suback(p, 0x80);
        return;
    }
    if (check(k, r->got == GOT_PACKET && r->frame.type == MQTT_CONNACK && r->reason >= 1 && r->reason <= 5,
              "CONNACK with a return code expected"))
        saw(k, "CONNACK return code %u", r->reason);
}

#define N (NEED_MINT | NEED_V311)
/* clang-format off */
static const struct kit_case cases[] = {
    { "B-1401", "RFC 9431 6.1; MT-120 MT-121 MT-122 MT-123", "token in the user name (base64url), proof as password (Ed25519)", N, POLITE, as_rfc },
    { "B-1402", "RFC 9431 6.1; MT-14 MT-122 MT-123", "the same by HS256", NEED_SHARED | NEED_V311, POLITE, as_rfc_hs256 },
    { "B-1403", "draft-06 6.1; MT-122", "the token as it is in the user name (D-18)", N, POLITE, as_draft },
    { "B-1404", "RFC 9431 6.1; MT-124", "Clean Session 0 and no session: Session Present 0", N, POLITE, session_present },
    { "B-1405", "RFC 9431 6.2; MQTT3 3.3; MT-120", "messages go between the versions, both ways", N, POLITE, published_and_delivered },
    { "B-1406", "RFC 9431 6.2; MT-127", "a refused filter: SUBACK 0x80; others are granted", N, POLITE, refused_filter },
    { "B-1407", "RFC 9431 6.2; MT-126", "a refused PUBLISH, QoS 0: ignored and disconnected", N, RUDE, refused_publish_0 },
    { "B-1408", "RFC 9431 6.2; MT-126", "a refused PUBLISH, QoS 1: ignored and disconnected, no PUBACK", N, RUDE, refused_publish_1 },
    { "B-1409", "RFC 9431 6.2; MT-126", "a refused PUBLISH, QoS 2: ignored and disconnected, no PUBREC", N, RUDE, refused_publish_2 },
    { "B-1410", "RFC 9431 6.1, 2.2.4.1; MT-84", "a Will outside the scope: return code 5", N, RUDE, will_outside },
    { "B-1411", "RFC 9431 6.2, 4; MT-100 MT-128", "when the token ends, so does the connection", N, POLITE, cut_at_expiry },
    { "B-1421", "RFC 9431 6.1; MT-65 MT-123", "a stolen token", N, RUDE, stolen },
    { "B-1422", "RFC 9431 6.1; MT-63 MT-123", "a proof of 63 bytes", N, RUDE, truncated },
    { "B-1423", "RFC 9431 6.1; MT-63 TK-59", "a DER-encoded proof", N, RUDE, der },
    { "B-1424", "RFC 9431 6.1; MT-123", "an empty password: there is no challenge in 3.1.1", N, RUDE, no_proof },
    { "B-1425", "RFC 9431 6.1; MT-57 MT-123", "a proof over other bytes", N, RUDE, wrong_bytes },
    { "B-1426", "RFC 9431 6.1; MT-56 MT-123", "a proof replayed from another connection", N, RUDE, replayed },
    { "B-1427", "RFC 9431 6.1; MT-67", "an expired token", N, RUDE, expired },
    { "B-1428", "RFC 9431 6.1; MT-122 MT-125", "user name \"ace\" and nothing behind it", N, RUDE, no_token },
    { "B-1429", "RFC 9431 6.1; MT-121", "another user name and a password", N, RUDE, another_user },
    { "B-1430", "RFC 9431 6.1; MT-121 MT-123", "a token without a password", N, RUDE, no_password },
    { "B-1431", "RFC 9431 6.1; MT-122", "a user name that is no base64url", N, RUDE, garbage_name },
    { "B-1432", "RFC 9431 6.1; MT-122", "a user name of 65535 bytes", N, RUDE, name_of_64k },
    { "B-1433", "RFC 9431 6.2; MT-125", "without a token nothing protected is open", NEED_V311, RUDE, tokenless },
};
/* clang-format on */

const struct kit_theme theme_v311 = { "v311", KIT_BROKER, cases, COUNT_OF(cases) };
