"""Peers that misbehave: wrong bytes, half a packet, silence, floods. The right reason code, the connection closed, and
everybody else undisturbed (MQTT5 4.13)."""
import os
import socket
import ssl
import struct
import time

import mqtt5
import pytest
from mqtt5 import CONNACK, DISCONNECT, PINGRESP, PUBACK, PUBLISH, SUBACK, Client, Closed
from world import WAIT

pytestmark = pytest.mark.threads


@pytest.fixture(scope='module')
def broker(make_broker):
    return make_broker(workers=2, public=[['public/#', ['pub', 'sub']]], **{'limits.packet': '64k'})


@pytest.fixture(scope='module')
def hasty(make_broker):
    return make_broker(workers=2, public=[['public/#', ['pub', 'sub']]], **{
        'limits.connect_timeout': '2s', 'limits.handshake_timeout': '4s'})


@pytest.fixture(autouse=True)
def the_broker_stays_well(broker):
    """After each test: a fresh client still publishes and receives."""
    yield
    assert broker.daemon.running(), broker.daemon.log()[-4000:]
    with Client(broker.port, broker.ca) as client:
        assert client.open('').reason == 0
        client.send(mqtt5.subscribe(1, [('public/alive', 0)]), mqtt5.publish('public/alive', 'yes'))
        assert client.expect(SUBACK).codes == [0]
        assert client.expect(PUBLISH).payload == b'yes'


def opened(broker, **more):
    client = Client(broker.port, broker.ca)
    got = client.open('', **more)
    assert got.reason == 0, got
    return client


def ends(client, *codes):
    """DISCONNECT with one of the codes, then the end; nothing else before."""
    try:
        got = client.receive()
    except Closed:
        raise AssertionError('closed without a word') from None
    assert got.kind in (DISCONNECT, CONNACK) and got.reason in codes, got
    client.expect_closed()


NO_TOPIC = mqtt5.packet(PUBLISH, 0, mqtt5.prefixed('') + b'\x00')
MALFORMED = {
    'reserved packet type 0': (b'\x00\x00', 0x81, 0x82),
    'flags of PINGREQ': (b'\xc1\x00', 0x81),
    'flags of SUBSCRIBE': (mqtt5.packet(mqtt5.SUBSCRIBE, 0, b'\x00\x01\x00\x00\x01a\x00'), 0x81),
    'qos 3': (mqtt5.packet(PUBLISH, 6, mqtt5.prefixed('public/a') + b'\x00\x01\x00'), 0x81),
    'remaining length of five bytes': (b'\x30\xff\xff\xff\xff\x7f', 0x81),
    'remaining length not minimal': (b'\xc0\x80\x00', 0x81),
    'topic longer than the packet': (mqtt5.packet(PUBLISH, 0, b'\xff\xffab'), 0x81),
    'topic with a wildcard': (mqtt5.publish('public/+'), 0x90, 0x81, 0x82),
    'topic with U+0000': (mqtt5.packet(PUBLISH, 0, mqtt5.prefixed(b'public/\x00') + b'\x00'), 0x81, 0x90),
    'topic not UTF-8': (mqtt5.packet(PUBLISH, 0, mqtt5.prefixed(b'public/\xff\xfe') + b'\x00'), 0x81, 0x90),
    'topic of a surrogate': (mqtt5.packet(PUBLISH, 0, mqtt5.prefixed(b'public/\xed\xa0\x80') + b'\x00'), 0x81, 0x90),
    'no topic and no alias': (NO_TOPIC, 0x82, 0x81),
    'packet id 0': (mqtt5.publish('public/a', qos=1, packet_id=0), 0x81, 0x82),
    'topic alias 0': (mqtt5.publish('public/a', topic_alias=0), 0x94),
    'topic alias beyond the limit': (mqtt5.publish('public/a', topic_alias=65535), 0x94),
    'unknown topic alias': (mqtt5.publish('', topic_alias=1), 0x82, 0x94),
    'unknown property': (mqtt5.packet(PUBLISH, 0, mqtt5.prefixed('public/a') + b'\x02\x7f\x00'), 0x81),
    'property not of this packet': (mqtt5.publish('public/a', session_expiry=1), 0x81, 0x82),
    'property twice': (mqtt5.packet(PUBLISH, 0, mqtt5.prefixed('public/a') + b'\x04\x01\x00\x01\x00'), 0x82, 0x81),
    'property length beyond the packet': (mqtt5.packet(PUBLISH, 0, mqtt5.prefixed('public/a') + b'\x7f'), 0x81),
    'subscribe without a filter': (mqtt5.subscribe(1, []), 0x82, 0x81),
    'subscribe with reserved option bits': (mqtt5.subscribe(1, [('public/a', 0xC0)]), 0x81, 0x82),
    'subscribe with qos 3': (mqtt5.subscribe(1, [('public/a', 3)]), 0x81, 0x82),
    'filter with # inside': (mqtt5.subscribe(1, [('public/#/a', 0)]), 0x81, 0x8F, 0x82),
    'unsubscribe without a filter': (mqtt5.unsubscribe(1, []), 0x82, 0x81),
    'a second CONNECT': (mqtt5.connect('again'), 0x82),
    'a CONNACK from a client': (mqtt5.packet(CONNACK, 0, b'\x00\x00\x00'), 0x82, 0x81),
    'AUTH without a method': (mqtt5.packet(mqtt5.AUTH, 0, b'\x19\x00'), 0x82, 0x81, 0x8C),
    'AUTH in a session without one': (mqtt5.auth(0x19, b'\x00\x01x'), 0x82, 0x87, 0x8C),
    'PUBREL nobody waits for, malformed': (b'\x60\x02\x00\x01', 0x81),
    'DISCONNECT with a wrong property': (mqtt5.packet(DISCONNECT, 0, b'\x00\x02\x24\x01'), 0x81, 0x82),
}


