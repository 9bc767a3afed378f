"""Our client and an authorization server it has to find, to ask in CBOR, or to come back to: CWTs, refresh tokens,
metadata, hints."""
import http.server
import itertools
import json
import os
import socket
import ssl
import stat
import subprocess
import threading
import time

import jose_by_hand as jose
import mqtt5
import pytest
import world
from world import WAIT, Daemon, home_env, program, run_cli

AUDIENCE = 'broker.example'
NOT_AUTHORIZED, UNTRUSTED, NO_TOKEN = 4, 6, 7


@pytest.fixture(scope='module')
def site(as_server, make_broker):
    broker = make_broker(as_server=as_server, audience=AUDIENCE, workers=1, **{'authz_info.enabled': True})
    broker.server = as_server
    return broker


numbers = itertools.count()


class Machine:
    """A home of its own, and a registered client with a key or a secret in it."""

    def __init__(self, site, home, name, secret=False, audience=AUDIENCE, **members):
        self.site, self.home, self.name = site, home, name
        self.env = home_env(home)
        self.broker = ['-h', 'localhost', '-p', str(site.port), '--cafile', site.ca]
        self.me = ['--client-id', name]
        if secret:
            client = site.server.add_client(name, default_audience=audience, **members)
            path = home / 'secret'
            path.write_text(client.secret)
            path.chmod(0o600)
            self.me += ['--client-secret-file', str(path)]
        else:
            assert self.cli('key', 'new', str(home / 'key.pem')).returncode == 0
            jwk = json.loads(self.cli('key', 'show', '--json', str(home / 'key.pem')).stdout)
            site.server.admin('client.add', client_id=name, default_audience=audience, jwk=jwk, **members)
            self.me += ['--key', str(home / 'key.pem')]
        site.server.allow('client:' + name, audience, name + '/#', 'pub', 'sub')

    def cli(self, *words, **more):
        return run_cli(*words, env=self.env, **more)

    def start(self, *words):
        return Daemon(program('symbolon'), words[0], *self.broker, *self.me, *words[1:], env=self.env)

    def age(self, expires_in, life, **members):
        """Makes the cached token older than it is; what was cached before."""
        path, = (os.path.join(d, f) for d, _, names in os.walk(self.home / 'cache') for f in names)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        cached = json.load(open(path, encoding='utf-8'))
        ends = int(time.time()) + expires_in
        with open(path, 'w', encoding='utf-8') as f:
            json.dump(dict(cached, expires_at=ends, obtained_at=ends - life, **members), f)
        return cached

    def pub(self, *words):
        return self.cli('pub', *self.broker, *self.me, '-t', self.name + '/t', '-m', 'x', '-q', '1', '-d', *words)

    def get(self, *words):
        return self.cli('token', 'get', *self.broker, *self.me, '--as', self.site.server.url, *words)


@pytest.fixture
def machine(site, tmp_path):
    def make(**more):
        return Machine(site, tmp_path, 'm%d' % next(numbers), **more)

    return make


# ---- finding the authorization server ----

def test_who_knows_only_the_broker_finds_the_server_it_was_told_to_trust(site, machine):
    """AF-10, AF-13, MT-91, MT-92: hints, trusted, token, connected"""
    m = machine()
    done = m.pub('--trust-as', site.server.url)
    assert done.returncode == 0, done.stderr
    assert 'asking %s/token for a token' % site.server.url in done.stderr


def test_a_server_it_was_not_told_to_trust_gets_nothing(site, machine):
    """AF-13: refused, with the word that would allow it"""
    m = machine()
    before = len(site.server.daemon.find('token_issued'))
    for words in ([], ['--trust-as', 'https://other.example']):
        done = m.pub(*words)
        assert done.returncode == UNTRUSTED, done.stderr
        assert '--trust-as %s' % site.server.url in done.stderr
    assert len(site.server.daemon.find('token_issued')) == before


def test_mqtt_3_1_1_has_no_hints(site, machine):
    """MT-125: no discovery; the message says what to do"""
    done = machine().pub('-V', 'mqttv311', '--trust-as', site.server.url)
    assert done.returncode == NO_TOKEN and '--as' in done.stderr, done.stderr


def test_metadata_tell_where_tokens_are(site, machine):
    """RFC 8414 3: a server named without a path is asked first"""
    done = machine().get('-d')
    assert done.returncode == 0, done.stderr
    assert 'asking %s/token for a token' % site.server.url in done.stderr


