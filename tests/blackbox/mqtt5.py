"""MQTT 5.0 by hand, from the standard and independent of our C: for tests that must say exactly which bytes travel.

Packets are built with functions named like them and read back as Packet. Client is one TLS connection with a
receive time limit; nothing in it retries, repairs or sleeps.
"""
import hashlib
import hmac
import os
import socket
import ssl
import struct
import time

from world import WAIT

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15

# MQTT5 2.2.2.2: identifier -> (name, form)
PROPERTIES = {
    0x01: ('payload_format', 'u8'), 0x02: ('message_expiry', 'u32'), 0x03: ('content_type', 'text'),
    0x08: ('response_topic', 'text'), 0x09: ('correlation_data', 'bytes'), 0x0B: ('subscription_id', 'varint'),
    0x11: ('session_expiry', 'u32'), 0x12: ('assigned_client_id', 'text'), 0x13: ('server_keep_alive', 'u16'),
    0x15: ('authentication_method', 'text'), 0x16: ('authentication_data', 'bytes'), 0x17: ('request_problem', 'u8'),
    0x18: ('will_delay', 'u32'), 0x19: ('request_response', 'u8'), 0x1A: ('response_information', 'text'),
    0x1C: ('server_reference', 'text'), 0x1F: ('reason_string', 'text'), 0x21: ('receive_maximum', 'u16'),
    0x22: ('topic_alias_maximum', 'u16'), 0x23: ('topic_alias', 'u16'), 0x24: ('maximum_qos', 'u8'),
    0x25: ('retain_available', 'u8'), 0x26: ('user_property', 'pair'), 0x27: ('maximum_packet_size', 'u32'),
    0x28: ('wildcard_available', 'u8'), 0x29: ('subscription_id_available', 'u8'), 0x2A: ('shared_available', 'u8'),
}
IDENTIFIERS = {name: (number, form) for number, (name, form) in PROPERTIES.items()}


def varint(n):
    out = b''
    while True:
        n, digit = n >> 7, n & 0x7F
        out += bytes([digit | (0x80 if n else 0)])
        if not n:
            return out


