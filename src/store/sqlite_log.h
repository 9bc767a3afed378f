/* store/sqlite_log.h - SQLite's log of a connection, written as few times as it can be. A commit writes each changed page
 * with two calls, a head and the page, one behind the other; here what belongs to one commit is gathered and goes with
 * one call, at the latest when SQLite asks for it to be synced. It asks for that before it shows the commit to anybody
 * (synchronous = FULL), so no other process looks for what is not there yet.
 * A file system for SQLite (sqlite3_vfs) of one connection, with the real one behind it; all but the log is the real one's.
 * Ownership: sqlite_log_free() after the connection is closed; NULL does nothing.
 * Errors:    ST_NO_MEMORY. What fails later, fails in SQLite's own statement.
 * Threads:   the connection's. */
#ifndef SYMBOLON_STORE_SQLITE_LOG_H
#define SYMBOLON_STORE_SQLITE_LOG_H

#include "base/status.h"

struct sqlite_log;

enum status sqlite_log_new(struct sqlite_log **ret_log) MUST_CHECK;
void sqlite_log_free(struct sqlite_log *log);

/* For sqlite3_open_v2(). */
const char *sqlite_log_vfs(const struct sqlite_log *log);

/* Around the statement COMMIT, and nothing else: only then is what is gathered safe to be held back, because the lock to
 * write is held until it is synced or given up. What is left at the end is of a commit that failed, and is dropped. */
void sqlite_log_begin(struct sqlite_log *log);
void sqlite_log_end(struct sqlite_log *log);

#endif
