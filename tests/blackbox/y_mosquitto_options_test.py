"""Every option of Debian's mosquitto_pub, mosquitto_sub and mosquitto_rr at our broker: over TCP, TLS and WebSocket, in
MQTT 5 and 3.1.1. One row per option (`@row`), and each looks at what came of it: what a witness by hand received, what the
broker logged, which bytes were sent. The properties of -D: y_mosquitto_properties_test.py.

These clients speak no WebSocket: a tunnel carries theirs. What an option says about the client's own TLS is tried over TLS
only. With 3.1.1 the options go by their long names."""
import itertools
import json
import os
import re
import socket
import subprocess
import threading
import time

import jose_by_hand as jose
import mqtt5
import pytest
from mosquitto_cells import ALL, BOTH, PLACES, TIMED_OUT, Cell, in_all, make_site, passed_on, will_of
from world import WAIT

NOT_AUTHORIZED, BAD_USER_NAME, OLD_VERSION = 135, 4, 1
ROWS = {}  # (program, option): (what proves it, places, versions)
# In the manual or in the program, and not in what --help says
UNNAMED = {('sub', '--retain-as-published'), ('rr', '-I'), ('rr', '-m'), ('rr', '-n'), *((p, '-V') for p in ALL)}


def row(*options, programs=ALL, places=PLACES, versions=BOTH):
    def keep(proof):
        for key in itertools.product(programs, options):
            assert key not in ROWS, key
            ROWS[key] = proof, places, versions
        return proof
    return keep


@pytest.fixture(scope='module')
def site(make_broker, tmp_path_factory):
    broker = make_site(make_broker, str(tmp_path_factory.mktemp('clients')))
    yield broker
    broker.witness.close()


def named(program):
    """The options in what --help says."""
    text = subprocess.run(['mosquitto_' + program, '--help'], capture_output=True, text=True, timeout=WAIT).stdout
    assert 'Usage: mosquitto_' + program in text
    return set(re.findall(r'(?<![\w-])--?[A-Za-z][\w-]*', text))


# ---- where to, who, how long -----------------------------------------------------------------------------------------

@row('-h')
def the_host(cell):
    cell.work(place=['-h', 'localhost', '-p', cell.port, *cell.safe])


@row('-p')
def the_port(cell):
    cell.work()
    with socket.create_server(('127.0.0.1', 0)) as s:
        nobody = s.getsockname()[1]
    assert 'refused' in cell.run(*cell.aims(), place=['-p', nobody, *cell.safe], code=None).err


@row('-L')
def a_url(cell):
    """MT-55: with a password too, which is refused"""
    scheme = 'mqtts' if cell.place == 'tls' else 'mqtt'
    cell.work('-L', '%s://127.0.0.1:%d/%s' % (scheme, cell.port, cell.topic), url=True, place=cell.safe)
    cell.run('-L', '%s://me:secret@127.0.0.1:%d/%s' % (scheme, cell.port, cell.topic), *cell.aims(True), place=cell.safe,
             code=NOT_AUTHORIZED if cell.v5 else BAD_USER_NAME)


def lead_on(listener, port):
    near, far = listener.accept()[0], socket.create_connection(('127.0.0.1', port))
    threading.Thread(target=passed_on, args=(near.recv, far), daemon=True).start()
    passed_on(far.recv, near)


@row('--unix', places=('tcp', 'ws'))
def a_unix_socket(cell):
    """Our broker has none of its own; behind one that leads to it, all is well."""
    path = os.path.join(cell.site.folder, '%d.sock' % cell.number)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        threading.Thread(target=lead_on, args=(listener, cell.port), daemon=True).start()
        cell.work(place=['--unix', path])


