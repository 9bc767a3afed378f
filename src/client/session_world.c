#include "client/session_world.h"

#define NEVER 0xff

uint32_t chance(struct chance *c, uint32_t below)
{
    c->state ^= c->state << 13; /* xorshift: the same run for the same seed, everywhere */
    c->state ^= c->state >> 7;
    c->state ^= c->state << 17;
    return (uint32_t)(c->state >> 33) % below;
}

/* ---- store ---- */

static enum status put(void *ctx, const struct outgoing *o, struct now now UNUSED)
{
    struct memory_store *s = ctx;

    s->dirty = true;
    assert_true(o->id <= MESSAGES_MAX);
    s->now.rows[o->id] = (struct row){ .there = true, .rank = o->id, .qos = o->qos, .serial = o->payload.p[3] };
    return ST_OK;
}

static enum status note(void *ctx, enum store_change what, uint64_t id, uint16_t packet_id)
{
    struct memory_store *s = ctx;
    struct row *row = &s->now.rows[id];

    s->dirty = true;
    switch (what) {
    case STORE_SENT:
        row->state = OUT_SENT;
        row->packet_id = packet_id;
        break;
    case STORE_RELEASED:
        row->state = OUT_RELEASED;
        row->rank = ++s->now.last_rank;
        break;
    case STORE_QUEUED:
        row->state = OUT_QUEUED;
        row->packet_id = 0;
        break;
    case STORE_GONE:
        assert_true(row->there);
        row->there = false;
        break;
    case STORE_RECEIVED:
    case STORE_RECEIVED_GONE:
        s->now.received[packet_id] = what == STORE_RECEIVED;
        break;
    case STORE_SESSION_NEW:
        memset(s->now.received, 0, sizeof s->now.received);
        s->now.session = true;
        break;
    }
    return ST_OK;
}

static enum status commit(void *ctx)
{
    struct memory_store *s = ctx;

    if (s->dirty)
        memcpy(&s->disk, &s->now, sizeof s->disk);
    s->dirty = false;
    return ST_OK;
}

const struct engine_store memory_store_functions = { .put = put, .note = note, .commit = commit };

void memory_store_crash(struct memory_store *s)
{
    memcpy(&s->now, &s->disk, sizeof s->now);
    s->dirty = false;
}

bool memory_store_empty(const struct memory_store *s)
{
    for (size_t id = 0; id <= MESSAGES_MAX; id++)
        if (s->disk.rows[id].there)
            return false;
    return true;
}

static struct outgoing *outgoing_of_row(const struct row *row, uint64_t id)
{
    uint8_t payload[4] = { 0, 0, 0, (uint8_t)row->serial };
    char topic[] = { 't', (char)('0' + row->serial % 3), '\0' };
    struct outgoing *o = outgoing_of_parts(span_of_str(topic), SPAN_NONE, span_of(payload, 4));

    assert_non_null(o);
    o->id = id;
    o->state = row->state;
    o->qos = row->qos;
    o->packet_id = row->packet_id;
    return o;
}

void memory_store_load(struct memory_store *s, struct engine *e, struct now now UNUSED)
{
    if (s->disk.session)
        engine_restore_session(e);
    for (uint64_t rank = 1; rank <= MESSAGES_MAX + s->disk.last_rank; rank++)
        for (uint64_t id = 1; id <= MESSAGES_MAX; id++) {
            const struct row *row = &s->disk.rows[id];
            bool turn = row->there && (row->state == OUT_RELEASED ? row->rank == rank : id == rank);
            if (turn)
                assert_int_equal(engine_restore_message(e, outgoing_of_row(row, id)), ST_OK);
        }
    for (unsigned id = 1; id <= MESSAGES_MAX; id++)
        if (s->disk.received[id])
            assert_int_equal(engine_restore_received(e, (uint16_t)id), ST_OK);
}

/* ---- the application ---- */

static void on_send(void *ctx, struct span bytes)
{
    struct session_world *w = ctx;

    put_bytes(&w->up, bytes);
}

static bool on_congested(void *ctx UNUSED)
{
    return false;
}

static void on_connected(void *ctx UNUSED, const struct mqtt_connack *connack UNUSED)
{
}

static void on_ended(void *ctx UNUSED, const struct symbolon_error *why,
                     const struct mqtt_connack *connack UNUSED)
{
    fail_msg("the engine gave up on an honest broker: %s [%s]", why->text, why->clause);
}

static void on_message(void *ctx, const struct mqtt_publish *publish)
{
    struct session_world *w = ctx;
    uint32_t serial = publish->payload.p[3];

    if (w->taken[serial]++ == 0) {
        assert_true(serial > w->last_taken[publish->qos]);
        w->last_taken[publish->qos] = serial;
    }
    if (engine_handle(w->engine) != 0)
        w->handles[w->handle_count++] = engine_handle(w->engine);
}

static void on_published(void *ctx, uint64_t id, const struct symbolon_error *result)
{
    struct session_world *w = ctx;

    w->published[id]++;
    w->unknown[id] += result->status == SYMBOLON_CLOSED;
    assert_true(result->status == SYMBOLON_OK || result->status == SYMBOLON_CLOSED);
}

