/* B-13xx: clients known by TLS: raw public keys and pre-shared keys (RFC 9431 2.2.1, 2.2.3). */
#include "kit/say_priv.h"

#include "crypto/sign.h"
#include "mqtt/reason.h"

#define IT k->pop[POP_ED25519]

static const char *only(struct kit *k, const char *rest)
{
    return text(k, "[[\"%s\",[\"pub\"]]]", under_root(k, rest));
}

static void may_publish(struct peer *p, const char *rest, bool allowed)
{
    if (p == NULL)
        return;
    struct kit *k = kit_of(p);
    say_publish(p, under_root(k, rest), "x", 1, 1);
    const struct received *r = expect(p, MQTT_PUBACK);
    if (r == NULL)
        return;
    saw(k, "%s", describe(k, r));
    (void)check(k, allowed ? r->reason < 0x80 : r->reason >= 0x80,
                allowed ? "the PUBLISH should have been accepted" : "the PUBLISH should have been refused");
}

/* CONNECT without a method: TLS has said who it is. */
static struct peer *open_known(struct kit *k, const struct peer_how *how, const char *what)
{
    struct why why;
    struct mqtt_connect c = connect_plain(k);
    struct peer *p = peer_try(k, how, &why);

    if (p == NULL) {
        if (going(k))
            fail(k, "%s: %s (%s)", what, why.text, why.clause);
        return NULL;
    }
    say_connect(p, &c);
    return expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS) == NULL ? NULL : p;
}

/* Asked once: does the broker take raw public keys, external PSKs, at all? */
static bool takes_raw_keys(struct kit *k)
{
    struct why why;

    if (k->raw_keys == 0) {
        struct peer *p = peer_try(k, &(struct peer_how){ .raw_key = IT }, &why);
        k->raw_keys = p != NULL ? 1 : -1;
        peer_close(p);
    }
    if (k->raw_keys < 0)
        not_applicable(k, "the broker takes no raw public keys");
    return k->raw_keys > 0;
}

static void by_raw_key(struct kit *k, struct key *key)
{
    if (!takes_raw_keys(k) || !put_token(k, token_for(k, key, only(k, "rpk"))))
        return;
    struct peer *p = open_known(k, &(struct peer_how){ .raw_key = key }, "raw public key");
    may_publish(p, "rpk", true);
    may_publish(p, "elsewhere", false);
}

static void raw_ed25519(struct kit *k)
{
    by_raw_key(k, IT);
}

static void raw_p256(struct kit *k)
{
    by_raw_key(k, k->pop[POP_P256]);
}

static void raw_p256_tls12(struct kit *k)
{
    if (!takes_raw_keys(k) || !put_token(k, token_for(k, k->pop[POP_P256], only(k, "rpk"))))
        return;
    struct peer *p =
        open_known(k, &(struct peer_how){ .raw_key = k->pop[POP_P256], .tls12 = true }, "raw public key");
    if (p == NULL)
        return;
    saw(k, "%s", tls_version(peer_tls(p)));
    may_publish(p, "rpk", true);
}

/* Resumed or not, the key's rights are the same; what must not be is a resumed session without them, or with more. */
static void raw_key_resumed(struct kit *k)
{
    struct buf ticket;
    struct peer_how how = { .raw_key = IT };

    if (!takes_raw_keys(k) || !put_token(k, token_for(k, IT, only(k, "rpk"))))
        return;
    struct peer *p = open_known(k, &how, "raw public key");
    if (p == NULL || !expect_alive(p))
        return;
    buf_init(&ticket, 65536);
    bool has = tls_resumption_data(peer_tls(p), &ticket);
    how.resume = bytes(k, &ticket);
    p = has ? open_known(k, &how, "raw public key, resumed") : NULL;
    if (p != NULL)
        saw(k, tls_resumed(peer_tls(p)) ? "resumed" : "not resumed");
    else if (going(k))
        not_applicable(k, "the broker gives no session tickets to raw keys");
    may_publish(p, "rpk", true);
    may_publish(p, "elsewhere", false);
}

static void later_token_replaces(struct kit *k)
{
    if (!takes_raw_keys(k) || !put_token(k, token_for(k, IT, only(k, "first"))) ||
        !put_token(k, token_for(k, IT, only(k, "second"))))
        return;
    struct peer *p = open_known(k, &(struct peer_how){ .raw_key = IT }, "raw public key");
    may_publish(p, "second", true);
    may_publish(p, "first", false);
}

