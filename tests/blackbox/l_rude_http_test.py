"""Clients that misbehave towards the authorization server: it stays well, answers others, and ends what it must."""
import os
import socket
import ssl
import struct

import pytest
from world import WAIT


@pytest.fixture(autouse=True)
def the_server_stays_well(as_server):
    yield
    assert as_server.daemon.running(), as_server.daemon.log()[-4000:]
    assert as_server.request('GET', '/jwks.json').code == 200
    assert as_server.admin('status')['version']


def connect(server, tls=True):
    raw = socket.create_connection(('127.0.0.1', server.port), timeout=WAIT)
    return ssl.create_default_context(cafile=server.ca).wrap_socket(raw, server_hostname='localhost') if tls else raw


def answer(connection, data):
    """All that comes back until the server ends the connection or a whole head was seen."""
    got = b''
    try:
        connection.sendall(data)
        while b'\r\n\r\n' not in got:
            more = connection.recv(65536)
            if not more:
                break
            got += more
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        connection.close()
    return got


HEADS = {
    'no version': b'GET /jwks.json\r\n\r\n',
    'unknown version': b'GET /jwks.json HTTP/9.9\r\nHost: x\r\n\r\n',
    'no host': b'GET /jwks.json HTTP/1.1\r\n\r\n',
    'bytes': os.urandom(300) + b'\r\n\r\n',
    'a long path': b'GET /' + b'a' * 100000 + b' HTTP/1.1\r\nHost: x\r\n\r\n',
    'a long header': b'GET /jwks.json HTTP/1.1\r\nHost: x\r\nX: ' + b'a' * 100000 + b'\r\n\r\n',
    'many headers': b'GET /jwks.json HTTP/1.1\r\nHost: x\r\n' + b'X: y\r\n' * 5000 + b'\r\n',
    'negative length': b'POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
    'two lengths': b'POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc',
    'length and chunks': b'POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a length beyond everything': b'POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n',
    'a bad chunk': b'POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    'another method': b'BREW /token HTTP/1.1\r\nHost: x\r\n\r\n',
    'a path upwards': b'GET /../as.yaml HTTP/1.1\r\nHost: x\r\n\r\n',
    'NUL in the path': b'GET /jwks.json\x00 HTTP/1.1\r\nHost: x\r\n\r\n',
}


@pytest.mark.parametrize('name', HEADS)
def test_heads(as_server, name):
    got = answer(connect(as_server), HEADS[name])
    if got:
        assert got.startswith(b'HTTP/1.'), got[:100]
    if name in ('bytes', 'a path upwards', 'another method', 'negative length', 'two lengths', 'a length beyond everything'):
        assert b' 200 ' not in got[:20], got[:100]
    assert b'state_dir' not in got


def test_plain_http_on_the_https_port(as_server):
    assert b'200' not in answer(connect(as_server, tls=False), b'GET /jwks.json HTTP/1.1\r\nHost: x\r\n\r\n')


def test_old_tls_is_refused(as_server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers('DEFAULT@SECLEVEL=0')
    with socket.create_connection(('127.0.0.1', as_server.port), timeout=WAIT) as raw, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(raw)


def test_many_silent_connections_do_not_lock_others_out(as_server):
    held = [connect(as_server, tls=False) for _ in range(100)]
    slow = []
    for _ in range(30):
        slow.append(connect(as_server))
        slow[-1].sendall(b'POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"a"')
    assert as_server.request('GET', '/jwks.json').code == 200
    for s in held + slow:
        s.close()


def test_connections_cut_at_any_moment(as_server):
    whole = b'POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"client_id":"abcd"}'
    for at in range(0, len(whole), 9):
        connection = connect(as_server)
        connection.sendall(whole[:at]) if at else None
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        connection.close()


def test_the_admin_socket_takes_rude_lines(as_server):
    for line in (b'\n', b'x' * 100000 + b'\n', b'{"cmd":"status"', b'\x00\n', b'{"cmd":"client.list","limit":-1}\n',
                 b'{"cmd":"client.list","limit":1e99}\n', b'{"cmd":"client.add","client_id":"a/b"}\n',
                 b'{"cmd":"client.add","client_id":"+"}\n', b'{"cmd":"policy.allow","subject":"any","audience":"x","filter":"#/a",'
                 b'"permissions":["pub"]}\n'):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(WAIT)
            s.connect(as_server.socket_path)
            try:
                s.sendall(line)
                s.shutdown(socket.SHUT_WR)
                got = b''
                while more := s.recv(65536):
                    got += more
            except ConnectionError:
                continue
            assert b'"ok":true' not in got, (line[:60], got[:200])
