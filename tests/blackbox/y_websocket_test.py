"""MQTT over WebSocket (MQTT5 6, RFC 6455): foreign clients, every cut of the frames, peers without manners, and proof of
possession over the TLS underneath."""
import base64
import hashlib
import os
import socket
import ssl
import struct
import subprocess
import threading
import time

import jose_by_hand as jose
import mqtt5
import pytest
from mqtt5 import CONNACK, DISCONNECT, PINGRESP, PUBLISH, SUBACK, Closed
from world import WAIT, make_ca, make_client_certificate, node, program, run_cli, sanitized, wait_for
from ws_by_hand import BINARY, CLOSE, CONT, GUID, PING, PONG, TEXT, Client, Peer, fragments, frame, request

pytestmark = pytest.mark.threads
paho = pytest.importorskip('paho.mqtt.client')

AUDIENCE = 'broker.example'
PAGE = 'https://www.example'
PLAIN = {'tls': False, 'transport': 'websocket', 'path': '/here', 'origins': ['*']}
PROTOCOL_ERROR, NOT_BINARY, TOO_BIG, NORMAL = 1002, 1003, 1009, 1000


@pytest.fixture(scope='module')
def site(as_server, make_broker):
    broker = make_broker(as_server=as_server, audience=AUDIENCE, workers=3, public=[['public/#', ['pub', 'sub']]],
                         listener={'transport': 'websocket', 'origins': [PAGE]},
                         more_listeners={'ws': PLAIN, 'tcp': {'tls': False}},
                         **{'token.jwks_min_interval': '50ms', 'limits.packet': '1m', 'authz_info.enabled': True})
    as_server.allow('group:sensors', AUDIENCE, 'plant/${client_id}/#', 'pub', 'sub')
    broker.server = as_server
    broker.sensor = as_server.add_client('sensor-1', groups=['sensors'])
    return broker


@pytest.fixture(autouse=True)
def the_broker_stays_well(site):
    """After each test a client over TCP and one over WebSocket still hear one another."""
    yield
    assert site.daemon.running(), site.daemon.log()[-4000:]
    with Client(site.port, site.ca) as one, Client(site.ports['ws'], path='/here') as two:
        assert one.open('').reason == 0 and two.open('').reason == 0
        one.send(mqtt5.subscribe(1, [('public/alive', 0)]))
        assert one.expect(SUBACK).codes == [0]
        two.send(mqtt5.publish('public/alive', 'yes'))
        assert one.expect(PUBLISH).payload == b'yes'


def opened(site, client_id=''):
    client = Client(site.port, site.ca)
    assert client.open(client_id).reason == 0
    return client


# -- foreign clients ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize('version', [5, 4])
@pytest.mark.parametrize('listener', ['wss', 'ws'])
def test_mqttjs_publishes_and_receives(site, version, listener):
    """MQTT5 [MQTT-6.0.0-1], [MQTT-6.0.0-3], [MQTT-6.0.0-4] as MQTT.js does them, by itself."""
    url = 'wss://localhost:%d/mqtt' % site.port if listener == 'wss' else 'ws://127.0.0.1:%d/here' % site.ports['ws']
    topic = 'public/js/%s/%d' % (listener, version)
    steps = [{'subscribe': topic, 'qos': 2}]
    steps += [{'publish': topic, 'payload': str(i) * size, 'qos': qos}
              for i, (size, qos) in enumerate([(1, 0), (70000, 1), (200, 2), (1, 1)])]
    got = node('witness_mqtt.mjs', {'url': url, 'ca': site.ca, 'clientId': 'js-%s-%d' % (listener, version),
                                    'version': version, 'steps': steps + [{'collect': 4}]})
    assert got['connack']['code'] == 0 and all(step['ok'] for step in got['steps']), got
    assert [len(message['payload']) for message in got['messages']] == [1, 70000, 200, 1]


