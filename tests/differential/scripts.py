"""Random packet scripts for two brokers: what three clients send, byte by byte, made from a seed.

A script is a list of steps; a step is a client's number, what it does (`open` a connection first, `send`, `drop` the connection
afterwards) and the bytes. Half of the scripts keep the rules of MQTT 5.0 and 3.1.1; the others break one on purpose, or have
a byte changed at random. Topics and client identifiers carry the script's number, so that scripts leave each other alone.
"""
import os
import random
import re
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'blackbox'))
import mqtt5 as m  # noqa: E402

CLIENTS = 3
WORDS = ['a', 'b', 'c', '']
PAYLOADS = [b'', b'x', b'hello', b'\x00\xff', b'y' * 300]


class Step:
    def __init__(self, client, data, note, opens=False, drops=False):
        self.client, self.data, self.note, self.opens, self.drops = client, data, note, opens, drops

    def __repr__(self):
        return 'client %d %s%s%s' % (self.client, 'opens, ' if self.opens else '', self.note, ', drops' if self.drops else '')


class Script:
    """steps, and for each client the version it speaks (4, 5) and whether it acknowledges what it gets."""

    def __init__(self, number, steps, versions, acks):
        self.number, self.steps, self.versions, self.acks = number, steps, versions, acks


def maybe(r, chance, **props):
    return {name: value for name, value in props.items() if r.random() < chance}


