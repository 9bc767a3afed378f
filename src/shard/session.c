#include "shard/session.h"

#include "shard/route.h"
#include "shard/shard_priv.h"
#include "shard/share.h"
#include "shard/token_status.h"

#include <stdlib.h>

static bool has_client_id(const struct table_node *node, const void *key)
{
    return span_eq(session_client_id(CONTAINER_OF(node, struct session, node)), *(const struct span *)key);
}

struct session *session_find(const struct shard *shard, struct span client_id)
{
    struct table_node *node =
        table_find(&shard->sessions, table_hash(&shard->sessions, client_id), has_client_id, &client_id);

    return node == NULL ? NULL : CONTAINER_OF(node, struct session, node);
}

static void on_expiry(struct session *s)
{
    STATS_INC(&s->shard->stats, sessions_expired);
    log_event(s->shard->log, LOG_INFO, "session_expired", F_SPAN("client_id", session_client_id(s)));
    session_end(s);
}

void session_set_will(struct session *s, struct will *will)
{
    will_free(s->will);
    s->will = will;
    session_change(s, SESSION_WILL);
}

/* A Will was allowed once, at CONNECT (MT-84); a token that takes the permission away takes the Will with it. */
static void check_will(struct session *s, const struct authz *az)
{
    struct why why = { 0 };
    enum status st;

    if (s->will == NULL)
        return;
    st = authz_will(az, will_topic(s->will), &why);
    if (st == ST_OK)
        return;
    log_event(s->shard->log, LOG_NOTICE, "will_lost", F_SPAN("client_id", session_client_id(s)), F_WHY(st, why),
              F_SPAN("topic", will_topic(s->will).s));
    session_set_will(s, NULL);
}

/* At once, if there is one. */
static void publish_will(struct session *s)
{
    CLEANUP(message_unrefp)
    struct message *m = NULL;
    struct message_parts parts;
    enum route_care care;

    timer_stop(&s->shard->timers, &s->will_timer);
    if (s->will != NULL && s->grant->news != NULL && !grant_expired(s->grant, s->shard->now))
        check_will(s, &(struct authz){ s->grant, s->shard->settings->public_scope, s->shard->now });
    if (s->will == NULL)
        return;
    parts = will_parts(s->will, s->number, s->shard->now);
    if (parts.retain)
        retained_bound(s, &parts);
    if (message_new(&parts, &m) == ST_OK) {
        log_event(s->shard->log, LOG_INFO, "will_published", F_SPAN("client_id", session_client_id(s)),
                  F_SPAN("topic", message_topic(m)));
        STATS_INC(&s->shard->stats, wills_published);
        care = m->qos > 0 && s->journal != NULL ? ROUTE_ONCE : ROUTE_UNKNOWN;
        (void)route_publish(s->shard, m, care, NULL);
    } else {
        STATS_INC(&s->shard->stats, dropped_no_memory);
    }
    session_set_will(s, NULL);
}

static void on_will_delay(struct timer *timer, struct now now)
{
    (void)now;
    publish_will(CONTAINER_OF(timer, struct session, will_timer));
}

static void on_grant_end(struct session *s, struct now now)
{
    if (!grant_expired(s->grant, now)) { /* the calendar was set back, or the timer's reach was shorter */
        session_start_grant_timer(s);
        return;
    }
    if (conn_is_open(s->conn))
        token_status_over(s);
}

static void on_end(struct timer *timer, struct now now)
{
    struct session *s = CONTAINER_OF(timer, struct session, end_timer);

    if (s->conn == NULL)
        on_expiry(s);
    else
        on_grant_end(s, now);
}

#define GRANT_BYTES 256 /* with the table of packet identifiers */
#define TOKEN_BYTES 750 /* what it rests on, measured with a scope of one entry: a rich one takes more */

void session_weigh(struct session *s)
{
    uint64_t bytes = memory_block(sizeof *s + s->client_id_len + 1) + GRANT_BYTES +
                     (s->grant != NULL && s->grant->token != NULL ? TOKEN_BYTES : 0);

    STATS_ADD(&s->shard->stats, memory_sessions, bytes - s->weighed);
    s->weighed = (uint32_t)bytes;
}

enum status session_new(struct shard *shard, struct span client_id, struct session **ret_session,
                        struct why *why)
{
    struct session *s;

