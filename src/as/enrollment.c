/* POST /enroll {code, client_id?, jwk, proof}: `proof` is a JWT of type req-cnf+jwt signed with the key in `jwk`
 * (aud: the issuer or this endpoint; client_id, if the request or the code has one). */
#include "as/enrollment.h"

#include "as/audit.h"
#include "as/params.h"
#include "as/registry.h"
#include "jose/jwk.h"
#include "token/assertion.h"

#define SKEW_S          30
#define CODE_ID_HEX     16
#define NEW_ID_BYTES    12
#define CODE_FAILED_MAX 10 /* wrong codes per minute and address */

static void put_hex(struct buf *b, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        put_fmt(b, "%02x", p[i]);
}

enum status enrollment_create(struct as *as, const struct enrollment *wanted, struct arena *arena,
                              struct buf *code, struct span *ret_id, struct why *why)
{
    uint8_t hash[SHA256_LEN];
    struct buf id;
    int64_t codes = 0;
    enum status st = enrollment_count(as->sql, (struct wall_time){ wanted->created_at }, &codes, why);

    if (st == ST_OK && codes >= ENROLL_CODES_MAX)
        return reject(why, ST_QUOTA, "as enrollment", "too many open codes", 0);
    if (st == ST_OK)
        st = as_random_text(as, SECRET_BYTES, code, why);
    if (st == ST_OK && sha256(buf_span(code), hash) != ST_OK)
        st = reject(why, ST_INTERNAL, "as enrollment", "the code could not be hashed", 0);
    if (st != ST_OK)
        return st;
    buf_init(&id, CODE_ID_HEX + 1);
    put_hex(&id, hash, CODE_ID_HEX / 2);
    *ret_id = arena_copy(arena, buf_span(&id));
    buf_done(&id);
    if (ret_id->p == NULL)
        return reject(why, ST_NO_MEMORY, "as enrollment", "out of memory", 0);
    return sql_run(
        as->sql,
        "INSERT INTO enrollment (id, code_hash, client_id, groups, name, default_audience, created_at,"
        " expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        NULL, why, SQL_TEXT(*ret_id), SQL_BLOB(span_of(hash, sizeof hash)), SQL_TEXT_OR_NULL(wanted->client_id),
        SQL_TEXT(wanted->groups), SQL_TEXT(wanted->name), SQL_TEXT_OR_NULL(wanted->default_audience),
        SQL_I64(wanted->created_at), SQL_I64(wanted->expires_at));
}

enum status enrollment_remove(struct sql *sql, struct span id, struct why *why)
{
    int64_t changed = 0;
    enum status st = sql_run(sql, "DELETE FROM enrollment WHERE id = $1", &changed, why, SQL_TEXT(id));

    if (st == ST_OK && changed == 0)
        return reject(why, ST_NOT_FOUND, "as enrollment", "no such code", 0);
    return st;
}

static enum status take_i64(void *ctx, const struct sql_row *row)
{
    *(int64_t *)ctx = sql_i64(row, 0);
    return ST_OK;
}

enum status enrollment_count(struct sql *sql, struct wall_time now, int64_t *ret, struct why *why)
{
    return sql_query(sql, "SELECT COUNT(*) FROM enrollment WHERE expires_at > $1", take_i64, ret, why,
                     SQL_I64(now.s));
}

#define COLUMNS "id, client_id, groups, name, default_audience, created_at, expires_at FROM enrollment"

static struct enrollment borrow(const struct sql_row *row)
{
    return (struct enrollment){
        .id = sql_bytes(row, 0),
        .client_id = sql_bytes(row, 1),
        .groups = sql_bytes(row, 2),
        .name = sql_bytes(row, 3),
        .default_audience = sql_bytes(row, 4),
        .created_at = sql_i64(row, 5),
        .expires_at = sql_i64(row, 6),
    };
}

struct walk {
    enrollment_fn *fn;
    void *ctx;
};

static enum status give_code(void *ctx, const struct sql_row *row)
{
    struct walk *walk = ctx;
    struct enrollment e = borrow(row);

    return walk->fn(walk->ctx, &e);
}

enum status enrollment_each(struct sql *sql, struct span after, struct wall_time now, int64_t limit,
                            enrollment_fn *fn, void *ctx, struct why *why)
{
    struct walk walk = { fn, ctx };

    return sql_query(sql, "SELECT " COLUMNS " WHERE id > $1 AND expires_at > $2 ORDER BY id LIMIT $3",
                     give_code, &walk, why, SQL_TEXT(after), SQL_I64(now.s), SQL_I64(limit));
}

struct take {
    struct arena *arena;
    struct enrollment *code;
    bool found;
};

