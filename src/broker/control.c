/* The control socket. What the workers know they are asked for: a question goes to each of them as a task of its loop, and
 * the last one that has answered sends it back to the control loop. */
#include "broker/control.h"

#include "broker/worker_priv.h"
#include "codec/json.h"
#include "net/line_socket.h"
#include "shard/client_list.h"

#include <stdio.h>
#include <stdlib.h>

#define CLAUSE          "control_socket"
#define SOCKET_NAME     "control.sock" /* in state_dir */
#define PATH_MOST       108            /* unix(7), with the 0 behind it */
#define LIMIT_DEFAULT   100
#define LIMIT_MAX       10000
#define RELEASES_MS     1000 /* how often ended bans are looked for */
#define RELEASES_A_LOOK 64

struct control {
    struct loop *loop;
    struct worker_common *common;
    struct sources *sources;
    struct line_socket *lines;
    struct list questions;
    struct timer releases;
};

/* A command, with what it says. */
struct ask {
    struct control *control;
    struct line_peer *peer;
    const struct js *in;
    struct js *out; /* "ok" is set; the command adds its members */
    struct why why;
};

/* -- members of a command -------------------------------------------------------------------------------- */

static enum status get_text(struct ask *a, const char *name, struct span *ret)
{
    const struct js *value = js_get(a->in, name);

    *ret = SPAN("");
    if (value == NULL || js_as_str(value, ret))
        return ST_OK;
    return reject(&a->why, ST_MALFORMED, name, "not text", 0);
}

static enum status get_flag(struct ask *a, const char *name, bool *ret)
{
    const struct js *value = js_get(a->in, name);

    *ret = false;
    if (value == NULL || js_as_bool(value, ret))
        return ST_OK;
    return reject(&a->why, ST_MALFORMED, name, "neither true nor false", 0);
}

static enum status get_limit(struct ask *a, size_t *ret)
{
    const struct js *value = js_get(a->in, "limit");
    int64_t limit = LIMIT_DEFAULT;

    if (value != NULL && (!js_as_i64(value, &limit) || limit < 1 || limit > LIMIT_MAX))
        return reject(&a->why, ST_MALFORMED, "limit", "not a number from 1 to 10000", 0);
    *ret = (size_t)limit;
    return ST_OK;
}

/* -- answers --------------------------------------------------------------------------------------------- */

static void put_error(struct buf *out, enum status st, const struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    enum status done = js_set_bool(obj, "ok", false);

    if (done == ST_OK)
        done = js_set_str(obj, "error", span_of_str(status_name(st)));
    if (done == ST_OK)
        done = js_set_str(obj, "clause", span_of_str(why->clause != NULL ? why->clause : CLAUSE));
    if (done == ST_OK)
        done = js_set_str(obj, "message", span_of_str(why->text != NULL ? why->text : status_text(st)));
    if (done != ST_OK || js_print(obj, out) != ST_OK) {
        buf_reset(out);
        put_str(out,
                "{\"ok\":false,\"error\":\"NO_MEMORY\",\"clause\":\"memory\",\"message\":\"out of memory\"}");
    }
    put_str(out, "\n");
}

static void answer(struct line_peer *peer, enum status st, const struct why *why, const struct js *out)
{
    CLEANUP(buf_done)
    struct buf text;
    const struct why none = { 0 };

    buf_init(&text, CONTROL_ANSWER_MAX);
    if (st == ST_OK)
        st = js_print(out, &text);
    put_str(&text, "\n");
    if (st != ST_OK || !buf_ok(&text)) {
        buf_reset(&text);
        put_error(&text, st != ST_OK ? st : ST_NO_MEMORY, st != ST_OK ? why : &none);
    }
    line_answer(peer, buf_span(&text));
}

/* -- bans ------------------------------------------------------------------------------------------------ */

static enum status put_ban(struct js *rows, const struct source_ban *ban)
{
    char address[NET_SOURCE_TEXT];
    struct js *row = js_new_object();

    net_source_format(ban->source, address);
    enum status st = js_set_str(row, "address", span_of_str(address));
    if (st == ST_OK)
        st = js_set_i64(row, "left_s", (ban->left_ms + MS_PER_S - 1) / MS_PER_S);
    if (st == ST_OK)
        st = js_set_i64(row, "times", ban->times);
    if (st == ST_OK)
        return js_append_take(rows, row);
    js_unref(row);
    return st;
}

