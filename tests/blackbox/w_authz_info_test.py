"""Tokens on authz-info with real daemons: what was answered outlives kill -9; exi tokens and cnonces of our own
authorization server."""
import json
import os
import subprocess

import jose_by_hand as jose
import mqtt5
import pytest
from mqtt5 import CONNACK, DISCONNECT, PUBACK, PUBREC, SUBACK, Client, publish, subscribe
from p_tls_known_test import LITTLE, Through, gnutls_raw, openssl_psk

AUDIENCE = 'broker.example'
NOT_A_TOKEN, NOT_AUTHORIZED = 0x99, 0x87


@pytest.fixture(scope='module')
def site(as_server, make_broker, tmp_path_factory):
    state = tmp_path_factory.mktemp('state')
    broker = make_broker(as_server=as_server, audience=AUDIENCE, workers=2, state_dir=str(state),
                         **{'authz_info.enabled': True})
    broker.server, broker.state = as_server, state
    broker.client = as_server.add_client('meter', default_audience=AUDIENCE)
    as_server.allow('client:meter', AUDIENCE, 'meter/#', 'pub', 'sub')
    return broker


def anybody(broker, name='visitor'):
    client = Client(broker.port, broker.ca)
    client.send(mqtt5.connect(name))
    assert client.expect(CONNACK).reason == 0
    return client


def leave(broker, token, qos=1):
    client = anybody(broker)
    client.send(publish('authz-info', token, qos=qos, packet_id=1))
    reason = client.expect(PUBACK if qos == 1 else PUBREC).reason
    client.close()
    return reason


def files(folder, key):
    """The private and the public key as gnutls-cli wants them."""
    private, public = str(folder / 'k.pem'), str(folder / 'p.pem')
    with open(private, 'wb') as f:
        f.write(key.pem)
    subprocess.run(['openssl', 'pkey', '-in', private, '-pubout', '-out', public], check=True, capture_output=True)
    return private, public


def may_publish(client, name, yes=True):
    assert client.open(name).reason == 0
    client.send(publish('meter/1', b'x', qos=1, packet_id=1))
    assert client.expect(PUBACK).reason == (0 if yes else NOT_AUTHORIZED)
    client.close()


def test_what_was_answered_outlives_the_broker(site, tmp_path):
    """MT-33, MT-37, MT-27: PUBACK and PUBREC are promises"""
    signer = jose.Ed25519()
    raw = site.server.token(site.client, AUDIENCE, key=signer)['access_token']
    secret = site.server.token(site.client, AUDIENCE, scope=LITTLE)
    assert leave(site, raw.encode()) == 0
    assert leave(site, secret['access_token'].encode(), qos=2) == 0
    site.restart(kill=True)
    may_publish(Through(*gnutls_raw(site, *files(tmp_path, signer))), 'raw')
    jwk = secret['cnf']['jwk']
    identity = json.dumps({'cnf': {'jwk': {'kty': 'oct', 'kid': jwk['kid']}}})
    may_publish(openssl_psk(site, tmp_path, identity, jose.unb64(jwk['k'])), 'psk')
    mode = os.stat(site.state / 'store' / 'data.mdb').st_mode
    assert mode & 0o077 == 0


def test_a_revoked_token_stays_revoked_after_kill(site):
    """AF-98: also while the authorization server cannot be asked"""
    key = jose.Ed25519()
    got = site.server.token(site.client, AUDIENCE, key=key)['access_token']
    site.server.post_form('/revoke', {'token': got}, user=site.client)
    site.daemon.event('token_status_news', revoked='1')
    assert leave(site, got.encode()) == NOT_AUTHORIZED
    site.restart(kill=True)
    assert leave(site, got.encode()) == NOT_AUTHORIZED


