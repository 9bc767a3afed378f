#include "cli/store.h"

#include "codec/base64.h"
#include "codec/json.h"

#include <stdlib.h>

#define LINE_MAX_BYTES ((size_t)1 << 30)

struct exporting {
    const struct store_source *from;
    const struct store_survey *survey;
    const struct store_export_options *options;
    uint64_t left_out;
    struct buf line, text, body;
    bool full; /* standard output takes no more */
};

/* ---- one line ---- */

/* Any failure is lack of memory, and shows when the line is printed: js_set_take() of NULL. */
struct line {
    struct js *obj;
    enum status st;
};

static void note(struct line *l, enum status st)
{
    if (st != ST_OK)
        l->st = st;
}

static struct line line_of(const char *record)
{
    struct line l = { js_new_object(), ST_OK };

    note(&l, l.obj == NULL ? ST_NO_MEMORY : js_set_str(l.obj, "record", span_of_str(record)));
    return l;
}

static void set_str(struct line *l, const char *name, struct span text)
{
    note(l, js_set_str(l->obj, name, text));
}

static void set_i64(struct line *l, const char *name, uint64_t v)
{
    note(l, js_set_i64(l->obj, name, (int64_t)v));
}

static void set_bool(struct line *l, const char *name, bool v)
{
    note(l, js_set_bool(l->obj, name, v));
}

/* NULL for none. */
static void set_ms(struct line *l, const char *name, int64_t ms)
{
    note(l, ms == RECORD_NEVER || ms == 0 ? js_set_null(l->obj, name) : js_set_i64(l->obj, name, ms));
}

static void set_base64(struct exporting *x, struct line *l, const char *name, struct span bytes)
{
    buf_reset(&x->text);
    base64_encode(bytes, &x->text);
    note(l, buf_ok(&x->text) ? js_set_str(l->obj, name, buf_span(&x->text)) : ST_NO_MEMORY);
}

static enum status print_line(struct exporting *x, struct line *l)
{
    enum status st = l->st;

    buf_reset(&x->line);
    if (st == ST_OK)
        st = js_print(l->obj, &x->line);
    js_unref(l->obj);
    if (st != ST_OK)
        return ST_NO_MEMORY;
    put_u8(&x->line, '\n');
    if (!buf_ok(&x->line))
        return ST_NO_MEMORY;
    if (fwrite(x->line.p, 1, x->line.len, x->options->out) == x->line.len)
        return ST_OK;
    x->full = true;
    return ST_IO;
}

static void set_message(struct exporting *x, struct line *l, const struct record_message *m)
{
    set_str(l, "topic", m->topic);
    set_i64(l, "published_qos", m->qos);
    set_bool(l, "published_retain", m->retain);
    set_ms(l, "expires_ms", m->expires_ms);
    if (m->properties.len > 0)
        set_base64(x, l, "properties", m->properties);
    set_i64(l, "payload_bytes", m->payload.len);
    if (x->options->payload)
        set_base64(x, l, "payload", m->payload);
}

/* Whose it is; "" for one whose session cannot be read. */
static struct span client_of(const struct exporting *x, uint64_t session)
{
    const struct store_session *s = store_session_find(x->survey, session);

    return s == NULL ? SPAN("") : span_of_str(s->client_id);
}

/* ---- one kind after the other ---- */

static enum status export_session(struct exporting *x, struct span key, struct span value)
{
    struct record_session r;
    struct line l;
    enum status st = record_read_session(key, value, &r, NULL);

    if (st != ST_OK)
        return st;
    l = line_of("session");
    set_str(&l, "client_id", r.client_id);
    set_i64(&l, "session", r.session);
    set_str(&l, "mqtt", r.version == 5 ? SPAN("5") : SPAN("3.1.1"));
    note(&l,
         r.expiry_s == UINT32_MAX ? js_set_null(l.obj, "expiry_s") : js_set_i64(l.obj, "expiry_s", r.expiry_s));
    set_ms(&l, "left_ms", r.left_ms); /* null: connected when this was written */
    if (r.owner.has_token)
        set_str(&l, "issuer", r.owner.iss);
    if (r.owner.sub.p != NULL)
        set_str(&l, "subject", r.owner.sub);
    if (r.owner.client_id.p != NULL)
        set_str(&l, "token_client_id", r.owner.client_id);
    return print_line(x, &l);
}

