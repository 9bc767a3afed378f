"""Every packet vector that a client can send (tests/vectors/mqtt), against the real broker: what is wrong gets the reason code
the standard names, exactly one, and the end of the connection; nobody hears anything of it; and the log names the peer once.
What is right is answered as it should be. (MQTT5 4.13, 3.14.2.1; MQTT311 4.8)"""
import collections
import glob
import json
import os
import selectors
import socket
import ssl
import struct

import mqtt5
import pytest
from mqtt5 import CONNACK, DISCONNECT, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK
from world import ROOT, WAIT, wait_for

FOLDER = os.path.join(ROOT, 'tests', 'vectors', 'mqtt')
AT_A_TIME = 200

pytestmark = pytest.mark.threads

REFUSALS = ('packet_refused', 'connect_refused', 'publish_refused')


def unhex(text):
    parts = (part.partition('*') for part in text.split(' '))
    return b''.join(bytes.fromhex(one) * int(times or 1) for one, _, times in parts)


def vectors():
    for path in sorted(glob.glob(os.path.join(FOLDER, '*.json'))):
        for row in json.load(open(path, encoding='utf-8')):
            if row['from'] == 'client':
                row['bytes'] = unhex(row['hex'])
                row['v5'] = row['version'] == '5.0'
                row['first'] = row['bytes'][0] >> 4 == mqtt5.CONNECT
                yield row


ROWS = list(vectors())
WRONG = [row for row in ROWS if 'error' in row]
UNFINISHED = [row for row in ROWS if 'incomplete' in row]
RIGHT = [row for row in ROWS if 'ok' in row]


# ---- many conversations at a time ----

CONNECT_5 = mqtt5.connect('')
CONNECT_311 = mqtt5.packet(mqtt5.CONNECT, 0, mqtt5.prefixed('MQTT') + b'\x04\x02\x00\x3c' + mqtt5.prefixed(''))


def split(data):
    """Whole packets of what came, as (kind, body), and whether anything is left over."""
    packets, rest = mqtt5.split(data)
    return [(p[0] >> 4, p[slice(*mqtt5.whole(p))]) for p in packets], rest


class Talk:
    """One connection of its own: sends what the row has (behind a CONNECT where it is none), and reads until `enough`, or
    until the broker ends it."""

    def __init__(self, port, row, tail=b'', close_writing=False, until_ping=False):
        self.row, self.got, self.ended, self.until_ping = row, b'', False, until_ping
        self.close_writing = close_writing
        self.unsent = (b'' if row['first'] else CONNECT_5 if row['v5'] else CONNECT_311) + row['bytes'] + tail
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(('127.0.0.1', port))
        self.peer = ''

    def turn(self, mask):
        """True when it is over."""
        if mask & selectors.EVENT_WRITE and self.unsent:
            self.peer = '127.0.0.1:%d' % self.socket.getsockname()[1]
            try:
                self.unsent = self.unsent[self.socket.send(self.unsent):]
            except (BrokenPipeError, ConnectionResetError):
                self.unsent = b''
            if not self.unsent and self.close_writing:
                self.socket.shutdown(socket.SHUT_WR)
        if mask & selectors.EVENT_READ:
            try:
                more = self.socket.recv(1 << 18)
            except ConnectionResetError:
                more = b''
            self.got += more
            self.ended = not more
        return self.ended or self.until_ping and self.got.endswith(b'\xd0\x00')

    def answers(self):
        """What came behind the CONNACK of our own CONNECT."""
        packets, rest = split(self.got)
        assert rest == b'', 'half a packet: %r' % self.got
        if not self.row['first']:
            assert packets[:1] and packets[0][0] == CONNACK and packets[0][1][1] == 0, packets
            packets = packets[1:]
        return packets


def converse(make, rows):
    """All the talks, finished; AT_A_TIME under way at once."""
    todo, done, under_way = collections.deque(rows), [], 0
    selector = selectors.DefaultSelector()
    while todo or under_way:
        while todo and under_way < AT_A_TIME:
            talk = make(todo.popleft())
            selector.register(talk.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, talk)
            under_way += 1
        ready = selector.select(WAIT)
        assert ready, 'the broker neither answers nor closes: %r' % [
            k.data.row['id'] for k in list(selector.get_map().values())[:20]]
        for key, mask in ready:
            talk = key.data
            if talk.turn(mask):
                selector.unregister(talk.socket)
                talk.socket.close()
                done.append(talk)
                under_way -= 1
            elif not talk.unsent:
                selector.modify(talk.socket, selectors.EVENT_READ, talk)
    return done


def complain(problems):
    assert not problems, '%d rows:\n%s' % (len(problems), '\n'.join(problems[:40]))


# ---- the broker ----

@pytest.fixture(scope='module')
def broker(make_broker):
    # Without a store, and one worker: here answers are told apart by the PINGRESP behind them, which waits neither for a disk nor
    # for another worker that has to say whether a retained message is kept.
    return make_broker(workers=1, public=[['#', ['pub', 'sub']]], listener={'tls': False}, durability='none',
                       **{'limits.connect_packet': '256k', 'limits.packet': '512k'})