static void connect_token_wins(struct kit *k)
{
    if (!takes_raw_keys(k) || !put_token(k, token_for(k, IT, only(k, "by-tls"))))
        return;
    struct peer *p = peer_new(k, &(struct peer_how){ .raw_key = IT });
    if (p == NULL)
        return;
    struct span token = token_for(k, k->stranger[POP_ED25519], only(k, "by-connect"));
    struct mqtt_connect c =
        connect_ace(k, layout_a(k, token, proof(k, k->stranger[POP_ED25519], exporter_of(p))));
    say_connect(p, &c);
    (void)expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS);
    may_publish(p, "by-connect", true);
    may_publish(p, "by-tls", false);
}

static void other_issuer_does_not_replace(struct kit *k)
{
    struct claims c = claims_good(k, k->pop[POP_P256]);
    const char *kid = k->other_kid.p == NULL ? "" : text(k, ",\"kid\":\"%.*s\"", SPAN_FMT(k->other_kid));

    if (!takes_raw_keys(k) || !put_token(k, token_for(k, k->pop[POP_P256], only(k, "first"))))
        return;
    claims_set(&c, "iss", text(k, "\"%s\"", k->s->other_issuer));
    claims_scope(&c, only(k, "second"));
    const char *head = text(k, "{\"alg\":\"%s\"%s}", sig_name(sig_for_key(k->other_key)), kid);
    struct peer *p = open_guest(k);
    say_publish_bytes(p, "authz-info", sign_text(k, head, span_of_str(claims_text(&c)), k->other_key), 1, false,
                      3);
    const struct received *r = expect(p, MQTT_PUBACK);
    if (r == NULL)
        return;
    saw(k, "%s", describe(k, r));
    p = open_known(k, &(struct peer_how){ .raw_key = k->pop[POP_P256] }, "raw public key");
    may_publish(p, "first", true);
    may_publish(p, "second", false);
}

/* Nobody knows this key: at most a client without a token. */
static void must_be_a_stranger(struct kit *k, const struct peer_how *how)
{
    struct why why;
    struct mqtt_connect c = connect_plain(k);
    struct peer *p = peer_try(k, how, &why);

    if (!going(k))
        return;
    if (p == NULL) {
        saw(k, "no handshake: %s", why.text);
        return;
    }
    say_connect(p, &c);
    const struct received *r = peer_receive(p, 0);
    if (!going(k) || r->got == GOT_END)
        return;
    if (r->got != GOT_PACKET || r->frame.type != MQTT_CONNACK) {
        fail(k, "CONNACK expected, got %s", describe(k, r));
        return;
    }
    saw(k, "%s", describe(k, r));
    if (r->reason == 0)
        may_publish(p, "anything", false);
}

static void unknown_raw_key(struct kit *k)
{
    if (takes_raw_keys(k))
        must_be_a_stranger(k, &(struct peer_how){ .raw_key = k->stranger[POP_P256] });
}

static void expired_raw_key(struct kit *k)
{
    struct key *key = k->stranger[POP_ED25519];

    if (!takes_raw_keys(k) || !put_token(k, short_token(k, key, NULL)))
        return;
    struct peer *p = open_known(k, &(struct peer_how){ .raw_key = key }, "raw public key");
    wait_expiry(k, p);
    must_be_a_stranger(k, &(struct peer_how){ .raw_key = key });
}

/* ---- pre-shared keys ---- */

static struct span secret(struct kit *k)
{
    return key_secret(k->pop[POP_SECRET]);
}

static void by_token(struct kit *k, bool tls12)
{
    struct span token = token_for(k, k->pop[POP_SECRET], only(k, "psk"));
    struct peer *p =
        open_known(k, &(struct peer_how){ .psk_identity = token, .psk_key = secret(k), .tls12 = tls12 },
                   "token as PSK identity");

    if (p == NULL)
        return;
    saw(k, "%s, identity of %zu bytes", tls_version(peer_tls(p)), token.len);
    may_publish(p, "psk", true);
    may_publish(p, "elsewhere", false);
}

