"""Who is hostile never hurts: limits and bans by address, strangers that take their time, the control socket. Loopback is
not exempt here, and 127.0.0.x are different addresses."""
import json
import os
import re
import socket
import ssl
import stat
import struct
import subprocess
import tempfile
import time

import mqtt5
import p_tls_known_test
import pytest
import world
from mqtt5 import CONNACK, PUBLISH, SUBACK, Client, Closed, Plain

# A ban that lasts: none ends while a test looks at it. Whoever waits for the end of one sets `hostile.ban`.
STRICT = {'hostile.exempt_loopback': False, 'hostile.faults_burst': 3, 'hostile.faults': 1, 'hostile.ban': '10m'}


def dial(broker, address='127.0.0.1', port=None):
    return socket.create_connection(('127.0.0.1', port or broker.port), timeout=world.WAIT, source_address=(address, 0))


class From(Client):
    """A client at another address of this machine."""

    def __init__(self, broker, address):
        self.wait, self.buffer = world.WAIT, b''
        self.socket = ssl.create_default_context(cafile=broker.ca).wrap_socket(dial(broker, address), server_hostname='localhost')


def talk_nonsense(broker, address, times):
    for _ in range(times):
        try:
            with dial(broker, address) as s:
                s.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
                while s.recv(4096):
                    pass
        except OSError:
            pass


def turned_away(broker, address):
    """Closed as it was accepted, before a byte of TLS."""
    try:
        with dial(broker, address) as s:
            return s.recv(1) == b''
    except ConnectionError:
        return True


def comes_in(broker, address='127.0.0.1'):
    try:
        with From(broker, address) as client:
            return client.open('').reason == 0
    except (OSError, Closed):
        return False


def control(broker, **question):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(world.WAIT)
        s.connect(os.path.join(broker.dir, 'state', 'control.sock'))
        s.sendall(json.dumps(question).encode() + b'\n')
        return json.loads(s.makefile('rb').readline())


def stats_of(broker):
    return control(broker, cmd='stats')['stats']


def command(broker, *words):
    return world.run_cli('broker', '--socket', os.path.join(broker.dir, 'state', 'control.sock'), *words)


def resident(pid):
    text = open('/proc/%d/status' % pid, encoding='ascii').read()
    return int(re.search(r'VmRSS:\s*(\d+)', text)[1]) * 1024


# -- bans -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def strict(make_broker):
    return make_broker(workers=2, public=[['public/#', ['pub', 'sub']]], **STRICT)


def test_who_talks_nonsense_is_banned_and_nobody_else(strict):
    talk_nonsense(strict, '127.0.0.2', 4)
    banned = strict.daemon.event('address_banned', address='127.0.0.2')
    assert banned.fields['ms'] == '600000'
    assert turned_away(strict, '127.0.0.2')
    assert comes_in(strict, '127.0.0.3')
    rows = control(strict, cmd='bans')['bans']
    assert [row['address'] for row in rows] == ['127.0.0.2'] and rows[0]['times'] == 1


def test_a_ban_ends_by_itself_and_the_next_is_twice_as_long(make_broker):
    broker = make_broker(workers=2, public=[['public/#', ['pub', 'sub']]], **dict(STRICT, **{'hostile.ban': '500ms'}))
    talk_nonsense(broker, '127.0.0.4', 4)
    assert broker.daemon.event('address_banned', address='127.0.0.4').fields['ms'] == '500'
    broker.daemon.event('address_unbanned', address='127.0.0.4', by='time')
    assert comes_in(broker, '127.0.0.4')
    talk_nonsense(broker, '127.0.0.4', 4)
    assert broker.daemon.event('address_banned', 2, address='127.0.0.4').fields['ms'] == '1000'


def test_a_banned_address_keeps_the_connections_it_has(strict):
    """many clients may be behind one address"""
    with From(strict, '127.0.0.5') as client:
        assert client.open('').reason == 0
        talk_nonsense(strict, '127.0.0.5', 5)
        strict.daemon.event('address_banned', address='127.0.0.5')
        assert turned_away(strict, '127.0.0.5')
        assert client.quiet()


