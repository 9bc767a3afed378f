#include "bridge/bridge_priv.h"

#include "base/clock.h"
#include "bridge/path.h"
#include "scope/scope.h"

#include <stdlib.h>
#include <string.h>

#define REPORT_EVERY_MS 60000
#define LOCAL_AGAIN_MS  1000

static const char *const side_names[] = { [SIDE_LOCAL] = "local", [SIDE_REMOTE] = "remote" };

static const char *address_of(const struct bridge *b)
{
    return b->config->addresses.items[b->address];
}

/* ---- refusals ---- */

static struct refusal_kind *kind_of(struct bridge *b, enum rule_side from, const struct symbolon_error *why)
{
    struct refusal_kind *kind;

    for (size_t i = 0; i < b->refusal_count; i++) {
        kind = &b->refusals[i];
        if (kind->from == from && kind->status == why->status && kind->reason_code == why->reason_code)
            return kind;
    }
    kind = &b->refusals[b->refusal_count < REASONS_MAX ? b->refusal_count++ : 0];
    *kind = (struct refusal_kind){
        .from = from, .status = why->status, .reason_code = why->reason_code, .reported_ms = -REPORT_EVERY_MS
    };
    return kind;
}

static void on_dropped(void *ctx, enum rule_side from, struct span topic, const struct symbolon_error *why)
{
    struct bridge *b = ctx;
    struct refusal_kind *kind = kind_of(b, from, why);
    int64_t now_ms = now_read().mono.ms;

    if (now_ms - kind->reported_ms < REPORT_EVERY_MS) {
        kind->silent++;
        return;
    }
    log_event(&b->log, LOG_WARNING, "bridge_refused", F_STR("from", side_names[from]), F_SPAN("topic", topic),
              F_I64("reason_code", why->reason_code), F_STR("clause", why->clause), F_STR("why", why->text),
              F_I64("unreported", kind->silent));
    kind->reported_ms = now_ms;
    kind->silent = 0;
}

/* ---- the relay's sides ---- */

static enum symbolon_status side_publish(void *ctx, const struct symbolon_message *message, uint64_t *ret_id,
                                         struct symbolon_error *error)
{
    struct bridge_end *end = ctx;

    return symbolon_client_publish(end->client, message, ret_id, error);
}

static void side_ack(void *ctx, uint64_t handle, uint8_t reason)
{
    struct bridge_end *end = ctx;

    struct symbolon_error error;

    if (symbolon_client_ack(end->client, handle, reason, &error) !=
        SYMBOLON_OK) /* its session is gone: it comes anew */
        log_event(&end->bridge->log, LOG_DEBUG, "bridge_note", F_STR("side", side_names[end->side]),
                  F_STR("text", error.text));
}

static bool side_connected(void *ctx)
{
    return ((struct bridge_end *)ctx)->connected;
}

static size_t side_waiting(void *ctx)
{
    return symbolon_client_pending(((struct bridge_end *)ctx)->client);
}

/* Only of the other broker: ours sends no more than our Receive Maximum, and if both waited for each other to be read,
 * neither's acknowledgements would be. */
static void side_hold(void *ctx, bool on)
{
    symbolon_client_pause(((struct bridge_end *)ctx)->client, on);
}

/* ---- the state, for others to see ---- */

static void publish_state(struct bridge_end *end, const char *topic, const char *state)
{
    struct symbolon_message message = {
        .topic = { topic, strlen(topic) }, .payload = { state, 1 }, .qos = 1, .retain = true
    };
    struct symbolon_error error;

    if (symbolon_client_publish(end->client, &message, NULL, &error) != SYMBOLON_OK)
        on_dropped(end->bridge, end->side == SIDE_LOCAL ? SIDE_REMOTE : SIDE_LOCAL, span_of_str(topic), &error);
}

static void show_state(struct bridge *b)
{
    const char *state = b->end[SIDE_REMOTE].connected ? "1" : "0";

    if (b->state_topic.len == 0 || !b->end[SIDE_LOCAL].connected ||
        (b->state != NULL && strcmp(b->state, state) == 0))
        return;
    b->state = state;
    publish_state(&b->end[SIDE_LOCAL], (const char *)b->state_topic.p, state);
}

