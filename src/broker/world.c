#include "broker/world.h"

#include "broker/control.h"
#include "broker/issuers.h"
#include "broker/memory_watch.h"
#include "broker/resolver.h"
#include "broker/source_config.h"
#include "broker/worker.h"
#include "broker/world_bridges.h"
#include "broker/world_status.h"
#include "broker/world_store.h"
#include "broker/world_tokens.h"
#include "crypto/random.h"
#include "net/listener.h"
#include "net/loop.h"
#include "scope/scope.h"
#include "token/token.h"
#include "token/verifier.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct world {
    const struct broker_config *config;
    struct loop *control;
    struct shard_settings shard;
    struct scope *public_scope;
    struct verifier *verifier;
    struct resolver *resolver;
    struct sources *sources;
    struct control *socket; /* `symbolon broker` */
    world_notify *notify;   /* may be NULL */
    struct world_tokens *tokens;
    struct world_store *store;     /* NULL: everything is in memory */
    struct world_status *status;   /* NULL: no list of revoked tokens is followed */
    struct world_bridges *bridges; /* NULL: none */
    char node[24];                 /* this broker, to bridges */
    struct worker_common common;
    struct pressure *pressure;
    struct memory_watch *memory;
    struct timer statistics; /* the next event of that name */
    uint16_t ports[WORKER_MAX_LISTENERS];
    struct ws_server_settings ws[WORKER_MAX_LISTENERS];
};

/* A question of a worker on its way to the resolver and back. */
struct errand {
    struct loop_task task;
    struct world *world;
    unsigned worker;
    enum resolve_kind kind;
    uint64_t request;
    size_t token_len;
    uint8_t token[];
};

/* -- between workers and resolver ------------------------------------------------------------------------ */

static void errand_done(void *ctx, enum status st, struct token *token, const struct why *why)
{
    struct errand *e = ctx;
    (void)worker_resolved(e->world->common.workers[e->worker], e->request, st, token, why);
    explicit_bzero(e->token, e->token_len);
    free(e);
}

static void errand_run(struct loop_task *task)
{
    struct errand *e = CONTAINER_OF(task, struct errand, task);
    struct why why;
    if (e->world->resolver != NULL) {
        resolver_ask(e->world->resolver, e->kind, span_of(e->token, e->token_len), errand_done, e);
        return;
    }
    if (e->world->common.workers[e->worker] == NULL) { /* shutting down */
        free(e);
        return;
    }
    enum status st = reject(&why, ST_UNREACHABLE, "shutdown", "the broker is shutting down", 0);
    errand_done(e, st, NULL, &why);
}

/* On a worker's thread. */
static void resolve(void *ctx, unsigned worker, enum resolve_kind kind, uint64_t request, struct span token)
{
    struct world *world = ctx;
    struct errand *e = calloc(1, sizeof *e + token.len);
    if (e == NULL)
        return; /* the connection's auth_timeout ends it */
    e->task.run = errand_run;
    e->world = world;
    e->worker = worker;
    e->kind = kind;
    e->request = request;
    e->token_len = token.len;
    if (token.len > 0)
        memcpy(e->token, token.p, token.len);
    loop_post(world->control, &e->task);
}

static void publish_verifier(void *ctx, struct verifier *verifier)
{
    struct world *world = ctx;
    for (unsigned i = 0; i < world->common.count; i++)
        if (!worker_set_verifier(world->common.workers[i], verifier))
            log_event(NULL, LOG_ERROR, "out_of_memory", F_STR("doing", "new signing keys"));
}

static void tokens_stored(void *ctx)
{
    struct world *world = ctx;
    for (unsigned i = 0; i < world->common.count; i++)
        if (world->common.workers[i] != NULL)
            (void)worker_tokens_stored(world->common.workers[i]); /* else the next commit tells them */
}

/* -- listeners ------------------------------------------------------------------------------------------- */

