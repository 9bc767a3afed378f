/* Any bytes as a JWE, and as the header of one: refused, and never opened, since nobody sealed it; any bytes as
 * plaintext: sealed and opened again. */
#include "codec/base64.h"
#include "jose/jwe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ROOM (1 << 17)

static const struct key *fixed_key(enum jwe_alg alg, enum jwe_enc enc)
{
    static struct key *keys[3];
    struct span secret = SPAN("a secret that no input can guess");

    if (keys[0] == NULL) {
        ASSERT(key_new_secret(span_cut(secret, 0, 16), &keys[0], NULL) == ST_OK);
        ASSERT(key_new_secret(secret, &keys[1], NULL) == ST_OK);
        ASSERT(key_new_p256_private(secret, &keys[2], NULL) == ST_OK);
    }
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (jwe_key_fits(alg, enc, keys[i]))
            return keys[i];
    assert_failed("a key for every algorithm", __FILE__, __LINE__);
}

static void check(struct span text)
{
    CLEANUP(buf_done)
    struct buf plain;
    struct jwe jwe;
    struct why why = { 0 };

    buf_init(&plain, ROOM);
    if (jwe_parse(text, &jwe, &why) == ST_OK) {
        ASSERT(jwe_decrypt(&jwe, fixed_key(jwe.alg, jwe.enc), &plain, &why) != ST_OK);
        ASSERT(plain.len == 0);
    }
    ASSERT(why.clause != NULL);
    jwe_done(&jwe);
}

static void check_round_trip(struct span plaintext, enum jwe_alg alg, enum jwe_enc enc)
{
    CLEANUP(buf_done)
    struct buf text = { 0 };
    CLEANUP(buf_done)
    struct buf plain;
    const struct key *key = fixed_key(alg, enc);
    struct jwe jwe;

    buf_init(&text, ROOM);
    buf_init(&plain, ROOM);
    ASSERT(jwe_encrypt(alg, enc, key, SPAN_NONE, SPAN_NONE, SPAN_NONE, plaintext, &text) == ST_OK);
    ASSERT(jwe_parse(buf_span(&text), &jwe, NULL) == ST_OK);
    ASSERT(jwe_decrypt(&jwe, key, &plain, NULL) == ST_OK);
    ASSERT(span_eq(buf_span(&plain), plaintext));
    jwe_done(&jwe);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(buf_done)
    struct buf text = { 0 };
    struct span in = span_of(data, len);

    if (len > ROOM / 4)
        return 0;
    check(in);
    buf_init(&text, ROOM);
    base64url_encode(in, &text);
    put_str(&text, ".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAA.AAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA");
    if (buf_ok(&text))
        check(buf_span(&text));
    check_round_trip(in, (enum jwe_alg)(len % JWE_ALGS), (enum jwe_enc)(len / JWE_ALGS % JWE_ENCS));
    return 0;
}
