"""Tokens that must not open anything (tokens digest, section 7), each refused with a reason string that names the rule and
one log event. The issuer here is this test; the broker has its key from a file."""
import os
import struct
import time

import jose_by_hand as jose
import pytest
import mqtt5
from mqtt5 import AUTH, CONNACK, DISCONNECT, SUBACK, Client, auth, connect, subscribe

AUDIENCE = 'broker.example'
ISSUER = 'https://as.test'
SIGNER = jose.Ed25519('signer-1')
NOW = int(time.time())


@pytest.fixture(scope='module')
def broker(make_broker):
    return make_broker(audience=AUDIENCE, issuers=[{'iss': ISSUER, 'jwks': {'keys': [SIGNER.jwk()]}}])


@pytest.fixture(scope='module')
def pop():
    return jose.Ed25519()


def claims(pop, **more):
    out = {'iss': ISSUER, 'aud': AUDIENCE, 'sub': 'c', 'client_id': 'c', 'iat': NOW, 'exp': NOW + 3000, 'jti': 'x',
           'scope': jose.scope_text([['a/#', ['pub', 'sub']]]), 'cnf': {'jwk': pop.jwk()}}
    out.update(more)
    return {k: v for k, v in out.items() if v is not Ellipsis}


def offer(broker, token, key):
    with Client(broker.port, broker.ca) as client:
        return client.open_ace('c', token, key)


def refused(broker, token, key):
    before = len(broker.daemon.find('connect_refused'))
    got = offer(broker, token, key)
    assert got.kind == CONNACK and got.reason == 0x87, got  # MT-90
    assert got.why, 'every refusal has a reason string'
    event = broker.daemon.event('connect_refused', before + 1)
    assert event.fields['clause'] and event.fields['why'], event
    assert token not in broker.daemon.log()
    return got


def test_the_good_one_is_good(broker, pop):
    assert offer(broker, jose.jws(SIGNER, claims(pop)), pop).reason == 0


@pytest.mark.parametrize('scope', [
    [['a/#', ['pub']]], '[["a/#",["pub"]]]', jose.scope_text([['a/#', ['pub']]]), []], ids=['array', 'text', 'base64url', 'empty'])
def test_every_carriage_of_scope(broker, pop, scope):
    """D-20, MT-83, MT-86"""
    assert offer(broker, jose.jws(SIGNER, claims(pop, scope=scope)), pop).reason == 0


def test_without_a_scope_there_are_no_rights(broker, pop):
    """MT-83: the connection may succeed; nothing else does"""
    with Client(broker.port, broker.ca) as client:
        assert client.open_ace('c', jose.jws(SIGNER, claims(pop, scope=...)), pop).reason == 0
        client.send(subscribe(1, [('a/b', 0)]))
        assert client.expect(SUBACK).codes == [0x87]


SIGNED = {
    'expired': {'exp': NOW - 3600}, 'not yet valid': {'nbf': NOW + 3600}, 'issued in the future': {'iat': NOW + 7200},
    'exp as text': {'exp': str(NOW + 300)}, 'exp negative': {'exp': -1}, 'exp beyond 2^53': {'exp': 2 ** 60},
    'no end': {'exp': ...}, 'exp a fraction of null': {'exp': None},
    'other audience': {'aud': 'other.example'}, 'audience in other case': {'aud': 'BROKER.example'},
    'audience a prefix': {'aud': 'broker.exampl'}, 'audience list without us': {'aud': ['a', 'b']}, 'no audience': {'aud': ...},
    'other issuer': {'iss': 'https://evil.test'}, 'issuer a number': {'iss': 1},
    'scope not AIF': {'scope': 'read write'}, 'scope with unknown permission': {'scope': [['a', ['own']]]},
    'scope with a bad filter': {'scope': [['a/#/b', ['pub']]]}, 'scope entry twice': {'scope': [['a', ['pub']], ['a', ['pub']]]},
    'no cnf': {'cnf': ...}, 'cnf empty': {'cnf': {}}, 'cnf with kid only': {'cnf': {'kid': 'x'}},
    'cnf a secret in the clear': {'cnf': {'jwk': {'kty': 'oct', 'k': jose.b64(bytes(32))}}},
    'cnf with the private part': {'cnf': {'jwk': SIGNER.jwk(private=True)}},
    'cnf the signing key': {'cnf': {'jwk': SIGNER.jwk()}},
    'cnf a point of order one': {'cnf': {'jwk': {'kty': 'OKP', 'crv': 'Ed25519', 'x': jose.b64(b'\x01' + bytes(31))}}},
    'cnf RSA': {'cnf': {'jwk': {'kty': 'RSA', 'n': 'AQAB', 'e': 'AQAB'}}},
    'cnf for encryption only': {'cnf': {'jwk': dict(jose.Ed25519().jwk(), use='enc')}},
    'profile of another kind': {'ace_profile': 'coap_dtls'},
}


