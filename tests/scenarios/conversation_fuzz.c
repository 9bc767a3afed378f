/* Whole conversations: the input is a list of steps that up to four clients, the disk, the clock and the authorization
 * server take, on one or two shards. Tokens are bound to secrets and made once, so that messages are what costs. Checked
 * after each step, besides the ASSERTs of the core and the sanitizers:
 *
 *   - nobody receives what no filter of its token's scope matches (RFC 9431 3.3);
 *   - no message of QoS 2 comes twice to one session, over cuts and crashes ([MQTT-4.3.3-10]);
 *   - an answer belongs to what was sent; and with a disk it comes after the batch: a message that a durable session is owed
 *     and has not acknowledged is on the disk when its publisher has its PUBACK or PUBREC;
 *   - a durable session is there when its client comes back, after a crash too, and in the end all that it is owed comes.
 *
 * Of a client that sent bytes of no step ("raw") only the first is still expected. */
#include "harness.h"
#include "harness_disk.h"

#include "base/log.h"
#include "base/reader.h"
#include "codec/base64.h"
#include "crypto/hash.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define CLIENTS      4
#define MESSAGES     192
#define FLIGHTS      12
#define WAITING      300
#define STEPS        48
#define EXPIRY_S     1000
#define TIME_MAX_S   600 /* of one input: no durable session expires */
#define MARK_LEN     6   /* "<<123>" */
#define FILTERS_EACH 3

#define CHECK(condition, text)                           \
    do                                                   \
        if (!(condition)) {                              \
            fprintf(stderr, "conversation: %s\n", text); \
            abort();                                     \
        }                                                \
    while (0)

static const char *const topics[] = { "a/b", "a/c", "c/d", "w/x", "a/b/c", "$y/b" };
static const char *const filters[] = { "a/b", "a/+", "a/#", "c/#", "+/b", "#", "$share/g/a/#", "$share/h/c/+" };
#define FIRST_SHARED 6

/* Tokens by their number; the last two are of the first one's owner, and the last ends soon. */
static const struct {
    const char *scope, *sub;
    const char *may_hear[FILTERS_EACH], *may_say[FILTERS_EACH];
    unsigned key;
    int64_t life_s;
} token_kinds[] = {
    /* clang-format off */
    { "[[\"a/#\",[\"pub\",\"sub\"]],[\"c/#\",[\"pub\"]]]", "s0", { "a/#" }, { "a/#", "c/#" }, 0, 3600 },
    { "[[\"a/b\",[\"pub\",\"sub\"]],[\"w/#\",[\"pub\"]],[\"+/b\",[\"sub\"]]]", "s1", { "a/b", "+/b" }, { "a/b", "w/#" }, 1, 3600 },
    { "[[\"a/+\",[\"sub\"]],[\"c/#\",[\"pub\",\"sub\"]]]", "s2", { "a/+", "c/#" }, { "c/#" }, 2, 3600 },
    { "[[\"#\",[\"pub\",\"sub\"]],[\"$y/#\",[\"pub\"]]]", "s3", { "#" }, { "#" }, 3, 3600 },
    { "[[\"a/b\",[\"pub\",\"sub\"]]]", "s0", { "a/b" }, { "a/b" }, 0, 3600 },
    { "[[\"a/#\",[\"pub\",\"sub\"]]]", "s0", { "a/#" }, { "a/#" }, 0, 30 },
    /* clang-format on */
};
#define KINDS      COUNT_OF(token_kinds)
#define SHORT_KIND (KINDS - 1)
#define KEYS       4

/* Made once, for all inputs. */
struct stage {
    struct bench *b;
    struct key *keys[KEYS];
    struct buf tokens[KINDS];
    uint8_t hashes[KINDS][TOKEN_HASH_LEN];
};

struct flight {
    uint16_t id; /* 0: free */
    uint8_t message;
    bool received; /* PUBREC has come */
};

struct answer {
    enum mqtt_packet_type type;
    uint16_t id;
    uint8_t message;
};

