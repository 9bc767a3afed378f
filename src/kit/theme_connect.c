/* B-1xx: CONNECT, what may and may not follow it, and AS discovery. */
#include "kit/say_priv.h"

#include "mqtt/reason.h"

static void tokenless(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_ace(k, SPAN_NONE);

    say_connect(p, &c);
    (void)expect_refused(p);
}

static void hint(struct kit *k)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_ace(k, SPAN_NONE);
    struct span value, as;
    struct why why;

    say_connect(p, &c);
    const struct received *r = expect_reason(p, MQTT_CONNACK, MQTT_NOT_AUTHORIZED);
    if (r == NULL)
        return;
    if (!mqtt_find_user_property(&r->connack.properties, SPAN("ace_as_hint"), &value)) {
        if (k->s->draft06)
            fail(k, "no User Property ace_as_hint, which draft-06 asks for");
        else
            not_applicable(k, "the broker gives no hints, as it may choose");
        return;
    }
    if (js_parse(value, 65535, &js, &why) != ST_OK)
        fail(k, "ace_as_hint is no JSON: %s", why.text);
    else if (!js_get_str(js, "AS", &as) || as.len == 0)
        fail(k, "ace_as_hint has no member AS");
    else
        saw(k, "AS %.*s", SPAN_FMT(as));
}

static void method_refused(struct kit *k, const char *method)
{
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_ace(k, SPAN_NONE);

    c.properties.auth_method = span_of_str(method);
    say_connect(p, &c);
    if (expect_reason(p, MQTT_CONNACK, MQTT_BAD_AUTHENTICATION_METHOD) != NULL)
        (void)expect_end(p);
}

static void other_method(struct kit *k)
{
    method_refused(k, "SCRAM-SHA-256");
}

static void method_in_capitals(struct kit *k)
{
    method_refused(k, "ACE");
}

static void user_name_too(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c =
        connect_ace(k, layout_a(k, token, proof(k, key, p == NULL ? SPAN_NONE : exporter_of(p))));

    c.has_user_name = c.has_password = true;
    c.user_name = SPAN("user");
    c.password = SPAN("password");
    say_connect(p, &c);
    (void)expect_refused(p);
}

/* CONNECT built by hand: `flags`, and Authentication Method "ace". */
static struct span connect_with_flags(struct kit *k, uint8_t flags)
{
    struct buf b;

    buf_init(&b, 256);
    put_prefixed16(&b, SPAN("MQTT"));
    put_u8(&b, MQTT_5);
    put_u8(&b, flags);
    put_u16(&b, 60);
    put_u8(&b, 6);
    put_u8(&b, PROP_AUTH_METHOD);
    put_prefixed16(&b, SPAN(ACE_METHOD));
    put_prefixed16(&b, span_of_str(new_client_id(k)));
    return bytes(k, &b);
}

static void reserved_flag(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);

    say_packet(p, MQTT_CONNECT << 4, connect_with_flags(k, 0x03));
    const struct received *r = peer_receive(p, 0);
    if (!going(k) || r->got == GOT_END)
        return;
    if (r->got == GOT_PACKET && r->frame.type == MQTT_CONNACK && r->reason >= 0x80)
        (void)expect_end(p);
    else
        fail(k, "refusal expected, got %s", describe(k, r));
}

static void data_refused(struct kit *k, struct span data)
{
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_ace(k, data);

    say_connect(p, &c);
    (void)expect_refused(p);
}

static void data_empty(struct kit *k)
{
    data_refused(k, SPAN(""));
}

static void data_one_byte(struct kit *k)
{
    data_refused(k, SPAN("\x00"));
}

static void length_beyond_data(struct kit *k)
{
    data_refused(k, SPAN("\x00\x09"
                         "abc"));
}

static void largest_length(struct kit *k)
{
    data_refused(k, joined(k, SPAN("\xff\xff"), fill_random(k, 100)));
}

static void token_of_no_bytes(struct kit *k)
{
    data_refused(k, joined(k, SPAN("\x00\x00"), fill_random(k, 64)));
}

static void token_of_64k(struct kit *k)
{
    data_refused(k, layout_b(k, repeated(k, "x", 65533)));
}

static void jwt_of_64k(struct kit *k)
{
    struct span body = repeated(k, "A", 32000), sig = repeated(k, "A", 33000);

    data_refused(
        k, layout_b(k, span_of_str(text(k, "eyJhbGciOiJFZERTQSJ9.%.*s.%.*s", SPAN_FMT(body), SPAN_FMT(sig)))));
}

