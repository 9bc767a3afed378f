/* symbolon token: get one, show the cached one, publish it to authz-info, take any apart. */
#include "cli/connect.h"
#include "cli/json_text.h"
#include "cli/jwt_text.h"

#include "token/verifier.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct token_options {
    struct connect_options connect;
    bool json;
    bool raw;
    bool force;
};

/* clang-format off */
static const struct option_row get_rows[] = {
    { .name = "Token:", .kind = OPTION_HEADING },
    { 0, "force", OPTION_FLAG, offsetof(struct token_options, force), NULL, "ask for a new one even if the cache holds a good one" },
    { 0, "raw",   OPTION_FLAG, offsetof(struct token_options, raw),   NULL, "print the token itself and nothing else (bound to the key, but still: keep it to yourself)" },
    { 0, "json",  OPTION_FLAG, offsetof(struct token_options, json),  NULL, "print what is known about it as JSON" },
    { .kind = OPTION_END },
};

static const struct option_row show_rows[] = {
    { .name = "Token:", .kind = OPTION_HEADING },
    { 0, "raw",   OPTION_FLAG, offsetof(struct token_options, raw),   NULL, "print the token itself and nothing else" },
    { 0, "json",  OPTION_FLAG, offsetof(struct token_options, json),  NULL, "print what is known about it as JSON" },
    { .kind = OPTION_END },
};

static const struct option_row inspect_rows[] = {
    { 0, "json",  OPTION_FLAG, offsetof(struct token_options, json),  NULL, "print it as JSON" },
    { .kind = OPTION_END },
};
/* clang-format on */

#define CONNECT_SETS                                          \
    { broker_rows, offsetof(struct token_options, connect) }, \
    {                                                         \
        ace_rows, offsetof(struct token_options, connect)     \
    }

static const struct option_set get_sets[] = { { get_rows, 0 }, CONNECT_SETS };
static const struct option_set show_sets[] = { { show_rows, 0 }, CONNECT_SETS };
static const struct option_set upload_sets[] = { CONNECT_SETS };
static const struct option_set inspect_sets[] = { { inspect_rows, 0 } };

static const struct option_command get_usage = {
    .usage = "symbolon token get [options]",
    .about =
        "Gets a token for a broker, from the cache if it holds a good one, else from the authorization server, "
        "and "
        "says what it is good for. The options are those of pub and sub: the same options find the same token.",
    .sets = get_sets,
    .set_count = COUNT_OF(get_sets),
};
static const struct option_command show_usage = {
    .usage = "symbolon token show [options]",
    .about = "Shows the cached token that pub and sub would use with the same options; asks nobody.",
    .sets = show_sets,
    .set_count = COUNT_OF(show_sets),
};
static const struct option_command upload_usage = {
    .usage = "symbolon token upload [options]",
    .about =
        "Publishes a token to the broker's topic authz-info, so that the broker knows the key when it comes in "
        "a "
        "TLS handshake. pub, sub and rr with --pop rpk or psk-kid do this by themselves; this is for other "
        "clients that use the same key. The options are those of pub and sub; --token uploads the token in a "
        "file.",
    .sets = upload_sets,
    .set_count = COUNT_OF(upload_sets),
};
static const struct option_command inspect_usage = {
    .usage = "symbolon token inspect [--json] [FILE]",
    .about = "Takes the token in FILE (or standard input) apart and prints its header and claims. NOTHING IS "
             "VERIFIED: "
             "anybody can write a token that says anything.",
    .sets = inspect_sets,
    .set_count = COUNT_OF(inspect_sets),
};

/* ---- printing ---- */

static void print_life(int64_t expires_at_s)
{
    struct buf text = { .max = 256 };
    int64_t left = expires_at_s - (int64_t)time(NULL);

    put_time(&text, expires_at_s);
    if (left >= 0)
        put_fmt(&text, " (in %lld s)", (long long)left);
    else
        put_fmt(&text, " (%lld s ago)", (long long)-left);
    printf("expires     %.*s\n", SPAN_FMT(buf_span(&text)));
    buf_done(&text);
}

