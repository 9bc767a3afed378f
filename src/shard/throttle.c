#include "shard/throttle.h"

#include "shard/shard_priv.h"
#include "shard/share.h"

#define TELL_BYTES       (32u * 1024) /* a change of less is told later */
#define PUBLISHES_MUCH   (32u * 1024) /* bytes in a second: who sends less is not slowed */
#define SLOW_LEAST_MS    8
#define SLOW_PER_CENT_MS 5            /* half a second in all */
#define YOUNG_MS         100          /* of an unfinished packet: the others' shards have their chance first */
#define OUTPUT_SMALL     (16u * 1024) /* of one connection: may wait whatever waits for the others */
#define BEYOND_MOST      1024u

/* ---- connections ---- */

uint32_t throttle_connections_most(uint32_t max_connections)
{
    uint32_t more = max_connections / 8 + 8;

    return max_connections + (more < BEYOND_MOST ? more : BEYOND_MOST);
}

static void listen_again(struct conn *c)
{
    int64_t slow_ms = c->shard->now.mono.ms - c->throttle.slow_ms;

    c->last_packet_ms = c->shard->now.mono.ms; /* until now it could not be heard */
    if (c->part_since_ms != TIME_NEVER)
        c->part_since_ms += slow_ms;
    conn_read_on(c);
}

static void on_slow_over(struct timer *timer, struct now now)
{
    (void)now;
    listen_again(CONTAINER_OF(CONTAINER_OF(timer, struct throttle, slow), struct conn, throttle));
}

void throttle_begin(struct conn *c, bool moved)
{
    struct shard *shard = c->shard;

    timer_init(&c->throttle.slow, on_slow_over);
    list_init(&c->throttle.link);
    list_init(&c->throttle.starved);
    c->throttle.receive_maximum = shard->settings->receive_maximum;
    c->throttle.beyond =
        !moved && !pressure_take(shard->pressure, COUNT_CONNECTIONS, 1, shard->settings->max_connections);
    if (moved || c->throttle.beyond)
        pressure_add(shard->pressure, COUNT_CONNECTIONS, 1);
}

static void set_unfinished(struct conn *c, size_t bytes)
{
    struct throttle *t = &c->throttle;
    struct shard *shard = c->shard;

    if (bytes < UNFINISHED_SMALL)
        bytes = 0;
    if (bytes == t->unfinished)
        return;
    if (t->unfinished == 0)
        list_append(&shard->unfinished, &t->link);
    if (bytes == 0)
        list_remove(&t->link);
    pressure_add(shard->pressure, COUNT_UNFINISHED_BYTES, bytes);
    pressure_give(shard->pressure, COUNT_UNFINISHED_BYTES, t->unfinished);
    t->unfinished = bytes;
}

static void set_unread(struct conn *c, size_t bytes)
{
    struct throttle *t = &c->throttle;

    if (bytes == t->unread)
        return;
    STATS_ADD(&c->shard->stats, memory_reading, (uint64_t)bytes - t->unread);
    t->unread = bytes;
}

void throttle_end(struct conn *c)
{
    set_unfinished(c, 0);
    set_unread(c, 0);
    timer_stop(&c->shard->timers, &c->throttle.slow);
    list_remove(&c->throttle.starved);
    pressure_give(c->shard->pressure, COUNT_CONNECTIONS, 1);
}

bool throttle_output(struct conn *c, size_t pending)
{
    if (pending < OUTPUT_SMALL)
        return false;
    if (!list_linked(&c->throttle.starved))
        list_append(&c->shard->starved, &c->throttle.starved);
    return true;
}

void throttle_feed(struct shard *shard)
{
    while (!list_empty(&shard->starved) && !pressure_output_over(shard->pressure)) {
        struct conn *c = CONTAINER_OF(CONTAINER_OF(list_shift(&shard->starved), struct throttle, starved),
                                      struct conn, throttle);

        if (conn_is_open(c))
            session_pump(c->session);
    }
}

bool throttle_is_slow(const struct conn *c)
{
    return timer_running(&c->throttle.slow);
}

static void slow_down(struct conn *c, unsigned percent)
{
    c->throttle.slow_ms = c->shard->now.mono.ms;
    timer_start(&c->shard->timers, &c->throttle.slow,
                mono_plus_ms(c->shard->now.mono, SLOW_LEAST_MS + (int64_t)percent * SLOW_PER_CENT_MS));
    c->shard->world.conn_pause(c->shard->world.ctx, c->io, true);
    STATS_INC(&c->shard->stats, publishers_slowed);
}

/* Who publishes little is read as always: its acknowledgements make room, and its PINGREQ is answered. */
static void see_published(struct conn *c, uint64_t published, unsigned percent)
{
    struct throttle *t = &c->throttle;

    if (c->shard->now.mono.ms - t->second_ms >= MS_PER_S) {
        t->second_ms = c->shard->now.mono.ms;
        t->published = 0;
    }
    t->published += published;
    if (t->published >= PUBLISHES_MUCH && !timer_running(&t->slow))
        slow_down(c, percent);
}

void throttle_input(struct conn *c, size_t unread, bool part, uint64_t published)
{
    unsigned percent = pressure_slow(c->shard->pressure);

    set_unread(c, unread);
    set_unfinished(c, part ? unread : 0);
    if (percent > 0 && published > 0 && c->state == CONN_OPEN)
        see_published(c, published, percent);
}

