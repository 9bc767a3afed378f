#include "base/utf8.h"
#include "crypto/random.h"
#include "net/ws_priv.h"

#include <stdlib.h>

enum {
    CODE_NONE = 1005, /* never sent: a Close without a code */
};

/* -- life ------------------------------------------------------------------------------------------------ */

static struct ws *make(void)
{
    struct ws *ws = calloc(1, sizeof *ws);
    if (ws == NULL)
        return NULL;
    buf_init(&ws->head, WS_HEAD_MAX);
    buf_init(&ws->control, WS_CONTROL_MAX);
    buf_init(&ws->pong, WS_CONTROL_MAX);
    buf_init(&ws->out, WS_HEAD_MAX);
    buf_init(&ws->origin, WS_HEAD_MAX);
    return ws;
}

enum status ws_new_server(const struct ws_server_settings *settings, struct ws **ret_ws, struct why *why)
{
    struct ws *ws = make();
    if (ws == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    ws->server = settings;
    *ret_ws = ws;
    return ST_OK;
}

enum status ws_new_client(const struct ws_client_settings *settings, struct ws **ret_ws, struct why *why)
{
    struct ws *ws = make();
    enum status st =
        ws == NULL ? reject(why, ST_NO_MEMORY, "memory", "out of memory", 0) : ws_request(ws, settings, why);
    if (st != ST_OK) {
        ws_free(ws);
        return st;
    }
    *ret_ws = ws;
    return ST_OK;
}

static void drop_frames(struct ws *ws)
{
    if (ws->frames != NULL)
        wslay_frame_context_free(ws->frames);
    ws->frames = NULL;
    ws->fed = ws->taken = 0;
}

void ws_free(struct ws *ws)
{
    if (ws == NULL)
        return;
    drop_frames(ws);
    buf_done(&ws->head);
    buf_done(&ws->control);
    buf_done(&ws->pong);
    buf_done(&ws->out);
    buf_done(&ws->origin);
    free(ws);
}

/* -- wslay's side ---------------------------------------------------------------------------------------- */

static ssize_t on_recv(uint8_t *room, size_t len, int flags, void *user)
{
    struct ws *ws = user;
    struct span part = span_cut(ws->in, 0, len);
    (void)flags;
    if (part.len == 0)
        return -1;
    memcpy(room, part.p, part.len);
    ws->in = span_cut(ws->in, part.len, ws->in.len);
    return (ssize_t)part.len;
}

static ssize_t on_send(const uint8_t *data, size_t len, int flags, void *user)
{
    struct ws *ws = user;
    (void)flags;
    put_bytes(ws->to, span_of(data, len));
    return buf_ok(ws->to) ? (ssize_t)len : -1;
}

static int on_mask(uint8_t *room, size_t len, void *user)
{
    (void)user;
    return random_bytes(room, len) == ST_OK ? 0 : -1;
}

static const struct wslay_frame_callbacks callbacks = { on_send, on_recv, on_mask };

/* -- reading --------------------------------------------------------------------------------------------- */

static enum ws_result fail(struct ws *ws, uint16_t code, enum status st, struct why *why, const char *clause,
                           const char *text)
{
    ws->ended = true;
    ws->close_code = code;
    ws->failure = reject(why, st, clause, text, 0);
    return WS_FAILED;
}

static enum ws_result violation(struct ws *ws, struct why *why, const char *clause, const char *text)
{
    return fail(ws, WSLAY_CODE_PROTOCOL_ERROR, ST_PROTOCOL, why, clause, text);
}

static bool is_control(const struct wslay_frame_iocb *frame)
{
    return wslay_is_ctrl_frame(frame->opcode) != 0;
}

/* What wslay leaves to us; lengths of control frames and the form of every length it has checked. */
static enum ws_result begin_frame(struct ws *ws, const struct wslay_frame_iocb *frame, struct why *why)
{
    bool from_client = ws->server != NULL;
    if (frame->rsv != 0)
        return violation(ws, why, "RFC 6455 5.2", "a reserved bit is set and no extension was agreed on");
    if ((frame->mask != 0) != from_client)
        return violation(ws, why, "RFC 6455 5.1",
                         from_client ? "a client's frame is not masked" : "a server's frame is masked");
    switch (frame->opcode) {
    case WSLAY_CONTINUATION_FRAME:
        if (!ws->in_message)
            return violation(ws, why, "RFC 6455 5.4", "a continuation of nothing");
        break;
    case WSLAY_BINARY_FRAME:
        if (ws->in_message)
            return violation(ws, why, "RFC 6455 5.4", "a message within a message");
        break;
    case WSLAY_TEXT_FRAME:
        return fail(ws, WSLAY_CODE_UNSUPPORTED_DATA, ST_PROTOCOL, why, "MQTT5 [MQTT-6.0.0-1]",
                    "MQTT in a text frame");
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        break;
    default:
        return violation(ws, why, "RFC 6455 5.2", "an opcode that nobody has defined");
    }
    if (frame->payload_length > WS_FRAME_MAX)
        return fail(ws, WSLAY_CODE_MESSAGE_TOO_BIG, ST_TOO_LARGE, why, "RFC 6455 10.4",
                    "a frame larger than any here may be");
    ws->in_frame = true;
    ws->frame_got = 0;
    return WS_OK;
}

/* Those that may be sent: RFC 6455 7.4. */
static bool close_code_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static enum ws_result take_close(struct ws *ws, struct why *why)
{
    struct span payload = buf_span(&ws->control);
    uint16_t code = CODE_NONE;
    if (payload.len == 1)
        return violation(ws, why, "RFC 6455 5.5.1", "half a status code");
    if (payload.len >= 2) {
        code = (uint16_t)(payload.p[0] << 8 | payload.p[1]);
        if (!close_code_valid(code))
            return violation(ws, why, "RFC 6455 7.4", "a status code that nobody may send");
        if (!utf8_valid(span_cut(payload, 2, payload.len)))
            return fail(ws, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, ST_PROTOCOL, why, "RFC 6455 8.1",
                        "the reason is not UTF-8");
    }
    ws->ended = true;
    ws->close_code = code;
    return WS_CLOSED;
}

static enum ws_result end_frame(struct ws *ws, const struct wslay_frame_iocb *frame, struct why *why)
{
    enum ws_result result = WS_OK;
    ws->in_frame = false;
    ws->taken += 2 +
                 (frame->payload_length > UINT16_MAX ? 8u
                  : frame->payload_length > 125      ? 2u
                                                     : 0u) +
                 (frame->mask != 0 ? 4u : 0u) + frame->payload_length;
    if (!is_control(frame)) {
        ws->in_message = frame->fin == 0;
        return WS_OK;
    }
    if (frame->opcode == WSLAY_CONNECTION_CLOSE) {
        result = take_close(ws, why);
    } else if (frame->opcode == WSLAY_PING) {
        buf_reset(&ws->pong);
        put_bytes(&ws->pong, buf_span(&ws->control));
        ws->pong_due = buf_ok(&ws->pong);
    }
    buf_done(&ws->control);
    return result;
}

static enum ws_result take_part(struct ws *ws, const struct wslay_frame_iocb *part, uint8_t *room,
                                size_t *ret_len, struct why *why)
{
    if (!ws->in_frame) {
        enum ws_result result = begin_frame(ws, part, why);
        if (result != WS_OK)
            return result;
    }
    if (is_control(part)) {
        put_bytes(&ws->control, span_of(part->data, part->data_length));
        if (!buf_ok(&ws->control))
            return fail(ws, WSLAY_CODE_INTERNAL_SERVER_ERROR, ST_NO_MEMORY, why, "memory", "out of memory");
    } else if (part->data_length > 0) {
        memcpy(room + *ret_len, part->data, part->data_length);
        *ret_len += part->data_length;
    }
    ws->frame_got += part->data_length;
    return ws->frame_got == part->payload_length ? end_frame(ws, part, why) : WS_OK;
}

/* wslay takes up to 4 KiB into its own buffer before it gives anything back, so `room` never overtakes `in`. */
enum ws_result ws_read(struct ws *ws, struct span in, uint8_t *room, size_t *ret_len, struct why *why)
{
    *ret_len = 0;
    ASSERT(ws->upgraded && !ws->ended);
    if (ws->frames == NULL && wslay_frame_context_init(&ws->frames, &callbacks, ws) != 0) {
        ws->frames = NULL;
        return fail(ws, WSLAY_CODE_INTERNAL_SERVER_ERROR, ST_NO_MEMORY, why, "memory", "out of memory");
    }
    ws->in = in;
    ws->fed += in.len;
    for (;;) {
        struct wslay_frame_iocb part = { 0 };
        ssize_t n = wslay_frame_recv(ws->frames, &part);
        if (n == WSLAY_ERR_WANT_READ && ws->in.len == 0)
            break;
        if (n < 0 && n != WSLAY_ERR_WANT_READ)
            return violation(ws, why, "RFC 6455 5.2", "the head of a frame is malformed");
        enum ws_result result = n < 0 ? WS_OK : take_part(ws, &part, room, ret_len, why);
        if (result != WS_OK)
            return result;
    }
    if (ws->fed == ws->taken)
        drop_frames(ws);
    return WS_OK;
}

enum status ws_failure(const struct ws *ws)
{
    return ws->failure;
}

bool ws_upgraded(const struct ws *ws)
{
    return ws->upgraded;
}

/* -- writing --------------------------------------------------------------------------------------------- */

bool ws_has_output(const struct ws *ws)
{
    return ws->out.len > 0 || ((ws->pong_due || ws->close_due) && !ws->close_sent);
}

/* A whole frame each time, so nothing of wslay's needs to be kept. */
static bool write_frame(struct ws *ws, uint8_t opcode, struct span payload, struct buf *out)
{
    struct wslay_frame_iocb frame = { .fin = 1,
                                      .opcode = opcode,
                                      .payload_length = payload.len,
                                      .mask = ws->server == NULL,
                                      .data = payload.p,
                                      .data_length = payload.len };
    wslay_frame_context_ptr frames;
    if (wslay_frame_context_init(&frames, &callbacks, ws) != 0)
        return false;
    ws->to = out;
    ssize_t n = wslay_frame_send(frames, &frame);
    wslay_frame_context_free(frames);
    return n == (ssize_t)payload.len && buf_ok(out);
}

static bool write_close(struct ws *ws, struct buf *out)
{
    const uint8_t code[2] = { (uint8_t)(ws->close_code >> 8), (uint8_t)ws->close_code };
    ws->close_sent = true;
    return write_frame(ws, WSLAY_CONNECTION_CLOSE, span_of(code, ws->close_code == CODE_NONE ? 0 : 2), out);
}

enum status ws_write(struct ws *ws, struct span payload, struct buf *out)
{
    bool written = true;
    put_bytes(out, buf_span(&ws->out));
    buf_done(&ws->out);
    if (!ws->upgraded || ws->close_sent)
        return buf_ok(out) ? ST_OK : ST_NO_MEMORY;
    if (ws->pong_due) {
        ws->pong_due = false;
        written = write_frame(ws, WSLAY_PONG, buf_span(&ws->pong), out);
        buf_done(&ws->pong);
    }
    if (written && payload.len > 0)
        written = write_frame(ws, WSLAY_BINARY_FRAME, payload, out);
    if (written && ws->close_due)
        written = write_close(ws, out);
    return written && buf_ok(out) ? ST_OK : ST_NO_MEMORY;
}

void ws_close(struct ws *ws)
{
    if (!ws->upgraded)
        return;
    ws->close_due = true;
    if (ws->close_code == 0)
        ws->close_code = WSLAY_CODE_NORMAL_CLOSURE;
}
