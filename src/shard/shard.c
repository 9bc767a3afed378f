#include "shard/shard.h"

#include "shard/authz_info.h"
#include "shard/durable_post.h"
#include "shard/gate.h"
#include "shard/interest.h"
#include "shard/retained_ask.h"
#include "shard/route.h"
#include "shard/shard_priv.h"
#include "shard/share.h"
#include "shard/subscribe.h"
#include "shard/sys.h"
#include "shard/throttle.h"
#include "shard/token_status.h"
#include "shard/token_store.h"

#include <stdlib.h>

#define CLOCK_JUMP_MS 1500 /* the calendar moved by more than rounding and drift against the monotonic clock */
#define STARVED_MS    50   /* for memory to come back */
#define PURGE_BUDGET  512  /* retained messages looked at per second */
#define SCRATCH_KEEP  ((size_t)64 * 1024)
#define TEXT_MAX      ((size_t)UINT16_MAX)

/* ---- life ---- */

static void on_purge(struct timer *timer, struct now now)
{
    struct shard *shard = CONTAINER_OF(timer, struct shard, purge);

    (void)retained_purge(shard->retained, now, PURGE_BUDGET);
    shard_count_retained(shard);
    if (retained_count(shard->retained) > 0)
        timer_start(&shard->timers, timer, mono_plus_ms(now.mono, MS_PER_S));
}

static enum status make_tables(struct shard *shard)
{
    struct table *const tables[] = { &shard->sessions, &shard->subscriptions, &shard->inquiries,
                                     &shard->tokens,   &shard->twins,         &shard->interests,
                                     &shard->shares,   &shard->share_members, &shard->share_subscriptions };
    const struct shard_settings *settings = shard->settings;
    struct hash_key key;
    enum status st;

    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        st = shard->world.random(shard->world.ctx, &key, sizeof key);
        if (st == ST_OK)
            st = table_init(tables[i], key);
        if (st != ST_OK)
            return st;
    }
    st = shard->world.random(shard->world.ctx, &key, sizeof key);
    if (st == ST_OK)
        st = topic_tree_new(key, settings->max_topic_levels, settings->matches_remembered, &shard->tree);
    if (st == ST_OK)
        st = retained_new(key,
                          (struct retained_limits){ .max_messages = settings->max_retained_messages,
                                                    .max_bytes = settings->max_retained_bytes,
                                                    .max_levels = settings->max_topic_levels,
                                                    .cell = shard->stats.retained },
                          &shard->retained);
    if (st == ST_OK)
        retained_keep(shard->retained, shard);
    return st;
}

/* The messages of several shards outlive any of these: without an object for all of them nobody counts their bodies. */
static enum status take_pressure(struct shard *shard)
{
    enum status st = ST_OK;

    shard->pressure = shard->settings->pressure;
    if (shard->pressure == NULL) {
        st = pressure_new((struct pressure_limits){ 0 }, &shard->own_pressure);
        shard->pressure = shard->own_pressure;
    }
    if (st == ST_OK && (shard->settings->pressure != NULL || shard->count == 1))
        shard->stats.bodies = &shard->pressure->bodies[shard->index];
    if (shard->stats.bodies != NULL)
        shard->stats.retained = &shard->pressure->retained[shard->index];
    return st;
}

enum status shard_new(unsigned index, unsigned shards, const struct shard_settings *settings,
                      const struct shard_world *world, struct verifier *verifier, const struct log *log,
                      struct now now, struct shard **ret_shard)
{
    struct shard *shard;
    enum status st;

