/* Routes, methods, and errors as RFC 6749 5.2 wants them. */
#include "as/as_priv.h"

enum method { METHOD_GET, METHOD_POST };

struct route {
    const char *path;
    enum method method;
    const char *cache_control;
    call_fn *run;
    bool rfc8414; /* the issuer's path stands behind it (RFC 8414 3.1), not in front */
};

/* clang-format off */
static const struct route routes[] = {
    { TOKEN_ENDPOINT,                            METHOD_POST, "no-store",            token_call,      false }, /* AF-1  */
    { "/introspect",                             METHOD_POST, "no-store",            introspect_call, false }, /* AF-2  */
    { "/revoke",                                 METHOD_POST, "no-store",            revoke_call,     false }, /* RFC 7009 */
    { ENROLL_ENDPOINT,                           METHOD_POST, "no-store",            enroll_call,     false },
    { TRL_ENDPOINT,                              METHOD_GET,  "no-store",            trl_call,        false }, /* RFC 9770 */
    { "/jwks.json",                              METHOD_GET,  "public, max-age=60",  jwks_call,       false }, /* RFC 7517 */
    { "/.well-known/oauth-authorization-server", METHOD_GET,  "public, max-age=300", metadata_call,   true  }, /* RFC 8414 */
};
/* clang-format on */

/* A proxy in front may or may not have taken the issuer's path away. */
static const struct route *find_route(const struct as *as, struct span path)
{
    struct span rest = path;

    if (as->base_path.len > 0 && span_starts_with(path, as->base_path))
        rest = span_cut(path, as->base_path.len, path.len);
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        struct span known = span_of_str(routes[i].path);
        if (span_eq(rest, known) || span_eq(path, known))
            return &routes[i];
        if (routes[i].rfc8414 && as->base_path.len > 0 && span_starts_with(path, known) &&
            span_eq(span_cut(path, known.len, path.len), as->base_path))
            return &routes[i];
    }
    return NULL;
}

enum status call_params(struct call *call, enum ace_document request, enum ace_document answer,
                        struct js **ret_params)
{
    call->media = params_media(call->request->content_type);
    call->answer = answer;
    return params_parse_ace(call->media, request, call->request->body, ret_params, &call->why);
}

/* In the form of the request (AF-28, AF-51, RFC 9431 2.1). */
static enum status print_body(struct call *call, const struct js *body)
{
    struct as_response *out = call->out;

    buf_reset(&out->body);
    if (call->media == MEDIA_ACE_CBOR) {
        out->content_type = ACE_CBOR_MEDIA_TYPE;
        return ace_to_cbor(call->answer, body, &out->body, NULL);
    }
    out->content_type = call->media == MEDIA_ACE_JSON ? ACE_JSON_MEDIA_TYPE : "application/json";
    return js_print(body, &out->body);
}

enum status call_reply(struct call *call, int code, const struct js *body)
{
    call->out->code = code;
    enum status st = print_body(call, body);
    return st == ST_OK ? ST_OK : reject(&call->why, st, "as http", "the answer cannot be printed", 0);
}

/* The errors of RFC 6749 5.2 and RFC 9200 5.8.3, and what HTTP itself has for the rest. Statuses with a finer error
 * elsewhere (a proof that failed is "invalid_token" at a resource server) are invalid_request here. */
static const char *error_name(enum status st, int *ret_code)
{
    *ret_code = 400; /* AF-50 */
    switch (st) {
    case ST_BAD_CREDENTIAL:
        *ret_code = 401;
        return "invalid_client";
    case ST_BAD_GRANT:
    case ST_UNAUTHORIZED_CLIENT:
    case ST_BAD_GRANT_TYPE:
    case ST_BAD_SCOPE:
    case ST_BAD_POP_KEY: /* AF-52 */
    case ST_BAD_PROFILE: /* AF-53 */
        return status_oauth_error(st);
    case ST_TOO_LARGE:
        *ret_code = 413;
        return "invalid_request";
    case ST_IO: /* the disk: later it may do */
        *ret_code = 503;
        return "temporarily_unavailable";
    case ST_DENIED:
    case ST_QUOTA:
    case ST_NO_MEMORY:
    case ST_DAMAGED:
    case ST_INTERNAL:
    case ST_UNREACHABLE:
    case ST_TIMEOUT:
        *ret_code = status_http_code(st);
        return status_oauth_error(st);
    default:
        return "invalid_request";
    }
}

/* RFC 6749 5.2: printable ASCII without quotes and backslashes. */
static void put_description(struct buf *b, const struct why *why)
{
    struct buf text;

    buf_init(&text, 1024);
    put_fmt(&text, "%s (%s)", why->text != NULL ? why->text : "refused",
            why->clause != NULL ? why->clause : "-");
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];
        put_u8(b, c < 0x20 || c > 0x7e || c == '"' || c == '\\' ? '\'' : c);
    }
    buf_done(&text);
}

/* Errors of HTTP's own have no number in ACE: the code of the answer says what it is (AF-51). */
static enum status set_error(struct call *call, struct js *body, const char *error)
{
    bool unnamed = span_eq_str(span_of_str(error), "server_error") ||
                   span_eq_str(span_of_str(error), "temporarily_unavailable");

    return js_set_str(body, "error",
                      call->media == MEDIA_ACE_CBOR && unnamed ? SPAN("invalid_request") : span_of_str(error));
}

