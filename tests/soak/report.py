"""What a run showed: report.json, report.md and a plot of the memory."""

import bisect
import collections
import json
import os

from .checker import CHECKS, duplicates
from .history import Matching

# What a recovery is counted as, by the beginning of the fault's name.
RECOVERIES = {"program: SIGKILL": "killed and restarted", "server: ": "PostgreSQL back", "broker: killed": "broker back",
              "broker: restart": "broker back", "broker: SIGSTOP": "broker back", "postgres net: black hole": "black hole, PostgreSQL",
              "kafka net: black hole": "black hole, Kafka"}


def summary(history, violations, options):
    """The report as a dict."""
    matching = Matching(history)
    fresh = sorted(event.appended / 1000 for event in matching.first.values())
    recoveries = collections.defaultdict(list)
    for fault in history.faults:
        kind = next((RECOVERIES[name] for name in RECOVERIES if fault["name"].startswith(name)), None)
        next_one = bisect.bisect_left(fresh, fault["healed"])
        if kind and fault["name"] != "server: wal_sender_timeout" and next_one < len(fresh):
            recoveries[kind].append(round(fresh[next_one] - fault["healed"], 3))
    return {
        "seed": options.seed, "minutes": options.minutes, "postgresql": options.pg, "delivery": options.delivery or "at_least_once",
        "transactions": len(history.transactions), "changes": sum(map(len, matching.wanted)), "records": len(history.events),
        "duplicates": duplicates(matching), "status_updates": len(history.statuses), "sessions": history.facts["sessions"],
        "starts": history.facts["starts"], "drained_s": history.facts["drained_s"],
        "faults": dict(collections.Counter(fault["name"] for fault in history.faults)),
        "exits": dict(collections.Counter(str(start["code"]) for start in history.starts)),
        "recovery_s": {kind: _percentiles(times) for kind, times in sorted(recoveries.items())},
        "rss_peak_bytes": max((sample["rss"] for sample in history.samples), default=0),
        "checks": {name: len(found) for name, found in violations.items()},
        "violations": {name: found[:20] for name, found in violations.items() if found},
    }


def write(directory, report, samples):
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "report.json"), "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
    with open(os.path.join(directory, "report.md"), "w", encoding="utf-8") as file:
        file.write(_markdown(report))
    with open(os.path.join(directory, "rss.svg"), "w", encoding="utf-8") as file:
        file.write(_plot(samples))


def _percentiles(times):
    times = sorted(times)
    return {"n": len(times), "p50": times[len(times) // 2], "p99": times[min(len(times) - 1, len(times) * 99 // 100)], "max": times[-1]}


def _markdown(report):
    plain = [f"* {name.replace('_', ' ')}: {setting}" for name, setting in report.items() if not isinstance(setting, dict)]
    text = "# Soak\n\n" + "\n".join(plain) + "\n\n![resident memory over time](rss.svg)\n\n"
    text += "| check | violations |\n|---|---|\n" + "".join(f"| {name} | {report['checks'][name]} |\n" for name in CHECKS)
    text += "\n| fault | times |\n|---|---|\n" + "".join(f"| {name} | {times} |\n" for name, times in sorted(report["faults"].items()))
    text += "\n| recovery until the first new record, seconds | n | p50 | p99 | max |\n|---|---|---|---|---|\n"
    text += "".join(f"| {kind} | {each['n']} | {each['p50']} | {each['p99']} | {each['max']} |\n"
                    for kind, each in report["recovery_s"].items())
    for name, found in report["violations"].items():
        text += f"\n## {name}\n\n" + "".join(f"    {line}\n" for line in found)
    return text


def _plot(samples, width=800, height=240, margin=40):
    """Resident memory in MiB over seconds."""
    points = [(sample["at"], sample["rss"] / (1 << 20)) for sample in samples] or [(0, 0)]
    longest = max(at for at, _ in points) or 1
    most = max(16, max(size for _, size in points) * 1.1)
    line = " ".join(f"{margin + at / longest * (width - 2 * margin):.1f},{height - margin - size / most * (height - 2 * margin):.1f}"
                    for at, size in points)
    labels = [(4, margin, f"{most:.0f} MiB"), (4, height - margin, "0"), (width - margin - 30, height - 15, f"{longest:.0f} s")]
    texts = "".join(f'<text x="{x}" y="{y}" font-size="11">{text}</text>' for x, y, text in labels)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
            f'<rect width="{width}" height="{height}" fill="white"/><polyline points="{line}" fill="none" stroke="#06c"/>{texts}</svg>\n')