    if (!pressure_take(shard->pressure, COUNT_SESSIONS, 1,
                       shard->restoring ? UINT32_MAX : shard->settings->max_sessions))
        return reject(why, shard->settings->server_reference.len > 0 ? ST_ELSEWHERE : ST_QUOTA,
                      "limits.sessions", "this broker holds no more sessions", 0);
    s = calloc(1, sizeof *s + client_id.len + 1);
    if (s == NULL) {
        pressure_give(shard->pressure, COUNT_SESSIONS, 1);
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    s->shard = shard;
    s->number = shard->next_session++ * shard->count + shard->index;
    timer_init(&s->end_timer, on_end);
    timer_init(&s->will_timer, on_will_delay);
    list_init(&s->subscriptions);
    list_init(&s->operations);
    list_init(&s->match.link);
    list_init(&s->token_link);
    outbox_init(&s->outbox, &shard->stats);
    s->client_id_len = client_id.len;
    if (client_id.len > 0)
        memcpy(s->client_id, client_id.p, client_id.len);
    table_insert(&shard->sessions, &s->node, table_hash(&shard->sessions, client_id));
    STATS_INC(&shard->stats, sessions);
    session_weigh(s);
    throttle_account(shard);
    *ret_session = s;
    return ST_OK;
}

void session_end(struct session *s)
{
    struct shard *shard = s->shard;

    ASSERT(s->conn == NULL);
    ASSERT(!s->match.active);
    publish_will(s);
    s->ending = true;
    session_bury(s);
    LIST_EACH_SAFE (it, &s->subscriptions)
        subscription_free(CONTAINER_OF(it, struct subscription, link));
    share_ending(s);
    subscribe_forget_session(s);
    outbox_done(&s->outbox);
    id_set_done(&s->received);
    timer_stop(&shard->timers, &s->end_timer);
    timer_stop(&shard->timers, &s->will_timer);
    token_status_index(s, NULL);
    STATS_ADD(&shard->stats, memory_sessions, 0 - (uint64_t)s->weighed);
    grant_free(s->grant);
    table_remove(&shard->sessions, &s->node);
    STATS_DEC(&shard->stats, sessions);
    pressure_give(shard->pressure, COUNT_SESSIONS, 1);
    free(s);
}

void session_start_grant_timer(struct session *s)
{
    const struct grant *g = s->grant;
    struct shard *shard = s->shard;
    int64_t due_ms = g->until_ms;

    if (s->conn == NULL)
        return; /* the timer is that of its own end */
    if (g->until_s == TIME_NEVER && g->until_ms == TIME_NEVER) {
        timer_stop(&shard->timers, &s->end_timer);
        return;
    }
    if (g->until_s - shard->now.wall.s < (int64_t)1 << 40) { /* the calendar's view, after a jump forward */
        int64_t wall_ms = shard->now.mono.ms + now_ms_until(shard->now, g->until_s);

        if (wall_ms < due_ms)
            due_ms = wall_ms;
    }
    timer_start(&shard->timers, &s->end_timer, (struct mono_time){ due_ms });
}

/* Leaves the filter in shard->text. */
static enum status still_allowed(struct subscription *sub, const struct authz *az, struct why *why)
{
    struct buf *filter = &sub->session->shard->text;

    buf_reset(filter);
    subscription_filter(sub, filter);
    if (!buf_ok(filter))
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    return authz_subscribe(az, (struct topic_filter){ buf_span(filter) }, why);
}

bool session_is_covered(const struct session *s, const struct grant *grant)
{
    struct authz az = { grant, s->shard->settings->public_scope, s->shard->now };

    LIST_EACH (it, &s->subscriptions)
        if (still_allowed(CONTAINER_OF(it, struct subscription, link), &az, NULL) != ST_OK)
            return false;
    return true;
}

uint32_t session_set_grant(struct session *s, struct grant *grant)
{
    struct authz az;
    uint32_t lost = 0;

    token_status_index(s, grant);
    grant_free(s->grant);
    s->grant = grant;
    session_weigh(s);
    s->grant_serial++;
    session_change(s, SESSION_RECORD);
    az = (struct authz){ grant, s->shard->settings->public_scope, s->shard->now };
    check_will(s, &az);
    LIST_EACH_SAFE (it, &s->subscriptions) {
        struct subscription *sub = CONTAINER_OF(it, struct subscription, link);
        const struct buf *filter = &s->shard->text;
        struct why why = { 0 };
        enum status st = still_allowed(sub, &az, &why);

        if (st == ST_OK)
            continue;
        log_event(s->shard->log, LOG_NOTICE, "subscription_lost", F_SPAN("client_id", session_client_id(s)),
                  F_WHY(st, why), F_SPAN("filter", buf_span(filter)));
        STATS_INC(&s->shard->stats, subscriptions_lost);
        subscription_free(sub);
        lost++;
    }
    return lost;
}

enum status session_renew_grant(struct session *s, struct grant *grant, uint32_t *ret_lost, struct why *why)
{
    *ret_lost = session_set_grant(s, grant);
    if (s->conn == NULL)
        return ST_OK;
    session_start_grant_timer(s);
    if (s->conn->allowed != NULL)
        authz_cache_clear(s->conn->allowed);
    if (*ret_lost > 0 && s->shard->settings->reauth_lost_disconnects)
        return reject(why, ST_NOT_IN_SCOPE, "MT-107", "the new token does not cover a subscription", 0);
    return ST_OK;
}

void session_detach(struct session *s, bool with_will)
{
    struct shard *shard = s->shard;

    s->conn = NULL;
    timer_stop(&shard->timers, &s->end_timer);
    if (!with_will && s->will != NULL) /* MQTT5 [MQTT-3.14.4-3] */
        session_set_will(s, NULL);
    subscribe_forget_conn(s);
    if (s->expiry_s == 0) {
        session_end(s);
        return;
    }
    session_left(s);
    share_detached(s);
    if (s->will != NULL && will_delay_s(s->will) == 0)
        publish_will(s);
    session_start_waiting(s, shard->now.mono);
}

void session_start_waiting(struct session *s, struct mono_time since)
{
    struct shard *shard = s->shard;

    if (s->will != NULL && will_delay_s(s->will) < s->expiry_s)
        timer_start(&shard->timers, &s->will_timer,
                    mono_plus_ms(since, (int64_t)will_delay_s(s->will) * MS_PER_S));
    /* else with the end of the session: MQTT5 [MQTT-3.1.3-9] */
    if (s->expiry_s != UINT32_MAX)
        timer_start(&shard->timers, &s->end_timer, mono_plus_ms(since, (int64_t)s->expiry_s * MS_PER_S));
}

void session_attach(struct session *s, struct conn *conn)
{
    timer_stop(&s->shard->timers, &s->end_timer);
    timer_stop(&s->shard->timers, &s->will_timer);
    if (s->will != NULL)
        session_set_will(s, NULL); /* it was still waiting: the client is back in time (MQTT5 3.1.3.2.2) */
    s->conn = conn;
    conn->session = s;
}
