/* Clients known by TLS - raw public key, pre-shared key, certificate - and the tokens that go with their keys (MT-20 to
 * MT-29, MT-60, MT-129); tokens that name their key by kid or certificate. */
#include "harness.h"

#include "codec/base64.h"
#include "crypto/hash.h"
#include "crypto/x509.h"
#include "token/psk_identity.h"

#include <stdio.h>

#define ALL  "[[\"a/#\",[\"pub\",\"sub\"]]]"
#define ONLY "[[\"a/b\",[\"pub\",\"sub\"]]]"

struct fixture {
    struct bench *b;
    struct key *key;
    struct buf spki;
    struct buf token;
};

static struct fixture begin(unsigned shards, enum key_kind kind)
{
    struct fixture f = { .b = bench_new(shards) };

    bench_tokens(f.b, NULL);
    assert_int_equal(key_generate(kind, &f.key), ST_OK);
    buf_init(&f.token, 65535);
    buf_init(&f.spki, 1024);
    if (kind != KEY_SECRET)
        assert_int_equal(key_write_spki(f.key, &f.spki), ST_OK);
    return f;
}

static void end(struct fixture *f)
{
    key_unref(f->key);
    buf_done(&f->token);
    buf_done(&f->spki);
    bench_free(f->b);
}

static void leave(struct fixture *f, struct token_wish wish, uint8_t expected)
{
    struct conn_io *c = client_new(f->b);

    if (wish.key == NULL)
        wish.key = f->key;
    buf_reset(&f->token);
    token_make(f->b, &wish, &f->token);
    client_connect(c, &(struct connect_wish){ .id = "", .no_method = true });
    (void)expect_connack(c, MQTT_SUCCESS);
    client_leave_token(c, buf_span(&f->token), 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, expected);
    client_bye(c);
}

static struct conn_io *come(struct bench *b, enum identity_kind kind, struct span identity, const char *id)
{
    struct conn_io *c = client_known(b, kind, identity);

    assert_non_null(c);
    client_connect(c, &(struct connect_wish){ .id = id, .no_method = true });
    (void)expect_connack(c, MQTT_SUCCESS);
    return c;
}

static void expect_may_publish(struct conn_io *c, const char *topic, bool yes)
{
    client_publish(c, topic, "x", 1, 9);
    (void)expect_ack(c, MQTT_PUBACK, 9, yes ? MQTT_SUCCESS : MQTT_NOT_AUTHORIZED);
}

/* ---- raw public keys ---- */

static void a_raw_key_has_the_token_left_for_it(void **state) /* MT-23, MT-25, MT-33 */
{
    (void)state;
    for (unsigned shards = 1; shards <= 3; shards++) {
        struct fixture f = begin(shards, shards == 2 ? KEY_P256 : KEY_ED25519);
        struct conn_io *c;

        leave(&f, (struct token_wish){ .scope = ALL }, MQTT_SUCCESS);
        c = come(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki), "device");
        client_subscribe(c, "a/#", 1, 1);
        client_publish(c, "a/b", "x", 0, 0);
        (void)expect_publish(c, "a/b", "x", 0);
        expect_may_publish(c, "b", false);
        assert_int_equal(STAT(f.b, tokens_accepted), 1);
        end(&f);
    }
}

static void version_3_is_known_by_tls_as_well(void **state) /* MT-25, MT-129 */
{
    struct fixture f = begin(2, KEY_ED25519);
    struct conn_io *c;

    (void)state;
    leave(&f, (struct token_wish){ .scope = ALL, .life_s = 60 }, MQTT_SUCCESS);
    c = client_known(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki));
    client_connect(c, &(struct connect_wish){ .id = "old", .no_method = true, .v3 = true });
    (void)expect_connack(c, MQTT_SUCCESS);
    client_subscribe(c, "a/#", 1, 1);
    client_publish(c, "a/b", "x", 0, 0);
    (void)expect_publish(c, "a/b", "x", 0);
    bench_advance(f.b, 61000);
    expect_closed(c);
    end(&f);
}

