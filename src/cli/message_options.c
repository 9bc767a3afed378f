#include "cli/message_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
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
    { 'D', "property",        OPTION_WORDS,  AT(properties),       "publish NAME VALUE", "the same properties as mosquitto_pub spells them; for user-property VALUE is NAME=VALUE here", 3, 3 },
    { .kind = OPTION_END },
};

const struct option_row lines_rows[] = {
    { 'l', "stdin-line",       OPTION_FLAG,   AT(lines),            NULL,    "each line of standard input is a message" },
    { .kind = OPTION_END },
};
/* clang-format on */

void message_options_done(struct message_options *options)
{
    text_list_done(&options->user_properties);
    text_list_done(&options->properties);
}

static bool take_expiry(struct message_options *o, const char *value)
{
    char *end;

    errno = 0;
    long long s = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || s < 0 || s > UINT32_MAX)
        return false;
    o->expiry = s;
    return true;
}

static bool take_property(struct message_options *o, const char *name, const char *value)
{
    if (strcmp(name, "content-type") == 0)
        o->content_type = value;
    else if (strcmp(name, "response-topic") == 0)
        o->response_topic = value;
    else if (strcmp(name, "correlation-data") == 0)
        o->correlation_data = value;
    else if (strcmp(name, "payload-format-indicator") == 0)
        o->utf8 = strcmp(value, "0") != 0;
    else if (strcmp(name, "message-expiry-interval") == 0)
        return take_expiry(o, value);
    else
        return strcmp(name, "user-property") == 0 && text_list_add(&o->user_properties, value);
    return true;
}

const char *message_options_properties(struct message_options *o)
{
    for (size_t i = 0; i + 2 < o->properties.count; i += 3) {
        if (strcmp(o->properties.items[i], "publish") != 0)
            return "-D knows the properties of publish only";
        if (!take_property(o, o->properties.items[i + 1], o->properties.items[i + 2]))
            return "-D names a property nobody knows, or a value that makes no sense";
    }
    return NULL;
}

static struct symbolon_bytes text(const char *s)
{
    return (struct symbolon_bytes){ s, s == NULL ? 0 : strlen(s) };
}

const char *message_of_options(const struct message_options *o, struct symbolon_user_property **ret_user,
                               struct symbolon_message *out)
{
    size_t n = o->user_properties.count;
    struct symbolon_user_property *user = calloc(n + 1, sizeof *user);

    if (user == NULL)
        return "out of memory";
    for (size_t i = 0; i < n; i++) {
        const char *pair = o->user_properties.items[i], *equals = strchr(pair, '=');
        if (equals == NULL) {
            free(user);
            return "--user-property wants NAME=VALUE";
        }
        user[i].name = (struct symbolon_bytes){ pair, (size_t)(equals - pair) };
        user[i].value = text(equals + 1);
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
        .user_properties = user,
        .user_property_count = n,
    };
    *ret_user = user;
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
