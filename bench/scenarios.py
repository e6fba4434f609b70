"""The scenarios: which workload, which clients, how many rounds. In each round the clients take turns, the first one changing."""

import dataclasses
import os
import typing

import incremental
import steady
import workloads
from clients import NaiveClient, OutboxxClient, RecvlogicalClient
from debezium import DebeziumClient
from drain import Drain
from profiler import Profile
from settings import Invalid
from snapshot import CopyClient, TableRead

STEADY_RATES = (1000, 3200, 10000)
TABLES_MAX = 10_000
STREAMS_MAX = 100
PARTITIONS_MAX = 64
INCREMENTAL_RATE = 5000  # updates a second
SNAPSHOT_SHARE = 10  # of ROWS
# name -> the workload for so many rows, and its share of ROWS
BURSTS = {
    "burst-10k": (lambda name, rows: workloads.inserts(name, rows, 10_000), 1),
    "burst-one": (workloads.one_transaction, 1),
    "burst-single": (lambda name, rows: workloads.inserts(name, rows, 1), 0.3),
    "burst-wide": (workloads.wide, 0.2),
    "burst-update-full": (lambda name, rows: workloads.updates(name, rows, "full"), 0.5),
    "burst-update-default": (lambda name, rows: workloads.updates(name, rows, "default"), 0.5),
}
# name -> (small, large): what the cost per change must not depend on
GROWTH = {
    "growth-tables": (lambda name, rows: workloads.many_tables(name, rows, 10),
                      lambda name, rows: workloads.many_tables(name, rows, TABLES_MAX)),
    "growth-transaction": (lambda name, rows: workloads.inserts(name, rows, 100), workloads.one_transaction),
    "growth-streams": (lambda name, rows: workloads.many_streams(name, rows, 1),
                       lambda name, rows: workloads.many_streams(name, rows, STREAMS_MAX)),
    "growth-partitions": (lambda name, rows: workloads.inserts(name, rows, 10_000),
                          lambda name, rows: workloads.inserts(name, rows, 10_000, partitions=PARTITIONS_MAX)),
}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """run(rig, settings) returns {"kind": ..., "runs": [figures, ...]}, in the order in which they were made."""

    name: str
    run: typing.Callable


def select(settings):
    """Those whose name is, or begins with, one of the words of SCENARIO."""
    every = [*(Scenario(name, lambda rig, chosen, name=name: _burst(rig, chosen, name)) for name in BURSTS),
             Scenario("idle", _idle), Scenario("start", _start), Scenario("snapshot", _snapshot),
             Scenario("incremental", _incremental),
             *(Scenario(f"steady-{rate}", lambda rig, chosen, rate=rate: _steady(rig, chosen, rate)) for rate in STEADY_RATES),
             *(Scenario(name, lambda rig, chosen, name=name: _growth(rig, chosen, name)) for name in GROWTH)]
    selected = []
    for word in settings.scenario.split(","):
        matching = [scenario for scenario in every if scenario.name == word or scenario.name.startswith(f"{word}-")]
        if not matching:
            raise Invalid(f"no scenario \"{word}\": {', '.join(scenario.name for scenario in every)}")
        selected += matching
    if settings.sink != "kafka" and any(not scenario.name.startswith("burst") for scenario in selected):
        raise Invalid(f"SINK={settings.sink} is for SCENARIO=burst: the others read what arrives in Kafka")
    return selected


def _burst(rig, chosen, name):
    make, share = BURSTS[name]
    rounds = chosen.rounds or 5
    clients = _clients(rig, chosen)
    backlog = rig.prepare(make(name, max(1, int(chosen.rows * share))), rounds * len(clients) + 1 + chosen.profile)
    _say(name, f"{backlog.workload.rows} rows, WAL up to {backlog.end}")
    Drain(rig, clients[0], backlog).measure()  # the broker's and the page cache's warm-up
    result = {"kind": "burst", "rows": backlog.workload.rows,
              "runs": _rounds(name, rounds, clients, lambda client: Drain(rig, client, backlog).measure())}
    if chosen.profile:
        result["profile"] = Profile(rig, clients[0], backlog, os.path.join(rig.directory, f"{name}.perf")).measure()
    return result


