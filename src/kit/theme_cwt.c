/* B-15xx: tokens in CBOR (RFC 8392, RFC 9052), good ones and bad ones. */
#include "kit/say_priv.h"

#include "codec/cbor.h"
#include "cose/cose.h"
#include "cose/cose_key.h"
#include "crypto/sign.h"
#include "mqtt/reason.h"

#define IT k->pop[POP_ED25519]

enum { ISS = 1, SUB = 2, AUD = 3, EXP = 4, IAT = 6, CTI = 7, CNF = 8, SCOPE = 9 };

static struct buf new_buf(void)
{
    struct buf b;

    buf_init(&b, 1u << 20);
    return b;
}

static void put_pair_text(struct buf *b, int64_t key, const char *text)
{
    cb_put_int(b, key);
    cb_put_text(b, span_of_str(text));
}

/* [[root/#, [pub, sub]]] in a byte string (RFC 9431 2.3, AF-106). */
static void put_scope(struct kit *k, struct buf *b)
{
    CLEANUP(buf_done)
    struct buf aif = new_buf();

    cb_put_array(&aif, 1);
    cb_put_array(&aif, 2);
    cb_put_text(&aif, span_of_str(under_root(k, "#")));
    cb_put_array(&aif, 2);
    cb_put_text(&aif, SPAN("pub"));
    cb_put_text(&aif, SPAN("sub"));
    cb_put_int(b, SCOPE);
    cb_put_bytes(b, buf_span(&aif));
}

static void put_cnf(struct kit *k, struct buf *b, const struct key *key)
{
    cb_put_int(b, CNF);
    cb_put_map(b, 1);
    cb_put_int(b, 1);
    if (sy_cose_key_write(key, SPAN_NONE, NULL, false, b) != ST_OK)
        trouble(k, "a key that has no COSE_Key");
}

struct cwt {
    struct span front; /* put in front of the pairs, in place of a definite map's head */
    int64_t exp;
    const char *aud;
    struct span more; /* encoded pairs */
    size_t more_count;
};

/* The claims; `how` says what is odd about them. */
static struct span claims_cbor(struct kit *k, const struct key *key, const struct cwt *how)
{
    struct buf b = new_buf();

    if (how->front.p != NULL)
        put_bytes(&b, how->front);
    else
        cb_put_map(&b, 7 + how->more_count);
    put_pair_text(&b, ISS, k->s->issuer);
    put_pair_text(&b, AUD, how->aud != NULL ? how->aud : k->s->audience);
    cb_put_int(&b, EXP);
    cb_put_int(&b, how->exp != 0 ? how->exp : wall_s() + 600);
    cb_put_int(&b, IAT);
    cb_put_int(&b, wall_s());
    cb_put_int(&b, CTI);
    cb_put_bytes(&b, fill_random(k, 8));
    put_cnf(k, &b, key);
    put_scope(k, &b);
    put_bytes(&b, how->more);
    return bytes(k, &b);
}

static struct span sign1(struct kit *k, struct span payload)
{
    struct buf b = new_buf();

    if (going(k) && sy_cose_sign1(k->issuer_key, k->issuer_kid, payload, &b) != ST_OK)
        trouble(k, "signing failed");
    return bytes(k, &b);
}

static struct span encrypt0(struct kit *k, struct span plaintext)
{
    struct buf b = new_buf();
    enum cose_alg alg = key_secret(k->shared_key).len == 32 ? COSE_A256GCM : COSE_A128GCM;

    if (going(k) && sy_cose_encrypt0(alg, k->shared_key, k->shared_kid, plaintext, &b) != ST_OK)
        trouble(k, "encrypting failed");
    return bytes(k, &b);
}

static struct span good(struct kit *k)
{
    return sign1(k, claims_cbor(k, IT, &(struct cwt){ 0 }));
}

