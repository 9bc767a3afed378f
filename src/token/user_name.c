#include "token/user_name.h"

#include "codec/base64.h"
#include "token/auth_data.h"
#include "token/verifier.h"

bool user_name_is_ace(struct span user_name)
{
    return span_starts_with(user_name, SPAN(ACE_METHOD));
}

static bool contains_any(struct span s, const char *chars)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] != '\0' && strchr(chars, s.p[i]) != NULL)
            return true;
    return false;
}

static enum status as_it_is(struct span text, struct buf *out, struct why *why)
{
    put_bytes(out, text);
    return buf_ok(out) ? ST_OK : reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
}

/* base64url, if a token is inside. */
static enum status decoded_or_as_it_is(struct span text, struct buf *out, struct why *why)
{
    size_t start = out->len;
    enum status st = base64url_decode(text, out, NULL);

    if (st == ST_OK && token_form(span_cut(buf_span(out), start, SIZE_MAX)) != TOKEN_FORM_OTHER)
        return ST_OK;
    if (st != ST_OK && st != ST_MALFORMED)
        return reject(why, st, "RFC 9431 6.1", "the token does not fit", 0);
    out->len = start;
    return as_it_is(text, out, why);
}

enum status user_name_token(struct span user_name, struct buf *out, struct why *why)
{
    struct span text = span_cut(user_name, strlen(ACE_METHOD), SIZE_MAX);
    enum status st;

    ASSERT(user_name_is_ace(user_name));
    if (text.len == 0)
        return reject(why, ST_DENIED, "MT-125", "no token in the user name", 0);
    if (contains_any(text, "."))
        return as_it_is(text, out, why);
    if (!contains_any(text, "+/="))
        return decoded_or_as_it_is(text, out, why);
    st = base64_decode(text, out, NULL);
    if (st == ST_MALFORMED)
        return as_it_is(text, out, why);
    return st == ST_OK ? ST_OK : reject(why, st, "RFC 9431 6.1", "the token does not fit", 0);
}
