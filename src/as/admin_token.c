/* Tokens, signing keys, enrolment codes, the audit, and how the server is doing. */
#include "as/admin_priv.h"
#include "as/audit.h"
#include "as/enrollment.h"
#include "as/policy.h"
#include "as/refresh.h"
#include "as/token_row.h"

static enum status put_hex(struct js *obj, const char *name, struct span bytes)
{
    struct buf text;

    buf_init(&text, 256);
    for (size_t i = 0; i < bytes.len; i++)
        put_fmt(&text, "%02x", bytes.p[i]);
    enum status st = buf_ok(&text) ? js_set_str(obj, name, buf_span(&text)) : ST_NO_MEMORY;
    buf_done(&text);
    return st;
}

static enum status token_object(const struct token_row *row, struct js *obj)
{
    enum status st = js_set_str(obj, "jti", row->jti);

    if (st == ST_OK)
        st = js_set_str(obj, "client_id", row->client_id);
    if (st == ST_OK)
        st = js_set_str(obj, "audience", row->audience);
    if (st == ST_OK)
        st = js_set_str(obj, "format", row->format);
    if (st == ST_OK)
        st = admin_set_json(obj, "scope", row->scope);
    if (st == ST_OK)
        st = js_set_i64(obj, "issued_at", row->issued_at);
    if (st == ST_OK)
        st = js_set_i64(obj, "expires_at", row->expires_at);
    if (st == ST_OK)
        st = js_set_str(obj, "status",
                        row->revoked_at != 0   ? SPAN("revoked")
                        : row->changed_at != 0 ? SPAN("changed")
                                               : SPAN("valid"));
    if (st == ST_OK && row->changed_at != 0)
        st = js_set_i64(obj, "changed_at", row->changed_at);
    if (st == ST_OK && row->revoked_at != 0)
        st = js_set_i64(obj, "revoked_at", row->revoked_at);
    if (st == ST_OK && row->family.len > 0)
        st = js_set_str(obj, "family", row->family);
    return st;
}

static enum status take_token(void *ctx, const struct token_row *row)
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    enum status st = token_object(row, obj);

    return st == ST_OK ? admin_list_take(ctx, TAKE(obj), row->jti) : st;
}

enum status admin_token_list(struct admin *a)
{
    struct admin_list list;
    struct span client_id, audience, after;
    enum status st = admin_list_begin(a, &list);

    if (st == ST_OK)
        st = admin_text(a, "client_id", &client_id);
    if (st == ST_OK)
        st = admin_text(a, "audience", &audience);
    if (st == ST_OK)
        st = admin_text(a, "after", &after);
    if (st == ST_OK)
        st = token_row_each(a->as->sql, client_id, audience, after, a->now.wall, list.limit + 1, take_token,
                            &list, &a->why);
    return admin_list_end(&list, "tokens", st);
}

static enum status revoke_one(struct admin *a, struct span jti)
{
    enum status st = token_row_revoke(a->as->sql, jti, a->now.wall, &a->done.revoked, &a->why);

    if (st == ST_OK && a->done.revoked == 0)
        return reject(&a->why, ST_NOT_FOUND, "as tokens", "no such live token", 0);
    return st == ST_OK ? refresh_forget_of_token(a->as->sql, jti, &a->why) : st;
}

/* Of a client or for a resource server. A name that is not there is a mistake somebody should hear of. */
static enum status revoke_all_of(struct admin *a, struct span client_id, struct span rs_id)
{
    const struct status_job job = {
        .cause = "token.revoke", .revoke = true, .client_id = client_id, .rs_id = rs_id
    };
    struct resource_server rs;
    enum status st = ST_OK;

    if (rs_id.len > 0)
        st = registry_rs(a->as->sql, rs_id, &a->arena, &rs, &a->why);
    if (st == ST_OK) /* else new ones would come of it at once */
        st = refresh_forget(a->as->sql, client_id, rs_id, &a->why);
    return st == ST_OK ? admin_review(a, &job) : st;
}

