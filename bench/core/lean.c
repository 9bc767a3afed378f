#include "lean.h"

#include "base/log.h"
#include "jose/jwks.h"
#include "shard/token_store.h"
#include "token/claims.h"

#include <stdio.h>
#include <stdlib.h>

#define ISSUER   "https://as.example"
#define AUDIENCE "broker-1"
#define DAY_S    86400

void lean_must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "not as it should be: %s\n", what);
    exit(1);
}

static void must(enum status st, const char *what)
{
    if (st == ST_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, status_name(st));
    exit(1);
}

/* ---- the world ---- */

static uint8_t *world_append(void *ctx, struct conn_io *io, size_t len)
{
    struct lean *l = ctx;
    struct lean_conn *c = (struct lean_conn *)io;

    lean_must(len <= LEAN_OUT, "a packet that is not longer than that");
    if (l->out_at + len > LEAN_OUT_USED)
        l->out_at = 0;
    c->last = span_of(l->out + l->out_at, len);
    l->out_at += len;
    l->packets++;
    l->bytes += len;
    return (uint8_t *)c->last.p;
}

static size_t world_pending(void *ctx UNUSED, struct conn_io *io UNUSED)
{
    return 0;
}

static void world_close(void *ctx UNUSED, struct conn_io *io)
{
    struct lean_conn *c = (struct lean_conn *)io;

    c->closed = true;
    c->conn = NULL;
}

static void world_move(void *ctx UNUSED, struct conn_io *io, unsigned home)
{
    struct lean_conn *c = (struct lean_conn *)io;

    c->conn = NULL;
    c->at = home;
}

static enum exporter_result world_exporter(void *ctx UNUSED, struct conn_io *io UNUSED, uint8_t out[32])
{
    if (out != NULL)
        memset(out, 0x42, ACE_EXPORTER_LEN);
    return EXPORTER_OK;
}

static void world_pause(void *ctx UNUSED, struct conn_io *io, bool pause)
{
    ((struct lean_conn *)io)->paused = pause;
}

static void world_post(void *ctx, unsigned to, struct shard_msg *msg)
{
    struct lean *l = ctx;
    struct shard_msg ***end = msg->class == SHARD_DATA ? &l->inbox_end[to] : &l->acks_end[to];

    msg->next = NULL;
    **end = msg;
    *end = &msg->next;
}

static enum status world_random(void *ctx, void *out, size_t len)
{
    struct lean *l = ctx;
    uint8_t *p = out;

    for (size_t i = 0; i < len; i++) {
        l->seed = l->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        p[i] = l->constant_random ? 0x5a : (uint8_t)(l->seed >> 56);
    }
    return ST_OK;
}

static void world_store(void *ctx, uint64_t seq, struct kv_batch *batch)
{
    struct lean *l = ctx;
    struct kv_batch mine = kv_batch_take(batch);

    l->sealed[l->sealing] = seq;
    kv_batch_done(&mine);
}

static void quiet(void *ctx UNUSED, enum log_level level UNUSED, struct span line UNUSED)
{
}

/* ---- keys that are always the same ---- */

static struct key *ed25519_of(uint8_t byte)
{
    uint8_t seed[KEY_PART_LEN];
    struct key *key;

    memset(seed, byte, sizeof seed);
    must(key_new_ed25519_private(span_of(seed, sizeof seed), &key, NULL), "key");
    return key;
}

static struct key *secret_of(uint8_t byte)
{
    uint8_t secret[KEY_SECRET_NEW_LEN];
    struct key *key;

    memset(secret, byte, sizeof secret);
    must(key_new_secret(span_of(secret, sizeof secret), &key, NULL), "secret");
    return key;
}

static void make_verifier(struct lean *l)
{
    struct jwk jwk = { .kid = SPAN("as-1"), .ops = UINT32_MAX };
    struct verifier_issuer issuer = { .iss = SPAN(ISSUER) };
    struct span audience = SPAN(AUDIENCE);
    struct verifier_shared_key shared = { .iss = SPAN(ISSUER), .kid = SPAN("rs-1"), .key = l->shared };
    struct verifier_config config = { .issuers = &issuer,
                                      .n_issuers = 1,
                                      .audiences = &audience,
                                      .n_audiences = 1,
                                      .shared_keys = &shared,
                                      .n_shared_keys = 1 };

    must(key_public(l->as_key, &jwk.key), "public key");
    must(jwks_make(&jwk, 1, &issuer.jwks), "key set");
    must(verifier_new(&config, &l->verifier, NULL), "verifier");
    jwks_unref(issuer.jwks);
    key_unref(jwk.key);
}

/* ---- beginning and end ---- */

static void set_limits(struct shard_settings *s)
{
    shard_settings_init(s);
    s->home_key = (struct hash_key){ { 11, 13 } };
    s->max_connections = s->max_sessions = 4000000;
    s->max_all_subscriptions = 16000000;
    s->max_all_subscription_bytes = UINT64_C(1) << 34;
    s->max_subscriptions = 1000000;
    s->max_subscription_bytes = (size_t)1 << 30;
    s->max_retained_messages = 16000000;
    s->max_retained_bytes = (size_t)1 << 34;
    s->max_queue_messages = 1000000;
    s->max_queue_bytes = (size_t)1 << 30;
    s->sys_interval_s = 0;
    s->max_topic_levels = 200;
}

