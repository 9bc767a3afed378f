"""The `symbolon` command as a person uses it: from nothing to a secured message in five commands, then its flags, its
words and its exit statuses."""
import json
import os
import stat
import subprocess

import pytest
from world import WAIT, Daemon, enroll, program, run_cli, wait_for

AUDIENCE = 'broker.example'
USAGE, UNREACHABLE, NOT_AUTHORIZED, UNTRUSTED, NO_TOKEN, FILE, TIMEOUT = 2, 3, 4, 6, 7, 9, 27


@pytest.fixture(scope='module')
def site(as_server, make_broker):
    broker = make_broker(as_server=as_server, audience=AUDIENCE, workers=2, public=[['public/#', ['pub', 'sub']]])
    as_server.allow('group:sensors', AUDIENCE, 'plant/${client_id}/#', 'pub')
    as_server.allow('group:dashboards', AUDIENCE, 'plant/#', 'sub')
    as_server.allow('group:peers', AUDIENCE, 'rr/#', 'pub', 'sub')
    broker.server = as_server
    return broker


@pytest.fixture(scope='module')
def enrolled(site, tmp_path_factory):
    """enrolled(name, group): a machine of its own (HOME) that enrolled with a one-time code; its environment."""
    made = {}

    def make(name, group):
        if name not in made:
            made[name] = enroll(site, name, tmp_path_factory.mktemp(name), [group])
        return made[name]

    return make


class Reader(Daemon):
    """`symbolon sub` in the background; its output line by line."""

    def __init__(self, env, *words):
        super().__init__(program('symbolon'), 'sub', *words, env=env)

    def line(self, text, wait=WAIT):
        wait_for(lambda: any(text in l for l in list(self.lines)), wait, why=lambda: str(self.lines))

    def end(self):
        self.process.terminate()
        self.process.wait(WAIT)


def test_a_secured_message_with_five_commands(site, tmp_path):
    """init, start, register and enroll are done; what a new machine needs is enroll and pub"""
    env = {'HOME': str(tmp_path), 'XDG_CONFIG_HOME': str(tmp_path / 'c'), 'XDG_CACHE_HOME': str(tmp_path / 'd')}
    socket = {'SYMBOLON_AS_SOCKET': site.server.socket_path}
    commands = [
        ('as', 'policy', 'allow', 'group:greeters', AUDIENCE, 'hello/${client_id}', 'pub'),
        ('as', 'enroll-code', '--client-id', 'device-7', '--group', 'greeters', '--default-audience', AUDIENCE, '--json'),
        ('enroll', '--as', site.server.url, '--code', '-', '--cafile', site.ca, '--host', 'localhost', '--port', str(site.port)),
        ('pub', '-t', 'hello/device-7', '-m', 'hello', '-q', '1'),
    ]
    code = None
    for words in commands:
        done = run_cli(*words, env=dict(env, **socket), stdin=code + '\n' if words[0] == 'enroll' else None)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        if words[1] == 'enroll-code':
            code = json.loads(done.stdout)['code']
    for folder, _, files in os.walk(tmp_path):
        for name in files:
            if 'ca.pem' not in name:
                assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) & 0o077 == 0, name


@pytest.mark.parametrize('qos', ['0', '1', '2'])
def test_pub_and_sub(site, enrolled, qos):
    sensor, dashboard = enrolled('sensor-1', 'sensors'), enrolled('dashboard', 'dashboards')
    reader = Reader(dashboard, '-t', 'plant/#', '-q', qos, '-F', '%t %q %p', '-C', '3', '-i', 'reader-' + qos)
    site.daemon.event('subscribed', client_id='reader-' + qos)
    done = run_cli('pub', '-t', 'plant/sensor-1/t', '-q', qos, '-l', env=sensor, stdin='1\n2\n3\n')
    assert done.returncode == 0, done.stderr
    assert reader.process.wait(WAIT) == 0
    reader.reader.join()
    assert reader.lines == ['plant/sensor-1/t %s %d' % (qos, n) for n in (1, 2, 3)]


@pytest.mark.parametrize('qos', ['0', '1', '2'])
def test_never_published_for_something_refused(site, enrolled, qos):
    """exit status 4 and the reason, whatever the QoS"""
    done = run_cli('pub', '-t', 'plant/sensor-2/t', '-m', 'x', '-q', qos, env=enrolled('sensor-1', 'sensors'))
    assert done.returncode == NOT_AUTHORIZED, (done.stdout, done.stderr)
    assert 'authorized' in done.stderr.lower() and 'MT-81' in done.stderr


