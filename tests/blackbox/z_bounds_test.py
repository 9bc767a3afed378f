"""A broker that may take 64 MiB, and those who would have it take more: publishers to sessions whose clients are away, packets
that are never finished, connections without number. It stays below, says no precisely, recovers by itself, and what it has
acknowledged is there."""
import os
import re
import select
import threading
import time

import mqtt5
import pytest
from mqtt5 import CONNACK, DISCONNECT, PINGRESP, PUBACK, PUBLISH, SUBACK, Closed
from world import WAIT, sanitized, wait_for

MIB = 1024 * 1024
LIMIT = 64 * MIB
QUOTA, BUSY = 0x97, 0x89
PAYLOAD = 8000


def broker_of(make_broker, **more):
    settings = {'limits.memory': '64m', 'limits.memory_low': 80, 'session.guest_max_expiry': '1h', 'session.max_queue_messages': 1000000,
                'session.max_queue_bytes': '1g', 'log_rate': 20, **more}
    made = make_broker(workers=2, public=[['#', ['pub', 'sub']]], listener={'tls': False}, **settings)
    made.watch = Watch(made)
    return made


class Watch(threading.Thread):
    """The most memory of its own that the broker ever had in RAM."""

    def __init__(self, broker):
        super().__init__(daemon=True)
        self.broker, self.most = broker, 0
        self.start()

    def now(self):
        resident, shared = open('/proc/%d/statm' % self.broker.daemon.process.pid, encoding='ascii').read().split()[1:3]
        return (int(resident) - int(shared)) * os.sysconf('SC_PAGESIZE')

    def run(self):
        while self.broker.daemon.running():
            try:
                self.most = max(self.most, self.now())
            except (OSError, ValueError, IndexError):
                return
            time.sleep(0.02)

    def stayed_below(self, limit):
        assert self.most < limit, '%.1f MiB' % (self.most / MIB)

    def falls_below(self, limit):
        wait_for(lambda: self.now() <= limit, why=lambda: '%.1f MiB' % (self.now() / MIB))


def opened(broker, client_id='', **more):
    client = mqtt5.Plain(broker.port, wait=WAIT)
    assert client.open(client_id, **more).reason == 0
    return client


def refused(broker, code, **more):
    client = mqtt5.Plain(broker.port, wait=WAIT)
    ack = client.open('new-%d' % time.monotonic_ns(), **more)
    assert ack.kind == CONNACK and ack.reason == code, ack
    client.expect_closed()


def absent(broker, client_id):
    client = opened(broker, client_id, clean=False, session_expiry=3600)
    client.send(mqtt5.subscribe(1, [('flood/#', 1)]))
    assert client.expect(SUBACK).codes == [1]
    client.close()


class Flood(threading.Thread):
    """Publishes numbered messages of QoS 1 until so many were refused; `acknowledged` are the numbers of those that were not."""

    def __init__(self, broker, name, refusals=20, most=20000, window=20):
        super().__init__(daemon=True)
        self.broker, self.name, self.refusals, self.most, self.window = broker, name, refusals, most, window
        self.acknowledged, self.refused, self.error = [], 0, None
        self.start()

    def run(self):
        try:
            with opened(self.broker, self.name) as client:
                self._publish(client)
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def _publish(self, client):
        number, waiting = 0, {}
        while (self.refused < self.refusals and number < self.most) or waiting:
            while len(waiting) < self.window and self.refused < self.refusals and number < self.most:
                packet_id = number % 60000 + 1
                waiting[packet_id] = number
                client.send(mqtt5.publish('flood/' + self.name, ('%d ' % number).ljust(PAYLOAD).encode(), qos=1,
                                          packet_id=packet_id))
                number += 1
            ack = client.expect(PUBACK)
            number_of = waiting.pop(ack.packet_id)
            if ack.reason == QUOTA:
                self.refused += 1
            else:
                assert ack.reason in (0, 0x10), ack
                self.acknowledged.append(number_of)

    def done(self):
        self.join(4 * WAIT)
        if self.error is not None:
            raise self.error
        assert not self.is_alive()


def drained(broker, client_id, count):
    """What waits for it: {topic: the numbers in their order}."""
    got, n = {}, 0
    with opened(broker, client_id, clean=False, session_expiry=3600) as client:
        while n < count:
            packet = client.receive()
            assert packet.kind == PUBLISH, packet
            got.setdefault(packet.topic, []).append(int(packet.payload.split()[0]))
            client.send(mqtt5.answer(PUBACK, packet.packet_id))
            n += 1
        client.send(mqtt5.PING)
        assert client.receive().kind == PINGRESP
    return got


