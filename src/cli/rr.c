/* symbolon rr: one request, one response. Subscribes to the response topic first, then publishes, then waits. */
#include "cli/connect.h"
#include "cli/message_options.h"
#include "cli/printer.h"

#include <stdlib.h>

#define COMMAND     "symbolon rr"
#define PAYLOAD_MAX 268435455u

struct rr_options {
    struct connect_options connect;
    struct message_options message;
    struct print_options print;
    const char *response; /* -e */
    bool no_retained;
};

struct rr {
    struct session session; /* the first member: see connect_more.c */
    struct rr_options *options;
    struct symbolon_message message;
    struct buf payload;
    bool v3;    /* MQTT 3.1.1 */
    bool asked; /* the request is handed over: the library sees to it, and to the subscription */
};

/* clang-format off */
static const struct option_row rows[] = {
    { .name = "Response:", .kind = OPTION_HEADING },
    { 'e', "response", OPTION_TEXT, offsetof(struct rr_options, response), "TOPIC", "where the response shall come; also sent as the response topic property" },
    { 'R', "no-retained", OPTION_FLAG, offsetof(struct rr_options, no_retained), NULL, "a retained message is no response: true anyway, an old one is never asked for" },
    { .kind = OPTION_END },
};
/* clang-format on */

static const struct option_set sets[] = {
    { rows, 0 },
    { message_rows, offsetof(struct rr_options, message) },
    { print_rows, offsetof(struct rr_options, print) },
    { broker_rows, offsetof(struct rr_options, connect) },
    { client_rows, offsetof(struct rr_options, connect) },
    { ace_rows, offsetof(struct rr_options, connect) },
};

static const struct option_command usage = {
    .usage = "symbolon rr [options] -e RESPONSE-TOPIC -t TOPIC (-m TEXT | -f FILE | -n | -s)",
    .about = "Publishes a request and prints the first message that comes on the response topic.",
    .sets = sets,
    .set_count = COUNT_OF(sets),
};

static void give_up(struct rr *r, const struct symbolon_error *error)
{
    if (!r->options->connect.quiet)
        complain(COMMAND, "%s [%s]", error->text, error->clause);
    session_finish(&r->session, exit_code_for(error->status));
}

static void on_connected(void *arg, const struct symbolon_connected *connected UNUSED)
{
    struct rr *r = arg;
    const struct symbolon_subscription sub = {
        .filter = r->options->response,
        .qos = (uint8_t)r->options->message.qos,
        /* an old response is none; 3.1.1 cannot say so: see on_message() */
        .retain_handling = r->v3 ? 0 : 2
    };
    const struct user_properties *user = &r->options->connect.property.user[AT_SUBSCRIBE];
    const struct symbolon_request request = { .user_properties = user->items,
                                              .user_property_count = user->count };
    struct symbolon_error error;

    if (!r->asked &&
        symbolon_client_subscribe_with(r->session.client, &sub, 1, &request, NULL, &error) != SYMBOLON_OK)
        give_up(r, &error);
}

static void on_subscribed(void *arg, uint64_t id UNUSED, const uint8_t *codes UNUSED, size_t count,
                          const struct symbolon_error *result)
{
    struct rr *r = arg;
    struct symbolon_error error;

    if (count == 0)
        return; /* `disconnected` follows */
    if (result->status != SYMBOLON_OK) {
        give_up(r, result);
        return;
    }
    bool first = !r->asked;
    r->asked = true;
    if (first && symbolon_client_publish(r->session.client, &r->message, NULL, &error) != SYMBOLON_OK)
        give_up(r, &error);
}

static void on_published(void *arg, uint64_t id UNUSED, const struct symbolon_error *result)
{
    struct rr *r = arg;

    if (result->status != SYMBOLON_OK)
        give_up(r, result);
}

static void on_message(void *arg, const struct symbolon_message *message)
{
    struct rr *r = arg;

    if (!r->session.stopping && !message->retain)
        session_finish(&r->session, print_message(&r->options->print, COMMAND, message));
}

static void on_disconnected(void *arg, const struct symbolon_error *why, int64_t retry_ms)
{
    struct rr *r = arg;

    if (retry_ms >= 0) {
        session_log(&r->session, "%s; next attempt in %lld ms", why->text, (long long)retry_ms);
        return;
    }
    if (why->status != SYMBOLON_OK)
        give_up(r, why);
    session_end(&r->session, exit_code_for(why->status));
}

static void on_log(void *arg, int level UNUSED, const char *line)
{
    struct rr *r = arg;

    session_log(&r->session, "%s", line);
}

static const struct symbolon_events events = {
    .connected = on_connected,
    .disconnected = on_disconnected,
    .message = on_message,
    .published = on_published,
    .subscribed = on_subscribed,
    .log = on_log,
};

static const char *check(const struct rr_options *o)
{
    const struct message_options *m = &o->message;

    if (m->topic == NULL || o->response == NULL)
        return "-t TOPIC and -e RESPONSE-TOPIC are both needed";
    if ((m->text != NULL) + (m->file != NULL) + m->nothing + m->whole_input != 1)
        return "exactly one of -m, -f, -n and -s says what to publish";
    return print_options_check(&o->print);
}

static int run(struct rr *r)
{
    struct symbolon_error error;
    struct rr_options *o = r->options;
    const char *complaint = connect_options_prepare(
        &o->connect, IN(AT_CONNECT) | IN(AT_PUBLISH) | IN(AT_SUBSCRIBE) | IN(AT_DISCONNECT) | IN(AT_WILL));

    if (o->message.topic == NULL)
        o->message.topic = o->connect.url_topic;
    if (complaint == NULL)
        complaint = check(o);
    enum symbolon_mqtt_version version;
    r->v3 = connect_version(o->connect.version, &version) && version == SYMBOLON_MQTT_3_1_1;
    if (complaint == NULL) {
        message_options_properties(&o->message, &o->connect.property);
        if (!r->v3)
            o->message.response_topic = o->response;
        complaint = message_of_options(&o->message, &o->connect.property, &r->message);
    }
    if (complaint == NULL)
        complaint = payload_of_options(&r->options->message, &r->payload);
    if (complaint != NULL) {
        complain(COMMAND, "%s", complaint);
        return EXIT_USAGE;
    }
    r->message.payload = (struct symbolon_bytes){ r->payload.p, r->payload.len };
    int code = session_open(&r->session, COMMAND, &r->options->connect, false, &events, r);
    if (code == EXIT_DONE && symbolon_client_start(r->session.client, &error) != SYMBOLON_OK)
        code = complain_error(COMMAND, &error);
    if (code == EXIT_DONE)
        code = session_run(&r->session);
    session_done(&r->session);
    return code;
}

int run_rr(int argc, char **argv)
{
    struct rr_options options = { .connect = CONNECT_OPTIONS_INIT, .message = MESSAGE_OPTIONS_INIT };
    struct rr rr = { .options = &options };
    int code = command_options(&usage, COMMAND, argc, argv, &options, NULL);

    buf_init(&rr.payload, PAYLOAD_MAX);
    if (code == GO_ON)
        code = run(&rr);
    buf_wipe(&rr.payload);
    message_options_done(&options.message);
    connect_options_done(&options.connect);
    return code;
}
