/* Groups of clients that connect, join, leave, publish, acknowledge, fall silent, take over and expire at random, on one
 * to three shards whose turns come in random order, with small windows and ordinary subscriptions beside; a model says
 * what may and must be received. Each group has a Subscription Identifier, so each copy is known by its group:
 *   - only who is in a group gets its messages, at no more than the QoS granted (MQTT5 [MQTT-4.8.2-3]);
 *   - one copy for each group that matches, to one session; to a second one only with QoS 1, when the first has ended
 *     without an acknowledgement that was heard ([MQTT-4.8.2-5], [MQTT-4.8.2-6]); again to the same only with DUP;
 *   - what was acknowledged to its publisher reaches somebody, as long as the group lasts.
 * A failure prints its seed; run `share_model_scenario SEED` to see it again, or with FIRST LAST for more of them. */
#include "harness.h"

#include "mqtt/naive_topic.h"

#include <stdio.h>
#include <stdlib.h>

#define CLIENTS  6
#define GROUPS   6
#define TOPICS   6
#define MESSAGES 512
#define STEPS    400
#define SEEDS    300 /* in an ordinary run, on each number of shards */

static const char *const topics[TOPICS] = { "a", "b", "a/x", "a//y", "b/x", "a/x/1" };
static const char *const groups[GROUPS][2] = {
    { "$share/one/a/#", "a/#" }, { "$share/two/a/#", "a/#" }, { "$share/one/+/x", "+/x" },
    { "$share/one/#", "#" },     { "$share/one/b", "b" },     { "$share/one/+/+/1", "+/+/1" },
};

struct model_client {
    struct conn_io *io;  /* NULL: not connected */
    unsigned connection; /* counts them */
    unsigned session;    /* the same */
    bool persistent;
    char id[16];
    int granted[GROUPS];      /* QoS of the acknowledged subscription; -1: none, or not for sure */
    bool may[GROUPS];         /* there may be a subscription */
    unsigned left_at[GROUPS]; /* messages published before it left */
    unsigned granted_at
        [GROUPS]; /* and before the answer that granted this QoS: they may be in its queue with another */
    unsigned asking[GROUPS];   /* SUBSCRIBEs and UNSUBSCRIBEs not answered yet */
    unsigned asked_group[512]; /* packet id -> group + 1, and the QoS */
    int asked_qos[512];        /* -1: UNSUBSCRIBE */
    uint16_t next_id;
};

/* Who has a message of a group. */
struct model_receipt {
    bool due;   /* somebody must get it */
    int client; /* -1: nobody yet */
    unsigned session;
    uint8_t qos;
    bool answered; /* acknowledged, or refused, on the connection below */
    unsigned connection;
    bool final; /* and the broker has heard it */
};

struct model_message {
    unsigned publisher, topic;
    uint8_t qos;
    bool accepted;
    struct model_receipt group[GROUPS];
};

struct model {
    struct bench *b;
    struct model_client clients[CLIENTS];
    struct model_message messages[MESSAGES];
    unsigned message_count, copies, redelivered;
    unsigned sent[CLIENTS][65536]; /* packet id -> message + 1 */
};

/* ---- membership ---- */

/* With the last member for whom messages wait, what waits may go. */
static void see_group(struct model *m, unsigned g)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (m->clients[i].granted[g] >= 1)
            return;
    for (unsigned n = 0; n < m->message_count; n++)
        m->messages[n].group[g].due = false;
}

static void session_over(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];

    c->session++;
    for (unsigned g = 0; g < GROUPS; g++) {
        c->granted[g] = -1;
        c->may[g] = false;
        c->left_at[g] = 0;
        see_group(m, g);
    }
}

static uint16_t next_id(struct model_client *c)
{
    return ++c->next_id != 0 ? c->next_id : ++c->next_id;
}

static void join_client(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];
    unsigned g = pick(m->b, GROUPS);
    uint16_t id = (uint16_t)(next_id(c) % 255 + 1);
    uint8_t qos = (uint8_t)pick(m->b, 3);

    if (c->asked_group[id] != 0)
        return;
    c->asked_group[id] = g + 1;
    c->asked_qos[id] = qos;
    c->asking[g]++;
    c->may[g] = true;
    if (c->granted[g] > qos) /* it may be less from here on */
        c->granted[g] = -1;
    see_group(m, g);
    client_subscribe_with(c->io, wish_filter(groups[g][0], qos), g + 1, id);
}

static void leave_client(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];
    unsigned g = pick(m->b, GROUPS);

    if (c->asking[g] > 0 || c->asked_group[78] != 0 || !c->may[g])
        return; /* the order of answers is the order of questions, but what comes between is anybody's guess */
    c->asked_group[78] = g + 1;
    c->asked_qos[78] = -1;
    c->asking[g]++;
    c->granted[g] = -1;
    see_group(m, g);
    client_unsubscribe(c->io, groups[g][0]);
}

