#include "client/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLAUSE "private file"

static enum status why_errno(struct why *why, int error)
{
    switch (error) {
    case ENOENT:
        return reject(why, ST_NOT_FOUND, CLAUSE, "no such file", 0);
    case EEXIST:
        return reject(why, ST_EXISTS, CLAUSE, "the file exists; it is not overwritten", 0);
    case EACCES:
    case EPERM:
        return reject(why, ST_IO, CLAUSE, "permission denied", 0);
    case ENOSPC:
        return reject(why, ST_IO, CLAUSE, "no space left on the device", 0);
    default:
        return reject(why, ST_IO, CLAUSE, "reading or writing failed", 0);
    }
}

static void closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static enum status read_all(int fd, struct buf *out, struct why *why)
{
    for (;;) {
        uint8_t chunk[4096];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return why_errno(why, errno);
        put_bytes(out, span_of(chunk, (size_t)n));
        explicit_bzero(chunk, sizeof chunk);
        if (n == 0)
            break;
        if (!buf_ok(out))
            return reject(why, ST_TOO_LARGE, CLAUSE, "larger than such a file can be", 0);
    }
    return ST_OK;
}

enum status private_file_read(const char *path, struct buf *out, struct why *why)
{
    CLEANUP(closep)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0)
        return why_errno(why, errno);
    if (!S_ISREG(st.st_mode))
        return reject(why, ST_DENIED, CLAUSE, "not a regular file", 0);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return reject(why, ST_DENIED, CLAUSE, "belongs to another user", 0);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return reject(why, ST_DENIED, CLAUSE, "others may read or write it: chmod 600", 0);
    return read_all(fd, out, why);
}

static enum status write_all(int fd, struct span bytes, struct why *why)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.p, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return why_errno(why, errno);
        bytes = span_cut(bytes, (size_t)n, bytes.len);
    }
    return fsync(fd) == 0 ? ST_OK : why_errno(why, errno);
}

enum status private_file_create(const char *path, struct span bytes, struct why *why)
{
    CLEANUP(closep)
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum status st;

    if (fd < 0)
        return why_errno(why, errno);
    st = write_all(fd, bytes, why);
    if (st != ST_OK)
        unlink(path);
    return st;
}

enum status private_file_replace(const char *path, struct span bytes, struct why *why)
{
    CLEANUP(freep)
    char *temp = NULL;
    CLEANUP(closep)
    int fd = -1;
    enum status st;

    if (asprintf(&temp, "%s.XXXXXX", path) < 0) {
        temp = NULL;
        return reject(why, ST_NO_MEMORY, CLAUSE, "out of memory", 0);
    }
    fd = mkostemp(temp, O_CLOEXEC); /* 0600 */
    if (fd < 0)
        return why_errno(why, errno);
    st = write_all(fd, bytes, why);
    if (st == ST_OK && rename(temp, path) != 0)
        st = why_errno(why, errno);
    if (st != ST_OK)
        unlink(temp);
    return st;
}

enum status private_folder_make(const char *path, struct why *why)
{
    CLEANUP(freep)
    char *copy = strdup(path);
    struct stat st;

    if (copy == NULL)
        return reject(why, ST_NO_MEMORY, CLAUSE, "out of memory", 0);
    for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            return why_errno(why, errno);
        *slash = '/';
    }
    if (mkdir(copy, 0700) != 0 && errno != EEXIST)
        return why_errno(why, errno);
    if (stat(copy, &st) != 0 || !S_ISDIR(st.st_mode))
        return reject(why, ST_IO, CLAUSE, "not a folder", 0);
    return ST_OK;
}

enum status private_folder_own(const char *path, struct why *why)
{
    struct stat st;
    enum status made = private_folder_make(path, why);

    if (made != ST_OK)
        return made;
    if (stat(path, &st) != 0)
        return why_errno(why, errno);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return reject(why, ST_DENIED, CLAUSE, "the folder belongs to another user", 0);
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return reject(why, ST_DENIED, CLAUSE, "others may write into the folder: chmod 700", 0);
    return ST_OK;
}
