"""The targets, as a table, and whether they are reached. Pure: results in, rows out.

`results` is {(setting, scenario, column): [row of each round, ...]}; `setting` is "pinned" or "unpinned", a row a dictionary of
figures (scenarios.py). A figure is the median of its rounds, a ratio that of two medians of the same run.
"""
import statistics
from typing import NamedTuple, Optional

PINNED, UNPINNED = "pinned", "unpinned"
SETTINGS = (PINNED, UNPINNED)
PEER = "mosquitto"


class Figure(NamedTuple):
    scenario: str
    key: str = "us"
    column: str = "symbolon"


class Target(NamedTuple):
    title: str
    unit: str
    figure: Figure
    limit: float
    against: Optional[Figure] = None  # the target is for the ratio to it
    at_least: bool = False
    worst: bool = False  # of all rounds, instead of the median


def beside_peer(title, scenario, limit, key="us", unit="µs", ours="symbolon"):
    return Target(title, unit, Figure(scenario, key, ours), limit, Figure(scenario, key, PEER))


def two_workers(title, scenario):
    return Target(f"two workers against one: {title}", "µs", Figure(scenario, column="symbolon, 2 workers"), 1.10, Figure(scenario))


TARGETS = [
    beside_peer("p2p, QoS 0, 64 B, as fast as it goes", "p2p", 0.20),
    beside_peer("the same, publishers writing 16 packets at a time", "p2p-16", 0.07),
    beside_peer("p2p, QoS 0, 1 KB", "p2p-1k", 0.30),
    beside_peer("p2p, QoS 1, 64 B", "p2p-qos1", 0.16),
    beside_peer("p2p, QoS 2, 64 B", "p2p-qos2", 0.12),
    beside_peer("p2p, QoS 0, fixed 10,000/s", "p2p-slow", 0.90),
    beside_peer("p2p, QoS 0, fixed 10,000/s: latency, 99 %", "p2p-slow", 1.00, "p99_us"),
    beside_peer("p2p, QoS 0, fixed 50,000/s", "p2p-fast", 0.90),
    beside_peer("p2p, QoS 1, fixed 10,000/s", "p2p-qos1-slow", 0.85),
    beside_peer("fan-out 1 → 500, as fast as it goes, per delivery", "fan-out", 0.22),
    beside_peer("fan-out 1 → 500, fixed 20,000 deliveries/s", "fan-out-rate", 0.70),
    Target("100,000 subscriptions in the tree: a publish, against none", "µs", Figure("wildcards", "us_full"), 1.05,
           Figure("wildcards", "us_empty")),
    Target("the same at 10,000/s", "µs", Figure("wildcards-slow", "us_full"), 1.05, Figure("wildcards-slow", "us_empty")),
    Target("memory of a wildcard subscription, of 100,000", "B", Figure("wildcards", "bytes_per_subscription"), 400),
    beside_peer("connect, token never seen", "conn", 1.25),
    beside_peer("connect, token seen before", "conn", 1.00, ours="symbolon, seen"),
    Target("memory of an idle TLS connection, session and grant included", "B", Figure("idle", "bytes"), 13000),
    two_workers("p2p, as fast as it goes", "p2p"),
    two_workers("p2p, fixed 50,000/s", "p2p-fast"),
    two_workers("fan-out, as fast as it goes", "fan-out"),
    two_workers("fan-out, fixed 20,000 deliveries/s", "fan-out-rate"),
    Target("authorization against public topics: p2p, as fast as it goes", "µs", Figure("p2p"), 1.05, Figure("p2p-public")),
    Target("authorization against public topics: p2p, fixed 10,000/s", "µs", Figure("p2p-slow"), 1.05, Figure("p2p-slow-public")),
    Target("re-authentication of a live session", "µs", Figure("renew"), 250),
    Target("one token of 10,000 live sessions revoked: until the last is cut", "ms", Figure("revoke-one", "last_ms"), 1000, worst=True),
    Target("the same: latency of others' messages, 99 %, against before", "µs", Figure("revoke-one", "storm_p99_us"), 1.10,
           Figure("revoke-one", "quiet_p99_us")),
    Target("AS: EdDSA-signed PoP tokens, private_key_jwt", "/s", Figure("grants-key", "per_s", "symbolon-as"), 5000, at_least=True),
    Target("AS: EdDSA-signed PoP tokens, client secret", "/s", Figure("grants-registered", "per_s", "symbolon-as"), 5000, at_least=True),
    Target("AS: memory after the tokens for private_key_jwt", "MB", Figure("grants-key", "rss_mb", "symbolon-as"), 30, worst=True),
    Target("AS: introspection", "/s", Figure("introspect", "per_s", "symbolon-as"), 15000, at_least=True),
    Target("QoS 1 to an offline session, `durability: commit`", "µs", Figure("durable-qos1", column="symbolon, commit"), 12),
    Target("the same: kept of 10,000 after kill -9", "", Figure("kept-qos1", "kept", "symbolon, commit"), 10000, at_least=True,
           worst=True),
]


class Judged(NamedTuple):
    setting: str
    rounds: int
    value: float
    low: float
    high: float
    against: Optional[float]
    ratio: Optional[float]
    reached: bool


def values(results, setting, figure):
    return [row[figure.key] for row in results.get((setting, figure.scenario, figure.column), []) if figure.key in row]


def judge(target, results, setting):
    """None where nothing was measured."""
    ours = values(results, setting, target.figure)
    others = values(results, setting, target.against) if target.against else []
    if not ours or (target.against and not others):
        return None
    value = statistics.median(ours)
    if target.worst:
        value = min(ours) if target.at_least else max(ours)
    against = statistics.median(others) if others else None
    ratio = value / against if against else None
    judged = ratio if target.against else value
    reached = judged is not None and (judged >= target.limit if target.at_least else judged <= target.limit)
    return Judged(setting, len(ours), value, min(ours), max(ours), against, ratio, reached)


def judge_all(results, targets=None):
    """[(target, {setting: Judged})], in order."""
    judged = []
    for target in TARGETS if targets is None else targets:
        found = {setting: judge(target, results, setting) for setting in SETTINGS}
        judged.append((target, {setting: j for setting, j in found.items() if j is not None}))
    return judged


def reached(judged_of_settings):
    """True, False, or None where nothing was measured; all settings count."""
    return all(j.reached for j in judged_of_settings.values()) if judged_of_settings else None
