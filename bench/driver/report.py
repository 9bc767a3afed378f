"""The table, the JSON, and a description of the machine that names nobody."""
import os
import pathlib
import platform
import re
import statistics
import subprocess

import targets
from scenarios import FIGURE

IDLE = 0.05  # of a core: who takes less is in nobody's way
LOSSES = ("lost", "twice", "unacknowledged", "failed")
# Behind the figure, what else there is to say of a scenario of that kind: a pattern over the medians of its rows.
DETAILS = {"message": "{per_s}/s; gen {generator_cpu:%}", "rate": "p50 {p50_us}, p99 {p99_us} µs; gen {generator_cpu:%}",
           "conn": "{per_s}/s; gen {generator_cpu:%}", "idle": "",
           "wildcards": "{us_empty} without them; {bytes_per_subscription} B and {us_subscribe} µs each; gen {generator_cpu:%}",
           "retained": "{per_s}/s; {bytes_per_message} B each; asked for singly {us_single} µs, all at once {us_all} µs each",
           "churn": "{per_s}/s; others' p99 {quiet_p99_us}, meanwhile {busy_p99_us} µs",
           "renew": "{per_s}/s; others' p99 {quiet_p99_us}, meanwhile {busy_p99_us} µs",
           "grants": "{per_s}/s; p99 {p99_us} µs; {rss_mb} MB; gen {generator_cpu:%}",
           "storm": "others' p99 {quiet_p99_us}, meanwhile {storm_p99_us} µs; {storm_cpu_s} s of CPU",
           "durable": "{per_s}/s; gen {generator_cpu:%}", "kept": "{per_s}/s"}


def machine():
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", cpuinfo)
    memory = int(re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1))
    system = re.search(r'PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text())
    gnutls = subprocess.run(["pkg-config", "--modversion", "gnutls"], capture_output=True, text=True, timeout=10)
    return {"cpu": model.group(1) if model else platform.machine(), "cores": os.cpu_count(),
            "memory_gib": round(memory / 2**20), "system": system.group(1) if system else "Linux",
            "kernel": ".".join(re.split(r"[.-]", platform.release())[:2]), "gnutls": gnutls.stdout.strip(),
            "load": round(os.getloadavg()[0], 2)}


def medians(rows):
    return {key: statistics.median(row[key] for row in rows if key in row) if isinstance(value, (int, float)) else value
            for key, value in rows[0].items()}


def count_lost(results):
    return sum(row.get(key, 0) for rows in results.values() for row in rows for key in LOSSES)


def heavier_generators(results):
    """Where the generator took more than what it measured: there it may have been the generator that was measured."""
    found = []
    for (setting, scenario, column), rows in results.items():
        m = medians(rows)
        if m.get("generator_cpu", 0) > max(m.get("broker_cpu", 1), IDLE):
            found.append(f"{scenario} ({column}, {setting}: {m['generator_cpu']:.0%} against {m['broker_cpu']:.0%})")
    return found


def short(value):
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 or value == 0 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def times(count, what):
    return f"{count} {what}" + ("" if count == 1 else "s")


def spread(values):
    middle, low, high = short(statistics.median(values)), short(min(values)), short(max(values))
    return middle if low == high else f"{middle} ({low}–{high})"


def details(kind, row):
    def fill(found):
        if found[1] not in row:
            return "–"
        return f"{row[found[1]]:.0%}" if found[2] else short(row[found[1]])

    return re.sub(r"\{(\w+)(:%)?\}", fill, DETAILS[kind])


def cell(kind, rows):
    """Median and range; then what says in which state it was measured."""
    if not rows:
        return "–"
    more = details(kind, medians(rows))
    return spread([row[FIGURE[kind][0]] for row in rows]) + (f"; {more}" if more else "")


def line(cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows):
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)]) + "\n"


# ---- targets ----

def words_of_limit(target):
    sign, limit = "≥" if target.at_least else "≤", f"{target.limit:,g}" if target.against is None else f"{target.limit:.2f}"
    return f"{sign} {limit} {target.unit}".strip() if target.against is None else f"{sign} {limit}"


def words_of_reached(judged):
    if not judged:
        return "not measured"
    yes = [setting for setting, j in judged.items() if j.reached]
    return "yes" if len(yes) == len(judged) else f"{yes[0]} only" if yes else "**no**"


def side(judged):
    """What was measured in one setting: ours, what it is held against, the ratio."""
    if judged is None:
        return ["–", "–", "–"]
    shown = short(judged.value)
    if judged.low != judged.high:
        shown += f" ({short(judged.low)}–{short(judged.high)})"
    return [shown, "–" if judged.against is None else short(judged.against), "–" if judged.ratio is None else f"{judged.ratio:.3f}"]


def target_table(judged, settings):
    head = ["", "target", *(word for s in settings for word in (f"{s}: ours", "against", "ratio")), "rounds", "reached"]
    rows = []
    for target, found in judged:
        unit = f", {target.unit}" if target.unit else ""
        rounds = "/".join(str(found[s].rounds) if s in found else "–" for s in settings)
        rows.append([target.title + unit, words_of_limit(target), *(word for s in settings for word in side(found.get(s))), rounds,
                     words_of_reached(found)])
    return table(head, rows)


def target_json(judged):
    return [{"title": t.title, "unit": t.unit, "limit": t.limit, "of": "ratio" if t.against else "value",
             "at": "least" if t.at_least else "most", "figure": t.figure._asdict(),
             "against": t.against._asdict() if t.against else None,
             "measured": [j._asdict() for j in found.values()], "reached": targets.reached(found)} for t, found in judged]


# ---- everything ----

def figure_table(results, catalogue, settings):
    """catalogue: {scenario: (title, kind)}, in order."""
    rows = []
    for name, (title, kind) in catalogue.items():
        shown = f"{title}, {FIGURE[kind][1]}"
        for column in dict.fromkeys(c for (_, s, c) in results if s == name):
            both = [results.get((setting, name, column), []) for setting in settings]
            rows.append([shown, column, *(cell(kind, found) for found in both),
                         "/".join(str(len(found) or "–") for found in both)])
            shown = ""
    return table(["", "", *settings, "rounds"], rows)


def put_into(readme, name, text):
    old = readme.read_text()
    begin, end = (re.search(pattern, old) for pattern in (f"<!-- {name}: .*-->", f"<!-- end of {name} -->"))
    readme.write_text(old[:begin.end()] + "\n" + text + old[end.start():])
