"""Bridges: our broker and Debian's mosquitto, three of ours in a ring, two of ours with tokens of one authorization
server, and a remote that misbehaves. Whoever asks for "a pair" gets a broker whose bridge is connected already."""
import json
import os
import re
import signal
import struct
import subprocess
import threading
import time

import mqtt5
import pytest
import world
from servers import Listener, Mosquitto, Proxy, free_port

PUBLIC = [['#', ['pub', 'sub']], ['$SYS/#', ['sub']]]
FAST = {'reconnect_min': '20ms', 'reconnect_max': '200ms'}
COUNT = 500


class Remote(Mosquitto):
    """Debian's mosquitto with persistence, and a listener with TLS beside the plain one."""

    def __init__(self, folder, **settings):
        self.db = os.path.join(folder, 'mosquitto.db')
        super().__init__(folder, tls='too', **dict({
            'persistence': 'true', 'persistence_location': folder + '/', 'autosave_interval': 0, 'max_queued_messages': 0,
            'max_inflight_messages': 50}, **settings))

    def save(self):
        """SIGUSR1 writes the database; done when the file is a new one."""
        before = os.stat(self.db).st_ino if os.path.exists(self.db) else None
        self.process.send_signal(signal.SIGUSR1)
        world.wait_for(lambda: os.path.exists(self.db) and os.stat(self.db).st_ino != before)


class Cutter(Proxy):
    """Cuts once so many bytes have come back, and then takes nobody until it is open again."""

    def __init__(self, port):
        self.left, self.cut_done = None, threading.Event()
        super().__init__(port, chunk=1024)

    def answer(self, data, state):
        if self.left is None:
            return data
        self.left -= len(data)
        if self.left > 0:
            return data
        self.left = None
        self.cut(again=False)
        self.cut_done.set()
        return b''


@pytest.fixture
def mosquitto(tmp_path_factory):
    made = []

    def make(**settings):
        made.append(Remote(str(tmp_path_factory.mktemp('mosquitto')), **settings))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def brokers(tmp_path_factory):
    """Ends with the test, unlike make_broker: bridges would go on trying."""
    made = []

    def make(**settings):
        made.append(world.Broker(str(tmp_path_factory.mktemp('broker')), **dict({'public': PUBLIC}, **settings)))
        return made[-1]

    yield make
    for one in made:
        one.daemon.stop()


def bridge(name, address, topics, tls=False, **more):
    all_of_it = dict({'name': name, 'addresses': address if isinstance(address, list) else [address], 'tls': tls,
                      'topics': topics}, **dict(FAST, **more))
    return {key: value for key, value in all_of_it.items() if value is not None}


def topic(topic_filter, direction='both', local='', remote='', qos=2):
    return {'filter': topic_filter, 'direction': direction, 'local_prefix': local, 'remote_prefix': remote, 'qos': qos}


def ours(broker, client_id='', **more):
    client = mqtt5.Client(broker.port, broker.ca, wait=world.WAIT)
    client.connack = client.open(client_id, **more)
    assert client.connack.reason == 0, client.connack
    return client


def theirs(port, client_id='', **more):
    client = mqtt5.Plain(port)
    client.connack = client.open(client_id, **more)
    assert client.connack.reason == 0, client.connack
    return client


def subscribed(client, topic_filter, options=2):
    client.send(mqtt5.subscribe(1, [(topic_filter, options)]))
    while client.receive().kind != mqtt5.SUBACK:
        pass
    return client


def take(client):
    """The next message, its handshake done."""
    while True:
        got = client.receive()
        if got.kind == mqtt5.PUBREL:
            client.send(mqtt5.answer(mqtt5.PUBCOMP, got.packet_id))
        if got.kind != mqtt5.PUBLISH:
            continue
        if got.qos:
            client.send(mqtt5.answer(mqtt5.PUBACK if got.qos == 1 else mqtt5.PUBREC, got.packet_id))
        return got


