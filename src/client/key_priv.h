/* client/key_priv.h - the public key handle is our own key under another name, so no wrapper has to be counted. */
#ifndef SYMBOLON_CLIENT_KEY_PRIV_H
#define SYMBOLON_CLIENT_KEY_PRIV_H

#include "client/key_inner.h"

static inline struct symbolon_key *key_outside(struct key *key)
{
    return (struct symbolon_key *)(void *)key;
}

#endif