bool takes_cwt(struct kit *k)
{
    if (k->cwt != 0 || k->issuer_key == NULL)
        return k->cwt > 0;
    struct mqtt_connect c = connect_ace(k, layout_b(k, good(k)));
    struct peer *p = peer_new(k, NULL);
    say_connect(p, &c);
    const struct received *r = peer_receive(p, 0);
    if (going(k))
        k->cwt = r->got == GOT_PACKET && r->frame.type == MQTT_AUTH ? 1 : -1;
    peer_close(p);
    return k->cwt > 0;
}

static void signed_ok(struct kit *k)
{
    must_accept_token(k, good(k), IT);
}

static void signed_over_exporter(struct kit *k)
{
    (void)open_with(k, good(k), IT);
}

static void tagged_61(struct kit *k)
{
    must_accept_token(k, joined(k, SPAN("\xd8\x3d"), good(k)), IT);
}

static void encrypted_ok(struct kit *k)
{
    must_accept_token(k, encrypt0(k, claims_cbor(k, k->pop[POP_SECRET], &(struct cwt){ 0 })),
                      k->pop[POP_SECRET]);
}

static void nested_ok(struct kit *k)
{
    must_accept_token(k, encrypt0(k, good(k)), IT);
}

static void psk_identity(struct kit *k)
{
    struct span token = encrypt0(k, claims_cbor(k, k->pop[POP_SECRET], &(struct cwt){ 0 }));
    struct peer_how how = { .psk_identity = token, .psk_key = key_secret(k->pop[POP_SECRET]) };
    struct why why;
    struct mqtt_connect c = connect_plain(k);
    struct peer *p = peer_try(k, &how, &why);

    if (p == NULL) {
        if (going(k))
            not_applicable(k, "the broker takes no tokens as PSK identities: %s", why.text);
        return;
    }
    say_connect(p, &c);
    (void)expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS);
    say_publish(p, under_root(k, "cwt"), "x", 1, 1);
    const struct received *r = expect(p, MQTT_PUBACK);
    if (r != NULL)
        (void)check(k, r->reason < 0x80, "the PUBLISH should have been accepted");
}

/* ---- CBOR that is not what it should be: properly signed all the same ---- */

static void refused_claims(struct kit *k, const struct cwt *how)
{
    must_refuse_token(k, sign1(k, claims_cbor(k, IT, how)), IT);
}

static void indefinite(struct kit *k)
{
    refused_claims(k, &(struct cwt){ .front = SPAN("\xbf"), .more = SPAN("\xff") });
}

static void duplicate_key(struct kit *k)
{
    refused_claims(k, &(struct cwt){ .more = SPAN("\x03\x61x"), .more_count = 1 });
}

static void duplicate_key_longer(struct kit *k)
{
    refused_claims(k, &(struct cwt){ .more = SPAN("\x18\x03\x61x"), .more_count = 1 });
}

static void non_minimal(struct kit *k)
{
    refused_claims(k, &(struct cwt){ .more = SPAN("\x19\x00\x64\x01"), .more_count = 1 });
}

static void bomb(struct kit *k)
{
    struct span deep = joined(k, joined(k, SPAN("\x18\x64"), repeated(k, "\x81", 3000)), SPAN("\x01"));

    refused_claims(k, &(struct cwt){ .more = deep, .more_count = 1 });
}

static void count_beyond(struct kit *k)
{
    refused_claims(
        k, &(struct cwt){ .more = SPAN("\x18\x64\x9b\x00\x00\x00\xff\xff\xff\xff\xff"), .more_count = 1 });
}

static void trailing(struct kit *k)
{
    refused_claims(k, &(struct cwt){ .more = SPAN("\x01") });
}

static void bad_text(struct kit *k)
{
    refused_claims(k, &(struct cwt){ .more = SPAN("\x18\x64\x62\xff\xfe"), .more_count = 1 });
}

static void reserved_info(struct kit *k)
{
    refused_claims(k, &(struct cwt){ .more = SPAN("\x18\x64\x1c"), .more_count = 1 });
}

static void expired(struct kit *k)
{
    refused_claims(k, &(struct cwt){ .exp = 1000000000 });
}

static void other_audience(struct kit *k)
{
    refused_claims(k, &(struct cwt){ .aud = "another.broker" });
}

