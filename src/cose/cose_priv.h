/* cose/cose_priv.h - encryption with everything that is random given, for published vectors. */
#ifndef SYMBOLON_COSE_COSE_PRIV_H
#define SYMBOLON_COSE_COSE_PRIV_H

#include "cose/cose.h"

enum status cose_encrypt0_with(enum cose_alg alg, const struct key *key, struct span kid, struct span iv,
                               struct span plaintext, struct buf *out) MUST_CHECK;

#endif