static enum status run_bans(struct ask *a)
{
    CLEANUP(freep)
    struct source_ban *bans = NULL;
    struct js *rows = js_new_array();
    size_t limit = 0, count = 0, all = 0;
    enum status st = get_limit(a, &limit);

    if (st == ST_OK && (bans = calloc(limit, sizeof *bans)) == NULL)
        st = ST_NO_MEMORY;
    if (st == ST_OK)
        count = sources_bans(a->control->sources, loop_now(a->control->loop).mono, bans, limit, &all);
    for (size_t i = 0; st == ST_OK && i < count; i++)
        st = put_ban(rows, &bans[i]);
    if (st != ST_OK) {
        js_unref(rows);
        return st;
    }
    st = js_set_take(a->out, "bans", rows);
    return st == ST_OK ? js_set_i64(a->out, "banned", (int64_t)all) : st;
}

static void tell_unbanned(struct net_source source, struct span by)
{
    char address[NET_SOURCE_TEXT];

    net_source_format(source, address);
    log_event(NULL, LOG_NOTICE, "address_unbanned", F_STR("address", address), F_SPAN("by", by));
}

static enum status unban_one(struct ask *a, struct span text, int64_t *ret_count)
{
    CLEANUP(freep)
    char *address = span_dup_str(text);
    struct net_prefix prefix;
    struct net_source source;

    if (address == NULL)
        return ST_NO_MEMORY;
    if (!net_prefix_parse(address, &prefix)) /* "2001:db8::/64", as the list has it */
        return reject(&a->why, ST_MALFORMED, "address", "not an IPv4 or IPv6 address", 0);
    source.bits = prefix.bits;
    *ret_count = source_unban(a->control->sources, source, loop_now(a->control->loop).mono);
    if (*ret_count == 0)
        return reject(&a->why, ST_NOT_FOUND, "address", "it is not banned", 0);
    tell_unbanned(source, line_actor(a->peer));
    return ST_OK;
}

static enum status run_unban(struct ask *a)
{
    struct span address;
    int64_t count = 0;
    bool all;
    enum status st = get_text(a, "address", &address);

    if (st == ST_OK)
        st = get_flag(a, "all", &all);
    if (st == ST_OK && (address.len > 0) == all)
        st = reject(&a->why, ST_MALFORMED, "address", "an address, or all of them", 0);
    if (st == ST_OK && !all)
        st = unban_one(a, address, &count);
    if (st != ST_OK)
        return st;
    if (all) {
        count = (int64_t)sources_unban_all(a->control->sources, loop_now(a->control->loop).mono);
        log_event(NULL, LOG_NOTICE, "address_unbanned", F_STR("address", "all"), F_I64("count", count),
                  F_SPAN("by", line_actor(a->peer)));
    }
    return js_set_i64(a->out, "unbanned", count);
}

static void tell_releases(struct timer *timer, struct now now)
{
    struct control *c = CONTAINER_OF(timer, struct control, releases);
    struct net_source ended[RELEASES_A_LOOK];
    size_t count = sources_released(c->sources, now.mono, ended, RELEASES_A_LOOK);

    for (size_t i = 0; i < count; i++)
        tell_unbanned(ended[i], SPAN("time"));
    timer_start(loop_timers(c->loop), timer, mono_plus_ms(now.mono, RELEASES_MS));
}

/* -- statistics ------------------------------------------------------------------------------------------ */

static enum status put_stats(const struct stats *sum, struct js *obj)
{
    enum status st = ST_OK;

#define PUT(name, kind, help) \
    if (st == ST_OK)          \
        st = js_set_i64(obj, #name, (int64_t)atomic_load_explicit(&sum->name, memory_order_relaxed));
    STATS_LIST(PUT)
#undef PUT
    return st;
}

static enum status put_source_totals(struct ask *a, struct js *obj)
{
    struct source_totals totals;
    enum status st;

    sources_totals(a->control->sources, loop_now(a->control->loop).mono, &totals);
    st = js_set_i64(obj, "addresses_known", (int64_t)totals.known);
    return st == ST_OK ? js_set_i64(obj, "addresses_banned_now", (int64_t)totals.banned_now) : st;
}

static enum status run_stats(struct ask *a)
{
    const struct worker_common *common = a->control->common;
    struct js *obj = js_new_object();
    struct stats sum = { 0 };

