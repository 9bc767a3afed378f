/* tests/instructions/scenario.h - what is counted. Each scenario is set up, and then does one thing over and over; run
 * counts the instructions of so many and of twice as many, and the difference is what they cost. */
#ifndef SYMBOLON_TESTS_INSTRUCTIONS_SCENARIO_H
#define SYMBOLON_TESTS_INSTRUCTIONS_SCENARIO_H

struct scenario {
    const char *name;
    const char *per;     /* what one operation is */
    unsigned operations; /* in the shorter run; four times as many in all: first as many that do not count */
    unsigned units;      /* of `per` in each call of one(); divides `operations` */
    void *(*set_up)(unsigned calls);      /* of one(), in all */
    void (*one)(void *state, unsigned i); /* i: 0, 1, 2 ... */
};

extern const struct scenario message_scenarios[], tree_scenarios[], session_scenarios[], token_scenarios[],
    as_scenarios[]; /* each ends with a name that is NULL */

#endif