def test_sub_refused(site, enrolled):
    done = run_cli('sub', '-t', '#', '-C', '1', '-W', str(WAIT), env=enrolled('dashboard', 'dashboards'))
    assert done.returncode == NOT_AUTHORIZED and 'authorized' in done.stderr.lower(), done.stderr


def test_sub_gives_up_in_time(site, enrolled):
    done = run_cli('sub', '-t', 'plant/never', '-C', '1', '-W', '1', env=enrolled('dashboard', 'dashboards'))
    assert done.returncode == TIMEOUT, done.stderr


def test_payload_from_a_file_and_from_standard_input(site, enrolled, tmp_path):
    sensor, dashboard = enrolled('sensor-1', 'sensors'), enrolled('dashboard', 'dashboards')
    reader = Reader(dashboard, '-t', 'plant/sensor-1/file', '-C', '2', '-i', 'file-reader')
    site.daemon.event('subscribed', client_id='file-reader')
    (tmp_path / 'payload').write_text('from a file')
    assert run_cli('pub', '-t', 'plant/sensor-1/file', '-f', str(tmp_path / 'payload'), '-q', '1', env=sensor).returncode == 0
    assert run_cli('pub', '-t', 'plant/sensor-1/file', '-s', '-q', '1', env=sensor, stdin='from stdin').returncode == 0
    assert reader.process.wait(WAIT) == 0
    reader.reader.join()
    assert reader.lines == ['from a file', 'from stdin']


def test_the_will_of_a_lost_sensor(site, enrolled):
    """MT-112"""
    dashboard = enrolled('dashboard', 'dashboards')
    reader = Reader(dashboard, '-t', 'plant/sensor-1/will', '-C', '1', '-i', 'will-reader')
    site.daemon.event('subscribed', client_id='will-reader')
    env = dict(os.environ, **enrolled('sensor-1', 'sensors'))
    sensor = subprocess.Popen([program('symbolon'), 'pub', '-t', 'plant/sensor-1/t', '-l', '-i', 'lost', '--will-topic',
                               'plant/sensor-1/will', '--will-payload', 'gone'], stdin=subprocess.PIPE, env=env)
    site.daemon.event('client_connected', client_id='lost')
    sensor.kill()
    sensor.wait()
    assert reader.process.wait(WAIT) == 0
    reader.reader.join()
    assert reader.lines == ['gone']


def test_request_and_response(site, enrolled):
    peer = enrolled('peer', 'peers')
    responder = Reader(peer, '-t', 'rr/question', '-F', '%t', '-C', '1', '-i', 'responder')
    site.daemon.event('subscribed', client_id='responder')
    asker = subprocess.Popen([program('symbolon'), 'rr', '-t', 'rr/question', '-e', 'rr/answer', '-m', 'how warm?', '-W',
                              str(WAIT), '-i', 'asker'], env=dict(os.environ, **peer), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             stdin=subprocess.DEVNULL, text=True)
    assert responder.process.wait(WAIT) == 0
    done = run_cli('pub', '-t', 'rr/answer', '-m', '21.5', '-q', '1', env=peer)
    assert done.returncode == 0, done.stderr
    out, err = asker.communicate(timeout=WAIT)
    assert (asker.returncode, out.strip()) == (0, '21.5'), err


def test_public_topics_without_any_token(site, tmp_path):
    env = {'HOME': str(tmp_path)}
    place = ('--no-ace', '-h', 'localhost', '-p', str(site.port), '--cafile', site.ca)
    done = run_cli('pub', *place, '-t', 'public/cli', '-m', 'x', '-q', '1', '-r', env=env)
    assert done.returncode == 0, done.stderr
    done = run_cli('sub', *place, '-t', 'public/cli', '-C', '1', '-W', str(WAIT), env=env)
    assert (done.returncode, done.stdout) == (0, 'x\n'), done.stderr
    done = run_cli('pub', *place, '-t', 'private', '-m', 'x', '-q', '1', env=env)
    assert done.returncode == NOT_AUTHORIZED


# ---- tokens ----

def test_the_server_is_found_through_the_hints(site, enrolled, tmp_path):
    """MT-91, AF-13: only a server that is trusted by name is asked"""
    env = enrolled('hinted', 'sensors')
    profile = json.loads(open(os.path.join(env['XDG_CONFIG_HOME'], 'symbolon', 'config.json'), encoding='utf-8').read())
    words = ['-h', 'localhost', '-p', str(site.port), '--cafile', site.ca, '--key', profile['key'], '--client-id', 'hinted',
             '-t', 'plant/hinted/t', '-m', 'x', '-q', '1', '--no-cache']
    bare = {'HOME': str(tmp_path)}
    done = run_cli('pub', *words, env=bare)
    assert done.returncode in (UNTRUSTED, NO_TOKEN), done.stderr
    assert site.server.url in done.stderr
    done = run_cli('pub', *words, '--trust-as', site.server.url, env=bare)
    assert done.returncode == 0, done.stderr


