/* B-5xx: tokens that must not open anything, and the few forms that must (RFC 9200 5.10.1.1, RFC 8725). */
#include "kit/say_priv.h"

#include "crypto/sign.h"

#define IT k->pop[POP_ED25519]

/* ---- one claim that is wrong; NULL: missing ---- */

/* clang-format off */
static const struct { const char *id, *name, *json; } bad_claims[] = {
    { "B-511", "exp", "1000000000" },
    { "B-512", "nbf", "4102444800" },
    { "B-513", "iat", "4102444800" },
    { "B-514", "exp", "\"4102444800\"" },
    { "B-515", "exp", "-1" },
    { "B-516", "exp", "1152921504606846976" },
    { "B-517", "exp", NULL },
    { "B-518", "exp", "null" },
    { "B-521", "aud", "\"another.broker\"" },
    { "B-522", "aud", "[\"one\",\"two\"]" },
    { "B-523", "aud", NULL },
    { "B-524", "iss", "\"https://evil.example\"" },
    { "B-525", "iss", "1" },
    { "B-526", "ace_profile", "\"coap_dtls\"" },
    { "B-531", "scope", "\"read write\"" },
    { "B-532", "scope", "[[\"kit/#\",[\"own\"]]]" },
    { "B-533", "scope", "[[\"kit/#/x\",[\"pub\"]]]" },
    { "B-534", "scope", "[[\"kit\",[\"pub\"]],[\"kit\",[\"pub\"]]]" },
    { "B-535", "scope", "[[7,[\"pub\"]]]" },
    { "B-536", "scope", "[[\"kit/#\",\"pub\"]]" },
    { "B-541", "cnf", NULL },
    { "B-542", "cnf", "{}" },
    { "B-543", "cnf", "{\"kid\":\"nobody\"}" },
    { "B-544", "cnf", "{\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}" },
    { "B-545", "cnf", "{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}" },
    { "B-546", "cnf", "{\"jwk\":{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}}" },
    { "B-547", "cnf", "{\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}" },
};
/* clang-format on */

static void claim(struct kit *k)
{
    struct claims c = claims_good(k, IT);

    for (size_t i = 0; i < COUNT_OF(bad_claims); i++)
        if (strcmp(bad_claims[i].id, k->current->id) == 0) {
            if (bad_claims[i].json == NULL)
                claims_drop(&c, bad_claims[i].name);
            else
                claims_set(&c, bad_claims[i].name, bad_claims[i].json);
            must_refuse_token(k, sign_claims(&c), IT);
            return;
        }
    trouble(k, "no row");
}

static void audience_in_capitals(struct kit *k)
{
    struct claims c = claims_good(k, IT);
    char *upper = arena_str(&k->arena, span_of_str(k->s->audience));

    if (upper == NULL)
        return;
    for (char *p = upper; *p != '\0'; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 32);
    claims_set(&c, "aud", text(k, "\"%s\"", upper));
    must_refuse_token(k, sign_claims(&c), IT);
}

static void audience_prefix(struct kit *k)
{
    struct claims c = claims_good(k, IT);

    claims_set(&c, "aud", text(k, "\"%.*s\"", (int)strlen(k->s->audience) - 1, k->s->audience));
    must_refuse_token(k, sign_claims(&c), IT);
}

static void two_keys(struct kit *k)
{
    struct claims c = claims_good(k, IT);

    claims_set(&c, "cnf", text(k, "{\"jwk\":%s,\"jwe\":\"a.b.c.d.e\"}", public_jwk(k, IT)));
    must_refuse_token(k, sign_claims(&c), IT);
}

static void private_part(struct kit *k)
{
    struct claims c = claims_good(k, IT);

    claims_set(&c, "cnf",
               text(k, "{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\",\"d\":\"%s\"}}",
                    b64(k, key_x(IT)), b64(k, key_d(IT))));
    must_refuse_token(k, sign_claims(&c), IT);
}

static void key_for_encryption(struct kit *k)
{
    struct claims c = claims_good(k, IT);

    claims_set(&c, "cnf",
               text(k, "{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\",\"use\":\"enc\"}}",
                    b64(k, key_x(IT))));
    must_refuse_token(k, sign_claims(&c), IT);
}

static void the_issuers_key(struct kit *k)
{
    struct claims c = claims_good(k, k->issuer_key);

    must_refuse_token(k, sign_claims(&c), k->issuer_key);
}

/* ---- headers ---- */

