/* vectors: makes tests/vectors/ace-mqtt/vectors.json, or checks that it is what the code says today.
 *   vectors FILE           fails if FILE is not exactly that
 *   vectors --write FILE   writes it
 * Every value is computed here by the code that broker and client use, except two that involve a random number, which
 * are constants below and checked instead. Clauses: MT-27, MT-28, MT-50 to MT-59, MT-63, MT-80, MT-82, MT-86, MT-87,
 * MT-102, MT-121 to MT-123, D-1, D-18, D-20. */
#include "kit/vectors_priv.h"

#include "codec/base64.h"
#include "codec/cbor.h"
#include "crypto/sign.h"
#include "jose/jwk.h"
#include "mqtt/packet.h"
#include "net/file.h"
#include "scope/scope.h"
#include "token/auth_data.h"
#include "token/claims.h"
#include "token/psk_identity.h"
#include "token/user_name.h"
#include "token/verifier.h"

#include <stdio.h>

#define ISSUER   "https://as.example"
#define AUDIENCE "broker.example"
#define NOW      1700000600
#define IAT      1700000000
#define EXP      4102444800 /* 2100 */
#define SCOPE    "[[\"topic1\",[\"pub\",\"sub\"]],[\"topic2/#\",[\"pub\"]],[\"+/topic3\",[\"sub\"]]]"

/* A256KW with A256GCM under "shared", claims as in the others, cnf the secret. */
static const char jwe_text[] =
    "eyJhbGciOiJBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIiwidHlwIjoiYXQrand0Iiwia2lkIjoic2hhcmVkLTEifQ.ue52IoiuOR0lq"
    "T4tiO2CROkJG47eIsPU396F-mwKSUl6UPXjwhwoRA.5uSCqyoOH21UBW0o.WpIAbGTde1h9Y0t6mWbOkfnmBm0MfJ08NbZo77i6j"
    "uIK7fuZRmhFbPpLeV9Pl6wZNnH_o3tLVX5MOakaIxJ6g2y4Jc8cHGx7S6sm85yic4LXLXhSkxtnDQ79EbR5azGsnIJvXYZuso9cz"
    "UdPtVrAZfJhmpl48EKhis3sb7qow1JMfvynfUqMqiGoWSIf75f_6PklzW6qeeQh64icz8V1xuudL1H3Di0_ooHBo35FsZWI6POMf"
    "0chncszu3OrRDnqwTleL5bLC9lvPpbmX8UmZG2xvhUf-Nz2mKMAUerbKdW7IUmHcVKIUqcuTXSW8eld5Xlsj-mTMgKRH83-ZBo_T"
    "j-b3vdMCLZcGZpINrVea4xhlRrkjcHEXfmMX_bteoGhmCkuLWNrDWkC5NE_CpmdfVn9Kk2BRMgdZPO9yuHOQUD4Qbht.nlRphnp-"
    "gT-1YcsF4ED5ow";
/* ES256 over the exporter value; over the nonces. */
static const char es256_exporter[] =
    "85ab6d84d43ea113491911d4a248919058b68637cff1a8b285ca79a69c679518c35286ba0c89beb392316dd88bb42db4b53e"
    "822f1af83d0a9cd1d16b03d429d0";
static const char es256_nonces[] =
    "1376cf870f486db3c9b4e0a8d2cfbd3e1cd1bbdad3eca6ac32a30eba9f9766d54062a5f1e68620abdb30b0cd87f800e1ab8a"
    "9dd257d63e8ffa0a4e20d3c6086f";

/* ---- material ---- */

struct material {
    struct key *ed25519, *secret, *p256, *issuer, *shared;
    struct scope *scope;
    struct verifier *verifier;
    uint8_t exporter[ACE_EXPORTER_LEN], rs_nonce[ACE_NONCE_LEN], nonce[ACE_NONCE_LEN];
    struct buf jws, cwt, jwe; /* tokens bound to ed25519, ed25519, secret */
};

