"""What durability costs and what it is worth: messages for one client that is away, whose session stays; the broker's CPU for
each, and how many of those acknowledged are still there after kill -9."""
import shutil

from authorization import AUDIENCE
from brokers import Mosquitto, Symbolon
from daemons import Failed

TOPIC, KEEPER = "bench/kept", "keeper"
NOTHING_CAME = 27  # symbolon sub: the time ran out


class KeepingSymbolon(Symbolon):
    def __init__(self, bench, kind):
        super().__init__(bench, f"symbolon, {kind}")
        self.kind, self.title = kind, f"symbolon, `durability: {kind}`"
        self.state = self.folder / "state"
        self.settings = (f"durability: {kind}\n" + ("" if kind == "none" else f"state_dir: {self.state}\n")
                         + "session:\n  max_queue_messages: 100000000\n  max_queue_bytes: 16g")

    def clear(self):
        shutil.rmtree(self.state, ignore_errors=True)

    def login(self):
        server = self.bench.authorization_server
        return [f"--cafile={self.bench.certificates}/ca.pem", f"--as={server.issuer}", f"--as-cafile={server.folder}/ca.pem",
                "--client-id=key-0", f"--key={server.key_file}", f"--audience={AUDIENCE}", "--no-cache"]


class KeepingMosquitto(Mosquitto):
    TITLES = {"off": "mosquitto, `persistence false`", "on": "mosquitto, `persistence true`",
              "changes": "mosquitto, `autosave_interval 1`, `autosave_on_changes true`"}

    def __init__(self, bench, kind):
        super().__init__(bench, f"mosquitto, {kind}")
        self.kind, self.title = kind, self.TITLES[kind]
        self.state = self.folder / "state"
        stored = f"persistence true\npersistence_location {self.state}/"
        saving = {"off": "persistence false", "on": stored,
                  "changes": f"{stored}\nautosave_interval 1\nautosave_on_changes true"}[kind]
        self.keeping = f"max_queued_messages 0\nmax_queued_bytes 0\n{saving}"

    def clear(self):
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir()

    def login(self):
        return self.logins(None)[0].words


def brokers(bench):
    for make, kinds in ((KeepingSymbolon, ("commit", "interval", "none")), (KeepingMosquitto, ("off", "on", "changes"))):
        if make is KeepingSymbolon or make.available():
            yield from (make(bench, kind) for kind in kinds)


def keeper(bench, broker, *more, fine=(0,)):
    """The client that is away; each call is one of its visits."""
    return bench.run([bench.program("symbolon"), "sub", "-i", KEEPER, "-c", "-x", "3600", "-q", "2", "-t", TOPIC, "-h", "127.0.0.1",
                      "-p", broker.port, *broker.login(), *more], fine=fine)


def publish(bench, broker, words):
    told = bench.generate(["pub", *words, f"--topic={TOPIC}"], broker, broker.login(), fine=(0,))
    if told["sent"] != told["acknowledged"]:
        raise Failed(f"{broker.title}: {told['sent']} sent, {told['acknowledged']} acknowledged")
    return told


def speed(bench, broker, words, seconds, warmup):
    """CPU for each message acknowledged, as fast as it goes."""
    broker.clear()
    broker.start()
    try:
        keeper(bench, broker, "-E")
        told = publish(bench, broker, [*words, f"--warmup={warmup:g}", f"--duration={seconds:g}"])
    finally:
        broker.daemon.kill()  # what it has queued is not worth writing
    sent = max(told["sent_per_s"] * told["measured_us"] / 1e6, 1)
    return {"us": round(told["process"]["cpu_us"] / sent, 3), "per_s": told["sent_per_s"],
            "generator_cpu": round(told["generator_cpu_us"] / max(told["measured_us"], 1), 3)}


def kept(bench, broker, words, count, wait_s=10):
    """Publishes so many; the last acknowledgement is followed by kill -9; starts it again and counts what is there."""
    broker.clear()
    broker.start()
    try:
        keeper(bench, broker, "-E")
        told = publish(bench, broker, [*words, f"--messages={count}"])
        broker.daemon.kill()
        broker.start()
        came = keeper(bench, broker, f"--count={count}", f"--timeout={wait_s}", "-F", "%x", fine=(0, NOTHING_CAME)).split()
    finally:
        broker.daemon.kill()
    return {"kept": len(set(came)), "twice": len(came) - len(set(came)), "per_s": told["sent_per_s"]}
