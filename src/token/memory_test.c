/* Every allocation of ours, and of the JSON library, is made to fail once, in turn, while tokens are issued, verified,
 * looked up and written down, and while the documents around them are made and read: each step then says so and leaves
 * nothing behind (the sanitizers look). Lack of memory is never taken for a bad token: its client would be told that it
 * needs another one. */
#include "codec/base64.h"
#include "scope/scope.h"
#include "support/failing_memory.h"
#include "token/ace_cbor.h"
#include "token/assertion.h"
#include "token/auth_data.h"
#include "token/claims.h"
#include "token/fixture_cwt_priv.h"
#include "token/hints.h"
#include "token/psk_identity.h"
#include "token/token_record.h"
#include "token/user_name.h"

#define SCOPE "[[\"a/+/b\",[\"pub\",\"sub\"]],[\"c/#\",[\"sub\"]]]"

struct world {
    const struct fixture *f;
    struct scope *scope;
    struct token *token; /* a verified one */
    struct key *cnf, *secret;
    enum status (*step)(const struct world *w, struct why *why);
    unsigned done;
};

static void try_step(void *ctx, long n)
{
    struct world *w = ctx;
    struct why why = { 0 };

    failing_memory_begin(n);
    enum status st = w->step(w, &why);
    (void)failing_memory_end();
    if (st != ST_OK && st != ST_NO_MEMORY)
        fail_msg("%ld: %s: %s, %s", n, status_name(st), why.clause, why.text);
    w->done += st == ST_OK;
}

static void each_allocation_of(const struct fixture *f, enum status (*step)(const struct world *, struct why *))
{
    struct world w = { .f = f, .step = step };
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, ROOM);
    fixture_token(f, NO_CHANGE, &text);
    assert_int_equal(fixture_verify(f, buf_span(&text), &w.token, NULL), ST_OK);
    assert_int_equal(scope_from_text(SPAN(SCOPE), &w.scope, NULL), ST_OK);
    assert_int_equal(key_generate(KEY_P256, &w.cnf), ST_OK);
    assert_int_equal(key_generate(KEY_SECRET, &w.secret), ST_OK);
    assert_int_not_equal(failing_memory_each(try_step, &w), 0);
    assert_int_not_equal(w.done, 0);
    key_unref(w.cnf);
    key_unref(w.secret);
    scope_unref(w.scope);
    token_unref(w.token);
}

/* ---- issued, then verified ---- */

static struct token_claims claims_of(const struct world *w)
{
    return (struct token_claims){ .iss = SPAN(FIXTURE_ISS),
                                  .sub = SPAN("subject"),
                                  .client_id = SPAN("client"),
                                  .aud = SPAN(FIXTURE_AUD),
                                  .jti = SPAN("jti-1"),
                                  .has_exp = true,
                                  .has_iat = true,
                                  .has_nbf = true,
                                  .exp = { FIXTURE_NOW + 60 },
                                  .iat = { FIXTURE_NOW - 1 },
                                  .nbf = { FIXTURE_NOW - 1 },
                                  .scope = w->scope,
                                  .cnf = w->cnf,
                                  .cnf_kid = SPAN("key-1"),
                                  .ace_profile = true };
}

static enum status verified(const struct world *w, enum status st, struct buf *text, struct why *why)
{
    struct token *token = NULL;

    if (st == ST_OK)
        st = fixture_verify(w->f, buf_span(text), &token, why);
    assert_true((token != NULL) == (st == ST_OK));
    token_unref(token);
    buf_done(text);
    return st;
}

static enum status signed_jwt(const struct world *w, struct why *why)
{
    struct token_claims claims = claims_of(w);
    struct buf text;

    buf_init(&text, ROOM);
    return verified(w, token_issue_jws(&claims, w->f->as, SPAN("as-1"), &text, why), &text, why);
}

static enum status sealed_jwt(const struct world *w, struct why *why)
{
    struct token_claims claims = claims_of(w);
    struct buf text;

    buf_init(&text, ROOM);
    claims.cnf = w->secret;
    return verified(w, token_issue_jwe(&claims, w->f->as, SPAN("as-1"), w->f->shared, SPAN("rs-1"), &text, why),
                    &text, why);
}

