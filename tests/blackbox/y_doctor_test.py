"""`symbolon doctor`: what it says of our broker, of mosquitto, and of what is no broker at all. A finding is known by its id
and level; the words are for people."""
import datetime
import http.server
import json
import os
import ssl
import subprocess
import threading
import time

import pytest
from servers import Listener, free_port
from world import WAIT, enroll, make_ca, run_cli

AUDIENCE = 'broker.example'
WARNINGS, PROBLEMS = 1, 2


def doctor(*words, expect, env=None):
    """The findings by id, each a list; the exit status must be the one expected, and fit the levels."""
    done = run_cli('doctor', '--json', '--wait', '3000', *words, env=env)
    assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
    told = json.loads(done.stdout)
    levels = {f['level'] for f in told['findings']}
    assert expect == (2 if 'problem' in levels else 1 if 'warning' in levels else 0)
    assert told['summary'] == {level: sum(f['level'] == level for f in told['findings'])
                               for level in ('ok', 'note', 'warning', 'problem')}
    by_id = {}
    for finding in told['findings']:
        by_id.setdefault(finding['id'], []).append(finding)
        assert len(finding['text']) > 10 and finding['text'][0].isupper() and finding['text'][-1] in '.!?', finding
    return by_id


def level(findings, name):
    assert name in findings, sorted(findings)
    return findings[name][0]['level']


def words(findings, name):
    return ' '.join(f['text'] for f in findings[name])


@pytest.fixture(scope='module')
def broker(as_server, make_broker):
    made = make_broker(as_server=as_server, audience=AUDIENCE, public=[['public/#', ['pub', 'sub']]])
    as_server.allow('any', AUDIENCE, 'symbolon-doctor/#', 'pub', 'sub')
    return made


@pytest.fixture(scope='module')
def env(broker, tmp_path_factory):
    """A machine that enrolled: profile, key, cache."""
    return enroll(broker, 'inspector', tmp_path_factory.mktemp('home'))


# ---- our broker ----

def test_our_broker_with_a_token(broker, env):
    """MT-56, MT-58, MT-91: exporter proof, challenge, hints; AF-12: the server they lead to answers"""
    f = doctor('localhost', env=env, expect=WARNINGS)  # anonymous: public topics are there
    for name in ('dns', 'tcp', 'tls', 'tls-versions', 'tls-life', 'tls-name', 'tls-trust', 'tls-ems', 'tls-alpn', 'tls-resumption',
                 'mqtt-versions', 'connack', 'login', 'maximum-qos', 'retain', 'assigned-id', 'round-trip', 'retained-message',
                 'utf8', 'large-message', 'ace', 'ace-hint', 'ace-challenge', 'as-metadata', 'as-token', 'keep-alive'):
        assert level(f, name) == 'ok', f[name]
    assert len(f['round-trip']) == 3
    assert 'MQTT 5, 3.1.1' in words(f, 'mqtt-versions')
    assert 'token' in words(f, 'login') and broker.as_server.url in words(f, 'ace-hint')
    assert level(f, 'anonymous') == 'warning'


def test_our_broker_is_as_it_was(broker, env):
    """Nothing retained stays behind, nobody stays connected"""
    doctor('localhost', env=env, expect=WARNINGS)
    done = run_cli('sub', '-t', 'symbolon-doctor/#', '-W', '1', env=env)
    assert done.stdout == '' and done.returncode == 27, (done.stdout, done.stderr)


def test_our_broker_seen_by_a_stranger(broker, nobody):
    """Without credentials: what a stranger may see, and that messages need more"""
    f = doctor('localhost', '-p', str(broker.port), '--cafile', broker.ca, env=nobody, expect=WARNINGS)
    assert level(f, 'ace') == 'ok' and level(f, 'tls-trust') == 'ok'
    assert 'subscribe' in f and level(f, 'as-metadata') == 'ok'


def test_our_broker_without_the_authority(broker, nobody):
    """A password never goes to a server that nobody vouches for"""
    f = doctor('localhost', '-p', str(broker.port), '-u', 'u', '-P', 'p', env=nobody, expect=PROBLEMS)
    assert level(f, 'tls-trust') == 'problem' and level(f, 'login') == 'problem'
    assert 'not sent' in words(f, 'login')