def put(client, name, payload=b'x', qos=1, **more):
    """Publishes, and sees it acknowledged."""
    packet_id = 77 if qos else None
    client.send(mqtt5.publish(name, payload, qos=qos, packet_id=packet_id, **more))
    if qos == 1:
        assert client.expect(mqtt5.PUBACK).reason in (0, 0x10)
    if qos == 2:
        assert client.expect(mqtt5.PUBREC).reason in (0, 0x10)
        client.send(mqtt5.answer(mqtt5.PUBREL, packet_id))
        client.expect(mqtt5.PUBCOMP)


def put_many(client, name, qos, numbers, window=50):
    numbers = list(numbers)
    for at in range(0, len(numbers), window):
        part = numbers[at:at + window]
        client.send(*[mqtt5.publish(name, str(n), qos=qos, packet_id=i + 1) for i, n in enumerate(part)])
        ended = 0
        while ended < len(part):
            got = client.receive()
            if got.kind == mqtt5.PUBREC:
                client.send(mqtt5.answer(mqtt5.PUBREL, got.packet_id))
            ended += got.kind in (mqtt5.PUBACK, mqtt5.PUBCOMP)


def rest(client):
    """What else has come."""
    got = []
    client.send(mqtt5.PING)
    while True:
        more = client.receive()
        if more.kind == mqtt5.PINGRESP:
            return got
        if more.kind == mqtt5.PUBREL:
            client.send(mqtt5.answer(mqtt5.PUBCOMP, more.packet_id))
        if more.kind == mqtt5.PUBLISH:
            got.append(more)
            if more.qos:
                client.send(mqtt5.answer(mqtt5.PUBACK if more.qos == 1 else mqtt5.PUBREC, more.packet_id))


def take_numbers(client, name, want):
    """Payloads of messages to `name`, until `want` different ones are there; then whatever is behind them."""
    got = []
    while len(set(got)) < want:
        message = take(client)
        if message.topic == name:
            got.append(int(message.payload))
    return got + [int(m.payload) for m in rest(client) if m.topic == name]


WAYS = {'5': {}, '5 over TLS': {'tls': True}, '3.1.1': {'version': '3.1.1', 'bridge_bit': True},
        '3.1.1 over TLS': {'version': '3.1.1', 'bridge_bit': True, 'tls': True}}


@pytest.mark.parametrize('way', WAYS)
def test_prefixes_are_exchanged_both_ways_with_mosquitto(mosquitto, brokers, way):
    """The same rule in both directions: nothing comes back to where it came from."""
    remote, more = mosquitto(), dict(WAYS[way])
    if more.get('tls'):
        more['ca'] = remote.ca
    port = remote.tls_port if more.get('tls') else remote.port
    broker = brokers(bridges=[bridge('hub', 'localhost:%d' % port, [topic('t/#', 'both', 'here/', 'there/')], **more)])
    event = broker.daemon.event('bridge_connected', mqtt=way.split()[0])
    assert ('TLS1.' in event.fields['tls']) == bool(more.get('tls'))
    here, there = subscribed(ours(broker), '#'), subscribed(theirs(remote.port), '#')
    broker.daemon.event('bridge_subscribed', side='remote')
    broker.daemon.event('bridge_subscribed', side='local')
    for qos in (0, 1, 2):
        with ours(broker) as client:
            put(client, 'here/t/a', b'out', qos=qos, retain=qos == 1)
        assert (take(here).topic, take(there).topic) == ('here/t/a', 'there/t/a')
        with theirs(remote.port) as client:
            put(client, 'there/t/b', b'in', qos=qos)
        got = [take(here), take(there)]
        assert [(m.topic, m.payload) for m in got] == [('here/t/b', b'in'), ('there/t/b', b'in')]
        assert got[0].qos == qos
    with theirs(remote.port) as late:
        subscribed(late, 'there/t/a')
        assert (lambda m: (m.retain, m.payload))(take(late)) == (True, b'out')
    assert rest(here) == [] and rest(there) == []


