#include "as/status_work.h"

#include "as/audit.h"
#include "as/policy.h"
#include "as/registry.h"
#include "as/status.h"

#define ACTOR       SPAN("symbolon-as")
#define SLICE_BYTES ((size_t)64 * 1024 * 1024) /* a slice of the largest rows; usually some 100 KiB */
#define QUEUED_MAX  1000000                    /* counted no further */
#define DETAIL_MAX  1024

/* A job on its way; `id` 0: not in the table. */
struct work {
    struct as *as;
    struct now now;
    struct why *why;
    int64_t id;
    struct status_job job;
    int64_t issued_until;
    struct token_place place; /* done up to here */
    int64_t revoked, changed;
    struct arena arena;
    struct status_update update;
};

static enum status take_found(void *ctx, const struct sql_row *row UNUSED)
{
    *(bool *)ctx = true;
    return ST_OK;
}

static enum status check_bound(struct work *w, const struct token_row *row, bool *ret)
{
    CLEANUP(key_unrefp)
    struct key *wanted = NULL, *cnf = NULL;
    enum status st = ST_OK;

    *ret = true;
    if (w->job.bound == STATUS_BOUND_ANY)
        return ST_OK;
    if (w->job.jwk.len > 0)
        st = registry_key(w->job.jwk, &w->arena, &wanted, NULL, w->why);
    if (st == ST_OK && row->cnf.len > 0)
        st = registry_key(row->cnf, &w->arena, &cnf, NULL, w->why);
    bool same = wanted != NULL && cnf != NULL && key_same(wanted, cnf);
    *ret = w->job.bound == STATUS_BOUND_KEY ? same : !same && (cnf != NULL || row->cnf_x5t.len > 0);
    return st;
}

static enum status concerned(struct work *w, const struct token_row *row, bool *ret)
{
    const struct status_job *job = &w->job;
    enum status st = ST_OK;

    *ret = row->revoked_at == 0 && row->expires_at > w->now.wall.s &&
           (job->rs_id.len == 0 || span_eq(job->rs_id, row->rs_id)) &&
           (!job->revoke || row->issued_at <= w->issued_until);
    if (*ret && job->group.len > 0) {
        *ret = false;
        st = sql_query(w->as->sql, "SELECT 1 FROM client_group WHERE client_id = $1 AND name = $2", take_found,
                       ret, w->why, SQL_TEXT(row->client_id), SQL_TEXT(job->group));
    }
    return st == ST_OK && *ret ? check_bound(w, row, ret) : st;
}

static enum status revoke(struct work *w, const struct token_row *row)
{
    w->revoked++;
    return token_row_revoke_read(w->as->sql, &w->update, row, w->now.wall, w->why);
}

static enum status narrow(struct work *w, const struct token_row *row, const struct scope *left)
{
    struct buf text;

    buf_init(&text, SCOPE_MAX_BYTES * 2);
    enum status st = scope_to_text(left, &text);
    if (st == ST_OK)
        st = token_row_narrow(w->as->sql, &w->update, row, buf_span(&text), w->now.wall, w->why);
    buf_done(&text);
    w->changed++;
    return st;
}

static bool is_ours(enum status st)
{
    return st == ST_NO_MEMORY || st == ST_IO;
}

/* A scope of which policy says nothing that can be computed gets no token any more, so it keeps none. */
static enum status compare(struct work *w, const struct token_row *row)
{
    CLEANUP(scope_unrefp)
    struct scope *issued = NULL, *left = NULL;
    CLEANUP(arena_done)
    struct arena arena;
    struct why why = { 0 };

    arena_init(&arena, CALL_ARENA_MAX);
    enum status st = scope_from_text(row->scope, &issued, &why);
    if (st == ST_OK && scope_is_empty(issued)) /* asked for: public topics only (MT-83) */
        return ST_OK;
    if (st == ST_OK)
        st = policy_grant(w->as->sql, row->client_id, row->audience, issued, &arena, &left, NULL, NULL, &why);
    if (is_ours(st)) {
        *w->why = why;
        return st;
    }
    if (st != ST_OK)
        log_event(NULL, LOG_WARNING, "token_not_comparable", F_SPAN("jti", row->jti), F_WHY(st, why));
    if (st != ST_OK || scope_is_empty(left))
        return revoke(w, row);
    return scope_covers(left, issued) ? ST_OK : narrow(w, row, left);
}

