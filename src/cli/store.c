#include "cli/store.h"

#include "base/clock.h"
#include "cli/json_text.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct options {
    const char *dir;
    const char *to;
    bool json;
    bool no_payload;
    int64_t top;
};

/* clang-format off */
static const struct option_row common_rows[] = {
    { 'D', "dir",  OPTION_TEXT, offsetof(struct options, dir),  "DIR", "state_dir of the broker, or the folder of a store itself (default " STORE_DIR_DEFAULT ")" },
    { .kind = OPTION_END },
};
static const struct option_row json_rows[] = {
    { 0, "json",   OPTION_FLAG, offsetof(struct options, json), NULL,  "print one JSON document" },
    { .kind = OPTION_END },
};
static const struct option_row stats_rows[] = {
    { 0, "top",    OPTION_NUMBER, offsetof(struct options, top), "N",  "so many of the longest queues (default 10)", 0, 1000000 },
    { .kind = OPTION_END },
};
static const struct option_row export_rows[] = {
    { 0, "no-payload", OPTION_FLAG, offsetof(struct options, no_payload), NULL, "without the payloads, only their lengths" },
    { .kind = OPTION_END },
};
static const struct option_row copy_rows[] = {
    { 0, "to",     OPTION_TEXT, offsetof(struct options, to), "FOLDER", "folder to make, which must not be there yet" },
    { .kind = OPTION_END },
};
/* clang-format on */

static const struct option_set check_sets[] = { { common_rows, 0 }, { json_rows, 0 } };
static const struct option_set stats_sets[] = { { common_rows, 0 }, { json_rows, 0 }, { stats_rows, 0 } };
static const struct option_set export_sets[] = { { common_rows, 0 }, { export_rows, 0 } };
static const struct option_set copy_sets[] = { { common_rows, 0 }, { copy_rows, 0 } };

static const struct option_command check_usage = {
    .usage = STORE_COMMAND " check [--dir DIR] [--json]",
    .about =
        "Reads every page and every record of a broker's store and says whether all of it is intact. Changes "
        "nothing; the broker may be running. A store that is damaged is looked at as far as it can be read.\n"
        "The exit status is 0 if it is intact, 1 if something is damaged or cannot be read.",
    .sets = check_sets,
    .set_count = COUNT_OF(check_sets),
};
static const struct option_command stats_usage = {
    .usage = STORE_COMMAND " stats [--dir DIR] [--top N] [--json]",
    .about =
        "What is in a broker's store: how many records of each kind and their bytes, the longest queues, the "
        "file and how much of it is free. Changes nothing; the broker may be running.",
    .sets = stats_sets,
    .set_count = COUNT_OF(stats_sets),
};
static const struct option_command export_usage = {
    .usage = STORE_COMMAND " export [--dir DIR] [--no-payload]",
    .about =
        "Writes what is in a broker's store as JSON, one object a line: sessions, Wills, subscriptions, queued "
        "messages, retained messages. Payloads and MQTT properties are base64. Tokens and keys are never "
        "written. Changes nothing; the broker may be running.",
    .sets = export_sets,
    .set_count = COUNT_OF(export_sets),
};
static const struct option_command copy_usage = {
    .usage = STORE_COMMAND " copy --to FOLDER [--dir DIR]",
    .about =
        "Copies a broker's store, as it was committed last, into a new folder: a backup, without the room that "
        "is free "
        "in the file. Changes nothing; the broker may be running. It holds what the store does, keys of "
        "clients too.\n"
        "To go back to it: stop the broker, put it in the place of `store` in state_dir, start the broker.",
    .sets = copy_sets,
    .set_count = COUNT_OF(copy_sets),
};

/* ---- opening ---- */

struct view {
    struct store_source from;
    char path[PATH_MAX];
    struct why damage; /* clause NULL: it could be opened */
};

static bool has(const char *folder, const char *name)
{
    char path[PATH_MAX];
    struct stat info;
    int len = snprintf(path, sizeof path, "%s/%s", folder, name);

    return len > 0 && (size_t)len < sizeof path && stat(path, &info) == 0;
}

/* A store's own folder, or the one it is in. */
static void find_store(const char *dir, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, has(dir, "data.mdb") ? "%s" : "%s/store", dir);
}

