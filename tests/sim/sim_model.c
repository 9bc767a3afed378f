/* What was promised: who must, may and must not get which message. */
#include "sim.h"

#include "mqtt/naive_topic.h"

#include <stdio.h>
#include <stdlib.h>

const char *const sim_filters[FILTERS] = { "t/+/0",  "t/+/1", "t/#",    "t/c0/#",
                                           "t/c1/+", "t/+/w", "t/c2/0", "t/c3/#" };

void model_begin(struct sim *s)
{
    static const char first[TOPICS_OF] = { 't', 't', 't', 's', 'r', 'r' };
    static const char *const ends[TOPICS_OF] = { "/0", "/1", "/w", "", "/0", "/1" };

    for (unsigned t = 0; t < TOPICS; t++) {
        snprintf(s->names[t], sizeof s->names[t], "%c/c%u%s", first[t % TOPICS_OF], t / TOPICS_OF,
                 ends[t % TOPICS_OF]);
        for (unsigned f = 0; f < FILTERS; f++)
            s->matches[f][t] = naive_matches(sim_filters[f], s->names[t]);
    }
    s->count = 1;
}

/* ---- publishing ---- */

static bool recent(const struct sim *s, const struct message_sent *m)
{
    return m->acked == 0 || m->acked + GRACE > s->tick;
}

unsigned model_send(struct sim *s, struct client *c, enum topic_kind kind, uint8_t qos, bool retain, bool empty)
{
    unsigned number = s->count++, topic = c->number * TOPICS_OF + kind;
    struct message_sent *m = &s->messages[number];

    *m = (struct message_sent){
        .topic = topic, .publisher = c->number, .qos = qos, .retain = retain, .empty = empty, .sent = s->tick
    };
    m->twice = s->tick < s->failing_until || s->poor;
    for (unsigned i = 0; i < CLIENTS; i++)
        for (unsigned f = 0; f < FILTERS; f++)
            if (s->clients[i].subs[f].maybe && s->matches[f][topic])
                m->may |= 1u << i;
    if (retain) {
        sim_check(s, s->n_retained[topic] < COUNT_OF(s->retained[topic]), "model: too many in doubt");
        s->retained[topic][s->n_retained[topic]++] = number;
    }
    s->sum.published++;
    return number;
}

/* All the time since it was sent, or since the connection was lost whose Will it is. */
static bool certain(const struct sim *s, const struct client *c, const struct message_sent *m)
{
    if (!client_is_model(c) ||
        (s->poor && m->qos == 2)) /* a shard that has no memory for another's QoS 2 loses it */
        return false;
    for (unsigned f = 0; f < FILTERS; f++)
        if (s->matches[f][m->topic] && c->subs[f].certain != 0 && c->subs[f].certain < m->sent &&
            c->subs[f].qos > 0)
            return true;
    return false;
}

void model_owe(struct sim *s, unsigned message)
{
    struct message_sent *m = &s->messages[message];

    for (unsigned i = 0; i < CLIENTS; i++) {
        for (unsigned f = 0; f < FILTERS; f++)
            if (s->clients[i].subs[f].maybe && s->matches[f][m->topic])
                m->may |= 1u << i;
        if (m->got[i] > 0 || !certain(s, &s->clients[i], m))
            continue;
        m->owed |= 1u << i;
        s->sum.owed++;
    }
    if (m->topic % TOPICS_OF == SHARED && s->group_granted != 0 && s->group_granted < m->sent &&
        m->group_got == 0 && !(s->poor && m->qos == 2))
        m->group_owed = true;
}

void model_acknowledged(struct sim *s, unsigned message)
{
    struct message_sent *m = &s->messages[message];
    unsigned *kept = s->retained[m->topic], *n = &s->n_retained[m->topic];

    if (m->acked != 0)
        return;
    m->acked = s->tick;
    s->sum.acknowledged++;
    while (m->retain && *n > 0 && kept[0] != message) {
        memmove(kept, kept + 1, (*n - 1) * sizeof *kept);
        --*n;
    }
    model_owe(s, message);
}

