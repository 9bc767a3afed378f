/* WebSocket over memory: the upgrade and every way to refuse it, frames in every cut, and what ends a connection. */
#include "net/ws_http.h"
#include "net/ws_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define BUF_MAX (8u * 1024 * 1024)

/* RFC 6455 1.3 */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static const char *const origins[] = { "https://good.example", "https://also.example:8443" };
static const struct ws_server_settings usual = { "/mqtt", origins, 2 };

/* -- the upgrade, server ---------------------------------------------------------------------------------- */

#define REQUEST_LINE "GET /mqtt HTTP/1.1\r\n"
#define HOST         "Host: broker.example\r\n"
#define UPGRADE      "Upgrade: websocket\r\n"
#define CONNECTION   "Connection: Upgrade\r\n"
#define VERSION      "Sec-WebSocket-Version: 13\r\n"
#define WITH_KEY     "Sec-WebSocket-Key: " KEY "\r\n"
#define PROTOCOL     "Sec-WebSocket-Protocol: mqtt\r\n"
#define FIELDS       HOST UPGRADE CONNECTION VERSION WITH_KEY PROTOCOL
#define GOOD         REQUEST_LINE FIELDS "\r\n"

static struct ws *server(const struct ws_server_settings *settings)
{
    struct ws *ws;
    assert_int_equal(ws_new_server(settings, &ws, NULL), ST_OK);
    return ws;
}

/* What comes out besides frames of data. */
static struct buf said(struct ws *ws)
{
    struct buf out;
    buf_init(&out, BUF_MAX);
    assert_int_equal(ws_write(ws, SPAN_NONE, &out), ST_OK);
    assert_false(ws_has_output(ws));
    return out;
}

static enum ws_result upgrade(struct ws *ws, const char *text, size_t bite, struct why *why)
{
    enum ws_result result = WS_WANT_INPUT;
    struct span all = span_of_str(text);
    for (size_t at = 0; at < all.len && result == WS_WANT_INPUT; at += bite) {
        struct span in = span_cut(all, at, bite);
        result = ws_upgrade(ws, &in, why);
        if (result != WS_FAILED)
            assert_int_equal(in.len, 0);
    }
    return result;
}

/* RFC 6455 1.3: the example of the standard. MQTT5 [MQTT-6.0.0-4], MQTT311 [MQTT-6.0.0-4]: the answer names `mqtt`. */
static void the_upgrade_of_the_standard_is_answered_as_there(void **state)
{
    static const char expected[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    const size_t bites[] = { SIZE_MAX, 1, 7 };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bites); i++) {
        struct why why = { 0 };
        struct ws *ws = server(&usual);
        assert_false(ws_upgraded(ws));
        assert_int_equal(upgrade(ws, GOOD, bites[i] == SIZE_MAX ? sizeof GOOD : bites[i], &why), WS_OK);
        assert_true(ws_upgraded(ws));
        struct buf out = said(ws);
        assert_true(span_eq_str(buf_span(&out), expected));
        buf_done(&out);
        ws_free(ws);
    }
}

static void every_variant_that_may_be_is_accepted(void **state)
{
    static const char *const rows[] = {
        "GET /mqtt?token=1&x HTTP/1.1\r\n" FIELDS "\r\n",
        "GET http://broker.example/mqtt HTTP/1.1\r\n" FIELDS "\r\n",
        "GET wss://broker.example/mqtt?x HTTP/1.1\r\n" FIELDS "\r\n",
        REQUEST_LINE
        "host:broker.example\r\nUPGRADE: WebSocket\r\nconnection: keep-alive, upgrade\r\n" VERSION WITH_KEY
        "Sec-WebSocket-Protocol: chat,\t mqtt ,other\r\n\r\n",
        REQUEST_LINE HOST UPGRADE CONNECTION VERSION WITH_KEY
        "Sec-WebSocket-Protocol: mqttv3.1\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
        REQUEST_LINE FIELDS "Origin: https://good.example\r\n\r\n",
        REQUEST_LINE FIELDS "Origin: https://also.example:8443\r\n\r\n",
        REQUEST_LINE FIELDS "Sec-WebSocket-Extensions: permessage-deflate\r\nCookie: a=\xc3\xa4\r\n\r\n",
        REQUEST_LINE FIELDS "Content-Length: 0\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct why why = { 0 };
        struct ws *ws = server(&usual);
        if (upgrade(ws, rows[i], strlen(rows[i]), &why) != WS_OK)
            fail_msg("row %zu: %s", i, why.text);
        struct buf out = said(ws);
        assert_true(span_starts_with(buf_span(&out), SPAN("HTTP/1.1 101 ")));
        buf_done(&out);
        ws_free(ws);
    }
}

struct refusal {
    const char *request;
    const char *answer; /* how it begins */
    const char *clause;
    const char *field; /* that the answer holds; NULL: any */
};

#define WITHOUT_PROTOCOL REQUEST_LINE HOST UPGRADE CONNECTION VERSION WITH_KEY

