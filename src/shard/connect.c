/* CONNECT (MQTT5 3.1, 3.2, MQTT311 the same; RFC 9431 2.2.4, 2.4, 6): whose it is, what it may, which session it gets. */
#include "shard/connect.h"

#include "shard/connack.h"
#include "shard/known.h"
#include "shard/send.h"
#include "shard/shard_priv.h"
#include "shard/token_store.h"
#include "token/user_name.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the session ---- */

static uint32_t expiry_of(const struct conn *c, const struct grant *grant, uint32_t asked_s)
{
    const struct shard_settings *settings = c->shard->settings;
    uint32_t max_s = grant->token != NULL ? settings->max_session_expiry_s : settings->max_guest_expiry_s;

    if (!settings->session_continuation)
        return 0;
    if (c->version != MQTT_5 && settings->max_v3_expiry_s < max_s)
        max_s = settings->max_v3_expiry_s;
    return asked_s < max_s ? asked_s : max_s;
}

uint32_t connect_session_expiry(const struct session *s, uint32_t asked_s)
{
    return expiry_of(s->conn, s->grant, asked_s);
}

/* A Client Identifier is only a name (MT-60). What is kept under it belongs to who was authorized then: another
 * holder of a token may neither read those messages nor throw that client out. Who came without any token,
 * though, yields to one who has. */
static enum status may_have(const struct session *s, const struct grant *grant, bool *ret_yields,
                            struct why *why)
{
    *ret_yields = false;
    if (!s->shard->settings->check_client_id_owner || grant_same_owner(s->grant, grant))
        return ST_OK;
    if (s->grant->token == NULL) {
        *ret_yields = true;
        return ST_OK;
    }
    return reject(why, ST_BAD_CLIENT_ID, "ace.check_client_id_owner",
                  "the client identifier belongs to another client", 0);
}

/* MT-76, MQTT5 [MQTT-3.1.4-3]. */
static void take_over(struct session *s)
{
    struct conn *old = s->conn;
    struct why why;

    STATS_INC(&s->shard->stats, sessions_taken_over);
    conn_refuse(old, MQTT_SESSION_TAKEN_OVER,
                reject(&why, ST_EXISTS, "MT-76", "a newer connection uses this client identifier", 0), &why,
                "session_taken_over");
    old->session = NULL;
    session_detach(s, true);
}

/* An identifier nobody has, whose home is here. */
static enum status assign_client_id(struct shard *shard, char id[40], struct span *ret_id, struct why *why)
{
    for (int attempt = 0; attempt < 4096; attempt++) {
        uint64_t r[2];

        if (shard->world.random(shard->world.ctx, r, sizeof r) != ST_OK)
            break;
        snprintf(id, 40, "sy-%016llx%016llx", (unsigned long long)r[0], (unsigned long long)r[1]);
        *ret_id = span_of_str(id);
        if (shard_home(shard->settings, shard->count, *ret_id) == shard->index &&
            session_find(shard, *ret_id) == NULL)
            return ST_OK;
    }
    return reject(why, ST_INTERNAL, "random", "no client identifier could be made", 0);
}

/* MT-78 d. Where the administrator would rather have the client subscribe again, and see then what is refused. */
static bool lost_too_much(const struct session *s, const struct grant *grant)
{
    return s->shard->settings->resume_whole && !session_is_covered(s, grant);
}

/* MT-78 c: the same token again, another in its place, or the session's first. */
static const char *compare_tokens(const struct grant *stored, const struct grant *grant)
{
    if (grant->token == NULL)
        return "none";
    if (stored == NULL || stored->token == NULL)
        return "first";
    return memcmp(stored->token->hash, grant->token->hash, TOKEN_HASH_LEN) == 0 ? "same" : "replaced";
}

/* MQTT5 [MQTT-3.1.2-4] to [MQTT-3.1.2-6], MT-71, MT-72. */
static enum status find_session(struct conn *c, const struct mqtt_connect *connect, const struct grant *grant,
                                struct session **ret_session, bool *ret_present, struct why *why)
{
    struct shard *shard = c->shard;
    struct span id = connect->client_id;
    struct session *s;
    char assigned[40];
    bool yields, ended;
    enum status st;

