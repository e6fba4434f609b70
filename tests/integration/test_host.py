"""The machine around the process: clocks that jump, no memory, no disk, no CPU."""

import contextlib
import os
import signal
import subprocess
import threading

import pytest

from support import WallClock, consume, ndjson, sanitized, stream, wait_until
from support.witness import SlotWatch, Writer, check_history

TABLE = "create table orders (id int primary key, filler text)"
MIB = 1024 * 1024


def rows(postgres):
    return [number for (number,) in postgres.query("select id from orders order by id")]


def ids(outboxx):
    return [event["data"]["id"] for event in ndjson(outboxx.stdout)]


@pytest.fixture
def wall_clock(directory):
    """The environment for a program whose wall clock can be moved, and the function that moves it by so many seconds."""
    clock = WallClock(directory)
    return clock.environment, clock.move


@pytest.mark.skipif(sanitized(), reason="a sanitizer wants to be loaded first")
def test_f106_wall_clock_that_jumps_changes_neither_order_nor_time_outs(start_postgres, kafka, topic, make_outboxx, wall_clock):
    """Deadlines by the wall clock would expire at once or never; ids or an order made of times would go back."""
    environment, move = wall_clock
    postgres = start_postgres(settings={"wal_sender_timeout": "2s"})
    postgres.execute(TABLE)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("orders", topic)], env=environment).start()

    with Writer(postgres, "insert into orders values (%s, 'x')", per_second=100) as writer, SlotWatch(postgres) as watch:
        for jump in (3000, -3600, -86_400 * 400, 0):
            move(jump)
            written = writer.written
            wait_until(lambda at=written: writer.written >= at + 100, 30, "a hundred rows at that time")
            assert outboxx.get("/healthz")[0] == 200
            assert outboxx.metrics()["outboxx_replication_lag_seconds"] >= 0

    assert len({sample.walsender for sample in watch.samples}) == 1
    expected = rows(postgres)
    messages = consume(kafka.bootstrap(), topic, count=len(expected))
    check_history(messages, expected)
    assert len(messages) == len(expected)
    move(-86_400 * 400)
    assert outboxx.stop() == 0
    assert len({line[:4] for line in outboxx.log.splitlines()}) > 1  # the years in the log: the clock really moved


@pytest.mark.skipif(sanitized(), reason="a sanitizer wants to be loaded first")
def test_f106_clock_far_ahead_of_the_brokers_is_refused_with_the_reason(postgres, kafka, topic, make_outboxx, wall_clock):
    """Kafka takes no record that is dated more than an hour ahead, and its own words do not say whose clock is wrong."""
    environment, move = wall_clock
    postgres.execute(TABLE)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("orders", topic)], env=environment).start()
    move(86_400)
    postgres.execute("insert into orders values (1, 'x')")

    assert outboxx.wait_exit() == 73
    assert "message.timestamp.after.max.ms" in outboxx.wait_log("Invalid timestamp")
    move(0)
    outboxx.start()
    assert [message.json["data"]["id"] for message in consume(kafka.bootstrap(), topic, count=1)] == [1]
    assert outboxx.stop() == 0


@pytest.mark.skipif(sanitized(), reason="a sanitizer takes terabytes of addresses")
def test_f109_out_of_memory_confirms_nothing_and_loses_nothing(postgres, make_outboxx):
    """A change that has no room must stop the stream, not be passed over."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, None, [stream("orders")]).start()
    postgres.execute("insert into orders values (1, 'x')")
    wait_until(lambda: ids(outboxx) == [1], 20, "the first row")
    with open(f"/proc/{outboxx.pid}/status", encoding="ascii") as file:
        size = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmSize"))
    subprocess.run(["prlimit", f"--pid={outboxx.pid}", f"--as={size + 48 * MIB}"], check=True)

    with postgres.connect(autocommit=False) as connection:
        connection.execute("insert into orders values (2, repeat('x', 80000000))")
        before_its_commit = connection.execute("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()[0]
    postgres.execute("insert into orders values (3, 'x')")

    wait_until(lambda: not outboxx.running or "memory" in outboxx.log, 60, "it has no memory left")
    assert postgres.slot("outboxx_slot")["confirmed_flush_lsn"] <= before_its_commit
    outboxx.kill()
    outboxx.start()
    wait_until(lambda: outboxx.stdout.count("\n") >= 3, 60, "the rows that had no room", interval=0.2)
    assert ids(outboxx)[-2:] == [2, 3]
    assert outboxx.stop() == 0


def test_f110_full_disk_under_the_log_does_not_stop_the_rows(postgres, kafka, topic, make_outboxx):
    """A log line that cannot be written must not hold up a change, or end the process."""
    postgres.execute(TABLE)
    with open("/dev/full", "wb", buffering=0) as full:
        outboxx = make_outboxx(postgres, kafka, [stream("orders", topic)], args=["--log-level", "trace"]).start(stderr=full)
    postgres.execute("insert into orders select g, 'x' from generate_series(1, 500) g")

    assert [message.json["data"]["id"] for message in consume(kafka.bootstrap(), topic, count=500)] == list(range(1, 501))
    assert outboxx.metrics()["outboxx_log_lines_dropped_total"] > 0
    assert outboxx.stop() == 0


def test_f110_full_disk_under_the_output_stops_it_and_confirms_nothing(postgres, make_outboxx):
    """A line that found no room must not be confirmed."""
    postgres.execute(TABLE)
    with open("/dev/full", "wb", buffering=0) as full:
        outboxx = make_outboxx(postgres, None, [stream("orders")]).start(stdout=full)
    before = postgres.current_lsn()
    postgres.execute("insert into orders select g, 'x' from generate_series(1, 500) g")

    assert outboxx.wait_exit() == 74
    assert "No space left on device" in outboxx.log
    assert postgres.slot("outboxx_slot")["confirmed_flush_lsn"] <= before
    outboxx.start()
    wait_until(lambda: len(ids(outboxx)) >= 500, 20, "the rows")
    assert ids(outboxx) == list(range(1, 501))
    assert outboxx.stop() == 0


@contextlib.contextmanager
def starved(outboxx, run_s=0.02, stand_s=0.38):
    """Lets the process run a twentieth of the time."""
    ended = threading.Event()

    def run():
        while not ended.wait(run_s):
            outboxx.signal(signal.SIGSTOP)
            ended.wait(stand_s)
            outboxx.signal(signal.SIGCONT)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)


def test_f113_process_that_gets_a_twentieth_of_a_cpu_keeps_its_session(start_postgres, kafka, topic, make_outboxx):
    """Status updates that come only when there is time for them come too late, and all is sent again."""
    postgres = start_postgres(settings={"wal_sender_timeout": "3s"})
    postgres.execute(TABLE)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("orders", topic)]).start()

    with starved(outboxx), SlotWatch(postgres) as watch, Writer(postgres, "insert into orders values (%s, 'x')") as writer:
        wait_until(lambda: writer.written >= 1000 and watch.samples[-1].at - watch.samples[0].at > 8, 60, "eight seconds of load")
    assert len({sample.walsender for sample in watch.samples}) == 1

    expected = rows(postgres)
    messages = consume(kafka.bootstrap(), topic, count=len(expected))
    assert [message.json["data"]["id"] for message in messages] == expected
    assert outboxx.stop() == 0
