/* The command table of the admin socket, and what its commands share. */
#include "as/admin_priv.h"
#include "as/audit.h"
#include "codec/base64.h"
#include "crypto/x509.h"
#include "jose/jwk.h"

#define DETAIL_MAX (96 * 1024)

struct command {
    const char *name;
    const char *members; /* "!" behind a name: required; "*": secret, not for the audit */
    bool changes;        /* runs in a transaction with its audit entry */
    admin_fn *run;
};

/* clang-format off */
static const struct command commands[] = {
    { "status",               "",                                                                     false, admin_status               },
    { "client.add",           "client_id! name groups jwk certificate x5t#S256 secret default_audience profiles refresh", true, admin_client_add },
    { "client.list",          "group limit after",                                                    false, admin_client_list          },
    { "client.show",          "client_id!",                                                           false, admin_client_show          },
    { "client.set",           "client_id! name groups jwk certificate x5t#S256 default_audience profiles refresh", true, admin_client_set },
    { "client.rotate-secret", "client_id!",                                                           true,  admin_client_rotate_secret },
    { "client.remove",        "client_id!",                                                           true,  admin_client_remove        },
    { "rs.add",               "audience! rs_id token_format protection pop_keys profiles refresh lifetime_s exi key* certificate rs_jwk introspect", true, admin_rs_add      },
    { "rs.list",              "limit after",                                                          false, admin_rs_list              },
    { "rs.show",              "rs_id audience",                                                       false, admin_rs_show              },
    { "rs.set",               "rs_id! lifetime_s token_format protection pop_keys profiles refresh exi certificate rs_jwk", true, admin_rs_set },
    { "rs.rotate-secret",     "rs_id!",                                                               true,  admin_rs_rotate_secret     },
    { "rs.rotate-key",        "rs_id!",                                                               true,  admin_rs_rotate_key        },
    { "rs.remove",            "rs_id!",                                                               true,  admin_rs_remove            },
    { "policy.allow",         "subject! audience! filter! permissions!",                              true,  admin_policy_allow         },
    { "policy.deny",          "subject! audience! filter! permissions!",                              true,  admin_policy_deny          },
    { "policy.list",          "subject audience limit after",                                         false, admin_policy_list          },
    { "policy.remove",        "id!",                                                                  true,  admin_policy_remove        },
    { "policy.test",          "client_id! audience! scope",                                           false, admin_policy_test          },
    { "token.list",           "client_id audience limit after",                                       false, admin_token_list           },
    { "token.revoke",         "jti client_id rs_id",                                                        true,  admin_token_revoke         },
    { "refresh.list",         "client_id limit after",                                                false, admin_refresh_list         },
    { "refresh.revoke",       "family!",                                                              true,  admin_refresh_revoke       },
    { "keys.list",            "",                                                                     false, admin_keys_list            },
    { "keys.rotate",          "",                                                                     true,  admin_keys_rotate          },
    { "enroll.create",        "client_id groups name default_audience ttl_s",                         true,  admin_enroll_create        },
    { "enroll.list",          "limit after",                                                          false, admin_enroll_list          },
    { "enroll.remove",        "id!",                                                                  true,  admin_enroll_remove        },
    { "audit.list",           "limit after",                                                          false, admin_audit_list           },
    { "audit.verify",         "",                                                                     false, admin_audit_verify         },
};
/* clang-format on */

enum status admin_copy(struct admin *a, struct span s, struct span *ret)
{
    *ret = SPAN_NONE;
    if (s.len == 0)
        return ST_OK;
    *ret = arena_copy(&a->arena, s);
    return ret->p != NULL ? ST_OK : reject(&a->why, ST_NO_MEMORY, "as admin", "out of memory", 0);
}

bool admin_has(const struct admin *a, const char *name)
{
    return js_get(a->in, name) != NULL;
}

enum status admin_text(struct admin *a, const char *name, struct span *ret)
{
    const struct js *value = js_get(a->in, name);

