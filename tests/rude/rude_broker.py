"""A broker that misbehaves on request, one connection at a time, without TLS: for the clients of this project.

    with RudeBroker(script) as broker: ... broker.port ...

A script is a function of (connection); what it may do: connection.read_packet(), .send(bytes), .received. When it
returns, the connection is closed."""
import socket
import threading


def packet(first, body):
    length, out = len(body), bytes([first])
    while True:
        out += bytes([length % 128 | (128 if length >= 128 else 0)])
        length //= 128
        if length == 0:
            return out + body


def text(s):
    raw = s.encode() if isinstance(s, str) else s
    return len(raw).to_bytes(2, 'big') + raw


def connack(code=0, properties=b'', session=0):
    return packet(0x20, bytes([session, code]) + bytes([len(properties)]) + properties)


def user_property(name, value):
    return b'\x26' + text(name) + text(value)


def long_connack(code, properties):
    """CONNACK whose property length takes two bytes."""
    n = len(properties)
    return packet(0x20, bytes([0, code, n % 128 | 128, n // 128]) + properties)


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.received = []
        self.buffer = b''
        self.done = threading.Event()  # the script has returned

    def _need(self, n):
        while len(self.buffer) < n:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError
            self.buffer += more

    def read_packet(self):
        at, length, shift = 1, 0, 0
        while True:
            self._need(at + 1)
            byte = self.buffer[at]
            length |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                break
        self._need(at + length)
        found = (self.buffer[0], self.buffer[at:at + length])
        self.buffer = self.buffer[at + length:]
        self.received.append(found)
        return found

    def read_to_end(self):
        try:
            while True:
                self.read_packet()
        except OSError:
            return

    def send(self, data):
        self.sock.sendall(data)


class RudeBroker:
    def __init__(self, *scripts):
        self.scripts = scripts  # one for each connection; the last one for all that follow
        self.connections = []
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        for n in range(100):
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            connection = Connection(sock)
            self.connections.append(connection)
            sock.settimeout(60)
            try:
                self.scripts[min(n, len(self.scripts) - 1)](connection)
            except OSError:
                pass
            sock.close()
            connection.done.set()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.listener.close()
        self.thread.join(1)
