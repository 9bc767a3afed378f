/* Any bytes as a SubjectPublicKeyInfo: refused, or written again byte for byte; then also as a certificate. */
#include "crypto/x509.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void as_certificate(struct span in)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    uint8_t print[SHA256_LEN];

    bool cert = x509_thumbprint(in, print, NULL) == ST_OK;
    bool has_key = x509_public_key(in, &key, NULL) == ST_OK;
    ASSERT(cert || !has_key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf out;
    struct span in = span_of(data, len);

    buf_init(&out, 256);
    as_certificate(in);
    if (key_read_spki(in, &key, NULL) != ST_OK)
        return 0;
    ASSERT(!key_is_private(key));
    ASSERT(key_write_spki(key, &out) == ST_OK);
    ASSERT(span_eq(buf_span(&out), in)); /* DER has one spelling */
    return 0;
}
