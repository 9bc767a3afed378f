/* Opening and writing. LMDB writes each transaction's pages to places that the last committed state does not use, then calls
 * fdatasync(), then writes one sector of one of the two heads through a descriptor with O_DSYNC. Neither MDB_NOSYNC nor
 * MDB_NOMETASYNC: what is committed is on disk. Not MDB_WRITEMAP: a disk that is full would be a SIGBUS instead of an error,
 * and a stray pointer of ours a damaged store.
 *
 * After a failed sync the kernel counts pages as clean that never reached the disk, and a head written without success may
 * be on the disk or not. If LMDB then simply went on, the next transaction would write over pages that such a head refers to, and a power
 * cut at that moment would leave a damaged store. So after a failure of the disk the environment is closed and opened anew
 * (LMDB would refuse even to read), and before anything else is written both heads are written as they are seen and synced
 * (pages_settle). The same at each start: what the last process left in the page cache may be read and answered from only once it is on the disk.
 *
 * The whole address range is mapped at once, twice `max_bytes`: it costs address space only, the file grows as it
 * is written, and nobody needs to stop readers for a larger map. */
#include "store/kv_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOCK_FILE_BYTES       8192 /* what LMDB makes for its 126 readers */
#define TRANSACTION_BYTES_MAX (UINT64_C(1) << 30)
#define NO_ROOM_BYTES         (UINT64_C(1) << 20)

/* ---- errors ---- */

/* LMDB answers EIO for a write cut short, which a disk does that is just becoming full. */
static bool disk_is_full(const struct kv *kv)
{
    struct statvfs disk;

    return kv->file >= 0 && fstatvfs(kv->file, &disk) == 0 &&
           (uint64_t)disk.f_bavail * disk.f_frsize < NO_ROOM_BYTES;
}

static enum status failed_errno(const struct kv *kv, int rc, struct why *why)
{
    const char *name = strerrorname_np(rc);

    if (name == NULL)
        name = "store";
    if (rc == ENOMEM)
        return reject(why, ST_NO_MEMORY, name, "out of memory", 0);
    if (rc == ENOSPC || rc == EDQUOT || (rc == EIO && disk_is_full(kv)))
        return reject(why, ST_QUOTA, rc == EIO ? "ENOSPC" : name, "the disk is full", 0);
    if (rc == EACCES || rc == EPERM || rc == EROFS)
        return reject(why, ST_IO, name, "the store may not be written or read by this user", 0);
    return reject(why, ST_IO, name, "the disk refused", 0);
}

enum status kv_failed(const struct kv *kv, int rc, struct why *why)
{
    switch (rc) {
    case MDB_MAP_FULL:
        return reject(why, ST_QUOTA, "store", "the store is far beyond its largest size", 0);
    case MDB_READERS_FULL:
        return reject(why, ST_QUOTA, "store", "too many readers at a time", 0);
    case MDB_TXN_FULL:
        return reject(why, ST_QUOTA, "store", "too many changes for one transaction", 0);
    case MDB_NOTFOUND:
        return reject(why, ST_NOT_FOUND, "store", "no such key", 0);
    case MDB_VERSION_MISMATCH:
        return reject(why, ST_BAD_VERSION, "store", "made by another version of LMDB", 0);
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INCOMPATIBLE:
        return reject(why, ST_DAMAGED, "store", "not a store, or a damaged one", 0);
    case MDB_PANIC:
        return reject(why, ST_IO, "store", "an earlier failure of the disk", 0);
    default:
        return rc > 0 ? failed_errno(kv, rc, why) : reject(why, ST_INTERNAL, "store", "LMDB refused", 0);
    }
}

/* ---- the folder and its files ---- */

enum status kv_open_folder(const char *path, bool exclusive, int *ret_folder, bool *ret_writer, struct why *why)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    *ret_folder = -1;
    *ret_writer = false;
    if (folder < 0 && errno == ENOENT)
        return reject(why, ST_NOT_FOUND, "store", "there is no such folder", 0);
    if (folder < 0)
        return reject(why, ST_IO, strerrorname_np(errno), "the folder of the store cannot be opened", 0);
    if (flock(folder, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK || exclusive) {
            enum status st = errno == EWOULDBLOCK ? ST_EXISTS : ST_IO;
            close(folder);
            return reject(
                why, st, "store",
                st == ST_EXISTS ? "another process has this store open" : "the folder cannot be locked", 0);
        }
        *ret_writer = true;
    }
    *ret_folder = folder;
    return ST_OK;
}

