/* symbolon conformance: the kit's cases against a broker or an authorization server, as a table and as JSON. */
#include "cli/command.h"
#include "client/private_file.h"
#include "crypto/secret.h"
#include "kit/kit.h"
#include "net/file.h"
#include "symbolon/symbolon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conformance_options {
    const char *dir, *cafile, *issuer_key, *issuer, *audience, *shared_key, *other_key, *other_issuer, *root;
    const char *public_topic, *as_cert, *as_key, *as_url, *as_ca;
    const char *client_id, *client_secret, *client_secret_file, *rs_id, *rs_secret, *rs_secret_file;
    const char *json, *keylog, *capture, *seed;
    int64_t port, as_port, auth_timeout, skew, wait, pid;
    bool insecure, draft06, list;
    struct text_list only, skip;
};

#define SECRET_MAX 4096
#define O(member)  offsetof(struct conformance_options, member)
/* clang-format off */
static const struct option_row broker_only_rows[] = {
    { .name = "Broker:", .kind = OPTION_HEADING },
    { 'p', "port",         OPTION_NUMBER, O(port),         "PORT",  "TLS port (8883)", 1, 65535 },
    { 0,   "cafile",       OPTION_TEXT,   O(cafile),       "FILE",  "PEM file with the authorities to trust for the broker's certificate" },
    { 0,   "insecure",     OPTION_FLAG,   O(insecure),     NULL,    "accept any name in the broker's certificate" },
    { 0,   "public-topic", OPTION_TEXT,   O(public_topic), "TOPIC", "a topic that needs no token (kit-public with --dir)" },
    { 0,   "root",         OPTION_TEXT,   O(root),         "TOPIC", "topics used lie under this one (kit); tokens of --as must grant TOPIC/#" },
    { 0,   "auth-timeout", OPTION_NUMBER, O(auth_timeout), "MS",    "how long the broker waits for an answer to its challenge; not given: not tried", 1, 600000 },
    { 0,   "skew",         OPTION_NUMBER, O(skew),         "S",     "difference of clocks the broker tolerates (0)", 0, 600 },
    { 0,   "draft06",      OPTION_FLAG,   O(draft06),      NULL,    "expect what draft-06 says where it differs from RFC 9431" },
    { .name = "Tokens of the kit's own:", .kind = OPTION_HEADING },
    { 0,   "dir",          OPTION_TEXT,   O(dir),          "DIR",   "take keys and names from the folder that `symbolon conformance setup` made" },
    { 0,   "issuer-key",   OPTION_TEXT,   O(issuer_key),   "FILE",  "private JWK that the broker trusts as the issuer's" },
    { 0,   "issuer",       OPTION_TEXT,   O(issuer),       "URL",   "its name in tokens (iss)" },
    { 0,   "audience",     OPTION_TEXT,   O(audience),     "NAME",  "the broker's name in tokens (aud)" },
    { 0,   "shared-key",   OPTION_TEXT,   O(shared_key),   "FILE",  "secret JWK under which that issuer encrypts tokens for the broker" },
    { 0,   "other-key",    OPTION_TEXT,   O(other_key),    "FILE",  "private JWK of a second issuer that the broker trusts" },
    { 0,   "other-issuer", OPTION_TEXT,   O(other_issuer), "URL",   "its name" },
    { 0,   "as-port",      OPTION_NUMBER, O(as_port),      "PORT",  "play the issuer's introspection endpoint here, well and badly", 1, 65535 },
    { 0,   "as-cert",      OPTION_TEXT,   O(as_cert),      "FILE",  "its certificate (PEM)" },
    { 0,   "as-key",       OPTION_TEXT,   O(as_key),       "FILE",  "its key (PEM)" },
    { .name = "Tokens of an authorization server:", .kind = OPTION_HEADING },
    { 0,   "as",           OPTION_TEXT,   O(as_url),       "URL",   "get tokens there" },
    { .kind = OPTION_END },
};