static int complain_why(const char *command, enum status st, const struct why *why, const char *path)
{
    complain(command, "%s: %s", path, why->text != NULL ? why->text : status_text(st));
    return st == ST_NO_MEMORY ? EXIT_FAILED : EXIT_FILE;
}

/* GO_ON or an exit code. */
static int view_open(struct view *v, const char *command, const char *dir)
{
    const struct kv_settings settings = { .read_only = true, .check = true };
    enum status st;

    *v = (struct view){ 0 };
    find_store(dir, v->path);
    v->from.path = v->path;
    st = kv_open(v->path, &settings, &v->from.kv, &v->damage);
    if (st == ST_OK) {
        v->damage = (struct why){ 0 };
        return GO_ON;
    }
    v->from.kv = NULL;
    if (st == ST_DAMAGED)
        return GO_ON;
    return complain_why(command, st, &v->damage, v->path);
}

/* Options, then the store: GO_ON or an exit code. */
static int begin(const struct option_command *usage, const char *command, int argc, char **argv,
                 struct options *options, struct view *v)
{
    struct text_list rest = { 0 };
    int code = command_options(usage, command, argc, argv, options, &rest);

    if (code == GO_ON && rest.count == 1 && options->dir == NULL)
        options->dir = rest.items[0];
    else if (code == GO_ON && rest.count > 0) {
        complain(command, "one folder, please");
        code = EXIT_USAGE;
    }
    text_list_done(&rest);
    if (code == GO_ON)
        code = view_open(v, command, options->dir != NULL ? options->dir : STORE_DIR_DEFAULT);
    return code;
}

/* ---- answers ---- */

static enum status set_u64(struct js *obj, const char *name, uint64_t v)
{
    return js_set_i64(obj, name, (int64_t)v);
}

/* Of the format and of who wrote it. */
static enum status set_meta(struct js *obj, const struct store_survey *s)
{
    enum status st;

    if (!s->has_meta)
        return js_set_null(obj, "format");
    st = set_u64(obj, "format", s->meta.format);
    if (st == ST_OK && s->meta.format == RECORD_FORMAT)
        st = set_u64(obj, "workers", s->meta.workers);
    if (st == ST_OK && s->meta.format == RECORD_FORMAT)
        st = js_set_i64(obj, "started_at", s->meta.started_ms / MS_PER_S);
    return st;
}

static enum status append_kind(struct js *rows, const struct store_survey *s, enum store_kind kind)
{
    struct js *row = js_new_object();
    enum status st = js_set_str(row, "records", span_of_str(store_kind_name(kind)));

    if (st == ST_OK)
        st = set_u64(row, "count", s->count[kind]);
    if (st == ST_OK)
        st = set_u64(row, "bytes", s->bytes[kind]);
    if (st == ST_OK)
        st = set_u64(row, "unreadable", s->unreadable[kind]);
    if (st == ST_OK)
        return js_append_take(rows, row);
    js_unref(row);
    return st;
}

static enum status set_kinds(struct js *obj, const struct store_survey *s)
{
    struct js *rows = js_new_array();
    enum status st = rows == NULL ? ST_NO_MEMORY : ST_OK;

    for (int kind = 0; kind < STORE_KIND_COUNT && st == ST_OK; kind++)
        if (s->count[kind] > 0)
            st = append_kind(rows, s, (enum store_kind)kind);
    if (st == ST_OK)
        return js_set_take(obj, "contents", rows);
    js_unref(rows);
    return st;
}

static int by_queue(const void *a, const void *b)
{
    const struct store_session *x = *(const struct store_session *const *)a,
                               *y = *(const struct store_session *const *)b;

    if (x->queued != y->queued)
        return x->queued > y->queued ? -1 : 1;
    return strcmp(x->client_id, y->client_id);
}

static enum status append_queue(struct js *rows, const struct store_session *s)
{
    struct js *row = js_new_object();
    enum status st = js_set_str(row, "client_id", span_of_str(s->client_id));

    if (st == ST_OK)
        st = set_u64(row, "queued", s->queued);
    if (st == ST_OK)
        st = set_u64(row, "bytes", s->queued_bytes);
    if (st == ST_OK)
        st = set_u64(row, "subscriptions", s->subscriptions);
    if (st == ST_OK)
        return js_append_take(rows, row);
    js_unref(row);
    return st;
}

