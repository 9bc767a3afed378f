"""`symbolon broker store`: looking into the store of a broker that runs, has been killed, or was damaged; and a broker that
starts on such a store (docs/operate/store.md)."""
import base64
import json
import os
import re
import shutil
import subprocess

import pytest
from mqtt5 import PUBACK, SUBACK, Client, publish, subscribe
from world import WAIT, Daemon, program

PUBLIC = [['d/#', ['pub', 'sub']]]
QUEUED, RETAINED = 300, 40
PAGE = 4096


def store(*words, state, expect=0):
    done = subprocess.run([program('symbolon'), 'broker', 'store', *words, '--dir', state], capture_output=True, text=True,
                          timeout=WAIT)
    assert done.returncode == expect, (done.returncode, done.stdout[-3000:], done.stderr)
    return done


def check(state, expect=0):
    return json.loads(store('check', '--json', state=state, expect=expect).stdout)


def export(state, *words):
    return [json.loads(line) for line in store('export', *words, state=state).stdout.splitlines()]


def come(broker, name, clean=False, expiry=3600, **more):
    client = Client(broker.port, broker.ca)
    client.welcome = client.open(name, clean=clean, session_expiry=expiry, **more)
    assert client.welcome.reason == 0, client.welcome
    return client


@pytest.fixture(scope='module')
def broker(make_broker):
    """With a queue of QUEUED messages for `offline`, and RETAINED retained ones."""
    broker = make_broker(**{'session.guest_max_expiry': '1h', 'public': PUBLIC, 'workers': 2})
    with come(broker, 'offline', clean=True) as client:
        client.send(subscribe(1, [('d/queue/#', 1)]))
        assert client.expect(SUBACK).codes == [1]
    with come(broker, 'sender', clean=True, expiry=0) as client:
        for n in range(1, QUEUED + 1):
            client.send(publish('d/queue/%d' % n, 'queued %d' % n, qos=1, packet_id=n))
            assert client.expect(PUBACK).packet_id == n
        for n in range(1, RETAINED + 1):
            client.send(publish('d/state/%d' % n, 'state %d' % n, qos=1, packet_id=n, retain=True))
            assert client.expect(PUBACK).packet_id == n
    broker.state = os.path.join(broker.dir, 'state')
    return broker


def counts(answer):
    return {row['records']: row['count'] for row in answer['contents']}


def expect_all(state):
    answer = check(state)
    assert answer['intact'] is True and 'first_problem' not in answer, answer
    assert counts(answer)['queued'] == QUEUED and counts(answer)['retained'] == RETAINED, answer
    return answer


def test_a_store_is_looked_at_while_its_broker_runs(broker):
    answer = expect_all(broker.state)
    assert answer['format'] == 1 and answer['workers'] == 2
    assert check(os.path.join(broker.state, 'store'))['intact'] is True  # the folder itself
    text = store('check', state=broker.state).stdout
    assert re.search(r'intact +(yes|true)', text) and 'queued' in text, text


def test_stats_name_the_longest_queues(broker):
    answer = json.loads(store('stats', '--json', state=broker.state).stdout)
    assert answer['file_bytes'] > 0 and answer['free_bytes'] >= 0
    queue = answer['longest_queues'][0]
    assert (queue['client_id'], queue['queued'], queue['subscriptions']) == ('offline', QUEUED, 1)
    assert queue['bytes'] > QUEUED * len('queued 1')
    assert json.loads(store('stats', '--json', '--top', '0', state=broker.state).stdout)['longest_queues'] == []
    assert 'offline' in store('stats', state=broker.state).stdout


def test_export_has_every_message_and_no_secret(broker):
    lines = export(broker.state)
    kinds = [line['record'] for line in lines]
    assert kinds.count('queued') == QUEUED and kinds.count('retained') == RETAINED
    assert kinds.count('session') == 1 and kinds.count('subscription') == 1
    queued = [line for line in lines if line['record'] == 'queued']
    assert [base64.b64decode(q['payload']).decode() for q in queued] == ['queued %d' % n for n in range(1, QUEUED + 1)]
    assert {q['client_id'] for q in queued} == {'offline'} and queued[0]['topic'] == 'd/queue/1'
    session = next(line for line in lines if line['record'] == 'session')
    assert session['client_id'] == 'offline' and session['expiry_s'] == 3600 and session['left_ms'] > 0
    without = export(broker.state, '--no-payload')
    assert len(without) == len(lines) and not any('payload' in line for line in without)
    assert next(line for line in without if line['record'] == 'queued')['payload_bytes'] == len('queued 1')
    text = json.dumps(lines).lower()
    assert not any(word in text for word in ('hash', 'thumbprint', 'secret', 'cnf')), text[:2000]


