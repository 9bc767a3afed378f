#include "shard/restore.h"

#include "scope/scope.h"
#include "shard/durable_post.h"
#include "shard/restore_index.h"
#include "shard/route.h"
#include "shard/shard_priv.h"
#include "shard/share.h"
#include "shard/token_store.h"

#include <stdlib.h>

#define PROGRESS_EVERY 8192
#define NUMBER_MAX     (UINT64_C(1) << 62) /* nobody has counted so far, and so that nobody's next one is 0 */
#define REVOKED_MAX    ((size_t)1 << 30)

struct entry {
    struct span key, value;
};

struct restore {
    struct shard *const *shards;
    unsigned count;
    const struct restore_disk *disk;
    struct now now;
    restore_progress_fn *progress;
    void *progress_ctx;
    struct restore_report *report;

    enum restore_kind kind; /* being read */
    bool has_before;
    struct record_meta before;
    struct scope *nothing;
    struct share_restore *groups;
    struct restore_sessions sessions;
    struct restore_bodies bodies;
    uint64_t last_session, last_body, last_retained;
    struct kv_batch clean; /* what is removed, and the new meta */
};

const char *restore_kind_name(enum restore_kind kind)
{
    static const char *const names[RESTORE_KINDS] = {
#define RESTORE_NAME(name, text) [RESTORE_##name] = text,
        RESTORE_LIST(RESTORE_NAME)
#undef RESTORE_NAME
    };

    return names[kind];
}

/* ---- what becomes of a record that does not come back ---- */

static struct restore_count *counts(struct restore *r)
{
    return &r->report->kinds[r->kind];
}

static enum status orphan(struct restore *r, const struct entry *e)
{
    counts(r)->orphans++;
    return kv_batch_del(&r->clean, e->key);
}

static enum status over(struct restore *r, const struct entry *e)
{
    counts(r)->over++;
    return kv_batch_del(&r->clean, e->key);
}

static enum status refused(struct restore *r, const struct entry *e, const struct why *why)
{
    if (r->report->refused.clause == NULL)
        r->report->refused = *why;
    counts(r)->refused++;
    return kv_batch_del(&r->clean, e->key);
}

/* Nothing is destroyed that somebody might still make sense of. */
static enum status set_aside(struct restore *r, const struct entry *e)
{
    uint8_t key[KV_KEY_MAX] = { RECORD_ASIDE };
    enum status st;

    if (e->key.len >= KV_KEY_MAX)
        return ST_OK; /* it stays where it is */
    memcpy(key + 1, e->key.p, e->key.len);
    st = kv_batch_put(&r->clean, span_of(key, e->key.len + 1), e->value);
    return st == ST_OK ? kv_batch_del(&r->clean, e->key) : st;
}

static enum status unreadable(struct restore *r, const struct entry *e, const struct why *why)
{
    if (r->report->unreadable.clause == NULL)
        r->report->unreadable = *why;
    counts(r)->unreadable++;
    return set_aside(r, e);
}

static enum status nonsense(struct restore *r, const struct entry *e, const char *text)
{
    struct why why = { "store record", text, 0 };

    return unreadable(r, e, &why);
}

/* What is not ST_OK, by what it means for the start. */
static enum status not_taken(struct restore *r, const struct entry *e, enum status st, const struct why *why)
{
    struct why plain = { "store record", status_text(st), 0 };

    if (st == ST_NO_MEMORY)
        return st;
    if (why->clause != NULL)
        plain = *why;
    if (st == ST_QUOTA || st == ST_ELSEWHERE || st == ST_TOO_LARGE || st == ST_BAD_TOPIC)
        return refused(r, e, &plain);
    return unreadable(r, e, &plain);
}

static enum status taken(struct restore *r)
{
    counts(r)->restored++;
    return ST_OK;
}

static void see_number(uint64_t *last, uint64_t number)
{
    if (number > *last && number < NUMBER_MAX)
        *last = number;
}

