/* Whatever a stranger sends to an HTTP server: a head, and a body in chunks whose bites (the first byte says how long) make
 * no difference. */
#include "net/http_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 4096

static enum status unchunk(struct span in, size_t bite, struct buf *body, size_t *ret_used)
{
    struct http_chunks c = { 0 };
    enum status st = ST_OK;

    *ret_used = 0;
    while (st == ST_OK && c.state != CHUNKS_DONE && *ret_used < in.len) {
        struct span piece = span_cut(in, *ret_used, bite), rest = piece;
        st = http_chunks_read(&c, &rest, body);
        ASSERT(rest.len < piece.len);
        *ret_used += piece.len - rest.len;
    }
    return st == ST_OK && c.state != CHUNKS_DONE ? ST_PENDING : st;
}

static void both_ways(struct span in, size_t bite)
{
    struct buf whole, bitten;
    size_t used_whole = 0, used_bitten = 0;

    buf_init(&whole, BODY_MAX);
    buf_init(&bitten, BODY_MAX);
    enum status st = unchunk(in, in.len + 1, &whole, &used_whole);
    ASSERT(unchunk(in, bite, &bitten, &used_bitten) == st);
    ASSERT(st != ST_OK || (used_whole == used_bitten && span_eq(buf_span(&whole), buf_span(&bitten))));
    buf_done(&whole);
    buf_done(&bitten);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head head;
    struct http_framing framing;
    struct buf value;
    int code = 0;

    if (size == 0 || size > HTTP_HEAD_MAX)
        return 0;
    struct span in = span_of(data + 1, size - 1);
    size_t len = http_head_end(in, 0);
    struct span text = span_cut(in, 0, len);
    buf_init(&value, HTTP_HEAD_MAX);
    if (len > 0 && http_request_parse(text, &head, NULL) == ST_OK) {
        enum status st = http_framing_of(&head, &framing, &code, NULL);
        ASSERT(st == ST_OK || code >= 400);
        ASSERT(st != ST_OK || framing.path.len > 0);
        if (st == ST_OK)
            (void)http_query_value(framing.query, "diff", &value);
        ASSERT(value.len <= framing.query.len);
    }
    buf_done(&value);
    both_ways(span_cut(in, len, in.len), (size_t)data[0] % 16 + 1);
    return 0;
}
