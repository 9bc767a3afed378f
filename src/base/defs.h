/* base/defs.h - the whole dialect: CLEANUP, TAKE, ASSERT, and a few attributes.
 * ASSERT states what *we* promise and stays on in release builds; it never looks at unchecked input. What a
 * peer does wrong is an `enum status`. */
#ifndef SYMBOLON_BASE_DEFS_H
#define SYMBOLON_BASE_DEFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLEANUP(fn)                   __attribute__((cleanup(fn)))
#define PRINTF_LIKE(f, a)             __attribute__((format(printf, f, a)))
#define MUST_CHECK                    __attribute__((warn_unused_result))
#define UNUSED                        __attribute__((unused))
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))
#define COUNT_OF(a)                   (sizeof(a) / sizeof((a)[0]))
#define IN(x)                         (UINT32_C(1) << (x))

/* Hands a pointer out of a CLEANUP variable: its value, leaving NULL behind. */
#define TAKE(p)                     \
    ({                              \
        __typeof__(p) taken_ = (p); \
        (p) = NULL;                 \
        taken_;                     \
    })

#define ASSERT(cond) ((cond) ? (void)0 : assert_failed(#cond, __FILE__, __LINE__))
void assert_failed(const char *cond, const char *file, int line) __attribute__((noreturn, cold));

/* free() for CLEANUP: `CLEANUP(freep) char *s = NULL;` */
void freep(void *pointer_to_pointer);

#endif