@pytest.mark.parametrize('name', MALFORMED)
def test_malformed_or_out_of_place(broker, name):
    """MQTT5 4.13: DISCONNECT with the reason, then closed; 0x81 malformed, 0x82 protocol error"""
    data, *codes = MALFORMED[name]
    client = opened(broker)
    client.send(data)
    ends(client, *codes)


FIRST = {
    'not a CONNECT': mqtt5.PING,
    'a PUBLISH': mqtt5.publish('public/a'),
    'an HTTP request': b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'random bytes': os.urandom(512),
    'protocol name': mqtt5.packet(1, 0, mqtt5.prefixed('MQTX') + b'\x05\x02\x00\x3c\x00' + mqtt5.prefixed('x')),
    'reserved flag': mqtt5.packet(1, 0, mqtt5.prefixed('MQTT') + b'\x05\x03\x00\x3c\x00' + mqtt5.prefixed('x')),
    'will qos without will': mqtt5.packet(1, 0, mqtt5.prefixed('MQTT') + b'\x05\x0a\x00\x3c\x00' + mqtt5.prefixed('x')),
    'bytes behind the payload': mqtt5.packet(1, 0, mqtt5.prefixed('MQTT') + b'\x05\x02\x00\x3c\x00' + mqtt5.prefixed('x') + b'zz'),
    'receive maximum 0': mqtt5.connect('x', receive_maximum=0),
    'maximum packet size 0': mqtt5.connect('x', maximum_packet_size=0),
    'authentication data without method': mqtt5.connect('x', authentication_data=b'x'),
    'client id not UTF-8': mqtt5.packet(1, 0, mqtt5.prefixed('MQTT') + b'\x05\x02\x00\x3c\x00' + mqtt5.prefixed(b'\xff')),
}


