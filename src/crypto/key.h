/* crypto/key.h - a key that knows what it may be used for.
 * A key is a symmetric secret, an Ed25519 key, a P-256 key, or the public half of an RSA key (to check what other
 * authorization servers sign; we make none). The kind alone decides which signature algorithms fit (sign.h), so a
 * public key can never be taken for an HMAC secret (TK-41).
 * Ownership: immutable and counted; constructors hand over one reference; key_unref(NULL) does nothing; the
 * last one wipes the secret part. Failure:   ST_MALFORMED for bytes that are no such key, ST_UNSUPPORTED for
 * kinds we do not speak, ST_NO_MEMORY. *ret_key is written only on ST_OK. Threads:   any number may use one key
 * at once (also to sign and verify); the count is atomic. */
#ifndef SYMBOLON_CRYPTO_KEY_H
#define SYMBOLON_CRYPTO_KEY_H

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

enum key_kind { KEY_SECRET, KEY_ED25519, KEY_P256, KEY_RSA };

#define KEY_PART_LEN       32    /* x, y and d of both curves */
#define KEY_SECRET_MAX     512   /* bytes of a symmetric key */
#define KEY_SECRET_NEW_LEN 32    /* what key_generate() makes */
#define KEY_PEM_MAX        16384 /* bytes of PEM looked at */
#define KEY_RSA_MIN        256   /* bytes of a modulus: 2048 bits (RFC 7518 3.3) ... */
#define KEY_RSA_MAX        512   /* ... to 4096 */

struct key;

/* Not KEY_RSA: ST_UNSUPPORTED. */
enum status key_generate(enum key_kind kind, struct key **ret_key) MUST_CHECK;

/* 1 to KEY_SECRET_MAX bytes. Whether a length is strong enough is the caller's rule (16 at least for PoP). */
enum status key_new_secret(struct span secret, struct key **ret_key, struct why *why) MUST_CHECK;

/* Small-order and non-canonical values are refused (TK-60). A value that is no point at all is not found here;
 * nothing verifies under it. */
enum status key_new_ed25519_public(struct span x, struct key **ret_key, struct why *why) MUST_CHECK;
enum status key_new_ed25519_private(struct span seed, struct key **ret_key, struct why *why) MUST_CHECK;

/* The point must lie on the curve (TK-61). */
enum status key_new_p256_public(struct span x, struct span y, struct key **ret_key, struct why *why) MUST_CHECK;
/* 1 <= d < n; the public part is computed. */
enum status key_new_p256_private(struct span d, struct key **ret_key, struct why *why) MUST_CHECK;

/* Modulus and exponent, big-endian without leading zeros (RFC 7518 6.3.1). An even one of either is refused, and an
 * exponent beyond 32 bits: nobody uses one, and it would make checking dear. */
enum status key_new_rsa_public(struct span n, struct span e, struct key **ret_key, struct why *why) MUST_CHECK;

struct key *key_ref(const struct key *key);
void key_unref(struct key *key);
void key_unrefp(struct key **key);

enum key_kind key_kind(const struct key *key);
const char *key_kind_name(enum key_kind kind); /* "oct", "Ed25519", "P-256", "RSA" */
bool key_is_private(const struct key *key);    /* has d; always true of a secret */

/* Borrowed from the key: x (both curves), y (P-256), d (private ones), the bytes of a secret, modulus and exponent
 * (RSA). SPAN_NONE if the key has no such part. */
struct span key_x(const struct key *key);
struct span key_y(const struct key *key);
struct span key_d(const struct key *key);
struct span key_secret(const struct key *key);
struct span key_n(const struct key *key);
struct span key_e(const struct key *key);

/* The same key without its private part (a new reference to itself if it has none).
 * A secret has no public part: ST_UNSUPPORTED. */
enum status key_public(const struct key *key, struct key **ret_key) MUST_CHECK;

/* Same kind and same public part, or the same secret; constant time. */
bool key_same(const struct key *a, const struct key *b);

/* The first key of a PEM text: "PRIVATE KEY" (PKCS #8), "EC PRIVATE KEY" (SEC 1) or "PUBLIC KEY" (SPKI);
 * unencrypted. */
enum status key_read_pem(struct span pem, struct key **ret_key, struct why *why) MUST_CHECK;
/* PKCS #8 or SPKI; ST_UNSUPPORTED for a secret. Wipe the buffer after a private one (buf_wipe). */
enum status key_write_pem(const struct key *key, bool with_private, struct buf *out) MUST_CHECK;

/* DER SubjectPublicKeyInfo (RFC 5280 4.1.2.7, RFC 8410, RFC 5480). */
enum status key_read_spki(struct span der, struct key **ret_key, struct why *why) MUST_CHECK;
enum status key_write_spki(const struct key *key, struct buf *out) MUST_CHECK;

#endif