/* The next tokens; *ret_more: there may be others behind them. */
static enum status slice(struct work *w, bool *ret_more)
{
    struct token_row rows[STATUS_SLICE];
    size_t count = 0;
    enum status st = token_row_slice(w->as->sql, w->job.client_id, w->job.rs_id, STATUS_SLICE, &w->arena,
                                     &w->place, rows, &count, w->why);

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        bool is = false;
        st = concerned(w, &rows[i], &is);
        if (st == ST_OK && is)
            st = w->job.revoke ? revoke(w, &rows[i]) : compare(w, &rows[i]);
    }
    *ret_more = count == STATUS_SLICE;
    return st;
}

/* One of the same kind that is under way goes back to where this one begins, so that there is never more than one. */
static enum status merge(struct work *w, bool *ret_done)
{
    const struct status_job *j = &w->job;
    int64_t same = 0;
    enum status st = ST_OK;

    if (!j->revoke)
        st = sql_run(w->as->sql,
                     "UPDATE status_work SET"
                     " after = CASE WHEN (after_at, after) < ($1, $2) THEN after ELSE $2 END,"
                     " after_at = CASE WHEN after_at < $1 THEN after_at ELSE $1 END"
                     " WHERE revoke = 0 AND client_id = $3 AND rs_id = $4 AND group_name = $5",
                     &same, w->why, SQL_I64(w->place.issued_at), SQL_TEXT(w->place.jti), SQL_TEXT(j->client_id),
                     SQL_TEXT(j->rs_id), SQL_TEXT(j->group));
    *ret_done = same > 0;
    return st;
}

static enum status queue(struct work *w)
{
    const struct status_job *j = &w->job;
    bool merged = false;
    enum status st = merge(w, &merged);

    w->as->work = true;
    if (st != ST_OK || merged)
        return st;
    return sql_run(w->as->sql,
                   "INSERT INTO status_work (cause, revoke, client_id, rs_id, group_name, bound_to, key,"
                   " issued_until, after_at, after, revoked, changed)"
                   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0)",
                   NULL, w->why, SQL_TEXT(span_of_str(j->cause)), SQL_I64(j->revoke), SQL_TEXT(j->client_id),
                   SQL_TEXT(j->rs_id), SQL_TEXT(j->group), SQL_I64(j->bound), SQL_TEXT_OR_NULL(j->jwk),
                   SQL_I64(w->issued_until), SQL_I64(w->place.issued_at), SQL_TEXT(w->place.jti));
}

/* The newest token that a command to revoke is about. A clock that was set back has some in its future. */
static enum status find_newest(struct work *w)
{
    struct wall_time newest = { 0 };
    enum status st = ST_OK;

    if (w->job.revoke)
        st = token_row_last_issued(w->as->sql, w->job.client_id, w->job.rs_id, &newest, w->why);
    if (st == ST_OK && newest.s > w->issued_until)
        w->issued_until = newest.s;
    return st;
}

enum status status_work_begin(struct as *as, const struct status_job *job, struct now now,
                              struct status_done *ret, struct why *why)
{
    struct work w = { .as = as, .now = now, .why = why, .job = *job, .issued_until = now.wall.s };
    bool more = false;

    *ret = (struct status_done){ 0 };
    arena_init(&w.arena, SLICE_BYTES);
    enum status st = find_newest(&w);
    if (st == ST_OK)
        st = slice(&w, &more);
    if (st == ST_OK && more)
        st = queue(&w);
    if (st == ST_OK && more)
        st =
            token_row_count_slice(as->sql, job->client_id, job->rs_id, &w.place, QUEUED_MAX, &ret->queued, why);
    ret->revoked = w.revoked;
    ret->changed = w.changed;
    arena_done(&w.arena);
    return st;
}

/* ---- what is in the table ---- */

static enum status take_work(void *ctx, const struct sql_row *row)
{
    struct work *w = ctx;
    struct span *texts[] = { &w->job.client_id, &w->job.rs_id, &w->job.group, &w->job.jwk, &w->place.jti };

    w->id = sql_i64(row, 0);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        *texts[i] = sql_bytes(row, i + 1);
    if (!arena_keep(&w->arena, texts, COUNT_OF(texts)))
        return ST_NO_MEMORY;
    w->job.revoke = sql_i64(row, 6) != 0;
    w->job.bound = (enum status_bound)sql_i64(row, 7);
    w->issued_until = sql_i64(row, 8);
    w->revoked = sql_i64(row, 9);
    w->changed = sql_i64(row, 10);
    w->job.cause = arena_str(&w->arena, sql_bytes(row, 11));
    w->place.issued_at = sql_i64(row, 12);
    return w->job.cause != NULL ? ST_OK : ST_NO_MEMORY;
}