static void no_token_at_all(struct kit *k)
{
    data_refused(k, layout_b(k, SPAN("this is no token, nor a reference anybody knows")));
}

/* After CONNECT, before the answer to it. The packet must have no effect: the witness would see a PUBLISH. */
static struct peer *unanswered(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_ace(k, layout_b(k, token));

    say_connect(p, &c);
    (void)expect_challenge(p);
    return p;
}

static void must_be_cut(struct peer *p)
{
    static const uint8_t also[] = { MQTT_PROTOCOL_ERROR, 0 };

    (void)expect_cut(p, also);
}

static void publish_before_connack(struct kit *k)
{
    struct peer *p = unanswered(k);

    say_publish(p, under_root(k, "witness"), "too early", 1, 7);
    must_be_cut(p);
}

static void subscribe_before_connack(struct kit *k)
{
    struct peer *p = unanswered(k);

    say_subscribe(p, under_root(k, "#"), 0);
    must_be_cut(p);
}

static void ping_before_connack(struct kit *k)
{
    struct peer *p = unanswered(k);

    say_ping(p);
    must_be_cut(p);
}

static void disconnect_before_connack(struct kit *k)
{
    struct peer *p = unanswered(k);

    say_disconnect(p, 0);
    if (going(k) && expect_end(p))
        saw(k, "closed in order");
}

static void pipelined_behind_a_refusal(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_ace(k, layout_b(k, SPAN("no token")));
    struct buf b;

    buf_init(&b, 4096);
    mqtt_write_connect(&b, &c);
    struct mqtt_publish_out out = { .topic = span_of_str(under_root(k, "witness")),
                                    .payload = SPAN("smuggled") };
    mqtt_write_publish(&b, MQTT_5, &out);
    struct mqtt_auth auth = { .reason = MQTT_CONTINUE_AUTHENTICATION };
    auth.properties.auth_method = SPAN(ACE_METHOD);
    mqtt_set(&auth.properties, PROP_AUTH_METHOD);
    mqtt_write_auth(&b, &auth);
    peer_send(p, bytes(k, &b));
    (void)expect_refused(p);
}

static void second_connect(struct kit *k)
{
    static const uint8_t also[] = { MQTT_PROTOCOL_ERROR, 0 };
    struct peer *p = open_good(k);
    struct mqtt_connect c = connect_ace(k, SPAN_NONE);

    say_connect(p, &c);
    (void)expect_cut(p, also);
}

static void auth_first(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);

    say_auth(p, MQTT_CONTINUE_AUTHENTICATION, fill_random(k, 40));
    const struct received *r = peer_receive(p, 0);
    if (!going(k) || r->got == GOT_END)
        return;
    if (r->got == GOT_PACKET && r->reason >= 0x80)
        (void)expect_end(p);
    else
        fail(k, "the end of the connection expected, got %s", describe(k, r));
}

static void public_topic(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_plain(k);

    say_connect(p, &c);
    if (expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS) == NULL || !subscribed(p, k->s->public_topic, 0))
        return;
    say_publish(p, k->s->public_topic, "hello", 0, 0);
    (void)expect_message(p, k->s->public_topic, "hello");
}

static void protected_without_token(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_plain(k);

    say_connect(p, &c);
    const struct received *r = expect(p, MQTT_CONNACK);
    if (r == NULL)
        return;
    saw(k, "%s", describe(k, r));
    if (r->reason != 0)
        return;
    say_subscribe(p, under_root(k, "#"), 0);
    expect_suback(p, MQTT_NOT_AUTHORIZED);
    say_publish(p, under_root(k, "witness"), "unauthorized", 1, 9);
    r = expect(p, MQTT_PUBACK);
    if (r != NULL && check(k, r->reason >= 0x80, "a PUBLISH without a token was accepted"))
        saw(k, "%s", describe(k, r));
}

static void alpn(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);

    if (p == NULL)
        return;
    struct span chosen = tls_alpn(peer_tls(p));
    if (chosen.len == 0)
        not_applicable(k, "the broker does not take part in ALPN (SHOULD)");
    else if (check(k, span_eq_str(chosen, "mqtt"), "another ALPN protocol was chosen"))
        saw(k, "ALPN mqtt");
}

static void tls13(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);

    if (p == NULL)
        return;
    if (strcmp(tls_version(peer_tls(p)), "TLS1.3") == 0)
        saw(k, "TLS 1.3");
    else
        not_applicable(k, "%s: TLS 1.3 is recommended, not required", tls_version(peer_tls(p)));
}

