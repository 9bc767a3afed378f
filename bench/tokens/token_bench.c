/* token_bench - tokens under load: our authorization server giving them out, our broker when they end.
 *   token_bench grants|introspect|expiry|revoke|expiry-storm|revoke-one --port=N --ca=FILE [--pid=PID] [...]
 * One thread, one scenario, one line of JSON. bench/run and bench/lifetimes start the daemons and call this; messages
 * and connections are measured with `symbolon bench`. */
#include "token_bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define SETUP_LIMIT_NS (30 * SECOND_NS)
#define SETUP_EACH_NS  (SECOND_NS / 200)
#define OPENING_MAX    32 /* handshakes at once */
#define CONNECT_MS     5000
#define PAYLOAD        64
#define SPARE_FILES    128

static const struct {
    const char *name;
    void (*run)(struct bench *bench);
} scenarios[] = { { "grants", scenario_grants },
                  { "introspect", scenario_introspect },
                  { "expiry", scenario_expiry },
                  { "revoke", scenario_revoke },
                  { "expiry-storm", scenario_expiry_storm },
                  { "revoke-one", scenario_revoke_one } };

/* clang-format off */
static const struct option long_options[] = {
    { "host",     required_argument, NULL, 'h' },
    { "port",     required_argument, NULL, 'p' },
    { "ca",       required_argument, NULL, 'c' },
    { "tokens",   required_argument, NULL, 't' },
    { "pid",      required_argument, NULL, 'i' },
    { "clients",  required_argument, NULL, 'n' },
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
    { "traffic",  required_argument, NULL, 'T' },
    { "quiet",    required_argument, NULL, 'q' },
    { NULL, 0, NULL, 0 },
};
/* clang-format on */

static void usage(void)
{
    fputs(
        "usage: token_bench grants|introspect|expiry|revoke|expiry-storm|revoke-one --port=N --ca=FILE "
        "[--pid=PID] [--clients=N]\n"
        "       grants: --accounts=FILE --body=JSON [--path=/token] [--out=FILE] [--key=PEM --issuer=URL]\n"
        "               [--warmup=S] [--seconds=S]\n"
        "       introspect: --accounts=FILE (of tokens) --body=JSON --path=/introspect\n"
        "       expiry: --key=PEM --issuer=URL --audience=NAME [--lead=S] [--spread=S]\n"
        "       revoke: --tokens=FILE --admin=SOCKET [--rate=PER_S]\n"
        "       expiry-storm: --key=PEM --issuer=URL --audience=NAME [--lead=S] [--traffic=PER_S] [--quiet=S]\n"
        "       revoke-one: --tokens=FILE (the first is revoked) --admin=SOCKET [--traffic=PER_S] "
        "[--quiet=S]\n",
        stderr);
    exit(2);
}

static void take_option(struct options *o, int option, const char *value)
{
    /* clang-format off */
    switch (option) {
    case 'h': o->host = value; break;
    case 'p': o->port = (int)number(value, 1, 65535); break;
    case 'c': o->ca_file = value; break;
    case 't': o->tokens_file = value; break;
    case 'i': o->pid = (pid_t)number(value, 1, 1e9); break;
    case 'n': o->clients = (size_t)number(value, 1, 100000); break;
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
    case 'l': o->lead_s = (int64_t)number(value, 1, 3600); break;
    case 'm': o->spread_s = (int64_t)number(value, 1, 3600); break;
    case 'T': o->traffic = number(value, 1, 1e6); break;
    case 'q': o->quiet_s = number(value, 0.1, 3600); break;
    default: usage();
    }
    /* clang-format on */
}

/* ---- what the scenarios share ---- */

struct reading take_reading(const struct bench *bench)
{
    struct reading r = { .at_ns = link_now() };

    if (!usage_of(bench->options->pid, &r.process) || !usage_of(0, &r.own))
        die("process %d has ended", (int)bench->options->pid);
    return r;
}

void print_head(const char *scenario, const struct bench *bench, struct reading from, struct reading to)
{
    double seconds = (double)(to.at_ns - from.at_ns) / 1e9;
    printf("{\"scenario\":\"%s\",\"clients\":%zu,\"seconds\":%.3f,\"broker_cpu_s\":%.2f,\"broker_cpu\":%.3f,"
           "\"generator_cpu\":%.3f,\"rss_kib\":%ld",
           scenario, bench->options->clients, seconds, to.process.cpu_s - from.process.cpu_s,
           (to.process.cpu_s - from.process.cpu_s) / seconds, (to.own.cpu_s - from.own.cpu_s) / seconds,
           to.process.rss_kib);
}

double in_us(int64_t ns)
{
    return (double)ns / 1e3;
}

