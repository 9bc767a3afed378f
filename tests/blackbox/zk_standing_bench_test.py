"""bench/run: its machinery at a tiny size, with a second mosquitto as "any other broker"; and its pure parts, which judge and cut."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import pytest
from world import BUILD, ROOT, WAIT, wait_for

sys.path.insert(0, os.path.join(ROOT, 'bench', 'driver'))
import report  # noqa: E402
import schedule  # noqa: E402
import targets  # noqa: E402
from daemons import Failed, OutOfTime  # noqa: E402

RUN = [sys.executable, '-B', os.path.join(ROOT, 'bench', 'run'), '--build', BUILD, '--quick']
LIMIT = 480  # a sanitized build on a busy machine


def bench(out, *words, expect=0):
    for seconds in ('0.4', '4', '20'):  # that are measured: in few of them a busy machine may do nothing at all
        done = subprocess.run([*RUN, '--seconds', seconds, '--out', str(out), *words], capture_output=True, text=True, timeout=LIMIT)
        if 'nothing came through' not in done.stdout:
            break
    assert done.returncode == expect, (done.stdout[-4000:], done.stderr)
    return done.stdout, done.stderr


# ---- the machinery ----

@pytest.mark.parametrize('script', ['bench/run', 'bench/durability', 'bench/lifetimes', 'bench/plots', 'bench/scale', 'tests/soak/run',
                                    'tests/instructions/run'])
def test_every_script_finds_what_it_stands_on(script):
    done = subprocess.run([sys.executable, '-B', os.path.join(ROOT, script), '--help'], capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 0, done.stderr


def test_a_table_and_a_document_with_every_target(tmp_path):
    """Ours, mosquitto and one more by a command line; messages, connects and durability"""
    out, _ = bench(tmp_path, '--scenario', 'conn,p2p,durable-qos1,introspect', '--broker', 'other=mosquitto -c {config}',
                   '--config', 'other=' + os.path.join(ROOT, 'bench', 'brokers', 'mosquitto.conf'))
    told = json.loads((tmp_path / 'results.json').read_text())
    assert told['faults'] == [] and told['rounds_missing'] == {} and len(told['targets']) == len(targets.TARGETS)
    assert [v.split()[0] for v in told['versions']] == ['symbolon', 'mosquitto', 'other']
    columns = {(f['scenario'], f['column']) for f in told['figures']}
    assert {('p2p', c) for c in ('symbolon', 'mosquitto', 'other')} <= columns
    assert {('conn', c) for c in ('symbolon', 'symbolon, secret', 'symbolon, seen', 'mosquitto', 'other')} <= columns
    assert {('kept-qos1', 'symbolon, commit'), ('introspect', 'symbolon-as')} <= columns
    for figure in told['figures']:
        assert figure['medians'][figure['figure']] > 0 or figure['scenario'] == 'kept-qos1', figure
        assert all(row.get(loss, 0) == 0 for row in figure['rounds'] for loss in ('lost', 'failed', 'unacknowledged'))
    kept = {f['column']: f['medians']['kept'] for f in told['figures'] if f['scenario'] == 'kept-qos1'}
    assert kept['symbolon, commit'] == 100
    table = (tmp_path / 'table.md').read_text()
    assert table in out and table.count('not measured') > 5 and '| p2p, QoS 0, 64 B, as fast as it goes, µs | ≤ 0.20 |' in table


def test_a_broker_that_does_not_start(tmp_path):
    for command, says in (('no-such-broker', 'no program no-such-broker'), ('mosquitto -c {config}', 'no template')):
        _, err = bench(tmp_path, '--scenario', 'p2p', '--broker', 'x=' + command, expect=1)
        assert says in err and not (tmp_path / 'table.md').exists()


def test_names_of_brokers_are_their_own(tmp_path):
    for words, says in ((['--broker', 'mosquitto=x'], 'name of its own'), (['--broker', 'x'], 'NAME=VALUE'), (['--config', 'y=z'], 'no --broker')):
        _, err = bench(tmp_path, *words, expect=2)
        assert says in err


def script(name, *words):
    done = subprocess.run([sys.executable, '-B', os.path.join(ROOT, 'bench', name), '--build', BUILD, *words], capture_output=True,
                          text=True, timeout=LIMIT)
    assert done.returncode == 0, (done.stdout[-4000:], done.stderr)
    return done.stdout


def test_what_durability_costs_and_keeps(tmp_path):
    script('durability', '--rounds', '1', '--seconds', '0.2', '--only', 'symbolon-commit', '--out', str(tmp_path))
    row, = json.loads((tmp_path / 'durability.json').read_text())['rounds']['symbolon, `durability: commit`']
    assert row['kept1']['kept'] == row['kept2']['kept'] == 10000 and row['kept2']['twice'] == 0 < row['qos1']['us']


def test_tokens_that_are_revoked_one_after_the_other():
    told = json.loads(script('lifetimes', 'revoke', '--revocations', '10'))
    assert told['cut'] == told['log_cut'] == 10 and told['left'] == 0


def children_of(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid), encoding='ascii') as f:
        return [int(word) for word in f.read().split()]


def lives(pid):
    try:
        with open('/proc/%d/stat' % pid, encoding='ascii') as f:
            return f.read().rsplit(') ', 1)[1][0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def short_folder():
    """What pytest gives may be too long for the socket in it."""
    with tempfile.TemporaryDirectory(prefix='sb-', dir='/tmp') as folder:
        yield pathlib.Path(folder)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_stops_what_it_started(short_folder, number):
    process = subprocess.Popen([*RUN, '--out', str(short_folder), '--scenario', 'p2p'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env=dict(os.environ, TMPDIR=str(short_folder)),
                               preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))  # who runs us in the background ignores one

    def started():
        assert process.poll() is None, process.communicate()
        children = children_of(process.pid)
        return children if len(children) >= 3 else None  # authorization server, broker, mosquitto
    started = wait_for(started, LIMIT)
    process.send_signal(number)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert list(short_folder.iterdir()) == []
    wait_for(lambda: not any(map(lives, started)), LIMIT)  # who was just being started ends because its parent does


# ---- targets ----

def rows(*values, key='us'):
    return [{key: value} for value in values]


def results(ours, theirs, setting='pinned'):
    return {(setting, 'p2p', 'symbolon'): rows(*ours), (setting, 'p2p', 'mosquitto'): rows(*theirs)}


RATIO = targets.beside_peer('p2p', 'p2p', 0.20)


@pytest.mark.parametrize('ours, theirs, ratio, reached', [
    ([1, 2, 9], [10, 10, 12], 0.2, True), ([2.01, 2.01, 0.1], [10, 10, 10], 0.201, False), ([1], [10], 0.1, True)])
def test_a_ratio_is_that_of_the_medians(ours, theirs, ratio, reached):
    judged = targets.judge(RATIO, results(ours, theirs), 'pinned')
    assert judged.ratio == pytest.approx(ratio) and judged.reached is reached
    assert (judged.rounds, judged.low, judged.high) == (len(ours), min(ours), max(ours))


def test_nothing_is_reached_that_was_not_measured():
    for measured in ({}, {('pinned', 'p2p', 'symbolon'): rows(1)}, {('pinned', 'p2p', 'mosquitto'): rows(1)},
                     {('pinned', 'p2p', 'symbolon'): rows(1, key='other'), ('pinned', 'p2p', 'mosquitto'): rows(1)}):
        (_, found), = targets.judge_all(measured, [RATIO])
        assert found == {} and targets.reached(found) is None and report.words_of_reached(found) == 'not measured'
    assert targets.judge(RATIO, results([1], [0]), 'pinned').reached is False


def test_a_target_counts_pinned_and_not():
    both = results([1], [10]) | results([3], [10], 'unpinned')
    (_, found), = targets.judge_all(both, [RATIO])
    assert targets.reached(found) is False and report.words_of_reached(found) == 'pinned only'
    (_, found), = targets.judge_all(results([3], [10]) | results([3], [10], 'unpinned'), [RATIO])
    assert report.words_of_reached(found) == '**no**'
    (_, found), = targets.judge_all(results([1], [10], 'unpinned'), [RATIO])
    assert targets.reached(found) is True and report.words_of_reached(found) == 'yes'


@pytest.mark.parametrize('at_least, worst, values, value, reached', [
    (True, False, (90, 100, 120), 100, True), (True, True, (90, 100, 120), 90, False),
    (False, False, (90, 100, 120), 100, True), (False, True, (90, 100, 120), 120, False)])
def test_limits_from_below_from_above_and_of_the_worst_round(at_least, worst, values, value, reached):
    target = targets.Target('x', 'ms', targets.Figure('p2p'), 100, at_least=at_least, worst=worst)
    judged = targets.judge(target, results(values, [1]), 'pinned')
    assert (judged.value, judged.ratio, judged.reached) == (value, None, reached)


def test_every_target_names_a_figure_that_is_taken():
    import authorization
    import scenarios
    names = {s.name: s for s in scenarios.messages(scenarios.FULL) + scenarios.wildcards(scenarios.FULL)}
    others = {'revoke-one', 'introspect', 'durable-qos1', 'kept-qos1'} | {'grants-' + kind.name for kind in authorization.KINDS}
    for target in targets.TARGETS:
        for figure in filter(None, (target.figure, target.against)):
            assert figure.scenario in names or figure.scenario in others, figure
            assert figure.column != 'symbolon, 2 workers' or names[figure.scenario].workers
    assert {kind for _, _, _, kind, *_ in names.values()} <= set(scenarios.READERS) <= set(scenarios.FIGURE) == set(report.DETAILS)


# ---- the table ----

def test_the_table_says_what_was_measured_against_what():
    judged = targets.judge_all(results([1.5, 2, 2.5], [20]), [RATIO])
    line = report.target_table(judged, ['pinned', 'unpinned']).splitlines()[2]
    assert line == '| p2p, µs | ≤ 0.20 | 2.00 (1.50–2.50) | 20.0 | 0.100 | – | – | – | 3/– | yes |'
    document, = report.target_json(judged)
    assert document['reached'] is True and document['measured'][0]['ratio'] == 0.1 and json.dumps(document)


def test_details_that_were_not_measured_are_dashes():
    assert report.details('rate', {'p50_us': 120.0, 'generator_cpu': 0.5}) == 'p50 120, p99 – µs; gen 50%'
    assert report.cell('idle', [{'bytes': 13000.0}, {'bytes': 12000.0}]) == '12,500 (12,000–13,000)'
    assert report.cell('idle', []) == '–'


def test_a_run_in_which_nothing_came_is_no_figure():
    import scenarios
    with pytest.raises(Failed, match='nothing came'):
        scenarios.per(120, 0)
    assert scenarios.per(120, 100) == 1.2


def test_losses_are_counted_in_all_rounds():
    assert report.count_lost({('pinned', 'p2p', 'symbolon'): [{'lost': 2}, {'twice': 1, 'failed': 3}], ('x',): [{'us': 1}]}) == 6


def test_the_table_goes_between_its_marks(tmp_path):
    readme = tmp_path / 'README.md'
    readme.write_text('a\n<!-- figures: by x -->\nold\n<!-- end of figures -->\nb\n')
    for _ in range(2):
        report.put_into(readme, 'figures', 'new\n')
        assert readme.read_text() == 'a\n<!-- figures: by x -->\nnew\n<!-- end of figures -->\nb\n'


def test_a_generator_that_takes_more_than_the_broker_is_named():
    measured = {('pinned', 'p2p', 'a'): [{'broker_cpu': 0.5, 'generator_cpu': 0.6}], ('pinned', 'p2p', 'b'): [{'us': 1}],
                ('pinned', 'p2p', 'c'): [{'broker_cpu': 0.9, 'generator_cpu': 0.6}],
                ('pinned', 'idle', 'a'): [{'broker_cpu': 0.001, 'generator_cpu': 0.002}]}
    assert report.heavier_generators(measured) == ['p2p (a, pinned: 60% against 50%)']


# ---- rounds ----

class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def step(self, name, rounds, seconds, ran):
        def run(number):
            ran.append((name, number))
            self.now += seconds
        return schedule.Step(name, rounds, run)


@pytest.mark.parametrize('rounds_before', [0, 1])
def test_when_time_is_up_the_first_round_is_what_counts(rounds_before):
    """The prediction was wrong: with a figure for everything there is a table, else there is none"""
    def run(number):
        if number == rounds_before:
            raise OutOfTime('in p2p')

    made = schedule.Schedule([schedule.Step('a', 5, lambda number: None), schedule.Step('b', 5, run)], 1000)
    if rounds_before == 0:
        with pytest.raises(OutOfTime):
            made.run()
    else:
        made.run()
        assert made.missing() == {'a': (2, 5), 'b': (1, 5)}


def scheduled(limit, *steps):
    clock, ran = Clock(), []
    made = schedule.Schedule([clock.step(*step, ran) for step in steps], limit, clock)
    made.run()
    return ran, made


def test_rounds_go_one_of_each_at_a_time():
    ran, made = scheduled(1000, ('a', 3, 10), ('b', 1, 50), ('c', 2, 5))
    assert ran == [('a', 0), ('b', 0), ('c', 0), ('a', 1), ('c', 1), ('a', 2)] and made.missing() == {}


def test_what_would_not_end_in_time_is_left_out_and_said():
    ran, made = scheduled(100, ('a', 3, 30), ('b', 3, 5))
    assert ran == [('a', 0), ('b', 0), ('a', 1), ('b', 1), ('b', 2)] and made.missing() == {'a': (2, 3)}


def test_the_first_round_is_never_left_out():
    ran, made = scheduled(10, ('a', 2, 30), ('b', 2, 30))
    assert ran == [('a', 0), ('b', 0)] and made.missing() == {'a': (1, 2), 'b': (1, 2)}
