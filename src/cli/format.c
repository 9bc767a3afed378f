#include "cli/format.h"

#include "base/utf8.h"
#include "codec/json.h"

#include <stdio.h>

#define LETTERS   "ACDEFIJPRSUXjlmpqrtx%"
#define PADDED    "ACEFIRSXlmptx" /* with a width */
#define ZEROES    "AEFSXlmx"      /* padded with zeroes, if wanted */
#define CUT       "CIRt"          /* with a maximum width */
#define OPTIONAL  "AEFRS"         /* properties: no padding where there is none, as mosquitto_sub does it */
#define ESCAPES   "ntrv\\\"ae0"
#define ESCAPED   "\n\t\r\v\\\"\a\033\0"
#define WIDTH_MAX 10000

/* %[-][0][width][.most]letter */
struct field {
    bool left, zeroes, cut;
    size_t width, most;
    char letter;
};

static const char *parse_number(const char *c, size_t *ret)
{
    *ret = 0;
    for (; *c >= '0' && *c <= '9'; c++)
        *ret = *ret > WIDTH_MAX ? *ret : *ret * 10 + (size_t)(*c - '0');
    return c;
}

/* Behind the %; NULL: no such thing. */
static const char *parse_field(const char *c, struct field *out)
{
    const char *start = c;

    *out = (struct field){ 0 };
    for (; *c == '-' || *c == '0'; c++) {
        out->left = out->left || *c == '-';
        out->zeroes = out->zeroes || *c == '0';
    }
    c = parse_number(c, &out->width);
    if (*c == '.') {
        out->cut = true;
        c = parse_number(c + 1, &out->most);
    }
    out->letter = *c;
    if (*c == '\0' || strchr(LETTERS, *c) == NULL || out->width > WIDTH_MAX || out->most > WIDTH_MAX)
        return NULL;
    if ((c != start && strchr(PADDED, *c) == NULL) || (out->cut && strchr(CUT, *c) == NULL))
        return NULL;
    return c + 1;
}

bool format_check(const char *format, size_t *ret_at)
{
    struct field field;

    for (const char *c = format, *next; *c != '\0'; c = next) {
        next = c + 1;
        if (*c == '%')
            next = parse_field(c + 1, &field);
        else if (*c == '\\')
            next = c[1] != '\0' && strchr(ESCAPES, c[1]) != NULL ? c + 2 : NULL;
        else if (*c == '@')
            next = c[1] != '\0' ? c + 2 : NULL;
        if (next == NULL) {
            *ret_at = (size_t)(c - format);
            return false;
        }
    }
    return true;
}

static struct span bytes(struct symbolon_bytes b)
{
    return span_of(b.p, b.len);
}