static void on_suback_of(struct model *m, unsigned i, const struct mqtt_frame *frame)
{
    struct model_client *c = &m->clients[i];
    struct mqtt_suback ack;
    unsigned g;

    assert_int_equal(mqtt_read_suback(frame, MQTT_5, &ack, NULL), ST_OK);
    if (c->asked_group[ack.packet_id] == 0)
        return; /* of the ordinary subscription */
    g = c->asked_group[ack.packet_id] - 1;
    c->asked_group[ack.packet_id] = 0;
    c->asking[g]--;
    if (c->asked_qos[ack.packet_id] < 0) {
        assert_int_equal(ack.type, MQTT_UNSUBACK);
        c->may[g] = c->asking[g] > 0;
        c->left_at[g] = m->message_count;
        return;
    }
    assert_int_equal(ack.reasons.p[0], c->asked_qos[ack.packet_id]);
    c->granted[g] = c->asking[g] == 0 ? c->asked_qos[ack.packet_id] : -1;
    c->granted_at[g] = m->message_count;
    see_group(m, g);
}

/* ---- messages ---- */

static void publish_client(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];
    struct model_message *msg = &m->messages[m->message_count];
    unsigned topic = pick(m->b, TOPICS);
    uint8_t qos = (uint8_t)pick(m->b, 3);
    char payload[16];
    uint16_t id = 0;

    if (m->message_count == MESSAGES)
        return;
    if (qos > 0) {
        id = next_id(c);
        m->sent[i][id] = m->message_count + 1;
    }
    *msg = (struct model_message){ .publisher = i, .topic = topic, .qos = qos };
    for (unsigned g = 0; g < GROUPS; g++) {
        struct model_receipt *r = &msg->group[g];

        r->client = -1;
        for (unsigned k = 0; k < CLIENTS && qos > 0 && naive_matches(groups[g][1], topics[topic]); k++)
            if (m->clients[k].granted[g] >= 1)
                r->due = true;
    }
    snprintf(payload, sizeof payload, "%u", m->message_count++);
    client_publish(c->io, topics[topic], payload, qos, id);
}

static void on_ack_of(struct model *m, unsigned i, const struct mqtt_frame *frame)
{
    struct model_client *c = &m->clients[i];
    struct mqtt_ack ack;

    assert_int_equal(mqtt_read_ack(frame, MQTT_5, &ack, NULL), ST_OK);
    if (ack.type == MQTT_PUBREL && c->io != NULL)
        client_ack(c->io, MQTT_PUBCOMP, ack.packet_id, MQTT_SUCCESS);
    if (ack.type == MQTT_PUBREL || ack.type == MQTT_PUBCOMP || m->sent[i][ack.packet_id] == 0)
        return;
    assert_int_equal(ack.reason, MQTT_SUCCESS);
    m->messages[m->sent[i][ack.packet_id] - 1].accepted = true;
    if (ack.type == MQTT_PUBREC && c->io != NULL)
        client_ack(c->io, MQTT_PUBREL, ack.packet_id, MQTT_SUCCESS);
}

static void check_receipt(struct model *m, unsigned i, struct model_message *msg, unsigned g,
                          const struct mqtt_publish *p)
{
    struct model_client *c = &m->clients[i];
    struct model_receipt *r = &msg->group[g];

    assert_true(naive_matches(groups[g][1], topics[msg->topic]));
    assert_true(p->qos <= msg->qos);
    if (r->client == (int)i && r->session == c->session) {
        assert_true(p->dup); /* the same delivery again */
        return;
    }
    assert_false(p->dup);
    assert_true(c->may[g] || msg < &m->messages[c->left_at[g]]); /* or it was in its queue: MQTT5 3.10.4 */
    if (c->granted[g] >= 0 && msg >= &m->messages[c->granted_at[g]])
        assert_true(p->qos <= c->granted[g]);
    if (r->client >= 0) {
        assert_false(r->final);
        assert_int_equal(r->qos, 1);
        assert_int_not_equal(r->session, m->clients[r->client].session); /* that one has ended */
        m->redelivered++;
    }
    r->client = (int)i;
    r->session = c->session;
    r->qos = p->qos;
    r->answered = p->qos == 0;
    r->connection = c->connection;
    m->copies++;
}

