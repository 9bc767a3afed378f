/* Making a token, in the format and under the protection its resource server is registered with, and keeping its row. */
#include "as/grant.h"
#include "as/token_row.h"
#include "codec/base64.h"
#include "crypto/secret.h"
#include "jose/jwk.h"
#include "token/claims.h"
#include "token/token.h"

#define JTI_RANDOM 10
/* Rows a client may have for each live token allowed to it: whoever revokes at once what it just got must not fill
 * everybody's table. */
#define KEPT_PER_LIVE 4

void grant_done(struct grant *g)
{
    auth_done(&g->auth);
    scope_unref(g->scope);
    scope_unref(g->ceiling);
    pop_done(&g->pop);
    buf_done(&g->cnonce_bytes);
    buf_done(&g->jti);
    buf_wipe(&g->token);
    buf_wipe(&g->refresh_token);
}

static enum status count_room(struct call *call, const struct grant *g, bool kept_too, int64_t live_max)
{
    struct as *as = call->as;
    const int64_t kept_max = live_max * KEPT_PER_LIVE;
    const struct span client_id = g->auth.principal.id;
    int64_t live = 0, kept = 0;
    enum status st = token_row_count_client(as->sql, client_id, call->now.wall, live_max, &live, &call->why);

    if (st == ST_OK && live >= live_max)
        return reject(&call->why, ST_QUOTA, "token.max_per_client", "this client has too many live tokens", 0);
    if (st == ST_OK && kept_too)
        st = token_row_count_kept(as->sql, client_id, kept_max, &kept, &call->why);
    if (st == ST_OK && kept >= kept_max)
        return reject(&call->why, ST_QUOTA, "token.max_per_client", "this client revoked too many tokens", 0);
    if (st == ST_OK)
        client_room_set(&as->rooms, client_id, kept_too,
                        (live_max - live < kept_max - kept ? live_max - live : kept_max - kept) - 1);
    return st;
}

static enum status check_room(struct call *call, const struct grant *g)
{
    struct as *as = call->as;
    const int64_t live_max = as->settings->token_max_per_client;
    const bool kept_too = as->tokens >= as->settings->token_max / 2; /* before that it hurts nobody */

    if (as->tokens >= as->settings->token_max)
        return reject(&call->why, ST_QUOTA, "token.max", "too many live tokens", 0);
    if (client_room_take(&as->rooms, g->auth.principal.id, kept_too) ||
        as->tokens < live_max) /* nobody can have so many */
        return ST_OK;
    return count_room(call, g, kept_too, live_max);
}

/* When, and then 80 random bits: it is no secret, and tokens of a moment lie side by side wherever rows are found by it.
 * (Only that is asked of the time; nobody reads it.) */
static enum status random_jti(struct call *call, struct buf *out)
{
    uint8_t random[JTI_RANDOM];
    struct buf bytes;
    enum status st = call->as->env.random(call->as->env.ctx, random, sizeof random);

    if (st != ST_OK)
        return reject(&call->why, st, "as", "no random bytes", 0);
    buf_init(&bytes, 32);
    put_u32(&bytes, (uint32_t)call->now.wall.s);
    put_u16(&bytes, (uint16_t)call->now.mono.ms);
    put_bytes(&bytes, span_of(random, sizeof random));
    base64url_encode(buf_span(&bytes), out);
    st = buf_ok(&bytes) && buf_ok(out) ? ST_OK : ST_NO_MEMORY;
    buf_done(&bytes);
    return st == ST_OK ? st : reject(&call->why, st, "as issuance", "out of memory", 0);
}

static enum status make_jti(struct call *call, struct grant *g)
{
    uint64_t sequence = 0;

    if (!g->rs.exi)
        return random_jti(call, &g->jti);
    enum status st = registry_next_exi(call->as->sql, g->rs.id, &sequence, &call->why);
    if (st == ST_OK)
        st = token_exi_jti_write(g->rs.id, sequence, &g->jti); /* AF-76 */
    return st == ST_OK ? st : reject(&call->why, st, "AF-76", "no sequence number for an exi token", 0);
}

