/* How long a broker takes to come back: makes a store with so many queued and so many retained messages, and reads it into the
 * shards of a broker as the daemon does at its start (src/broker/store_start.h). bench/README.md says how to run it.
 *   restore_bench make DIR QUEUED RETAINED [SESSIONS [PAYLOAD]]
 *   restore_bench open DIR [WORKERS] */
#include "broker/store_start.h"
#include "record/record.h"
#include "shard/pressure.h"
#include "shard/shard.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define PIECE_BYTES ((size_t)8 << 20)
#define STORE_MAX   (UINT64_C(64) << 30)
#define MAX_WORKERS 16

static void check(enum status st, const struct why *why)
{
    if (st == ST_OK)
        return;
    fprintf(stderr, "%s: %s\n", status_name(st), why != NULL && why->text != NULL ? why->text : "");
    exit(1);
}

static double now_s(void)
{
    return (double)now_read().mono.ms / 1000;
}

/* ---- make ---- */

struct making {
    struct kv *kv;
    struct kv_batch batch;
    uint8_t payload[65536];
    size_t payload_len;
};

static void flush(struct making *m, bool last)
{
    const struct kv_batch *batches[] = { &m->batch };
    struct why why = { 0 };

    if (!last && kv_batch_bytes(&m->batch) < PIECE_BYTES)
        return;
    check(kv_apply(m->kv, batches, 1, &why), &why);
    kv_batch_reset(&m->batch);
}

static struct record_message message(const struct making *m, uint64_t number, const char *topic)
{
    return (struct record_message){ .number = number,
                                    .qos = 1,
                                    .publisher = 1,
                                    .expires_ms = RECORD_NEVER,
                                    .token_until_s = RECORD_NEVER,
                                    .topic = span_of_str(topic),
                                    .payload = span_of(m->payload, m->payload_len) };
}

static void make_sessions(struct making *m, uint64_t sessions)
{
    char text[64];

    for (uint64_t s = 1; s <= sessions; s++) {
        struct record_session r = { .session = s, .expiry_s = UINT32_MAX, .left_ms = 1, .version = 5 };

        (void)snprintf(text, sizeof text, "device-%llu", (unsigned long long)s);
        r.client_id = span_of_str(text);
        r.owner.has_token = true;
        r.owner.iss = SPAN("https://as.example");
        r.owner.sub = span_of_str(text);
        r.owner.until_ms = RECORD_NEVER;
        check(record_put_session(&m->batch, &r), NULL);
        (void)snprintf(text, sizeof text, "device/%llu/#", (unsigned long long)s);
        check(record_put_subscription(
                  &m->batch,
                  &(struct record_subscription){ .session = s, .n = 1, .filter = span_of_str(text), .qos = 1 }),
              NULL);
        flush(m, false);
    }
}

/* As they come about: a message for this session, then one for the next. */
static void make_queued(struct making *m, uint64_t queued, uint64_t sessions)
{
    char topic[64];

    for (uint64_t i = 0; i < queued; i++) {
        uint64_t session = 1 + i % sessions;
        struct record_message body;

        (void)snprintf(topic, sizeof topic, "device/%llu/command", (unsigned long long)session);
        body = message(m, i + 1, topic);
        check(record_put_message(&m->batch, &body), NULL);
        check(record_put_delivery(&m->batch,
                                  &(struct record_delivery){
                                      .session = session, .n = 1 + i / sessions, .body = i + 1, .qos = 1 }),
              NULL);
        flush(m, false);
    }
}

static void make_retained(struct making *m, uint64_t retained)
{
    char topic[64];

    for (uint64_t i = 0; i < retained; i++) {
        struct record_message r;

        (void)snprintf(topic, sizeof topic, "site/%llu/device/%llu/state", (unsigned long long)(i / 1000),
                       (unsigned long long)i);
        r = message(m, i + 1, topic);
        r.retain = true;
        check(record_put_retained(&m->batch, &r), NULL);
        flush(m, false);
    }
}

