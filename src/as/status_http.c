/* The token revocation list over HTTPS: RFC 9770, with a member of our own for tokens that permit less than before, and
 * with requests that wait for news (docs/as-http.md). Two halves, so that a request can wait in between: who asks, and
 * from where on; then what there is to tell. */
#include "as/client_auth.h"
#include "as/status.h"
#include "as/status_print.h"

#include <stdio.h>
#include <strings.h>

#define WAIT_MAX_S       60
#define ENTRIES_MAX      (64 * 1024 * 1024) /* bytes of memory while an answer is made */
#define TOO_LONG_RETRY_S 60

/* RFC 9770 10 */
enum trl_error { TRL_BAD_VALUE = 0, TRL_BAD_SET = 1, TRL_OUT_OF_BOUND = 2, TRL_FINE = -1 };

static struct span query(const struct call *call, const char *name)
{
    const struct as_request *request = call->request;
    return request->query != NULL ? request->query(request->query_ctx, name) : SPAN_NONE;
}

/* A secret does not belong into a URL (RFC 6749 2.3.1). */
static enum status params_of_query(struct call *call, struct js **ret_params)
{
    static const char *const names[] = { "client_id", "client_assertion", "client_assertion_type" };
    CLEANUP(js_unrefp)
    struct js *params = js_new_object();
    enum status st = params != NULL ? ST_OK : ST_NO_MEMORY;

    for (size_t i = 0; st == ST_OK && i < COUNT_OF(names); i++) {
        struct span value = query(call, names[i]);
        if (value.len > 0)
            st = js_set_str(params, names[i], value);
    }
    if (st != ST_OK)
        return reject(&call->why, st == ST_NO_MEMORY ? st : ST_MALFORMED, "RFC 9770 5",
                      "a query parameter is not text", 0);
    *ret_params = TAKE(params);
    return ST_OK;
}

/* Digits only; false also beyond `max`. */
static bool number_of(struct span text, int64_t max, int64_t *ret)
{
    int64_t n = 0;

    if (text.len == 0 || text.len > 18)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        n = n * 10 + (text.p[i] - '0');
    }
    *ret = n;
    return n <= max;
}

static struct span trimmed(struct span s)
{
    while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = span_cut(s, 1, s.len);
    while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* "wait=10" among the preferences (RFC 7240 4.3). What cannot be read is not honoured, which is always allowed. */
static int64_t wait_of(struct span prefer)
{
    for (size_t at = 0; at < prefer.len;) {
        size_t comma = span_find(prefer, ',', at);
        struct span one = span_cut(prefer, at, comma);
        size_t equals = span_find(one, '=', 0);
        struct span name = trimmed(span_cut(one, 0, equals));
        int64_t seconds = 0;
        at = comma + 1;
        if (equals >= one.len || name.len != 4 || strncasecmp((const char *)name.p, "wait", 4) != 0)
            continue;
        struct span value = span_cut(one, equals + 1, one.len);
        value = trimmed(span_cut(value, 0, span_find(value, ';', 0)));
        if (!number_of(value, INT64_MAX, &seconds))
            return 0;
        return seconds < WAIT_MAX_S ? seconds : WAIT_MAX_S;
    }
    return 0;
}

static bool contains(struct span text, struct span what)
{
    for (size_t i = 0; i + what.len <= text.len; i++)
        if (span_eq(span_cut(text, i, i + what.len), what))
            return true;
    return false;
}

static enum trl_error read_query(const struct call *call, struct as_wait *w)
{
    struct span diff = query(call, "diff"), cursor = query(call, "cursor");

