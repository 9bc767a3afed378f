/* The edges of both curves, where implementations differ: what src/crypto takes beside what nettle and GnuTLS take, which
 * it used before (docs/decisions/0029). It may be stricter, and is in one place; it is laxer only where nettle is wrong,
 * and there once in 2^256. */
#include "crypto/curve_priv.h"
#include "crypto/random.h"
#include "crypto/sign.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <nettle/eddsa.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
/* cmocka wants the two above first */
#include <cmocka.h>

#include "crypto/test_hex.h"

#define SEED "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
/* Of order 8 (RFC 8032 5.1: any point times the group's order) */
#define TORSION "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
/* The base point of P-256 (FIPS 186-4 D.1.2.3): the public key of d = 1 */
#define BASE_X "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
#define BASE_Y "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"

static bool nettle_takes(const uint8_t x[32], struct span data, const uint8_t sig[64])
{
    return ed25519_sha512_verify(x, data.len, data.p, sig) == 1;
}

/* The scalar behind a seed: RFC 8032 5.1.5. */
static void scalar_of(const uint8_t seed[32], uint8_t a[32])
{
    uint8_t hash[64];

    crypto_hash_sha512(hash, seed, 32);
    hash[0] &= 0xf8;
    hash[31] = (uint8_t)((hash[31] & 0x7f) | 0x40);
    memcpy(a, hash, 32);
}

/* h of RFC 8032 5.1.7: SHA-512(R, A, M), reduced. */
static void challenge(const uint8_t r[32], const uint8_t x[32], struct span data, uint8_t h[32])
{
    uint8_t hash[64];
    crypto_hash_sha512_state state;

    crypto_hash_sha512_init(&state);
    crypto_hash_sha512_update(&state, r, 32);
    crypto_hash_sha512_update(&state, x, 32);
    crypto_hash_sha512_update(&state, data.p, data.len);
    crypto_hash_sha512_final(&state, hash);
    crypto_core_ed25519_scalar_reduce(h, hash);
}

/* The signature with the nonce 0, whose R is the neutral element, spelled as the caller says. */
static void sign_without_nonce(const uint8_t seed[32], const uint8_t x[32], const char *spelled,
                               struct span data, uint8_t sig[64])
{
    struct hex r = hex(spelled);
    uint8_t a[32], h[32];

    scalar_of(seed, a);
    memcpy(sig, r.bytes, 32);
    challenge(sig, x, data, h);
    crypto_core_ed25519_scalar_mul(sig + 32, h, a);
}

/* TK-60. The equation of RFC 8032 5.1.7 holds for the first of these, and nettle says so; ours refuses it, as nobody who
 * has a nonce makes one. The second is another spelling of the same point, the third a point of order 2. */
static void an_ed25519_signature_whose_r_has_small_order_is_refused(void **state UNUSED)
{
    static const char *const rows[] = {
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        TORSION,
    };
    struct hex seed = hex(SEED);
    uint8_t x[32], sig[64];

    assert_int_equal(ed25519_public_of(seed.bytes, x), ST_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        sign_without_nonce(seed.bytes, x, rows[i], SPAN("x"), sig);
        assert_true(nettle_takes(x, SPAN("x"), sig) == (i == 0));
        assert_false(ed25519_check(x, SPAN("x"), sig));
    }
}

/* Without cofactors: a key with a part of small order, which is not refused as a key, verifies one signature in eight. With
 * cofactors it would verify all, and two verifiers could differ. */
