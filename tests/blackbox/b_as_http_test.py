"""curl against every endpoint of the authorization server: each way to authenticate, each form of a request, and
errors exactly as RFC 6749 5.2 and RFC 9200 5.8.3 (AF-50 to AF-53) have them."""
import json
import os
import subprocess
import time

import jose_by_hand as jose
import pytest
from world import curl

AUDIENCE = 'broker.example'
WANT = [['plant/c1/temperature', ['pub']]]


@pytest.fixture(scope='module')
def site(as_server):
    as_server.add_rs(AUDIENCE, key='generate')
    as_server.add_rs('refs.example', token_format='reference')
    as_server.add_rs('nokey.example')
    as_server.allow('any', AUDIENCE, 'plant/${client_id}/temperature', 'pub')
    as_server.allow('any', AUDIENCE, 'news/#', 'sub')
    as_server.allow('any', 'refs.example', 'plant/#', 'pub', 'sub')
    as_server.allow('any', 'nokey.example', 'plant/#', 'pub', 'sub')
    as_server.c1 = as_server.add_client('c1')
    as_server.k1 = as_server.add_client('k1', key=jose.Ed25519('k1-key'))
    as_server.stranger = as_server.add_client('stranger')
    return as_server


def token_curl(site, *words, data=None, path='/token'):
    code, headers, body = curl(site.ca, *words, site.url + path, data=data)
    return code, headers, json.loads(body) if body else None


def post_json(site, members, *words, media='application/ace+json', path='/token'):
    return token_curl(site, '-H', 'Content-Type: ' + media, '-d', json.dumps(members), *words, path=path)


def refused(answer, code, error):
    got, headers, body = answer
    assert (got, body['error']) == (code, error), body
    assert set(body) <= {'error', 'error_description', 'error_uri'}
    assert headers['content-type'] in ('application/json', 'application/ace+json')  # as it was asked
    assert headers['cache-control'] == 'no-store'  # RFC 6749 5.2
    assert body['error_description'].isascii() and '"' not in body['error_description']
    return body


def granted(answer):
    code, headers, body = answer
    assert code == 200, body
    assert headers['cache-control'] == 'no-store'  # AF-35
    assert body['token_type'].lower() == 'pop'  # AF-37
    assert body['ace_profile'] == 'mqtt_tls'  # MT-11, AF-36
    assert body['expires_in'] > 0  # AF-38
    return body


# ---- ways to authenticate (AF-20) ----

def test_client_secret_basic(site):
    granted(token_curl(site, '-u', 'c1:' + site.c1.secret, '-d', 'grant_type=client_credentials',
                       '-d', 'audience=' + AUDIENCE))


def test_client_secret_post_in_a_form(site):
    granted(token_curl(site, '-d', 'client_id=c1', '--data-urlencode', 'client_secret=' + site.c1.secret,
                       '-d', 'audience=' + AUDIENCE))


@pytest.mark.parametrize('media', ['application/json', 'application/ace+json'])
def test_client_secret_in_json(site, media):
    """MT-2, RFC 9431 2.1"""
    granted(post_json(site, {'client_id': 'c1', 'client_secret': site.c1.secret, 'audience': AUDIENCE}, media=media))


def test_private_key_jwt(site):
    """RFC 7523 3"""
    body = dict(site.credentials(site.k1), audience=AUDIENCE, scope=[['news/#', ['sub']]])
    granted(post_json(site, body))


def test_private_key_jwt_with_the_issuer_as_audience(site):
    body = dict(site.credentials(site.k1), audience=AUDIENCE, client_assertion=site.assertion(site.k1, aud=site.url))
    granted(post_json(site, body))


def test_an_assertion_works_once(site):
    body = dict(site.credentials(site.k1), audience=AUDIENCE)
    granted(post_json(site, body))
    refused(post_json(site, body), 401, 'invalid_client')


