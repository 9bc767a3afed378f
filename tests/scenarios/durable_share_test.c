/* Shared subscriptions, and QoS 2 between shards, over crashes: a script of a publisher and the members of a group runs
 * again and again, and after each number of commits that it makes the machine stops there. The broker comes back with the
 * same number of shards or another, the clients do what MQTT asks of clients, and every message must be there: of QoS 1 at
 * least once, of QoS 2 exactly once (docs/decisions/0024). What has been told to a client by then is true for ever. */
#include "harness.h"
#include "harness_disk.h"

#include "support/failing_memory.h"

#include <stdio.h>
#include <stdlib.h>

#define GROUP    "$share/g/a/#"
#define MEMBERS  3
#define MESSAGES 40
#define IDS      4096
#define END     \
    {           \
        0, 0, 0 \
    }

struct member {
    char id[32];
    struct conn_io *c;
    bool lasting;    /* its session outlives its connection */
    bool silent;     /* acknowledges nothing */
    bool joined;     /* has had its SUBACK */
    bool open;       /* has had its CONNACK */
    bool known[IDS]; /* QoS 2 identifiers it may not take for new ones */
    unsigned got[MESSAGES];
};

enum sent { NOT_YET, SENT, RECEIVED, DONE, REFUSED };

struct story {
    struct bench *b;
    const char *filter; /* what the members subscribe to */
    uint8_t qos;
    struct member members[MEMBERS];
    char pub_id[32];
    struct conn_io *pub;
    bool pub_open;
    enum sent sent[MESSAGES]; /* packet identifier: number + 1 */
    unsigned published;
    bool short_of_memory; /* something may be refused */
};

/* ---- clients ---- */

static void connect_as(struct story *s, struct conn_io **c, const char *id, bool lasting, uint16_t window,
                       bool clean)
{
    struct connect_wish wish = {
        .id = id, .no_method = true, .resume = !clean, .expiry_s = lasting ? 1000 : 0, .receive_maximum = window
    };

    *c = client_new(s->b);
    client_connect(*c, &wish);
}

static unsigned number_in(struct span payload)
{
    char text[8] = { 0 };

    assert_in_range(payload.len, 1, 7);
    memcpy(text, payload.p, payload.len);
    return (unsigned)strtoul(text, NULL, 10);
}

static void on_publish(struct member *m, const struct mqtt_frame *frame)
{
    struct mqtt_publish p;
    unsigned number;

    assert_int_equal(mqtt_read_publish(frame, m->c->version, &p, NULL), ST_OK);
    number = number_in(p.payload);
    assert_true(number < MESSAGES && p.packet_id < IDS);
    if (p.qos < 2 || !m->known[p.packet_id])
        m->got[number]++;
    if (p.qos == 2)
        m->known[p.packet_id] = true;
    if (!m->silent && p.qos > 0)
        client_ack(m->c, p.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, p.packet_id, MQTT_SUCCESS);
}

/* One packet for a member. */
static bool member_reads(const struct story *s, struct member *m)
{
    struct mqtt_frame frame;
    struct mqtt_ack ack;
    struct mqtt_connack connack;

    if (m->c == NULL || !client_next(m->c, &frame))
        return false;
    switch (frame.type) {
    case MQTT_CONNACK:
        assert_int_equal(mqtt_read_connack(&frame, m->c->version, &connack, NULL), ST_OK);
        if (s->short_of_memory && connack.reason != MQTT_SUCCESS)
            break;
        assert_int_equal(connack.reason, MQTT_SUCCESS);
        if (!connack.session_present)
            memset(m->known, 0, sizeof m->known);
        assert_true(connack.session_present || !m->lasting || !m->joined); /* what was said stays */
        m->open = true;
        m->joined = m->joined && connack.session_present;
        break;
    case MQTT_SUBACK:
        m->joined = true;
        break;
    case MQTT_PUBLISH:
        on_publish(m, &frame);
        break;
    case MQTT_PUBREL:
        assert_int_equal(mqtt_read_ack(&frame, m->c->version, &ack, NULL), ST_OK);
        m->known[ack.packet_id] = false;
        client_ack(m->c, MQTT_PUBCOMP, ack.packet_id, MQTT_SUCCESS);
        break;
    case MQTT_DISCONNECT:
        assert_true(s->short_of_memory);
        break;
    default:
        fail_msg("packet %d for a member: %s", (int)frame.type, m->c->b->log);
    }
    return true;
}