@pytest.mark.parametrize('name', FIRST)
def test_a_wrong_first_packet(broker, name):
    """[MQTT-3.1.0-1] [MQTT-3.1.2-3]: no session, no delivery; at most a CONNACK saying why"""
    with Client(broker.port, broker.ca) as client:
        client.send(FIRST[name])
        try:
            got = client.receive()
            assert got.kind in (CONNACK, DISCONNECT) and got.reason >= 0x80, got
            client.expect_closed()
        except Closed:
            pass


def test_mqtt_3_1_is_refused_in_its_own_words(broker):
    """MT-120: return code 1, for a version we do not speak"""
    with Client(broker.port, broker.ca) as client:
        client.send(mqtt5.packet(1, 0, mqtt5.prefixed('MQIsdp') + b'\x03\x02\x00\x3c' + mqtt5.prefixed('old')))
        client.socket.settimeout(WAIT)
        assert client.socket.recv(16) == b'\x20\x02\x00\x01'


def test_user_name_with_ace_is_refused(broker):
    """MT-50"""
    with Client(broker.port, broker.ca) as client:
        client.send(mqtt5.connect('x', user_name='u', password='p', authentication_method='ace'))
        got = client.expect(CONNACK)
        assert got.reason in (0x87, 0x82) and got.why


def test_another_method_is_refused(broker):
    """MT-51: 0x8C"""
    with Client(broker.port, broker.ca) as client:
        client.send(mqtt5.connect('x', authentication_method='SCRAM-SHA-1'))
        assert client.expect(CONNACK).reason == 0x8C


def test_a_packet_larger_than_announced(broker):
    """MQTT5 3.2.2.3.6: 0x95"""
    client = opened(broker)
    client.send(mqtt5.publish('public/big', bytes(70000)))
    ends(client, 0x95)


def test_the_length_alone_is_enough_to_be_refused(broker):
    """nobody gets 256 MiB by saying so"""
    client = opened(broker)
    client.send(b'\x30\xff\xff\xff\x7f')
    ends(client, 0x95)


@pytest.mark.parametrize('sent', [b'', b'\x10', mqtt5.connect('slow')[:-1]], ids=['nothing', 'one byte', 'all but one byte'])
def test_a_slow_connect_is_given_up(hasty, sent):
    """limits.connect_timeout"""
    with Client(hasty.port, hasty.ca) as client:
        peer = '127.0.0.1:%d' % client.socket.getsockname()[1]
        try:
            if sent:
                client.send(sent)
            client.receive()
        except (Closed, ConnectionError):
            pass
        assert hasty.daemon.event('connect_refused', peer=peer).fields['clause'] == 'limits.connect_timeout'


def test_a_silent_tls_handshake_is_given_up(hasty):
    with socket.create_connection(('127.0.0.1', hasty.port), timeout=WAIT) as s:
        try:
            assert s.recv(1) == b''
        except ConnectionError:
            pass


def test_byte_by_byte_is_fine(broker):
    with Client(broker.port, broker.ca) as client:
        for byte in mqtt5.connect('drip') + mqtt5.PING:
            client.send(bytes([byte]))
        assert client.expect(CONNACK).reason == 0
        assert client.expect(PINGRESP)


def test_keep_alive_is_enforced(broker):
    """[MQTT-3.1.2-22]: one and a half times 1 s"""
    begin = time.monotonic()
    client = opened(broker, keep_alive=1)
    ends(client, 0x8D)
    assert time.monotonic() - begin > 1.4


def test_a_flood_of_pings_is_answered_and_named(broker):
    client = opened(broker)
    count = 20000
    client.send(mqtt5.PING * count)
    for _ in range(count):
        client.expect(PINGRESP)
    client.close()
    assert broker.daemon.event('ping_flood').fields['peer'].startswith('127.0.0.1:')


def test_a_reader_that_never_reads_costs_only_itself(broker):
    """bounded output: QoS 0 messages to a full peer are dropped, the writer is not held up"""
    stuck = opened(broker)
    stuck.send(mqtt5.subscribe(1, [('public/flood', 0)]))
    stuck.expect(SUBACK)
    writer = opened(broker)
    payload = bytes(32000)
    for n in range(600):
        writer.send(mqtt5.publish('public/flood', payload))
        if n % 50 == 0:
            assert writer.quiet()
    assert writer.quiet()
    writer.close()
    stuck.close()


