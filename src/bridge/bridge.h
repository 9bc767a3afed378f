/* bridge/bridge.h - bridges to other brokers: two MQTT clients back to back on one loop, which has a thread of its own.
 *
 *   this broker ◀─ socket pair ─▶ local client ◀─ relay ─▶ remote client ◀─ TCP, TLS ─▶ the other broker
 *      session "$bridge/NAME"         no_local, manual ack, both sides        session client_id
 *
 * Messages wait in the two brokers' sessions, never here: what a client here has taken and not passed on it has not
 * acknowledged. The local client is always connected; what it takes while the other broker is away is its window
 * (max_inflight), and this broker's queue of that session holds the rest.
 * Life:    bridges_new() (reads key and password files) -> bridges_start() -> bridges_stop() -> bridges_free().
 * Threads: all of these from the main thread; `connect_local` is called on the bridges' thread. */
#ifndef SYMBOLON_BRIDGE_BRIDGE_H
#define SYMBOLON_BRIDGE_BRIDGE_H

#include "bridge/settings.h"

struct bridges;
struct scope;

struct bridge_world {
    /* A connected, non-blocking socket to this broker, on which CONNECT with that Client Identifier gets these rights and
     * no other is taken; -1: not now. */
    int (*connect_local)(void *ctx, const char *client_id, struct scope *scope);
    void *ctx;
    uint32_t max_packet_size; /* of this broker, and so of what is taken from others */
    const char *node;         /* path.h; one for all bridges of this broker, no other broker's */
};

/* `configs` (struct bridge_config, checked) and what `world` points to must outlive it; `world` is copied. */
enum status bridges_new(const struct config_records *configs, const struct bridge_world *world,
                        struct bridges **ret_bridges, struct why *why) MUST_CHECK;
enum status bridges_start(struct bridges *bridges, struct why *why) MUST_CHECK;
/* DISCONNECT on both sides, and the thread ends. Waits a few seconds at most. */
void bridges_stop(struct bridges *bridges);
void bridges_free(struct bridges *bridges); /* NULL does nothing */

#endif
