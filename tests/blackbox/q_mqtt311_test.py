"""MQTT 3.1.1 with foreign clients: MQTT.js proves possession in user name and password, mosquitto's own clients use the
public topics, and both versions talk to each other."""
import concurrent.futures
import subprocess

import jose_by_hand as jose
import pytest
from world import WAIT, node, run_cli

AUDIENCE = 'broker.example'
ACCEPTED, BAD_USER_NAME, NOT_AUTHORIZED = 0, 4, 5
OURS = 'plant/sensor-1/temperature'


@pytest.fixture(scope='module')
def site(as_server, make_broker):
    broker = make_broker(as_server=as_server, audience=AUDIENCE, workers=2,
                         public=[['public/#', ['pub', 'sub']], ['notice/+', ['sub']]])
    as_server.allow('group:sensors', AUDIENCE, 'plant/${client_id}/temperature', 'pub', 'sub')
    as_server.allow('group:dashboards', AUDIENCE, 'plant/#', 'sub')
    broker.server = as_server
    broker.sensor = as_server.add_client('sensor-1', groups=['sensors'])
    broker.dashboard = as_server.add_client('dashboard', groups=['dashboards'])
    return broker


def credentials(site, client, kind='EdDSA'):
    if kind == 'HS256':
        got = site.server.token(client, AUDIENCE)
        return {'token': got['access_token'], 'key': got['cnf']['jwk']}
    key = jose.Ed25519()
    return {'token': site.server.token(client, AUDIENCE, key=key)['access_token'], 'key': key.jwk(private=True)}


def job(site, client_id, steps=(), version=4, tls='TLSv1.3', **more):
    return node('witness_mqtt.mjs', dict({'port': site.port, 'ca': site.ca, 'clientId': client_id, 'version': version,
                                          'proof': 'exporter', 'tls': tls, 'steps': list(steps)}, **more))


@pytest.mark.parametrize('kind', ['HS256', 'EdDSA'])
@pytest.mark.parametrize('encoding', ['rfc9431', 'draft06'])
@pytest.mark.parametrize('tls', ['TLSv1.3', 'TLSv1.2'])
def test_token_and_proof_in_user_name_and_password(site, kind, encoding, tls):
    """MT-121, MT-122, MT-123, D-18; the exporter of TLS 1.2 and 1.3: MT-56"""
    got = job(site, 'sensor-1', [{'publish': OURS, 'payload': '21.5', 'qos': 2}], tls=tls, userName=encoding,
              **credentials(site, site.sensor, kind))
    assert got['connack'] == {'code': ACCEPTED, 'sessionPresent': False}, got
    assert got['steps'] == [{'ok': True}], got


def test_refusals_have_return_codes(site):
    """MT-125, MT-123, MT-65; MQTT311 [MQTT-3.2.2-5]"""
    good = credentials(site, site.sensor)
    got = job(site, 'sensor-1', token=good['token'], key=jose.Ed25519().jwk(private=True))
    assert got['connack']['code'] == NOT_AUTHORIZED, got
    got = job(site, 'sensor-1', token='', key=good['key'])
    assert got['connack']['code'] == NOT_AUTHORIZED, got
    done = site.mosquitto('pub', '-u', 'alice', '-P', 'secret', '-t', 'public/x', '-m', 'x', version='mqttv311')
    assert done.returncode == BAD_USER_NAME, done
    site.daemon.event('connect_refused', clause='MT-125')


def test_a_publication_outside_the_scope_ends_the_connection(site):
    """MT-126"""
    got = job(site, 'sensor-1', [{'publish': 'elsewhere', 'payload': 'x', 'qos': 1}], **credentials(site, site.sensor))
    assert got['connack']['code'] == ACCEPTED
    assert got['steps'][0]['ok'] is False and got['steps'][0]['message'] == 'closed', got
    assert 'disconnect' not in got


def test_a_filter_outside_the_scope_gets_0x80(site):
    """MT-127"""
    got = job(site, 'dashboard', [{'subscribe': 'plant/+/temperature', 'qos': 1}, {'subscribe': '#'}],
              **credentials(site, site.dashboard))
    assert got['steps'][0] == {'ok': True, 'codes': [1]}, got
    assert got['steps'][1]['ok'] is False and got['steps'][1].get('codes', [got['steps'][1].get('code')]) == [0x80], got


@pytest.mark.threads
@pytest.mark.parametrize('versions', [(4, 5), (5, 4), (4, 4)])
def test_both_versions_read_each_other(site, versions):
    """Each QoS, in order"""
    writer, reader = versions
    dashboard = 'dashboard-%d-%d' % versions
    with concurrent.futures.ThreadPoolExecutor() as pool:
        reading = pool.submit(job, site, dashboard, [{'subscribe': 'plant/#', 'qos': 2}, {'collect': 3}], version=reader,
                              **credentials(site, site.dashboard))
        site.daemon.event('subscribed', client_id=dashboard)
        got = job(site, 'sensor-1', [{'publish': OURS, 'payload': 'q%d' % qos, 'qos': qos} for qos in (0, 1, 2)],
                  version=writer, **credentials(site, site.sensor))
        assert got['steps'] == [{'ok': True}] * 3, got
        assert [m['payload'] for m in reading.result()['messages']] == ['q0', 'q1', 'q2']