/* clang-format off */
static const struct refusal refusals[] = {
    { "POST /mqtt HTTP/1.1\r\n" FIELDS "\r\n",               "HTTP/1.1 405 ", "RFC 6455 4.2.1", "\r\nAllow: GET\r\n" },
    { "GET /mqtt HTTP/1.0\r\n" FIELDS "\r\n",                "HTTP/1.1 505 ", "RFC 6455 4.2.1", NULL },
    { "GET /mqtt HTTP/2.0\r\n" FIELDS "\r\n",                "HTTP/1.1 505 ", "RFC 6455 4.2.1", NULL },
    { "GET /mqtt SIP/2.0\r\n" FIELDS "\r\n",                 "HTTP/1.1 400 ", "RFC 9112 3",     NULL },
    { "GET  /mqtt HTTP/1.1\r\n" FIELDS "\r\n",               "HTTP/1.1 400 ", "RFC 9112 3",     NULL },
    { "GET /mqtt\r\n" FIELDS "\r\n",                         "HTTP/1.1 400 ", "RFC 9112 3",     NULL },
    { "G(T /mqtt HTTP/1.1\r\n" FIELDS "\r\n",                "HTTP/1.1 400 ", "RFC 9112 3",     NULL },
    { "GET / HTTP/1.1\r\n" FIELDS "\r\n",                    "HTTP/1.1 404 ", "path",           NULL },
    { "GET /mqtt/ HTTP/1.1\r\n" FIELDS "\r\n",               "HTTP/1.1 404 ", "path",           NULL },
    { "GET /MQTT HTTP/1.1\r\n" FIELDS "\r\n",                "HTTP/1.1 404 ", "path",           NULL },
    { "GET mqtt HTTP/1.1\r\n" FIELDS "\r\n",                 "HTTP/1.1 404 ", "path",           NULL },
    { "GET http://broker.example HTTP/1.1\r\n" FIELDS "\r\n", "HTTP/1.1 404 ", "path",          NULL },
    { REQUEST_LINE UPGRADE CONNECTION VERSION WITH_KEY PROTOCOL "\r\n", "HTTP/1.1 400 ", "RFC 6455 4.2.1", NULL },
    { REQUEST_LINE FIELDS HOST "\r\n",                       "HTTP/1.1 400 ", "RFC 6455 4.2.1", NULL },
    { REQUEST_LINE "Host:\r\n" UPGRADE CONNECTION VERSION WITH_KEY PROTOCOL "\r\n", "HTTP/1.1 400 ", "RFC 6455 4.2.1", NULL },
    { REQUEST_LINE HOST CONNECTION VERSION WITH_KEY PROTOCOL "\r\n", "HTTP/1.1 426 ", "RFC 6455 4.2.1", "\r\nUpgrade: websocket\r\n" },
    { REQUEST_LINE HOST "Upgrade: h2c\r\n" CONNECTION VERSION WITH_KEY PROTOCOL "\r\n", "HTTP/1.1 426 ", "RFC 6455 4.2.1", NULL },
    { REQUEST_LINE HOST UPGRADE VERSION WITH_KEY PROTOCOL "\r\n", "HTTP/1.1 426 ", "RFC 6455 4.2.1", NULL },
    { REQUEST_LINE HOST UPGRADE "Connection: close\r\n" VERSION WITH_KEY PROTOCOL "\r\n", "HTTP/1.1 426 ", "RFC 6455 4.2.1", NULL },
    { REQUEST_LINE HOST UPGRADE CONNECTION WITH_KEY PROTOCOL "\r\n", "HTTP/1.1 426 ", "RFC 6455 4.4", "\r\nSec-WebSocket-Version: 13\r\n" },
    { REQUEST_LINE HOST UPGRADE CONNECTION "Sec-WebSocket-Version: 8\r\n" WITH_KEY PROTOCOL "\r\n", "HTTP/1.1 426 ", "RFC 6455 4.4", "\r\nSec-WebSocket-Version: 13\r\n" },
    { REQUEST_LINE FIELDS VERSION "\r\n",                    "HTTP/1.1 426 ", "RFC 6455 4.4",   NULL },
    { REQUEST_LINE HOST UPGRADE CONNECTION VERSION PROTOCOL "\r\n", "HTTP/1.1 400 ", "RFC 6455 4.2.1", NULL },
    { REQUEST_LINE FIELDS WITH_KEY "\r\n",                   "HTTP/1.1 400 ", "RFC 6455 4.2.1", NULL },
    { REQUEST_LINE HOST UPGRADE CONNECTION VERSION PROTOCOL "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n\r\n", "HTTP/1.1 400 ", "RFC 6455 4.2.1", NULL }, /* 15 bytes */
    { REQUEST_LINE HOST UPGRADE CONNECTION VERSION PROTOCOL "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n\r\n", "HTTP/1.1 400 ", "RFC 6455 4.2.1", NULL }, /* bits behind the end */
    { REQUEST_LINE HOST UPGRADE CONNECTION VERSION PROTOCOL "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ_=\r\n\r\n", "HTTP/1.1 400 ", "RFC 6455 4.2.1", NULL },
    { REQUEST_LINE HOST UPGRADE CONNECTION VERSION PROTOCOL "Sec-WebSocket-Key:\r\n\r\n", "HTTP/1.1 400 ", "RFC 6455 4.2.1", NULL },
    { WITHOUT_PROTOCOL "\r\n",                               "HTTP/1.1 400 ", "MQTT5 [MQTT-6.0.0-3]", NULL },
    { WITHOUT_PROTOCOL "Sec-WebSocket-Protocol: mqttv3.1\r\n\r\n", "HTTP/1.1 400 ", "MQTT5 [MQTT-6.0.0-3]", NULL },
    { WITHOUT_PROTOCOL "Sec-WebSocket-Protocol: MQTT\r\n\r\n", "HTTP/1.1 400 ", "MQTT5 [MQTT-6.0.0-3]", NULL },
    { REQUEST_LINE FIELDS "Origin: https://evil.example\r\n\r\n", "HTTP/1.1 403 ", "origins", NULL },
    { REQUEST_LINE FIELDS "Origin: https://good.example:443\r\n\r\n", "HTTP/1.1 403 ", "origins", NULL },
    { REQUEST_LINE FIELDS "Origin: https://good.example.evil.example\r\n\r\n", "HTTP/1.1 403 ", "origins", NULL },
    { REQUEST_LINE FIELDS "Origin: null\r\n\r\n",            "HTTP/1.1 403 ", "origins",        NULL },
    { REQUEST_LINE FIELDS "Origin:\r\n\r\n",                 "HTTP/1.1 403 ", "origins",        NULL },
    { REQUEST_LINE FIELDS "Origin: https://good.example\r\nOrigin: https://evil.example\r\n\r\n", "HTTP/1.1 400 ", "RFC 6454 7.3", NULL },
    { REQUEST_LINE FIELDS "Content-Length: 1\r\n\r\n",       "HTTP/1.1 400 ", "RFC 6455 4.1",   NULL },
    { REQUEST_LINE FIELDS "Transfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400 ", "RFC 6455 4.1", NULL },
    { REQUEST_LINE FIELDS "No-Colon\r\n\r\n",                "HTTP/1.1 400 ", "RFC 9112 5",     NULL },
    { REQUEST_LINE FIELDS "Space : x\r\n\r\n",               "HTTP/1.1 400 ", "RFC 9112 5.1",   NULL },
    { REQUEST_LINE FIELDS " folded: x\r\n\r\n",              "HTTP/1.1 400 ", "RFC 9112 5.1",   NULL },
    { REQUEST_LINE FIELDS ": x\r\n\r\n",                     "HTTP/1.1 400 ", "RFC 9112 5.1",   NULL },
    { REQUEST_LINE FIELDS "X: a\nY: b\r\n\r\n",              "HTTP/1.1 400 ", "RFC 9112 2.1",   NULL },
    { REQUEST_LINE FIELDS "X: a\rY: b\r\n\r\n",              "HTTP/1.1 400 ", "RFC 9112 2.1",   NULL },
    { "GET /mqtt HTTP/1.1\n" FIELDS "\r\n",                  "HTTP/1.1 400 ", "RFC 9112 3",     NULL },
    { REQUEST_LINE FIELDS "X: \x01\r\n\r\n",                 "HTTP/1.1 400 ", "RFC 9112 2.2",   NULL },
    { REQUEST_LINE FIELDS "X: \x7f\r\n\r\n",                 "HTTP/1.1 400 ", "RFC 9112 2.2",   NULL },
    { "\x10\x20\x04MQTT\x05",                                "HTTP/1.1 400 ", "RFC 9112 2.2",   NULL }, /* MQTT, no WebSocket */
    { "\x16\x03\x01\x02",                                    "HTTP/1.1 400 ", "RFC 9112 2.2",   NULL }, /* TLS on TLS */
};
/* clang-format on */