class FakeAs:
    """An authorization server of a few lines, over http on loopback: `metadata` and `answer` are what it says."""

    def __init__(self, metadata, answer):
        fake = self
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def reply(self, body):
                text = json.dumps(body).encode()
                self.send_response(404 if body is None else 200)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self):
                fake.asked.append('GET ' + self.path)
                self.reply(metadata(fake.url))

            def do_POST(self):
                fake.asked.append('POST ' + self.path)
                self.rfile.read(int(self.headers['Content-Length']))
                self.reply(answer)

            def log_message(self, *unused):
                pass

        self.server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
        self.url = 'http://127.0.0.1:%d' % self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()


WELL_KNOWN = 'GET /.well-known/oauth-authorization-server'
GOOD = {'access_token': 'abc', 'token_type': 'PoP', 'expires_in': 60}


def fetch_from(fake, machine):
    words = machine.me[:machine.me.index('--key') + 2] if '--key' in machine.me else machine.me
    return machine.cli('token', 'get', '-h', 'localhost', *words, '--as', fake.url, '--no-cache', '--raw')


@pytest.mark.parametrize('metadata,path', [
    (lambda url: {'issuer': url, 'token_endpoint': url + '/oauth/t'}, '/oauth/t'),
    (lambda url: {'issuer': 'https://other.example', 'token_endpoint': url + '/evil'}, '/token'),
    (lambda url: {'issuer': url, 'token_endpoint': 'ftp://x/y'}, '/token'),
    (lambda url: None, '/token'),
])
def test_metadata_of_another_issuer_are_not_used(machine, metadata, path):
    """RFC 8414 3.3; a server without metadata is asked where it usually is"""
    with FakeAs(metadata, GOOD) as fake:
        done = fetch_from(fake, machine())
        assert done.returncode == 0 and done.stdout == 'abc\n', done.stderr
        assert fake.asked == [WELL_KNOWN, 'POST ' + path]


@pytest.mark.parametrize('members,words', [
    ({'ace_profile': 'coap_dtls'}, 'another ACE profile'),
    ({'expires_in': None}, 'how long the token lives'),
    ({'token_type': 'Bearer'}, 'not a proof-of-possession token'),
    ({'cnf': {'jwk': {'kty': 'OKP', 'crv': 'Ed25519', 'x': 'A' * 43}}}, ''),
])
def test_a_token_of_another_kind_is_refused(machine, members, words):
    """AF-36, AF-37, AF-38, RFC 9201 3.2"""
    answer = {k: v for k, v in dict(GOOD, **members).items() if v is not None}
    with FakeAs(lambda url: None, answer) as fake:
        done = fetch_from(fake, machine())
        assert done.returncode != 0 and done.stdout == '' and words in done.stderr, done.stderr


def public_jwk(site):
    """The key of the broker's certificate, as an administrator would register it."""
    pem = subprocess.run(['openssl', 'x509', '-in', site.certificate, '-noout', '-pubkey'], check=True,
                         capture_output=True).stdout
    der = subprocess.run(['openssl', 'pkey', '-pubin', '-outform', 'DER'], input=pem, check=True, capture_output=True).stdout
    return {'kty': 'EC', 'crv': 'P-256', 'x': jose.b64(der[-64:-32]), 'y': jose.b64(der[-32:])}


@pytest.mark.parametrize('mode', ['exporter', 'rpk'])
def test_a_key_that_the_server_names_pins_the_broker(site, tmp_path, mode):
    """MT-26, AF-44: rs_cnf with a key; the broker shows it raw, and the chain is not asked"""
    audience = 'pinned-%s.example' % mode
    site.server.admin('rs.add', audience=audience, rs_jwk=public_jwk(site))
    m = Machine(site, tmp_path, 'm%d' % next(numbers), audience=audience)
    words = ['--as', site.server.url, '--as-cafile', site.ca, '--cafile', world.make_ca(str(tmp_path))[0], '--no-cache', '--pop', mode]
    m.broker = ['-h', '127.0.0.1', '-p', str(site.port)]
    done = m.pub(*words)
    assert done.returncode == NOT_AUTHORIZED, done.stderr  # our broker has another audience, but it was the right one
    site.server.admin('rs.set', rs_id=audience, rs_jwk=dict(jose.Ed25519().jwk(), kid='x'))
    done = m.pub(*words)
    assert done.returncode == UNTRUSTED and 'key is not the one named' in done.stderr, done.stderr


@pytest.fixture(scope='module')
def clockless(as_server, make_broker):
    broker = make_broker(as_server=as_server, audience='clockless.example', workers=1,
                         **{'token.clock': 'untrusted', 'token.cnonce_life': '2s', 'authz_info.enabled': True})
    broker.server = as_server
    return broker


