#include "net/http_client.h"
#include "net/loop_priv.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define TIMEOUT_MS   10000
#define MAX_RESPONSE (256u * 1024)

struct http_client {
    struct loop *loop;
    CURLM *multi;
    uv_timer_t *timer;
    struct list running; /* struct http_pending */
    struct chore chore;  /* calls that ended are reported at the end of the turn */
};

/* One easy handle with everything it points to. */
struct http_pending {
    struct list link;
    struct http_client *client; /* NULL: synchronous */
    CURL *easy;
    struct curl_slist *headers;
    struct buf request; /* libcurl reads the body from here */
    struct buf body;
    bool too_large;
    http_done_fn *done;
    void *ctx;
};

/* One socket of libcurl's. */
struct watch {
    uv_poll_t poll;
    struct http_client *client;
    curl_socket_t fd;
};

/* -- one call -------------------------------------------------------------------------------------------- */

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct http_pending *p = ctx;
    size_t len = size * count;
    put_bytes(&p->body, span_of(bytes, len));
    if (buf_ok(&p->body))
        return len;
    p->too_large = true;
    return 0; /* ends the transfer */
}

static void pending_free(struct http_pending *p)
{
    list_remove(&p->link);
    if (p->easy != NULL) {
        if (p->client != NULL)
            curl_multi_remove_handle(p->client->multi, p->easy);
        curl_easy_cleanup(p->easy);
    }
    curl_slist_free_all(p->headers);
    buf_wipe(&p->request);
    buf_wipe(&p->body);
    free(p);
}

static bool add_header(struct http_pending *p, const char *name, const char *value)
{
    if (value == NULL)
        return true;
    char *line = NULL;
    if (asprintf(&line, "%s: %s", name, value) < 0)
        return false;
    struct curl_slist *longer = curl_slist_append(p->headers, line);
    explicit_bzero(line, strlen(line));
    free(line);
    if (longer == NULL)
        return false;
    p->headers = longer;
    return true;
}

static bool add_headers(struct http_pending *p, const struct http_call *call)
{
    /* "Expect:" without a value: no 100-continue, which costs a round trip and confuses small servers. */
    struct curl_slist *longer = curl_slist_append(p->headers, "Expect:");
    if (longer == NULL)
        return false;
    p->headers = longer;
    return add_header(p, "Content-Type", call->content_type) && add_header(p, "Accept", call->accept) &&
           add_header(p, "Authorization", call->authorization) &&
           add_header(p, "If-None-Match", call->if_none_match) && add_header(p, "Prefer", call->prefer) &&
           curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, p->headers) == CURLE_OK;
}

static bool set_security(CURL *easy, const struct http_call *call)
{
    CURLcode rc = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, call->allow_http ? "https,http" : "https");
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (rc == CURLE_OK && call->ca_file != NULL)
        rc = curl_easy_setopt(easy, CURLOPT_CAINFO, call->ca_file);
    if (rc == CURLE_OK && call->ca_file != NULL) /* that file alone, not the system's directory as well */
        rc = curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (rc == CURLE_OK && call->pinned_pubkey != NULL)
        rc = curl_easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, call->pinned_pubkey);
    if (rc == CURLE_OK && call->cert_file != NULL)
        rc = curl_easy_setopt(easy, CURLOPT_SSLCERT, call->cert_file);
    if (rc == CURLE_OK && call->cert_file != NULL)
        rc = curl_easy_setopt(easy, CURLOPT_SSLKEY, call->key_file != NULL ? call->key_file : call->cert_file);
    if (rc == CURLE_OK && call->user != NULL)
        rc = curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    if (rc == CURLE_OK && call->user != NULL)
        rc = curl_easy_setopt(easy, CURLOPT_USERNAME, call->user);
    if (rc == CURLE_OK && call->user != NULL && call->password != NULL)
        rc = curl_easy_setopt(easy, CURLOPT_PASSWORD, call->password);
    return rc == CURLE_OK;
}

static bool set_request(struct http_pending *p, const struct http_call *call)
{
    CURL *easy = p->easy;
    CURLcode rc = curl_easy_setopt(easy, CURLOPT_URL, call->url);
    if (rc == CURLE_OK && call->body.len > 0) {
        put_bytes(&p->request, call->body);
        if (!buf_ok(&p->request))
            return false;
        rc = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)p->request.len);
        if (rc == CURLE_OK)
            rc = curl_easy_setopt(easy, CURLOPT_POSTFIELDS, (char *)p->request.p);
    }
    if (rc == CURLE_OK && call->method != NULL)
        rc = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                              (long)(call->timeout_ms != 0 ? call->timeout_ms : TIMEOUT_MS));
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* none from the environment */
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_WRITEDATA, p);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_PRIVATE, p);
    return rc == CURLE_OK;
}

