#include "as/as_priv.h"
#include "as/refresh.h"
#include "as/schema.h"
#include "as/status.h"
#include "as/token_row.h"
#include "codec/base64.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

#include <stdio.h>
#include <stdlib.h>

static enum status take_i64(void *ctx, const struct sql_row *row)
{
    *(int64_t *)ctx = sql_i64(row, 0);
    return ST_OK;
}

static char *joined(const char *a, const char *b)
{
    char *text = NULL;

    return asprintf(&text, "%s%s", a, b) < 0 ? NULL : text;
}

/* What follows the authority of "https://host:port/tenant"; a slash at the end does not count. */
static struct span path_of(const char *issuer)
{
    struct span s = span_of_str(issuer);
    size_t slashes = 0;

    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] == '/' && ++slashes == 3)
            return s.p[s.len - 1] == '/' ? span_cut(s, i, s.len - i - 1) : span_cut(s, i, s.len);
    return SPAN_NONE;
}

static enum status load_counts(struct as *as, struct why *why)
{
    enum status st = token_row_count(as->sql, &as->tokens, why);

    if (st == ST_OK)
        st = sql_query(as->sql, "SELECT COUNT(*) FROM replay", take_i64, &as->replays, why);
    return st;
}

enum status as_new(const struct as_parts *parts, struct now now, struct as **ret_as, struct why *why)
{
    CLEANUP(as_freep)
    struct as *as = calloc(1, sizeof *as);
    struct hash_key key;

    if (as == NULL)
        return reject(why, ST_NO_MEMORY, "as", "out of memory", 0);
    as->sql = parts->sql;
    as->signer = parts->signer;
    as->settings = parts->settings;
    as->env = parts->env;
    as->pop_master = key_ref(parts->pop_master);
    as->started = now.wall;
    as->issuer = span_dup_str(span_of_str(parts->issuer));
    if (as->issuer == NULL)
        return reject(why, ST_NO_MEMORY, "as", "out of memory", 0);
    as->base_path = path_of(as->issuer);
    const char *slash = as->issuer[0] != '\0' && as->issuer[strlen(as->issuer) - 1] == '/' ? "" : "/";
    CLEANUP(freep)
    char *base = joined(as->issuer, slash);
    if (base == NULL)
        return reject(why, ST_NO_MEMORY, "as", "out of memory", 0);
    as->token_endpoint = joined(base, &TOKEN_ENDPOINT[1]);
    as->enroll_endpoint = joined(base, &ENROLL_ENDPOINT[1]);
    if (as->token_endpoint == NULL || as->enroll_endpoint == NULL)
        return reject(why, ST_NO_MEMORY, "as", "out of memory", 0);
    enum status st = as->env.random(as->env.ctx, &key, sizeof key);
    if (st != ST_OK)
        return reject(why, st, "as", "no random bytes", 0);
    throttle_init(&as->throttle, key);
    throttle_init(&as->remembered, key);
    client_room_init(&as->rooms, key);
    as->work = true; /* what the last process left */
    as->trl_max = AS_TRL_MAX;
    st = as_schema(as->sql, why);
    if (st == ST_OK)
        st = load_counts(as, why);
    if (st != ST_OK)
        return st;
    *ret_as = TAKE(as);
    return ST_OK;
}

void as_free(struct as *as)
{
    if (as == NULL)
        return;
    key_unref(as->pop_master);
    free(as->issuer);
    free(as->token_endpoint);
    free(as->enroll_endpoint);
    free(as);
}

void as_freep(struct as **as)
{
    as_free(*as);
    *as = NULL;
}

enum status as_random_text(struct as *as, size_t bytes, struct buf *out, struct why *why)
{
    uint8_t raw[SECRET_BYTES];

    ASSERT(bytes <= sizeof raw);
    enum status st = as->env.random(as->env.ctx, raw, bytes);
    if (st == ST_OK) {
        base64url_encode(span_of(raw, bytes), out);
        st = buf_ok(out) ? ST_OK : ST_NO_MEMORY;
    }
    secret_wipe(raw, sizeof raw);
    return st == ST_OK ? ST_OK : reject(why, st, "as", "no random bytes", 0);
}

/* In a minute, of a memory that lasts about five; the ten keep small settings usable. */
static uint32_t replay_share(const struct as *as)
{
    return (uint32_t)(as->settings->auth_replay_max / 100 + 10);
}

static enum status check_replay_room(struct call *call)
{
    struct as *as = call->as;

    if (as->replays >= as->settings->auth_replay_max)
        return reject(&call->why, ST_QUOTA, "auth.replay_max", "too many assertions to remember", 0);
    int64_t wait = throttle_wait_s(&as->remembered, call->client_id, replay_share(as), call->now.mono);
    if (wait == 0)
        return ST_OK;
    call->out->retry_after_s = wait;
    return reject(&call->why, ST_QUOTA, "auth.replay_max", "too many assertions of this client in a minute", 0);
}

