/* tests/soak/soak - keeps many sessions busy for a long time and counts what should not have happened. tests/soak/run
 * starts the broker, calls this, watches the broker's memory and descriptors, and judges.
 *   soak --port=N --ca=FILE --key=PEM --issuer=URL --audience=NAME [--sessions=N] [--seconds=S] ...
 * A line of JSON every ten seconds; the last has "end". */
#include "soak.h"

#include "crypto/random.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define TURN_NS     (SECOND_NS / 50)
#define TICK_NS     (SECOND_NS / 10)
#define REPORT_NS   (10 * SECOND_NS)
#define SETTLE_NS   (120 * SECOND_NS) /* until all is back and all has come */
#define QUIET_NS    (3 * SECOND_NS)   /* ... and nothing more comes for so long */
#define OPENING_MAX 32                /* handshakes at once */
#define CONNECT_MS  5000

/* clang-format off */
static const struct option long_options[] = {
    { "host",     required_argument, NULL, 'h' },
    { "port",     required_argument, NULL, 'p' },
    { "ca",       required_argument, NULL, 'c' },
    { "key",      required_argument, NULL, 'k' },
    { "issuer",   required_argument, NULL, 'U' },
    { "audience", required_argument, NULL, 'a' },
    { "sessions", required_argument, NULL, 'n' },
    { "seconds",  required_argument, NULL, 'S' },
    { "interval", required_argument, NULL, 'i' },
    { "churn",    required_argument, NULL, 'r' },
    { "away",     required_argument, NULL, 'w' },
    { "life",     required_argument, NULL, 'l' },
    { NULL, 0, NULL, 0 },
};
/* clang-format on */

static void take_option(struct options *o, int option, const char *value)
{
    /* clang-format off */
    switch (option) {
    case 'h': o->host = value; break;
    case 'p': o->port = (int)number(value, 1, 65535); break;
    case 'c': o->ca_file = value; break;
    case 'k': o->key_file = value; break;
    case 'U': o->issuer = value; break;
    case 'a': o->audience = value; break;
    case 'n': o->sessions = (size_t)number(value, 2 * KINDS, 100000); break;
    case 'S': o->seconds = number(value, 1, 1e6); break;
    case 'i': o->interval_s = number(value, 0.01, 3600); break;
    case 'r': o->churn = number(value, 0, 1000); break;
    case 'w': o->away_s = number(value, 0, 3600); break;
    case 'l': o->life_s = (int64_t)number(value, 30, 1e6); break;
    default: die("tests/soak/run calls this");
    }
    /* clang-format on */
}

uint32_t soak_pick(struct soak *soak, uint32_t below)
{
    soak->random = soak->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((soak->random >> 33) % below);
}

void member_sent(struct member *m)
{
    m->wrote_ns = m->soak->loop.now_ns;
    link_packet_done(&m->link);
}

/* ---- one turn ---- */

static void open_some(struct soak *soak)
{
    for (size_t looked = 0; looked < soak->count && soak->opening < OPENING_MAX; looked++) {
        struct member *m = &soak->members[soak->next_waiting];
        soak->next_waiting = (soak->next_waiting + 1) % soak->count;
        if (m->state == MEMBER_WAITING)
            member_open(m);
    }
}

static void churn_once(struct soak *soak)
{
    struct member *m = &soak->members[soak_pick(soak, (uint32_t)soak->count)];

    if (m->state == MEMBER_OPEN && !m->by_us)
        member_leave(m, soak_pick(soak, 2) == 0);
}

static void tick(struct soak *soak)
{
    for (size_t i = 0; i < soak->count; i++)
        member_tick(&soak->members[i], soak->loop.now_ns);
    open_some(soak);
}

static void print_counts(const struct soak *soak, int64_t started_ns)
{
    const struct counts *c = &soak->counts;

    printf("{\"at_s\":%.0f,\"open\":%zu,\"opened\":%llu,\"left\":%llu,\"dropped\":%llu,\"renewed\":%llu,"
           "\"ended\":%llu,"
           "\"published\":%llu,\"received\":%llu,\"retained\":%llu,\"wills\":%llu,\"unexplained\":%llu}\n",
           (double)(soak->loop.now_ns - started_ns) / 1e9, soak->open, (unsigned long long)c->opened,
           (unsigned long long)c->left, (unsigned long long)c->dropped, (unsigned long long)c->renewed,
           (unsigned long long)c->ended, (unsigned long long)c->published, (unsigned long long)c->received,
           (unsigned long long)c->retained, (unsigned long long)c->wills, (unsigned long long)c->unexplained);
    (void)fflush(stdout);
}