void print_latency(const struct histogram *h)
{
    printf(",\"p50_us\":%.0f,\"p99_us\":%.0f,\"max_us\":%.0f", in_us(histogram_at(h, 0.5)),
           in_us(histogram_at(h, 0.99)), in_us(h->max_ns));
}

static void gone_for_no_reason(struct peer *peer, const char *reason)
{
    if (reason != NULL)
        die("client %zu: %s", peer->number, reason);
}

void init_peer(struct bench *bench, struct peer *peer, size_t number)
{
    char *id = NULL;

    if (asprintf(&id, "%s-%zu", bench->prefix, number) < 0)
        die("out of memory");
    peer_init(peer, &bench->world, number, id);
    peer->gone = gone_for_no_reason;
}

void done_peer(struct peer *peer)
{
    peer_done(peer);
    free(peer->client_id);
}

void open_peers(struct bench *bench, struct peer **peers, size_t count)
{
    int64_t limit = link_now() + SETUP_LIMIT_NS + (int64_t)count * SETUP_EACH_NS;
    size_t opened = 0, ready = 0, oldest = 0;

    while (ready < count) {
        if (link_now() > limit)
            die("%zu of %zu clients are ready in time", ready, count);
        while (opened < count && opened - ready < OPENING_MAX)
            peer_open(peers[opened++]);
        link_loop_turn(&bench->loop, SECOND_NS / 20);
        while (oldest < opened && peers[oldest]->state == PEER_READY)
            oldest++;
        ready = oldest; /* what lies before it has been counted once and for all */
        for (size_t i = oldest; i < opened; i++)
            ready += peers[i]->state == PEER_READY;
    }
}

void open_loop(struct bench *bench)
{
    const struct options *o = bench->options;
    struct why why = { "", "", 0 };

    if (link_loop_open(&bench->loop, o->host, (uint16_t)o->port, bench->tls, true, CONNECT_MS, &why) != ST_OK)
        die("%s:%d: %s", o->host, o->port, why.text);
    bench->world.loop = &bench->loop;
    bench->world.login = &bench->login;
    bench->world.troubles = &bench->troubles;
}

static void open_world(struct bench *bench)
{
    const struct options *o = bench->options;
    struct tls_settings settings = { .ca_file = o->ca_file, .priorities = PROGRAM_PRIORITY };
    struct why why = { "", "", 0 };

    if (o->tokens_file != NULL && login_read_tokens(&bench->login, o->tokens_file, &why) != ST_OK)
        die("%s: %s", o->tokens_file, why.text);
    if (tls_config_new_client(&settings, &bench->tls, &why) != ST_OK)
        die("%s: %s", o->ca_file, why.text);
    bench->world = (struct peer_world){ .version = MQTT_5, .batch = 1, .spread = 1 };
    buf_init(&bench->world.fill, PAYLOAD);
    uint8_t *fill = buf_room(&bench->world.fill, PAYLOAD);
    if (fill == NULL)
        die("out of memory");
    memset(fill, 'x', PAYLOAD);
    buf_added(&bench->world.fill, PAYLOAD);
    open_loop(bench);
}

/* Every connection is a descriptor. */
static void need_files(size_t connections)
{
    struct rlimit limit;
    rlim_t wanted = connections + SPARE_FILES;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    struct rlimit more = { wanted, limit.rlim_max > wanted ? limit.rlim_max : wanted };
    if (setrlimit(RLIMIT_NOFILE, &more) != 0)
        die("%zu connections need %llu open files, but this process may have %llu (ulimit -n)", connections,
            (unsigned long long)wanted, (unsigned long long)limit.rlim_max);
}

int main(int argc, char **argv)
{
    struct options o = { .host = "127.0.0.1",
                         .clients = 20,
                         .rate = 50,
                         .warmup_s = 0.5,
                         .seconds = 3,
                         .path = "/token",
                         .audience = "bench-broker",
                         .traffic = 2000,
                         .quiet_s = 3,
                         .lead_s = 40,
                         .spread_s = 60 };
    struct bench *bench = calloc(1, sizeof *bench);
    int option;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        take_option(&o, option, optarg);
    if (bench == NULL || optind != argc - 1 || o.port == 0 || o.ca_file == NULL)
        usage();
    bench->options = &o;
    bench->prefix = "bench";
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        if (strcmp(scenarios[i].name, argv[optind]) != 0)
            continue;
        need_files(o.clients);
        open_world(bench);
        scenarios[i].run(bench);
        link_loop_done(&bench->loop);
        login_done(&bench->login);
        buf_done(&bench->world.fill);
        tls_config_unref(bench->tls);
        free(bench);
        return 0;
    }
    usage();
}