static enum status set_queues(struct js *obj, const struct store_survey *s, int64_t top)
{
    const struct store_session **order = calloc(s->session_count + 1, sizeof *order);
    struct js *rows = js_new_array();
    enum status st = order == NULL || rows == NULL ? ST_NO_MEMORY : ST_OK;

    for (size_t i = 0; i < s->session_count && order != NULL; i++)
        order[i] = &s->sessions[i];
    if (order != NULL)
        qsort(order, s->session_count, sizeof *order, by_queue);
    for (size_t i = 0; st == ST_OK && i < s->session_count && (int64_t)i < top && order[i]->queued > 0; i++)
        st = append_queue(rows, order[i]);
    free(order);
    if (st == ST_OK)
        return js_set_take(obj, "longest_queues", rows);
    js_unref(rows);
    return st;
}

static int answer(const char *command, struct js *obj, enum status st, bool json, int code)
{
    if (st == ST_OK)
        st = json ? print_json(obj) : print_members(obj, NULL);
    js_unref(obj);
    if (st == ST_OK && fflush(stdout) == 0)
        return code;
    complain(command, st == ST_OK ? "standard output takes no more" : "out of memory");
    return EXIT_FAILED;
}

/* ---- check ---- */

/* What is wrong; NULL: nothing is. */
static const char *verdict(const struct view *v, const struct kv_findings *found, const struct store_survey *s)
{
    if (v->damage.clause != NULL)
        return v->damage.text;
    if (found->first.clause != NULL)
        return found->first.text;
    if (s->has_meta && s->meta.format != RECORD_FORMAT)
        return "it is of another format than this program knows";
    return s->first.clause != NULL ? s->first.text : NULL;
}

static enum status fill_check(struct js *obj, const struct view *v, const struct kv_findings *found,
                              const struct store_survey *s, const char *wrong)
{
    enum status st = js_set_str(obj, "store", span_of_str(v->path));

    if (st == ST_OK)
        st = js_set_bool(obj, "intact", wrong == NULL);
    if (st == ST_OK && wrong != NULL)
        st = js_set_str(obj, "first_problem", span_of_str(wrong));
    if (st == ST_OK && s->first_key[0] != '\0')
        st = js_set_str(obj, "under_key", span_of_str(s->first_key));
    if (st == ST_OK)
        st = set_meta(obj, s);
    if (st == ST_OK)
        st = set_u64(obj, "pages", found->pages);
    if (st == ST_OK)
        st = set_u64(obj, "damaged_pages", found->bad_pages);
    if (st == ST_OK)
        st = set_u64(obj, "damaged_entries", found->bad_entries);
    if (st == ST_OK)
        st = set_u64(obj, "entries_out_of_reach", found->missed);
    if (st == ST_OK)
        st = set_u64(obj, "left_overs", s->orphans);
    return st == ST_OK ? set_kinds(obj, s) : st;
}

static int run_check(int argc, char **argv)
{
    static const char command[] = STORE_COMMAND " check";
    struct options options = { 0 };
    struct kv_findings found = { 0 };
    struct store_survey survey = { 0 };
    struct why why = { 0 };
    const char *wrong;
    struct js *obj;
    struct view v;
    enum status st;
    int code = begin(&check_usage, command, argc, argv, &options, &v);

    if (code != GO_ON)
        return code;
    st = v.from.kv != NULL ? kv_check(v.from.kv, &found, &why) : kv_salvage(v.path, NULL, NULL, &found, &why);
    if (st == ST_OK || st == ST_DAMAGED) /* then there is nothing to be found in it */
        st = store_survey(&survey, &v.from, now_read().wall, &why);
    if (st == ST_OK) {
        wrong = verdict(&v, &found, &survey);
        obj = js_new_object();
        st = fill_check(obj, &v, &found, &survey, wrong);
        code = answer(command, obj, st, options.json, wrong == NULL ? EXIT_DONE : EXIT_FAILED);
    } else {
        code = complain_why(command, st, &why, v.path);
    }
    store_survey_done(&survey);
    kv_close(v.from.kv);
    return code;
}

/* ---- stats ---- */

