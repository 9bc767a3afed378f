#include "base/log.h"

#include "base/buf.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_BYTES  4096u /* a longer line is cut: a peer must not choose how much we log */
#define LOG_VALUE_BYTES 256u

static const char *const level_names[] = { "error", "warning", "notice", "info", "debug" };

static _Atomic int threshold = LOG_NOTICE;
static void (*sink_fn)(void *ctx, enum log_level level, struct span line);
static void *sink_ctx;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

void log_set_sink(void (*sink)(void *ctx, enum log_level level, struct span line), void *ctx)
{
    sink_fn = sink;
    sink_ctx = ctx;
}

bool log_wanted(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

static bool plain(struct span s)
{
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != 0 && strchr("_.:/@+-", c) != NULL)))
            return false;
    }
    return true;
}

static void put_quoted(struct buf *b, struct span s)
{
    put_u8(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];
        if (c == '"' || c == '\\')
            put_fmt(b, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            put_fmt(b, "\\u%04x", c);
        else
            put_u8(b, c);
    }
    put_u8(b, '"');
}

/* At least `width` digits. In whole pieces, as everything here: what a full line cuts off must not look whole. Not by
 * vsnprintf(): the two lines of a login and its end cost more than all else our own code did in it. */
static void put_number(struct buf *b, int64_t v, size_t width)
{
    char text[24];
    size_t at = sizeof text;
    uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;

    do {
        text[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0 || sizeof text - at < width);
    if (v < 0)
        text[--at] = '-';
    put_bytes(b, span_of(text + at, sizeof text - at));
}

static void put_hex(struct buf *b, struct span bytes)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < bytes.len; i++) {
        const char pair[2] = { digits[bytes.p[i] >> 4], digits[bytes.p[i] & 15] };
        put_bytes(b, span_of(pair, sizeof pair));
    }
}

static void put_field(struct buf *b, const struct log_field *f)
{
    struct span shown = span_cut(f->bytes, 0, LOG_VALUE_BYTES);

    if (f->kind == FIELD_NONE || f->name == NULL)
        return;
    put_str(b, " ");
    put_str(b, f->name);
    put_str(b, "=");
    if (f->kind == FIELD_I64)
        put_number(b, f->number, 1);
    else if (f->kind == FIELD_HEX)
        put_hex(b, shown);
    else if (plain(shown))
        put_bytes(b, shown);
    else
        put_quoted(b, shown);
}

static void put_inherited(struct buf *b, const struct log *log)
{
    if (log == NULL)
        return;
    put_inherited(b, log->parent); /* depth is ours: worker, connection, session */
    if (log->own_fields == NULL)
        return;
    struct log_field own[LOG_OWN_FIELDS] = { 0 };
    log->own_fields(log, own);
    for (size_t i = 0; i < LOG_OWN_FIELDS; i++)
        put_field(b, &own[i]);
}

/* -- limits ---------------------------------------------------------------------------------------------- */

#define SECOND_MS        1000
#define LOG_SOURCE_SHARE 4

static struct log_limit *limit_of(const struct log *log)
{
    for (; log != NULL; log = log->parent)
        if (log->limit != NULL)
            return log->limit;
    return NULL;
}

static struct span source_of(const struct log *log)
{
    for (; log != NULL; log = log->parent)
        if (log->source.len > 0)
            return log->source;
    return SPAN_NONE;
}

static void begin_second(struct log_limit *limit, struct mono_time now)
{
    limit->began = now;
    memset(limit->sources, 0, sizeof limit->sources);
    for (size_t i = 0; i < LOG_LIMIT_EVENTS; i++)
        limit->events[i].lines = 0;
}