enum status admin_token_revoke(struct admin *a)
{
    struct span jti, client_id, rs_id;
    enum status st = admin_text(a, "jti", &jti);

    if (st == ST_OK)
        st = admin_text(a, "client_id", &client_id);
    if (st == ST_OK)
        st = admin_text(a, "rs_id", &rs_id);
    if (st != ST_OK)
        return st;
    if ((jti.len > 0) == (client_id.len > 0 || rs_id.len > 0))
        return reject(&a->why, ST_MALFORMED, "jti", "give jti, or client_id, rs_id or both", 0);
    a->subject = jti.len > 0 ? jti : client_id.len > 0 ? client_id : rs_id;
    st = jti.len > 0 ? revoke_one(a, jti) : revoke_all_of(a, client_id, rs_id);
    return st == ST_OK ? admin_put_done(a, a->out, true) : st;
}

static enum status key_object(const struct signer_key *key, struct js *obj)
{
    enum status st = js_set_str(obj, "kid", span_of_str(key->kid));

    if (st == ST_OK)
        st = js_set_str(obj, "alg", SPAN("EdDSA"));
    if (st == ST_OK)
        st = js_set_str(obj, "state", key->current ? SPAN("current") : SPAN("retired"));
    if (st == ST_OK)
        st = js_set_i64(obj, "created_at", key->created_at);
    if (st == ST_OK && !key->current)
        st = js_set_i64(obj, "keep_until", key->keep_until);
    return st;
}

static enum status take_key(void *ctx, const struct signer_key *key)
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    enum status st = key_object(key, obj);

    return st == ST_OK ? js_append_take(ctx, TAKE(obj)) : st;
}

enum status admin_keys_list(struct admin *a)
{
    CLEANUP(js_unrefp)
    struct js *keys = js_new_array();
    struct signer *signer = a->as->signer;
    enum status st = signer->ops->each(signer, take_key, keys);

    return st == ST_OK ? js_set_take(a->out, "keys", TAKE(keys)) : st;
}

enum status admin_keys_rotate(struct admin *a)
{
    struct signer *signer = a->as->signer;
    struct wall_time keep_until = a->now.wall;
    struct signer_key key;
    struct js *obj;
    enum status st = token_row_last_end(a->as->sql, a->now.wall, &keep_until, &a->why);

    if (st == ST_OK)
        st = signer->ops->rotate(signer, a->now.wall, keep_until, &key, &a->why);
    if (st != ST_OK)
        return st;
    st = admin_copy(a, span_of_str(key.kid), &a->subject);
    obj = js_new_object();
    if (st == ST_OK)
        st = key_object(&key, obj);
    if (st != ST_OK) {
        js_unref(obj);
        return st;
    }
    return js_set_take(a->out, "key", obj);
}

/* An identifier list is checked when a code is made, not when a device in the field uses it. */
static enum status read_groups(struct admin *a, struct buf *out)
{
    const struct js *groups = js_get(a->in, "groups");
    struct span name;

    if (groups == NULL) {
        put_str(out, "[]");
        return buf_ok(out) ? ST_OK : ST_NO_MEMORY;
    }
    if (!js_is(groups, JS_ARRAY))
        return reject(&a->why, ST_MALFORMED, "groups", "must be an array of names", 0);
    for (size_t i = 0; i < js_size(groups); i++)
        if (!js_as_str(js_at(groups, i), &name) || !id_valid(name))
            return reject(&a->why, ST_BAD_CLIENT_ID, "groups", "a group name is not an identifier", i);
    return js_print(groups, out);
}

static enum status read_code(struct admin *a, struct enrollment *ret)
{
    struct principal p;
    int64_t ttl_s = 0;
    enum status st = admin_text(a, "client_id", &ret->client_id);

