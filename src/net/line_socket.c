#include "net/line_socket.h"

#include "base/log.h"
#include "net/listener.h"
#include "net/stream.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define STRANGERS_MAX   16    /* of them: who has not logged in must not keep root out */
#define LOGIN_MS        10000 /* to do so */
#define LINES_A_TURN    16    /* then everybody else gets a turn */
#define ERROR_MAX       4096

struct line_socket {
    struct loop *loop;
    struct line_socket_settings how;
    struct listener *listener;
    struct list peers;
    size_t count, strangers;
};

struct line_peer {
    struct list link;
    struct line_socket *socket; /* NULL: cut, and only waiting for the end */
    struct stream *stream;      /* NULL: closed, and an answer is still owed */
    struct timer again;         /* more lines are waiting */
    struct timer login_by;      /* runs while it is a stranger */
    bool stranger;              /* another user, and not logged in */
    bool begun;                 /* its first line was here; only that may be a login */
    bool owed;                  /* on_line() was called: line_answer() is to come */
    bool last;                  /* nothing good can follow: close behind the answer */
    uid_t uid;
    pid_t pid;
    char actor[LINE_ACTOR_MAX];
};

struct span line_actor(const struct line_peer *p)
{
    return span_of_str(p->actor);
}

/* A login is over, whatever became of it. */
static void end_wait(struct line_peer *p)
{
    timer_stop(loop_timers(p->socket->loop), &p->login_by);
    if (p->stranger)
        p->socket->strangers--;
    p->stranger = false;
}

static void refuse(struct line_peer *p, enum status st, const struct why *why)
{
    struct buf reply;

    log_event(NULL, LOG_WARNING, "admin_refused", F_I64("uid", p->uid), F_I64("pid", p->pid), F_WHY(st, *why));
    end_wait(p);
    buf_init(&reply, ERROR_MAX);
    p->socket->how.put_error(&reply, st, why);
    stream_send(p->stream, buf_span(&reply));
    buf_done(&reply);
    stream_close(p->stream);
}

static void on_login_too_late(struct timer *timer, struct now now UNUSED)
{
    struct line_peer *p = CONTAINER_OF(timer, struct line_peer, login_by);
    const struct why why = { p->socket->how.clause, "no login in time", 0 };

    refuse(p, ST_TIMEOUT, &why);
}

/* ---- lines ---- */

/* Answers that nobody reads must not pile up: then on_drained() goes on. */
static void go_on(struct line_peer *p)
{
    if (!p->owed && !stream_congested(p->stream))
        stream_resume(p->stream);
}

void line_answer(struct line_peer *p, struct span answer)
{
    ASSERT(p->owed);
    p->owed = false;
    if (p->stream == NULL) {
        free(p);
        return;
    }
    if (p->socket == NULL)
        return; /* on_closed() is on its way */
    stream_send(p->stream, answer);
    if (p->last)
        stream_close(p->stream);
    else
        go_on(p);
}

/* Whether this first line was for us, and no command. */
static bool took_login(struct line_peer *p, struct span line)
{
    struct line_socket *socket = p->socket;
    struct why why = { socket->how.clause, "only root and the server's own user", 0 };
    enum status st = ST_DENIED;

    if (socket->how.login != NULL)
        st = socket->how.login(socket->how.ctx, line, line_actor(p), loop_now(socket->loop).mono, &why);
    if (st == ST_OK) {
        end_wait(p);
        stream_send(p->stream, SPAN("{\"ok\":true}\n"));
        return true;
    }
    if (!p->stranger && st == ST_DENIED)
        return false;
    refuse(p, st, &why);
    p->last = true;
    return true;
}

static void take_line(struct line_peer *p, struct span line)
{
    bool first = !p->begun;

    p->begun = true;
    if (first && took_login(p, line))
        return;
    p->owed = true;
    p->socket->how.on_line(p->socket->how.ctx, p, line);
}

static size_t on_data(void *ctx, struct span data)
{
    struct line_peer *p = ctx;
    size_t at = 0;

    for (int lines = 0; p->socket != NULL; lines++) {
        if (lines == LINES_A_TURN || p->owed || stream_congested(p->stream)) {
            stream_pause(p->stream);
            if (!p->owed)
                timer_start(loop_timers(p->socket->loop), &p->again, loop_now(p->socket->loop).mono);
            return at;
        }
        struct span rest = span_cut(data, at, data.len);
        size_t end = span_find(rest, '\n', 0);
        if (end > p->socket->how.line_max) { /* also without an end */
            p->last = true;
            take_line(p, SPAN_NONE);
            return data.len;
        }
        if (end == rest.len)
            return at;
        at += end + 1;
        take_line(p, span_cut(rest, 0, end));
        if (p->last)
            return data.len;
    }
    return data.len;
}