/* ---- subscribing ---- */

/* No Local: what we publish there must not come back. The retained flag stays as it was published. */
static void subscribe(struct bridge_end *end)
{
    const struct bridge *b = end->bridge;
    struct symbolon_subscription subscriptions[RULES_MAX];
    struct symbolon_error error;
    bool v5 = !b->relay.side[end->side].v3;
    size_t n = 0;

    for (size_t i = 0; i < rules_count(b->rules); i++) {
        const struct rule *rule = rules_at(b->rules, i);
        if (rule_takes_from(rule, end->side))
            subscriptions[n++] =
                (struct symbolon_subscription){ .filter = (const char *)rule->filter[end->side].s.p,
                                                .qos = rule->qos,
                                                .no_local = v5,
                                                .retain_as_published = v5 };
    }
    if (n > 0 && symbolon_client_subscribe(end->client, subscriptions, n, NULL, &error) != SYMBOLON_OK)
        log_event(&b->log, LOG_WARNING, "bridge_subscription_refused", F_STR("side", side_names[end->side]),
                  F_STR("clause", error.clause), F_STR("why", error.text));
}

/* A filter that was refused, or never answered, is asked for again at the next connection. */
static void on_subscribed(void *arg, uint64_t id UNUSED, const uint8_t *codes, size_t count,
                          const struct symbolon_error *result)
{
    struct bridge_end *end = arg;
    const struct bridge *b = end->bridge;
    size_t n = 0;

    end->subscribed = result->status == SYMBOLON_OK;
    if (count > 0)
        log_event(&b->log, LOG_INFO, "bridge_subscribed", F_STR("side", side_names[end->side]),
                  F_I64("filters", count));
    for (size_t i = 0; i < rules_count(b->rules) && n < count; i++) {
        const struct rule *rule = rules_at(b->rules, i);
        if (!rule_takes_from(rule, end->side))
            continue;
        if (codes[n++] >= 0x80)
            log_event(&b->log, LOG_WARNING, "bridge_subscription_refused", F_STR("side", side_names[end->side]),
                      F_SPAN("filter", rule->filter[end->side].s), F_I64("reason_code", codes[n - 1]),
                      F_STR("why", result->text));
    }
}

/* ---- coming and going ---- */

static void learn_node(struct bridge *b, const struct symbolon_connected *connected)
{
    relay_set_remote_node(&b->relay, SPAN_NONE);
    for (size_t i = 0; i < connected->user_property_count; i++) {
        const struct symbolon_user_property *p = &connected->user_properties[i];
        if (span_eq_str(span_of(p->name.p, p->name.len), PATH_NODE_PROPERTY))
            relay_set_remote_node(&b->relay, span_of(p->value.p, p->value.len));
    }
}

static void on_connected(void *arg, const struct symbolon_connected *connected)
{
    struct bridge_end *end = arg;
    struct bridge *b = end->bridge;

    end->connected = true;
    if (end->side == SIDE_REMOTE)
        learn_node(b, connected);
    if (end->side == SIDE_REMOTE)
        log_event(&b->log, LOG_NOTICE, "bridge_connected", F_STR("address", address_of(b)),
                  F_STR("mqtt", b->config->version == BRIDGE_V5 ? "5" : "3.1.1"),
                  F_STR("session", connected->session_present ? "continued" : "new"),
                  F_STR("tls", connected->tls == NULL ? "" : connected->tls));
    if (!end->subscribed || !connected->session_present)
        subscribe(end);
    if (end->side == SIDE_REMOTE && b->config->remote_notification_topic != NULL)
        publish_state(end, b->config->remote_notification_topic, "1");
    show_state(b);
}

/* Another place, for the next attempt. */
static void next_address(struct bridge *b)
{
    CLEANUP(buf_done)
    struct buf host = { .max = 1024 };
    struct symbolon_error error;
    uint16_t port;

    if (b->config->addresses.count < 2)
        return;
    size_t next = (b->address + 1) % b->config->addresses.count;
    if (bridge_address(b->config->addresses.items[next], &host, &port) != ST_OK ||
        symbolon_client_set_address(b->end[SIDE_REMOTE].client, (const char *)host.p, port, &error) !=
            SYMBOLON_OK)
        return; /* out of memory: the same one again */
    b->address = next;
}

