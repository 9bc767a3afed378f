"""Clients that are known by the TLS handshake (RFC 9431 2.2.1, TLS:Known): openssl and gnutls-cli with tokens as
pre-shared keys, gnutls-cli with raw public keys, and our own command in every mode."""
import json
import os
import socket
import subprocess
import threading

import jose_by_hand as jose
import pytest
from mqtt5 import PUBACK, PUBLISH, SUBACK, Client, connect, publish, subscribe
from world import WAIT, home_env, run_cli

AUDIENCE = 'broker.example'
NOT_AUTHORIZED = 0x87


@pytest.fixture(scope='module')
def site(as_server, make_broker):
    broker = make_broker(as_server=as_server, audience=AUDIENCE, workers=2, **{'authz_info.enabled': True})
    broker.server = as_server
    broker.client = as_server.add_client('meter', default_audience=AUDIENCE)
    as_server.allow('client:meter', AUDIENCE, 'meter/#', 'pub', 'sub')
    return broker


class Pipe:
    """A TLS client in a process of its own, as a socket."""

    def __init__(self, *words):
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.wait, self.said = WAIT, []
        threading.Thread(target=lambda: self.said.append(self.process.stderr.read()), daemon=True).start()

    def settimeout(self, seconds):
        self.wait = seconds

    def sendall(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def recv(self, size):
        got = []
        reader = threading.Thread(target=lambda: got.append(os.read(self.process.stdout.fileno(), size)), daemon=True)
        reader.start()
        reader.join(self.wait)
        if not got:
            raise socket.timeout()
        return got[0]

    def close(self):
        self.process.kill()
        self.process.wait()


class Through(Client):
    def __init__(self, *words):
        self.wait, self.buffer, self.socket = WAIT, b'', Pipe(*words)


def der(tag, body):
    size = bytes([len(body)]) if len(body) < 128 else bytes([0x82]) + len(body).to_bytes(2, 'big')
    return bytes([tag]) + size + body


def psk_session(folder, key):
    """What s_client wants for a key of TLS 1.3 with an identity of any length: an SSL_SESSION."""
    body = (der(2, b'\x01') + der(2, b'\x03\x04') + der(4, b'\x13\x01') + der(4, b'') + der(4, key))
    path = str(folder / 'psk.pem')
    text = jose.base64.encodebytes(der(0x30, body)).decode()
    with open(path, 'w', encoding='ascii') as f:
        f.write('-----BEGIN SSL SESSION PARAMETERS-----\n%s-----END SSL SESSION PARAMETERS-----\n' % text)
    return path


def openssl_psk(site, folder, identity, key):
    return Through('openssl', 's_client', '-connect', 'localhost:%d' % site.port, '-quiet', '-tls1_3', '-psk_session',
                   psk_session(folder, key), '-psk_identity', identity, '-alpn', 'mqtt', '-servername', 'localhost',
                   '-CAfile', site.ca, '-verify_return_error')


LITTLE = jose.b64(b'[["meter/#",["pub","sub"]]]')  # a scope that makes a short token


def gnutls_psk(site, identity, key):
    return ['gnutls-cli', '--priority', 'NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK', '--pskusername', identity, '--pskkey', key.hex(), '--alpn', 'mqtt',
            '--logfile', '/dev/null', '-p', str(site.port), 'localhost']


def secret_token(site, **more):
    """A token bound to a secret that the server made, and the secret."""
    got = site.server.token(site.client, AUDIENCE, **more)
    return got['access_token'], jose.unb64(got['cnf']['jwk']['k']), got['cnf']['jwk'].get('kid')


def works(client, client_id):
    assert client.open(client_id).reason == 0
    client.send(subscribe(1, [('meter/#', 1), ('other/#', 1)]))
    assert client.expect(SUBACK).codes == [1, NOT_AUTHORIZED]
    client.send(publish('meter/1', b'42', qos=1, packet_id=2))
    got = {p.kind: p for p in (client.receive(), client.receive())}
    assert got[PUBACK].reason == 0 and got[PUBLISH].payload == b'42'
    client.close()


def test_openssl_with_the_token_as_identity(site, tmp_path):
    """MT-28, MT-23: TLS 1.3 psk_dhe_ke, TLS:Known(PSK)/MQTT:None"""
    token, key, _ = secret_token(site)
    works(openssl_psk(site, tmp_path, token, key), 'openssl')


@pytest.fixture(scope='module')
def large(site):
    """A token of more than 4 KiB, and its secret."""
    for n in range(60):
        site.server.allow('client:meter', AUDIENCE, 'depot/%d/%s' % (n, 'x' * 40), 'pub')
    token, key, _ = secret_token(site)
    assert len(token) > 4096
    return token, key


def test_openssl_with_a_token_of_4_kib(site, large, tmp_path):
    """MT-28: as large as tokens come"""
    works(openssl_psk(site, tmp_path, *large), 'openssl-4k')


def test_gnutls_cli_with_the_token_as_identity(site):
    """MT-28 (in TLS 1.2 this gnutls-cli crashes, whatever the server: openssl does that below)"""
    token, key, _ = secret_token(site, scope=LITTLE)
    done = subprocess.run(gnutls_psk(site, token, key), input=b'', capture_output=True, timeout=WAIT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_gnutls_cli_with_a_token_of_4_kib(site, large):
    """MT-28"""
    done = subprocess.run(gnutls_psk(site, *large), input=b'', capture_output=True, timeout=WAIT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_key_or_a_forged_token_is_refused(site):
    """MT-38: the handshake fails"""
    token, key, _ = secret_token(site, scope=LITTLE)
    for identity, secret in ((token, os.urandom(32)), (token[:-4] + 'AAAA', key), ('no token', key)):
        done = subprocess.run(gnutls_psk(site, identity, secret), input=b'', capture_output=True, timeout=WAIT)
        assert done.returncode != 0, done.stdout


def test_gnutls_cli_with_a_raw_public_key_nobody_knows(site, tmp_path):
    """RFC 7250: shown and taken, but without a token it is nobody's (MT-21)"""
    key, pub = str(tmp_path / 'k.pem'), str(tmp_path / 'p.pem')
    subprocess.run(['openssl', 'genpkey', '-algorithm', 'ed25519', '-out', key], check=True, capture_output=True)
    subprocess.run(['openssl', 'pkey', '-in', key, '-pubout', '-out', pub], check=True, capture_output=True)
    done = subprocess.run(['gnutls-cli', '--priority', 'NORMAL:+CTYPE-CLI-RAWPK', '--rawpkkeyfile', key, '--rawpkfile', pub,
                           '--x509cafile', site.ca, '--alpn', 'mqtt', '-p', str(site.port), 'localhost'],
                          input=b'', capture_output=True, timeout=WAIT)
    assert done.returncode == 0 and b'Handshake was completed' in done.stdout, done.stdout + done.stderr


def gnutls_raw(site, key, pub):
    return ['gnutls-cli', '--priority', 'NORMAL:+CTYPE-CLI-RAWPK:-CTYPE-CLI-X509', '--rawpkkeyfile', key, '--rawpkfile', pub,
            '--x509cafile', site.ca, '--alpn', 'mqtt', '--logfile', '/dev/null', '-p', str(site.port), 'localhost']


@pytest.mark.parametrize('kind', [('ed25519',), ('EC', '-pkeyopt', 'ec_paramgen_curve:P-256')])
def test_gnutls_cli_with_the_raw_key_of_a_token_on_authz_info(site, machines, tmp_path, kind):
    """MT-23, MT-32: `symbolon token upload` tells the broker, a foreign client shows the key"""
    key, pub = str(tmp_path / 'k.pem'), str(tmp_path / 'p.pem')
    subprocess.run(['openssl', 'genpkey', '-algorithm', *kind, '-out', key], check=True, capture_output=True)
    subprocess.run(['openssl', 'pkey', '-in', key, '-pubout', '-out', pub], check=True, capture_output=True)
    env, words = machines('raw-' + kind[0].lower(), key)
    done = run_cli('token', 'upload', *words, env=env)
    assert done.returncode == 0 and done.stdout == 'the broker has the token\n', done.stderr
    client = Through(*gnutls_raw(site, key, pub))
    assert client.open('raw').reason == 0
    client.send(publish('cli/raw-' + kind[0].lower(), b'x', qos=1, packet_id=1))
    assert client.expect(PUBACK).reason == 0
    client.send(publish('elsewhere', b'x', qos=1, packet_id=2))
    assert client.expect(PUBACK).reason == NOT_AUTHORIZED
    client.close()


@pytest.mark.parametrize('version', ['1.3', '1.2'])
def test_a_resumed_session_is_still_its_raw_keys(site, machines, tmp_path, version):
    """MT-61, MT-23: the key comes with the ticket, its token is looked up anew"""
    key, pub, name = str(tmp_path / 'k.pem'), str(tmp_path / 'p.pem'), 'resumed-' + version
    subprocess.run(['openssl', 'genpkey', '-algorithm', 'ed25519', '-out', key], check=True, capture_output=True)
    subprocess.run(['openssl', 'pkey', '-in', key, '-pubout', '-out', pub], check=True, capture_output=True)
    env, words = machines(name, key)
    assert run_cli('token', 'upload', *words, env=env).returncode == 0
    packets = connect(name) + publish('cli/' + name, b'x', qos=1, packet_id=0x101) + publish('x', b'x', qos=1, packet_id=0x202)
    command = gnutls_raw(site, key, pub)
    command[2] += ':-VERS-ALL:+VERS-TLS' + version
    command.insert(1, '--resume')
    del command[command.index('--logfile'):command.index('--logfile') + 2]
    done = subprocess.run(command, input=packets, capture_output=True, timeout=WAIT)
    assert b'This is a resumed session' in done.stdout, done.stdout + done.stderr
    assert b'@\x02\x01\x01' in done.stdout and b'\x02\x02\x87' in done.stdout, done.stdout


def test_openssl_in_tls_1_2_with_the_kid_as_identity(site, machines):
    """MT-27: after the token was uploaded; ECDHE-PSK, the identity in the form of RFC 9431 for JSON"""
    env, words = machines('kid', None)
    assert run_cli('token', 'upload', *words, env=env).returncode == 0
    cache = env['XDG_CACHE_HOME']
    path = [os.path.join(d, f) for d, _, names in os.walk(cache) for f in names][0]
    cached = json.load(open(path, encoding='utf-8'))
    identity = json.dumps({'cnf': {'jwk': {'kty': 'oct', 'kid': cached['kid']}}})
    assert len(identity) < 128  # what this openssl can do
    secret = jose.unb64(cached['key']['k'])
    client = Through('openssl', 's_client', '-connect', 'localhost:%d' % site.port, '-quiet', '-tls1_2', '-psk', secret.hex(),
                     '-psk_identity', identity, '-cipher', 'ECDHE-PSK-CHACHA20-POLY1305', '-alpn', 'mqtt')
    assert client.open('kid').reason == 0
    client.send(publish('cli/kid', b'x', qos=1, packet_id=1))
    assert client.expect(PUBACK).reason == 0
    client.close()


# ---- our own command ----

@pytest.fixture(scope='module')
def machines(site, tmp_path_factory):
    """machines(name, key): environment and options of a registered machine; `key` is a file's path, True for a new one,
    None for a machine that gets a secret from the server."""
    made = {}

    def make(name, key):
        if name in made:
            return made[name]
        home = tmp_path_factory.mktemp(name)
        env = home_env(home)
        words = ['-h', 'localhost', '-p', str(site.port), '--cafile', site.ca, '--as', site.server.url, '--client-id', name]
        if key is None:
            client = site.server.add_client(name, default_audience=AUDIENCE)
            path = home / 'secret'
            path.write_text(client.secret)
            path.chmod(0o600)
            words += ['--client-secret-file', str(path)]
        else:
            if key is True:
                key = str(home / 'key.pem')
                assert run_cli('key', 'new', key, env=env).returncode == 0
            os.chmod(key, 0o600)
            jwk = json.loads(run_cli('key', 'show', '--json', key, env=env).stdout)
            site.server.admin('client.add', client_id=name, default_audience=AUDIENCE, jwk=jwk)
            words += ['--key', key]
        site.server.allow('client:' + name, AUDIENCE, 'cli/' + name, 'pub')
        made[name] = env, words
        return made[name]

    return make


def pub(machine, *words, topic):
    env, common = machine
    return run_cli('pub', *common, *words, '-t', topic, '-m', 'x', '-q', '1', env=env)


MODES = [('rpk', False), ('psk', True), ('psk-kid', True), ('psk', False), ('exporter', False), ('exporter', True), ('challenge', True)]


@pytest.mark.parametrize('version', ['mqttv5', 'mqttv311'])
@pytest.mark.parametrize('mode,secret', MODES)
def test_pub_in_every_mode_and_version(site, machines, mode, secret, version):
    """MT-22, MT-23, MT-27, MT-28, MT-32, MT-122, MT-123"""
    if (mode, version) == ('challenge', 'mqttv311'):
        pytest.skip('MQTT 3.1.1 has no AUTH')
    name = 'cli-%s-%s' % (mode, 'secret' if secret else 'key')
    machine = machines(name, None if secret else True)
    done = pub(machine, '--pop', mode, '-V', version, topic='cli/' + name)
    assert done.returncode == 0, done.stderr
    done = pub(machine, '--pop', mode, '-V', version, topic='cli/other')
    assert done.returncode != 0
