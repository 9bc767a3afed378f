/* symbolon-as: the authorization server. */
#include "as/backup.h"
#include "as/certificate.h"
#include "as/init.h"
#include "as/server.h"
#include "base/log.h"
#include "net/daemon.h"

#include <signal.h>

static const char help[] =
    "usage: symbolon-as init [--name HOST]... [--issuer URI] [--address ADDRESS] [--port PORT] DIR\n"
    "       symbolon-as certificate --name HOST [--name HOST]... DIR OUT\n"
    "       symbolon-as backup DIR FILE\n"
    "       symbolon-as restore [--force] FILE DIR\n"
    "       symbolon-as --config FILE [--ports-file FILE]\n"
    "       symbolon-as --config FILE --check-config\n"
    "       symbolon-as --print-settings markdown|roff|sample\n"
    "       symbolon-as --version | --help\n"
    "\n"
    "  init DIR           make settings, keys and certificates for a new server\n"
    "  certificate        a server certificate for a broker, by the authority in DIR\n"
    "  backup DIR FILE    all of the server in the folder DIR into one file, also while it runs\n"
    "  restore FILE DIR   a folder of that file again; --force: what is there is set aside\n"
    "  --config FILE      settings, YAML\n"
    "  --ports-file FILE  write the port really used there: https=PORT\n"
    "  --check-config     read the settings, say what is wrong with them, and leave\n";

static void on_stop_signal(void *ctx, int signum)
{
    log_event(NULL, LOG_NOTICE, "as_stopping", F_I64("signal", signum));
    loop_stop(ctx);
}

struct reload {
    const char *config;
    struct as_server *server;
};

/* What is CONFIG_LIVE: the level of the log and the certificate. The rest is read at the start only. */
static void on_reload_signal(void *ctx, int signum UNUSED)
{
    const struct reload *reload = ctx;
    CLEANUP(buf_done)
    struct buf problem = { .max = CONFIG_PROBLEM_MAX };
    struct as_settings settings;
    struct why why = { 0 };
    enum status st = config_load(&as_config, reload->config, &settings, &problem);

    if (st != ST_OK) {
        log_event(NULL, LOG_ERROR, "settings_not_reloaded", F_STR("status", status_name(st)),
                  F_SPAN("why", buf_span(&problem)));
        return;
    }
    log_set_level((enum log_level)settings.log_level);
    log_event(NULL, LOG_NOTICE, "settings_reloaded", F_I64("log_level", settings.log_level));
    st = reload->server != NULL ? as_server_reload(reload->server, &settings, &why) : ST_OK;
    if (st != ST_OK)
        log_event(NULL, LOG_ERROR, "certificate_not_reloaded", F_STR("certificate", settings.https_certificate),
                  F_WHY(st, why));
    config_done(&as_config, &settings);
}

/* daemon_begin() has read the file already; written another way ("--conf") it is not found again, and not read again. */
static const char *config_path(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (span_eq_str(span_of_str(argv[i]), "--config") && i + 1 < argc)
            return argv[i + 1];
        if (span_starts_with(span_of_str(argv[i]), SPAN("--config=")))
            return argv[i] + sizeof "--config=" - 1;
    }
    return "";
}

static enum status write_ports(const char *path, uint16_t port, struct why *why)
{
    CLEANUP(buf_done)
    struct buf b;

    buf_init(&b, 64);
    put_fmt(&b, "https=%u\n", port);
    return daemon_write_ports(path, buf_span(&b), why);
}

static enum status serve(const struct as_settings *settings, const char *config, const char *ports_file,
                         struct why *why)
{
    struct loop *loop = NULL;
    struct reload reload = { .config = config };
    enum status st = loop_new(&loop, why);

    if (st != ST_OK)
        return st;
    st = loop_on_signal(loop, SIGTERM, on_stop_signal, loop, why);
    if (st == ST_OK)
        st = loop_on_signal(loop, SIGINT, on_stop_signal, loop, why);
    if (st == ST_OK)
        st = loop_on_signal(loop, SIGHUP, on_reload_signal, &reload, why);
    if (st == ST_OK)
        st = as_server_new(loop, settings, &reload.server, why);
    if (st == ST_OK)
        st = write_ports(ports_file, as_server_port(reload.server), why);
    if (st == ST_OK)
        loop_run(loop);
    as_server_free(TAKE(reload.server));
    loop_free(loop);
    return st;
}

int main(int argc, char **argv)
{
    static const struct daemon daemon = { .table = &as_config, .version = SYMBOLON_VERSION, .help = help };
    struct as_settings settings;
    const char *ports_file;
    struct why why = { 0 };
    int exit_status;

    if (argc > 1 && span_eq_str(span_of_str(argv[1]), "init"))
        return as_init(argc - 1, argv + 1);
    if (argc > 1 && span_eq_str(span_of_str(argv[1]), "certificate"))
        return as_certificate(argc - 1, argv + 1);
    if (argc > 1 && span_eq_str(span_of_str(argv[1]), "backup"))
        return as_backup(argc - 1, argv + 1);
    if (argc > 1 && span_eq_str(span_of_str(argv[1]), "restore"))
        return as_restore(argc - 1, argv + 1);
    if (!daemon_begin(&daemon, argc, argv, NULL, &settings, &ports_file, &exit_status))
        return exit_status;
    log_set_level((enum log_level)settings.log_level);
    enum status st = serve(&settings, config_path(argc, argv), ports_file, &why);
    if (st != ST_OK)
        log_event(NULL, LOG_ERROR, "as_failed", F_WHY(st, why));
    else
        log_event(NULL, LOG_NOTICE, "as_stopped");
    config_done(&as_config, &settings);
    return st == ST_OK ? 0 : 1;
}