@pytest.mark.parametrize('words', [['--as'], ['--trust-as']])
@pytest.mark.parametrize('mode', ['exporter', 'challenge'])
def test_a_token_without_the_nonce_that_a_broker_wants_is_fetched_once_more(clockless, tmp_path, words, mode):
    """AF-17, AF-18, TK-64: cnonce from the hints into the request, in the token back to the broker"""
    m = Machine(clockless, tmp_path, 'm%d' % next(numbers), audience='clockless.example')
    done = m.pub(*words, clockless.server.url, '--pop', mode)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count('for a token') == (2 if words == ['--as'] else 1), done.stderr
    done = m.pub(*words, clockless.server.url, '--pop', mode)  # the cached one: its nonce was its own
    assert done.returncode == 0 and 'from the cache' in done.stderr, done.stderr


@pytest.mark.parametrize('mode', ['rpk', 'psk', 'psk-kid'])
def test_a_key_proved_by_tls_has_the_nonce_in_its_token_too(clockless, tmp_path, mode):
    """MT-23, MT-27, MT-28, AF-17: no CONNACK speaks of a nonce once TLS has failed, so the hints are asked for first"""
    m = Machine(clockless, tmp_path, 'm%d' % next(numbers), audience='clockless.example')
    done = m.pub('--trust-as', clockless.server.url, '--pop', mode, '--no-cache')
    assert done.returncode == 0, done.stderr


# ---- forms ----

@pytest.mark.parametrize('secret', [False, True])
@pytest.mark.parametrize('form', ['jwt', 'cwt', 'reference'])
def test_tokens_of_every_form_over_json_and_cbor(site, machine, form, secret):
    """AF-5, AF-7, AF-27, MT-2, MT-14: as the server makes them for this broker, asked for in either language"""
    m = machine(secret=secret)
    site.server.admin('rs.set', rs_id=AUDIENCE, token_format=form)
    try:
        for words in ([], ['--as-cbor']):
            for mode in ('exporter', 'challenge'):
                done = m.pub('--as', site.server.url, '--no-cache', '--pop', mode, *words)
                assert done.returncode == 0, (words, mode, done.stderr)
    finally:
        site.server.admin('rs.set', rs_id=AUDIENCE, token_format='jwt')


def test_a_cwt_is_taken_apart(site, machine):
    """TK-12: names as in JWT, scope as AIF; base64url and bytes"""
    m = machine()
    site.server.admin('rs.set', rs_id=AUDIENCE, token_format='cwt')
    try:
        raw = m.get('--raw', '--no-cache')
    finally:
        site.server.admin('rs.set', rs_id=AUDIENCE, token_format='jwt')
    assert raw.returncode == 0, raw.stderr
    path = m.home / 'token.cwt'
    path.write_bytes(jose.unb64(raw.stdout.strip()))
    from_text = json.loads(m.cli('token', 'inspect', '--json', stdin=raw.stdout).stdout)
    from_bytes = json.loads(m.cli('token', 'inspect', '--json', str(path)).stdout)
    assert from_text == from_bytes and from_text['kind'].startswith('CWT, signed'), from_text
    assert from_text['claims']['iss'] == site.server.url and from_text['claims']['aud'] == AUDIENCE
    assert from_text['claims']['scope'] == [[m.name + '/#', ['pub', 'sub']]]
    path.chmod(0o600)
    for mode in ('exporter', 'challenge', 'rpk'):
        done = m.cli('pub', *m.broker, '--key', str(m.home / 'key.pem'), '--token', str(path), '--pop', mode, '-t', m.name + '/t',
                     '-m', 'x', '-q', '1')
        assert done.returncode == 0, (mode, done.stderr)
    assert 'jwk' in from_text['claims']['cnf'] and from_text['header']['alg'] in ('ES256', 'EdDSA')


# ---- refresh tokens ----

@pytest.mark.parametrize('words', [[], ['--as-cbor']])
@pytest.mark.parametrize('secret, key', [(False, False), (True, False), (True, True)])
def test_a_refresh_token_brings_the_next_token_for_the_same_key(site, machine, secret, key, words):
    """RFC 6749 6: kept in the cache beside the token, used when it ends; when it is of no use, asked anew"""
    m = machine(secret=secret, refresh=True)
    if key:
        assert m.cli('key', 'new', str(m.home / 'own.pem')).returncode == 0
        m.me += ['--key', str(m.home / 'own.pem')]
    site.server.admin('rs.set', rs_id=AUDIENCE, refresh=True)
    try:
        assert m.get(*words).returncode == 0
        first = m.age(expires_in=-1, life=100)
        done = m.pub('--as', site.server.url, *words)
        assert done.returncode == 0 and '(refresh)' in done.stderr, done.stderr
        assert 'of no use' not in done.stderr and first['refresh_token'] not in done.stderr
        second = m.age(expires_in=-1, life=100, refresh_token='no-longer-good')
        assert second['access_token'] != first['access_token']
        done = m.pub('--as', site.server.url, *words)
        assert done.returncode == 0 and 'of no use' in done.stderr, done.stderr
    finally:
        site.server.admin('rs.set', rs_id=AUDIENCE, refresh=False)