static void check_refusal(const struct refusal *row, size_t bite)
{
    struct why why = { 0 };
    struct ws *ws = server(&usual);
    if (upgrade(ws, row->request, bite, &why) != WS_FAILED)
        fail_msg("accepted: %s", row->request);
    struct buf out = said(ws);
    put_u8(&out, 0);
    if (strncmp((const char *)out.p, row->answer, strlen(row->answer)) != 0 ||
        strcmp(why.clause, row->clause) != 0)
        fail_msg("%s\n-> %s (%s)", row->request, (const char *)out.p, why.clause);
    if (row->field != NULL)
        assert_non_null(strstr((const char *)out.p, row->field));
    assert_non_null(strstr((const char *)out.p, "\r\nConnection: close"));
    assert_non_null(strstr((const char *)out.p, why.text)); /* the short body says why */
    assert_int_not_equal(ws_failure(ws), ST_OK);
    assert_false(ws_upgraded(ws));
    ws_close(ws);
    assert_false(ws_has_output(ws)); /* no Close frame where there is no WebSocket */
    assert_int_equal(ws_refused_origin(ws).len > 0,
                     strcmp(row->clause, "origins") == 0 && strstr(row->request, "Origin:\r") == NULL);
    buf_done(&out);
    ws_free(ws);
}

/* MQTT5 [MQTT-6.0.0-3], MQTT311 [MQTT-6.0.0-3]: without the subprotocol no WebSocket. RFC 6455 4.2.1, 4.2.2, 4.4, 10.2. */
static void every_other_request_is_refused_with_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        check_refusal(&refusals[i], strlen(refusals[i].request));
        check_refusal(&refusals[i], 1);
    }
}

static void origins_are_exact_or_any_and_none_by_default(void **state)
{
    static const char page[] = REQUEST_LINE FIELDS "Origin: https://good.example\r\n\r\n";
    static const char *const any[] = { "*" };
    const struct ws_server_settings nobody = { "/mqtt", NULL, 0 }, everybody = { "/mqtt", any, 1 };
    struct why why = { 0 };
    (void)state;
    struct ws *ws = server(&nobody);
    assert_int_equal(upgrade(ws, page, sizeof page - 1, &why), WS_FAILED);
    assert_int_equal(ws_failure(ws), ST_DENIED);
    assert_true(span_eq_str(ws_refused_origin(ws), "https://good.example"));
    ws_free(ws);
    ws = server(&everybody);
    assert_int_equal(upgrade(ws, page, sizeof page - 1, &why), WS_OK);
    ws_free(ws);
    ws = server(&nobody); /* no browser: names none */
    assert_int_equal(upgrade(ws, GOOD, sizeof GOOD - 1, &why), WS_OK);
    ws_free(ws);
}

