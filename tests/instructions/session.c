/* Clients that come, prove their tokens, renew them and are cut off. Signatures are not among what is counted (run says
 * why), only how often one is asked for. */
#include "lean.h"
#include "scenario.h"

#include "token/token.h"

#include <stdio.h>
#include <stdlib.h>

#define SCOPE "[[\"bench/#\",[\"pub\",\"sub\"]],[\"other/+/state\",[\"sub\"]]]"

/* ---- CONNECT ---- */

struct visits {
    struct lean *l;
    struct buf *connect; /* one for each call */
    struct lean_client client;
};

static struct visits *visits_of(unsigned calls, bool same_token)
{
    struct visits *v = calloc(1, sizeof *v);
    CLEANUP(buf_done)
    struct buf token;

    buf_init(&token, 65535);
    lean_must(v != NULL, "memory");
    v->l = lean_new(1, false);
    lean_begin(v->l);
    v->client = (struct lean_client){ .id = "visitor", .scope = SCOPE, .key = v->l->client_key };
    v->connect = calloc(calls, sizeof *v->connect);
    lean_must(v->connect != NULL, "memory");
    for (unsigned i = 0; i < calls; i++) {
        if (i == 0 || !same_token) {
            buf_reset(&token);
            lean_token(v->l, &v->client, i, &token);
        }
        buf_init(&v->connect[i], 65535);
        lean_connect_packet(v->l, &v->client, buf_span(&token), &v->connect[i]);
    }
    return v;
}

static void *token_never_seen(unsigned calls)
{
    return visits_of(calls, false);
}

static void *token_seen_before(unsigned calls)
{
    return visits_of(calls, true);
}

static void visit(void *state, unsigned i)
{
    static const uint8_t disconnect[] = { 0xe0, 0 };
    struct visits *v = state;
    struct lean_conn *c = lean_conn_new(v->l);

    lean_input(c, buf_span(&v->connect[i]));
    lean_turn(v->l);
    lean_must(!c->closed && c->last.p[0] == 0x20 && c->last.p[3] == 0, "CONNACK 0x00");
    lean_input(c, span_of(disconnect, sizeof disconnect));
    lean_turn(v->l);
    lean_must(c->closed, "the end");
    lean_conn_free(c);
}

/* ---- re-authentication ---- */

struct renewals {
    struct lean *l;
    struct lean_conn *c;
    struct buf *again, answer; /* again: one for each call */
};

static void write_auth(struct buf *out, uint8_t reason, struct span data)
{
    struct mqtt_auth auth = { .reason = reason };

    auth.properties.auth_method = SPAN(ACE_METHOD);
    mqtt_set(&auth.properties, PROP_AUTH_METHOD);
    auth.properties.auth_data = data;
    mqtt_set(&auth.properties, PROP_AUTH_DATA);
    mqtt_write_auth(out, &auth);
    lean_must(buf_ok(out), "AUTH");
}

static void write_answer(struct renewals *r)
{
    uint8_t challenge[ACE_NONCE_LEN];
    struct span nonce = SPAN("\x11\x12\x13\x14\x15\x16\x17\x18");
    CLEANUP(buf_done)
    struct buf pop, data;

    memset(challenge, 0x5a, sizeof challenge);
    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 1024);
    lean_must(pop_make_nonces(r->l->client_key, span_of(challenge, sizeof challenge), nonce, &pop) == ST_OK &&
                  auth_data_write_answer(nonce, buf_span(&pop), false, &data) == ST_OK,
              "the answer to a challenge");
    buf_init(&r->answer, 4096);
    write_auth(&r->answer, MQTT_CONTINUE_AUTHENTICATION, buf_span(&data));
    buf_done(&pop);
}

static void *renewals(unsigned calls)
{
    struct renewals *r = calloc(1, sizeof *r);
    struct lean_client client = { .id = "renewer", .scope = SCOPE };
    CLEANUP(buf_done)
    struct buf token;
    CLEANUP(buf_done)
    struct buf data;

    buf_init(&token, 65535);
    buf_init(&data, 65535);
    lean_must(r != NULL, "memory");
    r->l = lean_new(1, false);
    r->l->constant_random = true;
    lean_begin(r->l);
    client.key = r->l->client_key;
    r->c = lean_client(r->l, &client);
    lean_subscribe(r->c, "bench/1/#", 0);
    lean_subscribe(r->c, "other/+/state", 0);
    r->again = calloc(calls, sizeof *r->again);
    lean_must(r->again != NULL, "memory");
    for (unsigned i = 0; i < calls; i++) {
        buf_reset(&token);
        buf_reset(&data);
        lean_token(r->l, &client, i + 1, &token);
        lean_must(auth_data_write_connect(buf_span(&token), SPAN_NONE, &data) == ST_OK, "Authentication Data");
        buf_init(&r->again[i], 65535);
        write_auth(&r->again[i], MQTT_REAUTHENTICATE, buf_span(&data));
    }
    write_answer(r);
    return r;
}

