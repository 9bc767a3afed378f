/* Ed25519 (RFC 8032), on libsodium. */
#include "crypto/curve_priv.h"
#include "crypto/secret.h"

#include <sodium.h>

/* clang-format off */
/* p = 2^255 - 19, little-endian as keys are. */
static const uint8_t ed25519_p[KEY_PART_LEN] = {
    0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
};

/* The y of every point whose order divides 8 (the sign of x is the top bit, ignored in comparing). */
static const uint8_t ed25519_small[][KEY_PART_LEN] = {
    { 1 },                                                                       /* order 1: (0, 1)      */
    { 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f }, /* 2 */
    { 0 },                                                                       /* order 4: y = 0       */
    { 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
      0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05 }, /* 8 */
    { 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
      0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a }, /* 8 */
};
/* clang-format on */

/* The library's own form of a private key: the seed and the public key behind it. */
struct sodium_key {
    uint8_t bytes[crypto_sign_ed25519_SECRETKEYBYTES];
};

enum status ed25519_public_of(const uint8_t seed[KEY_PART_LEN], uint8_t x[KEY_PART_LEN])
{
    struct sodium_key key;

    /* Before anything else is asked of the library; it remembers that it was called. Who only checks signatures needs
     * nothing of what it prepares. */
    if (sodium_init() < 0)
        return ST_INTERNAL;
    (void)crypto_sign_ed25519_seed_keypair(x, key.bytes, seed); /* always 0 */
    secret_wipe(&key, sizeof key);
    return ST_OK;
}

bool ed25519_acceptable(const uint8_t x[KEY_PART_LEN])
{
    uint8_t y[KEY_PART_LEN];

    memcpy(y, x, sizeof y);
    y[KEY_PART_LEN - 1] &= 0x7f;
    for (size_t i = KEY_PART_LEN; i-- > 0;) {
        if (y[i] < ed25519_p[i])
            break;
        if (y[i] > ed25519_p[i] || i == 0)
            return false; /* y >= p: another spelling of y - p */
    }
    for (size_t i = 0; i < COUNT_OF(ed25519_small); i++)
        if (memcmp(y, ed25519_small[i], sizeof y) == 0)
            return false;
    return true;
}

void ed25519_sign(const uint8_t seed[KEY_PART_LEN], const uint8_t x[KEY_PART_LEN], struct span data,
                  uint8_t out[CURVE_SIG_LEN])
{
    struct sodium_key key;

    memcpy(key.bytes, seed, KEY_PART_LEN);
    memcpy(key.bytes + KEY_PART_LEN, x, KEY_PART_LEN);
    (void)crypto_sign_ed25519_detached(out, NULL, data.p, data.len, key.bytes); /* always 0 */
    secret_wipe(&key, sizeof key);
}

bool ed25519_check(const uint8_t x[KEY_PART_LEN], struct span data, const uint8_t sig[CURVE_SIG_LEN])
{
    return crypto_sign_ed25519_verify_detached(sig, data.p, data.len, x) == 0;
}
