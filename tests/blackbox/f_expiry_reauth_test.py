"""The life of a grant: it ends when the token ends, in the middle of a session, unless it is renewed there."""
import struct
import time

import jose_by_hand as jose
import mqtt5
import pytest
from mqtt5 import AUTH, CONNACK, DISCONNECT, PUBACK, PUBLISH, SUBACK, Client, Closed
from world import WAIT

pytestmark = pytest.mark.threads
AUDIENCE = 'broker.example'
ISSUER = 'https://as.test'
SIGNER = jose.Ed25519('signer-1')
POP = jose.Ed25519()


@pytest.fixture(scope='module')
def broker(make_broker):
    return make_broker(audience=AUDIENCE, workers=2, issuers=[{'iss': ISSUER, 'jwks': {'keys': [SIGNER.jwk()]}}],
                       public=[['public/#', ['pub', 'sub']]], **{'token.skew': '0'})


def token(life, scope=(('a/#', ('pub', 'sub')),), sub='c', pop=POP):
    now = int(time.time())
    return jose.jws(SIGNER, {'iss': ISSUER, 'aud': AUDIENCE, 'sub': sub, 'client_id': sub, 'iat': now, 'exp': now + life,
                             'scope': jose.scope_text(scope), 'cnf': {'jwk': pop.jwk()}})


def opened(broker, life=600, client_id='c', **more):
    client = Client(broker.port, broker.ca)
    scope = more.pop('scope', (('a/#', ('pub', 'sub')),))
    got = client.open_ace(client_id, token(life, scope, client_id), POP, **more)
    assert got.kind == CONNACK and got.reason == 0, got
    return client


def in_time(story):
    """story(life of a token): told again with a longer life if the token ended before it was over, as on a slow machine."""
    for life in (3, 9, 27):
        end = int(time.time()) + life
        try:
            return story(life)
        except (AssertionError, Closed):
            if time.time() < end:
                raise
    raise AssertionError('it ended too early each time')


def test_expiry_cuts_the_session_with_its_reason(broker):
    """MT-100, MT-101, MT-112: DISCONNECT 0x87 at exp, by a timer; the Will is published though the token is over"""
    watcher = opened(broker, client_id='watcher')
    watcher.send(mqtt5.subscribe(1, [('a/will', 0)]))
    watcher.expect(SUBACK)
    begin = time.monotonic()
    client = in_time(lambda life: opened(broker, life, 'short', will=('a/will', 'gone', 0, False, {})))
    got = client.expect(DISCONNECT)
    assert got.reason == 0x87 and 'expired' in got.why
    assert time.monotonic() - begin > 1.5
    client.expect_closed()
    assert watcher.expect(PUBLISH).payload == b'gone'
    watcher.close()


def test_renewal_carries_the_session_over_the_end(broker):
    """MT-102, MT-105, MT-106"""
    def story(life):
        client = opened(broker, life, 'renewer')
        client.send(mqtt5.subscribe(1, [('a/kept', 1)]))
        assert client.expect(SUBACK).codes == [1]
        got = client.reauthenticate(token(600, sub='renewer'), POP)
        assert got.kind == AUTH and got.reason == 0, got
        return client, life
    client, life = in_time(story)
    end = in_time(lambda more: opened(broker, life + more, 'clock'))  # its end comes after the first token's
    end.expect(DISCONNECT, 2 * WAIT)
    client.send(mqtt5.publish('a/kept', 'still here', qos=1, packet_id=1))
    kinds = {client.receive().kind, client.receive().kind}
    assert kinds == {PUBLISH, PUBACK}
    client.close()


def test_renewal_replaces_the_rights(broker):
    """MT-107: narrower means narrower; what is no longer covered is dropped"""
    client = opened(broker, client_id='narrowed')
    client.send(mqtt5.subscribe(1, [('a/x', 0), ('a/y', 0)]))
    assert client.expect(SUBACK).codes == [0, 0]
    got = client.reauthenticate(token(600, [['a/x', ['pub', 'sub']], ['a/y', ['pub']]], 'narrowed'), POP)
    assert got.kind == AUTH and got.reason == 0, got
    client.send(mqtt5.publish('a/y', 'unseen'), mqtt5.publish('a/x', 'seen'))
    assert client.expect(PUBLISH).payload == b'seen'
    client.send(mqtt5.publish('a/z', 'no', qos=1, packet_id=2))
    assert client.expect(PUBACK).reason == 0x87
    client.close()


def test_a_failed_renewal_ends_the_session(broker):
    """MT-105: DISCONNECT 0x87"""
    for bad in (token(-600), token(600, pop=jose.Ed25519()), 'garbage'):
        client = opened(broker, client_id='failing')
        got = client.reauthenticate(bad, POP)
        assert got.kind == DISCONNECT and got.reason == 0x87 and got.why, got
        client.expect_closed()


