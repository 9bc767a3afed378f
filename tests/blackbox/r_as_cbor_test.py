"""curl with bodies of CBOR, made and read by another program's CBOR library: the token endpoint, introspection and
errors as RFC 9200 has them, CWTs, and refresh tokens (AF-5, AF-7, AF-27, AF-51, AF-80)."""
import base64
import http.client
import json
import signal
import ssl
import subprocess

import cbor2
import jose_by_hand as jose
import pytest
from mqtt5 import CONNACK, Client, SecretKey
from world import WAIT, curl, run_cli

GRANT_TYPE, TOKEN_TYPE, SCOPE, AUDIENCE, ACCESS_TOKEN, EXPIRES_IN = 33, 34, 9, 5, 1, 2
CNF, REQ_CNF, RS_CNF, PROFILE, CNONCE, ERROR, ERROR_DESCRIPTION = 8, 4, 41, 38, 39, 30, 31
CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, TOKEN, ACTIVE = 24, 25, 37, 11, 10
ERRORS = {'invalid_request': 1, 'invalid_client': 2, 'invalid_grant': 3, 'unsupported_grant_type': 5,
          'invalid_scope': 6, 'unsupported_pop_key': 7, 'incompatible_ace_profiles': 8}
CBOR = 'application/ace+cbor'


@pytest.fixture(scope='module')
def site(as_server):
    as_server.cwt = as_server.add_rs('cwt.example', token_format='cwt', key='generate')
    as_server.add_rs('jwt.example', key='generate')
    as_server.refs = as_server.add_rs('refs.example', token_format='reference')
    for audience in 'cwt.example', 'jwt.example', 'refs.example':
        as_server.allow('any', audience, 'plant/#', 'pub', 'sub')
    as_server.c1 = as_server.add_client('c1', refresh=True)
    as_server.c2 = as_server.add_client('c2')
    return as_server


def post(site, path, body, *words, media=CBOR):
    """`body`: what cbor2 is to encode, or bytes as they are."""
    data = body if isinstance(body, bytes) else cbor2.dumps(body)
    done = subprocess.run(['curl', '--silent', '--show-error', '--max-time', str(WAIT), '--cacert', site.ca, '--include',
                           '-H', 'Content-Type: ' + media, '-H', 'Expect:', '--data-binary', '@-', *words,
                           site.url + path], input=data, capture_output=True, timeout=2 * WAIT)
    assert done.returncode == 0, done.stderr
    head, _, answer = done.stdout.partition(b'\r\n\r\n')
    lines = head.decode().split('\r\n')
    headers = {k.lower(): v for k, v in (line.split(': ', 1) for line in lines[1:] if ': ' in line)}
    code = int(lines[0].split()[1])
    assert headers['cache-control'] == 'no-store'
    if not answer:
        return code, None
    assert headers['content-type'] == CBOR
    got = cbor2.loads(answer)
    assert cbor2.dumps(got, canonical=True) == answer  # deterministic, and nothing behind it
    return code, got


def ask(site, members, client=None):
    client = client or site.c1
    return post(site, '/token', {CLIENT_ID: client.id, CLIENT_SECRET: client.secret.encode(), **members})


def granted(answer):
    code, body = answer
    assert code == 200, body
    assert body[TOKEN_TYPE] == 2 and body[PROFILE] == 3 and body[EXPIRES_IN] > 0
    assert all(isinstance(k, int) for k in body)  # AF-7
    return body


def refused(answer, error, code=400):
    got, body = answer
    assert (got, body[ERROR]) == (code, ERRORS[error]), body  # AF-50, AF-51
    assert set(body) <= {ERROR, ERROR_DESCRIPTION} and isinstance(body[ERROR_DESCRIPTION], str)


def introspect(site, rs, token):
    return post(site, '/introspect', {TOKEN: token}, '--user', '%s:%s' % (rs.id, rs.secret))


def test_a_token_with_a_secret(site):
    """AF-26, AF-27, AF-43, AF-106, MT-14: a COSE_Key in cnf, AIF in bytes, and the token in bytes"""
    got = granted(ask(site, {AUDIENCE: 'cwt.example', GRANT_TYPE: 2, PROFILE: None,
                             SCOPE: cbor2.dumps([['plant/x', ['pub']]])}))
    assert cbor2.loads(got[SCOPE]) == [['plant/x', ['pub']]]
    key = got[CNF][1]
    assert key[1] == 4 and len(key[-1]) == 32 and isinstance(key[2], bytes)
    assert got[ACCESS_TOKEN][:3] == b'\xd8\x3d\xd0'  # CWT around COSE_Encrypt0 (TK-10)
    code, about = introspect(site, site.cwt, got[ACCESS_TOKEN])
    assert code == 200 and about[ACTIVE] is True and about[PROFILE] == 3
    assert about[CNF][1][-1] == key[-1] and about[3] == 'cwt.example'  # AF-45


