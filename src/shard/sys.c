#include "shard/sys.h"

#include "shard/route.h"
#include "shard/sys_tree.h"
#include "topic/topic_tree.h"

#define SYS_MAX_MESSAGES 1000
#define SYS_MAX_BYTES    ((size_t)1 << 20)

static bool publish(void *ctx, struct span topic, struct span value)
{
    CLEANUP(message_unrefp)
    struct message *m = NULL;
    CLEANUP(buf_done)
    struct buf whole;
    struct shard *shard = ctx;

    buf_init(&whole, UINT16_MAX);
    put_str(&whole, SYS_ROOT);
    put_bytes(&whole, topic);
    if (!buf_ok(&whole) || message_new(
                               &(struct message_parts){
                                   .topic = buf_span(&whole),
                                   .payload = value,
                                   .retain = shard->settings->retain_available,
                                   .expires_ms = TIME_NEVER,
                                   .token_until_s = TIME_NEVER,
                               },
                               &m) != ST_OK) {
        STATS_INC(&shard->stats, dropped_no_memory);
        return false;
    }
    (void)route_publish(shard, m, ROUTE_UNKNOWN, NULL);
    return true;
}

static void on_interval(struct timer *timer, struct now now)
{
    struct shard *shard = CONTAINER_OF(timer, struct shard, sys_timer);
    struct stats stats = { 0 };
    uint64_t heap_bytes = 0;

    if (shard->settings->sys_interval_s == 0)
        return;
    timer_start(&shard->timers, timer,
                mono_plus_ms(now.mono, (int64_t)shard->settings->sys_interval_s * MS_PER_S));
    if (shard->world.totals != NULL)
        shard->world.totals(shard->world.ctx, &stats, &heap_bytes);
    else
        shard_stats(shard, &stats);
    /* Where nothing is kept, whoever subscribes has to be told everything again. */
    sys_tree_look(shard->sys, &stats, heap_bytes, shard->pressure, now, !shard->settings->retain_available,
                  publish, shard);
}

enum status sys_start(struct shard *shard)
{
    struct hash_key key;
    enum status st;

    timer_init(&shard->sys_timer, on_interval);
    if (shard->index != 0)
        return ST_OK;
    st = shard->world.random(shard->world.ctx, &key, sizeof key);
    if (st == ST_OK)
        st = retained_new(key,
                          (struct retained_limits){ .max_messages = SYS_MAX_MESSAGES,
                                                    .max_bytes = SYS_MAX_BYTES,
                                                    .max_levels = TOPIC_TREE_MAX_LEVELS },
                          &shard->own_retained);
    if (st != ST_OK || shard->settings->sys_interval_s == 0)
        return st;
    st = sys_tree_new(shard->settings->version, shard->now, &shard->sys);
    if (st == ST_OK)
        timer_start(&shard->timers, &shard->sys_timer, shard->now.mono);
    return st;
}

void sys_done(struct shard *shard)
{
    if (shard->sys != NULL)
        timer_stop(&shard->timers, &shard->sys_timer);
    sys_tree_free(TAKE(shard->sys));
    retained_free(TAKE(shard->own_retained));
}
