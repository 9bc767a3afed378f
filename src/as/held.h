/* as/held.h - answers that tell of what is not on disk yet (as_response.unsettled): kept until the end of the turn, when
 * one sync is good for all of them. While it runs the requests that come wait in their sockets, and are the next turn's:
 * the slower the disk, the more of them share a sync. */
#ifndef SYMBOLON_AS_HELD_H
#define SYMBOLON_AS_HELD_H

#include "as/as.h"
#include "net/http_server.h"
#include "net/loop.h"

struct held;

typedef void held_send_fn(const struct as_response *response, struct http_reply *reply);

enum status held_new(struct loop *loop, struct as *as, held_send_fn *send, struct held **ret_held,
                     struct why *why) MUST_CHECK;
/* Before the HTTP server goes: what is held is answered. */
void held_free(struct held *held);
/* Takes what is in `response`. False: no room, settle and answer now. */
bool held_take(struct held *held, const struct http_request *request, struct as_response *response);

#endif
