#include "shard/ace.h"

#include "shard/conn.h"
#include "shard/known.h"
#include "shard/send.h"
#include "shard/shard_priv.h"

#include <stdlib.h>

static void on_reauth_timer(struct timer *timer, struct now now);
static void on_resolved(struct inquiry *inquiry, enum status st, struct token *token, struct why *why);

void ace_init(struct ace *ace)
{
    timer_init(&ace->timer, on_reauth_timer);
    inquiry_init(&ace->inquiry, on_resolved);
}

static void stop_resolving(struct conn *c)
{
    inquiry_stop(c->shard, &c->ace.inquiry);
    c->ace.phase = ACE_IDLE;
    free(c->ace.pop);
    c->ace.pop = NULL;
}

/* Back to IDLE; whatever was not proved is forgotten. */
static void give_up(struct conn *c)
{
    stop_resolving(c);
    timer_stop(&c->shard->timers, &c->ace.timer);
    explicit_bzero(c->ace.rs_nonce, sizeof c->ace.rs_nonce);
    token_unref(TAKE(c->ace.token));
    key_unref(TAKE(c->ace.key));
}

void ace_done(struct conn *c)
{
    give_up(c);
}

/* ---- proving possession ---- */

static enum status challenge(struct conn *c, struct why *why)
{
    struct ace *ace = &c->ace;

    if (c->shard->world.conn_exporter(c->shard->world.ctx, c->io, NULL) == EXPORTER_NONE)
        return reject(why, ST_BAD_PROOF, "MT-2", "tokens are taken over TLS only", 0);
    if (c->shard->world.random(c->shard->world.ctx, ace->rs_nonce, sizeof ace->rs_nonce) != ST_OK)
        return reject(why, ST_INTERNAL, "MT-62", "no randomness for a challenge", 0);
    ace->phase = ACE_CHALLENGED;
    send_auth(c, MQTT_CONTINUE_AUTHENTICATION, span_of(ace->rs_nonce, sizeof ace->rs_nonce),
              (struct barrier){ 0 });    /* MT-59 */
    if (c->state == CONN_AUTHENTICATING) /* the token was looked up first: the client's time starts now */
        conn_start_timer(c, c->shard->settings->auth_timeout_ms);
    return ST_PENDING;
}

static enum status prove_by_exporter(struct conn *c, struct span pop, struct why *why)
{
    uint8_t exporter[ACE_EXPORTER_LEN];
    enum status st;

    switch (c->shard->world.conn_exporter(c->shard->world.ctx, c->io, exporter)) {
    case EXPORTER_OK:
        break;
    case EXPORTER_RESUMED:
        return reject(why, ST_BAD_PROOF, "MT-61",
                      "no exporter proof on a resumed TLS session; ask for a challenge", 0);
    case EXPORTER_NONE:
        return reject(why, ST_BAD_PROOF, "MT-56", "no TLS exporter value on this connection", 0);
    }
    st = pop_check_exporter(c->ace.key, span_of(exporter, sizeof exporter), pop, why);
    explicit_bzero(exporter, sizeof exporter);
    key_unref(TAKE(c->ace.key));
    return st;
}

/* A key that cnf holds, or that of the certificate it names, which TLS has then proved already: at CONNECT that is
 * enough (MT-67). Re-authentication asks for a proof of its own (MT-103). */
static enum status find_key(struct conn *c, bool connecting, struct span pop, bool *ret_proved, struct why *why)
{
    struct ace *ace = &c->ace;

    *ret_proved = ace->token->cnf_how == TOKEN_CNF_X5T && connecting && pop.len == 0;
    if (ace->token->cnf_how == TOKEN_CNF_X5T)
        return known_certificate(c, ace->token, *ret_proved ? NULL : &ace->key, why);
    if (ace->token->cnf == NULL)
        return reject(why, ST_BAD_PROOF, "MT-65", "the key for the proof is not known", 0);
    ace->key = key_ref(ace->token->cnf);
    return ST_OK;
}

/* ace.token is verified; on to the proof. */
static enum status prove(struct conn *c, struct span pop, struct why *why)
{
    bool proved;
    enum status st = find_key(c, c->state != CONN_OPEN, pop, &proved, why);

    if (st != ST_OK || proved)
        return st;
    if (pop.len == 0)
        return challenge(c, why);
    c->ace.proved_by_challenge = false;
    return prove_by_exporter(c, pop, why);
}

/* ---- the token ---- */

static enum status verify(struct conn *c, const struct auth_data *ad, struct why *why)
{
    struct ace *ace = &c->ace;
    enum status st = inquiry_begin(c->shard, &ace->inquiry, ad->token, &ace->token, why);

