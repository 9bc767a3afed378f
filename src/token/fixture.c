#include "token/fixture_priv.h"

#include "jose/jwe.h"

/* clang-format off */
static const struct change defaults[] = {
    { "iss",         "\"" FIXTURE_ISS "\"" },
    { "sub",         "\"sensor-1\"" },
    { "client_id",   "\"sensor-1\"" },
    { "aud",         "\"" FIXTURE_AUD "\"" },
    { "exp",         "1000600" },
    { "iat",         "1000000" },
    { "jti",         "\"token-1\"" },
    { "scope",       "\"W1sidG9waWMxIixbInB1YiIsInN1YiJdXSxbInRvcGljMi8jIixbInB1YiJdXSxbIisvdG9waWMzIixbInN1YiJdXV0\"" },
    { "ace_profile", "\"mqtt_tls\"" },
    { "cnf",         "{\"jwk\":" FIXTURE_CNF_JWK "}" },
};
/* clang-format on */

static struct jwks *key_set(const struct jwk *keys, size_t n)
{
    struct jwks *jwks = NULL;
    assert_int_equal(jwks_make(keys, n, &jwks), ST_OK);
    return jwks;
}

void fixture_config(const struct fixture *f, struct fixture_config *out)
{
    const struct jwk one[] = { { f->as, SPAN("as-1"), SPAN_NONE, UINT32_MAX },
                               { f->as_p256, SPAN("as-p256"), SPAN("ES256"), UINT32_MAX },
                               { f->mac, SPAN("mac-1"), SPAN_NONE, UINT32_MAX } };
    const struct jwk two[] = { { f->as_two, SPAN("as-2"), SPAN_NONE, UINT32_MAX } };

    *out = (struct fixture_config){
        .issuers = { { SPAN(FIXTURE_ISS), key_set(one, COUNT_OF(one)) },
                     { SPAN("https://as2.example"), key_set(two, COUNT_OF(two)) } },
        .shared = { { SPAN(FIXTURE_ISS), SPAN("rs-1"), f->shared },
                    { SPAN("https://as2.example"), SPAN("rs-2"), f->shared_two } },
        .audiences = { SPAN(FIXTURE_AUD), SPAN("broker") },
    };
    out->config = (struct verifier_config){ .issuers = out->issuers,
                                            .n_issuers = 2,
                                            .audiences = out->audiences,
                                            .n_audiences = 2,
                                            .shared_keys = out->shared,
                                            .n_shared_keys = 2,
                                            .skew_s = 10 };
}

void fixture_config_done(struct fixture_config *c)
{
    for (size_t i = 0; i < COUNT_OF(c->issuers); i++)
        jwks_unref(c->issuers[i].jwks);
}

static void fixture_init(struct fixture *f)
{
    CLEANUP(fixture_config_done)
    struct fixture_config c;

    *f = (struct fixture){ 0 };
    assert_int_equal(key_generate(KEY_ED25519, &f->as), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &f->as_two), ST_OK);
    assert_int_equal(key_generate(KEY_P256, &f->as_p256), ST_OK);
    assert_int_equal(key_generate(KEY_SECRET, &f->mac), ST_OK);
    assert_int_equal(key_generate(KEY_SECRET, &f->shared), ST_OK);
    assert_int_equal(key_new_secret(SPAN("shared 16 bytes."), &f->shared_two, NULL), ST_OK);
    fixture_config(f, &c);
    assert_int_equal(verifier_new(&c.config, &f->verifier, NULL), ST_OK);
}

static void fixture_done(struct fixture *f)
{
    struct key *const keys[] = { f->as, f->as_two, f->as_p256, f->mac, f->shared, f->shared_two };

    for (size_t i = 0; i < COUNT_OF(keys); i++)
        key_unref(keys[i]);
    verifier_unref(f->verifier);
}

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    fixture_init(f);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

static const struct change *find_change(const struct change *changes, const char *name)
{
    for (; changes->name != NULL; changes++) {
        if (strcmp(changes->name, name) == 0)
            return changes;
    }
    return NULL;
}