/* The first bit is 0, so that no reference is ever base64url of something that looks like a CWT (ace_token_bytes()). */
static enum status make_reference(struct call *call, struct buf *out)
{
    uint8_t bytes[SECRET_BYTES];
    enum status st = call->as->env.random(call->as->env.ctx, bytes, sizeof bytes);

    bytes[0] &= 0x7f;
    if (st == ST_OK)
        base64url_encode(span_of(bytes, sizeof bytes), out);
    secret_wipe(bytes, sizeof bytes);
    if (st == ST_OK && !buf_ok(out))
        st = ST_NO_MEMORY;
    return st == ST_OK ? st : reject(&call->why, st, "as issuance", "no random bytes", 0);
}

/* MT-14: a secret travels encrypted under the key AS and RS share, which authenticates the issuer too (TK-22). */
static enum status make_self_contained(struct call *call, const struct grant *g,
                                       const struct token_claims *claims, struct buf *out)
{
    CLEANUP(key_unrefp)
    struct key *shared = NULL;
    struct signer *signer = call->as->signer;
    bool by_kind = g->rs.protection == RS_AUTO, cwt = g->rs.format == RS_CWT;
    bool encrypted = by_kind ? g->pop.symmetric : g->rs.protection != RS_SIGNED;
    bool signature = by_kind ? !g->pop.symmetric : g->rs.protection != RS_ENCRYPTED;

    if (encrypted) {
        enum status st = key_new_secret(g->rs.secret_key, &shared, &call->why);
        if (st != ST_OK)
            return st;
    }
    if (signature) {
        const struct signer_wrap wrap = { .cwt = cwt, .shared = shared, .shared_kid = g->rs.secret_kid };
        return signer->ops->issue(signer, claims, &wrap, out, &call->why);
    }
    return cwt ? token_issue_cwt_encrypt0(claims, NULL, SPAN_NONE, shared, g->rs.secret_kid, out, &call->why)
               : token_issue_jwe(claims, NULL, SPAN_NONE, shared, g->rs.secret_kid, out, &call->why);
}

static enum status make_token(struct call *call, struct grant *g)
{
    struct wall_time now = call->now.wall;
    bool cwt = g->rs.format == RS_CWT;
    struct token_claims claims = {
        .iss = span_of_str(call->as->issuer),
        .sub = g->auth.principal.id,
        .client_id = g->auth.principal.id,
        .aud = g->rs.audience,
        .jti = buf_span(&g->jti),
        .has_exp = !g->rs.exi,
        .exp = { now.s + g->rs.lifetime_s },
        .has_exi = g->rs.exi,
        .exi_s = g->rs.lifetime_s,
        .has_iat = !g->rs.exi, /* whoever needs exi has no calendar to check it with */
        .iat = now,
        .scope = g->scope,
        .cnf = g->pop.key,
        .cnf_kid = g->pop.kid,
        .cnf_x5t = g->pop.x5t,
        .cnonce = buf_span(&g->cnonce_bytes),
        .ace_profile = cwt && g->profile == ACE_PROFILE_MQTT_TLS_CBOR,
    };
    struct buf cti;

    if (g->rs.format == RS_REFERENCE)
        return make_reference(call, &g->token);
    buf_init(&cti, 512);
    enum status st = cwt ? base64url_decode(buf_span(&g->jti), &cti, &call->why) : ST_OK;
    if (cwt)
        claims.jti = buf_span(&cti);
    if (st == ST_OK)
        st = make_self_contained(call, g, &claims, &g->token);
    buf_done(&cti);
    return st;
}