static void a_raw_key_without_a_token_is_a_stranger(void **state) /* MT-20, MT-21 */
{
    struct fixture f = begin(1, KEY_ED25519);
    struct conn_io *c;

    (void)state;
    c = come(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki), "device");
    expect_may_publish(c, "a/b", false);
    f.b->settings.authz_info = false;
    c = client_known(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki));
    client_connect(c, &(struct connect_wish){ .id = "d", .no_method = true });
    expect_refused(c, MQTT_NOT_AUTHORIZED, "MT-20");
    end(&f);
}

static void the_token_of_a_known_client_expires_like_any_other(void **state) /* MT-100 */
{
    struct fixture f = begin(2, KEY_ED25519);
    struct conn_io *c;

    (void)state;
    leave(&f, (struct token_wish){ .scope = ALL, .life_s = 60 }, MQTT_SUCCESS);
    c = come(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki), "device");
    bench_advance(f.b, 59900);
    expect_nothing(c);
    bench_advance(f.b, 200);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-100");
    c = come(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki), "device"); /* as a stranger */
    expect_may_publish(c, "a/b", false);
    end(&f);
}

static void auth_is_a_protocol_error_without_a_method(void **state) /* MT-102 */
{
    struct fixture f = begin(1, KEY_ED25519);
    struct conn_io *c;

    (void)state;
    leave(&f, (struct token_wish){ .scope = ALL }, MQTT_SUCCESS);
    c = come(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki), "device");
    client_auth(c, MQTT_REAUTHENTICATE, ACE_METHOD, SPAN("\x00\x01x"));
    expect_thrown_out(c, MQTT_PROTOCOL_ERROR, "MQTT5 [MQTT-4.12.0-7]");
    end(&f);
}

static void a_known_client_renews_by_leaving_a_new_token(void **state) /* MT-33, MT-106, MT-107 */
{
    struct fixture f = begin(2, KEY_ED25519);
    struct conn_io *c;

    (void)state;
    leave(&f, (struct token_wish){ .scope = ALL, .life_s = 60 }, MQTT_SUCCESS);
    c = come(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki), "device");
    client_subscribe(c, "a/c", 1, 1);
    client_subscribe(c, "a/b", 1, 1);
    buf_reset(&f.token);
    token_make(f.b, &(struct token_wish){ .scope = ONLY, .key = f.key, .life_s = 600 }, &f.token);
    client_leave_token(c, buf_span(&f.token), 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    assert_int_equal(log_count(f.b, "subscription_lost"), 1);
    expect_may_publish(c, "a/c", false);
    bench_advance(f.b, 100000); /* beyond the first */
    client_publish(c, "a/b", "x", 0, 0);
    (void)expect_publish(c, "a/b", "x", 0);
    end(&f);
}

/* Whoever got hold of another token for this key cannot change what the live connection of its holder may do. */
static void a_token_left_by_a_stranger_changes_no_live_connection(void **state) /* MT-33 */
{
    struct fixture f = begin(2, KEY_ED25519);
    struct conn_io *c;

    (void)state;
    leave(&f, (struct token_wish){ .scope = ALL }, MQTT_SUCCESS);
    c = come(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki), "device");
    leave(&f, (struct token_wish){ .scope = ONLY }, MQTT_SUCCESS);
    expect_may_publish(c, "a/c", true);
    client_drop(c);
    c = come(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki), "device"); /* the next has the later one */
    expect_may_publish(c, "a/c", false);
    end(&f);
}

static void a_token_in_connect_wins_over_the_known_key(void **state) /* MT-24 */
{
    struct fixture f = begin(1, KEY_ED25519);
    struct conn_io *c;

    (void)state;
    leave(&f, (struct token_wish){ .scope = ALL }, MQTT_SUCCESS);
    c = client_known(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki));
    client_connect(c, &(struct connect_wish){ .id = "device", .scope = ONLY, .sub = "other" });
    (void)expect_connack(c, MQTT_SUCCESS);
    expect_may_publish(c, "a/b", true);
    expect_may_publish(c, "a/c", false);
    c = client_known(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki)); /* and a bad one is not made good by the key */
    client_connect(c, &(struct connect_wish){ .id = "d", .no_data = true });
    expect_refused(c, MQTT_NOT_AUTHORIZED, "MT-92");
    end(&f);
}

