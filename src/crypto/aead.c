#include "crypto/aead.h"

#include "crypto/key_priv.h"
#include "crypto/secret.h"

#include <gnutls/crypto.h>

#define CBC_BLOCK    16
#define CBC_KEY_HALF 16
#define HMAC_LEN     32

/* clang-format off */
/* alg                       key  nonce tag  GnuTLS */
static const struct aead_rule {
    size_t key_len, nonce_len, tag_len;
    gnutls_cipher_algorithm_t cipher;
} aead_rules[] = {
    [AEAD_AES128_GCM]       = { 16, 12, 16, GNUTLS_CIPHER_AES_128_GCM   },
    [AEAD_AES256_GCM]       = { 32, 12, 16, GNUTLS_CIPHER_AES_256_GCM   },
    [AEAD_AES128_CBC_HS256] = { 32, 16, 16, GNUTLS_CIPHER_AES_128_CBC   },
    [AEAD_AES128_CCM]       = { 16, 13, 16, GNUTLS_CIPHER_AES_128_CCM   }, /* RFC 9053 4.2: AES-CCM-16-128-128 */
    [AEAD_AES128_CCM_8]     = { 16, 13, 8,  GNUTLS_CIPHER_AES_128_CCM_8 }, /* AES-CCM-16-64-128 */
};
/* clang-format on */

size_t aead_key_len(enum aead_alg alg)
{
    return aead_rules[alg].key_len;
}

size_t aead_nonce_len(enum aead_alg alg)
{
    return aead_rules[alg].nonce_len;
}

static giovec_t iovec(struct span s)
{
    return (giovec_t){ .iov_base = (void *)(uintptr_t)s.p, .iov_len = s.len };
}

/* GCM or CCM over `text` in place. Sealing writes the tag, opening checks it. */
static int counter_mode(enum aead_alg alg, bool seal, struct span key, struct span nonce, struct span aad,
                        uint8_t *text, size_t len, uint8_t tag[AEAD_TAG_LEN])
{
    gnutls_aead_cipher_hd_t handle;
    gnutls_datum_t key_d = key_datum(key);
    giovec_t aad_v = iovec(aad), text_v = { .iov_base = text, .iov_len = len };
    int aads = aad.len > 0, texts = len > 0;
    size_t tag_len = aead_rules[alg].tag_len;

    int rc = gnutls_aead_cipher_init(&handle, aead_rules[alg].cipher, &key_d);
    if (rc != 0)
        return rc;
    rc = seal ? gnutls_aead_cipher_encryptv2(handle, nonce.p, nonce.len, &aad_v, aads, &text_v, texts, tag,
                                             &tag_len)
              : gnutls_aead_cipher_decryptv2(handle, nonce.p, nonce.len, &aad_v, aads, &text_v, texts, tag,
                                             tag_len);
    gnutls_aead_cipher_deinit(handle);
    return rc;
}

/* RFC 7518 5.2.2.1 steps 4 and 5: HMAC over AAD, IV, ciphertext and the AAD's length in bits; first half. */
static int cbc_tag(struct span key, struct span nonce, struct span aad, struct span sealed,
                   uint8_t tag[AEAD_TAG_LEN])
{
    uint8_t mac[HMAC_LEN], aad_bits[8];
    gnutls_hmac_hd_t handle;

    for (size_t i = 0; i < sizeof aad_bits; i++)
        aad_bits[i] = (uint8_t)((uint64_t)aad.len * 8 >> (56 - 8 * i));
    int rc = gnutls_hmac_init(&handle, GNUTLS_MAC_SHA256, key.p, CBC_KEY_HALF);
    if (rc != 0)
        return rc;
    const struct span parts[] = { aad, nonce, sealed, span_of(aad_bits, sizeof aad_bits) };
    for (size_t i = 0; i < COUNT_OF(parts) && rc == 0; i++)
        if (parts[i].len > 0)
            rc = gnutls_hmac(handle, parts[i].p, parts[i].len);
    gnutls_hmac_deinit(handle, mac);
    memcpy(tag, mac, AEAD_TAG_LEN);
    secret_wipe(mac, sizeof mac);
    return rc;
}

static int cbc(bool encrypt, struct span key, struct span nonce, uint8_t *text, size_t len)
{
    gnutls_datum_t key_d = key_datum(span_cut(key, CBC_KEY_HALF, CBC_KEY_HALF)), iv_d = key_datum(nonce);
    gnutls_cipher_hd_t handle;

    int rc = gnutls_cipher_init(&handle, GNUTLS_CIPHER_AES_128_CBC, &key_d, &iv_d);
    if (rc != 0)
        return rc;
    rc = encrypt ? gnutls_cipher_encrypt(handle, text, len) : gnutls_cipher_decrypt(handle, text, len);
    gnutls_cipher_deinit(handle);
    return rc;
}

