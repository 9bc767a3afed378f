/* client/loop_priv.h - the public loop is net's loop and what all clients on it share. */
#ifndef SYMBOLON_CLIENT_LOOP_PRIV_H
#define SYMBOLON_CLIENT_LOOP_PRIV_H

#include "net/http_client.h"
#include "net/loop.h"
#include "symbolon/client.h"

struct symbolon_loop {
    struct loop *loop;
    struct http_client *http;
    struct list timers; /* struct symbolon_timer not fired yet */
};

#endif
