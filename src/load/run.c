#include "load/run_priv.h"

#include "crypto/random.h"
#include "load/template.h"

#include <stdio.h>
#include <stdlib.h>

#define OPEN_LIMIT_NS  (30 * NS_PER_S) /* for one connection, up to its SUBACK */
#define CLOSE_LIMIT_NS (5 * NS_PER_S)
#define CONNECT_MS     10000

const char *load_mode_name(enum load_mode mode)
{
    static const char *const names[] = {
        [LOAD_CONN] = "conn",           [LOAD_P2P] = "p2p",           [LOAD_FANIN] = "fan-in",
        [LOAD_FANOUT] = "fan-out",      [LOAD_PUB] = "pub",           [LOAD_SUB] = "sub",
        [LOAD_WILDCARDS] = "wildcards", [LOAD_RETAINED] = "retained", [LOAD_CHURN] = "churn",
        [LOAD_RENEW] = "renew"
    };
    return names[mode];
}

const struct load_part *load_last_part(const struct load_report *report)
{
    return &report->parts[report->part_count == 0 ? 0 : report->part_count - 1];
}

/* ---- sums ---- */

uint64_t run_sent(const struct run *run)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < run->pubs; i++)
        sum += run_pub(run, i)->peer.sent;
    return sum;
}

uint64_t run_received(const struct run *run)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < run->subs; i++)
        sum += run->clients[i].peer.received;
    return sum;
}

static size_t connected_now(const struct run *run)
{
    size_t sum = 0;

    for (size_t i = 0; i < run->count; i++)
        sum += run->clients[i].peer.state == PEER_READY;
    return sum;
}

/* ---- the clock ---- */

static void keep(struct histogram *into, struct histogram *from)
{
    if (into != NULL)
        histogram_merge(into, from);
    histogram_reset(from);
}

static void keep_measured(struct run *run)
{
    struct load_part *part = run->part;

    keep(part != NULL ? &part->latency : NULL, &run->latency);
    keep(part != NULL || !run->s->again ? &run->report->connect : NULL, &run->connected);
}

static void read_usage(struct run *run, struct usage *process, double *ret_own_cpu_s)
{
    struct usage own;

    if (usage_of(0, &own))
        *ret_own_cpu_s = own.cpu_s;
    if (run->report->has_process && !usage_of(run->s->pid, process))
        trouble_add(&run->report->troubles, "process %d has ended", (int)run->s->pid);
}

void run_part_begin(struct run *run, const char *name)
{
    struct load_report *r = run->report;

    ASSERT(run->part == NULL && r->part_count < LOAD_PARTS_MAX);
    keep_measured(run);
    struct load_part *part = run->part = &r->parts[r->part_count++];
    part->name = name;
    part->sent = run_sent(run); /* until the end: what there was before */
    part->received = run_received(run);
    part->reads = run->loop->reads;
    read_usage(run, &part->from, &run->own_from_s);
    run->phase = LOAD_RUNNING;
    run->part_from_ns = run->loop->now_ns = link_now();
}

void run_part_end(struct run *run)
{
    struct load_part *part = run->part;
    double own_to_s = run->own_from_s;

    part->seconds = (double)(link_now() - run->part_from_ns) / 1e9;
    read_usage(run, &part->to, &own_to_s);
    part->own_cpu_s = own_to_s - run->own_from_s;
    part->sent = run_sent(run) - part->sent;
    part->received = run_received(run) - part->received;
    part->reads = run->loop->reads - part->reads;
    keep_measured(run);
    run->part = NULL;
}

static void tell(struct run *run, int64_t now)
{
    uint64_t sent = run_sent(run), received = run_received(run);
    struct load_second second = { .phase = run->phase,
                                  .at_s = (double)(now - run->start_ns) / 1e9,
                                  .seconds = (double)(now - run->last_second_ns) / 1e9,
                                  .connected = connected_now(run),
                                  .connects = run->connects - run->last_connects,
                                  .sent = sent - run->last_sent,
                                  .received = received - run->last_received,
                                  .latency = run->s->mode == LOAD_CONN ? &run->connected : &run->latency,
                                  .errors = run->report->troubles.total };

    if (run->second != NULL)
        run->second(run->ctx, &second);
    run->last_connects = run->connects;
    run->last_sent = sent;
    run->last_received = received;
    run->last_second_ns = now;
}

