/* symbolon bench: the load generator (src/load) on the command line. */
#include "cli/bench_login.h"
#include "cli/command.h"
#include "cli/connect.h"

#include "load/report.h"
#include "load/template.h"
#include "load/track.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define COMMAND      "symbolon bench"
#define PAYLOAD_MAX  (16 << 20)
#define SPARE_FILES  32
#define REPORT_MAX   (1u << 20)
#define HEAD_EVERY   20 /* lines on a terminal */
#define DURATION_MAX 1e9
/* One cipher and one group in front, no resumption, so that every broker has the same to do. */
#define PRIORITY                                                           \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM:" \
    "+CHACHA20-POLY1305:+AES-256-GCM:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:%NO_TICKETS"

struct bench_options {
    struct connect_options connect;
    int64_t clients, qos, size, window, messages, rate, opening, opening_rate, batch, pid, fetch;
    int64_t subscribers, sessions, subscriptions;
    bool again, keep_token, json, quiet;
    const char *topic, *filters, *duration, *warmup, *drain, *tokens_file, *priority;
};

#define AT(member)   offsetof(struct bench_options, member)
#define CONN(member) offsetof(struct bench_options, connect.member)

/* clang-format off */
static const struct option_row broker_set[] = {
    { .name = "Broker:", .kind = OPTION_HEADING },
    { 'h', "host",         OPTION_TEXT,   CONN(host),       "HOST", "name or address of the broker (default: the profile's, else localhost)" },
    { 'p', "port",         OPTION_NUMBER, CONN(port),       "PORT", "its port (default: the profile's, else 8883; 1883 with --no-tls)", 1, 65535 },
    { 'V', "protocol",     OPTION_TEXT,   CONN(version),    "V",    "mqttv5 (default) or mqttv311" },
    { 'u', "username",     OPTION_TEXT,   CONN(user_name),  "NAME", "user name of all clients" },
    { 'P', "pw",           OPTION_TEXT,   CONN(password),   "PW",   "their password. Others can see it in the list of processes" },
    { 'i', "id",           OPTION_TEXT,   CONN(mqtt_id),    "ID",   "pattern of client identifiers, with %i in it (default: of a random run, so that two runs do not meet)" },
    { 'k', "keepalive",    OPTION_NUMBER, CONN(keep_alive), "S",    "keep alive in seconds (default 60; 0: none)", 0, 65535 },
    { 0,   "cafile",       OPTION_TEXT,   CONN(ca_file),    "FILE", "PEM certificates to trust (default: the profile's, else the system's)" },
    { 0,   "insecure",     OPTION_FLAG,   CONN(insecure),   NULL,   "accept a certificate with another name than HOST; not with tokens" },
    { 0,   "no-tls",       OPTION_FLAG,   CONN(no_tls),     NULL,   "plain TCP, as mqtt://HOST means; without tokens" },
    { 0,   "tls-priority", OPTION_TEXT,   AT(priority),     "TEXT", "GnuTLS priority string" },
    { .kind = OPTION_END },
};

static const struct option_row load_set[] = {
    { .name = "Load:", .kind = OPTION_HEADING },
    { 'c', "clients",                OPTION_NUMBER, AT(clients),      "N",   "how many: pairs, publishers, subscribers, or subscribers of the one publisher of a fan-out (default 10)", 1, 1000000 },
    { 'R', "connections-per-second", OPTION_NUMBER, AT(opening_rate), "N",   "open no more than so many a second (default: as fast as --opening lets it); churn: that come and go, renew: renewals", 1, 1000000 },
    { 0,   "opening",                OPTION_NUMBER, AT(opening),      "N",   "connections being opened at once (default 32)", 1, 100000 },
    { 'D', "duration",               OPTION_TEXT,   AT(duration),     "S",   "seconds to measure, fractions allowed; 0: until interrupted (default 10, of which each of two parts takes half; sub: 0; with --messages: until they have arrived)" },
    { 0,   "warmup",                 OPTION_TEXT,   AT(warmup),       "S",   "seconds before, not measured (default 0)" },
    { 0,   "drain",                  OPTION_TEXT,   AT(drain),        "S",   "what has not come after so many seconds in which nothing came is lost (default 5)" },
    { 0,   "pid",                    OPTION_NUMBER, AT(pid),          "PID", "say what CPU and memory this process takes: a broker on this machine", 1, INT32_MAX },
    { 0,   "json",                   OPTION_FLAG,   AT(json),         NULL,  "print one JSON document at the end and nothing else" },
    { 0,   "quiet",                  OPTION_FLAG,   AT(quiet),        NULL,  "no line each second" },
    { .kind = OPTION_END },
};