@pytest.fixture
def watcher(broker):
    """Hears every public topic; `unheard()` says that nothing came until now."""
    with mqtt5.Plain(broker.port, wait=WAIT) as client:
        assert client.open('').reason == 0
        client.send(mqtt5.subscribe(1, [('#', 0), ('$SYS/#', 0)]))
        client.expect(SUBACK)

        def unheard():
            with mqtt5.Plain(broker.port, wait=WAIT) as other:
                other.open('')
                other.send(mqtt5.publish('marker', 'here', qos=1, packet_id=1))
                other.expect(PUBACK)
            got = client.expect(PUBLISH)
            assert got.topic == 'marker', 'somebody heard of %r' % got

        yield unheard


def refusal(talk):
    """What is wrong with the answer to a wrong packet, or None."""
    row, packets = talk.row, talk.answers()
    if not talk.ended:
        return 'not closed'
    if row['first']:
        if packets == []:  # MQTT5 3.1.4 allows that: ours needs to see which version it is, behind a length it can read
            seen = row['hex'][4:18] == '00044d51545405' or row['hex'][6:20] == '00044d51545405' and row['hex'][4:6] != '00'
            return 'closed without CONNACK' if seen else None
        kind, body = packets[0]
        if len(packets) > 1 or kind != CONNACK:
            return 'answered with %r' % packets
        in_311 = len(body) == 2 and body[1] == 1 and '0x84' in row['error']
        return None if in_311 or '0x%02x' % body[1] in row['error'] else 'CONNACK 0x%02x, not %s' % (body[1], row['error'])
    if not row['v5']:
        return None if packets == [] else 'answered with %r' % packets
    if len(packets) != 1 or packets[0][0] != DISCONNECT:
        return 'answered with %r' % packets
    code = '0x%02x' % (packets[0][1][0] if packets[0][1] else 0)
    return None if code in row['error'] else 'DISCONNECT %s, not %s' % (code, row['error'])


def logged_once(broker, talks, events=REFUSALS):
    """Each of these peers is in the log with one refusal for each time its port was used."""
    wanted, count = collections.Counter(talk.peer for talk in talks), collections.Counter()

    def all_there():  # the log is on its way through a pipe
        count.clear()
        count.update(e.fields.get('peer') for e in list(broker.daemon.events) if e.name in events)
        return all(count[peer] >= times for peer, times in wanted.items())
    wait_for(all_there, why=lambda: str(wanted - count))
    return ['%s: in the log %d times' % (talk.row['id'], count[talk.peer]) for talk in talks if count[talk.peer] != wanted[talk.peer]]


def test_wrong_packets_are_refused_with_one_code_and_heard_by_nobody(broker, watcher):
    """MQTT5 4.13.1: [MQTT-4.13.1-1]; MQTT311 [MQTT-4.8.0-1]"""
    talks = converse(lambda row: Talk(broker.port, row, tail=mqtt5.PING, until_ping=True), WRONG)
    complain(['%s (%s): %s' % (t.row['id'], t.row['what'], refusal(t)) for t in talks if refusal(t)])
    watcher()
    complain(logged_once(broker, talks))
    assert len(talks) > 2000


def test_unfinished_packets_have_no_effect(broker, watcher):
    """the stream ends inside a packet: no answer, nothing heard"""
    talks = converse(lambda row: Talk(broker.port, row, close_writing=True), UNFINISHED)
    too_large = [(DISCONNECT, 0x95)]  # what is announced may be refused before it comes
    complain(['%s (%s): %r' % (t.row['id'], t.row['what'], t.answers()) for t in talks if not t.ended or
              [(kind, body[0]) for kind, body in t.answers()] not in ([], too_large if 'announces' in t.row['what'] else [])])
    watcher()


# ---- what is right ----

def connack_codes(row):
    """What this broker, with its settings, says to a right CONNECT."""
    ok = row['ok']
    v5 = ok['protocol_version'] == 5
    if ok.get('properties', {}).get('maximum_packet_size') == 1:
        return []  # no CONNACK is that small
    if 'authentication_method' in ok.get('properties', {}):
        return [0x8C]
    if 'user_name' in ok or 'password' in ok:
        return [0x87] if v5 else [4, 5]
    if ok.get('will', {}).get('topic', '') == '$SYS/x':
        return [0x87, 0x90] if v5 else [5, None]
    return [0]


def after_publish(row):
    """(kinds of answers, code); the last word is DISCONNECT or PINGRESP"""
    ok, properties = row['ok'], row['ok'].get('properties', {})
    if properties.get('topic_alias', 0) > 32:
        return DISCONNECT, [0x94]
    if ok['topic'] == '':
        return DISCONNECT, [0x82, 0x94]
    denied = isinstance(ok['topic'], str) and ok['topic'].startswith('$')
    if denied and (ok['qos'] == 0 or not row['v5']):
        return DISCONNECT, [0x87, 0x90]
    if ok['qos'] == 0:
        return PINGRESP, []
    return PUBACK if ok['qos'] == 1 else PUBREC, [0x87, 0x90] if denied else [0, 0x10]


