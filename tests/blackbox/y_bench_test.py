"""`symbolon bench`, each mode for a moment: against our broker with tokens, against mosquitto with and without TLS, and
through a proxy that loses, doubles and swaps messages, which it must see."""
import json
import os
import re
import signal
import subprocess

import mqtt5
import pytest
from servers import Proxy, free_port
from world import WAIT, enroll, program, run_cli

AUDIENCE = 'broker.example'
FAILED, USAGE, UNREACHABLE = 1, 2, 3


def bench(*words, env=None, expect=0, drain=None):
    """What is lost is waited for, the longer if nothing should be."""
    drain = drain or ('30' if expect == 0 else '3')
    done = run_cli('bench', *words, '--json', '--drain', drain, env=env, wait=2 * WAIT)
    assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
    told = json.loads(done.stdout)
    assert told['ok'] == (expect == 0), told
    return told


def secure(guarded):
    return [guarded.url, '--cafile', guarded.ca, '-u', 'u']


def check_messages(told, sent=None, copies=1):
    assert told['lost'] == told['twice'] == told['out_of_order'] == told['failed'] == 0 and told['errors'] == []
    assert told['sent'] == told['acknowledged'] > 0 and sent in (None, told['sent'])
    assert told['received'] == told['expected'] == told['sent'] * copies
    latency = told['latency']
    assert 0 < latency['p50_us'] <= latency['p90_us'] <= latency['p99_us'] <= latency['p999_us'] <= latency['max_us']


# ---- mosquitto ----

@pytest.mark.parametrize('qos', ['0', '1', '2'])
@pytest.mark.parametrize('version', ['5', '311'])
def test_pairs(mosquitto, nobody, qos, version):
    # A small window: MQTT 3.1.1 has no Receive Maximum, and mosquitto drops QoS 2 beyond its own limit of 20.
    told = bench('p2p', '-c', '4', '-q', qos, '-n', '2000', '-w', '10', '-V', version, mosquitto.url, env=nobody)
    check_messages(told, 2000)
    assert told['mqtt'] == {'5': 5, '311': 4}[version] and not told['tls'] and not told['ace']


def test_pairs_over_tls_with_a_password(guarded, nobody):
    told = bench('p2p', '-c', '3', '-q', '1', '-n', '600', '--batch', '4', '-P', 'secret', *secure(guarded), env=nobody)
    check_messages(told, 600)
    assert told['tls'] and told['connect']['count'] == 6


def test_a_password_that_is_wrong(guarded, nobody):
    told = bench('p2p', '-c', '2', '-D', '1', '-P', 'wrong', *secure(guarded), env=nobody, expect=FAILED)
    assert told['ready'] == 0 and told['failed'] == 4
    assert told['errors'] == [{'error': 'CONNACK 0x87 Not authorized', 'count': 4}]


def test_a_certificate_that_is_not_trusted(guarded, nobody):
    for words in (['-D', '1'], ['-D', '0.2', '--again']):
        told = bench('conn', '-c', '2', *words, guarded.url, env=nobody, expect=FAILED)
        assert told['ready'] == 0 and 'certificate' in told['errors'][0]['error']


def test_fan_out(mosquitto, nobody):
    check_messages(bench('fan-out', '-c', '30', '-q', '1', '-n', '100', mosquitto.url, env=nobody), 100, copies=30)


def test_a_rate_is_kept(mosquitto, nobody):
    """Open loop: about as many as asked for, none of them lost"""
    told = bench('p2p', '-c', '2', '-r', '2000', '-D', '1', mosquitto.url, env=nobody)
    check_messages(told)
    assert 100 <= told['sent'] <= 2100  # a slow machine may not reach it


@pytest.mark.parametrize('qos', ['0', '1'])
def test_publishing_alone(mosquitto, nobody, qos):
    """QoS 0 is confirmed by a PINGRESP behind the last message"""
    told = bench('pub', '-c', '3', '-q', qos, '-n', '5000', '-s', '200', mosquitto.url, env=nobody)
    assert told['sent'] == told['acknowledged'] == 5000 and told['received'] == 0
    assert told['unmatched'] == (5000 if qos == '1' else 0)