static bool publisher_reads(struct story *s)
{
    struct mqtt_frame frame;
    struct mqtt_connack connack;
    struct mqtt_ack ack;

    if (s->pub == NULL || !client_next(s->pub, &frame))
        return false;
    if (frame.type == MQTT_CONNACK) {
        assert_int_equal(mqtt_read_connack(&frame, MQTT_5, &connack, NULL), ST_OK);
        assert_true(connack.session_present || s->published == 0);
        s->pub_open = true;
        return true;
    }
    if (frame.type == MQTT_DISCONNECT) {
        assert_true(s->short_of_memory);
        return true;
    }
    assert_int_equal(mqtt_read_ack(&frame, MQTT_5, &ack, NULL), ST_OK);
    if (ack.reason >= 0x80 && frame.type != MQTT_PUBCOMP) {
        assert_true(s->short_of_memory);
        s->sent[ack.packet_id - 1] = REFUSED;
    } else if (frame.type == MQTT_PUBREC) {
        s->sent[ack.packet_id - 1] = RECEIVED;
        client_ack(s->pub, MQTT_PUBREL, ack.packet_id, MQTT_SUCCESS);
    } else {
        assert_true(frame.type == MQTT_PUBACK || frame.type == MQTT_PUBCOMP);
        s->sent[ack.packet_id - 1] = DONE;
    }
    return true;
}

static void all_read(struct story *s)
{
    bool busy = true;

    while (busy) {
        busy = publisher_reads(s);
        for (size_t i = 0; i < MEMBERS; i++)
            busy = member_reads(s, &s->members[i]) || busy;
    }
}

static void say(struct story *s, unsigned number, bool dup)
{
    char text[8];

    snprintf(text, sizeof text, "%u", number);
    client_publish_with(
        s->pub,
        &(struct publish_wish){
            .topic = "a/x", .payload = text, .qos = s->qos, .packet_id = (uint16_t)(number + 1), .dup = dup });
}

/* ---- scripts ---- */

enum op {
    STOP,
    COME, /* a lasting member comes, or comes back, and subscribes if it has not; n: its Receive Maximum, or 0 */
    PASS_BY, /* the same, but its session ends with its connection */
    GO,      /* its connection is lost */
    END_IT,  /* it comes back with Clean Start, and goes */
    SILENCE, /* from now on it acknowledges nothing */
    PUBLISH, /* n messages */
};

struct step {
    enum op op;
    unsigned who, n;
};

static void come(struct story *s, struct member *m, bool lasting, unsigned window)
{
    m->lasting = lasting;
    m->silent = m->open = false;
    connect_as(s, &m->c, m->id, lasting, (uint16_t)window, false);
    all_read(s);
    if (m->open && !m->joined)
        client_subscribe_with(m->c, wish_filter(s->filter, s->qos), 0, 1);
}

static void go(struct member *m)
{
    if (m->c != NULL)
        client_drop(m->c);
    m->c = NULL;
    m->open = false;
    if (!m->lasting)
        m->joined = false;
}

static void end_it(struct story *s, struct member *m)
{
    go(m);
    m->joined = m->lasting = false;
    connect_as(s, &m->c, m->id, false, 0, true);
    all_read(s);
    go(m);
}

/* While earlier ones are still on their way to the disk, and elsewhere. */
static void publish(struct story *s, unsigned n)
{
    s->b->manual = true;
    for (unsigned i = 0; i < n; i++) {
        s->sent[s->published] = SENT;
        say(s, s->published++, false);
        for (unsigned k = 0; k < s->b->count; k++)
            (void)bench_turn(s->b, k);
        if (pick(s->b, 2) == 0)
            (void)disk_commit(s->b);
    }
    s->b->manual = false;
    bench_run(s->b);
}

