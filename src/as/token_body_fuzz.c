/* Bodies of token requests, CBOR, JSON and form, from a client that exists (its secret is "secret") and one that does not:
 * whatever comes, there is an answer, and its body is of the kind that was asked. */
#include "as/registry.h"
#include "as/world_test.h"
#include "token/ace_cbor.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define INPUTS_PER_WORLD 512 /* so that what inputs leave behind stays small */

static struct world *fresh_world(void)
{
    struct world *w = world_new();
    uint8_t hash[SHA256_LEN];

    if (sha256(SPAN("secret"), hash) != ST_OK)
        abort();
    const struct principal client = { .kind = PRINCIPAL_CLIENT,
                                      .id = SPAN("c"),
                                      .secret_hash = span_of(hash, sizeof hash) };
    if (registry_add_principal(w->sql, &client, NULL) != ST_OK)
        abort();
    world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"a\",\"key\":\"generate\"}");
    world_admin(
        w, "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"a\",\"filter\":\"d/${client_id}/#\","
           "\"permissions\":[\"pub\",\"sub\"]}");
    w->settings.auth_failures_per_minute = 1000000;
    return w;
}

/* A CBOR map begins so, and neither JSON nor a sensible form does. */
static bool is_cbor(const uint8_t *data, size_t len)
{
    return len > 0 && data[0] >> 5 == 5;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct world *w;
    static unsigned inputs;
    struct as_response out;

    if (w == NULL || inputs++ % INPUTS_PER_WORLD == 0) {
        if (w != NULL)
            world_free(w);
        w = fresh_world();
    }
    const struct as_request request = {
        .method = SPAN("POST"),
        .path = SPAN("/token"),
        .content_type = is_cbor(data, len)          ? SPAN("application/ace+cbor")
                        : len > 0 && data[0] == '{' ? SPAN("application/ace+json")
                                                    : SPAN("application/x-www-form-urlencoded"),
        .body = span_of(data, len),
        .peer = SPAN("::1"),
    };
    as_answer(w->as, &request, w->now, &out);
    struct js *body = NULL;
    enum status st = is_cbor(data, len)
                         ? ace_from_cbor(ACE_TOKEN_RESPONSE, buf_span(&out.body), AS_RESPONSE_MAX, &body, NULL)
                         : js_parse(buf_span(&out.body), AS_RESPONSE_MAX, &body, NULL);
    if (st != ST_OK || out.code >= 500)
        abort();
    js_unref(body);
    as_response_done(&out);
    return 0;
}
