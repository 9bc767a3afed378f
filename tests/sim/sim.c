/* sim [--seed S] [--steps N] [--seconds N] [--twice] [--poor] [--verbose]: see sim.h. With --poor every now and then
 * the broker gets no memory.
 *
 * Episodes of some thousand steps, each a world of its own with the next seed. A failure prints the last events and the seed of
 * its episode; `--seed S --steps 1 --verbose` plays that one again and tells all of it. */
#include "sim.h"

#include "base/log.h"
#include "base/reader.h"
#include "support/failing_memory.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define STEPS_OF_EPISODE 12000
#define SHOWN            120

static struct sim *running; /* for who is told of an abort */

/* ---- telling ---- */

static void show(const struct event *e)
{
    fprintf(stderr, "%8llu %s %ld %ld %ld\n", (unsigned long long)e->tick, e->what, e->a, e->b, e->c);
}

static void mix(struct sim *s, uint64_t value)
{
    s->hash = (s->hash ^ value) * UINT64_C(0x100000001b3);
    s->hash ^= s->hash >> 29;
}

void sim_note(struct sim *s, const char *what, long a, long b, long c)
{
    struct event *e = &s->events[s->n_events++ % EVENTS];

    *e = (struct event){ s->tick, what, a, b, c };
    mix(s, (uint64_t)what[0] << 56 ^ (uint64_t)what[1] << 48 ^ s->tick);
    mix(s, (uint64_t)a << 40 ^ (uint64_t)b << 20 ^ (uint64_t)c);
    if (s->verbose)
        show(e);
}

static void show_last(const struct sim *s)
{
    uint64_t first = s->n_events > SHOWN ? s->n_events - SHOWN : 0;

    for (uint64_t n = first; n < s->n_events; n++)
        show(&s->events[n % EVENTS]);
    fprintf(stderr, "seed %llu, step %llu, %u shards; again: sim --seed %llu --steps 1\n",
            (unsigned long long)s->seed, (unsigned long long)s->tick, s->b->count, (unsigned long long)s->seed);
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
    va_list args;

    running = NULL;
    show_last(s);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n");
    _exit(1);
}

static void on_abort(int number)
{
    struct sim *s = running;

    running = NULL;
    if (s != NULL)
        show_last(s);
    signal(number, SIG_DFL);
    raise(number);
}

static void on_exit_early(void)
{
    if (running != NULL)
        show_last(running);
}

/* ---- the disk ---- */

static void show_ids(const struct kv_op *op)
{
    struct record_received r;
    struct why why;

    if (record_read_received(op->key, op->value, &r, &why) != ST_OK)
        return;
    for (size_t i = 0; i < r.ids.len / 2; i++)
        fprintf(stderr, "%c%u", i == 0 ? '(' : ',', record_received_id(&r, i));
    fprintf(stderr, ")");
}

/* What is in a batch: letter and number, of each. */
static void show_batch(const struct sim *s, unsigned shard)
{
    const struct disk_batch *w = &s->b->disk->waiting[shard];
    struct kv_op op;

    fprintf(stderr, "%8llu batch of %u:", (unsigned long long)s->tick, shard);
    for (size_t at = 0; w->there && kv_batch_next(&w->batch, &at, &op);) {
        struct reader r = reader_make(op.key, "key");
        uint8_t letter = read_u8(&r);

        fprintf(stderr, " %s%c%llu", op.del ? "-" : "", letter, (unsigned long long)read_u64(&r));
        if (reader_left(&r) > 0)
            fprintf(stderr, ".%u", op.key.p[op.key.len - 1]);
        if (letter == RECORD_RECEIVED && !op.del)
            show_ids(&op);
    }
    fprintf(stderr, "\n");
}

static bool commit(struct sim *s, unsigned shard)
{
    if (!disk_waits(s->b->disk, shard) || s->b->disk->failing != ST_OK)
        return false;
    if (s->verbose)
        show_batch(s, shard);
    (void)disk_commit_of(s->b, shard);
    sim_note(s, "commits", shard, (long)s->b->disk->count, 0);
    s->sum.commits++;
    return true;
}

static void commit_some(struct sim *s)
{
    for (unsigned i = 0; i < s->b->count; i++)
        if (pick(s->b, 2) == 0)
            (void)commit(s, i);
}

