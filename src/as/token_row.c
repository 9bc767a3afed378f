#include "as/token_row.h"

#include "as/status.h"
#include "codec/base64.h"
#include "crypto/hash.h"
#include "token/ace_cbor.h"

#define TOKEN_BYTES_MAX 65536
#define REVOKED_AT_ONCE 256
#define ROW_BYTES_MAX   ((size_t)256 * 1024) /* of one row, many times over */
#define COLUMNS                                                                                               \
    "jti, hash, client_id, rs_id, audience, format, scope, cnf, pop_kid, cnonce, exi, issued_at, expires_at," \
    " revoked_at, cnf_kid, cnf_x5t, profile, family, in_cbor, trl_hash, changed_at"

enum status token_row_add(struct sql *sql, const struct token_row *row, struct why *why)
{
    return sql_run(
        sql,
        "INSERT INTO token (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, NULL,"
        " $14, $15, $16, $17, $18, $19, NULL)",
        NULL, why, SQL_TEXT(row->jti), SQL_BLOB(row->hash), SQL_TEXT(row->client_id), SQL_TEXT(row->rs_id),
        SQL_TEXT(row->audience), SQL_TEXT(row->format), SQL_TEXT(row->scope), SQL_TEXT_OR_NULL(row->cnf),
        SQL_TEXT_OR_NULL(row->pop_kid), SQL_TEXT_OR_NULL(row->cnonce),
        row->exi_s > 0 ? SQL_I64(row->exi_s) : SQL_NULL, SQL_I64(row->issued_at), SQL_I64(row->expires_at),
        SQL_TEXT_OR_NULL(row->cnf_kid), SQL_BLOB_OR_NULL(row->cnf_x5t), SQL_TEXT(row->profile),
        SQL_TEXT_OR_NULL(row->family), SQL_I64(row->in_cbor), SQL_BLOB_OR_NULL(row->trl_hash));
}

struct read {
    struct arena *arena;
    struct token_row *row;
    int rows;
};

static struct token_row borrow(const struct sql_row *row)
{
    return (struct token_row){
        .jti = sql_bytes(row, 0),
        .hash = sql_bytes(row, 1),
        .client_id = sql_bytes(row, 2),
        .rs_id = sql_bytes(row, 3),
        .audience = sql_bytes(row, 4),
        .format = sql_bytes(row, 5),
        .scope = sql_bytes(row, 6),
        .cnf = sql_bytes(row, 7),
        .pop_kid = sql_bytes(row, 8),
        .cnonce = sql_bytes(row, 9),
        .exi_s = sql_i64(row, 10),
        .issued_at = sql_i64(row, 11),
        .expires_at = sql_i64(row, 12),
        .revoked_at = sql_i64(row, 13),
        .cnf_kid = sql_bytes(row, 14),
        .cnf_x5t = sql_bytes(row, 15),
        .profile = sql_bytes(row, 16),
        .family = sql_bytes(row, 17),
        .in_cbor = sql_i64(row, 18) != 0,
        .trl_hash = sql_bytes(row, 19),
        .changed_at = sql_i64(row, 20),
    };
}

static enum status take_row(void *ctx, const struct sql_row *row)
{
    struct read *r = ctx;
    struct token_row t = borrow(row);
    struct span *texts[] = { &t.jti,     &t.hash,    &t.client_id, &t.rs_id,   &t.audience,
                             &t.format,  &t.scope,   &t.cnf,       &t.pop_kid, &t.cnonce,
                             &t.cnf_kid, &t.cnf_x5t, &t.profile,   &t.family,  &t.trl_hash };

    if (!arena_keep(r->arena, texts, COUNT_OF(texts)))
        return ST_NO_MEMORY;
    *r->row = t;
    r->rows++;
    return ST_OK;
}

enum status token_row_of(struct sql *sql, struct span token, struct wall_time now, struct arena *arena,
                         struct token_row *ret, struct why *why)
{
    struct read r = { .arena = arena, .row = ret };
    uint8_t hash[SHA256_LEN];
    struct buf bytes;

    buf_init(&bytes, TOKEN_BYTES_MAX);
    enum status st = ace_token_bytes(token, &bytes);
    if (st == ST_OK)
        st = sha256(buf_span(&bytes), hash);
    buf_done(&bytes);
    if (st == ST_OK)
        st = sql_query(
            sql, "SELECT " COLUMNS " FROM token WHERE hash = $1 AND expires_at > $2 AND revoked_at IS NULL",
            take_row, &r, why, SQL_BLOB(span_of(hash, sizeof hash)), SQL_I64(now.s));
    if (st == ST_OK && r.rows == 0)
        return reject(why, ST_NOT_FOUND, "as tokens", "unknown, revoked or over", 0);
    return st;
}