/* ---- one kind after the other ---- */

static enum status take_group(struct restore *r, const struct entry *e)
{
    struct why why = { 0 };
    struct record_group record;
    enum status st = record_read_group(e->key, e->value, &record, &why);

    if (st == ST_OK && record.group >= NUMBER_MAX)
        return nonsense(r, e, "a number out of range");
    if (st == ST_OK)
        st = share_restore_group(r->groups, &record);
    return st == ST_OK ? taken(r) : not_taken(r, e, st, &why);
}

static bool is_over(const struct restore *r, const struct record_session *record)
{
    int64_t wall_ms = r->now.wall.s * MS_PER_S + r->now.wall.ms;

    return record->left_ms != 0 && record->expiry_s != UINT32_MAX &&
           wall_ms - (int64_t)record->expiry_s * MS_PER_S >= record->left_ms;
}

static enum status take_session(struct restore *r, const struct entry *e)
{
    struct why why = { 0 };
    struct record_session record;
    struct grant *shadow;
    struct session *s;
    struct shard *shard;
    enum status st = record_read_session(e->key, e->value, &record, &why);

    if (st != ST_OK)
        return unreadable(r, e, &why);
    if (record.session >= NUMBER_MAX || !restore_sessions_takes(&r->sessions, record.session))
        return nonsense(r, e, "a number out of range, or out of order");
    shard = r->shards[shard_home(r->shards[0]->settings, r->count, record.client_id)];
    if (grant_shadow(&record.owner, r->nothing, &shadow) != ST_OK)
        return ST_NO_MEMORY;
    st = session_restore(shard, &record, shadow, &s, &why);
    if (st != ST_OK)
        return not_taken(r, e, st, &why);
    see_number(&r->last_session, record.session);
    if (record.left_ms == 0)
        r->report->connected++;
    if (is_over(r, &record)) /* it ends at the first shard_advance() */
        counts(r)->over++;
    else
        counts(r)->restored++;
    return restore_sessions_add(&r->sessions, record.session, s);
}

static enum status take_will(struct restore *r, const struct entry *e)
{
    struct why why = { 0 };
    struct record_will record;
    struct session *s;
    enum status st = record_read_will(e->key, e->value, &record, &why);

    if (st != ST_OK)
        return unreadable(r, e, &why);
    s = restore_sessions_find(&r->sessions, record.session);
    if (s == NULL)
        return orphan(r, e);
    st = session_restore_will(s, &record);
    return st == ST_OK ? taken(r) : not_taken(r, e, st, &why);
}

static enum status take_received(struct restore *r, const struct entry *e)
{
    struct why why = { 0 };
    struct record_received record;
    struct session *s;
    enum status st = record_read_received(e->key, e->value, &record, &why);

    if (st != ST_OK)
        return unreadable(r, e, &why);
    s = restore_sessions_find(&r->sessions, record.session);
    if (s == NULL)
        return orphan(r, e);
    st = session_restore_received(s, &record);
    return st == ST_OK ? taken(r) : not_taken(r, e, st, &why);
}

/* What interest_add() does by message: a Will may be published before any message arrives. */
static enum status tell_shards(const struct restore *r, unsigned from, struct span filter)
{
    for (unsigned i = 0; i < r->count; i++)
        if (i != from &&
            topic_tree_interest_add(r->shards[i]->tree, (struct topic_filter){ filter }, from, NULL) != ST_OK)
            return ST_NO_MEMORY;
    return ST_OK;
}

static enum status take_subscription(struct restore *r, const struct entry *e)
{
    struct why why = { 0 };
    struct record_subscription record;
    struct session *s;
    bool first;
    enum status st = record_read_subscription(e->key, e->value, &record, &why);

    if (st != ST_OK)
        return unreadable(r, e, &why);
    s = restore_sessions_find(&r->sessions, record.session);
    if (s == NULL)
        return orphan(r, e);
    st = session_restore_subscription(s, &record, &first, &why);
    if (st == ST_OK && first)
        st = tell_shards(r, s->shard->index, record.filter);
    return st == ST_OK ? taken(r) : not_taken(r, e, st, &why);
}

