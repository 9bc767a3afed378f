/* client/private_file.h - small files that hold secrets: keys, tokens, client secrets.
 * Reading refuses what others than the owner could have read or replaced; writing makes mode 0600 and returns when
 * the bytes are on disk. Blocking. */
#ifndef SYMBOLON_CLIENT_PRIVATE_FILE_H
#define SYMBOLON_CLIENT_PRIVATE_FILE_H

#include "base/buf.h"
#include "base/status.h"

/* ST_DENIED if it is not a regular file of this user (or root) with mode 0600 or less; ST_NOT_FOUND, ST_TOO_LARGE,
 * ST_IO. Appends to `out`, which bounds it; wipe that afterwards. */
enum status private_file_read(const char *path, struct buf *out, struct why *why) MUST_CHECK;

/* ST_EXISTS if it is there already. */
enum status private_file_create(const char *path, struct span bytes, struct why *why) MUST_CHECK;

/* All or nothing: a new file beside it, then rename(). */
enum status private_file_replace(const char *path, struct span bytes, struct why *why) MUST_CHECK;

/* Makes the folder, and its parents, with mode 0700 where missing. */
enum status private_folder_make(const char *path, struct why *why) MUST_CHECK;

/* The same, and ST_DENIED if it is another user's (root's is fine), or others may write into it: they could put their own
 * files in place of ours. */
enum status private_folder_own(const char *path, struct why *why) MUST_CHECK;

#endif