static void write_error(struct call *call, enum status st, int code, const char *error)
{
    CLEANUP(js_unrefp)
    struct js *body = js_new_object();
    struct as_response *out = call->out;
    struct buf description;

    out->code = code;
    out->cache_control = "no-store";
    buf_reset(&out->body);
    if (st == ST_DENIED) { /* AF-82: an empty payload */
        out->content_type = NULL;
        return;
    }
    buf_init(&description, 2048);
    put_description(&description, &call->why);
    enum status printed = set_error(call, body, error);
    if (printed == ST_OK)
        printed = js_set_str(body, "error_description", buf_span(&description));
    if (printed == ST_OK)
        printed = print_body(call, body);
    if (printed != ST_OK) {
        out->content_type = NULL;
        buf_reset(&out->body);
    }
    buf_done(&description);
    out->challenge = code == 401;
    if (st == ST_QUOTA && out->retry_after_s == 0)
        out->retry_after_s = 1;
    if (st == ST_IO)
        out->retry_after_s = STORE_RETRY_S;
}

static void refuse(struct call *call, enum status st)
{
    int code;
    const char *error = error_name(st, &code);

    if (st == ST_UNSUPPORTED && call->why.clause != NULL &&
        span_eq_str(span_of_str(call->why.clause), "RFC 9431 2.1"))
        code = 415;
    write_error(call, st, code, error);
    log_event(NULL, code >= 500 ? LOG_ERROR : LOG_NOTICE, "request_refused",
              F_SPAN("path", call->request->path), F_I64("code", code), F_STR("error", error),
              F_SPAN("client_id", call->client_id), F_SPAN("peer", call->request->peer), F_WHY(st, call->why));
    as_store_was(call->as, st == ST_IO ? st : ST_PENDING, &call->why);
}

static void not_allowed(struct call *call, int code, const char *clause, const char *text)
{
    enum status st = reject(&call->why, ST_PROTOCOL, clause, text, 0);

    write_error(call, st, code, "invalid_request");
    log_event(NULL, LOG_INFO, "request_refused", F_I64("code", code), F_SPAN("peer", call->request->peer),
              F_WHY(st, call->why));
}

static void answer_route(struct call *call, const struct route *route)
{
    struct span method = call->request->method;
    bool read = route->method == METHOD_GET;

    if (!(read ? span_eq_str(method, "GET") || span_eq_str(method, "HEAD") : span_eq_str(method, "POST"))) {
        call->out->allow = read ? "GET, HEAD" : "POST";
        not_allowed(call, 405, "RFC 9110 15.5.6", "this method is not for this endpoint");
        return;
    }
    call->out->cache_control = route->cache_control;
    enum status st = call->request->body.len > AS_BODY_MAX
                         ? reject(&call->why, ST_TOO_LARGE, "RFC 9110 15.5.14", "the body is too large", 0)
                         : route->run(call);
    if (st != ST_OK)
        refuse(call, st);
}

void as_answer(struct as *as, const struct as_request *request, struct now now, struct as_response *out)
{
    struct call call = { .as = as, .request = request, .now = now, .out = out };

    *out = (struct as_response){ .code = 500 };
    buf_init(&out->body, AS_RESPONSE_MAX);
    arena_init(&call.arena, CALL_ARENA_MAX);
    as_purge(as, now);
    const uint64_t failed_groups = as->failed_groups;
    const struct route *route = find_route(as, request->path);
    if (route == NULL)
        not_allowed(&call, 404, "RFC 9110 15.5.5", "no such endpoint");
    else
        answer_route(&call, route);
    out->unsettled = sql_unsynced(as->sql);
    out->failed_groups = failed_groups;
    arena_done(&call.arena);
}

static enum media media_of(const struct as_response *out)
{
    const char *type = out->content_type != NULL ? out->content_type : "";

    if (span_eq_str(span_of_str(type), ACE_CBOR_MEDIA_TYPE))
        return MEDIA_ACE_CBOR;
    return span_eq_str(span_of_str(type), ACE_JSON_MEDIA_TYPE) ? MEDIA_ACE_JSON : MEDIA_FORM;
}

void as_response_settled(struct as *as, enum status st, struct as_response *out)
{
    const struct as_request request = { .path = SPAN("") };
    struct call call = { .as = as, .request = &request, .out = out, .media = media_of(out) };

    out->unsettled = false;
    if (st == ST_OK && out->failed_groups == as->failed_groups)
        return;
    out->wait = (struct as_wait){ 0 };
    out->etag[0] = '\0';
    out->challenge = false;
    out->allow = NULL;
    refuse(&call, reject(&call.why, ST_IO, "store", "it may have happened, but is not on disk", 0));
}

void as_wait_answer(struct as *as, const struct as_wait *wait, struct now now, struct as_response *out)
{
    const struct as_request request = { .method = SPAN("GET"), .path = SPAN(TRL_ENDPOINT) };
    struct call call = { .as = as, .request = &request, .now = now, .out = out };

    *out = (struct as_response){ .code = 500, .cache_control = "no-store" };
    buf_init(&out->body, AS_RESPONSE_MAX);
    arena_init(&call.arena, CALL_ARENA_MAX);
    enum status st = as_settle(as);
    if (st != ST_OK)
        st = reject(&call.why, st, "store", "what there is to tell is not on disk", 0);
    if (st == ST_OK)
        st = trl_wait_over(&call, wait);
    if (st != ST_OK)
        refuse(&call, st);
    arena_done(&call.arena);
}

void as_response_done(struct as_response *out)
{
    buf_wipe(&out->body); /* it may hold a key */
}
