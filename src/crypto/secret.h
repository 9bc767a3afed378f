/* crypto/secret.h - comparing and forgetting secrets (TK-68).
 * Threads: no state. */
#ifndef SYMBOLON_CRYPTO_SECRET_H
#define SYMBOLON_CRYPTO_SECRET_H

#include "base/span.h"

/* Time depends on the lengths only. Different lengths are different. */
bool secret_eq(struct span a, struct span b);

/* Zeroes memory in a way the compiler may not remove. */
void secret_wipe(void *p, size_t len);

#endif