static void a_head_without_end_is_bounded(void **state)
{
    struct why why = { 0 };
    struct buf text;
    (void)state;
    buf_init(&text, BUF_MAX);
    put_str(&text, REQUEST_LINE "X: ");
    while (text.len < 2 * WS_HEAD_MAX)
        put_str(&text, "aaaaaaaaaaaaaaaa");
    put_u8(&text, 0);
    struct ws *ws = server(&usual);
    assert_int_equal(upgrade(ws, (const char *)text.p, 100, &why), WS_FAILED);
    assert_int_equal(ws_failure(ws), ST_TOO_LARGE);
    struct buf out = said(ws);
    assert_true(span_starts_with(buf_span(&out), SPAN("HTTP/1.1 431 ")));
    buf_done(&out);
    ws_free(ws);

    buf_reset(&text);
    put_str(&text, REQUEST_LINE);
    for (int i = 0; i < HTTP_FIELDS_MAX + 1; i++)
        put_str(&text, "A: b\r\n");
    put_str(&text, "\r\n");
    put_u8(&text, 0);
    ws = server(&usual);
    assert_int_equal(upgrade(ws, (const char *)text.p, BUF_MAX, &why), WS_FAILED);
    assert_int_equal(ws_failure(ws), ST_TOO_LARGE);
    ws_free(ws);
    buf_done(&text);
}

/* -- the upgrade, client ---------------------------------------------------------------------------------- */

static const struct ws_client_settings to_broker = { "broker.example", 8080, false, "/mqtt" };

static struct ws *client(const struct ws_client_settings *settings)
{
    struct ws *ws;
    assert_int_equal(ws_new_client(settings, &ws, NULL), ST_OK);
    return ws;
}

/* '@' stands for the Sec-WebSocket-Accept that is right. */
static enum ws_result answer(struct ws *c, const char *text, struct why *why)
{
    struct span all = span_of_str(text);
    size_t at = span_find(all, '@', 0);
    struct buf full = { .max = WS_HEAD_MAX };
    put_bytes(&full, span_cut(all, 0, at));
    put_str(&full, c->accept);
    put_bytes(&full, span_cut(all, at + 1, all.len));
    put_u8(&full, 0);
    enum ws_result result = upgrade(c, (const char *)full.p, 5, why);
    buf_done(&full);
    return result;
}

/* MQTT5 [MQTT-6.0.0-3], MQTT311 [MQTT-6.0.0-3]: the client offers `mqtt`. */
static void a_client_asks_as_the_standard_wants(void **state)
{
    static const struct {
        struct ws_client_settings to;
        const char *begin;
    } rows[] = {
        { { "broker.example", 8080, false, "/mqtt" }, "GET /mqtt HTTP/1.1\r\nHost: broker.example:8080\r\n" },
        { { "broker.example", 80, false, "/x?y=z" }, "GET /x?y=z HTTP/1.1\r\nHost: broker.example\r\n" },
        { { "broker.example", 443, true, "/mqtt" }, "GET /mqtt HTTP/1.1\r\nHost: broker.example\r\n" },
        { { "broker.example", 80, true, "/mqtt" }, "GET /mqtt HTTP/1.1\r\nHost: broker.example:80\r\n" },
        { { "::1", 8443, true, "/mqtt" }, "GET /mqtt HTTP/1.1\r\nHost: [::1]:8443\r\n" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ws *c = client(&rows[i].to);
        struct buf out = said(c);
        struct http_head head;
        struct span value;
        assert_true(span_starts_with(buf_span(&out), span_of_str(rows[i].begin)));
        assert_int_equal(http_request_parse(buf_span(&out), &head, NULL), ST_OK);
        assert_int_equal(http_field(&head, "sec-websocket-protocol", &value), 1);
        assert_true(span_eq_str(value, "mqtt"));
        assert_int_equal(http_field(&head, "Origin", NULL), 0);
        buf_done(&out);
        ws_free(c);
    }
}

static void a_client_asks_for_no_path_that_breaks_its_request(void **state)
{
    static const char *const paths[] = { "", "mqtt", "/a b", "/a\r\nX: y", "/a#b", "/\xc3\xa4" };
    struct ws *ws;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        const struct ws_client_settings bad = { "h", 80, false, paths[i] };
        assert_int_equal(ws_new_client(&bad, &ws, NULL), ST_MALFORMED);
    }
    const struct ws_client_settings bad = { "h\r\nX: y", 80, false, "/mqtt" };
    assert_int_equal(ws_new_client(&bad, &ws, NULL), ST_MALFORMED);
}

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n"
#define CHOSEN    "Sec-WebSocket-Protocol: mqtt\r\n"
#define ANSWER    UPGRADE CONNECTION "Sec-WebSocket-Accept: @\r\n"

