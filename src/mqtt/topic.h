/* mqtt/topic.h - topic names and topic filters (MQTT5 4.7, 4.8.2; the same grammar in 3.1.1).
 * Two types, so that a filter never passes for a name. Both borrow their bytes. Values made by
 * topic_name_parse() and topic_filter_parse() are valid; the other functions rely on that. Everything walks
 * level by level in one pass, without recursion and without allocating. */
#ifndef SYMBOLON_MQTT_TOPIC_H
#define SYMBOLON_MQTT_TOPIC_H

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

struct topic_name {
    struct span s; /* in PUBLISH: never a wildcard (MQTT5 [MQTT-3.3.2-2]) */
};

struct topic_filter {
    struct span s; /* in SUBSCRIBE and AIF: may hold + and # (MQTT5 4.7.1) */
};

#define TOPIC_LEN_MAX 65535u

/* ST_MALFORMED with the [MQTT-4.7.…] statement: empty, longer than 65535 bytes, U+0000, not UTF-8, a wildcard.
 */
enum status topic_name_parse(struct span s, struct topic_name *ret, struct why *why) MUST_CHECK;

/* The same; a wildcard must fill its level and # must be the last one. "$share/…" is accepted here as written
 * if it is well-formed (MQTT5 [MQTT-4.8.2-1], [MQTT-4.8.2-2]). */
enum status topic_filter_parse(struct span s, struct topic_filter *ret, struct why *why) MUST_CHECK;

bool topic_filter_has_wildcard(struct topic_filter filter);

/* A shared subscription, "$share/<share name>/<filter>". */
bool topic_filter_is_shared(struct topic_filter filter);
/* Takes the parts of a shared one; for any other filter *ret_share_name is empty and *ret_filter the filter. */
void topic_filter_unshare(struct topic_filter filter, struct span *ret_share_name,
                          struct topic_filter *ret_filter);

/* Walks "a//b" as "a", "", "b":  for (struct topic_levels l = topic_levels(s); topic_level_next(&l, &level);)
 */
struct topic_levels {
    struct span s;
    size_t at;
    bool done;
};
struct topic_levels topic_levels(struct span s);
bool topic_level_next(struct topic_levels *l, struct span *ret_level);
size_t topic_level_count(struct span s); /* 1 for a topic without '/' */

/* Begins with $: the server's own (MQTT5 4.7.2). */
static inline bool topic_is_reserved(struct span topic)
{
    return topic.len > 0 && topic.p[0] == '$';
}

/* A topic that starts with $ is not matched by a filter that starts with a wildcard (MQTT5 [MQTT-4.7.2-1]). */
bool topic_matches(struct topic_filter filter, struct topic_name name);

/* True if every topic name `inner` matches is matched by `outer` too: exactly, not approximately. A shared
 * `inner` counts as the filter inside it; `outer` must not be shared (MT-82 and the tests of spec section 7).
 */
bool topic_filter_covers(struct topic_filter outer, struct topic_filter inner);

/* The filter matching exactly the names both match, appended to `out`; there is always a single one, or none:
 * false, and nothing is appended. Neither may be shared. Check buf_ok(out) afterwards. */
bool topic_filter_intersect(struct topic_filter a, struct topic_filter b, struct buf *out);

#endif