@row('-A')
def an_address_to_come_from(cell):
    address = '127.0.%d.%d' % (1 + cell.number // 250, 1 + cell.number % 250)
    cell.work('-A', address)
    if cell.place == 'ws':
        assert address in cell.site.tunnel.peers
    else:
        assert cell.event('client_connected')['peer'].startswith(address + ':')


@row('--proxy')
def a_proxy(cell):
    socks = cell.site.socks
    target = ['-h', 'localhost', '-p', cell.port, *cell.safe]
    cell.work('--proxy', 'socks5h://127.0.0.1:%d' % socks.port, place=target)
    user = 'user-%d' % cell.number, 'secret'
    cell.work('--proxy', 'socks5h://%s:%s@127.0.0.1:%d' % (*user, socks.port), place=target)
    asked = [a for a in socks.asked if a[2] is None or a[2][0] == user[0]]
    assert ('localhost', cell.port, None) in asked and ('localhost', cell.port, user) in asked


@row('-i')
def a_client_identifier(cell):
    cell.work('-i', cell.name)
    cell.event('client_connected')


@row('-I')
def a_prefix_of_one(cell):
    done = cell.work('-I', cell.name)
    cell.name += str(done.pid)
    cell.event('client_connected')


@row('-k')
def a_keep_alive(cell):
    cell.work('-k', 7)
    assert cell.event('client_connected')['keep_alive_s'] == '7'


@row('--nodelay')
def no_delay(cell):
    cell.work('--nodelay')


@row('-c')
def a_session_is_kept(cell):
    cell.work('-c')
    first = cell.event('client_connected')
    assert (first['session'], first['session_expiry_s']) == ('new', '3600')  # what a client without a token may ask for
    cell.work('-c')
    assert cell.event('client_connected', 2)['session'] == 'continued'


@row('-x')
def a_session_expires(cell):
    """A client of 3.1.1 cannot say so."""
    for n, (seconds, granted) in enumerate([('77', '77'), ('0', '0'), ('-1', '3600'), ('∞', '3600'), ('4294967295', '3600')]):
        cell.work('-x', seconds)
        assert cell.event('client_connected', n + 1)['session_expiry_s'] == (granted if cell.v5 else '0')


@row('-u')
def a_user_name_is_refused(cell):
    """MT-55: there are tokens, and no passwords; in the language of the version"""
    done = cell.run('-u', 'me', '-P', 'secret', *cell.aims(), code=NOT_AUTHORIZED if cell.v5 else BAD_USER_NAME)
    if cell.program != 'rr':  # which has the wrong words for every code
        assert ('Not authorized' if cell.v5 else 'bad user name or password') in done.err
    cell.run('-u', 'me', *cell.aims(), code=NOT_AUTHORIZED if cell.v5 else BAD_USER_NAME)
    assert 'passwords are not accepted' in cell.event('connect_refused')['why']


@row('-P')
def a_password_is_refused(cell):
    """MT-55; 3.1.1 has none without a user name, as the client knows"""
    done = cell.run('-P', 'secret', *cell.aims(), code=NOT_AUTHORIZED if cell.v5 else 1)
    assert cell.v5 or 'Problem setting username and/or password' in done.err


@row('-V', versions=('5',))
def a_version(cell):
    """MQTT311 [MQTT-3.1.2-2]: 3.1 is refused with the return code that it knows"""
    for n, (version, logged) in enumerate([('5', '5'), ('mqttv5', '5'), ('311', '3.1.1'), ('mqttv311', '3.1.1')]):
        cell.work('-V', version)
        assert cell.event('client_connected', n + 1)['mqtt'] == logged
    for version in ('31', 'mqttv31'):
        done = cell.run('-V', version, '-i', 'short', *cell.aims(), code=OLD_VERSION)
        assert cell.program == 'rr' or 'unacceptable protocol version' in done.err


@row('-d')
def debug_output(cell):
    done = cell.work('-d')
    assert 'sending CONNECT' in done.out and 'received CONNACK (0)' in done.out
    assert ('sending DISCONNECT' in done.out) == (cell.program != 'rr')  # which just goes


@row('--quiet')
def no_errors_are_printed(cell):
    assert cell.work('--quiet').err == ''
    for words, silent in ([], False), (['--quiet'], True):
        done = cell.run('-u', 'me', *words, *cell.aims(), code=NOT_AUTHORIZED if cell.v5 else BAD_USER_NAME)
        assert (done.err == '') == silent


@row('--help', places=('tcp',), versions=('5',))
def help_is_given(cell):
    assert 'Usage: mosquitto_' + cell.program in cell.run('--help', code=1).out


# ---- Wills -----------------------------------------------------------------------------------------------------------

@row('--will-topic')
def a_will(cell):
    """MQTT5 [MQTT-3.1.2-8], [MQTT-3.1.2-14]; an empty one is one too"""
    message = will_of(cell)
    assert (message.payload, message.qos, message.retain) == (b'', 0, False)
    if cell.program == 'pub':  # who takes leave has none
        cell.run('--will-topic', cell.base + '/none', '-t', cell.topic, '-m', 'x', '-q', 1)
        cell.event('client_disconnected', 2)
        assert not cell.site.witness.on(cell.base + '/none')


@row('--will-payload')
def the_payload_of_a_will(cell):
    assert will_of(cell, '--will-payload', 'gone').payload == b'gone'


@row('--will-qos')
def the_qos_of_a_will(cell):
    assert will_of(cell, '--will-payload', 'gone', '--will-qos', 2).qos == 2


@row('--will-retain')
def a_retained_will(cell):
    """MQTT5 [MQTT-3.1.2-15]"""
    assert will_of(cell, '--will-payload', 'gone', '--will-retain').retain
    assert cell.run('-t', cell.base + '/will', '-C', 1, '-F', '%r %p', program='sub').out == '1 gone\n'


# ---- messages ----------------------------------------------------------------------------------------------------------

@row('-t')
def a_topic(cell):
    assert cell.work().message.topic == cell.topic
    if cell.program == 'sub':
        cell.put('u', 'more', retain=True)
        done = cell.run('-t', cell.base + '/+', '-t', cell.base + '/u/#', '-C', 3, '-F', '%t')
        assert sorted(done.out.split()) == [cell.topic, cell.base + '/u', cell.base + '/u']


@row('-q')
def a_qos(cell):
    for qos in (0, 1, 2):
        cell.topic = '%s/%d%s' % (cell.base, qos, '/ask' if cell.program == 'rr' else '')
        if cell.program == 'sub':
            cell.put(str(qos), 'hello', qos=2, retain=True)
            done = cell.run('-q', qos, '-F', '%q %p', *cell.aims())
            assert done.out == '%d hello\n' % qos
        elif cell.program == 'rr':
            done = cell.work('-q', qos, '-F', '%q %p')
            assert done.message.qos == qos and done.out == '%d answer\n' % qos
        else:
            cell.run('-t', cell.topic, '-m', 'x', '-q', qos)
            assert cell.take(str(qos))[0].qos == qos


@row('-m', programs=('pub', 'rr'))
def a_message(cell):
    assert cell.work().message.payload == b'hello'


def sent_by(cell, *words, stdin=None):
    """The payload on its way, of programs that take theirs from elsewhere."""
    more = ['-q', 1] if cell.program == 'pub' else ['-e', cell.topic + '/answer', '-W', WAIT]
    done = cell.run('-t', cell.topic, *words, *more, stdin=stdin)
    assert cell.program == 'pub' or done.out == 'answer\n'
    return cell.site.witness.take(cell.topic)[0].payload


@row('-n', programs=('pub', 'rr'))
def no_payload(cell):
    assert sent_by(cell, '-n') == b''


@row('-f', programs=('pub',))
def a_file(cell):
    path, data = os.path.join(cell.site.folder, cell.name), bytes(range(256)) * 900
    with open(path, 'wb') as f:
        f.write(data)
    assert sent_by(cell, '-f', path) == data


@row('-s', programs=('pub',))
def the_whole_input(cell):
    data = b'one\ntwo\0\xff\n\n'
    assert sent_by(cell, '-s', stdin=data) == data


@row('-l', programs=('pub',))
def a_message_per_line(cell):
    lines = [b'line %d' % n for n in range(100)]
    cell.run('-t', cell.topic, '-l', '-q', 1, stdin=b'\n'.join(lines) + b'\n')
    assert [m.payload for m in cell.take('t', 100)] == lines


@row('-M', programs=('pub',))
def messages_in_flight(cell):
    """In order, and each once, with one at a time"""
    lines = [b'line %d' % n for n in range(60)]
    cell.run('-t', cell.topic, '-l', '-q', 2, '-M', 1, stdin=b'\n'.join(lines) + b'\n')
    cell.run('-t', cell.topic, '-m', 'end', '-q', 2)
    assert [m.payload for m in cell.take('t', 61)] == [*lines, b'end']


@row('-r', programs=('pub',))
def a_retained_message(cell):
    """MQTT5 [MQTT-3.3.1-6]: and removed again"""
    assert cell.work('-r').message.retain
    assert cell.run('-t', cell.topic, '-C', 1, '-F', '%r %p', program='sub').out == '1 hello\n'
    cell.run('-t', cell.topic, '-r', '-n', '-q', 1)
    cell.put('end', 'end', retain=True)
    assert cell.run('-t', cell.base + '/#', '-C', 1, '-F', '%r %p', program='sub').out == '1 end\n'


@row('--repeat', programs=('pub',))
def a_message_again_and_again(cell):
    cell.run('-t', cell.topic, '-m', 'x', '-q', 1, '--repeat', 4)
    cell.put('t', 'end')
    assert [m.payload for m in cell.take('t', 5)] == [b'x'] * 4 + [b'end']


@row('--repeat-delay', programs=('pub',))
def a_pause_between(cell):
    began = time.monotonic()
    cell.run('-t', cell.topic, '-m', 'x', '-q', 1, '--repeat', 3, '--repeat-delay', '0.3')
    assert len(cell.take('t', 3)) == 3 and time.monotonic() - began > 0.6  # two pauses


# ---- subscriptions ---------------------------------------------------------------------------------------------------------

@row('-e', programs=('rr',))
def a_response_topic(cell):
    message = cell.work().message
    assert message.props.get('response_topic') == (cell.topic + '/answer' if cell.v5 else None)


@row('-C', programs=('sub',))
def a_number_of_messages(cell):
    for n in range(3):
        cell.put('c/%d' % n, str(n), retain=True)
    assert len(cell.run('-t', cell.base + '/c/+', '-C', 2).out.split()) == 2


@row('-E', programs=('sub',))
def it_ends_once_subscribed(cell):
    """MQTT5 [MQTT-3.1.2-23]: with -c, a session that waits; what comes meanwhile is there when its client is"""
    cell.run('-c', '-q', 1, '-t', cell.topic, '-E')
    cell.put('t', 'meanwhile')
    assert cell.run('-c', '-q', 1, '-t', cell.topic, '-C', 1, '-W', WAIT).out == 'meanwhile\n'


@row('-W', programs=('sub', 'rr'))
def it_waits_so_long(cell):
    began = time.monotonic()
    words = ['-e', cell.base + '/void'] if cell.program == 'rr' else []
    done = cell.run('-W', 1, '-t', cell.base + '/none', *(words + ['-m', 'x'] if words else []), code=TIMED_OUT)
    assert time.monotonic() - began > 0.9 and 'Timed out' in done.err


@row('-N', programs=('sub', 'rr'))
def no_end_of_line(cell):
    assert cell.work('-N').out in ('hello', 'answer')


@row('-v', programs=('sub', 'rr'))
def topics_are_printed(cell):
    assert cell.work('-v').out in (cell.topic + ' hello\n', cell.topic + '/answer answer\n')


ABOUT = {'content_type': 'text/x', 'response_topic': 'r/t', 'correlation_data': b'cd', 'message_expiry': 1000,
         'payload_format': 1, 'user_property': [('k', 'v'), ('k2', 'v 2')]}


@row('-F', programs=('sub', 'rr'))
def a_format(cell):
    """MQTT5 [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-20]: properties as they were"""
    form = r'%t|%p|%q|%r|%l|%x|%X|%%|@@|\t|%8p|%-8l|%.3t'
    done = cell.work('-F', form)
    text = 'hello' if cell.program == 'sub' else 'answer'
    topic = cell.topic + ('' if cell.program == 'sub' else '/answer')
    retained = str(int(cell.program == 'sub'))
    hexed = text.encode().hex()
    assert done.out == '|'.join([topic, text, '0', retained, str(len(text)), hexed, hexed.upper(), '%', '@', '\t',
                                 '%8s' % text, '%-8d' % len(text), topic[:3]]) + '\n'
    times = cell.run('-F', '%I|%U|@Y', *cell.aims()).out
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}\|\d+\.\d{9}\|\d{4}\n', times)
    if cell.program == 'sub':
        cell.put('about', '{"a":1}', qos=2, retain=True, **ABOUT)
        words = ['-t', cell.base + '/about', '-C', 1, '-q', 2]
        done = cell.run(*words, '-F', '%C|%D|%F|%P|%R|%q|%m')
        assert done.out == ('text/x|cd|1|k:v k2:v 2|r/t|2|1\n' if cell.v5 else '|||||2|1\n')
        done = cell.run(*words, '-F', '%E')
        assert 800 < int(done.out) <= 1000 if cell.v5 else done.out == '\n'
        told = json.loads(cell.run(*words, '-F', '%j').out), json.loads(cell.run(*words, '-F', '%J').out)
        assert told[0]['payload'] == '{"a":1}' and told[1]['payload'] == {'a': 1} and told[0]['qos'] == 2
        if cell.v5:
            assert told[0]['properties']['content-type'] == 'text/x', told