/* clang-format off */
static const struct { const char *id, *more; } bad_headers[] = {
    { "B-551", "\"crit\":[\"exp\"],\"exp\":1," },
    { "B-552", "\"crit\":[\"b64\"],\"b64\":false," },
    { "B-553", "\"crit\":[]," },
    { "B-554", "\"typ\":\"dpop+jwt\"," },
    { "B-555", "\"typ\":\"logout+jwt\"," },
    { "B-556", "\"kid\":\"../../etc/passwd\"," },
    { "B-557", "\"kid\":\"x' OR '1'='1\"," },
    { "B-558", "\"kid\":7," },
};
/* clang-format on */

static struct span with_header(struct kit *k, const char *header)
{
    struct claims c = claims_good(k, IT);

    return going(k) ? sign_text(k, header, span_of_str(claims_text(&c)), k->issuer_key) : SPAN_NONE;
}

static const char *alg(struct kit *k)
{
    return sig_name(sig_for_key(k->issuer_key));
}

static void header(struct kit *k)
{
    for (size_t i = 0; i < COUNT_OF(bad_headers); i++)
        if (strcmp(bad_headers[i].id, k->current->id) == 0) {
            bool has_kid = strstr(bad_headers[i].more, "\"kid\"") != NULL || k->issuer_kid.p == NULL;
            const char *kid = has_kid ? "" : text(k, "\"kid\":\"%.*s\",", SPAN_FMT(k->issuer_kid));
            must_refuse_token(
                k, with_header(k, text(k, "{%s%s\"alg\":\"%s\"}", bad_headers[i].more, kid, alg(k))), IT);
            return;
        }
    trouble(k, "no row");
}

static void long_kid(struct kit *k)
{
    struct span kid = repeated(k, "k", 4000);

    must_refuse_token(k, with_header(k, text(k, "{\"kid\":\"%.*s\",\"alg\":\"%s\"}", SPAN_FMT(kid), alg(k))),
                      IT);
}

static const char *kid_member(struct kit *k)
{
    return k->issuer_kid.p == NULL ? "" : text(k, ",\"kid\":\"%.*s\"", SPAN_FMT(k->issuer_kid));
}

static void alg_none(struct kit *k)
{
    struct claims c = claims_good(k, IT);
    struct span payload = span_of_str(going(k) ? claims_text(&c) : "");

    must_refuse_token(k, sign_text(k, text(k, "{\"alg\":\"none\"%s}", kid_member(k)), payload, NULL), IT);
}

static void alg_none_mixed(struct kit *k)
{
    struct claims c = claims_good(k, IT);
    struct span payload = span_of_str(going(k) ? claims_text(&c) : "");

    must_refuse_token(k, sign_text(k, text(k, "{\"alg\":\"nOnE\"%s}", kid_member(k)), payload, NULL), IT);
}

static void empty_signature(struct kit *k)
{
    struct claims c = claims_good(k, IT);
    struct span payload = span_of_str(going(k) ? claims_text(&c) : "");

    must_refuse_token(k, sign_text(k, text(k, "{\"alg\":\"%s\"%s}", alg(k), kid_member(k)), payload, NULL), IT);
}

/* HS256 with the issuer's public key as the secret, as bytes or as text. */
static void confused(struct kit *k, struct span secret)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct claims c = claims_good(k, IT);
    struct why why;

    if (!going(k))
        return;
    if (key_new_secret(secret, &key, &why) != ST_OK)
        trouble(k, "%s", why.text);
    struct span token =
        sign_text(k, text(k, "{\"alg\":\"HS256\"%s}", kid_member(k)), span_of_str(claims_text(&c)), key);
    must_refuse_token(k, token, IT);
}

static void confused_raw(struct kit *k)
{
    confused(k, key_x(k->issuer_key));
}

static void confused_pem(struct kit *k)
{
    CLEANUP(buf_done)
    struct buf pem;

    buf_init(&pem, 4096);
    if (key_write_pem(k->issuer_key, false, &pem) != ST_OK)
        trouble(k, "no PEM");
    else
        confused(k, buf_span(&pem));
}

static void confused_jwk(struct kit *k)
{
    confused(k, span_of_str(public_jwk(k, k->issuer_key)));
}

/* Signed by a key that the token brings along, under the issuer's kid. */
static void brought_along(struct kit *k, const char *extra)
{
    struct claims c = claims_good(k, IT);

    if (!going(k))
        return;
    const char *head = text(k, "{\"alg\":\"EdDSA\"%s,%s}", kid_member(k), extra);
    must_refuse_token(k, sign_text(k, head, span_of_str(claims_text(&c)), k->stranger[POP_ED25519]), IT);
}

