/* tests/torture/powerloss.c - stands for power loss: an LD_PRELOAD library that keeps account of what a program wrote below
 * one folder and has not synced yet, so that after kill -9 powerloss.py can make the files what a disk that lost its power
 * might hold: nothing of what was not synced, or any part of it.
 *
 *   LD_PRELOAD=powerloss.so POWERLOSS_ROOT=/folder POWERLOSS_LOG=/other/folder program
 *
 * Before a write reaches the file, the bytes it covers go to an undo log in POWERLOSS_LOG (kill -9 leaves both to the page
 * cache, so nothing need be synced really). fsync() and fdatasync() tell the log what is safe; when all is, the log is
 * emptied. Write through a descriptor opened with O_DSYNC or O_SYNC is safe by itself, and makes nothing else so. A name
 * that was made, changed or removed is safe when its folder was synced, as fsync(2) says, not when the file was.
 *
 * POWERLOSS_KILL_AT=n   SIGKILL at the n-th sync: 2k means just before the k-th counts as done, 2k+1 just after
 * POWERLOSS_SYNC_US=n   a sync takes so long, as it would on a disk
 * POWERLOSS_FAIL_AT=n   the n-th write or sync fails, once, with POWERLOSS_ERRNO (a number)
 * a file POWERLOSS_LOG/fail with a number in it: while it is there, each write and sync fails with that errno
 * POWERLOSS_LIE=1       a sync that does nothing (a disk that lies): to see that a test can fail
 *
 * What a failed sync had not written stays lost, whatever later syncs say: so does the kernel's page cache.
 * Not seen: what stdio writes, and shared writable mappings, which end the program so that nobody trusts a wrong account;
 * SQLite's -shm, which it makes anew, and lock files are left alone. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS   65536
#define FILES 512

enum op_type { OP_WRITE = 1, OP_TRUNCATE, OP_CREATE, OP_UNLINK, OP_RENAME, OP_SYNC, OP_SYNC_ONE, OP_LOST };

/* Native byte order; then path_len bytes of path, path2_len of the other one, then old_len bytes that were there before. */
struct record {
    uint32_t magic, type;
    uint64_t seq, inode; /* of the file, or of the folder that a name is in */
    uint64_t offset, len, old_len, old_size;
    uint32_t path_len, path2_len;
    uint64_t grave; /* the file that lost its name is kept as grave/<number>; 0: none */
};
#define MAGIC 0x504c4f53u

struct file {
    uint64_t inode, last_seq, pending;
    bool lost;
};

static struct {
    struct file *file;
    bool synced; /* O_DSYNC */
} fds[FDS];
static struct file files[FILES];
static unsigned n_files;
static char root[PATH_MAX], folder[PATH_MAX], fail_path[PATH_MAX + 8];
static size_t root_len;
static int log_fd = -1;
static uint64_t seq, graves, syncs, kill_at, fallible, fail_at, sync_us;
static int fail_errno = EIO;
static bool lies;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
    int (*openat)(int, const char *, int, ...);
    int (*close)(int);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    ssize_t (*pwritev)(int, const struct iovec *, int, off_t);
    ssize_t (*writev)(int, const struct iovec *, int);
    int (*ftruncate)(int, off_t);
    int (*fallocate)(int, off_t, off_t);
    int (*renameat)(int, const char *, int, const char *);
    int (*unlinkat)(int, const char *, int);
    int (*mkdirat)(int, const char *, mode_t);
    int (*fsync)(int);
    int (*fdatasync)(int);
    void *(*mmap)(void *, size_t, int, int, int, off_t);
} real;

static void give_up(const char *what)
{
    dprintf(2, "powerloss: %s\n", what);
    abort();
}

static uint64_t number(const char *name)
{
    const char *text = getenv(name);

    return text == NULL ? 0 : strtoull(text, NULL, 10);
}

/* ---- the account ---- */

