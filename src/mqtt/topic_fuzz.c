/* Two filters and a name, one a line: what they say of each other must agree. */
#include "mqtt/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct span next_line(struct span *rest)
{
    size_t end = span_find(*rest, '\n', 0);
    struct span line = span_cut(*rest, 0, end);

    *rest = span_cut(*rest, end + 1, SIZE_MAX);
    return line;
}

static void check_three(struct topic_filter a, struct topic_filter b, struct topic_name name)
{
    struct topic_filter both = { SPAN_NONE };
    struct buf out;

    buf_init(&out, 2 * TOPIC_LEN_MAX);
    bool meet = topic_filter_intersect(a, b, &out);
    if (meet)
        ASSERT(topic_filter_parse(buf_span(&out), &both, NULL) == ST_OK);
    ASSERT((topic_matches(a, name) && topic_matches(b, name)) == (meet && topic_matches(both, name)));
    if (topic_filter_covers(a, b)) {
        ASSERT(!topic_matches(b, name) || topic_matches(a, name));
        ASSERT(!meet || topic_filter_covers(both, b));
    }
    if (meet)
        ASSERT(topic_filter_covers(a, both) && topic_filter_covers(b, both));
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct span rest = span_of(data, len);
    struct span first = next_line(&rest), second = next_line(&rest);
    struct topic_filter a, b, inner;
    struct topic_name name;
    struct span share_name;
    struct why why = { 0 };

    bool a_ok = topic_filter_parse(first, &a, &why) == ST_OK;
    ASSERT(a_ok || (why.clause != NULL && why.at <= first.len));
    bool b_ok = topic_filter_parse(second, &b, &why) == ST_OK;
    bool name_ok = topic_name_parse(rest, &name, &why) == ST_OK;
    if (a_ok) {
        ASSERT(topic_filter_covers(a, a) || topic_filter_is_shared(a));
        topic_filter_unshare(a, &share_name, &inner);
        ASSERT(topic_filter_parse(inner.s, &inner, NULL) == ST_OK || topic_filter_is_shared(inner));
    }
    if (a_ok && b_ok && name_ok && !topic_filter_is_shared(a) && !topic_filter_is_shared(b))
        check_three(a, b, name);
    return 0;
}