static void jwk_header(struct kit *k)
{
    brought_along(k, text(k, "\"jwk\":%s", public_jwk(k, k->stranger[POP_ED25519])));
}

static void jku_header(struct kit *k)
{
    brought_along(k, "\"jku\":\"https://127.0.0.1/jwks\",\"x5u\":\"https://127.0.0.1/x\",\"x5c\":[\"MA==\"]");
}

static void of_a_stranger(struct kit *k)
{
    brought_along(k, "\"typ\":\"at+jwt\"");
}

/* The second issuer is trusted too, and its key has the same kid: still it may not speak for the first. */
static void kid_collision(struct kit *k)
{
    struct claims c = claims_good(k, IT);
    const char *kid = k->other_kid.p == NULL ? "" : text(k, ",\"kid\":\"%.*s\"", SPAN_FMT(k->other_kid));

    if (!going(k))
        return;
    const char *head = text(k, "{\"alg\":\"%s\"%s}", sig_name(sig_for_key(k->other_key)), kid);
    must_refuse_token(k, sign_text(k, head, span_of_str(claims_text(&c)), k->other_key), IT);
}

static void second_issuer(struct kit *k)
{
    struct claims c = claims_good(k, IT);
    const char *kid = k->other_kid.p == NULL ? "" : text(k, ",\"kid\":\"%.*s\"", SPAN_FMT(k->other_kid));

    if (!going(k))
        return;
    claims_set(&c, "iss", text(k, "\"%s\"", k->s->other_issuer));
    const char *head = text(k, "{\"alg\":\"%s\"%s}", sig_name(sig_for_key(k->other_key)), kid);
    must_accept_token(k, sign_text(k, head, span_of_str(claims_text(&c)), k->other_key), IT);
}

/* ---- forms ---- */

static void form(struct kit *k)
{
    struct span t = token_for(k, IT, NULL), bad = SPAN_NONE;
    size_t body = span_find(t, '.', 0) + 1, sig = span_find(t, '.', body) + 1;
    const char *id = k->current->id;

    if (!going(k))
        return;
    struct span head_s = span_cut(t, 0, body), body_s = span_cut(t, body, sig - body),
                sig_s = span_cut(t, sig, t.len);
    if (strcmp(id, "B-571") == 0) { /* one bit of the signature, not among the unused ones at the end */
        uint8_t flipped = sig_s.p[0] == 'A' ? 'B' : 'A';
        bad = joined(k, joined(k, head_s, body_s),
                     joined(k, span_of(&flipped, 1), span_cut(sig_s, 1, sig_s.len)));
    } else if (strcmp(id, "B-572") == 0) {
        bad = joined(k, t, SPAN(".eA"));
    } else if (strcmp(id, "B-573") == 0) {
        bad = span_cut(t, 0, sig - 1);
    } else if (strcmp(id, "B-574") == 0) {
        bad = joined(k, t, SPAN("=="));
    } else if (strcmp(id, "B-575") == 0) {
        bad = joined(k, t, SPAN("\n"));
    } else if (strcmp(id, "B-576") == 0) {
        bad = joined(k, joined(k, span_cut(t, 0, 10), SPAN("\0")), span_cut(t, 10, t.len));
    } else if (strcmp(id, "B-577") == 0) {
        bad = span_of_str(text(k, "{\"protected\":\"%.*s\",\"payload\":\"%.*s\",\"signature\":\"%.*s\"}",
                               (int)body - 1, head_s.p, (int)body_s.len - 1, body_s.p, SPAN_FMT(sig_s)));
    } else {
        bad = joined(k, SPAN(" "), t);
    }
    must_refuse_token(k, bad, IT);
}

/* clang-format off */
static const struct { const char *id, *payload; } bad_payloads[] = {
    { "B-581", "[]" },
    { "B-582", "\"x\"" },
    { "B-583", "{\"iss\":" },
    { "B-584", "" },
    { "B-585", "{} {}" },
    { "B-586", "{\"exp\":NaN}" },
    { "B-587", "{\"iss\":\"\xff\"}" },
};
/* clang-format on */

static void payload(struct kit *k)
{
    for (size_t i = 0; i < COUNT_OF(bad_payloads); i++)
        if (strcmp(bad_payloads[i].id, k->current->id) == 0) {
            const char *head = text(k, "{\"alg\":\"%s\"%s}", alg(k), kid_member(k));
            must_refuse_token(k, sign_text(k, head, span_of_str(bad_payloads[i].payload), k->issuer_key), IT);
            return;
        }
    trouble(k, "no row");
}