static enum status fill_stats(struct js *obj, const struct view *v, const struct kv_stats *file,
                              const struct store_survey *s, int64_t top)
{
    enum status st = js_set_str(obj, "store", span_of_str(v->path));

    if (st == ST_OK)
        st = set_meta(obj, s);
    if (st == ST_OK)
        st = set_u64(obj, "file_bytes", file->file_bytes);
    if (st == ST_OK)
        st = set_u64(obj, "free_bytes", file->free_bytes);
    if (st == ST_OK)
        st = set_u64(obj, "commits", file->commits);
    if (st == ST_OK)
        st = set_u64(obj, "retained_expired", s->expired);
    if (st == ST_OK)
        st = set_u64(obj, "left_overs", s->orphans);
    if (st == ST_OK)
        st = set_kinds(obj, s);
    return st == ST_OK ? set_queues(obj, s, top) : st;
}

static int run_stats(int argc, char **argv)
{
    static const char command[] = STORE_COMMAND " stats";
    struct options options = { .top = 10 };
    struct store_survey survey = { 0 };
    struct kv_stats file = { 0 };
    struct why why = { 0 };
    struct view v;
    enum status st = ST_OK;
    int code = begin(&stats_usage, command, argc, argv, &options, &v);

    if (code != GO_ON)
        return code;
    if (v.from.kv == NULL) {
        code = complain_why(command, ST_DAMAGED, &v.damage, v.path);
        complain(command, "%s check looks at it as far as it can be read", STORE_COMMAND);
        return code;
    }
    st = kv_stats(v.from.kv, &file, &why);
    if (st == ST_OK)
        st = store_survey(&survey, &v.from, now_read().wall, &why);
    if (st == ST_OK) {
        struct js *obj = js_new_object();

        st = fill_stats(obj, &v, &file, &survey, options.top);
        code = answer(command, obj, st, options.json, EXIT_DONE);
    } else {
        code = complain_why(command, st, &why, v.path);
    }
    store_survey_done(&survey);
    kv_close(v.from.kv);
    return code;
}

/* ---- export ---- */

static int run_export(int argc, char **argv)
{
    static const char command[] = STORE_COMMAND " export";
    struct options options = { 0 };
    struct store_survey survey = { 0 };
    struct why why = { 0 };
    uint64_t left_out = 0;
    struct view v;
    enum status st;
    int code = begin(&export_usage, command, argc, argv, &options, &v);

    if (code != GO_ON)
        return code;
    st = store_survey(&survey, &v.from, now_read().wall, &why);
    if (st == ST_OK)
        st = store_export(&v.from, &survey,
                          &(struct store_export_options){ .payload = !options.no_payload, .out = stdout },
                          &left_out, &why);
    code = EXIT_DONE;
    if (st != ST_OK)
        code = complain_why(command, st, &why, v.path);
    else if (v.damage.clause != NULL || left_out > 0) {
        complain(command, "%s: %llu records could not be read, or what they speak of%s", v.path,
                 (unsigned long long)left_out,
                 v.damage.clause != NULL ? "; the store is damaged, and this is what is left of it" : "");
        code = EXIT_FAILED;
    }
    store_survey_done(&survey);
    kv_close(v.from.kv);
    return code;
}

/* ---- copy ---- */

static int run_copy(int argc, char **argv)
{
    static const char command[] = STORE_COMMAND " copy";
    struct options options = { 0 };
    struct why why = { 0 };
    struct view v;
    enum status st;
    int code = begin(&copy_usage, command, argc, argv, &options, &v);

    if (code != GO_ON)
        return code;
    if (v.from.kv == NULL) {
        code = complain_why(command, ST_DAMAGED, &v.damage, v.path);
    } else if (options.to == NULL) {
        complain(command, "where to? --to FOLDER");
        code = EXIT_USAGE;
    } else {
        st = kv_copy(v.from.kv, options.to, &why);
        code = st == ST_OK ? EXIT_DONE : complain_why(command, st, &why, options.to);
    }
    kv_close(v.from.kv);
    return code;
}

int run_broker_store(int argc, char **argv)
{
    static const struct command commands[] = {
        { "check", "whether every page and record of a broker's store is intact", run_check },
        { "stats", "how much of what is in it, and the longest queues", run_stats },
        { "export", "sessions, subscriptions, messages as JSON lines", run_export },
        { "copy", "a backup, also of a running broker's store", run_copy },
    };

    return command_dispatch(commands, COUNT_OF(commands), STORE_COMMAND, argc, argv);
}
