"""The brokers that can be tortured: ours, and mosquitto saving on every change, to see that the harness can fail."""
import os
import signal
import socket
import ssl
import subprocess
import sys
import time

import powerloss

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'blackbox'))
import world  # noqa: E402 pylint: disable=wrong-import-position

WAIT = 60


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Target:
    """A broker in a folder: start(), kill(), and between them what power loss does to its files."""

    def __init__(self, scratch, power_loss=False, sync_us=0, preload=True):
        self.state, self.account = os.path.join(scratch, 'state'), os.path.join(scratch, 'account')
        os.makedirs(self.state, mode=0o700)
        os.makedirs(self.account)
        self.log_path = os.path.join(scratch, 'broker.log')
        self.power_loss, self.sync_us, self.preload = power_loss, sync_us, preload
        self.scratch, self.process, self.port, self.tls = scratch, None, 0, None

    def words(self):
        raise NotImplementedError

    def ready(self):
        raise NotImplementedError

    def start(self, kill_at=0):
        """`kill_at`: at that sync it dies by itself. Returns how long until it was ready."""
        env = dict(os.environ)
        if self.preload:
            env.update(LD_PRELOAD=os.path.join(world.BUILD, 'tests', 'torture', 'powerloss.so'), POWERLOSS_ROOT=self.state,
                       POWERLOSS_LOG=self.account, POWERLOSS_KILL_AT=str(kill_at), POWERLOSS_SYNC_US=str(self.sync_us))
        begin = time.monotonic()
        with open(self.log_path, 'a', encoding='utf-8') as log:
            self.log_at = log.tell()
            self.process = subprocess.Popen(self.words(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        deadline = begin + WAIT
        while not self.ready():
            if self.process.poll() is not None:
                if kill_at != 0 and self.process.returncode == -signal.SIGKILL:
                    return None  # while it was starting
                raise AssertionError('the broker ended with status %s:\n%s' % (self.process.returncode, self.tail()))
            if time.monotonic() > deadline:
                raise AssertionError('the broker does not start:\n' + self.tail())
            time.sleep(0.005)
        return time.monotonic() - begin

    def running(self):
        return self.process.poll() is None

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.returncode not in (0, -signal.SIGKILL):
                raise AssertionError('the broker ended with status %s:\n%s' % (self.process.returncode, self.tail()))

    def stop(self):
        """In order."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError('the broker does not stop:\n' + self.tail()) from None
        if self.process.returncode != 0:
            raise AssertionError('the broker ended with status %d:\n%s' % (self.process.returncode, self.tail()))

    def lose_power(self, keep, seed):
        if self.preload:
            return powerloss.lose_power(self.state, self.account, keep if self.power_loss else 'all', seed)
        return 0

    def disk_fails(self, number):
        """Every write fails with that errno from now on; 0: none does any more."""
        path = os.path.join(self.account, 'fail')
        if number:
            with open(path + '.new', 'w', encoding='ascii') as f:
                f.write(str(number))
            os.rename(path + '.new', path)
        elif os.path.exists(path):
            os.unlink(path)

    def since_start(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as f:
            f.seek(self.log_at)
            return f.read()

    def tail(self):
        return self.since_start()[-3000:]


class Symbolon(Target):
    def __init__(self, scratch, workers=2, tls=False, settings=(), durability='commit', **more):
        super().__init__(scratch, **more)
        self.durability = durability
        self.config, self.ports = os.path.join(scratch, 'broker.yaml'), os.path.join(scratch, 'ports')
        self.workers, self.settings = workers, list(settings)
        self.listener = '{name: mqtt, address: 127.0.0.1, port: 0, tls: false}'
        if tls:
            ca, ca_key = world.make_ca(scratch)
            certificate, key = world.make_server_certificate(scratch, ca, ca_key)
            self.listener = '{name: mqtt, address: 127.0.0.1, port: 0, certificate: %s, key: %s}' % (certificate, key)
            self.tls = ssl.create_default_context(cafile=ca)

    def words(self):
        lines = ['workers: %d' % self.workers, 'log_level: info', 'log_rate: 0', 'state_dir: ' + self.state, 'durability: ' + self.durability,
                 'listeners: [%s]' % self.listener, 'public_topics: [{filter: "#", publish: true, subscribe: true}]',
                 'session: {guest_max_expiry: 1d, max_queue_messages: 1000000}', *self.settings]
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write('\n'.join(lines) + '\n')
        if os.path.exists(self.ports):
            os.unlink(self.ports)
        return [world.program('symbolon-broker'), '--config', self.config, '--ports-file', self.ports]

    def ready(self):
        try:
            with open(self.ports, encoding='ascii') as f:
                text = f.read()
        except FileNotFoundError:
            return False
        if not text.endswith('\n') or ' broker_started' not in self.since_start():
            return False
        self.port = int(text.split('=')[1])
        return True


class Mosquitto(Target):
    def __init__(self, scratch, settings=(), **more):
        super().__init__(scratch, preload=False, power_loss=False)
        self.port = free_port()
        self.config = os.path.join(scratch, 'mosquitto.conf')
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write('listener %d 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\n'
                    'autosave_on_changes true\nautosave_interval 1\nmax_queued_messages 0\nmax_inflight_messages 0\nuser root\n'
                    % (self.port, self.state) + '\n'.join(settings) + '\n')

    def words(self):
        return ['mosquitto', '-c', self.config]

    def ready(self):
        with socket.socket() as s:
            return s.connect_ex(('127.0.0.1', self.port)) == 0
