/* One session: it comes, with a token, subscribes, goes, comes back. */
#include "soak.h"

#include "load/packets.h"
#include "token/auth_data.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PACKET_MAX    (1u << 20)
#define OUR_RECEIVE   64
#define EXPIRY_S      3600
#define KEEP_ALIVE_S  120
#define OPEN_LIMIT_NS (60 * SECOND_NS)
#define ON_TIME_NS \
    (5 * SECOND_NS) /* a token's end is noticed so late at most: the machine does other things, too */
#define CLOCK_ERROR_NS (SECOND_NS / 10)
#define RETAINED_NS    (20 * SECOND_NS)

/* clang-format off */
static const struct kind kinds[KINDS] = {
    /*  version    durable QoS  Will    retains shares  member of a group */
    { MQTT_5,      true,   1,   true,   false,  false,  false },
    { MQTT_5,      true,   2,   false,  false,  false,  true  },
    { MQTT_3_1_1,  true,   1,   false,  false,  false,  false },
    { MQTT_5,      true,   2,   false,  false,  false,  false },
    { MQTT_3_1_1,  true,   2,   false,  true,   false,  false },
    { MQTT_5,      true,   1,   false,  false,  true,   false },
    { MQTT_5,      false,  0,   false,  false,  false,  false },
    { MQTT_5,      false,  1,   false,  true,   false,  false },
    { MQTT_3_1_1,  false,  2,   false,  true,   false,  false },
    { MQTT_5,      false,  2,   true,   false,  false,  false },
};
/* clang-format on */

struct member *member_before(const struct member *m)
{
    struct soak *soak = m->soak;
    struct member *before = &soak->members[(m->number + soak->count - 1) % soak->count];

    return before->kind->shares ? NULL : before;
}

bool member_idle(const struct member *m)
{
    return m->in_flight == 0 && m->held_count == 0 && !m->retained_due;
}

static void enter(struct member *m, enum member_state state)
{
    struct soak *soak = m->soak;
    bool was_opening = m->state == MEMBER_OPENING || m->state == MEMBER_CONNACK || m->state == MEMBER_SUBACK;
    bool is_opening = state == MEMBER_OPENING || state == MEMBER_CONNACK || state == MEMBER_SUBACK;

    soak->opening += (size_t)is_opening - (size_t)was_opening;
    soak->open += (size_t)(state == MEMBER_OPEN) - (size_t)(m->state == MEMBER_OPEN);
    m->state = state;
}

/* ---- coming ---- */

void member_open(struct member *m)
{
    enter(m, MEMBER_OPENING);
    m->by_us = false;
    m->opened_ns = m->wrote_ns = m->soak->loop.now_ns;
    link_open(&m->link);
}

static void link_opened(struct link *link)
{
    struct member *m = CONTAINER_OF(link, struct member, link);
    CLEANUP(buf_done)
    struct buf data;
    CLEANUP(buf_done)
    struct buf pop;
    uint8_t payload[STAMP_LEN];
    char id[32], topic[32];

    (void)snprintf(id, sizeof id, "soak-%u", m->number);
    struct mqtt_connect connect = { .version = m->kind->version,
                                    .clean_start = !m->kind->durable,
                                    .keep_alive_s = KEEP_ALIVE_S,
                                    .client_id = span_of_str(id),
                                    .has_will = m->kind->will };
    connect.properties.receive_maximum = OUR_RECEIVE;
    mqtt_set(&connect.properties, PROP_RECEIVE_MAXIMUM);
    if (m->kind->durable) {
        connect.properties.session_expiry_s = EXPIRY_S;
        mqtt_set(&connect.properties, PROP_SESSION_EXPIRY);
    }
    if (m->kind->will)
        member_will(m, payload, topic, sizeof topic, &connect.will);
    buf_init(&data, 65535);
    buf_init(&pop, ACE_POP_MAX);
    member_need_token(m);
    if (member_prove(m, &connect, &data, &pop) != ST_OK) {
        member_fail(m, "no proof of possession");
        return;
    }
    mqtt_write_connect(link_plain(link), &connect);
    member_sent(m);
    enter(m, MEMBER_CONNACK);
}

static void is_open(struct member *m)
{
    enter(m, MEMBER_OPEN);
    m->soak->counts.opened++;
    m->was_open = m->came_back = true;
}

/* What must come, if what was published last is still under the token it was published with. */
static void expect_retained(struct member *m)
{
    const struct member *before = member_before(m);

    m->retained_due = before != NULL && before->retained_valid && before->state == MEMBER_OPEN &&
                      !before->asked && before->ends_s * SECOND_NS - soak_wall_ns(m->soak) > ON_TIME_NS;
    if (m->retained_due) {
        m->retained_wanted = before->retained;
        m->retained_limit_ns = m->soak->loop.now_ns + RETAINED_NS;
    }
}

