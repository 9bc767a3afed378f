#include "broker/store_start.h"

#include "broker/store_migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES    ((size_t)8 << 20) /* of a copy, in one transaction */
#define PROGRESS_EVERY 8192
#define NAME_TRIES     100

/* Names, in the state folder. */
#define MIGRATING STORE_FOLDER ".migrating"
#define SALVAGING STORE_FOLDER ".salvaging"

/* ---- files ---- */

static enum status path_of(const struct store_start *start, const char *name, char path[PATH_MAX],
                           struct why *why)
{
    int len = snprintf(path, PATH_MAX, "%s/%s", start->state_dir, name);

    return len > 0 && len < PATH_MAX ? ST_OK
                                     : reject(why, ST_IO, "state_dir", "the name of the folder is too long", 0);
}

static bool is_there(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

/* So that a change of names survives a power cut. */
static enum status sync_folder(const char *path, struct why *why)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0;

    if (fd >= 0)
        close(fd);
    return failed ? reject(why, ST_IO, "state_dir", "the folder cannot be synchronized", 0) : ST_OK;
}

/* What is at `path` gets the first name of `store.<what>-<time>[.n]` that nothing has; which, is left in `to`. */
static enum status keep_as(const struct store_start *start, const char *path, const char *what, struct now now,
                           char to[PATH_MAX], struct why *why)
{
    time_t s = (time_t)now.wall.s;
    struct tm tm;
    char when[32], name[128];

    if (gmtime_r(&s, &tm) == NULL || strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm) == 0)
        return reject(why, ST_INTERNAL, "clock", "the calendar is out of range", 0);
    for (int i = 0; i < NAME_TRIES; i++) {
        enum status st;

        if (i == 0)
            (void)snprintf(name, sizeof name, STORE_FOLDER ".%s-%s", what, when);
        else
            (void)snprintf(name, sizeof name, STORE_FOLDER ".%s-%s.%d", what, when, i);
        st = path_of(start, name, to, why);
        if (st != ST_OK)
            return st;
        if (!is_there(to) && rename(path, to) == 0)
            return sync_folder(start->state_dir, why);
    }
    return reject(why, ST_IO, "state_dir", "the store that is to be set aside cannot be renamed", 0);
}

/* A copy of ours that was not finished. */
static enum status remove_copy(const char *path, struct why *why)
{
    static const char *const files[] = { "data.mdb", "lock.mdb" };
    char file[PATH_MAX + 16];

    if (!is_there(path))
        return ST_OK;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        (void)snprintf(file, sizeof file, "%s/%s", path, files[i]);
        if (unlink(file) != 0 && errno != ENOENT)
            return reject(why, ST_IO, "state_dir", "an unfinished copy of the store cannot be removed", 0);
    }
    return rmdir(path) == 0
               ? ST_OK
               : reject(why, ST_IO, "state_dir",
                        "an unfinished copy of the store cannot be removed: is there a file in it?", 0);
}

/* The copy takes the place of the store, which is then where the copy was. */
static enum status exchange(const struct store_start *start, const char *store, const char *copy,
                            struct why *why)
{
    if (renameat2(AT_FDCWD, copy, AT_FDCWD, store, RENAME_EXCHANGE) != 0)
        return reject(why, ST_IO, "state_dir", "the new store cannot take the place of the former", 0);
    return sync_folder(start->state_dir, why);
}

/* ---- a copy ---- */

struct copying {
    const struct store_start *start;
    const char *stage;
    struct kv *to;
    struct kv_batch piece;
    uint32_t format; /* of the former */
    bool migrate;
    uint64_t records, lost, of;
    struct why failed; /* what ended it, where the walk cannot say */
};

static enum status write_piece(struct copying *c, struct why *why)
{
    const struct kv_batch *pieces[] = { &c->piece };
    enum status st = ST_OK;

    if (!kv_batch_empty(&c->piece))
        st = kv_apply(c->to, pieces, 1, why);
    kv_batch_reset(&c->piece);
    return st;
}

static enum status copy_one(void *ctx, struct span key, struct span value)
{
    struct copying *c = ctx;
    struct why why = { 0 };
    enum status st;

    if (c->migrate)
        st = store_migrate_record(c->format, key, value, &c->piece, &why);
    else
        st = kv_batch_put(&c->piece, key, value);
    if (st == ST_MALFORMED) {
        c->lost++;
        return ST_OK;
    }
    if (st != ST_OK)
        return st;
    if (++c->records % PROGRESS_EVERY == 0 && c->start->progress != NULL)
        c->start->progress(c->start->progress_ctx, c->stage, c->records, c->of);
    if (kv_batch_bytes(&c->piece) < PIECE_BYTES)
        return ST_OK;
    return write_piece(c, &c->failed);
}

