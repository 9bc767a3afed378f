/* The topic authz-info: who leaves a token there, what he is told, and what the broker keeps (MT-30 to MT-40, AF-60 to
 * AF-66). What is done with kept tokens: known_test.c. */
#include "harness.h"

#include <stdio.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

struct fixture {
    struct bench *b;
    struct key *key;
    struct buf token;
};

static struct fixture begin(unsigned shards)
{
    struct fixture f = { .b = bench_new(shards) };

    bench_tokens(f.b, NULL);
    assert_int_equal(key_generate(KEY_ED25519, &f.key), ST_OK);
    buf_init(&f.token, 65535);
    token_make(f.b, &(struct token_wish){ .scope = ALL, .key = f.key }, &f.token);
    return f;
}

static void end(struct fixture *f)
{
    key_unref(f->key);
    buf_done(&f->token);
    bench_free(f->b);
}

static struct conn_io *visitor(struct bench *b, const char *id)
{
    struct conn_io *c = client_new(b);

    client_connect(c, &(struct connect_wish){ .id = id, .no_method = true });
    (void)expect_connack(c, MQTT_SUCCESS);
    return c;
}

static uint32_t kept(struct bench *b)
{
    struct token_store_counts counts;

    token_store_count(b->tokens, &counts);
    return counts.kept;
}

static void make(struct bench *b, struct token_wish wish, struct buf *out)
{
    CLEANUP(key_unrefp)
    struct key *own = NULL;

    buf_reset(out);
    if (wish.key == NULL) {
        assert_int_equal(key_generate(KEY_ED25519, &own), ST_OK);
        wish.key = own;
    }
    token_make(b, &wish, out);
}

/* ---- who may ---- */

static void anybody_may_leave_a_token_at_any_qos(void **state) /* MT-21, MT-30, MT-32, AF-60, AF-61 */
{
    (void)state;
    for (unsigned shards = 1; shards <= 3; shards++) {
        struct fixture f = begin(shards);
        struct conn_io *c = visitor(f.b, "device");

        client_leave_token(c, buf_span(&f.token), 1, 7);
        (void)expect_ack(c, MQTT_PUBACK, 7, MQTT_SUCCESS);
        make(f.b, (struct token_wish){ .scope = ALL }, &f.token);
        client_leave_token(c, buf_span(&f.token), 2, 8);
        (void)expect_ack(c, MQTT_PUBREC, 8, MQTT_SUCCESS);
        client_ack(c, MQTT_PUBREL, 8, 0);
        (void)expect_ack(c, MQTT_PUBCOMP, 8, MQTT_SUCCESS);
        make(f.b, (struct token_wish){ .scope = ALL, .cwt = true }, &f.token);
        client_leave_token(c, buf_span(&f.token), 0, 0);
        expect_nothing(c);
        assert_int_equal(kept(f.b), 3);
        assert_int_equal(STAT(f.b, tokens_kept), 3);
        client_bye(c);
        expect_closed(c);
        end(&f);
    }
}

