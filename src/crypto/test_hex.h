/* crypto/test_hex.h - published vectors are printed in hex. For tests only. */
#ifndef SYMBOLON_CRYPTO_TEST_HEX_H
#define SYMBOLON_CRYPTO_TEST_HEX_H

#include "base/span.h"

struct hex {
    uint8_t bytes[1024];
    size_t len;
};

static inline uint8_t hex_digit(char c)
{
    ASSERT((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static inline struct hex hex(const char *text)
{
    struct hex h = { .len = strlen(text) / 2 };
    ASSERT(strlen(text) % 2 == 0 && h.len <= sizeof h.bytes);
    for (size_t i = 0; i < h.len; i++)
        h.bytes[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    return h;
}

static inline struct span hex_span(const struct hex *h)
{
    return span_of(h->bytes, h->len);
}

#define assert_hex_equal(p, n, text)                  \
    do {                                              \
        struct hex expected_ = hex(text);             \
        assert_int_equal((n), expected_.len);         \
        assert_memory_equal((p), expected_.bytes, n); \
    } while (0)

#endif
