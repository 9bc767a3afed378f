"""Every property that -D of Debian's mosquitto_pub, mosquitto_sub and mosquitto_rr takes, of every command, at our broker,
over TCP, TLS and WebSocket."""
import concurrent.futures
import re
import subprocess
import time

import mqtt5
import pytest
from mosquitto_cells import ALL, PLACES, TIMED_OUT, Cell, in_all, make_site, will_of
from world import WAIT

BAD_METHOD = 140
VALUES = {
    'authentication-data': ('authentication_data', b'ad'), 'authentication-method': ('authentication_method', 'SCRAM'),
    'content-type': ('content_type', 'text/x'), 'correlation-data': ('correlation_data', b'cd'),
    'maximum-packet-size': ('maximum_packet_size', 150), 'message-expiry-interval': ('message_expiry', 1000),
    'payload-format-indicator': ('payload_format', 1), 'receive-maximum': ('receive_maximum', 2),
    'request-problem-information': ('request_problem', 0), 'request-response-information': ('request_response', 1),
    'response-topic': ('response_topic', 'r/t'), 'session-expiry-interval': ('session_expiry', 55),
    'subscription-identifier': ('subscription_id', 9), 'topic-alias': ('topic_alias', 1),
    'topic-alias-maximum': ('topic_alias_maximum', 4), 'user-property': ('user_property', [('k', 'v'), ('k', 'w')]),
    'will-delay-interval': ('will_delay', 1),
}
MESSAGE = ['content-type', 'correlation-data', 'message-expiry-interval', 'payload-format-indicator', 'response-topic',
           'user-property']
COMMANDS = {
    'connect': ['authentication-data', 'authentication-method', 'maximum-packet-size', 'receive-maximum',
                'request-problem-information', 'request-response-information', 'session-expiry-interval',
                'topic-alias-maximum', 'user-property'],
    'publish': [*MESSAGE, 'topic-alias'], 'subscribe': ['subscription-identifier', 'user-property'],
    'unsubscribe': ['user-property'], 'disconnect': ['session-expiry-interval', 'user-property'],
    'will': [*MESSAGE, 'will-delay-interval'],
}
# What a program has no use for, whatever it takes
OF = {'pub': {'connect', 'publish', 'disconnect', 'will'}, 'sub': set(COMMANDS) - {'publish'},
      'rr': set(COMMANDS) - {'unsubscribe'}}
PROPERTIES = [(program, command, name) for program in ALL for command in sorted(OF[program]) for name in COMMANDS[command]
              if (program, command, name) != ('rr', 'publish', 'response-topic')]  # that is -e


def given(command, name):
    """-D and what follows it, and the bytes that the client then sends."""
    key, value = VALUES[name]
    sent = mqtt5.properties(**{key: value})[1:]
    values = value if isinstance(value, list) else [(value,)]
    values = [[v.decode() if isinstance(v, bytes) else str(v) for v in one] for one in values]
    return [word for one in values for word in ['-D', command, name, *one]], sent


@pytest.fixture(scope='module')
def site(make_broker, tmp_path_factory):
    broker = make_site(make_broker, str(tmp_path_factory.mktemp('clients')))
    yield broker
    broker.witness.close()


