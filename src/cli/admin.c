#include "cli/admin.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define CLAUSE     "admin socket"
#define LINE_MAX_  65536
#define ANSWER_MAX 4194304
#define ANSWER_S   30

static void closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static enum status open_socket(const char *path, int *ret_fd, struct why *why)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const struct timeval wait = { .tv_sec = ANSWER_S };
    int fd;

    if (strlen(path) >= sizeof address.sun_path)
        return reject(why, ST_NOT_FOUND, CLAUSE, "the path of the socket is too long", 0);
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return reject(why, ST_IO, CLAUSE, "no socket to be had", 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
        *ret_fd = fd;
        return ST_OK;
    }
    int error = errno;
    close(fd);
    if (error == EACCES || error == EPERM)
        return reject(why, ST_DENIED, CLAUSE,
                      "only root, the server's own user and its admin_group may use its socket", 0);
    if (error == ENOENT)
        return reject(why, ST_UNREACHABLE, CLAUSE,
                      "no such socket: is the server running, and is --socket right?", 0);
    return reject(why, ST_UNREACHABLE, CLAUSE, "nobody listens on it: is the server running?", 0);
}

static enum status send_all(int fd, struct span bytes, struct why *why)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.p, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return reject(why, ST_UNREACHABLE, CLAUSE, "the server hung up", 0);
        bytes = span_cut(bytes, (size_t)n, bytes.len);
    }
    return ST_OK;
}

/* Until the newline, which is dropped. */
static enum status receive_line(int fd, struct buf *out, struct why *why)
{
    for (;;) {
        uint8_t *room = buf_room(out, 65536);
        if (room == NULL)
            return reject(why, ST_TOO_LARGE, CLAUSE, "the answer is too long", 0);
        ssize_t n = recv(fd, room, 65536, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return reject(why, ST_TIMEOUT, CLAUSE, "no answer in time", 0);
        if (n <= 0)
            return reject(
                why, ST_UNREACHABLE, CLAUSE,
                "the server hung up: only root, its own user, and who has its admin credential get an answer",
                0);
        buf_added(out, (size_t)n);
        if (out->p[out->len - 1] == '\n') {
            buf_truncate(out, out->len - 1);
            return ST_OK;
        }
    }
}

static enum status ask_line(int fd, const struct js *question, struct js **ret_answer, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf line = { .max = LINE_MAX_ }, answer = { .max = ANSWER_MAX + 65536 };
    enum status st = js_print(question, &line);

    put_str(&line, "\n");
    if (st != ST_OK || !buf_ok(&line))
        return reject(why, ST_TOO_LARGE, CLAUSE, "the command is too long", 0);
    st = send_all(fd, buf_span(&line), why);
    if (st == ST_OK)
        st = receive_line(fd, &answer, why);
    if (st == ST_OK)
        st = js_parse(buf_span(&answer), ANSWER_MAX, ret_answer, why);
    return st;
}

/* *ret_answer stays NULL if the credential is the right one. */
static enum status log_in(int fd, struct span credential, struct js **ret_answer, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *question = js_new_object();
    CLEANUP(js_unrefp)
    struct js *answer = NULL;
    bool ok = false;
    enum status st = js_set_str(question, "cmd", SPAN("login"));

    if (st == ST_OK)
        st = js_set_str(question, "credential", credential);
    if (st == ST_OK)
        st = ask_line(fd, question, &answer, why);
    js_get_bool(answer, "ok", &ok);
    if (st == ST_OK && !ok)
        *ret_answer = TAKE(answer);
    return st;
}

enum status admin_ask(const char *socket_path, struct span credential, const struct js *question,
                      struct js **ret_answer, struct why *why)
{
    CLEANUP(closep)
    int fd = -1;
    enum status st = open_socket(socket_path, &fd, why);

    if (st == ST_OK && credential.len > 0)
        st = log_in(fd, credential, ret_answer, why);
    if (st == ST_OK && *ret_answer == NULL)
        st = ask_line(fd, question, ret_answer, why);
    return st;
}