static enum status make_message(struct restore *r, const struct record_message *record, struct message **ret)
{
    struct message_parts parts = message_parts_of(record, r->now);

    see_number(&r->last_session, record->publisher); /* nobody else gets it: No Local */
    return message_new(&parts, ret);
}

static enum status take_message(struct restore *r, const struct entry *e)
{
    struct why why = { 0 };
    struct record_message record;
    struct message *m;
    enum status st = record_read_message(e->key, e->value, &record, &why);

    if (st != ST_OK)
        return unreadable(r, e, &why);
    if (record.number >= NUMBER_MAX || !restore_bodies_takes(&r->bodies, record.number))
        return nonsense(r, e, "a number out of range, or out of order");
    st = make_message(r, &record, &m);
    if (st != ST_OK)
        return not_taken(r, e, st, &why);
    see_number(&r->last_body, record.number);
    counts(r)->restored++;
    return restore_bodies_add(&r->bodies, record.number, m);
}

static enum status take_delivery(struct restore *r, const struct entry *e)
{
    struct why why = { 0 };
    struct record_delivery record;
    struct session *s;
    struct share *share = NULL;
    struct body *body = NULL;
    bool moved = false;
    enum status st = record_read_delivery(e->key, e->value, &record, &why);

    if (st != ST_OK)
        return unreadable(r, e, &why);
    if (record.n >= NUMBER_MAX || record.share_seq >= NUMBER_MAX)
        return nonsense(r, e, "a number out of range");
    s = restore_sessions_find(&r->sessions, record.session);
    if (s == NULL)
        return orphan(r, e);
    if (record.body != 0)
        st = restore_bodies_get(&r->bodies, record.body, s->shard->index, &body, &moved);
    if (st == ST_NOT_FOUND)
        return orphan(r, e);
    if (st != ST_OK)
        return st;
    if (record.group.len > 0) {
        share = share_restore_delivery(r->groups, s->shard, record.group, record.share_seq);
        if (share == NULL)
            return ST_NO_MEMORY;
    }
    r->report->moved += moved;
    st = session_restore_delivery(s, &record, body, share);
    return st == ST_OK ? taken(r) : not_taken(r, e, st, &why);
}

static enum status take_item(struct restore *r, const struct entry *e)
{
    CLEANUP(message_unrefp)
    struct message *m = NULL;
    struct why why = { 0 };
    struct record_item record;
    enum status st = record_read_item(e->key, e->value, &record, &why);

    if (st != ST_OK)
        return unreadable(r, e, &why);
    if (record.seq >= NUMBER_MAX)
        return nonsense(r, e, "a number out of range");
    st = make_message(r, &record.message, &m);
    if (st == ST_OK)
        st = share_restore_item(r->groups, &record, m);
    if (st == ST_NOT_FOUND)
        return orphan(r, e);
    return st == ST_OK ? taken(r) : not_taken(r, e, st, &why);
}

static enum status take_retained(struct restore *r, const struct entry *e)
{
    CLEANUP(message_unrefp)
    struct message *m = NULL;
    struct why why = { 0 };
    struct record_message record;
    enum status st = record_read_retained(e->key, e->value, &record, &why);

    if (st != ST_OK)
        return unreadable(r, e, &why);
    if (record.number >= NUMBER_MAX || topic_is_reserved(record.topic))
        return nonsense(r, e, "a number or a topic that no client's message has");
    see_number(&r->last_retained, record.number);
    st = make_message(r, &record, &m);
    if (st == ST_OK && message_retained_expired(m, r->now))
        return over(r, e); /* MT-111 */
    if (st == ST_OK)
        st = retained_restore(r->shards[retained_owner(r->shards[0], record.topic)]->retained, record.number, m,
                              &why);
    return st == ST_OK ? taken(r) : not_taken(r, e, st, &why);
}

