/* Records of the store: what is written is read again, at every limit; what could not have been written is refused by
 * name; and the bytes themselves are pinned here, so that nobody changes them without another RECORD_FORMAT. */
#include "mqtt/properties.h"
#include "record/record.h"
#include "store/kv_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define BATCH_MAX ((size_t)1 << 30)

/* The only change in `b`. */
static struct kv_op only(const struct kv_batch *b)
{
    struct kv_op op = { 0 }, more;
    size_t at = 0;

    assert_true(kv_batch_next(b, &at, &op));
    assert_false(kv_batch_next(b, &at, &more));
    return op;
}

static void assert_span(struct span a, struct span b)
{
    assert_true(span_eq(a, b));
    assert_int_equal(a.p == NULL, b.p == NULL);
}

static struct span repeat(uint8_t byte, size_t len)
{
    uint8_t *p = malloc(len);

    assert_non_null(p);
    memset(p, byte, len);
    return span_of(p, len);
}

static void let_go(struct span s)
{
    free((void *)(uintptr_t)s.p);
}

/* ---- round trips ---- */

static struct record_owner full_owner(struct span iss, struct span sub, struct span client_id)
{
    struct record_owner o = {
        .has_token = true, .iss = iss, .sub = sub, .client_id = client_id, .has_twin = true
    };

    memset(o.cnf_thumbprint, 1, sizeof o.cnf_thumbprint);
    memset(o.token_hash, 2, sizeof o.token_hash);
    memset(o.token_twin, 3, sizeof o.token_twin);
    o.until_ms = RECORD_NEVER;
    return o;
}

static void expect_session(const struct record_session *in)
{
    struct record_session out;
    struct kv_batch b;

    kv_batch_init(&b, BATCH_MAX);
    assert_int_equal(record_put_session(&b, in), ST_OK);
    assert_int_equal(record_read_session(only(&b).key, only(&b).value, &out, NULL), ST_OK);
    assert_int_equal(out.session, in->session);
    assert_span(out.client_id, in->client_id);
    assert_int_equal(out.expiry_s, in->expiry_s);
    assert_int_equal(out.left_ms, in->left_ms);
    assert_int_equal(out.version, in->version);
    assert_int_equal(out.owner.has_token, in->owner.has_token);
    assert_int_equal(out.owner.has_twin, in->owner.has_twin);
    assert_int_equal(out.owner.until_ms, in->owner.until_ms);
    assert_span(out.owner.iss, in->owner.iss);
    assert_span(out.owner.sub, in->owner.sub);
    assert_span(out.owner.client_id, in->owner.client_id);
    assert_memory_equal(out.owner.token_hash, in->owner.token_hash, 32);
    assert_memory_equal(out.owner.token_twin, in->owner.token_twin, 32);
    assert_memory_equal(out.owner.cnf_thumbprint, in->owner.cnf_thumbprint, 32);
    kv_batch_done(&b);
}

static void a_session_keeps_whose_it_is_up_to_the_longest_names(void **state UNUSED)
{
    struct span longest = repeat('c', UINT16_MAX), longer = repeat('i', 200000);
    struct record_session s = { .session = UINT64_MAX,
                                .client_id = longest,
                                .expiry_s = UINT32_MAX,
                                .left_ms = INT64_MAX,
                                .version = 5,
                                .owner = full_owner(longer, longer, longer) };

    expect_session(&s);
    s.owner = full_owner(SPAN("https://as"), SPAN_NONE, SPAN_NONE); /* the key alone says who it is */
    expect_session(&s);
    s.owner = full_owner(SPAN("https://as"), SPAN(""), SPAN_NONE); /* empty is not absent: grant_same_owner() */
    expect_session(&s);
    s = (struct record_session){ .session = 1, .client_id = SPAN("a"), .expiry_s = 1, .version = 4 };
    expect_session(&s);
    let_go(longest);
    let_go(longer);
}