@pytest.mark.parametrize('tls', ['TLSv1.3', 'TLSv1.2'])
@pytest.mark.parametrize('proof', ['exporter', 'challenge'])
def test_ace_over_wss_with_a_foreign_client(site, proof, tls):
    """MT-56: the exporter is that of the TLS session under the WebSocket; MT-58: so is the challenge answered."""
    key = jose.Ed25519()
    token = site.server.token(site.sensor, AUDIENCE, key=key)['access_token']
    topic = 'plant/sensor-1/%s-%s' % (proof, tls)
    got = node('witness_mqtt.mjs', {'port': site.port, 'ca': site.ca, 'ws': '/mqtt', 'clientId': 'sensor-1', 'token': token,
                                    'key': key.jwk(private=True), 'proof': proof, 'tls': tls,
                                    'steps': [{'subscribe': topic, 'qos': 1}, {'publish': topic, 'payload': 'x', 'qos': 1},
                                              {'collect': 1}, {'publish': 'plant/other', 'payload': 'x', 'qos': 1}]})
    assert got['connack']['code'] == 0 and got['subprotocol'] == 'mqtt' and got['tls'] == tls, got
    assert [step['ok'] for step in got['steps']] == [True, True, True, False], got
    site.daemon.event('client_connected', client_id='sensor-1', subject='sensor-1')


def test_a_proof_over_another_session_is_refused_over_wss(site):
    """MT-57: the key signs this session's exporter, WebSocket or not."""
    key = jose.Ed25519()
    token = site.server.token(site.sensor, AUDIENCE, key=key)['access_token']
    with Client(site.port, site.ca) as client:
        data = mqtt5.prefixed(token) + key.sign(os.urandom(32))
        client.send(mqtt5.connect('sensor-1', authentication_method='ace', authentication_data=data))
        assert client.expect(CONNACK).reason == 0x87


def test_a_challenge_over_wss_and_a_new_token_in_the_session(site):
    """MT-58, MT-105"""
    key = jose.Ed25519()
    prover = type('', (), {'prove': staticmethod(key.sign)})
    token = site.server.token(site.sensor, AUDIENCE, key=key)['access_token']
    with Client(site.port, site.ca) as client:
        assert client.open_ace('sensor-1', token, prover).reason == 0
        fresh = site.server.token(site.sensor, AUDIENCE, key=key)['access_token']
        assert client.reauthenticate(fresh, prover).reason == 0
        assert client.quiet()


class Paho:
    """Paho by its own threadless loop, both protocol versions."""

    def __init__(self, version, port, path, ca=None):
        self.client = paho.Client('', protocol=version, transport='websockets',
                                  **({} if version == paho.MQTTv5 else {'clean_session': True}))
        self.got, self.granted, self.connected = [], [], []
        self.client.on_connect = lambda c, u, f, reason, p=None: self.connected.append(int(getattr(reason, 'value', reason)))
        self.client.on_subscribe = lambda c, u, mid, codes, p=None: self.granted.append(codes)
        self.client.on_message = lambda c, u, message: self.got.append((message.topic, message.payload, message.qos))
        self.client.ws_set_options(path=path, headers=lambda fields: dict(fields, Origin=PAGE))
        if ca is not None:
            self.client.tls_set(ca)
        self.client.connect('localhost', port)

    def until(self, condition):
        def met():
            return condition() or self.client.loop(0.1) and pytest.fail('the connection has ended')
        wait_for(met)
        return self


@pytest.mark.parametrize('version', [paho.MQTTv5, paho.MQTTv311])
@pytest.mark.parametrize('listener', ['wss', 'ws'])
def test_paho_publishes_and_receives(site, version, listener):
    where = (site.port, '/mqtt', site.ca) if listener == 'wss' else (site.ports['ws'], '/here', None)
    one = Paho(version, *where)
    one.until(lambda: one.connected == [0])
    one.client.subscribe('public/paho', 2)
    one.until(lambda: one.granted)
    sent = [(os.urandom(size), qos) for size, qos in ((0, 0), (125, 1), (126, 2), (65535, 1), (70000, 2), (300000, 0))]
    for payload, qos in sent:
        one.client.publish('public/paho', payload, qos)
    one.until(lambda: len(one.got) == len(sent))
    assert sorted(one.got) == sorted(('public/paho', payload, qos) for payload, qos in sent)
    one.client.disconnect()