struct client {
    struct conn_io *io; /* NULL: none */
    bool open, v3, raw;
    bool wanted_clean, wanted_durable;
    bool durable; /* its session outlives the connection */
    bool sound;   /* nothing has happened that may have taken something from the session */
    unsigned kind, next_kind;
    uint16_t next_id, asked_id;
    unsigned asked_filter, asked_qos;
    bool asked_sub;
    uint32_t subs, ever;    /* filters granted with QoS > 0 and sound; ever asked for */
    uint16_t held[WAITING]; /* QoS 2 ids that came and were not released */
    size_t held_count;
    struct answer waiting[WAITING]; /* to be sent when a step says so */
    size_t waiting_count;
    struct flight flights[FLIGHTS];
    uint8_t copies[MESSAGES]; /* QoS 2, this session */
    bool acked[MESSAGES], owed[MESSAGES];
};

struct message {
    uint8_t topic, qos;
};

struct play {
    struct stage *stage;
    struct bench *b;
    struct client clients[CLIENTS];
    struct message messages[MESSAGES];
    size_t count;
    int64_t passed_s;
    size_t cut; /* 0: send whole; so many bytes of the next packet, and then the network goes */
    bool failing;
};

/* ---- once ---- */

static struct stage *stage_new(void)
{
    static struct stage stage; /* lives as long as the process, as libFuzzer has it */
    struct bench *b;

    if (stage.b != NULL)
        return &stage;
    (void)setenv("CMOCKA_TEST_ABORT", "1", 1);
    (void)unsetenv("BENCH_DISK");
    b = stage.b = bench_new(1);
    for (size_t i = 0; i < KEYS; i++) {
        uint8_t secret[32];
        memset(secret, (int)(0x30 + i), sizeof secret);
        CHECK(key_new_secret(span_of(secret, sizeof secret), &stage.keys[i], NULL) == ST_OK, "a key");
    }
    for (size_t i = 0; i < KINDS; i++) {
        struct token_wish wish = { .scope = token_kinds[i].scope,
                                   .sub = token_kinds[i].sub,
                                   .key = stage.keys[token_kinds[i].key],
                                   .life_s = token_kinds[i].life_s };
        buf_init(&stage.tokens[i], 65535);
        token_make(b, &wish, &stage.tokens[i]);
        CHECK(sha256(buf_span(&stage.tokens[i]), stage.hashes[i]) == ST_OK, "a hash");
    }
    return &stage;
}

static bool among(const char *const *some, struct span topic)
{
    for (size_t i = 0; i < FILTERS_EACH && some[i] != NULL; i++)
        if (topic_matches((struct topic_filter){ span_of_str(some[i]) }, (struct topic_name){ topic }))
            return true;
    return false;
}

/* ---- sending ---- */

static void lose(struct client *c)
{
    c->io = NULL;
    c->open = false;
    c->waiting_count = 0;
    c->asked_id = 0;
}

static void drop(struct client *c)
{
    if (c->io != NULL)
        client_drop(c->io);
    lose(c);
}

/* The whole packet, or the part of it that is left of the network's life. */
static void send_packet(struct play *p, struct client *c, struct buf *packet)
{
    struct span bytes = buf_span(packet);

    CHECK(buf_ok(packet), "a packet");
    if (p->cut == 0) {
        client_send(c->io, bytes);
    } else {
        client_send(c->io, span_cut(bytes, 0, p->cut - 1));
        if (p->cut <= bytes.len)
            drop(c); /* what was answered by then is lost, too */
        p->cut = 0;
    }
    buf_done(packet);
}

/* A client of 3.1.1 is closed for saying what it may not, each time it comes back and sends that again (RFC 9431 6.2). */
static bool may_say(const struct play *p, const struct client *c, unsigned message)
{
    return !c->v3 || among(token_kinds[c->kind].may_say, span_of_str(topics[p->messages[message].topic]));
}

static void write_marked(const struct play *p, struct client *c, const struct flight *f, bool retain, bool dup,
                         struct buf *out)
{
    const struct message *m = &p->messages[f->message];
    char mark[MARK_LEN + 1];

