#include "shard/sys_tree.h"

#include "shard/pressure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One look at everything. */
struct sample {
#define SAMPLE_FIELD(name, kind, help) uint64_t name;
    STATS_LIST(SAMPLE_FIELD)
#undef SAMPLE_FIELD
    uint64_t clients_maximum;
    uint64_t heap_bytes, heap_maximum;
    uint64_t memory_limit, memory_level;
};

/* clang-format off */
/*     topic below $SYS/broker/       value                                                                   */
#define NUMBERS(X)                                                                                            \
    X( "clients/total",               s->sessions                                                          )  \
    X( "clients/connected",           s->connections_authorized                                            )  \
    X( "clients/active",              s->connections_authorized                                            )  \
    X( "clients/disconnected",        absent_clients(s)                                                    )  \
    X( "clients/inactive",            absent_clients(s)                                                    )  \
    X( "clients/maximum",             s->clients_maximum                                                   )  \
    X( "clients/expired",             s->sessions_expired                                                  )  \
    X( "messages/received",           s->packets_in                                                        )  \
    X( "messages/sent",               s->packets_out                                                       )  \
    X( "messages/stored",             s->retained_messages + s->queued_messages                            )  \
    X( "store/messages/count",        s->retained_messages + s->queued_messages                            )  \
    X( "store/messages/bytes",        s->retained_bytes + s->queued_bytes                                  )  \
    X( "workers/awake",               s->workers_awake                                                     )  \
    X( "store/failing",               s->store_failing                                                     )  \
    X( "store/stalled",               s->store_stalled                                                     )  \
    X( "publish/messages/received",   s->messages_in                                                       )  \
    X( "publish/messages/sent",       s->messages_out                                                      )  \
    X( "publish/messages/dropped",    dropped(s)                                                           )  \
    X( "publish/bytes/received",      s->payload_in                                                        )  \
    X( "publish/bytes/sent",          s->payload_out                                                       )  \
    X( "bytes/received",              s->bytes_in                                                          )  \
    X( "bytes/sent",                  s->bytes_out                                                         )  \
    X( "subscriptions/count",         s->subscriptions                                                     )  \
    X( "shared_subscriptions/count",  s->shared_subscriptions                                              )  \
    X( "retained messages/count",     s->retained_messages                                                 )  \
    X( "heap/current",                s->heap_bytes                                                        )  \
    X( "heap/maximum",                s->heap_maximum                                                      )  \
    X( "memory/accounted",            accounted(s)                                                         )  \
    X( "memory/limit",                s->memory_limit                                                      )  \
    X( "memory/level",                s->memory_level                                                      )  \
    X( "memory/awaited",              s->memory_awaited                                                    )  \
    X( "memory/connections",          s->memory_connections                                                )  \
    X( "memory/reading",              s->memory_reading                                                    )  \
    X( "memory/output",               s->memory_output                                                     )  \
    X( "memory/sessions",             s->memory_sessions                                                   )  \
    X( "memory/subscriptions",        s->memory_subscriptions                                              )  \
    X( "memory/queued",               s->memory_queued                                                     )  \
    X( "memory/retained",             s->memory_retained                                                   )  \
    X( "memory/inboxes",              s->memory_inboxes                                                    )  \
    X( "memory/store",                s->memory_store                                                      )  \
    X( "memory/tokens",               s->memory_tokens                                                     )  \
    X( "ace/tokens/accepted",         s->tokens_accepted                                                   )  \
    X( "ace/tokens/refused",          s->tokens_refused                                                    )  \
    X( "ace/tokens/renewed",          s->reauthentications                                                 )  \
    X( "ace/tokens/expired",          s->tokens_expired                                                    )  \
    X( "ace/tokens/revoked",          s->tokens_revoked                                                    )  \
    X( "ace/tokens/changed",          s->tokens_changed                                                    )  \
    X( "ace/tokens/kept",             s->tokens_kept                                                       )  \
    X( "ace/subscriptions/lost",      s->subscriptions_lost                                                )  \
    X( "ace/messages/withheld",       s->dropped_not_authorized                                            )  \
    X( "hostile/refused/banned",      s->refused_banned                                                    )  \
    X( "hostile/refused/too_fast",    s->refused_too_fast                                                  )  \
    X( "hostile/refused/per_address", s->refused_per_address                                               )  \
    X( "hostile/refused/handshakes",  s->refused_handshakes                                                )  \
    X( "hostile/bans",                s->addresses_banned                                                  )

