"""What the broker says of itself ($SYS), and what it offers of MQTT, to foreign clients and on the wire."""
import os
import re
import signal

import mqtt5
import pytest
import world
from world import ROOT, WAIT, node

PUBLIC = [['$SYS/#', ['sub']], ['plant/#', ['pub', 'sub']], ['replies/#', ['pub', 'sub']]]


@pytest.fixture(scope='module')
def broker(make_broker):
    return make_broker(public=PUBLIC, workers=2, sys_interval='1s', response_topic_prefix='replies/${client_id}/')


def mosquitto_sub(broker, *words, version='mqttv5'):
    done = broker.mosquitto('sub', '-W', str(WAIT), *words, version=version, wait=WAIT + 5)
    assert done.returncode == 0, done
    return done.stdout.splitlines()


def documented():
    """The topics of docs/operate/sys.md, below $SYS/broker/; + stands for 1min, 5min, 15min."""
    topics, below = [], ''
    with open(os.path.join(ROOT, 'docs', 'operate', 'sys.md'), encoding='utf-8') as f:
        for line in f:
            heading = re.match(r'## .*below `\$SYS/broker/(.*)`', line)
            below = heading[1] if heading else below
            if line.startswith('| `'):
                for name in re.findall(r'`([^`]+)`', line.split('|')[1]):
                    topics += [below + name[:-1] + t for t in ('1min', '5min', '15min')] if name.endswith('/+') else [below + name]
    return topics


@pytest.mark.parametrize('version', ['mqttv5', 'mqttv311'])
def test_mosquitto_sub_reads_the_tree_as_documented(broker, version):
    """MQTT5 4.7.2"""
    wanted = sorted('$SYS/broker/' + topic for topic in documented())
    assert len(wanted) > 50
    got = mosquitto_sub(broker, '-v', '--retained-only', '-t', '$SYS/#', '-C', str(len(wanted)), version=version)
    values = dict(line.split(' ', 1) if not line.startswith('$SYS/broker/retained messages') else line.rsplit(' ', 1)
                  for line in got)
    assert sorted(values) == wanted
    assert values['$SYS/broker/version'].startswith('symbolon-broker version ')
    assert values['$SYS/broker/uptime'].endswith(' seconds')
    assert re.fullmatch(r'\d+\.\d\d', values['$SYS/broker/load/connections/15min'])
    for topic, value in values.items():
        assert value.isdigit() or '/load/' in topic or topic.endswith(('/version', '/uptime')), (topic, value)


def test_it_goes_on_while_somebody_listens(broker):
    got = mosquitto_sub(broker, '-t', '$SYS/broker/uptime', '-C', '5')
    assert len({int(line.split()[0]) for line in got}) >= 3  # two in one second, after a while without any


@pytest.mark.threads
def test_the_values_are_sums_of_all_workers(broker):
    with mqtt5.Client(broker.port, broker.ca) as reader:
        clients = [mqtt5.Client(broker.port, broker.ca) for _ in range(8)]
        reader.open('reader')
        for n, client in enumerate(clients):
            assert client.open('c%d' % n).reason == 0
            client.send(mqtt5.publish('plant/%d' % n, 'x'))
            assert client.quiet()
        reader.send(mqtt5.subscribe(1, [('$SYS/broker/clients/connected', 0)]))
        assert reader.expect(mqtt5.SUBACK).codes == [0]
        seen = None
        while seen != b'9':
            seen = reader.expect(mqtt5.PUBLISH).payload
        for client in clients:
            client.close()
        while seen != b'1':
            seen = reader.expect(mqtt5.PUBLISH).payload


def test_nobody_writes_it(broker):
    """MQTT5 4.7.2"""
    with mqtt5.Client(broker.port, broker.ca) as client:
        client.open('writer')
        client.send(mqtt5.publish('$SYS/broker/version', 'mine', qos=1, packet_id=1, retain=True))
        got = client.expect(mqtt5.PUBACK)
        assert got.reason == 0x90
        client.send(mqtt5.subscribe(2, [('#', 0), ('+/broker/uptime', 0)]))
        assert client.expect(mqtt5.SUBACK).codes == [0x87, 0x87]


