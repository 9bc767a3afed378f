/* Whatever a stranger sends before there is a WebSocket: to a server, and with bit 0 of the first byte set to a client. The
 * rest of that byte says in which bites it comes, which must make no difference. */
#include "net/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const origins[] = { "https://good.example" };
static const struct ws_server_settings at = { WS_PATH, origins, 1 };
static const struct ws_client_settings to = { "broker.example", 8080, false, WS_PATH };

/* What came of it; *ret_used are the bytes that belong to the head. */
static enum ws_result run(bool client, struct span input, size_t bite, size_t *ret_used, struct buf *out)
{
    struct ws *ws;
    struct why why = { 0 };
    enum ws_result result = WS_WANT_INPUT;
    enum status st = client ? ws_new_client(&to, &ws, NULL) : ws_new_server(&at, &ws, NULL);
    ASSERT(st == ST_OK);
    if (client && ws_write(ws, SPAN_NONE, out) == ST_OK)
        buf_reset(out);
    *ret_used = 0;
    while (result == WS_WANT_INPUT && *ret_used < input.len) {
        struct span part = span_cut(input, *ret_used, bite), left = part;
        result = ws_upgrade(ws, &left, &why);
        ASSERT(left.len <= part.len);
        ASSERT(result != WS_WANT_INPUT || left.len == 0);
        *ret_used += part.len - left.len;
    }
    ASSERT(*ret_used <= WS_HEAD_MAX);
    ASSERT(ws_upgraded(ws) == (result == WS_OK));
    ASSERT((result == WS_FAILED) == (ws_failure(ws) != ST_OK));
    ASSERT(ws_has_output(ws) == (!client && result != WS_WANT_INPUT)); /* a server always answers */
    if (ws_write(ws, SPAN("payload"), out) != ST_OK)
        buf_reset(out);
    ws_free(ws);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_of(data, size);
    struct buf whole, bitten;
    size_t used, used_bitten;

    if (size == 0)
        return 0;
    bool client = (data[0] & 1) != 0;
    size_t bite = (size_t)(data[0] >> 1) + 1;
    input = span_cut(input, 1, input.len);
    buf_init(&whole, 1u << 20);
    buf_init(&bitten, 1u << 20);
    enum ws_result result = run(client, input, SIZE_MAX, &used, &whole);
    enum ws_result again = run(client, input, bite, &used_bitten, &bitten);
    ASSERT(result == again);
    if (result == WS_OK && again == WS_OK) /* a server's answer is the same, and so is where the frames begin */
        ASSERT(used == used_bitten && (client || span_eq(buf_span(&whole), buf_span(&bitten))));
    buf_done(&whole);
    buf_done(&bitten);
    return 0;
}