static void expect_will(const struct record_will *in)
{
    struct record_will out;
    struct kv_batch b;

    kv_batch_init(&b, BATCH_MAX);
    assert_int_equal(record_put_will(&b, in), ST_OK);
    assert_int_equal(record_read_will(only(&b).key, only(&b).value, &out, NULL), ST_OK);
    assert_int_equal(out.session, in->session);
    assert_int_equal(out.delay_s, in->delay_s);
    assert_int_equal(out.expiry_s, in->expiry_s);
    assert_int_equal(out.has_expiry, in->has_expiry);
    assert_int_equal(out.retain, in->retain);
    assert_int_equal(out.qos, in->qos);
    assert_true(span_eq(out.topic, in->topic));
    assert_true(span_eq(out.properties, in->properties));
    assert_true(span_eq(out.payload, in->payload));
    kv_batch_done(&b);
}

static void a_will_keeps_its_delay_and_its_message(void **state UNUSED)
{
    struct span longest = repeat('w', UINT16_MAX);

    expect_will(&(struct record_will){ .session = 7, .topic = SPAN("w") });
    expect_will(&(struct record_will){ .session = 7,
                                       .delay_s = UINT32_MAX,
                                       .expiry_s = UINT32_MAX,
                                       .has_expiry = true,
                                       .retain = true,
                                       .qos = 2,
                                       .topic = longest,
                                       .properties = SPAN("\x01\x01\x03\x00\x01t"),
                                       .payload = longest });
    let_go(longest);
}

static void all_packet_identifiers_may_be_received_at_once(void **state UNUSED)
{
    uint16_t *ids = calloc(UINT16_MAX, sizeof *ids);
    struct record_received out;
    struct kv_batch b;

    assert_non_null(ids);
    for (size_t i = 0; i < UINT16_MAX; i++)
        ids[i] = (uint16_t)(i + 1);
    for (uint16_t count = 0;; count = UINT16_MAX) {
        kv_batch_init(&b, BATCH_MAX);
        assert_int_equal(record_put_received(&b, 9, ids, count), ST_OK);
        assert_int_equal(record_read_received(only(&b).key, only(&b).value, &out, NULL), ST_OK);
        assert_int_equal(out.session, 9);
        assert_int_equal(out.ids.len, 2 * (size_t)count);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(record_received_id(&out, i), ids[i]);
        kv_batch_done(&b);
        if (count > 0)
            break;
    }
    free(ids);
}

static void expect_subscription(const struct record_subscription *in)
{
    struct record_subscription out;
    struct kv_batch b;

    kv_batch_init(&b, BATCH_MAX);
    assert_int_equal(record_put_subscription(&b, in), ST_OK);
    assert_int_equal(record_read_subscription(only(&b).key, only(&b).value, &out, NULL), ST_OK);
    assert_int_equal(out.session, in->session);
    assert_int_equal(out.n, in->n);
    assert_int_equal(out.id, in->id);
    assert_int_equal(out.qos, in->qos);
    assert_int_equal(out.no_local, in->no_local);
    assert_int_equal(out.retain_as_published, in->retain_as_published);
    assert_true(span_eq(out.filter, in->filter));
    kv_batch_done(&b);
}

static void a_subscription_keeps_its_options_and_its_filter_as_written(void **state UNUSED)
{
    struct span longest = repeat('f', UINT16_MAX);

    expect_subscription(&(struct record_subscription){ .session = 1, .filter = SPAN("#") });
    expect_subscription(&(struct record_subscription){ .session = 1, .n = 3, .filter = SPAN("$share/g/a/+") });
    expect_subscription(&(struct record_subscription){ .session = UINT64_MAX,
                                                       .n = UINT32_MAX,
                                                       .id = 268435455,
                                                       .qos = 2,
                                                       .no_local = true,
                                                       .retain_as_published = true,
                                                       .filter = longest });
    let_go(longest);
}

static void expect_delivery(const struct record_delivery *in)
{
    struct record_delivery out;
    struct kv_batch b;

    kv_batch_init(&b, BATCH_MAX);
    assert_int_equal(record_put_delivery(&b, in), ST_OK);
    assert_int_equal(record_read_delivery(only(&b).key, only(&b).value, &out, NULL), ST_OK);
    assert_int_equal(out.session, in->session);
    assert_int_equal(out.n, in->n);
    assert_int_equal(out.body, in->body);
    assert_int_equal(out.qos, in->qos);
    assert_int_equal(out.state, in->state);
    assert_int_equal(out.packet_id, in->packet_id);
    assert_int_equal(out.retain, in->retain);
    assert_int_equal(out.dup, in->dup);
    assert_int_equal(out.backlog, in->backlog);
    assert_int_equal(out.n_ids, in->n_ids);
    assert_memory_equal(out.ids, in->ids, sizeof out.ids);
    assert_true(span_eq(out.group, in->group));
    assert_int_equal(out.share_seq, in->share_seq);
    kv_batch_done(&b);
}

