/* Real workers on real threads, clients on loopback sockets: hand-over, posting between shards, stopping. */
#include "broker/worker.h"

#include "net/listener.h"
#include "scope/scope.h"
#include "store/kv_batch.h"
#include "token/token.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define WORKERS    4
#define CLIENTS    16
#define PATIENCE_S 60
#define IN_MAX     65536

/* A disk that answers when the test says so. */
struct disk {
    struct world *world;
    pthread_mutex_t lock;
    bool quick; /* at once */
    unsigned batches;
    bool waits[WORKERS];
    uint64_t seq[WORKERS];
};

struct world {
    struct worker_common common;
    struct shard_settings settings;
    struct scope *everything;
    uint16_t port;
};

/* Of the workers that come. */
static struct lend_rules lend;

/* On a worker's thread. */
static void disk_store(void *ctx, unsigned worker, uint64_t seq, struct kv_batch *batch)
{
    struct disk *disk = ctx;
    struct kv_batch taken = kv_batch_take(batch);

    assert_false(kv_batch_empty(&taken));
    kv_batch_done(&taken);
    pthread_mutex_lock(&disk->lock);
    assert_false(disk->waits[worker]); /* one at a time */
    disk->batches++;
    disk->seq[worker] = seq;
    bool quick = disk->quick;
    disk->waits[worker] = !quick;
    pthread_mutex_unlock(&disk->lock);
    if (quick)
        worker_stored(disk->world->common.workers[worker], seq);
}

static unsigned disk_batches(struct disk *disk)
{
    pthread_mutex_lock(&disk->lock);
    unsigned batches = disk->batches;
    pthread_mutex_unlock(&disk->lock);
    return batches;
}

static void disk_wait(struct disk *disk, unsigned batches)
{
    for (int i = 0; disk_batches(disk) < batches; i++) {
        assert_true(i < PATIENCE_S * 1000);
        usleep(1000);
    }
}

/* Everything that waits is stored. */
static void disk_answer(struct disk *disk)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_mutex_lock(&disk->lock);
        bool waits = TAKE(disk->waits[i]);
        uint64_t seq = disk->seq[i];
        pthread_mutex_unlock(&disk->lock);
        if (waits)
            worker_stored(disk->world->common.workers[i], seq);
    }
}

static void disk_be_quick(struct disk *disk)
{
    pthread_mutex_lock(&disk->lock);
    disk->quick = true;
    pthread_mutex_unlock(&disk->lock);
    disk_answer(disk);
}

static void disk_say(struct disk *disk, enum status st)
{
    const struct why why = { "EIO", "the disk refused", 0 };

    for (unsigned i = 0; i < WORKERS; i++)
        worker_store_state(disk->world->common.workers[i], st, &why);
}

/* `disk` NULL: nothing is kept. */
static void world_init_on(struct world *w, struct disk *disk, int64_t seal_ms)
{
    const struct scope_entry all = { { SPAN("#") }, SCOPE_PUB | SCOPE_SUB };
    struct listener_settings where = { .address = "127.0.0.1", .share = true };
    *w = (struct world){ .common = { .count = WORKERS, .handshake_ms = 300000 } };
    shard_settings_init(&w->settings);
    assert_int_equal(scope_build(&all, 1, &w->everything, NULL), ST_OK);
    w->settings.public_scope = w->everything;
    w->settings.home_key = (struct hash_key){ { 1, 2 } };
    w->common.settings = &w->settings;
    w->common.lend = lend;
    w->settings.max_guest_expiry_s = 3600;
    w->settings.durability = seal_ms == 0 ? DURABILITY_COMMIT : DURABILITY_INTERVAL;
    if (disk != NULL) {
        *disk = (struct disk){ .world = w, .lock = PTHREAD_MUTEX_INITIALIZER };
        w->common.store = disk_store;
        w->common.store_ctx = disk;
        w->common.seal_ms = seal_ms;
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        int fd;
        assert_int_equal(worker_new(&w->common, i, NULL, NULL), ST_OK);
        assert_int_equal(listener_socket(&where, &fd, &where.port, NULL), ST_OK);
        assert_int_equal(worker_listen(w->common.workers[i], fd, NULL, NULL, NULL), ST_OK);
    }
    w->port = where.port;
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(worker_start(w->common.workers[i], NULL), ST_OK);
}