static enum status take_code(void *ctx, const struct sql_row *row)
{
    struct take *take = ctx;
    struct enrollment e = borrow(row);
    struct span *texts[] = { &e.id, &e.client_id, &e.groups, &e.name, &e.default_audience };

    if (!arena_keep(take->arena, texts, COUNT_OF(texts)))
        return ST_NO_MEMORY;
    *take->code = e;
    take->found = true;
    return ST_OK;
}

/* One answer for wrong, used and over: nothing can be learnt by trying. */
static enum status find_code(struct call *call, struct span code, struct enrollment *ret)
{
    struct take take = { &call->arena, ret, false };
    struct throttle *throttle = &call->as->throttle;
    uint8_t hash[SHA256_LEN];
    struct buf who; /* apart from failed client authentications of the same address */

    buf_init(&who, ID_MAX);
    put_str(&who, "enroll ");
    put_bytes(&who, call->request->peer);
    struct span peer = buf_ok(&who) ? arena_copy(&call->arena, buf_span(&who)) : call->request->peer;
    buf_done(&who);
    call->out->retry_after_s = throttle_wait_s(throttle, peer, CODE_FAILED_MAX, call->now.mono);
    if (call->out->retry_after_s > 0)
        return reject(&call->why, ST_QUOTA, "as enrollment", "too many wrong codes from this address", 0);
    enum status st = sha256(code, hash);
    if (st == ST_OK)
        st = sql_query(call->as->sql, "SELECT " COLUMNS " WHERE code_hash = $1 AND expires_at > $2", take_code,
                       &take, &call->why, SQL_BLOB(span_of(hash, sizeof hash)), SQL_I64(call->now.wall.s));
    if (st == ST_OK && !take.found) {
        throttle_failed(throttle, peer, call->now.mono);
        return reject(&call->why, ST_BAD_GRANT, "as enrollment", "the code is wrong, used or over", 0);
    }
    return st;
}

/* A code that fixes no client_id must not take the one another code was made for: rules and topics of that name belong to
 * somebody else. */
static enum status check_not_reserved(struct call *call, struct span wanted)
{
    int64_t found = 0;
    enum status st =
        sql_query(call->as->sql, "SELECT 1 FROM enrollment WHERE client_id = $1 AND expires_at > $2 LIMIT 1",
                  take_i64, &found, &call->why, SQL_TEXT(wanted), SQL_I64(call->now.wall.s));

    if (st == ST_OK && found != 0)
        return reject(&call->why, ST_BAD_GRANT, "as enrollment", "this client_id is kept for another code", 0);
    return st;
}

static enum status choose_client_id(struct call *call, const struct enrollment *code, struct span wanted,
                                    struct span *ret)
{
    struct buf id;

    if (code->client_id.len > 0 && wanted.len > 0 && !span_eq(code->client_id, wanted))
        return reject(&call->why, ST_BAD_GRANT, "as enrollment", "the code is for another client_id", 0);
    *ret = code->client_id.len > 0 ? code->client_id : wanted;
    if (ret->len > 0)
        return code->client_id.len > 0 ? ST_OK : check_not_reserved(call, wanted);
    buf_init(&id, ID_MAX);
    put_str(&id, "dev-");
    enum status st = as_random_text(call->as, NEW_ID_BYTES, &id, &call->why);
    *ret = st == ST_OK ? arena_copy(&call->arena, buf_span(&id)) : SPAN_NONE;
    buf_done(&id);
    return st != ST_OK || ret->p != NULL
               ? st
               : reject(&call->why, ST_NO_MEMORY, "as enrollment", "out of memory", 0);
}

static enum status check_key(struct call *call, const struct js *params, struct span client_id,
                             struct buf *ret_jwk)
{
    CLEANUP(js_unrefp)
    struct js *clean = NULL;
    const struct span auds[] = { span_of_str(call->as->issuer), span_of_str(call->as->enroll_endpoint) };
    const struct assertion_expected expected = {
        .typ = ASSERTION_TYP_REQ_CNF,
        .client_id = client_id,
        .auds = auds,
        .n_auds = COUNT_OF(auds),
        .max_age_s = (uint32_t)call->as->settings->auth_proof_max_age_s,
        .skew_s = SKEW_S,
    };
    struct assertion assertion;
    struct jwk jwk = { 0 };
    struct span proof;
    enum status st = params_text(params, "proof", &proof, &call->why);