    (void)snprintf(mark, sizeof mark, "<<%03u>", f->message);
    struct mqtt_publish_out publish = { .qos = m->qos,
                                        .retain = retain,
                                        .dup = dup,
                                        .packet_id = f->id,
                                        .topic = span_of_str(topics[m->topic]),
                                        .payload = span_of(mark, MARK_LEN) };
    mqtt_write_publish(out, c->v3 ? MQTT_3_1_1 : MQTT_5, &publish);
}

static void put_ack(const struct client *c, enum mqtt_packet_type type, uint16_t id, struct buf *out)
{
    struct mqtt_ack ack = { .type = type, .packet_id = id };

    mqtt_write_ack(out, c->v3 ? MQTT_3_1_1 : MQTT_5, &ack);
}

static void resend(struct play *p, struct client *c)
{
    struct buf packets;

    buf_init(&packets, 1 << 20);
    for (unsigned message = 0; message < p->count; message++)
        for (size_t i = 0; i < FLIGHTS; i++) {
            const struct flight *f = &c->flights[i];
            if (f->id == 0 || f->message != message)
                continue;
            if (!may_say(p, c, f->message))
                c->sound = false;
            if (f->received)
                put_ack(c, MQTT_PUBREL, f->id, &packets);
            else
                write_marked(p, c, f, false, true, &packets);
        }
    put_bytes(&c->io->out, buf_span(&packets));
    buf_done(&packets);
}

static void put_connect_data(struct play *p, struct client *c, bool proof, struct buf *data, struct buf *pop)
{
    const struct key *key = p->stage->keys[token_kinds[c->kind].key];

    if (proof)
        CHECK(pop_make_exporter(key, span_of(c->io->exporter_value, ACE_EXPORTER_LEN), pop) == ST_OK,
              "a proof");
    CHECK(auth_data_write_connect(buf_span(&p->stage->tokens[c->kind]), buf_span(pop), data) == ST_OK, "data");
}

/* Options: 1 MQTT 3.1.1, 2 clean, 4 durable, 8 by challenge, 16 with a Will, 32 small Receive Maximum. */
static void step_connect(struct play *p, unsigned who, unsigned options, unsigned kind)
{
    struct client *c = &p->clients[who];
    char id[] = { 'c', (char)('0' + who), '\0' };
    struct buf data, pop, packet, name;
    struct mqtt_connect connect = { .client_id = span_of_str(id) };

    drop(c);
    c->v3 = (options & 1) != 0;
    c->wanted_clean = (options & 2) != 0;
    c->wanted_durable = c->v3 ? !c->wanted_clean : (options & 4) != 0;
    if (c->kind != kind || kind == SHORT_KIND || !c->wanted_durable || c->wanted_clean)
        c->sound = false;
    c->kind = c->next_kind = kind;
    c->io = client_new(p->b);
    c->io->version = connect.version = c->v3 ? MQTT_3_1_1 : MQTT_5;
    connect.clean_start = c->wanted_clean;
    buf_init(&data, 65535);
    buf_init(&pop, ACE_POP_MAX);
    buf_init(&name, 65535);
    buf_init(&packet, 1 << 20);
    put_connect_data(p, c, c->v3 || (options & 8) == 0, &data, &pop);
    if ((options & 16) != 0) {
        connect.has_will = true;
        connect.will = (struct mqtt_will){ .topic = { span_of_str(topics[who]) },
                                           .payload = SPAN("will"),
                                           .qos = (uint8_t)(who % 3),
                                           .retain = (options & 64) != 0 };
    }
    if (c->v3) {
        connect.has_user_name = connect.has_password = true;
        put_str(&name, ACE_METHOD);
        base64url_encode(buf_span(&p->stage->tokens[kind]), &name);
        connect.user_name = buf_span(&name);
        connect.password = buf_span(&pop);
    } else {
        connect.properties = (struct mqtt_properties){ .auth_method = SPAN(ACE_METHOD),
                                                       .auth_data = buf_span(&data),
                                                       .session_expiry_s = c->wanted_durable ? EXPIRY_S : 0,
                                                       .receive_maximum = (options & 32) != 0 ? 2 : 100 };
        mqtt_set(&connect.properties, PROP_AUTH_METHOD);
        mqtt_set(&connect.properties, PROP_AUTH_DATA);
        mqtt_set(&connect.properties, PROP_SESSION_EXPIRY);
        mqtt_set(&connect.properties, PROP_RECEIVE_MAXIMUM);
    }
    mqtt_write_connect(&packet, &connect);
    send_packet(p, c, &packet);
    buf_done(&data);
    buf_done(&pop);
    buf_done(&name);
}