    *ret = SPAN_NONE;
    if (value == NULL || js_is(value, JS_NULL) || js_as_str(value, ret))
        return ST_OK;
    return reject(&a->why, ST_MALFORMED, name, "this member must be text", 0);
}

enum status admin_bool(struct admin *a, const char *name, bool dflt, bool *ret)
{
    *ret = dflt;
    if (!admin_has(a, name) || js_get_bool(a->in, name, ret))
        return ST_OK;
    return reject(&a->why, ST_MALFORMED, name, "this member must be true or false", 0);
}

enum status admin_int(struct admin *a, const char *name, int64_t dflt, int64_t min, int64_t max, int64_t *ret)
{
    *ret = dflt;
    if (!admin_has(a, name))
        return ST_OK;
    if (!js_get_i64(a->in, name, ret))
        return reject(&a->why, ST_MALFORMED, name, "this member must be an integer", 0);
    if (*ret < min || *ret > max)
        return reject(&a->why, ST_MALFORMED, name, "this member is out of its range", 0);
    return ST_OK;
}

enum status admin_after_number(struct admin *a, int64_t *ret)
{
    struct js *number = NULL;
    struct span text;

    *ret = 0;
    if (js_get_i64(a->in, "after", ret))
        return ST_OK;
    enum status st = admin_text(a, "after", &text);
    if (st != ST_OK || text.len == 0)
        return st;
    bool ok = js_parse(text, 32, &number, NULL) == ST_OK && js_as_i64(number, ret);
    js_unref(number);
    return ok ? ST_OK : reject(&a->why, ST_MALFORMED, "after", "must be a number", 0);
}

enum status admin_list_begin(struct admin *a, struct admin_list *list)
{
    *list = (struct admin_list){ .a = a, .rows = js_new_array() };
    if (list->rows == NULL)
        return reject(&a->why, ST_NO_MEMORY, "as admin", "out of memory", 0);
    return admin_int(a, "limit", ADMIN_LIST_DEFAULT, 1, ADMIN_LIST_MAX, &list->limit);
}

enum status admin_list_take(struct admin_list *list, struct js *row_take, struct span name)
{
    list->seen++;
    if (list->seen > list->limit) {
        js_unref(row_take);
        return ST_OK;
    }
    if (list->seen == list->limit) {
        enum status st = admin_copy(list->a, name, &list->last);
        if (st != ST_OK) {
            js_unref(row_take);
            return st;
        }
    }
    return js_append_take(list->rows, row_take);
}

enum status admin_list_end(struct admin_list *list, const char *member, enum status st)
{
    struct js *rows = TAKE(list->rows);

    if (st != ST_OK) {
        js_unref(rows);
        return list->a->why.clause != NULL
                   ? st
                   : reject(&list->a->why, st, "as admin", "the list cannot be made", 0);
    }
    st = js_set_take(list->a->out, member, rows);
    if (st == ST_OK && list->seen > list->limit)
        st = js_set_str(list->a->out, "next", list->last);
    return st == ST_OK ? ST_OK : reject(&list->a->why, st, "as admin", "out of memory", 0);
}

enum status admin_new_secret(struct admin *a, const char *member, struct span *ret_hash)
{
    uint8_t hash[SHA256_LEN];
    struct buf text;

    buf_init(&text, 128);
    enum status st = as_random_text(a->as, SECRET_BYTES, &text, &a->why);
    if (st == ST_OK)
        st = sha256(buf_span(&text), hash);
    if (st == ST_OK)
        st = js_set_str(a->out, member, buf_span(&text));
    buf_wipe(&text);
    if (st != ST_OK)
        return reject(&a->why, st, "as admin", "a secret could not be made", 0);
    return admin_copy(a, span_of(hash, sizeof hash), ret_hash);
}

enum status admin_jwk(struct admin *a, const char *name, struct span *ret_text)
{
    const struct js *value = js_get(a->in, name);
    CLEANUP(js_unrefp)
    struct js *clean = NULL;
    struct jwk jwk = { 0 };
    struct buf text;

