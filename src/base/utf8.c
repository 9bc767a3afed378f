#include "base/utf8.h"

/* Length of the well-formed sequence at p (RFC 3629 section 4, its table row by row), or 0. */
static size_t sequence(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80, high = 0xbf; /* bounds of the second byte */
    size_t len;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        len = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        len = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0; /* overlong */
    else if (p[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (p[0] == 0xf0)
        low = 0x90; /* overlong */
    else if (p[0] == 0xf4)
        high = 0x8f; /* beyond U+10FFFF */
    if (left < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return len;
}

#define EACH_BYTE(b) (0x0101010101010101u * (b))

/* Eight bytes of ASCII, which nearly all text is; without a NUL unless that is allowed. */
static bool plain_word(const uint8_t *p, bool nul_allowed)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return (word & EACH_BYTE(0x80u)) == 0 &&
           (nul_allowed || ((word - EACH_BYTE(0x01u)) & ~word & EACH_BYTE(0x80u)) == 0);
}

static bool valid(struct span s, bool nul_allowed)
{
    for (size_t i = 0; i < s.len;) {
        if (s.len - i >= sizeof(uint64_t) && plain_word(s.p + i, nul_allowed)) {
            i += sizeof(uint64_t);
            continue;
        }
        if (s.p[i] == 0 && !nul_allowed)
            return false;
        size_t len = sequence(s.p + i, s.len - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

bool utf8_valid(struct span s)
{
    return valid(s, true);
}

bool utf8_valid_mqtt(struct span s)
{
    return valid(s, false);
}

void utf8_tame(char *text)
{
    bool valid = utf8_valid(span_of_str(text));

    for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++) {
        if (*at < 0x20 || *at == 0x7f || (*at >= 0x80 && !valid))
            *at = '?';
        else if (*at == 0xc2 && at[1] < 0xa0) /* U+0080 to U+009F */
            at[0] = at[1] = '?';
    }
}