/* Whether this source has not had its share of the event; counts the line. */
static bool has_share(struct log_limit *limit, size_t event, struct span source)
{
    const struct hash_key key = { { limit->key.k[0], limit->key.k[1] ^ event } };
    uint64_t hash = siphash(key, source);
    uint32_t share = limit->per_s / LOG_SOURCE_SHARE > 0 ? limit->per_s / LOG_SOURCE_SHARE : 1;
    bool room = false;

    for (int row = 0; row < LOG_LIMIT_ROWS; row++, hash >>= 32) {
        uint16_t *lines = &limit->sources[row][hash % LOG_LIMIT_SOURCES];
        room |= *lines < share;
        if (*lines < UINT16_MAX)
            ++*lines;
    }
    return room;
}

bool log_limit_pass(struct log_limit *limit, const char *event, struct span source, struct mono_time now)
{
    size_t i = 0;

    if (limit->per_s == 0)
        return true;
    if (now.ms - limit->began.ms >= SECOND_MS)
        begin_second(limit, now);
    while (i < LOG_LIMIT_EVENTS && limit->events[i].event != NULL && strcmp(limit->events[i].event, event) != 0)
        i++;
    if (i == LOG_LIMIT_EVENTS)
        return true;
    limit->events[i].event = event;
    if ((source.len == 0 || has_share(limit, i, source)) && limit->events[i].lines < limit->per_s) {
        limit->events[i].lines++;
        return true;
    }
    limit->events[i].suppressed++;
    limit->suppressed = true;
    return false;
}

static bool passes(const struct log *log, enum log_level level, const char *event)
{
    struct log_limit *limit = level == LOG_ERROR || level == LOG_DEBUG ? NULL : limit_of(log);
    struct timespec t;

    if (limit == NULL)
        return true;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return log_limit_pass(limit, event, source_of(log),
                          (struct mono_time){ (int64_t)t.tv_sec * SECOND_MS + t.tv_nsec / 1000000 });
}

void log_tell_suppressed(const struct log *log)
{
    struct log_limit *limit = log->limit;
    struct log_limit none = { 0 };
    struct log unlimited = { .parent = log,
                             .limit = &none }; /* its fields are told where it is, not of a copy */

    for (size_t i = 0; i < LOG_LIMIT_EVENTS; i++) {
        if (limit->events[i].suppressed == 0)
            continue;
        log_event(&unlimited, LOG_WARNING, "log_suppressed", F_STR("event", limit->events[i].event),
                  F_I64("count", limit->events[i].suppressed), F_STR("clause", "log_rate"));
        limit->events[i].suppressed = 0;
    }
    limit->suppressed = false;
}

/* -- lines ----------------------------------------------------------------------------------------------- */

static void put_timestamp(struct buf *b)
{
    struct timespec t;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    put_number(b, tm.tm_year + 1900, 4);
    put_str(b, "-");
    put_number(b, tm.tm_mon + 1, 2);
    put_str(b, "-");
    put_number(b, tm.tm_mday, 2);
    put_str(b, "T");
    put_number(b, tm.tm_hour, 2);
    put_str(b, ":");
    put_number(b, tm.tm_min, 2);
    put_str(b, ":");
    put_number(b, tm.tm_sec, 2);
    put_str(b, ".");
    put_number(b, t.tv_nsec / 1000000, 3);
    put_str(b, "Z");
}

void log_write(const struct log *log, enum log_level level, const char *event, const struct log_field *fields)
{
    uint8_t bytes[LOG_LINE_BYTES];
    struct buf line = { .p = bytes, .cap = sizeof bytes, .max = sizeof bytes }; /* never grows, nor is freed: */

    if (!passes(log, level, event)) /* that there is no memory is worth a line, too */
        return;
    put_timestamp(&line);
    put_str(&line, " ");
    put_str(&line, level_names[level]);
    put_str(&line, " ");
    put_str(&line, event);
    put_inherited(&line, log);
    for (; fields->name != NULL; fields++)
        put_field(&line, fields);
    line.failed = false; /* cut at the limit: still worth its end of line */
    if (line.len == line.max)
        line.len--;
    put_u8(&line, '\n');
    if (sink_fn != NULL) {
        sink_fn(sink_ctx, level, span_of(line.p, line.len - 1));
    } else {
        ssize_t done UNUSED = write(STDERR_FILENO, line.p, line.len);
    }
}
