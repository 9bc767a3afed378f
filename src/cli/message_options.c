#include "cli/message_options.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define AT(member) offsetof(struct message_options, member)

/* clang-format off */
const struct option_row message_rows[] = {
    { .name = "Message:", .kind = OPTION_HEADING },
    { 't', "topic",            OPTION_TEXT,   AT(topic),            "TOPIC", "topic to publish to; no wildcards" },
    { 'm', "message",          OPTION_TEXT,   AT(text),             "TEXT",  "the payload" },
    { 'f', "file",             OPTION_TEXT,   AT(file),             "FILE",  "the payload is this file" },
    { 's', "stdin-file",       OPTION_FLAG,   AT(whole_input),      NULL,    "the payload is all of standard input" },
    { 'n', "null-message",     OPTION_FLAG,   AT(nothing),          NULL,    "an empty payload; with -r it removes the retained message" },
    { 'q', "qos",              OPTION_NUMBER, AT(qos),              "QOS",   "0 (default), 1 or 2", 0, 2 },
    { 'r', "retain",           OPTION_FLAG,   AT(retain),           NULL,    "the broker keeps it for later subscribers" },
    { 0,   "content-type",     OPTION_TEXT,   AT(content_type),     "TYPE",  "content type property" },
    { 0,   "response-topic",   OPTION_TEXT,   AT(response_topic),   "TOPIC", "response topic property" },
    { 0,   "correlation-data", OPTION_TEXT,   AT(correlation_data), "TEXT",  "correlation data property" },
    { 0,   "message-expiry",   OPTION_NUMBER, AT(expiry),           "S",     "message expiry interval in seconds", 0, UINT32_MAX },
    { 0,   "utf8",             OPTION_FLAG,   AT(utf8),             NULL,    "payload format indicator 1: the payload is UTF-8" },
    { 0,   "user-property",    OPTION_LIST,   AT(user_properties),  "NAME=VALUE", "user property; may be repeated" },
    { .kind = OPTION_END },
};

const struct option_row lines_rows[] = {
    { 'l', "stdin-line",       OPTION_FLAG,    AT(lines),           NULL,    "each line of standard input is a message" },
    { 0,   "repeat",           OPTION_NUMBER,  AT(repeat),          "N",     "publish it N times (-m, -f, -n, -s)", 1, 1000000000 },
    { 0,   "repeat-delay",     OPTION_SECONDS, AT(repeat_delay_ms), "S",     "with S seconds in between (default 0)", 0, 86400000 },
    { 0,   "topic-aliases",    OPTION_NUMBER,  AT(topic_aliases),   "N",     "shorten topics to N aliases, as far as the broker lets us (default 0)", 0, 65535 },
    { 0,   "queue",            OPTION_FLAG,    AT(queue_only),      NULL,    "only put it into --store and end; a later pub with the same --store and -i sends it" },
    { .kind = OPTION_END },
};
/* clang-format on */

void message_options_done(struct message_options *options)
{
    text_list_done(&options->user_properties);
}

static struct symbolon_bytes text(const char *s)
{
    return (struct symbolon_bytes){ s, s == NULL ? 0 : strlen(s) };
}

void message_options_properties(struct message_options *o, const struct properties *p)
{
    if (p->content_type != NULL)
        o->content_type = p->content_type;
    if (p->response_topic != NULL)
        o->response_topic = p->response_topic;
    if (p->correlation_data != NULL)
        o->correlation_data = p->correlation_data;
    if (p->expiry >= 0)
        o->expiry = p->expiry;
    if (p->utf8 >= 0)
        o->utf8 = p->utf8 != 0;
    if (p->topic_alias > 0 && o->topic_aliases == 0)
        o->topic_aliases = 1; /* which number it is, is the client's business */
}

const char *message_of_options(const struct message_options *o, struct properties *p,
                               struct symbolon_message *out)
{
    struct user_properties *user = &p->user[AT_PUBLISH];

    for (size_t i = 0; i < o->user_properties.count; i++) {
        const char *pair = o->user_properties.items[i], *equals = strchr(pair, '=');
        if (equals == NULL)
            return "--user-property wants NAME=VALUE";
        if (!user_properties_add(user, (struct symbolon_bytes){ pair, (size_t)(equals - pair) },
                                 text(equals + 1)))
            return "out of memory";
    }
    *out = (struct symbolon_message){
        .topic = text(o->topic),
        .qos = (uint8_t)o->qos,
        .retain = o->retain,
        .payload_is_utf8 = o->utf8,
        .has_expiry = o->expiry >= 0,
        .expiry_s = o->expiry >= 0 ? (uint32_t)o->expiry : 0,
        .content_type = text(o->content_type),
        .response_topic = text(o->response_topic),
        .correlation_data = text(o->correlation_data),
        .user_properties = user->items,
        .user_property_count = user->count,
    };
    return NULL;
}

static const char *read_all(int fd, struct buf *out)
{
    for (;;) {
        uint8_t *room = buf_room(out, 65536);
        if (room == NULL)
            return "the payload is larger than a packet can carry";
        ssize_t n = read(fd, room, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return "reading the payload failed";
        if (n == 0)
            return NULL;
        buf_added(out, (size_t)n);
    }
}

const char *payload_of_options(const struct message_options *o, struct buf *out)
{
    const char *complaint;

    if (o->text != NULL) {
        put_str(out, o->text);
        return buf_ok(out) ? NULL : "out of memory";
    }
    if (o->nothing)
        return NULL;
    if (o->whole_input)
        return read_all(STDIN_FILENO, out);
    int fd = open(o->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return "the file of -f cannot be opened";
    complaint = read_all(fd, out);
    close(fd);
    return complaint;
}
