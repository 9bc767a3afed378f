#include "crypto/random.h"

#include <gnutls/crypto.h>

enum status random_bytes(void *p, size_t len)
{
    return gnutls_rnd(GNUTLS_RND_KEY, p, len) == 0 ? ST_OK : ST_INTERNAL;
}

enum status random_for_env(void *ctx UNUSED, void *p, size_t len)
{
    return random_bytes(p, len);
}
