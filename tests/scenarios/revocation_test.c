/* News of tokens on live sessions: revoked ones are cut, narrowed ones lose what they no longer cover (RFC 9770 10,
 * MT-98, MT-107), wherever they are, and nobody else notices. */
#include "harness.h"

#include "codec/json.h"
#include "crypto/hash.h"
#include "shard/token_status.h"
#include "shard/token_store.h"

#include <stdio.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

/* Somebody with a token, whose text we know. */
struct holder {
    struct key *key;
    struct buf token;
    uint8_t hash[TOKEN_HASH_LEN];
};

static struct holder holder_new(struct bench *b, const char *scope)
{
    struct holder h;

    buf_init(&h.token, 65535);
    assert_int_equal(key_generate(KEY_ED25519, &h.key), ST_OK);
    token_make(b, &(struct token_wish){ .scope = scope, .key = h.key }, &h.token);
    assert_int_equal(sha256(buf_span(&h.token), h.hash), ST_OK);
    return h;
}

static void holder_done(struct holder *h)
{
    key_unref(h->key);
    buf_done(&h->token);
}

static struct conn_io *connect_holder(struct bench *b, const struct holder *h, struct connect_wish wish)
{
    struct conn_io *c = client_new(b);
    struct buf pop, data;

    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 65535);
    assert_int_equal(pop_make_exporter(h->key, span_of(c->exporter_value, ACE_EXPORTER_LEN), &pop), ST_OK);
    assert_int_equal(auth_data_write_connect(buf_span(&h->token), buf_span(&pop), &data), ST_OK);
    wish.data = buf_span(&data);
    wish.has_data = true;
    client_connect(c, &wish);
    (void)expect_connack(c, MQTT_SUCCESS);
    buf_done(&pop);
    buf_done(&data);
    return c;
}

static void tell_all(struct bench *b, const uint8_t *hash, struct token *token)
{
    const struct why why = { "RFC 9770", "the token was revoked", 0 };

    for (unsigned i = 0; i < b->count; i++)
        shard_token_status(b->shard[i], hash, token, why, b->now);
    bench_flush(b);
    if (!b->manual)
        bench_run(b);
}

static void revoke(struct bench *b, const struct holder *h)
{
    tell_all(b, h->hash, NULL);
}

/* What introspection says of it now: this scope, and this key. */
static struct token *describe(struct bench *b, const struct holder *h, const char *scope, const struct key *key)
{
    struct token *token = token_introspected(b, buf_span(&h->token), key, scope);

    assert_memory_equal(token->hash, h->hash, TOKEN_HASH_LEN);
    return token;
}

static void narrow_to(struct bench *b, const struct holder *h, const char *scope, const struct key *key)
{
    CLEANUP(token_unrefp)
    struct token *token = describe(b, h, scope, key);

    tell_all(b, h->hash, token);
}

static void expect_alive(struct conn_io *c)
{
    struct mqtt_frame frame;

    client_ping(c);
    assert_true(client_next(c, &frame));
    assert_int_equal(frame.type, MQTT_PINGRESP);
}

/* ---- revoked ---- */

static void a_revoked_token_ends_its_connection_with_a_reason(void **state) /* MT-98, MT-112 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL);
    struct conn_io *other = client_connected(b, "o", ALL);
    struct conn_io *c = connect_holder(
        b, &h, (struct connect_wish){ .id = "c", .will_topic = "a/gone", .will_payload = "revoked" });
    struct mqtt_disconnect d;

    (void)state;
    client_subscribe(other, "a/gone", 0, MQTT_SUCCESS);
    revoke(b, &h);
    d = expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    assert_reason(&d.properties, "RFC 9770");
    (void)expect_publish(other, "a/gone", "revoked", 0);
    assert_int_equal(log_count(b, "token_revoked"), 1);
    assert_int_equal(STAT(b, tokens_revoked), 1);
    assert_int_equal(STAT(b, sessions), 1);
    expect_alive(other);
    holder_done(&h);
    bench_free(b);
}

static void every_session_of_the_token_is_cut_on_every_shard(void **state)
{
    struct bench *b = bench_new(3);
    struct holder h = holder_new(b, ALL), o = holder_new(b, ALL);
    struct conn_io *c[6], *other[3];

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        char id[32];
        name_of_shard(b, i % 3, i < 3 ? "first" : "second", id);
        c[i] = connect_holder(b, &h, (struct connect_wish){ .id = id });
        assert_int_equal(c[i]->at, i % 3);
    }
    for (unsigned i = 0; i < 3; i++) {
        char id[32];
        name_of_shard(b, i, "other", id);
        other[i] = connect_holder(b, &o, (struct connect_wish){ .id = id });
    }
    revoke(b, &h);
    for (unsigned i = 0; i < 6; i++)
        (void)expect_disconnect(c[i], MQTT_NOT_AUTHORIZED);
    for (unsigned i = 0; i < 3; i++) {
        expect_alive(other[i]);
    }
    assert_int_equal(STAT(b, sessions), 3);
    revoke(b, &h); /* told twice, or of a token nobody uses: nothing */
    assert_int_equal(log_count(b, "token_revoked"), 6);
    holder_done(&h);
    holder_done(&o);
    bench_free(b);
}

