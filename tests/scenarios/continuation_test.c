/* What goes on when a client comes back, and what is left behind when one goes: the policies a to e of MT-78, retained
 * messages and Wills under the token they were published on (MT-84, MT-110 to MT-113; docs/decisions/0010, 0011). */
#include "harness.h"

#include "codec/json.h"
#include "crypto/hash.h"
#include "shard/token_store.h"

#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

static int set_up(void **state)
{
    *state = bench_new(2);
    return 0;
}

/* A client whose token's text we know. */
struct holder {
    struct bench *b;
    struct key *key;
    struct buf token;
    uint8_t hash[TOKEN_HASH_LEN];
};

static void holder_token(struct holder *h, const char *scope, int64_t life_s)
{
    buf_reset(&h->token);
    token_make(h->b, &(struct token_wish){ .scope = scope, .sub = "c", .key = h->key, .life_s = life_s },
               &h->token);
    assert_int_equal(sha256(buf_span(&h->token), h->hash), ST_OK);
}

static struct holder holder_new(struct bench *b, const char *scope, int64_t life_s)
{
    struct holder h = { .b = b };

    buf_init(&h.token, 65535);
    assert_int_equal(key_generate(KEY_ED25519, &h.key), ST_OK);
    holder_token(&h, scope, life_s);
    return h;
}

static void holder_done(struct holder *h)
{
    key_unref(h->key);
    buf_done(&h->token);
}

/* Does not look at the CONNACK. */
static struct conn_io *come(const struct holder *h, struct span token, struct connect_wish wish)
{
    struct conn_io *c = client_new(h->b);
    struct buf pop, data;

    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 65535);
    assert_int_equal(pop_make_exporter(h->key, span_of(c->exporter_value, ACE_EXPORTER_LEN), &pop), ST_OK);
    assert_int_equal(auth_data_write_connect(token, buf_span(&pop), &data), ST_OK);
    wish.id = "c";
    wish.data = buf_span(&data);
    wish.has_data = true;
    client_connect(c, &wish);
    buf_done(&pop);
    buf_done(&data);
    return c;
}

static struct conn_io *come_back(const struct holder *h, bool expect_present)
{
    struct conn_io *c = come(h, buf_span(&h->token), (struct connect_wish){ .resume = true, .expiry_s = 1000 });

    assert_int_equal(expect_connack(c, MQTT_SUCCESS).session_present, expect_present);
    return c;
}

static struct conn_io *reader_of(struct bench *b)
{
    return client_connected_with(b, &(struct connect_wish){ .id = "reader", .scope = ALL, .life_s = 100000 });
}

static void revoke(struct bench *b, const struct holder *h)
{
    const struct why why = { "RFC 9770", "the token was revoked", 0 };

    for (unsigned i = 0; i < b->count; i++)
        shard_token_status(b->shard[i], h->hash, NULL, why, b->now);
    bench_run(b);
}

static void keep(struct conn_io *c, const char *topic)
{
    client_publish_with(c, &(struct publish_wish){ .topic = topic, .payload = "kept", .retain = true });
}

static void assert_kept(struct conn_io *reader, const char *topic, bool yes)
{
    client_subscribe(reader, topic, 1, 1);
    if (yes)
        assert_true(expect_publish(reader, topic, "kept", 0).retain);
    expect_nothing(reader);
    client_unsubscribe(reader, topic);
    reader->in_at = reader->in.len; /* UNSUBACK */
}

/* ---- MT-78 a to e ---- */

static void mt78a_a_session_knows_whose_token_it_was_made_with(void **state)
{ /* MT-60, MT-75 */
    struct bench *b = *state;
    struct holder h = holder_new(b, ALL, 0);
    struct conn_io *c = come_back(&h, false);
    struct connect_wish other = { .id = "c", .scope = ALL, .sub = "another", .resume = true, .expiry_s = 1000 };

    client_subscribe(c, "a/#", 1, 1);
    client_drop(c);
    c = client_new(b);
    client_connect(c, &other);
    expect_refused(c, MQTT_CLIENT_ID_NOT_VALID, "ace.check_client_id_owner");
    b->settings.check_client_id_owner =
        false; /* whoever proves a token may have it, and what it covers of it */
    other.scope = "[[\"b\",[\"sub\"]]]";
    c = client_new(b);
    client_connect(c, &other);
    assert_true(expect_connack(c, MQTT_SUCCESS).session_present);
    assert_int_equal(STAT(b, subscriptions_lost), 1);
    holder_done(&h);
}