@pytest.mark.parametrize('claims', [
    {'aud': 'https://elsewhere.example/token'}, {'exp': 1}, {'exp': int(time.time()) + 86400}, {'iss': 'c1'},
    {'sub': 'c1'}, {'jti': None}, {'exp': None}, {'exp': 'soon'}],
    ids=['other aud', 'past', 'too far', 'other iss', 'other sub', 'no jti', 'no exp', 'exp is text'])
def test_a_faulty_assertion_is_refused(site, claims):
    """RFC 7523 3, rule by rule"""
    made = site.assertion(site.k1, **claims)
    body = dict(site.credentials(site.k1), audience=AUDIENCE, client_assertion=made)
    refused(post_json(site, body), 401, 'invalid_client')


def test_an_assertion_by_another_key_is_refused(site):
    client = type(site.k1)('k1', key=jose.Ed25519('k1-key'))
    refused(post_json(site, dict(site.credentials(client), audience=AUDIENCE)), 401, 'invalid_client')


def test_a_tls_certificate(site, tmp_path):
    """RFC 8705 2.2: by thumbprint, and its key is proved for req_cnf as well (AF-42)"""
    key, cert = str(tmp_path / 'c.key'), str(tmp_path / 'c.pem')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                    '-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=device'], check=True, capture_output=True)
    site.admin('client.add', client_id='certified', certificate=open(cert, encoding='ascii').read())
    body = {'client_id': 'certified', 'audience': AUDIENCE}
    granted(post_json(site, body, '--cert', cert, '--key', key))
    refused(post_json(site, body), 401, 'invalid_client')
    other_key, other = str(tmp_path / 'o.key'), str(tmp_path / 'o.pem')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                    '-keyout', other_key, '-out', other, '-days', '2', '-subj', '/CN=device'], check=True,
                   capture_output=True)
    refused(post_json(site, body, '--cert', other, '--key', other_key), 401, 'invalid_client')


def test_a_wrong_secret_is_answered_as_rfc6749_says(site):
    """With Basic: 401 and WWW-Authenticate (RFC 6749 5.2, AF-50)"""
    answer = token_curl(site, '-u', 'stranger:wrong', '-d', 'audience=' + AUDIENCE)
    refused(answer, 401, 'invalid_client')
    assert answer[1]['www-authenticate'].lower().startswith('basic')


def test_an_unknown_client_looks_the_same_as_a_wrong_secret(site):
    wrong = refused(token_curl(site, '-u', 'stranger:wrong', '-d', 'audience=x'), 401, 'invalid_client')
    unknown = refused(token_curl(site, '-u', 'nobody:wrong', '-d', 'audience=x'), 401, 'invalid_client')
    assert wrong == unknown


def test_no_authentication_at_all(site):
    refused(token_curl(site, '-d', 'audience=' + AUDIENCE), 401, 'invalid_client')


def test_two_ways_at_once_are_refused(site):
    refused(token_curl(site, '-u', 'c1:' + site.c1.secret, '-d', 'client_id=c1', '-d', 'client_secret=x'), 400,
            'invalid_request')


# ---- what is granted ----

def ask(site, **members):
    return post_json(site, dict({'client_id': 'c1', 'client_secret': site.c1.secret, 'audience': AUDIENCE}, **members))


def test_without_a_scope_all_that_policy_allows(site):
    body = granted(ask(site))
    assert json.loads(jose.unb64(body['scope'])) == [['plant/c1/temperature', ['pub']], ['news/#', ['sub']]] or \
        sorted(json.loads(jose.unb64(body['scope']))) == [['news/#', ['sub']], ['plant/c1/temperature', ['pub']]]


def test_scope_is_narrowed_and_said_in_the_form_it_was_asked(site):
    """D-20, MT-86, AF-23"""
    body = granted(ask(site, scope=[['plant/+/temperature', ['pub']], ['news/today', ['sub', 'pub']]]))
    assert sorted(body['scope']) == [['news/today', ['sub']], ['plant/c1/temperature', ['pub']]]
    body = granted(ask(site, scope=jose.scope_text(WANT)))
    assert json.loads(jose.unb64(body['scope'])) == WANT