static void disk_changes_its_mind(struct sim *s)
{
    struct disk *disk = s->b->disk;

    sim_note(s, disk->failing == ST_OK ? "disk fails" : "disk recovers", 0, 0, 0);
    if (disk->failing == ST_OK) {
        s->failing_until = UINT64_MAX;
        for (unsigned i = 0; i < CLIENTS; i++)
            for (unsigned g = 0; g < s->clients[i].n_going; g++)
                s->messages[s->clients[i].going[g].message].twice = true;
        disk_fail(s->b, pick(s->b, 2) ? ST_QUOTA : ST_IO);
    } else {
        disk_recover(s->b);
        s->failing_until = s->tick + 2000; /* refusals may still be on their way */
    }
}

/* ---- memory ---- */

static void inside(bool yes)
{
    failing_memory_pause(!yes);
}

static void be_poor(struct sim *s)
{
    long used = failing_memory_end();

    s->poor_after -= used;
    if (s->poor_after <= 0) {
        if (s->poor_after + used > 0)
            s->sum.without_memory++;
        s->poor_after = 1 + pick(s->b, pick(s->b, 4) == 0 ? 30 : 3000);
    }
    failing_memory_begin(s->poor_after);
    failing_memory_pause(true);
}

static void be_rich(void)
{
    (void)failing_memory_end();
    failing_memory_begin(0);
    failing_memory_pause(true);
}

/* ---- the broker dies ---- */

static void crash(struct sim *s)
{
    unsigned shards = 1 + pick(s->b, BENCH_MAX_SHARDS), committed = 0;

    if (s->b->disk->failing != ST_OK)
        disk_changes_its_mind(s);
    for (unsigned i = 0; i < CLIENTS; i++) { /* what was said before counts, whether it has been heard or not */
        if (s->clients[i].io != NULL && pick(s->b, 4) > 0)
            client_read(s, &s->clients[i]);
        if (s->clients[i].io != NULL)
            client_lost(s, &s->clients[i], true);
    }
    for (unsigned i = 0; i < s->b->count; i++) /* on the disk, and the shard never heard of it */
        if (disk_waits(s->b->disk, i) && pick(s->b, 3) == 0) {
            if (s->verbose)
                show_batch(s, i);
            disk_commit_unheard(s->b, i);
            committed |= 1u << i;
        }
    sim_note(s, "crash", s->b->count, shards, committed);
    s->sum.crashes++;
    if (pick(s->b, 3) == 0) /* down for a while */
        s->b->now.mono.ms += pick(s->b, 3 * SHORT_S * 1000);
    s->b->now.wall.s = BENCH_WALL + (s->b->now.mono.ms - 5000000) / 1000;
    if (s->poor)
        be_rich();
    bench_die(s->b);
    if (pick(s->b, 8) == 0) { /* what it begins with, it cannot write */
        s->b->disk->failing = ST_IO;
        s->sum.restarts_failed += bench_start(s->b, shards, NULL) != ST_OK;
        s->b->disk->failing = ST_OK;
        bench_die(s->b);
    }
    assert_int_equal(bench_start(s->b, shards, NULL), ST_OK);
    for (unsigned i = 0; i < CLIENTS; i++) /* whose leaving may not have been on disk: their time begins now */
        if (s->clients[i].left_tick + 1500 > s->tick || s->failing_until > s->tick)
            s->clients[i].left_late = s->b->now.mono.ms;
}

/* ---- the clock ---- */

static void time_passes(struct sim *s)
{
    int64_t ms = pick(s->b, 50) == 0 ? pick(s->b, 4000) : pick(s->b, 30);

    s->b->now.mono.ms += ms;
    s->b->now.wall.s = BENCH_WALL + (s->b->now.mono.ms - 5000000) / 1000;
}

/* ---- the AS ---- */

static void somebody_is_revoked(struct sim *s)
{
    static const struct why revoked = { "RFC 9770", "revoked", 0 };
    uint8_t hash[32] = { 0 };

    /* one that nobody has: those of our client are ended by their time; see revocation_test.c for the rest */
    for (unsigned i = 0; i < s->b->count; i++)
        shard_token_status(s->b->shard[i], hash, NULL, revoked, s->b->now);
}

/* ---- peace ---- */

static bool turn_all(struct sim *s)
{
    bool busy = false;

    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &s->clients[i];

        busy = busy || (c->io != NULL && c->wire.len > 0);
        client_travel(s, c, true);
    }
    for (unsigned i = 0; i < s->b->count; i++)
        busy = bench_turn(s->b, i) || busy;
    for (unsigned i = 0; i < s->b->count; i++)
        busy = commit(s, i) || busy;
    for (unsigned i = 0; i < CLIENTS; i++)
        if (s->clients[i].io != NULL &&
            (s->clients[i].io->closed || s->clients[i].io->in_at < s->clients[i].io->in.len)) {
            client_read(s, &s->clients[i]);
            busy = true;
        }
    return busy;
}

