#include "broker/status_feed.h"

#include "base/log.h"
#include "crypto/random.h"
#include "net/http_client.h"

#include <stdio.h>
#include <stdlib.h>

#define RETRY_MAX_MS (60 * MS_PER_S)
#define CROWDED_MS   (60 * MS_PER_S)
#define SOON_MS      100
#define FULL_MS      (24 * 3600 * MS_PER_S)

struct status_feed {
    struct loop *loop;
    struct status_feed_settings settings;
    struct status_feed_events events;
    void *ctx;
    struct http_client *http;
    struct http_pending *pending;
    struct timer timer; /* the next request */
    bool reached;       /* the last answer was good */
    bool silent;        /* it was said that there was none */
    unsigned failures;  /* in a row */
    struct mono_time asked, last_contact, last_full;
    struct mono_time crowded_until; /* no wish to be held until then */

    bool has_list; /* a full answer came, and what follows it is known */
    bool has_cursor;
    int64_t cursor;
    char etag[HTTP_ETAG_MAX + 1]; /* of the last full answer; "": none */
};

static void ask(struct status_feed *feed);

static int64_t now_ms(const struct status_feed *feed)
{
    return loop_now(feed->loop).mono.ms;
}

static void ask_in(struct status_feed *feed, int64_t ms)
{
    timer_start(loop_timers(feed->loop), &feed->timer, mono_plus_ms(loop_now(feed->loop).mono, ms));
}

static bool is_crowded(const struct status_feed *feed)
{
    return now_ms(feed) < feed->crowded_until.ms;
}

/* Between half of it and all of it: a thousand brokers that lost the server together do not come back together. */
static int64_t jittered(int64_t ms)
{
    uint32_t r = 0;
    if (random_bytes(&r, sizeof r) != ST_OK)
        return ms;
    return ms - ms / 2 * (int64_t)(r % 1024) / 1024;
}

/* -- what came ------------------------------------------------------------------------------------------- */

static void failed(struct status_feed *feed, enum status st, const struct http_result *result,
                   const struct why *why)
{
    int64_t wait_ms = feed->settings.retry_ms;
    for (unsigned i = 0; i < feed->failures && wait_ms < RETRY_MAX_MS; i++)
        wait_ms *= 2;
    feed->failures++;
    if (!feed->silent)
        log_event(NULL, LOG_WARNING, "status_feed_lost", F_STR("issuer", feed->settings.issuer),
                  F_I64("http_status", result->code), F_WHY(st, *why));
    feed->silent = true;
    ask_in(feed, jittered(wait_ms < RETRY_MAX_MS ? wait_ms : RETRY_MAX_MS));
    if (feed->reached) {
        feed->reached = false;
        feed->events.contact(feed->ctx, false);
    }
}

static void succeeded(struct status_feed *feed)
{
    feed->failures = 0;
    feed->last_contact = loop_now(feed->loop).mono;
    if (!feed->reached)
        log_event(NULL, feed->silent ? LOG_NOTICE : LOG_INFO,
                  feed->silent ? "status_feed_restored" : "status_feed_started",
                  F_STR("issuer", feed->settings.issuer));
    feed->silent = false;
    if (!feed->reached) {
        feed->reached = true;
        feed->events.contact(feed->ctx, true);
    }
}

static void keep_etag(struct status_feed *feed, struct span etag)
{
    feed->etag[0] = '\0';
    if (etag.p != NULL)
        (void)snprintf(feed->etag, sizeof feed->etag, "%.*s", SPAN_FMT(etag));
}

static bool has_news(const struct status_answer *a)
{
    return a->revoked.len > 0 || a->removed.len > 0 || a->changed.len > 0;
}

/* A server that does not hold requests answers "nothing new" at once, or the same again. */
static int64_t pause_ms(const struct status_feed *feed)
{
    int64_t took_ms = now_ms(feed) - feed->asked.ms;
    if (is_crowded(feed) && feed->settings.retry_ms < feed->settings.poll_ms)
        return feed->settings.retry_ms;
    return took_ms >= feed->settings.wait_s * MS_PER_S / 2 ? 0 : feed->settings.poll_ms;
}

/* How soon to ask again. An answer that got us further is worth asking behind: at once if it named changes, after a
 * moment if it was a whole list, since a server may answer any number of those without anything having happened. */
static int64_t next_ms(const struct status_feed *feed, const struct status_answer *a, bool first, bool further)
{
    if (!feed->has_list)
        return feed->settings.poll_ms;
    if (first || further)
        return a->full && !first ? SOON_MS : 0;
    return pause_ms(feed);
}

static void take_answer(struct status_feed *feed, const struct status_answer *a,
                        const struct http_result *result)
{
    bool first = !feed->has_list || !feed->reached; /* not to be held: nothing is said by its coming at once */
    bool further = (a->has_cursor && (!feed->has_cursor || a->cursor != feed->cursor)) ||
                   (a->full && result->etag.p != NULL && !span_eq_str(result->etag, feed->etag));
    if (a->full) {
        feed->has_list = true;
        feed->last_full = loop_now(feed->loop).mono;
        keep_etag(feed, result->etag);
    }
    feed->has_cursor = a->has_cursor;
    feed->cursor = a->cursor;
    if (!a->full && !a->has_cursor && a->more) /* what came between is lost (RFC 9770 9.2) */
        feed->has_list = false;
    if (a->full || has_news(a))
        feed->events.news(feed->ctx, a);
    succeeded(feed);
    ask_in(feed, next_ms(feed, a, first, further));
}

