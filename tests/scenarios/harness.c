#include "harness.h"

#include "harness_disk.h"

#include "base/log.h"
#include "codec/json.h"
#include "jose/jwks.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- randomness: splitmix64 from the seed ---- */

static uint64_t next_random(struct bench *b)
{
    uint64_t z = (b->seed += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint32_t pick(struct bench *b, uint32_t below)
{
    return (uint32_t)(next_random(b) >> 32) % below;
}

void name_of_shard(const struct bench *b, unsigned shard, const char *prefix, char name[32])
{
    for (int i = 0;; i++) {
        snprintf(name, 32, "%s%d", prefix, i);
        if (shard_home(&b->settings, b->count, span_of_str(name)) == shard)
            return;
    }
}

struct seeds seeds_of(int argc, char **argv, uint64_t count)
{
    struct seeds seeds = { 1, getenv("BENCH_DISK") == NULL ? count : (count + 5) / 6 }; /* which takes longer */

    if (argc > 1)
        seeds.first = seeds.last = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seeds.last = strtoull(argv[2], NULL, 10);
    return seeds;
}

enum status bench_random(void *ctx, void *out, size_t len)
{
    uint8_t *p = out;

    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)next_random(ctx);
    return ST_OK;
}

/* ---- the world ---- */

void bench_inside(const struct bench *b, bool yes)
{
    if (b->inside != NULL)
        b->inside(yes);
}

static uint8_t *world_append(void *ctx, struct conn_io *io, size_t len)
{
    uint8_t *room;

    assert_false(io->closed);
    if (io->ending)
        return NULL;
    bench_inside(ctx, false); /* the memory of the world is not the broker's */
    room = buf_room(&io->in, len);
    bench_inside(ctx, true);
    assert_non_null(room);
    buf_added(&io->in, len);
    if (io->stuck)
        io->pending += len;
    return room;
}

static size_t world_pending(void *ctx, struct conn_io *io)
{
    (void)ctx;
    return io->pending;
}

static void world_close(void *ctx, struct conn_io *io)
{
    (void)ctx;
    assert_false(io->closed);
    io->closed = true;
    io->conn = NULL;
}

static void world_move(void *ctx, struct conn_io *io, unsigned home)
{
    (void)ctx;
    assert_int_not_equal(home, io->at);
    io->conn = NULL;
    io->at = home;
    io->moves++;
}

static enum exporter_result world_exporter(void *ctx, struct conn_io *io, uint8_t out[32])
{
    (void)ctx;
    if (out != NULL)
        memcpy(out, io->exporter_value, 32);
    return io->exporter;
}

static void world_identity(void *ctx, struct conn_io *io, struct conn_identity *out)
{
    (void)ctx;
    *out = io->identity;
}

static void world_pause(void *ctx, struct conn_io *io, bool pause)
{
    (void)ctx;
    io->paused = pause;
}

static void world_post(void *ctx, unsigned to, struct shard_msg *msg)
{
    struct bench *b = ctx;

    msg->next = b->posted[to][msg->class];
    b->posted[to][msg->class] = msg;
}

static void world_totals(void *ctx, struct stats *sum, uint64_t *ret_heap_bytes)
{
    const struct bench *b = ctx;

    for (unsigned i = 0; i < b->count; i++) {
        struct stats stats;

        shard_stats(b->shard[i], &stats);
        stats_sum(sum, &stats);
    }
    *ret_heap_bytes = 12345678;
}

static void world_resolve(void *ctx, enum resolve_kind kind, uint64_t request, struct span token)
{
    struct bench *b = ctx;

    assert_int_not_equal(token.len, 0);
    b->asked = request;
    b->asked_kind = kind;
}

/* All data of the turn goes in front of all answers of the turn: the order shard.h asks for. */
void bench_flush(struct bench *b)
{
    for (int class = SHARD_DATA; class <= SHARD_ACK; class ++) {
        for (unsigned to = 0; to < b->count; to++) {
            struct shard_msg *oldest = NULL, *msg;

            while ((msg = b->posted[to][class]) != NULL) {
                b->posted[to][class] = msg->next;
                msg->next = oldest;
                oldest = msg;
            }
            while ((msg = oldest) != NULL) {
                oldest = msg->next;
                msg->next = NULL;
                *b->inbox_end[to] = msg;
                b->inbox_end[to] = &msg->next;
            }
        }
    }
}

static void log_line(void *ctx, enum log_level level, struct span line)
{
    struct bench *b = ctx;

    (void)level;
    if (b->log_len + line.len + 2 > sizeof b->log)
        b->log_len = 0;
    memcpy(b->log + b->log_len, line.p, line.len);
    b->log_len += line.len;
    b->log[b->log_len++] = '\n';
    b->log[b->log_len] = '\0';
}

/* ---- bench ---- */

static void make_verifier(struct bench *b, bool no_clock)
{
    struct jwk jwk = { .kid = SPAN("as-1"), .ops = UINT32_MAX };
    struct verifier_issuer issuers[] = { { .iss = SPAN(BENCH_ISS) }, { .iss = SPAN(BENCH_ISS2) } };
    struct span audience = SPAN(BENCH_AUD);
    struct verifier_shared_key shared = { .iss = SPAN(BENCH_ISS), .kid = SPAN("rs-1") };
    struct verifier_config config = { .issuers = issuers,
                                      .n_issuers = COUNT_OF(issuers),
                                      .audiences = &audience,
                                      .n_audiences = 1,
                                      .shared_keys = &shared,
                                      .n_shared_keys = 1,
                                      .no_clock = no_clock,
                                      .require_cnonce = no_clock,
                                      .introspection = true };
    struct key *public_key;

    for (size_t i = 0; i < COUNT_OF(issuers); i++) {
        assert_int_equal(key_public(i == 0 ? b->as_key : b->second_key, &public_key), ST_OK);
        jwk.key = public_key;
        jwk.kid = i == 0 ? SPAN("as-1") : SPAN("as-2");
        assert_int_equal(jwks_make(&jwk, 1, &issuers[i].jwks), ST_OK);
        key_unref(public_key);
    }
    shared.key = b->shared;
    verifier_unref(TAKE(b->verifier));
    assert_int_equal(verifier_new(&config, &b->verifier, NULL), ST_OK);
    for (size_t i = 0; i < COUNT_OF(issuers); i++)
        jwks_unref(issuers[i].jwks);
}

static void make_keys(struct bench *b)
{
    uint8_t secret[32];

    assert_int_equal(key_generate(KEY_ED25519, &b->as_key), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &b->other_key), ST_OK);
    for (size_t i = 0; i < sizeof secret; i++)
        secret[i] = (uint8_t)(0xa0 + i);
    assert_int_equal(key_new_secret(span_of(secret, sizeof secret), &b->shared, NULL), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &b->second_key), ST_OK);
    make_verifier(b, false);
}

