/* bench/mqtt_bench - load for any MQTT 5 broker over TLS 1.3, and for our authorization server.
 *   mqtt_bench SCENARIO --port=N --ca=FILE (--user=U --password=P | --tokens=FILE) [--pid=PID] [...]
 * One thread, one scenario, one line of JSON. bench/run starts brokers and calls this. */
#include "scenario.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    void (*run)(struct bench *bench);
} scenarios[] = {
    { "pairs", scenario_pairs },     { "rate", scenario_rate },     { "fanout", scenario_fanout },
    { "connect", scenario_connect }, { "idle", scenario_idle },     { "grants", scenario_grants },
    { "expiry", scenario_expiry },   { "revoke", scenario_revoke },
};

/* clang-format off */
static const struct option long_options[] = {
    { "host",     required_argument, NULL, 'h' },
    { "port",     required_argument, NULL, 'p' },
    { "ca",       required_argument, NULL, 'c' },
    { "user",     required_argument, NULL, 'u' },
    { "password", required_argument, NULL, 'P' },
    { "tokens",   required_argument, NULL, 't' },
    { "pid",      required_argument, NULL, 'i' },
    { "clients",  required_argument, NULL, 'n' },
    { "size",     required_argument, NULL, 's' },
    { "batch",    required_argument, NULL, 'b' },
    { "window",   required_argument, NULL, 'w' },
    { "qos",      required_argument, NULL, 'q' },
    { "rate",     required_argument, NULL, 'r' },
    { "warmup",   required_argument, NULL, 'W' },
    { "seconds",  required_argument, NULL, 'S' },
    { "path",     required_argument, NULL, 'x' },
    { "body",     required_argument, NULL, 'B' },
    { "accounts", required_argument, NULL, 'A' },
    { "out",      required_argument, NULL, 'o' },
    { "key",      required_argument, NULL, 'k' },
    { "issuer",   required_argument, NULL, 'U' },
    { "audience", required_argument, NULL, 'a' },
    { "admin",    required_argument, NULL, 'd' },
    { "lead",     required_argument, NULL, 'l' },
    { "spread",   required_argument, NULL, 'm' },
    { NULL, 0, NULL, 0 },
};
/* clang-format on */

static void usage(void)
{
    fputs("usage: mqtt_bench pairs|rate|fanout|connect|idle|grants|expiry|revoke --port=N --ca=FILE\n"
          "       (--user=U --password=P | --tokens=FILE) [--pid=PID] [--clients=N] [--qos=0|1|2] "
          "[--size=BYTES]\n"
          "       [--batch=PACKETS] [--window=MESSAGES] [--rate=PER_S] [--warmup=S] [--seconds=S]\n"
          "       grants: --accounts=FILE --body=JSON [--path=/token] [--out=FILE] [--key=PEM --issuer=URL]\n"
          "       expiry: --key=PEM --issuer=URL --audience=NAME [--lead=S] [--spread=S]\n"
          "       revoke: --tokens=FILE --admin=SOCKET [--rate=PER_S]\n",
          stderr);
    exit(2);
}

static double number(const char *text, double min, double max)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end != '\0' || v < min || v > max)
        die("%s: a number from %g to %g is wanted", text, min, max);
    return v;
}

static void take_option(struct options *o, int option, const char *value)
{
    /* clang-format off */
    switch (option) {
    case 'h': o->host = value; break;
    case 'p': o->port = (int)number(value, 1, 65535); break;
    case 'c': o->ca_file = value; break;
    case 'u': o->user = value; break;
    case 'P': o->password = value; break;
    case 't': o->tokens_file = value; break;
    case 'i': o->broker_pid = (pid_t)number(value, 1, 1e9); break;
    case 'n': o->clients = (size_t)number(value, 1, 100000); break;
    case 's': o->size = (size_t)number(value, STAMP_LEN, 65536); break;
    case 'b': o->batch = (size_t)number(value, 1, 1000); break;
    case 'w': o->window = (size_t)number(value, 1, 65535); break;
    case 'q': o->qos = (uint8_t)number(value, 0, 2); break;
    case 'r': o->rate = number(value, 1, 1e7); break;
    case 'W': o->warmup_s = number(value, 0, 60); break;
    case 'S': o->seconds = number(value, 0.1, 600); break;
    case 'x': o->path = value; break;
    case 'B': o->body = value; break;
    case 'A': o->accounts_file = value; break;
    case 'o': o->out_file = value; break;
    case 'k': o->key_file = value; break;
    case 'U': o->issuer = value; break;
    case 'a': o->audience = value; break;
    case 'd': o->admin_socket = value; break;
    case 'l': o->lead_s = (int64_t)number(value, 5, 3600); break;
    case 'm': o->spread_s = (int64_t)number(value, 1, 3600); break;
    default: usage();
    }
    /* clang-format on */
}

int main(int argc, char **argv)
{
    struct options o = { .host = "127.0.0.1",
                         .clients = 20,
                         .size = 64,
                         .batch = 1,
                         .window = 256,
                         .rate = 10000,
                         .warmup_s = 0.5,
                         .seconds = 3,
                         .path = "/token",
                         .audience = "bench-broker",
                         .lead_s = 40,
                         .spread_s = 60 };
    static struct bench bench;
    int option;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        take_option(&o, option, optarg);
    if (optind != argc - 1 || o.port == 0 || o.ca_file == NULL)
        usage();
    bench.options = &o;
    bench.login.user = o.user == NULL ? "" : o.user;
    bench.login.password = o.password == NULL ? "" : o.password;
    if (o.tokens_file != NULL)
        login_read_tokens(&bench.login, o.tokens_file);
    link_loop_init(&bench.loop, o.host, o.port, o.ca_file);
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        if (strcmp(scenarios[i].name, argv[optind]) != 0)
            continue;
        scenarios[i].run(&bench);
        link_loop_done(&bench.loop);
        login_done(&bench.login);
        return 0;
    }
    usage();
}
