/* The relay between two sides played by hand, and the path that ends rings. */
#include "bridge/path.h"
#include "bridge/relay.h"
#include "mqtt/reason.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* One side: what was published to it, and what was acknowledged to it. */
struct side {
    struct world *world;
    enum rule_side which;
    bool connected;
    bool answers_at_once;
    size_t waiting;
    int holds, lets_go;
    enum symbolon_status refuses;
    int published, acked;
    uint64_t last_id, last_handle;
    uint8_t last_reason;
    struct symbolon_message last;
    char topic[256], response[256], path[512];
    size_t user_properties;
};

struct world {
    struct rules *rules;
    struct relay relay;
    struct side side[2];
    int dropped;
    struct symbolon_error why;
};

static void copy(char *to, size_t cap, struct symbolon_bytes from)
{
    snprintf(to, cap, "%.*s", (int)from.len, from.p == NULL ? "" : (const char *)from.p);
}

static enum symbolon_status on_publish(void *ctx, const struct symbolon_message *m, uint64_t *ret_id,
                                       struct symbolon_error *error)
{
    struct side *s = ctx;

    if (s->refuses != SYMBOLON_OK) {
        *error = (struct symbolon_error){ .status = s->refuses, .reason_code = -1 };
        return s->refuses;
    }
    s->published++;
    *ret_id = ++s->last_id;
    s->last = *m;
    copy(s->topic, sizeof s->topic, m->topic);
    copy(s->response, sizeof s->response, m->response_topic);
    s->path[0] = '\0';
    for (size_t i = 0; i < m->user_property_count; i++)
        if (m->user_properties[i].name.len == strlen(PATH_PROPERTY) &&
            memcmp(m->user_properties[i].name.p, PATH_PROPERTY, strlen(PATH_PROPERTY)) == 0)
            copy(s->path, sizeof s->path, m->user_properties[i].value);
    s->user_properties = m->user_property_count;
    if (s->answers_at_once)
        relay_published(&s->world->relay, s->which, s->last_id,
                        &(struct symbolon_error){ .status = SYMBOLON_OK, .reason_code = -1 });
    return SYMBOLON_OK;
}

static void on_ack(void *ctx, uint64_t handle, uint8_t reason)
{
    struct side *s = ctx;

    s->acked++;
    s->last_handle = handle;
    s->last_reason = reason;
}

static bool is_connected(void *ctx)
{
    return ((struct side *)ctx)->connected;
}

static size_t waiting(void *ctx)
{
    return ((struct side *)ctx)->waiting;
}

static void on_hold(void *ctx, bool on)
{
    struct side *s = ctx;

    s->holds += on;
    s->lets_go += !on;
}

static void on_dropped(void *ctx, enum rule_side from UNUSED, struct span topic UNUSED,
                       const struct symbolon_error *why)
{
    struct world *w = ctx;

    w->dropped++;
    w->why = *why;
}

static struct world *world_new(bool v3)
{
    static const struct rule_text texts[] = { { "t/#", "", "far/", RULE_BOTH, 2 },
                                              { "low", "", "", RULE_BOTH, 0 } };
    struct world *w = calloc(1, sizeof *w);
    CLEANUP(buf_done)
    struct buf problem = { .max = 1024 };

    assert_non_null(w);
    assert_int_equal(rules_new(texts, COUNT_OF(texts), &w->rules, &problem), ST_OK);
    relay_init(&w->relay, w->rules, SPAN("me"), on_dropped, w);
    for (int i = SIDE_LOCAL; i <= SIDE_REMOTE; i++) {
        w->side[i] = (struct side){ .world = w, .which = i, .connected = true };
        w->relay.side[i] =
            (struct relay_side){ on_publish, on_ack, is_connected, waiting, NULL, &w->side[i], false };
    }
    w->relay.side[SIDE_REMOTE].hold = on_hold;
    w->relay.side[SIDE_REMOTE].v3 = v3;
    return w;
}

static void world_free(struct world *w)
{
    relay_done(&w->relay);
    rules_free(w->rules);
    free(w);
}

