/* Whatever a stranger sends as a ClientHello: what is found in it lies inside it. */
#include "net/tls_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_hello hello;
    struct span identity;

    if (tls_hello_read(span_of(data, size), &hello) != ST_OK)
        return 0;
    identity = hello.psk_identity;
    ASSERT(identity.len == 0 || (identity.p >= data && identity.p + identity.len <= data + size));
    ASSERT(identity.len == 0 || hello.offers_pre_shared);
    return 0;
}