static struct file *file_of(uint64_t inode)
{
    for (unsigned i = 0; i < n_files; i++)
        if (files[i].inode == inode)
            return &files[i];
    if (n_files == FILES) { /* a clean one gives its place; nobody's descriptor may point to it */
        for (unsigned i = 0; i < FILES; i++) {
            bool used = files[i].pending > 0 || files[i].lost;

            for (int fd = 0; fd < FDS && !used; fd++)
                used = fds[fd].file == &files[i];
            if (!used) {
                files[i] = (struct file){ .inode = inode };
                return &files[i];
            }
        }
        give_up("too many files");
    }
    files[n_files] = (struct file){ .inode = inode };
    return &files[n_files++];
}

static bool all_safe(void)
{
    for (unsigned i = 0; i < n_files; i++)
        if (files[i].pending > 0 || files[i].lost)
            return false;
    return true;
}

static void empty_log(void)
{
    char path[PATH_MAX + 32];

    if (real.ftruncate(log_fd, 0) != 0)
        give_up("cannot empty the log");
    for (; graves > 0; graves--) {
        snprintf(path, sizeof path, "%s/grave/%llu", folder, (unsigned long long)graves);
        (void)real.unlinkat(AT_FDCWD, path, 0);
    }
}

static void put(const struct iovec *parts, int n)
{
    size_t want = 0;

    for (int i = 0; i < n; i++)
        want += parts[i].iov_len;
    if (real.writev(log_fd, parts, n) != (ssize_t)want)
        give_up("cannot write the log");
}

static void put_record(struct record *r, const char *path, const char *path2, const void *old)
{
    r->magic = MAGIC;
    r->path_len = path == NULL ? 0 : (uint32_t)strlen(path);
    r->path2_len = path2 == NULL ? 0 : (uint32_t)strlen(path2);
    put((struct iovec[]){ { r, sizeof *r },
                          { (void *)path, r->path_len },
                          { (void *)path2, r->path2_len },
                          { (void *)old, r->old_len } },
        4);
}

static void count_op(struct file *f)
{
    f->pending++;
    f->last_seq = seq;
}

static void mark_safe(struct file *f, uint64_t upto)
{
    struct record r = { .type = OP_SYNC, .seq = upto, .inode = f->inode };

    if (f->pending == 0)
        return;
    if (f->last_seq <= upto)
        f->pending = 0;
    if (all_safe())
        empty_log();
    else
        put_record(&r, NULL, NULL, NULL);
}

