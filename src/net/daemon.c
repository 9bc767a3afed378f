#include "net/daemon.h"

#include "net/file.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define EXIT_USAGE 2

struct options {
    const char *config, *ports_file;
};

/* False when it is time to leave with *ret_exit. */
static bool read_options(const struct daemon *d, int argc, char **argv, void *ctx, struct options *o,
                         int *ret_exit)
{
    const struct option known[] = {
        { "config", required_argument, NULL, 'c' },
        { "ports-file", required_argument, NULL, 'p' },
        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { d->own.name, required_argument, NULL, 'o' },
        { NULL, 0, NULL, 0 }, /* without an own one, that ends it */
    };
    int c;

    *ret_exit = EXIT_USAGE;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->config = optarg;
            break;
        case 'p':
            o->ports_file = optarg;
            break;
        case 'o':
            if (!d->own.take(ctx, optarg))
                return false;
            break;
        case 'v':
            printf("%s %s\n", d->table->program, d->version);
            *ret_exit = 0;
            return false;
        case 'h':
            fputs(d->help, stdout);
            *ret_exit = 0;
            return false;
        default:
            return false;
        }
    }
    if (optind == argc && o->config != NULL)
        return true;
    fputs(d->help, stderr);
    return false;
}

static bool load(const struct config_table *table, const char *path, void *settings)
{
    struct buf problem;

    buf_init(&problem, CONFIG_PROBLEM_MAX);
    enum status st = config_load(table, path, settings, &problem);
    if (st != ST_OK)
        fprintf(stderr, "%.*s", SPAN_FMT(buf_span(&problem)));
    buf_done(&problem);
    return st == ST_OK;
}

/* A debugger of a developer, and the leak checker, look at processes built for them. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define OPEN_TO_TOOLS
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OPEN_TO_TOOLS
#endif

void daemon_keep_memory_secret(void)
{
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
#ifndef OPEN_TO_TOOLS
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

bool daemon_begin(const struct daemon *daemon, int argc, char **argv, void *ctx, void *settings,
                  const char **ret_ports_file, int *ret_exit)
{
    struct options options = { 0 };

    if (config_command(daemon->table, argc, argv, ret_exit))
        return false;
    if (!read_options(daemon, argc, argv, ctx, &options, ret_exit))
        return false;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a full file is a failed write, not our end */
    daemon_keep_memory_secret();
    umask(077);
    *ret_exit = 1;
    if (!load(daemon->table, options.config, settings))
        return false;
    *ret_ports_file = options.ports_file;
    return true;
}

enum status daemon_write_ports(const char *path, struct span lines, struct why *why)
{
    enum status st = path == NULL ? ST_OK : file_replace(path, lines, 0644, NULL);

    return st == ST_OK ? ST_OK : reject(why, st, "--ports-file", "cannot be written", 0);
}

enum status daemon_thread(pthread_t *ret_thread, void *(*run)(void *arg), void *arg, const char *clause,
                          struct why *why)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(ret_thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? ST_OK : reject(why, ST_IO, clause, "a thread could not be started", 0);
}
