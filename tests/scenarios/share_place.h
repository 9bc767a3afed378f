/* tests/scenarios/share_place.h - for the stories about shared subscriptions: a broker, a group at home on a chosen shard,
 * its publisher, and members wherever a story wants them. */
#ifndef SYMBOLON_TESTS_SCENARIOS_SHARE_PLACE_H
#define SYMBOLON_TESTS_SCENARIOS_SHARE_PLACE_H

#include "harness.h"

#define ALL     "[[\"a/#\",[\"pub\",\"sub\"]]]"
#define MEMBERS 3

/* One broker, and the group that a test is about. */
struct place {
    struct bench *b;
    char group[32]; /* $share/N/a/# */
    struct conn_io *pub;
    unsigned next_id; /* for client identifiers */
    uint16_t packet_id;
};

void place_open(struct place *p, unsigned shards, unsigned home);
/* Runs the story on every number of shards and with every home. */
void everywhere(void (*story)(struct place *p));

/* A client identifier for that shard (modulo their number). */
void name_at(struct place *p, unsigned shard, char id[32]);
/* Connected there; without wish.id under a name for that shard, without wish.scope with all rights. */
struct conn_io *connected_with(struct place *p, unsigned shard, struct connect_wish wish);
/* The same, and in the group. */
struct conn_io *member_with(struct place *p, unsigned shard, uint8_t qos, struct connect_wish wish);
struct conn_io *member(struct place *p, unsigned shard, uint8_t qos);
/* Out of the group; expects this reason code. */
void unsubscribe(const struct place *p, struct conn_io *c, uint8_t reason);

/* Publishes, and does what the publisher has to do. */
void publish_as(struct place *p, struct publish_wish wish);
void publish(struct place *p, const char *payload, uint8_t qos);                /* to a/x */
void publish_many(struct place *p, unsigned from, unsigned count, uint8_t qos); /* "7", "8", ... */
/* Takes what came and acknowledges it; how many messages it was. */
unsigned take_all(struct conn_io *c);

#endif
