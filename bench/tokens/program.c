#include "program.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

double number(const char *text, double min, double max)
{
    char *end;
    double v = strtod(text, &end);

    if (end == text || *end != '\0' || v < min || v > max)
        die("%s: a number from %g to %g is wanted", text, min, max);
    return v;
}