static void a_delivery_keeps_how_far_it_had_come(void **state UNUSED)
{
    expect_delivery(&(struct record_delivery){ .session = 1, .n = 1, .body = 1, .qos = 1 });
    expect_delivery(&(struct record_delivery){
        .session = 1, .n = 2, .body = 1, .qos = 1, .state = DELIVERY_AWAIT_PUBACK, .packet_id = 1 });
    expect_delivery(&(struct record_delivery){ /* sent, then its connection went: it waits again, with its id */
                                               .session = 1,
                                               .n = 2,
                                               .body = 1,
                                               .qos = 2,
                                               .packet_id = 1,
                                               .dup = true });
    expect_delivery(&(struct record_delivery){
        .session = 1, .n = 2, .qos = 2, .state = DELIVERY_AWAIT_PUBCOMP, .packet_id = UINT16_MAX });
    expect_delivery(&(struct record_delivery){ .session = UINT64_MAX,
                                               .n = UINT64_MAX,
                                               .body = UINT64_MAX,
                                               .qos = 2,
                                               .state = DELIVERY_AWAIT_PUBREC,
                                               .packet_id = UINT16_MAX,
                                               .retain = true,
                                               .dup = true,
                                               .backlog = true,
                                               .n_ids = 4,
                                               .ids = { 268435455, 1, 2, 3 },
                                               .group = SPAN("$share/workers/jobs/#"),
                                               .share_seq = UINT64_MAX });
}

static void expect_message(const struct record_message *in)
{
    struct record_message out;
    struct kv_batch b;

    for (int retained = 0; retained < 2; retained++) {
        kv_batch_init(&b, BATCH_MAX);
        assert_int_equal(retained ? record_put_retained(&b, in) : record_put_message(&b, in), ST_OK);
        assert_int_equal(retained ? record_read_retained(only(&b).key, only(&b).value, &out, NULL)
                                  : record_read_message(only(&b).key, only(&b).value, &out, NULL),
                         ST_OK);
        assert_int_equal(out.number, in->number);
        assert_int_equal(out.qos, in->qos);
        assert_int_equal(out.retain, in->retain);
        assert_int_equal(out.publisher, in->publisher);
        assert_int_equal(out.expires_ms, in->expires_ms);
        assert_int_equal(out.token_until_s, in->token_until_s);
        assert_int_equal(out.token_tag, in->token_tag);
        assert_true(span_eq(out.topic, in->topic));
        assert_true(span_eq(out.properties, in->properties));
        assert_true(span_eq(out.payload, in->payload));
        kv_batch_done(&b);
    }
}

static void a_message_comes_back_whole_however_long(void **state UNUSED)
{
    struct span topic = repeat('t', UINT16_MAX), payload = repeat(0, (size_t)3 << 20);
    struct buf properties;

    buf_init(&properties, (size_t)1 << 24);
    for (int i = 0; i < 40; i++) /* more than two bytes of length can say */
        mqtt_put_user_property(&properties, topic, topic);
    assert_true(buf_ok(&properties));
    expect_message(
        &(struct record_message){ .number = 1, .retain = true, .topic = SPAN("t"), .payload = SPAN("p") });
    expect_message(&(struct record_message){ .number = UINT64_MAX,
                                             .qos = 2,
                                             .retain = true,
                                             .publisher = UINT64_MAX,
                                             .expires_ms = RECORD_NEVER,
                                             .token_until_s = RECORD_NEVER,
                                             .token_tag = UINT64_MAX,
                                             .topic = topic,
                                             .properties = buf_span(&properties),
                                             .payload = payload });
    buf_done(&properties);
    let_go(topic);
    let_go(payload);
}

