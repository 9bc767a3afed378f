#include "shard/conn.h"

#include "base/reader.h"
#include "shard/alias_out.h"
#include "shard/authz_info.h"
#include "shard/connack.h"
#include "shard/connect.h"
#include "shard/fault.h"
#include "shard/gate.h"
#include "shard/peer.h"
#include "shard/send.h"
#include "shard/shard_priv.h"

#include <stdlib.h>

#define PING_FLOOD 1000 /* in a second */
/* Subscriptions, and nodes of retained topics, visited for one client before the others have their turn: some tens of ms. */
#define WORK_PER_TURN 50000

/* What a client may send, by state. Until CONNACK only AUTH and DISCONNECT: RFC 9431 2.2.4.1 (MT-54). */
static const uint32_t conn_accepts[CONN_STATES] = {
    [CONN_AWAIT_CONNECT] = IN(MQTT_CONNECT),
    [CONN_AUTHENTICATING] = IN(MQTT_AUTH) | IN(MQTT_DISCONNECT),
    [CONN_OPEN] = IN(MQTT_PUBLISH) | IN(MQTT_PUBACK) | IN(MQTT_PUBREC) | IN(MQTT_PUBREL) | IN(MQTT_PUBCOMP) |
                  IN(MQTT_SUBSCRIBE) | IN(MQTT_UNSUBSCRIBE) | IN(MQTT_PINGREQ) | IN(MQTT_DISCONNECT) |
                  IN(MQTT_AUTH),
    [CONN_CLOSED] = 0,
};

static const uint32_t conn_may_enter[CONN_STATES] = {
    [CONN_AWAIT_CONNECT] = IN(CONN_AUTHENTICATING) | IN(CONN_OPEN) | IN(CONN_CLOSED),
    [CONN_AUTHENTICATING] = IN(CONN_OPEN) | IN(CONN_CLOSED),
    [CONN_OPEN] = IN(CONN_CLOSED),
    [CONN_CLOSED] = 0,
};

static const char *const state_names[CONN_STATES] = { "await_connect", "authenticating", "open", "closed" };

/* CONNECT needs more than its frame and is called by name. */
static void (*const on_packet[MQTT_PACKET_TYPES])(struct conn *, const struct mqtt_frame *) = {
    [MQTT_PUBLISH] = on_publish, [MQTT_PUBACK] = on_puback,           [MQTT_PUBREC] = on_pubrec,
    [MQTT_PUBREL] = on_pubrel,   [MQTT_PUBCOMP] = on_pubcomp,         [MQTT_SUBSCRIBE] = on_subscribe,
    [MQTT_PINGREQ] = on_pingreq, [MQTT_UNSUBSCRIBE] = on_unsubscribe, [MQTT_DISCONNECT] = on_disconnect,
    [MQTT_AUTH] = on_auth,
};

/* ---- life ---- */

static void on_timer(struct timer *timer, struct now now);

static uint64_t conn_bytes(const struct conn *c)
{
    return memory_block(sizeof *c + strlen(c->peer) + 1);
}

static void log_fields(const struct log *log, struct log_field own[LOG_OWN_FIELDS])
{
    const struct conn *c = CONTAINER_OF(log, struct conn, log);
    struct span client_id = c->session != NULL ? session_client_id(c->session) : c->claimed_id;

    own[0] = F_I64("conn", c->number);
    own[1] = F_STR("peer", c->peer);
    if (client_id.p != NULL)
        own[2] = F_SPAN("client_id", client_id);
}

struct conn *conn_new(struct shard *shard, struct conn_io *io, struct span peer, bool moved)
{
    struct conn *c = calloc(1, sizeof *c + peer.len + 1);

