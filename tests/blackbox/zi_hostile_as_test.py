"""Who is hostile towards the authorization server: what the broker's story of that name tells, over HTTPS."""
import os
import resource
import socket
import subprocess
import time

import pytest
import world
from zh_hostile_test import client_hello, close_all, closed_by_peer, memory_of


def dial(server, address='127.0.0.1'):
    return socket.create_connection(('127.0.0.1', server.port), timeout=10, source_address=(address, 0))


def ask(server):
    begin = time.monotonic()
    assert server.request('GET', '/jwks.json').code == 200
    return time.monotonic() - begin


def test_one_address_cannot_have_all_connections(as_server):
    held = []
    for _ in range(400):  # 256 are allowed
        try:
            s = dial(as_server, '127.0.0.2')
            s.setblocking(False)
            held.append(s)
        except OSError:
            pass
    assert max(ask(as_server) for _ in range(5)) < 5  # from 127.0.0.1
    time.sleep(0.2)
    assert closed_by_peer(held) >= 100
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
        assert ask(as_server) < 5
    close_all(held)
    assert ask(as_server) < 5


def test_renegotiation_old_versions_and_compression_are_refused(as_server):
    def s_client(*words, stdin=b''):
        return subprocess.run(['openssl', 's_client', '-connect', '127.0.0.1:%d' % as_server.port, '-CAfile', as_server.ca,
                               '-servername', 'localhost', *words], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=30).stdout.decode(errors='replace')
    text = s_client('-tls1_2', stdin=b'R\nGET /jwks.json HTTP/1.0\r\n\r\n')
    assert 'RENEGOTIATING' in text and 'HTTP/1' not in text, text[-2000:]
    assert 'Compression: NONE' in s_client('-tls1_2', '-comp')
    for version in ('-tls1', '-tls1_1'):
        text = s_client(version, '-cipher', 'ALL:@SECLEVEL=0')
        assert 'Cipher is (NONE)' in text or 'no protocols available' in text, text[-2000:]
    ask(as_server)


def test_out_of_descriptors_it_waits_and_goes_on(tmp_path):
    server = world.As(str(tmp_path))
    try:
        pid = server.daemon.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = max(int(fd) for fd in os.listdir('/proc/%d/fd' % pid)) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
        waiting = [dial(server) for _ in range(20)]
        time.sleep(0.3)
        close_all(waiting)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert ask(server) < 5
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
    time.sleep(0.3)
    needles = (('secret of the client', client.secret.encode()), ('token', text.encode()), ('its end', text.rsplit('.', 1)[-1].encode()),
               ('key as text', key.encode()), ('key', world.jose.unb64(key)))
    found = {}
    for block in memory_of(as_server.daemon.process.pid):
        for name, needle in needles:
            if needle in block:
                found[name] = found.get(name, 0) + block.count(needle)
    assert not found, found
