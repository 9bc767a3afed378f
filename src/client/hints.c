#include "token/hints.h"

#include "client/error_priv.h"
#include "client/url.h"
#include "codec/base64.h"
#include "symbolon/ace.h"

#include <stdlib.h>

static bool copy(struct span s, char **ret)
{
    if (s.p == NULL)
        return true;
    *ret = span_dup_str(s);
    return *ret != NULL;
}

static bool copy_base64url(struct span bytes, char **ret)
{
    struct buf text;
    size_t len;

    if (bytes.p == NULL)
        return true;
    buf_init(&text, HINTS_MAX_BYTES * 2);
    base64url_encode(bytes, &text);
    *ret = (char *)buf_take(&text, &len);
    return *ret != NULL;
}

enum symbolon_status symbolon_hints_parse(struct symbolon_bytes json, struct symbolon_hints *ret_hints,
                                          struct symbolon_error *error)
{
    CLEANUP(hints_done)
    struct hints hints = { 0 };
    struct symbolon_hints out = { 0 };
    struct url url;
    struct why why = { 0 };

    enum status st = hints_parse(span_of_bytes(json), &hints, &why);
    if (st == ST_OK)
        st = url_parse(hints.as, &url, &why);
    if (st != ST_OK)
        return error_from(error, st, &why);
    if (!copy(hints.as, &out.as_url) || !copy(hints.audience, &out.audience) ||
        !copy(hints.scope, &out.scope) || !copy_base64url(hints.cnonce, &out.cnonce)) {
        symbolon_hints_done(&out);
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    }
    *ret_hints = out;
    return SYMBOLON_OK;
}

void symbolon_hints_done(struct symbolon_hints *hints)
{
    free(hints->as_url);
    free(hints->audience);
    free(hints->scope);
    free(hints->cnonce);
    *hints = (struct symbolon_hints){ 0 };
}

bool symbolon_url_same_origin(const char *a, const char *b)
{
    struct url ua, ub;

    return url_parse(span_of_str(a), &ua, NULL) == ST_OK && url_parse(span_of_str(b), &ub, NULL) == ST_OK &&
           url_same_origin(&ua, &ub);
}
