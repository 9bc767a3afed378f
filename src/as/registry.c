#include "as/registry.h"

#include "as/as_priv.h"
#include "as/name_set.h"
#include "jose/jwk.h"
#include "token/ace_cbor.h"

#define WORDS_MAX 512

const char *rs_format_name(int64_t format)
{
    static const char *const names[] = { "jwt", "cwt", "reference" };
    return format >= 0 && format < (int64_t)COUNT_OF(names) ? names[format] : NULL;
}

const char *rs_protection_name(int64_t protection)
{
    static const char *const names[] = { "auto", "signed", "encrypted", "nested" };
    return protection >= 0 && protection < (int64_t)COUNT_OF(names) ? names[protection] : NULL;
}

const char *pop_kind_name(int64_t kind)
{
    static const char *const names[POP_KINDS] = { "EdDSA", "ES256", "symmetric", "x5t" };
    return kind >= 0 && kind < POP_KINDS ? names[kind] : NULL;
}

bool id_valid(struct span id)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@~=,-";

    if (id.len == 0 || id.len > ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (memchr(allowed, id.p[i], sizeof allowed - 1) == NULL)
            return false;
    return true;
}

struct read {
    struct arena *arena;
    struct principal *principal;
    struct resource_server *rs;
    int rows;
};

/* NULL columns stay SPAN_NONE; an arena that is full shows as missing bytes, and is reported. */
static struct span keep(struct read *r, const struct sql_row *row, size_t column, bool *ok)
{
    struct span s = sql_bytes(row, column);
    if (s.len == 0)
        return SPAN_NONE;
    struct span copy = arena_copy(r->arena, s);
    if (copy.p == NULL)
        *ok = false;
    return copy;
}

#define PRINCIPAL_COLUMNS \
    "id, kind, name, secret_hash, jwk, x5t, default_audience, created_at, profiles, refresh"

static enum status take_principal(void *ctx, const struct sql_row *row)
{
    struct read *r = ctx;
    bool ok = true;

    r->rows++;
    *r->principal = (struct principal){
        .kind = span_eq_str(sql_bytes(row, 1), "rs") ? PRINCIPAL_RS : PRINCIPAL_CLIENT,
        .id = keep(r, row, 0, &ok),
        .name = keep(r, row, 2, &ok),
        .secret_hash = keep(r, row, 3, &ok),
        .jwk = keep(r, row, 4, &ok),
        .x5t = keep(r, row, 5, &ok),
        .default_audience = keep(r, row, 6, &ok),
        .created_at = sql_i64(row, 7),
        .refresh = sql_i64(row, 9) != 0,
    };
    if (!ok)
        return ST_NO_MEMORY;
    return name_set_from_words(ace_profile_name, sql_bytes(row, 8), &r->principal->profiles);
}

enum status registry_principal(struct sql *sql, struct span id, struct arena *arena, struct principal *ret,
                               struct why *why)
{
    struct read r = { .arena = arena, .principal = ret };
    enum status st = sql_query(sql, "SELECT " PRINCIPAL_COLUMNS " FROM principal WHERE id = $1", take_principal,
                               &r, why, SQL_TEXT(id));

    if (st == ST_OK && r.rows == 0)
        return reject(why, ST_NOT_FOUND, "as registry", "no such client or resource server", 0);
    return st;
}

enum status registry_client(struct sql *sql, struct span id, struct arena *arena, struct principal *ret,
                            struct why *why)
{
    enum status st = registry_principal(sql, id, arena, ret, NULL);

    if (st == ST_NOT_FOUND || (st == ST_OK && ret->kind != PRINCIPAL_CLIENT))
        return reject(why, ST_NOT_FOUND, "as registry", "no such client", 0);
    return st == ST_OK ? ST_OK : reject(why, st, "as registry", "the client cannot be read", 0);
}

#define RS_COLUMNS                                                                                      \
    "id, audience, token_format, lifetime_s, exi, secret_key, secret_kid, rs_jwk, rs_x5t, protection, " \
    "pop_keys,"                                                                                         \
    " profiles, refresh FROM resource_server"

static enum status take_kinds(const struct sql_row *row, struct resource_server *rs)
{
    unsigned format, protection;

    if (!name_number(rs_format_name, sql_bytes(row, 2), &format) ||
        !name_number(rs_protection_name, sql_bytes(row, 9), &protection))
        return ST_INTERNAL;
    rs->format = (enum rs_format)format;
    rs->protection = (enum rs_protection)protection;
    enum status st = name_set_from_words(pop_kind_name, sql_bytes(row, 10), &rs->pop_keys);
    return st == ST_OK ? name_set_from_words(ace_profile_name, sql_bytes(row, 11), &rs->profiles) : st;
}

