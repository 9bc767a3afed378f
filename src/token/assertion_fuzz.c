/* Any bytes as an assertion: refused. Any bytes as the claims of one that was signed: refused, or within all bounds.
 * The first byte chooses. */
#include "jose/jws.h"
#include "token/assertion.h"
#include "token/fuzz_verifier_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ROOM (1 << 16)

static enum status check(struct span text, struct assertion *out)
{
    const struct span aud = FUZZ_ISS;
    const struct assertion_expected expected = { .typ = ASSERTION_TYP_CLIENT,
                                                 .iss = SPAN("c"),
                                                 .sub = SPAN("c"),
                                                 .auds = &aud,
                                                 .n_auds = 1,
                                                 .max_age_s = 300 };
    return assertion_check(text, fuzz_key(), &expected, FUZZ_NOW, out, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct span rest = span_cut(span_of(data, len), 1, len);
    struct assertion_claimant who;
    struct assertion out;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, ROOM);
    if (len == 0 || len > ROOM / 4)
        return 0;
    if (data[0] == 'c') {
        ASSERT(jws_sign(fuzz_key(), SPAN_NONE, SPAN_NONE, SPAN_NONE, rest, &text) == ST_OK);
        if (check(buf_span(&text), &out) == ST_OK) {
            size_t jti = strlen(out.jti);
            ASSERT(jti > 0 && jti <= ASSERTION_MAX_JTI);
            ASSERT(out.exp.s > FUZZ_NOW.s && out.exp.s <= FUZZ_NOW.s + 300);
        }
        rest = buf_span(&text);
    } else {
        ASSERT(check(rest, &out) != ST_OK);
    }
    (void)(assertion_peek(rest, &who, NULL) == ST_OK);
    assertion_claimant_done(&who);
    return 0;
}
