/* crypto/x509.h - the few certificate jobs of this project: a small P-256 authority of our own for daemons and
 * devices, and looking at certificates others made. Verification of chains belongs to TLS (net/).
 * Certificates come in as PEM or DER (told apart by the first byte) and go out as PEM.
 * Threads: no state. */
#ifndef SYMBOLON_CRYPTO_X509_H
#define SYMBOLON_CRYPTO_X509_H

#include "base/clock.h"
#include "crypto/hash.h"
#include "crypto/key.h"

#define X509_PEM_MAX 65536

/* What the makers below fill; both empty on failure. Done with x509_pair_done(), which wipes the key. */
struct x509_pair {
    struct buf cert_pem;
    struct buf key_pem; /* PKCS #8, unencrypted: file mode 0600 */
};

void x509_pair_done(struct x509_pair *pair); /* also right for CLEANUP; NULL-safe on zeroed memory */

/* A self-signed authority, valid from an hour before `now` (clocks differ) for `days` days. */
enum status x509_make_ca(struct span common_name, int days, struct wall_time now, struct x509_pair *out,
                         struct why *why) MUST_CHECK;

/* A server certificate under that authority. Each name that reads as an IPv4 or IPv6 address becomes an IP
 * address in subjectAltName, every other one a DNS name; at least one. */
enum status x509_issue_server(struct span ca_cert, struct span ca_key, struct span common_name,
                              const struct span *names, size_t names_count, int days, struct wall_time now,
                              struct x509_pair *out, struct why *why) MUST_CHECK;

/* A client certificate (extended key usage clientAuth). */
enum status x509_issue_client(struct span ca_cert, struct span ca_key, struct span common_name, int days,
                              struct wall_time now, struct x509_pair *out, struct why *why) MUST_CHECK;

/* SHA-256 over the DER form: x5t#S256 (RFC 8705 3.1). */
enum status x509_thumbprint(struct span pem_or_der, uint8_t out[SHA256_LEN], struct why *why) MUST_CHECK;

/* Its public key; ST_UNSUPPORTED when that is neither Ed25519 nor P-256. */
enum status x509_public_key(struct span pem_or_der, struct key **ret_key, struct why *why) MUST_CHECK;

#endif
