/* bridge/path.h - the way a message has come, so that rings of brokers do not go on for ever.
 * Each bridge puts the node it stands at into one MQTT 5 user property, "symbolon-path: NODE,NODE,+NODE": "+NODE" when
 * the message comes in there, "NODE" when it goes out. What has gone out of this node already, or has PATH_MAX_HOPS
 * behind it, goes no further. A node is any short text without comma and plus; each broker has its own. MQTT 3.1.1 has no
 * place for it: a ring with such a link in it is not guarded there (docs/operate/bridge.md).
 * Where both brokers are Symbolon they tell each other their nodes when the bridge connects. What has been at the other one
 * then does not go there again; without that it would go once more, and end there.
 * Everything is pure. */
#ifndef SYMBOLON_BRIDGE_PATH_H
#define SYMBOLON_BRIDGE_PATH_H

#include "base/buf.h"

#define PATH_PROPERTY        "symbolon-path"
#define PATH_BRIDGE_PROPERTY "symbolon-bridge" /* in CONNECT: our node; asks for */
#define PATH_NODE_PROPERTY   "symbolon-node"   /* in CONNACK: the broker's own, if it is one of these */
#define PATH_MAX_HOPS        16

enum path_way { PATH_IN, PATH_OUT };

/* True if a message that has come this way must not go through `node` in that direction. */
bool path_ends(struct span path, struct span node, enum path_way way);

/* The path after `node`, appended to `out`. */
void path_add(struct span path, struct span node, enum path_way way, struct buf *out);

#endif
