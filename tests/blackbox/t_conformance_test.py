"""The conformance kit against our own broker and authorization server, whole, as anybody would run it. Every case that
there is must apply and pass; how many there are is pinned, so that none is lost in silence.

Bad input leaves nothing behind: the second run must find the broker no larger than the first one left it.
"""
import json
import os
import re

import pytest
from servers import free_port
from world import BUILD, WAIT, As, Daemon, program, run_cli, sanitized

BROKER_CASES = 369
AS_CASES = 46
GROWTH_KIB = 1024 * (4 if 'san' in BUILD else 1)  # of noise: caches, the allocator's own habits


def kit(*words, report, wait=8 * WAIT):
    """Runs it; returns the report. A failure shows the lines that matter."""
    done = run_cli('conformance', *words, '--json', report, wait=wait)
    assert os.path.exists(report), done.stdout[-2000:] + done.stderr
    with open(report, encoding='utf-8') as f:
        out = json.load(f)
    bad = ['%(id)s %(verdict)s %(title)s: %(seen)s' % c for c in out['cases'] if c['verdict'] in ('FAIL', 'ERROR')]
    assert not bad, '\n'.join(bad)
    assert done.returncode == 0, done.stderr
    return out


class Site:
    """A broker set up by `symbolon conformance setup` alone."""

    def __init__(self, folder):
        self.dir = os.path.join(folder, 'kit')
        done = run_cli('conformance', 'setup', '--as-port', str(free_port()), self.dir)
        assert done.returncode == 0, done.stderr
        self.words = done.stdout
        config, ports = os.path.join(self.dir, 'run.yaml'), os.path.join(folder, 'ports')
        with open(os.path.join(self.dir, 'broker.yaml'), encoding='utf-8') as f:
            settings = f.read()
        with open(config, 'w', encoding='utf-8') as f:
            f.write('workers: 2\nlisteners:\n  - {address: "127.0.0.1", port: 0, certificate: as.pem, key: as.key}\n' + settings)
        self.daemon = Daemon(program('symbolon-broker'), '--config', config, '--ports-file', ports)
        self.daemon.event('broker_started')
        with open(ports, encoding='ascii') as f:
            self.port = dict(line.strip().split('=') for line in f)['mqtts']

    def run(self, report, *more):
        return kit('broker', 'localhost', '-p', self.port, '--cafile', os.path.join(self.dir, 'as-ca.pem'), '--dir', self.dir,
                   '--auth-timeout', '3000', '--wait', '15000', '--pid', str(self.daemon.process.pid), *more, report=report)


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    made = Site(str(tmp_path_factory.mktemp('site')))
    yield made
    made.daemon.stop()


@pytest.fixture(scope='module')
def first(site, tmp_path_factory):
    return site.run(str(tmp_path_factory.mktemp('report') / 'first.json'))


def test_every_case_for_brokers_applies_and_passes(first):
    """Each case names its own clauses (src/kit/theme_*.c)"""
    left = [c['id'] + ' ' + c['seen'] for c in first['cases'] if c['verdict'] != 'PASS']
    assert not left, left
    assert first['summary']['pass'] == BROKER_CASES


def test_hostile_cases_leave_nothing_behind(site, first, tmp_path):
    """MT-40; RFC 9431 8: memory is back to where it was"""
    if sanitized():
        pytest.skip('what is freed waits in the quarantine of the sanitizer, which looks for leaks itself')
    again = site.run(str(tmp_path / 'again.json'), *[w for t in hostile_themes(first) for w in ('--only', t)])
    assert again['memory_after_kib'] - again['memory_before_kib'] < GROWTH_KIB, again['summary']


def hostile_themes(report):
    slow = {'expiry', 'will_retained', 'introspection'}
    return sorted({c['theme'] for c in report['cases'] if c['hostile']} - slow)


def test_the_draft_is_understood_too(site, tmp_path):
    """D-1, D-15, D-18, D-20: --draft06 asks for the older forms, which are all taken"""
    report = site.run(str(tmp_path / 'draft.json'), '--draft06', '--only', 'B-102', '--only', 'B-304', '--only', 'B-305',
                      '--only', 'B-402', '--only', 'B-612', '--only', 'B-1403')
    assert report['summary'] == {'pass': 6, 'fail': 0, 'not_applicable': 0, 'error': 0}


def test_ids_are_unique_and_titles_are_there(first):
    ids = [c['id'] for c in first['cases']]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r'B-\d{3,4}', i) for i in ids)
    assert all(c['title'] and c['clauses'] for c in first['cases'])


