/* A front that lets the n-th statement fail: every caller's way back is walked by a loop over n. */
#include "store/sql_priv.h"

#include <stdlib.h>

struct failing {
    struct sql base;
    struct sql *inner;
    unsigned fail_at;
    unsigned seen;
    bool sync_fails, once;
};

static struct failing *failing_of(struct sql *sql)
{
    return CONTAINER_OF(sql, struct failing, base);
}

static bool fails_now(struct failing *f)
{
    f->seen++;
    return f->fail_at != 0 && (f->once ? f->seen == f->fail_at : f->seen >= f->fail_at);
}

static enum status failing_execute(struct sql *sql, const char *text, const struct sql_value *args,
                                   size_t args_count, sql_row_fn *row_fn, void *ctx, int64_t *ret_changed,
                                   struct why *why)
{
    struct failing *f = failing_of(sql);

    /* A real database that refused a COMMIT can still roll back; so can this one. */
    if (!span_eq_str(span_of_str(text), "ROLLBACK") && fails_now(f))
        return reject(why, ST_IO, "store", "made to fail", 0);
    return f->inner->ops->execute(f->inner, text, args, args_count, row_fn, ctx, ret_changed, why);
}

static enum status failing_script(struct sql *sql, const char *text, struct why *why)
{
    struct failing *f = failing_of(sql);

    if (fails_now(f))
        return reject(why, ST_IO, "store", "made to fail", 0);
    return f->inner->ops->script(f->inner, text, why);
}

static bool failing_unsynced(const struct sql *sql)
{
    return sql_unsynced(CONTAINER_OF(sql, struct failing, base)->inner);
}

/* A COMMIT that fails takes all of the group with it: so does this one. */
static enum status failing_sync(struct sql *sql, struct why *why)
{
    struct failing *f = failing_of(sql);
    enum status st = ST_OK;

    if (f->sync_fails && sql_unsynced(f->inner))
        st = f->inner->ops->script(f->inner, "ROLLBACK", why);
    if (st == ST_OK)
        st = sql_sync(f->inner, why);
    return f->sync_fails && st == ST_OK ? reject(why, ST_IO, "store", "made to fail", 0) : st;
}

static void failing_close(struct sql *sql)
{
    struct failing *f = failing_of(sql);

    sql_close(f->inner);
    free(f);
}

static const struct sql_ops failing_ops = { failing_execute, failing_script, failing_unsynced, failing_sync,
                                            failing_close };

enum status sql_failing_new(struct sql *inner_take, struct sql **ret_sql)
{
    struct failing *f = calloc(1, sizeof *f);

    if (f == NULL) {
        sql_close(inner_take);
        return ST_NO_MEMORY;
    }
    f->base.ops = &failing_ops;
    f->inner = inner_take;
    *ret_sql = &f->base;
    return ST_OK;
}

void sql_fail_at(struct sql *failing, unsigned n)
{
    failing_of(failing)->fail_at = n;
    failing_of(failing)->seen = 0;
    failing_of(failing)->once = false;
}

void sql_fail_once(struct sql *failing, unsigned n)
{
    sql_fail_at(failing, n);
    failing_of(failing)->once = true;
}

void sql_fail_sync(struct sql *failing, bool fails)
{
    failing_of(failing)->sync_fails = fails;
}

unsigned sql_statements_seen(const struct sql *failing)
{
    return CONTAINER_OF(failing, struct failing, base)->seen;
}
