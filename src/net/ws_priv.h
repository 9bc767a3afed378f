/* net/ws_priv.h - what ws.c (frames) and ws_upgrade.c share. */
#ifndef SYMBOLON_NET_WS_PRIV_H
#define SYMBOLON_NET_WS_PRIV_H

#include "net/ws.h"

#include <wslay/wslay.h>

#define WS_ACCEPT_TEXT 29 /* base64 of a SHA-1, and NUL */
#define WS_CONTROL_MAX 125

struct ws {
    const struct ws_server_settings *server; /* NULL: we are the client */
    bool upgraded;
    bool ended; /* Close received, or failed */
    bool close_due, close_sent;
    bool pong_due;
    bool in_frame;   /* its first byte of payload, or its end, was seen */
    bool in_message; /* a data frame without FIN: only continuations may follow */
    uint16_t close_code;
    enum status failure;
    wslay_frame_context_ptr frames; /* NULL between frames */
    struct span in;                 /* lent to wslay during ws_read() */
    struct buf *to;                 /* lent to wslay during ws_write() */
    uint64_t frame_got;             /* payload of the frame under way */
    uint64_t fed, taken;         /* bytes since `frames` was made: given to it, and of whole frames got back */
    struct buf head;             /* of the upgrade, until complete */
    struct buf control;          /* payload of a control frame under way */
    struct buf pong;             /* payload of the last Ping: earlier ones need no answer (RFC 6455 5.5.3) */
    struct buf out;              /* request, answer or refusal */
    struct buf origin;           /* refused */
    char accept[WS_ACCEPT_TEXT]; /* client: what the server must answer */
};

/* Sec-WebSocket-Accept for the Sec-WebSocket-Key of that text (RFC 6455 4.2.2). */
enum status ws_accept_of(struct span key, char out[WS_ACCEPT_TEXT]) MUST_CHECK;
/* Puts the client's request into ws->out. */
enum status ws_request(struct ws *ws, const struct ws_client_settings *settings, struct why *why) MUST_CHECK;

#endif