static void mt78b_no_session_lives_longer_than_the_administrator_wants(void **state)
{ /* MT-77 */
    struct bench *b = *state;
    struct holder h = holder_new(b, ALL, 0);
    struct conn_io *c;
    struct mqtt_connack ack;

    b->settings.max_session_expiry_s = 60;
    c = come(&h, buf_span(&h.token), (struct connect_wish){ .resume = true, .expiry_s = 1000 });
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_true(mqtt_has(&ack.properties, PROP_SESSION_EXPIRY)); /* and it is said */
    assert_int_equal(ack.properties.session_expiry_s, 60);
    client_drop(c);
    bench_advance(b, 61000);
    (void)come_back(&h, false);
    holder_done(&h);
}

static void answer(struct bench *b, struct token *token)
{
    shard_token_resolved(b->shard[b->asked_by], b->asked, ST_OK, token, (struct why){ 0 }, b->now);
    bench_run(b);
}

static void mt78c_the_same_token_is_not_introspected_again_and_another_is(void **state)
{ /* MT-73, MT-95 */
    struct bench *b = *state;
    struct connect_wish wish = { .resume = true, .expiry_s = 1000 };
    struct holder h = holder_new(b, ALL, 0);
    struct token_store_limits limits;
    struct conn_io *c;
    uint64_t asked;

    token_store_limits_init(&limits);
    limits.introspection_s = 60;
    bench_tokens(b, &limits);
    c = come(&h, SPAN("reference-1"), wish);
    expect_nothing(c);
    answer(b, token_introspected(b, SPAN("reference-1"), h.key, ALL));
    (void)expect_connack(c, MQTT_SUCCESS);
    assert_true(log_has(b, "client_connected", "token=first"));
    asked = b->asked;
    client_drop(c);

    c = come(&h, SPAN("reference-1"), wish); /* possession is proved again all the same */
    assert_true(expect_connack(c, MQTT_SUCCESS).session_present);
    assert_int_equal(b->asked, asked);
    assert_true(log_has(b, "client_connected", "token=same"));
    client_drop(c);

    c = come(&h, SPAN("reference-2"), wish);
    expect_nothing(c);
    assert_int_not_equal(b->asked, asked);
    answer(b, token_introspected(b, SPAN("reference-2"), h.key, ALL));
    assert_true(expect_connack(c, MQTT_SUCCESS).session_present);
    assert_true(log_has(b, "client_connected", "token=replaced"));
    client_drop(c);

    bench_advance(b, 61000); /* the answer is old */
    asked = b->asked;
    c = come(&h, SPAN("reference-2"), wish);
    expect_nothing(c);
    assert_int_not_equal(b->asked, asked);
    holder_done(&h);
}

static void mt78d_subscriptions_are_checked_under_the_new_scope(void **state)
{
    struct bench *b = *state;
    struct holder h = holder_new(b, ALL, 0);
    struct conn_io *c = come_back(&h, false), *pub = reader_of(b);

    client_subscribe(c, "a/1", 1, 1);
    client_subscribe(c, "a/2", 1, 1);
    client_drop(c);
    holder_token(&h, "[[\"a/2\",[\"sub\"]]]", 0);
    c = come_back(&h, true);
    client_publish(pub, "a/1", "not yours", 0, 0);
    client_publish(pub, "a/2", "yours", 0, 0);
    (void)expect_publish(c, "a/2", "yours", 0);
    expect_nothing(c);
    client_drop(c);
    b->settings.resume_whole = true; /* covered: goes on */
    c = come_back(&h, true);
    client_drop(c);
    holder_token(&h, "[[\"a/3\",[\"sub\"]]]", 0); /* not covered: begins anew, and the client knows */
    c = come_back(&h, false);
    client_subscribe(c, "a/2", 1, MQTT_NOT_AUTHORIZED);
    assert_int_equal(STAT(b, subscriptions_lost), 1);
    holder_done(&h);
}

static void mt78e_messages_to_the_client_are_checked_again(void **state)
{ /* MT-74 */
    struct bench *b = *state;
    struct holder h = holder_new(b, ALL, 0);
    struct conn_io *c = come_back(&h, false), *pub = reader_of(b);
    struct mqtt_publish kept, given_up;

    client_subscribe(c, "a/#", 2, 2);
    client_publish(pub, "a/1", "sent, not acknowledged", 2, 1);
    given_up = expect_publish(c, "a/1", "sent, not acknowledged", 2);
    client_publish(pub, "a/2", "received, not released", 2, 2);
    kept = expect_publish(c, "a/2", "received, not released", 2);
    client_ack(c, MQTT_PUBREC, kept.packet_id, 0);
    (void)expect_ack(c, MQTT_PUBREL, kept.packet_id, 0);
    client_drop(c);
    client_publish(pub, "a/1", "queued", 1, 3);
    holder_token(&h, "[[\"a/3\",[\"pub\",\"sub\"]]]", 0);
    c = come_back(&h, true);
    /* what the client has already it may finish: the identifier would be lost for good */
    (void)expect_ack(c, MQTT_PUBREL, kept.packet_id, 0);
    client_ack(c, MQTT_PUBCOMP, kept.packet_id, 0);
    expect_nothing(c);
    client_ack(c, MQTT_PUBREC, given_up.packet_id, 0); /* of what was given up nothing is known */
    (void)expect_ack(c, MQTT_PUBREL, given_up.packet_id, MQTT_PACKET_ID_NOT_FOUND);
    assert_int_equal(STAT(b, dropped_not_authorized), 2);
    assert_int_equal(STAT(b, queued_messages), 0);
    holder_done(&h);
}

