/* token/ace_cbor_priv.h - what the translation of ACE documents is made of: text (ace_text.c) and confirmation members
 * (ace_cnf.c). */
#ifndef SYMBOLON_TOKEN_ACE_CBOR_PRIV_H
#define SYMBOLON_TOKEN_ACE_CBOR_PRIV_H

#include "codec/cbor.h"
#include "token/ace_cbor.h"

/* UTF-8 without a NUL: what a JSON string here can hold. */
bool ace_is_text(struct span bytes);

enum status ace_cnf_from_cbor(const struct cb *cnf, struct js **ret_js, struct why *why) MUST_CHECK;
enum status ace_cnf_to_cbor(const struct js *cnf, struct buf *out, struct why *why) MUST_CHECK;

#endif
