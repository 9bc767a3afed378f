/* Sessions of a client under everything that can happen to it, seeded: connections that break at any byte, a process that
 * dies between any two calls, brokers that lose the session. MQTT5 4.3, 4.4, 4.6, 4.9; the same in 3.1.1. */
#include "client/session_world.h"

#define SEEDS 1500
#define STEPS 160

static void live(struct session_world *w)
{
    for (int step = 0; step < STEPS; step++) {
        switch (chance(&w->chance, 12)) {
        case 0:
            session_world_drop(w);
            break;
        case 1:
            session_world_crash(w);
            break;
        case 2:
        case 3:
            session_world_publish(w);
            break;
        case 4:
            broker_publish(w);
            break;
        case 5:
        case 6:
            session_world_connect(w);
            break;
        default:
            session_world_move(w, false);
        }
    }
}

/* Quiet at last: one connection that holds until nothing is left to do. */
static void settle(struct session_world *w)
{
    session_world_drop(w);
    session_world_connect(w);
    for (int i = 0; i < 600; i++)
        session_world_move(w, true);
    assert_int_equal(engine_pending(w->engine), 0);
    assert_int_equal(w->engine->used.count, 0);
    assert_int_equal(w->engine->unacked.count, 0);
    assert_int_equal(w->engine->received.count, 0);
    assert_true(memory_store_empty(&w->store));
    assert_int_equal(w->broker.open_count, 0);
}

static void each_accepted_message_has_arrived(const struct session_world *w)
{
    for (uint32_t serial = 1; serial <= w->next_serial; serial++) {
        if (w->accepted_qos[serial] == 1) /* MQTT5 4.3.2: at least once */
            assert_true(w->broker.delivered[serial] >= 1);
        else if (w->accepted_qos[serial] == 2) /* MQTT5 4.3.3: exactly once */
            assert_int_equal(w->broker.delivered[serial], 1);
    }
    for (size_t i = 0; i < w->broker.out_count; i++) {
        const struct to_client *m = &w->broker.out[i];
        assert_true(m->done);
        if (m->qos == 1)
            assert_true(w->taken[m->serial] >= 1);
        else if (m->qos == 2)
            assert_int_equal(w->taken[m->serial], 1);
    }
}

static void run_seeds(uint64_t first, void (*prepare)(struct session_world *w),
                      void (*check)(const struct session_world *w), int *ret_resumed)
{
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        struct session_world *w = session_world_new(seed);
        prepare(w);
        live(w);
        settle(w);
        check(w);
        *ret_resumed += w->resumed;
        session_world_free(w);
    }
}

static void nothing_special(struct session_world *w UNUSED)
{
}

static void mqtt_4_4_0_1_qos_1_arrives_at_least_once_and_qos_2_exactly_once_over_broken_connections(
    void **state UNUSED)
{
    int resumed = 0;

    run_seeds(1, nothing_special, each_accepted_message_has_arrived, &resumed);
    assert_true(resumed > SEEDS); /* the test is about continued sessions */
}

static void may_crash(struct session_world *w)
{
    w->crashes = true;
}

static void the_same_when_the_process_dies_and_its_store_is_read_again(void **state UNUSED)
{
    int resumed = 0;

    run_seeds(100001, may_crash, each_accepted_message_has_arrived, &resumed);
    assert_true(resumed > SEEDS);
}

static void acknowledge_by_hand(struct session_world *w)
{
    w->manual = true;
    w->settings.manual_ack = w->engine->settings.manual_ack = true;
}

static void mqtt_4_6_0_2_the_same_with_manual_acknowledgements_in_any_order(void **state UNUSED)
{
    int resumed = 0;

    run_seeds(200001, acknowledge_by_hand, each_accepted_message_has_arrived, &resumed);
    assert_true(resumed > SEEDS);
}

static void broker_forgets(struct session_world *w)
{
    w->lossy = true;
}

/* [MQTT-3.2.2-5]: QoS 1 goes again; of QoS 2 the application hears what nobody can know. */
static void nothing_is_lost_silently(const struct session_world *w)
{
    for (uint64_t id = 1; id <= MESSAGES_MAX; id++) {
        uint32_t serial = w->serial_of_id[id];
        if (serial == 0 || w->accepted_qos[serial] == 0)
            continue;
        assert_int_equal(w->published[id], 1);
        if (w->unknown[id] == 0)
            assert_true(w->broker.delivered[serial] >= 1);
        else
            assert_int_equal(w->accepted_qos[serial], 2);
        if (w->accepted_qos[serial] == 2)
            assert_true(w->broker.delivered[serial] <= 1);
    }
}

static void mqtt_3_2_2_5_a_lost_session_loses_no_qos_1_and_owns_up_about_qos_2(void **state UNUSED)
{
    int resumed = 0;

    run_seeds(300001, broker_forgets, nothing_is_lost_silently, &resumed);
}

static void broker_forgets_and_we_insist(struct session_world *w)
{
    w->lossy = true;
    w->crashes = true;
    w->settings.resend_qos2 = w->engine->settings.resend_qos2 = true;
}

static void everything_arrives(const struct session_world *w)
{
    for (uint32_t serial = 1; serial <= w->next_serial; serial++)
        if (w->accepted_qos[serial] > 0)
            assert_true(w->broker.delivered[serial] >= 1);
}

static void with_resend_qos2_a_lost_session_loses_nothing(void **state UNUSED)
{
    int resumed = 0;

    run_seeds(400001, broker_forgets_and_we_insist, everything_arrives, &resumed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            mqtt_4_4_0_1_qos_1_arrives_at_least_once_and_qos_2_exactly_once_over_broken_connections),
        cmocka_unit_test(the_same_when_the_process_dies_and_its_store_is_read_again),
        cmocka_unit_test(mqtt_4_6_0_2_the_same_with_manual_acknowledgements_in_any_order),
        cmocka_unit_test(mqtt_3_2_2_5_a_lost_session_loses_no_qos_1_and_owns_up_about_qos_2),
        cmocka_unit_test(with_resend_qos2_a_lost_session_loses_nothing),
    };
    return cmocka_run_group_tests_name("client_session", tests, NULL, NULL);
}
