#include "as/status_print.h"

#include "codec/base64.h"
#include "codec/cbor.h"

/* A comma, unless the value is the first one or stands behind its name. */
static void separate(struct printer *p)
{
    const struct buf *b = p->out;
    bool first = b->len == 0 || b->p[b->len - 1] == '[' || b->p[b->len - 1] == '{' || b->p[b->len - 1] == ':';

    if (!p->cbor && !first)
        put_u8(p->out, ',');
}

static void enter(struct printer *p, bool is_map)
{
    ASSERT(p->depth < PRINT_DEPTH_MAX);
    p->is_map[p->depth++] = is_map;
}

void print_map(struct printer *p, size_t pairs)
{
    separate(p);
    enter(p, true);
    if (p->cbor)
        cb_put_map(p->out, pairs);
    else
        put_u8(p->out, '{');
}

void print_array(struct printer *p, size_t items)
{
    separate(p);
    enter(p, false);
    if (p->cbor)
        cb_put_array(p->out, items);
    else
        put_u8(p->out, '[');
}

void print_end(struct printer *p)
{
    ASSERT(p->depth > 0);
    p->depth--;
    if (!p->cbor)
        put_u8(p->out, p->is_map[p->depth] ? '}' : ']');
}

void print_name(struct printer *p, const char *name, int64_t key)
{
    separate(p);
    if (p->cbor)
        cb_put_int(p->out, key);
    else
        put_fmt(p->out, "\"%s\":", name);
}

void print_number(struct printer *p, int64_t v)
{
    separate(p);
    if (p->cbor)
        cb_put_int(p->out, v);
    else
        put_fmt(p->out, "%lld", (long long)v);
}

void print_text(struct printer *p, const char *plain)
{
    separate(p);
    if (p->cbor)
        cb_put_text(p->out, span_of_str(plain));
    else
        put_fmt(p->out, "\"%s\"", plain);
}

void print_bytes(struct printer *p, struct span bytes)
{
    separate(p);
    if (p->cbor) {
        cb_put_bytes(p->out, bytes);
        return;
    }
    put_u8(p->out, '"');
    base64url_encode(bytes, p->out);
    put_u8(p->out, '"');
}

void print_bool(struct printer *p, bool v)
{
    separate(p);
    if (p->cbor)
        cb_put_bool(p->out, v);
    else
        put_str(p->out, v ? "true" : "false");
}

void print_null(struct printer *p)
{
    separate(p);
    if (p->cbor)
        cb_put_null(p->out);
    else
        put_str(p->out, "null");
}
