"""What the standing set runs: which words of `symbolon bench` (symbolon-bench(1)), and which figures come of its JSON."""
from typing import NamedTuple

from brokers import PUBLIC
from daemons import Failed

# One cipher, one group, no resumption: every broker does the same.
TLS = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:-GROUP-ALL:+GROUP-X25519:%NO_TICKETS"
OURS = ("symbolon",)


class Sizes(NamedTuple):
    seconds: float = 1.0  # measured part of a run
    warmup: float = 0.3
    pairs: int = 20
    fan: int = 500
    idle: int = 1000
    idle_s: float = 2.0  # after the last connection, before memory is read
    subscriptions: int = 100000
    sessions: int = 500  # that hold them
    retained: int = 1000000
    single: int = 10000  # topics asked for one by one
    holders: int = 10000  # sessions that one token ends
    renewing: int = 100
    kept: int = 10000  # messages before kill -9
    kept_s: int = 10  # to wait for them
    rates: tuple = (10000, 50000, 20000)


FULL = Sizes()
QUICK = Sizes(seconds=0.4, warmup=0.1, pairs=2, fan=5, idle=20, idle_s=0.2, subscriptions=200, sessions=4, retained=200, single=20,
              holders=20, renewing=3, kept=100, kept_s=3, rates=(500, 1000, 500))


class Scenario(NamedTuple):
    name: str
    title: str
    words: list
    kind: str = "message"  # how its figures are read, below
    tokens: str = "standing"  # which of ours: standing, renewals; or each: a run with every kind
    only: tuple = ()  # brokers, if not all
    workers: bool = False  # two of our workers are measured too, where nobody is pinned
    timed: bool = True  # takes --warmup and --duration
    unpinned: bool = True  # measured again where nobody is pinned


FIGURE = {"message": ("us", "µs a delivery"), "rate": ("us", "µs a delivery"), "conn": ("us", "µs a connect"),
          "idle": ("bytes", "bytes a connection"), "wildcards": ("us_full", "µs a delivery"),
          "retained": ("us_store", "µs a message stored"), "churn": ("us", "µs a client"), "renew": ("us", "µs a renewal"),
          "grants": ("us", "µs a request"), "durable": ("us", "µs a message"), "kept": ("kept", "messages"),
          "storm": ("last_ms", "ms until the last")}


def messages(sizes):
    """A round, in order. Memory first, while nothing is free in the broker's heap; what is compared stands side by side."""
    p2p, fan_out = ["p2p", f"--clients={sizes.pairs}"], ["fan-out", f"--clients={sizes.fan}"]
    slow, fast, deliveries = sizes.rates
    beside = [f"--clients={sizes.pairs}", f"--rate={min(sizes.rates) // 10}", f"--duration={2 * sizes.seconds}"]
    return [
        Scenario("idle", f"memory of an idle connection, of {sizes.idle:,} with a subscription each",
                 ["sub", f"--clients={sizes.idle}", "--topic=bench/idle/%i", f"--duration={sizes.idle_s}"], "idle", timed=False,
                 unpinned=False),
        Scenario("conn", "connect, full TLS 1.3 handshake, login, disconnect", ["conn", "--again", "--clients=16"], "conn", tokens="each"),
        Scenario("p2p", "p2p, QoS 0, 64 B, as fast as it goes", p2p, workers=True),
        Scenario("p2p-public", "p2p, QoS 0, 64 B, on public topics", [*p2p, f"--topic={PUBLIC}/%i"], only=OURS, unpinned=False),
        Scenario("p2p-16", "the same, publishers writing 16 packets at a time", [*p2p, "--batch=16"]),
        Scenario("p2p-1k", "p2p, QoS 0, 1 KB", [*p2p, "--size=1024"]),
        Scenario("p2p-qos1", "p2p, QoS 1, 64 B", [*p2p, "--qos=1"]),
        Scenario("p2p-qos2", "p2p, QoS 2, 64 B", [*p2p, "--qos=2"]),
        Scenario("p2p-slow", f"p2p, QoS 0, fixed {slow:,}/s", [*p2p, f"--rate={slow}"], "rate"),
        Scenario("p2p-slow-public", f"p2p, QoS 0, fixed {slow:,}/s, on public topics",
                 [*p2p, f"--rate={slow}", f"--topic={PUBLIC}/%i"], "rate", only=OURS, unpinned=False),
        Scenario("p2p-fast", f"p2p, QoS 0, fixed {fast:,}/s", [*p2p, f"--rate={fast}"], "rate", workers=True),
        Scenario("p2p-qos1-slow", f"p2p, QoS 1, fixed {slow:,}/s", [*p2p, "--qos=1", f"--rate={slow}"], "rate"),
        Scenario("fan-out", f"fan-out 1 → {sizes.fan}, as fast as it goes", [*fan_out, "--window=16"], workers=True),
        Scenario("fan-out-rate", f"fan-out 1 → {sizes.fan}, fixed {deliveries:,} deliveries/s",
                 [*fan_out, f"--rate={max(deliveries // sizes.fan, 1)}"], "rate", workers=True),
        Scenario("fan-in", f"fan-in {sizes.pairs} to 1, QoS 0, 64 B, as fast as it goes", ["fan-in", f"--clients={sizes.pairs}"],
                 unpinned=False),
        Scenario("churn", "a client comes, subscribes, hears itself, leaves", ["churn", *beside], "churn", timed=False, unpinned=False),
        Scenario("renew", "re-authentication of a live session, with a token never seen",
                 ["renew", *beside, f"--sessions={sizes.renewing}", "--connections-per-second=1000"], "renew", tokens="renewals", only=OURS, timed=False, unpinned=False),
    ]


