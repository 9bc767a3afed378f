"""One MQTT 5 connection that never blocks: bytes out are gathered, packets in are cut out as they come.

Only what travels often is made by hand here; the rest is tests/blackbox/mqtt5.py.
"""
import os
import socket
import ssl
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, 'blackbox'))
import mqtt5  # noqa: E402 pylint: disable=wrong-import-position

PUBACK, PUBREC, PUBREL, PUBCOMP = (bytes([kind << 4 | (2 if kind == 6 else 0), 2]) for kind in (4, 5, 6, 7))
ID = struct.Struct('>H')


class Lost(Exception):
    pass


class Conn:
    def __init__(self, port, tls=None):
        self.out, self.buffer = bytearray(), bytearray()
        self.open = True
        try:
            self.socket = socket.create_connection(('127.0.0.1', port), timeout=60)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self.socket = tls.wrap_socket(self.socket, server_hostname='localhost')
            self.socket.setblocking(False)
        except (OSError, ssl.SSLError) as e:
            raise Lost(str(e)) from e

    def fileno(self):
        return self.socket.fileno()

    def close(self):
        self.open = False
        self.socket.close()

    def send(self, data):
        self.out += data

    def flush(self):
        try:
            while self.out:
                sent = self.socket.send(self.out)
                del self.out[:sent]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as e:
            raise Lost(str(e)) from e

    def publish(self, topic, payload, qos, retain, packet_id, dup):
        name = topic.encode()
        body = ID.pack(len(name)) + name + (ID.pack(packet_id) if qos else b'') + b'\0' + payload
        self.out += bytes([0x30 | (8 if dup else 0) | qos << 1 | retain]) + mqtt5.varint(len(body)) + body

    def packets(self):
        """(first byte, body) of each whole packet that has come; Lost at the end of the stream, after the last of them."""
        ended = None
        try:
            while True:
                more = self.socket.recv(262144)
                if not more:
                    ended = 'end of stream'
                    break
                self.buffer += more
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as e:
            ended = str(e)
        found, data, at = [], bytes(self.buffer), 0
        while True:
            length = shift = 0
            p = at + 1
            while p < len(data) and data[p] & 0x80:
                length |= (data[p] & 0x7F) << shift
                shift, p = shift + 7, p + 1
            if p >= len(data):
                break
            end = p + 1 + (length | data[p] << shift)
            if end > len(data):
                break
            found.append((data[at], data[p + 1:end]))
            at = end
        del self.buffer[:at]
        return found, ended


def read_publish(head, body):
    """(topic, packet id or 0, payload)"""
    n = body[0] << 8 | body[1]
    topic, at, packet_id = body[2:2 + n].decode(), 2 + n, 0
    if head & 6:
        packet_id, at = body[at] << 8 | body[at + 1], at + 2
    length = shift = 0
    while body[at] & 0x80:
        length |= (body[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    length |= body[at] << shift
    return topic, packet_id, body[at + 1 + length:]
