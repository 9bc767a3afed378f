"""Medians, the table, and a description of the machine that names nobody."""
import os
import pathlib
import platform
import re
import statistics
import subprocess

BEGIN, END = "<!-- figures: written by bench/run --readme -->", "<!-- end of figures -->"


def machine():
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", cpuinfo)
    memory = int(re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1))
    system = re.search(r'PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text())
    gnutls = subprocess.run(["pkg-config", "--modversion", "gnutls"], capture_output=True, text=True, timeout=10)
    return {"cpu": model.group(1) if model else platform.machine(), "cores": os.cpu_count(),
            "memory_gib": round(memory / 2**20), "system": system.group(1) if system else "Linux",
            "kernel": ".".join(re.split(r"[.-]", platform.release())[:2]), "gnutls": gnutls.stdout.strip()}


def medians(rows):
    return {key: statistics.median(row[key] for row in rows) if isinstance(value, (int, float)) else value
            for key, value in rows[0].items()}


def count_lost(rows):
    return sum(row.get(key, 0) for row in rows for key in ("lost", "twice", "unacknowledged", "failed"))


def short(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(rows, key):
    values = [row[key] for row in rows]
    return f"{short(statistics.median(values))} ({short(min(values))}–{short(max(values))})"


def cell(rows, key):
    """Median and range; then a second figure that says in what state it was measured."""
    text, m = spread(rows, key), medians(rows)
    at_rate = m["scenario"].startswith("rate")
    if "per_s" in m and not at_rate:
        text += f"; {short(m['per_s'])}/s"
    elif at_rate:
        text += f"; p50 {short(m['p50_us'])}, p99 {short(m['p99_us'])} µs"
    if m["scenario"] != "idle":
        text += f"; gen {m['generator_cpu']:.0%}"
    return text


def table(columns, scenarios, results):
    """results: {(scenario name, column): [rows of the rounds]}; the ratio is the last column's over the first's."""
    head = ["", *columns] + (["ratio"] if len(columns) > 1 else [])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for scenario in scenarios:
        rows = [results.get((scenario.name, column)) for column in columns]
        if not any(rows):
            continue
        cells = [cell(r, scenario.figure) if r else "–" for r in rows]
        if len(columns) > 1:
            both = rows[0] and rows[-1]
            ratio = medians(rows[-1])[scenario.figure] / medians(rows[0])[scenario.figure] if both else None
            cells.append(f"{ratio:.1f}" if ratio is not None else "–")
        lines.append(f"| {scenario.title}, {scenario.unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def put_into(readme, text):
    old = readme.read_text()
    at, end = old.index(BEGIN) + len(BEGIN), old.index(END)
    readme.write_text(old[:at] + "\n" + text + old[end:])
