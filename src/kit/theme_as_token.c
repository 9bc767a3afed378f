/* A-2xx: the token endpoint in JSON and form encoding (RFC 9200 5.8, RFC 9431 2.1). */
#include "kit/as_talk_priv.h"
#include "kit/say_priv.h"

#include "jose/jwk.h"

/* A refusal as RFC 6749 5.2 has it: 400 or 401, JSON, member error. */
static void must_refuse(struct kit *k, struct as_answer *a, const char *error)
{
    struct span got = SPAN_NONE;

    if (going(k) && (a->code < 400 || a->code > 499))
        fail(k, "a refusal expected, got HTTP %d", a->code);
    if (going(k) &&
        check(k, a->js != NULL && js_get_str(a->js, "error", &got), "the refusal has no member error")) {
        saw(k, "%.*s", SPAN_FMT(got));
        if (error != NULL && !span_eq_str(got, error))
            fail(k, "%s expected", error);
    }
    as_answer_done(a);
}

static struct as_answer ask_good(struct kit *k, const char *more)
{
    struct as_answer a = as_ask_token(k, more);

    if (going(k) && a.code != 200) {
        struct span error = SPAN_NONE;
        (void)js_get_str(a.js, "error", &error);
        fail(k, "HTTP 200 expected, got %d %.*s", a.code, SPAN_FMT(error));
    }
    return a;
}

static void json(struct kit *k)
{
    struct as_answer a = ask_good(k, "");
    struct span token;

    if (going(k) && check(k, js_get_str(a.js, "access_token", &token), "no access_token"))
        (void)check(k,
                    span_starts_with(a.content_type, SPAN("application/ace+json")) ||
                        span_starts_with(a.content_type, SPAN("application/json")),
                    "the answer is neither application/ace+json nor application/json");
    as_answer_done(&a);
}

static void form(struct kit *k)
{
    const char *body = text(k, "grant_type=client_credentials&audience=%s", k->s->audience);
    struct as_request request = { .type = "application/x-www-form-urlencoded",
                                  .body = span_of_str(body),
                                  .user = k->s->client_id,
                                  .password = k->s->client_secret };
    struct as_answer a = as_send(k, &request);
    struct span token;

    if (going(k) && check(k, a.code == 200, "HTTP 200 expected"))
        (void)check(k, js_get_str(a.js, "access_token", &token), "no access_token");
    as_answer_done(&a);
}

static void symmetric_by_default(struct kit *k)
{
    struct as_answer a = ask_good(k, "");
    struct jwk jwk = { 0 };
    struct why why;

    if (going(k) && check(k, jwk_parse(js_get(js_get(a.js, "cnf"), "jwk"), JWK_SECRET, &jwk, &why) == ST_OK,
                          "the answer has no cnf with a symmetric key"))
        saw(k, "a secret of %zu bytes", key_secret(jwk.key).len);
    jwk_done(&jwk);
    as_answer_done(&a);
}

static void secret_not_in_the_clear(struct kit *k)
{
    struct as_answer a = ask_good(k, "");
    struct span token = SPAN_NONE;
    size_t dots = 0;

    if (going(k) && check(k, js_get_str(a.js, "access_token", &token), "no access_token"))
        for (size_t i = 0; i < token.len; i++)
            dots += token.p[i] == '.';
    if (going(k) && check(k, dots != 2, "a secret PoP key in a JWT that is only signed"))
        saw(k, dots == 4 ? "a JWE" : "no JWT");
    as_answer_done(&a);
}

static void profile_on_demand(struct kit *k)
{
    struct as_answer a = ask_good(k, "\"ace_profile\":\"\",");
    struct span profile = SPAN_NONE;

    if (going(k) &&
        check(k, js_get_str(a.js, "ace_profile", &profile), "ace_profile was asked for and is missing"))
        (void)check(k, span_eq_str(profile, "mqtt_tls"), "ace_profile is not mqtt_tls");
    as_answer_done(&a);
}

static void profile_named(struct kit *k)
{
    struct as_answer a = ask_good(k, "\"ace_profile\":\"mqtt_tls\",");

    as_answer_done(&a);
}

static void life_time(struct kit *k)
{
    struct as_answer a = ask_good(k, "");
    int64_t s = 0;

    if (going(k) && check(k, js_get_i64(a.js, "expires_in", &s) && s > 0, "no expires_in"))
        saw(k, "%lld s", (long long)s);
    as_answer_done(&a);
}

static void token_type(struct kit *k)
{
    struct as_answer a = ask_good(k, "");
    struct span type = SPAN_NONE;

    if (going(k) && js_get_str(a.js, "token_type", &type))
        (void)check(
            k, type.len == 3 && (type.p[0] | 32) == 'p' && (type.p[1] | 32) == 'o' && (type.p[2] | 32) == 'p',
            "token_type is neither absent nor PoP");
    as_answer_done(&a);
}