def prefixed(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack('>H', len(data)) + data


def properties(**given):
    body = b''
    for name, value in given.items():
        if value is None:
            continue
        number, form = IDENTIFIERS[name]
        for one in value if form == 'pair' else [value]:
            body += bytes([number])
            if form == 'pair':
                body += prefixed(one[0]) + prefixed(one[1])
            elif form in ('text', 'bytes'):
                body += prefixed(one)
            elif form == 'varint':
                body += varint(one)
            else:
                body += struct.pack({'u8': '>B', 'u16': '>H', 'u32': '>I'}[form], one)
    return varint(len(body)) + body


def packet(kind, flags, body):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def connect(client_id='', keep_alive=600, clean=True, will=None, user_name=None, password=None, **props):
    """will: (topic, payload, qos, retain, {will properties})"""
    flags = 0x02 if clean else 0
    payload = prefixed(client_id)
    if will is not None:
        topic, message, qos, retain, will_props = will
        flags |= 0x04 | qos << 3 | (0x20 if retain else 0)
        payload += properties(**will_props) + prefixed(topic) + prefixed(message)
    if user_name is not None:
        flags |= 0x80
        payload += prefixed(user_name)
    if password is not None:
        flags |= 0x40
        payload += prefixed(password)
    return packet(CONNECT, 0, prefixed('MQTT') + bytes([5, flags]) + struct.pack('>H', keep_alive) +
                  properties(**props) + payload)


def publish(topic, payload=b'', qos=0, retain=False, packet_id=None, dup=False, **props):
    payload = payload.encode() if isinstance(payload, str) else payload
    middle = struct.pack('>H', packet_id) if qos else b''
    return packet(PUBLISH, (8 if dup else 0) | qos << 1 | (1 if retain else 0),
                  prefixed(topic) + middle + properties(**props) + payload)


def answer(kind, packet_id, reason=0):
    return packet(kind, 2 if kind == PUBREL else 0, struct.pack('>HB', packet_id, reason))


def subscribe(packet_id, filters, **props):
    """filters: list of (filter, options byte)"""
    body = struct.pack('>H', packet_id) + properties(**props)
    for topic_filter, options in filters:
        body += prefixed(topic_filter) + bytes([options])
    return packet(SUBSCRIBE, 2, body)


def unsubscribe(packet_id, filters):
    return packet(UNSUBSCRIBE, 2, struct.pack('>H', packet_id) + properties() + b''.join(map(prefixed, filters)))


def auth(reason, data=None, method='ace', **props):
    return packet(AUTH, 0, bytes([reason]) + properties(authentication_method=method, authentication_data=data, **props))


def disconnect(reason=0, **props):
    return packet(DISCONNECT, 0, bytes([reason]) + properties(**props))


PING = packet(PINGREQ, 0, b'')


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise ValueError('short packet')
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def varint(self):
        value = shift = 0
        while True:
            digit = self.take(1)[0]
            value |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                return value

    def prefixed(self):
        return self.take(self.number('>H'))

    def rest(self):
        return self.take(len(self.data) - self.at)

    def properties(self):
        inner, found = Reader(self.take(self.varint())), {}
        while inner.at < len(inner.data):
            name, form = PROPERTIES[inner.varint()]
            if form == 'pair':
                found.setdefault(name, []).append((inner.prefixed().decode(), inner.prefixed().decode()))
            elif form == 'text':
                found[name] = inner.prefixed().decode()
            elif form == 'bytes':
                found[name] = inner.prefixed()
            elif form == 'varint':
                found[name] = inner.varint()
            else:
                found[name] = inner.number({'u8': '>B', 'u16': '>H', 'u32': '>I'}[form])
        return found


class Packet:
    """What the other side sent: kind, flags, and the members that this kind has."""

    def __init__(self, kind, flags, body):
        self.kind, self.flags, self.body = kind, flags, body
        self.reason, self.props, self.codes = 0, {}, []
        r = Reader(body)
        if kind == CONNACK:
            self.session_present, self.reason, self.props = r.take(1)[0] & 1, r.take(1)[0], r.properties()
        elif kind == PUBLISH:
            self.qos, self.retain, self.dup = flags >> 1 & 3, bool(flags & 1), bool(flags & 8)
            self.topic = r.prefixed().decode()
            self.packet_id = r.number('>H') if self.qos else None
            self.props, self.payload = r.properties(), r.rest()
        elif kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
            self.packet_id = r.number('>H')
            self.reason = r.take(1)[0] if r.at < len(body) else 0
            self.props = r.properties() if r.at < len(body) else {}
        elif kind in (SUBACK, UNSUBACK):
            self.packet_id, self.props = r.number('>H'), r.properties()
            self.codes = list(r.rest())
        elif kind in (DISCONNECT, AUTH):
            self.reason = r.take(1)[0] if body else 0
            self.props = r.properties() if r.at < len(body) else {}

    @property
    def why(self):
        return self.props.get('reason_string', '')

    def __repr__(self):
        return 'Packet(kind=%d, reason=0x%02x, %r, %r)' % (self.kind, self.reason, self.props, self.body[:64])


def whole(data):
    """Where the body of the first packet begins and where it ends; None while it is not all there."""
    value = 0
    for i in range(1, min(5, len(data))):
        value |= (data[i] & 0x7F) << (7 * (i - 1))
        if data[i] < 0x80:
            return (i + 1, i + 1 + value) if len(data) >= i + 1 + value else None
    return None


def split(data):
    """The whole packets at the front of it, and the rest."""
    packets = []
    while at := whole(data):
        packets.append(data[:at[1]])
        data = data[at[1]:]
    return packets, data


class Closed(Exception):
    pass


class Client:
    """One connection. `wait` seconds is the longest any read takes before the test fails."""

    def __init__(self, port, ca, wait=WAIT, alpn=None, server_name='localhost', tls=None):
        self.wait, self.buffer = wait, b''
        raw = socket.create_connection(('127.0.0.1', port), timeout=wait)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = tls or ssl.create_default_context(cafile=ca)
        if alpn:
            context.set_alpn_protocols(alpn)
        self.socket = context.wrap_socket(raw, server_hostname=server_name)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        try:
            self.socket.close()
        except OSError:
            pass

    def send(self, *packets):
        self.socket.sendall(b''.join(packets))

    def _fill(self, deadline):
        self.socket.settimeout(max(deadline - time.monotonic(), 0.01))
        try:
            more = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as e:
            raise Closed(str(e)) from e
        except socket.timeout as e:
            raise TimeoutError('nothing came within %s s' % self.wait) from e
        if not more:
            raise Closed('end of stream')
        self.buffer += more

    def receive(self, wait=None):
        deadline = time.monotonic() + (self.wait if wait is None else wait)
        while True:
            at = whole(self.buffer)
            if at is not None:
                head, body = self.buffer[0], self.buffer[at[0]:at[1]]
                self.buffer = self.buffer[at[1]:]
                return Packet(head >> 4, head & 15, body)
            self._fill(deadline)

    def expect(self, kind, wait=None):
        got = self.receive(wait)
        assert got.kind == kind, 'expected packet kind %d, got %r' % (kind, got)
        return got

    def expect_closed(self, wait=None):
        """Nothing more may come but the end of the connection."""
        try:
            got = self.receive(wait)
        except Closed:
            return
        raise AssertionError('expected the end of the connection, got %r' % got)

    def quiet(self):
        """True if nothing is on its way: asks for a PINGRESP and sees what comes first."""
        self.send(PING)
        return self.receive().kind == PINGRESP

    def open(self, client_id='', **more):
        """A plain CONNECT without a token."""
        self.send(connect(client_id, **more))
        return self.expect(CONNACK)

    def open_ace(self, client_id, token, key, **more):
        """Challenge and response (RFC 9431 2.2.4.2.2) with `key`; returns the CONNACK or whatever came instead."""
        data = prefixed(token)
        self.send(connect(client_id, authentication_method='ace', authentication_data=data, **more))
        return self.answer_challenge(key)

    def answer_challenge(self, key):
        got = self.receive()
        if got.kind != AUTH:
            return got
        assert got.reason == 0x18 and got.props['authentication_method'] == 'ace', got
        rs_nonce = got.props['authentication_data']
        assert len(rs_nonce) == 8, 'the challenge has 8 bytes (MT-58)'
        nonce = os.urandom(8)
        self.send(auth(0x18, nonce + key.prove(rs_nonce + nonce)))
        return self.receive()

    def reauthenticate(self, token, key):
        self.send(auth(0x19, prefixed(token)))
        return self.answer_challenge(key)


class Plain(Client):
    """The same without TLS. `sock`: a connection that is there already."""

    def __init__(self, port=None, wait=WAIT, sock=None):
        self.wait, self.buffer = wait, b''
        self.socket = sock or socket.create_connection(('127.0.0.1', port), timeout=wait)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class SecretKey:
    """A symmetric PoP key: HS256 over the bytes of the challenge (MT-57, MT-63)."""

    def __init__(self, secret):
        self.secret = secret

    def prove(self, data):
        return hmac.new(self.secret, data, hashlib.sha256).digest()