static void world_init(struct world *w)
{
    world_init_on(w, NULL, 0);
}

static void world_stop(struct world *w)
{
    for (unsigned i = 0; i < WORKERS; i++)
        worker_stop(w->common.workers[i]);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_join(w->common.workers[i]);
}

static void world_free(struct world *w)
{
    for (unsigned i = 0; i < WORKERS; i++)
        worker_free(w->common.workers[i]);
    scope_unref(w->everything);
}

/* -- a client: blocking, MQTT by hand --- */

struct client {
    int fd;
    size_t len;
    uint8_t in[IN_MAX];
};

static void send_all(struct client *c, struct span bytes)
{
    assert_int_equal(send(c->fd, bytes.p, bytes.len, MSG_NOSIGNAL), bytes.len);
}

/* One packet into `out`, header included; 0 at the end of the connection. */
static size_t receive(struct client *c, uint8_t *out, size_t cap)
{
    for (;;) {
        size_t at = 1, len = 0;
        unsigned shift = 0;
        bool head = false;
        while (at < c->len && !head) {
            len |= (size_t)(c->in[at] & 127) << shift;
            shift += 7;
            head = (c->in[at++] & 128) == 0;
        }
        if (head && at + len <= c->len) {
            assert_true(at + len <= cap);
            memcpy(out, c->in, at + len);
            c->len -= at + len;
            memmove(c->in, c->in + at + len, c->len);
            return at + len;
        }
        ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - c->len, 0);
        if (n <= 0)
            return 0;
        c->len += (size_t)n;
    }
}

static void expect(struct client *c, uint8_t first_byte)
{
    uint8_t packet[4096];
    assert_true(receive(c, packet, sizeof packet) > 0);
    assert_int_equal(packet[0], first_byte);
}

static void put_packet(struct buf *out, uint8_t type, const struct buf *body)
{
    put_u8(out, type);
    put_varint(out, (uint32_t)body->len);
    put_bytes(out, buf_span(body));
}

static void send_packet(struct client *c, uint8_t type, const struct buf *body)
{
    struct buf out;
    buf_init(&out, 65536);
    put_packet(&out, type, body);
    send_all(c, buf_span(&out));
    buf_done(&out);
}

static void open_client(struct client *c, const struct world *w)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(w->port) };
    struct timeval patience = { .tv_sec = PATIENCE_S };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->len = 0;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(c->fd >= 0);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(c->fd, (struct sockaddr *)(void *)&to, sizeof to), 0);
}

static void put_connect(struct buf *body, struct span client_id)
{
    put_prefixed16(body, SPAN("MQTT"));
    put_u8(body, 5);
    put_u8(body, 2); /* clean start */
    put_u16(body, 60);
    put_u8(body, 0);
    put_prefixed16(body, client_id);
}

static void put_publish(struct buf *body, struct span topic, uint16_t packet_id, struct span payload)
{
    put_prefixed16(body, topic);
    if (packet_id != 0)
        put_u16(body, packet_id);
    put_u8(body, 0);
    put_bytes(body, payload);
}

static void login(struct client *c, const struct world *w, struct span client_id)
{
    struct buf body;
    buf_init(&body, 4096);
    open_client(c, w);
    put_connect(&body, client_id);
    send_packet(c, 0x10, &body);
    buf_done(&body);
    expect(c, 0x20);
}

static void subscribe(struct client *c, struct span filter)
{
    struct buf body;
    buf_init(&body, 4096);
    put_u16(&body, 1);
    put_u8(&body, 0);
    put_prefixed16(&body, filter);
    put_u8(&body, 1); /* QoS 1 */
    send_packet(c, 0x82, &body);
    buf_done(&body);
    expect(c, 0x90);
}

static void publish(struct client *c, struct span topic, uint16_t packet_id, struct span payload)
{
    struct buf body;
    buf_init(&body, 4096);
    put_publish(&body, topic, packet_id, payload);
    send_packet(c, packet_id != 0 ? 0x32 : 0x30, &body);
    buf_done(&body);
}

static struct client *new_clients(size_t count)
{
    struct client *clients = calloc(count, sizeof *clients);
    assert_non_null(clients);
    return clients;
}

/* -- the tests --- */