static const struct option_row as_rows[] = {
    { 0,   "as-ca",         OPTION_TEXT,  O(as_ca),         "FILE", "PEM file with the authorities to trust for the authorization server" },
    { 0,   "client-id",     OPTION_TEXT,  O(client_id),     "ID",   "a client registered there" },
    { 0,   "client-secret", OPTION_TEXT,  O(client_secret), "TEXT", "its secret; other users of this machine may see it" },
    { 0,   "client-secret-file", OPTION_TEXT, O(client_secret_file), "FILE", "its secret, in a file" },
    { .kind = OPTION_END },
};

static const struct option_row rs_rows[] = {
    { 0,   "audience",      OPTION_TEXT,  O(audience),      "NAME", "a resource server the client may have tokens for" },
    { 0,   "rs-id",         OPTION_TEXT,  O(rs_id),         "ID",   "its client identifier, for introspection" },
    { 0,   "rs-secret",     OPTION_TEXT,  O(rs_secret),     "TEXT", "its secret; other users of this machine may see it" },
    { 0,   "rs-secret-file", OPTION_TEXT, O(rs_secret_file), "FILE", "its secret, in a file" },
    { .kind = OPTION_END },
};

static const struct option_row run_rows[] = {
    { .name = "Run:", .kind = OPTION_HEADING },
    { 0,   "list",    OPTION_FLAG,   O(list),    NULL,   "print the cases and run none" },
    { 0,   "only",    OPTION_LIST,   O(only),    "CASE", "only this case or theme; may be given again" },
    { 0,   "skip",    OPTION_LIST,   O(skip),    "CASE", "not this case or theme; may be given again" },
    { 0,   "json",    OPTION_TEXT,   O(json),    "FILE", "write the report there as JSON too" },
    { 0,   "seed",    OPTION_TEXT,   O(seed),    "N",    "make keys, nonces and identifiers from this number" },
    { 0,   "wait",    OPTION_NUMBER, O(wait),    "MS",   "the longest to wait for any one answer (5000)", 100, 600000 },
    { 0,   "keylog",  OPTION_TEXT,   O(keylog),  "FILE", "write the TLS secrets of the kit's connections there (NSS key log)" },
    { 0,   "capture", OPTION_TEXT,   O(capture), "FILE", "write the connections as pcapng, secrets inside: Wireshark shows MQTT in clear" },
    { 0,   "pid",     OPTION_NUMBER, O(pid),     "PID",  "the target's process on this machine: its memory before and after goes into the report", 1, INT32_MAX },
    { .kind = OPTION_END },
};

static const struct option_row setup_rows[] = {
    { 0,   "issuer",   OPTION_TEXT,   O(issuer),   "URL",  "name of the issuer (https://conformance.example)" },
    { 0,   "audience", OPTION_TEXT,   O(audience), "NAME", "name of the broker in tokens (conformance.broker)" },
    { 0,   "as-port",  OPTION_NUMBER, O(as_port),  "PORT", "where the kit will play the introspection endpoint; not given: nowhere", 1, 65535 },
    { .kind = OPTION_END },
};
/* clang-format on */

static const struct option_set broker_sets[] = { { broker_only_rows, 0 }, { as_rows, 0 }, { run_rows, 0 } };
static const struct option_set as_sets[] = { { as_rows, 0 }, { rs_rows, 0 }, { run_rows, 0 } };
static const struct option_set setup_sets[] = { { setup_rows, 0 } };

static const struct option_command broker_usage = {
    .usage = "symbolon conformance broker HOST [options]",
    .about = "Runs the cases for brokers over the wire, as a well-behaved and as a hostile peer. The exit "
             "status is 0 "
             "only if no case failed; a case that does not apply does not fail.",
    .sets = broker_sets,
    .set_count = COUNT_OF(broker_sets),
};

static const struct option_command as_usage = {
    .usage = "symbolon conformance as URL [options]",
    .about = "Runs the cases for authorization servers (ACE over HTTPS). URL is the issuer.",
    .sets = as_sets,
    .set_count = COUNT_OF(as_sets),
};