def test_our_own_client_over_ws_and_wss(site, tmp_path):
    """MQTT5 [MQTT-6.0.0-2]: one packet over many frames arrives as over TCP; our clients over every listener."""
    home = {'HOME': str(tmp_path)}
    big = 'x' * 500000
    for words in (['--ws', '-p', str(site.port), '--cafile', site.ca],
                  ['--ws-path', '/here', '--no-tls', '-p', str(site.ports['ws'])],
                  ['--no-tls', '-p', str(site.ports['tcp'])]):
        done = run_cli('pub', '--no-ace', '-h', 'localhost', '-t', 'public/cli', '-q', '2', '-r', '-s', *words, env=home,
                       stdin=big)
        assert done.returncode == 0, done.stderr
        done = run_cli('sub', '--no-ace', '-h', 'localhost', '-t', 'public/cli', '-C', '1', '-W', '20', *words, env=home)
        assert done.returncode == 0 and done.stdout.strip() == big, done.stderr
    done = run_cli('pub', '--no-ace', '-h', 'localhost', '-p', str(site.port), '--cafile', site.ca, '--ws-path', '/nothing',
                   '-t', 'public/cli', '-m', 'x', '-W', '20', env=home)
    assert done.returncode != 0 and '404 Not Found' in done.stderr, done.stderr


@pytest.mark.parametrize('pop', ['exporter', 'challenge', 'rpk', 'psk', 'psk-kid'])
def test_our_own_client_proves_possession_over_wss(site, tmp_path, pop):
    """MT-56, MT-58, MT-27, MT-28, MT-23: keys proved in MQTT or in the TLS handshake, the WebSocket in between."""
    secret = tmp_path / 'secret'
    secret.write_text(site.sensor.secret + '\n')
    secret.chmod(0o600)
    words = ['-h', 'localhost', '-p', str(site.port), '--cafile', site.ca, '--ws', '--as', site.server.url, '--client-id',
             'sensor-1', '--client-secret-file', str(secret), '--audience', AUDIENCE, '--pop', pop]
    if pop == 'rpk':
        key = tmp_path / 'key.pem'
        subprocess.run(['openssl', 'genpkey', '-algorithm', 'ed25519', '-out', str(key)], check=True, capture_output=True)
        key.chmod(0o600)
        words += ['--key', str(key)]
    done = run_cli('pub', '-i', 'sensor-1', '-t', 'plant/sensor-1/cli', '-m', 'x', '-q', '1', *words,
                   env={'HOME': str(tmp_path)})
    assert done.returncode == 0, done.stderr


def test_a_certificate_over_wss_is_the_proof_of_its_token(make_broker, tmp_path):
    """RFC 8705 3.1: shown in the TLS handshake under the WebSocket"""
    signer = jose.Ed25519('signer-1')
    ca, ca_key = make_ca(str(tmp_path))
    broker = make_broker(audience=AUDIENCE, issuers=[{'iss': 'https://as.test', 'jwks': {'keys': [signer.jwk()]}}],
                         listener={'transport': 'websocket', 'client_certificate': 'optional', 'client_ca': ca})
    mine, other = (make_client_certificate(str(tmp_path), ca, ca_key, name) for name in ('mine', 'other'))
    der = ssl.PEM_cert_to_DER_cert(open(mine[0], encoding='ascii').read())
    now = int(time.time())
    token = jose.jws(signer, {'iss': 'https://as.test', 'aud': AUDIENCE, 'client_id': 'c', 'iat': now, 'exp': now + 600,
                              'scope': jose.scope_text([['a/#', ['pub', 'sub']]]),
                              'cnf': {'x5t#S256': jose.b64(hashlib.sha256(der).digest())}})
    for files, reason in ((mine, 0), (other, 0x87), (None, 0x87)):
        with Client(broker.port, broker.ca, certificate=files) as client:
            got = client.open('c', authentication_method='ace', authentication_data=mqtt5.prefixed(token))
            assert got.reason == reason, (files, got)


