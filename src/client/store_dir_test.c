/* The store in a folder: what comes back, what is refused, what is damaged. */
#include "client/engine_world.h"
#include "client/store_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct now now = { { 5000000 }, { 1800000000, 0 } };
static char dir[64];

static int make_dir(void **state UNUSED)
{
    snprintf(dir, sizeof dir, "/tmp/store_dir_test.XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state UNUSED)
{
    DIR *d = opendir(dir);

    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    return rmdir(dir);
}

static struct store_dir *open_store(size_t max, bool want_damaged)
{
    const struct store_dir_settings s = { .dir = dir, .client_id = "c", .max_bytes = max };
    struct store_dir *store = NULL;
    struct why why = { 0 };
    bool damaged;

    assert_int_equal(store_dir_open(&s, now, &store, &damaged, &why), ST_OK);
    assert_int_equal(damaged, want_damaged);
    return store;
}

static struct engine_settings with_store(struct store_dir *store)
{
    struct engine_settings s = plain;

    s.store = &store_dir_functions;
    s.store_ctx = store;
    return s;
}

/* A client process: its store and its engine. */
static struct world *begin(struct store_dir **ret_store)
{
    *ret_store = open_store(100000, false);
    struct engine_settings s = with_store(*ret_store);
    struct world *w = world_new(&s);
    assert_int_equal(store_dir_load(*ret_store, &w->engine, w->now, NULL), ST_OK);
    return w;
}

/* Without any farewell. */
static void die(struct world *w, struct store_dir *store)
{
    world_free(w);
    store_dir_close(store);
}

static void messages_and_handshakes_survive(void **state UNUSED)
{
    struct store_dir *store;
    struct world *w = begin(&store);

    world_connect(w, false);
    world_publish(w, 2, SYMBOLON_OK);
    world_publish(w, 1, SYMBOLON_OK);
    world_publish(w, 1, SYMBOLON_OK); /* queued: 2 in flight */
    world_publish(w, 0, SYMBOLON_OK); /* QoS 0 is nobody's promise */
    uint16_t first = assert_publish(w, false), second = assert_publish(w, false);
    give_ack(w, MQTT_PUBREC, first, 0);
    assert_sent(w, MQTT_PUBREL);
    give_publish(w, 2, 77, 0);
    assert_sent(w, MQTT_PUBREC);
    die(w, store);

    w = begin(&store);
    assert_int_equal(engine_pending(&w->engine), 3);
    world_connect(w, true); /* not a clean start: the session is known */
    assert_sent(w, MQTT_PUBREL);
    assert_int_equal(assert_publish(w, true), second);
    assert_publish(w, false); /* the PUBREL took nothing of the quota */
    give_publish(w, 2, 77, 0);
    assert_sent(w, MQTT_PUBREC);
    assert_int_equal(w->messages, 0); /* the former process had it */
    give_ack(w, MQTT_PUBREL, 77, 0);
    assert_sent(w, MQTT_PUBCOMP);
    give_ack(w, MQTT_PUBCOMP, first, 0);
    give_ack(w, MQTT_PUBACK, second, 0);
    die(w, store);

    w = begin(&store);
    assert_int_equal(engine_pending(&w->engine), 1);
    assert_int_equal(w->engine.received.count, 0);
    assert_true(world_publish(w, 1, SYMBOLON_OK) > 3); /* identifiers go on */
    die(w, store);
}

static void a_lost_session_is_forgotten_on_disk_too(void **state UNUSED)
{
    struct store_dir *store;
    struct world *w = begin(&store);

    world_connect(w, false);
    world_publish(w, 1, SYMBOLON_OK);
    world_publish(w, 2, SYMBOLON_OK);
    assert_publish(w, false);
    assert_publish(w, false);
    give_publish(w, 2, 5, 0);
    assert_sent(w, MQTT_PUBREC);
    die(w, store);
    w = begin(&store);
    world_connect(w, false);
    assert_int_equal(w->published, 1); /* QoS 2: its fate is unknown, and said */
    assert_int_equal(w->result.status, SYMBOLON_CLOSED);
    assert_publish(w, false); /* QoS 1 goes again, as a new message */
    die(w, store);
    w = begin(&store);
    assert_int_equal(engine_pending(&w->engine), 1);
    assert_int_equal(w->engine.received.count, 0);
    die(w, store);
}

static void expiry_counts_the_time_between_two_processes(void **state UNUSED)
{
    const struct symbolon_message m = { .topic = { "t", 1 }, .qos = 1, .has_expiry = true, .expiry_s = 100 };
    struct store_dir *store;
    struct world *w = begin(&store);

    assert_int_equal(engine_publish(&w->engine, &m, w->now, NULL, NULL), SYMBOLON_OK);
    die(w, store);
    store = open_store(100000, false);
    struct engine_settings s = with_store(store);
    w = world_new(&s);
    w->now.wall.s += 101;
    assert_int_equal(store_dir_load(store, &w->engine, w->now, NULL), ST_OK);
    world_connect(w, false);
    assert_silent(w);
    assert_int_equal(w->result.status, SYMBOLON_TIMEOUT);
    die(w, store);
}

static void what_does_not_fit_is_refused(void **state UNUSED)
{
    struct store_dir *store = open_store(STORE_ROW_BYTES + 10, false);
    struct engine_settings s = with_store(store);
    struct world *w = world_new(&s);

    world_publish(w, 1, SYMBOLON_OK);
    world_publish(w, 1, SYMBOLON_QUEUE_FULL);
    world_publish(w, 0, SYMBOLON_OK);
    world_connect(w, false);
    give_ack(w, MQTT_PUBACK, assert_publish(w, false), 0);
    world_publish(w, 1, SYMBOLON_OK); /* there is room again */
    die(w, store);
}

static void one_client_at_a_time_and_always_the_same(void **state UNUSED)
{
    struct store_dir *store = open_store(1000, false), *other = NULL;
    struct store_dir_settings s = { .dir = dir, .client_id = "c", .max_bytes = 1000, .fsync = true };
    struct why why = { 0 };
    bool damaged;

    assert_int_equal(store_dir_open(&s, now, &other, &damaged, &why), ST_EXISTS);
    store_dir_close(store);
    s.client_id = "another";
    assert_int_equal(store_dir_open(&s, now, &other, &damaged, &why), ST_DENIED);
    s.client_id = "c";
    assert_int_equal(store_dir_open(&s, now, &other, &damaged, &why), ST_OK);
    store_dir_close(other);
}

static void path_of(const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", dir, name);
}

static void overwrite(const char *name, off_t at, const void *bytes, size_t len)
{
    char path[128];

    path_of(name, path);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    if (len == 0)
        assert_int_equal(ftruncate(fd, at), 0);
    else
        assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
    close(fd);
}

static void fill_store(void)
{
    struct store_dir *store;
    struct world *w = begin(&store);

    for (int i = 0; i < 4; i++)
        world_publish(w, 1, SYMBOLON_OK);
    die(w, store);
}

static bool set_aside(void)
{
    char path[128];
    struct stat st;

    path_of("messages.db.damaged-1800000000", path);
    return stat(path, &st) == 0;
}

static void a_damaged_file_is_set_aside_and_the_client_goes_on(void **state UNUSED)
{
    static const uint8_t garbage[4096] = { 0xaa, 0x55 };
    static const struct {
        off_t at;
        size_t len;
    } damages[] = { { 0, sizeof garbage }, { 4096, sizeof garbage }, { 4100, 0 }, { 8192, sizeof garbage } };

    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        fill_store();
        overwrite("messages.db", damages[i].at, garbage, damages[i].len);
        struct store_dir *store = open_store(1000, true);
        assert_true(set_aside());
        store_dir_close(store);
        store = open_store(1000, false);
        store_dir_close(store);
        remove_dir(NULL);
        assert_int_equal(mkdir(dir, 0700), 0);
    }
}

static enum status refuse(void *ctx UNUSED)
{
    return ST_IO;
}

static enum status accept_put(void *ctx UNUSED, const struct outgoing *o UNUSED, struct now when UNUSED)
{
    return ST_OK;
}

static enum status accept_note(void *ctx UNUSED, enum store_change what UNUSED, uint64_t id UNUSED,
                               uint16_t packet_id UNUSED)
{
    return ST_OK;
}

static void nothing_leaves_that_could_not_be_written_down(void **state UNUSED)
{
    static const struct engine_store full_disk = { accept_put, accept_note, refuse };
    struct engine_settings s = plain;

    struct world *w = world_new(&s);
    world_connect(w, false);
    w->engine.settings.store = &full_disk;
    world_publish(w, 1, SYMBOLON_IO);
    assert_disconnect(w, MQTT_UNSPECIFIED_ERROR); /* and no PUBLISH */
    assert_silent(w);
    assert_int_equal(w->error.status, SYMBOLON_IO);
    world_free(w);
}

/* Who can put files into the folder can put another database there, or read this one by a name of his own. */
static void a_folder_that_others_may_write_into_is_not_used(void **state UNUSED)
{
    const struct store_dir_settings s = { .dir = dir, .client_id = "c", .max_bytes = 1000 };
    static const mode_t open_to_others[] = { 0777, 01777, 0770, 0702 };
    struct store_dir *store = NULL;
    bool damaged;

    for (size_t i = 0; i < COUNT_OF(open_to_others); i++) {
        assert_int_equal(chmod(dir, open_to_others[i]), 0);
        assert_int_equal(store_dir_open(&s, now, &store, &damaged, NULL), ST_DENIED);
    }
    assert_int_equal(chmod(dir, 0755), 0); /* they may look at names */
    assert_int_equal(store_dir_open(&s, now, &store, &damaged, NULL), ST_OK);
    store_dir_close(store);
    if (geteuid() == 0) {
        assert_int_equal(chown(dir, 12345, (gid_t)-1), 0);
        assert_int_equal(store_dir_open(&s, now, &store, &damaged, NULL), ST_DENIED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folder_that_others_may_write_into_is_not_used, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(messages_and_handshakes_survive, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_lost_session_is_forgotten_on_disk_too, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(expiry_counts_the_time_between_two_processes, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(one_client_at_a_time_and_always_the_same, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_set_aside_and_the_client_goes_on, make_dir,
                                        remove_dir),
        cmocka_unit_test(nothing_leaves_that_could_not_be_written_down),
    };
    return cmocka_run_group_tests_name("client_store_dir", tests, NULL, NULL);
}