static struct flight *free_flight(struct client *c)
{
    for (size_t i = 0; i < FLIGHTS; i++)
        if (c->flights[i].id == 0)
            return &c->flights[i];
    return NULL;
}

static uint16_t free_id(struct client *c)
{
    bool taken = true;

    while (taken) {
        c->next_id = c->next_id == 200 ? 1 : (uint16_t)(c->next_id + 1);
        taken = c->next_id == c->asked_id;
        for (size_t i = 0; i < FLIGHTS; i++)
            taken = taken || c->flights[i].id == c->next_id;
    }
    return c->next_id;
}

static void step_publish(struct play *p, struct client *c, unsigned topic, unsigned how)
{
    struct flight *f = free_flight(c), none = { 0 };
    uint8_t qos = (uint8_t)(how % 3);
    struct buf packet;

    if (!c->open || f == NULL || p->count == MESSAGES)
        return;
    p->messages[p->count] = (struct message){ .topic = (uint8_t)topic, .qos = qos };
    if (!may_say(p, c, (unsigned)p->count))
        c->sound = false;
    if (qos == 0)
        f = &none;
    else
        f->id = free_id(c);
    f->message = (uint8_t)p->count++;
    f->received = false;
    buf_init(&packet, 4096);
    write_marked(p, c, f, (how & 4) != 0, false, &packet);
    send_packet(p, c, &packet);
}

static void step_subscribe(struct play *p, struct client *c, unsigned filter, unsigned how)
{
    struct mqtt_subscription sub = { .filter = { span_of_str(filters[filter]) }, .qos = (uint8_t)(how % 3) };
    struct buf packet;

    if (!c->open || c->asked_id != 0)
        return;
    if (!c->v3 && filter < FIRST_SHARED) {
        sub.retain_handling = (uint8_t)(how / 4 % 3);
        sub.retain_as_published = (how & 16) != 0;
    }
    c->asked_id = free_id(c);
    c->asked_filter = filter;
    c->asked_qos = sub.qos;
    c->asked_sub = true;
    c->ever |= 1u << filter;
    c->subs &= ~(1u << filter); /* until it is granted */
    buf_init(&packet, 4096);
    mqtt_write_subscribe(&packet, c->io->version, c->asked_id, NULL, &sub, 1);
    send_packet(p, c, &packet);
}

static void step_unsubscribe(struct play *p, struct client *c, unsigned filter)
{
    struct topic_filter f = { span_of_str(filters[filter]) };
    struct buf packet;

    if (!c->open || c->asked_id != 0)
        return;
    c->asked_id = free_id(c);
    c->asked_sub = false;
    c->subs &= ~(1u << filter);
    buf_init(&packet, 4096);
    mqtt_write_unsubscribe(&packet, c->io->version, c->asked_id, NULL, &f, 1);
    send_packet(p, c, &packet);
}

/* The oldest answers that wait. */
static void step_answer(struct play *p, struct client *c, size_t count)
{
    struct buf packet;

    if (!c->open)
        return;
    if (count > c->waiting_count)
        count = c->waiting_count;
    buf_init(&packet, 4096);
    for (size_t i = 0; i < count; i++) {
        const struct answer *a = &c->waiting[i];
        put_ack(c, a->type, a->id, &packet);
        if (a->message < MESSAGES)
            c->acked[a->message] = true; /* or on its way: a cut makes no difference to what we may expect */
    }
    memmove(c->waiting, c->waiting + count, (c->waiting_count - count) * sizeof *c->waiting);
    c->waiting_count -= count;
    send_packet(p, c, &packet);
}