@row('--pretty', programs=('sub', 'rr'))
def json_for_people(cell):
    done = cell.work('-F', '%j', '--pretty')
    assert done.out.count('\n') > 4 and json.loads(done.out)['payload'] in ('hello', 'answer')


@row('-R', programs=('sub', 'rr'))
def nothing_stale(cell):
    """mosquitto_rr takes the option, and prints what is stale all the same, whatever the broker"""
    cell.put('t', 'stale', retain=True)
    process = cell.hold('-R', '-t', cell.topic, '-C', 1) if cell.program == 'sub' else None
    cell.put('t', 'fresh')
    assert process is None or process.communicate(timeout=WAIT)[0] == b'fresh\n'
    if process is None:
        cell.work('-R')


@row('-T', programs=('sub',))
def topics_filtered_out(cell):
    for below in ('a', 'b', 'c'):
        cell.put('f/' + below, below, retain=True)
    done = cell.run('-t', cell.base + '/f/#', '-T', cell.base + '/f/a', '-T', cell.base + '/f/b', '-C', 1, '-W', WAIT)
    assert done.out == 'c\n'


@row('-U', programs=('sub',))
def unsubscribed(cell):
    """MQTT5 [MQTT-3.10.4-2], [MQTT-3.10.4-4]: from what the session had"""
    cell.run('-c', '-q', 1, '-t', cell.base + '/a', '-E')
    words = cell.words(['-c', '-q', 1, '-t', cell.base + '/b', '-U', cell.base + '/a', '-d', '-C', 1], None)
    process = subprocess.Popen(['stdbuf', '-oL', *words], stdout=subprocess.PIPE, text=True)
    seen = list(itertools.takewhile(lambda line: 'received UNSUBACK' not in line, process.stdout))
    assert any('sending UNSUBSCRIBE' in line for line in seen), seen
    cell.put('a', 'no')
    cell.put('b', 'yes')
    out = process.communicate(timeout=WAIT)[0].splitlines()
    assert 'yes' in out and 'no' not in out, out


