/* Every allocation the broker makes is made to fail once, in turn, while a small story is played on two shards. The
 * story may then end differently; the broker may not crash, may not lose memory (the sanitizers look), must still
 * serve somebody new, and must not hand anybody what is not theirs. */
#include "harness.h"

#include "support/failing_memory.h"

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

static void on_inside(bool yes)
{
    failing_memory_pause(!yes);
}

/* Looks at nothing but the scope: whatever comes to `stranger` is wrong. */
static void assert_only_answers(struct conn_io *stranger)
{
    struct mqtt_frame frame;

    while (client_next(stranger, &frame))
        assert_int_not_equal(frame.type, MQTT_PUBLISH);
}

static struct conn_io *try_connect(struct bench *b, const struct connect_wish *wish)
{
    struct conn_io *c = client_new(b);
    struct buf packet;

    buf_init(&packet, 1 << 17);
    connect_packet(c, wish, &packet);
    client_send(c, buf_span(&packet));
    buf_done(&packet);
    return c;
}

static void play(struct bench *b)
{
    struct publish_wish retained = {
        .topic = "a/r", .payload = "kept", .qos = 2, .packet_id = 3, .retain = true, .alias = 1, .expiry_s = 100
    };
    struct connect_wish wish = { .id = "sub",
                                 .scope = ALL,
                                 .expiry_s = 100,
                                 .resume = true,
                                 .will_topic = "a/gone",
                                 .will_qos = 1,
                                 .will_retain = true };
    struct conn_io *stranger = try_connect(b, &(struct connect_wish){ .id = "x", .scope = "[]" });
    struct conn_io *sub = try_connect(b, &wish), *pub;

    pub = try_connect(b, &(struct connect_wish){ .id = "pub", .scope = ALL });
    client_subscribe_with(stranger, wish_filter("a/#", 1), 0, 1);
    client_subscribe_with(sub, wish_filter("a/#", 2), 5, 1);
    client_subscribe_with(sub, wish_filter("a/b", 1), 0, 2);
    client_publish(pub, "a/b", "m", 1, 1);
    client_publish_with(pub, &retained);
    client_ack(pub, MQTT_PUBREL, 3, MQTT_SUCCESS);
    client_drop(sub);
    client_publish(pub, "a/b", "while away", 1, 4);
    sub = try_connect(b, &wish);
    client_unsubscribe(sub, "a/b");
    client_subscribe_with(pub, wish_filter("a/+", 1), 0, 9);
    client_drop(sub);
    wish.v3 = true; /* goes on in MQTT 3.1.1 */
    sub = try_connect(b, &wish);
    client_subscribe_with(sub, wish_filter("a/+", 2), 0, 3);
    client_publish(sub, "a/b", "of 3.1.1", 1, 1);
    client_publish(sub, "b", "not allowed", 1, 2);
    client_drop(pub);
    assert_only_answers(stranger);
}

/* Members on both shards, groups at home on both. */
static void play_groups(struct bench *b)
{
    static const char *const groups[] = { "$share/1/a/#", "$share/2/a/#", "$share/3/a/b", "$share/4/a/+" };
    struct connect_wish wish = { .scope = ALL, .expiry_s = 5, .receive_maximum = 1, .resume = true };
    struct conn_io *members[4], *pub = try_connect(b, &(struct connect_wish){ .id = "pub", .scope = ALL });
    static const char *const ids[COUNT_OF(members)] = { "m1", "m2", "m3", "m4" };

    for (unsigned i = 0; i < COUNT_OF(members); i++) {
        wish.id = ids[i];
        members[i] = try_connect(b, &wish);
        for (unsigned g = 0; g < COUNT_OF(groups); g++)
            client_subscribe_with(members[i], wish_filter(groups[g], (uint8_t)((i + g) % 3)), 0,
                                  (uint16_t)(1 + g));
    }
    for (unsigned i = 0; i < 6; i++)
        client_publish(pub, "a/b", "m", (uint8_t)(i % 3), (uint16_t)(1 + i));
    client_drop(members[0]);
    client_unsubscribe(members[1], groups[0]);
    client_publish(pub, "a/b", "m", 1, 20);
    client_ack(members[2], MQTT_PUBACK, 1, MQTT_SUCCESS);
    wish.id = ids[0];
    members[0] = try_connect(b, &wish);
    client_drop(members[3]);
    bench_advance(b, 6000); /* and its session ends */
}

/* Only what the broker allocates counts: on_inside(). */
static void fail_the(long n)
{
    failing_memory_begin(n);
    failing_memory_pause(true);
}

/* The same story makes more allocations with one failure than with another. */
static void note_made(long *most)
{
    long made = failing_memory_end();

    if (made + 20 > *most)
        *most = made + 20;
}

static void play_and_fail(void (*story)(struct bench *b))
{
    long most = 1;

    for (long n = 1; n <= most; n++) {
        struct bench *b = bench_new(2);
        struct conn_io *c;

        b->inside = on_inside;
        fail_the(n);
        story(b);
        note_made(&most);
        bench_advance(b, 100); /* what waits for memory, and questions behind it, wait no longer than that */
        c = client_connected(b, "new", ALL);
        client_subscribe(c, "a/new", 0, 0);
        client_publish(c, "a/new", "served", 0, 0);
        (void)expect_publish(c, "a/new", "served", 0);
        b->inside = NULL;
        bench_free(b);
    }
    print_message("%ld allocations failed in turn\n", most);
    assert_true(most > 100);
}