struct lean *lean_new(unsigned shards, bool on_disk)
{
    static const uint8_t secret[TOKEN_STORE_SECRET_LEN] = { 1 };
    struct lean *l = calloc(1, sizeof *l);
    struct token_store_limits limits;

    lean_must(l != NULL && shards <= LEAN_SHARDS_MAX, "a new lean");
    l->count = shards;
    l->on_disk = on_disk;
    l->now = (struct now){ { 5000000 }, { LEAN_WALL } };
    l->out = malloc(LEAN_OUT);
    lean_must(l->out != NULL, "room for what is sent");
    log_set_sink(quiet, NULL);
    log_set_level(LOG_INFO);
    set_limits(&l->settings);
    l->settings.durability = on_disk ? DURABILITY_COMMIT : DURABILITY_NONE;
    l->as_key = ed25519_of(1);
    l->client_key = ed25519_of(2);
    l->shared = secret_of(3);
    l->secret = secret_of(4);
    make_verifier(l);
    token_store_limits_init(&limits);
    must(token_store_new(&limits, secret, &l->tokens), "token store");
    l->settings.tokens = l->tokens;
    return l;
}

void lean_public(struct lean *l, const char *scope)
{
    must(scope_from_text(span_of_str(scope), &l->public_scope, NULL), "public scope");
    l->settings.public_scope = l->public_scope;
}

void lean_begin(struct lean *l)
{
    struct shard_world world = { .ctx = l,
                                 .conn_append = world_append,
                                 .conn_pending = world_pending,
                                 .conn_close = world_close,
                                 .conn_move = world_move,
                                 .conn_exporter = world_exporter,
                                 .conn_pause = world_pause,
                                 .post = world_post,
                                 .random = world_random,
                                 .store = l->on_disk ? world_store : NULL };

    for (unsigned i = 0; i < l->count; i++) {
        l->inbox_end[i] = &l->inbox[i];
        l->acks_end[i] = &l->acks[i];
        must(shard_new(i, l->count, &l->settings, &world, l->verifier, NULL, l->now, &l->shard[i]), "shard");
    }
}

void lean_free(struct lean *l)
{
    for (unsigned i = 0; i < l->count; i++)
        shard_free(l->shard[i]);
    token_store_free(l->tokens);
    scope_unref(l->public_scope);
    verifier_unref(l->verifier);
    key_unref(l->as_key);
    key_unref(l->client_key);
    key_unref(l->shared);
    key_unref(l->secret);
    free(l->out);
    free(l);
}

/* ---- tokens and CONNECT ---- */

static const struct key *key_of(const struct lean *l, const struct lean_client *client)
{
    return client->key != NULL ? client->key : l->secret;
}

void lean_token(struct lean *l, const struct lean_client *client, uint64_t serial, struct buf *out)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    const struct key *key = key_of(l, client);
    char jti[24];
    struct token_claims claims = { .iss = SPAN(ISSUER),
                                   .sub = SPAN("subject"),
                                   .aud = SPAN(AUDIENCE),
                                   .has_exp = true,
                                   .exp = { l->now.wall.s + (client->life_s == 0 ? DAY_S : client->life_s) },
                                   .cnf = key };

    snprintf(jti, sizeof jti, "%020llu", (unsigned long long)serial);
    claims.jti = span_of_str(jti);
    must(scope_from_text(span_of_str(client->scope), &scope, NULL), client->scope);
    claims.scope = scope;
    if (key_kind(key) == KEY_SECRET)
        must(token_issue_jwe(&claims, NULL, SPAN_NONE, l->shared, SPAN("rs-1"), out, NULL), "token");
    else
        must(token_issue_jws(&claims, l->as_key, SPAN("as-1"), out, NULL), "token");
}

void lean_connect_packet(struct lean *l, const struct lean_client *client, struct span token, struct buf *out)
{
    struct mqtt_connect connect = { .version = MQTT_5,
                                    .clean_start = true,
                                    .client_id = span_of_str(client->id) };
    uint8_t exporter[ACE_EXPORTER_LEN];
    CLEANUP(buf_done)
    struct buf pop, data;

    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 65535);
    if (client->expiry_s > 0) {
        connect.properties.session_expiry_s = client->expiry_s;
        mqtt_set(&connect.properties, PROP_SESSION_EXPIRY);
    }
    if (!client->guest) {
        (void)world_exporter(NULL, NULL, exporter);
        must(pop_make_exporter(key_of(l, client), span_of(exporter, sizeof exporter), &pop), "proof");
        must(auth_data_write_connect(token, buf_span(&pop), &data), "Authentication Data");
        connect.properties.auth_method = SPAN(ACE_METHOD);
        mqtt_set(&connect.properties, PROP_AUTH_METHOD);
        connect.properties.auth_data = buf_span(&data);
        mqtt_set(&connect.properties, PROP_AUTH_DATA);
    }
    mqtt_write_connect(out, &connect);
    lean_must(buf_ok(out), "CONNECT");
    buf_done(&pop);
}

