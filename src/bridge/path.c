#include "bridge/path.h"

struct hop {
    struct span text, node;
    bool in; /* it has come in there, and has not gone out */
};

static bool next_hop(struct span path, size_t *at, struct hop *ret)
{
    if (path.len == 0 || *at > path.len)
        return false;
    size_t end = span_find(path, ',', *at);
    ret->text = span_cut(path, *at, end - *at);
    ret->in = span_starts_with(ret->text, SPAN("+"));
    ret->node = span_cut(ret->text, ret->in ? 1 : 0, ret->text.len);
    *at = end + 1;
    return true;
}

/* What came in here and is about to go on out has this node at its end: that is no ring. */
bool path_ends(struct span path, struct span node, enum path_way way)
{
    struct hop hop;
    size_t hops = 0;

    for (size_t at = 0; next_hop(path, &at, &hop);) {
        bool on_its_way = way == PATH_OUT && hop.in && at > path.len;
        if (span_eq(hop.node, node) && !on_its_way)
            return true;
        if (++hops >= PATH_MAX_HOPS && !on_its_way)
            return true;
    }
    return false;
}

void path_add(struct span path, struct span node, enum path_way way, struct buf *out)
{
    struct hop hop = { 0 };
    struct span before = path;

    for (size_t at = 0; next_hop(path, &at, &hop);)
        continue;
    if (way == PATH_OUT && hop.in && span_eq(hop.node, node)) /* "+node" becomes "node" */
        before = span_cut(path, 0, path.len - hop.text.len - (path.len > hop.text.len ? 1 : 0));
    put_bytes(out, before);
    if (before.len > 0)
        put_u8(out, ',');
    if (way == PATH_IN)
        put_u8(out, '+');
    put_bytes(out, node);
}