static void no_failed_allocation_brings_the_broker_down(void **state)
{
    (void)state;
    play_and_fail(play);
}

static void nor_does_one_among_groups(void **state) /* MQTT5 4.8.2 */
{
    (void)state;
    play_and_fail(play_groups);
}

/* A group whose last member nobody told it of would keep messages for ever. */
static void a_session_that_ends_leaves_its_groups_without_any_memory(void **state UNUSED) /* MQTT5 4.8.2 */
{
    static const char *const groups[] = { "$share/1/a/#", "$share/2/a/#", "$share/3/a/b", "$share/4/a/+" };
    struct bench *b = bench_new(2);
    struct conn_io *pub = client_connected(b, "pub", ALL), *c;
    struct mqtt_frame frame;

    c = client_connected_with(b, &(struct connect_wish){ .id = "m", .scope = ALL, .expiry_s = 5 });
    for (size_t i = 0; i < COUNT_OF(groups); i++)
        client_subscribe(c, groups[i], 1, 1);
    client_drop(c);
    b->inside = on_inside;
    failing_memory_begin_lasting(1);
    failing_memory_pause(true);
    bench_advance(b, 10000);
    (void)failing_memory_end();
    b->inside = NULL;
    assert_int_equal(STAT(b, sessions), 1);
    client_publish(pub, "a/b", "for nobody", 1, 1);
    assert_true(client_next(pub, &frame)); /* success, or nobody there: interest may be dropped later */
    assert_int_equal(frame.type, MQTT_PUBACK);
    assert_int_equal(STAT(b, queued_messages), 0);
    bench_free(b);
}

/* ---- tokens on authz-info ---- */

static void wake(void *ctx)
{
    (void)ctx;
}

static void write_down(struct bench *b)
{
    struct token_change *change = token_store_take_changes(b->tokens), *next;

    for (; change != NULL; change = next) {
        next = change->next;
        token_store_committed(b->tokens, change->number);
        token_change_free(change);
    }
    on_inside(true);
    for (unsigned i = 0; i < b->count; i++)
        shard_tokens_stored(b->shard[i], b->now);
    on_inside(false);
    bench_run(b);
}

static void leave(struct bench *b, struct conn_io *c, struct token_wish wish, uint16_t packet_id)
{
    struct buf token;

    buf_init(&token, 65535);
    token_make(b, &wish, &token);
    client_leave_token(c, buf_span(&token), 2, packet_id);
    buf_done(&token);
    write_down(b);
}

static void leave_tokens(struct bench *b, const struct key *key, struct span spki)
{
    struct conn_io *visitor = client_new(b), *known = client_known(b, IDENTITY_RAW_KEY, spki);

    client_connect(visitor, &(struct connect_wish){ .id = "v", .no_method = true });
    leave(b, visitor, (struct token_wish){ .scope = ALL, .key = key, .kid = "k" }, 1);
    leave(b, visitor, (struct token_wish){ .scope = ALL, .key = key, .kid = "k", .life_s = 99 }, 2);
    leave(b, visitor, (struct token_wish){ .scope = ALL, .key = key, .kid = "k", .kid_only = true }, 3);
    leave(b, visitor, (struct token_wish){ .scope = ALL, .key = key, .exi_s = 50, .sequence = 3 }, 4);
    leave(b, visitor, (struct token_wish){ .scope = ALL, .key = key, .second_issuer = true }, 5);
    client_leave_token(visitor, SPAN("reference"), 1, 6);
    client_drop(visitor);
    client_connect(known, &(struct connect_wish){ .id = "k", .no_method = true, .expiry_s = 9 });
    client_subscribe_with(known, wish_filter("a/#", 1), 0, 1);
    leave(b, known, (struct token_wish){ .scope = "[]", .key = key, .life_s = 9 }, 2);
    bench_advance(b, 60000);
    token_store_purge(b->tokens, b->now);
    write_down(b);
}

static void nor_does_one_while_tokens_are_left(void **state) /* MT-40 */
{
    long most = 1;
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf spki;

    (void)state;
    buf_init(&spki, 1024);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    assert_int_equal(key_write_spki(key, &spki), ST_OK);
    for (long n = 1; n <= most; n++) {
        struct bench *b = bench_new(2);

        bench_tokens(b, NULL);
        token_store_set_journal(b->tokens, wake, NULL);
        b->inside = on_inside;
        fail_the(n);
        leave_tokens(b, key, buf_span(&spki));
        note_made(&most);
        (void)client_connected(b, "new", ALL);
        b->inside = NULL;
        bench_free(b);
    }
    print_message("%ld allocations failed in turn\n", most);
    assert_true(most > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_failed_allocation_brings_the_broker_down),
        cmocka_unit_test(nor_does_one_among_groups),
        cmocka_unit_test(a_session_that_ends_leaves_its_groups_without_any_memory),
        cmocka_unit_test(nor_does_one_while_tokens_are_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