# -- our client and servers without manners ------------------------------------------------------------------------

def accept_of(head):
    key = next(line.split(': ')[1] for line in head.split('\r\n') if line.lower().startswith('sec-websocket-key'))
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


SWITCHING = ('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
             'Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: ')
CONNACK_OK = b'\x20\x03\x00\x00\x00'
SERVERS = {
    'says nothing': lambda accept: b'',
    'answers another key': lambda accept: (SWITCHING + 'AAAA' + accept[4:] + '\r\n\r\n').encode(),
    'chooses no subprotocol': lambda accept: (SWITCHING.replace('mqtt', 'soap') + accept + '\r\n\r\n').encode(),
    'redirects': lambda accept: b'HTTP/1.1 301 Moved Permanently\r\nLocation: ws://127.0.0.1/\r\n\r\n',
    'never ends its head': lambda accept: b'HTTP/1.1 101 Switching Protocols\r\n' + b'X: yyyyyyyyyyyyyyyy\r\n' * 1000,
    'speaks MQTT': lambda accept: CONNACK_OK,
    'sends text': lambda accept: (SWITCHING + accept + '\r\n\r\n').encode() + frame(CONNACK_OK, TEXT, mask=False),
    'masks': lambda accept: (SWITCHING + accept + '\r\n\r\n').encode() + frame(CONNACK_OK),
    'sends 2^63 bytes': lambda accept: (SWITCHING + accept + '\r\n\r\n').encode() +
    frame(CONNACK_OK, mask=False, length=1 << 63),
    'closes at once': lambda accept: (SWITCHING + accept + '\r\n\r\n').encode() +
    frame(struct.pack('>H', 1011), CLOSE, mask=False),
}


@pytest.mark.parametrize('name', SERVERS)
def test_our_client_takes_no_nonsense_from_a_server(name, tmp_path):
    """MQTT5 [MQTT-6.0.0-1], [MQTT-6.0.0-4]; RFC 6455 4.1, 5.1: it says what was wrong and ends"""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        listener.settimeout(WAIT)

        def serve():
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(WAIT)
                head = b''
                while b'\r\n\r\n' not in head:
                    head += peer.recv(4096)
                peer.sendall(SERVERS[name](accept_of(head.decode())))
                try:
                    while peer.recv(4096):
                        pass
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        done = run_cli('pub', '--no-ace', '--no-tls', '--ws', '-h', '127.0.0.1', '-p', str(listener.getsockname()[1]), '-t',
                       'a', '-m', 'x', '-W', '2' if name == 'says nothing' else str(WAIT), env={'HOME': str(tmp_path)})
        thread.join()
    assert done.returncode not in (0, None) and done.returncode > 0 and done.stderr, done
    assert (done.returncode == 27) == (name == 'says nothing'), done


# -- the upgrade --------------------------------------------------------------------------------------------------

