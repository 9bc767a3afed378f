"""A client of the torture: its session's state lives here, through every connection and every death of the broker."""
import time

import torture_wire as wire
from torture_model import Receiver, Sub, Violation
from torture_wire import mqtt5

WINDOW = 12
LONG = 86400


class Player:
    def __init__(self, play, name, expiry=LONG, group=None):
        self.play, self.model, self.rng = play, play.model, play.rng
        self.name, self.expiry, self.group = name, expiry, group
        self.receiver = self.model.receivers[name] = Receiver(name)
        self.conn, self.state, self.old = None, 'off', []
        self.known = False      # the broker has promised that there is a session
        self.must_clean = True  # nobody knows what there is
        self.asked_clean, self.floor, self.present_must = True, 0, None
        self.going, self.got_ids, self.waiting, self.held = {}, {}, {}, []
        self.next_id, self.holds, self.will, self.away_until = 0, False, None, 0
        self.joined, self.reports = False, play.options.verbose
        self.left_early = self.left_late = None  # when its connection was lost, at the earliest and the latest

    def say(self, *words):
        if self.reports:
            print('%6d' % self.model.now, self.name, *words)

    # ---- connections ----

    def connect(self, clean=False):
        model = self.model
        clean = clean or self.must_clean or self.expiry == 0
        if self.conn is not None:
            self.lost(take_over=True)
        try:
            self.conn = wire.Conn(self.play.target.port, self.play.target.tls)
        except wire.Lost:
            self.conn = None
            return
        self.asked_clean, self.present_must = clean, None if clean else self.session_must()
        self.state, self.waiting, self.held, self.holds = 'connecting', {}, [], self.rng.random() < 0.2
        self.floor = model.tick()
        if clean:
            self.receiver.forget(self.floor)
            self.known, self.must_clean = False, True
        elif not self.present_must:  # without CONNACK nobody can tell the session of now from another one next time
            self.must_clean = True
        will = None
        if self.expiry == LONG and self.rng.random() < 0.3:
            self.will = model.send(self.name, 't/%s/w' % self.name, 1 + self.rng.randrange(2))
            will = (self.will.topic, self.will.payload, self.will.qos, False, {})
        else:
            self.will = None
        self.say('connects', 'clean' if clean else '', 'will %d' % self.will.n if will else '')
        self.conn.send(mqtt5.connect(self.name, clean=clean, will=will, keep_alive=600, receive_maximum=self.rng.randint(3, 60),
                                     session_expiry=self.expiry or None))

    def session_must(self):
        """True, False or None: whether the broker must still have the session."""
        if not self.known:
            return None
        if self.expiry == LONG or self.left_early is None:
            return True
        now = time.time()
        if now < self.left_early + self.expiry - 0.3:
            return True
        return False if now > self.left_late + self.expiry + 2 else None

    def lost(self, take_over=False):
        """The connection is gone, or about to be."""
        self.say('loses its connection')
        if take_over:
            self.old.append(self.conn)
        else:
            self.conn.close()
        if self.state == 'open':
            self.left_early = self.play.stopping_since or time.time()
            self.left_late = time.time() if self.play.target.running() else None
            if self.will is not None:  # the broker says it, whatever becomes of the broker
                # a connection that the broker has ended: who knows when
                self.will.sent = self.floor if self.play.refusals_allowed() else self.model.tick()
                self.model.owe(self.will)
        self.conn, self.state, self.will, self.waiting, self.held = None, 'off', None, {}, []
        if self.expiry == 0:
            self.receiver.forget(self.model.tick())
            self.going.clear()

    def bye(self, mode):
        """mode: 'drop' says nothing, 'bye' says DISCONNECT and waits for nothing."""
        if mode == 'bye':
            self.conn.send(mqtt5.disconnect())
            self.will = None  # it may be said or not if the broker never reads this
        try:
            self.conn.flush()
        except wire.Lost:
            pass
        self.lost()

    # ---- out ----

    def new_id(self):
        while True:
            self.next_id = self.next_id % 65535 + 1
            if self.next_id not in self.going and self.next_id not in self.waiting:
                return self.next_id

    def publish(self, topic, qos, retain=False, fill=0, empty=False):
        msg = self.model.send(self.name, topic, qos, retain, fill, empty)
        msg.twice = self.play.refusals_allowed()
        if qos:
            msg.packet_id, msg.stage = self.new_id(), 'sent'
            self.going[msg.packet_id] = msg
        self.say('sends', msg)
        self.conn.publish(topic, msg.payload, qos, retain, msg.packet_id, False)

    def subscribe(self, topic_filter, qos):
        packet_id = self.new_id()
        if self.group is not None and topic_filter.startswith('$share'):
            self.waiting[packet_id] = ('join', None)
        else:
            same = [s for s in self.receiver.live() if s.filter == topic_filter and s.dropping is None]
            sub = same[0] if same else Sub(topic_filter, qos, self.model.tick())
            if not same:
                self.receiver.subs.append(sub)
            elif qos < sub.qos:
                sub.qos = qos
                self.receiver.stop_owing()
            self.waiting[packet_id] = ('subscribe', sub)
        self.say('subscribes', topic_filter, qos)
        self.conn.send(mqtt5.subscribe(packet_id, [(topic_filter, 0x20 | qos)]))

    def unsubscribe(self, topic_filter):
        packet_id, now = self.new_id(), self.model.tick()
        going = [s for s in self.receiver.live() if s.filter == topic_filter]
        for s in going:
            s.dropping = s.dropping or now
        self.receiver.stop_owing()
        self.waiting[packet_id] = ('unsubscribe', going)
        self.say('unsubscribes', topic_filter)
        self.conn.send(mqtt5.unsubscribe(packet_id, [topic_filter]))

    def reply(self, kind, packet_id):
        if self.holds:
            self.held.append(kind + wire.ID.pack(packet_id))
        else:
            self.conn.send(kind + wire.ID.pack(packet_id))

    def let_go(self):
        for data in self.held:
            self.conn.send(data)
        self.held, self.holds = [], False

    # ---- in ----

    def read(self):
        found, ended = self.conn.packets()
        for head, body in found:
            self.handlers[head >> 4](self, head, body)
        if ended:
            raise wire.Lost(ended)

    def on_connack(self, _, body):
        present, reason = body[0] & 1, body[1]
        if reason != 0:
            if not self.play.refusals_allowed():
                raise Violation('%s: CONNACK 0x%02x' % (self.name, reason))
            raise wire.Lost('refused')
        if self.asked_clean and present:
            raise Violation('%s: Session Present after Clean Start' % self.name)
        if self.present_must and not self.session_must():  # its time may have come on the way
            self.present_must = None
        if self.present_must is not None and bool(present) != self.present_must:
            raise Violation('%s: Session Present is %d; promised: %s' % (self.name, present, self.present_must))
        self.say('connected, present', present)
        if not present:
            if not self.asked_clean:
                self.receiver.forget(self.model.tick())
            self.receiver.forgotten(self.model.tick(), self.floor)
            self.going.clear()
            self.got_ids.clear()
            self.joined = False
        self.known, self.must_clean, self.state = self.expiry != 0, False, 'open'
        self.left_early = self.left_late = None
        for packet_id, msg in self.going.items():
            if msg.stage == 'sent':
                self.conn.publish(msg.topic, msg.payload, msg.qos, msg.retain, packet_id, True)
            else:
                self.conn.send(wire.PUBREL + wire.ID.pack(packet_id))
        if self.group is not None and not self.joined:
            self.subscribe('$share/%s/%s' % (self.group.name, self.group.filter), 2)

    def on_publish(self, head, body):
        qos, dup = head >> 1 & 3, bool(head & 8)
        topic, packet_id, payload = wire.read_publish(head, body)
        if qos == 2:
            n = self.model.message_of(self.name, topic, payload).n
            before = self.got_ids.get(packet_id)
            self.say('gets', n, 'QoS 2', packet_id, 'dup' if dup else '')
            self.reply(wire.PUBREC, packet_id)
            if before is None:
                self.got_ids[packet_id] = n
            elif before != n:
                raise Violation('%s got message %d under the identifier %d that still is of message %d' % (
                    self.name, n, packet_id, before))
            else:
                return
        elif qos == 1:
            self.reply(wire.PUBACK, packet_id)
        msg = self.model.received(self.receiver, topic, payload, qos, dup)
        if qos < 2:
            self.say('gets', msg, 'dup' if dup else '')

    def on_answer(self, head, body):
        kind, packet_id = head >> 4, wire.ID.unpack_from(body)[0]
        reason = body[2] if len(body) > 2 else 0
        if kind == mqtt5.PUBREL:
            self.got_ids.pop(packet_id, None)
            self.reply(wire.PUBCOMP, packet_id)
            return
        msg = self.going.get(packet_id)
        if kind == mqtt5.PUBCOMP:
            if msg is None or msg.stage != 'released':
                raise Violation('%s: PUBCOMP %d for what was not released' % (self.name, packet_id))
            del self.going[packet_id]
            return
        if msg is None:
            raise Violation('%s: acknowledgement of %d, which is nothing' % (self.name, packet_id))
        if reason >= 0x80:
            if not self.play.refusals_allowed():
                raise Violation('%s: %r refused with 0x%02x' % (self.name, msg, reason))
            del self.going[packet_id]
            return
        self.say('is told of', msg.n)
        self.model.acknowledged(msg)
        if kind == mqtt5.PUBACK:
            del self.going[packet_id]
        else:
            msg.stage = 'released'
            self.conn.send(wire.PUBREL + body[:2])

    def on_suback(self, _, body):
        packet = mqtt5.Packet(mqtt5.SUBACK, 0, body)
        what, sub = self.waiting.pop(packet.packet_id)
        if packet.codes[0] >= 0x80:
            if not self.play.refusals_allowed():
                raise Violation('%s: SUBACK 0x%02x' % (self.name, packet.codes[0]))
        elif what == 'join':
            self.joined = True
            if self.group.granted is None:
                self.group.granted = self.model.tick()
        elif sub.granted is None:
            sub.granted = self.model.tick()

    def on_unsuback(self, _, body):
        packet = mqtt5.Packet(mqtt5.UNSUBACK, 0, body)
        _, going = self.waiting.pop(packet.packet_id)
        if packet.codes[0] >= 0x80:
            if not self.play.refusals_allowed():
                raise Violation('%s: UNSUBACK 0x%02x' % (self.name, packet.codes[0]))
            return
        now = self.model.tick()
        for s in going:
            s.gone = s.gone or now

    def on_disconnect(self, _, body):
        reason = body[0] if body else 0
        if not self.play.refusals_allowed() and self.play.target.running():
            raise Violation('%s: DISCONNECT 0x%02x' % (self.name, reason))
        raise wire.Lost('told to go')

    def on_nothing(self, head, body):
        pass

    handlers = {mqtt5.CONNACK: on_connack, mqtt5.PUBLISH: on_publish, mqtt5.PUBACK: on_answer, mqtt5.PUBREC: on_answer,
                mqtt5.PUBREL: on_answer, mqtt5.PUBCOMP: on_answer, mqtt5.SUBACK: on_suback, mqtt5.UNSUBACK: on_unsuback,
                mqtt5.DISCONNECT: on_disconnect, mqtt5.PINGRESP: on_nothing}
