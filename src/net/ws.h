/* net/ws.h - one WebSocket connection over memory (RFC 6455): bytes in, bytes out, no socket; as net/tls.h is for TLS.
 * It carries MQTT (MQTT5 6, MQTT3 6): the payload of binary frames, however cut, is one run of bytes. Frames are read
 * as they come and never put together, so a peer's frame or message of any length costs no memory. libwslay reads
 * and writes them; the HTTP upgrade in front is ours.
 * Between frames a connection holds no buffer; within one, 4 KiB.
 * Ownership: the settings of a server are borrowed and must outlive the connection; those of a client are copied.
 * Threads:   by one thread at a time; it may change threads between calls. */
#ifndef SYMBOLON_NET_WS_H
#define SYMBOLON_NET_WS_H

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

#define WS_PATH      "/mqtt"
#define WS_HEAD_MAX  8192         /* bytes of an HTTP request or response in front */
#define WS_FRAME_MAX (1ull << 30) /* a longer frame is refused before its payload is read (1009) */

struct ws_server_settings {
    const char *path; /* of the request, without its query; anything else is 404 */
    const char *const
        *origins; /* web pages that may connect, compared exactly; "*": any. A browser names the origin of
                                 * the page, other clients name none and are not asked (RFC 6455 10.2) */
    size_t origin_count;
};

struct ws_client_settings {
    const char *host; /* for the Host field: a name, or an address without brackets */
    uint16_t port;
    bool tls; /* 443 is the port that goes without saying, else 80 */
    const char *path;
};

struct ws;

enum status ws_new_server(const struct ws_server_settings *settings, struct ws **ret_ws,
                          struct why *why) MUST_CHECK;
/* What a client may ask for: begins with '/', holds no space, fragment, or byte that is not ASCII. */
bool ws_path_valid(const char *path);
/* Its request is to be sent: ws_write(). */
enum status ws_new_client(const struct ws_client_settings *settings, struct ws **ret_ws,
                          struct why *why) MUST_CHECK;
void ws_free(struct ws *ws);

enum ws_result {
    WS_OK,
    WS_WANT_INPUT, /* all of the input was used and more is needed */
    WS_CLOSED,     /* the peer sent Close */
    WS_FAILED /* `why` says so; a refused upgrade has its answer in the output, else ws_close() makes one */
};

/* Until WS_OK. `in` advances over what was used; what is left are frames. */
enum ws_result ws_upgrade(struct ws *ws, struct span *in, struct why *why);
/* Uses all of `in` and puts the payload that it holds to `room`, which has in.len bytes and may be the same memory.
 * With every result *ret_len bytes have arrived in order before it. WS_OK: the frames are fine so far. */
enum ws_result ws_read(struct ws *ws, struct span in, uint8_t *room, size_t *ret_len, struct why *why);
/* After WS_FAILED. */
enum status ws_failure(const struct ws *ws);
/* True from the upgrade on, whatever happened since. */
bool ws_upgraded(const struct ws *ws);
/* The origin that was not on the list, if that was it: as hostile as everything a peer says. */
struct span ws_refused_origin(const struct ws *ws);

/* The connection itself has something to say: a request, an answer to one, a Pong, a Close. */
bool ws_has_output(const struct ws *ws);
/* Appends that to `out`, in its place before or behind `payload`, which becomes one binary frame (none if empty;
 * not before the upgrade, nor after ws_close()). */
enum status ws_write(struct ws *ws, struct span payload, struct buf *out) MUST_CHECK;
/* Nothing more will be sent: after the upgrade Close with the code that fits, which answers the peer's. */
void ws_close(struct ws *ws);

#endif
