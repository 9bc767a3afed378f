/* broker/token_journal.h - the part of the token store that survives a restart: one SQLite table, a row for each kept
 * token, receipt, sequence number and revocation. Changes are taken from the store and committed together, fsync
 * included, so whoever was answered after a commit finds his token again after kill -9.
 * The file holds secret keys of clients: it is made with mode 0600, in a folder that should be the broker's alone.
 * A damaged file is set aside and reported, and the broker starts with an empty one.
 * Threads: its owner's; the store calls wake() on any. */
#ifndef SYMBOLON_BROKER_TOKEN_JOURNAL_H
#define SYMBOLON_BROKER_TOKEN_JOURNAL_H

#include "broker/token_store.h"

#define TOKEN_JOURNAL_FILE "tokens.db"

struct token_journal;

/* Opens or creates folder/tokens.db, fills the store from it, and has the store number its changes. ST_IO,
 * ST_BAD_VERSION (written by a newer broker), ST_NO_MEMORY. */
enum status token_journal_new(const char *folder, struct token_store *store, void (*wake)(void *ctx), void *ctx,
                              struct now now, struct token_journal **ret_journal, struct why *why) MUST_CHECK;
/* Writes what there is down, and says so to the store. After a failure the same changes are tried again next time. */
enum status token_journal_write(struct token_journal *journal, struct why *why) MUST_CHECK;
/* Writes for the last time. NULL is fine. The store must still be there. */
void token_journal_free(struct token_journal *journal);

#endif