/* ---- receiving ---- */

unsigned model_message(struct sim *s, const struct client *c, const struct mqtt_publish *p)
{
    char text[16] = "";
    unsigned long number;

    if (p->payload.len > 0 && p->payload.len < sizeof text)
        memcpy(text, p->payload.p, p->payload.len);
    number = strtoul(text, NULL, 10);
    if (number == 0 || number >= s->count || !span_eq_str(p->topic.s, s->names[s->messages[number].topic])) {
        if (span_starts_with(p->topic.s, SPAN("t/c9/"))) /* of who says what it likes */
            return 0;
        sim_fail(s, "%s got what nobody sent: %.*s \"%.*s\"", c->id, SPAN_FMT(p->topic.s),
                 SPAN_FMT(p->payload));
    }
    return (unsigned)number;
}

static void received_shared(struct sim *s, const struct client *c, struct message_sent *m,
                            const struct mqtt_publish *p)
{
    m->group_owed = false;
    m->group_got++;
    if (m->group_got > 1)
        s->sum.again++;
    sim_check(s, m->group_got == 1 || p->qos < 2 || m->twice,
              "the group got message %u %u times at QoS 2, the last time %s", (unsigned)(m - s->messages),
              m->group_got, c->id);
}

void model_received(struct sim *s, struct client *c, const struct mqtt_publish *p)
{
    unsigned number = model_message(s, c, p), *last;
    struct message_sent *m = &s->messages[number];

    s->sum.delivered++;
    if (c->kind == RUDE || number == 0)
        return;
    if (m->topic % TOPICS_OF == SHARED) {
        received_shared(s, c, m, p);
        return;
    }
    m->owed &= ~(1u << c->number);
    sim_check(s, (m->may & 1u << c->number) != 0, "%s got message %u (%s), for which it had no subscription",
              c->id, number, s->names[m->topic]);
    if (m->got[c->number] < 255)
        m->got[c->number]++;
    if (m->got[c->number] > 1) {
        s->sum.again++;
        sim_check(s, p->qos < 2 || m->twice || (m->got_once & 1u << c->number) == 0,
                  "%s got message %u again at QoS 2", c->id, number);
    }
    if (p->qos == 2)
        m->got_once |= 1u << c->number;
    if (m->got[c->number] > 1)
        return;
    last = &c->last[m->topic][m->qos][p->qos];
    /* Repeated by its publisher after a crash it may come late to who had not subscribed the first time, or with QoS 0 */
    sim_check(s, *last < number || (p->qos == 0 && m->qos > 0) || m->twice || !certain(s, c, m),
              "%s got message %u (%s, QoS %u) after message %u", c->id, number, s->names[m->topic], p->qos,
              *last);
    if (*last < number)
        *last = number;
}

/* ---- subscriptions ---- */

/* After one of them was given up: what no other certainly covers is not owed any longer. */
static void owe_less(struct sim *s, struct client *c)
{
    for (unsigned n = 1; n < s->count; n++)
        if ((s->messages[n].owed & 1u << c->number) != 0 && !certain(s, c, &s->messages[n]))
            s->messages[n].owed &= ~(1u << c->number);
}

void model_subscribe(struct sim *s, struct client *c, unsigned filter, uint8_t qos)
{
    struct subscription_known *sub = &c->subs[filter];
    bool fewer = sub->certain != 0 && qos < sub->qos;

    sub->qos = sub->certain != 0 && sub->qos < qos ? sub->qos : qos;
    sub->maybe = true;
    sub->asked = s->tick;
    for (unsigned n = 1; n < s->count; n++)
        if (s->matches[filter][s->messages[n].topic] && recent(s, &s->messages[n]))
            s->messages[n].may |= 1u << c->number;
    if (fewer)
        owe_less(s, c);
}

