"""npm jose as a second opinion: it verifies our tokens by our key set, reads our encrypted ones, and makes tokens that
our broker takes or, where it should, refuses."""
import json
import time

import jose_by_hand as jose
import pytest
from mqtt5 import CONNACK, Client, SecretKey
from world import node

AUDIENCE = 'broker.example'
ISSUER = 'https://other-as.example'


@pytest.fixture(scope='module')
def pair():
    """The key pair of a foreign authorization server, made by jose."""
    made = node('witness_jose.mjs', {'generate': 'EdDSA'})
    kid = 'foreign-1'
    return {'kid': kid, 'private': dict(made['private'], kid=kid), 'public': dict(made['public'], kid=kid, alg='EdDSA', use='sig')}


@pytest.fixture(scope='module')
def es256():
    made = node('witness_jose.mjs', {'generate': 'ES256'})
    return {'private': dict(made['private'], kid='foreign-2'), 'public': dict(made['public'], kid='foreign-2', alg='ES256')}


@pytest.fixture(scope='module')
def shared():
    return {'kty': 'oct', 'k': jose.b64(bytes(range(32))), 'kid': 'shared-1', 'alg': 'A256KW'}


@pytest.fixture(scope='module')
def broker(make_broker, pair, es256, shared):
    return make_broker(audience=AUDIENCE, issuers=[
        {'iss': ISSUER, 'jwks': {'keys': [pair['public'], es256['public']]}, 'shared': shared}])


def claims(pop, **more):
    now = int(time.time())
    out = {'iss': ISSUER, 'aud': AUDIENCE, 'sub': 'sensor', 'client_id': 'sensor', 'iat': now, 'exp': now + 300, 'jti': 'j1',
           'scope': jose.scope_text([['a/#', ['pub', 'sub']]]), 'cnf': {'jwk': pop.jwk()}}
    out.update(more)
    return out


def make(key, body, **header):
    got = node('witness_jose.mjs', {'make': {'claims': body, 'header': header}, 'key': key})
    return got['token']


def connack(broker, token, key, client_id='sensor'):
    with Client(broker.port, broker.ca) as client:
        got = client.open_ace(client_id, token, key)
        assert got.kind == CONNACK, got
        return got


def test_jose_verifies_our_tokens_by_our_key_set(as_server):
    """RFC 7515, RFC 7517, RFC 8037"""
    as_server.add_rs(AUDIENCE, key='generate')
    as_server.allow('any', AUDIENCE, 'a/#', 'pub')
    client, key = as_server.add_client('jose-client'), jose.Ed25519()
    token = as_server.token(client, AUDIENCE, key=key)['access_token']
    jwks = as_server.request('GET', '/jwks.json').json
    got = node('witness_jose.mjs', {'verify': token, 'jwks': jwks, 'issuer': as_server.url, 'audience': AUDIENCE})
    payload = got['payload']
    assert payload['cnf']['jwk']['x'] == key.jwk()['x'] and payload['client_id'] == 'jose-client'
    assert json.loads(jose.unb64(payload['scope'])) == [['a/#', ['pub']]]  # MT-86: base64url of the JSON
    assert got['header']['alg'] == 'EdDSA'
    kid = jwks['keys'][0]
    assert node('witness_jose.mjs', {'thumbprint': kid})['thumbprint'] == kid['kid']  # RFC 7638


def test_jose_decrypts_what_we_encrypt_for_the_broker(as_server):
    """MT-14: RFC 7516 with the key that server and broker share"""
    shared = as_server.add_rs('jwe.example', key='generate').shared
    as_server.allow('any', 'jwe.example', 'a/#', 'pub')
    got = as_server.token(as_server.add_client('secretive'), 'jwe.example')
    plain = node('witness_jose.mjs', {'decrypt': got['access_token'], 'key': shared})
    inside = json.loads(plain['plaintext'])
    assert inside['cnf']['jwk']['k'] == got['cnf']['jwk']['k'] and inside['aud'] == 'jwe.example'
    assert plain['header']['kid'] == shared['kid']


def test_a_token_signed_by_jose_opens_the_door(broker, pair):
    key = jose.Ed25519()
    token = make(pair['private'], claims(key), alg='EdDSA', typ='at+jwt', kid=pair['kid'])
    assert connack(broker, token, key).reason == 0


