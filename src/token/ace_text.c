/* Tokens and key identifiers, which are bytes in CBOR, as the text JSON needs. */
#include "token/ace_cbor_priv.h"

#include "base/utf8.h"
#include "codec/base64.h"

#define TOKEN_BYTES_MAX 65536

bool ace_is_text(struct span bytes)
{
    return utf8_valid(bytes) && (bytes.len == 0 || memchr(bytes.p, 0, bytes.len) == NULL);
}

/* ---- tokens ---- */

/* The CWT tag, or that of a COSE message (TK-10). No ASCII text begins so. */
static bool is_cwt(struct span bytes)
{
    static const uint8_t long_tags[] = { 61, 96, 97, 98 };

    if (bytes.len < 2)
        return false;
    if (bytes.p[0] >= 0xd0 && bytes.p[0] <= 0xd2) /* tags 16, 17, 18; an array follows */
        return bytes.p[1] >> 5 == 4;
    return bytes.p[0] == 0xd8 && memchr(long_tags, bytes.p[1], sizeof long_tags) != NULL;
}

enum status ace_token_bytes(struct span text, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf bytes;

    buf_init(&bytes, TOKEN_BYTES_MAX);
    if (base64url_decode(text, &bytes, NULL) == ST_NO_MEMORY)
        return ST_NO_MEMORY;
    if (buf_ok(&bytes) && is_cwt(buf_span(&bytes)))
        put_bytes(out, buf_span(&bytes));
    else
        put_bytes(out, text);
    return buf_status(out);
}

/* RFC 6749 A.12: VSCHAR only. */
static bool is_token_text(struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        if (bytes.p[i] < 0x20 || bytes.p[i] > 0x7e)
            return false;
    return true;
}

enum status ace_token_text(struct span token, struct buf *out)
{
    if (is_cwt(token))
        base64url_encode(token, out);
    else if (is_token_text(token))
        put_bytes(out, token);
    else
        return ST_MALFORMED;
    return buf_status(out);
}

/* ---- key identifiers ---- */

#define KID_PREFIX "base64url:"

enum status ace_kid_bytes(struct span text, struct buf *out)
{
    struct span rest = span_cut(text, sizeof KID_PREFIX - 1, text.len);

    if (!span_starts_with(text, SPAN(KID_PREFIX)) ||
        (base64url_decode(rest, out, NULL) != ST_OK && buf_ok(out)))
        put_bytes(out, text);
    return buf_status(out);
}

enum status ace_kid_text(struct span kid, struct buf *out)
{
    if (ace_is_text(kid) && !span_starts_with(kid, SPAN(KID_PREFIX))) {
        put_bytes(out, kid);
    } else {
        put_str(out, KID_PREFIX);
        base64url_encode(kid, out);
    }
    return buf_status(out);
}