static void step_reauthenticate(struct play *p, struct client *c, unsigned kind)
{
    struct buf data;

    if (!c->open || c->v3)
        return;
    if (kind != c->kind)
        c->sound = false;
    c->next_kind = kind;
    buf_init(&data, 65535);
    CHECK(auth_data_write_connect(buf_span(&p->stage->tokens[kind]), SPAN_NONE, &data) == ST_OK, "data");
    client_auth(c->io, MQTT_REAUTHENTICATE, ACE_METHOD, buf_span(&data));
    buf_done(&data);
}

static void step_bye(struct play *p, struct client *c, bool with_will)
{
    struct mqtt_disconnect d = { .reason = with_will && !c->v3 ? MQTT_DISCONNECT_WITH_WILL : MQTT_SUCCESS };
    struct buf packet;

    if (!c->open)
        return;
    buf_init(&packet, 64);
    mqtt_write_disconnect(&packet, c->io->version, &d);
    send_packet(p, c, &packet);
    drop(c);
}

/* What it may have asked for nobody knows. */
static void step_raw(struct client *c, struct span bytes)
{
    CLEANUP(buf_done)
    struct buf copy;

    buf_init(&copy, 65535);
    if (c->io == NULL)
        return;
    put_bytes(&copy, bytes);
    for (size_t i = 0; i < copy.len; i++) /* no message of ours */
        if (copy.p[i] == '<')
            copy.p[i] = '-';
    c->raw = true;
    c->sound = false;
    client_send(c->io, buf_span(&copy));
}

/* ---- what comes ---- */

static struct topic_filter plain_filter(unsigned filter)
{
    struct span s = span_of_str(filters[filter]);

    return (struct topic_filter){ filter < FIRST_SHARED ? s : span_cut(s, sizeof "$share/g/" - 1, s.len) };
}

static unsigned count_matching(uint32_t subs, unsigned topic, unsigned end)
{
    unsigned n = 0;

    for (unsigned i = 0; i < end; i++)
        n += (subs >> i & 1) != 0 &&
             topic_matches(plain_filter(i), (struct topic_name){ span_of_str(topics[topic]) });
    return n;
}

static int message_of(const struct play *p, struct span payload)
{
    unsigned n = 0;

    if (payload.len != MARK_LEN || payload.p[0] != '<')
        return -1;
    for (size_t i = 2; i < 5; i++)
        n = n * 10 + (unsigned)(payload.p[i] - '0');
    return n < p->count ? (int)n : -1;
}

static void will_answer(struct client *c, enum mqtt_packet_type type, uint16_t id, int message)
{
    CHECK(c->raw || c->waiting_count < WAITING, "more in flight than was asked for");
    if (c->waiting_count < WAITING)
        c->waiting[c->waiting_count++] = (struct answer){ type, id, message < 0 ? MESSAGES : (uint8_t)message };
}

static bool hold(struct client *c, uint16_t id)
{
    for (size_t i = 0; i < c->held_count; i++)
        if (c->held[i] == id)
            return false;
    if (c->held_count < WAITING)
        c->held[c->held_count++] = id;
    return true;
}

static void let_go(struct client *c, uint16_t id)
{
    for (size_t i = 0; i < c->held_count; i++)
        if (c->held[i] == id) {
            c->held[i] = c->held[--c->held_count];
            return;
        }
}

