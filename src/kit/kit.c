#include "kit/say_priv.h"

#include "base/defs.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "kit/as_talk_priv.h"
#include "kit/capture_priv.h"
#include "kit/files_priv.h"
#include "kit/play_as_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CASE_MEMORY (32u << 20)
#define SEEN_MAX    600

static const struct kit_theme *const themes[] = {
    &theme_connect,       &theme_exporter,   &theme_challenge,     &theme_reauth,  &theme_tokens,
    &theme_scope,         &theme_filters,    &theme_will,          &theme_session, &theme_expiry,
    &theme_introspection, &theme_authz_info, &theme_tls_known,     &theme_v311,    &theme_cwt,
    &theme_as_metadata,   &theme_as_token,   &theme_as_introspect, &theme_as_cbor,
};

static const char *const verdict_names[KIT_VERDICTS] = { "PASS", "FAIL", "N/A", "ERROR" };

const char *kit_verdict_name(enum kit_verdict verdict)
{
    return verdict_names[verdict];
}

/* ---- verdicts ---- */

bool going(const struct kit *k)
{
    return !k->decided;
}

static void PRINTF_LIKE(3, 0) decide(struct kit *k, enum kit_verdict verdict, const char *fmt, va_list args)
{
    char line[SEEN_MAX];

    if (k->decided)
        return;
    k->decided = true;
    k->verdict = verdict;
    (void)vsnprintf(line, sizeof line, fmt, args);
    if (k->seen.len > 0 && verdict != KIT_NOT_APPLICABLE) {
        put_str(&k->seen, "; then ");
        put_str(&k->seen, line);
    } else {
        buf_reset(&k->seen);
        put_str(&k->seen, line);
    }
}

void fail(struct kit *k, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    decide(k, KIT_FAIL, fmt, args);
    va_end(args);
}

void trouble(struct kit *k, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    decide(k, KIT_ERROR, fmt, args);
    va_end(args);
}

void not_applicable(struct kit *k, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    decide(k, KIT_NOT_APPLICABLE, fmt, args);
    va_end(args);
}

void saw(struct kit *k, const char *fmt, ...)
{
    char line[SEEN_MAX];
    va_list args;

    if (!going(k))
        return;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (k->seen.len + strlen(line) > SEEN_MAX)
        return;
    if (k->seen.len > 0)
        put_str(&k->seen, ", ");
    put_str(&k->seen, line);
}

bool check(struct kit *k, bool ok, const char *otherwise)
{
    if (!ok)
        fail(k, "%s", otherwise);
    return ok && going(k);
}

/* ---- texts, numbers, time ---- */

const char *text(struct kit *k, const char *fmt, ...)
{
    va_list args;
    char *all = NULL;

    va_start(args, fmt);
    int len = vasprintf(&all, fmt, args);
    va_end(args);
    char *kept = len < 0 ? NULL : arena_str(&k->arena, span_of(all, (size_t)len));
    free(all);
    if (kept == NULL)
        trouble(k, "out of memory");
    return kept == NULL ? "" : kept;
}

struct span bytes(struct kit *k, struct buf *b)
{
    struct span kept = buf_ok(b) ? arena_copy(&k->arena, buf_span(b)) : SPAN_NONE;

    buf_done(b);
    if (kept.p != NULL)
        return kept;
    trouble(k, "out of memory");
    return SPAN("");
}

struct span repeated(struct kit *k, const char *piece, size_t times)
{
    struct buf b;

    buf_init(&b, 8u << 20);
    for (size_t i = 0; i < times; i++)
        put_str(&b, piece);
    return bytes(k, &b);
}

struct span fill_random(struct kit *k, size_t len)
{
    struct buf b;
    uint8_t block[SHA256_LEN];

    buf_init(&b, len + SHA256_LEN);
    while (b.len < len) {
        enum status st;
        if (k->s->has_seed) {
            uint64_t from[2] = { k->s->seed, ++k->serial };
            st = sha256(span_of(from, sizeof from), block);
        } else {
            st = random_bytes(block, sizeof block);
        }
        if (st != ST_OK)
            trouble(k, "no random bytes");
        put_bytes(&b, span_of(block, sizeof block));
    }
    buf_truncate(&b, len);
    return bytes(k, &b);
}