def test_a_session_is_continued_with_another_token(site):
    """MT-124, MT-72, MT-78: Clean Session 0, and possession is proved each time"""
    got = job(site, 'keeper', [{'subscribe': 'plant/#', 'qos': 1}], resume=True, **credentials(site, site.dashboard))
    assert got['connack'] == {'code': ACCEPTED, 'sessionPresent': False}, got
    job(site, 'sensor-1', [{'publish': OURS, 'payload': 'while away', 'qos': 1}], **credentials(site, site.sensor))
    got = job(site, 'keeper', [{'collect': 1}], resume=True, **credentials(site, site.dashboard))
    assert got['connack'] == {'code': ACCEPTED, 'sessionPresent': True}, got
    assert [m['payload'] for m in got['messages']] == ['while away']
    assert site.daemon.event('client_connected', client_id='keeper', session='continued').fields['token'] == 'replaced'
    got = job(site, 'keeper', **credentials(site, site.dashboard))  # Clean Session 1 forgets it
    assert got['connack']['sessionPresent'] is False


def test_a_will_outside_the_scope_is_refused_and_one_inside_is_published(site):
    """MT-84, MT-112: the broker closes for a refused PUBLISH, and the Will goes out"""
    good = credentials(site, site.sensor)
    got = job(site, 'sensor-1', will={'topic': 'elsewhere', 'payload': 'gone'}, **good)
    assert got['connack']['code'] == NOT_AUTHORIZED, got
    with concurrent.futures.ThreadPoolExecutor() as pool:
        reading = pool.submit(job, site, 'mourner', [{'subscribe': 'plant/#', 'qos': 1}, {'collect': 1}],
                              **credentials(site, site.dashboard))
        site.daemon.event('subscribed', client_id='mourner')
        job(site, 'sensor-1', [{'publish': 'elsewhere', 'payload': 'x', 'qos': 1}], will={'topic': OURS, 'payload': 'gone'}, **good)
        assert [m['payload'] for m in reading.result()['messages']] == ['gone']


@pytest.mark.parametrize('qos', [0, 1, 2])
def test_mosquitto_uses_the_public_topics(site, qos):
    """MT-21; MQTT5 [MQTT-3.3.1-5], MQTT311 [MQTT-3.3.1-5], [MQTT-3.3.1-6]; nothing but the standard is asked of a foreign
    client: MQTT311 [MQTT-7.0.0-2]"""
    topic, text = 'public/mosquitto311/%d' % qos, 'reading %d' % qos
    done = site.mosquitto('pub', '-t', topic, '-m', text, '-q', str(qos), '-r', version='mqttv311')
    assert done.returncode == 0, done.stderr
    done = site.mosquitto('sub', '-t', topic, '-C', '1', '-q', str(qos), '-W', str(WAIT), version='mqttv311')
    assert done.stdout.strip() == text, done.stderr


@pytest.mark.parametrize('version', ['5', 'mqttv311'])
def test_the_transport_keeps_every_byte_and_the_order(site, version, tmp_path):
    """MQTT5 [MQTT-4.2.0-1], MQTT311 [MQTT-7.1.1-1], [MQTT-7.1.2-1]: TLS over TCP, our client to our broker and back"""
    topic, lines = 'public/stream/' + version, ['%d %s' % (n, 'x' * (n * 37 % 2000)) for n in range(1500)]
    us = ['-V', version, '-h', 'localhost', '-p', str(site.port), '--cafile', site.ca, '--no-ace', '-q', '1', '-t', topic]
    env = {'HOME': str(tmp_path), 'XDG_CONFIG_HOME': '', 'XDG_CACHE_HOME': ''}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        reader = pool.submit(run_cli, 'sub', *us, '-C', str(len(lines)), '-W', str(WAIT), env=env, wait=WAIT + 5)
        site.daemon.event('subscribed', filter=topic)
        done = run_cli('pub', *us, '-l', env=env, stdin='\n'.join(lines) + '\n')
        assert done.returncode == 0, done.stderr
        got = reader.result()
    assert got.returncode == 0, got.stderr
    assert got.stdout.splitlines() == lines


def test_mosquitto_is_refused_elsewhere(site):
    """MT-127, MT-126"""
    done = site.mosquitto('sub', '-t', 'private/#', '-C', '1', '-W', '5', version='mqttv311')
    assert 'denied' in (done.stdout + done.stderr).lower(), done
    done = site.mosquitto('pub', '-t', 'notice/today', '-m', 'x', '-q', '1', version='mqttv311')
    site.daemon.event('publish_refused', clause='MT-21')


def test_mqtt_3_1_is_told_that_it_is_too_old(site):
    """MT-120; MQTT311 [MQTT-3.1.2-2]"""
    done = subprocess.run(['mosquitto_pub', '-V', 'mqttv31', '-h', 'localhost', '-p', str(site.port), '--cafile', site.ca,
                           '-t', 'public/x', '-m', 'x'], capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 1, done


def test_it_can_be_switched_off(make_broker, site):
    """MT-120"""
    broker = make_broker(workers=1, public=[['public/#', ['pub', 'sub']]], mqtt_3_1_1='false')
    done = broker.mosquitto('pub', '-t', 'public/x', '-m', 'x', version='mqttv311')
    assert done.returncode == 1, done