enum status replay_check(struct call *call, struct span who, struct span jti, struct wall_time expires)
{
    struct as *as = call->as;
    struct why *why = &call->why;
    uint8_t id[SHA256_LEN];
    struct buf b;
    enum status st = check_replay_room(call);

    if (st != ST_OK)
        return st;
    buf_init(&b, AS_BODY_MAX);
    put_prefixed16(&b, who);
    put_prefixed16(&b, jti);
    st = buf_ok(&b) ? sha256(buf_span(&b), id) : ST_NO_MEMORY;
    buf_done(&b);
    if (st != ST_OK)
        return reject(why, st, "RFC 7523 3", "the jti could not be remembered", 0);
    st = sql_run(as->sql, "INSERT INTO replay (expires_at, id) VALUES ($1, $2)", NULL, why, SQL_I64(expires.s),
                 SQL_BLOB(span_of(id, sizeof id)));
    if (st == ST_EXISTS)
        return reject(why, ST_BAD_CREDENTIAL, "RFC 7523 3", "this jti was used before", 0);
    if (st != ST_OK)
        return st;
    as->replays++;
    throttle_failed(&as->remembered, call->client_id, call->now.mono); /* here: counts what was remembered */
    return ST_OK;
}

void as_store_was(struct as *as, enum status st, const struct why *why)
{
    if (st == ST_IO && !as->store_failing) {
        as->store_failing = true;
        as->next_purge_ms = 0; /* which tries it */
        log_event(NULL, LOG_ERROR, "store_failing", F_WHY(st, *why));
    } else if (st == ST_OK && as->store_failing) {
        as->store_failing = false;
        log_event(NULL, LOG_NOTICE, "store_recovered");
    }
}

bool as_store_failing(const struct as *as)
{
    return as->store_failing;
}

enum status as_settle(struct as *as)
{
    struct why why = { 0 };
    enum status st = sql_sync(as->sql, &why);

    if (st == ST_OK) /* which says nothing of the disk: there may have been nothing to write */
        return ST_OK;
    as->failed_groups++;
    client_room_forget(&as->rooms); /* what was revoked in it is not */
    as_store_was(as, st, &why);
    if (load_counts(as, &why) != ST_OK) /* then the limits come a little early or late */
        log_event(NULL, LOG_WARNING, "store_error", F_STR("text", why.text));
    return st;
}

/* Whether the disk takes something again, without waiting for somebody who needs it. */
static void try_store(struct as *as)
{
    struct why why = { 0 };
    enum status st = sql_run(as->sql, "UPDATE status_update SET no = no", NULL, &why);

    if (st == ST_OK)
        st = as_settle(as);
    as_store_was(as, st, &why);
}

static enum status purge_all(struct as *as, struct now now, struct why *why)
{
    int64_t tokens = 0, replays = 0;
    bool more_tokens = false, more_changes = false;
    enum status st = token_row_purge(as->sql, now.wall, &tokens, &more_tokens, why);

    if (st != ST_OK)
        return st;
    as->tokens -= tokens;
    st = status_purge(as->sql, now.wall, &more_changes, why);
    if (st != ST_OK)
        return st;
    if (more_tokens || more_changes)
        as->next_purge_ms = now.mono.ms + AS_PURGE_MORE_MS;
    st = sql_run(as->sql, "DELETE FROM replay WHERE expires_at < $1", &replays, why, SQL_I64(now.wall.s));
    if (st != ST_OK)
        return st;
    as->replays -= replays;
    st = sql_run(as->sql, "DELETE FROM enrollment WHERE expires_at <= $1", NULL, why, SQL_I64(now.wall.s));
    if (st == ST_OK)
        st = refresh_purge(as->sql, now.wall, why);
    if (st == ST_OK)
        st = as->signer->ops->purge(as->signer, now.wall, why);
    if (tokens > 0)
        log_event(NULL, LOG_DEBUG, "purged", F_I64("tokens", tokens), F_I64("replays", replays));
    return st;
}

bool as_purge(struct as *as, struct now now)
{
    struct why why = { 0 };

    if (now.mono.ms < as->next_purge_ms)
        return false;
    if (as->store_failing)
        try_store(as);
    if (as->store_failing) {
        as->next_purge_ms = now.mono.ms + AS_TRY_MS;
        return false;
    }
    as->next_purge_ms = now.mono.ms + PURGE_EVERY_MS;
    as->work = true; /* what failed is tried again */
    enum status st = purge_all(as, now, &why);
    if (st != ST_OK) { /* what is over stays over: every look-up compares the time itself */
        log_event(NULL, LOG_WARNING, "purge_failed", F_WHY(st, why));
        as_store_was(as, st, &why);
    }
    return as->next_purge_ms < now.mono.ms + PURGE_EVERY_MS;
}
