/* Any bytes as the claims of a foreign server: refused with a reason, or a scope. The first byte picks the form. */
#include "token/claim_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct claim_rules rules = { .scope = (char[]){ "/x/acl" },
                                       .scope_form =
                                           len > 0 && data[0] == 'a' ? CLAIM_FORM_ACL : CLAIM_FORM_AIF,
                                       .client_id = (char[]){ "azp" },
                                       .username = (char[]){ "sub" } };
    CLEANUP(js_unrefp)
    struct js *claims = NULL;
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    struct why why = { 0 };
    enum status st;

    if (js_parse(span_cut(span_of(data, len), 1, SIZE_MAX), SCOPE_MAX_BYTES, &claims, NULL) != ST_OK)
        return 0;
    (void)!claim_rules_check_use(&rules, claims, &why);
    st = claim_rules_scope(&rules, claims, &scope, &why);
    ASSERT((st == ST_OK) == (scope != NULL));
    ASSERT(st == ST_OK || why.text != NULL);
    return 0;
}
