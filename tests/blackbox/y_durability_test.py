"""What was acknowledged is there after kill -9: real clients, a real disk, no goodbye (docs/operate/durability.md)."""
import os
import resource
import socket
import stat
import subprocess
import time

import mqtt5
import pytest
from mqtt5 import (DISCONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK, Client, Closed, answer, publish,
                   subscribe)
from world import WAIT, Daemon, node, program, wait_for
from y_store_test import export

PUBLIC = [['d/#', ['pub', 'sub']]]
FOR_EVER = 0xFFFFFFFF
QUOTA, SUCCESS, NOBODY = 0x97, 0, 0x10


def start(make_broker, **more):
    settings = {'session.guest_max_expiry': '1h', 'session.max_queue_messages': 20000, 'workers': 2, 'public': PUBLIC}
    return make_broker(**{**settings, **more})


@pytest.fixture(scope='module')
def broker(make_broker):
    return start(make_broker)


def come(broker, name, clean=False, expiry=3600, **more):
    """A client with a session that waits for it; its CONNACK is in `welcome`."""
    client = Client(broker.port, broker.ca)
    client.welcome = client.open(name, clean=clean, session_expiry=expiry, **more)
    assert client.welcome.reason == 0, client.welcome
    return client


def absent(broker, name, topic_filter, qos=1):
    """A session that subscribes and goes away."""
    with come(broker, name, clean=True) as client:
        client.send(subscribe(1, [(topic_filter, qos)]))
        assert client.expect(SUBACK).codes == [qos]


def send(client, topic, payload, packet_id=1, **more):
    client.send(publish(topic, payload, qos=1, packet_id=packet_id, **more))
    return client.expect(PUBACK).reason


def take(client, count):
    """The next messages, each acknowledged."""
    got = []
    while len(got) < count:
        packet = client.expect(PUBLISH)
        got.append(packet.payload.decode())
        if packet.qos == 1:
            client.send(answer(PUBACK, packet.packet_id))
    return got


def crash(broker, **settings):
    broker.settings.update(settings)
    broker.restart(kill=True)


# ---- queues ----

def test_ten_thousand_acknowledged_messages_outlive_kill_9(broker):
    """design 3.3, with mosquitto's clients"""
    wanted = ['message %d' % n for n in range(10000)]
    done = broker.mosquitto('sub', '-c', '-i', 'm-offline', '-x', '3600', '-q', '1', '-t', 'd/many', '-E')
    assert done.returncode == 0, done.stderr
    done = broker.mosquitto('pub', '-q', '1', '-t', 'd/many', '-l', stdin='\n'.join(wanted) + '\n')
    assert done.returncode == 0, done.stderr
    crash(broker)
    restored = broker.daemon.event('store_restored')
    assert int(restored.fields['queued']) >= 10000, restored
    done = broker.mosquitto('sub', '-c', '-i', 'm-offline', '-x', '3600', '-q', '1', '-t', 'd/many', '-C', '10000')
    assert done.stdout.splitlines() == wanted


def test_each_puback_before_the_kill_counts(broker):
    """MQTT5 4.3.2: killed in the middle of a stream, so that some are acknowledged and some are not"""
    absent(broker, 'middle', 'd/stream')
    with come(broker, 'sender', clean=True, expiry=0) as sender:
        acknowledged = set()
        for n in range(1, 3000):
            sender.send(publish('d/stream', str(n), qos=1, packet_id=n))
            if n > 200:
                acknowledged.add(sender.expect(PUBACK).packet_id)
            if len(acknowledged) == 2000:
                break
        broker.daemon.kill()
        try:
            while True:
                packet = sender.receive()
                acknowledged.add(packet.packet_id)
        except (Closed, OSError):
            pass
    broker.start()
    with come(broker, 'sender', clean=True, expiry=0) as sender:
        assert send(sender, 'd/stream', '0') == SUCCESS  # behind all the others
    with come(broker, 'middle') as client:
        assert client.welcome.session_present
        got = []
        while 0 not in got:
            got += [int(p) for p in take(client, 1)]
    assert got.pop() == 0
    assert acknowledged <= set(got)
    assert got == sorted(got) and len(got) == len(set(got))


