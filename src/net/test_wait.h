/* net/test_wait.h - for tests that run a loop: turns it until something holds, or fails after a patience that no machine
 * needs. Include cmocka.h first. */
#ifndef SYMBOLON_NET_TEST_WAIT_H
#define SYMBOLON_NET_TEST_WAIT_H

#include "base/clock.h"
#include "net/loop.h"

#define PATIENCE_MS 60000

#define WAIT_FOR(loop, cond)                                                  \
    do {                                                                      \
        struct mono_time until_ = mono_plus_ms(now_read().mono, PATIENCE_MS); \
        while (!(cond)) {                                                     \
            if (now_read().mono.ms > until_.ms)                               \
                fail_msg("waited in vain for: %s", #cond);                    \
            loop_turn(loop);                                                  \
        }                                                                     \
    } while (0)

#endif