/* MQTT5 [MQTT-6.0.0-4], MQTT311 [MQTT-6.0.0-4]: a server that chooses nothing, or something else, is none. RFC 6455 4.1. */
static void a_client_believes_no_other_answer(void **state)
{
    static const struct {
        const char *text;
        enum status st; /* ST_OK: taken */
    } rows[] = {
        { SWITCHING ANSWER CHOSEN "\r\n", ST_OK },
        { "HTTP/1.1 101 \r\nupgrade: WEBSOCKET\r\nconnection: x, Upgrade\r\nsec-websocket-accept:@ \r\n" CHOSEN
          "\r\n",
          ST_OK },
        { SWITCHING ANSWER "\r\n", ST_PROTOCOL },
        { SWITCHING ANSWER "Sec-WebSocket-Protocol: mqttv3.1\r\n\r\n", ST_PROTOCOL },
        { SWITCHING ANSWER CHOSEN CHOSEN "\r\n", ST_PROTOCOL },
        { SWITCHING ANSWER CHOSEN "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", ST_PROTOCOL },
        { SWITCHING UPGRADE CONNECTION CHOSEN "Sec-WebSocket-Accept: " ACCEPT "\r\nX: @\r\n\r\n", ST_PROTOCOL },
        { SWITCHING UPGRADE CONNECTION CHOSEN "X: @\r\n\r\n", ST_PROTOCOL },
        { SWITCHING CONNECTION CHOSEN "Sec-WebSocket-Accept: @\r\n\r\n", ST_PROTOCOL },
        { SWITCHING UPGRADE CHOSEN "Sec-WebSocket-Accept: @\r\n\r\n", ST_PROTOCOL },
        { "HTTP/1.0 101 OK\r\n" ANSWER CHOSEN "\r\n", ST_PROTOCOL },
        { "HTTP/1.1 200 OK\r\nX: @\r\n\r\n", ST_PROTOCOL },
        { "HTTP/1.1 301 Moved\r\nLocation: ws://evil.example\r\nX: @\r\n\r\n", ST_PROTOCOL },
        { "HTTP/1.1 401 Unauthorized\r\nX: @\r\n\r\n", ST_DENIED },
        { "HTTP/1.1 403 Forbidden\r\nX: @\r\n\r\n", ST_DENIED },
        { "HTTP/1.1 404 Not Found\r\nX: @\r\n\r\n", ST_NOT_FOUND },
        { "HTTP/1.1 426 Upgrade Required\r\nX: @\r\n\r\n", ST_BAD_VERSION },
        { "HTTP/1.1 503 x\r\nX: @\r\n\r\n", ST_UNREACHABLE },
        { "HTTP/1.1 1010 x\r\nX: @\r\n\r\n", ST_MALFORMED },
        { "SMTP ready @\r\n\r\n", ST_MALFORMED },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct why why = { 0 };
        struct ws *c = client(&to_broker);
        struct buf out = said(c);
        enum ws_result result = answer(c, rows[i].text, &why);
        if (result != (rows[i].st == ST_OK ? WS_OK : WS_FAILED) || ws_failure(c) != rows[i].st)
            fail_msg("row %zu: %s", i, status_name(ws_failure(c)));
        assert_int_equal(ws_upgraded(c), rows[i].st == ST_OK);
        buf_done(&out);
        ws_free(c);
    }
}

/* -- frames ----------------------------------------------------------------------------------------------- */

enum { FIN = 0x80, CONT = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

/* By hand from RFC 6455 5.2, independent of wslay. */
static void put_head(struct buf *out, unsigned first, bool mask, uint64_t len)
{
    const unsigned m = mask ? 0x80 : 0;
    put_u8(out, (uint8_t)first);
    if (len > UINT16_MAX) {
        put_u8(out, (uint8_t)(m | 127));
        put_u64(out, len);
    } else if (len > 125) {
        put_u8(out, (uint8_t)(m | 126));
        put_u16(out, (uint16_t)len);
    } else {
        put_u8(out, (uint8_t)(m | len));
    }
    if (mask)
        put_u32(out, 0xa1b2c3d4);
}

static void put_frame(struct buf *out, unsigned first, bool mask, struct span payload)
{
    static const uint8_t key[] = { 0xa1, 0xb2, 0xc3, 0xd4 };
    put_head(out, first, mask, payload.len);
    for (size_t i = 0; i < payload.len; i++)
        put_u8(out, mask ? payload.p[i] ^ key[i % 4] : payload.p[i]);
}

static struct ws *open_server(void)
{
    struct why why = { 0 };
    struct ws *ws = server(&usual);
    assert_int_equal(upgrade(ws, GOOD, sizeof GOOD - 1, &why), WS_OK);
    struct buf out = said(ws);
    buf_done(&out);
    return ws;
}

static struct ws *open_client(void)
{
    struct why why = { 0 };
    struct ws *c = client(&to_broker);
    struct buf out = said(c);
    assert_int_equal(answer(c, SWITCHING ANSWER CHOSEN "\r\n", &why), WS_OK);
    buf_done(&out);
    return c;
}

/* In pieces of `bite`, in place, as streams do it. */
static enum ws_result hear(struct ws *ws, struct span all, size_t bite, struct buf *got, struct why *why)
{
    enum ws_result result = WS_OK;
    for (size_t at = 0; at < all.len && result == WS_OK; at += bite) {
        struct span part = span_cut(all, at, bite);
        uint8_t *room = malloc(part.len);
        size_t len;
        assert_non_null(room);
        memcpy(room, part.p, part.len);
        result = ws_read(ws, span_of(room, part.len), room, &len, why);
        assert_true(len <= part.len);
        put_bytes(got, span_of(room, len));
        free(room);
    }
    return result;
}

static void fill(struct buf *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        put_u8(out, (uint8_t)(i * 31 + i / 251));
}

/* MQTT5 [MQTT-6.0.0-2], MQTT311 [MQTT-6.0.0-2]: packets need not fit frames, one frame may hold many, or a part. */
static void bytes_arrive_in_order_however_they_are_cut(void **state)
{
    const size_t bites[] = { 1, 2, 3, 13, 4096, 5000, 65536, BUF_MAX };
    const size_t frames[] = { 1, 7, 125, 126, 127, 4095, 65535, 65536, 100000 };
    struct buf data, wire, got;
    (void)state;
    buf_init(&data, BUF_MAX);
    buf_init(&wire, BUF_MAX);
    buf_init(&got, BUF_MAX);
    fill(&data, 100000);
    for (size_t f = 0; f < COUNT_OF(frames); f++) {
        buf_reset(&wire);
        size_t total = frames[f] < 100 ? 5000 : data.len;
        for (size_t at = 0; at < total; at += frames[f]) {
            bool last = at + frames[f] >= total;
            unsigned opcode = at == 0 ? BINARY : CONT;
            put_frame(&wire, opcode | (last ? FIN : 0u), true,
                      span_cut(span_cut(buf_span(&data), 0, total), at, frames[f]));
            put_frame(&wire, FIN | PONG, true, SPAN("nobody asked"));
            put_frame(&wire, opcode == BINARY && !last ? CONT : FIN | PING, true, SPAN_NONE);
        }
        for (size_t b = frames[f] == 1 ? 1 : 0; b < COUNT_OF(bites); b++) {
            struct why why = { 0 };
            struct ws *ws = open_server();
            buf_reset(&got);
            if (hear(ws, buf_span(&wire), bites[b], &got, &why) != WS_OK)
                fail_msg("frames of %zu in bites of %zu: %s", frames[f], bites[b], why.text);
            assert_true(span_eq(buf_span(&got), span_cut(buf_span(&data), 0, total)));
            assert_null(ws->frames); /* nothing is kept between frames */
            assert_null(ws->control.p);
            ws_free(ws);
        }
    }
    buf_done(&data);
    buf_done(&wire);
    buf_done(&got);
}

static void a_frame_of_the_largest_size_costs_no_memory(void **state)
{
    struct why why = { 0 };
    struct ws *ws = open_server();
    struct buf wire, got;
    (void)state;
    buf_init(&wire, BUF_MAX);
    buf_init(&got, BUF_MAX);
    put_head(&wire, FIN | BINARY, true, WS_FRAME_MAX);
    fill(&wire, 100000);
    assert_int_equal(hear(ws, buf_span(&wire), 50000, &got, &why), WS_OK);
    assert_int_equal(got.len, 100000); /* what came is there at once */
    assert_null(ws->control.p);
    ws_free(ws);
    buf_done(&wire);
    buf_done(&got);
}

/* RFC 6455 5.1, 5.2: what we send is one frame, masked if and only if we are the client, by a key of its own. */
static void what_is_sent_is_one_binary_frame(void **state)
{
    const size_t sizes[] = { 1, 125, 126, 65535, 65536, 200000 };
    struct buf data, wire, again, got;
    (void)state;
    buf_init(&data, BUF_MAX);
    buf_init(&wire, BUF_MAX);
    buf_init(&again, BUF_MAX);
    buf_init(&got, BUF_MAX);
    fill(&data, 200000);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct why why = { 0 };
        struct ws *s = open_server(), *c = open_client();
        struct span part = span_cut(buf_span(&data), 0, sizes[i]);
        buf_reset(&wire);
        buf_reset(&again);
        put_frame(&again, FIN | BINARY, false, part);
        assert_int_equal(ws_write(s, part, &wire), ST_OK);
        assert_true(span_eq(buf_span(&wire), buf_span(&again)));
        buf_reset(&got);
        assert_int_equal(hear(c, buf_span(&wire), 777, &got, &why), WS_OK);
        assert_true(span_eq(buf_span(&got), part));
        buf_reset(&wire);
        buf_reset(&again);
        assert_int_equal(ws_write(c, part, &wire), ST_OK);
        assert_int_equal(ws_write(c, part, &again), ST_OK);
        assert_int_equal(wire.len, again.len);
        assert_false(span_eq(buf_span(&wire), buf_span(&again))); /* another key */
        buf_reset(&got);
        assert_int_equal(hear(s, buf_span(&wire), 777, &got, &why), WS_OK);
        assert_true(span_eq(buf_span(&got), part));
        ws_free(s);
        ws_free(c);
    }
    buf_done(&data);
    buf_done(&wire);
    buf_done(&again);
    buf_done(&got);
}

