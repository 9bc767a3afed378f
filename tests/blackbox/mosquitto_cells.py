"""mosquitto_pub, mosquitto_sub and mosquitto_rr at work: each in a Cell of its own - a program, a transport and a version -
beside a witness by hand that hears every message, and a tunnel that carries them over WebSocket and hears what they say."""
import concurrent.futures
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import mqtt5
from mqtt5 import PUBACK, PUBLISH, PUBREC, PUBREL, SUBACK
from servers import Listener
from world import ROOT, WAIT, make_ca, make_client_certificate, wait_for

sys.path.insert(0, os.path.join(ROOT, 'tests', 'foreign'))

import tunnel  # noqa: E402

ALL, PLACES, BOTH = ('pub', 'sub', 'rr'), ('tcp', 'tls', 'ws'), ('5', '311')
TIMED_OUT = 27  # the exit status of mosquitto_sub and mosquitto_rr after -W
NUMBERS = itertools.count(1)
LONG = {'-D': '--property', '-I': '--id-prefix', '-L': '--url', '-P': '--pw', '-T': '--filter-out', '-U': '--unsubscribe',
        '-V': '--protocol-version', '-c': '--disable-clean-session', '-d': '--debug', '-f': '--file', '-h': '--host',
        '-i': '--id', '-k': '--keepalive', '-l': '--stdin-line', '-m': '--message', '-n': '--null-message', '-p': '--port',
        '-q': '--qos', '-r': '--retain', '-s': '--stdin-file', '-t': '--topic', '-u': '--username', '-v': '--verbose'}


