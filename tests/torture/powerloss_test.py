#!/usr/bin/python3
"""powerloss_test.py POWERLOSS_SO PROBE: what the shim and its tool promise, on a plain file, LMDB and SQLite.

For every sync of a short run: killed there, power lost, all that was said to be safe is there and nothing is torn. With a
disk that lies about its syncs the same runs must lose something, or the test could not fail.
"""
import os
import signal
import subprocess
import sys
import tempfile

import powerloss

SHIM, PROBE = sys.argv[1], sys.argv[2]
CHANGES = 12


def run(kind, scratch, *words, **env):
    root, log = os.path.join(scratch, 'root'), os.path.join(scratch, 'log')
    os.makedirs(root, exist_ok=True)
    os.makedirs(log, exist_ok=True)
    env = dict(os.environ, LD_PRELOAD=SHIM, POWERLOSS_ROOT=root, POWERLOSS_LOG=log, **{k: str(v) for k, v in env.items()})
    return subprocess.run([PROBE, kind, root, *words], env=env, capture_output=True, text=True, timeout=60)


def read(kind, scratch):
    done = subprocess.run([PROBE, kind, os.path.join(scratch, 'root')], capture_output=True, text=True, timeout=60)
    return int(done.stdout) if done.returncode == 0 else done.stderr.strip() or 'crashed'


def one(kind, kill_at, keep, seed, lie=0):
    """(what was said to be safe, what is there after the power came back, did it run to its end)"""
    with tempfile.TemporaryDirectory() as scratch:
        done = run(kind, scratch, str(CHANGES), POWERLOSS_KILL_AT=kill_at, POWERLOSS_LIE=lie)
        assert done.returncode in (0, -signal.SIGKILL), (done.returncode, done.stderr)
        said = len(done.stdout.split())
        powerloss.lose_power(os.path.join(scratch, 'root'), os.path.join(scratch, 'log'), keep, seed)
        return said, read(kind, scratch), done.returncode == 0


def every_sync(kind, lie=0):
    """Counts runs; the first loss."""
    runs, losses, kill_at = 0, [], 2
    while True:
        ended = False
        for keep, seed in (('none', 0), ('some', kill_at), ('some', kill_at + 1000)):
            said, there, ended = one(kind, kill_at, keep, seed, lie)
            runs += 1
            if not isinstance(there, int) and said == 0:
                there = 0  # LMDB syncs its first pages with the first commit: before, there is no store yet
            if not isinstance(there, int) or there < said or there > said + 1:
                losses.append('killed at %d, keep %s, seed %d: %d said to be safe, there: %s' % (kill_at, keep, seed, said, there))
        if ended:
            return runs, losses
        kill_at += 1


def failing():
    """A write that fails says so, and leaves what was there."""
    for n in range(1, 200):
        with tempfile.TemporaryDirectory() as scratch:
            done = run('lmdb', scratch, str(CHANGES), POWERLOSS_FAIL_AT=n, POWERLOSS_ERRNO=28)
            said = len(done.stdout.split())
            powerloss.lose_power(os.path.join(scratch, 'root'), os.path.join(scratch, 'log'), 'none')
            there = read('lmdb', scratch)
            assert isinstance(there, int) and there >= said, (n, said, there)
            if said == CHANGES and done.returncode == 0:
                return n
            assert done.returncode == 2, (n, done)
    raise AssertionError('never came to its end')


def main():
    for kind in ('plain', 'lmdb', 'sqlite'):
        runs, losses = every_sync(kind)
        assert not losses, '%s: %s' % (kind, losses[:3])
        print('%s: %d runs, nothing lost' % (kind, runs))
        said, there, _ = one(kind, 0, 'none', 0, lie=1)
        assert said == CHANGES and there != CHANGES, '%s: with syncs that do nothing all %s are there' % (kind, there)
    print('failing writes: %d' % failing())
    return 0


if __name__ == '__main__':
    sys.exit(main())
