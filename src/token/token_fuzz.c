/* Any bytes as a token: refused. Any bytes as the claims of a JWT or CWT the AS signed or encrypted, or as the header
 * of a JWT it signed: refused, or a token that keeps every promise of token/token.h. The first byte chooses. */
#include "codec/base64.h"
#include "cose/cose.h"
#include "crypto/sign.h"
#include "jose/jwe.h"
#include "token/fuzz_verifier_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ROOM (1 << 17)

static void verify(struct span text, bool signed_by_us, bool encrypted)
{
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    struct why why = { 0 };

    if (token_verify(text, fuzz_verifier(), FUZZ_NOW, &token, &why) == ST_OK) {
        ASSERT(signed_by_us);
        ASSERT(encrypted == token->encrypted);
        fuzz_check_token(token);
    } else {
        ASSERT(token == NULL && why.clause != NULL && why.text != NULL);
    }
}

static void sign(struct span header, struct span payload, struct buf *out)
{
    uint8_t sig[SIG_MAX];

    base64url_encode(header, out);
    put_u8(out, '.');
    base64url_encode(payload, out);
    ASSERT(sig_make(fuzz_key(), SIG_HS256, buf_span(out), sig) == ST_OK);
    put_u8(out, '.');
    base64url_encode(span_of(sig, 32), out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct span rest = span_cut(span_of(data, len), 1, len);
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, ROOM);
    if (len == 0 || len > ROOM / 4)
        return 0;
    switch (data[0]) {
    case 'c':
        sign(SPAN("{\"alg\":\"HS256\",\"kid\":\"m\"}"), rest, &text);
        verify(buf_span(&text), true, false);
        break;
    case 'e':
        ASSERT(jwe_encrypt(JWE_A256KW, JWE_A256GCM, fuzz_key(), SPAN("s"), SPAN_NONE, SPAN_NONE, rest, &text) ==
               ST_OK);
        verify(buf_span(&text), true, true);
        break;
    case 'h':
        sign(rest, SPAN("{}"), &text);
        verify(buf_span(&text), true, false);
        break;
    case 'C': /* a CWT's claims */
        ASSERT(sy_cose_mac0(COSE_HMAC_256_256, fuzz_key(), SPAN("m"), rest, &text) == ST_OK);
        verify(buf_span(&text), true, false);
        break;
    case 'E':
        ASSERT(sy_cose_encrypt0(COSE_A256GCM, fuzz_key(), SPAN("s"), rest, &text) == ST_OK);
        verify(buf_span(&text), true, true);
        break;
    default:
        verify(rest, false, false);
    }
    return 0;
}
