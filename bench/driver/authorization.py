"""Our authorization server, with what the benches need: resource servers, many clients of several kinds, a policy for bench/#;
and the requests that get each kind of token."""
import base64
import json
import socket
import subprocess
from typing import NamedTuple

from daemons import Daemon, Failed, free_port, run

AUDIENCE = "bench-broker"
TOPICS = "bench/#"
CLIENTS = 100  # of each kind
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Kind(NamedTuple):
    """A kind of token: who asks, how it proves who it is, what it gets."""
    name: str
    title: str
    accounts: str  # which clients
    audience: str = AUDIENCE


KINDS = [
    Kind("key", "signed (EdDSA) for the client's Ed25519 key, private_key_jwt", "key"),
    Kind("p256", "signed (EdDSA) for the client's P-256 key, private_key_jwt", "p256"),
    Kind("registered", "signed (EdDSA) for the client's registered Ed25519 key, client secret", "registered"),
    Kind("secret", "encrypted (A256KW, A256GCM) with a new secret, client secret", "secret"),
    Kind("cwt", "as CWT, signed (EdDSA) for the client's Ed25519 key, private_key_jwt", "key", "bench-cwt"),
    Kind("reference", "as reference, for the client's Ed25519 key, private_key_jwt", "key", "bench-reference"),
]
AUDIENCES = {AUDIENCE: "jwt", "bench-cwt": "cwt", "bench-reference": "reference"}


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_jwk(key_file):
    """Of a private key in PEM, Ed25519 or P-256."""
    spki = subprocess.run(["openssl", "pkey", "-in", key_file, "-pubout", "-outform", "DER"], capture_output=True, check=True,
                          timeout=10).stdout
    if len(spki) == 44:  # RFC 8410
        return {"kty": "OKP", "crv": "Ed25519", "x": base64url(spki[-32:])}
    return {"kty": "EC", "crv": "P-256", "x": base64url(spki[-64:-32]), "y": base64url(spki[-32:])}


class AuthorizationServer:
    def __init__(self, bench, clients=CLIENTS):
        self.bench, self.folder, self.clients = bench, bench.scratch / "as", clients
        self.port = free_port()
        self.issuer = f"https://localhost:{self.port}"
        self.program = bench.program("symbolon-as")
        run(self.program, "init", f"--port={self.port}", self.folder)
        with open(self.folder / "as.yaml", "a", encoding="utf-8") as config:
            config.write("log_level: warning\ntoken:\n  max_per_client: 100000\n  max: 10000000\nauth:\n  replay_max: 10000000\n")
        self.daemon = Daemon([self.program, "--config", self.folder / "as.yaml"], self.folder / "log", bench.broker_cpu)
        self.daemon.wait_for_port(self.port)
        self.register()

    def admin(self, *commands):
        """Answers to the commands; they go over one connection, in order."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
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

    def new_key(self, name, *how):
        file = self.folder / f"{name}.key"
        run("openssl", "genpkey", *how, "-out", file)
        return file, public_jwk(file)

    def register(self):
        self.keys = {"key": self.new_key("ed25519", "-algorithm", "ed25519"),
                     "p256": self.new_key("p256", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")}
        self.keys["registered"] = self.keys["key"]
        self.key_file, self.jwk = self.keys["key"]
        rows = self.admin(*({"cmd": "rs.add", "audience": name, "token_format": form, "key": "generate"}
                            for name, form in AUDIENCES.items()))
        self.admin(*({"cmd": "policy.allow", "subject": "any", "audience": name, "filter": TOPICS, "permissions": ["pub", "sub"]}
                     for name in AUDIENCES))
        self.rs_id, self.rs_secret = AUDIENCE, rows[0]["rs_secret"]
        (self.folder / "token.jwk").write_text(json.dumps(rows[0]["key"]))
        (self.folder / "rs.secret").write_text(self.rs_secret)
        for accounts in ("key", "p256", "registered", "secret"):
            self.add_clients(accounts)

    def add_clients(self, accounts):
        names = [f"{accounts}-{i}" for i in range(self.clients)]
        more = {"jwk": self.keys[accounts][1]} if accounts in self.keys else {}
        if accounts == "registered":
            more["secret"] = True
        added = self.admin(*({"cmd": "client.add", "client_id": name, **more} for name in names))
        (self.folder / f"{accounts}.accounts").write_text(
            "".join(f"{name} {answer.get('client_secret', '-')}\n" for name, answer in zip(names, added)))

    def ask(self, kind, out=None):
        """Arguments of token_bench: what a client sends that gets tokens of this kind."""
        kind = next(k for k in KINDS if k.name == kind)
        body = {"grant_type": "client_credentials", "audience": kind.audience, "client_id": "@CLIENT@"}
        args = ["grants", f"--ca={self.folder}/ca.pem", f"--accounts={self.folder}/{kind.accounts}.accounts",
                *([f"--out={out}"] if out else [])]
        if kind.accounts == "registered":
            body |= {"client_secret": "@SECRET@", "req_cnf": {"jwk": self.jwk}}
        elif kind.accounts == "secret":
            body |= {"client_secret": "@SECRET@"}
        else:
            key_file, jwk = self.keys[kind.accounts]
            body |= {"client_assertion": "@ASSERTION@", "req_cnf": {"jwk": jwk}, "client_assertion_type": JWT_BEARER}
            args += [f"--key={key_file}", f"--issuer={self.issuer}"]
        return [*args, f"--body={json.dumps(body)}"]

    def introspect(self, tokens):
        """The same for questions about tokens in a file, by the resource server they are for."""
        body = {"client_id": self.rs_id, "client_secret": self.rs_secret, "token": "@TOKEN@"}
        return ["introspect", f"--ca={self.folder}/ca.pem", f"--accounts={tokens}", "--path=/introspect",
                f"--body={json.dumps(body)}"]

    def stop(self):
        self.daemon.stop()
