/* The end of tokens in live sessions. `expiry`: many sessions whose tokens end at random seconds of one minute; every
 * other client renews before its end (AUTH 0x19), the rest must be cut, each at its own second. `revoke`: sessions
 * whose tokens are revoked at the authorization server, one after the other; the time from the command to the
 * DISCONNECT at the client. */
#include "base/clock.h"
#include "crypto/random.h"
#include "mint.h"
#include "revocation.h"
#include "token_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TURN_NS     (SECOND_NS / 100)
#define RENEWED_S   600 /* how long a renewed token lives */
#define RENEW_EARLY 10  /* a client renews so many seconds before the end, at most */
#define ON_TIME_NS  SECOND_NS
#define GRACE_NS    (5 * SECOND_NS)

/* ---- expiry ---- */

struct mortal {
    struct peer peer;
    struct expiry *expiry;
    int64_t ends_s;  /* of its first token */
    int64_t renew_s; /* 0: does not renew */
    struct identity renewal;
    bool asked, renewed, cut;
};

struct expiry {
    struct bench *bench;
    struct mint mint;
    struct mortal *mortals;
    int64_t wall_minus_mono_ns;
    uint64_t cut, renewed, early, late, unexplained;
    struct histogram offset; /* of the cut from its second */
};

static int64_t wall_ns(const struct expiry *x)
{
    return link_now() + x->wall_minus_mono_ns;
}

static void mortal_gone(struct peer *peer, const char *reason)
{
    struct mortal *m = CONTAINER_OF(peer, struct mortal, peer);

    if (reason != NULL && !m->cut) {
        m->expiry->unexplained++;
        m->cut = true;
    }
}

static void mortal_cut(struct peer *peer, uint8_t code, struct span text UNUSED)
{
    struct mortal *m = CONTAINER_OF(peer, struct mortal, peer);
    struct expiry *x = m->expiry;
    int64_t off_ns = wall_ns(x) - m->ends_s * SECOND_NS;

    m->cut = true;
    x->cut++;
    x->early += off_ns < 0;
    x->late += off_ns > ON_TIME_NS || m->renew_s != 0;
    x->unexplained += code != MQTT_NOT_AUTHORIZED;
    histogram_add(&x->offset, off_ns < 0 ? 0 : off_ns);
}

/* With a new token for the same key. */
static void ask_renewal(struct mortal *m)
{
    const struct login *login = &m->expiry->bench->login;
    struct key *key = login->identities[m->peer.number].key;

    m->asked = true;
    m->renewal =
        (struct identity){ mint_token(&m->expiry->mint, key, m->peer.number, m->ends_s + RENEWED_S), key };
    peer_renew(&m->peer, &m->renewal);
}

static void mortal_renewed(struct peer *peer, int64_t took_ns UNUSED)
{
    struct mortal *m = CONTAINER_OF(peer, struct mortal, peer);

    free((void *)(uintptr_t)m->renewal.token.p);
    m->renewed = true;
    m->expiry->renewed++;
}

/* A token each, ending in a random second of the minute that begins `lead_s` from now. */
static void expiry_prepare(struct expiry *x, int64_t first_s)
{
    const struct options *o = x->bench->options;
    struct login *login = &x->bench->login;

    login->identities = calloc(o->clients, sizeof *login->identities);
    x->mortals = calloc(o->clients, sizeof *x->mortals);
    if (login->identities == NULL || x->mortals == NULL)
        die("out of memory");
    login->count = o->clients;
    for (size_t i = 0; i < o->clients; i++) {
        struct mortal *m = &x->mortals[i];
        uint32_t random;
        if (random_bytes(&random, sizeof random) != ST_OK ||
            key_generate(KEY_ED25519, &login->identities[i].key) != ST_OK)
            die("no keys");
        init_peer(x->bench, &m->peer, i);
        m->peer.gone = mortal_gone;
        m->peer.disconnected = mortal_cut;
        m->peer.renewed = mortal_renewed;
        m->expiry = x;
        m->ends_s = first_s + random % (uint32_t)o->spread_s;
        m->renew_s = i % 2 == 0 ? 0 : m->ends_s - 2 - (random >> 16) % (RENEW_EARLY - 2);
        login->identities[i].token = mint_token(&x->mint, login->identities[i].key, i, m->ends_s);
    }
}

