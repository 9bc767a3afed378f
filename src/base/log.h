/* base/log.h - a log line is an event with fields.
 *   log_event(conn->log, LOG_NOTICE, "token_rejected", F_STR("clause", why.clause), F_I64("exp", exp));
 * A `struct log` tells fields of its own (connection number, client id) and inherits its parent's. Event
 * names are stable. Never a token, key, password or payload: name a token by jti or thumbprint. Lines are
 *   2026-01-02T03:04:05.678Z notice token_rejected conn=7 client_id=sensor-1 clause="MT-65" exp=1767323045
 * Values with anything but [A-Za-z0-9_.:/@+-] are quoted as JSON strings; control bytes never reach the output.
 * Threads: a line leaves in one write; any thread may log. The sink and level are set once at start. */
#ifndef SYMBOLON_BASE_LOG_H
#define SYMBOLON_BASE_LOG_H

#include "base/clock.h"
#include "base/span.h"
#include "base/status.h"
#include "base/table.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

enum log_field_kind { FIELD_NONE, FIELD_SPAN, FIELD_I64, FIELD_HEX };

struct log_field {
    const char *name;
    enum log_field_kind kind;
    struct span bytes;
    int64_t number;
};

#define F_STR(n, str)   ((struct log_field){ (n), FIELD_SPAN, span_of_str(str), 0 })
#define F_SPAN(n, span) ((struct log_field){ (n), FIELD_SPAN, (span), 0 })
#define F_HEX(n, span)  ((struct log_field){ (n), FIELD_HEX, (span), 0 })
#define F_I64(n, v)     ((struct log_field){ (n), FIELD_I64, SPAN_NONE, (int64_t)(v) })
/* The three of them that every refusal carries. */
#define F_WHY(st, why) F_STR("status", status_name(st)), F_STR("clause", (why).clause), F_STR("why", (why).text)

/* So that no peer fills the disk: of each event at most `per_s` lines in a second, the rest counted, and the count
 * written later. One source (`struct log`) gets a quarter of them, so that it cannot have all and hide what others do.
 * Errors and debug lines are not counted. Belongs to one thread; hangs at a log whose heirs are used on that thread
 * only. All zero is one without a limit. */
#define LOG_LIMIT_EVENTS 32
/* Lines of an event and a source are counted in one place of each row, which hashing chooses; the lower count is never
 * too low, and too high only where both places are shared with a loud one. */
#define LOG_LIMIT_ROWS    2
#define LOG_LIMIT_SOURCES 512

struct log_limit {
    uint32_t per_s;         /* 0: no limit */
    struct hash_key key;    /* random, so that nobody chooses whose places to share */
    struct mono_time began; /* of the second that `lines` counts */
    bool suppressed;        /* something is still to be told */
    struct {
        const char *event;
        uint32_t lines;
        uint64_t suppressed;
    } events[LOG_LIMIT_EVENTS]; /* more different ones are not limited */
    uint16_t sources[LOG_LIMIT_ROWS][LOG_LIMIT_SOURCES];
};

/* Whether a line of this event may be written now; counts it either way. `source` may be empty. */
bool log_limit_pass(struct log_limit *limit, const char *event, struct span source, struct mono_time now);

#define LOG_OWN_FIELDS 3

struct log;
/* Fills in the fields of whatever `log` is a part of, as they are now; all are FIELD_NONE before. There is a log for each
 * connection, and a line seldom: nothing is kept for it. */
typedef void log_own_fields(const struct log *log, struct log_field own[LOG_OWN_FIELDS]);

struct log {
    const struct log *parent;
    struct log_limit *limit;    /* NULL: the parent's */
    struct span source;         /* whose doing it is: an address; empty: the parent's */
    log_own_fields *own_fields; /* NULL: it has none */
};

void log_set_level(enum log_level level);
/* NULL restores the default, standard error. For tests that read what was logged. */
void log_set_sink(void (*sink)(void *ctx, enum log_level level, struct span line), void *ctx);
bool log_wanted(enum log_level level);

/* `log` may be NULL. */
#define log_event(log, level, event, ...)                                                                      \
    do {                                                                                                       \
        if (log_wanted(level))                                                                                 \
            log_write((log), (level), (event), (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } }); \
    } while (0)

/* One log_suppressed for each event with lines that were left out since the last time. `log` has a limit of its own. */
void log_tell_suppressed(const struct log *log);

void log_write(const struct log *log, enum log_level level, const char *event, const struct log_field *fields);

#endif
