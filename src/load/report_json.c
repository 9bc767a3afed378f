#include "load/report.h"

/* Whole numbers only: times in microseconds, CPU too, memory in KiB, rates a second. */

static int64_t us(int64_t ns)
{
    return (ns + 999) / 1000;
}

static int64_t us_of(double seconds)
{
    return (int64_t)(seconds * 1e6 + 0.5);
}

static int64_t rate(uint64_t count, double seconds)
{
    return seconds <= 0 ? 0 : (int64_t)((double)count / seconds + 0.5);
}

struct member {
    const char *name;
    int64_t value;
};

static enum status set_all(struct js *js, const struct member *members, size_t count)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < count && st == ST_OK; i++)
        st = js_set_i64(js, members[i].name, members[i].value);
    return st;
}

static struct js *histogram_js(const struct histogram *h)
{
    const struct member members[] = {
        { "count", (int64_t)h->total },
        { "mean_us", us((int64_t)histogram_mean(h)) },
        { "p50_us", us(histogram_at(h, 0.5)) },
        { "p90_us", us(histogram_at(h, 0.9)) },
        { "p99_us", us(histogram_at(h, 0.99)) },
        { "p999_us", us(histogram_at(h, 0.999)) },
        { "max_us", us(h->max_ns) },
    };
    struct js *js = js_new_object();

    if (set_all(js, members, COUNT_OF(members)) == ST_OK)
        return js;
    js_unref(js);
    return NULL;
}

static struct js *process_js(const struct load_settings *s, const struct load_report *r)
{
    const struct load_part *last = load_last_part(r);
    const struct member members[] = {
        { "pid", s->pid },
        { "cpu_us", us_of(last->to.cpu_s - last->from.cpu_s) },
        { "rss_start_kib", r->process_start.rss_kib },
        { "rss_kib", last->to.rss_kib },
    };
    struct js *js = js_new_object();

    if (set_all(js, members, COUNT_OF(members)) == ST_OK)
        return js;
    js_unref(js);
    return NULL;
}

static struct js *part_js(const struct load_report *r, const struct load_part *part)
{
    const struct member always[] = {
        { "measured_us", us_of(part->seconds) },        { "sent", (int64_t)part->sent },
        { "received", (int64_t)part->received },        { "operations", (int64_t)part->operations },
        { "generator_cpu_us", us_of(part->own_cpu_s) }, { "reads", (int64_t)part->reads },
    };
    const struct member of_process[] = {
        { "cpu_us", us_of(part->to.cpu_s - part->from.cpu_s) },
        { "rss_from_kib", part->from.rss_kib },
        { "rss_to_kib", part->to.rss_kib },
    };
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    enum status st = js_set_str(js, "part", span_of_str(part->name));

    if (st == ST_OK)
        st = set_all(js, always, COUNT_OF(always));
    if (st == ST_OK && r->has_process)
        st = set_all(js, of_process, COUNT_OF(of_process));
    if (st == ST_OK)
        st = js_set_take(js, "times", histogram_js(&part->times));
    if (st == ST_OK)
        st = js_set_take(js, "latency", histogram_js(&part->latency));
    return st == ST_OK ? TAKE(js) : NULL;
}

static struct js *parts_js(const struct load_report *r)
{
    CLEANUP(js_unrefp)
    struct js *array = js_new_array();
    enum status st = ST_OK;

    for (size_t i = 0; i < r->part_count && st == ST_OK; i++)
        st = js_append_take(array, part_js(r, &r->parts[i]));
    return st == ST_OK ? TAKE(array) : NULL;
}

static struct js *troubles_js(const struct troubles *t)
{
    struct js *array = js_new_array();
    enum status st = ST_OK;

    for (size_t i = 0; i < t->count && st == ST_OK; i++) {
        struct js *row = js_new_object();
        st = js_set_str(row, "error", span_of_str(t->rows[i].text));
        if (st == ST_OK)
            st = js_set_i64(row, "count", (int64_t)t->rows[i].times);
        if (st == ST_OK)
            st = js_append_take(array, row);
        else
            js_unref(row);
    }
    if (st == ST_OK)
        return array;
    js_unref(array);
    return NULL;
}