static void expiry_open(struct expiry *x, int64_t first_s)
{
    struct peer **peers = calloc(x->bench->options->clients, sizeof *peers);

    if (peers == NULL)
        die("out of memory");
    for (size_t i = 0; i < x->bench->options->clients; i++)
        peers[i] = &x->mortals[i].peer;
    open_peers(x->bench, peers, x->bench->options->clients);
    free(peers);
    if (wall_ns(x) > (first_s - RENEW_EARLY) * SECOND_NS)
        die("connecting took too long: give more --lead");
}

static void expiry_renew_due(struct expiry *x, int64_t wall_s)
{
    for (size_t i = 1; i < x->bench->options->clients; i += 2) {
        struct mortal *m = &x->mortals[i];
        if (!m->asked && !m->cut && wall_s >= m->renew_s)
            ask_renewal(m);
    }
}

static double process_cpu_s(const struct bench *bench)
{
    return take_reading(bench).process.cpu_s;
}

/* Runs until everything should be over; the broker's CPU in each second of the minute. */
static void expiry_watch(struct expiry *x, int64_t first_s, double *ret_busiest)
{
    const struct options *o = x->bench->options;
    int64_t end_ns = (first_s + o->spread_s) * SECOND_NS + GRACE_NS, last_s = 0;
    double before = 0;

    while (wall_ns(x) < end_ns) {
        int64_t wall_s = wall_ns(x) / SECOND_NS;
        if (wall_s != last_s) {
            double cpu_s = process_cpu_s(x->bench);
            if (last_s != 0 && wall_s - last_s == 1 && cpu_s - before > *ret_busiest)
                *ret_busiest = cpu_s - before;
            before = cpu_s;
            last_s = wall_s;
        }
        expiry_renew_due(x, wall_s);
        link_loop_turn(&x->bench->loop, TURN_NS);
    }
}

void scenario_expiry(struct bench *bench)
{
    const struct options *o = bench->options;
    struct expiry *x = calloc(1, sizeof *x);
    uint64_t left = 0;
    double busiest = 0;

    if (x == NULL)
        die("out of memory");
    struct now now = now_read();
    int64_t first_s = now.wall.s + o->lead_s;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    x->wall_minus_mono_ns = ts.tv_sec * SECOND_NS + ts.tv_nsec - link_now();
    x->bench = bench;
    mint_init(&x->mint, o->key_file, o->issuer, o->audience, MINT_SCOPE);
    expiry_prepare(x, first_s);
    expiry_open(x, first_s);
    while (wall_ns(x) < (first_s - RENEW_EARLY - 1) * SECOND_NS)
        link_loop_turn(&bench->loop, TURN_NS);
    struct reading from = take_reading(bench);
    expiry_watch(x, first_s, &busiest);
    struct reading to = take_reading(bench);
    for (size_t i = 0; i < o->clients; i++)
        left += !x->mortals[i].cut && !x->mortals[i].renewed;
    print_head("expiry", bench, from, to);
    printf(",\"cut\":%llu,\"renewed\":%llu,\"early\":%llu,\"late\":%llu,\"unexplained\":%llu,\"left\":%llu,"
           "\"busiest_second_cpu\":%.3f",
           (unsigned long long)x->cut, (unsigned long long)x->renewed, (unsigned long long)x->early,
           (unsigned long long)x->late, (unsigned long long)x->unexplained, (unsigned long long)left, busiest);
    print_latency(&x->offset);
    printf("}\n");
    for (size_t i = 0; i < o->clients; i++)
        done_peer(&x->mortals[i].peer);
    mint_done(&x->mint);
    free(x->mortals);
    free(x);
}