def test_subscribing_to_what_another_publishes(mosquitto, nobody):
    """Stamps of another process on this machine: gaps and latency are seen"""
    words = [program('symbolon'), 'bench', 'sub', '-c', '5', '-t', 'other/#', '-q', '1', '-n', '1000', '-D', str(WAIT), '--json', mosquitto.url]
    sub = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=dict(os.environ, **nobody))
    mosquitto.wait_for_subscriptions('other/#', 5)
    bench('pub', '-c', '2', '-t', 'other/%i', '-q', '1', '-n', '200', '-w', '20', mosquitto.url, env=nobody)
    told = json.loads(sub.communicate(timeout=WAIT)[0])
    assert sub.returncode == 0 and told['received'] == told['expected'] == 1000, told
    assert told['latency']['count'] == 1000 and told['lost'] == 0


def test_connections_that_stay(mosquitto, nobody):
    told = bench('conn', '-c', '200', '-D', '0.2', mosquitto.url, env=nobody)
    assert told['ready'] == told['connects'] == told['connect']['count'] == 200 and told['failed'] == 0


def test_connections_at_a_rate(mosquitto, nobody):
    told = bench('conn', '-c', '20', '-R', '40', '-D', '0.1', mosquitto.url, env=nobody)
    assert told['ready'] == 20 and told['opening_us'] > 400000


def test_connections_that_come_and_go(mosquitto, nobody):
    told = bench('conn', '--again', '-c', '4', '-n', '100', '--pid', str(mosquitto.process.pid), mosquitto.url, env=nobody)
    assert 100 <= told['connects'] <= 104 and told['connects_per_s'] > 0 and told['failed'] == 0
    assert told['process']['rss_kib'] > 1000


def test_topics_and_identifiers_from_patterns(mosquitto, nobody):
    words = ['mosquitto_sub', '-h', '127.0.0.1', '-p', str(mosquitto.port), '-t', 'named/#', '-C', '2', '-F', '%t', '-W', str(WAIT)]
    witness = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    mosquitto.wait_for_subscriptions('named/#')
    told = bench('p2p', '-c', '2', '-i', 'dev-%i', '-t', 'named/%c/%i', '-n', '2', '-w', '1', mosquitto.url, env=nobody)
    check_messages(told, 2)
    assert sorted(witness.communicate(timeout=WAIT)[0].split()) == ['named/dev-2/0', 'named/dev-3/1']


def test_large_payloads(mosquitto, nobody):
    check_messages(bench('p2p', '-c', '2', '-q', '1', '-s', '300000', '-n', '40', mosquitto.url, env=nobody), 40)


# ---- what people see ----

def test_a_line_each_second_and_a_summary(mosquitto, nobody):
    done = run_cli('bench', 'p2p', '-c', '2', '-r', '100', '-D', '4.3', mosquitto.url, env=nobody)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0].split() == ['time', 'connected', 'sent/s', 'recv/s', 'p50', 'p99', 'errors']
    assert sum(re.match(r'\s*[1-4]s\s+4\s', line) is not None for line in lines) >= 2
    assert 'everything that was sent arrived, once and in order' in lines[-1] and '\033' not in done.stdout
    assert '0 lost, 0 twice, 0 out of order' in done.stdout and 'p99.9' in done.stdout


def test_interrupted_it_still_tells(mosquitto, nobody):
    process = subprocess.Popen([program('symbolon'), 'bench', 'p2p', '-c', '2', '-r', '1000', '-D', '60', mosquitto.url],
                               stdout=subprocess.PIPE, text=True, env=dict(os.environ, **nobody))
    while '1s' not in (line := process.stdout.readline()):
        assert line, 'it ended'
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=WAIT)[0]
    assert process.returncode == 0 and 'interrupted everything that was sent arrived' in out, out


@pytest.mark.parametrize('words, says', [
    (['p2p', '-t', 'x/%d'], '%d'), (['p2p', '-i', 'same'], '%i'), (['p2p', '-D', 'soon'], 'seconds'),
    (['p2p', '-s', '10'], '28'), (['p2p', 'ftp://x'], 'mqtts://'), (['p2p', 'a', 'b'], 'one broker'),
    (['conn', '-q', '1'], '-q'), (['pub', '--token', 'x', 'mqtt://localhost'], 'plain TCP'),
    (['pub', '--tokens', 'x', '--insecure', 'mqtts://localhost'], '--insecure'), (['storm'], 'storm')])
