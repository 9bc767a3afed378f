#include "token/token.h"

#include "codec/base64.h"
#include "jose/jwk.h"
#include "token/token_priv.h"

#include <stdlib.h>

#define EXI_SEQUENCE_LEN 8
#define EXI_RS_ID_MAX    255

/* One block: the token, and behind it the bytes its spans point to. */
struct token_block {
    struct token token;
    size_t used, size;
    uint8_t bytes[];
};

struct token *token_alloc(size_t bytes)
{
    struct token_block *block = calloc(1, sizeof(*block) + bytes);

    if (block == NULL)
        return NULL;
    block->size = bytes;
    block->token.refs = 1;
    return &block->token;
}

struct span token_keep(struct token *token, struct span s)
{
    struct token_block *block = CONTAINER_OF(token, struct token_block, token);
    uint8_t *to = block->bytes + block->used;

    if (s.p == NULL)
        return SPAN_NONE;
    ASSERT(s.len <= block->size - block->used);
    if (s.len > 0)
        memcpy(to, s.p, s.len);
    block->used += s.len;
    return span_of(to, s.len);
}

/* The texts of another token into the room of a copy of it. */
static void rebase(struct token *t, const struct token_block *from)
{
    struct token_block *to = CONTAINER_OF(t, struct token_block, token);
    struct span *const spans[] = { &t->iss, &t->sub,    &t->client_id, &t->aud,
                                   &t->jti, &t->cnonce, &t->cnf_kid,   &t->text };

    memcpy(to->bytes, from->bytes, from->used);
    to->used = from->used;
    for (size_t i = 0; i < COUNT_OF(spans); i++)
        if (spans[i]->p != NULL)
            spans[i]->p = to->bytes + (spans[i]->p - from->bytes);
}

struct token *token_ref(const struct token *token)
{
    struct token *t = (struct token *)token;

    __atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
    return t;
}

void token_unref(struct token *token)
{
    if (token == NULL || __atomic_sub_fetch(&token->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    scope_unref(token->scope);
    key_unref(token->cnf);
    free(CONTAINER_OF(token, struct token_block, token));
}

void token_unrefp(struct token **token)
{
    token_unref(*token);
    *token = NULL;
}

bool token_end(const struct token *token, struct wall_time first_seen, struct wall_time *ret_end)
{
    bool dated = token->has_exp && (!token->no_clock || token->has_iat);
    struct wall_time end = { .s = token->exp.s };

    if (first_seen.s >= end.s) /* its issuer's clock may be behind ours: skew_s is what we grant it */
        end.s += token->skew_s;

    if (token->no_clock) /* the dates are the issuer's; only their distance means anything */
        end.s = first_seen.s + token->exp.s - token->iat.s;
    if (!dated && !token->has_exi)
        return false;
    if (token->has_exi && (!dated || first_seen.s + token->exi_s < end.s))
        end.s = first_seen.s + token->exi_s;
    *ret_end = end;
    return true;
}

enum status token_built_in(struct span name, struct scope *scope, struct token **ret_token)
{
    struct token *t = token_alloc(name.len);

    if (t == NULL)
        return ST_NO_MEMORY;
    t->iss = t->sub = token_keep(t, name);
    t->scope = scope_ref(scope);
    t->built_in = true;
    *ret_token = t;
    return ST_OK;
}

enum status token_of_remains(const struct token_remains *remains, struct scope *nothing,
                             struct token **ret_token)
{
    struct token *t = token_alloc(remains->iss.len + remains->sub.len + remains->client_id.len);

    ASSERT(scope_size(nothing) == 0);
    if (t == NULL)
        return ST_NO_MEMORY;
    t->iss = token_keep(t, remains->iss);
    t->sub = token_keep(t, remains->sub);
    t->client_id = token_keep(t, remains->client_id);
    t->scope = scope_ref(nothing);
    t->cnf_how = TOKEN_CNF_KID; /* of no kid: nobody's */
    memcpy(t->cnf_thumbprint, remains->cnf_thumbprint, TOKEN_HASH_LEN);
    memcpy(t->hash, remains->hash, TOKEN_HASH_LEN);
    t->has_twin = remains->twin != NULL;
    if (t->has_twin)
        memcpy(t->twin, remains->twin, TOKEN_HASH_LEN);
    t->has_exp = true; /* in 1970 */
    *ret_token = t;
    return ST_OK;
}

enum status token_bind_key(const struct token *token, const struct key *key, struct token **ret_token)
{
    const struct token_block *block = CONTAINER_OF(token, struct token_block, token);
    CLEANUP(token_unrefp)
    struct token *t = token_alloc(block->used);
    enum status st;

    ASSERT(token->cnf_how == TOKEN_CNF_KID);
    if (t == NULL)
        return ST_NO_MEMORY;
    *t = *token;
    t->refs = 1;
    t->scope = scope_ref(token->scope);
    t->cnf = key_ref(key);
    t->cnf_how = TOKEN_CNF_KEY;
    rebase(t, block);
    st = jwk_thumbprint(key, t->cnf_thumbprint);
    if (st == ST_OK)
        *ret_token = TAKE(t);
    return st;
}

enum status token_exi_jti_write(struct span rs_id, uint64_t sequence, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf raw;

    buf_init(&raw, EXI_RS_ID_MAX + EXI_SEQUENCE_LEN);
    put_bytes(&raw, rs_id);
    put_u64(&raw, sequence);
    if (!buf_ok(&raw))
        return buf_status(&raw);
    base64url_encode(buf_span(&raw), out);
    return buf_status(out);
}

enum status token_exi_jti_read(struct span jti, struct span rs_id, uint64_t *ret_sequence)
{
    CLEANUP(buf_done)
    struct buf raw;
    enum status st;

    buf_init(&raw, EXI_RS_ID_MAX + EXI_SEQUENCE_LEN);
    st = base64url_decode(jti, &raw, NULL);
    if (st != ST_OK)
        return st == ST_NO_MEMORY ? st : ST_MALFORMED;
    if (raw.len != rs_id.len + EXI_SEQUENCE_LEN || !span_starts_with(buf_span(&raw), rs_id))
        return ST_MALFORMED;
    struct reader r = reader_make(span_cut(buf_span(&raw), rs_id.len, EXI_SEQUENCE_LEN), "AF-77");
    uint64_t sequence = read_u64(&r);
    if (!reader_ok(&r))
        return ST_MALFORMED;
    *ret_sequence = sequence;
    return ST_OK;
}
