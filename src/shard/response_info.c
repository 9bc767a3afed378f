#include "shard/response_info.h"

#include "mqtt/topic.h"

#define CLIENT_ID "${client_id}"

static const char *const rule = "response_topic_prefix";

/* The next ${client_id} at or behind `at`; prefix.len if there is none. */
static size_t find_place(struct span prefix, size_t at)
{
    while (at < prefix.len && !span_starts_with(span_cut(prefix, at, SIZE_MAX), SPAN(CLIENT_ID)))
        at++;
    return at;
}

static bool is_one_level(struct span client_id)
{
    for (size_t i = 0; i < client_id.len; i++)
        if (client_id.p[i] == '/' || client_id.p[i] == '+' || client_id.p[i] == '#')
            return false;
    return true;
}

bool response_info_put(struct span prefix, struct span client_id, struct buf *out)
{
    size_t at = 0;

    if (!is_one_level(client_id))
        return false;
    while (at < prefix.len) {
        size_t place = find_place(prefix, at);

        put_bytes(out, span_cut(prefix, at, place - at));
        if (place < prefix.len)
            put_bytes(out, client_id);
        at = place + SPAN(CLIENT_ID).len;
    }
    return true;
}

enum status response_info_check(struct span prefix, struct why *why)
{
    CLEANUP(buf_done)
    struct buf example;
    struct topic_name name;

    buf_init(&example, UINT16_MAX);
    if (!response_info_put(prefix, SPAN("client"), &example) || !buf_ok(&example))
        return reject(why, ST_TOO_LARGE, rule, "too long for a topic", 0);
    for (size_t i = 0; i < example.len; i++)
        if (example.p[i] == '$')
            return reject(why, ST_BAD_TOPIC, rule, "a $ only in ${client_id}", i);
    if (prefix.len == 0 || prefix.p[prefix.len - 1] != '/')
        return reject(why, ST_BAD_TOPIC, rule, "must end in /, for levels of the client's own below it", 0);
    return topic_name_parse(buf_span(&example), &name, why);
}
