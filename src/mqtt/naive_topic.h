/* mqtt/naive_topic.h - for tests only: matching read aloud from MQTT5 4.7, recursive, on C strings, and all short
 * topics of an alphabet. What the real code computes is compared with this. */
#ifndef SYMBOLON_MQTT_NAIVE_TOPIC_H
#define SYMBOLON_MQTT_NAIVE_TOPIC_H

#include "base/defs.h"

#include <stdio.h>
#include <string.h>

static inline bool naive_levels(const char *f, const char *t)
{
    size_t fl = strcspn(f, "/"), tl = strcspn(t, "/");

    if (strcmp(f, "#") == 0)
        return true;
    if (!(fl == 1 && f[0] == '+') && (fl != tl || strncmp(f, t, fl) != 0))
        return false;
    if (f[fl] == '\0' || t[tl] == '\0')
        return (f[fl] == '\0' && t[tl] == '\0') || strcmp(f + fl, "/#") == 0;
    return naive_levels(f + fl + 1, t + tl + 1);
}

static inline bool naive_matches(const char *f, const char *t)
{
    return !(t[0] == '$' && (f[0] == '+' || f[0] == '#')) && naive_levels(f, t);
}

#define NAIVE_TOPICS 1024
#define NAIVE_TEXT   24

struct naive_topics {
    size_t count;
    char text[NAIVE_TOPICS][NAIVE_TEXT];
};

/* All of `letters` joined by '/', one to `depth` levels. */
static inline void naive_enumerate(struct naive_topics *all, const char *const *letters, size_t n,
                                   unsigned depth)
{
    size_t from = 0, until = 0;

    all->count = 0;
    for (; all->count < n; all->count++)
        snprintf(all->text[all->count], NAIVE_TEXT, "%s", letters[all->count]);
    for (unsigned d = 1; d < depth; d++, from = until) {
        until = all->count;
        for (size_t i = from; i < until; i++)
            for (size_t k = 0; k < n && all->count < NAIVE_TOPICS; k++)
                snprintf(all->text[all->count++], NAIVE_TEXT, "%.15s/%.7s", all->text[i], letters[k]);
    }
}

#endif