def test_a_token_for_a_public_key(site):
    """AF-42, AF-48: a COSE_Key in req_cnf; the proof has no integer and is a text key"""
    key = jose.Ed25519()
    proof = site.proof(key, 'c1')
    body = {AUDIENCE: 'cwt.example', REQ_CNF: {1: {1: 1, -1: 6, -2: key.public}}, 'req_cnf_proof': proof}
    got = granted(ask(site, body))
    assert CNF not in got and got[ACCESS_TOKEN][:3] == b'\xd8\x3d\xd2'  # COSE_Sign1
    refused(ask(site, dict(body, req_cnf_proof='x')), 'invalid_request')


def test_the_same_token_is_one_in_json_and_cbor(site):
    """AF-19, AF-84: a CWT is base64url text in JSON; either names it at the introspection endpoint"""
    got = granted(ask(site, {AUDIENCE: 'cwt.example'}))
    code, about = introspect(site, site.cwt, got[ACCESS_TOKEN])
    answer = site.request('POST', '/introspect', 'token=' + jose.b64(got[ACCESS_TOKEN]), {
        'Content-Type': 'application/x-www-form-urlencoded',
        'Authorization': 'Basic ' + base64.b64encode(('cwt.example:' + site.cwt.secret).encode()).decode()})
    assert code == 200 and answer.code == 200 and answer.json['active'] is True
    assert answer.json['jti'] == jose.b64(about[7])  # cti


def test_a_reference_and_a_jwt_are_bytes_of_their_text(site):
    reference = granted(ask(site, {AUDIENCE: 'refs.example'}))[ACCESS_TOKEN]
    assert len(jose.unb64(reference.decode())) == 32
    assert introspect(site, site.refs, reference)[1][ACTIVE] is True
    jwt = granted(ask(site, {AUDIENCE: 'jwt.example'}))[ACCESS_TOKEN]
    assert jwt.count(b'.') == 4  # JWE


def test_introspection_says_no_more_than_it_must(site):
    """AF-82, AF-83, AF-85"""
    got = granted(ask(site, {AUDIENCE: 'cwt.example'}))
    assert introspect(site, site.refs, got[ACCESS_TOKEN]) == (200, {ACTIVE: False})
    assert introspect(site, site.cwt, b'nothing of the kind') == (200, {ACTIVE: False})
    assert post(site, '/introspect', {TOKEN: got[ACCESS_TOKEN]}, '--user', 'c1:' + site.c1.secret) == (403, None)
    refused(post(site, '/introspect', {TOKEN: b'x'}, '--user', 'cwt.example:wrong'), 'invalid_client', 401)
    refused(post(site, '/introspect', {TOKEN: 'text'}, '--user', 'cwt.example:' + site.cwt.secret), 'invalid_request')


@pytest.mark.parametrize('members, error', [
    ({GRANT_TYPE: 0}, 'unsupported_grant_type'), ({GRANT_TYPE: 99}, 'unsupported_grant_type'),
    ({GRANT_TYPE: 'client_credentials'}, 'invalid_request'),  # AF-7
    ({PROFILE: 1}, 'incompatible_ace_profiles'), ({PROFILE: 'mqtt_tls'}, 'invalid_request'),  # AF-53, AF-8
    ({AUDIENCE: 'nowhere.example'}, 'invalid_request'), ({'audience': 'cwt.example'}, 'invalid_request'),
    ({SCOPE: 'word'}, 'invalid_scope'), ({SCOPE: b'\x00'}, 'invalid_scope'),
    ({SCOPE: cbor2.dumps([['elsewhere', ['pub']]])}, 'invalid_scope'),
    ({REQ_CNF: {3: b'unknown'}}, 'unsupported_pop_key'),  # AF-54
    ({REQ_CNF: {1: {1: 4, -1: bytes(32)}}}, 'invalid_request'),  # AF-41
    ({REQ_CNF: {1: {1: 3, -1: b'n', -2: b'e'}}}, 'unsupported_pop_key'),  # AF-52: RSA
    ({REQ_CNF: {}}, 'invalid_request'), ({CNONCE: 'text'}, 'invalid_request'),
])
def test_refusals(site, members, error):
    refused(ask(site, {AUDIENCE: 'cwt.example', **members}), error)