static enum status take_rs(void *ctx, const struct sql_row *row)
{
    struct read *r = ctx;
    bool ok = true;

    r->rows++;
    *r->rs = (struct resource_server){
        .id = keep(r, row, 0, &ok),
        .audience = keep(r, row, 1, &ok),
        .lifetime_s = sql_i64(row, 3),
        .exi = sql_i64(row, 4) != 0,
        .secret_key = keep(r, row, 5, &ok),
        .secret_kid = keep(r, row, 6, &ok),
        .rs_jwk = keep(r, row, 7, &ok),
        .rs_x5t = keep(r, row, 8, &ok),
        .refresh = sql_i64(row, 12) != 0,
    };
    return ok ? take_kinds(row, r->rs) : ST_NO_MEMORY;
}

static enum status one_rs(enum status st, const struct read *r, struct why *why)
{
    if (st == ST_OK && r->rows != 1)
        return reject(why, ST_NOT_FOUND, "as registry", "no such resource server", 0);
    return st;
}

enum status registry_rs(struct sql *sql, struct span id, struct arena *arena, struct resource_server *ret,
                        struct why *why)
{
    struct read r = { .arena = arena, .rs = ret };
    return one_rs(sql_query(sql, "SELECT " RS_COLUMNS " WHERE id = $1", take_rs, &r, why, SQL_TEXT(id)), &r,
                  why);
}

enum status registry_rs_by_audience(struct sql *sql, struct span audience, struct arena *arena,
                                    struct resource_server *ret, struct why *why)
{
    struct read r = { .arena = arena, .rs = ret };
    return one_rs(
        sql_query(sql, "SELECT " RS_COLUMNS " WHERE audience = $1", take_rs, &r, why, SQL_TEXT(audience)), &r,
        why);
}

enum status registry_rs_only(struct sql *sql, struct arena *arena, struct resource_server *ret, struct why *why)
{
    struct read r = { .arena = arena, .rs = ret };
    return one_rs(sql_query(sql, "SELECT " RS_COLUMNS " LIMIT 2", take_rs, &r, why), &r, why);
}

enum status registry_add_principal(struct sql *sql, const struct principal *p, struct why *why)
{
    struct buf profiles;

    if (!id_valid(p->id))
        return reject(why, ST_BAD_CLIENT_ID, "as registry",
                      "an identifier is 1 to 128 of A-Z a-z 0-9 . _ : @ ~ = , -", 0);
    buf_init(&profiles, WORDS_MAX);
    name_set_put_words(ace_profile_name, p->profiles, &profiles);
    enum status st = sql_run(
        sql, "INSERT INTO principal (" PRINCIPAL_COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        NULL, why, SQL_TEXT(p->id), SQL_TEXT(p->kind == PRINCIPAL_RS ? SPAN("rs") : SPAN("client")),
        SQL_TEXT(p->name), SQL_BLOB_OR_NULL(p->secret_hash), SQL_TEXT_OR_NULL(p->jwk), SQL_BLOB_OR_NULL(p->x5t),
        SQL_TEXT_OR_NULL(p->default_audience), SQL_I64(p->created_at), SQL_TEXT_OR_NULL(buf_span(&profiles)),
        SQL_I64(p->refresh));
    buf_done(&profiles);
    if (st == ST_EXISTS)
        return reject(why, st, "as registry", "a client or resource server of that name is already there", 0);
    return st;
}

static enum status found(enum status st, int64_t changed, struct why *why)
{
    if (st == ST_OK && changed == 0)
        return reject(why, ST_NOT_FOUND, "as registry", "no such client or resource server", 0);
    return st;
}

enum status registry_set_principal(struct sql *sql, const struct principal *p, struct why *why)
{
    int64_t changed = 0;
    struct buf profiles;

    buf_init(&profiles, WORDS_MAX);
    name_set_put_words(ace_profile_name, p->profiles, &profiles);
    enum status st =
        sql_run(sql,
                "UPDATE principal SET name = $2, secret_hash = $3, jwk = $4, x5t = $5, default_audience = $6,"
                " profiles = $7, refresh = $8 WHERE id = $1",
                &changed, why, SQL_TEXT(p->id), SQL_TEXT(p->name), SQL_BLOB_OR_NULL(p->secret_hash),
                SQL_TEXT_OR_NULL(p->jwk), SQL_BLOB_OR_NULL(p->x5t), SQL_TEXT_OR_NULL(p->default_audience),
                SQL_TEXT_OR_NULL(buf_span(&profiles)), SQL_I64(p->refresh));
    buf_done(&profiles);
    return found(st, changed, why);
}

/* The count of exi tokens starts from the clock, not from 0: a resource server that was removed and added again must not
 * meet numbers it has seen (AF-77), nor we the jti of a token we keep. The rows that are kept are added, for when both
 * happen within one second. */