static struct key *key_of(enum key_kind kind, const char *hex)
{
    CLEANUP(buf_wipe)
    struct buf b = unhex(hex);
    struct key *key = NULL;
    enum status st = kind == KEY_ED25519 ? key_new_ed25519_private(buf_span(&b), &key, NULL)
                     : kind == KEY_P256  ? key_new_p256_private(buf_span(&b), &key, NULL)
                                         : key_new_secret(buf_span(&b), &key, NULL);

    must(st == ST_OK, "a key");
    return key;
}

static void fill(uint8_t *p, size_t len, uint8_t from)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(from + i);
}

static struct token_claims claims_of(const struct material *m, const struct key *cnf)
{
    return (struct token_claims){
        .iss = SPAN(ISSUER),
        .sub = SPAN("client-1"),
        .aud = SPAN(AUDIENCE),
        .jti = SPAN("vector-1"),
        .has_exp = true,
        .exp = { EXP },
        .has_iat = true,
        .iat = { IAT },
        .scope = m->scope,
        .cnf = cnf,
        .ace_profile = true,
    };
}

static void make_verifier(struct material *m)
{
    struct jwk jwk = { .key = key_ref(m->issuer), .kid = SPAN("as-1"), .ops = UINT32_MAX };
    CLEANUP(jwks_unrefp)
    struct jwks *jwks = NULL;

    must(jwks_make(&jwk, 1, &jwks) == ST_OK, "a key set");
    jwk_done(&jwk);
    struct verifier_issuer issuer = { .iss = SPAN(ISSUER), .jwks = jwks };
    struct span audience = SPAN(AUDIENCE);
    struct verifier_shared_key shared = { SPAN(ISSUER), SPAN("shared-1"), m->shared };
    struct verifier_config config = { .issuers = &issuer,
                                      .n_issuers = 1,
                                      .audiences = &audience,
                                      .n_audiences = 1,
                                      .shared_keys = &shared,
                                      .n_shared_keys = 1 };
    must(verifier_new(&config, &m->verifier, NULL) == ST_OK, "a verifier");
}