static void mt78e_messages_from_the_client_are_checked_again(void **state)
{ /* MT-74: a PUBLISH under the old scope was judged and passed on by it; under the new scope nothing more comes of it */
    struct bench *b = *state;
    struct holder h = holder_new(b, ALL, 0);
    struct conn_io *c = come_back(&h, false), *reader = reader_of(b);
    struct publish_wish again = { .topic = "a/1", .payload = "once", .qos = 2, .packet_id = 7, .dup = true };

    client_subscribe(reader, "a/#", 0, 0);
    client_publish(c, "a/1", "once", 2, 7);
    (void)expect_ack(c, MQTT_PUBREC, 7, 0);
    (void)expect_publish(reader, "a/1", "once", 0);
    client_drop(c);
    holder_token(&h, "[[\"a/3\",[\"pub\"]]]", 0);
    c = come_back(&h, true);
    client_publish_with(c, &again); /* the same one again: passed on already */
    (void)expect_ack(c, MQTT_PUBREC, 7, 0);
    client_ack(c, MQTT_PUBREL, 7, 0);
    (void)expect_ack(c, MQTT_PUBCOMP, 7, 0);
    client_publish_with(c, &again); /* now it is a new one, and judged by the new scope */
    (void)expect_ack(c, MQTT_PUBREC, 7, MQTT_NOT_AUTHORIZED);
    client_ack(c, MQTT_PUBREL, 8, 0); /* never seen */
    (void)expect_ack(c, MQTT_PUBCOMP, 8, MQTT_PACKET_ID_NOT_FOUND);
    expect_nothing(reader);
    holder_done(&h);
}

/* ---- retained messages ---- */

static void mt111_a_retained_message_ends_with_its_own_interval_if_that_is_first(void **state)
{ /* MT-110, MT-111, D-27: min(token, message expiry) */
    struct bench *b = *state;
    struct holder h = holder_new(b, ALL, 100);
    struct conn_io *reader = reader_of(b), *c = come_back(&h, false);

    client_publish_with(
        c, &(struct publish_wish){ .topic = "a/1", .payload = "kept", .retain = true, .expiry_s = 50 });
    client_publish_with(
        c, &(struct publish_wish){ .topic = "a/2", .payload = "kept", .retain = true, .expiry_s = 500 });
    client_bye(c); /* MT-110: they stay */
    assert_kept(reader, "a/1", true);
    bench_advance(b, 51000);
    assert_kept(reader, "a/1", false);
    assert_kept(reader, "a/2", true);
    bench_advance(b, 50000);
    assert_kept(reader, "a/2", false);
    holder_done(&h);
}

static void mt111_the_token_in_force_at_publication_is_the_bound(void **state)
{ /* docs/decisions/0011: a token that takes its place later prolongs nothing */
    struct bench *b = *state;
    struct holder h = holder_new(b, ALL, 60);
    struct conn_io *reader = reader_of(b), *c = come_back(&h, false);

    keep(c, "a/1");
    client_drop(c);
    holder_token(&h, ALL, 1000);
    c = come_back(&h, true);
    keep(c, "a/2");
    bench_advance(b, 61000);
    assert_kept(reader, "a/1", false);
    assert_kept(reader, "a/2", true);
    holder_done(&h);
}

static void mt111_a_revoked_token_takes_what_was_published_on_it(void **state)
{
    struct bench *b = *state;
    struct holder h = holder_new(b, ALL, 0);
    struct conn_io *reader = reader_of(b), *c = come_back(&h, false);
    static const char *const topics[] = { "a/1", "a/2/x", "a/2/y", "a/3" };

    for (size_t i = 0; i < COUNT_OF(topics); i++)
        keep(c, topics[i]);
    keep(reader, "a/3"); /* in place of the client's */
    keep(reader, "a/4");
    client_bye(c);
    revoke(b, &h);
    for (size_t i = 0; i < COUNT_OF(topics); i++)
        assert_kept(reader, topics[i], i == 3);
    assert_kept(reader, "a/4", true);
    holder_done(&h);
}

