/* A damaged row of the state folder: refused, or a token that is written as the same bytes again. */
#include "token/token_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    CLEANUP(token_unrefp)
    struct token *again = NULL;
    CLEANUP(buf_wipe)
    struct buf text;
    struct why why;

    buf_init(&text, TOKEN_RECORD_MAX);
    if (token_record_read(span_of(data, size), &token, &why) != ST_OK)
        return 0;
    ASSERT(token_record_write(token, &text) == ST_OK);
    ASSERT(token_record_read(buf_span(&text), &again, &why) == ST_OK);
    ASSERT(span_eq(token->iss, again->iss) && span_eq(token->jti, again->jti) &&
           span_eq(token->cnf_kid, again->cnf_kid));
    ASSERT(token->exp.s == again->exp.s && token->has_exi == again->has_exi &&
           token->cnf_how == again->cnf_how);
    ASSERT(scope_same(token->scope, again->scope));
    ASSERT((token->cnf == NULL) == (again->cnf == NULL) &&
           (token->cnf == NULL || key_same(token->cnf, again->cnf)));
    return 0;
}