@row('--random-filter', programs=('sub',))
def some_of_the_messages(cell):
    """Its 100 is not per cent, but one in ten: 1000 is all"""
    for n in range(24):
        cell.put('x/%d' % n, str(n), retain=True)
    words = ['-t', cell.base + '/x/#']
    assert len(cell.run(*words, '--random-filter', 1000, '-C', 24).out.split()) == 24
    assert 0 < len(cell.runs_out(*words, '--random-filter', 500).split()) < 24


@row('--retained-only', programs=('sub',))
def only_what_is_stale(cell):
    cell.put('t', 'stale', retain=True)
    process = cell.hold('--retained-only', '-t', cell.topic)
    cell.put('t', 'fresh')  # ends it
    assert process.communicate(timeout=WAIT)[0] == b'stale\n' and process.returncode == 0


@row('--remove-retained', programs=('sub',))
def what_is_stale_is_removed(cell):
    """MQTT5 [MQTT-3.3.1-6]; this client does not always end of itself then, whatever the broker"""
    for below in ('a', 'keep'):
        cell.put('r/' + below, below, retain=True)
    process = cell.hold('--remove-retained', '--retained-only', '-t', cell.base + '/r/#', '-T', cell.base + '/r/keep')
    assert cell.take('r/a', 2)[1].payload == b''
    process.terminate()
    process.communicate(timeout=WAIT)
    assert cell.run('-t', cell.base + '/r/#', '-C', 1).out == 'keep\n'


