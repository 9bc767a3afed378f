/* tests/scenarios/harness.h - a broker of one to three shards, its authorization server's keys, its clock and its
 * clients, all in one thread. Nothing sleeps and nothing is random unless a seed says so.
 *
 *   struct bench *b = bench_new(2);
 *   struct conn_io *c = client_connected(b, "sensor-1", "[[\"a/#\",[\"pub\",\"sub\"]]]");
 *   client_subscribe(c, "a/#", 1, 0x01);
 *
 * A client is the world's side of a connection: what the broker writes lands in `in`, and packets are taken out of
 * it with expect_…(), which fail the test when something else is there. Every call that sends runs the shards until
 * none has anything to do, unless b->manual is set. */
#ifndef SYMBOLON_TESTS_SCENARIOS_HARNESS_H
#define SYMBOLON_TESTS_SCENARIOS_HARNESS_H

#include "base/buf.h"
#include "base/list.h"
#include "crypto/key.h"
#include "mqtt/packet.h"
#include "scope/scope.h"
#include "shard/pressure.h"
#include "shard/shard.h"
#include "shard/token_store.h"
#include "token/auth_data.h"
#include "token/claims.h"
#include "token/token.h"
#include "token/verifier.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#define BENCH_MAX_SHARDS 3
#define BENCH_ISS        "https://as.example"
#define BENCH_ISS2       "https://second.example" /* believed as well */
#define BENCH_AUD        "broker-1"
#define BENCH_WALL       1800000000 /* the calendar when a bench begins */

struct disk;

struct bench {
    unsigned count;
    struct shard *shard[BENCH_MAX_SHARDS];
    struct shard_settings settings;
    struct now now;
    bool manual;              /* bench_run() only when called */
    void (*inside)(bool yes); /* told when the broker begins and ends to run; NULL: nobody */

    struct key *as_key;     /* signs tokens */
    struct key *second_key; /* the same of BENCH_ISS2 */
    struct key *other_key;  /* an AS nobody believes */
    struct key *shared;     /* encrypts tokens that carry a secret */
    struct verifier *verifier;
    struct scope *public_scope;
    struct token_store *tokens;
    struct pressure *pressure; /* bench_bounds(); NULL: each shard has its own */
    const char *peer;          /* address of the next client; NULL: 192.0.2.1:1000 */

    struct disk *disk; /* harness_disk.h; NULL: nothing outlives the broker */
    unsigned sealing;  /* the shard whose shard_seal() runs */

    struct shard_msg *inbox[BENCH_MAX_SHARDS], **inbox_end[BENCH_MAX_SHARDS];
    struct shard_msg
        *posted[BENCH_MAX_SHARDS][2]; /* of the running turn, by receiver and class, newest first */
    struct list clients;
    unsigned next_shard; /* where the next connection is accepted */
    uint64_t seed;       /* for random_bytes and pick() */

    uint64_t asked; /* the last world.resolve(): request number, kind */
    enum resolve_kind asked_kind;
    unsigned asked_by;

    char log[64 * 1024]; /* lines since bench_new() or log_forget() */
    size_t log_len;
};

struct conn_io {
    struct list link;
    struct bench *b;
    enum mqtt_version version; /* MQTT_5, or what its CONNECT said */
    unsigned at;               /* shard */
    struct conn *conn;         /* NULL: the broker is done with it */
    bool closed;               /* by the broker */
    bool paused;
    bool stuck; /* does not read: pending output grows */
    size_t pending;
    bool ending; /* takes no more output, and the broker has not been told yet */
    unsigned moves;
    unsigned welcomes, faults; /* world.conn_welcome(), conn_fault() */
    enum exporter_result exporter;
    uint8_t exporter_value[ACE_EXPORTER_LEN];
    struct conn_identity identity; /* by TLS */
    struct buf psk;                /* what shard_psk_key() gave */
    const char *peer;
    struct buf out;   /* not consumed by the broker yet */
    struct buf in;    /* from the broker */
    size_t in_at;     /* taken by expect_…() */
    struct span sent; /* packets answered are small: last frame lives in `in` */
};

