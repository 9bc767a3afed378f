"""The world of the black-box tests: real daemons on loopback ports of their own choosing, in folders of their own.

A Daemon's log is read as it is written; tests wait for an event, never for a time. Ending one checks that it left
in order and that no sanitizer had anything to say.
"""
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import jose_by_hand as jose

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get('BUILD_DIR') or os.path.join(ROOT, 'build', 'gcc')
WAIT = 60  # seconds; what a slow, sanitized daemon may take. A limit for failing, never a pace
SANITIZER = re.compile(r'Sanitizer|runtime error:|assertion failed')
FIELD = re.compile(r'([A-Za-z0-9_#]+)=("(?:\\.|[^"\\])*"|\S*)')


# How long the broker waits for a client, or for a server, that the test has not let run: unless the test is about that.
PATIENT = {'limits.handshake_timeout': '5m', 'limits.connect_timeout': '5m', 'limits.auth_timeout': '5m',
           'token.as_timeout': '60s'}


def wait_for(condition, wait=WAIT, why=None):
    """What the condition came to. `why` says what was there instead; the condition is asked once more at the end, for who
    did not run himself for so long."""
    deadline = time.monotonic() + wait
    while not (met := condition()):
        if time.monotonic() >= deadline:
            if met := condition():
                break
            raise AssertionError('it never came true' + (': %s' % why() if why else ''))
        time.sleep(0.01)
    return met


TAKEN = []  # sockets that say to other processes of tests which ports are ours, as long as we live


def free_port():
    """A port that nobody has, nor will have: below those the kernel gives to connections, one of which would take the port of a
    server while that is away."""
    while True:
        port, claim = random.randrange(10000, 32000), socket.socket(socket.AF_UNIX)
        try:
            claim.bind('\0symbolon-test-port-%d' % port)
            with socket.socket() as s:
                s.bind(('127.0.0.1', port))
        except OSError:
            claim.close()
            continue
        TAKEN.append(claim)
        return port


def program(name):
    folder = {'symbolon-as': 'as', 'symbolon-broker': 'broker', 'symbolon': 'cli'}[name]
    return os.path.join(BUILD, 'src', folder, name)


def have_programs():
    return all(os.path.exists(program(p)) for p in ('symbolon-as', 'symbolon-broker', 'symbolon'))


def sanitized():
    """True if memory figures of the broker say nothing: what is freed waits in a sanitizer's quarantine."""
    with open(program('symbolon-broker'), 'rb') as f:
        return re.search(rb'__[at]san_init', f.read()) is not None


class Event:
    """One log line: level, name, fields."""

    def __init__(self, line):
        words = line.split(' ', 3)
        self.level, self.name = words[1], words[2]
        self.fields = {}
        for key, value in FIELD.findall(words[3] if len(words) > 3 else ''):
            self.fields[key] = json.loads(value) if value.startswith('"') else value

    def __repr__(self):
        return '%s %r' % (self.name, self.fields)


def read_event(line):
    return Event(line) if re.match(r'\d{4}-\d\d-\d\dT[\d:.]+Z \w+ \w+', line) else None


