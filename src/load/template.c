#include "load/template.h"

bool template_valid(const char *pattern, bool client_id)
{
    for (const char *at = strchr(pattern, '%'); at != NULL; at = strchr(at + 2, '%'))
        if (at[1] != 'i' && at[1] != '%' && !(client_id && at[1] == 'c'))
            return false;
    return true;
}

void template_expand(const char *pattern, size_t number, const char *client_id, struct buf *out)
{
    for (;;) {
        size_t plain = strcspn(pattern, "%");

        put_bytes(out, span_of(pattern, plain));
        pattern += plain;
        if (*pattern == '\0')
            return;
        if (pattern[1] == 'i')
            put_fmt(out, "%zu", number);
        else if (pattern[1] == 'c' && client_id != NULL)
            put_str(out, client_id);
        else
            put_u8(out, '%');
        pattern += pattern[1] == '\0' ? 1 : 2;
    }
}
