/* The feed against an authorization server of the test's own, over HTTPS, on one loop. */
#include "broker/status_feed.h"

#include "base/log.h"

#include "net/http_server.h"
#include "net/test_certs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

#include "net/test_wait.h"

#define ONE "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
#define TWO "AQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC"

static struct test_cert_files files;

struct world {
    struct loop *loop;
    struct http_server *server;
    uint16_t port;
    struct status_feed *feed;
    char uri[64];
    struct status_feed_settings settings;

    /* the server */
    int code;
    const char *full, *diff; /* what it answers; a diff of NULL is held */
    const char *etag;        /* of the full one; NULL: none, and never 304 */
    int fulls, diffs;
    char query[64], prefer[32], if_none_match[32], authorization[64];
    struct http_later *later;
    bool crowded; /* holds nothing more */

    /* the feed */
    int news, reached, lost;
    size_t revoked, removed, changed;
    uint8_t last;
    bool last_full;
};

static void answer(struct http_reply *reply, int code, const char *body)
{
    reply->code = code;
    http_reply_header(reply, "Content-Type", "application/ace-trl+json");
    put_str(&reply->body, body);
}

static void on_gone(void *ctx)
{
    struct world *w = ctx;
    w->later = NULL;
}

static void copy(char *to, size_t cap, struct span from)
{
    (void)snprintf(to, cap, "%.*s", SPAN_FMT(from));
}

static void serve(void *ctx, const struct http_request *request, struct http_reply *reply)
{
    struct world *w = ctx;
    bool diff = http_request_query(request, "diff").p != NULL;
    bool same;
    copy(w->query, sizeof w->query, http_request_query(request, "cursor"));
    copy(w->prefer, sizeof w->prefer, http_request_header(request, "Prefer"));
    copy(w->if_none_match, sizeof w->if_none_match, http_request_header(request, "If-None-Match"));
    copy(w->authorization, sizeof w->authorization, http_request_header(request, "Authorization"));
    same = w->etag != NULL && strcmp(w->etag, w->if_none_match) == 0;
    if (diff)
        w->diffs++;
    else
        w->fulls++;
    if (w->crowded && w->prefer[0] != '\0') {
        reply->code = 429;
        return;
    }
    if (w->code == 200 && diff && w->diff == NULL && w->prefer[0] == '\0') {
        put_fmt(&reply->body, "{\"diff_set\":[],\"cursor\":%s,\"more\":false}", w->query);
        return;
    }
    if (w->code == 200 && ((diff && w->diff == NULL) || (!diff && same))) {
        w->later = http_later_new(request, on_gone, w);
        assert_non_null(w->later);
        return;
    }
    if (!diff && w->etag != NULL)
        http_reply_header(reply, "ETag", w->etag);
    answer(reply, w->code, diff ? w->diff : w->full);
}

static void push(struct world *w, int code, const char *body)
{
    struct http_later *later = w->later;
    assert_non_null(later);
    w->later = NULL;
    answer(http_later_reply(later), code, body);
    http_later_send(later);
}

static void on_news(void *ctx, const struct status_answer *a)
{
    struct world *w = ctx;
    w->news++;
    w->revoked += status_answer_count(&a->revoked);
    w->removed += status_answer_count(&a->removed);
    w->changed += status_answer_count(&a->changed);
    w->last = a->revoked.len > 0 ? a->revoked.p[0] : 0;
    w->last_full = a->full;
}

static void on_contact(void *ctx, bool reached)
{
    struct world *w = ctx;
    if (reached)
        w->reached++;
    else
        w->lost++;
}

static void serve_again(struct world *w)
{
    struct http_server_settings settings = {
        .address = "127.0.0.1", .port = w->port, .cert_file = files.cert, .key_file = files.key
    };
    assert_int_equal(http_server_new(w->loop, &settings, serve, w, &w->server, NULL), ST_OK);
    w->port = http_server_port(w->server);
}

static void world_init(struct world *w)
{
    *w = (struct world){ .code = 200, .full = "{\"full_set\":[],\"cursor\":1}" };
    assert_int_equal(loop_new(&w->loop, NULL), ST_OK);
    serve_again(w);
    (void)snprintf(w->uri, sizeof w->uri, "https://localhost:%u/trl", w->port);
    w->settings = (struct status_feed_settings){ .issuer = "https://as.example",
                                                 .uri = w->uri,
                                                 .ca_file = files.ca,
                                                 .user = "broker",
                                                 .password = "secret",
                                                 .wait_s = 30,
                                                 .timeout_ms = 60000,
                                                 .poll_ms = 40,
                                                 .retry_ms = 40 };
}

static void world_start(struct world *w)
{
    static const struct status_feed_events events = { on_news, on_contact };
    assert_int_equal(status_feed_new(w->loop, &w->settings, &events, w, &w->feed, NULL), ST_OK);
}

static void world_done(struct world *w)
{
    status_feed_free(w->feed);
    http_server_free(w->server);
    loop_free(w->loop);
}

static void turn_for(struct world *w, int64_t ms)
{
    struct mono_time until = mono_plus_ms(now_read().mono, ms);
    while (now_read().mono.ms < until.ms)
        loop_turn(w->loop);
}