static void answer(struct model *m, unsigned i, const struct mqtt_publish *p)
{
    struct model_client *c = &m->clients[i];
    bool rude = pick(m->b, 25) == 0; /* [MQTT-4.8.2-6] */

    if (p->qos == 1)
        client_ack(c->io, MQTT_PUBACK, p->packet_id, rude ? MQTT_QUOTA_EXCEEDED : MQTT_SUCCESS);
    if (p->qos == 2)
        client_ack(c->io, MQTT_PUBREC, p->packet_id, rude ? MQTT_QUOTA_EXCEEDED : MQTT_SUCCESS);
}

static void on_message(struct model *m, unsigned i, const struct mqtt_frame *frame)
{
    struct model_client *c = &m->clients[i];
    struct model_message *msg;
    struct mqtt_publish p;
    unsigned number = 0;

    assert_int_equal(mqtt_read_publish(frame, MQTT_5, &p, NULL), ST_OK);
    for (size_t k = 0; k < p.payload.len; k++)
        number = number * 10 + (p.payload.p[k] - '0');
    assert_true(number < m->message_count);
    msg = &m->messages[number];
    assert_true(span_eq_str(p.topic.s, topics[msg->topic]));
    if (mqtt_has(&p.properties, PROP_SUBSCRIPTION_ID)) {
        struct model_receipt *r = &msg->group[p.properties.subscription_id - 1];

        check_receipt(m, i, msg, p.properties.subscription_id - 1, &p);
        if (c->io != NULL) {
            r->answered = true;
            r->connection = c->connection;
        }
    }
    if (c->io != NULL)
        answer(m, i, &p);
}

/* ---- reading ---- */

/* Up to `most` packets; true if there were any. Without c->io they are looked at and not answered. */
static bool read_from(struct model *m, unsigned i, struct conn_io *io, unsigned most)
{
    struct mqtt_frame frame;
    unsigned n = 0;

    while (n < most && client_next(io, &frame)) {
        n++;
        if (frame.type == MQTT_PUBLISH)
            on_message(m, i, &frame);
        else if (frame.type == MQTT_SUBACK || frame.type == MQTT_UNSUBACK)
            on_suback_of(m, i, &frame);
        else if (frame.type >= MQTT_PUBACK && frame.type <= MQTT_PUBCOMP)
            on_ack_of(m, i, &frame);
        else if (frame.type != MQTT_DISCONNECT)
            fail_msg("%s came", mqtt_packet_name(frame.type));
    }
    return n > 0;
}

/* The connection is gone: what the broker had sent on it is read as never answered. */
static void connection_over(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];
    struct conn_io *io = c->io;

    c->io = NULL;
    (void)read_from(m, i, io, UINT32_MAX);
    for (unsigned g = 0; g < GROUPS; g++) {
        if (c->asking[g] > 0) /* nobody will say */
            c->granted[g] = -1;
        c->asking[g] = 0;
        see_group(m, g);
    }
    memset(c->asked_group, 0, sizeof c->asked_group);
    memset(m->sent[i], 0, sizeof m->sent[i]);
}

static void connect_client(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];
    struct connect_wish wish = { .id = c->id,
                                 .no_method = true,
                                 .resume = pick(m->b, 8) != 0,
                                 .expiry_s = c->persistent ? 10 : 0,
                                 .receive_maximum = (uint16_t)(1 + pick(m->b, 4)) };
    struct conn_io *io = client_new(m->b), *old = c->io;
    struct mqtt_connack ack;

    client_connect(io, &wish);
    while (io->in.len == io->in_at)
        (void)bench_turn(m->b, pick(m->b, m->b->count));
    if (old != NULL)
        connection_over(m, i); /* taken over */
    ack = expect_connack(io, MQTT_SUCCESS);
    if (!ack.session_present)
        session_over(m, i);
    c->io = io;
    c->connection++;
    if (pick(m->b, 3) == 0)
        client_subscribe_with(io, wish_filter("a/#", 1), 0,
                              300); /* not shared: other traffic in the same window */
}

static void drop_client(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];

    if (pick(m->b, 4) == 0) {
        client_bye(c->io);
        while (!c->io->closed)
            (void)bench_turn(m->b, pick(m->b, m->b->count));
    } else {
        client_drop(c->io);
    }
    connection_over(m, i);
    if (!c->persistent)
        session_over(m, i);
}

/* ---- the end of a while ---- */

static void settle(struct model *m)
{
    bool busy = true;

    while (busy) {
        bench_run(m->b);
        busy = false;
        for (unsigned i = 0; i < CLIENTS; i++)
            if (m->clients[i].io != NULL && read_from(m, i, m->clients[i].io, UINT32_MAX))
                busy = true;
    }
}

static bool somebody_is_there(const struct model *m, unsigned g)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (m->clients[i].io != NULL && m->clients[i].granted[g] >= 0)
            return true;
    return false;
}

