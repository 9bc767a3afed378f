"""The simplest things first: the broker starts, and mosquitto's own clients use its public topics over TLS."""
import json
import os
import subprocess

import pytest
from mqtt5 import CONNACK, DISCONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK, Client
import mqtt5
from world import WAIT, program

PUBLIC = [['public/#', ['pub', 'sub']], ['notice/+', ['sub']]]


@pytest.fixture(scope='module', params=[1, 3], ids=['1 worker', '3 workers'])
def broker(request, make_broker):
    return make_broker(workers=request.param, public=PUBLIC, **{'session.guest_max_expiry': '5m'})


def open_client(broker, client_id='', **more):
    client = Client(broker.port, broker.ca)
    got = client.open(client_id, **more)
    assert got.reason == 0, got
    return client


def test_the_programs_say_what_they_are():
    for name in ('symbolon-broker', 'symbolon-as', 'symbolon'):
        done = subprocess.run([program(name), '--version'], capture_output=True, text=True, timeout=WAIT)
        assert done.returncode == 0 and '0.1.0' in done.stdout


@pytest.mark.parametrize('qos', [0, 1, 2])
def test_mosquitto_reads_what_mosquitto_published(broker, qos):
    topic, text = 'public/mosquitto/%d' % qos, 'reading %d' % qos
    done = broker.mosquitto('pub', '-t', topic, '-m', text, '-q', str(qos), '-r')
    assert done.returncode == 0, done.stderr
    done = broker.mosquitto('sub', '-t', topic, '-C', '1', '-q', str(qos), '-W', str(WAIT))
    assert done.stdout.strip() == text, done.stderr


def test_mosquitto_is_refused_elsewhere_and_told_why(broker):
    """MT-99, MT-96"""
    done = broker.mosquitto('sub', '-t', 'private/#', '-C', '1', '-W', str(WAIT))
    assert 'denied' in (done.stdout + done.stderr).lower() or 'not authorized' in (done.stdout + done.stderr).lower()
    done = broker.mosquitto('pub', '-t', 'notice/today', '-m', 'x', '-q', '1')
    assert 'not authorized' in (done.stdout + done.stderr).lower()


@pytest.mark.threads
@pytest.mark.parametrize('qos', [0, 1, 2])
def test_delivery_between_clients_of_all_workers(broker, qos):
    """MQTT5 4.3, [MQTT-4.5.0-1]: several subscribers, wherever their home is"""
    topic = 'public/many/%d' % qos
    readers = [open_client(broker, 'reader-%d-%d' % (qos, n)) for n in range(6)]
    for reader in readers:
        reader.send(mqtt5.subscribe(1, [(topic, qos)]))
        assert reader.expect(SUBACK).codes == [qos]
    writer = open_client(broker, 'writer-%d' % qos)
    count = 20
    for n in range(count):
        writer.send(mqtt5.publish(topic, 'm%d' % n, qos=qos, packet_id=n + 1))
        if qos == 1:
            assert writer.expect(PUBACK).reason == 0
        elif qos == 2:
            assert writer.expect(PUBREC).reason == 0
            writer.send(mqtt5.answer(PUBREL, n + 1))
            assert writer.expect(PUBCOMP).reason == 0
    for reader in readers:
        got = []
        while len(got) < count:
            message = reader.receive()
            if message.kind == PUBLISH:
                got.append(message.payload.decode())
                assert message.qos == qos
                if qos == 1:
                    reader.send(mqtt5.answer(PUBACK, message.packet_id))
                elif qos == 2:
                    reader.send(mqtt5.answer(PUBREC, message.packet_id))
            elif message.kind == PUBREL:
                reader.send(mqtt5.answer(PUBCOMP, message.packet_id))
        assert got == ['m%d' % n for n in range(count)]  # [MQTT-4.6.0-6]: in order
        reader.close()
    writer.close()


def test_retained_is_replaced_and_cleared(broker):
    """[MQTT-3.3.1-5] [MQTT-3.3.1-6]"""
    with open_client(broker) as writer:
        for text in ('one', 'two'):
            writer.send(mqtt5.publish('public/kept', text, qos=1, packet_id=1, retain=True))
            writer.expect(PUBACK)
        with open_client(broker) as reader:
            reader.send(mqtt5.subscribe(1, [('public/+', 0)]))
            reader.expect(SUBACK)
            got = reader.expect(PUBLISH)
            assert (got.topic, got.payload, got.retain) == ('public/kept', b'two', True)
        writer.send(mqtt5.publish('public/kept', b'', qos=1, packet_id=2, retain=True))
        writer.expect(PUBACK)
        with open_client(broker) as reader:
            reader.send(mqtt5.subscribe(1, [('public/kept', 0)]))
            reader.expect(SUBACK)
            assert reader.quiet()