static enum status take_i64(void *ctx, const struct sql_row *row)
{
    *(int64_t *)ctx = sql_i64(row, 0);
    return ST_OK;
}

enum status token_row_has_pop_kid(struct sql *sql, struct span kid, struct span client_id, struct span rs_id,
                                  struct wall_time now, bool *ret, struct why *why)
{
    int64_t found = 0;
    enum status st =
        sql_query(sql,
                  "SELECT 1 FROM token WHERE client_id = $1 AND pop_kid = $2 AND rs_id = $3 AND expires_at > $4"
                  " AND revoked_at IS NULL LIMIT 1",
                  take_i64, &found, why, SQL_TEXT(client_id), SQL_TEXT(kid), SQL_TEXT(rs_id), SQL_I64(now.s));

    *ret = found != 0;
    return st;
}

static enum status take_cnf(void *ctx, const struct sql_row *row)
{
    struct read *r = ctx;

    r->rows++;
    r->row->cnf = arena_copy(r->arena, sql_bytes(row, 0));
    return r->row->cnf.p != NULL ? ST_OK : ST_NO_MEMORY;
}

enum status token_row_cnf_of_kid(struct sql *sql, struct span kid, struct span client_id, struct wall_time now,
                                 struct arena *arena, struct span *ret_jwk, struct why *why)
{
    struct token_row row = { 0 };
    struct read r = { .arena = arena, .row = &row };
    enum status st = sql_query(sql,
                               "SELECT cnf FROM token WHERE client_id = $1 AND cnf_kid = $2 AND cnf IS NOT NULL"
                               " AND expires_at > $3 AND revoked_at IS NULL ORDER BY issued_at DESC LIMIT 1",
                               take_cnf, &r, why, SQL_TEXT(client_id), SQL_TEXT(kid), SQL_I64(now.s));

    *ret_jwk = row.cnf;
    return st;
}

struct several {
    struct arena *arena;
    struct token_row *rows;
    size_t count, max;
};

static enum status take_several(void *ctx, const struct sql_row *row)
{
    struct several *s = ctx;
    struct read r = { .arena = s->arena, .row = &s->rows[s->count] };

    ASSERT(s->count < s->max);
    s->count++;
    return take_row(&r, row);
}

enum status token_row_slice(struct sql *sql, struct span client_id, struct span rs_id, int64_t limit,
                            struct arena *arena, struct token_place *place, struct token_row *ret_rows,
                            size_t *ret_count, struct why *why)
{
    struct several s = { .arena = arena, .rows = ret_rows, .max = (size_t)limit };
    enum status st =
        client_id.len > 0
            ? sql_query(sql,
                        "SELECT " COLUMNS " FROM token WHERE client_id = $1 AND jti > $2 ORDER BY jti LIMIT $3",
                        take_several, &s, why, SQL_TEXT(client_id), SQL_TEXT(place->jti), SQL_I64(limit))
            : sql_query(sql,
                        "SELECT " COLUMNS " FROM token WHERE rs_id = $1 AND (issued_at, jti) > ($2, $3)"
                        " ORDER BY issued_at, jti LIMIT $4",
                        take_several, &s, why, SQL_TEXT(rs_id), SQL_I64(place->issued_at), SQL_TEXT(place->jti),
                        SQL_I64(limit));

    *ret_count = s.count;
    if (st == ST_OK && s.count > 0) {
        const struct token_row *last = &ret_rows[s.count - 1];
        *place = (struct token_place){ client_id.len > 0 ? 0 : last->issued_at, last->jti };
    }
    return st;
}

enum status token_row_count_slice(struct sql *sql, struct span client_id, struct span rs_id,
                                  const struct token_place *place, int64_t limit, int64_t *ret, struct why *why)
{
    if (client_id.len > 0)
        return sql_query(sql,
                         "SELECT COUNT(*) FROM (SELECT 1 FROM token WHERE client_id = $1 AND jti > $2 LIMIT $3)"
                         " AS left_over",
                         take_i64, ret, why, SQL_TEXT(client_id), SQL_TEXT(place->jti), SQL_I64(limit));
    return sql_query(
        sql,
        "SELECT COUNT(*) FROM (SELECT 1 FROM token WHERE rs_id = $1 AND (issued_at, jti) > ($2, $3)"
        " LIMIT $4) AS left_over",
        take_i64, ret, why, SQL_TEXT(rs_id), SQL_I64(place->issued_at), SQL_TEXT(place->jti), SQL_I64(limit));
}

