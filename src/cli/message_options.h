/* cli/message_options.h - what `pub` and `rr` can say about a message besides its topic. */
#ifndef SYMBOLON_CLI_MESSAGE_OPTIONS_H
#define SYMBOLON_CLI_MESSAGE_OPTIONS_H

#include "base/buf.h"
#include "cli/option.h"
#include "symbolon/client.h"

struct message_options {
    const char *topic;
    const char *text; /* -m */
    const char *file; /* -f */
    bool nothing;     /* -n */
    bool whole_input; /* -s */
    bool lines;       /* -l */
    int64_t qos;
    bool retain;
    const char *content_type, *response_topic, *correlation_data;
    int64_t expiry; /* -1: none */
    bool utf8;
    struct text_list user_properties; /* NAME=VALUE */
    struct text_list properties;      /* -D: three words each */
};

#define MESSAGE_OPTIONS_INIT \
    {                        \
        .expiry = -1         \
    }

extern const struct option_row message_rows[];
extern const struct option_row lines_rows[]; /* -l, of `pub` only */

void message_options_done(struct message_options *options);

/* Takes -D over into the members above. NULL or a complaint. */
const char *message_options_properties(struct message_options *options);

/* Everything but the payload; spans point into the options. `user` is made here, free() it. NULL or a complaint. */
const char *message_of_options(const struct message_options *options, struct symbolon_user_property **ret_user,
                               struct symbolon_message *out);

/* The payload of -m, -f, -n or -s into `out`, which bounds it. NULL or a complaint. */
const char *payload_of_options(const struct message_options *options, struct buf *out);

#endif