static void on_answer(void *ctx, const struct http_result *result)
{
    struct status_feed *feed = ctx;
    struct status_answer answer;
    struct why why = { "", "", 0 };
    feed->pending = NULL;
    if (result->st != ST_OK) {
        failed(feed, result->st, result, &result->why);
        return;
    }
    if (result->code == 304) { /* only ever the answer to our ETag */
        int64_t wait_ms = feed->reached ? pause_ms(feed) : 0;
        succeeded(feed);
        ask_in(feed, wait_ms);
        return;
    }
    if (result->code == 429 &&
        feed->reached) { /* it holds as many requests as it can: then without being held */
        feed->crowded_until = mono_plus_ms(loop_now(feed->loop).mono, CROWDED_MS);
        ask_in(feed, jittered(feed->settings.retry_ms));
        return;
    }
    if (result->code == 400 && feed->has_list) /* it does not know our cursor, perhaps restored from a copy */
        feed->has_list = false;
    if (result->code != 200) {
        enum status st = reject(&why, ST_UNREACHABLE, "RFC 9770 6", "the server does not give its list", 0);
        failed(feed, st, result, &why);
        return;
    }
    enum status st = status_answer_parse(result->body, &answer, &why);
    if (st == ST_OK)
        take_answer(feed, &answer, result);
    else
        failed(feed, st, result, &why);
    status_answer_done(&answer);
}

/* -- asking ---------------------------------------------------------------------------------------------- */

/* The list as it is, or what came behind our cursor. Without one (RFC 9770: nothing ever happened) the list again, held
 * until it is another one than that of our ETag. */
static void put_url(const struct status_feed *feed, struct buf *out)
{
    put_str(out, feed->settings.uri);
    if (feed->has_list && feed->has_cursor)
        put_fmt(out, "%sdiff=0&cursor=%lld", strchr(feed->settings.uri, '?') != NULL ? "&" : "?",
                (long long)feed->cursor);
    put_u8(out, '\0');
}

static void ask(struct status_feed *feed)
{
    const struct status_feed_settings *s = &feed->settings;
    CLEANUP(buf_done)
    struct buf url;
    char prefer[32];
    struct why why = { "", "", 0 };
    struct http_result none = { .code = 0 };

    if (feed->has_list && now_ms(feed) - feed->last_full.ms >= FULL_MS)
        feed->has_list = false;
    buf_init(&url, strlen(s->uri) + 64);
    put_url(feed, &url);
    (void)snprintf(prefer, sizeof prefer, "wait=%lld", (long long)s->wait_s);
    /* After a failure without waiting: whether the server is there again is news in itself. */
    bool hold = feed->has_list && feed->reached && !is_crowded(feed);
    struct http_call call = { .url = (const char *)url.p,
                              .accept = "application/ace-trl+json",
                              .user = s->user,
                              .password = s->password,
                              .ca_file = s->ca_file,
                              .pinned_pubkey = s->pinned_pubkey,
                              .prefer = hold ? prefer : NULL,
                              .if_none_match = feed->has_list && !feed->has_cursor && feed->etag[0] != '\0'
                                                   ? feed->etag
                                                   : NULL,
                              .timeout_ms = s->timeout_ms + (hold ? s->wait_s * MS_PER_S : 0),
                              .max_response = STATUS_ANSWER_MAX };
    feed->asked = loop_now(feed->loop).mono;
    enum status st = buf_ok(&url) ? http_start(feed->http, &call, on_answer, feed, &feed->pending, &why)
                                  : reject(&why, ST_NO_MEMORY, "memory", "out of memory", 0);
    if (st != ST_OK)
        failed(feed, st, &none, &why);
}

static void on_timer(struct timer *timer, struct now now)
{
    (void)now;
    ask(CONTAINER_OF(timer, struct status_feed, timer));
}

/* -- life ------------------------------------------------------------------------------------------------ */

enum status status_feed_new(struct loop *loop, const struct status_feed_settings *settings,
                            const struct status_feed_events *events, void *ctx, struct status_feed **ret_feed,
                            struct why *why)
{
    struct status_feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    feed->loop = loop;
    feed->settings = *settings;
    feed->events = *events;
    feed->ctx = ctx;
    feed->last_contact = loop_now(loop).mono;
    timer_init(&feed->timer, on_timer);
    enum status st = http_client_new(loop, &feed->http, why);
    if (st != ST_OK) {
        free(feed);
        return st;
    }
    ask_in(feed, 0);
    *ret_feed = feed;
    return ST_OK;
}

void status_feed_free(struct status_feed *feed)
{
    if (feed == NULL)
        return;
    timer_stop(loop_timers(feed->loop), &feed->timer);
    http_client_free(feed->http);
    free(feed);
}

struct mono_time status_feed_last_contact(const struct status_feed *feed)
{
    return feed->last_contact;
}
