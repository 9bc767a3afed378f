#include "client/token_cache.h"

#include "client/key_priv.h"
#include "client/private_file.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "crypto/hash.h"
#include "jose/jwk.h"

#include <stdlib.h>
#include <unistd.h>

#define CLAUSE   "token cache"
#define FILE_MAX 262144
#define VERSION  1

static void put_part(struct buf *b, const char *part)
{
    /* Length first, so that no two purposes give the same bytes; absent is not empty. */
    put_u32(b, part == NULL ? UINT32_MAX : (uint32_t)strlen(part));
    put_str(b, part == NULL ? "" : part);
}

char *token_cache_path(const char *dir, const struct token_purpose *p)
{
    CLEANUP(buf_done)
    struct buf parts = { .max = FILE_MAX }, path = { .max = FILE_MAX };
    uint8_t hash[SHA256_LEN];
    size_t len;

    put_part(&parts, p->broker);
    put_part(&parts, p->as_url);
    put_part(&parts, p->client_id);
    put_part(&parts, p->audience);
    put_part(&parts, p->scope);
    put_part(&parts, p->key);
    if (!buf_ok(&parts) || sha256(buf_span(&parts), hash) != ST_OK)
        return NULL;
    put_fmt(&path, "%s/", dir);
    for (size_t i = 0; i < 16; i++)
        put_fmt(&path, "%02x", hash[i]);
    put_str(&path, ".json");
    return (char *)buf_take(&path, &len);
}

/* ---- text ---- */

static enum status set_text(struct js *obj, const char *name, const char *text)
{
    return text == NULL ? ST_OK : js_set_str(obj, name, span_of_str(text));
}

/* Not read back: tells whoever looks into the folder what a file is for. */
static enum status set_purpose(struct js *obj, const struct token_purpose *p)
{
    struct js *js = js_new_object();
    enum status st = set_text(js, "broker", p->broker);

    if (st == ST_OK)
        st = set_text(js, "as", p->as_url);
    if (st == ST_OK)
        st = set_text(js, "client_id", p->client_id);
    if (st == ST_OK)
        st = set_text(js, "audience", p->audience);
    if (st == ST_OK)
        st = set_text(js, "key", p->key);
    if (st != ST_OK) {
        js_unref(js);
        return st;
    }
    return js_set_take(obj, "for", js);
}

static enum status set_keys(struct js *obj, const struct symbolon_token *token)
{
    CLEANUP(buf_done)
    struct buf x5t = { .max = 128 };
    struct js *jwk = NULL;
    enum status st = set_text(obj, "rs_jwk", token->rs_jwk);

    if (st == ST_OK && token->has_rs_x5t) {
        base64url_encode(span_of(token->rs_x5t, sizeof token->rs_x5t), &x5t);
        st = buf_ok(&x5t) ? js_set_str(obj, "rs_x5t#S256", buf_span(&x5t)) : ST_NO_MEMORY;
    }
    if (st != ST_OK || token->key == NULL)
        return st;
    st = jwk_print(key_inside(token->key), SPAN_NONE, NULL, true, &jwk);
    return st == ST_OK ? js_set_take(obj, "key", jwk) : st;
}

enum status token_cache_print(const struct token_purpose *purpose, const struct symbolon_token *token,
                              struct buf *out)
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    enum status st = js_set_i64(obj, "version", VERSION);

    if (st == ST_OK)
        st = set_purpose(obj, purpose);
    if (st == ST_OK)
        st = set_text(obj, "access_token", token->access_token);
    if (st == ST_OK)
        st = js_set_i64(obj, "obtained_at", token->obtained_at_s);
    if (st == ST_OK)
        st = js_set_i64(obj, "expires_at", token->expires_at_s);
    if (st == ST_OK)
        st = set_text(obj, "scope", token->scope);
    if (st == ST_OK)
        st = set_text(obj, "kid", token->kid);
    if (st == ST_OK)
        st = set_text(obj, "refresh_token", token->refresh_token);
    if (st == ST_OK)
        st = set_keys(obj, token);
    return st == ST_OK ? js_print(obj, out) : st;
}