static void put_hex(struct buf *out, struct span s, char letter)
{
    for (size_t i = 0; i < s.len; i++) {
        char hex[3];
        snprintf(hex, sizeof hex, letter == 'X' ? "%02X" : "%02x", s.p[i]);
        put_str(out, hex);
    }
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* that the user writes the format is the point of @X */
static void put_time(struct buf *out, const char *format, struct timespec now)
{
    char text[256];
    struct tm tm;

    localtime_r(&now.tv_sec, &tm);
    size_t len = strftime(text, sizeof text, format, &tm);
    put_bytes(out, span_of(text, len));
}
#pragma GCC diagnostic pop

/* @X is strftime's %X, @N the nanoseconds. */
static void put_strftime(struct buf *out, char letter, struct timespec now)
{
    const char format[] = { '%', letter, '\0' };

    if (letter == '@')
        put_str(out, "@");
    else if (letter == 'N')
        put_fmt(out, "%09ld", now.tv_nsec);
    else
        put_time(out, format, now);
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
    put_hex(&hex, payload, 'x');
    return buf_ok(&hex) ? js_set_str(obj, "payload_hex", buf_span(&hex)) : ST_NO_MEMORY;
}

static enum status set_text(struct js *obj, const char *name, struct symbolon_bytes text)
{
    return text.p == NULL ? ST_OK : js_set_str(obj, name, bytes(text));
}

static enum status set_binary(struct js *obj, const char *name, struct symbolon_bytes data)
{
    CLEANUP(buf_done)
    struct buf hex = { .max = 2 * UINT16_MAX + 1 };

    if (data.p == NULL)
        return ST_OK;
    if (utf8_valid_mqtt(bytes(data)))
        return js_set_str(obj, name, bytes(data));
    put_hex(&hex, bytes(data), 'x');
    return buf_ok(&hex) ? js_set_str(obj, name, buf_span(&hex)) : ST_NO_MEMORY;
}

/* An object as mosquitto_sub makes it; values of a name that comes more than once become an array. */
static enum status add_user_property(struct js *obj, const char *name, struct span value)
{
    const struct js *there = js_get(obj, name);
    CLEANUP(js_unrefp)
    struct js *list = js_is(there, JS_ARRAY) ? js_ref(there) : NULL;
    struct span first;

    if (there == NULL)
        return js_set_str(obj, name, value);
    if (list != NULL)
        return js_append_str(list, value);
    list = js_new_array();
    enum status st = js_as_str(there, &first) ? js_append_str(list, first) : ST_INTERNAL;
    if (st == ST_OK)
        st = js_append_str(list, value);
    return st == ST_OK ? js_set_take(obj, name, TAKE(list)) : st;
}

static enum status set_user_properties(struct js *obj, const struct symbolon_message *m)
{
    struct js *all = m->user_property_count > 0 ? js_new_object() : NULL;
    enum status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < m->user_property_count; i++) {
        CLEANUP(freep)
        char *name = span_dup_str(bytes(m->user_properties[i].name));
        st = name == NULL ? ST_NO_MEMORY : add_user_property(all, name, bytes(m->user_properties[i].value));
    }
    if (m->user_property_count > 0 && st == ST_OK)
        return js_set_take(obj, "user-properties", all);
    js_unref(all);
    return st;
}

static enum status set_properties(struct js *obj, const struct symbolon_message *m)
{
    struct js *p = js_new_object();
    bool any = m->topic_alias > 0 || m->content_type.p != NULL || m->correlation_data.p != NULL ||
               m->has_expiry || m->payload_is_utf8 || m->response_topic.p != NULL ||
               m->subscription_id_count > 0 || m->user_property_count > 0;
    enum status st = ST_OK;

    if (m->payload_is_utf8)
        st = js_set_i64(p, "payload-format-indicator", 1);
    if (st == ST_OK && m->has_expiry)
        st = js_set_i64(p, "message-expiry-interval", m->expiry_s);
    if (st == ST_OK)
        st = set_text(p, "content-type", m->content_type);
    if (st == ST_OK)
        st = set_text(p, "response-topic", m->response_topic);
    if (st == ST_OK)
        st = set_binary(p, "correlation-data", m->correlation_data);
    if (st == ST_OK && m->subscription_id_count > 0)
        st = js_set_i64(p, "subscription-identifier", m->subscription_ids[0]);
    if (st == ST_OK && m->topic_alias > 0)
        st = js_set_i64(p, "topic-alias", m->topic_alias);
    if (st == ST_OK)
        st = set_user_properties(p, m);
    if (st != ST_OK || !any) {
        js_unref(p);
        return st;
    }
    return js_set_take(obj, "properties", p);
}

static enum status put_json(struct buf *out, const struct symbolon_message *m, struct timespec now,
                            bool as_json, bool pretty)
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    CLEANUP(buf_done)
    struct buf time = { .max = 64 };

    put_time(&time, "%Y-%m-%dT%H:%M:%S", now);
    put_fmt(&time, ".%06ld", now.tv_nsec / 1000);
    put_time(&time, "%z", now);
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
        st = set_properties(obj, m);
    if (st == ST_OK)
        st = set_payload(obj, m, as_json);
    if (st != ST_OK)
        return st;
    return pretty ? js_print_pretty(obj, out) : js_print(obj, out);
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