static enum status take_out(struct restore *r, const struct entry *e)
{
    CLEANUP(message_unrefp)
    struct message *m = NULL;
    struct why why = { 0 };
    struct record_out record;
    enum status st = record_read_out(e->key, e->value, &record, &why);

    if (st != ST_OK)
        return unreadable(r, e, &why);
    if (!r->has_before || record.from >= r->before.workers || record.to >= r->before.workers ||
        record.n >= NUMBER_MAX)
        return nonsense(r, e, "between workers there were not");
    st = make_message(r, &record.message, &m);
    if (st == ST_OK)
        st = durable_post_restore(r->shards, r->count, &r->before, &record, m);
    return st == ST_OK ? taken(r) : not_taken(r, e, st, &why);
}

/* ---- all of them ---- */

static void say(struct restore *r)
{
    if (r->progress != NULL)
        r->progress(r->progress_ctx, r->report->records, r->disk->entries);
}

static enum status visit(void *ctx, struct span key, struct span value)
{
    static enum status (*const take[RESTORE_KINDS])(struct restore *, const struct entry *) = {
        [RESTORE_GROUP] = take_group,
        [RESTORE_SESSION] = take_session,
        [RESTORE_WILL] = take_will,
        [RESTORE_RECEIVED] = take_received,
        [RESTORE_SUBSCRIPTION] = take_subscription,
        [RESTORE_MESSAGE] = take_message,
        [RESTORE_DELIVERY] = take_delivery,
        [RESTORE_ITEM] = take_item,
        [RESTORE_RETAINED] = take_retained,
        [RESTORE_OUT] = take_out,
    };
    struct restore *r = ctx;

    if (++r->report->records % PROGRESS_EVERY == 0)
        say(r);
    return take[r->kind](r, &(struct entry){ key, value });
}

static enum status scan(struct restore *r, enum restore_kind kind, struct why *why)
{
    static const uint8_t letters[RESTORE_KINDS] = {
#define RESTORE_LETTER(name, text) [RESTORE_##name] = RECORD_##name,
        RESTORE_LIST(RESTORE_LETTER)
#undef RESTORE_LETTER
    };

    r->kind = kind;
    return r->disk->scan(r->disk->ctx, span_of(&letters[kind], 1), visit, r, why);
}

static enum status visit_meta(void *ctx, struct span key, struct span value)
{
    struct restore *r = ctx;
    struct why why = { 0 };

    r->report->records++;
    if (record_read_meta(key, value, &r->before, &why) != ST_OK) {
        log_event(r->shards[0]->log, LOG_WARNING, "store_meta_lost", F_STR("why", why.text));
        return set_aside(r, &(struct entry){ key, value });
    }
    r->has_before = true;
    r->report->workers = r->before.workers;
    return ST_OK;
}

static enum status read_meta(struct restore *r, struct why *why)
{
    enum status st = r->disk->scan(r->disk->ctx, SPAN("v"), visit_meta, r, why);

    if (st == ST_OK && r->has_before && r->before.format != RECORD_FORMAT)
        st = reject(why, ST_BAD_VERSION, "store format", "the store is of another format", 0);
    return st;
}

static void remove_unused(void *ctx, uint64_t number)
{
    struct restore *r = ctx;

    r->report->kinds[RESTORE_MESSAGE].restored--;
    r->report->kinds[RESTORE_MESSAGE].orphans++;
    if (record_delete(&r->clean, record_key_message(number)) != ST_OK)
        r->clean.ops.failed = true;
}

/* MT-111: a message was retained no longer than its token was good for; the news came, and its effect had not reached the disk. */
static enum status drop_revoked(struct restore *r)
{
    CLEANUP(buf_done)
    struct buf hashes;
    struct token_store *tokens = r->shards[0]->settings->tokens;
    enum status st;

