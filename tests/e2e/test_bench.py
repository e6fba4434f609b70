"""The benchmark works, and its arithmetic is right. Its figures are for `make bench`, on a quiet machine."""

import json
import os
import subprocess
import sys

import pytest
from support import sanitized
from support.wait import REPOSITORY

BENCH = os.path.join(REPOSITORY, "bench")
sys.path.append(BENCH)

import figures
import plot
import profiler
import settings

RUNS = [
    {"round": 1, "client": "outboxx", "rows": 2_000_000, "rate": 300, "cpu_s": {"program": 2.0}},
    {"round": 1, "client": "pg_recvlogical", "rows": 2_000_000, "rate": 200, "cpu_s": {"program": 8.0}},
    {"round": 2, "client": "pg_recvlogical", "rows": 2_000_000, "rate": 100, "cpu_s": {"program": 4.0}},
    {"round": 2, "client": "outboxx", "rows": 2_000_000, "rate": 400, "cpu_s": {"program": 3.0}},
]
PERF_SCRIPT = """rdk:broker1
\tffffffff81000000 do_syscall_64 ([kernel.kallsyms])
\t    7f0000000000 __poll (/usr/lib/x86_64-linux-gnu/libc.so.6)

outboxx
\t    7f0000000000 malloc (/usr/lib/x86_64-linux-gnu/libc.so.6)
\t    7f0000000001 pqGetCopyData3 (/usr/lib/x86_64-linux-gnu/libpq.so.5.15)
\t    7f0000000002 outboxx::LibpqStream::receive() (/build/release/outboxx)

outboxx
\tffffffff81000000 copy_user ([kernel.kallsyms])
\t    7f0000000001 PQconsumeInput+0x1a (/usr/lib/x86_64-linux-gnu/libpq.so.5.15)
"""


@pytest.mark.skipif(sanitized(), reason="it measures the release build")
def test_each_client_reads_the_same_backlog():
    subprocess.run([os.path.join(REPOSITORY, "scripts", "build"), "release", "bench_client"], check=True, capture_output=True)
    ran = subprocess.run([sys.executable, os.path.join(BENCH, "run"), "SCENARIO=burst-10k,start", "ROWS=2000", "ROUNDS=1"],
                         check=True, capture_output=True, text=True, timeout=120)

    path = ran.stdout.splitlines()[-1]
    with open(path, encoding="ascii") as file:
        scenarios = json.load(file)["scenarios"]
    for name in (path, path.replace(".json", "-rate.svg"), path.replace(".json", "-cpu.svg")):
        os.remove(name)
    assert {(run["client"], run["rows"]) for run in scenarios["burst-10k"]["runs"]} == {
        ("outboxx", 2000), ("pg_recvlogical", 2000), ("naive", 2000)}
    assert [run["client"] for run in scenarios["start"]["runs"]] == ["outboxx"]


def test_ratios_are_taken_round_by_round():
    assert figures.ratios(RUNS, "outboxx", "pg_recvlogical", lambda run: run["rate"]) == {1: 1.5, 2: 4.0}
    assert figures.spread(figures.values(RUNS, "outboxx", figures.per_million("program"))) == "1.00 / 1.25 / 1.50"


def test_what_a_client_does_not_count_is_left_out():
    assert figures.values(RUNS, "outboxx", lambda run: run["wake_ups"]) == {}
    assert plot.bars("title", "unit", {"burst": RUNS}, lambda run: run["wake_ups"]) is None


def test_samples_are_sorted_by_stage():
    summary = profiler.summary(list(profiler.samples(PERF_SCRIPT)))

    assert summary == {"samples": 3, "all": {"receive": 66.7, "librdkafka's threads": 33.3, "allocation in receive": 33.3},
                       "user": {"receive": 100.0, "librdkafka's threads": 0.0, "allocation in receive": 100.0}}


@pytest.mark.parametrize("words", [["ROWS=many"], ["SINK=file"], ["COLOUR=red"], ["PEER=debezium", "SINK=null"], ["VERSION=v0,v2"]])
def test_wrong_words_are_refused(words):
    with pytest.raises(settings.Invalid):
        settings.parse(words)
