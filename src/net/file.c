#include "net/file.h"

#include <errno.h>
#include <fcntl.h>
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
