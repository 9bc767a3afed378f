/* symbolon sub: subscribe and print what comes. A refused filter is said, and makes the exit status; the others go on. */
#include "cli/connect.h"
#include "cli/printer.h"
#include "mqtt/topic.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define COMMAND "symbolon sub"

struct sub_options {
    struct connect_options connect;
    struct print_options print;
    struct text_list topics, filter_out, unsubscribe;
    int64_t qos;
    int64_t count;
    bool no_retained, only_retained;
    bool exit_after_suback;
    bool no_local;
    bool retain_as_published;
    int64_t retain_handling; /* -1: by -R */
    bool remove_retained;
    const char *random_filter;
};

struct sub {
    struct session session; /* the first member: see connect_more.c */
    struct sub_options *options;
    int64_t printed;
    double percent; /* of the messages are printed */
    bool v3;
    bool was_connected;
    bool subscribed; /* the broker has answered: the library sees to the rest */
    bool ending;     /* once all retained messages are removed */
};

#define AT(member) offsetof(struct sub_options, member)

/* clang-format off */
static const struct option_row rows[] = {
    { .name = "Subscription:", .kind = OPTION_HEADING },
    { 't', "topic",               OPTION_LIST,   AT(topics),              "FILTER", "topic filter, + and # allowed; may be repeated" },
    { 'q', "qos",                 OPTION_NUMBER, AT(qos),                 "QOS",    "the most this subscription takes: 0 (default), 1 or 2", 0, 2 },
    { 'C', "count",               OPTION_NUMBER, AT(count),               "N",      "end after N messages", 1, INT64_MAX },
    { 'R', "no-retained",         OPTION_FLAG,   AT(no_retained),         NULL,     "do not print retained messages" },
    { 0,   "retained-only",       OPTION_FLAG,   AT(only_retained),       NULL,     "print retained messages only; end at the first other one" },
    { 'T', "filter-out",          OPTION_LIST,   AT(filter_out),          "FILTER", "do not print messages of these topics; may be repeated" },
    { 'U', "unsubscribe",         OPTION_LIST,   AT(unsubscribe),         "FILTER", "unsubscribe first: for sessions kept with -c; may be repeated" },
    { 'E', "exit-after-suback",   OPTION_FLAG,   AT(exit_after_suback),   NULL,     "end once the broker has answered the subscription" },
    { 0,   "remove-retained",     OPTION_FLAG,   AT(remove_retained),     NULL,     "clear every retained message that comes, but those of -T" },
    { 0,   "random-filter",       OPTION_TEXT,   AT(random_filter),       "PERCENT", "print only so many of the messages, at random: 0.1 to 100" },
    { 0,   "retain-handling",     OPTION_NUMBER, AT(retain_handling),     "N",      "retained messages when subscribing: 0 send (default), 1 only if the subscription is new, 2 never", 0, 2 },
    { 0,   "no-local",            OPTION_FLAG,   AT(no_local),            NULL,     "not what this client publishes itself" },
    { 0,   "retain-as-published", OPTION_FLAG,   AT(retain_as_published), NULL,     "leave the retain flag as the publisher set it" },
    { .kind = OPTION_END },
};
/* clang-format on */

static const struct option_set sets[] = {
    { rows, 0 },
    { print_rows, offsetof(struct sub_options, print) },
    { broker_rows, offsetof(struct sub_options, connect) },
    { client_rows, offsetof(struct sub_options, connect) },
    { ace_rows, offsetof(struct sub_options, connect) },
};

static const struct option_command usage = {
    .usage = "symbolon sub [options] -t FILTER ...",
    .about =
        "Subscribes at an MQTT 5 broker and prints the messages that come, until -C, -W or a signal ends it.",
    .sets = sets,
    .set_count = COUNT_OF(sets),
};

static void complain_about(struct sub *s, const struct symbolon_error *error)
{
    if (!s->options->connect.quiet)
        complain(COMMAND, "%s [%s]", error->text, error->clause);
}

static uint8_t retain_handling(const struct sub *s)
{
    if (s->v3) /* cannot say it: on_message() leaves them out */
        return 0;
    if (s->options->retain_handling >= 0)
        return (uint8_t)s->options->retain_handling;
    return s->options->no_retained ? 2 : 0;
}

static struct symbolon_request request_of(const struct sub *s, enum property_place place)
{
    const struct properties *p = &s->options->connect.property;

    return (struct symbolon_request){ .user_properties = p->user[place].items,
                                      .user_property_count = p->user[place].count };
}

