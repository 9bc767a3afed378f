/* shard/token_status.h - news of a token on live sessions (RFC 9770, MT-107): every session is found by the hash of the
 * token its grant rests on. See shard_token_status(). Sessions with one token are a ring, of which the first is in the
 * table: a thousand of them cost no more to find, to join or to leave than two.
 * Thousands may end at once: a few in each turn, so that all others go on being served meanwhile (docs/decisions/0031). A
 * token taken back permits nothing from the first moment, and who uses it before its turn is cut then; one that was changed
 * permits from the first moment only what both the old and the new one do.
 * Those that still wait are in a struct status_job, and not in their ring; a new grant takes them out of it.
 * Connections that have not proved possession yet need no looking for: the token store knows first, and is asked when
 * they have. Threads: the shard's. */
#ifndef SYMBOLON_SHARD_TOKEN_STATUS_H
#define SYMBOLON_SHARD_TOKEN_STATUS_H

#include "base/list.h"
#include "base/span.h"
#include "base/status.h"
#include "base/table.h"

struct grant;
struct session;
struct shard;
struct token;

/* So many sessions of the shard in one turn: about a tenth of a millisecond of cuts. */
#define STATUS_PER_TURN 4

/* In shard->status. */
struct token_work {
    struct list jobs;    /* struct status_job, the oldest first */
    struct list expired; /* sessions whose grant has ended by itself */
    unsigned left;       /* of STATUS_PER_TURN, in this turn */
};

void token_status_init(struct shard *shard);
void token_status_done(struct shard *shard);

/* The session's grant is another now, or it is about to end: it is found under this one's token, or no more (NULL). */
void token_status_index(struct session *s, const struct grant *grant);

/* Its grant has ended: the connection is cut, now or in a later turn. */
void token_status_over(struct session *s);
/* A turn begins: goes on with what waits. */
void token_status_turn(struct shard *shard);
bool token_status_waits(const struct shard *shard);

void token_status_news(struct shard *shard, const uint8_t *hash, struct token *token, const struct why *why);

/* A reference to the token some session rests on, or NULL. */
struct token *token_status_find(const struct shard *shard, const uint8_t *hash);

/* Every session whose token comes from this issuer is cut: its authorization server has not been heard for too long. */
void token_status_silence(struct shard *shard, struct span iss, const struct why *why);

#endif
