#include "shard/authz.h"

#include "scope/scope.h"

void authz_cache_clear(struct authz_cache *cache)
{
    *cache = (struct authz_cache){ 0 };
}

static bool cache_has(struct authz_cache *cache, struct span topic)
{
    cache->asked = true;
    for (int i = 0; i < AUTHZ_CACHED; i++)
        if (cache->allowed[i].len == topic.len && memcmp(cache->allowed[i].topic, topic.p, topic.len) == 0)
            return true;
    return false;
}

static void cache_put(struct authz_cache *cache, struct span topic)
{
    if (topic.len == 0 || topic.len > AUTHZ_CACHE_LEN)
        return;
    cache->allowed[cache->next].len = (uint8_t)topic.len;
    memcpy(cache->allowed[cache->next].topic, topic.p, topic.len);
    cache->next = (uint8_t)((cache->next + 1) % AUTHZ_CACHED);
}

enum status authz_alive(const struct authz *az, struct why *why)
{
    if (!grant_expired(az->grant, az->now))
        return ST_OK;
    if (az->grant->token == NULL)
        return reject(why, ST_DENIED, "MT-40", "without a token one may stay for a short time only", 0);
    if (az->grant->revoked)
        return reject(why, ST_BAD_TOKEN, "MT-107", "the token is not valid any more", 0);
    return reject(why, ST_TOKEN_EXPIRED, "MT-100", "token expired", 0);
}

/* The scopes that speak beside the public one, all of them at once: of the token, and of what it has become since. None for who came
 * without a token. */
struct own_scopes {
    const struct scope *scope[2];
    size_t count;
};

static struct own_scopes own_scopes(const struct authz *az)
{
    const struct grant *g = az->grant;
    struct own_scopes own = { .count = 0 };

    if (g->token == NULL)
        return own;
    own.scope[own.count++] = g->token->scope;
    if (g->news != NULL)
        own.scope[own.count++] = g->news->scope;
    return own;
}

static bool own_may_publish(const struct authz *az, struct topic_name topic)
{
    struct own_scopes own = own_scopes(az);
    bool may = own.count > 0;

    for (size_t i = 0; may && i < own.count; i++)
        may = own.scope[i] != NULL && scope_may_publish(own.scope[i], topic);
    return may;
}

static bool own_may_subscribe(const struct authz *az, struct topic_filter filter)
{
    struct own_scopes own = own_scopes(az);
    bool may = own.count > 0;

    for (size_t i = 0; may && i < own.count; i++)
        may = own.scope[i] != NULL && scope_may_subscribe(own.scope[i], filter);
    return may;
}

static bool own_may_receive(const struct authz *az, struct topic_name topic)
{
    struct own_scopes own = own_scopes(az);
    bool may = own.count > 0;

    for (size_t i = 0; may && i < own.count; i++)
        may = own.scope[i] != NULL && scope_may_receive(own.scope[i], topic);
    return may;
}

static enum status refuse(const struct authz *az, const char *clause, const char *text, struct why *why)
{
    if (az->grant->token == NULL)
        return reject(why, ST_NOT_IN_SCOPE, "MT-21", "without a token only public topics are open", 0);
    return reject(why, ST_NOT_IN_SCOPE, clause, text, 0);
}

static enum status may_publish(const struct authz *az, struct topic_name topic, const char *clause,
                               const char *text, struct why *why)
{
    if (span_eq_str(topic.s, AUTHZ_INFO_TOPIC))
        return reject(why, ST_DENIED, "MT-30", "tokens cannot be published here", 0);
    if (topic_is_reserved(topic.s) && !grant_is_built_in(az->grant)) /* whatever a token says */
        return reject(why, ST_BAD_TOPIC, "MQTT5 4.7.2", "topics that begin with $ are the broker's own", 0);
    if (own_may_publish(az, topic))
        return ST_OK;
    if (az->public_scope != NULL && scope_may_publish(az->public_scope, topic))
        return ST_OK;
    return refuse(az, clause, text, why);
}

enum status authz_publish(const struct authz *az, struct topic_name topic, struct authz_cache *cache,
                          struct why *why)
{
    enum status st = authz_alive(az, why);

    if (st != ST_OK)
        return st;
    if (az->grant->news != NULL)
        cache = NULL; /* filled by the token alone */
    if (cache != NULL && topic.s.len > 0 && cache_has(cache, topic.s))
        return ST_OK;
    st = may_publish(az, topic, "MT-81", "no pub entry of the scope covers this topic", why);
    if (st == ST_OK && cache != NULL)
        cache_put(cache, topic.s);
    return st;
}

enum status authz_will(const struct authz *az, struct topic_name topic, struct why *why)
{
    enum status st = authz_alive(az, why);

    if (st != ST_OK)
        return st;
    return may_publish(az, topic, "MT-84", "no pub entry of the scope covers the Will topic", why);
}

enum status authz_subscribe(const struct authz *az, struct topic_filter filter, struct why *why)
{
    enum status st = authz_alive(az, why);
    struct span share_name;

    if (st != ST_OK)
        return st;
    topic_filter_unshare(filter, &share_name, &filter); /* what is shared is what the filter inside matches */
    if (span_eq_str(filter.s, AUTHZ_INFO_TOPIC))
        return reject(why, ST_DENIED, "MT-31", "authz-info cannot be subscribed to", 0);
    if (own_may_subscribe(az, filter))
        return ST_OK;
    if (az->public_scope != NULL && scope_may_subscribe(az->public_scope, filter))
        return ST_OK;
    return refuse(az, "MT-82", "no single sub entry of the scope covers this filter", why);
}

enum status authz_receive(const struct authz *az, struct topic_name topic, struct why *why)
{
    enum status st = authz_alive(az, why);

    if (st != ST_OK)
        return st;
    if (own_may_receive(az, topic))
        return ST_OK;
    if (az->public_scope != NULL && scope_may_receive(az->public_scope, topic))
        return ST_OK;
    return refuse(az, "MT-98", "no sub entry of the scope covers this topic", why);
}