def test_a_foreign_client_understands_our_aliases(broker):
    """MQTT5 3.3.2.3.4: MQTT.js puts the topics back"""
    steps = [{'subscribe': 'plant/#', 'qos': 1}]
    steps += [{'publish': 'plant/line-%d/temperature' % (n % 2), 'payload': str(n), 'qos': 1} for n in range(6)]
    got = node('witness_mqtt.mjs', {'url': 'mqtts://127.0.0.1:%d' % broker.port, 'ca': broker.ca, 'clientId': 'js',
                                    'topicAliasMaximum': 10, 'steps': steps + [{'collect': 6}]})
    assert [(m['topic'], m['payload']) for m in got['messages']] == [
        ('plant/line-%d/temperature' % (n % 2), str(n)) for n in range(6)], got


def test_aliases_on_the_wire(broker):
    """MQTT5 [MQTT-3.1.2-26], [MQTT-3.1.2-27]"""
    topics = []
    with mqtt5.Client(broker.port, broker.ca) as client:
        client.open('alias', topic_alias_maximum=3)
        client.send(mqtt5.subscribe(1, [('plant/#', 0)]))
        client.expect(mqtt5.SUBACK)
        for n in range(3):
            client.send(mqtt5.publish('plant/line-1/temperature', str(n)))
            got = client.expect(mqtt5.PUBLISH)
            assert 1 <= got.props['topic_alias'] <= 3
            topics.append(got.topic)
    assert topics == ['plant/line-1/temperature', '', '']


def test_where_answers_can_go(broker):
    """MQTT5 [MQTT-3.1.2-28]"""
    with mqtt5.Client(broker.port, broker.ca) as client:
        assert client.open('asks', request_response=1).props['response_information'] == 'replies/asks/'
    with mqtt5.Client(broker.port, broker.ca) as client:
        assert 'response_information' not in client.open('asks').props


def test_less_than_all_of_mqtt(make_broker):
    """MQTT5 [MQTT-3.2.2-9] to [MQTT-3.2.2-14]"""
    less = make_broker(public=PUBLIC, maximum_qos=1, retain_available=False, wildcard_subscriptions=False,
                       subscription_identifiers=False, shared_subscriptions=False, sys_interval=0)
    with mqtt5.Client(less.port, less.ca) as client:
        props = client.open('less').props
        assert [props[name] for name in ('maximum_qos', 'retain_available', 'wildcard_available', 'subscription_id_available',
                                         'shared_available')] == [1, 0, 0, 0, 0]
        client.send(mqtt5.subscribe(1, [('plant/#', 2), ('plant/x', 2), ('$share/g/plant/y', 0)]))
        assert client.expect(mqtt5.SUBACK).codes == [0xA2, 1, 0x9E]
        client.send(mqtt5.subscribe(2, [('plant/x', 0)], subscription_id=5))
        assert client.expect(mqtt5.SUBACK).codes == [0xA1]
        client.send(mqtt5.publish('plant/z', 'x', qos=2, packet_id=1))
        assert client.expect(mqtt5.DISCONNECT).reason == 0x9B
    with mqtt5.Client(less.port, less.ca) as client:
        client.open('less')
        client.send(mqtt5.publish('plant/z', 'x', retain=True))
        assert client.expect(mqtt5.DISCONNECT).reason == 0x9A


def test_a_broker_that_stops_names_another(tmp_path):
    """MQTT5 4.11: 0x9C"""
    leaving = world.Broker(str(tmp_path), public=PUBLIC, server_reference='other.example:8883')
    with mqtt5.Client(leaving.port, leaving.ca) as client:
        client.open('c')
        os.kill(leaving.daemon.process.pid, signal.SIGTERM)
        got = client.expect(mqtt5.DISCONNECT)
        assert (got.reason, got.props['server_reference']) == (0x9C, 'other.example:8883')
    assert leaving.daemon.process.wait(WAIT) == 0