static void subscribe(struct sub *s)
{
    const struct sub_options *o = s->options;
    struct symbolon_subscription *subs = calloc(o->topics.count, sizeof *subs);
    struct symbolon_request request = request_of(s, AT_UNSUBSCRIBE);
    struct symbolon_error error;
    enum symbolon_status st = SYMBOLON_OK;

    if (subs == NULL) {
        session_finish(&s->session, EXIT_FAILED);
        return;
    }
    for (size_t i = 0; i < o->topics.count; i++)
        subs[i] = (struct symbolon_subscription){
            .filter = o->topics.items[i],
            .qos = (uint8_t)o->qos,
            .no_local = o->no_local,
            .retain_as_published = o->retain_as_published,
            .retain_handling = retain_handling(s),
        };
    if (o->unsubscribe.count > 0)
        st = symbolon_client_unsubscribe_with(s->session.client, o->unsubscribe.items, o->unsubscribe.count,
                                              &request, NULL, &error);
    request = request_of(s, AT_SUBSCRIBE);
    if (o->connect.property.subscription_id > 0)
        request.subscription_id = (uint32_t)o->connect.property.subscription_id;
    if (st == SYMBOLON_OK)
        st = symbolon_client_subscribe_with(s->session.client, subs, o->topics.count, &request, NULL, &error);
    free(subs);
    if (st != SYMBOLON_OK) {
        complain_about(s, &error);
        session_finish(&s->session, exit_code_for(error.status));
    }
}

static void on_connected(void *arg, const struct symbolon_connected *connected)
{
    struct sub *s = arg;

    session_log_connected(&s->session, connected);
    s->was_connected = true;
    if (!s->subscribed)
        subscribe(s);
}

/* The broker had lost the session, and the library has subscribed anew. */
static void subscribed_again(struct sub *s, const struct symbolon_error *result)
{
    if (result->status == SYMBOLON_OK)
        return;
    complain_about(s, result);
    session_note(&s->session, exit_code_for(result->status));
}

static void on_subscribed(void *arg, uint64_t id, const uint8_t *codes, size_t count,
                          const struct symbolon_error *result)
{
    struct sub *s = arg;
    size_t refused = 0;

    if (id == 0) {
        subscribed_again(s, result);
        return;
    }
    s->subscribed = s->subscribed || count > 0;
    for (size_t i = 0; i < count; i++) {
        if (codes[i] < 0x80) {
            session_log(&s->session, "subscribed to %s with QoS %u", s->options->topics.items[i], codes[i]);
            continue;
        }
        refused++;
        if (!s->options->connect.quiet)
            complain(COMMAND, "%s: %s", s->options->topics.items[i],
                     codes[i] == result->reason_code ? result->text : symbolon_reason_text(codes[i]));
    }
    if (refused > 0)
        session_note(&s->session, exit_code_for(result->status));
    if (count > 0 && (refused == count || s->options->exit_after_suback))
        session_finish(&s->session, EXIT_DONE);
}

static bool filtered_out(const struct sub *s, const struct symbolon_message *m)
{
    struct topic_name topic = { span_of(m->topic.p, m->topic.len) };
    struct topic_filter filter;

    for (size_t i = 0; i < s->options->filter_out.count; i++)
        if (topic_filter_parse(span_of_str(s->options->filter_out.items[i]), &filter, NULL) == ST_OK &&
            topic_matches(filter, topic))
            return true;
    return false;
}

/* Says goodbye, once what --remove-retained has under way is done. */
static void end(struct sub *s)
{
    s->ending = true;
    if (!s->options->remove_retained || symbolon_client_pending(s->session.client) == 0)
        session_finish(&s->session, EXIT_DONE);
}

static void remove_retained(struct sub *s, const struct symbolon_message *message)
{
    const struct symbolon_message empty = { .topic = message->topic, .qos = 1, .retain = true };
    struct symbolon_error error;

    if (symbolon_client_publish(s->session.client, &empty, NULL, &error) == SYMBOLON_OK)
        return;
    complain_about(s, &error);
    session_note(&s->session, exit_code_for(error.status));
}

static void on_published(void *arg, uint64_t id UNUSED, const struct symbolon_error *result)
{
    struct sub *s = arg;

    if (result->status != SYMBOLON_OK) {
        complain_about(s, result);
        session_note(&s->session, exit_code_for(result->status));
    }
    if (s->ending)
        end(s);
}

static bool by_chance(const struct sub *s)
{
    return s->percent >= 100 || drand48() * 100 < s->percent;
}

