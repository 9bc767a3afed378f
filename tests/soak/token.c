/* Tokens of our own making, proved over the TLS exporter at CONNECT and by challenge when renewed in the session. */
#include "base/clock.h"
#include "codec/base64.h"
#include "crypto/random.h"
#include "soak.h"
#include "token/auth_data.h"
#include "token/claims.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TOKEN_MAX   8192
#define FRESH_S     20 /* a token with less than this left is not brought again */
#define RENEW_EARLY 15 /* seconds before the end, at most */
#define LETS_END    15 /* of a hundred tokens */

int64_t soak_wall_ns(const struct soak *soak)
{
    return soak->loop.now_ns + soak->wall_minus_mono_ns;
}

void tokens_open(struct soak *soak)
{
    char pem[KEY_PEM_MAX];
    FILE *f = fopen(soak->options->key_file, "r");
    struct why why = { "", "", 0 };
    struct timespec ts;

    if (f == NULL)
        die("%s: no key of an issuer to sign tokens with", soak->options->key_file);
    size_t len = fread(pem, 1, sizeof pem, f);
    (void)fclose(f);
    if (key_read_pem(span_of(pem, len), &soak->as_key, NULL) != ST_OK)
        die("%s: not a private key", soak->options->key_file);
    if (scope_from_text(SPAN("[[\"soak/#\",[\"pub\",\"sub\"]]]"), &soak->scope, &why) != ST_OK)
        die("scope: %s", why.text);
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    soak->wall_minus_mono_ns = ts.tv_sec * SECOND_NS + ts.tv_nsec - link_now();
}

void tokens_done(struct soak *soak)
{
    key_unref(soak->as_key);
    scope_unref(soak->scope);
}

static struct span mint(struct member *m, int64_t exp_s)
{
    struct soak *soak = m->soak;
    struct buf text;
    char jti[32], sub[32];

    buf_init(&text, TOKEN_MAX);
    (void)snprintf(jti, sizeof jti, "t%llu", (unsigned long long)soak->serial++);
    (void)snprintf(sub, sizeof sub, "soak-%u", m->number);
    struct token_claims claims = { .iss = span_of_str(soak->options->issuer),
                                   .sub = span_of_str(sub),
                                   .aud = span_of_str(soak->options->audience),
                                   .jti = span_of_str(jti),
                                   .has_exp = true,
                                   .exp = { exp_s },
                                   .scope = soak->scope,
                                   .cnf = m->key };
    if (token_issue_jws(&claims, soak->as_key, SPAN_NONE, &text, NULL) != ST_OK)
        die("no token could be made");
    return buf_span(&text); /* the buffer's block is ours now */
}

static void free_token(struct span *token)
{
    free((void *)(uintptr_t)token->p);
    *token = SPAN_NONE;
}

static int64_t choose_end(struct soak *soak)
{
    int64_t least = soak->options->life_s / 3;

    return soak_wall_ns(soak) / SECOND_NS + least +
           soak_pick(soak, (uint32_t)(soak->options->life_s - least + 1));
}

/* What it will do about the end of the token it now has. */
static void plan_end(struct member *m)
{
    bool lets_end = soak_pick(m->soak, 100) < LETS_END;

    m->renew_s = lets_end ? 0 : m->ends_s - 5 - soak_pick(m->soak, RENEW_EARLY - 5);
    m->asked = false;
}

void member_need_token(struct member *m)
{
    free_token(&m->next_token);
    if (m->token.len > 0 && m->ends_s - soak_wall_ns(m->soak) / SECOND_NS > FRESH_S) {
        m->asked = false;
        return;
    }
    free_token(&m->token);
    m->ends_s = choose_end(m->soak);
    m->token = mint(m, m->ends_s);
    plan_end(m);
}

enum status member_prove(struct member *m, struct mqtt_connect *connect, struct buf *data, struct buf *pop)
{
    uint8_t exporter[ACE_EXPORTER_LEN];
    struct why why = { "", "", 0 };
    enum status st = tls_exporter(m->link.tls, SPAN(ACE_EXPORTER_LABEL), exporter, sizeof exporter, &why);

    if (st == ST_OK)
        st = pop_make_exporter(m->key, span_of(exporter, sizeof exporter), pop);
    if (st != ST_OK)
        return st;
    if (connect->version == MQTT_3_1_1) { /* RFC 9431 6.1 */
        put_str(data, ACE_METHOD);
        base64url_encode(m->token, data);
        connect->has_user_name = connect->has_password = true;
        connect->user_name = buf_span(data);
        connect->password = buf_span(pop);
        return buf_status(data);
    }
    st = auth_data_write_connect(m->token, buf_span(pop), data);
    connect->properties.auth_method = SPAN(ACE_METHOD);
    connect->properties.auth_data = buf_span(data);
    mqtt_set(&connect->properties, PROP_AUTH_METHOD);
    mqtt_set(&connect->properties, PROP_AUTH_DATA);
    return st;
}

static void send_auth(struct member *m, uint8_t reason, struct span data)
{
    struct mqtt_auth auth = { .reason = reason };

    auth.properties.auth_method = SPAN(ACE_METHOD);
    auth.properties.auth_data = data;
    mqtt_set(&auth.properties, PROP_AUTH_METHOD);
    mqtt_set(&auth.properties, PROP_AUTH_DATA);
    mqtt_write_auth(link_plain(&m->link), &auth);
    member_sent(m);
}

void member_renew(struct member *m)
{
    CLEANUP(buf_done)
    struct buf data;

    buf_init(&data, 65535);
    m->asked = true;
    m->next_ends_s = choose_end(m->soak);
    free_token(&m->next_token);
    m->next_token = mint(m, m->next_ends_s);
    if (auth_data_write_connect(m->next_token, SPAN_NONE, &data) != ST_OK)
        die("no renewal could be written");
    send_auth(m, MQTT_REAUTHENTICATE, buf_span(&data));
}

static void answer(struct member *m, struct span challenge)
{
    uint8_t nonce[ACE_NONCE_LEN];
    CLEANUP(buf_done)
    struct buf pop;
    CLEANUP(buf_done)
    struct buf data;

    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 65535);
    if (random_bytes(nonce, sizeof nonce) != ST_OK ||
        pop_make_nonces(m->key, challenge, span_of(nonce, sizeof nonce), &pop) != ST_OK ||
        auth_data_write_answer(span_of(nonce, sizeof nonce), buf_span(&pop), false, &data) != ST_OK)
        die("no answer to the challenge");
    send_auth(m, MQTT_CONTINUE_AUTHENTICATION, buf_span(&data));
}

void member_got_auth(struct member *m, const struct mqtt_frame *frame)
{
    struct mqtt_auth auth;

    if (!m->asked || m->next_token.len == 0 || mqtt_read_auth(frame, &auth, NULL) != ST_OK) {
        member_fail(m, "an AUTH that nobody waits for, or that cannot be read");
        return;
    }
    if (auth.reason != MQTT_SUCCESS) {
        answer(m, auth.properties.auth_data);
        return;
    }
    free_token(&m->token);
    m->token = m->next_token;
    m->next_token = SPAN_NONE;
    m->ends_s = m->next_ends_s;
    plan_end(m);
    m->retained_from = m->sent;
    m->retained_valid = false;
    m->soak->counts.renewed++;
}