struct clock_of_run {
    int64_t started_ns, tick_ns, report_ns;
};

static void turn(struct soak *soak, struct clock_of_run *run)
{
    link_loop_turn(&soak->loop, TURN_NS);
    if (soak->loop.now_ns >= run->tick_ns) {
        run->tick_ns = soak->loop.now_ns + TICK_NS;
        tick(soak);
    }
    if (soak->loop.now_ns >= run->report_ns) {
        run->report_ns = soak->loop.now_ns + REPORT_NS;
        print_counts(soak, run->started_ns);
    }
}

/* ---- the phases ---- */

static void all_come(struct soak *soak, struct clock_of_run *run)
{
    int64_t limit = link_now() + SETTLE_NS + (int64_t)soak->count * (SECOND_NS / 50);

    soak->calm = true;
    while (soak->open < soak->count) {
        if (link_now() > limit)
            die("%zu of %zu sessions are open in time (%llu troubles: %s)", soak->open, soak->count,
                (unsigned long long)soak->troubles.total, soak->troubles.rows[0].text);
        turn(soak, run);
    }
    for (size_t i = 0; i < soak->count; i++) /* not all at once */
        soak->members[i].publish_ns =
            soak->loop.now_ns + (int64_t)(soak->options->interval_s * 1e6) * soak_pick(soak, 1000);
    soak->calm = false;
}

static void live(struct soak *soak, struct clock_of_run *run)
{
    int64_t start = link_now(), end = start + (int64_t)(soak->options->seconds * 1e9);
    uint64_t churned = 0;

    while (soak->loop.now_ns < end) {
        uint64_t due = (uint64_t)((double)(soak->loop.now_ns - start) / 1e9 * soak->options->churn);
        for (; churned < due; churned++)
            churn_once(soak);
        turn(soak, run);
    }
}

/* Each has been there since the calm began - tokens go on ending - and has nothing under way. */
static bool all_is_done(const struct soak *soak)
{
    for (size_t i = 0; i < soak->count; i++)
        if (!soak->members[i].came_back || !member_idle(&soak->members[i]))
            return false;
    return true;
}

/* Everybody is back, nobody begins anything, and nothing more comes. False: that did not happen in time. */
static bool settle(struct soak *soak, struct clock_of_run *run)
{
    int64_t limit = link_now() + SETTLE_NS, quiet = link_now();
    uint64_t before = 0;

    soak->calm = true;
    for (size_t i = 0; i < soak->count; i++)
        soak->members[i].came_back = soak->members[i].state == MEMBER_OPEN;
    while (link_now() < limit) {
        uint64_t now = soak->counts.received; /* not retained messages and Wills: tokens go on ending */
        if (now != before || !all_is_done(soak))
            quiet = link_now();
        before = now;
        if (link_now() - quiet > QUIET_NS)
            return true;
        turn(soak, run);
    }
    return false;
}

/* ---- counting ---- */

struct verdict {
    uint64_t missing, unsure, lost; /* of numbers that had to arrive; of them without an answer; the rest */
    uint64_t twice, repeated;       /* at QoS 2: must not be; at QoS 1 */
    uint64_t wills_lost;
};

static void judge(struct verdict *v, const struct track *heard, uint64_t sent, uint64_t unsure)
{
    uint64_t missing = heard->lost + (sent > heard->expected ? sent - heard->expected : 0);

    v->missing += missing;
    v->unsure += unsure;
    v->lost += missing > unsure ? missing - unsure : 0;
}

static void judge_member(struct verdict *v, const struct member *m)
{
    const struct member *before = member_before(m);

    if (before != NULL) {
        if (m->kind->durable)
            judge(v, &m->heard, before->sent, before->unsure);
        *(before->kind->qos == 2 ? &v->twice : &v->repeated) += m->heard.twice;
    }
    if (m->kind->shares) {
        judge(v, &m->shared, m->sent, m->unsure);
        v->repeated += m->shared.twice;
    }
    if (m->kind->will) {
        uint64_t missing =
            m->will_heard.lost + (m->wills > m->will_heard.expected ? m->wills - m->will_heard.expected : 0);
        v->wills_lost += missing > m->wills_unsure ? missing - m->wills_unsure : 0;
        v->twice += m->will_heard.twice;
    }
}