struct bench *bench_new(unsigned shards);
void bench_free(struct bench *b);
/* All but its keys anew: no session, no client, nothing on the disk (if there is to be one), the clock as it began. */
void bench_again(struct bench *b, unsigned shards, bool with_disk);
/* For cmocka: *state is a bench of one shard. */
int bench_set_up(void **state);
int bench_tear_down(void **state);
/* A token store, empty; authz-info on. Before the first connection; NULL: the default limits. */
void bench_tokens(struct bench *b, const struct token_store_limits *limits);
/* What all shards take is counted together from now on, under these limits. Before the first connection. */
void bench_bounds(struct bench *b, struct pressure_limits limits);
/* The same for a broker that does not trust its clock and hands out cnonces. */
void bench_without_clock(struct bench *b);
void bench_public(struct bench *b, const char *scope_json); /* before the first connection; NULL: none */

void bench_run(struct bench *b);
bool bench_turn(struct bench *b, unsigned shard); /* false: it had nothing to do */
void bench_advance(struct bench *b, int64_t ms);  /* both clocks, in steps */
void bench_jump(struct bench *b, int64_t s);      /* the calendar alone */
uint64_t bench_stat(const struct bench *b, size_t offset_in_stats);
#define STAT(b, name) bench_stat((b), offsetof(struct stats, name))
uint32_t pick(struct bench *b, uint32_t below);
/* The prefix and a number, such that a Client Identifier, or a topic's retained message, of that name is at home there. */
void name_of_shard(const struct bench *b, unsigned shard, const char *prefix, char name[32]);
/* FIRST [LAST] on the command line of a test; of an ordinary run, 1 to `count`. */
struct seeds {
    uint64_t first, last;
};
struct seeds seeds_of(int argc, char **argv, uint64_t count);

/* How many lines of the log name this event; whether one of them has this text too. */
size_t log_count(const struct bench *b, const char *event);
bool log_has(const struct bench *b, const char *event, const char *text);
void log_forget(struct bench *b);

/* For harness_client.c and harness_disk.c. */
void bench_end(struct bench *b);                            /* its shards; every client is closed */
void bench_begin(struct bench *b, unsigned shards);         /* so many, new and empty */
void bench_seal(struct bench *b, unsigned shard);           /* the end of its turn, for the disk */
enum status bench_random(void *ctx, void *out, size_t len); /* ctx: the bench */
void bench_flush(struct bench *b);                          /* what was posted arrives */
void bench_inside(const struct bench *b, bool yes);

/* ---- tokens ---- */

struct token_wish {
    const char *scope;     /* AIF JSON; NULL: no scope claim */
    const char *sub;       /* NULL: "sub of the tests" */
    const char *aud;       /* NULL: BENCH_AUD */
    const struct key *key; /* cnf */
    int64_t life_s;        /* 0: an hour */
    int64_t not_before_s;  /* from now; 0: none */
    bool wrong_issuer;     /* signed by other_key */
    bool second_issuer;
    const char *kid; /* in cnf */
    bool kid_only;   /* and nothing else in cnf; signed, not encrypted */
    struct span x5t; /* instead of the key */
    struct span cnonce;
    int64_t exi_s; /* instead of exp */
    uint64_t sequence;
    bool has_iat;
    bool cwt;
};
/* Appends it to `out`. A secret key gives an encrypted token. */
void token_make(struct bench *b, const struct token_wish *wish, struct buf *out);
/* What its server says of it when asked (RFC 7662): for "c", with this key and scope, valid for ten minutes. */
struct token *token_introspected(const struct bench *b, struct span text, const struct key *key,
                                 const char *scope);

/* ---- clients ---- */

/* PUBLISH to authz-info. */
void client_leave_token(struct conn_io *c, struct span token, uint8_t qos, uint16_t packet_id);