static const struct option_row again_set[] = {
    { 0, "again", OPTION_FLAG, AT(again), NULL, "every client leaves when it is in, and comes back: measures connections a second" },
    { 0, "keep-token", OPTION_FLAG, AT(keep_token), NULL, "with --again: it comes back with the token it had, which the broker then has seen (default: with the next one)" },
    { 'n', "messages", OPTION_NUMBER, AT(messages), "N", "with --again: so many connections in all", 1, INT64_MAX },
    { .kind = OPTION_END },
};

static const struct option_row fan_in_set[] = {
    { 0, "subscribers", OPTION_NUMBER, AT(subscribers), "N", "that share the publishers among them (default 1)", 1, 100000 },
    { .kind = OPTION_END },
};

static const struct option_row sessions_set[] = {
    { 0, "sessions", OPTION_NUMBER, AT(sessions), "N", "clients beside the pairs: that hold the subscriptions (wildcards; default 500), come and go (churn; 16), renew (renew; 100), store and ask (retained; 20)", 1, 1000000 },
    { .kind = OPTION_END },
};

static const struct option_row subscriptions_set[] = {
    { 0, "subscriptions", OPTION_NUMBER, AT(subscriptions), "N", "so many (default 100000; of retained to single topics: 10000)", 1, 100000000 },
    { .kind = OPTION_END },
};

static const struct option_row filters_set[] = {
    { 0, "filters", OPTION_TEXT, AT(filters), "PATTERN", "what the subscriptions are to, with %i in it (default: bench/wild/%i/+, bench/wild/%i/+/state, bench/+/wild/%i/# in turn)" },
    { .kind = OPTION_END },
};

static const struct option_row retained_set[] = {
    { .name = "Messages:", .kind = OPTION_HEADING },
    { 'q', "qos",      OPTION_NUMBER, AT(qos),      "Q",     "of the subscriptions: 0 (default), 1 or 2", 0, 2 },
    { 'n', "messages", OPTION_NUMBER, AT(messages), "N",     "so many are stored (default 1000000)", 1, 100000000 },
    { 's', "size",     OPTION_NUMBER, AT(size),     "BYTES", "of a payload (default 64; the first 28 carry number and time)", STAMP_LEN, PAYLOAD_MAX},
    { 'w', "window",   OPTION_NUMBER, AT(window),   "N",     "of one session unacknowledged at most (default 256)", 1, 65535 },
    { .kind = OPTION_END },
};

static const struct option_row message_set[] = {
    { .name = "Messages:", .kind = OPTION_HEADING },
    { 't', "topic",    OPTION_TEXT,   AT(topic),    "TOPIC", "pattern: %i is the client's (the pair's) number, %c its client identifier (default: under bench/)" },
    { 'q', "qos",      OPTION_NUMBER, AT(qos),      "Q",     "0 (default), 1 or 2", 0, 2 },
    { .kind = OPTION_END },
};

static const struct option_row count_set[] = {
    { 'n', "messages", OPTION_NUMBER, AT(messages), "N",     "so many in all, then end", 1, INT64_MAX },
    { .kind = OPTION_END },
};