static void die_here(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* To be called with the lock held. True if this call is to fail; errno is set. */
static bool fails(void)
{
    char text[16];
    ssize_t got;
    int fd;

    fallible++;
    if (fail_at != 0 && fallible == fail_at) {
        errno = fail_errno;
        return true;
    }
    fd = real.openat(AT_FDCWD, fail_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    got = read(fd, text, sizeof text - 1);
    real.close(fd);
    text[got < 0 ? 0 : got] = '\0';
    errno = (int)strtol(text, NULL, 10);
    if (errno == 0)
        errno = EIO;
    return true;
}

/* ---- beginning ---- */

/* What a former process left unsynced still is. */
static void read_log(void)
{
    struct record r;

    while (read(log_fd, &r, sizeof r) == (ssize_t)sizeof r && r.magic == MAGIC) {
        struct file *f = file_of(r.inode);

        if (lseek(log_fd, (off_t)(r.path_len + r.path2_len + r.old_len), SEEK_CUR) < 0)
            give_up("cannot read the log");
        if (r.grave > graves)
            graves = r.grave;
        if (r.type < OP_SYNC) {
            seq = r.seq;
            count_op(f);
        } else if (r.type == OP_LOST) {
            f->lost = f->pending > 0;
        } else if (r.type == OP_SYNC && f->last_seq <= r.seq) {
            f->pending = 0;
        }
    }
}

static void *next(const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);

    if (p == NULL)
        give_up(name);
    return p;
}

static void find_real(void)
{
    real.openat = next("openat");
    real.close = next("close");
    real.write = next("write");
    real.pwrite = next("pwrite");
    real.pwritev = next("pwritev");
    real.writev = next("writev");
    real.ftruncate = next("ftruncate");
    real.fallocate = next("posix_fallocate");
    real.renameat = next("renameat");
    real.unlinkat = next("unlinkat");
    real.mkdirat = next("mkdirat");
    real.fsync = next("fsync");
    real.fdatasync = next("fdatasync");
    real.mmap = next("mmap");
}

__attribute__((constructor)) static void begin(void)
{
    const char *where = getenv("POWERLOSS_ROOT"), *to = getenv("POWERLOSS_LOG");
    char path[PATH_MAX + 8];

    if (log_fd >= 0)
        return;
    find_real();
    if (where == NULL || to == NULL || realpath(where, root) == NULL || realpath(to, folder) == NULL)
        return;
    root_len = strlen(root);
    snprintf(path, sizeof path, "%s/grave", folder);
    (void)real.mkdirat(AT_FDCWD, path, 0700);
    snprintf(fail_path, sizeof fail_path, "%s/fail", folder);
    snprintf(path, sizeof path, "%s/log", folder);
    log_fd = real.openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        give_up("no log");
    kill_at = number("POWERLOSS_KILL_AT");
    sync_us = number("POWERLOSS_SYNC_US");
    fail_at = number("POWERLOSS_FAIL_AT");
    if (number("POWERLOSS_ERRNO") != 0)
        fail_errno = (int)number("POWERLOSS_ERRNO");
    lies = number("POWERLOSS_LIE") != 0;
    read_log();
    syncs = 0;
}

/* ---- names ---- */

static bool ends_with(const char *path, const char *end)
{
    size_t len = strlen(path), n = strlen(end);

    return len >= n && strcmp(path + len - n, end) == 0;
}

/* The whole path; false if it is none of ours. */
static bool ours(int dir, const char *path, char out[PATH_MAX])
{
    char base[PATH_MAX] = "", proc[64];
    ssize_t n;

    if (log_fd < 0)
        return false;
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
    } else {
        if (dir == AT_FDCWD) {
            if (getcwd(base, sizeof base) == NULL)
                return false;
        } else {
            snprintf(proc, sizeof proc, "/proc/self/fd/%d", dir);
            n = readlink(proc, base, sizeof base - 1);
            if (n < 0)
                return false;
            base[n] = '\0';
        }
        if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX)
            return false;
    }
    return strncmp(out, root, root_len) == 0 && (out[root_len] == '/' || out[root_len] == '\0') &&
           !ends_with(out, "-shm") && !ends_with(out, "lock.mdb") && !ends_with(out, ".sock");
}

static struct file *folder_of(const char *path)
{
    char dir[PATH_MAX];
    struct stat st;
    char *slash;

    snprintf(dir, sizeof dir, "%s", path);
    slash = strrchr(dir, '/');
    if (slash == NULL || slash == dir)
        give_up(path);
    *slash = '\0';
    if (stat(dir, &st) != 0)
        give_up(dir);
    return file_of(st.st_ino);
}

static uint64_t bury(const char *path)
{
    char grave[PATH_MAX + 32];
    struct stat st;

    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return 0;
    snprintf(grave, sizeof grave, "%s/grave/%llu", folder, (unsigned long long)++graves);
    (void)real.unlinkat(AT_FDCWD, grave, 0);
    if (link(path, grave) != 0)
        give_up("no link; POWERLOSS_LOG must be in the file system of POWERLOSS_ROOT");
    return graves;
}

static void name_changes(enum op_type type, const char *path, const char *path2)
{
    struct file *dir = folder_of(path2 != NULL ? path2 : path);
    struct record r = { .type = type, .seq = ++seq, .inode = dir->inode };

    if (type != OP_CREATE)
        r.grave = bury(path2 != NULL ? path2 : path);
    put_record(&r, path, path2, NULL);
    count_op(dir);
}