static void got_publish(struct play *p, struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_publish m;

    CHECK(mqtt_read_publish(frame, c->io->version, &m, NULL) == ST_OK, "a PUBLISH of the broker");
    CHECK(among(token_kinds[c->kind].may_hear, m.topic.s), "a message outside the scope");
    int message = message_of(p, m.payload);
    if (m.qos == 0)
        return;
    bool fresh = m.qos == 1 || hold(c, m.packet_id);
    will_answer(c, m.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, m.packet_id, message);
    if (m.qos == 1 || !fresh || message < 0 || m.retain || c->raw)
        return;
    c->copies[message]++;
    CHECK(c->copies[message] <= count_matching(c->ever, p->messages[message].topic, COUNT_OF(filters)),
          "a message of QoS 2 came twice");
}

static bool on_disk(const struct play *p, unsigned message)
{
    const struct disk *disk = p->b->disk;
    char mark[MARK_LEN + 1];

    (void)snprintf(mark, sizeof mark, "<<%03u>", message);
    for (size_t i = 0; i < disk->count; i++) {
        struct span value = buf_span(&disk->entries[i]->value);
        if (value.len >= MARK_LEN && memmem(value.p, value.len, mark, MARK_LEN) != NULL)
            return true;
    }
    return false;
}

/* Its publisher has been told that the broker has it. */
static void acknowledged(struct play *p, unsigned message)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        struct client *c = &p->clients[i];
        if (!c->sound || !c->durable ||
            count_matching(c->subs, p->messages[message].topic, FIRST_SHARED) == 0 || c->acked[message])
            continue;
        c->owed[message] = true;
        CHECK(p->b->disk == NULL || on_disk(p, message), "acknowledged before it is on disk");
    }
}

static void got_ack(struct play *p, struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_ack ack;
    struct flight *f = NULL;
    struct buf packet;

    CHECK(mqtt_read_ack(frame, c->io->version, &ack, NULL) == ST_OK, "an answer of the broker");
    if (frame->type == MQTT_PUBREL) {
        let_go(c, ack.packet_id);
        will_answer(c, MQTT_PUBCOMP, ack.packet_id, -1);
        return;
    }
    for (size_t i = 0; i < FLIGHTS; i++)
        if (c->flights[i].id == ack.packet_id)
            f = &c->flights[i];
    CHECK(c->raw || f != NULL, "an answer to nothing");
    if (f == NULL || c->raw)
        return;
    if (frame->type != MQTT_PUBCOMP && ack.reason < 0x80 && !f->received)
        acknowledged(p, f->message);
    if (frame->type != MQTT_PUBREC || ack.reason >= 0x80) {
        *f = (struct flight){ 0 };
        return;
    }
    f->received = true;
    buf_init(&packet, 64);
    put_ack(c, MQTT_PUBREL, f->id, &packet);
    put_bytes(&c->io->out, buf_span(&packet));
    buf_done(&packet);
}

static void got_connack(struct play *p, struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_connack connack;

    CHECK(mqtt_read_connack(frame, c->io->version, &connack, NULL) == ST_OK, "a CONNACK of the broker");
    if (connack.reason != 0) {
        c->sound = false; /* a limit, a store that fails, another's name */
        return;
    }
    CHECK(!connack.session_present || !c->wanted_clean, "a session that was not wanted");
    c->open = true;
    if (connack.session_present) {
        c->durable = c->wanted_durable;
        resend(p, c);
        return;
    }
    CHECK(!c->sound, "a durable session is gone");
    c->held_count = 0;
    memset(c->flights, 0, sizeof c->flights);
    memset(c->copies, 0, sizeof c->copies);
    memset(c->acked, 0, sizeof c->acked);
    memset(c->owed, 0, sizeof c->owed);
    c->subs = 0;
    if (p->b->disk ==
        NULL) /* a session whose end had not reached the disk is there again after a crash, with what it asked for */
        c->ever = 0;
    c->durable = c->wanted_durable;
    c->sound = c->durable && c->kind != SHORT_KIND;
    c->raw = false;
}