static void make(struct material *m)
{
    struct token_claims claims;
    struct why why;

    m->ed25519 = key_of(KEY_ED25519, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    m->issuer = key_of(KEY_ED25519, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    m->p256 = key_of(KEY_P256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    m->secret = key_of(KEY_SECRET, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    m->shared = key_of(KEY_SECRET, "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f");
    fill(m->exporter, sizeof m->exporter, 0x40);
    fill(m->rs_nonce, sizeof m->rs_nonce, 0x01);
    fill(m->nonce, sizeof m->nonce, 0x11);
    must(scope_from_text(SPAN(SCOPE), &m->scope, &why) == ST_OK, "the scope");
    buf_init(&m->jws, 65536);
    buf_init(&m->cwt, 65536);
    buf_init(&m->jwe, 65536);
    claims = claims_of(m, m->ed25519);
    must(token_issue_jws(&claims, m->issuer, SPAN("as-1"), &m->jws, &why) == ST_OK, "the JWT");
    must(token_issue_cwt_sign1(&claims, m->issuer, SPAN("as-1"), &m->cwt, &why) == ST_OK, "the CWT");
    put_str(&m->jwe, jwe_text);
    make_verifier(m);
}

static void unmake(struct material *m)
{
    key_unref(m->ed25519);
    key_unref(m->issuer);
    key_unref(m->p256);
    key_unref(m->secret);
    key_unref(m->shared);
    scope_unref(m->scope);
    verifier_unref(m->verifier);
    buf_done(&m->jws);
    buf_done(&m->cwt);
    buf_done(&m->jwe);
}

/* ---- keys ---- */

static void put_key(struct out *o, const char *name, const struct key *key, struct span kid, const char *about)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(buf_wipe)
    struct buf text;
    char thumbprint[JWK_THUMBPRINT_TEXT] = "";

    buf_init(&text, 4096);
    must(jwk_print(key, kid, NULL, true, &js) == ST_OK && js_print(js, &text) == ST_OK, "a JWK");
    must(jwk_thumbprint_text(key, thumbprint) == ST_OK, "a thumbprint");
    row(o, name);
    words(o, "about", span_of_str(about));
    put_fmt(&o->b, ", \"jwk\": %.*s", SPAN_FMT(buf_span(&text)));
    words(o, "thumbprint", span_of_str(thumbprint));
    row_end(o);
}

static void keys(struct out *o, const struct material *m)
{
    begin(o, "keys");
    put_key(o, "pop_ed25519", m->ed25519, SPAN_NONE, "RFC 8032 7.1 test 1; the client's");
    put_key(o, "pop_p256", m->p256, SPAN_NONE, "RFC 6979 A.2.5; the client's");
    put_key(o, "pop_secret", m->secret, SPAN_NONE, "the client's, HS256");
    put_key(o, "issuer", m->issuer, SPAN("as-1"), "RFC 8032 7.1 test 2; the authorization server's");
    put_key(o, "shared", m->shared, SPAN("shared-1"), "authorization server and broker, A256KW");
    end(o);
}

/* ---- tokens ---- */

static void put_token(struct out *o, const struct material *m, const char *name, const char *key,
                      struct span token, bool text)
{
    struct token *t = NULL;
    struct why why = { "", "", 0 };

    must(token_verify(token, m->verifier, (struct wall_time){ NOW }, &t, &why) == ST_OK, name);
    row(o, name);
    words(o, "bound_to", span_of_str(key));
    if (text)
        words(o, "text", token);
    hex(o, "hex", token);
    if (t != NULL)
        hex(o, "sha256", span_of(t->hash, sizeof t->hash));
    row_end(o);
    token_unref(t);
}

static void tokens(struct out *o, const struct material *m)
{
    begin(o, "tokens");
    put_token(o, m, "jws", "pop_ed25519", buf_span(&m->jws), true);
    put_token(o, m, "jwe", "pop_secret", buf_span(&m->jwe), true);
    put_token(o, m, "cwt", "pop_ed25519", buf_span(&m->cwt), false);
    end(o);
}

/* ---- proofs and layouts ---- */

static struct buf made(const struct key *key, const struct material *m, bool exporter)
{
    struct buf b;
    enum status st;

    if (key_kind(key) == KEY_P256) /* a random number is inside */
        b = unhex(exporter ? es256_exporter : es256_nonces);
    else {
        buf_init(&b, 256);
        st = exporter ? pop_make_exporter(key, span_of(m->exporter, sizeof m->exporter), &b)
                      : pop_make_nonces(key, span_of(m->rs_nonce, 8), span_of(m->nonce, 8), &b);
        must(st == ST_OK, "a proof");
    }
    st = exporter ? pop_check_exporter(key, span_of(m->exporter, sizeof m->exporter), buf_span(&b), NULL)
                  : pop_check_nonces(key, span_of(m->rs_nonce, 8), span_of(m->nonce, 8), buf_span(&b), NULL);
    must(st == ST_OK, "a proof that checks");
    return b;
}

static void put_proof(struct out *o, const struct material *m, const char *name, const struct key *key)
{
    CLEANUP(buf_done)
    struct buf e = made(key, m, true), n = made(key, m, false);

    row(o, name);
    words(o, "alg", span_of_str(sig_name(pop_alg_for(key))));
    hex(o, "over_exporter", buf_span(&e));
    hex(o, "over_nonces", buf_span(&n));
    row_end(o);
}

static void proofs(struct out *o, const struct material *m)
{
    begin(o, "inputs");
    hex_row(o, "exporter", span_of(m->exporter, sizeof m->exporter));
    hex_row(o, "rs_nonce", span_of(m->rs_nonce, sizeof m->rs_nonce));
    hex_row(o, "client_nonce", span_of(m->nonce, sizeof m->nonce));
    end(o);
    begin(o, "proofs");
    put_proof(o, m, "pop_ed25519", m->ed25519);
    put_proof(o, m, "pop_secret", m->secret);
    put_proof(o, m, "pop_p256", m->p256);
    end(o);
}

/* Authentication Data of every layout for one token. */
static void put_layouts(struct out *o, const struct material *m, const char *token_name, struct span token,
                        const struct key *key)
{
    CLEANUP(buf_done)
    struct buf e = made(key, m, true), n = made(key, m, false), all;
    struct span nonce = span_of(m->nonce, sizeof m->nonce);
    struct auth_data a;
    struct auth_answer d;
    static const char *const names[] = { "A", "B", "C", "D9", "D6", "R" };
    enum status st = ST_OK;

    buf_init(&all, 65536);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        buf_reset(&all);
        if (i == 0 || i == 1 || i == 5)
            st = auth_data_write_connect(token, i == 0 ? buf_span(&e) : SPAN_NONE, &all);
        else if (i == 2)
            put_bytes(&all, span_of(m->rs_nonce, sizeof m->rs_nonce));
        else
            st = auth_data_write_answer(nonce, buf_span(&n), i == 4, &all);
        must(st == ST_OK, names[i]);
        if (i == 0 || i == 1 || i == 5)
            must(auth_data_parse_connect(buf_span(&all), &a, NULL) == ST_OK && span_eq(a.token, token),
                 names[i]);
        else if (i > 2)
            must(auth_data_parse_answer(buf_span(&all), pop_len_for(key), &d, NULL) == ST_OK &&
                     d.draft06 == (i == 4),
                 names[i]);
        row(o, names[i]);
        words(o, "token", span_of_str(token_name));
        hex(o, "hex", buf_span(&all));
        row_end(o);
    }
}

static void layouts(struct out *o, const struct material *m)
{
    begin(o, "authentication_data");
    put_layouts(o, m, "jws", buf_span(&m->jws), m->ed25519);
    put_layouts(o, m, "jwe", buf_span(&m->jwe), m->secret);
    put_layouts(o, m, "cwt", buf_span(&m->cwt), m->ed25519);
    end(o);
}

/* ---- packets ---- */

static void put_connect(struct out *o, const char *name, struct span data, bool will)
{
    CLEANUP(buf_done)
    struct buf b;
    struct mqtt_connect c = {
        .version = MQTT_5, .clean_start = true, .keep_alive_s = 60, .client_id = SPAN("client-1")
    };

    buf_init(&b, 65536);
    c.properties.auth_method = SPAN(ACE_METHOD);
    mqtt_set(&c.properties, PROP_AUTH_METHOD);
    if (data.p != NULL) {
        c.properties.auth_data = data;
        mqtt_set(&c.properties, PROP_AUTH_DATA);
    }
    c.has_will = will;
    c.will.topic.s = SPAN("topic1");
    c.will.payload = SPAN("gone");
    mqtt_write_connect(&b, &c);
    hex_row(o, name, buf_span(&b));
}

static void put_auth(struct out *o, const char *name, uint8_t reason, struct span data)
{
    CLEANUP(buf_done)
    struct buf b;
    struct mqtt_auth a = { .reason = reason };

    buf_init(&b, 65536);
    a.properties.auth_method = SPAN(ACE_METHOD);
    mqtt_set(&a.properties, PROP_AUTH_METHOD);
    if (data.p != NULL) {
        a.properties.auth_data = data;
        mqtt_set(&a.properties, PROP_AUTH_DATA);
    }
    mqtt_write_auth(&b, &a);
    hex_row(o, name, buf_span(&b));
}

static void put_connack(struct out *o, const char *name, uint8_t reason, bool hint)
{
    CLEANUP(buf_done)
    struct buf b, users;
    struct mqtt_connack c = { .reason = reason };

    buf_init(&b, 65536);
    buf_init(&users, 65536);
    if (reason == MQTT_SUCCESS) {
        c.properties.auth_method = SPAN(ACE_METHOD);
        mqtt_set(&c.properties, PROP_AUTH_METHOD);
    }
    if (hint) {
        mqtt_put_user_property(&users, SPAN("ace_as_hint"),
                               SPAN("{\"AS\":\"https://as.example/token\",\"audience\":\"broker.example\"}"));
        c.properties.raw = buf_span(&users);
        mqtt_set(&c.properties, PROP_USER);
    }
    mqtt_write_connack(&b, MQTT_5, &c);
    hex_row(o, name, buf_span(&b));
}

static void packets(struct out *o, const struct material *m)
{
    CLEANUP(buf_done)
    struct buf e = made(m->ed25519, m, true), n = made(m->ed25519, m, false), a, b, d9, d6;

    buf_init(&a, 65536);
    buf_init(&b, 65536);
    buf_init(&d9, 65536);
    buf_init(&d6, 65536);
    must(auth_data_write_connect(buf_span(&m->jws), buf_span(&e), &a) == ST_OK, "A");
    must(auth_data_write_connect(buf_span(&m->jws), SPAN_NONE, &b) == ST_OK, "B");
    must(auth_data_write_answer(span_of(m->nonce, 8), buf_span(&n), false, &d9) == ST_OK, "D9");
    must(auth_data_write_answer(span_of(m->nonce, 8), buf_span(&n), true, &d6) == ST_OK, "D6");
    begin(o, "packets");
    put_connect(o, "CONNECT, AS discovery", SPAN_NONE, false);
    put_connect(o, "CONNECT, layout A (jws, Ed25519)", buf_span(&a), false);
    put_connect(o, "CONNECT, layout A, with a Will", buf_span(&a), true);
    put_connect(o, "CONNECT, layout B", buf_span(&b), false);
    put_connack(o, "CONNACK, refused with ace_as_hint", MQTT_NOT_AUTHORIZED, true);
    put_connack(o, "CONNACK, accepted", MQTT_SUCCESS, false);
    put_connack(o, "CONNACK, another method", MQTT_BAD_AUTHENTICATION_METHOD, false);
    put_auth(o, "AUTH, challenge (C)", MQTT_CONTINUE_AUTHENTICATION, span_of(m->rs_nonce, 8));
    put_auth(o, "AUTH, answer (D9)", MQTT_CONTINUE_AUTHENTICATION, buf_span(&d9));
    put_auth(o, "AUTH, answer of draft-06 (D6)", MQTT_CONTINUE_AUTHENTICATION, buf_span(&d6));
    put_auth(o, "AUTH, re-authentication (R)", MQTT_REAUTHENTICATE, buf_span(&b));
    put_auth(o, "AUTH, re-authenticated", MQTT_SUCCESS, SPAN_NONE);
    end(o);
}

static void put_311(struct out *o, const char *name, struct span user_name, struct span password,
                    struct span token)
{
    CLEANUP(buf_done)
    struct buf b, back;
    struct mqtt_connect c = { .version = MQTT_3_1_1, .clean_start = true, .keep_alive_s = 60 };

    buf_init(&b, 65536);
    buf_init(&back, 65536);
    must(user_name_token(user_name, &back, NULL) == ST_OK && span_eq(buf_span(&back), token), name);
    c.client_id = SPAN("client-1");
    c.has_user_name = c.has_password = true;
    c.user_name = user_name;
    c.password = password;
    mqtt_write_connect(&b, &c);
    row(o, name);
    words(o, "user_name", user_name);
    hex(o, "password", password);
    hex(o, "connect", buf_span(&b));
    row_end(o);
}

static void version_311(struct out *o, const struct material *m)
{
    CLEANUP(buf_done)
    struct buf e = made(m->ed25519, m, true), rfc, draft, cwt, cwt_draft;

    buf_init(&rfc, 65536);
    buf_init(&draft, 65536);
    buf_init(&cwt, 65536);
    buf_init(&cwt_draft, 65536);
    put_str(&rfc, "ace");
    base64url_encode(buf_span(&m->jws), &rfc);
    put_str(&draft, "ace");
    put_bytes(&draft, buf_span(&m->jws));
    put_str(&cwt, "ace");
    base64url_encode(buf_span(&m->cwt), &cwt);
    put_str(&cwt_draft, "ace");
    base64_encode(buf_span(&m->cwt), &cwt_draft);
    begin(o, "mqtt311");
    put_311(o, "RFC 9431, jws", buf_span(&rfc), buf_span(&e), buf_span(&m->jws));
    put_311(o, "draft-06, jws as it is", buf_span(&draft), buf_span(&e), buf_span(&m->jws));
    put_311(o, "RFC 9431, cwt", buf_span(&cwt), buf_span(&e), buf_span(&m->cwt));
    put_311(o, "draft-06, cwt in Base64", buf_span(&cwt_draft), buf_span(&e), buf_span(&m->cwt));
    end(o);
}

/* ---- PSK identities ---- */

static void put_psk(struct out *o, const char *name, struct span identity, struct span kid)
{
    struct psk_identity id;

    must(psk_identity_parse(identity, &id, NULL) == ST_OK, name);
    must(kid.p == NULL ? span_eq(id.token, identity) : span_eq(id.kid, kid), name);
    row(o, name);
    hex(o, "hex", identity);
    if (kid.p != NULL)
        hex(o, "kid", kid);
    row_end(o);
}

static void psk(struct out *o, const struct material *m)
{
    CLEANUP(buf_done)
    struct buf cbor, json;
    struct span kid = span_of("\x3d\x02\x78\x33\xfc\x62\x67\xce", 8);

    buf_init(&cbor, 1024);
    buf_init(&json, 1024);
    must(psk_identity_write_cbor(kid, &cbor) == ST_OK, "kid in CBOR");
    must(psk_identity_write_json(SPAN("key-1"), &json) == ST_OK, "kid in JSON");
    begin(o, "psk_identities");
    put_psk(o, "kid in CBOR (RFC 9431 2.2.3.2)", buf_span(&cbor), kid);
    put_psk(o, "kid in JSON", buf_span(&json), SPAN("key-1"));
    put_psk(o, "the token, jwe", buf_span(&m->jwe), SPAN_NONE);
    end(o);
}

/* ---- scopes ---- */

static void scopes(struct out *o, const struct material *m)
{
    CLEANUP(buf_done)
    struct buf cbor, claim, text;

    buf_init(&cbor, 65536);
    buf_init(&claim, 65536);
    buf_init(&text, 65536);
    must(scope_to_cbor(m->scope, &cbor) == ST_OK && scope_to_claim(m->scope, &claim) == ST_OK &&
             scope_to_text(m->scope, &text) == ST_OK,
         "the scope's forms");
    begin(o, "scope");
    row(o, "JSON array (draft-06; the data model)");
    put_fmt(&o->b, ", \"json\": %.*s", SPAN_FMT(buf_span(&text)));
    row_end(o);
    row(o, "base64url in a JWT (RFC 9431)");
    words(o, "text", buf_span(&claim));
    row_end(o);
    hex_row(o, "CBOR, in a byte string in a CWT (RFC 9431)", buf_span(&cbor));
    end(o);
}

static void subset(struct out *o)
{
    static const char *const filters[] = { "a",   "a/b",   "a/+",   "a/#",    "+", "#",   "+/b",
                                           "+/#", "a/b/#", "a/+/c", "$SYS/x", "/", "a//b" };

    begin(o, "subset");
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        for (size_t j = 0; j < COUNT_OF(filters); j++) {
            CLEANUP(scope_unrefp)
            struct scope *scope = NULL;
            struct scope_entry entry = { { span_of_str(filters[i]) }, SCOPE_SUB };
            must(scope_build(&entry, 1, &scope, NULL) == ST_OK, filters[i]);
            put_fmt(&o->b, "%s {\"granted\": \"%s\", \"asked\": \"%s\", \"allowed\": %s}",
                    o->first ? "" : ",\n", filters[i], filters[j],
                    scope_may_subscribe(scope, (struct topic_filter){ span_of_str(filters[j]) }) ? "true"
                                                                                                 : "false");
            o->first = false;
        }
    end(o);
}

/* ---- what must be refused, and why ---- */

static void refusal(struct out *o, const char *kind, const char *name, struct span input, enum status st,
                    const struct why *why)
{
    must(st != ST_OK, name);
    row(o, name);
    words(o, "kind", span_of_str(kind));
    hex(o, "hex", input);
    words(o, "clause", span_of_str(why->clause));
    words(o, "reason", span_of_str(why->text));
    row_end(o);
}

static void bad_connect(struct out *o, const char *name, struct span data)
{
    struct auth_data a;
    struct why why = { "", "", 0 };

    refusal(o, "authentication_data in CONNECT", name, data, auth_data_parse_connect(data, &a, &why), &why);
}

static void bad_answer(struct out *o, const char *name, struct span data, size_t pop_len)
{
    struct auth_answer a;
    struct why why = { "", "", 0 };
    char kind[64];

    (void)snprintf(kind, sizeof kind, "answer in AUTH, proof of %zu bytes", pop_len);
    refusal(o, kind, name, data, auth_data_parse_answer(data, pop_len, &a, &why), &why);
}

static void bad_scope(struct out *o, const char *name, const char *json)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    struct why why = { "", "", 0 };
    struct span s = span_of_str(json);

    refusal(o, "scope", name, s, scope_from_text(s, &scope, &why), &why);
}

static void bad_psk(struct out *o, const char *name, struct span identity)
{
    struct psk_identity id;
    struct why why = { "", "", 0 };

    refusal(o, "psk_identity", name, identity, psk_identity_parse(identity, &id, &why), &why);
}

static void bad_token(struct out *o, const struct material *m, const char *name, struct span token)
{
    struct token *t = NULL;
    struct why why = { "", "", 0 };

    refusal(o, "token", name, token, token_verify(token, m->verifier, (struct wall_time){ NOW }, &t, &why),
            &why);
    token_unref(t);
}

static void bad_tokens(struct out *o, const struct material *m)
{
    CLEANUP(buf_done)
    struct buf b;
    struct token_claims claims = claims_of(m, m->ed25519);
    struct why why;

    buf_init(&b, 65536);
    claims.exp.s = IAT + 60;
    must(token_issue_jws(&claims, m->issuer, SPAN("as-1"), &b, &why) == ST_OK, "an expired token");
    bad_token(o, m, "expired", buf_span(&b));
    buf_reset(&b);
    claims = claims_of(m, m->ed25519);
    claims.aud = SPAN("other.example");
    must(token_issue_jws(&claims, m->issuer, SPAN("as-1"), &b, &why) == ST_OK, "a token for another");
    bad_token(o, m, "for another audience", buf_span(&b));
    buf_reset(&b);
    claims = claims_of(m, m->ed25519);
    must(token_issue_jws(&claims, m->p256, SPAN("as-1"), &b, &why) == ST_OK || key_kind(m->p256) == KEY_P256,
         "ES256");
    buf_reset(&b);
    must(token_issue_jws(&claims, m->ed25519, SPAN("as-1"), &b, &why) != ST_OK, "bound to its own key");
    put_bytes(&b, buf_span(&m->jws));
    b.p[b.len - 20] = b.p[b.len - 20] == 'A' ? 'B' : 'A';
    bad_token(o, m, "signature changed", buf_span(&b));
    buf_reset(&b);
    put_str(&b, "eyJhbGciOiJub25lIn0.");
    put_bytes(&b, span_cut(buf_span(&m->jws), span_find(buf_span(&m->jws), '.', 0) + 1, SIZE_MAX));
    b.len = span_find(buf_span(&b), '.', 20) + 1;
    bad_token(o, m, "alg none", buf_span(&b));
    buf_reset(&b);
    put_bytes(&b, buf_span(&m->cwt));
    put_u8(&b, 0);
    bad_token(o, m, "CWT with a byte behind it", buf_span(&b));
}

static void refusals(struct out *o, const struct material *m)
{
    CLEANUP(buf_done)
    struct buf n = made(m->secret, m, false), b;

    buf_init(&b, 1024);
    begin(o, "refused");
    bad_connect(o, "no bytes", SPAN(""));
    bad_connect(o, "one byte", span_of("\x00", 1));
    bad_connect(o, "token length beyond the data",
                span_of("\x00\x09"
                        "abc",
                        5));
    bad_connect(o, "token of no bytes",
                span_of("\x00\x00"
                        "abc",
                        5));
    put_bytes(&b, span_of(m->nonce, 4));
    put_bytes(&b, buf_span(&n));
    bad_answer(o, "client nonce of 4 bytes", buf_span(&b), 32);
    buf_reset(&b);
    put_u16(&b, 7);
    put_bytes(&b, span_of(m->nonce, 7));
    put_bytes(&b, buf_span(&n));
    bad_answer(o, "draft-06, client nonce of 7 bytes", buf_span(&b), 32);
    buf_reset(&b);
    put_u16(&b, 9);
    put_bytes(&b, span_of(m->nonce, 8));
    put_bytes(&b, buf_span(&n));
    bad_answer(o, "draft-06, length that lies", buf_span(&b), 32);
    buf_reset(&b);
    put_bytes(&b, span_of(m->nonce, 8));
    put_bytes(&b, span_cut(buf_span(&n), 0, 31));
    bad_answer(o, "MAC of 31 bytes", buf_span(&b), 32);
    bad_scope(o, "permission nobody knows", "[[\"a\",[\"own\"]]]");
    bad_scope(o, "permission twice", "[[\"a\",[\"pub\",\"pub\"]]]");
    bad_scope(o, "filter twice", "[[\"a\",[\"pub\"]],[\"a\",[\"sub\"]]]");
    bad_scope(o, "filter with # inside", "[[\"a/#/b\",[\"pub\"]]]");
    bad_scope(o, "no permission", "[[\"a\",[]]]");
    bad_scope(o, "words", "read write");
    bad_psk(o, "kid of no bytes", span_of("\xa1\x08\xa1\x01\xa2\x01\x04\x02\x40", 9));
    bad_psk(o, "kty that is not symmetric", span_of("\xa1\x08\xa1\x01\xa2\x01\x01\x02\x41k", 10));
    bad_psk(o, "indefinite length", span_of("\xa1\x08\xbf\x01\xa2\x01\x04\x02\x41k\xff", 11));
    bad_tokens(o, m);
    end(o);
}

/* ---- */

static void everything(struct out *o)
{
    struct material m = { 0 };

    make(&m);
    put_str(&o->b, "{\n");
    keys(o, &m);
    tokens(o, &m);
    proofs(o, &m);
    layouts(o, &m);
    packets(o, &m);
    version_311(o, &m);
    psk(o, &m);
    scopes(o, &m);
    subset(o);
    refusals(o, &m);
    put_str(&o->b, "\n}\n");
    unmake(&m);
}

int main(int argc, char **argv)
{
    CLEANUP(buf_done)
    struct buf file = { 0 };
    struct out o = { 0 };
    struct why why = { "", "", 0 };
    bool write = argc == 3 && strcmp(argv[1], "--write") == 0;

    if (argc != 2 && !write)
        return 2;
    buf_init(&o.b, 4u << 20);
    buf_init(&file, 4u << 20);
    everything(&o);
    must(buf_ok(&o.b), "memory");
    if (write)
        must(vectors_problems() == 0 && file_replace(argv[2], buf_span(&o.b), 0644, &why) == ST_OK,
             "writing the file");
    else
        must(file_read(argv[1], &file, &why) == ST_OK && span_eq(buf_span(&file), buf_span(&o.b)),
             "the file is not what the code says: src/kit/vectors --write FILE, and look at the difference");
    buf_done(&o.b);
    return vectors_problems() == 0 ? 0 : 1;
}
