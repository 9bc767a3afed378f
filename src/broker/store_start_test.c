/* A store at the start of the broker: new, intact, of an older format, of a newer one, in use, damaged in every way that
 * comes to mind, on a disk that refuses; and read back into shards. */
#include "broker/store_migrate.h"
#include "broker/store_start.h"
#include "shard/pressure.h"
#include "shard/shard.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define PAGE     4096
#define MESSAGES 2000

struct place {
    char dir[64];
    struct store_start start;
    struct now now;
    char log[16384];
    size_t log_len;
    unsigned said; /* calls of progress() */
};

static void to_log(void *ctx, enum log_level level UNUSED, struct span line)
{
    struct place *p = ctx;

    if (p->log_len + line.len < sizeof p->log) {
        memcpy(p->log + p->log_len, line.p, line.len);
        p->log_len += line.len;
        p->log[p->log_len] = '\0';
    }
}

static void on_progress(void *ctx, const char *stage, uint64_t done UNUSED, uint64_t of UNUSED)
{
    struct place *p = ctx;

    assert_non_null(stage);
    p->said++;
}

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    assert_non_null(p);
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/store_start_XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    p->start = (struct store_start){
        .state_dir = p->dir, .max_bytes = 64 << 20, .progress = on_progress, .progress_ctx = p
    };
    p->now = (struct now){ { 1000 }, { 1800000000, 0 } };
    log_set_sink(to_log, p);
    *state = p;
    return 0;
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);

    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        char inner[512];

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (void)snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        remove_tree(inner);
    }
    if (dir != NULL)
        closedir(dir);
    (void)remove(path);
}

static int tear_down(void **state)
{
    struct place *p = *state;

    log_set_sink(NULL, NULL);
    remove_tree(p->dir);
    free(p);
    return 0;
}

/* How many names in the state folder begin so; the last of them is left in `name`. */
static unsigned names(const struct place *p, const char *prefix, char name[256])
{
    DIR *dir = opendir(p->dir);
    unsigned n = 0;

    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && e->d_name[0] != '.') {
            (void)snprintf(name, 256, "%s", e->d_name);
            n++;
        }
    closedir(dir);
    return n;
}

static void expect_only_the_store(const struct place *p)
{
    char name[256];

    assert_int_equal(names(p, "", name), 1);
    assert_string_equal(name, "store");
}

static struct kv *open_ok(struct place *p)
{
    struct why why = { 0 };
    struct kv *kv = NULL;
    enum status st = store_start_open(&p->start, p->now, &kv, &why);

    if (st != ST_OK)
        fail_msg("%s: %s", status_name(st), why.text != NULL ? why.text : "");
    return kv;
}

static enum status open_not(struct place *p, struct why *why)
{
    struct kv *kv = NULL;
    enum status st = store_start_open(&p->start, p->now, &kv, why);

    assert_null(kv);
    assert_non_null(why->text);
    return st;
}

static void apply(struct kv *kv, struct kv_batch *b)
{
    const struct kv_batch *batches[] = { b };
    struct why why = { 0 };

    assert_int_equal(kv_apply(kv, batches, 1, &why), ST_OK);
    kv_batch_reset(b);
}

/* One session, offline, with so many messages in its queue and as many retained. */
static void fill(struct place *p, uint32_t format)
{
    static uint8_t payload[400];
    struct kv *kv = open_ok(p);
    struct kv_batch b;
    char topic[32];

    memset(payload, 'p', sizeof payload);
    kv_batch_init(&b, SIZE_MAX);
    assert_int_equal(record_put_meta(&b, &(struct record_meta){ .format = format, .workers = 2 }), ST_OK);
    assert_int_equal(record_put_session(&b, &(struct record_session){ .session = 1,
                                                                      .client_id = SPAN("client"),
                                                                      .expiry_s = UINT32_MAX,
                                                                      .left_ms = 1,
                                                                      .version = 5 }),
                     ST_OK);
    assert_int_equal(record_put_subscription(
                         &b, &(struct record_subscription){ .session = 1, .n = 1, .filter = SPAN("a/#") }),
                     ST_OK);
    for (uint64_t i = 1; i <= MESSAGES; i++) {
        struct record_message m = { .number = i,
                                    .qos = 1,
                                    .expires_ms = RECORD_NEVER,
                                    .token_until_s = RECORD_NEVER,
                                    .payload = span_of(payload, sizeof payload) };

        (void)snprintf(topic, sizeof topic, "a/%u", (unsigned)i);
        m.topic = span_of_str(topic);
        assert_int_equal(record_put_message(&b, &m), ST_OK);
        assert_int_equal(
            record_put_delivery(&b, &(struct record_delivery){ .session = 1, .n = i, .body = i, .qos = 1 }),
            ST_OK);
        m.retain = true;
        assert_int_equal(record_put_retained(&b, &m), ST_OK);
    }
    apply(kv, &b);
    kv_batch_done(&b);
    kv_close(kv);
}