static int print_look(const struct jwt_look *look, bool json)
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    static const char *const kinds[] = {
        [JWT_SIGNED] = "signed (JWS)",
        [JWT_ENCRYPTED] = "encrypted (JWE)",
        [JWT_OPAQUE] = "opaque: a reference, or no token",
        [CWT_SIGNED] = "CWT, signed (COSE_Sign1)",
        [CWT_MACED] = "CWT, authenticated by a shared key (COSE_Mac0)",
        [CWT_ENCRYPTED] = "CWT, encrypted (COSE_Encrypt0)",
    };
    int64_t exp;
    enum status st;

    if (json) {
        st = js_set_str(obj, "kind", span_of_str(kinds[look->shape]));
        if (st == ST_OK)
            st = js_set_bool(obj, "verified", false);
        if (st == ST_OK && look->header != NULL)
            st = js_set_take(obj, "header", js_ref(look->header));
        if (st == ST_OK && look->claims != NULL)
            st = js_set_take(obj, "claims", js_ref(look->claims));
        return st == ST_OK && print_json(obj) == ST_OK ? EXIT_DONE : EXIT_FAILED;
    }
    printf("kind        %s\nverified    no: nothing below has been checked\n", kinds[look->shape]);
    if (look->header != NULL) {
        printf("\nheader\n");
        if (print_flat(look->header) != ST_OK)
            return EXIT_FAILED;
    }
    if (look->claims != NULL) {
        printf("\nclaims\n");
        if (print_flat(look->claims) != ST_OK)
            return EXIT_FAILED;
        if (js_get_i64(look->claims, "exp", &exp)) {
            putchar('\n');
            print_life(exp);
        }
    }
    if (look->shape == JWT_ENCRYPTED || look->shape == CWT_ENCRYPTED)
        printf("\nThe claims are encrypted for the broker.\n");
    return EXIT_DONE;
}

static int print_token_json(const struct symbolon_token *token, const struct jwt_look *look)
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object(), *scope = NULL;
    enum status st = js_set_i64(obj, "expires_at", token->expires_at_s);

    if (st == ST_OK)
        st = js_set_i64(obj, "obtained_at", token->obtained_at_s);
    if (st == ST_OK && token->scope != NULL &&
        js_parse(span_of_str(token->scope), JWT_TEXT_MAX, &scope, NULL) == ST_OK)
        st = js_set_take(obj, "scope", TAKE(scope));
    if (st == ST_OK)
        st = js_set_bool(obj, "pins_broker", token->has_rs_x5t || token->rs_jwk != NULL);
    if (st == ST_OK && look->claims != NULL)
        st = js_set_take(obj, "claims", js_ref(look->claims));
    return st == ST_OK && print_json(obj) == ST_OK ? EXIT_DONE : EXIT_FAILED;
}

static void print_scope(const char *json)
{
    CLEANUP(js_unrefp)
    struct js *scope = NULL;
    struct buf text = { .max = JWT_TEXT_MAX };

    if (json == NULL || js_parse(span_of_str(json), JWT_TEXT_MAX, &scope, NULL) != ST_OK)
        return;
    put_value(&text, SPAN_NONE, scope);
    printf("scope       %.*s\n", SPAN_FMT(buf_span(&text)));
    buf_done(&text);
}

/* What the authorization server said with the token, then what the token says itself. */
static int print_token(const struct token_options *o, const struct symbolon_token *token, const char *command)
{
    struct jwt_look look;
    struct why why = { 0 };
    int code;

    if (o->raw) {
        printf("%s\n", token->access_token);
        return EXIT_DONE;
    }
    if (jwt_look(span_of_str(token->access_token), &look, &why) != ST_OK) {
        complain(command, "the token cannot be taken apart: %s", why.text);
        return EXIT_PROTOCOL;
    }
    if (o->json) {
        code = print_token_json(token, &look);
    } else {
        print_life(token->expires_at_s);
        print_scope(token->scope);
        if (token->has_rs_x5t || token->rs_jwk != NULL)
            printf("broker      its %s is pinned\n", token->has_rs_x5t ? "certificate" : "key");
        code = print_look(&look, false);
    }
    jwt_look_done(&look);
    return code;
}

/* ---- get ---- */

struct get {
    struct session session;
    const struct token_options *options;
};

static void on_token(void *arg, int64_t expires_at_s UNUSED, bool in_session UNUSED)
{
    struct get *g = arg;
    const struct symbolon_token *token = symbolon_client_token(g->session.client);
    int code = EXIT_NO_TOKEN;

    if (token != NULL)
        code = print_token(g->options, token, g->session.command);
    session_end(&g->session, code);
}

static void on_disconnected(void *arg, const struct symbolon_error *why, int64_t retry_ms UNUSED)
{
    struct get *g = arg;

    session_end(&g->session, why->status == SYMBOLON_OK ? EXIT_DONE : complain_error(g->session.command, why));
}

static void on_log(void *arg, int level UNUSED, const char *line)
{
    struct get *g = arg;

    session_log(&g->session, "%s", line);
}

static const struct symbolon_events events = {
    .token = on_token,
    .disconnected = on_disconnected,
    .log = on_log,
};

static int run_get(int argc, char **argv)
{
    static const char name[] = "symbolon token get";
    struct token_options options = { .connect = CONNECT_OPTIONS_INIT };
    struct get get = { .options = &options };
    struct symbolon_error error;
    int code = command_options(&get_usage, name, argc, argv, &options, NULL);

    if (code == GO_ON) {
        code = session_open(&get.session, name, &options.connect, false, &events, &get);
        if (code == EXIT_DONE &&
            symbolon_client_fetch_token(get.session.client, options.force, &error) != SYMBOLON_OK)
            code = complain_error(name, &error);
        if (code == EXIT_DONE)
            code = session_run(&get.session);
        session_done(&get.session);
    }
    connect_options_done(&options.connect);
    return code;
}