static const struct option_command setup_usage = {
    .usage = "symbolon conformance setup [options] DIR",
    .about = "Makes what a broker needs in order to be tested with tokens of the kit's own: issuer keys, a key "
             "set, a "
             "shared key, certificates, and settings for symbolon-broker. Prints words for any other broker.",
    .sets = setup_sets,
    .set_count = COUNT_OF(setup_sets),
};

/* ---- the report ---- */

struct report {
    unsigned count[KIT_VERDICTS];
    struct js *cases; /* NULL after running out of memory */
    bool list;
};

static void print_case(const struct report *report, const struct kit_result *r)
{
    int section = (int)strcspn(r->clauses, ";");

    if (report->list) {
        printf("%-6s %-14s %-8s %-36.*s %s\n", r->id, r->theme, r->hostile ? "hostile" : "", section,
               r->clauses, r->title);
        return;
    }
    printf("%-6s %-5s %-36.*s %s\n", r->id, kit_verdict_name(r->verdict), section, r->clauses, r->title);
    if (r->seen[0] != '\0')
        printf("%49s%s\n", "", r->seen);
    (void)fflush(stdout);
}

static enum status add_case(struct js *cases, const struct kit_result *r)
{
    struct js *row = js_new_object();
    enum status st = js_set_str(row, "id", span_of_str(r->id));

    if (st == ST_OK)
        st = js_set_str(row, "theme", span_of_str(r->theme));
    if (st == ST_OK)
        st = js_set_str(row, "clauses", span_of_str(r->clauses));
    if (st == ST_OK)
        st = js_set_str(row, "title", span_of_str(r->title));
    if (st == ST_OK)
        st = js_set_bool(row, "hostile", r->hostile);
    if (st == ST_OK)
        st = js_set_str(row, "verdict", span_of_str(kit_verdict_name(r->verdict)));
    if (st == ST_OK && js_set_str(row, "seen", span_of_str(r->seen)) != ST_OK)
        st = js_set_str(row, "seen", SPAN("(not UTF-8)"));
    if (st == ST_OK)
        st = js_set_i64(row, "ms", r->ms);
    if (st == ST_OK)
        return js_append_take(cases, row);
    js_unref(row);
    return st;
}

static void on_case(void *ctx, const struct kit_result *result)
{
    struct report *report = ctx;

    print_case(report, result);
    report->count[result->verdict]++;
    if (!report->list && report->cases != NULL && add_case(report->cases, result) != ST_OK) {
        js_unref(report->cases);
        report->cases = NULL;
    }
}

static struct js *counts(const struct report *report)
{
    static const char *const names[KIT_VERDICTS] = { "pass", "fail", "not_applicable", "error" };
    struct js *js = js_new_object();

    for (size_t i = 0; i < KIT_VERDICTS; i++)
        if (js_set_i64(js, names[i], report->count[i]) != ST_OK) {
            js_unref(js);
            return NULL;
        }
    return js;
}

