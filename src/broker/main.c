/* symbolon-broker: the MQTT broker. */
#include "base/log.h"
#include "broker/settings_file.h"
#include "broker/world.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

struct options {
    const char *config;
    const char *ports_file;
    unsigned workers;
};

static bool parse_workers(const char *text, unsigned *ret)
{
    char *end = NULL;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n < 1 || n > WORKERS_MAX)
        return false;
    *ret = (unsigned)n;
    return true;
}

/* False when it is time to leave with *ret_exit. */
static bool read_options(struct options *o, int argc, char **argv, int *ret_exit)
{
    static const struct option known[] = {
        { "config", required_argument, NULL, 'c' },  { "ports-file", required_argument, NULL, 'p' },
        { "workers", required_argument, NULL, 'w' }, { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },          { NULL, 0, NULL, 0 },
    };
    int c;

    *ret_exit = 2;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->config = optarg;
            break;
        case 'p':
            o->ports_file = optarg;
            break;
        case 'w':
            if (!parse_workers(optarg, &o->workers)) {
                fprintf(stderr, "symbolon-broker: --workers takes a number from 1 to %d\n", WORKERS_MAX);
                return false;
            }
            break;
        case 'v':
        case 'h':
            fputs(c == 'v' ? "symbolon-broker " SYMBOLON_VERSION "\n" : help, stdout);
            *ret_exit = 0;
            return false;
        default:
            return false;
        }
    }
    if (optind == argc && o->config != NULL)
        return true;
    fputs(help, stderr);
    return false;
}

/* Whole or not at all: who waits for the file to appear must not read half of it. */
static enum status write_ports(const char *path, const struct world *world, struct why *why)
{
    struct buf ports;
    char *temporary = NULL;
    if (path == NULL)
        return ST_OK;
    buf_init(&ports, 4096);
    world_ports(world, &ports);
    int fd = -1;
    if (asprintf(&temporary, "%s.new", path) >= 0)
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool done = fd >= 0 && buf_ok(&ports) && write(fd, ports.p, ports.len) == (ssize_t)ports.len;
    if (fd >= 0)
        done &= close(fd) == 0;
    done = done && rename(temporary, path) == 0;
    free(temporary);
    buf_done(&ports);
    return done ? ST_OK : reject(why, ST_IO, "--ports-file", "cannot be written", 0);
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
    return ST_OK;
}

static void tell_service_manager(void)
{
#ifdef HAVE_SYSTEMD
    (void)sd_notify(0, "READY=1");
#endif
}

static enum status serve(const struct broker_config *config, const struct options *options, struct why *why)
{
    struct world *world = NULL;
    raise_file_limit();
    enum status st = world_new(config, options->workers, &world, why);
    if (st == ST_OK)
        st = write_ports(options->ports_file, world, why);
    if (st == ST_OK)
        st = drop_privileges(config->user, why);
    if (st == ST_OK)
        st = world_run(world, tell_service_manager, why);
    world_free(world);
    return st;
}

int main(int argc, char **argv)
{
    struct options options = { 0 };
    struct broker_config config;
    struct buf problem;
    struct why why = { "", "", 0 };
    int exit_status;

    if (config_command(&broker_config_table, argc, argv, &exit_status))
        return exit_status;
    if (!read_options(&options, argc, argv, &exit_status))
        return exit_status;
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    buf_init(&problem, CONFIG_PROBLEM_MAX);
    enum status st = config_load(&broker_config_table, options.config, &config, &problem);
    if (st != ST_OK)
        fprintf(stderr, "%.*s", SPAN_FMT(buf_span(&problem)));
    buf_done(&problem);
    if (st != ST_OK)
        return 1;
    log_set_level((enum log_level)config.log_level);
    st = serve(&config, &options, &why);
    if (st != ST_OK)
        log_event(NULL, LOG_ERROR, "broker_failed", F_WHY(st, why));
    else
        log_event(NULL, LOG_NOTICE, "broker_stopped");
    config_done(&broker_config_table, &config);
    return st == ST_OK ? 0 : 1;
}