static const struct option_row send_set[] = {
    { 's', "size",   OPTION_NUMBER, AT(size),   "BYTES", "of a payload (default 64; the first 28 carry number and time)", STAMP_LEN, PAYLOAD_MAX},
    { 'r', "rate",   OPTION_NUMBER, AT(rate),   "N",     "messages a second in all, on a schedule (default: as fast as --window lets it; churn and renew: 2000)", 1, 100000000 },
    { 'w', "window", OPTION_NUMBER, AT(window), "N",     "without --rate: messages of one publisher under way at most (default 256; fan-in, fan-out: 16)", 1, 65535 },
    { 0,   "batch",  OPTION_NUMBER, AT(batch),  "N",     "packets per TLS record at most (default 1)", 1, 1000 },
    { .kind = OPTION_END },
};

static const struct option_row token_set[] = {
    { .name = "Tokens of many clients:", .kind = OPTION_HEADING },
    { 0, "tokens", OPTION_TEXT,   AT(tokens_file), "FILE", "lines \"TOKEN KIND KEY\": a token, the kind of its key (oct, Ed25519, P-256) and the key in hex; clients take them in turn" },
    { 0, "fetch",  OPTION_NUMBER, AT(fetch),       "N",    "ask the authorization server for so many tokens; clients take them in turn (default 1)", 1, 100000 },
    { .kind = OPTION_END },
};

#define SETS_BEFORE { load_set, 0 }
#define SETS_AFTER  { broker_set, 0 }, { token_set, 0 }, { ace_rows, offsetof(struct bench_options, connect) }
static const struct option_set conn_sets[] = { SETS_BEFORE, { again_set, 0 }, SETS_AFTER };
static const struct option_set sub_sets[] = { { message_set, 0 }, { count_set, 0 }, SETS_BEFORE, SETS_AFTER };
static const struct option_set pub_sets[] = { { message_set, 0 }, { count_set, 0 }, { send_set, 0 }, SETS_BEFORE, SETS_AFTER };
static const struct option_set fan_in_sets[] = { { message_set, 0 }, { count_set, 0 }, { send_set, 0 }, SETS_BEFORE, { fan_in_set, 0 }, SETS_AFTER };
static const struct option_set wildcards_sets[] = { { message_set, 0 }, { send_set, 0 }, SETS_BEFORE, { sessions_set, 0 }, { subscriptions_set, 0 }, { filters_set, 0 }, SETS_AFTER };
static const struct option_set retained_sets[] = { { retained_set, 0 }, SETS_BEFORE, { sessions_set, 0 }, { subscriptions_set, 0 }, SETS_AFTER };
static const struct option_set beside_sets[] = { { message_set, 0 }, { send_set, 0 }, SETS_BEFORE, { sessions_set, 0 }, SETS_AFTER };

#define AFTER                                                                                                     \
    "URL is mqtt://HOST[:PORT] (plain TCP) or mqtts://HOST[:PORT], in place of -h, -p and --no-tls; over WebSocket "   \
    "ws://HOST[:PORT][/PATH] or wss://HOST[:PORT][/PATH]. Tokens are used "                                            \
    "if there is a source of them (--token, --tokens, --as, --trust-as, a profile with an authorization server) and " \
    "neither -u, plain TCP nor --no-ace says otherwise.\nThe exit status is 0 only if no client failed, nothing was " \
    "lost, refused, doubled (QoS 0 and 2) or out of order."