/* Resident memory of the target in KiB, if it is a process here; -1 otherwise. */
static int64_t resident_kib(int64_t pid)
{
    char path[64], line[256];
    int64_t kib = -1;

    (void)snprintf(path, sizeof path, "/proc/%lld/status", (long long)pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtoll(line + 6, NULL, 10);
    if (f != NULL)
        (void)fclose(f);
    return kib;
}

struct memory {
    int64_t before, after;
};

static enum status write_json(const char *file, const struct kit_settings *s, struct report *report,
                              const struct memory *memory, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *top = js_new_object();
    CLEANUP(buf_done)
    struct buf out;
    bool broker = s->subject == KIT_BROKER;

    buf_init(&out, 16u << 20);
    enum status st =
        report->cases == NULL ? ST_NO_MEMORY : js_set_str(top, "kit", span_of_str(symbolon_version()));
    if (st == ST_OK)
        st = js_set_str(top, "subject", span_of_str(broker ? "broker" : "as"));
    if (st == ST_OK)
        st = js_set_str(top, "target", span_of_str(broker ? s->host : s->as_url));
    if (st == ST_OK)
        st = js_set_take(top, "summary", counts(report));
    if (st == ST_OK && memory->before >= 0)
        st = js_set_i64(top, "memory_before_kib", memory->before);
    if (st == ST_OK && memory->after >= 0)
        st = js_set_i64(top, "memory_after_kib", memory->after);
    if (st == ST_OK)
        st = js_set_take(top, "cases", TAKE(report->cases));
    if (st == ST_OK)
        st = js_print(top, &out);
    put_str(&out, "\n");
    if (st != ST_OK)
        return reject(why, st, "--json", "the report could not be built", 0);
    return file_replace(file, buf_span(&out), 0644, why);
}

static int complain_why(const char *command, enum status st, const struct why *why)
{
    complain(command, "%s: %s", why->clause, why->text);
    return st == ST_NOT_FOUND || st == ST_EXISTS || st == ST_IO ? EXIT_FILE
           : st == ST_NO_MEMORY                                 ? EXIT_FAILED
                                                                : EXIT_USAGE;
}

static int run(const char *command, const struct conformance_options *o, const struct kit_settings *s)
{
    struct report report = { .cases = js_new_array(), .list = o->list };
    struct memory memory = { -1, -1 };
    struct why why = { "", "", 0 };
    int code = EXIT_DONE;

    if (o->list) {
        kit_list(s->subject, on_case, &report);
        js_unref(report.cases);
        return EXIT_DONE;
    }
    if (o->pid > 0)
        memory.before = resident_kib(o->pid);
    enum status st = kit_run(s, on_case, &report, &why);
    if (o->pid > 0)
        memory.after = resident_kib(o->pid);
    if (st != ST_OK)
        code = complain_why(command, st, &why);
    else
        printf("\n%u passed, %u failed, %u not applicable, %u could not be judged\n", report.count[KIT_PASS],
               report.count[KIT_FAIL], report.count[KIT_NOT_APPLICABLE], report.count[KIT_ERROR]);
    if (st == ST_OK && memory.before >= 0)
        printf("memory of process %lld: %lld KiB before, %lld KiB after\n", (long long)o->pid,
               (long long)memory.before, (long long)memory.after);
    if (code == EXIT_DONE && report.count[KIT_FAIL] + report.count[KIT_ERROR] > 0)
        code = EXIT_FAILED;
    if (st == ST_OK && o->json != NULL && write_json(o->json, s, &report, &memory, &why) != ST_OK)
        code = complain_why(command, ST_IO, &why);
    js_unref(report.cases);
    return code;
}

/* ---- options into settings ---- */

/* Texts that live until the command ends. */
struct kept {
    char *text[16];
    size_t count;
    struct js *names;
};

static void kept_done(struct kept *kept)
{
    for (size_t i = 0; i < kept->count; i++) {
        secret_wipe(kept->text[i], kept->text[i] == NULL ? 0 : strlen(kept->text[i]));
        free(kept->text[i]);
    }
    js_unref(kept->names);
}

static const char *keep(struct kept *kept, char *text)
{
    ASSERT(kept->count < COUNT_OF(kept->text));
    kept->text[kept->count++] = text;
    return text;
}

static const char *in_dir(struct kept *kept, const char *dir, const char *name)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : keep(kept, path);
}

static void set_default(const char **option, const char *value)
{
    if (*option == NULL)
        *option = value;
}

static const char *name_of(struct kept *kept, const char *member)
{
    struct span s = SPAN_NONE;

    return js_get_str(kept->names, member, &s) ? keep(kept, span_dup_str(s)) : NULL;
}