def test_mqtt_js_of_3_1_1_finds_its_messages(broker):
    """MQTT311 3.1.2.4, 4.1"""
    job = {'port': broker.port, 'ca': broker.ca, 'clientId': 'js-offline', 'version': 4, 'resume': True, 'tls': 'TLSv1.3'}
    broker.settings['session.v3_max_expiry'] = '1h'
    out = node('witness_mqtt.mjs', {**job, 'steps': [{'subscribe': 'd/js', 'qos': 1}]})
    assert out['steps'] == [{'ok': True, 'codes': [1]}], out
    out = node('witness_mqtt.mjs', {**job, 'clientId': 'js-sender', 'resume': False,
                                    'steps': [{'publish': 'd/js', 'payload': str(n), 'qos': n % 2 + 1} for n in range(20)]})
    assert all(step['ok'] for step in out['steps']), out
    crash(broker)
    out = node('witness_mqtt.mjs', {**job, 'port': broker.port, 'steps': [{'collect': 20}]})
    assert out['connack']['sessionPresent'] is True, out
    assert [int(m['payload']) for m in out['messages']] == list(range(20)), out


def test_what_was_taken_does_not_come_back(broker):
    """MQTT5 4.4: a PUBACK of the subscriber ends the delivery, once it is on disk"""
    absent(broker, 'taker', 'd/taken')
    with come(broker, 'giver', expiry=0) as giver:
        for n in range(1, 101):
            assert send(giver, 'd/taken', str(n), n) == SUCCESS
    with come(broker, 'taker') as taker:
        assert take(taker, 60) == [str(n) for n in range(1, 61)]
        taker.send(subscribe(9, [('d/other', 1)]))  # its SUBACK is durable, and so is all before it
        while taker.receive().kind != SUBACK:
            pass
    crash(broker)
    with come(broker, 'taker') as taker:
        assert take(taker, 40) == [str(n) for n in range(61, 101)]


# ---- retained, subscriptions ----

def test_retained_messages_are_there_and_those_removed_are_not(broker):
    """MQTT5 3.3.1.3"""
    with come(broker, 'r-sender', expiry=0) as client:
        for n in range(1, 21):
            send(client, 'd/r/%d' % n, 'old', n, retain=True)
        for n in range(1, 21, 2):
            send(client, 'd/r/%d' % n, 'new', n, retain=True)
        for n in range(1, 6):
            send(client, 'd/r/%d' % n, '', n, retain=True)
    crash(broker)
    with come(broker, 'r-reader', expiry=0) as client:
        client.send(subscribe(1, [('d/r/#', 1)]))
        client.expect(SUBACK)
        got = {}
        for _ in range(15):
            packet = client.expect(PUBLISH)
            assert packet.retain
            got[packet.topic] = packet.payload.decode()
        assert client.quiet()
    assert got == {'d/r/%d' % n: 'new' if n % 2 else 'old' for n in range(6, 21)}


