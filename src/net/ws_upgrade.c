/* The HTTP/1.1 exchange in front of a WebSocket: RFC 6455 4. */
#include "crypto/hash.h"
#include "crypto/random.h"
#include "net/http_authority.h"
#include "net/ws_http.h"
#include "net/ws_priv.h"

#include <gnutls/gnutls.h>
#include <stdio.h>

#define KEY_LEN  16
#define KEY_TEXT 24
#define GUID     "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* The one name there is for MQTT 5 and 3.1.1; `mqttv3.1` is that of MQTT 3.1, which is not spoken here. */
#define SUBPROTOCOL "mqtt"

/* -- keys ------------------------------------------------------------------------------------------------ */

static enum status to_base64(struct span bytes, char *out, size_t cap)
{
    const gnutls_datum_t raw = { (unsigned char *)(uintptr_t)bytes.p, (unsigned)bytes.len };
    gnutls_datum_t text;
    if (gnutls_base64_encode2(&raw, &text) != 0)
        return ST_NO_MEMORY;
    ASSERT(text.size < cap);
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    gnutls_free(text.data);
    return ST_OK;
}

enum status ws_accept_of(struct span key, char out[WS_ACCEPT_TEXT])
{
    uint8_t text[KEY_TEXT + sizeof GUID], hash[SHA1_LEN];
    ASSERT(key.len == KEY_TEXT);
    memcpy(text, key.p, key.len);
    memcpy(text + key.len, GUID, sizeof GUID - 1);
    enum status st = sha1(span_of(text, key.len + sizeof GUID - 1), hash);
    return st == ST_OK ? to_base64(span_of(hash, sizeof hash), out, WS_ACCEPT_TEXT) : st;
}

/* Base64 of 16 bytes has one spelling: what does not come out again was not that. */
static bool key_valid(struct span text)
{
    const gnutls_datum_t encoded = { (unsigned char *)(uintptr_t)text.p, (unsigned)text.len };
    gnutls_datum_t raw = { NULL, 0 };
    char again[KEY_TEXT + 1];
    if (text.len != KEY_TEXT || gnutls_base64_decode2(&encoded, &raw) != 0)
        return false;
    bool same = raw.size == KEY_LEN && to_base64(span_of(raw.data, raw.size), again, sizeof again) == ST_OK &&
                span_eq_str(text, again);
    gnutls_free(raw.data);
    return same;
}

/* -- the head, put together ------------------------------------------------------------------------------ */

/* What never stands in a head: somebody speaks MQTT, or TLS, to the wrong port, and is told at once. */
static bool has_control(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((s.p[i] < 0x20 && s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != '\t') || s.p[i] == 0x7f)
            return true;
    return false;
}

/* ST_PENDING: more is needed. */
static enum status gather_head(struct ws *ws, struct span *in, struct why *why)
{
    size_t before = ws->head.len;
    struct span part = span_cut(*in, 0, WS_HEAD_MAX - before);
    put_bytes(&ws->head, part);
    if (!buf_ok(&ws->head))
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    size_t end = http_head_end(buf_span(&ws->head), before);
    if (end > 0)
        buf_truncate(&ws->head, end);
    if (has_control(span_cut(buf_span(&ws->head), before, ws->head.len)))
        return reject(why, ST_MALFORMED, "RFC 9112 2.2", "this is not HTTP", 0);
    if (end > 0) {
        *in = span_cut(*in, end - before, in->len);
        return ST_OK;
    }
    if (ws->head.len == WS_HEAD_MAX)
        return reject(why, ST_TOO_LARGE, "RFC 6585 5", "the head of the HTTP message is too long", 0);
    *in = span_cut(*in, part.len, in->len);
    return ST_PENDING;
}

static enum ws_result over(struct ws *ws, enum status st)
{
    buf_done(&ws->head);
    ws->failure = st;
    ws->ended = st != ST_OK;
    ws->upgraded = st == ST_OK;
    return st == ST_OK ? WS_OK : WS_FAILED;
}

/* -- the server's side ----------------------------------------------------------------------------------- */