    if (st == ST_OK)
        return prove(c, ad->pop, why);
    if (st != ST_PENDING)
        return st;
    ace->phase = ACE_RESOLVING;
    ace->pop_len = ad->pop.len;
    ace->pop = malloc(ad->pop.len + 1);
    if (ace->pop == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    if (ad->pop.len > 0)
        memcpy(ace->pop, ad->pop.p, ad->pop.len);
    return ST_PENDING;
}

enum status ace_begin(struct conn *c, struct span data, bool reauth, struct why *why)
{
    struct auth_data ad;
    enum status st;

    ASSERT(c->ace.phase == ACE_IDLE && c->ace.token == NULL);
    st = auth_data_parse_connect(data, &ad, why);
    if (st == ST_OK && reauth && ad.pop.len > 0)
        st = reject(why, ST_BAD_PROOF, "MT-103", "re-authentication is by challenge and response only", 0);
    if (st == ST_OK)
        st = verify(c, &ad, why);
    if (st != ST_OK && st != ST_PENDING)
        give_up(c);
    return st;
}

enum status ace_begin_stored(struct conn *c, struct span client_id, struct why *why)
{
    const struct session *s = session_find(c->shard, client_id);
    enum status st;

    ASSERT(c->ace.phase == ACE_IDLE && c->ace.token == NULL);
    if (s == NULL || s->grant->token == NULL || grant_expired(s->grant, c->shard->now))
        return reject(why, ST_DENIED, "MT-60", "no token in the CONNECT, and none is stored", 0);
    c->ace.token = token_ref(s->grant->token);
    st = prove(c, SPAN_NONE, why);
    if (st != ST_OK && st != ST_PENDING)
        give_up(c);
    return st;
}

static enum status check_answer(struct conn *c, struct span data, struct why *why)
{
    CLEANUP(key_unrefp)
    struct key *key = TAKE(c->ace.key);
    struct auth_answer answer;
    enum status st = auth_data_parse_answer(data, pop_len_for(key), &answer, why);