static void world_store(void *ctx, uint64_t seq, struct kv_batch *batch)
{
    struct bench *b = ctx;

    bench_inside(b, false);
    disk_take(b->disk, b->sealing, seq, batch);
    bench_inside(b, true);
}

static void world_welcome(void *ctx, struct conn_io *io)
{
    (void)ctx;
    io->welcomes++;
}

static void world_fault(void *ctx, struct conn_io *io)
{
    (void)ctx;
    io->faults++;
}

static void set_clock(struct bench *b)
{
    b->now = (struct now){ { 5000000 }, { BENCH_WALL } };
}

static void make_shards(struct bench *b)
{
    struct shard_world world = { .ctx = b,
                                 .conn_append = world_append,
                                 .conn_pending = world_pending,
                                 .conn_close = world_close,
                                 .conn_move = world_move,
                                 .conn_exporter = world_exporter,
                                 .conn_identity = world_identity,
                                 .conn_pause = world_pause,
                                 .conn_welcome = world_welcome,
                                 .conn_fault = world_fault,
                                 .post = world_post,
                                 .resolve = world_resolve,
                                 .random = bench_random,
                                 .totals = world_totals,
                                 .store = b->disk == NULL ? NULL : world_store };

    for (unsigned i = 0; i < b->count; i++) {
        b->inbox[i] = NULL;
        b->inbox_end[i] = &b->inbox[i];
        assert_int_equal(shard_new(i, b->count, &b->settings, &world, b->verifier, NULL, b->now, &b->shard[i]),
                         ST_OK);
    }
}

struct bench *bench_new(unsigned shards)
{
    struct bench *b = calloc(1, sizeof *b);

    assert_non_null(b);
    b->count = shards;
    b->seed = 1;
    set_clock(b);
    list_init(&b->clients);
    log_set_sink(log_line, b);
    log_set_level(LOG_INFO);
    shard_settings_init(&b->settings);
    b->settings.home_key = (struct hash_key){ { 11, 13 } };
    b->settings.hint_as = SPAN("https://as.example/token");
    b->settings.hint_audience = SPAN(BENCH_AUD);
    make_keys(b);
    make_shards(b);
    if (getenv("BENCH_DISK") != NULL) /* every story with a disk that is always fast enough */
        bench_disk(b);
    return b;
}

