/* Which peers the core blames, whom it welcomes, and what an operator sees and does (shard/fault.h, client_list.h). */
#include "raw.h"
#include "shard/client_list.h"
#include "shard/fault.h"

#include <stdio.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

/* Its key is somebody's; *out is set up here. */
static void forge(struct bench *b, struct buf *out)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;

    buf_init(out, 65535);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    token_make(b, &(struct token_wish){ .scope = ALL, .key = key, .wrong_issuer = true }, out);
}

static void connect_with(struct conn_io *c, const struct token_wish *token, struct span proof)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf text, data;
    struct token_wish wish = *token;

    buf_init(&text, 65535);
    buf_init(&data, 65535);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    wish.key = key;
    token_make(c->b, &wish, &text);
    put_u16(&data, (uint16_t)text.len);
    put_bytes(&data, buf_span(&text));
    put_bytes(&data, proof);
    client_connect(c, &(struct connect_wish){ .id = "c", .data = buf_span(&data), .has_data = true });
}

#define WRONG_PROOF SPAN("0123456789012345678901234567890123456789012345678901234567890123")

static void what_no_honest_client_does_is_blamed_once(void **state)
{
    struct bench *b = *state;
    struct conn_io *c;

    c = client_new(b); /* signed by nobody we trust: MT-67 */
    connect_with(c, &(struct token_wish){ .scope = ALL, .wrong_issuer = true }, SPAN_NONE);
    assert_int_equal(c->faults, 1);

    c = client_new(b); /* a good token, and not the one who may use it: MT-65 */
    connect_with(c, &(struct token_wish){ .scope = ALL }, WRONG_PROOF);
    assert_int_equal(c->faults, 1);

    c = client_new(b);
    client_send(c, SPAN("\x10\x04zzzz")); /* malformed */
    assert_int_equal(c->faults, 1);

    c = client_new(b);
    client_ping(c); /* MQTT5 [MQTT-3.1.0-1] */
    assert_int_equal(c->faults, 1);
    assert_int_equal(c->welcomes, 0);
}

static void what_befalls_honest_clients_is_not_blamed(void **state)
{
    struct bench *b = *state;
    struct conn_io *c;

    c = client_new(b); /* MT-100 */
    connect_with(c, &(struct token_wish){ .scope = ALL, .life_s = -1 }, SPAN_NONE);
    (void)expect_connack(c, MQTT_NOT_AUTHORIZED);
    assert_int_equal(c->faults, 0);

    c = client_new(b); /* AF-63: meant for another server */
    connect_with(c, &(struct token_wish){ .scope = ALL, .aud = "another" }, SPAN_NONE);
    (void)expect_connack(c, MQTT_NOT_AUTHORIZED);
    assert_int_equal(c->faults, 0);

    c = client_new(b); /* TK-53: a clock that is wrong */
    connect_with(c, &(struct token_wish){ .scope = ALL, .not_before_s = 600 }, SPAN_NONE);
    (void)expect_connack(c, MQTT_NOT_AUTHORIZED);
    assert_int_equal(c->faults, 0);

    c = client_new(b); /* MT-92: it asks where to get a token */
    client_connect(c, &(struct connect_wish){ .id = "c", .no_data = true });
    (void)expect_connack(c, MQTT_NOT_AUTHORIZED);
    assert_int_equal(c->faults, 0);

    c = client_new(b); /* no CONNECT in time */
    bench_advance(b, b->settings.connect_timeout_ms + 10);
    assert_true(c->closed);
    assert_int_equal(c->faults, 0);

    c = client_new(b); /* a line that breaks */
    client_send(c, SPAN("\x10"));
    client_drop(c);
    assert_int_equal(c->faults, 0);
}

/* It answers for that with its token, which can be revoked. */
static void who_was_let_in_is_not_blamed_for_packets(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);

    assert_int_equal(c->welcomes, 1);
    client_send(c, SPAN("\x30\x01\x00")); /* malformed */
    (void)expect_disconnect(c, MQTT_MALFORMED_PACKET);
    assert_int_equal(c->faults, 0);
}

static void a_forged_token_inside_the_connection_is_blamed(void **state)
{ /* MT-103, MT-105 */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);
    CLEANUP(buf_done)
    struct buf data;
    struct buf token;

    forge(b, &token);
    buf_init(&data, 65535);
    put_u16(&data, (uint16_t)token.len);
    put_bytes(&data, buf_span(&token));
    buf_done(&token);
    client_auth(c, MQTT_REAUTHENTICATE, "ace", buf_span(&data));
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    assert_int_equal(c->faults, 1);
}