static void perform(struct story *s, const struct step *step)
{
    struct member *m = &s->members[step->who];

    switch (step->op) {
    case COME:
    case PASS_BY:
        come(s, m, step->op == COME, step->n);
        break;
    case GO:
        go(m);
        break;
    case END_IT:
        end_it(s, m);
        break;
    case SILENCE:
        m->silent = true;
        break;
    case PUBLISH:
        publish(s, step->n);
        break;
    case STOP:
        break;
    }
    all_read(s);
}

/* ---- the world ---- */

struct setting {
    const struct step *script;
    bool alone;             /* no group: each member gets everything */
    unsigned shards, after; /* the crash */
    unsigned home;          /* of the group */
    uint8_t qos;
    uint64_t seed;
};

static void story_open(struct story *s, const struct setting *setting)
{
    struct bench *b = bench_new(setting->shards);

    *s = (struct story){ .b = b, .filter = setting->alone ? "a/#" : GROUP, .qos = setting->qos };
    bench_public(b, "[[\"a/#\",[\"pub\",\"sub\"]]]");
    b->settings.max_guest_expiry_s = UINT32_MAX;
    for (uint64_t i = 0;; i++) { /* such that the group is at home there */
        b->settings.home_key = (struct hash_key){ { i, 13 } };
        if (shard_home(&b->settings, b->count, SPAN(GROUP)) == setting->home)
            break;
    }
    bench_disk(b);
    bench_crash(b, b->count); /* the first start: from now on the disk knows how many shards there are */
    b->seed = setting->seed;
    b->disk->shuffled = true;
    for (unsigned i = 0; i < MEMBERS; i++)
        name_of_shard(b, i % b->count, (const char *const[]){ "x-", "y-", "z-" }[i], s->members[i].id);
    name_of_shard(b, b->count - 1, "publisher", s->pub_id);
    connect_as(s, &s->pub, s->pub_id, true, 0, false);
    all_read(s);
    assert_true(s->pub_open);
}

/* Of a publication that nobody has answered for, what a session had that ended, or ends with the crash, counts for nothing: it
 * begins anew. */
static void forget_unanswered(const struct story *s, struct member *m)
{
    for (unsigned i = 0; i < s->published; i++)
        if (s->sent[i] == SENT)
            m->got[i] = 0;
}

/* What was on its way in the network is lost. */
static void crash(struct story *s, unsigned shards)
{
    s->pub = NULL;
    s->pub_open = false;
    for (size_t i = 0; i < MEMBERS; i++) {
        struct member *m = &s->members[i];

        if (!m->lasting)
            forget_unanswered(s, m);
        m->c = NULL;
        m->open = false;
        m->joined = m->joined && m->lasting;
    }
    bench_crash(s->b, shards);
}

/* As MQTT asks of it: what was not acknowledged again, in order, with DUP; PUBREL again. */
static void publisher_returns(struct story *s)
{
    connect_as(s, &s->pub, s->pub_id, true, 0, false);
    all_read(s);
    assert_true(s->pub_open);
    for (unsigned i = 0; i < s->published; i++) {
        if (s->sent[i] == SENT)
            say(s, i, true);
        else if (s->sent[i] == RECEIVED)
            client_ack(s->pub, MQTT_PUBREL, (uint16_t)(i + 1), MQTT_SUCCESS);
        all_read(s);
        assert_true(s->sent[i] == DONE || s->sent[i] == REFUSED);
    }
}

static unsigned times(const struct story *s, unsigned number)
{
    unsigned sum = 0;

    for (size_t i = 0; i < MEMBERS; i++)
        sum += s->members[i].got[number];
    return sum;
}

/* A session that ended took with it what it had been sent with QoS 2 (MQTT5 [MQTT-4.8.2-5]). */
static bool may_be_lost(const struct setting *setting)
{
    for (const struct step *step = setting->script; step->op != STOP; step++)
        if ((step->op == END_IT || step->op == PASS_BY) && setting->qos == 2)
            return true;
    return false;
}

