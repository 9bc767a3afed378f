/* AES-GCM against the NIST submission's cases, AES-CCM against RFC 3610 and NIST, AES-CBC-HMAC against RFC 7518 B.1, key wrap against RFC 3394 4;
 * and that every changed bit is refused. */
#include "crypto/aead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "crypto/test_hex.h"

struct row {
    enum aead_alg alg;
    const char *key, *nonce, *aad, *plain, *sealed, *tag;
};

#define GCM_PLAIN                                                                                  \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6" \
    "b525b16aedf5aa0de657ba637b39"
#define CBC_PLAIN                                                                                            \
    "41206369706865722073797374656d206d757374206e6f7420626520726571756972656420746f206265207365637265742c20" \
    "616e64206974206d7573742062652061626c6520746f2066616c6c20696e746f207468652068616e6473206f66207468652065" \
    "6e656d7920776974686f757420696e636f6e76656e69656e6365"
#define CBC_SEALED                                                                                           \
    "c80edfa32ddf39d5ef00c0b468834279a2e46a1b8049f792f76bfe54b903a9c9a94ac9b47ad2655c5f10f9aef71427e2fc6f9b" \
    "3f399a221489f16362c703233609d45ac69864e3321cf82935ac4096c86e133314c54019e8ca7980dfa4b9cf1b384c486f3a54" \
    "c51078158ee5d79de59fbd34d848b3d69550a67646344427ade54b8851ffb598f7f80074b9473c82e2db"

/* clang-format off */
static const struct row rows[] = {
    { AEAD_AES128_GCM, "00000000000000000000000000000000", "000000000000000000000000", "", "", "",
      "58e2fccefa7e3061367f1d57a4e7455a" },                                      /* GCM test case 1 */
    { AEAD_AES128_GCM, "00000000000000000000000000000000", "000000000000000000000000", "",
      "00000000000000000000000000000000", "0388dace60b6a392f328c2b971b2fe78",
      "ab6e47d42cec13bdf53a67b21257bddf" },                                      /* GCM test case 2 */
    { AEAD_AES128_GCM, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
      "feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_PLAIN,
      "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b39"
      "6a0aac973d58e091", "5bc94fbc3221a5db94fae95ae7121a47" },                  /* GCM test case 4 */
    { AEAD_AES256_GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
      "feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_PLAIN,
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e63"
      "93ba7a0abcc9f662", "76fc6ece0f4e1768cddf8853bb2d551b" },                  /* GCM test case 16 */
    { AEAD_AES128_CBC_HS256, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
      "1af38c2dc2b96ffdd86694092341bc04",
      "546865207365636f6e64207072696e6369706c65206f662041756775737465204b6572636b686f666673",
      CBC_PLAIN, CBC_SEALED, "652c3fa36b0a7c5b3219fab3a30bc1c4" },               /* RFC 7518 B.1 */
    { AEAD_AES128_CCM_8, "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf", "00000003020100a0a1a2a3a4a5", "0001020304050607",
      "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e", "588c979a61c663d2f066d0c2c0f989806d5f6b61dac384",
      "17e8d12cfdf926e0" },                                                      /* RFC 3610 8, packet vector 1 */
    { AEAD_AES128_CCM, "d24a3d3dde8c84830280cb87abad0bb3", "f1100035bb24a8d26004e0e24b", "",
      "7c86135ed9c2a515aaae0e9a208133897269220f30870006", "1faeb0ee2ca2cd52f0aa3966578344f24e69b742c4ab37ab",
      "1123301219c70599b7c373ad4b3ad67b" },                                      /* NIST CAVP VADT128, Alen 0 */
};
/* clang-format on */

