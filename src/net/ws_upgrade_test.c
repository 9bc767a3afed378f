/* The upgrade to WebSocket over memory, and every way to refuse it. */
#include "net/ws_http.h"
#include "net/ws_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

/* -- the upgrade, server ---------------------------------------------------------------------------------- */

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
        struct ws *ws = ws_world_server(&ws_world_at);
        assert_false(ws_upgraded(ws));
        assert_int_equal(ws_world_upgrade(ws, GOOD, bites[i] == SIZE_MAX ? sizeof GOOD : bites[i], &why),
                         WS_OK);
        assert_true(ws_upgraded(ws));
        struct buf out = ws_world_said(ws);
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
        struct ws *ws = ws_world_server(&ws_world_at);
        if (ws_world_upgrade(ws, rows[i], strlen(rows[i]), &why) != WS_OK)
            fail_msg("row %zu: %s", i, why.text);
        struct buf out = ws_world_said(ws);
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
    { REQUEST_LINE "Host: a b\r\n" UPGRADE CONNECTION VERSION WITH_KEY PROTOCOL "\r\n", "HTTP/1.1 400 ", "RFC 9112 3.2", NULL },
    { REQUEST_LINE "Host: :443\r\n" UPGRADE CONNECTION VERSION WITH_KEY PROTOCOL "\r\n", "HTTP/1.1 400 ", "RFC 9112 3.2", NULL },
    { "GET http:///mqtt HTTP/1.1\r\n" FIELDS "\r\n",        "HTTP/1.1 400 ", "RFC 9110 4.2.1", NULL },
    { "GET wss://me@broker.example/mqtt HTTP/1.1\r\n" FIELDS "\r\n", "HTTP/1.1 400 ", "RFC 9110 4.2.1", NULL },
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
    struct ws *ws = ws_world_server(&ws_world_at);
    if (ws_world_upgrade(ws, row->request, bite, &why) != WS_FAILED)
        fail_msg("accepted: %s", row->request);
    struct buf out = ws_world_said(ws);
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
    struct ws *ws = ws_world_server(&nobody);
    assert_int_equal(ws_world_upgrade(ws, page, sizeof page - 1, &why), WS_FAILED);
    assert_int_equal(ws_failure(ws), ST_DENIED);
    assert_true(span_eq_str(ws_refused_origin(ws), "https://good.example"));
    ws_free(ws);
    ws = ws_world_server(&everybody);
    assert_int_equal(ws_world_upgrade(ws, page, sizeof page - 1, &why), WS_OK);
    ws_free(ws);
    ws = ws_world_server(&nobody); /* no browser: names none */
    assert_int_equal(ws_world_upgrade(ws, GOOD, sizeof GOOD - 1, &why), WS_OK);
    ws_free(ws);
}

static void a_head_without_end_is_bounded(void **state)
{
    struct why why = { 0 };
    struct buf text;
    (void)state;
    buf_init(&text, WS_WORLD_MAX);
    put_str(&text, REQUEST_LINE "X: ");
    while (text.len < 2 * WS_HEAD_MAX)
        put_str(&text, "aaaaaaaaaaaaaaaa");
    put_u8(&text, 0);
    struct ws *ws = ws_world_server(&ws_world_at);
    assert_int_equal(ws_world_upgrade(ws, (const char *)text.p, 100, &why), WS_FAILED);
    assert_int_equal(ws_failure(ws), ST_TOO_LARGE);
    struct buf out = ws_world_said(ws);
    assert_true(span_starts_with(buf_span(&out), SPAN("HTTP/1.1 431 ")));
    buf_done(&out);
    ws_free(ws);

    buf_reset(&text);
    put_str(&text, REQUEST_LINE);
    for (int i = 0; i < HTTP_FIELDS_MAX + 1; i++)
        put_str(&text, "A: b\r\n");
    put_str(&text, "\r\n");
    put_u8(&text, 0);
    ws = ws_world_server(&ws_world_at);
    assert_int_equal(ws_world_upgrade(ws, (const char *)text.p, WS_WORLD_MAX, &why), WS_FAILED);
    assert_int_equal(ws_failure(ws), ST_TOO_LARGE);
    ws_free(ws);
    buf_done(&text);
}

/* -- the upgrade, client ---------------------------------------------------------------------------------- */

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
        struct ws *c = ws_world_client(&rows[i].to);
        struct buf out = ws_world_said(c);
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
        struct ws *c = ws_world_client(&ws_world_to);
        struct buf out = ws_world_said(c);
        enum ws_result result = ws_world_answer(c, rows[i].text, &why);
        if (result != (rows[i].st == ST_OK ? WS_OK : WS_FAILED) || ws_failure(c) != rows[i].st)
            fail_msg("row %zu: %s", i, status_name(ws_failure(c)));
        assert_int_equal(ws_upgraded(c), rows[i].st == ST_OK);
        buf_done(&out);
        ws_free(c);
    }
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
