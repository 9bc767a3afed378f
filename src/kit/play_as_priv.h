/* kit/play_as_priv.h - the kit as the authorization server a broker introspects at: an HTTPS server on a thread of its
 * own that answers as the case wants, rightly or wrongly. One request per connection. Functions take NULL. */
#ifndef SYMBOLON_KIT_PLAY_AS_PRIV_H
#define SYMBOLON_KIT_PLAY_AS_PRIV_H

#include "base/span.h"
#include "base/status.h"

#include <stdint.h>

struct play_as;

enum play {
    PLAY_ANSWER,  /* 200 with the body given */
    PLAY_STATUS,  /* another status, with the body */
    PLAY_SILENCE, /* the request is read, nothing comes back */
    PLAY_TRICKLE, /* the answer comes byte by byte, slower than anybody waits */
    PLAY_HUGE,    /* a body without end */
    PLAY_GARBAGE, /* no HTTP at all */
    PLAY_CUT,     /* the connection ends in the middle of the body */
    PLAY_HANG_UP, /* closed before TLS */
};

enum status play_as_new(uint16_t port, const char *cert_file, const char *key_file, struct play_as **ret,
                        struct why *why) MUST_CHECK;
void play_as_free(struct play_as *p);
void play_as_reset(struct play_as *p); /* {"active":false} again */
void play_as_set(struct play_as *p, enum play play, int status, struct span body);
unsigned play_as_requests(struct play_as *p); /* since the last reset */

#endif