/* ---- upload ---- */

static void on_uploaded(void *arg)
{
    struct get *g = arg;

    if (!g->options->connect.quiet)
        printf("the broker has the token\n");
    session_end(&g->session, EXIT_DONE);
}

static const struct symbolon_events upload_events = {
    .disconnected = on_disconnected,
    .log = on_log,
    .uploaded = on_uploaded,
};

static int run_upload(int argc, char **argv)
{
    static const char name[] = "symbolon token upload";
    struct token_options options = { .connect = CONNECT_OPTIONS_INIT };
    struct get get = { .options = &options };
    struct symbolon_error error;
    int code = command_options(&upload_usage, name, argc, argv, &options, NULL);

    if (code == GO_ON && options.connect.no_ace) {
        complain(name, "--no-ace: without a token there is nothing to upload");
        code = EXIT_USAGE;
    }
    if (code == GO_ON) {
        code = session_open(&get.session, name, &options.connect, false, &upload_events, &get);
        if (code == EXIT_DONE && symbolon_client_upload_token(get.session.client, &error) != SYMBOLON_OK)
            code = complain_error(name, &error);
        if (code == EXIT_DONE)
            code = session_run(&get.session);
        session_done(&get.session);
    }
    connect_options_done(&options.connect);
    return code;
}

/* ---- show ---- */

static int run_show(int argc, char **argv)
{
    static const char name[] = "symbolon token show";
    struct token_options options = { .connect = CONNECT_OPTIONS_INIT };
    struct session session;
    int code = command_options(&show_usage, name, argc, argv, &options, NULL);

    if (code == GO_ON) {
        code = session_open(&session, name, &options.connect, false, NULL, NULL);
        const struct symbolon_token *token = code == EXIT_DONE ? symbolon_client_token(session.client) : NULL;
        if (token != NULL) {
            code = print_token(&options, token, name);
        } else if (code == EXIT_DONE) {
            complain(name, "no token in the cache for these options (symbolon token get fetches one)");
            code = EXIT_NO_TOKEN;
        }
        session_done(&session);
    }
    connect_options_done(&options.connect);
    return code;
}

/* ---- inspect ---- */

static int read_input(const char *path, struct buf *out, const char *command)
{
    int fd = path == NULL ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int code = EXIT_DONE;

    if (fd < 0) {
        complain(command, "%s: %s", path, strerror(errno));
        return EXIT_FILE;
    }
    for (;;) {
        uint8_t *room = buf_room(out, 4096);
        ssize_t n = room == NULL ? -1 : read(fd, room, 4096);
        if (n <= 0) {
            code = n == 0 ? EXIT_DONE : EXIT_FILE;
            break;
        }
        buf_added(out, (size_t)n);
    }
    if (path != NULL)
        close(fd);
    if (code != EXIT_DONE)
        complain(command, "reading failed, or it is larger than a token can be");
    return code;
}

static int inspect(const struct token_options *o, const char *path, const char *command)
{
    CLEANUP(buf_wipe)
    struct buf text = { .max = JWT_TEXT_MAX + 8192 };
    struct jwt_look look;
    struct why why = { 0 };
    int code = read_input(path, &text, command);

    if (code != EXIT_DONE)
        return code;
    if (token_form(buf_span(&text)) != TOKEN_FORM_COSE) /* the last byte of a CWT may be anything */
        while (text.len > 0 && strchr(" \t\r\n", text.p[text.len - 1]) != NULL)
            buf_truncate(&text, text.len - 1);
    if (jwt_look(buf_span(&text), &look, &why) != ST_OK) {
        complain(command, "not a token: %s", why.text);
        return EXIT_PROTOCOL;
    }
    code = print_look(&look, o->json);
    jwt_look_done(&look);
    return code;
}

static int run_inspect(int argc, char **argv)
{
    static const char name[] = "symbolon token inspect";
    struct token_options options = { 0 };
    struct text_list rest = { 0 };
    int code = command_options(&inspect_usage, name, argc, argv, &options, &rest);

    if (code == GO_ON && rest.count > 1) {
        complain(name, "one token at a time");
        code = EXIT_USAGE;
    }
    if (code == GO_ON)
        code =
            inspect(&options, rest.count == 1 && strcmp(rest.items[0], "-") != 0 ? rest.items[0] : NULL, name);
    text_list_done(&rest);
    return code;
}

int run_token(int argc, char **argv)
{
    static const struct command commands[] = {
        { "get", "get a token, from the cache or the authorization server", run_get },
        { "show", "show the cached token", run_show },
        { "upload", "publish a token to the broker's authz-info", run_upload },
        { "inspect", "take any token apart, without verifying it", run_inspect },
    };

    return command_dispatch(commands, COUNT_OF(commands), "symbolon token", argc, argv);
}
