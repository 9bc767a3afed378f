"""The main job with a foreign client: MQTT.js on Node's TLS proves possession to our broker with our server's tokens."""
import concurrent.futures
import json
import os
import time

import jose_by_hand as jose
import pytest
from world import node

AUDIENCE = 'broker.example'
PLANT = 'plant/%s/temperature'


@pytest.fixture(scope='module')
def site(as_server, make_broker):
    broker = make_broker(as_server=as_server, audience=AUDIENCE, workers=2, **{'token.jwks_min_interval': '50ms'})
    as_server.allow('group:sensors', AUDIENCE, 'plant/${client_id}/temperature', 'pub')
    as_server.allow('group:dashboards', AUDIENCE, 'plant/#', 'sub')
    broker.server = as_server
    broker.sensor = as_server.add_client('sensor-1', groups=['sensors'])
    broker.dashboard = as_server.add_client('dashboard', groups=['dashboards'])
    return broker


def ec_key():
    made = node('witness_jose.mjs', {'generate': 'ES256'})
    return made['private'], made['public']


def credentials(site, client, kind):
    """(token, JWK to prove with): a secret made by the server, or a key of the client's own."""
    if kind == 'HS256':
        got = site.server.token(client, AUDIENCE)
        return got['access_token'], got['cnf']['jwk']
    if kind == 'EdDSA':
        key = jose.Ed25519()
        return site.server.token(client, AUDIENCE, key=key)['access_token'], key.jwk(private=True)
    private, public = ec_key()
    server = site.server
    now = int(time.time())
    claims = {'aud': server.url + '/token', 'client_id': client.id, 'iat': now, 'exp': now + 120, 'jti': jose.b64(os.urandom(16))}
    proof = node('witness_jose.mjs', {'make': {'claims': claims, 'header': {'alg': 'ES256', 'typ': 'req-cnf+jwt'}},
                                      'key': private})['token']
    reply = server.post_json('/token', dict(server.credentials(client), audience=AUDIENCE, req_cnf={'jwk': public},
                                            req_cnf_proof=proof))
    assert reply.code == 200, reply
    return reply.json['access_token'], private


def job(site, client_id, token=None, key=None, proof='exporter', tls='TLSv1.3', steps=()):
    out = {'port': site.port, 'ca': site.ca, 'clientId': client_id, 'proof': proof, 'tls': tls, 'steps': list(steps)}
    if token is not None:
        out.update(token=token, key=key)
    return node('witness_mqtt.mjs', out)


@pytest.mark.parametrize('kind', ['HS256', 'EdDSA', 'ES256'])
@pytest.mark.parametrize('proof,tls', [('exporter', 'TLSv1.3'), ('exporter', 'TLSv1.2'), ('challenge', 'TLSv1.3'),
                                       ('draft06', 'TLSv1.3')])
def test_proof_of_possession(site, kind, proof, tls):
    """MT-53, MT-56, MT-57, MT-58, MT-59, MT-63, MT-64, D-1; layouts A, B, D9 and D6"""
    token, key = credentials(site, site.sensor, kind)
    got = job(site, 'sensor-1', token, key, proof, tls, [
        {'publish': PLANT % 'sensor-1', 'payload': '21.5', 'qos': 1}])
    assert got['connack']['code'] == 0, got
    assert (got['tls'], got['alpn']) == (tls, 'mqtt')  # MT-6
    assert got['steps'] == [{'ok': True}]


@pytest.mark.threads
def test_a_reading_reaches_the_dashboard(site):
    """MT-81, MT-82: publish and subscribe inside the scope; the payload arrives"""
    sensor, dashboard = credentials(site, site.sensor, 'EdDSA'), credentials(site, site.dashboard, 'EdDSA')
    with concurrent.futures.ThreadPoolExecutor() as pool:
        reading = pool.submit(job, site, 'dashboard', *dashboard, steps=[{'subscribe': 'plant/#', 'qos': 1}, {'collect': 3}])
        site.daemon.event('subscribed', client_id='dashboard')
        for qos in (0, 1, 2):
            got = job(site, 'sensor-1', *sensor, steps=[
                {'publish': PLANT % 'sensor-1', 'payload': 'q%d' % qos, 'qos': qos}])
            assert got['steps'] == [{'ok': True}], got
        got = reading.result()
    assert [m['payload'] for m in got['messages']] == ['q0', 'q1', 'q2'], got
    assert {m['topic'] for m in got['messages']} == {PLANT % 'sensor-1'}


@pytest.mark.parametrize('qos', [1, 2])
def test_publishing_outside_the_scope_is_refused_with_a_reason(site, qos):
    """MT-96: PUBACK or PUBREC 0x87"""
    token, key = credentials(site, site.sensor, 'HS256')
    got = job(site, 'sensor-1', token, key, steps=[{'publish': PLANT % 'sensor-2', 'payload': '1', 'qos': qos}])
    assert got['steps'][0]['ok'] is False and got['steps'][0]['code'] == 0x87, got
    event = site.daemon.event('publish_refused', client_id='sensor-1')
    assert event.fields['clause'] and event.fields['why']


def test_publishing_outside_the_scope_with_qos_0_ends_the_connection(site):
    """MT-97: DISCONNECT 0x87"""
    token, key = credentials(site, site.sensor, 'HS256')
    got = job(site, 'sensor-1', token, key, steps=[{'publish': 'elsewhere', 'qos': 0}, {'collect': 1}])
    assert got['disconnect']['code'] == 0x87 and got['disconnect']['reason'], got