#define BYTES(text) ((struct symbolon_bytes){ (text), strlen(text) })

static struct symbolon_message message(const char *topic, uint8_t qos, uint64_t handle)
{
    return (
        struct symbolon_message){ .topic = BYTES(topic), .payload = BYTES("x"), .qos = qos, .handle = handle };
}

static void give(struct world *w, enum rule_side from, const char *topic, uint8_t qos, uint64_t handle)
{
    struct symbolon_message m = message(topic, qos, handle);

    relay_message(&w->relay, from, &m);
}

static void answer(struct world *w, enum rule_side to, uint64_t id, enum symbolon_status status, int reason)
{
    relay_published(&w->relay, to, id, &(struct symbolon_error){ .status = status, .reason_code = reason });
}

static void a_message_is_acknowledged_when_the_other_side_has(void **state UNUSED)
{
    struct world *w = world_new(false);

    give(w, SIDE_LOCAL, "t/1", 2, 10);
    give(w, SIDE_LOCAL, "t/2", 1, 11);
    assert_int_equal(w->side[SIDE_REMOTE].published, 2);
    assert_string_equal(w->side[SIDE_REMOTE].topic, "far/t/2");
    assert_int_equal(w->side[SIDE_LOCAL].acked, 0);
    answer(w, SIDE_REMOTE, 2, SYMBOLON_OK, 0);
    assert_int_equal(w->side[SIDE_LOCAL].last_handle, 11);
    answer(w, SIDE_REMOTE, 1, SYMBOLON_OK, 0x10); /* nobody subscribed there: that is no refusal */
    assert_int_equal(w->side[SIDE_LOCAL].last_handle, 10);
    assert_int_equal(w->side[SIDE_LOCAL].last_reason, MQTT_SUCCESS);
    answer(w, SIDE_REMOTE, 1, SYMBOLON_OK, 0); /* known no more */
    assert_int_equal(w->side[SIDE_LOCAL].acked, 2);
    assert_int_equal(w->dropped, 0);
    world_free(w);
}

static void an_answer_may_come_inside_the_call(void **state UNUSED)
{
    struct world *w = world_new(false);

    w->side[SIDE_LOCAL].answers_at_once = true;
    give(w, SIDE_REMOTE, "far/t/1", 1, 5);
    assert_string_equal(w->side[SIDE_LOCAL].topic, "t/1");
    assert_int_equal(w->side[SIDE_REMOTE].last_handle, 5);
    assert_true(list_empty(&w->relay.pending[SIDE_REMOTE]));
    world_free(w);
}

static void what_is_refused_is_dropped_and_holds_nothing_up(void **state UNUSED)
{
    struct world *w = world_new(false);

    give(w, SIDE_LOCAL, "t/1", 1, 1);
    answer(w, SIDE_REMOTE, 1, SYMBOLON_REFUSED, MQTT_QUOTA_EXCEEDED);
    assert_int_equal(w->side[SIDE_LOCAL].last_reason, MQTT_QUOTA_EXCEEDED);
    assert_int_equal(w->dropped, 1);
    give(w, SIDE_LOCAL, "t/1", 1, 2);
    answer(w, SIDE_REMOTE, 2, SYMBOLON_TOO_LARGE, -1); /* PUBACK has no code for it */
    assert_int_equal(w->side[SIDE_LOCAL].last_reason, MQTT_UNSPECIFIED_ERROR);
    w->side[SIDE_REMOTE].refuses = SYMBOLON_INVALID;
    give(w, SIDE_LOCAL, "t/1", 2, 3);
    assert_int_equal(w->side[SIDE_LOCAL].last_handle, 3);
    assert_int_equal(w->dropped, 3);
    assert_int_equal(w->relay.counters[SIDE_LOCAL].refused, 3);
    w->side[SIDE_REMOTE].refuses = SYMBOLON_OK;
    give(w, SIDE_LOCAL, "t/1", 1, 4);
    answer(w, SIDE_REMOTE, 3, SYMBOLON_TIMEOUT,
           -1); /* its Message Expiry Interval was over: nobody's refusal */
    assert_int_equal(w->side[SIDE_LOCAL].last_reason, MQTT_SUCCESS);
    assert_int_equal(w->dropped, 3);
    world_free(w);
}