static bool at_peace(struct sim *s)
{
    bool peace = true;

    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &s->clients[i];

        if (c->kind == RUDE || c->kind == WITH_TOKEN) { /* they end their sessions and go */
            if (c->io != NULL && !c->ending)
                client_lost(s, c, false);
            if (c->ending && c->open) {
                client_lost(s, c, false);
                c->ending = false;
                c->ended = true;
            }
            if (c->io == NULL && !c->ended) {
                c->ending = true;
                client_start(s, c, true);
            }
            peace = peace && c->ended;
            continue;
        }
        if (c->io == NULL)
            client_start(s, c, false);
        if (c->open && (c->holds || c->held.len > 0))
            client_let_go(s, c);
        peace = peace && c->open && c->n_going == 0 && c->n_asked == 0;
    }
    return peace;
}

static void show_retained(const struct sim *s)
{
    const struct disk *disk = s->b->disk;

    for (size_t i = 0; i < disk->count; i++) {
        struct record_message r;
        struct why why;

        if (disk->entries[i]->key.p[0] == RECORD_RETAINED &&
            record_read_retained(buf_span(&disk->entries[i]->key), buf_span(&disk->entries[i]->value), &r,
                                 &why) == ST_OK)
            fprintf(stderr, "on disk: retained %llu %.*s \"%.*s\"\n", (unsigned long long)r.number,
                    SPAN_FMT(r.topic), SPAN_FMT(r.payload));
    }
}

/* How many there are. */
static size_t read_retained(struct sim *s)
{
    size_t count = 0;
    int found[TOPICS] = { 0 };
    struct conn_io *io = client_new(s->b);
    struct mqtt_subscription want = wish_filter("r/#", 0);
    struct mqtt_properties none = { .has = 0 };
    struct mqtt_frame frame;
    CLEANUP(buf_done)
    struct buf out;

    buf_init(&out, (size_t)1 << 20);
    connect_packet(io, &(struct connect_wish){ .id = "reader", .no_method = true, .receive_maximum = 65535 },
                   &out);
    mqtt_write_subscribe(&out, MQTT_5, 1, &none, &want, 1);
    client_send(io, buf_span(&out));
    while (turn_all(s)) {
    }
    while (client_next(io, &frame)) {
        struct mqtt_publish p;
        unsigned number;

        if (frame.type != MQTT_PUBLISH)
            continue;
        assert_int_equal(mqtt_read_publish(&frame, MQTT_5, &p, NULL), ST_OK);
        number = model_message(s, &s->clients[0], &p);
        sim_check(s, found[s->messages[number].topic] == 0, "two retained messages of %s",
                  s->names[s->messages[number].topic]);
        found[s->messages[number].topic] = (int)number;
        count++;
    }
    sim_check(s, !io->closed, "the reader of retained messages was closed");
    client_drop(io);
    while (turn_all(s)) {
    }
    if (s->verbose)
        show_retained(s);
    model_check_retained(s, found);
    return count;
}

static void show_sessions(const struct sim *s)
{
    const struct disk *disk = s->b->disk;

    for (size_t i = 0; i < disk->count; i++) {
        struct record_session r;
        struct why why;

        if (disk->entries[i]->key.p[0] == RECORD_SESSION &&
            record_read_session(buf_span(&disk->entries[i]->key), buf_span(&disk->entries[i]->value), &r,
                                &why) == ST_OK)
            fprintf(stderr, "on disk: session %llu of %.*s, for %u s\n", (unsigned long long)r.session,
                    SPAN_FMT(r.client_id), r.expiry_s);
    }
}