def test_what_is_no_token_is_told_apart(site):
    """MT-35, MT-36, MT-37"""
    assert leave(site, b'\x00\x01') == NOT_A_TOKEN
    assert leave(site, b'\x00\x01', qos=2) == NOT_A_TOKEN
    forged = site.server.token(site.client, AUDIENCE, key=jose.Ed25519())['access_token'][:-6] + 'AAAAAA'
    assert leave(site, forged.encode()) == NOT_AUTHORIZED
    for payload, code in ((b'\x00', NOT_A_TOKEN), (forged.encode(), NOT_AUTHORIZED)):
        client = anybody(site)
        client.send(publish('authz-info', payload))
        assert client.expect(DISCONNECT).reason == code
        client.expect_closed()


def test_nobody_reads_what_is_left_there(site):
    """MT-31"""
    client = anybody(site)
    client.send(subscribe(1, [('authz-info', 1), ('#', 1)]))
    assert client.expect(SUBACK).codes == [NOT_AUTHORIZED, NOT_AUTHORIZED]
    client.close()


SIGNER = jose.Ed25519('signer-1')


def first_seen(pop, sequence, life_s):
    """A token of an issuer of our own (AF-76)."""
    return jose.jws(SIGNER, {'iss': 'https://as.test', 'aud': AUDIENCE, 'sub': 'c', 'exi': life_s, 'cnf': {'jwk': pop.jwk()},
                             'jti': jose.b64(AUDIENCE.encode() + sequence.to_bytes(8, 'big')),
                             'scope': jose.scope_text([['a/#', ['pub', 'sub']]])})


def come(broker, token, key):
    client = Client(broker.port, broker.ca)
    return client, client.open_ace('exi', token, key)


def test_an_exi_token_lives_once(make_broker, tmp_path):
    """AF-75, AF-77, TK-64: whatever happens to the broker"""
    broker = make_broker(audience=AUDIENCE, issuers=[{'iss': 'https://as.test', 'jwks': {'keys': [SIGNER.jwk()]}}],
                         state_dir=str(tmp_path))
    key = jose.Ed25519()
    token = first_seen(key, 7, 3)
    client, got = come(broker, token, key)
    assert got.kind == CONNACK and got.reason == 0, got
    broker.restart(kill=True)
    client, got = come(broker, token, key)
    assert got.kind == CONNACK and got.reason == 0, got
    assert client.expect(DISCONNECT, wait=5).reason == NOT_AUTHORIZED
    for _ in range(2):
        _, got = come(broker, token, key)
        assert got.reason == NOT_AUTHORIZED, got
        _, got = come(broker, first_seen(key, 6, 600), key)
        assert got.reason == NOT_AUTHORIZED and 'AF-77' in got.why, got
        broker.restart(kill=True)
    _, got = come(broker, first_seen(key, 8, 600), key)
    assert got.reason == 0, got


def test_a_broker_without_a_clock(as_server, make_broker):
    """MT-91, AF-15 to AF-19: from the hints to a token that brings the cnonce back"""
    broker = make_broker(as_server=as_server, audience='clockless', **{'token.clock': 'untrusted'})
    client = as_server.add_client('sundial', default_audience='clockless')
    as_server.allow('client:sundial', 'clockless', 'a/#', 'pub')
    key = jose.Ed25519()
    bare = as_server.token(client, 'clockless', key=key)['access_token']
    _, got = come(broker, bare, key)
    assert got.kind == CONNACK and got.reason == NOT_AUTHORIZED and 'AF-18' in got.why
    hints = json.loads(dict(got.props['user_property'])['ace_as_hint'])
    fresh = as_server.token(client, 'clockless', key=key, cnonce=hints['cnonce'])['access_token']
    for _ in range(2):
        _, got = come(broker, fresh, key)
        assert got.reason == 0, got
    again = as_server.token(client, 'clockless', key=key, cnonce=hints['cnonce'])['access_token']
    _, got = come(broker, again, key)
    assert got.reason == NOT_AUTHORIZED and 'TK-64' in got.why, got
