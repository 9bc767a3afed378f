"""`symbolon bench` wildcards, retained, churn, renew, fan-in and conn, small: against our broker with tokens and against
mosquitto; what goes wrong on the way is counted; and `token_bench` where tokens end."""
import json
import os
import resource
import subprocess

import pytest
import world
from jose_by_hand import Ed25519
from servers import Mosquitto, Proxy
from world import BUILD, WAIT, enroll, run_cli
from y_bench_test import AUDIENCE, FAILED, USAGE, Editor, bench, check_messages

TOKENS = 12


@pytest.fixture(scope='module')
def as_server(tmp_path_factory):
    """One where a client may have as many tokens as a fast machine makes in two seconds"""
    server = world.As(str(tmp_path_factory.mktemp('as')), **{'token.max_per_client': 1000000})
    yield server
    server.daemon.stop()


@pytest.fixture(scope='module')
def broker(as_server, make_broker):
    made = make_broker(as_server=as_server, audience=AUDIENCE)
    as_server.allow('any', AUDIENCE, 'bench/#', 'pub', 'sub')
    return made


@pytest.fixture(scope='module')
def env(broker, tmp_path_factory):
    return enroll(broker, 'scenarios', tmp_path_factory.mktemp('home'))


@pytest.fixture(params=['ours', 'mosquitto'])
def there(request, nobody, mosquitto, broker, env):
    """(environment, words) that lead to a broker, its process"""
    if request.param == 'ours':
        return env, ['--pid', str(broker.daemon.process.pid)]
    return nobody, ['--pid', str(mosquitto.process.pid), mosquitto.url]


def parts(told, *names):
    assert [part['part'] for part in told['parts']] == list(names)
    for part in told['parts']:
        assert part['measured_us'] > 0 and part['cpu_us'] > 0 and part['generator_cpu_us'] > 0 and part['rss_to_kib'] > 1000
    return [part for part in told['parts']]


# ---- fan-in ----

@pytest.mark.parametrize('qos', ['0', '2'])
def test_fan_in(there, qos):
    env, words = there
    told = bench('fan-in', '-c', '11', '--subscribers', '3', '-q', qos, '-n', '330', *words, env=env)
    check_messages(told, 330)
    run, = parts(told, 'run')
    assert told['subscribers'] == 3 and told['ready'] == 14 and run['operations'] == run['received'] == 330


# ---- wildcards ----

def test_wildcards(there):
    """Subscriptions that match nothing of what goes on; as many as were asked for, in packets of at most 100 filters"""
    env, words = there
    told = bench('wildcards', '-c', '3', '--sessions', '4', '--subscriptions', '1003', '-D', '2', *words, env=env)
    check_messages(told)
    empty, subscribe, full = parts(told, 'empty', 'subscribe', 'full')
    assert subscribe['operations'] == 1003 and subscribe['times']['count'] == 12 and subscribe['received'] == 0
    assert empty['received'] > 0 and full['received'] > 0 and empty['received'] + full['received'] <= told['received']


def test_wildcards_at_a_rate_with_filters_of_ones_own(there):
    env, words = there
    told = bench('wildcards', '-c', '2', '-r', '500', '--sessions', '2', '--subscriptions', '10', '--filters', 'bench/own/%i/#', '-D', '2',
                 *words, env=env)
    check_messages(told)
    assert parts(told, 'empty', 'subscribe', 'full')[1]['operations'] == 10


def test_subscriptions_that_a_token_does_not_cover_are_missed(broker, env):
    """MT-82: refused is not made"""
    told = bench('wildcards', '-c', '1', '--sessions', '2', '--subscriptions', '20', '--filters', 'secret/%i/+', '-D', '0.2', env=env,
                 expect=FAILED)
    errors = {e['error']: e['count'] for e in told['errors']}
    assert errors['20 subscriptions were not made'] == 1 and errors['SUBACK 0x87 Not authorized'] == 2 and told['failed'] == 2