static bool takes_psk(struct kit *k)
{
    struct why why;

    if (k->psk == 0) {
        struct span token = token_for(k, k->pop[POP_SECRET], NULL);
        struct peer *p = peer_try(k, &(struct peer_how){ .psk_identity = token, .psk_key = secret(k) }, &why);
        k->psk = p != NULL ? 1 : -1;
        peer_close(p);
    }
    if (k->psk < 0)
        not_applicable(k, "the broker takes no tokens as PSK identities");
    return k->psk > 0;
}

static void token_13(struct kit *k)
{
    if (takes_psk(k))
        by_token(k, false);
}

static void token_12(struct kit *k)
{
    if (takes_psk(k))
        by_token(k, true);
}

static void large_token(struct kit *k)
{
    struct claims c = claims_good(k, k->pop[POP_SECRET]);
    struct span padding = repeated(k, "p", 2800);

    if (!takes_psk(k))
        return;
    claims_set(&c, "padding", text(k, "\"%.*s\"", SPAN_FMT(padding)));
    struct span token = encrypt_text(k, span_of_str(claims_text(&c)), NULL);
    struct peer *p =
        open_known(k, &(struct peer_how){ .psk_identity = token, .psk_key = secret(k) }, "a large token");
    saw(k, "identity of %zu bytes", token.len);
    may_publish(p, "psk", true);
}

/* A secret token whose cnf has a kid is put on authz-info; then the kid is the identity. */
static bool put_with_kid(struct kit *k, const char *kid)
{
    struct claims c = claims_good(k, k->pop[POP_SECRET]);

    claims_set(&c, "cnf",
               text(k, "{\"jwk\":{\"kty\":\"oct\",\"kid\":\"%s\",\"k\":\"%s\"}}", kid, b64(k, secret(k))));
    claims_scope(&c, only(k, "psk"));
    return going(k) && put_token(k, encrypt_text(k, span_of_str(claims_text(&c)), NULL));
}

static void by_kid(struct kit *k, struct span identity)
{
    struct peer *p =
        open_known(k, &(struct peer_how){ .psk_identity = identity, .psk_key = secret(k) }, "kid as identity");

    may_publish(p, "psk", true);
    may_publish(p, "elsewhere", false);
}

/* Another one in every run: a kid that stands for two keys stands for none. */
static const char *new_kid(struct kit *k)
{
    return b64(k, fill_random(k, 6));
}

static void kid_cbor(struct kit *k)
{
    struct span head = span_of("\xa1\x08\xa1\x01\xa2\x01\x04\x02\x48", 9);
    const char *kid = new_kid(k);

    if (takes_psk(k) && put_with_kid(k, kid))
        by_kid(k, joined(k, head, span_of_str(kid)));
}

static void kid_json(struct kit *k)
{
    const char *kid = new_kid(k);

    if (takes_psk(k) && put_with_kid(k, kid))
        by_kid(k, span_of_str(text(k, "{\"cnf\": {\"jwk\": {\"kid\": \"%s\", \"kty\": \"oct\"}}}", kid)));
}

static void no_handshake(struct kit *k, struct span identity, struct span key)
{
    if (takes_psk(k))
        must_be_a_stranger(k, &(struct peer_how){ .psk_identity = identity, .psk_key = key });
}

static void wrong_key(struct kit *k)
{
    no_handshake(k, token_for(k, k->pop[POP_SECRET], NULL), key_secret(k->stranger[POP_SECRET]));
}

static void expired_token(struct kit *k)
{
    no_handshake(k, token_for_life(k, k->pop[POP_SECRET], NULL, -7200), secret(k));
}

static void unknown_kid(struct kit *k)
{
    no_handshake(k, span_of("\xa1\x08\xa1\x01\xa2\x01\x04\x02\x44nope", 13), secret(k));
}

static void no_identity_at_all(struct kit *k)
{
    no_handshake(k, SPAN("Client_identity"), secret(k));
}

static void garbage_of_20k(struct kit *k)
{
    no_handshake(k, fill_random(k, 20000), secret(k));
}

static void cbor_bomb(struct kit *k)
{
    no_handshake(k, joined(k, span_of("\xa1\x08", 2), repeated(k, "\x81", 4000)), secret(k));
}

static void cbor_indefinite(struct kit *k)
{
    no_handshake(k, span_of("\xbf\x08\xa1\x01\xa2\x01\x04\x02\x44nope\xff", 14), secret(k));
}

