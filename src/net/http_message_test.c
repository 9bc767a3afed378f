/* Heads and bodies of requests, and what is refused of them. */
#include "net/http_message.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka wants the three above first */
#include <cmocka.h>

static int code_of(const char *text, struct http_framing *out)
{
    static struct http_head head; /* the framing points into it */
    int code = 0;

    assert_int_equal(http_request_parse(span_of_str(text), &head, NULL), ST_OK);
    return http_framing_of(&head, out, &code, NULL) == ST_OK ? 0 : code;
}

static void a_request_says_where_it_ends_and_whether_more_follow(void **state) /* RFC 9112 6.3, 9.3 */
{
    struct http_framing f;
    (void)state;
    assert_int_equal(code_of("POST /token?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n", &f), 0);
    assert_true(span_eq_str(f.path, "/token") && span_eq_str(f.query, "a=1"));
    assert_true(f.length == 12 && f.keep_alive && !f.chunked && !f.old && !f.is_head && !f.expect_continue);
    assert_int_equal(
        code_of("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\nExpect: 100-continue\r\n\r\n", &f),
        0);
    assert_true(f.chunked && f.expect_continue && f.query.p == NULL);
    assert_int_equal(code_of("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n", &f), 0);
    assert_true(f.is_head && !f.keep_alive && f.length == 0);
    assert_int_equal(code_of("GET / HTTP/1.0\r\n\r\n", &f), 0);
    assert_true(f.old && !f.keep_alive);
    assert_int_equal(code_of("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &f), 0);
    assert_true(f.keep_alive);
}

static void the_target_may_be_absolute(void **state) /* RFC 9112 3.2.2 */
{
    struct http_framing f;
    (void)state;
    assert_int_equal(code_of("GET https://as.example:8443/token?x HTTP/1.1\r\nHost: y\r\n\r\n", &f), 0);
    assert_true(span_eq_str(f.path, "/token") && span_eq_str(f.query, "x"));
    assert_int_equal(code_of("GET http://as.example HTTP/1.1\r\nHost: y\r\n\r\n", &f), 0);
    assert_true(span_eq_str(f.path, "/"));
    /* RFC 3986 3.2: what begins the query ends the authority, whatever comes behind it */
    assert_int_equal(code_of("GET https://as.example?x/token HTTP/1.1\r\nHost: y\r\n\r\n", &f), 0);
    assert_true(span_eq_str(f.path, "/") && span_eq_str(f.query, "x/token"));
    assert_int_equal(code_of("GET HTTPS://as.example/a HTTP/1.1\r\nHost: y\r\n\r\n", &f), 0);
    assert_true(span_eq_str(f.path, "/a"));
    assert_int_equal(code_of("OPTIONS * HTTP/1.1\r\nHost: y\r\n\r\n", &f), 0);
    assert_true(span_eq_str(f.path, "*"));
}

static void what_could_mean_two_things_is_refused(void **state)
{
    static const struct {
        int code;
        const char *text;
    } bad[] = {
        { 400, "GET / HTTP/1.1\r\n\r\n" }, /* RFC 9112 3.2 */
        { 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" },
        { 400, "GET x HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 400, "GET / HTCPCP\r\nHost: a\r\n\r\n" },
        { 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n" }, /* RFC 9110 15.6.6 */
        { 400,
          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n" }, /* RFC 9112 6.3 */
        { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n" },
        { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n" },
        { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n" },
        { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n" },
        { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" }, /* RFC 9112 6.1 */
        { 501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" },
        { 417, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: tea\r\n\r\n" }, /* RFC 9110 10.1.1 */
        { 400, "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eDp5\r\nauthorization: Basic eDp6\r\n\r\n" },
    };
    struct http_framing f;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(code_of(bad[i].text, &f), bad[i].code);
}

static void a_host_is_an_authority_without_a_user(void **state) /* RFC 9112 3.2, RFC 3986 3.2.2 */
{
    static const char *const good[] = {
        "",      "as.example", "as.example:8443", "as.example:", "192.0.2.1:80",       ":80",
        "a%20b", "[::1]",      "[2001:db8::7]:1", "[v7.a:b]",    "x-y_z.~!$&'()*+,;=", "[::ffff:192.0.2.1]",
    };
    static const char *const bad[] = {
        "a b",
        "me@as.example",
        "as.example/",
        "as.example:80:80",
        "as.example:8o",
        "a%2",
        "a%zz",
        "::1",
        "[::1",
        "[::1]x",
        "[::g]",
        "[]",
        "[fe80::1%25eth0]",
        "[v.x]",
        "[v7.]",
        "[v7x]",
        "a\\b",
        "a\"b",
        "a<b",
        "a#b",
        "a?b",
        "a,\tb",
        "\xc3\xa9.example",
        "[1234567890123456789012345678901234567890123456]",
        "a[b",
        "x.[::1]",
    };
    char text[200];
    struct http_framing f;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        (void)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", good[i]);
        assert_int_equal(code_of(text, &f), 0);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        (void)snprintf(text, sizeof text, "GET / HTTP/1.%zu\r\nHost: %s\r\n\r\n", i % 2, bad[i]);
        assert_int_equal(code_of(text, &f), 400);
    }
}

static void a_target_names_its_host(void **state) /* RFC 9110 4.2.1, 4.2.4 */
{
    static const char *const bad[] = { "http:///token",         "https://?x",    "http://:80/",
                                       "http://me@as.example/", "https://[::1/", "https://a:b/" };
    char text[200];
    struct http_framing f;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", bad[i]);
        assert_int_equal(code_of(text, &f), 400);
    }
    assert_int_equal(code_of("GET https://[::1]:8443/a HTTP/1.1\r\nHost: a\r\n\r\n", &f), 0);
    assert_true(span_eq_str(f.path, "/a"));
}

/* The body of `text` in bites of `bite` bytes; *ret_left are the bytes behind it. */
static enum status unchunk(const char *text, size_t bite, size_t max, struct buf *body, size_t *ret_left)
{
    struct http_chunks c = { 0 };
    struct span all = span_of_str(text);
    enum status st = ST_OK;
    size_t at = 0;

    buf_init(body, max);
    while (st == ST_OK && c.state != CHUNKS_DONE && at < all.len) {
        struct span piece = span_cut(all, at, bite), rest = piece;
        st = http_chunks_read(&c, &rest, body);
        at += piece.len - rest.len;
    }
    *ret_left = all.len - at;
    return st == ST_OK && c.state != CHUNKS_DONE ? ST_PENDING : st;
}

static void chunks_are_put_together_in_any_bites(void **state) /* RFC 9112 7.1 */
{
    static const char text[] = "5;a=\"b\"\r\nhello\r\n0A \r\n, my world\r\n0\r\nX: y: z\r\nEmpty:\r\n\r\nGET";
    struct buf body;
    size_t left;
    (void)state;
    for (size_t bite = 1; bite < sizeof text; bite++) {
        assert_int_equal(unchunk(text, bite, 100, &body, &left), ST_OK);
        assert_true(span_eq_str(buf_span(&body), "hello, my world"));
        assert_int_equal(left, 3);
        buf_done(&body);
    }
}

static void chunks_of_another_shape_are_refused(void **state)
{
    static const char *const bad[] = { "\r\n",
                                       "x\r\n",
                                       "5\nhello\r\n0\r\n\r\n",
                                       "5\r\nhello0\r\n\r\n",
                                       "5\r\r\nhello",
                                       "1000000000000000\r\n",
                                       "-1\r\n",
                                       "0\r\nX: y\n\r\n",
                                       " 5\r\nhello",
                                       "5 5\r\nhello",
                                       "5 \t a\r\nhello",
                                       "0x5\r\nhello" };
    struct buf body;
    size_t left;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(unchunk(bad[i], 100, 100, &body, &left), ST_MALFORMED);
        buf_done(&body);
    }
    assert_int_equal(unchunk("5\r\nhello\r\n", 100, 4, &body, &left), ST_TOO_LARGE);
    buf_done(&body);
    assert_int_equal(unchunk("5\r\nhel", 100, 100, &body, &left), ST_PENDING);
    buf_done(&body);
}

/* A trailer is made of field lines (RFC 9112 7.1.2): a name, a colon at once, a value; nothing is folded (5.1, 5.2). */
static void a_trailer_of_another_shape_is_refused(void **state)
{
    static const char *const bad[] = { "X\r\n",          ": y\r\n",   "X : y\r\n",    " X: y\r\n",
                                       "X: y\r\n z\r\n", "X@: y\r\n", "X: y\x7f\r\n", "X: y\x01\r\n",
                                       "X: y\r\nZ\r\n",  "X\r: y\r\n" };
    char text[64];
    struct buf body;
    size_t left;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        (void)snprintf(text, sizeof text, "0\r\n%s\r\n", bad[i]);
        for (size_t bite = 1; bite < 4; bite++) {
            assert_int_equal(unchunk(text, bite, 100, &body, &left), ST_MALFORMED);
            buf_done(&body);
        }
    }
}

static void a_chunk_that_finds_no_room_is_not_waited_for(
    void **state) /* RFC 9112 7.1: large sizes are to be expected */
{
    struct buf body;
    size_t left;
    (void)state;
    assert_int_equal(unchunk("65\r\n", 1, 100, &body, &left), ST_TOO_LARGE);
    buf_done(&body);
    assert_int_equal(unchunk("64\r\n", 1, 100, &body, &left), ST_PENDING);
    buf_done(&body);
    assert_int_equal(unchunk("5\r\nhello\r\n60\r\n", 1, 100, &body, &left), ST_TOO_LARGE);
    buf_done(&body);
    assert_int_equal(unchunk("fffffffffffffff\r\n", 1, 100, &body, &left), ST_TOO_LARGE);
    buf_done(&body);
}

static void a_query_is_decoded_field_by_field(void **state)
{
    struct buf value;
    (void)state;
    buf_init(&value, 100);
    assert_true(http_query_value(SPAN("a=1&di%66f=x+y%2Fz%2&e=&f"), "diff", &value));
    assert_true(span_eq_str(buf_span(&value), "x y/z%2"));
    buf_reset(&value);
    assert_true(http_query_value(SPAN("a=1&e=&f"), "e", &value) && value.len == 0);
    assert_true(http_query_value(SPAN("a=1&e=&f"), "f", &value) && value.len == 0);
    assert_false(http_query_value(SPAN("a=1&e=&f"), "d", &value));
    assert_false(http_query_value(SPAN_NONE, "d", &value));
    buf_done(&value);
}

static void dates_are_written_as_http_wants_them(void **state) /* RFC 9110 5.6.7 */
{
    char text[HTTP_DATE_BYTES];
    (void)state;
    http_date(784111777, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_says_where_it_ends_and_whether_more_follow),
        cmocka_unit_test(the_target_may_be_absolute),
        cmocka_unit_test(what_could_mean_two_things_is_refused),
        cmocka_unit_test(a_host_is_an_authority_without_a_user),
        cmocka_unit_test(a_target_names_its_host),
        cmocka_unit_test(a_trailer_of_another_shape_is_refused),
        cmocka_unit_test(a_chunk_that_finds_no_room_is_not_waited_for),
        cmocka_unit_test(chunks_are_put_together_in_any_bites),
        cmocka_unit_test(chunks_of_another_shape_are_refused),
        cmocka_unit_test(a_query_is_decoded_field_by_field),
        cmocka_unit_test(dates_are_written_as_http_wants_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
