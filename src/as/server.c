#include "as/server.h"

#include "as/admin_socket.h"
#include "as/as.h"
#include "as/held.h"
#include "as/schema.h"
#include "as/waiting.h"
#include "base/log.h"
#include "codec/base64.h"
#include "crypto/random.h"
#include "crypto/secret.h"
#include "net/file.h"
#include "net/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define POP_MASTER_LEN   32
#define PURGE_MS         30000
#define PER_ADDRESS      256 /* connections of one address; a site behind one router fits */
#define HOLD_PER_ADDRESS 128 /* of them: requests that wait for news */
#define HOLD_RETRY_S     5
#define CLIENTS_SHARE    4 /* of all connections: held requests of clients, half of those that may be held */

struct as_server {
    struct loop *loop;
    const struct as_settings *settings;
    struct sql *sql;
    struct signer *signer;
    struct key *pop_master;
    char *issuer;
    struct as *as;
    struct http_server *http;
    struct held *held;
    struct waiting *waiting;
    struct admin_socket *admin;
    struct timer purge;
};

static char *in_state(const struct as_settings *settings, const char *name)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s", settings->state_dir, name) < 0 ? NULL : path;
}

/* "192.0.2.1:49152" or "[2001:db8::1]:49152" without the port. */
static struct span peer_host(const struct net_peer *peer)
{
    struct span s = span_of_str(peer->address);
    size_t colon = s.len;

    while (colon > 0 && s.p[colon - 1] != ':')
        colon--;
    return colon > 0 ? span_cut(s, 0, colon - 1) : s;
}

static void copy_answer(const struct as_response *from, struct http_reply *to)
{
    char seconds[32];

    to->code = from->code;
    if (from->content_type != NULL)
        http_reply_header(to, "Content-Type", from->content_type);
    if (from->cache_control != NULL)
        http_reply_header(to, "Cache-Control", from->cache_control);
    if (from->allow != NULL)
        http_reply_header(to, "Allow", from->allow);
    if (from->challenge)
        http_reply_header(to, "WWW-Authenticate", "Basic realm=\"symbolon-as\", charset=\"UTF-8\"");
    if (from->retry_after_s > 0) {
        snprintf(seconds, sizeof seconds, "%lld", (long long)from->retry_after_s);
        http_reply_header(to, "Retry-After", seconds);
    }
    if (from->etag[0] != '\0')
        http_reply_header(to, "ETag", from->etag);
    if (from->waited_s > 0) {
        snprintf(seconds, sizeof seconds, "wait=%lld", (long long)from->waited_s);
        http_reply_header(to, "Preference-Applied", seconds);
    }
    put_bytes(&to->body, buf_span(&from->body));
}

static struct span query_of(void *ctx, const char *name)
{
    return http_request_query(ctx, name);
}

/* Kept until there is news, or told that too many wait already: polling without waiting goes on to work. */
static void hold(struct as_server *server, const struct http_request *request, const struct as_wait *wait,
                 struct http_reply *reply)
{
    const struct as_response full = { .code = 429, .cache_control = "no-store", .retry_after_s = HOLD_RETRY_S };

    if (!waiting_hold(server->waiting, request, wait))
        copy_answer(&full, reply);
}

static void on_request(void *ctx, const struct http_request *request, struct http_reply *reply)
{
    struct as_server *server = ctx;
    struct as_response answer;
    const struct as_request ask = {
        .method = request->method,
        .path = request->path,
        .content_type = http_request_header(request, "Content-Type"),
        .authorization = http_request_header(request, "Authorization"),
        .body = request->body,
        .peer = peer_host(&request->peer),
        .cert_der = request->cert_der,
        .accept = http_request_header(request, "Accept"),
        .prefer = http_request_header(request, "Prefer"),
        .if_none_match = http_request_header(request, "If-None-Match"),
        .query = query_of,
        .query_ctx = (void *)request,
    };

    loop_wake(
        server
            ->loop); /* a request may come behind the hooks of its turn, of which one ends what it reads or writes */
    as_answer(server->as, &ask, loop_now(server->loop), &answer);
    if (answer.wait.wait_s > 0)
        hold(server, request, &answer.wait, reply);
    else if (!answer.unsettled || !held_take(server->held, request, &answer)) {
        if (answer.unsettled)
            as_response_settled(server->as, as_settle(server->as), &answer);
        copy_answer(&answer, reply);
    }
    as_response_done(&answer);
}