@row('--retain-as-published', programs=('sub',), versions=('5',))
def as_it_was_published(cell):
    """MQTT5 [MQTT-3.3.1-12], [MQTT-3.3.1-13]"""
    for words, flag in ([], 0), (['--retain-as-published'], 1):
        topic = cell.base + '/%d' % flag
        cell.name += 'x'
        process = cell.hold(*words, '-t', topic, '-C', 1, '-F', '%r %p')
        cell.put(str(flag), 'fresh', retain=True)
        assert process.communicate(timeout=WAIT)[0] == b'%d fresh\n' % flag


# ---- TLS -------------------------------------------------------------------------------------------------------------------

def with_tls(cell, *words, port=None, host='127.0.0.1'):
    return ['-h', host, '-p', port or cell.port, *words]


@row('--cafile', places=('tls',))
def a_file_with_authorities(cell):
    cell.work()
    assert 'TLS error' in cell.run(*cell.aims(), place=with_tls(cell, '--cafile', cell.site.client_ca), code=None).err


@row('--capath', places=('tls',))
def a_folder_with_authorities(cell):
    folder = os.path.join(cell.site.folder, cell.name)
    os.mkdir(folder)
    os.symlink(cell.site.ca, os.path.join(folder, 'ca.pem'))
    subprocess.run(['openssl', 'rehash', folder], check=True, capture_output=True)
    cell.work(place=with_tls(cell, '--capath', folder))


