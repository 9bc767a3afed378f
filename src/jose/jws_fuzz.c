/* Any bytes as a JWS, and as the header of one: refused, or taken apart into spans that lie where they must; and
 * never verified, since nobody signed it. */
#include "codec/base64.h"
#include "jose/jws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ROOM (1 << 17)

static struct key *fixed_key(void)
{
    static struct key *key;
    if (key == NULL)
        ASSERT(key_new_secret(SPAN("a secret that no input can guess"), &key, NULL) == ST_OK);
    return key;
}

static void check(struct span text)
{
    CLEANUP(buf_done)
    struct buf payload;
    struct jws jws;
    struct why why = { 0 };

    buf_init(&payload, ROOM);
    if (jws_parse(text, &jws, &why) == ST_OK) {
        ASSERT(jws.signing_input.p == text.p && jws.signing_input.len < text.len);
        ASSERT(text.p[jws.signing_input.len] == '.');
        ASSERT(jws.signature_len <= SIG_CHECK_MAX && jws.kid.len <= JOSE_MAX_KID);
        ASSERT(jws_check(&jws, fixed_key(), &why) != ST_OK);
        (void)(jws_payload(&jws, &payload, NULL) == ST_OK);
    } else {
        ASSERT(why.clause != NULL);
    }
    jws_done(&jws);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(buf_done)
    struct buf text;
    struct span in = span_of(data, len);

    check(in);
    buf_init(&text, ROOM);
    base64url_encode(in, &text);
    put_str(&text, ".e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    if (buf_ok(&text))
        check(buf_span(&text));
    return 0;
}