# What is freed stays resident under a sanitizer, and the broker looks at what is resident, too.
no_sanitizer = pytest.mark.skipif(sanitized(), reason='memory under a sanitizer is not what it is')


@no_sanitizer
@pytest.mark.parametrize('durability', ['none', 'commit'])
def test_a_flood_for_absent_sessions(make_broker, durability):
    broker = broker_of(make_broker, durability=durability)
    known = opened(broker, 'known')
    away = ['away-1', 'away-2', 'away-3']
    for client_id in away:
        absent(broker, client_id)
    floods = [Flood(broker, 'f%d' % i) for i in range(4)]
    for flood in floods:
        flood.done()
    assert all(flood.refused >= 20 for flood in floods)  # or it was no flood
    broker.watch.stayed_below(LIMIT)
    broker.daemon.event('memory_low')
    broker.daemon.event('memory_high')

    refused(broker, QUOTA)
    known.send(mqtt5.subscribe(1, [('flood/#', 1)]))
    assert known.expect(SUBACK).codes == [QUOTA]
    known.send(mqtt5.publish('flood/x', b'dropped'), mqtt5.PING)
    assert known.receive().kind == PINGRESP  # served all the same

    count = sum(len(flood.acknowledged) for flood in floods)
    assert count * PAYLOAD > LIMIT / 3
    for client_id in away:
        got = drained(broker, client_id, count)
        assert got == {'flood/' + flood.name: flood.acknowledged for flood in floods}
    broker.daemon.event('memory_normal')
    broker.watch.falls_below(LIMIT // 2)
    opened(broker, 'new').close()
    known.send(mqtt5.subscribe(2, [('flood/#', 1)]))
    assert known.expect(SUBACK).codes == [1]
    known.close()
    broker.watch.stayed_below(LIMIT)


@no_sanitizer
def test_packets_that_are_never_finished(make_broker):
    broker = broker_of(make_broker, **{'limits.unfinished': '16m', 'limits.packet': '1m'})
    with opened(broker, 'sub') as sub, opened(broker, 'pub') as pub:
        sub.send(mqtt5.subscribe(1, [('big', 0)]))
        sub.expect(SUBACK)
        half = mqtt5.publish('x', bytes(900000))[:-1]
        rude = [opened(broker) for _ in range(100)]
        for client in rude:
            client.send(half)
        broker.daemon.event('packet_refused', count=1, clause='limits.unfinished')
        whole = bytes(800000)
        pub.send(mqtt5.publish('big', whole))
        assert sub.expect(PUBLISH).payload == whole

        def ended():
            return [client for client in rude if select.select([client.socket], [], [], 0)[0]]
        wait_for(lambda: len(ended()) >= 50)  # of 85 MiB begun, a fifth or less is held; some of it has not even arrived
        for client in ended():
            packet = client.receive()
            assert packet.kind == DISCONNECT and packet.reason == QUOTA, packet
        for client in rude:
            client.close()
    broker.watch.stayed_below(LIMIT)
    broker.watch.falls_below(LIMIT // 2)


@no_sanitizer
def test_connections_without_number(make_broker):
    broker = broker_of(make_broker, **{'limits.connections': 1000})
    held, told, closed = [], 0, 0
    for _ in range(2000):
        client = mqtt5.Plain(broker.port, wait=WAIT)
        try:
            ack = client.open()
        except (Closed, OSError):
            closed += 1
            continue
        if ack.reason == 0:
            held.append(client)
        else:
            assert ack.reason == BUSY, ack
            told += 1
    assert (len(held), told, closed) == (1000, 1000, 0)  # one after the other, each is told
    for client in held[:10]:
        client.close()
    wait_for(lambda: mqtt5.Plain(broker.port, wait=WAIT).open().reason == 0)
    broker.watch.stayed_below(LIMIT)
    for client in held:
        client.close()


def test_statistics_say_where_it_goes(make_broker):
    broker = broker_of(make_broker, statistics_interval='1s')
    absent(broker, 'away')
    with opened(broker) as pub:
        for i in range(200):
            pub.send(mqtt5.publish('flood/x', bytes(PAYLOAD), qos=1, packet_id=i + 1))
            pub.expect(PUBACK)
        seen = len(broker.daemon.find('statistics'))
        fields = broker.daemon.event('statistics', count=seen + 1).fields
    parts = {k: int(v) for k, v in fields.items() if re.match(r'memory_(?!accounted|resident|limit|level)', k)}
    assert parts['memory_queued'] > 200 * PAYLOAD
    assert abs(sum(parts.values()) - int(fields['memory_accounted'])) < MIB
    assert int(fields['memory_limit']) == LIMIT
    assert sanitized() or int(fields['memory_resident']) > int(fields['memory_accounted']) // 2
