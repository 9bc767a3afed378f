/* shard/authz.h - the five questions of authorization (design 3.2): may this grant publish here, subscribe to
 * this, receive that, leave this Will. Each answer is ST_OK or a status with the rule that says no. Whoever
 * holds a token also has the public topics; an expired token has nothing. A retained message asks twice: its
 * publisher authz_publish(), its reader authz_receive().
 * No state but the cache, which belongs to one connection and must be cleared with its grant. */
#ifndef SYMBOLON_SHARD_AUTHZ_H
#define SYMBOLON_SHARD_AUTHZ_H

#include "mqtt/topic.h"
#include "shard/grant.h"

#define AUTHZ_INFO_TOPIC "authz-info" /* authz_info.h: nobody's to publish or subscribe to otherwise */

struct authz {
    const struct grant *grant;
    const struct scope *public_scope; /* or NULL */
    struct now now;
};

/* The last topics this connection was allowed to publish to; longer ones than fit are asked each time. */
#define AUTHZ_CACHED    2
#define AUTHZ_CACHE_LEN 63
struct authz_cache {
    uint8_t next;
    bool asked; /* for the caller to clear, and to see whether it is still needed */
    struct {
        uint8_t len; /* 0: unused */
        uint8_t topic[AUTHZ_CACHE_LEN];
    } allowed[AUTHZ_CACHED];
};
void authz_cache_clear(struct authz_cache *cache);

/* Is the grant alive? MT-100. The others ask this first. */
enum status authz_alive(const struct authz *az, struct why *why) MUST_CHECK;

/* More levels than max_levels; a topic shorter than that cannot have them. */
static inline bool topic_too_deep(struct span topic, uint32_t max_levels)
{
    return topic.len >= max_levels && topic_level_count(topic) > max_levels;
}

/* MT-81; `cache` may be NULL. A topic that begins with $ is nobody's to publish to, nor to leave a Will for. */
enum status authz_publish(const struct authz *az, struct topic_name topic, struct authz_cache *cache,
                          struct why *why) MUST_CHECK;
enum status authz_will(const struct authz *az, struct topic_name topic, struct why *why) MUST_CHECK;
enum status authz_subscribe(const struct authz *az, struct topic_filter filter, struct why *why) MUST_CHECK;
enum status authz_receive(const struct authz *az, struct topic_name topic, struct why *why) MUST_CHECK;

#endif
