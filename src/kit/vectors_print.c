#include "kit/vectors_priv.h"

#include <stdio.h>
#include <stdlib.h>

static int problems;

int vectors_problems(void)
{
    return problems;
}

void must(bool ok, const char *what)
{
    if (!ok)
        problems++, fprintf(stderr, "vectors: %s\n", what);
}

struct buf unhex(const char *text)
{
    struct buf b;

    buf_init(&b, 1u << 20);
    for (size_t i = 0; text[i] != '\0' && text[i + 1] != '\0'; i += 2) {
        char two[3] = { text[i], text[i + 1], '\0' };
        put_u8(&b, (uint8_t)strtoul(two, NULL, 16));
    }
    return b;
}

/* ---- printing: one row a line, so that a change can be read ---- */

void begin(struct out *o, const char *name)
{
    put_fmt(&o->b, "%s\"%s\": [\n", o->b.len < 4 ? "" : ",\n", name);
    o->first = true;
}

void end(struct out *o)
{
    put_str(&o->b, "\n]");
}

void row(struct out *o, const char *name)
{
    put_fmt(&o->b, "%s {\"name\": \"%s\"", o->first ? "" : ",\n", name);
    o->first = false;
}

void row_end(struct out *o)
{
    put_str(&o->b, "}");
}

void hex(struct out *o, const char *name, struct span s)
{
    put_fmt(&o->b, ", \"%s\": \"", name);
    for (size_t i = 0; i < s.len; i++)
        put_fmt(&o->b, "%02x", s.p[i]);
    put_str(&o->b, "\"");
}

/* Text without anything JSON would escape but quotes. */
void words(struct out *o, const char *name, struct span s)
{
    put_fmt(&o->b, ", \"%s\": \"", name);
    for (size_t i = 0; i < s.len; i++)
        put_fmt(&o->b, s.p[i] == '"' || s.p[i] == '\\' ? "\\%c" : "%c", s.p[i]);
    put_str(&o->b, "\"");
}

void hex_row(struct out *o, const char *name, struct span s)
{
    row(o, name);
    hex(o, "hex", s);
    row_end(o);
}