REFUSED = {
    'another path': (request('/other'), 404, 'path'),
    'another method': (request().replace(b'GET', b'POST', 1), 405, 'RFC 6455 4.2.1'),
    'HTTP/1.0': (request().replace(b'HTTP/1.1', b'HTTP/1.0', 1), 505, 'RFC 6455 4.2.1'),
    'no upgrade': (request(Upgrade=None), 426, 'RFC 6455 4.2.1'),
    'version 12': (request(Sec_WebSocket_Version='12'), 426, 'RFC 6455 4.4'),
    'a short key': (request(key='AAAA'), 400, 'RFC 6455 4.2.1'),
    'no Host': (request(Host=None), 400, 'RFC 6455 4.2.1'),
    'no subprotocol': (request(Sec_WebSocket_Protocol=None), 400, 'MQTT5 [MQTT-6.0.0-3]'),
    'another subprotocol': (request(Sec_WebSocket_Protocol='mqttv3.1, soap'), 400, 'MQTT5 [MQTT-6.0.0-3]'),
    'a page of nobody': (request(Origin='https://evil.example'), 403, 'origins'),
    'a page of nobody that looks like one': (request(Origin=PAGE + '.evil.example'), 403, 'origins'),
    'a bare line feed': (request().replace(b'\r\n', b'\n', 1) + b'\r\n\r\n', 400, 'RFC 9112 3'),
    'a header too large': (b'GET /mqtt HTTP/1.1\r\nX: ' + b'a' * 9000 + b'\r\n\r\n', 431, 'RFC 6585 5'),
    'a thousand headers': (b'GET /mqtt HTTP/1.1\r\n' + b'A: b\r\n' * 1000 + b'\r\n', 431, 'RFC 6585 5'),
    'MQTT and no WebSocket': (mqtt5.connect('x'), 400, 'RFC 9112 2.2'),
}


@pytest.mark.parametrize('name', REFUSED)
def test_a_request_that_is_refused(site, name):
    """RFC 6455 4.2.1, 4.4, 10.2; MQTT5 [MQTT-6.0.0-3]: the status that fits, the reason in words, one event with the peer"""
    data, code, clause = REFUSED[name]
    with Peer(site.port, site.ca) as peer:
        peer.say(data)
        got = peer.answer()
        assert got.code == code, got.line
        assert len(peer.body()) == int(got.fields['content-length']) < 100
        if code == 426:
            assert got.fields['sec-websocket-version'] == '13' and got.fields['upgrade'] == 'websocket'
    event = site.daemon.event('websocket_refused', peer=peer.address)
    assert event.fields['clause'] == clause
    assert code != 403 or event.fields['origin'].startswith('https://')


def test_a_browser_is_told_to_speak_http_1(site):
    """RFC 7301: WebSocket begins in HTTP/1.1, whatever else is offered"""
    context = ssl.create_default_context(cafile=site.ca)
    context.set_alpn_protocols(['h2', 'http/1.1'])
    with socket.create_connection(('localhost', site.port)) as raw, \
            context.wrap_socket(raw, server_hostname='localhost') as secure:
        assert secure.selected_alpn_protocol() == 'http/1.1'


def test_pages_on_the_list_may_connect(site):
    """RFC 6455 10.2: the listener's list, exact; a listener with `*` takes any."""
    for peer in (Client(site.port, site.ca, Origin=PAGE), Client(site.ports['ws'], path='/here', Origin='null')):
        with peer as client:
            assert client.open('').reason == 0


@pytest.fixture(scope='module')
def hasty(make_broker):
    return make_broker(workers=1, public=[['public/#', ['pub', 'sub']]], listener={'transport': 'websocket'}, **{
        'limits.handshake_timeout': '2s'})


def test_a_request_one_byte_at_a_time_is_served(site):
    with Peer(site.port, site.ca) as peer:
        for byte in request():
            peer.say(bytes([byte]))
        assert peer.answer().code == 101
        peer.say(frame(mqtt5.connect('')))
        assert peer.frame()[0] == BINARY


def test_a_slow_request_is_cut_off(hasty):
    with Peer(hasty.port, hasty.ca) as peer, pytest.raises((Closed, OSError)):
        for byte in request() * 10:
            peer.say(bytes([byte]))
            time.sleep(0.05)
        raise AssertionError('it was heard to the end')
    event = hasty.daemon.event('websocket_refused', peer=peer.address)
    assert event.fields['clause'] == 'limits.handshake_timeout'


