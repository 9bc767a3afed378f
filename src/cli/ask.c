#include "cli/ask.h"

#include "cli/admin.h"
#include "cli/connect.h"
#include "cli/json_text.h"
#include "client/private_file.h"
#include "net/file.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX       65536
#define CREDENTIAL_MAX 1024

static bool positional(const struct ask_arg *arg)
{
    return arg->kind == ARG_WORD || arg->kind == ARG_MAYBE || arg->kind == ARG_WORDS || arg->kind == ARG_ID;
}

/* ---- the question ---- */

static enum status set_list(struct js *question, const char *member, struct text_list *list)
{
    struct js *array = js_new_array();

    for (size_t i = 0; i < list->count; i++) {
        enum status st = js_append_str(array, span_of_str(list->items[i]));
        if (st != ST_OK) {
            js_unref(array);
            return st;
        }
    }
    return js_set_take(question, member, array);
}

static enum status set_words(struct js *question, const char *member, const char *words)
{
    struct js *array = js_new_array();
    enum status st = ST_OK;

    for (const char *p = words; st == ST_OK; p++) {
        size_t len = strcspn(p, ",");
        st = js_append_str(array, span_of(p, len));
        p += len;
        if (*p == '\0')
            break;
    }
    if (st != ST_OK) {
        js_unref(array);
        return st;
    }
    return js_set_take(question, member, array);
}

static enum status set_json(struct js *question, const char *member, struct span text, struct why *why)
{
    struct js *js = NULL;
    enum status st = js_parse(text, FILE_MAX, &js, why);

    return st == ST_OK ? js_set_take(question, member, js) : st;
}

static enum status set_file(struct js *question, const struct ask_arg *arg, const char *path, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf text = { .max = FILE_MAX };

    if (arg->kind == ARG_GENERATE && strcmp(path, "generate") == 0)
        return js_set_str(question, arg->member, SPAN("generate"));
    enum status st = file_read(path, &text, why);
    if (st != ST_OK)
        return st;
    return arg->kind == ARG_FILE ? js_set_str(question, arg->member, buf_span(&text))
                                 : set_json(question, arg->member, buf_span(&text), why);
}

static enum status set_scope(struct js *question, const char *member, const struct text_list *list,
                             struct why *why)
{
    CLEANUP(freep)
    char *json = NULL;
    char complaint[256];

    if (!scope_of_options(list, &json, complaint, sizeof complaint))
        return reject(why, ST_BAD_SCOPE, "--scope", "write pub:FILTER, sub:FILTER or pub,sub:FILTER", 0);
    return json == NULL ? ST_OK : set_json(question, member, span_of_str(json), why);
}

static enum status set_id(struct js *question, const char *member, const char *text, struct why *why)
{
    char *end;
    long long id = strtoll(text, &end, 10);

    if (end == text || *end != '\0')
        return reject(why, ST_MALFORMED, "as", "an ID is a number", 0);
    return js_set_i64(question, member, id);
}

static enum status set_option(struct js *question, const struct ask_arg *arg, union ask_value *value,
                              struct why *why)
{
    if (arg->member == NULL)
        return ST_OK;
    switch (arg->kind) {
    case ARG_NUMBER:
        return value->number == 0 ? ST_OK : js_set_i64(question, arg->member, value->number);
    case ARG_LIST:
        return value->list.count == 0 ? ST_OK : set_list(question, arg->member, &value->list);
    case ARG_YES:
    case ARG_NO:
        return value->flag ? js_set_bool(question, arg->member, arg->kind == ARG_YES) : ST_OK;
    case ARG_SCOPE:
        return set_scope(question, arg->member, &value->list, why);
    case ARG_FILE:
    case ARG_JSON:
    case ARG_GENERATE:
        return value->text == NULL ? ST_OK : set_file(question, arg, value->text, why);
    default:
        return value->text == NULL ? ST_OK : js_set_str(question, arg->member, span_of_str(value->text));
    }
}

static enum status set_positional(struct js *question, const struct ask_arg *arg, const char *word,
                                  struct why *why)
{
    if (arg->kind == ARG_WORDS)
        return set_words(question, arg->member, word);
    if (arg->kind == ARG_ID)
        return set_id(question, arg->member, word, why);
    return js_set_str(question, arg->member, span_of_str(word));
}

static enum status make_question(const struct ask_command *c, struct ask_options *o,
                                 const struct text_list *rest, struct js *question, struct why *why)
{
    enum status st = js_set_str(question, "cmd", span_of_str(c->cmd));
    size_t word = 0;

    for (size_t i = 0; st == ST_OK && c->args[i].kind != ARG_END; i++) {
        if (!positional(&c->args[i]))
            st = set_option(question, &c->args[i], &o->values[i], why);
        else if (word < rest->count)
            st = set_positional(question, &c->args[i], rest->items[word++], why);
        else if (c->args[i].kind != ARG_MAYBE)
            return reject(why, ST_MALFORMED, "as", "something is missing: see --help", 0);
    }
    if (st == ST_OK && word < rest->count)
        return reject(why, ST_MALFORMED, "as", "more words than the command takes: see --help", 0);
    return st;
}