static const struct scenario {
    const char *summary;
    struct option_command usage;
    int64_t sessions, subscriptions, messages, rate, window; /* where nothing is said */
} scenarios[LOAD_MODES] = {
    [LOAD_CONN] = { "connections: many that stay, or as many a second as there can be",
        { "symbolon bench conn [options] [URL]", "Connects clients and keeps them connected, or (--again) connects over and over.", AFTER, conn_sets, COUNT_OF(conn_sets) }, 0, 0, 0, 0, 256 },
    [LOAD_P2P] = { "publishers and subscribers two by two, nothing may be lost",
        { "symbolon bench p2p [options] [URL]", "A publisher and a subscriber on each of many topics; checks that everything arrives, once and in order.", AFTER, pub_sets, COUNT_OF(pub_sets) }, 0, 0, 0, 0, 256 },
    [LOAD_FANIN] = { "many publishers, few subscribers, nothing may be lost",
        { "symbolon bench fan-in [options] [URL]", "Many publishers, and a few subscribers that share their topics among them by a wildcard filter each; checks that everything arrives, once and in order.", AFTER, fan_in_sets, COUNT_OF(fan_in_sets) }, 0, 0, 0, 0, 16 },
    [LOAD_FANOUT] = { "one publisher, many subscribers, nothing may be lost",
        { "symbolon bench fan-out [options] [URL]", "One publisher and many subscribers on one topic; checks that everything arrives at each, once and in order.", AFTER, pub_sets, COUNT_OF(pub_sets) }, 0, 0, 0, 0, 16 },
    [LOAD_PUB] = { "publish",
        { "symbolon bench pub [options] [URL]", "Publishes, and counts what the broker took.", AFTER, pub_sets, COUNT_OF(pub_sets) }, 0, 0, 0, 0, 256 },
    [LOAD_SUB] = { "subscribe",
        { "symbolon bench sub [options] [URL]", "Subscribes, and counts what comes. Messages of \"symbolon bench pub\" on the same machine also give latency and gaps.", AFTER, sub_sets, COUNT_OF(sub_sets) }, 0, 0, 0, 0, 256 },
    [LOAD_WILDCARDS] = { "what many subscriptions cost: memory, and of a message",
        { "symbolon bench wildcards [options] [URL]", "Messages of pairs; then many subscriptions that match none of them; then the same messages again.", AFTER, wildcards_sets, COUNT_OF(wildcards_sets) }, 500, 100000, 0, 0, 256 },
    [LOAD_RETAINED] = { "what many retained messages cost: stored, asked for singly, all at once",
        { "symbolon bench retained [options] [URL]", "Stores retained messages; subscribes to many of their topics; subscribes to all of them by one filter. Each has to come, once.", AFTER, retained_sets, COUNT_OF(retained_sets) }, 20, 10000, 1000000, 0, 256 },
    [LOAD_CHURN] = { "messages of pairs while others come and go",
        { "symbolon bench churn [options] [URL]", "Messages of pairs at a rate; then the same while other clients connect, subscribe, publish a message to themselves, get it and leave, over and over.", AFTER, beside_sets, COUNT_OF(beside_sets) }, 16, 0, 0, 2000, 256 },
    [LOAD_RENEW] = { "messages of pairs while others renew their tokens",
        { "symbolon bench renew [options] [URL]", "Messages of pairs at a rate; then the same while other sessions re-authenticate with the next token, by challenge and response (RFC 9431 4). Needs tokens.", AFTER, beside_sets, COUNT_OF(beside_sets) }, 100, 0, 0, 2000, 256 },
};
/* clang-format on */

/* ---- options into settings ---- */

static bool decimal(const char *option, const char *text, double *value)
{
    char *end;

    if (text == NULL)
        return true;
    *value = strtod(text, &end);
    if (end != text && *end == '\0' && *value >= 0 && *value <= DURATION_MAX)
        return true;
    complain(COMMAND, "--%s wants seconds, not \"%s\"", option, text);
    return false;
}

static bool patterns_valid(const struct bench_options *o, enum load_mode mode, size_t connections)
{
    const char *id = o->connect.mqtt_id;

    if (id != NULL && !template_valid(id, false))
        complain(COMMAND, "-i: only %%i and %%%% may stand in %s", id);
    else if (id != NULL && connections > 1 && strstr(id, "%i") == NULL)
        complain(COMMAND, "-i: without %%i all clients would have the same identifier");
    else if (o->topic != NULL && !template_valid(o->topic, true))
        complain(COMMAND, "-t: only %%i, %%c and %%%% may stand in %s", o->topic);
    else if (o->topic != NULL && mode == LOAD_FANIN)
        complain(COMMAND, "-t: a fan-in has topics of its own");
    else if (o->filters != NULL && (!template_valid(o->filters, false) || strstr(o->filters, "%i") == NULL))
        complain(COMMAND, "--filters: %%i has to stand in %s, and nothing else but %%%%", o->filters);
    else
        return true;
    return false;
}