# ---- mosquitto ----

def test_an_open_mosquitto(mosquitto, nobody):
    f = doctor('mqtt://127.0.0.1:%d' % mosquitto.port, env=nobody, expect=WARNINGS)
    assert level(f, 'anonymous') == 'warning' and level(f, 'plain') == 'warning'
    assert level(f, 'retained-message') == 'ok' and level(f, 'shared-subscription') == 'ok'
    assert 'mosquitto version' in words(f, 'banner')
    assert [x['level'] for x in f['round-trip']] == ['ok'] * 3


def test_a_mosquitto_with_passwords_and_tls(guarded, nobody):
    words_ = ['localhost', '-p', str(guarded.port), '--cafile', guarded.ca]
    f = doctor(*words_, env=nobody, expect=0)
    assert level(f, 'anonymous') == 'ok' and level(f, 'login') == 'note' and level(f, 'ace') == 'note'
    f = doctor(*words_, '-u', 'u', '-P', 'secret', env=nobody, expect=0)
    assert level(f, 'login') == 'ok' and level(f, 'round-trip') == 'ok'
    f = doctor(*words_, '-u', 'u', '-P', 'wrong', env=nobody, expect=PROBLEMS)
    assert level(f, 'login') == 'problem'


def test_tls_asked_of_a_plain_port(mosquitto, nobody):
    f = doctor('127.0.0.1', '-p', str(mosquitto.port), env=nobody, expect=PROBLEMS)
    assert level(f, 'tls-plain') == 'problem'


# ---- no broker ----

def test_a_closed_port(nobody):
    f = doctor('127.0.0.1', '-p', str(free_port()), env=nobody, expect=PROBLEMS)
    assert level(f, 'reach') == 'problem' and 'refused' in words(f, 'tcp')


def test_a_name_that_does_not_exist(nobody):
    f = doctor('nowhere.invalid', env=nobody, expect=PROBLEMS)
    assert level(f, 'dns') == 'problem'