    *ret_text = SPAN_NONE;
    if (value == NULL || js_is(value, JS_NULL))
        return ST_OK;
    enum status st = jwk_parse(value, JWK_PUBLIC, &jwk, &a->why);
    buf_init(&text, AS_BODY_MAX);
    if (st == ST_OK)
        st = jwk_print(jwk.key, jwk.kid, NULL, false, &clean);
    if (st == ST_OK)
        st = js_print(clean, &text);
    if (st == ST_OK)
        st = admin_copy(a, buf_span(&text), ret_text);
    buf_done(&text);
    jwk_done(&jwk);
    return st;
}

enum status admin_x5t(struct admin *a, struct span *ret_x5t)
{
    uint8_t thumbprint[SHA256_LEN];
    struct span pem, text;
    struct buf bytes;
    enum status st = admin_text(a, "certificate", &pem);

    *ret_x5t = SPAN_NONE;
    if (st == ST_OK)
        st = admin_text(a, "x5t#S256", &text);
    if (st != ST_OK)
        return st;
    if (pem.len > 0 && text.len > 0)
        return reject(&a->why, ST_MALFORMED, "certificate", "give the certificate or its x5t#S256, not both",
                      0);
    if (pem.len > 0) {
        st = x509_thumbprint(pem, thumbprint, &a->why);
        return st == ST_OK ? admin_copy(a, span_of(thumbprint, sizeof thumbprint), ret_x5t) : st;
    }
    if (text.len == 0)
        return ST_OK;
    buf_init(&bytes, SHA256_LEN);
    if (base64url_decode(text, &bytes, NULL) != ST_OK || bytes.len != SHA256_LEN)
        st = reject(&a->why, ST_MALFORMED, "x5t#S256", "not base64url of 32 bytes", 0);
    else
        st = admin_copy(a, buf_span(&bytes), ret_x5t);
    buf_done(&bytes);
    return st;
}

enum status admin_set_base64url(struct js *obj, const char *name, struct span bytes)
{
    struct buf text;

    buf_init(&text, 256);
    base64url_encode(bytes, &text);
    enum status st = buf_ok(&text) ? js_set_str(obj, name, buf_span(&text)) : ST_NO_MEMORY;
    buf_done(&text);
    return st;
}

enum status admin_set_json(struct js *obj, const char *name, struct span text)
{
    struct js *value = NULL;
    enum status st = js_parse(text, AS_BODY_MAX, &value, NULL);

    return st == ST_OK ? js_set_take(obj, name, value) : st;
}

enum status admin_set_auth(struct js *obj, const struct principal *p)
{
    struct js *ways = js_new_array();
    enum status st = ways == NULL ? ST_NO_MEMORY : ST_OK;

    if (st == ST_OK && p->secret_hash.len > 0)
        st = js_append_str(ways, SPAN("client_secret"));
    if (st == ST_OK && p->jwk.len > 0)
        st = js_append_str(ways, SPAN("private_key_jwt"));
    if (st == ST_OK && p->x5t.len > 0)
        st = js_append_str(ways, SPAN("self_signed_tls_client_auth"));
    if (st != ST_OK) {
        js_unref(ways);
        return st;
    }
    return js_set_take(obj, "auth", ways);
}

enum status admin_review(struct admin *a, const struct status_job *job)
{
    struct status_done done;
    enum status st = status_work_begin(a->as, job, a->now, &done, &a->why);

    a->done.revoked += done.revoked;
    a->done.changed += done.changed;
    a->done.queued += done.queued;
    return st;
}

enum status admin_put_done(struct admin *a, struct js *obj, bool revoked_always)
{
    enum status st = ST_OK;

    if (revoked_always || a->done.revoked > 0)
        st = js_set_i64(obj, "tokens_revoked", a->done.revoked);
    if (st == ST_OK && a->done.changed > 0)
        st = js_set_i64(obj, "tokens_changed", a->done.changed);
    if (st == ST_OK && a->done.queued > 0)
        st = js_set_i64(obj, "tokens_queued", a->done.queued);
    return st;
}