class Witness(mqtt5.Plain):
    """Hears everything as it was published, over plain TCP; answers what is asked on topics that end in /ask."""

    def __init__(self, port):
        super().__init__(port, WAIT)
        self.heard, self.acked, self.changed, self.ids = [], set(), threading.Condition(), itertools.count(1)
        assert self.open('witness', keep_alive=0).reason == 0
        self.send(mqtt5.subscribe(60000, [('#', 2 | 8 | 0x20)]))  # QoS 2, as published, nothing retained
        assert self.expect(SUBACK).codes == [2]
        self.sending = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, packet):
        with self.sending:
            self.send(packet)

    def _listen(self):
        try:
            while True:
                self._hear(self.receive(3600))
        except (mqtt5.Closed, OSError):
            pass

    def _hear(self, got):
        if got.kind == PUBLISH:
            got.at = time.monotonic()
            if got.qos:
                self.say(mqtt5.answer(PUBACK if got.qos == 1 else PUBREC, got.packet_id))
            if got.topic.endswith('/ask'):
                about = {k: v for k, v in got.props.items() if k in ('correlation_data', 'user_property')}
                self.say(mqtt5.publish(got.props.get('response_topic', got.topic + '/answer'), 'answer', qos=2,
                                       packet_id=next(self.ids), **about))
        elif got.kind == PUBREC:
            self.say(mqtt5.answer(PUBREL, got.packet_id))
        elif got.kind == PUBREL:
            self.say(mqtt5.answer(mqtt5.PUBCOMP, got.packet_id))
        with self.changed:
            if got.kind == PUBLISH:
                self.heard.append(got)
            elif got.kind in (PUBACK, mqtt5.PUBCOMP):
                assert got.reason in (0, 0x10), got
                self.acked.add(got.packet_id)
            self.changed.notify_all()

    def on(self, topic):
        return [m for m in self.heard if m.topic == topic]

    def take(self, topic, count=1):
        """The first `count` messages on this topic."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.on(topic)) >= count, WAIT), (topic, self.on(topic))
            return self.on(topic)[:count]

    def put(self, topic, payload, qos=1, retain=False, **props):
        """Published and acknowledged."""
        number = next(self.ids)
        self.say(mqtt5.publish(topic, payload, qos, retain, number, **props))
        with self.changed:
            assert self.changed.wait_for(lambda: number in self.acked, WAIT), topic


class Heard(tunnel.Tunnel):
    """A tunnel that keeps what clients sent, connection by connection, and where they came from."""

    def __init__(self, kind, site, port):
        self.heard, self.peers = [], []
        super().__init__(kind, port, site.ca)

    def _serve(self, near):
        self.peers.append(near.getpeername()[0])
        try:
            super()._serve(near)
        except OSError:  # the client has gone before the broker
            pass

    def _dial(self):
        sock, far = super()._dial()
        kept, send = bytearray(), far.send
        self.heard.append(kept)

        def keep(data):
            kept.extend(data)
            send(data)
        far.send = keep
        return sock, far

    def said(self, what):
        """The one connection on which `what` was said."""
        found = [bytes(k) for k in self.heard if what in k]
        assert len(found) == 1, (what, len(found))
        return found[0]


def passed_on(read, to):
    try:
        while data := read(65536):
            to.sendall(data)
        to.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Socks(Listener):
    """RFC 1928 and RFC 1929, CONNECT only; `asked` is what for, and by whom."""

    def __init__(self):
        self.asked = []
        super().__init__(self._serve)

    def _serve(self, near):
        stream, user = near.makefile('rb'), None
        methods = stream.read(stream.read(2)[1])
        near.sendall(b'\5\2' if 2 in methods else b'\5\0')
        if 2 in methods:
            user = stream.read(stream.read(2)[1]).decode(), stream.read(stream.read(1)[0]).decode()
            near.sendall(b'\1\0')
        assert stream.read(4) == b'\5\1\0\3'  # CONNECT to a name
        name = stream.read(stream.read(1)[0]).decode()
        port, = struct.unpack('>H', stream.read(2))
        self.asked.append((name, port, user))
        far = socket.create_connection((name, port))
        near.sendall(b'\5\0\0\1\x7f\0\0\1\0\0')
        threading.Thread(target=passed_on, args=(far.recv, near), daemon=True).start()
        passed_on(stream.read1, far)


def make_site(make_broker, folder):
    """A broker with public topics on listeners of every kind, and what stands around it."""
    ca, ca_key = make_ca(folder)
    more = {'tcp': {'tls': False}, 'ws': {'tls': False, 'transport': 'websocket'}, 'elsewhere': {'address': '127.0.0.2'},
            'certified': {'client_certificate': 'required', 'client_ca': ca}}
    broker = make_broker(workers=1, public=[['#', ['pub', 'sub']]], more_listeners=more, **{'session.guest_max_expiry': '1h'})
    broker.folder, broker.client_ca = folder, ca
    broker.client = make_client_certificate(folder, ca, ca_key, 'client')
    broker.tunnel = Heard('ws', broker, broker.ports['ws'])
    broker.hello = Heard('tcp', broker, broker.port)
    broker.socks = Socks()
    broker.witness = Witness(broker.ports['tcp'])
    return broker


class Cell:
    """One program, one option, one transport, one version: and topics and a Client Identifier that nobody else has."""

    def __init__(self, site, program, place, version):
        self.site, self.program, self.place, self.version, self.number = site, program, place, version, next(NUMBERS)
        self.name = '%s-%s-%s-%d.' % (program, place, version, self.number)
        self.base = 'o/%d' % self.number
        self.topic = self.base + ('/ask' if program == 'rr' else '/t')
        self.port = {'tcp': site.ports['tcp'], 'tls': site.port, 'ws': site.tunnel.port}[place]
        self.safe = ['--cafile', site.ca] if place == 'tls' else []
        self.v5 = version == '5'

    def __repr__(self):
        return 'mosquitto_%s over %s, -V %s' % (self.program, self.place, self.version)

    def words(self, words, place, program=None):
        words = list(map(str, words))
        head = ['-h', '127.0.0.1', '-p', str(self.port), *self.safe] if place is None else list(map(str, place))
        head += [] if '-V' in words else ['-V', self.version]
        head += [] if '-i' in words or '-I' in words or program else ['-i', self.name]
        words = head + words
        if not self.v5:  # the same options by their long names
            words = [LONG.get(w, w) for w in words]
        return ['mosquitto_' + (program or self.program), *words]

    def run(self, *words, code=0, stdin=None, env=None, place=None, program=None):
        """The finished process, which ended with `code`; None: with any but 0."""
        process = subprocess.Popen(self.words(words, place, program), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=dict(os.environ, **(env or {})))
        try:
            out, err = process.communicate(stdin, WAIT)
        finally:
            process.kill()
        process.out, process.err = out.decode(), err.decode()
        right = process.returncode != 0 if code is None else process.returncode == code
        assert right, (process.args, process.returncode, process.out, process.err)
        return process

    def aims(self, url=False):
        """Topic, and what makes the program end by itself."""
        topic = [] if url else ['-t', self.topic]
        return {'pub': [*topic, '-m', 'hello', '-q', 1], 'sub': [*topic, '-C', 1, '-W', WAIT],
                'rr': [*topic, '-e', self.topic + '/answer', '-m', 'hello', '-W', WAIT]}[self.program]

    def work(self, *words, url=False, **more):
        """What the program is for, from end to end, with these options besides."""
        before = len(self.site.witness.on(self.topic))
        if self.program == 'sub':
            self.put('t', 'hello', retain=True)
        done = self.run(*words, *self.aims(url), **more)
        message = self.site.witness.take(self.topic, before + 1)[before]
        assert message.payload == b'hello'
        if self.program != 'pub':
            assert ('hello' if self.program == 'sub' else 'answer') in done.out, done.out
        done.message = message
        return done

    def hold(self, *words):
        """The program, connected - and subscribed, if it subscribes - and waiting."""
        aims = {'pub': ['-t', self.topic, '-l'], 'sub': [] if '-t' in words else ['-t', self.base + '/silence'],
                'rr': ['-t', self.base + '/void', '-e', self.base + '/silence', '-m', 'x']}[self.program]
        process = subprocess.Popen(self.words([*words, *aims], None), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        self.event('client_connected' if self.program == 'pub' else 'subscribed')
        return process

    def event(self, name, count=1):
        return self.site.daemon.event(name, count, client_id=self.name).fields

    def put(self, below, payload, **more):
        self.site.witness.put(self.base + '/' + below, payload, **more)

    def take(self, below, count=1):
        return self.site.witness.take(self.base + '/' + below, count)

    def wire(self, *parts):
        """Over WebSocket the tunnel hears the client say each of these, in this order."""
        def said():
            return self.site.tunnel.said(mqtt5.prefixed(self.name))
        if self.place == 'ws':
            wait_for(lambda: in_order(said(), parts), why=lambda: repr((parts, said())))

    def runs_out(self, *words):
        """It prints something, and ends because of -W: more than a second on a slow machine."""
        for seconds in (1, 5, WAIT):
            out = self.run(*words, '-W', seconds, code=TIMED_OUT).out
            if out:
                return out
        raise AssertionError('nothing came')


def in_order(said, parts):
    at = 0
    for part in parts:
        at = said.find(part, at) + len(part)
        if at < len(part):
            return False
    return True


def in_all(cells, proof):
    """The cells at once; the first that fails tells which it is."""
    def one(cell):
        try:
            proof(cell)
        except Exception as e:
            raise AssertionError('%r: %s' % (cell, e)) from e
    with concurrent.futures.ThreadPoolExecutor(len(cells)) as pool:
        for future in [pool.submit(one, cell) for cell in cells]:
            future.result()


def will_of(cell, *words):
    """What the broker published when the program died."""
    process = cell.hold('--will-topic', cell.base + '/will', *words)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=WAIT)
    return cell.take('will')[0]