def _growth(rig, chosen, name):
    """Outboxx alone, small and large taking turns: each backlog is written before the first run."""
    rounds = chosen.rounds or 5
    backlogs = []
    for size, make in zip(("small", "large"), GROWTH[name]):
        backlog = rig.prepare(make(f"{name}-{size}", chosen.rows), rounds + 1, schema=size)
        backlogs.append((OutboxxClient(rig, chosen.host, chosen.sink, chosen.versions[0], name=size), backlog))
        _say(name, f"{size}: {backlog.workload.rows} rows")
    Drain(rig, *backlogs[0]).measure()
    return {"kind": "growth", "runs": _rounds(name, rounds, backlogs, lambda pair: Drain(rig, *pair).measure())}


def _snapshot(rig, chosen):
    """Nobody gets a slot: each client makes its own, and reads the table as it is then."""
    rounds = chosen.rounds or 3
    clients = [*_outboxx(rig, chosen, reads=True), CopyClient(rig, chosen.host), *_debezium(rig, chosen, reads=True)]
    table = rig.prepare(workloads.whole_table("snapshot", chosen.rows * SNAPSHOT_SHARE), 0)
    _say("snapshot", f"{table.workload.rows} rows")
    for client in CopyClient(rig, chosen.host), clients[0]:  # the page cache's and the broker's warm-up
        TableRead(rig, client, table).measure()
    return {"kind": "snapshot", "rows": table.workload.rows,
            "runs": _rounds("snapshot", rounds, clients, lambda client: TableRead(rig, client, table).measure())}


def _incremental(rig, chosen):
    clients = [OutboxxClient(rig, chosen.host, "kafka", chosen.versions[0], reads=True, mode="never")]
    table = rig.prepare(workloads.whole_table("incremental", chosen.rows), 0)
    return {"kind": "incremental", "rows": table.workload.rows,
            "runs": _rounds("incremental", chosen.rounds or 1, clients,
                            lambda client: incremental.measure(rig, client, table, INCREMENTAL_RATE))}


def _steady(rig, chosen, rate):
    seconds = chosen.seconds or 60
    return _over_time(rig, chosen, f"steady-{rate}", chosen.rounds or 1, _clients(rig, chosen),
                      lambda *subject: steady.steady(*subject, rate, seconds))


def _idle(rig, chosen):
    seconds = chosen.seconds or 60
    return _over_time(rig, chosen, "idle", chosen.rounds or 1, _clients(rig, chosen), lambda *subject: steady.idle(*subject, seconds))


def _start(rig, chosen):
    clients = [client for client in _clients(rig, chosen) if client.delivers]
    return _over_time(rig, chosen, "start", chosen.rounds or 5, clients, steady.start)


def _over_time(rig, chosen, name, rounds, clients, measure):
    backlog = rig.create(workloads.inserts(name, 1, 1))
    return {"kind": name.split("-")[0], "runs": _rounds(name, rounds, clients, lambda client: measure(rig, client, backlog))}


def _clients(rig, chosen):
    return [*_outboxx(rig, chosen), RecvlogicalClient(rig, chosen.host), NaiveClient(rig, chosen.host), *_debezium(rig, chosen)]


def _outboxx(rig, chosen, reads=False):
    return [OutboxxClient(rig, chosen.host, chosen.sink, version, name="outboxx" if len(chosen.versions) == 1 else f"outboxx {version}", reads=reads)
            for version in chosen.versions]


def _debezium(rig, chosen, reads=False):
    return [DebeziumClient(rig, profile, reads=reads) for profile in ("default", "tuned")] if chosen.peer == "debezium" else []


def _rounds(name, rounds, subjects, measure):
    """Turns: ABC, BCA, CAB, ... so that nobody always comes first."""
    runs = []
    for number in range(rounds):
        for subject in subjects[number % len(subjects):] + subjects[:number % len(subjects)]:
            figures = {"round": number + 1, **measure(subject)}
            runs.append(figures)
            _say(name, f"round {number + 1}: {_short(figures)}")
    return runs


def _short(figures):
    shown = ("rate", "first_event_ms", "latency_ms", "cpu_s", "cpu_percent")
    return f"{figures['client']}: " + ", ".join(f"{key} {figures[key]}" for key in shown if key in figures)


def _say(name, text):
    print(f"{name}: {text}", flush=True)