struct answer {
    int code;
    enum status st;
    const char *phrase;
    const char *fields; /* besides those every refusal has */
};

#define UPGRADE_FIELDS "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"

static const struct answer answers[] = {
    { 400, ST_PROTOCOL, "Bad Request", "" },
    { 403, ST_DENIED, "Forbidden", "" },
    { 404, ST_NOT_FOUND, "Not Found", "" },
    { 405, ST_PROTOCOL, "Method Not Allowed", "Allow: GET\r\n" },
    { 426, ST_BAD_VERSION, "Upgrade Required", UPGRADE_FIELDS },
    { 431, ST_TOO_LARGE, "Request Header Fields Too Large", "" },
    { 503, ST_NO_MEMORY, "Service Unavailable", "" },
    { 505, ST_BAD_VERSION, "HTTP Version Not Supported", "" },
};

/* Into ws->out; the status that says the same. */
static enum status put_refusal(struct ws *ws, int code, const char *text)
{
    const struct answer *a = answers;
    while (a->code != code)
        a++;
    put_fmt(&ws->out,
            "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%sConnection: %s\r\n\r\n%s\n",
            code, a->phrase, strlen(text) + 1, a->fields, code == 426 ? "close, Upgrade" : "close", text);
    return a->st;
}

static int refuse(int code, struct why *why, const char *clause, const char *text)
{
    (void)reject(why, ST_PROTOCOL, clause, text, 0);
    return code;
}

/* "/mqtt?x=1", or "http://host/mqtt" as RFC 9112 3.2.2 allows. SPAN_NONE: it names no host. */
static struct span path_of(struct span target)
{
    static const char *const schemes[] = { "http://", "https://", "ws://", "wss://" };
    struct span rest = span_cut(target, 0, span_find(target, '?', 0));

    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        size_t len = strlen(schemes[i]);
        size_t path = span_find(rest, '/', len);
        if (!http_same(span_cut(rest, 0, len), schemes[i]))
            continue;
        return http_authority_named(span_cut(rest, len, path - len)) ? span_cut(rest, path, rest.len)
                                                                     : SPAN_NONE;
    }
    return rest;
}

/* No page may use a visitor's browser to get at the broker from inside his network, unless it is on the list. */
static bool origin_allowed(const struct ws_server_settings *settings, struct span origin)
{
    for (size_t i = 0; i < settings->origin_count; i++)
        if (strcmp(settings->origins[i], "*") == 0 || span_eq_str(origin, settings->origins[i]))
            return true;
    return false;
}

/* The request line and what HTTP itself demands: 0 or the status code. */
static int check_http(const struct ws *ws, const struct http_head *head, struct why *why)
{
    struct span value;
    if (!span_starts_with(head->start[2], SPAN("HTTP/")))
        return refuse(400, why, "RFC 9112 3", "not a request line");
    if (!span_eq_str(head->start[2], "HTTP/1.1"))
        return refuse(505, why, "RFC 6455 4.2.1", "not HTTP/1.1");
    if (!span_eq_str(head->start[0], "GET"))
        return refuse(405, why, "RFC 6455 4.2.1", "the method is not GET");
    if (http_field(head, "Host", &value) != 1 || value.len == 0)
        return refuse(400, why, "RFC 6455 4.2.1", "there is to be one Host field");
    if (!http_authority_named(value))
        return refuse(400, why, "RFC 9112 3.2", "Host is not a host with perhaps a port");
    if (http_field(head, "Transfer-Encoding", NULL) > 0 ||
        (http_field(head, "Content-Length", &value) > 0 && !span_eq_str(value, "0")))
        return refuse(400, why, "RFC 6455 4.1", "a body where none may be");
    if (path_of(head->start[1]).p == NULL)
        return refuse(400, why, "RFC 9110 4.2.1", "the target names no host");
    if (!span_eq_str(path_of(head->start[1]), ws->server->path))
        return refuse(404, why, "path", "nothing at this path");
    return 0;
}

