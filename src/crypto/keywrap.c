/* RFC 3394, which GnuTLS 3.7 has no call for: nettle's. */
#include "crypto/aead.h"
#include "crypto/secret.h"

#include <nettle/aes.h>
#include <nettle/nist-keywrap.h>

#define KEYWRAP_MIN 16

static const uint8_t initial_value[8] = {
    0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6
}; /* RFC 3394 2.2.3.1 */

union kek {
    struct aes128_ctx aes128;
    struct aes256_ctx aes256;
};

enum status keywrap_wrap(struct span kek, struct span key, struct buf *out)
{
    union kek ctx;

    ASSERT(key.len >= KEYWRAP_MIN && key.len <= KEYWRAP_MAX && key.len % 8 == 0);
    if (kek.len != AES128_KEY_SIZE && kek.len != AES256_KEY_SIZE)
        return ST_UNSUPPORTED;
    uint8_t *room = buf_room(out, key.len + KEYWRAP_GROWTH);
    if (room == NULL)
        return buf_status(out);
    if (kek.len == AES128_KEY_SIZE) {
        aes128_set_encrypt_key(&ctx.aes128, kek.p);
        aes128_keywrap(&ctx.aes128, initial_value, key.len + KEYWRAP_GROWTH, room, key.p);
    } else {
        aes256_set_encrypt_key(&ctx.aes256, kek.p);
        aes256_keywrap(&ctx.aes256, initial_value, key.len + KEYWRAP_GROWTH, room, key.p);
    }
    secret_wipe(&ctx, sizeof ctx);
    buf_added(out, key.len + KEYWRAP_GROWTH);
    return ST_OK;
}

enum status keywrap_unwrap(struct span kek, struct span wrapped, struct buf *out, struct why *why)
{
    union kek ctx;
    int good;

    if (kek.len != AES128_KEY_SIZE && kek.len != AES256_KEY_SIZE)
        return reject(why, ST_UNSUPPORTED, "RFC 7518 4.4", "key-encryption key of 16 or 32 bytes expected", 0);
    if (wrapped.len < KEYWRAP_MIN + KEYWRAP_GROWTH || wrapped.len > KEYWRAP_MAX + KEYWRAP_GROWTH ||
        wrapped.len % 8 != 0)
        return reject(why, ST_MALFORMED, "RFC 3394 2.2.2", "length of a wrapped key", 0);
    size_t len = wrapped.len - KEYWRAP_GROWTH;
    uint8_t *room = buf_room(out, len);
    if (room == NULL)
        return buf_refuse(out, "key larger than allowed", why);
    if (kek.len == AES128_KEY_SIZE) {
        aes128_set_decrypt_key(&ctx.aes128, kek.p);
        good = aes128_keyunwrap(&ctx.aes128, initial_value, len, room, wrapped.p);
    } else {
        aes256_set_decrypt_key(&ctx.aes256, kek.p);
        good = aes256_keyunwrap(&ctx.aes256, initial_value, len, room, wrapped.p);
    }
    secret_wipe(&ctx, sizeof ctx);
    if (!good) {
        secret_wipe(room, len);
        return reject(why, ST_BAD_CREDENTIAL, "RFC 3394 2.2.2", "does not unwrap under this key", 0);
    }
    buf_added(out, len);
    return ST_OK;
}
