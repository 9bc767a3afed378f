"""Starts what is measured: mosquitto, our broker and our authorization server, each in a scratch folder."""
import base64
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

AUDIENCE = "bench-broker"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
CLIENTS = 500  # of each kind, at the authorization server


class Failed(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Failed(f"{args[0]} {args[1]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def pinned(cpu):
    """For preexec_fn: the process stays on one core (None leaves it alone) and never outlives us."""
    libc = ctypes.CDLL(None)

    def before_exec():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    return before_exec


class Daemon:
    """A process of ours: started on its core, stopped by its number, killed if it does not listen to that."""

    def __init__(self, args, log, cpu):
        self.log = log
        with open(log, "wb") as out:
            self.process = subprocess.Popen([str(a) for a in args], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                            preexec_fn=pinned(cpu))

    @property
    def pid(self):
        return self.process.pid

    def wait_for_port(self, port):
        for _ in range(200):
            if self.process.poll() is not None:
                break
            with socket.socket() as s:
                s.settimeout(1)
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise Failed(f"{self.process.args[0]} does not listen:\n{pathlib.Path(self.log).read_text()[-2000:]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)


def make_certificates(folder):
    """An authority and a P-256 server certificate for the loopback: the same for every broker."""
    folder.mkdir()
    key = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"]
    run(*key, folder / "ca.key")
    run(*key, folder / "server.key")
    run("openssl", "req", "-x509", "-new", "-key", folder / "ca.key", "-subj", "/CN=bench", "-days", "3",
        "-out", folder / "ca.pem")
    run("openssl", "req", "-new", "-key", folder / "server.key", "-subj", "/CN=localhost", "-out",
        folder / "server.csr")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run("openssl", "x509", "-req", "-in", folder / "server.csr", "-CA", folder / "ca.pem", "-CAkey",
        folder / "ca.key", "-CAcreateserial", "-days", "3", "-extfile", folder / "names", "-out",
        folder / "server.pem")
    return folder


class Mosquitto:
    """Password login. TCP_NODELAY, not its default, is switched on: it speaks for mosquitto."""

    name = "mosquitto"
    logins = ["password"]
    keeping = "max_queued_messages 10000\npersistence false"

    def __init__(self, bench):
        self.bench, self.folder = bench, bench.scratch / self.name
        self.folder.mkdir()
        self.program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        run("mosquitto_passwd", "-b", "-c", self.folder / "passwords", "bench", "secret")

    @staticmethod
    def available(_build):
        return shutil.which("mosquitto") is not None or os.path.exists("/usr/sbin/mosquitto")

    def version(self):
        text = subprocess.run([self.program, "-h"], capture_output=True, text=True, timeout=10).stdout
        return re.sub(" version ", " ", text.splitlines()[0].strip())

    def start(self):
        self.port = free_port()
        certificates = self.bench.certificates
        config = self.folder / "mosquitto.conf"
        config.write_text(f"""listener {self.port} 127.0.0.1
certfile {certificates}/server.pem
keyfile {certificates}/server.key
tls_version tlsv1.3
password_file {self.folder}/passwords
allow_anonymous false
set_tcp_nodelay true
max_inflight_messages 256
{self.keeping}
log_type error
log_dest stderr
{"user root" if os.geteuid() == 0 else ""}
""")
        self.daemon = Daemon([self.program, "-c", config], self.folder / "log", self.bench.broker_cpu)
        self.daemon.wait_for_port(self.port)

    def login(self, _kind):
        return ["--username=bench", "--pw=secret", f"--cafile={self.bench.certificates}/ca.pem"]

    def stop(self):
        self.daemon.stop()


class AuthorizationServer:
    """`symbolon-as` with one resource server, many clients of two kinds (secret, key) and a policy for bench/#."""

    def __init__(self, bench):
        self.bench, self.folder = bench, bench.scratch / "as"
        self.port = free_port()
        self.issuer = f"https://localhost:{self.port}"
        self.program = bench.program("symbolon-as")
        run(self.program, "init", f"--port={self.port}", self.folder)
        with open(self.folder / "as.yaml", "a", encoding="utf-8") as config:
            config.write("log_level: warning\ntoken:\n  max_per_client: 100000\n")
        self.daemon = Daemon([self.program, "--config", self.folder / "as.yaml"], self.folder / "log",
                             bench.broker_cpu)
        self.daemon.wait_for_port(self.port)
        self.register()

    def admin(self, *commands):
        """Answers to the commands; they go over one connection, in order."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(str(self.folder / "admin.sock"))
            answers = []
            with s.makefile("rwb") as stream:
                for command in commands:
                    stream.write(json.dumps(command).encode() + b"\n")
                    stream.flush()
                    answers.append(json.loads(stream.readline()))
        for command, answer in zip(commands, answers):
            if not answer["ok"]:
                raise Failed(f"authorization server, {command['cmd']}: {answer}")
        return answers

    def register(self):
        self.key_file = self.folder / "client.key"
        run("openssl", "genpkey", "-algorithm", "ed25519", "-out", self.key_file)
        spki = subprocess.run(["openssl", "pkey", "-in", self.key_file, "-pubout", "-outform", "DER"],
                              capture_output=True, check=True, timeout=10).stdout
        x = base64.urlsafe_b64encode(spki[-32:]).rstrip(b"=").decode()
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": x}
        rs, _ = self.admin({"cmd": "rs.add", "audience": AUDIENCE, "key": "generate"},
                           {"cmd": "policy.allow", "subject": "any", "audience": AUDIENCE, "filter": "bench/#",
                            "permissions": ["pub", "sub"]})
        self.rs_id, self.rs_secret = AUDIENCE, rs["rs_secret"]
        (self.folder / "token.jwk").write_text(json.dumps(rs["key"]))
        names = range(CLIENTS)
        added = self.admin(*({"cmd": "client.add", "client_id": f"secret-{i}"} for i in names))
        self.admin(*({"cmd": "client.add", "client_id": f"key-{i}", "jwk": self.jwk} for i in names))
        (self.folder / "secret.accounts").write_text(
            "".join(f"secret-{i} {answer['client_secret']}\n" for i, answer in enumerate(added)))
        (self.folder / "key.accounts").write_text("".join(f"key-{i} -\n" for i in names))

    def ask(self, kind, out):
        """Arguments for the scenario `grants`: what a client sends that gets tokens of this kind."""
        body = {"grant_type": "client_credentials", "audience": AUDIENCE, "client_id": "@CLIENT@"}
        args = ["grants", f"--ca={self.folder}/ca.pem", f"--accounts={self.folder}/{kind}.accounts", f"--out={out}"]
        if kind == "secret":
            return [*args, f"--body={json.dumps(body | {'client_secret': '@SECRET@'})}"]
        body |= {"client_assertion": "@ASSERTION@", "req_cnf": {"jwk": self.jwk},
                 "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
        return [*args, f"--body={json.dumps(body)}", f"--key={self.key_file}", f"--issuer={self.issuer}"]

    def stop(self):
        self.daemon.stop()


class Symbolon:
    """Our broker with one worker, its tokens from our authorization server. Two kinds of token: signed, bound to an
    Ed25519 key of the client; encrypted, bound to a secret the server made."""

    name = "symbolon"
    logins = ["key", "secret"]
    keeping = "durability: none"

    def __init__(self, bench):
        self.bench, self.folder = bench, bench.scratch / self.name
        self.folder.mkdir()
        self.program = bench.program("symbolon-broker")

    @staticmethod
    def available(build):
        return (build / "src/broker/symbolon-broker").exists() and (build / "src/as/symbolon-as").exists()

    def version(self):
        return run(self.program, "--version").strip().replace("symbolon-broker", "symbolon")

    def start(self):
        server, certificates = self.bench.authorization_server, self.bench.certificates
        self.port = free_port()
        config = self.folder / "broker.yaml"
        config.write_text(f"""listeners:
  - address: 127.0.0.1
    port: {self.port}
    certificate: {certificates}/server.pem
    key: {certificates}/server.key
authorization_servers:
  - issuer: {server.issuer}
    token_endpoint: {server.issuer}/token
    jwks_uri: {server.issuer}/jwks.json
    ca: {server.folder}/ca.pem
    token_key_file: {server.folder}/token.jwk
audiences: [{AUDIENCE}]
{self.keeping}
workers: 1
log_level: warning
""")
        self.daemon = Daemon([self.program, "--config", config], self.folder / "log", self.bench.broker_cpu)
        self.daemon.wait_for_port(self.port)

    def login(self, kind):
        return [f"--tokens={self.bench.tokens[kind]}", f"--cafile={self.bench.certificates}/ca.pem"]

    def stop(self):
        self.daemon.stop()


BROKERS = [Symbolon, Mosquitto]