@pytest.fixture
def listen():
    made = []

    def make(talk, context=None, address='127.0.0.1'):
        made.append(Listener(talk, context, address))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def make_context(folder, days):
    """A TLS server's context; its certificate, for localhost, ends in so many days (or ended)."""
    ca, ca_key = make_ca(folder)
    key, cert, template = (os.path.join(folder, n) for n in ('s.key', 's.pem', 's.tmpl'))
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days, hours=1)
    with open(template, 'w', encoding='ascii') as f:
        f.write('cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\ntls_www_server\nsigning_key\nserial = 77\n'
                'activation_date = "2020-01-01 00:00:00 UTC"\nexpiration_date = "%s UTC"\n' % end.strftime('%Y-%m-%d %H:%M:%S'))
    for words in (['--generate-privkey', '--key-type=ecdsa', '--outfile', key],
                  ['--generate-certificate', '--load-privkey', key, '--load-ca-certificate', ca, '--load-ca-privkey', ca_key,
                   '--template', template, '--outfile', cert]):
        subprocess.run(['certtool', *words], check=True, capture_output=True, timeout=WAIT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, ca


def test_a_silent_port(listen, nobody):
    port = listen(lambda one: one.recv(1000)).port
    f = doctor('127.0.0.1', '-p', str(port), '--wait', '2000', env=nobody, expect=PROBLEMS)
    assert level(f, 'tls-silent') == 'problem'
    f = doctor('mqtt://127.0.0.1:%d' % listen(lambda one: one.recv(1)).port, '--wait', '2000', env=nobody, expect=PROBLEMS)
    assert level(f, 'not-mqtt') == 'problem' and 'never answers' in words(f, 'not-mqtt')


def test_a_tls_server_that_is_no_broker(listen, nobody, tmp_path):
    context, ca = make_context(str(tmp_path), 30)

    def hang_up(one):
        one.recv(1000)
        one.close()

    f = doctor('localhost', '-p', str(listen(hang_up, context).port), '--cafile', ca, env=nobody, expect=PROBLEMS)
    assert level(f, 'tls-trust') == 'ok' and level(f, 'not-mqtt') == 'problem'


def test_an_expired_certificate(listen, nobody, tmp_path):
    context, ca = make_context(str(tmp_path), -2)
    f = doctor('localhost', '-p', str(listen(lambda one: one.recv(1000), context).port), '--cafile', ca, '--wait', '2000',
               env=nobody, expect=PROBLEMS)
    assert level(f, 'tls-expired') == 'problem' and level(f, 'tls-name') == 'ok'


def test_a_certificate_that_ends_soon_and_for_another_name(listen, nobody, tmp_path):
    """The password stays here: RFC 9325 5.1"""
    context, ca = make_context(str(tmp_path), 3)
    heard = []
    port = listen(lambda one: heard.append(one.recv(1000)), context, '127.0.0.2').port
    f = doctor('127.0.0.2', '-p', str(port), '--cafile', ca, '--wait', '2000', '-u', 'u', '-P', 'hush', env=nobody,
               expect=PROBLEMS)
    assert level(f, 'tls-life') == 'warning' and level(f, 'tls-name') == 'problem' and level(f, 'tls-trust') == 'ok'
    assert 'localhost' in words(f, 'tls-name') and not any(b'hush' in h for h in heard)


def test_credentials_go_only_where_this_very_connection_has_been_checked(listen, nobody, tmp_path):
    """Somebody in between lets the first connections pass, and takes the later ones: RFC 9325 5.1"""
    (tmp_path / 'good').mkdir()
    (tmp_path / 'bad').mkdir()
    good, ca = make_context(str(tmp_path / 'good'), 30)
    bad, _ = make_context(str(tmp_path / 'bad'), 30)
    heard = []

    def talk(one):
        heard.append(one.recv(1000))
        one.sendall(b'\x20\x03\x00\x87\x00' if b'MQTT\x05' in heard[-1] else b'\x20\x02\x00\x05')

    made = listen(talk)
    contexts = iter([good] * 6)  # asked for twice each: the port, the one that stays silent, the look at TLS
    type(made).context = property(lambda self: next(contexts, bad), lambda self, value: None)
    try:
        f = doctor('localhost', '-p', str(made.port), '--cafile', ca, '--wait', '3000', '-u', 'u', '-P', 'hush', env=nobody,
                   expect=PROBLEMS)
    finally:
        del type(made).context
    assert level(f, 'tls-trust') == 'ok' and level(f, 'login') == 'problem' and 'not sent' in words(f, 'login')
    assert len(heard) > 5 and not any(b'hush' in h for h in heard)


def test_a_broker_that_never_stops_talking(listen, nobody):
    """What nobody asked for does not hold the doctor up for ever"""
    def talk(one):
        while True:
            got = one.recv(4000)
            if not got:
                return
            if got[0] == 0x10:
                one.sendall(b'\x20\x03\0\0\0' if b'MQTT\x05' in got else b'\x20\x02\0\0')
            elif got[0] == 0x82:
                one.sendall(b'\x90\x04' + got[2:4] + b'\0\1')
            elif got[0] >> 4 == 3:
                while True:
                    one.sendall(b'\x30\x04\0\1a\0')
                    time.sleep(0.05)

    f = doctor('mqtt://127.0.0.1:%d' % listen(talk).port, '--wait', '1000', env=nobody, expect=WARNINGS)
    assert level(f, 'round-trip') == 'warning'


def test_a_web_server(nobody):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = str(server.server_address[1])
    for target in (['127.0.0.1', '-p', port], ['mqtt://127.0.0.1:' + port]):
        f = doctor(*target, '--wait', '3000', env=nobody, expect=PROBLEMS)
        assert 'HTTP/1.0 404' in words(f, 'not-mqtt')
    server.shutdown()
    server.server_close()


def test_for_people(mosquitto, nobody):
    """Themes, levels, a summary; advice under what it is about"""
    done = run_cli('doctor', 'mqtt://127.0.0.1:%d' % mosquitto.port, '--wait', '3000', env=nobody)
    assert done.returncode == WARNINGS and '\nNetwork\n' in done.stdout and 'warning   Anybody may connect' in done.stdout
    assert done.stdout.splitlines()[-1].endswith('0 problems') and '\033' not in done.stdout
