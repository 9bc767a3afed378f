"""tests/vectors/ace-mqtt is for others: what its README says is enough to take the vectors apart and to make them anew,
with the standard library, openssl and cbor2 alone. Where tshark is installed, the captures show MQTT in it."""
import base64
import glob
import hashlib
import hmac
import itertools
import json
import os
import shutil
import subprocess

import cbor2
import jose_by_hand as jose
import mqtt5
import pytest
from world import ROOT, WAIT

FOLDER = os.path.join(ROOT, 'tests', 'vectors', 'ace-mqtt')
VECTORS = json.load(open(os.path.join(FOLDER, 'vectors.json'), encoding='utf-8'))
DER = {'OKP': '302a300506032b6570032100', 'EC': '3059301306072a8648ce3d020106082a8648ce3d03010703420004'}


def by_name(member, value='hex'):
    return {row['name']: bytes.fromhex(row[value]) for row in VECTORS[member]}


def holds(jwk, message, proof, scratch):
    """Whether the proof is the key's over the message."""
    if jwk['kty'] == 'oct':
        return hmac.compare_digest(proof, hmac.new(jose.unb64(jwk['k']), message, hashlib.sha256).digest())
    spki = bytes.fromhex(DER[jwk['kty']]) + jose.unb64(jwk['x']) + jose.unb64(jwk.get('y', ''))
    if jwk['kty'] == 'EC':  # r||s, in the form openssl reads
        numbers = [n.lstrip(b'\0') for n in (proof[:32], proof[32:])]
        numbers = [b'\0' * (n[0] >> 7) + n for n in numbers]
        body = b''.join(bytes([2, len(n)]) + n for n in numbers)
        proof = bytes([0x30, len(body)]) + body
    for name, data in (('key', spki), ('proof', proof), ('message', message)):
        (scratch / name).write_bytes(data)
    words = ['pkeyutl', '-verify', '-pubin', '-keyform', 'DER', '-inkey', 'key', '-sigfile', 'proof', '-rawin', '-in', 'message']
    if jwk['kty'] == 'EC':
        words += ['-digest', 'sha256']
    return subprocess.run(['openssl', *words], cwd=scratch, capture_output=True, timeout=WAIT).returncode == 0


@pytest.fixture(scope='module')
def said():
    """What the README says the inputs of a proof are."""
    given = by_name('inputs')
    return {'over_exporter': given['exporter'], 'over_nonces': given['rs_nonce'] + given['client_nonce']}


def test_each_proof_is_the_keys_over_what_the_readme_says(said, tmp_path):
    """MT-57, MT-63"""
    keys = {k['name']: k['jwk'] for k in VECTORS['keys']}
    for proof in VECTORS['proofs']:
        for what, message in said.items():
            assert holds(keys[proof['name']], message, bytes.fromhex(proof[what]), tmp_path), (proof['name'], what)
            assert not holds(keys[proof['name']], message + b'x', bytes.fromhex(proof[what]), tmp_path)


def test_authentication_data_is_put_together_as_the_readme_says():
    """layouts A, B, C, D9, D6, R"""
    given = by_name('inputs')
    tokens = {t['name']: (bytes.fromhex(t['hex']), t['bound_to']) for t in VECTORS['tokens']}
    proofs = {p['name']: [bytes.fromhex(p[k]) for k in ('over_exporter', 'over_nonces')] for p in VECTORS['proofs']}
    for row in VECTORS['authentication_data']:
        token, key = tokens[row['token']]
        token, (exporter, nonces) = mqtt5.prefixed(token), proofs[key]
        layouts = {'A': token + exporter, 'B': token, 'R': token, 'C': given['rs_nonce'], 'D9': given['client_nonce'] + nonces,
                   'D6': mqtt5.prefixed(given['client_nonce']) + nonces}
        assert row['hex'] == layouts[row['name']].hex(), row['name']


def test_the_scope_is_one_in_three_carriages():
    json_form, text, cbor = VECTORS['scope']
    assert json.loads(jose.unb64(text['text'])) == json_form['json'] == cbor2.loads(bytes.fromhex(cbor['hex']))