static void a_client_that_moves_is_welcomed_once_at_home(void **state UNUSED)
{
    struct bench *b = bench_new(3);

    for (unsigned i = 0; i < 6; i++) {
        char id[32];
        name_of_shard(b, i % 3, "client", id);
        struct conn_io *c = client_connected(b, id, ALL);
        assert_int_equal(c->welcomes, 1);
        client_bye(c);
    }
    bench_free(b);
}

static void a_forged_token_on_authz_info_is_blamed(void **state UNUSED)
{ /* MT-35 */
    struct bench *b = bench_new(1);
    struct conn_io *c;
    CLEANUP(buf_done)
    struct buf token;

    bench_tokens(b, NULL);
    forge(b, &token);
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "visitor", .no_method = true });
    (void)expect_connack(c, MQTT_SUCCESS);
    client_leave_token(c, buf_span(&token), 1, 7);
    assert_int_equal(c->faults, 1);
    bench_free(b);
}

static void the_table_of_faults(void **state UNUSED)
{
    static const struct {
        enum status st;
        const char *clause;
        bool before, after; /* CONNACK */
    } rows[] = {
        { ST_BAD_TOKEN, "TK-44 kid", false, false }, { ST_BAD_TOKEN, "TK-63", true, true },
        { ST_BAD_PROOF, "MT-65", true, true },       { ST_BAD_TOKEN, "AF-83", false, false },
        { ST_BAD_TOKEN, "AF-98", false, false },     { ST_BAD_PROOF, "limits.auth_timeout", false, false },
        { ST_BAD_PROOF, "MT-61", false, false },     { ST_BAD_TOKEN, "AF-18", false, false },
        { ST_TOKEN_EXPIRED, "TK-53", false, false }, { ST_MALFORMED, "MQTT5", true, false },
        { ST_PROTOCOL, "MQTT5", true, false },       { ST_QUOTA, "AF-65", false, false },
        { ST_NO_MEMORY, "memory", false, false },    { ST_UNREACHABLE, "MT-66", false, false },
        { ST_DENIED, "MT-92", false, false },        { ST_TIMEOUT, "limits", false, false },
        { ST_INTERNAL, "us", false, false },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct why why = { rows[i].clause, "", 0 };
        assert_true(fault_is(rows[i].st, &why, false) == rows[i].before);
        assert_true(fault_is(rows[i].st, &why, true) == rows[i].after);
    }
}

/* ---- the operator ---- */

static void an_operator_cuts_a_connection_and_the_session_stays(void **state UNUSED)
{
    struct bench *b = raw_bench();
    struct conn_io *c = back(b, "c", false);

    for (unsigned i = 0; i < b->count; i++) {
        bool home = i == shard_home(&b->settings, b->count, SPAN("c"));
        assert_true(shard_cut_client(b->shard[i], SPAN("c"), b->now) == home);
        assert_false(shard_cut_client(b->shard[i], SPAN("nobody"), b->now));
    }
    (void)expect_disconnect(c, MQTT_ADMINISTRATIVE_ACTION);
    assert_int_equal(log_count(b, "client_cut"), 1);
    assert_false(shard_cut_client(b->shard[shard_home(&b->settings, b->count, SPAN("c"))], SPAN("c"), b->now));
    c = back(b, "c", true);
    assert_false(c->closed);
    bench_free(b);
}

static struct client_rows list(struct bench *b, struct client_query query)
{
    struct client_rows rows = { 0 };

    for (unsigned i = 0; i < b->count; i++)
        assert_int_equal(client_list(b->shard[i], &query, &rows), ST_OK);
    client_rows_sort(&rows, query.limit);
    return rows;
}

