"""Shared subscriptions over real sockets and workers (MQTT5 4.8.2): mosquitto_sub as members, and members that go in
the middle of everything."""
import subprocess

import pytest
from mqtt5 import CONNACK, PINGRESP, PUBACK, PUBLISH, SUBACK, Client
import mqtt5
from world import WAIT, wait_for

PUBLIC = [['work/#', ['pub', 'sub']]]


@pytest.fixture(scope='module', params=[1, 3], ids=['1 worker', '3 workers'])
def broker(request, make_broker):
    return make_broker(workers=request.param, public=PUBLIC, **{'session.guest_max_expiry': '5m'})


class Member:
    """A mosquitto_sub that says when it is subscribed, and what came."""

    def __init__(self, broker, name, *words, version='5'):
        self.got = []
        self.process = subprocess.Popen(
            ['stdbuf', '-oL', 'mosquitto_sub', '-d', '-V', version, '-h', 'localhost', '-p', str(broker.port), '--cafile',
             broker.ca, '-i', name, '-F', 'message %p', *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while 'SUBACK' not in self._line():
            pass

    def _line(self):
        line = self.process.stdout.readline()
        assert line, 'mosquitto_sub has ended'
        return line

    def take(self, count):
        while len(self.got) < count:
            line = self._line()
            if line.startswith('message '):
                self.got.append(line.removeprefix('message ').strip())

    def close(self):
        self.process.terminate()
        rest = self.process.communicate(timeout=WAIT)[0]
        self.got += [line.removeprefix('message ') for line in rest.splitlines() if line.startswith('message ')]


def mosquitto_pub(broker, *words, stdin=None):
    done = broker.mosquitto('pub', *words, stdin=stdin)
    assert done.returncode == 0, done.stderr


def member(broker, client_id, share, qos=1, **more):
    client = Client(broker.port, broker.ca)
    assert client.open(client_id, **more).reason == 0
    client.send(mqtt5.subscribe(1, [(share, qos)]))
    assert client.expect(SUBACK).codes == [qos]
    return client


@pytest.mark.parametrize('qos', [0, 1, 2])
def test_mosquittos_divide_the_work(broker, qos):
    """[MQTT-4.8.2-3]; one of the three speaks 3.1.1, another has a copy of everything besides"""
    share = '$share/team%d/work/+/#' % qos
    members = [Member(broker, 'sub-%d-%d' % (qos, n), '-t', share, '-q', str(qos), version='311' if n == 2 else '5')
               for n in range(3)]
    witness = Member(broker, 'witness-%d' % qos, '-t', 'work/#', '-q', str(qos))
    texts = ['%d' % n for n in range(60)]
    mosquitto_pub(broker, '-t', 'work/a/b', '-q', str(qos), '-l', stdin='\n'.join(texts) + '\n')
    for one in members:
        one.take(20)
    witness.take(60)
    for one in [*members, witness]:
        one.close()
    assert [len(one.got) for one in members] == [20, 20, 20]
    assert sorted(sum((one.got for one in members), []), key=int) == texts
    assert witness.got == texts
    for one in members:
        assert one.got == sorted(one.got, key=int)


def test_what_waits_goes_to_whoever_comes_back_first(broker):
    share = '$share/sleepers/work/#'
    for name in ('sleeper-1', 'sleeper-2'):
        member(broker, name, share, session_expiry=100).close()
        broker.daemon.event('client_disconnected', client_id=name)
    mosquitto_pub(broker, '-t', 'work/x', '-q', '1', '-m', 'for one of you')
    with Client(broker.port, broker.ca) as back:
        assert back.open('sleeper-2', clean=False, session_expiry=0).session_present
        got = back.expect(PUBLISH)
        assert got.payload == b'for one of you' and not got.dup
        back.send(mqtt5.answer(PUBACK, got.packet_id))
        assert back.quiet()
    with Client(broker.port, broker.ca) as other:
        assert other.open('sleeper-1', clean=False, session_expiry=0).session_present
        assert other.quiet()


def take_messages(client, acknowledge=True, most=None):
    """What is there by the time a PINGRESP comes; acknowledged or not."""
    got = []
    if most is None:
        client.send(mqtt5.PING)
    while most is None or len(got) < most:
        packet = client.receive()
        if packet.kind == PINGRESP:
            break
        assert packet.kind == PUBLISH
        got.append(packet.payload.decode())
        if acknowledge:
            client.send(mqtt5.answer(PUBACK, packet.packet_id))
    return got


@pytest.mark.threads
def test_nothing_is_lost_when_members_go_in_the_middle(broker):
    """MQTT5 4.8.2: QoS 1 of a session that ends goes to another client; what was acknowledged came once"""
    share = '$share/brave/work/#'
    members = [member(broker, 'brave-%d' % n, share, receive_maximum=8) for n in range(6)]
    with Client(broker.port, broker.ca) as writer:
        assert writer.open('writer').reason == 0
        for n in range(200):
            writer.send(mqtt5.publish('work/x', '%d' % n, qos=1, packet_id=n + 1))
        lost = take_messages(members[0], acknowledge=False, most=8)
        kept = take_messages(members[1], most=20)
        members[0].close()
        members[1].close()
        for n in range(200):
            assert writer.expect(PUBACK).packet_id == n + 1
    assert len(lost) == 8
    left = []

    def all_there():
        left.extend(sum((take_messages(one) for one in members[2:]), []))
        return len(set(left) | set(kept)) >= 200
    wait_for(all_there)
    left += sum((take_messages(one) for one in members[2:]), [])
    assert set(left) | set(kept) == {'%d' % n for n in range(200)}
    assert len(left) == len(set(left)), 'twice'
    assert set(lost) <= set(left), 'the unacknowledged ones went to others'
    for one in members[2:]:
        one.close()


def test_switched_off(make_broker):
    """MQTT5 3.2.2.3.13, 3.9.3"""
    broker = make_broker(public=PUBLIC, shared_subscriptions='false')
    with Client(broker.port, broker.ca) as client:
        client.send(mqtt5.connect('off'))
        assert client.expect(CONNACK).props['shared_available'] == 0
        client.send(mqtt5.subscribe(1, [('$share/g/work/#', 1), ('work/#', 1)]))
        assert client.expect(SUBACK).codes == [0x9E, 1]
