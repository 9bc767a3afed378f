#include "net/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE 4096

static enum status read_all(int fd, struct buf *out, struct why *why)
{
    for (;;) {
        uint8_t piece[PIECE];
        ssize_t n = read(fd, piece, sizeof piece);
        if (n == 0)
            return ST_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return reject(why, ST_IO, "file", "cannot be read", 0);
        put_bytes(out, span_of(piece, (size_t)n));
        explicit_bzero(piece, (size_t)n); /* it may be a key */
        if (!buf_ok(out))
            return reject(why, ST_TOO_LARGE, "file", "larger than expected", out->max);
    }
}

enum status file_read(const char *path, struct buf *out, struct why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return reject(why, errno == ENOENT ? ST_NOT_FOUND : ST_IO, "file",
                      errno == ENOENT ? "does not exist" : "cannot be opened", 0);
    enum status st = read_all(fd, out, why);
    close(fd);
    return st;
}

static bool write_all(int fd, struct span s)
{
    while (s.len > 0) {
        ssize_t n = write(fd, s.p, s.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        s = span_cut(s, (size_t)n, s.len);
    }
    return true;
}

static enum status write_new(const char *path, struct span content, mode_t mode, struct why *why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);

    if (fd < 0 && errno == EEXIST)
        return reject(why, ST_EXISTS, "file", "a file of that name is already there", 0);
    if (fd < 0)
        return reject(why, ST_IO, "file", "a file cannot be created", 0);
    bool ok = fchmod(fd, mode) == 0 && write_all(fd, content) && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    if (!ok) {
        unlink(path);
        return reject(why, ST_IO, "file", "a file cannot be written", 0);
    }
    return ST_OK;
}

/* The name is on disk only when the folder is. */
static void sync_folder(const char *path)
{
    CLEANUP(freep)
    char *copy = span_dup_str(span_of_str(path));
    int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

enum status file_create(const char *path, struct span content, mode_t mode, struct why *why)
{
    enum status st = write_new(path, content, mode, why);

    if (st == ST_OK)
        sync_folder(path);
    return st;
}

enum status file_replace(const char *path, struct span content, mode_t mode, struct why *why)
{
    CLEANUP(freep)
    char *beside = NULL;

    if (asprintf(&beside, "%s.new", path) < 0) {
        beside = NULL;
        return reject(why, ST_NO_MEMORY, "file", "out of memory", 0);
    }
    unlink(beside); /* what a crash left */
    enum status st = write_new(beside, content, mode, why);
    if (st == ST_OK && rename(beside, path) != 0)
        st = reject(why, ST_IO, "file", "a file cannot be renamed into place", 0);
    if (st == ST_OK)
        sync_folder(path);
    return st;
}
