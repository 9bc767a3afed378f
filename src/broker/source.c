/* A table of sets. An address can be in one set only, which its hash names, and there in any of the places. Whoever works
 * on a place holds it (`users`), so that it is not given to another address meanwhile:
 *
 *   holding     users + 1, then look whether the address is still the same
 *   replacing   address -> BUSY, then look whether anybody holds it; if so, put the address back
 *
 * Both in sequentially consistent order: at least one of the two sees the other. Places are filled under the lock. */
#include "broker/source.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define WAYS      8
#define BUSY      UINT64_MAX /* no address */
#define US_PER_MS 1000
#define US_PER_S  INT64_C(1000000)
#define TIMES_MAX 40

/* A ban in one word: when it ends, how often there was one, and whether its end has not been told yet. */
#define BAN_OPEN  UINT64_C(0x80)
#define BAN_TIMES UINT64_C(0x7f)
#define BAN_SHIFT 8

struct place {
    _Alignas(64) _Atomic uint64_t source; /* 0: free */
    _Atomic uint32_t users;
    _Atomic uint32_t arriving, here;
    _Atomic int64_t connects_us, faults_us; /* when the bucket is full again */
    _Atomic uint64_t ban;
    _Atomic int64_t seen_ms;
};

struct sources {
    struct source_settings settings;
    struct net_prefix *exempt;
    struct hash_key key;
    size_t sets; /* a power of two */
    struct place *places;
    pthread_mutex_t lock;
    _Atomic uint64_t known, open_bans, bans, unbans, refused[SOURCE_TOO_MANY + 1];
};

/* ---- life ---- */

enum status sources_new(const struct source_settings *settings, struct hash_key key,
                        struct sources **ret_sources)
{
    struct sources *s = calloc(1, sizeof *s);
    size_t sets = settings->addresses > 0 ? 1 : 0;

    if (s == NULL)
        return ST_NO_MEMORY;
    while (sets > 0 && sets * WAYS < settings->addresses)
        sets *= 2;
    s->settings = *settings;
    s->key = key;
    s->sets = sets;
    s->exempt = calloc(settings->exempt_count + 1, sizeof *s->exempt);
    if (sets > 0)
        s->places = aligned_alloc(64, sets * WAYS * sizeof *s->places);
    if (s->exempt == NULL || (sets > 0 && s->places == NULL) || pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s->exempt);
        free(s->places);
        free(s);
        return ST_NO_MEMORY;
    }
    if (settings->exempt_count > 0)
        memcpy(s->exempt, settings->exempt, settings->exempt_count * sizeof *s->exempt);
    if (sets > 0)
        memset((void *)s->places, 0, sets * WAYS * sizeof *s->places);
    *ret_sources = s;
    return ST_OK;
}

void sources_free(struct sources *s)
{
    if (s == NULL)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s->exempt);
    free(s->places);
    free(s);
}

bool source_exempt(const struct sources *s, struct net_source source)
{
    if (s == NULL || s->sets == 0 || source.bits == 0)
        return true;
    for (size_t i = 0; i < s->settings.exempt_count; i++)
        if (net_prefix_holds(s->exempt[i], source))
            return true;
    return false;
}

/* ---- bans ---- */

static bool ban_is_open(uint64_t ban)
{
    return (ban & BAN_OPEN) != 0;
}

static int64_t ban_left_ms(uint64_t ban, struct mono_time now)
{
    int64_t left = (int64_t)(ban >> BAN_SHIFT) - now.ms;

    return ban_is_open(ban) && left > 0 ? left : 0;
}

/* Times since long ago count no more. */
static uint64_t times_now(const struct sources *s, uint64_t ban, struct mono_time now)
{
    uint64_t times = ban & BAN_TIMES;
    int64_t quiet_ms = now.ms - (int64_t)(ban >> BAN_SHIFT);
    uint64_t calm = quiet_ms <= 0 || s->settings.calm_ms <= 0 ? 0 : (uint64_t)(quiet_ms / s->settings.calm_ms);

    return calm >= times ? 0 : times - calm;
}

static int64_t length_of(const struct sources *s, uint64_t times)
{
    int64_t ms = s->settings.ban_ms;

    for (uint64_t i = 1; i < times && ms < s->settings.ban_max_ms; i++)
        ms *= 2;
    return ms < s->settings.ban_max_ms ? ms : s->settings.ban_max_ms;
}

/* ---- places ---- */