static void a_key_of_mixed_order_is_judged_as_before(void **state UNUSED)
{
    struct hex seed = hex(SEED), torsion = hex(TORSION);
    uint8_t x[32], mixed[32], a[32], nonce[32], sig[64], h[32], ha[32];
    int taken = 0;

    assert_int_equal(ed25519_public_of(seed.bytes, x), ST_OK);
    assert_int_equal(crypto_core_ed25519_add(mixed, x, torsion.bytes), 0);
    assert_true(ed25519_acceptable(mixed));
    scalar_of(seed.bytes, a);
    crypto_core_ed25519_scalar_random(nonce);
    assert_int_equal(crypto_scalarmult_ed25519_base_noclamp(sig, nonce), 0);
    for (uint8_t i = 0; i < 80; i++) {
        struct span data = span_of(&i, 1);

        challenge(sig, mixed, data, h);
        crypto_core_ed25519_scalar_mul(ha, h, a);
        crypto_core_ed25519_scalar_add(sig + 32, nonce, ha);
        assert_true(ed25519_check(mixed, data, sig) == nettle_takes(mixed, data, sig));
        assert_true(ed25519_check(mixed, data, sig) == (h[0] % 8 == 0));
        taken += ed25519_check(mixed, data, sig);
    }
    assert_in_range(taken, 1, 79);
}