# ---- retained ----

@pytest.mark.parametrize('qos', ['0', '1'])
def test_retained(there, qos):
    """Stored; asked for singly; all at once: each comes once to whoever asks"""
    env, words = there
    told = bench('retained', '-n', '1500', '--sessions', '3', '--subscriptions', '210', '-q', qos, *words, env=env)
    store, single, everything = parts(told, 'store', 'single', 'all')
    assert told['sent'] == told['acknowledged'] == store['operations'] == 1500
    assert single['operations'] == 210 and everything['operations'] == 1500 and told['received'] == told['expected'] == 1710
    assert told['lost'] == told['twice'] == told['strange'] == 0 and told['ready'] == 4


def test_retained_messages_that_do_not_come_are_lost(mosquitto, nobody):
    def drop(packet, state):
        if packet[0] >> 4 == 3:
            state['count'] = state.get('count', 0) + 1
        return [] if packet[0] >> 4 == 3 and state['count'] == 7 else [packet]

    proxy = Editor(mosquitto.port, drop)
    try:
        told = bench('retained', '-n', '100', '--sessions', '1', '--subscriptions', '20', proxy.url, env=nobody, expect=FAILED)
    finally:
        proxy.stop()
    assert told['lost'] == 2 and told['received'] == 118 and 'LOST 2' in told['verdict']  # one of each connection


# ---- churn ----

@pytest.mark.parametrize('qos', ['0', '1', '2'])
def test_churn(there, qos):
    """The guests' messages are counted with the others', not measured with them"""
    env, words = there
    told = bench('churn', '-c', '2', '-r', '400', '--sessions', '4', '-R', '50', '-q', qos, '-D', '4', *words, env=env)
    quiet, churn = parts(told, 'quiet', 'churn')
    assert quiet['operations'] == quiet['received'] and 10 <= churn['operations'] <= 108
    assert churn['operations'] == churn['times']['count'] and churn['latency']['count'] == churn['received']
    assert told['lost'] == told['twice'] == told['failed'] == told['strange'] == 0 and told['sent'] == told['acknowledged']
    assert told['received'] == told['expected'] > quiet['received'] + churn['received']


def test_guests_whose_message_is_lost_are_counted(mosquitto, nobody):
    def drop(packet, state):
        return [] if packet[0] >> 4 == 3 and b'bench/churn/' in packet else [packet]

    proxy = Editor(mosquitto.port, drop)
    try:
        told = bench('churn', '-c', '1', '-r', '50', '--sessions', '3', '-D', '6', proxy.url, env=nobody, expect=FAILED, drain='0.7')
    finally:
        proxy.stop()
    assert told['lost'] >= 6 and told['parts'][1]['operations'] == 0  # three guests, who do not wait for ever


# ---- tokens, new and known ----

def test_connecting_with_tokens_never_seen_and_with_known_ones(as_server, broker, env):
    told = bench('conn', '--again', '-c', '2', '-n', '10', '--fetch', str(TOKENS), env=env)
    assert told['repeated'] == 0 and 10 <= told['connects'] <= TOKENS
    told = bench('conn', '--again', '--keep-token', '-c', '2', '-n', '10', '--fetch', '2', env=env)
    assert told['repeated'] == told['connects'] - 2


def test_renewals(broker, env):
    """RFC 9431 4, MT-103: by challenge and response, in the session, while others' messages go on"""
    before = len(broker.daemon.find('reauthenticated'))
    told = bench('renew', '-c', '1', '-r', '100', '--sessions', '3', '-R', '20', '-D', '4', '--fetch', str(TOKENS), '--pid',
                 str(broker.daemon.process.pid), env=env)
    check_messages(told)
    quiet, renew = parts(told, 'quiet', 'renew')
    assert quiet['times']['count'] == 0 and 7 <= renew['operations'] == renew['times']['count'] <= 44
    assert told['repeated'] >= renew['operations'] - (TOKENS - 5)  # five logged in with the first ones
    broker.daemon.event('reauthenticated', count=before + renew['operations'])