static void json_twice(struct kit *k)
{
    no_handshake(k, SPAN("{\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"kid\":\"a\",\"kid\":\"b\"}}}"), secret(k));
}

#define R (NEED_MINT | NEED_AUTHZ_INFO)
/* clang-format off */
static const struct kit_case cases[] = {
    { "B-1301", "RFC 9431 2.2.1, 2.2.3.1; MT-23 MT-32 MT-67", "raw public key (Ed25519), token on authz-info: its rights, and no more", R, POLITE, raw_ed25519 },
    { "B-1302", "RFC 9431 2.2.1, 2.2.3.1; MT-23", "raw public key (P-256)", R, POLITE, raw_p256 },
    { "B-1303", "RFC 9431 2.2.2; MT-33 AF-62", "a later token for the key replaces the former", R, POLITE, later_token_replaces },
    { "B-1304", "RFC 9431 2.2.1; MT-24", "a token in CONNECT replaces what TLS had granted", R, POLITE, connect_token_wins },
    { "B-1305", "RFC 9431 2.2.2; TK-66", "a token of another issuer does not replace it", R | NEED_OTHER, RUDE, other_issuer_does_not_replace },
    { "B-1306", "RFC 9431 2.2.1; MT-23", "a raw public key nobody knows gives no rights", R, RUDE, unknown_raw_key },
    { "B-1307", "RFC 9431 4; MT-100", "the end of the token is the end of the key", R, POLITE, expired_raw_key },
    { "B-1308", "RFC 9431 2.2.3.1; MT-23", "raw public key over TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", R, POLITE, raw_p256_tls12 },
    { "B-1309", "RFC 9431 2.2.1; RFC 8446 2.2; MT-23", "a resumed session has the rights of its raw public key", R, POLITE, raw_key_resumed },
    { "B-1311", "RFC 9431 2.2.3.2; MT-23 MT-28", "the token is the PSK identity (TLS 1.3)", NEED_SHARED, POLITE, token_13 },
    { "B-1312", "RFC 9431 2.2.3.2; MT-28", "the token is the PSK identity (TLS 1.2, ECDHE-PSK)", NEED_SHARED, POLITE, token_12 },
    { "B-1313", "RFC 9431 2.2.3.2; MT-28", "a token of more than 4 KiB is the PSK identity", NEED_SHARED, POLITE, large_token },
    { "B-1314", "RFC 9431 2.2.3.2; MT-27 MT-29", "the kid in CBOR is the PSK identity, token on authz-info", NEED_SHARED | NEED_AUTHZ_INFO, POLITE, kid_cbor },
    { "B-1315", "RFC 9431 2.2.3.2; MT-27", "the kid in JSON is the PSK identity, token on authz-info", NEED_SHARED | NEED_AUTHZ_INFO, POLITE, kid_json },
    { "B-1321", "RFC 9431 2.2.3.2; MT-28 MT-65", "the right identity under a wrong key", NEED_SHARED, RUDE, wrong_key },
    { "B-1322", "RFC 9431 2.2.3.2; MT-28 MT-67", "an expired token as identity", NEED_SHARED, RUDE, expired_token },
    { "B-1323", "RFC 9431 2.2.3.2; MT-27", "a kid nobody knows", NEED_SHARED, RUDE, unknown_kid },
    { "B-1324", "RFC 9431 2.2.3.2; MT-28", "an identity that is neither", NEED_SHARED, RUDE, no_identity_at_all },
    { "B-1325", "RFC 9431 8; MT-28", "an identity of 20000 random bytes", NEED_SHARED, RUDE, garbage_of_20k },
    { "B-1326", "RFC 8949 5; MT-27 TK-49", "an identity of 4000 nested arrays", NEED_SHARED, RUDE, cbor_bomb },
    { "B-1327", "RFC 8949 4.2.1; MT-27 TK-50", "an identity of indefinite length", NEED_SHARED, RUDE, cbor_indefinite },
    { "B-1328", "RFC 8259 4; MT-27 TK-48", "an identity with a member twice", NEED_SHARED, RUDE, json_twice },
};
/* clang-format on */

const struct kit_theme theme_tls_known = { "tls_known", KIT_BROKER, cases, COUNT_OF(cases) };