static void duplicate_member(struct kit *k)
{
    struct claims c = claims_good(k, IT);

    if (!going(k))
        return;
    const char *all = claims_text(&c);
    const char *twice = text(k, "{\"aud\":\"another.broker\",%s", all + 1);
    const char *head = text(k, "{\"alg\":\"%s\"%s}", alg(k), kid_member(k));
    must_refuse_token(k, sign_text(k, head, span_of_str(twice), k->issuer_key), IT);
}

static void depth_bomb(struct kit *k)
{
    struct span open = repeated(k, "[", 3000), close = repeated(k, "]", 3000);
    struct claims c = claims_good(k, IT);

    claims_set(&c, "x", text(k, "%.*s1%.*s", SPAN_FMT(open), SPAN_FMT(close)));
    must_refuse_token(k, sign_claims(&c), IT);
}

static void secret_in_the_clear(struct kit *k)
{
    struct claims c = claims_good(k, k->pop[POP_SECRET]);

    must_refuse_token(k, sign_claims(&c), k->pop[POP_SECRET]);
}

static void nested_too_deep(struct kit *k)
{
    struct span t = token_for(k, IT, NULL);

    for (int i = 0; i < 4; i++)
        t = encrypt_text(k, t, "JWT");
    must_refuse_token(k, t, IT);
}

static void nested(struct kit *k)
{
    must_accept_token(k, encrypt_text(k, token_for(k, IT, NULL), "JWT"), IT);
}

static void encrypted_tag(struct kit *k)
{
    struct span t = token_for(k, k->pop[POP_SECRET], NULL);

    if (!going(k))
        return;
    uint8_t *copy = arena_alloc(&k->arena, t.len);
    if (copy == NULL)
        return;
    memcpy(copy, t.p, t.len);
    copy[t.len - 10] = copy[t.len - 10] == 'A' ? 'B' : 'A';
    must_refuse_token(k, span_of(copy, t.len), k->pop[POP_SECRET]);
}

static void zipped(struct kit *k)
{
    struct span t = token_for(k, k->pop[POP_SECRET], NULL);
    size_t dot = span_find(t, '.', 0);
    const char *head =
        b64(k, SPAN("{\"alg\":\"A256KW\",\"enc\":\"A256GCM\",\"zip\":\"DEF\",\"kid\":\"kit-shared\"}"));

    must_refuse_token(k, joined(k, span_of_str(head), span_cut(t, dot, t.len)), k->pop[POP_SECRET]);
}

static void password_based(struct kit *k)
{
    const char *head = b64(
        k, SPAN("{\"alg\":\"PBES2-HS256+A128KW\",\"enc\":\"A256GCM\",\"p2s\":\"AAAA\",\"p2c\":2000000000}"));

    must_refuse_token(k, span_of_str(text(k, "%s.AAAA.AAAA.AAAA.AAAA", head)), IT);
}

/* A new token for the same key, over and over: each is accepted, nothing grows (see --pid). */
static void a_thousand_tokens(struct kit *k)
{
    for (int i = 0; i < 1000 && going(k); i++) {
        struct peer *p = open_by_challenge(k, token_for(k, IT, NULL), IT);
        if (i == 0)
            saw(k, "one thousand times");
        peer_close(p);
        if (i % 50 == 49)
            buf_reset(&k->seen);
    }
    if (going(k))
        saw(k, "a thousand tokens for one key, one after the other");
}

static void array_audience(struct kit *k)
{
    struct claims c = claims_good(k, IT);

    claims_set(&c, "aud", text(k, "[\"another\",\"%s\"]", k->s->audience));
    must_accept_token(k, sign_claims(&c), IT);
}

static void good(struct kit *k)
{
    must_accept_token(k, token_for(k, IT, NULL), IT);
}

