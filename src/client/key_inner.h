/* client/key_inner.h - the key inside a public handle, for programs of this repository that make proofs themselves (the
 * load generator, the doctor). The handle is the same object under another name: no reference is added. */
#ifndef SYMBOLON_CLIENT_KEY_INNER_H
#define SYMBOLON_CLIENT_KEY_INNER_H

#include "crypto/key.h"
#include "symbolon/key.h"

static inline const struct key *key_inside(const struct symbolon_key *key)
{
    return (const struct key *)(const void *)key;
}

#endif
