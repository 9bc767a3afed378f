#include "as/refresh.h"

#include "as/token_row.h"
#include "codec/base64.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

#define FAMILY_BYTES 16
#define TOKEN_BYTES  (FAMILY_BYTES + SECRET_BYTES)

#define COLUMNS                                                                                            \
    "family, hash, client_id, rs_id, scope, cnf, cnf_kid, cnf_x5t, pop_kid, profile, created_at, used_at," \
    " uses, expires_at"

static struct refresh borrow(const struct sql_row *row)
{
    return (struct refresh){
        .family = sql_bytes(row, 0),
        .hash = sql_bytes(row, 1),
        .client_id = sql_bytes(row, 2),
        .rs_id = sql_bytes(row, 3),
        .scope = sql_bytes(row, 4),
        .cnf = sql_bytes(row, 5),
        .cnf_kid = sql_bytes(row, 6),
        .cnf_x5t = sql_bytes(row, 7),
        .pop_kid = sql_bytes(row, 8),
        .profile = sql_bytes(row, 9),
        .created_at = sql_i64(row, 10),
        .used_at = sql_i64(row, 11),
        .uses = sql_i64(row, 12),
        .expires_at = sql_i64(row, 13),
    };
}

struct read {
    struct arena *arena;
    struct refresh *refresh;
    int rows;
};

static enum status take_row(void *ctx, const struct sql_row *row)
{
    struct read *r = ctx;
    struct refresh f = borrow(row);
    struct span *texts[] = { &f.family, &f.hash,    &f.client_id, &f.rs_id,   &f.scope,
                             &f.cnf,    &f.cnf_kid, &f.cnf_x5t,   &f.pop_kid, &f.profile };

    if (!arena_keep(r->arena, texts, COUNT_OF(texts)))
        return ST_NO_MEMORY;
    *r->refresh = f;
    r->rows++;
    return ST_OK;
}

static enum status bad_grant(struct call *call, const char *clause, const char *text)
{
    return reject(&call->why, ST_BAD_GRANT, clause, text, 0);
}

/* ST_OK if `token` has the shape of one; its family in the arena. ST_NO_MEMORY says nothing of it. */
static enum status family_of(struct span token, struct arena *arena, struct span *ret_family)
{
    struct buf bytes, text;

    buf_init(&bytes, TOKEN_BYTES);
    buf_init(&text, 64);
    enum status st = base64url_decode(token, &bytes, NULL);
    if (st != ST_NO_MEMORY && (st != ST_OK || bytes.len != TOKEN_BYTES))
        st = ST_MALFORMED;
    if (st == ST_OK) {
        base64url_encode(span_cut(buf_span(&bytes), 0, FAMILY_BYTES), &text);
        *ret_family = buf_ok(&text) ? arena_copy(arena, buf_span(&text)) : SPAN_NONE;
    }
    buf_wipe(&bytes);
    buf_done(&text);
    return st == ST_OK && ret_family->p == NULL ? ST_NO_MEMORY : st;
}

/* With the access tokens that came of it; `event` says why. */
static enum status end_family(struct call *call, const struct refresh *r, enum log_level level,
                              const char *event)
{
    struct sql *sql = call->as->sql;
    int64_t tokens = 0;
    enum status st = sql_begin(sql, &call->why);

    if (st == ST_OK)
        st = refresh_revoke(sql, r->family, call->now.wall, &tokens, &call->why);
    if (st == ST_OK)
        st = sql_commit(sql, &call->why);
    if (st != ST_OK) {
        sql_rollback(sql);
        return st;
    }
    log_event(NULL, level, event, F_SPAN("client_id", r->client_id), F_SPAN("family", r->family),
              F_I64("tokens_revoked", tokens));
    return ST_OK;
}

/* One that was good once: whoever comes second is not the one it was given to, and nobody knows who came first. */
static enum status end_reused(struct call *call, const struct refresh *r)
{
    enum status st = end_family(call, r, LOG_WARNING, "refresh_token_reused");

    if (st != ST_OK)
        return st;
    return bad_grant(call, "RFC 9700 4.14", "this refresh token was used before: its family is revoked");
}

static bool is_newest(struct span token, const struct refresh *r)
{
    uint8_t hash[SHA256_LEN];

    return sha256(token, hash) == ST_OK && secret_eq(r->hash, span_of(hash, sizeof hash));
}

enum status refresh_open(struct call *call, struct span token, struct span client_id, struct refresh *ret)
{
    struct read r = { .arena = &call->arena, .refresh = ret };
    struct span family;

