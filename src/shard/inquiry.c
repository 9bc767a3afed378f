#include "shard/inquiry.h"

#include "crypto/hash.h"
#include "shard/shard_priv.h"
#include "shard/token_store.h"

#include <stdlib.h>

void inquiry_init(struct inquiry *q, inquiry_done *done)
{
    *q = (struct inquiry){ .done = done };
}

void inquiry_stop(struct shard *shard, struct inquiry *q)
{
    if (q->waiting)
        table_remove(&shard->inquiries, &q->node);
    q->waiting = false;
    free(q->text);
    q->text = NULL;
}

/* ---- here and now ---- */

/* TK-6: a kid means what it means to this issuer, and what he has told us. */
static enum status bind(struct shard *shard, struct token **token, struct why *why)
{
    struct token_store *tokens = shard->settings->tokens;
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct token *bound;
    enum status st;

    if ((*token)->cnf_how != TOKEN_CNF_KID)
        return ST_OK;
    if (tokens != NULL)
        key = token_store_key(tokens, (*token)->iss, (*token)->cnf_kid, shard->now);
    if (key == NULL)
        return reject(why, ST_BAD_TOKEN, "TK-6", "cnf names a key by a kid that is not known here", 0);
    st = token_bind_key(*token, key, &bound);
    if (st != ST_OK)
        return reject(why, st, "memory", "out of memory", 0);
    token_unref(*token);
    *token = bound;
    return ST_OK;
}

static enum status may_be_used(struct shard *shard, const struct token *token, struct why *why)
{
    struct token_store *tokens = shard->settings->tokens;
    struct token_term term;

    if (tokens == NULL)
        return token_term_of(token, shard->now, &term, why);
    return token_store_accept(tokens, token, shard->now, &term, why);
}

static enum status finish(struct shard *shard, struct token *verified_take, struct token **ret_token,
                          struct why *why)
{
    CLEANUP(token_unrefp)
    struct token *token = verified_take;
    enum status st = bind(shard, &token, why);

    if (st == ST_OK)
        st = may_be_used(shard, token, why);
    if (st == ST_OK)
        *ret_token = TAKE(token);
    return st;
}

static bool is_stale(const struct shard *shard, const struct token *token)
{
    return shard->settings->tokens != NULL && token_store_is_stale(shard->settings->tokens, token);
}

static struct token *verified_before(struct shard *shard, struct span text)
{
    uint8_t hash[SHA256_LEN];

    if (shard->settings->tokens == NULL || sha256(text, hash) != ST_OK)
        return NULL;
    return token_store_lookup(shard->settings->tokens, hash, shard->now);
}

static void remember(struct shard *shard, const struct token *token)
{
    if (shard->settings->tokens != NULL)
        token_store_remember(shard->settings->tokens, token, shard->now);
}

/* ST_PENDING: its AS has to be asked. */
static enum status look(struct shard *shard, struct span text, struct token **ret_token, struct why *why)
{
    struct token *token;
    enum status st = ST_OK;

    if (shard->verifier == NULL)
        return reject(why, ST_BAD_TOKEN, "AF-63", "no authorization server is configured", 0);
    token = verified_before(shard, text);
    if (token == NULL) {
        st = token_verify(text, shard->verifier, shard->now.wall, &token, why);
        if (st != ST_OK)
            return st;
        if (is_stale(shard, token)) {
            token_unref(token); /* only the issuer knows what it still permits */
            return reject(why, ST_PENDING, "RFC 9770", "the issuer has changed what this token permits", 0);
        }
        remember(shard, token);
    }
    return finish(shard, token, ret_token, why);
}

enum status inquiry_now(struct shard *shard, struct span text, struct token **ret_token, struct why *why)
{
    enum status st = look(shard, text, ret_token, why);

    if (st == ST_PENDING)
        return reject(why, ST_BAD_TOKEN, "MT-28", "a reference cannot be looked up here", 0);
    return st;
}

/* ---- elsewhere ---- */

static enum status start(struct shard *shard, struct inquiry *q, enum resolve_kind kind, struct span text,
                         struct why *why)
{
    if (q->text == NULL) {
        q->text = malloc(text.len);
        if (q->text == NULL)
            return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
        memcpy(q->text, text.p, text.len);
        q->len = text.len;
    }
    q->waiting = true;
    q->news = shard->settings->tokens == NULL ? 0 : token_store_news(shard->settings->tokens);
    q->refreshed = kind == RESOLVE_KEYS;
    q->request = ++shard->next_request;
    table_insert(&shard->inquiries, &q->node,
                 table_hash(&shard->inquiries, span_of(&q->request, sizeof q->request)));
    shard->world.resolve(shard->world.ctx, kind, q->request, text);
    return ST_PENDING;
}

static enum status look_or_ask(struct shard *shard, struct inquiry *q, struct span text,
                               struct token **ret_token, struct why *why)
{
    enum status st = look(shard, text, ret_token, why);

    if (st == ST_PENDING && shard->world.resolve == NULL)
        return reject(why, ST_UNREACHABLE, "MT-66", "nobody to ask about this token", 0);
    if (st == ST_PENDING)
        return start(shard, q, RESOLVE_INTROSPECT, text, why);
    if (st == ST_BAD_TOKEN && verifier_key_unknown(why) && shard->world.resolve != NULL && !q->refreshed)
        return start(shard, q, RESOLVE_KEYS, text, why);
    return st;
}

enum status inquiry_begin(struct shard *shard, struct inquiry *q, struct span text, struct token **ret_token,
                          struct why *why)
{
    ASSERT(!q->waiting && q->text == NULL);
    q->refreshed = false;
    return look_or_ask(shard, q, text, ret_token, why);
}

static bool has_request(const struct table_node *node, const void *key)
{
    return CONTAINER_OF(node, struct inquiry, node)->request == *(const uint64_t *)key;
}

/* The answer of the AS is remembered as what verified the token, for as long as the settings say. */
static enum status answered(struct shard *shard, struct inquiry *q, enum status st, struct token *token,
                            struct token **ret_token, struct why *why)
{
    if (st != ST_OK)
        return st;
    if (q->refreshed) /* now with the keys just fetched */
        return look_or_ask(shard, q, span_of(q->text, q->len), ret_token, why);
    if (token == NULL)
        return reject(why, ST_INTERNAL, "MT-66", "introspection gave no token", 0);
    token->news = q->news; /* the answer was made for this question: nobody else has it yet */
    remember(shard, token);
    return finish(shard, token_ref(token), ret_token, why);
}

void inquiry_resolved(struct shard *shard, uint64_t request, enum status st, struct token *token,
                      struct why why)
{
    struct table_node *node =
        table_find(&shard->inquiries, table_hash(&shard->inquiries, span_of(&request, sizeof request)),
                   has_request, &request);
    struct token *result = NULL;
    struct inquiry *q;

    if (node == NULL)
        return; /* nobody waits for it any more */
    q = CONTAINER_OF(node, struct inquiry, node);
    table_remove(&shard->inquiries, &q->node);
    q->waiting = false;
    if (why.clause == NULL)
        (void)reject(&why, st, "MT-66", status_text(st), 0);
    st = answered(shard, q, st, token, &result, &why);
    if (st == ST_PENDING)
        return;
    free(q->text);
    q->text = NULL;
    q->done(q, st, result, &why);
}
