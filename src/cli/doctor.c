/* symbolon doctor: what is there to be said about a broker (src/kit/doctor.h), for people or as JSON. */
#include "cli/bench_login.h"
#include "cli/json_text.h"

#include "codec/json.h"
#include "kit/doctor.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMMAND    "symbolon doctor"
#define PORT_PLAIN 1883
#define WIDTH      100
#define INDENT     10

struct doctor_options {
    struct connect_options connect;
    int64_t wait_ms;
    bool json;
};

#define AT(member)   offsetof(struct doctor_options, member)
#define CONN(member) offsetof(struct doctor_options, connect.member)

/* clang-format off */
static const struct option_row rows[] = {
    { .name = "Broker:", .kind = OPTION_HEADING },
    { 'p', "port",     OPTION_NUMBER, CONN(port),      "PORT", "its port (default: the URL's, the profile's, else 8883; 1883 for mqtt://)", 1, 65535 },
    { 0,   "cafile",   OPTION_TEXT,   CONN(ca_file),   "FILE", "PEM certificates to trust (default: the profile's, else the system's)" },
    { 0,   "no-tls",   OPTION_FLAG,   CONN(no_tls),    NULL,   "plain TCP, as mqtt://HOST means" },
    { 'u', "username", OPTION_TEXT,   CONN(user_name), "NAME", "user name" },
    { 'P', "pw",       OPTION_TEXT,   CONN(password),  "PW",   "password. Others can see it in the list of processes" },
    { 0,   "wait",     OPTION_NUMBER, AT(wait_ms),     "MS",   "wait at most so long for any one answer (default 5000)", 100, 60000 },
    { 0,   "json",     OPTION_FLAG,   AT(json),        NULL,   "print one JSON document" },
    { .kind = OPTION_END },
};
/* clang-format on */

static const struct option_set sets[] = {
    { rows, 0 },
    { ace_rows, offsetof(struct doctor_options, connect) },
};

static const struct option_command usage = {
    .usage = "symbolon doctor [options] HOST|URL",
    .about = "Looks at an MQTT broker from outside and says what it found and what that means: network, TLS, "
             "versions, "
             "who may come in, features, limits, authorization with ACE. It is polite: a few dozen connections "
             "one after "
             "the other, topics under symbolon-doctor/ alone, and nothing is left behind.\nThe exit status is "
             "0 if all is "
             "well, 1 with warnings, 2 with problems (and for a wrong command line).",
    .sets = sets,
    .set_count = COUNT_OF(sets),
};

struct patient {
    const struct doctor_options *options;
    bool colour;
    char theme[64];
    unsigned count[DOCTOR_LEVELS];
    struct js *findings;
    enum status st; /* of building the document */
};

/* ---- for people ---- */

static void print_words(const char *text, size_t column)
{
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (column > INDENT && column + 1 + word > WIDTH) {
            printf("\n%*s", INDENT, "");
            column = INDENT;
        } else if (column > INDENT) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_finding(struct patient *p, const struct doctor_finding *f)
{
    static const char *const colours[DOCTOR_LEVELS] = { "\033[32m", "\033[36m", "\033[33m", "\033[31m" };

    if (strcmp(p->theme, f->theme) != 0) {
        (void)snprintf(p->theme, sizeof p->theme, "%s", f->theme);
        printf("\n%s\n", f->theme);
    }
    printf("%s%-*s%s", p->colour ? colours[f->level] : "", INDENT, doctor_level_name(f->level),
           p->colour ? "\033[0m" : "");
    print_words(f->text, INDENT);
    if (f->advice != NULL) {
        printf("%*s", INDENT, "");
        print_words(f->advice, INDENT);
    }
    (void)fflush(stdout);
}

/* ---- for programs ---- */

static enum status keep_finding(struct patient *p, const struct doctor_finding *f)
{
    struct js *row = js_new_object();
    enum status st = js_set_str(row, "level", span_of_str(doctor_level_name(f->level)));

    if (st == ST_OK)
        st = js_set_str(row, "theme", span_of_str(f->theme));
    if (st == ST_OK)
        st = js_set_str(row, "id", span_of_str(f->id));
    if (st == ST_OK)
        st = js_set_str(row, "text", span_of_str(f->text));
    if (st == ST_OK && f->advice != NULL)
        st = js_set_str(row, "advice", span_of_str(f->advice));
    if (st == ST_OK)
        return js_append_take(p->findings, row);
    js_unref(row);
    return st;
}

static struct js *summary(const struct patient *p)
{
    struct js *js = js_new_object();
    enum status st = ST_OK;

    for (size_t i = 0; i < DOCTOR_LEVELS && st == ST_OK; i++)
        st = js_set_i64(js, doctor_level_name((enum doctor_level)i), p->count[i]);
    if (st == ST_OK)
        return js;
    js_unref(js);
    return NULL;
}

static int print_document(struct patient *p, const struct doctor_settings *s)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    enum status st = p->st;

    if (st == ST_OK)
        st = js_set_str(js, "host", span_of_str(s->host));
    if (st == ST_OK)
        st = js_set_i64(js, "port", s->port);
    if (st == ST_OK)
        st = js_set_bool(js, "tls", !s->plain);
    if (st == ST_OK)
        st = js_set_take(js, "summary", summary(p));
    if (st == ST_OK)
        st = js_set_take(js, "findings", TAKE(p->findings));
    return st == ST_OK && print_json(js) == ST_OK ? EXIT_DONE : EXIT_FAILED;
}

