/* shard/status_answer.h - what an authorization server says about its tokens: the answer of a token revocation list
 * (RFC 9770 6 to 9, in JSON) with our member `changed` (docs/as-http.md).
 *   {"full_set":["<hash>",...],"cursor":41}
 *   {"diff_set":[[["<removed>",...],["<added>",...]],...],"cursor":43,"more":false,"changed":["<hash>",...]}
 * A hash is base64url of the byte 1 and 32 bytes of SHA-256 (RFC 6920 6); those made with another function are skipped, as
 * we hash tokens with none but that. Anything else that is not as above makes the whole answer worthless: half a list of
 * revoked tokens is not one.
 * Ownership: status_answer_done(). Threads: none of its own. */
#ifndef SYMBOLON_SHARD_STATUS_ANSWER_H
#define SYMBOLON_SHARD_STATUS_ANSWER_H

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"
#include "token/token.h"

#define STATUS_ANSWER_MAX (16 * 1024 * 1024) /* bytes; about 300,000 tokens */

/* Hashes one behind the other, TOKEN_HASH_LEN bytes each. */
struct status_answer {
    bool full;
    struct buf revoked; /* in order, the newest last */
    struct buf removed; /* were revoked, are over now */
    struct buf changed; /* valid, but permit less than they say */
    bool has_cursor;    /* else null or absent */
    int64_t cursor;
    bool more;
};

/* ST_MALFORMED, ST_TOO_LARGE, ST_NO_MEMORY. `out` is to be done in any case. */
enum status status_answer_parse(struct span body, struct status_answer *out, struct why *why) MUST_CHECK;
void status_answer_done(struct status_answer *answer);

static inline size_t status_answer_count(const struct buf *hashes)
{
    return hashes->len / TOKEN_HASH_LEN;
}

#endif