def test_nothing_in_common_with_policy_is_invalid_scope(site):
    refused(ask(site, scope=[['plant/other/temperature', ['pub']]]), 400, 'invalid_scope')


@pytest.mark.parametrize('scope', [
    [['a', ['read']]], [['a', []]], [['a/#/b', ['pub']]], [['', ['pub']]], [[1, ['pub']]], 'not base64!', [['a']],
    [['news/#', ['sub']], ['news/#', ['sub']]], 7], ids=str)
def test_a_scope_that_is_not_aif_is_invalid_scope(site, scope):
    """MT-87"""
    refused(ask(site, scope=scope), 400, 'invalid_scope')


def test_other_grant_types_are_unsupported(site):
    """AF-21"""
    refused(ask(site, grant_type='password'), 400, 'unsupported_grant_type')
    granted(ask(site, grant_type='client_credentials'))


def test_ace_profile(site):
    """AF-24, AF-53, D-7"""
    for good in ('', None, 'mqtt_tls', 3):
        granted(ask(site, ace_profile=good))
    refused(ask(site, ace_profile='coap_dtls'), 400, 'incompatible_ace_profiles')


def test_audience(site):
    """AF-22"""
    refused(ask(site, audience='nowhere.example'), 400, 'invalid_request')
    refused(ask(site, audience=['a', 'b']), 400, 'invalid_request')
    refused(ask(site, audience=None), 400, 'invalid_request')


def test_cnonce_is_copied(site):
    """AF-16, AF-17, AF-19"""
    nonce = jose.b64(b'0123456789')
    body = granted(post_json(site, dict(site.credentials(site.k1), audience=AUDIENCE, cnonce=nonce,
                                        req_cnf={'kid': 'k1-key'})))
    claims = json.loads(jose.unb64(body['access_token'].split('.')[1]))
    assert claims['cnonce'] == nonce
    refused(ask(site, cnonce='***'), 400, 'invalid_request')


# ---- PoP keys ----

def test_without_req_cnf_the_server_makes_a_secret_and_encrypts_the_token(site):
    """AF-26, AF-43, MT-14, AF-90, TK-7: a new key has a new kid"""
    body = granted(ask(site))
    jwk = body['cnf']['jwk']
    assert jwk['kty'] == 'oct' and len(jose.unb64(jwk['k'])) == 32
    assert body['access_token'].count('.') == 4
    assert 'rs_cnf' not in body  # AF-44: only with asymmetric keys
    again = granted(ask(site))['cnf']['jwk']
    assert again['k'] != jwk['k'] and again['kid'] != jwk['kid']


def test_an_rs_without_a_key_cannot_get_secrets(site):
    """MT-14, AF-52"""
    refused(ask(site, audience='nokey.example'), 400, 'unsupported_pop_key')


def bound(site, key, **members):
    return ask(site, req_cnf={'jwk': key}, **members)


def test_a_public_key_needs_a_proof(site):
    """AF-42, docs/decisions/0001"""
    fresh = jose.Ed25519()
    said = refused(bound(site, fresh.jwk()), 400, 'invalid_request')
    assert 'req_cnf_proof' in said['error_description']
    body = granted(bound(site, fresh.jwk(), req_cnf_proof=site.proof(fresh, 'c1')))
    claims = json.loads(jose.unb64(body['access_token'].split('.')[1]))
    assert claims['cnf'] == {'jwk': {'kty': 'OKP', 'crv': 'Ed25519', 'x': fresh.jwk()['x']}}  # TK-20
    assert 'cnf' not in body or 'd' not in body['cnf'].get('jwk', {})


