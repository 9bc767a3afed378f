#include "base/timer.h"

#define SLOT_BITS 6
#define SLOT_MASK (TIMER_SLOTS - 1)

static int64_t tick_of(struct mono_time t)
{
    return t.ms / TIMER_TICK_MS;
}

void timer_wheel_init(struct timer_wheel *w, struct mono_time now)
{
    w->tick = tick_of(now);
    w->count = 0;
    w->soon = 0;
    for (int level = 0; level < TIMER_LEVELS; level++) {
        w->count_at[level] = 0;
        for (int slot = 0; slot < TIMER_SLOTS; slot++)
            list_init(&w->slots[level][slot]);
    }
}

void timer_init(struct timer *t, timer_fn *fire)
{
    *t = (struct timer){ .fire = fire };
    list_init(&t->link);
}

bool timer_running(const struct timer *t)
{
    return list_linked(&t->link);
}

/* Level k holds what is due within 64^(k+1) ticks, in the slot its due tick has at that level. */
static void place(struct timer_wheel *w, struct timer *t)
{
    int64_t due = t->due_tick;
    int64_t ahead = due - w->tick;
    int level = 0;

    while (level < TIMER_LEVELS - 1 && ahead >= (int64_t)1 << (SLOT_BITS * (level + 1)))
        level++;
    if (ahead >= (int64_t)1 << (SLOT_BITS * TIMER_LEVELS)) /* beyond the wheel: as far as it goes, then again */
        due = w->tick + ((int64_t)1 << (SLOT_BITS * TIMER_LEVELS)) - 1;
    t->level = level;
    w->count_at[level]++;
    if (level == 0)
        w->soon |= UINT64_C(1) << (due & SLOT_MASK);
    list_append(&w->slots[level][due >> (SLOT_BITS * level) & SLOT_MASK], &t->link);
}

static void note_empty(struct timer_wheel *w, int64_t tick)
{
    if (list_empty(&w->slots[0][tick & SLOT_MASK]))
        w->soon &= ~(UINT64_C(1) << (tick & SLOT_MASK));
}

void timer_start(struct timer_wheel *w, struct timer *t, struct mono_time due)
{
    timer_stop(w, t);
    t->due_tick = (due.ms + TIMER_TICK_MS - 1) / TIMER_TICK_MS;
    if (t->due_tick <= w->tick)
        t->due_tick = w->tick + 1;
    place(w, t);
    w->count++;
}

void timer_stop(struct timer_wheel *w, struct timer *t)
{
    if (!timer_running(t))
        return;
    list_remove(&t->link);
    w->count_at[t->level]--;
    w->count--;
    if (t->level == 0)
        note_empty(w, t->due_tick);
}

/* Moves the slot's timers one level down, nearer to their time. */
static void cascade(struct timer_wheel *w, int level)
{
    struct list *slot = &w->slots[level][w->tick >> (SLOT_BITS * level) & SLOT_MASK];
    struct list moved;

    if (list_empty(slot))
        return;
    moved = *slot; /* take the whole chain over, as place() may put one back into this very slot */
    moved.next->prev = &moved;
    moved.prev->next = &moved;
    list_init(slot);
    for (struct list *l = list_shift(&moved); l != NULL; l = list_shift(&moved)) {
        w->count_at[level]--;
        place(w, CONTAINER_OF(l, struct timer, link));
    }
}

static void fire_slot(struct timer_wheel *w, struct now now)
{
    struct list *slot = &w->slots[0][w->tick & SLOT_MASK];

    for (struct list *l = list_shift(slot); l != NULL; l = list_shift(slot)) {
        struct timer *t = CONTAINER_OF(l, struct timer, link);
        w->count_at[0]--;
        w->count--;
        t->fire(t, now);
    }
    note_empty(w, w->tick);
}

/* The last tick before something can happen: nothing on the lowest levels means whole rounds of them are
 * skipped, so that waking up after a long sleep does not walk every tick of it. */
static int64_t last_idle_tick(const struct timer_wheel *w)
{
    int64_t idle = w->tick;

    for (int level = 0; level < TIMER_LEVELS - 1 && w->count_at[level] == 0; level++)
        idle = w->tick | (((int64_t)1 << (SLOT_BITS * (level + 1))) - 1);
    return idle;
}

void timer_wheel_advance(struct timer_wheel *w, struct now now)
{
    int64_t target = tick_of(now.mono);

    while (w->tick < target) {
        int64_t idle = w->count == 0 ? target : last_idle_tick(w);
        if (idle >= target) {
            w->tick = target;
            break;
        }
        w->tick = idle + 1;
        for (int level = TIMER_LEVELS - 1; level > 0; level--)
            if ((w->tick & (((int64_t)1 << (SLOT_BITS * level)) - 1)) == 0)
                cascade(w, level);
        fire_slot(w, now);
    }
}

/* Ticks until the next slot of the lowest level that holds something; more than TIMER_SLOTS: none does. */
static int64_t ticks_ahead(const struct timer_wheel *w)
{
    unsigned first = (unsigned)((w->tick + 1) & SLOT_MASK);
    uint64_t from_first = first == 0 ? w->soon : w->soon >> first | w->soon << (TIMER_SLOTS - first);

    return from_first == 0 ? INT64_MAX : 1 + __builtin_ctzll(from_first);
}

int64_t timer_wheel_wait_ms(const struct timer_wheel *w, struct mono_time now)
{
    int64_t ahead, round;

    if (w->count == 0)
        return -1;
    ahead = ticks_ahead(w);
    round = TIMER_SLOTS - (w->tick & SLOT_MASK); /* where the level above comes down */
    int64_t wait = (w->tick + (ahead < round ? ahead : round)) * TIMER_TICK_MS - now.ms;
    return wait < 0 ? 0 : wait;
}
