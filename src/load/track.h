/* load/track.h - numbered messages of one publisher as one subscriber sees them: what is missing, came twice, came late.
 * A payload begins with a stamp: magic, run, publisher, number of the message from 0, and when it should have been sent,
 * by the publisher's monotonic clock. */
#ifndef SYMBOLON_LOAD_TRACK_H
#define SYMBOLON_LOAD_TRACK_H

#include "base/span.h"

#define STAMP_LEN 28

struct stamp {
    uint32_t run;       /* one load generator's */
    uint32_t publisher; /* in it */
    uint64_t number;
    int64_t sent_ns;
};

void stamp_write(const struct stamp *stamp, uint8_t out[STAMP_LEN]);
bool stamp_read(struct span payload, struct stamp *out); /* false: not one of ours */

#define TRACK_WINDOW 256 /* how far back a late message is told from one that came twice */

struct track {
    uint32_t run, publisher;
    bool used;
    uint64_t expected;                /* next number */
    uint64_t received;                /* each message once */
    uint64_t lost;                    /* gaps so far that nothing has filled */
    uint64_t twice;                   /* or so late that nobody knows */
    uint64_t late;                    /* behind one with a higher number */
    uint64_t seen[TRACK_WINDOW / 64]; /* bit 0 of seen[0]: expected - 1, and so on backwards */
};

/* Counts it; true if it came for the first time. */
bool track_got(struct track *t, uint64_t number);

/* Tracks of one subscriber, found by run and publisher; a new one begins with the first number that comes. NULL beyond
 * TRACKS_MAX, or without memory. */
#define TRACKS_MAX 1024
struct tracks {
    struct track *slots; /* a power of two of them */
    size_t cap, count;
};
struct track *tracks_find(struct tracks *t, const struct stamp *stamp);
void tracks_done(struct tracks *t);

#endif