class Daemon:
    def __init__(self, *words, cwd=None, env=None):
        self.words, self.lines, self.events = words, [], []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(words, cwd=cwd, env=dict(os.environ, **(env or {})), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip('\n'))
                event = read_event(line.rstrip('\n'))
                if event is not None:
                    self.events.append(event)
                self.changed.notify_all()
        with self.changed:
            self.process.wait()
            self.changed.notify_all()

    def log(self):
        with self.changed:
            return '\n'.join(self.lines)

    def find(self, name, **fields):
        return [e for e in list(self.events) if e.name == name and
                all(e.fields.get(k) == str(v) for k, v in fields.items())]

    def event(self, name, count=1, wait=WAIT, **fields):
        """The `count`-th event of this name with these fields, as soon as it is there."""
        deadline = time.monotonic() + wait
        with self.changed:
            while True:
                found = self.find(name, **fields)
                if len(found) >= count:
                    return found[count - 1]
                left = deadline - time.monotonic()
                if left <= 0 or self.process.poll() is not None:
                    raise AssertionError('no event %s %r from %s:\n%s' % (
                        name, fields, self.words[0], '\n'.join(self.lines[-60:])))
                self.changed.wait(min(left, 0.5))

    def running(self):
        return self.process.poll() is None

    def kill(self):
        """As the kernel would: no word, no clean-up."""
        self.process.kill()
        self.process.wait()
        self.reader.join()

    def stop(self):
        """SIGTERM; the daemon must leave by itself, with status 0, and sanitizers silent."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(WAIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise AssertionError('%s did not leave on SIGTERM:\n%s' % (self.words[0], self.log()[-6000:])) from None
        self.reader.join()
        self.process.stdout.close()
        text = self.log()
        hit = SANITIZER.search(text)
        if hit:
            raise AssertionError('%s:\n%s' % (self.words[0], text[max(0, hit.start() - 200):hit.start() + 6000]))
        if self.process.returncode != 0:
            raise AssertionError('%s left with status %d:\n%s' % (self.words[0], self.process.returncode, text[-6000:]))


class Reply:
    def __init__(self, code, headers, body):
        self.code, self.headers, self.body = code, {k.lower(): v for k, v in headers}, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return 'Reply(%d, %r)' % (self.code, self.body[:400])


class Principal:
    """A registered client or resource server and what it authenticates with."""

    def __init__(self, name, secret=None, key=None):
        self.id, self.secret, self.key = name, secret, key


class As:
    """An authorization server with its own state directory."""

    def __init__(self, folder, **settings):
        self.dir = os.path.join(folder, 'as')
        done = subprocess.run([program('symbolon-as'), 'init', self.dir], capture_output=True, text=True, timeout=WAIT)
        if done.returncode != 0:
            raise AssertionError('init: ' + done.stdout + done.stderr)
        self.init_output = done.stdout
        self.config = os.path.join(self.dir, 'as.yaml')
        self.ca = os.path.join(self.dir, 'ca.pem')
        self.socket_path = os.path.join(self.dir, 'admin.sock')
        self.set(**{'https.port': free_port(), 'issuer': 'https://localhost:${port}', **settings})
        self.port = 0
        self.start()

    def set(self, **settings):
        """Replaces or adds settings ("section.key" or "key") in the file `init` wrote."""
        lines = open(self.config, encoding='utf-8').read().splitlines()
        for name, value in settings.items():
            section, _, key = name.rpartition('.')
            lines = _set_line(lines, section, key, json.dumps(value) if isinstance(value, str) else str(value).lower())
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write('\n'.join(lines) + '\n')

    def start(self):
        self.daemon = Daemon(program('symbolon-as'), '--config', self.config)
        ready = self.daemon.event('as_started')
        self.port = int(ready.fields['https'])
        self.url = 'https://localhost:%d' % self.port

    def restart(self, kill=False):
        self.daemon.kill() if kill else self.daemon.stop()
        self.start()

    def certificate(self, out, *names):
        """`symbolon-as certificate`: paths of the certificate and its key."""
        words = [w for name in names for w in ('--name', name)]
        subprocess.run([program('symbolon-as'), 'certificate', *words, self.dir, out], check=True, capture_output=True,
                       timeout=WAIT)
        return out + '.pem', out + '.key'

    def admin(self, cmd, **members):
        """One command on the admin socket; raises if it is refused."""
        reply = self.admin_raw(json.dumps(dict(members, cmd=cmd)).encode() + b'\n')
        assert reply.pop('ok'), '%s: %r' % (cmd, reply)
        return reply

    def admin_raw(self, line):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(WAIT)
            s.connect(self.socket_path)
            s.sendall(line)
            return json.loads(s.makefile('rb').readline())

    def add_client(self, name, key=None, **members):
        if key is not None:
            members['jwk'] = key.jwk()
        return Principal(name, self.admin('client.add', client_id=name, **members).get('client_secret'), key)

    def add_rs(self, audience, **members):
        reply = self.admin('rs.add', audience=audience, **members)
        rs = Principal(audience, reply.get('rs_secret'))
        rs.shared = reply.get('key')
        return rs

    def allow(self, subject, audience, topic_filter, *permissions):
        return self.admin('policy.allow', subject=subject, audience=audience, filter=topic_filter,
                          permissions=list(permissions))['policy']['id']

    def request(self, method, path, body=None, headers=(), context=None):
        context = context or ssl.create_default_context(cafile=self.ca)
        connection = http.client.HTTPSConnection('localhost', self.port, context=context, timeout=WAIT)
        try:
            connection.request(method, path, body, dict(headers))
            got = connection.getresponse()
            return Reply(got.status, got.getheaders(), got.read())
        finally:
            connection.close()

    def post_json(self, path, members, media='application/ace+json', **more):
        return self.request('POST', path, json.dumps(members), {'Content-Type': media}, **more)

    def post_form(self, path, members, user=None, **more):
        headers = {'Content-Type': 'application/x-www-form-urlencoded'}
        if user is not None:
            quoted = ':'.join(urllib.parse.quote(part, safe='') for part in (user.id, user.secret))
            headers['Authorization'] = 'Basic ' + jose.base64.b64encode(quoted.encode()).decode()
        return self.request('POST', path, urllib.parse.urlencode(members), headers, **more)

    def assertion(self, client, **claims):
        now = int(time.time())
        body = {'iss': client.id, 'sub': client.id, 'aud': self.url + '/token', 'iat': now, 'exp': now + 120,
                'jti': jose.b64(os.urandom(16))}
        body.update(claims)
        return jose.jws(client.key, body)

    def proof(self, key, client_id, **claims):
        """req_cnf_proof (docs/decisions/0001)."""
        now = int(time.time())
        body = {'aud': self.url + '/token', 'client_id': client_id, 'iat': now, 'exp': now + 120,
                'jti': jose.b64(os.urandom(16))}
        body.update(claims)
        return jose.jws(key, body, typ='req-cnf+jwt')

    def credentials(self, client):
        if client.key is not None:
            return {'client_assertion': self.assertion(client),
                    'client_assertion_type': 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'}
        return {'client_id': client.id, 'client_secret': client.secret}

    def token(self, client, audience, scope=None, key=None, **members):
        """A token; bound to `key` (Ed25519) or, without one, to a secret the server makes. Raises when refused."""
        body = dict(self.credentials(client), audience=audience, **members)
        if scope is not None:
            body['scope'] = scope
        if key is not None:
            body['req_cnf'] = {'jwk': {k: v for k, v in key.jwk().items() if k in ('kty', 'crv', 'x', 'y')}}
            body['req_cnf_proof'] = self.proof(key, client.id)
        reply = self.post_json('/token', body)
        assert reply.code == 200, reply
        return reply.json


def make_ca(folder):
    """A certificate authority of the test's own; returns (certificate, key)."""
    key, cert = os.path.join(folder, 'ca.key'), os.path.join(folder, 'ca.pem')
    _openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert,
             '-days', '30', '-subj', '/CN=test CA', '-addext', 'keyUsage=critical,keyCertSign,cRLSign')
    return cert, key