/* -- following --- */

/* Measured: a few milliseconds; what is not heard at once comes after `wait_s` or a poll. */
#define AT_ONCE_MS 20000

static void the_whole_list_comes_first_and_then_what_is_new_at_once(void **state) /* RFC 9770 9, RFC 7240 4.3 */
{
    struct world w;
    (void)state;
    world_init(&w);
    w.full = "{\"full_set\":[\"" ONE "\"],\"cursor\":41}";
    world_start(&w);
    WAIT_FOR(w.loop, w.later != NULL);
    assert_int_equal(w.news, 1);
    assert_true(w.last_full);
    assert_int_equal(w.last, 1);
    assert_int_equal(w.reached, 1);
    assert_string_equal(w.query, "41");
    assert_string_equal(w.prefer, "wait=30");
    assert_string_equal(w.authorization, "Basic YnJva2VyOnNlY3JldA==");
    struct mono_time pushed = now_read().mono;
    push(&w, 200, "{\"diff_set\":[[[],[\"" TWO "\"]]],\"cursor\":42,\"more\":false,\"changed\":[\"" ONE "\"]}");
    WAIT_FOR(w.loop, w.news == 2);
    assert_true(now_read().mono.ms - pushed.ms < AT_ONCE_MS);
    assert_int_equal(w.last, 2);
    assert_int_equal(w.changed, 1);
    WAIT_FOR(w.loop, w.later != NULL);
    assert_string_equal(w.query, "42");
    push(&w, 200, "{\"diff_set\":[[[\"" TWO "\"],[]]],\"cursor\":43,\"more\":false}");
    WAIT_FOR(w.loop, w.removed == 1);
    assert_int_equal(w.fulls, 1);
    world_done(&w);
}

static void more_than_fits_is_fetched_at_once(void **state) /* RFC 9770 9.2 */
{
    struct world w;
    (void)state;
    world_init(&w);
    world_start(&w);
    WAIT_FOR(w.loop, w.later != NULL);
    push(&w, 200, "{\"diff_set\":[[[],[\"" ONE "\"]]],\"cursor\":5,\"more\":true}");
    WAIT_FOR(w.loop, w.later != NULL);
    assert_string_equal(w.query, "5");
    assert_int_equal(w.diffs, 2);
    world_done(&w);
}

/* No cursor before anything ever happened: then the list itself is held, by its ETag. */
static void a_list_without_history_is_followed_by_its_etag(void **state) /* RFC 9770 9.1, RFC 9110 13.1.2 */
{
    struct world w;
    (void)state;
    world_init(&w);
    w.full = "{\"full_set\":[],\"cursor\":null}";
    w.etag = "\"v1\"";
    w.settings.poll_ms = PATIENCE_MS; /* for servers that hold nothing; this one does */
    world_start(&w);
    WAIT_FOR(w.loop, w.later != NULL);
    assert_string_equal(w.if_none_match, "\"v1\"");
    assert_string_equal(w.prefer, "wait=30");
    struct mono_time pushed = now_read().mono;
    push(&w, 200, "{\"full_set\":[\"" ONE "\"],\"cursor\":0}");
    WAIT_FOR(w.loop, w.news == 2);
    assert_int_equal(w.last, 1);
    WAIT_FOR(w.loop, w.later != NULL);
    assert_true(now_read().mono.ms - pushed.ms < AT_ONCE_MS); /* what comes right behind is heard in time too */
    assert_string_equal(w.query, "0");
    world_done(&w);
}

static void where_the_place_is_lost_the_whole_list_is_read_again(void **state) /* RFC 9770 9.2, case A */
{
    struct world w;
    (void)state;
    world_init(&w);
    world_start(&w);
    WAIT_FOR(w.loop, w.later != NULL);
    push(&w, 200, "{\"diff_set\":[],\"cursor\":null,\"more\":true}");
    WAIT_FOR(w.loop, w.fulls == 2);
    WAIT_FOR(w.loop, w.later != NULL);
    push(&w, 400,
         "{\"ace-trl-error\":{\"error-id\":2}}"); /* a cursor it never gave: a server restored from a copy */
    WAIT_FOR(w.loop, w.fulls == 3);
    WAIT_FOR(w.loop, w.later != NULL);
    world_done(&w);
}

