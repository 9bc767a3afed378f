/* Clients that connect in MQTT 5 or 3.1.1, as it comes, subscribe, publish, acknowledge, fall silent and come back at random, on one to three shards
 * whose turns come in random order; a model beside them says what may and what must be received:
 *   - nothing outside the receiver's scope, nothing that was refused to its publisher;
 *   - what was acknowledged to its publisher at QoS 1 or 2 reaches every client whose subscription had been
 *     acknowledged before and whose session lasts; at QoS 2 exactly once;
 *   - first deliveries of one publisher's messages on one topic and QoS come in order (MQTT5 [MQTT-4.6.0-6]).
 * A failure prints its seed; run `model_scenario SEED` to see it again, or
 * `model_scenario FIRST LAST` for more of them. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#define CLIENTS  6
#define TOPICS   6
#define FILTERS  8
#define MESSAGES 4096
#define STEPS    500
#define SEEDS    40 /* in an ordinary run */

static const char *const topics[TOPICS] = { "a", "b", "a/x", "a/y", "b/x", "a/x/1" };
static const char *const filters[FILTERS] = { "a", "a/#", "a/+", "+/x", "#", "a/x/1", "b/#", "b/x" };
static const char *const scopes[3] = {
    "[[\"#\",[\"pub\",\"sub\"]]]",
    "[[\"a/#\",[\"pub\",\"sub\"]]]",
    "[[\"a/+\",[\"sub\"]],[\"b/x\",[\"sub\"]],[\"+\",[\"pub\"]],[\"a/x/1\",[\"pub\",\"sub\"]]]",
};

struct model_client {
    struct conn_io *io; /* NULL: not connected */
    char id[16];
    bool persistent;
    bool lasts; /* the session it has now */
    const struct scope *scope;
    struct key *key;
    int granted[FILTERS];     /* QoS of the acknowledged subscription; -1: none */
    bool may_match[FILTERS];  /* a subscription that may exist, acknowledged or not */
    unsigned subscribing[16]; /* packet id -> filter + 1, and the QoS asked for */
    uint8_t asked[16];
    uint16_t next_id;
    bool received_ids[65536];             /* QoS 2 in progress */
    unsigned last[CLIENTS][TOPICS][3][3]; /* QoS as published, and as it came: MQTT5 [MQTT-4.6.0-6] */
};

struct model_message {
    unsigned publisher, topic;
    uint8_t qos;
    bool refused;
    unsigned due; /* clients that must get it once it is acknowledged */
    bool acknowledged;
    uint8_t count[CLIENTS];
};

struct model {
    struct bench *b;
    struct scope *scopes[3];
    struct model_client clients[CLIENTS];
    struct model_message messages[MESSAGES];
    unsigned message_count;
    unsigned sent[CLIENTS][65536]; /* packet id -> message + 1 */
};

static void forget_due(struct model *m, unsigned client)
{
    for (unsigned i = 0; i < m->message_count; i++)
        m->messages[i].due &= ~(1u << client);
}

static void session_lost(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];

    forget_due(m, i);
    for (unsigned f = 0; f < FILTERS; f++) {
        c->granted[f] = -1;
        c->may_match[f] = false;
    }
    memset(c->received_ids, 0, sizeof c->received_ids);
}

static void connect_client(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];
    struct connect_wish wish = { .id = c->id,
                                 .scope = scopes[i % 3],
                                 .key = c->key,
                                 .resume = c->persistent,
                                 .expiry_s = c->persistent ? 100000 : 0,
                                 .receive_maximum = (uint16_t)(1 + pick(m->b, 5)) };
    struct mqtt_connack ack;

    wish.v3 = pick(m->b, 2) == 0;
    if (c->persistent && pick(m->b, 8) == 0)
        wish.resume = false;
    c->lasts = c->persistent && (wish.resume || !wish.v3); /* Clean Session ends with its connection */
    if (!wish.resume)
        session_lost(m, i);
    m->b->manual = false; /* a connection is there before anything else happens to it */
    c->io = client_new(m->b);
    client_connect(c->io, &wish);
    m->b->manual = true;
    ack = expect_connack(c->io, MQTT_SUCCESS);
    if (!ack.session_present)
        session_lost(m, i);
    memset(c->subscribing, 0, sizeof c->subscribing);
    memset(m->sent[i], 0, sizeof m->sent[i]);
}

static void drop_client(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];

    client_drop(c->io);
    c->io = NULL;
    if (!c->lasts)
        session_lost(m, i);
}

static void subscribe_client(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];
    unsigned f = pick(m->b, FILTERS), slot = pick(m->b, 15) + 1;
    uint8_t qos = (uint8_t)pick(m->b, 3);

    if (c->subscribing[slot] != 0)
        return;
    c->subscribing[slot] = f + 1;
    c->asked[slot] = qos;
    if (c->granted[f] > (int)qos) { /* fewer than before from here on */
        c->granted[f] = -1;
        forget_due(m, i);
    }
    c->may_match[f] = true;
    client_subscribe_with(c->io, wish_filter(filters[f], qos), 0, (uint16_t)slot);
}

