#include "cli/profile.h"

#include "client/private_file.h"
#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>

#define CLAUSE      "profile"
#define PROFILE_MAX 65536

/* clang-format off */
static const struct { const char *name; size_t offset; } texts[] = {
    { "host",               offsetof(struct profile, host)               },
    { "cafile",             offsetof(struct profile, ca_file)            },
    { "as",                 offsetof(struct profile, as_url)             },
    { "as_cafile",          offsetof(struct profile, as_ca_file)         },
    { "client_id",          offsetof(struct profile, client_id)          },
    { "client_secret_file", offsetof(struct profile, client_secret_file) },
    { "key",                offsetof(struct profile, key)                },
    { "audience",           offsetof(struct profile, audience)           },
};
/* clang-format on */

static char **text_at(const struct profile *p, size_t i)
{
    return (char **)(void *)((char *)(uintptr_t)p + texts[i].offset);
}

void profile_done(struct profile *p)
{
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        free(*text_at(p, i));
    for (size_t i = 0; i < p->trusted_as.count; i++)
        free((char *)(uintptr_t)p->trusted_as.items[i]);
    text_list_done(&p->trusted_as);
    *p = (struct profile){ 0 };
}

struct reading {
    struct profile *profile;
    struct why *why;
    enum status st;
};

static bool take_trusted(struct reading *r, const struct js *list)
{
    struct span s;

    if (!js_is(list, JS_ARRAY)) {
        r->st = reject(r->why, ST_MALFORMED, CLAUSE, "trusted_as is not a list", 0);
        return false;
    }
    for (size_t i = 0; i < js_size(list); i++) {
        if (!js_as_str(js_at(list, i), &s)) {
            r->st = reject(r->why, ST_MALFORMED, CLAUSE, "trusted_as holds something other than text", 0);
            return false;
        }
        char *copy = span_dup_str(s);
        if (copy == NULL || !text_list_add(&r->profile->trusted_as, copy)) {
            free(copy);
            r->st = ST_NO_MEMORY;
            return false;
        }
    }
    return true;
}

static bool take_member(void *ctx, struct span name, const struct js *value)
{
    struct reading *r = ctx;
    struct span s;

    if (span_eq_str(name, "trusted_as"))
        return take_trusted(r, value);
    if (span_eq_str(name, "port")) {
        if (js_as_i64(value, &r->profile->port) && r->profile->port > 0 && r->profile->port <= UINT16_MAX)
            return true;
        r->st = reject(r->why, ST_MALFORMED, CLAUSE, "port is not a number from 1 to 65535", 0);
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (!span_eq_str(name, texts[i].name))
            continue;
        if (!js_as_str(value, &s) || s.len == 0) {
            r->st = reject(r->why, ST_MALFORMED, CLAUSE, "a member that should be text is not, or is empty", 0);
            return false;
        }
        *text_at(r->profile, i) = span_dup_str(s);
        r->st = *text_at(r->profile, i) == NULL ? ST_NO_MEMORY : ST_OK;
        return r->st == ST_OK;
    }
    r->st = reject(r->why, ST_MALFORMED, CLAUSE, "a member nobody knows: see symbolon(1), PROFILE", 0);
    return false;
}

enum status profile_parse(struct span text, struct profile *out, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct profile profile = { 0 };
    struct reading r = { &profile, why, ST_OK };
    enum status st = js_parse(text, PROFILE_MAX, &js, why);

    if (st == ST_OK && !js_is(js, JS_OBJECT))
        st = reject(why, ST_MALFORMED, CLAUSE, "not a JSON object", 0);
    if (st == ST_OK && !js_object_each(js, take_member, &r))
        st = r.st;
    if (st != ST_OK) {
        profile_done(&profile);
        return st;
    }
    *out = profile;
    return ST_OK;
}

enum status profile_print(const struct profile *p, struct buf *out)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    struct js *list;
    enum status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < COUNT_OF(texts); i++)
        if (*text_at(p, i) != NULL)
            st = js_set_str(js, texts[i].name, span_of_str(*text_at(p, i)));
    if (st == ST_OK && p->port != 0)
        st = js_set_i64(js, "port", p->port);
    if (st == ST_OK && p->trusted_as.count > 0) {
        list = js_new_array();
        for (size_t i = 0; st == ST_OK && i < p->trusted_as.count; i++)
            st = js_append_str(list, span_of_str(p->trusted_as.items[i]));
        if (st == ST_OK)
            st = js_set_take(js, "trusted_as", list);
        else
            js_unref(list);
    }
    return st == ST_OK ? js_print(js, out) : st;
}

/* ---- places (XDG Base Directory) ---- */

static char *home_folder(const char *variable, const char *under_home)
{
    const char *base = getenv(variable), *home = getenv("HOME");
    char *path = NULL;
    int n;

    if (base != NULL && base[0] == '/')
        n = asprintf(&path, "%s/symbolon", base);
    else if (home != NULL && home[0] == '/')
        n = asprintf(&path, "%s/%s/symbolon", home, under_home);
    else
        return NULL;
    return n < 0 ? NULL : path;
}

char *profile_path(const char *path_option)
{
    CLEANUP(freep)
    char *folder = NULL;
    const char *named = path_option != NULL ? path_option : getenv("SYMBOLON_PROFILE");
    char *path = NULL;

    if (named != NULL && named[0] != '\0')
        return strdup(named);
    folder = home_folder("XDG_CONFIG_HOME", ".config");
    if (folder == NULL || asprintf(&path, "%s/config.json", folder) < 0)
        return NULL;
    return path;
}

char *profile_folder(const char *path_option)
{
    char *path = profile_path(path_option);
    char *slash = path == NULL ? NULL : strrchr(path, '/');

    if (slash == NULL) { /* a bare file name: here */
        free(path);
        return path == NULL ? NULL : strdup(".");
    }
    slash[slash == path ? 1 : 0] = '\0';
    return path;
}

char *token_cache_folder(void)
{
    CLEANUP(freep)
    char *folder = home_folder("XDG_CACHE_HOME", ".cache");
    char *path = NULL;

    if (folder == NULL || asprintf(&path, "%s/tokens", folder) < 0)
        return NULL;
    return path;
}

enum status profile_load(const char *path_option, struct profile *out, struct why *why)
{
    CLEANUP(freep)
    char *path = profile_path(path_option);
    CLEANUP(buf_wipe)
    struct buf text = { .max = PROFILE_MAX };

    *out = (struct profile){ 0 };
    if (path == NULL)
        return ST_OK; /* no home: nothing to read */
    /* Private, although it holds no secret: whoever can write it chooses whom we trust. */
    enum status st = private_file_read(path, &text, why);
    if (st == ST_NOT_FOUND && path_option == NULL)
        return ST_OK;
    return st == ST_OK ? profile_parse(buf_span(&text), out, why) : st;
}
