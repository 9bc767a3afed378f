/* mqtt/random_topic.h - for tests only: topic filters of up to 200 levels as they come, and topics that have a good
 * chance to match them, from a seed. Levels may be empty, begin with $, hold UTF-8 of two to four bytes, or be one
 * byte short of another one. */
#ifndef SYMBOLON_MQTT_RANDOM_TOPIC_H
#define SYMBOLON_MQTT_RANDOM_TOPIC_H

#include "base/defs.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define RANDOM_LEVELS 200
#define RANDOM_TEXT   (RANDOM_LEVELS * 9)

static const char *const random_letters[] = {
    "a", "b", "", "ab", "$", "$SYS", "\xc3\xa9", "\xe6\xb8\xa9", "\xe6\xb8\xa9\xe5\xba\xa6", "\xf0\x9f\x8c\xa1"
};

/* splitmix64 */
static inline uint32_t random_roll(uint64_t *dice, uint32_t sides)
{
    uint64_t z = (*dice += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)((z ^ (z >> 31)) >> 32) % sides;
}

/* Few letters and few levels most of the time, so that filters meet. */
static inline const char *random_letter(uint64_t *dice)
{
    return random_letters[random_roll(dice, random_roll(dice, 3) == 0 ? COUNT_OF(random_letters) : 3)];
}

static inline unsigned random_levels(uint64_t *dice)
{
    return 1 + random_roll(dice, random_roll(dice, 4) == 0 ? RANDOM_LEVELS : 5);
}

static inline void random_add(char text[RANDOM_TEXT], const char *level, bool first)
{
    size_t at = strlen(text);

    (void)snprintf(text + at, RANDOM_TEXT - at, "%s%s", first ? "" : "/", level);
}

/* Never empty: MQTT5 [MQTT-4.7.3-1]. */
static inline void random_filter(uint64_t *dice, char text[RANDOM_TEXT])
{
    do {
        unsigned levels = random_levels(dice);

        text[0] = '\0';
        for (unsigned i = 0; i < levels; i++)
            random_add(text, random_roll(dice, 3) == 0 ? "+" : random_letter(dice), i == 0);
        if (random_roll(dice, 3) == 0 && levels < RANDOM_LEVELS)
            random_add(text, "#", false);
    } while (text[0] == '\0');
    if (random_roll(dice, 40) == 0)
        memcpy(text, "#", 2);
}

/* What the filter says, with something for each wildcard; now and then something else, less or more. */
static inline void random_topic(uint64_t *dice, const char *filter, char text[RANDOM_TEXT])
{
    do {
        unsigned odd = random_roll(dice, 5), levels = 0;
        const char *at = filter;

        text[0] = '\0';
        for (;;) {
            size_t len = strcspn(at, "/");
            char level[16] = "";

            (void)snprintf(level, sizeof level, "%.*s", (int)len, at);
            if (*at == '#' && random_roll(dice, 3) == 0)
                break;
            if (*at == '+' || *at == '#' || (odd == 0 && random_roll(dice, 4) == 0))
                (void)snprintf(level, sizeof level, "%s", random_letter(dice));
            random_add(text, level, levels++ == 0);
            if (at[len] == '\0' || (odd == 1 && random_roll(dice, 4) == 0))
                break;
            at += len + 1;
        }
        for (unsigned more = odd == 2 ? random_roll(dice, 3) : 0; more > 0 && levels < RANDOM_LEVELS; more--)
            random_add(text, random_letter(dice), levels++ == 0);
    } while (text[0] == '\0');
}

#endif
