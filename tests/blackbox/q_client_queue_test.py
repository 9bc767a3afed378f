"""`symbolon pub --store` keeps its word: what it said is stored arrives, once, whatever kills the client or the network.
The witness is mosquitto_sub, straight at the broker; between our client and the broker stands a proxy that cuts."""
import os
import random
import re
import subprocess
import threading
import time

import pytest
from servers import Mosquitto, Proxy
from world import WAIT, program, run_cli, wait_for

SANITIZERS = re.compile(r'Sanitizer|runtime error:|assertion failed')
ROUNDS = 12


class Witness:
    """mosquitto_sub, and what it has printed."""

    def __init__(self, place, *words):
        self.process = subprocess.Popen(['stdbuf', '-oL', 'mosquitto_sub', *place, '-V', 'mqttv311', '-q', '2', '-t', 'q/#', '-i', 'witness', '-d',
                                         *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.lines, self.changed = [], threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        self.wait(lambda: any('SUBACK' in line or 'Subscribed' in line for line in self.lines))

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip('\n'))
                self.changed.notify_all()

    def wait(self, there):
        with self.changed:
            assert self.changed.wait_for(there, WAIT), self.lines[-20:]

    def messages(self):
        with self.changed:
            return [line for line in self.lines if line.startswith('line ')]

    def stop(self):
        self.process.terminate()
        self.process.wait(WAIT)


class Place:
    """A broker, a proxy in front of it, and how clients say where it is."""

    def __init__(self, kind, folder, make_broker):
        if kind == 'ours':
            self.broker = make_broker(public=[['q/#', ['pub', 'sub']]], workers=2, **{'session.guest_max_expiry': '1h'})
            self.stop_broker, port, ca = (lambda: None), self.broker.port, self.broker.ca
        else:
            # With a limit it counts what former connections left, too, and refuses QoS 2 messages that its Receive
            # Maximum allows; in 3.1.1 it does so without a word.
            self.broker = Mosquitto(folder, max_inflight_messages='0')
            self.stop_broker, port, ca = self.broker.stop, self.broker.port, None
        self.proxy = Proxy(port)
        safe = ['--cafile', ca] if ca else []
        self.direct = ['-h', 'localhost', '-p', str(port), *safe]
        self.ours = ['-h', 'localhost', '-p', str(self.proxy.port), '--no-ace', *(safe or ['--no-tls'])]

    def stop(self):
        self.proxy.stop()
        self.stop_broker()


@pytest.fixture(scope='module', params=['mosquitto', 'ours'])
def place(request, tmp_path_factory, make_broker):
    it = Place(request.param, str(tmp_path_factory.mktemp('place')), make_broker)
    yield it
    it.stop()


def lives_and_dies(place, chance, words, lines):
    """One process fed with lines, its network cut and itself killed at some moment; how many it said are stored."""
    p = subprocess.Popen([program('symbolon'), 'pub', *words, '-l', '-d'], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                         stdout=subprocess.DEVNULL, text=True)
    said = []
    reader = threading.Thread(target=lambda: said.extend(p.stderr), daemon=True)
    reader.start()

    def feed():
        try:
            for line in lines:
                p.stdin.write(line + '\n')
                p.stdin.flush()
                if chance.random() < 0.2:
                    time.sleep(0.002)
        except OSError:
            pass

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    enough = chance.randrange(20)
    wait_for(lambda: sum(' is stored' in line for line in list(said)) >= enough, why=lambda: ''.join(said))
    for _ in range(chance.randrange(3)):
        time.sleep(chance.random() * 0.06)
        place.proxy.cut()
    time.sleep(chance.random() * 0.15)
    p.kill()
    p.wait(WAIT)
    reader.join(WAIT)
    feeder.join(WAIT)
    text = ''.join(said)
    assert not SANITIZERS.search(text), text
    return sum(' is stored' in line for line in said)


@pytest.mark.parametrize('qos, version', [('1', 'mqttv5'), ('2', 'mqttv5'), ('2', 'mqttv311')])
def test_what_was_stored_arrives_though_client_and_network_die(place, tmp_path, qos, version):
    chance = random.Random('%s %s' % (qos, version))
    name = 'queue-%s-%s' % (qos, version)
    words = [*place.ours, '-t', 'q/' + name, '-q', qos, '-V', version, '-i', name, '--store', str(tmp_path / 'store'),
             '-M', '10', '--reconnect-min', '0.01', '--reconnect-max', '0.05']
    witness = Witness(place.direct)
    stored, perhaps, number = [], set(), 0
    for _ in range(ROUNDS):
        lines = ['line %06d %s' % (number + i, name) for i in range(1, 61)]
        count = lives_and_dies(place, chance, words, lines)
        stored += lines[:count]
        perhaps |= set(lines[count:count + 1])  # it may have died between storing and saying so
        number += len(lines)
    assert len(stored) > ROUNDS  # else the test shows nothing
    drain = run_cli('pub', *words[:words.index('-t')], *words[words.index('-q'):])
    assert drain.returncode == 0, drain.stderr
    witness.wait(lambda: set(stored) <= set(witness.lines))
    seen = [line for line in witness.messages() if name in line]
    firsts = list(dict.fromkeys(seen))
    assert [line for line in firsts if line in set(stored)] == stored  # in order, none missing
    assert set(firsts) <= set(stored) | perhaps
    if qos == '2':
        assert len(seen) == len(firsts)
    witness.stop()


def test_a_queue_is_filled_without_a_broker_and_sent_later(tmp_path):
    store = ['--store', str(tmp_path / 'store'), '-i', 'later', '--no-ace', '--no-tls', '-h', '127.0.0.1']
    for i in range(3):
        done = run_cli('pub', *store, '-p', '9', '-t', 'q/later', '-q', '1', '-m', 'line %d' % i, '--queue')
        assert (done.returncode, done.stderr) == (0, '')
    full = run_cli('pub', *store, '-p', '9', '-t', 'q/later', '-q', '1', '-m', 'x', '--queue', '--store-max', '100')
    assert full.returncode == 5 and 'no room' in full.stderr
    assert os.stat(tmp_path / 'store').st_mode & 0o77 == 0
    away = run_cli('pub', *store, '-p', '9', '-t', 'q/later', '-q', '1', '-m', 'line 3', '-W', '1')  # no --queue
    assert away.returncode == 27 and '4 messages stay in' in away.stderr, away.stderr
    broker = Mosquitto(str(tmp_path))
    witness = Witness(['-p', str(broker.port)])
    sent = run_cli('pub', *store, '-p', str(broker.port), '-q', '1')
    assert sent.returncode == 0, sent.stderr
    witness.wait(lambda: len(witness.messages()) == 4)
    assert witness.messages() == ['line 0', 'line 1', 'line 2', 'line 3']
    witness.stop()
    broker.stop()


def test_a_damaged_store_is_set_aside_and_said(tmp_path):
    store = tmp_path / 'store'
    words = ['--store', str(store), '-i', 'c', '--no-ace', '--no-tls', '-t', 't', '-q', '1', '-m', 'x', '--queue']
    assert run_cli('pub', *words).returncode == 0
    with open(store / 'messages.db', 'r+b') as f:
        f.write(b'\xaa' * 4096)
    again = run_cli('pub', *words)
    assert again.returncode == 0 and 'damaged' in again.stderr
    assert [name for name in os.listdir(store) if 'damaged-' in name]


def test_two_clients_do_not_share_a_store(tmp_path):
    words = ['--store', str(tmp_path / 's'), '--no-ace', '--no-tls', '-t', 't', '-q', '1']
    assert run_cli('pub', *words, '-i', 'one', '-m', 'x', '--queue').returncode == 0
    other = run_cli('pub', *words, '-i', 'two', '-m', 'x', '--queue')
    assert other.returncode != 0 and 'another Client Identifier' in other.stderr
    first = subprocess.Popen([program('symbolon'), 'pub', *words, '-i', 'one', '-l', '-h', '127.0.0.1', '-p', '9', '-d'],
                             stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first.stdin.write('line\n')
    first.stdin.flush()
    while 'is stored' not in first.stderr.readline():
        pass
    second = run_cli('pub', *words, '-i', 'one', '-m', 'x', '--queue')
    assert second.returncode != 0 and 'another client is using it' in second.stderr
    first.kill()
    first.communicate(timeout=WAIT)
