/* net/ws_world.h - for tests: WebSockets over memory, upgraded or about to be. */
#ifndef SYMBOLON_NET_WS_WORLD_H
#define SYMBOLON_NET_WS_WORLD_H

#include "net/ws_priv.h"

#define WS_WORLD_MAX (8u * 1024 * 1024)

/* RFC 6455 1.3 */
#define KEY          "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT       "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define REQUEST_LINE "GET /mqtt HTTP/1.1\r\n"
#define HOST         "Host: broker.example\r\n"
#define UPGRADE      "Upgrade: websocket\r\n"
#define CONNECTION   "Connection: Upgrade\r\n"
#define VERSION      "Sec-WebSocket-Version: 13\r\n"
#define WITH_KEY     "Sec-WebSocket-Key: " KEY "\r\n"
#define PROTOCOL     "Sec-WebSocket-Protocol: mqtt\r\n"
#define FIELDS       HOST UPGRADE CONNECTION VERSION WITH_KEY PROTOCOL
#define GOOD         REQUEST_LINE FIELDS "\r\n"

#define SWITCHING    "HTTP/1.1 101 Switching Protocols\r\n"
#define CHOSEN       "Sec-WebSocket-Protocol: mqtt\r\n"
#define ANSWER       UPGRADE CONNECTION "Sec-WebSocket-Accept: @\r\n"

/* /mqtt, for pages of https://good.example and https://also.example:8443 */
extern const struct ws_server_settings ws_world_at;
extern const struct ws_client_settings ws_world_to; /* ws://broker.example:8080/mqtt */

struct ws *ws_world_server(const struct ws_server_settings *settings);
struct ws *ws_world_client(const struct ws_client_settings *settings);
/* What comes out besides frames of data. */
struct buf ws_world_said(struct ws *ws);
/* The text in pieces of `bite` bytes, until there is a result. */
enum ws_result ws_world_upgrade(struct ws *ws, const char *text, size_t bite, struct why *why);
/* The same to a client; '@' in the text stands for the Sec-WebSocket-Accept that is right. */
enum ws_result ws_world_answer(struct ws *client, const char *text, struct why *why);
struct ws *ws_world_open_server(void);
struct ws *ws_world_open_client(void);

#endif
