"""Tokens of other authorization servers, signed by another JOSE implementation as those servers sign by default (RS256), and
accepted because the settings say how to read them. What is in them is what Keycloak, Hydra and the users of EMQX put there.
The settings are those of docs/operate/foreign-servers.md, as they stand there."""
import hashlib
import json
import os
import re
import ssl
import time

import jose_by_hand as jose
import mqtt5
import pytest
from mqtt5 import CONNACK, PUBACK, SUBACK, Client
from world import ROOT, make_ca, make_client_certificate, node

PAGE = open(os.path.join(ROOT, 'docs', 'operate', 'foreign-servers.md'), encoding='utf-8').read()
AUDIENCE = 'broker.example'
POP = jose.Ed25519()


def documented(name):
    """The page's settings for the issuer that has this name in it: what is between braces and brackets of YAML is one line."""
    entry, = re.findall(r'  - issuer: https://%s\.example.*\n((?:    .*\n)+)' % name, PAGE)
    pairs = (line.strip().split(': ', 1) for line in entry.splitlines())
    words = {'true': True}
    return {k: v[1:-1].split(', ') if v.startswith('[') else words.get(v, v) for k, v in pairs if k != 'jwks_uri'}


def shown(name):
    """The claims the page shows for it, without what differs from one token to the next."""
    claims, = (json.loads(c) for c in re.findall(r'```json\n(.*?)```', PAGE, re.S) if 'https://%s.example' % name in c)
    return {k: v for k, v in claims.items() if k not in ('iss', 'iat', 'exp')}


@pytest.fixture(scope='module')
def servers():
    made = {}
    for name, alg in (('keycloak', 'RS256'), ('hydra', 'RS256'), ('emqx', 'PS256'), ('pinned', 'ES256')):
        made[name] = dict(node('witness_jose.mjs', {'generate': alg}), iss='https://%s.example' % name, alg=alg)
    return made


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    """Of the clients' certificates: folder, certificate, key."""
    folder = str(tmp_path_factory.mktemp('clients'))
    return folder, *make_ca(folder)


@pytest.fixture(scope='module')
def broker(make_broker, servers, authority):
    settings = {name: documented(name) for name in ('keycloak', 'hydra', 'emqx')}
    settings['pinned'] = {'jwks_pins': [servers['pinned']['thumbprint']]}
    other = node('witness_jose.mjs', {'generate': 'ES256'})
    issuers = []
    for name, server in servers.items():
        keys = [dict(server['public'], kid=name, alg=server['alg'], use='sig')]
        if name == 'pinned':
            keys.append(dict(other['public'], kid='other', alg='ES256'))
            server['other'] = other
        issuers.append({'iss': server['iss'], 'jwks': {'keys': keys}, 'settings': settings[name]})
    assert 'client_certificate: optional\n' in PAGE
    return make_broker(audience=AUDIENCE, issuers=issuers,
                       listener={'client_certificate': 'optional', 'client_ca': authority[1]})


def sign(server, name, claims, kid=None, key=None):
    now = int(time.time())
    body = dict({'iss': server['iss'], 'iat': now, 'exp': now + 300, 'sub': 'press-7', 'jti': 'x'}, **claims)
    got = node('witness_jose.mjs', {'make': {'claims': body, 'header': {
        'alg': server['alg'], 'kid': kid or name, 'typ': 'JWT'}}, 'key': key or server['private']})
    assert 'token' in got, got
    return got['token']


def connack(broker, token):
    client = Client(broker.port, broker.ca)
    return client, client.open_ace('press-7', token, POP)


def opened(broker, token):
    client, got = connack(broker, token)
    assert got.kind == CONNACK and got.reason == 0, got
    return client


def may(client, topic, packet_id=1):
    client.send(mqtt5.publish(topic, 'x', qos=1, packet_id=packet_id))
    return client.expect(PUBACK).reason in (0, 0x10)


CNF = {'jwk': POP.jwk()}
KEYCLOAK = {'aud': ['account', AUDIENCE], 'typ': 'Bearer', 'azp': 'press-7', 'scope': 'email profile', 'cnf': CNF,
            'realm_access': {'roles': ['offline_access']}, 'mqtt': [['plant/press-7/#', ['pub']], ['plant/all', ['sub']]]}


def test_keycloak_with_a_mapper_for_the_scope(broker, servers):
    """RFC 7800 3.2, MT-86: RS256; permissions in a claim of their own"""
    client = opened(broker, sign(servers['keycloak'], 'keycloak', KEYCLOAK))
    assert may(client, 'plant/press-7/x') and not may(client, 'plant/press-8/x', 2)
    client.send(mqtt5.subscribe(1, [('plant/all', 0), ('plant/#', 0)]))
    assert client.expect(SUBACK).codes == [0, 0x87]
    client.close()