static void retained_messages_can_be_kept_beyond_the_token(void **state)
{ /* the setting that is not MT-111 */
    struct bench *b = *state;
    struct holder h = holder_new(b, ALL, 60);
    struct conn_io *reader = reader_of(b), *c;

    b->settings.keep_retained = true;
    c = come_back(&h, false);
    keep(c, "a/1");
    client_publish_with(
        c, &(struct publish_wish){ .topic = "a/2", .payload = "kept", .retain = true, .expiry_s = 50 });
    revoke(b, &h);
    assert_kept(reader, "a/1", true);
    bench_advance(b, 61000);
    assert_kept(reader, "a/1", true);
    assert_kept(reader, "a/2", false); /* its own interval still counts */
    holder_done(&h);
}

static void a_retained_message_never_reaches_whose_grant_does_not_cover_it(void **state)
{ /* MT-98, MT-111 */
    struct bench *b = *state;
    struct conn_io *pub = reader_of(b), *c;

    keep(pub, "a/1/secret");
    c = client_connected(b, "narrow", "[[\"a/+\",[\"sub\"]]]");
    client_subscribe(c, "a/#", 1, MQTT_NOT_AUTHORIZED);
    client_subscribe(c, "a/1/secret", 1, MQTT_NOT_AUTHORIZED);
    client_subscribe(c, "a/+", 1, 1);
    expect_nothing(c);
}

/* ---- Wills ---- */

static struct conn_io *come_with_will(const struct holder *h, bool retain)
{
    struct conn_io *c =
        come(h, buf_span(&h->token),
             (struct connect_wish){ .will_topic = "a/will", .will_payload = "kept", .will_retain = retain });

    (void)expect_connack(c, MQTT_SUCCESS);
    return c;
}

static void mt112_a_revoked_token_ends_the_connection_and_the_will_goes_out(void **state)
{ /* and is not kept: nothing published on this token is */
    struct bench *b = *state;
    struct holder h = holder_new(b, ALL, 0);
    struct conn_io *reader = reader_of(b), *c = come_with_will(&h, true);

    client_subscribe(reader, "a/#", 0, 0);
    revoke(b, &h);
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    (void)expect_publish(reader, "a/will", "kept", 0);
    client_unsubscribe(reader, "a/#");
    reader->in_at = reader->in.len;
    assert_kept(reader, "a/will", false);
    holder_done(&h);
}

static void mt112_our_own_closing_for_authorization_publishes_the_will(void **state)
{ /* MT-97: and here it is kept, for the token lives on */
    struct bench *b = *state;
    struct holder h = holder_new(b, ALL, 100);
    struct conn_io *reader = reader_of(b), *c = come_with_will(&h, true);

    client_publish(c, "b", "not allowed", 0, 0);
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    assert_kept(reader, "a/will", true);
    bench_advance(b, 101000);
    assert_kept(reader, "a/will", false);
    holder_done(&h);
}

static void mt112_a_will_that_waited_goes_out_after_its_token_has_ended(void **state)
{ /* MT-112, MT-113 */
    struct bench *b = *state;
    struct holder h = holder_new(b, ALL, 30);
    struct conn_io *reader = reader_of(b), *c;

    client_subscribe(reader, "a/#", 0, 0);
    c = come(&h, buf_span(&h.token),
             (struct connect_wish){ .will_topic = "a/will", .will_delay_s = 60, .expiry_s = 1000 });
    (void)expect_connack(c, MQTT_SUCCESS);
    client_drop(c);
    bench_advance(b, 59000);
    expect_nothing(reader);
    bench_advance(b, 2000);
    (void)expect_publish(reader, "a/will", "gone", 0);
    holder_done(&h);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(mt78a_a_session_knows_whose_token_it_was_made_with),
        T(mt78b_no_session_lives_longer_than_the_administrator_wants),
        T(mt78c_the_same_token_is_not_introspected_again_and_another_is),
        T(mt78d_subscriptions_are_checked_under_the_new_scope),
        T(mt78e_messages_to_the_client_are_checked_again),
        T(mt78e_messages_from_the_client_are_checked_again),
        T(mt111_a_retained_message_ends_with_its_own_interval_if_that_is_first),
        T(mt111_the_token_in_force_at_publication_is_the_bound),
        T(mt111_a_revoked_token_takes_what_was_published_on_it),
        T(retained_messages_can_be_kept_beyond_the_token),
        T(a_retained_message_never_reaches_whose_grant_does_not_cover_it),
        T(mt112_a_revoked_token_ends_the_connection_and_the_will_goes_out),
        T(mt112_our_own_closing_for_authorization_publishes_the_will),
        T(mt112_a_will_that_waited_goes_out_after_its_token_has_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