def test_a_refreshed_token_is_for_the_broker_that_was_named_before(site, machine):
    """RFC 9201 3.2: a server that says rs_cnf once, and not again with the next token"""
    m, answer = machine(), dict(GOOD, refresh_token='r', rs_cnf={'x5t#S256': 'A' * 43})
    with FakeAs(lambda url: None, answer) as fake:
        assert m.cli('token', 'get', *m.broker, *m.me, '--as', fake.url).returncode == 0
        m.age(expires_in=-1, life=100)
        del answer['rs_cnf']
        done = m.pub('--as', fake.url)
        assert done.returncode == UNTRUSTED and '(refresh)' in done.stderr, done.stderr


# ---- brokers that want more than they should ----

class FakeBroker:
    """Takes one connection, sends `answers` behind its CONNECT, and keeps what comes back."""

    def __init__(self, site, answers):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(site.certificate, site.key)
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port, self.answers, self.got = self.listener.getsockname()[1], answers, b''
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        with self.context.wrap_socket(self.listener.accept()[0], server_side=True) as tls:
            tls.settimeout(WAIT)
            tls.recv(65536)
            tls.sendall(self.answers)
            try:
                while more := tls.recv(65536):
                    self.got += more
            except OSError:
                pass

    def end(self):
        self.thread.join(WAIT)
        self.listener.close()
        return self.got


@pytest.mark.parametrize('mode,answered', [('exporter', False), ('challenge', True)])
def test_a_challenge_behind_a_proof_is_not_answered(site, machine, mode, answered):
    """RFC 9431 2.2.4.2.2: a broker that had it answered could pass another broker's challenge on, and be the client there"""
    m = machine()
    data = bytes([0x18]) + mqtt5.properties(authentication_method='ace', authentication_data=b'8 bytes.')
    broker = FakeBroker(site, bytes([mqtt5.AUTH << 4]) + mqtt5.varint(len(data)) + data)
    m.broker = ['-h', 'localhost', '-p', str(broker.port), '--cafile', site.ca]
    words = ['--as', site.server.url, '--pop', mode, '-W', '10']
    done = m.pub(*words)
    got = broker.end()
    assert done.returncode != 0
    assert (got[0] >> 4 == mqtt5.AUTH) == answered, (got, done.stderr)


# ---- where the proof is in the handshake ----

def test_a_broker_that_forgot_the_token_is_told_it_again(as_server, make_broker, tmp_path):
    """MT-23, MT-33: a broker that keeps nothing on disk is started anew under a client that stays"""
    broker = make_broker(as_server=as_server, audience='forgets.example', workers=1, **{'authz_info.enabled': True})
    broker.server = as_server
    m = Machine(broker, tmp_path, 'm%d' % next(numbers), audience='forgets.example')
    reader = m.start('sub', '-t', m.name + '/#', '-q', '1', '--as', as_server.url, '--pop', 'rpk', '-i', m.name, '-C', '1')
    broker.daemon.event('subscribed', client_id=m.name)
    broker.restart()
    broker.daemon.event('subscribed', client_id=m.name)
    assert m.pub('--as', as_server.url, '--pop', 'rpk').returncode == 0
    assert reader.process.wait(WAIT) == 0, reader.log()
    reader.reader.join()


@pytest.mark.parametrize('mode,version', [('rpk', '5'), ('psk', '5'), ('psk-kid', '5'), ('exporter', 'mqttv311')])
def test_where_there_is_no_auth_a_client_comes_back_with_its_next_token(site, machine, mode, version):
    """MT-23, MT-123: the session goes on over a new connection"""
    m = machine(secret=mode != 'rpk')
    assert m.get().returncode == 0
    m.age(expires_in=80, life=1000)  # so that renewal is due as soon as it is connected
    keep = ['-x', '60'] if version == '5' else ['-c']
    reader = m.start('sub', '-t', m.name + '/#', '-q', '1', '--as', site.server.url, '--pop', mode, '-i', m.name, '-C', '1',
                     '-d', '-V', version, *keep)
    site.daemon.event('client_connected', count=2, client_id=m.name)
    done = m.pub('--as', site.server.url, '--pop', mode)
    assert done.returncode == 0, done.stderr
    assert reader.process.wait(WAIT) == 0, reader.log()
    reader.reader.join()
    assert 'x' in reader.lines and any('connecting again, with a new token' in l for l in reader.lines), reader.lines