static const char add_rs[] =
    "INSERT INTO resource_server (id, audience, token_format, lifetime_s, exi, exi_sequence, secret_key,"
    " secret_kid, rs_jwk, rs_x5t, protection, pop_keys, profiles, refresh) VALUES ($1, $2, $3, $4, $5,"
    " (SELECT created_at * 65536 FROM principal WHERE id = $1)"
    " + (SELECT COUNT(*) FROM token WHERE rs_id = $1), $6, $7, $8, $9, $10, $11, $12, $13)";
static const char set_rs[] =
    "UPDATE resource_server SET audience = $2, token_format = $3, lifetime_s = $4, exi = $5, secret_key = $6,"
    " secret_kid = $7, rs_jwk = $8, rs_x5t = $9, protection = $10, pop_keys = $11, profiles = $12,"
    " refresh = $13 WHERE id = $1";

/* The same values in the same order for both. */
static enum status write_rs(struct sql *sql, const char *text, const struct resource_server *rs,
                            int64_t *ret_changed, struct why *why)
{
    struct buf pop_keys, profiles;

    buf_init(&pop_keys, WORDS_MAX);
    buf_init(&profiles, WORDS_MAX);
    name_set_put_words(pop_kind_name, rs->pop_keys, &pop_keys);
    name_set_put_words(ace_profile_name, rs->profiles, &profiles);
    const struct sql_value values[] = {
        SQL_TEXT(rs->id),
        SQL_TEXT(rs->audience),
        SQL_TEXT(span_of_str(rs_format_name(rs->format))),
        SQL_I64(rs->lifetime_s),
        SQL_I64(rs->exi),
        SQL_BLOB_OR_NULL(rs->secret_key),
        SQL_TEXT_OR_NULL(rs->secret_kid),
        SQL_TEXT_OR_NULL(rs->rs_jwk),
        SQL_BLOB_OR_NULL(rs->rs_x5t),
        SQL_TEXT(span_of_str(rs_protection_name(rs->protection))),
        SQL_TEXT(buf_span(&pop_keys)),
        SQL_TEXT(buf_span(&profiles)),
        SQL_I64(rs->refresh),
    };
    enum status st = sql_execute(sql, text, values, COUNT_OF(values), NULL, NULL, ret_changed, why);
    buf_done(&pop_keys);
    buf_done(&profiles);
    return st;
}

enum status registry_add_rs(struct sql *sql, const struct resource_server *rs, struct why *why)
{
    enum status st = write_rs(sql, add_rs, rs, NULL, why);

    if (st == ST_EXISTS)
        return reject(why, st, "as registry", "a resource server of that audience is already there", 0);
    return st;
}

enum status registry_set_rs(struct sql *sql, const struct resource_server *rs, struct why *why)
{
    int64_t changed = 0;
    enum status st = write_rs(sql, set_rs, rs, &changed, why);

    return found(st, changed, why);
}

enum status registry_remove_client(struct sql *sql, struct span id, struct why *why)
{
    int64_t changed = 0;
    enum status st =
        sql_run(sql, "DELETE FROM policy WHERE subject = 'client:' || $1", NULL, why, SQL_TEXT(id));

    if (st == ST_OK)
        st = sql_run(sql, "DELETE FROM principal WHERE id = $1 AND kind = 'client'", &changed, why,
                     SQL_TEXT(id));
    return found(st, changed, why);
}

enum status registry_remove_rs(struct sql *sql, const struct resource_server *rs, struct why *why)
{
    int64_t changed = 0;
    enum status st = sql_run(sql, "DELETE FROM policy WHERE audience = $1", NULL, why, SQL_TEXT(rs->audience));

    if (st == ST_OK)
        st = sql_run(sql, "DELETE FROM principal WHERE id = $1 AND kind = 'rs'", &changed, why,
                     SQL_TEXT(rs->id));
    return found(st, changed, why);
}

enum status registry_set_groups(struct sql *sql, struct span client_id, const struct js *groups,
                                struct why *why)
{
    enum status st =
        sql_run(sql, "DELETE FROM client_group WHERE client_id = $1", NULL, why, SQL_TEXT(client_id));

    if (groups != NULL && !js_is(groups, JS_ARRAY))
        return reject(why, ST_MALFORMED, "as registry", "groups is not an array of names", 0);
    for (size_t i = 0; st == ST_OK && i < js_size(groups); i++) {
        struct span name;
        if (!js_as_str(js_at(groups, i), &name) || !id_valid(name))
            return reject(why, ST_BAD_CLIENT_ID, "as registry", "a group name is not an identifier", i);
        st = sql_run(sql, "INSERT INTO client_group (client_id, name) VALUES ($1, $2)", NULL, why,
                     SQL_TEXT(client_id), SQL_TEXT(name));
        if (st == ST_EXISTS)
            return reject(why, st, "as registry", "a group is named twice", i);
    }
    return st;
}