    ASSERT(index < shards && shards <= TOPIC_TREE_MAX_SHARDS);
    ASSERT(settings->max_inflight > 0 && settings->max_inflight <= 32768 && settings->receive_maximum > 0);
    ASSERT(settings->max_topic_levels <= TOPIC_TREE_MAX_LEVELS);
    shard = calloc(1, sizeof *shard);
    if (shard == NULL)
        return ST_NO_MEMORY;
    shard->index = index;
    shard->count = shards;
    shard->settings = settings;
    shard->world = *world;
    shard->log = log;
    shard->now = now;
    shard->wall_minus_mono_ms = now.wall.s * MS_PER_S + now.wall.ms - now.mono.ms;
    shard->next_session = 1; /* number 0 publishes nothing */
    shard->next_member = 1;  /* number 0 is no member */
    /* One tick behind, so that what is overdue in a session from the disk happens in the first turn, before its client is back */
    timer_wheel_init(&shard->timers, mono_plus_ms(now.mono, -TIMER_TICK_MS));
    timer_init(&shard->purge, on_purge);
    list_init(&shard->conns);
    list_init(&shard->dead);
    list_init(&shard->yielding);
    list_init(&shard->unfinished);
    list_init(&shard->starved);
    list_init(&shard->operations);
    list_init(&shard->uploads);
    list_init(&shard->matched);
    list_init(&shard->matched_groups);
    list_init(&shard->share_dirty);
    list_init(&shard->share_joins);
    list_init(&shard->share_leaving);
    list_init(&shard->share_arriving);
    list_init(&shard->outs);
    late_init(shard);
    token_status_init(shard);
    buf_init(&shard->scratch, SCRATCH_MAX);
    buf_init(&shard->text, TEXT_MAX);
    st = take_pressure(shard);
    /* Now: what cannot be spelled out cannot be checked, and a session would lose a subscription with each grant */
    if (st == ST_OK && buf_room(&shard->text, TEXT_MAX) == NULL)
        st = ST_NO_MEMORY;
    if (st == ST_OK)
        st = journal_init(shard);
    if (st == ST_OK)
        st = make_tables(shard);
    if (st != ST_OK) {
        shard_free(shard);
        return st;
    }
    shard_set_verifier(shard, verifier);
    st = sys_start(shard);
    if (st != ST_OK) {
        shard_free(shard);
        return st;
    }
    *ret_shard = shard;
    return ST_OK;
}

static void forget_conns(struct shard *shard)
{
    LIST_EACH_SAFE (it, &shard->conns) {
        struct conn *c = CONTAINER_OF(it, struct conn, link);

        if (c->session != NULL) { /* no Will: the whole broker goes */
            will_free(c->session->will);
            c->session->will = NULL;
        }
        conn_gone(c, "broker stopped");
    }
    conn_reap(shard);
}

void shard_free(struct shard *shard)
{
    struct table_node *node;

    if (shard == NULL)
        return;
    shard->going = true;
    forget_conns(shard);
    while ((node = table_next(&shard->sessions, NULL)) != NULL) {
        struct session *s = CONTAINER_OF(node, struct session, node);

        will_free(s->will);
        s->will = NULL;
        session_end(s);
    }
    token_status_done(shard);
    subscribe_done(shard);
    share_done(shard);
    durable_post_done(shard);
    late_done(shard);
    interest_done(shard);
    timer_stop(&shard->timers, &shard->purge);
    topic_tree_free(shard->tree);
    retained_free(shard->retained);
    sys_done(shard);
    durable_post_done(shard);
    journal_done(shard);
    verifier_unref(shard->verifier);
    table_done(&shard->sessions);
    table_done(&shard->subscriptions);
    table_done(&shard->inquiries);
    table_done(&shard->tokens);
    table_done(&shard->twins);
    table_done(&shard->interests);
    table_done(&shard->shares);
    table_done(&shard->share_members);
    table_done(&shard->share_subscriptions);
    shard_msg_spares_done(&shard->spares);
    buf_done(&shard->scratch);
    buf_done(&shard->text);
    if (shard->settings->pressure != NULL)
        pressure_report(shard->pressure, shard->index, PART_CORE, 0, NULL);
    pressure_give(shard->pressure, COUNT_RETAINED, shard->retained_told);
    pressure_give(shard->pressure, COUNT_RETAINED_BYTES, shard->retained_bytes_told);
    pressure_free(shard->own_pressure);
    free(shard);
}

void shard_set_verifier(struct shard *shard, struct verifier *verifier)
{
    struct verifier *old = shard->verifier;

    shard->verifier = verifier == NULL ? NULL : verifier_ref(verifier);
    verifier_unref(old);
    if (shard->settings->tokens != NULL) /* what the former verified, the new one might not */
        token_store_forget_all(shard->settings->tokens);
}

unsigned shard_home(const struct shard_settings *settings, unsigned shards, struct span client_id)
{
    return shards == 1 ? 0 : (unsigned)(siphash(settings->home_key, client_id) % shards);
}

/* ---- every call from the world begins and ends like this ---- */

/* Times are on disk as the calendar has them: what was written by the former one would be over too early, or too late, after
 * the next start. */
static void write_times_again(struct shard *shard, int64_t moved_ms)
{
    TABLE_EACH (node, &shard->sessions)
        session_clock_moved(CONTAINER_OF(node, struct session, node), moved_ms);
    TABLE_EACH (node, &shard->shares)
        share_clock_moved(CONTAINER_OF(node, struct share, node));
    retained_clock_moved(shard->retained);
}