/* Everything has arrived and been answered. */
static void check_settled(struct model *m)
{
    for (unsigned n = 0; n < m->message_count; n++)
        for (unsigned g = 0; g < GROUPS; g++) {
            struct model_receipt *r = &m->messages[n].group[g];
            const struct model_client *c = r->client < 0 ? NULL : &m->clients[r->client];

            if (c != NULL && r->answered && c->io != NULL && c->connection == r->connection)
                r->final = true;
            if (!r->due || !m->messages[n].accepted || !somebody_is_there(m, g))
                continue;
            if (c == NULL)
                fail_msg("message %u reached nobody of %s", n, groups[g][0]);
            if (c->session != r->session && !r->answered && r->qos == 1)
                fail_msg("message %u of %s went with the session of client %d", n, groups[g][0], r->client);
        }
}

static void expire_sessions(struct model *m)
{
    settle(m);
    m->b->manual = false;
    bench_advance(m->b, 11000);
    m->b->manual = true;
    for (unsigned i = 0; i < CLIENTS; i++)
        if (m->clients[i].io == NULL)
            session_over(m, i);
    settle(m);
    check_settled(m);
}

static void step(struct model *m)
{
    unsigned i = pick(m->b, CLIENTS), what = pick(m->b, 100);
    struct model_client *c = &m->clients[i];

    if (c->io == NULL) {
        if (what < 25)
            connect_client(m, i);
    } else if (what < 35) {
        publish_client(m, i);
    } else if (what < 50) {
        join_client(m, i);
    } else if (what < 53) {
        leave_client(m, i);
    } else if (what < 57) {
        drop_client(m, i);
    } else if (what < 58) {
        connect_client(m, i);
    } else {
        (void)read_from(m, i, c->io, 1 + pick(m->b, 4));
    }
    if (pick(m->b, 3) != 0)
        (void)bench_turn(m->b, pick(m->b, m->b->count));
    if (pick(m->b, 60) == 0) {
        settle(m);
        check_settled(m);
    }
    if (pick(m->b, 150) == 0)
        expire_sessions(m);
}

static void finish(struct model *m)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (m->clients[i].io == NULL)
            connect_client(m, i);
    settle(m);
    check_settled(m);
    assert_int_equal(STAT(m->b, dropped_queue_full), 0);
    assert_int_equal(STAT(m->b, dropped_no_memory), 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        for (unsigned g = 0; g < GROUPS; g++)
            if (m->clients[i].may[g])
                client_unsubscribe(m->clients[i].io, groups[g][0]);
    bench_run(m->b);
    assert_int_equal(STAT(m->b, shared_subscriptions), 0);
    assert_int_equal(STAT(m->b, queued_messages), 0);
}

static void play(unsigned shards, uint64_t seed, uint64_t *copies, uint64_t *redelivered)
{
    struct model *m = calloc(1, sizeof *m);

    assert_non_null(m);
    m->b = bench_new(shards);
    m->b->seed = seed;
    bench_public(m->b, "[[\"#\",[\"pub\",\"sub\"]]]");
    m->b->settings.max_guest_expiry_s = UINT32_MAX;
    m->b->settings.check_client_id_owner = false;
    m->b->settings.max_inflight = 3;
    for (unsigned i = 0; i < CLIENTS; i++) {
        snprintf(m->clients[i].id, sizeof m->clients[i].id, "client-%u", i);
        m->clients[i].persistent = i % 2 == 0;
        session_over(m, i);
    }
    m->b->manual = true;
    for (unsigned n = 0; n < STEPS; n++)
        step(m);
    finish(m);
    bench_free(m->b);
    *copies += m->copies;
    *redelivered += m->redelivered;
    free(m);
}

static struct seeds seeds;
static uint64_t playing;
static unsigned playing_on;

static void groups_behave_as_the_model_says(void **state UNUSED)
{ /* MQTT5 [MQTT-4.8.2-3], [MQTT-4.8.2-4], [MQTT-4.8.2-5], [MQTT-4.8.2-6] */
    uint64_t copies = 0, redelivered = 0;

    for (playing = seeds.first; playing <= seeds.last; playing++)
        for (playing_on = 1; playing_on <= BENCH_MAX_SHARDS; playing_on++)
            play(playing_on, playing, &copies, &redelivered);
    print_message("%llu copies of messages, %llu to a second member\n", (unsigned long long)copies,
                  (unsigned long long)redelivered);
    assert_true(redelivered > seeds.last - seeds.first);
    playing_on = 0;
}

static int say_seed(void **state UNUSED)
{
    if (playing_on != 0)
        print_message("share_model: %u shards, seed %llu\n", playing_on, (unsigned long long)playing);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(groups_behave_as_the_model_says, say_seed),
    };

    seeds = seeds_of(argc, argv, SEEDS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