    if (st == ST_OK && (proof.len == 0 || js_get(params, "jwk") == NULL))
        return reject(&call->why, ST_MALFORMED, "as enrollment", "jwk and proof are both needed", 0);
    if (st == ST_OK)
        st = jwk_parse(js_get(params, "jwk"), JWK_PUBLIC, &jwk, &call->why);
    if (st == ST_OK)
        st = assertion_check(proof, jwk.key, &expected, call->now.wall, &assertion, &call->why);
    if (st == ST_BAD_CREDENTIAL) /* the reason stays; the requester is not a client yet */
        st = ST_BAD_GRANT;
    if (st == ST_OK)
        st = jwk_print(jwk.key, jwk.kid, NULL, false, &clean);
    if (st == ST_OK)
        st = js_print(clean, ret_jwk);
    jwk_done(&jwk);
    return st;
}

/* The code is used up in the same transaction that registers the client. */
static enum status register_client(struct call *call, const struct enrollment *code,
                                   const struct principal *client, const struct js *groups,
                                   const struct audit_entry *entry)
{
    struct sql *sql = call->as->sql;
    struct audit_head head;
    enum status st = sql_begin(sql, &call->why);

    if (st != ST_OK)
        return st;
    st = enrollment_remove(sql, code->id, &call->why);
    if (st == ST_OK)
        st = registry_add_principal(sql, client, &call->why);
    if (st == ST_OK)
        st = registry_set_groups(sql, client->id, groups, &call->why);
    if (st == ST_OK)
        st = audit_append(sql, entry, &head, &call->why);
    if (st == ST_OK)
        st = sql_commit(sql, &call->why);
    if (st == ST_OK)
        audit_log(entry, &head);
    else
        sql_rollback(sql);
    return st;
}

static enum status enrol(struct call *call, const struct enrollment *code, struct span client_id,
                         struct span jwk)
{
    CLEANUP(js_unrefp)
    struct js *groups = NULL;
    struct buf detail;
    const struct principal client = {
        .kind = PRINCIPAL_CLIENT,
        .id = client_id,
        .name = code->name,
        .jwk = jwk,
        .default_audience = code->default_audience,
        .created_at = call->now.wall.s,
    };
    struct audit_entry entry = {
        .at = call->now.wall.s, .actor = SPAN("enroll"), .event = SPAN("client.enrolled"), .subject = client_id
    };
    enum status st = js_parse(code->groups, AS_BODY_MAX, &groups, &call->why);

    buf_init(&detail, 128);
    put_fmt(&detail, "{\"code\":\"%.*s\"}", SPAN_FMT(code->id)); /* hex digits: nothing to escape */
    entry.detail = buf_span(&detail);
    if (st == ST_OK)
        st = register_client(call, code, &client, groups, &entry);
    buf_done(&detail);
    return st;
}

static enum status answer(struct call *call, struct span client_id)
{
    CLEANUP(js_unrefp)
    struct js *body = js_new_object();
    enum status st = js_set_str(body, "client_id", client_id);

    if (st == ST_OK)
        st = js_set_str(body, "issuer", span_of_str(call->as->issuer));
    if (st == ST_OK)
        st = js_set_str(body, "token_endpoint", span_of_str(call->as->token_endpoint));
    if (st == ST_OK)
        st = js_set_str(body, "token_endpoint_auth_method", SPAN("private_key_jwt"));
    if (st != ST_OK)
        return reject(&call->why, st, "as enrollment", "the answer cannot be printed", 0);
    return call_reply(call, 201, body);
}

enum status enroll_call(struct call *call)
{
    CLEANUP(js_unrefp)
    struct js *params = NULL;
    struct enrollment code = { 0 };
    struct span text, wanted, client_id = SPAN_NONE;
    struct buf jwk;
    enum status st = params_parse(call->request->content_type, call->request->body, &params, &call->why);

    if (st == ST_OK)
        st = params_text(params, "code", &text, &call->why);
    if (st == ST_OK)
        st = params_text(params, "client_id", &wanted, &call->why);
    if (st != ST_OK)
        return st;
    if (text.len == 0)
        return reject(&call->why, ST_MALFORMED, "as enrollment", "code is missing", 0);
    st = find_code(call, text, &code);
    if (st == ST_OK)
        st = choose_client_id(call, &code, wanted, &client_id);
    buf_init(&jwk, AS_BODY_MAX);
    if (st == ST_OK) /* who did not name a client_id may not know it yet: the code says who it is for */
        st = check_key(call, params, wanted.len > 0 ? client_id : SPAN_NONE, &jwk);
    if (st == ST_OK)
        st = enrol(call, &code, client_id, buf_span(&jwk));
    buf_done(&jwk);
    if (st == ST_OK) {
        call->client_id = client_id;
        st = answer(call, client_id);
    }
    return st;
}