    for (unsigned i = 0; i < common->count; i++) {
        struct stats one;
        worker_stats(common->workers[i], &one);
        stats_sum(&sum, &one);
    }
    enum status st = put_stats(&sum, obj);
    if (st == ST_OK)
        st = put_source_totals(a, obj);
    if (st == ST_OK)
        st = js_set_i64(obj, "arriving", atomic_load_explicit(&common->arriving, memory_order_relaxed));
    if (st == ST_OK)
        return js_set_take(a->out, "stats", obj);
    js_unref(obj);
    return st;
}

/* -- questions to the workers ---------------------------------------------------------------------------- */

struct question;

/* One worker's part. */
struct part {
    struct loop_task task;
    struct question *question;
    struct worker *worker;
    struct client_rows rows;
    enum status st;
    bool cut;
};

struct question {
    struct list link;
    struct control *control; /* NULL: nobody waits any more. The control loop's, as all but the parts */
    struct loop *loop;       /* the control loop */
    struct line_peer *peer;
    void (*finish)(struct question *q);
    char *prefix, *after, *client_id;
    struct client_query query;
    struct loop_task done;
    _Atomic unsigned left; /* parts that are not done */
    unsigned count;
    struct part parts[];
};

static void question_free(struct question *q)
{
    for (unsigned i = 0; i < q->count; i++)
        client_rows_done(&q->parts[i].rows);
    list_remove(&q->link);
    free(q->prefix);
    free(q->after);
    free(q->client_id);
    free(q);
}

static void all_done(struct loop_task *task)
{
    struct question *q = CONTAINER_OF(task, struct question, done);

    if (q->control != NULL)
        q->finish(q);
    question_free(q);
}

static void part_done(struct part *part)
{
    struct question *q = part->question;

    if (atomic_fetch_sub_explicit(&q->left, 1, memory_order_acq_rel) == 1)
        loop_post(q->loop, &q->done);
}

static void list_part(struct loop_task *task)
{
    struct part *part = CONTAINER_OF(task, struct part, task);

    part->st = client_list(part->worker->shard, &part->question->query, &part->rows);
    part_done(part);
}

static void cut_part(struct loop_task *task)
{
    struct part *part = CONTAINER_OF(task, struct part, task);
    struct worker *w = part->worker;

    part->cut = shard_cut_client(w->shard, span_of_str(part->question->client_id), loop_now(w->loop));
    part_done(part);
}

static enum status question_new(struct ask *a, void (*run)(struct loop_task *task),
                                void (*finish)(struct question *q), struct question **ret)
{
    const struct worker_common *common = a->control->common;
    struct question *q = calloc(1, sizeof *q + common->count * sizeof *q->parts);

    if (q == NULL)
        return ST_NO_MEMORY;
    q->control = a->control;
    q->loop = a->control->loop;
    q->peer = a->peer;
    q->finish = finish;
    q->count = common->count;
    q->done.run = all_done;
    atomic_init(&q->left, q->count);
    list_append(&a->control->questions, &q->link);
    for (unsigned i = 0; i < q->count; i++) {
        q->parts[i].question = q;
        q->parts[i].worker = common->workers[i];
        q->parts[i].task.run = run;
    }
    *ret = q;
    return ST_OK;
}

/* ST_PENDING: answered by finish(). From now on parts may be done at any time. */
static enum status question_go(struct question *q)
{
    unsigned count = q->count;

    for (unsigned i = 0; i < count; i++)
        loop_post(q->parts[i].worker->loop, &q->parts[i].task);
    return ST_PENDING;
}

static enum status put_row(struct js *rows, const struct client_row *r)
{
    struct js *row = js_new_object();
    enum status st = js_set_str(row, "client_id", span_of_str(r->client_id));