def test_tokens_are_cached_and_kept_to_oneself(site, enrolled):
    env = enrolled('cacher', 'sensors')
    first = run_cli('token', 'get', '--raw', env=env)
    assert first.returncode == 0, first.stderr
    assert run_cli('token', 'get', '--raw', env=env).stdout == first.stdout
    assert run_cli('token', 'get', '--raw', '--force', env=env).stdout != first.stdout
    for folder, _, files in os.walk(env['XDG_CACHE_HOME']):
        for name in files:
            assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o600, name
    shown = run_cli('token', 'show', '--json', env=env)
    assert shown.returncode == 0 and json.loads(shown.stdout)['claims']['client_id'] == 'cacher'


def test_inspect_says_that_nothing_is_verified(site, enrolled):
    raw = run_cli('token', 'get', '--raw', env=enrolled('cacher', 'sensors')).stdout
    done = run_cli('token', 'inspect', stdin=raw)
    assert done.returncode == 0 and 'no' in done.stdout and 'plant/cacher/#' in done.stdout
    assert json.loads(run_cli('token', 'inspect', '--json', stdin=raw).stdout)['verified'] is False
    assert run_cli('token', 'inspect', stdin='not a token at all, no\n').returncode in (0, 2, 8)


def test_a_revoked_client_hears_it(site, enrolled):
    env = enrolled('leaver', 'sensors')
    assert run_cli('pub', '-t', 'plant/leaver/t', '-m', 'x', '-q', '1', env=env).returncode == 0
    site.server.admin('client.remove', client_id='leaver')
    done = run_cli('pub', '-t', 'plant/leaver/t', '-m', 'x', '-q', '1', '--no-cache', env=env)
    assert done.returncode == NOT_AUTHORIZED and 'invalid_client' in done.stderr, done.stderr


def test_a_code_works_once(site, tmp_path):
    code = site.server.admin('enroll.create', client_id='once')['code']
    words = ('enroll', '--as', site.server.url, '--code', code, '--cafile', site.ca, '--port', str(site.port))
    assert run_cli(*words, env={'HOME': str(tmp_path / 'a'), 'XDG_CONFIG_HOME': str(tmp_path / 'a')}).returncode == 0
    done = run_cli(*words, env={'HOME': str(tmp_path / 'b'), 'XDG_CONFIG_HOME': str(tmp_path / 'b')})
    assert done.returncode == NOT_AUTHORIZED or done.returncode == 5, (done.returncode, done.stderr)


# ---- what goes wrong, and how it is said ----

def test_nobody_there(tmp_path):
    done = run_cli('pub', '--no-ace', '-h', 'localhost', '-p', '1', '-t', 'x', '-m', 'x', env={'HOME': str(tmp_path)})
    assert done.returncode == UNREACHABLE and done.stderr


def test_a_certificate_nobody_trusts(site, tmp_path):
    other = tmp_path / 'other.pem'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout',
                    str(tmp_path / 'k'), '-out', str(other), '-days', '2', '-subj', '/CN=other'], check=True, capture_output=True)
    done = run_cli('pub', '--no-ace', '-h', 'localhost', '-p', str(site.port), '--cafile', str(other), '-t', 'public/x', '-m',
                   'x', env={'HOME': str(tmp_path)})
    assert done.returncode == UNTRUSTED, (done.returncode, done.stderr)


def test_the_name_in_the_certificate_counts(site, tmp_path):
    done = run_cli('pub', '--no-ace', '-h', '127.0.0.2', '-p', str(site.port), '--cafile', site.ca, '-t', 'public/x', '-m', 'x',
                   env={'HOME': str(tmp_path)})
    assert done.returncode in (UNTRUSTED, UNREACHABLE), (done.returncode, done.stderr)


@pytest.mark.parametrize('words', [
    ('pub',), ('pub', '-t', 'x'), ('pub', '-t', 'x', '-m', 'x', '-q', '3'), ('sub',),
    ('frobnicate',), ('as',), ('token',), ('pub', '--frobnicate'), ('pub', '-t', 'x', '-m', 'x', '-p', '0'),
    ('rr', '-t', 'x', '-m', 'y'), ('key', 'new'), ('enroll',)], ids=' '.join)