static enum status put_detail(struct work *w, struct buf *out)
{
    CLEANUP(js_unrefp)
    struct js *detail = js_new_object();
    enum status st = js_set_str(detail, "cause", span_of_str(w->job.cause));

    if (st == ST_OK)
        st = js_set_i64(detail, "revoked", w->revoked);
    if (st == ST_OK)
        st = js_set_i64(detail, "changed", w->changed);
    return st == ST_OK ? js_print(detail, out) : st;
}

/* The end of a job is an entry of the audit: what the command could not say yet. */
static enum status finish(struct work *w, struct audit_entry *entry, struct audit_head *ret_head,
                          struct buf *detail)
{
    const struct status_job *j = &w->job;
    enum status st = put_detail(w, detail);

    *entry = (struct audit_entry){
        .at = w->now.wall.s,
        .actor = ACTOR,
        .event = SPAN("tokens.reviewed"),
        .subject = j->client_id.len > 0 ? j->client_id
                   : j->group.len > 0   ? j->group
                                        : j->rs_id,
        .detail = buf_span(detail),
    };
    if (st == ST_OK)
        st = audit_append(w->as->sql, entry, ret_head, w->why);
    return st == ST_OK
               ? sql_run(w->as->sql, "DELETE FROM status_work WHERE id = $1", NULL, w->why, SQL_I64(w->id))
               : st;
}

static enum status proceed(struct work *w, bool *ret_more)
{
    struct sql *sql = w->as->sql;
    struct audit_entry entry;
    struct audit_head head;
    struct buf detail;
    enum status st = sql_begin(sql, w->why);

    buf_init(&detail, DETAIL_MAX);
    if (st == ST_OK)
        st = slice(w, ret_more);
    if (st == ST_OK && *ret_more)
        st = sql_run(
            sql, "UPDATE status_work SET after_at = $2, after = $3, revoked = $4, changed = $5 WHERE id = $1",
            NULL, w->why, SQL_I64(w->id), SQL_I64(w->place.issued_at), SQL_TEXT(w->place.jti),
            SQL_I64(w->revoked), SQL_I64(w->changed));
    else if (st == ST_OK)
        st = finish(w, &entry, &head, &detail);
    if (st == ST_OK)
        st = sql_commit(sql, w->why);
    if (st != ST_OK)
        sql_rollback(sql);
    else if (!*ret_more)
        audit_log(&entry, &head);
    buf_done(&detail);
    return st;
}

bool as_work(struct as *as, struct now now)
{
    struct why why = { 0 };
    struct work w = { .as = as, .now = now, .why = &why };
    bool more = false;

    if (!as->work)
        return false;
    arena_init(&w.arena, SLICE_BYTES);
    enum status st =
        sql_query(as->sql,
                  "SELECT id, client_id, rs_id, group_name, key, after, revoke, bound_to,"
                  " issued_until, revoked, changed, cause, after_at FROM status_work ORDER BY id LIMIT 1",
                  take_work, &w, &why);
    if (st == ST_OK && w.id != 0)
        st = proceed(&w, &more);
    else if (st == ST_OK)
        as->work = false;
    arena_done(&w.arena);
    if (st != ST_OK) {
        log_event(NULL, LOG_ERROR, "token_review_failed", F_WHY(st, why));
        as->work = false; /* until the next purge */
    }
    return as->work;
}

static enum status take_left(void *ctx, const struct sql_row *row)
{
    struct work *w = ctx;
    const struct token_place place = { sql_i64(row, 3), sql_bytes(row, 2) };
    int64_t count = 0;
    enum status st = token_row_count_slice(w->as->sql, sql_bytes(row, 0), sql_bytes(row, 1), &place, QUEUED_MAX,
                                           &count, w->why);

    w->changed += count;
    return st;
}

enum status status_work_left(struct as *as, int64_t *ret, struct why *why)
{
    struct work w = { .as = as, .why = why };
    enum status st = ST_OK;

    if (as->work)
        st =
            sql_query(as->sql, "SELECT client_id, rs_id, after, after_at FROM status_work", take_left, &w, why);
    *ret = w.changed;
    return st;
}
