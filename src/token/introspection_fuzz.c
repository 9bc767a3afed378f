/* Any bytes as an introspection answer: refused, or a token that keeps every promise of token/token.h. */
#include "token/fuzz_verifier_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    struct why why = { 0 };
    enum status st = token_from_introspection(span_of(data, len), SPAN("reference"), FUZZ_ISS, fuzz_verifier(),
                                              FUZZ_NOW, &token, &why);

    if (st == ST_OK) {
        ASSERT(token->by_introspection);
        fuzz_check_token(token);
    } else {
        ASSERT(token == NULL && why.clause != NULL);
    }
    return 0;
}