static void got_auth(struct play *p, struct client *c, const struct mqtt_frame *frame)
{
    unsigned kind = c->open ? c->next_kind : c->kind;
    struct mqtt_auth auth;
    struct buf pop, data;

    CHECK(mqtt_read_auth(frame, &auth, NULL) == ST_OK, "an AUTH of the broker");
    if (auth.reason == MQTT_SUCCESS) {
        c->kind = c->next_kind;
        return;
    }
    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 1024);
    CHECK(pop_make_nonces(p->stage->keys[token_kinds[kind].key], auth.properties.auth_data, SPAN("12345678"),
                          &pop) == ST_OK,
          "a proof");
    CHECK(auth_data_write_answer(SPAN("12345678"), buf_span(&pop), false, &data) == ST_OK, "an answer");
    struct mqtt_auth out = { .reason = MQTT_CONTINUE_AUTHENTICATION };
    out.properties.auth_method = SPAN(ACE_METHOD);
    out.properties.auth_data = buf_span(&data);
    mqtt_set(&out.properties, PROP_AUTH_METHOD);
    mqtt_set(&out.properties, PROP_AUTH_DATA);
    mqtt_write_auth(&c->io->out, &out);
    buf_done(&pop);
    buf_done(&data);
}

static void got_suback(struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_suback s;

    CHECK(mqtt_read_suback(frame, c->io->version, &s, NULL) == ST_OK, "a SUBACK of the broker");
    if (c->raw || s.packet_id != c->asked_id)
        return;
    if (c->asked_sub && s.reasons.p[0] < 0x80 && s.reasons.p[0] > 0)
        c->subs |= 1u << c->asked_filter;
    c->asked_id = 0;
}

/* Takes what has come; true if that made it say something. */
static bool drain(struct play *p, struct client *c)
{
    struct mqtt_frame frame;

    while (c->io != NULL && client_next(c->io, &frame)) {
        switch (frame.type) {
        case MQTT_CONNACK:
            got_connack(p, c, &frame);
            break;
        case MQTT_PUBLISH:
            got_publish(p, c, &frame);
            break;
        case MQTT_PUBACK:
        case MQTT_PUBREC:
        case MQTT_PUBREL:
        case MQTT_PUBCOMP:
            got_ack(p, c, &frame);
            break;
        case MQTT_SUBACK:
        case MQTT_UNSUBACK:
            got_suback(c, &frame);
            break;
        case MQTT_AUTH:
            got_auth(p, c, &frame);
            break;
        default:
            break;
        }
    }
    if (c->io != NULL && c->io->closed)
        lose(c);
    return c->io != NULL && c->io->out.len > 0 && !c->io->paused;
}

static void drain_all(struct play *p)
{
    bool again = true;

    for (unsigned turns = 0; again && turns < 100; turns++) {
        again = false;
        for (size_t i = 0; i < CLIENTS; i++)
            again = drain(p, &p->clients[i]) || again;
        if (again)
            bench_run(p->b);
    }
}

/* ---- the others ---- */

static void step_time(struct play *p, unsigned s)
{
    if (p->passed_s + s > TIME_MAX_S)
        return;
    p->passed_s += s;
    p->b->now.wall.s += s;
    p->b->now.mono.ms += 1000 * (int64_t)s;
    bench_run(p->b);
    p->b->now.mono.ms += 20;
    bench_run(p->b);
}

static void step_revoke(struct play *p, unsigned kind)
{
    const struct why why = { "RFC 9770", "the token was revoked", 0 };

    for (size_t i = 0; i < CLIENTS; i++)
        if (p->clients[i].kind == kind || p->clients[i].next_kind == kind)
            p->clients[i].sound = false;
    for (unsigned i = 0; i < p->b->count; i++)
        shard_token_status(p->b->shard[i], p->stage->hashes[kind], NULL, why, p->b->now);
    bench_flush(p->b);
    bench_run(p->b);
}

/* The first bit of `how`: as many shards as before, or one more or less. */
static void step_crash(struct play *p, unsigned how)
{
    if (p->b->disk == NULL)
        return;
    for (size_t i = 0; i < CLIENTS; i++)
        lose(&p->clients[i]);
    p->b->disk->failing = ST_OK; /* the next start finds room */
    p->failing = false;
    bench_crash(p->b, (how & 1) != 0 ? 3 - p->b->count : p->b->count);
}

