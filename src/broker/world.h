/* broker/world.h - the running broker: listening sockets, workers, the control loop with signals and the resolver.
 * The control loop is the main thread's. SIGTERM and SIGINT stop in order (DISCONNECT 0x8B to everybody), a second
 * one at once; SIGHUP reads certificates and key files again, SIGUSR1 logs the statistics. */
#ifndef SYMBOLON_BROKER_WORLD_H
#define SYMBOLON_BROKER_WORLD_H

#include "broker/settings_file.h"

struct world;

/* What a service manager wants to know, as sd_notify(3) takes it; on any thread. */
typedef void world_notify(const char *state);

/* Opens everything that may need privileges: sockets, certificates, keys. `config` must outlive it. `workers`:
 * overrides the setting unless 0. `notify` may be NULL. */
enum status world_new(const struct broker_config *config, unsigned workers, world_notify *notify,
                      struct world **ret_world, struct why *why) MUST_CHECK;
/* "mqtts=8883\n" for each listener, with the port really used. */
void world_ports(const struct world *world, struct buf *out);
/* Reads back what the disk holds, then lets clients in and serves until a signal says stop. */
enum status world_run(struct world *world, struct why *why) MUST_CHECK;
void world_free(struct world *world);

#endif