void run_turn(struct run *run, int64_t wait_ns)
{
    struct link_loop *loop = run->loop;

    link_loop_turn(loop, wait_ns);
    if (loop->woken && !run->stop)
        run->stop = run->report->interrupted = true;
    if (loop->now_ns < run->second_ns)
        return;
    for (size_t i = 0; i < run->count; i++)
        peer_tick(&run->clients[i].peer, loop->now_ns, OPEN_LIMIT_NS);
    if (!run->closing)
        tell(run, loop->now_ns);
    keep_measured(run);
    run->second_ns = loop->now_ns + NS_PER_S;
}

/* ---- opening ---- */

static void client_is_ready(struct peer *peer)
{
    struct client *client = CONTAINER_OF(peer, struct client, peer);

    client->run->connects++;
    client->run->ready++;
    client->was_ready = true;
}

static void client_gone(struct peer *peer, const char *reason UNUSED)
{
    struct client *client = CONTAINER_OF(peer, struct client, peer);
    struct run *run = client->run;

    if (run->closing)
        return;
    if (client->was_ready)
        run->lost_connections++;
    else
        run->failed_opening++;
}

/* Connections a second; of churn and renew it is what comes later that has a rate. */
static double opening_rate(const struct run *run)
{
    return run->s->mode == LOAD_CHURN || run->s->mode == LOAD_RENEW ? 0 : run->s->opening_rate;
}

static bool may_open(const struct run *run)
{
    double rate = opening_rate(run);
    const struct load_settings *s = run->s;
    size_t pending = run->opened - run->ready - run->failed_opening;
    double since = (double)(link_now() - run->start_ns) / 1e9;

    return run->opened < run->to_open && pending < s->opening_max &&
           (rate <= 0 || (double)run->opened < 1 + since * rate);
}

bool run_open_all(struct run *run)
{
    run->phase = LOAD_OPENING;
    while (run->ready + run->failed_opening < run->to_open && !run->stop) {
        while (may_open(run)) {
            size_t at = run->opened++;
            peer_open(&run->clients[at].peer);
        }
        run_turn(run, opening_rate(run) > 0 ? NS_PER_S / 1000 : TURN_NS);
    }
    run->report->ready = run->ready;
    run->report->opening_s = (double)(link_now() - run->start_ns) / 1e9;
    return run->ready > 0 && !run->stop;
}

void run_close_all(struct run *run)
{
    int64_t limit = link_now() + CLOSE_LIMIT_NS;

    run->closing = true;
    for (size_t i = 0; i < run->count; i++)
        peer_disconnect(&run->clients[i].peer);
    while (run->loop->open > 0 && link_now() < limit)
        link_loop_turn(run->loop, TURN_NS);
}

/* ---- making the clients ---- */

bool run_name(struct run *run, struct client *client, size_t number)
{
    CLEANUP(buf_done)
    struct buf name;
    size_t len;

    buf_init(&name, 65535);
    if (run->s->id != NULL)
        template_expand(run->s->id, number, NULL, &name);
    else
        put_fmt(&name, "bench-%s-%zu", run->name, number);
    char *text = (char *)buf_take(&name, &len);
    if (text == NULL)
        return false;
    free(client->id);
    client->id = client->peer.client_id = text;
    client->peer.number = number;
    return true;
}

static const char *default_topic(enum load_mode mode, bool sub)
{
    switch (mode) {
    case LOAD_SUB:
        return "bench/#";
    case LOAD_FANOUT:
        return "bench/all";
    case LOAD_FANIN:
        return sub ? "bench/in/%i/+" : "bench/in/";
    default:
        return "bench/line/%i";
    }
}