void model_subscribed(struct sim *s, struct client *c, unsigned filter, bool granted)
{
    struct subscription_known *sub = &c->subs[filter];

    if (granted && sub->certain == 0 && sub->maybe && sub->dropped < sub->asked)
        sub->certain = s->tick;
}

void model_unsubscribe(struct sim *s, struct client *c, unsigned filter)
{
    c->subs[filter].certain = 0;
    c->subs[filter].dropped = s->tick;
    owe_less(s, c);
}

void model_unsubscribed(struct sim *s, struct client *c, unsigned filter, uint64_t asked)
{
    (void)s;
    if (c->subs[filter].asked < asked)
        c->subs[filter].maybe = false;
}

/* ---- sessions ---- */

void model_forget(struct sim *s, struct client *c)
{
    for (unsigned f = 0; f < FILTERS; f++)
        c->subs[f].certain = 0;
    for (unsigned n = 1; n < s->count; n++)
        s->messages[n].owed &= ~(1u << c->number);
    if (c->kind != MEMBER)
        return;
    for (unsigned n = 1; n < s->count; n++) /* it may have had it */
        s->messages[n].group_owed = false;
    s->group_granted = 0; /* until the next one joins: whoever else is there */
}

/* What was certainly over when the end was asked for must not come any more. */
void model_forgotten(struct sim *s, struct client *c)
{
    for (unsigned f = 0; f < FILTERS; f++)
        c->subs[f] = (struct subscription_known){ 0 };
    memset(c->last, 0, sizeof c->last);
    for (unsigned n = 1; n < s->count; n++)
        s->messages[n].got_once &= ~(1u << c->number);
    for (unsigned n = 1; n < s->count; n++)
        if (s->messages[n].acked != 0 && s->messages[n].acked + GRACE < c->floor)
            s->messages[n].may &= ~(1u << c->number);
}

unsigned model_missing(struct sim *s, char *text, size_t size)
{
    unsigned missing = 0;

    text[0] = '\0';
    for (unsigned n = 1; n < s->count; n++) {
        const struct message_sent *m = &s->messages[n];

        if (m->owed == 0 && !m->group_owed)
            continue;
        if (missing++ == 0)
            snprintf(text, size,
                     "message %u (%s, QoS %u, sent at %llu, acknowledged at %llu) for clients 0x%x%s", n,
                     s->names[m->topic], m->qos, (unsigned long long)m->sent, (unsigned long long)m->acked,
                     m->owed, m->group_owed ? " and the group" : "");
    }
    return missing;
}

/* ---- retained messages ---- */

void model_check_retained(struct sim *s, const int *found)
{
    for (unsigned t = 0; t < TOPICS; t++) {
        bool doubtful = false; /* one that the failing disk refused may have come again behind its successors */

        for (unsigned n = 1; n < s->count; n++)
            doubtful = doubtful ||
                       (s->messages[n].topic == t && s->messages[n].twice && s->messages[n].sent > s->peace);
        if (doubtful) { /* that is how it is from now on */
            s->retained[t][0] = (unsigned)found[t];
            s->n_retained[t] = found[t] != 0;
            continue;
        }
        bool good = s->n_retained[t] == 0 ? found[t] == 0 : false;

        for (unsigned i = 0; i < s->n_retained[t]; i++) {
            const struct message_sent *m = &s->messages[s->retained[t][i]];

            good = good || found[t] == (m->empty ? 0 : (int)s->retained[t][i]);
        }
        if (s->n_retained[t] > 0 && s->messages[s->retained[t][0]].acked == 0)
            good = good || found[t] == 0;
        sim_check(s, good, "retained %s is message %d; it was to be %u (%s) or one of %u after it", s->names[t],
                  found[t], s->n_retained[t] > 0 ? s->retained[t][0] : 0,
                  s->n_retained[t] > 0 && s->messages[s->retained[t][0]].empty ? "empty" : "not empty",
                  s->n_retained[t]);
    }
}
