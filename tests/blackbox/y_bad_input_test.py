"""The peers of the list: dribbling, silent, boasting, flooding. Each is bounded in memory and in time, is told at most one
reason code, and stands in the log with its address; and everybody else is served meanwhile."""
import os
import re
import select
import socket
import struct
import time

import mqtt5
import pytest
from mqtt5 import CONNACK, DISCONNECT, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, SUBACK, Closed
from world import WAIT, program

MIB = 1024 * 1024
ALTOGETHER = 32 * MIB  # 8 of them for the pages of the store's largest transaction, which LMDB keeps for the next
SOON = '2s'
CONNECT_311 = mqtt5.packet(mqtt5.CONNECT, 0, mqtt5.prefixed('MQTT') + b'\x04\x02\x00\x00' + mqtt5.prefixed(''))


def broker_of(make_broker, **more):
    return make_broker(workers=2, public=[['#', ['pub', 'sub']]], listener={'tls': False}, more_listeners={'tls': {}},
                       **{'log_rate': 50, 'limits.keep_alive': '0s', **more})


@pytest.fixture(scope='module')
def hasty(make_broker):
    """For those that are slow on purpose only: whoever runs on a slow machine is slow as well."""
    made = broker_of(make_broker, **{'limits.connect_timeout': SOON, 'limits.handshake_timeout': SOON, 'limits.packet_timeout': SOON})
    made.memory_at_start = memory(made)
    return made


@pytest.fixture(scope='module')
def broker(make_broker):
    made = broker_of(make_broker, **{
                           'limits.filters_per_packet': 1000, 'session.max_subscriptions': 20000,
                           'session.max_subscription_bytes': '1m',
                           'retained.max_messages': 5000, 'session.max_retained_backlog': 10000, 'retained.max_bytes': '8m'})
    made.memory_at_start = memory(made)
    return made


class Plain(mqtt5.Plain):
    """One connection without TLS."""

    def __init__(self, broker, wait=WAIT, receive_buffer=0):
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(wait)
        sock.connect(('127.0.0.1', broker.port))
        super().__init__(sock=sock, wait=wait)
        self.peer = '127.0.0.1:%d' % self.socket.getsockname()[1]

    def expect_bytes(self, n):
        while len(self.buffer) < n:
            self._fill(time.monotonic() + self.wait)
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def pour(self, data, seconds=3, patience=0.2):
        """Sends as much as the broker takes in this time, never reading, and gives up when it takes nothing for `patience`
        seconds; the bytes that went."""
        self.socket.setblocking(False)
        sent, until = 0, time.monotonic() + seconds
        while sent < len(data) and time.monotonic() < until:
            if not select.select([], [self.socket], [], patience)[1]:
                break  # it is not read any more
            try:
                sent += self.socket.send(data[sent:sent + 65536])
            except OSError:
                break
        self.socket.setblocking(True)
        return sent


def opened(broker, **more):
    client = Plain(broker, **{k: more.pop(k) for k in ('receive_buffer',) if k in more})
    assert client.open('', **more).reason == 0
    return client


def opened_311(broker):
    client = Plain(broker)
    client.send(CONNECT_311)
    assert client.expect_bytes(4) == b'\x20\x02\x00\x00'
    return client


def ends(client, *codes):
    got = client.receive()
    assert got.kind in (DISCONNECT, CONNACK) and got.reason in codes, got
    client.expect_closed()


def named(broker, client, event, **fields):
    """The one event about this peer."""
    return broker.daemon.event(event, peer=client.peer, **fields)


def memory(broker):
    """What the broker holds now, in bytes; without the pages of its store, which the system may take back."""
    status = open('/proc/%d/status' % broker.daemon.process.pid, encoding='ascii').read()
    return int(re.search(r'RssAnon:\s+(\d+)', status)[1]) * 1024


SANITIZED = re.search(rb'__[at]san_init', open(program('symbolon-broker'), 'rb').read()) is not None