static void a_revoked_token_is_gone_for_known_clients_too(void **state) /* MT-34 */
{
    struct fixture f = begin(1, KEY_ED25519);
    uint8_t hash[SHA256_LEN];
    struct conn_io *c, *late;
    struct why why = { "RFC 9770", "revoked", 0 };

    (void)state;
    leave(&f, (struct token_wish){ .scope = ALL }, MQTT_SUCCESS);
    c = come(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki), "device");
    assert_int_equal(sha256(buf_span(&f.token), hash), ST_OK);
    assert_int_equal(token_store_revoke(f.b->tokens, hash, (struct wall_time){ f.b->now.wall.s + 3600 }),
                     ST_OK);
    shard_token_status(f.b->shard[0], hash, NULL, why, f.b->now);
    expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "RFC 9770");
    late = come(f.b, IDENTITY_RAW_KEY, buf_span(&f.spki), "device");
    expect_may_publish(late, "a/b", false);
    client_leave_token(late, buf_span(&f.token), 1, 1);
    (void)expect_ack(late, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
    end(&f);
}

/* ---- pre-shared keys ---- */

static const char *const kid = "\x3d\x02\x78\x33\xfc\x62\x67\xce";

static struct span identity_by_kid(struct buf *out, const char *id, bool json)
{
    buf_init(out, 1024);
    assert_int_equal(json ? psk_identity_write_json(span_of_str(id), out)
                          : psk_identity_write_cbor(span_of_str(id), out),
                     ST_OK);
    return buf_span(out);
}

static void a_kid_finds_the_key_of_a_kept_token(void **state) /* MT-23, MT-27 */
{
    (void)state;
    for (int json = 0; json <= 1; json++) {
        struct fixture f = begin(2, KEY_SECRET);
        const char *id = json ? "key one" : kid;
        struct conn_io *c;
        CLEANUP(buf_done)
        struct buf identity;
        struct span psk = identity_by_kid(&identity, id, json);

        assert_null(client_known(f.b, IDENTITY_PSK, psk)); /* nothing is there yet */
        if (json)
            leave(&f, (struct token_wish){ .scope = ALL, .kid = id }, MQTT_SUCCESS);
        else
            leave(&f, (struct token_wish){ .scope = ALL, .kid = id, .cwt = true }, MQTT_SUCCESS);
        c = come(f.b, IDENTITY_PSK, psk, "device");
        assert_true(span_eq(c->identity.key, key_secret(f.key)));
        expect_may_publish(c, "a/b", true);
        end(&f);
    }
}

static void the_identity_may_be_the_token_itself(void **state) /* MT-28 */
{
    (void)state;
    for (int cwt = 0; cwt <= 1; cwt++) {
        struct fixture f = begin(3, KEY_SECRET);
        struct conn_io *c;

        token_make(f.b, &(struct token_wish){ .scope = ALL, .key = f.key, .life_s = 60, .cwt = cwt }, &f.token);
        c = come(f.b, IDENTITY_PSK, buf_span(&f.token), "device");
        expect_may_publish(c, "a/b", true);
        bench_advance(f.b, 61000);
        expect_thrown_out(c, MQTT_NOT_AUTHORIZED, "MT-100");
        assert_null(client_known(f.b, IDENTITY_PSK, buf_span(&f.token)));
        end(&f);
    }
}