static void print_troubles(const struct troubles *t)
{
    printf(",\"troubles\":[");
    for (size_t i = 0; i < t->count; i++) {
        printf("%s\"%llu ", i == 0 ? "" : ",", (unsigned long long)t->rows[i].times);
        for (const char *p = t->rows[i].text; *p != '\0'; p++)
            (void)putchar(*p == '"' || *p == '\\' || (unsigned char)*p < 0x20 ? '\'' : *p);
        (void)putchar('"');
    }
    printf("]");
}

static void print_verdict(const struct soak *soak, bool settled)
{
    const struct counts *c = &soak->counts;
    struct verdict v = { 0 };

    for (size_t i = 0; i < soak->count; i++)
        judge_member(&v, &soak->members[i]);
    printf("{\"end\":true,\"settled\":%s,\"sessions\":%zu,\"opened\":%llu,\"left\":%llu,\"dropped\":%llu,"
           "\"renewed\":%llu,"
           "\"late_renewals\":%llu,\"ended\":%llu,\"outlived\":%llu,\"published\":%llu,\"received\":%llu,"
           "\"retained\":%llu,"
           "\"wills\":%llu,\"missing\":%llu,\"unanswered\":%llu,\"lost\":%llu,\"twice\":%llu,\"repeated\":%llu,"
           "\"retained_missing\":%llu,\"wills_lost\":%llu,\"lost_sessions\":%llu,\"refused\":%llu,\"strange\":%"
           "llu,"
           "\"unexplained\":%llu",
           settled ? "true" : "false", soak->count, (unsigned long long)c->opened, (unsigned long long)c->left,
           (unsigned long long)c->dropped, (unsigned long long)c->renewed, (unsigned long long)c->late_renewals,
           (unsigned long long)c->ended, (unsigned long long)c->outlived, (unsigned long long)c->published,
           (unsigned long long)c->received, (unsigned long long)c->retained, (unsigned long long)c->wills,
           (unsigned long long)v.missing, (unsigned long long)v.unsure, (unsigned long long)v.lost,
           (unsigned long long)v.twice, (unsigned long long)v.repeated, (unsigned long long)c->retained_missing,
           (unsigned long long)v.wills_lost, (unsigned long long)c->lost_sessions,
           (unsigned long long)c->refused, (unsigned long long)c->strange, (unsigned long long)c->unexplained);
    print_troubles(&soak->troubles);
    printf("}\n");
}

static void open_soak(struct soak *soak)
{
    const struct options *o = soak->options;
    struct tls_settings settings = { .ca_file = o->ca_file, .priorities = PROGRAM_PRIORITY };
    struct tls_config *tls = NULL;
    struct why why = { "", "", 0 };

    if (tls_config_new_client(&settings, &tls, &why) != ST_OK ||
        link_loop_open(&soak->loop, o->host, (uint16_t)o->port, tls, true, CONNECT_MS, &why) != ST_OK)
        die("%s:%d: %s", o->host, o->port, why.text);
    tls_config_unref(tls);
    if (random_bytes(&soak->random, sizeof soak->random) != ST_OK)
        die("no random bytes");
    tokens_open(soak);
    soak->count = o->sessions;
    soak->members = calloc(soak->count, sizeof *soak->members);
    if (soak->members == NULL)
        die("out of memory");
    for (size_t i = 0; i < soak->count; i++)
        member_init(&soak->members[i], soak, (uint32_t)i);
}

int main(int argc, char **argv)
{
    struct options o = { .host = "127.0.0.1",
                         .sessions = 200,
                         .seconds = 60,
                         .interval_s = 10,
                         .churn = 5,
                         .away_s = 20,
                         .life_s = 420 };
    struct soak *soak = calloc(1, sizeof *soak);
    int option;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        take_option(&o, option, optarg);
    if (soak == NULL || optind != argc || o.port == 0 || o.ca_file == NULL || o.key_file == NULL ||
        o.issuer == NULL || o.audience == NULL)
        die("tests/soak/run calls this");
    soak->options = &o;
    open_soak(soak);
    struct clock_of_run run = { .started_ns = link_now(), .report_ns = link_now() + REPORT_NS };
    all_come(soak, &run);
    printf("{\"begun\":true,\"at_s\":%.1f}\n", (double)(link_now() - run.started_ns) / 1e9);
    live(soak, &run);
    bool settled = settle(soak, &run);
    print_counts(soak, run.started_ns);
    print_verdict(soak, settled);
    for (size_t i = 0; i < soak->count; i++)
        member_done(&soak->members[i]);
    free(soak->members);
    link_loop_done(&soak->loop);
    tokens_done(soak);
    free(soak);
    return 0;
}
