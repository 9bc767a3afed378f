/* jose/jwe.h - encrypted text: JWE in compact serialization (RFC 7516; TK-22, TK-23, TK-62).
 * With keys both sides share ("dir", A128KW, A256KW): such a JWE also proves that a holder of the key made it. Or to
 * the receiver's P-256 key (ECDH-ES): anybody can make one of these, so what is inside must be signed (TK-22). No
 * "zip", no password-based or RSA key wrapping (TK-62).
 * Prefer A256KW for issuing: every text gets a fresh content key, so no (key, IV) pair can repeat (TK-67). With
 * "dir" the 96-bit IV is random and one key must not protect more than 2^32 texts (SP 800-38D 8.3).
 * Ownership: `struct jwe` owns its header and epk; other spans are borrowed from that or from the text.
 * Failure:   ST_MALFORMED, ST_UNSUPPORTED as in jws.h; ST_BAD_TOKEN when the key does not fit or does not open
 * it: one answer for wrong key, tag or padding, so that nothing can be learnt from the difference. Threads:
 * one. */
#ifndef SYMBOLON_JOSE_JWE_H
#define SYMBOLON_JOSE_JWE_H

#include "base/buf.h"
#include "codec/json.h"
#include "crypto/key.h"

enum jwe_alg { JWE_DIR, JWE_A128KW, JWE_A256KW, JWE_ECDH_ES, JWE_ECDH_ES_A128KW, JWE_ECDH_ES_A256KW, JWE_ALGS };
enum jwe_enc { JWE_A128GCM, JWE_A256GCM, JWE_A128CBC_HS256, JWE_ENCS };

struct jwe {
    struct js *header;
    enum jwe_alg alg;
    enum jwe_enc enc;
    struct span kid, typ, cty;                           /* .p == NULL: absent */
    struct key *epk;                                     /* ECDH-ES: the sender's key, for this text only */
    struct span apu, apv;                                /* as text; .p == NULL: absent */
    struct span aad, encrypted_key, iv, ciphertext, tag; /* texts, as received */
};

enum status jwe_parse(struct span compact, struct jwe *out, struct why *why) MUST_CHECK;
void jwe_done(struct jwe *jwe); /* also after a failure */

/* Is it a key for this pair: a secret of the right length, or a P-256 key? */
bool jwe_key_fits(enum jwe_alg alg, enum jwe_enc enc, const struct key *key);
bool jwe_alg_is_agreement(enum jwe_alg alg); /* to a public key: proves nothing about who made it */

/* Appends the plaintext; nothing on failure. `out` should be wiped by its owner. */
enum status jwe_decrypt(const struct jwe *jwe, const struct key *key, struct buf *out,
                        struct why *why) MUST_CHECK;

/* Appends the compact text. `kid`, `typ`, `cty` may be SPAN_NONE. ST_BAD_POP_KEY if the key does not fit. */
enum status jwe_encrypt(enum jwe_alg alg, enum jwe_enc enc, const struct key *key, struct span kid,
                        struct span typ, struct span cty, struct span plaintext, struct buf *out) MUST_CHECK;

#endif