    if (st != ST_OK)
        return st;
    return pop_check_nonces(key, span_of(c->ace.rs_nonce, ACE_NONCE_LEN), answer.nonce, answer.pop, why);
}

/* ---- how it ends ---- */

uint8_t ace_reason_code(enum status st)
{
    bool ours = st == ST_NO_MEMORY || st == ST_UNREACHABLE || st == ST_INTERNAL;

    return ours ? status_mqtt5_code(st) : (uint8_t)MQTT_NOT_AUTHORIZED;
}

/* CONNECT: CONNACK 0x87 with hints. Re-authentication: DISCONNECT 0x87 (MT-105). */
static void refuse(struct conn *c, enum status st, const struct why *why)
{
    STATS_INC(&c->shard->stats, tokens_refused);
    if (c->state == CONN_OPEN) /* whatever the reason (RFC 9431 4) */
        conn_refuse(c, MQTT_NOT_AUTHORIZED, st, why, "reauth_refused");
    else
        conn_refuse(c, ace_reason_code(st), st, why, "connect_refused");
}

/* MT-107: the scope is swapped in one step; what it no longer covers goes. */
static void reauth_proved(struct conn *c)
{
    CLEANUP(token_unrefp)
    struct token *token = TAKE(c->ace.token);
    struct session *s = c->session;
    struct grant *grant = NULL;
    struct why why = { 0 };
    struct barrier first_seen = { 0 };
    uint32_t lost = 0;
    enum status st = grant_new(token, c->shard->settings->tokens, c->shard->now, &grant, &why);

    timer_stop(&c->shard->timers, &c->ace.timer);
    if (st == ST_OK)
        st = session_renew_grant(s, grant, &lost, &why);
    if (st != ST_OK) {
        refuse(c, st, &why);
        return;
    }
    STATS_INC(&c->shard->stats, reauthentications);
    log_event(&c->log, LOG_INFO, "reauthenticated", F_SPAN("subject", grant_subject(grant)),
              F_I64("until", grant->until_s), F_I64("subscriptions_lost", lost));
    if (c->shard->journal.waits) /* as with CONNACK: its life must not begin again after a crash (AF-75) */
        first_seen.receipt = s->grant->receipt;
    send_auth(c, MQTT_SUCCESS, SPAN_NONE, first_seen); /* MT-105, MQTT5 4.12.1 */
    session_pump(s);
}

static void carry_on(struct conn *c, enum status st, const struct why *why)
{
    if (st == ST_PENDING)
        return;
    if (st != ST_OK)
        refuse(c, st, why);
    else if (c->state == CONN_AUTHENTICATING)
        connect_proved(c);
    else
        reauth_proved(c);
}

/* ---- AUTH ---- */

static void on_answer(struct conn *c, const struct mqtt_auth *auth)
{
    struct why why = { 0 };
    enum status st;

    if (c->ace.phase != ACE_CHALLENGED) {
        conn_fail(c, reject(&why, ST_PROTOCOL, "MT-54", "AUTH without a challenge to answer", 0), &why);
        return;
    }
    c->ace.phase = ACE_IDLE; /* one answer per challenge, whatever it is worth (MT-62) */
    st = check_answer(c, mqtt_has(&auth->properties, PROP_AUTH_DATA) ? auth->properties.auth_data : SPAN_NONE,
                      &why);
    if (st == ST_OK)
        c->ace.proved_by_challenge = true;
    else
        give_up(c);
    carry_on(c, st, &why);
}

static void on_reauth(struct conn *c, const struct mqtt_auth *auth)
{
    struct why why = { 0 };
    enum status st;

    if (c->state != CONN_OPEN || c->ace.phase != ACE_IDLE) {
        conn_fail(c, reject(&why, ST_PROTOCOL, "MT-102", "re-authentication in the middle of another", 0),
                  &why);
        return;
    }
    if (c->shard->settings->reauth_needs_challenge && !c->ace.proved_by_challenge)
        st = reject(&why, ST_DENIED, "MT-104", "possession was not proved by challenge and response before", 0);
    else
        st = ace_begin(c, mqtt_has(&auth->properties, PROP_AUTH_DATA) ? auth->properties.auth_data : SPAN_NONE,
                       true, &why);
    if (st == ST_PENDING)
        timer_start(&c->shard->timers, &c->ace.timer,
                    mono_plus_ms(c->shard->now.mono, c->shard->settings->auth_timeout_ms));
    carry_on(c, st, &why);
}

void on_auth(struct conn *c, const struct mqtt_frame *frame)
{
    struct mqtt_auth auth;
    struct why why = { 0 };
    enum status st = mqtt_read_auth(frame, &auth, &why);

    if (st == ST_OK && !c->ace.in_use)
        st = reject(&why, ST_PROTOCOL, "MQTT5 [MQTT-4.12.0-7]", "AUTH, but the CONNECT named no method", 0);
    else if (st == ST_OK && auth.reason != MQTT_CONTINUE_AUTHENTICATION && auth.reason != MQTT_REAUTHENTICATE)
        st = reject(&why, ST_PROTOCOL, "MQTT5 3.15.2.1", "an AUTH reason code only servers send", 0);
    else if (st == ST_OK && !span_eq_str(auth.properties.auth_method, ACE_METHOD))
        st = reject(&why, ST_BAD_AUTH_METHOD, "MQTT5 [MQTT-4.12.1-1]", "the method changed from ace", 0);
    if (st != ST_OK)
        conn_fail(c, st, &why);
    else if (auth.reason == MQTT_REAUTHENTICATE)
        on_reauth(c, &auth);
    else
        on_answer(c, &auth);
}

/* ---- time, and answers from the AS ---- */

static enum status too_late(const struct conn *c, struct why *why)
{
    if (c->ace.phase == ACE_RESOLVING)
        return reject(why, ST_UNREACHABLE, "MT-66", "the authorization server did not answer in time", 0);
    return reject(why, ST_BAD_PROOF, "limits.auth_timeout", "the challenge was not answered in time", 0);
}

void ace_timed_out(struct conn *c)
{
    struct why why;
    enum status st = too_late(c, &why);

    refuse(c, st, &why);
}

static void on_reauth_timer(struct timer *timer, struct now now)
{
    struct ace *ace = CONTAINER_OF(timer, struct ace, timer);

    (void)now;
    ace_timed_out(CONTAINER_OF(ace, struct conn, ace));
}

static void on_resolved(struct inquiry *inquiry, enum status st, struct token *token, struct why *why)
{
    struct ace *ace = CONTAINER_OF(inquiry, struct ace, inquiry);
    struct conn *c = CONTAINER_OF(ace, struct conn, ace);
    CLEANUP(freep)
    uint8_t *pop = TAKE(ace->pop);

    stop_resolving(c);
    if (st == ST_OK) {
        ace->token = token;
        st = prove(c, span_of(pop, ace->pop_len), why);
    }
    if (st != ST_OK && st != ST_PENDING)
        give_up(c);
    carry_on(c, st, why);
}
