/* Queries and header fields of /trl, from an asker that has shown who it is: a line each of diff, cursor, Prefer, Accept
 * and If-None-Match. Whatever they are, the answer is whole: 200, 304, 400, or to be waited for. */
#include "as/world_test.h"
#include "codec/base64.h"
#include "codec/cbor.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct lines {
    struct span line[5];
};

static struct span query_of(void *ctx, const char *name)
{
    const struct lines *l = ctx;
    struct span s = name[0] == 'd' ? l->line[0] : name[1] == 'u' ? l->line[1] : SPAN_NONE;

    return s.len > 0 && s.p[0] == '-' && s.len == 1 ? SPAN_NONE : s;
}

/* One revoked token, so that there is something to tell. */
static struct world *open_world(struct buf *basic)
{
    struct world *w = world_new();
    struct buf pair;

    const char *secret =
        world_str(w, world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"one\",\"token_format\":\"reference\"}"),
                  "rs_secret");
    const char *client =
        world_str(w, world_admin(w, "{\"cmd\":\"client.add\",\"client_id\":\"c\"}"), "client_secret");
    world_admin(w, "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"one\",\"filter\":\"a/#\","
                   "\"permissions\":[\"pub\"]}");
    world_post(w, "/token", world_text(w, "{\"client_id\":\"c\",\"client_secret\":\"%s\"}", client));
    world_admin(w, "{\"cmd\":\"token.revoke\",\"client_id\":\"c\"}");
    buf_init(&pair, 256);
    put_fmt(&pair, "one:%s", secret);
    buf_init(basic, 512);
    put_str(basic, "Basic ");
    base64_encode(buf_span(&pair), basic);
    buf_done(&pair);
    return w;
}

static void check(struct world *w, const struct as_response *out)
{
    struct js *js = NULL;
    struct cb *cb = NULL;

    ASSERT(out->wait.wait_s > 0 || out->code == 200 || out->code == 304 || out->code == 400);
    if (out->content_type != NULL && strstr(out->content_type, "cbor") != NULL)
        ASSERT(cb_parse(buf_span(&out->body), AS_TRL_MAX, &cb, NULL) == ST_OK);
    else if (out->content_type != NULL)
        ASSERT(js_parse(buf_span(&out->body), AS_TRL_MAX, &js, NULL) == ST_OK);
    js_unref(js);
    cb_unref(cb);
    if (out->wait.wait_s > 0) {
        struct as_response later;
        as_wait_answer(w->as, &out->wait, w->now, &later);
        ASSERT(later.code == 200 || later.code == 304);
        as_response_done(&later);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world *w;
    static struct buf basic;
    struct span rest = span_of(data, size);
    struct lines l = { 0 };
    struct as_response out;

    if (w == NULL)
        w = open_world(&basic);
    for (size_t i = 0; i < COUNT_OF(l.line); i++) {
        size_t end = span_find(rest, '\n', 0);
        l.line[i] = span_cut(rest, 0, end);
        rest = span_cut(rest, end < rest.len ? end + 1 : rest.len, rest.len);
    }
    const struct as_request request = { .method = SPAN("GET"),
                                        .path = SPAN("/trl"),
                                        .authorization = buf_span(&basic),
                                        .peer = SPAN("192.0.2.1"),
                                        .prefer = l.line[2],
                                        .accept = l.line[3],
                                        .if_none_match = l.line[4],
                                        .query = query_of,
                                        .query_ctx = &l };
    as_answer(w->as, &request, w->now, &out);
    check(w, &out);
    as_response_done(&out);
    return 0;
}