static void clients_are_listed_in_order_whatever_the_pages(void **state UNUSED)
{
    struct bench *b = raw_bench();
    enum { ALL_OF_THEM = 57 };
    char last[32] = "";
    unsigned seen = 0;

    for (unsigned i = 0; i < ALL_OF_THEM; i++) {
        char id[32];
        snprintf(id, sizeof id, "client-%02u", i * 37 % ALL_OF_THEM);
        struct conn_io *c = back(b, id, false);
        subscribe(c, "a/b", 1);
        if (i % 3 == 0)
            client_drop(c);
    }
    for (;;) {
        struct client_rows rows =
            list(b, (struct client_query){ .prefix = SPAN("client-"), .after = span_of_str(last), .limit = 7 });
        if (rows.count == 0) {
            client_rows_done(&rows);
            break;
        }
        assert_int_equal(rows.total, ALL_OF_THEM - seen);
        for (size_t i = 0; i < rows.count; i++, seen++) {
            snprintf(last, sizeof last, "client-%02u", seen);
            assert_string_equal(rows.rows[i].client_id, last);
            assert_int_equal(rows.rows[i].subscriptions, 1);
            assert_true(rows.rows[i].connected == (rows.rows[i].peer[0] != '\0'));
        }
        client_rows_done(&rows);
    }
    assert_int_equal(seen, ALL_OF_THEM);
    struct client_rows rows =
        list(b, (struct client_query){ .prefix = SPAN(""), .connected_only = true, .limit = 100 });
    assert_int_equal(rows.total, ALL_OF_THEM - 19);
    client_rows_done(&rows);
    rows = list(b, (struct client_query){ .prefix = SPAN("nobody"), .limit = 100 });
    assert_int_equal(rows.count, 0);
    client_rows_done(&rows);
    bench_free(b);
}

static void what_waits_for_a_client_is_counted(void **state UNUSED)
{
    struct bench *b = raw_bench();
    struct conn_io *away = back(b, "away", false), *here = back(b, "here", false);

    subscribe(away, "a", 1);
    client_drop(away);
    for (unsigned i = 0; i < 5; i++)
        publish_whole(here, "a", "payload", 1, false);
    struct client_rows rows = list(b, (struct client_query){ .prefix = SPAN("away"), .limit = 1 });
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.rows[0].queued_messages, 5);
    assert_true(rows.rows[0].queued_bytes > 5 * 7);
    assert_false(rows.rows[0].connected);
    assert_string_equal(rows.rows[0].subject, "");
    client_rows_done(&rows);
    bench_free(b);
}

#define T(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

/* ---- what looks into every branch ---- */

#define BRANCHES 10000
#define ASKS     20

static size_t subacks(struct conn_io *c)
{
    struct mqtt_frame frame;
    size_t n = 0;

    while (client_next(c, &frame))
        n += frame.type == MQTT_SUBACK;
    return n;
}

/* A '+' in the middle of a filter is a walk through all of them, whether anything matches or not: a few in each turn. */
static void filters_that_look_into_every_branch_leave_others_their_turn(void **state)
{
    struct bench *b = *state;
    struct conn_io *other = client_connected(b, "o", ALL), *c = client_connected(b, "c", ALL);
    struct mqtt_subscription wish = wish_filter("a/+/none", 0);
    size_t done = 0, turns = 0;
    char topic[32];

    for (unsigned i = 0; i < BRANCHES; i++) {
        (void)snprintf(topic, sizeof topic, "a/%u/x", i);
        client_publish_with(other, &(struct publish_wish){ .topic = topic, .payload = "x", .retain = true });
    }
    b->manual = true;
    for (uint16_t id = 1; id <= ASKS; id++)
        client_subscribe_with(c, wish, 0, id);
    while (done < ASKS) {
        size_t now;

        client_publish(other, "a/y", "others are served", 1, 1);
        (void)bench_turn(b, 0);
        (void)expect_ack(other, MQTT_PUBACK, 1, MQTT_SUCCESS);
        now = subacks(c);
        assert_in_range(now, 1, 6);
        done += now;
        turns++;
    }
    assert_true(turns >= ASKS / 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_no_honest_client_does_is_blamed_once),
        T(what_befalls_honest_clients_is_not_blamed),
        T(who_was_let_in_is_not_blamed_for_packets),
        T(a_forged_token_inside_the_connection_is_blamed),
        cmocka_unit_test(a_client_that_moves_is_welcomed_once_at_home),
        cmocka_unit_test(a_forged_token_on_authz_info_is_blamed),
        cmocka_unit_test(the_table_of_faults),
        cmocka_unit_test(an_operator_cuts_a_connection_and_the_session_stays),
        cmocka_unit_test(clients_are_listed_in_order_whatever_the_pages),
        cmocka_unit_test(what_waits_for_a_client_is_counted),
        T(filters_that_look_into_every_branch_leave_others_their_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