static void qos_is_the_lesser_of_rule_and_message(void **state UNUSED)
{
    struct world *w = world_new(false);

    give(w, SIDE_LOCAL, "t/1", 1, 1);
    assert_int_equal(w->side[SIDE_REMOTE].last.qos, 1);
    give(w, SIDE_LOCAL, "low", 2, 2);
    assert_int_equal(w->side[SIDE_REMOTE].last.qos, 0);
    answer(w, SIDE_REMOTE, 2, SYMBOLON_OK, -1);
    assert_int_equal(w->side[SIDE_LOCAL].last_handle, 2);
    world_free(w);
}

static void qos_0_does_not_wait_for_who_is_away_or_behind(void **state UNUSED)
{
    struct world *w = world_new(false);

    w->side[SIDE_REMOTE].connected = false;
    give(w, SIDE_LOCAL, "t/1", 0, 0);
    assert_int_equal(w->side[SIDE_REMOTE].published, 0);
    give(w, SIDE_LOCAL, "t/1", 1, 1); /* QoS 1 is the remote client's to keep */
    assert_int_equal(w->side[SIDE_REMOTE].published, 1);
    w->side[SIDE_REMOTE].connected = true;
    w->side[SIDE_REMOTE].waiting = RELAY_QOS0_MAX;
    give(w, SIDE_LOCAL, "t/1", 0, 0);
    assert_int_equal(w->side[SIDE_REMOTE].published, 1);
    assert_int_equal(w->relay.counters[SIDE_LOCAL].missed, 2);
    give(w, SIDE_LOCAL, "low", 1, 7); /* QoS 0 over there: its sender is not kept waiting */
    assert_int_equal(w->side[SIDE_LOCAL].last_handle, 7);
    world_free(w);
}

/* A remote may ignore our Receive Maximum, or begin its session anew with every message: what waits here has its limit in
 * bytes all the same, and nothing of QoS 1 or 2 is lost for it. */
static void a_remote_that_floods_is_not_read_any_more(void **state UNUSED)
{
    static const char payload[1 << 20];
    struct world *w = world_new(false);
    struct symbolon_message m = message("far/t/1", 1, 1);
    const uint64_t megabytes = RELAY_BYTES_MAX >> 20;

    m.payload = (struct symbolon_bytes){ payload, sizeof payload };
    for (; m.handle < megabytes; m.handle++)
        relay_message(&w->relay, SIDE_REMOTE, &m);
    assert_int_equal(w->side[SIDE_REMOTE].holds, 0);
    relay_message(&w->relay, SIDE_REMOTE, &m);
    assert_int_equal(w->side[SIDE_REMOTE].holds, 1);
    m.handle++; /* what had been read with it */
    relay_message(&w->relay, SIDE_REMOTE, &m);
    assert_int_equal(w->side[SIDE_LOCAL].published, megabytes + 1);
    assert_int_equal(w->side[SIDE_REMOTE].holds, 1);
    for (uint64_t id = 1; id <= megabytes + 1; id++) {
        answer(w, SIDE_LOCAL, id, SYMBOLON_OK, 0);
        assert_int_equal(w->side[SIDE_REMOTE].lets_go, id >= megabytes / 2 + 2);
    }
    assert_int_equal(w->side[SIDE_REMOTE].acked, megabytes + 1);
    world_free(w);
}

static void large_messages_of_qos_0_do_not_wait_without_end(void **state UNUSED)
{
    static const char payload[1 << 20];
    struct world *w = world_new(false);
    struct symbolon_message m = message("t/1", 0, 0);

    m.payload = (struct symbolon_bytes){ payload, sizeof payload };
    for (int i = 0; i < 100; i++) /* the remote reads nothing */
        relay_message(&w->relay, SIDE_LOCAL, &m);
    assert_in_range(w->side[SIDE_REMOTE].published, 2, RELAY_BYTES_MAX >> 20);
    assert_int_equal(w->relay.counters[SIDE_LOCAL].missed, 100 - w->side[SIDE_REMOTE].published);
    world_free(w);
}