static void secret_in_the_clear(struct kit *k)
{
    must_refuse_token(k, sign1(k, claims_cbor(k, k->pop[POP_SECRET], &(struct cwt){ 0 })), k->pop[POP_SECRET]);
}

/* ---- COSE that is not what it should be ---- */

/* tag([protected, unprotected, payload, signature]), signed as RFC 9052 4.4 says over what is protected. */
static struct span by_hand(struct kit *k, uint8_t tag, struct span protected_map, struct span unprotected_map)
{
    struct buf tbs = new_buf(), out = new_buf();
    struct span payload = claims_cbor(k, IT, &(struct cwt){ 0 });
    uint8_t sig[SIG_MAX];

    cb_put_array(&tbs, 4);
    cb_put_text(&tbs, SPAN("Signature1"));
    cb_put_bytes(&tbs, protected_map);
    cb_put_bytes(&tbs, SPAN(""));
    cb_put_bytes(&tbs, payload);
    if (going(k) && sig_make(k->issuer_key, sig_for_key(k->issuer_key), buf_span(&tbs), sig) != ST_OK)
        trouble(k, "signing failed");
    buf_done(&tbs);
    put_u8(&out, tag);
    cb_put_array(&out, 4);
    cb_put_bytes(&out, protected_map);
    put_bytes(&out, unprotected_map);
    cb_put_bytes(&out, payload);
    cb_put_bytes(&out, span_of(sig, sig_len(k->issuer_key)));
    return bytes(k, &out);
}

/* {1: alg} of the issuer's key, as one byte string would hold it. */
static struct span alg_map(struct kit *k)
{
    return sig_for_key(k->issuer_key) == SIG_EDDSA ? SPAN("\xa1\x01\x27") : SPAN("\xa1\x01\x26");
}

static void alg_unprotected(struct kit *k)
{
    must_refuse_token(k, by_hand(k, 0xd2, SPAN(""), alg_map(k)), IT);
}

static void alg_twice(struct kit *k)
{
    must_refuse_token(k, by_hand(k, 0xd2, alg_map(k), SPAN("\xa1\x01\x05")), IT);
}

static void alg_missing(struct kit *k)
{
    must_refuse_token(k, by_hand(k, 0xd2, SPAN("\xa0"), SPAN("\xa0")), IT);
}

static void mac_tag(struct kit *k)
{
    must_refuse_token(k, by_hand(k, 0xd1, alg_map(k), SPAN("\xa0")), IT);
}

static void crit(struct kit *k)
{
    struct span map = sig_for_key(k->issuer_key) == SIG_EDDSA ? SPAN("\xa2\x01\x27\x02\x81\x18\x64")
                                                              : SPAN("\xa2\x01\x26\x02\x81\x18\x64");

    must_refuse_token(k, by_hand(k, 0xd2, map, SPAN("\xa0")), IT);
}

static void changed(struct kit *k)
{
    struct span t = good(k);
    uint8_t *copy = arena_alloc(&k->arena, t.len + 1);

    if (copy == NULL || t.len == 0)
        return;
    memcpy(copy, t.p, t.len);
    copy[t.len - 5] ^= 1;
    must_refuse_token(k, span_of(copy, t.len), IT);
}

static void mac_under_the_public_key(struct kit *k)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct buf b = new_buf();
    struct span payload = claims_cbor(k, IT, &(struct cwt){ 0 });
    struct why why;

    if (key_new_secret(key_x(k->issuer_key), &key, &why) != ST_OK ||
        sy_cose_mac0(COSE_HMAC_256_256, key, k->issuer_kid, payload, &b) != ST_OK)
        trouble(k, "no MAC");
    must_refuse_token(k, bytes(k, &b), IT);
}

static void nested_too_deep(struct kit *k)
{
    struct span t = good(k);

    for (int i = 0; i < 4; i++)
        t = encrypt0(k, t);
    must_refuse_token(k, t, IT);
}

static void array_without_end(struct kit *k)
{
    must_refuse_token(k, SPAN("\xd2\x84\x43\xa1\x01\x27\xa0\x5b\xff\xff\xff\xff\xff\xff\xff\xff"), IT);
}