def test_properties_and_the_retained_flag_go_over(mosquitto, brokers):
    remote = mosquitto()
    broker = brokers(bridges=[bridge('hub', '127.0.0.1:%d' % remote.port, [
        topic('q/#', 'out', remote='site/'), topic('a/#', 'in', remote='site/')])], bridge_node='n1')
    broker.daemon.event('bridge_subscribed', side='remote')
    there = subscribed(theirs(remote.port), 'site/#', 2 | 8)  # retain as published
    with ours(broker) as client:
        put(client, 'q/1', b'{}', qos=1, retain=True, content_type='application/json', payload_format=1, message_expiry=600,
            response_topic='a/1', correlation_data=b'\x00\x01', user_property=[('k', 'v'), ('k', 'w')])
    got = take(there)
    assert (got.topic, got.retain, got.qos) == ('site/q/1', True, 1)
    assert 500 < got.props.pop('message_expiry') <= 600
    assert got.props == {'content_type': 'application/json', 'payload_format': 1, 'correlation_data': b'\x00\x01',
                         'response_topic': 'site/a/1',  # where answers come back by a rule, by that rule
                         'user_property': [('k', 'v'), ('k', 'w'), ('symbolon-path', 'n1')]}
    here = subscribed(ours(broker), 'a/#', 2 | 8)
    with theirs(remote.port) as client:
        put(client, 'site/a/1', b'answer', qos=1, retain=True, correlation_data=b'\x00\x01')
    got = take(here)
    assert (got.topic, got.retain, got.payload, got.props['correlation_data']) == ('a/1', True, b'answer', b'\x00\x01')
    # the state of the bridge is a retained message
    state = subscribed(ours(broker), '$SYS/broker/connection/hub/state')
    got = take(state)
    assert (got.payload, got.retain) == (b'1', True)
    remote.stop()
    assert take(state).payload == b'0'
    broker.daemon.event('bridge_disconnected', side='remote')


@pytest.mark.parametrize('qos', [1, 2])
@pytest.mark.parametrize('way', ['5', '3.1.1'])
def test_nothing_is_lost_or_doubled_while_the_remote_is_away(mosquitto, brokers, qos, way):
    """500 messages wait in the bridge's session of our broker, then 500 for us in mosquitto's."""
    remote, more = mosquitto(), WAYS[way]
    proxy = Cutter(remote.port)
    broker = brokers(bridges=[bridge('hub', '127.0.0.1:%d' % proxy.port, [
        topic('up', 'out', qos=qos), topic('down', 'in', qos=qos)], **more)])
    broker.daemon.event('bridge_subscribed', side='local')
    broker.daemon.event('bridge_subscribed', side='remote')
    with theirs(remote.port, 'reader', clean=False, session_expiry=600) as reader:
        subscribed(reader, 'up')
    remote.stop()  # writes its database
    broker.daemon.event('bridge_disconnected', side='remote')
    with ours(broker) as client:
        put_many(client, 'up', qos, range(COUNT))
    remote.start()
    with theirs(remote.port, 'reader', clean=False, session_expiry=600) as reader:
        assert take_numbers(reader, 'up', COUNT) == list(range(COUNT))
    broker.daemon.event('bridge_connected', session='continued')

    here = subscribed(ours(broker), 'down')
    proxy.cut(again=False)
    broker.daemon.event('bridge_disconnected', 2, side='remote')
    with theirs(remote.port) as client:
        put_many(client, 'down', qos, range(COUNT))
    proxy.open = True
    assert take_numbers(here, 'down', COUNT) == list(range(COUNT))
    broker.daemon.event('bridge_connected', 3)
    assert len(broker.daemon.find('bridge_connected')) == 3
    proxy.stop()


