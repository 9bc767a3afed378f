/* bridge/rules.h - which topics of this broker are which topics of the other one, and which way messages go.
 * A rule is a filter and a prefix for each side: "sensors/#" with the local prefix "" and the remote prefix "site7/" is
 * "sensors/#" here and "site7/sensors/#" there. A topic goes over by the first rule of its direction that matches, its
 * prefix exchanged; what would not match the rule on the other side afterwards does not go over. So mapping a topic there
 * and back gives the topic again.
 * Ownership: rules_new()/rules_free(). Threads: immutable once made. */
#ifndef SYMBOLON_BRIDGE_RULES_H
#define SYMBOLON_BRIDGE_RULES_H

#include "base/buf.h"
#include "mqtt/topic.h"

#define RULES_MAX 96 /* two permissions each, and the notification, fit into one scope */

enum rule_side { SIDE_LOCAL, SIDE_REMOTE };
enum rule_direction { RULE_OUT, RULE_IN, RULE_BOTH };

/* As the settings give it; NULL texts are "". */
struct rule_text {
    const char *filter, *local_prefix, *remote_prefix;
    enum rule_direction direction;
    uint8_t qos;
};

struct rule {
    struct topic_filter filter[2]; /* by side, prefix included; NUL behind it */
    size_t prefix_len[2];
    enum rule_direction direction;
    uint8_t qos; /* the most that goes over */
};

struct rules;
struct scope;

/* ST_MALFORMED: `problem` gets a line for each rule that cannot be, named topics[i] from 1 on. ST_NO_MEMORY. */
enum status rules_new(const struct rule_text *texts, size_t count, struct rules **ret_rules,
                      struct buf *problem) MUST_CHECK;
void rules_free(struct rules *rules);
void rules_freep(struct rules **rules);

size_t rules_count(const struct rules *rules);
const struct rule *rules_at(const struct rules *rules, size_t i);
/* Whether messages that come from this side go over by it. */
bool rule_takes_from(const struct rule *rule, enum rule_side from);

/* The rule by which a message with this topic leaves `from`, or NULL; its topic on the other side is appended to `out`. */
const struct rule *rules_map(const struct rules *rules, enum rule_side from, struct topic_name topic,
                             struct buf *out);

/* The same by one rule, whatever its direction. */
bool rule_exchange(const struct rule *rule, enum rule_side from, struct topic_name topic, struct buf *out);

/* What two rules make of each other that cannot be meant: the same message over twice, by overlapping filters in one
 * direction; with `echo`, where the other broker sends us back what we publish (MQTT 3.1.1 knows no No Local), also one
 * way out and another in for the same topics. A line each. */
void rules_check(const struct rules *rules, bool echo, struct buf *problem);

/* What the bridge does on that side: subscribes where messages leave it, publishes where they arrive. `extra` (may be
 * empty): one more topic to publish. */
enum status rules_scope(const struct rules *rules, enum rule_side side, struct span extra,
                        struct scope **ret_scope, struct why *why) MUST_CHECK;

#endif
