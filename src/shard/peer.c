#include "shard/peer.h"

struct span peer_source(struct span peer)
{
    bool v6 = peer.len > 0 && peer.p[0] == '[';
    size_t end = v6 ? 1 : span_find(peer, ':', 0);
    int colons = 0;

    if (!v6)
        return span_cut(peer, 0, end);
    while (end < peer.len && peer.p[end] != ']') {
        if (peer.p[end] == ':' && (++colons == 4 || peer.p[end - 1] == ':'))
            break; /* after four groups, or where the zeros begin */
        end++;
    }
    return span_cut(peer, 1, end - 1);
}
