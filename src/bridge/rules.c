#include "bridge/rules.h"

#include "scope/scope.h"

#include <stdlib.h>

struct rules {
    size_t count;
    struct rule items[];
};

static enum rule_side other(enum rule_side side)
{
    return side == SIDE_LOCAL ? SIDE_REMOTE : SIDE_LOCAL;
}

bool rule_takes_from(const struct rule *rule, enum rule_side from)
{
    return rule->direction == RULE_BOTH || rule->direction == (from == SIDE_LOCAL ? RULE_OUT : RULE_IN);
}

size_t rules_count(const struct rules *rules)
{
    return rules->count;
}

const struct rule *rules_at(const struct rules *rules, size_t i)
{
    return &rules->items[i];
}

/* ---- making ---- */

static enum status make_filter(struct span prefix, struct span filter, size_t i, const char *side,
                               struct topic_filter *ret, struct buf *problem)
{
    struct why why = { 0 };
    size_t len = prefix.len + filter.len;
    uint8_t *text = malloc(len + 1);

    if (text == NULL)
        return ST_NO_MEMORY;
    if (prefix.len > 0)
        memcpy(text, prefix.p, prefix.len);
    if (filter.len > 0)
        memcpy(text + prefix.len, filter.p, filter.len);
    text[len] = '\0';
    struct topic_filter parsed;
    enum status st = topic_filter_parse(span_of(text, len), &parsed, &why);
    if (st == ST_OK && topic_filter_is_shared(parsed))
        st = reject(&why, ST_MALFORMED, "MQTT5 4.8.2", "a shared subscription cannot be bridged", 0);
    if (st == ST_OK) {
        *ret = parsed;
        return ST_OK;
    }
    put_fmt(problem, "topics[%zu]: \"%s\" is no topic filter of the %s side: %s (%s)\n", i + 1,
            (const char *)text, side, why.text, why.clause);
    free(text);
    return ST_MALFORMED;
}

static enum status check_prefix(struct span prefix, size_t i, const char *side, struct buf *problem)
{
    if (span_find(prefix, '#', 0) == prefix.len && span_find(prefix, '+', 0) == prefix.len)
        return ST_OK;
    put_fmt(problem, "topics[%zu]: the %s prefix is part of topic names: no wildcard\n", i + 1, side);
    return ST_MALFORMED;
}

static enum status make_rule(const struct rule_text *text, size_t i, struct rule *rule, struct buf *problem)
{
    static const char *const names[] = { [SIDE_LOCAL] = "local", [SIDE_REMOTE] = "remote" };
    const struct span prefixes[] = {
        [SIDE_LOCAL] = span_of_str(text->local_prefix), [SIDE_REMOTE] = span_of_str(text->remote_prefix)
    };
    enum status st = ST_OK;

    rule->direction = text->direction;
    rule->qos = text->qos;
    for (int side = SIDE_LOCAL; st == ST_OK && side <= SIDE_REMOTE; side++) {
        rule->prefix_len[side] = prefixes[side].len;
        st = check_prefix(prefixes[side], i, names[side], problem);
        if (st == ST_OK)
            st = make_filter(prefixes[side], span_of_str(text->filter), i, names[side], &rule->filter[side],
                             problem);
    }
    return st;
}

enum status rules_new(const struct rule_text *texts, size_t count, struct rules **ret_rules,
                      struct buf *problem)
{
    CLEANUP(rules_freep)
    struct rules *rules = calloc(1, sizeof *rules + count * sizeof rules->items[0]);
    enum status worst = ST_OK;

    if (rules == NULL)
        return ST_NO_MEMORY;
    rules->count = count;
    for (size_t i = 0; i < count; i++) {
        enum status st = make_rule(&texts[i], i, &rules->items[i], problem);
        worst = st == ST_OK ? worst : st;
    }
    if (worst == ST_OK)
        *ret_rules = TAKE(rules);
    return worst;
}

void rules_free(struct rules *rules)
{
    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->count; i++)
        for (int side = SIDE_LOCAL; side <= SIDE_REMOTE; side++)
            free((void *)rules->items[i].filter[side].s.p);
    free(rules);
}

void rules_freep(struct rules **rules)
{
    rules_free(*rules);
    *rules = NULL;
}

/* ---- mapping ---- */