enum status token_row_last_issued(struct sql *sql, struct span client_id, struct span rs_id,
                                  struct wall_time *ret, struct why *why)
{
    return client_id.len > 0
               ? sql_query(sql, "SELECT COALESCE(MAX(issued_at), 0) FROM token WHERE client_id = $1", take_i64,
                           &ret->s, why, SQL_TEXT(client_id))
               : sql_query(sql, "SELECT COALESCE(MAX(issued_at), 0) FROM token WHERE rs_id = $1", take_i64,
                           &ret->s, why, SQL_TEXT(rs_id));
}

enum status token_row_revoke_read(struct sql *sql, struct status_update *update, const struct token_row *row,
                                  struct wall_time now, struct why *why)
{
    enum status st = sql_run(sql, "UPDATE token SET revoked_at = $2 WHERE jti = $1", NULL, why,
                             SQL_TEXT(row->jti), SQL_I64(now.s));

    return st == ST_OK ? status_tell(sql, update, row, STATUS_REVOKED, row->expires_at, why) : st;
}

enum status token_row_narrow(struct sql *sql, struct status_update *update, const struct token_row *row,
                             struct span scope, struct wall_time now, struct why *why)
{
    enum status st = sql_run(sql, "UPDATE token SET scope = $2, changed_at = $3 WHERE jti = $1", NULL, why,
                             SQL_TEXT(row->jti), SQL_TEXT(scope), SQL_I64(now.s));

    return st == ST_OK ? status_tell(sql, update, row, STATUS_CHANGED, row->expires_at, why) : st;
}

/* Those that `text` finds ($1 `name`, $2 now, $3 how many), until it finds none. */
static enum status revoke_all(struct sql *sql, const char *text, struct span name, struct wall_time now,
                              int64_t *ret_count, struct why *why)
{
    struct status_update update = { 0 };
    struct token_row rows[REVOKED_AT_ONCE];
    enum status st = ST_OK;

    *ret_count = 0;
    for (size_t found = COUNT_OF(rows); st == ST_OK && found == COUNT_OF(rows);) {
        CLEANUP(arena_done)
        struct arena arena;
        arena_init(&arena, REVOKED_AT_ONCE * ROW_BYTES_MAX);
        struct several s = { .arena = &arena, .rows = rows, .max = COUNT_OF(rows) };
        st = sql_query(sql, text, take_several, &s, why, SQL_TEXT(name), SQL_I64(now.s),
                       SQL_I64(COUNT_OF(rows)));
        found = s.count;
        for (size_t i = 0; st == ST_OK && i < found; i++)
            st = token_row_revoke_read(sql, &update, &rows[i], now, why);
        *ret_count += (int64_t)found;
    }
    return st;
}

enum status token_row_revoke(struct sql *sql, struct span jti, struct wall_time now, int64_t *ret_count,
                             struct why *why)
{
    return revoke_all(
        sql, "SELECT " COLUMNS " FROM token WHERE jti = $1 AND revoked_at IS NULL AND expires_at > $2 LIMIT $3",
        jti, now, ret_count, why);
}

enum status token_row_revoke_family(struct sql *sql, struct span family, struct wall_time now,
                                    int64_t *ret_count, struct why *why)
{
    return revoke_all(sql,
                      "SELECT " COLUMNS
                      " FROM token WHERE family = $1 AND revoked_at IS NULL AND expires_at > $2 LIMIT $3",
                      family, now, ret_count, why);
}

bool token_row_trl_hash(struct span bytes, bool cwt, bool in_cbor, uint8_t *hash)
{
    struct buf text;

    if (!cwt && !in_cbor)
        return false;
    buf_init(&text, TOKEN_BYTES_MAX * 2);
    base64url_encode(bytes, &text);
    bool ok = buf_ok(&text) && sha256(buf_span(&text), hash) == ST_OK;
    buf_done(&text);
    return ok;
}

enum status token_row_count(struct sql *sql, int64_t *ret, struct why *why)
{
    return sql_query(sql, "SELECT COUNT(*) FROM token", take_i64, ret, why);
}

enum status token_row_count_revoked(struct sql *sql, struct wall_time now, int64_t *ret, struct why *why)
{
    return sql_query(sql, "SELECT COUNT(*) FROM token WHERE revoked_at IS NOT NULL AND expires_at > $1",
                     take_i64, ret, why, SQL_I64(now.s));
}