/* From all of it at the low mark to an eighth at the high one. What was announced holds for the connection. */
uint16_t throttle_receive_maximum(struct conn *c)
{
    uint32_t most = c->shard->settings->receive_maximum;
    unsigned percent = pressure_slow(c->shard->pressure);
    uint32_t less = most - most * percent / 100 * 7 / 8;

    c->throttle.receive_maximum = (uint16_t)(less > 0 ? less : 1);
    return c->throttle.receive_maximum;
}

/* ---- refusing ---- */

static enum status refuse(const struct shard *shard, const char *text, struct why *why)
{
    struct stats *stats = (struct stats *)&shard->stats; /* a counter */

    STATS_INC(stats, refused_pressure);
    return reject(why, ST_QUOTA, "limits.memory", text, 0);
}

enum status throttle_session(const struct shard *shard, struct why *why)
{
    if (pressure_is_high(shard->pressure))
        return refuse(shard, "memory is short: no new sessions", why);
    return ST_OK;
}

enum status throttle_connection(const struct conn *c, struct why *why)
{
    if (c->throttle.beyond)
        return reject(why, ST_QUOTA, "limits.connections", "this broker has as many connections as it may", 0);
    return ST_OK;
}

enum status throttle_subscribe(const struct shard *shard, struct why *why)
{
    if (pressure_is_high(shard->pressure))
        return refuse(shard, "memory is short: no new subscriptions", why);
    return ST_OK;
}

/* What clears a retained message makes room. */
enum status throttle_publish(struct shard *shard, const struct mqtt_publish *p, struct why *why)
{
    if (p->retain && p->payload.len == 0)
        return ST_OK;
    if (p->qos > 0)
        return refuse(shard, "memory is short: nothing more is taken", why);
    STATS_INC(&shard->stats, dropped_pressure);
    return reject(why, ST_QUOTA, "limits.memory", "memory is short: nothing more is taken", 0);
}

/* ---- before a call ends ---- */

/* The oldest goes: whoever means to finish a packet does so soon, and makes no room necessary. */
void throttle_unfinished(struct shard *shard)
{
    uint64_t max = shard->settings->max_unfinished_bytes;

    while (max > 0 && !list_empty(&shard->unfinished)) {
        uint64_t now = pressure_count(shard->pressure, COUNT_UNFINISHED_BYTES);
        struct throttle *oldest = CONTAINER_OF(shard->unfinished.next, struct throttle, link);
        struct conn *c = CONTAINER_OF(oldest, struct conn, throttle);
        struct why why;

        if (now <= max)
            return;
        if (c->part_since_ms > shard->now.mono.ms - YOUNG_MS && now <= max + max / 4)
            return;
        STATS_INC(&shard->stats, unfinished_ended);
        conn_fail(c,
                  reject(&why, ST_QUOTA, "limits.unfinished", "an unfinished packet makes room for others", 0),
                  &why);
    }
}

static uint64_t load(const _Atomic uint64_t *gauge)
{
    return atomic_load_explicit(gauge, memory_order_relaxed);
}

/* Up or down. */
static bool has_moved(uint64_t now, uint64_t told)
{
    return now - told + TELL_BYTES > 2 * TELL_BYTES;
}

static uint64_t bytes_of_messages(const struct stats *s)
{
    uint64_t sum = load(&s->memory_queued) + load(&s->memory_reading);

    return s->bodies == NULL ? sum : sum + load(&s->bodies->bytes) + load(&s->retained->bytes);
}

static uint64_t bytes_of_subscriptions(const struct shard *shard)
{
    uint64_t each = memory_block(sizeof(struct subscription)) + MALLOC_ADDS;
    uint64_t leave = shard->count > 1 ? memory_block(sizeof(struct shard_msg)) : 0; /* most have one */
    uint64_t shared = sizeof(struct share_subscription) - sizeof(struct subscription) + leave;

    return topic_tree_bytes(shard->tree) + load(&shard->stats.subscriptions) * each +
           shard->share_subscriptions.count * shared +
           shard->journal.subscriptions * sizeof(struct subscription_record) +
           (shard->shares.count + shard->share_members.count) * sizeof(struct share);
}

void throttle_account(struct shard *shard)
{
    struct stats *s = &shard->stats;

    uint64_t messages = bytes_of_messages(s), sum;

    atomic_store_explicit(&s->memory_subscriptions, bytes_of_subscriptions(shard), memory_order_relaxed);
    sum = load(&s->memory_connections) + load(&s->memory_reading) + load(&s->memory_output) +
          load(&s->memory_sessions) + load(&s->memory_subscriptions) + load(&s->memory_queued) +
          load(&s->memory_retained) + load(&s->memory_store);
    if (!has_moved(sum, shard->accounted) && !has_moved(messages, shard->accounted_messages))
        return;
    shard->accounted = sum;
    shard->accounted_messages = messages;
    pressure_report(shard->pressure, shard->index, PART_CORE, sum, shard->log);
}

void throttle_account_messages(struct shard *shard)
{
    if (has_moved(bytes_of_messages(&shard->stats), shard->accounted_messages))
        throttle_account(shard);
}
