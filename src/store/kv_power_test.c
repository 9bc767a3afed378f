/* The power fails at any call of a commit, also while the disk fails before: what is then on the disk opens, is whole, and holds what was
 * acknowledged, or that and the commit under way.
 *
 * The model of kernel and disk, page by page: a write goes to the page cache (the real file) and makes the page dirty. A sync
 * that succeeds copies what is dirty to the disk (a buffer here); one that fails copies some of it, and the rest counts as
 * clean although the disk never got it. A power cut leaves on the disk whatever of the dirty sectors it likes.
 * LMDB's calls, and ours, are caught by functions of the same names (as in kv_failing_test.c). */
#include "store/kv_world_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGE      4096u
#define SECTOR    512u
#define PAGES_MAX 2048u
#define FDS_MAX   256

static struct {
    dev_t device;
    ino_t inode; /* of the file that is watched; 0: none */
    int reader;  /* LMDB writes heads through a descriptor that cannot read */
    uint64_t seed;
    uint8_t disk[PAGES_MAX * PAGE];
    size_t disk_len;
    bool dirty[PAGES_MAX];
    bool synced_writes[FDS_MAX];     /* opened with O_DSYNC */
    unsigned calls, fail_at, cut_at; /* 0: never */
    uint8_t cut[PAGES_MAX * PAGE];   /* the disk after the power cut */
    size_t cut_len;
    bool was_cut;
} machine;

static bool watched(int fd)
{
    struct stat st;

    return machine.inode != 0 && fstat(fd, &st) == 0 && st.st_ino == machine.inode &&
           st.st_dev == machine.device;
}

/* One dirty page, whole or in part, reaches `disk`. */
static void page_arrives(size_t page, uint8_t *disk, size_t *disk_len, bool in_part)
{
    uint8_t bytes[PAGE] = { 0 };

    if (syscall(SYS_pread64, machine.reader, bytes, sizeof bytes, (off_t)(page * PAGE)) <= 0)
        return;
    for (size_t at = 0; at < PAGE; at += SECTOR) {
        if (!in_part || dice(&machine.seed) % 2 == 0)
            memcpy(disk + page * PAGE + at, bytes + at, SECTOR);
    }
    if (*disk_len < (page + 1) * PAGE)
        *disk_len = (page + 1) * PAGE;
}

static void cut_power(void)
{
    memcpy(machine.cut, machine.disk, sizeof machine.cut);
    machine.cut_len = machine.disk_len;
    machine.was_cut = true;
    for (size_t page = 0; page < PAGES_MAX; page++) {
        if (machine.dirty[page] && dice(&machine.seed) % 2 == 0)
            page_arrives(page, machine.cut, &machine.cut_len, dice(&machine.seed) % 2 == 0);
    }
}

/* Before each call on the file: true if it is to fail. */
static bool next_call(void)
{
    machine.calls++;
    if (machine.calls == machine.cut_at)
        cut_power();
    return machine.calls == machine.fail_at;
}

/* Of pages first .. last; false if it fails, and then nobody knows what arrived. */
static bool sync_pages(size_t first, size_t last, bool fails)
{
    for (size_t page = first; page <= last && page < PAGES_MAX; page++) {
        if (!machine.dirty[page])
            continue;
        machine.dirty[page] = false;
        if (!fails || dice(&machine.seed) % 2 == 0)
            page_arrives(page, machine.disk, &machine.disk_len, fails);
    }
    return !fails;
}

static ssize_t written(int fd, off_t at, ssize_t n, bool fails)
{
    if (n <= 0)
        return n;
    size_t first = (size_t)at / PAGE, last = ((size_t)at + (size_t)n - 1) / PAGE;
    assert_true(last < PAGES_MAX);
    for (size_t page = first; page <= last; page++)
        machine.dirty[page] = true;
    if (!machine.synced_writes[fd])
        fails = fails && dice(&machine.seed) % 2 == 0; /* an error all the same, or a write cut short */
    else if (sync_pages(first, last, fails))
        return n;
    if (!fails)
        return n;
    errno = EIO;
    return -1;
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t at);
ssize_t plain_pwrite(int fd, const void *p, size_t len,
                     off_t at) __asm__("pwrite"); /* the above is pwrite64: ours */