class Maker:
    """What one script has done so far, as far as the next step depends on it."""

    def __init__(self, number, seed):
        self.r = random.Random('%s/%d' % (seed, number))
        self.number = number
        self.versions = [self.r.choice([4, 5, 5]) for _ in range(CLIENTS)]
        self.acks = [self.r.random() < 0.8 for _ in range(CLIENTS)]
        self.open = [False] * CLIENTS
        self.ids = [0] * CLIENTS
        self.unreleased = [[] for _ in range(CLIENTS)]

    # ---- parts ----

    def topic(self):
        words = [self.r.choice(WORDS) for _ in range(self.r.choice([1, 1, 2, 2, 3]))]
        return '/'.join(['d%d' % self.number] + words)

    def filter(self):
        words = [self.r.choice(WORDS + ['+', '+']) for _ in range(self.r.choice([1, 1, 2, 2, 3]))]
        if self.r.random() < 0.35:
            words[-1] = '#'
        return '/'.join(['d%d' % self.number] + words)

    def next_id(self, c):
        self.ids[c] += 1
        return self.ids[c]

    def client_id(self, c):
        return 'd%d-%d' % (self.number, c)

    # ---- legal packets ----

    def connect_bytes(self, c, flags=0, level=None, client_id=None, name=b'MQTT', tail=b''):
        r, level = self.r, level or self.versions[c]
        clean = r.random() < 0.4
        flags |= 2 if clean else 0
        props = b''
        payload = m.prefixed(self.client_id(c) if client_id is None else client_id)
        if level == 5:
            props = m.properties(**maybe(r, 0.6, session_expiry=r.choice([0, 600, 600, 0xFFFFFFFF])),
                                 **maybe(r, 0.15, receive_maximum=r.choice([1, 2, 10])),
                                 **maybe(r, 0.1, request_problem=0), **maybe(r, 0.1, user_property=[('k', 'v')]))
        if r.random() < 0.3:
            qos, retain = r.choice([0, 1, 2]), r.random() < 0.3
            flags |= 4 | qos << 3 | (0x20 if retain else 0)
            if level == 5:
                payload += m.properties(**maybe(r, 0.3, content_type='t'), **maybe(r, 0.2, user_property=[('w', '1')]))
            payload += m.prefixed(self.topic()) + m.prefixed(r.choice(PAYLOADS[1:]))
        return m.packet(m.CONNECT, 0, m.prefixed(name) + bytes([level, flags]) + struct.pack('>H', 60) + props + payload + tail)

    def do_connect(self, c):
        self.open[c] = True
        self.unreleased[c] = []
        return Step(c, self.connect_bytes(c), 'CONNECT', opens=True)

    def publish_bytes(self, c, topic=None, flags=None, more=b'', qos=None):
        r = self.r
        qos = r.choice([0, 0, 1, 1, 2]) if qos is None else qos
        retain = r.random() < 0.25
        body = m.prefixed(topic if topic is not None else self.topic())
        if qos:
            packet_id = self.next_id(c)
            body += struct.pack('>H', packet_id)
            if qos == 2:
                self.unreleased[c].append(packet_id)
        if self.versions[c] == 5:
            props = m.properties(**maybe(r, 0.15, content_type='text/plain'), **maybe(r, 0.15, message_expiry=1000),
                                 **maybe(r, 0.15, response_topic='r/t'), **maybe(r, 0.15, correlation_data=b'\x01\x02'),
                                 **maybe(r, 0.15, user_property=[('a', '1'), ('a', '2')]), **maybe(r, 0.1, payload_format=0))
            length = m.Reader(props).varint() + len(more)
            body += m.varint(length) + props[1 if props[0] < 0x80 else 2:] + more
        body += r.choice(PAYLOADS)
        return m.packet(m.PUBLISH, qos << 1 | (1 if retain else 0) if flags is None else flags, body)

    def do_publish(self, c):
        data = self.publish_bytes(c)
        if data[0] & 4 and self.r.random() < 0.85:  # a QoS 2 message most often is released at once
            data += m.packet(m.PUBREL, 2, struct.pack('>H', self.unreleased[c].pop()))
        return Step(c, data, 'PUBLISH')

    def do_alias(self, c):
        """Two messages, the second by alias only."""
        if self.versions[c] != 5:
            return self.do_publish(c)
        first = m.publish(self.topic(), b'one', topic_alias=1)
        return Step(c, first + m.publish('', b'two', topic_alias=1), 'PUBLISH twice by alias')

    def do_pubrel(self, c):
        if not self.unreleased[c]:
            return self.do_publish(c)
        return Step(c, m.packet(m.PUBREL, 2, struct.pack('>H', self.unreleased[c].pop(0))), 'PUBREL')

    def options(self, c):
        r = self.r
        if self.versions[c] == 4:
            return r.choice([0, 1, 2])
        return r.choice([0, 1, 2]) | r.choice([0, 0, 4]) | r.choice([0, 8]) | r.choice([0, 0, 0x10, 0x20])

    def subscribe_bytes(self, c, filters=None, more=b'', flags=2):
        r = self.r
        filters = filters or [self.filter() for _ in range(r.choice([1, 1, 1, 2, 3]))]
        body = struct.pack('>H', self.next_id(c))
        if self.versions[c] == 5:
            props = m.properties(**maybe(r, 0.3, subscription_id=r.choice([1, 7, 200])))
            body += m.varint(len(props) - 1 + len(more)) + props[1:] + more
        for f in filters:
            body += m.prefixed(f) + bytes([self.options(c)])
        return m.packet(m.SUBSCRIBE, flags, body)

    def do_subscribe(self, c):
        return Step(c, self.subscribe_bytes(c), 'SUBSCRIBE')

    def do_unsubscribe(self, c):
        body = struct.pack('>H', self.next_id(c)) + (b'\0' if self.versions[c] == 5 else b'')
        return Step(c, m.packet(m.UNSUBSCRIBE, 2, body + m.prefixed(self.filter())), 'UNSUBSCRIBE')

    def do_disconnect(self, c):
        self.open[c] = False
        body = self.r.choice([b'', b'', b'\x00', b'\x04']) if self.versions[c] == 5 else b''
        return Step(c, m.packet(m.DISCONNECT, 0, body), 'DISCONNECT ' + body.hex(), drops=True)

    def do_drop(self, c):
        self.open[c] = False
        return Step(c, b'', 'nothing', drops=True)

    # ---- illegal ones ----

    def bad_packets(self, c):
        five = self.versions[c] == 5
        empty = b'\0' if five else b''
        out = [
            ('PUBLISH QoS 3', self.publish_bytes(c, flags=6, qos=1)),
            ('PUBLISH QoS 0 with DUP', self.publish_bytes(c, flags=8, qos=0)),
            ('PUBLISH to a wildcard', self.publish_bytes(c, topic='d%d/+' % self.number)),
            ('PUBLISH to #', self.publish_bytes(c, topic='d%d/#' % self.number)),
            ('PUBLISH with packet id 0', m.packet(m.PUBLISH, 2, m.prefixed('d/x') + b'\0\0' + empty)),
            ('PUBLISH topic with U+0000', self.publish_bytes(c, topic=b'd\0')),
            ('PUBLISH topic not UTF-8', self.publish_bytes(c, topic=b'd/\xc3\x28')),
            ('PUBLISH topic with a surrogate', self.publish_bytes(c, topic=b'd/\xed\xa0\x80')),
            ('PUBLISH topic with a control character', self.publish_bytes(c, topic=b'd%d/\x01' % self.number)),
            ('PUBLISH to the empty topic', self.publish_bytes(c, topic=b'')),
            ('PUBLISH to $SYS', self.publish_bytes(c, topic='$SYS/d%d' % self.number)),
            ('PUBLISH cut short', m.packet(m.PUBLISH, 2, b'\0')),
            ('second CONNECT', self.connect_bytes(c)),
            ('SUBSCRIBE flags', self.subscribe_bytes(c, flags=0)),
            ('SUBSCRIBE without filters', m.packet(m.SUBSCRIBE, 2, b'\0\x07' + empty)),
            ('SUBSCRIBE packet id 0', m.packet(m.SUBSCRIBE, 2, b'\0\0' + empty + m.prefixed('d/x') + b'\0')),
            ('SUBSCRIBE a#', self.subscribe_bytes(c, ['d%d/a#' % self.number])),
            ('SUBSCRIBE #/a', self.subscribe_bytes(c, ['d%d/#/a' % self.number])),
            ('SUBSCRIBE a+', self.subscribe_bytes(c, ['d%d/a+' % self.number])),
            ('SUBSCRIBE empty filter', self.subscribe_bytes(c, [b'', 'd%d/x' % self.number])),
            ('SUBSCRIBE QoS 3', m.packet(m.SUBSCRIBE, 2, b'\0\x07' + empty + m.prefixed('d/x') + b'\x03')),
            ('SUBSCRIBE reserved bits', m.packet(m.SUBSCRIBE, 2, b'\0\x07' + empty + m.prefixed('d/x') + b'\xc0')),
            ('UNSUBSCRIBE without filters', m.packet(m.UNSUBSCRIBE, 2, b'\0\x07' + empty)),
            ('UNSUBSCRIBE flags', m.packet(m.UNSUBSCRIBE, 0, b'\0\x07' + empty + m.prefixed('d/x'))),
            ('PUBREL unknown', m.packet(m.PUBREL, 2, b'\x7f\x01')),
            ('PUBREL flags', m.packet(m.PUBREL, 0, b'\x7f\x01')),
            ('PUBACK unknown', m.packet(m.PUBACK, 0, b'\x7f\x01')),
            ('PUBREC unknown', m.packet(m.PUBREC, 0, b'\x7f\x01')),
            ('PUBCOMP unknown', m.packet(m.PUBCOMP, 0, b'\x7f\x01')),
            ('PUBACK cut short', m.packet(m.PUBACK, 0, b'\x01')),
            ('PINGREQ with a body', m.packet(m.PINGREQ, 0, b'\0')),
            ('PINGREQ flags', m.packet(m.PINGREQ, 1, b'')),
            ('DISCONNECT flags', m.packet(m.DISCONNECT, 1, b'')),
            ('packet of type 0', m.packet(0, 0, b'')),
            ('CONNACK from a client', m.packet(m.CONNACK, 0, b'\0\0' + empty)),
            ('SUBACK from a client', m.packet(m.SUBACK, 0, b'\0\x01' + empty + b'\0')),
            ('PINGRESP from a client', m.packet(m.PINGRESP, 0, b'')),
            ('remaining length of five bytes', bytes([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]) + b'x' * 20),
        ]
        if not five:
            return out + [('type 15 in 3.1.1', m.packet(15, 0, b''))]
        return out + [
            ('PUBLISH with an unknown property', self.publish_bytes(c, more=b'\x7e\x01')),
            ('PUBLISH with a property of CONNECT', self.publish_bytes(c, more=b'\x11\0\0\0\1')),
            ('PUBLISH with alias 0', m.publish('d%d/a' % self.number, b'z', topic_alias=0)),
            ('PUBLISH with alias 65535', m.publish('d%d/a' % self.number, b'z', topic_alias=65535)),
            ('PUBLISH with an unknown alias', m.publish('', b'z', topic_alias=5)),
            ('PUBLISH with payload format 2', m.publish('d%d/a' % self.number, b'z', payload_format=2)),
            ('PUBLISH with a property twice', self.publish_bytes(c, more=b'\x01\0\x01\0')),
            ('PUBLISH with a subscription identifier', m.publish('d%d/a' % self.number, b'z', subscription_id=3)),
            ('PUBLISH with a wildcard in the response topic', m.publish('d%d/a' % self.number, b'z', response_topic='a/+')),
            ('SUBSCRIBE identifier 0', self.subscribe_bytes(c, more=b'\x0b\0')),
            ('SUBSCRIBE retain handling 3', m.packet(m.SUBSCRIBE, 2, b'\0\x07\0' + m.prefixed('d/x') + b'\x30')),
            ('SUBSCRIBE shared with no local', m.subscribe(9, [('$share/g/d%d/a' % self.number, 4)])),
            ('SUBSCRIBE $share without a filter', m.subscribe(9, [('$share/g', 0)])),
            ('SUBSCRIBE $share with a wildcard name', m.subscribe(9, [('$share/+/a', 0)])),
            ('AUTH out of the blue', m.auth(0x19)),
            ('AUTH without a method', m.packet(m.AUTH, 0, b'')),
            ('DISCONNECT with a server code', m.packet(m.DISCONNECT, 0, b'\x8b')),
            ('DISCONNECT with an unknown code', m.packet(m.DISCONNECT, 0, b'\x55')),
            ('DISCONNECT with session expiry', m.disconnect(0, session_expiry=30)),
            ('PUBACK with a wrong code', m.packet(m.PUBACK, 0, b'\x7f\x01\x92\0')),
        ]

    def bad_connects(self, c):
        five = self.versions[c] == 5
        out = [
            ('CONNECT with the reserved flag', self.connect_bytes(c, flags=1)),
            ('CONNECT Will QoS 3', self.connect_bytes(c, flags=0x1c)),
            ('CONNECT Will retain without Will', self.connect_bytes(c, flags=0x20)),
            ('CONNECT level 6', self.connect_bytes(c, level=6)),
            ('CONNECT level 0', m.packet(m.CONNECT, 0, m.prefixed('MQTT') + b'\0\x02\0\x3c' + m.prefixed('x'))),
            ('CONNECT protocol name', self.connect_bytes(c, name=b'MQTX')),
            ('CONNECT with bytes behind', self.connect_bytes(c, tail=b'\0\0')),
            ('CONNECT identifier not UTF-8', self.connect_bytes(c, client_id=b'\xff\xfe')),
            ('CONNECT cut short', m.packet(m.CONNECT, 0, b'\0\4MQ')),
            ('CONNECT without an identifier, not clean', m.packet(m.CONNECT, 0, m.prefixed('MQTT') + bytes(
                [self.versions[c], 0, 0, 60]) + (b'\0' if five else b'') + b'\0\0')),
            ('PUBLISH first', m.publish('d/x', b'z')),
            ('PINGREQ first', m.PING),
            ('bytes of nonsense', bytes(self.r.randrange(256) for _ in range(40))),
            ('CONNECT flags in the header', b'\x11' + self.connect_bytes(c)[1:]),
        ]
        if not five:
            return out + [('CONNECT password without user name', self.connect_bytes(c, flags=0x40, tail=m.prefixed('p')))]
        return out + [
            ('CONNECT receive maximum 0', m.connect(self.client_id(c), receive_maximum=0)),
            ('CONNECT maximum packet size 0', m.connect(self.client_id(c), maximum_packet_size=0)),
            ('CONNECT a property twice', m.packet(m.CONNECT, 0, m.prefixed('MQTT') + b'\5\2\0\x3c' + b'\x06\x21\0\5\x21\0\5' +
                                                   m.prefixed(self.client_id(c)))),
            ('CONNECT request problem 2', m.connect(self.client_id(c), request_problem=2)),
            ('CONNECT authentication data without a method', m.connect(self.client_id(c), authentication_data=b'x')),
            ('CONNECT property of PUBLISH', m.connect(self.client_id(c), topic_alias=3)),
        ]

    def do_bad(self, c):
        if self.r.random() < 0.25:
            return self.do_changed_byte(c)
        if self.open[c]:
            name, data = self.r.choice(self.bad_packets(c))
            return Step(c, data, name)
        name, data = self.r.choice(self.bad_connects(c))
        return Step(c, data, name, opens=True, drops=True)

    def do_changed_byte(self, c):
        """A good packet with one byte changed behind its length; who waits for more then is cut off."""
        if not self.open[c]:
            return self.do_connect(c)
        data = bytearray(self.r.choice([self.publish_bytes, self.subscribe_bytes])(c))
        first = 2 if data[1] < 0x80 else 3
        number = re.search(rb'd\d+', data).span()
        at = self.r.choice([i for i in range(first, len(data)) if not number[0] < i < number[1]])
        data[at] ^= 1 << self.r.randrange(8)
        return Step(c, bytes(data), '%s with a changed byte' % ('PUBLISH' if data[0] >> 4 == 3 else 'SUBSCRIBE'))

    # ---- the script ----

    def step(self, bad):
        c = self.r.randrange(CLIENTS)
        if bad:
            return self.do_bad(c)
        if not self.open[c]:
            return self.do_connect(c)
        doings = [(self.do_publish, 10), (self.do_subscribe, 6), (self.do_pubrel, 3), (self.do_unsubscribe, 1), (self.do_alias, 1),
                  (self.do_disconnect, 1), (self.do_drop, 1.5), (self.do_connect, 0.7)]
        return self.r.choices([d for d, _ in doings], [w for _, w in doings])[0](c)

    def make(self):
        length = self.r.randrange(6, 16)
        bad_at = self.r.randrange(2, length) if self.r.random() < 0.5 else None
        steps = [self.do_connect(0)]
        for i in range(length):
            steps.append(self.step(i == bad_at))
        return Script(self.number, steps, self.versions, self.acks)


def make(number, seed):
    return Maker(number, seed).make()