static struct place *set_of(const struct sources *s, struct net_source source)
{
    uint64_t hash = siphash(s->key, span_of((const uint8_t *)&source.bits, sizeof source.bits));

    return &s->places[(hash & (s->sets - 1)) * WAYS];
}

static void let_go(struct place *p)
{
    atomic_fetch_sub(&p->users, 1);
}

/* Held; NULL: it is not known. */
static struct place *find(const struct sources *s, struct net_source source)
{
    struct place *set = set_of(s, source);

    for (int i = 0; i < WAYS; i++) {
        struct place *p = &set[i];
        if (atomic_load_explicit(&p->source, memory_order_relaxed) != source.bits)
            continue;
        atomic_fetch_add(&p->users, 1);
        if (atomic_load(&p->source) == source.bits)
            return p;
        let_go(p);
    }
    return NULL;
}

/* How much would be lost with it. */
static uint64_t interest_of(struct place *p, struct mono_time now)
{
    uint64_t ban = atomic_load_explicit(&p->ban, memory_order_relaxed);
    int64_t full_us = atomic_load_explicit(&p->faults_us, memory_order_relaxed);
    uint64_t clients = (uint64_t)atomic_load_explicit(&p->arriving, memory_order_relaxed) +
                       atomic_load_explicit(&p->here, memory_order_relaxed);
    const uint64_t banned = UINT64_C(3) << 60, suspect = UINT64_C(2) << 60, present = UINT64_C(1) << 60;

    if (ban_left_ms(ban, now) > 0)
        return banned + (uint64_t)ban_left_ms(ban, now);
    if ((ban & BAN_TIMES) != 0 || full_us > now.ms * US_PER_MS)
        return suspect + (full_us > 0 ? (uint64_t)full_us / US_PER_MS : 0);
    if (clients > 0)
        return present + clients;
    return (uint64_t)atomic_load_explicit(&p->seen_ms, memory_order_relaxed);
}

/* Under the lock. False: somebody holds it. */
static bool empty_place(struct sources *s, struct place *p)
{
    uint64_t before = atomic_exchange(&p->source, BUSY);

    if (atomic_load(&p->users) > 0) {
        atomic_store(&p->source, before);
        return false;
    }
    if (before == 0)
        atomic_fetch_add_explicit(&s->known, 1, memory_order_relaxed);
    if (ban_is_open(atomic_exchange_explicit(&p->ban, 0, memory_order_relaxed)))
        atomic_fetch_sub_explicit(&s->open_bans, 1, memory_order_relaxed);
    atomic_store_explicit(&p->arriving, 0, memory_order_relaxed);
    atomic_store_explicit(&p->here, 0, memory_order_relaxed);
    atomic_store_explicit(&p->connects_us, 0, memory_order_relaxed);
    atomic_store_explicit(&p->faults_us, 0, memory_order_relaxed);
    return true;
}

static struct place *least_interesting(struct place *set, struct mono_time now)
{
    struct place *least = NULL;
    uint64_t least_interest = UINT64_MAX;

    for (int i = 0; i < WAYS; i++) {
        struct place *p = &set[i];
        if (atomic_load_explicit(&p->source, memory_order_relaxed) == 0)
            return p;
        uint64_t interest = interest_of(p, now);
        if (atomic_load_explicit(&p->users, memory_order_relaxed) == 0 && interest < least_interest) {
            least = p;
            least_interest = interest;
        }
    }
    return least;
}