const char *under_root(struct kit *k, const char *rest)
{
    return text(k, "%s/%s", k->s->root == NULL ? "kit" : k->s->root, rest);
}

const char *new_client_id(struct kit *k)
{
    struct span r = fill_random(k, 6);

    return text(k, "kit-%s", b64(k, r));
}

/* ---- needs ---- */

static bool has_need(struct kit *k, enum kit_need need)
{
    const struct kit_settings *s = k->s;

    switch (need) {
    case NEED_TOKEN:
        return k->issuer_key != NULL || (s->as_url != NULL && s->client_id != NULL);
    case NEED_MINT:
        return k->issuer_key != NULL;
    case NEED_SHARED:
        return k->issuer_key != NULL && k->shared_key != NULL;
    case NEED_PUBLIC:
        return s->public_topic != NULL;
    case NEED_PLAY_AS:
        return k->issuer_key != NULL && k->play_as != NULL;
    case NEED_OTHER:
        return k->other_key != NULL;
    case NEED_AS:
        return s->as_url != NULL;
    case NEED_CLIENT:
        return s->as_url != NULL && s->client_id != NULL && s->client_secret != NULL;
    case NEED_RS:
        return s->as_url != NULL && s->rs_id != NULL && s->rs_secret != NULL;
    case NEED_AUTH_TIMEOUT:
        return s->auth_timeout_ms > 0;
    case NEED_AUTHZ_INFO:
    case NEED_V311:
    case NEED_CWT:
        return true; /* probed on the wire */
    }
    return false;
}

static void check_needs(struct kit *k)
{
    /* clang-format off */
    static const struct { enum kit_need need; const char *what; } rows[] = {
        { NEED_TOKEN,        "needs tokens: --issuer-key, or --as with a client" },
        { NEED_MINT,         "needs --issuer-key, which the broker trusts" },
        { NEED_SHARED,       "needs --shared-key, under which tokens are encrypted for the broker" },
        { NEED_PUBLIC,       "needs --public-topic" },
        { NEED_PLAY_AS,      "needs --as-port: a broker that introspects at the kit" },
        { NEED_OTHER,        "needs --other-key: a second issuer" },
        { NEED_AS,           "needs an authorization server" },
        { NEED_CLIENT,       "needs a client registered there: --client-id, --client-secret" },
        { NEED_RS,           "needs somebody who may introspect: --rs-id, --rs-secret" },
        { NEED_AUTH_TIMEOUT, "needs --auth-timeout: how long the broker waits for an answer" },
    };
    /* clang-format on */
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if ((k->current->needs & rows[i].need) != 0 && !has_need(k, rows[i].need))
            not_applicable(k, "%s", rows[i].what);
    if (going(k) && (k->current->needs & NEED_V311) != 0 && !speaks_311(k))
        not_applicable(k, "the broker does not speak MQTT 3.1.1");
    if (going(k) && (k->current->needs & NEED_CWT) != 0 && !takes_cwt(k))
        not_applicable(k, "the broker does not take CWTs (RFC 9431 1: they MAY be used)");
    if (going(k) && (k->current->needs & NEED_AUTHZ_INFO) != 0 && !takes_authz_info(k))
        not_applicable(k, "the broker has no authz-info topic, or no connections without a token to reach it");
}

/* ---- one case ---- */

static void drop_things(struct kit *k)
{
    while (k->as_key_count > 0)
        key_unref(k->as_keys[--k->as_key_count]);
    while (k->peers != NULL) {
        struct peer *p = k->peers;
        peer_keep(p);
        peer_free(p);
    }
}

void case_drop(struct kit *k)
{
    drop_things(k);
    arena_done(&k->arena);
    arena_init(&k->arena, CASE_MEMORY);
    buf_reset(&k->seen);
    k->decided = false;
}

static void begin_case(struct kit *k, const struct kit_case *c)
{
    k->current = c;
    k->decided = false;
    k->verdict = KIT_PASS;
    buf_reset(&k->seen);
    capture_comment(k->capture, c->id);
    play_as_reset(k->play_as);
}

