"""The same random packet scripts for our broker and Debian's mosquitto: every difference belongs to a class that is explained
(tests/differential, docs/conformance/differences.md). A full run has 10,000 scripts."""
import os
import shutil
import subprocess

import pytest
from world import ROOT, WAIT, program


@pytest.mark.skipif(not (shutil.which('mosquitto') or os.path.exists('/usr/sbin/mosquitto')), reason='needs mosquitto')
def test_differences_from_mosquitto_are_explained():
    done = subprocess.run(['/usr/bin/python3', os.path.join(ROOT, 'tests', 'differential', 'run'), '--scripts=1000',
                           '--broker=' + program('symbolon-broker')], capture_output=True, text=True, timeout=10 * WAIT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ' same\n' in done.stdout