def test_more_in_flight_than_allowed(broker):
    """MQTT5 [MQTT-3.3.4-7]: 0x93 when Receive Maximum is exceeded"""
    client = Client(broker.port, broker.ca)
    maximum = client.open('').props.get('receive_maximum', 65535)
    client.send(*[mqtt5.publish('public/q2', 'x', qos=2, packet_id=n + 1) for n in range(maximum + 1)])
    last = None
    try:
        while True:
            last = client.receive()
    except Closed:
        pass
    assert last.kind == DISCONNECT and last.reason == 0x93, last


def test_too_many_filters_in_one_subscribe(broker):
    client = opened(broker)
    client.send(mqtt5.subscribe(1, [('public/%d' % n, 0) for n in range(3000)]))
    got = client.receive()
    assert got.kind == SUBACK and 0x97 in got.codes or got.kind == DISCONNECT and got.reason in (0x97, 0x95), got
    client.close()


def test_deep_topics(broker):
    client = opened(broker)
    client.send(mqtt5.publish('public' + '/x' * 2000, 'deep', qos=1, packet_id=1))
    got = client.receive()
    assert got.kind in (PUBACK, DISCONNECT) and (got.kind == PUBACK or got.reason >= 0x80), got
    client.close()


def test_no_local_on_a_shared_subscription(broker):
    """[MQTT-3.8.3-4]"""
    client = opened(broker)
    client.send(mqtt5.subscribe(1, [('$share/group/public/#', 4)]))
    ends(client, 0x82)


def test_connections_cut_at_any_moment(broker):
    """Resets in every state, lingering off: TCP only, in the handshake, after CONNECT, in the middle of a PUBLISH"""
    whole = mqtt5.connect('cut') + mqtt5.subscribe(1, [('public/#', 1)]) + mqtt5.publish('public/a', bytes(500), qos=1, packet_id=1)
    for at in range(0, len(whole), 37):
        client = Client(broker.port, broker.ca)
        client.send(whole[:at]) if at else None
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        client.close()
    for _ in range(20):
        s = socket.create_connection(('127.0.0.1', broker.port))
        s.send(b'\x16\x03\x01\x02\x00\x01')
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        s.close()


def test_random_bytes_after_connect(broker):
    for seed in range(40):
        client = opened(broker)
        client.send(os.urandom(64 + seed * 7))
        try:
            while True:
                client.receive(0.2)
        except (Closed, TimeoutError, ValueError, KeyError, AssertionError, struct.error, UnicodeDecodeError):
            pass
        client.close()


def test_mutated_packets(broker):
    """One byte changed at a time in a valid conversation"""
    valid = mqtt5.subscribe(7, [('public/#', 1)], subscription_id=3) + \
        mqtt5.publish('public/m', b'payload', qos=1, packet_id=9, content_type='t', user_property=[('a', 'b')])
    for at in range(len(valid)):
        client = opened(broker)
        client.send(valid[:at] + bytes([valid[at] ^ 0x81]) + valid[at + 1:], mqtt5.PING)
        try:
            while client.receive(1).kind not in (PINGRESP, DISCONNECT):
                pass
        except (Closed, TimeoutError, ValueError, KeyError):
            pass
        client.close()


def test_tls_renegotiation_and_garbage_records(broker):
    context = ssl.create_default_context(cafile=broker.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = Client(broker.port, broker.ca, tls=context)
    assert client.open('old tls').reason == 0
    raw = client.socket.detach()
    with socket.socket(fileno=raw) as s:
        s.sendall(b'\x17\x03\x03\x00\x20' + os.urandom(32))
        s.settimeout(WAIT)
        try:
            while s.recv(4096):
                pass
        except ConnectionError:
            pass