/* `line`: the number of the pair, or of the client in its role. */
static bool give_topic(struct run *run, struct client *client, size_t line, bool sub)
{
    CLEANUP(buf_done)
    struct buf topic;
    enum load_mode mode = run->s->mode;
    const char *pattern =
        run->s->topic != NULL && mode != LOAD_FANIN ? run->s->topic : default_topic(mode, sub);
    size_t len;

    buf_init(&topic, 65535);
    template_expand(pattern, line, client->id, &topic);
    if (mode == LOAD_FANIN && !sub) /* of the subscriber it belongs to */
        put_fmt(&topic, "%zu/%zu", line % run->subs, line);
    client->topic = (char *)buf_take(&topic, &len);
    return client->topic != NULL;
}

/* Subscriber `at` hears publishers at, at + spread, ...; of a fan-out the one there is. */
static bool give_tracks(struct run *run, struct client *client, size_t at)
{
    size_t spread = run->world.spread, first = run->s->mode == LOAD_FANOUT ? 0 : at;
    size_t count = first >= run->pubs ? 0 : (run->pubs - first + spread - 1) / spread;

    client->tracks = calloc(count + 1, sizeof *client->tracks);
    if (client->tracks == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        client->tracks[i] =
            (struct track){ .run = run->world.run, .publisher = (uint32_t)(first + i * spread), .used = true };
    client->peer.known = client->tracks;
    client->peer.known_count = count;
    return true;
}

static bool is_paired(enum load_mode mode)
{
    return mode != LOAD_FANIN && mode != LOAD_FANOUT && mode != LOAD_PUB && mode != LOAD_SUB;
}

static bool give_role(struct run *run, struct client *client, size_t at)
{
    enum load_mode mode = run->s->mode;
    bool sub = at < run->subs;
    size_t number = sub ? at : at - run->subs, line = mode == LOAD_FANOUT ? 0 : number;

    client->peer.publisher = (uint32_t)number;
    /* In a pair %c is the publisher's, whose identifier follows from its place. */
    if (is_paired(mode) && sub) {
        struct client *pub = run_pub(run, at);
        if (!run_name(run, pub, run->subs + at) || !give_topic(run, pub, line, false))
            return false;
        client->topic = strdup(pub->topic);
    } else if (!is_paired(mode) && !give_topic(run, client, line, sub)) {
        return false;
    }
    if (sub && mode != LOAD_SUB && !give_tracks(run, client, at))
        return false;
    /* Members of a share group see a part each: gaps mean nothing there. */
    client->peer.unchecked = sub && strncmp(client->topic == NULL ? "" : client->topic, "$share/", 7) == 0;
    client->peer.filter = sub ? client->topic : NULL;
    client->peer.topic = sub ? NULL : client->topic;
    return client->topic != NULL;
}

static bool make_client(struct run *run, size_t at)
{
    struct client *client = &run->clients[at];

    client->run = run;
    peer_init(&client->peer, &run->world, at, client->id);
    client->peer.ready = client_is_ready;
    client->peer.gone = client_gone;
    client->peer.qos = run->s->qos;
    if (!run_name(run, client, at))
        return false;
    return at >= run->subs + run->pubs || give_role(run, client, at);
}

/* How many there are of each role. */
static void count_roles(struct run *run)
{
    const struct load_settings *s = run->s;
    bool pairs =
        s->mode == LOAD_P2P || s->mode == LOAD_WILDCARDS || s->mode == LOAD_CHURN || s->mode == LOAD_RENEW;

    run->subs = pairs || s->mode == LOAD_SUB || s->mode == LOAD_FANOUT ? s->clients
                : s->mode == LOAD_FANIN                                ? s->subscribers
                                                                       : 0;
    run->pubs = pairs || s->mode == LOAD_PUB || s->mode == LOAD_FANIN ? s->clients
                : s->mode == LOAD_FANOUT                              ? 1
                                                                      : 0;
    run->sides = s->mode == LOAD_CONN       ? s->clients
                 : s->mode == LOAD_RETAINED ? s->sessions + 1 /* who subscribes to all */
                 : pairs                    ? s->sessions
                                            : 0;
    run->count = run->subs + run->pubs + run->sides;
    run->to_open = s->mode == LOAD_CHURN ? run->count - run->sides : run->count;
    run->world.spread = (uint32_t)(run->subs == 0 ? 1 : run->subs);
}

static enum status make_clients(struct run *run, struct why *why)
{
    const struct load_settings *s = run->s;

    count_roles(run);
    run->report->clients = run->to_open;
    run->clients = calloc(run->count, sizeof *run->clients);
    buf_init(&run->world.fill, s->size);
    uint8_t *fill = buf_room(&run->world.fill, s->size);
    if (run->clients == NULL || fill == NULL)
        return reject(why, ST_NO_MEMORY, "clients", "out of memory", 0);
    memset(fill, 'x', s->size);
    buf_added(&run->world.fill, s->size);
    for (size_t i = 0; i < run->count; i++)
        if (!make_client(run, i))
            return reject(why, ST_NO_MEMORY, "clients", "out of memory, or a name that is too long", 0);
    return ST_OK;
}

static void free_clients(struct run *run)
{
    run->closing = true;
    for (size_t i = 0; run->clients != NULL && i < run->count; i++) {
        struct client *client = &run->clients[i];
        if (client->run != NULL)
            peer_done(&client->peer);
        free(client->id);
        free(client->topic);
        free(client->tracks);
    }
    free(run->clients);
    buf_done(&run->world.fill);
}

/* ---- all of it ---- */

static enum status begin(struct run *run, struct why *why)
{
    const struct load_settings *s = run->s;
    enum status st = random_bytes(&run->world.run, sizeof run->world.run);

    if (st != ST_OK)
        return reject(why, st, "random", "no random bytes", 0);
    (void)snprintf(run->name, sizeof run->name, "%08x", run->world.run);
    run->world.loop = run->loop;
    run->world.login = s->login;
    run->world.troubles = &run->report->troubles;
    run->world.version = s->version;
    run->world.keep_alive_s = s->keep_alive_s;
    run->world.batch = s->batch;
    run->world.latency = &run->latency;
    run->world.connected = &run->connected;
    st = link_loop_open(run->loop, s->host, s->port, s->tls, s->any_name, CONNECT_MS, why);
    if (st == ST_OK)
        st = link_loop_watch(run->loop, s->stop_fd, why);
    if (st == ST_OK && s->ws_path != NULL)
        link_loop_use_ws(run->loop, s->ws_path, s->port);
    if (st == ST_OK)
        st = make_clients(run, why);
    if (st == ST_OK && s->pid > 0) {
        run->report->has_process = usage_of(s->pid, &run->report->process_start);
        if (!run->report->has_process)
            st = reject(why, ST_NOT_FOUND, "--pid", "there is no such process", 0);
    }
    return st;
}

static void (*scenario_of(enum load_mode mode))(struct run *run)
{
    switch (mode) {
    case LOAD_CONN:
        return conn_run;
    case LOAD_WILDCARDS:
        return wildcards_run;
    case LOAD_RETAINED:
        return retained_run;
    case LOAD_CHURN:
        return churn_run;
    case LOAD_RENEW:
        return renew_run;
    default:
        return flow_run;
    }
}

enum status load_run(const struct load_settings *settings, load_second_fn *second, void *ctx,
                     struct load_report *report, struct why *why)
{
    struct run *run = calloc(1, sizeof *run);
    struct link_loop *loop = calloc(1, sizeof *loop);
    enum status st;

    memset(report, 0, sizeof *report);
    if (run == NULL || loop == NULL) {
        free(run);
        free(loop);
        return reject(why, ST_NO_MEMORY, "run", "out of memory", 0);
    }
    *run = (struct run){ .s = settings, .second = second, .ctx = ctx, .report = report, .loop = loop };
    loop->epoll = -1;
    st = begin(run, why);
    run->start_ns = run->last_second_ns = link_now();
    run->second_ns = run->start_ns + NS_PER_S;
    if (st == ST_OK) {
        scenario_of(settings->mode)(run);
        report->failed = run->failed_opening + run->lost_connections;
        run_close_all(run);
    }
    free_clients(run);
    link_loop_done(loop);
    free(loop);
    free(run);
    return st;
}