static const struct command *find_command(struct span name)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (span_eq_str(name, commands[i].name))
            return &commands[i];
    return NULL;
}

/* Walks "client_id! name key*". */
static bool next_member(const char **at, struct span *ret_name, char *ret_mark)
{
    const char *p = *at;
    size_t n = 0;

    while (*p == ' ')
        p++;
    while (p[n] != '\0' && p[n] != ' ')
        n++;
    if (n == 0)
        return false;
    *at = p + n;
    *ret_mark = p[n - 1] == '!' || p[n - 1] == '*' ? p[n - 1] : '\0';
    *ret_name = span_of(p, *ret_mark != '\0' ? n - 1 : n);
    return true;
}

static bool is_member(const struct command *command, struct span name, char *ret_mark)
{
    struct span known;

    for (const char *at = command->members; next_member(&at, &known, ret_mark);)
        if (span_eq(known, name))
            return true;
    return false;
}

static bool known_member(void *ctx, struct span name, const struct js *value UNUSED)
{
    char mark;
    return span_eq_str(name, "cmd") || is_member(ctx, name, &mark);
}

static enum status check_members(struct admin *a, const struct command *command)
{
    struct span name;
    char mark, key[64];

    if (!js_object_each(a->in, known_member, (void *)command))
        return reject(&a->why, ST_MALFORMED, "as admin", "a member that this command does not have", 0);
    for (const char *at = command->members; next_member(&at, &name, &mark);) {
        ASSERT(name.len < sizeof key);
        memcpy(key, name.p, name.len);
        key[name.len] = '\0';
        if (mark == '!' && js_get(a->in, key) == NULL)
            return reject(&a->why, ST_MALFORMED, "as admin", "a member that this command needs is missing", 0);
    }
    return ST_OK;
}

struct detail {
    const struct command *command;
    struct js *out;
    enum status st;
};

static bool take_detail(void *ctx, struct span name, const struct js *value)
{
    struct detail *d = ctx;
    CLEANUP(freep)
    char *key = span_dup_str(name);
    char mark = '\0';

    if (span_eq_str(name, "cmd"))
        return true;
    if (key == NULL)
        d->st = ST_NO_MEMORY;
    else if (is_member(d->command, name, &mark) && mark == '*')
        d->st = js_set_str(d->out, key, SPAN("(secret)"));
    else
        d->st = js_set_take(d->out, key, js_ref(value));
    return d->st == ST_OK;
}

/* What was asked for, without secrets, as the audit's detail. */
static enum status print_detail(struct admin *a, const struct command *command, struct buf *out)
{
    CLEANUP(js_unrefp)
    struct js *object = js_new_object();
    struct detail d = { command, object, ST_OK };

    if (object == NULL || !js_object_each(a->in, take_detail, &d))
        return reject(&a->why, ST_NO_MEMORY, "as audit", "out of memory", 0);
    enum status st = admin_put_done(a, object, false);
    if (st == ST_OK)
        st = js_print(object, out);
    return st == ST_OK ? ST_OK : reject(&a->why, st, "as audit", "the entry is too long", 0);
}

static void undo(struct admin *a, const struct command *command)
{
    struct signer *signer = a->as->signer;
    struct why why = { 0 };

    if (command->run == admin_keys_rotate && signer->ops->reload(signer, a->now.wall, &why) != ST_OK)
        log_event(NULL, LOG_ERROR, "signing_keys_not_reloaded", F_STR("why", why.text));
}

/* A change and its audit entry are one transaction. */
static enum status change(struct admin *a, const struct command *command, struct span actor)
{
    struct audit_entry entry = { .at = a->now.wall.s, .actor = actor, .event = span_of_str(command->name) };
    struct sql *sql = a->as->sql;
    struct audit_head head;
    struct buf detail;
    enum status st = sql_begin(sql, &a->why);