def reading(make, topic_filter, numbers):
    """Reads in a thread of its own until it is told to stop: what has come is in `numbers`."""
    client = subscribed(make(), topic_filter)
    stop = threading.Event()

    def run():
        while not stop.is_set():
            numbers.extend(int(m.payload) for m in rest(client))
            stop.wait(0.01)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def end():
        stop.set()
        thread.join(world.WAIT)
        numbers.extend(int(m.payload) for m in rest(client))
        client.close()
    return end


@pytest.mark.parametrize('direction', ['out', 'in'])
@pytest.mark.parametrize('qos', [1, 2])
def test_kill_of_the_remote_in_mid_stream(mosquitto, brokers, qos, direction):
    """The connection is cut at some byte, mosquitto writes its database and is killed: what it had not acknowledged, or had
    no acknowledgement of, comes again. QoS 1 loses nothing; QoS 2 neither loses nor doubles."""
    # mosquitto 2.0 sends more than its maximum to a session that continues, and what was beyond that when it wrote its database it
    # publishes again after the start, though it had sent PUBREL: against [MQTT-4.4.0-1], and nothing a bridge could tell from new.
    remote = mosquitto(max_inflight_messages=2 * COUNT)
    proxy = Cutter(remote.port)
    broker = brokers(bridges=[bridge('hub', '127.0.0.1:%d' % proxy.port, [topic('t', direction, qos=qos)])])
    broker.daemon.event('bridge_subscribed', side='local' if direction == 'out' else 'remote')
    broker.daemon.event('bridge_connected')
    got, end = [], lambda: None
    if direction == 'out':
        with theirs(remote.port, 'reader', clean=False, session_expiry=600) as reader:
            subscribed(reader, 't')
    else:
        end = reading(lambda: ours(broker), 't', got)
    for n, after in enumerate([150, 777] if direction == 'out' else [1500, 3777]):  # less than the new ones alone bring
        proxy.cut_done.clear()
        proxy.left = after
        with ours(broker) if direction == 'out' else theirs(remote.port) as client:
            put_many(client, 't', qos, range(n * COUNT, (n + 1) * COUNT))
        assert proxy.cut_done.wait(world.WAIT)
        broker.daemon.event('bridge_disconnected', n + 1, side='remote')
        with theirs(remote.port) as probe:  # all that reached it has been dealt with
            assert probe.quiet()
        remote.save()
        remote.stop(signal.SIGKILL)
        remote.start()
        proxy.open = True
        broker.daemon.event('bridge_connected', n + 1, session='continued')
    if direction == 'out':
        with theirs(remote.port, 'reader', clean=False, session_expiry=600) as reader:
            got = take_numbers(reader, 't', 2 * COUNT)
    else:
        world.wait_for(lambda: len(set(got)) == 2 * COUNT)
        end()
    assert set(got) == set(range(2 * COUNT))
    if qos == 2:
        assert got == list(range(2 * COUNT))
    proxy.stop()


def test_bad_credentials_are_tried_again_and_said(mosquitto, brokers, tmp_path):
    remote = mosquitto(password=('us', 'right'))
    secret = tmp_path / 'secret'
    secret.write_text('wrong\n')
    broker = brokers(bridges=[bridge('hub', '127.0.0.1:%d' % remote.port, [topic('t')], user_name='us',
                                     password_file=str(secret), remote_notification_topic='bridges/hub')])
    refused = broker.daemon.event('bridge_not_connected', 2, side='remote')
    assert refused.fields['reason_code'] in ('134', '135'), refused
    assert 'wrong' not in broker.daemon.log()
    secret.write_text('right\n')
    broker.restart()
    broker.daemon.event('bridge_connected')
    watcher = mqtt5.Plain(remote.port)
    assert watcher.open('watcher', user_name='us', password='right').reason == 0
    assert take(subscribed(watcher, 'bridges/hub')).payload == b'1'
    broker.daemon.kill()  # its Will
    assert take(watcher).payload == b'0'
    broker.start()
    broker.daemon.event('bridge_connected')
    assert take(watcher).payload == b'1'
    broker.daemon.stop()  # and when it leaves in order
    assert take(watcher).payload == b'0'