static void a_session_waiting_for_its_client_loses_its_grant(void **state) /* MT-74 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL), later = holder_new(b, "[[\"a/1\",[\"sub\"]]]");
    struct conn_io *pub = client_connected(b, "p", ALL);
    struct conn_io *c = connect_holder(b, &h, (struct connect_wish){ .id = "c", .expiry_s = 1000 });
    uint16_t packet_id;

    (void)state;
    b->settings.check_client_id_owner = false;
    client_subscribe(c, "a/#", 1, MQTT_GRANTED_QOS_1);
    client_drop(c);
    client_publish(pub, "a/1", "one", 1, 1);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    client_publish(pub, "a/2", "two", 1, 2);
    (void)expect_ack(pub, MQTT_PUBACK, 2, MQTT_SUCCESS);
    revoke(b, &h);
    assert_int_equal(log_count(b, "token_revoked"), 1);
    assert_int_equal(STAT(b, sessions), 2); /* it may come back with a better one */
    revoke(b, &h);
    assert_int_equal(log_count(b, "token_revoked"), 1);
    c = client_new(b);
    {
        struct buf pop, data;
        buf_init(&pop, ACE_POP_MAX);
        buf_init(&data, 65535);
        assert_int_equal(pop_make_exporter(later.key, span_of(c->exporter_value, ACE_EXPORTER_LEN), &pop),
                         ST_OK);
        assert_int_equal(auth_data_write_connect(buf_span(&later.token), buf_span(&pop), &data), ST_OK);
        client_connect(
            c, &(struct connect_wish){
                   .id = "c", .resume = true, .expiry_s = 1000, .data = buf_span(&data), .has_data = true });
        buf_done(&pop);
        buf_done(&data);
    }
    assert_true(expect_connack(c, MQTT_SUCCESS).session_present);
    packet_id = expect_publish(c, "a/1", "one", 1).packet_id;
    client_ack(c, MQTT_PUBACK, packet_id, MQTT_SUCCESS);
    expect_nothing(c); /* a/2 is not covered any more */
    holder_done(&h);
    holder_done(&later);
    bench_free(b);
}

static void a_session_that_renewed_its_token_does_not_rest_on_the_old_one(void **state) /* MT-107 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL), fresh = holder_new(b, ALL);
    struct conn_io *c = connect_holder(b, &h, (struct connect_wish){ .id = "c" });
    struct mqtt_auth auth;
    struct buf pop, data;

    (void)state;
    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 65535);
    assert_int_equal(auth_data_write_connect(buf_span(&fresh.token), SPAN_NONE, &data), ST_OK);
    client_auth(c, MQTT_REAUTHENTICATE, ACE_METHOD, buf_span(&data));
    auth = expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
    assert_int_equal(pop_make_nonces(fresh.key, auth.properties.auth_data, SPAN("12345678"), &pop), ST_OK);
    buf_reset(&data);
    assert_int_equal(auth_data_write_answer(SPAN("12345678"), buf_span(&pop), false, &data), ST_OK);
    client_auth(c, MQTT_CONTINUE_AUTHENTICATION, ACE_METHOD, buf_span(&data));
    (void)expect_auth(c, MQTT_SUCCESS);
    revoke(b, &h);
    client_subscribe(c, "a/1", 0, MQTT_SUCCESS);
    revoke(b, &fresh);
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    buf_done(&pop);
    buf_done(&data);
    holder_done(&h);
    holder_done(&fresh);
    bench_free(b);
}

static void a_re_authentication_under_way_goes_with_its_connection(void **state)
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL), fresh = holder_new(b, ALL);
    struct conn_io *c = connect_holder(b, &h, (struct connect_wish){ .id = "c" });
    struct buf data;

    (void)state;
    buf_init(&data, 65535);
    assert_int_equal(auth_data_write_connect(buf_span(&fresh.token), SPAN_NONE, &data), ST_OK);
    client_auth(c, MQTT_REAUTHENTICATE, ACE_METHOD, buf_span(&data));
    (void)expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
    revoke(b, &h);
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    buf_done(&data);
    holder_done(&h);
    holder_done(&fresh);
    bench_free(b);
}

static void an_issuer_silent_for_too_long_takes_its_sessions_along(void **state)
{
    struct bench *b = bench_new(1);
    struct conn_io *c = client_connected(b, "c", ALL);
    const struct why why = { "revocation.max_stale", "nothing was heard", 0 };

    (void)state;
    shard_issuer_silent(b->shard[0], SPAN("https://other.example"), why, b->now);
    expect_alive(c);
    shard_issuer_silent(b->shard[0], SPAN(BENCH_ISS), why, b->now);
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    assert_int_equal(log_count(b, "issuer_silent"), 1);
    bench_free(b);
}

/* Nothing can be said to such a client: the connection is closed. */
static void a_client_of_mqtt_3_1_1_is_cut_without_a_word(void **state) /* MT-128 */
{
    struct bench *b = bench_new(1);
    struct conn_io *c =
        client_connected_with(b, &(struct connect_wish){ .id = "old", .scope = ALL, .v3 = true });

    (void)state;
    shard_issuer_silent(b->shard[0], SPAN(BENCH_ISS), (struct why){ "revocation.max_stale", "silent", 0 },
                        b->now);
    expect_closed(c);
    assert_int_equal(log_count(b, "issuer_silent"), 1);
    bench_free(b);
}