static int check_upgrade(const struct ws *ws, const struct http_head *head, struct span *key, struct why *why)
{
    struct span value;
    if (!http_lists(head, "Upgrade", "websocket", true) || !http_lists(head, "Connection", "Upgrade", true))
        return refuse(426, why, "RFC 6455 4.2.1", "no upgrade to WebSocket was asked for");
    if (http_field(head, "Sec-WebSocket-Version", &value) != 1 || !span_eq_str(value, "13"))
        return refuse(426, why, "RFC 6455 4.4", "WebSocket version 13 is spoken here");
    if (http_field(head, "Sec-WebSocket-Key", key) != 1 || !key_valid(*key))
        return refuse(400, why, "RFC 6455 4.2.1",
                      "there is to be one Sec-WebSocket-Key, of 16 bytes in base64");
    if (!http_lists(head, "Sec-WebSocket-Protocol", SUBPROTOCOL, false))
        return refuse(400, why, "MQTT5 [MQTT-6.0.0-3]", "the subprotocol `mqtt` is not among those offered");
    size_t origins = http_field(head, "Origin", &value);
    if (origins > 1)
        return refuse(400, why, "RFC 6454 7.3", "more than one Origin");
    if (origins == 1 && !origin_allowed(ws->server, value))
        return refuse(403, why, "origins", "pages of this origin may not connect");
    return 0;
}

static int code_of_head(enum status st)
{
    return st == ST_TOO_LARGE ? 431 : st == ST_NO_MEMORY ? 503 : 400;
}

/* So that whoever reads the log knows what to allow, or who knocks. */
static void keep_origin(struct ws *ws, const struct http_head *head)
{
    struct span origin = SPAN_NONE;
    (void)http_field(head, "Origin", &origin);
    put_bytes(&ws->origin, origin);
}

struct span ws_refused_origin(const struct ws *ws)
{
    return buf_span(&ws->origin);
}

static enum ws_result upgrade_server(struct ws *ws, struct why *why)
{
    struct http_head head;
    struct span key = SPAN_NONE;
    char accept[WS_ACCEPT_TEXT];

    enum status st = http_request_parse(buf_span(&ws->head), &head, why);
    int code = st != ST_OK ? code_of_head(st) : check_http(ws, &head, why);
    if (code == 0)
        code = check_upgrade(ws, &head, &key, why);
    if (code == 0 && ws_accept_of(key, accept) != ST_OK)
        code = refuse(503, why, "RFC 6455 4.2.2", "no answer could be made");
    if (code == 403)
        keep_origin(ws, &head);
    if (code != 0)
        return over(ws, put_refusal(ws, code, why->text));
    put_fmt(&ws->out,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: " SUBPROTOCOL "\r\n\r\n",
            accept);
    if (!buf_ok(&ws->out))
        st = reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    return over(ws, st);
}

/* -- the client's side ----------------------------------------------------------------------------------- */

/* A path or host with anything else could end a line and begin another. */
static bool is_visible(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text <= 0x20 || *text >= 0x7f)
            return false;
    return true;
}

bool ws_path_valid(const char *path)
{
    return path[0] == '/' && is_visible(path) && strchr(path, '#') == NULL && strlen(path) < WS_HEAD_MAX / 2;
}

enum status ws_request(struct ws *ws, const struct ws_client_settings *settings, struct why *why)
{
    uint8_t raw[KEY_LEN];
    char key[KEY_TEXT + 1], port[8] = "";
    bool v6 = strchr(settings->host, ':') != NULL;

    if (!ws_path_valid(settings->path))
        return reject(why, ST_MALFORMED, "RFC 6455 3",
                      "the path of a WebSocket begins with '/' and holds no space", 0);
    if (!is_visible(settings->host))
        return reject(why, ST_MALFORMED, "RFC 6455 3", "not the name of a host", 0);
    if (settings->port != (settings->tls ? 443 : 80))
        (void)snprintf(port, sizeof port, ":%u", (unsigned)settings->port);
    enum status st = random_bytes(raw, sizeof raw);
    if (st == ST_OK)
        st = to_base64(span_of(raw, sizeof raw), key, sizeof key);
    if (st == ST_OK)
        st = ws_accept_of(span_of_str(key), ws->accept);
    if (st != ST_OK)
        return reject(why, st, "RFC 6455 4.1", "no key could be made", 0);
    put_fmt(&ws->out,
            "GET %s HTTP/1.1\r\nHost: %s%s%s%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: " SUBPROTOCOL
            "\r\n\r\n",
            settings->path, v6 ? "[" : "", settings->host, v6 ? "]" : "", port, key);
    return buf_ok(&ws->out) ? ST_OK : reject(why, ST_TOO_LARGE, "RFC 6455 3", "the path is too long", 0);
}

