/* Many sessions that end at once. `expiry-storm`: their tokens end in the same second. `revoke-one`: they all hold one token,
 * which is revoked. How long until the last DISCONNECT, and what others' messages notice of it. */
#include "base/clock.h"
#include "crypto/random.h"
#include "mint.h"
#include "revocation.h"
#include "traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define AFTER_NS   SECOND_NS /* behind the last cut: what it still delays */
#define GIVE_UP_NS (30 * SECOND_NS)
#define TURN_NS    (SECOND_NS / 100)
#define OTHERS_S   3600 /* how long the others' tokens live */

struct storm;

struct doomed {
    struct peer peer;
    struct storm *storm;
};

struct storm {
    struct bench *bench;
    struct doomed *all;
    struct traffic *traffic;
    int64_t quiet_ns, end_ns, last_ns; /* messages go; the token ends, or the command is sent; the last cut */
    double cpu_before_s, cpu_after_s;
    uint64_t cut, unexplained;
    struct histogram times;
};

static void doomed_gone(struct peer *peer UNUSED, const char *reason UNUSED)
{
}

/* The clock is that of the turn that received it: what the generator takes for it is not the broker's time. */
static void doomed_cut(struct peer *peer, uint8_t code, struct span text UNUSED)
{
    struct storm *s = CONTAINER_OF(peer, struct doomed, peer)->storm;
    int64_t now = peer->world->loop->now_ns;

    s->cut++;
    s->unexplained += code != MQTT_NOT_AUTHORIZED || s->end_ns == 0 || now < s->end_ns;
    histogram_add(&s->times, s->end_ns == 0 ? 0 : now - s->end_ns);
    s->last_ns = now;
}

/* `one`: all of them are identity 0. */
static void storm_open(struct storm *s, bool one)
{
    size_t count = s->bench->options->clients;
    struct peer **peers = calloc(count, sizeof *peers);

    s->all = calloc(count, sizeof *s->all);
    if (s->all == NULL || peers == NULL)
        die("out of memory");
    for (size_t i = 0; i < count; i++) {
        struct peer *peer = peers[i] = &s->all[i].peer;
        s->all[i].storm = s;
        init_peer(s->bench, peer, i);
        peer->number = one ? 0 : i;
        peer->gone = doomed_gone;
        peer->disconnected = doomed_cut;
    }
    open_peers(s->bench, peers, count);
    free(peers);
    if (s->cut > 0)
        die("%llu sessions ended before their time", (unsigned long long)s->cut);
}

/* Before the storm, at least. */
static int64_t quiet_ns(const struct storm *s)
{
    return (int64_t)(s->bench->options->quiet_s * 1e9);
}

static double process_cpu_s(const struct bench *bench)
{
    return take_reading(bench).process.cpu_s;
}

static void turn_until(struct storm *s, int64_t until_ns)
{
    while (link_now() < until_ns)
        link_loop_turn(&s->bench->loop, until_ns - link_now() < TURN_NS ? until_ns - link_now() : TURN_NS);
}

static void watch(struct storm *s)
{
    int64_t limit = s->end_ns + GIVE_UP_NS;

    while (s->cut < s->bench->options->clients && link_now() < limit)
        link_loop_turn(&s->bench->loop, TURN_NS);
    s->cpu_after_s = process_cpu_s(s->bench);
    turn_until(s, link_now() + AFTER_NS);
}

static void print_window(const struct storm *s, const char *name, int64_t from_ns, int64_t to_ns)
{
    struct histogram *h = calloc(1, sizeof *h);

    if (h == NULL)
        die("out of memory");
    traffic_window(s->traffic, from_ns, to_ns, h);
    printf(",\"%s_p50_us\":%.0f,\"%s_p99_us\":%.0f,\"%s_max_us\":%.0f", name, in_us(histogram_at(h, 0.5)), name,
           in_us(histogram_at(h, 0.99)), name, in_us(h->max_ns));
    free(h);
}