static void on_finding(void *ctx, const struct doctor_finding *f)
{
    struct patient *p = ctx;

    p->count[f->level]++;
    if (!p->options->json)
        print_finding(p, f);
    else if (p->st == ST_OK)
        p->st = keep_finding(p, f);
}

/* ---- all of it ---- */

static void print_counts(const struct patient *p)
{
    printf("\n");
    for (unsigned i = 0; i < DOCTOR_LEVELS; i++)
        printf("%s%u %s%s", i == 0 ? "" : ", ", p->count[i], doctor_level_name((enum doctor_level)i),
               i == DOCTOR_OK || p->count[i] == 1 ? "" : "s");
    printf("\n");
}

static int examine(const struct doctor_options *o, const struct doctor_settings *s)
{
    struct patient p = { .options = o, .colour = isatty(STDOUT_FILENO) == 1, .findings = js_new_array() };
    struct why why = { "", "", 0 };
    int code = EXIT_DONE;

    if (!o->json)
        printf("%s://%s:%u\n", s->plain ? "mqtt" : "mqtts", s->host, s->port);
    if (doctor_run(s, on_finding, &p, &why) != ST_OK) {
        complain(COMMAND, "%s: %s", why.clause, why.text);
        js_unref(p.findings);
        return EXIT_FILE;
    }
    if (o->json)
        code = print_document(&p, s);
    else
        print_counts(&p);
    js_unref(p.findings);
    return code != EXIT_DONE ? code : p.count[DOCTOR_PROBLEM] > 0 ? 2 : p.count[DOCTOR_WARNING] > 0 ? 1 : 0;
}

int run_doctor(int argc, char **argv)
{
    struct doctor_options o = { .connect = CONNECT_OPTIONS_INIT };
    struct text_list rest = { 0 };
    struct bench_target target = { 0 };
    struct login login = { 0 };
    int code = command_options(&usage, COMMAND, argc, argv, &o, &rest);

    if (code == GO_ON)
        code = bench_target(COMMAND, &o.connect, &rest, &target);
    if (code == GO_ON && target.ws_path != NULL) {
        complain(COMMAND, "it starts from MQTT itself, mqtt:// or mqtts://, and looks for WebSocket by itself");
        code = EXIT_USAGE;
    }
    if (code == GO_ON && bench_login(COMMAND, &o.connect, NULL, 1, &target, &login) != GO_ON)
        complain(COMMAND, "going on without a token");
    if (code == GO_ON) {
        struct doctor_settings s = {
            .host = target.host,
            .port = target.port,
            .plain = target.plain,
            .ca_file = target.ca_file,
            .user = login.user,
            .password = login.password,
            .as_url = o.connect.as_url != NULL ? o.connect.as_url
                      : target.ace             ? target.profile.as_url
                                               : NULL,
            .as_ca = o.connect.as_ca_file != NULL ? o.connect.as_ca_file
                     : target.ace                 ? target.profile.as_ca_file
                                                  : NULL,
            .plain_port = !target.plain && !target.port_given ? PORT_PLAIN : 0,
            .wait_ms = o.wait_ms,
        };
        if (login.count > 0) {
            s.token = login.identities[0].token;
            s.token_key = login.identities[0].key;
        }
        code = examine(&o, &s);
    }
    login_done(&login);
    bench_target_done(&target);
    text_list_done(&rest);
    connect_options_done(&o.connect);
    return code;
}
