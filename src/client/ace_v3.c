/* ACE over MQTT 3.1.1: token and proof in user name and password (RFC 9431 6.1; D-18). */
#include "base/utf8.h"
#include "client/error_priv.h"
#include "client/key_priv.h"
#include "codec/base64.h"
#include "symbolon/ace.h"
#include "token/auth_data.h"

_Static_assert(SYMBOLON_ACE_PROOF_MAX == ACE_POP_MAX, "the public header repeats it");

#define CLAUSE_V3     "RFC 9431 6.1"
#define USER_NAME_MAX 65535 /* MQTT3 1.5.3 */

static enum symbolon_status give(const struct buf *field, uint8_t *out, size_t out_cap, size_t *ret_len,
                                 struct symbolon_error *error)
{
    if (field->len > out_cap)
        return error_set(error, SYMBOLON_TOO_LARGE, CLAUSE_V3, "the buffer given is too small");
    memcpy(out, field->p, field->len);
    *ret_len = field->len;
    return SYMBOLON_OK;
}

enum symbolon_status symbolon_ace_v3_user_name(struct symbolon_bytes token, enum symbolon_ace_layout layout,
                                               uint8_t *out, size_t out_cap, size_t *ret_len,
                                               struct symbolon_error *error)
{
    CLEANUP(buf_wipe)
    struct buf user_name = { .max = 2 * USER_NAME_MAX }; /* so that only memory can make it fail */
    struct span bytes = span_of_bytes(token);

    if (bytes.len == 0)
        return error_set(error, SYMBOLON_NO_TOKEN, CLAUSE_V3, "the token is empty");
    if (bytes.len > USER_NAME_MAX)
        return error_set(error, SYMBOLON_TOO_LARGE, CLAUSE_V3, "the token does not fit into a user name");
    put_str(&user_name, ACE_METHOD);
    if (layout == SYMBOLON_ACE_RFC9431)
        base64url_encode(bytes, &user_name);
    else if (utf8_valid_mqtt(bytes)) /* U+0000 must not be in a user name: MQTT3 1.5.3 */
        put_bytes(&user_name, bytes);
    else
        base64_encode(bytes, &user_name);
    if (!buf_ok(&user_name))
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    if (user_name.len > USER_NAME_MAX)
        return error_set(error, SYMBOLON_TOO_LARGE, CLAUSE_V3, "the token does not fit into a user name");
    return give(&user_name, out, out_cap, ret_len, error);
}

enum symbolon_status symbolon_ace_v3_password(const struct symbolon_key *key,
                                              const uint8_t exporter[SYMBOLON_ACE_EXPORTER_LEN], uint8_t *out,
                                              size_t out_cap, size_t *ret_len, struct symbolon_error *error)
{
    CLEANUP(buf_wipe)
    struct buf proof = { .max = ACE_POP_MAX };

    enum status st = pop_make_exporter(key_inside(key), span_of(exporter, ACE_EXPORTER_LEN), &proof);
    if (st != ST_OK)
        return error_from(error, st, &(struct why){ .clause = CLAUSE_V3 });
    return give(&proof, out, out_cap, ret_len, error);
}