static void identities_that_prove_nothing_get_no_key(void **state) /* MT-27, MT-28, MT-65, TK-65 */
{
    struct fixture f = begin(1, KEY_SECRET);
    CLEANUP(key_unrefp)
    struct key *public_key = NULL;
    CLEANUP(buf_done)
    struct buf token;
    struct token_wish wishes[] = {
        { .scope = ALL, .key = f.key, .aud = "another" },
        { .scope = ALL, .key = f.key, .life_s = -100 },
        { .scope = ALL }, /* a public key is no secret */
        { .scope = ALL, .wrong_issuer = true },
    };

    (void)state;
    buf_init(&token, 65535);
    assert_int_equal(key_generate(KEY_ED25519, &public_key), ST_OK);
    for (size_t i = 0; i < COUNT_OF(wishes); i++) {
        if (wishes[i].key == NULL)
            wishes[i].key = public_key;
        buf_reset(&token);
        token_make(f.b, &wishes[i], &token);
        assert_null(client_known(f.b, IDENTITY_PSK, buf_span(&token)));
    }
    assert_null(client_known(f.b, IDENTITY_PSK, SPAN("Client_identity")));
    assert_null(client_known(f.b, IDENTITY_PSK, SPAN("{\"cnf\":1}")));
    assert_null(client_known(f.b, IDENTITY_PSK, SPAN("")));
    assert_int_equal(log_count(f.b, "psk_refused"), 7);
    assert_true(log_has(f.b, "psk_refused", "peer=192.0.2.7:1883"));
    end(&f);
}

static void a_kid_of_two_keys_is_nobodys(void **state) /* TK-6 */
{
    struct fixture f = begin(1, KEY_SECRET);
    CLEANUP(key_unrefp)
    struct key *other = NULL;
    CLEANUP(buf_done)
    struct buf identity;

    (void)state;
    assert_int_equal(key_generate(KEY_SECRET, &other), ST_OK);
    leave(&f, (struct token_wish){ .scope = ALL, .kid = "k", .life_s = 100 }, MQTT_SUCCESS);
    leave(&f, (struct token_wish){ .scope = ALL, .kid = "k", .key = other }, MQTT_SUCCESS);
    assert_null(client_known(f.b, IDENTITY_PSK, identity_by_kid(&identity, "k", true)));
    bench_advance(f.b, 101000); /* when one of them is over, it is the other's */
    assert_non_null(client_known(f.b, IDENTITY_PSK, buf_span(&identity)));
    end(&f);
}

/* Between handshake and CONNECT another token came under the same kid: it is not this client's key. */
static void the_key_of_the_handshake_decides(void **state) /* MT-65, TK-6 */
{
    struct fixture f = begin(1, KEY_SECRET);
    CLEANUP(key_unrefp)
    struct key *other = NULL;
    CLEANUP(buf_done)
    struct buf identity;
    struct conn_io *c;

    (void)state;
    assert_int_equal(key_generate(KEY_SECRET, &other), ST_OK);
    leave(&f, (struct token_wish){ .scope = ALL, .kid = "k", .life_s = 5 }, MQTT_SUCCESS);
    c = client_known(f.b, IDENTITY_PSK, identity_by_kid(&identity, "k", true));
    assert_non_null(c);
    bench_advance(f.b, 5100);
    leave(&f, (struct token_wish){ .scope = ALL, .kid = "k", .key = other }, MQTT_SUCCESS);
    client_connect(c, &(struct connect_wish){ .id = "d", .no_method = true });
    expect_refused(c, MQTT_NOT_AUTHORIZED, "MT-65");
    end(&f);
}

static void a_token_that_ended_since_the_handshake_is_refused(void **state) /* MT-23, MT-100 */
{
    struct fixture f = begin(1, KEY_SECRET);
    struct conn_io *c;

    (void)state;
    token_make(f.b, &(struct token_wish){ .scope = ALL, .key = f.key, .life_s = 5 }, &f.token);
    c = client_known(f.b, IDENTITY_PSK, buf_span(&f.token));
    assert_non_null(c);
    bench_advance(f.b, 6000);
    client_connect(c, &(struct connect_wish){ .id = "d", .no_method = true });
    (void)expect_connack(c, MQTT_NOT_AUTHORIZED);
    end(&f);
}

/* ---- keys named by kid ---- */