/* ---- contents ---- */

/* The bytes from `offset` on are about to be written over, or cut off. */
static void contents_change(int fd, struct file *f, enum op_type type, uint64_t offset, uint64_t len)
{
    struct record r = { .type = type, .seq = ++seq, .inode = f->inode, .offset = offset, .len = len };
    struct stat st;
    uint8_t *old = NULL;
    char proc[64];
    int in;

    if (fstat(fd, &st) != 0)
        give_up("fstat");
    r.old_size = (uint64_t)st.st_size;
    if (offset < r.old_size)
        r.old_len = type == OP_TRUNCATE || r.old_size - offset < len ? r.old_size - offset : len;
    if (r.old_len > 0) {
        snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd); /* it may be open for writing only */
        in = real.openat(AT_FDCWD, proc, O_RDONLY | O_CLOEXEC);
        old = malloc(r.old_len);
        if (in < 0 || old == NULL || pread(in, old, r.old_len, (off_t)offset) != (ssize_t)r.old_len)
            give_up("cannot read what is written over");
        real.close(in);
    }
    put_record(&r, NULL, NULL, old);
    free(old);
    count_op(f);
}

static uint64_t total(const struct iovec *parts, int n)
{
    uint64_t sum = 0;

    for (int i = 0; i < n; i++)
        sum += parts[i].iov_len;
    return sum;
}

/* A write through a synced descriptor is over: safe, and it alone. */
static void wrote_synced(struct file *f)
{
    struct record r = { .type = OP_SYNC_ONE, .seq = seq, .inode = f->inode };

    syncs++;
    if (kill_at != 0 && syncs * 2 == kill_at)
        die_here();
    if (!lies) {
        if (f->pending > 0)
            f->pending--;
        if (all_safe())
            empty_log();
        else
            put_record(&r, NULL, NULL, NULL);
    }
    if (kill_at != 0 && syncs * 2 + 1 == kill_at)
        die_here();
}

static ssize_t write_parts(int fd, const struct iovec *parts, int n, off_t offset)
{
    struct file *f = fd >= 0 && fd < FDS ? fds[fd].file : NULL;
    bool positioned = offset >= 0;
    ssize_t done;

    if (f == NULL)
        return positioned ? real.pwritev(fd, parts, n, offset) : real.writev(fd, parts, n);
    pthread_mutex_lock(&lock);
    if (fails()) {
        pthread_mutex_unlock(&lock);
        return -1;
    }
    if (!positioned) {
        struct stat st;

        if (fcntl(fd, F_GETFL) & O_APPEND)
            offset = fstat(fd, &st) == 0 ? st.st_size : 0;
        else
            offset = lseek(fd, 0, SEEK_CUR);
    }
    contents_change(fd, f, OP_WRITE, (uint64_t)offset, total(parts, n));
    if (fds[fd].synced && sync_us > 0)
        usleep((useconds_t)sync_us);
    done = positioned ? real.pwritev(fd, parts, n, offset) : real.writev(fd, parts, n);
    if (fds[fd].synced)
        wrote_synced(f);
    pthread_mutex_unlock(&lock);
    return done;
}

static int sync_fd(int fd, int (*really)(int))
{
    struct file *f = fd >= 0 && fd < FDS ? fds[fd].file : NULL;
    struct record r = { .type = OP_LOST };
    uint64_t upto;

    if (f == NULL)
        return really(fd);
    pthread_mutex_lock(&lock);
    upto = seq;
    if (fails()) {
        r.seq = seq;
        r.inode = f->inode;
        f->lost = f->lost || f->pending > 0;
        put_record(&r, NULL, NULL, NULL);
        pthread_mutex_unlock(&lock);
        return -1;
    }
    syncs++;
    if (kill_at != 0 && syncs * 2 == kill_at)
        die_here();
    pthread_mutex_unlock(&lock);
    if (sync_us > 0)
        usleep((useconds_t)sync_us);
    pthread_mutex_lock(&lock);
    if (!lies)
        mark_safe(f, upto);
    if (kill_at != 0 && syncs * 2 + 1 == kill_at)
        die_here();
    pthread_mutex_unlock(&lock);
    return 0;
}