/* ---- revoke ---- */

struct revocable {
    struct peer peer;
    struct revoke *revoke;
    int64_t asked_ns; /* when the command was sent; 0: not yet */
    bool cut;
};

struct revoke {
    struct bench *bench;
    struct revocable *all;
    struct admin *admin;
    uint64_t cut;
    struct histogram latency, answer;
};

static void revocable_gone(struct peer *peer UNUSED, const char *reason UNUSED)
{
}

static void revocable_cut(struct peer *peer, uint8_t code, struct span text)
{
    struct revocable *r = CONTAINER_OF(peer, struct revocable, peer);

    if (r->asked_ns == 0 || code != MQTT_NOT_AUTHORIZED)
        die("client %zu: DISCONNECT 0x%02x %.*s", peer->number, code, SPAN_FMT(text));
    r->cut = true;
    r->revoke->cut++;
    histogram_add(&r->revoke->latency, link_now() - r->asked_ns);
}

/* One command, one line of answer; the loop stands still meanwhile, which counts against us. */
static void revoke_one(struct revoke *v, struct revocable *r)
{
    r->asked_ns = link_now();
    admin_revoke(v->admin, v->bench->login.identities[r->peer.number].token);
    while (!admin_revoked(v->admin, true))
        ;
    histogram_add(&v->answer, link_now() - r->asked_ns);
}

static void revoke_open(struct revoke *v)
{
    const struct options *o = v->bench->options;
    struct peer **peers = calloc(o->clients, sizeof *peers);

    v->all = calloc(o->clients, sizeof *v->all);
    if (v->all == NULL || peers == NULL)
        die("out of memory");
    if (v->bench->login.count < o->clients)
        die("%zu clients, but %zu tokens", o->clients, v->bench->login.count);
    for (size_t i = 0; i < o->clients; i++) {
        v->all[i].revoke = v;
        init_peer(v->bench, &v->all[i].peer, i);
        v->all[i].peer.gone = revocable_gone;
        v->all[i].peer.disconnected = revocable_cut;
        peers[i] = &v->all[i].peer;
    }
    open_peers(v->bench, peers, o->clients);
    free(peers);
}

/* At a fixed rate, each while the others live on. */
void scenario_revoke(struct bench *bench)
{
    const struct options *o = bench->options;
    struct revoke *v = calloc(1, sizeof *v);

    if (v == NULL)
        die("out of memory");
    v->bench = bench;
    v->admin = admin_open(o->admin_socket);
    revoke_open(v);
    struct reading from = take_reading(bench);
    for (size_t i = 0; i < o->clients; i++) {
        int64_t due = from.at_ns + (int64_t)((double)i * 1e9 / o->rate);
        while (link_now() < due)
            link_loop_turn(&bench->loop, due - link_now());
        revoke_one(v, &v->all[i]);
        link_loop_turn(&bench->loop, 0);
    }
    for (int64_t until = link_now() + GRACE_NS; v->cut < o->clients && link_now() < until;)
        link_loop_turn(&bench->loop, TURN_NS);
    struct reading to = take_reading(bench);
    print_head("revoke", bench, from, to);
    printf(",\"revoked\":%zu,\"cut\":%llu,\"left\":%llu,\"answer_p50_us\":%.0f,\"answer_max_us\":%.0f",
           o->clients, (unsigned long long)v->cut, (unsigned long long)(o->clients - v->cut),
           in_us(histogram_at(&v->answer, 0.5)), in_us(v->answer.max_ns));
    print_latency(&v->latency);
    printf("}\n");
    for (size_t i = 0; i < o->clients; i++)
        done_peer(&v->all[i].peer);
    admin_close(v->admin);
    free(v->all);
    free(v);
}