/* Held; NULL: all who share its set are being worked on just now. */
static struct place *put_in(struct sources *s, struct net_source source, struct mono_time now)
{
    pthread_mutex_lock(&s->lock);
    struct place *p = find(s, source); /* another thread was faster */
    if (p == NULL) {
        p = least_interesting(set_of(s, source), now);
        if (p != NULL && !empty_place(s, p))
            p = NULL;
        if (p != NULL) {
            atomic_fetch_add(&p->users, 1);
            atomic_store(&p->source, source.bits);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return p;
}

static struct place *find_or_put_in(struct sources *s, struct net_source source, struct mono_time now)
{
    struct place *p = find(s, source);

    if (p == NULL)
        p = put_in(s, source, now);
    if (p != NULL)
        atomic_store_explicit(&p->seen_ms, now.ms, memory_order_relaxed);
    return p;
}

/* ---- counting ---- */

/* One out of a bucket that fills by one each `interval_us` and holds `burst`. */
static bool take_one(_Atomic int64_t *full_us, int64_t now_us, int64_t interval_us, uint32_t burst)
{
    int64_t before = atomic_load_explicit(full_us, memory_order_relaxed), after;

    do {
        after = (before > now_us ? before : now_us) + interval_us;
        if (after - now_us > interval_us * burst)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(full_us, &before, after, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void count_down(_Atomic uint32_t *count)
{
    uint32_t before = atomic_load_explicit(count, memory_order_relaxed);

    /* 0: it was forgotten, and came back, while this connection was here. */
    while (before > 0 && !atomic_compare_exchange_weak_explicit(count, &before, before - 1,
                                                                memory_order_relaxed, memory_order_relaxed))
        ;
}

static bool has_room(const struct sources *s, struct place *p)
{
    uint32_t arriving = atomic_load_explicit(&p->arriving, memory_order_relaxed);
    uint64_t all = (uint64_t)arriving + atomic_load_explicit(&p->here, memory_order_relaxed);

    return (s->settings.max_arriving == 0 || arriving < s->settings.max_arriving) &&
           (s->settings.max_connections == 0 || all < s->settings.max_connections);
}

static enum source_verdict judge(const struct sources *s, struct place *p, struct mono_time now)
{
    uint32_t per_s = s->settings.connects_per_s;

    if (ban_left_ms(atomic_load_explicit(&p->ban, memory_order_relaxed), now) > 0)
        return SOURCE_BANNED;
    if (!has_room(s, p))
        return SOURCE_TOO_MANY;
    if (per_s > 0 &&
        !take_one(&p->connects_us, now.ms * US_PER_MS, US_PER_S / per_s, s->settings.connects_burst))
        return SOURCE_TOO_FAST;
    return SOURCE_WELCOME;
}

enum source_verdict source_connects(struct sources *s, struct net_source source, struct mono_time now)
{
    struct place *p;

    if (source_exempt(s, source) || (p = find_or_put_in(s, source, now)) == NULL)
        return SOURCE_WELCOME;
    enum source_verdict verdict = judge(s, p, now);
    if (verdict == SOURCE_WELCOME)
        atomic_fetch_add_explicit(&p->arriving, 1, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&s->refused[verdict], 1, memory_order_relaxed);
    let_go(p);
    return verdict;
}

void source_arrived(struct sources *s, struct net_source source)
{
    struct place *p;

    if (source_exempt(s, source) || (p = find(s, source)) == NULL)
        return;
    count_down(&p->arriving);
    atomic_fetch_add_explicit(&p->here, 1, memory_order_relaxed);
    let_go(p);
}

void source_left(struct sources *s, struct net_source source, bool arrived)
{
    struct place *p;

    if (source_exempt(s, source) || (p = find(s, source)) == NULL)
        return;
    count_down(arrived ? &p->here : &p->arriving);
    let_go(p);
}

/* How long it is banned from now on; 0: it was already. */
static int64_t ban(struct sources *s, struct place *p, struct mono_time now)
{
    uint64_t before = atomic_load_explicit(&p->ban, memory_order_relaxed), after;
    int64_t length_ms;

    do {
        if (ban_left_ms(before, now) > 0)
            return 0;
        uint64_t times = times_now(s, before, now) + 1;
        length_ms = length_of(s, times);
        after =
            (uint64_t)(now.ms + length_ms) << BAN_SHIFT | BAN_OPEN | (times < TIMES_MAX ? times : TIMES_MAX);
    } while (!atomic_compare_exchange_weak_explicit(&p->ban, &before, after, memory_order_relaxed,
                                                    memory_order_relaxed));
    if (!ban_is_open(before)) /* else its end was not told yet, and need not be */
        atomic_fetch_add_explicit(&s->open_bans, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->bans, 1, memory_order_relaxed);
    return length_ms;
}

int64_t source_fault(struct sources *s, struct net_source source, struct mono_time now)
{
    int64_t length_ms = 0;
    struct place *p;

    if (source_exempt(s, source) || s->settings.faults_per_min == 0 ||
        (p = find_or_put_in(s, source, now)) == NULL)
        return 0;
    if (!take_one(&p->faults_us, now.ms * US_PER_MS, 60 * US_PER_S / s->settings.faults_per_min,
                  s->settings.faults_burst))
        length_ms = ban(s, p, now);
    let_go(p);
    return length_ms;
}

/* ---- for people ---- */

static struct place *place_at(const struct sources *s, size_t i, struct net_source *ret_source)
{
    struct place *p = &s->places[i];

    ret_source->bits = atomic_load_explicit(&p->source, memory_order_relaxed);
    return ret_source->bits == 0 || ret_source->bits == BUSY ? NULL : p;
}

static int longer_first(const void *a, const void *b)
{
    int64_t left_a = ((const struct source_ban *)a)->left_ms, left_b = ((const struct source_ban *)b)->left_ms;

    return left_a < left_b ? 1 : left_a > left_b ? -1 : 0;
}

size_t sources_bans(const struct sources *s, struct mono_time now, struct source_ban *out, size_t cap,
                    size_t *ret_all)
{
    size_t count = 0, shortest = 0;

    *ret_all = 0;
    if (s == NULL || atomic_load_explicit(&s->open_bans, memory_order_relaxed) == 0)
        return 0;
    for (size_t i = 0; i < s->sets * WAYS; i++) {
        struct source_ban row;
        struct place *p = place_at(s, i, &row.source);
        uint64_t ban_word = p == NULL ? 0 : atomic_load_explicit(&p->ban, memory_order_relaxed);

        row.left_ms = ban_left_ms(ban_word, now);
        row.times = (uint32_t)(ban_word & BAN_TIMES);
        if (row.left_ms == 0)
            continue;
        ++*ret_all;
        if (count < cap)
            out[count++] = row;
        else if (cap > 0 && row.left_ms > out[shortest].left_ms)
            out[shortest] = row;
        else
            continue;
        for (size_t k = 0; count == cap && k < count; k++)
            if (out[k].left_ms < out[shortest].left_ms)
                shortest = k;
    }
    qsort(out, count, sizeof *out, longer_first);
    return count;
}

size_t sources_released(struct sources *s, struct mono_time now, struct net_source *out, size_t cap)
{
    size_t count = 0;

    if (s == NULL || atomic_load_explicit(&s->open_bans, memory_order_relaxed) == 0)
        return 0;
    for (size_t i = 0; i < s->sets * WAYS && count < cap; i++) {
        struct net_source source;
        struct place *p = place_at(s, i, &source);
        uint64_t word = p == NULL ? 0 : atomic_load_explicit(&p->ban, memory_order_relaxed);

        if (!ban_is_open(word) || ban_left_ms(word, now) > 0 || (p = find(s, source)) == NULL)
            continue;
        if (atomic_compare_exchange_strong_explicit(&p->ban, &word, word & ~BAN_OPEN, memory_order_relaxed,
                                                    memory_order_relaxed)) {
            atomic_fetch_sub_explicit(&s->open_bans, 1, memory_order_relaxed);
            out[count++] = source;
        }
        let_go(p);
    }
    return count;
}

bool source_unban(struct sources *s, struct net_source source, struct mono_time now)
{
    struct place *p;

    if (s == NULL || s->sets == 0 || source.bits == 0 || (p = find(s, source)) == NULL)
        return false;
    uint64_t word = atomic_exchange_explicit(&p->ban, 0, memory_order_relaxed);
    bool was = ban_left_ms(word, now) > 0;
    atomic_store_explicit(&p->faults_us, 0, memory_order_relaxed);
    if (ban_is_open(word))
        atomic_fetch_sub_explicit(&s->open_bans, 1, memory_order_relaxed);
    if (was)
        atomic_fetch_add_explicit(&s->unbans, 1, memory_order_relaxed);
    let_go(p);
    return was;
}

size_t sources_unban_all(struct sources *s, struct mono_time now)
{
    size_t count = 0;

    for (size_t i = 0; s != NULL && i < s->sets * WAYS; i++) {
        struct net_source source;
        if (place_at(s, i, &source) != NULL && source_unban(s, source, now))
            count++;
    }
    return count;
}

void sources_totals(const struct sources *s, struct mono_time now, struct source_totals *out)
{
    *out = (struct source_totals){ 0 };
    if (s == NULL)
        return;
    struct source_ban none;
    size_t banned;
    (void)sources_bans(s, now, &none, 0, &banned);
    out->banned_now = banned;
    out->known = atomic_load_explicit(&s->known, memory_order_relaxed);
    out->bans = atomic_load_explicit(&s->bans, memory_order_relaxed);
    out->unbans = atomic_load_explicit(&s->unbans, memory_order_relaxed);
    out->refused_banned = atomic_load_explicit(&s->refused[SOURCE_BANNED], memory_order_relaxed);
    out->refused_fast = atomic_load_explicit(&s->refused[SOURCE_TOO_FAST], memory_order_relaxed);
    out->refused_many = atomic_load_explicit(&s->refused[SOURCE_TOO_MANY], memory_order_relaxed);
}