static void check(const struct story *s, const struct setting *setting, uint64_t at)
{
    for (unsigned i = 0; i < s->published && !setting->alone; i++) {
        unsigned n = times(s, i);

        if ((n == 0 && !may_be_lost(setting) && s->sent[i] != REFUSED) || (n > 1 && s->qos == 2))
            fail_msg(
                "message %u came %u times: %u shards, then %u, home %u, QoS %u, seed %u, crash after commit %u",
                i, n, setting->shards, setting->after, setting->home, (unsigned)setting->qos,
                (unsigned)setting->seed, (unsigned)at);
    }
}

/* Each of them subscribed for itself. */
static void check_each(const struct story *s, const struct setting *setting, uint64_t at)
{
    for (unsigned i = 0; i < s->published && setting->alone; i++)
        for (size_t k = 0; k < MEMBERS; k++) {
            unsigned n = s->members[k].got[i];

            if (n == 0 || (n > 1 && s->qos == 2))
                fail_msg("message %u came %u times to %s: %u shards, then %u, QoS %u, seed %u, crash after "
                         "commit %u",
                         i, n, s->members[k].id, setting->shards, setting->after, (unsigned)setting->qos,
                         (unsigned)setting->seed, (unsigned)at);
        }
}

static void nothing_is_left(const struct story *s)
{
    for (const char *letter = "xoqmi"; *letter != '\0'; letter++)
        if (disk_records(s->b, *letter) != 0)
            fail_msg("%zu records of '%c' are left", disk_records(s->b, *letter), *letter);
    assert_int_equal(STAT(s->b, queued_messages), 0);
}

/* Runs the script, with a crash after so many of its commits (0: at its end); how many it made. */
static uint64_t run(const struct setting *setting, uint64_t crash_after)
{
    const struct step *step = setting->script;
    struct story s;
    uint64_t before, made;

    story_open(&s, setting);
    while (step->op != PUBLISH) /* the group is there */
        perform(&s, step++);
    before = s.b->disk->commits;
    if (crash_after > 0)
        s.b->disk->freeze_at = before + crash_after;
    while (step->op != STOP)
        perform(&s, step++);
    made = s.b->disk->commits - before;
    crash(&s, setting->after);
    s.b->disk->freeze_at = 0;
    publisher_returns(&s);
    for (size_t i = 0; i < MEMBERS; i++) /* one after the other: all are in the group when the first goes */
        come(&s, &s.members[i], true, 0);
    all_read(&s);
    check(&s, setting, crash_after);
    check_each(&s, setting, crash_after);
    nothing_is_left(&s);
    crash(&s, setting->shards); /* and so it stays */
    for (size_t i = 0; i < MEMBERS; i++)
        come(&s, &s.members[i], true, 0);
    all_read(&s);
    check(&s, setting, crash_after);
    check_each(&s, setting, crash_after);
    bench_free(s.b);
    return made;
}

/* ---- memory ---- */

static void on_inside(bool yes)
{
    failing_memory_pause(!yes);
}

/* Runs the script with the n-th allocation of the broker failing, from the first publication on, and a crash at the end: what
 * has been acknowledged is there. Returns how many allocations there were. */
static long run_short_of_memory(const struct setting *setting, long n)
{
    const struct step *step = setting->script;
    struct story s;
    long made;

    story_open(&s, setting);
    while (step->op != PUBLISH)
        perform(&s, step++);
    s.short_of_memory = true;
    failing_memory_begin(n);
    failing_memory_pause(true);
    s.b->inside = on_inside;
    while (step->op != STOP)
        perform(&s, step++);
    s.b->inside = NULL;
    made = failing_memory_end();
    crash(&s, setting->after);
    s.short_of_memory = false;
    publisher_returns(&s);
    for (size_t i = 0; i < MEMBERS; i++)
        come(&s, &s.members[i], true, 0);
    all_read(&s);
    check(&s, setting, (uint64_t)n);
    nothing_is_left(&s);
    bench_free(s.b);
    return made;
}

static void fail_each(const struct setting *setting)
{
    for (long n = 1; n <= run_short_of_memory(setting, n); n++)
        ;
}

