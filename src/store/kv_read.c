/* What does not change a store: looking, counting, copying, checking, and getting out what a damaged one still has. */
#include "store/kv_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FREE_TREE     0u  /* LMDB's own number of the tree of free pages */
#define FIND_HEAD_MAX 100 /* a writer commits while we look; not so often */

enum status kv_read_begin(struct kv *kv, MDB_txn **ret_txn, struct why *why)
{
    *ret_txn = NULL;
    pthread_rwlock_rdlock(&kv->in_use);
    if (kv->env == NULL)
        return reject(why, ST_IO, "store", "the disk has failed", 0);
    int rc = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, ret_txn);
    return rc == 0 ? ST_OK : kv_failed(kv, rc, why);
}

void kv_read_end(struct kv *kv, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    pthread_rwlock_unlock(&kv->in_use);
}

/* ---- entries ---- */

static enum status walk_prefix(struct kv *kv, MDB_cursor *cursor, struct span prefix, kv_visit_fn *visit,
                               void *ctx, struct why *why)
{
    MDB_val key = { prefix.len, (void *)(uintptr_t)prefix.p }, value = { 0 };
    int rc = mdb_cursor_get(cursor, &key, &value, prefix.len > 0 ? MDB_SET_RANGE : MDB_FIRST);

    while (rc == 0 && span_starts_with(span_of(key.mv_data, key.mv_size), prefix)) {
        enum status st = visit(ctx, span_of(key.mv_data, key.mv_size), span_of(value.mv_data, value.mv_size));
        if (st != ST_OK)
            return st;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return rc == 0 || rc == MDB_NOTFOUND ? ST_OK : kv_failed(kv, rc, why);
}

enum status kv_scan(struct kv *kv, struct span prefix, kv_visit_fn *visit, void *ctx, struct why *why)
{
    MDB_txn *txn;
    MDB_cursor *cursor = NULL;

    enum status st = kv_read_begin(kv, &txn, why);
    if (st == ST_OK) {
        int rc = mdb_cursor_open(txn, kv->dbi, &cursor);
        st = rc == 0 ? walk_prefix(kv, cursor, prefix, visit, ctx, why) : kv_failed(kv, rc, why);
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    kv_read_end(kv, txn);
    return st;
}

enum status kv_get(struct kv *kv, struct span key, struct buf *out, struct why *why)
{
    MDB_val wanted = { key.len, (void *)(uintptr_t)key.p }, value = { 0 };
    MDB_txn *txn;

    ASSERT(key.len >= 1 && key.len <= KV_KEY_MAX);
    enum status st = kv_read_begin(kv, &txn, why);
    if (st == ST_OK) {
        int rc = mdb_get(txn, kv->dbi, &wanted, &value);
        st = rc == 0 ? ST_OK : kv_failed(kv, rc, why);
    }
    if (st == ST_OK) {
        put_bytes(out, span_of(value.mv_data, value.mv_size));
        st = buf_ok(out) ? ST_OK : reject(why, ST_NO_MEMORY, "store", "out of memory", 0);
    }
    kv_read_end(kv, txn);
    return st;
}

/* ---- figures ---- */

int kv_free_pages(MDB_txn *txn, uint64_t *ret_pages)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, list;
    uint64_t pages = 0;

    int rc = mdb_cursor_open(txn, FREE_TREE, &cursor);
    if (rc != 0)
        return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &list, MDB_NEXT)) == 0) {
        size_t count;
        memcpy(&count, list.mv_data, sizeof count); /* how many numbers follow */
        pages += count;
    }
    mdb_cursor_close(cursor);
    *ret_pages = pages;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

enum status kv_stats(struct kv *kv, struct kv_stats *out, struct why *why)
{
    MDB_txn *txn;
    MDB_stat stat = { 0 };
    struct stat file = { 0 };
    uint64_t free_pages = 0;

    enum status st = kv_read_begin(kv, &txn, why);
    if (st == ST_OK) {
        int rc = mdb_stat(txn, kv->dbi, &stat);
        if (rc == 0)
            rc = kv_free_pages(txn, &free_pages);
        if (rc == 0 && fstat(kv->file, &file) != 0)
            rc = errno;
        st = rc == 0 ? ST_OK : kv_failed(kv, rc, why);
    }
    if (st == ST_OK)
        *out = (struct kv_stats){ .entries = stat.ms_entries,
                                  .file_bytes = (uint64_t)file.st_size,
                                  .free_bytes = free_pages * stat.ms_psize,
                                  .max_bytes = kv->max_bytes,
                                  .commits = mdb_txn_id(txn) };
    kv_read_end(kv, txn);
    return st;
}