/* ---- clients ---- */

struct lean_conn *lean_conn_new(struct lean *l)
{
    struct lean_conn *c = calloc(1, sizeof *c);

    lean_must(c != NULL, "memory");
    c->lean = l;
    return c;
}

void lean_conn_free(struct lean_conn *c)
{
    free(c);
}

void lean_input(struct lean_conn *c, struct span bytes)
{
    struct lean *l = c->lean;

    lean_must(!c->closed && !c->paused, "the connection is open, and read from");
    for (unsigned before = c->at;; before = c->at) {
        if (c->conn == NULL)
            c->conn = shard_accept(l->shard[c->at], (struct conn_io *)c, SPAN("192.0.2.1:1000"), false, l->now);
        lean_must(c->conn != NULL, "accepted");
        size_t used = shard_input(l->shard[c->at], c->conn, bytes, l->now);
        if (c->at == before) {
            lean_must(used == bytes.len || c->closed, "everything is read");
            return;
        }
    }
}

void lean_drop(struct lean_conn *c)
{
    if (c->conn != NULL)
        shard_closed(c->lean->shard[c->at], c->conn, "reset", c->lean->now);
    c->conn = NULL;
    c->closed = true;
}

struct lean_conn *lean_client(struct lean *l, const struct lean_client *client)
{
    struct lean_conn *c = lean_conn_new(l);
    CLEANUP(buf_done)
    struct buf token;
    CLEANUP(buf_done)
    struct buf packet;

    buf_init(&token, 65535);
    buf_init(&packet, 1 << 17);
    if (!client->guest)
        lean_token(l, client, 0, &token);
    lean_connect_packet(l, client, buf_span(&token), &packet);
    lean_input(c, buf_span(&packet));
    lean_turn(l);
    lean_must(!c->closed && c->last.len > 4 && c->last.p[0] == 0x20 && c->last.p[3] == 0, "CONNACK 0x00");
    return c;
}

/* ---- turns ---- */

static bool take_messages(struct lean *l, unsigned i, struct shard_msg **list, struct shard_msg ***end)
{
    struct shard_msg *msg = *list;

    if (msg == NULL)
        return false;
    *list = NULL;
    *end = list;
    shard_messages(l->shard[i], msg, l->now);
    return true;
}

static bool store(struct lean *l, unsigned i)
{
    l->sealing = i;
    shard_seal(l->shard[i], l->now);
    if (l->sealed[i] == 0)
        return false;
    uint64_t seq = l->sealed[i];
    l->sealed[i] = 0;
    shard_stored(l->shard[i], seq, l->now);
    return true;
}

void lean_turn(struct lean *l)
{
    bool busy = true;

    while (busy) {
        busy = false;
        for (unsigned i = 0; i < l->count; i++) {
            shard_advance(l->shard[i], l->now);
            if (take_messages(l, i, &l->inbox[i], &l->inbox_end[i]))
                busy = true;
            if (take_messages(l, i, &l->acks[i], &l->acks_end[i]))
                busy = true;
            if (l->on_disk && store(l, i))
                busy = true;
            if (shard_wait_ms(l->shard[i], l->now) == 0)
                busy = true;
        }
    }
}

void lean_pass(struct lean *l, int64_t ms)
{
    l->now.mono.ms += ms;
    l->now.wall.s += ms / 1000;
    lean_turn(l);
}

/* ---- packets ---- */

void lean_subscribe(struct lean_conn *c, const char *filter, uint8_t qos)
{
    struct mqtt_subscription want = { .filter = { span_of_str(filter) }, .qos = qos };
    CLEANUP(buf_done)
    struct buf packet;

    buf_init(&packet, 1 << 17);
    mqtt_write_subscribe(&packet, MQTT_5, 1, NULL, &want, 1);
    lean_must(buf_ok(&packet), "SUBSCRIBE");
    lean_input(c, buf_span(&packet));
    lean_turn(c->lean);
    if (c->last.p[0] == 0x90) /* or a retained message came behind it */
        lean_must(c->last.p[c->last.len - 1] <= 2, "SUBACK");
}

void lean_publish_packet(struct buf *out, const char *topic, uint8_t qos, uint16_t packet_id, bool retain,
                         size_t payload)
{
    uint8_t *bytes = malloc(payload + 1);
    struct mqtt_publish_out p = { .qos = qos,
                                  .retain = retain,
                                  .packet_id = packet_id,
                                  .topic = span_of_str(topic),
                                  .payload = span_of(bytes, payload) };

    lean_must(bytes != NULL, "memory");
    memset(bytes, 'p', payload + 1);
    mqtt_write_publish(out, MQTT_5, &p);
    lean_must(buf_ok(out), "PUBLISH");
    free(bytes);
}
