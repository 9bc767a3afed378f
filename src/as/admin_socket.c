#include "as/admin_socket.h"

#include "as/admin_login.h"
#include "as/admin_priv.h"
#include "base/list.h"
#include "base/log.h"
#include "net/listener.h"
#include "net/stream.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLAUSE          "admin_socket"
#define CONNECTIONS_MAX 64
#define STRANGERS_MAX   16    /* of them: who has not logged in must not keep root out */
#define LOGIN_MS        10000 /* to do so */
#define ACTOR_MAX       32
#define LINES_A_TURN    16 /* then everybody else gets a turn */

struct admin_socket {
    struct loop *loop;
    struct as *as;
    struct listener *listener;
    struct list connections;
    size_t count, strangers;
    struct admin_login login;
};

struct connection {
    struct list link;
    struct admin_socket *socket; /* NULL: cut, and only waiting for the end */
    struct stream *stream;
    struct timer again;    /* more lines are waiting */
    struct timer login_by; /* runs while it is a stranger */
    bool stranger;         /* another user, and not logged in */
    bool begun;            /* its first line was here; only that may be a login */
    uid_t uid;
    pid_t pid;
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

/* A login is over, whatever became of it. */
static void end_wait(struct connection *c)
{
    timer_stop(loop_timers(c->socket->loop), &c->login_by);
    if (c->stranger)
        c->socket->strangers--;
    c->stranger = false;
}

static void refuse(struct connection *c, enum status st, const struct why *why)
{
    struct buf reply;

    log_event(NULL, LOG_WARNING, "admin_refused", F_I64("uid", c->uid), F_I64("pid", c->pid), F_WHY(st, *why));
    end_wait(c);
    buf_init(&reply, AS_ADMIN_REPLY_MAX);
    admin_put_error(&reply, st, why);
    stream_send(c->stream, buf_span(&reply));
    buf_done(&reply);
    stream_close(c->stream);
}

static void on_login_too_late(struct timer *timer, struct now now UNUSED)
{
    struct connection *c = CONTAINER_OF(timer, struct connection, login_by);
    const struct why why = { CLAUSE, "no login in time", 0 };

    refuse(c, ST_TIMEOUT, &why);
}

/* False: the connection is closed. */
static bool take_line(struct connection *c, struct span line)
{
    bool first = !c->begun;
    struct why why = { 0 };

    c->begun = true;
    if (first) {
        enum status st = admin_login_try(&c->socket->login, line, span_of_str(c->actor),
                                         loop_now(c->socket->loop).mono, &why);
        if (st == ST_OK) {
            end_wait(c);
            stream_send(c->stream, SPAN("{\"ok\":true}\n"));
            return true;
        }
        if (c->stranger || st != ST_DENIED) {
            refuse(c, st, &why);
            return false;
        }
    }
    answer_line(c, line);
    return true;
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
            if (take_line(c, SPAN_NONE))
                stream_close(c->stream);
            return data.len;
        }
        if (end == rest.len)
            return at;
        if (!take_line(c, span_cut(rest, 0, end)))
            return data.len;
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
    if (c->socket != NULL) {
        end_wait(c);
        c->socket->count--;
    }
    timer_stop(loop_timers(stream_loop(c->stream)), &c->again);
    list_remove(&c->link);
    free(c);
}

static const struct stream_events events = { .on_data = on_data,
                                             .on_drained = on_drained,
                                             .on_closed = on_closed };

/* NULL: the caller may come in. */
static const char *reason_to_refuse(const struct admin_socket *socket, bool stranger)
{
    if (stranger && !socket->login.possible)
        return "only root and the server's own user: there is no admin.credential";
    if (socket->count >= CONNECTIONS_MAX || (stranger && socket->strangers >= STRANGERS_MAX))
        return "too many connections";
    return NULL;
}

static struct connection *new_connection(struct admin_socket *socket, const struct net_peer *peer,
                                         bool stranger)
{
    struct connection *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    c->socket = socket;
    c->uid = peer->uid;
    c->pid = peer->pid;
    c->stranger = stranger;
    timer_init(&c->again, on_again);
    timer_init(&c->login_by, on_login_too_late);
    snprintf(c->actor, sizeof c->actor, "uid:%lu", (unsigned long)peer->uid);
    list_append(&socket->connections, &c->link);
    socket->count++;
    if (stranger) {
        socket->strangers++;
        timer_start(loop_timers(socket->loop), &c->login_by,
                    mono_plus_ms(loop_now(socket->loop).mono, LOGIN_MS));
    }
    return c;
}

static void on_accept(void *ctx, int fd, const struct net_peer *peer)
{
    struct admin_socket *socket = ctx;
    const struct stream_settings settings = { .unread_max = 2 * AS_ADMIN_LINE_MAX };
    bool stranger = peer->uid != 0 && peer->uid != geteuid();
    const char *reason = reason_to_refuse(socket, stranger);
    struct connection *c = reason == NULL ? new_connection(socket, peer, stranger) : NULL;
    struct why why = { 0 };

    if (c == NULL) {
        log_event(NULL, LOG_WARNING, "admin_refused", F_I64("uid", peer->uid), F_I64("pid", peer->pid),
                  F_STR("clause", CLAUSE), F_STR("why", reason != NULL ? reason : "out of memory"));
        close(fd);
        return;
    }
    enum status st = stream_new(socket->loop, fd, &settings, &events, c, &c->stream, &why);
    if (st != ST_OK) {
        log_event(NULL, LOG_WARNING, "admin_refused", F_WHY(st, why));
        end_wait(c);
        socket->count--;
        list_remove(&c->link);
        free(c);
    }
}

/* It was made 0600: nobody of the group comes in before all of this is done. */
static enum status open_to_group(const struct admin_socket_settings *settings, struct why *why)
{
    const struct group *group = getgrnam(settings->group);

    if (group == NULL)
        return reject(why, ST_NOT_FOUND, "admin_group", "there is no such group", 0);
    if (chown(settings->path, (uid_t)-1, group->gr_gid) != 0 || chmod(settings->path, 0660) != 0)
        return reject(why, ST_DENIED, "admin_group",
                      "the socket cannot be given to this group: the server's user must be a member", 0);
    return ST_OK;
}

enum status admin_socket_new(struct loop *loop, const struct admin_socket_settings *settings, struct as *as,
                             struct admin_socket **ret_socket, struct why *why)
{
    const struct listener_settings listener = { .unix_path = settings->path, .unix_mode = 0600 };
    struct admin_socket *socket = calloc(1, sizeof *socket);

    if (socket == NULL)
        return reject(why, ST_NO_MEMORY, CLAUSE, "out of memory", 0);
    socket->loop = loop;
    socket->as = as;
    list_init(&socket->connections);
    enum status st = admin_login_init(&socket->login, settings->credential, settings->failures_per_minute, why);
    if (st == ST_OK)
        st = listener_new(loop, &listener, on_accept, socket, &socket->listener, why);
    if (st == ST_OK && settings->group != NULL)
        st = open_to_group(settings, why);
    if (st != ST_OK) {
        listener_free(socket->listener);
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
        end_wait(c);
        c->socket = NULL;
        timer_stop(loop_timers(socket->loop), &c->again);
        stream_abort(c->stream, ST_OK, (struct why){ "admin_socket", "the server stops", 0 });
    }
    free(socket);
}