/* RFC 6455 5.5.2, 5.5.3: a Pong with the Ping's payload, for the last of several that came at once. */
static void a_ping_is_answered_and_a_flood_once(void **state)
{
    struct why why = { 0 };
    struct ws *ws = open_server();
    struct buf wire, got, expected;
    (void)state;
    buf_init(&wire, BUF_MAX);
    buf_init(&got, BUF_MAX);
    buf_init(&expected, BUF_MAX);
    for (int i = 0; i < 1000; i++)
        put_frame(&wire, FIN | PING, true, SPAN("first"));
    put_frame(&wire, FIN | PING, true, SPAN("last"));
    put_frame(&wire, FIN | PONG, true, SPAN("unsolicited"));
    assert_int_equal(hear(ws, buf_span(&wire), 100, &got, &why), WS_OK);
    assert_int_equal(got.len, 0);
    assert_true(ws_has_output(ws));
    struct buf out;
    buf_init(&out, BUF_MAX);
    assert_int_equal(ws_write(ws, SPAN("data"), &out), ST_OK);
    put_frame(&expected, FIN | PONG, false, SPAN("last"));
    put_frame(&expected, FIN | BINARY, false, SPAN("data"));
    assert_true(span_eq(buf_span(&out), buf_span(&expected)));
    assert_false(ws_has_output(ws));
    assert_null(ws->pong.p);
    ws_free(ws);
    buf_done(&out);
    buf_done(&wire);
    buf_done(&got);
    buf_done(&expected);
}

/* -- the end ---------------------------------------------------------------------------------------------- */

/* The code of the one Close that comes out, 0 for an empty one. */
static unsigned close_of(struct ws *ws)
{
    ws_close(ws);
    assert_true(ws_has_output(ws));
    struct buf out = said(ws);
    assert_true(out.len >= 2);
    assert_int_equal(out.p[0], FIN | CLOSE);
    unsigned code = out.p[1] == 0 ? 0 : (unsigned)(out.p[2] << 8 | out.p[3]);
    buf_reset(&out);
    ws_close(ws);
    assert_int_equal(ws_write(ws, SPAN("more"), &out), ST_OK);
    assert_int_equal(out.len, 0); /* nothing follows a Close */
    buf_done(&out);
    return code;
}

