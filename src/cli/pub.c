/* symbolon pub: publish, and be sure about it. A message counts as published when the broker has taken it: PUBACK,
 * PUBCOMP, or for QoS 0 a PINGRESP behind it without a DISCONNECT before (RFC 9431 3.1: a refused QoS 0 message ends the
 * connection). */
#include "cli/connect.h"
#include "cli/line_reader.h"
#include "cli/message_options.h"

#include <stdio.h>
#include <stdlib.h>

#define COMMAND     "symbolon pub"
#define PAYLOAD_MAX 268435455u

struct pub_options {
    struct connect_options connect;
    struct message_options message;
};

struct pub {
    struct session session;
    struct pub_options *options;
    struct symbolon_message message; /* the payload is filled in for each */
    struct buf payload;
    struct line_reader *reader;
    bool sent; /* of one message: handed over */
    bool input_ended;
    uint64_t handed_over, answered, failed,
        confirmed; /* messages; QoS 0 is confirmed all at once by the flush */
};

static const struct option_set sets[] = {
    { message_rows, offsetof(struct pub_options, message) },
    { lines_rows, offsetof(struct pub_options, message) },
    { broker_rows, offsetof(struct pub_options, connect) },
    { ace_rows, offsetof(struct pub_options, connect) },
};

static const struct option_command usage = {
    .usage = "symbolon pub [options] -t TOPIC (-m TEXT | -f FILE | -l | -n | -s)",
    .about = "Publishes to an MQTT 5 broker. The exit status is 0 only if the broker has taken every message, "
             "with QoS 0, "
             "too.",
    .sets = sets,
    .set_count = COUNT_OF(sets),
};

static void complain_about(struct pub *p, const char *what, const struct symbolon_error *error)
{
    if (!p->options->connect.quiet)
        complain(COMMAND, "%s%s [%s]", what, error->text, error->clause);
}

/* All input is handed over: once everything is answered, a flush confirms what needs no answer. */
static void finish_if_done(struct pub *p)
{
    struct symbolon_error error;

    if (!p->input_ended || p->answered < p->handed_over || p->session.stopping)
        return;
    if (p->options->message.qos > 0 || p->failed == p->handed_over)
        session_finish(&p->session, EXIT_DONE);
    else if (symbolon_client_flush(p->session.client, &error) != SYMBOLON_OK)
        session_finish(&p->session, complain_error(COMMAND, &error));
}

static void publish(struct pub *p, const void *payload, size_t len)
{
    struct symbolon_error error;

    p->message.payload = (struct symbolon_bytes){ payload, len };
    p->handed_over++;
    if (symbolon_client_publish(p->session.client, &p->message, NULL, &error) == SYMBOLON_OK)
        return;
    complain_about(p, "", &error);
    p->answered++;
    session_finish(&p->session, exit_code_for(error.status));
}

static void on_line(void *arg, const char *line, size_t len)
{
    struct pub *p = arg;

    if (p->session.stopping)
        return;
    if (line == NULL) {
        p->input_ended = true;
        finish_if_done(p);
        return;
    }
    publish(p, line, len);
}

static void on_connected(void *arg, const struct symbolon_connected *connected)
{
    struct pub *p = arg;

    session_log_connected(&p->session, connected);
    if (p->options->message.lines) {
        if (!line_reader_start(p->session.loop, on_line, p, &p->reader))
            session_finish(&p->session, EXIT_FAILED);
        return;
    }
    p->input_ended = true;
    publish(p, p->payload.p, p->payload.len);
}

static void on_published(void *arg, uint64_t id, const struct symbolon_error *result)
{
    struct pub *p = arg;

    p->answered++;
    if (p->reader != NULL)
        line_reader_took(p->reader);
    if (result->status == SYMBOLON_OK) {
        p->confirmed += p->options->message.qos > 0 ? 1 : 0;
        if (result->reason_code == 0x10)
            session_log(&p->session, "message %llu: nobody is subscribed", (unsigned long long)id);
    } else {
        char what[64];
        snprintf(what, sizeof what, "message %llu was not accepted: ", (unsigned long long)id);
        complain_about(p, what, result);
        session_note(&p->session, exit_code_for(result->status));
        p->failed++;
    }
    finish_if_done(p);
}

static void on_flushed(void *arg, const struct symbolon_error *result)
{
    struct pub *p = arg;

    if (result->status != SYMBOLON_OK)
        return; /* `disconnected` says why */
    p->confirmed = p->handed_over - p->failed;
    session_finish(&p->session, EXIT_DONE);
}

static void on_disconnected(void *arg, const struct symbolon_error *why, int64_t retry_ms UNUSED)
{
    struct pub *p = arg;
    struct session *s = &p->session;

    if (why->status == SYMBOLON_OK) {
        session_end(s, EXIT_DONE);
        return;
    }
    complain_about(p, "", why);
    if (p->handed_over > 1 && !p->options->connect.quiet)
        complain(COMMAND, "%llu of %llu messages were confirmed by the broker",
                 (unsigned long long)p->confirmed, (unsigned long long)p->handed_over);
    session_end(s, exit_code_for(why->status));
}

static void on_log(void *arg, int level, const char *line)
{
    struct pub *p = arg;

    if (level <= 1 && !p->options->connect.quiet)
        complain(COMMAND, "%s", line);
    else
        session_log(&p->session, "%s", line);
}

static const struct symbolon_events events = {
    .connected = on_connected,
    .disconnected = on_disconnected,
    .published = on_published,
    .flushed = on_flushed,
    .log = on_log,
};

static const char *check(const struct message_options *m)
{
    int sources = (m->text != NULL) + (m->file != NULL) + m->nothing + m->whole_input + m->lines;

    if (m->topic == NULL)
        return "-t TOPIC is missing";
    return sources == 1 ? NULL : "exactly one of -m, -f, -l, -n and -s says what to publish";
}

static int run(struct pub *p)
{
    struct symbolon_user_property *user = NULL;
    struct symbolon_error error;
    const char *complaint = check(&p->options->message);

    if (complaint == NULL)
        complaint = message_options_properties(&p->options->message);
    if (complaint == NULL)
        complaint = message_of_options(&p->options->message, &user, &p->message);
    if (complaint == NULL && !p->options->message.lines)
        complaint = payload_of_options(&p->options->message, &p->payload);
    if (complaint != NULL) {
        free(user);
        complain(COMMAND, "%s", complaint);
        return EXIT_USAGE;
    }
    int code = session_open(&p->session, COMMAND, &p->options->connect, false, &events, p);
    if (code == EXIT_DONE && symbolon_client_start(p->session.client, &error) != SYMBOLON_OK)
        code = complain_error(COMMAND, &error);
    if (code == EXIT_DONE)
        code = session_run(&p->session);
    line_reader_stop(p->reader);
    session_done(&p->session);
    free(user);
    return code;
}

int run_pub(int argc, char **argv)
{
    struct pub_options options = { CONNECT_OPTIONS_INIT, MESSAGE_OPTIONS_INIT };
    struct pub pub = { .options = &options };
    int code = command_options(&usage, COMMAND, argc, argv, &options, NULL);

    buf_init(&pub.payload, PAYLOAD_MAX);
    if (code == GO_ON)
        code = run(&pub);
    buf_wipe(&pub.payload);
    message_options_done(&options.message);
    connect_options_done(&options.connect);
    return code;
}