/* Events a minute, averaged over the last one, five and fifteen: topic below $SYS/broker/load/, counter. */
#define LOADS(X)                                                                                              \
    X( "messages/received",           s->packets_in                                                        )  \
    X( "messages/sent",               s->packets_out                                                       )  \
    X( "publish/received",            s->messages_in                                                       )  \
    X( "publish/sent",                s->messages_out                                                      )  \
    X( "publish/dropped",             dropped(s)                                                           )  \
    X( "bytes/received",              s->bytes_in                                                          )  \
    X( "bytes/sent",                  s->bytes_out                                                         )  \
    X( "sockets",                     s->connections_accepted                                              )  \
    X( "connections",                 s->connects_in                                                       )
/* clang-format on */

static uint64_t absent_clients(const struct sample *s)
{
    return s->sessions > s->connections_authorized ? s->sessions - s->connections_authorized : 0;
}

static uint64_t accounted(const struct sample *s)
{
    uint64_t sum = 0;

#define SUM(name, kind, help) sum += s->name;
    MEMORY_LIST(SUM)
#undef SUM
    return sum;
}

static uint64_t dropped(const struct sample *s)
{
    return s->dropped_output_full + s->dropped_queue_full + s->dropped_too_large + s->dropped_expired +
           s->dropped_not_authorized + s->dropped_no_memory + s->dropped_pressure + s->dropped_oldest;
}

#define TOPIC_OF(topic, value) topic,
static const char *const number_topics[] = { NUMBERS(TOPIC_OF) };
static const char *const load_topics[] = { LOADS(TOPIC_OF) };
#undef TOPIC_OF

#define N_NUMBERS COUNT_OF(number_topics)
#define N_LOADS   COUNT_OF(load_topics)

static const struct {
    const char *name;
    double seconds;
} spans_of_time[] = { { "1min", 60 }, { "5min", 300 }, { "15min", 900 } };

#define N_SPANS       COUNT_OF(spans_of_time)
#define SMALLEST_STEP 0.01 /* of a load: what its text shows */

struct sys_tree {
    const char *version;
    int64_t started_ms, last_ms, said_uptime_s;
    uint64_t clients_maximum, heap_maximum;
    bool said_version;
    bool said[N_NUMBERS];
    uint64_t numbers[N_NUMBERS]; /* as said */
    uint64_t counts[N_LOADS];    /* as of the last look */
    double loads[N_LOADS][N_SPANS];
    bool said_loads[N_LOADS][N_SPANS];
    double as_said[N_LOADS][N_SPANS];
};

struct saying {
    struct sys_tree *tree;
    bool all;
    sys_tree_say *say;
    void *ctx;
};

enum status sys_tree_new(const char *version, struct now now, struct sys_tree **ret_tree)
{
    struct sys_tree *tree = calloc(1, sizeof *tree);

    if (tree == NULL)
        return ST_NO_MEMORY;
    tree->version = version;
    tree->started_ms = tree->last_ms = now.mono.ms;
    tree->said_uptime_s = -1;
    *ret_tree = tree;
    return ST_OK;
}

void sys_tree_free(struct sys_tree *tree)
{
    free(tree);
}

static void take_sample(struct sys_tree *tree, const struct stats *stats, uint64_t heap_bytes,
                        struct sample *out)
{
#define SAMPLE(name, kind, help) out->name = atomic_load_explicit(&stats->name, memory_order_relaxed);
    STATS_LIST(SAMPLE)
#undef SAMPLE
    if (out->sessions > tree->clients_maximum)
        tree->clients_maximum = out->sessions;
    if (heap_bytes > tree->heap_maximum)
        tree->heap_maximum = heap_bytes;
    out->clients_maximum = tree->clients_maximum;
    out->heap_bytes = heap_bytes;
    out->heap_maximum = tree->heap_maximum;
}