static void two_keys_for_two_tokens(struct kit *k)
{
    struct as_answer a = ask_good(k, ""), b = ask_good(k, "");
    struct span one = SPAN_NONE, two = SPAN_NONE;

    if (going(k) && js_get_str(js_get(js_get(a.js, "cnf"), "jwk"), "k", &one) &&
        js_get_str(js_get(js_get(b.js, "cnf"), "jwk"), "k", &two))
        (void)check(k, !span_eq(one, two), "the same secret came twice");
    as_answer_done(&a);
    as_answer_done(&b);
}

static void cnonce_copied(struct kit *k)
{
    struct as_answer a = ask_good(k, "\"cnonce\":\"3q2-7w\",");

    as_answer_done(&a); /* its way into the token can be seen by the resource server only */
}

/* ---- refused ---- */

static void raw(struct kit *k, const char *type, struct span body, const char *error)
{
    struct as_request request = { .type = type, .body = body };
    struct as_answer a = as_send(k, &request);

    must_refuse(k, &a, error);
}

static void wrong_secret(struct kit *k)
{
    raw(k, NULL,
        span_of_str(text(k, "{\"client_id\":\"%s\",\"client_secret\":\"wrong\",\"audience\":\"%s\"}",
                         k->s->client_id, k->s->audience)),
        "invalid_client");
}

static void no_client(struct kit *k)
{
    raw(k, NULL, span_of_str(text(k, "{\"audience\":\"%s\"}", k->s->audience)), "invalid_client");
}

static void unknown_grant(struct kit *k)
{
    struct as_answer a = as_ask_token(k, "\"grant_type\":\"magic\",");

    must_refuse(k, &a, "unsupported_grant_type");
}

static void unknown_profile(struct kit *k)
{
    struct as_answer a = as_ask_token(k, "\"ace_profile\":\"coap_oscore\",");

    must_refuse(k, &a, "incompatible_ace_profiles");
}

static void unknown_key_kind(struct kit *k)
{
    struct as_answer a =
        as_ask_token(k, "\"req_cnf\":{\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AA\",\"y\":\"AA\"}},");

    must_refuse(k, &a, "unsupported_pop_key");
}

static void symmetric_req_cnf(struct kit *k)
{
    struct as_answer a = as_ask_token(
        k, "\"req_cnf\":{\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}},");

    must_refuse(k, &a, NULL);
}

static void unproved_key(struct kit *k)
{
    struct as_answer a =
        as_ask_token(k, text(k, "\"req_cnf\":{\"jwk\":%s},", public_jwk(k, k->stranger[POP_ED25519])));

    if (going(k) && a.code == 200)
        not_applicable(k, "the server takes keys without a proof of its own; RFC 9201 leaves open which");
    must_refuse(k, &a, NULL);
}

static void private_req_cnf(struct kit *k)
{
    const struct key *key = k->pop[POP_ED25519];
    struct as_answer a = as_ask_token(
        k, text(k, "\"req_cnf\":{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\",\"d\":\"%s\"}},",
                b64(k, key_x(key)), b64(k, key_d(key))));

    must_refuse(k, &a, NULL);
}

static void unknown_audience(struct kit *k)
{
    raw(k, NULL,
        span_of_str(text(k, "{\"client_id\":\"%s\",\"client_secret\":\"%s\",\"audience\":\"nobody.example\"}",
                         k->s->client_id, k->s->client_secret)),
        NULL);
}

static void greedy_scope(struct kit *k)
{
    struct as_answer a = as_ask_token(k, "\"scope\":[[\"#\",[\"own\"]]],");

    must_refuse(k, &a, "invalid_scope");
}

static void not_json(struct kit *k)
{
    raw(k, NULL, SPAN("{\"client_id\":"), "invalid_request");
}

static void member_twice(struct kit *k)
{
    raw(k, NULL, SPAN("{\"client_id\":\"a\",\"client_id\":\"b\"}"), "invalid_request");
}

static void deep(struct kit *k)
{
    raw(k, NULL, joined(k, repeated(k, "[", 5000), repeated(k, "]", 5000)), NULL);
}

static void large(struct kit *k)
{
    struct as_request request = { .body = joined(k, SPAN("{\"x\":\""),
                                                 joined(k, repeated(k, "x", 600000), SPAN("\"}"))) };
    struct as_answer a = as_send(k, &request);

    if (going(k))
        (void)check(k, a.code >= 400 && a.code <= 499, "a refusal expected");
    as_answer_done(&a);
}

static void other_media(struct kit *k)
{
    struct as_request request = { .type = "text/plain", .body = SPAN("hello") };
    struct as_answer a = as_send(k, &request);

    if (going(k))
        (void)check(k, a.code >= 400 && a.code <= 499, "a refusal expected");
    as_answer_done(&a);
}