def test_a_seed_makes_the_same_run_again(site, tmp_path):
    """The same identifiers and keys from the same number"""
    one = site.run(str(tmp_path / '1.json'), '--seed', '7', '--only', 'B-201', '--only', 'B-301')
    two = site.run(str(tmp_path / '2.json'), '--seed', '7', '--only', 'B-201', '--only', 'B-301')
    assert [c['seen'] for c in one['cases']] == [c['seen'] for c in two['cases']]


def test_a_capture_holds_the_secrets_and_the_packets(site, tmp_path):
    """pcapng: section, interface, secrets for TLS in NSS form, packets"""
    file = tmp_path / 'run.pcapng'
    site.run(str(tmp_path / 'r.json'), '--only', 'B-201', '--capture', str(file))
    data = file.read_bytes()
    kinds, at = [], 0
    while at < len(data):
        kind, length = int.from_bytes(data[at:at + 4], 'little'), int.from_bytes(data[at + 4:at + 8], 'little')
        assert data[at + length - 4:at + length] == data[at + 4:at + 8]
        kinds.append(kind)
        at += length
    assert at == len(data)
    assert kinds[:3] == [0x0A0D0D0A, 1, 10] and set(kinds[3:]) == {6}
    assert b'CLIENT_HANDSHAKE_TRAFFIC_SECRET ' in data and b'EXPORTER_SECRET ' in data


def test_without_keys_most_cases_do_not_apply_and_none_fails(site, tmp_path):
    """A stranger's run: no issuer key, no public topic"""
    report = kit('broker', 'localhost', '-p', site.port, '--cafile', os.path.join(site.dir, 'as-ca.pem'),
                 report=str(tmp_path / 'stranger.json'))
    assert report['summary']['pass'] >= 15 and report['summary']['not_applicable'] > 200


def test_setup_says_which_cases_it_makes_nothing_for(site, tmp_path):
    without = run_cli('conformance', 'setup', str(tmp_path / 'kit')).stdout
    assert '--as-port' in without and '--as-port' not in site.words and 'introspection' in site.words


def test_nobody_there_is_no_pass(tmp_path):
    done = run_cli('conformance', 'broker', '127.0.0.1', '-p', str(free_port()), '--only', 'B-101', '--insecure')
    assert done.returncode != 0 and 'ERROR' in done.stdout


def test_every_case_for_authorization_servers_applies_and_passes(tmp_path):
    """The same for the AS: over HTTPS, in JSON, forms and CBOR"""
    server = As(str(tmp_path))
    try:
        rs = server.add_rs('kit.broker', key='generate')
        client = server.add_client('kit')
        server.allow('client:kit', 'kit.broker', 'kit/#', 'pub', 'sub')
        secrets = [tmp_path / 'client.secret', tmp_path / 'rs.secret']
        for path, principal in zip(secrets, (client, rs)):
            path.touch(0o600)
            path.write_text(principal.secret + '\n', encoding='ascii')
        report = kit('as', server.url, '--as-ca', server.ca, '--client-id', client.id, '--client-secret-file', str(secrets[0]),
                     '--audience', 'kit.broker', '--rs-id', rs.id, '--rs-secret-file', str(secrets[1]),
                     report=str(tmp_path / 'as.json'))
        left = [c['id'] + ' ' + c['seen'] for c in report['cases'] if c['verdict'] != 'PASS']
        assert not left, left
        assert report['summary']['pass'] == AS_CASES
    finally:
        server.daemon.stop()


def test_a_broker_with_tokens_of_a_real_server(tmp_path):
    """--as: the kit gets its tokens where any client would; what needs tokens of its own making does not apply"""
    from world import Broker
    server = As(str(tmp_path))
    broker = Broker(str(tmp_path), as_server=server, audience='kit.broker', workers=2)
    try:
        client = server.add_client('kit')
        server.allow('client:kit', 'kit.broker', 'kit/#', 'pub', 'sub')
        report = kit('broker', 'localhost', '-p', str(broker.port), '--cafile', broker.ca, '--as', server.url, '--as-ca', server.ca,
                     '--client-id', client.id, '--client-secret', client.secret, '--audience', 'kit.broker', '--only', 'connect',
                     '--only', 'exporter', '--only', 'challenge', '--only', 'reauth', '--only', 'session',
                     report=str(tmp_path / 'real.json'))
        assert report['summary']['pass'] >= 60, report['summary']
    finally:
        broker.daemon.stop()
        server.daemon.stop()
