"""Our client at Debian's mosquitto, over plain TCP and TLS, in MQTT 5 and 3.1.1; and our options beside those of
mosquitto_pub, mosquitto_sub and mosquitto_rr, which must say the same with the same words."""
import json
import os
import re
import subprocess
import time

import mqtt5
import pytest
from servers import Listener, Mosquitto, free_port
from world import WAIT, make_ca, make_client_certificate, program, run_cli, wait_for

V5, V3 = ['-V', 'mqttv5'], ['-V', 'mqttv311']


class At:
    """A place to connect to, for our commands and for mosquitto's."""

    def __init__(self, broker):
        where = ['-h', 'localhost', '-p', str(broker.port)]
        safe = ['--cafile', broker.ca] if broker.ca else []
        self.port = broker.port
        self.theirs = [*where, *safe]
        self.ours = [*where, '--no-ace', *(safe or ['--no-tls'])]

    def pub(self, *words, **more):
        done = run_cli('pub', *self.ours, *words, **more)
        assert done.returncode == 0, done.stderr
        return done

    def their_pub(self, *words, stdin=None):
        subprocess.run(['mosquitto_pub', *self.theirs, *words], check=True, timeout=WAIT, input=stdin, text=True)

    def sub(self, *words, theirs=False):
        # stdbuf is not for ours: preloading keeps sanitizers out
        start = ['stdbuf', '-oL', 'mosquitto_sub', *self.theirs] if theirs else [program('symbolon'), 'sub', *self.ours]
        return Sub([*start, *words])


