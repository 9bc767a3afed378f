"""What must, may and must not arrive: everything the harness sent, heard and was promised.

One thread plays all clients, so that all that happens has an order: `now` counts it. A promise is a packet from the
broker: CONNACK, SUBACK, UNSUBACK, PUBACK, PUBREC, PUBCOMP. What was sent and not answered is in doubt and may have happened.
"""
import functools
import time

IN_FLIGHT_S = 1.0


class Violation(Exception):
    pass


@functools.lru_cache(maxsize=4096)
def matches(topic_filter, topic):
    want, have = topic_filter.split('/'), topic.split('/')
    for i, level in enumerate(want):
        if level == '#':
            return True
        if i >= len(have) or (level != '+' and level != have[i]):
            return False
    return len(want) == len(have)


class Msg:
    __slots__ = ('n', 'topic', 'qos', 'retain', 'publisher', 'sent', 'acked', 'acked_s', 'payload', 'empty', 'stage', 'packet_id', 'shared', 'twice')

    def __init__(self, n, topic, qos, retain, publisher, sent, payload):
        self.n, self.topic, self.qos, self.retain, self.publisher, self.sent = n, topic, qos, retain, publisher, sent
        self.acked_s = 1e18
        self.payload, self.acked, self.stage, self.packet_id, self.shared = payload, None, 'new', 0, None

    def __repr__(self):
        return 'message %d (%s, QoS %d%s, by %s)' % (self.n, self.topic, self.qos, ', retained' if self.retain else '', self.publisher)


class Sub:
    """A subscription from when it was asked for to when it was certainly gone."""
    __slots__ = ('filter', 'qos', 'asked', 'asked_s', 'granted', 'dropping', 'gone')

    def __init__(self, topic_filter, qos, asked):
        self.filter, self.qos, self.asked, self.asked_s = topic_filter, qos, asked, time.monotonic()
        self.granted = self.dropping = self.gone = None


class Receiver:
    """What one session is owed, and what it got."""

    def __init__(self, name):
        self.name, self.subs, self.owed, self.got, self.once, self.last, self.floor = name, [], {}, {}, set(), {}, 0

    def live(self):
        return [s for s in self.subs if s.gone is None]

    def certain(self, msg):
        """A subscription, of a QoS above 0, that was there all the time the message was on its way."""
        return any(s.qos > 0 and s.granted is not None and s.granted < msg.sent and s.dropping is None and matches(s.filter, msg.topic)
                   for s in self.subs)

    def possible(self, msg):
        """An acknowledgement promises no moment: to a subscription made just after it a message may still come."""
        end = msg.acked_s + IN_FLIGHT_S
        return any(s.asked_s < end and (s.gone is None or s.gone > msg.sent) and matches(s.filter, msg.topic) for s in self.subs)

    def stop_owing(self):
        """After a subscription began to go: only what another one certainly covers is still owed."""
        for n in [n for n, msg in self.owed.items() if not self.certain(msg)]:
            del self.owed[n]

    def forget(self, now):
        """Clean start, or the end of the session, asked for."""
        self.owed.clear()
        for s in self.subs:
            if s.dropping is None:
                s.dropping = now

    def forgotten(self, now, floor):
        for s in self.subs:
            if s.asked <= floor and s.gone is None:
                s.gone = now
        self.floor = floor
        self.last.clear()
        self.once.clear()


class Group:
    """A shared subscription whose members stay: each message to one of them."""

    def __init__(self, name, topic_filter):
        self.name, self.filter, self.owed, self.got, self.granted, self.asked = name, topic_filter, {}, {}, None, None


