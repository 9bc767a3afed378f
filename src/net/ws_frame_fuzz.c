/* Whatever a stranger sends once there is a WebSocket, whole and in bites of the size in the first byte: the same bytes
 * arrive, and the same end. */
#include "net/ws.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ws_server_settings at = { .path = WS_PATH };
static const char request[] = "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Protocol: mqtt\r\n\r\n";

static struct ws *open_server(void)
{
    struct span in = SPAN(request);
    struct why why = { 0 };
    struct buf out = { .max = 4096 };
    struct ws *ws;
    enum status st = ws_new_server(&at, &ws, NULL);
    ASSERT(st == ST_OK);
    enum ws_result result = ws_upgrade(ws, &in, &why);
    ASSERT(result == WS_OK);
    st = ws_write(ws, SPAN_NONE, &out);
    ASSERT(st == ST_OK);
    buf_done(&out);
    return ws;
}

static enum ws_result run(struct span input, size_t bite, struct buf *got, struct buf *said)
{
    struct ws *ws = open_server();
    struct why why = { 0 };
    enum ws_result result = WS_OK;
    for (size_t i = 0; i < input.len && result == WS_OK; i += bite) {
        struct span part = span_cut(input, i, bite);
        uint8_t *room = malloc(part.len); /* of that size, so that a byte too many is seen */
        size_t len = 0;
        ASSERT(room != NULL);
        memcpy(room, part.p, part.len);
        result = ws_read(ws, span_of(room, part.len), room, &len, &why);
        ASSERT(len <= part.len);
        put_bytes(got, span_of(room, len));
        free(room);
    }
    ws_close(ws);
    enum status st = ws_write(ws, SPAN("payload"), said);
    ASSERT(st == ST_OK);
    ASSERT(!ws_has_output(ws));
    ws_free(ws);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_of(data, size);
    struct buf whole, bitten, said_whole, said_bitten;

    if (size == 0)
        return 0;
    input = span_cut(input, 1, input.len);
    buf_init(&whole, size);
    buf_init(&bitten, size);
    buf_init(&said_whole, 4096);
    buf_init(&said_bitten, 4096);
    enum ws_result result = run(input, input.len + 1, &whole, &said_whole);
    enum ws_result again = run(input, (size_t)data[0] + 1, &bitten, &said_bitten);
    ASSERT(result == again);
    ASSERT(span_eq(buf_span(&whole), buf_span(&bitten)));
    ASSERT(span_eq(buf_span(&said_whole), buf_span(&said_bitten)));
    buf_done(&whole);
    buf_done(&bitten);
    buf_done(&said_whole);
    buf_done(&said_bitten);
    return 0;
}
