/* Messages of groups with a record: they wait for the disk before they move to another shard (share.h, decision 0024). */
#include "shard/memory.h"
#include "shard/shard_priv.h"
#include "shard/share.h"

#include <stdlib.h>

static struct share_item *item_of(struct list *link)
{
    return CONTAINER_OF(link, struct share_item, link);
}

struct share_item *share_item_new(const struct message *m, uint64_t seq, uint8_t hops)
{
    struct share_item *item = calloc(1, sizeof *item);

    if (item == NULL)
        return NULL;
    durable_init(&item->durable, DURABLE_ITEM);
    list_init(&item->link);
    item->message = message_ref(m);
    item->seq = seq;
    item->hops = hops;
    return item;
}

bool share_item_has_record(const struct share_item *item)
{
    return item->kept && !item->removed;
}

static void change(struct shard *shard, struct share_item *item)
{
    item->epoch = shard->journal.epoch;
    journal_change(&shard->journal, &item->durable);
}

void share_item_keep(struct shard *shard, struct share_item *item, uint64_t group)
{
    if (share_item_has_record(item) && item->durable.stored)
        return;
    if (!item->kept)
        item->group = group;
    item->kept = true;
    item->removed = false;
    change(shard, item);
}

void share_item_unkeep(struct shard *shard, struct share_item *item)
{
    if (!share_item_has_record(item))
        return;
    if (item->durable.stored) {
        item->removed = true;
        change(shard, item);
        return;
    }
    list_remove(&item->durable.link); /* the disk never heard of it */
    item->kept = false;
    item->epoch = 0;
}

enum status share_item_put(struct shard *shard, struct durable *d, struct kv_batch *batch)
{
    const struct share_item *item = CONTAINER_OF(d, struct share_item, durable);
    struct record_item r = { .group = item->group, .seq = item->seq };

    if (item->removed)
        return record_delete(batch, record_key_item(item->group, item->seq));
    r.message = message_record(item->message, 0, shard->now);
    return record_put_item(batch, &r);
}

void share_item_over(struct shard *shard, struct share_item *item)
{
    message_unref(item->message);
    share_unref(item->share);
    list_remove(&item->link);
    if (!item->kept) {
        free(item);
        return;
    }
    if (item->removed && !list_linked(&item->durable.link))
        item->durable.stored = false; /* the batch that removes it is sealed */
    journal_bury(&shard->journal, item, &item->durable, RECORD_ITEM, item->group, item->seq);
}

void share_item_free(struct share_item *item)
{
    if (item == NULL)
        return;
    list_remove(&item->durable.link);
    list_remove(&item->link);
    message_unref(item->message);
    share_unref(item->share);
    free(item);
}

void share_hold(const struct delivery_options *how)
{
    struct shard *shard;

    if (how->item == NULL)
        return;
    shard = how->share->shard;
    shard->share_held = how->item;
    share_item_keep(shard, how->item, how->item->group);
}

void share_over(const struct delivery_options *how)
{
    if (how->item != NULL)
        share_item_over(how->share->shard, how->item);
}

/* ---- from shard to shard ---- */

/* As it is here it is on disk, or the disk has nothing to do with it. Where nobody waits for the disk, it may go before it was ever
 * written. */
static bool may_go(struct shard *shard, struct share_item *item)
{
    if (!item->kept || !shard->journal.on)
        return true;
    if (!shard->journal.waits && !item->durable.stored) {
        list_remove(&item->durable.link);
        return true;
    }
    return !list_linked(&item->durable.link) && item->epoch <= shard->journal.stored;
}

static struct shard_msg *message_for(const struct share *group, const struct share_note *note,
                                     const struct share_item *item)
{
    struct shard *shard = group->shard;
    struct shard_msg *msg =
        shard_msg_new(note->number != 0 ? MSG_SHARE_TAKE : MSG_SHARE_RETURN, shard->index, share_text(group));

    if (msg == NULL) {
        shard->share_stuck = true;
        return NULL;
    }
    msg->message = message_ref(item->message);
    msg->share = *note;
    return msg;
}

static void post(struct shard *shard, unsigned to, struct shard_msg *msg, struct share_item *item)
{
    if (!share_item_has_record(item)) {
        share_item_over(shard, item);
    } else {
        if (to != shard->index)
            item->epoch = 0;
        msg->item = item;
    }
    shard->world.post(shard->world.ctx, to, msg);
}

static void wait_in(struct list *list, struct share *group, const struct share_note *note,
                    struct share_item *item)
{
    item->note = *note;
    item->share = group;
    share_ref(group);
    list_append(list, &item->link);
}

void share_send(struct share *group, unsigned to, const struct share_note *note, struct share_item *item)
{
    struct shard *shard = group->shard;
    struct shard_msg *msg = NULL;

    if (to == shard->index || may_go(shard, item))
        msg = message_for(group, note, item);
    if (msg != NULL) {
        post(shard, to, msg, item);
    } else {
        wait_in(&shard->share_leaving, group, note, item);
        item->to = to;
    }
}

/* Removed also if there was none yet: the record of what brought the message here goes in the same batch (durable_post.h). */
void share_arrive(struct share *group, const struct share_note *note, struct share_item *item)
{
    item->kept = item->removed = true;
    item->group = note->group;
    change(group->shard, item);
    wait_in(&group->shard->share_arriving, group, note, item);
}

/* Taken out of its list, with the reference to its group. */
static struct share *take_out(struct share_item *item)
{
    struct share *group = TAKE(item->share);

    list_remove(&item->link);
    return group;
}

static void go(struct shard *shard, struct share_item *item)
{
    struct shard_msg *msg = NULL;

    if (item->to == shard->index || may_go(shard, item))
        msg = message_for(item->share, &item->note, item);
    if (msg == NULL)
        return;
    share_unref(take_out(item));
    post(shard, item->to, msg, item);
}

void share_stored(struct shard *shard)
{
    struct list arrived, *link;

    shard->share_stuck = false;
    LIST_EACH_SAFE (it, &shard->share_leaving)
        go(shard, item_of(it));
    list_init(&arrived);
    LIST_EACH_SAFE (it, &shard->share_arriving) {
        if (!may_go(shard, item_of(it)))
            continue;
        list_remove(it);
        list_append(&arrived, it);
    }
    while ((link = list_shift(&arrived)) != NULL) {
        struct share_item *item = item_of(link);
        struct share *group = take_out(item);

        share_arrived(shard, group, item);
        share_unref(group);
    }
}