    if (st == ST_OK)
        st = js_set_bool(row, "connected", r->connected);
    if (st == ST_OK)
        st = js_set_str(row, "peer", span_of_str(r->peer));
    if (st == ST_OK)
        st = js_set_str(row, "version", r->connected ? r->v3 ? SPAN("3.1.1") : SPAN("5") : SPAN(""));
    if (st == ST_OK)
        st = js_set_str(row, "subject", span_of_str(r->subject));
    if (st == ST_OK && r->token_until_s != 0)
        st = js_set_i64(row, "token_until", r->token_until_s);
    if (st == ST_OK)
        st = js_set_i64(row, "expiry_s", r->expiry_s);
    if (st == ST_OK)
        st = js_set_i64(row, "subscriptions", (int64_t)r->subscriptions);
    if (st == ST_OK)
        st = js_set_i64(row, "queued", (int64_t)r->queued_messages);
    if (st == ST_OK)
        st = js_set_i64(row, "queued_bytes", (int64_t)r->queued_bytes);
    if (st == ST_OK)
        st = js_set_i64(row, "inflight", (int64_t)r->inflight);
    if (st == ST_OK)
        return js_append_take(rows, row);
    js_unref(row);
    return st;
}

/* The rows of all parts in `all`, which has them from then on. */
static enum status gather(struct question *q, struct client_rows *all)
{
    for (unsigned i = 0; i < q->count; i++) {
        struct client_rows *rows = &q->parts[i].rows;
        if (q->parts[i].st != ST_OK)
            return q->parts[i].st;
        all->total += rows->total;
        while (rows->count > 0) {
            if (!client_rows_add(all, &rows->rows[rows->count - 1]))
                return ST_NO_MEMORY;
            rows->count--;
        }
    }
    client_rows_sort(all, q->query.limit);
    return ST_OK;
}

static enum status put_clients(const struct client_rows *all, struct js *out)
{
    struct js *rows = js_new_array();
    enum status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < all->count; i++)
        st = put_row(rows, &all->rows[i]);
    if (st != ST_OK) {
        js_unref(rows);
        return st;
    }
    st = js_set_take(out, "clients", rows);
    if (st == ST_OK)
        st = js_set_i64(out, "total", (int64_t)all->total);
    if (st == ST_OK && all->count > 0 && all->total > all->count)
        st = js_set_str(out, "next", span_of_str(all->rows[all->count - 1].client_id));
    return st;
}

static void clients_done(struct question *q)
{
    CLEANUP(js_unrefp)
    struct js *out = js_new_object();
    CLEANUP(client_rows_done)
    struct client_rows all = { 0 };
    struct why why = { 0 };
    enum status st = js_set_bool(out, "ok", true);

    if (st == ST_OK)
        st = gather(q, &all);
    if (st == ST_OK)
        st = put_clients(&all, out);
    answer(q->peer, st, &why, out);
}

static enum status run_clients(struct ask *a)
{
    struct question *q = NULL;
    struct span prefix, after;
    bool connected_only;
    size_t limit = 0;
    enum status st = get_text(a, "prefix", &prefix);

    if (st == ST_OK)
        st = get_text(a, "after", &after);
    if (st == ST_OK)
        st = get_flag(a, "connected", &connected_only);
    if (st == ST_OK)
        st = get_limit(a, &limit);
    if (st == ST_OK)
        st = question_new(a, list_part, clients_done, &q);
    if (st != ST_OK)
        return st;
    q->prefix = span_dup_str(prefix);
    q->after = span_dup_str(after);
    if (q->prefix == NULL || q->after == NULL) {
        question_free(q);
        return ST_NO_MEMORY;
    }
    q->query = (struct client_query){ .prefix = span_of_str(q->prefix),
                                      .after = span_of_str(q->after),
                                      .connected_only = connected_only,
                                      .limit = limit };
    return question_go(q);
}

static void cut_done(struct question *q)
{
    CLEANUP(js_unrefp)
    struct js *out = js_new_object();
    struct why why = { 0 };
    enum status st = js_set_bool(out, "ok", true);
    bool cut = false;

    for (unsigned i = 0; i < q->count; i++)
        cut |= q->parts[i].cut;
    if (st == ST_OK && !cut)
        st = reject(&why, ST_NOT_FOUND, "client_id", "no such client is connected", 0);
    if (cut)
        log_event(NULL, LOG_NOTICE, "client_cut_by", F_STR("client_id", q->client_id),
                  F_SPAN("by", line_actor(q->peer)));
    answer(q->peer, st, &why, out);
}

static enum status run_disconnect(struct ask *a)
{
    struct question *q = NULL;
    struct span client_id;
    enum status st = get_text(a, "client_id", &client_id);

    if (st == ST_OK && client_id.len == 0)
        st = reject(&a->why, ST_MALFORMED, "client_id", "which client?", 0);
    if (st == ST_OK)
        st = question_new(a, cut_part, cut_done, &q);
    if (st != ST_OK)
        return st;
    q->client_id = span_dup_str(client_id);
    if (q->client_id == NULL) {
        question_free(q);
        return ST_NO_MEMORY;
    }
    return question_go(q);
}

/* -- commands -------------------------------------------------------------------------------------------- */

/* clang-format off */
static const struct control_command {
    const char *name;
    enum status (*run)(struct ask *a); /* ST_PENDING: it answers later */
    const char *members[5];            /* besides cmd */
} commands[] = {
    { "stats",      run_stats,      { NULL } },
    { "clients",    run_clients,    { "prefix", "after", "connected", "limit", NULL } },
    { "disconnect", run_disconnect, { "client_id", NULL } },
    { "bans",       run_bans,       { "limit", NULL } },
    { "unban",      run_unban,      { "address", "all", NULL } },
};
/* clang-format on */