static void everybody_hears_everybody_whatever_worker_they_live_on(void **state)
{
    struct world w;
    struct client *clients = new_clients(CLIENTS);
    struct stats stats;
    uint64_t moved = 0, connections = 0;
    uint8_t packet[4096];
    char name[32];
    (void)state;
    world_init(&w);
    for (int i = 0; i < CLIENTS; i++) {
        (void)snprintf(name, sizeof name, "client-%d", i);
        login(&clients[i], &w, span_of_str(name));
        subscribe(&clients[i], SPAN("all/+"));
    }
    for (int i = 0; i < CLIENTS; i++)
        publish(&clients[i], SPAN("all/x"), 0, SPAN("hello"));
    for (int i = 0; i < CLIENTS; i++)
        for (int k = 0; k < CLIENTS; k++) {
            assert_true(receive(&clients[i], packet, sizeof packet) > 0);
            assert_int_equal(packet[0] & 0xf0, 0x30);
        }
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_stats(w.common.workers[i], &stats);
        moved += stats.connections_moved;
        connections += stats.connections;
    }
    assert_int_equal(connections, CLIENTS);
    assert_true(moved > 0); /* sixteen names do not all land where they live: 1 in 4^16 */
    world_stop(&w);
    for (int i = 0; i < CLIENTS; i++) {
        assert_true(receive(&clients[i], packet, sizeof packet) > 0);
        assert_int_equal(packet[0], 0xe0); /* DISCONNECT … */
        assert_int_equal(packet[2], 0x8b); /* … server shutting down: MQTT5 3.14.2.1 */
        assert_int_equal(receive(&clients[i], packet, sizeof packet), 0);
        close(clients[i].fd);
    }
    world_free(&w);
    free(clients);
}

/* QoS 1: everything acknowledged has been delivered to a subscriber on another worker, in order. */
static void one_publishers_messages_keep_their_order_across_workers(void **state)
{
    enum { MESSAGES = 500 };
    struct world w;
    struct client *clients = new_clients(2);
    uint8_t packet[4096];
    char text[16];
    (void)state;
    world_init(&w);
    login(&clients[0], &w, SPAN("subscriber-a"));
    login(&clients[1], &w, SPAN("publisher-b"));
    subscribe(&clients[0], SPAN("numbers"));
    for (int i = 0; i < MESSAGES; i++) {
        (void)snprintf(text, sizeof text, "%06d", i);
        publish(&clients[1], SPAN("numbers"), (uint16_t)(i % 200 + 1), span_of_str(text));
        expect(&clients[1], 0x40);
    }
    for (int i = 0; i < MESSAGES; i++) {
        size_t len = receive(&clients[0], packet, sizeof packet);
        (void)snprintf(text, sizeof text, "%06d", i);
        assert_true(len > 6);
        assert_memory_equal(packet + len - 6, text, 6);
        uint8_t ack[4] = { 0x40, 2, packet[2 + 2 + 7], packet[2 + 2 + 7 + 1] };
        send_all(&clients[0], span_of(ack, sizeof ack));
    }
    world_stop(&w);
    close(clients[0].fd);
    close(clients[1].fd);
    world_free(&w);
    free(clients);
}

static void what_is_pipelined_behind_connect_arrives_at_the_home_worker(void **state) /* MQTT5 3.1.4 */
{
    struct world w;
    struct client *clients = new_clients(1 + CLIENTS);
    struct buf body, out;
    uint8_t packet[4096];
    char name[32];
    (void)state;
    world_init(&w);
    buf_init(&body, 4096);
    buf_init(&out, 65536);
    login(&clients[CLIENTS], &w, SPAN("listener"));
    subscribe(&clients[CLIENTS], SPAN("quick"));
    for (int i = 0; i < CLIENTS; i++) {
        (void)snprintf(name, sizeof name, "quick-%d", i);
        buf_reset(&out);
        buf_reset(&body);
        put_connect(&body, span_of_str(name));
        put_packet(&out, 0x10, &body);
        buf_reset(&body);
        put_publish(&body, SPAN("quick"), 0, SPAN("here and gone"));
        put_packet(&out, 0x30, &body);
        put_bytes(&out, SPAN("\xe0\x00"));
        open_client(&clients[i], &w);
        send_all(&clients[i], buf_span(&out));
        shutdown(clients[i].fd, SHUT_WR);
    }
    for (int i = 0; i < CLIENTS; i++) {
        assert_true(receive(&clients[CLIENTS], packet, sizeof packet) > 0);
        assert_int_equal(packet[0] & 0xf0, 0x30);
    }
    world_stop(&w);
    for (int i = 0; i <= CLIENTS; i++)
        close(clients[i].fd);
    buf_done(&body);
    buf_done(&out);
    world_free(&w);
    free(clients);
}