/* ---- changed ---- */

static void a_narrowed_token_takes_what_it_does_not_cover_and_leaves_the_rest(void **state) /* MT-107 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL);
    struct conn_io *pub = client_connected(b, "p", ALL);
    struct conn_io *c = connect_holder(b, &h, (struct connect_wish){ .id = "c" });

    (void)state;
    client_subscribe(c, "a/1", 0, MQTT_SUCCESS);
    client_subscribe(c, "a/2", 0, MQTT_SUCCESS);
    client_publish(c, "a/3", "allowed, and remembered so", 0, 0);
    narrow_to(b, &h, "[[\"a/2\",[\"sub\"]]]", h.key);
    assert_int_equal(STAT(b, subscriptions), 1);
    assert_int_equal(STAT(b, tokens_changed), 1);
    assert_int_equal(log_count(b, "token_changed"), 1);
    client_publish(pub, "a/1", "not yours", 0, 0);
    client_publish(pub, "a/2", "yours", 0, 0);
    (void)expect_publish(c, "a/2", "yours", 0);
    expect_nothing(c);
    client_publish(c, "a/3", "remembered no more", 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
    revoke(b, &h); /* still found under its hash */
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    holder_done(&h);
    bench_free(b);
}

static void losing_a_subscription_so_can_be_made_to_end_the_connection(void **state) /* MT-107, by option */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL);
    struct conn_io *c;

    (void)state;
    b->settings.reauth_lost_disconnects = true;
    c = connect_holder(b, &h, (struct connect_wish){ .id = "c" });
    client_subscribe(c, "a/1", 0, MQTT_SUCCESS);
    narrow_to(b, &h, ALL, h.key);
    expect_nothing(c);
    narrow_to(b, &h, "[[\"a/2\",[\"sub\"]]]", h.key);
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    holder_done(&h);
    bench_free(b);
}

static void a_narrowed_token_holds_for_a_session_without_its_client_too(void **state) /* MT-74 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL);
    struct conn_io *c = connect_holder(b, &h, (struct connect_wish){ .id = "c", .expiry_s = 1000 });

    (void)state;
    client_subscribe(c, "a/1", 1, MQTT_GRANTED_QOS_1);
    client_subscribe(c, "a/2", 1, MQTT_GRANTED_QOS_1);
    client_drop(c);
    narrow_to(b, &h, "[[\"a/2\",[\"sub\"]]]", h.key);
    assert_int_equal(STAT(b, subscriptions), 1);
    bench_advance(b, 700000); /* the grant ends meanwhile; the session does not */
    assert_int_equal(STAT(b, sessions), 1);
    holder_done(&h);
    bench_free(b);
}

static void an_answer_about_another_key_ends_the_session(void **state) /* TK-65 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL);
    struct conn_io *c = connect_holder(b, &h, (struct connect_wish){ .id = "c" });
    struct key *key;

    (void)state;
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    narrow_to(b, &h, ALL, key);
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    assert_true(log_has(b, "token_revoked", "TK-65"));
    key_unref(key);
    holder_done(&h);
    bench_free(b);
}

/* A token of the same key, but another one: what is said of that is not said of this. */
static void an_answer_about_another_token_ends_the_session(void **state) /* TK-65 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL);
    const struct token_claims claims = { .iss = SPAN(BENCH_ISS),
                                         .aud = SPAN(BENCH_AUD),
                                         .sub = SPAN("c"),
                                         .jti = SPAN("one"),
                                         .has_exp = true,
                                         .exp = { b->now.wall.s + 600 },
                                         .cnf = h.key };
    struct conn_io *c;
    struct token *news;

    (void)state;
    buf_reset(&h.token);
    assert_int_equal(token_issue_jws(&claims, b->as_key, SPAN_NONE, &h.token, NULL), ST_OK);
    assert_int_equal(sha256(buf_span(&h.token), h.hash), ST_OK);
    for (int same = 1; same >= 0; same--) {
        c = connect_holder(b, &h, (struct connect_wish){ .id = "c" });
        news = describe(b, &h,
                        ALL ","
                            "\"jti\":\"one\"",
                        h.key);
        if (!same) {
            token_unref(news);
            news = describe(b, &h,
                            ALL ","
                                "\"jti\":\"two\"",
                            h.key);
        }
        tell_all(b, h.hash, news);
        token_unref(news);
        if (same)
            expect_alive(c);
        else
            (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
        if (same)
            client_bye(c);
    }
    assert_true(log_has(b, "token_revoked", "TK-65"));
    holder_done(&h);
    bench_free(b);
}

/* What an issuer's introspection says of the holder's token, its key named by this confirmation alone. */
static struct token *describe_by(struct bench *b, const struct holder *h, struct span iss, const char *cnf)
{
    struct token *token = NULL;
    CLEANUP(buf_done)
    struct buf body;