def test_unsubscribe_and_no_local(broker):
    """[MQTT-3.10.4-1] [MQTT-3.8.3-3]"""
    with open_client(broker) as client:
        client.send(mqtt5.subscribe(1, [('public/mine', 0x04)]))
        client.expect(SUBACK)
        client.send(mqtt5.publish('public/mine', 'x'))
        assert client.quiet()
        client.send(mqtt5.subscribe(2, [('public/mine', 0)]))
        client.expect(SUBACK)
        client.send(mqtt5.publish('public/mine', 'y'))
        assert client.expect(PUBLISH).payload == b'y'
        client.send(mqtt5.unsubscribe(3, ['public/mine', 'public/never']))
        assert client.expect(UNSUBACK).codes == [0x00, 0x11]
        client.send(mqtt5.publish('public/mine', 'z'))
        assert client.quiet()


def test_will_is_published_when_the_connection_breaks_and_not_after_disconnect(broker):
    """[MQTT-3.1.2-8] [MQTT-3.14.4-3]"""
    with open_client(broker) as reader:
        reader.send(mqtt5.subscribe(1, [('public/will', 0)]))
        reader.expect(SUBACK)
        polite = open_client(broker, will=('public/will', 'polite', 0, False, {}))
        polite.send(mqtt5.disconnect())
        polite.expect_closed()
        rude = open_client(broker, will=('public/will', 'rude', 0, False, {}))
        rude.close()
        assert reader.expect(PUBLISH).payload == b'rude'


@pytest.mark.threads
def test_a_session_waits_for_its_client(broker):
    """[MQTT-3.1.2-5] [MQTT-3.2.2-3]: messages for a continued session arrive after reconnecting"""
    name = 'sleeper'
    with open_client(broker, name, session_expiry=300) as client:
        client.send(mqtt5.subscribe(1, [('public/asleep', 1)]))
        client.expect(SUBACK)
        client.send(mqtt5.disconnect())
        client.expect_closed()
    with open_client(broker) as writer:
        writer.send(mqtt5.publish('public/asleep', 'while away', qos=1, packet_id=1))
        writer.expect(PUBACK)
    with Client(broker.port, broker.ca) as client:
        got = client.open(name, clean=False, session_expiry=300)
        assert got.session_present == 1
        assert client.expect(PUBLISH).payload == b'while away'


@pytest.mark.threads
def test_takeover(broker):
    """[MQTT-3.1.4-3]: the old connection is told 0x8E (MT-76)"""
    first = open_client(broker, 'twin')
    second = open_client(broker, 'twin')
    assert first.expect(DISCONNECT).reason == 0x8E
    first.expect_closed()
    assert second.quiet()
    second.close()


def test_every_hop_of_a_user_property(broker):
    """[MQTT-3.3.2-17]: user properties, response topic and correlation data travel unchanged"""
    with open_client(broker) as client:
        client.send(mqtt5.subscribe(1, [('public/props', 0)]))
        client.expect(SUBACK)
        pairs = [('b', '1'), ('a', '2'), ('b', '3')]
        client.send(mqtt5.publish('public/props', 'x', user_property=pairs, response_topic='public/answer',
                                  correlation_data=b'\x00\x01', content_type='text/plain', message_expiry=60))
        got = client.expect(PUBLISH)
        assert got.props['user_property'] == pairs
        assert got.props['response_topic'] == 'public/answer' and got.props['correlation_data'] == b'\x00\x01'
        assert 0 < got.props['message_expiry'] <= 60


def test_connack_announces_the_limits(broker):
    with Client(broker.port, broker.ca) as client:
        got = client.open('')
        assert got.kind == CONNACK and got.props['assigned_client_id']  # [MQTT-3.1.3-6]
        assert got.props.get('shared_available') == 1
        assert got.props.get('wildcard_available', 1) == 1  # MT-85
        assert got.props['maximum_packet_size'] > 0


def test_check_config_and_settings_pages(broker):
    for name in ('symbolon-broker', 'symbolon-as'):
        for form in ('markdown', 'roff', 'sample'):
            done = subprocess.run([program(name), '--print-settings', form], capture_output=True, text=True, timeout=WAIT)
            assert done.returncode == 0 and len(done.stdout) > 1000
    done = subprocess.run([program('symbolon-broker'), '--check-config', '--config', broker.config], capture_output=True,
                          text=True, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    broken = os.path.join(os.path.dirname(broker.config), 'broken.yaml')
    with open(broken, 'w', encoding='utf-8') as f:
        f.write(open(broker.config, encoding='utf-8').read() + '\nnonsense: 1\n')
    done = subprocess.run([program('symbolon-broker'), '--check-config', '--config', broken], capture_output=True,
                          text=True, timeout=WAIT)
    assert done.returncode != 0 and 'nonsense' in done.stderr and 'allowed' in done.stderr


def test_refusals_are_log_events(broker):
    with open_client(broker, 'curious') as client:
        client.send(mqtt5.subscribe(1, [('secret/#', 0)]))
        got = client.expect(SUBACK)
        assert got.codes == [0x87] and got.why
    event = broker.daemon.event('subscribe_refused', client_id='curious')
    assert event.fields['clause'] and event.fields['why'], json.dumps(event.fields)