def test_unban_lets_in_again(strict):
    talk_nonsense(strict, '127.0.0.6', 5)
    strict.daemon.event('address_banned', address='127.0.0.6')
    done = command(strict, 'unban', '127.0.0.6')
    assert done.returncode == 0, done.stderr
    assert comes_in(strict, '127.0.0.6')
    assert command(strict, 'unban', '127.0.0.6').returncode == 5
    assert command(strict, 'unban', 'localhost').returncode == 5
    assert command(strict, 'unban').returncode == 5
    strict.daemon.event('address_unbanned', address='127.0.0.6', by='uid:%d' % os.getuid())
    talk_nonsense(strict, '127.0.0.6', 5)
    strict.daemon.event('address_banned', 2, address='127.0.0.6')
    assert command(strict, 'unban', '--all').returncode == 0
    assert control(strict, cmd='bans')['banned'] == 0


def test_honest_misfortunes_ban_nobody(strict):
    """a line that breaks, a client that does not trust us, one without a token, one that says nothing, one that is cut"""
    hello = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
    for i in range(12):
        dial(strict, '127.0.0.7').close()
        with dial(strict, '127.0.0.7') as s:
            with pytest.raises(ssl.SSLError):
                hello.wrap_socket(s, server_hostname='localhost')
        with dial(strict, '127.0.0.7') as s:
            s.sendall(b'\x16\x03\x01\x00\xc8')  # a handshake that never comes
        with From(strict, '127.0.0.7') as client:
            client.send(mqtt5.connect('x', authentication_method='ace'))
            assert client.expect(CONNACK).reason == 0x87  # where to get a token
        with From(strict, '127.0.0.7') as client:
            assert client.open('').reason == 0
            client.send(mqtt5.publish('public/+'))
    assert not strict.daemon.find('address_banned', address='127.0.0.7')
    assert comes_in(strict, '127.0.0.7')


FORGED = {
    'a token of nobody': lambda: mqtt5.connect('x', authentication_method='ace', authentication_data=mqtt5.prefixed('e30.e30.AAAA')),
    'no CONNECT': lambda: mqtt5.PING,
    'no MQTT': lambda: b'GET / HTTP/1.1\r\n\r\n',
}


@pytest.mark.parametrize('name', FORGED)
def test_what_no_honest_client_does_is_a_fault(make_broker, name):
    broker = make_broker(workers=1, public=[['public/#', ['pub', 'sub']]], **STRICT)
    for _ in range(6):
        try:
            with From(broker, '127.0.0.8') as client:
                client.send(FORGED[name]())
                client.receive()
        except (OSError, Closed):
            pass
    broker.daemon.event('address_banned', address='127.0.0.8')


def test_refusing_the_banned_costs_next_to_nothing(make_broker):
    """No TLS, no memory, no line: the accept() and the close() of it."""
    broker = make_broker(workers=1, public=[['public/#', ['pub', 'sub']]], log_rate=100, **STRICT)
    talk_nonsense(broker, '127.0.0.9', 5)
    broker.daemon.event('address_banned', address='127.0.0.9')
    before, memory = stats_of(broker), resident(broker.daemon.process.pid)

    def refused():
        for _ in range(500):
            try:
                dial(broker, '127.0.0.9').close()
            except OSError:
                pass
        return stats_of(broker)['refused_banned'] >= 4500  # some are gone before they are accepted
    world.wait_for(refused, 4 * world.WAIT)
    after = stats_of(broker)
    assert (after['connections_accepted'], after['arriving']) == (before['connections_accepted'], 0)
    if not world.sanitized():
        assert resident(broker.daemon.process.pid) < memory + 4 * 1024 * 1024
    assert not broker.daemon.find('connection_refused')


# -- limits by address ------------------------------------------------------------------------------------------


def test_connecting_too_fast_is_refused_but_no_fault(make_broker):
    broker = make_broker(workers=2, public=[['public/#', ['pub', 'sub']]],
                         **dict(STRICT, **{'hostile.connects': 1, 'hostile.connects_burst': 10}))
    sockets, turned = [], 0
    for _ in range(60):
        try:
            sockets.append(dial(broker, '127.0.0.2'))
        except OSError:
            turned += 1
    broker.daemon.event('connection_refused', clause='hostile.connects')
    wait_until_closed(sockets, 0 if turned else 1)
    close_all(sockets)
    assert comes_in(broker, '127.0.0.3')
    assert control(broker, cmd='bans')['banned'] == 0
    world.wait_for(lambda: comes_in(broker, '127.0.0.2'))  # as time allows one again