def make_server_certificate(folder, ca, ca_key):
    return _make_certificate(folder, ca, ca_key, 'broker', 'localhost',
                             'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n')


def make_client_certificate(folder, ca, ca_key, name):
    """(certificate, key) of a client; the files are called after it."""
    return _make_certificate(folder, ca, ca_key, name, name, 'extendedKeyUsage=clientAuth\n')


def _make_certificate(folder, ca, ca_key, name, subject, usage):
    key, cert, request, extensions = (os.path.join(folder, name + end) for end in ('.key', '.pem', '.csr', '.ext'))
    with open(extensions, 'w', encoding='ascii') as f:
        f.write('keyUsage=digitalSignature\n' + usage)
    _openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', request,
             '-subj', '/CN=' + subject)
    _openssl('x509', '-req', '-in', request, '-CA', ca, '-CAkey', ca_key, '-set_serial', str(int.from_bytes(os.urandom(8), 'big')),
             '-days', '30', '-out', cert, '-extfile', extensions)
    return cert, key


def _openssl(*words):
    subprocess.run(['openssl', *words], check=True, capture_output=True, timeout=WAIT)


class Broker:
    """A broker with its own folder. `as_server` (an As) is trusted with everything: key set, encrypted tokens and
    introspection; `issuers` are dicts of iss, jwks (in a file), shared (an oct JWK) and settings. `public` is AIF;
    `listener` more settings of the first listener, `more_listeners` the settings of others, by name: `ports` says where."""

    def __init__(self, folder, as_server=None, audience=None, issuers=(), public=(), workers=2, listener=(),
                 more_listeners=(), **settings):
        self.dir, self.as_server = folder, as_server
        self.config = os.path.join(folder, 'broker.yaml')
        if as_server is not None:
            self.ca = as_server.ca
            self.certificate, self.key = as_server.certificate(os.path.join(folder, 'broker'), 'localhost', '127.0.0.1')
        else:
            self.ca, ca_key = make_ca(folder)
            self.certificate, self.key = make_server_certificate(folder, self.ca, ca_key)
        self.port, self.audience, self.workers, self.settings = 0, audience, workers, settings
        self.listener, self.more_listeners, self.ports = dict(listener), dict(more_listeners), {}
        self.public, self.issuers = public, [self._issuer(n, i) for n, i in enumerate(issuers)]
        if as_server is not None:
            self.issuers.append(self._as_issuer(as_server))
        self.start()

    def _file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, 'w', encoding='utf-8', opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(text)
        return path

    def _issuer(self, number, issuer):
        out = {'issuer': issuer['iss'], 'jwks_file': self._file('jwks-%d.json' % number, json.dumps(issuer['jwks']))}
        if 'shared' in issuer:
            out['token_key_file'] = self._file('shared-%d.json' % number, json.dumps(issuer['shared']))
        return dict(out, **issuer.get('settings', {}))

    def _as_issuer(self, server):
        rs = server.add_rs(self.audience, key='generate', certificate=open(self.certificate, encoding='ascii').read())
        return {'issuer': server.url, 'token_endpoint': server.url + '/token', 'ca': server.ca,
                'jwks_uri': server.url + '/jwks.json', 'introspection_uri': server.url + '/introspect',
                'revocation_uri': server.url + '/trl',
                'client_id': rs.id, 'client_secret_file': self._file('rs.secret', rs.secret + '\n'),
                'token_key_file': self._file('shared.json', json.dumps(rs.shared))}

    def _write(self):
        quote = json.dumps
        sections = {}
        settings = {**PATIENT, **self.settings}
        lines = ['workers: %d' % self.workers, 'log_level: debug']
        lines += [] if 'log_rate' in settings else ['log_rate: 0']  # tests count events
        lines += [] if 'state_dir' in settings else ['state_dir: state']  # so that everything is tested with durability: commit
        for name, value in settings.items():
            section, _, key = name.rpartition('.')
            sections.setdefault(section, []).append('%s: %s' % (key, quote(value)))
        lines += sections.pop('', [])
        lines += ['listeners:']
        for name, more in {'mqtts': self.listener, **self.more_listeners}.items():
            port = self.ports.setdefault(name, free_port())  # a restart comes back to the same place
            listener = {'name': name, 'address': '127.0.0.1', 'port': port,
                        'certificate': self.certificate, 'key': self.key, **more}
            lines += ['  - {%s}' % ', '.join('%s: %s' % (k, quote(v)) for k, v in listener.items())]
        if self.audience:
            lines += ['audiences: [%s]' % quote(self.audience)]
        if self.issuers:
            lines += ['authorization_servers:']
            lines += ['  - {%s}' % ', '.join('%s: %s' % (k, quote(v)) for k, v in i.items()) for i in self.issuers]
        if self.public:
            lines += ['public_topics:']
            lines += ['  - {filter: %s, publish: %s, subscribe: %s}' % (
                quote(f), str('pub' in p).lower(), str('sub' in p).lower()) for f, p in self.public]
        for section, rows in sections.items():
            lines += [section + ':'] + ['  ' + row for row in rows]
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write('\n'.join(lines) + '\n')

    def start(self):
        self._write()
        ports = os.path.join(self.dir, 'ports')
        self.daemon = Daemon(program('symbolon-broker'), '--config', self.config, '--ports-file', ports)
        self.daemon.event('broker_started')
        self.ports = {name: int(port) for name, port in (line.split('=') for line in open(ports, encoding='ascii'))}
        self.port = self.ports['mqtts']
        if self.as_server is not None:
            self.daemon.event('jwks_fetched')

    def restart(self, kill=False):
        self.daemon.kill() if kill else self.daemon.stop()
        self.start()

    def mosquitto(self, kind, *words, version='5', stdin=None, wait=WAIT):
        """mosquitto_pub or mosquitto_sub, over TLS; what became of it."""
        return subprocess.run(['mosquitto_' + kind, '-V', version, '-h', 'localhost', '-p', str(self.port), '--cafile', self.ca,
                               *words], input=stdin, capture_output=True, text=True, timeout=wait)