static void damaged_ed25519_signatures_and_keys_are_judged_as_before(void **state UNUSED)
{
    struct hex seed = hex(SEED);
    uint8_t x[32], sig[64], theirs[64];
    struct span data = SPAN("claims of a token");

    assert_int_equal(ed25519_public_of(seed.bytes, x), ST_OK);
    ed25519_sign(seed.bytes, x, data, sig);
    ed25519_sha512_sign(x, seed.bytes, data.len, data.p, theirs);
    assert_memory_equal(sig, theirs, sizeof sig);
    for (size_t bit = 0; bit < 8 * sizeof sig; bit++) {
        sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(ed25519_check(x, data, sig));
        assert_false(nettle_takes(x, data, sig));
        sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof x; bit++) { /* half of these are no points at all */
        x[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(ed25519_check(x, data, sig));
        assert_false(nettle_takes(x, data, sig));
        x[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(ed25519_check(x, data, sig));
}

/* -- P-256 --------------------------------------------------------------------------------------------------- */

static bool gnutls_takes(const uint8_t x[32], const uint8_t y[32], const uint8_t digest[32],
                         const uint8_t sig[64])
{
    gnutls_datum_t xd = { (unsigned char *)(uintptr_t)x, 32 }, yd = { (unsigned char *)(uintptr_t)y, 32 };
    gnutls_datum_t hash = { (unsigned char *)(uintptr_t)digest, 32 }, der;
    gnutls_datum_t r = { (unsigned char *)(uintptr_t)sig, 32 },
                   s = { (unsigned char *)(uintptr_t)sig + 32, 32 };
    gnutls_pubkey_t key;

    assert_int_equal(gnutls_pubkey_init(&key), 0);
    assert_int_equal(gnutls_pubkey_import_ecc_raw(key, GNUTLS_ECC_CURVE_SECP256R1, &xd, &yd), 0);
    assert_int_equal(gnutls_encode_rs_value(&der, &r, &s), 0);
    bool good = gnutls_pubkey_verify_hash2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, &hash, &der) >= 0;
    gnutls_free(der.data);
    gnutls_pubkey_deinit(key);
    return good;
}

static void judge_p256(const char *digest, const char *r, const char *s, bool good, bool theirs)
{
    struct hex x = hex(BASE_X), y = hex(BASE_Y), hash = hex(digest), rb = hex(r), sb = hex(s);
    uint8_t sig[64];

    memcpy(sig, rb.bytes, 32);
    memcpy(sig + 32, sb.bytes, 32);
    assert_int_equal(p256_check(x.bytes, y.bytes, hash.bytes, sig), good ? ST_OK : ST_BAD_CREDENTIAL);
    assert_int_equal(gnutls_takes(x.bytes, y.bytes, hash.bytes, sig), theirs);
}

/* FIPS 186-4 6.4.2, with the key of d = 1 and signatures made by hand, so that the sums inside come out as the base point
 * twice, and as nothing. */
static void exceptional_sums_of_es256_are_judged_as_before(void **state UNUSED)
{
    static const char twice_x[] = "d62fa3e5c258848ff179cdcac74881e4ee06fb025bd66741e942728bb131852c"; /* 2 x */
    static const char zero[] = "0000000000000000000000000000000000000000000000000000000000000000";
    static const char one[] = "0000000000000000000000000000000000000000000000000000000000000001";
    struct hex base = hex(BASE_X);
    uint8_t opposite[32];
    char text[65];

    /* G/2 + G/2 = G is right. nettle cannot add a point to itself (which comes up once in 2^256) and says no. */
    judge_p256(BASE_X, BASE_X, twice_x, true, false);
    judge_p256(BASE_X, BASE_X, BASE_X, false, false); /* G + G, whose x is another */
    judge_p256(BASE_X, BASE_X, one, false, false);
    p256_negate(base.bytes, opposite); /* a digest with which the sum is the point at infinity, whatever s */
    for (size_t i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", opposite[i]);
    judge_p256(text, BASE_X, twice_x, false, false);
    judge_p256(text, BASE_X, one, false, false);
    judge_p256(zero, BASE_X, BASE_X, true, true); /* 0 + G */
    judge_p256("ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", BASE_X, BASE_X, false,
               false);
}

static void damaged_es256_signatures_are_judged_as_before(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    uint8_t digest[32], sig[64];

    assert_int_equal(key_generate(KEY_P256, &key), ST_OK);
    assert_int_equal(random_bytes(digest, sizeof digest), ST_OK);
    assert_int_equal(sig_make_of_digest(key, digest, sig), ST_OK);
    const uint8_t *x = key_x(key).p, *y = key_y(key).p;
    assert_int_equal(p256_check(x, y, digest, sig), ST_OK);
    assert_true(gnutls_takes(x, y, digest, sig));
    for (size_t bit = 0; bit < 8 * sizeof sig; bit += 3) {
        sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(p256_check(x, y, digest, sig), ST_BAD_CREDENTIAL);
        sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    digest[31] ^= 1;
    assert_int_equal(p256_check(x, y, digest, sig), ST_BAD_CREDENTIAL);
}

static void only_p256_keys_sign_digests(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *ed = NULL, *ec = NULL, *ec_public = NULL;
    uint8_t digest[SHA256_LEN] = { 1 }, sig[SIG_MAX];

    assert_int_equal(key_generate(KEY_ED25519, &ed), ST_OK);
    assert_int_equal(key_generate(KEY_P256, &ec), ST_OK);
    assert_int_equal(key_public(ec, &ec_public), ST_OK);
    assert_int_equal(sig_make_of_digest(ed, digest, sig), ST_UNSUPPORTED);
    assert_int_equal(sig_make_of_digest(ec_public, digest, sig), ST_UNSUPPORTED);
    assert_int_equal(sha256(SPAN("data"), digest), ST_OK);
    assert_int_equal(sig_make_of_digest(ec, digest, sig), ST_OK);
    assert_int_equal(sig_check(ec_public, SIG_ES256, SPAN("data"), span_of(sig, 64), NULL), ST_OK);
}

static void the_order_of_p256_bounds_its_numbers(void **state UNUSED)
{
    static const struct {
        const char *v;
        bool in;
    } rows[] = {
        { "0000000000000000000000000000000000000000000000000000000000000000", false },
        { "0000000000000000000000000000000000000000000000000000000000000001", true },
        { "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550", true }, /* n - 1 */
        { "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", false },
        { "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552", false },
        { "fffffffeffffffffffffffffffffffffffffffffffffffffffffffffffffffff", true },
        { "ffffffff00000001000000000000000000000000000000000000000000000000", false },
        { "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct hex v = hex(rows[i].v);
        assert_true(p256_in_order(v.bytes) == rows[i].in); /* TK-59 */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ed25519_signature_whose_r_has_small_order_is_refused),
        cmocka_unit_test(a_key_of_mixed_order_is_judged_as_before),
        cmocka_unit_test(damaged_ed25519_signatures_and_keys_are_judged_as_before),
        cmocka_unit_test(exceptional_sums_of_es256_are_judged_as_before),
        cmocka_unit_test(damaged_es256_signatures_are_judged_as_before),
        cmocka_unit_test(only_p256_keys_sign_digests),
        cmocka_unit_test(the_order_of_p256_bounds_its_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