/* --dir: whatever was not said otherwise comes from the folder. */
static int take_dir(const char *command, struct conformance_options *o, struct kept *kept)
{
    CLEANUP(buf_done)
    struct buf content;
    struct why why = { "", "", 0 };
    char *other = NULL;

    buf_init(&content, 65536);
    const char *path = in_dir(kept, o->dir, "kit.json");
    enum status st = path == NULL ? ST_NO_MEMORY : file_read(path, &content, &why);
    if (st == ST_OK)
        st = js_parse(buf_span(&content), 65536, &kept->names, &why);
    if (st != ST_OK) {
        complain(command, "%s/kit.json: %s (\"symbolon conformance setup\" makes that folder)", o->dir,
                 why.text);
        return EXIT_FILE;
    }
    set_default(&o->issuer, name_of(kept, "issuer"));
    set_default(&o->audience, name_of(kept, "audience"));
    set_default(&o->issuer_key, in_dir(kept, o->dir, "issuer.jwk"));
    set_default(&o->shared_key, in_dir(kept, o->dir, "shared.jwk"));
    set_default(&o->other_key, in_dir(kept, o->dir, "other.jwk"));
    set_default(&o->as_cert, in_dir(kept, o->dir, "as.pem"));
    set_default(&o->as_key, in_dir(kept, o->dir, "as.key"));
    set_default(&o->public_topic, "kit-public");
    if (o->issuer != NULL && asprintf(&other, "%s/other", o->issuer) >= 0)
        set_default(&o->other_issuer, keep(kept, other));
    int64_t port = 0;
    if (o->as_port == 0 && js_get_i64(kept->names, "as_port", &port) && port > 0 && port < 65536)
        o->as_port = port;
    return GO_ON;
}

static bool read_seed(const char *command, const char *seed, struct kit_settings *s)
{
    char *end = NULL;

    if (seed == NULL)
        return true;
    errno = 0;
    s->seed = strtoull(seed, &end, 10);
    s->has_seed = true;
    if (errno == 0 && end != seed && *end == '\0')
        return true;
    complain(command, "--seed is a number, not %s", seed);
    return false;
}

static struct kit_settings settings_of(const struct conformance_options *o)
{
    return (struct kit_settings){
        .port = (uint16_t)(o->port == 0 ? 8883 : o->port),
        .ca_file = o->cafile,
        .insecure = o->insecure,
        .issuer_key = o->issuer_key,
        .issuer = o->issuer,
        .audience = o->audience,
        .shared_key = o->shared_key,
        .other_key = o->other_key,
        .other_issuer = o->other_issuer,
        .root = o->root,
        .public_topic = o->public_topic,
        .as_port = (uint16_t)o->as_port,
        .as_cert = o->as_cert,
        .as_key_file = o->as_key,
        .auth_timeout_ms = o->auth_timeout,
        .skew_s = o->skew,
        .draft06 = o->draft06,
        .as_url = o->as_url,
        .as_ca = o->as_ca,
        .client_id = o->client_id,
        .client_secret = o->client_secret,
        .rs_id = o->rs_id,
        .rs_secret = o->rs_secret,
        .only = o->only.items,
        .only_count = o->only.count,
        .skip = o->skip.items,
        .skip_count = o->skip.count,
        .keylog_file = o->keylog,
        .capture_file = o->capture,
        .wait_ms = o->wait,
    };
}

