#include "as/admin_priv.h"
#include "as/name_set.h"
#include "as/token_row.h"
#include "crypto/x509.h"
#include "jose/jwk.h"
#include "token/ace_cbor.h"
#include "token/claims.h"

#define AUDIENCE_MAX   1024
#define RS_KEY_LEN     32 /* A256KW */
#define LIFETIME_MIN_S 10
#define LIFETIME_MAX_S 2592000

static enum status put_rs_cnf(struct js *obj, const struct resource_server *rs)
{
    CLEANUP(js_unrefp)
    struct js *cnf = NULL;
    enum status st = ST_OK;

    if (rs->rs_jwk.len == 0 && rs->rs_x5t.len == 0)
        return ST_OK;
    cnf = js_new_object();
    if (rs->rs_jwk.len > 0)
        st = admin_set_json(cnf, "jwk", rs->rs_jwk);
    if (st == ST_OK && rs->rs_x5t.len > 0)
        st = admin_set_base64url(cnf, "x5t#S256", rs->rs_x5t);
    return st == ST_OK ? js_set_take(obj, "rs_cnf", TAKE(cnf)) : st;
}

static enum status put_kinds(struct js *obj, const struct resource_server *rs)
{
    enum status st = js_set_str(obj, "token_format", span_of_str(rs_format_name(rs->format)));

    if (st == ST_OK)
        st = js_set_str(obj, "protection", span_of_str(rs_protection_name(rs->protection)));
    if (st == ST_OK)
        st = js_set_take(obj, "pop_keys", name_set_to_js(pop_kind_name, rs->pop_keys));
    if (st == ST_OK)
        st = js_set_take(obj, "profiles", name_set_to_js(ace_profile_name, rs->profiles));
    return st == ST_OK ? js_set_bool(obj, "refresh", rs->refresh) : st;
}

static enum status put_rs(struct admin *a, const struct resource_server *rs, struct js *obj)
{
    struct principal p;
    enum status st = registry_principal(a->as->sql, rs->id, &a->arena, &p, &a->why);

    if (st == ST_OK)
        st = js_set_str(obj, "rs_id", rs->id);
    if (st == ST_OK)
        st = js_set_str(obj, "audience", rs->audience);
    if (st == ST_OK)
        st = put_kinds(obj, rs);
    if (st == ST_OK)
        st = js_set_i64(obj, "lifetime_s", rs->lifetime_s);
    if (st == ST_OK)
        st = js_set_bool(obj, "exi", rs->exi);
    if (st == ST_OK)
        st = admin_set_auth(obj, &p);
    if (st == ST_OK)
        st = js_set_bool(obj, "has_key", rs->secret_key.len > 0);
    if (st == ST_OK)
        st = put_rs_cnf(obj, rs);
    if (st == ST_OK)
        st = js_set_i64(obj, "created_at", p.created_at);
    return st;
}

static enum status rs_object(struct admin *a, struct span id, struct js **ret_obj)
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    struct resource_server rs;
    enum status st = registry_rs(a->as->sql, id, &a->arena, &rs, &a->why);

    if (st == ST_OK)
        st = put_rs(a, &rs, obj);
    if (st == ST_OK)
        *ret_obj = TAKE(obj);
    return st;
}

static enum status answer_rs(struct admin *a, struct span id)
{
    struct js *obj;
    enum status st = rs_object(a, id, &obj);

    return st == ST_OK ? js_set_take(a->out, "rs", obj) : st;
}

static enum status named_rs(struct admin *a, struct resource_server *ret)
{
    enum status st = admin_text(a, "rs_id", &a->subject);

    return st == ST_OK ? registry_rs(a->as->sql, a->subject, &a->arena, ret, &a->why) : st;
}

/* The key AS and RS share: its bytes and kid into the arena, its JWK into the answer. */
static enum status generate_key(struct admin *a, struct resource_server *rs)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    char kid[JWK_THUMBPRINT_TEXT];
    struct js *jwk = NULL;
    enum status st = key_generate(KEY_SECRET, &key);

    if (st == ST_OK)
        st = jwk_thumbprint_text(key, kid);
    if (st == ST_OK)
        st = jwk_print(key, span_of_str(kid), "A256KW", false, &jwk);
    if (st == ST_OK)
        st = js_set_take(a->out, "key", jwk);
    if (st != ST_OK)
        return reject(&a->why, st, "key", "a key could not be made", 0);
    st = admin_copy(a, key_secret(key), &rs->secret_key);
    return st == ST_OK ? admin_copy(a, span_of_str(kid), &rs->secret_kid) : st;
}

static enum status take_key(struct admin *a, struct resource_server *rs)
{
    const struct js *value = js_get(a->in, "key");
    char thumbprint[JWK_THUMBPRINT_TEXT];
    struct jwk jwk = { 0 };
    struct span text;

