#include "net/ws_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka wants the three above first */
#include <cmocka.h>

static const char *const origins[] = { "https://good.example", "https://also.example:8443" };
const struct ws_server_settings ws_world_at = { "/mqtt", origins, 2 };
const struct ws_client_settings ws_world_to = { "broker.example", 8080, false, "/mqtt" };

struct ws *ws_world_server(const struct ws_server_settings *settings)
{
    struct ws *ws;
    assert_int_equal(ws_new_server(settings, &ws, NULL), ST_OK);
    return ws;
}

struct buf ws_world_said(struct ws *ws)
{
    struct buf out;
    buf_init(&out, WS_WORLD_MAX);
    assert_int_equal(ws_write(ws, SPAN_NONE, &out), ST_OK);
    assert_false(ws_has_output(ws));
    return out;
}

enum ws_result ws_world_upgrade(struct ws *ws, const char *text, size_t bite, struct why *why)
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

struct ws *ws_world_client(const struct ws_client_settings *settings)
{
    struct ws *ws;
    assert_int_equal(ws_new_client(settings, &ws, NULL), ST_OK);
    return ws;
}

enum ws_result ws_world_answer(struct ws *c, const char *text, struct why *why)
{
    struct span all = span_of_str(text);
    size_t at = span_find(all, '@', 0);
    struct buf full = { .max = WS_HEAD_MAX };
    put_bytes(&full, span_cut(all, 0, at));
    put_str(&full, c->accept);
    put_bytes(&full, span_cut(all, at + 1, all.len));
    put_u8(&full, 0);
    enum ws_result result = ws_world_upgrade(c, (const char *)full.p, 5, why);
    buf_done(&full);
    return result;
}

struct ws *ws_world_open_server(void)
{
    struct why why = { 0 };
    struct ws *ws = ws_world_server(&ws_world_at);
    assert_int_equal(ws_world_upgrade(ws, GOOD, sizeof GOOD - 1, &why), WS_OK);
    struct buf out = ws_world_said(ws);
    buf_done(&out);
    return ws;
}

struct ws *ws_world_open_client(void)
{
    struct why why = { 0 };
    struct ws *c = ws_world_client(&ws_world_to);
    struct buf out = ws_world_said(c);
    assert_int_equal(ws_world_answer(c, SWITCHING ANSWER CHOSEN "\r\n", &why), WS_OK);
    buf_done(&out);
    return c;
}
