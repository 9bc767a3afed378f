/* Keys: what is a key and what is refused, what each kind can be asked, and their files. */
#include "crypto/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "crypto/test_hex.h"

/* RFC 8037 A.1 = RFC 8032 7.1 test 1 */
#define ED_D "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
#define ED_X "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
/* RFC 7515 A.3 */
#define EC_D    "8e9b109e719098bf980487df1f5d77e9cb29606ebed2263b5f57c213df84f4b2"
#define EC_X    "7fcdce2770f6c45d4183cbee6fdb4b7b580733357be9ef13bacf6e3c7bd15445"
#define EC_Y    "c7f144cd1bbd9b7e872cdfedb9eeb9f4b3695d6ea90b24ad8a4623288588e5ad"
#define EC_N    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
#define EC_P    "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
#define ZERO    "0000000000000000000000000000000000000000000000000000000000000000"

#define ED_SPKI "302a300506032b6570032100"
#define EC_SPKI "3059301306072a8648ce3d020106082a8648ce3d030107034200"

static const char ed_private_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                                     "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                                     "-----END PRIVATE KEY-----\n";
static const char ed_public_pem[] = "-----BEGIN PUBLIC KEY-----\n"
                                    "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                                    "-----END PUBLIC KEY-----\n";
static const char ec_pkcs8_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                                   "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff\n"
                                   "H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp\n"
                                   "7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\n"
                                   "-----END PRIVATE KEY-----\n";
static const char ec_sec1_pem[] = "-----BEGIN EC PRIVATE KEY-----\n"
                                  "MHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\n"
                                  "AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b\n"
                                  "focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                                  "-----END EC PRIVATE KEY-----\n";
static const char ec_public_pem[] = "-----BEGIN PUBLIC KEY-----\n"
                                    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
                                    "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                                    "-----END PUBLIC KEY-----\n";
/* d = 1, that is 31 leading zero bytes */
static const char ec_small_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                                   "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAAAAAAAAAAAAAAAA\n"
                                   "AAAAAAAAAAAAAAAAAAAAAAAAAAGhRANCAARrF9Hy4SxCR/i85uVjpEDydwN9gS3r\n"
                                   "M6D0oTlF2JjClk/jQuL+Gn+bjufrSnwPnhYrzjNXazFezsu2QGg3v1H1\n"
                                   "-----END PRIVATE KEY-----\n";
static const char p384_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                               "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDB6eFGJEZkbSHgddTMn\n"
                               "VzLcdyj4iTHnxiB22LXetKgtsXIPwafb3ciWUQPXs+T/THWhZANiAAT4uFbZJ0tS\n"
                               "v5Pnox7KN8cqU4bdDhTQc50rOHebyMYEtg+r+ZFbnWFay86BILLqRoxfaTdOwnRB\n"
                               "rUxVDZasPuIEnBQPH92WE+Qvr2NKeW2vdZ6HC0JTTyz/MnzCJbtmwMI=\n"
                               "-----END PRIVATE KEY-----\n";

static enum status ed_public(const char *x, struct key **key, struct why *why)
{
    struct hex h = hex(x);
    return key_new_ed25519_public(hex_span(&h), key, why);
}

static enum status ed_private(const char *d, struct key **key)
{
    struct hex h = hex(d);
    return key_new_ed25519_private(hex_span(&h), key, NULL);
}

static enum status ec_public(const char *x, const char *y, struct key **key, struct why *why)
{
    struct hex hx = hex(x), hy = hex(y);
    return key_new_p256_public(hex_span(&hx), hex_span(&hy), key, why);
}

static enum status ec_private(const char *d, struct key **key)
{
    struct hex h = hex(d);
    return key_new_p256_private(hex_span(&h), key, NULL);
}