static void sealing_gives_the_published_bytes(void **state UNUSED)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct hex key = hex(rows[i].key), nonce = hex(rows[i].nonce), aad = hex(rows[i].aad);
        struct hex plain = hex(rows[i].plain);
        CLEANUP(buf_done)
        struct buf out;
        uint8_t tag[AEAD_TAG_LEN];

        buf_init(&out, 4096);
        assert_int_equal(key.len, aead_key_len(rows[i].alg));
        assert_int_equal(nonce.len, aead_nonce_len(rows[i].alg));
        assert_int_equal(aead_seal(rows[i].alg, hex_span(&key), hex_span(&nonce), hex_span(&aad),
                                   hex_span(&plain), &out, tag),
                         ST_OK);
        assert_hex_equal(out.p, out.len, rows[i].sealed);
        assert_hex_equal(tag, strlen(rows[i].tag) / 2, rows[i].tag);
    }
}

static enum status open_row(const struct row *row, const struct hex *sealed, const struct hex *tag,
                            const struct hex *aad, struct buf *out)
{
    struct hex key = hex(row->key), nonce = hex(row->nonce);
    return aead_open(row->alg, hex_span(&key), hex_span(&nonce), hex_span(aad), hex_span(sealed), hex_span(tag),
                     out, NULL);
}

static void opening_gives_the_text_back_and_refuses_every_change(void **state UNUSED)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct hex sealed = hex(rows[i].sealed), tag = hex(rows[i].tag), aad = hex(rows[i].aad);
        CLEANUP(buf_done)
        struct buf out;

        buf_init(&out, 4096);
        assert_int_equal(open_row(&rows[i], &sealed, &tag, &aad, &out), ST_OK);
        assert_hex_equal(out.p, out.len, rows[i].plain);
        buf_reset(&out);
        for (size_t k = 0; k < tag.len; k++) {
            tag.bytes[k] ^= 1;
            assert_int_equal(open_row(&rows[i], &sealed, &tag, &aad, &out), ST_BAD_CREDENTIAL);
            tag.bytes[k] ^= 1;
        }
        for (size_t k = 0; k < sealed.len; k++) {
            sealed.bytes[k] ^= 0x80;
            assert_int_equal(open_row(&rows[i], &sealed, &tag, &aad, &out), ST_BAD_CREDENTIAL);
            sealed.bytes[k] ^= 0x80;
        }
        aad.bytes[aad.len++] = 0;
        assert_int_equal(open_row(&rows[i], &sealed, &tag, &aad, &out), ST_BAD_CREDENTIAL);
        assert_int_equal(out.len, 0);
    }
}

static void opening_refuses_tags_and_nonces_of_the_wrong_length(void **state UNUSED)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct hex key = hex(rows[i].key), nonce = hex(rows[i].nonce), sealed = hex(rows[i].sealed);
        struct hex tag = hex(rows[i].tag);
        CLEANUP(buf_done)
        struct buf out;
        struct why why;

        buf_init(&out, 4096);
        for (size_t len = 0; len <= AEAD_TAG_LEN + 1; len++) { /* TK-62, TK-63: empty, truncated, too long */
            if (len == tag.len)
                continue;
            assert_int_equal(aead_open(rows[i].alg, hex_span(&key), hex_span(&nonce), SPAN_NONE,
                                       hex_span(&sealed), span_of(tag.bytes, len), &out, &why),
                             ST_MALFORMED);
            assert_string_equal(why.clause, "TK-62");
        }
        assert_int_equal(aead_open(rows[i].alg, hex_span(&key), span_of(nonce.bytes, nonce.len - 1), SPAN_NONE,
                                   hex_span(&sealed), hex_span(&tag), &out, &why),
                         ST_MALFORMED);
    }
}

static void cbc_refuses_text_that_is_not_whole_blocks(void **state UNUSED)
{
    struct hex sealed = hex(rows[4].sealed), tag = hex(rows[4].tag), aad = hex(rows[4].aad);
    CLEANUP(buf_done)
    struct buf out;

    buf_init(&out, 4096);
    sealed.len -= 1;
    assert_int_equal(open_row(&rows[4], &sealed, &tag, &aad, &out), ST_MALFORMED); /* RFC 7518 5.2.2.2 */
    sealed.len = 0;
    assert_int_equal(open_row(&rows[4], &sealed, &tag, &aad, &out), ST_MALFORMED);
}

