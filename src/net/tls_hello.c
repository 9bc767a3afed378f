#include "net/tls_hello.h"

#include "base/reader.h"

enum {
    EXT_CLIENT_CERTIFICATE_TYPE = 19, /* RFC 7250 3 */
    EXT_PRE_SHARED_KEY = 41,          /* RFC 8446 4.2.11 */
    TYPE_RAW_PUBLIC_KEY = 2,
    SUITE_ECDHE_PSK_CHACHA20 = 0xccac, /* RFC 7905: the only AEAD that GnuTLS has with ECDHE-PSK */
};

static struct reader read_block8(struct reader *r)
{
    return read_block(r, read_u8(r));
}

static struct reader read_block16(struct reader *r)
{
    return read_block(r, read_u16(r));
}

static void read_suites(struct reader suites, struct tls_hello *out)
{
    while (reader_left(&suites) > 0)
        if (read_u16(&suites) == SUITE_ECDHE_PSK_CHACHA20)
            out->offers_psk_suite = true;
}

static void read_certificate_types(struct reader ext, struct tls_hello *out)
{
    struct reader types = read_block8(&ext);
    while (reader_left(&types) > 0)
        if (read_u8(&types) == TYPE_RAW_PUBLIC_KEY)
            out->offers_raw_key = true;
}

/* A ticket has an age, obfuscated: zero only once in 2^32 times, and then it is an identity nobody knows. */
static void read_identities(struct reader ext, struct tls_hello *out)
{
    struct reader identities = read_block16(&ext);
    out->offers_pre_shared = true;
    while (reader_left(&identities) > 0) {
        struct span identity = read_prefixed16(&identities);
        uint32_t age = read_u32(&identities);
        if (reader_ok(&identities) && age == 0 && out->psk_identity.p == NULL)
            out->psk_identity = identity;
    }
}

static void read_extensions(struct reader *extensions, struct tls_hello *out)
{
    while (reader_left(extensions) > 0) {
        uint16_t type = read_u16(extensions);
        struct reader ext = read_block16(extensions);
        if (type == EXT_CLIENT_CERTIFICATE_TYPE)
            read_certificate_types(ext, out);
        else if (type == EXT_PRE_SHARED_KEY)
            read_identities(ext, out);
    }
}

enum status tls_hello_read(struct span body, struct tls_hello *out)
{
    struct reader r = reader_make(body, "RFC 8446 4.1.2");

    *out = (struct tls_hello){ 0 };
    (void)read_bytes(&r, 2 + 32); /* legacy_version, random */
    (void)read_block8(&r);        /* legacy_session_id */
    struct reader suites = read_block16(&r);
    (void)read_block8(&r); /* legacy_compression_methods */
    struct reader extensions = read_block16(&r);
    read_suites(suites, out);
    read_extensions(&extensions, out);
    if (reader_finish(&extensions, NULL) == ST_OK && reader_finish(&r, NULL) == ST_OK)
        return ST_OK;
    *out = (struct tls_hello){ 0 };
    return ST_MALFORMED;
}