/* ---- the calls ---- */

static void track(int fd, const char *path, int flags)
{
    struct stat st;

    if (fd >= FDS || fstat(fd, &st) != 0)
        give_up(path);
    if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && (flags & O_ACCMODE) != O_RDONLY))
        fds[fd].file = file_of(st.st_ino);
    fds[fd].synced = S_ISREG(st.st_mode) && (flags & (O_DSYNC | O_SYNC)) != 0;
}

static int open_any(int dir, const char *path, int flags, mode_t mode)
{
    char whole[PATH_MAX];
    struct stat st;
    bool there;
    int fd;

    begin();
    if (!ours(dir, path, whole)) {
        fd = real.openat(dir, path, flags, mode);
        if (fd >= 0 && fd < FDS)
            fds[fd].file = NULL;
        return fd;
    }
    pthread_mutex_lock(&lock);
    there = stat(whole, &st) == 0;
    if (there && (flags & O_TRUNC) && S_ISREG(st.st_mode) && st.st_size > 0) {
        fd = real.openat(AT_FDCWD, whole, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            give_up(whole);
        contents_change(fd, file_of(st.st_ino), OP_TRUNCATE, 0, 0);
        real.close(fd);
    }
    if (!there && (flags & O_CREAT))
        name_changes(OP_CREATE, whole, NULL);
    fd = real.openat(dir, path, flags, mode);
    if (fd >= 0)
        track(fd, whole, flags);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE_OF(flags, mode)                                         \
    do {                                                             \
        if (((flags)&O_CREAT) || ((flags)&O_TMPFILE) == O_TMPFILE) { \
            va_list args;                                            \
            va_start(args, flags);                                   \
            mode = va_arg(args, mode_t);                             \
            va_end(args);                                            \
        }                                                            \
    } while (0)

#define EXPORT __attribute__((visibility("default")))
/* The C library's own prototypes name arguments otherwise, and some of these it declares nowhere. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

EXPORT int open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    MODE_OF(flags, mode);
    return open_any(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;

    MODE_OF(flags, mode);
    return open_any(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int dir, const char *path, int flags, ...)
{
    mode_t mode = 0;

    MODE_OF(flags, mode);
    return open_any(dir, path, flags, mode);
}

EXPORT int openat64(int dir, const char *path, int flags, ...)
{
    mode_t mode = 0;

    MODE_OF(flags, mode);
    return open_any(dir, path, flags, mode);
}

/* What -D_FORTIFY_SOURCE makes of them. */
EXPORT int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

EXPORT int __openat_2(int dir, const char *path, int flags)
{
    return open_any(dir, path, flags, 0);
}

EXPORT int __openat64_2(int dir, const char *path, int flags)
{
    return open_any(dir, path, flags, 0);
}

EXPORT int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

EXPORT int creat64(const char *path, mode_t mode)
{
    return creat(path, mode);
}

EXPORT int close(int fd)
{
    begin();
    if (fd >= 0 && fd < FDS)
        fds[fd].file = NULL;
    return real.close(fd);
}

EXPORT ssize_t write(int fd, const void *bytes, size_t len)
{
    begin();
    if (fd < 0 || fd >= FDS || fds[fd].file == NULL)
        return real.write(fd, bytes, len);
    return write_parts(fd, &(struct iovec){ (void *)bytes, len }, 1, -1);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int n)
{
    begin();
    return write_parts(fd, parts, n, -1);
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    begin();
    return write_parts(fd, &(struct iovec){ (void *)bytes, len }, 1, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset)
{
    return pwrite(fd, bytes, len, offset);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t offset)
{
    begin();
    return write_parts(fd, parts, n, offset);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int n, off_t offset)
{
    return pwritev(fd, parts, n, offset);
}

EXPORT int ftruncate(int fd, off_t size)
{
    struct file *f;
    int r;

    begin();
    f = fd >= 0 && fd < FDS ? fds[fd].file : NULL;
    if (f == NULL)
        return real.ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    r = -1;
    if (!fails()) {
        contents_change(fd, f, OP_TRUNCATE, (uint64_t)size, 0);
        r = real.ftruncate(fd, size);
    }
    pthread_mutex_unlock(&lock);
    return r;
}

EXPORT int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

/* Makes the file longer at most. */
EXPORT int posix_fallocate(int fd, off_t offset, off_t len)
{
    struct file *f;
    struct stat st;
    int r = 0;

    begin();
    f = fd >= 0 && fd < FDS ? fds[fd].file : NULL;
    if (f == NULL)
        return real.fallocate(fd, offset, len);
    pthread_mutex_lock(&lock);
    if (fails())
        r = errno;
    else if (fstat(fd, &st) == 0 && st.st_size < offset + len) {
        contents_change(fd, f, OP_TRUNCATE, (uint64_t)(offset + len), 0);
        r = real.ftruncate(fd, offset + len) == 0 ? 0 : errno;
    }
    pthread_mutex_unlock(&lock);
    return r;
}

EXPORT int posix_fallocate64(int fd, off_t offset, off_t len)
{
    return posix_fallocate(fd, offset, len);
}

EXPORT int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    char whole_from[PATH_MAX], whole_to[PATH_MAX];
    int r;

    begin();
    if (!ours(from_dir, from, whole_from) || !ours(to_dir, to, whole_to))
        return real.renameat(from_dir, from, to_dir, to);
    pthread_mutex_lock(&lock);
    if (access(whole_from, F_OK) == 0)
        name_changes(OP_RENAME, whole_from, whole_to);
    r = real.renameat(from_dir, from, to_dir, to);
    pthread_mutex_unlock(&lock);
    return r;
}

EXPORT int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

EXPORT int unlinkat(int dir, const char *path, int flags)
{
    char whole[PATH_MAX];
    int r;

    begin();
    if ((flags & AT_REMOVEDIR) || !ours(dir, path, whole))
        return real.unlinkat(dir, path, flags);
    pthread_mutex_lock(&lock);
    if (access(whole, F_OK) == 0)
        name_changes(OP_UNLINK, whole, NULL);
    r = real.unlinkat(dir, path, flags);
    pthread_mutex_unlock(&lock);
    return r;
}

EXPORT int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

EXPORT int mkdirat(int dir, const char *path, mode_t mode)
{
    char whole[PATH_MAX];
    int r;

    begin();
    if (!ours(dir, path, whole) || access(whole, F_OK) == 0)
        return real.mkdirat(dir, path, mode);
    pthread_mutex_lock(&lock);
    name_changes(OP_CREATE, whole, NULL);
    r = real.mkdirat(dir, path, mode);
    pthread_mutex_unlock(&lock);
    return r;
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

EXPORT int fsync(int fd)
{
    begin();
    return sync_fd(fd, real.fsync);
}

EXPORT int fdatasync(int fd)
{
    begin();
    return sync_fd(fd, real.fdatasync);
}

EXPORT void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    begin();
    if (fd >= 0 && fd < FDS && fds[fd].file != NULL && (prot & PROT_WRITE) && (flags & MAP_TYPE) != MAP_PRIVATE)
        give_up("a shared writable mapping: what is written through it cannot be seen");
    return real.mmap(at, len, prot, flags, fd, offset);
}

EXPORT void *mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    return mmap(at, len, prot, flags, fd, offset);
}