static void groups_and_what_moves_between_shards_come_back(void **state UNUSED)
{
    struct record_message m = {
        .qos = 2, .publisher = 3, .expires_ms = 4, .topic = SPAN("t"), .payload = SPAN("p")
    };
    struct record_group group;
    struct record_item item;
    struct record_out out;
    struct kv_batch b;

    kv_batch_init(&b, BATCH_MAX);
    assert_int_equal(record_put_group(&b, &(struct record_group){ 4, SPAN("$share/g/t") }), ST_OK);
    assert_int_equal(record_read_group(only(&b).key, only(&b).value, &group, NULL), ST_OK);
    assert_int_equal(group.group, 4);
    assert_true(span_eq_str(group.text, "$share/g/t"));
    kv_batch_reset(&b);
    assert_int_equal(record_put_item(&b, &(struct record_item){ 4, UINT64_MAX, m }), ST_OK);
    assert_int_equal(record_read_item(only(&b).key, only(&b).value, &item, NULL), ST_OK);
    assert_true(item.group == 4 && item.seq == UINT64_MAX && item.message.qos == 2);
    assert_true(span_eq_str(item.message.topic, "t") && span_eq_str(item.message.payload, "p"));
    kv_batch_reset(&b);
    assert_int_equal(record_put_out(&b, &(struct record_out){ 1, UINT32_MAX, UINT64_MAX, m, false }), ST_OK);
    assert_int_equal(record_read_out(only(&b).key, only(&b).value, &out, NULL), ST_OK);
    assert_false(out.retained);
    assert_true(out.from == 1 && out.to == UINT32_MAX && out.n == UINT64_MAX);
    assert_true(out.message.publisher == 3 && out.message.expires_ms == 4);
    assert_true(span_eq_str(out.message.topic, "t") && span_eq_str(out.message.payload, "p"));
    kv_batch_reset(&b);
    m.retain = true;
    assert_int_equal(record_put_out(&b, &(struct record_out){ 1, 2, 3, m, true }), ST_OK);
    assert_int_equal(record_read_out(only(&b).key, only(&b).value, &out, NULL), ST_OK);
    assert_true(out.retained && out.message.retain);
    kv_batch_done(&b);
}

static void a_record_that_does_not_fit_the_batch_leaves_it_alone(void **state UNUSED)
{
    struct span payload = repeat('x', 4096);
    struct kv_batch b;

    kv_batch_init(&b, 256);
    assert_int_equal(record_put_group(&b, &(struct record_group){ 4, SPAN("$share/g/t") }), ST_OK);
    assert_int_equal(
        record_put_message(&b, &(struct record_message){ .number = 1, .topic = SPAN("t"), .payload = payload }),
        ST_NO_MEMORY);
    assert_int_equal(only(&b).key.p[0], RECORD_GROUP);
    kv_batch_done(&b);
    let_go(payload);
}

static void the_order_of_keys_is_the_order_of_numbers(void **state UNUSED)
{
    static const uint64_t numbers[] = { 0, 1, 255, 256, 65535, 65536, UINT64_C(1) << 32, UINT64_MAX };

    for (size_t i = 1; i < COUNT_OF(numbers); i++) {
        struct record_key a = record_key_delivery(7, numbers[i - 1]), b = record_key_delivery(7, numbers[i]);

        assert_int_equal(a.len, b.len);
        assert_true(memcmp(a.bytes, b.bytes, a.len) < 0);
        a = record_key_session(numbers[i - 1]);
        b = record_key_session(numbers[i]);
        assert_true(memcmp(a.bytes, b.bytes, a.len) < 0);
    }
}

/* ---- the bytes ---- */

static void expect_bytes(struct kv_batch *b, const char *hex)
{
    struct kv_op op = only(b);
    size_t at = 0;

    op.value.len -= RECORD_SUM_LEN; /* see the_sum_covers_key_and_value() */
    for (const char *p = hex; *p != '\0'; p++) {
        char digits[3] = { p[0], p[1], 0 };
        uint8_t byte, is;

        if (*p == ' ' || *p == ':')
            continue;
        byte = (uint8_t)strtoul(digits, NULL, 16);
        assert_true(at < op.key.len + op.value.len);
        is = at < op.key.len ? op.key.p[at] : op.value.p[at - op.key.len];
        if (byte != is)
            fail_msg("%s: byte %zu is %02x", hex, at, is);
        at++;
        p++;
    }
    assert_int_equal(at, op.key.len + op.value.len);
    kv_batch_reset(b);
}

