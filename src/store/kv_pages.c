/* Layout of a page (little-endian): its own number (8 bytes), 2 unused, flags (2), then
 *   branch, leaf:  end of the offsets (2), start of the nodes (2), the offset of each node (2 each), room, nodes
 *   overflow:      number of pages (4), then the value, running on through them
 *   head:          4 unused, magic (4), version (4), address (8), map size (8), two trees, last page (8), commit (8)
 * A tree: key size (4; of the first tree: the page size), flags (2), depth (2), counts of branch, leaf and overflow pages (8
 * each), entries (8), root (8). A node: 6 bytes, length of its key (2), key, value. The 6 bytes are the child's page number in a
 * branch; in a leaf the value's length (4) and flags (2): BIG says that the value is the number of an overflow page. */
#include "store/kv_pages_priv.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES    16u
#define HEAD_MAGIC      0xBEEFC0DEu
#define HEAD_VERSION    1u
#define HEAD_BYTES      (HEADER_BYTES + 136u)
#define TREE_BYTES      48u
#define NODE_BYTES      8u
#define PAGE_SIZE_LEAST 512u
#define PAGE_SIZE_MOST  65536u
#define DEPTH_MAX       32u /* LMDB's cursors go no deeper */

enum { FLAG_BRANCH = 1, FLAG_LEAF = 2, FLAG_OVERFLOW = 4, FLAG_HEAD = 8 };
#define NODE_BIG 1u

struct walk {
    int fd;
    const struct pages_head *head;
    const struct pages_tree *tree; /* the one being walked */
    uint64_t pages;                /* below this number: in the file and in use */
    uint8_t *seen;                 /* a bit for each */
    uint8_t *stack;                /* a page for each level */
    struct buf value;              /* one that runs over several pages */
    uint8_t last_key[KV_KEY_MAX];  /* all keys must ascend */
    size_t last_key_len;           /* 0: none yet */
    uint64_t entries;
    kv_visit_fn *visit;
    void *ctx;
    struct kv_findings *out;
};

/* ---- numbers at places that were checked ---- */

static uint16_t u16_at(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return le16toh(v);
}

