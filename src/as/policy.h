/* as/policy.h - what clients may do: rules (allow or deny; whom; audience; topic filter; permissions).
 * granted = requested ∩ allowed, without what a deny touches. The filter of a rule may contain ${client_id}, which
 * stands for the client's identifier; identifiers hold nothing that means something in a filter.
 * A deny that overlaps an entry only in part removes the whole entry: a topic filter cannot say "all but this", and
 * what is left out can be asked for more narrowly. Whether an entry is touched is judged after it was narrowed to
 * what was requested, so asking for "a/b" is not hurt by a deny of "a/secret/#" under an allow of "a/#".
 * Failure: ST_BAD_FILTER, ST_MALFORMED, ST_NOT_FOUND, ST_EXISTS, ST_IO. Threads: one. */
#ifndef SYMBOLON_AS_POLICY_H
#define SYMBOLON_AS_POLICY_H

#include "base/arena.h"
#include "base/clock.h"
#include "scope/scope.h"
#include "store/sql.h"

#define POLICY_RULES_MAX 1024 /* that concern one client at one audience */

struct policy_rule {
    int64_t id;
    bool allow;
    struct span subject; /* "client:ID", "group:NAME", "any" */
    struct span audience;
    struct span filter;
    unsigned permissions; /* SCOPE_PUB | SCOPE_SUB */
    int64_t created_at;
};

enum status policy_add(struct sql *sql, const struct policy_rule *rule, int64_t *ret_id,
                       struct why *why) MUST_CHECK;
enum status policy_remove(struct sql *sql, int64_t id, struct why *why) MUST_CHECK;
enum status policy_count(struct sql *sql, int64_t *ret, struct why *why) MUST_CHECK;

/* By id after `after`. Empty subject or audience: all. */
typedef enum status policy_fn(void *ctx, const struct policy_rule *rule);
enum status policy_each(struct sql *sql, struct span subject, struct span audience, int64_t after,
                        int64_t limit, policy_fn *fn, void *ctx, struct why *why) MUST_CHECK;
/* The rules that concern a client, at one audience or (empty) at all: its own, its groups', everybody's. */
enum status policy_each_for(struct sql *sql, struct span client_id, struct span audience, policy_fn *fn,
                            void *ctx, struct why *why) MUST_CHECK;

/* One permission of one requested entry that was not granted as asked; `rule` is the deny, 0 if nothing allows. */
typedef enum status policy_refused_fn(void *ctx, struct topic_filter filter, unsigned permission, int64_t rule);

/* `requested` NULL: everything that is allowed. The result may be empty. `refused` may be NULL. */
enum status policy_grant(struct sql *sql, struct span client_id, struct span audience,
                         const struct scope *requested, struct arena *arena, struct scope **ret_granted,
                         policy_refused_fn *refused, void *ctx, struct why *why) MUST_CHECK;

#endif
