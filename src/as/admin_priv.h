/* as/admin_priv.h - one admin command on its way, and what the commands share (docs/as-admin-protocol.md). */
#ifndef SYMBOLON_AS_ADMIN_PRIV_H
#define SYMBOLON_AS_ADMIN_PRIV_H

#include "as/as_priv.h"
#include "as/registry.h"
#include "as/status_work.h"

#define ADMIN_LIST_DEFAULT 100
#define ADMIN_LIST_MAX     1000

struct admin {
    struct as *as;
    struct now now;
    const struct js *in;
    struct js *out; /* "ok" is set; the command adds its members */
    struct arena arena;
    struct why why;
    struct span subject;     /* for the audit: what was changed */
    struct status_done done; /* what became of tokens by it */
};

typedef enum status admin_fn(struct admin *a);

admin_fn admin_status, admin_audit_list, admin_audit_verify;
admin_fn admin_client_add, admin_client_list, admin_client_show, admin_client_set, admin_client_rotate_secret,
    admin_client_remove;
admin_fn admin_rs_add, admin_rs_list, admin_rs_show, admin_rs_set, admin_rs_rotate_secret, admin_rs_rotate_key,
    admin_rs_remove;
admin_fn admin_policy_allow, admin_policy_deny, admin_policy_list, admin_policy_remove, admin_policy_test;
admin_fn admin_token_list, admin_token_revoke, admin_keys_list, admin_keys_rotate, admin_enroll_create,
    admin_enroll_list, admin_enroll_remove;
admin_fn admin_refresh_list, admin_refresh_revoke;

/* Members of the command. Absent: SPAN_NONE, `dflt`. Another kind of value, or out of range: ST_MALFORMED with the
 * member's name as clause. */
enum status admin_text(struct admin *a, const char *name, struct span *ret) MUST_CHECK;
enum status admin_bool(struct admin *a, const char *name, bool dflt, bool *ret) MUST_CHECK;
enum status admin_int(struct admin *a, const char *name, int64_t dflt, int64_t min, int64_t max,
                      int64_t *ret) MUST_CHECK;
/* "after" of a list that goes by number: a number, or text holding one (a "next" given back). */
enum status admin_after_number(struct admin *a, int64_t *ret) MUST_CHECK;
/* The answer to a command that was refused, newline and all. */
void admin_put_error(struct buf *out, enum status st, const struct why *why);

bool admin_has(const struct admin *a, const char *name);

/* A list answer: at most `limit` rows; "next" is set when there are more. Take one row more than the limit. */
struct admin_list {
    struct admin *a;
    struct js *rows;
    int64_t limit;
    int64_t seen;
    struct span last; /* of the rows taken, in the arena */
};
enum status admin_list_begin(struct admin *a, struct admin_list *list) MUST_CHECK;
/* Takes `row` under the name to go on from; drops it if the list is full. */
enum status admin_list_take(struct admin_list *list, struct js *row_take, struct span name) MUST_CHECK;
/* Puts the rows into the answer. `st` is how the walk ended. */
enum status admin_list_end(struct admin_list *list, const char *member, enum status st) MUST_CHECK;

/* A new secret: its text into the answer under `member`, its hash into the arena. */
enum status admin_new_secret(struct admin *a, const char *member, struct span *ret_hash) MUST_CHECK;
/* A public JWK object as normal text in the arena; null and absent give SPAN_NONE. */
enum status admin_jwk(struct admin *a, const char *name, struct span *ret_text) MUST_CHECK;
/* "certificate" (PEM) or "x5t#S256": the thumbprint in the arena. */
enum status admin_x5t(struct admin *a, struct span *ret_x5t) MUST_CHECK;

/* Looks at the tokens a change concerns (status_work.h) and counts in a->done. */
enum status admin_review(struct admin *a, const struct status_job *job) MUST_CHECK;
/* "tokens_revoked", "tokens_changed", "tokens_queued", as far as there are any; the first one always if wanted. */
enum status admin_put_done(struct admin *a, struct js *obj, bool revoked_always) MUST_CHECK;

/* "policies": the rules that concern a client. */
enum status admin_put_policies_for(struct admin *a, struct span client_id) MUST_CHECK;

/* Into the arena; empty bytes become SPAN_NONE. */
enum status admin_copy(struct admin *a, struct span s, struct span *ret) MUST_CHECK;
enum status admin_set_base64url(struct js *obj, const char *name, struct span bytes) MUST_CHECK;
/* JSON text from the database as a member. */
enum status admin_set_json(struct js *obj, const char *name, struct span text) MUST_CHECK;
/* The array of ways in which a principal can authenticate. */
enum status admin_set_auth(struct js *obj, const struct principal *p) MUST_CHECK;

#endif