/* clang-format off */
static const struct kit_case cases[] = {
    { "B-101", "RFC 9431 2.4.1; MT-90 MT-92", "CONNECT with method ace and no Authentication Data is answered CONNACK 0x87", 0, POLITE, tokenless },
    { "B-102", "RFC 9431 2.4.1; MT-91", "the refusal tells where tokens come from: ace_as_hint with member AS", 0, POLITE, hint },
    { "B-103", "RFC 9431 2.2.4.2; MT-51", "a method nobody knows is answered 0x8C", 0, RUDE, other_method },
    { "B-104", "RFC 9431 2.2.4.2; MT-51", "the method is case-sensitive: \"ACE\" is not \"ace\"", 0, RUDE, method_in_capitals },
    { "B-105", "RFC 9431 2.2.4.1; MT-50", "user name and password beside method ace are refused", NEED_TOKEN, RUDE, user_name_too },
    { "B-106", "RFC 9431 2.2.4.1; MT-50", "the reserved CONNECT flag is refused", 0, RUDE, reserved_flag },
    { "B-107", "RFC 9431 2.4.1; MT-52 MT-90", "empty Authentication Data is refused", 0, RUDE, data_empty },
    { "B-108", "RFC 9431 2.4.1; MT-52 MT-90", "Authentication Data of one byte is refused", 0, RUDE, data_one_byte },
    { "B-109", "RFC 9431 2.4.1; MT-52 MT-90", "a token length beyond the data is refused", 0, RUDE, length_beyond_data },
    { "B-110", "RFC 9431 2.4.1; MT-52 MT-90", "token length 65535 over 100 bytes is refused", 0, RUDE, largest_length },
    { "B-111", "RFC 9431 2.4.1; MT-52 MT-90", "a token of no bytes is refused", 0, RUDE, token_of_no_bytes },
    { "B-112", "RFC 9431 2.4.1; MT-52 MT-90", "64 KiB that are no token are refused", 0, RUDE, token_of_64k },
    { "B-113", "RFC 9431 2.4.1; MT-52 MT-90", "64 KiB in the form of a JWT are refused", 0, RUDE, jwt_of_64k },
    { "B-114", "RFC 9431 2.4.1; MT-90", "what is no token is refused", 0, RUDE, no_token_at_all },
    { "B-115", "RFC 9431 2.2.4.1; MT-54", "a PUBLISH between CONNECT and CONNACK is not processed", NEED_TOKEN, RUDE, publish_before_connack },
    { "B-116", "RFC 9431 2.2.4.1; MT-54", "a SUBSCRIBE between CONNECT and CONNACK is not processed", NEED_TOKEN, RUDE, subscribe_before_connack },
    { "B-117", "RFC 9431 2.2.4.1; MT-54", "a PINGREQ between CONNECT and CONNACK is not answered", NEED_TOKEN, RUDE, ping_before_connack },
    { "B-118", "RFC 9431 2.2.4.1; MT-54", "a DISCONNECT between CONNECT and CONNACK ends it in order", NEED_TOKEN, POLITE, disconnect_before_connack },
    { "B-119", "RFC 9431 2.4.1; MT-54", "nothing pipelined behind a refused CONNECT is processed", 0, RUDE, pipelined_behind_a_refusal },
    { "B-120", "MQTT5 [MQTT-3.1.0-2]; MT-54", "a second CONNECT ends the connection", NEED_TOKEN, RUDE, second_connect },
    { "B-121", "MQTT5 [MQTT-3.1.0-1]; MT-54", "AUTH before CONNECT ends the connection", 0, RUDE, auth_first },
    { "B-122", "RFC 9431 2.2.1; MT-20 MT-21", "a public topic needs no token", NEED_PUBLIC, POLITE, public_topic },
    { "B-123", "RFC 9431 2.2.1; MT-20 MT-21", "without a token nothing can be done to protected topics", 0, RUDE, protected_without_token },
    { "B-124", "RFC 9431 2.2.3; MT-6", "ALPN chooses mqtt", 0, POLITE, alpn },
    { "B-125", "RFC 9431 1; MT-4", "TLS 1.3 is spoken", 0, POLITE, tls13 },
};
/* clang-format on */

const struct kit_theme theme_connect = { "connect", KIT_BROKER, cases, COUNT_OF(cases) };