static enum status pending_new(const struct http_call *call, struct http_pending **ret, struct why *why)
{
    struct http_pending *p = calloc(1, sizeof *p);
    if (p == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    list_init(&p->link);
    buf_init(&p->request, call->body.len);
    buf_init(&p->body, call->max_response != 0 ? call->max_response : MAX_RESPONSE);
    p->easy = curl_easy_init();
    if (p->easy == NULL || !set_request(p, call) || !set_security(p->easy, call) || !add_headers(p, call)) {
        pending_free(p);
        return reject(why, ST_NO_MEMORY, "http", "the request could not be prepared", 0);
    }
    *ret = p;
    return ST_OK;
}

/* The last answer's header of that name (there is one answer: no redirects are followed). */
static struct span header_of(CURL *easy, const char *name)
{
    struct curl_header *header = NULL;
    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return SPAN_NONE;
    return span_of_str(header->value);
}

static bool is_directive(struct span one, const char *name, struct span *ret_value)
{
    size_t len = strlen(name);
    if (one.len < len || strncasecmp((const char *)one.p, name, len) != 0)
        return false;
    *ret_value = span_cut(one, len, SIZE_MAX);
    return ret_value->len == 0 || ret_value->p[0] == '=';
}

static int64_t seconds(struct span value)
{
    int64_t s = 0;
    for (size_t i = 1; i < value.len; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return 0;
        s = s < INT32_MAX ? s * 10 + (value.p[i] - '0') : s; /* longer than anybody waits */
    }
    return s;
}

/* RFC 9111 5.2.2: the directives that say how long an answer may be used. */
static int64_t max_age_of(struct span control)
{
    int64_t age_s = -1;
    for (size_t from = 0; from < control.len;) {
        size_t end = span_find(control, ',', from);
        struct span one = span_cut(control, from, end - from), value;
        while (one.len > 0 && one.p[0] == ' ')
            one = span_cut(one, 1, SIZE_MAX);
        while (one.len > 0 && one.p[one.len - 1] == ' ')
            one.len--;
        if (is_directive(one, "no-store", &value) || is_directive(one, "no-cache", &value))
            return 0;
        if (is_directive(one, "max-age", &value))
            age_s = seconds(value);
        from = end + 1;
    }
    return age_s;
}

static void result_of(struct http_pending *p, CURLcode rc, struct http_result *out)
{
    long code = 0;
    char *type = NULL;
    *out = (struct http_result){ .st = ST_OK, .max_age_s = -1 };
    if (rc == CURLE_OK) {
        (void)curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &code);
        (void)curl_easy_getinfo(p->easy, CURLINFO_CONTENT_TYPE, &type);
        out->code = (int)code;
        out->content_type = span_of_str(type);
        out->body = buf_span(&p->body);
        out->etag = header_of(p->easy, "ETag");
        if (out->etag.len > HTTP_ETAG_MAX)
            out->etag = SPAN_NONE;
        out->max_age_s = max_age_of(header_of(p->easy, "Cache-Control"));
    } else if (p->too_large) {
        out->st = reject(&out->why, ST_TOO_LARGE, "http", "the answer is larger than allowed", 0);
    } else if (rc == CURLE_OPERATION_TIMEDOUT) {
        out->st = reject(&out->why, ST_TIMEOUT, "http", "no answer within the time allowed", 0);
    } else if (rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_PINNEDPUBKEYNOTMATCH ||
               rc == CURLE_SSL_CACERT_BADFILE || rc == CURLE_SSL_CERTPROBLEM ||
               rc == CURLE_UNSUPPORTED_PROTOCOL) {
        out->st = reject(&out->why, ST_DENIED, "http", curl_easy_strerror(rc), 0);
    } else {
        out->st = reject(&out->why, ST_UNREACHABLE, "http", curl_easy_strerror(rc), 0);
    }
}

/* -- on the loop ----------------------------------------------------------------------------------------- */

static void report(struct chore *chore)
{
    struct http_client *client = CONTAINER_OF(chore, struct http_client, chore);
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(client->multi, &left)) != NULL) {
        char *private = NULL;
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode rc = msg->data.result;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
        struct http_pending *p = (struct http_pending *)(void *)private;
        struct http_result result;
        result_of(p, rc, &result);
        /* Off the lists first: the callback may start another call or cancel others, but not this one. */
        list_remove(&p->link);
        p->done(p->ctx, &result);
        pending_free(p);
    }
}