static void data_file(const struct place *p, char path[128])
{
    (void)snprintf(path, 128, "%s/store/data.mdb", p->dir);
}

static void spoil(const struct place *p, off_t at, const void *bytes, size_t len)
{
    char file[128];
    int fd;

    data_file(p, file);
    fd = open(file, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
    close(fd);
}

static off_t file_size(const struct place *p)
{
    struct stat info;
    char file[128];

    data_file(p, file);
    assert_int_equal(stat(file, &info), 0);
    return info.st_size;
}

/* ---- shards to read it into ---- */

static enum status random_bytes(void *ctx UNUSED, void *buf, size_t len)
{
    memset(buf, 7, len);
    return ST_OK;
}

static void post(void *ctx UNUSED, unsigned to UNUSED, struct shard_msg *msg)
{
    shard_msg_free(msg);
}

static void store(void *ctx UNUSED, uint64_t seq UNUSED, struct kv_batch *batch)
{
    assert_true(kv_batch_empty(batch));
}

#define SHARDS 2

static struct restore_report restored(struct place *p, struct kv *kv)
{
    const struct shard_world world = { .post = post, .random = random_bytes, .store = store };
    struct shard *shards[SHARDS];
    struct shard_settings settings;
    struct restore_report report;
    struct why why = { 0 };

    shard_settings_init(&settings);
    settings.durability = DURABILITY_COMMIT;
    settings.sys_interval_s = 0;
    settings.max_retained_messages = MESSAGES;
    for (unsigned i = 0; i < SHARDS; i++)
        assert_int_equal(shard_new(i, SHARDS, &settings, &world, NULL, NULL, p->now, &shards[i]), ST_OK);
    assert_int_equal(store_start_restore(&p->start, kv, shards, SHARDS, p->now, &report, &why), ST_OK);
    for (unsigned i = 0; i < SHARDS; i++)
        shard_free(shards[i]);
    return report;
}

static void expect_whole(struct place *p)
{
    struct kv *kv = open_ok(p);
    struct restore_report report = restored(p, kv);

    assert_int_equal(report.kinds[RESTORE_SESSION].restored, 1);
    assert_int_equal(report.kinds[RESTORE_SUBSCRIPTION].restored, 1);
    assert_int_equal(report.kinds[RESTORE_DELIVERY].restored, MESSAGES);
    assert_int_equal(report.kinds[RESTORE_RETAINED].restored, MESSAGES);
    assert_null(report.unreadable.clause);
    kv_close(kv);
}

/* ---- tests ---- */

static void a_new_store_is_made_and_found_again(void **state)
{
    struct place *p = *state;
    struct restore_report report;
    struct kv *kv = open_ok(p);

    report = restored(p, kv);
    assert_true(report.empty);
    kv_close(kv);
    kv = open_ok(p);
    report = restored(p, kv);
    assert_false(report.empty);
    assert_int_equal(report.workers, SHARDS);
    kv_close(kv);
    expect_only_the_store(p);
}

static void an_intact_store_is_read_back_whole_each_time(void **state)
{
    struct place *p = *state;

    fill(p, RECORD_FORMAT);
    expect_whole(p);
    expect_whole(p);
    expect_only_the_store(p);
    assert_non_null(strstr(p->log, "store_restored"));
    assert_non_null(strstr(p->log, "queued=2000"));
    assert_true(p->said > 0);
}

/* All of the data file; the caller frees. */
static uint8_t *read_file(const struct place *p, off_t *ret_len)
{
    char file[128];
    uint8_t *bytes;
    int fd;

    data_file(p, file);
    *ret_len = file_size(p);
    bytes = malloc((size_t)*ret_len);
    fd = open(file, O_RDONLY);
    assert_true(bytes != NULL && fd >= 0);
    assert_int_equal(read(fd, bytes, (size_t)*ret_len), *ret_len);
    close(fd);
    return bytes;
}

static void a_store_of_a_newer_broker_is_refused_by_name_and_not_touched(void **state)
{
    struct place *p = *state;
    struct why why = { 0 };
    uint8_t *before, *after;
    off_t len, len_after;

    fill(p, RECORD_FORMAT + 1);
    before = read_file(p, &len);
    assert_int_equal(open_not(p, &why), ST_BAD_VERSION);
    assert_non_null(strstr(why.text, "newer"));
    assert_non_null(strstr(p->log, "store_newer"));
    after = read_file(p, &len_after);
    assert_int_equal(len, len_after);
    assert_memory_equal(before, after, (size_t)len);
    expect_only_the_store(p);
    free(before);
    free(after);
}

static void a_store_has_one_broker(void **state)
{
    struct place *p = *state;
    struct kv *kv = open_ok(p);
    struct why why = { 0 };

    assert_int_equal(open_not(p, &why), ST_EXISTS);
    kv_close(kv);
    expect_only_the_store(p);
}

/* ---- formats ---- */

/* What format 0 had of what format 1 has: record_test.c has the bytes. */
static enum status as_format_0(void *ctx, struct span key, struct span value)
{
    struct kv_batch *b = ctx;
    struct buf *v;
    size_t at;

    if (key.p[0] != 'v' && key.p[0] != 's')
        return kv_batch_put(b, key, value);
    assert_int_equal(record_unsum(key, &value, NULL), ST_OK);
    v = kv_batch_put_begin(b, key);
    at = v->len;
    if (key.p[0] == 'v') {
        put_u32(v, 0);
        put_bytes(v, span_cut(value, 4, value.len - 12));
    } else {
        put_bytes(v, span_cut(value, 1, value.len - 1));
    }
    put_u32(v, record_sum(key, span_of(v->p + at, v->len - at)));
    return kv_batch_put_end(b);
}

static void fill_0(struct place *p)
{
    struct kv_batch b;
    struct kv *kv;

    fill(p, RECORD_FORMAT);
    kv = open_ok(p);
    kv_batch_init(&b, SIZE_MAX);
    assert_int_equal(kv_scan(kv, SPAN_NONE, as_format_0, &b, NULL), ST_OK);
    apply(kv, &b);
    kv_batch_done(&b);
    kv_close(kv);
}

static void an_older_store_is_brought_to_todays_format_and_kept(void **state)
{
    struct place *p = *state;
    char name[256];

    fill_0(p);
    expect_whole(p);
    assert_int_equal(names(p, "store.format-0-20270115T080000Z", name), 1);
    assert_int_equal(names(p, "", name), 2);
    assert_non_null(strstr(p->log, "store_migrated"));
    assert_non_null(strstr(p->log, "from=0 to=1"));
    expect_whole(p);
    assert_int_equal(names(p, "", name), 2); /* once */
}

static void a_migration_that_was_interrupted_begins_again(void **state)
{
    struct place *p = *state;
    char path[128], name[256];
    struct kv *kv;

    fill_0(p);
    (void)snprintf(path, sizeof path, "%s/store.migrating", p->dir);
    assert_int_equal(kv_open(path, &(struct kv_settings){ 0 }, &kv, NULL), ST_OK); /* half of it */
    kv_close(kv);
    expect_whole(p);
    assert_int_equal(names(p, "store.format-0-", name), 1);
    assert_int_equal(names(p, "", name), 2);
}

static void a_migration_that_was_interrupted_at_its_end_is_finished(void **state)
{
    struct place *p = *state;
    char former[128], path[128], name[256];

    fill_0(p);
    expect_whole(p);
    assert_int_equal(names(p, "store.format-0-", name), 1);
    (void)snprintf(former, sizeof former, "%s/%.60s", p->dir, name);
    (void)snprintf(path, sizeof path, "%s/store.migrating", p->dir);
    assert_int_equal(rename(former, path), 0);
    expect_whole(p);
    assert_int_equal(names(p, "store.former-", name), 1);
    assert_int_equal(names(p, "", name), 2);
}

static void what_has_no_way_to_today_is_not_migrated(void **state UNUSED)
{
    struct kv_batch b;
    struct why why = { 0 };

    assert_true(store_migrate_knows(0));
    assert_false(store_migrate_knows(RECORD_FORMAT));
    kv_batch_init(&b, SIZE_MAX);
    assert_int_equal(store_migrate_record(0, SPAN("v"), SPAN("abc"), &b, &why), ST_MALFORMED);
    assert_int_equal(store_migrate_record(0, SPAN("s2345678"), SPAN("abcdefgh"), &b, &why), ST_MALFORMED);
    assert_int_equal(b.count, 0);
    assert_int_equal(store_migrate_record(0, SPAN("tx"), SPAN("y"), &b, &why), ST_OK); /* tokens as they are */
    assert_int_equal(b.count, 1);
    kv_batch_done(&b);
}

/* ---- damage ---- */

/* It starts; what is there is counted; the damaged one is kept. */
static struct restore_report expect_salvaged(struct place *p, unsigned kept)
{
    struct restore_report report;
    char name[256];
    struct kv *kv = open_ok(p);

    report = restored(p, kv);
    kv_close(kv);
    assert_int_equal(names(p, "store.damaged-", name), kept);
    assert_int_equal(names(p, "", name), 1 + kept);
    assert_non_null(strstr(p->log, "store_damaged"));
    return report;
}

static void a_file_cut_short_is_set_aside_and_what_can_be_read_is_saved(void **state)
{
    struct place *p = *state;
    struct restore_report report;
    char file[128];
    off_t size;

    fill(p, RECORD_FORMAT);
    data_file(p, file);
    size = file_size(p);
    assert_int_equal(truncate(file, size / PAGE * 3 / 4 * PAGE),
                     0); /* mapping it would end the process: SIGBUS */
    report = expect_salvaged(p, 1);
    assert_true(report.records < 3 * MESSAGES);
    expect_salvaged(p, 1); /* from then on all is well */
}

static void a_spoilt_page_costs_what_was_in_it(void **state)
{
    static const uint8_t garbage[PAGE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                           0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    struct place *p = *state;
    struct restore_report report;

    fill(p, RECORD_FORMAT);
    spoil(p, 20 * PAGE, garbage, sizeof garbage);
    report = expect_salvaged(p, 1);
    assert_true(report.records > 2 * MESSAGES);
    assert_true(report.records < 3 * MESSAGES + 3);
    assert_null(report.unreadable.clause);
}

/* Where the next payload begins, be it of a record or left over in a free page; -1: there is none. */
static off_t next_payload(const uint8_t *bytes, off_t len, off_t at)
{
    size_t run = 0;

    for (; at < len; at++) {
        run = bytes[at] == 'p' ? run + 1 : 0;
        if (run == 350)
            return at;
    }
    return -1;
}

static void a_spoilt_payload_costs_one_message(void **state)
{
    struct place *p = *state;
    struct restore_report report = { 0 };
    off_t len, at = 0;
    uint8_t *bytes;
    char name[256];

    fill(p, RECORD_FORMAT);
    bytes = read_file(p, &len);
    while (report.unreadable.clause == NULL) {
        struct kv *kv;

        at = next_payload(bytes, len, at + 1);
        assert_true(at > 0);
        spoil(p, at, "!", 1);
        kv = open_ok(p); /* the pages are fine */
        report = restored(p, kv);
        kv_close(kv);
    }
    assert_int_equal(names(p, "", name), 1);
    assert_int_equal(report.kinds[RESTORE_MESSAGE].unreadable + report.kinds[RESTORE_RETAINED].unreadable, 1);
    assert_int_equal(report.kinds[RESTORE_MESSAGE].restored + report.kinds[RESTORE_RETAINED].restored,
                     2 * MESSAGES - 1);
    assert_non_null(strstr(p->log, "store_records_lost"));
    free(bytes);
}

static void heads_that_say_nothing_leave_an_empty_store(void **state)
{
    static const uint8_t garbage[2 * PAGE];
    struct place *p = *state;
    struct restore_report report;

    fill(p, RECORD_FORMAT);
    spoil(p, 0, garbage, sizeof garbage);
    report = expect_salvaged(p, 1);
    assert_int_equal(report.records, 0);
}

static void what_is_no_store_at_all_is_set_aside(void **state)
{
    struct place *p = *state;
    struct why why = { 0 };
    char path[128];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/store", p->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    data_file(p, path);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs("# a file of somebody else\n", f);
    fclose(f);
    expect_salvaged(p, 1);
    (void)snprintf(path, sizeof path, "%s/store", p->dir);
    remove_tree(path);
    f = fopen(path, "w"); /* not even a folder: somebody is to look */
    assert_non_null(f);
    fclose(f);
    assert_int_equal(open_not(p, &why), ST_IO);
}

static void a_disk_that_is_full_refuses_the_start_and_nothing_has_changed(void **state)
{
    static const uint8_t garbage[PAGE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                           0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    struct place *p = *state;
    struct why why = { 0 };
    off_t size;

    fill(p, RECORD_FORMAT);
    spoil(p, 20 * PAGE, garbage, sizeof garbage);
    size = file_size(p);
    p->start.max_bytes = 1 << 16; /* stands for the disk */
    assert_int_equal(open_not(p, &why), ST_QUOTA);
    assert_non_null(strstr(why.text, "no room"));
    expect_only_the_store(p);
    assert_int_equal(file_size(p), size);
    p->start.max_bytes = 64 << 20;
    expect_salvaged(p, 1);
}

static void any_spoilt_page_lets_the_broker_start(void **state)
{
    struct place *p = *state;
    uint8_t page[PAGE];
    char name[256], path[600];
    off_t pages;

    fill(p, RECORD_FORMAT);
    pages = file_size(p) / PAGE;
    for (off_t i = 0; i < pages; i += 1 + pages / 60) {
        struct restore_report report;
        struct kv *kv;

        for (size_t k = 0; k < PAGE; k++)
            page[k] = (uint8_t)((size_t)i * 31 + k * 7);
        spoil(p, i * PAGE, page, i % 2 == 0 ? PAGE : 64);
        kv = open_ok(p);
        report = restored(p, kv);
        kv_close(kv);
        assert_true(report.records <= 3 * MESSAGES + 4);
        (void)snprintf(path, sizeof path, "%s/store", p->dir);
        remove_tree(path);
        while (names(p, "store.damaged", name) > 0) {
            (void)snprintf(path, sizeof path, "%s/%s", p->dir, name);
            remove_tree(path);
        }
        fill(p, RECORD_FORMAT);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_store_is_made_and_found_again),
        TEST(an_intact_store_is_read_back_whole_each_time),
        TEST(a_store_of_a_newer_broker_is_refused_by_name_and_not_touched),
        TEST(a_store_has_one_broker),
        TEST(an_older_store_is_brought_to_todays_format_and_kept),
        TEST(a_migration_that_was_interrupted_begins_again),
        TEST(a_migration_that_was_interrupted_at_its_end_is_finished),
        TEST(what_has_no_way_to_today_is_not_migrated),
        TEST(a_file_cut_short_is_set_aside_and_what_can_be_read_is_saved),
        TEST(a_spoilt_page_costs_what_was_in_it),
        TEST(a_spoilt_payload_costs_one_message),
        TEST(heads_that_say_nothing_leave_an_empty_store),
        TEST(what_is_no_store_at_all_is_set_aside),
        TEST(a_disk_that_is_full_refuses_the_start_and_nothing_has_changed),
        TEST(any_spoilt_page_lets_the_broker_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
