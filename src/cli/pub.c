/* symbolon pub: publish, and be sure about it. A message counts as published when the broker has taken it: PUBACK,
 * PUBCOMP, or for QoS 0 a PINGRESP behind it without a DISCONNECT before (RFC 9431 3.1: a refused QoS 0 message ends the
 * connection).
 * With --store a message is accepted once it is in the folder: what could not be sent now is sent by a later command. */
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
    struct session session; /* the first member: see connect_more.c */
    struct pub_options *options;
    struct symbolon_message message; /* the payload is filled in for each */
    struct buf payload;
    struct line_reader *reader;
    struct symbolon_timer *pause; /* of --repeat-delay */
    bool repeating;               /* inside publish_again() */
    int64_t repeats;              /* still to come */
    bool started;
    bool input_ended;
    size_t owed; /* lines taken from the reader before there was room: it waits for these */
    uint64_t handed_over, answered, failed;
    uint64_t unconfirmed; /* QoS 0, handed over and not yet flushed */
    uint64_t confirmed;
};

static const struct option_set sets[] = {
    { message_rows, offsetof(struct pub_options, message) },
    { lines_rows, offsetof(struct pub_options, message) },
    { broker_rows, offsetof(struct pub_options, connect) },
    { client_rows, offsetof(struct pub_options, connect) },
    { ace_rows, offsetof(struct pub_options, connect) },
};

static const struct option_command usage = {
    .usage = "symbolon pub [options] -t TOPIC (-m TEXT | -f FILE | -l | -n | -s)",
    .about =
        "Publishes to an MQTT 5 broker. The exit status is 0 only if the broker has taken every message, "
        "with QoS 0, too. With --store and nothing to publish it sends what an earlier command left there.",
    .sets = sets,
    .set_count = COUNT_OF(sets),
};

static void complain_about(struct pub *p, const char *what, const struct symbolon_error *error)
{
    if (!p->options->connect.quiet)
        complain(COMMAND, "%s%s [%s]", what, error->text, error->clause);
}

static bool stored(const struct pub *p)
{
    return p->options->connect.store_dir != NULL && p->options->message.qos > 0;
}

/* All input is handed over: once everything is answered, a flush confirms what needs no answer. */
static void finish_if_done(struct pub *p)
{
    struct symbolon_error error;

    if (!p->input_ended || p->answered < p->handed_over || p->session.stopping)
        return;
    if (p->unconfirmed == 0)
        session_finish(&p->session, EXIT_DONE);
    else if (symbolon_client_flush(p->session.client, &error) != SYMBOLON_OK && error.status != SYMBOLON_CLOSED)
        session_finish(&p->session, complain_error(COMMAND, &error)); /* CLOSED: `disconnected` follows */
}

static bool publish(struct pub *p, const void *payload, size_t len)
{
    struct symbolon_error error;
    uint64_t id = 0;

    p->message.payload = (struct symbolon_bytes){ payload, len };
    p->handed_over++;
    if (symbolon_client_publish(p->session.client, &p->message, &id, &error) == SYMBOLON_OK) {
        if (stored(p))
            session_log(&p->session, "message %llu is stored", (unsigned long long)id);
        return true;
    }
    complain_about(p, "", &error);
    p->answered++;
    session_finish(&p->session, exit_code_for(error.status));
    return false;
}

/* ---- what to publish ---- */

/* With a store lines are taken as long as there is room in it, connected or not; else as many as are under way. */
static bool room_for_more(const struct pub *p)
{
    int64_t max = p->options->connect.max_queue > 0 ? p->options->connect.max_queue : 1000;

    return stored(p) && symbolon_client_pending(p->session.client) + LINES_AHEAD < (size_t)max;
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
    if (!publish(p, line, len))
        return;
    if (room_for_more(p))
        line_reader_took(p->reader);
    else
        p->owed++;
}

static void line_answered(struct pub *p)
{
    if (p->reader == NULL || p->owed == 0)
        return;
    p->owed--;
    line_reader_took(p->reader);
}

static void publish_again(void *arg);

static void publish_some(struct pub *p)
{
    while (p->repeats > 0 && !p->session.stopping) {
        if (symbolon_client_pending(p->session.client) >= LINES_AHEAD)
            return; /* goes on in on_published() */
        p->repeats--;
        p->input_ended = p->repeats == 0;
        if (!publish(p, p->payload.p, p->payload.len))
            return;
        if (p->repeats > 0 && p->options->message.repeat_delay_ms > 0) {
            p->pause = symbolon_loop_after(p->session.loop, (uint32_t)p->options->message.repeat_delay_ms,
                                           publish_again, p);
            if (p->pause == NULL)
                session_finish(&p->session, EXIT_FAILED);
            return;
        }
    }
}

/* QoS 0 is `published` before publish() returns, which must not lead here again. */
static void publish_again(void *arg)
{
    struct pub *p = arg;

    p->pause = NULL;
    if (p->repeating)
        return;
    p->repeating = true;
    publish_some(p);
    p->repeating = false;
}

static bool nothing_given(const struct message_options *m)
{
    return m->text == NULL && m->file == NULL && !m->nothing && !m->whole_input && !m->lines;
}

static void start(struct pub *p)
{
    const struct message_options *m = &p->options->message;

    if (p->started)
        return;
    p->started = true;
    if (m->lines) {
        if (!line_reader_start(p->session.loop, on_line, p, &p->reader))
            session_finish(&p->session, EXIT_FAILED);
    } else if (nothing_given(m)) {
        p->input_ended = true;
        finish_if_done(p);
    } else {
        p->repeats = m->repeat;
        publish_again(p);
    }
}

/* ---- events ---- */

static void on_connected(void *arg, const struct symbolon_connected *connected)
{
    struct pub *p = arg;

    session_log_connected(&p->session, connected);
    start(p);
}