enum status token_row_count_client(struct sql *sql, struct span client_id, struct wall_time now, int64_t limit,
                                   int64_t *ret, struct why *why)
{
    return sql_query(sql,
                     "SELECT COUNT(*) FROM (SELECT 1 FROM token WHERE client_id = $1 AND expires_at > $2"
                     " AND revoked_at IS NULL LIMIT $3) AS live",
                     take_i64, ret, why, SQL_TEXT(client_id), SQL_I64(now.s), SQL_I64(limit));
}

enum status token_row_count_kept(struct sql *sql, struct span client_id, int64_t limit, int64_t *ret,
                                 struct why *why)
{
    return sql_query(sql, "SELECT COUNT(*) FROM (SELECT 1 FROM token WHERE client_id = $1 LIMIT $2) AS kept",
                     take_i64, ret, why, SQL_TEXT(client_id), SQL_I64(limit));
}

enum status token_row_last_end(struct sql *sql, struct wall_time now, struct wall_time *ret, struct why *why)
{
    return sql_query(sql, "SELECT COALESCE(MAX(expires_at), $1) FROM token WHERE expires_at > $1", take_i64,
                     &ret->s, why, SQL_I64(now.s));
}

static enum status end_revoked(struct sql *sql, struct token_row *rows, size_t count, struct wall_time now,
                               struct why *why)
{
    struct status_update update = { 0 };
    enum status st = sql_begin(sql, why);

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        st = status_tell(sql, &update, &rows[i], STATUS_OVER, now.s + STATUS_OVER_KEEP_S, why);
        if (st == ST_OK)
            st = sql_run(sql, "DELETE FROM token WHERE jti = $1", NULL, why, SQL_TEXT(rows[i].jti));
    }
    if (st == ST_OK)
        st = sql_commit(sql, why);
    if (st != ST_OK)
        sql_rollback(sql);
    return st;
}

enum status token_row_purge(struct sql *sql, struct wall_time now, int64_t *ret_count, bool *ret_more,
                            struct why *why)
{
    CLEANUP(arena_done)
    struct arena arena;
    struct token_row rows[REVOKED_AT_ONCE];

    arena_init(&arena, REVOKED_AT_ONCE * ROW_BYTES_MAX);
    struct several s = { .arena = &arena, .rows = rows, .max = COUNT_OF(rows) };
    enum status st = sql_query(
        sql, "SELECT " COLUMNS " FROM token WHERE revoked_at IS NOT NULL AND expires_at <= $1 LIMIT $2",
        take_several, &s, why, SQL_I64(now.s), SQL_I64(COUNT_OF(rows)));
    *ret_more = s.count == COUNT_OF(rows);
    *ret_count = 0;
    if (st == ST_OK && s.count > 0)
        st = end_revoked(sql, rows, s.count, now, why);
    if (st == ST_OK)
        st = sql_run(sql, "DELETE FROM token WHERE revoked_at IS NULL AND expires_at <= $1", ret_count, why,
                     SQL_I64(now.s));
    *ret_count += st == ST_OK ? (int64_t)s.count : 0;
    return st;
}

struct walk {
    token_row_fn *fn;
    void *ctx;
};

static enum status give_row(void *ctx, const struct sql_row *row)
{
    struct walk *walk = ctx;
    struct token_row t = borrow(row);

    return walk->fn(walk->ctx, &t);
}

enum status token_row_each(struct sql *sql, struct span client_id, struct span audience, struct span after,
                           struct wall_time now, int64_t limit, token_row_fn *fn, void *ctx, struct why *why)
{
    struct walk walk = { fn, ctx };

    /* Two texts, so that the list of one client walks its index. */
    if (client_id.len > 0)
        return sql_query(sql,
                         "SELECT " COLUMNS " FROM token WHERE client_id = $1 AND jti > $2 AND expires_at > $3"
                         " AND ($4 = '' OR audience = $4) ORDER BY jti LIMIT $5",
                         give_row, &walk, why, SQL_TEXT(client_id), SQL_TEXT(after), SQL_I64(now.s),
                         SQL_TEXT(audience), SQL_I64(limit));
    return sql_query(sql,
                     "SELECT " COLUMNS " FROM token WHERE jti > $1 AND expires_at > $2"
                     " AND ($3 = '' OR audience = $3) ORDER BY jti LIMIT $4",
                     give_row, &walk, why, SQL_TEXT(after), SQL_I64(now.s), SQL_TEXT(audience), SQL_I64(limit));
}
