/* broker/token_journal.h - the part of the token store that survives a restart: a row of the broker's own store (store/kv.h)
 * for each kept token, receipt, sequence number and revocation. Its key is 't', the kind, and 32 bytes of identifier
 * (record.h has the other letters). Changes are taken from the token store and go to disk in one batch at a time, so
 * whoever was answered after that finds his token again after kill -9.
 * Such a batch holds secret keys of clients: it is wiped (kv_batch.h), and the files are the broker's alone.
 * Pure. Threads: its owner's; the token store calls wake() on any. */
#ifndef SYMBOLON_BROKER_TOKEN_JOURNAL_H
#define SYMBOLON_BROKER_TOKEN_JOURNAL_H

#include "shard/token_store.h"

struct kv_batch;
struct token_journal;

/* From now on the store numbers its changes. `store` must outlive it. */
enum status token_journal_new(struct token_store *store, void (*wake)(void *ctx), void *ctx,
                              struct token_journal **ret_journal) MUST_CHECK;
/* NULL is fine. */
void token_journal_free(struct token_journal *journal);

/* The kinds in the order in which their rows are to be read back: a prefix of keys for each. What was revoked first,
 * and sequence numbers before the receipts and tokens they speak of. */
#define TOKEN_JOURNAL_KINDS 4
struct span token_journal_prefix(unsigned nth);
/* One row of the disk into the store; what is over or cannot be read goes with the next batch. ST_NO_MEMORY. */
enum status token_journal_read(struct token_journal *journal, struct span key, struct span value,
                               struct now now) MUST_CHECK;
uint32_t token_journal_rows(const struct token_journal *journal); /* read and of use */

/* What has changed, into `batch`; empty if nothing has, or as long as a batch is under way. ST_NO_MEMORY: to be tried again.
 * Nothing more is taken from the store meanwhile: it counts what waits, and refuses in the end. */
enum status token_journal_seal(struct token_journal *journal, struct kv_batch *batch) MUST_CHECK;
/* That batch is on disk, and so the store is told. */
void token_journal_stored(struct token_journal *journal);

#endif