def test_who_opens_and_says_nothing_is_cut_off_and_named(hasty):
    with Peer(hasty.port, hasty.ca) as peer:
        peer.expect_end()
    assert hasty.daemon.event('websocket_refused', peer=peer.address).fields['clause'] == 'limits.handshake_timeout'


# -- frames -------------------------------------------------------------------------------------------------------

def conversation(n=1):
    return mqtt5.connect('') + mqtt5.subscribe(1, [('public/frames', 0)]) + b''.join(
        mqtt5.publish('public/frames', '%d' % i) for i in range(n)) + mqtt5.PING


def hears(client, n=1):
    assert client.expect(CONNACK).reason == 0
    assert client.expect(SUBACK).codes == [0]
    assert [client.expect(PUBLISH).payload for _ in range(n)] == [b'%d' % i for i in range(n)]
    client.expect(PINGRESP)


CUTS = {
    'each byte a message': lambda data: b''.join(frame(bytes([b])) for b in data),
    'each byte a frame of one message': fragments,
    'frames of two bytes': lambda data: fragments(data, 2),
    'frames of seven bytes and a Ping between': lambda data: fragments(data, 7, frame(b'are you there', PING)),
    'empty frames between': lambda data: fragments(data, 3, frame(b'', CONT, fin=False)),
    'a Pong nobody asked for between': lambda data: fragments(data, 5, frame(b'x' * 125, PONG)),
    'all in one frame': frame,
    'one message, never ended': lambda data: frame(data, fin=False),
    'a frame of 64-bit length': lambda data: frame(data + mqtt5.publish('public/none', 'x' * 70000)),
}


@pytest.mark.parametrize('name', CUTS)
def test_packets_arrive_however_frames_cut_them(site, name):
    """MQTT5 [MQTT-6.0.0-2], MQTT311 [MQTT-6.0.0-2]: packets are not aligned on frame boundaries; RFC 6455 5.4"""
    with Client(site.port, site.ca) as client:
        client.peer.say(CUTS[name](conversation()))
        hears(client)


def test_a_hundred_packets_in_one_frame_and_their_answers_in_few(site):
    with Client(site.port, site.ca) as client:
        client.peer.say(frame(conversation(100)))
        hears(client, 100)
        assert client.frames < 10  # the output of a turn is one frame


def test_every_byte_on_its_own_through_the_socket(site):
    """The connection moves to its client's worker in the middle of a frame."""
    for i in range(6):
        with Client(site.port, site.ca) as client:
            data = fragments(mqtt5.connect('mover-%d' % i) + mqtt5.PING, 3, frame(b'p', PING))
            for k in range(0, len(data), 2):
                client.peer.say(data[k:k + 2])
            assert client.expect(CONNACK).reason == 0
            client.expect(PINGRESP)


def test_pings_are_answered_and_a_flood_of_them_is_harmless(site):
    """RFC 6455 5.5.2, 5.5.3"""
    with opened(site) as client:
        client.peer.say(frame(b'hello', PING))
        assert client.peer.frame() == (PONG, b'hello')
        client.peer.say(frame(b'', PING))
        assert client.peer.frame() == (PONG, b'')
        client.peer.say(frame(b'f' * 125, PING) * 20000)
        client.send(mqtt5.PING)
        client.expect(PINGRESP)


def test_a_message_as_large_as_allowed_in_small_frames(site):
    payload = os.urandom(1000000)
    with opened(site) as client:
        client.peer.say(fragments(mqtt5.subscribe(1, [('public/large', 0)]) + mqtt5.publish('public/large', payload), 1000))
        assert client.expect(SUBACK).codes == [0]
        assert client.expect(PUBLISH).payload == payload
        client.peer.say(fragments(mqtt5.publish('public/large', payload * 2), 1000))
        assert client.expect(DISCONNECT).reason == 0x95  # limits.packet, as over TCP


# -- without manners ----------------------------------------------------------------------------------------------