    if (value == NULL)
        return ST_OK;
    if (js_as_str(value, &text)) {
        if (!span_eq_str(text, "generate"))
            return reject(&a->why, ST_MALFORMED, "key", "must be an oct JWK or the word generate", 0);
        return generate_key(a, rs);
    }
    enum status st = jwk_parse(value, JWK_SECRET, &jwk, &a->why);
    if (st == ST_OK && key_secret(jwk.key).len != RS_KEY_LEN)
        st = reject(&a->why, ST_BAD_POP_KEY, "key", "the key must have 32 bytes (A256KW)", 0);
    if (st == ST_OK)
        st = admin_copy(a, key_secret(jwk.key), &rs->secret_key);
    if (st == ST_OK)
        st = jwk_thumbprint_text(jwk.key, thumbprint);
    if (st == ST_OK)
        st = admin_copy(a, jwk.kid.len > 0 ? jwk.kid : span_of_str(thumbprint), &rs->secret_kid);
    jwk_done(&jwk);
    return st;
}

/* rs_cnf from a certificate (thumbprint, and its key if we speak its kind) or from a key. */
static enum status take_rs_cnf(struct admin *a, struct resource_server *rs)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(js_unrefp)
    struct js *jwk = NULL;
    struct span pem;
    struct buf text;
    enum status st = admin_text(a, "certificate", &pem);

    if (st != ST_OK)
        return st;
    if (pem.len > 0 && admin_has(a, "rs_jwk"))
        return reject(&a->why, ST_MALFORMED, "rs_jwk", "give the certificate or the key, not both", 0);
    if (admin_has(a, "rs_jwk")) {
        rs->rs_x5t = SPAN_NONE;
        return admin_jwk(a, "rs_jwk", &rs->rs_jwk);
    }
    if (!admin_has(a, "certificate"))
        return ST_OK;
    rs->rs_jwk = SPAN_NONE;
    st = admin_x5t(a, &rs->rs_x5t);
    if (st != ST_OK || pem.len == 0 || x509_public_key(pem, &key, NULL) != ST_OK)
        return st;
    buf_init(&text, AS_BODY_MAX);
    st = jwk_print(key, SPAN_NONE, NULL, false, &jwk);
    if (st == ST_OK)
        st = js_print(jwk, &text);
    if (st == ST_OK)
        st = admin_copy(a, buf_span(&text), &rs->rs_jwk);
    buf_done(&text);
    return st;
}

/* One name out of a kind; absent: stays. */
static enum status take_name(struct admin *a, const char *member, name_fn *kind, unsigned *number)
{
    struct span name;
    enum status st = admin_text(a, member, &name);

    if (st == ST_OK && name.len > 0 && !name_number(kind, name, number))
        return reject(&a->why, ST_MALFORMED, member, "a name that is not known here", 0);
    return st;
}

static enum status take_set(struct admin *a, const char *member, name_fn *kind, unsigned *set)
{
    if (!admin_has(a, member))
        return ST_OK;
    enum status st = name_set_from_js(kind, js_get(a->in, member), member, set, &a->why);
    if (st == ST_OK && *set == 0)
        return reject(&a->why, ST_MALFORMED, member, "must name at least one", 0);
    return st;
}

static enum status take_kinds(struct admin *a, struct resource_server *rs)
{
    unsigned format = rs->format, protection = rs->protection;
    enum status st = take_name(a, "token_format", rs_format_name, &format);

    if (st == ST_OK)
        st = take_name(a, "protection", rs_protection_name, &protection);
    if (st == ST_OK)
        st = take_set(a, "pop_keys", pop_kind_name, &rs->pop_keys);
    if (st == ST_OK)
        st = take_set(a, "profiles", ace_profile_name, &rs->profiles);
    if (st == ST_OK)
        st = admin_bool(a, "refresh", rs->refresh, &rs->refresh);
    rs->format = (enum rs_format)format;
    rs->protection = (enum rs_protection)protection;
    return st;
}

static enum status take_settings(struct admin *a, struct resource_server *rs)
{
    enum status st = take_kinds(a, rs);

    if (st == ST_OK)
        st = admin_int(a, "lifetime_s", rs->lifetime_s, LIFETIME_MIN_S, LIFETIME_MAX_S, &rs->lifetime_s);
    if (st == ST_OK)
        st = admin_bool(a, "exi", rs->exi, &rs->exi);
    if (st == ST_OK && rs->exi && rs->format == RS_REFERENCE)
        return reject(&a->why, ST_MALFORMED, "AF-75", "exi is for self-contained tokens only", 0);
    return st == ST_OK ? take_rs_cnf(a, rs) : st;
}

/* Once its key is known, too. */
static enum status check_protection(struct admin *a, const struct resource_server *rs)
{
    bool encrypts = rs->protection == RS_ENCRYPTED || rs->protection == RS_NESTED;

    if (encrypts && rs->format != RS_REFERENCE && rs->secret_key.len == 0)
        return reject(&a->why, ST_MALFORMED, "protection", "encrypted tokens need a key shared with us", 0);
    return ST_OK;
}