/* A secret alone in a file, a newline at its end allowed. */
static int take_secret(const char *command, const char *path, const char **option, struct kept *kept)
{
    CLEANUP(buf_wipe)
    struct buf text = { .max = SECRET_MAX };
    struct why why = { "", "", 0 };

    if (path == NULL)
        return GO_ON;
    enum status st = private_file_read(path, &text, &why);
    if (st != ST_OK) {
        complain(command, "%s: %s", path, why.text);
        return st == ST_DENIED ? EXIT_UNTRUSTED : EXIT_FILE;
    }
    while (text.len > 0 && (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
        buf_truncate(&text, text.len - 1);
    *option = keep(kept, span_dup_str(buf_span(&text)));
    return GO_ON;
}

static bool complete(const char *command, const struct conformance_options *o)
{
    const char *missing = o->issuer_key != NULL && o->issuer == NULL        ? "--issuer-key needs --issuer"
                          : o->issuer_key != NULL && o->audience == NULL    ? "--issuer-key needs --audience"
                          : o->other_key != NULL && o->other_issuer == NULL ? "--other-key needs --other-issuer"
                          : o->as_port != 0 && (o->as_cert == NULL || o->as_key == NULL)
                              ? "--as-port needs --as-cert and --as-key"
                          : o->as_url != NULL && o->client_id != NULL && o->audience == NULL
                              ? "tokens of --as need --audience"
                              : NULL;

    if (missing != NULL)
        complain(command, "%s", missing);
    return missing == NULL;
}

static int with_options(const char *command, const struct option_command *usage, enum kit_subject subject,
                        int argc, char **argv)
{
    struct conformance_options o = { 0 };
    struct kept kept = { 0 };
    struct text_list rest = { 0 };
    int code = command_options(usage, command, argc, argv, &o, &rest);

    if (code == GO_ON && !o.list && rest.count != 1) {
        complain(command, subject == KIT_BROKER ? "name one broker" : "name one authorization server");
        code = EXIT_USAGE;
    }
    if (code == GO_ON && o.dir != NULL)
        code = take_dir(command, &o, &kept);
    if (code == GO_ON)
        code = take_secret(command, o.client_secret_file, &o.client_secret, &kept);
    if (code == GO_ON)
        code = take_secret(command, o.rs_secret_file, &o.rs_secret, &kept);
    if (code == GO_ON && !complete(command, &o))
        code = EXIT_USAGE;
    struct kit_settings s = settings_of(&o);
    s.subject = subject;
    if (code == GO_ON && !read_seed(command, o.seed, &s))
        code = EXIT_USAGE;
    if (rest.count == 1 && subject == KIT_BROKER)
        s.host = rest.items[0];
    else if (rest.count == 1)
        s.as_url = rest.items[0];
    if (code == GO_ON)
        code = run(command, &o, &s);
    text_list_done(&rest);
    text_list_done(&o.only);
    text_list_done(&o.skip);
    kept_done(&kept);
    return code;
}

static int test_broker(int argc, char **argv)
{
    return with_options("symbolon conformance broker", &broker_usage, KIT_BROKER, argc, argv);
}

static int run_as_cases(int argc, char **argv)
{
    return with_options("symbolon conformance as", &as_usage, KIT_AS, argc, argv);
}

static int run_setup(int argc, char **argv)
{
    static const char command[] = "symbolon conformance setup";
    struct conformance_options o = { .issuer = "https://conformance.example",
                                     .audience = "conformance.broker" };
    CLEANUP(buf_done)
    struct buf words;
    struct text_list rest = { 0 };
    struct why why = { "", "", 0 };
    int code = command_options(&setup_usage, command, argc, argv, &o, &rest);

    buf_init(&words, 65536);
    if (code == GO_ON && rest.count != 1) {
        complain(command, "name one folder");
        code = EXIT_USAGE;
    }
    if (code == GO_ON) {
        struct kit_setup setup = {
            .dir = rest.items[0], .issuer = o.issuer, .audience = o.audience, .as_port = (uint16_t)o.as_port
        };
        enum status st = kit_setup(&setup, &words, &why);
        code = st == ST_OK ? EXIT_DONE : complain_why(command, st, &why);
    }
    if (code == EXIT_DONE)
        printf("%.*s", SPAN_FMT(buf_span(&words)));
    text_list_done(&rest);
    return code;
}

/* clang-format off */
static const struct command commands[] = {
    { "broker", "run the cases for brokers",                          test_broker   },
    { "as",     "run the cases for authorization servers",            run_as_cases },
    { "setup",  "make keys and settings for a broker to be tested",   run_setup    },
};
/* clang-format on */

int run_conformance(int argc, char **argv)
{
    return command_dispatch(commands, COUNT_OF(commands), "symbolon conformance", argc, argv);
}