    if (c == NULL)
        return NULL;
    if (peer.len > 0)
        memcpy(c->peer, peer.p, peer.len);
    c->shard = shard;
    c->io = io;
    c->moved = moved;
    c->number = shard->next_conn++ * shard->count + shard->index;
    c->log = (struct log){ .parent = shard->log,
                           .source = peer_source(span_of(c->peer, peer.len)),
                           .own_fields = log_fields };
    c->problem_info = true;
    c->version = MQTT_5;
    c->max_packet_bytes = MQTT_PACKET_SIZE_MAX;
    c->last_packet_ms = shard->now.mono.ms;
    c->part_since_ms = TIME_NEVER;
    ace_init(&c->ace);
    timer_init(&c->timer, on_timer);
    list_init(&c->yielding);
    list_append(&shard->conns, &c->link);
    conn_start_timer(c, shard->settings->connect_timeout_ms);
    throttle_begin(c, moved);
    STATS_INC(&shard->stats, connections);
    STATS_ADD(&shard->stats, memory_connections, conn_bytes(c));
    if (!moved)
        STATS_INC(&shard->stats, connections_accepted);
    return c;
}

struct authz_cache *conn_authz_cache(struct conn *c)
{
    if (c->allowed == NULL) {
        c->allowed = calloc(1, sizeof *c->allowed);
        if (c->allowed != NULL)
            STATS_ADD(&c->shard->stats, memory_connections, memory_block(sizeof *c->allowed));
    }
    return c->allowed;
}

static void drop_authz_cache(struct conn *c)
{
    if (c->allowed == NULL)
        return;
    STATS_ADD(&c->shard->stats, memory_connections, 0 - memory_block(sizeof *c->allowed));
    free(TAKE(c->allowed));
}

/* Of what makes publishing cheaper: what was not needed since the last time. */
static void drop_idle(struct conn *c)
{
    if (c->aliases_out != NULL && alias_out_idle(c->aliases_out)) /* told anew, should messages come again */
        alias_out_free(TAKE(c->aliases_out));
    if (c->allowed != NULL && !c->allowed->asked)
        drop_authz_cache(c);
    else if (c->allowed != NULL)
        c->allowed->asked = false;
}

static void conn_free(struct conn *c)
{
    STATS_ADD(&c->shard->stats, memory_connections, 0 - conn_bytes(c));
    if (c->aliases != NULL)
        for (uint16_t i = 0; i < c->shard->settings->topic_alias_maximum; i++)
            free((void *)c->aliases[i].p);
    free(c->aliases);
    alias_out_free(c->aliases_out);
    drop_authz_cache(c);
    if (c->connect != NULL)
        STATS_ADD(&c->shard->stats, memory_reading, 0 - (uint64_t)c->connect_len);
    free(c->connect);
    ace_done(c);
    timer_stop(&c->shard->timers, &c->timer);
    list_remove(&c->link);
    free(c);
}

void conn_enter(struct conn *c, enum conn_state to)
{
    ASSERT((conn_may_enter[c->state] & IN(to)) != 0); /* a wrong move is our bug, not the peer's */
    log_event(&c->log, LOG_DEBUG, "conn_state", F_STR("from", state_names[c->state]),
              F_STR("to", state_names[to]));
    if (to == CONN_OPEN) {
        STATS_INC(&c->shard->stats, connections_authorized);
        c->log.source = SPAN_NONE; /* who has shown a token is not a stranger any more */
        if (c->shard->world.conn_welcome != NULL)
            c->shard->world.conn_welcome(c->shard->world.ctx, c->io);
    }
    if (c->state == CONN_OPEN)
        STATS_DEC(&c->shard->stats, connections_authorized);
    c->state = to;
}

void conn_start_timer(struct conn *c, uint32_t ms)
{
    timer_start(&c->shard->timers, &c->timer, mono_plus_ms(c->shard->now.mono, ms));
}

/* From now on the world knows nothing of it; conn_reap() does the rest when nobody is looking at it any more. */
static void close_now(struct conn *c)
{
    conn_enter(c, CONN_CLOSED);
    c->io = NULL;
    gate_free(c); /* what is in there was never said */
    timer_stop(&c->shard->timers, &c->timer);
    throttle_end(c);
    ace_done(c);
    authz_info_done(c);
    if (c->visitor)
        c->shard->visitors--;
    c->visitor = false;
    list_remove(&c->link);
    list_remove(&c->yielding);
    list_append(&c->shard->dead, &c->link);
    STATS_DEC(&c->shard->stats, connections);
}