def _set_line(lines, section, key, value):
    """Text surgery on a settings file of one or two levels, comments included."""
    if not section:
        kept = [line for line in lines if not re.match(r'%s\s*:' % re.escape(key), line)]
        return ['%s: %s' % (key, value)] + kept
    out, inside, done = [], False, False
    for line in lines:
        if re.match(r'\S', line) and not line.startswith('#'):
            inside = re.match(r'%s\s*:' % re.escape(section), line) is not None
            out.append(line)
            if inside:
                out.append('  %s: %s' % (key, value))
                done = True
            continue
        if inside and re.match(r'\s+%s\s*:' % re.escape(key), line):
            continue
        out.append(line)
    return out if done else out + ['%s:' % section, '  %s: %s' % (key, value)]


def run_cli(*words, env=None, stdin=None, wait=WAIT):
    """The `symbolon` command with a home of its own given by env['HOME']; returns the finished process."""
    full = dict(os.environ, **(env or {}))
    return subprocess.run([program('symbolon'), *words], env=full, input=stdin, capture_output=True, text=True,
                          errors='replace', timeout=wait, stdin=subprocess.DEVNULL if stdin is None else None)


def home_env(folder):
    """The environment of somebody at home in this folder."""
    return {'HOME': str(folder), 'XDG_CONFIG_HOME': '%s/config' % folder, 'XDG_CACHE_HOME': '%s/cache' % folder}


