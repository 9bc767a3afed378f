#include "failing_memory.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t len);
void *__real_calloc(size_t n, size_t len);
void *__real_realloc(void *p, size_t len);
void *__real_reallocarray(void *p, size_t n, size_t len);
void *__real_aligned_alloc(size_t to, size_t len);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t n, size_t len);
void *__wrap_realloc(void *p, size_t len);
void *__wrap_reallocarray(void *p, size_t n, size_t len);
void *__wrap_aligned_alloc(size_t to, size_t len);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t len);

/* Wrapped, malloc is not the one jansson began with, so codec/json.c would take that for somebody's own and leave it: in front
 * of its constructor, jansson is given ours. Weak: not every test has jansson. */
__attribute__((weak)) void json_set_alloc_funcs(void *(*allocate)(size_t), void (*release)(void *));

__attribute__((constructor(101))) static void give_jansson_ours(void)
{
    if (json_set_alloc_funcs != NULL)
        json_set_alloc_funcs(__wrap_malloc, free);
}

static _Thread_local long fail_at, made;
static _Thread_local bool counting, lasting;
static long last_made;

static bool fails(void)
{
    if (!counting)
        return false;
    made++;
    return made == fail_at || (lasting && fail_at != 0 && made > fail_at);
}

void *__wrap_malloc(size_t len)
{
    return fails() ? NULL : __real_malloc(len);
}

void *__wrap_calloc(size_t n, size_t len)
{
    return fails() ? NULL : __real_calloc(n, len);
}

void *__wrap_realloc(void *p, size_t len)
{
    return fails() ? NULL : __real_realloc(p, len);
}

void *__wrap_reallocarray(void *p, size_t n, size_t len)
{
    return fails() ? NULL : __real_reallocarray(p, n, len);
}

void *__wrap_aligned_alloc(size_t to, size_t len)
{
    return fails() ? NULL : __real_aligned_alloc(to, len);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t len)
{
    return fails() ? NULL : __real_strndup(s, len);
}

void failing_memory_begin(long n)
{
    made = 0;
    fail_at = n;
    counting = true;
    lasting = false;
}

void failing_memory_begin_lasting(long n)
{
    failing_memory_begin(n);
    lasting = true;
}

void failing_memory_pause(bool yes)
{
    counting = !yes;
}

long failing_memory_end(void)
{
    counting = false;
    fail_at = 0;
    last_made = made;
    return made;
}

long failing_memory_each(void (*run)(void *ctx, long n), void *ctx)
{
    long n = 0;

    do {
        last_made = 0;
        run(ctx, ++n);
    } while (last_made >= n);
    return n - 1;
}