    *ret_present = false;
    if (id.len == 0) {
        st = throttle_session(shard, why);
        if (st == ST_OK)
            st = assign_client_id(shard, assigned, &id, why);
        return st != ST_OK ? st : session_new(shard, id, ret_session, why);
    }
    s = session_find(shard, id);
    ended = s != NULL; /* one for another needs no more room */
    if (s != NULL) {
        st = may_have(s, grant, &yields, why);
        if (st != ST_OK && grant->token == NULL && shard->settings->authz_info) {
            /* Perhaps the owner, about to leave a new token for itself: its session stays out of this. */
            st = assign_client_id(shard, assigned, &id, why);
            return st != ST_OK ? st : session_new(shard, id, ret_session, why);
        }
        if (st != ST_OK)
            return st;
        if (s->conn != NULL)
            take_over(s);
        s = session_find(shard, id); /* it may have ended with its connection */
        if (s != NULL && (connect->clean_start || yields || lost_too_much(s, grant))) {
            session_end(s);
            s = NULL;
        }
    }
    if (s == NULL && !ended) {
        st = throttle_session(shard, why);
        if (st != ST_OK)
            return st;
    }
    if (s == NULL)
        return session_new(shard, id, ret_session, why);
    *ret_session = s;
    *ret_present = true;
    return ST_OK;
}

static enum status take_will(const struct conn *c, const struct mqtt_connect *connect, struct grant *grant,
                             struct will **ret_will, struct why *why)
{
    const struct shard_settings *settings = c->shard->settings;
    struct authz az = { grant, settings->public_scope, c->shard->now };
    struct mqtt_will will = connect->will;
    bool ours = grant_is_built_in(grant);
    enum status st;

    if (!connect->has_will)
        return ST_OK;
    if (topic_too_deep(will.topic.s, settings->max_topic_levels))
        return reject(why, ST_BAD_TOPIC, "limits.topic_levels", "the Will topic has too many levels", 0);
    if (will.qos > settings->maximum_qos && !ours)
        return reject(why, ST_BAD_QOS, "MQTT5 [MQTT-3.2.2-12]", "the QoS of the Will is beyond Maximum QoS", 0);
    if (will.retain && !settings->retain_available && !ours)
        return reject(why, ST_NO_RETAIN, "MQTT5 [MQTT-3.2.2-13]", "retained messages are not available", 0);
    st = authz_will(&az, will.topic, why);
    if (st != ST_OK)
        return st;
    will.retain = will.retain && settings->retain_available;
    if (will_new(&will, ret_will) != ST_OK)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    return ST_OK;
}

/* It cannot be told of another value than its own (MQTT311 [MQTT-3.1.2-24]), so it keeps that or is refused. */
static enum status check_v3_keep_alive(const struct conn *c, uint16_t asked_s, struct why *why)
{
    const struct shard_settings *settings = c->shard->settings;
    uint16_t cap_s = settings->max_keep_alive_s;

    if (c->version == MQTT_5 || !settings->refuse_v3_keep_alive || cap_s == 0)
        return ST_OK;
    if (asked_s > 0 && asked_s <= cap_s)
        return ST_OK;
    return reject(why, ST_BAD_CLIENT_ID, "limits.keep_alive_v3", "the keep alive is beyond limits.keep_alive",
                  0);
}

static void set_keep_alive(struct conn *c, uint16_t asked_s)
{
    uint16_t cap_s = c->shard->settings->max_keep_alive_s;
    uint32_t s = asked_s;

    if (c->version != MQTT_5)
        cap_s = 0;
    if (cap_s > 0 && (s == 0 || s > cap_s))
        s = cap_s;
    c->keep_alive_ms = s * 1500; /* one and a half times: MQTT5 [MQTT-3.1.2-22] */
}

/* While the store fails, what it would have to take is refused before anything changes. */
static enum status check_store(const struct conn *c, const struct mqtt_connect *connect,
                               const struct grant *grant, struct why *why)
{
    const struct shard *shard = c->shard;
    const struct session *s;

    if (!shard->journal.failing)
        return ST_OK;
    if (grant->receipt > shard->journal.receipts)
        return journal_refuse(&shard->journal, why);
    s = connect->client_id.len == 0 ? NULL : session_find(shard, connect->client_id);
    if (expiry_of(c, grant, c->asked_expiry_s) == 0 && (s == NULL || s->journal == NULL))
        return ST_OK;
    if (shard->journal.status == ST_TOO_LARGE && s != NULL && s->journal != NULL)
        return ST_OK; /* full, not broken: who comes for what waits makes room */
    return journal_refuse(&shard->journal, why);
}

/* One that outlives its connection is on disk from now on. */
static enum status keep(struct session *s, struct why *why)
{
    if (s->expiry_s > 0 && session_keep(s) != ST_OK)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    session_returned(s);
    if (s->will != NULL)
        session_change(s, SESSION_WILL);
    return ST_OK;
}