def test_subscriptions_and_their_ends_outlive_it(broker):
    """MQTT5 3.8.4, 3.10.4: SUBACK and UNSUBACK are promises; options and identifiers too"""
    with come(broker, 's-one', clean=True) as client:
        client.send(subscribe(1, [('d/s/a', 1), ('d/s/b', 2), ('d/s/c', 0)], subscription_id=7))
        assert client.expect(SUBACK).codes == [1, 2, 0]
        client.send(mqtt5.unsubscribe(2, ['d/s/b']))
        assert client.expect(UNSUBACK).codes == [0]
        client.send(subscribe(3, [('d/s/a', 2)]))
        assert client.expect(SUBACK).codes == [2]
    crash(broker)
    with come(broker, 's-one') as client, come(broker, 's-two', expiry=0) as other:
        assert client.welcome.session_present
        for topic in ('d/s/a', 'd/s/b', 'd/s/c'):
            other.send(publish(topic, topic, qos=2, packet_id=5))
            other.expect(PUBREC)
            other.send(answer(PUBREL, 5))
            other.expect(PUBCOMP)
        first, second = client.expect(PUBLISH), client.expect(PUBLISH)
        assert (first.topic, first.qos, first.props) == ('d/s/a', 2, {})
        assert (second.topic, second.qos, second.props) == ('d/s/c', 0, {'subscription_id': 7})


def test_a_session_that_was_ended_does_not_come_back(broker):
    """MQTT5 3.1.2.4: Clean Start, and Session Expiry Interval 0 in DISCONNECT"""
    absent(broker, 'e-clean', 'd/e')
    absent(broker, 'e-left', 'd/e')
    with come(broker, 'e-clean', clean=True, expiry=0):
        pass
    with come(broker, 'e-left') as client:
        client.send(mqtt5.disconnect(session_expiry=0))
        client.expect_closed()
    absent(broker, 'e-last', 'd/e')  # a CONNACK after both ends: they are on disk
    crash(broker)
    for name, there in (('e-clean', 0), ('e-left', 0), ('e-last', 1)):
        with come(broker, name) as client:
            assert client.welcome.session_present == there, name


# ---- exactly once ----

def test_qos_2_of_a_publisher_step_by_step(broker):
    """MQTT5 4.3.3: the identifier of a PUBREC is known after the crash, that of a PUBCOMP is free"""
    absent(broker, 'q-reader', 'd/q', qos=2)
    with come(broker, 'q-writer', clean=True) as client:
        client.send(publish('d/q', 'once', qos=2, packet_id=11))
        assert client.expect(PUBREC).reason == SUCCESS
    crash(broker)
    with come(broker, 'q-writer') as client:
        assert client.welcome.session_present
        client.send(publish('d/q', 'once', qos=2, packet_id=11, dup=True))
        client.expect(PUBREC)
        client.send(answer(PUBREL, 11))
        assert client.expect(PUBCOMP).reason == SUCCESS
    crash(broker)
    with come(broker, 'q-writer') as client:
        client.send(publish('d/q', 'twice', qos=2, packet_id=11))
        client.expect(PUBREC)
    crash(broker)
    with come(broker, 'q-writer') as client:
        client.send(answer(PUBREL, 11))
        assert client.expect(PUBCOMP).reason == SUCCESS
    with come(broker, 'q-reader') as client:
        got = [client.expect(PUBLISH), client.expect(PUBLISH)]
        for packet in got:
            client.send(answer(PUBREC, packet.packet_id))
            assert client.expect(PUBREL).packet_id == packet.packet_id
            client.send(answer(PUBCOMP, packet.packet_id))
        assert [packet.payload for packet in got] == [b'once', b'twice'] and client.quiet()


def test_qos_2_to_a_subscriber_step_by_step(broker):
    """MQTT5 4.3.3, 4.4: the same identifier before and after; after PUBREC only the PUBREL comes again"""
    absent(broker, 'x-reader', 'd/x', qos=2)
    with come(broker, 'x-writer', expiry=0) as client:
        client.send(publish('d/x', 'one', qos=2, packet_id=1))
        client.expect(PUBREC)
        client.send(answer(PUBREL, 1))
        client.expect(PUBCOMP)
    with come(broker, 'x-reader') as client:
        first = client.expect(PUBLISH)
        assert not first.dup
    crash(broker)
    with come(broker, 'x-reader') as client:
        again = client.expect(PUBLISH)
        assert (again.packet_id, again.payload, again.dup) == (first.packet_id, b'one', True)
        client.send(answer(PUBREC, again.packet_id))
        assert client.expect(PUBREL).packet_id == first.packet_id
    crash(broker)
    with come(broker, 'x-reader') as client:
        assert client.expect(PUBREL).packet_id == first.packet_id
        client.send(answer(PUBCOMP, first.packet_id))
        assert client.quiet()
        client.send(subscribe(1, [('d/x', 2)]))  # its SUBACK comes after all that was said before is on disk
        client.expect(SUBACK)
    crash(broker)
    with come(broker, 'x-reader') as client:
        assert client.quiet()