class Model:
    def __init__(self):
        self.now = 0
        self.messages, self.by_topic = [None], {}
        self.receivers, self.groups = {}, {}
        self.retained = {}  # topic -> messages, the last acknowledged one first
        self.stats = {'sent': 0, 'acknowledged': 0, 'received': 0, 'again': 0, 'owed': 0}

    def tick(self):
        self.now += 1
        return self.now

    # ---- publishing ----

    def send(self, publisher, topic, qos, retain=False, fill=0, empty=False):
        n = len(self.messages)
        msg = Msg(n, topic, qos, retain, publisher, self.tick(), b'' if empty else b'%d ' % n + b'x' * fill)
        msg.empty, msg.twice = empty, False  # twice: its PUBREC became 0x97 and may have been lost
        self.messages.append(msg)
        self.stats['sent'] += 1
        if retain:
            self.retained.setdefault(topic, []).append(msg)
        return msg

    def acknowledged(self, msg):
        """PUBACK or PUBREC has come: whoever certainly subscribed must get it."""
        if msg.acked is not None:
            return
        msg.acked, msg.acked_s = self.tick(), time.monotonic()
        self.stats['acknowledged'] += 1
        if msg.retain:
            history = self.retained[msg.topic]
            del history[:history.index(msg)]
        self.owe(msg)

    def owe(self, msg):
        for r in self.receivers.values():
            if msg.n not in r.got and r.certain(msg):
                r.owed[msg.n] = msg
                self.stats['owed'] += 1
        for g in self.groups.values():
            if msg.n not in g.got and g.granted is not None and g.granted < msg.sent and matches(g.filter, msg.topic):
                g.owed[msg.n] = msg
                self.stats['owed'] += 1

    # ---- receiving ----

    def message_of(self, receiver, topic, payload):
        try:
            msg = self.messages[int(payload.split(b' ', 1)[0])]
        except (ValueError, IndexError):
            raise Violation('%s got what nobody sent: %s %r' % (receiver, topic, payload[:40])) from None
        if msg is None or msg.topic != topic or msg.payload != payload:
            raise Violation('%s got a changed message: %s %r instead of %r' % (receiver, topic, payload[:40], msg))
        return msg

    def received(self, r, topic, payload, qos, dup):
        """A message that a client took for new."""
        msg = self.message_of(r.name, topic, payload)
        self.tick()
        self.stats['received'] += 1
        for g in self.groups.values():
            if matches(g.filter, topic):
                return self.received_shared(g, r, msg, qos)
        count = r.got.get(msg.n, 0) + 1
        r.got[msg.n] = count
        r.owed.pop(msg.n, None)
        if not r.possible(msg):
            raise Violation('%s got %r, for which it had no subscription' % (r.name, msg))
        if msg.acked is not None and msg.acked < r.floor:
            raise Violation('%s got %r, of a session that has ended' % (r.name, msg))
        if qos == 2:
            if msg.n in r.once and not msg.twice:
                raise Violation('%s got %r again at QoS 2' % (r.name, msg))
            r.once.add(msg.n)
        if count > 1:
            self.stats['again'] += 1
            return msg
        last = r.last.get((topic, msg.qos, qos), 0)
        # repeated by its publisher after a crash it may come late to who had not subscribed the first time, or with QoS 0
        if last > msg.n and not msg.twice and (qos > 0 or msg.qos == 0) and r.certain(msg):
            raise Violation('%s got %r after message %d' % (r.name, msg, last))
        r.last[topic, msg.qos, qos] = max(msg.n, last)
        return msg

    def received_shared(self, g, r, msg, qos):
        count = g.got.get(msg.n, 0) + 1
        g.got[msg.n] = count
        g.owed.pop(msg.n, None)
        if count > 1 and qos == 2 and not msg.twice:
            raise Violation('group %s got %r %d times at QoS 2, the last time %s' % (g.name, msg, count, r.name))
        return msg

    # ---- what is missing ----

    def missing(self):
        return [(x.name, msg) for x in list(self.receivers.values()) + list(self.groups.values()) for msg in x.owed.values()]

    def check_retained(self, found):
        """`found`: topic -> payload, of all there are. Each is the last one acknowledged, or a later one."""
        for topic, history in self.retained.items():
            have = found.get(topic, b'')
            allowed = [msg.payload for msg in history]
            if history[0].acked is None:
                allowed.append(b'')
            if have not in allowed:
                raise Violation('retained %s is %r; acknowledged: %r, in doubt: %r' % (
                    topic, have[:40], history[0] if history[0].acked else None, [m for m in history if m.acked is None][:5]))
        for topic, payload in found.items():
            if topic not in self.retained:
                raise Violation('retained message nobody sent: %s %r' % (topic, payload[:40]))