/* A jump of the calendar moves the end of every token with it (MT-100); forward it may be there already. */
static void see_clock(struct shard *shard, struct now now)
{
    int64_t offset_ms = now.wall.s * MS_PER_S + now.wall.ms - now.mono.ms;
    int64_t moved_ms = offset_ms - shard->wall_minus_mono_ms;

    shard->now = now;
    if (moved_ms > -CLOCK_JUMP_MS && moved_ms < CLOCK_JUMP_MS)
        return;
    shard->wall_minus_mono_ms = offset_ms;
    log_event(shard->log, LOG_WARNING, "clock_jumped", F_I64("ms", moved_ms));
    LIST_EACH (it, &shard->conns) {
        struct conn *c = CONTAINER_OF(it, struct conn, link);

        if (c->session != NULL)
            session_start_grant_timer(c->session);
    }
    if (shard->journal.on)
        write_times_again(shard, moved_ms);
}

/* What others are told of may close connections, and closed ones leave something to tell. */
static void leave(struct shard *shard)
{
    do {
        conn_reap(shard);
        share_settle(shard);
        if (!list_empty(&shard->unfinished))
            throttle_unfinished(shard);
    } while (!list_empty(&shard->dead));
    throttle_account_messages(shard);
    if (shard->scratch.cap > SCRATCH_KEEP)
        buf_done(&shard->scratch);
}

struct conn *shard_accept(struct shard *shard, struct conn_io *io, struct span peer, bool moved, struct now now)
{
    see_clock(shard, now);
    if (!moved && pressure_count(shard->pressure, COUNT_CONNECTIONS) >=
                      throttle_connections_most(shard->settings->max_connections)) {
        atomic_fetch_add_explicit(&shard->stats.refusals[ST_QUOTA], 1, memory_order_relaxed);
        log_event(shard->log, LOG_WARNING, "connection_refused", F_STR("clause", "limits.connections"),
                  F_SPAN("peer", peer));
        return NULL;
    }
    return conn_new(shard, io, peer, moved);
}

size_t shard_input(struct shard *shard, struct conn *conn, struct span input, struct now now)
{
    size_t used;

    see_clock(shard, now);
    used = conn_input(conn, input);
    leave(shard);
    return used;
}

void shard_closed(struct shard *shard, struct conn *conn, const char *reason, struct now now)
{
    see_clock(shard, now);
    conn_gone(conn, reason);
    leave(shard);
}

void shard_output_drained(struct shard *shard, struct conn *conn, struct now now)
{
    see_clock(shard, now);
    if (conn_is_open(conn))
        session_pump(conn->session);
    leave(shard);
}

void shard_take(struct shard *shard, struct shard_msg *msg)
{
    switch (msg->kind) {
    case MSG_DELIVER:
        route_on_deliver(shard, msg);
        break;
    case MSG_RETAIN_SET:
        route_on_retain(shard, msg);
        break;
    case MSG_RETAIN_KEPT:
        retained_ask_on_kept(msg);
        break;
    case MSG_INTEREST_ADD:
        interest_on_add(shard, msg);
        break;
    case MSG_INTEREST_ADDED:
        interest_on_added(shard, msg);
        break;
    case MSG_INTEREST_REMOVE:
        interest_on_remove(shard, msg);
        break;
    case MSG_RETAIN_QUERY:
        subscribe_on_query(shard, msg);
        break;
    case MSG_RETAIN_FOUND:
        subscribe_on_found(shard, msg);
        break;
    case MSG_SHARE_JOIN:
        share_on_join(shard, msg);
        break;
    case MSG_SHARE_JOINED:
        subscribe_on_joined(shard, msg);
        break;
    case MSG_SHARE_LEAVE:
        share_on_leave(shard, msg);
        break;
    case MSG_SHARE_STATE:
        share_on_state(shard, msg);
        break;
    case MSG_SHARE_TAKE:
        share_on_take(shard, msg);
        break;
    case MSG_SHARE_RETURN:
        share_on_return(shard, msg);
        break;
    case MSG_DURABLE:
        journal_on_durable(shard, msg);
        break;
    }
}

void shard_messages(struct shard *shard, struct shard_msg *first, struct now now)
{
    see_clock(shard, now);
    for (struct shard_msg *msg = first, *next; msg != NULL; msg = next) {
        next = msg->next;
        msg->next = NULL;
        if (!late_holds(shard, msg))
            shard_take(shard, msg);
    }
    leave(shard);
}

void shard_token_resolved(struct shard *shard, uint64_t request, enum status st, struct token *token,
                          struct why why, struct now now)
{
    see_clock(shard, now);
    inquiry_resolved(shard, request, st, token, why);
    token_unref(token);
    leave(shard);
}