def enroll(broker, client_id, folder, groups=()):
    """A machine at home in this folder enrols with a one-time code: profile, key, cache. Its environment."""
    env, server = home_env(folder), broker.as_server
    code = server.admin('enroll.create', client_id=client_id, groups=list(groups), default_audience=broker.audience)['code']
    done = run_cli('enroll', '--as', server.url, '--code', code, '--cafile', broker.ca, '--host', 'localhost', '--port',
                   str(broker.port), env=env)
    assert done.returncode == 0, done.stderr
    return env


def node(script, job):
    """A witness script; its one line of JSON."""
    if shutil.which('node') is None:
        raise AssertionError('node is missing: run tools/setup test')
    done = subprocess.run(['node', os.path.join(HERE, script), json.dumps(job)], cwd=HERE, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=2 * WAIT)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def curl(ca, *words, data=None):
    """Returns (status, headers, body) of what curl itself saw."""
    done = subprocess.run(['curl', '--silent', '--show-error', '--max-time', str(WAIT), '--cacert', ca, '--include',
                           *words], input=None if data is None else data.encode(), capture_output=True,
                          timeout=2 * WAIT)
    assert done.returncode == 0, done.stderr.decode()
    head, _, body = done.stdout.decode().partition('\r\n\r\n')
    while head.split()[1] == '100':
        head, _, body = body.partition('\r\n\r\n')
    lines = head.split('\r\n')
    headers = {k.lower(): v for k, v in (line.split(': ', 1) for line in lines[1:] if ': ' in line)}
    return int(lines[0].split()[1]), headers, body
