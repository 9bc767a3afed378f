#include "as/admin_login.h"

#include "as/as.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "crypto/random.h"
#include "crypto/secret.h"

#define CLAUSE "as admin login"

enum status admin_login_init(struct admin_login *login, struct span text, int64_t failures_per_minute,
                             struct why *why)
{
    struct hash_key key;
    struct buf bytes;
    enum status st = random_bytes(&key, sizeof key);

    if (st != ST_OK)
        return reject(why, st, CLAUSE, "no random bytes", 0);
    throttle_init(&login->throttle, key);
    login->failures_per_minute = (uint32_t)failures_per_minute;
    login->possible = text.len > 0;
    if (!login->possible)
        return ST_OK;
    if (text.p[text.len - 1] == '\n')
        text = span_cut(text, 0, text.len - 1);
    buf_init(&bytes, ADMIN_CREDENTIAL_BYTES);
    if (base64url_decode(text, &bytes, NULL) != ST_OK || bytes.len != ADMIN_CREDENTIAL_BYTES)
        st = reject(why, ST_MALFORMED, "admin.credential",
                    "the file does not hold one line of base64url of 32 bytes", 0);
    buf_wipe(&bytes);
    return st == ST_OK ? sha256(text, login->hash) : st;
}

static bool is_login_member(void *ctx UNUSED, struct span name, const struct js *value UNUSED)
{
    return span_eq_str(name, "cmd") || span_eq_str(name, "credential");
}

/* Hashes are compared: neither time nor length says anything about the credential. */
static bool matches(const struct admin_login *login, struct span credential)
{
    uint8_t hash[SHA256_LEN];
    bool same = login->possible && sha256(credential, hash) == ST_OK &&
                secret_eq(span_of(hash, sizeof hash), span_of(login->hash, sizeof login->hash));

    secret_wipe(hash, sizeof hash);
    return same;
}

enum status admin_login_try(struct admin_login *login, struct span line, struct span who, struct mono_time now,
                            struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *in = NULL;
    struct span cmd, credential;

    if (js_parse(line, AS_ADMIN_LINE_MAX, &in, NULL) != ST_OK || !js_get_str(in, "cmd", &cmd) ||
        !span_eq_str(cmd, "login"))
        return reject(why, ST_DENIED, CLAUSE, "a caller of another user must log in first", 0);
    if (!js_object_each(in, is_login_member, NULL) || !js_get_str(in, "credential", &credential))
        return reject(why, ST_MALFORMED, CLAUSE, "login has one member, the credential", 0);
    if (throttle_wait_s(&login->throttle, who, login->failures_per_minute, now) > 0)
        return reject(why, ST_QUOTA, CLAUSE, "too many wrong credentials: wait a minute", 0);
    if (matches(login, credential))
        return ST_OK;
    throttle_failed(&login->throttle, who, now);
    return reject(why, ST_BAD_CREDENTIAL, CLAUSE, "this is not the admin credential", 0);
}