static void say_times(const struct saying *to, struct now now)
{
    struct sys_tree *tree = to->tree;
    int64_t uptime_s = (now.mono.ms - tree->started_ms) / MS_PER_S;
    char text[48];

    if (tree->version != NULL && (to->all || !tree->said_version))
        tree->said_version = to->say(to->ctx, SPAN("version"), span_of_str(tree->version));
    if (!to->all && uptime_s == tree->said_uptime_s)
        return;
    snprintf(text, sizeof text, "%lld seconds", (long long)uptime_s);
    if (to->say(to->ctx, SPAN("uptime"), span_of_str(text)))
        tree->said_uptime_s = uptime_s;
}

static void say_numbers(const struct saying *to, const struct sample *s)
{
#define VALUE_OF(topic, value) value,
    const uint64_t values[] = { NUMBERS(VALUE_OF) };
#undef VALUE_OF
    struct sys_tree *tree = to->tree;
    char text[24];

    for (size_t i = 0; i < N_NUMBERS; i++) {
        if (s->heap_bytes == 0 && span_starts_with(span_of_str(number_topics[i]), SPAN("heap/")))
            continue;
        if (!to->all && tree->said[i] && values[i] == tree->numbers[i])
            continue;
        snprintf(text, sizeof text, "%llu", (unsigned long long)values[i]);
        tree->said[i] = to->say(to->ctx, span_of_str(number_topics[i]), span_of_str(text));
        tree->numbers[i] = values[i];
    }
}

static void say_load(const struct saying *to, size_t i, size_t k)
{
    struct sys_tree *tree = to->tree;
    char topic[48], text[32];

    if (!to->all && tree->said_loads[i][k] && fabs(tree->loads[i][k] - tree->as_said[i][k]) < SMALLEST_STEP)
        return;
    snprintf(topic, sizeof topic, "load/%s/%s", load_topics[i], spans_of_time[k].name);
    snprintf(text, sizeof text, "%.2f", tree->loads[i][k]);
    tree->said_loads[i][k] = to->say(to->ctx, span_of_str(topic), span_of_str(text));
    tree->as_said[i][k] = tree->loads[i][k];
}

/* As mosquitto does, and as a system's load is: what is new counts the more, the longer it took. */
static void say_loads(const struct saying *to, const struct sample *s, struct now now)
{
#define VALUE_OF(topic, value) value,
    const uint64_t counts[] = { LOADS(VALUE_OF) };
#undef VALUE_OF
    struct sys_tree *tree = to->tree;
    double elapsed_s = (double)(now.mono.ms - tree->last_ms) / MS_PER_S;

    for (size_t i = 0; i < N_LOADS; i++) {
        double a_minute = elapsed_s > 0 ? (double)(counts[i] - tree->counts[i]) * 60 / elapsed_s : 0;

        for (size_t k = 0; k < N_SPANS; k++) {
            double keep = exp(-elapsed_s / spans_of_time[k].seconds);

            tree->loads[i][k] = a_minute + keep * (tree->loads[i][k] - a_minute);
            say_load(to, i, k);
        }
        tree->counts[i] = counts[i];
    }
    tree->last_ms = now.mono.ms;
}

void sys_tree_look(struct sys_tree *tree, const struct stats *stats, uint64_t heap_bytes,
                   const struct pressure *pressure, struct now now, bool all, sys_tree_say *say, void *ctx)
{
    const struct saying to = { tree, all, say, ctx };
    struct sample sample;

    take_sample(tree, stats, heap_bytes, &sample);
    sample.memory_limit = pressure->limits.memory;
    sample.memory_level = pressure_level(pressure);
    say_times(&to, now);
    say_numbers(&to, &sample);
    say_loads(&to, &sample, now);
}
