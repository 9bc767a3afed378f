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

/* The PINGREQ of engine_flush(), once nothing waits in front of it. */
void engine_flush_now(struct engine *e);

/* A packet identifier not in use, marked as used; 0 if all are. */
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
void receive_lost(struct engine *e);                            /* with the connection */
void receive_forget(struct engine *e);                          /* with the session, or the engine */

/* engine_subscribe.c */
void request_answered(struct engine *e, const struct mqtt_frame *frame);
void requests_fail(struct engine *e, const struct symbolon_error *why);
void requests_done(struct engine *e);

#endif
