/* cose/cose.h - signed, authenticated and encrypted CBOR: COSE_Sign1, COSE_Mac0, COSE_Encrypt0 (RFC 9052, RFC 9053).
 * sy_cose_parse() takes the array apart and reads both buckets of headers strictly, but believes nothing; only what
 * sy_cose_open() hands out has been verified.
 * Headers: "alg" stands in the protected bucket, and only there (TK-43); "crit" is refused wherever it stands, since no
 *   extension is understood (TK-47); no label stands in both buckets (RFC 9052 3, TK-48); Partial IV is not spoken;
 *   keys and certificates in headers are never used (TK-46).
 * Tags: 16, 17 and 18 must agree with the class of "alg" (TK-42). Without a tag (TK-10) the class of "alg" decides
 *   alone, which is no weaker: it is protected, it fits one kind of key only, and it is what the tag is checked against.
 * Ownership: `struct cose` owns what it was parsed from; every span in it is borrowed from that. The names begin with
 *   sy_ because cose_ belongs to libraries.
 * Failure: ST_MALFORMED (not COSE), ST_UNSUPPORTED (algorithm, structure or extension not spoken), ST_BAD_TOKEN (the key
 *   does not fit or does not open it: one answer for everything only its holder could get right).
 * Threads: one. */
#ifndef SYMBOLON_COSE_COSE_H
#define SYMBOLON_COSE_COSE_H

#include "base/buf.h"
#include "codec/cbor.h"
#include "crypto/key.h"

#define COSE_MAX_KID 512 /* bytes; a kid is compared, never interpreted (TK-45) */

enum cose_kind { COSE_ENCRYPT0 = 16, COSE_MAC0 = 17, COSE_SIGN1 = 18 }; /* their tags */

/* RFC 9053 tables 1, 2, 3, 5, 6 */
enum cose_alg {
    COSE_ES256 = -7,
    COSE_EDDSA = -8,
    COSE_A128GCM = 1,
    COSE_A256GCM = 3,
    COSE_HMAC_256_64 = 4,
    COSE_HMAC_256_256 = 5,
    COSE_AES_CCM_16_64_128 = 10,
    COSE_AES_CCM_16_128_128 = 30,
};

struct cose {
    struct cb *owned[2]; /* the whole, unless it was lent; the protected headers */
    enum cose_kind kind;
    enum cose_alg alg;
    struct span kid;       /* .p == NULL: absent; as iv */
    struct span iv;        /* COSE_ENCRYPT0 */
    struct span protected; /* as received */
    struct span content;   /* payload, or ciphertext with the tag behind it */
    struct span signature; /* or MAC */
    const struct cb *typ;  /* header 16 (RFC 9596); NULL: absent */
};

enum status sy_cose_parse(struct span bytes, size_t max_bytes, struct cose *out, struct why *why) MUST_CHECK;
/* Inside another document: `cb` must outlive `out`. */
enum status sy_cose_read(const struct cb *cb, struct cose *out, struct why *why) MUST_CHECK;
void sy_cose_done(struct cose *cose);

/* Whether a key is one for this algorithm: its kind, and its length (a MAC's at least 32 bytes, a cipher's exactly
 * its own). */
bool sy_cose_alg_fits(enum cose_alg alg, const struct key *key);
size_t sy_cose_key_len(enum cose_alg alg); /* of a cipher's key; 0 for the others */
/* The name JOSE has for it; NULL if it has none (HMAC 256/64, CCM). */
const char *sy_cose_jose_name(enum cose_alg alg);

/* Verifies or decrypts, and appends the payload or plaintext; nothing on failure. */
enum status sy_cose_open(const struct cose *cose, const struct key *key, struct buf *out,
                         struct why *why) MUST_CHECK;

/* Appends the message as its maker wrote it, or might have: with its tag, and `kid` (SPAN_NONE: none) and the IV as its
 * only unprotected headers. Tag and unprotected headers are whatever the last one to hold a message wants; this is the
 * same for all of these. */
void sy_cose_put_plain(const struct cose *cose, struct span kid, struct buf *out);

/* Appends tag and message; `kid` may be SPAN_NONE. The algorithm is the key's (EdDSA, ES256). */
enum status sy_cose_sign1(const struct key *key, struct span kid, struct span payload,
                          struct buf *out) MUST_CHECK;
/* HMAC 256/64 or 256/256. ST_BAD_POP_KEY if the key does not fit the algorithm; likewise below. */
enum status sy_cose_mac0(enum cose_alg alg, const struct key *key, struct span kid, struct span payload,
                         struct buf *out) MUST_CHECK;
/* The IV is random, 12 or 13 bytes: one key must not protect more than 2^32 messages (TK-67, SP 800-38D 8.3). */
enum status sy_cose_encrypt0(enum cose_alg alg, const struct key *key, struct span kid, struct span plaintext,
                             struct buf *out) MUST_CHECK;

#endif