    if (st == ST_OK)
        st = admin_text(a, "name", &ret->name);
    if (st == ST_OK)
        st = admin_text(a, "default_audience", &ret->default_audience);
    if (st == ST_OK)
        st = admin_int(a, "ttl_s", ENROLL_TTL_DEFAULT_S, 1, ENROLL_TTL_MAX_S, &ttl_s);
    if (st != ST_OK)
        return st;
    ret->created_at = a->now.wall.s;
    ret->expires_at = a->now.wall.s + ttl_s;
    if (ret->client_id.len == 0)
        return ST_OK;
    if (!id_valid(ret->client_id))
        return reject(&a->why, ST_BAD_CLIENT_ID, "client_id", "not an identifier", 0);
    if (registry_principal(a->as->sql, ret->client_id, &a->arena, &p, NULL) == ST_OK)
        return reject(&a->why, ST_EXISTS, "client_id", "a client or resource server of that name is there", 0);
    return ST_OK;
}

enum status admin_enroll_create(struct admin *a)
{
    struct enrollment wanted = { 0 };
    struct buf groups, code;
    struct span id = SPAN_NONE;
    enum status st = read_code(a, &wanted);

    buf_init(&groups, AS_BODY_MAX);
    buf_init(&code, 128);
    if (st == ST_OK)
        st = read_groups(a, &groups);
    wanted.groups = buf_span(&groups);
    if (st == ST_OK)
        st = enrollment_create(a->as, &wanted, &a->arena, &code, &id, &a->why);
    if (st == ST_OK)
        st = js_set_str(a->out, "code", buf_span(&code));
    if (st == ST_OK)
        st = js_set_str(a->out, "id", id);
    if (st == ST_OK)
        st = js_set_i64(a->out, "expires_at", wanted.expires_at);
    if (st == ST_OK)
        st = js_set_str(a->out, "enroll_uri", span_of_str(a->as->enroll_endpoint));
    a->subject = id;
    buf_done(&groups);
    buf_wipe(&code);
    return st;
}

static enum status code_object(const struct enrollment *code, struct js *obj)
{
    enum status st = js_set_str(obj, "id", code->id);

    if (st == ST_OK && code->client_id.len > 0)
        st = js_set_str(obj, "client_id", code->client_id);
    if (st == ST_OK)
        st = admin_set_json(obj, "groups", code->groups);
    if (st == ST_OK)
        st = js_set_str(obj, "name", code->name);
    if (st == ST_OK)
        st = js_set_i64(obj, "created_at", code->created_at);
    if (st == ST_OK)
        st = js_set_i64(obj, "expires_at", code->expires_at);
    return st;
}

static enum status take_code(void *ctx, const struct enrollment *code)
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    enum status st = code_object(code, obj);

    return st == ST_OK ? admin_list_take(ctx, TAKE(obj), code->id) : st;
}

enum status admin_enroll_list(struct admin *a)
{
    struct admin_list list;
    struct span after;
    enum status st = admin_list_begin(a, &list);

    if (st == ST_OK)
        st = admin_text(a, "after", &after);
    if (st == ST_OK)
        st = enrollment_each(a->as->sql, after, a->now.wall, list.limit + 1, take_code, &list, &a->why);
    return admin_list_end(&list, "codes", st);
}

enum status admin_enroll_remove(struct admin *a)
{
    enum status st = admin_text(a, "id", &a->subject);

    return st == ST_OK ? enrollment_remove(a->as->sql, a->subject, &a->why) : st;
}

static enum status entry_object(const struct audit_entry *e, struct js *obj)
{
    enum status st = js_set_i64(obj, "seq", e->seq);

    if (st == ST_OK)
        st = js_set_i64(obj, "at", e->at);
    if (st == ST_OK)
        st = js_set_str(obj, "actor", e->actor);
    if (st == ST_OK)
        st = js_set_str(obj, "event", e->event);
    if (st == ST_OK)
        st = js_set_str(obj, "subject", e->subject);
    if (st == ST_OK)
        st = js_set_str(obj, "detail", e->detail);
    if (st == ST_OK)
        st = put_hex(obj, "hash", e->hash);
    return st;
}