    buf_init(&body, 4096);
    put_fmt(&body,
            "{\"active\":true,\"aud\":\"" BENCH_AUD "\",\"exp\":%lld,\"sub\":\"c\",\"scope\":" ALL
            ",\"cnf\":%s}",
            (long long)b->now.wall.s + 600, cnf);
    assert_int_equal(token_from_introspection(buf_span(&body), buf_span(&h->token), iss, b->verifier,
                                              b->now.wall, &token, NULL),
                     ST_OK);
    return token;
}

/* A key that has a kid may be called by it, by the server whose token named it so, and by nobody else. */
static void an_answer_may_name_the_key_by_its_kid(void **state) /* TK-6, TK-65 */
{
    static const struct {
        const char *cnf, *iss;
        bool ends;
    } answers[] = {
        { "{\"kid\":\"pump\"}", BENCH_ISS, false },
        { "{\"kid\":\"other\"}", BENCH_ISS, true },
        { "{\"kid\":\"pump\"}", BENCH_ISS2, true },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        CLEANUP(token_unrefp)
        struct token *news = NULL;
        struct bench *b = bench_new(1);
        struct holder h = holder_new(b, ALL);
        struct conn_io *c;

        buf_reset(&h.token);
        token_make(b, &(struct token_wish){ .scope = ALL, .key = h.key, .kid = "pump" }, &h.token);
        assert_int_equal(sha256(buf_span(&h.token), h.hash), ST_OK);
        c = connect_holder(b, &h, (struct connect_wish){ .id = "c" });
        news = describe_by(b, &h, span_of_str(answers[i].iss), answers[i].cnf);
        tell_all(b, h.hash, news);
        if (answers[i].ends) {
            (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
            assert_true(log_has(b, "token_revoked", "TK-65"));
        } else {
            expect_alive(c);
        }
        holder_done(&h);
        bench_free(b);
    }
}

/* ---- what is on its way ---- */

/* Between two shards lies an inbox: what was published before the news and arrives after it is judged by the grant in force
 * then. */
static void a_message_in_flight_is_judged_by_the_grant_when_it_is_delivered(void **state) /* MT-98, MT-107 */
{
    for (int revoked = 0; revoked < 2; revoked++) {
        struct bench *b = bench_new(2);
        struct holder h = holder_new(b, ALL);
        char id[32], pub_id[32];
        struct conn_io *c, *pub;

        name_of_shard(b, 0, "c", id);
        name_of_shard(b, 1, "p", pub_id);
        c = connect_holder(b, &h, (struct connect_wish){ .id = id });
        pub = client_connected(b, pub_id, ALL);
        client_subscribe(c, "a/1", 1, MQTT_GRANTED_QOS_1);
        client_subscribe(c, "a/2", 0, MQTT_SUCCESS);
        b->manual = true;
        client_publish(pub, "a/1", "late", 1, 1);
        client_publish(pub, "a/2", "kept", 0, 0);
        (void)bench_turn(b, 1);
        bench_flush(b); /* in the inbox of the subscriber's shard */
        expect_nothing(c);
        if (revoked)
            revoke(b, &h);
        else
            narrow_to(b, &h, "[[\"a/2\",[\"sub\"]]]", h.key);
        b->manual = false;
        bench_run(b);
        if (revoked) {
            (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
        } else {
            (void)expect_publish(c, "a/2", "kept", 0);
            expect_nothing(c);
        }
        (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
        holder_done(&h);
        bench_free(b);
    }
    (void)state;
}

/* What waits for the client to make room was allowed when it was queued. */
static void a_message_waiting_for_room_is_judged_again(void **state) /* MT-74, MT-98 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL);
    struct conn_io *c = connect_holder(b, &h, (struct connect_wish){ .id = "c", .receive_maximum = 1 });
    struct conn_io *pub = client_connected(b, "p", ALL);
    uint16_t packet_id;

    (void)state;
    client_subscribe(c, "a/#", 1, MQTT_GRANTED_QOS_1);
    client_publish(pub, "a/1", "1", 1, 1);
    client_publish(pub, "a/2", "2", 1, 2);
    packet_id = expect_publish(c, "a/1", "1", 1).packet_id;
    narrow_to(b, &h, "[[\"a/1\",[\"sub\"]]]", h.key);
    client_ack(c, MQTT_PUBACK, packet_id, MQTT_SUCCESS);
    expect_nothing(c);
    assert_int_equal(STAT(b, dropped_not_authorized), 1);
    holder_done(&h);
    bench_free(b);
}

/* A SUBSCRIBE waits for every shard; its retained messages come last. */
static void a_subscription_under_way_is_lost_like_any_other(void **state) /* MT-107 */
{
    struct bench *b = bench_new(2);
    struct holder h = holder_new(b, ALL);
    struct conn_io *pub, *c;
    char id[32];

    (void)state;
    name_of_shard(b, 0, "c", id);
    pub = client_connected(b, "p", ALL);
    c = connect_holder(b, &h, (struct connect_wish){ .id = id });
    for (int i = 0; i < 8; i++) { /* on both shards */
        char topic[32];
        (void)snprintf(topic, sizeof topic, "a/1/%d", i);
        client_publish_with(pub, &(struct publish_wish){ .topic = topic, .payload = "old", .retain = true });
    }
    b->manual = true;
    client_subscribe_with(c, wish_filter("a/1/#", 1), 0, 7);
    (void)bench_turn(b, 0);
    bench_flush(b);
    narrow_to(b, &h, "[[\"a/2\",[\"sub\"]]]", h.key);
    b->manual = false;
    bench_run(b);
    client_publish(pub, "a/1/1", "new", 0, 0);
    (void)expect_suback(c, 7, MQTT_NOT_AUTHORIZED);
    expect_nothing(c);
    assert_int_equal(STAT(b, subscriptions), 0);
    expect_alive(c);
    holder_done(&h);
    bench_free(b);
}

/* ---- together with what all shards know of tokens ---- */

static struct token_store *store_new(struct bench *b)
{
    static const uint8_t secret[TOKEN_STORE_SECRET_LEN] = { 1 };
    struct token_store_limits limits;
    struct token_store *store;

    token_store_limits_init(&limits);
    assert_int_equal(token_store_new(&limits, secret, &store), ST_OK);
    b->settings.tokens = store;
    return store;
}

static void start_challenge(struct conn_io *c, const struct holder *h)
{
    struct buf data;

    buf_init(&data, 65535);
    assert_int_equal(auth_data_write_connect(buf_span(&h->token), SPAN_NONE, &data), ST_OK);
    client_connect(c, &(struct connect_wish){ .id = "c", .data = buf_span(&data), .has_data = true });
    buf_done(&data);
}

static void answer_challenge(struct conn_io *c, const struct holder *h)
{
    struct mqtt_auth auth = expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
    struct buf pop, data;

    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 1024);
    assert_int_equal(pop_make_nonces(h->key, auth.properties.auth_data, SPAN("12345678"), &pop), ST_OK);
    assert_int_equal(auth_data_write_answer(SPAN("12345678"), buf_span(&pop), false, &data), ST_OK);
    client_auth(c, MQTT_CONTINUE_AUTHENTICATION, ACE_METHOD, buf_span(&data));
    buf_done(&pop);
    buf_done(&data);
}

/* Of a token signed by ES256 the issuer may list the other name (crypto/sign.h). */
static void a_session_is_found_by_either_name_of_its_token(void **state) /* RFC 9770 13.6 */
{
    struct bench *b = bench_new(2);
    struct holder h = holder_new(b, ALL);
    struct conn_io *c = connect_holder(b, &h, (struct connect_wish){ .id = "c" });
    struct token *token = describe(b, &h, ALL, h.key), *found;
    uint8_t twin[TOKEN_HASH_LEN];
    unsigned home = shard_home(&b->settings, b->count, SPAN("c"));

    (void)state;
    memset(twin, 0x55, sizeof twin);
    token->has_twin = true;
    memcpy(token->twin, twin, sizeof twin);
    tell_all(b, h.hash, token);
    expect_alive(c);
    found = shard_find_token(b->shard[home], twin);
    assert_ptr_equal(found, token);
    token_unref(found);
    tell_all(b, twin, NULL);
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    token_unref(token);
    holder_done(&h);
    bench_free(b);
}

/* Between the token and its proof: the news finds no session yet, and the proof finds the token revoked. */
static void a_token_revoked_while_it_is_being_proved_is_refused(void **state)
{
    struct bench *b = bench_new(1);
    struct token_store *store = store_new(b);
    struct holder h = holder_new(b, ALL);
    struct conn_io *c = client_new(b);

    (void)state;
    start_challenge(c, &h);
    assert_int_equal(token_store_revoke(store, h.hash, (struct wall_time){ b->now.wall.s + 600 }), ST_OK);
    revoke(b, &h);
    answer_challenge(c, &h);
    expect_refused(c, MQTT_NOT_AUTHORIZED, "AF-98");
    holder_done(&h);
    bench_free(b);
    token_store_free(store);
}

/* The same for one that permits less by then: what was looked at before the news is not what it is worth (RFC 9770). */
static void a_token_changed_while_it_is_being_proved_is_refused_and_asked_about(void **state)
{
    struct bench *b = bench_new(1);
    struct token_store *store = store_new(b);
    struct holder h = holder_new(b, ALL);
    struct conn_io *c = client_new(b);
    struct wall_time until = { b->now.wall.s + 600 };

    (void)state;
    start_challenge(c, &h);
    assert_int_equal(token_store_change(store, h.hash, until), ST_OK);
    answer_challenge(c, &h);
    expect_refused(c, MQTT_NOT_AUTHORIZED, "RFC 9770");

    c = client_new(b); /* asked about, and changed again before the proof, or before the answer */
    start_challenge(c, &h);
    shard_token_resolved(b->shard[0], b->asked, ST_OK, describe(b, &h, ALL, h.key), (struct why){ 0 }, b->now);
    assert_int_equal(token_store_change(store, h.hash, until), ST_OK);
    answer_challenge(c, &h);
    expect_refused(c, MQTT_NOT_AUTHORIZED, "RFC 9770");
    c = client_new(b);
    start_challenge(c, &h);
    assert_int_equal(token_store_change(store, h.hash, until), ST_OK);
    shard_token_resolved(b->shard[0], b->asked, ST_OK, describe(b, &h, ALL, h.key), (struct why){ 0 }, b->now);
    expect_refused(c, MQTT_NOT_AUTHORIZED, "RFC 9770");

    c = client_new(b);
    start_challenge(c, &h);
    shard_token_resolved(b->shard[0], b->asked, ST_OK, describe(b, &h, ALL, h.key), (struct why){ 0 }, b->now);
    answer_challenge(c, &h);
    (void)expect_connack(c, MQTT_SUCCESS);
    holder_done(&h);
    bench_free(b);
    token_store_free(store);
}

static void a_revoked_token_does_not_come_back(void **state) /* RFC 9770 10 */
{
    struct bench *b = bench_new(1);
    struct token_store *store = store_new(b);
    struct holder h = holder_new(b, ALL);
    struct conn_io *c = connect_holder(b, &h, (struct connect_wish){ .id = "c" });

    (void)state;
    assert_int_equal(token_store_revoke(store, h.hash, (struct wall_time){ b->now.wall.s + 600 }), ST_OK);
    revoke(b, &h);
    (void)expect_disconnect(c, MQTT_NOT_AUTHORIZED);
    c = client_new(b);
    start_challenge(c, &h);
    expect_refused(c, MQTT_NOT_AUTHORIZED, "AF-98");
    holder_done(&h);
    bench_free(b);
    token_store_free(store);
}

/* The JWT says what it said; what it is worth now, only introspection says, for who comes back with it as well. */
static void a_changed_token_is_introspected_when_it_comes_back(void **state) /* MT-66, MT-95 */
{
    struct bench *b = bench_new(1);
    struct token_store *store = store_new(b);
    struct holder h = holder_new(b, ALL);
    struct conn_io *c = connect_holder(b, &h, (struct connect_wish){ .id = "c" });
    uint64_t asked = b->asked;

    (void)state;
    client_bye(c);
    assert_int_equal(token_store_change(store, h.hash, (struct wall_time){ b->now.wall.s + 600 }), ST_OK);
    c = client_new(b);
    start_challenge(c, &h);
    expect_nothing(c);
    assert_int_not_equal(b->asked, asked);
    assert_int_equal(b->asked_kind, RESOLVE_INTROSPECT);
    shard_token_resolved(b->shard[0], b->asked, ST_OK, describe(b, &h, "[[\"a/2\",[\"sub\"]]]", h.key),
                         (struct why){ 0 }, b->now);
    answer_challenge(c, &h);
    (void)expect_connack(c, MQTT_SUCCESS);
    client_subscribe(c, "a/1", 0, MQTT_NOT_AUTHORIZED);
    client_subscribe(c, "a/2", 0, MQTT_SUCCESS);
    holder_done(&h);
    bench_free(b);
    token_store_free(store);
}

/* ---- many at once (docs/decisions/0031) ---- */

#define MANY 50

static unsigned count_closed(struct conn_io *const *all, unsigned count)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++)
        n += all[i]->closed;
    return n;
}