class Bound:
    """with Bound(broker, bytes): grows by no more than that, looked at now and at `look()`s in between; and, since what is
    freed may stay with the allocator and hide the next growth, by no more than ALTOGETHER since its start."""

    def __init__(self, broker, most):
        self.broker, self.most = broker, most

    def __enter__(self):
        self.before = self.peak = memory(self.broker)
        return self

    def look(self):
        self.peak = max(self.peak, memory(self.broker))

    def __exit__(self, kind, *unused):
        self.look()
        if kind is None and not SANITIZED:
            assert self.peak - self.before <= self.most, '%d KiB more' % ((self.peak - self.before) // 1024)
            grown = self.peak - self.broker.memory_at_start
            assert grown <= ALTOGETHER, '%d KiB more since the start' % (grown // 1024)


@pytest.fixture(autouse=True)
def everybody_else_is_served(broker):
    """A client from before the attack gets what another publishes after it."""
    with opened(broker) as old:
        old.send(mqtt5.subscribe(1, [('public/alive', 0)]))
        old.expect(SUBACK)
        yield
        with opened(broker) as fresh:
            fresh.send(mqtt5.publish('public/alive', 'yes'))
            assert old.expect(PUBLISH).payload == b'yes'


# ---- slow ones ----

def test_a_peer_that_dribbles_is_given_up(hasty):
    """a byte now and then, with and without a Keep Alive: limits.packet_timeout, counted from the packet's first byte"""
    whole = mqtt5.publish('public/slow', bytes(60000))
    clients = [opened(hasty, keep_alive=0) for _ in range(20)] + [opened(hasty, keep_alive=600)]
    begin = time.monotonic()
    with Bound(hasty, 2 * MIB):
        left = list(clients)
        for byte in whole:
            for client in left:
                try:
                    client.send(bytes([byte]))
                except OSError:
                    pass  # what it was told is read below
            left = [client for client in left if not select.select([client.socket], [], [], 0)[0]]
            if not left:
                break
            time.sleep(0.05)
        assert not left  # nobody was heard to the end
        assert time.monotonic() - begin > 1.8
        for client in clients:
            ends(client, 0x80)
    for client in clients:
        event = named(hasty, client, 'packet_refused')
        assert event.fields['clause'] == 'limits.packet_timeout' and event.fields['reason_code'] == '128'


def test_a_dribbling_client_of_3_1_1_is_closed(hasty):
    client = opened_311(hasty)
    client.send(b'\x30\x80')
    client.expect_closed()
    assert named(hasty, client, 'packet_refused').fields['clause'] == 'limits.packet_timeout'


def test_who_says_nothing_is_given_up_everywhere(hasty):
    """before the TLS handshake, in the middle of it, before CONNECT, in the middle of CONNECT"""
    hello = b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'
    before_tls = [socket.create_connection(('127.0.0.1', hasty.ports['tls'])) for _ in range(3)]
    before_tls[1].sendall(hello[:1])
    before_tls[2].sendall(hello)
    silent = [Plain(hasty) for _ in range(3)]
    silent[1].send(b'\x10')
    silent[2].send(mqtt5.connect('slow')[:-1])
    for client in silent:
        client.expect_closed()
        assert named(hasty, client, 'connect_refused').fields['clause'] == 'limits.connect_timeout'
    for s in before_tls:
        peer = '127.0.0.1:%d' % s.getsockname()[1]
        s.settimeout(WAIT)
        try:
            while s.recv(100):
                pass
        except ConnectionError:
            pass
        assert hasty.daemon.event('tls_refused', peer=peer).fields['clause'] == 'limits.handshake_timeout'
        s.close()


def test_half_open_connections_are_found_out_by_tcp(broker):
    """a peer that vanished has no Keep Alive in MQTT 3.1.1: the probes of TCP stand for it"""
    with opened_311(broker) as client:
        ports = ':%04X' % broker.port, ':%04X' % int(client.peer.split(':')[1])
        rows = [line.split() for line in open('/proc/net/tcp', encoding='ascii')]
        timers = [row[5] for row in rows if row[1].endswith(ports[0]) and row[2].endswith(ports[1])]
        assert timers and timers[0].startswith('02:'), timers  # the keepalive timer runs


# ---- boasting ----

@pytest.mark.parametrize('connected', [False, True], ids=['as the first packet', 'connected'])
def test_the_largest_length_costs_nothing(broker, connected):
    """[MQTT-3.2.2-15]: 268,435,455 bytes announced by each of 200 peers; refused before they come"""
    with Bound(broker, 4 * MIB) as bound:
        clients = [opened(broker) if connected else Plain(broker) for _ in range(200)]
        bound.before = max(bound.before, memory(broker)) if connected else bound.before
        for client in clients:
            client.send(b'\x30\xff\xff\xff\x7f' if connected else b'\x10\xff\xff\xff\x7f')
        for client in clients:
            if connected:
                ends(client, 0x95)
            else:
                client.expect_closed()
            client.close()
    named(broker, clients[0], 'packet_refused' if connected else 'connect_refused')


@pytest.mark.parametrize('levels, refused', [(200, False), (201, True)])
def test_topic_levels(broker, levels, refused):
    """limits.topic_levels: PUBLISH 0x90, SUBSCRIBE 0x8F, Will 0x90"""
    topic = '/'.join('d' * levels)
    with opened(broker) as client:
        client.send(mqtt5.publish(topic, 'deep', qos=1, packet_id=1), mqtt5.subscribe(2, [(topic, 0), ('/'.join('+' * levels), 0)]))
        got = client.expect(PUBACK)
        assert (got.reason == 0x90) if refused else (got.reason in (0, 0x10))
        assert client.expect(SUBACK).codes == ([0x8F, 0x8F] if refused else [0, 0])
        if refused:
            named(broker, client, 'publish_refused', clause='limits.topic_levels')
            named(broker, client, 'subscribe_refused', clause='limits.topic_levels')
            client.send(mqtt5.publish(topic, 'deep'))
            ends(client, 0x90)
    with Plain(broker) as client:
        assert client.open('', will=(topic, b'w', 0, False, {})).reason == (0x90 if refused else 0)


# ---- too much of it ----

def test_a_hundred_thousand_filters_in_one_packet(broker):
    with opened(broker) as client, Bound(broker, 16 * MIB):
        client.send(mqtt5.subscribe(1, [('f/%d' % n, 0) for n in range(100000)]))
        assert client.expect(SUBACK).codes == [0] * 1000 + [0x97] * 99000
    named(broker, client, 'subscribe_refused', clause='limits.filters_per_packet')


def test_a_hundred_thousand_filters_in_many_packets(broker):
    """session.max_subscriptions: the rest is refused one by one, and the log does not run over"""
    with opened(broker) as client, Bound(broker, 40 * MIB) as bound:
        codes = []
        for first in range(0, 100000, 1000):
            client.send(mqtt5.subscribe(1, [('many/%d' % n, 0) for n in range(first, first + 1000)]))
            codes += client.expect(SUBACK).codes
            bound.look()
        assert codes.count(0) == 20000 and codes.count(0x97) == 80000
    named(broker, client, 'subscribe_refused')
    broker.daemon.event('log_suppressed', event='subscribe_refused')
    assert len(broker.daemon.find('subscribe_refused')) < 40000  # of 80,000; 12 in a second, however long it takes


def test_filters_of_64_kib(broker):
    """session.max_subscription_bytes: 100,000 of them would be 6 GiB; given up, they make room again"""
    with opened(broker) as client, Bound(broker, 8 * MIB):
        filters = [('%06d' % n).ljust(65535, 'f') for n in range(150)]
        codes = []
        for first in range(0, 150, 15):
            client.send(mqtt5.subscribe(1, [(f, 0) for f in filters[first:first + 15]]))
            codes += client.expect(SUBACK).codes
        assert codes == [0] * 16 + [0x97] * 134
        client.send(mqtt5.unsubscribe(2, filters[:1]), mqtt5.subscribe(3, [(filters[20], 0), (filters[21], 0)]))
        client.expect(mqtt5.UNSUBACK)
        assert client.expect(SUBACK).codes == [0, 0x97]
    named(broker, client, 'subscribe_refused')


UNREAD = {  # packet, how much of it, whether that makes answers enough
    'PINGREQ': (mqtt5.PING, 16 * MIB, True),
    'PUBREC of nobody': (mqtt5.answer(mqtt5.PUBREC, 7), 16 * MIB, True),
    'PUBREL of nobody': (mqtt5.answer(mqtt5.PUBREL, 7), 16 * MIB, True),
    'SUBSCRIBE': (mqtt5.subscribe(1, [('public/same', 0)]), MIB, False),
    'QoS 1': (mqtt5.publish('public/q1', 'x', qos=1, packet_id=1), 8 * MIB, False),
}


@pytest.mark.parametrize('what', UNREAD)
def test_a_flood_whose_answers_nobody_reads(broker, what):
    """what waits to be sent has a limit; then the connection ends, and is named"""
    packet, much, enough = UNREAD[what]
    flood = packet * (much // len(packet))
    clients = [opened(broker, receive_buffer=4096) for _ in range(3)]
    with Bound(broker, len(clients) * 6 * MIB) as bound:
        for client in clients:
            client.pour(flood, *(WAIT, WAIT) if enough else (10, 0.2))
            bound.look()
    for client in clients:
        client.close()
        event = named(broker, client, 'client_disconnected')
        assert event.fields['reason'] == 'the peer reads too slowly' or not enough


@pytest.mark.parametrize('kind, answer', [(mqtt5.PUBREC, mqtt5.PUBREL), (mqtt5.PUBREL, PUBCOMP)], ids=['PUBREC', 'PUBREL'])
def test_every_packet_identifier_that_nobody_waits_for(broker, kind, answer):
    """[MQTT-4.3.3-11]: answered, and forgotten"""
    with opened(broker) as client, Bound(broker, 4 * MIB):
        for first in range(1, 65536, 5000):
            last = min(first + 5000, 65536)
            client.send(*[mqtt5.answer(kind, n) for n in range(first, last)])
            for n in range(first, last):
                got = client.expect(answer)
                assert (got.packet_id, got.reason) == (n, 0x92)


def test_all_packet_identifiers_in_flight(broker):
    """QoS 2, never released: 5.0 is held to Receive Maximum [MQTT-3.3.4-9], 3.1.1 has 65,535 identifiers and no more"""
    with opened(broker) as client:
        client.send(*[mqtt5.publish('public/q2', '', qos=2, packet_id=n) for n in range(1, 258)])
        for _ in range(256):
            client.expect(PUBREC)
        ends(client, 0x93)
    named(broker, client, 'packet_refused')
    with opened_311(broker) as client, Bound(broker, 4 * MIB):
        for first in range(65535, 0, -5000):  # downwards: the worst case for a sorted set
            ids = range(first, max(first - 5000, 0), -1)
            client.send(*[mqtt5.packet(PUBLISH, 4, mqtt5.prefixed('q') + struct.pack('>H', n)) for n in ids])
            for n in ids:
                assert client.expect_bytes(4) == b'\x50\x02' + struct.pack('>H', n)


def test_topics_behind_aliases_are_limited(broker):
    """32 aliases with topics of 64 KiB would be 2 MiB for each connection"""
    clients = [opened(broker) for _ in range(10)]
    with Bound(broker, 14 * MIB):
        for client in clients:
            for alias in range(1, 33):
                client.send(mqtt5.publish('t' * 65535, '', topic_alias=alias))
            ends(client, 0x97)
    assert named(broker, clients[0], 'packet_refused').fields['clause'] == 'limits.topic_aliases'
    with opened(broker) as client:  # the same one again takes no more room
        for _ in range(40):
            client.send(mqtt5.publish('t' * 65535, '', topic_alias=1))
        assert client.quiet()


def test_user_properties_of_256_kib(broker):
    """they pass, to whoever wants them, and leave nothing behind"""
    pairs = [('n%d' % n, 'v' * 20) for n in range(9000)]
    message = mqtt5.publish('public/users', 'x', user_property=pairs, qos=1, packet_id=1)
    assert len(message) > 256 * 1024
    with opened(broker) as client:
        client.send(mqtt5.subscribe(1, [('public/users', 0)]))
        client.expect(SUBACK)
        with Bound(broker, 12 * MIB) as bound:
            for _ in range(40):
                client.send(message)
                kinds = {client.receive().kind, client.receive().kind}
                assert kinds == {PUBACK, PUBLISH}
                bound.look()
    with Plain(broker) as client:  # limits.connect_packet is half of that
        client.pour(mqtt5.connect('', user_property=pairs))
        ends(client, 0x95)
    named(broker, client, 'connect_refused')


def test_retained_messages_have_a_limit(broker):
    """retained.max_messages, retained.max_bytes: delivered, not kept; the log counts"""
    with opened(broker) as client, Bound(broker, 16 * MIB) as bound:
        for first in range(0, 20000, 500):
            client.send(*[mqtt5.publish('retained/%d' % n, bytes(100), retain=True) for n in range(first, first + 500)])
            assert client.quiet()
            bound.look()
        for n in range(200):
            client.send(mqtt5.publish('retained/long/%d' % n, bytes(100000), retain=True))
        assert client.quiet()
        client.send(mqtt5.subscribe(1, [('retained/#', 0)]))
        client.expect(SUBACK)
        client.send(mqtt5.PING)
        count = 0
        while client.receive().kind != PINGRESP:
            count += 1
        assert 1000 < count <= 5000
    broker.daemon.event('retained_not_stored')
    broker.daemon.event('log_suppressed', event='retained_not_stored')


def test_a_thousand_filters_for_all_retained_messages(broker):
    """session.max_retained_backlog is for all filters of a SUBSCRIBE together: a packet of 4 KB must not bring 5,000,000"""
    with opened(broker) as writer, opened(broker) as client, opened(broker) as other, Bound(broker, 16 * MIB) as bound:
        for first in range(0, 4000, 500):
            writer.send(*[mqtt5.publish('retained/%d' % n, b'x', retain=True) for n in range(first, first + 500)])
            assert writer.quiet()
        client.send(mqtt5.subscribe(1, [('#', 0)] * 1000), mqtt5.PING)
        assert other.quiet()
        assert client.expect(SUBACK).codes == [0] * 1000
        bound.look()
        count = 0
        while client.receive().kind != PINGRESP:
            count += 1
        assert 1000 < count <= 10000


def test_one_peer_cannot_fill_the_log(make_broker):
    """connecting, refused, and again: the first ones are named, the others counted"""
    broker = broker_of(make_broker, log_rate=2)
    for _ in range(1500):
        with Plain(broker) as client:
            client.send(mqtt5.connect('', authentication_method='none'))
            assert client.expect(CONNACK).reason == 0x8C
    told = broker.daemon.event('log_suppressed', event='connect_refused')
    assert int(told.fields['count']) > 0
    assert 0 < len(broker.daemon.find('connect_refused')) < 1500


@pytest.mark.parametrize('first', [mqtt5.auth(0x19), mqtt5.connect('') * 2, mqtt5.PING], ids=['AUTH', 'CONNECT', 'PINGREQ'])
def test_floods_of_packets_out_of_place(broker, first):
    """[MQTT-3.1.0-1] [MQTT-3.1.0-2]: the first one out of place is the last that is read"""
    clients = [Plain(broker) for _ in range(50)]
    with Bound(broker, 6 * MIB):
        for client in clients:
            client.send(first)
            client.pour(first * 2000, seconds=0.5)
        for client in clients:
            kinds = []
            try:
                while True:
                    kinds.append(client.receive().kind)
            except Closed:
                pass
            assert kinds in ([], [CONNACK, DISCONNECT]), kinds
            client.close()


def test_all_at_once_and_nothing_is_left(broker):
    """hundreds that begin something and go: what they held is given back"""
    with Bound(broker, 8 * MIB):
        for _ in range(5):
            clients = [opened(broker) for _ in range(100)]
            for client in clients:
                client.send(mqtt5.subscribe(1, [('a/%d' % n, 0) for n in range(20)]), b'\x30\xff\xff\x03' + os.urandom(30000))
            for client in clients:
                client.close()
    assert broker.daemon.running()