static void step_disk(struct play *p, unsigned how)
{
    if (p->b->disk == NULL)
        return;
    switch (how % 4) {
    case 0: /* by hand from now on */
        p->b->disk->manual = true;
        break;
    case 1:
        p->b->disk->manual = false;
        break;
    case 2:
        (void)disk_commit_of(p->b, how / 4 % p->b->count);
        break;
    default:
        p->failing = !p->failing;
        if (p->failing)
            disk_fail(p->b, how & 4 ? ST_QUOTA : ST_IO);
        else
            disk_recover(p->b);
    }
    bench_run(p->b);
}

static void step(struct play *p, struct reader *r)
{
    unsigned what = read_u8(r), how = read_u8(r);
    struct client *c = &p->clients[what / 16 % CLIENTS];

    switch (what % 16) {
    case 0:
    case 1:
        step_connect(p, what / 16 % CLIENTS, how, read_u8(r) % KINDS);
        break;
    case 2:
    case 3:
    case 4:
        step_publish(p, c, how / 8 % COUNT_OF(topics), how);
        break;
    case 5:
    case 6:
        step_subscribe(p, c, how % COUNT_OF(filters), how / COUNT_OF(filters));
        break;
    case 7:
        step_unsubscribe(p, c, how % COUNT_OF(filters));
        break;
    case 8:
        step_answer(p, c, how % 8 + 1);
        break;
    case 9:
        step_reauthenticate(p, c, how % KINDS);
        break;
    case 10:
        step_bye(p, c, how % 2 != 0);
        break;
    case 11:
        if (how % 2 == 0)
            drop(c);
        else
            p->cut = how / 2 + 1;
        break;
    case 12:
        step_raw(c, read_bytes(r, how % 64));
        break;
    case 13:
        step_time(p, how);
        break;
    case 14:
        step_disk(p, how);
        break;
    default:
        if (how % 2 == 0)
            step_revoke(p, how / 2 % KINDS);
        else
            step_crash(p, how / 2);
    }
    drain_all(p);
}

/* Everybody whose session is sound comes back: all that was promised comes. */
static void pay_debts(struct play *p)
{
    if (p->b->disk != NULL) {
        p->b->disk->manual = false;
        if (p->failing)
            disk_recover(p->b);
    }
    p->failing = false;
    p->cut = 0;
    bench_run(p->b);
    drain_all(p);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &p->clients[i];
        if (!c->sound || !c->durable)
            continue;
        step_connect(p, i, c->v3 ? 1 : 4, c->kind);
        drain_all(p);
        CHECK(c->open || !c->sound, "a sound session is not let in");
        for (unsigned turns = 0; c->waiting_count > 0 && turns < 4 * MESSAGES; turns++) {
            step_answer(p, c, WAITING);
            drain_all(p);
        }
        for (unsigned m = 0; c->sound && m < p->count; m++)
            CHECK(!c->owed[m] || c->acked[m], "what was acknowledged never came");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct stage *stage = stage_new();
    struct play *p = calloc(1, sizeof *p);
    struct reader r = reader_make(span_of(data, len), NULL);

    if (p == NULL)
        return 0;
    unsigned options = read_u8(&r);
    log_set_level((options & 8) != 0 ? LOG_DEBUG : LOG_ERROR);
    p->stage = stage;
    p->b = stage->b;
    p->b->settings.sys_interval_s = options / 16 == 1 ? 10 : 0; /* it costs more than all the rest */
    bench_again(p->b, 1 + options % 2, (options & 2) != 0);
    if (p->b->disk != NULL)
        p->b->disk->shuffled = (options & 4) != 0;
    for (unsigned steps = 0; reader_ok(&r) && reader_left(&r) > 0 && steps < STEPS; steps++)
        step(p, &r);
    pay_debts(p);
    bench_again(p->b, 1, false);
    free(p);
    return 0;
}