static enum status take_group(void *ctx, const struct sql_row *row)
{
    return js_append_str(ctx, sql_bytes(row, 0));
}

enum status registry_groups(struct sql *sql, struct span client_id, struct js **ret_groups, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *groups = js_new_array();

    if (groups == NULL)
        return reject(why, ST_NO_MEMORY, "as registry", "out of memory", 0);
    enum status st = sql_query(sql, "SELECT name FROM client_group WHERE client_id = $1 ORDER BY name",
                               take_group, groups, why, SQL_TEXT(client_id));
    if (st == ST_OK)
        *ret_groups = TAKE(groups);
    return st;
}

static enum status take_i64(void *ctx, const struct sql_row *row)
{
    *(int64_t *)ctx = sql_i64(row, 0);
    return ST_OK;
}

enum status registry_next_exi(struct sql *sql, struct span rs_id, uint64_t *ret, struct why *why)
{
    int64_t changed = 0, sequence = 0;
    enum status st = sql_run(sql, "UPDATE resource_server SET exi_sequence = exi_sequence + 1 WHERE id = $1",
                             &changed, why, SQL_TEXT(rs_id));

    st = found(st, changed, why);
    if (st == ST_OK)
        st = sql_query(sql, "SELECT exi_sequence FROM resource_server WHERE id = $1", take_i64, &sequence, why,
                       SQL_TEXT(rs_id));
    *ret = (uint64_t)sequence;
    return st;
}

struct ids {
    registry_id_fn *fn;
    void *ctx;
};

static enum status give_id(void *ctx, const struct sql_row *row)
{
    struct ids *ids = ctx;
    return ids->fn(ids->ctx, sql_bytes(row, 0));
}

enum status registry_each(struct sql *sql, enum principal_kind kind, struct span group, struct span after,
                          int64_t limit, registry_id_fn *fn, void *ctx, struct why *why)
{
    struct ids ids = { fn, ctx };

    if (group.len > 0)
        return sql_query(sql,
                         "SELECT client_id FROM client_group WHERE name = $1 AND client_id > $2"
                         " ORDER BY client_id LIMIT $3",
                         give_id, &ids, why, SQL_TEXT(group), SQL_TEXT(after), SQL_I64(limit));
    return sql_query(sql, "SELECT id FROM principal WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3", give_id,
                     &ids, why, SQL_TEXT(kind == PRINCIPAL_RS ? SPAN("rs") : SPAN("client")), SQL_TEXT(after),
                     SQL_I64(limit));
}

static enum status add_profiles(void *ctx, const struct sql_row *row)
{
    unsigned *all = ctx, some = 0;
    enum status st = name_set_from_words(ace_profile_name, sql_bytes(row, 0), &some);

    *all |= some;
    return st;
}

enum status registry_profiles(struct sql *sql, unsigned *ret, struct why *why)
{
    *ret = 0;
    return sql_query(sql, "SELECT DISTINCT profiles FROM resource_server", add_profiles, ret, why);
}

enum status registry_count(struct sql *sql, enum principal_kind kind, int64_t *ret, struct why *why)
{
    return sql_query(sql, "SELECT COUNT(*) FROM principal WHERE kind = $1", take_i64, ret, why,
                     SQL_TEXT(kind == PRINCIPAL_RS ? SPAN("rs") : SPAN("client")));
}

enum status registry_key(struct span jwk_text, struct arena *arena, struct key **ret_key, struct span *ret_kid,
                         struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct jwk jwk = { 0 };
    char thumbprint[JWK_THUMBPRINT_TEXT];
    enum status st = js_parse(jwk_text, AS_BODY_MAX, &js, why);

    if (st == ST_OK)
        st = jwk_parse(js, JWK_PUBLIC, &jwk, why);
    if (st == ST_OK && ret_kid != NULL && jwk.kid.p != NULL) {
        *ret_kid = arena_copy(arena, jwk.kid);
        st = ret_kid->p != NULL ? ST_OK : ST_NO_MEMORY;
    } else if (st == ST_OK && ret_kid != NULL) {
        st = jwk_thumbprint_text(jwk.key, thumbprint);
        if (st == ST_OK)
            *ret_kid = arena_copy(arena, span_of_str(thumbprint));
        if (st == ST_OK && ret_kid->p == NULL)
            st = ST_NO_MEMORY;
    }
    if (st == ST_OK)
        *ret_key = key_ref(jwk.key);
    jwk_done(&jwk);
    return st;
}