def wildcards(sizes):
    words = ["wildcards", f"--clients={sizes.pairs}", f"--sessions={sizes.sessions}", f"--subscriptions={sizes.subscriptions}",
             f"--duration={2 * sizes.seconds}"]
    title = f"publish beside {sizes.subscriptions:,} wildcard subscriptions"
    return [Scenario("wildcards", f"{title}, as fast as it goes", words, "wildcards", timed=False),
            Scenario("wildcards-slow", f"{title}, fixed {sizes.rates[0]:,}/s", [*words, f"--rate={sizes.rates[0]}"], "wildcards", timed=False)]


def retained(sizes):
    return [Scenario("retained", f"{sizes.retained:,} retained messages",
                     ["retained", f"--messages={sizes.retained}", f"--subscriptions={sizes.single}"], "retained", timed=False)]


# ---- figures ----

def per(total_us, count):
    if count == 0:
        raise Failed("nothing came through while it was measured")
    return round(total_us / count, 3)


def grown(part, count):
    return round((part["rss_to_kib"] - part["rss_from_kib"]) * 1024 / count, 1)


def read_message(told, parts):
    delivered = told["received_measured"]
    return {"us": per(told["process"]["cpu_us"], delivered), "per_s": told["received_per_s"], "delivered": delivered,
            "delivered_per_read": round(delivered / max(told["reads"], 1), 1), **times(told["latency"])}


def read_conn(told, parts):
    return {"us": per(told["process"]["cpu_us"], told["connects"]), "per_s": told["connects_per_s"], "connects": told["connects"],
            "repeated": told["repeated"], **times(told["connect"])}


def read_idle(told, parts):
    process = told["process"]
    return {"bytes": round((process["rss_kib"] - process["rss_start_kib"]) * 1024 / told["clients"], 1)}


def read_wildcards(told, parts):
    empty, subscribe, full = parts["empty"], parts["subscribe"], parts["full"]
    return {"us_empty": per(empty["cpu_us"], empty["received"]), "us_full": per(full["cpu_us"], full["received"]),
            "us_subscribe": per(subscribe["cpu_us"], subscribe["operations"]),
            "bytes_per_subscription": grown(subscribe, subscribe["operations"]), **times(full["latency"])}


def read_retained(told, parts):
    store, single, everything = parts["store"], parts["single"], parts["all"]
    return {"us_store": per(store["cpu_us"], store["operations"]), "bytes_per_message": grown(store, store["operations"]),
            "us_single": per(single["cpu_us"], single["operations"]), "us_all": per(everything["cpu_us"], everything["operations"]),
            "all_ms": round(everything["measured_us"] / 1000), "per_s": round(store["operations"] * 1e6 / max(store["measured_us"], 1))}


def read_beside(told, parts):
    """What went on beside others' messages: those cost what they cost while it was quiet."""
    quiet, busy = parts["quiet"], parts[told["bench"]]
    others_us = per(quiet["cpu_us"], quiet["received"]) * busy["received"]
    return {"us": per(busy["cpu_us"] - others_us, busy["operations"]), "per_s": round(busy["operations"] * 1e6 / max(busy["measured_us"], 1)),
            "operations": busy["operations"], "quiet_p99_us": quiet["latency"]["p99_us"], "busy_p99_us": busy["latency"]["p99_us"], **times(busy["times"])}


def times(histogram):
    return {key: histogram[key] for key in ("p50_us", "p99_us", "p999_us", "max_us")}


READERS = {"message": read_message, "rate": read_message, "conn": read_conn, "idle": read_idle, "wildcards": read_wildcards,
           "retained": read_retained, "churn": read_beside, "renew": read_beside}


def figures(scenario, told):
    """A row of the results: one run, one broker. What was lost stands in every row, and so does what the generator took."""
    parts = {part["part"]: part for part in told.get("parts", [])}
    measured = max(told["measured_us"], 1)
    return {**READERS[scenario.kind](told, parts),
            "broker_cpu": round(told["process"]["cpu_us"] / measured, 3), "generator_cpu": round(told["generator_cpu_us"] / measured, 3),
            "rss_kib": told["process"]["rss_kib"], "failed": told["failed"], "lost": told["lost"], "twice": told["twice"],
            "unacknowledged": told["sent"] - told["acknowledged"]}


def complaint(told):
    """Why a run was not well, in a line."""
    return "; ".join([told["verdict"], *(f"{e['count']} times {e['error']}" for e in told["errors"])])