static bool is_default(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(defaults); i++) {
        if (strcmp(defaults[i].name, name) == 0)
            return true;
    }
    return false;
}

static void put_member(const char *name, const char *json, struct buf *out)
{
    if (json != NULL)
        put_fmt(out, "%s\"%s\":%s", out->p[out->len - 1] == '{' ? "" : ",", name, json);
}

void fixture_claims(const struct change *changes, struct buf *out)
{
    put_str(out, "{");
    for (size_t i = 0; i < COUNT_OF(defaults); i++) {
        const struct change *c = find_change(changes, defaults[i].name);
        put_member(defaults[i].name, c == NULL ? defaults[i].json : c->json, out);
    }
    for (; changes->name != NULL; changes++) {
        if (!is_default(changes->name))
            put_member(changes->name, changes->json, out);
    }
    put_str(out, "}");
    assert_true(buf_ok(out));
}

void fixture_sign(const char *header, struct span payload, const struct key *key, struct buf *out)
{
    size_t start = out->len;
    uint8_t sig[SIG_MAX];

    base64url_encode(span_of_str(header), out);
    put_u8(out, '.');
    base64url_encode(payload, out);
    if (key != NULL)
        assert_int_equal(sig_make(key, sig_for_key(key), span_cut(buf_span(out), start, out->len), sig), ST_OK);
    put_u8(out, '.');
    if (key != NULL)
        base64url_encode(span_of(sig, sig_len(key)), out);
    assert_true(buf_ok(out));
}

void fixture_sign_claims(const char *header, const struct change *changes, const struct key *key,
                         struct buf *out)
{
    CLEANUP(buf_done)
    struct buf claims;

    buf_init(&claims, 1 << 20);
    fixture_claims(changes, &claims);
    fixture_sign(header, buf_span(&claims), key, out);
}

void fixture_token(const struct fixture *f, const struct change *changes, struct buf *out)
{
    fixture_sign_claims(FIXTURE_HEADER, changes, f->as, out);
}

void fixture_encrypt(const struct key *key, const char *kid, const char *cty, struct span text, struct buf *out)
{
    bool small = key_secret(key).len == 16;

    assert_int_equal(jwe_encrypt(small ? JWE_A128KW : JWE_A256KW, small ? JWE_A128GCM : JWE_A256GCM, key,
                                 span_of_str(kid), SPAN_NONE, span_of_str(cty), text, out),
                     ST_OK);
}

enum status fixture_verify(const struct fixture *f, struct span token, struct token **ret, struct why *why)
{
    return token_verify(token, f->verifier, (struct wall_time){ FIXTURE_NOW }, ret, why);
}

void assert_text_refused(const struct fixture *f, struct span text, enum status expected, const char *clause)
{
    struct token *token = NULL;
    struct why why = { 0 };

    assert_int_equal(fixture_verify(f, text, &token, &why), expected);
    assert_null(token);
    assert_non_null(why.clause);
    assert_string_equal(why.clause, clause);
}

void assert_refused(const struct fixture *f, const struct change *changes, enum status expected,
                    const char *clause)
{
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, 1 << 20);
    fixture_token(f, changes, &text);
    assert_text_refused(f, buf_span(&text), expected, clause);
}

void assert_signed_refused(const struct fixture *f, const char *header, const struct key *key,
                           enum status expected, const char *clause)
{
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, 1 << 20);
    fixture_sign_claims(header, NO_CHANGE, key, &text);
    assert_text_refused(f, buf_span(&text), expected, clause);
}

void assert_accepted(const struct fixture *f, const struct change *changes)
{
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    struct why why = { 0 };

    buf_init(&text, 1 << 20);
    fixture_token(f, changes, &text);
    if (fixture_verify(f, buf_span(&text), &token, &why) != ST_OK)
        fail_msg("refused: %s, %s", why.clause, why.text);
}
