/* client/engine_priv.h - between the files of the engine. */
#ifndef SYMBOLON_CLIENT_ENGINE_PRIV_H
#define SYMBOLON_CLIENT_ENGINE_PRIV_H

#include "client/engine.h"
#include "client/error_priv.h"

/* Ends the connection because of the peer (or because we cannot go on): DISCONNECT with this code if a session is
 * open, then `ended`. */
void engine_fail(struct engine *e, uint8_t disconnect_code, const struct symbolon_error *error);
void engine_fail_why(struct engine *e, enum status st, const struct why *why);

/* Every public function ends with it: what was gathered leaves in one piece. */
void engine_send(struct engine *e);

void engine_out_of_memory(struct engine *e);

/* Changes for the store, if there is one. A failure shows when engine_send() commits. */
void engine_note(struct engine *e, enum store_change what, uint64_t id, uint16_t packet_id);
enum symbolon_status engine_store_error(struct symbolon_error *error);

/* The PINGREQ of engine_flush(), once nothing waits in front of it. */
void engine_flush_now(struct engine *e);

/* A packet identifier not in use, marked as used; 0: out of memory. */
uint16_t engine_take_packet_id(struct engine *e);
void engine_give_packet_id(struct engine *e, uint16_t packet_id);

/* engine_publish.c */
void publish_pump(struct engine *e);                                  /* sends what the broker's quota allows */
void publish_resume(struct engine *e, bool session_present);          /* after CONNACK */
void publish_acked(struct engine *e, const struct mqtt_frame *frame); /* PUBACK, PUBREC, PUBREL, PUBCOMP */
void publish_done(struct engine *e);

/* engine_receive.c */
void publish_received(struct engine *e, const struct mqtt_frame *frame);
void publish_released(struct engine *e, const struct mqtt_ack *pubrel);
bool engine_own_received(struct engine *e, uint16_t packet_id); /* a QoS 2 message is ours now; false: ended */
void receive_begin(struct engine *e);                           /* a connection */
void receive_forget(struct engine *e);                          /* with the session, or the engine */

/* engine_alias.c */
enum status alias_resolve(struct engine *e, struct mqtt_publish *publish,
                          struct why *why);                         /* fills in the topic */
void alias_take_maximum(struct engine *e, uint16_t broker_maximum); /* from CONNACK */
void alias_shorten(struct engine *e, struct mqtt_publish_out *p); /* the topic becomes an alias, or gets one */
void alias_forget(struct engine *e);                              /* before a connection */

/* engine_subscribe.c */
void requests_resume(struct engine *e, bool session_present); /* after CONNACK: engine_settings.resubscribe */
void request_answered(struct engine *e, const struct mqtt_frame *frame);
void requests_fail(struct engine *e, const struct symbolon_error *why);
void requests_done(struct engine *e);

#endif
