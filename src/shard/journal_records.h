/* shard/journal_records.h - how each kind of object that has a record writes it: one row each in journal_records.c. */
#ifndef SYMBOLON_SHARD_JOURNAL_RECORDS_H
#define SYMBOLON_SHARD_JOURNAL_RECORDS_H

#include "shard/journal.h"

/* What the object is now: its record, or that it has none any more. ST_NO_MEMORY. */
enum status journal_put(struct shard *shard, struct durable *d, struct kv_batch *batch) MUST_CHECK;
/* That has become part of a batch. Frees what had gone. */
void journal_sealed(struct durable *d);
/* The shard goes: frees what had gone. */
void journal_forget(struct durable *d);

#endif