@pytest.mark.parametrize('name', SIGNED)
def test_claims(broker, pop, name):
    """MT-66, MT-67, MT-87, AF-63, AF-94, AF-107, TK-2, TK-52, TK-53, TK-54, TK-55, TK-56, TK-57, TK-58, TK-60, TK-65"""
    refused(broker, jose.jws(SIGNER, claims(pop, **SIGNED[name])), pop)


HEADERS = {
    'crit': {'crit': ['exp'], 'exp': 1}, 'crit unknown': {'crit': ['b64'], 'b64': False}, 'crit empty': {'crit': []},
    'unknown kid': {'kid': 'nobody'}, 'kid of path': {'kid': '../../etc/passwd'}, 'kid a number': {'kid': 7},
    'kid very long': {'kid': 'k' * 4000}, 'typ of a DPoP proof': {'typ': 'dpop+jwt'}, 'typ of a logout token': {'typ': 'logout+jwt'},
}


@pytest.mark.parametrize('name', HEADERS)
def test_headers(broker, pop, name):
    """TK-24, TK-44, TK-45, TK-47"""
    refused(broker, jose.jws(SIGNER, claims(pop), **HEADERS[name]), pop)


def test_keys_brought_along_are_not_used(broker, pop):
    """TK-46: jwk, jku, x5u, x5c in the header"""
    evil = jose.Ed25519()
    for extra in ({'jwk': evil.jwk()}, {'jku': 'https://127.0.0.1/jwks'}, {'x5u': 'https://127.0.0.1/x'}, {'x5c': ['MA==']}):
        evil.kid = 'signer-1'
        refused(broker, jose.jws(evil, claims(pop), **extra), pop)


def mangle(token, how):
    head, body, sig = token.split('.')
    raw = jose.unb64(sig)
    flipped = bytes([raw[0] ^ 1]) + raw[1:]
    return {
        'signature flipped': '.'.join([head, body, jose.b64(flipped)]),
        'signature short': '.'.join([head, body, jose.b64(raw[:-1])]),
        'signature empty': head + '.' + body + '.',
        'signature long': '.'.join([head, body, jose.b64(raw + b'\0')]),
        'body changed': '.'.join([head, jose.b64(jose.unb64(body) + b' '), sig]),
        'four parts': token + '.x', 'two parts': head + '.' + body, 'one part': head, 'no bytes': '',
        'padding': '.'.join([head + '=', body, sig]), 'blank': token + '\n', 'plus and slash': '+/' + token[2:],
        'trailing bits': '.'.join([head, body, sig[:-1] + chr(ord(sig[-1]) + 1 if sig[-1] not in 'Zz9_' else ord('B'))]),
        'JSON serialization': '{"payload":"%s","protected":"%s","signature":"%s"}' % (body, head, sig),
        'NUL inside': token[:10] + '\0' + token[11:],
    }[how]


@pytest.mark.parametrize('how', [
    'signature flipped', 'signature short', 'signature empty', 'signature long', 'body changed', 'four parts', 'two parts',
    'one part', 'no bytes', 'padding', 'blank', 'plus and slash', 'trailing bits', 'JSON serialization', 'NUL inside'])
def test_forms(broker, pop, how):
    """TK-23, TK-51, TK-63"""
    with Client(broker.port, broker.ca) as client:
        got = client.open_ace('c', mangle(jose.jws(SIGNER, claims(pop)), how), pop)
        assert got.kind == CONNACK and got.reason == 0x87 and got.why, got


RAW = {
    'duplicate claim': b'{"iss":"%s","iss":"x"}' % ISSUER.encode(), 'an array': b'[]', 'text': b'"x"', 'cut': b'{"iss":',
    'deep': b'{"a":' * 200 + b'1' + b'}' * 200, 'NaN': b'{"exp":NaN}', 'not UTF-8': b'{"iss":"\xff"}', 'nothing': b'',
    'trailing': b'{} {}', 'large': b'{"a":"' + b'x' * 7000 + b'"}',
}


@pytest.mark.parametrize('name', RAW)
def test_payloads_that_are_no_claims(broker, pop, name):
    """TK-48, TK-49, TK-50: signed all right, still refused"""
    refused(broker, jose.jws(SIGNER, RAW[name]), pop)


def test_an_oversized_token_is_refused(broker, pop):
    token = jose.jws(SIGNER, claims(pop, padding='x' * 20000))
    with Client(broker.port, broker.ca) as client:
        got = client.open_ace('c', token, pop)
        assert got.kind in (CONNACK, DISCONNECT) and got.reason in (0x87, 0x95), got


def test_a_reference_is_refused_where_nobody_can_be_asked(broker, pop):
    """AF-64: no introspection configured"""
    refused(broker, jose.b64(os.urandom(32)), pop)


# ---- proofs ----