static void a_token_may_name_a_kept_key_by_kid(void **state) /* TK-6, TK-7, MT-33 */
{
    struct fixture f = begin(1, KEY_SECRET);
    CLEANUP(buf_done)
    struct buf identity;
    struct conn_io *c;

    (void)state;
    leave(&f, (struct token_wish){ .scope = ONLY, .kid_only = true, .kid = "k" }, MQTT_NOT_AUTHORIZED);
    assert_true(log_has(f.b, "authz_info_refused", "TK-6"));
    leave(&f, (struct token_wish){ .scope = ONLY, .kid = "k" }, MQTT_SUCCESS);
    leave(&f, (struct token_wish){ .scope = ALL, .kid_only = true, .kid = "k" }, MQTT_SUCCESS); /* new rights */
    c = come(f.b, IDENTITY_PSK, identity_by_kid(&identity, "k", true), "device");
    expect_may_publish(c, "a/c", true);
    leave(&f, (struct token_wish){ .scope = ONLY, .kid_only = true, .kid = "k", .second_issuer = true },
          MQTT_NOT_AUTHORIZED); /* another issuer's kid is another's */
    end(&f);
}

static void a_connect_token_may_name_it_too(void **state) /* TK-6, MT-67 */
{
    struct fixture f = begin(1, KEY_ED25519);
    CLEANUP(key_unrefp)
    struct key *wrong = NULL;
    struct conn_io *c;

    (void)state;
    assert_int_equal(key_generate(KEY_ED25519, &wrong), ST_OK);
    leave(&f, (struct token_wish){ .scope = ONLY, .kid = "k" }, MQTT_SUCCESS);
    for (int good = 0; good <= 1; good++) {
        struct buf pop, data;

        buf_reset(&f.token);
        token_make(f.b, &(struct token_wish){ .scope = ALL, .key = f.key, .kid_only = true, .kid = "k" },
                   &f.token);
        c = client_new(f.b);
        buf_init(&pop, ACE_POP_MAX);
        buf_init(&data, 65535);
        assert_int_equal(
            pop_make_exporter(good ? f.key : wrong, span_of(c->exporter_value, ACE_EXPORTER_LEN), &pop), ST_OK);
        assert_int_equal(auth_data_write_connect(buf_span(&f.token), buf_span(&pop), &data), ST_OK);
        client_connect(c, &(struct connect_wish){ .id = "d", .data = buf_span(&data), .has_data = true });
        (void)expect_connack(c, good ? MQTT_SUCCESS : MQTT_NOT_AUTHORIZED);
        buf_done(&pop);
        buf_done(&data);
    }
    expect_may_publish(c, "a/c", true);
    end(&f);
}

/* ---- certificates ---- */

struct certificate {
    struct x509_pair ca, client;
    struct buf der;
    uint8_t thumbprint[SHA256_LEN];
};

/* DER out of the PEM of our own maker. */
static void to_der(struct span pem, struct buf *out)
{
    size_t from = span_find(pem, '\n', 0) + 1;
    struct buf text;

    buf_init(&text, X509_PEM_MAX);
    for (size_t i = from; i < pem.len && pem.p[i] != '-'; i++)
        if (pem.p[i] != '\n' && pem.p[i] != '=')
            put_u8(&text, pem.p[i] == '+' ? '-' : pem.p[i] == '/' ? '_' : pem.p[i]);
    assert_int_equal(base64url_decode(buf_span(&text), out, NULL), ST_OK);
    buf_done(&text);
}

static struct certificate certificate_new(struct bench *b)
{
    struct certificate c = { 0 };

    assert_int_equal(x509_make_ca(SPAN("ca"), 10, b->now.wall, &c.ca, NULL), ST_OK);
    assert_int_equal(x509_issue_client(buf_span(&c.ca.cert_pem), buf_span(&c.ca.key_pem), SPAN("device"), 10,
                                       b->now.wall, &c.client, NULL),
                     ST_OK);
    buf_init(&c.der, 4096);
    to_der(buf_span(&c.client.cert_pem), &c.der);
    assert_int_equal(x509_thumbprint(buf_span(&c.der), c.thumbprint, NULL), ST_OK);
    return c;
}

