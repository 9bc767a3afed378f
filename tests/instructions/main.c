/* counts: the program under callgrind (tests/instructions/run).
 *   counts            names, operations of the shorter run, and what one is; tab between them
 *   counts NAME       sets that one up, and writes two callgrind profiles: n operations, and 2n
 *   counts NAME N     without callgrind: N times as many, for perf */
#include "scenario.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <valgrind/callgrind.h>

static const struct scenario *const all[] = { message_scenarios, tree_scenarios, session_scenarios,
                                              token_scenarios, as_scenarios };
#define EACH_SCENARIO(s)                                       \
    for (size_t i_ = 0; i_ < sizeof all / sizeof all[0]; i_++) \
        for (const struct scenario *s = all[i_]; s->name != NULL; s++)

/* ---- the same in each run: in front of the C library's, for all libraries ---- */

ssize_t getrandom(void *p, size_t len, unsigned flags)
{
    static uint64_t seed;

    (void)flags;
    for (size_t i = 0; i < len; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((uint8_t *)p)[i] = (uint8_t)(seed >> 56);
    }
    return (ssize_t)len;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    (void)clock;
    *out = (struct timespec){ .tv_sec = 1800000000 };
    return 0;
}

/* ---- */

static void list(void)
{
    EACH_SCENARIO(s)
    printf("%s\t%u\t%s\n", s->name, s->operations, s->per);
}

static unsigned operate(const struct scenario *s, void *state, unsigned from, unsigned calls)
{
    for (unsigned i = from; i < from + calls; i++)
        s->one(state, i);
    return from + calls;
}

static void count(const struct scenario *s)
{
    unsigned calls = s->operations / s->units, at = 0;
    void *state = s->set_up(4 * calls);

    CALLGRIND_START_INSTRUMENTATION;
    at = operate(s, state, at, calls);
    CALLGRIND_ZERO_STATS;
    at = operate(s, state, at, calls);
    CALLGRIND_DUMP_STATS_AT("short");
    operate(s, state, at, 2 * calls);
    CALLGRIND_DUMP_STATS_AT("long");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        list();
        return 0;
    }
    json_object_seed(1);
    EACH_SCENARIO(s)
    {
        if (strcmp(s->name, argv[1]) != 0)
            continue;
        if (argc == 2) {
            count(s);
        } else {
            unsigned calls = s->operations / s->units * (unsigned)strtoul(argv[2], NULL, 10);
            operate(s, s->set_up(calls), 0, calls);
        }
        fflush(NULL);
        _Exit(0); /* nothing is taken down: it is not what is counted */
    }
    fprintf(stderr, "no scenario named %s\n", argv[1]);
    return 1;
}
