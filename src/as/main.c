/* symbolon-as: the authorization server. */
#include "as/certificate.h"
#include "as/init.h"
#include "as/server.h"
#include "as/state_file.h"
#include "base/log.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const char help[] =
    "usage: symbolon-as init [--name HOST]... [--issuer URI] [--address ADDRESS] [--port PORT] DIR\n"
    "       symbolon-as certificate --name HOST [--name HOST]... DIR OUT\n"
    "       symbolon-as --config FILE [--ports-file FILE]\n"
    "       symbolon-as --config FILE --check-config\n"
    "       symbolon-as --print-settings markdown|roff|sample\n"
    "       symbolon-as --version | --help\n"
    "\n"
    "  init DIR           make settings, keys and certificates for a new server\n"
    "  certificate        a server certificate for a broker, by the authority in DIR\n"
    "  --config FILE      settings, YAML\n"
    "  --ports-file FILE  write the port really used there: https=PORT\n"
    "  --check-config     read the settings, say what is wrong with them, and leave\n";

struct options {
    const char *config;
    const char *ports_file;
};

/* Returns false when it is time to leave with *ret_exit. */
static bool read_options(struct options *o, int argc, char **argv, int *ret_exit)
{
    static const struct option known[] = {
        { "config", required_argument, NULL, 'c' },
        { "ports-file", required_argument, NULL, 'p' },
        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        *ret_exit = 0;
        switch (c) {
        case 'c':
            o->config = optarg;
            break;
        case 'p':
            o->ports_file = optarg;
            break;
        case 'v':
            puts("symbolon-as " SYMBOLON_VERSION);
            return false;
        case 'h':
            fputs(help, stdout);
            return false;
        default:
            *ret_exit = 2;
            return false;
        }
    }
    if (optind == argc && o->config != NULL)
        return true;
    fputs(help, stderr);
    *ret_exit = 2;
    return false;
}

static void on_stop_signal(void *ctx, int signum)
{
    log_event(NULL, LOG_NOTICE, "as_stopping", F_I64("signal", signum));
    loop_stop(ctx);
}

static enum status write_ports(const char *path, uint16_t port, struct why *why)
{
    struct buf b;

    if (path == NULL)
        return ST_OK;
    buf_init(&b, 64);
    put_fmt(&b, "https=%u\n", port);
    enum status st = state_file_write(path, buf_span(&b), 0644, why);
    buf_done(&b);
    return st;
}

static enum status serve(const struct as_settings *settings, const char *ports_file, struct why *why)
{
    struct loop *loop = NULL;
    struct as_server *server = NULL;
    enum status st = loop_new(&loop, why);

    if (st != ST_OK)
        return st;
    st = loop_on_signal(loop, SIGTERM, on_stop_signal, loop, why);
    if (st == ST_OK)
        st = loop_on_signal(loop, SIGINT, on_stop_signal, loop, why);
    if (st == ST_OK)
        st = as_server_new(loop, settings, &server, why);
    if (st == ST_OK)
        st = write_ports(ports_file, as_server_port(server), why);
    if (st == ST_OK)
        loop_run(loop);
    as_server_free(server);
    loop_free(loop);
    return st;
}

int main(int argc, char **argv)
{
    struct options options = { 0 };
    struct as_settings settings;
    struct buf problem;
    struct why why = { 0 };
    int exit_status;

    if (argc > 1 && span_eq_str(span_of_str(argv[1]), "init"))
        return as_init(argc - 1, argv + 1);
    if (argc > 1 && span_eq_str(span_of_str(argv[1]), "certificate"))
        return as_certificate(argc - 1, argv + 1);
    if (config_command(&as_config, argc, argv, &exit_status))
        return exit_status;
    if (!read_options(&options, argc, argv, &exit_status))
        return exit_status;
    signal(SIGPIPE, SIG_IGN);
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }); /* a core file would hold every key */
    umask(077);
    buf_init(&problem, CONFIG_PROBLEM_MAX);
    enum status st = config_load(&as_config, options.config, &settings, &problem);
    if (st != ST_OK) {
        fprintf(stderr, "%.*s", SPAN_FMT(buf_span(&problem)));
        buf_done(&problem);
        return 1;
    }
    buf_done(&problem);
    log_set_level((enum log_level)settings.log_level);
    st = serve(&settings, options.ports_file, &why);
    if (st != ST_OK)
        log_event(NULL, LOG_ERROR, "as_failed", F_WHY(st, why));
    else
        log_event(NULL, LOG_NOTICE, "as_stopped");
    config_done(&as_config, &settings);
    return st == ST_OK ? 0 : 1;
}