/* ---- the answer ---- */

static int refusal_code(const struct js *answer)
{
    struct span error;
    bool who = js_get_str(answer, "error", &error) && (span_eq_str(error, status_name(ST_DENIED)) ||
                                                       span_eq_str(error, status_name(ST_BAD_CREDENTIAL)));

    return who ? EXIT_NOT_AUTHORIZED : EXIT_REFUSED;
}

static int show_refusal(const char *name, const struct js *answer)
{
    CLEANUP(buf_done)
    struct buf text = { .max = FILE_MAX };

    put_value(&text, SPAN_NONE, js_get(answer, "message"));
    put_str(&text, " [");
    put_value(&text, SPAN_NONE, js_get(answer, "error"));
    put_str(&text, ", ");
    put_value(&text, SPAN_NONE, js_get(answer, "clause"));
    put_str(&text, "]");
    complain(name, "%.*s", SPAN_FMT(buf_span(&text)));
    return refusal_code(answer);
}

static int show_answer(const char *name, const struct ask_options *o, const struct js *answer)
{
    bool ok = false;

    js_get_bool(answer, "ok", &ok);
    if (o->json) {
        if (print_json(answer) != ST_OK)
            return EXIT_FAILED;
        return ok ? EXIT_DONE : refusal_code(answer);
    }
    if (!ok)
        return show_refusal(name, answer);
    if (print_members(answer, "ok") != ST_OK)
        return EXIT_FAILED;
    if (js_get(answer, "client_secret") != NULL || js_get(answer, "rs_secret") != NULL ||
        js_is(js_get(answer, "code"), JS_STRING))
        fputs("It is shown this once only: the server keeps a hash.\n", stderr);
    return EXIT_DONE;
}

/* Its line, as the server wrote it; nothing where none is named. */
static int read_credential(const char *name, const struct ask_options *o, struct buf *out)
{
    const char *path = o->credential;
    struct why why = { 0 };

    if (path == NULL)
        return GO_ON;
    enum status st = private_file_read(path, out, &why);
    if (st != ST_OK) {
        complain(name, "%s: %s", path, why.text);
        return st == ST_DENIED ? EXIT_UNTRUSTED : EXIT_FILE;
    }
    while (out->len > 0 && (out->p[out->len - 1] == '\n' || out->p[out->len - 1] == '\r'))
        buf_truncate(out, out->len - 1);
    if (out->len > 0)
        return GO_ON;
    complain(name, "%s: nothing in it", path);
    return EXIT_FILE;
}

static int ask_server(const char *name, const struct ask_options *o, const char *socket,
                      const struct js *question, struct js **ret_answer)
{
    CLEANUP(buf_wipe)
    struct buf credential = { .max = CREDENTIAL_MAX };
    struct why why = { 0 };
    int code = read_credential(name, o, &credential);

    if (code != GO_ON)
        return code;
    enum status st = admin_ask(socket, buf_span(&credential), question, ret_answer, &why);
    if (st == ST_OK)
        return GO_ON;
    complain(name, "%s: %s", socket, why.text != NULL ? why.text : status_text(st));
    return st == ST_DENIED ? EXIT_NOT_AUTHORIZED : st == ST_MALFORMED ? EXIT_PROTOCOL : EXIT_UNREACHABLE;
}

const char *ask_text_of(const struct ask_command *c, const struct ask_options *o, const char *name)
{
    for (size_t i = 0; c->args[i].kind != ARG_END; i++)
        if (!positional(&c->args[i]) && strcmp(c->args[i].name, name) == 0)
            return o->values[i].text;
    return NULL;
}

int ask_and_get(const char *name, struct ask_options *o, const char *socket, const struct js *question,
                struct js **ret_answer)
{
    bool ok = false;
    int code = ask_server(name, o, socket, question, ret_answer);

    if (code != GO_ON)
        return code;
    js_get_bool(*ret_answer, "ok", &ok);
    return ok ? GO_ON : show_answer(name, o, *ret_answer);
}

static int ask(const struct ask_front *front, const struct ask_command *c, const char *name,
               struct ask_options *o, const struct text_list *rest)
{
    CLEANUP(js_unrefp)
    struct js *question = js_new_object();
    CLEANUP(js_unrefp)
    struct js *answer = NULL;
    const char *of_env = getenv(front->socket_env);
    const char *path = o->socket != NULL ? o->socket : of_env != NULL ? of_env : front->socket_default;
    struct why why = { 0 };
    enum status st = make_question(c, o, rest, question, &why);

    if (st != ST_OK) {
        complain(name, "%s", why.text != NULL ? why.text : status_text(st));
        return EXIT_USAGE;
    }
    if (o->credential == NULL && front->credential_env != NULL)
        o->credential = getenv(front->credential_env);
    int code = front->instead != NULL ? front->instead(c, name, o, path, question) : GO_ON;
    if (code == GO_ON)
        code = ask_server(name, o, path, question, &answer);
    return code == GO_ON ? show_answer(name, o, answer) : code;
}