static enum status take_text(const struct js *obj, const char *name, char **ret)
{
    struct span text;

    if (!js_get_str(obj, name, &text))
        return ST_OK;
    *ret = span_dup_str(text);
    return *ret == NULL ? ST_NO_MEMORY : ST_OK;
}

static enum status take_keys(const struct js *obj, struct symbolon_token *out, struct why *why)
{
    CLEANUP(buf_done)
    struct buf x5t = { .max = SYMBOLON_X5T_LEN };
    const struct js *jwk_js = js_get(obj, "key");
    struct span text;
    struct jwk jwk;

    if (js_get_str(obj, "rs_x5t#S256", &text)) {
        if (base64url_decode(text, &x5t, why) != ST_OK || x5t.len != SYMBOLON_X5T_LEN)
            return reject(why, ST_MALFORMED, CLAUSE, "rs_x5t#S256 is not 32 bytes", 0);
        memcpy(out->rs_x5t, x5t.p, SYMBOLON_X5T_LEN);
        out->has_rs_x5t = true;
    }
    if (jwk_js == NULL)
        return ST_OK;
    enum status st = jwk_parse(jwk_js, JWK_SECRET, &jwk, why);
    if (st != ST_OK)
        return st;
    out->key = key_outside(key_ref(jwk.key));
    jwk_done(&jwk);
    return ST_OK;
}

static enum status take_token(const struct js *obj, int64_t now_s, struct symbolon_token *out, struct why *why)
{
    int64_t version;

    if (!js_get_i64(obj, "version", &version) || version != VERSION)
        return reject(why, ST_UNSUPPORTED, CLAUSE, "written by another version", 0);
    if (!js_get_i64(obj, "expires_at", &out->expires_at_s) ||
        !js_get_i64(obj, "obtained_at", &out->obtained_at_s))
        return reject(why, ST_MALFORMED, CLAUSE, "no times in it", 0);
    enum status st = take_text(obj, "refresh_token", &out->refresh_token);
    bool expired = out->expires_at_s <= now_s;
    if (st == ST_OK && expired && out->refresh_token == NULL)
        return reject(why, ST_TOKEN_EXPIRED, CLAUSE, "expired", 0);
    if (st == ST_OK && !expired)
        st = take_text(obj, "access_token", &out->access_token);
    if (st == ST_OK && !expired && (out->access_token == NULL || out->access_token[0] == '\0'))
        st = reject(why, ST_MALFORMED, CLAUSE, "no token in it", 0);
    if (st == ST_OK)
        st = take_text(obj, "scope", &out->scope);
    if (st == ST_OK)
        st = take_text(obj, "rs_jwk", &out->rs_jwk);
    if (st == ST_OK)
        st = take_text(obj, "kid", &out->kid);
    return st == ST_OK ? take_keys(obj, out, why) : st;
}

enum status token_cache_parse(struct span text, int64_t now_s, struct symbolon_token *ret_token,
                              struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *obj = NULL;
    struct symbolon_token token = { 0 };
    enum status st = js_parse(text, FILE_MAX, &obj, why);

    if (st == ST_OK)
        st = take_token(obj, now_s, &token, why);
    if (st != ST_OK) {
        symbolon_token_done(&token);
        return st;
    }
    *ret_token = token;
    return ST_OK;
}

/* ---- files ---- */

enum status token_cache_load(const char *path, int64_t now_s, struct symbolon_token *ret_token, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf text = { .max = FILE_MAX };
    enum status st = private_file_read(path, &text, why);

    return st == ST_OK ? token_cache_parse(buf_span(&text), now_s, ret_token, why) : st;
}

enum status token_cache_store(const char *dir, const char *path, const struct token_purpose *purpose,
                              const struct symbolon_token *token, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf text = { .max = FILE_MAX };
    enum status st = private_folder_own(dir, why);

    if (st == ST_OK)
        st = token_cache_print(purpose, token, &text);
    return st == ST_OK ? private_file_replace(path, buf_span(&text), why) : st;
}

void token_cache_drop(const char *path)
{
    unlink(path);
}