class Sub:
    """A subscriber that prints; up once the broker has answered."""

    def __init__(self, words):
        self.process = subprocess.Popen([*words, '-d'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True)
        self.first = []
        for line in self.process.stdout:
            if 'Subscribed (mid' in line or 'subscribed to' in line:
                return
            self.first.append(line)
        raise AssertionError(''.join(self.first))

    def lines(self):
        """What it printed until it ended."""
        text, _ = self.process.communicate(timeout=WAIT)
        return [line for line in text.splitlines() if not re.match(r'Client |symbolon sub: |Subscribed ', line)]


@pytest.fixture(scope='module', params=['plain', 'tls'])
def at(request, tmp_path_factory):
    broker = Mosquitto(str(tmp_path_factory.mktemp('mosquitto')), tls=request.param == 'tls')
    yield At(broker)
    broker.stop()


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    broker = Mosquitto(str(tmp_path_factory.mktemp('mosquitto')))
    yield At(broker)
    broker.stop()


@pytest.fixture
def started(tmp_path):
    """started(**what Mosquitto takes): brokers that end with the test."""
    made = []

    def start(**settings):
        made.append(Mosquitto(str(tmp_path), **settings))
        return made[-1]

    yield start
    for broker in made:
        if broker.process.poll() is None:
            broker.stop()


@pytest.mark.parametrize('version', [V5, V3])
@pytest.mark.parametrize('qos', ['0', '1', '2'])
def test_messages_go_both_ways(at, version, qos):
    theirs = at.sub(*version, '-t', 'a/#', '-q', qos, '-v', '-C', '2', theirs=True)
    at.pub(*version, '-t', 'a/b', '-q', qos, '-m', 'one')
    at.pub(*version, '-t', 'a/c', '-q', qos, '-s', stdin='two')
    assert theirs.lines() == ['a/b one', 'a/c two']
    ours = at.sub(*version, '-t', 'a/#', '-q', qos, '-v', '-C', '2')
    at.their_pub(*version, '-t', 'a/b', '-q', qos, '-m', 'one')
    at.their_pub(*version, '-t', 'a/c', '-q', qos, '-m', 'two')
    assert ours.lines() == ['a/b one', 'a/c two']


@pytest.mark.parametrize('version', [V5, V3])
def test_a_session_waits_for_its_client(at, version):
    name = 'waits' + version[1]
    assert run_cli('sub', *at.ours, *version, '-c', '-i', name, '-t', 'w/#', '-q', '1', '-E').returncode == 0
    at.their_pub('-t', 'w/x', '-q', '1', '-m', 'while you were out')
    back = run_cli('sub', *at.ours, *version, '-c', '-i', name, '-t', 'w/#', '-q', '1', '-C', '1', '-W', str(WAIT))
    assert (back.returncode, back.stdout) == (0, 'while you were out\n')


@pytest.mark.parametrize('version', [V5, V3])
def test_a_request_gets_its_response(at, version):
    answering = at.sub(*version, '-t', 'req', '-C', '1')
    asking = subprocess.Popen([program('symbolon'), 'rr', *at.ours, *version, '-t', 'req', '-e', 'resp', '-m', 'q', '-W', str(WAIT)],
                              stdout=subprocess.PIPE, text=True)
    assert answering.lines() == ['q']
    at.their_pub('-t', 'resp', '-m', 'a')
    assert asking.communicate(timeout=WAIT)[0] == 'a\n'


def test_many_lines(at):
    lines = ['line %d' % i for i in range(2000)]
    theirs = at.sub('-V', 'mqttv311', '-t', 'l', '-q', '2', '-C', str(len(lines)), theirs=True)
    at.pub('-t', 'l', '-l', '-q', '2', stdin='\n'.join(lines) + '\n')
    assert theirs.lines() == lines


PROPERTIES = [
    '-D', 'publish', 'content-type', 'text/x', '-D', 'publish', 'response-topic', 'r/t', '-D', 'publish', 'correlation-data',
    'cd', '-D', 'publish', 'message-expiry-interval', '1000', '-D', 'publish', 'payload-format-indicator', '1',
    '-D', 'publish', 'user-property', 'k', 'v', '-D', 'publish', 'user-property', 'k2', 'v 2']
FORMATS = ['%t|%p|%x|%X|%l|%q|%r|%C|%D|%E|%F|%P|%R|%S|%%', r'\t%p\n\\', '%10t|%-10t|%3.2t|%.1t', '%10p|%-10p', '%08l|%-8l|%8l',
           '@Y@m@d|@@', '%I', '%C|%5C|%.2C', '%12R|%-12R']


@pytest.mark.parametrize('words', [PROPERTIES, ['-r'], []], ids=['properties', 'retained', 'bare'])
def test_formats_print_what_mosquitto_sub_prints(plain, words):
    both = '\n'.join(FORMATS)
    for publish in plain.their_pub, plain.pub:
        subs = [plain.sub(*V5, '-t', 'f/#', '-q', '1', '-C', '1', '-F', both, '-D', 'subscribe', 'user-property', 'a', 'b',
                          theirs=theirs) for theirs in (True, False)]
        publish(*V5, '-t', 'f/one', '-q', '1', '-m', '{"a": 1}', *words)
        theirs, ours = (s.lines() for s in subs)
        assert [re.sub(r'T..:..:..', 'T', line) for line in ours] == [re.sub(r'T..:..:..', 'T', line) for line in theirs]
        plain.their_pub('-t', 'f/one', '-r', '-n')


@pytest.mark.parametrize('letter', 'jJ')
def test_json_holds_what_mosquitto_subs_holds(plain, letter):
    subs = [plain.sub(*V5, '-t', 'j/#', '-q', '1', '-C', '1', '-F', '%' + letter, theirs=theirs) for theirs in (True, False)]
    plain.pub(*V5, '-t', 'j/one', '-q', '1', '-m', '{"a": 1}', *PROPERTIES)
    theirs, ours = (json.loads(s.lines()[0]) for s in subs)
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d{4}', ours.pop('tst'))
    del theirs['tst']  # says Z and an offset
    assert ours == theirs
    pretty = plain.sub('-t', 'j/#', '-C', '1', '-F', '%j', '--pretty')
    plain.pub('-t', 'j/one', '-m', 'x')
    assert len(pretty.lines()) > 5


def test_a_url_says_where(plain):
    sub = plain.sub('-t', 'u/#', '-C', '1', '-v', theirs=True)
    done = run_cli('pub', '-L', 'mqtt://localhost:%d/u/rl' % plain.port, '--no-ace', '-m', 'x', '-I', 'me-', '-A', '127.0.0.1')
    assert done.returncode == 0, done.stderr
    assert sub.lines() == ['u/rl x']
    for bad in ('http://localhost/t', 'mqtt://localhost:0/t', 'mqtt://:1/t', 'mqtt://[::1/t', 'mqtt://a:b/t'):
        assert run_cli('pub', '-L', bad, '--no-ace', '-m', 'x').returncode == 2


def test_users_have_names_and_passwords(started):
    broker = started(password=('somebody', 'secret'))
    place = ['--no-ace', '--no-tls', '-h', 'localhost', '-p', str(broker.port), '-t', 't', '-m', 'x', '-q', '1']
    assert run_cli('pub', *place, '-u', 'somebody', '-P', 'secret').returncode == 0
    assert run_cli('pub', *place, '-u', 'somebody', '-P', 'wrong').returncode == 4
    url = ['-L', 'mqtt://somebody:secret@localhost:%d/t' % broker.port, '--no-ace', '-m', 'x', '-q', '1']
    assert run_cli('pub', *url).returncode == 0


def test_a_client_shows_its_certificate(tmp_path, started):
    mine = str(tmp_path / 'mine')
    os.mkdir(mine)
    ca, key = make_ca(mine)
    certificate, its_key = make_client_certificate(mine, ca, key, 'machine')
    broker = started(tls=True, require_certificate='true', cafile=ca)
    place = ['--no-ace', '-h', 'localhost', '-p', str(broker.port), '--cafile', broker.ca, '-t', 't', '-m', 'x', '-q', '1']
    assert run_cli('pub', *place).returncode != 0
    done = run_cli('pub', *place, '--cert', certificate, '--key', its_key)
    assert done.returncode == 0, done.stderr


def test_a_socket_in_the_file_system(tmp_path, started):
    path = str(tmp_path / 'sock')
    started(**{'listener 0': path})
    done = run_cli('pub', '--unix', path, '--no-ace', '--no-tls', '-t', 't', '-m', 'x', '-q', '1')
    assert done.returncode == 0, done.stderr


def test_repeating_and_leaving_out(plain):
    sub = plain.sub('-t', 'n/#', '-T', 'n/not', '-C', '5')
    plain.pub('-t', 'n/not', '-m', 'no')
    plain.pub('-t', 'n/yes', '-m', 'yes', '--repeat', '5', '--repeat-delay', '0.01', '-q', '1', '--topic-aliases', '4')
    assert sub.lines() == ['yes'] * 5
    some = plain.sub('-t', 'n/#', '-C', '400', '--random-filter', '50')
    plain.pub('-t', 'n/yes', '-m', 'yes', '--repeat', '400', '-q', '1')
    assert 100 < len(some.lines()) < 300


def test_retained_messages_are_removed(plain):
    for topic in ('ret/a', 'ret/b', 'ret/keep'):
        plain.their_pub('-t', topic, '-r', '-m', topic)
    done = run_cli('sub', *plain.ours, '-t', 'ret/#', '-T', 'ret/keep', '--remove-retained', '-C', '2', '-W', str(WAIT))
    assert sorted(done.stdout.split()) == ['ret/a', 'ret/b']
    left = subprocess.run(['mosquitto_sub', *plain.theirs, '-t', 'ret/a', '-t', 'ret/b', '-t', 'ret/keep', '-C', '1'],
                          capture_output=True, text=True, timeout=WAIT, check=False)
    assert left.stdout == 'ret/keep\n'  # in the order of the filters
    plain.their_pub('-t', 'ret/keep', '-r', '-n')


def test_unsubscribing_first(plain):
    name = ['-c', '-i', 'unsub', '-q', '1']
    assert run_cli('sub', *plain.ours, *name, '-t', 'un/old', '-E').returncode == 0
    assert run_cli('sub', *plain.ours, *name, '-t', 'un/new', '-U', 'un/old', '-E').returncode == 0
    plain.their_pub('-t', 'un/old', '-m', 'old', '-q', '1')
    plain.their_pub('-t', 'un/new', '-m', 'new', '-q', '1')
    done = run_cli('sub', *plain.ours, *name, '-t', 'un/new', '-C', '1', '-W', str(WAIT))
    assert done.stdout == 'new\n'


def test_a_will_with_its_properties(plain):
    watching = plain.sub(*V5, '-t', 'will/#', '-C', '1', '-F', '%t %p %C %P', theirs=True)
    dying = plain.sub('-t', 'x', '--will-topic', 'will/t', '--will-payload', 'gone', '--will-qos', '1', '-D', 'will',
                      'content-type', 'ct', '-D', 'will', 'user-property', 'a', 'b')
    dying.process.kill()
    assert watching.lines() == ['will/t gone ct a:b']
    dying.process.communicate(timeout=WAIT)


def test_a_subscriber_comes_back_and_subscribes_anew(started):
    broker = started()
    place = At(broker)
    sub = place.sub('-t', 'back/#', '-C', '1', '--reconnect-min', '0.05', '--reconnect-max', '0.2')
    broker.stop()
    broker.start()

    def ended():
        place.their_pub('-t', 'back/x', '-m', 'here again')
        return sub.process.poll() is not None
    wait_for(ended)
    assert sub.lines()[-1] == 'here again'


# ---- a broker that sends us elsewhere (MQTT5 4.11) ----

def elsewhere(reason, reference):
    """Refuses CONNECT with this Server Reference; its port, and the list of connections it had."""
    seen = []

    def talk(s):
        seen.append(1)
        s.recv(4096)
        s.sendall(mqtt5.packet(mqtt5.CONNACK, 0, bytes([0, reason]) + mqtt5.properties(server_reference=reference)))
        s.recv(4096)
        s.close()

    return Listener(talk).port, seen


@pytest.mark.parametrize('reason', [0x9c, 0x9d])
def test_a_server_reference_is_followed_if_wanted(plain, reason):
    port, seen = elsewhere(reason, 'localhost:%d other.example' % plain.port)
    words = ['-h', '127.0.0.1', '-p', str(port), '--no-ace', '--no-tls', '-t', 't', '-m', 'x', '-q', '1']
    stays = run_cli('pub', *words)
    assert stays.returncode == 5 and len(seen) == 1
    goes = run_cli('pub', *words, '--follow')
    assert goes.returncode == 0 and len(seen) == 2, goes.stderr


def test_references_lead_nowhere_for_ever():
    port, seen = elsewhere(0x9d, '')
    words = ['--no-ace', '--no-tls', '-t', 't', '-m', 'x', '--follow', '-h', '127.0.0.1', '-p']
    done = run_cli('pub', *words, str(port))
    assert done.returncode == 5 and len(seen) == 1  # it names nothing
    second = free_port()
    port, seen = elsewhere(0x9c, '127.0.0.1:%d' % second)  # which nobody answers: back to the first, and no further
    done = run_cli('pub', *words, str(port))
    assert done.returncode == 3 and len(seen) == 1


def test_qos_0_is_repeated_as_often_and_as_slowly_as_asked(plain):
    """It is published before publish() returns: neither a stack full of repetitions nor a pause that is skipped"""
    words = ['-h', '127.0.0.1', '-p', str(plain.port), '--no-ace', '--no-tls', '-t', 't', '-m', 'x']
    done = run_cli('pub', *words, '--repeat', '50000')
    assert done.returncode == 0, done.stderr[:2000]
    start = time.monotonic()
    assert run_cli('pub', *words, '--repeat', '3', '--repeat-delay', '0.4').returncode == 0
    assert time.monotonic() - start > 0.7


def test_who_is_sent_round_and_round_takes_breath():
    """Brokers that let us in and send us on at once: no more than a few times without a pause"""
    seen = []

    def talk(s):
        seen.append(1)
        s.recv(4096)
        s.sendall(mqtt5.packet(mqtt5.CONNACK, 0, b'\0\0\0') +
                  mqtt5.disconnect(0x9c, server_reference='127.0.0.1:%d' % server.port))
        s.close()

    server = Listener(talk)
    sub = subprocess.Popen([program('symbolon'), 'sub', '-h', '127.0.0.1', '-p', str(server.port), '--no-ace', '--no-tls', '-t', 't',
                            '--follow'])
    wait_for(lambda: len(seen) > 3)
    time.sleep(2)  # in which there would be thousands
    assert len(seen) < 60, len(seen)
    sub.kill()
    sub.wait()


def test_attempts_have_an_end():
    free = free_port()
    done = run_cli('pub', '-h', '127.0.0.1', '-p', str(free), '--no-ace', '--no-tls', '-t', 't', '-m', 'x', '--reconnect',
                   '--reconnect-min', '0.01', '--reconnect-max', '0.02', '--reconnect-attempts', '3', '-d')
    assert done.returncode == 3 and done.stderr.count('next attempt') == 3


def test_who_never_was_connected_does_not_wait_unless_told_to():
    free = free_port()
    place = ['-h', '127.0.0.1', '-p', str(free), '--no-ace', '--no-tls', '-t', 't', '-d']
    for words in (['pub', *place, '-l'], ['sub', *place]):
        done = run_cli(*words, stdin='line\n')
        assert done.returncode == 3 and 'next attempt' not in done.stderr
    few = ['--reconnect', '--reconnect-min', '0.01', '--reconnect-max', '0.02', '--reconnect-attempts', '2']
    for words in (['pub', *place, '-l'], ['sub', *place], ['rr', *place, '-e', 'r', '-m', 'x']):
        done = run_cli(*words, *few, stdin='line\n')
        assert done.returncode == 3 and done.stderr.count('next attempt') == 2
