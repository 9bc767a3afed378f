/* What another broker can put into a topic and into the path of a message: "topic NUL path NUL response topic". Whatever goes
 * over has a topic that maps back, and has been here afterwards. */
#include "bridge/path.h"
#include "bridge/relay.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct rules *rules;
    struct span topic; /* as given */
    enum rule_side from;
};

static void check_topic(const struct world *w, struct span topic)
{
    CLEANUP(buf_done)
    struct buf back = { .max = TOPIC_LEN_MAX };
    struct topic_name name;

    ASSERT(topic_name_parse(topic, &name, NULL) == ST_OK);
    /* by the first rule that matches over there, which another rule may hide */
    for (size_t i = 0; i < rules_count(w->rules); i++) {
        const struct rule *rule = rules_at(w->rules, i);
        buf_reset(&back);
        if (topic_matches(rule->filter[w->from == SIDE_LOCAL ? SIDE_REMOTE : SIDE_LOCAL], name) &&
            rule_exchange(rule, w->from == SIDE_LOCAL ? SIDE_REMOTE : SIDE_LOCAL, name, &back) &&
            span_eq(buf_span(&back), w->topic))
            return;
    }
    ASSERT(false);
}

static enum symbolon_status on_publish(void *ctx, const struct symbolon_message *m, uint64_t *ret_id,
                                       struct symbolon_error *error UNUSED)
{
    const struct world *w = ctx;
    const struct symbolon_user_property *path = &m->user_properties[m->user_property_count - 1];

    check_topic(w, span_of(m->topic.p, m->topic.len));
    ASSERT(path_ends(span_of(path->value.p, path->value.len), SPAN("me"), PATH_IN));
    *ret_id = 1;
    return SYMBOLON_OK;
}

static void on_ack(void *ctx UNUSED, uint64_t handle UNUSED, uint8_t reason UNUSED)
{
}

static bool yes(void *ctx UNUSED)
{
    return true;
}

static size_t none(void *ctx UNUSED)
{
    return 0;
}

static void on_dropped(void *ctx UNUSED, enum rule_side from UNUSED, struct span topic UNUSED,
                       const struct symbolon_error *why UNUSED)
{
}

static struct span part(struct span all, size_t *at)
{
    size_t end = span_find(all, '\0', *at);
    struct span s = span_cut(all, *at, end - *at);

    *at = end + 1;
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rule_text texts[] = { { "#", "here/", "there/", RULE_BOTH, 2 },
                                              { "a/+/c", "", "x/", RULE_BOTH, 1 },
                                              { "", "one", "other", RULE_BOTH, 0 },
                                              { "#", "", "all/", RULE_IN, 2 } };
    struct relay_side side = { on_publish, on_ack, yes, none, NULL, false };
    struct relay relay;
    struct world w = { .from = size % 2 == 0 ? SIDE_LOCAL : SIDE_REMOTE };
    CLEANUP(buf_done)
    struct buf problem = { .max = 4096 };
    struct span all = span_of(data, size);
    size_t at = 0;

    if (rules_new(texts, COUNT_OF(texts), &w.rules, &problem) != ST_OK)
        return 0;
    w.topic = part(all, &at);
    struct span path = part(all, &at), response = part(all, &at);
    const struct symbolon_user_property property = { { PATH_PROPERTY, sizeof PATH_PROPERTY - 1 },
                                                     { path.p, path.len } };
    const struct symbolon_message message = { .topic = { w.topic.p, w.topic.len },
                                              .qos = 2,
                                              .handle = 1,
                                              .response_topic = { response.p, response.len },
                                              .user_properties = &property,
                                              .user_property_count = 1 };
    side.ctx = &w;
    relay_init(&relay, w.rules, SPAN("me"), on_dropped, &w);
    relay.side[SIDE_LOCAL] = relay.side[SIDE_REMOTE] = side;
    relay_message(&relay, w.from, &message);
    relay_done(&relay);
    rules_free(w.rules);
    return 0;
}
