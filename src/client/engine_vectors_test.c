/* Every packet vector that a server can send (tests/vectors/mqtt), given to the engine: a wrong one ends the session, with the
 * reason code the standard names in DISCONNECT [MQTT-4.13.1-1], and nothing of it reaches the application. */
#include "client/engine_world.h"

#include "support/packet_vectors.h"

#include <string.h>

/* Connected, unless the row is about CONNACK. */
static struct world *begin(const struct packet_vector *row)
{
    struct engine_settings settings = plain;
    struct world *w;

    settings.version = row->version;
    w = world_new(&settings);
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    if (row->bytes.p[0] >> 4 == MQTT_CONNACK)
        return w;
    if (row->version == MQTT_5)
        give_connack(w, false, 0, NULL);
    else
        give_bytes(w, "\x20\x02\x00\x00", 4);
    CHECK(row, w->connected == 1);
    return w;
}

/* The code of the one DISCONNECT that was sent; -1: none was. */
static int said(const struct packet_vector *row, struct world *w)
{
    struct mqtt_frame frame;
    int code = -1;

    while (next_sent(w, &frame)) {
        if (frame.type != MQTT_DISCONNECT)
            continue;
        CHECK(row, code == -1);
        code = frame.body.len > 0 ? frame.body.p[0] : 0;
    }
    return code;
}

static void wrong(const struct packet_vector *row, struct world *w)
{
    int code = said(row, w);

    CHECK(row, w->messages == 0 && w->subscribed == 0 && w->published == 0 && w->challenged == 0);
    CHECK(row, w->ended == 1);
    if (row->version == MQTT_3_1_1) {
        CHECK(row, code <= 0); /* no codes: closed, with the DISCONNECT of a client or without */
        return;
    }
    if (w->connected == 0) /* a CONNACK: there is no session to end yet, and closing says enough */
        CHECK(row, code == -1 || code >= MQTT_UNSPECIFIED_ERROR);
    else
        CHECK(row, code >= MQTT_UNSPECIFIED_ERROR);
    if (code >= 0 && !packet_vector_has(row, js_get(row->js, "error"), (unsigned)code))
        fail_msg("%.*s: DISCONNECT 0x%02x", row->id_len, row->id, code);
}

/* By itself it is right: it may be out of place, or more than was agreed, but malformed it is not called. */
static void right(const struct packet_vector *row, struct world *w)
{
    int code = said(row, w);

    if (js_get(row->js, "may_refuse") == NULL && js_get(row->js, "length") == NULL)
        CHECK(row, code != MQTT_MALFORMED_PACKET);
    CHECK(row, w->messages <= 2);
}

static void run_row(const struct packet_vector *row)
{
    struct world *w = begin(row);

    give_bytes(w, row->bytes.p, row->bytes.len);
    if (packet_vector_is(row, "incomplete")) {
        int code = said(row, w);
        CHECK(row, w->messages == 0 && (code == -1 || code == MQTT_PACKET_TOO_LARGE));
    } else if (js_get(row->js, "ok") != NULL) {
        right(row, w);
    } else if (!packet_vector_is(row, "may_accept")) {
        wrong(row, w);
    }
    world_free(w);
}

static void wrong_packets_end_the_session_with_the_code_of_the_standard(void **state UNUSED)
{
    assert_true(packet_vectors_run(MQTT_FROM_SERVER, run_row) >= 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_packets_end_the_session_with_the_code_of_the_standard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
