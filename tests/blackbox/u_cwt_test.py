"""npm cose-js as a second opinion on CWTs: it makes tokens that our broker takes or, where it should, refuses, and reads
those our authorization server makes."""
import time

import jose_by_hand as jose
import pytest
from mqtt5 import CONNACK, Client, SecretKey
from world import node

AUDIENCE = 'cwt.example'
ISSUER = 'https://cose-as.example'
SHARED, SMALL, MAC = bytes(range(32)), bytes(range(16)), bytes(range(100, 132))


@pytest.fixture(scope='module')
def es256():
    made = node('witness_jose.mjs', {'generate': 'ES256'})
    return {'private': dict(made['private'], kid='cose-1'), 'public': dict(made['public'], kid='cose-1', alg='ES256')}


@pytest.fixture(scope='module')
def broker(make_broker, es256):
    mac = {'kty': 'oct', 'k': jose.b64(MAC), 'kid': 'cose-mac'}
    return make_broker(audience=AUDIENCE, issuers=[
        {'iss': ISSUER, 'jwks': {'keys': [es256['public'], mac]},
         'shared': {'kty': 'oct', 'k': jose.b64(SHARED), 'kid': 'cose-shared'}},
        {'iss': ISSUER + '/small', 'jwks': {'keys': []},
         'shared': {'kty': 'oct', 'k': jose.b64(SMALL), 'kid': 'cose-small'}}])


def claims(jwk, **more):
    now = int(time.time())
    return dict({'iss': ISSUER, 'aud': AUDIENCE, 'exp': now + 300, 'iat': now, 'cti': 'c1', 'jwk': jwk,
                 'scope': [['a/#', ['pub', 'sub']]]}, **more)


def make(kind, alg, key, kid, body, tag61=True):
    got = node('witness_cose.mjs', {'make': kind, 'alg': alg, 'key': key, 'kid': kid, 'claims': body, 'tag61': tag61})
    return jose.unb64(got['token'])


def connack(broker, token, key):
    with Client(broker.port, broker.ca) as client:
        got = client.open_ace('sensor', token, key)
        assert got.kind == CONNACK, got
        return got


@pytest.mark.parametrize('tag61', [True, False])
def test_a_foreign_signed_cwt_is_accepted_with_the_proof_of_its_key(broker, es256, tag61):
    """RFC 8392, TK-10, TK-12, MT-66: COSE_Sign1 with ES256"""
    key = jose.Ed25519()
    token = make('sign1', 'ES256', es256['private'], 'cose-1', claims(key.jwk()), tag61)
    assert connack(broker, token, key).reason == 0
    assert connack(broker, token, jose.Ed25519()).reason == 0x87  # the key of somebody else


def test_a_foreign_maced_cwt_is_accepted(broker):
    """TK-12: COSE_Mac0, HMAC 256/256 and 256/64"""
    key = jose.Ed25519()
    for alg in 'HS256', 'HS256/64':
        token = make('mac0', alg, {'k': jose.b64(MAC)}, 'cose-mac', claims(key.jwk()))
        assert connack(broker, token, key).reason == 0, alg


@pytest.mark.parametrize('alg, secret, kid, issuer', [
    ('A256GCM', SHARED, 'cose-shared', ISSUER), ('AES-CCM-16-64-128', SMALL, 'cose-small', ISSUER + '/small'),
    ('AES-CCM-16-128/128', SMALL, 'cose-small', ISSUER + '/small'), ('A128GCM', SMALL, 'cose-small', ISSUER + '/small')])
def test_a_foreign_encrypted_cwt_carries_a_symmetric_key(broker, alg, secret, kid, issuer):
    """MT-14, TK-4: a symmetric key in a COSE_Key, the whole CWT encrypted for the broker"""
    pop = bytes(range(50, 82))
    body = claims({'kty': 'oct', 'k': jose.b64(pop)}, iss=issuer)
    token = make('encrypt0', alg, {'k': jose.b64(secret)}, kid, body)
    assert connack(broker, token, SecretKey(pop)).reason == 0
    assert connack(broker, token, SecretKey(bytes(32))).reason == 0x87


