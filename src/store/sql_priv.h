/* store/sql_priv.h - what a backend of sql.h provides. */
#ifndef SYMBOLON_STORE_SQL_PRIV_H
#define SYMBOLON_STORE_SQL_PRIV_H

#include "store/sql.h"

struct sql_ops {
    enum status (*execute)(struct sql *sql, const char *text, const struct sql_value *args, size_t args_count,
                           sql_row_fn *row_fn, void *ctx, int64_t *ret_changed, struct why *why);
    enum status (*script)(struct sql *sql, const char *text, struct why *why);
    bool (*unsynced)(const struct sql *sql);
    enum status (*sync)(struct sql *sql, struct why *why);
    void (*close)(struct sql *sql); /* frees it too */
};

/* First member of every backend's struct. */
struct sql {
    const struct sql_ops *ops;
};

#endif