/* Turn by turn; in each, no more than a few are cut, and what others send goes through. */
static void watch_them_go(struct bench *b, struct conn_io *const *all, struct conn_io *other, unsigned before)
{
    unsigned turns = 0;

    while (before < MANY) {
        unsigned now;

        client_publish(other, "a/x", "goes on", 0, 0);
        (void)bench_turn(b, 0);
        (void)expect_publish(other, "a/x", "goes on", 0);
        now = count_closed(all, MANY);
        assert_true(now > before && now - before <= STATUS_PER_TURN);
        before = now;
        turns++;
    }
    assert_true(turns + 2 >= MANY / STATUS_PER_TURN);
    assert_true(shard_wait_ms(b->shard[0], b->now) != 0);
}

static void many_sessions_of_one_token_are_cut_a_few_in_each_turn(void **state) /* MT-98 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL);
    struct conn_io *other = client_connected(b, "o", ALL), *all[MANY];

    (void)state;
    client_subscribe(other, "a/x", 0, MQTT_SUCCESS);
    for (unsigned i = 0; i < MANY; i++) {
        char id[32];

        (void)snprintf(id, sizeof id, "c%u", i);
        all[i] = connect_holder(b, &h, (struct connect_wish){ .id = id });
    }
    b->manual = true;
    revoke(b, &h);
    assert_int_equal(count_closed(all, MANY), STATUS_PER_TURN);
    client_drop(all[MANY / 2]); /* one goes by itself meanwhile */
    all[MANY / 2]->closed = true;
    watch_them_go(b, all, other, STATUS_PER_TURN + 1);
    assert_int_equal(log_count(b, "token_revoked"), MANY - 1);
    holder_done(&h);
    bench_free(b);
}