static enum status take_entry(void *ctx, const struct audit_entry *e)
{
    struct js *obj = js_new_object();
    enum status st = entry_object(e, obj);
    struct buf seq;

    if (st != ST_OK) {
        js_unref(obj);
        return st;
    }
    buf_init(&seq, 32);
    put_fmt(&seq, "%lld", (long long)e->seq);
    st = admin_list_take(ctx, obj, buf_span(&seq));
    buf_done(&seq);
    return st;
}

enum status admin_audit_list(struct admin *a)
{
    struct admin_list list;
    int64_t after = 0;
    enum status st = admin_list_begin(a, &list);

    if (st == ST_OK)
        st = admin_after_number(a, &after);
    if (st == ST_OK)
        st = audit_each(a->as->sql, after, list.limit + 1, take_entry, &list, &a->why);
    return admin_list_end(&list, "entries", st);
}

enum status admin_audit_verify(struct admin *a)
{
    struct audit_head head;
    enum status st = audit_verify(a->as->sql, &head, &a->why);

    if (st == ST_OK)
        st = js_set_i64(a->out, "entries", head.seq);
    return st == ST_OK ? put_hex(a->out, "hash", span_of(head.hash, sizeof head.hash)) : st;
}

static enum status take_current_kid(void *ctx, const struct signer_key *key)
{
    return key->current ? js_set_str(ctx, "signing_kid", span_of_str(key->kid)) : ST_OK;
}

static enum status put_counts(struct admin *a)
{
    struct {
        const char *name;
        int64_t value;
    } counts[] = {
        { "clients", 0 },        { "resource_servers", 0 }, { "policies", 0 }, { "tokens", 0 },
        { "tokens_revoked", 0 }, { "tokens_queued", 0 },    { "codes", 0 },
    };
    struct sql *sql = a->as->sql;
    enum status st = registry_count(sql, PRINCIPAL_CLIENT, &counts[0].value, &a->why);

    if (st == ST_OK)
        st = registry_count(sql, PRINCIPAL_RS, &counts[1].value, &a->why);
    if (st == ST_OK)
        st = policy_count(sql, &counts[2].value, &a->why);
    counts[3].value = a->as->tokens;
    if (st == ST_OK)
        st = token_row_count_revoked(sql, a->now.wall, &counts[4].value, &a->why);
    if (st == ST_OK)
        st = status_work_left(a->as, &counts[5].value, &a->why);
    if (st == ST_OK)
        st = enrollment_count(sql, a->now.wall, &counts[6].value, &a->why);
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(counts); i++)
        st = js_set_i64(a->out, counts[i].name, counts[i].value);
    return st;
}

enum status admin_status(struct admin *a)
{
    struct signer *signer = a->as->signer;
    struct audit_head head;
    enum status st = js_set_str(a->out, "version", SPAN(SYMBOLON_VERSION));

    if (st == ST_OK)
        st = js_set_str(a->out, "issuer", span_of_str(a->as->issuer));
    if (st == ST_OK)
        st = js_set_i64(a->out, "started_at", a->as->started.s);
    if (st == ST_OK)
        st = js_set_i64(a->out, "now", a->now.wall.s);
    if (st == ST_OK)
        st = js_set_bool(a->out, "store_failing", a->as->store_failing);
    if (st == ST_OK)
        st = put_counts(a);
    if (st == ST_OK)
        st = signer->ops->each(signer, take_current_kid, a->out);
    if (st == ST_OK)
        st = audit_head(a->as->sql, &head, &a->why);
    if (st == ST_OK)
        st = js_set_i64(a->out, "audit_seq", head.seq);
    return st == ST_OK ? put_hex(a->out, "audit_hash", span_of(head.hash, sizeof head.hash)) : st;
}