static void on_published(void *arg, uint64_t id, const struct symbolon_error *result)
{
    struct pub *p = arg;
    bool qos0 = p->options->message.qos == 0;

    p->answered++;
    line_answered(p);
    if (result->status == SYMBOLON_OK) {
        p->unconfirmed += qos0 ? 1 : 0;
        p->confirmed += qos0 ? 0 : 1;
        if (result->reason_code == 0x10)
            session_log(&p->session, "message %llu: nobody is subscribed", (unsigned long long)id);
    } else {
        char what[64];
        snprintf(what, sizeof what, "message %llu was not accepted: ", (unsigned long long)id);
        complain_about(p, what, result);
        session_note(&p->session, exit_code_for(result->status));
        p->failed++;
    }
    if (p->pause == NULL && p->repeats > 0 && p->repeats < p->options->message.repeat)
        publish_again(p);
    finish_if_done(p);
}

static void on_flushed(void *arg, const struct symbolon_error *result)
{
    struct pub *p = arg;

    if (result->status != SYMBOLON_OK)
        return; /* `disconnected` says why */
    p->confirmed += p->unconfirmed;
    p->unconfirmed = 0;
    session_finish(&p->session, EXIT_DONE);
}

static void say_how_far(struct pub *p)
{
    size_t waiting = symbolon_client_pending(p->session.client);

    if (p->options->connect.quiet)
        return;
    if (p->handed_over > 1)
        complain(COMMAND, "%llu of %llu messages were confirmed by the broker",
                 (unsigned long long)p->confirmed, (unsigned long long)p->handed_over);
    if (waiting > 0 && p->options->connect.store_dir != NULL)
        complain(COMMAND, "%zu messages stay in %s", waiting, p->options->connect.store_dir);
}

static void on_disconnected(void *arg, const struct symbolon_error *why, int64_t retry_ms)
{
    struct pub *p = arg;
    struct session *s = &p->session;

    if (why->status == SYMBOLON_OK) {
        if (s->exit_code != EXIT_DONE)
            say_how_far(p);
        session_end(s, EXIT_DONE);
        return;
    }
    complain_about(p, "", why);
    if (retry_ms < 0) {
        say_how_far(p);
        session_end(s, exit_code_for(why->status));
        return;
    }
    if (!p->started && !p->options->connect.reconnect && retry_ms > 0) { /* 0: sent to another server */
        session_finish(s, exit_code_for(why->status));
        return;
    }
    session_log(s, "next attempt in %lld ms", (long long)retry_ms);
    if (p->unconfirmed > 0) { /* QoS 0: nobody will say what became of them */
        if (!p->options->connect.quiet)
            complain(COMMAND, "%llu messages of QoS 0 may be lost", (unsigned long long)p->unconfirmed);
        session_note(s, exit_code_for(why->status));
        p->failed += p->unconfirmed;
        p->unconfirmed = 0;
    }
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

/* ---- running ---- */

static const char *check(struct pub_options *o)
{
    const struct message_options *m = &o->message;
    int sources = (m->text != NULL) + (m->file != NULL) + m->nothing + m->whole_input + m->lines;

    if (m->queue_only && (o->connect.store_dir == NULL || m->qos == 0 || m->lines))
        return "--queue needs --store, QoS 1 or 2, and one message";
    if (o->connect.store_dir != NULL && sources == 0 && m->topic == NULL)
        return NULL; /* sends what is there */
    if (m->topic == NULL)
        return "-t TOPIC is missing";
    if (m->lines && m->repeat > 1)
        return "--repeat is for one message, not for -l";
    return sources == 1 ? NULL : "exactly one of -m, -f, -l, -n and -s says what to publish";
}

static const char *prepare(struct pub *p)
{
    struct pub_options *o = p->options;
    const char *complaint =
        connect_options_prepare(&o->connect, IN(AT_CONNECT) | IN(AT_PUBLISH) | IN(AT_DISCONNECT) | IN(AT_WILL));

    if (complaint != NULL)
        return complaint;
    if (o->message.topic == NULL)
        o->message.topic = o->connect.url_topic;
    message_options_properties(&o->message, &o->connect.property);
    o->connect.topic_aliases = o->message.topic_aliases;
    complaint = check(o);
    if (complaint == NULL)
        complaint = message_of_options(&o->message, &o->connect.property, &p->message);
    if (complaint == NULL && !o->message.lines && !nothing_given(&o->message))
        complaint = payload_of_options(&o->message, &p->payload);
    return complaint;
}

static int connect_and_publish(struct pub *p)
{
    const struct message_options *m = &p->options->message;
    struct symbolon_error error;

    p->handed_over = symbolon_client_pending(p->session.client); /* of earlier commands */
    if (m->queue_only)
        return publish(p, p->payload.p, p->payload.len) ? EXIT_DONE : p->session.exit_code;
    if (symbolon_client_start(p->session.client, &error) != SYMBOLON_OK)
        return complain_error(COMMAND, &error);
    if (p->options->connect.store_dir != NULL)
        p->options->connect.reconnect = true;
    if (stored(p) && !nothing_given(m))
        start(p);
    return session_run(&p->session);
}

static int run(struct pub *p)
{
    const struct message_options *m = &p->options->message;
    const char *complaint = prepare(p);

    if (complaint != NULL) {
        complain(COMMAND, "%s", complaint);
        return EXIT_USAGE;
    }
    int code = session_open(&p->session, COMMAND, &p->options->connect, m->lines, &events, p);
    if (code == EXIT_DONE)
        code = connect_and_publish(p);
    symbolon_timer_cancel(p->pause);
    line_reader_stop(p->reader);
    session_done(&p->session);
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
