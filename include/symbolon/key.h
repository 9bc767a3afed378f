/* symbolon/key.h - opaque handle of a proof-of-possession key: Ed25519, P-256 (ES256) or a shared secret
 * (HS256). Ownership: symbolon_key_ref/unref; unref(NULL) does nothing; the key's memory is wiped with the last
 * reference. Threads:   immutable; the reference count is atomic. Files:     PEM (PKCS #8), mode 0600. A file
 * others may read is refused (SYMBOLON_UNTRUSTED). */
#ifndef SYMBOLON_KEY_H
#define SYMBOLON_KEY_H

#include "symbolon/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct symbolon_key;

enum symbolon_key_type {
    SYMBOLON_KEY_ED25519 = 1, /* EdDSA, RFC 8037 */
    SYMBOLON_KEY_P256 = 2,    /* ES256, RFC 7518 3.4 */
    SYMBOLON_KEY_SECRET = 3   /* HS256, RFC 7518 3.2 */
};

#define SYMBOLON_THUMBPRINT_TEXT 44 /* base64url of SHA-256, with the NUL */

/* A new key of type ED25519, P256 or SECRET (32 bytes). */
enum symbolon_status symbolon_key_generate(enum symbolon_key_type type, struct symbolon_key **ret_key,
                                           struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* A shared secret of 32 bytes or more. */
enum symbolon_status symbolon_key_from_secret(struct symbolon_bytes secret, struct symbolon_key **ret_key,
                                              struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* A private key in PEM form (PKCS #8 or SEC 1). */
enum symbolon_status symbolon_key_from_pem(struct symbolon_bytes pem, struct symbolon_key **ret_key,
                                           struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* The same from a file, which must belong to this user (or root) and be closed to everybody else. */
enum symbolon_status symbolon_key_load(const char *path, struct symbolon_key **ret_key,
                                       struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* Writes the private key as PEM, mode 0600, on disk when this returns. SYMBOLON_EXISTS if the file is there. */
enum symbolon_status symbolon_key_save(const struct symbolon_key *key, const char *path,
                                       struct symbolon_error *error) SYMBOLON_MUST_CHECK;

struct symbolon_key *symbolon_key_ref(struct symbolon_key *key);
void symbolon_key_unref(struct symbolon_key *key);

enum symbolon_key_type symbolon_key_type(const struct symbolon_key *key);

/* JWK thumbprint (RFC 7638): how keys are named in logs and lists. */
enum symbolon_status symbolon_key_thumbprint(const struct symbolon_key *key,
                                             char ret_text[SYMBOLON_THUMBPRINT_TEXT],
                                             struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* The public part as JWK text, on the heap (free with symbolon_free()). Not for SYMBOLON_KEY_SECRET. */
enum symbolon_status symbolon_key_public_jwk(const struct symbolon_key *key, char **ret_json,
                                             struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* free(), for what this library allocated; wiped first, since much of it is secret. NULL does nothing. */
void symbolon_free(char *text);

#ifdef __cplusplus
}
#endif
#endif