static void ed25519_public_part_follows_from_the_seed(void **state UNUSED)
{
    /* RFC 8032 7.1, tests 1, 2, 3 and "SHA(abc)" */
    static const char *const rows[][2] = {
        { ED_D, ED_X },
        { "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
          "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c" },
        { "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
          "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025" },
        { "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
          "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        assert_int_equal(ed_private(rows[i][0], &key), ST_OK);
        assert_hex_equal(key_x(key).p, key_x(key).len, rows[i][1]);
        assert_hex_equal(key_d(key).p, key_d(key).len, rows[i][0]);
        assert_int_equal(key_kind(key), KEY_ED25519);
        assert_true(key_is_private(key));
        assert_int_equal(key_y(key).len, 0);
        assert_int_equal(key_secret(key).len, 0);
    }
}

static void p256_public_part_follows_from_the_private_one(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;

    assert_int_equal(ec_private(EC_D, &key), ST_OK);
    assert_hex_equal(key_x(key).p, key_x(key).len, EC_X);
    assert_hex_equal(key_y(key).p, key_y(key).len, EC_Y);
}

static void p256_private_key_must_be_in_range(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;

    assert_int_equal(ec_private(ZERO, &key), ST_MALFORMED); /* RFC 7518 6.2.2.1 */
    assert_int_equal(ec_private(EC_N, &key), ST_MALFORMED);
    assert_int_equal(key_new_p256_private(span_of(EC_D, 31), &key, NULL), ST_MALFORMED);
    assert_null(key);
}

static void small_order_and_non_canonical_ed25519_keys_are_refused(void **state UNUSED)
{
    /* TK-60: the eight points of small order, then other spellings of y (RFC 8032 5.1.3) */
    static const char *const rows[] = {
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p */
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p + 1 */
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        struct why why;
        assert_int_equal(ed_public(rows[i], &key, &why), ST_MALFORMED);
        assert_string_equal(why.clause, "TK-60");
    }
}

static void points_off_the_curve_are_refused(void **state UNUSED)
{
    static const char *const rows[][2] = {
        { EC_X, EC_X }, { ZERO, ZERO }, { EC_P, EC_Y }, { EC_X, ZERO }, { EC_Y, EC_X }, { EC_P, EC_P },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        struct why why;
        assert_int_equal(ec_public(rows[i][0], rows[i][1], &key, &why), ST_MALFORMED);
        assert_string_equal(why.clause, "TK-61");
    }
}

static void keys_of_the_wrong_length_are_refused(void **state UNUSED)
{
    uint8_t bytes[KEY_SECRET_MAX + 1] = { 2 };
    CLEANUP(key_unrefp)
    struct key *key = NULL;

    for (size_t len = 0; len < 70; len++) {
        if (len == KEY_PART_LEN)
            continue;
        assert_int_equal(key_new_ed25519_public(span_of(bytes, len), &key, NULL), ST_MALFORMED);
        assert_int_equal(key_new_ed25519_private(span_of(bytes, len), &key, NULL), ST_MALFORMED);
        assert_int_equal(key_new_p256_public(span_of(bytes, len), span_of(bytes, 32), &key, NULL),
                         ST_MALFORMED);
        assert_int_equal(key_new_p256_public(span_of(bytes, 32), span_of(bytes, len), &key, NULL),
                         ST_MALFORMED);
        assert_int_equal(key_new_p256_private(span_of(bytes, len), &key, NULL), ST_MALFORMED);
    }
    assert_int_equal(key_new_secret(SPAN_NONE, &key, NULL), ST_MALFORMED);
    assert_int_equal(key_new_secret(span_of(bytes, sizeof bytes), &key, NULL), ST_MALFORMED);
    assert_null(key);
}

static void the_public_key_of_a_private_one_has_no_private_part(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_ED25519, KEY_P256 };
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL, *pub = NULL, *again = NULL;
        assert_int_equal(key_generate(kinds[i], &key), ST_OK);
        assert_int_equal(key_public(key, &pub), ST_OK);
        assert_false(key_is_private(pub));
        assert_int_equal(key_d(pub).len, 0);
        assert_true(key_same(key, pub));
        assert_int_equal(key_public(pub, &again), ST_OK);
        assert_ptr_equal(pub, again);
    }
}

static void a_secret_has_no_public_part(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL, *pub = NULL;
    CLEANUP(buf_done)
    struct buf out;

    buf_init(&out, 1024);
    assert_int_equal(key_generate(KEY_SECRET, &key), ST_OK);
    assert_int_equal(key_secret(key).len, KEY_SECRET_NEW_LEN);
    assert_true(key_is_private(key));
    assert_int_equal(key_x(key).len, 0);
    assert_int_equal(key_d(key).len, 0);
    assert_int_equal(key_public(key, &pub), ST_UNSUPPORTED);
    assert_int_equal(key_write_pem(key, true, &out), ST_UNSUPPORTED);
    assert_int_equal(key_write_spki(key, &out), ST_UNSUPPORTED);
}

static void keys_are_the_same_by_kind_and_public_part(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *a = NULL, *b = NULL, *c = NULL, *secret = NULL, *longer = NULL;

    assert_int_equal(ed_private(ED_D, &a), ST_OK);
    assert_int_equal(ed_public(ED_X, &b, NULL), ST_OK);
    assert_int_equal(ec_private(EC_D, &c), ST_OK);
    assert_int_equal(key_new_secret(key_x(a), &secret, NULL), ST_OK);
    assert_int_equal(key_new_secret(SPAN("x"), &longer, NULL), ST_OK);
    assert_true(key_same(a, b));
    assert_true(key_same(secret, secret));
    assert_false(key_same(a, c));
    assert_false(key_same(a, secret)); /* the same 32 bytes as another kind of key are another key: TK-41 */
    assert_false(key_same(secret, longer));
}

static void references_keep_a_key_alive(void **state UNUSED)
{
    struct key *key = NULL;
    assert_int_equal(ed_private(ED_D, &key), ST_OK);
    struct key *other = key_ref(key);
    key_unref(key);
    assert_hex_equal(key_x(other).p, key_x(other).len, ED_X);
    key_unref(other);
    key_unref(NULL);
}

static void spki_is_read_and_written(void **state UNUSED)
{
    static const char *const rows[] = { ED_SPKI ED_X, EC_SPKI "04" EC_X EC_Y };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        CLEANUP(buf_done)
        struct buf out;
        struct hex der = hex(rows[i]);

        buf_init(&out, 1024);
        assert_int_equal(key_read_spki(hex_span(&der), &key, NULL), ST_OK);
        assert_int_equal(key_write_spki(key, &out), ST_OK);
        assert_hex_equal(out.p, out.len, rows[i]);
    }
}

