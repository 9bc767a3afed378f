#include "shard/fixture_test.h"

#include "crypto/random.h"
#include "jose/jwks.h"
#include "token/claims.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants those above first */
#include <cmocka.h>

static struct jwks *keys_of(struct key *key, const char *kid)
{
    struct jwk jwk = { .kid = span_of_str(kid), .ops = UINT32_MAX };
    struct jwks *jwks = NULL;

    assert_int_equal(key_public(key, &jwk.key), ST_OK);
    assert_int_equal(jwks_make(&jwk, 1, &jwks), ST_OK);
    key_unref(jwk.key);
    return jwks;
}

void fixture_new_store(struct fixture *f)
{
    uint8_t secret[TOKEN_STORE_SECRET_LEN];

    assert_int_equal(random_bytes(secret, sizeof secret), ST_OK);
    token_store_free(f->store);
    f->store = NULL;
    assert_int_equal(token_store_new(&f->limits, secret, &f->store), ST_OK);
}

struct fixture fixture_begin_with(bool no_clock)
{
    struct fixture f = { .now = { { 1000000 }, { .s = WALL } } };
    uint8_t secret[32] = { 7 };
    struct span audience = SPAN("broker");

    assert_int_equal(key_generate(KEY_ED25519, &f.as[0]), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &f.as[1]), ST_OK);
    assert_int_equal(key_new_secret(span_of(secret, 32), &f.shared, NULL), ST_OK);
    {
        struct verifier_issuer issuers[] = { { .iss = SPAN(ISS), .jwks = keys_of(f.as[0], "1") },
                                             { .iss = SPAN(ISS2), .jwks = keys_of(f.as[1], "2") } };
        struct verifier_shared_key shared = { .iss = SPAN(ISS), .kid = SPAN("rs"), .key = f.shared };
        struct verifier_config config = { .issuers = issuers,
                                          .n_issuers = 2,
                                          .audiences = &audience,
                                          .n_audiences = 1,
                                          .shared_keys = &shared,
                                          .n_shared_keys = 1,
                                          .no_clock = no_clock,
                                          .require_cnonce = no_clock };

        assert_int_equal(verifier_new(&config, &f.verifier, NULL), ST_OK);
        jwks_unref(issuers[0].jwks);
        jwks_unref(issuers[1].jwks);
    }
    token_store_limits_init(&f.limits);
    f.limits.need_cnonce = no_clock;
    fixture_new_store(&f);
    return f;
}

struct fixture fixture_begin(void)
{
    return fixture_begin_with(false);
}

void fixture_end(struct fixture *f)
{
    token_store_free(f->store);
    verifier_unref(f->verifier);
    key_unref(f->as[0]);
    key_unref(f->as[1]);
    key_unref(f->shared);
}

struct token *fixture_token(struct fixture *f, struct wish wish)
{
    struct token_claims claims = { .iss = wish.issuer == 0 ? SPAN(ISS) : SPAN(ISS2),
                                   .sub = SPAN("device"),
                                   .aud = SPAN("broker"),
                                   .cnf = wish.key,
                                   .cnf_kid = span_of_str(wish.kid),
                                   .cnonce = wish.cnonce,
                                   .has_exp = wish.exi_s == 0 || wish.life_s != 0,
                                   .exp.s =
                                       f->now.wall.s + (wish.life_s == 0 ? 600 : wish.life_s) - wish.iat_back_s,
                                   .has_iat = true,
                                   .iat.s = f->now.wall.s - wish.iat_back_s,
                                   .has_exi = wish.exi_s != 0,
                                   .exi_s = wish.exi_s };
    CLEANUP(key_unrefp)
    struct key *own = NULL;
    CLEANUP(buf_done)
    struct buf jti;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    struct token *token = NULL;
    struct why why = { 0 };

    buf_init(&jti, 256);
    buf_init(&text, 65535);
    if (wish.key == NULL)
        assert_int_equal(key_generate(wish.secret ? KEY_SECRET : KEY_ED25519, &own), ST_OK);
    if (wish.key == NULL)
        claims.cnf = own;
    assert_int_equal(
        scope_from_text(span_of_str(wish.scope != NULL ? wish.scope : "[[\"a\",[\"pub\"]]]"), &scope, NULL),
        ST_OK);
    claims.scope = scope;
    if (wish.exi_s != 0 && wish.cwt) {
        put_str(&jti, "broker");
        put_u64(&jti, wish.sequence);
    } else if (wish.exi_s != 0) {
        assert_int_equal(token_exi_jti_write(SPAN("broker"), wish.sequence, &jti), ST_OK);
    }
    claims.jti = buf_span(&jti);
    if (key_kind(claims.cnf) == KEY_SECRET)
        assert_int_equal(token_issue_jwe(&claims, NULL, SPAN_NONE, f->shared, SPAN("rs"), &text, NULL), ST_OK);
    else if (wish.cwt)
        assert_int_equal(token_issue_cwt_sign1(&claims, f->as[wish.issuer],
                                               wish.issuer == 0 ? SPAN("1") : SPAN("2"), &text, NULL),
                         ST_OK);
    else
        assert_int_equal(
            token_issue_jws(&claims, f->as[wish.issuer], wish.issuer == 0 ? SPAN("1") : SPAN("2"), &text, NULL),
            ST_OK);
    if (token_verify(buf_span(&text), f->verifier, f->now.wall, &token, &why) != ST_OK)
        fail_msg("%s: %s", why.clause, why.text);
    return token;
}

void fixture_pass(struct fixture *f, int64_t s)
{
    f->now.mono.ms += s * 1000;
    f->now.wall.s += s;
}

enum status fixture_accept(struct fixture *f, const struct token *token, const char *clause)
{
    struct token_term term;
    struct why why = { 0 };
    enum status st = token_store_accept(f->store, token, f->now, &term, &why);

    if (st != ST_OK && clause != NULL)
        assert_string_equal(why.clause, clause);
    return st;
}
