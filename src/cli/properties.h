/* cli/properties.h - -D COMMAND NAME VALUE: the properties of MQTT 5 packets as mosquitto's commands spell them. */
#ifndef SYMBOLON_CLI_PROPERTIES_H
#define SYMBOLON_CLI_PROPERTIES_H

#include "cli/option.h"
#include "symbolon/client.h"

/* The commands a property can belong to. */
enum property_place {
    AT_CONNECT,
    AT_PUBLISH,
    AT_SUBSCRIBE,
    AT_UNSUBSCRIBE,
    AT_DISCONNECT,
    AT_WILL,
    PROPERTY_PLACES
};

struct user_properties {
    struct symbolon_user_property *items; /* texts in argv */
    size_t count;
};

/* Numbers are -1 where not given, texts NULL. */
struct properties {
    struct user_properties user[PROPERTY_PLACES];
    int64_t maximum_packet_size, receive_maximum, problem_info, response_info, session_expiry, alias_maximum;
    int64_t subscription_id;
    int64_t goodbye_session_expiry;
    int64_t will_expiry, will_utf8, will_delay;
    const char *will_content_type, *will_correlation_data, *will_response_topic;
    int64_t expiry, utf8, topic_alias;
    const char *content_type, *correlation_data, *response_topic;
};

/* `words` as OPTION_PROPERTY leaves them. `places`: IN(AT_...) of those that make sense for the command. NULL or a
 * complaint; properties_done() in both cases. */
const char *properties_read(const struct text_list *words, uint32_t places, struct properties *out);
void properties_done(struct properties *properties);

/* Appends one. False: out of memory. */
bool user_properties_add(struct user_properties *list, struct symbolon_bytes name, struct symbolon_bytes value);

#endif