static void renew(void *state, unsigned i)
{
    struct renewals *r = state;

    lean_input(r->c, buf_span(&r->again[i]));
    lean_turn(r->l);
    lean_must(r->c->last.p[0] == 0xf0 && r->c->last.p[2] == MQTT_CONTINUE_AUTHENTICATION, "a challenge");
    lean_input(r->c, buf_span(&r->answer));
    lean_turn(r->l);
    lean_must(r->c->last.p[0] == 0xf0 && (r->c->last.p[1] == 0 || r->c->last.p[2] == MQTT_SUCCESS),
              "AUTH 0x00");
}

/* ---- the end of tokens ---- */

#define CROWD 1000 /* sessions whose tokens end together */

struct crowds {
    struct lean *l;
    struct lean_conn **members; /* CROWD for each call */
    uint8_t (*hashes)[TOKEN_HASH_LEN];
};

static void join(struct crowds *k, unsigned n, const struct lean_client *client, struct span token)
{
    CLEANUP(buf_done)
    struct buf packet;

    buf_init(&packet, 65535);
    lean_connect_packet(k->l, client, token, &packet);
    k->members[n] = lean_conn_new(k->l);
    lean_input(k->members[n], buf_span(&packet));
    lean_turn(k->l);
    lean_must(!k->members[n]->closed, "connected");
}

/* Each crowd shares a token, which ends a minute after that of the crowd before. */
static void *crowds(unsigned calls)
{
    struct crowds *k = calloc(1, sizeof *k);
    CLEANUP(buf_done)
    struct buf text;
    char id[32];

    lean_must(k != NULL, "memory");
    k->l = lean_new(1, false);
    lean_begin(k->l);
    k->members = calloc((size_t)calls * CROWD + 1, sizeof(struct lean_conn *));
    k->hashes = calloc(calls, sizeof *k->hashes);
    lean_must(k->members != NULL && k->hashes != NULL, "memory");
    buf_init(&text, 65535);
    for (unsigned i = 0; i < calls; i++) {
        struct lean_client client = { .id = id, .scope = SCOPE, .life_s = 60 * (i + 1) };
        struct token *token;

        buf_reset(&text);
        lean_token(k->l, &client, 0, &text);
        lean_must(token_verify(buf_span(&text), k->l->verifier, k->l->now.wall, &token, NULL) == ST_OK,
                  "a token");
        memcpy(k->hashes[i], token->hash, TOKEN_HASH_LEN);
        token_unref(token);
        for (unsigned n = i * CROWD; n < (i + 1) * CROWD; n++) {
            snprintf(id, sizeof id, "one-of-many-%u", n);
            join(k, n, &client, buf_span(&text));
        }
    }
    return k;
}

static void crowd_is_gone(const struct crowds *k, unsigned i)
{
    const struct lean_conn *next = k->members[(i + 1) * CROWD];

    for (unsigned n = 0; n < CROWD; n++)
        lean_must(k->members[i * CROWD + n]->closed, "cut off with its token");
    lean_must(next == NULL || !next->closed, "the others stay");
}

static void expire(void *state, unsigned i)
{
    struct crowds *k = state;

    lean_pass(k->l, i == 0 ? 59000 : 58000);
    lean_pass(k->l, 1000);
    lean_pass(k->l, 1000); /* timers fire on ticks */
    crowd_is_gone(k, i);
}

static void revoke(void *state, unsigned i)
{
    struct crowds *k = state;
    struct why why = { .clause = "MT-101", .text = "revoked" };

    shard_token_status(k->l->shard[0], k->hashes[i], NULL, why, k->l->now);
    lean_turn(k->l);
    crowd_is_gone(k, i);
}

const struct scenario session_scenarios[] = {
    { "connect_new_token", "CONNECT with a token never seen, and DISCONNECT", 20, 1, token_never_seen, visit },
    { "connect_seen_token", "CONNECT with a token seen before, and DISCONNECT", 20, 1, token_seen_before,
      visit },
    { "renew", "re-authentication with a new token", 20, 1, renewals, renew },
    { "expire", "session cut off when its token ends, 1,000 at once", CROWD, CROWD, crowds, expire },
    { "revoke", "session cut off with a revoked token, which 1,000 hold", CROWD, CROWD, crowds, revoke },
    { 0 },
};