ssize_t writev(int fd, const struct iovec *v, int count);
int fdatasync(int fd);
int plain_open(const char *path, int flags, ...) __asm__("open");

ssize_t pwrite(int fd, const void *p, size_t len, off_t at)
{
    if (!watched(fd))
        return syscall(SYS_pwrite64, fd, p, len, at);
    bool fails = next_call();
    size_t part = fails && !machine.synced_writes[fd] ? dice(&machine.seed) % (len + 1) : len;
    ssize_t n = part == 0 ? 0 : syscall(SYS_pwrite64, fd, p, part, at);
    return written(fd, at, n, fails);
}

ssize_t plain_pwrite(int fd, const void *p, size_t len, off_t at)
{
    return pwrite(fd, p, len, at);
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
    if (!watched(fd))
        return syscall(SYS_writev, fd, v, count);
    off_t at = (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR);
    bool fails = next_call();
    int part = fails ? (int)(dice(&machine.seed) % (unsigned)count) : count;
    ssize_t n = part == 0 ? 0 : syscall(SYS_writev, fd, v, part);
    return written(fd, at, n, fails);
}

int fdatasync(int fd)
{
    if (!watched(fd) || sync_pages(0, PAGES_MAX - 1, next_call()))
        return 0; /* the machine below is not the one that is tested */
    errno = EIO;
    return -1;
}

int plain_open(const char *path, int flags, ...)
{
    va_list rest;

    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags & ~O_DSYNC, mode);
    if (fd >= 0 && fd < FDS_MAX)
        machine.synced_writes[fd] = (flags & O_DSYNC) == O_DSYNC;
    return fd;
}

/* ---- the story ---- */

static void watch(const struct scratch *s)
{
    char path[128];
    struct stat st;

    (void)snprintf(path, sizeof path, "%s/data.mdb", s->store);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    ssize_t n = pread(fd, machine.disk, sizeof machine.disk, 0); /* opening has synced it */
    machine.reader = fd;
    assert_true(n > 0 && (size_t)n < sizeof machine.disk);
    machine.disk_len = (size_t)n;
    machine.device = st.st_dev;
    machine.inode = st.st_ino;
}

#define KEYS         40

#define ATTEMPTS_MAX 20

/* The contents as numbers: of each key the number it was last set to, 0 for not there. What an attempt to commit has written may be on the
 * disk although it failed, and the next attempt may hold more: others have posted meanwhile. */
struct model {
    uint32_t acknowledged[KEYS];
    uint32_t attempted[ATTEMPTS_MAX][KEYS];
    unsigned attempts; /* at least one once plan() was called */
};

static void plan(struct model *m, struct kv_batch *b)
{
    ASSERT(m->attempts < ATTEMPTS_MAX);
    const uint32_t *before = m->attempts == 0 ? m->acknowledged : m->attempted[m->attempts - 1];
    uint32_t *after = m->attempted[m->attempts++];
    static uint32_t version;
    static uint8_t value[9000];
    char key[16];

    memcpy(after, before, sizeof m->acknowledged);
    for (uint32_t n = 1 + dice(&machine.seed) % 12; n > 0; n--) {
        uint32_t k = dice(&machine.seed) % KEYS, number = dice(&machine.seed) % 4 == 0 ? 0 : ++version;
        (void)snprintf(key, sizeof key, "key%03u", k);
        after[k] = number;
        memcpy(value, &number, sizeof number);
        size_t len = dice(&machine.seed) % 6 == 0 ? sizeof value : 4 + dice(&machine.seed) % 400;
        assert_int_equal(number == 0 ? kv_batch_del(b, span_of_str(key))
                                     : kv_batch_put(b, span_of_str(key), span_of(value, len)),
                         ST_OK);
    }
}