@pytest.mark.parametrize('fault', ['other key', 'other client', 'other server', 'over', 'too long', 'replayed'])
def test_a_faulty_proof_is_refused(site, fault):
    fresh = jose.Ed25519()
    now = int(time.time())
    proof = {
        'other key': lambda: site.proof(jose.Ed25519(), 'c1'),
        'other client': lambda: site.proof(fresh, 'k1'),
        'other server': lambda: site.proof(fresh, 'c1', aud='https://other.example/token'),
        'over': lambda: site.proof(fresh, 'c1', iat=now - 900, exp=now - 600),
        'too long': lambda: site.proof(fresh, 'c1', exp=now + 7200),
        'replayed': lambda: site.proof(fresh, 'c1'),
    }[fault]()
    if fault == 'replayed':
        granted(bound(site, fresh.jwk(), req_cnf_proof=proof))
    refused(bound(site, fresh.jwk(), req_cnf_proof=proof), 400, 'invalid_request')


def test_the_key_of_the_assertion_is_proved_by_it(site):
    body = dict(site.credentials(site.k1), audience=AUDIENCE, req_cnf={'jwk': site.k1.key.jwk()})
    granted(post_json(site, body))


def test_a_symmetric_key_by_value_is_refused(site):
    """AF-41"""
    refused(bound(site, {'kty': 'oct', 'k': jose.b64(os.urandom(32))}), 400, 'invalid_request')


def test_a_private_key_in_req_cnf_is_refused(site):
    """TK-56"""
    answer = bound(site, jose.Ed25519().jwk(private=True))
    assert answer[0] == 400 and answer[2]['error'] in ('invalid_request', 'unsupported_pop_key')
    assert 'TK-56' in answer[2]['error_description']


@pytest.mark.parametrize('jwk', [
    {'kty': 'RSA', 'n': 'AQAB', 'e': 'AQAB'}, {'kty': 'OKP', 'crv': 'X25519', 'x': jose.b64(bytes(32))},
    {'kty': 'EC', 'crv': 'P-521', 'x': 'AA', 'y': 'AA'}], ids=lambda k: k['kty'])
def test_a_key_the_broker_cannot_use_is_unsupported(site, jwk):
    """AF-52"""
    refused(bound(site, jwk), 400, 'unsupported_pop_key')


def test_a_weak_key_is_refused(site):
    """TK-60: the Ed25519 point of order one"""
    answer = bound(site, {'kty': 'OKP', 'crv': 'Ed25519', 'x': jose.b64(b'\x01' + bytes(31))})
    assert answer[0] == 400 and answer[2]['error'] in ('invalid_request', 'unsupported_pop_key')


# ---- rude bodies: 400 with the OAuth error, never more ----

@pytest.mark.parametrize('data', [
    '', '{', '[]', '"x"', '{"client_id":1}', '{"a":1,"a":2}', '{"audience":"\\ud800"}', '[' * 100, '{"a":' * 40 + '1' + '}' * 40,
    '{} x', '\x00', '{"client_id":"c1","client_secret":"\\u0000"}'], ids=lambda d: repr(d)[:24])
def test_malformed_json(site, data):
    """TK-48, TK-49"""
    code, _, body = token_curl(site, '-H', 'Content-Type: application/json', '--data-binary', '@-', data=data)
    assert (code, body['error']) in ((400, 'invalid_request'), (401, 'invalid_client'))


@pytest.mark.parametrize('data', ['client_id=c1&client_id=c1', 'client_id=%zz', '&&&===', 'a' * 5000, '%00=%00'],
                         ids=lambda d: d[:24])
def test_malformed_forms(site, data):
    """RFC 6749 3.2"""
    code, _, body = token_curl(site, '-d', data)
    assert (code, body['error']) in ((400, 'invalid_request'), (401, 'invalid_client'), (413, 'invalid_request'))


def test_a_body_beyond_the_limit_is_cut_off(site):
    code, _, _ = curl(site.ca, '-H', 'Content-Type: application/json', '-H', 'Expect:', '--data-binary', '@-',
                      site.url + '/token', data='{"a":"' + 'x' * 200000 + '"}')
    assert code == 413