def test_tokens_hold_what_the_readme_says(tmp_path):
    """signed by `issuer`, bound to the key named; a CWT is tag 61 around tag 18"""
    keys = {k['name']: k['jwk'] for k in VECTORS['keys']}
    tokens = {t['name']: t for t in VECTORS['tokens']}
    signed, _, signature = tokens['jws']['text'].rpartition('.')
    assert holds(keys['issuer'], signed.encode(), jose.unb64(signature), tmp_path)
    claims = json.loads(jose.unb64(signed.split('.')[1]))
    assert (claims['iss'], claims['aud']) == ('https://as.example', 'broker.example')
    assert claims['cnf']['jwk']['x'] == keys[tokens['jws']['bound_to']]['x']
    cwt = cbor2.loads(bytes.fromhex(tokens['cwt']['hex']))
    assert cwt.tag == 61 and cwt.value.tag == 18
    protected, _, payload, signature = cwt.value.value
    assert holds(keys['issuer'], cbor2.dumps(['Signature1', protected, b'', payload]), signature, tmp_path)
    claims = cbor2.loads(payload)
    assert (claims[1], claims[3], claims[8][1][-2].hex()) == (
        'https://as.example', 'broker.example', jose.unb64(keys['pop_ed25519']['x']).hex())
    for token in tokens.values():
        assert hashlib.sha256(bytes.fromhex(token['hex'])).hexdigest() == token['sha256']


def test_mqtt_3_1_1_carries_the_same(said):
    """MT-122, MT-123: user name `ace` and the token, password the proof over the exporter"""
    tokens = {t['name']: bytes.fromhex(t['hex']) for t in VECTORS['tokens']}
    names = {r['name']: r['user_name'][3:] for r in VECTORS['mqtt311']}
    assert all(r['user_name'].startswith('ace') for r in VECTORS['mqtt311'])
    assert names['RFC 9431, jws'] == jose.b64(tokens['jws']) and names['RFC 9431, cwt'] == jose.b64(tokens['cwt'])
    assert names['draft-06, jws as it is'].encode() == tokens['jws']
    assert base64.b64decode(names['draft-06, cwt in Base64']) == tokens['cwt']
    for row in VECTORS['mqtt311']:
        tail = mqtt5.prefixed(row['user_name']) + mqtt5.prefixed(bytes.fromhex(row['password']))
        assert bytes.fromhex(row['connect']).endswith(tail)


def test_the_subset_rule_is_what_it_is_said_to_be():
    """every topic the asked filter matches, the granted one matches: tried with all short topics over the filters' words"""
    words = {w for row in VECTORS['subset'] for f in (row['granted'], row['asked']) for w in f.split('/')} - {'+', '#'}
    words |= {'other'}
    topics = [list(t) for n in range(1, 5) for t in itertools.product(sorted(words), repeat=n) if t != ('',)]

    def match(pattern, topic):
        if pattern[:1] == ['#']:
            return True
        if not pattern or not topic:
            return not pattern and not topic
        return pattern[0] in ('+', topic[0]) and match(pattern[1:], topic[1:])

    def matches(pattern, topic):
        if topic[0].startswith('$') and pattern.split('/')[0] in ('+', '#'):
            return False
        return match(pattern.split('/'), topic)

    for row in VECTORS['subset']:
        asked = [t for t in topics if matches(row['asked'], t)]
        assert all(matches(row['granted'], t) for t in asked) == row['allowed'], row


@pytest.mark.skipif(shutil.which('tshark') is None, reason='tshark is not installed')
@pytest.mark.parametrize('path', sorted(glob.glob(os.path.join(FOLDER, 'captures', '*.pcapng'))), ids=os.path.basename)
def test_wireshark_opens_the_captures_and_shows_mqtt(path):
    def count(what):
        done = subprocess.run(['tshark', '-r', path, '-Y', what], capture_output=True, text=True, timeout=4 * WAIT)
        return len(done.stdout.splitlines())

    assert count('mqtt') >= 4 and count('mqtt.msgtype == 1') >= 1 and count('_ws.malformed') == 0