/* A `why` is made of static strings, so the usual refusals have theirs. */
static enum status refused_by_server(struct span code, struct why *why)
{
    static const struct {
        const char *code, *text;
        enum status st;
    } rows[] = {
        { "400", "the server refused the upgrade to WebSocket: 400 Bad Request", ST_PROTOCOL },
        { "401", "the server refused the upgrade to WebSocket: 401 Unauthorized", ST_DENIED },
        { "403", "the server refused the upgrade to WebSocket: 403 Forbidden", ST_DENIED },
        { "404", "the server knows no WebSocket at this path: 404 Not Found", ST_NOT_FOUND },
        { "426", "the server speaks another version of WebSocket: 426 Upgrade Required", ST_BAD_VERSION },
        { "502", "a proxy cannot reach the server: 502 Bad Gateway", ST_UNREACHABLE },
        { "503", "the server is not available: 503 Service Unavailable", ST_UNREACHABLE },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (span_eq_str(code, rows[i].code))
            return reject(why, rows[i].st, "RFC 6455 4.1", rows[i].text, 0);
    return reject(why, ST_PROTOCOL, "RFC 6455 4.1", "the server did not upgrade to WebSocket", 0);
}

static enum status check_response(const struct ws *ws, const struct http_head *head, struct why *why)
{
    struct span value;
    if (!span_eq_str(head->start[0], "HTTP/1.1"))
        return reject(why, ST_PROTOCOL, "RFC 6455 4.1", "the server does not speak HTTP/1.1", 0);
    if (!span_eq_str(head->start[1], "101"))
        return refused_by_server(head->start[1], why);
    if (http_field(head, "Upgrade", &value) != 1 || !http_same(value, "websocket") ||
        !http_lists(head, "Connection", "Upgrade", true))
        return reject(why, ST_PROTOCOL, "RFC 6455 4.1", "the server upgrades to something else", 0);
    if (http_field(head, "Sec-WebSocket-Accept", &value) != 1 || !span_eq_str(value, ws->accept))
        return reject(why, ST_PROTOCOL, "RFC 6455 4.1", "Sec-WebSocket-Accept does not answer our key", 0);
    if (http_field(head, "Sec-WebSocket-Extensions", NULL) > 0)
        return reject(why, ST_PROTOCOL, "RFC 6455 4.1", "an extension that was not asked for", 0);
    if (http_field(head, "Sec-WebSocket-Protocol", &value) != 1 || !span_eq_str(value, SUBPROTOCOL))
        return reject(why, ST_PROTOCOL, "MQTT5 [MQTT-6.0.0-4]",
                      "the server did not choose the subprotocol `mqtt`", 0);
    return ST_OK;
}

static enum ws_result upgrade_client(struct ws *ws, struct why *why)
{
    struct http_head head;
    enum status st = http_response_parse(buf_span(&ws->head), &head, why);
    if (st == ST_OK)
        st = check_response(ws, &head, why);
    return over(ws, st);
}

enum ws_result ws_upgrade(struct ws *ws, struct span *in, struct why *why)
{
    ASSERT(!ws->upgraded && !ws->ended);
    enum status st = gather_head(ws, in, why);
    if (st == ST_PENDING)
        return WS_WANT_INPUT;
    if (st == ST_OK)
        return ws->server != NULL ? upgrade_server(ws, why) : upgrade_client(ws, why);
    if (ws->server != NULL)
        (void)put_refusal(ws, code_of_head(st), why->text);
    return over(ws, st);
}