static void on_message(void *arg, const struct symbolon_message *message)
{
    struct sub *s = arg;

    if (s->session.stopping || s->ending)
        return;
    if (s->options->only_retained && !message->retain) {
        end(s);
        return;
    }
    if ((s->options->no_retained && message->retain) || filtered_out(s, message))
        return;
    if (s->options->remove_retained && message->retain)
        remove_retained(s, message);
    int code = by_chance(s) ? print_message(&s->options->print, COMMAND, message) : EXIT_DONE;
    if (code != EXIT_DONE)
        session_finish(&s->session, code);
    else if (++s->printed == s->options->count)
        end(s);
}

/* A subscriber stays: only an attempt that never worked, or one that cannot work again, ends it. */
static void on_disconnected(void *arg, const struct symbolon_error *why, int64_t retry_ms)
{
    struct sub *s = arg;

    if (why->status == SYMBOLON_OK) {
        session_end(&s->session, EXIT_DONE);
        return;
    }
    complain_about(s, why);
    if (retry_ms < 0)
        session_end(&s->session, exit_code_for(why->status));
    else if (!s->was_connected && !s->options->connect.reconnect &&
             retry_ms > 0) /* 0: sent to another server */
        session_finish(&s->session, exit_code_for(why->status));
    else
        session_log(&s->session, "next attempt in %lld ms", (long long)retry_ms);
}

static void on_token(void *arg, int64_t expires_at_s UNUSED, bool in_session)
{
    struct sub *s = arg;

    session_log(&s->session, in_session ? "session re-authenticated" : "got a token");
}

static void on_log(void *arg, int level, const char *line)
{
    struct sub *s = arg;

    if (level <= 1 && !s->options->connect.quiet)
        complain(COMMAND, "%s", line);
    else
        session_log(&s->session, "%s", line);
}

static const struct symbolon_events events = {
    .connected = on_connected,
    .disconnected = on_disconnected,
    .message = on_message,
    .published = on_published,
    .subscribed = on_subscribed,
    .token = on_token,
    .log = on_log,
};

static const char *take_percent(struct sub *s)
{
    const char *text = s->options->random_filter;
    char *end;

    s->percent = 100;
    if (text == NULL)
        return NULL;
    s->percent = strtod(text, &end);
    if (end == text || *end != '\0' || !(s->percent >= 0.1 && s->percent <= 100))
        return "--random-filter is a number of percent, from 0.1 to 100";
    srand48((long)getpid() ^ (long)time(NULL));
    return NULL;
}

static const char *check(const struct sub_options *o)
{
    struct topic_filter filter;

    if (o->topics.count == 0)
        return "-t FILTER is missing";
    if (o->no_retained && o->only_retained)
        return "-R and --retained-only leave nothing to print";
    for (size_t i = 0; i < o->filter_out.count; i++)
        if (topic_filter_parse(span_of_str(o->filter_out.items[i]), &filter, NULL) != ST_OK)
            return "-T wants a topic filter";
    return print_options_check(&o->print);
}

static int run(struct sub *s)
{
    struct symbolon_error error;
    struct sub_options *o = s->options;
    enum symbolon_mqtt_version version;
    const char *complaint = connect_options_prepare(
        &o->connect, IN(AT_CONNECT) | IN(AT_SUBSCRIBE) | IN(AT_UNSUBSCRIBE) | IN(AT_DISCONNECT) | IN(AT_WILL));

    if (complaint == NULL && o->connect.url_topic != NULL && !text_list_add(&o->topics, o->connect.url_topic))
        complaint = "out of memory";
    if (complaint == NULL)
        complaint = take_percent(s);
    if (complaint == NULL)
        complaint = check(o);
    s->v3 = connect_version(o->connect.version, &version) && version == SYMBOLON_MQTT_3_1_1;
    if (complaint != NULL) {
        complain(COMMAND, "%s", complaint);
        return EXIT_USAGE;
    }
    int code = session_open(&s->session, COMMAND, &s->options->connect, true, &events, s);
    if (code == EXIT_DONE && symbolon_client_start(s->session.client, &error) != SYMBOLON_OK)
        code = complain_error(COMMAND, &error);
    if (code == EXIT_DONE)
        code = session_run(&s->session);
    session_done(&s->session);
    return code;
}

int run_sub(int argc, char **argv)
{
    struct sub_options options = { .connect = CONNECT_OPTIONS_INIT, .retain_handling = -1 };
    struct sub sub = { .options = &options };
    int code = command_options(&usage, COMMAND, argc, argv, &options, NULL);

    if (code == GO_ON)
        code = run(&sub);
    text_list_done(&options.topics);
    text_list_done(&options.filter_out);
    text_list_done(&options.unsubscribe);
    connect_options_done(&options.connect);
    return code;
}