def test_connections_of_one_address_have_a_limit(make_broker):
    broker = make_broker(workers=2, public=[['public/#', ['pub', 'sub']]],
                         **dict(STRICT, **{'limits.connections_per_address': 5, 'limits.handshakes_per_address': 3}))
    inside = [From(broker, '127.0.0.2') for _ in range(3)]
    assert turned_away(broker, '127.0.0.2')  # three have not said CONNECT yet
    for client in inside:
        assert client.open('').reason == 0
    inside += [From(broker, '127.0.0.2') for _ in range(2)]
    for client in inside[3:]:
        assert client.open('').reason == 0
    assert turned_away(broker, '127.0.0.2')
    assert comes_in(broker, '127.0.0.3')
    inside.pop().close()
    world.wait_for(lambda: comes_in(broker, '127.0.0.2'))  # the broker has to see the end of the fifth first
    for client in inside:
        client.close()


def test_exempt_networks_are_not_counted(make_broker):
    broker = make_broker(workers=1, public=[['public/#', ['pub', 'sub']]],
                         **dict(STRICT, **{'hostile.exempt': ['127.0.0.0/30', '2001:db8::/32']}))
    talk_nonsense(broker, '127.0.0.2', 12)
    talk_nonsense(broker, '127.0.0.6', 12)
    broker.daemon.event('address_banned', address='127.0.0.6')
    assert comes_in(broker, '127.0.0.2')


def test_networks_that_are_none_are_said_by_name(tmp_path):
    path = tmp_path / 'broker.yaml'
    path.write_text('durability: none\nlisteners: [{address: 127.0.0.1, port: 0, tls: false}]\n'
                    'hostile: {exempt: [10.0.0.0/8, "10.0.0.0/33", "2001:db8::/65", here]}\n')
    done = subprocess.run([world.program('symbolon-broker'), '--config', path, '--check-config'], capture_output=True, text=True)
    assert done.returncode != 0
    assert [n for n in '1234' if 'hostile.exempt[%s]' % n in done.stderr] == ['2', '3', '4']


# -- strangers that take their time -----------------------------------------------------------------------------


CLIENT_HELLO = None


def client_hello():
    """The first flight of a real client, whole."""
    global CLIENT_HELLO
    if CLIENT_HELLO is None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls = context.wrap_bio(incoming, outgoing, server_hostname='localhost')
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        CLIENT_HELLO = outgoing.read()
    return CLIENT_HELLO


def many(broker, count, first=b'', addresses=20, port=None):
    out = []
    for i in range(count):
        try:
            s = dial(broker, '127.0.1.%d' % (1 + i % addresses), port)
            if first:
                s.sendall(first)
            s.setblocking(False)
            out.append(s)
        except OSError:
            pass
    return out


def closed_by_peer(sockets):
    gone = 0
    for s in sockets:
        try:
            while True:
                if s.recv(65536) == b'':
                    gone += 1
                    break
        except BlockingIOError:
            pass
        except OSError:
            gone += 1
    return gone


def wait_until_closed(sockets, count):
    left = list(sockets)
    for s in sockets:
        s.setblocking(False)

    def closed():
        left[:] = [s for s in left if not closed_by_peer([s])]
        return len(left) <= len(sockets) - count
    world.wait_for(closed, why=lambda: '%d of %d are still open' % (len(left), len(sockets)))


def honest_round(broker):
    """A client gets from nothing to a message of its own."""
    with From(broker, '127.0.0.1') as client:
        assert client.open('').reason == 0
        client.send(mqtt5.subscribe(1, [('public/alive', 0)]), mqtt5.publish('public/alive', 'yes'))
        assert client.expect(SUBACK).codes == [0]
        assert client.expect(PUBLISH).payload == b'yes'


def with_room(make_broker, **more):
    """For 500 strangers."""
    return make_broker(workers=2, public=[['public/#', ['pub', 'sub']]], more_listeners={'wss': {'transport': 'websocket'}}, **{
        'hostile.exempt_loopback': False, 'limits.handshakes': 500, 'limits.handshakes_per_address': 0, 'hostile.connects': 0,
        'log_rate': 50, **more})


@pytest.fixture(scope='module')
def crowded(make_broker):
    """Nobody is cut because of time."""
    return with_room(make_broker)


@pytest.fixture(scope='module')
def hasty(make_broker):
    """There is not much time for any; an honest client on a slow machine needs some."""
    return with_room(make_broker, **{'limits.handshake_timeout': '6s', 'limits.connect_timeout': '6s'})


