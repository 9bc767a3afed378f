#include "shard/known.h"

#include "crypto/secret.h"
#include "crypto/x509.h"
#include "jose/jwk.h"
#include "shard/fault.h"
#include "shard/shard_priv.h"
#include "shard/token_store.h"
#include "token/psk_identity.h"

static struct conn_identity identity_of(const struct conn *c)
{
    struct conn_identity id = { .kind = IDENTITY_NONE };

    if (c->shard->world.conn_identity != NULL)
        c->shard->world.conn_identity(c->shard->world.ctx, c->io, &id);
    return id;
}

/* ---- raw public keys and certificates ---- */

static struct token *by_raw_key(const struct shard *shard, struct span spki)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    uint8_t thumbprint[JWK_THUMBPRINT_LEN];

    if (shard->settings->tokens == NULL || key_read_spki(spki, &key, NULL) != ST_OK ||
        jwk_thumbprint(key, thumbprint) != ST_OK)
        return NULL;
    return token_store_by_key(shard->settings->tokens, thumbprint, shard->now);
}

static struct token *by_certificate(const struct shard *shard, struct span der)
{
    uint8_t thumbprint[SHA256_LEN];

    if (shard->settings->tokens == NULL || x509_thumbprint(der, thumbprint, NULL) != ST_OK)
        return NULL;
    return token_store_by_certificate(shard->settings->tokens, thumbprint, shard->now);
}

enum status known_certificate(struct conn *c, const struct token *token, struct key **ret_key, struct why *why)
{
    struct conn_identity id = identity_of(c);
    uint8_t thumbprint[SHA256_LEN];

    if (id.kind != IDENTITY_X509 || x509_thumbprint(id.bytes, thumbprint, NULL) != ST_OK ||
        memcmp(thumbprint, token->cnf_thumbprint, sizeof thumbprint) != 0)
        return reject(why, ST_BAD_PROOF, "MT-65", "not the certificate that cnf names by x5t#S256", 0);
    if (ret_key != NULL && x509_public_key(id.bytes, ret_key, NULL) != ST_OK)
        return reject(why, ST_BAD_PROOF, "MT-64", "no proof is spoken here for the certificate's kind of key",
                      0);
    return ST_OK;
}

/* ---- pre-shared keys ---- */

/* Whatever the identity says, the token must have a secret to share, and it is that secret that TLS uses. */
static enum status psk_token(struct shard *shard, struct span identity, struct token **ret_token,
                             struct why *why)
{
    struct psk_identity id;
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    enum status st = psk_identity_parse(identity, &id, why);

    if (st != ST_OK)
        return st;
    if (id.token.p != NULL)
        st = inquiry_now(shard, id.token, &token, why);
    else if (shard->settings->tokens != NULL)
        token = token_store_by_kid(shard->settings->tokens, id.kid, shard->now);
    if (st != ST_OK)
        return st;
    if (token == NULL)
        return reject(why, ST_BAD_CREDENTIAL, "MT-27",
                      "no token is kept whose key has this kid, or several are", 0);
    if (token->cnf == NULL || key_kind(token->cnf) != KEY_SECRET)
        return reject(why, ST_BAD_POP_KEY, "MT-23", "the token's key is no shared secret", 0);
    *ret_token = TAKE(token);
    return ST_OK;
}

bool shard_psk_key(struct shard *shard, struct span identity, struct span peer, struct now now, struct buf *key,
                   bool *ret_fault)
{
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    struct why why = { 0 };
    enum status st;

    shard->now = now;
    st = psk_token(shard, identity, &token, &why);
    *ret_fault = fault_is(st, &why, false);
    if (st != ST_OK) {
        atomic_fetch_add_explicit(&shard->stats.refusals[st], 1, memory_order_relaxed);
        log_event(shard->log, LOG_NOTICE, "psk_refused", F_SPAN("peer", peer), F_WHY(st, why));
        return false;
    }
    put_bytes(key, key_secret(token->cnf));
    return buf_ok(key);
}

/* The key is compared as well: since the handshake another token may have come under the same kid. */
static enum status by_psk(struct conn *c, const struct conn_identity *id, struct token **ret_token,
                          struct why *why)
{
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    enum status st = psk_token(c->shard, id->bytes, &token, why);

    if (st != ST_OK)
        return st;
    if (!secret_eq(id->key, key_secret(token->cnf)))
        return reject(why, ST_BAD_PROOF, "MT-65", "the handshake was made with another key", 0);
    *ret_token = TAKE(token);
    return ST_OK;
}

/* ---- CONNECT ---- */

bool known_built_in(const struct conn *c)
{
    return identity_of(c).kind == IDENTITY_BUILT_IN;
}

enum status known_token(struct conn *c, struct token **ret_token, struct why *why)
{
    struct conn_identity id = identity_of(c);
    struct token_store *tokens = c->shard->settings->tokens;
    enum status st = ST_OK;

    *ret_token = NULL;
    switch (id.kind) {
    case IDENTITY_NONE:
        return ST_OK;
    case IDENTITY_RAW_KEY:
        *ret_token = by_raw_key(c->shard, id.bytes);
        break;
    case IDENTITY_X509:
        *ret_token = by_certificate(c->shard, id.bytes);
        break;
    case IDENTITY_PSK:
        st = by_psk(c, &id, ret_token, why);
        break;
    case IDENTITY_BUILT_IN:
        *ret_token = token_ref(id.built_in);
        return ST_OK;
    }
    if (st == ST_OK && *ret_token != NULL && tokens != NULL)
        token_store_used(tokens, *ret_token, c->shard->now);
    return st;
}