/* "a/#" matches "a" too: there the prefix "a/" loses its slash on both sides. */
static bool exchange(const struct rule *rule, enum rule_side from, struct span topic, struct buf *out)
{
    struct span old = span_cut(rule->filter[from].s, 0, rule->prefix_len[from]);
    struct span new = span_cut(rule->filter[other(from)].s, 0, rule->prefix_len[other(from)]);

    if (span_starts_with(topic, old)) {
        put_bytes(out, new);
        put_bytes(out, span_cut(topic, old.len, topic.len));
        return true;
    }
    if (old.len != topic.len + 1 || new.len < 2)
        return false;
    put_bytes(out, span_cut(new, 0, new.len - 1));
    return true;
}

/* A topic of the other broker must not become one of our $SYS because its prefix ends there. */
bool rule_exchange(const struct rule *rule, enum rule_side from, struct topic_name topic, struct buf *out)
{
    size_t start = out->len;
    struct topic_name mapped;

    if (exchange(rule, from, topic.s, out) && buf_ok(out) &&
        topic_name_parse(span_cut(buf_span(out), start, out->len), &mapped, NULL) == ST_OK &&
        topic_matches(rule->filter[other(from)], mapped))
        return true;
    buf_truncate(out, start);
    return false;
}

const struct rule *rules_map(const struct rules *rules, enum rule_side from, struct topic_name topic,
                             struct buf *out)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->items[i];
        if (rule_takes_from(rule, from) && topic_matches(rule->filter[from], topic))
            return rule_exchange(rule, from, topic, out) ? rule : NULL;
    }
    return NULL;
}

/* ---- checking ---- */

static bool meet(struct topic_filter a, struct topic_filter b, struct buf *common)
{
    buf_reset(common);
    return topic_filter_intersect(a, b, common) && buf_ok(common);
}

static void check_pair(const struct rules *rules, size_t i, size_t k, bool echo, struct buf *problem)
{
    const struct rule *a = &rules->items[i], *b = &rules->items[k];
    CLEANUP(buf_done)
    struct buf common = { .max = TOPIC_LEN_MAX };

    for (int side = SIDE_LOCAL; i < k && side <= SIDE_REMOTE; side++)
        if (rule_takes_from(a, side) && rule_takes_from(b, side) &&
            meet(a->filter[side], b->filter[side], &common))
            put_fmt(problem,
                    "topics[%zu] and topics[%zu] both take \"%.*s\" from the %s side: it would go over twice\n",
                    i + 1, k + 1, SPAN_FMT(buf_span(&common)), side == SIDE_LOCAL ? "local" : "remote");
    if (echo && rule_takes_from(a, SIDE_LOCAL) && rule_takes_from(b, SIDE_REMOTE) &&
        meet(a->filter[SIDE_REMOTE], b->filter[SIDE_REMOTE], &common))
        put_fmt(
            problem,
            "topics[%zu] sends \"%.*s\" to the other broker, and topics[%zu] would bring it back: MQTT 3.1.1 "
            "cannot be told not to (version 5, or bridge_bit for mosquitto, can)\n",
            i + 1, SPAN_FMT(buf_span(&common)), k + 1);
}

void rules_check(const struct rules *rules, bool echo, struct buf *problem)
{
    for (size_t i = 0; i < rules->count; i++)
        for (size_t k = 0; k < rules->count; k++)
            check_pair(rules, i, k, echo, problem);
}

/* ---- scopes ---- */

/* The same filter twice would be refused: its permissions are put together. */
static void add_entry(struct scope_entry *entries, size_t *count, struct topic_filter filter,
                      unsigned permissions)
{
    for (size_t i = 0; i < *count; i++)
        if (span_eq(entries[i].filter.s, filter.s)) {
            entries[i].permissions |= permissions;
            return;
        }
    entries[(*count)++] = (struct scope_entry){ filter, permissions };
}

enum status rules_scope(const struct rules *rules, enum rule_side side, struct span extra,
                        struct scope **ret_scope, struct why *why)
{
    CLEANUP(freep)
    struct scope_entry *entries = calloc(rules->count + 1, sizeof *entries);
    size_t count = 0;

    if (entries == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->items[i];
        unsigned permissions = (rule_takes_from(rule, side) ? (unsigned)SCOPE_SUB : 0) |
                               (rule_takes_from(rule, other(side)) ? (unsigned)SCOPE_PUB : 0);
        add_entry(entries, &count, rule->filter[side], permissions);
    }
    if (extra.len > 0)
        add_entry(entries, &count, (struct topic_filter){ extra }, SCOPE_PUB);
    return scope_build(entries, count, ret_scope, why);
}