void shard_tokens_stored(struct shard *shard, struct now now)
{
    see_clock(shard, now);
    authz_info_stored(shard);
    shard->journal.receipts = token_store_written(shard->settings->tokens);
    gate_open_all(shard);
    leave(shard);
}

void shard_token_status(struct shard *shard, const uint8_t hash[32], struct token *token, struct why why,
                        struct now now)
{
    see_clock(shard, now);
    token_status_news(shard, hash, token, &why);
    leave(shard);
}

bool shard_cut_client(struct shard *shard, struct span client_id, struct now now)
{
    static const struct why why = { "control", "the operator ended the connection", 0 };
    const struct session *s;
    bool cut;

    see_clock(shard, now);
    s = session_find(shard, client_id);
    cut = s != NULL && s->conn != NULL;
    if (cut)
        conn_refuse(s->conn, MQTT_ADMINISTRATIVE_ACTION, ST_DENIED, &why, "client_cut");
    leave(shard);
    return cut;
}

bool shard_forget_client(struct shard *shard, struct span client_id, struct now now)
{
    struct session *s;
    bool waits;

    see_clock(shard, now);
    s = session_find(shard, client_id);
    waits = s != NULL && s->conn == NULL;
    if (waits)
        session_end(s);
    leave(shard);
    return waits;
}

void shard_issuer_silent(struct shard *shard, struct span iss, struct why why, struct now now)
{
    see_clock(shard, now);
    token_status_silence(shard, iss, &why);
    leave(shard);
}

struct token *shard_find_token(const struct shard *shard, const uint8_t hash[32])
{
    return token_status_find(shard, hash);
}

void shard_advance(struct shard *shard, struct now now)
{
    see_clock(shard, now);
    token_status_turn(shard);
    timer_wheel_advance(&shard->timers, now);
    conn_yielded(shard);
    throttle_feed(shard);
    leave(shard);
    throttle_account(shard);
}

int64_t shard_wait_ms(const struct shard *shard, struct now now)
{
    int64_t wait_ms = timer_wheel_wait_ms(&shard->timers, now.mono);

    if (!list_empty(&shard->yielding) || token_status_waits(shard))
        return 0;
    if (shard->journal.starved && (wait_ms < 0 || wait_ms > STARVED_MS))
        return STARVED_MS; /* for the next shard_seal() */
    return wait_ms;
}

void shard_seal(struct shard *shard, struct now now)
{
    see_clock(shard, now);
    journal_seal(shard);
    leave(shard);
}

void shard_stored(struct shard *shard, uint64_t seq, struct now now)
{
    see_clock(shard, now);
    journal_stored(shard, seq);
    leave(shard);
}

void shard_store_state(struct shard *shard, enum status st, struct why why, struct now now)
{
    see_clock(shard, now);
    journal_state(shard, st, why);
    leave(shard);
}

bool shard_unstored(const struct shard *shard)
{
    return journal_unstored(&shard->journal);
}

void shard_stop(struct shard *shard, struct now now)
{
    uint8_t code =
        shard->settings->server_reference.len > 0 ? MQTT_USE_ANOTHER_SERVER : MQTT_SERVER_SHUTTING_DOWN;
    struct why why;

    see_clock(shard, now);
    LIST_EACH_SAFE (it, &shard->conns) {
        struct conn *c = CONTAINER_OF(it, struct conn, link);

        conn_refuse(c, code, reject(&why, ST_UNREACHABLE, "MQTT5 3.14.2.1", "the broker is shutting down", 0),
                    &why, "client_dismissed");
    }
    leave(shard);
}

void shard_stats(const struct shard *shard, struct stats *out)
{
#define COPY_STAT(name, kind, help) \
    atomic_init(&out->name, atomic_load_explicit(&shard->stats.name, memory_order_relaxed));
    STATS_LIST(COPY_STAT)
#undef COPY_STAT
    for (int i = 0; i < STATUSES; i++)
        atomic_init(&out->refusals[i], atomic_load_explicit(&shard->stats.refusals[i], memory_order_relaxed));
    out->bodies = out->retained = NULL;
    if (shard->stats.bodies != NULL) {
        STATS_ADD(out, memory_queued, atomic_load_explicit(&shard->stats.bodies->bytes, memory_order_relaxed));
        STATS_ADD(out, memory_retained,
                  atomic_load_explicit(&shard->stats.retained->bytes, memory_order_relaxed));
    }
    if (shard->index == 0 && shard->settings->tokens != NULL)
        STATS_ADD(out, memory_tokens, token_store_bytes(shard->settings->tokens));
}