/* What a client takes for final may be put right by somebody: certificates, policies, the other broker's settings. */
static void start_again(void *arg)
{
    struct bridge_end *end = arg;
    struct symbolon_error error;

    end->again = NULL;
    if (symbolon_client_start(end->client, &error) != SYMBOLON_OK)
        log_event(&end->bridge->log, LOG_ERROR, "bridge_unusable", F_STR("side", side_names[end->side]),
                  F_STR("why", error.text));
}

static void ended(struct bridge_end *end);

static void log_disconnected(const struct bridge_end *end, bool was_connected, const struct symbolon_error *why,
                             int64_t retry_ms)
{
    const struct bridge *b = end->bridge;
    enum log_level level = end->side == SIDE_REMOTE ? LOG_WARNING : LOG_DEBUG;

    if (b->stopping)
        level = end->side == SIDE_REMOTE ? LOG_NOTICE : LOG_DEBUG;
    log_event(&b->log, level, was_connected ? "bridge_disconnected" : "bridge_not_connected",
              F_STR("side", side_names[end->side]),
              F_STR("address", end->side == SIDE_REMOTE ? address_of(b) : "this broker"),
              F_I64("reason_code", why->reason_code), F_STR("clause", why->clause), F_STR("why", why->text),
              F_I64("retry_ms", retry_ms), F_I64("out", b->relay.counters[SIDE_LOCAL].passed),
              F_I64("in", b->relay.counters[SIDE_REMOTE].passed),
              F_I64("refused", b->relay.counters[SIDE_LOCAL].refused + b->relay.counters[SIDE_REMOTE].refused),
              F_I64("in_rings", b->relay.counters[SIDE_LOCAL].ended + b->relay.counters[SIDE_REMOTE].ended),
              F_I64("missed", b->relay.counters[SIDE_LOCAL].missed + b->relay.counters[SIDE_REMOTE].missed));
}

/* Long, unless another address has not been tried in this round. */
static int64_t pause_after_final(const struct bridge_end *end)
{
    const struct bridge *b = end->bridge;

    if (end->side == SIDE_LOCAL)
        return LOCAL_AGAIN_MS;
    return b->address + 1 < b->config->addresses.count ? b->config->reconnect_min_ms
                                                       : b->config->reconnect_max_ms;
}

static void on_disconnected(void *arg, const struct symbolon_error *why, int64_t retry_ms)
{
    struct bridge_end *end = arg;
    struct bridge *b = end->bridge;
    bool was_connected = end->connected;

    end->connected = false;
    if (retry_ms < 0 && !b->stopping) {
        retry_ms = pause_after_final(end);
        end->again = symbolon_loop_after(b->loop, (uint32_t)retry_ms, start_again, end);
    }
    log_disconnected(end, was_connected, why, retry_ms);
    if (end->side == SIDE_LOCAL)
        b->state = NULL; /* to be told again */
    else if (!b->stopping)
        next_address(b);
    show_state(b);
    if (b->stopping && retry_ms < 0)
        ended(end);
}

/* ---- messages ---- */

static void on_message(void *arg, const struct symbolon_message *message)
{
    const struct bridge_end *end = arg;

    relay_message(&end->bridge->relay, end->side, message);
}

static void on_published(void *arg, uint64_t id, const struct symbolon_error *result)
{
    const struct bridge_end *end = arg;

    relay_published(&end->bridge->relay, end->side, id, result);
}

static void on_log(void *arg, int level, const char *line)
{
    const struct bridge_end *end = arg;

    log_event(&end->bridge->log, level == 0 ? LOG_WARNING : LOG_DEBUG, "bridge_note",
              F_STR("side", side_names[end->side]), F_STR("text", line));
}

const struct symbolon_events bridge_events = {
    .connected = on_connected,
    .disconnected = on_disconnected,
    .message = on_message,
    .published = on_published,
    .subscribed = on_subscribed,
    .log = on_log,
};