/* What the disk says of the new one, in words of what was going on. */
static enum status cannot_copy(enum status st, const struct why *said, struct why *why)
{
    if (st == ST_QUOTA)
        return reject(
            why, st, said->clause != NULL ? said->clause : "store",
            "the store has to be written anew, and there is no room: make some, or raise store.max_bytes", 0);
    if (st == ST_IO)
        return reject(why, st, said->clause != NULL ? said->clause : "store",
                      "the store has to be written anew, and the disk refuses that", 0);
    if (why != NULL && said->clause != NULL)
        *why = *said;
    return st == ST_NO_MEMORY ? reject(why, st, "memory", "out of memory while the store is written anew", 0)
                              : st;
}

/* `source` gives its records to copy_one(). */
static enum status copy(struct copying *c, const char *path,
                        enum status (*source)(void *ctx, struct copying *c, struct why *why), void *ctx,
                        struct why *why)
{
    const struct kv_settings settings = { .max_bytes = c->start->max_bytes };
    struct why said = { 0 };
    enum status st = remove_copy(path, why);

    if (st != ST_OK)
        return st;
    st = kv_open(path, &settings, &c->to, &said);
    if (st != ST_OK) {
        (void)remove_copy(path, NULL);
        return cannot_copy(st, &said, why);
    }
    kv_batch_init(&c->piece, SIZE_MAX);
    st = source(ctx, c, &said);
    if (st == ST_OK)
        st = write_piece(c, &said);
    else if (said.clause == NULL)
        said = c->failed;
    kv_batch_done(&c->piece);
    kv_close(c->to);
    if (st == ST_OK)
        return ST_OK;
    (void)remove_copy(path, NULL); /* the room it took is wanted */
    return cannot_copy(st, &said, why);
}

/* ---- of an older format ---- */

static enum status from_kv(void *ctx, struct copying *c, struct why *why)
{
    return kv_scan(ctx, SPAN_NONE, copy_one, c, why);
}

/* Takes `former`. */
static enum status migrate(const struct store_start *start, struct kv *former, uint32_t format, struct now now,
                           struct why *why)
{
    struct copying c = { .start = start, .stage = "migrating", .format = format, .migrate = true };
    char store[PATH_MAX], fresh[PATH_MAX], kept[PATH_MAX] = "", what[32];
    struct kv_stats stats = { 0 };
    enum status st = path_of(start, STORE_FOLDER, store, why);

    if (st == ST_OK)
        st = path_of(start, MIGRATING, fresh, why);
    if (st == ST_OK)
        st = kv_stats(former, &stats, why);
    c.of = stats.entries;
    if (st == ST_OK)
        st = copy(&c, fresh, from_kv, former, why);
    kv_close(former);
    if (st == ST_OK)
        st = exchange(start, store, fresh, why);
    (void)snprintf(what, sizeof what, "format-%u", (unsigned)format);
    if (st == ST_OK)
        st = keep_as(start, fresh, what, now, kept, why);
    if (st == ST_OK)
        log_event(start->log, LOG_NOTICE, "store_migrated", F_I64("from", format), F_I64("to", RECORD_FORMAT),
                  F_I64("records", (int64_t)c.records), F_I64("lost", (int64_t)c.lost), F_STR("former", kept));
    return st;
}

/* ---- damaged ---- */

static enum status from_damaged(void *ctx, struct copying *c, struct why *why)
{
    struct why said = { 0 };
    struct kv_findings *found = ctx;
    char store[PATH_MAX];
    enum status st = path_of(c->start, STORE_FOLDER, store, why);

    if (st == ST_OK)
        st = kv_salvage(store, copy_one, c, found, &said);
    if (st == ST_DAMAGED || st == ST_NOT_FOUND) { /* nothing in it that could be read at all */
        found->first = said;
        return ST_OK;
    }
    if (st != ST_OK && why != NULL && said.clause != NULL)
        *why = said;
    return st;
}

static enum status salvage(const struct store_start *start, const struct why *damage, struct now now,
                           struct why *why)
{
    struct copying c = { .start = start, .stage = "salvaging" };
    struct kv_findings found = { 0 };
    char store[PATH_MAX], fresh[PATH_MAX], kept[PATH_MAX] = "";
    enum status st = path_of(start, STORE_FOLDER, store, why);

    if (st == ST_OK)
        st = path_of(start, SALVAGING, fresh, why);
    if (st == ST_OK)
        st = copy(&c, fresh, from_damaged, &found, why);
    if (st == ST_OK)
        st = exchange(start, store, fresh, why);
    if (st == ST_OK)
        st = keep_as(start, fresh, "damaged", now, kept, why);
    if (st == ST_OK)
        log_event(start->log, LOG_ERROR, "store_damaged", F_STR("why", damage->text),
                  F_I64("records_saved", (int64_t)c.records),
                  F_I64("records_missing", (int64_t)(found.missed + found.bad_entries)),
                  F_I64("bad_pages", (int64_t)found.bad_pages), F_STR("damaged_store", kept));
    return st;
}

