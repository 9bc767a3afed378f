/* as/state_file.h - small private files that must be whole after a crash: written beside, fsynced, renamed. */
#ifndef SYMBOLON_AS_STATE_FILE_H
#define SYMBOLON_AS_STATE_FILE_H

#include "base/span.h"
#include "base/status.h"

#include <sys/types.h>

/* Replaces what is there. */
enum status state_file_write(const char *path, struct span content, mode_t mode, struct why *why) MUST_CHECK;
/* ST_EXISTS instead of replacing. */
enum status state_file_create(const char *path, struct span content, mode_t mode, struct why *why) MUST_CHECK;

#endif
