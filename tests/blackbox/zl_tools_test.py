"""What stands in tools/ and beside it, as it is called: a word that is not known is an error, and nothing is done."""
import os
import subprocess
import sys

import pytest
from world import BUILD, ROOT

PYTHON = ['tools/docs', 'tools/test', 'tools/fuzz', 'tools/coverage', 'tools/demo', 'bench/run', 'bench/durability', 'bench/lifetimes', 'bench/plots',
          'bench/scale', 'tests/instructions/run', 'tests/soak/run', 'tests/torture/run', 'tests/torture/as', 'tests/lint/clauses.py',
          'tests/vectors/mqtt/make', 'tests/differential/run']
WORDS = [  # where words are names, and what is said
    ('tools/docs chekc', 'unrecognized arguments: chekc'), ('tools/demo onec', 'usage: tools/demo'),
    ('tools/test lint clagn', 'no stage named clagn; there are: lint gcc'),
    ('tools/coverage --no-build src/base/lgo.c', 'src/base/lgo.c is no file'),
    ('bench/run --scenario p2p,fan-uot', 'no scenario is named fan-uot; there are: '), ('bench/lifetimes expiri', 'not expiri'),
    ('bench/scale --set token_s=often', 'a number is wanted'), ('bench/scale --set tokens=1', 'no input named tokens'),
    ('bench/plots --draw --times', 'not allowed with'), ('tests/torture/plant no-such-fault', 'no fault named no-such-fault'),
    ('tests/instructions/run --program /bin/true no-such-one', 'no scenario named no-such-one'),
    ('tests/lint/clauses.py --wirte', 'usage: '), ('tests/vectors/mqtt/make check', 'usage: '),
    ('tools/setup bech', 'usage: '), ('tools/setup build test', 'usage: '),
    ('tools/build', 'there are: plain release'), ('tools/build gc', "no build named 'gc'"),
]


def refused(script, words):
    runner = [sys.executable, '-B'] if 'python' in open(os.path.join(ROOT, script), encoding='utf-8').readline() else []
    done = subprocess.run([*runner, os.path.join(ROOT, script), *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    assert done.stdout == '' and 'Traceback' not in done.stderr
    return done.stderr


@pytest.mark.parametrize('script', PYTHON)
def test_an_option_that_is_not_known(script):
    assert 'usage: ' in refused(script, ['--no-such-option'])


@pytest.mark.parametrize('command, says', WORDS)
def test_a_word_that_is_not_known(command, says):
    script, *words = command.split()
    assert says in refused(script, words)


def test_a_fuzz_target_that_is_not_known(tmp_path):
    target = tmp_path / 'src' / 'mqtt' / 'packet_fuzz'
    target.parent.mkdir(parents=True)
    target.write_text('')
    target.chmod(0o755)
    assert 'no target named pakcet; there are: packet' in refused('tools/fuzz', ['--build=%s' % tmp_path, 'pakcet'])


def test_a_broker_that_durability_does_not_know():
    done = subprocess.run([sys.executable, '-B', os.path.join(ROOT, 'bench', 'durability'), '--build', BUILD, '--only', 'symbolon-commit,mosquito'],
                          capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1 and '--only: no mosquito; there are: ' in done.stderr
