#include "shard/authz_info.h"

#include "shard/send.h"
#include "shard/shard_priv.h"
#include "shard/token_store.h"

#include <stdlib.h>

/* ---- answers ---- */

/* MT-35 to MT-37: what is no token is 0x99, and a token we cannot or will not use 0x87, whatever is wrong with it. */
static uint8_t code_of(enum status st)
{
    switch (st) {
    case ST_MALFORMED:
    case ST_TOO_LARGE:
        return MQTT_PAYLOAD_FORMAT_INVALID;
    case ST_QUOTA:
    case ST_NO_MEMORY:
        return MQTT_QUOTA_EXCEEDED;
    case ST_IO:
    case ST_DAMAGED:
    case ST_INTERNAL:
        return MQTT_IMPLEMENTATION_ERROR;
    default:
        return MQTT_NOT_AUTHORIZED;
    }
}

static void acknowledge(struct conn *c, uint8_t qos, uint16_t packet_id, uint8_t code, const struct why *why)
{
    if (qos > 0)
        send_ack(c, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, packet_id, code, why);
}

/* QoS 2 goes on with PUBREL unless PUBREC refused. */
static enum status expect_release(struct conn *c, uint8_t qos, uint16_t packet_id)
{
    return qos == 2 ? id_set_add(&c->session->received, packet_id) : ST_OK;
}

/* MQTT 3.1.1 has no words for it: its client learns when it comes back and its key is of no use (MT-38). */
static void refuse(struct conn *c, uint8_t qos, uint16_t packet_id, enum status st, const struct why *why)
{
    bool silent = c->version != MQTT_5 && expect_release(c, qos, packet_id) == ST_OK;
    uint8_t code = code_of(st);

    if (!silent && (qos == 0 || c->version != MQTT_5)) {
        conn_refuse(c, code, st, why, "authz_info_refused");
        return;
    }
    atomic_fetch_add_explicit(&c->shard->stats.refusals[st], 1, memory_order_relaxed);
    log_event(&c->log, LOG_NOTICE, "authz_info_refused", F_WHY(st, *why), F_I64("reason_code", code));
    conn_blame(c, st, why, false); /* who brings tokens here has not shown one */
    acknowledge(c, qos, packet_id, silent ? MQTT_SUCCESS : code, why);
}

/* The client whose key the new token is for, known by TLS, is the one who brought it: its permissions are these now, as
 * after a re-authentication, which a connection without method ace cannot have. What an AUTH has proved is replaced by
 * AUTH only. */
static enum status renew(struct conn *c, struct token *token, struct why *why)
{
    const struct token *present = c->session->grant->token;
    struct grant *grant = NULL;
    uint32_t lost = 0;
    enum status st;

    if (present == NULL || c->ace.in_use || present->cnf_how != token->cnf_how ||
        !span_eq(present->iss, token->iss) ||
        memcmp(present->cnf_thumbprint, token->cnf_thumbprint, TOKEN_HASH_LEN) != 0)
        return ST_OK;
    st = grant_new(token, c->shard->settings->tokens, c->shard->now, &grant, why);
    if (st != ST_OK)
        return st;
    st = session_renew_grant(c->session, grant, &lost, why);
    STATS_INC(&c->shard->stats, reauthentications);
    log_event(&c->log, LOG_INFO, "reauthenticated", F_SPAN("subject", grant_subject(grant)),
              F_I64("until", grant->until_s), F_I64("subscriptions_lost", lost));
    return st;
}

static void accept(struct conn *c, uint8_t qos, uint16_t packet_id, struct token *token)
{
    struct why why = { 0 };
    enum status st = expect_release(c, qos, packet_id);

    if (st != ST_OK) {
        refuse(c, qos, packet_id, reject(&why, st, "memory", "out of memory", 0), &why);
        return;
    }
    STATS_INC(&c->shard->stats, tokens_kept);
    log_event(&c->log, LOG_INFO, "token_kept", F_SPAN("issuer", token->iss),
              F_SPAN("subject", token->sub.p != NULL ? token->sub : token->client_id),
              F_HEX("key", span_of(token->cnf_thumbprint, TOKEN_HASH_LEN)));
    st = renew(c, token, &why);
    acknowledge(c, qos, packet_id, MQTT_SUCCESS, NULL);
    if (st != ST_OK)
        conn_refuse(c, status_mqtt5_code(st), st, &why, "reauth_refused");
    else
        session_pump(c->session);
}

