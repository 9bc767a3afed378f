/* tests/support/packet_vectors.h - the rows of tests/vectors/mqtt (see its README) for C tests. */
#ifndef SYMBOLON_TESTS_SUPPORT_PACKET_VECTORS_H
#define SYMBOLON_TESTS_SUPPORT_PACKET_VECTORS_H

#include "mqtt/packet.h"

#include "support/vectors.h"

#define PACKET_VECTOR_ROOM (512u * 1024)

struct packet_vector {
    const struct js *js;
    const char *id; /* not terminated: for %.*s with id_len */
    int id_len;
    enum mqtt_version version;
    enum mqtt_side from;
    struct span bytes;
};

#define CHECK(row, condition)                                                   \
    do {                                                                        \
        if (!(condition))                                                       \
            fail_msg("%.*s: not so: %s", (row)->id_len, (row)->id, #condition); \
    } while (0)

/* "30 61*65535": hexadecimal, and bytes many times over. */
static inline void packet_vector_unhex(struct span text, struct buf *out)
{
    for (size_t at = 0; at < text.len;) {
        size_t end = span_find(text, ' ', at);
        struct span part = span_cut(text, at, end - at);
        size_t star = span_find(part, '*', 0);
        size_t times = star < part.len ? 0 : 1;

        for (size_t i = star + 1; i < part.len; i++)
            times = times * 10 + (size_t)(part.p[i] - '0');
        assert_true(times <= UINT16_MAX && star % 2 == 0);
        for (size_t n = 0; n < times; n++)
            for (size_t i = 0; i < star; i += 2)
                put_u8(out, (uint8_t)(vector_nibble(part.p[i]) << 4 | vector_nibble(part.p[i + 1])));
        at = end + 1;
    }
    assert_true(buf_ok(out));
}

static inline struct packet_vector packet_vector_of(const struct js *js, struct buf *bytes)
{
    struct span id = vector_str(js, "id");

    buf_reset(bytes);
    packet_vector_unhex(vector_str(js, "hex"), bytes);
    return (struct packet_vector){
        .js = js,
        .id = (const char *)id.p,
        .id_len = (int)id.len,
        .version = span_eq_str(vector_str(js, "version"), "5.0") ? MQTT_5 : MQTT_3_1_1,
        .from = span_eq_str(vector_str(js, "from"), "client") ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER,
        .bytes = buf_span(bytes),
    };
}

static inline bool packet_vector_is(const struct packet_vector *row, const char *name)
{
    bool set = false;
    return js_get_bool(row->js, name, &set) && set;
}

static inline bool packet_vector_has(const struct packet_vector *row, const struct js *codes, unsigned code)
{
    char text[16];

    (void)snprintf(text, sizeof text, "0x%02x", code);
    for (size_t i = 0; i < js_size(codes); i++) {
        struct span allowed;
        CHECK(row, js_as_str(js_at(codes, i), &allowed));
        if (span_eq_str(allowed, text))
            return true;
    }
    return false;
}

/* What the other side is told. A CONNECT of an unknown version is answered in the words of 5.0. */
static inline bool packet_vector_allows(const struct packet_vector *row, const char *member, enum status st)
{
    const struct js *codes = js_get(row->js, member);
    unsigned code = status_mqtt5_code(st);
    enum mqtt3_return_code code3;

    if (row->version == MQTT_3_1_1 && js_size(codes) == 0)
        return true; /* closed without a word */
    if (packet_vector_has(row, codes, code))
        return true;
    return row->version == MQTT_3_1_1 && mqtt3_code_of((uint8_t)code, &code3) &&
           packet_vector_has(row, codes, code3);
}

/* Runs each row of each file that `from` sends; returns how many. */
static inline size_t packet_vectors_run(enum mqtt_side from, void (*run)(const struct packet_vector *row))
{
    /* clang-format off */
    static const char *const files[] = {
        "connect", "connack", "publish", "puback", "pubrec", "pubrel", "pubcomp", "subscribe", "suback", "unsubscribe",
        "unsuback", "pingreq", "pingresp", "disconnect", "auth", "reserved",
    };
    /* clang-format on */
    CLEANUP(buf_done)
    struct buf bytes;
    char path[64];
    size_t count = 0;

    buf_init(&bytes, PACKET_VECTOR_ROOM);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        (void)snprintf(path, sizeof path, "mqtt/%s.json", files[i]);
        struct js *rows = vectors_load(path);
        for (size_t k = 0; k < js_size(rows); k++) {
            struct packet_vector row = packet_vector_of(js_at(rows, k), &bytes);
            if (row.from == from) {
                run(&row);
                count++;
            }
        }
        js_unref(rows);
    }
    return count;
}

#endif