static void subscribe(struct member *m)
{
    struct mqtt_subscription subs[3] = { 0 };
    const struct member *before = member_before(m);
    char pair[32], share[64];
    size_t count = 0;

    if (before != NULL) {
        (void)snprintf(pair, sizeof pair, "soak/p/%u", before->number);
        subs[count++] = (struct mqtt_subscription){ .filter = { span_of_str(pair) }, .qos = 2 };
    }
    if (m->kind->member) {
        unsigned group = m->number / KINDS % GROUPS;
        (void)snprintf(share, sizeof share, "$share/g%u/soak/s/%u/#", group, group);
        subs[count++] = (struct mqtt_subscription){ .filter = { span_of_str(share) }, .qos = 2 };
    }
    if (m->number == WATCHER)
        subs[count++] = (struct mqtt_subscription){ .filter = { SPAN("soak/w/#") }, .qos = 2 };
    if (count == 0) {
        is_open(m);
        return;
    }
    if (!m->kind->durable)
        expect_retained(m);
    mqtt_write_subscribe(link_plain(&m->link), m->kind->version, UINT16_MAX, NULL, subs, count);
    member_sent(m);
    enter(m, MEMBER_SUBACK);
}

static void got_connack(struct member *m, const struct mqtt_frame *frame)
{
    struct mqtt_connack connack;
    struct why why = { "", "", 0 };

    if (m->state != MEMBER_CONNACK || mqtt_read_connack(frame, m->kind->version, &connack, &why) != ST_OK) {
        member_fail(m, "CONNACK: %s", why.text[0] != '\0' ? why.text : "a second one");
        return;
    }
    if (connack.reason != 0) {
        member_fail(m, "CONNACK 0x%02x: %.*s", connack.reason, SPAN_FMT(connack.properties.reason_string));
        return;
    }
    m->retained_from = m->sent;
    if (!connack.session_present && m->kind->durable && m->was_open) {
        m->soak->counts.lost_sessions++;
        member_give_up(m);
    }
    if (!connack.session_present || !m->was_open) {
        subscribe(m);
        return;
    }
    is_open(m);
    member_resend(m);
}

static void got_suback(struct member *m, const struct mqtt_frame *frame)
{
    struct mqtt_suback suback;
    struct why why = { "", "", 0 };
    bool refused = false;

    if (m->state != MEMBER_SUBACK || mqtt_read_suback(frame, m->kind->version, &suback, &why) != ST_OK) {
        member_fail(m, "SUBACK: %s", why.text[0] != '\0' ? why.text : "unexpected");
        return;
    }
    for (size_t i = 0; i < suback.reasons.len; i++)
        refused = refused || suback.reasons.p[i] >= 0x80;
    if (refused)
        member_fail(m, "SUBACK 0x%02x", suback.reasons.p[0]);
    else
        is_open(m);
}

/* ---- going ---- */

/* The Will numbers go on when one of them was said, or may have been. */
static void count_will(struct member *m, bool politely, bool certain)
{
    if (!m->kind->will || politely)
        return;
    m->wills++;
    m->wills_unsure += !certain;
}

static void is_away(struct member *m)
{
    struct soak *soak = m->soak;

    m->back_ns = soak->loop.now_ns + (int64_t)(soak->options->away_s * 1e3) * soak_pick(soak, 1000) * 1000;
    m->retained_valid = m->retained_due = false;
    if (!m->kind->durable)
        member_give_up(m);
    enter(m, MEMBER_AWAY);
}

void member_leave(struct member *m, bool politely)
{
    struct mqtt_disconnect disconnect = { 0 };

    count_will(m, politely, true);
    m->by_us = true;
    m->soak->counts.left += politely;
    m->soak->counts.dropped += !politely;
    if (!politely) {
        link_close(&m->link, NULL);
        return;
    }
    m->link.close_when_flushed = true;
    mqtt_write_disconnect(link_plain(&m->link), m->kind->version, &disconnect);
    link_packet_done(&m->link);
}

void member_fail(struct member *m, const char *format, ...)
{
    char text[TROUBLE_TEXT];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    trouble_add(&m->soak->troubles, "%s", text);
    m->soak->counts.unexplained++;
    count_will(m, false, false);
    m->by_us = true;
    link_close(&m->link, text);
}

/* Its token ends about now. */
static bool at_the_end(const struct member *m)
{
    int64_t over_ns = soak_wall_ns(m->soak) - m->ends_s * SECOND_NS;

    return over_ns > -CLOCK_ERROR_NS && over_ns < ON_TIME_NS;
}

