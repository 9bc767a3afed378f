/* as/audit.h - who changed what: append-only rows, each hash covering the one before, so that a row changed,
 * removed or slipped in later breaks the chain. The newest hash is also logged with every entry: kept elsewhere, the
 * log shows when the end was cut off.
 * Recorded are changes (clients, resource servers, policy, codes, keys) and revocations. Tokens have rows of their
 * own and are not recorded here: this table grows with operators' work, not with traffic.
 * Nothing secret is ever given to it. */
#ifndef SYMBOLON_AS_AUDIT_H
#define SYMBOLON_AS_AUDIT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/span.h"
#include "base/status.h"
#include "crypto/hash.h"
#include "store/sql.h"

struct audit_entry {
    int64_t seq;
    int64_t at;
    struct span actor;   /* "uid:0", "enroll", "client:sensor-1" */
    struct span event;   /* "client.add" */
    struct span subject; /* what it was done to; may be empty */
    struct span detail;  /* compact JSON */
    struct span hash;
};

struct audit_head {
    int64_t seq; /* 0: empty */
    uint8_t hash[SHA256_LEN];
};

/* Inside the caller's transaction. seq and hash of `entry` are computed, and given back in *ret_head for
 * audit_log(), once the transaction is committed. */
enum status audit_append(struct sql *sql, const struct audit_entry *entry, struct audit_head *ret_head,
                         struct why *why) MUST_CHECK;
void audit_log(const struct audit_entry *entry, const struct audit_head *head);

enum status audit_head(struct sql *sql, struct audit_head *ret, struct why *why) MUST_CHECK;

/* Walks the chain. ST_INTERNAL with why->at = seq of the first entry that does not fit. */
enum status audit_verify(struct sql *sql, struct audit_head *ret, struct why *why) MUST_CHECK;

typedef enum status audit_fn(void *ctx, const struct audit_entry *entry);
enum status audit_each(struct sql *sql, int64_t after, int64_t limit, audit_fn *fn, void *ctx,
                       struct why *why) MUST_CHECK;

#endif