def test_renewals_as_fast_as_they_go(broker, env):
    told = bench('renew', '-c', '1', '-r', '100', '--sessions', '5', '-D', '3', '--opening', '2', '--pid',
                 str(broker.daemon.process.pid), env=env)
    check_messages(told)
    assert told['parts'][1]['operations'] > 5


# ---- what cannot be ----

@pytest.mark.parametrize('words, says', [
    (['renew'], 'tokens'), (['churn', '-D', '0'], 'end'), (['fan-in', '-t', 'x'], 'topics of its own'), (['wildcards', '--filters', 'a/+'], '%i'),
    (['wildcards', '-n', '5'], '-n'), (['retained', '-t', 'x'], '-t'), (['conn', '--sessions', '5'], '--sessions')])
def test_words_that_make_no_sense(nobody, words, says):
    done = run_cli('bench', *words, 'mqtt://localhost', env=nobody)
    assert done.returncode == USAGE and says in done.stderr, done.stderr


def test_too_few_descriptors_are_said_before_anything_is_opened(mosquitto, nobody):
    """The soft limit is raised to the hard one; beyond that it says what is missing"""
    words = [world.program('symbolon'), 'bench', 'conn', '-c', '300', '-D', '0.1', '--json', mosquitto.url]

    def run(soft, hard):
        return subprocess.run(words, capture_output=True, text=True, timeout=WAIT, env=dict(os.environ, **nobody),
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)))

    done = run(100, 1000)
    assert done.returncode == 0 and json.loads(done.stdout)['ready'] == 300, done.stderr
    done = run(100, 200)
    assert done.returncode == FAILED and '300 connections need 332 open files, but this process may have 200' in done.stderr


class Then(Proxy):
    """The first connections go to the one (the very first only asks whether there is anybody), all others to the other."""

    def __init__(self, one, other, first):
        self.other, self.left = other, first
        super().__init__(one)

    def _join(self, near):
        self.left -= 1
        if self.left < 0:
            self.target = self.other
        super()._join(near)


@pytest.mark.parametrize('known, ready', [('both', 9), ('one', 4)])
def test_a_broker_with_two_certificates(tmp_path, nobody, known, ready):
    """The certificate that verified is remembered; another one is verified, too, and one that nobody signed is not taken"""
    made = [Mosquitto(str(tmp_path / name), tls=True) for name in ('one', 'two') if not os.mkdir(tmp_path / name)]
    ca = tmp_path / 'ca.pem'
    ca.write_text(''.join(open(m.ca, encoding='ascii').read() for m in made[:2 if known == 'both' else 1]))
    proxy = Then(made[0].port, made[1].port, 5)
    try:
        told = bench('conn', '-c', '9', '-D', '0.1', '--opening', '1', '--cafile', str(ca), 'mqtts://localhost:%d' % proxy.port, env=nobody,
                     expect=0 if ready == 9 else FAILED)
        assert told['ready'] == ready and told['failed'] == 9 - ready
        assert ready == 9 or [e['count'] for e in told['errors'] if 'certificate' in e['error']] == [5]
    finally:
        proxy.stop()
        for m in made:
            m.stop()


# ---- where tokens end ----

def run_token_bench(*words):
    return subprocess.run([os.path.join(BUILD, 'bench', 'token_bench'), *map(str, words)], capture_output=True, text=True,
                          timeout=4 * WAIT)