static void put_value(struct buf *out, char letter, const struct symbolon_message *m, struct timespec now)
{
    switch (letter) {
    case 'A':
        if (m->topic_alias > 0)
            put_fmt(out, "%u", m->topic_alias);
        break;
    case 'C':
        put_bytes(out, bytes(m->content_type));
        break;
    case 'D':
        put_bytes(out, bytes(m->correlation_data));
        break;
    case 'E':
        if (m->has_expiry)
            put_fmt(out, "%u", m->expiry_s);
        break;
    case 'F':
        if (m->payload_is_utf8)
            put_str(out, "1");
        break;
    case 'I':
        put_time(out, "%Y-%m-%dT%H:%M:%S%z", now);
        break;
    case 'P':
        put_user_properties(out, m);
        break;
    case 'R':
        put_bytes(out, bytes(m->response_topic));
        break;
    case 'S':
        if (m->subscription_id_count > 0)
            put_fmt(out, "%u", m->subscription_ids[0]);
        break;
    case 'U':
        put_fmt(out, "%lld.%09ld", (long long)now.tv_sec, now.tv_nsec);
        break;
    case 'X':
    case 'x':
        put_hex(out, bytes(m->payload), letter);
        break;
    case 'l':
        put_fmt(out, "%zu", m->payload.len);
        break;
    case 'm':
        put_fmt(out, "%u", m->packet_id);
        break;
    case 'p':
        put_bytes(out, bytes(m->payload));
        break;
    case 'q':
        put_fmt(out, "%u", m->qos);
        break;
    case 'r':
        put_str(out, m->retain ? "1" : "0");
        break;
    case 't':
        put_bytes(out, bytes(m->topic));
        break;
    default:
        put_str(out, "%");
    }
}

/* What stands behind `start` in `out` cannot command a terminal. Bytes that are no UTF-8 stay what they are; of C1 controls
 * terminals know both spellings. */
static void tame(struct buf *out, size_t start, bool lines)
{
    if (!buf_ok(out))
        return;
    bool utf8 = utf8_valid(span_cut(buf_span(out), start, out->len));
    for (size_t i = start; i < out->len; i++) {
        uint8_t *c = &out->p[i];
        if ((*c < 0x20 && !(lines && (*c == '\n' || *c == '\t'))) || *c == 0x7f ||
            (!utf8 && *c >= 0x80 && *c < 0xa0))
            *c = '?';
        else if (*c == 0xc2 && i + 1 < out->len && c[1] < 0xa0)
            c[0] = c[1] = '?';
    }
}

/* What stands behind `start` in `out` is brought to the width asked for. */
static void pad(struct buf *out, size_t start, const struct field *f)
{
    if (!buf_ok(out) || (out->len == start && strchr(OPTIONAL, f->letter) != NULL))
        return;
    size_t len = out->len - start;
    if (f->cut && len > f->most) {
        buf_truncate(out, start + f->most);
        len = f->most;
    }
    size_t missing = len < f->width ? f->width - len : 0;
    if (missing == 0 || buf_room(out, missing) == NULL)
        return;
    char with = f->zeroes && !f->left && strchr(ZEROES, f->letter) != NULL ? '0' : ' ';
    if (!f->left)
        memmove(out->p + start + missing, out->p + start, len);
    memset(out->p + start + (f->left ? len : 0), with, missing);
    buf_added(out, missing);
}

enum status format_message(const char *format, bool pretty, enum format_for reader,
                           const struct symbolon_message *message, struct timespec now, struct buf *out)
{
    struct field field;

    for (const char *c = format; *c != '\0';) {
        if (*c == '%') {
            size_t start = out->len;
            c = parse_field(c + 1, &field);
            if (field.letter == 'j' || field.letter == 'J') {
                enum status st = put_json(out, message, now, field.letter == 'J', pretty);
                if (st != ST_OK)
                    return st;
                if (reader == FORMAT_TERMINAL)
                    tame(out, start, true);
                continue;
            }
            put_value(out, field.letter, message, now);
            if (reader == FORMAT_TERMINAL)
                tame(out, start, field.letter == 'p');
            pad(out, start, &field);
        } else if (*c == '\\') {
            put_u8(out, (uint8_t)ESCAPED[strchr(ESCAPES, c[1]) - ESCAPES]);
            c += 2;
        } else if (*c == '@') {
            put_strftime(out, c[1], now);
            c += 2;
        } else {
            put_u8(out, (uint8_t)*c++);
        }
    }
    return buf_ok(out) ? ST_OK : ST_NO_MEMORY;
}