static enum status note_key(void *ctx, struct span key, struct span value)
{
    uint32_t *numbers = ctx, k = 0;

    for (size_t i = 3; i < key.len; i++)
        k = k * 10 + (uint32_t)(key.p[i] - '0');
    assert_true(k < KEYS && value.len >= sizeof *numbers);
    memcpy(&numbers[k], value.p, sizeof *numbers);
    return ST_OK;
}

static void numbers_of(struct kv *kv, uint32_t numbers[KEYS])
{
    memset(numbers, 0, KEYS * sizeof *numbers);
    assert_int_equal(kv_scan(kv, SPAN_NONE, note_key, numbers, NULL), ST_OK);
}

/* The machine comes up again with what its disk had. */
static void come_up(const struct scratch *s, const struct model *m, uint64_t seed)
{
    struct kv_settings settings = { .max_bytes = 64 << 20, .check = true };
    uint32_t numbers[KEYS];
    char path[128];
    struct kv *kv = NULL;
    struct why why = { 0 };

    (void)mkdir(s->copy, 0700);
    (void)snprintf(path, sizeof path, "%s/data.mdb", s->copy);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, machine.cut, machine.cut_len), (ssize_t)machine.cut_len);
    close(fd);
    if (kv_open(s->copy, &settings, &kv, &why) != ST_OK)
        fail_msg("seed %llu: %s at %zu", (unsigned long long)seed, why.text, why.at);
    numbers_of(kv, numbers);
    bool known = memcmp(numbers, m->acknowledged, sizeof numbers) == 0;
    for (unsigned i = 0; i < m->attempts; i++)
        known |= memcmp(numbers, m->attempted[i], sizeof numbers) == 0;
    if (!known)
        fail_msg("seed %llu: neither what was acknowledged nor what was under way", (unsigned long long)seed);
    assert_int_equal(set(kv, "key001", "goes on"), ST_OK);
    kv_close(kv);
}

/* Some commits; in some of them calls fail, and somewhere the power does. */
static void live(uint64_t seed, bool disk_fails)
{
    struct scratch s;
    struct model m = { 0 };
    struct kv_batch b;
    unsigned cuts = 0;

    memset(&machine, 0, sizeof machine);
    machine.seed = seed;
    scratch_make(&s);
    struct kv *kv = open_store(s.store);
    watch(&s);
    kv_batch_init(&b, 4 << 20);
    for (unsigned commit = 0; commit < 30; commit++) {
        kv_batch_reset(&b);
        m.attempts = 0;
        plan(&m, &b);
        machine.calls = 0;
        machine.was_cut = false;
        machine.cut_at = 1 + dice(&machine.seed) % (disk_fails ? 25 : 12);
        enum status st;
        do { /* as the committer does */
            machine.fail_at = 0;
            if (disk_fails && m.attempts < ATTEMPTS_MAX && dice(&machine.seed) % 2 == 0)
                machine.fail_at = machine.calls + 1 + dice(&machine.seed) % 10;
            st = apply_one(kv, &b, NULL);
            assert_true(st == ST_OK || st == ST_IO);
            if (st != ST_OK && dice(&machine.seed) % 2 == 0)
                plan(&m, &b);
        } while (st != ST_OK);
        if (machine.was_cut) {
            ino_t inode = machine.inode;
            machine.inode = 0;
            come_up(&s, &m, seed);
            machine.inode = inode;
            cuts++;
        }
        memcpy(m.acknowledged, m.attempted[m.attempts - 1], sizeof m.acknowledged);
    }
    assert_true(cuts > 0);
    machine.inode = 0;
    close(machine.reader);
    kv_batch_done(&b);
    kv_close(kv);
    scratch_remove(&s);
}

static void a_power_cut_leaves_what_was_acknowledged(void **state UNUSED)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        live(seed, false);
}

static void also_on_a_disk_that_fails(void **state UNUSED)
{
    for (uint64_t seed = 1; seed <= 45; seed++)
        live(seed, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_leaves_what_was_acknowledged),
        cmocka_unit_test(also_on_a_disk_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
