"""What a run showed: report.json, report.md and a plot of the memory."""

import collections
import json
import os

from .checker import CHECKS, duplicates
from .history import Matching
from .recovery import recoveries, repetitions

# seconds at the 99th percentile, from docs/reliability.md
BARS = {"killed and restarted": 3, "PostgreSQL back": 5, "broker back": 15, "leader moved": 15, "taken over by a second instance": 10}


def summary(history, violations, options):
    """The report as a dict."""
    matching = Matching(history)
    found = recoveries(history, matching)
    repeated = repetitions(found, matching)
    return {
        "seed": options.seed, "minutes": options.minutes, "postgresql": options.pg, "brokers": options.brokers,
        "delivery": options.delivery or "at_least_once",
        "transactions": len(history.transactions), "changes": sum(map(len, matching.wanted)), "records": len(history.events),
        "duplicates": duplicates(matching), "status_updates": len(history.statuses), "sessions": history.facts["sessions"],
        "starts": history.facts["starts"], "drained_s": history.facts["drained_s"],
        "faults": dict(collections.Counter(fault["name"] for fault in history.faults)),
        "exits": dict(collections.Counter(str(start["code"]) for start in history.starts)),
        "recovery_s": _by_kind(found), "recovery_alone_s": _by_kind(each for each in found if each.alone),
        "black_hole_found_s": _black_holes(history.faults),
        "repeated_after_sigkill": percentiles(number for number, _ in repeated),
        "age_of_repeated_s": percentiles(age for _, age in repeated),
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


def percentiles(numbers):
    """n, p50, p99, max; of few numbers p99 is the highest."""
    ordered = sorted(numbers)
    if not ordered:
        return {"n": 0}
    chosen = {"p50": len(ordered) // 2, "p99": min(len(ordered) - 1, len(ordered) * 99 // 100), "max": len(ordered) - 1}
    return {"n": len(ordered), **{name: round(ordered[place], 3) for name, place in chosen.items()}}


def _by_kind(found):
    times = collections.defaultdict(list)
    for each in found:
        times[each.kind].append(each.took)
    return {kind: percentiles(each) for kind, each in sorted(times.items())}


def _black_holes(faults):
    """How long it took until the program left a connection on which nothing came through any more; of those that were healed
    before, only how many.
    """
    holes = {}
    for net in ("postgres net", "kafka net"):
        mine = [fault for fault in faults if fault["name"].startswith(f"{net}: black hole")]
        times = [fault["found"] - fault["begun"] for fault in mine if fault.get("found")]
        holes[net] = {**percentiles(times), "healed before": len(mine) - len(times)}
    return holes


def _markdown(report):
    plain = [f"* {name.replace('_', ' ')}: {setting}" for name, setting in report.items() if not isinstance(setting, dict)]
    text = "# Soak\n\n" + "\n".join(plain) + "\n\n![resident memory over time](rss.svg)\n\n"
    text += "| check | violations |\n|---|---|\n" + "".join(f"| {name} | {report['checks'][name]} |\n" for name in CHECKS)
    text += "\n| fault | times |\n|---|---|\n" + "".join(f"| {name} | {times} |\n" for name, times in sorted(report["faults"].items()))
    text += "\nSeconds until the consumer had the first change that was committed after the fault (or after its end, where the server or\n" \
            "the peer came back); *alone*: all was well when it began, and no other fault came meanwhile.\n"
    text += _times("recovery, alone", report["recovery_alone_s"]) + _times("recovery, all", report["recovery_s"])
    text += _times("black hole found, seconds", report["black_hole_found_s"])
    text += _times("after a SIGKILL, alone", {"records that came again": report["repeated_after_sigkill"],
                                               "age of the oldest of them when the kill came, seconds": report["age_of_repeated_s"]})
    for name, found in report["violations"].items():
        text += f"\n## {name}\n\n" + "".join(f"    {line}\n" for line in found)
    return text


def _times(title, kinds):
    text = f"\n| {title} | n | p50 | p99 | max | bar (p99) |\n|---|---|---|---|---|---|\n"
    for kind, each in kinds.items():
        numbers = " | ".join(str(each.get(name, "")) for name in ("n", "p50", "p99", "max"))
        text += f"| {kind} | {numbers} | {BARS.get(kind, '')} |\n"
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