#define N (NEED_MINT | NEED_CWT)
/* clang-format off */
static const struct kit_case cases[] = {
    { "B-1501", "RFC 9431 2.2.4.2; RFC 8392; MT-2 TK-10 TK-12", "a CWT (COSE_Sign1) by challenge and response", N, POLITE, signed_ok },
    { "B-1502", "RFC 9431 2.2.4.2.1; RFC 8392; MT-56", "the same over the exporter", N, POLITE, signed_over_exporter },
    { "B-1503", "RFC 8392 6; TK-10", "with tag 61 outermost", N, POLITE, tagged_61 },
    { "B-1504", "RFC 9431 2.1; MT-14 TK-4", "a secret in a CWT under COSE_Encrypt0", N | NEED_SHARED, POLITE, encrypted_ok },
    { "B-1505", "RFC 8392 7; TK-11", "COSE_Sign1 inside COSE_Encrypt0", N | NEED_SHARED, POLITE, nested_ok },
    { "B-1506", "RFC 9431 2.2.3.2; MT-28", "a CWT, NUL bytes and all, as PSK identity", N | NEED_SHARED, POLITE, psk_identity },
    { "B-1511", "RFC 8949 3.2.2; TK-50", "claims of indefinite length", N, RUDE, indefinite },
    { "B-1512", "RFC 8949 5.6; TK-48", "a key twice", N, RUDE, duplicate_key },
    { "B-1513", "RFC 8949 5.6; TK-48 TK-50", "a key twice, the second one written longer", N, RUDE, duplicate_key_longer },
    { "B-1514", "RFC 8949 4.2.1; TK-50", "an integer written longer than needed", N, RUDE, non_minimal },
    { "B-1515", "RFC 8949 10; TK-49", "3000 nested arrays", N, RUDE, bomb },
    { "B-1516", "RFC 8949 10; TK-49", "an array of 2^40 items that are not there", N, RUDE, count_beyond },
    { "B-1517", "RFC 8949 5.3.1; TK-50", "a byte behind the claims", N, RUDE, trailing },
    { "B-1518", "RFC 8949 3.1; TK-50", "text that is no UTF-8", N, RUDE, bad_text },
    { "B-1519", "RFC 8949 3; TK-50", "reserved additional information", N, RUDE, reserved_info },
    { "B-1520", "RFC 9200 5.10.1.1; MT-67", "expired", N, RUDE, expired },
    { "B-1521", "RFC 9200 5.10.1.1; TK-54", "for another audience", N, RUDE, other_audience },
    { "B-1522", "RFC 9431 2.1; TK-4 TK-55", "a secret in a CWT that is only signed", N, RUDE, secret_in_the_clear },
    { "B-1531", "RFC 9052 3.1; TK-43", "alg in the unprotected header only", N, RUDE, alg_unprotected },
    { "B-1532", "RFC 9052 3; TK-43 TK-48", "alg in both headers", N, RUDE, alg_twice },
    { "B-1533", "RFC 9052 3.1; TK-43", "alg nowhere", N, RUDE, alg_missing },
    { "B-1534", "RFC 9052 2; TK-42", "the tag of COSE_Mac0 over a signature", N, RUDE, mac_tag },
    { "B-1535", "RFC 9052 3.1; TK-47", "crit with a label nobody knows", N, RUDE, crit },
    { "B-1536", "RFC 9052 4.4; AF-63 AF-90", "signature changed", N, RUDE, changed },
    { "B-1537", "RFC 8725 2.1; TK-41 TK-42", "COSE_Mac0 under the issuer's public key", N, RUDE, mac_under_the_public_key },
    { "B-1538", "RFC 8392 7; TK-49", "encrypted four times", N | NEED_SHARED, RUDE, nested_too_deep },
    { "B-1539", "RFC 8949 10; TK-49", "a payload of 2^64 bytes that are not there", N, RUDE, array_without_end },
};
/* clang-format on */

const struct kit_theme theme_cwt = { "cwt", KIT_BROKER, cases, COUNT_OF(cases) };
