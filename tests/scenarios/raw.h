/* tests/scenarios/raw.h - packets byte by byte, on a bench where everybody may do everything without a token: for rules of
 * MQTT itself.
 *
 *   struct bench *b = raw_bench();
 *   struct conn_io *c = guest(b, "c");
 *   raw_send(c, "82 08 0001 00 0003 'a/b' 01");
 *   raw_expect(c, "90 04 0001 00 01");
 *
 * Text of bytes: pairs of hexadecimal digits, characters between apostrophes, spaces where they help. */
#ifndef SYMBOLON_TESTS_SCENARIOS_RAW_H
#define SYMBOLON_TESTS_SCENARIOS_RAW_H

#include "harness.h"

#define CONNECT5   "0004 'MQTT' 05 " /* then flags, keep alive, properties */
#define CONNECT311 "0004 'MQTT' 04 " /* then flags, keep alive */

struct bench *raw_bench(void); /* two shards; sessions of anybody last up to 1000 s */
int raw_set_up(void **state);  /* for cmocka: that is *state */

struct conn_io *raw_client(struct bench *b, enum mqtt_version version); /* nothing sent yet */
void raw_bytes(const char *text, struct buf *out);
/* With a fixed header: first byte, then the length of the rest. */
void raw_packet(struct conn_io *c, uint8_t first, const char *rest);
void raw_send(struct conn_io *c, const char *text);
/* The next bytes from the broker are these. */
void raw_expect(struct conn_io *c, const char *text);
/* Nothing but DISCONNECT with this code, and the end; `name` says which packet it was that deserved it. */
void raw_thrown_out(struct conn_io *c, uint8_t code, const char *name);
/* Nothing but these, and the end. */
void raw_expect_last(struct conn_io *c, const char *text);

/* Connected without a token, clean start. */
struct conn_io *guest(struct bench *b, const char *id);
struct conn_io *guest3(struct bench *b, const char *id);
/* Clean Start 0, kept for 100 s; fails if Session Present is not as expected. */
struct conn_io *back(struct bench *b, const char *id, bool expect_present);
struct conn_io *back3(struct bench *b, const char *id, bool expect_present);
/* Any wish, without a token. */
struct conn_io *guest_with(struct bench *b, struct connect_wish wish);

/* PUBLISH of QoS 1 or 2 by `c`, with all its acknowledgements. */
void publish_whole(struct conn_io *c, const char *topic, const char *payload, uint8_t qos, bool retain);
/* The client's side of what came: PUBACK, or PUBREC, PUBREL, PUBCOMP. */
void finish(struct conn_io *c, const struct mqtt_publish *p);
/* Subscribes and expects the QoS granted; retained messages may follow. */
void subscribe(struct conn_io *c, const char *filter, uint8_t qos);

#endif