static void free_clients(struct bench *b)
{
    LIST_EACH_SAFE (it, &b->clients) {
        struct conn_io *c = CONTAINER_OF(it, struct conn_io, link);

        list_remove(it);
        buf_done(&c->in);
        buf_done(&c->out);
        buf_wipe(&c->psk);
        free(c);
    }
}

static void free_shards(struct bench *b)
{
    bench_flush(b);
    for (unsigned i = 0; i < b->count; i++) {
        while (b->inbox[i] != NULL) {
            struct shard_msg *msg = b->inbox[i];

            b->inbox[i] = msg->next;
            shard_msg_free(msg);
        }
        shard_free(b->shard[i]);
    }
}

/* The same after the caller changed b->settings: sessions and connections are gone. */
static void bench_restart(struct bench *b)
{
    free_shards(b);
    free_clients(b);
    make_shards(b);
}

void bench_end(struct bench *b)
{
    free_shards(b);
    LIST_EACH (it, &b->clients) {
        struct conn_io *c = CONTAINER_OF(it, struct conn_io, link);

        c->conn = NULL;
        c->closed = true;
    }
}

void bench_begin(struct bench *b, unsigned shards)
{
    b->count = shards;
    b->next_shard = 0;
    make_shards(b);
}

void bench_again(struct bench *b, unsigned shards, bool with_disk)
{
    free_shards(b);
    free_clients(b);
    disk_free(TAKE(b->disk));
    b->seed = 1;
    b->manual = false;
    b->log_len = 0;
    set_clock(b);
    if (with_disk)
        b->disk = disk_new();
    if (!with_disk)
        bench_begin(b, shards);
    else
        assert_int_equal(bench_start(b, shards, NULL), ST_OK);
}

void bench_free(struct bench *b)
{
    free_shards(b);
    free_clients(b);
    key_unref(b->as_key);
    key_unref(b->second_key);
    key_unref(b->other_key);
    key_unref(b->shared);
    verifier_unref(b->verifier);
    token_store_free(b->tokens);
    disk_free(b->disk);
    pressure_free(b->pressure);
    scope_unref(b->public_scope);
    log_set_sink(NULL, NULL);
    free(b);
}

int bench_set_up(void **state)
{
    *state = bench_new(1);
    return 0;
}

int bench_tear_down(void **state)
{
    bench_free(*state);
    return 0;
}

void bench_tokens(struct bench *b, const struct token_store_limits *limits)
{
    struct token_store_limits usual;
    uint8_t secret[TOKEN_STORE_SECRET_LEN];

    token_store_limits_init(&usual);
    assert_int_equal(bench_random(b, secret, sizeof secret), ST_OK);
    b->settings.tokens = NULL;
    bench_restart(b);
    token_store_free(b->tokens);
    assert_int_equal(token_store_new(limits != NULL ? limits : &usual, secret, &b->tokens), ST_OK);
    b->settings.tokens = b->tokens;
    b->settings.authz_info = true;
}

void bench_bounds(struct bench *b, struct pressure_limits limits)
{
    struct pressure *former = b->pressure;

    assert_int_equal(pressure_new(limits, &b->pressure), ST_OK);
    b->settings.pressure = b->pressure;
    bench_restart(b);
    pressure_free(former);
}

void bench_without_clock(struct bench *b)
{
    struct token_store_limits limits;

    make_verifier(b, true);
    token_store_limits_init(&limits);
    limits.need_cnonce = true;
    bench_tokens(b, &limits);
    b->settings.send_cnonce = true;
}

void bench_public(struct bench *b, const char *scope_json)
{
    scope_unref(b->public_scope);
    b->public_scope = NULL;
    if (scope_json != NULL)
        assert_int_equal(scope_from_text(span_of_str(scope_json), &b->public_scope, NULL), ST_OK);
    b->settings.public_scope = b->public_scope;
}

/* Offers a client's unread bytes, to whichever shard it is at now. */
static bool offer(struct conn_io *c)
{
    struct bench *b = c->b;
    size_t used;

    if (c->closed || c->paused || c->out.len == 0)
        return false;
    if (c->conn == NULL) {
        bench_inside(b, true);
        c->conn = shard_accept(b->shard[c->at], c, span_of_str(c->peer), c->moves > 0, b->now);
        bench_inside(b, false);
        if (c->conn == NULL) {
            c->closed = true;
            return true;
        }
    }
    {
        /* exactly as long as what came: a sanitizer sees one byte too far */
        CLEANUP(freep)
        uint8_t *exact = malloc(c->out.len);
        unsigned moves = c->moves;

        assert_non_null(exact);
        memcpy(exact, c->out.p, c->out.len);
        bench_inside(b, true);
        used = shard_input(b->shard[c->at], c->conn, span_of(exact, c->out.len), b->now);
        bench_inside(b, false);
        if (c->moves != moves)
            return true; /* all of it goes to the new place */
    }
    buf_drop_front(&c->out, used);
    return used > 0 || c->closed;
}

