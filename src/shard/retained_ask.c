#include "shard/retained_ask.h"

#include "shard/gate.h"
#include "shard/shard_priv.h"

#include <stdlib.h>

struct retained_ask *retained_ask_new(void)
{
    struct retained_ask *ask = calloc(1, sizeof *ask);

    if (ask != NULL)
        ask->refs = 1;
    return ask;
}

struct retained_ask *retained_ask_ref(struct retained_ask *ask)
{
    ask->refs++;
    return ask;
}

void retained_ask_unref(struct retained_ask *ask)
{
    if (ask != NULL && --ask->refs == 0)
        free(ask);
}

void retained_ask_answer(struct shard *shard, struct shard_msg *msg, bool kept)
{
    unsigned to = msg->from;

    message_unref(TAKE(msg->message));
    msg->kind = MSG_RETAIN_KEPT;
    msg->class = SHARD_ACK;
    msg->from = shard->index;
    msg->failed = !kept;
    shard->world.post(shard->world.ctx, to, msg);
}

void retained_ask_on_kept(struct shard_msg *msg)
{
    struct retained_ask *ask = msg->ask;

    ask->answered = true;
    ask->kept = !msg->failed;
    if (ask->conn != NULL)
        gate_open(ask->conn);
    shard_msg_free(msg); /* and with it the ask, perhaps */
}