def token_bench(*words):
    done = run_token_bench(*words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_storm(told, sessions):
    assert told['cut'] == sessions and told['left'] == told['unexplained'] == 0
    assert 0 < told['first_us'] <= told['p50_us'] <= told['last_us'] and told['storm_cpu_s'] > 0
    assert told['sent'] == told['received'] > 20 and told['lost'] == told['twice'] == told['out_of_order'] == 0
    assert 0 < told['quiet_p50_us'] <= told['quiet_p99_us'] and 0 < told['storm_p50_us'] <= told['storm_max_us']


def key_file(folder):
    key = Ed25519()
    (folder / 'key.pem').write_bytes(key.pem)
    return key, folder / 'key.pem'


def fetch_tokens(as_server, folder, name, audience=AUDIENCE):
    """A file of tokens as token_bench and --tokens want it: each a new one, all bound to one key."""
    key, pem = key_file(folder)
    as_server.add_client(name, key)
    (folder / 'accounts').write_text(name + ' -\n')
    body = {'grant_type': 'client_credentials', 'audience': audience, 'client_id': '@CLIENT@', 'client_assertion': '@ASSERTION@',
            'client_assertion_type': 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', 'req_cnf': {'jwk': key.jwk()}}
    told = token_bench('grants', '--port=%d' % as_server.port, '--ca=' + as_server.ca, '--pid=%d' % as_server.daemon.process.pid, '--clients=1',
                       '--accounts=%s' % (folder / 'accounts'), '--body=' + json.dumps(body), '--key=%s' % pem, '--issuer=' + as_server.url,
                       '--out=%s' % (folder / 'tokens'), '--warmup=0', '--seconds=2')
    assert told['grants'] > 2
    return str(folder / 'tokens')


@pytest.fixture(scope='module')
def tokens(as_server, broker, tmp_path_factory):
    return fetch_tokens(as_server, tmp_path_factory.mktemp('tokens'), 'stormy')


@pytest.mark.parametrize('form', ['cwt', 'reference'])
def test_tokens_of_every_form_log_in(as_server, make_broker, nobody, tmp_path, form):
    """What `token_bench grants --out` wrote: a CWT is presented as its bytes, to a broker that cannot ask; a reference as its text"""
    audience = form + '.example'
    if form == 'cwt':
        as_server.add_rs(audience, token_format='cwt', key='generate')
        keys = as_server.request('GET', '/jwks.json').json
        made = make_broker(audience=audience, issuers=[{'iss': as_server.url, 'jwks': keys}])
    else:
        made = make_broker(as_server=as_server, audience=audience)
        as_server.admin('rs.set', rs_id=audience, token_format=form)
    as_server.allow('any', audience, 'bench/#', 'pub', 'sub')
    told = bench('p2p', '-c', '2', '-n', '20', '--tokens', fetch_tokens(as_server, tmp_path, 'of-' + form, audience), '--cafile', made.ca,
                 'mqtts://localhost:%d' % made.port, env=nobody)
    check_messages(told, 20)
    assert told['ace']


def storm_words(broker, sessions):
    return ['--port=%d' % broker.port, '--ca=' + broker.ca, '--pid=%d' % broker.daemon.process.pid, '--clients=%d' % sessions,
            '--traffic=200', '--quiet=2']


def test_one_token_of_many_sessions_is_revoked(as_server, broker, tokens):
    """All of them are cut, with 0x87; others' messages go on"""
    told = token_bench('revoke-one', *storm_words(broker, 30), '--tokens=' + tokens, '--admin=' + as_server.socket_path)
    check_storm(told, 30)
    broker.daemon.event('token_revoked', count=30)


def test_many_tokens_end_in_one_second(make_broker, tmp_path):
    """All of them are cut when the second begins, none before"""
    key, pem = key_file(tmp_path)
    made = make_broker(audience=AUDIENCE, issuers=[{'iss': 'https://as.test', 'jwks': {'keys': [key.jwk()]}}], **{'token.skew': 0})
    for lead in (4, 15, 60):  # seconds until they end; a slow machine needs more of them to open the sessions
        done = run_token_bench('expiry-storm', *storm_words(made, 20), '--key=%s' % pem, '--issuer=https://as.test',
                               '--audience=' + AUDIENCE, '--lead=%d' % lead)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    check_storm(json.loads(done.stdout), 20)
    made.daemon.event('token_expired', count=20)
