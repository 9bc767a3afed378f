/* broker/world.h - the running broker: listening sockets, workers, the control loop with signals and the resolver.
 * The control loop is the main thread's. SIGTERM and SIGINT stop in order (DISCONNECT 0x8B to everybody), a second
 * one at once; SIGHUP reads certificates and key files again, SIGUSR1 logs the statistics. */
#ifndef SYMBOLON_BROKER_WORLD_H
#define SYMBOLON_BROKER_WORLD_H

#include "broker/settings_file.h"

struct world;

/* Opens everything that may need privileges: sockets, certificates, keys. `config` must outlive it. `workers`:
 * overrides the setting unless 0. */
enum status world_new(const struct broker_config *config, unsigned workers, struct world **ret_world,
                      struct why *why) MUST_CHECK;
/* "mqtts=8883\n" for each listener, with the port really used. */
void world_ports(const struct world *world, struct buf *out);
/* Serves until a signal says stop. `ready` (may be NULL) is called once everything listens. */
enum status world_run(struct world *world, void (*ready)(void), struct why *why) MUST_CHECK;
void world_free(struct world *world);

#endif