/* As the worker does. */
static void count_output(struct bench *b, unsigned shard)
{
    uint64_t bytes = 0;

    if (b->pressure == NULL)
        return;
    LIST_EACH (it, &b->clients) {
        const struct conn_io *c = CONTAINER_OF(it, struct conn_io, link);

        if (c->at == shard && c->conn != NULL)
            bytes += c->pending;
    }
    pressure_output(b->pressure, shard, bytes);
}

bool bench_turn(struct bench *b, unsigned shard)
{
    struct shard_msg *msg = b->inbox[shard];
    bool busy = msg != NULL;

    count_output(b, shard);

    bench_inside(b, true);
    shard_advance(b->shard[shard], b->now);
    bench_inside(b, false);
    b->inbox[shard] = NULL;
    b->inbox_end[shard] = &b->inbox[shard];
    bench_inside(b, true);
    shard_messages(b->shard[shard], msg, b->now);
    bench_inside(b, false);
    LIST_EACH (it, &b->clients) {
        struct conn_io *c = CONTAINER_OF(it, struct conn_io, link);

        if (c->at == shard && offer(c))
            busy = true;
    }
    bench_seal(b, shard);
    bench_flush(b);
    busy = busy || shard_wait_ms(b->shard[shard], b->now) == 0; /* as a worker: another turn at once */
    return busy;
}

void bench_seal(struct bench *b, unsigned shard)
{
    if (b->disk == NULL)
        return;
    b->sealing = shard;
    bench_inside(b, true);
    shard_seal(b->shard[shard], b->now);
    bench_inside(b, false);
}

void bench_run(struct bench *b)
{
    bool busy = true;

    while (busy) {
        busy = false;
        for (unsigned i = 0; i < b->count; i++)
            if (bench_turn(b, i))
                busy = true;
        if (b->disk != NULL && b->disk->shuffled && !b->disk->manual && pick(b, 3) == 0 && disk_commit(b))
            busy = true;
        if (!busy && b->disk != NULL && !b->disk->manual) /* the disk is slower than all else */
            busy = disk_commit(b);
    }
}

void bench_advance(struct bench *b, int64_t ms)
{
    int64_t fraction = b->now.mono.ms % 1000;

    while (ms > 0) {
        int64_t step = ms > 250 ? 250 : ms;

        b->now.mono.ms += step;
        fraction += step;
        b->now.wall.s += fraction / 1000;
        fraction %= 1000;
        ms -= step;
        bench_run(b);
    }
}

void bench_jump(struct bench *b, int64_t s)
{
    b->now.wall.s += s;
    bench_run(b);
    b->now.mono.ms += 20; /* timers fire on ticks */
    bench_run(b);
}

uint64_t bench_stat(const struct bench *b, size_t offset)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < b->count; i++) {
        struct stats stats;
        uint64_t one;

        shard_stats(b->shard[i], &stats);
        memcpy(&one, (const uint8_t *)&stats + offset, sizeof one);
        sum += one;
    }
    return sum;
}

/* A line is "time level event fields". */
static bool line_is(const char *line, const char *event, const char *text)
{
    const char *end = strchr(line, '\n');
    const char *name = line;
    size_t len = strlen(event);

    for (int skip = 0; skip < 2; skip++) {
        name = strchr(name, ' ');
        if (name == NULL || name >= end)
            return false;
        name++;
    }
    if (strncmp(name, event, len) != 0 || (name[len] != ' ' && name[len] != '\n'))
        return false;
    return text == NULL || memmem(line, (size_t)(end - line), text, strlen(text)) != NULL;
}

static size_t count_lines(const struct bench *b, const char *event, const char *text)
{
    size_t n = 0;

    for (const char *p = b->log; p < b->log + b->log_len; p = strchr(p, '\n') + 1)
        if (line_is(p, event, text))
            n++;
    return n;
}

size_t log_count(const struct bench *b, const char *event)
{
    return count_lines(b, event, NULL);
}

bool log_has(const struct bench *b, const char *event, const char *text)
{
    return count_lines(b, event, text) > 0;
}

void log_forget(struct bench *b)
{
    b->log_len = 0;
    b->log[0] = '\0';
}