/* Runs `judge` although the case has its verdict; what it finds counts only if the case had passed. */
static void afterwards(struct kit *k, void (*judge)(struct kit *))
{
    bool decided = k->decided;
    enum kit_verdict verdict = k->verdict;

    if (decided && verdict != KIT_FAIL && verdict != KIT_PASS)
        return;
    k->decided = false;
    judge(k);
    if (decided) {
        k->decided = true;
        k->verdict = verdict;
    }
}

static void run_case(struct kit *k, const struct kit_theme *theme, const struct kit_case *c,
                     kit_report_fn *report, void *ctx)
{
    int64_t begin = mono_ms();

    begin_case(k, c);
    check_needs(k);
    if (going(k) && c->manner == RUDE && theme->subject == KIT_BROKER)
        witness_ready(k);
    if (going(k))
        c->run(k);
    if (c->manner == RUDE && theme->subject == KIT_BROKER)
        afterwards(k, witness_check);
    put_u8(&k->seen, 0);
    struct kit_result result = {
        .id = c->id,
        .theme = theme->name,
        .clauses = c->clauses,
        .title = c->title,
        .hostile = c->manner == RUDE,
        .verdict = k->verdict,
        .seen = buf_ok(&k->seen) ? (const char *)k->seen.p : "",
        .ms = mono_ms() - begin,
    };
    report(ctx, &result);
    drop_things(k);
    arena_done(&k->arena);
    arena_init(&k->arena, CASE_MEMORY);
}

static bool named(const char *const *list, size_t count, const char *theme, const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], theme) == 0 || strcmp(list[i], id) == 0)
            return true;
    return false;
}

static bool wanted(const struct kit_settings *s, const struct kit_theme *theme, const struct kit_case *c)
{
    return theme->subject == s->subject &&
           (s->only_count == 0 || named(s->only, s->only_count, theme->name, c->id)) &&
           !named(s->skip, s->skip_count, theme->name, c->id);
}

void kit_list(enum kit_subject subject, kit_report_fn *report, void *ctx)
{
    for (size_t t = 0; t < COUNT_OF(themes); t++)
        for (size_t i = 0; themes[t]->subject == subject && i < themes[t]->count; i++) {
            const struct kit_case *c = &themes[t]->cases[i];
            struct kit_result row = { .id = c->id,
                                      .theme = themes[t]->name,
                                      .clauses = c->clauses,
                                      .title = c->title,
                                      .hostile = c->manner == RUDE,
                                      .seen = "" };
            report(ctx, &row);
        }
}

/* ---- the run ---- */

static bool known(const char *name)
{
    for (size_t t = 0; t < COUNT_OF(themes); t++) {
        if (strcmp(name, themes[t]->name) == 0)
            return true;
        for (size_t i = 0; i < themes[t]->count; i++)
            if (strcmp(name, themes[t]->cases[i].id) == 0)
                return true;
    }
    return false;
}

static enum status check_names(const struct kit_settings *s, struct why *why)
{
    for (size_t i = 0; i < s->only_count; i++)
        if (!known(s->only[i]))
            return reject(why, ST_MALFORMED, "--only", "there is no such case or theme", i);
    for (size_t i = 0; i < s->skip_count; i++)
        if (!known(s->skip[i]))
            return reject(why, ST_MALFORMED, "--skip", "there is no such case or theme", i);
    return ST_OK;
}

static enum status make_key(struct kit *k, enum key_kind kind, struct key **ret)
{
    if (!k->s->has_seed)
        return key_generate(kind, ret);
    struct span s = fill_random(k, KEY_PART_LEN);
    uint8_t d[KEY_PART_LEN];
    memcpy(d, s.p, sizeof d);
    d[0] &= 0x7F; /* below the order of P-256 */
    switch (kind) {
    case KEY_ED25519:
        return key_new_ed25519_private(span_of(d, sizeof d), ret, NULL);
    case KEY_P256:
        return key_new_p256_private(span_of(d, sizeof d), ret, NULL);
    default:
        return key_new_secret(span_of(d, sizeof d), ret, NULL);
    }
}

static enum status make_keys(struct kit *k, struct why *why)
{
    static const enum key_kind kinds[POP_KINDS] = { KEY_ED25519, KEY_P256, KEY_SECRET };