    if (st != ST_OK)
        return st;
    buf_init(&detail, DETAIL_MAX);
    st = command->run(a);
    if (st == ST_OK)
        st = print_detail(a, command, &detail);
    entry.subject = a->subject;
    entry.detail = buf_span(&detail);
    if (st == ST_OK)
        st = audit_append(sql, &entry, &head, &a->why);
    if (st == ST_OK)
        st = sql_commit(sql, &a->why);
    if (st == ST_OK)
        audit_log(&entry, &head);
    else {
        sql_rollback(sql);
        undo(a, command);
    }
    buf_done(&detail);
    return st;
}

static enum status run(struct admin *a, const struct command *command, struct span actor)
{
    enum status st = check_members(a, command);

    if (st != ST_OK)
        return st;
    return command->changes ? change(a, command, actor) : command->run(a);
}

void admin_put_error(struct buf *out, enum status st, const struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *body = js_new_object();
    enum status printed = js_set_bool(body, "ok", false);

    if (printed == ST_OK)
        printed = js_set_str(body, "error", span_of_str(status_name(st)));
    if (printed == ST_OK)
        printed = js_set_str(body, "clause", span_of_str(why->clause != NULL ? why->clause : "as admin"));
    if (printed == ST_OK)
        printed = js_set_str(body, "message", span_of_str(why->text != NULL ? why->text : status_text(st)));
    if (printed == ST_OK && why->at != 0)
        printed = js_set_i64(body, "at", (int64_t)why->at);
    if (printed != ST_OK || js_print(body, out) != ST_OK)
        put_str(out,
                "{\"ok\":false,\"error\":\"NO_MEMORY\",\"clause\":\"as admin\",\"message\":\"out of memory\"}");
    put_u8(out, '\n');
}

static enum status parse(struct admin *a, struct span line, struct js **ret_in,
                         const struct command **ret_command)
{
    struct span name;
    enum status st = js_parse(line, AS_ADMIN_LINE_MAX, ret_in, &a->why);

    if (st != ST_OK)
        return st;
    if (!js_get_str(*ret_in, "cmd", &name))
        return reject(&a->why, ST_MALFORMED, "as admin", "not an object with a cmd", 0);
    *ret_command = find_command(name);
    if (*ret_command == NULL)
        return reject(&a->why, ST_NOT_FOUND, "as admin", "no such command", 0);
    return ST_OK;
}

void as_admin(struct as *as, struct span line, struct span actor, struct now now, struct buf *out)
{
    CLEANUP(js_unrefp)
    struct js *in = NULL, *reply = js_new_object();
    struct admin a = { .as = as, .now = now, .out = reply };
    const struct command *command = NULL;
    size_t start = out->len;
    enum status st = js_set_bool(reply, "ok", true);

    arena_init(&a.arena, CALL_ARENA_MAX);
    as_purge(as, now);
    if (st == ST_OK)
        st = parse(&a, line, &in, &command);
    a.in = in;
    if (st == ST_OK)
        st = run(&a, command, actor);
    as_store_was(as, st == ST_IO ? st : ST_PENDING, &a.why);
    if (as_settle(as) != ST_OK && st == ST_OK) {
        undo(&a, command);
        st = reject(&a.why, ST_IO, "store", "it may have happened, but is not on disk", 0);
    }
    if (st == ST_OK) {
        st = js_print(reply, out);
        if (st != ST_OK) {
            out->failed = false;
            buf_truncate(out, start);
            st = reject(&a.why, ST_TOO_LARGE, "as admin", "the answer is too long: use limit", 0);
        } else {
            put_u8(out, '\n');
        }
    }
    if (st != ST_OK) {
        log_event(NULL, LOG_NOTICE, "admin_refused", F_SPAN("actor", actor),
                  F_STR("cmd", command != NULL ? command->name : ""), F_WHY(st, a.why));
        admin_put_error(out, st, &a.why);
    }
    arena_done(&a.arena);
}