static void unsubscribe_client(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];
    unsigned f = pick(m->b, FILTERS);

    for (unsigned slot = 0; slot < 16; slot++)
        if (c->subscribing[slot] == f + 1)
            return; /* which comes first would be anybody's guess */
    c->granted[f] = -1;
    forget_due(m, i);
    client_unsubscribe(c->io, filters[f]);
}

static unsigned who_is_due(struct model *m, unsigned topic, uint8_t qos)
{
    struct topic_name name = { span_of_str(topics[topic]) };
    unsigned due = 0;

    for (unsigned i = 0; i < CLIENTS && qos > 0; i++)
        for (unsigned f = 0; f < FILTERS; f++)
            if (m->clients[i].granted[f] >= 1 &&
                topic_matches((struct topic_filter){ span_of_str(filters[f]) }, name))
                due |= 1u << i;
    return due;
}

static void publish_client(struct model *m, unsigned i)
{
    struct model_client *c = &m->clients[i];
    struct model_message *msg = &m->messages[m->message_count];
    unsigned topic = pick(m->b, TOPICS);
    uint8_t qos = (uint8_t)pick(m->b, 3);
    bool allowed = scope_may_publish(c->scope, (struct topic_name){ span_of_str(topics[topic]) });
    char payload[32];
    uint16_t id = 0;

    if (m->message_count == MESSAGES || (!allowed && (qos == 0 || c->io->version != MQTT_5)))
        return; /* it would end the connection */
    if (qos > 0) {
        id = ++c->next_id == 0 ? ++c->next_id : c->next_id;
        m->sent[i][id] = m->message_count + 1;
    }
    *msg = (struct model_message){ .publisher = i,
                                   .topic = topic,
                                   .qos = qos,
                                   .refused = !allowed,
                                   .due = allowed ? who_is_due(m, topic, qos) : 0 };
    snprintf(payload, sizeof payload, "%u", m->message_count++);
    client_publish(c->io, topics[topic], payload, qos, id);
}

static void on_message(struct model *m, unsigned i, const struct mqtt_frame *frame)
{
    struct model_client *c = &m->clients[i];
    struct mqtt_publish p;
    struct model_message *msg;
    unsigned number = 0;
    bool again;

    assert_int_equal(mqtt_read_publish(frame, c->io->version, &p, NULL), ST_OK);
    for (size_t k = 0; k < p.payload.len; k++)
        number = number * 10 + (p.payload.p[k] - '0');
    assert_true(number < m->message_count);
    msg = &m->messages[number];
    assert_true(span_eq_str(p.topic.s, topics[msg->topic]));
    assert_false(msg->refused);
    assert_true(scope_may_receive(c->scope, p.topic));
    assert_true(p.qos <= msg->qos);
    again = p.dup || (p.qos == 2 && c->received_ids[p.packet_id]);
    if (!again) {
        /* Of a broker with a disk, QoS 2 between shards takes its time, and others pass it. */
        unsigned order = m->b->disk != NULL ? msg->qos : 0;
        unsigned *last = &c->last[msg->publisher][msg->topic][order][p.qos];

        assert_true(*last <= number);
        *last = number;
    }
    if (p.qos != 2 || !c->received_ids[p.packet_id]) {
        msg->count[i]++;
        if (p.qos == 2)
            assert_int_equal(msg->count[i], 1);
    }
    msg->due &= ~(1u << i);
    if (p.qos == 1)
        client_ack(c->io, MQTT_PUBACK, p.packet_id, MQTT_SUCCESS);
    if (p.qos == 2) {
        c->received_ids[p.packet_id] = true;
        client_ack(c->io, MQTT_PUBREC, p.packet_id, MQTT_SUCCESS);
    }
}

static void on_suback_of(struct model *m, unsigned i, const struct mqtt_frame *frame)
{
    struct model_client *c = &m->clients[i];
    struct mqtt_suback ack;
    uint8_t refused;
    unsigned f;
    bool allowed;

    assert_int_equal(mqtt_read_suback(frame, c->io->version, &ack, NULL), ST_OK);
    if (ack.type == MQTT_UNSUBACK)
        return;
    f = c->subscribing[ack.packet_id] - 1;
    allowed = scope_may_subscribe(c->scope, (struct topic_filter){ span_of_str(filters[f]) });
    refused = c->io->version == MQTT_5 ? MQTT_NOT_AUTHORIZED : MQTT_UNSPECIFIED_ERROR; /* MT-99, MT-127 */
    assert_int_equal(ack.reasons.p[0], allowed ? c->asked[ack.packet_id] : refused);
    c->subscribing[ack.packet_id] = 0;
    if (allowed)
        c->granted[f] = c->asked[ack.packet_id];
    for (unsigned slot = 0; slot < 16; slot++) /* another one for the same filter is on its way */
        if (c->subscribing[slot] == f + 1)
            c->granted[f] = -1;
}

