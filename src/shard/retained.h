/* shard/retained.h - one shard's retained messages: at most one per topic, found by filter.
 * Topics form a tree with one node per level; a filter walks only the branches it can match, and a topic that
 * starts with $ is not found by a leading wildcard (MQTT5 [MQTT-4.7.2-1]).
 * A message that has expired - its own interval or its publisher's token, whichever ends first (MT-111) - is never
 * handed out, and leaves the store at the next retained_purge() that reaches it, or when its room is needed.
 * Ownership: the store holds a reference to each message. Threads: one. */
#ifndef SYMBOLON_SHARD_RETAINED_H
#define SYMBOLON_SHARD_RETAINED_H

#include "base/clock.h"
#include "base/table.h"
#include "mqtt/topic.h"

struct memory_cell;
struct durable;
struct kv_batch;
struct message;
struct retained;
struct shard;

struct retained_limits {
    size_t max_messages;
    size_t max_bytes;         /* of messages as message_size() counts them, and of the nodes that hold them */
    unsigned max_levels;      /* at most TOPIC_TREE_MAX_LEVELS */
    struct memory_cell *cell; /* where its messages are counted: message_keep(); may be NULL */
};

enum status retained_new(struct hash_key key, struct retained_limits limits,
                         struct retained **ret_store) MUST_CHECK;
void retained_free(struct retained *store);

/* Stores `message` under its topic in place of an older one, with a reference of its own. An empty payload only
 * removes (MQTT5 [MQTT-3.3.1-6], [MQTT-3.3.1-7]). ST_QUOTA at a limit, ST_BAD_TOPIC beyond max_levels, ST_NO_MEMORY;
 * the older message then stays. */
enum status retained_set(struct retained *store, const struct message *message, struct now now,
                         struct why *why) MUST_CHECK;
/* Other limits from now on: what is there stays. */
void retained_limit(struct retained *store, size_t max_messages, size_t max_bytes);
/* True if there was one. */
bool retained_clear(struct retained *store, struct topic_name topic);

/* From now on what is here is on disk, or will be: the clients' store of a shard with a journal. */
void retained_keep(struct retained *store, struct shard *shard);
/* The calendar did: until when messages are kept is written anew. */
void retained_clock_moved(struct retained *store);
/* From the store, under its number there: not dirty. As retained_set(); ST_EXISTS when there is one of this topic. */
enum status retained_restore(struct retained *store, uint64_t number, const struct message *message,
                             struct why *why) MUST_CHECK;
/* Row of journal_kinds[]. */
enum status retained_put(struct shard *shard, struct durable *d, struct kv_batch *batch) MUST_CHECK;

/* Calls visit() for every live message whose topic matches, in no particular order, until it returns false.
 * Returns how many calls were made; *work grows by the nodes looked at on the way, with those that did not match. The store must
 * not change meanwhile. */
typedef bool retained_visit(void *ctx, const struct message *message);
size_t retained_query(const struct retained *store, struct topic_filter filter, struct now now, uint64_t *work,
                      retained_visit *visit, void *ctx);

/* Drops what was published on this token (message.h), which is no longer valid: MT-111; returns how many. */
size_t retained_revoke(struct retained *store, uint64_t token_tag);

/* Looks at up to `budget` messages, round and round, and drops the expired ones; returns how many. */
size_t retained_purge(struct retained *store, struct now now, size_t budget);

size_t retained_count(const struct retained *store);
size_t retained_bytes(const struct retained *store);
size_t retained_tree_bytes(const struct retained *store); /* the same without the messages */

#endif
