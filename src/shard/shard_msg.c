#include "shard/shard_msg.h"

#include "shard/durable_post.h"
#include "shard/message.h"
#include "shard/retained_ask.h"
#include "shard/share.h"

#include <stdlib.h>

static void begin(struct shard_msg *msg, enum shard_msg_kind kind, unsigned from)
{
    *msg = (struct shard_msg){ .kind = kind };
    /* Answers go after the data of the turn: whoever acts on one finds that data in its inbox (shard.h). */
    msg->class = kind == MSG_INTEREST_ADDED || kind == MSG_RETAIN_FOUND || kind == MSG_SHARE_JOINED ||
                         kind == MSG_DURABLE
                     ? SHARD_ACK
                     : SHARD_DATA;
    msg->from = from;
}

struct shard_msg *shard_msg_new(enum shard_msg_kind kind, unsigned from, struct span filter)
{
    struct shard_msg *msg = malloc(sizeof *msg + filter.len); /* calloc() passes glibc's cache of blocks by */

    if (msg == NULL)
        return NULL;
    begin(msg, kind, from);
    msg->filter_len = filter.len;
    if (filter.len > 0)
        memcpy(msg->filter, filter.p, filter.len);
    return msg;
}

static void release(struct shard_msg *msg)
{
    message_unref(msg->message);
    share_item_free(msg->item);
    durable_post_free(msg->out);
    retained_ask_unref(msg->ask);
    for (uint32_t i = 0; i < msg->found_count; i++)
        message_unref(msg->found[i]);
    free(msg->found);
}

void shard_msg_free(struct shard_msg *msg)
{
    if (msg == NULL)
        return;
    release(msg);
    free(msg);
}

struct shard_msg *shard_msg_reuse(struct shard_msg_spares *spares, enum shard_msg_kind kind, unsigned from)
{
    struct shard_msg *msg = spares->first;

    if (msg == NULL)
        return shard_msg_new(kind, from, SPAN_NONE);
    spares->first = msg->next;
    spares->count--;
    begin(msg, kind, from);
    return msg;
}

void shard_msg_spare(struct shard_msg_spares *spares, struct shard_msg *msg)
{
    release(msg);
    if (spares->count == SHARD_MSG_SPARES) {
        free(msg);
        return;
    }
    msg->next = spares->first;
    spares->first = msg;
    spares->count++;
}

void shard_msg_spares_done(struct shard_msg_spares *spares)
{
    for (struct shard_msg *msg = spares->first, *next; msg != NULL; msg = next) {
        next = msg->next;
        free(msg);
    }
    *spares = (struct shard_msg_spares){ 0 };
}