void conn_reap(struct shard *shard)
{
    struct list *link;

    while ((link = list_shift(&shard->dead)) != NULL) {
        struct conn *c = CONTAINER_OF(link, struct conn, link);
        struct session *s = c->session;

        c->session = NULL;
        if (s != NULL)
            session_detach(s, !c->no_will); /* may publish a Will, and so close others: the loop sees them */
        conn_free(c);
    }
}

void conn_gone(struct conn *c, const char *reason)
{
    if (c->state == CONN_CLOSED)
        return;
    log_event(&c->log, LOG_INFO, "client_disconnected", F_STR("reason", reason));
    close_now(c);
}

/* The client said DISCONNECT. */
static void conn_bye(struct conn *c, uint8_t reason_code)
{
    struct conn_io *io = c->io;

    log_event(&c->log, LOG_INFO, "client_disconnected", F_STR("reason", "DISCONNECT"),
              F_I64("reason_code", reason_code));
    c->no_will = reason_code != MQTT_DISCONNECT_WITH_WILL && reason_code < 0x80;
    close_now(c);
    c->shard->world.conn_close(c->shard->world.ctx, io);
}

void conn_moved_away(struct conn *c, unsigned home)
{
    struct conn_io *io = c->io;

    STATS_INC(&c->shard->stats, connections_moved);
    c->gone_home = true;
    close_now(c);
    c->shard->world.conn_move(c->shard->world.ctx, io, home);
}

/* Not every code of CONNACK may stand in DISCONNECT (MQTT5 3.14.2.1): 0x88 of an authorization server that cannot be
 * reached, for one, when a token was to be renewed. */
static uint8_t disconnect_code(uint8_t code)
{
    if (code == MQTT_SERVER_UNAVAILABLE)
        return MQTT_SERVER_BUSY;
    return mqtt_reason_allowed(MQTT_DISCONNECT, MQTT_FROM_SERVER, code) ? code
                                                                        : (uint8_t)MQTT_UNSPECIFIED_ERROR;
}

/* Nor the other way round: 0x8B of a broker that stops. */
static uint8_t connack_code(uint8_t code)
{
    return mqtt_reason_allowed(MQTT_CONNACK, MQTT_FROM_SERVER, code) ? code : (uint8_t)MQTT_SERVER_UNAVAILABLE;
}

void conn_blame(struct conn *c, enum status st, const struct why *why, bool open)
{
    if (c->shard->world.conn_fault != NULL && fault_is(st, why, open))
        c->shard->world.conn_fault(c->shard->world.ctx, c->io);
}

void conn_refuse(struct conn *c, uint8_t code, enum status st, const struct why *why, const char *event)
{
    struct conn_io *io = c->io;
    bool welcomed;

    if (c->state == CONN_CLOSED)
        return;
    welcomed = c->state == CONN_OPEN && !gate_has_connack(c);
    if (!welcomed)
        c->no_will = true; /* it hears that it is not connected: MQTT5 [MQTT-3.1.2-8] speaks of who was */
    gate_free(c);
    code = welcomed ? disconnect_code(code) : connack_code(code);
    if (welcomed) /* MQTT5 [MQTT-3.14.0-1] */
        send_disconnect(c, code, why);
    else if (c->connect_seen)
        connack_refuse(c, code, why);
    atomic_fetch_add_explicit(&c->shard->stats.refusals[st], 1, memory_order_relaxed);
    log_event(&c->log, LOG_NOTICE, event, F_WHY(st, *why), F_I64("reason_code", code));
    conn_blame(c, st, why, c->state == CONN_OPEN);
    close_now(c);
    c->shard->world.conn_close(c->shard->world.ctx, io);
}