/* ---- words and options ---- */

static void make_rows(const struct ask_command *c, struct option_row rows[ASK_ARGS_MAX + 1])
{
    size_t n = 0;

    for (size_t i = 0; c->args[i].kind != ARG_END; i++) {
        const struct ask_arg *arg = &c->args[i];
        bool flag = arg->kind == ARG_YES || arg->kind == ARG_NO,
             list = arg->kind == ARG_LIST || arg->kind == ARG_SCOPE;
        if (positional(arg))
            continue;
        rows[n++] = (struct option_row){
            .name = arg->name,
            .kind = flag                      ? OPTION_FLAG
                    : list                    ? OPTION_LIST
                    : arg->kind == ARG_NUMBER ? OPTION_NUMBER
                                              : OPTION_TEXT,
            .offset = offsetof(struct ask_options, values) + i * sizeof(union ask_value),
            .arg = flag                             ? NULL
                   : arg->kind == ARG_NUMBER        ? "N"
                   : arg->kind == ARG_DIR           ? "DIR"
                   : arg->kind >= ARG_FILE && !list ? "FILE"
                                                    : "TEXT",
            .help = arg->help,
            .min = 1,
            .max = INT32_MAX,
        };
    }
    rows[n] = (struct option_row){ .kind = OPTION_END };
}

static void free_lists(const struct ask_command *c, struct ask_options *o)
{
    for (size_t i = 0; c->args[i].kind != ARG_END; i++)
        if (c->args[i].kind == ARG_LIST || c->args[i].kind == ARG_SCOPE)
            text_list_done(&o->values[i].list);
}

static int run_one(const struct ask_front *front, const struct ask_command *c, struct ask_options *o, int argc,
                   char **argv)
{
    struct option_row rows[ASK_ARGS_MAX + 1];
    struct text_list rest = { 0 };
    char name[64], line[256];
    size_t len;

    make_rows(c, rows);
    snprintf(name, sizeof name, "%s %s", front->name, c->words);
    snprintf(line, sizeof line, "%s [options]", name);
    for (size_t i = 0; c->args[i].kind != ARG_END; i++) {
        len = strlen(line);
        if (positional(&c->args[i]))
            snprintf(line + len, sizeof line - len, c->args[i].kind == ARG_MAYBE ? " [%s]" : " %s",
                     c->args[i].name);
    }
    const struct option_set sets[] = { { rows, 0 }, { front->rows, 0 } };
    const struct option_command usage = { .usage = line, .about = c->about, .sets = sets, .set_count = 2 };
    int code = command_options(&usage, name, argc, argv, o, &rest);
    if (code == GO_ON)
        code = ask(front, c, name, o, &rest);
    text_list_done(&rest);
    free_lists(c, o);
    return code;
}

static void list_commands(const struct ask_front *front, FILE *out)
{
    fprintf(out, "usage: %s %s COMMAND [options]\n\n", front->name, front->usage);
    for (size_t i = 0; i < front->count; i++)
        fprintf(out, "  %-22s %s\n", front->commands[i].words, front->commands[i].about);
    if (front->list_more != NULL)
        front->list_more(out);
    fprintf(out, "\n\"%s COMMAND --help\" says more about one of them.\n", front->name);
}

/* How many words of argv name this command; 0 if they do not. */
static int words_match(const struct ask_command *c, int argc, char **argv)
{
    const char *space = strchr(c->words, ' ');
    size_t first = space == NULL ? strlen(c->words) : (size_t)(space - c->words);

    if (argc < 1 || strlen(argv[0]) != first || memcmp(argv[0], c->words, first) != 0)
        return 0;
    if (space == NULL)
        return 1;
    return argc >= 2 && strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

int ask_run(const struct ask_front *front, int argc, char **argv)
{
    struct ask_options options = { 0 };
    int at = 1;

    /* --socket, --credential and --json are allowed in front of the command, too. */
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--json") == 0) {
            options.json = true;
        } else if (strcmp(argv[at], "--socket") == 0 && at + 1 < argc) {
            options.socket = argv[++at];
        } else if (front->credential_env != NULL && strcmp(argv[at], "--credential") == 0 && at + 1 < argc) {
            options.credential = argv[++at];
        } else {
            bool help = strcmp(argv[at], "--help") == 0;
            list_commands(front, help ? stdout : stderr);
            return help ? EXIT_DONE : EXIT_USAGE;
        }
    }
    for (size_t i = 0; i < front->count; i++) {
        int words = words_match(&front->commands[i], argc - at, argv + at);
        if (words > 0)
            return run_one(front, &front->commands[i], &options, argc - at - words + 1, argv + at + words - 1);
    }
    if (at < argc)
        complain(front->name, "no such command: %s%s%s", argv[at], at + 1 < argc ? " " : "",
                 at + 1 < argc ? argv[at + 1] : "");
    list_commands(front, stderr);
    return EXIT_USAGE;
}