static void on_again(struct timer *timer, struct now now UNUSED)
{
    go_on(CONTAINER_OF(timer, struct line_peer, again));
}

static void on_drained(void *ctx)
{
    go_on(ctx);
}

static void on_closed(void *ctx, enum status st, const struct why *why)
{
    struct line_peer *p = ctx;

    if (st != ST_OK)
        log_event(NULL, LOG_DEBUG, "admin_connection_lost", F_WHY(st, *why));
    if (p->socket != NULL) {
        end_wait(p);
        p->socket->count--;
    }
    timer_stop(loop_timers(stream_loop(p->stream)), &p->again);
    list_remove(&p->link);
    p->socket = NULL;
    p->stream = NULL;
    if (!p->owed)
        free(p);
}

static const struct stream_events events = { .on_data = on_data,
                                             .on_drained = on_drained,
                                             .on_closed = on_closed };

/* ---- accepting ---- */

/* NULL: the caller may come in. */
static const char *reason_to_refuse(const struct line_socket *socket, bool stranger)
{
    if (stranger && !socket->how.strangers)
        return "only root and the server's own user: there is no credential";
    if (socket->count >= CONNECTIONS_MAX || (stranger && socket->strangers >= STRANGERS_MAX))
        return "too many connections";
    return NULL;
}

static struct line_peer *new_peer(struct line_socket *socket, const struct net_peer *peer, bool stranger)
{
    struct line_peer *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    p->socket = socket;
    p->uid = peer->uid;
    p->pid = peer->pid;
    p->stranger = stranger;
    timer_init(&p->again, on_again);
    timer_init(&p->login_by, on_login_too_late);
    snprintf(p->actor, sizeof p->actor, "uid:%lu", (unsigned long)peer->uid);
    list_append(&socket->peers, &p->link);
    socket->count++;
    if (stranger) {
        socket->strangers++;
        timer_start(loop_timers(socket->loop), &p->login_by,
                    mono_plus_ms(loop_now(socket->loop).mono, LOGIN_MS));
    }
    return p;
}

static void on_accept(void *ctx, int fd, const struct net_peer *peer)
{
    struct line_socket *socket = ctx;
    const struct stream_settings settings = { .unread_max = 2 * socket->how.line_max };
    bool stranger = peer->uid != 0 && peer->uid != geteuid();
    const char *reason = reason_to_refuse(socket, stranger);
    struct line_peer *p = reason == NULL ? new_peer(socket, peer, stranger) : NULL;
    struct why why = { 0 };

    if (p == NULL) {
        log_event(NULL, LOG_WARNING, "admin_refused", F_I64("uid", peer->uid), F_I64("pid", peer->pid),
                  F_STR("clause", socket->how.clause), F_STR("why", reason != NULL ? reason : "out of memory"));
        close(fd);
        return;
    }
    enum status st = stream_new(socket->loop, fd, &settings, &events, p, &p->stream, &why);
    if (st != ST_OK) {
        log_event(NULL, LOG_WARNING, "admin_refused", F_WHY(st, why));
        end_wait(p);
        socket->count--;
        list_remove(&p->link);
        free(p);
    }
}

/* It was made 0600: nobody of the group comes in before all of this is done. */
static enum status open_to_group(const struct line_socket_settings *settings, struct why *why)
{
    const struct group *group = getgrnam(settings->group);

    if (group == NULL)
        return reject(why, ST_NOT_FOUND, "admin_group", "there is no such group", 0);
    if (chown(settings->path, (uid_t)-1, group->gr_gid) != 0 || chmod(settings->path, 0660) != 0)
        return reject(why, ST_DENIED, "admin_group",
                      "the socket cannot be given to this group: the server's user must be a member", 0);
    return ST_OK;
}

enum status line_socket_new(struct loop *loop, const struct line_socket_settings *settings,
                            struct line_socket **ret_socket, struct why *why)
{
    const struct listener_settings listener = { .unix_path = settings->path, .unix_mode = 0600 };
    struct line_socket *socket = calloc(1, sizeof *socket);

    if (socket == NULL)
        return reject(why, ST_NO_MEMORY, settings->clause, "out of memory", 0);
    socket->loop = loop;
    socket->how = *settings;
    list_init(&socket->peers);
    enum status st = listener_new(loop, &listener, on_accept, socket, &socket->listener, why);
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

void line_socket_free(struct line_socket *socket)
{
    if (socket == NULL)
        return;
    listener_free(socket->listener);
    LIST_EACH_SAFE (link, &socket->peers) {
        struct line_peer *p = CONTAINER_OF(link, struct line_peer, link);
        list_remove(&p->link);
        end_wait(p);
        timer_stop(loop_timers(socket->loop), &p->again);
        stream_abort(p->stream, ST_OK, (struct why){ socket->how.clause, "the server stops", 0 });
        p->socket = NULL;
    }
    free(socket);
}