def test_renewal_needs_challenge_and_response(broker):
    """MT-61, MT-103: a proof in the AUTH 0x19 itself is not taken"""
    client = opened(broker, client_id='hasty')
    fresh = token(600, sub='hasty').encode()
    client.send(mqtt5.auth(0x19, struct.pack('>H', len(fresh)) + fresh + POP.prove(bytes(32))))
    got = client.receive()
    assert got.kind == DISCONNECT and got.reason in (0x87, 0x82), got
    client.close()


def test_who_never_had_a_token_cannot_renew(broker):
    """MT-104"""
    with Client(broker.port, broker.ca) as client:
        assert client.open('tokenless').reason == 0
        fresh = token(600, sub='tokenless').encode()
        client.send(mqtt5.auth(0x19, struct.pack('>H', len(fresh)) + fresh))
        got = client.receive()
        assert got.kind == DISCONNECT and got.reason in (0x82, 0x87, 0x8C), got


def test_traffic_goes_on_during_renewal(broker):
    """MQTT5 4.12.1: the old rights hold until the new ones are proved"""
    client = opened(broker, client_id='busy')
    fresh = token(600, sub='busy').encode()
    client.send(mqtt5.auth(0x19, struct.pack('>H', len(fresh)) + fresh))
    challenge = client.expect(AUTH).props['authentication_data']
    client.send(mqtt5.publish('a/busy', 'x', qos=1, packet_id=1))
    assert client.expect(PUBACK).reason in (0, 0x10)
    nonce = bytes(8)
    client.send(mqtt5.auth(0x18, nonce + POP.prove(challenge + nonce)))
    got = client.expect(AUTH)
    assert got.reason == 0
    client.close()


def test_a_session_is_not_a_way_around_the_scope(broker):
    """MT-73, MT-74: a continued session is checked against the token of the new connection"""
    client = opened(broker, client_id='returning', session_expiry=300)
    client.send(mqtt5.subscribe(1, [('a/open', 1), ('a/closed', 1)]))
    client.expect(SUBACK)
    client.send(mqtt5.disconnect())
    client.expect_closed()
    writer = opened(broker, client_id='writer')
    for n, topic in enumerate(('a/closed', 'a/open')):
        writer.send(mqtt5.publish(topic, 'waiting', qos=1, packet_id=n + 1))
        writer.expect(PUBACK)
    writer.close()
    client = Client(broker.port, broker.ca)
    got = client.open_ace('returning', token(600, [['a/open', ['sub']]], 'returning'), POP, clean=False, session_expiry=300)
    assert got.kind == CONNACK and got.reason == 0, got
    seen = client.expect(PUBLISH)
    assert seen.topic == 'a/open'
    client.send(mqtt5.answer(PUBACK, seen.packet_id))
    assert client.quiet()
    client.close()


def test_somebody_else_cannot_take_a_session_by_its_name(broker):
    """A Client Identifier in use belongs to the subject that took it"""
    owner = opened(broker, client_id='owned')
    with Client(broker.port, broker.ca) as thief:
        other = jose.Ed25519()
        got = thief.open_ace('owned', token(600, sub='thief', pop=other), other)
        assert got.kind == CONNACK and got.reason in (0x85, 0x87), got
    assert owner.quiet()
    owner.close()


def test_retained_messages_end_with_the_token_of_their_publisher(broker):
    """MT-111, D-27"""
    def story(life):
        client = opened(broker, life, 'keeper')
        client.send(mqtt5.publish('a/retained', 'brief', qos=1, packet_id=1, retain=True))
        assert client.expect(PUBACK).reason in (0, 0x10)
        with opened(broker, client_id='reader') as reader:
            reader.send(mqtt5.subscribe(1, [('a/retained', 0)]), mqtt5.PING)
            reader.expect(SUBACK)
            got = reader.receive()
            assert got.kind == PUBLISH and got.payload == b'brief', got
        return client
    client = in_time(story)
    client.expect(DISCONNECT)
    late = opened(broker, client_id='late reader')
    late.send(mqtt5.subscribe(1, [('a/retained', 0)]))
    late.expect(SUBACK)
    assert late.quiet()
    late.close()


def test_public_topics_need_no_token(broker):
    """MT-21, D-37; and a client with a token has them too"""
    with Client(broker.port, broker.ca) as client:
        assert client.open('').reason == 0
        client.send(mqtt5.subscribe(1, [('public/x', 0), ('a/x', 0)]))
        assert client.expect(SUBACK).codes == [0, 0x87]
    client = opened(broker, client_id='both')
    client.send(mqtt5.subscribe(1, [('public/x', 0), ('a/x', 0), ('#', 0)]))
    assert client.expect(SUBACK).codes == [0, 0, 0x87]
    client.close()