@pytest.mark.parametrize('program', ALL)
def test_no_property_is_forgotten(program):
    """What the program takes, it is tested with: those that it does not know for a command it refuses by itself"""
    def taken(job):
        command, name = job
        done = subprocess.run(['mosquitto_' + program, '-V', '5', '-h', '127.0.0.1', '-p', '1', '-t', 'x', '-D', command, name,
                               *(['1', '1'] if name == 'user-property' else ['1']),
                               *{'pub': ['-m', 'x'], 'sub': [], 'rr': ['-m', 'x', '-e', 'y']}[program]],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT)
        assert done.returncode != 0
        return 'Connection refused' in done.stderr
    jobs = [(command, name) for command in sorted(OF[program]) for name in sorted(VALUES)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert {job for job, yes in zip(jobs, pool.map(taken, jobs)) if yes} == {(c, n) for p, c, n in PROPERTIES if p == program}


@pytest.mark.parametrize('program, command, name', PROPERTIES)
def test_property(site, program, command, name):
    """MQTT5 2.2.2"""
    words, sent = given(command, name)
    proof = EFFECTS.get((command, name)) or EFFECTS.get(command)
    in_all([Cell(site, program, place, '5') for place in PLACES], lambda cell: proof(cell, words, sent, name))
    assert site.daemon.running()


def connects(cell, words, sent, name):
    cell.work(*words)
    cell.wire(b'MQTT\5', sent, mqtt5.prefixed(cell.name))


def connects_and_is_refused(cell, words, sent, name):
    """MT-51: another method than ace; MQTT5 [MQTT-4.12.0-1]"""
    other = 'authentication-method' if name == 'authentication-data' else 'authentication-data'
    cell.run(*words, *given('connect', other)[0], *cell.aims(), code=BAD_METHOD)
    cell.wire(b'MQTT\5', sent, mqtt5.prefixed(cell.name))
    assert cell.event('connect_refused')['clause'] == 'MT-51'


def connects_for_small_packets(cell, words, sent, name):
    """MQTT5 [MQTT-3.1.2-24], [MQTT-3.1.2-25]: what is larger does not come, and what is not does"""
    connects(cell, words, sent, name)
    if cell.program == 'sub':
        cell.put('s/large', 'x' * 300, retain=True)
        cell.put('s/small', 'x', retain=True)
        out = cell.runs_out(*words, '-t', cell.base + '/s/+', '-i', cell.name + '2', '-F', '%t')
        assert out == cell.base + '/s/small\n'


def connects_for_few_at_a_time(cell, words, sent, name):
    """All of them, one after the other"""
    connects(cell, words, sent, name)
    if cell.program == 'sub':
        for n in range(7):
            cell.put('s/%d' % n, str(n), retain=True)
        done = cell.run(*words, '-t', cell.base + '/s/+', '-q', 2, '-C', 7, '-i', cell.name + '2')
        assert sorted(done.out.split()) == list('0123456')


def connects_for_aliases(cell, words, sent, name):
    """MQTT5 3.3.2.3.4: the broker makes use of what it is offered. This mosquitto_sub offers what it cannot do: it shows the
    alias that comes with the topic, and takes the next message, with the alias alone, for an error"""
    connects(cell, words, sent, name)
    if cell.program == 'sub':
        cell.name += '2'
        process = cell.hold(*words, '-t', cell.base + '/live', '-F', '%A %p')
        cell.put('live', 'first')
        cell.put('live', 'second')
        out = process.communicate(timeout=WAIT)[0]
        assert re.match(rb'[1-4] first\n.*protocol error', out) and b'second' not in out, out


def connects_for_a_while(cell, words, sent, name):
    connects(cell, words, sent, name)
    assert cell.event('client_connected')['session_expiry_s'] == '55'


def leave(cell, *words):
    """With DISCONNECT, which mosquitto_rr says only if there was no answer."""
    if cell.program == 'rr':
        cell.run(*words, '-t', cell.base + '/void', '-e', cell.base + '/none', '-m', 'x', '-W', 4, code=TIMED_OUT)
    else:
        cell.work(*words)


def takes_leave(cell, words, sent, name):
    leave(cell, *words)
    assert cell.event('client_disconnected')['reason'] == 'DISCONNECT'
    cell.wire(mqtt5.prefixed(cell.name), b'\xe0', sent)


def takes_leave_of_its_session(cell, words, sent, name):
    """MQTT5 3.14.2.2.2: it would have lived for 100 s, and does not"""
    leave(cell, '-c', '-x', 100, '-D', 'disconnect', name, 0)
    leave(cell, '-c', '-x', 100, *words)
    assert cell.event('client_connected', 2)['session'] == 'new'
    cell.work('-c')
    assert cell.event('client_connected', 3)['session'] == 'continued'


def same(message, name):
    key, value = VALUES[name]
    got = message.props.get(key)
    return value - 200 < got <= value if name == 'message-expiry-interval' else got == value


def publishes(cell, words, sent, name):
    """MQTT5 [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-20]: passed on as it was"""
    assert same(cell.work(*words).message, name)


def publishes_by_alias(cell, words, sent, name):
    """The alias is between the client and the broker"""
    assert 'topic_alias' not in cell.work(*words).message.props
    cell.wire(sent)


def leaves_a_will(cell, words, sent, name):
    """MQTT5 [MQTT-3.1.2-8]"""
    assert same(will_of(cell, '--will-payload', 'gone', *words), name)


def leaves_a_will_for_later(cell, words, sent, name):
    """MQTT5 [MQTT-3.1.2-8]"""
    began = time.monotonic()
    assert will_of(cell, '--will-payload', 'gone', '-x', 100, *words).at - began > 0.9


def subscribes(cell, words, sent, name):
    cell.work(*words)
    cell.wire(mqtt5.prefixed(cell.name), b'\x82', sent)


def subscribes_with_an_identifier(cell, words, sent, name):
    """MQTT5 [MQTT-3.3.4-3]"""
    assert cell.work(*words, '-F', '%S %p').out in ('9 hello\n', '9 answer\n')


def unsubscribes(cell, words, sent, name):
    cell.work(*words, '-U', cell.base + '/none')
    cell.wire(mqtt5.prefixed(cell.name), b'\xa2', sent, mqtt5.prefixed(cell.base + '/none'))


EFFECTS = {
    'connect': connects, 'publish': publishes, 'subscribe': subscribes, 'unsubscribe': unsubscribes, 'disconnect': takes_leave,
    'will': leaves_a_will, ('connect', 'authentication-data'): connects_and_is_refused,
    ('connect', 'authentication-method'): connects_and_is_refused,
    ('connect', 'maximum-packet-size'): connects_for_small_packets, ('connect', 'receive-maximum'): connects_for_few_at_a_time,
    ('connect', 'session-expiry-interval'): connects_for_a_while, ('connect', 'topic-alias-maximum'): connects_for_aliases,
    ('disconnect', 'session-expiry-interval'): takes_leave_of_its_session, ('publish', 'topic-alias'): publishes_by_alias,
    ('subscribe', 'subscription-identifier'): subscribes_with_an_identifier,
    ('will', 'will-delay-interval'): leaves_a_will_for_later,
}