static void show_subscriptions(const struct sim *s)
{
    const struct disk *disk = s->b->disk;

    show_sessions(s);
    for (size_t i = 0; i < disk->count; i++) {
        struct record_subscription r;
        struct why why;

        if (disk->entries[i]->key.p[0] == RECORD_SUBSCRIPTION &&
            record_read_subscription(buf_span(&disk->entries[i]->key), buf_span(&disk->entries[i]->value), &r,
                                     &why) == ST_OK)
            fprintf(stderr, "on disk: session %llu subscribes %.*s\n", (unsigned long long)r.session,
                    SPAN_FMT(r.filter));
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        for (unsigned f = 0; f < FILTERS; f++)
            if (s->clients[i].subs[f].maybe)
                fprintf(stderr, "%s subscribes %s%s\n", s->clients[i].id, sim_filters[f],
                        s->clients[i].subs[f].certain != 0 ? "" : ", or not");
}

/* With nothing on its way the disk has what is, and nothing that was. */
static void check_disk(struct sim *s, size_t retained)
{
    size_t least = 0, most = 0, sessions = 0;
    static const char nothing[] = { RECORD_DELIVERY, RECORD_MESSAGE, RECORD_ITEM, RECORD_OUT };

    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct client *c = &s->clients[i];

        if (c->kind == GUEST || c->kind == RUDE || c->kind == WITH_TOKEN)
            continue;
        sessions++;
        least += c->joined;
        most += c->kind == MEMBER;
        for (unsigned f = 0; f < FILTERS; f++) {
            least += c->subs[f].certain != 0;
            most += c->subs[f].maybe;
        }
    }
    for (size_t i = 0; i < COUNT_OF(nothing); i++)
        sim_check(s, disk_records(s->b, nothing[i]) == 0, "%zu records '%c' on disk, though nothing waits",
                  disk_records(s->b, nothing[i]), nothing[i]);
    if (disk_records(s->b, RECORD_SESSION) != sessions)
        show_sessions(s);
    sim_check(s, disk_records(s->b, RECORD_SESSION) == sessions, "%zu sessions on disk, not %zu",
              disk_records(s->b, RECORD_SESSION), sessions);
    if (disk_records(s->b, RECORD_SUBSCRIPTION) < least || disk_records(s->b, RECORD_SUBSCRIPTION) > most)
        show_subscriptions(s);
    sim_check(
        s, disk_records(s->b, RECORD_SUBSCRIPTION) >= least && disk_records(s->b, RECORD_SUBSCRIPTION) <= most,
        "%zu subscriptions on disk, not %zu to %zu", disk_records(s->b, RECORD_SUBSCRIPTION), least, most);
    sim_check(s, disk_records(s->b, RECORD_RETAINED) == retained, "%zu retained messages on disk, not %zu",
              disk_records(s->b, RECORD_RETAINED), retained);
    sim_check(s, STAT(s->b, queued_messages) == 0 && STAT(s->b, queued_bytes) == 0,
              "%llu messages are counted as queued", (unsigned long long)STAT(s->b, queued_messages));
}