/* ---- in order ---- */

/* RECORD_FORMAT if there is none: it is written with the first transaction. */
static enum status format_of(struct kv *kv, uint32_t *ret_format, struct why *why)
{
    CLEANUP(buf_done)
    struct buf value;
    struct record_meta meta;
    enum status st;

    buf_init(&value, SIZE_MAX);
    st = kv_get(kv, SPAN("v"), &value, why);
    *ret_format = RECORD_FORMAT;
    if (st == ST_NOT_FOUND)
        return ST_OK;
    if (st != ST_OK)
        return st;
    if (record_read_meta(SPAN("v"), buf_span(&value), &meta, NULL) == ST_OK)
        *ret_format = meta.format;
    return ST_OK; /* unreadable: restore_shards() sets it aside */
}

/* What an interrupted start left when the two had changed places already. */
static enum status tidy(const struct store_start *start, struct now now, struct why *why)
{
    static const struct {
        const char *name, *what;
    } left[] = { { MIGRATING, "former" }, { SALVAGING, "damaged" } };
    char path[PATH_MAX], kept[PATH_MAX];

    for (size_t i = 0; i < COUNT_OF(left); i++) {
        enum status st = path_of(start, left[i].name, path, why);

        if (st == ST_OK && is_there(path))
            st = keep_as(start, path, left[i].what, now, kept, why);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status newer(const struct store_start *start, uint32_t format, struct why *why)
{
    log_event(start->log, LOG_ERROR, "store_newer", F_I64("format", format), F_I64("known", RECORD_FORMAT),
              F_STR("state_dir", start->state_dir));
    return reject(
        why, ST_BAD_VERSION, "store format",
        "the store in state_dir was written by a newer version of this broker: nothing in it was touched", 0);
}

static enum status open_store(const struct store_start *start, struct kv **ret_kv, uint32_t *ret_format,
                              struct why *why)
{
    const struct kv_settings settings = { .max_bytes = start->max_bytes, .check = true };
    char store[PATH_MAX];
    enum status st = path_of(start, STORE_FOLDER, store, why);

    if (st == ST_OK)
        st = kv_open(store, &settings, ret_kv, why);
    if (st != ST_OK)
        return st;
    st = format_of(*ret_kv, ret_format, why);
    if (st != ST_OK)
        kv_close(*ret_kv);
    return st;
}

enum status store_start_open(const struct store_start *start, struct now now, struct kv **ret_kv,
                             struct why *why)
{
    struct kv *kv;
    struct why damage = { 0 };
    uint32_t format;
    enum status st = open_store(start, &kv, &format, &damage);

    if (st == ST_DAMAGED) {
        st = salvage(start, &damage, now, why);
        if (st == ST_OK)
            st = open_store(start, &kv, &format, why);
    } else if (st != ST_OK && why != NULL) {
        *why = damage;
    }
    if (st != ST_OK)
        return st;
    if (format != RECORD_FORMAT && !store_migrate_knows(format)) {
        kv_close(kv);
        return newer(start, format, why);
    }
    if (format != RECORD_FORMAT) {
        st = migrate(start, kv, format, now, why);
        if (st == ST_OK)
            st = open_store(start, &kv, &format, why);
        if (st != ST_OK)
            return st;
        ASSERT(format == RECORD_FORMAT);
    }
    st = tidy(start, now, why);
    if (st != ST_OK) {
        kv_close(kv);
        return st;
    }
    *ret_kv = kv;
    return ST_OK;
}

/* ---- and read back ---- */

static enum status scan_kv(void *ctx, struct span prefix, kv_visit_fn *visit, void *visit_ctx, struct why *why)
{
    return kv_scan(ctx, prefix, visit, visit_ctx, why);
}

static enum status apply_kv(void *ctx, const struct kv_batch *const *batches, size_t count, struct why *why)
{
    return kv_apply(ctx, batches, count, why);
}

static void on_progress(void *ctx, uint64_t records, uint64_t of)
{
    const struct store_start *start = ctx;

    if (start->progress != NULL)
        start->progress(start->progress_ctx, "restoring", records, of);
}

enum status store_start_restore(const struct store_start *start, struct kv *kv, struct shard *const *shards,
                                unsigned count, struct now now, struct restore_report *out, struct why *why)
{
    struct restore_disk disk = { scan_kv, apply_kv, kv, 0 };
    struct store_start here = *start;
    struct mono_time began = now_read().mono;
    struct kv_stats stats;
    enum status st = kv_stats(kv, &stats, why);

    if (st != ST_OK)
        return st;
    disk.entries = stats.entries;
    st = restore_shards(shards, count, &disk, now, on_progress, &here, out, why);
    if (st == ST_OK && !out->empty)
        restore_log(out, now_read().mono.ms - began.ms, start->log);
    return st;
}