static enum status set_question(struct js *js, const struct load_settings *s)
{
    const struct member members[] = {
        { "port", s->port },
        { "mqtt", s->version == MQTT_5 ? 5 : 4 },
        { "clients", (int64_t)s->clients },
        { "qos", s->qos },
        { "size", (int64_t)s->size },
        { "sessions", (int64_t)s->sessions },
        { "subscribers", (int64_t)s->subscribers },
        { "rate", (int64_t)s->rate },
        { "window", (int64_t)s->window },
        { "batch", (int64_t)s->batch },
    };
    enum status st = js_set_str(js, "bench", span_of_str(load_mode_name(s->mode)));

    if (st == ST_OK)
        st = js_set_str(js, "host", span_of_str(s->host));
    if (st == ST_OK)
        st = js_set_bool(js, "tls", s->tls != NULL);
    if (st == ST_OK)
        st = js_set_bool(js, "websocket", s->ws_path != NULL);
    if (st == ST_OK)
        st = js_set_bool(js, "ace", s->login->count > 0);
    return st == ST_OK ? set_all(js, members, COUNT_OF(members)) : st;
}

static enum status set_answer(struct js *js, const struct load_report *r)
{
    const struct load_part *last = load_last_part(r);
    const struct member members[] = {
        { "connections", (int64_t)r->clients },
        { "ready", (int64_t)r->ready },
        { "failed", (int64_t)r->failed },
        { "opening_us", us_of(r->opening_s) },
        { "measured_us", us_of(last->seconds) },
        { "connects", (int64_t)r->connects },
        { "connects_per_s", rate(r->connects, last->seconds) },
        { "repeated", (int64_t)r->repeated },
        { "sent", (int64_t)r->sent },
        { "sent_per_s", rate(last->sent, last->seconds) },
        { "acknowledged", (int64_t)r->acked },
        { "refused", (int64_t)r->refused },
        { "unmatched", (int64_t)r->unmatched },
        { "expected", (int64_t)r->expected },
        { "received", (int64_t)r->received },
        { "received_measured", (int64_t)last->received },
        { "received_per_s", rate(last->received, last->seconds) },
        { "strange", (int64_t)r->strange },
        { "lost", (int64_t)r->lost },
        { "twice", (int64_t)r->twice },
        { "out_of_order", (int64_t)r->late },
        { "behind_us", us_of(r->late_s) },
        { "reads", (int64_t)last->reads },
        { "generator_cpu_us", us_of(last->own_cpu_s) },
    };

    return set_all(js, members, COUNT_OF(members));
}

enum status report_json(const struct load_settings *s, const struct load_report *r, struct js **ret_js)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    CLEANUP(buf_done)
    struct buf words;

    buf_init(&words, 4096);
    bool ok = report_verdict(s, r, &words);
    enum status st = set_question(js, s);
    if (st == ST_OK)
        st = set_answer(js, r);
    if (st == ST_OK)
        st = js_set_take(js, "connect", histogram_js(&r->connect));
    if (st == ST_OK)
        st = js_set_take(js, "latency", histogram_js(&load_last_part(r)->latency));
    if (st == ST_OK && r->has_process)
        st = js_set_take(js, "process", process_js(s, r));
    if (st == ST_OK)
        st = js_set_take(js, "parts", parts_js(r));
    if (st == ST_OK)
        st = js_set_take(js, "errors", troubles_js(&r->troubles));
    if (st == ST_OK)
        st = js_set_bool(js, "interrupted", r->interrupted);
    if (st == ST_OK)
        st = js_set_bool(js, "ok", ok);
    if (st == ST_OK)
        st = js_set_str(js, "verdict", buf_span(&words));
    *ret_js = st == ST_OK ? TAKE(js) : NULL;
    return st;
}