    buf_init(&hashes, REVOKED_MAX);
    st = tokens == NULL ? ST_OK : token_store_revoked(tokens, &hashes);
    if (st != ST_OK)
        return st;
    for (size_t at = 0; at + TOKEN_HASH_LEN <= hashes.len; at += TOKEN_HASH_LEN)
        for (unsigned i = 0; i < r->count; i++) {
            size_t gone = retained_revoke(r->shards[i]->retained, token_tag_of(hashes.p + at));

            r->report->kinds[RESTORE_RETAINED].restored -= gone;
            r->report->kinds[RESTORE_RETAINED].over += gone;
        }
    return ST_OK;
}

/* Before anything gets a number: what has moved to another shard already does (restore_index.h). */
static void start_numbers(const struct restore *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        struct shard *shard = r->shards[i];

        if (shard->next_session <= r->last_session / r->count)
            shard->next_session = r->last_session / r->count + 1;
        if (shard->journal.next_body <= r->last_body / r->count)
            shard->journal.next_body = r->last_body / r->count + 1;
        if (shard->journal.next_retained <= r->last_retained / r->count)
            shard->journal.next_retained = r->last_retained / r->count + 1;
    }
}

static enum status read_all(struct restore *r, struct why *why)
{
    enum status st = ST_OK;

    for (int kind = 0; kind < RESTORE_OUT && st == ST_OK; kind++) {
        if (kind == RESTORE_DELIVERY)
            start_numbers(r);
        st = scan(r, (enum restore_kind)kind, why);
    }
    restore_bodies_end(&r->bodies, remove_unused, r);
    if (st == ST_OK)
        st = drop_revoked(r);
    if (st == ST_OK)
        st = share_restore_end(TAKE(r->groups), why);
    start_numbers(r);
    if (st == ST_OK)
        st = scan(r, RESTORE_OUT, why);
    if (st == ST_OK && r->clean.ops.failed)
        st = ST_NO_MEMORY;
    return st;
}

static void start_sessions(struct restore *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        struct table_node *next;

        for (struct table_node *n = table_next(&r->shards[i]->sessions, NULL); n != NULL; n = next) {
            next = table_next(&r->shards[i]->sessions, n);
            session_restored(CONTAINER_OF(n, struct session, node));
        }
        shard_count_retained(r->shards[i]);
    }
}

/* ---- the first transaction ---- */

struct sealed {
    struct kv_batch batch;
    uint64_t seq;
    bool any;
};

static void collect(void *ctx, uint64_t seq, struct kv_batch *batch)
{
    struct sealed *sealed = ctx;

    sealed->batch = kv_batch_take(batch);
    sealed->seq = seq;
    sealed->any = true;
}

/* Its batch, instead of going its way, is kept for the one transaction of all. */
static void seal(struct shard *shard, struct sealed *sealed)
{
    struct shard_world world = shard->world;

    if (world.store == NULL)
        return;
    shard->world.store = collect;
    shard->world.ctx = sealed;
    journal_seal(shard);
    shard->world = world;
}

static enum status put_meta(struct restore *r)
{
    struct record_meta meta = { .format = RECORD_FORMAT,
                                .workers = r->count,
                                .home_key = r->shards[0]->settings->home_key,
                                .started_ms = r->now.wall.s * MS_PER_S + r->now.wall.ms };

    return record_put_meta(&r->clean, &meta);
}

/* What was left between shards, and what has moved, concerns several of them: all or nothing. */
static enum status commit(struct restore *r, struct why *why)
{
    struct sealed *sealed = calloc(r->count, sizeof *sealed);
    const struct kv_batch **batches = calloc(r->count + 1, sizeof *batches);
    enum status st = sealed == NULL || batches == NULL ? ST_NO_MEMORY : put_meta(r);
    size_t count = 0;