def test_es256_and_no_typ(broker, es256):
    """TK-24"""
    key = jose.Ed25519()
    assert connack(broker, make(es256['private'], claims(key), alg='ES256', kid='foreign-2'), key).reason == 0


@pytest.mark.parametrize('alg,enc', [('A256KW', 'A256GCM'), ('A256KW', 'A128CBC-HS256'), ('A256KW', 'A128GCM'), ('dir', 'A256GCM')])
def test_a_token_encrypted_by_jose_with_a_secret_inside(broker, shared, alg, enc):
    """MT-14, TK-22: HS256 proof with the key from the encrypted token"""
    secret = bytes(range(32, 64))
    body = claims(jose.Ed25519(), cnf={'jwk': {'kty': 'oct', 'k': jose.b64(secret)}})
    token = node('witness_jose.mjs', {'encrypt': body, 'key': shared, 'header': {'alg': alg, 'enc': enc, 'kid': shared['kid']}})
    if alg == 'dir' and 'token' not in token:
        pytest.fail(repr(token))
    got = connack(broker, token['token'], SecretKey(secret))
    assert got.reason == 0, got


def test_a_secret_encrypted_by_jose_inside_a_signed_token(broker, pair, shared):
    """RFC 7800 3.3, MT-14: cnf with jwe; readable by the broker only, so it may travel in a token that is only signed"""
    secret = bytes(range(64, 96))
    header = {'alg': 'A256KW', 'enc': 'A256GCM', 'kid': shared['kid']}
    jwk = {'kty': 'oct', 'k': jose.b64(secret)}
    for key, reason in ((shared, 0), (dict(shared, k=jose.b64(bytes(32))), 0x87)):
        inner = node('witness_jose.mjs', {'encrypt': jwk, 'key': key, 'header': header})['token']
        token = node('witness_jose.mjs', {'key': pair['private'], 'make': {
            'claims': claims(jose.Ed25519(), cnf={'jwe': inner}), 'header': {'alg': 'EdDSA', 'typ': 'JWT', 'kid': pair['kid']}}})
        assert connack(broker, token['token'], SecretKey(secret)).reason == reason


def test_compressed_jwe_is_refused(broker, shared):
    """TK-62"""
    token = node('witness_jose.mjs', {'encrypt': claims(jose.Ed25519()), 'key': shared,
                                      'header': {'alg': 'A256KW', 'enc': 'A256GCM', 'kid': shared['kid']}})['token']
    parts = token.split('.')
    header = dict(json.loads(jose.unb64(parts[0])), zip='DEF')
    parts[0] = jose.b64(jose.dump(header))
    got = connack(broker, '.'.join(parts), jose.Ed25519())
    assert got.reason == 0x87 and got.why


def test_alg_none_is_refused(broker):
    """TK-40"""
    key = jose.Ed25519()
    for alg in ('none', 'None', 'NONE', 'nOnE'):
        token = '.'.join([jose.b64(jose.dump({'alg': alg, 'kid': 'foreign-1'})), jose.b64(jose.dump(claims(key))), ''])
        got = connack(broker, token, key)
        assert got.reason == 0x87 and got.why, got


def test_key_confusion_is_refused(broker, pair):
    """TK-41: HS256 with the public key, in every spelling of it, as the secret"""
    key, public = jose.Ed25519(), pair['public']
    raw = jose.unb64(public['x'])
    der = bytes.fromhex('302a300506032b6570032100') + raw
    pem = b'-----BEGIN PUBLIC KEY-----\n' + jose.base64.b64encode(der) + b'\n-----END PUBLIC KEY-----\n'
    for secret in (raw, der, pem, jose.dump(public), public['x'].encode()):
        token = jose.hs256(secret, {'alg': 'HS256', 'typ': 'JWT', 'kid': pair['kid']}, claims(key))
        got = connack(broker, token, key)
        assert got.reason == 0x87 and got.why, got


def test_a_signature_of_the_other_algorithm_is_refused(broker, pair, es256):
    """The key decides the algorithm: an EdDSA signature under the kid of an ES256 key, and the reverse"""
    key = jose.Ed25519()
    for private, alg, kid in ((pair['private'], 'EdDSA', 'foreign-2'), (es256['private'], 'ES256', 'foreign-1')):
        token = make(dict(private, kid=kid), claims(key), alg=alg, kid=kid)
        assert connack(broker, token, key).reason == 0x87
