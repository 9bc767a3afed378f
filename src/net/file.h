/* net/file.h - whole small files: settings, keys, certificates. Blocking; for start and reload only. */
#ifndef SYMBOLON_NET_FILE_H
#define SYMBOLON_NET_FILE_H

#include "base/buf.h"
#include "base/status.h"

/* Appends the file to `out`, which bounds it. ST_NOT_FOUND, ST_TOO_LARGE or ST_IO. */
enum status file_read(const char *path, struct buf *out, struct why *why) MUST_CHECK;

#endif
