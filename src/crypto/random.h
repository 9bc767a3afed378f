/* crypto/random.h - bytes nobody can guess, from the library's generator (seeded by the kernel).
 * Threads: any. */
#ifndef SYMBOLON_CRYPTO_RANDOM_H
#define SYMBOLON_CRYPTO_RANDOM_H

#include "base/status.h"

/* ST_INTERNAL when the generator fails; the buffer then holds nothing to use. */
enum status random_bytes(void *p, size_t len) MUST_CHECK;

/* The same, shaped for `struct env.random`; ctx is not used. */
enum status random_for_env(void *ctx, void *p, size_t len) MUST_CHECK;

#endif
