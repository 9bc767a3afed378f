/* The signer in this process: Ed25519 keys as PEM files, one file per key, named by the key's thumbprint. */
#include "as/signer.h"
#include "base/log.h"
#include "jose/jwk.h"
#include "net/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_BYTES 4096
#define KEYS_MAX       16 /* one current, the rest retired within the life of a token */

struct local_key {
    struct signer_key about;
    struct key *key;
};

struct local {
    struct signer base;
    struct sql *sql;
    char *folder;
    struct local_key keys[KEYS_MAX]; /* the current one first */
    size_t count;
    bool
        stale; /* a rotation was undone, but what was before could not be read: nothing is signed until it is */
    struct wall_time now; /* of the last reading */
};

static struct local *local_of(struct signer *signer)
{
    return CONTAINER_OF(signer, struct local, base);
}

static enum status key_path(const struct local *l, const char *kid, char out[PATH_MAX_BYTES], struct why *why)
{
    int n = snprintf(out, PATH_MAX_BYTES, "%s/%s.pem", l->folder, kid);

    if (n < 0 || n >= PATH_MAX_BYTES)
        return reject(why, ST_IO, "as signer", "the path of the keys is too long", 0);
    return ST_OK;
}

enum status signer_issue_with(const struct key *key, struct span kid, const struct token_claims *claims,
                              const struct signer_wrap *wrap, struct buf *out, struct why *why)
{
    if (wrap->shared == NULL)
        return wrap->cwt ? token_issue_cwt_sign1(claims, key, kid, out, why)
                         : token_issue_jws(claims, key, kid, out, why);
    return wrap->cwt ? token_issue_cwt_encrypt0(claims, key, kid, wrap->shared, wrap->shared_kid, out, why)
                     : token_issue_jwe(claims, key, kid, wrap->shared, wrap->shared_kid, out, why);
}

static enum status local_reload(struct signer *signer, struct wall_time now, struct why *why);

static enum status local_issue(struct signer *signer, const struct token_claims *claims,
                               const struct signer_wrap *wrap, struct buf *out, struct why *why)
{
    struct local *l = local_of(signer);
    const struct local_key *current = &l->keys[0];
    enum status st = l->stale ? local_reload(signer, l->now, why) : ST_OK;

    if (st != ST_OK)
        return st;
    return signer_issue_with(current->key, span_of_str(current->about.kid), claims, wrap, out, why);
}

static enum status local_jwks(struct signer *signer, struct js **ret_jwks, struct why *why)
{
    struct local *l = local_of(signer);
    CLEANUP(js_unrefp)
    struct js *set = js_new_object();
    struct js *keys = js_new_array(); /* given to `set`, which takes it even when it fails */
    enum status st = js_set_take(set, "keys", keys);

    for (size_t i = 0; st == ST_OK && i < l->count; i++) {
        struct js *one = NULL;
        st = jwk_print(l->keys[i].key, span_of_str(l->keys[i].about.kid), "EdDSA", false, &one);
        if (st == ST_OK)
            st = js_set_str(one, "use", SPAN("sig"));
        if (st == ST_OK)
            st = js_append_take(keys, one);
        else
            js_unref(one);
    }
    if (st != ST_OK)
        return reject(why, st, "as signer", "the key set cannot be printed", 0);
    *ret_jwks = TAKE(set);
    return ST_OK;
}

static bool local_owns(struct signer *signer, const struct key *key)
{
    struct local *l = local_of(signer);

    for (size_t i = 0; i < l->count; i++)
        if (key_same(l->keys[i].key, key))
            return true;
    return false;
}

static enum status local_each(struct signer *signer, enum status (*fn)(void *ctx, const struct signer_key *key),
                              void *ctx)
{
    struct local *l = local_of(signer);
    enum status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < l->count; i++)
        st = fn(ctx, &l->keys[i].about);
    return st;
}

static enum status write_key(const struct local *l, const struct local_key *k, struct why *why)
{
    char path[PATH_MAX_BYTES];
    struct buf pem;
    enum status st = key_path(l, k->about.kid, path, why);

