"""WebSocket by hand, from RFC 6455 and independent of our C and of wslay: a Peer that may be as rude as a test wants, and
mqtt5's Client over it."""
import base64
import hashlib
import os
import socket
import ssl
import struct
import time

import mqtt5
from mqtt5 import Closed

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'


def frame(payload, opcode=BINARY, fin=True, mask=True, rsv=0, length=None):
    """`length`: what the head says, if not the truth."""
    n = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if n > 65535:
        head += bytes([bit | 127]) + struct.pack('>Q', n)
    elif n > 125:
        head += bytes([bit | 126]) + struct.pack('>H', n)
    else:
        head += bytes([bit | n])
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(b ^ key[i & 3] for i, b in enumerate(payload))


def fragments(payload, size=1, between=b''):
    """One message of frames of `size` bytes, `between` behind each but the last."""
    parts = [payload[i:i + size] for i in range(0, len(payload), size)]
    return b''.join(frame(part, BINARY if i == 0 else CONT, i == len(parts) - 1) +
                    (between if i < len(parts) - 1 else b'') for i, part in enumerate(parts))


def request(path='/mqtt', key=None, **fields):
    """An upgrade; fields replace the usual ones (None: leave it out), '_' in names for '-'."""
    all_fields = {'Host': 'localhost', 'Upgrade': 'websocket', 'Connection': 'Upgrade', 'Sec-WebSocket-Version': '13',
                  'Sec-WebSocket-Key': key or base64.b64encode(os.urandom(16)).decode(), 'Sec-WebSocket-Protocol': 'mqtt'}
    all_fields.update({name.replace('_', '-'): value for name, value in fields.items()})
    lines = ['GET %s HTTP/1.1' % path] + ['%s: %s' % item for item in all_fields.items() if item[1] is not None]
    return '\r\n'.join(lines + ['', '']).encode()


class Answer:
    def __init__(self, head):
        lines = head.decode().split('\r\n')
        self.line, self.code = lines[0], int(lines[0].split()[1])
        self.fields = {k.lower(): v for k, v in (line.split(': ', 1) for line in lines[1:] if line)}


class Peer:
    """A connection over which the test says each byte. `ca` None: without TLS. `certificate`: ours, and its key."""

    def __init__(self, port, ca=None, wait=mqtt5.WAIT, certificate=None):
        self.wait, self.buffer = wait, b''
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=wait)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = '%s:%d' % self.socket.getsockname()
        if ca is not None:
            context = ssl.create_default_context(cafile=ca)
            if certificate is not None:
                context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_hostname='localhost')

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()

    def say(self, *what):
        self.socket.sendall(b''.join(what))

    def _fill(self, deadline):
        self.socket.settimeout(max(deadline - time.monotonic(), 0.01))
        try:
            more = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError) as e:
            raise Closed(str(e)) from e
        if not more:
            raise Closed('end of stream')
        self.buffer += more

    def _take(self, n, deadline):
        while len(self.buffer) < n:
            self._fill(deadline)
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def answer(self):
        """The head of the HTTP response; what follows stays."""
        deadline = time.monotonic() + self.wait
        while b'\r\n\r\n' not in self.buffer:
            self._fill(deadline)
        head, self.buffer = self.buffer.split(b'\r\n\r\n', 1)
        return Answer(head)

    def body(self):
        """Everything up to the end of the connection."""
        deadline = time.monotonic() + self.wait
        try:
            while True:
                self._fill(deadline)
        except Closed:
            out, self.buffer = self.buffer, b''
            return out

    def upgrade(self, path='/mqtt', **fields):
        key = base64.b64encode(os.urandom(16)).decode()
        self.say(request(path, key, **fields))
        got = self.answer()
        assert got.code == 101, got.line
        wanted = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        assert got.fields['sec-websocket-accept'] == wanted
        assert got.fields['sec-websocket-protocol'] == 'mqtt'
        assert got.fields['upgrade'].lower() == 'websocket' and 'sec-websocket-extensions' not in got.fields
        return self

    def frame(self):
        """(opcode, payload) of one frame; the server's are whole and not masked."""
        deadline = time.monotonic() + self.wait
        first, second = self._take(2, deadline)
        assert first & 0x70 == 0 and second & 0x80 == 0
        length = second
        if length == 126:
            length = struct.unpack('>H', self._take(2, deadline))[0]
            assert length > 125
        elif length == 127:
            length = struct.unpack('>Q', self._take(8, deadline))[0]
            assert length > 65535
        assert first & 0x80
        return first & 15, self._take(length, deadline)

    def expect_close(self, code):
        """Close with that code, then the end of the connection."""
        opcode, payload = self.frame()
        assert opcode == CLOSE, (opcode, payload)
        assert struct.unpack('>H', payload[:2])[0] == code, payload
        self.expect_end()

    def expect_end(self):
        assert self.body() == b''


class Client(mqtt5.Client):
    """mqtt5.Client over WebSocket: what send() is given is one frame; frames may hold anything."""

    def __init__(self, port, ca=None, wait=mqtt5.WAIT, path='/mqtt', certificate=None, **fields):
        self.wait, self.buffer = wait, b''
        self.peer = Peer(port, ca, wait, certificate).upgrade(path, **fields)
        self.socket, self.frames = self.peer.socket, 0

    def send(self, *packets):
        self.peer.say(frame(b''.join(packets)))

    def _fill(self, deadline):
        self.peer.wait = max(deadline - time.monotonic(), 0.01)
        try:
            opcode, payload = self.peer.frame()
        except socket.timeout as e:
            raise TimeoutError('nothing came within %s s' % self.wait) from e
        if opcode == CLOSE:
            raise Closed('Close %r' % payload)
        if opcode == BINARY:
            self.frames += 1
            self.buffer += payload