void conn_fail(struct conn *c, enum status st, const struct why *why)
{
    conn_refuse(c, status_mqtt5_code(st), st, why,
                c->state == CONN_OPEN ? "packet_refused" : "connect_refused");
}

struct authz conn_authz(const struct conn *c)
{
    return (struct authz){ c->session->grant, c->shard->settings->public_scope, c->shard->now };
}

void conn_opened(struct conn *c)
{
    conn_enter(c, CONN_OPEN);
    if (c->keep_alive_ms > 0)
        conn_start_timer(c, c->keep_alive_ms);
    else
        timer_stop(&c->shard->timers, &c->timer);
}

/* ---- time ---- */

static int64_t silence_due_ms(const struct conn *c)
{
    return c->keep_alive_ms > 0 ? c->last_packet_ms + c->keep_alive_ms : TIME_NEVER;
}

static int64_t part_due_ms(const struct conn *c)
{
    return c->part_since_ms == TIME_NEVER ? TIME_NEVER
                                          : c->part_since_ms + c->shard->settings->packet_timeout_ms;
}

/* Half a packet keeps its bytes in memory for as long as its sender likes: a byte now and then is no sign of life, with
 * or without a Keep Alive. */
static void part_came(struct conn *c)
{
    if (c->part_since_ms != TIME_NEVER || c->shard->settings->packet_timeout_ms == 0)
        return;
    c->part_since_ms = c->shard->now.mono.ms;
    if (part_due_ms(c) < silence_due_ms(c)) /* else the timer comes by before, and looks again */
        timer_start(&c->shard->timers, &c->timer, (struct mono_time){ part_due_ms(c) });
}

static void on_silence(struct conn *c, struct now now)
{
    int64_t due_ms;
    struct why why;

    if (c->paused || throttle_is_slow(c) || gate_is_full(c))
        c->last_packet_ms =
            now.mono.ms; /* it is we who do not listen, while something of its own is waited for */
    due_ms = silence_due_ms(c) < part_due_ms(c) ? silence_due_ms(c) : part_due_ms(c);
    if (now.mono.ms < due_ms) { /* packets came meanwhile; the timer is not moved for each of them */
        if (due_ms != TIME_NEVER)
            timer_start(&c->shard->timers, &c->timer, (struct mono_time){ due_ms });
        return;
    }
    if (due_ms < silence_due_ms(c)) {
        conn_fail(c, reject(&why, ST_TIMEOUT, "limits.packet_timeout", "a packet took too long to arrive", 0),
                  &why);
        return;
    }
    STATS_INC(&c->shard->stats, keep_alive_timeouts);
    conn_refuse(
        c, MQTT_KEEP_ALIVE_TIMEOUT,
        reject(&why, ST_TIMEOUT, "MQTT5 [MQTT-3.1.2-22]", "nothing heard for 1.5 times the keep alive", 0),
        &why, "keep_alive_timeout");
}

static void on_timer(struct timer *timer, struct now now)
{
    struct conn *c = CONTAINER_OF(timer, struct conn, timer);
    struct why why;

    switch (c->state) {
    case CONN_AWAIT_CONNECT:
        conn_fail(c, reject(&why, ST_TIMEOUT, "limits.connect_timeout", "no CONNECT in time", 0), &why);
        break;
    case CONN_AUTHENTICATING:
        ace_timed_out(c);
        break;
    case CONN_OPEN:
        on_silence(c, now);
        break;
    case CONN_CLOSED:
    case CONN_STATES:
        break;
    }
}

/* ---- input ---- */

