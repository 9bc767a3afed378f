/* cli/message_options.h - what `pub` and `rr` can say about a message besides its topic. */
#ifndef SYMBOLON_CLI_MESSAGE_OPTIONS_H
#define SYMBOLON_CLI_MESSAGE_OPTIONS_H

#include "base/buf.h"
#include "cli/option.h"
#include "cli/properties.h"
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
    int64_t repeat, repeat_delay_ms;
    int64_t topic_aliases;
    bool queue_only; /* --queue */
};

#define MESSAGE_OPTIONS_INIT      \
    {                             \
        .expiry = -1, .repeat = 1 \
    }

extern const struct option_row message_rows[];
extern const struct option_row lines_rows[]; /* -l and more, of `pub` only */

void message_options_done(struct message_options *options);

/* Takes -D publish over into the members above. */
void message_options_properties(struct message_options *options, const struct properties *properties);

/* Everything but the payload; points into the options, and into `properties`, which gets those of --user-property. NULL
 * or a complaint. */
const char *message_of_options(const struct message_options *options, struct properties *properties,
                               struct symbolon_message *out);

/* The payload of -m, -f, -n or -s into `out`, which bounds it. NULL or a complaint. */
const char *payload_of_options(const struct message_options *options, struct buf *out);

#endif