static void put_close(struct buf *wire, unsigned code, const char *reason)
{
    struct buf payload;
    buf_init(&payload, 1000);
    put_u16(&payload, (uint16_t)code);
    put_str(&payload, reason);
    put_frame(wire, FIN | CLOSE, true, buf_span(&payload));
    buf_done(&payload);
}

/* RFC 6455 5.5.1, 7.4 */
static void a_close_is_answered_with_its_code(void **state)
{
    static const struct {
        unsigned code, answer;
    } rows[] = { { 1000, 1000 }, { 1001, 1001 }, { 1014, 1014 }, { 3000, 3000 }, { 4999, 4999 },
                 { 0, 1002 },    { 999, 1002 },  { 1004, 1002 }, { 1005, 1002 }, { 1006, 1002 },
                 { 1015, 1002 }, { 2999, 1002 }, { 5000, 1002 } };
    struct buf wire, got;
    (void)state;
    buf_init(&wire, BUF_MAX);
    buf_init(&got, BUF_MAX);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct why why = { 0 };
        struct ws *ws = open_server();
        buf_reset(&wire);
        buf_reset(&got);
        put_frame(&wire, FIN | BINARY, true, SPAN("before"));
        put_close(&wire, rows[i].code, "bye");
        put_frame(&wire, FIN | BINARY, true, SPAN("behind"));
        assert_int_equal(hear(ws, buf_span(&wire), BUF_MAX, &got, &why),
                         rows[i].answer == rows[i].code ? WS_CLOSED : WS_FAILED);
        assert_true(span_eq_str(buf_span(&got), "before"));
        assert_int_equal(close_of(ws), rows[i].answer);
        ws_free(ws);
    }
    struct why why = { 0 };
    struct ws *ws = open_server();
    buf_reset(&wire);
    put_frame(&wire, FIN | CLOSE, true, SPAN_NONE); /* no code, and none comes back */
    assert_int_equal(hear(ws, buf_span(&wire), 1, &got, &why), WS_CLOSED);
    assert_int_equal(close_of(ws), 0);
    ws_free(ws);
    ws = open_server(); /* ours is a normal one */
    assert_int_equal(close_of(ws), 1000);
    ws_free(ws);
    buf_done(&wire);
    buf_done(&got);
}

struct violation {
    const char *name;
    unsigned first;
    bool mask;
    uint64_t len;
    const char *clause;
    unsigned code;
    bool in_message; /* after a frame without FIN */
};

/* clang-format off */
static const struct violation violations[] = {
    { "a text frame",                 FIN | TEXT,          true,  4,   "MQTT5 [MQTT-6.0.0-1]", 1003, false },
    { "an empty text frame",          FIN | TEXT,          true,  0,   "MQTT5 [MQTT-6.0.0-1]", 1003, false },
    { "a text frame without FIN",     TEXT,                true,  4,   "MQTT5 [MQTT-6.0.0-1]", 1003, false },
    { "a frame that is not masked",   FIN | BINARY,        false, 4,   "RFC 6455 5.1",         1002, false },
    { "a Ping that is not masked",    FIN | PING,          false, 4,   "RFC 6455 5.1",         1002, false },
    { "RSV1",                         FIN | 0x40 | BINARY, true,  4,   "RFC 6455 5.2",         1002, false },
    { "RSV2",                         FIN | 0x20 | BINARY, true,  4,   "RFC 6455 5.2",         1002, false },
    { "RSV3",                         FIN | 0x10 | BINARY, true,  4,   "RFC 6455 5.2",         1002, false },
    { "RSV1 of a Ping",               FIN | 0x40 | PING,   true,  4,   "RFC 6455 5.2",         1002, false },
    { "opcode 3",                     FIN | 3,             true,  4,   "RFC 6455 5.2",         1002, false },
    { "opcode 7",                     FIN | 7,             true,  4,   "RFC 6455 5.2",         1002, false },
    { "opcode 11",                    FIN | 11,            true,  4,   "RFC 6455 5.2",         1002, false },
    { "opcode 15",                    FIN | 15,            true,  4,   "RFC 6455 5.2",         1002, false },
    { "a continuation of nothing",    FIN | CONT,          true,  4,   "RFC 6455 5.4",         1002, false },
    { "a message within a message",   FIN | BINARY,        true,  4,   "RFC 6455 5.4",         1002, true  },
    { "a fragmented Ping",            PING,                true,  4,   "RFC 6455 5.2",         1002, false },
    { "a Ping of 126 bytes",          FIN | PING,          true,  126, "RFC 6455 5.2",         1002, false },
    { "a Close of 70000 bytes",       FIN | CLOSE,         true,  70000, "RFC 6455 5.2",       1002, false },
    { "a Close of one byte",          FIN | CLOSE,         true,  1,   "RFC 6455 5.5.1",       1002, false },
    { "a frame beyond the limit",     FIN | BINARY,        true,  WS_FRAME_MAX + 1, "RFC 6455 10.4", 1009, false },
    { "a length of 2^62",             FIN | BINARY,        true,  1ull << 62, "RFC 6455 10.4", 1009, false },
    { "a length of 2^63",             FIN | BINARY,        true,  1ull << 63, "RFC 6455 5.2",  1002, false },
    { "a length of 2^64-1",           FIN | BINARY,        true,  UINT64_MAX, "RFC 6455 5.2",  1002, false },
};
/* clang-format on */

