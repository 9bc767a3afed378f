/* A scope from a token or a request, as text and as CBOR. What is accepted keeps its meaning when written and read
 * again, in either form. */
#include "codec/cbor.h"
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

static void check_text_again(const struct scope *scope)
{
    CLEANUP(scope_unrefp)
    struct scope *again = NULL;
    CLEANUP(buf_done)
    struct buf out;
    struct why why;

    buf_init(&out, 16u * SCOPE_MAX_BYTES);
    ASSERT(scope_to_claim(scope, &out) == ST_OK);
    if (out.len >= SCOPE_MAX_BYTES) /* base64url of compact JSON: as long as what may be read */
        return;
    ASSERT(scope_from_text(buf_span(&out), &again, &why) == ST_OK);
    ASSERT(scope_same(scope, again));
}

static enum status read_cbor(struct span bytes, struct scope **ret_scope, struct why *why)
{
    CLEANUP(cb_unrefp)
    struct cb *cb = NULL;

    enum status st = cb_parse(bytes, SCOPE_MAX_BYTES, &cb, why);
    return st == ST_OK ? scope_from_cbor(cb, ret_scope, why) : st;
}

static void check_cbor_again(const struct scope *scope)
{
    CLEANUP(scope_unrefp)
    struct scope *again = NULL;
    CLEANUP(buf_done)
    struct buf out;
    struct why why;

    buf_init(&out, 2u * SCOPE_MAX_BYTES);
    ASSERT(scope_to_cbor(scope, &out) == ST_OK);
    if (out.len > SCOPE_MAX_BYTES)
        return;
    ASSERT(read_cbor(buf_span(&out), &again, &why) == ST_OK);
    ASSERT(scope_same(scope, again));
}

static void check(enum status st, const struct scope *scope, const struct why *why)
{
    if (st != ST_OK) {
        ASSERT(scope == NULL && why->clause != NULL && why->text != NULL);
        return;
    }
    check_entries(scope);
    check_intersection(scope);
    check_text_again(scope);
    check_cbor_again(scope);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(scope_unrefp)
    struct scope *from_text = NULL;
    CLEANUP(scope_unrefp)
    struct scope *from_cbor = NULL;
    struct why why = { 0 };

    enum status st = scope_from_text(span_of(data, len), &from_text, &why);
    check(st, from_text, &why);
    st = read_cbor(span_of(data, len), &from_cbor, &why);
    check(st, from_cbor, &why);
    return 0;
}