def test_a_copy_beside_the_running_broker_is_a_store(broker, tmp_path):
    to = str(tmp_path / 'copy')
    store('copy', '--to', to, state=broker.state)
    assert export(to) == export(broker.state) and check(to)['intact']
    assert os.stat(to).st_mode & 0o777 == 0o700
    assert 'already' in store('copy', '--to', to, state=broker.state, expect=9).stderr
    assert '--to' in store('copy', state=broker.state, expect=2).stderr


def test_the_same_is_there_after_kill_9(broker):
    broker.daemon.kill()
    expect_all(broker.state)
    broker.start()
    restored = broker.daemon.event('store_restored')
    assert (restored.fields['queued'], restored.fields['retained']) == (str(QUEUED), str(RETAINED)), restored
    expect_all(broker.state)


def test_a_damaged_store_is_told_and_the_broker_starts_with_what_is_left(broker):
    broker.daemon.stop()
    data = os.path.join(broker.state, 'store', 'data.mdb')
    saved = broker.state + '.saved'
    shutil.copytree(broker.state, saved)
    os.truncate(data, os.path.getsize(data) // PAGE // 2 * PAGE)
    answer = check(broker.state, expect=1)
    assert answer['intact'] is False and answer['first_problem'], answer
    store('stats', state=broker.state, expect=9)
    broker.start()
    damaged = broker.daemon.event('store_damaged')
    aside = [name for name in os.listdir(broker.state) if name.startswith('store.damaged-')]
    assert len(aside) == 1 and damaged.fields['damaged_store'].endswith(aside[0]), (aside, damaged)
    assert check(broker.state)['intact'] is True
    assert check(os.path.join(broker.state, aside[0]), expect=1)['intact'] is False
    with come(broker, 'after', clean=True) as client:
        client.send(publish('d/state/1', 'new', qos=1, packet_id=1, retain=True))
        assert client.expect(PUBACK).reason in (0, 0x10)
    broker.daemon.stop()
    shutil.rmtree(broker.state)
    shutil.move(saved, broker.state)
    broker.start()
    expect_all(broker.state)


def test_a_store_that_cannot_be_saved_for_want_of_room_refuses_the_start(broker):
    """The damaged one is still where it was."""
    broker.daemon.stop()
    data = os.path.join(broker.state, 'store', 'data.mdb')
    whole = open(data, 'rb').read()
    os.truncate(data, len(whole) // PAGE // 2 * PAGE)
    limited = subprocess.run(['bash', '-c', 'ulimit -f 1; exec "$@"', 'bash', program('symbolon-broker'), '--config', broker.config],
                             capture_output=True, text=True, timeout=WAIT, errors='replace')
    assert limited.returncode == 1, limited.stdout
    assert 'the store has to be written anew, and the disk refuses that' in limited.stdout + limited.stderr, limited
    assert os.listdir(broker.state) == ['store'] and os.path.getsize(data) == len(whole) // PAGE // 2 * PAGE
    with open(data, 'wb') as file:
        file.write(whole)
    broker.start()
    expect_all(broker.state)


def test_two_brokers_do_not_share_a_store(broker):
    second = Daemon(program('symbolon-broker'), '--config', broker.config)
    assert second.process.wait(WAIT) != 0
    second.reader.join()
    assert 'another process' in second.log() or 'in use' in second.log(), second.log()
    expect_all(broker.state)


def test_wrong_words_are_explained(broker, tmp_path):
    assert 'check' in store('--help', state=broker.state).stdout
    assert store('check', state=str(tmp_path), expect=9).stderr
    assert store('look', state=broker.state, expect=2).stderr
    assert store('check', '--payload', state=broker.state, expect=2).stderr
    for command in ('check', 'stats', 'export', 'copy'):
        done = subprocess.run([program('symbolon'), 'broker', 'store', command, '--help'], capture_output=True, text=True, timeout=WAIT)
        assert done.returncode == 0 and '--dir' in done.stdout
    done = subprocess.run([program('symbolon'), 'broker', '--help'], capture_output=True, text=True, timeout=WAIT)
    assert 'store' in done.stdout
