/* client/engine_store.h - where the engine writes down what must outlive the process: messages of QoS 1 and 2 on their way
 * to the broker, and the identifiers of the broker's QoS 2 messages it has taken over. The engine keeps all of it in
 * memory too; the store is only ever read at the start (store_dir.h).
 * Contract: changes gather until commit(), and are on disk together once it returned ST_OK. The engine commits before the
 * first byte that follows from a change leaves, and before it tells the application that a message is accepted. So
 * what is on disk is never ahead of, and never behind, what the broker may know. After a failure nothing is sent any
 * more: the connection ends. */
#ifndef SYMBOLON_CLIENT_ENGINE_STORE_H
#define SYMBOLON_CLIENT_ENGINE_STORE_H

#include "client/outgoing.h"

enum store_change {
    STORE_SENT,          /* message `id` is in flight under `packet_id` */
    STORE_RELEASED,      /* its PUBREC came: behind all released before it */
    STORE_QUEUED,        /* the broker lost the session: it is queued again */
    STORE_GONE,          /* finished, one way or the other */
    STORE_RECEIVED,      /* the broker's QoS 2 message `packet_id` is ours */
    STORE_RECEIVED_GONE, /* and released */
    STORE_SESSION_NEW,   /* the broker has a session of ours in which nothing was received */
};

struct engine_store {
    /* ST_QUOTA: no room for it; nothing changed. */
    enum status (*put)(void *ctx, const struct outgoing *message, struct now now);
    enum status (*note)(void *ctx, enum store_change what, uint64_t id, uint16_t packet_id);
    enum status (*commit)(void *ctx);
};

#endif