static void a_client_with_a_token_may_leave_another(void **state) /* MT-30 */
{
    struct fixture f = begin(1);
    struct conn_io *c = client_connected(f.b, "c", ALL);

    (void)state;
    client_leave_token(c, buf_span(&f.token), 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    client_publish(c, "a/b", "x", 1, 2); /* its own permissions are as they were */
    (void)expect_ack(c, MQTT_PUBACK, 2, MQTT_SUCCESS);
    end(&f);
}

static void a_visitor_may_do_nothing_else(void **state) /* MT-20, MT-21 */
{
    struct fixture f = begin(1);
    struct conn_io *c = visitor(f.b, "device");

    (void)state;
    client_subscribe(c, "a/b", 0, MQTT_NOT_AUTHORIZED);
    client_subscribe(c, "#", 0, MQTT_NOT_AUTHORIZED);
    client_publish(c, "a/b", "x", 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
    client_publish(c, "authz-info/x", "x", 1, 2);
    (void)expect_ack(c, MQTT_PUBACK, 2, MQTT_NOT_AUTHORIZED);
    client_publish(c, "a/b", "x", 0, 0);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-21");
    c = client_new(f.b);
    client_connect(c, &(struct connect_wish){ .id = "w", .no_method = true, .will_topic = "authz-info" });
    (void)expect_connack(c, MQTT_NOT_AUTHORIZED);
    end(&f);
}

static void a_visit_is_short(void **state) /* MT-40 */
{
    struct fixture f = begin(1);
    struct conn_io *c = visitor(f.b, "device");

    (void)state;
    bench_advance(f.b, 29000);
    expect_nothing(c);
    bench_advance(f.b, 1100);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-40");
    assert_int_equal(log_count(f.b, "visit_over"), 1);
    assert_int_equal(STAT(f.b, tokens_expired), 0);
    assert_int_equal(STAT(f.b, sessions), 0);
    end(&f);
}

static void visitors_are_few(void **state) /* MT-40 */
{
    struct fixture f = begin(1);
    struct conn_io *first, *c;

    (void)state;
    f.b->settings.max_visitors = 2;
    first = visitor(f.b, "1");
    (void)visitor(f.b, "2");
    c = client_new(f.b);
    client_connect(c, &(struct connect_wish){ .id = "3", .no_method = true });
    expect_refused(c, MQTT_QUOTA_EXCEEDED, "authz_info.max_visitors");
    (void)client_connected(f.b, "4", ALL); /* who has a token is none */
    client_drop(first);
    (void)visitor(f.b, "5");
    end(&f);
}

/* Its old session is another party's as far as anybody can prove yet. */
static void a_visitor_under_a_taken_identifier_leaves_that_session_alone(void **state) /* MT-32, MT-60 */
{
    struct fixture f = begin(2);
    struct conn_io *owner = client_connected_with(
        f.b, &(struct connect_wish){ .id = "device", .scope = ALL, .key = f.key, .expiry_s = 600 });
    struct conn_io *c;

    (void)state;
    client_subscribe(owner, "a/#", 1, 1);
    c = visitor(f.b, "device");
    client_leave_token(c, buf_span(&f.token), 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    expect_nothing(owner);
    client_publish(owner, "a/b", "x", 0, 0);
    (void)expect_publish(owner, "a/b", "x", 0);
    expect_nothing(c);
    end(&f);
}

static void it_is_off_unless_the_settings_say_so(void **state) /* MT-30 */
{
    struct fixture f = begin(1);
    struct conn_io *c;

    (void)state;
    f.b->settings.authz_info = false;
    c = client_new(f.b);
    client_connect(c, &(struct connect_wish){ .id = "v", .no_method = true });
    expect_refused(c, MQTT_NOT_AUTHORIZED, "MT-20");
    c = client_connected(f.b, "c", "[[\"#\",[\"pub\",\"sub\"]]]");
    client_leave_token(c, buf_span(&f.token), 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
    assert_int_equal(kept(f.b), 0);
    end(&f);
}

/* ---- publish-only ---- */

static void nobody_ever_receives_what_is_left_there(void **state) /* MT-31 */
{
    struct fixture f = begin(3);
    struct conn_io *all = client_connected(f.b, "all", "[[\"#\",[\"pub\",\"sub\"]],[\"+\",[\"sub\"]]]");
    struct conn_io *later, *c = visitor(f.b, "device");
    struct mqtt_publish_out p = {
        .qos = 1, .packet_id = 1, .retain = true, .topic = SPAN("authz-info"), .payload = buf_span(&f.token)
    };
    struct buf packet;

    (void)state;
    client_subscribe(all, "#", 1, 1);
    client_subscribe(all, "+", 1, 1);
    client_subscribe(all, "authz-info", 1, MQTT_NOT_AUTHORIZED);
    buf_init(&packet, 65535);
    mqtt_write_publish(&packet, MQTT_5, &p);
    client_send(c, buf_span(&packet)); /* retained, as it asks: not by us */
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    expect_nothing(all);
    later = client_connected(f.b, "later", "[[\"#\",[\"sub\"]]]");
    client_subscribe(later, "#", 1, 1);
    expect_nothing(later);
    assert_int_equal(STAT(f.b, retained_messages), 0);
    assert_int_equal(STAT(f.b, messages_in), 0);
    buf_done(&packet);
    end(&f);
}

/* ---- refusals ---- */

struct refusal {
    struct token_wish wish;
    const char *bytes; /* instead */
    uint8_t code;
};

static void what_is_wrong_is_said_as_each_qos_can(void **state) /* MT-34 to MT-37, MT-87, AF-63, TK-54 */
{
    static const struct refusal refusals[] = {
        { .bytes = "", .code = MQTT_PAYLOAD_FORMAT_INVALID },
        { .bytes = "not a token\n", .code = MQTT_PAYLOAD_FORMAT_INVALID },
        { .bytes = "\x84\x43", .code = MQTT_PAYLOAD_FORMAT_INVALID },
        { .bytes = "e!.e30.c2ln", .code = MQTT_PAYLOAD_FORMAT_INVALID },
        { .bytes = "eyJhbGciOiJub25lIn0.e30.", .code = MQTT_NOT_AUTHORIZED },
        { .wish = { .scope = ALL, .wrong_issuer = true }, .code = MQTT_NOT_AUTHORIZED },
        { .wish = { .scope = ALL, .aud = "another-broker" }, .code = MQTT_NOT_AUTHORIZED },
        { .wish = { .scope = ALL, .life_s = -100 }, .code = MQTT_NOT_AUTHORIZED },
        { .wish = { .scope = ALL, .not_before_s = 100 }, .code = MQTT_NOT_AUTHORIZED },
    };
    CLEANUP(buf_done)
    struct buf token;

    (void)state;
    buf_init(&token, 65535);
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        struct fixture f = begin(1);
        struct conn_io *c = visitor(f.b, "device");
        const struct refusal *r = &refusals[i];

        if (r->bytes == NULL)
            make(f.b, r->wish, &token);
        else
            buf_reset(&token);
        if (r->bytes != NULL)
            put_str(&token, r->bytes);
        client_leave_token(c, buf_span(&token), 1, 1);
        (void)expect_ack(c, MQTT_PUBACK, 1, r->code);
        client_leave_token(c, buf_span(&token), 2, 2);
        (void)expect_ack(c, MQTT_PUBREC, 2, r->code);
        client_leave_token(c, buf_span(&token), 2, 2); /* the identifier is free again */
        (void)expect_ack(c, MQTT_PUBREC, 2, r->code);
        client_leave_token(c, buf_span(&token), 0, 0);
        (void)expect_disconnect(c, r->code);
        assert_int_equal(kept(f.b), 0);
        assert_int_equal(log_count(f.b, "authz_info_refused"), 4);
        end(&f);
    }
}

static void version_3_is_told_nothing(void **state) /* MT-38, MT-129 */
{
    struct fixture f = begin(2);
    struct conn_io *c = client_new(f.b);

    (void)state;
    client_connect(c, &(struct connect_wish){ .id = "old", .no_method = true, .v3 = true });
    (void)expect_connack(c, MQTT_SUCCESS);
    client_leave_token(c, SPAN("\n"), 0, 0);
    expect_nothing(c);
    client_leave_token(c, SPAN("\n"), 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    client_leave_token(c, SPAN("\n"), 2, 2);
    (void)expect_ack(c, MQTT_PUBREC, 2, MQTT_SUCCESS);
    client_ack(c, MQTT_PUBREL, 2, 0);
    (void)expect_ack(c, MQTT_PUBCOMP, 2, MQTT_SUCCESS);
    assert_int_equal(kept(f.b), 0);
    assert_int_equal(log_count(f.b, "authz_info_refused"), 3);
    client_leave_token(c, buf_span(&f.token), 1, 3);
    (void)expect_ack(c, MQTT_PUBACK, 3, MQTT_SUCCESS);
    assert_int_equal(kept(f.b), 1);
    end(&f);
}

static void a_payload_of_64_kib_is_no_token(void **state) /* MT-37 */
{
    struct fixture f = begin(1);
    struct conn_io *c = visitor(f.b, "device");
    CLEANUP(buf_done)
    struct buf big;

    (void)state;
    buf_init(&big, 1 << 20);
    put_str(&big, "eyJhbGciOiJFZERTQSJ9.");
    while (big.len < 65536)
        put_str(&big, "e30");
    client_leave_token(c, buf_span(&big), 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_PAYLOAD_FORMAT_INVALID);
    end(&f);
}

/* ---- references ---- */

static void answer(struct bench *b, enum status st, struct token *token)
{
    struct why why = { 0 };

    if (st != ST_OK)
        (void)reject(&why, st, "AF-83", "the AS says no", 0);
    shard_token_resolved(b->shard[b->asked_by], b->asked, st, token, why, b->now);
    bench_run(b);
}

static void a_reference_is_looked_up_before_the_answer(void **state) /* MT-34, AF-64 */
{
    struct fixture f = begin(2);
    struct conn_io *c = visitor(f.b, "device");

    (void)state;
    client_leave_token(c, SPAN("reference-1"), 1, 1);
    expect_nothing(c);
    assert_int_equal(f.b->asked_kind, RESOLVE_INTROSPECT);
    client_ping(c); /* not read before that is done */
    expect_nothing(c);
    f.b->asked_by = c->at;
    answer(f.b, ST_OK, token_introspected(f.b, SPAN("reference-1"), f.key, ALL));
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    {
        struct mqtt_frame frame;

        assert_true(client_next(c, &frame));
        assert_int_equal(frame.type, MQTT_PINGRESP);
    }
    assert_int_equal(kept(f.b), 1);
    client_leave_token(c, SPAN("reference-2"), 2, 2);
    answer(f.b, ST_BAD_TOKEN, NULL);
    (void)expect_ack(c, MQTT_PUBREC, 2, MQTT_NOT_AUTHORIZED);
    client_leave_token(c, SPAN("reference-3"), 0, 0);
    answer(f.b, ST_UNREACHABLE, NULL); /* claims unobtainable: MT-35 */
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    assert_int_equal(kept(f.b), 1);
    end(&f);
}

static void a_silent_as_ends_the_wait(void **state) /* AF-64, MT-35 */
{
    struct fixture f = begin(1);
    struct conn_io *c = visitor(f.b, "device");

    (void)state;
    client_leave_token(c, SPAN("reference-1"), 1, 1);
    bench_advance(f.b, 10100);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
    answer(f.b, ST_OK, token_introspected(f.b, SPAN("reference-1"), f.key, ALL)); /* too late */
    expect_nothing(c);
    assert_int_equal(kept(f.b), 0);
    client_leave_token(c, buf_span(&f.token), 1, 2);
    (void)expect_ack(c, MQTT_PUBACK, 2, MQTT_SUCCESS);
    end(&f);
}

/* It says enough, but is not heard while its token is looked up. */
static void who_waits_for_the_as_is_not_taken_for_silent(void **state) /* MQTT5 [MQTT-3.1.2-22] */
{
    struct fixture f = begin(1);
    struct conn_io *c = client_new(f.b);
    struct mqtt_frame frame;

    (void)state;
    client_connect(c, &(struct connect_wish){ .id = "device", .no_method = true, .keep_alive_s = 2 });
    (void)expect_connack(c, MQTT_SUCCESS);
    client_leave_token(c, SPAN("reference-1"), 1, 1);
    for (int i = 0; i < 4; i++) {
        client_ping(c);
        bench_advance(f.b, 2000);
        expect_nothing(c);
    }
    answer(f.b, ST_OK, token_introspected(f.b, SPAN("reference-1"), f.key, ALL));
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    for (int i = 0; i < 4; i++) {
        assert_true(client_next(c, &frame));
        assert_int_equal(frame.type, MQTT_PINGRESP);
    }
    bench_advance(f.b, 3100); /* now it is silent */
    (void)expect_disconnect(c, MQTT_KEEP_ALIVE_TIMEOUT);
    end(&f);
}

static void who_leaves_while_the_as_is_asked_costs_nothing(void **state) /* AF-64 */
{
    struct fixture f = begin(1);
    struct conn_io *c = visitor(f.b, "device");

    (void)state;
    client_leave_token(c, SPAN("reference-1"), 1, 1);
    client_drop(c);
    answer(f.b, ST_OK, token_introspected(f.b, SPAN("reference-1"), f.key, ALL));
    assert_int_equal(kept(f.b), 0);
    assert_int_equal(STAT(f.b, connections), 0);
    end(&f);
}

/* ---- one token per key, and bounds ---- */

static void a_thousand_tokens_for_one_key_are_one(void **state) /* MT-33, AF-62 */
{
    struct fixture f = begin(1);
    struct conn_io *c;
    struct token_store_limits limits;

    (void)state;
    token_store_limits_init(&limits);
    limits.rate_per_minute = 0;
    bench_tokens(f.b, &limits);
    c = visitor(f.b, "device");
    for (int i = 0; i < 1000; i++) {
        make(f.b, (struct token_wish){ .scope = ALL, .key = f.key, .life_s = 100 + i }, &f.token);
        client_leave_token(c, buf_span(&f.token), 1, (uint16_t)(i + 1));
        (void)expect_ack(c, MQTT_PUBACK, (uint16_t)(i + 1), MQTT_SUCCESS);
    }
    assert_int_equal(kept(f.b), 1);
    end(&f);
}

static void another_issuer_does_not_take_its_place(void **state) /* TK-66 */
{
    struct fixture f = begin(1);
    struct conn_io *c = visitor(f.b, "device");

    (void)state;
    client_leave_token(c, buf_span(&f.token), 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    make(f.b, (struct token_wish){ .scope = ALL, .key = f.key, .second_issuer = true }, &f.token);
    client_leave_token(c, buf_span(&f.token), 1, 2);
    (void)expect_ack(c, MQTT_PUBACK, 2, MQTT_NOT_AUTHORIZED);
    assert_true(log_has(f.b, "authz_info_refused", "TK-66"));
    bench_advance(f.b, 3600 * 1000); /* unless the first is over */
    c = visitor(f.b, "device");
    make(f.b, (struct token_wish){ .scope = ALL, .key = f.key, .second_issuer = true }, &f.token);
    client_leave_token(c, buf_span(&f.token), 1, 3);
    (void)expect_ack(c, MQTT_PUBACK, 3, MQTT_SUCCESS);
    end(&f);
}

static void one_address_may_not_publish_without_end(void **state) /* AF-65, MT-40 */
{
    struct fixture f = begin(2);
    struct conn_io *c = visitor(f.b, "device");

    (void)state;
    for (uint16_t i = 1; i <= 60; i++) {
        client_leave_token(c, SPAN("no token\n"), 1, i);
        (void)expect_ack(c, MQTT_PUBACK, i, MQTT_PAYLOAD_FORMAT_INVALID);
    }
    client_leave_token(c, buf_span(&f.token), 1, 61);
    (void)expect_ack(c, MQTT_PUBACK, 61, MQTT_QUOTA_EXCEEDED);
    client_bye(c);
    c = visitor(f.b, "again"); /* a new connection does not help */
    client_leave_token(c, buf_span(&f.token), 0, 0);
    (void)expect_disconnect(c, MQTT_QUOTA_EXCEEDED);
    f.b->peer = "192.0.2.2:1000"; /* another address is another's */
    c = visitor(f.b, "other");
    client_leave_token(c, buf_span(&f.token), 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    f.b->peer = NULL;
    bench_advance(f.b, 2000);
    c = visitor(f.b, "later");
    client_leave_token(c, buf_span(&f.token), 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    end(&f);
}

static void one_address_fills_its_own_share_only(void **state) /* MT-40 */
{
    struct fixture f = begin(1);
    struct conn_io *c;
    struct token_store_limits limits;

    (void)state;
    token_store_limits_init(&limits);
    limits.kept_per_source = 3;
    bench_tokens(f.b, &limits);
    c = visitor(f.b, "device");
    for (uint16_t i = 1; i <= 4; i++) {
        make(f.b, (struct token_wish){ .scope = ALL }, &f.token);
        client_leave_token(c, buf_span(&f.token), 1, i);
        (void)expect_ack(c, MQTT_PUBACK, i, i <= 3 ? MQTT_SUCCESS : MQTT_QUOTA_EXCEEDED);
    }
    assert_int_equal(kept(f.b), 3);
    end(&f);
}

static void a_thousand_sources_push_out_the_oldest_unused(void **state) /* MT-40 */
{
    struct fixture f = begin(1);
    struct token_store_limits limits;
    char peer[32];

    (void)state;
    token_store_limits_init(&limits);
    limits.max_kept = 50;
    bench_tokens(f.b, &limits);
    f.b->settings.max_visitors = 2000;
    f.b->peer = peer;
    for (int i = 0; i < 1000; i++) {
        struct conn_io *c;

        (void)snprintf(peer, sizeof peer, "10.0.%d.%d:99", i / 250, i % 250);
        c = visitor(f.b, "");
        make(f.b, (struct token_wish){ .scope = ALL }, &f.token);
        client_leave_token(c, buf_span(&f.token), 1, 1);
        (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
        client_bye(c);
    }
    assert_int_equal(kept(f.b), 50);
    end(&f);
}

/* ---- the journal ---- */

static void wake(void *ctx)
{
    ++*(unsigned *)ctx;
}

static uint64_t write_down(struct bench *b)
{
    struct token_change *change = token_store_take_changes(b->tokens), *next;
    uint64_t last = 0;

    for (; change != NULL; change = next) {
        next = change->next;
        last = change->number;
        token_change_free(change);
    }
    return last;
}

static void it_is_answered_when_it_is_on_disk(void **state) /* MT-33, MT-37 */
{
    struct fixture f = begin(2);
    struct conn_io *c;
    unsigned woken = 0;
    uint64_t last;

    (void)state;
    token_store_set_journal(f.b->tokens, wake, &woken);
    c = visitor(f.b, "device");
    client_leave_token(c, buf_span(&f.token), 1, 1);
    expect_nothing(c);
    assert_int_equal(woken, 1);
    assert_int_equal(kept(f.b), 1);
    last = write_down(f.b);
    assert_int_equal(last, 1);
    for (unsigned i = 0; i < 2; i++)
        shard_tokens_stored(f.b->shard[i], f.b->now);
    expect_nothing(c); /* not yet committed */
    token_store_committed(f.b->tokens, last);
    for (unsigned i = 0; i < 2; i++)
        shard_tokens_stored(f.b->shard[i], f.b->now);
    bench_run(f.b);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    client_leave_token(c, buf_span(&f.token), 1, 2); /* the same: it is there already */
    (void)expect_ack(c, MQTT_PUBACK, 2, MQTT_SUCCESS);
    make(f.b, (struct token_wish){ .scope = ALL }, &f.token);
    client_leave_token(c, buf_span(&f.token), 2, 3); /* a disk that does not answer */
    bench_advance(f.b, 10100);
    (void)expect_ack(c, MQTT_PUBREC, 3, MQTT_IMPLEMENTATION_ERROR);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anybody_may_leave_a_token_at_any_qos),
        cmocka_unit_test(a_client_with_a_token_may_leave_another),
        cmocka_unit_test(a_visitor_may_do_nothing_else),
        cmocka_unit_test(a_visit_is_short),
        cmocka_unit_test(visitors_are_few),
        cmocka_unit_test(a_visitor_under_a_taken_identifier_leaves_that_session_alone),
        cmocka_unit_test(it_is_off_unless_the_settings_say_so),
        cmocka_unit_test(nobody_ever_receives_what_is_left_there),
        cmocka_unit_test(what_is_wrong_is_said_as_each_qos_can),
        cmocka_unit_test(version_3_is_told_nothing),
        cmocka_unit_test(a_payload_of_64_kib_is_no_token),
        cmocka_unit_test(a_reference_is_looked_up_before_the_answer),
        cmocka_unit_test(a_silent_as_ends_the_wait),
        cmocka_unit_test(who_waits_for_the_as_is_not_taken_for_silent),
        cmocka_unit_test(who_leaves_while_the_as_is_asked_costs_nothing),
        cmocka_unit_test(a_thousand_tokens_for_one_key_are_one),
        cmocka_unit_test(another_issuer_does_not_take_its_place),
        cmocka_unit_test(one_address_may_not_publish_without_end),
        cmocka_unit_test(one_address_fills_its_own_share_only),
        cmocka_unit_test(a_thousand_sources_push_out_the_oldest_unused),
        cmocka_unit_test(it_is_answered_when_it_is_on_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