/* A token whose life has begun with this CONNECT must not begin it again after a crash (AF-75). */
static struct barrier connack_barrier(const struct session *s, uint64_t changes)
{
    const struct journal *j = &s->shard->journal;
    struct barrier barrier = journal_barrier_since(j, changes, false);

    /* What this client had may have ended with an earlier CONNECT that was not answered: it must not come back either. */
    if (j->waits && barrier.epoch < j->ended)
        barrier.epoch = j->ended;
    if (j->waits && s->grant->receipt > j->receipts)
        barrier.receipt = s->grant->receipt;
    return barrier;
}

/* The client hears that it is not connected: of a new session nobody knows. */
static void forget(struct conn *c, bool present)
{
    c->no_will = true;
    if (!present)
        c->session->expiry_s = 0;
}

/* Everything is proved and allowed from here on, or refused before anything changes. */
static enum status open_session(struct conn *c, const struct mqtt_connect *connect, struct why *why)
{
    CLEANUP(grant_freep)
    struct grant *grant = NULL;
    struct will *will = NULL;
    struct session *s;
    struct journal *j = &c->shard->journal;
    uint64_t changes = j->changes;
    const char *compared;
    bool present;
    enum status st = grant_new(c->ace.token, c->shard->settings->tokens, c->shard->now, &grant, why);

    if (st != ST_OK)
        return st;
    if (c->visitor)
        grant_limit(grant, c->shard->now, c->shard->settings->visit_ms);
    st = check_v3_keep_alive(c, connect->keep_alive_s, why);
    if (st == ST_OK)
        st = check_store(c, connect, grant, why);
    if (st == ST_OK)
        st = take_will(c, connect, grant, &will, why);
    if (st == ST_OK)
        st = find_session(c, connect, grant, &s, &present, why);
    if (st != ST_OK) {
        will_free(will);
        return st;
    }
    compared = compare_tokens(s->grant, grant);
    session_attach(s, c);
    if (will != NULL)
        session_set_will(s, will);
    (void)session_set_grant(s, TAKE(grant)); /* of a continued session: MT-78 d */
    s->expiry_s = connect_session_expiry(s, c->asked_expiry_s);
    st = keep(s, why);
    if (st != ST_OK) {
        forget(c, present);
        return st;
    }
    session_start_grant_timer(s);
    set_keep_alive(c, connect->keep_alive_s);
    c->received_before = s->received.count;
    if (!connack_accept(c, connect, present, connack_barrier(s, changes))) {
        forget(c, present);
        return reject(why, ST_TOO_LARGE, "MQTT5 [MQTT-3.1.2-24]",
                      "the client's Maximum Packet Size has no room for CONNACK", 0);
    }
    if (c->state == CONN_CLOSED) { /* no memory for it to wait in */
        forget(c, present);
        return ST_OK;
    }
    conn_opened(c);
    if (s->grant->token != NULL)
        STATS_INC(&c->shard->stats, tokens_accepted);
    log_event(&c->log, LOG_INFO, "client_connected", F_SPAN("subject", grant_subject(s->grant)),
              F_STR("session", present ? "continued" : "new"), F_STR("token", compared),
              F_STR("mqtt", c->version == MQTT_5 ? "5" : "3.1.1"),
              F_I64("keep_alive_s", c->keep_alive_ms / 1500), F_I64("session_expiry_s", s->expiry_s));
    session_resend(s);
    return ST_OK;
}

static void open_or_refuse(struct conn *c, const struct mqtt_connect *connect)
{
    struct why why = { 0 };
    enum status st;

    c->hint = false; /* the token is good: what is refused now is something else */
    st = open_session(c, connect, &why);
    token_unref(TAKE(c->ace.token));
    if (st != ST_OK)
        conn_fail(c, st, &why);
}

/* ---- CONNECT ---- */

static void keep_wishes(struct conn *c, const struct mqtt_connect *connect)
{
    const struct mqtt_properties *p = &connect->properties;

    c->problem_info = mqtt_request_problem_info(p);
    c->max_packet_bytes = mqtt_maximum_packet_size(p);
    c->receive_maximum = mqtt_receive_maximum(p);
    c->topic_alias_maximum = mqtt_has(p, PROP_TOPIC_ALIAS_MAXIMUM) ? p->topic_alias_maximum : 0;
    if (c->topic_alias_maximum > c->shard->settings->topic_aliases_out)
        c->topic_alias_maximum = c->shard->settings->topic_aliases_out;
    c->asked_expiry_s = mqtt_has(p, PROP_SESSION_EXPIRY) ? p->session_expiry_s : 0;
    if (c->version != MQTT_5 && !connect->clean_start)
        c->asked_expiry_s = UINT32_MAX; /* MQTT311 3.1.2.4: no end but the administrator's (MT-77) */
}

