"""What happens when tokens end, by expiry or revocation, one after the other or many at once: the daemons for
`token_bench expiry|revoke|expiry-storm|revoke-one` (bench/tokens/token_bench.h says what each prints), and what their logs say."""
import json
import pathlib

from authorization import AUDIENCE, public_jwk
from brokers import Symbolon
from daemons import run

ISSUER = "https://bench.example"


class TrustingSymbolon(Symbolon):
    """Trusts a key of the generator, which signs tokens that end when it wants them to."""

    def __init__(self, bench, name):
        super().__init__(bench, name, settings="durability: none\ntoken:\n  skew: 0\n")
        self.key = self.folder / "issuer.key"
        run("openssl", "genpkey", "-algorithm", "ed25519", "-out", self.key)

    def servers(self):
        jwks = self.folder / "issuer.jwks"
        jwks.write_text(json.dumps({"keys": [public_jwk(self.key)]}))
        return f"  - issuer: {ISSUER}\n    jwks_file: {jwks}"

    def minting(self):
        return [f"--key={self.key}", f"--issuer={ISSUER}", f"--audience={AUDIENCE}"]


def count_events(broker, event):
    log = pathlib.Path(broker.folder / "log").read_text(errors="replace")
    return sum(event in line for line in log.splitlines())


def measured(bench, broker, words, limit):
    broker.log_level = "info"  # the default: the log explains every end
    broker.start()
    try:
        return bench.ask([*words, f"--ca={bench.certificates}/ca.pem"], broker.port, broker.pid, limit=limit)
    finally:
        broker.stop()


def expiry(bench, sessions, lead, spread):
    broker = TrustingSymbolon(bench, "expiry")
    words = ["expiry", f"--clients={sessions}", *broker.minting(), f"--lead={lead}", f"--spread={spread}"]
    row = measured(bench, broker, words, lead + spread + 120)
    row |= {"log_expired": count_events(broker, "token_expired"), "log_renewed": count_events(broker, "reauthenticated")}
    wanted = {"cut": (sessions + 1) // 2, "renewed": sessions // 2, "early": 0, "late": 0, "unexplained": 0, "left": 0}
    wanted |= {"log_expired": wanted["cut"], "log_renewed": wanted["renewed"]}
    return row, [f"{name} is {row[name]}, not {value}" for name, value in wanted.items() if row[name] != value]


def revoke(bench, tokens, revocations, rate):
    broker = Symbolon(bench, "revoke", follows=True)
    words = ["revoke", f"--clients={revocations}", f"--tokens={tokens}", f"--admin={bench.authorization_server.folder}/admin.sock",
             f"--rate={rate}"]
    row = measured(bench, broker, words, 300)
    row["log_cut"] = count_events(broker, "token_revoked")
    return row, [f"{row['left']} sessions were not cut"] if row["left"] else []


def storm_faults(row, sessions):
    wanted = {"cut": sessions, "left": 0, "unexplained": 0, "lost": 0, "twice": 0, "out_of_order": 0}
    row["last_ms"] = round(row["last_us"] / 1000, 1)
    return [f"{name} is {row[name]}, not {value}" for name, value in wanted.items() if row[name] != value]


def revoke_one(bench, tokens, sessions, traffic):
    broker = Symbolon(bench, "revoke-one", follows=True)
    words = ["revoke-one", f"--clients={sessions}", f"--tokens={tokens}", f"--traffic={traffic}",
             f"--admin={bench.authorization_server.folder}/admin.sock"]
    row = measured(bench, broker, words, 120)
    return row, storm_faults(row, sessions)


def expiry_storm(bench, sessions, traffic, lead):
    broker = TrustingSymbolon(bench, "expiry-storm")
    words = ["expiry-storm", f"--clients={sessions}", *broker.minting(), f"--traffic={traffic}", f"--lead={lead}"]
    row = measured(bench, broker, words, lead + 120)
    return row, storm_faults(row, sessions)
