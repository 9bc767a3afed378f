/* broker/store_migrate.h - records of former formats, one step from each to the next (record.h, RECORD_FORMAT).
 * A step sees each record once, in the order of keys, and puts what it becomes into a batch: nothing, one or several. It needs
 * no other record, so a store of any size is brought forward in pieces. The record of the format itself (v) is a record like
 * all others.
 * Format 0 was never released: it is format 1 without the protocol version in a session and without the start in `v`, kept
 * as the step that proves the table. */
#ifndef SYMBOLON_BROKER_STORE_MIGRATE_H
#define SYMBOLON_BROKER_STORE_MIGRATE_H

#include "record/record.h"
#include "store/kv_batch.h"

/* Whether there is a way from this format to RECORD_FORMAT. */
bool store_migrate_knows(uint32_t format);

/* A record of `format` as today's, appended to `out`. ST_MALFORMED: it makes no sense in its own format. ST_NO_MEMORY. */
enum status store_migrate_record(uint32_t format, struct span key, struct span value, struct kv_batch *out,
                                 struct why *why) MUST_CHECK;

#endif
