/* jose/header_priv.h - what the protected headers of JWS and JWE have in common (RFC 7515 §4, RFC 7516 §4). */
#ifndef SYMBOLON_JOSE_HEADER_PRIV_H
#define SYMBOLON_JOSE_HEADER_PRIV_H

#include "base/buf.h"
#include "codec/json.h"
#include "crypto/key.h"

struct jose_header {
    struct js *js;             /* owned: whoever asked for it unrefs */
    struct span alg;           /* always there */
    struct span kid, typ, cty; /* .p == NULL: absent */
};

/* Cuts "a.b.c" at its dots; false unless there are exactly `n` parts. */
bool jose_split(struct span compact, struct span *parts, size_t n);

/* Decodes and reads a protected header. "crit" and "b64" are refused, since no extension is understood (TK-47);
 * key material in it is not looked at (TK-46). */
enum status jose_header_read(struct span text, struct jose_header *out, struct why *why) MUST_CHECK;

/* Appends the base64url form of a header with these members; `enc`, `kid`, `typ` and `cty` may be empty. */
struct jose_header_parts {
    const char *alg, *enc;
    struct span kid, typ, cty;
    const struct key *epk; /* public part printed; NULL: none */
};
enum status jose_header_write(const struct jose_header_parts *parts, struct buf *out) MUST_CHECK;

#endif
