"""Plays a script (scripts.py) against one broker on the loopback interface and writes down what each client got, step by step.

After every step each open connection is asked for a PINGRESP, first the one that spoke: what the step caused has then arrived,
as both brokers answer a connection in order and handle what came first first. The transcript leaves out what brokers are
free to choose: packet identifiers, texts, and capabilities announced in CONNACK.
"""
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'blackbox'))
import mqtt5 as m  # noqa: E402

CAPABILITIES = {'receive_maximum', 'maximum_packet_size', 'topic_alias_maximum', 'wildcard_available', 'shared_available',
                'subscription_id_available', 'reason_string', 'retain_available', 'maximum_qos', 'server_keep_alive'}
NAMES = {value: name for name, value in vars(m).items() if name.isupper() and isinstance(value, int)}
WAIT_S = 5


class Gone(Exception):
    pass


def read_v3(kind, flags, body):
    """The members of a packet of MQTT 3.1.1 that its reader for 5.0 would look for elsewhere."""
    if kind == m.CONNACK:
        return 'CONNACK present=%d code=%d' % (body[0], body[1])
    if kind == m.PUBLISH:
        n = struct.unpack('>H', body[:2])[0]
        rest = body[2 + n:]
        return body[2:2 + n], rest[2:] if flags & 6 else rest, {}
    if kind == m.SUBACK:
        return 'SUBACK ' + body[2:].hex()
    if kind == m.UNSUBACK:
        return 'UNSUBACK'
    return NAMES[kind]


def show_publish(topic, flags, payload, props):
    if 'message_expiry' in props:
        props['message_expiry'] = 'about 1000' if 990 <= props['message_expiry'] <= 1000 else props['message_expiry']
    return 'PUBLISH %r qos=%d retain=%d dup=%d %r %s' % (topic, flags >> 1 & 3, flags & 1, flags >> 3 & 1, payload[:20],
                                                        ' '.join('%s=%r' % p for p in sorted(props.items())))


class Peer:
    """One client: its connection, if any, and what it does by itself (acknowledge)."""

    def __init__(self, address, version, acks):
        self.address, self.version, self.acks = address, version, acks
        self.socket, self.buffer, self.got = None, b'', []

    def open(self):
        self.shut()
        self.socket = socket.create_connection(self.address, timeout=WAIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b''

    def shut(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def send(self, data):
        try:
            if data:
                self.socket.sendall(data)
        except OSError:
            pass  # the broker has closed: what it said before is still to be read

    def next(self):
        while True:
            span = m.whole(self.buffer)
            if span:
                head, body = self.buffer[0], self.buffer[span[0]:span[1]]
                self.buffer = self.buffer[span[1]:]
                return head >> 4, head & 15, body
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                more = b''
            except socket.timeout:
                self.got.append('silence')
                more = b''
            if not more:
                self.shut()
                self.got.append('closed')
                raise Gone()
            self.buffer += more

    def note(self, kind, flags, body):
        if self.version == 5:
            p = m.Packet(kind, flags, body)
            props = {k: v for k, v in p.props.items() if k not in CAPABILITIES}
            if 'assigned_client_id' in props:
                props['assigned_client_id'] = 'one'
            shown = ' '.join('%s=%r' % one for one in sorted(props.items()))
            if kind == m.CONNACK:
                return 'CONNACK present=%d reason=%02x %s' % (p.session_present, p.reason, shown)
            if kind == m.PUBLISH:
                return show_publish(p.topic.encode(), flags, p.payload, props)
            if kind in (m.SUBACK, m.UNSUBACK):
                return '%s %s %s' % (NAMES[kind], bytes(p.codes).hex(), shown)
            if kind in (m.PUBACK, m.PUBREC) and p.reason == 0x10:
                p.reason = 0  # that nobody subscribes may be said, or not (MQTT5 3.4.2.1)
            return '%s reason=%02x %s' % (NAMES[kind], p.reason, shown)
        got = read_v3(kind, flags, body)
        return got if isinstance(got, str) else show_publish(got[0], flags, got[1], got[2])

    def acknowledge(self, kind, flags, body):
        if kind == m.PUBLISH and flags & 6:
            n = struct.unpack('>H', body[:2])[0]
            packet_id = body[2 + n:4 + n]
            self.send(m.packet(m.PUBACK if flags & 2 else m.PUBREC, 0, packet_id))
        elif kind == m.PUBREL:
            self.send(m.packet(m.PUBCOMP, 0, body[:2]))

    def settle(self):
        """Until PINGRESP; and again while acknowledgements are being exchanged."""
        again = True
        while again and self.socket is not None:
            again = False
            self.send(m.PING)
            while True:
                try:
                    kind, flags, body = self.next()
                except Gone:
                    return
                if kind == m.PINGRESP:
                    break
                try:
                    self.got.append(self.note(kind, flags, body))
                except (ValueError, KeyError, IndexError, struct.error) as e:
                    self.got.append('unreadable %s %s' % (NAMES.get(kind, kind), e))
                if self.acks:
                    self.acknowledge(kind, flags, body)
                    again = again or kind in (m.PUBLISH, m.PUBREL)


def play(script, address):
    """For each step: for each client the list of what it got."""
    peers = [Peer(address, v, a) for v, a in zip(script.versions, script.acks)]
    transcript = []
    for step in script.steps:
        peer = peers[step.client]
        if step.opens:
            peer.open()
        if peer.socket is not None:
            peer.send(step.data)
            if step.drops:
                leave(peer)
        for p in [peer] + [p for p in peers if p is not peer]:
            if p.socket is not None:
                p.settle()
        transcript.append([p.got for p in peers])
        for p in peers:
            p.got = []
    for p in peers:
        p.shut()
    return transcript


def leave(peer):
    """Nothing more from this side; what the broker still says is read to its end."""
    try:
        peer.socket.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    while peer.socket is not None:
        try:
            kind, flags, body = peer.next()
            peer.got.append(peer.note(kind, flags, body))
        except Gone:
            return
        except (ValueError, KeyError, IndexError, struct.error) as e:
            peer.got.append('unreadable %s %s' % (NAMES.get(kind, kind), e))