static void act(struct http_client *client, curl_socket_t fd, int what)
{
    int running = 0;
    (void)curl_multi_socket_action(client->multi, fd, what, &running);
    loop_chore(client->loop, &client->chore);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    loop_begin_turn(poll->loop->data);
    int what = 0;
    if (status < 0)
        what = CURL_CSELECT_ERR;
    if ((events & UV_READABLE) != 0)
        what |= CURL_CSELECT_IN;
    if ((events & UV_WRITABLE) != 0)
        what |= CURL_CSELECT_OUT;
    act(watch->client, watch->fd, what);
}

static void on_timer(uv_timer_t *timer)
{
    struct http_client *client = timer->data;
    loop_begin_turn(client->loop);
    act(client, CURL_SOCKET_TIMEOUT, 0);
}

static void watch_gone(uv_handle_t *handle)
{
    free(handle->data);
}

static void timer_gone(uv_handle_t *handle)
{
    free(handle);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct http_client *client = ctx;
    struct watch *watch = socket_ctx;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL) {
            uv_poll_stop(&watch->poll);
            uv_close((uv_handle_t *)&watch->poll, watch_gone);
            curl_multi_assign(client->multi, fd, NULL);
        }
        return 0;
    }
    if (watch == NULL) {
        watch = calloc(1, sizeof *watch);
        if (watch == NULL || uv_poll_init_socket(&client->loop->uv, &watch->poll, fd) != 0) {
            free(watch);
            return -1; /* the call ends with its own time-out */
        }
        watch->client = client;
        watch->fd = fd;
        watch->poll.data = watch;
        curl_multi_assign(client->multi, fd, watch);
    }
    int events =
        ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) | ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0);
    uv_poll_start(&watch->poll, events, on_poll);
    return 0;
}

static int want_timer(CURLM *multi, long ms, void *ctx)
{
    struct http_client *client = ctx;
    (void)multi;
    if (ms < 0) {
        uv_timer_stop(client->timer);
    } else {
        uv_update_time(&client->loop->uv);
        uv_timer_start(client->timer, on_timer, (uint64_t)ms, 0);
    }
    return 0;
}

enum status http_client_new(struct loop *loop, struct http_client **ret_client, struct why *why)
{
    struct http_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    client->loop = loop;
    list_init(&client->running);
    list_init(&client->chore.link);
    client->chore.run = report;
    client->timer = calloc(1, sizeof *client->timer);
    client->multi = curl_multi_init();
    if (client->timer == NULL || client->multi == NULL) {
        free(client->timer);
        if (client->multi != NULL)
            curl_multi_cleanup(client->multi);
        free(client);
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    uv_timer_init(&loop->uv, client->timer);
    client->timer->data = client;
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    *ret_client = client;
    return ST_OK;
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    while (!list_empty(&client->running))
        pending_free(CONTAINER_OF(client->running.next, struct http_pending, link));
    curl_multi_cleanup(client->multi);
    list_remove(&client->chore.link);
    uv_timer_stop(client->timer);
    uv_close((uv_handle_t *)client->timer, timer_gone);
    free(client);
}

enum status http_start(struct http_client *client, const struct http_call *call, http_done_fn *done, void *ctx,
                       struct http_pending **ret_pending, struct why *why)
{
    struct http_pending *p;
    enum status st = pending_new(call, &p, why);
    if (st != ST_OK)
        return st;
    p->done = done;
    p->ctx = ctx;
    if (curl_multi_add_handle(client->multi, p->easy) != CURLM_OK) {
        pending_free(p);
        return reject(why, ST_NO_MEMORY, "http", "the request could not be started", 0);
    }
    p->client = client;
    list_append(&client->running, &p->link);
    if (ret_pending != NULL)
        *ret_pending = p;
    return ST_OK;
}

void http_cancel(struct http_pending *pending)
{
    pending_free(pending);
}

enum status http_call_sync(const struct http_call *call, int *ret_code, struct buf *body,
                           struct buf *content_type, struct why *why)
{
    struct http_pending *p;
    struct http_result result;
    enum status st = pending_new(call, &p, why);
    if (st != ST_OK)
        return st;
    result_of(p, curl_easy_perform(p->easy), &result);
    st = result.st;
    if (st == ST_OK) {
        *ret_code = result.code;
        put_bytes(body, result.body);
        if (content_type != NULL)
            put_bytes(content_type, result.content_type);
        if (!buf_ok(body) || (content_type != NULL && !buf_ok(content_type)))
            st = reject(why, ST_TOO_LARGE, "http", "the answer is larger than allowed", 0);
    } else if (why != NULL) {
        *why = result.why;
    }
    pending_free(p);
    return st;
}
