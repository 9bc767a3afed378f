/* broker/world_tokens.h - the token store of a running broker: made from the settings, purged now and then, and with
 * `state_dir` kept in the broker's store (world_store.h). Threads: the control loop's, but where it says otherwise. */
#ifndef SYMBOLON_BROKER_WORLD_TOKENS_H
#define SYMBOLON_BROKER_WORLD_TOKENS_H

#include "broker/settings_file.h"
#include "net/loop.h"
#include "shard/token_store.h"

struct kv_batch;
struct token_journal;
struct world_tokens;

/* `stored`: on the loop's thread, when more of what was published to authz-info is on disk. */
enum status world_tokens_new(const struct broker_config *config, struct loop *loop, void (*stored)(void *ctx),
                             void *ctx, struct world_tokens **ret_tokens, struct why *why) MUST_CHECK;
struct token_store *world_tokens_store(const struct world_tokens *tokens);

/* From now on there is a journal, to be filled with what the disk holds; before world_tokens_start(). */
enum status world_tokens_keep(struct world_tokens *tokens, struct token_journal **ret_journal,
                              struct why *why) MUST_CHECK;
/* Begins to serve. `store` takes what is to be on disk, one batch at a time; each is answered by world_tokens_stored().
 * NULL: everything is in memory only. */
void world_tokens_start(struct world_tokens *tokens, void (*store)(void *ctx, struct kv_batch *batch),
                        void *ctx);
/* Any thread: the batch is on disk. */
void world_tokens_stored(struct world_tokens *tokens);

/* After the workers; before the loop goes, and what it still has to run. NULL is fine, here and below. */
void world_tokens_stop(struct world_tokens *tokens);
/* After that, and the committer: what was not on its way to the disk yet. Empty: nothing. */
enum status world_tokens_rest(struct world_tokens *tokens, struct kv_batch *batch) MUST_CHECK;
void world_tokens_free(struct world_tokens *tokens);

#endif