    w->diff = -1;
    w->has_cursor = cursor.p != NULL;
    w->cursor = 0;
    if (diff.p != NULL && !number_of(diff, STATUS_INDEX_MAX, &w->diff)) /* RFC 9770 5.3, whatever the cursor */
        return TRL_BAD_VALUE;
    if (cursor.p != NULL && diff.p == NULL)
        return TRL_BAD_SET;
    if (cursor.p != NULL && !number_of(cursor, STATUS_INDEX_MAX, &w->cursor)) {
        w->cursor = -1;
        return TRL_BAD_VALUE;
    }
    return TRL_FINE;
}

static enum status answer_error(struct call *call, const struct as_wait *w, enum trl_error error,
                                const struct status_place *place)
{
    static const char *const titles[] = { "Invalid parameter value", "Invalid set of parameters",
                                          "Out of bound cursor value" };
    const bool with_cursor = error == TRL_BAD_VALUE && w->cursor < 0;
    struct as_response *out = call->out;
    struct printer p = { .out = &out->body, .cbor = w->cbor };

    buf_reset(&out->body);
    print_map(&p, 3);
    print_name(&p, "title", -1);
    print_text(&p, titles[error]);
    print_name(&p, w->cbor ? "response-code" : "status", -4);
    print_number(&p, 400);
    print_name(&p, "ace-trl-error", 1); /* RFC 9770 14.3 */
    print_map(&p, with_cursor ? 2 : 1);
    print_name(&p, "error-id", 0);
    print_number(&p, error);
    if (with_cursor) {
        print_name(&p, "cursor", 1);
        if (place->any)
            print_number(&p, place->last);
        else
            print_null(&p);
    }
    print_end(&p);
    print_end(&p);
    out->code = 400;
    out->content_type = w->cbor ? "application/concise-problem-details+cbor" : "application/problem+json";
    log_event(NULL, LOG_INFO, "request_refused", F_STR("path", "/trl"), F_I64("code", 400),
              F_STR("error", titles[error]), F_STR("client_id", w->reader));
    return buf_ok(&out->body) ? ST_OK : reject(&call->why, ST_NO_MEMORY, "RFC 9770 5.1", "out of memory", 0);
}

/* A part of the list would be taken for all of it. Changes can be asked for still, and less is on it with time. */
static enum status answer_too_long(struct call *call, const struct as_wait *w)
{
    static const char title[] = "The list is longer than an answer may be";
    struct as_response *out = call->out;
    struct printer p = { .out = &out->body, .cbor = w->cbor };

    buf_reset(&out->body);
    out->etag[0] = '\0';
    print_map(&p, 2);
    print_name(&p, "title", -1);
    print_text(&p, title);
    print_name(&p, w->cbor ? "response-code" : "status", -4);
    print_number(&p, 503);
    print_end(&p);
    out->code = 503;
    out->retry_after_s = TOO_LONG_RETRY_S;
    out->content_type = w->cbor ? "application/concise-problem-details+cbor" : "application/problem+json";
    log_event(NULL, LOG_ERROR, "request_refused", F_STR("path", "/trl"), F_I64("code", 503),
              F_STR("error", title), F_STR("client_id", w->reader));
    return ST_OK;
}

/* ---- what there is to tell ---- */

struct entry {
    int64_t index;
    enum status_what what;
    uint8_t hash[STATUS_HASH_LEN];
};

static enum status take_entry(void *ctx, int64_t index, enum status_what what, struct span hash)
{
    struct entry e = { .index = index, .what = what };

