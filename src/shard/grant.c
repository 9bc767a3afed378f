#include "shard/grant.h"

#include "record/record.h"
#include "shard/message.h" /* TIME_NEVER */
#include "shard/token_store.h"

#include <stdlib.h>

enum status grant_new(struct token *token, struct token_store *tokens, struct now now, struct grant **ret_grant,
                      struct why *why)
{
    struct token_term term = { TIME_NEVER, TIME_NEVER };
    struct grant *g;
    enum status st = ST_OK;

    if (token != NULL && token->built_in)
        st = ST_OK; /* TIME_NEVER */
    else if (token != NULL && tokens != NULL)
        st = token_store_accept(tokens, token, now, &term, why);
    else if (token != NULL)
        st = token_term_of(token, now, &term, why);
    if (st != ST_OK)
        return st;
    g = calloc(1, sizeof *g);
    if (g == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    g->until_s = term.until_s;
    g->until_ms = term.until_ms;
    g->receipt = term.change;
    if (token != NULL) {
        g->token = token_ref(token);
        g->source = token->by_introspection ? GRANT_INTROSPECTED : GRANT_LOCAL;
    }
    *ret_grant = g;
    return ST_OK;
}

#define NEARLY_NEVER_S \
    (INT64_MAX / MS_PER_S - 1) /* what has no end, so that the clock of the calendar decides */

enum status grant_shadow(const struct record_owner *owner, struct scope *nothing, struct grant **ret_grant)
{
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    struct token_remains remains = { .iss = owner->iss,
                                     .sub = owner->sub,
                                     .client_id = owner->client_id,
                                     .cnf_thumbprint = owner->cnf_thumbprint,
                                     .hash = owner->token_hash,
                                     .twin = owner->has_twin ? owner->token_twin : NULL };
    struct grant *g;

    if (owner->has_token && token_of_remains(&remains, nothing, &token) != ST_OK)
        return ST_NO_MEMORY;
    g = calloc(1, sizeof *g);
    if (g == NULL)
        return ST_NO_MEMORY;
    g->source = owner->has_token ? GRANT_LOCAL : GRANT_PUBLIC;
    g->until_s =
        owner->has_token && owner->until_ms != RECORD_NEVER ? owner->until_ms / MS_PER_S : NEARLY_NEVER_S;
    g->until_ms = INT64_MIN;
    g->token = TAKE(token);
    *ret_grant = g;
    return ST_OK;
}

void grant_free(struct grant *grant)
{
    if (grant == NULL)
        return;
    token_unref(grant->token);
    token_unref(grant->news);
    free(grant);
}

void grant_news(struct grant *grant, struct token *token)
{
    token_unref(grant->news);
    grant->news = token_ref(token);
}

void grant_end(struct grant *grant, struct now now)
{
    grant->until_s = now.wall.s < grant->until_s ? now.wall.s : grant->until_s;
    grant->until_ms = now.mono.ms < grant->until_ms ? now.mono.ms : grant->until_ms;
    grant->revoked = true;
}

void grant_limit(struct grant *grant, struct now now, uint32_t ms)
{
    if (grant->until_ms > now.mono.ms + ms)
        grant->until_ms = now.mono.ms + ms;
}

void grant_freep(struct grant **grant)
{
    grant_free(*grant);
}

bool grant_expired(const struct grant *grant, struct now now)
{
    return now.wall.s >= grant->until_s || now.mono.ms >= grant->until_ms;
}

bool grant_same_owner(const struct grant *a, const struct grant *b)
{
    const struct token *s = a->token, *t = b->token;

    if (s == NULL || t == NULL)
        return s == t;
    if (!span_eq(s->iss, t->iss))
        return false;
    if (s->sub.p != NULL || t->sub.p != NULL)
        return s->sub.p != NULL && t->sub.p != NULL && span_eq(s->sub, t->sub);
    if (s->client_id.p != NULL || t->client_id.p != NULL)
        return s->client_id.p != NULL && t->client_id.p != NULL && span_eq(s->client_id, t->client_id);
    return memcmp(s->cnf_thumbprint, t->cnf_thumbprint, sizeof s->cnf_thumbprint) == 0;
}

int64_t grant_until_wall(const struct grant *grant, struct now now)
{
    if (grant->until_s != TIME_NEVER || grant->until_ms == TIME_NEVER)
        return grant->until_s;
    return now.wall.s + (grant->until_ms - now.mono.ms) / MS_PER_S;
}

uint64_t token_tag_of(const uint8_t hash[TOKEN_HASH_LEN])
{
    uint64_t tag;

    memcpy(&tag, hash, sizeof tag);
    return tag != 0 ? tag : 1;
}

uint64_t grant_tag(const struct grant *grant)
{
    return grant->token == NULL ? 0 : token_tag_of(grant->token->hash);
}

struct span grant_subject(const struct grant *grant)
{
    if (grant->token == NULL)
        return SPAN_NONE;
    return grant->token->sub.p != NULL ? grant->token->sub : grant->token->client_id;
}
