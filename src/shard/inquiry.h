/* shard/inquiry.h - from the bytes of a token to a token that may be used: looked up among those verified before
 * (MT-73), else verified here, else asked of its authorization server or verified again with keys just fetched; then
 * bound to its key if it names it by kid, not revoked, its cnonce fresh, its life not over (token_store.h).
 * Possession is not proved by any of that.
 *
 *   IDLE --inquiry_begin--> answered at once
 *                       \-> waiting --inquiry_resolved--> done()
 *
 * Ownership: embedded by whoever asks; inquiry_stop() before it goes. Threads: the shard's. */
#ifndef SYMBOLON_SHARD_INQUIRY_H
#define SYMBOLON_SHARD_INQUIRY_H

#include "base/table.h"
#include "token/token.h"

struct inquiry;
struct shard;

/* `token` is a reference for the callee, NULL unless ST_OK. */
typedef void inquiry_done(struct inquiry *inquiry, enum status st, struct token *token, struct why *why);

struct inquiry {
    struct table_node node; /* in shard->inquiries */
    uint64_t request;
    bool waiting;
    bool refreshed; /* keys were fetched for this token once already */
    uint64_t news;  /* token_store_news() when its AS was asked */
    uint8_t *text;  /* the token, while waiting */
    size_t len;
    inquiry_done *done;
};

void inquiry_init(struct inquiry *inquiry, inquiry_done *done);
/* ST_PENDING: done() will be called, never from inside this call. */
enum status inquiry_begin(struct shard *shard, struct inquiry *inquiry, struct span token,
                          struct token **ret_token, struct why *why) MUST_CHECK;
/* Not interested any more. Harmless when nothing is under way. */
void inquiry_stop(struct shard *shard, struct inquiry *inquiry);
/* See shard_token_resolved(); borrows the token. */
void inquiry_resolved(struct shard *shard, uint64_t request, enum status st, struct token *token,
                      struct why why);

/* The same where nobody can wait: a token that only its AS could vouch for is refused. */
enum status inquiry_now(struct shard *shard, struct span text, struct token **ret_token,
                        struct why *why) MUST_CHECK;

#endif
