#include "shard/token_status.h"

#include "shard/shard_priv.h"
#include "shard/token_store.h"

static bool is_called(const struct table_node *node, const void *hash)
{
    const struct session *s = CONTAINER_OF(node, struct session, token_node);

    return memcmp(s->grant->token->hash, hash, TOKEN_HASH_LEN) == 0;
}

static bool is_also_called(const struct table_node *node, const void *hash)
{
    const struct session *s = CONTAINER_OF(node, struct session, twin_node);

    return memcmp(s->grant->token->twin, hash, TOKEN_HASH_LEN) == 0;
}

static struct session *find(const struct shard *shard, const uint8_t *hash)
{
    struct span name = span_of(hash, TOKEN_HASH_LEN);
    struct table_node *node = table_find(&shard->tokens, table_hash(&shard->tokens, name), is_called, hash);

    if (node != NULL)
        return CONTAINER_OF(node, struct session, token_node);
    node = table_find(&shard->twins, table_hash(&shard->twins, name), is_also_called, hash);
    return node == NULL ? NULL : CONTAINER_OF(node, struct session, twin_node);
}

void token_status_index(struct session *s, const struct grant *grant)
{
    struct table *tokens = &s->shard->tokens, *twins = &s->shard->twins;
    const struct token *token = grant == NULL ? NULL : grant->token;

    if (s->in_tokens)
        table_remove(tokens, &s->token_node);
    if (s->in_twins)
        table_remove(twins, &s->twin_node);
    s->in_tokens = token != NULL;
    s->in_twins = token != NULL && token->has_twin;
    if (s->in_tokens)
        table_insert(tokens, &s->token_node, table_hash(tokens, span_of(token->hash, TOKEN_HASH_LEN)));
    if (s->in_twins)
        table_insert(twins, &s->twin_node, table_hash(twins, span_of(token->twin, TOKEN_HASH_LEN)));
}

/* The grant is over from now on, whatever its token says: for a session waiting for its client as well. */
static void end_grant(struct session *s, const struct why *why, const char *event)
{
    struct conn *c = s->conn;
    enum status st = ST_BAD_TOKEN;

    if (!conn_is_open(c) && grant_expired(s->grant, s->shard->now))
        return; /* nobody was waiting for this */
    grant_end(s->grant, s->shard->now);
    STATS_INC(&s->shard->stats, tokens_revoked);
    if (conn_is_open(c))
        conn_refuse(c, status_mqtt5_code(st), st, why, event);
    else
        log_event(s->shard->log, LOG_NOTICE, event, F_SPAN("client_id", session_client_id(s)), F_WHY(st, *why));
}

/* The key is what possession was proved of: an answer about another key is not about this session. */
static bool same_holder(const struct token *a, const struct token *b)
{
    if (a->cnf_how != b->cnf_how || !span_eq(a->iss, b->iss))
        return false;
    if (a->format == TOKEN_JWT && a->jti.p != NULL && b->jti.p != NULL && !span_eq(a->jti, b->jti))
        return false; /* about another token of the same key; a CWT's cti has another form there */
    if (a->cnf_how == TOKEN_CNF_KID)
        return span_eq(a->cnf_kid, b->cnf_kid);
    return memcmp(a->cnf_thumbprint, b->cnf_thumbprint, TOKEN_HASH_LEN) == 0;
}

/* An answer that names the key by its kid is about the key the former token was bound to, if that is its kid. */
static enum status bind(const struct token *before, struct token *after, struct token **ret)
{
    if (after->cnf_how == TOKEN_CNF_KID && before->cnf_how == TOKEN_CNF_KEY && before->cnf_kid.p != NULL &&
        span_eq(before->cnf_kid, after->cnf_kid) && span_eq(before->iss, after->iss))
        return token_bind_key(after, before->cnf, ret);
    *ret = token_ref(after);
    return ST_OK;
}

static enum status make_grant(struct session *s, struct token *news, struct grant **ret_grant, struct why *why)
{
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    enum status st = bind(s->grant->token, news, &token);

    if (st != ST_OK)
        return reject(why, st, "memory", "out of memory", 0);
    if (!same_holder(s->grant->token, token))
        return reject(why, ST_BAD_TOKEN, "TK-65", "the authorization server now speaks of another token or key",
                      0);
    return grant_new(token, s->shard->settings->tokens, s->shard->now, ret_grant, why);
}

static void swap_grant(struct session *s, struct token *token)
{
    struct why why = { 0 };
    struct grant *grant = NULL;
    uint32_t lost = 0;
    enum status st;

    if (s->shard->settings->tokens != NULL && token_store_is_stale(s->shard->settings->tokens, token))
        return; /* it changed again meanwhile, and the answer to that is on its way */
    st = make_grant(s, token, &grant, &why);

    if (st != ST_OK) {
        end_grant(s, &why, "token_revoked");
        return;
    }
    STATS_INC(&s->shard->stats, tokens_changed);
    st = session_renew_grant(s, grant, &lost, &why);
    log_event(s->shard->log, LOG_NOTICE, "token_changed", F_SPAN("client_id", session_client_id(s)),
              F_SPAN("subject", grant_subject(s->grant)), F_I64("until", s->grant->until_s),
              F_I64("subscriptions_lost", lost));
    if (!conn_is_open(s->conn))
        return;
    if (st != ST_OK)
        conn_refuse(s->conn, status_mqtt5_code(st), st, &why, "token_changed_refused");
    else
        session_pump(s);
}

/* Taken out of the tables first: a swapped session is found under the same hash again. */
static void take_sessions(struct shard *shard, const uint8_t *hash, struct list *found)
{
    struct session *s;

    while ((s = find(shard, hash)) != NULL) {
        token_status_index(s, NULL);
        list_append(found, &s->status_link);
    }
}

void token_status_news(struct shard *shard, const uint8_t *hash, struct token *token, const struct why *why)
{
    struct list found, *link;

    list_init(&found);
    if (token == NULL) /* what was published on it is not served any more (MT-111) */
        (void)retained_revoke(shard->retained, token_tag_of(hash));
    take_sessions(shard, hash, &found);
    while ((link = list_shift(&found)) !=
           NULL) { /* nothing here ends a session: conn_reap() does, afterwards */
        struct session *s = CONTAINER_OF(link, struct session, status_link);

        token_status_index(s, s->grant);
        if (token == NULL && s->grant->token->has_twin)
            (void)retained_revoke(shard->retained, grant_tag(s->grant)); /* `hash` may be its other name */
        if (token == NULL)
            end_grant(s, why, "token_revoked");
        else
            swap_grant(s, token);
    }
}

struct token *token_status_find(const struct shard *shard, const uint8_t *hash)
{
    const struct session *s = find(shard, hash);

    return s == NULL ? NULL : token_ref(s->grant->token);
}

void token_status_silence(struct shard *shard, struct span iss, const struct why *why)
{
    TABLE_EACH (node, &shard->tokens) {
        struct session *s = CONTAINER_OF(node, struct session, token_node);

        if (span_eq(s->grant->token->iss, iss) && !grant_expired(s->grant, shard->now))
            end_grant(s, why, "issuer_silent");
    }
}