static void what_no_rule_takes_is_acknowledged_and_forgotten(void **state UNUSED)
{
    struct world *w = world_new(false);

    give(w, SIDE_REMOTE, "other", 1, 9);
    assert_int_equal(w->side[SIDE_LOCAL].published, 0);
    assert_int_equal(w->side[SIDE_REMOTE].last_handle, 9);
    assert_int_equal(w->side[SIDE_REMOTE].last_reason, MQTT_SUCCESS);
    world_free(w);
}

static void give_with_path(struct world *w, enum rule_side from, const char *topic, const char *path)
{
    struct symbolon_user_property properties[] = { { BYTES("k"), BYTES("v") },
                                                   { BYTES(PATH_PROPERTY), BYTES(path) } };
    struct symbolon_message m = message(topic, 1, 1);

    m.user_properties = properties;
    m.user_property_count = 2;
    relay_message(&w->relay, from, &m);
}

static void the_path_grows_and_ends_rings(void **state UNUSED)
{
    struct world *w = world_new(false);

    give_with_path(w, SIDE_LOCAL, "t/1", "a,+me");
    assert_string_equal(w->side[SIDE_REMOTE].path, "a,me");
    assert_int_equal(w->side[SIDE_REMOTE].user_properties, 2);
    give_with_path(w, SIDE_REMOTE, "far/t/1", "a,b");
    assert_string_equal(w->side[SIDE_LOCAL].path, "a,b,+me");
    give_with_path(w, SIDE_LOCAL, "t/1", "me,b");
    give_with_path(w, SIDE_REMOTE, "far/t/1", "me,b");
    assert_int_equal(w->side[SIDE_REMOTE].published, 1);
    assert_int_equal(w->side[SIDE_LOCAL].published, 1);
    assert_int_equal(w->relay.counters[SIDE_LOCAL].ended, 1);
    assert_int_equal(w->side[SIDE_LOCAL].last_reason, MQTT_SUCCESS);
    world_free(w);
}

static void what_has_been_at_the_other_broker_does_not_go_there_again(void **state UNUSED)
{
    struct world *w = world_new(false);

    relay_set_remote_node(&w->relay, SPAN("hub"));
    give_with_path(w, SIDE_LOCAL, "t/1", "hub,b");
    assert_int_equal(w->side[SIDE_REMOTE].published, 0);
    give_with_path(w, SIDE_REMOTE, "far/t/1", "b");
    assert_string_equal(w->side[SIDE_LOCAL].path, "b,hub,+me");
    relay_set_remote_node(&w->relay, SPAN_NONE);
    give_with_path(w, SIDE_LOCAL, "t/1", "hub,b");
    assert_int_equal(w->side[SIDE_REMOTE].published, 1);
    world_free(w);
}

