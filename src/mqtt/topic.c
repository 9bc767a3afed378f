#include "mqtt/topic.h"

#include "base/utf8.h"

#define SHARE_PREFIX "$share/"

struct topic_levels topic_levels(struct span s)
{
    return (struct topic_levels){ .s = s };
}

bool topic_level_next(struct topic_levels *l, struct span *ret_level)
{
    if (l->done)
        return false;
    size_t end = span_find(l->s, '/', l->at);
    *ret_level = span_cut(l->s, l->at, end - l->at);
    l->done = end == l->s.len;
    l->at = end + 1;
    return true;
}

size_t topic_level_count(struct span s)
{
    size_t count = 1;
    for (size_t i = 0; i < s.len; i++)
        count += s.p[i] == '/';
    return count;
}

static bool level_is(struct span level, char wildcard)
{
    return level.len == 1 && level.p[0] == wildcard;
}

static bool starts_with_wildcard(struct span s)
{
    return s.len > 0 && (s.p[0] == '+' || s.p[0] == '#');
}

/* What names and filters have in common: MQTT5 4.7.3. */
static enum status check_text(struct span s, struct why *why)
{
    if (s.len == 0)
        return reject(why, ST_MALFORMED, "MQTT5 [MQTT-4.7.3-1]", "empty topic", 0);
    if (s.len > TOPIC_LEN_MAX)
        return reject(why, ST_MALFORMED, "MQTT5 [MQTT-4.7.3-3]", "topic longer than 65535 bytes",
                      TOPIC_LEN_MAX);
    if (!utf8_valid(s))
        return reject(why, ST_MALFORMED, "MQTT5 [MQTT-1.5.4-1]", "topic is not UTF-8", 0);
    size_t nul = span_find(s, 0, 0);
    if (nul < s.len)
        return reject(why, ST_MALFORMED, "MQTT5 [MQTT-4.7.3-2]", "U+0000 in a topic", nul);
    return ST_OK;
}

/* Bit 7 of each byte of `word` that is 0, and perhaps of others behind one that is. */
static uint64_t zeros(uint64_t word)
{
    return (word - UINT64_C(0x0101010101010101)) & ~word;
}

/* Most topics are ASCII without anything that a name may not have: eight bytes at a time see to it. False says nothing. */
static bool is_plain_name(struct span s)
{
    static const uint64_t each = UINT64_C(0x0101010101010101);
    size_t i = 0;

    if (s.len == 0 || s.len > TOPIC_LEN_MAX)
        return false;
    for (; i + sizeof(uint64_t) <= s.len; i += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, s.p + i, sizeof word);
        if (((word | zeros(word) | zeros(word ^ each * '+') | zeros(word ^ each * '#')) & each * 0x80) != 0)
            return false;
    }
    for (; i < s.len; i++)
        if (s.p[i] == 0 || s.p[i] >= 0x80 || s.p[i] == '+' || s.p[i] == '#')
            return false;
    return true;
}

enum status topic_name_parse(struct span s, struct topic_name *ret, struct why *why)
{
    if (is_plain_name(s)) {
        *ret = (struct topic_name){ s };
        return ST_OK;
    }
    enum status st = check_text(s, why);
    if (st != ST_OK)
        return st;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] == '+' || s.p[i] == '#')
            return reject(why, ST_MALFORMED, "MQTT5 [MQTT-3.3.2-2]", "wildcard in a topic name", i);
    *ret = (struct topic_name){ s };
    return ST_OK;
}

/* MQTT5 4.7.1: a wildcard fills its level, and # is the last one. */
static enum status check_wildcards(struct span s, struct why *why)
{
    struct topic_levels levels = topic_levels(s);
    struct span level;

    for (size_t at = 0; topic_level_next(&levels, &level); at = levels.at) {
        size_t hash = span_find(level, '#', 0);
        size_t plus = span_find(level, '+', 0);
        if (hash < level.len && (level.len != 1 || !levels.done))
            return reject(why, ST_MALFORMED, "MQTT5 [MQTT-4.7.1-1]", "# must be alone in the last level",
                          at + hash);
        if (plus < level.len && level.len != 1)
            return reject(why, ST_MALFORMED, "MQTT5 [MQTT-4.7.1-2]", "+ must be alone in its level", at + plus);
    }
    return ST_OK;
}

bool topic_filter_is_shared(struct topic_filter filter)
{
    return span_starts_with(filter.s, SPAN(SHARE_PREFIX));
}

void topic_filter_unshare(struct topic_filter filter, struct span *ret_share_name,
                          struct topic_filter *ret_filter)
{
    *ret_share_name = SPAN_NONE;
    *ret_filter = filter;
    if (!topic_filter_is_shared(filter))
        return;
    size_t name_at = SPAN(SHARE_PREFIX).len;
    size_t name_end = span_find(filter.s, '/', name_at);
    *ret_share_name = span_cut(filter.s, name_at, name_end - name_at);
    ret_filter->s = span_cut(filter.s, name_end + 1, SIZE_MAX);
}

static enum status check_share(struct topic_filter shared, struct why *why)
{
    struct span name;
    struct topic_filter inner;
    size_t at = SPAN(SHARE_PREFIX).len;

