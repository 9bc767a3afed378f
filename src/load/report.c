#include "load/report.h"

#include <stdarg.h>
#include <stdio.h>

static uint64_t per_s(uint64_t count, double seconds)
{
    return seconds <= 0 ? 0 : (uint64_t)((double)count / seconds + 0.5);
}

static bool has_subs(const struct load_settings *s)
{
    return s->mode != LOAD_CONN && s->mode != LOAD_PUB;
}

static bool has_pubs(const struct load_settings *s)
{
    return s->mode != LOAD_CONN && s->mode != LOAD_SUB;
}

/* ---- verdict ---- */

static void put_fault(struct buf *words, bool *ok, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void put_fault(struct buf *words, bool *ok, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    put_fmt(words, "%s%s", *ok ? "" : "; ", text);
    *ok = false;
}

bool report_verdict(const struct load_settings *s, const struct load_report *r, struct buf *words)
{
    bool ok = true;

    if (r->failed > 0)
        put_fault(words, &ok, "%llu connections failed", (unsigned long long)r->failed);
    if (r->ready == 0)
        put_fault(words, &ok, "no client was ready");
    if (r->lost > 0)
        put_fault(words, &ok, "LOST %llu messages%s", (unsigned long long)r->lost,
                  s->qos == 0 ? " (QoS 0 permits it)" : "");
    if (r->twice > 0 && s->qos != 1)
        put_fault(words, &ok, "%llu messages came twice", (unsigned long long)r->twice);
    if (r->late > 0)
        put_fault(words, &ok, "%llu messages out of order", (unsigned long long)r->late);
    if (r->refused > 0)
        put_fault(words, &ok, "%llu messages refused", (unsigned long long)r->refused);
    if (r->acked < r->sent)
        put_fault(words, &ok, "%llu messages not acknowledged", (unsigned long long)(r->sent - r->acked));
    if (!ok)
        return false;
    if (r->troubles.total > 0)
        put_str(words, "done, with errors along the way");
    else if (has_pubs(s) && has_subs(s))
        put_str(words, "everything that was sent arrived, once and in order");
    else if (s->mode == LOAD_PUB)
        put_str(words, "the broker took everything that was sent");
    else if (s->mode == LOAD_SUB)
        put_str(words, "no gaps in what came");
    else
        put_str(words, "every connection was accepted");
    if (r->twice > 0)
        put_fmt(words, " (%llu came twice, which QoS 1 permits)", (unsigned long long)r->twice);
    return r->troubles.total == 0;
}

/* ---- for people ---- */

/* "812 us", "3.41 ms", "1.2 s" */
static void put_time(struct buf *out, int64_t ns)
{
    if (ns < 10000)
        put_fmt(out, "%.1f us", (double)ns / 1e3);
    else if (ns < 1000000)
        put_fmt(out, "%.0f us", (double)ns / 1e3);
    else if (ns < 1000000000)
        put_fmt(out, "%.2f ms", (double)ns / 1e6);
    else
        put_fmt(out, "%.2f s", (double)ns / 1e9);
}

static void put_percentiles(struct buf *out, const char *name, const struct histogram *h)
{
    static const struct {
        const char *name;
        double at;
    } points[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99.9", 0.999 }, { "max", 1 } };

    if (h->total == 0)
        return;
    put_fmt(out, "%-12s", name);
    for (size_t i = 0; i < COUNT_OF(points); i++) {
        put_fmt(out, "%s%s ", i == 0 ? "" : "   ", points[i].name);
        put_time(out, histogram_at(h, points[i].at));
    }
    put_str(out, "\n");
}

static void put_messages(struct buf *out, const struct load_settings *s, const struct load_report *r)
{
    const struct load_part *last = load_last_part(r);

    if (has_pubs(s))
        put_fmt(out, "%-12s%llu in all, %llu a second, %llu acknowledged\n", "sent",
                (unsigned long long)r->sent, (unsigned long long)per_s(last->sent, last->seconds),
                (unsigned long long)r->acked);
    if (has_subs(s))
        put_fmt(out, "%-12s%llu in all, %llu a second", "received", (unsigned long long)r->received,
                (unsigned long long)per_s(last->received, last->seconds));
    if (has_subs(s) && r->expected > 0)
        put_fmt(out, "; %llu expected", (unsigned long long)r->expected);
    if (has_subs(s) && r->strange > 0)
        put_fmt(out, "; %llu of them without a stamp of this run", (unsigned long long)r->strange);
    if (has_subs(s))
        put_fmt(out, "\n%-12s%llu lost, %llu twice, %llu out of order\n", "", (unsigned long long)r->lost,
                (unsigned long long)r->twice, (unsigned long long)r->late);
    if (r->unmatched > 0)
        put_fmt(out, "%-12s%llu messages had no subscriber (reason code 0x10)\n", "",
                (unsigned long long)r->unmatched);
    if (s->rate > 0 && r->late_s > 0.1)
        put_fmt(out, "%-12sup to %.2f s behind the rate asked for\n", "", r->late_s);
}

static double share(double cpu_s, double seconds)
{
    return seconds <= 0 ? 0 : 100 * cpu_s / seconds;
}

static void put_part(struct buf *out, const struct load_report *r, const struct load_part *part)
{
    uint64_t count = part->operations;

    if (r->part_count > 1)
        put_fmt(out, "part %s\n", part->name);
    if (r->part_count > 1 && part->operations > 0)
        put_fmt(out, "%-12s%llu, %llu a second\n", "  of those", (unsigned long long)part->operations,
                (unsigned long long)per_s(part->operations, part->seconds));
    if (r->part_count > 1 && part->received > 0)
        put_fmt(out, "%-12s%llu, %llu a second\n", "  messages", (unsigned long long)part->received,
                (unsigned long long)per_s(part->received, part->seconds));
    put_percentiles(out, "each took", &part->times);
    put_percentiles(out, "latency", &part->latency);
    put_fmt(out, "%-12s%.2f s measured; the generator used %.0f %% of a core\n", "time", part->seconds,
            share(part->own_cpu_s, part->seconds));
    if (!r->has_process)
        return;
    double cpu_s = part->to.cpu_s - part->from.cpu_s;
    put_fmt(out, "%-12s%.0f %% of a core", "process", share(cpu_s, part->seconds));
    if (count > 0)
        put_fmt(out, ", %.2f us each", 1e6 * cpu_s / (double)count);
    put_fmt(out, "; %ld KiB resident, %+ld in this part\n", part->to.rss_kib,
            part->to.rss_kib - part->from.rss_kib);
}

void report_text(const struct load_settings *s, const struct load_report *r, struct buf *out)
{
    const struct load_part *last = load_last_part(r);

    put_fmt(out, "%s at %s:%u, MQTT %s, %s%s\n", load_mode_name(s->mode), s->host, s->port,
            s->version == MQTT_5 ? "5" : "3.1.1", s->tls == NULL ? "plain TCP" : "TLS",
            s->ws_path != NULL ? ", WebSocket" : "");
    if (s->mode == LOAD_CONN && s->again)
        put_fmt(out, "%-12s%llu, %llu a second, %llu failed\n", "connections", (unsigned long long)r->connects,
                (unsigned long long)per_s(r->connects, last->seconds), (unsigned long long)r->failed);
    else
        put_fmt(out, "%-12s%zu of %zu ready after %.2f s, %llu a second; %llu failed or were lost\n", "clients",
                r->ready, r->clients, r->opening_s, (unsigned long long)per_s(r->ready, r->opening_s),
                (unsigned long long)r->failed);
    put_percentiles(out, "connecting", &r->connect);
    if (s->mode != LOAD_CONN)
        put_messages(out, s, r);
    for (size_t i = 0; i < r->part_count; i++)
        put_part(out, r, &r->parts[i]);
    if (r->has_process)
        put_fmt(out, "%-12s%ld KiB resident, %+ld since before the first client\n", "memory", last->to.rss_kib,
                last->to.rss_kib - r->process_start.rss_kib);
    for (size_t i = 0; i < r->troubles.count; i++)
        put_fmt(out, "%-12s%llu x %s\n", i == 0 ? "errors" : "", (unsigned long long)r->troubles.rows[i].times,
                r->troubles.rows[i].text);
    put_fmt(out, "%-12s", r->interrupted ? "interrupted" : "result");
    (void)report_verdict(s, r, out);
    put_str(out, "\n");
}

/* ---- the live table ---- */

void report_heading(enum load_mode mode, struct buf *out)
{
    if (mode == LOAD_CONN)
        put_fmt(out, "%7s  %-9s %9s %9s %10s %10s %7s\n", "time", "", "connected", "opened/s", "p50", "p99",
                "errors");
    else
        put_fmt(out, "%7s  %-9s %9s %9s %9s %10s %10s %7s\n", "time", "", "connected", "sent/s", "recv/s",
                "p50", "p99", "errors");
}

void report_second(enum load_mode mode, const struct load_second *second, struct buf *out)
{
    static const char *const phases[] = { [LOAD_OPENING] = "opening",
                                          [LOAD_WARMING_UP] = "warm-up",
                                          [LOAD_RUNNING] = "",
                                          [LOAD_DRAINING] = "draining" };
    struct buf times[2];

    for (size_t i = 0; i < 2; i++) {
        buf_init(&times[i], 64);
        if (second->latency->total == 0)
            put_str(&times[i], "-");
        else
            put_time(&times[i], histogram_at(second->latency, i == 0 ? 0.5 : 0.99));
    }
    put_fmt(out, "%6.0fs  %-9s %9zu", second->at_s, phases[second->phase], second->connected);
    if (mode == LOAD_CONN)
        put_fmt(out, " %9llu", (unsigned long long)per_s(second->connects, second->seconds));
    else
        put_fmt(out, " %9llu %9llu", (unsigned long long)per_s(second->sent, second->seconds),
                (unsigned long long)per_s(second->received, second->seconds));
    put_fmt(out, " %10.*s %10.*s %7llu\n", SPAN_FMT(buf_span(&times[0])), SPAN_FMT(buf_span(&times[1])),
            (unsigned long long)second->errors);
    buf_done(&times[0]);
    buf_done(&times[1]);
}