static void a_client_taken_over_from_anywhere_is_told(void **state) /* MQTT5 [MQTT-3.1.4-3] */
{
    struct world w;
    struct client *clients = new_clients(CLIENTS);
    uint8_t packet[4096];
    (void)state;
    world_init(&w);
    for (int i = 0; i < CLIENTS; i++) /* accepted by changing workers, at home on one */
        login(&clients[i], &w, SPAN("the-same"));
    for (int i = 0; i < CLIENTS - 1; i++) {
        assert_true(receive(&clients[i], packet, sizeof packet) > 0);
        assert_int_equal(packet[0], 0xe0);
        assert_int_equal(packet[2], 0x8e);
        close(clients[i].fd);
    }
    world_stop(&w);
    close(clients[CLIENTS - 1].fd);
    world_free(&w);
    free(clients);
}

static void stopping_while_connections_come_and_go_leaves_nothing_behind(void **state)
{
    struct world w;
    struct client *clients = new_clients(4 * CLIENTS);
    struct buf body;
    char name[32];
    (void)state;
    world_init(&w);
    buf_init(&body, 4096);
    for (int i = 0; i < 4 * CLIENTS; i++) { /* some are moving when the stop comes */
        (void)snprintf(name, sizeof name, "late-%d", i);
        buf_reset(&body);
        put_connect(&body, span_of_str(name));
        open_client(&clients[i], &w);
        send_packet(&clients[i], 0x10, &body);
    }
    world_stop(&w);
    world_free(&w);
    for (int i = 0; i < 4 * CLIENTS; i++)
        close(clients[i].fd);
    buf_done(&body);
    free(clients);
}