RUDE = {
    'a text frame': (frame(b'hello', TEXT), NOT_BINARY),
    'a CONNECT in a text frame': (frame(mqtt5.connect(''), TEXT), NOT_BINARY),
    'no mask': (frame(mqtt5.PING, mask=False), PROTOCOL_ERROR),
    'RSV1': (frame(mqtt5.PING, rsv=4), PROTOCOL_ERROR),
    'RSV2': (frame(mqtt5.PING, rsv=2), PROTOCOL_ERROR),
    'RSV3': (frame(mqtt5.PING, rsv=1), PROTOCOL_ERROR),
    'opcode 3': (frame(b'x', 3), PROTOCOL_ERROR),
    'opcode 15': (frame(b'x', 15), PROTOCOL_ERROR),
    'a continuation of nothing': (frame(b'x', CONT), PROTOCOL_ERROR),
    'a message in a message': (frame(b'\xc0', fin=False) + frame(b'\x00'), PROTOCOL_ERROR),
    'a Ping in fragments': (frame(b'x', PING, fin=False), PROTOCOL_ERROR),
    'a Ping too long': (frame(b'x' * 126, PING), PROTOCOL_ERROR),
    'a length of 2^63': (frame(b'x', length=1 << 63), PROTOCOL_ERROR),
    'a length of 2^62': (frame(b'x', length=1 << 62), TOO_BIG),
    'a Close of one byte': (frame(b'x', CLOSE), PROTOCOL_ERROR),
    'a Close with code 1005': (frame(struct.pack('>H', 1005), CLOSE), PROTOCOL_ERROR),
}


@pytest.mark.parametrize('name', RUDE)
@pytest.mark.parametrize('when', ['before CONNECT', 'in the session'])
def test_a_rude_frame_ends_the_connection(site, name, when):
    """MQTT5 [MQTT-6.0.0-1], MQTT311 [MQTT-6.0.0-1]; RFC 6455 5.1, 5.2, 5.4, 5.5, 7.4.1: Close with the code, and the end"""
    data, code = RUDE[name]
    client = opened(site) if when == 'in the session' else Client(site.port, site.ca)
    client.peer.say(data)
    client.peer.expect_close(code)
    client.close()
    site.daemon.event('client_disconnected', peer=client.peer.address)


def test_the_will_goes_out_after_a_rude_frame(site):
    """MQTT5 [MQTT-6.0.0-1], [MQTT-3.1.2-8]: an end without DISCONNECT"""
    with opened(site) as watcher, Client(site.port, site.ca) as client:
        watcher.send(mqtt5.subscribe(1, [('public/will', 0)]))
        watcher.expect(SUBACK)
        assert client.open('', will=('public/will', 'gone', 0, False, {})).reason == 0
        client.peer.say(frame(b'x', TEXT))
        client.peer.expect_close(NOT_BINARY)
        client.close()
        assert watcher.expect(PUBLISH).payload == b'gone'


def test_a_close_is_answered_and_one_in_the_middle_of_a_message_too(site):
    """RFC 6455 5.5.1"""
    for before in (b'', frame(mqtt5.publish('public/x', 'x')[:5], fin=False)):
        with opened(site) as client:
            client.peer.say(before, frame(struct.pack('>H', 1001) + b'leaving', CLOSE))
            client.peer.expect_close(1001)


def test_disconnect_is_followed_by_close(site):
    with opened(site) as client:
        client.send(mqtt5.disconnect())
        client.peer.expect_close(NORMAL)


def test_a_malformed_packet_gets_its_reason_before_close(site):
    """MQTT5 4.13: DISCONNECT first, then the WebSocket's Close"""
    with opened(site) as client:
        client.send(b'\xc1\x00')
        assert client.expect(DISCONNECT).reason == 0x81
        client.peer.expect_close(NORMAL)


