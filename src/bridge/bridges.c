/* The thread of all bridges. */
#include "bridge/bridge_priv.h"
#include "net/daemon.h"

#include <pthread.h>
#include <stdlib.h>

#define STOP_MS 5000

struct bridges {
    struct bridge_world world;
    struct symbolon_loop *loop;
    pthread_t thread;
    bool started;
    size_t left; /* bridges that have not ended, while stopping */
    size_t count;
    struct bridge items[];
};

static enum status of_error(const struct symbolon_error *error, struct why *why)
{
    return reject(why, error->status == SYMBOLON_NO_MEMORY ? ST_NO_MEMORY : ST_IO, "bridges",
                  "no loop for the bridges", 0);
}

enum status bridges_new(const struct config_records *configs, const struct bridge_world *world,
                        struct bridges **ret_bridges, struct why *why)
{
    struct bridges *all = calloc(1, sizeof *all + configs->count * sizeof all->items[0]);
    struct symbolon_error error;
    enum status st = ST_OK;

    if (all == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    all->world = *world;
    all->count = configs->count;
    if (symbolon_loop_new(&all->loop, &error) != SYMBOLON_OK)
        st = of_error(&error, why);
    for (size_t i = 0; st == ST_OK && i < all->count; i++)
        st = bridge_init(&all->items[i], bridge_config_at(configs, i), &all->world, all->loop, why);
    if (st != ST_OK) {
        bridges_free(all);
        return st;
    }
    *ret_bridges = all;
    return ST_OK;
}

/* ---- on their thread ---- */

static void *run(void *arg)
{
    struct bridges *all = arg;

    for (size_t i = 0; i < all->count; i++)
        bridge_start(&all->items[i]);
    symbolon_loop_run(all->loop);
    return NULL;
}

static void one_stopped(void *ctx)
{
    struct bridges *all = ctx;

    if (--all->left == 0)
        symbolon_loop_stop(all->loop);
}

static void give_up(void *arg)
{
    struct bridges *all = arg;

    log_event(NULL, LOG_WARNING, "bridges_stopped_late", F_I64("left", all->left));
    symbolon_loop_stop(all->loop);
}

static void begin_stop(void *arg)
{
    struct bridges *all = arg;

    all->left = all->count;
    (void)symbolon_loop_after(all->loop, STOP_MS, give_up, all);
    for (size_t i = 0; i < all->count; i++) {
        all->items[i].stopped = one_stopped;
        all->items[i].stopped_ctx = all;
        bridge_stop(&all->items[i]);
    }
}

/* ---- from the main thread ---- */

enum status bridges_start(struct bridges *all, struct why *why)
{
    enum status st = daemon_thread(&all->thread, run, all, "bridges", why);

    all->started = st == ST_OK;
    return st;
}

void bridges_stop(struct bridges *all)
{
    if (all == NULL || !all->started)
        return;
    if (!symbolon_loop_post(all->loop, begin_stop, all))
        symbolon_loop_stop(all->loop);
    pthread_join(all->thread, NULL);
    all->started = false;
}

void bridges_free(struct bridges *all)
{
    if (all == NULL)
        return;
    for (size_t i = 0; i < all->count; i++)
        bridge_done(&all->items[i]);
    symbolon_loop_free(all->loop);
    free(all);
}
