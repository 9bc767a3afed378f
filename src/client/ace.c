#include "symbolon/ace.h"

#include "client/error_priv.h"
#include "client/key_priv.h"
#include "crypto/random.h"
#include "token/auth_data.h"

_Static_assert(SYMBOLON_ACE_EXPORTER_LEN == ACE_EXPORTER_LEN, "the public header repeats it");
_Static_assert(SYMBOLON_ACE_NONCE_LEN == ACE_NONCE_LEN, "the public header repeats it");

#define CLAUSE_DATA "RFC 9431 2.2.4.2"

/* Copies what was built into the caller's memory. */
static enum symbolon_status give(const struct buf *data, uint8_t *out, size_t out_cap, size_t *ret_len,
                                 struct symbolon_error *error)
{
    if (!buf_ok(data))
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    if (data->len > out_cap)
        return error_set(error, SYMBOLON_TOO_LARGE, CLAUSE_DATA, "the buffer given is too small");
    memcpy(out, data->p, data->len);
    *ret_len = data->len;
    return SYMBOLON_OK;
}

static enum symbolon_status token_usable(struct symbolon_bytes token, struct symbolon_error *error)
{
    return token.len > 0 ? SYMBOLON_OK : error_set(error, SYMBOLON_NO_TOKEN, CLAUSE_DATA, "the token is empty");
}

static enum symbolon_status write_connect(struct span token, struct span pop, uint8_t *out, size_t out_cap,
                                          size_t *ret_len, struct symbolon_error *error)
{
    CLEANUP(buf_wipe)
    struct buf data = { .max = SYMBOLON_ACE_AUTH_DATA_MAX };

    enum status st = auth_data_write_connect(token, pop, &data);
    if (st != ST_OK)
        return error_from(error, st, &(struct why){ .clause = CLAUSE_DATA });
    return give(&data, out, out_cap, ret_len, error);
}

enum symbolon_status symbolon_ace_connect_exporter(struct symbolon_bytes token, const struct symbolon_key *key,
                                                   const uint8_t exporter[SYMBOLON_ACE_EXPORTER_LEN],
                                                   uint8_t *out, size_t out_cap, size_t *ret_len,
                                                   struct symbolon_error *error)
{
    CLEANUP(buf_wipe)
    struct buf pop = { .max = ACE_POP_MAX };

    if (token_usable(token, error) != SYMBOLON_OK)
        return SYMBOLON_NO_TOKEN;
    enum status st = pop_make_exporter(key_inside(key), span_of(exporter, ACE_EXPORTER_LEN), &pop);
    if (st != ST_OK)
        return error_from(error, st, &(struct why){ .clause = "RFC 9431 2.2.4.2.1" });
    return write_connect(span_of_bytes(token), buf_span(&pop), out, out_cap, ret_len, error);
}

enum symbolon_status symbolon_ace_connect_challenge(struct symbolon_bytes token, uint8_t *out, size_t out_cap,
                                                    size_t *ret_len, struct symbolon_error *error)
{
    if (token_usable(token, error) != SYMBOLON_OK)
        return SYMBOLON_NO_TOKEN;
    return write_connect(span_of_bytes(token), SPAN_NONE, out, out_cap, ret_len, error);
}

enum symbolon_status symbolon_ace_answer(struct symbolon_bytes challenge, const struct symbolon_key *key,
                                         const uint8_t *client_nonce, enum symbolon_ace_layout layout,
                                         uint8_t *out, size_t out_cap, size_t *ret_len,
                                         struct symbolon_error *error)
{
    CLEANUP(buf_wipe)
    struct buf pop = { .max = ACE_POP_MAX }, data = { .max = SYMBOLON_ACE_AUTH_DATA_MAX };
    uint8_t fresh[ACE_NONCE_LEN];
    struct span rs_nonce, nonce;
    struct why why = { .clause = "RFC 9431 2.2.4.2.2" };

    if (auth_data_parse_challenge(span_of_bytes(challenge), &rs_nonce, &why) != ST_OK)
        return error_set(error, SYMBOLON_PROTOCOL, why.clause, "the broker's challenge is not 8 bytes long");
    enum status st = client_nonce == NULL ? random_bytes(fresh, sizeof fresh) : ST_OK;
    nonce = span_of(client_nonce == NULL ? fresh : client_nonce, ACE_NONCE_LEN);
    if (st == ST_OK)
        st = pop_make_nonces(key_inside(key), rs_nonce, nonce, &pop);
    if (st == ST_OK)
        st = auth_data_write_answer(nonce, buf_span(&pop), layout == SYMBOLON_ACE_DRAFT06, &data);
    if (st != ST_OK)
        return error_from(error, st, &why);
    return give(&data, out, out_cap, ret_len, error);
}
