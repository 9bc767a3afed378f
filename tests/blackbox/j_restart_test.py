"""Ends without a word (kill -9) of either daemon, and what is there afterwards."""
import os
import stat
import subprocess

import jose_by_hand as jose
import mqtt5
import pytest
from mqtt5 import CONNACK, PUBACK, Client, SecretKey
from world import WAIT, program

AUDIENCE = 'broker.example'


@pytest.fixture(scope='module')
def site(as_server, make_broker):
    rs = as_server.add_rs('refs.example', token_format='reference')
    broker = make_broker(as_server=as_server, audience=AUDIENCE, workers=2)
    for audience in (AUDIENCE, 'refs.example'):
        as_server.allow('any', audience, 'a/#', 'pub', 'sub')
    broker.server, broker.refs = as_server, rs
    return broker


def introspect(site, token):
    return site.server.post_form('/introspect', {'token': token}, user=site.refs).json


def test_tokens_clients_and_policy_outlive_the_server(site):
    server = site.server
    client = server.add_client('survivor')
    token = server.token(client, 'refs.example')['access_token']
    gone = server.token(client, 'refs.example')['access_token']
    server.post_form('/revoke', {'token': gone}, user=client)
    keys = server.request('GET', '/jwks.json').json
    server.restart(kill=True)
    assert introspect(site, token)['active'] is True
    assert introspect(site, gone) == {'active': False}
    assert server.request('GET', '/jwks.json').json == keys
    assert server.token(client, AUDIENCE)['access_token']
    assert server.admin('audit.verify')['entries'] > 0


def test_a_proof_cannot_be_used_again_after_a_restart(site):
    server = site.server
    client, key = server.add_client('careful'), jose.Ed25519()
    body = dict(server.credentials(client), audience=AUDIENCE, req_cnf={'jwk': key.jwk()}, req_cnf_proof=server.proof(key, 'careful'))
    assert server.post_json('/token', body).code == 200
    server.restart(kill=True)
    assert server.post_json('/token', body).code == 400


def test_init_refuses_to_overwrite(site):
    before = open(site.server.ca, encoding='ascii').read()
    done = subprocess.run([program('symbolon-as'), 'init', site.server.dir], capture_output=True, text=True, timeout=WAIT)
    assert done.returncode != 0 and done.stderr
    assert open(site.server.ca, encoding='ascii').read() == before


def test_init_says_what_an_unfinished_init_left(tmp_path):
    folder = tmp_path / 'as'
    folder.mkdir()
    (folder / 'ca.key').write_text('half', encoding='ascii')
    done = subprocess.run([program('symbolon-as'), 'init', str(folder)], capture_output=True, text=True, timeout=WAIT)
    assert done.returncode != 0 and 'did not finish' in done.stderr
    assert (folder / 'ca.key').read_text(encoding='ascii') == 'half'


def test_a_certificate_for_a_broker_is_made_once_and_its_key_is_private(site, tmp_path):
    out = str(tmp_path / 'b')
    cert, key = site.server.certificate(out, 'broker.example', '10.0.0.1')
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    subprocess.run(['openssl', 'verify', '-CAfile', site.server.ca, '-verify_hostname', 'broker.example', cert], check=True,
                   capture_output=True)
    before = open(cert, encoding='ascii').read()
    with pytest.raises(subprocess.CalledProcessError):
        site.server.certificate(out, 'broker.example')
    assert open(cert, encoding='ascii').read() == before


def test_the_state_directory_is_closed_to_others(site):
    for folder, names, files in os.walk(site.server.dir):
        del names
        for name in files:
            mode = stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)
            secret = not name.endswith(('ca.pem', 'server.pem'))
            assert not secret or mode & 0o077 == 0, (name, oct(mode))


def publish(site, token, key, name='survivor'):
    with Client(site.port, site.ca) as client:
        got = client.open_ace(name, token, key)
        assert got.kind == CONNACK and got.reason == 0, got
        client.send(mqtt5.publish('a/x', 'x', qos=1, packet_id=1))
        assert client.expect(PUBACK).reason in (0, 0x10)


def test_the_broker_comes_back_and_the_same_token_still_works(site):
    got = site.server.token(site.server.add_client('patient'), AUDIENCE)
    token, key = got['access_token'], SecretKey(jose.unb64(got['cnf']['jwk']['k']))
    publish(site, token, key, 'patient')
    site.restart(kill=True)
    publish(site, token, key, 'patient')


def test_a_broker_without_its_server_still_verifies_what_it_has_keys_for(site):
    """and refuses, with a reason, what it would have to ask about"""
    got = site.server.token(site.server.add_client('offline'), AUDIENCE)
    key = SecretKey(jose.unb64(got['cnf']['jwk']['k']))
    publish(site, got['access_token'], key, 'offline')
    site.server.daemon.stop()
    try:
        publish(site, got['access_token'], key, 'offline')
        with Client(site.port, site.ca) as client:
            got = client.open_ace('offline', jose.b64(bytes(32)), key)
            assert got.kind == CONNACK and got.reason in (0x87, 0x88) and got.why, got
    finally:
        site.server.start()
