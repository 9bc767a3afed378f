"""Revocation reaches live connections: from a command at the authorization server to the DISCONNECT at a client of one of
several brokers (RFC 9770), through restarts of either."""
import os
import signal
import time

import jose_by_hand as jose
import mqtt5
import pytest
from mqtt5 import CONNACK, DISCONNECT, PINGRESP, PUBACK, PUBLISH, SUBACK, Client

pytestmark = pytest.mark.threads
SOON = 30  # measured are milliseconds; who is not told waits for a minute, until its request is answered and it asks again


@pytest.fixture(scope='module')
def brokers(as_server, make_broker):
    made = [make_broker(as_server=as_server, audience='broker-%d' % n, workers=2, **{'token.skew': '0', 'revocation.wait': '60s'}) for n in range(2)]
    for n, broker in enumerate(made):
        as_server.allow('group:devices', 'broker-%d' % n, 'a/#', 'pub', 'sub')
        broker.daemon.event('status_feed_started')
    return made


class Device:
    """A client of the server with a token and a session that rests on it."""

    def __init__(self, server, broker, name, groups=('devices',), **more):
        self.server, self.broker, self.name, self.key = server, broker, name, jose.Ed25519()
        self.principal = server.add_client(name, groups=list(groups))
        self.token = server.token(self.principal, broker.audience, key=self.key)['access_token']
        self.client = None
        self.connect(**more)

    def try_connect(self, **more):
        self.client = Client(self.broker.port, self.broker.ca)
        return self.client.open_ace(self.name, self.token, self.key, **more)

    def connect(self, **more):
        got = self.try_connect(**more)
        assert got.kind == CONNACK and got.reason == 0, got

    def subscribe(self, *filters):
        self.client.send(mqtt5.subscribe(1, [(f, 0) for f in filters]))
        return self.client.expect(SUBACK).codes

    def expect_cut(self, since):
        got = self.client.expect(DISCONNECT)
        assert got.reason == 0x87 and 'revoked' in got.why, got
        assert time.monotonic() - since < SOON
        self.client.expect_closed()

    def expect_alive(self):
        self.client.send(mqtt5.PING)
        self.client.expect(PINGRESP)


def test_a_revoked_token_is_cut_at_once_and_does_not_come_back(as_server, brokers):
    """MT-98, AF-98: one token of one client; everybody else stays"""
    devices = [Device(as_server, brokers[n % 2], 'cut-%d' % n) for n in range(4)]
    since = time.monotonic()
    as_server.admin('token.revoke', client_id='cut-1')
    devices[1].expect_cut(since)
    assert devices[1].try_connect().reason == 0x87
    for n in (0, 2, 3):
        devices[n].expect_alive()
    brokers[1].daemon.event('token_revoked', client_id='cut-1')


def test_a_removed_client_is_cut_from_every_broker(as_server, brokers):
    """the client goes; its tokens at both brokers go with it"""
    first = Device(as_server, brokers[0], 'gone')
    second = Client(brokers[1].port, brokers[1].ca)
    token = as_server.token(first.principal, 'broker-1', key=first.key)['access_token']
    assert second.open_ace('gone', token, first.key).reason == 0
    since = time.monotonic()
    as_server.admin('client.remove', client_id='gone')
    first.expect_cut(since)
    got = second.expect(DISCONNECT)
    assert got.reason == 0x87 and time.monotonic() - since < SOON


def test_a_will_is_published_when_its_client_is_cut(as_server, brokers):
    """MT-112"""
    watcher = Device(as_server, brokers[0], 'watcher')
    assert watcher.subscribe('a/will') == [0]
    victim = Device(as_server, brokers[0], 'victim', will=('a/will', 'cut', 0, False, {}))
    as_server.admin('token.revoke', client_id='victim')
    assert watcher.client.expect(PUBLISH).payload == b'cut'
    victim.client.expect(DISCONNECT)


