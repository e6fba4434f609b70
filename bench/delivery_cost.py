#!/usr/bin/python3
"""bench/delivery_cost.py [ROWS [ROUNDS]]: what the state record and exactly-once delivery cost.

Drains one backlog again and again, taking turns between no state record, the state record, and exactly once. A transaction has
100 rows of some 120 bytes. Timed is the phase from the slot in use to the last row delivered (exactly once: committed); processor
time is the program's own in it. Then each writes 500 transactions of one row, 100 a second; latency is from a row's
clock_timestamp() to its arrival at a consumer of committed records.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))

from support import Kafka, Outboxx, Postgres, Reader, stream, wait_until

MODES = {"none": {"state.mode": "none"}, "state record": {}, "exactly once": {"sink.kafka.delivery": "exactly_once"}}


def main():
    rows, rounds = (int(word) for word in (sys.argv[1:] + ["300000", "3"][len(sys.argv) - 1:]))
    directory = tempfile.mkdtemp(prefix="outboxx-bench-")
    os.chmod(directory, 0o755)
    postgres, kafka = Postgres(os.path.join(directory, "postgres")).start(), Kafka(os.path.join(directory, "kafka")).start()
    try:
        measure(directory, postgres, kafka, rows, rounds)
    finally:
        kafka.close()
        postgres.stop("immediate")
        shutil.rmtree(directory, ignore_errors=True)


def measure(directory, postgres, kafka, rows, rounds):
    postgres.execute("create table orders (id int primary key, text text)")
    runs = [(mode, prepared(directory, postgres, kafka, mode, number)) for number in range(rounds) for mode in MODES]
    with postgres.connect() as connection:
        for first in range(1, rows, 100):
            connection.execute("insert into orders select n, repeat(md5(n::text), 3) from generate_series(%s::int, %s::int) n", [first, first + 99])
    figures = {mode: [] for mode in MODES}
    for number, (mode, outboxx) in enumerate(runs):
        figures[mode].append({**drained(outboxx, mode, rows), **latency(postgres, kafka, outboxx, -number * 1000)})
        print(f"{mode}: {json.dumps(figures[mode][-1])}", flush=True)
    for mode, found in figures.items():
        medians = {name: round(statistics.median(run[name] for run in found), 2) for name in found[0]}
        print(f"median {mode}: {json.dumps(medians)}")


def prepared(directory, postgres, kafka, mode, number):
    """A pipeline whose slot stands before the backlog."""
    name = f"{mode.replace(' ', '_')}_{number}"
    kafka.create_topic(name)
    config = {"source.postgres.slot_name": name, "source.postgres.publication_name": name, "state.topic": "state", **MODES[mode]}
    outboxx = Outboxx(os.path.join(directory, name), postgres, kafka, [stream("public.orders", name)], config=config)
    outboxx.start()
    assert outboxx.stop() == 0
    return outboxx


def drained(outboxx, mode, rows):
    outboxx.start()
    began, cpu = time.monotonic(), outboxx.cpu_seconds()
    start = outboxx.metrics()
    already = start["outboxx_records_delivered_total"]

    def is_done():
        metrics = outboxx.metrics()
        delivered = metrics["outboxx_records_delivered_total"] >= rows
        return metrics if delivered and (mode != "exactly once" or metrics["outboxx_progress_lsn"] >= metrics["outboxx_flushed_lsn"]) else None

    metrics = wait_until(is_done, 120, "the backlog is delivered", interval=0.02)
    seconds, used = time.monotonic() - began, outboxx.cpu_seconds() - cpu
    result = {"rows_per_s": round((rows - already) / seconds), "cpu_s_per_million": round(used / (rows - already) * 1e6, 3),
              "records": int(metrics["outboxx_progress_records_total"])}
    assert outboxx.stop() == 0
    return result


def latency(postgres, kafka, outboxx, first, count=500, per_second=100):
    """Of rows behind the backlog, with ids from first downwards."""
    topic = outboxx.config["streams"][0]["sink"]["destination"]
    outboxx.start()
    with Reader(kafka.bootstrap(), topic, config={"isolation.level": "read_committed"}) as reader, postgres.connect() as connection:
        wait_until(lambda: reader.read() is None and reader.at_end, 60, "the backlog is read", interval=0)
        began = time.monotonic()
        arrived = []
        written = 0
        while len(arrived) < count:
            if written < count and time.monotonic() - began >= written / per_second:
                connection.execute("insert into orders values (%s, extract(epoch from clock_timestamp()))", [first - written])
                written += 1
            message = reader.read(0.001)
            if message and first - count < message.json["data"]["id"] <= first:
                arrived.append(message.arrived - float(message.json["data"]["text"]))
    assert outboxx.stop() == 0
    milliseconds = [round(seconds * 1000, 1) for seconds in statistics.quantiles(arrived, n=100)]
    return {"latency_p50_ms": milliseconds[49], "latency_p99_ms": milliseconds[98]}


if __name__ == "__main__":
    main()