static void crash_everywhere(const struct setting *setting)
{
    uint64_t commits = run(setting, 0);

    for (uint64_t k = 1; k <= commits; k++)
        (void)run(setting, k);
}

static uint64_t first_seed = 1, last_seed = 20;

static void in_every_way(const struct step *script, bool alone)
{
    static const unsigned shards[][2] = { { 1, 1 }, { 2, 2 }, { 3, 3 }, { 1, 3 }, { 3, 1 } };

    for (size_t i = 0; i < COUNT_OF(shards); i++)
        for (uint8_t qos = 1; qos <= 2; qos++)
            for (unsigned home = 0; home < (alone || shards[i][0] != shards[i][1] ? 1 : shards[i][0]); home++)
                crash_everywhere(&(struct setting){ .script = script,
                                                    .alone = alone,
                                                    .shards = shards[i][0],
                                                    .after = shards[i][1],
                                                    .home = home,
                                                    .qos = qos,
                                                    .seed = first_seed + home + 10 * i });
}

/* ---- stories ---- */

static void what_waits_in_a_group_while_all_members_are_away_is_there_after_a_crash(void **state UNUSED)
{ /* MQTT5 4.8.2, [MQTT-4.8.2-4] */
    static const struct step script[] = { { COME, 0, 0 }, { COME, 1, 0 },    { GO, 0, 0 },
                                          { GO, 1, 0 },   { PUBLISH, 0, 4 }, END };

    in_every_way(script, false);
}

static void what_is_being_handed_to_members_is_at_one_place_after_a_crash(void **state UNUSED)
{ /* MQTT5 4.8.2, 4.3.3 */
    static const struct step script[] = { { COME, 0, 2 },
                                          { COME, 1, 0 },
                                          { COME, 2, 1 },
                                          { PUBLISH, 0, 6 },
                                          { SILENCE, 1, 0 },
                                          { PUBLISH, 0, 3 },
                                          END };

    in_every_way(script, false);
}

static void what_was_waiting_is_handed_out_once_when_members_come_back(void **state UNUSED)
{
    static const struct step script[] = { { COME, 0, 1 },    { COME, 1, 0 }, { GO, 0, 0 },   { GO, 1, 0 },
                                          { PUBLISH, 0, 5 }, { COME, 0, 1 }, { COME, 1, 2 }, END };

    in_every_way(script, false);
}

static void what_was_not_sent_goes_back_when_the_connection_is_lost(void **state UNUSED)
{ /* MQTT5 4.8.2 */
    static const struct step script[] = { { COME, 0, 1 },    { COME, 1, 1 },
                                          { SILENCE, 0, 0 }, { SILENCE, 1, 0 },
                                          { PUBLISH, 0, 4 }, { GO, 0, 0 },
                                          { COME, 2, 0 },    END };

    in_every_way(script, false);
}

static void a_session_that_ends_gives_back_what_it_has_not_acknowledged(void **state UNUSED)
{ /* MQTT5 [MQTT-4.8.2-5] */
    static const struct step script[] = { { COME, 0, 2 },
                                          { SILENCE, 0, 0 },
                                          { COME, 1, 1 },
                                          { SILENCE, 1, 0 },
                                          { PUBLISH, 0, 4 },
                                          { END_IT, 0, 0 },
                                          END };

    in_every_way(script, false);
}

static void a_member_that_does_not_outlive_its_connection_holds_messages_of_a_durable_group_on_loan(
    void **state UNUSED)
{ /* MQTT5 4.8.2, [MQTT-4.8.2-5] */
    static const struct step script[] = { { COME, 0, 0 },    { GO, 0, 0 },
                                          { PASS_BY, 1, 3 }, { PASS_BY, 2, 0 },
                                          { SILENCE, 2, 0 }, { PUBLISH, 0, 5 },
                                          { GO, 1, 0 },      END };

    in_every_way(script, false);
}

static void qos_2_reaches_sessions_of_other_shards_exactly_once(void **state UNUSED)
{ /* MQTT5 4.3.3, [MQTT-4.3.3-10] */
    static const struct step script[] = { { COME, 0, 0 },    { COME, 1, 1 },    { COME, 2, 0 },    { GO, 2, 0 },
                                          { PUBLISH, 0, 3 }, { SILENCE, 1, 0 }, { PUBLISH, 0, 2 }, END };

    in_every_way(script, true);
}