static const struct control_command *find(struct span name)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (span_eq_str(name, commands[i].name))
            return &commands[i];
    return NULL;
}

/* A mistyped name never passes silently. */
static bool is_member(void *ctx, struct span name, const struct js *value UNUSED)
{
    const struct control_command *command = ctx;

    for (size_t i = 0; command->members[i] != NULL; i++)
        if (span_eq_str(name, command->members[i]))
            return true;
    return span_eq_str(name, "cmd");
}

static enum status run_line(struct ask *a, struct span line, struct js **ret_in)
{
    struct span name = SPAN_NONE;
    enum status st;

    if (line.p == NULL)
        return reject(&a->why, ST_TOO_LARGE, CLAUSE, "the line is too long", 0);
    st = js_parse(line, CONTROL_LINE_MAX, ret_in, &a->why);
    if (st != ST_OK)
        return st;
    a->in = *ret_in;
    if (!js_get_str(a->in, "cmd", &name))
        return reject(&a->why, ST_MALFORMED, "cmd", "an object with \"cmd\", the command, is wanted", 0);
    const struct control_command *command = find(name);
    if (command == NULL)
        return reject(&a->why, ST_NOT_FOUND, "cmd", "no such command", 0);
    if (!js_object_each(a->in, is_member, (void *)command))
        return reject(&a->why, ST_MALFORMED, "cmd", "a member that this command does not know", 0);
    st = js_set_bool(a->out, "ok", true);
    return st == ST_OK ? command->run(a) : st;
}

static void on_line(void *ctx, struct line_peer *peer, struct span line)
{
    CLEANUP(js_unrefp)
    struct js *in = NULL;
    CLEANUP(js_unrefp)
    struct js *out = js_new_object();
    struct ask a = { .control = ctx, .peer = peer, .out = out };
    enum status st = run_line(&a, line, &in);

    if (st != ST_PENDING)
        answer(peer, st, &a.why, out);
}

/* -- life ------------------------------------------------------------------------------------------------ */

enum status control_new(struct loop *loop, const struct control_settings *settings,
                        struct control **ret_control, struct why *why)
{
    struct control *c = calloc(1, sizeof *c);
    enum status st = ST_OK;

    if (c == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    c->loop = loop;
    c->common = settings->common;
    c->sources = settings->sources;
    list_init(&c->questions);
    const struct line_socket_settings lines = { .clause = CLAUSE,
                                                .path = settings->path,
                                                .line_max = CONTROL_LINE_MAX,
                                                .on_line = on_line,
                                                .put_error = put_error,
                                                .ctx = c };
    if (settings->path != NULL)
        st = line_socket_new(loop, &lines, &c->lines, why);
    if (st != ST_OK) {
        free(c);
        return st;
    }
    timer_init(&c->releases, tell_releases);
    timer_start(loop_timers(loop), &c->releases, mono_plus_ms(loop_now(loop).mono, RELEASES_MS));
    *ret_control = c;
    return ST_OK;
}

enum status control_from_config(struct loop *loop, const struct broker_config *config,
                                struct worker_common *common, struct control **ret_control, struct why *why)
{
    CLEANUP(freep)
    char *beside = NULL;
    struct control_settings settings = { config->control_socket, common, common->sources };

    if (settings.path == NULL && config->state_dir != NULL) {
        if (asprintf(&beside, "%s/%s", config->state_dir, SOCKET_NAME) < 0) {
            beside = NULL;
            return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
        }
        if (strlen(beside) < PATH_MOST)
            settings.path = beside;
        else /* nobody has asked for it by name */
            log_event(NULL, LOG_WARNING, "no_control_socket", F_STR("path", beside), F_STR("clause", CLAUSE),
                      F_STR("why", "longer than the path of a socket may be"));
    }
    return control_new(loop, &settings, ret_control, why);
}

void control_free(struct control *c)
{
    if (c == NULL)
        return;
    timer_stop(loop_timers(c->loop), &c->releases);
    line_socket_free(c->lines);
    LIST_EACH_SAFE (link, &c->questions) {
        struct question *q = CONTAINER_OF(link, struct question, link);
        q->control = NULL; /* the workers still have their parts: all_done() frees it */
        list_remove(&q->link);
        line_answer(q->peer, SPAN_NONE);
    }
    free(c);
}
