/* client/engine_world.h - for tests: the engine with a broker played by hand, and everything it said, in memory. */
#ifndef SYMBOLON_CLIENT_ENGINE_WORLD_H
#define SYMBOLON_CLIENT_ENGINE_WORLD_H

#include "client/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the first two above */
#include <cmocka.h>

struct world {
    struct engine engine;
    struct buf sent;
    size_t read; /* of `sent` */
    struct now now;
    int connected, ended, messages, published, subscribed, flushed, challenged, reauthenticated;
    struct symbolon_error error, result;
    struct span last_codes;
    char topic[64];
    uint64_t last_id;
    bool refused_connack;
    bool congested;
};

extern const struct engine_settings plain; /* in flight and Receive Maximum 2, queue 4, keep alive 10 s */

struct world *world_new(const struct engine_settings *settings);
void world_free(struct world *w);
struct world *world_open(void);
bool next_sent(struct world *w, struct mqtt_frame *frame);
void assert_sent(struct world *w, enum mqtt_packet_type type);
void assert_silent(struct world *w);
void assert_disconnect(struct world *w, uint8_t code);
void give(struct world *w, struct buf *b);
void give_bytes(struct world *w, const void *p, size_t len);
void give_connack(struct world *w, bool session_present, uint8_t reason,
                  const struct mqtt_properties *properties);
void give_ack(struct world *w, enum mqtt_packet_type type, uint16_t id, uint8_t reason);
void give_publish(struct world *w, uint8_t qos, uint16_t id, uint16_t alias);
void world_connect(struct world *w, bool session_present);
uint16_t world_publish(struct world *w, uint8_t qos, enum symbolon_status want);
uint16_t assert_publish(struct world *w, bool dup);
void assert_ended(struct world *w, uint8_t disconnect_code);

#endif