# ---- time ----

def test_a_delayed_will_comes_though_the_broker_died_meanwhile(broker):
    """MQTT5 3.1.3.2.2, and of a client that was connected when it died: it lost its connection then"""
    absent(broker, 'w-heir', 'd/w/#')
    gone = come(broker, 'w-gone', will=('d/w/gone', 'gone', 1, False, {'will_delay': 1}))
    there = come(broker, 'w-there', will=('d/w/there', 'there', 1, False, {'will_delay': 1}))
    back = come(broker, 'w-back', will=('d/w/back', 'back', 1, False, {'will_delay': 3600}))
    gone.close()
    broker.daemon.event('client_disconnected', client_id='w-gone')
    crash(broker)
    there.close()
    back.close()
    with come(broker, 'w-back', will=('d/w/back', 'back', 1, False, {'will_delay': 3600})), come(broker, 'w-heir') as heir:
        assert set(take(heir, 2)) == {'gone', 'there'}
        assert heir.quiet()


def test_a_session_expires_though_the_broker_is_away(broker):
    """MQTT5 3.1.2.11.2: and one that has time is kept"""
    for name, expiry in (('t-short', 1), ('t-long', 600), ('t-ever', FOR_EVER)):
        with come(broker, name, clean=True, expiry=expiry):
            pass
        broker.daemon.event('client_disconnected', client_id=name)
    absent(broker, 't-mark', 'd/t')  # what was before its SUBACK is on disk
    broker.daemon.kill()
    time.sleep(1.5)  # the calendar is what is tested
    broker.start()
    for name, there in (('t-short', 0), ('t-long', 1), ('t-ever', 1)):
        with come(broker, name) as client:
            assert client.welcome.session_present == there, name


# ---- workers, ends ----

def test_any_number_of_workers_finds_it_all(make_broker):
    broker = start(make_broker, workers=1)
    names = ['k-%d' % n for n in range(16)]
    for name in names:
        absent(broker, name, 'd/k/+')
    expected, packet_id = [], 0
    for workers in (4, 2, 3):
        with come(broker, 'k-sender', expiry=0) as sender:
            for n in range(10):
                packet_id += 1
                expected.append('%d of %d' % (n, workers))
                assert send(sender, 'd/k/%d' % (n % 3), expected[-1], packet_id) == SUCCESS
                send(sender, 'd/kr/%d' % n, str(workers), packet_id, retain=True)
        broker.workers = workers
        crash(broker)
    for name in names:
        with come(broker, name) as client:
            got = take(client, len(expected))
            assert sorted(got) == sorted(expected), name
    with come(broker, 'k-late', expiry=0) as client:
        client.send(subscribe(1, [('d/kr/#', 0)]))
        client.expect(SUBACK)
        assert take(client, 10) == ['3'] * 10
        assert client.quiet()


def test_a_clean_stop_keeps_all_too_and_sessions_count_as_left_then(make_broker):
    broker = start(make_broker)
    absent(broker, 'c-off', 'd/c')
    on = come(broker, 'c-on', expiry=1)
    with come(broker, 'c-sender', expiry=0) as sender:
        assert send(sender, 'd/c', 'kept') == SUCCESS
    broker.daemon.process.terminate()
    assert on.expect(DISCONNECT).reason == 0x8B
    on.close()
    broker.daemon.process.wait(WAIT)
    broker.daemon.stop()
    assert not broker.daemon.find('store_not_written')
    time.sleep(1.5)  # the calendar is what is tested
    broker.start()
    with come(broker, 'c-off') as client:
        assert take(client, 1) == ['kept']
    with come(broker, 'c-on') as client:
        assert not client.welcome.session_present


