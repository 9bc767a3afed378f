"""Other people's servers on loopback ports, for tests that need a broker that is not ours."""
import os
import shutil
import socket
import subprocess
import time

from world import WAIT, make_ca, make_server_certificate

PROGRAM = shutil.which('mosquitto') or '/usr/sbin/mosquitto'


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Mosquitto:
    """Debian's mosquitto with a folder of its own; `password` is (user, password), without which anybody may come in."""

    def __init__(self, folder, password=None, tls=False, **settings):
        if not os.path.exists(PROGRAM):
            raise AssertionError('mosquitto is missing: run tools/setup test')
        self.port = free_port()
        lines = ['listener %d 127.0.0.1' % self.port, 'persistence false', 'set_tcp_nodelay true',
                 'allow_anonymous %s' % str(password is None).lower(), 'max_queued_messages 10000']
        lines += ['user root'] if os.geteuid() == 0 else []
        if password is not None:
            file = os.path.join(folder, 'passwords')
            subprocess.run(['mosquitto_passwd', '-b', '-c', file, *password], check=True, capture_output=True, timeout=WAIT)
            lines.append('password_file ' + file)
        self.ca = None
        if tls:
            self.ca, ca_key = make_ca(folder)
            certificate, key = make_server_certificate(folder, self.ca, ca_key)
            lines += ['certfile ' + certificate, 'keyfile ' + key]
        lines += ['%s %s' % row for row in settings.items()]
        config = os.path.join(folder, 'mosquitto.conf')
        with open(config, 'w', encoding='ascii') as f:
            f.write('\n'.join(lines) + '\n')
        self.log = open(os.path.join(folder, 'log'), 'w', encoding='utf-8')
        self.process = subprocess.Popen([PROGRAM, '-c', config], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as s:
                s.settimeout(1)
                if s.connect_ex(('127.0.0.1', self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError('mosquitto does not listen: ' + open(self.log.name, encoding='utf-8').read())

    def stop(self):
        self.process.terminate()
        self.process.wait(WAIT)
        self.log.close()