/* Room for who may do nothing but leave a token on authz-info: few at a time, and not for long (MT-21, MT-32, MT-40). */
static enum status let_visit(struct conn *c, struct why *why)
{
    if (!c->shard->settings->authz_info)
        return reject(why, ST_DENIED, "MT-20", "a token is required; use method ace", 0);
    c->hint = false; /* from here on it is not for want of a token */
    if (c->shard->visitors >= c->shard->settings->max_visitors)
        return reject(why, ST_QUOTA, "authz_info.max_visitors", "too many clients without a token", 0);
    c->visitor = true;
    c->shard->visitors++;
    return ST_OK;
}

/* Without method "ace": who TLS knows has the token that goes with that (MT-23, MT-129), anybody else the public topics
 * and authz-info, if there are any (MT-21). Nothing else stands in for a token. */
static enum status check_no_method(struct conn *c, const struct mqtt_connect *connect, struct why *why)
{
    enum status st;

    c->hint = true;
    if (connect->has_user_name || connect->has_password)
        return reject(why, ST_BAD_CREDENTIAL, "MT-55", "passwords are not accepted; use method ace", 0);
    st = known_token(c, &c->ace.token, why);
    if (st != ST_OK || c->ace.token != NULL || c->shard->settings->public_scope != NULL)
        return st;
    return let_visit(c, why);
}

/* MT-54: who authenticates sends nothing more until the broker has spoken. */
static enum status check_ace(struct conn *c, const struct mqtt_connect *connect, struct span behind,
                             struct why *why)
{
    const struct mqtt_properties *p = &connect->properties;

    if (!span_eq_str(p->auth_method, ACE_METHOD))
        return reject(why, ST_BAD_AUTH_METHOD, "MT-51", "the authentication method is not ace", 0);
    c->ace.in_use = true;
    if (behind.len > 0 && behind.p[0] >> 4 != MQTT_DISCONNECT)
        return reject(why, ST_PROTOCOL, "MT-54", "nothing but AUTH and DISCONNECT before CONNACK", 0);
    if (connect->has_user_name || connect->has_password)
        return reject(why, ST_BAD_CREDENTIAL, "MT-50", "user name and password must be absent with ace", 0);
    c->hint = true;
    if ((!mqtt_has(p, PROP_AUTH_DATA) || p->auth_data.len == 0) && c->shard->settings->stored_tokens)
        return ace_begin_stored(c, connect->client_id, why);
    if (!mqtt_has(p, PROP_AUTH_DATA) || p->auth_data.len == 0)
        return reject(why, ST_DENIED, "MT-92", "no token in the CONNECT", 0);
    return ace_begin(c, p->auth_data, false, why);
}

/* Token and proof in user name and password: MT-121 to MT-125; for MQTT 5 if the administrator wants it (MT-55). They
 * make what Authentication Data would have been (layout A), and it goes the same way from there. */
static bool brings_user_name(const struct conn *c, const struct mqtt_connect *connect)
{
    if (!connect->has_user_name || !user_name_is_ace(connect->user_name))
        return false;
    return c->version != MQTT_5 || c->shard->settings->v5_user_name;
}

static enum status check_user_name(struct conn *c, const struct mqtt_connect *connect, struct why *why)
{
    CLEANUP(buf_done)
    struct buf token;
    CLEANUP(buf_done)
    struct buf data;
    enum status st;

    c->hint = true;
    buf_init(&token, UINT16_MAX);
    buf_init(&data, UINT16_MAX);
    st = user_name_token(connect->user_name, &token, why);
    if (st != ST_OK)
        return st;
    if (connect->password.len == 0)
        return reject(why, ST_BAD_PROOF, "MT-123", "no proof of possession in the password", 0);
    st = auth_data_write_connect(buf_span(&token), connect->password, &data);
    if (st != ST_OK)
        return reject(why, st, "MT-122", "token and proof are too long", 0);
    return ace_begin(c, buf_span(&data), false, why);
}

/* Waits for a challenge to be answered or a token to be looked up. The packet is kept whole and read again. Who named a
 * method may send AUTH meanwhile; anybody else may have sent on already (MQTT311 3.1.4), which then waits. */