def close_all(sockets):
    for s in sockets:
        s.close()


@pytest.mark.parametrize('first', ['nothing', 'a ClientHello'])
def test_two_thousand_half_open_handshakes(crowded, first):
    """New ones take the place of the oldest; an honest client comes through in between."""
    before, refused = resident(crowded.daemon.process.pid), stats_of(crowded)['refused_handshakes']
    sockets = many(crowded, 2000, b'' if first == 'nothing' else client_hello())
    for _ in range(10):
        honest_round(crowded)
    assert stats_of(crowded)['arriving'] <= 500
    world.wait_for(lambda: stats_of(crowded)['refused_handshakes'] - refused >= 1400)
    wait_until_closed(sockets, 1400)
    if not world.sanitized():
        assert resident(crowded.daemon.process.pid) < before + 64 * 1024 * 1024
    close_all(sockets)
    world.wait_for(lambda: stats_of(crowded)['arriving'] == 0)


def test_half_open_handshakes_are_cut_in_time(hasty):
    sockets = many(hasty, 100) + many(hasty, 100, client_hello())
    wait_until_closed(sockets, len(sockets))
    close_all(sockets)
    world.wait_for(lambda: stats_of(hasty)['arriving'] == 0)


def drip(sockets, text, step=0.25):
    """Each socket gets one more byte of the text now and then, until all are closed; how much of it was said by then."""
    left = list(sockets)
    for s in left:
        s.setblocking(False)
    for at in range(len(text)):
        for s in list(left):
            try:
                s.send(text[at:at + 1])
                if s.recv(4096) == b'':
                    left.remove(s)
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            except OSError:
                left.remove(s)
        if not left:
            return at
        time.sleep(step)
    raise AssertionError('%d of %d were listened to up to the end' % (len(left), len(sockets)))


def tls_many(broker, count, port=None):
    out = []
    for i in range(count):
        raw = dial(broker, '127.0.2.%d' % (1 + i % 20), port)
        out.append(ssl.create_default_context(cafile=broker.ca).wrap_socket(raw, server_hostname='localhost'))
    return out


@pytest.mark.parametrize('what', ['a TLS handshake', 'a CONNECT', 'a WebSocket upgrade'])
def test_one_byte_now_and_then_is_given_up(hasty, what):
    """a busy trickle is no progress: the limit is one for the whole"""
    text = {'a TLS handshake': client_hello(), 'a CONNECT': mqtt5.connect('slow', user_name='u' * 200),
            'a WebSocket upgrade': b'GET /mqtt HTTP/1.1\r\nHost: localhost\r\n' + b'X-Filler: y\r\n' * 40}[what]
    if what == 'a TLS handshake':
        sockets = many(hasty, 50)
    else:
        sockets = tls_many(hasty, 10, hasty.ports['wss'] if 'Web' in what else None)
    drip(sockets, text)
    close_all(sockets)


def test_auth_without_end_has_an_end(make_broker, as_server):
    """Each AUTH that is no answer ends the connection. In time ends what i_bad_tokens_test.py tells."""
    broker = make_broker(as_server=as_server, audience='endless', workers=1,
                         **dict(STRICT, **{'hostile.faults_burst': 100}))
    with From(broker, '127.0.0.2') as client:
        client.send(mqtt5.connect('x', authentication_method='ace', authentication_data=mqtt5.prefixed('e30.e30.AAAA')))
        for _ in range(50):
            try:
                client.send(mqtt5.auth(0x18, bytes(16)))
            except OSError:
                break
        got = client.receive()
        assert got.reason >= 0x80
        client.expect_closed()


def test_subscribers_that_never_read_cost_only_themselves(make_broker):
    broker = make_broker(workers=2, public=[['public/#', ['pub', 'sub']]], **{'limits.output': '64k'})
    deaf = []
    for _ in range(20):
        client = Client(broker.port, broker.ca)
        assert client.open('').reason == 0
        client.send(mqtt5.subscribe(1, [('public/flood', 0)]))
        assert client.expect(SUBACK).codes == [0]
        deaf.append(client)
    before = resident(broker.daemon.process.pid)
    payload = bytes(20000)
    with Client(broker.port, broker.ca) as loud, Client(broker.port, broker.ca) as fine:
        assert loud.open('').reason == 0 and fine.open('').reason == 0
        fine.send(mqtt5.subscribe(1, [('public/flood', 0)]))
        assert fine.expect(SUBACK).codes == [0]
        for _ in range(600):
            loud.send(mqtt5.publish('public/flood', payload))
            assert len(fine.expect(PUBLISH).payload) == len(payload)
    if not world.sanitized():
        assert resident(broker.daemon.process.pid) < before + 20 * 1024 * 1024
    for client in deaf:
        client.close()