/* docs/operate/store.md shows the same. When this test fails the format has changed: stores of the former have to be brought
 * to the new one (RECORD_FORMAT, store_migrate.c), or their messages are lost. */
static void the_bytes_on_disk_are_those_of_format_1(void **state UNUSED)
{
    struct record_message message = { 1, 1, true, 2, 3, 4, 5, SPAN("t"), SPAN("\1\1"), SPAN("p") };
    struct record_owner owner = full_owner(SPAN("as"), SPAN("me"), SPAN("c"));
    struct kv_batch b;

    assert_int_equal(RECORD_FORMAT, 1);
    kv_batch_init(&b, BATCH_MAX);
    owner.until_ms = 0x11;
    assert_int_equal(record_put_meta(&b, &(struct record_meta){ 1, 3, { { 4, 5 } }, 6 }), ST_OK);
    expect_bytes(&b, "76: 00000001 00000003 0000000000000004 0000000000000005 0000000000000006");
    assert_int_equal(record_put_session(&b, &(struct record_session){ 1, SPAN("id"), 60, 7, 5, { 0 } }), ST_OK);
    expect_bytes(&b, "73 0000000000000001: 05 0000003c 0000000000000007 00026964 00");
    assert_int_equal(record_put_session(&b, &(struct record_session){ 1, SPAN("id"), 60, 7, 5, owner }), ST_OK);
    expect_bytes(&b, "73 0000000000000001: 05 0000003c 0000000000000007 00026964 0f 0000000000000011"
                     "0202020202020202 0202020202020202 0202020202020202 0202020202020202"
                     "0101010101010101 0101010101010101 0101010101010101 0101010101010101"
                     "0303030303030303 0303030303030303 0303030303030303 0303030303030303"
                     "000000026173 000000026d65 0000000163");
    assert_int_equal(record_put_will(&b, &(struct record_will){ 1, 2, 3, true, true, 1, SPAN("t"), SPAN("\1\1"),
                                                                SPAN("p") }),
                     ST_OK);
    expect_bytes(&b, "77 0000000000000001: 0d 00000002 00000003 000174 02 0101 70");
    assert_int_equal(record_put_received(&b, 1, (const uint16_t[]){ 2, 0x0304 }, 2), ST_OK);
    expect_bytes(&b, "69 0000000000000001: 0002 0304");
    assert_int_equal(
        record_put_subscription(&b, &(struct record_subscription){ 1, 2, 3, SPAN("a/+"), 2, true, true }),
        ST_OK);
    expect_bytes(&b, "62 0000000000000001 00000002: 0e 00000003 612f2b");
    assert_int_equal(
        record_put_delivery(
            &b,
            &(struct record_delivery){
                1, 2, 3, 2, DELIVERY_AWAIT_PUBREC, 4, true, true, true, 1, { 5 }, SPAN("$share/g/t"), 6 }),
        ST_OK);
    expect_bytes(&b,
                 "71 0000000000000001 0000000000000002: 0000000000000003 fa 0004 01 00000005 0000000000000006"
                 "2473686172652f672f74");
    assert_int_equal(record_put_message(&b, &message), ST_OK);
    expect_bytes(&b,
                 "6d 0000000000000001: 05 0000000000000002 0000000000000003 0000000000000004 0000000000000005"
                 "000174 02 0101 70");
    assert_int_equal(
        record_put_retained(&b, &(struct record_message){ 1, 0, true, 2, RECORD_NEVER, RECORD_NEVER, 0,
                                                          SPAN("t"), SPAN_NONE, SPAN("p") }),
        ST_OK);
    expect_bytes(&b,
                 "72 0000000000000001: 04 0000000000000002 7fffffffffffffff 7fffffffffffffff 0000000000000000"
                 "000174 00 70");
    assert_int_equal(record_put_group(&b, &(struct record_group){ 1, SPAN("$share/g/t") }), ST_OK);
    expect_bytes(&b, "67 0000000000000001: 2473686172652f672f74");
    assert_int_equal(record_put_item(&b, &(struct record_item){ 1, 2, message }), ST_OK);
    expect_bytes(&b,
                 "78 0000000000000001 0000000000000002: 05 0000000000000002 0000000000000003 0000000000000004"
                 "0000000000000005 000174 02 0101 70");
    assert_int_equal(record_put_out(&b, &(struct record_out){ 1, 2, 3, message, false }), ST_OK);
    expect_bytes(&b,
                 "6f 00000001 00000002 0000000000000003: 05 0000000000000002 0000000000000003 0000000000000004"
                 "0000000000000005 000174 02 0101 70");
    kv_batch_done(&b);
}