/* Everybody is back and nobody begins anything: all that was promised comes. */
static void settle(struct sim *s)
{
    char text[256];
    unsigned quiet = 0, missing = 1;

    sim_note(s, "peace", 0, 0, 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        s->clients[i].ended = s->clients[i].ending = false;
    if (s->b->disk->failing != ST_OK)
        disk_changes_its_mind(s);
    for (unsigned turns = 0; turns < 6000 && quiet < 20; turns++) {
        bool peace = at_peace(s);

        s->tick++;
        s->b->now.mono.ms += 1;
        quiet = !turn_all(s) && peace ? quiet + 1 : 0;
    }
    missing = model_missing(s, text, sizeof text);
    sim_check(s, missing == 0, "%u missing: %s", missing, text);
    for (unsigned i = 0; i < CLIENTS && quiet < 20; i++)
        fprintf(stderr,
                "%s: %s, %u in flight, %u asked, %zu held, %zu on the way, %zu unread by the broker%s\n",
                s->clients[i].id,
                s->clients[i].open         ? "open"
                : s->clients[i].io != NULL ? "connecting"
                                           : "away",
                s->clients[i].n_going, s->clients[i].n_asked, s->clients[i].held.len, s->clients[i].wire.len,
                s->clients[i].io != NULL ? s->clients[i].io->out.len : 0,
                s->clients[i].io != NULL && s->clients[i].io->paused ? ", paused" : "");
    sim_check(s, quiet == 20, "no end: somebody still waits for something");
    s->failing_until = 0;
    check_disk(s, read_retained(s));
    s->sum.settles++;
    s->peace = s->tick;
}

/* ---- one thing at a time ---- */

static void step(struct sim *s)
{
    unsigned what = pick(s->b, 1000);
    struct client *c = &s->clients[pick(s->b, CLIENTS)];

    s->tick++;
    if (s->poor)
        be_poor(s);
    if (what < 260)
        client_act(s, c);
    else if (what < 460)
        client_travel(s, c, false);
    else if (what < 660)
        (void)bench_turn(s->b, pick(s->b, s->b->count));
    else if (what < 820)
        client_read(s, c);
    else if (what < 930)
        commit_some(s);
    else if (what < 990)
        time_passes(s);
    else if (what < 994)
        somebody_is_revoked(s);
    else if (what < 996 && pick(s->b, 3) == 0)
        disk_changes_its_mind(s);
    else if (what < 999)
        crash(s);
    else if (pick(s->b, 2) == 0) {
        if (s->poor)
            be_rich();
        settle(s);
    }
}

static void begin(struct sim *s, uint64_t seed)
{
    s->b = bench_new(1 + (unsigned)(seed % BENCH_MAX_SHARDS));
    s->b->seed = seed;
    s->b->settings.max_guest_expiry_s = s->b->settings.max_session_expiry_s = s->b->settings.max_v3_expiry_s =
        UINT32_MAX;
    s->b->settings.keep_retained = true;
    s->b->settings.max_keep_alive_s = 0;
    s->b->settings.connect_timeout_ms = s->b->settings.packet_timeout_ms = 100000000;
    s->b->settings.auth_timeout_ms = 100000000;
    bench_public(s->b, "[[\"#\",[\"pub\",\"sub\"]]]");
    bench_disk(s->b);
    s->b->settings.durability = DURABILITY_COMMIT;
    s->b->disk->manual = true;
    s->b->manual = true;
    bench_crash(
        s->b,
        s->b->count); /* as a broker does: it begins with what is on disk, if only to say what writes there */
    log_set_level(LOG_ERROR);
    s->b->inside = s->poor ? inside : NULL;
    model_begin(s);
    client_begin(s);
}

static uint64_t episode(uint64_t seed, struct sim *totals, bool verbose, bool poor)
{
    struct sim *s = calloc(1, sizeof *s);
    uint64_t hash;

    assert_non_null(s);
    s->seed = seed;
    s->verbose = verbose;
    s->poor = poor;
    s->hash = UINT64_C(0xcbf29ce484222325);
    s->sum = (typeof(s->sum))totals->sum;
    running = s;
    begin(s, seed);
    for (unsigned n = 0; n < STEPS_OF_EPISODE && s->count < MESSAGES - 100; n++)
        step(s);
    if (poor)
        be_rich();
    settle(s);
    running = NULL;
    s->sum.steps += s->tick;
    s->sum.episodes++;
    totals->sum = s->sum;
    hash = s->hash;
    client_end(s);
    bench_free(s->b);
    free(s);
    return hash;
}

/* ---- the program ---- */

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_totals(const struct sim *t, double begun, uint64_t hash)
{
    printf(
        "%llu steps in %llu episodes, %.0f s: %llu crashes, %llu commits, %llu published, %llu acknowledged, "
        "%llu delivered, %llu of them again, %llu owed, %llu refused, %llu allocations failed; %llu times at "
        "peace; trace %016llx\n",
        (unsigned long long)t->sum.steps, (unsigned long long)t->sum.episodes, seconds() - begun,
        (unsigned long long)t->sum.crashes, (unsigned long long)t->sum.commits,
        (unsigned long long)t->sum.published, (unsigned long long)t->sum.acknowledged,
        (unsigned long long)t->sum.delivered, (unsigned long long)t->sum.again, (unsigned long long)t->sum.owed,
        (unsigned long long)t->sum.refused, (unsigned long long)t->sum.without_memory,
        (unsigned long long)t->sum.settles, (unsigned long long)hash);
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "seed", required_argument, NULL, 's' },
                                             { "steps", required_argument, NULL, 'n' },
                                             { "seconds", required_argument, NULL, 't' },
                                             { "twice", no_argument, NULL, '2' },
                                             { "verbose", no_argument, NULL, 'v' },
                                             { "poor", no_argument, NULL, 'p' },
                                             { 0 } };
    static struct sim totals;
    uint64_t seed = 1, steps = 1000000, hash = 0;
    double begun = seconds(), most = 1e9;
    bool twice = false, verbose = false, poor = false;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            seed = strtoull(optarg, NULL, 10);
        else if (c == 'n')
            steps = strtoull(optarg, NULL, 10);
        else if (c == 't')
            most = strtod(optarg, NULL);
        else if (c == '2')
            twice = true;
        else if (c == 'v')
            verbose = true;
        else if (c == 'p')
            poor = true;
        else
            return 2;
    }
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    atexit(on_exit_early);
    for (; totals.sum.steps < steps && seconds() - begun < most; seed++) {
        uint64_t one = episode(seed, &totals, verbose, poor);

        if (twice && episode(seed, &totals, verbose, poor) != one) {
            fprintf(stderr, "seed %llu: not the same when played again\n", (unsigned long long)seed);
            return 1;
        }
        hash = hash * 31 + one;
    }
    print_totals(&totals, begun, hash);
    return 0;
}
