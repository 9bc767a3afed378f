/* shard/grant.h - what a connection may do, and until when: a verified token whose key was proved, or nothing
 * but the public topics. Ends by two clocks, whichever comes first: the calendar (a jump forward ends it at
 * once) and the monotonic one (a jump backward does not prolong it).
 * Ownership: one owner, the session it was made for; only news of its token change it (grant_end(), `told`, grant_news()).
 * grant_free(NULL) does nothing.
 * Threads:   as a shard. */
#ifndef SYMBOLON_SHARD_GRANT_H
#define SYMBOLON_SHARD_GRANT_H

#include "base/clock.h"
#include "token/token.h"

struct record_owner;
struct token_store;

enum grant_source { GRANT_PUBLIC, GRANT_LOCAL, GRANT_INTROSPECTED };

struct grant {
    enum grant_source source;
    struct token *token; /* NULL: GRANT_PUBLIC */
    int64_t until_s;     /* wall: first second without permission; TIME_NEVER */
    int64_t until_ms;    /* mono */
    uint64_t
        receipt;  /* 0, or the change of the token store without which a restart does not know when it began */
    bool revoked; /* its issuer took it back, or is not heard any more */
    bool told;    /* and that was logged and counted */
    struct token *news; /* what its issuer has made of the token: a grant of it takes the place of this one soon
                         * (token_status.h), and until then both must permit what is done; or NULL */
};

/* `token` may be NULL, else one reference more is taken. How long it lasts is said by `tokens` (NULL: nothing is
 * remembered), which may also refuse it: revoked meanwhile, cnonce not fresh, over. */
enum status grant_new(struct token *token, struct token_store *tokens, struct now now, struct grant **ret_grant,
                      struct why *why) MUST_CHECK;
/* What a session back from the disk has until its client brings another: over, permits nothing (`nothing`: an empty scope),
 * and tells grant_same_owner(), grant_tag() and grant_until_wall() what the one that was written would. ST_NO_MEMORY. */
enum status grant_shadow(const struct record_owner *owner, struct scope *nothing,
                         struct grant **ret_grant) MUST_CHECK;
void grant_free(struct grant *grant);
/* Over from now on, whatever the token says: its issuer took it back. */
void grant_end(struct grant *grant, struct now now);
/* What its token is by now: in place of former news. */
void grant_news(struct grant *grant, struct token *token);
/* Made to end no later than so many ms from now: before it is given to a session. */
void grant_limit(struct grant *grant, struct now now, uint32_t ms);
void grant_freep(struct grant **grant);

/* Of a part of this program, such as a bridge: what the settings do not offer to clients is not kept from it. */
static inline bool grant_is_built_in(const struct grant *grant)
{
    return grant->token != NULL && grant->token->built_in;
}

bool grant_expired(const struct grant *grant, struct now now);

/* Whether both were given to the same party: the subject, else the client, else the key; by the same issuer.
 * The Client Identifier is anybody's to claim (MT-60), so this guards what is kept under it. */
bool grant_same_owner(const struct grant *a, const struct grant *b);

/* Its end by the calendar, whichever clock it goes by; TIME_NEVER. */
int64_t grant_until_wall(const struct grant *grant, struct now now);

/* A few bytes of the hash that stand for its token where there is no room for more; 0 without a token. */
uint64_t grant_tag(const struct grant *grant);
uint64_t token_tag_of(const uint8_t hash[TOKEN_HASH_LEN]);

/* For the log: sub, else client_id, else empty. */
struct span grant_subject(const struct grant *grant);

#endif