def test_a_foreign_signed_cwt_hides_a_symmetric_key(broker, es256):
    """MT-14, TK-5: Encrypted_COSE_Key, readable by the broker only, in a CWT that is only signed"""
    pop = bytes(range(70, 102))
    for secret, reason in ((SHARED, 0), (bytes(32), 0x87)):
        body = claims({'kty': 'oct', 'k': jose.b64(pop)}, hide={'k': jose.b64(secret), 'kid': 'cose-shared'})
        token = make('sign1', 'ES256', es256['private'], 'cose-1', body)
        assert connack(broker, token, SecretKey(pop)).reason == reason


def test_foreign_cwts_that_should_not_pass_do_not(broker, es256):
    """TK-42, TK-44, TK-52, TK-54, TK-55: each refused with 0x87, and the next good one still passes"""
    key, private = jose.Ed25519(), es256['private']
    good = make('sign1', 'ES256', private, 'cose-1', claims(key.jwk()))
    stranger = node('witness_jose.mjs', {'generate': 'ES256'})['private']
    secret = {'kty': 'oct', 'k': jose.b64(bytes(32))}
    retagged = good.replace(b'\xd8\x3d\xd2', b'\xd8\x3d\xd1', 1)  # Sign1 (18) as Mac0 (17)
    assert retagged != good
    bad = [
        make('sign1', 'ES256', stranger, 'cose-1', claims(key.jwk())),
        make('sign1', 'ES256', private, 'nobody', claims(key.jwk())),
        make('sign1', 'ES256', private, 'cose-1', claims(key.jwk(), aud='other.example')),
        make('sign1', 'ES256', private, 'cose-1', claims(key.jwk(), iss=ISSUER + '/small')),
        make('sign1', 'ES256', private, 'cose-1', claims(key.jwk(), exp=int(time.time()) - 120)),
        make('sign1', 'ES256', private, 'cose-1', claims(secret)),
        make('mac0', 'HS256', {'k': jose.b64(SHARED)}, 'cose-1', claims(key.jwk())),
        make('encrypt0', 'A256GCM', {'k': jose.b64(bytes(32))}, 'cose-shared', claims(secret)),
        retagged, good[:-1], good + b'\x00', good[3:][1:],
    ]
    for number, token in enumerate(bad):
        assert connack(broker, token, key).reason == 0x87, number
    assert connack(broker, good, key).reason == 0


def test_cose_js_reads_the_cwts_of_our_authorization_server(as_server):
    """AF-7, MT-86, RFC 8392: COSE_Sign1 with EdDSA; labels, scope and cnf as the registries have them"""
    as_server.add_rs('signed-cwt.example', token_format='cwt')
    as_server.allow('any', 'signed-cwt.example', 'a/#', 'pub', 'sub')
    client, key = as_server.add_client('cwt-client'), jose.Ed25519()
    answer = as_server.token(client, 'signed-cwt.example', key=key)
    jwks = as_server.request('GET', '/jwks.json').json
    got = node('witness_cose.mjs', {'open': answer['access_token'], 'key': {'x': jwks['keys'][0]['x']}})
    assert 'error' not in got, got
    assert got['layers'] == [18] and got['alg'] == -8
    assert got['iss'] == as_server.url and got['aud'] == 'signed-cwt.example' and got['profile'] == 3
    assert got['scope'] == [['a/#', ['pub', 'sub']]]
    assert [1, 1] in got['cnf'] and [-1, 6] in got['cnf'] and [-2, key.jwk()['x']] in got['cnf']
    assert len(got['labels']) == len(set(got['labels']))


def test_cose_js_decrypts_the_cwts_of_our_authorization_server(as_server):
    """MT-14: the secret is inside, and the client has the same from the answer"""
    shared = as_server.add_rs('sealed-cwt.example', token_format='cwt', key='generate').shared
    as_server.allow('any', 'sealed-cwt.example', 'a/#', 'pub')
    jwks = as_server.request('GET', '/jwks.json').json
    answer = as_server.token(as_server.add_client('sealed-cwt-client'), 'sealed-cwt.example')
    got = node('witness_cose.mjs', {'open': answer['access_token'], 'key': {'k': shared['k'], 'x': jwks['keys'][0]['x']}})
    assert 'error' not in got, got
    assert got['layers'][0] == 16
    assert [1, 4] in got['cnf'] and [-1, answer['cnf']['jwk']['k']] in got['cnf']