static enum status export_will(struct exporting *x, struct span key, struct span value)
{
    struct record_will r;
    struct line l;
    enum status st = record_read_will(key, value, &r, NULL);

    if (st != ST_OK)
        return st;
    l = line_of("will");
    set_str(&l, "client_id", client_of(x, r.session));
    set_i64(&l, "session", r.session);
    set_i64(&l, "delay_s", r.delay_s);
    if (r.has_expiry)
        set_i64(&l, "expiry_s", r.expiry_s);
    set_message(x, &l,
                &(struct record_message){ .qos = r.qos,
                                          .retain = r.retain,
                                          .expires_ms = RECORD_NEVER,
                                          .topic = r.topic,
                                          .properties = r.properties,
                                          .payload = r.payload });
    return print_line(x, &l);
}

static enum status export_received(struct exporting *x, struct span key, struct span value)
{
    struct record_received r;
    struct js *ids = js_new_array();
    struct line l;
    enum status st = record_read_received(key, value, &r, NULL);

    if (st != ST_OK) {
        js_unref(ids);
        return st;
    }
    l = line_of("received_ids");
    set_str(&l, "client_id", client_of(x, r.session));
    set_i64(&l, "session", r.session);
    for (size_t i = 0; i < r.ids.len / 2; i++)
        note(&l, js_append_take(ids, js_new_i64(record_received_id(&r, i))));
    note(&l, js_set_take(l.obj, "packet_ids", ids));
    return print_line(x, &l);
}

static enum status export_subscription(struct exporting *x, struct span key, struct span value)
{
    struct record_subscription r;
    struct line l;
    enum status st = record_read_subscription(key, value, &r, NULL);

    if (st != ST_OK)
        return st;
    l = line_of("subscription");
    set_str(&l, "client_id", client_of(x, r.session));
    set_i64(&l, "session", r.session);
    set_str(&l, "filter", r.filter);
    set_i64(&l, "qos", r.qos);
    if (r.id != 0)
        set_i64(&l, "subscription_id", r.id);
    set_bool(&l, "no_local", r.no_local);
    set_bool(&l, "retain_as_published", r.retain_as_published);
    return print_line(x, &l);
}

/* Into x->body. */
static enum status read_body(struct exporting *x, uint64_t number, struct record_message *m)
{
    struct record_key key = record_key_message(number);
    enum status st = ST_NOT_FOUND;

    if (x->from->kv != NULL)
        st = kv_get(x->from->kv, record_key_span(&key), &x->body, NULL);
    return st == ST_OK ? record_read_message(record_key_span(&key), buf_span(&x->body), m, NULL) : st;
}

/* Beside a running broker a message may be gone by now: then so is the delivery. */
static enum status export_queued(struct exporting *x, struct span key, struct span value)
{
    static const char *const states[] = { "waiting", "await_puback", "await_pubrec", "await_pubcomp" };
    struct record_delivery r;
    struct record_message m = { 0 };
    struct line l;
    enum status st = record_read_delivery(key, value, &r, NULL);

    buf_reset(&x->body);
    if (st == ST_OK && r.body != 0)
        st = read_body(x, r.body, &m);
    if (st != ST_OK)
        return st == ST_NO_MEMORY ? st : ST_MALFORMED;
    l = line_of("queued");
    set_str(&l, "client_id", client_of(x, r.session));
    set_i64(&l, "session", r.session);
    set_i64(&l, "order", r.n);
    set_i64(&l, "qos", r.qos);
    set_bool(&l, "retain", r.retain);
    set_str(&l, "state", span_of_str(states[r.state]));
    if (r.packet_id != 0)
        set_i64(&l, "packet_id", r.packet_id);
    if (r.group.len > 0)
        set_str(&l, "group", r.group);
    if (r.body != 0)
        set_message(x, &l, &m);
    return print_line(x, &l);
}