class FakeRemote(Listener):
    """A broker by hand: serve(connection number, mqtt5.Plain) is called for each connection, after CONNECT."""

    def __init__(self, serve):
        self.connects, self.serve = 0, serve
        super().__init__(self._talk)

    def _talk(self, s):
        self.connects += 1
        with mqtt5.Plain(sock=s, wait=world.WAIT) as client:
            try:
                client.expect(mqtt5.CONNECT)
                self.serve(self.connects, client)
            except mqtt5.Closed:
                pass


def connack(session_present=False, reason=0, **props):
    return mqtt5.packet(mqtt5.CONNACK, 0, bytes([session_present, reason]) + mqtt5.properties(**props))


def suback(count, packet_id=1):
    return mqtt5.packet(mqtt5.SUBACK, 0, struct.pack('>H', packet_id) + b'\0' + b'\2' * count)


def test_a_remote_that_sends_garbage_is_left_and_nothing_is_lost(brokers):
    seen = []

    def serve(number, client):
        client.send(connack(number > 1))
        if number == 1:
            client.send(b'\x00\xff\xff\xff\xff garbage')
        while True:
            got = client.receive()
            if got.kind == mqtt5.PUBLISH:
                seen.append((number, got.payload))
                if number == 2:
                    client.send(b'\x30\x80\x80\x80\x80\x01')  # a length of five bytes
                else:
                    client.send(mqtt5.answer(mqtt5.PUBACK, got.packet_id))

    remote = FakeRemote(serve)
    broker = brokers(bridges=[bridge('hub', '127.0.0.1:%d' % remote.port, [topic('t/#', 'out', qos=1)])])
    broker.daemon.event('bridge_subscribed', side='local')
    wrong = broker.daemon.event('bridge_disconnected', side='remote')
    assert 'MQTT' in wrong.fields['clause'], wrong
    with ours(broker) as client:
        put(client, 't/1', b'1')
        broker.daemon.event('bridge_disconnected', 2, side='remote')
        put(client, 't/2', b'2')
    world.wait_for(lambda: (3, b'2') in seen)
    assert (2, b'1') in seen and (3, b'1') in seen  # not acknowledged: sent again
    remote.stop()


def test_a_subscribe_that_was_never_answered_is_made_again(brokers):
    """The session is continued, but in it there is nothing: the first connection ended before SUBACK, the second refused"""
    seen = []

    def serve(number, client):
        client.send(connack(number > 1))
        seen.append(client.expect(mqtt5.SUBSCRIBE))
        if number == 1:
            return
        packet_id = struct.unpack('>H', seen[-1].body[:2])[0]
        if number == 2:
            client.send(mqtt5.packet(mqtt5.SUBACK, 0, struct.pack('>H', packet_id) + b'\0\x97'))
            return
        client.send(suback(1, packet_id))
        client.send(mqtt5.packet(mqtt5.PUBLISH, 0, b'\0\3t/1' + b'\0x'))
        client.receive()

    remote = FakeRemote(serve)
    broker = brokers(bridges=[bridge('hub', '127.0.0.1:%d' % remote.port, [topic('t/#', 'in')])])
    with ours(broker) as client:
        subscribed(client, 't/#')
        assert take(client).payload == b'x'
    assert len(seen) == 3
    remote.stop()