struct connect_wish {
    const char *id; /* "" lets the broker choose */
    const char *scope;
    const struct key *key; /* NULL: a new Ed25519 key */
    const char *sub;       /* NULL: the id */
    int64_t life_s;
    bool no_method;
    bool challenge; /* layout B */
    bool draft06;   /* answer in layout D6; user name with the token as it is */
    bool resume;    /* Clean Start 0 */
    uint32_t expiry_s;
    uint16_t keep_alive_s;
    uint16_t receive_maximum;
    uint32_t max_packet_bytes;
    bool no_problem_info;
    uint16_t topic_alias_maximum;
    bool wants_response_info;
    const char *will_topic;
    const char *will_payload;
    uint32_t will_delay_s;
    uint32_t will_expiry_s;          /* 0: none */
    const char *will_response_topic; /* with correlation data "\x00\xff" */
    uint8_t will_qos;
    bool will_retain;
    /* what to do wrong */
    const char *method; /* NULL: "ace" */
    struct span data;   /* given as it is instead of token and proof */
    bool has_data;
    bool no_data;
    bool user_name;
    /* MQTT 3.1.1: token and proof in user name and password, unless no_method */
    bool v3;
    bool as_user_name;         /* the same in MQTT 5 (MT-55) */
    const char *user_text;     /* instead of the user name made of the token */
    const char *password_text; /* instead of the proof */
    bool no_password;
};

struct conn_io *client_new(struct bench *b); /* TLS is up, nothing sent */
/* The same after a handshake that proved who the client is; the bytes must outlive it. For a PSK the shard is asked for
 * the key, as the handshake would, and that key is the one proved; NULL when it knows none. */
struct conn_io *client_known(struct bench *b, enum identity_kind kind, struct span bytes);
void client_send(struct conn_io *c, struct span bytes);
/* CONNECT and, for a challenge, the answer; does not look at the CONNACK. */
void client_connect(struct conn_io *c, const struct connect_wish *wish);
void connect_packet(struct conn_io *c, const struct connect_wish *wish, struct buf *out);
/* All of it: accepted, or the test fails. */
struct conn_io *client_connected(struct bench *b, const char *id, const char *scope);
struct conn_io *client_connected_with(struct bench *b, const struct connect_wish *wish);
void client_drop(struct conn_io *c); /* the network goes */
void client_bye(struct conn_io *c);  /* DISCONNECT 0x00 */
void client_unstick(struct conn_io *c);

/* Sends it and expects one filter's SUBACK code. */
void client_subscribe(struct conn_io *c, const char *filter, uint8_t qos, uint8_t expected);
struct mqtt_subscription wish_filter(const char *filter, uint8_t qos);
void client_subscribe_with(struct conn_io *c, struct mqtt_subscription want, uint32_t id, uint16_t packet_id);
void client_unsubscribe(struct conn_io *c, const char *filter);

struct publish_wish {
    const char *topic;
    const char *payload;
    uint8_t qos;
    uint16_t packet_id;
    bool retain;
    bool dup;
    uint16_t alias;
    uint32_t expiry_s; /* 0: none */
    struct span properties;
};
void client_publish_with(struct conn_io *c, const struct publish_wish *wish);
void client_publish(struct conn_io *c, const char *topic, const char *payload, uint8_t qos, uint16_t packet_id);
void client_ack(struct conn_io *c, enum mqtt_packet_type type, uint16_t packet_id, uint8_t reason);
void client_ping(struct conn_io *c);
void client_auth(struct conn_io *c, uint8_t reason, const char *method, struct span data);

/* ---- what came ---- */

/* Takes the next packet, whatever it is; false if there is none. */
bool client_next(struct conn_io *c, struct mqtt_frame *frame);
void expect_nothing(struct conn_io *c);
void expect_closed(struct conn_io *c); /* and nothing more before */
struct mqtt_connack expect_connack(struct conn_io *c, uint8_t reason);
/* CONNACK of 3.1.1 with that return code, and closed. */
void expect_refused3(struct conn_io *c, enum mqtt3_return_code code);
struct mqtt_disconnect expect_disconnect(struct conn_io *c, uint8_t reason); /* and closed */
/* CONNACK with a failure, closed, and this clause in the reason string. */
void expect_refused(struct conn_io *c, uint8_t reason, const char *clause);
void expect_thrown_out(struct conn_io *c, uint8_t reason, const char *clause);
struct mqtt_publish expect_publish(struct conn_io *c, const char *topic, const char *payload, uint8_t qos);
struct mqtt_ack expect_ack(struct conn_io *c, enum mqtt_packet_type type, uint16_t packet_id, uint8_t reason);
struct mqtt_suback expect_suback(struct conn_io *c, uint16_t packet_id, uint8_t reason);
struct mqtt_auth expect_auth(struct conn_io *c, uint8_t reason);
void assert_reason(const struct mqtt_properties *p, const char *clause);

#endif
