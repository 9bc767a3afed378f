#include "shard/status_answer.h"

#include "codec/base64.h"
#include "codec/json.h"

#define SHA_256       1 /* RFC 6920 9.4 */
#define HASH_TEXT_MAX 128

static enum status refuse(struct why *why, const char *text)
{
    return reject(why, ST_MALFORMED, "RFC 9770 6", text, 0);
}

static enum status take_hash(const struct js *js, struct buf *to, struct why *why)
{
    CLEANUP(buf_done)
    struct buf raw;
    struct span text;
    enum status st;

    buf_init(&raw, HASH_TEXT_MAX);
    if (!js_as_str(js, &text))
        return refuse(why, "a token hash is no text");
    st = base64url_decode(text, &raw, NULL);
    if (st == ST_NO_MEMORY)
        return reject(why, st, "memory", "out of memory", 0);
    if (st != ST_OK || raw.len < 2)
        return refuse(why, "a token hash is not base64url of one");
    if (raw.p[0] != SHA_256)
        return ST_OK;
    if (raw.len != 1 + TOKEN_HASH_LEN)
        return refuse(why, "a token hash of another length than SHA-256 gives");
    put_bytes(to, span_cut(buf_span(&raw), 1, TOKEN_HASH_LEN));
    return buf_ok(to) ? ST_OK : reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
}

static enum status take_set(const struct js *set, struct buf *to, struct why *why)
{
    enum status st = ST_OK;

    if (!js_is(set, JS_ARRAY))
        return refuse(why, "a set of token hashes is no list");
    for (size_t i = 0; st == ST_OK && i < js_size(set); i++)
        st = take_hash(js_at(set, i), to, why);
    return st;
}

/* The newest comes first: read backwards, so that the order is that in which things happened. */
static enum status take_diffs(const struct js *diffs, struct status_answer *out, struct why *why)
{
    enum status st = ST_OK;

    if (!js_is(diffs, JS_ARRAY))
        return refuse(why, "diff_set is no list");
    for (size_t i = js_size(diffs); st == ST_OK && i > 0; i--) {
        const struct js *entry = js_at(diffs, i - 1);
        if (!js_is(entry, JS_ARRAY) || js_size(entry) != 2)
            return refuse(why, "an entry of diff_set is no pair");
        st = take_set(js_at(entry, 0), &out->removed, why);
        if (st == ST_OK)
            st = take_set(js_at(entry, 1), &out->revoked, why);
    }
    return st;
}

static enum status take_cursor(const struct js *js, struct status_answer *out, struct why *why)
{
    const struct js *cursor = js_get(js, "cursor");

    out->has_cursor = js_as_i64(cursor, &out->cursor);
    if (out->has_cursor && out->cursor < 0)
        return refuse(why, "a cursor below zero");
    if (!out->has_cursor && cursor != NULL && !js_is(cursor, JS_NULL))
        return refuse(why, "cursor is neither a whole number nor null");
    if (js_get(js, "more") != NULL && !js_get_bool(js, "more", &out->more))
        return refuse(why, "more is neither true nor false");
    return ST_OK;
}

static enum status take_answer(const struct js *js, struct status_answer *out, struct why *why)
{
    const struct js *full = js_get(js, "full_set"), *diff = js_get(js, "diff_set");
    const struct js *changed = js_get(js, "changed");
    enum status st;

    if ((full == NULL) == (diff == NULL))
        return refuse(why, "neither full_set nor diff_set, or both");
    out->full = full != NULL;
    st = out->full ? take_set(full, &out->revoked, why) : take_diffs(diff, out, why);
    if (st == ST_OK && changed != NULL)
        st = take_set(changed, &out->changed, why);
    if (st == ST_OK)
        st = take_cursor(js, out, why);
    return st;
}

enum status status_answer_parse(struct span body, struct status_answer *out, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    enum status st;

    *out = (struct status_answer){ .full = false };
    buf_init(&out->revoked, STATUS_ANSWER_MAX);
    buf_init(&out->removed, STATUS_ANSWER_MAX);
    buf_init(&out->changed, STATUS_ANSWER_MAX);
    st = js_parse(body, STATUS_ANSWER_MAX, &js, why);
    return st == ST_OK ? take_answer(js, out, why) : st;
}

void status_answer_done(struct status_answer *answer)
{
    buf_done(&answer->revoked);
    buf_done(&answer->removed);
    buf_done(&answer->changed);
}