def test_subscribing_wider_than_granted_is_refused(site):
    """MT-82, MT-99"""
    token, key = credentials(site, site.dashboard, 'HS256')
    got = job(site, 'dashboard', token, key, steps=[
        {'subscribe': 'plant/+/temperature'}, {'subscribe': '#'}, {'subscribe': 'other'}, {'subscribe': '+/x/temperature'}])
    assert got['steps'][0]['ok'] is True, got
    for step in got['steps'][1:]:
        assert step['ok'] is False and (step.get('codes') == [0x87] or step.get('code') == 0x87), got


def test_without_a_token_the_broker_says_where_to_get_one(site):
    """MT-91, MT-92, AF-10, AF-11: CONNACK 0x87 with ace_as_hint"""
    got = job(site, 'newcomer')
    assert got['connack']['code'] == 0x87 and got['connack']['reason']
    hint = json.loads(got['connack']['properties']['userProperties']['ace_as_hint'])
    assert hint['AS'] == site.server.url + '/token'
    assert hint.get('audience') == AUDIENCE


@pytest.mark.parametrize('proof', ['exporter', 'challenge'])
def test_a_stolen_token_opens_nothing(site, proof):
    """MT-65: the thief has the token but not the key"""
    token, _ = credentials(site, site.sensor, 'EdDSA')
    thief = jose.Ed25519().jwk(private=True)
    got = job(site, 'sensor-1', token, thief, proof)
    assert got['connack']['code'] == 0x87 and got['connack']['reason'], got
    token, _ = credentials(site, site.sensor, 'HS256')
    got = job(site, 'sensor-1', token, {'kty': 'oct', 'k': jose.b64(bytes(32))}, proof)
    assert got['connack']['code'] == 0x87, got


@pytest.mark.threads
def test_renewal_inside_the_session(site):
    """MT-102, MT-103, MT-105: AUTH 0x19, challenge, answer, AUTH 0x00; the session goes on"""
    token, key = credentials(site, site.sensor, 'EdDSA')
    fresh, fresh_key = credentials(site, site.sensor, 'HS256')
    got = job(site, 'sensor-1', token, key, steps=[
        {'publish': PLANT % 'sensor-1', 'qos': 1}, {'reauthenticate': fresh, 'key': fresh_key},
        {'publish': PLANT % 'sensor-1', 'qos': 1}])
    assert got['steps'] == [{'ok': True}] * 3, got


def test_a_token_for_another_audience_is_refused(site):
    """MT-67, TK-54"""
    site.server.add_rs('other.example', key='generate')
    site.server.allow('client:sensor-1', 'other.example', '#', 'pub', 'sub')
    key = jose.Ed25519()
    token = site.server.token(site.sensor, 'other.example', key=key)['access_token']
    got = job(site, 'sensor-1', token, key.jwk(private=True))
    assert got['connack']['code'] == 0x87 and 'aud' in got['connack']['reason'], got


def test_signing_keys_may_change_while_everything_runs(site):
    """TK-44: an unknown kid makes the broker fetch the key set again, once"""
    site.server.admin('keys.rotate')
    token, key = credentials(site, site.sensor, 'EdDSA')
    got = job(site, 'sensor-1', token, key, steps=[{'publish': PLANT % 'sensor-1', 'qos': 1}])
    assert got['connack']['code'] == 0 and got['steps'] == [{'ok': True}], got


def test_reference_tokens_are_introspected(site):
    """MT-66, AF-64, AF-83: the answer's cnf is the key; after revocation the door is shut"""
    server = site.server
    server.admin('rs.set', rs_id=AUDIENCE, token_format='reference')
    try:
        got = server.token(site.sensor, AUDIENCE)
        token, key = got['access_token'], got['cnf']['jwk']
        assert '.' not in token
        steps = [{'publish': PLANT % 'sensor-1', 'qos': 1}]
        got = job(site, 'sensor-1', token, key, steps=steps)
        assert got['connack']['code'] == 0 and got['steps'] == [{'ok': True}], got
        server.admin('token.revoke', client_id='sensor-1')
        got = job(site, 'sensor-1', token, key, steps=steps)
        assert got['connack']['code'] == 0x87, got
    finally:
        server.admin('rs.set', rs_id=AUDIENCE, token_format='jwt')


def test_a_renewed_token_replaces_the_rights(site):
    """MT-107: a subscription no longer covered is dropped"""
    server = site.server
    visitor = server.add_client('visitor')
    server.allow('client:visitor', AUDIENCE, 'hall/#', 'sub')
    server.allow('client:visitor', AUDIENCE, 'door/#', 'sub')
    first = server.token(visitor, AUDIENCE, scope=jose.scope_text([['hall/#', ['sub']]]))
    second = server.token(visitor, AUDIENCE, scope=jose.scope_text([['door/#', ['sub']]]))
    got = job(site, 'visitor', first['access_token'], first['cnf']['jwk'], steps=[
        {'subscribe': 'hall/a'}, {'subscribe': 'door/a'},
        {'reauthenticate': second['access_token'], 'key': second['cnf']['jwk']},
        {'subscribe': 'door/a'}, {'subscribe': 'hall/b'}])
    assert [s['ok'] for s in got['steps']] == [True, False, True, True, False], got
    assert site.daemon.event('subscription_lost', client_id='visitor')