/* What is over is over at once; only the cut takes its turn. */
static void who_waits_for_its_cut_has_no_permission_any_more(void **state) /* MT-107, MT-111 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL);
    struct conn_io *other = client_connected(b, "o", ALL), *all[MANY];

    (void)state;
    client_subscribe(other, "a/x", 0, MQTT_SUCCESS);
    for (unsigned i = 0; i < MANY; i++) {
        char id[32];

        (void)snprintf(id, sizeof id, "c%u", i);
        all[i] = connect_holder(b, &h, (struct connect_wish){ .id = id });
    }
    client_subscribe(all[MANY - 2], "a/y", 0, MQTT_SUCCESS);
    b->manual = true;
    revoke(b, &h);
    assert_int_equal(count_closed(all, MANY), STATUS_PER_TURN);
    client_publish(other, "a/y", "not for the revoked", 0, 0);
    client_publish_with(all[MANY - 1],
                        &(struct publish_wish){ .topic = "a/x", .payload = "too late", .retain = true });
    while (count_closed(all, MANY) < MANY)
        (void)bench_turn(b, 0);
    expect_nothing(other);
    assert_int_equal(STAT(b, retained_messages), 0);
    for (unsigned i = 0; i < MANY; i++)
        (void)expect_disconnect(all[i], MQTT_NOT_AUTHORIZED);
    assert_int_equal(log_count(b, "token_revoked"), MANY);
    assert_int_equal(log_count(b, "token_expired"), 0);
    assert_int_equal(STAT(b, tokens_revoked), MANY);
    holder_done(&h);
    bench_free(b);
}

/* The last word counts, also for those that the one before has not reached. */
static void news_overtakes_what_still_waits_for_its_turn(void **state) /* MT-107 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL);
    struct conn_io *all[MANY];
    struct token *wide = describe(b, &h, ALL, h.key);
    struct token *narrow = describe(b, &h, "[[\"a/2\",[\"sub\"]]]", h.key);

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        char id[32];

        (void)snprintf(id, sizeof id, "c%u", i);
        all[i] = connect_holder(b, &h, (struct connect_wish){ .id = id });
    }
    b->manual = true;
    tell_all(b, h.hash, wide);
    tell_all(b, h.hash, narrow);
    for (unsigned i = 0; i < MANY; i++)
        (void)bench_turn(b, 0);
    b->manual = false;
    for (unsigned i = 0; i < MANY; i++)
        client_subscribe(all[i], "a/1", 0, MQTT_NOT_AUTHORIZED);
    b->manual = true;
    tell_all(b, h.hash, wide);
    revoke(b, &h);
    for (unsigned i = 0; i < MANY; i++)
        (void)bench_turn(b, 0);
    for (unsigned i = 0; i < MANY; i++)
        (void)expect_disconnect(all[i], MQTT_NOT_AUTHORIZED);
    token_unref(wide);
    token_unref(narrow);
    holder_done(&h);
    bench_free(b);
}

/* What a changed token does not permit any more is over at once; only to lose the subscriptions takes its turn. */
static void who_waits_for_its_narrower_token_has_no_more_than_that(void **state) /* MT-107, MT-98 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL);
    struct conn_io *other = client_connected(b, "o", ALL), *all[MANY], *last;

    (void)state;
    client_subscribe(other, "a/#", 0, MQTT_SUCCESS);
    for (unsigned i = 0; i < MANY; i++) {
        char id[32];

        (void)snprintf(id, sizeof id, "c%u", i);
        all[i] = connect_holder(
            b, &h, (struct connect_wish){ .id = id, .will_topic = "a/old", .will_payload = "not to be left" });
        client_subscribe(all[i], "a/old", 1, MQTT_GRANTED_QOS_1);
        client_subscribe(all[i], "a/both", 1, MQTT_GRANTED_QOS_1);
    }
    last = all[MANY - 1];
    client_publish(last, "a/old", "allowed, and remembered to be", 1, 1);
    for (unsigned i = 0; i < MANY; i++) {
        struct mqtt_publish p = expect_publish(all[i], "a/old", "allowed, and remembered to be", 1);

        client_ack(all[i], MQTT_PUBACK, p.packet_id, MQTT_SUCCESS);
    }
    (void)expect_ack(last, MQTT_PUBACK, 1, MQTT_SUCCESS);
    (void)expect_publish(other, "a/old", "allowed, and remembered to be", 0);
    b->manual = true;
    narrow_to(b, &h, "[[\"a/both\",[\"pub\",\"sub\"]],[\"b/new\",[\"pub\",\"sub\"]]]", h.key);
    assert_int_equal(STAT(b, tokens_changed), STATUS_PER_TURN);
    client_publish(last, "a/old", "too late", 1, 2);
    client_publish(last, "a/both", "as before", 1, 3);
    client_publish(last, "b/new", "not before its turn", 1, 4);
    client_subscribe_with(last, wish_filter("a/old/more", 0), 0, 5);
    client_publish(other, "a/old", "no longer theirs", 0, 0);
    client_publish(other, "a/old", "nor this", 1, 1);
    client_drop(all[MANY - 2]); /* and leaves no Will that it may not */
    (void)bench_turn(b, 0);
    (void)expect_ack(last, MQTT_PUBACK, 2, MQTT_NOT_AUTHORIZED);
    (void)expect_publish(last, "a/both", "as before", 1);
    (void)expect_ack(last, MQTT_PUBACK, 3, MQTT_SUCCESS);
    (void)expect_ack(last, MQTT_PUBACK, 4, MQTT_NOT_AUTHORIZED);
    (void)expect_suback(last, 5, MQTT_NOT_AUTHORIZED);
    expect_nothing(last);
    (void)expect_publish(other, "a/old", "no longer theirs", 0);
    (void)expect_publish(other, "a/old", "nor this", 0);
    (void)expect_ack(other, MQTT_PUBACK, 1, MQTT_SUCCESS);
    (void)expect_publish(other, "a/both", "as before", 0);
    expect_nothing(other);
    assert_true(STAT(b, tokens_changed) < MANY / 2);
    b->manual = false;
    bench_run(b);
    for (unsigned i = 0; i < MANY - 2; i++) {
        (void)expect_publish(all[i], "a/both", "as before", 1);
        expect_nothing(all[i]);
    }
    client_publish(last, "b/new", "in its turn", 1, 6);
    (void)expect_ack(last, MQTT_PUBACK, 6, MQTT_SUCCESS);
    assert_int_equal(STAT(b, tokens_changed), MANY - 1);
    holder_done(&h);
    bench_free(b);
}