    if (st != ST_OK)
        return st;
    buf_init(&pem, KEY_PEM_MAX);
    st = key_write_pem(k->key, true, &pem);
    if (st == ST_OK)
        st = file_replace(path, buf_span(&pem), 0600, why);
    else
        st = reject(why, st, "as signer", "the new key cannot be written as PEM", 0);
    buf_wipe(&pem);
    return st;
}

/* The file first, then the row: a key without a row is garbage, a row without a key would stop the next start. */
static enum status make_key(struct local *l, struct wall_time now, struct local_key *ret, struct why *why)
{
    struct local_key k = { .about = { .created_at = now.s, .current = true } };
    enum status st = key_generate(KEY_ED25519, &k.key);

    if (st != ST_OK)
        return reject(why, st, "as signer", "a key could not be made", 0);
    st = jwk_thumbprint_text(k.key, k.about.kid);
    if (st == ST_OK)
        st = write_key(l, &k, why);
    if (st == ST_OK)
        st = sql_run(l->sql, "INSERT INTO signing_key (kid, created_at) VALUES ($1, $2)", NULL, why,
                     SQL_TEXT(span_of_str(k.about.kid)), SQL_I64(now.s));
    if (st != ST_OK) {
        key_unref(k.key);
        return st;
    }
    *ret = k;
    return ST_OK;
}

static void put_first(struct local *l, const struct local_key *fresh)
{
    memmove(&l->keys[1], &l->keys[0], l->count * sizeof l->keys[0]);
    l->keys[0] = *fresh;
    l->count++;
}

static void forget_key(struct local *l, size_t i)
{
    char path[PATH_MAX_BYTES];

    if (key_path(l, l->keys[i].about.kid, path, NULL) == ST_OK)
        unlink(path);
    key_unref(l->keys[i].key);
    l->count--;
    memmove(&l->keys[i], &l->keys[i + 1], (l->count - i) * sizeof l->keys[0]);
}

static enum status local_rotate(struct signer *signer, struct wall_time now, struct wall_time keep_until,
                                struct signer_key *ret_key, struct why *why)
{
    struct local *l = local_of(signer);
    struct local_key fresh;

    if (l->count == KEYS_MAX)
        return reject(why, ST_QUOTA, "as signer", "too many retired keys still protect live tokens", 0);
    enum status st = sql_run(l->sql, "UPDATE signing_key SET keep_until = $1 WHERE keep_until IS NULL", NULL,
                             why, SQL_I64(keep_until.s));
    if (st == ST_OK)
        st = make_key(l, now, &fresh, why);
    if (st != ST_OK)
        return st;
    put_first(l, &fresh);
    for (size_t i = 1; i < l->count; i++) {
        if (l->keys[i].about.current) {
            l->keys[i].about.current = false;
            l->keys[i].about.keep_until = keep_until.s;
        }
    }
    *ret_key = fresh.about;
    return ST_OK;
}

static enum status local_purge(struct signer *signer, struct wall_time now, struct why *why)
{
    struct local *l = local_of(signer);
    enum status st = l->stale ? local_reload(signer, now, why) : ST_OK;

    for (size_t i = l->count; st == ST_OK && i-- > 1;) {
        if (l->keys[i].about.keep_until > now.s)
            continue;
        st = sql_run(l->sql, "DELETE FROM signing_key WHERE kid = $1", NULL, why,
                     SQL_TEXT(span_of_str(l->keys[i].about.kid)));
        if (st != ST_OK)
            return st;
        log_event(NULL, LOG_NOTICE, "signing_key_forgotten", F_STR("kid", l->keys[i].about.kid));
        forget_key(l, i);
    }
    return st;
}

static void local_free(struct signer *signer)
{
    struct local *l = local_of(signer);

    for (size_t i = 0; i < l->count; i++)
        key_unref(l->keys[i].key);
    free(l->folder);
    free(l);
}