def test_words_that_make_no_sense(nobody, words, says):
    done = run_cli('bench', *words, env=nobody)
    assert done.returncode == USAGE and says in done.stderr, done.stderr


def test_nobody_there(nobody):
    done = run_cli('bench', 'pub', 'mqtt://127.0.0.1:%d' % free_port(), env=nobody)
    assert done.returncode == UNREACHABLE and 'refused' in done.stderr


# ---- our broker, with tokens ----

@pytest.fixture(scope='module')
def broker(as_server, make_broker):
    more = {'wss': {'transport': 'websocket'}, 'plain': {'tls': False}}
    made = make_broker(as_server=as_server, audience=AUDIENCE, more_listeners=more, public=[['open/#', ['pub', 'sub']]])
    as_server.allow('any', AUDIENCE, 'bench/#', 'pub', 'sub')
    return made


@pytest.fixture(scope='module')
def env(broker, tmp_path_factory):
    return enroll(broker, 'loader', tmp_path_factory.mktemp('home'))


@pytest.mark.parametrize('version', ['5', '311'])
def test_pairs_with_a_token_of_the_profile(broker, env, version):
    """MT-56; RFC 9431 6.1: a proof over each connection's own exporter value"""
    told = bench('p2p', '-c', '3', '-q', '2', '-n', '300', '-V', version, env=env)
    check_messages(told, 300)
    assert told['ace'] and told['tls']


@pytest.mark.parametrize('more', [['-q', '2', '-n', '300'], ['--batch', '7', '-w', '14', '-n', '210'], ['-s', '100000', '-n', '20']])
def test_pairs_over_websocket_with_a_token(broker, env, more):
    """MQTT5 6: one packet in a frame, or many, or a large one; MT-56: the exporter of the TLS session underneath"""
    told = bench('p2p', '-c', '2', *more, '--as', broker.as_server.url, '--client-id', 'loader', '--audience', AUDIENCE,
                 'wss://localhost:%d/mqtt' % broker.ports['wss'], env=env)
    check_messages(told, int(more[-1]))
    assert told['websocket'] and told['tls'] and told['ace']


@pytest.mark.parametrize('mode, copies', [('p2p', 1), ('fan-out', 3)])
def test_our_broker_in_the_clear(broker, nobody, mode, copies):
    """On this machine alone, topics that are everybody's"""
    url = 'mqtt://127.0.0.1:%d' % broker.ports['plain']
    told = bench(mode, '-c', '3', '-q', '2', '-n', '300', '-t', 'open/x' + ('/%i' if mode == 'p2p' else ''), url, env=nobody)
    check_messages(told, 300, copies=copies)
    assert not told['tls'] and not told['ace']


def test_a_path_where_no_websocket_is(broker, env):
    url = 'wss://localhost:%d/elsewhere' % broker.ports['wss']
    told = bench('conn', '-c', '2', '-D', '0.1', url, env=env, expect=FAILED)
    assert told['ready'] == 0 and told['errors'][0]['count'] == 2


def test_many_tokens(as_server, broker, env):
    """--fetch: so many tokens are asked for, whatever the cache holds"""
    before = len(as_server.daemon.find('token_issued'))
    told = bench('conn', '-c', '6', '--fetch', '3', '-D', '0.1', env=env)
    assert told['ready'] == 6 and told['ace']
    as_server.daemon.event('token_issued', count=before + 3)


def test_a_token_in_a_file(broker, env, tmp_path):
    token, key = tmp_path / 'token', tmp_path / 'key.pem'
    assert run_cli('key', 'new', str(key)).returncode == 0
    done = run_cli('token', 'get', '--key', str(key), '--raw', '--no-cache', env=env)
    if done.returncode != 0:  # the profile's own key is the one that is registered
        with open(os.path.join(env['XDG_CONFIG_HOME'], 'symbolon', 'config.json'), encoding='utf-8') as f:
            key = json.load(f)['key']
        done = run_cli('token', 'get', '--raw', env=env)
    assert done.returncode == 0, done.stderr
    token.write_text(done.stdout)
    token.chmod(0o600)
    told = bench('fan-out', '-c', '5', '-n', '20', '--token', str(token), '--key', str(key), env=env)
    check_messages(told, 20, copies=5)


