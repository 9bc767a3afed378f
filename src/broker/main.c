/* symbolon-broker: the MQTT broker. */
#include "base/log.h"
#include "broker/settings_file.h"
#include "broker/world.h"
#include "net/daemon.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define WORKERS_MAX 64

static const char help[] = "usage: symbolon-broker --config FILE [--workers N] [--ports-file FILE]\n"
                           "       symbolon-broker --config FILE --check-config\n"
                           "       symbolon-broker --print-settings markdown|roff|sample\n"
                           "       symbolon-broker --version | --help\n"
                           "\n"
                           "  --config FILE      settings, YAML\n"
                           "  --workers N        threads that serve clients, whatever the settings say\n"
                           "  --ports-file FILE  write the ports really used there, one NAME=PORT a line\n"
                           "  --check-config     read the settings, say what is wrong with them, and leave\n";

static bool take_workers(void *ctx, const char *text)
{
    unsigned *workers = ctx;
    char *end = NULL;

    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n < 1 || n > WORKERS_MAX) {
        fprintf(stderr, "symbolon-broker: --workers takes a number from 1 to %d\n", WORKERS_MAX);
        return false;
    }
    *workers = (unsigned)n;
    return true;
}

static enum status write_ports(const char *path, const struct world *world, struct why *why)
{
    CLEANUP(buf_done)
    struct buf ports;

    buf_init(&ports, 4096);
    world_ports(world, &ports);
    if (!buf_ok(&ports))
        return reject(why, ST_IO, "--ports-file", "cannot be written", 0);
    return daemon_write_ports(path, buf_span(&ports), why);
}

/* Every connection is a descriptor: as many as the system lets us have. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static enum status drop_privileges(const char *user, struct why *why)
{
    if (user == NULL || geteuid() != 0)
        return ST_OK;
    const struct passwd *account = getpwnam(user);
    if (account == NULL)
        return reject(why, ST_NOT_FOUND, "user", "no such account", 0);
    if (setgid(account->pw_gid) != 0 || initgroups(user, account->pw_gid) != 0 ||
        setuid(account->pw_uid) != 0 || (account->pw_uid != 0 && setuid(0) == 0))
        return reject(why, ST_IO, "user", "the account could not be changed to", 0);
    daemon_keep_memory_secret();
    return ST_OK;
}

static void tell_service_manager(const char *state)
{
#ifdef HAVE_SYSTEMD
    (void)sd_notify(0, state);
#else
    (void)state;
#endif
}

static enum status serve(const struct broker_config *config, unsigned workers, const char *ports_file,
                         struct why *why)
{
    struct world *world = NULL;
    raise_file_limit();
    enum status st = world_new(config, workers, tell_service_manager, &world, why);
    if (st == ST_OK)
        st = write_ports(ports_file, world, why);
    if (st == ST_OK)
        st = drop_privileges(config->user, why);
    if (st == ST_OK)
        st = world_run(world, why);
    world_free(world);
    return st;
}

int main(int argc, char **argv)
{
    static const struct daemon daemon = { .table = &broker_config_table,
                                          .version = SYMBOLON_VERSION,
                                          .help = help,
                                          .own = { "workers", take_workers } };
    struct broker_config config;
    const char *ports_file;
    unsigned workers = 0; /* as the settings say */
    struct why why = { "", "", 0 };
    int exit_status;

    if (!daemon_begin(&daemon, argc, argv, &workers, &config, &ports_file, &exit_status))
        return exit_status;
    log_set_level((enum log_level)config.log_level);
    enum status st = serve(&config, workers, ports_file, &why);
    if (st != ST_OK)
        log_event(NULL, LOG_ERROR, "broker_failed", F_WHY(st, why));
    else
        log_event(NULL, LOG_NOTICE, "broker_stopped");
    config_done(&broker_config_table, &config);
    return st == ST_OK ? 0 : 1;
}