static enum status take_names(struct admin *a, struct resource_server *rs)
{
    enum status st = admin_text(a, "audience", &rs->audience);

    if (st == ST_OK)
        st = admin_text(a, "rs_id", &rs->id);
    if (st != ST_OK)
        return st;
    if (rs->audience.len == 0 || rs->audience.len > AUDIENCE_MAX)
        return reject(&a->why, ST_MALFORMED, "audience", "must have 1 to 1024 bytes", 0);
    if (rs->id.len == 0 && !id_valid(rs->audience))
        return reject(&a->why, ST_BAD_CLIENT_ID, "rs_id", "needed, because the audience is not an identifier",
                      0);
    if (rs->id.len == 0)
        rs->id = rs->audience;
    a->subject = rs->id;
    return ST_OK;
}

enum status admin_rs_add(struct admin *a)
{
    struct resource_server rs = {
        .pop_keys = POP_KINDS_ALL,
        .profiles = IN(ACE_PROFILE_MQTT_TLS_CBOR),
        .lifetime_s = a->as->settings->token_lifetime_s,
    };
    struct principal p = { .kind = PRINCIPAL_RS, .created_at = a->now.wall.s };
    bool introspect = true;
    enum status st = take_names(a, &rs);

    p.id = rs.id;
    if (st == ST_OK)
        st = take_settings(a, &rs);
    if (st == ST_OK)
        st = take_key(a, &rs);
    if (st == ST_OK)
        st = check_protection(a, &rs);
    if (st == ST_OK)
        st = admin_bool(a, "introspect", true, &introspect);
    if (st == ST_OK && introspect)
        st = admin_new_secret(a, "rs_secret", &p.secret_hash);
    if (st == ST_OK)
        st = registry_add_principal(a->as->sql, &p, &a->why);
    if (st == ST_OK)
        st = registry_add_rs(a->as->sql, &rs, &a->why);
    return st == ST_OK ? answer_rs(a, rs.id) : st;
}

enum status admin_rs_show(struct admin *a)
{
    struct resource_server rs;
    struct span id, audience;
    enum status st = admin_text(a, "rs_id", &id);

    if (st == ST_OK)
        st = admin_text(a, "audience", &audience);
    if (st == ST_OK && id.len == 0)
        st = registry_rs_by_audience(a->as->sql, audience, &a->arena, &rs, &a->why);
    if (st == ST_OK)
        st = answer_rs(a, id.len == 0 ? rs.id : id);
    return st;
}

static enum status take_rs(void *ctx, struct span id)
{
    struct admin_list *list = ctx;
    struct js *obj;
    enum status st = rs_object(list->a, id, &obj);

    return st == ST_OK ? admin_list_take(list, obj, id) : st;
}

enum status admin_rs_list(struct admin *a)
{
    struct admin_list list;
    struct span after;
    enum status st = admin_list_begin(a, &list);

    if (st == ST_OK)
        st = admin_text(a, "after", &after);
    if (st == ST_OK)
        st = registry_each(a->as->sql, PRINCIPAL_RS, SPAN_NONE, after, list.limit + 1, take_rs, &list, &a->why);
    return admin_list_end(&list, "resource_servers", st);
}

enum status admin_rs_set(struct admin *a)
{
    struct resource_server rs;
    enum status st = named_rs(a, &rs);

    if (st == ST_OK)
        st = take_settings(a, &rs);
    if (st == ST_OK)
        st = check_protection(a, &rs);
    if (st == ST_OK)
        st = registry_set_rs(a->as->sql, &rs, &a->why);
    return st == ST_OK ? answer_rs(a, rs.id) : st;
}

enum status admin_rs_rotate_secret(struct admin *a)
{
    struct resource_server rs;
    struct principal p;
    enum status st = named_rs(a, &rs);

    if (st == ST_OK)
        st = registry_principal(a->as->sql, rs.id, &a->arena, &p, &a->why);
    if (st == ST_OK)
        st = admin_new_secret(a, "rs_secret", &p.secret_hash);
    if (st == ST_OK)
        st = registry_set_principal(a->as->sql, &p, &a->why);
    return st == ST_OK ? answer_rs(a, rs.id) : st;
}

enum status admin_rs_rotate_key(struct admin *a)
{
    struct resource_server rs;
    enum status st = named_rs(a, &rs);

    if (st == ST_OK)
        st = generate_key(a, &rs);
    if (st == ST_OK)
        st = registry_set_rs(a->as->sql, &rs, &a->why);
    return st == ST_OK ? answer_rs(a, rs.id) : st;
}

enum status admin_rs_remove(struct admin *a)
{
    struct resource_server rs;
    enum status st = named_rs(a, &rs);
    const struct status_job all = { .cause = "rs.remove", .revoke = true, .rs_id = a->subject };

    if (st == ST_OK)
        st = registry_remove_rs(a->as->sql, &rs, &a->why);
    if (st == ST_OK)
        st = admin_review(a, &all);
    return st == ST_OK ? admin_put_done(a, a->out, true) : st;
}