static enum status export_retained(struct exporting *x, struct span key, struct span value)
{
    struct record_message r;
    struct line l;
    enum status st = record_read_retained(key, value, &r, NULL);

    if (st != ST_OK)
        return st;
    l = line_of("retained");
    set_message(x, &l, &r);
    if (r.token_until_s != RECORD_NEVER)
        set_i64(&l, "token_until_s", (uint64_t)r.token_until_s);
    return print_line(x, &l);
}

/* `text` holds the record its span points into. */
static struct span group_text(const struct exporting *x, uint64_t number, struct buf *text)
{
    struct record_key key = record_key_group(number);
    struct record_group group;

    if (x->from->kv == NULL || kv_get(x->from->kv, record_key_span(&key), text, NULL) != ST_OK ||
        record_read_group(record_key_span(&key), buf_span(text), &group, NULL) != ST_OK)
        return SPAN("");
    return group.text;
}

static enum status export_item(struct exporting *x, struct span key, struct span value)
{
    struct record_item r;
    struct buf text;
    struct line l;
    enum status st = record_read_item(key, value, &r, NULL);

    if (st != ST_OK)
        return st;
    l = line_of("waiting_in_group");
    buf_init(&text, LINE_MAX_BYTES);
    set_str(&l, "group", group_text(x, r.group, &text));
    buf_done(&text);
    set_i64(&l, "order", r.seq);
    set_message(x, &l, &r.message);
    return print_line(x, &l);
}

static enum status export_out(struct exporting *x, struct span key, struct span value)
{
    struct record_out r;
    struct line l;
    enum status st = record_read_out(key, value, &r, NULL);

    if (st != ST_OK)
        return st;
    l = line_of("between_workers");
    set_i64(&l, "from", r.from);
    set_i64(&l, "to", r.to);
    set_message(x, &l, &r.message);
    return print_line(x, &l);
}

/* ---- all of them ---- */

static enum status visit(void *ctx, struct span key, struct span value)
{
    static enum status (*const write[STORE_KIND_COUNT])(struct exporting *, struct span, struct span) = {
        [STORE_SESSION] = export_session,   [STORE_WILL] = export_will,
        [STORE_RECEIVED] = export_received, [STORE_SUBSCRIPTION] = export_subscription,
        [STORE_DELIVERY] = export_queued,   [STORE_RETAINED] = export_retained,
        [STORE_ITEM] = export_item,         [STORE_OUT] = export_out,
    };
    struct exporting *x = ctx;
    enum status st = write[store_kind_of(key)](x, key, value);

    if (st != ST_MALFORMED)
        return st;
    x->left_out++;
    return ST_OK;
}

enum status store_export(const struct store_source *from, const struct store_survey *survey,
                         const struct store_export_options *options, uint64_t *ret_left_out, struct why *why)
{
    static const char order[] = "swibqrxo";
    struct exporting x = { .from = from, .survey = survey, .options = options };
    enum status st = ST_OK;

    buf_init(&x.line, LINE_MAX_BYTES);
    buf_init(&x.text, LINE_MAX_BYTES);
    buf_init(&x.body, LINE_MAX_BYTES);
    for (const char *letter = order; *letter != '\0' && st == ST_OK; letter++)
        st = store_walk(from, span_of(letter, 1), visit, &x, why);
    buf_done(&x.line);
    buf_done(&x.text);
    buf_done(&x.body);
    *ret_left_out = x.left_out;
    if (x.full || (st == ST_OK && fflush(options->out) != 0))
        return reject(why, ST_IO, "standard output", "it takes no more", 0);
    return st == ST_NO_MEMORY ? reject(why, st, "memory", "out of memory", 0) : st;
}