static void properties_pass_and_mqtt_3_1_1_has_none(void **state UNUSED)
{
    struct world *w = world_new(false), *v3 = world_new(true);
    struct symbolon_user_property property = { BYTES("k"), BYTES("v") };
    struct symbolon_message m = message("t/1", 1, 1);

    m.retain = m.has_expiry = m.payload_is_utf8 = true;
    m.expiry_s = 60;
    m.content_type = BYTES("text/plain");
    m.correlation_data = BYTES("c");
    m.response_topic = BYTES("t/answers");
    m.user_properties = &property;
    m.user_property_count = 1;
    relay_message(&w->relay, SIDE_LOCAL, &m);
    const struct symbolon_message *got = &w->side[SIDE_REMOTE].last;
    assert_true(got->retain && got->has_expiry && got->payload_is_utf8);
    assert_int_equal(got->expiry_s, 60);
    assert_int_equal(got->content_type.len, 10);
    assert_int_equal(got->correlation_data.len, 1);
    assert_string_equal(w->side[SIDE_REMOTE].response, "far/t/answers");
    assert_string_equal(w->side[SIDE_REMOTE].path, "me");
    m.response_topic = BYTES("elsewhere"); /* no rule brings answers back: as it is */
    m.payload = BYTES("\xff");             /* said to be UTF-8, but is not */
    relay_message(&w->relay, SIDE_LOCAL, &m);
    assert_string_equal(w->side[SIDE_REMOTE].response, "elsewhere");
    assert_false(got->payload_is_utf8);

    relay_message(&v3->relay, SIDE_LOCAL, &m);
    got = &v3->side[SIDE_REMOTE].last;
    assert_true(got->retain);
    assert_false(got->has_expiry || got->payload_is_utf8);
    assert_true(got->content_type.p == NULL && got->response_topic.p == NULL && got->user_property_count == 0);
    answer(v3, SIDE_REMOTE, 1, SYMBOLON_OK, -1);
    give(v3, SIDE_REMOTE, "far/t/1", 1, 3);
    answer(v3, SIDE_LOCAL, 1, SYMBOLON_REFUSED, MQTT_QUOTA_EXCEEDED);
    assert_int_equal(v3->side[SIDE_REMOTE].last_reason, MQTT_SUCCESS); /* PUBACK cannot say it */
    world_free(w);
    world_free(v3);
}

/* ---- the path alone ---- */

static void assert_path(const char *path, enum path_way way, const char *want)
{
    CLEANUP(buf_done)
    struct buf out = { .max = 256 };

    path_add(span_of_str(path), SPAN("me"), way, &out);
    put_u8(&out, '\0');
    assert_string_equal((const char *)out.p, want);
}

static void a_path_is_written_at_each_end(void **state UNUSED)
{
    assert_path("", PATH_OUT, "me");
    assert_path("", PATH_IN, "+me");
    assert_path("+me", PATH_OUT, "me");
    assert_path("a,+me", PATH_OUT, "a,me");
    assert_path("a,+b", PATH_OUT, "a,+b,me");
    assert_path("a,+b", PATH_IN, "a,+b,+me");
}

static void a_path_ends_where_it_has_been(void **state UNUSED)
{
    assert_false(path_ends(SPAN(""), SPAN("me"), PATH_OUT));
    assert_false(path_ends(SPAN("a,b"), SPAN("me"), PATH_IN));
    assert_false(path_ends(SPAN("a,+me"), SPAN("me"), PATH_OUT));
    assert_true(path_ends(SPAN("a,+me"), SPAN("me"), PATH_IN));
    assert_true(path_ends(SPAN("a,me"), SPAN("me"), PATH_OUT));
    assert_true(path_ends(SPAN("me,a,+me"), SPAN("me"), PATH_OUT));
    assert_false(path_ends(SPAN("men,+men"), SPAN("me"), PATH_IN));
    assert_true(path_ends(SPAN("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16"), SPAN("me"), PATH_IN));
    assert_true(path_ends(SPAN(",,,,,,,,,,,,,,,,,,,,"), SPAN("me"), PATH_IN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_acknowledged_when_the_other_side_has),
        cmocka_unit_test(an_answer_may_come_inside_the_call),
        cmocka_unit_test(what_is_refused_is_dropped_and_holds_nothing_up),
        cmocka_unit_test(qos_is_the_lesser_of_rule_and_message),
        cmocka_unit_test(qos_0_does_not_wait_for_who_is_away_or_behind),
        cmocka_unit_test(a_remote_that_floods_is_not_read_any_more),
        cmocka_unit_test(large_messages_of_qos_0_do_not_wait_without_end),
        cmocka_unit_test(what_no_rule_takes_is_acknowledged_and_forgotten),
        cmocka_unit_test(the_path_grows_and_ends_rings),
        cmocka_unit_test(what_has_been_at_the_other_broker_does_not_go_there_again),
        cmocka_unit_test(properties_pass_and_mqtt_3_1_1_has_none),
        cmocka_unit_test(a_path_is_written_at_each_end),
        cmocka_unit_test(a_path_ends_where_it_has_been),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