/* Every connection is a descriptor. */
static bool enough_files(size_t connections)
{
    struct rlimit limit;
    rlim_t wanted = connections + SPARE_FILES;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return true;
    struct rlimit more = { wanted, limit.rlim_max > wanted ? limit.rlim_max : wanted };
    if (setrlimit(RLIMIT_NOFILE, &more) == 0)
        return true;
    complain(COMMAND, "%zu connections need %llu open files, but this process may have %llu (ulimit -n)",
             connections, (unsigned long long)wanted, (unsigned long long)limit.rlim_max);
    return false;
}

static int64_t or_else(int64_t value, int64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static size_t connections_of(const struct load_settings *s)
{
    switch (s->mode) {
    case LOAD_FANIN:
        return s->clients + s->subscribers;
    case LOAD_FANOUT:
        return s->clients + 1;
    case LOAD_CONN:
    case LOAD_PUB:
    case LOAD_SUB:
        return s->clients;
    case LOAD_RETAINED:
        return s->sessions + 1;
    default:
        return 2 * s->clients + s->sessions;
    }
}

static int fill_in(const struct bench_options *o, enum load_mode mode, struct load_settings *s)
{
    const struct scenario *scenario = &scenarios[mode];
    bool endless = mode == LOAD_SUB || o->messages > 0;

    *s = (struct load_settings){
        .mode = mode,
        .version = MQTT_5,
        .id = o->connect.mqtt_id,
        .topic = o->topic,
        .clients = (size_t)o->clients,
        .subscribers = (size_t)o->subscribers,
        .sessions = (size_t)or_else(o->sessions, scenario->sessions),
        .subscriptions = (uint64_t)or_else(o->subscriptions, scenario->subscriptions),
        .filters = o->filters,
        .again = o->again,
        .keep_token = o->keep_token,
        .qos = (uint8_t)o->qos,
        .size = (size_t)o->size,
        .rate = (double)or_else(o->rate, scenario->rate),
        .window = (size_t)or_else(o->window, scenario->window),
        .messages = (uint64_t)or_else(o->messages, scenario->messages),
        .duration_s = endless ? 0 : 10,
        .opening_max = (size_t)o->opening,
        .opening_rate = (double)o->opening_rate,
        .batch = (size_t)o->batch,
        .keep_alive_s = (uint16_t)o->connect.keep_alive,
        .pid = (pid_t)o->pid,
        .any_name = o->connect.insecure,
        .drain_s = 5,
        .stop_fd = -1,
    };
    size_t connections = connections_of(s);
    if (!decimal("duration", o->duration, &s->duration_s) || !decimal("warmup", o->warmup, &s->warmup_s) ||
        !decimal("drain", o->drain, &s->drain_s) || !patterns_valid(o, mode, connections))
        return EXIT_USAGE;
    bool halves = mode == LOAD_WILDCARDS || mode == LOAD_CHURN || mode == LOAD_RENEW;
    if (halves && s->duration_s <= 0) {
        complain(COMMAND, "-D: each part has to end");
        return EXIT_USAGE;
    }
    return enough_files(connections) ? GO_ON : EXIT_FAILED;
}

static int open_tls(const struct bench_options *o, const struct bench_target *target, struct load_settings *s)
{
    static const char *const alpn[] = { "mqtt", NULL };
    struct tls_settings tls = { .ca_file = target->ca_file,
                                .alpn = alpn,
                                .priorities = o->priority != NULL ? o->priority : PRIORITY };
    struct why why = { "", "", 0 };

    s->host = target->host;
    s->port = target->port;
    s->version = target->version;
    s->ws_path = target->ws_path;
    if (target->plain)
        return GO_ON;
    if (tls_config_new_client(&tls, &s->tls, &why) == ST_OK)
        return GO_ON;
    complain(COMMAND, "%s: %s", why.clause, why.text);
    return EXIT_FILE;
}

/* ---- running ---- */

struct screen {
    enum load_mode mode;
    bool terminal;
    unsigned lines;
};

static void show_second(void *ctx, const struct load_second *second)
{
    struct screen *screen = ctx;
    struct buf text;

    buf_init(&text, 4096);
    if (screen->lines == 0 || (screen->terminal && screen->lines % HEAD_EVERY == 0))
        report_heading(screen->mode, &text);
    screen->lines++;
    report_second(screen->mode, second, &text);
    printf("%.*s", SPAN_FMT(buf_span(&text)));
    (void)fflush(stdout);
    buf_done(&text);
}

static int open_stop(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int print_report(const struct bench_options *o, const struct load_settings *s,
                        const struct load_report *report)
{
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(js_unrefp)
    struct js *js = NULL;

    buf_init(&text, REPORT_MAX);
    if (o->json) {
        if (report_json(s, report, &js) != ST_OK || js_print(js, &text) != ST_OK)
            buf_reset(&text);
        put_str(&text, "\n");
    } else {
        put_str(&text, "\n");
        report_text(s, report, &text);
    }
    printf("%.*s", SPAN_FMT(buf_span(&text)));
    buf_reset(&text);
    return report_verdict(s, report, &text) ? EXIT_DONE : EXIT_FAILED;
}

static int measure(const struct bench_options *o, struct load_settings *s)
{
    struct screen screen = { s->mode, isatty(STDOUT_FILENO) == 1, 0 };
    struct load_report *report = malloc(sizeof *report);
    struct why why = { "", "", 0 };
    int code;

    if (report == NULL)
        return EXIT_FAILED;
    s->stop_fd = open_stop();
    if (load_run(s, o->json || o->quiet ? NULL : show_second, &screen, report, &why) == ST_OK) {
        code = print_report(o, s, report);
    } else {
        complain(COMMAND, "%s:%u: %s (%s)", s->host, s->port, why.text, why.clause);
        code = strcmp(why.clause, "--pid") == 0 ? EXIT_USAGE : EXIT_UNREACHABLE;
    }
    if (s->stop_fd >= 0)
        (void)close(s->stop_fd);
    free(report);
    return code;
}

static int run_mode(enum load_mode mode, int argc, char **argv)
{
    struct bench_options o = { .connect = CONNECT_OPTIONS_INIT,
                               .clients = 10,
                               .subscribers = 1,
                               .size = 64,
                               .opening = 32,
                               .batch = 1,
                               .fetch = 1 };
    struct text_list rest = { 0 };
    struct bench_target target = { 0 };
    struct login login = { 0 };
    struct load_settings settings = { 0 };
    int code = command_options(&scenarios[mode].usage, COMMAND, argc, argv, &o, &rest);

    if (code == GO_ON)
        code = bench_target(COMMAND, &o.connect, &rest, &target);
    if (code == GO_ON)
        code = fill_in(&o, mode, &settings);
    if (code == GO_ON)
        code = bench_login(COMMAND, &o.connect, o.tokens_file, (size_t)o.fetch, &target, &login);
    if (code == GO_ON && mode == LOAD_RENEW && (login.count == 0 || target.version != MQTT_5)) {
        complain(COMMAND, "renew: there has to be a source of tokens (--tokens, --as, a profile), and MQTT 5");
        code = EXIT_USAGE;
    }
    if (code == GO_ON)
        code = open_tls(&o, &target, &settings);
    settings.login = &login;
    if (code == GO_ON)
        code = measure(&o, &settings);
    tls_config_unref(settings.tls);
    login_done(&login);
    bench_target_done(&target);
    text_list_done(&rest);
    connect_options_done(&o.connect);
    return code;
}

/* argv[0] is the scenario's name. */
static int run_scenario(int argc, char **argv)
{
    enum load_mode mode = LOAD_CONN;

    while (strcmp(load_mode_name(mode), argv[0]) != 0)
        mode++;
    return run_mode(mode, argc, argv);
}

int run_bench(int argc, char **argv)
{
    struct command commands[LOAD_MODES];

    for (enum load_mode mode = LOAD_CONN; mode < LOAD_MODES; mode++)
        commands[mode] = (struct command){ load_mode_name(mode), scenarios[mode].summary, run_scenario };
    return command_dispatch(commands, COUNT_OF(commands), COMMAND, argc, argv);
}