void conn_grant_over(struct conn *c)
{
    struct authz az = conn_authz(c);
    struct grant *grant = c->session->grant;
    struct why why;
    enum status st = authz_alive(&az, &why);

    ASSERT(st != ST_OK);
    if (grant->revoked) { /* and its turn to be cut (token_status.h) had not come */
        STATS_INC(&c->shard->stats, tokens_revoked);
        grant->told = true;
        conn_refuse(c, status_mqtt5_code(st), st, &why, "token_revoked");
        return;
    }
    if (grant->token != NULL)
        STATS_INC(&c->shard->stats, tokens_expired);
    conn_refuse(c, status_mqtt5_code(st), st, &why, grant->token != NULL ? "token_expired" : "visit_over");
}

/* MT-100: the second line behind the timer. DISCONNECT needs no permission, and AUTH may bring a new token. */
static bool token_alive(struct conn *c, enum mqtt_packet_type type)
{
    if (c->state != CONN_OPEN || type == MQTT_DISCONNECT || type == MQTT_AUTH)
        return true;
    if (!grant_expired(c->session->grant, c->shard->now))
        return true;
    conn_grant_over(c);
    return false;
}

/* Which rule a packet at the wrong time breaks. */
static enum status out_of_place(const struct conn *c, enum mqtt_packet_type type, struct why *why)
{
    if (c->state == CONN_AWAIT_CONNECT)
        return reject(why, ST_PROTOCOL, "MQTT5 [MQTT-3.1.0-1]", "the first packet must be CONNECT", 0);
    if (c->state == CONN_AUTHENTICATING)
        return reject(why, ST_PROTOCOL, "MT-54", "nothing but AUTH and DISCONNECT before CONNACK", 0);
    if (type == MQTT_CONNECT)
        return reject(why, ST_PROTOCOL, "MQTT5 [MQTT-3.1.0-2]", "a second CONNECT", 0);
    return reject(why, ST_PROTOCOL, "MQTT5 2.1.2", "a packet only servers send", 0);
}

static void dispatch(struct conn *c, const struct mqtt_frame *frame, struct span behind)
{
    struct why why = { 0 };

    if ((conn_accepts[c->state] & IN(frame->type)) == 0) {
        conn_fail(c, out_of_place(c, frame->type, &why), &why);
        return;
    }
    if (!token_alive(c, frame->type))
        return;
    c->last_packet_ms = c->shard->now.mono.ms;
    if (frame->type == MQTT_CONNECT)
        on_connect(c, frame, behind);
    else
        on_packet[frame->type](c, frame);
}

/* A CONNECT of MQTT 5, however wrong or long: its sender understands a CONNACK. Of 3.1.1 there is no code to say it. */
static bool begins_connect5(struct span in)
{
    struct reader r = reader_make(in, NULL);
    bool is_connect = read_u8(&r) >> 4 == MQTT_CONNECT;
    (void)read_varint(&r);
    struct span name = read_prefixed16(&r);
    uint8_t level = read_u8(&r);

    return is_connect && reader_ok(&r) && span_eq_str(name, "MQTT") && level == MQTT_5;
}

/* The fixed header cannot be read, or announces too much: MQTT5 4.13.1. */
static void refuse_frame(struct conn *c, struct span in, enum status st, const struct why *why)
{
    if (c->state == CONN_AWAIT_CONNECT && begins_connect5(in))
        c->connect_seen = true;
    conn_fail(c, st, why);
}

/* ---- reading less ---- */

void conn_pause(struct conn *c)
{
    c->paused = true;
    c->shard->world.conn_pause(c->shard->world.ctx, c->io, true);
}

void conn_go_on(struct conn *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    conn_read_on(c);
}

void conn_read_on(struct conn *c)
{
    if (!c->paused && list_empty(&c->yielding) && !throttle_is_slow(c) && !gate_is_full(c))
        c->shard->world.conn_pause(c->shard->world.ctx, c->io, false);
}

/* One message can visit as many subscriptions as there are, and one read has room for thousands of messages. */
static void yield(struct conn *c)
{
    list_append(&c->shard->yielding, &c->yielding);
    c->shard->world.conn_pause(c->shard->world.ctx, c->io, true);
}

