/* The upper layer through its public header where no broker is needed: options, the loop, and trying again. What a broker
 * answers is played in engine_test.c, tests/rude and tests/blackbox. */
#include "symbolon/client.h"

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg above */
#include <cmocka.h>

struct world {
    struct symbolon_loop *loop;
    struct symbolon_client *client;
    struct symbolon_error error;
    int64_t retries[8];
    int disconnected;
    int stop_after; /* that many `disconnected` */
    int fired;
};

static void on_disconnected(void *arg, const struct symbolon_error *why, int64_t retry_ms)
{
    struct world *w = arg;

    w->error = *why;
    if (w->disconnected < 8)
        w->retries[w->disconnected] = retry_ms;
    w->disconnected++;
    if (retry_ms < 0)
        symbolon_loop_stop(w->loop);
    else if (w->disconnected == w->stop_after)
        symbolon_client_disconnect(w->client, 0);
}

static void fire(void *arg)
{
    ((struct world *)arg)->fired++;
}

static void stop(void *arg)
{
    symbolon_loop_stop(((struct world *)arg)->loop);
}

static const struct symbolon_events events = { .disconnected = on_disconnected };

/* A port of this machine that nobody listens on: bound, so that nobody else takes it. */
static int closed_port(uint16_t *ret_port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static struct symbolon_client_options plain(struct world *w, uint16_t port)
{
    struct symbolon_client_options o = SYMBOLON_CLIENT_OPTIONS_INIT;

    o.host = "127.0.0.1";
    o.port = port;
    o.no_tls = true;
    o.events = &events;
    o.arg = w;
    o.reconnect_min_ms = 16;
    o.reconnect_max_ms = 40;
    return o;
}

static void options_that_contradict_each_other_are_refused(void **state)
{
    struct symbolon_key *secret = NULL, *key = NULL;
    struct symbolon_loop *loop = NULL;
    struct symbolon_client *client = NULL;
    struct symbolon_error error;

    (void)state;
    assert_int_equal(symbolon_loop_new(&loop, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_key_generate(SYMBOLON_KEY_SECRET, &secret, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_key_generate(SYMBOLON_KEY_ED25519, &key, NULL), SYMBOLON_OK);
    struct symbolon_client_options rows[18];
    struct symbolon_message bad_will = { .topic = { "a/#", 3 } },
                            big_will = { /* its length is refused before a byte is read */ .topic = { "a", 1 },
                                         .payload = { &rows, 65536 } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rows[i] = (struct symbolon_client_options)SYMBOLON_CLIENT_OPTIONS_INIT;
        rows[i].host = "h";
        rows[i].ace = SYMBOLON_ACE_EXPORTER;
    }
    rows[0].host = NULL;
    rows[1].no_tls = true;   /* MT-2 */
    rows[2].user_name = "u"; /* MT-50 */
    rows[3].token = "t";     /* without a key */
    rows[4].key = secret;    /* AF-41 */
    rows[5].struct_size = 1;
    rows[6].will = &bad_will;
    rows[7].will = &big_will;
    rows[8].ace = SYMBOLON_ACE_RPK; /* without a key (MT-23) */
    rows[9].ace = SYMBOLON_ACE_PSK; /* with a key that is no secret */
    rows[9].key = key;
    rows[9].token = "t";
    rows[10].ace = SYMBOLON_ACE_PSK_KID; /* nobody said the kid (MT-27) */
    rows[10].key = secret;
    rows[10].token = "t";
    rows[11].ace = SYMBOLON_ACE_CHALLENGE; /* MT-123 */
    rows[11].mqtt_version = SYMBOLON_MQTT_3_1_1;
    rows[12].mqtt_version = (enum symbolon_mqtt_version)3;
    rows[13].mqtt_version = SYMBOLON_MQTT_3_1_1; /* MQTT311 [MQTT-3.1.3-7] */
    rows[13].keep_session = true;
    rows[14].ws_path = "mqtt";   /* RFC 6455 3 */
    rows[15].store_dir = "/tmp"; /* whose messages? */
    rows[16].mqtt_version = SYMBOLON_MQTT_3_1_1;
    rows[16].topic_alias_maximum = 1;
    rows[17].client_id = "c";
    rows[17].store_dir = "/dev/null/x"; /* no folder */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_not_equal(symbolon_client_new(loop, &rows[i], &client, &error), SYMBOLON_OK);
        assert_true(error.text[0] != '\0');
        assert_null(client);
    }
    symbolon_key_unref(secret);
    symbolon_key_unref(key);
    symbolon_loop_free(loop);
}

static void callers_of_an_earlier_version_are_served(void **state)
{
    struct symbolon_loop *loop = NULL;
    struct symbolon_client *client = NULL;
    const size_t old_size = offsetof(struct symbolon_client_options, mqtt_version),
                 second_size = offsetof(struct symbolon_client_options, ws_path);
    struct symbolon_client_options now = SYMBOLON_CLIENT_OPTIONS_INIT;
    void *old = malloc(old_size), *old_events = calloc(1, offsetof(struct symbolon_events, uploaded));

    (void)state;
    assert_int_equal(symbolon_loop_new(&loop, NULL), SYMBOLON_OK);
    now.struct_size = old_size;
    now.host = "h";
    now.events = old_events; /* both end where theirs did: a sanitizer sees who reads on */
    memcpy(old, &now, old_size);
    assert_int_equal(symbolon_client_new(loop, old, &client, NULL), SYMBOLON_OK);
    symbolon_client_free(client);
    free(old);
    old = malloc(second_size);
    now.struct_size = second_size;
    now.events = NULL;
    memcpy(old, &now, second_size);
    assert_int_equal(symbolon_client_new(loop, old, &client, NULL), SYMBOLON_OK);
    symbolon_client_free(client);
    symbolon_loop_free(loop);
    free(old_events);
    free(old);
}

static void what_was_accepted_is_there_for_the_next_client(void **state)
{
    struct world w = { 0 };
    char dir[] = "/tmp/client_test.XXXXXX", path[64];
    struct symbolon_client_options o = plain(&w, 9);
    const struct symbolon_message m = { .topic = { "t", 1 }, .qos = 1 };
    struct symbolon_client *other = NULL;
    struct symbolon_error error;

    (void)state;
    assert_non_null(mkdtemp(dir));
    o.client_id = "c";
    o.store_dir = dir;
    assert_int_equal(symbolon_loop_new(&w.loop, NULL), SYMBOLON_OK);
    for (size_t round = 0; round < 3; round++) {
        assert_int_equal(symbolon_client_new(w.loop, &o, &w.client, NULL), SYMBOLON_OK);
        assert_int_equal(symbolon_client_pending(w.client), round);
        assert_int_equal(symbolon_client_publish(w.client, &m, NULL, NULL), SYMBOLON_OK);
        assert_int_equal(symbolon_client_new(w.loop, &o, &other, &error), SYMBOLON_EXISTS); /* one at a time */
        symbolon_client_free(w.client);
    }
    o.store_max_bytes = 500;
    assert_int_equal(symbolon_client_new(w.loop, &o, &w.client, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_client_publish(w.client, &m, NULL, &error), SYMBOLON_QUEUE_FULL);
    symbolon_client_free(w.client);
    symbolon_loop_free(w.loop);
    static const char *const files[] = { "messages.db", "lock" };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
}

static void without_reconnect_one_failure_is_final(void **state)
{
    struct world w = { 0 };
    uint16_t port;
    int fd = closed_port(&port);
    struct symbolon_client_options o = plain(&w, port);

    (void)state;
    assert_int_equal(symbolon_loop_new(&w.loop, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_client_new(w.loop, &o, &w.client, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_client_start(w.client, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_client_start(w.client, NULL), SYMBOLON_INVALID);
    symbolon_loop_run(w.loop);
    assert_int_equal(w.disconnected, 1);
    assert_int_equal(w.error.status, SYMBOLON_UNREACHABLE);
    assert_int_equal(symbolon_client_start(w.client, NULL), SYMBOLON_OK); /* and may be tried anew */
    symbolon_loop_run(w.loop);
    assert_int_equal(w.disconnected, 2);
    symbolon_client_free(w.client);
    symbolon_loop_free(w.loop);
    close(fd);
}

static void pauses_grow_to_their_limit_and_a_disconnect_ends_them(void **state)
{
    struct world w = { .stop_after = 5 };
    uint16_t port;
    int fd = closed_port(&port);
    struct symbolon_client_options o = plain(&w, port);
    static const int64_t longest[] = { 16, 32, 40, 40, 40 };

    (void)state;
    o.reconnect = true;
    assert_int_equal(symbolon_loop_new(&w.loop, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_client_new(w.loop, &o, &w.client, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_client_start(w.client, NULL), SYMBOLON_OK);
    symbolon_loop_run(w.loop);
    assert_int_equal(w.disconnected, 6);
    for (int i = 0; i < 5; i++)
        assert_in_range(w.retries[i], longest[i] / 2, longest[i]);
    assert_int_equal(w.retries[5], -1);
    assert_int_equal(w.error.status, SYMBOLON_OK);
    symbolon_client_free(w.client);
    symbolon_loop_free(w.loop);
    close(fd);
}

static void messages_wait_for_a_connection_up_to_the_queue(void **state)
{
    struct world w = { 0 };
    struct symbolon_client_options o = plain(&w, 1);
    struct symbolon_subscription sub = { .filter = "a" };
    struct symbolon_message m = { .topic = { "t", 1 } };
    uint64_t first = 0, second = 0;

    (void)state;
    o.max_queue = 2;
    assert_int_equal(symbolon_loop_new(&w.loop, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_client_new(w.loop, &o, &w.client, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_client_publish(w.client, &m, &first, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_client_publish(w.client, &m, &second, NULL), SYMBOLON_OK);
    assert_true(second > first);
    assert_int_equal(symbolon_client_publish(w.client, &m, NULL, NULL), SYMBOLON_QUEUE_FULL);
    assert_int_equal(symbolon_client_pending(w.client), 2);
    assert_int_equal(symbolon_client_subscribe(w.client, &sub, 1, NULL, NULL), SYMBOLON_CLOSED);
    assert_int_equal(symbolon_client_flush(w.client, NULL), SYMBOLON_CLOSED);
    symbolon_client_disconnect(w.client, 0); /* of an idle client: nothing to do */
    symbolon_client_free(w.client);
    symbolon_loop_free(w.loop);
}

static void a_client_may_be_freed_in_the_middle_of_connecting(void **state)
{
    struct world w = { 0 };
    struct symbolon_client_options o = plain(&w, 9);

    (void)state;
    o.host = "192.0.2.1"; /* TEST-NET-1: nobody answers */
    assert_int_equal(symbolon_loop_new(&w.loop, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_client_new(w.loop, &o, &w.client, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_client_start(w.client, NULL), SYMBOLON_OK);
    assert_non_null(symbolon_loop_after(w.loop, 30, stop, &w));
    symbolon_loop_run(w.loop);
    symbolon_client_free(w.client);
    assert_non_null(symbolon_loop_after(w.loop, 10, stop, &w));
    symbolon_loop_run(w.loop); /* what was dropped goes away in peace */
    symbolon_client_free(NULL);
    symbolon_loop_free(w.loop);
}

static void *post_from_elsewhere(void *arg)
{
    struct world *w = arg;

    for (int i = 0; i < 1000; i++)
        if (!symbolon_loop_post(w->loop, fire, w))
            return NULL;
    symbolon_loop_post(w->loop, stop, w);
    return w;
}

static void other_threads_may_post_and_timers_may_be_cancelled(void **state)
{
    struct world w = { 0 };
    pthread_t thread;
    void *done = NULL;

    (void)state;
    assert_int_equal(symbolon_loop_new(&w.loop, NULL), SYMBOLON_OK);
    struct symbolon_timer *timer = symbolon_loop_after(w.loop, 1, fire, &w);
    assert_non_null(timer);
    symbolon_timer_cancel(timer);
    symbolon_timer_cancel(NULL);
    assert_non_null(symbolon_loop_after(w.loop, 60000, fire, &w)); /* freed with the loop */
    assert_int_equal(pthread_create(&thread, NULL, post_from_elsewhere, &w), 0);
    symbolon_loop_run(w.loop);
    assert_int_equal(pthread_join(thread, &done), 0);
    assert_non_null(done);
    assert_int_equal(w.fired, 1000);
    symbolon_loop_free(w.loop);
    symbolon_loop_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_contradict_each_other_are_refused),
        cmocka_unit_test(callers_of_an_earlier_version_are_served),
        cmocka_unit_test(what_was_accepted_is_there_for_the_next_client),
        cmocka_unit_test(without_reconnect_one_failure_is_final),
        cmocka_unit_test(pauses_grow_to_their_limit_and_a_disconnect_ends_them),
        cmocka_unit_test(messages_wait_for_a_connection_up_to_the_queue),
        cmocka_unit_test(a_client_may_be_freed_in_the_middle_of_connecting),
        cmocka_unit_test(other_threads_may_post_and_timers_may_be_cancelled),
    };
    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