static enum status keep_row(struct call *call, const struct grant *g, struct span scope)
{
    const bool in_cbor = call->media == MEDIA_ACE_CBOR;
    uint8_t hash[SHA256_LEN], trl_hash[SHA256_LEN];
    const bool cwt = g->rs.format == RS_CWT;
    const bool other = token_row_trl_hash(buf_span(&g->token), cwt, in_cbor, trl_hash);
    enum status st = other == (cwt || in_cbor) ? sha256(buf_span(&g->token), hash) : ST_NO_MEMORY;
    const struct token_row row = {
        .jti = buf_span(&g->jti),
        .hash = span_of(hash, sizeof hash),
        .trl_hash = other ? span_of(trl_hash, sizeof trl_hash) : SPAN_NONE,
        .client_id = g->auth.principal.id,
        .rs_id = g->rs.id,
        .audience = g->rs.audience,
        .format = span_of_str(rs_format_name(g->rs.format)),
        .scope = scope,
        .cnf = g->pop.jwk,
        .cnf_kid = g->pop.jwk_kid,
        .cnf_x5t = g->pop.x5t,
        .pop_kid = g->pop.kid,
        .profile = span_of_str(ace_profile_name(g->profile)),
        .family = g->refresh.family,
        .cnonce = g->cnonce,
        .exi_s = g->rs.exi ? g->rs.lifetime_s : 0,
        .issued_at = call->now.wall.s,
        .expires_at = call->now.wall.s + g->rs.lifetime_s + (g->rs.exi ? TOKEN_EXI_KEEP_S : 0),
        .in_cbor = in_cbor,
    };

    if (st != ST_OK)
        return reject(&call->why, st, "as issuance", "the token cannot be recorded", 0);
    return token_row_add(call->as->sql, &row, &call->why);
}

/* The one after the one presented, or the first of a new family where that is allowed. */
static enum status make_refresh_token(struct call *call, struct grant *g, struct span scope)
{
    if (g->refreshing)
        return refresh_turn(call, &g->refresh, &g->refresh_token);
    if (!g->auth.principal.refresh && !g->rs.refresh)
        return ST_OK;
    g->refresh = (struct refresh){
        .client_id = g->auth.principal.id,
        .rs_id = g->rs.id,
        .scope = scope,
        .cnf = g->pop.jwk,
        .cnf_kid = g->pop.jwk_kid,
        .cnf_x5t = g->pop.x5t,
        .pop_kid = g->pop.kid,
        .profile = span_of_str(ace_profile_name(g->profile)),
    };
    return refresh_begin(call, &g->refresh, &g->refresh_token);
}

static enum status make_all(struct call *call, struct grant *g)
{
    struct buf scope;

    buf_init(&scope, SCOPE_MAX_BYTES * 2);
    enum status st = scope_to_text(g->scope, &scope);
    if (st == ST_OK)
        st = make_refresh_token(call, g, buf_span(&scope));
    if (st == ST_OK)
        st = make_jti(call, g);
    if (st == ST_OK)
        st = make_token(call, g);
    if (st == ST_OK)
        st = keep_row(call, g, buf_span(&scope));
    buf_done(&scope);
    return st;
}

/* More than the token's row is written: numbers that count, refresh tokens. */
static bool writes_more(const struct grant *g)
{
    return g->rs.exi || g->refreshing || g->auth.principal.refresh || g->rs.refresh;
}

enum status grant_issue(struct call *call, struct grant *g)
{
    struct sql *sql = call->as->sql;
    const bool together = writes_more(g); /* one statement is whole without a transaction, and cheaper */
    enum status st = check_room(call, g);

    if (st == ST_OK && together)
        st = sql_begin(sql, &call->why);
    if (st != ST_OK)
        return st;
    st = make_all(call, g);
    if (st == ST_OK && together)
        st = sql_commit(sql, &call->why);
    if (st != ST_OK) {
        if (together)
            sql_rollback(sql);
        return st;
    }
    call->as->tokens++;
    return ST_OK;
}
