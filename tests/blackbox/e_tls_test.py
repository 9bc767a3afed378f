"""openssl and gnutls-cli against the broker's listener: which TLS it speaks and which it does not."""
import socket
import subprocess

import pytest
from mqtt5 import CONNACK, Client, connect
from world import WAIT


@pytest.fixture(scope='module')
def broker(make_broker):
    return make_broker(workers=2, public=[['public/#', ['pub', 'sub']]])


def s_client(broker, *words, data=b''):
    done = subprocess.run(['openssl', 's_client', '-connect', 'localhost:%d' % broker.port, '-CAfile', broker.ca,
                           '-verify_return_error', '-servername', 'localhost', *words], input=data, capture_output=True,
                          timeout=WAIT)
    return done.returncode, (done.stdout + done.stderr).decode(errors='replace')


def gnutls_cli(broker, priority, data=b''):
    done = subprocess.run(['gnutls-cli', '--x509cafile', broker.ca, '--priority', priority, '--alpn', 'mqtt', '-p',
                           str(broker.port), 'localhost'], input=data, capture_output=True, timeout=WAIT)
    return done.returncode, (done.stdout + done.stderr).decode(errors='replace')


@pytest.mark.parametrize('flag,name', [('-tls1_3', 'TLSv1.3'), ('-tls1_2', 'TLSv1.2')])
def test_openssl_connects(broker, flag, name):
    """MT-4, MT-6: both versions, ALPN mqtt, the chain verifies"""
    code, text = s_client(broker, flag, '-alpn', 'mqtt')
    assert code == 0, text
    assert name in text and 'Verify return code: 0 (ok)' in text and 'ALPN protocol: mqtt' in text


@pytest.mark.parametrize('flag', ['-tls1_1', '-tls1'])
def test_older_versions_are_refused(broker, flag):
    code, text = s_client(broker, flag, '-cipher', 'DEFAULT@SECLEVEL=0')
    assert code != 0 and 'alert' in text, text


def test_weak_suites_are_refused(broker):
    code, text = s_client(broker, '-tls1_2', '-cipher', 'AES128-SHA:AES256-SHA@SECLEVEL=0')
    assert code != 0, text


@pytest.mark.parametrize('priority', ['NORMAL:-VERS-ALL:+VERS-TLS1.3', 'NORMAL:-VERS-ALL:+VERS-TLS1.2'])
def test_gnutls_cli_connects(broker, priority):
    code, text = gnutls_cli(broker, priority)
    assert code == 0 and 'Handshake was completed' in text, text


def test_tls_1_2_without_extended_master_secret_is_refused(broker):
    """MT-5, RFC 7627"""
    code, text = gnutls_cli(broker, 'NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH')
    assert code != 0 or 'Handshake was completed' not in text, text


def test_alpn_of_another_protocol_is_refused_or_ignored_but_never_taken(broker):
    """MT-6, RFC 7301 3.2"""
    _, text = s_client(broker, '-tls1_3', '-alpn', 'http/1.1')
    assert 'ALPN protocol: http/1.1' not in text


def test_the_certificate_is_for_the_name(broker):
    code, text = s_client(broker, '-verify_hostname', 'localhost')
    assert code == 0, text
    code, text = s_client(broker, '-verify_hostname', 'elsewhere.example')
    assert code != 0, text


def test_mqtt_works_after_all_that(broker):
    with Client(broker.port, broker.ca, alpn=['mqtt']) as client:
        client.send(connect('after'))
        assert client.expect(CONNACK).reason == 0


def test_plain_tcp_gets_nothing_from_a_tls_listener(broker):
    with socket.create_connection(('127.0.0.1', broker.port), timeout=WAIT) as s:
        s.sendall(connect('plain'))
        s.settimeout(WAIT)
        data = b''
        try:
            while chunk := s.recv(4096):
                data += chunk
        except ConnectionError:
            pass
        assert not data or data[0] == 0x15  # at most a TLS alert record