# -- TLS --------------------------------------------------------------------------------------------------------


def s_client(broker, *words, stdin=b''):
    return subprocess.run(['openssl', 's_client', '-connect', '127.0.0.1:%d' % broker.port, '-CAfile', broker.ca, '-servername',
                           'localhost', *words], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=world.WAIT)


def test_renegotiation_is_refused(strict):
    """RFC 9325 3.5: by a warning, and the connection ends"""
    done = s_client(strict, '-tls1_2', stdin=b'R\n')
    text = done.stdout.decode(errors='replace')
    assert 'RENEGOTIATING' in text and re.search(r'no.renegotiation', text), text[-2000:]
    assert comes_in(strict, '127.0.0.1')


def test_no_compression_no_early_data_no_old_versions(strict):
    for version in ('-tls1_2', '-tls1_3'):
        text = s_client(strict, version, '-comp').stdout.decode(errors='replace')
        assert 'Compression: NONE' in text and 'Cipher    : 0000' not in text, text[-2000:]
    for version in ('-tls1', '-tls1_1'):
        text = s_client(strict, version, '-cipher', 'ALL:@SECLEVEL=0').stdout.decode(errors='replace')
        assert 'Cipher is (NONE)' in text or 'no protocols available' in text, text[-2000:]


def test_early_data_is_not_taken(strict, tmp_path):
    """RFC 8446 8: nothing that could be played again"""
    ticket = str(tmp_path / 'ticket')
    s_client(strict, '-tls1_3', '-sess_out', ticket, stdin=mqtt5.connect('early'))
    if not os.path.exists(ticket):
        pytest.skip('openssl got no ticket')
    early = tmp_path / 'early'
    early.write_bytes(mqtt5.connect('early'))
    text = s_client(strict, '-tls1_3', '-sess_in', ticket, '-early_data', str(early)).stdout.decode(errors='replace')
    assert 'Early data was accepted' not in text, text[-2000:]


# -- the control socket -----------------------------------------------------------------------------------------


def test_the_socket_is_closed_to_others(strict):
    path = os.path.join(strict.dir, 'state', 'control.sock')
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def as_nobody(*words):
    return subprocess.run(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all', '--inh-caps=-all',
                           *words], capture_output=True, text=True, timeout=world.WAIT)