@row('--cert', '--key', places=('tls',))
def a_client_certificate(cell):
    """RFC 8446 4.3.2: where the listener wants one"""
    certificate, key = cell.site.client
    port = cell.site.ports['certified']
    cell.work('--cert', certificate, '--key', key, place=with_tls(cell, *cell.safe, port=port))
    cell.run(*cell.aims(), place=with_tls(cell, *cell.safe, port=port), code=None)
    assert 'Both certfile and keyfile' in cell.run('--cert', certificate, *cell.aims(), code=1).err


@row('--keyform', places=('tls',))
def a_form_of_key(cell):
    """`engine` wants a key in a hardware module, which no engine of Debian's openssl has: the client says so itself"""
    certificate, key = cell.site.client
    words = ['--cert', certificate, '--key', key, '--tls-engine', 'loader_attic', '--keyform']
    place = with_tls(cell, *cell.safe, port=cell.site.ports['certified'])
    cell.work(*words, 'pem', place=place)
    cell.run(*words, 'engine', *cell.aims(), place=place, code=None)


@row('--tls-engine', places=('tls',))
def an_engine(cell):
    cell.work('--tls-engine', 'loader_attic')
    assert 'valid engine' in cell.run('--tls-engine', 'none', *cell.aims(), code=1).err


@row('--tls-engine-kpass-sha1', places=('tls',))
def the_password_of_an_engine(cell):
    """Is not used but with `--keyform engine`; see there"""
    certificate, key = cell.site.client
    cell.work('--cert', certificate, '--key', key, '--tls-engine', 'loader_attic', '--keyform', 'pem', '--tls-engine-kpass-sha1',
              'a9' * 20)


@row('--insecure', places=('tls',))
def the_name_does_not_matter(cell):
    place = with_tls(cell, *cell.safe, port=cell.site.ports['elsewhere'], host='127.0.0.2')
    assert 'TLS error' in cell.run(*cell.aims(), place=place, code=None).err
    cell.work('--insecure', place=place)


@row('--tls-use-os-certs', places=('tls',))
def the_authorities_of_the_system(cell):
    place = with_tls(cell, '--tls-use-os-certs')
    assert 'TLS error' in cell.run(*cell.aims(), place=place, code=None).err
    cell.work(place=place, env={'SSL_CERT_FILE': cell.site.ca})


def hello(cell, *words):
    """Of the ClientHello: cipher suites and extensions, with which the program did its work."""
    before = len(cell.site.hello.heard)
    cell.work(*words, place=with_tls(cell, *cell.safe, port=cell.site.hello.port))
    r = mqtt5.Reader(bytes(cell.site.hello.heard[before]))
    r.take(5 + 4 + 2 + 32)
    r.take(r.take(1)[0])
    suites = r.prefixed()
    r.take(r.take(1)[0])
    inner, found = mqtt5.Reader(r.prefixed()), {}
    while inner.at < len(inner.data):
        kind = inner.number('>H')
        found[kind] = inner.prefixed()
    return {suites[n:n + 2].hex() for n in range(0, len(suites), 2)}, found


