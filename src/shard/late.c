#include "shard/late.h"

#include "shard/retained_ask.h"
#include "shard/shard_priv.h"

#define AGAIN_MS 50 /* for memory to come back */

bool late_waits(const struct shard *shard)
{
    return shard->late.first != NULL;
}

static void append(struct late *late, struct shard_msg *msg)
{
    msg->next = NULL;
    *late->end = msg;
    late->end = &msg->next;
}

static struct shard_msg *shift(struct late *late)
{
    struct shard_msg *msg = late->first;

    if (msg == NULL)
        return NULL;
    late->first = msg->next;
    if (late->first == NULL)
        late->end = &late->first;
    msg->next = NULL;
    return msg;
}

static void start(struct shard *shard)
{
    timer_start(&shard->timers, &shard->late.timer, mono_plus_ms(shard->now.mono, AGAIN_MS));
}

static void on_timer(struct timer *timer, struct now now)
{
    struct shard *shard = CONTAINER_OF(timer, struct shard, late.timer);
    struct shard_msg *rest = shard->late.first, *msg;

    (void)now;
    shard->late.first = NULL;
    shard->late.end = &shard->late.first;
    while ((msg = rest) != NULL && !late_waits(shard)) { /* one that is late once more holds the others again */
        rest = msg->next;
        msg->next = NULL;
        shard_take(shard, msg);
    }
    if (rest == NULL)
        return;
    *shard->late.end = rest;
    while (*shard->late.end != NULL)
        shard->late.end = &(*shard->late.end)->next;
}

void late_init(struct shard *shard)
{
    shard->late.end = &shard->late.first;
    timer_init(&shard->late.timer, on_timer);
}

void late_done(struct shard *shard)
{
    struct shard_msg *msg;

    timer_stop(&shard->timers, &shard->late.timer);
    while ((msg = shift(&shard->late)) != NULL)
        shard_msg_free(msg);
}

bool late_holds(struct shard *shard, struct shard_msg *msg)
{
    if (!late_waits(shard))
        return false;
    switch (msg->kind) {
    case MSG_DELIVER:
        if (msg->out == NULL)
            return false;
        break;
    case MSG_RETAIN_SET:
        if (msg->out != NULL || msg->ask == NULL)
            break;
        STATS_INC(&shard->stats,
                  dropped_no_memory); /* numbers are confirmed in their order: its publisher says it again */
        if (msg->durable != 0)
            journal_got(shard, msg->from, msg->durable, shard->journal.changes, false);
        retained_ask_answer(shard, msg, false);
        return true;
    case MSG_INTEREST_ADD:
    case MSG_INTEREST_REMOVE:
    case MSG_RETAIN_QUERY:
        break;
    default:
        return false;
    }
    append(&shard->late, msg);
    return true;
}

void late_begin(struct shard *shard, const struct shard_msg *msg, bool *ret_again)
{
    *ret_again = msg->partly;
    if (!msg->partly && ++shard->late.number == 0)
        shard->late.number = 1;
}

void late_again(struct shard *shard, struct shard_msg *msg)
{
    msg->partly = true;
    append(&shard->late, msg);
    start(shard);
}
