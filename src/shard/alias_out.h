/* shard/alias_out.h - topic aliases towards one client (MQTT5 3.3.2.3.4): which number stands for which topic on its
 * connection. A topic has two places it may take, by its hash; the place is the alias. An empty one is taken at once, one
 * that is taken changes its topic only for another that came twice in the meantime: so topics that come once do not push
 * out those that come again and again, and cost nothing.
 * Memory:    none before the first message; then a place each, and a copy of its topic while it has one.
 * Ownership: of the connection; alias_out_free(NULL) does nothing. Threads: one. */
#ifndef SYMBOLON_SHARD_ALIAS_OUT_H
#define SYMBOLON_SHARD_ALIAS_OUT_H

#include "base/span.h"

#define ALIAS_TOPIC_MIN 6    /* an alias takes 3 bytes itself */
#define ALIAS_TOPIC_MAX 1024 /* longer topics are not copied for it */

struct alias_out;

enum alias_use {
    ALIAS_NONE,  /* the topic alone */
    ALIAS_TELL,  /* the topic and its new alias; alias_out_forget() if it is not sent after all */
    ALIAS_KNOWN, /* the alias alone */
};

/* For the next PUBLISH on this topic, whose hash must be as good as random. `maximum` is the same at each call: how many
 * aliases the client takes and we give, at least 1. Makes *table when there is none yet. */
enum alias_use alias_out_take(struct alias_out **table, uint16_t maximum, struct span topic, uint32_t hash,
                              uint16_t *ret_alias);
void alias_out_forget(struct alias_out *table, uint16_t alias);

/* True if nothing was taken since the last time this was asked: nobody needs it now. */
bool alias_out_idle(struct alias_out *table);
void alias_out_free(struct alias_out *table);

#endif