@row('--ciphers', places=('tls',), versions=('5',))
def ciphers(cell):
    suites, _ = hello(cell, '--ciphers', 'ECDHE-ECDSA-AES256-GCM-SHA384')
    assert {s for s in suites if not s.startswith('13')} - {'00ff'} == {'c02c'}, suites


@row('--tls-version', places=('tls',), versions=('5',))
def a_version_of_tls(cell):
    """The least that the client takes; RFC 8446 4.2.1"""
    for name, offered in [('tlsv1.3', {'0304'}), ('tlsv1.2', {'0303', '0304'}), ('tlsv1.1', {'0303', '0304'})]:
        _, extensions = hello(cell, '--tls-version', name)
        versions = extensions[43][1:]
        assert {versions[n:n + 2].hex() for n in range(0, len(versions), 2)} >= offered
        assert name != 'tlsv1.3' or versions == b'\3\4'


@row('--tls-alpn', places=('tls',), versions=('5',))
def a_protocol(cell):
    _, extensions = hello(cell, '--tls-alpn', 'mqtt')
    assert extensions[16] == b'\0\5\4mqtt'


@row('--psk', '--psk-identity', places=('tls',))
def a_key_that_no_token_has_is_refused(cell):
    """TLS 1.3 goes on with the certificate then: the client may do what anybody may (RFC 8446 4.2.11). One that a token has:
    test_a_key_that_a_token_has"""
    before = len(cell.site.daemon.find('psk_refused'))
    cell.work('--psk', 'c0ffee', '--psk-identity', 'me', place=with_tls(cell))
    assert cell.site.daemon.event('psk_refused', before + 1).fields['status'] == 'BAD_TOKEN'


# ---- -D ----------------------------------------------------------------------------------------------------------

@row('-D', versions=('5',))
def properties(cell):
    """Each by itself: y_mosquitto_properties_test.py"""
    cell.work('-D', 'connect', 'user-property', 'k', 'v')
    cell.wire(b'\x26\0\1k\0\1v')


@row('--property', programs=('pub',), versions=('5',))
def properties_by_their_long_name(cell):
    assert cell.work('--property', 'publish', 'content-type', 'a/b').message.props == {'content_type': 'a/b'}


# ---- the tests ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('program', ALL)
def test_no_option_is_forgotten(program):
    ours = {option for p, option in ROWS if p == program}
    unnamed = {option for p, option in UNNAMED if p == program}
    assert ours - unnamed == named(program) - unnamed


@pytest.mark.parametrize('program, option', sorted(ROWS))
def test_option(site, program, option):
    proof, places, versions = ROWS[program, option]
    in_all([Cell(site, program, place, version) for place in places for version in versions], proof)
    assert site.daemon.running()


def test_a_key_that_a_token_has(as_server, make_broker):
    """MT-23, MT-27: --psk and --psk-identity, after mosquitto_pub itself has put the token on authz-info"""
    broker = make_broker(as_server=as_server, audience='psk.example', workers=1, **{'authz_info.enabled': True})
    client = as_server.add_client('meter', default_audience='psk.example')
    as_server.allow('client:meter', 'psk.example', 'meter/#', 'pub')
    got = as_server.token(client, 'psk.example')
    key = got['cnf']['jwk']

    def pub(*words):
        done = subprocess.run(['mosquitto_pub', '-V', '5', '-h', 'localhost', '-p', str(broker.port), '-q', '1', *words],
                              capture_output=True, text=True, timeout=WAIT)
        assert done.returncode == 0 and done.stderr == '', done
    pub('--cafile', broker.ca, '-t', 'authz-info', '-m', got['access_token'])
    identity = json.dumps({'cnf': {'jwk': {'kty': 'oct', 'kid': key['kid']}}})
    pub('--psk', jose.unb64(key['k']).hex(), '--psk-identity', identity, '-t', 'meter/1', '-m', 'x', '-i', 'known')
    assert broker.daemon.event('client_connected', client_id='known').fields['subject'] == 'meter'