static int socket_blocking(int fd)
{
    struct timeval patience = { .tv_sec = PATIENCE_S };
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

/* The reason code at that place; 0 where the packet is shorter (MQTT5 3.4.2.1). */
static uint8_t reason_in_answer(struct client *c, uint8_t first_byte, size_t at)
{
    uint8_t packet[4096];
    size_t len = receive(c, packet, sizeof packet);
    assert_true(len > 0);
    assert_int_equal(packet[0], first_byte);
    return len > at ? packet[at] : 0;
}

static uint8_t connect_reason(struct client *c, struct span client_id)
{
    struct buf body;
    buf_init(&body, 4096);
    put_connect(&body, client_id);
    send_packet(c, 0x10, &body);
    buf_done(&body);
    return reason_in_answer(c, 0x20, 3);
}

static uint8_t publish_reason(struct client *c, struct span topic)
{
    publish(c, topic, 1, SPAN("x"));
    return reason_in_answer(c, 0x40, 4);
}

/* A bridge's end: nobody else may have its name, and only it what its rules give it (MQTT5 4.7.2: not even $SYS). */
static void a_socket_of_our_own_brings_its_rights_and_keeps_its_name(void **state)
{
    const struct span name = SPAN("$bridge/hub");
    const struct scope_entry entry = { { SPAN("$SYS/state") }, SCOPE_PUB };
    struct world w;
    struct client *clients = new_clients(2);
    struct client *own = &clients[0], *stranger = &clients[1];
    struct scope *scope;
    struct token *token;
    int fds[2];
    (void)state;
    world_init(&w);
    assert_int_equal(scope_build(&entry, 1, &scope, NULL), ST_OK);
    assert_int_equal(token_built_in(name, scope, &token), ST_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_true(worker_adopt(w.common.workers[shard_home(&w.settings, WORKERS, name)], fds[1], token));
    own->fd = socket_blocking(fds[0]);
    assert_int_equal(connect_reason(own, name), 0);
    assert_int_equal(publish_reason(own, SPAN("$SYS/state")) & 0x80, 0);
    assert_int_equal(publish_reason(own, SPAN("$SYS/other")), 0x87);

    open_client(stranger, &w);
    assert_int_equal(connect_reason(stranger, name), 0x85);
    close(stranger->fd);
    login(stranger, &w, SPAN("hub"));
    assert_int_equal(publish_reason(stranger, SPAN("$SYS/state")), 0x90);
    assert_int_equal(publish_reason(own, SPAN("$SYS/state")) & 0x80, 0); /* still there */

    world_stop(&w);
    close(own->fd);
    close(stranger->fd);
    world_free(&w);
    scope_unref(scope);
    free(clients);
}

static void nothing(void *ctx, enum log_level level, struct span line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

/* -- the disk --- */

/* CONNECT for a session that stays for `expiry_s`; the answer is not waited for. */
static void ask_for_session(struct client *c, const struct world *w, struct span client_id, uint32_t expiry_s)
{
    struct buf body;

    buf_init(&body, 4096);
    open_client(c, w);
    put_prefixed16(&body, SPAN("MQTT"));
    put_u8(&body, 5);
    put_u8(&body, 2);
    put_u16(&body, 60);
    put_u8(&body, 5);
    put_u8(&body, 0x11);
    put_u32(&body, expiry_s);
    put_prefixed16(&body, client_id);
    send_packet(c, 0x10, &body);
    buf_done(&body);
}

static void expect_connack(struct client *c, uint8_t reason)
{
    uint8_t packet[4096];

    assert_true(receive(c, packet, sizeof packet) > 0);
    assert_int_equal(packet[0], 0x20);
    assert_int_equal(packet[3], reason);
}

static void expect_silence(const struct client *c)
{
    uint8_t byte;

    usleep(20000);
    assert_int_equal(recv(c->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
}

static void end_of(struct world *w, struct disk *disk, struct client *clients, size_t count)
{
    disk_be_quick(disk);
    for (size_t i = 0; i < count; i++)
        close(clients[i].fd);
    world_stop(w);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_true(worker_is_stored(w->common.workers[i]));
    world_free(w);
    free(clients);
}

static void what_must_be_kept_is_acknowledged_when_the_disk_has_it(void **state)
{
    struct world w;
    struct disk disk;
    struct client *clients = new_clients(2);

    (void)state;
    world_init_on(&w, &disk, 0);
    ask_for_session(&clients[0], &w, SPAN("stays"), 60);
    disk_wait(&disk, 1);
    expect_silence(&clients[0]);
    ask_for_session(&clients[1], &w, SPAN("goes"), 0);
    expect_connack(&clients[1], 0); /* nobody can come back for it */
    disk_answer(&disk);
    expect_connack(&clients[0], 0);
    assert_int_equal(disk_batches(&disk), 1);
    end_of(&w, &disk, clients, 2);
}

static void a_disk_that_fails_is_told_of_and_forgiven(void **state)
{
    struct world w;
    struct disk disk;
    struct client *clients = new_clients(4);

    (void)state;
    world_init_on(&w, &disk, 0);
    ask_for_session(&clients[0], &w, SPAN("first"), 60);
    disk_wait(&disk, 1);
    disk_say(&disk, ST_IO);
    expect_connack(&clients[0], 0x97);
    ask_for_session(&clients[1], &w, SPAN("second"), 60);
    expect_connack(&clients[1], 0x97);
    ask_for_session(&clients[2], &w, SPAN("third"), 0);
    expect_connack(&clients[2], 0);
    disk_answer(&disk); /* as the committer does: both, in either order */
    disk_say(&disk, ST_OK);
    disk_be_quick(&disk);
    for (int i = 0; i < PATIENCE_S * 100; i++) { /* until the news is everywhere */
        uint8_t packet[4096];

        ask_for_session(&clients[3], &w, SPAN("fourth"), 60);
        assert_true(receive(&clients[3], packet, sizeof packet) > 0);
        if (packet[3] == 0)
            break;
        assert_int_equal(packet[3], 0x97);
        close(clients[3].fd);
        usleep(10000);
    }
    end_of(&w, &disk, clients, 4);
}

#define INTERVAL_MS 200

static void with_an_interval_nobody_waits_and_an_idle_worker_writes_nothing(void **state)
{
    struct world w;
    struct disk disk;
    struct client *clients = new_clients(1);

    (void)state;
    world_init_on(&w, &disk, INTERVAL_MS);
    struct mono_time before = now_read().mono;
    ask_for_session(&clients[0], &w, SPAN("stays"), 60);
    expect_connack(&clients[0], 0);
    unsigned batches = disk_batches(&disk);
    if (now_read().mono.ms - before.ms < INTERVAL_MS) /* else it may be over, on a slow machine */
        assert_int_equal(batches, 0);
    disk_wait(&disk, 1);
    disk_answer(&disk);
    usleep(2 * INTERVAL_MS * 1000);
    assert_int_equal(disk_batches(&disk), 1);
    end_of(&w, &disk, clients, 1);
}

/* -- workers that rest --- */

static int nobody_rests(void **state)
{
    (void)state;
    lend = (struct lend_rules){ 0 };
    return 0;
}

/* Whoever can rest does, until the next look. */
static int all_change_hands(void **state)
{
    (void)state;
    lend = (struct lend_rules){ .look_ms = 1, .rest_percent = 1000000, .wake_percent = 0, .turn_us = 1 };
    return 0;
}

static unsigned awake(const struct world *w)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < WORKERS; i++) {
        struct stats stats;

        worker_stats(w->common.workers[i], &stats);
        sum += (unsigned)stats.workers_awake;
    }
    return sum;
}

/* One message of each client to itself: so every worker has turns. */
static void everybody_publishes_once(struct client *clients)
{
    for (int i = 0; i < CLIENTS; i++) {
        char topic[32];

        (void)snprintf(topic, sizeof topic, "own/%d", i);
        publish(&clients[i], span_of_str(topic), 0, SPAN("x"));
        expect(&clients[i], 0x30);
    }
}

static void workers_with_little_to_do_rest_and_are_counted(void **state)
{
    struct world w;
    struct client *clients = new_clients(CLIENTS);
    (void)state;
    lend = (struct lend_rules){
        .look_ms = 1, .rest_percent = 1000000, .wake_percent = 1000000, .turn_us = 1000000000
    };
    world_init(&w);
    for (int i = 0; i < CLIENTS; i++) {
        char text[32];

        (void)snprintf(text, sizeof text, "calm-%d", i);
        login(&clients[i], &w, span_of_str(text));
        (void)snprintf(text, sizeof text, "own/%d", i);
        subscribe(&clients[i], span_of_str(text));
    }
    for (int i = 0; awake(&w) > 1; i++) {
        assert_true(i < PATIENCE_S * 1000);
        everybody_publishes_once(clients);
        usleep(1000);
    }
    everybody_publishes_once(clients);
    world_stop(&w);
    assert_int_equal(awake(&w), WORKERS);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i].fd);
    world_free(&w);
    free(clients);
}

int main(void)
{
    const struct CMUnitTest changing[] = {
        cmocka_unit_test(everybody_hears_everybody_whatever_worker_they_live_on),
        cmocka_unit_test(one_publishers_messages_keep_their_order_across_workers),
        cmocka_unit_test(what_is_pipelined_behind_connect_arrives_at_the_home_worker),
        cmocka_unit_test(stopping_while_connections_come_and_go_leaves_nothing_behind),
        cmocka_unit_test(what_must_be_kept_is_acknowledged_when_the_disk_has_it),
        cmocka_unit_test(workers_with_little_to_do_rest_and_are_counted),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_hears_everybody_whatever_worker_they_live_on),
        cmocka_unit_test(one_publishers_messages_keep_their_order_across_workers),
        cmocka_unit_test(what_is_pipelined_behind_connect_arrives_at_the_home_worker),
        cmocka_unit_test(a_client_taken_over_from_anywhere_is_told),
        cmocka_unit_test(stopping_while_connections_come_and_go_leaves_nothing_behind),
        cmocka_unit_test(a_socket_of_our_own_brings_its_rights_and_keeps_its_name),
        cmocka_unit_test(what_must_be_kept_is_acknowledged_when_the_disk_has_it),
        cmocka_unit_test(a_disk_that_fails_is_told_of_and_forgiven),
        cmocka_unit_test(with_an_interval_nobody_waits_and_an_idle_worker_writes_nothing),
    };
    log_set_sink(nothing, NULL);
    int failed = cmocka_run_group_tests(tests, nobody_rests, NULL);
    return failed + cmocka_run_group_tests_name("workers that change hands", changing, all_change_hands, NULL);
}
