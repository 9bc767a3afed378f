#include "load/trouble.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void trouble_add(struct troubles *t, const char *fmt, ...)
{
    static const char others[] = "others";
    char text[TROUBLE_TEXT];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    utf8_tame(text); /* reason strings come from the other side */
    t->total++;
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->rows[i].text, text) == 0) {
            t->rows[i].times++;
            return;
        }
    size_t at = t->count < TROUBLE_ROWS ? t->count++ : TROUBLE_ROWS - 1;
    if (at == TROUBLE_ROWS - 1)
        (void)snprintf(text, sizeof text, "%s", others);
    memcpy(t->rows[at].text, text, sizeof text);
    t->rows[at].times++;
}
