/* tests/support/failing_memory.h - every allocation our code makes is made to fail once, in turn.
 *
 *   static void try(void *ctx, long n) { ... failing_memory_begin(n); st = f(); failing_memory_end(); ... }
 *   met = failing_memory_each(try, ctx);
 *
 * Link with failing_memory.c and failing_memory_args (tests/meson.build). What jansson allocates for
 * us (codec/json.c) fails as well; other libraries have memory of their own. Threads: one at a time counts; the others are left alone. */
#ifndef SYMBOLON_TESTS_SUPPORT_FAILING_MEMORY_H
#define SYMBOLON_TESTS_SUPPORT_FAILING_MEMORY_H

#include <stdbool.h>

/* From now on this thread's allocations count, and the n-th fails; 0: none does. */
void failing_memory_begin(long n);
/* The n-th and all behind it. */
void failing_memory_begin_lasting(long n);
/* Counting stops for a while, and goes on where it was. */
void failing_memory_pause(bool yes);
/* Returns how many there were. */
long failing_memory_end(void);

/* Calls run() with the first allocation failing, then with the second, until there was none left to fail; returns how
 * many runs met a failure. run() says failing_memory_begin(n) and failing_memory_end() around what it tries. */
long failing_memory_each(void (*run)(void *ctx, long n), void *ctx);

#endif