static int make(const char *dir, uint64_t queued, uint64_t retained, uint64_t sessions, size_t payload)
{
    struct store_start start = { .state_dir = dir, .max_bytes = STORE_MAX };
    static struct making m;
    struct why why = { 0 };
    double began = now_s();

    if (sessions == 0 || payload > sizeof m.payload)
        return 2;
    (void)mkdir(dir, 0700);
    memset(m.payload, 'p', sizeof m.payload);
    m.payload_len = payload;
    check(store_start_open(&start, now_read(), &m.kv, &why), &why);
    kv_batch_init(&m.batch, SIZE_MAX);
    check(record_put_meta(&m.batch, &(struct record_meta){ .format = RECORD_FORMAT, .workers = 1 }), NULL);
    make_sessions(&m, sessions);
    make_queued(&m, queued, sessions);
    make_retained(&m, retained);
    flush(&m, true);
    kv_batch_done(&m.batch);
    kv_close(m.kv);
    printf("made in %.2f s\n", now_s() - began);
    return 0;
}

/* ---- open ---- */

static enum status random_bytes(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    return getrandom(buf, len, 0) == (ssize_t)len ? ST_OK : ST_IO;
}

static void post(void *ctx, unsigned to, struct shard_msg *msg)
{
    (void)ctx;
    (void)to;
    shard_msg_free(msg);
}

static void store(void *ctx, uint64_t seq, struct kv_batch *batch)
{
    (void)ctx;
    (void)seq;
    (void)batch;
}

static void fill_settings(struct shard_settings *settings)
{
    shard_settings_init(settings);
    settings->durability = DURABILITY_COMMIT;
    settings->max_sessions = UINT32_MAX;
    settings->max_queue_messages = UINT32_MAX;
    settings->max_queue_bytes = SIZE_MAX;
    settings->max_retained_messages = UINT32_MAX;
    settings->max_retained_bytes = SIZE_MAX;
    settings->sys_interval_s = 0;
}

static double cpu_s(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static long resident_mib(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss / 1024;
}

static int open_it(const char *dir, unsigned workers)
{
    const struct shard_world world = { .post = post, .random = random_bytes, .store = store };
    struct store_start start = { .state_dir = dir, .max_bytes = STORE_MAX };
    struct shard *shards[MAX_WORKERS];
    struct shard_settings settings;
    struct restore_report report;
    struct why why = { 0 };
    struct kv *kv;
    double began = now_s(), opened, cpu;

    if (workers == 0 || workers > MAX_WORKERS)
        return 2;
    fill_settings(&settings);
    for (unsigned i = 0; i < workers; i++)
        check(shard_new(i, workers, &settings, &world, NULL, NULL, now_read(), &shards[i]), NULL);
    check(store_start_open(&start, now_read(), &kv, &why), &why);
    opened = now_s();
    cpu = cpu_s();
    check(store_start_restore(&start, kv, shards, workers, now_read(), &report, &why), &why);
    printf(
        "opened and checked in %.2f s (CPU %.2f s), read back in %.2f s (CPU %.2f s), %u workers; %llu queued, "
        "%llu retained, %llu "
        "sessions; "
        "heap %zu MiB, resident at most %ld MiB\n",
        opened - began, cpu, now_s() - opened, cpu_s() - cpu, workers,
        (unsigned long long)report.kinds[RESTORE_DELIVERY].restored,
        (unsigned long long)report.kinds[RESTORE_RETAINED].restored,
        (unsigned long long)report.kinds[RESTORE_SESSION].restored, mallinfo2().uordblks >> 20, resident_mib());
    kv_close(kv);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 5 && strcmp(argv[1], "make") == 0)
        return make(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
                    argc > 5 ? strtoull(argv[5], NULL, 10) : 10000, argc > 6 ? strtoul(argv[6], NULL, 10) : 64);
    if (argc >= 3 && strcmp(argv[1], "open") == 0)
        return open_it(argv[2], argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1);
    fputs("restore_bench make DIR QUEUED RETAINED [SESSIONS [PAYLOAD]] | open DIR [WORKERS]\n", stderr);
    return 2;
}