/* ---- life ---- */

static enum status make_rules(struct bridge *b, struct why *why)
{
    CLEANUP(buf_done)
    struct buf problem = { .max = CONFIG_PROBLEM_MAX };
    struct span state;
    enum status st = bridge_config_rules(b->config, &b->rules, &problem);

    if (st != ST_OK) /* checked with the settings: only memory can be short */
        return reject(why, st, "bridges", "out of memory", 0);
    state = span_cut(buf_span(&b->state_topic), 0, b->state_topic.len > 0 ? b->state_topic.len - 1 : 0);
    return rules_scope(b->rules, SIDE_LOCAL, state, &b->scope, why);
}

static void log_fields(const struct log *log, struct log_field own[LOG_OWN_FIELDS])
{
    own[0] = F_STR("bridge", CONTAINER_OF(log, struct bridge, log)->config->name);
}

enum status bridge_init(struct bridge *b, const struct bridge_config *config, const struct bridge_world *world,
                        struct symbolon_loop *loop, struct why *why)
{
    struct relay_side side = { side_publish, side_ack, side_connected, side_waiting, NULL, NULL, false };

    *b = (struct bridge){ .config = config, .world = world, .loop = loop };
    b->log.own_fields = log_fields;
    buf_init(&b->client_id, UINT16_MAX);
    buf_init(&b->state_topic, TOPIC_LEN_MAX);
    put_fmt(&b->client_id, BRIDGE_CLIENT_ID "%s", config->name);
    put_u8(&b->client_id, '\0');
    bridge_state_topic(config, &b->state_topic);
    if (!buf_ok(&b->client_id) || !buf_ok(&b->state_topic))
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    enum status st = make_rules(b, why);
    relay_init(&b->relay, b->rules, span_of_str(world->node), on_dropped, b);
    for (int i = SIDE_LOCAL; i <= SIDE_REMOTE; i++) {
        b->end[i].bridge = b;
        b->end[i].side = i;
        side.ctx = &b->end[i];
        side.hold = i == SIDE_REMOTE ? side_hold : NULL;
        side.v3 = i == SIDE_REMOTE && config->version == BRIDGE_V3;
        b->relay.side[i] = side;
    }
    if (st == ST_OK)
        st = bridge_make_local(b, why);
    if (st == ST_OK)
        st = bridge_make_remote(b, why);
    return st;
}

void bridge_done(struct bridge *b)
{
    if (b->config == NULL)
        return;
    for (int i = SIDE_LOCAL; i <= SIDE_REMOTE; i++) {
        symbolon_timer_cancel(b->end[i].again);
        symbolon_client_free(b->end[i].client);
    }
    if (b->rules != NULL)
        relay_done(&b->relay);
    rules_free(b->rules);
    scope_unref(b->scope);
    buf_done(&b->client_id);
    buf_done(&b->state_topic);
}

void bridge_start(struct bridge *b)
{
    start_again(&b->end[SIDE_LOCAL]);
    start_again(&b->end[SIDE_REMOTE]);
}

/* An end between two attempts that were its last, until start_again(), hears of nothing any more. */
static void stop_end(struct bridge_end *end)
{
    bool idle = end->again != NULL;

    symbolon_timer_cancel(TAKE(end->again));
    if (idle)
        ended(end);
    else
        symbolon_client_disconnect(end->client, 0x00); /* on_disconnected() goes on */
}

/* First the other broker, so that what it had acknowledged on the way still gets here. */
static void ended(struct bridge_end *end)
{
    struct bridge *b = end->bridge;

    if (end->side == SIDE_REMOTE)
        stop_end(&b->end[SIDE_LOCAL]);
    else
        b->stopped(b->stopped_ctx);
}

void bridge_stop(struct bridge *b)
{
    struct bridge_end *remote = &b->end[SIDE_REMOTE];

    b->stopping = true;
    if (remote->connected && b->config->remote_notification_topic != NULL)
        publish_state(remote, b->config->remote_notification_topic, "0");
    stop_end(remote);
}