static void many_tokens_that_end_in_one_second_are_cut_a_few_in_each_turn(void **state) /* MT-98 */
{
    struct bench *b = bench_new(1);
    struct conn_io *other = client_connected(b, "o", ALL), *all[MANY];

    (void)state;
    client_subscribe(other, "a/x", 0, MQTT_SUCCESS);
    for (unsigned i = 0; i < MANY; i++) {
        char id[32];

        (void)snprintf(id, sizeof id, "c%u", i);
        all[i] = client_connected_with(b, &(struct connect_wish){ .id = id, .scope = ALL, .life_s = 10 });
    }
    b->manual = true;
    b->now.mono.ms += 11000;
    b->now.wall.s += 11;
    watch_them_go(b, all, other, 0);
    assert_int_equal(log_count(b, "token_expired"), MANY);
    bench_free(b);
}

/* Whoever stands for the others in the table may be the one that leaves. */
static void sessions_of_one_token_come_and_go_and_the_rest_is_found(void **state) /* MT-98 */
{
    struct bench *b = bench_new(1);
    struct holder h = holder_new(b, ALL);
    struct conn_io *c[5];

    (void)state;
    for (unsigned leaves = 0; leaves < 5; leaves++) {
        for (unsigned i = 0; i < 5; i++) {
            char id[32];

            (void)snprintf(id, sizeof id, "%u-%u", leaves, i);
            c[i] = connect_holder(b, &h, (struct connect_wish){ .id = id });
        }
        for (unsigned i = 0; i < 5; i++)
            if (i >= leaves)
                client_drop(c[(i + leaves) % 5]);
    }
    assert_int_equal(STAT(b, sessions), 10);
    revoke(b, &h);
    bench_advance(b, 50);
    assert_int_equal(STAT(b, tokens_revoked), 10);
    assert_int_equal(STAT(b, sessions), 0);
    holder_done(&h);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_revoked_token_ends_its_connection_with_a_reason),
        cmocka_unit_test(every_session_of_the_token_is_cut_on_every_shard),
        cmocka_unit_test(a_session_waiting_for_its_client_loses_its_grant),
        cmocka_unit_test(a_session_that_renewed_its_token_does_not_rest_on_the_old_one),
        cmocka_unit_test(a_re_authentication_under_way_goes_with_its_connection),
        cmocka_unit_test(an_issuer_silent_for_too_long_takes_its_sessions_along),
        cmocka_unit_test(a_client_of_mqtt_3_1_1_is_cut_without_a_word),
        cmocka_unit_test(a_narrowed_token_takes_what_it_does_not_cover_and_leaves_the_rest),
        cmocka_unit_test(losing_a_subscription_so_can_be_made_to_end_the_connection),
        cmocka_unit_test(a_narrowed_token_holds_for_a_session_without_its_client_too),
        cmocka_unit_test(an_answer_about_another_key_ends_the_session),
        cmocka_unit_test(an_answer_about_another_token_ends_the_session),
        cmocka_unit_test(an_answer_may_name_the_key_by_its_kid),
        cmocka_unit_test(a_message_in_flight_is_judged_by_the_grant_when_it_is_delivered),
        cmocka_unit_test(a_message_waiting_for_room_is_judged_again),
        cmocka_unit_test(a_subscription_under_way_is_lost_like_any_other),
        cmocka_unit_test(a_session_is_found_by_either_name_of_its_token),
        cmocka_unit_test(a_token_revoked_while_it_is_being_proved_is_refused),
        cmocka_unit_test(a_token_changed_while_it_is_being_proved_is_refused_and_asked_about),
        cmocka_unit_test(a_revoked_token_does_not_come_back),
        cmocka_unit_test(a_changed_token_is_introspected_when_it_comes_back),
        cmocka_unit_test(many_sessions_of_one_token_are_cut_a_few_in_each_turn),
        cmocka_unit_test(who_waits_for_its_cut_has_no_permission_any_more),
        cmocka_unit_test(news_overtakes_what_still_waits_for_its_turn),
        cmocka_unit_test(who_waits_for_its_narrower_token_has_no_more_than_that),
        cmocka_unit_test(many_tokens_that_end_in_one_second_are_cut_a_few_in_each_turn),
        cmocka_unit_test(sessions_of_one_token_come_and_go_and_the_rest_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
