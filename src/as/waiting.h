/* as/waiting.h - requests for the status of tokens that are held until there is news (docs/as-http.md, /trl), and the work
 * that makes news (as_work()), on the server's loop.
 * Threads: the loop's. */
#ifndef SYMBOLON_AS_WAITING_H
#define SYMBOLON_AS_WAITING_H

#include "as/as.h"
#include "net/http_server.h"

#define WAITING_PER_READER 64 /* brokers that share credentials, or one that lost its connections */

/* How an answer of the core goes out. */
typedef void waiting_send_fn(const struct as_response *from, struct http_reply *to);

struct waiting;
/* Of clients at most `clients_max` are kept: there may be many, and resource servers need to be told in time. */
enum status waiting_new(struct loop *loop, struct as *as, waiting_send_fn *send, size_t clients_max,
                        struct waiting **ret_waiting, struct why *why) MUST_CHECK;
/* Answers everybody with what there is. NULL is fine. */
void waiting_free(struct waiting *waiting);

/* Keeps a request; false: too many are kept, and it has to be answered at once. */
bool waiting_hold(struct waiting *waiting, const struct http_request *request, const struct as_wait *wait);

#endif