@pytest.mark.parametrize('body', [
    b'', b'\xa0\x00', b'\xa2\x18\x21\x02\x18\x21\x02', b'\xbf\x18\x21\x02\xff', b'\xa1\x19\x00\x21\x02', b'\x80', b'\xff',
    b'\xa1\x18\x1f\x62\xc3\x28', b'\x9b' + b'\xff' * 8, b'\x81' * 5000, b'\xba\xff\xff\xff\xff', b'\xa1\x05\x7a\xff\xff\xff\xff',
], ids=lambda b: b[:8].hex() or 'empty')
def test_hostile_cbor(site, body):
    """TK-48, TK-49, TK-50; and the server is there for the next one"""
    code, answer = post(site, '/token', body)
    assert (code, answer[ERROR]) in ((400, 1), (401, 2))
    granted(ask(site, {AUDIENCE: 'cwt.example'}))


def test_the_client_must_authenticate(site):
    """AF-20"""
    refused(post(site, '/token', {AUDIENCE: 'cwt.example'}), 'invalid_client', 401)
    refused(post(site, '/token', {CLIENT_ID: 'c2', CLIENT_SECRET: b'wrong'}), 'invalid_client', 401)
    granted(post(site, '/token', {AUDIENCE: 'cwt.example'}, '--user', 'c2:' + site.c2.secret))


def test_cbor_is_for_ace_only(site):
    code, _, _ = curl(site.ca, '-H', 'Content-Type: ' + CBOR, '--data-binary', 'x', site.url + '/enroll')
    assert code == 415


def test_refresh_tokens_turn_and_end(site):
    """AF-29, RFC 9700 4.14.2: grant type 3, key 37"""
    one = granted(ask(site, {AUDIENCE: 'cwt.example'}))
    two = granted(ask(site, {GRANT_TYPE: 3, REFRESH_TOKEN: one[REFRESH_TOKEN]}))
    assert two[CNF] == {3: one[CNF][1][2]}  # the same key, by name
    assert introspect(site, site.cwt, two[ACCESS_TOKEN])[1][CNF][1][-1] == one[CNF][1][-1]
    refused(ask(site, {GRANT_TYPE: 3, REFRESH_TOKEN: two[REFRESH_TOKEN], AUDIENCE: 'jwt.example'}), 'invalid_request')
    refused(ask(site, {GRANT_TYPE: 3, REFRESH_TOKEN: two[REFRESH_TOKEN]}, site.c2), 'invalid_grant')
    refused(ask(site, {GRANT_TYPE: 3, REFRESH_TOKEN: one[REFRESH_TOKEN]}), 'invalid_grant')  # used before
    refused(ask(site, {GRANT_TYPE: 3, REFRESH_TOKEN: two[REFRESH_TOKEN]}), 'invalid_grant')  # so all of it is over
    for token in one, two:
        assert introspect(site, site.cwt, token[ACCESS_TOKEN]) == (200, {ACTIVE: False})
    assert 'refresh_token_reused' in site.daemon.log()
    assert one[REFRESH_TOKEN].decode() not in site.daemon.log()
    assert REFRESH_TOKEN not in granted(ask(site, {AUDIENCE: 'cwt.example'}, site.c2))


def test_refresh_tokens_survive_a_kill(site):
    one = granted(ask(site, {AUDIENCE: 'cwt.example'}))
    site.restart(kill=True)
    granted(ask(site, {GRANT_TYPE: 3, REFRESH_TOKEN: one[REFRESH_TOKEN]}))
    assert 1 in [f['uses'] for f in site.admin('refresh.list', client_id='c1')['families']]


def test_sighup_takes_the_level_of_the_log_over_and_nothing_breaks(site):
    site.set(log_level='debug', **{'token.lifetime': '1m'})
    site.daemon.process.send_signal(signal.SIGHUP)
    site.daemon.event('settings_reloaded', log_level=4)
    with open(site.config, 'a', encoding='utf-8') as f:
        f.write('no_such_setting: 1\n')
    site.daemon.process.send_signal(signal.SIGHUP)
    assert 'no_such_setting' in site.daemon.event('settings_not_reloaded').fields['why']
    with open(site.config, encoding='utf-8') as f:
        text = f.read()
    with open(site.config, 'w', encoding='utf-8') as f:
        f.write(text.replace('no_such_setting: 1\n', ''))
    assert granted(ask(site, {AUDIENCE: 'cwt.example'}))[EXPIRES_IN] == 3600


