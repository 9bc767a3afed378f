/* client/store_dir.h - the message store in a folder (engine_store.h): one SQLite file, one client at a time.
 *   DIR/messages.db               messages on their way, received QoS 2 identifiers, whose they are
 *   DIR/messages.db.damaged-TIME  what could not be read any more, set aside
 *   DIR/lock                      held while the store is open
 * Every commit survives the death of the process; with `fsync` a power cut, too. Blocking; one thread. */
#ifndef SYMBOLON_CLIENT_STORE_DIR_H
#define SYMBOLON_CLIENT_STORE_DIR_H

#include "client/engine.h"

struct store_dir;

struct store_dir_settings {
    const char *dir;
    const char *client_id; /* the session's: ST_DENIED if the folder holds another client's messages */
    size_t max_bytes;      /* topics, properties, payloads, and STORE_ROW_BYTES for each message */
    bool fsync;
};

#define STORE_ROW_BYTES 128

/* *ret_damaged: a file was set aside. ST_EXISTS: another process has it open. ST_DENIED: others may write
 * into the folder. Else ST_IO, ST_BAD_VERSION (made by a newer
 * version), ST_NO_MEMORY. */
enum status store_dir_open(const struct store_dir_settings *settings, struct now now,
                           struct store_dir **ret_store, bool *ret_damaged, struct why *why) MUST_CHECK;
void store_dir_close(struct store_dir *store); /* NULL does nothing; what was not committed is gone */

/* Gives the engine what is there, before its first connection. */
enum status store_dir_load(struct store_dir *store, struct engine *engine, struct now now,
                           struct why *why) MUST_CHECK;

extern const struct engine_store store_dir_functions; /* ctx: the struct store_dir */

#endif