def expected(row):
    """The kind of the first answer and the codes it may carry."""
    ok, name = row['ok'], row['ok']['packet']
    if name == 'PUBLISH':
        return after_publish(row)
    if name == 'PUBREC' and ok.get('reason', 0) < 0x80:
        return PUBREL, [0x92]
    if name == 'PUBREL':
        return PUBCOMP, [0x92]
    if name in ('SUBSCRIBE', 'UNSUBSCRIBE'):
        return SUBACK if name == 'SUBSCRIBE' else UNSUBACK, []
    if name == 'AUTH':
        return DISCONNECT, [0x82, 0x8C]
    if name == 'DISCONNECT':
        wrong = ok.get('properties', {}).get('session_expiry', 0) > 0  # it was 0 in CONNECT: MQTT5 3.14.2.2.2
        return (DISCONNECT, [0x82]) if wrong else (None, [])
    return PINGRESP, []


def granted(ok, codes):
    """SUBACK: a code for each filter, in order [MQTT-3.8.4-6]"""
    if len(codes) != len(ok['filters']):
        return False
    for (topic, options), code in zip(ok['filters'], codes):
        private = isinstance(topic, str) and topic.startswith('$')
        if not (code in (options & 3, 0x87, 0x9E, 0x80) if private else code == options & 3):
            return False
    return True


def first_answer(row, packets):
    """Skips what a subscription brings."""
    packets = [p for p in packets if p[0] != PUBLISH]
    return packets[0] if packets else (None, b'')


def problem_with(talk):
    row = talk.row
    kind, body = first_answer(row, talk.answers())
    if 'may_refuse' in row and kind == DISCONNECT and '0x%02x' % body[0] in row['may_refuse']:
        return None
    if row['first']:
        codes = connack_codes(row)
        return None if kind is None and (codes == [] or None in codes) or kind == CONNACK and body[1] in codes else 'answered with kind %s, %r' % (kind, body[:40])
    wanted, codes = expected(row)
    if wanted == PINGRESP and 'length' in row:
        return None  # what follows it is another matter
    if wanted == DISCONNECT and not row['v5']:
        wanted = None
    if wanted is None:
        return None if kind is None and talk.ended else 'kind %s' % kind
    if kind != wanted:
        return 'kind %s, not %s: %r' % (kind, wanted, body[:60])
    if kind in (PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK) and \
            struct.unpack('>H', body[:2])[0] != row['ok']['packet_id']:
        return 'another packet identifier'
    if kind == SUBACK:
        body = body[2:] if not row['v5'] else body[3 + body[2]:]
        return None if granted(row['ok'], list(body)) else 'granted %r' % list(body)
    if kind == UNSUBACK and row['v5']:
        return None if len(body[3 + body[2]:]) == len(row['ok']['filters']) else 'UNSUBACK %r' % body
    code = body[0] if kind == DISCONNECT and body else body[2] if row['v5'] and len(body) > 2 else 0
    return None if not codes or not row['v5'] or code in codes else '0x%02x, not %r' % (code, codes)


def test_right_packets_are_answered_as_they_should_be(broker):
    """[MQTT-3.3.4-1] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.10.4-4] [MQTT-3.12.4-1]"""
    rows = [row for row in RIGHT if not row['first']]
    talks = converse(lambda row: Talk(broker.port, row, tail=mqtt5.PING, until_ping=True), rows)
    complain(['%s (%s): %s' % (t.row['id'], t.row['what'], problem_with(t)) for t in talks if problem_with(t)])


def test_right_connects_are_answered_with_connack(broker):
    """[MQTT-3.1.4-5]; those that differ in nothing but the name take turns, for they share a session"""
    rows = [row for row in RIGHT if row['first']]
    talks = converse(lambda row: Talk(broker.port, row, close_writing=True), rows)
    complain(['%s (%s): %s' % (t.row['id'], t.row['what'], problem_with(t)) for t in talks if problem_with(t)])


def test_over_tls_it_is_the_same(make_broker):
    """a sample; each over a connection of its own"""
    broker = make_broker(workers=2, public=[['#', ['pub', 'sub']]])
    context = ssl.create_default_context(cafile=broker.ca)
    for row in WRONG[::211]:
        if row['first'] or len(row['bytes']) > 60000:
            continue
        with mqtt5.Client(broker.port, broker.ca, wait=WAIT, tls=context) as client:
            client.send((CONNECT_5 if row['v5'] else CONNECT_311) + row['bytes'])
            got = b''
            try:
                while True:
                    more = client.socket.recv(65536)
                    if not more:
                        break
                    got += more
            except (ConnectionError, ssl.SSLError):
                pass
            packets = split(got)[0][1:]
            if row['v5']:
                assert [k for k, _ in packets] == [DISCONNECT] and '0x%02x' % packets[0][1][0] in row['error'], row['id']
            else:
                assert packets == [], row['id']
