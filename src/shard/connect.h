/* shard/connect.h - what CONNECT handling offers to the rest of the connection. */
#ifndef SYMBOLON_SHARD_CONNECT_H
#define SYMBOLON_SHARD_CONNECT_H

#include "base/status.h"

struct session;

/* What the client of a session gets of the Session Expiry Interval it asks for (MT-77, D-25). */
uint32_t connect_session_expiry(const struct session *s, uint32_t asked_s);

#endif
