#include "broker/source_config.h"

#include "crypto/random.h"

#include <stdlib.h>

static const char *const loopback[] = { "127.0.0.0/8", "::1" };

static void add(struct source_settings *settings, struct net_prefix *room, const char *text)
{
    if (net_prefix_parse(text, &room[settings->exempt_count])) /* the settings were checked */
        settings->exempt_count++;
}

enum status sources_from_config(const struct broker_config *config, struct sources **ret_sources,
                                struct why *why)
{
    CLEANUP(freep)
    struct net_prefix *exempt = calloc(config->hostile_exempt.count + COUNT_OF(loopback), sizeof *exempt);
    struct source_settings settings = { .addresses = (uint32_t)config->hostile_addresses,
                                        .connects_per_s = (uint32_t)config->hostile_connects_per_s,
                                        .connects_burst = (uint32_t)config->hostile_connects_burst,
                                        .max_arriving = (uint32_t)config->max_address_handshakes,
                                        .max_connections = (uint32_t)config->max_address_connections,
                                        .faults_per_min = (uint32_t)config->hostile_faults_per_min,
                                        .faults_burst = (uint32_t)config->hostile_faults_burst,
                                        .ban_ms = config->hostile_ban_ms,
                                        .ban_max_ms = config->hostile_ban_max_ms,
                                        .calm_ms = config->hostile_calm_ms,
                                        .exempt = exempt };
    struct hash_key key;

    if (exempt == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    for (size_t i = 0; i < config->hostile_exempt.count; i++)
        add(&settings, exempt, config->hostile_exempt.items[i]);
    for (size_t i = 0; config->hostile_exempt_loopback && i < COUNT_OF(loopback); i++)
        add(&settings, exempt, loopback[i]);
    if (random_bytes(&key, sizeof key) != ST_OK)
        return reject(why, ST_INTERNAL, "random", "no randomness", 0);
    if (sources_new(&settings, key, ret_sources) != ST_OK)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    return ST_OK;
}