    enum status st = family_of(token, &call->arena, &family);
    if (st == ST_NO_MEMORY)
        return reject(&call->why, st, "as refresh", "out of memory", 0);
    if (st != ST_OK)
        return bad_grant(call, "RFC 6749 5.2", "no refresh token of ours");
    st = sql_query(call->as->sql,
                   "SELECT " COLUMNS " FROM refresh WHERE family = $1 AND expires_at > $2"
                   " AND client_id = $3",
                   take_row, &r, &call->why, SQL_TEXT(family), SQL_I64(call->now.wall.s), SQL_TEXT(client_id));
    if (st != ST_OK)
        return st;
    if (r.rows == 0)
        return bad_grant(call, "RFC 6749 5.2", "unknown, over, revoked, or of another client");
    return is_newest(token, ret) ? ST_OK : end_reused(call, ret);
}

/* `family` is decoded in front of 32 fresh bytes; the hash of the text goes into the arena. */
static enum status make_token(struct call *call, struct refresh *r, struct buf *out)
{
    uint8_t secret[SECRET_BYTES], hash[SHA256_LEN];
    struct buf bytes;
    size_t start = out->len;
    enum status st = call->as->env.random(call->as->env.ctx, secret, sizeof secret);

    buf_init(&bytes, TOKEN_BYTES);
    if (st == ST_OK)
        st = base64url_decode(r->family, &bytes, NULL);
    put_bytes(&bytes, span_of(secret, sizeof secret));
    base64url_encode(buf_span(&bytes), out);
    if (st == ST_OK)
        st = buf_ok(out) ? sha256(span_cut(buf_span(out), start, out->len), hash) : ST_NO_MEMORY;
    r->hash = st == ST_OK ? arena_copy(&call->arena, span_of(hash, sizeof hash)) : SPAN_NONE;
    secret_wipe(secret, sizeof secret);
    buf_wipe(&bytes);
    if (st == ST_OK && r->hash.p == NULL)
        st = ST_NO_MEMORY;
    return st == ST_OK ? st : reject(&call->why, st, "as refresh", "a refresh token could not be made", 0);
}

static int64_t end_of(const struct call *call, const struct refresh *r)
{
    const struct as_settings *s = call->as->settings;
    int64_t last = r->created_at + s->refresh_lifetime_s, idle = call->now.wall.s + s->refresh_idle_s;

    return last < idle ? last : idle;
}

/* Room for one more: the ones unused the longest go. Their access tokens live to their end. */
static enum status make_room(struct call *call, struct span client_id)
{
    return sql_run(call->as->sql,
                   "DELETE FROM refresh WHERE family IN (SELECT family FROM refresh WHERE client_id = $1"
                   " ORDER BY used_at DESC, family LIMIT -1 OFFSET $2)",
                   NULL, &call->why, SQL_TEXT(client_id),
                   SQL_I64(call->as->settings->refresh_max_per_client - 1));
}

enum status refresh_begin(struct call *call, struct refresh *r, struct buf *out)
{
    struct buf family;

    buf_init(&family, 64);
    enum status st = as_random_text(call->as, FAMILY_BYTES, &family, &call->why);
    r->family = st == ST_OK ? arena_copy(&call->arena, buf_span(&family)) : SPAN_NONE;
    buf_done(&family);
    if (st == ST_OK && r->family.p == NULL)
        st = reject(&call->why, ST_NO_MEMORY, "as refresh", "out of memory", 0);
    r->created_at = r->used_at = call->now.wall.s;
    r->expires_at = end_of(call, r);
    if (st == ST_OK)
        st = make_room(call, r->client_id);
    if (st == ST_OK)
        st = make_token(call, r, out);
    if (st != ST_OK)
        return st;
    return sql_run(call->as->sql,
                   "INSERT INTO refresh (" COLUMNS
                   ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, 0, $12)",
                   NULL, &call->why, SQL_TEXT(r->family), SQL_BLOB(r->hash), SQL_TEXT(r->client_id),
                   SQL_TEXT(r->rs_id), SQL_TEXT(r->scope), SQL_TEXT_OR_NULL(r->cnf),
                   SQL_TEXT_OR_NULL(r->cnf_kid), SQL_BLOB_OR_NULL(r->cnf_x5t), SQL_TEXT_OR_NULL(r->pop_kid),
                   SQL_TEXT(r->profile), SQL_I64(r->created_at), SQL_I64(r->expires_at));
}