@pytest.mark.parametrize('wrong', [
    {'typ': 'ID'}, {'typ': 'Refresh'}, {'cnf': {}}, {'cnf': {'jkt': 'x' * 43}}, {'aud': 'account'}, {'mqtt': 'email'},
    {'exp': 1}, {'iss': 'https://hydra.example'}])
def test_keycloak_tokens_for_other_ends_are_refused(broker, servers, wrong):
    """TK-1, TK-2, TK-24, TK-54, MT-87"""
    assert connack(broker, sign(servers['keycloak'], 'keycloak', dict(KEYCLOAK, **wrong)))[1].reason == 0x87


def with_certificate(broker, files):
    tls = ssl.create_default_context(cafile=broker.ca)
    if files:
        tls.load_cert_chain(*files)
    return Client(broker.port, broker.ca, tls=tls)


def test_a_token_bound_to_a_certificate_needs_that_certificate(broker, servers, authority):
    """MT-26, RFC 8705 3.1: Keycloak's own binding, over real handshakes; the handshake is the proof"""
    mine, other = (make_client_certificate(*authority, name) for name in ('mine', 'other'))
    der = ssl.PEM_cert_to_DER_cert(open(mine[0], encoding='ascii').read())
    claims = dict(shown('keycloak'), cnf={'x5t#S256': jose.b64(hashlib.sha256(der).digest())})
    data = mqtt5.prefixed(sign(servers['keycloak'], 'keycloak', claims))
    for files, reason in ((mine, 0), (other, 0x87), (None, 0x87)):
        with with_certificate(broker, files) as client:
            got = client.open('press-7', authentication_method='ace', authentication_data=data)
            assert got.reason == reason, (files, got)
            if reason == 0:
                assert may(client, 'plant/press-7/x') and not may(client, 'plant/press-8/x', 2)


def test_the_tokens_shown_are_good(broker, servers):
    """of each server the page's own example; only keys and times are ours"""
    for name, topic in (('hydra', 'a/1'), ('emqx', 'up/press-7/1')):
        claims = shown(name)
        (claims['ext'] if 'ext' in claims else claims)['cnf'] = CNF
        client = opened(broker, sign(servers[name], name, claims))
        assert may(client, topic) and not may(client, 'elsewhere', 2)
        client.close()


def test_hydra_with_claims_below_ext_and_no_audience(broker, servers):
    """RFC 6901: /ext/mqtt; an empty `aud` is what Hydra writes when none was asked for"""
    claims = {'aud': [], 'client_id': 'press-7', 'scp': ['mqtt'],
              'ext': {'cnf': CNF, 'mqtt': jose.scope_text([['a/#', ['pub']]])}}
    client = opened(broker, sign(servers['hydra'], 'hydra', claims))
    assert may(client, 'a/1') and not may(client, 'b/1', 2)
    client.close()
    assert connack(broker, sign(servers['hydra'], 'hydra', dict(claims, aud=['other'])))[1].reason == 0x87
    assert connack(broker, sign(servers['hydra'], 'hydra', dict(claims, ext={'mqtt': 'W10'})))[1].reason == 0x87


def test_an_acl_for_emqx(broker, servers):
    """both forms; PS256; an audience of this issuer's own"""
    server = servers['emqx']
    base = {'aud': 'emqx', 'azp': 'press-7', 'cnf': CNF}
    lists = {'pub': ['up/${clientid}/#'], 'sub': ['down/${clientid}'], 'all': ['both']}
    client = opened(broker, sign(server, 'emqx', dict(base, acl=lists)))
    assert may(client, 'up/press-7/x') and not may(client, 'up/press-8/x', 2) and may(client, 'both', 3)
    client.close()
    rules = [{'permission': 'allow', 'action': 'publish', 'topic': 't/${clientid}'},
             {'permission': 'deny', 'action': 'all', 'topic': '#'}]
    client = opened(broker, sign(server, 'emqx', dict(base, acl=rules)))
    assert may(client, 't/press-7') and not may(client, 't/x', 2)
    client.close()
    assert connack(broker, sign(server, 'emqx', dict(base, acl=rules[::-1])))[1].reason == 0x87
    assert connack(broker, sign(server, 'emqx', dict(base, acl=lists, aud=AUDIENCE)))[1].reason == 0x87


def test_only_a_pinned_key_counts(broker, servers):
    """RFC 7638: the set has another key as well, and its tokens are refused"""
    server = servers['pinned']
    claims = {'aud': AUDIENCE, 'cnf': CNF, 'scope': jose.scope_text([['a/#', ['pub']]])}
    opened(broker, sign(server, 'pinned', claims)).close()
    assert connack(broker, sign(server, 'pinned', claims, 'other', server['other']['private']))[1].reason == 0x87
