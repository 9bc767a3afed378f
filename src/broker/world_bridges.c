#include "broker/world_bridges.h"

#include "base/log.h"
#include "bridge/bridge.h"
#include "shard/client_list.h"
#include "token/token.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct world_bridges {
    struct worker_common *common;
    struct bridges *bridges;
};

/* On the bridges' thread. */
static int connect_local(void *ctx, const char *client_id, struct scope *scope)
{
    struct world_bridges *b = ctx;
    struct span id = span_of_str(client_id);
    struct token *token;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        return -1;
    if (token_built_in(id, scope, &token) != ST_OK) {
        close(fds[0]);
        close(fds[1]);
        return -1;
    }
    unsigned home = shard_home(b->common->settings, b->common->count, id);
    if (worker_adopt(b->common->workers[home], fds[1], token))
        return fds[0];
    close(fds[0]);
    return -1;
}

enum status world_bridges_new(const struct broker_config *config, struct worker_common *common,
                              const char *node, struct world_bridges **ret, struct why *why)
{
    struct world_bridges *b;

    *ret = NULL;
    if (config->bridges.count == 0)
        return ST_OK;
    b = calloc(1, sizeof *b);
    if (b == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    b->common = common;
    struct bridge_world world = { connect_local, b, common->settings->max_packet_bytes, node };
    enum status st = bridges_new(&config->bridges, &world, &b->bridges, why);
    if (st != ST_OK) {
        world_bridges_free(b);
        return st;
    }
    *ret = b;
    return ST_OK;
}

static bool is_named(const struct broker_config *config, const char *name)
{
    const struct bridge_config *bridges = config->bridges.items;

    for (size_t i = 0; i < config->bridges.count; i++)
        if (strcmp(bridges[i].name, name) == 0)
            return true;
    return false;
}

#define BRIDGES_FORGOTTEN_AT_A_START 10000

void world_bridges_forget(const struct broker_config *config, struct worker_common *common, struct now now)
{
    const struct client_query query = { .prefix = SPAN(BRIDGE_CLIENT_ID),
                                        .limit = BRIDGES_FORGOTTEN_AT_A_START };

    for (unsigned k = 0; k < common->count; k++) {
        struct shard *shard = worker_shard(common->workers[k]);
        struct client_rows found = { 0 };

        (void)!client_list(shard, &query,
                           &found); /* without memory those that fit; the rest at the next start */
        for (size_t i = 0; i < found.count; i++) {
            const char *client_id = found.rows[i].client_id;

            if (!is_named(config, client_id + strlen(BRIDGE_CLIENT_ID)) &&
                shard_forget_client(shard, span_of_str(client_id), now))
                log_event(NULL, LOG_NOTICE, "bridge_forgotten",
                          F_STR("bridge", client_id + strlen(BRIDGE_CLIENT_ID)),
                          F_I64("queued", (int64_t)found.rows[i].queued_messages));
        }
        client_rows_done(&found);
    }
}

enum status world_bridges_start(struct world_bridges *b, struct why *why)
{
    return b == NULL ? ST_OK : bridges_start(b->bridges, why);
}

void world_bridges_stop(struct world_bridges *b)
{
    if (b != NULL)
        bridges_stop(b->bridges);
}

void world_bridges_free(struct world_bridges *b)
{
    if (b == NULL)
        return;
    bridges_free(b->bridges);
    free(b);
}
