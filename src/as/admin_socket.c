#include "as/admin_socket.h"

#include "as/admin_login.h"
#include "as/admin_priv.h"
#include "net/line_socket.h"

#include <stdlib.h>

#define CLAUSE "admin_socket"

struct admin_socket {
    struct loop *loop;
    struct as *as;
    struct line_socket *lines;
    struct admin_login login;
};

static void on_line(void *ctx, struct line_peer *peer, struct span line)
{
    struct admin_socket *socket = ctx;
    struct buf reply;

    buf_init(&reply, AS_ADMIN_REPLY_MAX);
    as_admin(socket->as, line, line_actor(peer), loop_now(socket->loop), &reply);
    line_answer(peer, buf_span(&reply));
    buf_wipe(&reply); /* it may hold a new secret */
}

static enum status log_in(void *ctx, struct span line, struct span actor, struct mono_time now, struct why *why)
{
    struct admin_socket *socket = ctx;

    return admin_login_try(&socket->login, line, actor, now, why);
}

enum status admin_socket_new(struct loop *loop, const struct admin_socket_settings *settings, struct as *as,
                             struct admin_socket **ret_socket, struct why *why)
{
    struct admin_socket *socket = calloc(1, sizeof *socket);

    if (socket == NULL)
        return reject(why, ST_NO_MEMORY, CLAUSE, "out of memory", 0);
    socket->loop = loop;
    socket->as = as;
    struct line_socket_settings lines = { .clause = CLAUSE,
                                          .path = settings->path,
                                          .group = settings->group,
                                          .line_max = AS_ADMIN_LINE_MAX,
                                          .on_line = on_line,
                                          .login = log_in,
                                          .put_error = admin_put_error,
                                          .ctx = socket };
    enum status st = admin_login_init(&socket->login, settings->credential, settings->failures_per_minute, why);
    lines.strangers = socket->login.possible;
    if (st == ST_OK)
        st = line_socket_new(loop, &lines, &socket->lines, why);
    if (st != ST_OK) {
        free(socket);
        return st;
    }
    *ret_socket = socket;
    return ST_OK;
}

void admin_socket_free(struct admin_socket *socket)
{
    if (socket == NULL)
        return;
    line_socket_free(socket->lines);
    free(socket);
}
