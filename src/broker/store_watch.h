/* broker/store_watch.h - sees a disk that neither takes nor refuses: a commit that has been under way for longer than
 * `store.stall`. Nobody would hear of it otherwise, since the thread that waits for the disk is the one that reports; who waits for
 * an acknowledgement waits on, within the limits there are (docs/operate/durability.md).
 * Events store_stalled and store_goes_on, once each. Threads: the loop's, whose timer it has; *stalled is for any. */
#ifndef SYMBOLON_BROKER_STORE_WATCH_H
#define SYMBOLON_BROKER_STORE_WATCH_H

#include "base/status.h"
#include "broker/world.h"

#include <stdatomic.h>

struct committer;
struct loop;
struct store_watch;

/* What a service manager hears of the store otherwise. */
#define STORE_STATE_SERVING "STATUS=Serving"
#define STORE_STATE_FAILING "STATUS=The store takes no more: what must be durable is refused"

/* `failing`: what the last attempt came to; a disk that stood still often ends with an error, and then that is said. `notify` may be
 * NULL. All must outlive it. */
enum status store_watch_new(struct loop *loop, struct committer *committer, int64_t stall_ms,
                            const atomic_bool *failing, atomic_bool *stalled, world_notify *notify,
                            struct store_watch **ret_watch) MUST_CHECK;
void store_watch_free(struct store_watch *watch); /* NULL does nothing */

#endif