static enum status signed_cwt(const struct world *w, struct why *why)
{
    struct token_claims claims = claims_of(w);
    struct buf text;

    buf_init(&text, ROOM);
    return verified(w, token_issue_cwt_sign1(&claims, w->f->as, SPAN("as-1"), &text, why), &text, why);
}

static enum status sealed_cwt(const struct world *w, struct why *why)
{
    struct token_claims claims = claims_of(w);
    struct buf text;

    buf_init(&text, ROOM);
    return verified(w,
                    token_issue_cwt_encrypt0(&claims, NULL, SPAN_NONE, w->f->shared, SPAN("rs-1"), &text, why),
                    &text, why);
}

static void issued_tokens_are_verified_or_memory_is_short(void **state) /* TK-22, TK-23, TK-62 */
{
    each_allocation_of(*state, signed_jwt);
    each_allocation_of(*state, sealed_jwt);
    each_allocation_of(*state, signed_cwt);
    each_allocation_of(*state, sealed_cwt);
}

/* ---- looked up ---- */

static enum status introspected(const struct world *w, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(buf_done)
    struct buf body;
    struct token_claims claims = claims_of(w);
    struct token *token = NULL;
    enum status st = token_introspection_js(&claims, &js);

    buf_init(&body, ROOM);
    if (st == ST_OK)
        st = js_print(js, &body);
    if (st == ST_OK)
        st = token_from_introspection(buf_span(&body), SPAN("reference"), SPAN(FIXTURE_ISS), w->f->verifier,
                                      (struct wall_time){ FIXTURE_NOW }, &token, why);
    token_unref(token);
    return st;
}

static void answers_about_tokens_are_read_or_memory_is_short(void **state) /* AF-45 */
{
    each_allocation_of(*state, introspected);
}

/* ---- written down ---- */

static enum status recorded(const struct world *w, struct why *why)
{
    CLEANUP(buf_done)
    struct buf record;
    struct token *token = NULL;
    enum status st;

    buf_init(&record, ROOM);
    st = token_record_write(w->token, &record);
    if (st == ST_OK)
        st = token_record_read(buf_span(&record), &token, why);
    token_unref(token);
    return st;
}

static void records_are_whole_or_memory_is_short(void **state)
{
    each_allocation_of(*state, recorded);
}

/* ---- the documents around them ---- */

static enum status hinted(const struct world *w, struct why *why)
{
    static const struct hints said = { .as = SPAN("https://as.example/token"),
                                       .audience = SPAN(FIXTURE_AUD),
                                       .kid = SPAN("\x01\x02"),
                                       .cnonce = SPAN("\x03\x04"),
                                       .scope = SPAN(SCOPE) };
    CLEANUP(buf_done)
    struct buf text;
    struct hints heard = { 0 };
    enum status st;

    (void)w;
    buf_init(&text, ROOM);
    st = hints_write(&said, &text);
    if (st == ST_OK)
        st = hints_parse(buf_span(&text), &heard, why);
    hints_done(&heard);
    return st;
}

static const struct {
    enum ace_document document;
    const char *json;
} documents[] = {
    { ACE_TOKEN_REQUEST,
      "{\"grant_type\":\"client_credentials\",\"audience\":\"rs\",\"scope\":\"AQI\",\"client_id\":\"c\","
      "\"client_secret\":\"s\",\"req_cnf\":{\"jwk\":" FIXTURE_CNF_JWK "},\"ace_profile\":null}" },
    { ACE_TOKEN_RESPONSE,
      "{\"access_token\":\"reference\",\"token_type\":\"PoP\",\"expires_in\":60,\"scope\":" SCOPE ","
      "\"cnf\":{\"jwk\":" FIXTURE_OCT_JWK "},\"rs_cnf\":{\"kid\":\"k\"},\"ace_profile\":\"mqtt_tls\"}" },
    { ACE_TOKEN_RESPONSE, "{\"error\":\"invalid_scope\",\"error_description\":\"why\"}" },
    { ACE_INTROSPECTION_REQUEST, "{\"token\":\"reference\"}" },
    { ACE_INTROSPECTION_RESPONSE,
      "{\"active\":true,\"scope\":\"AQI\",\"exp\":1000,\"cnf\":{\"x5t#S256\":"
      "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},\"jti\":\"AQI\",\"cnonce\":\"AQI\"}" },
    { ACE_HINTS, "{\"AS\":\"https://as.example\",\"kid\":\"AQI\",\"audience\":\"rs\",\"cnonce\":\"AQI\"}" },
};

