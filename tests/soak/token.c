/* Tokens of our own making, proved over the TLS exporter at CONNECT and by challenge when renewed in the session. */
#include "base/clock.h"
#include "load/ace.h"
#include "soak.h"
#include "token/auth_data.h"

#include <stdlib.h>
#include <time.h>

#define FRESH_S     20 /* a token with less than this left is not brought again */
#define RENEW_EARLY 15 /* seconds before the end, at most */
#define LETS_END    15 /* of a hundred tokens */

int64_t soak_wall_ns(const struct soak *soak)
{
    return soak->loop.now_ns + soak->wall_minus_mono_ns;
}

void tokens_open(struct soak *soak)
{
    const struct options *o = soak->options;
    struct timespec ts;

    mint_init(&soak->mint, o->key_file, o->issuer, o->audience, "[[\"soak/#\",[\"pub\",\"sub\"]]]");
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    soak->wall_minus_mono_ns = ts.tv_sec * SECOND_NS + ts.tv_nsec - link_now();
}

void tokens_done(struct soak *soak)
{
    mint_done(&soak->mint);
}

static struct span mint(struct member *m, int64_t exp_s)
{
    return mint_token(&m->soak->mint, m->key, m->number, exp_s);
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
    return ace_prove(&m->link, m->key, m->token, connect, data, pop, NULL);
}

static void send_auth(struct member *m, uint8_t reason, struct span data)
{
    ace_write_auth(link_plain(&m->link), reason, data);
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
    CLEANUP(buf_done)
    struct buf data;

    buf_init(&data, UINT16_MAX);
    if (ace_answer(m->key, challenge, &data) != ST_OK)
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
