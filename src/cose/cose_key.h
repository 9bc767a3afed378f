/* cose/cose_key.h - keys as CBOR: COSE_Key (RFC 9052 7, RFC 9053 7).
 * Spoken: OKP with Ed25519, EC2 with P-256 and both coordinates, Symmetric.
 * Ownership: `struct cose_key` holds one reference to its key, dropped by sy_cose_key_done(); `kid` is borrowed from
 *            the value it was read from.
 * Failure:   ST_MALFORMED (not a COSE_Key), ST_UNSUPPORTED (a kind we do not speak), ST_BAD_POP_KEY (a key that its
 *            own members, or what the caller wants, rule out), ST_NO_MEMORY.
 * Threads:   none of its own; `struct cb` is for one thread. */
#ifndef SYMBOLON_COSE_COSE_KEY_H
#define SYMBOLON_COSE_COSE_KEY_H

#include "codec/cbor.h"
#include "cose/cose.h"
#include "crypto/key.h"

#define COSE_KEY_MAX_BYTES 2048 /* of an encoded key */

/* A private part where a public key is wanted is refused, not dropped (TK-56). */
enum cose_key_want { COSE_KEY_PUBLIC, COSE_KEY_PRIVATE, COSE_KEY_SECRET, COSE_KEY_ANY };

/* key_ops (RFC 9052 table 5; TK-57). Absent: all of them. */
enum cose_key_op {
    COSE_OP_SIGN = 1,
    COSE_OP_VERIFY,
    COSE_OP_ENCRYPT,
    COSE_OP_DECRYPT,
    COSE_OP_WRAP,
    COSE_OP_UNWRAP,
    COSE_OP_DERIVE_KEY,
    COSE_OP_DERIVE_BITS,
    COSE_OP_MAC_CREATE,
    COSE_OP_MAC_VERIFY,
};

struct cose_key {
    struct key *key;
    struct span kid; /* .p == NULL: none */
    bool has_alg;    /* the one algorithm the key may serve */
    int64_t alg;
    uint32_t ops; /* IN(COSE_OP_SIGN) ... */
};

enum status sy_cose_key_read(const struct cb *cb, enum cose_key_want want, struct cose_key *out,
                             struct why *why) MUST_CHECK;
/* The same from bytes: one item, nothing behind it. *ret_cb is what `out->kid` is borrowed from. */
enum status sy_cose_key_parse(struct span bytes, enum cose_key_want want, struct cose_key *out,
                              struct cb **ret_cb, struct why *why) MUST_CHECK;
void sy_cose_key_done(struct cose_key *key);

/* True if neither key_ops nor alg forbids it. */
bool sy_cose_key_allows(const struct cose_key *key, enum cose_key_op op, enum cose_alg alg);

/* Appends the key, deterministically encoded (RFC 8949 4.2.1). `kid` may be SPAN_NONE, `alg` NULL: then left out.
 * `with_private` writes "d"; "k" is always written, since a secret has no public part: the caller decides whether to
 * write one at all. ST_UNSUPPORTED for an RSA key. */
enum status sy_cose_key_write(const struct key *key, struct span kid, const enum cose_alg *alg,
                              bool with_private, struct buf *out) MUST_CHECK;

#endif