static void certificate_done(struct certificate *c)
{
    x509_pair_done(&c->ca);
    x509_pair_done(&c->client);
    buf_done(&c->der);
}

static struct conn_io *connect_with(struct fixture *f, struct span der, struct span pop)
{
    struct conn_io *c = client_known(f->b, der.p == NULL ? IDENTITY_NONE : IDENTITY_X509, der);
    struct buf data;

    buf_init(&data, 65535);
    assert_int_equal(auth_data_write_connect(buf_span(&f->token), pop, &data), ST_OK);
    client_connect(c, &(struct connect_wish){ .id = "d", .data = buf_span(&data), .has_data = true });
    buf_done(&data);
    return c;
}

static void a_token_bound_to_a_certificate_needs_that_certificate(void **state) /* MT-26, MT-67 */
{
    struct fixture f = begin(1, KEY_ED25519);
    struct certificate mine = certificate_new(f.b), other = certificate_new(f.b);
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct conn_io *c;

    (void)state;
    token_make(f.b,
               &(struct token_wish){ .scope = ALL, .key = f.key, .x5t = span_of(mine.thumbprint, SHA256_LEN) },
               &f.token);
    (void)expect_connack(connect_with(&f, buf_span(&other.der), SPAN_NONE), MQTT_NOT_AUTHORIZED);
    (void)expect_connack(connect_with(&f, SPAN_NONE, SPAN_NONE), MQTT_NOT_AUTHORIZED);
    (void)expect_connack(connect_with(&f, buf_span(&mine.der), SPAN("no proof at all")), MQTT_NOT_AUTHORIZED);
    c = connect_with(&f, buf_span(&mine.der), SPAN_NONE);
    (void)expect_connack(c, MQTT_SUCCESS);
    expect_may_publish(c, "a/c", true);

    /* Re-authentication asks for a proof of its own, with the certificate's key (MT-103). */
    {
        struct buf data, pop;
        struct mqtt_auth auth;

        buf_init(&data, 65535);
        buf_init(&pop, ACE_POP_MAX);
        assert_int_equal(key_read_pem(buf_span(&mine.client.key_pem), &key, NULL), ST_OK);
        assert_int_equal(auth_data_write_connect(buf_span(&f.token), SPAN_NONE, &data), ST_OK);
        client_auth(c, MQTT_REAUTHENTICATE, ACE_METHOD, buf_span(&data));
        auth = expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
        assert_int_equal(pop_make_nonces(key, auth.properties.auth_data, SPAN("12345678"), &pop), ST_OK);
        buf_reset(&data);
        assert_int_equal(auth_data_write_answer(SPAN("12345678"), buf_span(&pop), false, &data), ST_OK);
        client_auth(c, MQTT_CONTINUE_AUTHENTICATION, ACE_METHOD, buf_span(&data));
        (void)expect_auth(c, MQTT_SUCCESS);
        buf_done(&data);
        buf_done(&pop);
    }
    certificate_done(&mine);
    certificate_done(&other);
    end(&f);
}

static void a_certificate_has_the_token_left_for_it(void **state) /* MT-25, MT-33 */
{
    struct fixture f = begin(1, KEY_ED25519);
    struct certificate mine = certificate_new(f.b), other = certificate_new(f.b);
    struct conn_io *c;

    (void)state;
    leave(&f, (struct token_wish){ .scope = ALL, .x5t = span_of(mine.thumbprint, SHA256_LEN) }, MQTT_SUCCESS);
    c = come(f.b, IDENTITY_X509, buf_span(&mine.der), "device");
    expect_may_publish(c, "a/b", true);
    c = come(f.b, IDENTITY_X509, buf_span(&other.der), "other");
    expect_may_publish(c, "a/b", false);
    certificate_done(&mine);
    certificate_done(&other);
    end(&f);
}

/* ---- the token of the last connection ---- */

