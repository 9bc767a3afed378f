/* broker/world_store.h - the store of a running broker (docs/operate/durability.md): opened and read back before anybody is
 * let in, written by the committer while the workers run, watched, and emptied into the disk at the end.
 * With `durability: none` and a `state_dir` only the tokens are kept there.
 * Life:    world_store_new() before the workers are made; world_store_start(), with the privileges it will be used with,
 *          before they run; world_store_stop() after they have ended; world_store_free().
 * Threads: the main thread's, which runs the control loop. */
#ifndef SYMBOLON_BROKER_WORLD_STORE_H
#define SYMBOLON_BROKER_WORLD_STORE_H

#include "broker/settings_file.h"
#include "broker/worker.h"
#include "broker/world.h"

struct loop;
struct world_store;
struct world_tokens;

/* *ret_store is NULL without `state_dir`, which the others take. Tells `common` where its workers find it. All must outlive it. */
enum status world_store_new(const struct broker_config *config, struct loop *control,
                            struct worker_common *common, struct world_tokens *tokens, world_notify *notify,
                            struct world_store **ret_store, struct why *why) MUST_CHECK;
/* Starts `tokens`, too. `now`: of the loop they live on. */
enum status world_store_start(struct world_store *store, struct now now, struct why *why) MUST_CHECK;
void world_store_stop(struct world_store *store);
void world_store_free(struct world_store *store);

#endif