static void link_gone(struct link *link, const char *reason)
{
    struct member *m = CONTAINER_OF(link, struct member, link);

    if (!m->by_us && at_the_end(m)) {
        m->soak->counts.ended++;
        m->soak->counts.late_renewals += m->asked;
        count_will(m, false, false);
    } else if (!m->by_us) {
        m->soak->counts.unexplained++;
        trouble_add(&m->soak->troubles, "connection: %s", reason == NULL ? "closed" : reason);
        count_will(m, false, false);
    }
    is_away(m);
}

static void got_disconnect(struct member *m, const struct mqtt_frame *frame)
{
    struct mqtt_disconnect d;

    if (mqtt_read_disconnect(frame, m->kind->version, &d, NULL) != ST_OK)
        member_fail(m, "a DISCONNECT that cannot be read");
    else if (d.reason == MQTT_NOT_AUTHORIZED && at_the_end(m))
        link_close(&m->link, NULL);
    else
        member_fail(m, "DISCONNECT 0x%02x %.*s", d.reason, SPAN_FMT(d.properties.reason_string));
}

/* ---- between ---- */

static void got_packet(struct link *link, const struct mqtt_frame *frame)
{
    struct member *m = CONTAINER_OF(link, struct member, link);

    switch (frame->type) {
    case MQTT_PUBLISH:
        member_got_publish(m, frame);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        member_got_ack(m, frame);
        break;
    case MQTT_CONNACK:
        got_connack(m, frame);
        break;
    case MQTT_SUBACK:
        got_suback(m, frame);
        break;
    case MQTT_DISCONNECT:
        got_disconnect(m, frame);
        break;
    case MQTT_AUTH:
        member_got_auth(m, frame);
        break;
    case MQTT_PINGRESP:
        break;
    default:
        member_fail(m, "%s was not expected", mqtt_packet_name(frame->type));
    }
}

static void link_not_mqtt(struct link *link, const char *why)
{
    member_fail(CONTAINER_OF(link, struct member, link), "not MQTT: %s", why);
}

static size_t link_data(struct link *link, struct span in)
{
    static const struct packet_events events = { got_packet, link_not_mqtt };

    if (CONTAINER_OF(link, struct member, link)->by_us) /* what comes behind our DISCONNECT comes again */
        return in.len;
    return packets_each(link, in, PACKET_MAX, &events);
}

static const struct link_events link_events = { link_opened, link_data, link_gone };

/* What it does about its token; false: it has gone. */
static bool mind_token(struct member *m)
{
    int64_t wall_ns = soak_wall_ns(m->soak), wall_s = wall_ns / SECOND_NS;

    if (wall_ns - m->ends_s * SECOND_NS > ON_TIME_NS) {
        m->soak->counts.outlived++;
        member_fail(m, "still open when its token was over");
        return false;
    }
    if (m->renew_s == 0 || m->asked || wall_s < m->renew_s)
        return true;
    m->retained_valid = false; /* it goes with the token it was published under */
    if (m->kind->version == MQTT_5) {
        member_renew(m);
        return true;
    }
    member_leave(m, true);
    return false;
}

void member_tick(struct member *m, int64_t now_ns)
{
    struct soak *soak = m->soak;

    if (m->state == MEMBER_AWAY && (now_ns >= m->back_ns || soak->calm))
        enter(m, MEMBER_WAITING);
    if (m->state != MEMBER_OPEN) {
        if (m->link.state != LINK_CLOSED && now_ns - m->opened_ns > OPEN_LIMIT_NS)
            member_fail(m, "not open within a minute");
        return;
    }
    if (m->by_us || !mind_token(m))
        return;
    if (m->retained_due && now_ns > m->retained_limit_ns) {
        m->retained_due = false;
        soak->counts.retained_missing++;
    }
    if (!soak->calm && now_ns >= m->publish_ns) {
        member_publish(m);
        m->publish_ns = now_ns + (int64_t)(soak->options->interval_s * 1e9);
    }
    if (now_ns - m->wrote_ns > KEEP_ALIVE_S * SECOND_NS / 2) {
        mqtt_write_ping(link_plain(&m->link), MQTT_PINGREQ);
        member_sent(m);
    }
}

void member_init(struct member *m, struct soak *soak, uint32_t number)
{
    *m = (struct member){
        .soak = soak, .number = number, .kind = &kinds[number % KINDS], .state = MEMBER_WAITING
    };
    link_init(&m->link, &soak->loop, &link_events, 1);
    if (key_generate(KEY_ED25519, &m->key) != ST_OK)
        die("no key");
}

void member_done(struct member *m)
{
    m->by_us = true;
    link_close(&m->link, NULL);
    key_unref(m->key);
    free((void *)(uintptr_t)m->token.p);
    free((void *)(uintptr_t)m->next_token.p);
    free(m->held);
}
