#include "as/admin_socket.h"

#include "base/list.h"
#include "base/log.h"
#include "net/listener.h"
#include "net/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define ACTOR_MAX       32
#define LINES_A_TURN    16 /* then everybody else gets a turn */

struct admin_socket {
    struct loop *loop;
    struct as *as;
    struct listener *listener;
    struct list connections;
    size_t count;
};

struct connection {
    struct list link;
    struct admin_socket *socket; /* NULL: cut, and only waiting for the end */
    struct stream *stream;
    struct timer again; /* more lines are waiting */
    char actor[ACTOR_MAX];
};

static void answer_line(struct connection *c, struct span line)
{
    struct buf reply;

    buf_init(&reply, AS_ADMIN_REPLY_MAX);
    as_admin(c->socket->as, line, span_of_str(c->actor), loop_now(c->socket->loop), &reply);
    stream_send(c->stream, buf_span(&reply));
    buf_wipe(&reply); /* it may hold a new secret */
}

static size_t on_data(void *ctx, struct span data)
{
    struct connection *c = ctx;
    size_t at = 0;

    if (c->socket == NULL)
        return data.len;
    for (int lines = 0;; lines++) {
        if (lines == LINES_A_TURN || stream_congested(c->stream)) {
            stream_pause(c->stream);
            timer_start(loop_timers(c->socket->loop), &c->again, loop_now(c->socket->loop).mono);
            return at;
        }
        struct span rest = span_cut(data, at, data.len);
        size_t end = span_find(rest, '\n', 0);
        if (end > AS_ADMIN_LINE_MAX) { /* also without an end: nothing good can follow */
            answer_line(c, SPAN_NONE);
            stream_close(c->stream);
            return data.len;
        }
        if (end == rest.len)
            return at;
        answer_line(c, span_cut(rest, 0, end));
        at += end + 1;
    }
}

/* Answers that nobody reads must not pile up: then on_drained() goes on. */
static void go_on(struct connection *c)
{
    if (!stream_congested(c->stream))
        stream_resume(c->stream);
}

static void on_again(struct timer *timer, struct now now UNUSED)
{
    go_on(CONTAINER_OF(timer, struct connection, again));
}

static void on_drained(void *ctx)
{
    go_on(ctx);
}

static void on_closed(void *ctx, enum status st, const struct why *why)
{
    struct connection *c = ctx;

    if (st != ST_OK)
        log_event(NULL, LOG_DEBUG, "admin_connection_lost", F_WHY(st, *why));
    if (c->socket != NULL)
        c->socket->count--;
    timer_stop(loop_timers(stream_loop(c->stream)), &c->again);
    list_remove(&c->link);
    free(c);
}

static const struct stream_events events = { .on_data = on_data,
                                             .on_drained = on_drained,
                                             .on_closed = on_closed };

static void on_accept(void *ctx, int fd, const struct net_peer *peer)
{
    struct admin_socket *socket = ctx;
    const struct stream_settings settings = { .unread_max = 2 * AS_ADMIN_LINE_MAX };
    struct why why = { 0 };

    if (peer->uid != 0 && peer->uid != geteuid()) {
        log_event(NULL, LOG_WARNING, "admin_refused", F_I64("uid", peer->uid), F_I64("pid", peer->pid),
                  F_STR("clause", "admin_socket"), F_STR("why", "only root and the server's own user"));
        close(fd);
        return;
    }
    struct connection *c = socket->count < CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) {
        log_event(NULL, LOG_WARNING, "admin_refused", F_STR("why", "too many connections"));
        close(fd);
        return;
    }
    c->socket = socket;
    timer_init(&c->again, on_again);
    snprintf(c->actor, sizeof c->actor, "uid:%lu", (unsigned long)peer->uid);
    list_append(&socket->connections, &c->link);
    socket->count++;
    enum status st = stream_new(socket->loop, fd, &settings, &events, c, &c->stream, &why);
    if (st != ST_OK) {
        log_event(NULL, LOG_WARNING, "admin_refused", F_WHY(st, why));
        socket->count--;
        list_remove(&c->link);
        free(c);
    }
}

enum status admin_socket_new(struct loop *loop, const char *path, struct as *as,
                             struct admin_socket **ret_socket, struct why *why)
{
    const struct listener_settings settings = { .unix_path = path, .unix_mode = 0600 };
    struct admin_socket *socket = calloc(1, sizeof *socket);

    if (socket == NULL)
        return reject(why, ST_NO_MEMORY, "admin_socket", "out of memory", 0);
    socket->loop = loop;
    socket->as = as;
    list_init(&socket->connections);
    enum status st = listener_new(loop, &settings, on_accept, socket, &socket->listener, why);
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
    listener_free(socket->listener);
    LIST_EACH_SAFE (link, &socket->connections) {
        struct connection *c = CONTAINER_OF(link, struct connection, link);
        list_remove(&c->link);
        c->socket = NULL;
        timer_stop(loop_timers(socket->loop), &c->again);
        stream_abort(c->stream, ST_OK, (struct why){ "admin_socket", "the server stops", 0 });
    }
    free(socket);
}