static enum status tls_for(const struct listener_config *l, struct tls_config **ret, struct why *why)
{
    static const char *const mqtt[] = { "mqtt", NULL }; /* MT-6 */
    static const char *const http[] = { "http/1.1", NULL };
    struct tls_settings settings = { .cert_file = l->certificate,
                                     .key_file = l->key,
                                     .ca_file = l->client_ca,
                                     .alpn = l->transport == TRANSPORT_WEBSOCKET ? http : mqtt,
                                     .no_tickets = !l->tickets };
    *ret = NULL;
    if (!l->tls)
        return ST_OK;
    if (l->client_certificate == CLIENT_CERTIFICATE_OPTIONAL)
        settings.client_cert = TLS_CLIENT_CERT_OPTIONAL;
    if (l->client_certificate == CLIENT_CERTIFICATE_REQUIRED)
        settings.client_cert = TLS_CLIENT_CERT_REQUIRED;
    if (l->client_certificate != CLIENT_CERTIFICATE_REQUIRED) {
        settings.raw_keys = l->raw_keys;
        settings.psk_find = l->psk ? worker_psk_find : NULL;
    }
    return tls_config_new_server(&settings, ret, why);
}

/* With SO_REUSEPORT a second broker could share our port unnoticed: a socket without it finds out. */
static enum status check_free(const struct listener_settings *shared, struct why *why)
{
    struct listener_settings alone = *shared;
    int fd;
    alone.share = false;
    if (shared->port == 0)
        return ST_OK;
    enum status st = listener_socket(&alone, &fd, NULL, why);
    if (st == ST_OK)
        close(fd);
    return st;
}

static enum status listen_on(struct world *world, size_t i, struct why *why)
{
    const struct listener_config *l = listener_config_at(world->config, i);
    struct listener_settings settings = {
        .address = l->address, .port = (uint16_t)l->port, .share = true, .later = true
    };
    CLEANUP(tls_config_unrefp)
    struct tls_config *tls = NULL;
    const struct ws_server_settings *ws = l->transport == TRANSPORT_WEBSOCKET ? &world->ws[i] : NULL;

    world->ws[i] = (struct ws_server_settings){ .path = l->path,
                                                .origins = (const char *const *)l->origins.items,
                                                .origin_count = l->origins.count };
    enum status st = tls_for(l, &tls, why);
    if (st == ST_OK)
        st = check_free(&settings, why);
    for (unsigned k = 0; st == ST_OK && k < world->common.count; k++) {
        int fd;
        st = listener_socket(&settings, &fd, &settings.port, why); /* port 0: the first one's for all */
        if (st == ST_OK)
            st = worker_listen(world->common.workers[k], fd, tls, ws, why);
    }
    world->ports[i] = settings.port;
    if (st != ST_OK)
        log_event(NULL, LOG_ERROR, "cannot_listen", F_STR("name", listener_config_name(l)),
                  F_STR("address", l->address), F_I64("port", l->port),
                  F_STR("certificate", l->tls ? l->certificate : ""), F_STR("key", l->tls ? l->key : ""),
                  F_STR("clause", why->clause), F_STR("why", why->text));
    return st;
}

/* From now on clients get in. */
static enum status open_listeners(struct world *world, struct why *why)
{
    enum status st = ST_OK;

    for (unsigned k = 0; st == ST_OK && k < world->common.count; k++)
        st = worker_open(world->common.workers[k], why);
    for (size_t i = 0; st == ST_OK && i < world->config->listeners.count; i++) {
        const struct listener_config *l = listener_config_at(world->config, i);

        log_event(NULL, LOG_NOTICE, "listening", F_STR("name", listener_config_name(l)),
                  F_STR("address", l->address), F_I64("port", world->ports[i]),
                  F_STR("tls", l->tls ? "yes" : "no"),
                  F_STR("transport", l->transport == TRANSPORT_WEBSOCKET ? "websocket" : "tcp"));
    }
    return st;
}

void world_ports(const struct world *world, struct buf *out)
{
    for (size_t i = 0; i < world->config->listeners.count; i++)
        put_fmt(out, "%s=%u\n", listener_config_name(listener_config_at(world->config, i)), world->ports[i]);
}

/* -- statistics ------------------------------------------------------------------------------------------ */

