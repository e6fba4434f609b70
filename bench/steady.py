"""Runs over time: a constant load, no load, and the start."""

import json
import os
import subprocess
import sys
import time

import process
from drain import TopicEnd
from support import Reader, wait, wait_until

WARM_UP_S = 5
CLIENTS = 4
INSERT = """insert into records (account_id, numeric_field, status, payload)
values (1234567, 1234.567890, 'new', jsonb_build_object('source', 'cdc-benchmark', 'seq', 1, 'padding', repeat('x', 60)));
"""


def steady(rig, client, backlog, rate, seconds):
    """rate single-row transactions a second. Latency: from the row's clock_timestamp(), which is a little before the commit, to
    its arrival at a consumer.
    """
    rig.sql.execute("truncate records")
    slot, topic = _fresh(rig, client, backlog)
    run = client.start(backlog, slot, topic)
    walsender = _wait_streaming(rig, slot)
    consumer = start_consumer(rig, topic) if client.delivers else None
    load = start_load(rig, rate, WARM_UP_S + seconds)
    let_pass(load, WARM_UP_S)
    before = _usage(run, walsender, rig)
    since = time.time()
    load.wait(seconds + 60)
    usage = _percent(before, _usage(run, walsender, rig))
    rows = rig.sql.execute("select count(*) from records").fetchone()[0]
    figures = {"client": client.name, "offered_rate": rate, "rate": round(rows / (WARM_UP_S + seconds)), "cpu_percent": usage,
               "peak_rss_bytes": process.peak_rss_bytes(run.process.pid)}
    if consumer:
        _wait_delivered(rig, topic, rows)
        output, _ = consumer.communicate(f"{since}\n", timeout=60)
        figures["latency_ms"] = json.loads(output)
    return _end(rig, client, run, topic, figures)


def idle(rig, client, backlog, seconds):
    """Nothing is written. Processor time to the nanosecond."""
    slot, topic = _fresh(rig, client, backlog)
    run = client.start(backlog, slot, topic)
    walsender = _wait_streaming(rig, slot)
    let_pass(run.process, WARM_UP_S)
    before = _usage(run, walsender, rig)
    let_pass(run.process, seconds)
    figures = {"client": client.name, "cpu_percent": _percent(before, _usage(run, walsender, rig)),
               "peak_rss_bytes": process.peak_rss_bytes(run.process.pid)}
    return _end(rig, client, run, topic, figures)


def start(rig, client, backlog):
    """From exec to the first record at a consumer that is waiting for it: a row is in the slot, the publication is there."""
    slot, topic = _fresh(rig, client, backlog)
    rig.sql.execute(INSERT)
    with Reader(rig.kafka.bootstrap(), topic) as reader:
        wait_until(lambda: reader.read() is None and reader.at_end, 30, "the consumer waits at the end", 0)
        begun = time.monotonic()
        run = client.start(backlog, slot, topic)
        wait_until(lambda: reader.read(1), 60, "the first record", 0)
        figures = {"client": client.name, "first_event_ms": round((time.monotonic() - begun) * 1000, 1)}
    return _end(rig, client, run, topic, figures)


def _fresh(rig, client, backlog):
    [slot] = rig.create_slots(1)
    name = client.topic_name(slot, backlog) if hasattr(client, "topic_name") else None
    return slot, rig.new_topic(name)


def _end(rig, client, run, topic, figures):
    if not client.delivers:
        run.process.terminate()
        wait.reap(run.process)
        rig.kafka.delete_topic(topic)
        return figures
    said = run.finish()
    rig.kafka.delete_topic(topic)
    return figures | said


def start_consumer(rig, topic):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "latency.py")
    consumer = wait.spawn([sys.executable, script, rig.kafka.bootstrap(), topic], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if consumer.stdout.readline() != "ready\n":
        raise AssertionError("the consumer did not start")
    return consumer


def start_load(rig, rate, seconds, statements=INSERT):
    script = os.path.join(rig.new_directory(), "load.sql")
    with open(script, "w", encoding="ascii") as file:
        file.write(statements)
    return wait.spawn([rig.program("pgbench"), "-n", "-M", "prepared", "-f", script, "-R", str(rate), "-c", str(CLIENTS),
                       "-T", str(seconds), "-h", rig.postgres.directory, "-p", str(rig.postgres.port), "-U", "postgres", "postgres"],
                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def let_pass(running, seconds):
    """Lets the time pass, and fails at once if the process ends meanwhile."""
    try:
        code = running.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise AssertionError(f"process {running.args} has ended with {code}")


def _wait_streaming(rig, slot):
    return wait_until(lambda: rig.slot_state(slot, "0/0")[0], 60, f"slot {slot} is in use")


def _wait_delivered(rig, topic, rows):
    count = TopicEnd(rig.kafka.bootstrap(), topic)
    wait_until(lambda: count() == rows, 60, f"{rows} records in the topic")
    count.close()


def _usage(run, walsender, rig):
    """Twice: to the nanosecond, but without the threads that have ended, and in ticks of 10 ms with them."""
    pids = {"program": run.process.pid, "walsender": walsender, "broker": rig.kafka.process.pid}
    return time.monotonic(), {name: (process.fine_cpu_seconds(pid), process.cpu_seconds(pid)) for name, pid in pids.items()}


def _percent(before, after):
    """Of one core. A JVM ends threads: then the ticks are right."""
    passed = after[0] - before[0]
    used = {name: max(late - early for early, late in zip(before[1][name], after[1][name])) for name in after[1]}
    return {name: round(seconds / passed * 100, 3) for name, seconds in used.items()}