    topic_filter_unshare(shared, &name, &inner);
    if (name.len == 0)
        return reject(why, ST_MALFORMED, "MQTT5 [MQTT-4.8.2-1]", "empty ShareName", at);
    if (span_find(name, '+', 0) < name.len || span_find(name, '#', 0) < name.len)
        return reject(why, ST_MALFORMED, "MQTT5 [MQTT-4.8.2-2]", "wildcard in a ShareName", at);
    if (inner.s.len == 0)
        return reject(why, ST_MALFORMED, "MQTT5 [MQTT-4.8.2-2]", "no topic filter behind the ShareName",
                      at + name.len);
    return ST_OK;
}

enum status topic_filter_parse(struct span s, struct topic_filter *ret, struct why *why)
{
    enum status st = check_text(s, why);
    if (st == ST_OK && topic_filter_is_shared((struct topic_filter){ s }))
        st = check_share((struct topic_filter){ s }, why);
    if (st == ST_OK)
        st = check_wildcards(s, why);
    if (st == ST_OK)
        *ret = (struct topic_filter){ s };
    return st;
}

bool topic_filter_has_wildcard(struct topic_filter filter)
{
    return span_find(filter.s, '+', 0) < filter.s.len || span_find(filter.s, '#', 0) < filter.s.len;
}

bool topic_matches(struct topic_filter filter, struct topic_name name)
{
    struct topic_levels f = topic_levels(filter.s), n = topic_levels(name.s);
    struct span wanted, level;

    if (topic_is_reserved(name.s) && starts_with_wildcard(filter.s)) /* [MQTT-4.7.2-1] */
        return false;
    while (topic_level_next(&f, &wanted)) {
        if (level_is(wanted, '#')) /* the parent level too: "a/#" matches "a" (4.7.1.2) */
            return true;
        if (!topic_level_next(&n, &level))
            return false;
        if (!level_is(wanted, '+') && !span_eq(wanted, level))
            return false;
    }
    return n.done;
}

/* True if what is left of `l` is a single #. */
static bool only_hash_left(struct topic_levels l)
{
    struct span level;
    return topic_level_next(&l, &level) && level_is(level, '#');
}

bool topic_filter_covers(struct topic_filter outer, struct topic_filter inner)
{
    struct span share_name, o, i;

    topic_filter_unshare(inner, &share_name, &inner);
    if (topic_is_reserved(inner.s) && starts_with_wildcard(outer.s))
        return false;
    struct topic_levels os = topic_levels(outer.s), is = topic_levels(inner.s);
    for (bool first = true;; first = false) {
        bool outer_left = topic_level_next(&os, &o);
        bool inner_left = topic_level_next(&is, &i);
        if (outer_left && level_is(o, '#')) /* also when `inner` ended just before: "a/#" covers "a" */
            return true;
        if (!outer_left || !inner_left)
            return outer_left == inner_left;
        if (level_is(i, '#')) /* topics have a first level, so "+/#" is "#"; nothing else covers a # but # */
            return first && level_is(o, '+') && only_hash_left(os);
        if (level_is(o, '+'))
            continue;
        if (level_is(i, '+') || !span_eq(o, i))
            return false;
    }
}

/* One step of the intersection. Appends the level both allow; false if there is none. */
static bool intersect_level(struct span a, struct span b, struct buf *out)
{
    if (level_is(a, '+')) {
        put_bytes(out, b);
        return true;
    }
    put_bytes(out, a);
    return level_is(b, '+') || span_eq(a, b);
}

/* Walks both until one of them says how it goes on; false if no topic can follow both. */
static bool intersect_levels(struct topic_filter a, struct topic_filter b, struct buf *out)
{
    struct topic_levels as = topic_levels(a.s), bs = topic_levels(b.s);
    struct span a_level, b_level;

    for (bool first = true;; first = false) {
        size_t a_at = as.at, b_at = bs.at;
        bool a_left = topic_level_next(&as, &a_level);
        bool b_left = topic_level_next(&bs, &b_level);
        bool a_hash = a_left && level_is(a_level, '#'), b_hash = b_left && level_is(b_level, '#');
        if (!a_left && !b_left)
            return true;
        if ((a_hash && !b_left) || (b_hash && !a_left)) /* "a/#" and "a": "a" */
            return true;
        if (!a_left || !b_left)
            return false;
        if (!first)
            put_u8(out, '/');
        if (a_hash || b_hash) { /* # puts no limit on what the other one still says */
            put_bytes(out, a_hash ? span_cut(b.s, b_at, SIZE_MAX) : span_cut(a.s, a_at, SIZE_MAX));
            return true;
        }
        if (!intersect_level(a_level, b_level, out))
            return false;
    }
}

bool topic_filter_intersect(struct topic_filter a, struct topic_filter b, struct buf *out)
{
    size_t start = out->len;

    if ((topic_is_reserved(a.s) && starts_with_wildcard(b.s)) ||
        (topic_is_reserved(b.s) && starts_with_wildcard(a.s)))
        return false;
    /* "+" and "/#" leave the empty topic, which is none: MQTT5 [MQTT-4.7.3-1] */
    if (intersect_levels(a, b, out) && (out->len > start || !buf_ok(out)))
        return true;
    buf_truncate(out, start);
    return false;
}
