#include "crypto/curve_priv.h"
#include "crypto/secret.h"

#include <nettle/ecc-curve.h>
#include <nettle/ecc.h>
#include <nettle/eddsa.h>

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

/* n, the order of P-256's base point, big-endian (FIPS 186-4 D.1.2.3). */
static const uint8_t p256_n[KEY_PART_LEN] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
};
/* clang-format on */

void ed25519_public_of(const uint8_t seed[KEY_PART_LEN], uint8_t x[KEY_PART_LEN])
{
    ed25519_sha512_public_key(x, seed);
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

static void wipe_mpz(mpz_t v)
{
    size_t limbs = mpz_size(v);
    if (limbs > 0)
        secret_wipe(mpz_limbs_modify(v, (mp_size_t)limbs), limbs * sizeof(mp_limb_t));
    mpz_clear(v);
}

static void mpz_to_bytes(const mpz_t v, uint8_t out[KEY_PART_LEN])
{
    nettle_mpz_get_str_256(KEY_PART_LEN, out, v);
}

bool p256_public_of(const uint8_t d[KEY_PART_LEN], uint8_t x[KEY_PART_LEN], uint8_t y[KEY_PART_LEN])
{
    const struct ecc_curve *curve = nettle_get_secp_256r1();
    struct ecc_scalar scalar;
    struct ecc_point point;
    mpz_t v, xv, yv;

    nettle_mpz_init_set_str_256_u(v, KEY_PART_LEN, d);
    ecc_scalar_init(&scalar, curve);
    bool ok = ecc_scalar_set(&scalar, v) != 0; /* 0 < d < n */
    wipe_mpz(v);
    if (ok) {
        ecc_point_init(&point, curve);
        ecc_point_mul_g(&point, &scalar);
        mpz_inits(xv, yv, NULL);
        ecc_point_get(&point, xv, yv);
        mpz_to_bytes(xv, x);
        mpz_to_bytes(yv, y);
        mpz_clears(xv, yv, NULL);
        ecc_point_clear(&point);
    }
    secret_wipe(scalar.p, ecc_size(curve) * sizeof(mp_limb_t));
    ecc_scalar_clear(&scalar);
    return ok;
}

bool p256_multiply(const uint8_t d[KEY_PART_LEN], const uint8_t x[KEY_PART_LEN], const uint8_t y[KEY_PART_LEN],
                   uint8_t out[KEY_PART_LEN])
{
    const struct ecc_curve *curve = nettle_get_secp_256r1();
    struct ecc_scalar scalar;
    struct ecc_point point, product;
    mpz_t v, xv, yv;

    nettle_mpz_init_set_str_256_u(v, KEY_PART_LEN, d);
    nettle_mpz_init_set_str_256_u(xv, KEY_PART_LEN, x);
    nettle_mpz_init_set_str_256_u(yv, KEY_PART_LEN, y);
    ecc_scalar_init(&scalar, curve);
    ecc_point_init(&point, curve);
    ecc_point_init(&product, curve);
    bool ok = ecc_scalar_set(&scalar, v) != 0 && ecc_point_set(&point, xv, yv) != 0;
    if (ok) {
        ecc_point_mul(&product, &scalar, &point);
        ecc_point_get(&product, xv, yv);
        mpz_to_bytes(xv, out);
    }
    wipe_mpz(v);
    wipe_mpz(xv);
    wipe_mpz(yv);
    secret_wipe(scalar.p, ecc_size(curve) * sizeof(mp_limb_t));
    secret_wipe(product.p, 2 * ecc_size(curve) * sizeof(mp_limb_t)); /* affine: two coordinates */
    ecc_scalar_clear(&scalar);
    ecc_point_clear(&point);
    ecc_point_clear(&product);
    return ok;
}

bool p256_on_curve(const uint8_t x[KEY_PART_LEN], const uint8_t y[KEY_PART_LEN])
{
    struct ecc_point point;
    mpz_t xv, yv;

    nettle_mpz_init_set_str_256_u(xv, KEY_PART_LEN, x);
    nettle_mpz_init_set_str_256_u(yv, KEY_PART_LEN, y);
    ecc_point_init(&point, nettle_get_secp_256r1());
    bool ok = ecc_point_set(&point, xv, yv) != 0;
    ecc_point_clear(&point);
    mpz_clears(xv, yv, NULL);
    return ok;
}

bool p256_in_order(const uint8_t v[KEY_PART_LEN])
{
    static const uint8_t zero[KEY_PART_LEN];
    return memcmp(v, zero, KEY_PART_LEN) != 0 && memcmp(v, p256_n, KEY_PART_LEN) < 0;
}

void p256_negate(const uint8_t v[KEY_PART_LEN], uint8_t out[KEY_PART_LEN])
{
    int borrow = 0;

    for (size_t i = KEY_PART_LEN; i-- > 0;) {
        int d = p256_n[i] - v[i] - borrow;

        borrow = d < 0;
        out[i] = (uint8_t)(d & 0xff);
    }
}