/* MQTT5 [MQTT-6.0.0-1], MQTT311 [MQTT-6.0.0-1]: a data frame that is not binary ends the connection. RFC 6455 5, 7.4.1. */
static void what_the_standard_forbids_ends_the_connection(void **state)
{
    struct buf wire, got;
    (void)state;
    buf_init(&wire, BUF_MAX);
    buf_init(&got, BUF_MAX);
    for (size_t i = 0; i < COUNT_OF(violations); i++)
        for (size_t bite = 1; bite <= BUF_MAX; bite = bite == 1 ? BUF_MAX : BUF_MAX + 1) {
            const struct violation *v = &violations[i];
            struct why why = { 0 };
            struct ws *ws = open_server();
            buf_reset(&wire);
            buf_reset(&got);
            put_frame(&wire, v->in_message ? BINARY : FIN | BINARY, true, SPAN("good"));
            put_head(&wire, v->first, v->mask, v->len);
            for (uint64_t k = 0; k < v->len && k < 4; k++)
                put_u8(&wire, 0);
            if (hear(ws, buf_span(&wire), bite, &got, &why) != WS_FAILED)
                fail_msg("%s: accepted", v->name);
            if (strcmp(why.clause, v->clause) != 0)
                fail_msg("%s: %s %s", v->name, why.clause, why.text);
            assert_true(span_eq_str(buf_span(&got), "good"));
            assert_int_equal(close_of(ws), v->code);
            assert_int_not_equal(ws_failure(ws), ST_OK);
            ws_free(ws);
        }
    buf_done(&wire);
    buf_done(&got);
}

static void lengths_have_one_form(void **state)
{
    static const uint8_t long_for_short[] = { FIN | BINARY, 0x80 | 126, 0, 125, 1, 2, 3, 4, 5 };
    static const uint8_t longer_for_long[] = { FIN | BINARY, 0x80 | 127, 0, 0, 0, 0, 0, 0,
                                               255,          255,        1, 2, 3, 4, 5 };
    const struct span rows[] = { span_of(long_for_short, sizeof long_for_short),
                                 span_of(longer_for_long, sizeof longer_for_long) };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct why why = { 0 };
        struct buf got = { .max = 100 };
        struct ws *ws = open_server();
        assert_int_equal(hear(ws, rows[i], 100, &got, &why),
                         WS_FAILED); /* RFC 6455 5.2: the minimal number of bytes */
        assert_int_equal(close_of(ws), 1002);
        ws_free(ws);
    }
}

static void a_close_whose_reason_is_no_text_is_refused(void **state)
{
    struct why why = { 0 };
    struct buf wire = { .max = 1000 }, got = { .max = 100 };
    struct ws *ws = open_server();
    (void)state;
    put_close(&wire, 1000, "\xff\xfe");
    assert_int_equal(hear(ws, buf_span(&wire), 1, &got, &why), WS_FAILED);
    assert_int_equal(close_of(ws), 1007); /* RFC 6455 8.1 */
    ws_free(ws);
    buf_done(&wire);
}

/* MQTT5 [MQTT-6.0.0-1], MQTT311 [MQTT-6.0.0-1]: the recipient closes, whoever it is. */
static void a_client_takes_no_text_frame(void **state)
{
    struct why why = { 0 };
    struct buf wire = { .max = 1000 }, got = { .max = 100 };
    struct ws *ws = open_client();
    (void)state;
    put_frame(&wire, FIN | BINARY, false, SPAN("good"));
    put_frame(&wire, FIN | TEXT, false, SPAN("bad"));
    assert_int_equal(hear(ws, buf_span(&wire), 100, &got, &why), WS_FAILED);
    assert_true(span_eq_str(buf_span(&got), "good"));
    assert_string_equal(why.clause, "MQTT5 [MQTT-6.0.0-1]");
    assert_int_equal(ws_failure(ws), ST_PROTOCOL);
    ws_free(ws);
    buf_done(&wire);
    buf_done(&got);
}

/* RFC 6455 5.1: a client closes when a server masks. */
static void a_client_takes_no_masked_frame(void **state)
{
    struct why why = { 0 };
    struct buf wire = { .max = 1000 }, got = { .max = 100 };
    struct ws *ws = open_client();
    (void)state;
    put_frame(&wire, FIN | BINARY, false, SPAN("good"));
    put_frame(&wire, FIN | BINARY, true, SPAN("bad"));
    assert_int_equal(hear(ws, buf_span(&wire), 3, &got, &why), WS_FAILED);
    assert_true(span_eq_str(buf_span(&got), "good"));
    ws_close(ws);
    struct buf out = said(ws);
    assert_int_equal(out.len, 2 + 4 + 2); /* masked, as everything a client sends */
    assert_int_equal(out.p[1] & 0x80, 0x80);
    buf_done(&out);
    ws_free(ws);
    buf_done(&wire);
    buf_done(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_upgrade_of_the_standard_is_answered_as_there),
        cmocka_unit_test(every_variant_that_may_be_is_accepted),
        cmocka_unit_test(every_other_request_is_refused_with_its_reason),
        cmocka_unit_test(origins_are_exact_or_any_and_none_by_default),
        cmocka_unit_test(a_head_without_end_is_bounded),
        cmocka_unit_test(a_client_asks_as_the_standard_wants),
        cmocka_unit_test(a_client_asks_for_no_path_that_breaks_its_request),
        cmocka_unit_test(a_client_believes_no_other_answer),
        cmocka_unit_test(bytes_arrive_in_order_however_they_are_cut),
        cmocka_unit_test(a_frame_of_the_largest_size_costs_no_memory),
        cmocka_unit_test(what_is_sent_is_one_binary_frame),
        cmocka_unit_test(a_ping_is_answered_and_a_flood_once),
        cmocka_unit_test(a_close_is_answered_with_its_code),
        cmocka_unit_test(what_the_standard_forbids_ends_the_connection),
        cmocka_unit_test(lengths_have_one_form),
        cmocka_unit_test(a_close_whose_reason_is_no_text_is_refused),
        cmocka_unit_test(a_client_takes_no_text_frame),
        cmocka_unit_test(a_client_takes_no_masked_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