static void on_purge(struct timer *timer, struct now now)
{
    struct as_server *server = CONTAINER_OF(timer, struct as_server, purge);

    const bool more = as_purge(server->as, now), failing = as_store_failing(server->as);

    timer_start(loop_timers(server->loop), timer,
                mono_plus_ms(now.mono, more      ? AS_PURGE_MORE_MS
                                       : failing ? AS_TRY_MS
                                                 : PURGE_MS));
}

/* base64url text of 32 random bytes; made on the first start. */
static enum status load_pop_master(struct as_server *server, const char *path, struct why *why)
{
    uint8_t raw[POP_MASTER_LEN];
    struct buf text, bytes;

    buf_init(&text, 256);
    buf_init(&bytes, POP_MASTER_LEN);
    enum status st = file_read(path, &text, why);
    if (st == ST_NOT_FOUND) {
        st = random_bytes(raw, sizeof raw);
        base64url_encode(span_of(raw, sizeof raw), &text);
        secret_wipe(raw, sizeof raw);
        if (st == ST_OK)
            st = file_create(path, buf_span(&text), 0600, why);
    }
    if (st == ST_OK)
        st = base64url_decode(buf_span(&text), &bytes, why);
    if (st == ST_OK && bytes.len != POP_MASTER_LEN)
        st = reject(why, ST_MALFORMED, "pop.key", "the file does not hold 32 bytes", 0);
    if (st == ST_OK)
        st = key_new_secret(buf_span(&bytes), &server->pop_master, why);
    buf_wipe(&text);
    buf_wipe(&bytes);
    return st;
}

static enum status open_state(struct as_server *server, struct why *why)
{
    CLEANUP(freep)
    char *db = in_state(server->settings, "as.db");
    CLEANUP(freep)
    char *keys = in_state(server->settings, "keys");
    CLEANUP(freep)
    char *pop = in_state(server->settings, "pop.key");
    struct stat about;

    if (db == NULL || keys == NULL || pop == NULL)
        return reject(why, ST_NO_MEMORY, "as server", "out of memory", 0);
    if (stat(server->settings->state_dir, &about) != 0 || !S_ISDIR(about.st_mode))
        return reject(why, ST_NOT_FOUND, "state_dir", "no such folder", 0);
    if ((about.st_mode & 077) != 0)
        log_event(NULL, LOG_WARNING, "state_dir_open_to_others", F_STR("path", server->settings->state_dir));
    enum status st =
        sql_open(db, SQL_GROUPED | (server->settings->durability == AS_DURABILITY_COMMIT ? SQL_DURABLE : 0),
                 &server->sql, why);
    if (st == ST_OK)
        st = as_schema(server->sql, why);
    if (st == ST_OK)
        st = signer_local_new(keys, server->sql, loop_now(server->loop).wall, &server->signer, why);
    return st == ST_OK ? load_pop_master(server, pop, why) : st;
}

static enum status open_http(struct as_server *server, struct why *why)
{
    const struct as_settings *s = server->settings;
    const struct http_server_settings http = {
        .address = s->https_address,
        .port = (uint16_t)s->https_port,
        .cert_file = s->https_certificate,
        .key_file = s->https_key,
        .client_ca_file = s->https_client_ca,
        .max_body = AS_BODY_MAX,
        .max_connections = (unsigned)s->https_max_connections,
        .max_connections_per_address = PER_ADDRESS,
        .max_waiting_per_address = HOLD_PER_ADDRESS,
    };

    return http_server_new(server->loop, &http, on_request, server, &server->http, why);
}