/* One line that is read by programs: every counter of stats.h by its name, summed over the workers. */
static void log_statistics(const struct world *world)
{
    static const char *const names[] = {
#define STAT_NAME(name, kind, help) #name,
        STATS_LIST(STAT_NAME)
#undef STAT_NAME
    };
    const struct pressure *pressure = world->pressure;
    struct log_field fields[COUNT_OF(names) + 5] = { { 0 } };
    uint64_t sums[COUNT_OF(names)] = { 0 }, refusals = 0;
    for (unsigned i = 0; i < world->common.count; i++) {
        struct stats stats;
        size_t n = 0;
        worker_stats(world->common.workers[i], &stats);
#define STAT_SUM(name, kind, help) sums[n++] += atomic_load_explicit(&stats.name, memory_order_relaxed);
        STATS_LIST(STAT_SUM)
#undef STAT_SUM
        for (int k = 0; k < STATUSES; k++)
            refusals += atomic_load_explicit(&stats.refusals[k], memory_order_relaxed);
    }
    for (size_t i = 0; i < COUNT_OF(names); i++)
        fields[i] = F_I64(names[i], sums[i]);
    fields[COUNT_OF(names)] = F_I64("refusals", refusals);
    fields[COUNT_OF(names) + 1] = F_I64("memory_accounted", pressure_accounted(pressure));
    fields[COUNT_OF(names) + 2] = F_I64("memory_resident", memory_resident());
    fields[COUNT_OF(names) + 3] = F_I64("memory_limit", pressure->limits.memory);
    if (log_wanted(LOG_NOTICE))
        log_write(NULL, LOG_NOTICE, "statistics", fields);
}

static void start_statistics(struct world *world)
{
    if (world->config->statistics_interval_s > 0)
        timer_start(
            loop_timers(world->control), &world->statistics,
            mono_plus_ms(loop_now(world->control).mono, world->config->statistics_interval_s * MS_PER_S));
}

static void on_statistics_timer(struct timer *timer, struct now now)
{
    struct world *world = CONTAINER_OF(timer, struct world, statistics);
    (void)now;
    log_statistics(world);
    start_statistics(world);
}

static void on_statistics_signal(void *ctx, int signum)
{
    (void)signum;
    log_statistics(ctx);
}

/* -- signals --------------------------------------------------------------------------------------------- */

static void on_stop_signal(void *ctx, int signum)
{
    struct world *world = ctx;
    log_event(NULL, LOG_NOTICE, "broker_stopping", F_I64("signal", signum));
    loop_stop(world->control); /* world_run() goes on, waiting for the workers */
}

/* Nothing turns the control loop while the workers stop, so the second signal has a handler of its own. */
static void leave_at_once(int signum)
{
    (void)signum;
    _exit(1);
}

static void expect_second_signal(void)
{
    const struct sigaction leave = { .sa_handler = leave_at_once };
    (void)sigaction(SIGTERM, &leave, NULL);
    (void)sigaction(SIGINT, &leave, NULL);
}

static void reload_listener(struct world *world, size_t i)
{
    CLEANUP(tls_config_unrefp)
    struct tls_config *tls = NULL;
    const struct listener_config *l = listener_config_at(world->config, i);
    struct why why;
    enum status st = tls_for(l, &tls, &why);
    if (st != ST_OK) { /* the old one stays in use */
        log_event(NULL, LOG_ERROR, "certificate_not_reloaded", F_STR("name", listener_config_name(l)),
                  F_STR("certificate", l->certificate), F_WHY(st, why));
        return;
    }
    for (unsigned k = 0; tls != NULL && k < world->common.count; k++)
        if (!worker_set_tls(world->common.workers[k], (unsigned)i, tls))
            log_event(NULL, LOG_ERROR, "out_of_memory", F_STR("doing", "certificate reload"));
}

static void on_reload_signal(void *ctx, int signum)
{
    struct world *world = ctx;
    struct why why;
    (void)signum;
    log_event(NULL, LOG_NOTICE, "reloading");
    for (size_t i = 0; i < world->config->listeners.count; i++)
        reload_listener(world, i);
    if (world->resolver == NULL)
        return;
    enum status st = resolver_reload(world->resolver, &why);
    if (st != ST_OK)
        log_event(NULL, LOG_ERROR, "keys_not_reloaded", F_WHY(st, why));
}