static void on_ack_of(struct model *m, unsigned i, const struct mqtt_frame *frame)
{
    struct model_client *c = &m->clients[i];
    struct model_message *msg;
    struct mqtt_ack ack;

    assert_int_equal(mqtt_read_ack(frame, c->io->version, &ack, NULL), ST_OK);
    if (ack.type == MQTT_PUBREL) {
        c->received_ids[ack.packet_id] = false;
        client_ack(c->io, MQTT_PUBCOMP, ack.packet_id, MQTT_SUCCESS);
        return;
    }
    if (ack.type == MQTT_PUBCOMP || m->sent[i][ack.packet_id] == 0)
        return;
    msg = &m->messages[m->sent[i][ack.packet_id] - 1];
    assert_int_equal(ack.reason, msg->refused ? MQTT_NOT_AUTHORIZED : MQTT_SUCCESS);
    msg->acknowledged = !msg->refused;
    if (ack.type == MQTT_PUBREC && ack.reason == MQTT_SUCCESS)
        client_ack(c->io, MQTT_PUBREL, ack.packet_id, MQTT_SUCCESS);
}

/* Up to `most` packets; true if there were any. */
static bool read_client(struct model *m, unsigned i, unsigned most)
{
    struct mqtt_frame frame;
    unsigned n = 0;

    while (n < most && m->clients[i].io != NULL && client_next(m->clients[i].io, &frame)) {
        n++;
        if (frame.type == MQTT_PUBLISH)
            on_message(m, i, &frame);
        else if (frame.type == MQTT_SUBACK || frame.type == MQTT_UNSUBACK)
            on_suback_of(m, i, &frame);
        else if (frame.type >= MQTT_PUBACK && frame.type <= MQTT_PUBCOMP)
            on_ack_of(m, i, &frame);
        else
            fail_msg("%s came", mqtt_packet_name(frame.type));
    }
    return n > 0;
}

static void settle(struct model *m)
{
    bool busy = true;

    while (busy) {
        bench_run(m->b);
        busy = false;
        for (unsigned i = 0; i < CLIENTS; i++)
            if (read_client(m, i, UINT32_MAX))
                busy = true;
    }
}

static void check_due(struct model *m)
{
    for (unsigned n = 0; n < m->message_count; n++) {
        struct model_message *msg = &m->messages[n];

        for (unsigned i = 0; i < CLIENTS; i++)
            if (msg->acknowledged && (msg->due >> i & 1) != 0 && m->clients[i].io != NULL)
                fail_msg("message %u of client %u never reached client %u", n, msg->publisher, i);
    }
}

static void step(struct model *m)
{
    unsigned i = pick(m->b, CLIENTS), what = pick(m->b, 100);
    struct model_client *c = &m->clients[i];

    if (c->io == NULL) {
        if (what < 30)
            connect_client(m, i);
    } else if (what < 35) {
        publish_client(m, i);
    } else if (what < 50) {
        subscribe_client(m, i);
    } else if (what < 53) {
        unsubscribe_client(m, i);
    } else if (what < 56) {
        drop_client(m, i);
    } else {
        (void)read_client(m, i, 1 + pick(m->b, 4));
    }
    if (pick(m->b, 3) != 0)
        (void)bench_turn(m->b, pick(m->b, m->b->count));
    if (pick(m->b, 60) == 0) {
        settle(m);
        check_due(m);
    }
}

static void play(unsigned shards, uint64_t seed)
{
    struct model *m = calloc(1, sizeof *m);

    assert_non_null(m);
    m->b = bench_new(shards);
    m->b->seed = seed;
    m->b->settings.max_inflight = 8;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(scope_from_text(span_of_str(scopes[i]), &m->scopes[i], NULL), ST_OK);
    for (unsigned i = 0; i < CLIENTS; i++) {
        snprintf(m->clients[i].id, sizeof m->clients[i].id, "client-%u", i);
        m->clients[i].persistent = i % 2 == 0;
        m->clients[i].scope = m->scopes[i % 3];
        assert_int_equal(key_generate(KEY_SECRET, &m->clients[i].key), ST_OK);
        session_lost(m, i);
    }
    m->b->manual = true;
    print_message("model: %u shards, seed %llu\n", shards, (unsigned long long)seed);
    for (unsigned n = 0; n < STEPS; n++)
        step(m);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (m->clients[i].io == NULL)
            connect_client(m, i);
    settle(m);
    check_due(m);
    assert_true(m->message_count > STEPS / 20);
    assert_int_equal(STAT(m->b, dropped_queue_full), 0);
    assert_int_equal(STAT(m->b, queued_messages), 0);
    bench_free(m->b);
    for (unsigned i = 0; i < CLIENTS; i++)
        key_unref(m->clients[i].key);
    for (unsigned i = 0; i < 3; i++)
        scope_unref(m->scopes[i]);
    free(m);
}

static struct seeds seeds;

static void random_clients_are_served_as_the_model_says(void **state)
{ /* MT-81, MT-82, MT-98, MT-127, MQTT5 4.3, 4.6 */
    (void)state;
    for (uint64_t seed = seeds.first; seed <= seeds.last; seed++)
        for (unsigned shards = 1; shards <= 3; shards++)
            play(shards, seed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_clients_are_served_as_the_model_says),
    };

    seeds = seeds_of(argc, argv, SEEDS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
