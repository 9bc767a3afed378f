/* broker/world_tokens.h - the token store of a running broker: made from the settings, purged now and then, and with
 * `state_dir` written down by the control loop. Threads: the control loop's. */
#ifndef SYMBOLON_BROKER_WORLD_TOKENS_H
#define SYMBOLON_BROKER_WORLD_TOKENS_H

#include "broker/settings_file.h"
#include "broker/token_store.h"
#include "net/loop.h"

struct world_tokens;

/* `stored`: on the loop's thread, when the journal has got further. */
enum status world_tokens_new(const struct broker_config *config, struct loop *loop, void (*stored)(void *ctx),
                             void *ctx, struct world_tokens **ret_tokens, struct why *why) MUST_CHECK;
struct token_store *world_tokens_store(const struct world_tokens *tokens);
/* Opens `state_dir`, with the privileges it will be used with. */
enum status world_tokens_start(struct world_tokens *tokens, struct why *why) MUST_CHECK;
/* After the workers: what is left is written down. NULL is fine. */
void world_tokens_free(struct world_tokens *tokens);

#endif
