/* broker/world_bridges.h - the bridges of the settings (bridge/bridge.h) and their ends at this broker: each is a client of
 * it over a socket pair, whose other end goes to the worker that is the session's home. */
#ifndef SYMBOLON_BROKER_WORLD_BRIDGES_H
#define SYMBOLON_BROKER_WORLD_BRIDGES_H

#include "broker/settings_file.h"
#include "broker/worker.h"

struct world_bridges;

/* NULL in *ret where the settings have none. `config`, `common` and `node` (bridge/path.h) must outlive it. Reads keys and passwords. */
enum status world_bridges_new(const struct broker_config *config, struct worker_common *common,
                              const char *node, struct world_bridges **ret, struct why *why) MUST_CHECK;
/* Before the workers run: sessions that came back from the disk, of bridges that the settings do not have any more. Nobody
 * would come for what gathers in them. */
void world_bridges_forget(const struct broker_config *config, struct worker_common *common, struct now now);
/* Once the workers run; stopped before they do. NULL does nothing, as below. */
enum status world_bridges_start(struct world_bridges *bridges, struct why *why) MUST_CHECK;
void world_bridges_stop(struct world_bridges *bridges);
void world_bridges_free(struct world_bridges *bridges);

#endif