static enum status watch_signals(struct world *world, struct why *why)
{
    enum status st = loop_on_signal(world->control, SIGTERM, on_stop_signal, world, why);
    if (st == ST_OK)
        st = loop_on_signal(world->control, SIGINT, on_stop_signal, world, why);
    if (st == ST_OK)
        st = loop_on_signal(world->control, SIGHUP, on_reload_signal, world, why);
    if (st == ST_OK)
        st = loop_on_signal(world->control, SIGUSR1, on_statistics_signal, world, why);
    return st;
}

/* -- life ------------------------------------------------------------------------------------------------ */

static unsigned count_workers(const struct broker_config *config, unsigned wanted)
{
    long count = wanted != 0 ? (long)wanted : (long)config->workers;
    if (count == 0)
        count = sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1)
        return 1;
    return count > TOPIC_TREE_MAX_SHARDS ? TOPIC_TREE_MAX_SHARDS : (unsigned)count;
}

/* From the settings, or another one at each start. */
static enum status name_node(struct world *world, struct why *why)
{
    uint64_t number;

    if (random_bytes(&number, sizeof number) != ST_OK)
        return reject(why, ST_INTERNAL, "random", "no randomness", 0);
    if (world->config->bridge_node != NULL)
        snprintf(world->node, sizeof world->node, "%s", world->config->bridge_node);
    else
        snprintf(world->node, sizeof world->node, "%016llx", (unsigned long long)number);
    world->shard.node = span_of_str(world->node);
    return ST_OK;
}

static enum status make_settings(struct world *world, struct why *why)
{
    enum status st = broker_config_shard_settings(world->config, world->common.count, &world->shard,
                                                  &world->public_scope, why);
    if (st == ST_OK) {
        st = random_bytes(&world->shard.home_key, sizeof world->shard.home_key);
        if (st != ST_OK)
            return reject(why, st, "random", "no randomness", 0);
        st = name_node(world, why);
    }
    return st;
}

static enum status watch_memory(struct world *world, struct why *why)
{
    const struct broker_config *c = world->config;
    struct pressure_limits limits = { .memory = memory_limit(c->max_memory, (unsigned)c->memory_share),
                                      .low_percent = (unsigned)c->memory_low,
                                      .high_percent = (unsigned)c->memory_high,
                                      .output = c->max_output_total };
    enum status st = pressure_new(limits, &world->pressure);

    world->shard.pressure = world->pressure;
    if (st == ST_OK)
        st = memory_watch_new(world->control, world->pressure, &world->memory);
    if (st != ST_OK)
        return reject(why, st, "memory", "out of memory", 0);
    log_event(NULL, LOG_INFO, "memory_limit", F_I64("limit", limits.memory),
              F_I64("machine", memory_machine()));
    return ST_OK;
}

static enum status world_fill(struct world *world, struct why *why)
{
    const struct broker_config *config = world->config;
    enum status st = make_settings(world, why);
    if (st == ST_OK)
        st = loop_new(&world->control, why);
    if (st == ST_OK)
        st = world_tokens_new(config, world->control, tokens_stored, world, &world->tokens, why);
    if (st == ST_OK)
        st = world_store_new(config, world->control, &world->common, world->tokens, world->notify,
                             &world->store, why);
    if (st == ST_OK)
        st = issuers_verifier(config, &world->verifier, why);
    if (st == ST_OK && world->verifier != NULL)
        st = resolver_new(world->control, config, world->verifier, publish_verifier, world, &world->resolver,
                          why);
    if (st != ST_OK)
        return st;
    world->shard.tokens = world_tokens_store(world->tokens);
    world->common.settings = &world->shard;
    world->common.handshake_ms = config->handshake_timeout_ms;
    world->common.max_arriving = (uint32_t)config->max_handshakes;
    world->common.log_per_s = (uint32_t)config->log_rate;
    world->common.resolve = world->resolver != NULL ? resolve : NULL;
    world->common.ctx = world;
    if (config->workers_rest)
        world->common.lend = LEND_RULES;
    world->common.inbox_bytes = config->max_inbox_bytes;
    st = watch_memory(world, why);
    if (st == ST_OK)
        st = sources_from_config(config, &world->sources, why);
    world->common.sources = world->sources;
    for (unsigned i = 0; st == ST_OK && i < world->common.count; i++)
        st = worker_new(&world->common, i, world->verifier, why);
    if (st == ST_OK && world->resolver != NULL)
        st = world_status_new(world->control, config, world->resolver, world->shard.tokens, &world->common,
                              &world->status, why);
    for (size_t i = 0; st == ST_OK && i < config->listeners.count; i++)
        st = listen_on(world, i, why);
    if (st == ST_OK)
        st = world_bridges_new(config, &world->common, world->node, &world->bridges, why);
    return st;
}