def test_media_type_and_method(site):
    assert token_curl(site, '-H', 'Content-Type: text/plain', '-d', 'x')[0] == 415
    code, headers, _ = curl(site.ca, site.url + '/token')
    assert (code, headers['allow']) == (405, 'POST')
    assert curl(site.ca, site.url + '/nothing')[0] == 404


# ---- what anybody may read ----

def test_metadata(site):
    """RFC 8414 2 and 3.3"""
    code, headers, body = curl(site.ca, site.url + '/.well-known/oauth-authorization-server')
    said = json.loads(body)
    assert code == 200 and headers['content-type'].startswith('application/json')
    assert said['issuer'] == site.url
    for name, path in (('token_endpoint', '/token'), ('introspection_endpoint', '/introspect'),
                       ('revocation_endpoint', '/revoke'), ('jwks_uri', '/jwks.json')):
        assert said[name] == site.url + path
    assert said['grant_types_supported'] == ['client_credentials', 'refresh_token']
    assert {'client_secret_basic', 'client_secret_post', 'private_key_jwt', 'self_signed_tls_client_auth'} <= \
        set(said['token_endpoint_auth_methods_supported'])


def test_key_set_and_rotation(site):
    """RFC 7517 5: the new key signs, the old one stays while a token of it lives"""
    granted(post_json(site, dict(site.credentials(site.k1), audience=AUDIENCE, req_cnf={'kid': 'k1-key'})))
    before = json.loads(curl(site.ca, site.url + '/jwks.json')[2])['keys']
    assert all('d' not in key and key['kty'] == 'OKP' for key in before)
    site.admin('keys.rotate')
    after = json.loads(curl(site.ca, site.url + '/jwks.json')[2])['keys']
    assert {k['kid'] for k in before} < {k['kid'] for k in after}
    body = granted(post_json(site, dict(site.credentials(site.k1), audience=AUDIENCE, req_cnf={'kid': 'k1-key'})))
    header = json.loads(jose.unb64(body['access_token'].split('.')[0]))
    assert header['kid'] not in {k['kid'] for k in before}


# ---- introspection and revocation ----

@pytest.fixture(scope='module')
def refs(site):
    """The resource server for reference tokens, with a secret we know."""
    secret = site.admin('rs.rotate-secret', rs_id='refs.example')['rs_secret']
    return 'refs.example', secret


def introspect(site, user, token):
    return token_curl(site, '-u', '%s:%s' % user, '--data-urlencode', 'token=' + token, path='/introspect')


def test_introspection_of_a_reference_token(site, refs):
    """RFC 7662, AF-45, AF-84"""
    token = granted(ask(site, audience='refs.example', scope=[['plant/a', ['sub']]]))
    assert '.' not in token['access_token']
    code, headers, body = introspect(site, refs, token['access_token'])
    assert code == 200 and headers['cache-control'] == 'no-store' and body['active'] is True
    assert body['cnf']['jwk']['k'] == token['cnf']['jwk']['k']
    assert body['client_id'] == 'c1' and body['aud'] == 'refs.example' and body['exp'] > time.time()


def test_introspection_tells_only_the_entitled(site, refs):
    """AF-82, AF-83, AF-85"""
    mine = granted(ask(site))['access_token']
    assert introspect(site, refs, mine)[2] == {'active': False}  # for another audience
    assert introspect(site, refs, 'unknown')[2] == {'active': False}
    refused(introspect(site, ('refs.example', 'wrong'), mine), 401, 'invalid_client')
    code, _, body = introspect(site, ('c1', site.c1.secret), mine)
    assert (code, body) == (403, None)


