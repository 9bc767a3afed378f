/* broker/world_status.h - the broker's side of revocation: follows the list of every authorization server that has a
 * revocation_uri (status_feed.h) and acts on what it says.
 *   revoked   the token store knows first, so that nobody gets in with it any more; then every worker cuts its sessions
 *   removed   the token is over by its own account; forgotten, after the clocks' difference has passed
 *   changed   the store knows first, so that it is introspected whoever brings it; then, if sessions rest on it, it is
 *             introspected at once and they are swapped to what is left, or cut. An answer that cannot be had is asked for
 *             again a few times, and then the sessions are cut: that less is permitted is known, only not what.
 *   silence   nothing heard for revocation.max_stale: the issuer's tokens are refused and its sessions cut, until it
 *             answers
 * Life:    world_status_new(), world_status_start() with the workers running, world_status_stop() before resolver, workers
 *          and control loop go, world_status_free() after them.
 * Threads: the control loop's. */
#ifndef SYMBOLON_BROKER_WORLD_STATUS_H
#define SYMBOLON_BROKER_WORLD_STATUS_H

#include "broker/resolver.h"
#include "broker/worker.h"

struct token_store;
struct world_status;

/* All must outlive it, but for what world_status_stop() is for. `tokens` may be NULL: then only live sessions hear of it.
 * *ret_status is NULL if no server has a revocation_uri. */
enum status world_status_new(struct loop *control, const struct broker_config *config,
                             struct resolver *resolver, struct token_store *tokens,
                             struct worker_common *workers, struct world_status **ret_status,
                             struct why *why) MUST_CHECK;
enum status world_status_start(struct world_status *status,
                               struct why *why) MUST_CHECK; /* NULL is fine in all three */
void world_status_stop(struct world_status *status);
void world_status_free(struct world_status *status);

#endif