enum status world_new(const struct broker_config *config, unsigned workers, world_notify *notify,
                      struct world **ret_world, struct why *why)
{
    struct world *world = calloc(1, sizeof *world);
    if (world == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    world->config = config;
    world->notify = notify;
    timer_init(&world->statistics, on_statistics_timer);
    world->common.count = count_workers(config, workers);
    if (config->authorization_servers.count == 0 && config->public_topics.count == 0)
        log_event(NULL, LOG_WARNING, "nobody_may_do_anything",
                  F_STR("why", "neither authorization_servers nor public_topics are set"));
    enum status st = world_fill(world, why);
    if (st != ST_OK) {
        world_free(world);
        return st;
    }
    *ret_world = world;
    return ST_OK;
}

/* Nobody gets in before everything is there that anybody left behind. */
static enum status start_store(struct world *world, struct why *why)
{
    struct now now = loop_now(world->control);
    enum status st = ST_OK;

    if (world->store == NULL) {
        world_tokens_start(world->tokens, NULL, NULL);
        return ST_OK;
    }
    st = world_store_start(world->store, now, why);
    if (st == ST_OK)
        world_bridges_forget(world->config, &world->common, now);
    return st;
}

static enum status start_all(struct world *world, struct why *why)
{
    enum status st = watch_signals(world, why);
    if (st == ST_OK)
        st = start_store(world, why);
    if (st == ST_OK) /* now that the folder is ours, and nobody else's */
        st = control_from_config(world->control, world->config, &world->common, &world->socket, why);
    if (st == ST_OK)
        st = open_listeners(world, why);
    for (unsigned i = 0; st == ST_OK && i < world->common.count; i++)
        st = worker_start(world->common.workers[i], why);
    if (st == ST_OK) {
        if (world->resolver != NULL)
            resolver_start(world->resolver);
        st = world_status_start(world->status, why);
    }
    if (st == ST_OK)
        st = world_bridges_start(world->bridges, why);
    return st;
}

static void tell(const struct world *world, const char *state)
{
    if (world->notify != NULL)
        world->notify(state);
}

enum status world_run(struct world *world, struct why *why)
{
    enum status st = start_all(world, why);
    if (st == ST_OK) {
        start_statistics(world);
        log_event(NULL, LOG_NOTICE, "broker_started", F_I64("workers", world->common.count));
        tell(world, "READY=1\nSTATUS=Serving");
        loop_run(world->control);
    }
    expect_second_signal();
    tell(world, "STOPPING=1\nSTATUS=Stopping");
    world_bridges_stop(world->bridges);
    for (unsigned i = 0; i < world->common.count; i++)
        worker_stop(world->common.workers[i]);
    for (unsigned i = 0; i < world->common.count; i++)
        worker_join(world->common.workers[i]);
    world_store_stop(world->store);
    return st;
}

void world_free(struct world *world)
{
    if (world == NULL)
        return;
    memory_watch_free(world->memory);
    control_free(world->socket);
    world_status_stop(world->status);
    world_bridges_free(world->bridges);
    world_store_stop(world->store); /* if it never ran */
    resolver_free(TAKE(world->resolver));
    for (unsigned i = 0; i < world->common.count; i++)
        worker_free(world->common.workers[i]);
    world_store_free(world->store);
    world_tokens_stop(world->tokens);
    loop_free(world->control); /* runs what the store had to say to `tokens` */
    world_tokens_free(world->tokens);
    world_status_free(world->status);
    sources_free(world->sources);
    verifier_unref(world->verifier);
    scope_unref(world->public_scope);
    pressure_free(world->pressure);
    free(world);
}
