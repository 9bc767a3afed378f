/* broker/status_feed.h - follows one authorization server's token revocation list (RFC 9770 over HTTPS, docs/as-http.md):
 * the whole list first, then what changes, by a standing request that the server holds until there is news
 * (RFC 7240 `wait`). News is told at once. Where the server does not hold requests, it is asked every poll_ms.
 * A server that cannot be reached is asked again after a growing, jittered time; what it said before stays as it was. The
 * list is read whole again every day, and whenever the server no longer knows where we were.
 * Ownership: status_feed_free(), which tells nothing more. Threads: its loop's. */
#ifndef SYMBOLON_BROKER_STATUS_FEED_H
#define SYMBOLON_BROKER_STATUS_FEED_H

#include "net/loop.h"
#include "shard/status_answer.h"

struct status_feed;

/* All is borrowed and must outlive the feed. */
struct status_feed_settings {
    const char *issuer; /* for the log */
    const char *uri;
    const char *ca_file;       /* NULL: the system's */
    const char *pinned_pubkey; /* or NULL */
    const char *user, *password;
    int64_t wait_s;     /* to be asked for; 1 to 60 */
    int64_t timeout_ms; /* beyond that */
    int64_t poll_ms;
    int64_t retry_ms; /* first time after a failure; doubled up to RETRY_MAX */
};

struct status_feed_events {
    /* What the server says; lent. First comes a full one. */
    void (*news)(void *ctx, const struct status_answer *answer);
    /* The server answers again, or does not any more. Also after the first answer. */
    void (*contact)(void *ctx, bool reached);
};

/* Starts at once. */
enum status status_feed_new(struct loop *loop, const struct status_feed_settings *settings,
                            const struct status_feed_events *events, void *ctx, struct status_feed **ret_feed,
                            struct why *why) MUST_CHECK;
void status_feed_free(struct status_feed *feed); /* NULL is fine */

/* When the server last answered; when the feed was made, as long as it never did. */
struct mono_time status_feed_last_contact(const struct status_feed *feed);

#endif