static void storm_tell(struct storm *s, const char *scenario, struct reading from)
{
    const struct options *o = s->bench->options;
    struct traffic_counts counts = traffic_stop(s->traffic);

    print_head(scenario, s->bench, from, take_reading(s->bench));
    printf(
        ",\"cut\":%llu,\"left\":%llu,\"unexplained\":%llu,\"first_us\":%.0f,\"p50_us\":%.0f,\"last_us\":%.0f,"
        "\"storm_cpu_s\":%.4f",
        (unsigned long long)s->cut, (unsigned long long)(o->clients - s->cut),
        (unsigned long long)s->unexplained, in_us(histogram_at(&s->times, 0)),
        in_us(histogram_at(&s->times, 0.5)), in_us(s->times.max_ns), s->cpu_after_s - s->cpu_before_s);
    print_window(s, "quiet", s->quiet_ns, s->end_ns);
    print_window(s, "storm", s->end_ns, (s->last_ns == 0 ? s->end_ns : s->last_ns) + AFTER_NS);
    printf(",\"sent\":%llu,\"received\":%llu,\"lost\":%llu,\"twice\":%llu,\"out_of_order\":%llu}\n",
           (unsigned long long)counts.sent, (unsigned long long)counts.received,
           (unsigned long long)counts.lost, (unsigned long long)counts.twice, (unsigned long long)counts.late);
}

static struct storm *storm_new(struct bench *bench)
{
    struct storm *s = calloc(1, sizeof *s);

    if (s == NULL)
        die("out of memory");
    s->bench = bench;
    return s;
}

static void storm_free(struct storm *s)
{
    for (size_t i = 0; i < s->bench->options->clients; i++)
        done_peer(&s->all[i].peer);
    traffic_free(s->traffic);
    free(s->all);
    free(s);
}

/* ---- expiry-storm ---- */

/* A token and a key for each session, and for the others, whose tokens do not end. */
static void mint_all(struct bench *bench, int64_t end_s)
{
    const struct options *o = bench->options;
    struct login *login = &bench->login;
    struct mint mint;
    size_t sessions = o->clients, count = sessions + 2 * TRAFFIC_PAIRS;

    mint_init(&mint, o->key_file, o->issuer, o->audience, MINT_SCOPE);
    login->identities = calloc(count, sizeof *login->identities);
    if (login->identities == NULL)
        die("out of memory");
    login->count = count;
    for (size_t i = 0; i < count; i++) {
        struct identity *identity = &login->identities[i];
        if (key_generate(KEY_ED25519, &identity->key) != ST_OK)
            die("no keys");
        identity->token = mint_token(&mint, identity->key, i, i < sessions ? end_s : end_s + OTHERS_S);
    }
    mint_done(&mint);
}

static int64_t wall_minus_mono_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * SECOND_NS + ts.tv_nsec - link_now();
}

void scenario_expiry_storm(struct bench *bench)
{
    const struct options *o = bench->options;
    struct storm *s = storm_new(bench);
    int64_t end_s = now_read().wall.s + o->lead_s;

    mint_all(bench, end_s);
    storm_open(s, false);
    s->traffic = traffic_start(bench, o->traffic, o->clients);
    s->quiet_ns = link_now();
    s->end_ns = end_s * SECOND_NS - wall_minus_mono_ns();
    if (s->end_ns - s->quiet_ns < quiet_ns(s))
        die("connecting took too long: give more --lead");
    struct reading from = take_reading(bench);
    turn_until(s, s->end_ns - SECOND_NS / 10);
    s->cpu_before_s = process_cpu_s(bench);
    watch(s);
    storm_tell(s, "expiry-storm", from);
    storm_free(s);
}

/* ---- revoke-one ---- */

void scenario_revoke_one(struct bench *bench)
{
    const struct options *o = bench->options;
    struct storm *s = storm_new(bench);
    struct admin *admin = admin_open(o->admin_socket);

    if (bench->login.count < 2)
        die("--tokens: one to be revoked and one for the others are wanted");
    storm_open(s, true);
    /* Never the first one, whatever their number. */
    struct login all = bench->login, others = { .identities = all.identities + 1, .count = all.count - 1 };
    bench->login = others;
    s->traffic = traffic_start(bench, o->traffic, 0);
    bench->login = all;
    struct reading from = take_reading(bench);
    s->quiet_ns = link_now();
    turn_until(s, s->quiet_ns + quiet_ns(s));
    s->cpu_before_s = process_cpu_s(bench);
    s->end_ns = link_now();
    admin_revoke(admin, all.identities[0].token);
    for (bool answered = false; !answered && link_now() < s->end_ns + GIVE_UP_NS;) {
        answered = admin_revoked(admin, false);
        link_loop_turn(&bench->loop, answered ? 0 : TURN_NS / 10);
    }
    watch(s);
    storm_tell(s, "revoke-one", from);
    admin_close(admin);
    storm_free(s);
}