def test_what_the_remote_refuses_is_dropped_and_said_once(brokers):
    seen = []

    def serve(number, client):
        client.send(connack(maximum_packet_size=2000, maximum_qos=1, retain_available=0))
        while True:
            got = client.receive()
            if got.kind == mqtt5.PUBLISH:
                seen.append((got.topic, got.qos, got.retain))
                if got.qos:
                    client.send(mqtt5.answer(mqtt5.PUBACK, got.packet_id, 0x97 if got.topic == 't/full' else 0))

    remote = FakeRemote(serve)
    broker = brokers(bridges=[bridge('hub', '127.0.0.1:%d' % remote.port, [topic('t/#', 'out')])])
    broker.daemon.event('bridge_subscribed', side='local')
    broker.daemon.event('bridge_connected')
    with ours(broker) as client:
        for _ in range(3):
            put(client, 't/full')
        for _ in range(3):
            put(client, 't/large', b'x' * 5000)
        put(client, 't/2', qos=2, retain=True)  # with what this broker takes: QoS 1, and no retained messages
    world.wait_for(lambda: ('t/2', 1, False) in seen)
    assert seen == [('t/full', 1, False)] * 3 + [('t/2', 1, False)]
    broker.daemon.event('bridge_refused', topic='t/full', reason_code=0x97)
    broker.daemon.event('bridge_refused', topic='t/large')
    assert len(broker.daemon.find('bridge_refused')) == 2
    remote.stop()


def test_the_next_address_is_tried(mosquitto, brokers):
    remote = mosquitto()
    broker = brokers(bridges=[bridge('hub', ['127.0.0.1:%d' % free_port(), 'localhost:%d' % remote.port], [topic('t')])])
    event = broker.daemon.event('bridge_connected')
    assert event.fields['address'].startswith('localhost:')
    # also if the first one is somebody else, whom it makes no sense to try again soon
    stranger = mosquitto()
    broker = brokers(bridges=[bridge('hub', ['127.0.0.1:%d' % stranger.tls_port, 'localhost:%d' % remote.tls_port],
                                     [topic('t')], tls=True, ca=remote.ca, reconnect_max='1h')])
    assert broker.daemon.event('bridge_connected').fields['address'].startswith('localhost:')


def ring(brokers, names, direction):
    """Each has a bridge to the next one, the last to the first."""
    made = {name: brokers(bridge_node=name) for name in names}
    for here, there in zip(names, names[1:] + names[:1]):
        other = made[there]
        made[here].settings['bridges'] = [bridge('to-' + there, 'localhost:%d' % other.port, [topic('r/#', direction)],
                                                 tls=True, ca=other.ca, client_id='bridge-of-' + here)]
    for broker in made.values():
        broker.restart()
    for broker in made.values():
        broker.daemon.event('bridge_connected')
        for side in (['local'] if direction == 'out' else ['remote'] if direction == 'in' else ['local', 'remote']):
            broker.daemon.event('bridge_subscribed', side=side)
    return [made[name] for name in names]


def settled(clients, expected):
    """How many messages came to each: all that are expected, and whatever comes in a while after them."""
    counts = [0] * len(clients)

    def all_there():
        for i, client in enumerate(clients):
            counts[i] += len(rest(client))
        assert max(counts) < 100, 'a storm'
        return all(n >= wanted for n, wanted in zip(counts, expected))
    world.wait_for(all_there, why=lambda: str(counts))
    for _ in range(5):
        time.sleep(0.1)
        all_there()
    return counts


@pytest.mark.parametrize('direction', ['out', 'in', 'both'])
def test_three_brokers_in_a_ring(brokers, direction):
    """A -> B -> C -> A ends before A; with rules in both directions the others hear of it from both sides."""
    made = ring(brokers, ['A', 'B', 'C'], direction)
    readers = [subscribed(ours(b), 'r/#', 0) for b in made]
    with ours(made[0]) as client:
        put(client, 'r/1', qos=0)
        assert client.quiet()
    expected = [1, 1, 1] if direction != 'both' else [1, 2, 2]
    assert settled(readers, expected) == expected