#define M NEED_MINT
/* clang-format off */
static const struct kit_case cases[] = {
    { "B-501", "RFC 9431 2.2.5; MT-66 MT-67", "a signed JWT is accepted", M, POLITE, good },
    { "B-502", "RFC 7519 4.1.3; TK-54", "an audience list that names this broker is accepted", M, POLITE, array_audience },
    { "B-503", "RFC 9431 2.1; MT-14 TK-22", "a signed JWT inside a JWE is accepted", NEED_SHARED, POLITE, nested },
    { "B-504", "RFC 9200 5.10.1.1; TK-44", "a second issuer is believed", M | NEED_OTHER, POLITE, second_issuer },
    { "B-511", "RFC 9200 5.10.1.1; MT-67 TK-52", "expired", M, RUDE, claim },
    { "B-512", "RFC 7519 4.1.5; TK-53", "not yet valid", M, RUDE, claim },
    { "B-513", "RFC 7519 4.1.6; TK-53", "issued in the future", M, RUDE, claim },
    { "B-514", "RFC 7519 2; TK-52", "exp as text", M, RUDE, claim },
    { "B-515", "RFC 7519 2; TK-52", "exp negative", M, RUDE, claim },
    { "B-516", "RFC 7519 2; TK-52", "exp beyond 2^53", M, RUDE, claim },
    { "B-517", "RFC 9200 5.10.4; TK-52", "without an end", M, RUDE, claim },
    { "B-518", "RFC 7519 2; TK-52", "exp null", M, RUDE, claim },
    { "B-521", "RFC 9200 5.10.1.1; MT-67 TK-54", "for another audience", M, RUDE, claim },
    { "B-522", "RFC 7519 4.1.3; TK-54", "an audience list without this broker", M, RUDE, claim },
    { "B-523", "RFC 9200 5.10.1.1; TK-54", "without an audience", M, RUDE, claim },
    { "B-524", "RFC 9200 5.10.1.1; MT-67 AF-63", "of another issuer than signed it", M, RUDE, claim },
    { "B-525", "RFC 7519 4.1.1; AF-63", "issuer a number", M, RUDE, claim },
    { "B-526", "RFC 9200 6.8; AF-94 TK-65", "for another profile", M, RUDE, claim },
    { "B-527", "RFC 7519 4.1.3; TK-54", "audience in capitals", M, RUDE, audience_in_capitals },
    { "B-528", "RFC 7519 4.1.3; TK-54", "audience a prefix", M, RUDE, audience_prefix },
    { "B-531", "RFC 9431 2.3; MT-87 AF-63", "scope that is no AIF", M, RUDE, claim },
    { "B-532", "RFC 9431 2.3; MT-87", "scope with a permission nobody knows", M, RUDE, claim },
    { "B-533", "RFC 9431 2.3; MT-87", "scope with a filter that is none", M, RUDE, claim },
    { "B-534", "RFC 9431 2.3; MT-87", "scope with the same entry twice", M, RUDE, claim },
    { "B-535", "RFC 9431 2.3; MT-87", "scope with a filter that is no text", M, RUDE, claim },
    { "B-536", "RFC 9431 2.3; MT-87", "scope with permissions that are no array", M, RUDE, claim },
    { "B-541", "RFC 7800 3.1; TK-1", "without a key", M, RUDE, claim },
    { "B-542", "RFC 7800 3.1; TK-1", "cnf empty", M, RUDE, claim },
    { "B-543", "RFC 7800 3.4; MT-65", "cnf names a key nobody knows", M, RUDE, claim },
    { "B-544", "RFC 9431 2.1; TK-55 MT-14", "a secret in the clear (given)", M, RUDE, claim },
    { "B-545", "RFC 8032 5.1; TK-60", "cnf a point of small order", M, RUDE, claim },
    { "B-546", "RFC 9431 2.2.5; MT-65", "cnf a key of another kind", M, RUDE, claim },
    { "B-547", "SEC 1 3.2.2; TK-61", "cnf a point not on the curve", M, RUDE, claim },
    { "B-548", "RFC 7800 3.1; TK-56", "cnf with two keys", M, RUDE, two_keys },
    { "B-549", "RFC 7800 3.2; TK-56", "cnf with the private part", M, RUDE, private_part },
    { "B-550", "RFC 7517 4.2; TK-57", "cnf a key for encryption only", M, RUDE, key_for_encryption },
    { "B-551", "RFC 7515 4.1.11; TK-47", "crit with a registered name", M, RUDE, header },
    { "B-552", "RFC 7797 6; TK-47", "crit b64", M, RUDE, header },
    { "B-553", "RFC 7515 4.1.11; TK-47", "crit empty", M, RUDE, header },
    { "B-554", "RFC 8725 3.11; TK-24", "typ of a DPoP proof", M, RUDE, header },
    { "B-555", "RFC 8725 3.11; TK-24", "typ of a logout token", M, RUDE, header },
    { "B-556", "RFC 8725 3.10; TK-45", "kid a path", M, RUDE, header },
    { "B-557", "RFC 8725 3.10; TK-45", "kid SQL", M, RUDE, header },
    { "B-558", "RFC 7515 4.1.4; TK-45", "kid a number", M, RUDE, header },
    { "B-559", "RFC 8725 3.10; TK-45", "kid of 4000 bytes", M, RUDE, long_kid },
    { "B-560", "RFC 9431 2.2.5; MT-65 TK-40", "alg none", M, RUDE, alg_none },
    { "B-561", "RFC 8725 3.1; TK-40", "alg nOnE", M, RUDE, alg_none_mixed },
    { "B-562", "RFC 8725 3.1; TK-40", "an empty signature", M, RUDE, empty_signature },
    { "B-563", "RFC 8725 2.1; TK-41", "HS256 under the issuer's public key (raw)", M, RUDE, confused_raw },
    { "B-564", "RFC 8725 2.1; TK-41", "HS256 under the issuer's public key (PEM)", M, RUDE, confused_pem },
    { "B-565", "RFC 8725 2.1; TK-41", "HS256 under the issuer's public key (JWK)", M, RUDE, confused_jwk },
    { "B-566", "RFC 8725 3.10; TK-46", "jwk in the header", M, RUDE, jwk_header },
    { "B-567", "RFC 8725 3.10; TK-46", "jku, x5u, x5c in the header", M, RUDE, jku_header },
    { "B-568", "RFC 9200 5.10.1.1; AF-63 AF-90", "signed by a stranger under the issuer's kid", M, RUDE, of_a_stranger },
    { "B-569", "RFC 8725 3.8; TK-44", "signed by another trusted issuer whose key has the same kid", M | NEED_OTHER, RUDE, kid_collision },
    { "B-570", "RFC 7800 4; TK-58", "bound to the key that signed it", M, RUDE, the_issuers_key },
    { "B-571", "RFC 7515 5.2; TK-63", "signature changed", M, RUDE, form },
    { "B-572", "RFC 7515 7.1; TK-23", "four parts", M, RUDE, form },
    { "B-573", "RFC 7515 7.1; TK-23", "two parts", M, RUDE, form },
    { "B-574", "RFC 7515 2; TK-51", "padding", M, RUDE, form },
    { "B-575", "RFC 7515 2; TK-51", "a newline at the end", M, RUDE, form },
    { "B-576", "RFC 7515 2; TK-51", "a NUL inside", M, RUDE, form },
    { "B-577", "RFC 9431 2.1; TK-23", "JSON serialization", M, RUDE, form },
    { "B-578", "RFC 7515 2; TK-51", "a blank in front", M, RUDE, form },
    { "B-581", "RFC 7519 7.2; TK-50", "claims: an array", M, RUDE, payload },
    { "B-582", "RFC 7519 7.2; TK-50", "claims: a text", M, RUDE, payload },
    { "B-583", "RFC 7519 7.2; TK-50", "claims: cut short", M, RUDE, payload },
    { "B-584", "RFC 7519 7.2; TK-50", "claims: nothing", M, RUDE, payload },
    { "B-585", "RFC 7519 7.2; TK-50", "claims: two values", M, RUDE, payload },
    { "B-586", "RFC 8259 6; TK-52", "claims: NaN", M, RUDE, payload },
    { "B-587", "RFC 7519 7.2; TK-50", "claims: not UTF-8", M, RUDE, payload },
    { "B-588", "RFC 7519 4; TK-48", "claims: a member twice", M, RUDE, duplicate_member },
    { "B-589", "RFC 8725 3; TK-49", "claims: 3000 levels", M, RUDE, depth_bomb },
    { "B-591", "RFC 9431 2.1; MT-14 TK-55", "a secret in a token that is only signed", M, RUDE, secret_in_the_clear },
    { "B-592", "RFC 8725 3; TK-49", "nested five times", NEED_SHARED, RUDE, nested_too_deep },
    { "B-593", "RFC 7516 5.2; TK-62", "JWE with a wrong tag", NEED_SHARED, RUDE, encrypted_tag },
    { "B-594", "RFC 8725 3.6; TK-62", "JWE with compression", NEED_SHARED, RUDE, zipped },
    { "B-595", "RFC 8725 3.2; TK-62", "JWE under a password, two thousand million rounds", M, RUDE, password_based },
    { "B-599", "RFC 9431 8; MT-33 MT-94", "a thousand tokens for one key", M, RUDE, a_thousand_tokens },
};
/* clang-format on */

const struct kit_theme theme_tokens = { "tokens", KIT_BROKER, cases, COUNT_OF(cases) };
