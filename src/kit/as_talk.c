#include "kit/as_talk_priv.h"

#include "net/http_client.h"

#define ANSWER_MAX (1u << 20)

struct as_answer as_send(struct kit *k, const struct as_request *request)
{
    struct as_answer answer = { 0 };
    struct why why = { "", "", 0 };
    struct buf body, type;

    if (!going(k))
        return answer;
    const char *url = request->url == NULL ? as_token_endpoint(k) : request->url;
    if (!going(k))
        return answer;
    struct http_call call = {
        .method = request->method,
        .url = url,
        .body = request->body,
        .content_type = request->body.p == NULL ? NULL
                        : request->type != NULL ? request->type
                                                : "application/ace+json",
        .accept = request->accept,
        .user = request->user,
        .password = request->password,
        .ca_file = k->s->as_ca != NULL ? k->s->as_ca : k->s->ca_file,
        .timeout_ms = k->wait_ms,
        .max_response = ANSWER_MAX,
    };
    buf_init(&body, ANSWER_MAX);
    buf_init(&type, 256);
    if (http_call_sync(&call, &answer.code, &body, &type, &why) != ST_OK) {
        trouble(k, "no answer from %s: %s", url, why.text);
        answer.code = 0;
    }
    answer.body = bytes(k, &body);
    answer.content_type = bytes(k, &type);
    if (answer.body.len == 0 || js_parse(answer.body, ANSWER_MAX, &answer.js, &why) != ST_OK)
        answer.js = NULL;
    if (answer.code != 0)
        saw(k, "HTTP %d", answer.code);
    return answer;
}

void as_answer_done(struct as_answer *answer)
{
    js_unref(answer->js);
    answer->js = NULL;
}

/* RFC 8414 3.1: the well-known part goes between host and path. */
static const char *metadata_url(struct kit *k)
{
    struct span url = span_of_str(k->s->as_url);
    size_t host = span_find(url, '/', sizeof "https://" - 1);
    struct span origin = span_cut(url, 0, host), path = span_cut(url, host, url.len);

    if (path.len == 1)
        path.len = 0;
    return text(k, "%.*s/.well-known/oauth-authorization-server%.*s", SPAN_FMT(origin), SPAN_FMT(path));
}

struct as_answer as_metadata(struct kit *k)
{
    struct as_request request = { .url = metadata_url(k) };

    return as_send(k, &request);
}

static const char *endpoint(struct kit *k, const char *member, const char *otherwise)
{
    struct as_answer m = as_metadata(k);
    struct span url = SPAN_NONE;
    const char *found;

    buf_reset(&k->seen);
    if (m.js != NULL && js_get_str(m.js, member, &url))
        found = text(k, "%.*s", SPAN_FMT(url));
    else
        found = text(k, "%s%s", k->s->as_url, otherwise);
    as_answer_done(&m);
    return found;
}

const char *as_token_endpoint(struct kit *k)
{
    return endpoint(k, "token_endpoint", "/token");
}

const char *as_introspection_endpoint(struct kit *k)
{
    return endpoint(k, "introspection_endpoint", "/introspect");
}

struct as_answer as_ask_token(struct kit *k, const char *more)
{
    const char *body = text(k, "{%s\"client_id\":\"%s\",\"client_secret\":\"%s\",\"audience\":\"%s\"}", more,
                            k->s->client_id, k->s->client_secret, k->s->audience);
    struct as_request request = { .body = span_of_str(body) };

    return as_send(k, &request);
}
