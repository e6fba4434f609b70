"""From runs to figures: medians with their extremes, ratios pair by pair, tables in Markdown."""

import statistics

MIB = 1 << 20
REFERENCE = "pg_recvlogical"
SNAPSHOT_REFERENCES = ("psql COPY", "debezium", "debezium tuned")


def clients(runs):
    """The names, Outboxx first."""
    return list(dict.fromkeys(run["client"] for run in sorted(runs, key=lambda run: (run["round"], not run["client"].startswith("outboxx")))))


def values(runs, client, take):
    """take(run) of a client's runs by round; runs that do not have it are left out."""
    taken = {}
    for run in runs:
        if run["client"] == client:
            try:
                taken[run["round"]] = take(run)
            except (KeyError, ZeroDivisionError, TypeError):
                continue
    return taken


def ratios(runs, client, reference, take):
    """Each round's value by the reference's value in the same round."""
    own, other = values(runs, client, take), values(runs, reference, take)
    return {number: own[number] / other[number] for number in own if own[number] is not None and other.get(number)}


def spread(taken, digits=2):
    """min / median / max"""
    if not taken:
        return "-"
    numbers = list(taken.values())
    if len(numbers) == 1:
        return f"{numbers[0]:.{digits}f}"
    return " / ".join(f"{number:.{digits}f}" for number in (min(numbers), statistics.median(numbers), max(numbers)))


def middle(taken, digits=2):
    return f"{statistics.median(taken.values()):.{digits}f}" if taken else "-"


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def per_million(name):
    return lambda run: run["cpu_s"][name] / run["rows"] * 1e6


def burst_table(runs):
    rows = []
    for client in clients(runs):
        own = per_million("program")
        rows.append([
            client,
            spread(values(runs, client, lambda run: run["rate"] / 1000), 0),
            spread(ratios(runs, client, REFERENCE, lambda run: run["rate"])),
            spread(values(runs, client, own)),
            spread(ratios(runs, client, REFERENCE, own)),
            middle(values(runs, client, per_million("walsender"))),
            middle(values(runs, client, per_million("broker"))),
            spread(values(runs, client, lambda run: run["peak_rss_bytes"] / MIB), 0),
            middle(values(runs, client, lambda run: run["messages"] / run["wake_ups"]), 1),
            middle(values(runs, client, lambda run: run["wake_ups"] / run["rows"] * 1e6 / 1000), 0),
            middle(values(runs, client, lambda run: run["segments"] / run["rows"] * 1e6 / 1000), 0),
        ])
    return table(["client", "k rows/s", f"against {REFERENCE}", "own CPU s/M", "of its", "walsender s/M", "broker s/M", "peak RSS MiB",
                  "messages a wake-up", "k wake-ups/M", "k segments/M"], rows)


def snapshot_table(runs):
    references = [name for name in SNAPSHOT_REFERENCES if any(run["client"] == name for run in runs)]
    rows = []
    for client in clients(runs):
        rows.append([
            client,
            spread(values(runs, client, lambda run: run["rate"] / 1000), 0),
            *[spread(ratios(runs, client, reference, lambda run: run["rate"])) for reference in references],
            spread(values(runs, client, lambda run: run["total_s"]), 1),
            *[spread(values(runs, client, lambda run, name=name: run["cpu_s"][name] / run["cpu_rows"] * 1e6))
              for name in ("program", "backends", "broker")],
            spread(values(runs, client, lambda run: run["peak_rss_bytes"] / MIB), 0),
        ])
    return table(["client", "k rows/s", *[f"against {name}" for name in references], "exec to last row, s", "own CPU s/M",
                  "PostgreSQL s/M", "broker s/M", "peak RSS MiB"], rows)


def steady_table(runs):
    rows = []
    for client in clients(runs):
        latency = [spread(values(runs, client, lambda run, name=name: run["latency_ms"][name]), 1) for name in ("p50", "p99", "max")]
        rows.append([client, middle(values(runs, client, lambda run: run["rate"]), 0), *latency, *_cpu_percent(runs, client, 1),
                     middle(values(runs, client, lambda run: run["peak_rss_bytes"] / MIB), 0)])
    return table(["client", "rows/s", "p50 ms", "p99 ms", "max ms", "own CPU %", "walsender %", "broker %", "peak RSS MiB"], rows)


def idle_table(runs):
    rows = [[client, *_cpu_percent(runs, client, 3), middle(values(runs, client, lambda run: run["peak_rss_bytes"] / MIB), 0)]
            for client in clients(runs)]
    return table(["client", "own CPU %", "walsender %", "broker %", "peak RSS MiB"], rows)


def start_table(runs):
    return table(["client", "exec to first event, ms"], [[client, spread(values(runs, client, lambda run: run["first_event_ms"]), 0)]
                                                         for client in clients(runs)])


def growth_table(runs):
    own = per_million("program")
    rows = [[client, spread(values(runs, client, lambda run: run["rate"] / 1000), 0), spread(values(runs, client, own)),
             spread(ratios(runs, client, "small", own)), spread(values(runs, client, lambda run: run["peak_rss_bytes"] / MIB), 0)]
            for client in ("small", "large")]
    return table(["size", "k rows/s", "own CPU s/M", "against small", "peak RSS MiB"], rows)


def profile_table(profile):
    names = [name for name in profile["all"]]
    return table(["stage", "% of all samples", "% of those in user space"],
                 [[name, f"{profile['all'][name]:.1f}", f"{profile['user'].get(name, 0):.1f}"] for name in names])


def incremental_table(runs):
    rows = [[client, spread(values(runs, client, lambda run: run["seconds"]), 1), spread(values(runs, client, lambda run: run["rate"]), 0),
             *(spread(values(runs, client, lambda run, when=when, part=part: run[when][part]), 1)
               for when in ("quiet_latency_ms", "latency_ms") for part in ("p50", "p99", "max"))]
            for client in clients(runs)]
    return table(["client", "seconds", "rows/s", "before: p50, ms", "p99", "max", "meanwhile: p50, ms", "p99", "max"], rows)


TABLES = {"incremental": incremental_table, "burst": burst_table, "steady": steady_table, "idle": idle_table, "start": start_table, "growth": growth_table,
          "snapshot": snapshot_table}


def _cpu_percent(runs, client, digits):
    return [spread(values(runs, client, lambda run, name=name: run["cpu_percent"][name]), digits)
            for name in ("program", "walsender", "broker")]