static void opening_stays_inside_the_limit_of_the_buffer(void **state UNUSED)
{
    for (size_t i = 1; i < COUNT_OF(rows); i++) {
        struct hex sealed = hex(rows[i].sealed), tag = hex(rows[i].tag), aad = hex(rows[i].aad);
        CLEANUP(buf_done)
        struct buf out;

        buf_init(&out, 8);
        assert_int_equal(open_row(&rows[i], &sealed, &tag, &aad, &out), ST_TOO_LARGE);
    }
}

static const struct {
    const char *kek, *key, *wrapped;
} wraps[] = {
    { "000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
      "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5" }, /* RFC 3394 4.1 */
    { "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "00112233445566778899aabbccddeeff",
      "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7" }, /* 4.3 */
    { "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
      "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
      "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21" }, /* 4.6 */
};

static void key_wrap_gives_the_rfc_3394_bytes_and_refuses_every_change(void **state UNUSED)
{
    for (size_t i = 0; i < COUNT_OF(wraps); i++) {
        struct hex kek = hex(wraps[i].kek), key = hex(wraps[i].key), wrapped = hex(wraps[i].wrapped);
        CLEANUP(buf_done)
        struct buf out, back;

        buf_init(&out, 128);
        buf_init(&back, 128);
        assert_int_equal(keywrap_wrap(hex_span(&kek), hex_span(&key), &out), ST_OK);
        assert_hex_equal(out.p, out.len, wraps[i].wrapped);
        assert_int_equal(keywrap_unwrap(hex_span(&kek), buf_span(&out), &back, NULL), ST_OK);
        assert_hex_equal(back.p, back.len, wraps[i].key);
        buf_reset(&back);
        for (size_t k = 0; k < wrapped.len; k++) {
            wrapped.bytes[k] ^= 4;
            assert_int_equal(keywrap_unwrap(hex_span(&kek), hex_span(&wrapped), &back, NULL),
                             ST_BAD_CREDENTIAL);
            wrapped.bytes[k] ^= 4;
        }
        assert_int_equal(back.len, 0);
    }
}

static void key_wrap_refuses_lengths_no_wrapping_has(void **state UNUSED)
{
    struct hex kek = hex(wraps[0].kek);
    uint8_t bytes[128] = { 0 };
    CLEANUP(buf_done)
    struct buf out;

    buf_init(&out, 128);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        bool possible = len >= 24 && len <= KEYWRAP_MAX + KEYWRAP_GROWTH && len % 8 == 0; /* RFC 3394 2.2.2 */
        assert_int_equal(keywrap_unwrap(hex_span(&kek), span_of(bytes, len), &out, NULL),
                         possible ? ST_BAD_CREDENTIAL : ST_MALFORMED);
    }
    assert_int_equal(keywrap_unwrap(span_of(bytes, 24), span_of(bytes, 24), &out, NULL), ST_UNSUPPORTED);
    assert_int_equal(keywrap_wrap(span_of(bytes, 15), span_of(bytes, 16), &out), ST_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealing_gives_the_published_bytes),
        cmocka_unit_test(opening_gives_the_text_back_and_refuses_every_change),
        cmocka_unit_test(opening_refuses_tags_and_nonces_of_the_wrong_length),
        cmocka_unit_test(cbc_refuses_text_that_is_not_whole_blocks),
        cmocka_unit_test(opening_stays_inside_the_limit_of_the_buffer),
        cmocka_unit_test(key_wrap_gives_the_rfc_3394_bytes_and_refuses_every_change),
        cmocka_unit_test(key_wrap_refuses_lengths_no_wrapping_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
