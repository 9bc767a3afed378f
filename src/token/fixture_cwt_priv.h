/* token/fixture_cwt_priv.h - for this module's tests: CWTs with any claim changed, made of the bytes given. */
#ifndef SYMBOLON_TOKEN_FIXTURE_CWT_PRIV_H
#define SYMBOLON_TOKEN_FIXTURE_CWT_PRIV_H

#include "cose/cose_key.h"
#include "token/fixture_priv.h"

/* A claim as encoded, in hex; NULL leaves it out. */
struct cwt_change {
    int label;
    const char *hex;
};
#define CWT(...)  ((const struct cwt_change[]){ __VA_ARGS__, { 0, NULL } })
#define UNCHANGED ((const struct cwt_change[]){ { 0, NULL } })

#define ED_X      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" /* RFC 8037 A.1 */
#define ED_KEY    "a301012006215820" ED_X
#define OCT    \
    "a2010420" \
    "50000102030405060708090a0b0c0d0e0f"
#define AIF "818266746f706963318163707562" /* [["topic1",["pub"]]] */
#define NOW "1a000f4240"                   /* FIXTURE_NOW */

/* The claims set. */
void cwt_claims(const struct cwt_change *changes, struct buf *out);
/* Under f->as, and under f->shared. */
void cwt_sign(const struct fixture *f, const struct cwt_change *changes, struct buf *out);
void cwt_encrypt(const struct fixture *f, const struct cwt_change *changes, struct buf *out);

struct token *cwt_accept(const struct fixture *f, const struct cwt_change *changes, bool encrypted);
void cwt_refused(const struct fixture *f, const struct cwt_change *changes, enum status expected,
                 const char *clause);

#endif