static uint32_t u32_at(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t u64_at(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

/* ---- heads ---- */

static bool read_tree(const uint8_t *p, struct pages_tree *out)
{
    out->depth = u16_at(p + 6);
    out->entries = u64_at(p + 32);
    out->root = u64_at(p + 40);
    return out->depth <= DEPTH_MAX && (out->root == PAGES_NO_ROOT) == (out->depth == 0);
}

static bool read_head(const uint8_t *p, struct pages_head *out)
{
    if ((u16_at(p + 10) & FLAG_HEAD) == 0 || u32_at(p + 16) != HEAD_MAGIC || u32_at(p + 20) != HEAD_VERSION)
        return false;
    out->page_size = u32_at(p + 40);
    out->last_page = u64_at(p + HEAD_BYTES - 16);
    out->commit = u64_at(p + HEAD_BYTES - 8);
    return read_tree(p + 40, &out->free) && read_tree(p + 40 + TREE_BYTES, &out->main) &&
           out->page_size >= PAGE_SIZE_LEAST && out->page_size <= PAGE_SIZE_MOST &&
           (out->page_size & (out->page_size - 1)) == 0 && out->last_page >= PAGES_HEADS - 1 &&
           out->last_page < UINT64_MAX / out->page_size;
}

static enum status read_exactly(int fd, uint8_t *p, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? ST_IO : ST_DAMAGED;
        p += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return ST_OK;
}

enum status pages_read_heads(int fd, struct pages_head heads[PAGES_HEADS], struct why *why)
{
    uint64_t at = 0;

    for (unsigned i = 0; i < PAGES_HEADS; i++) {
        uint8_t bytes[HEAD_BYTES];
        enum status st = read_exactly(fd, bytes, sizeof bytes, at);
        if (st == ST_IO)
            return reject(why, ST_IO, "store", "the file cannot be read", at);
        if (st != ST_OK)
            return reject(why, ST_DAMAGED, "store", "the file is too short", at);
        if (!read_head(bytes, &heads[i]))
            return reject(why, ST_DAMAGED, "store", "not the head of a store", at);
        at += heads[0].page_size;
    }
    if (heads[0].page_size != heads[1].page_size)
        return reject(why, ST_DAMAGED, "store", "two heads that contradict each other", 0);
    return ST_OK;
}

const struct pages_head *pages_newest(const struct pages_head heads[PAGES_HEADS])
{
    return &heads[heads[1].commit > heads[0].commit ? 1 : 0]; /* as LMDB chooses */
}

static bool same_tree(const struct pages_tree *a, const struct pages_tree *b)
{
    return a->root == b->root && a->entries == b->entries && a->depth == b->depth;
}

bool pages_same_head(const struct pages_head *a, const struct pages_head *b)
{
    return a->commit == b->commit && a->last_page == b->last_page && same_tree(&a->main, &b->main) &&
           same_tree(&a->free, &b->free);
}

enum status pages_find_head(int fd, struct pages_head *ret_head, struct why *why)
{
    struct pages_head head;
    uint8_t bytes[HEAD_BYTES];
    bool found = false;

    /* Where the second one begins is what the first one says; without it, each possible place is tried. */
    for (uint64_t at = 0; at <= PAGE_SIZE_MOST; at = at == 0 ? PAGE_SIZE_LEAST : at * 2) {
        if (read_exactly(fd, bytes, sizeof bytes, at) != ST_OK || !read_head(bytes, &head) ||
            (at != 0 && head.page_size != at) || (found && head.commit <= ret_head->commit))
            continue;
        *ret_head = head;
        found = true;
    }
    return found ? ST_OK : reject(why, ST_DAMAGED, "store", "not the head of a store", 0);
}

int pages_settle(int fd)
{
    struct pages_head heads[PAGES_HEADS];
    uint8_t bytes[PAGE_SIZE_LEAST]; /* a sector: the heads change nowhere else */

    if (pages_read_heads(fd, heads, NULL) != ST_OK)
        return EIO;
    for (unsigned i = 0; i < PAGES_HEADS; i++) {
        off_t at = (off_t)i * heads[0].page_size;
        errno = EIO;
        if (pread(fd, bytes, sizeof bytes, at) != sizeof bytes ||
            pwrite(fd, bytes, sizeof bytes, at) != sizeof bytes)
            return errno;
    }
    return fdatasync(fd) == 0 ? 0 : errno;
}

/* ---- the walk ---- */

static void note(struct walk *w, const char *text, uint64_t page)
{
    if (w->out->first.clause == NULL)
        (void)reject(&w->out->first, ST_DAMAGED, "store", text, page * w->head->page_size);
}

static enum status bad_page(struct walk *w, const char *text, uint64_t page)
{
    w->out->bad_pages++;
    note(w, text, page);
    return ST_OK;
}

static enum status bad_entry(struct walk *w, const char *text, uint64_t page)
{
    w->out->bad_entries++;
    note(w, text, page);
    return ST_OK;
}

/* False for a page that cannot be, or that something else has already. */
static bool claim(struct walk *w, uint64_t page)
{
    if (page < PAGES_HEADS || page >= w->pages)
        return false;
    uint8_t bit = (uint8_t)(1u << (page & 7));
    if ((w->seen[page >> 3] & bit) != 0)
        return false;
    w->seen[page >> 3] |= bit;
    w->out->pages++;
    return true;
}

/* LMDB's order: bytes, then length. */
static int compare(struct span a, struct span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int first = len == 0 ? 0 : memcmp(a.p, b.p, len);

    return first != 0 ? first : (a.len > b.len) - (a.len < b.len);
}

/* The free tree's keys are numbers in the machine's order. */
static bool ascends(const struct walk *w, struct span low, struct span high)
{
    if (w->tree == &w->head->free)
        return low.len == 8 && high.len == 8 && u64_at(low.p) < u64_at(high.p);
    return compare(low, high) < 0;
}

struct node {
    const uint8_t *p; /* its 8 bytes */
    struct span key;
    size_t left; /* from the end of its key to the end of the page */
};

static bool node_at(const struct walk *w, const uint8_t *page, unsigned i, struct node *out)
{
    size_t size = w->head->page_size, upper = u16_at(page + 14);
    size_t at = u16_at(page + HEADER_BYTES + 2 * i);

    if (at < upper || at > size - NODE_BYTES)
        return false;
    out->p = page + at;
    size_t key_len = u16_at(out->p + 6);
    if (key_len > size - at - NODE_BYTES)
        return false;
    out->key = span_of(out->p + NODE_BYTES, key_len);
    out->left = size - at - NODE_BYTES - key_len;
    return true;
}

/* A value on pages of its own, read into w->value. */
static enum status big_value(struct walk *w, uint64_t first, uint32_t len, struct span *ret_value)
{
    uint32_t size = w->head->page_size;
    uint64_t count = ((uint64_t)HEADER_BYTES - 1 + len) / size + 1;
    uint8_t header[HEADER_BYTES];

    if (first < PAGES_HEADS || first >= w->pages || count > w->pages - first)
        return ST_DAMAGED;
    if (read_exactly(w->fd, header, sizeof header, first * size) != ST_OK || u64_at(header) != first ||
        u16_at(header + 10) != FLAG_OVERFLOW || u32_at(header + 12) < count ||
        u32_at(header + 12) > w->pages - first)
        return ST_DAMAGED;
    for (uint64_t i = 0; i < u32_at(header + 12); i++) {
        if (!claim(w, first + i))
            return ST_DAMAGED;
    }
    buf_reset(&w->value);
    uint8_t *room = buf_room(&w->value, len);
    if (room == NULL)
        return ST_NO_MEMORY;
    if (read_exactly(w->fd, room, len, first * size + HEADER_BYTES) != ST_OK)
        return ST_DAMAGED;
    *ret_value = span_of(room, len);
    return ST_OK;
}

/* A list of free pages: how many, then their numbers. LMDB will write to them: none may be in use. */
static enum status free_list(struct walk *w, struct span list, uint64_t page)
{
    if (list.len < 8 || list.len % 8 != 0 || u64_at(list.p) != list.len / 8 - 1)
        return bad_entry(w, "a list of free pages that makes no sense", page);
    for (size_t at = 8; at < list.len; at += 8) {
        uint64_t number = u64_at(list.p + at);
        /* The last ones may lie behind the end of the file: used and freed in one transaction, never written. */
        if (number >= w->pages && number <= w->head->last_page)
            continue;
        if (!claim(w, number))
            return bad_entry(w, "a page is free and in use", number);
        w->out->pages--; /* not reached, only free */
    }
    return ST_OK;
}

static enum status entry(struct walk *w, const struct node *node, uint64_t page)
{
    uint32_t len = u32_at(node->p);
    uint16_t flags = u16_at(node->p + 4);
    struct span value = span_of(node->key.p + node->key.len, len);

    if (node->key.len == 0 || node->key.len > KV_KEY_MAX || (flags & ~NODE_BIG) != 0 ||
        node->left < ((flags & NODE_BIG) != 0 ? 8u : len))
        return bad_entry(w, "an entry that makes no sense", page);
    if (w->last_key_len > 0 && !ascends(w, span_of(w->last_key, w->last_key_len), node->key))
        return bad_entry(w, "an entry out of order", page);
    memcpy(w->last_key, node->key.p, node->key.len);
    w->last_key_len = node->key.len;
    if ((flags & NODE_BIG) != 0) {
        enum status st = big_value(w, u64_at(value.p), len, &value);
        if (st == ST_DAMAGED)
            return bad_entry(w, "the pages of a long value are damaged", page);
        if (st != ST_OK)
            return st;
    }
    w->entries++;
    if (w->tree == &w->head->free)
        return free_list(w, value, page);
    w->out->entries++;
    return w->visit == NULL ? ST_OK : w->visit(w->ctx, node->key, value);
}

/* Reads a page of a tree onto its level of the stack and checks its frame. NULL after bad_page(). */
static const uint8_t *tree_page(struct walk *w, uint64_t page, unsigned level)
{
    uint32_t size = w->head->page_size;
    uint8_t *p = w->stack + (size_t)level * size;
    bool leaf = level + 1 == w->tree->depth;

    if (!claim(w, page)) {
        (void)bad_page(w, "a page that is not there, or is used twice", page);
        return NULL;
    }
    if (read_exactly(w->fd, p, size, page * size) != ST_OK) {
        (void)bad_page(w, "a page cannot be read", page);
        return NULL;
    }
    size_t lower = u16_at(p + 12), upper = u16_at(p + 14);
    if (u64_at(p) != page || u16_at(p + 10) != (leaf ? FLAG_LEAF : FLAG_BRANCH) || lower < HEADER_BYTES + 2 ||
        lower % 2 != 0 || upper < lower || upper > size) {
        (void)bad_page(w, "a page that makes no sense", page);
        return NULL;
    }
    return p;
}

static enum status walk_page(struct walk *w, uint64_t page, unsigned level, struct span low, struct span high);

/* One child of a branch, with the keys between which its entries must lie. */
static enum status walk_child(struct walk *w, const uint8_t *p, unsigned i, unsigned count, uint64_t page,
                              unsigned level, struct span low, struct span high)
{
    struct node node, next;

    if (!node_at(w, p, i, &node) || (i + 1 < count && !node_at(w, p, i + 1, &next)))
        return bad_page(w, "a reference to a page that makes no sense", page);
    uint64_t child = u32_at(node.p) | (uint64_t)u16_at(node.p + 4) << 32;
    return walk_page(w, child, level + 1, i == 0 ? low : node.key, i + 1 < count ? next.key : high);
}

/* False if the page's first or last key lies outside what the branch above says, so that searching would miss it. */
static bool within(const struct walk *w, const struct node *node, struct span low, struct span high)
{
    return (low.p == NULL || !ascends(w, node->key, low)) && (high.p == NULL || ascends(w, node->key, high));
}

/* At most DEPTH_MAX deep: tree->depth was checked. */
static enum status walk_page(struct walk *w, uint64_t page, unsigned level, struct span low, struct span high)
{
    const uint8_t *p = tree_page(w, page, level);

    if (p == NULL)
        return ST_OK;
    unsigned count = (u16_at(p + 12) - HEADER_BYTES) / 2;
    for (unsigned i = 0; i < count; i++) {
        enum status st;
        struct node node;
        if (level + 1 < w->tree->depth)
            st = walk_child(w, p, i, count, page, level, low, high);
        else if (!node_at(w, p, i, &node))
            st = bad_entry(w, "an entry outside its page", page);
        else if (!within(w, &node, low, high))
            st = bad_entry(w, "an entry on the wrong page", page);
        else
            st = entry(w, &node, page);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status walk_tree(struct walk *w, const struct pages_tree *tree)
{
    w->tree = tree;
    w->entries = 0;
    w->last_key_len = 0;
    enum status st = tree->depth == 0 ? ST_OK : walk_page(w, tree->root, 0, SPAN_NONE, SPAN_NONE);
    if (st == ST_OK && w->entries != tree->entries) {
        w->out->missed += w->entries < tree->entries ? tree->entries - w->entries : 0;
        note(w, "another number of entries than the head says", 0);
    }
    return st;
}

enum status pages_walk(int fd, const struct pages_head *head, kv_visit_fn *visit, void *ctx,
                       struct kv_findings *out, struct why *why)
{
    struct walk w = { .fd = fd, .head = head, .visit = visit, .ctx = ctx, .out = out };
    struct stat file;

    *out = (struct kv_findings){ 0 };
    if (fstat(fd, &file) != 0)
        return reject(why, ST_IO, "store", "the file cannot be read", 0);
    w.pages = (uint64_t)file.st_size / head->page_size;
    if (w.pages > head->last_page + 1)
        w.pages = head->last_page + 1;
    buf_init(&w.value, SIZE_MAX / 4);
    w.seen = calloc(w.pages / 8 + 1, 1);
    w.stack = malloc((size_t)DEPTH_MAX * head->page_size);
    enum status st = w.seen == NULL || w.stack == NULL ? ST_NO_MEMORY : ST_OK;
    if (st == ST_OK)
        st = walk_tree(&w, &head->main);
    if (st == ST_OK)
        st = walk_tree(&w, &head->free);
    if (st == ST_NO_MEMORY)
        (void)reject(why, ST_NO_MEMORY, "store", "no memory for the walk through the file", 0);
    free(w.seen);
    free(w.stack);
    buf_done(&w.value);
    return st;
}