def test_the_connection_cut_in_the_middle_of_a_frame(site):
    for data in (b'', frame(mqtt5.publish('public/x', 'x' * 100))[:50], frame(mqtt5.PING)[:1], b'\x82\xff' + b'\x00' * 5):
        client = opened(site)
        client.peer.say(data)
        client.close()
        site.daemon.event('client_disconnected', peer=client.peer.address)


def test_a_client_that_ended_its_half_still_hears(site):
    """As over TCP: what it asked for before is answered."""
    with Client(site.ports['ws'], path='/here') as client:
        assert client.open('').reason == 0
        client.send(mqtt5.PING)
        client.socket.shutdown(1)
        client.expect(PINGRESP)
        with pytest.raises(Closed):
            client.receive()


def test_a_client_that_does_not_read_is_bounded(site):
    """The limit on output is TCP's: QoS 0 messages to it are dropped, and it is still served afterwards."""
    with opened(site) as slow, opened(site) as fast:
        slow.send(mqtt5.subscribe(1, [('public/flood', 0)]))
        slow.expect(SUBACK)
        data = mqtt5.publish('public/flood', b'f' * 60000)
        for _ in range(400):
            fast.send(data)
        assert fast.quiet()
        slow.send(mqtt5.PING)
        count = 0
        while slow.receive().kind == PUBLISH:
            count += 1
        assert 0 < count < 400


def test_idle_connections_are_cheap(site):
    """No buffer between frames: a few hundred bytes more than a TCP connection."""
    if sanitized():
        pytest.skip('what is freed waits in the quarantine of the sanitizer, which looks for leaks itself')

    def memory():
        with open('/proc/%d/smaps_rollup' % site.daemon.process.pid, encoding='ascii') as f:
            return next(int(line.split()[1]) for line in f if line.startswith('Private_Dirty'))

    def cost(make, n=400):
        before, made = memory(), [make() for _ in range(n)]
        for client in made:
            assert client.open('').reason == 0
            assert client.quiet()
        per_client = (memory() - before) * 1024 / n
        for client in made:
            client.close()
        return per_client

    cost(lambda: Client(site.ports['ws'], path='/here'), 50)
    assert cost(lambda: Client(site.ports['ws'], path='/here')) < 8192


def test_settings_that_make_no_sense_are_refused(site, tmp_path):
    for line, complaint in [('transport: tcp, origins: ["https://a"]', 'origins` means something with'),
                            ('transport: websocket, origins: ["https://a/"]', 'not of the form'),
                            ('transport: websocket, origins: ["a.example"]', 'not of the form'),
                            ('transport: websocket, origins: ["https://a.example:443"]', 'not of the form'),
                            ('transport: tcp, path: "/x"', 'path` means something with'),
                            ('transport: websocket, path: "mqtt"', 'listeners[1]: `path` begins with'),
                            ('transport: websocket, path: "/mqtt?x"', 'begins with'),
                            ('transport: websocket, address: "0.0.0.0"', 'loopback')]:
        config = tmp_path / 'broker.yaml'
        config.write_text('durability: none\nlisteners:\n  - {address: 127.0.0.1, tls: false, %s}\n' % line if 'address' not in line else
                          'durability: none\nlisteners:\n  - {tls: false, %s}\n' % line)
        done = subprocess.run([program('symbolon-broker'), '--config', str(config), '--check-config'], capture_output=True,
                              text=True, timeout=WAIT)
        assert done.returncode != 0 and complaint in done.stdout + done.stderr, (line, done.stdout + done.stderr)


def test_a_stopping_broker_says_so_over_websocket_too(make_broker):
    """MQTT5 3.14: DISCONNECT 0x8B, then Close"""
    broker = make_broker(public=[['public/#', ['pub', 'sub']]], listener={'transport': 'websocket'})
    with Client(broker.port, broker.ca) as client:
        assert client.open('').reason == 0
        broker.daemon.process.terminate()
        assert client.expect(DISCONNECT).reason == 0x8B
        client.peer.expect_close(NORMAL)
