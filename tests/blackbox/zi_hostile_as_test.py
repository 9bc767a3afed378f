"""Who is hostile towards the authorization server: what the broker's story of that name tells, over HTTPS."""
import base64
import http.client
import json
import os
import resource
import socket
import sqlite3
import ssl
import subprocess
import time
import urllib.parse

import pytest
import world
from zh_hostile_test import client_hello, close_all, memory_of, wait_until_closed


def dial(server, address='127.0.0.1'):
    return socket.create_connection(('127.0.0.1', server.port), timeout=world.WAIT, source_address=(address, 0))


def ask(server):
    assert server.request('GET', '/jwks.json').code == 200


def test_one_address_cannot_have_all_connections(as_server):
    held = []
    for _ in range(400):  # 256 are allowed
        try:
            held.append(dial(as_server, '127.0.0.2'))
        except OSError:
            pass
    for _ in range(5):
        ask(as_server)  # from 127.0.0.1
    wait_until_closed(held, len(held) - 300)
    close_all(held)


def test_half_open_handshakes_and_trickled_heads_leave_others_alone(as_server):
    """Their end in time is l_rude_http_test.py's story."""
    held = []
    for n in range(400):
        s = dial(as_server, '127.0.3.%d' % (n // 40))
        s.sendall(client_hello() if n % 2 else b'')
        held.append(s)
    for byte in b'GET /jwks':
        for s in held:
            try:
                s.sendall(bytes([byte]))
            except OSError:
                pass
        ask(as_server)
    close_all(held)
    ask(as_server)


def test_renegotiation_old_versions_and_compression_are_refused(as_server):
    def s_client(*words, stdin=b''):
        return subprocess.run(['openssl', 's_client', '-connect', '127.0.0.1:%d' % as_server.port, '-CAfile', as_server.ca,
                               '-servername', 'localhost', *words], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=world.WAIT).stdout.decode(errors='replace')
    text = s_client('-tls1_2', stdin=b'R\nGET /jwks.json HTTP/1.0\r\n\r\n')
    assert 'RENEGOTIATING' in text and 'HTTP/1' not in text, text[-2000:]
    assert 'Compression: NONE' in s_client('-tls1_2', '-comp')
    for version in ('-tls1', '-tls1_1'):
        text = s_client(version, '-cipher', 'ALL:@SECLEVEL=0')
        assert 'Cipher is (NONE)' in text or 'no protocols available' in text, text[-2000:]
    ask(as_server)


def talk(server, *requests):
    """One connection, all requests in one go, none of them HEAD: code and body of each answer."""
    raw = dial(server)
    with ssl.create_default_context(cafile=server.ca).wrap_socket(raw, server_hostname='localhost') as s:
        s.sendall(b''.join(requests))
        with s.makefile('rb') as come:
            return [read_answer(come) for _ in requests]


def read_answer(come):
    code = int(come.readline().split()[1])
    return code, come.read(int(http.client.parse_headers(come)['Content-Length']))


def post(path, body, *fields, media='application/x-www-form-urlencoded'):
    return '\r\n'.join(('POST %s HTTP/1.1' % path, 'Host: x', 'Content-Type: ' + media, *fields,
                        'Content-Length: %d' % len(body), '', body)).encode()


def token_request(server, client):
    return post('/token', json.dumps(dict(server.credentials(client), audience='rs.example')), media='application/ace+json')


@pytest.fixture(scope='module')
def client(as_server):
    made = as_server.add_client('hasty')
    as_server.rs = as_server.add_rs('rs.example', key='generate')
    as_server.allow('client:hasty', 'rs.example', 'a/#', 'pub')
    return made


def test_the_database_is_not_kept_busy_by_what_was_read_behind_a_commit(as_server, client):
    """A request behind one that waits for the commit is handled when the group has ended: its reading ends too."""
    basic = base64.b64encode(('%s:%s' % tuple(urllib.parse.quote(x, safe='') for x in (as_server.rs.id, as_server.rs.secret))).encode())

    def free():
        database = sqlite3.connect(os.path.join(as_server.dir, 'as.db'), timeout=0)
        try:
            return database.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchone()[0] == 0
        except sqlite3.OperationalError:  # it is being written at the moment
            return False
        finally:
            database.close()
    raw = dial(as_server)
    with ssl.create_default_context(cafile=as_server.ca).wrap_socket(raw, server_hostname='localhost') as s, s.makefile('rb') as come:
        for _ in range(5):
            s.sendall(token_request(as_server, client) + post('/introspect', 'token=x', 'Authorization: Basic ' + basic.decode()))
            assert [read_answer(come)[0] for _ in range(2)] == [200, 200]
            world.wait_for(free)


def test_who_closes_its_half_at_once_gets_its_token(as_server, client):
    """RFC 9112 9.6, RFC 8446 6.1: close_notify says that no more requests come, and an answer may still go out."""
    for version in ('TLSv1_2', 'TLSv1_3'):
        context = ssl.create_default_context(cafile=as_server.ca)
        context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
        come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(come, go, server_hostname='localhost')
        with dial(as_server) as s:
            step(s, come, go, tls.do_handshake)
            tls.write(token_request(as_server, client))
            with pytest.raises(ssl.SSLWantReadError):
                tls.unwrap()
            s.sendall(go.read())  # the request, close_notify
            s.shutdown(socket.SHUT_WR)
            got = 0
            while more := s.recv(65536):
                got += len(more)
        assert got > 500, version  # OpenSSL reads no more after its own close_notify: counted are the bytes of records


@pytest.mark.parametrize('words', (['-H', 'Expect: 100-continue'], ['-H', 'Expect:'], ['-H', 'Transfer-Encoding: chunked'], ['--http1.0']))
def test_a_body_too_large_is_said_to_be_so_before_the_connection_ends(as_server, words):
    """RFC 9110 15.5.14, RFC 9112 9.6: what curl is sending meanwhile does not cost it the answer."""
    assert world.curl(as_server.ca, *words, '--data-binary', '@-', as_server.url + '/token', data='a' * 1000000)[0] == 413


def step(s, come, go, act):
    while True:
        try:
            act()
            s.sendall(go.read())
            return
        except ssl.SSLWantReadError:
            s.sendall(go.read())
            come.write(s.recv(65536))


def test_while_another_process_holds_the_database_others_are_answered(as_server, client):
    database = sqlite3.connect(os.path.join(as_server.dir, 'as.db'), isolation_level=None)
    database.execute('BEGIN IMMEDIATE')
    begin = time.monotonic()
    answers = talk(as_server, *[token_request(as_server, client)] * 30)
    assert [code for code, _ in answers] == [503] * 30
    assert time.monotonic() - begin < 20  # a group waits for a second; each by itself they would wait for 30
    ask(as_server)
    database.execute('ROLLBACK')
    database.close()
    assert [code for code, _ in talk(as_server, token_request(as_server, client))] == [200]


def test_out_of_descriptors_it_waits_and_goes_on(tmp_path):
    server = world.As(str(tmp_path))
    try:
        pid = server.daemon.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = max(int(fd) for fd in os.listdir('/proc/%d/fd' % pid)) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
        waiting = [dial(server) for _ in range(20)]
        server.daemon.event('out_of_descriptors')
        close_all(waiting)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        ask(server)
        server.admin('status')
    finally:
        server.daemon.stop()


@pytest.mark.skipif(os.getuid() != 0, reason='only root reads the memory of the server')
def test_nothing_of_a_secret_is_left_in_memory(as_server):
    """Neither the client's secret, nor the token it got, nor the key inside."""
    if world.sanitized():
        pytest.skip('sanitizers keep what was freed')
    client = as_server.add_client('passing')
    as_server.add_rs('forgetful.example', key='generate')
    as_server.allow('client:passing', 'forgetful.example', 'a/#', 'pub')
    token = as_server.token(client, 'forgetful.example')
    text, key = token['access_token'], token['cnf']['jwk']['k']
    needles = (('secret of the client', client.secret.encode()), ('token', text.encode()), ('its end', text.rsplit('.', 1)[-1].encode()),
               ('key as text', key.encode()), ('key', world.jose.unb64(key)))
    found = {}

    def nothing():
        blocks = list(memory_of(as_server.daemon.process.pid))
        found.update({name: sum(block.count(needle) for block in blocks) for name, needle in needles})
        return not any(found.values())
    world.wait_for(nothing, why=lambda: str(found))