static enum status take_key_row(void *ctx, const struct sql_row *row)
{
    struct local *l = ctx;
    struct local_key k = { .about = {
                               .created_at = sql_i64(row, 1),
                               .current = sql_is_null(row, 2),
                               .keep_until = sql_i64(row, 2),
                           } };
    struct span kid = sql_bytes(row, 0);
    char path[PATH_MAX_BYTES];
    struct buf pem;

    if (l->count == KEYS_MAX || kid.len >= sizeof k.about.kid)
        return ST_QUOTA;
    memcpy(k.about.kid, kid.p, kid.len);
    enum status st = key_path(l, k.about.kid, path, NULL);
    if (st != ST_OK)
        return st;
    buf_init(&pem, KEY_PEM_MAX);
    st = file_read(path, &pem, NULL);
    if (st == ST_OK)
        st = key_read_pem(buf_span(&pem), &k.key, NULL);
    buf_wipe(&pem);
    if (st == ST_OK)
        l->keys[l->count++] = k;
    else if (st == ST_NOT_FOUND && !k.about.current && k.about.keep_until <= l->now.s)
        st = ST_OK; /* forgotten: the power went between its file and its row */
    else
        log_event(NULL, LOG_ERROR, "signing_key_unreadable", F_STR("path", path),
                  F_STR("status", status_name(st)));
    return st;
}

static enum status load_keys(struct local *l, struct wall_time now, struct why *why)
{
    l->now = now;
    /* The current one has no keep_until; then the youngest first. */
    enum status st = sql_query(l->sql,
                               "SELECT kid, created_at, keep_until FROM signing_key"
                               " ORDER BY CASE WHEN keep_until IS NULL THEN 0 ELSE 1 END, created_at DESC",
                               take_key_row, l, NULL);
    if (st != ST_OK)
        return reject(why, st, "as signer", "a signing key named in the database cannot be read", 0);
    if (l->count > 0 && l->keys[0].about.current)
        return ST_OK;
    struct local_key fresh;
    st = make_key(l, now, &fresh, why);
    if (st != ST_OK)
        return st;
    put_first(l, &fresh);
    log_event(NULL, LOG_NOTICE, "signing_key_made", F_STR("kid", fresh.about.kid));
    return ST_OK;
}

static enum status local_reload(struct signer *signer, struct wall_time now, struct why *why)
{
    struct local *l = local_of(signer);
    struct local fresh = { .base = l->base, .sql = l->sql, .folder = l->folder };
    enum status st = load_keys(&fresh, now, why);
    struct local *old = st == ST_OK ? l : &fresh;

    while (old->count > 0)
        key_unref(old->keys[--old->count].key);
    if (st == ST_OK)
        *l = fresh;
    l->stale = st != ST_OK;
    l->now = now;
    return st;
}

static const struct signer_ops local_ops = {
    local_issue, local_jwks, local_owns, local_each, local_rotate, local_reload, local_purge, local_free,
};

enum status signer_local_new(const char *folder, struct sql *sql, struct wall_time now,
                             struct signer **ret_signer, struct why *why)
{
    struct local *l = calloc(1, sizeof *l);

    if (l == NULL)
        return reject(why, ST_NO_MEMORY, "as signer", "out of memory", 0);
    l->base.ops = &local_ops;
    l->sql = sql;
    l->folder = span_dup_str(span_of_str(folder));
    enum status st = l->folder == NULL ? reject(why, ST_NO_MEMORY, "as signer", "out of memory", 0) : ST_OK;
    if (st == ST_OK && mkdir(folder, 0700) != 0 && errno != EEXIST)
        st = reject(why, ST_IO, "as signer", "the folder for keys cannot be made", 0);
    if (st == ST_OK)
        st = load_keys(l, now, why);
    if (st != ST_OK) {
        local_free(&l->base);
        return st;
    }
    *ret_signer = &l->base;
    return ST_OK;
}

void signer_free(struct signer *signer)
{
    if (signer != NULL)
        signer->ops->free(signer);
}

void signer_freep(struct signer **signer)
{
    signer_free(*signer);
    *signer = NULL;
}