def test_the_store_is_closed_to_others_and_to_a_second_broker(broker):
    folder = os.path.join(broker.dir, 'state', 'store')
    assert stat.S_IMODE(os.stat(os.path.join(broker.dir, 'state')).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    for name in os.listdir(folder):
        assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o600, name
    path = os.path.join(broker.dir, 'second.yaml')
    with open(broker.config, encoding='utf-8') as f, open(path, 'w', encoding='utf-8') as out:
        out.write(f.read().replace('"port": %d' % broker.port, '"port": 0').replace('port: %d' % broker.port, 'port: 0'))
    second = Daemon(program('symbolon-broker'), '--config', path)
    second.process.wait(WAIT)
    second.reader.join()
    assert second.process.returncode == 1
    failed = second.find('broker_failed')[0]
    assert 'another' in failed.fields['why'], failed
    assert not second.find('listening')


# ---- less than that ----

def test_none_keeps_nothing_and_says_so(make_broker):
    broker = start(make_broker, durability='none')
    assert broker.daemon.event('nothing_is_durable').fields['why']
    absent(broker, 'n-one', 'd/n')
    with come(broker, 'n-sender', expiry=0) as sender:
        assert send(sender, 'd/n', 'x') == SUCCESS
    crash(broker)
    with come(broker, 'n-one') as client:
        assert not client.welcome.session_present
    crash(broker, durability='commit')
    absent(broker, 'n-one', 'd/n')
    broker.daemon.kill()
    broker.settings['durability'] = 'none'
    with pytest.raises(AssertionError, match='durability'):
        broker.start()
    broker.settings['durability'] = 'commit'
    broker.start()
    with come(broker, 'n-one') as client:
        assert client.welcome.session_present


def test_an_interval_is_what_a_crash_takes(make_broker):
    broker = start(make_broker, durability='interval', **{'store.interval': '200ms'})
    absent(broker, 'i-one', 'd/i')
    with come(broker, 'i-sender', expiry=0) as sender:
        assert send(sender, 'd/i', 'early') == SUCCESS
    state = os.path.join(broker.dir, 'state')
    wait_for(lambda: any(row['record'] == 'queued' for row in export(state)))  # an interval later
    crash(broker)
    with come(broker, 'i-one') as client:
        assert client.welcome.session_present and take(client, 1) == ['early']


def test_without_a_place_for_it_the_broker_says_what_to_write(tmp_path):
    path = tmp_path / 'broker.yaml'
    path.write_text('listeners: [{tls: no, address: 127.0.0.1, port: 0}]\npublic_topics: [{filter: "#"}]\n', encoding='ascii')
    done = subprocess.run([program('symbolon-broker'), '--config', path, '--check-config'], capture_output=True, text=True,
                          timeout=WAIT)
    assert done.returncode != 0 and 'state_dir: FOLDER' in done.stderr and 'durability: none' in done.stderr, done.stderr


# ---- a disk that is full, or fails ----

def fill(client, topic, size, at_most):
    """Publications until one is refused; the payloads that were acknowledged."""
    kept = []
    for n in range(1, at_most):
        payload = '%d ' % n + 'x' * size
        reason = send(client, topic, payload, n)
        if reason == QUOTA:
            return kept
        assert reason == SUCCESS, reason
        kept.append(payload)
    raise AssertionError('nothing was refused')


def lasting_work_is_refused(broker, sender):
    """But only that."""
    assert send(sender, 'd/full', 'no', 9) == QUOTA
    with Client(broker.port, broker.ca) as client:
        got = client.open('f-new', clean=True, session_expiry=60)
        assert got.reason == QUOTA, got
    with come(broker, 'f-live', clean=True, expiry=0) as live:
        live.send(subscribe(1, [('d/live', 1)]))
        assert live.expect(SUBACK).codes == [1]
        live.send(publish('d/live', 'goes on', qos=1, packet_id=2))
        assert {live.receive().kind, live.receive().kind} == {PUBLISH, PUBACK}
    assert broker.daemon.running()


def send_again(client):
    """As a client does that was refused, until the news has reached every worker."""
    wait_for(lambda: send(client, 'd/full', 'again', 10) == SUCCESS)


def full_and_back(broker, make_room, size=20000):
    absent(broker, 'f-off', 'd/full')
    sender = come(broker, 'f-sender', clean=True, expiry=0)
    kept = fill(sender, 'd/full', size, 5000)
    failing = broker.daemon.event('store_failing')
    assert failing.level == 'error' and failing.fields['why']
    lasting_work_is_refused(broker, sender)
    make_room()
    broker.daemon.event('store_recovered')
    send_again(sender)
    sender.close()
    crash(broker)
    with come(broker, 'f-off') as client:
        got = take(client, 1)
        while got[-1] != 'again':
            got += take(client, 1)
    assert [p for p in got if p in set(kept)] == kept  # whatever was refused may be there as well, or not


def test_a_disk_that_takes_no_more_is_told_and_outlived(make_broker):
    """design 3.3: a limit on the size of files stands for the disk"""
    broker = start(make_broker)
    data = os.path.join(broker.dir, 'state', 'store', 'data.mdb')
    pid = broker.daemon.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (os.stat(data).st_size + 1000000, before[1]))
    full_and_back(broker, lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, before))