def test_a_topic_that_no_token_covers(broker, env):
    """MT-82: each SUBACK says so, and the run fails"""
    told = bench('sub', '-c', '2', '-t', 'secret/#', '-D', '1', env=env, expect=FAILED)
    assert told['errors'][0]['count'] == 2 and 'SUBACK 0x87' in told['errors'][0]['error']


def test_publishing_what_no_token_covers(broker, env):
    told = bench('pub', '-c', '1', '-q', '1', '-t', 'secret/%i', '-n', '5', env=env, expect=FAILED)
    assert told['refused'] == 5 and 'PUBACK 0x87' in told['errors'][0]['error']


# ---- losses ----

class Editor(Proxy):
    """What the broker sends passes `edit` packet by packet: it returns the packets that go on instead."""

    def __init__(self, port, edit):
        self.edit = edit
        super().__init__(port, chunk=65536)

    def answer(self, data, state):
        packets, state['rest'] = mqtt5.split(state.get('rest', b'') + data)
        return b''.join(p for packet in packets for p in self.edit(packet, state))


@pytest.fixture
def proxy(mosquitto):
    made = []

    def make(edit):
        made.append(Editor(mosquitto.port, edit))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def every(n, do):
    """Every n-th PUBLISH of a connection becomes do(packet, state)."""
    def edit(packet, state):
        if packet[0] >> 4 != 3:
            return [packet]
        state['count'] = state.get('count', 0) + 1
        return do(packet, state) if state['count'] % n == 0 else [packet]
    return edit


@pytest.mark.parametrize('qos', ['0', '1'])
def test_a_lossy_way_is_seen(proxy, nobody, qos):
    told = bench('p2p', '-c', '2', '-q', qos, '-n', '400', '-w', '100', proxy(every(50, lambda p, s: [])).url, env=nobody,
                 expect=FAILED)
    assert told['lost'] == told['expected'] - told['received'] and 6 <= told['lost'] <= 8
    assert 'LOST %d' % told['lost'] in told['verdict']


def test_the_last_message_is_missed_too(proxy, nobody):
    """No gap shows what nothing follows"""
    told = bench('p2p', '-c', '1', '-n', '10', proxy(every(10, lambda p, s: [])).url, env=nobody, expect=FAILED)
    assert told['lost'] == 1 and told['received'] == 9


def test_doubled_messages_are_seen(proxy, nobody):
    told = bench('p2p', '-c', '1', '-q', '0', '-n', '100', proxy(every(10, lambda p, s: [p, p])).url, env=nobody, expect=FAILED)
    assert told['twice'] == 10 and told['lost'] == 0 and told['received'] == 100


def test_a_doubled_message_of_qos_1_is_permitted(proxy, nobody):
    """MQTT5 4.3.2: at least once"""
    told = bench('p2p', '-c', '1', '-q', '1', '-n', '100', '-w', '10', proxy(every(50, lambda p, s: [p, p])).url, env=nobody)
    assert told['twice'] == 2 and 'QoS 1 permits' in told['verdict']


def test_swapped_messages_are_seen(proxy, nobody):
    def edit(packet, state):
        if packet[0] >> 4 != 3:
            return [packet]
        state['count'] = state.get('count', 0) + 1
        if state['count'] == 5:
            state['held'] = packet
            return []
        return [packet, state.pop('held')] if 'held' in state else [packet]

    told = bench('p2p', '-c', '1', '-n', '100', proxy(edit).url, env=nobody, expect=FAILED)
    assert told['out_of_order'] == 1 and told['lost'] == told['twice'] == 0


def test_a_lost_connection_is_a_failure(proxy, nobody):
    def edit(packet, state):
        if packet[0] >> 4 == 3:
            raise OSError('cut')
        return [packet]

    told = bench('p2p', '-c', '1', '-r', '50', '-D', '0.5', proxy(edit).url, env=nobody, expect=FAILED)
    assert told['failed'] == 1 and told['lost'] > 0 and 'connection' in told['errors'][0]['error']
