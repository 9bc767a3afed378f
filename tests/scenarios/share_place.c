#include "share_place.h"

#include <stdio.h>

static unsigned home_of(const struct bench *b, const char *text)
{
    return shard_home(&b->settings, b->count, span_of_str(text));
}

void place_open(struct place *p, unsigned shards, unsigned home)
{
    *p = (struct place){ .b = bench_new(shards) };
    for (int i = 0;; i++) {
        snprintf(p->group, sizeof p->group, "$share/g%d/a/#", i);
        if (home_of(p->b, p->group) == home)
            break;
    }
    p->pub = client_connected(p->b, "publisher", ALL);
}

void everywhere(void (*story)(struct place *p))
{
    for (unsigned shards = 1; shards <= BENCH_MAX_SHARDS; shards++)
        for (unsigned home = 0; home < shards; home++) {
            struct place p;

            place_open(&p, shards, home);
            story(&p);
            bench_free(p.b);
        }
}

void name_at(struct place *p, unsigned shard, char id[32])
{
    do
        snprintf(id, 32, "member-%u", p->next_id++);
    while (shard_home(&p->b->settings, p->b->count, span_of_str(id)) != shard % p->b->count);
}

struct conn_io *connected_with(struct place *p, unsigned shard, struct connect_wish wish)
{
    static char id[32];

    if (wish.id == NULL) {
        name_at(p, shard, id);
        wish.id = id;
    }
    if (wish.scope == NULL)
        wish.scope = ALL;
    return client_connected_with(p->b, &wish);
}

struct conn_io *member_with(struct place *p, unsigned shard, uint8_t qos, struct connect_wish wish)
{
    struct conn_io *c = connected_with(p, shard, wish);

    client_subscribe(c, p->group, qos, qos);
    return c;
}

struct conn_io *member(struct place *p, unsigned shard, uint8_t qos)
{
    return member_with(p, shard, qos, (struct connect_wish){ 0 });
}

void unsubscribe(const struct place *p, struct conn_io *c, uint8_t reason)
{
    struct mqtt_frame frame;
    struct mqtt_suback ack;

    client_unsubscribe(c, p->group);
    assert_true(client_next(c, &frame));
    assert_int_equal(frame.type, MQTT_UNSUBACK);
    assert_int_equal(mqtt_read_suback(&frame, c->version, &ack, NULL), ST_OK);
    assert_int_equal(ack.reasons.p[0], reason);
}

void publish_as(struct place *p, struct publish_wish wish)
{
    if (wish.qos > 0)
        wish.packet_id = ++p->packet_id;
    client_publish_with(p->pub, &wish);
    if (wish.qos == 1)
        (void)expect_ack(p->pub, MQTT_PUBACK, wish.packet_id, MQTT_SUCCESS);
    if (wish.qos == 2) {
        (void)expect_ack(p->pub, MQTT_PUBREC, wish.packet_id, MQTT_SUCCESS);
        client_ack(p->pub, MQTT_PUBREL, wish.packet_id, MQTT_SUCCESS);
        (void)expect_ack(p->pub, MQTT_PUBCOMP, wish.packet_id, MQTT_SUCCESS);
    }
}

void publish(struct place *p, const char *payload, uint8_t qos)
{
    publish_as(p, (struct publish_wish){ .topic = "a/x", .payload = payload, .qos = qos });
}

void publish_many(struct place *p, unsigned from, unsigned count, uint8_t qos)
{
    for (unsigned i = from; i < from + count; i++) {
        char text[16];

        snprintf(text, sizeof text, "%u", i);
        publish(p, text, qos);
    }
}

unsigned take_all(struct conn_io *c)
{
    struct mqtt_frame frame;
    struct mqtt_publish m;
    struct mqtt_ack ack;
    unsigned count = 0;

    while (client_next(c, &frame)) {
        if (frame.type == MQTT_PUBREL) {
            assert_int_equal(mqtt_read_ack(&frame, c->version, &ack, NULL), ST_OK);
            client_ack(c, MQTT_PUBCOMP, ack.packet_id, MQTT_SUCCESS);
            continue;
        }
        assert_int_equal(frame.type, MQTT_PUBLISH);
        assert_int_equal(mqtt_read_publish(&frame, c->version, &m, NULL), ST_OK);
        count++;
        if (m.qos > 0)
            client_ack(c, m.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, m.packet_id, MQTT_SUCCESS);
    }
    return count;
}
