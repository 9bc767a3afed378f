#include "codec/base64.h"

/* clang-format off */
static const char url_alphabet[64]      = { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" };
static const char standard_alphabet[64] = { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" };
/* clang-format on */

size_t base64url_len(size_t data_len)
{
    return data_len / 3 * 4 + (data_len % 3 == 0 ? 0 : data_len % 3 + 1);
}

static void encode(const char alphabet[64], bool pad, struct span data, struct buf *out)
{
    size_t len = pad ? (data.len + 2) / 3 * 4 : base64url_len(data.len);
    uint8_t *to = buf_room(out, len);
    size_t at = 0;

    if (to == NULL)
        return;
    for (size_t i = 0; i < data.len; i += 3) {
        size_t n = data.len - i < 3 ? data.len - i : 3;
        uint32_t v = (uint32_t)data.p[i] << 16 | (n > 1 ? (uint32_t)data.p[i + 1] << 8 : 0) |
                     (n > 2 ? (uint32_t)data.p[i + 2] : 0);
        for (size_t k = 0; k <= n; k++)
            to[at++] = (uint8_t)alphabet[v >> (18 - 6 * k) & 63];
        for (size_t k = n; pad && k < 3; k++)
            to[at++] = '=';
    }
    buf_added(out, len);
}

void base64url_encode(struct span data, struct buf *out)
{
    encode(url_alphabet, false, data, out);
}

void base64_encode(struct span data, struct buf *out)
{
    encode(standard_alphabet, true, data, out);
}

/* clang-format off */
/* One more than the value of each character that both alphabets have, and of the two that only one has; 0: not in it. */
#define COMMON \
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,  ['I'] = 9,  \
    ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, \
    ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26,             \
    ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, \
    ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, \
    ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52,             \
    ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, \
    ['9'] = 62
static const uint8_t url_values[256]      = { COMMON, ['-'] = 63, ['_'] = 64 };
static const uint8_t standard_values[256] = { COMMON, ['+'] = 63, ['/'] = 64 };
/* clang-format on */

/* `text` without padding. */
static enum status decode(struct span text, const uint8_t values[256], struct buf *out, struct why *why)
{
    size_t rest = text.len % 4; /* characters of the last, short group: 2 carry one byte, 3 carry two */
    size_t len = text.len / 4 * 3 + (rest == 0 ? 0 : rest - 1);
    size_t at = 0, i;
    uint32_t v = 0;

    if (rest == 1)
        return reject(why, ST_MALFORMED, "TK-51", "not a length Base64 can have", text.len);
    uint8_t *to = buf_room(out, len);
    if (to == NULL && len > 0)
        return buf_refuse(out, "decodes to more than allowed", why);
    for (i = 0; i + 4 <= text.len; i += 4) {
        uint32_t a = values[text.p[i]], b = values[text.p[i + 1]], c = values[text.p[i + 2]],
                 d = values[text.p[i + 3]];
        if (a == 0 || b == 0 || c == 0 || d == 0)
            break; /* the loop below says which */
        v = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
        to[at++] = (uint8_t)(v >> 16);
        to[at++] = (uint8_t)(v >> 8);
        to[at++] = (uint8_t)v;
    }
    v = 0;
    for (; i < text.len; i++) {
        uint32_t six = values[text.p[i]];
        if (six == 0)
            return reject(why, ST_MALFORMED, "TK-51", "a character outside the Base64 alphabet", i);
        v = v << 6 | (six - 1);
    }
    if ((rest == 2 && (v & 0x0f) != 0) || (rest == 3 && (v & 0x03) != 0))
        return reject(why, ST_MALFORMED, "TK-51", "bits set behind the last byte", text.len - 1);
    if (rest == 2)
        to[at++] = (uint8_t)(v >> 4);
    if (rest == 3) {
        to[at++] = (uint8_t)(v >> 10);
        to[at++] = (uint8_t)(v >> 2);
    }
    ASSERT(at == len);
    buf_added(out, len);
    return ST_OK;
}

enum status base64url_decode(struct span text, struct buf *out, struct why *why)
{
    return decode(text, url_values, out, why);
}

enum status base64_decode(struct span text, struct buf *out, struct why *why)
{
    if (text.len % 4 != 0)
        return reject(why, ST_MALFORMED, "RFC 4648 4", "padding missing", text.len);
    if (text.len > 0 && text.p[text.len - 1] == '=')
        text.len -= text.p[text.len - 2] == '=' ? 2 : 1;
    return decode(text, standard_values, out, why);
}

bool base64url_decode_exactly(struct span text, uint8_t *out, size_t len)
{
    struct buf fixed = { .p = out, .cap = len, .max = len };

    return base64url_decode(text, &fixed, NULL) == ST_OK && fixed.len == len;
}
