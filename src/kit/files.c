#include "kit/case_priv.h"
#include "kit/files_priv.h"

#include "net/file.h"

#define FILE_MAX 65536

int64_t wall_s(void)
{
    return now_read().wall.s;
}

int64_t mono_ms(void)
{
    return now_read().mono.ms;
}

enum status read_jwk(const char *path, enum jwk_want want, struct js **ret_js, struct key **ret_key,
                     struct span *ret_kid, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf content;
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct jwk jwk = { 0 };

    buf_init(&content, FILE_MAX);
    enum status st = file_read(path, &content, why);
    if (st == ST_OK)
        st = js_parse(buf_span(&content), FILE_MAX, &js, why);
    if (st == ST_OK)
        st = jwk_parse(js, want, &jwk, why);
    if (st != ST_OK)
        return st;
    *ret_key = key_ref(jwk.key);
    *ret_kid = jwk.kid;
    *ret_js = TAKE(js);
    jwk_done(&jwk);
    return ST_OK;
}

enum status write_file(const char *path, struct span content, bool replace, struct why *why)
{
    return replace ? file_replace(path, content, 0600, why) : file_create(path, content, 0600, why);
}