    if (st == ST_OK) {
        batches[count++] = &r->clean;
        for (unsigned i = 0; i < r->count; i++) {
            seal(r->shards[i], &sealed[i]);
            if (sealed[i].any)
                batches[count++] = &sealed[i].batch;
        }
        st = r->disk->apply(r->disk->ctx, batches, count, why);
    }
    for (unsigned i = 0; sealed != NULL && i < r->count; i++) {
        if (sealed[i].any && st == ST_OK)
            shard_stored(r->shards[i], sealed[i].seq, r->now);
        if (sealed[i].any)
            kv_batch_done(&sealed[i].batch);
    }
    free(sealed);
    free(batches);
    return st;
}

enum status restore_shards(struct shard *const *shards, unsigned count, const struct restore_disk *disk,
                           struct now now, restore_progress_fn *progress, void *progress_ctx,
                           struct restore_report *out, struct why *why)
{
    struct restore r = { .shards = shards,
                         .count = count,
                         .disk = disk,
                         .now = now,
                         .progress = progress,
                         .progress_ctx = progress_ctx,
                         .report = out,
                         .bodies = { .shards = shards, .shard_count = count } };
    enum status st;

    *out = (struct restore_report){ 0 };
    kv_batch_init(&r.clean, SIZE_MAX);
    for (unsigned i = 0; i < count; i++) {
        shards[i]->now = now;
        shards[i]->restoring = true;
    }
    st = scope_build(NULL, 0, &r.nothing, why);
    if (st == ST_OK)
        st = share_restore_new(shards, count, &r.groups);
    if (st == ST_OK)
        st = read_meta(&r, why);
    if (st == ST_OK)
        st = read_all(&r, why);
    out->empty = out->records == 0;
    if (st == ST_OK) {
        start_sessions(&r);
        st = commit(&r, why);
    }
    for (unsigned i = 0; i < count; i++)
        shards[i]->restoring = false;
    say(&r);
    if (r.groups != NULL)
        (void)!share_restore_end(r.groups, NULL);
    restore_sessions_done(&r.sessions);
    scope_unref(r.nothing);
    kv_batch_done(&r.clean);
    if (st == ST_NO_MEMORY)
        return reject(why, st, "memory", "out of memory while the store is read", 0);
    return st;
}

/* ---- what is said of it ---- */

static int64_t sum(const struct restore_report *report, size_t field)
{
    uint64_t n = 0;

    for (int i = 0; i < RESTORE_KINDS; i++)
        n += *(const uint64_t *)((const uint8_t *)&report->kinds[i] + field);
    return (int64_t)n;
}

void restore_log(const struct restore_report *report, int64_t took_ms, const struct log *log)
{
    const struct restore_count *k = report->kinds;

    log_event(log, LOG_NOTICE, "store_restored", F_I64("sessions", (int64_t)k[RESTORE_SESSION].restored),
              F_I64("subscriptions", (int64_t)k[RESTORE_SUBSCRIPTION].restored),
              F_I64("queued", (int64_t)(k[RESTORE_DELIVERY].restored + k[RESTORE_ITEM].restored)),
              F_I64("retained", (int64_t)k[RESTORE_RETAINED].restored),
              F_I64("sessions_over", (int64_t)k[RESTORE_SESSION].over),
              F_I64("retained_over", (int64_t)k[RESTORE_RETAINED].over),
              F_I64("orphans_removed", sum(report, offsetof(struct restore_count, orphans))),
              F_I64("ms", took_ms));
    for (int i = 0; i < RESTORE_KINDS; i++)
        if (k[i].unreadable > 0)
            log_event(log, LOG_ERROR, "store_records_lost",
                      F_STR("kind", restore_kind_name((enum restore_kind)i)),
                      F_I64("unreadable", (int64_t)k[i].unreadable), F_I64("restored", (int64_t)k[i].restored),
                      F_STR("first", report->unreadable.text));
    if (report->refused.clause != NULL)
        log_event(log, LOG_WARNING, "store_beyond_limits",
                  F_I64("records", sum(report, offsetof(struct restore_count, refused))),
                  F_STR("clause", report->refused.clause), F_STR("first", report->refused.text));
}