def start(broker, token, **more):
    client = Client(broker.port, broker.ca)
    client.send(connect('c', authentication_method='ace', authentication_data=struct.pack('>H', len(token)) + token.encode(), **more))
    got = client.expect(AUTH)
    return client, got.props['authentication_data']


def end_of_proof(client, data, **more):
    client.send(auth(0x18, data, **more))
    got = client.receive()
    client.close()
    return got


def test_proofs_of_the_wrong_length_or_over_the_wrong_bytes(broker, pop):
    """MT-57, MT-63, MT-65, D-1"""
    token, nonce = jose.jws(SIGNER, claims(pop)), bytes(8)
    for make in (lambda n: nonce + pop.prove(n + nonce)[:-1], lambda n: nonce + pop.prove(n + nonce) + b'\0',
                 lambda n: nonce + pop.prove(nonce + n), lambda n: nonce + pop.prove(n), lambda n: nonce, lambda n: b'',
                 lambda n: nonce + bytes(64), lambda n: b'\x00\x07' + nonce[:7] + pop.prove(n + nonce[:7]),
                 lambda n: nonce[:4] + pop.prove(n + nonce[:4])):
        client, challenge = start(broker, token)
        got = end_of_proof(client, make(challenge))
        assert got.kind in (CONNACK, DISCONNECT) and got.reason in (0x87, 0x82, 0x81) and got.why, got


def test_a_replayed_answer_is_refused(broker, pop):
    """MT-62: an answer fits its own challenge only"""
    token, nonce = jose.jws(SIGNER, claims(pop)), os.urandom(8)
    client, challenge = start(broker, token)
    answer = nonce + pop.prove(challenge + nonce)
    assert end_of_proof(client, answer).reason == 0
    client, other = start(broker, token)
    assert other != challenge
    got = end_of_proof(client, answer)
    assert got.reason == 0x87 and got.why


def test_other_packets_before_connack_end_it(broker, pop):
    """MT-54: only AUTH and DISCONNECT until CONNACK"""
    for packet in (mqtt5.publish('a/b'), mqtt5.subscribe(1, [('a/b', 0)]), mqtt5.PING):
        client, _ = start(broker, jose.jws(SIGNER, claims(pop)))
        client.send(packet)
        got = client.receive()
        assert got.kind in (CONNACK, DISCONNECT) and got.reason in (0x82, 0x87), got
        client.expect_closed()


def test_auth_with_another_method_or_reason(broker, pop):
    """MT-58"""
    for kwargs in ({'method': 'SCRAM'}, ):
        client, challenge = start(broker, jose.jws(SIGNER, claims(pop)))
        got = end_of_proof(client, bytes(8) + pop.prove(challenge + bytes(8)), **kwargs)
        assert got.reason in (0x82, 0x8C, 0x87), got
    client, challenge = start(broker, jose.jws(SIGNER, claims(pop)))
    client.send(auth(0x19, b'\x00\x01x'))
    assert client.receive().reason in (0x82, 0x87)
    client.close()


DATA = {
    'empty': b'', 'one byte': b'\x00', 'length beyond the data': b'\x00\x09abc', 'length zero': b'\x00\x00',
    'length zero and a proof': b'\x00\x00' + bytes(64), 'largest length': b'\xff\xff' + bytes(100),
}


@pytest.mark.parametrize('name', DATA)
def test_authentication_data_that_does_not_parse(broker, name):
    """MT-52, MT-90"""
    with Client(broker.port, broker.ca) as client:
        client.send(connect('c', authentication_method='ace', authentication_data=DATA[name]))
        got = client.expect(CONNACK)
        assert got.reason == 0x87 and got.why, got


def test_an_unanswered_challenge_is_given_up(make_broker, pop):
    """MT-62: bounded life; limits.auth_timeout"""
    hasty = make_broker(audience=AUDIENCE, issuers=[{'iss': ISSUER, 'jwks': {'keys': [SIGNER.jwk()]}}],
                        **{'limits.auth_timeout': '1s'})
    client, _ = start(hasty, jose.jws(SIGNER, claims(pop)))
    got = client.receive()
    assert got.kind in (CONNACK, DISCONNECT) and got.reason >= 0x80
    client.close()
    assert hasty.daemon.event('connect_refused').fields['clause'] == 'limits.auth_timeout'


def test_a_will_outside_the_scope_is_refused(broker, pop):
    """MT-84, MT-90"""
    token = jose.jws(SIGNER, claims(pop))
    with Client(broker.port, broker.ca) as client:
        got = client.open_ace('c', token, pop, will=('elsewhere', 'x', 0, False, {}))
        assert got.kind == CONNACK and got.reason == 0x87 and got.why
    with Client(broker.port, broker.ca) as client:
        assert client.open_ace('c', token, pop, will=('a/will', 'x', 0, False, {})).reason == 0
