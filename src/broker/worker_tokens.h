/* broker/worker_tokens.h - news of tokens, brought to a worker's shard from any thread. Whoever knows of a token tells
 * every worker: any of them may have sessions that rest on it.
 * Each function says false when out of memory. */
#ifndef SYMBOLON_BROKER_WORKER_TOKENS_H
#define SYMBOLON_BROKER_WORKER_TOKENS_H

#include "broker/worker.h"

/* Revoked: hashes (TOKEN_HASH_LEN bytes each, one behind the other) are copied. `why` goes to the clients. */
bool worker_tokens_revoked(struct worker *worker, struct span hashes, const struct why *why);
/* What introspection says of it now (referenced), or NULL: it must not be used any longer. */
bool worker_token_changed(struct worker *worker, const uint8_t *hash, struct token *token,
                          const struct why *why);
/* See shard_issuer_silent(). `issuer` must outlive the worker. */
bool worker_issuer_silent(struct worker *worker, const char *issuer, const struct why *why);

/* The token that sessions of this worker rest on, by its hash: `found` is called on the worker's thread, with a reference
 * or NULL. */
bool worker_find_token(struct worker *worker, const uint8_t *hash,
                       void (*found)(void *ctx, struct token *token), void *ctx);

#endif