void conn_yielded(struct shard *shard)
{
    struct list *link;

    while ((link = list_shift(&shard->yielding)) != NULL)
        conn_read_on(CONTAINER_OF(link, struct conn, yielding));
}

size_t conn_input(struct conn *c, struct span input)
{
    const struct shard_settings *settings = c->shard->settings;
    struct shard *shard = c->shard;
    size_t at = 0, packets = 0;
    uint64_t enough = shard->work + WORK_PER_TURN, published = shard->published;
    bool part = false;

    while (c->state != CONN_CLOSED && !c->paused && !gate_is_full(c)) {
        struct span rest = span_cut(input, at, SIZE_MAX);
        uint32_t max = c->state == CONN_OPEN ? settings->max_packet_bytes : settings->max_connect_bytes;
        struct mqtt_frame frame;
        struct why why = { 0 };
        enum status st = ST_OK;
        enum mqtt_frame_result result;

        if (rest.len == 0)
            break;
        result = mqtt_frame_next(rest, MQTT_FROM_CLIENT, max, &frame, &st, &why);
        if (result == MQTT_FRAME_NEED_MORE) {
            part = true;
            if (c->state == CONN_OPEN)
                part_came(c);
            break;
        }
        c->part_since_ms = TIME_NEVER;
        if (result == MQTT_FRAME_BAD) {
            refuse_frame(c, rest, st, &why);
            break;
        }
        dispatch(c, &frame, span_cut(rest, frame.total_len, SIZE_MAX));
        at += frame.total_len;
        packets++;
        if (shard->work >= enough && c->state != CONN_CLOSED) {
            yield(c);
            break;
        }
    }
    if (!c->gone_home) {
        STATS_ADD(&shard->stats, packets_in, packets);
        STATS_ADD(&shard->stats, bytes_in, at);
    }
    if (c->state == CONN_CLOSED)
        return 0;
    if (at < input.len || c->throttle.unread > 0 || pressure_slow(shard->pressure) > 0)
        throttle_input(c, input.len - at, part, shard->published - published);
    return at;
}

/* ---- the two packets that fit here ---- */

/* Each PINGREQ is answered (MQTT5 [MQTT-3.12.4-1]), within what waits for the client and its turns, so a flood harms
 * nobody; but its source has a name. */
static void count_ping(struct conn *c)
{
    int64_t now = c->shard->now.mono.ms;

    if (c->pings == PING_FLOOD)
        return;
    if (c->pings == 0 || now - c->pings_since_ms >= MS_PER_S) {
        c->pings_since_ms = now;
        c->pings = 0;
    }
    if (++c->pings == PING_FLOOD)
        log_event(&c->log, LOG_NOTICE, "ping_flood", F_I64("pings", PING_FLOOD));
}

void on_pingreq(struct conn *c, const struct mqtt_frame *frame)
{
    struct why why = { 0 };
    enum status st = mqtt_read_ping(frame, &why);

    if (st != ST_OK) {
        conn_fail(c, st, &why);
    } else {
        send_pingresp(c);
        count_ping(c);
    }
    drop_idle(c);
}

void on_disconnect(struct conn *c, const struct mqtt_frame *frame)
{
    struct mqtt_disconnect d;
    struct why why = { 0 };
    enum status st = mqtt_read_disconnect(frame, c->version, &d, &why);

    if (st == ST_OK && c->session != NULL && mqtt_has(&d.properties, PROP_SESSION_EXPIRY)) {
        if (c->asked_expiry_s == 0 && d.properties.session_expiry_s != 0)
            st = reject(&why, ST_PROTOCOL, "MQTT5 3.14.2.2.2", "Session Expiry Interval was 0 in CONNECT", 0);
        else if (c->session->journal != NULL ||
                 !c->shard->journal.on) /* else it was cut to 0, and has no record */
            c->session->expiry_s = connect_session_expiry(c->session, d.properties.session_expiry_s);
    }
    if (st != ST_OK)
        conn_fail(c, st, &why);
    else
        conn_bye(c, d.reason);
}