/* ---- refusals ---- */

/* clang-format off */
#define REFUSED(name, type, ...)                                                                       \
    do {                                                                                               \
        struct record_##type in_ = { __VA_ARGS__ }, out_;                                              \
        struct why why_ = { 0 };                                                                       \
        struct kv_batch b_;                                                                            \
        kv_batch_init(&b_, BATCH_MAX);                                                                 \
        assert_int_equal(record_put_##name(&b_, &in_), ST_OK);                                         \
        assert_int_equal(record_read_##name(only(&b_).key, only(&b_).value, &out_, &why_), ST_MALFORMED); \
        assert_non_null(why_.text);                                                                    \
        kv_batch_done(&b_);                                                                            \
    } while (0)
/* clang-format on */

static void what_no_broker_could_have_written_is_refused(void **state UNUSED)
{
    REFUSED(meta, meta, .format = RECORD_FORMAT, .workers = 0);
    REFUSED(session, session, .session = 0, .client_id = SPAN("c"), .expiry_s = 1, .version = 5);
    REFUSED(session, session, .session = 1, .client_id = SPAN(""), .expiry_s = 1, .version = 5);
    REFUSED(session, session, .session = 1, .client_id = SPAN("\xff"), .expiry_s = 1, .version = 5);
    REFUSED(session, session, .session = 1, .client_id = SPAN("c"), .expiry_s = 0, .version = 5);
    REFUSED(session, session, .session = 1, .client_id = SPAN("c"), .expiry_s = 1, .version = 6);
    REFUSED(session, session, .session = 1, .client_id = SPAN("c"), .expiry_s = 1, .version = 5, .left_ms = -1);
    REFUSED(will, will, .session = 1, .topic = SPAN("a/#"));
    REFUSED(will, will, .session = 1, .topic = SPAN(""));
    REFUSED(will, will, .session = 1, .topic = SPAN("t"), .qos = 3);
    REFUSED(will, will, .session = 1, .topic = SPAN("t"), .properties = SPAN("\x23\x00\x01")); /* an alias */
    REFUSED(subscription, subscription, .session = 1, .filter = SPAN("a#"));
    REFUSED(subscription, subscription, .session = 1, .filter = SPAN(""));
    REFUSED(subscription, subscription, .session = 1, .filter = SPAN("a"), .qos = 3);
    REFUSED(subscription, subscription, .session = 1, .filter = SPAN("a"), .id = 268435456);
    REFUSED(subscription, subscription, .session = 1, .filter = SPAN("$share/g/a"), .no_local = true);
    REFUSED(message, message, .number = 1, .topic = SPAN("+"));
    REFUSED(message, message, .number = 0, .topic = SPAN("t"));
    REFUSED(message, message, .number = 1, .topic = SPAN("t"), .qos = 3);
    REFUSED(message, message, .number = 1, .topic = SPAN("t"), .properties = SPAN("\x01"));
    REFUSED(message, message, .number = 1, .topic = SPAN("t"), .properties = SPAN("\x02\x00\x00\x00\x01"));
    REFUSED(message, message, .number = 1, .topic = SPAN("t"), .properties = SPAN("\x0b\x01"));
    REFUSED(retained, message, .number = 1, .topic = SPAN("t"), .retain = true);
    REFUSED(retained, message, .number = 1, .topic = SPAN("t"), .payload = SPAN("p"));
    REFUSED(group, group, .group = 1, .text = SPAN("t"));
    REFUSED(group, group, .group = 1, .text = SPAN("$share/#/t"));
    REFUSED(item, item, .group = 1, .seq = 1, .message = { .topic = SPAN("#") });
    REFUSED(out, out, .from = 1, .message = { .topic = SPAN("t"), .qos = 3 });
}

static void a_delivery_is_in_a_state_its_qos_has(void **state UNUSED)
{
    REFUSED(delivery, delivery, .session = 1, .body = 1, .qos = 0);
    REFUSED(delivery, delivery, .session = 1, .body = 1, .qos = 3);
    REFUSED(delivery, delivery, .session = 1, .body = 1, .qos = 1, .state = DELIVERY_AWAIT_PUBREC,
            .packet_id = 1);
    REFUSED(delivery, delivery, .session = 1, .body = 1, .qos = 2, .state = DELIVERY_AWAIT_PUBACK,
            .packet_id = 1);
    REFUSED(delivery, delivery, .session = 1, .body = 1, .qos = 1, .state = DELIVERY_AWAIT_PUBACK); /* no id */
    REFUSED(delivery, delivery, .session = 1, .body = 1, .qos = 1, .dup = true); /* the same */
    REFUSED(delivery, delivery, .session = 1, .body = 0, .qos = 1);
    REFUSED(delivery, delivery, .session = 1, .body = 1, .qos = 2, .state = DELIVERY_AWAIT_PUBCOMP,
            .packet_id = 1);
    REFUSED(delivery, delivery, .session = 1, .body = 1, .qos = 1, .n_ids = 1, .ids = { 0 });
    REFUSED(delivery, delivery, .session = 1, .body = 1, .qos = 1, .n_ids = 1, .ids = { 268435456 });
    REFUSED(delivery, delivery, .session = 1, .body = 1, .qos = 1, .group = SPAN("t"));
}

/* `value` with the right sum behind it. */
static struct span summed(struct buf *to, struct span key, struct span value)
{
    buf_reset(to);
    put_bytes(to, value);
    put_u32(to, record_sum(key, value));
    return buf_span(to);
}

/* Whatever is cut off or added, were the sum right. */
static void every_cut_and_every_addition_is_seen(void **state UNUSED)
{
    static const struct {
        const char *bytes;
        size_t len;
    } received[] = { { "\0\1\0", 3 }, { "\0\2\0\1", 4 }, { "\0\1\0\1", 4 }, { "\0\0", 2 } };
    struct record_session in = { .session = 1,
                                 .client_id = SPAN("client"),
                                 .expiry_s = 1,
                                 .version = 5,
                                 .owner = full_owner(SPAN("as"), SPAN("sub"), SPAN("c")) };
    struct span key = SPAN("i\0\0\0\0\0\0\0\1"), value;
    struct record_received ids;
    struct record_session out;
    struct why why = { 0 };
    struct kv_batch b;
    struct buf to;

    kv_batch_init(&b, BATCH_MAX);
    buf_init(&to, 4096);
    for (size_t i = 0; i < COUNT_OF(received); i++)
        assert_int_equal(record_read_received(
                             key, summed(&to, key, span_of(received[i].bytes, received[i].len)), &ids, &why),
                         ST_MALFORMED);
    assert_int_equal(record_put_session(&b, &in), ST_OK);
    key = only(&b).key;
    value = only(&b).value;
    value.len -= RECORD_SUM_LEN;
    assert_int_equal(record_read_session(key, summed(&to, key, value), &out, &why), ST_OK);
    for (size_t len = 0; len < value.len; len++)
        assert_int_equal(record_read_session(key, summed(&to, key, span_of(value.p, len)), &out, &why),
                         ST_MALFORMED);
    for (size_t len = 0; len < key.len; len++)
        assert_int_equal(
            record_read_session(span_of(key.p, len), summed(&to, span_of(key.p, len), value), &out, &why),
            ST_MALFORMED);
    value.len++; /* what had been its sum */
    assert_int_equal(record_read_session(key, summed(&to, key, value), &out, &why), ST_MALFORMED);
    buf_done(&to);
    kv_batch_done(&b);
}

static void the_sum_covers_key_and_value(void **state UNUSED)
{
    struct record_message in = { .number = 1, .topic = SPAN("t"), .payload = SPAN("payload") }, out;
    uint8_t key[9], value[256];
    struct kv_batch b;
    struct kv_op op;

    /* SipHash-2-4 of the value without the sum, under the key { SipHash-2-4 of the key, 1 }, its low 32 bits */
    assert_int_equal(record_sum(SPAN("v"), SPAN("value")), 0x24b2e78a);
    kv_batch_init(&b, BATCH_MAX);
    assert_int_equal(record_put_message(&b, &in), ST_OK);
    op = only(&b);
    assert_true(op.key.len == sizeof key && op.value.len <= sizeof value);
    memcpy(key, op.key.p, op.key.len);
    memcpy(value, op.value.p, op.value.len);
    assert_int_equal(record_read_message(span_of(key, sizeof key), span_of(value, op.value.len), &out, NULL),
                     ST_OK);
    for (size_t bit = 0; bit < 8 * op.value.len; bit++) {
        value[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(
            record_read_message(span_of(key, sizeof key), span_of(value, op.value.len), &out, NULL),
            ST_MALFORMED);
        value[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof key; bit++) { /* another number, and it would be another message */
        key[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(
            record_read_message(span_of(key, sizeof key), span_of(value, op.value.len), &out, NULL),
            ST_MALFORMED);
        key[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    kv_batch_done(&b);
}

static void another_format_is_told_by_its_number_alone(void **state UNUSED)
{
    struct span key = SPAN("v");
    struct record_meta meta;
    struct buf to;

    buf_init(&to, 256);
    assert_int_equal(
        record_read_meta(key, summed(&to, key, SPAN("\0\0\0\x02whatever that has to say")), &meta, NULL),
        ST_OK);
    assert_int_equal(meta.format, 2);
    assert_int_equal(record_read_meta(key, SPAN("\0\0\0\x02whatever"), &meta, NULL), ST_MALFORMED); /* no sum */
    assert_int_equal(record_read_meta(key, summed(&to, key, SPAN("\0\0\0\1")), &meta, NULL), ST_MALFORMED);
    assert_int_equal(record_read_meta(key, summed(&to, key, SPAN("\0\0")), &meta, NULL), ST_MALFORMED);
    key = SPAN("vv");
    assert_int_equal(record_read_meta(key, summed(&to, key, SPAN("\0\0\0\2")), &meta, NULL), ST_MALFORMED);
    buf_done(&to);
}

static void times_go_to_the_disk_by_the_calendar_and_come_back_by_the_other_clock(void **state UNUSED)
{
    struct now then = { { 5000 }, { 1700000000, 250 } }, later = { { 100 }, { 1700000060, 250 } };
    int64_t at = record_time(then, 95000); /* in 90 s */

    assert_true(at == INT64_C(1700000090250));
    assert_int_equal(record_time_back(later, at), 30100); /* 60 s have passed while nobody was there */
    assert_int_equal(record_time_back(then, at), 95000);
    assert_true(record_time(then, TIME_NEVER) == RECORD_NEVER);
    assert_true(record_time_back(later, RECORD_NEVER) == TIME_NEVER);
    assert_true(record_time_back(later, INT64_MAX - 1) >
                INT64_C(1) << 62); /* nobody can have meant that: no overflow */
    assert_true(record_time_back(later, INT64_MIN) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_keeps_whose_it_is_up_to_the_longest_names),
        cmocka_unit_test(a_will_keeps_its_delay_and_its_message),
        cmocka_unit_test(all_packet_identifiers_may_be_received_at_once),
        cmocka_unit_test(a_subscription_keeps_its_options_and_its_filter_as_written),
        cmocka_unit_test(a_delivery_keeps_how_far_it_had_come),
        cmocka_unit_test(a_message_comes_back_whole_however_long),
        cmocka_unit_test(groups_and_what_moves_between_shards_come_back),
        cmocka_unit_test(a_record_that_does_not_fit_the_batch_leaves_it_alone),
        cmocka_unit_test(the_order_of_keys_is_the_order_of_numbers),
        cmocka_unit_test(the_bytes_on_disk_are_those_of_format_1),
        cmocka_unit_test(what_no_broker_could_have_written_is_refused),
        cmocka_unit_test(a_delivery_is_in_a_state_its_qos_has),
        cmocka_unit_test(every_cut_and_every_addition_is_seen),
        cmocka_unit_test(the_sum_covers_key_and_value),
        cmocka_unit_test(another_format_is_told_by_its_number_alone),
        cmocka_unit_test(times_go_to_the_disk_by_the_calendar_and_come_back_by_the_other_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
