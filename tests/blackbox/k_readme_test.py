"""What the documentation shows works: the README's five minutes, typed as they stand (only ports and the one-time code are
filled in), and every example of settings."""
import glob
import os
import re
import subprocess

import pytest
from world import BUILD, ROOT, WAIT, free_port, program

READY = {'symbolon-as': 'until [ -S as/admin.sock ]; do sleep 0.05; done',
         'symbolon-broker': 'until (exec 3<>/dev/tcp/127.0.0.1/%(mqtt)d) 2>/dev/null; do sleep 0.05; done'}


def shell_blocks():
    text = open(os.path.join(ROOT, 'README.md'), encoding='utf-8').read()
    tour = text.split('## Five minutes')[1].split('\n## ')[0]
    return re.findall(r'```sh\n(.*?)```', tour, re.S)


def script(ports):
    lines = ['set -eu', 'trap \'kill $(jobs -p) 2>/dev/null; wait\' EXIT']
    for block in shell_blocks():
        for line in block.splitlines():
            line = line.replace('symbolon-as init as', 'symbolon-as init --port %(https)d as' % ports)
            line = line.replace('8443', str(ports['https'])).replace('8883', str(ports['mqtt']))
            line = line.replace('--code CODE', '--port %(mqtt)d --code "$CODE"' % ports)
            if line.startswith('symbolon as enroll-code'):
                line = 'CODE=$(%s --json | python3 -c \'import json, sys; print(json.load(sys.stdin)["code"])\')' % line
            lines.append(line)
            if '--broker-dir' in line:
                lines.append('sed -i s/8883/%(mqtt)d/ broker/broker.yaml' % ports)
            if line.endswith('&'):
                lines.append(READY[line.split()[0]] % ports)
    refused = 'symbolon pub -t plant/sensor-2/temperature -m 21.5 -q 1'
    lines.append('if %s; then echo "published what was forbidden"; exit 1; fi' % refused)
    return '\n'.join(lines) + '\n'


def test_the_five_minutes_work_as_written(tmp_path):
    https, mqtt = free_port(), free_port()
    path = ':'.join(os.path.join(BUILD, 'src', d) for d in ('as', 'broker', 'cli'))
    env = dict(os.environ, PATH=path + ':/usr/bin:/bin', HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / 'config'),
               XDG_CACHE_HOME=str(tmp_path / 'cache'))
    done = subprocess.run(['bash', '-c', script({'https': https, 'mqtt': mqtt})], cwd=tmp_path, env=env, capture_output=True,
                          text=True, timeout=4 * WAIT, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Not authorized' in done.stderr and 'MT-81' in done.stderr


def examples():
    """(where, settings): YAML blocks of the operator's pages, and the file to begin with."""
    yield 'deploy/symbolon-broker.yaml', open(os.path.join(ROOT, 'deploy', 'symbolon-broker.yaml'), encoding='utf-8').read()
    for path in sorted(glob.glob(os.path.join(ROOT, 'docs', 'operate', '*.md'))):
        blocks = re.findall(r'```yaml\n(.*?)```', open(path, encoding='utf-8').read(), re.S)
        for n, block in enumerate(blocks, 1):
            yield '%s, block %d' % (os.path.relpath(path, ROOT), n), block


@pytest.mark.parametrize('where, settings', examples(), ids=lambda v: v if '\n' not in v else '')
def test_an_example_of_settings_is_accepted(tmp_path, where, settings):
    for key, value in (('listeners', '[{certificate: c.pem, key: c.key}]'), ('audiences', '[broker.example]'), ('state_dir', 'state')):
        if not re.search('^%s:' % key, settings, re.M):
            settings += '%s: %s\n' % (key, value)
    config = tmp_path / 'broker.yaml'
    config.write_text(settings, encoding='utf-8')
    done = subprocess.run([program('symbolon-broker'), '--config', config, '--check-config'], capture_output=True, text=True,
                          timeout=WAIT)
    assert done.returncode == 0, where + '\n' + done.stderr