/* ---- waiting ---- */

static void upload_free(struct conn *c)
{
    struct authz_upload *u = TAKE(c->upload);

    if (u == NULL)
        return;
    inquiry_stop(c->shard, &u->inquiry);
    timer_stop(&c->shard->timers, &u->timer);
    list_remove(&u->link);
    token_unref(u->token);
    free(u);
}

void authz_info_done(struct conn *c)
{
    upload_free(c);
}

static void go_on_reading(struct conn *c)
{
    if (conn_is_open(c))
        conn_go_on(c);
}

static void finish(struct authz_upload *u, enum status st, const struct why *why)
{
    CLEANUP(token_unrefp)
    struct token *token = TAKE(u->token);
    struct conn *c = u->conn;
    uint8_t qos = u->qos;
    uint16_t packet_id = u->packet_id;

    upload_free(c);
    if (st == ST_OK)
        accept(c, qos, packet_id, token);
    else
        refuse(c, qos, packet_id, st, why);
    go_on_reading(c);
}

static void on_late(struct timer *timer, struct now now)
{
    struct authz_upload *u = CONTAINER_OF(timer, struct authz_upload, timer);
    struct why why;
    enum status st = u->token != NULL ? reject(&why, ST_IO, "MT-40", "the token could not be written down", 0)
                                      : reject(&why, ST_UNREACHABLE, "AF-64",
                                               "the authorization server did not answer in time", 0);

    (void)now;
    finish(u, st, &why);
}

/* Into the store. ST_PENDING: kept, but not on disk yet. */
static enum status keep(struct conn *c, struct token *token, uint64_t *ret_change, struct why *why)
{
    struct token_store *tokens = c->shard->settings->tokens;
    struct token_kept kept;
    enum status st = token_store_keep(tokens, token, span_of_str(c->peer), c->shard->now, &kept, why);

    *ret_change = kept.change;
    if (st == ST_OK && kept.change != 0 && !token_store_is_committed(tokens, kept.change))
        return ST_PENDING;
    return st;
}

static void on_resolved(struct inquiry *inquiry, enum status st, struct token *token, struct why *why)
{
    struct authz_upload *u = CONTAINER_OF(inquiry, struct authz_upload, inquiry);

    u->token = token;
    if (st == ST_OK)
        st = keep(u->conn, token, &u->change, why);
    if (st == ST_PENDING)
        list_append(&u->conn->shard->uploads, &u->link);
    else
        finish(u, st, why);
}

void authz_info_stored(struct shard *shard)
{
    struct why why = { 0 };

    LIST_EACH_SAFE (it, &shard->uploads) {
        struct authz_upload *u = CONTAINER_OF(it, struct authz_upload, link);

        if (token_store_is_committed(shard->settings->tokens, u->change))
            finish(u, ST_OK, &why);
    }
}

static struct authz_upload *upload_new(struct conn *c, const struct mqtt_publish *p)
{
    struct authz_upload *u = calloc(1, sizeof *u);

    if (u == NULL)
        return NULL;
    u->conn = c;
    u->qos = p->qos;
    u->packet_id = p->packet_id;
    list_init(&u->link);
    timer_init(&u->timer, on_late);
    inquiry_init(&u->inquiry, on_resolved);
    c->upload = u;
    return u;
}

static void wait(struct conn *c)
{
    timer_start(&c->shard->timers, &c->upload->timer,
                mono_plus_ms(c->shard->now.mono, c->shard->settings->auth_timeout_ms));
    conn_pause(c);
}

void authz_info_publish(struct conn *c, const struct mqtt_publish *p)
{
    struct authz_upload *u;
    struct why why = { 0 };
    enum status st = token_store_rate(c->shard->settings->tokens, span_of_str(c->peer), c->shard->now, &why);

    if (st != ST_OK) {
        refuse(c, p->qos, p->packet_id, st, &why);
        return;
    }
    u = upload_new(c, p);
    if (u == NULL) {
        refuse(c, p->qos, p->packet_id, reject(&why, ST_NO_MEMORY, "memory", "out of memory", 0), &why);
        return;
    }
    st = inquiry_begin(c->shard, &u->inquiry, p->payload, &u->token, &why);
    if (st == ST_OK)
        st = keep(c, u->token, &u->change, &why);
    if (st == ST_PENDING && u->token != NULL)
        list_append(&c->shard->uploads, &u->link);
    if (st == ST_PENDING)
        wait(c);
    else
        finish(u, st, &why);
}
