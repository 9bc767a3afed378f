/* Two brokers of the same seed, one of which remembers what topics matched (topic/match_cache.h): the same clients do the
 * same at random with both, and every packet that comes back must be the same. Filters overlap and are shared;
 * subscriptions have identifiers, No Local and Retain As Published; clients leave and come back.
 *
 * A failure prints its seed; run `remembered_scenario SEED` to see it again, or `remembered_scenario FIRST LAST`. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#define CLIENTS 5
#define STEPS   400
#define SEEDS   60
#define SCOPE   "[[\"#\",[\"pub\",\"sub\"]],[\"$x/#\",[\"pub\",\"sub\"]]]"

static const char *const topics[] = { "a", "a/b", "a/b/c", "b", "b/", "c/d/e/f" };
/* The first without wildcards: there what is remembered of other topics stays. */
static const char *const filters[] = { "a",       "a/b",          "a/b/c",        "b",      "$x/a",
                                       "c/d/e/f", "$share/g/a/b", "c/d/e",        "a/#",    "+/b",
                                       "#",       "+/+",          "$share/g/a/#", "$x/#",   "a/+/c",
                                       "c/#",     "$share/h/#",   "b/+",          "c/+/e/+" };
#define PLAIN 8

static struct seeds seeds;

struct world {
    struct bench *b;
    struct conn_io *clients[CLIENTS]; /* NULL: away */
};

static void come(struct world *w, unsigned i, uint32_t expiry_s)
{
    char id[8];

    snprintf(id, sizeof id, "c%u", i);
    w->clients[i] = client_connected_with(
        w->b, &(struct connect_wish){ .id = id, .scope = SCOPE, .resume = expiry_s > 0, .expiry_s = expiry_s });
}

struct step {
    enum { PUBLISH, SUBSCRIBE, UNSUBSCRIBE, LEAVE } what;
    unsigned client;
    const char *text;
    uint8_t qos;
    bool no_local, as_published;
    uint32_t id;
    uint32_t expiry_s;
};

static struct step choose(struct bench *b)
{
    struct step s = { .client = pick(b, CLIENTS), .qos = (uint8_t)pick(b, 2), .id = pick(b, 4) };
    uint32_t what = pick(b, 100);

    s.what = what < 80 ? PUBLISH : what < 90 ? SUBSCRIBE : what < 98 ? UNSUBSCRIBE : LEAVE;
    s.expiry_s = pick(b, 2) * 1000;
    if (s.what == PUBLISH) {
        s.text = topics[pick(b, COUNT_OF(topics))];
        return s;
    }
    s.text = filters[pick(b, pick(b, 3) == 0 ? COUNT_OF(filters) : PLAIN)];
    s.as_published = pick(b, 2) == 0;
    s.no_local = pick(b, 2) == 0 && strncmp(s.text, "$share", 6) != 0; /* MQTT5 [MQTT-3.8.3-4] */
    return s;
}

static void take_step(struct world *w, const struct step *s)
{
    struct conn_io *c = w->clients[s->client];
    struct mqtt_subscription want = { .filter = { span_of_str(s->text) },
                                      .qos = s->qos,
                                      .no_local = s->no_local,
                                      .retain_as_published = s->as_published };
    CLEANUP(buf_done)
    struct buf packet;

    buf_init(&packet, 1000);
    if (c == NULL) {
        come(w, s->client, s->expiry_s);
        return;
    }
    switch (s->what) {
    case PUBLISH:
        client_publish_with(
            c, &(struct publish_wish){
                   .topic = s->text, .payload = "x", .qos = s->qos, .packet_id = s->qos > 0 ? 7 : 0 });
        break;
    case SUBSCRIBE:
        client_subscribe_with(c, want, s->id, 9);
        break;
    case UNSUBSCRIBE:
        mqtt_write_unsubscribe(&packet, MQTT_5, 8, NULL, &want.filter, 1);
        client_send(c, buf_span(&packet));
        break;
    case LEAVE:
        client_drop(c);
        w->clients[s->client] = NULL;
        break;
    }
}

/* Each client's packets, the same on both sides; what wants to be acknowledged is. */
static unsigned compare(struct world w[2], uint64_t seed, unsigned step)
{
    struct mqtt_frame frame[2];
    unsigned came = 0;

    for (unsigned i = 0; i < CLIENTS; i++) {
        struct conn_io *c[2] = { w[0].clients[i], w[1].clients[i] };

        assert_int_equal(c[0] == NULL, c[1] == NULL);
        while (c[0] != NULL && client_next(c[0], &frame[0])) {
            struct mqtt_publish p;

            if (!client_next(c[1], &frame[1]) || frame[0].type != frame[1].type ||
                !span_eq(frame[0].body, frame[1].body))
                fail_msg("seed %llu, step %u: client %u gets something else", (unsigned long long)seed, step,
                         i);
            if (frame[0].type != MQTT_PUBLISH)
                continue;
            came++;
            assert_int_equal(mqtt_read_publish(&frame[0], MQTT_5, &p, NULL), ST_OK);
            for (int k = 0; k < 2 && p.qos == 1; k++)
                client_ack(c[k], MQTT_PUBACK, p.packet_id, 0);
        }
        if (c[0] != NULL)
            expect_nothing(c[1]);
    }
    return came;
}

static void what_is_remembered_changes_nothing(void **state UNUSED)
{
    struct world w[2] = { 0 };
    unsigned came = 0;

    for (int k = 0; k < 2; k++)
        w[k].b = bench_new(1);
    w[1].b->settings.matches_remembered = 0;
    for (uint64_t seed = seeds.first; seed <= seeds.last; seed++) {
        for (int k = 0; k < 2; k++) {
            bench_again(w[k].b, (unsigned)(seed % 3) + 1, false);
            w[k].b->seed = seed;
            memset(w[k].clients, 0, sizeof w[k].clients);
        }
        for (unsigned n = 0; n < STEPS; n++) {
            struct step step[2];

            for (int k = 0; k < 2; k++) { /* each has its own dice, which fall alike */
                step[k] = choose(w[k].b);
                take_step(&w[k], &step[k]);
            }
            assert_int_equal(step[0].what, step[1].what);
            came += compare(w, seed, n);
        }
    }
    assert_true(came > STEPS);
    for (int k = 0; k < 2; k++)
        bench_free(w[k].b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_remembered_changes_nothing) };

    seeds = seeds_of(argc, argv, SEEDS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