/* Neither one that holds nothing, nor one that says the same again and again. */
static void no_server_makes_us_ask_without_end(void **state)
{
    static const struct {
        const char *full, *diff;
    } servers[] = {
        { "{\"full_set\":[\"" ONE "\"]}", NULL },
        { "{\"full_set\":[],\"cursor\":1}", "{\"diff_set\":[],\"cursor\":1,\"more\":false}" },
        { "{\"full_set\":[],\"cursor\":1}", "{\"diff_set\":[[[],[\"" ONE "\"]]],\"cursor\":1,\"more\":true}" },
        { "{\"full_set\":[],\"cursor\":1}", "{\"diff_set\":[],\"cursor\":null,\"more\":true}" },
        { "{\"full_set\":[],\"cursor\":1}", "{\"full_set\":[],\"cursor\":1}" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(servers); i++) {
        struct world w;
        world_init(&w);
        w.full = servers[i].full;
        w.diff = servers[i].diff;
        world_start(&w);
        WAIT_FOR(w.loop, w.fulls + w.diffs >= 3);
        turn_for(&w, 400);
        assert_in_range(w.fulls + w.diffs, 3, 25);
        assert_int_equal(w.lost, 0);
        world_done(&w);
    }
}

/* RFC 6585 4: as many brokers wait there as may. News is a little later then, and nobody calls the server lost. */
static void a_server_that_can_hold_no_more_is_asked_now_and_then(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    w.crowded = true;
    world_start(&w);
    WAIT_FOR(w.loop, w.diffs >= 4);
    assert_int_equal(w.reached, 1);
    assert_int_equal(w.lost, 0);
    w.diff = "{\"diff_set\":[[[],[\"" ONE "\"]]],\"cursor\":2,\"more\":false}";
    WAIT_FOR(w.loop, w.revoked >= 1);
    assert_int_equal(w.lost, 0);
    world_done(&w);
}

/* -- trouble --- */

static void a_server_that_goes_away_is_found_again(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    world_start(&w);
    WAIT_FOR(w.loop, w.later != NULL);
    http_server_free(w.server);
    w.server = NULL;
    WAIT_FOR(w.loop, w.lost == 1);
    int asked = w.diffs;
    serve_again(&w);
    WAIT_FOR(w.loop, w.diffs > asked); /* from where it was: nothing is missed */
    assert_string_equal(w.query, "1");
    assert_string_equal(w.prefer, ""); /* at once: that it is there again is news */
    WAIT_FOR(w.loop, w.reached == 2);
    WAIT_FOR(w.loop, w.later != NULL);
    assert_string_equal(w.prefer, "wait=30");
    push(&w, 200, "{\"diff_set\":[[[],[\"" ONE "\"]]],\"cursor\":2,\"more\":false}");
    WAIT_FOR(w.loop, w.revoked == 1);
    assert_int_equal(w.reached, 2);
    assert_int_equal(w.lost, 1);
    world_done(&w);
}

static void bad_answers_change_nothing_and_are_asked_for_less_and_less(void **state)
{
    static const struct {
        int code;
        const char *body;
    } bad[] = { { 401, "{}" }, { 403, "{}" },     { 404, "" },
                { 500, "" },   { 200, "<html>" }, { 200, "{\"full_set\":[7]}" } };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct world w;
        world_init(&w);
        w.code = bad[i].code;
        w.full = bad[i].body;
        world_start(&w);
        WAIT_FOR(w.loop, w.fulls >= 2);
        turn_for(&w, 400);
        assert_in_range(w.fulls, 2, 8); /* 40, 80, 160, 320 ms, or half of that */
        assert_int_equal(w.news, 0);
        assert_int_equal(w.reached, 0);
        w.code = 200;
        w.full = "{\"full_set\":[],\"cursor\":1}";
        WAIT_FOR(w.loop, w.reached == 1);
        world_done(&w);
    }
}

static void a_list_from_somebody_else_is_not_read(void **state) /* MT-3 */
{
    struct world w;
    (void)state;
    world_init(&w);
    w.settings.ca_file = files.stranger_ca;
    world_start(&w);
    turn_for(&w, 150);
    assert_int_equal(w.fulls, 0);
    assert_int_equal(w.news, 0);
    assert_int_equal(status_feed_last_contact(w.feed).ms > now_read().mono.ms, 0);
    world_done(&w);
}

static void a_list_beyond_the_limit_is_not_read(void **state)
{
    struct world w;
    char *huge = malloc(STATUS_ANSWER_MAX + 1);
    (void)state;
    assert_non_null(huge);
    memset(huge, ' ', STATUS_ANSWER_MAX);
    huge[STATUS_ANSWER_MAX] = '\0';
    world_init(&w);
    w.full = huge;
    world_start(&w);
    WAIT_FOR(w.loop, w.fulls >= 1);
    turn_for(&w, 100);
    assert_int_equal(w.news, 0);
    world_done(&w);
    free(huge);
}

static void nothing(void *ctx, enum log_level level, struct span line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

static int set_up(void **state)
{
    (void)state;
    test_cert_files_make(&files);
    log_set_sink(nothing, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_cert_files_remove(&files);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_list_comes_first_and_then_what_is_new_at_once),
        cmocka_unit_test(more_than_fits_is_fetched_at_once),
        cmocka_unit_test(a_list_without_history_is_followed_by_its_etag),
        cmocka_unit_test(where_the_place_is_lost_the_whole_list_is_read_again),
        cmocka_unit_test(no_server_makes_us_ask_without_end),
        cmocka_unit_test(a_server_that_can_hold_no_more_is_asked_now_and_then),
        cmocka_unit_test(a_server_that_goes_away_is_found_again),
        cmocka_unit_test(bad_answers_change_nothing_and_are_asked_for_less_and_less),
        cmocka_unit_test(a_list_from_somebody_else_is_not_read),
        cmocka_unit_test(a_list_beyond_the_limit_is_not_read),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