def test_a_full_file_system_too(make_broker, tmp_path):
    if os.geteuid() != 0 or subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=3m', 'none', tmp_path], check=False,
                                           capture_output=True).returncode != 0:
        pytest.skip('nobody may mount a file system here')
    try:
        broker = start(make_broker, state_dir=str(tmp_path))
        full_and_back(broker, lambda: subprocess.run(['mount', '-o', 'remount,size=30m', tmp_path], check=True))
        assert broker.daemon.running()
        broker.daemon.stop()
    finally:
        subprocess.run(['umount', '-l', tmp_path], check=True)


def test_a_store_that_has_reached_its_size_takes_more_when_there_is_room(make_broker):
    """store.max_bytes: what is taken away by clients makes it"""
    broker = start(make_broker, **{'store.max_bytes': '2m'})
    absent(broker, 'b-off', 'd/full')
    sender = come(broker, 'b-sender', clean=True, expiry=0)
    kept = fill(sender, 'd/full', 20000, 500)
    broker.daemon.event('store_failing')
    with come(broker, 'b-off') as client:
        assert take(client, len(kept)) == kept
        broker.daemon.event('store_recovered')
    send_again(sender)
    crash(broker)
    with come(broker, 'b-off') as client:
        assert take(client, 1) == ['again']


# ---- the service manager ----

def test_the_service_manager_hears_how_it_stands(make_broker, tmp_path, monkeypatch):
    """sd_notify(3): ready when clients get in, and what hinders them"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = str(tmp_path / 'notify')
        manager.bind(path)
        manager.settimeout(WAIT)
        monkeypatch.setenv('NOTIFY_SOCKET', path)
        broker = start(make_broker, **{'store.max_bytes': '1m'})
        first = manager.recv(4096).decode()
        if 'READY=1' not in first:
            pytest.fail(first)
        absent(broker, 'v-off', 'd/full')
        with come(broker, 'v-sender', clean=True, expiry=0) as sender:
            fill(sender, 'd/full', 20000, 500)
        assert 'STATUS=The store takes no more' in manager.recv(4096).decode()
        broker.daemon.stop()
        assert 'STOPPING=1' in manager.recv(4096).decode()
