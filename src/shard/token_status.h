/* shard/token_status.h - news of a token on live sessions (RFC 9770, MT-107): every session is found by the hash of the
 * token its grant rests on. See shard_token_status().
 * Connections that have not proved possession yet need no looking for: the token store knows first, and is asked when
 * they have. Threads: the shard's. */
#ifndef SYMBOLON_SHARD_TOKEN_STATUS_H
#define SYMBOLON_SHARD_TOKEN_STATUS_H

#include "base/span.h"
#include "base/status.h"
#include "base/table.h"

struct grant;
struct session;
struct shard;
struct token;

/* The session's grant is another now, or it is about to end: it is found under this one's token, or no more (NULL). */
void token_status_index(struct session *s, const struct grant *grant);

void token_status_news(struct shard *shard, const uint8_t *hash, struct token *token, const struct why *why);

/* A reference to the token some session rests on, or NULL. */
struct token *token_status_find(const struct shard *shard, const uint8_t *hash);

/* Every session whose token comes from this issuer is cut: its authorization server has not been heard for too long. */
void token_status_silence(struct shard *shard, struct span iss, const struct why *why);

#endif
