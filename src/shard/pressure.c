#include "shard/pressure.h"

#include <stdlib.h>

#define SLACK_DIVISOR 20 /* a state is left so much of the limit below its mark */

enum status pressure_new(struct pressure_limits limits, struct pressure **ret_pressure)
{
    struct pressure *p = aligned_alloc(_Alignof(struct pressure), sizeof *p);

    if (p == NULL)
        return ST_NO_MEMORY;
    *p = (struct pressure){ .limits = limits };
    *ret_pressure = p;
    return ST_OK;
}

void pressure_free(struct pressure *p)
{
    free(p);
}

uint64_t pressure_accounted(const struct pressure *p)
{
    unsigned shards = atomic_load_explicit(&p->shards_known, memory_order_relaxed);
    uint64_t sum = 0;

    for (unsigned i = 0; i < shards; i++) {
        sum += atomic_load_explicit(&p->bodies[i].bytes, memory_order_relaxed);
        sum += atomic_load_explicit(&p->retained[i].bytes, memory_order_relaxed);
        for (unsigned k = 0; k < PARTS; k++)
            sum += atomic_load_explicit(&p->shards[i].bytes[k], memory_order_relaxed);
    }
    return sum;
}

static uint64_t percent_of(uint64_t limit, unsigned percent)
{
    return limit / 100 * percent;
}

static uint64_t low_mark(const struct pressure *p)
{
    return percent_of(p->limits.memory, p->limits.low_percent);
}

static uint64_t high_mark(const struct pressure *p)
{
    return percent_of(p->limits.memory, p->limits.high_percent);
}

static enum pressure_level level_of(const struct pressure *p, uint64_t used, enum pressure_level now)
{
    uint64_t slack = p->limits.memory / SLACK_DIVISOR;

    if (used >= high_mark(p) || (now == PRESSURE_HIGH && used + slack >= high_mark(p)))
        return PRESSURE_HIGH;
    if (used >= low_mark(p) || (now != PRESSURE_NORMAL && used + slack >= low_mark(p)))
        return PRESSURE_LOW;
    return PRESSURE_NORMAL;
}

static uint8_t slow_of(const struct pressure *p, uint64_t used)
{
    uint64_t low = low_mark(p), high = high_mark(p);

    if (used <= low)
        return 1; /* on its way down: hardly */
    return (uint8_t)(used >= high ? 100 : 1 + (used - low) * 99 / (high - low));
}

static void tell(const struct pressure *p, enum pressure_level to, uint64_t accounted, uint64_t resident,
                 const struct log *log)
{
    log_event(log, to == PRESSURE_NORMAL ? LOG_NOTICE : LOG_WARNING,
              to == PRESSURE_HIGH  ? "memory_high"
              : to == PRESSURE_LOW ? "memory_low"
                                   : "memory_normal",
              F_I64("accounted", accounted), F_I64("resident", resident), F_I64("limit", p->limits.memory));
}

/* Two who see different sums at the same time: the later one is right, or is put right by the next report. */
static void look(struct pressure *p, const struct log *log)
{
    uint64_t accounted, resident, used;
    uint8_t now, to;

    if (p->limits.memory == 0)
        return;
    accounted = pressure_accounted(p);
    resident = atomic_load_explicit(&p->resident, memory_order_relaxed);
    used = accounted + atomic_load_explicit(&p->beyond, memory_order_relaxed);
    now = atomic_load_explicit(&p->level, memory_order_relaxed);
    to = (uint8_t)level_of(p, used, (enum pressure_level)now);
    atomic_store_explicit(&p->slow, slow_of(p, used), memory_order_relaxed);
    atomic_store_explicit(&p->full, used >= p->limits.memory, memory_order_relaxed);
    if (to != now && atomic_compare_exchange_strong_explicit(&p->level, &now, to, memory_order_relaxed,
                                                             memory_order_relaxed))
        tell(p, (enum pressure_level)to, accounted, resident, log);
}

static void know(struct pressure *p, unsigned shard)
{
    unsigned known = atomic_load_explicit(&p->shards_known, memory_order_relaxed);

    while (known <= shard && !atomic_compare_exchange_weak_explicit(&p->shards_known, &known, shard + 1,
                                                                    memory_order_relaxed, memory_order_relaxed))
        continue;
}

void pressure_report(struct pressure *p, unsigned shard, enum pressure_part part, uint64_t bytes,
                     const struct log *log)
{
    know(p, shard);
    atomic_store_explicit(&p->shards[shard].bytes[part], bytes, memory_order_relaxed);
    look(p, log);
}

void pressure_output(struct pressure *p, unsigned shard, uint64_t bytes)
{
    uint64_t sum = 0;

    know(p, shard);
    atomic_store_explicit(&p->shards[shard].output, bytes, memory_order_relaxed);
    if (p->limits.output == 0)
        return;
    for (unsigned i = 0; i < atomic_load_explicit(&p->shards_known, memory_order_relaxed); i++)
        sum += atomic_load_explicit(&p->shards[i].output, memory_order_relaxed);
    atomic_store_explicit(&p->output_over, sum > p->limits.output, memory_order_relaxed);
}

void pressure_resident(struct pressure *p, uint64_t bytes, const struct log *log)
{
    uint64_t accounted = pressure_accounted(p);

    atomic_store_explicit(&p->resident, bytes, memory_order_relaxed);
    atomic_store_explicit(&p->beyond, bytes > accounted ? bytes - accounted : 0, memory_order_relaxed);
    look(p, log);
}

bool pressure_take(struct pressure *p, enum pressure_count what, uint64_t n, uint64_t max)
{
    uint64_t was = atomic_load_explicit(&p->counts[what], memory_order_relaxed);

    do {
        if (was > max || n > max - was)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&p->counts[what], &was, was + n, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void pressure_add(struct pressure *p, enum pressure_count what, uint64_t n)
{
    atomic_fetch_add_explicit(&p->counts[what], n, memory_order_relaxed);
}

void pressure_give(struct pressure *p, enum pressure_count what, uint64_t n)
{
    atomic_fetch_sub_explicit(&p->counts[what], n, memory_order_relaxed);
}
