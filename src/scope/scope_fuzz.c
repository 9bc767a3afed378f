/* A scope from a token or a request. What is accepted keeps its meaning when written and read again. */
#include "scope/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_entries(const struct scope *scope)
{
    struct topic_name name;

    for (size_t i = 0; i < scope_size(scope); i++) {
        struct scope_entry entry = scope_at(scope, i);
        ASSERT((entry.permissions & SCOPE_SUB) == 0 || scope_may_subscribe(scope, entry.filter));
        if ((entry.permissions & SCOPE_PUB) != 0 && topic_name_parse(entry.filter.s, &name, NULL) == ST_OK)
            ASSERT(scope_may_publish(scope, name));
    }
}

static void check_intersection(const struct scope *scope)
{
    CLEANUP(scope_unrefp)
    struct scope *both = NULL;
    struct why why;

    if (scope_size(scope) > 32) /* the square of it takes too long here */
        return;
    if (scope_intersect(scope, scope, &both, &why) == ST_OK)
        ASSERT(scope_covers(scope, both) && scope_covers(both, scope));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    CLEANUP(scope_unrefp)
    struct scope *again = NULL;
    CLEANUP(buf_done)
    struct buf out;
    struct why why = { 0 };

    buf_init(&out, 16u * SCOPE_MAX_BYTES);
    enum status st = scope_from_text(span_of(data, len), &scope, &why);
    if (st != ST_OK) {
        ASSERT(why.clause != NULL && why.text != NULL);
        return 0;
    }
    check_entries(scope);
    check_intersection(scope);
    ASSERT(scope_to_claim(scope, &out) == ST_OK);
    if (out.len < SCOPE_MAX_BYTES) { /* base64url of compact JSON: as long as what may be read */
        ASSERT(scope_from_text(buf_span(&out), &again, &why) == ST_OK);
        ASSERT(scope_same(scope, again));
    }
    return 0;
}
