#include "cli/properties.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const places[PROPERTY_PLACES] = {
    [AT_CONNECT] = "connect",         [AT_PUBLISH] = "publish",       [AT_SUBSCRIBE] = "subscribe",
    [AT_UNSUBSCRIBE] = "unsubscribe", [AT_DISCONNECT] = "disconnect", [AT_WILL] = "will",
};

#define OF(member) offsetof(struct properties, member)

/* clang-format off */
/* Texts have no maximum. User properties belong everywhere. */
static const struct property {
    enum property_place place;
    const char *name;
    size_t offset;
    int64_t min, max;
} known[] = {
    { AT_CONNECT,    "maximum-packet-size",          OF(maximum_packet_size),    1, UINT32_MAX },
    { AT_CONNECT,    "receive-maximum",              OF(receive_maximum),        1, UINT16_MAX },
    { AT_CONNECT,    "request-problem-information",  OF(problem_info),           0, 1          },
    { AT_CONNECT,    "request-response-information", OF(response_info),          0, 1          },
    { AT_CONNECT,    "session-expiry-interval",      OF(session_expiry),         0, UINT32_MAX },
    { AT_CONNECT,    "topic-alias-maximum",          OF(alias_maximum),          0, UINT16_MAX },
    { AT_SUBSCRIBE,  "subscription-identifier",      OF(subscription_id),        1, 268435455  },
    { AT_DISCONNECT, "session-expiry-interval",      OF(goodbye_session_expiry), 0, UINT32_MAX },
    { AT_WILL,       "message-expiry-interval",      OF(will_expiry),            0, UINT32_MAX },
    { AT_WILL,       "payload-format-indicator",     OF(will_utf8),              0, 1          },
    { AT_WILL,       "will-delay-interval",          OF(will_delay),             0, UINT32_MAX },
    { AT_WILL,       "content-type",                 OF(will_content_type),      0, 0          },
    { AT_WILL,       "correlation-data",             OF(will_correlation_data),  0, 0          },
    { AT_WILL,       "response-topic",               OF(will_response_topic),    0, 0          },
    { AT_PUBLISH,    "message-expiry-interval",      OF(expiry),                 0, UINT32_MAX },
    { AT_PUBLISH,    "payload-format-indicator",     OF(utf8),                   0, 1          },
    { AT_PUBLISH,    "topic-alias",                  OF(topic_alias),            1, UINT16_MAX },
    { AT_PUBLISH,    "content-type",                 OF(content_type),           0, 0          },
    { AT_PUBLISH,    "correlation-data",             OF(correlation_data),       0, 0          },
    { AT_PUBLISH,    "response-topic",               OF(response_topic),         0, 0          },
};
/* clang-format on */

static struct symbolon_bytes text(const char *s)
{
    return (struct symbolon_bytes){ s, strlen(s) };
}

bool user_properties_add(struct user_properties *list, struct symbolon_bytes name, struct symbolon_bytes value)
{
    struct symbolon_user_property *items = reallocarray(list->items, list->count + 1, sizeof *items);

    if (items == NULL)
        return false;
    items[list->count++] = (struct symbolon_user_property){ name, value };
    list->items = items;
    return true;
}

static const char *set(const struct property *p, const char *value, struct properties *out)
{
    char *end;

    if (p->max == 0) {
        *(const char **)((char *)out + p->offset) = value;
        return NULL;
    }
    errno = 0;
    long long v = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || v < p->min || v > p->max)
        return "-D: the value of a property is not a number it can have";
    *(int64_t *)((char *)out + p->offset) = v;
    return NULL;
}

static const char *read_one(const char *const *words, uint32_t allowed, struct properties *out)
{
    size_t place = 0;

    while (place < PROPERTY_PLACES && strcmp(words[0], places[place]) != 0)
        place++;
    if (place == PROPERTY_PLACES || (allowed & IN(place)) == 0)
        return "-D: this command has no packet of that name";
    if (strcmp(words[1], "user-property") == 0)
        return user_properties_add(&out->user[place], text(words[2]), text(words[3])) ? NULL : "out of memory";
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (known[i].place == place && strcmp(known[i].name, words[1]) == 0)
            return set(&known[i], words[2], out);
    if (strncmp(words[1], "authentication-", strlen("authentication-")) == 0)
        return "-D: authentication is what --pop, --token and the rest of the ACE options are for";
    return "-D: no such property of that packet";
}

const char *properties_read(const struct text_list *words, uint32_t allowed, struct properties *out)
{
    const char *complaint = NULL;

    *out = (struct properties){ .maximum_packet_size = -1,
                                .receive_maximum = -1,
                                .problem_info = -1,
                                .response_info = -1,
                                .session_expiry = -1,
                                .alias_maximum = -1,
                                .subscription_id = -1,
                                .goodbye_session_expiry = -1,
                                .will_expiry = -1,
                                .will_utf8 = -1,
                                .will_delay = -1,
                                .expiry = -1,
                                .utf8 = -1,
                                .topic_alias = -1 };
    for (size_t i = 0; complaint == NULL && i + 3 < words->count; i += 4)
        complaint = read_one(words->items + i, allowed, out);
    return complaint;
}

void properties_done(struct properties *properties)
{
    for (size_t i = 0; i < PROPERTY_PLACES; i++)
        free(properties->user[i].items);
    *properties = (struct properties){ 0 };
}