static void get(struct kit *k)
{
    struct as_request request = { .method = "GET" };
    struct as_answer a = as_send(k, &request);

    if (going(k))
        (void)check(k, a.code >= 400 && a.code <= 499, "GET at the token endpoint should be refused");
    as_answer_done(&a);
}

static void secret_in_the_url(struct kit *k)
{
    const char *url = text(k, "%s?client_id=%s&client_secret=%s&audience=%s", as_token_endpoint(k),
                           k->s->client_id, k->s->client_secret, k->s->audience);
    struct as_request request = { .url = url,
                                  .type = "application/x-www-form-urlencoded",
                                  .body = SPAN("grant_type=client_credentials") };
    struct as_answer a = as_send(k, &request);

    must_refuse(k, &a, NULL);
}

#define C (NEED_AS | NEED_CLIENT)
/* clang-format off */
static const struct kit_case cases[] = {
    { "A-201", "RFC 9431 2.1; RFC 9200 5.8.2; MT-10 MT-12 AF-20 AF-21 AF-35", "a token for a JSON request without grant_type", C, POLITE, json },
    { "A-202", "RFC 9200 5.8.1; AF-28", "a token for a form-encoded request", C, POLITE, form },
    { "A-203", "RFC 9200 5.8.1; AF-26 AF-43", "without req_cnf the server makes a secret and gives it in cnf", C, POLITE, symmetric_by_default },
    { "A-204", "RFC 9431 2.1; MT-14 AF-90", "a secret is never in a token that is only signed", C, POLITE, secret_not_in_the_clear },
    { "A-205", "RFC 9200 5.8.4.3; MT-11 AF-24 AF-36", "ace_profile asked for with \"\" comes back as mqtt_tls", C, POLITE, profile_on_demand },
    { "A-206", "draft-06 2.1; MT-11", "ace_profile mqtt_tls in the request is fine (D-7)", C, POLITE, profile_named },
    { "A-207", "RFC 9200 5.8.2; AF-38", "expires_in says how long", C, POLITE, life_time },
    { "A-208", "RFC 9200 5.8.4.2; AF-37", "token_type is PoP or absent", C, POLITE, token_type },
    { "A-209", "RFC 9200 6.1; AF-30", "two tokens, two secrets", C, POLITE, two_keys_for_two_tokens },
    { "A-210", "RFC 9200 5.8.4.4; AF-16 AF-19", "cnonce is taken, base64url without padding", C, POLITE, cnonce_copied },
    { "A-221", "RFC 9200 5.8.3; MT-10 MT-15 AF-50", "a wrong secret: invalid_client", C, RUDE, wrong_secret },
    { "A-222", "RFC 9200 5.5; AF-20", "no client: invalid_client", C, RUDE, no_client },
    { "A-223", "RFC 6749 5.2; AF-50", "unsupported_grant_type", C, RUDE, unknown_grant },
    { "A-224", "RFC 9200 5.8.3; AF-53", "incompatible_ace_profiles", C, RUDE, unknown_profile },
    { "A-225", "RFC 9200 5.8.3; AF-52", "unsupported_pop_key", C, RUDE, unknown_key_kind },
    { "A-226", "RFC 9201 3.1; AF-41", "a symmetric key in req_cnf", C, RUDE, symmetric_req_cnf },
    { "A-227", "RFC 9201 3.1; AF-42", "a key in req_cnf that nobody proved to hold", C, RUDE, unproved_key },
    { "A-228", "RFC 7800 3.2; TK-56", "a private key in req_cnf", C, RUDE, private_req_cnf },
    { "A-229", "RFC 9200 5.8.1; AF-22", "an audience nobody knows", C, RUDE, unknown_audience },
    { "A-230", "RFC 6749 5.2; AF-50 MT-87", "a scope nobody understands: invalid_scope", C, RUDE, greedy_scope },
    { "A-231", "RFC 6749 5.2; MT-15", "JSON cut short: invalid_request", NEED_AS, RUDE, not_json },
    { "A-232", "RFC 8259 4; TK-48", "a member twice: invalid_request", NEED_AS, RUDE, member_twice },
    { "A-233", "RFC 8259 9; TK-49", "5000 levels", NEED_AS, RUDE, deep },
    { "A-234", "RFC 8259 9", "600 KB", NEED_AS, RUDE, large },
    { "A-235", "RFC 9431 2.1; AF-28", "another media type", NEED_AS, RUDE, other_media },
    { "A-236", "RFC 6749 3.2; AF-1", "GET", NEED_AS, RUDE, get },
    { "A-237", "RFC 6749 2.3.1", "credentials in the URL", C, RUDE, secret_in_the_url },
};
/* clang-format on */

const struct kit_theme theme_as_token = { "as_token", KIT_AS, cases, COUNT_OF(cases) };