static void answer_with(struct conn_io *c, const struct key *key, uint8_t reason)
{
    struct mqtt_auth auth = expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
    struct buf pop, data;

    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 1024);
    assert_int_equal(pop_make_nonces(key, auth.properties.auth_data, SPAN("12345678"), &pop), ST_OK);
    assert_int_equal(auth_data_write_answer(SPAN("12345678"), buf_span(&pop), false, &data), ST_OK);
    client_auth(c, MQTT_CONTINUE_AUTHENTICATION, ACE_METHOD, buf_span(&data));
    (void)expect_connack(c, reason);
    buf_done(&pop);
    buf_done(&data);
}

static void a_stored_token_is_proved_again_by_challenge(void **state) /* MT-60, D-11 */
{
    struct fixture f = begin(2, KEY_ED25519);
    struct connect_wish first = { .id = "device", .scope = ALL, .key = f.key, .expiry_s = 600 };
    struct connect_wish again = { .id = "device", .resume = true, .no_data = true, .expiry_s = 600 };
    CLEANUP(key_unrefp)
    struct key *thief = NULL;
    struct conn_io *c;

    (void)state;
    assert_int_equal(key_generate(KEY_ED25519, &thief), ST_OK);
    c = client_connected_with(f.b, &first);
    client_subscribe(c, "a/#", 1, 1);
    client_drop(c);
    c = client_new(f.b);
    client_connect(c, &again); /* off by default */
    expect_refused(c, MQTT_NOT_AUTHORIZED, "MT-92");
    f.b->settings.stored_tokens = true;
    c = client_new(f.b);
    client_connect(c, &again); /* the identifier is anybody's to claim: the proof decides */
    answer_with(c, thief, MQTT_NOT_AUTHORIZED);
    c = client_new(f.b);
    client_connect(c, &again);
    answer_with(c, f.key, MQTT_SUCCESS);
    client_publish(c, "a/b", "x", 0, 0);
    (void)expect_publish(c, "a/b", "x", 0); /* the session went on */
    c = client_new(f.b);
    again.id = "unheard-of";
    client_connect(c, &again);
    expect_refused(c, MQTT_NOT_AUTHORIZED, "MT-60");
    bench_advance(f.b, 3600 * 1000);
    c = client_new(f.b);
    again.id = "device";
    client_connect(c, &again); /* the stored one has ended */
    expect_refused(c, MQTT_NOT_AUTHORIZED, "MT-60");
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_raw_key_has_the_token_left_for_it),
        cmocka_unit_test(version_3_is_known_by_tls_as_well),
        cmocka_unit_test(a_raw_key_without_a_token_is_a_stranger),
        cmocka_unit_test(the_token_of_a_known_client_expires_like_any_other),
        cmocka_unit_test(auth_is_a_protocol_error_without_a_method),
        cmocka_unit_test(a_known_client_renews_by_leaving_a_new_token),
        cmocka_unit_test(a_token_left_by_a_stranger_changes_no_live_connection),
        cmocka_unit_test(a_token_in_connect_wins_over_the_known_key),
        cmocka_unit_test(a_revoked_token_is_gone_for_known_clients_too),
        cmocka_unit_test(a_kid_finds_the_key_of_a_kept_token),
        cmocka_unit_test(the_identity_may_be_the_token_itself),
        cmocka_unit_test(identities_that_prove_nothing_get_no_key),
        cmocka_unit_test(a_kid_of_two_keys_is_nobodys),
        cmocka_unit_test(the_key_of_the_handshake_decides),
        cmocka_unit_test(a_token_that_ended_since_the_handshake_is_refused),
        cmocka_unit_test(a_token_may_name_a_kept_key_by_kid),
        cmocka_unit_test(a_connect_token_may_name_it_too),
        cmocka_unit_test(a_token_bound_to_a_certificate_needs_that_certificate),
        cmocka_unit_test(a_certificate_has_the_token_left_for_it),
        cmocka_unit_test(a_stored_token_is_proved_again_by_challenge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