static enum status translated(const struct world *w, struct why *why)
{
    (void)w;
    for (size_t i = 0; i < COUNT_OF(documents); i++) {
        CLEANUP(js_unrefp)
        struct js *js = NULL;
        CLEANUP(js_unrefp)
        struct js *again = NULL;
        CLEANUP(buf_done)
        struct buf cbor;
        enum status st = js_parse(span_of_str(documents[i].json), ROOM, &js, why);

        buf_init(&cbor, ROOM);
        if (st == ST_OK)
            st = ace_to_cbor(documents[i].document, js, &cbor, why);
        if (st == ST_OK)
            st = ace_from_cbor(documents[i].document, buf_span(&cbor), ROOM, &again, why);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status asserted(const struct world *w, struct why *why)
{
    static const struct span auds[] = { SPAN("https://as.example") };
    struct assertion_claims claims = { .typ = ASSERTION_TYP_CLIENT,
                                       .iss = SPAN("c"),
                                       .sub = SPAN("c"),
                                       .client_id = SPAN("c"),
                                       .aud = SPAN("https://as.example"),
                                       .iat = { FIXTURE_NOW },
                                       .lifetime_s = 60,
                                       .jti = SPAN("n-1") };
    struct assertion_expected expected = { .typ = ASSERTION_TYP_CLIENT,
                                           .iss = SPAN("c"),
                                           .sub = SPAN("c"),
                                           .client_id = SPAN("c"),
                                           .auds = auds,
                                           .n_auds = 1,
                                           .max_age_s = 300 };
    CLEANUP(buf_done)
    struct buf text;
    struct assertion_claimant claimant = { 0 };
    struct assertion out;
    enum status st;

    buf_init(&text, ROOM);
    st = assertion_sign(&claims, w->f->as, SPAN("k"), &text);
    if (st == ST_OK)
        st = assertion_peek(buf_span(&text), &claimant, why);
    if (st == ST_OK)
        st =
            assertion_check(buf_span(&text), w->f->as, &expected, (struct wall_time){ FIXTURE_NOW }, &out, why);
    assertion_claimant_done(&claimant);
    return st;
}

static enum status named(const struct world *w, struct why *why)
{
    CLEANUP(buf_done)
    struct buf cbor;
    CLEANUP(buf_done)
    struct buf json;
    CLEANUP(buf_done)
    struct buf pop;
    struct psk_identity id;
    uint8_t exporter[32] = { 1 };
    enum status st;

    buf_init(&cbor, ROOM);
    buf_init(&json, ROOM);
    buf_init(&pop, ROOM);
    st = psk_identity_write_cbor(SPAN("k"), &cbor);
    if (st == ST_OK)
        st = psk_identity_parse(buf_span(&cbor), &id, why);
    if (st == ST_OK)
        st = psk_identity_write_json(SPAN("k"), &json);
    if (st == ST_OK)
        st = psk_identity_parse(buf_span(&json), &id, why);
    if (st == ST_OK)
        st = pop_make_exporter(w->f->as_p256, span_of(exporter, sizeof exporter), &pop);
    if (st == ST_OK)
        st = pop_check_exporter(w->f->as_p256, span_of(exporter, sizeof exporter), buf_span(&pop), why);
    return st;
}

static void documents_are_read_or_memory_is_short(void **state) /* AF-5, AF-15, MT-27 */
{
    each_allocation_of(*state, hinted);
    each_allocation_of(*state, translated);
    each_allocation_of(*state, asserted);
    each_allocation_of(*state, named);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(issued_tokens_are_verified_or_memory_is_short),
        cmocka_unit_test(answers_about_tokens_are_read_or_memory_is_short),
        cmocka_unit_test(records_are_whole_or_memory_is_short),
        cmocka_unit_test(documents_are_read_or_memory_is_short),
    };
    return cmocka_run_group_tests_name("token_memory", tests, fixture_setup, fixture_teardown);
}