static enum status wait_for_proof(struct conn *c, const struct mqtt_frame *frame, struct why *why)
{
    if (!c->ace.in_use)
        conn_pause(c);
    c->connect = malloc(frame->total_len);
    if (c->connect == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    STATS_ADD(&c->shard->stats, memory_reading, frame->total_len);
    memcpy(c->connect, frame->body.p - frame->head_len, frame->total_len);
    c->connect_len = frame->total_len;
    conn_enter(c, CONN_AUTHENTICATING);
    conn_start_timer(c, c->shard->settings->auth_timeout_ms);
    return ST_OK;
}

/* With `hint` it is about the token. Only 3.1.1 lets a user name that is none of ours be told from a bad token. */
static uint8_t refusal_code(const struct conn *c, enum status st)
{
    if (c->version != MQTT_5 && st == ST_BAD_CREDENTIAL)
        return MQTT_BAD_USER_NAME_OR_PASSWORD;
    return c->hint ? ace_reason_code(st) : status_mqtt5_code(st);
}

/* The sessions of our own bridges are theirs alone, whatever token somebody has. */
static enum status authenticate(struct conn *c, const struct mqtt_connect *connect, struct span behind,
                                struct why *why)
{
    if (span_starts_with(connect->client_id, SPAN("$bridge/")) && !known_built_in(c))
        return reject(why, ST_BAD_CLIENT_ID, "bridges", "client identifiers of this broker's bridges", 0);
    if (mqtt_has(&connect->properties, PROP_AUTH_METHOD))
        return check_ace(c, connect, behind, why);
    if (brings_user_name(c, connect))
        return check_user_name(c, connect, why);
    return check_no_method(c, connect, why);
}

void on_connect(struct conn *c, const struct mqtt_frame *frame, struct span behind)
{
    struct mqtt_connect connect;
    struct why why = { 0 };
    enum status st = mqtt_read_connect(frame, &connect, &why);
    unsigned home;

    c->connect_seen = true;
    if ((connect.version & 0x7f) == MQTT_3_1 || (connect.version & 0x7f) == MQTT_3_1_1)
        c->version =
            MQTT_3_1_1; /* its words, also to refuse it (MT-120), or the highest bit of mosquitto's bridges */
    if (st == ST_OK && c->version != MQTT_5 && !c->shard->settings->accept_v3)
        st = reject(&why, ST_BAD_VERSION, "MT-120", "only MQTT 5 is spoken here", 0);
    if (st != ST_OK) {
        conn_fail(c, st, &why);
        return;
    }
    st = throttle_connection(c, &why);
    if (st != ST_OK) { /* MQTT5 3.2.2.2: Server busy */
        conn_refuse(c, MQTT_SERVER_BUSY, st, &why, "connect_refused");
        return;
    }
    home = shard_home(c->shard->settings, c->shard->count, connect.client_id);
    if (connect.client_id.len > 0 && home != c->shard->index && !c->moved) {
        conn_moved_away(c, home);
        return;
    }
    STATS_INC(&c->shard->stats, connects_in);
    keep_wishes(c, &connect);
    c->claimed_id = connect.client_id;
    st = authenticate(c, &connect, behind, &why);
    if (st == ST_PENDING)
        st = wait_for_proof(c, frame, &why);
    else if (st == ST_OK)
        open_or_refuse(c, &connect);
    if (st != ST_OK) {
        if (c->hint && (connect.properties.auth_data.len > 0 || brings_user_name(c, &connect)))
            STATS_INC(&c->shard->stats, tokens_refused);
        conn_refuse(c, refusal_code(c, st), st, &why, "connect_refused");
    }
    if (c->state == CONN_AUTHENTICATING) /* the packet is going away, its copy stays */
        c->claimed_id.p = c->connect + frame->head_len + (connect.client_id.p - frame->body.p);
    else
        c->claimed_id = SPAN_NONE;
}

void connect_proved(struct conn *c)
{
    struct span packet = span_of(c->connect, c->connect_len);
    struct mqtt_connect connect;
    struct mqtt_frame frame;
    struct why why = { 0 };
    enum status st = ST_OK;

    /* It was read before: it cannot fail now. */
    ASSERT(mqtt_frame_next(packet, MQTT_FROM_CLIENT, UINT32_MAX, &frame, &st, &why) == MQTT_FRAME_READY);
    st = mqtt_read_connect(&frame, &connect, &why);
    ASSERT(st == ST_OK);
    open_or_refuse(c, &connect);
    STATS_ADD(&c->shard->stats, memory_reading, 0 - (uint64_t)c->connect_len);
    c->claimed_id = SPAN_NONE;
    free(c->connect);
    c->connect = NULL;
    if (c->state == CONN_OPEN) /* what was sent behind the CONNECT has its turn now */
        conn_go_on(c);
}