/* ---- a copy ---- */

static int copy_into(struct kv *kv, int folder)
{
    int fd = openat(folder, KV_DATA_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return errno;
    pthread_rwlock_rdlock(&kv->in_use);
    rc = kv->env == NULL ? EIO : mdb_env_copyfd2(kv->env, fd, MDB_CP_COMPACT);
    pthread_rwlock_unlock(&kv->in_use);
    if (rc == 0 && fsync(fd) != 0)
        rc = errno;
    close(fd);
    if (rc == 0 && fsync(folder) != 0)
        rc = errno;
    return rc;
}

static int sync_folder(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return errno;
    int rc = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return rc;
}

enum status kv_copy(struct kv *kv, const char *path, struct why *why)
{
    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? reject(why, ST_EXISTS, "store", "the folder for the copy is there already", 0)
                               : kv_failed(kv, errno, why);
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = folder < 0 ? errno : copy_into(kv, folder);
    if (rc == 0)
        rc = sync_folder(folder, "..");
    if (rc != 0) { /* no half of a copy */
        if (folder >= 0)
            (void)unlinkat(folder, KV_DATA_FILE, 0);
        (void)rmdir(path);
    }
    if (folder >= 0)
        close(folder);
    return rc == 0 ? ST_OK : kv_failed(kv, rc, why);
}

/* ---- checking ---- */

/* Reads both heads until they read the same twice: a writer may be half through one of them. */
static enum status steady_heads(struct kv *kv, struct pages_head heads[PAGES_HEADS], struct why *why)
{
    struct pages_head again[PAGES_HEADS];

    for (int i = 0; i < FIND_HEAD_MAX; i++) {
        enum status st = pages_read_heads(kv->file, heads, why);
        if (st == ST_OK)
            st = pages_read_heads(kv->file, again, why);
        if (st != ST_OK)
            return st;
        if (pages_same_head(&heads[0], &again[0]) && pages_same_head(&heads[1], &again[1]))
            return ST_OK;
    }
    return reject(why, ST_TIMEOUT, "store", "commits come faster than one can look", 0);
}

/* A transaction, and the head whose state it holds. */
static enum status pin_head(struct kv *kv, MDB_txn **ret_txn, struct pages_head *ret_head, struct why *why)
{
    struct pages_head heads[PAGES_HEADS];

    enum status st = kv_read_begin(kv, ret_txn, why);
    for (int i = 0; st == ST_OK && i < FIND_HEAD_MAX; i++) {
        st = steady_heads(kv, heads, why);
        for (unsigned k = 0; st == ST_OK && k < PAGES_HEADS; k++) {
            if (heads[k].commit == mdb_txn_id(*ret_txn)) {
                *ret_head = heads[k];
                return ST_OK;
            }
        }
        mdb_txn_reset(*ret_txn);
        int rc = mdb_txn_renew(*ret_txn);
        if (st == ST_OK && rc != 0)
            st = kv_failed(kv, rc, why);
    }
    return st != ST_OK ? st : reject(why, ST_TIMEOUT, "store", "commits come faster than one can look", 0);
}

enum status kv_check(struct kv *kv, struct kv_findings *out, struct why *why)
{
    struct pages_head head;
    MDB_txn *txn;

    enum status st = pin_head(kv, &txn, &head, why);
    if (st == ST_OK)
        st = pages_walk(kv->file, &head, NULL, NULL, out, why);
    kv_read_end(kv, txn);
    return st;
}

enum status kv_salvage(const char *path, kv_visit_fn *visit, void *ctx, struct kv_findings *out,
                       struct why *why)
{
    struct pages_head head;
    bool writer = false;
    int folder = -1, file = -1;

    enum status st = kv_open_folder(path, false, &folder, &writer, why);
    if (st == ST_OK && writer)
        st = reject(why, ST_EXISTS, "store", "another process has this store open", 0);
    if (st == ST_OK) {
        file = openat(folder, KV_DATA_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (file < 0)
            st = reject(why, errno == ENOENT ? ST_NOT_FOUND : ST_IO, strerrorname_np(errno),
                        "the file of the store cannot be opened", 0);
    }
    if (st == ST_OK)
        st = pages_find_head(file, &head, why);
    if (st == ST_OK)
        st = pages_walk(file, &head, visit, ctx, out, why);
    if (file >= 0)
        close(file);
    if (folder >= 0)
        close(folder);
    return st;
}
