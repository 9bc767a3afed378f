#include "cli/format.h"

#include "base/utf8.h"
#include "codec/json.h"

#include <stdio.h>

#define LETTERS "tpxXlqrmUIjJCDERP%"
#define ESCAPES "ntr\\\"ae0"
#define ESCAPED "\n\t\r\\\"\a\033\0"

bool format_check(const char *format, size_t *ret_at)
{
    for (const char *c = format; *c != '\0'; c++) {
        if (*c != '%' && *c != '\\')
            continue;
        const char *known = *c == '%' ? LETTERS : ESCAPES;
        if (c[1] == '\0' || strchr(known, c[1]) == NULL) {
            *ret_at = (size_t)(c - format);
            return false;
        }
        c++;
    }
    return true;
}

static struct span bytes(struct symbolon_bytes b)
{
    return span_of(b.p, b.len);
}

static void put_hex(struct buf *out, struct span s, const char *format)
{
    for (size_t i = 0; i < s.len; i++) {
        char hex[3];
        snprintf(hex, sizeof hex, format[0] == 'X' ? "%02X" : "%02x", s.p[i]);
        put_str(out, hex);
    }
}

static void put_iso(struct buf *out, struct timespec now)
{
    char text[40], zone[8];
    struct tm tm;

    localtime_r(&now.tv_sec, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    strftime(zone, sizeof zone, "%z", &tm);
    put_fmt(out, "%s.%06ld%s", text, now.tv_nsec / 1000, zone);
}

static enum status set_payload(struct js *obj, const struct symbolon_message *m, bool as_json)
{
    CLEANUP(buf_done)
    struct buf hex = { .max = SIZE_MAX / 4 };
    struct span payload = bytes(m->payload);
    struct js *value = NULL;

    if (as_json) {
        enum status st = js_parse(payload, payload.len, &value, NULL);
        return st == ST_OK ? js_set_take(obj, "payload", value) : st;
    }
    if (utf8_valid_mqtt(payload))
        return js_set_str(obj, "payload", payload);
    put_hex(&hex, payload, "x");
    return buf_ok(&hex) ? js_set_str(obj, "payload_hex", buf_span(&hex)) : ST_NO_MEMORY;
}

static enum status put_json(struct buf *out, const struct symbolon_message *m, struct timespec now,
                            bool as_json)
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    CLEANUP(buf_done)
    struct buf time = { .max = 64 };

    put_iso(&time, now);
    enum status st = js_set_str(obj, "tst", buf_span(&time));
    if (st == ST_OK)
        st = js_set_str(obj, "topic", bytes(m->topic));
    if (st == ST_OK)
        st = js_set_i64(obj, "qos", m->qos);
    if (st == ST_OK)
        st = js_set_i64(obj, "retain", m->retain ? 1 : 0);
    if (st == ST_OK)
        st = js_set_i64(obj, "payloadlen", (int64_t)m->payload.len);
    if (st == ST_OK && m->qos > 0)
        st = js_set_i64(obj, "mid", m->packet_id);
    if (st == ST_OK)
        st = set_payload(obj, m, as_json);
    return st == ST_OK ? js_print(obj, out) : st;
}

static void put_user_properties(struct buf *out, const struct symbolon_message *m)
{
    for (size_t i = 0; i < m->user_property_count; i++) {
        put_str(out, i == 0 ? "" : " ");
        put_bytes(out, bytes(m->user_properties[i].name));
        put_str(out, ":");
        put_bytes(out, bytes(m->user_properties[i].value));
    }
}

static enum status put_field(struct buf *out, const char *letter, const struct symbolon_message *m,
                             struct timespec now)
{
    switch (*letter) {
    case 't':
        put_bytes(out, bytes(m->topic));
        break;
    case 'p':
        put_bytes(out, bytes(m->payload));
        break;
    case 'x':
    case 'X':
        put_hex(out, bytes(m->payload), letter);
        break;
    case 'l':
        put_fmt(out, "%zu", m->payload.len);
        break;
    case 'q':
        put_fmt(out, "%u", m->qos);
        break;
    case 'r':
        put_str(out, m->retain ? "1" : "0");
        break;
    case 'm':
        put_fmt(out, "%u", m->packet_id);
        break;
    case 'U':
        put_fmt(out, "%lld.%09ld", (long long)now.tv_sec, now.tv_nsec);
        break;
    case 'I':
        put_iso(out, now);
        break;
    case 'j':
    case 'J':
        return put_json(out, m, now, *letter == 'J');
    case 'C':
        put_bytes(out, bytes(m->content_type));
        break;
    case 'D':
        put_hex(out, bytes(m->correlation_data), "x");
        break;
    case 'E':
        if (m->has_expiry)
            put_fmt(out, "%u", m->expiry_s);
        break;
    case 'R':
        put_bytes(out, bytes(m->response_topic));
        break;
    case 'P':
        put_user_properties(out, m);
        break;
    default:
        put_str(out, "%");
    }
    return ST_OK;
}

enum status format_message(const char *format, const struct symbolon_message *message, struct timespec now,
                           struct buf *out)
{
    for (const char *c = format; *c != '\0'; c++) {
        if (*c == '%') {
            enum status st = put_field(out, ++c, message, now);
            if (st != ST_OK)
                return st;
        } else if (*c == '\\') {
            c++;
            put_u8(out, (uint8_t)ESCAPED[strchr(ESCAPES, *c) - ESCAPES]);
        } else {
            put_u8(out, (uint8_t)*c);
        }
    }
    return buf_ok(out) ? ST_OK : ST_NO_MEMORY;
}