@pytest.fixture
def open_folder():
    """Where everybody may go."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield folder


@pytest.mark.skipif(os.getuid() != 0, reason='only root can be somebody else')
def test_another_user_is_refused_even_if_the_file_lets_him(make_broker, open_folder):
    path = os.path.join(open_folder, 'control.sock')
    broker = make_broker(workers=1, public=[['public/#', ['pub', 'sub']]], control_socket=path)
    os.chmod(path, 0o666)
    done = as_nobody('/usr/bin/python3', '-c', 'import socket; s = socket.socket(socket.AF_UNIX); s.connect("%s"); '
                     's.sendall(b"{\\"cmd\\":\\"stats\\"}\\n"); print(s.recv(100))' % path)
    assert 'ok' not in done.stdout, done
    broker.daemon.event('admin_refused', uid=65534)


def test_clients_are_listed_page_by_page(make_broker):
    broker = make_broker(workers=3, public=[['public/#', ['pub', 'sub']]], **{'session.guest_max_expiry': '1h'})
    here = []
    for n in range(7):
        client = Client(broker.port, broker.ca)
        assert client.open('client-%d' % n, session_expiry=100).reason == 0
        client.send(mqtt5.subscribe(1, [('public/a', 1), ('public/b', 1)]))
        assert client.expect(SUBACK).codes == [1, 1]
        here.append(client)
    here.pop().close()
    broker.daemon.event('client_disconnected', client_id='client-6')
    got = control(broker, cmd='clients', limit=3)
    assert [row['client_id'] for row in got['clients']] == ['client-0', 'client-1', 'client-2']
    assert got['total'] == 7 and got['next'] == 'client-2'
    row = got['clients'][0]
    assert row['connected'] and row['version'] == '5' and row['subscriptions'] == 2 and row['expiry_s'] == 100
    assert row['peer'].startswith('127.0.0.1:')
    got = control(broker, cmd='clients', after='client-2', limit=100)
    assert [row['client_id'] for row in got['clients']] == ['client-3', 'client-4', 'client-5', 'client-6'] and 'next' not in got
    assert not got['clients'][-1]['connected']
    got = control(broker, cmd='clients', prefix='client-', connected=True)
    assert got['total'] == 6
    assert control(broker, cmd='clients', prefix='x')['clients'] == []
    text = command(broker, 'clients', '--prefix', 'client-0').stdout
    assert 'client-0' in text and 'client-1' not in text
    for client in here:
        client.close()


def test_disconnect_ends_a_connection(strict):
    with From(strict, '127.0.0.1') as client:
        assert client.open('unwanted').reason == 0
        assert command(strict, 'disconnect', 'unwanted').returncode == 0
        got = client.expect(mqtt5.DISCONNECT)
        assert got.reason == 0x98
        client.expect_closed()
    done = command(strict, 'disconnect', 'unwanted')
    assert done.returncode == 5 and 'no such client' in done.stderr


def test_statistics_are_those_of_the_log(strict):
    text = command(strict, '--json', 'stats').stdout
    stats = json.loads(text)['stats']
    assert stats['addresses_banned'] >= 1 and stats['refused_banned'] >= 1 and stats['connections_accepted'] >= 1
    assert 'connections_accepted' in command(strict, 'stats').stdout


WRONG = {
    'no JSON': b'stats\n', 'no object': b'[]\n', 'no command': b'{}\n', 'an unknown command': b'{"cmd":"halt"}\n',
    'an unknown member': b'{"cmd":"stats","all":true}\n', 'a limit of text': b'{"cmd":"bans","limit":"7"}\n',
    'a limit of 0': b'{"cmd":"clients","limit":0}\n', 'both': b'{"cmd":"unban","all":true,"address":"127.0.0.1"}\n',
    'neither': b'{"cmd":"unban"}\n', 'no address': b'{"cmd":"unban","address":"here"}\n', 'a number': b'{"cmd":7}\n',
    'a member twice': b'{"cmd":"stats","cmd":"stats"}\n', 'no client': b'{"cmd":"disconnect"}\n', 'bytes': bytes(range(128, 200)) + b'\n',
}


@pytest.mark.parametrize('name', WRONG)
def test_a_wrong_line_is_answered_and_the_next_is_heard(strict, name):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(world.WAIT)
        s.connect(os.path.join(strict.dir, 'state', 'control.sock'))
        s.sendall(WRONG[name] + b'{"cmd":"bans"}\n')
        lines = s.makefile('rb')
        assert json.loads(lines.readline())['ok'] is False
        assert json.loads(lines.readline())['ok'] is True


def test_a_line_without_an_end_is_cut(strict):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(world.WAIT)
        s.connect(os.path.join(strict.dir, 'state', 'control.sock'))
        try:
            for _ in range(300):
                s.sendall(bytes(1000))
        except OSError:
            pass
        assert json.loads(s.makefile('rb').readline())['error'] == 'TOO_LARGE'


def test_answers_come_in_order_even_if_some_take_longer(strict):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(world.WAIT)
        s.connect(os.path.join(strict.dir, 'state', 'control.sock'))
        s.sendall(b'{"cmd":"clients"}\n{"cmd":"bans"}\n{"cmd":"clients"}\n{"cmd":"stats"}\n' * 20)
        lines = s.makefile('rb')
        for _ in range(20):
            for member in ('clients', 'bans', 'clients', 'stats'):
                assert member in json.loads(lines.readline())


def test_who_leaves_before_the_answer_does_no_harm(strict):
    for _ in range(200):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(strict.dir, 'state', 'control.sock'))
            try:
                s.sendall(b'{"cmd":"clients"}\n' * 3)
            except OSError:
                pass  # 64 at a time

    def answered():
        try:
            return control(strict, cmd='clients')['ok']
        except OSError:  # too many at the socket
            return False
    world.wait_for(answered)


# -- secrets ----------------------------------------------------------------------------------------------------


def memory_of(pid):
    """All there is in it; needs root, or the right to trace."""
    with open('/proc/%d/maps' % pid, encoding='ascii') as maps, open('/proc/%d/mem' % pid, 'rb', 0) as memory:
        for line in maps:
            begin, end = (int(n, 16) for n in line.split()[0].split('-'))
            if line.split()[1].startswith('rw') and '[vvar' not in line:
                try:
                    memory.seek(begin)
                    yield memory.read(end - begin)
                except (OSError, ValueError, OverflowError):
                    pass


@pytest.mark.skipif(os.getuid() != 0, reason='only root can become a user who may not trace')
def test_nobody_of_the_same_user_reads_our_memory(open_folder):
    """PR_SET_DUMPABLE 0 and RLIMIT_CORE 0: no core, no ptrace, no /proc/PID/mem"""
    if world.sanitized():
        pytest.skip('sanitizers look at their own process')
    os.chown(open_folder, 65534, 65534)
    broker = world.Broker(open_folder, workers=1, public=[['public/#', ['sub']]], durability='none', user='nobody')
    pid = broker.daemon.process.pid
    assert re.search(r'Uid:\s+65534\s', open('/proc/%d/status' % pid, encoding='ascii').read())
    assert re.search(r'Max core file size\s+0\s+0', open('/proc/%d/limits' % pid, encoding='ascii').read())
    done = as_nobody('/usr/bin/python3', '-c', 'open("/proc/%d/mem", "rb")' % pid)
    assert 'PermissionError' in done.stderr, done
    sleeper = subprocess.Popen(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'sleep', '600'])
    try:  # which an ordinary process of that user does not refuse
        world.wait_for(lambda: open('/proc/%d/comm' % sleeper.pid, encoding='ascii').read() == 'sleep\n')
        assert 'PermissionError' not in as_nobody('/usr/bin/python3', '-c', 'open("/proc/%d/mem", "rb")' % sleeper.pid).stderr
    finally:
        sleeper.kill()
        sleeper.wait()
        broker.daemon.stop()


reads_memory = pytest.mark.skipif(os.getuid() != 0, reason='only root reads the memory of the broker')


@pytest.fixture(scope='module')
def forgetful(make_broker, as_server):
    """What was verified is not remembered here, so that nothing has a reason to stay."""
    if world.sanitized():
        pytest.skip('sanitizers keep what was freed')
    broker = make_broker(as_server=as_server, audience='forgets', workers=1, durability='none', **{'token.max_cached': 0})
    broker.owner = as_server.add_client('forgetful')
    as_server.allow('client:forgetful', 'forgets', 'a/#', 'pub', 'sub')
    return broker


def secret_token(broker):
    token = broker.as_server.token(broker.owner, 'forgets')
    return token['access_token'], mqtt5.SecretKey(world.jose.unb64(token['cnf']['jwk']['k']))


def nothing_left(broker, text, key, **more):
    needles = dict({'token': text.encode(), 'its end': text.rsplit('.', 1)[-1].encode(), 'key': key.secret,
                    'key as text': world.jose.b64(key.secret).encode()}, **more)
    broker.daemon.event('client_disconnected', client_id='forgetful', count=len(broker.daemon.find('client_connected')))
    found = {}

    def nothing():  # the line comes before all is freed
        blocks = list(memory_of(broker.daemon.process.pid))
        assert sum(len(block) for block in blocks) > 1024 * 1024
        found.update({name: sum(block.count(needle) for block in blocks) for name, needle in needles.items()})
        return not any(found.values())
    world.wait_for(nothing, why=lambda: str(found))


@reads_memory
def test_nothing_of_a_token_is_left_in_memory(forgetful):
    """After the connection: no token text, no key, no answer to a challenge, no payload."""
    text, key = secret_token(forgetful)
    with Client(forgetful.port, forgetful.ca) as one:
        assert one.open_ace('forgetful', text, key).reason == 0
        one.send(mqtt5.publish('a/secret', 'MARKER-OF-A-PAYLOAD-' + 'x' * 3000, qos=1, packet_id=1))
        one.expect(mqtt5.PUBACK)
        assert one.reauthenticate(text, key).reason == 0
    nothing_left(forgetful, text, key, payload=b'MARKER-OF-A-PAYLOAD-')


@reads_memory
def test_nothing_of_a_pre_shared_key_is_left_in_memory(forgetful, tmp_path):
    text, key = secret_token(forgetful)
    one = p_tls_known_test.openssl_psk(forgetful, tmp_path, text, key.secret)
    try:
        assert one.open('forgetful').reason == 0
    finally:
        one.close()
    nothing_left(forgetful, text, key)


@reads_memory
def test_nothing_of_an_exporter_value_is_left_in_memory(forgetful):
    """nor of the proof over it (RFC 9431 2.2.4.2.1)"""
    text, key = secret_token(forgetful)
    process = subprocess.Popen(['openssl', 's_client', '-connect', '127.0.0.1:%d' % forgetful.port, '-CAfile', forgetful.ca,
                                '-servername', 'localhost', '-tls1_3', '-keymatexport', 'EXPORTER-ACE-MQTT-Sign-Challenge',
                                '-keymatexportlen', '32'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    said = b''
    while b'Keying material:' not in said or not said.split(b'Keying material:')[1].strip(b' ').count(b'\n'):
        more = os.read(process.stdout.fileno(), 65536)
        assert more, said
        said += more
    exporter = bytes.fromhex(said.split(b'Keying material:')[1].split()[0].decode())
    assert len(exporter) == 32
    proof = key.prove(exporter)
    before = len(forgetful.daemon.find('client_connected'))
    process.stdin.write(mqtt5.connect('forgetful', authentication_method='ace',
                                      authentication_data=mqtt5.prefixed(text) + proof))
    process.stdin.flush()
    forgetful.daemon.event('client_connected', count=before + 1)
    process.kill()
    process.communicate()
    nothing_left(forgetful, text, key, exporter=exporter, proof=proof)


@reads_memory
def test_nothing_of_a_refused_token_is_left_in_memory(forgetful):
    """Every path out: a wrong proof, no answer to the challenge, a token of nobody."""
    forged = 'e30.e30.' + 'QUJD' * 100
    text, key = secret_token(forgetful)
    with Client(forgetful.port, forgetful.ca) as one:
        assert one.open_ace('x', text, mqtt5.SecretKey(bytes(32))).reason == 0x87
    with Client(forgetful.port, forgetful.ca) as one:
        one.send(mqtt5.connect('x', authentication_method='ace', authentication_data=mqtt5.prefixed(text)))
        one.expect(mqtt5.AUTH)
    with Client(forgetful.port, forgetful.ca) as one:
        one.send(mqtt5.connect('x', authentication_method='ace', authentication_data=mqtt5.prefixed(forged)))
        assert one.expect(CONNACK).reason == 0x87
    with Client(forgetful.port, forgetful.ca) as one:  # and half of one
        one.send(mqtt5.connect('x', authentication_method='ace', authentication_data=mqtt5.prefixed(text))[:-5])
        world.wait_for(lambda: any(text[:-10].encode() in block for block in memory_of(forgetful.daemon.process.pid)))
    nothing_left(forgetful, text, key, forged=b'QUJD' * 50)


def test_a_flood_of_one_address_does_not_hide_what_others_do(make_broker):
    """log_rate is shared out: see log_suppressed"""
    broker = make_broker(workers=1, public=[['public/#', ['pub', 'sub']]], log_rate=5,
                         **dict(STRICT, **{'hostile.faults': 0, 'hostile.connects': 0, 'limits.handshakes_per_address': 0}))

    def suppressed():
        talk_nonsense(broker, '127.0.0.2', 20)
        return broker.daemon.find('log_suppressed', event='tls_refused')
    world.wait_for(suppressed)
    talk_nonsense(broker, '127.0.0.2', 20)
    talk_nonsense(broker, '127.0.0.4', 1)
    world.wait_for(lambda: any(e.fields['peer'].startswith('127.0.0.4:') for e in broker.daemon.find('tls_refused')))


def test_closed_or_reset_it_is_the_same_to_us(strict):
    """RST in the middle of everything"""
    for first in (b'', client_hello()[:20], client_hello()):
        for _ in range(20):
            s = dial(strict, '127.0.0.3')
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            s.sendall(first)
            s.close()
    assert comes_in(strict, '127.0.0.3')


def test_plain_listener_gives_up_the_silent_too(make_broker):
    broker = make_broker(workers=1, public=[['public/#', ['pub', 'sub']]],
                         more_listeners={'mqtt': {'tls': False}}, **{'limits.connect_timeout': '1s'})
    client = Plain(broker.ports['mqtt'])
    client.expect_closed()
    assert broker.daemon.event('connect_refused').fields['clause'] == 'limits.connect_timeout'