static enum status open_core(struct as_server *server, struct why *why)
{
    server->issuer = as_settings_issuer(server->settings, http_server_port(server->http));
    if (server->issuer == NULL)
        return reject(why, ST_NO_MEMORY, "as server", "out of memory", 0);
    const struct as_parts parts = {
        .sql = server->sql,
        .signer = server->signer,
        .settings = server->settings,
        .issuer = server->issuer,
        .pop_master = server->pop_master,
        .env = { .random = random_for_env },
    };
    enum status st = as_new(&parts, loop_now(server->loop), &server->as, why);
    if (st == ST_OK)
        st =
            waiting_new(server->loop, server->as, copy_answer,
                        (size_t)server->settings->https_max_connections / CLIENTS_SHARE, &server->waiting, why);
    /* Its hook is the last: what the one before did is on disk when the loop sleeps. */
    return st == ST_OK ? held_new(server->loop, server->as, copy_answer, &server->held, why) : st;
}

/* It is read at the start only. Without the file there is nothing to log in with. */
static enum status read_credential(const char *path, struct buf *out, struct why *why)
{
    struct stat about;

    if (stat(path, &about) == 0 && (about.st_mode & 077) != 0)
        return reject(
            why, ST_DENIED, "admin.credential",
            "others can read the file: make a new one, with mode 0600 (chmod alone does not unsay it)", 0);
    enum status st = file_read(path, out, why);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static enum status open_admin(struct as_server *server, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf credential = { .max = 256 };
    CLEANUP(freep)
    char *credential_path = in_state(server->settings, "admin.credential");
    CLEANUP(freep)
    char *path = server->settings->admin_socket != NULL
                     ? span_dup_str(span_of_str(server->settings->admin_socket))
                     : in_state(server->settings, "admin.sock");

    if (path == NULL || credential_path == NULL)
        return reject(why, ST_NO_MEMORY, "as server", "out of memory", 0);
    enum status st = read_credential(credential_path, &credential, why);
    const struct admin_socket_settings admin = {
        .path = path,
        .group = server->settings->admin_group,
        .credential = buf_span(&credential),
        .failures_per_minute = server->settings->auth_failures_per_minute,
    };
    return st == ST_OK ? admin_socket_new(server->loop, &admin, server->as, &server->admin, why) : st;
}

enum status as_server_new(struct loop *loop, const struct as_settings *settings, struct as_server **ret_server,
                          struct why *why)
{
    struct as_server *server = calloc(1, sizeof *server);

    if (server == NULL)
        return reject(why, ST_NO_MEMORY, "as server", "out of memory", 0);
    server->loop = loop;
    server->settings = settings;
    timer_init(&server->purge, on_purge);
    enum status st = open_state(server, why);
    if (st == ST_OK)
        st = open_http(server, why);
    if (st == ST_OK)
        st = open_core(server, why);
    if (st == ST_OK)
        st = open_admin(server, why);
    if (st != ST_OK) {
        as_server_free(server);
        return st;
    }
    timer_start(loop_timers(loop), &server->purge, mono_plus_ms(loop_now(loop).mono, PURGE_MS));
    log_event(NULL, LOG_NOTICE, "as_started", F_STR("issuer", server->issuer),
              F_STR("address", settings->https_address), F_I64("https", http_server_port(server->http)));
    *ret_server = server;
    return ST_OK;
}

enum status as_server_reload(struct as_server *server, const struct as_settings *settings, struct why *why)
{
    return http_server_set_tls(server->http, settings->https_certificate, settings->https_key,
                               settings->https_client_ca, why);
}

void as_server_free(struct as_server *server)
{
    if (server == NULL)
        return;
    timer_stop(loop_timers(server->loop), &server->purge);
    admin_socket_free(server->admin);
    waiting_free(server->waiting);
    held_free(server->held);
    http_server_free(server->http);
    as_free(server->as);
    signer_free(server->signer);
    sql_close(server->sql);
    key_unref(server->pop_master);
    free(server->issuer);
    free(server);
}

uint16_t as_server_port(const struct as_server *server)
{
    return http_server_port(server->http);
}