static void what_was_acknowledged_is_there_although_memory_was_short(void **state UNUSED)
{
    static const struct step script[] = { { COME, 0, 1 },    { COME, 1, 2 }, { SILENCE, 0, 0 },
                                          { PUBLISH, 0, 5 }, { GO, 0, 0 },   { COME, 2, 0 },
                                          { PUBLISH, 0, 2 }, { COME, 0, 0 }, END };

    for (unsigned i = 0; i < 6; i++)
        fail_each(&(struct setting){ .script = script,
                                     .shards = 1 + i / 2,
                                     .after = 1 + i / 2,
                                     .home = i / 2, /* with the publisher, who is told */
                                     .qos = (uint8_t)(1 + i % 2),
                                     .seed = 1 });
}

/* ---- any story ---- */

#define STEPS 14

/* Member 0 keeps its session, so that the group stays durable; 1 may end its own; 2's ends with its connection. */
static struct step any_step(struct bench *dice)
{
    switch (pick(dice, 9)) {
    case 0:
    case 1:
        return (struct step){ COME, pick(dice, 2), pick(dice, 4) };
    case 2:
        return (struct step){ PASS_BY, 2, pick(dice, 4) };
    case 3:
        return (struct step){ GO, pick(dice, 3), 0 };
    case 4:
        return (struct step){ END_IT, 1, 0 };
    case 5:
        return (struct step){ SILENCE, pick(dice, 3), 0 };
    default:
        return (struct step){ PUBLISH, 0, 1 + pick(dice, 4) };
    }
}

static void run_any(uint64_t seed)
{
    struct step script[STEPS + 3] = { { COME, 0, 0 } };
    struct bench *dice = bench_new(1);
    struct setting setting = { .script = script, .seed = seed };
    unsigned published = 1;

    dice->seed = seed;
    setting.shards = 1 + pick(dice, BENCH_MAX_SHARDS);
    setting.after = pick(dice, 2) == 0 ? setting.shards : 1 + pick(dice, BENCH_MAX_SHARDS);
    setting.home = pick(dice, setting.shards);
    setting.qos = (uint8_t)(1 + pick(dice, 2));
    for (size_t i = 1; i <= STEPS; i++) {
        script[i] = any_step(dice);
        if (script[i].op == PUBLISH)
            published += script[i].n;
        if (published > MESSAGES)
            script[i] = (struct step)END;
    }
    script[STEPS + 1] = (struct step){ PUBLISH, 0, 1 };
    bench_free(dice);
    {
        uint64_t commits = run(&setting, 0);

        for (uint64_t k = 1; k <= commits; k += 1 + seed % 5)
            (void)run(&setting, k);
    }
}

static void any_story_ends_well(void **state UNUSED)
{
    for (uint64_t seed = first_seed; seed <= last_seed; seed++)
        run_any(seed);
}

/* FIRST [LAST] on the command line: other orders of the shards' commits, and other stories. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_in_a_group_while_all_members_are_away_is_there_after_a_crash),
        cmocka_unit_test(what_is_being_handed_to_members_is_at_one_place_after_a_crash),
        cmocka_unit_test(what_was_waiting_is_handed_out_once_when_members_come_back),
        cmocka_unit_test(what_was_not_sent_goes_back_when_the_connection_is_lost),
        cmocka_unit_test(a_session_that_ends_gives_back_what_it_has_not_acknowledged),
        cmocka_unit_test(
            a_member_that_does_not_outlive_its_connection_holds_messages_of_a_durable_group_on_loan),
        cmocka_unit_test(qos_2_reaches_sessions_of_other_shards_exactly_once),
        cmocka_unit_test(what_was_acknowledged_is_there_although_memory_was_short),
        cmocka_unit_test(any_story_ends_well),
    };

    if (argc > 1) {
        first_seed = seeds_of(argc, argv, 1).first;
        last_seed = seeds_of(argc, argv, 1).last;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
