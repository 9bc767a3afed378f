/* as/status_work.h - changes of policy, groups, clients, keys and resource servers catch up with tokens that were issued
 * before: revoked, or compared with what policy allows now. What a token permits never grows: more takes a new token.
 *     issued scope within what policy allows -> nothing
 *     less is left                           -> the row has what is left; told as changed
 *     nothing is left                        -> revoked
 * The first STATUS_SLICE tokens are done with the change itself, the rest by as_work() a slice at a time, each slice with
 * its place in one transaction: a process that dies leaves nothing half done and nothing forgotten. */
#ifndef SYMBOLON_AS_STATUS_WORK_H
#define SYMBOLON_AS_STATUS_WORK_H

#include "as/as_priv.h"

#define STATUS_SLICE 128

/* Which tokens, by the key they are bound to. */
enum status_bound {
    STATUS_BOUND_ANY,
    STATUS_BOUND_KEY,   /* to `jwk` */
    STATUS_BOUND_OTHER, /* to a key or certificate, but not to `jwk` (which may be empty) */
};

struct status_job {
    const char *cause;     /* the command, for the audit */
    bool revoke;           /* whatever policy says */
    struct span client_id; /* tokens of this client; or empty: */
    struct span rs_id;     /* tokens for this resource server; with client_id: of those, if not empty */
    struct span group;     /* only those of its members; empty: all */
    enum status_bound bound;
    struct span jwk; /* JWK text */
};

struct status_done {
    int64_t revoked, changed; /* now */
    int64_t queued;           /* tokens that as_work() will look at */
};

/* In the caller's transaction. */
enum status status_work_begin(struct as *as, const struct status_job *job, struct now now,
                              struct status_done *ret, struct why *why) MUST_CHECK;
/* Tokens that are still to be looked at, about. */
enum status status_work_left(struct as *as, int64_t *ret, struct why *why) MUST_CHECK;

#endif