static void on_answered(void *ctx UNUSED, uint64_t id UNUSED, struct span codes UNUSED,
                        const struct symbolon_error *result UNUSED)
{
}

static void on_nothing(void *ctx UNUSED, const struct symbolon_error *result UNUSED)
{
}

static const struct engine_events events = {
    .send = on_send,
    .congested = on_congested,
    .connected = on_connected,
    .ended = on_ended,
    .message = on_message,
    .published = on_published,
    .subscribed = on_answered,
    .unsubscribed = on_answered,
    .flushed = on_nothing,
};

static void start_engine(struct session_world *w)
{
    w->engine = malloc(sizeof *w->engine);
    assert_non_null(w->engine);
    engine_init(w->engine, &w->settings, &events, w);
    memory_store_load(&w->store, w->engine, w->now);
}

struct session_world *session_world_new(uint64_t seed)
{
    struct session_world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    w->chance.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    w->now = (struct now){ { 1000000 }, { 1800000000, 0 } };
    buf_init(&w->up, 1048576);
    buf_init(&w->down, 1048576);
    buf_init(&w->broker.in, 1048576);
    memset(w->accepted_qos, NEVER, sizeof w->accepted_qos);
    w->broker.version = seed % 3 == 0 ? MQTT_3_1_1 : MQTT_5;
    w->settings = (struct engine_settings){
        .version = w->broker.version,
        .client_id = "c",
        .keep_session = w->broker.version == MQTT_3_1_1,
        .session_expiry_s = 1000,
        .receive_maximum = (uint16_t)(1 + chance(&w->chance, 4)),
        .max_packet_size = 65536,
        .max_inflight = (uint16_t)(1 + chance(&w->chance, 8)),
        .max_queue = MESSAGES_MAX,
        .topic_aliases = (uint16_t)chance(&w->chance, 3),
        .store = &memory_store_functions,
        .store_ctx = &w->store,
    };
    start_engine(w);
    return w;
}

void session_world_free(struct session_world *w)
{
    engine_done(w->engine);
    free(w->engine);
    buf_done(&w->up);
    buf_done(&w->down);
    buf_done(&w->broker.in);
    free(w);
}

/* ---- what may happen ---- */

void session_world_connect(struct session_world *w)
{
    if (w->engine->state == ENGINE_IDLE)
        engine_connect(w->engine, SPAN_NONE, w->now);
}

/* Of the bytes under way some arrive, the rest does not. */
static void cut(struct session_world *w)
{
    broker_input(w, span_cut(buf_span(&w->up), 0, chance(&w->chance, (uint32_t)w->up.len + 1)));
    buf_reset(&w->up);
    broker_lost(w);
}

void session_world_drop(struct session_world *w)
{
    struct symbolon_error lost = { .status = SYMBOLON_CLOSED };

    cut(w);
    buf_reset(&w->down);
    engine_lost(w->engine, &lost, w->now);
}

void session_world_crash(struct session_world *w)
{
    if (!w->crashes)
        return;
    cut(w);
    buf_reset(&w->down);
    engine_done(w->engine);
    free(w->engine);
    memory_store_crash(&w->store);
    w->crashed++;
    start_engine(w);
}

void session_world_publish(struct session_world *w)
{
    uint32_t serial = w->next_serial + 1;
    uint8_t payload[4] = { 0, 0, 0, (uint8_t)serial };
    char topic[] = { 't', (char)('0' + serial % 3), '\0' };
    struct symbolon_message m = { .topic = { topic, 2 },
                                  .payload = { payload, 4 },
                                  .qos = (uint8_t)chance(&w->chance, 3) };
    uint64_t id = 0;

    if (serial > MESSAGES_MAX || w->engine->last_id >= MESSAGES_MAX)
        return;
    w->next_serial = serial;
    w->accepted_qos[serial] = m.qos;
    w->serial_of_id[w->engine->last_id + 1] = serial;
    assert_int_equal(engine_publish(w->engine, &m, w->now, &id, NULL), SYMBOLON_OK);
}

static void acknowledge_some(struct session_world *w, bool all)
{
    while (w->handle_count > 0 && (all || chance(&w->chance, 2) == 0)) {
        size_t i = chance(&w->chance, (uint32_t)w->handle_count); /* in any order */
        enum symbolon_status st = engine_ack(w->engine, w->handles[i], 0, w->now, NULL);
        assert_true(st == SYMBOLON_OK || (w->lossy && st == SYMBOLON_NOT_FOUND));
        w->handles[i] = w->handles[--w->handle_count];
    }
}

void session_world_move(struct session_world *w, bool all)
{
    size_t n = all ? w->up.len : chance(&w->chance, (uint32_t)w->up.len + 1);
    struct buf some = { .max = 1048576 };

    put_bytes(&some, span_cut(buf_span(&w->up), 0, n));
    buf_drop_front(&w->up, n);
    broker_input(w, buf_span(&some));
    broker_turn(w, all);
    buf_reset(&some);
    n = all ? w->down.len : chance(&w->chance, (uint32_t)w->down.len + 1);
    size_t used = engine_input(w->engine, span_cut(buf_span(&w->down), 0, n), w->now);
    buf_drop_front(&w->down, used);
    buf_done(&some);
    acknowledge_some(w, all);
}