enum status refresh_turn(struct call *call, struct refresh *r, struct buf *out)
{
    int64_t changed = 0;
    struct span old = r->hash;
    enum status st = make_token(call, r, out);

    r->used_at = call->now.wall.s;
    r->expires_at = end_of(call, r);
    if (st == ST_OK)
        st = sql_run(call->as->sql,
                     "UPDATE refresh SET hash = $3, used_at = $4, uses = uses + 1, expires_at = $5"
                     " WHERE family = $1 AND hash = $2",
                     &changed, &call->why, SQL_TEXT(r->family), SQL_BLOB(old), SQL_BLOB(r->hash),
                     SQL_I64(r->used_at), SQL_I64(r->expires_at));
    if (st == ST_OK && changed == 0)
        return bad_grant(call, "RFC 6749 5.2", "the refresh token was used meanwhile");
    return st;
}

enum status refresh_revoke(struct sql *sql, struct span family, struct wall_time now, int64_t *ret_tokens,
                           struct why *why)
{
    int64_t changed = 0;
    enum status st = sql_run(sql, "DELETE FROM refresh WHERE family = $1", &changed, why, SQL_TEXT(family));

    if (st == ST_OK && changed == 0)
        return reject(why, ST_NOT_FOUND, "as refresh", "no such refresh token", 0);
    return st == ST_OK ? token_row_revoke_family(sql, family, now, ret_tokens, why) : st;
}

enum status refresh_forget(struct sql *sql, struct span client_id, struct span rs_id, struct why *why)
{
    if (client_id.len > 0)
        return sql_run(sql, "DELETE FROM refresh WHERE client_id = $1 AND ($2 = '' OR rs_id = $2)", NULL, why,
                       SQL_TEXT(client_id), SQL_TEXT(rs_id));
    return sql_run(sql, "DELETE FROM refresh WHERE rs_id = $1", NULL, why, SQL_TEXT(rs_id));
}

enum status refresh_forget_of_token(struct sql *sql, struct span jti, struct why *why)
{
    return sql_run(sql, "DELETE FROM refresh WHERE family = (SELECT family FROM token WHERE jti = $1)", NULL,
                   why, SQL_TEXT(jti));
}

enum status refresh_give_up(struct call *call, struct span token, struct span client_id)
{
    struct refresh found = { 0 };
    struct read r = { .arena = &call->arena, .refresh = &found };
    struct span family;

    enum status st = family_of(token, &call->arena, &family);
    if (st != ST_OK)
        return st == ST_NO_MEMORY ? reject(&call->why, st, "as refresh", "out of memory", 0) : ST_OK;
    st = sql_query(call->as->sql, "SELECT " COLUMNS " FROM refresh WHERE family = $1", take_row, &r, &call->why,
                   SQL_TEXT(family));
    if (st != ST_OK || r.rows == 0)
        return st;
    if (!span_eq(found.client_id, client_id))
        return reject(&call->why, ST_UNAUTHORIZED_CLIENT, "RFC 7009 2.1",
                      "the token was issued to another client", 0);
    return end_family(call, &found, LOG_NOTICE, "refresh_token_revoked");
}

enum status refresh_purge(struct sql *sql, struct wall_time now, struct why *why)
{
    return sql_run(sql, "DELETE FROM refresh WHERE expires_at <= $1", NULL, why, SQL_I64(now.s));
}

struct walk {
    refresh_fn *fn;
    void *ctx;
};

static enum status give_row(void *ctx, const struct sql_row *row)
{
    struct walk *walk = ctx;
    struct refresh r = borrow(row);

    return walk->fn(walk->ctx, &r);
}

enum status refresh_each(struct sql *sql, struct span client_id, struct span after, struct wall_time now,
                         int64_t limit, refresh_fn *fn, void *ctx, struct why *why)
{
    struct walk walk = { fn, ctx };

    if (client_id.len > 0)
        return sql_query(
            sql,
            "SELECT " COLUMNS " FROM refresh WHERE client_id = $1 AND family > $2 AND expires_at > $3"
            " ORDER BY family LIMIT $4",
            give_row, &walk, why, SQL_TEXT(client_id), SQL_TEXT(after), SQL_I64(now.s), SQL_I64(limit));
    return sql_query(
        sql, "SELECT " COLUMNS " FROM refresh WHERE family > $1 AND expires_at > $2 ORDER BY family LIMIT $3",
        give_row, &walk, why, SQL_TEXT(after), SQL_I64(now.s), SQL_I64(limit));
}
