/* net/file.h - whole small files: settings, keys, certificates. Blocking; for start and reload only. */
#ifndef SYMBOLON_NET_FILE_H
#define SYMBOLON_NET_FILE_H

#include "base/buf.h"
#include "base/status.h"

#include <sys/types.h>

/* Appends the file to `out`, which bounds it. ST_NOT_FOUND, ST_TOO_LARGE or ST_IO. */
enum status file_read(const char *path, struct buf *out, struct why *why) MUST_CHECK;

/* Whole or not there, also after a crash: written, fsynced, and its folder too. ST_EXISTS if there is one. */
enum status file_create(const char *path, struct span content, mode_t mode, struct why *why) MUST_CHECK;
/* The same beside the file that is there, if any, and then renamed over it. */
enum status file_replace(const char *path, struct span content, mode_t mode, struct why *why) MUST_CHECK;

#endif