def test_a_command_line_that_makes_no_sense(words, tmp_path):
    done = run_cli(*words, env={'HOME': str(tmp_path)})
    assert done.returncode == USAGE and done.stderr, (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize('words', [('pub', '-t', 'public/+', '-m', 'x'), ('sub', '-t', 'public/#/b'), ('pub', '-t', '', '-m', 'x')],
                         ids=' '.join)
def test_topics_that_are_none(site, words, tmp_path):
    place = ('--no-ace', '-h', 'localhost', '-p', str(site.port), '--cafile', site.ca)
    done = run_cli(*words, *place, env={'HOME': str(tmp_path)})
    assert done.returncode == USAGE and done.stderr, (done.returncode, done.stdout, done.stderr)


def test_help_everywhere(tmp_path):
    for words in ((), ('pub',), ('sub',), ('rr',), ('enroll',), ('token',), ('token', 'get'), ('key',), ('key', 'new'), ('as',),
                  ('as', 'client', 'add'), ('as', 'policy', 'test')):
        done = run_cli(*words, '--help', env={'HOME': str(tmp_path)})
        assert done.returncode == 0 and 'symbolon' in done.stdout, words


def test_keys_are_made_once_and_private(tmp_path):
    path = str(tmp_path / 'key.pem')
    assert run_cli('key', 'new', path).returncode == 0
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert run_cli('key', 'new', path).returncode == FILE
    shown = json.loads(run_cli('key', 'show', '--json', path).stdout)
    assert shown['kty'] == 'OKP' and 'd' not in shown
    os.chmod(path, 0o644)
    assert run_cli('key', 'show', path).returncode == UNTRUSTED


def test_secrets_never_reach_the_terminal_with_debug(site, enrolled):
    env = enrolled('cacher', 'sensors')
    token = run_cli('token', 'get', '--raw', env=env).stdout.strip()
    done = run_cli('pub', '-t', 'plant/cacher/t', '-m', 'x', '-q', '1', '-d', env=env)
    assert done.returncode == 0 and done.stderr and token not in done.stderr + done.stdout


# ---- administration ----

def admin(site, *words):
    return run_cli('as', *words, '--socket', site.server.socket_path)


def test_administration_by_words_and_as_json(site):
    done = admin(site, 'client', 'add', 'worded', '--group', 'sensors', '--json')
    assert done.returncode == 0 and json.loads(done.stdout)['client_secret'], done.stderr
    assert 'worded' in admin(site, 'client', 'list').stdout
    assert json.loads(admin(site, 'client', 'show', 'worded', '--json').stdout)['client']['groups'] == ['sensors']
    first = json.loads(done.stdout)['client_secret']
    assert json.loads(admin(site, 'client', 'rotate-secret', 'worded', '--json').stdout)['client_secret'] != first
    for words in (('status',), ('rs', 'list'), ('policy', 'list'), ('token', 'list'), ('keys', 'list'), ('enroll', 'list'),
                  ('audit', 'list'), ('audit', 'verify'), ('client', 'list')):
        plain, as_json = admin(site, *words), admin(site, *words, '--json')
        assert plain.returncode == 0 and plain.stdout, words
        assert json.loads(as_json.stdout)['ok'] is True
    assert admin(site, 'client', 'remove', 'worded').returncode == 0
    done = admin(site, 'client', 'show', 'worded')
    assert done.returncode != 0 and done.stderr


def test_policy_test_says_what_and_why_not(site):
    admin(site, 'client', 'add', 'tested', '--group', 'sensors')
    done = admin(site, 'policy', 'test', 'tested', AUDIENCE, '--scope', 'pub:plant/tested/t', '--scope', 'sub:plant/#', '--json')
    answer = json.loads(done.stdout)
    assert answer['granted'] == [['plant/tested/t', ['pub']]]
    assert answer['refused'] == [{'filter': 'plant/#', 'permission': 'sub', 'reason': 'no allow'}]
    admin(site, 'policy', 'deny', 'client:tested', AUDIENCE, 'plant/tested/t', 'pub')
    answer = json.loads(admin(site, 'policy', 'test', 'tested', AUDIENCE, '--scope', 'pub:plant/tested/t', '--json').stdout)
    assert answer['granted'] == [] and answer['refused'][0]['reason'] == 'denied'


def test_the_admin_socket_is_for_its_owner(site):
    mode = stat.S_IMODE(os.stat(site.server.socket_path).st_mode)
    assert mode & 0o077 == 0, oct(mode)
    for line in (b'{}\n', b'not json\n', b'{"cmd":"nothing"}\n', b'{"cmd":"client.add"}\n', b'{"cmd":"status","x":1}\n', b'[]\n',
                 b'{"cmd":' * 30 + b'\n'):
        assert site.server.admin_raw(line)['ok'] is False