    for (size_t i = 0; i < POP_KINDS; i++)
        if (make_key(k, kinds[i], &k->pop[i]) != ST_OK || make_key(k, kinds[i], &k->stranger[i]) != ST_OK)
            return reject(why, ST_INTERNAL, "key", "a key could not be made", 0);
    return ST_OK;
}

static enum status make_tls(struct kit *k, struct why *why)
{
    static const char *const mqtt[] = { "mqtt", NULL };
    struct tls_settings s = { .ca_file = k->s->ca_file, .alpn = mqtt };
    enum status st;

    if (k->s->subject != KIT_BROKER)
        return ST_OK;
    st = tls_config_new_client(&s, &k->tls, why);
    if (st != ST_OK)
        return st;
    s.priorities = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
    return tls_config_new_client(&s, &k->tls12, why);
}

static enum status begin(struct kit *k, struct why *why)
{
    const struct kit_settings *s = k->s;
    enum status st = check_names(s, why);

    if (st == ST_OK && s->issuer_key != NULL)
        st = read_jwk(s->issuer_key, JWK_PRIVATE, &k->issuer_js, &k->issuer_key, &k->issuer_kid, why);
    if (st == ST_OK && s->other_key != NULL)
        st = read_jwk(s->other_key, JWK_PRIVATE, &k->other_js, &k->other_key, &k->other_kid, why);
    if (st == ST_OK && s->shared_key != NULL)
        st = read_jwk(s->shared_key, JWK_SECRET, &k->shared_js, &k->shared_key, &k->shared_kid, why);
    if (st == ST_OK)
        st = make_keys(k, why);
    if (st == ST_OK)
        st = make_tls(k, why);
    if (st == ST_OK && s->as_port != 0)
        st = play_as_new(s->as_port, s->as_cert, s->as_key_file, &k->play_as, why);
    if (st == ST_OK && (s->capture_file != NULL || s->keylog_file != NULL)) {
        k->capture = capture_new();
        if (k->capture == NULL)
            st = reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    return st;
}

static void end(struct kit *k)
{
    drop_things(k);
    peer_free(k->witness);
    for (size_t i = 0; i < POP_KINDS; i++) {
        key_unref(k->pop[i]);
        key_unref(k->stranger[i]);
    }
    key_unref(k->issuer_key);
    key_unref(k->other_key);
    key_unref(k->shared_key);
    js_unref(k->issuer_js);
    js_unref(k->other_js);
    js_unref(k->shared_js);
    tls_config_unref(k->tls);
    tls_config_unref(k->tls12);
    play_as_free(k->play_as);
    capture_free(k->capture);
    arena_done(&k->arena);
    buf_done(&k->seen);
}

static enum status write_capture(struct kit *k, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf out;
    enum status st = ST_OK;

    buf_init(&out, 80u << 20);
    if (k->s->keylog_file != NULL)
        st = write_file(k->s->keylog_file, buf_span(capture_keys(k->capture)), true, why);
    if (st != ST_OK || k->s->capture_file == NULL)
        return st;
    if (capture_write(k->capture, &out) != ST_OK)
        return reject(why, ST_TOO_LARGE, "--capture", "the capture has grown too large: choose fewer cases", 0);
    return write_file(k->s->capture_file, buf_span(&out), true, why);
}

enum status kit_run(const struct kit_settings *settings, kit_report_fn *report, void *ctx, struct why *why)
{
    struct kit k = { .s = settings, .wait_ms = settings->wait_ms > 0 ? settings->wait_ms : 5000 };

    arena_init(&k.arena, CASE_MEMORY);
    buf_init(&k.seen, 4 * SEEN_MAX);
    enum status st = begin(&k, why);
    for (size_t t = 0; st == ST_OK && t < COUNT_OF(themes); t++)
        for (size_t i = 0; i < themes[t]->count; i++)
            if (wanted(settings, themes[t], &themes[t]->cases[i]))
                run_case(&k, themes[t], &themes[t]->cases[i], report, ctx);
    if (st == ST_OK && k.capture != NULL)
        st = write_capture(&k, why);
    end(&k);
    return st;
}