def test_a_policy_change_narrows_live_sessions(as_server, brokers):
    """MT-107: what policy no longer grants goes, and the rest of the session goes on; a client that comes back with the
    same token finds the same"""
    extra = as_server.allow('group:guests', 'broker-0', 'b/#', 'pub', 'sub')
    device = Device(as_server, brokers[0], 'narrow', groups=('devices', 'guests'))
    assert device.subscribe('a/1', 'b/1') == [0, 0]
    since = time.monotonic()
    as_server.admin('policy.remove', id=extra)
    brokers[0].daemon.event('token_changed', client_id='narrow')
    assert time.monotonic() - since < SOON
    other = Device(as_server, brokers[0], 'narrow-other')
    other.client.send(mqtt5.publish('a/1', 'still'))
    assert device.client.expect(PUBLISH).payload == b'still'
    device.client.send(mqtt5.publish('b/1', 'no', qos=1, packet_id=1))
    assert device.client.expect(PUBACK).reason == 0x87
    device.client.close()
    device.connect()
    assert device.subscribe('a/1', 'b/1') == [0, 0x87]


def test_a_revocation_while_the_broker_is_away_waits_for_it(as_server, make_broker):
    """RFC 9770 10: the list is read whole at the start"""
    broker = make_broker(as_server=as_server, audience='sleeper', workers=2)
    as_server.allow('group:devices', 'sleeper', 'a/#', 'pub', 'sub')
    device = Device(as_server, broker, 'dreamer')
    broker.daemon.stop()
    as_server.admin('token.revoke', client_id='dreamer')
    broker.start()
    broker.daemon.event('token_status_news', list='whole')
    assert device.try_connect().reason == 0x87


def test_an_authorization_server_that_goes_and_comes_back_is_followed_again(as_server, brokers):
    """a dead server cuts nobody; what it was told before it died, and what it is told after, arrives"""
    first, second = Device(as_server, brokers[0], 'patient-1'), Device(as_server, brokers[0], 'patient-2')
    as_server.restart(kill=True)
    first.expect_alive()
    as_server.admin('token.revoke', client_id='patient-1')
    assert first.client.expect(DISCONNECT).reason == 0x87
    since = time.monotonic()
    brokers[0].daemon.event('status_feed_restored')
    as_server.admin('token.revoke', client_id='patient-2')
    second.expect_cut(max(since, time.monotonic() - SOON))


def test_statistics_are_logged_on_demand(as_server, brokers):
    """the counters of all workers, by name"""
    os.kill(brokers[0].daemon.process.pid, signal.SIGUSR1)
    got = brokers[0].daemon.event('statistics').fields
    assert int(got['tokens_revoked']) >= 1 and int(got['tokens_changed']) >= 1
    assert int(got['connections_authorized']) >= 0 and 'refusals' in got


@pytest.mark.parametrize('token_format', ['cwt', 'reference'])
def test_other_forms_of_tokens_are_narrowed_and_cut_alike(as_server, make_broker, token_format):
    """RFC 9770 4, MT-107: a token is known by what the broker was handed, bytes or text"""
    audience = 'forms-' + token_format
    broker = make_broker(as_server=as_server, audience=audience, workers=2)
    as_server.admin('rs.set', rs_id=broker.issuers[-1]['client_id'], token_format=token_format)
    as_server.allow('group:formers', audience, 'a/#', 'pub', 'sub')
    extra = as_server.allow('group:formers', audience, 'b/#', 'pub', 'sub')
    name, key = 'former-' + token_format, jose.Ed25519()
    token = as_server.token(as_server.add_client(name, groups=['formers']), audience, key=key)['access_token']
    client = Client(broker.port, broker.ca)
    presented = jose.unb64(token) if token_format == 'cwt' else token
    got = client.open_ace(name, presented, key)
    assert got.kind == CONNACK and got.reason == 0, got
    client.send(mqtt5.subscribe(1, [('a/1', 0), ('b/1', 0)]))
    assert client.expect(SUBACK).codes == [0, 0]
    broker.daemon.event('status_feed_started')
    as_server.admin('policy.remove', id=extra)
    broker.daemon.event('token_changed', client_id=name)
    client.send(mqtt5.publish('b/1', 'no', qos=1, packet_id=1))
    assert client.expect(PUBACK).reason == 0x87
    since = time.monotonic()
    as_server.admin('token.revoke', client_id=name)
    got = client.expect(DISCONNECT)
    assert got.reason == 0x87 and time.monotonic() - since < SOON