def test_the_command_line_registers_and_shows_all_of_it(site):
    def command(*words):
        done = run_cli('as', '--socket', site.socket_path, '--json', *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    rs = command('rs', 'add', 'cli.example', '--format', 'cwt', '--protection', 'nested', '--key', 'generate', '--pop-key',
                 'EdDSA', '--pop-key', 'symmetric', '--profile', 'mqtt_tls', '--profile', 'coap_dtls', '--refresh')['rs']
    assert (rs['token_format'], rs['protection'], rs['refresh']) == ('cwt', 'nested', True)
    assert (rs['pop_keys'], rs['profiles']) == (['EdDSA', 'symmetric'], ['coap_dtls', 'mqtt_tls'])
    client = command('client', 'add', 'cli-1', '--profile', 'mqtt_tls', '--refresh')
    assert client['client']['profiles'] == ['mqtt_tls'] and client['client']['refresh'] is True
    site.allow('any', 'cli.example', 'plant/#', 'pub')
    granted(post(site, '/token', {CLIENT_ID: 'cli-1', CLIENT_SECRET: client['client_secret'].encode(), AUDIENCE: 'cli.example'}))
    family = command('refresh', 'list', '--client', 'cli-1')['families'][0]
    assert family['bound_to'] == 'symmetric' and family['uses'] == 0
    token = command('token', 'list', '--client', 'cli-1')['tokens'][0]
    assert (token['family'], token['format']) == (family['family'], 'cwt')
    assert command('refresh', 'revoke', family['family'])['tokens_revoked'] == 1
    assert command('refresh', 'list', '--client', 'cli-1')['families'] == []
    assert command('rs', 'set', 'cli.example', '--no-refresh', '--format', 'jwt')['rs']['refresh'] is False
    assert command('rs', 'set', 'cli.example', '--exi')['rs']['exi'] is True
    assert command('rs', 'set', 'cli.example', '--no-exi')['rs']['exi'] is False
    assert command('client', 'set', 'cli-1', '--no-refresh')['client']['refresh'] is False


def test_a_broker_takes_the_cwt_that_came_in_cbor(site, make_broker):
    """MT-2, MT-14, MT-86: the bytes of access_token are the token in Authentication Data, cnf is the key to prove"""
    broker = make_broker(as_server=site, audience='mqtt.example', workers=1)
    site.admin('rs.set', rs_id='mqtt.example', token_format='cwt')
    site.allow('any', 'mqtt.example', 'plant/#', 'pub', 'sub')
    got = granted(ask(site, {AUDIENCE: 'mqtt.example'}))
    with Client(broker.port, broker.ca) as client:
        connack = client.open_ace('sensor', got[ACCESS_TOKEN], SecretKey(got[CNF][1][-1]))
        assert connack.kind == CONNACK and connack.reason == 0


def served(site):
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(('localhost', site.port)))


def get(connection):
    connection.request('GET', '/jwks.json')
    return json.loads(connection.getresponse().read())['keys']


def test_sighup_takes_a_new_certificate_and_open_connections_go_on(site, tmp_path):
    before = served(site)
    context = ssl.create_default_context(cafile=site.ca)
    old = http.client.HTTPSConnection('localhost', site.port, context=context, timeout=10)
    keys = get(old)
    certificate, key = site.certificate(str(tmp_path / 'fresh'), 'localhost')
    site.set(**{'https.certificate': certificate, 'https.key': key})
    reloads = len(site.daemon.find('settings_reloaded'))
    site.daemon.process.send_signal(signal.SIGHUP)
    site.daemon.event('settings_reloaded', count=reloads + 1)
    assert served(site) == ssl.PEM_cert_to_DER_cert(open(certificate, encoding='ascii').read()) != before
    assert get(old) == keys
    fresh = http.client.HTTPSConnection('localhost', site.port, context=context, timeout=10)
    assert get(fresh) == keys
    with open(certificate, 'w', encoding='ascii') as f:  # half of it, as when it is being written
        f.write('-----BEGIN CERTIFICATE-----\nMIIB\n')
    now = fresh.sock.getpeercert(True)
    site.daemon.process.send_signal(signal.SIGHUP)
    assert site.daemon.event('certificate_not_reloaded').fields['certificate'] == certificate
    assert served(site) == now
    assert get(old) == get(fresh) == keys