def test_two_of_our_brokers_with_tokens_that_renew_themselves(as_server, brokers):
    """The bridge is a client of the other broker with tokens from the authorization server of both; its tokens live 20 s."""
    hub = brokers(as_server=as_server, audience='hub.example',
                  public=[['site7/#', ['sub']], ['site7/b', ['pub']]])
    as_server.admin('rs.set', rs_id='hub.example', lifetime_s=20)
    client = as_server.add_client('site7')
    as_server.allow('client:site7', 'hub.example', 'site7/#', 'pub', 'sub')
    secret = os.path.join(hub.dir, 'site7.secret')
    with open(secret, 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write(client.secret + '\n')
    site = brokers(bridges=[bridge('hub', 'localhost:%d' % hub.port, [topic('#', 'both', remote='site7/')], tls=True,
                                   ca=hub.ca, **{'as': as_server.url, 'as_ca': as_server.ca, 'as_client_id': 'site7',
                                                 'as_client_secret_file': secret, 'audience': 'hub.example'})])
    site.daemon.event('bridge_subscribed', side='remote')
    hub.daemon.event('client_connected', subject='site7')
    there, here = subscribed(ours(hub), 'site7/#'), subscribed(ours(site), '#')
    with ours(site) as client:
        put(client, 'a', b'1')
    assert take(there).topic == 'site7/a' and take(here).topic == 'a'
    hub.daemon.event('reauthenticated')
    with ours(hub) as client:
        put(client, 'site7/b', b'2')
    assert take(here).topic == 'b'
    assert len(site.daemon.find('bridge_connected')) == 1


def test_the_name_of_a_bridge_is_not_for_others(brokers):
    remote = brokers()
    broker = brokers(bridges=[bridge('hub', 'localhost:%d' % remote.port, [topic('t')], tls=True, ca=remote.ca)])
    broker.daemon.event('bridge_connected')
    with mqtt5.Client(broker.port, broker.ca) as client:
        assert client.open('$bridge/hub').reason == 0x85
    assert not broker.daemon.find('session_taken_over')


def test_what_waits_for_a_bridge_outlives_kill_9(brokers, mosquitto):
    """design 3.3; and a bridge that is taken out of the settings leaves nothing behind"""
    remote = mosquitto()
    remote.stop()
    one = bridge('hub', '127.0.0.1:%d' % remote.port, [topic('t', 'out')])
    broker = brokers(bridges=[one])
    broker.daemon.event('bridge_subscribed', side='local')
    with ours(broker) as client:
        for n in range(1, 21):
            client.send(mqtt5.publish('t', str(n), qos=1, packet_id=n))
            assert client.expect(mqtt5.PUBACK).reason == 0
    broker.restart(kill=True)
    remote.start()
    broker.daemon.event('bridge_connected')
    with subscribed(theirs(remote.port, 'reader', clean=True), 't') as reader:
        with ours(broker) as client:
            client.send(mqtt5.publish('t', 'last', qos=1, packet_id=1))
            assert client.expect(mqtt5.PUBACK).reason == 0
        got = []
        while not got or got[-1] != b'last':
            got.append(reader.expect(mqtt5.PUBLISH).payload)
    remote.stop()
    broker.daemon.event('bridge_disconnected', side='remote')
    with ours(broker) as client:
        client.send(mqtt5.publish('t', 'nobody comes for it', qos=1, packet_id=1))
        assert client.expect(mqtt5.PUBACK).reason == 0
    broker.settings['bridges'] = []
    broker.restart(kill=True)
    assert broker.daemon.event('bridge_forgotten', bridge='hub').fields['queued'] == '1'
    broker.restart()
    assert not broker.daemon.find('bridge_forgotten')


def test_settings_that_cannot_be_meant_are_found_before_the_start(tmp_path):
    def complaints(**more):
        one = dict(bridge('hub', '127.0.0.1', [topic('t')]), **more)
        path = tmp_path / 'broker.yaml'
        path.write_text('durability: none\nlisteners: [{tls: no, address: 127.0.0.1}]\nbridges: %s\n' % json.dumps([one]))
        done = subprocess.run([world.program('symbolon-broker'), '--config', str(path), '--check-config'],
                              capture_output=True, text=True, timeout=world.WAIT)
        return done.stdout + done.stderr if done.returncode else ''

    assert complaints() == ''
    assert 'would bring it back' in complaints(version='3.1.1', topics=[topic('t', 'out'), topic('+', 'in')])
    assert complaints(version='3.1.1', bridge_bit=True, topics=[topic('t', 'both')]) == ''
    assert 'would go over twice' in complaints(topics=[topic('a/#', 'in'), topic('a/b', 'in')])
    assert 'expected one of out, in, both' in complaints(topics=[topic('t', 'sideways')])
    assert 'no topic filter of the local side' in complaints(topics=[topic('#', local='here')])
    assert 'no wildcard' in complaints(topics=[topic('t', remote='+/')])
    assert 'shared subscription' in complaints(topics=[topic('$share/g/t')])
    assert 'only this machine' in complaints(addresses=['192.0.2.1:1883'])
    assert 'is not host:port' in complaints(addresses=['127.0.0.1:0'])
    assert 'need TLS' in complaints(ca='ca.pem')
    assert re.search('name. takes letters', complaints(name='a/b'))


def test_certificates_pins_and_names(mosquitto, brokers, tmp_path):
    """A client certificate; a server found by an address its certificate does not carry; and the pin that alone counts."""
    ca, ca_key = world.make_ca(str(tmp_path))
    certificate, key = world.make_client_certificate(str(tmp_path), ca, ca_key, 'site7')
    remote = mosquitto(cafile=ca, require_certificate='true', use_identity_as_username='true')
    server = os.path.join(remote.dir, 'broker.pem')
    pin = subprocess.run(['openssl', 'x509', '-in', server, '-noout', '-fingerprint', '-sha256'], check=True,
                         capture_output=True, text=True).stdout.strip().partition('=')[2]
    known = {'tls': True, 'certificate': certificate, 'key': key}

    def one(name, **more):
        return bridge(name, '127.0.0.1:%d' % remote.tls_port, [topic(name)], **dict(known, **more))

    broker = brokers(bridges=[one('named', ca=remote.ca, server_name='localhost'), one('pinned', pin=pin),
                              one('wrong-name', ca=remote.ca, server_name='elsewhere'),
                              one('wrong-pin', ca=remote.ca, pin='00' * 32), one('no-ca'),
                              one('no-certificate', ca=remote.ca, certificate=None, key=None)])
    broker.daemon.event('bridge_connected', bridge='named')
    broker.daemon.event('bridge_connected', bridge='pinned')
    for name in ('wrong-name', 'wrong-pin', 'no-ca', 'no-certificate'):
        broker.daemon.event('bridge_not_connected', bridge=name)
        assert not broker.daemon.find('bridge_connected', bridge=name)


@pytest.mark.parametrize('version', ['mqttv311', 'mqttv50'])
def test_mosquitto_comes_to_us_with_a_bridge_of_its_own(mosquitto, brokers, version):
    """With try_private it speaks protocol level 0x84 first, is told that there is none here, and goes on without."""
    broker = brokers()
    remote = mosquitto(connection='ours', address='localhost:%d' % broker.port, bridge_cafile=broker.ca,
                       bridge_protocol_version=version, restart_timeout=1, topic='# both 2 m/ s/', notifications='false',
                       remote_clientid='mosquitto-bridge')
    if version == 'mqttv311':
        broker.daemon.event('connect_refused', reason_code=132)
    broker.daemon.event('client_connected', client_id='mosquitto-bridge')
    broker.daemon.event('subscribed', filter='s/#')
    here, there = subscribed(ours(broker), 's/#'), subscribed(theirs(remote.port), 'm/#')
    with ours(broker) as client:
        put(client, 's/1', qos=2)
    assert (take(here).topic, take(there).topic) == ('s/1', 'm/1')
    with theirs(remote.port) as client:
        put(client, 'm/2', qos=2)
    assert (take(here).topic, take(there).topic) == ('s/2', 'm/2')