def test_revocation(site, refs):
    """RFC 7009 2.1, 2.2"""
    token = granted(ask(site, audience='refs.example'))['access_token']
    form = ('-u', 'c1:' + site.c1.secret, '--data-urlencode', 'token=' + token)
    assert token_curl(site, '-u', 'stranger:' + site.stranger.secret, '--data-urlencode', 'token=' + token,
                      path='/revoke')[0] == 400
    assert introspect(site, refs, token)[2]['active'] is True
    assert token_curl(site, *form, path='/revoke')[0] == 200
    assert introspect(site, refs, token)[2] == {'active': False}
    assert token_curl(site, *form, path='/revoke')[0] == 200
    assert token_curl(site, '-u', 'c1:' + site.c1.secret, '-d', 'token=unknown', path='/revoke')[0] == 200
    refused(token_curl(site, '-u', 'c1:' + site.c1.secret, '-d', 'x=y', path='/revoke'), 400, 'invalid_request')


def test_removing_a_client_ends_its_tokens(site, refs):
    leaver = site.add_client('leaver')
    token = site.token(leaver, 'refs.example')['access_token']
    assert introspect(site, refs, token)[2]['active'] is True
    site.admin('client.remove', client_id='leaver')
    assert introspect(site, refs, token)[2] == {'active': False}


# ---- enrolment ----

def enroll(site, code, key, client_id=None, **members):
    now = int(time.time())
    claims = {'aud': site.url + '/enroll', 'iat': now, 'exp': now + 60, 'jti': jose.b64(os.urandom(16))}
    body = {'code': code, 'jwk': {k: v for k, v in key.jwk().items() if k != 'use'}}
    if client_id is not None:
        body['client_id'] = claims['client_id'] = client_id
    body['proof'] = jose.jws(key, claims, typ='req-cnf+jwt')
    body.update(members)
    return post_json(site, body, path='/enroll')


def test_a_code_registers_one_key_once(site):
    code = site.admin('enroll.create', client_id='newcomer', ttl_s=60)['code']
    key = jose.Ed25519()
    answer = enroll(site, code, key, 'newcomer')
    assert answer[0] in (200, 201), answer
    assert answer[2]['client_id'] == 'newcomer'
    key.kid = None
    client = type(site.c1)('newcomer', key=key)
    granted(post_json(site, dict(site.credentials(client), audience=AUDIENCE)))
    assert enroll(site, code, jose.Ed25519(), 'newcomer')[0] == 400


def test_a_code_needs_the_key_that_is_registered(site):
    code = site.admin('enroll.create', client_id='careful', ttl_s=60)['code']
    answer = enroll(site, code, jose.Ed25519(), 'careful', jwk=jose.Ed25519().jwk())
    assert answer[0] in (400, 401), answer
    refused(enroll(site, 'A' * 43, jose.Ed25519(), 'careful'), 400, 'invalid_grant')
    assert enroll(site, code, jose.Ed25519(), 'careful')[0] in (200, 201)


# ---- limits ----

def test_guessing_is_slowed_down(site):
    """auth.failures_per_minute"""
    site.add_client('guessed')
    codes = []
    while len(codes) < 100 and codes[-1:] != [429]:  # more than 10, as time allows one more
        codes.append(token_curl(site, '-u', 'guessed:%d' % len(codes), '-d', 'audience=x')[0])
    assert codes[:10] == [401] * 10 and codes[-1] == 429
    answer = curl(site.ca, '-u', 'guessed:x', '-d', 'audience=x', site.url + '/token')
    assert int(answer[1]['retry-after']) > 0


def test_every_refusal_is_one_log_event(site):
    fields = {'client_id': 'c1', 'error': 'unsupported_grant_type'}  # lines of requests before may still be on their way
    before = len(site.daemon.find('request_refused', **fields))
    refused(ask(site, grant_type='password'), 400, 'unsupported_grant_type')
    site.daemon.event('request_refused', before + 1, **fields)
    assert len(site.daemon.find('request_refused', **fields)) == before + 1
    assert site.c1.secret not in site.daemon.log()