    ASSERT(hash.len == sizeof e.hash);
    memcpy(e.hash, hash.p, sizeof e.hash);
    put_bytes(ctx, span_of(&e, sizeof e));
    return buf_status(ctx);
}

struct entries {
    const struct entry *at;
    size_t count;
};

/* `index` -1: of whatever change. */
static void print_hashes(struct printer *p, struct entries all, int64_t index, enum status_what what)
{
    size_t count = 0;

    for (size_t i = 0; i < all.count; i++)
        count += all.at[i].what == what && (index < 0 || all.at[i].index == index);
    print_array(p, count);
    for (size_t i = 0; i < all.count; i++)
        if (all.at[i].what == what && (index < 0 || all.at[i].index == index))
            print_bytes(p, span_of(all.at[i].hash, STATUS_HASH_LEN));
    print_end(p);
}

static bool any_changed(struct entries all)
{
    for (size_t i = 0; i < all.count; i++)
        if (all.at[i].what == STATUS_CHANGED)
            return true;
    return false;
}

static void print_cursor(struct printer *p, bool any, int64_t cursor)
{
    print_name(p, "cursor", 2);
    if (any)
        print_number(p, cursor);
    else
        print_null(p);
}

static void print_changed(struct printer *p, struct entries all)
{
    if (!any_changed(all))
        return;
    print_name(p, "changed", -65537); /* private use: RFC 9770 14.4 */
    print_hashes(p, all, -1, STATUS_CHANGED);
}

static void print_full(struct printer *p, struct entries all, const struct status_place *place)
{
    print_map(p, 2 + any_changed(all));
    print_name(p, "full_set", 0);
    print_hashes(p, all, -1, STATUS_REVOKED);
    print_cursor(p, place->any, place->last);
    print_changed(p, all);
    print_end(p);
}

/* Which of a reader's changes a diff query is told: RFC 9770 8.2. */
struct span_of_changes {
    int64_t first, last; /* none: first > last */
    int64_t cursor;
    bool has_cursor, more;
};

static struct span_of_changes choose(const struct as_wait *w, const struct status_place *place)
{
    const int64_t num = w->diff == 0 || w->diff > STATUS_CHANGES_MAX ? STATUS_CHANGES_MAX : w->diff;
    struct span_of_changes c = { .first = 0, .last = -1 };

    if (!place->any) /* 8.2.1 */
        return c;
    if (w->has_cursor && w->cursor + 1 < place->floor) { /* 8.2.3 case A: something is missing in between */
        c.more = true;
        return c;
    }
    int64_t begin = w->has_cursor ? w->cursor + 1 : place->floor;
    if (begin < place->last - num + 1)
        begin = place->last - num + 1;
    c.first = begin;
    c.last = place->last - begin + 1 > STATUS_BATCH_MAX ? begin + STATUS_BATCH_MAX - 1 : place->last;
    c.has_cursor = true;
    c.cursor = c.last;
    c.more = c.last < place->last;
    return c;
}

static void print_diff(struct printer *p, struct entries all, const struct span_of_changes *c)
{
    size_t at = 0;

    print_map(p, 3 + any_changed(all));
    print_name(p, "diff_set", 1);
    print_array(p, c->first > c->last ? 0 : (size_t)(c->last - c->first + 1));
    for (int64_t index = c->last; index >= c->first; index--) { /* the newest first, as the entries are */
        struct entries one = { .at = all.at + at };
        for (; at < all.count && all.at[at].index == index; at++)
            one.count++;
        print_array(p, 2);
        print_hashes(p, one, index, STATUS_OVER);
        print_hashes(p, one, index, STATUS_REVOKED);
        print_end(p);
    }
    print_end(p);
    print_cursor(p, c->has_cursor, c->cursor);
    print_name(p, "more", 3);
    print_bool(p, c->more);
    print_changed(p, all);
    print_end(p);
}

static enum status tell(struct call *call, const struct as_wait *w, bool is_rs,
                        const struct status_place *place)
{
    const struct span reader = span_of_str(w->reader);
    const struct span_of_changes c = choose(w, place);
    struct as_response *out = call->out;
    struct printer p = { .out = &out->body, .cbor = w->cbor };
    struct buf found;
    enum status st = ST_OK;

    buf_init(&found, ENTRIES_MAX);
    buf_reset(&out->body);
    out->body.max = call->as->trl_max;
    if (w->diff < 0)
        st = status_each_now(call->as->sql, reader, is_rs, call->now.wall, take_entry, &found, &call->why);
    else if (c.first <= c.last)
        st = status_each(call->as->sql, reader, c.first, c.last, take_entry, &found, &call->why);
    struct entries all = { (const struct entry *)(const void *)found.p, found.len / sizeof(struct entry) };
    if (st == ST_OK && w->diff < 0)
        print_full(&p, all, place);
    else if (st == ST_OK)
        print_diff(&p, all, &c);
    buf_done(&found);
    if (st == ST_TOO_LARGE || (st == ST_OK && !buf_ok(&out->body)))
        return answer_too_long(call, w);
    out->code = 200;
    out->content_type = w->cbor ? "application/ace-trl+cbor" : "application/ace-trl+json";
    return st;
}

/* Stands for what a full query would be told; another one after a change, also after the asker was registered anew. */
static void make_etag(const struct as_wait *w, const struct status_place *place, char *etag)
{
    snprintf(etag, AS_ETAG_MAX, "W/\"%c%lld\"", w->cbor ? 'c' : 'j', (long long)place->update_no);
}

/* ---- the two halves ---- */

static enum status begin(struct call *call, const struct principal *asker)
{
    struct as_response *out = call->out;
    struct as_wait w = { .cbor = contains(call->request->accept, SPAN("application/ace-trl+cbor")) &&
                                 !contains(call->request->accept, SPAN("application/ace-trl+json")) };
    struct status_place place;
    enum status st = status_place(call->as->sql, asker->id, &place, &call->why);
    char opaque[AS_ETAG_MAX];