static void spki_of_another_form_is_refused(void **state UNUSED)
{
    static const char *const rows[] = {
        "",
        ED_SPKI,
        ED_SPKI ED_X "00",                   /* trailing byte */
        EC_SPKI "02" EC_X EC_Y,              /* not the uncompressed form */
        "302c300706032b65700500032100" ED_X, /* NULL parameters: RFC 8410 3 */
        "302a300506032b656e032100" ED_X,     /* X25519 */
        "3076301006072a8648ce3d020106052b81040022036200"
        "04" EC_X EC_Y EC_X, /* P-384 */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        struct hex der = hex(rows[i]);
        assert_int_equal(key_read_spki(hex_span(&der), &key, NULL), ST_UNSUPPORTED);
    }
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct hex off = hex(EC_SPKI "04" EC_X EC_X), small = hex(ED_SPKI ZERO);
    assert_int_equal(key_read_spki(hex_span(&off), &key, NULL), ST_MALFORMED);
    assert_int_equal(key_read_spki(hex_span(&small), &key, NULL), ST_MALFORMED);
}

static void pem_files_are_read(void **state UNUSED)
{
    static const struct {
        const char *pem;
        enum key_kind kind;
        bool is_private;
        const char *x;
    } rows[] = {
        { ed_private_pem, KEY_ED25519, true, ED_X },
        { ed_public_pem, KEY_ED25519, false, ED_X },
        { ec_pkcs8_pem, KEY_P256, true, EC_X },
        { ec_sec1_pem, KEY_P256, true, EC_X },
        { ec_public_pem, KEY_P256, false, EC_X },
        { ec_small_pem, KEY_P256, true, "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        assert_int_equal(key_read_pem(span_of_str(rows[i].pem), &key, NULL), ST_OK);
        assert_int_equal(key_kind(key), rows[i].kind);
        assert_int_equal(key_is_private(key), rows[i].is_private);
        assert_hex_equal(key_x(key).p, key_x(key).len, rows[i].x);
    }
}

static void pem_files_that_are_no_key_of_ours_are_refused(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;

    assert_int_equal(key_read_pem(span_of_str(p384_pem), &key, NULL), ST_UNSUPPORTED);
    assert_int_equal(key_read_pem(SPAN_NONE, &key, NULL), ST_MALFORMED);
    assert_int_equal(key_read_pem(SPAN("not a key"), &key, NULL), ST_MALFORMED);
    size_t body = (size_t)(strstr(ec_pkcs8_pem, "-----END") - ec_pkcs8_pem);
    for (size_t len = 0; len < body; len++)
        assert_int_not_equal(key_read_pem(span_of(ec_pkcs8_pem, len), &key, NULL), ST_OK);
    assert_null(key);
}

static void what_is_written_is_read_back(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_ED25519, KEY_P256 };
    for (size_t i = 0; i < 2 * COUNT_OF(kinds); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL, *back = NULL;
        CLEANUP(buf_wipe)
        struct buf pem;
        bool with_private = i % 2 == 1;

        buf_init(&pem, KEY_PEM_MAX);
        assert_int_equal(key_generate(kinds[i / 2], &key), ST_OK);
        assert_int_equal(key_write_pem(key, with_private, &pem), ST_OK);
        assert_int_equal(key_read_pem(buf_span(&pem), &back, NULL), ST_OK);
        assert_true(key_same(key, back));
        assert_int_equal(key_is_private(back), with_private);
        if (with_private)
            assert_true(span_eq(key_d(key), key_d(back)));
    }
}

static void a_public_key_cannot_be_written_as_private(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf pem;

    buf_init(&pem, KEY_PEM_MAX);
    assert_int_equal(ed_public(ED_X, &key, NULL), ST_OK);
    assert_int_equal(key_write_pem(key, true, &pem), ST_UNSUPPORTED);
    assert_int_equal(pem.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ed25519_public_part_follows_from_the_seed),
        cmocka_unit_test(p256_public_part_follows_from_the_private_one),
        cmocka_unit_test(p256_private_key_must_be_in_range),
        cmocka_unit_test(small_order_and_non_canonical_ed25519_keys_are_refused),
        cmocka_unit_test(points_off_the_curve_are_refused),
        cmocka_unit_test(keys_of_the_wrong_length_are_refused),
        cmocka_unit_test(the_public_key_of_a_private_one_has_no_private_part),
        cmocka_unit_test(a_secret_has_no_public_part),
        cmocka_unit_test(keys_are_the_same_by_kind_and_public_part),
        cmocka_unit_test(references_keep_a_key_alive),
        cmocka_unit_test(spki_is_read_and_written),
        cmocka_unit_test(spki_of_another_form_is_refused),
        cmocka_unit_test(pem_files_are_read),
        cmocka_unit_test(pem_files_that_are_no_key_of_ours_are_refused),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_public_key_cannot_be_written_as_private),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
