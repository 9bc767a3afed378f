#include "token/auth_data.h"

#include "base/reader.h"

#define NONCE_LENGTH_LEN 2

enum status auth_data_parse_connect(struct span data, struct auth_data *out, struct why *why)
{
    struct reader r = reader_make(data, "MT-52");
    enum status st;

    out->token = read_prefixed16(&r);
    out->pop = read_rest(&r);
    st = reader_finish(&r, why);
    if (st != ST_OK)
        return st;
    if (out->token.len == 0)
        return reject(why, ST_MALFORMED, "MT-52", "no token in the authentication data", 0);
    return ST_OK;
}

enum status auth_data_parse_answer(struct span data, size_t pop_len, struct auth_answer *out, struct why *why)
{
    struct reader r = reader_make(data, "D-1");
    size_t nonce_len = data.len < pop_len ? 0 : data.len - pop_len;

    out->draft06 = nonce_len != ACE_NONCE_LEN;
    if (out->draft06) {
        size_t stated = read_u16(&r);
        if (stated < ACE_NONCE_LEN || stated > ACE_NONCE_MAX || nonce_len != NONCE_LENGTH_LEN + stated)
            return reject(why, ST_MALFORMED, "D-1", "neither layout of the client's answer has this length", 0);
        nonce_len = stated;
    }
    out->nonce = read_bytes(&r, nonce_len);
    out->pop = read_rest(&r);
    return reader_finish(&r, why);
}

enum status auth_data_parse_challenge(struct span data, struct span *ret_nonce, struct why *why)
{
    if (data.len != ACE_NONCE_LEN)
        return reject(why, ST_MALFORMED, "MT-58", "the broker's nonce is not 8 bytes", 0);
    *ret_nonce = data;
    return ST_OK;
}

/* All or nothing, and no more than MQTT Binary Data can hold. */
static enum status finish(struct buf *out, size_t start)
{
    if (buf_ok(out) && out->len - start <= UINT16_MAX)
        return ST_OK;
    if (out->len > start)
        buf_truncate(out, start);
    return buf_ok(out) ? ST_TOO_LARGE : buf_status(out);
}

enum status auth_data_write_connect(struct span token, struct span pop, struct buf *out)
{
    size_t start = out->len;

    if (token.len == 0)
        return ST_MALFORMED;
    put_prefixed16(out, token);
    put_bytes(out, pop);
    return finish(out, start);
}

enum status auth_data_write_answer(struct span client_nonce, struct span pop, bool draft06, struct buf *out)
{
    size_t start = out->len;

    ASSERT(client_nonce.len >= ACE_NONCE_LEN && client_nonce.len <= (draft06 ? ACE_NONCE_MAX : ACE_NONCE_LEN));
    if (draft06)
        put_u16(out, (uint16_t)client_nonce.len);
    put_bytes(out, client_nonce);
    put_bytes(out, pop);
    return finish(out, start);
}

enum sig_alg pop_alg_for(const struct key *key)
{
    return sig_for_key(key);
}

size_t pop_len_for(const struct key *key)
{
    return key == NULL ? 0 : sig_len(key);
}

static enum status make(const struct key *key, struct span input, struct buf *out)
{
    uint8_t pop[ACE_POP_MAX];
    enum status st = sig_make(key, pop_alg_for(key), input, pop);

    if (st != ST_OK)
        return st;
    put_bytes(out, span_of(pop, pop_len_for(key)));
    return buf_status(out);
}

static enum status check(const struct key *key, struct span input, struct span pop, struct why *why)
{
    enum status st;

    if (key == NULL) /* the token names a key by kid or certificate, and nobody has said which that is */
        return reject(why, ST_BAD_PROOF, "TK-6", "the token's key is not known here", 0);
    if (pop.len != pop_len_for(key))
        return reject(why, ST_BAD_PROOF, "MT-63", "a proof of the wrong length for the token's key", 0);
    st = sig_check(key, pop_alg_for(key), input, pop, why);
    if (st == ST_OK || st == ST_NO_MEMORY)
        return st;
    return reject(why, ST_BAD_PROOF, "MT-65", "the proof does not fit the token's key", 0);
}

enum status pop_make_exporter(const struct key *key, struct span exporter, struct buf *out)
{
    ASSERT(exporter.len == ACE_EXPORTER_LEN);
    return make(key, exporter, out);
}

enum status pop_check_exporter(const struct key *key, struct span exporter, struct span pop, struct why *why)
{
    ASSERT(exporter.len == ACE_EXPORTER_LEN);
    return check(key, exporter, pop, why);
}

/* rs_nonce | client_nonce, without any framing (MT-57). */
struct nonces {
    uint8_t bytes[ACE_NONCE_LEN + ACE_NONCE_MAX];
    size_t len;
};

static struct nonces join(struct span rs_nonce, struct span client_nonce)
{
    struct nonces n = { .len = rs_nonce.len + client_nonce.len };

    ASSERT(rs_nonce.len == ACE_NONCE_LEN);
    ASSERT(client_nonce.len >= ACE_NONCE_LEN && client_nonce.len <= ACE_NONCE_MAX);
    memcpy(n.bytes, rs_nonce.p, rs_nonce.len);
    memcpy(n.bytes + rs_nonce.len, client_nonce.p, client_nonce.len);
    return n;
}

enum status pop_make_nonces(const struct key *key, struct span rs_nonce, struct span client_nonce,
                            struct buf *out)
{
    struct nonces n = join(rs_nonce, client_nonce);
    return make(key, span_of(n.bytes, n.len), out);
}

enum status pop_check_nonces(const struct key *key, struct span rs_nonce, struct span client_nonce,
                             struct span pop, struct why *why)
{
    struct nonces n = join(rs_nonce, client_nonce);
    return check(key, span_of(n.bytes, n.len), pop, why);
}