    if (st != ST_OK)
        return st;
    w.is_rs = asker->kind == PRINCIPAL_RS;
    ASSERT(asker->id.len < sizeof w.reader);
    memcpy(w.reader, asker->id.p, asker->id.len);
    enum trl_error error = read_query(call, &w);
    if (error == TRL_FINE && w.has_cursor && place.any && w.cursor > place.last)
        error = TRL_OUT_OF_BOUND;
    if (error != TRL_FINE)
        return answer_error(call, &w, error, &place);
    w.known = place.any ? place.update_no : -1;
    const struct span_of_changes c = choose(&w, &place);
    make_etag(&w, &place, opaque);
    const bool full_known = w.diff < 0 && contains(call->request->if_none_match, span_of_str(opaque + 2));
    const bool nothing = w.diff < 0 ? full_known : c.first > c.last && !c.more;
    const int64_t wait_s = wait_of(call->request->prefer);
    if (nothing && wait_s > 0) {
        w.wait_s = wait_s;
        out->wait = w;
        return ST_OK;
    }
    if (w.diff < 0)
        memcpy(out->etag, opaque, sizeof opaque);
    if (!full_known)
        return tell(call, &w, asker->kind == PRINCIPAL_RS, &place);
    out->code = 304;
    return ST_OK;
}

enum status trl_call(struct call *call)
{
    CLEANUP(js_unrefp)
    struct js *params = NULL;
    struct auth auth = { 0 };
    enum status st = params_of_query(call, &params);

    if (st != ST_OK)
        return st;
    st = client_auth(call, params, &auth);
    if (st == ST_OK)
        st = begin(call, &auth.principal);
    auth_done(&auth);
    return st;
}

int64_t as_status_version(struct as *as)
{
    int64_t no = 0;
    struct why why = { 0 };

    return status_newest(as->sql, &no, &why) == ST_OK ? no : -1;
}

bool as_wait_due(struct as *as, const struct as_wait *wait)
{
    struct status_place place;
    struct why why = { 0 };

    /* Cannot be read: the answer will say so. */
    return status_place(as->sql, span_of_str(wait->reader), &place, &why) != ST_OK ||
           (place.any ? place.update_no : -1) != wait->known;
}

/* Who was removed while it waited is told no more. */
enum status trl_wait_over(struct call *call, const struct as_wait *wait)
{
    struct status_place place;
    struct principal asker;
    enum status st =
        registry_principal(call->as->sql, span_of_str(wait->reader), &call->arena, &asker, &call->why);

    if (st == ST_NOT_FOUND)
        return reject(&call->why, ST_BAD_CREDENTIAL, "RFC 6749 2.3.1", "client unknown or credential wrong", 0);
    if (st == ST_OK)
        st = status_place(call->as->sql, asker.id, &place, &call->why);
    if (st != ST_OK)
        return st;
    call->out->waited_s = wait->wait_s;
    if (wait->diff < 0)
        make_etag(wait, &place, call->out->etag);
    if (wait->diff >= 0 || (place.any ? place.update_no : -1) != wait->known)
        return tell(call, wait, asker.kind == PRINCIPAL_RS, &place);
    call->out->code = 304;
    return ST_OK;
}
