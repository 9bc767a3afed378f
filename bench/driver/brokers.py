"""The brokers that are measured side by side: ours, Debian's mosquitto, and any other that a command line starts.

Each has a name (its column), a port, a process to measure, and for every scenario the logins it is measured with.
"""
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from authorization import AUDIENCE
from daemons import Daemon, Failed, free_port, listener, run

TEMPLATES = Path(__file__).resolve().parent.parent / "brokers"
USER, PASSWORD = "bench", "secret"
PUBLIC = "open"  # topics below it need no token
PLACEHOLDER = re.compile(r"\{(port|certfile|keyfile|cafile|folder|config|user|password|passwords)\}")


class Login(NamedTuple):
    column: str  # in the tables
    words: list  # of `symbolon bench`


class Broker:
    """TLS and a password, whatever program it is. `command` and the template of its config file (bench/brokers/NAME.conf, if
    none is named) may hold {port}, {certfile}, {keyfile}, {cafile}, {folder} (its own, empty), {config} (the file made of the
    template), {user}, {password} and {passwords} (a file made by mosquitto_passwd)."""

    def __init__(self, bench, name, command, template=None, protocol="5"):
        self.bench, self.name, self.command, self.protocol = bench, name, command, protocol
        self.folder = bench.scratch / name.replace(", ", "-")
        self.folder.mkdir(parents=True)
        self.template = Path(template) if template else TEMPLATES / f"{name}.conf"
        self.words = shlex.split(command)
        if not self.words or shutil.which(self.words[0], path=search_path()) is None:
            raise Failed(f"{name}: there is no program {self.words[0] if self.words else ''}")
        self.words[0] = shutil.which(self.words[0], path=search_path())

    def fill(self, text):
        certificates = self.bench.certificates
        values = {"port": self.port, "certfile": certificates / "server.pem", "keyfile": certificates / "server.key",
                  "cafile": certificates / "ca.pem", "folder": self.folder, "config": self.folder / "config", "user": USER,
                  "password": PASSWORD, "passwords": self.folder / "passwords"}
        return PLACEHOLDER.sub(lambda found: str(values[found[1]]), text)

    def config(self):
        if not self.template.exists():
            raise Failed(f"{self.name}: no template {self.template} of its config file")
        return self.template.read_text()

    def start(self):
        self.port = free_port()
        texts = [self.command]
        if "{config}" in self.command:
            texts.append(self.config())
            (self.folder / "config").write_text(self.fill(texts[-1]))
        if any("{passwords}" in text for text in texts):
            run("mosquitto_passwd", "-b", "-c", self.folder / "passwords", USER, PASSWORD)
        self.daemon = Daemon([self.fill(word) for word in self.words], self.folder / "log", self.bench.broker_cpu)
        self.daemon.wait_for_port(self.port, seconds=30)
        self.pid = listener(self.port) or self.daemon.pid

    def version(self):
        """The first line of what it says of itself that has a number with a dot in it."""
        for words in ([self.words[0], "--version"], [self.words[0], "-h"]):
            done = subprocess.run(words, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
            found = re.search(r"\d+\.\d+[\w.-]*", done.stdout.split("\n")[0])
            if found:
                program = os.path.basename(self.words[0])
                return f"{self.name} {found[0]}" if program == self.name else f"{self.name} ({program} {found[0]})"
        return self.name

    def logins(self, _scenario):
        return [Login(self.name, [f"--username={USER}", f"--pw={PASSWORD}", "--no-ace", f"--protocol={self.protocol}",
                                  f"--cafile={self.bench.certificates}/ca.pem"])]

    def stop(self):
        self.daemon.stop()


class Mosquitto(Broker):
    """Debian's, always there. Its template switches TCP_NODELAY on, not its default: it speaks for mosquitto."""

    def __init__(self, bench, name="mosquitto", keeping="max_queued_messages 10000\npersistence false"):
        super().__init__(bench, name, "mosquitto -c {config}", TEMPLATES / "mosquitto.conf")
        self.keeping = keeping

    @staticmethod
    def available():
        return shutil.which("mosquitto", path=search_path()) is not None

    def config(self):
        return super().config() + self.keeping + "\n"


# A million retained messages are more than the limits it has by itself.
ROOM = """retained:
  max_messages: 10000000
  max_bytes: 4g
session:
  max_retained_backlog: 10000000"""


class Symbolon:
    """Ours: tokens of our authorization server, a proof of their key over the TLS exporter for every connection, and every
    publication, subscription and delivery looked up in the token's scope. One that `follows` also hears of revocations."""

    def __init__(self, bench, name="symbolon", workers=1, settings=f"durability: none\n{ROOM}", follows=False):
        self.bench, self.name, self.workers, self.settings, self.follows = bench, name, workers, settings, follows
        self.folder = bench.scratch / name.replace(", ", "-")
        self.folder.mkdir(parents=True)
        self.program = bench.program("symbolon-broker")
        self.log_level = "warning"

    @property
    def pid(self):
        return self.daemon.pid

    def version(self):
        return run(self.program, "--version").strip().replace("symbolon-broker", "symbolon")

    def servers(self):
        server = self.bench.authorization_server
        status = f"""
    client_id: {server.rs_id}
    client_secret_file: {server.folder}/rs.secret
    introspection_uri: {server.issuer}/introspect
    revocation_uri: {server.issuer}/trl""" if self.follows else ""
        return f"""  - issuer: {server.issuer}
    token_endpoint: {server.issuer}/token
    jwks_uri: {server.issuer}/jwks.json
    ca: {server.folder}/ca.pem
    token_key_file: {server.folder}/token.jwk{status}"""

    def start(self):
        certificates = self.bench.certificates
        self.port = free_port()
        config = self.folder / "broker.yaml"
        config.write_text(f"""listeners:
  - address: 127.0.0.1
    port: {self.port}
    certificate: {certificates}/server.pem
    key: {certificates}/server.key
authorization_servers:
{self.servers()}
audiences: [{AUDIENCE}]
public_topics:
  - filter: {PUBLIC}/#
    publish: true
    subscribe: true
workers: {self.workers}
log_level: {self.log_level}
{self.settings}
""")
        self.daemon = Daemon([self.program, "--config", config], self.folder / "log", self.bench.broker_cpu)
        self.daemon.wait_for_port(self.port)

    def logins(self, scenario):
        """Tokens never seen before by this process, signed for a key and encrypted with a secret, and one seen before; for
        everything else signed ones. Two workers differ from one in the messages only."""
        tokens, ca = self.bench.tokens, f"--cafile={self.bench.certificates}/ca.pem"
        if scenario.tokens == "each":
            return [Login(self.name, [f"--tokens={tokens['key']}", ca]),
                    Login(f"{self.name}, secret", [f"--tokens={tokens['secret']}", ca]),
                    Login(f"{self.name}, seen", [f"--tokens={tokens['standing']}", "--keep-token", ca])]
        return [Login(self.name, [f"--tokens={tokens[scenario.tokens]}", ca])]

    def stop(self):
        self.daemon.stop()


def search_path():
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
