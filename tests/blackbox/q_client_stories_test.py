"""Our client and an authorization server it has to find, to ask in CBOR, or to come back to: CWTs, refresh tokens,
metadata, hints."""
import itertools
import json
import os
import stat
import time

import pytest
from world import WAIT, Daemon, program, run_cli

AUDIENCE = 'broker.example'
UNTRUSTED, NO_TOKEN = 6, 7


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
        self.env = {'HOME': str(home), 'XDG_CONFIG_HOME': str(home / 'config'), 'XDG_CACHE_HOME': str(home / 'cache')}
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
        saved = dict(os.environ)
        os.environ.update(self.env)
        try:
            return Daemon(program('symbolon'), words[0], *self.broker, *self.me, *words[1:])
        finally:
            os.environ.clear()
            os.environ.update(saved)

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
    import jose_by_hand as jose
    path.write_bytes(jose.unb64(raw.stdout.strip()))
    from_text = json.loads(m.cli('token', 'inspect', '--json', stdin=raw.stdout).stdout)
    from_bytes = json.loads(m.cli('token', 'inspect', '--json', str(path)).stdout)
    assert from_text == from_bytes and from_text['kind'].startswith('CWT, signed'), from_text
    assert from_text['claims']['iss'] == site.server.url and from_text['claims']['aud'] == AUDIENCE
    assert from_text['claims']['scope'] == [[m.name + '/#', ['pub', 'sub']]]
    assert 'jwk' in from_text['claims']['cnf'] and from_text['header']['alg'] in ('ES256', 'EdDSA')


# ---- refresh tokens ----

@pytest.mark.parametrize('words', [[], ['--as-cbor']])
@pytest.mark.parametrize('secret', [False, True])
def test_a_refresh_token_brings_the_next_token_for_the_same_key(site, machine, secret, words):
    """RFC 6749 6: kept in the cache beside the token, used when it ends; when it is of no use, asked anew"""
    m = machine(secret=secret, refresh=True)
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


# ---- renewal where the proof is in the handshake ----

@pytest.mark.parametrize('mode', ['rpk', 'psk', 'psk-kid'])
def test_a_client_known_by_tls_comes_back_with_its_next_token(site, machine, mode):
    """MT-23: there is no AUTH to renew it with; the session goes on over a new connection"""
    m = machine(secret=mode != 'rpk')
    assert m.get().returncode == 0
    m.age(expires_in=8, life=100)  # so that renewal is due as soon as it is connected
    reader = m.start('sub', '-t', m.name + '/#', '-q', '1', '--as', site.server.url, '--pop', mode, '-i', m.name, '-C', '1',
                     '-x', '60', '-d')
    site.daemon.event('client_connected', count=2, client_id=m.name)
    done = m.pub('--as', site.server.url, '--pop', mode)
    assert done.returncode == 0, done.stderr
    assert reader.process.wait(WAIT) == 0, reader.log()
    reader.reader.join()
    assert 'x' in reader.lines and any('connecting again, with a new token' in l for l in reader.lines), reader.lines
