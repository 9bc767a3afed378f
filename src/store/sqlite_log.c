#include "store/sqlite_log.h"

#include "base/span.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GATHER_MAX   131071 /* what SQLite's own file system takes at once; thirty pages, ten tokens */
#define NAME_MAX_LEN 32

struct sqlite_log {
    sqlite3_vfs vfs; /* its pAppData is this */
    sqlite3_vfs *real;
    char name[NAME_MAX_LEN];
    bool gathering;
    size_t len; /* of what is gathered, which goes to `at` */
    sqlite3_int64 at;
    uint8_t bytes[GATHER_MAX];
};

/* The real file is behind it. */
struct log_file {
    sqlite3_file base;
    struct sqlite_log *log;
    sqlite3_file *real;
};

static struct log_file *log_file_of(sqlite3_file *file)
{
    return (struct log_file *)file;
}

static int flush(struct log_file *f)
{
    struct sqlite_log *log = f->log;
    size_t len = log->len;

    log->len = 0;
    return len == 0 ? SQLITE_OK : f->real->pMethods->xWrite(f->real, log->bytes, (int)len, log->at);
}

static int log_close(sqlite3_file *file)
{
    struct log_file *f = log_file_of(file);

    f->log->len = 0;
    return f->real->pMethods->xClose(f->real);
}

static int log_read(sqlite3_file *file, void *to, int n, sqlite3_int64 at)
{
    struct log_file *f = log_file_of(file);
    int rc = flush(f);

    return rc == SQLITE_OK ? f->real->pMethods->xRead(f->real, to, n, at) : rc;
}

static int log_write(sqlite3_file *file, const void *from, int n, sqlite3_int64 at)
{
    struct log_file *f = log_file_of(file);
    struct sqlite_log *log = f->log;
    const size_t len = (size_t)n;
    int rc = SQLITE_OK;

    if (log->len > 0 && (at != log->at + (sqlite3_int64)log->len || len > sizeof log->bytes - log->len))
        rc = flush(f);
    if (rc != SQLITE_OK)
        return rc;
    if (!log->gathering || len > sizeof log->bytes)
        return f->real->pMethods->xWrite(f->real, from, n, at);
    if (log->len == 0)
        log->at = at;
    memcpy(&log->bytes[log->len], from, len);
    log->len += len;
    return SQLITE_OK;
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct log_file *f = log_file_of(file);
    int rc = flush(f);

    return rc == SQLITE_OK ? f->real->pMethods->xTruncate(f->real, size) : rc;
}

static int log_sync(sqlite3_file *file, int flags)
{
    struct log_file *f = log_file_of(file);
    int rc = flush(f);

    return rc == SQLITE_OK ? f->real->pMethods->xSync(f->real, flags) : rc;
}

static int log_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    struct log_file *f = log_file_of(file);
    int rc = flush(f);

    return rc == SQLITE_OK ? f->real->pMethods->xFileSize(f->real, ret_size) : rc;
}

static int log_lock(sqlite3_file *file, int level)
{
    struct log_file *f = log_file_of(file);

    return f->real->pMethods->xLock(f->real, level);
}

static int log_unlock(sqlite3_file *file, int level)
{
    struct log_file *f = log_file_of(file);

    return f->real->pMethods->xUnlock(f->real, level);
}

static int log_reserved(sqlite3_file *file, int *ret_reserved)
{
    struct log_file *f = log_file_of(file);

    return f->real->pMethods->xCheckReservedLock(f->real, ret_reserved);
}

static int log_control(sqlite3_file *file, int what, void *arg)
{
    struct log_file *f = log_file_of(file);

    return f->real->pMethods->xFileControl(f->real, what, arg);
}

static int log_sector(sqlite3_file *file)
{
    struct log_file *f = log_file_of(file);

    return f->real->pMethods->xSectorSize(f->real);
}

static int log_device(sqlite3_file *file)
{
    struct log_file *f = log_file_of(file);

    return f->real->pMethods->xDeviceCharacteristics(f->real);
}

static const sqlite3_io_methods log_methods = {
    .iVersion = 1, /* a log is never mapped, nor shared by itself */
    .xClose = log_close,
    .xRead = log_read,
    .xWrite = log_write,
    .xTruncate = log_truncate,
    .xSync = log_sync,
    .xFileSize = log_size,
    .xLock = log_lock,
    .xUnlock = log_unlock,
    .xCheckReservedLock = log_reserved,
    .xFileControl = log_control,
    .xSectorSize = log_sector,
    .xDeviceCharacteristics = log_device,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct sqlite_log *log = vfs->pAppData;
    struct log_file *f = log_file_of(file);

    if ((flags & SQLITE_OPEN_WAL) == 0)
        return log->real->xOpen(log->real, name, file, flags, ret_flags);
    f->base.pMethods = NULL;
    f->log = log;
    f->real = (sqlite3_file *)(void *)&f[1];
    int rc = log->real->xOpen(log->real, name, f->real, flags, ret_flags);
    if (rc == SQLITE_OK)
        f->base.pMethods = &log_methods;
    else if (f->real->pMethods != NULL)
        f->real->pMethods->xClose(f->real);
    return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    struct sqlite_log *log = vfs->pAppData;

    return log->real->xDelete(log->real, name, sync);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    struct sqlite_log *log = vfs->pAppData;

    return log->real->xAccess(log->real, name, flags, ret);
}

static int vfs_full(sqlite3_vfs *vfs, const char *name, int n, char *ret_path)
{
    struct sqlite_log *log = vfs->pAppData;

    return log->real->xFullPathname(log->real, name, n, ret_path);
}

enum status sqlite_log_new(struct sqlite_log **ret_log)
{
    sqlite3_vfs *real = sqlite3_initialize() == SQLITE_OK ? sqlite3_vfs_find(NULL) : NULL;
    struct sqlite_log *log = real != NULL ? calloc(1, sizeof *log) : NULL;

    if (log == NULL)
        return ST_NO_MEMORY;
    snprintf(log->name, sizeof log->name, "symbolon-%p", (void *)log);
    log->real = real;
    log->vfs = *real; /* randomness, time, errors: as they are; none of them looks at who asks */
    log->vfs.pNext = NULL;
    log->vfs.zName = log->name;
    log->vfs.pAppData = log;
    log->vfs.szOsFile = (int)sizeof(struct log_file) + real->szOsFile;
    log->vfs.xOpen = vfs_open;
    log->vfs.xDelete = vfs_delete;
    log->vfs.xAccess = vfs_access;
    log->vfs.xFullPathname = vfs_full;
    if (sqlite3_vfs_register(&log->vfs, 0) != SQLITE_OK) {
        free(log);
        return ST_NO_MEMORY;
    }
    *ret_log = log;
    return ST_OK;
}

void sqlite_log_free(struct sqlite_log *log)
{
    if (log == NULL)
        return;
    sqlite3_vfs_unregister(&log->vfs);
    free(log);
}

const char *sqlite_log_vfs(const struct sqlite_log *log)
{
    return log->name;
}

void sqlite_log_begin(struct sqlite_log *log)
{
    log->gathering = true;
}

void sqlite_log_end(struct sqlite_log *log)
{
    log->gathering = false;
    log->len = 0;
}
