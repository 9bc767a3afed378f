#include "base/status.h"

static const struct {
    const char *name;
    uint8_t mqtt5;
    const char *oauth;
    int http;
    const char *text;
} statuses[STATUSES] = {
#define STATUS_ROW(name, mqtt5, oauth, http, text) [ST_##name] = { #name, mqtt5, oauth, http, text },
    STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

enum status reject(struct why *why, enum status st, const char *clause, const char *text, size_t at)
{
    if (why != NULL)
        *why = (struct why){ .clause = clause, .text = text, .at = at };
    return st;
}

const char *status_name(enum status st)
{
    ASSERT(st < STATUSES);
    return statuses[st].name;
}

const char *status_text(enum status st)
{
    ASSERT(st < STATUSES);
    return statuses[st].text;
}

uint8_t status_mqtt5_code(enum status st)
{
    ASSERT(st < STATUSES);
    return statuses[st].mqtt5;
}

const char *status_oauth_error(enum status st)
{
    ASSERT(st < STATUSES);
    return statuses[st].oauth;
}

int status_http_code(enum status st)
{
    ASSERT(st < STATUSES);
    return statuses[st].http;
}
