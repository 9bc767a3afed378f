"""Servers on loopback ports for the tests: Debian's mosquitto, ports that answer as a test likes, and a proxy that meddles."""
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

from world import WAIT, free_port, make_ca, make_server_certificate, wait_for

PROGRAM = shutil.which('mosquitto') or '/usr/sbin/mosquitto'


def shut(*sockets):
    """Ends the connections at once, whoever else waits for them."""
    for s in sockets:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Mosquitto:
    """Debian's mosquitto with a folder of its own; `password` is (user, password), without which anybody may come in. `tls`:
    instead of plain TCP; 'too': beside it, on tls_port. `settings` are lines of its file."""

    def __init__(self, folder, password=None, tls=False, **settings):
        if not os.path.exists(PROGRAM):
            raise AssertionError('mosquitto is missing: run tools/setup test')
        self.dir, self.port, self.ca = folder, free_port(), None
        self.config, self.log_path = os.path.join(folder, 'mosquitto.conf'), os.path.join(folder, 'log')
        self.url = '%s://localhost:%d' % ('mqtts' if tls is True else 'mqtt', self.port)
        common = {'persistence': 'false', 'set_tcp_nodelay': 'true', 'allow_anonymous': str(password is None).lower(),
                  'max_queued_messages': 10000}
        if os.geteuid() == 0:
            common['user'] = 'root'
        if password is not None:
            common['password_file'] = os.path.join(folder, 'passwords')
            subprocess.run(['mosquitto_passwd', '-b', '-c', common['password_file'], *password], check=True,
                           capture_output=True, timeout=WAIT)
        kinds = [('log_type', kind) for kind in ('error', 'warning', 'notice', 'information', 'subscribe')]
        rows = [*kinds, ('listener', '%d 127.0.0.1' % self.port), *((key, settings.pop(key, common[key])) for key in common)]
        if tls:
            self.ca, ca_key = make_ca(folder)
            certificate, key = make_server_certificate(folder, self.ca, ca_key)
            if tls == 'too':
                self.tls_port = free_port()
                rows.append(('listener', '%d 127.0.0.1' % self.tls_port))
            rows += [('certfile', certificate), ('keyfile', key)]
        with open(self.config, 'w', encoding='ascii') as f:
            f.writelines('%s %s\n' % row for row in [*rows, *settings.items()])
        self.start()

    def start(self):
        with open(self.log_path, 'a', encoding='utf-8') as log:
            self.process = subprocess.Popen([PROGRAM, '-c', self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def listens():
            assert self.process.poll() is None, 'mosquitto has left: ' + self.log()
            with socket.socket() as s:
                s.settimeout(WAIT)
                return s.connect_ex(('127.0.0.1', self.port)) == 0
        wait_for(listens, why=self.log)

    def log(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as log:
            return log.read()

    def wait_for_subscriptions(self, topic_filter, count=1):
        """Until so many, since the start of the first one, have subscribed to this."""
        wait_for(lambda: len(re.findall(r' \d %s$' % re.escape(topic_filter), self.log(), re.M)) >= count, why=self.log)

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(WAIT)


class Listener:
    """A port on which each connection gets talk(socket), in a thread of its own."""

    def __init__(self, talk, context=None, address='127.0.0.1'):
        self.socket = socket.create_server((address, 0))
        self.port = self.socket.getsockname()[1]
        self.talk, self.context, self.kept = talk, context, []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                one, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(one,), daemon=True).start()

    def _one(self, one):
        try:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is not None:
                one = self.context.wrap_socket(one, server_side=True)
            self.kept.append(one)
            self.talk(one)
        except OSError:
            pass

    def stop(self):
        self.socket.close()


class Proxy(Listener):
    """Leads to another port, few bytes at a time. While not `open` it takes nobody; cut() ends every connection in the
    middle of whatever goes over it."""

    def __init__(self, port, chunk=200):
        self.target, self.chunk, self.open = port, chunk, True
        self.lock, self.ends = threading.Lock(), []
        super().__init__(self._join)
        self.url = 'mqtt://127.0.0.1:%d' % self.port

    def answer(self, data, state):
        """What comes back becomes this; `state` is the connection's."""
        return data

    def _join(self, near):
        try:
            far = socket.create_connection(('127.0.0.1', self.target), timeout=WAIT)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            self.ends += [near, far]
            taken = self.open
        if not taken:
            shut(near, far)
        threading.Thread(target=self._pass, args=(far, near, self.answer), daemon=True).start()
        self._pass(near, far, lambda data, state: data)

    def _pass(self, one, other, change):
        state = {}
        try:
            while data := one.recv(self.chunk):
                other.sendall(change(data, state))
        except OSError:
            pass
        shut(one, other)

    def cut(self, again=True):
        """Not `again`: and takes nobody until it is `open`."""
        with self.lock:
            self.open, gone, self.ends = again, self.ends, []
        shut(*gone)

    def stop(self):
        super().stop()
        self.cut(again=False)