static enum status cbc_seal(struct span key, struct span nonce, struct span aad, struct span plain,
                            struct buf *out, uint8_t tag[AEAD_TAG_LEN])
{
    size_t pad = CBC_BLOCK - plain.len % CBC_BLOCK; /* PKCS #7: 1 to 16 bytes */
    uint8_t *room = buf_room(out, plain.len + pad);

    if (room == NULL)
        return buf_status(out);
    if (plain.len > 0)
        memcpy(room, plain.p, plain.len);
    memset(room + plain.len, (int)pad, pad);
    if (cbc(true, key, nonce, room, plain.len + pad) != 0 ||
        cbc_tag(key, nonce, aad, span_of(room, plain.len + pad), tag) != 0)
        return ST_INTERNAL;
    buf_added(out, plain.len + pad);
    return ST_OK;
}

static enum status refuse_open(struct why *why)
{
    return reject(why, ST_BAD_CREDENTIAL, "RFC 7516 5.2", "does not decrypt under this key", 0);
}

static enum status cbc_open(struct span key, struct span nonce, struct span aad, struct span sealed,
                            struct span tag, struct buf *out, struct why *why)
{
    uint8_t expected[AEAD_TAG_LEN];

    if (sealed.len == 0 || sealed.len % CBC_BLOCK != 0)
        return reject(why, ST_MALFORMED, "RFC 7518 5.2.2.2", "ciphertext is not whole blocks", 0);
    if (cbc_tag(key, nonce, aad, sealed, expected) != 0)
        return ST_INTERNAL;
    bool same = secret_eq(span_of(expected, sizeof expected), tag);
    secret_wipe(expected, sizeof expected);
    if (!same)
        return refuse_open(why); /* before any decrypting: no padding oracle */
    uint8_t *room = buf_room(out, sealed.len);
    if (room == NULL)
        return buf_refuse(out, "plaintext larger than allowed", why);
    memcpy(room, sealed.p, sealed.len);
    if (cbc(false, key, nonce, room, sealed.len) != 0)
        return ST_INTERNAL;
    uint8_t pad = room[sealed.len - 1];
    bool good = pad >= 1 && pad <= CBC_BLOCK;
    for (size_t i = 1; good && i <= pad; i++)
        good = room[sealed.len - i] == pad;
    if (!good) {
        secret_wipe(room, sealed.len);
        return refuse_open(why);
    }
    buf_added(out, sealed.len - pad);
    return ST_OK;
}

enum status aead_seal(enum aead_alg alg, struct span key, struct span nonce, struct span aad, struct span plain,
                      struct buf *out, uint8_t tag[AEAD_TAG_LEN])
{
    ASSERT(key.len == aead_rules[alg].key_len && nonce.len == aead_rules[alg].nonce_len);
    if (alg == AEAD_AES128_CBC_HS256)
        return cbc_seal(key, nonce, aad, plain, out, tag);
    uint8_t *room = buf_room(out, plain.len);
    if (room == NULL && plain.len > 0)
        return buf_status(out);
    if (plain.len > 0)
        memcpy(room, plain.p, plain.len);
    if (counter_mode(alg, true, key, nonce, aad, room, plain.len, tag) != 0) {
        if (plain.len > 0)
            secret_wipe(room, plain.len);
        return ST_INTERNAL;
    }
    buf_added(out, plain.len);
    return ST_OK;
}

enum status aead_open(enum aead_alg alg, struct span key, struct span nonce, struct span aad,
                      struct span sealed, struct span tag, struct buf *out, struct why *why)
{
    uint8_t tag_copy[AEAD_TAG_LEN];

    ASSERT(key.len == aead_rules[alg].key_len);
    if (nonce.len != aead_rules[alg].nonce_len || tag.len != aead_rules[alg].tag_len)
        return reject(why, ST_MALFORMED, "TK-62", "IV or tag of the wrong length", 0);
    if (alg == AEAD_AES128_CBC_HS256)
        return cbc_open(key, nonce, aad, sealed, tag, out, why);
    uint8_t *room = buf_room(out, sealed.len);
    if (room == NULL && sealed.len > 0)
        return buf_refuse(out, "plaintext larger than allowed", why);
    if (sealed.len > 0)
        memcpy(room, sealed.p, sealed.len);
    memcpy(tag_copy, tag.p, tag.len);
    if (counter_mode(alg, false, key, nonce, aad, room, sealed.len, tag_copy) != 0) {
        if (sealed.len > 0)
            secret_wipe(room, sealed.len);
        return refuse_open(why);
    }
    buf_added(out, sealed.len);
    return ST_OK;
}