/* So that the name of what was just made is there after a power cut. */
static int sync_parent(int folder)
{
    int parent = openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (parent < 0)
        return errno;
    int rc = fsync(parent) == 0 ? 0 : errno;
    close(parent);
    return rc;
}

/* A process or a machine that died while it made the store leaves a file that is empty, or was given its length but not
 * its contents. Nothing was ever committed to it. */
static bool never_used(int file)
{
    uint8_t bytes[2 * 4096];
    struct stat st;

    if (fstat(file, &st) != 0 || st.st_size > (off_t)sizeof bytes)
        return false;
    ssize_t len = pread(file, bytes, sizeof bytes, 0);
    if (len != st.st_size)
        return false;
    for (ssize_t i = 0; i < len; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

static enum status check_file(struct kv *kv, bool whole, struct why *why)
{
    struct pages_head heads[PAGES_HEADS];
    struct kv_findings found;
    struct stat file;

    enum status st = pages_read_heads(kv->file, heads, why);
    if (st != ST_OK)
        return st;
    /* A page used and freed within one transaction is never written: the last ones may be missing, but not so many. */
    if (fstat(kv->file, &file) == 0 &&
        pages_newest(heads)->last_page > ((uint64_t)file.st_size + TRANSACTION_BYTES_MAX) / heads[0].page_size)
        return reject(why, ST_DAMAGED, "store", "the head tells of pages far beyond the end of the file", 0);
    if (!whole || kv->shared)
        return ST_OK; /* beside a writer the walk needs a transaction that holds the pages: see kv_open() */
    st = pages_walk(kv->file, pages_newest(heads), NULL, NULL, &found, why);
    if (st == ST_OK && found.first.clause != NULL)
        return reject(why, ST_DAMAGED, found.first.clause, found.first.text, found.first.at);
    return st;
}

/* LMDB writes to its lock file through a map: without blocks of its own that would be a SIGBUS when the disk is full. */
static int make_lock_file(struct kv *kv)
{
    int fd = openat(kv->folder, KV_LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return errno;
    int rc = posix_fallocate(fd, 0, LOCK_FILE_BYTES);
    close(fd);
    return rc == EOPNOTSUPP || rc == EINVAL ? 0 : rc;
}

static enum status open_file(struct kv *kv, bool check, bool *ret_made, struct why *why)
{
    *ret_made = false;
    kv->file = openat(kv->folder, KV_DATA_FILE, (kv->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW);
    if (kv->file < 0 && errno == ENOENT) {
        if (kv->read_only)
            return reject(why, ST_NOT_FOUND, "store", "there is no store in this folder", 0);
        kv->file = openat(kv->folder, KV_DATA_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    if (kv->file < 0)
        return kv_failed(kv, errno, why);
    if (!never_used(kv->file))
        return check_file(kv, check, why);
    if (kv->read_only)
        return reject(why, ST_NOT_FOUND, "store", "the store was never used", 0);
    *ret_made = true;
    return ftruncate(kv->file, 0) == 0 ? ST_OK : kv_failed(kv, errno, why);
}

/* ---- the environment ---- */

static size_t map_bytes(const struct kv *kv)
{
    struct stat st;
    uint64_t size = 2 * kv->max_bytes, page = (uint64_t)sysconf(_SC_PAGESIZE);

    /* A limit that was lowered since: there must still be room to remove things. */
    if (fstat(kv->file, &st) == 0 && (uint64_t)st.st_size + kv->max_bytes > size)
        size = (uint64_t)st.st_size + kv->max_bytes;
    return (size_t)(size / page * page);
}

static int find_database(MDB_env *env, unsigned flags, MDB_dbi *ret_dbi)
{
    MDB_txn *txn = NULL;
    unsigned own = 0;

    int rc = mdb_txn_begin(env, NULL, flags & MDB_RDONLY, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, NULL, 0, ret_dbi);
    if (rc == 0)
        rc = mdb_dbi_flags(txn, *ret_dbi, &own);
    mdb_txn_abort(txn); /* nothing was changed; NULL does nothing */
    return rc == 0 && own != 0 ? MDB_INCOMPATIBLE : rc;
}

static int open_env(struct kv *kv)
{
    MDB_env *env = NULL;
    unsigned flags = MDB_NOTLS;
    int fd = -1;

    if (kv->read_only)
        flags |= MDB_RDONLY | (kv->shared ? 0 : MDB_NOLOCK);
    int rc = kv->read_only ? 0 : make_lock_file(kv);
    if (rc == 0)
        rc = mdb_env_create(&env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(env, map_bytes(kv));
    if (rc == 0)
        rc = mdb_env_open(env, kv->path, flags, 0600);
    if (rc == 0)
        rc = mdb_env_get_fd(env, &fd);
    if (rc == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        rc = errno;
    if (rc == 0)
        rc = find_database(env, flags, &kv->dbi);
    if (rc != 0) {
        if (env != NULL)
            mdb_env_close(env);
        return rc;
    }
    kv->env = env;
    return 0;
}

static int settle_new(struct kv *kv, bool made)
{
    int rc = kv->read_only ? 0 : pages_settle(kv->file);

    if (rc == 0 && made)
        rc = fsync(kv->folder) == 0 ? sync_parent(kv->folder) : errno;
    return rc;
}

static bool counts_as_full(struct kv *kv)
{
    MDB_envinfo info;
    MDB_stat stat;
    MDB_txn *txn = NULL;
    uint64_t free_pages = 0;

    if (mdb_env_info(kv->env, &info) != 0 || mdb_env_stat(kv->env, &stat) != 0)
        return false;
    uint64_t used = (uint64_t)info.me_last_pgno + 1;
    if (used * stat.ms_psize <= kv->max_bytes)
        return false; /* the usual case, and a cheap one */
    (void)mdb_reader_check(kv->env,
                           NULL); /* a reader that was killed keeps its state's pages from being free */
    if (mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn) == 0)
        (void)kv_free_pages(txn, &free_pages);
    mdb_txn_abort(txn);
    return (used - free_pages) * stat.ms_psize > kv->max_bytes;
}

/* Who only reads does not keep a writer out, if LMDB's readers can be told of it; without that file (a copy, a folder that cannot be
 * written) nobody may write meanwhile. */
static void share_with_writers(struct kv *kv)
{
    if (faccessat(kv->folder, KV_LOCK_FILE, R_OK | W_OK, 0) != 0)
        return;
    kv->shared = true;
    (void)flock(kv->folder, LOCK_UN);
}

static enum status open_all(struct kv *kv, const struct kv_settings *settings, struct why *why)
{
    bool made = false;

    enum status st = kv_open_folder(kv->path, !kv->read_only, &kv->folder, &kv->shared, why);
    if (st == ST_OK && kv->read_only)
        share_with_writers(kv);
    if (st == ST_OK)
        st = open_file(kv, settings->check, &made, why);
    if (st != ST_OK)
        return st;
    int rc = open_env(kv);
    if (rc == 0)
        rc = settle_new(kv, made);
    if (rc != 0) {
        if (made) /* half a head would count as damage next time */
            (void)unlinkat(kv->folder, KV_DATA_FILE, 0);
        return kv_failed(kv, rc, why);
    }
    if (settings->check && kv->shared) {
        struct kv_findings found;
        st = kv_check(kv, &found, why);
        if (st == ST_OK && found.first.clause != NULL)
            st = reject(why, ST_DAMAGED, found.first.clause, found.first.text, found.first.at);
    }
    if (st == ST_OK && !kv->read_only)
        atomic_store(&kv->full, counts_as_full(kv));
    return st;
}

enum status kv_open(const char *path, const struct kv_settings *settings, struct kv **ret_kv, struct why *why)
{
    if (!settings->read_only && mkdir(path, 0700) != 0 && errno != EEXIST)
        return reject(why, errno == ENOSPC ? ST_QUOTA : ST_IO, strerrorname_np(errno),
                      "the folder of the store cannot be made", 0);
    struct kv *kv = calloc(1, sizeof *kv);
    if (kv == NULL)
        return reject(why, ST_NO_MEMORY, "store", "out of memory", 0);
    kv->folder = kv->file = -1;
    kv->read_only = settings->read_only;
    kv->max_bytes = settings->max_bytes == 0 ? KV_MAX_BYTES_DEFAULT : settings->max_bytes;
    (void)pthread_rwlock_init(&kv->in_use, NULL); /* cannot fail on Linux */
    kv->path = span_dup_str(span_of_str(path));
    enum status st =
        kv->path == NULL ? reject(why, ST_NO_MEMORY, "store", "out of memory", 0) : open_all(kv, settings, why);
    if (st != ST_OK) {
        kv_close(kv);
        return st;
    }
    *ret_kv = kv;
    return ST_OK;
}

void kv_close(struct kv *kv)
{
    if (kv == NULL)
        return;
    if (kv->env != NULL)
        mdb_env_close(kv->env);
    if (kv->file >= 0)
        close(kv->file);
    if (kv->folder >= 0)
        close(kv->folder);
    pthread_rwlock_destroy(&kv->in_use);
    free(kv->path);
    free(kv);
}

/* ---- writing ---- */

/* After a failure of the disk, for LMDB will not even read then. Waits for those who walk. */
static void open_again(struct kv *kv)
{
    pthread_rwlock_wrlock(&kv->in_use);
    if (kv->env != NULL)
        mdb_env_close(kv->env);
    kv->env = NULL;
    (void)open_env(kv); /* or before the next commit */
    pthread_rwlock_unlock(&kv->in_use);
}

static enum status repair(struct kv *kv, struct why *why)
{
    if (kv->env == NULL)
        open_again(kv);
    int rc = kv->env == NULL ? EIO : pages_settle(kv->file);
    if (rc != 0)
        return kv_failed(kv, rc, why);
    kv->broken = false;
    return ST_OK;
}

static MDB_val val_of(struct span s)
{
    return (MDB_val){ s.len, (void *)(uintptr_t)s.p };
}

static int change(MDB_txn *txn, MDB_dbi dbi, const struct kv_op *op)
{
    MDB_val key = val_of(op->key), value = val_of(op->value);

    if (!op->del)
        return mdb_put(txn, dbi, &key, &value, 0);
    int rc = mdb_del(txn, dbi, &key, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int change_all(struct kv *kv, MDB_txn *txn, const struct kv_batch *const *batches, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct kv_op op;
        size_t at = 0;
        while (kv_batch_next(batches[i], &at, &op)) {
            int rc = change(txn, kv->dbi, &op);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

static enum status failed_disk(struct kv *kv, int rc, struct why *why)
{
    enum status st = kv_failed(kv, rc, why);

    kv->broken = true;
    open_again(kv);
    return st;
}

/* No room in the map or in memory leaves LMDB and the disk in agreement, as long as nothing was to be written; anything else may
 * not. */
static enum status failed_change(struct kv *kv, int rc, struct why *why)
{
    if (rc == MDB_MAP_FULL || rc == MDB_TXN_FULL || rc == ENOMEM)
        return kv_failed(kv, rc, why);
    return failed_disk(kv, rc, why);
}

enum status kv_apply(struct kv *kv, const struct kv_batch *const *batches, size_t count, struct why *why)
{
    MDB_txn *txn = NULL;

    ASSERT(!kv->read_only);
    if (kv->broken) {
        enum status st = repair(kv, why);
        if (st != ST_OK)
            return st;
    }
    int rc = mdb_txn_begin(kv->env, NULL, 0, &txn);
    if (rc == 0)
        rc = change_all(kv, txn, batches, count);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return failed_change(kv, rc, why);
    }
    rc = mdb_txn_commit(txn); /* ends it either way */
    if (rc != 0)
        return rc == MDB_MAP_FULL ? kv_failed(kv, rc, why) : failed_disk(kv, rc, why);
    atomic_store_explicit(&kv->full, counts_as_full(kv), memory_order_relaxed);
    return ST_OK;
}

bool kv_full(const struct kv *kv)
{
    return atomic_load_explicit(&kv->full, memory_order_relaxed);
}
