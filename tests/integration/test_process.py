"""The process among others: pipes that are stuck or closed, ports that are taken, slow HTTP clients, no sleeping."""

import contextlib
import fcntl
import os
import re
import signal
import socket

import pytest

from support import consume, ndjson, stream, wait_until

TABLE = "create table items (id bigint primary key, note text)"


def insert(postgres, first, last):
    postgres.execute(f"insert into items select g, repeat('x', 100) from generate_series({first}, {last}) g")


def ids(messages):
    return [message.json["data"]["id"] for message in messages]


@pytest.fixture
def pipe(closing):
    """pipe(): (read end, write end) of a pipe, as file objects without a buffer."""
    def make(size=65536):
        read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, size)
        return closing(open(read, "rb", buffering=0)), closing(open(write, "wb", buffering=0))
    return make


def fill(write):
    """Until not one byte more fits. The flag is of the open file description, so it is taken back for the program's sake."""
    os.set_blocking(write.fileno(), False)
    with contextlib.suppress(BlockingIOError):
        while os.write(write.fileno(), b"#" * 4096):
            pass
    with contextlib.suppress(BlockingIOError):
        while os.write(write.fileno(), b"#"):
            pass
    os.set_blocking(write.fileno(), True)


def read_available(read):
    os.set_blocking(read.fileno(), False)
    return read.read() or b""


def test_f111_log_pipe_that_nobody_reads_does_not_stop_the_rows(postgres, kafka, topic, make_outboxx, pipe):
    """A write to a full pipe blocks: one log line would stop the pipeline, and PostgreSQL would end the connection."""
    postgres.execute(TABLE)
    read, write = pipe()
    fill(write)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], args=["--log-level", "trace"]).start(stderr=write)

    insert(postgres, 1, 500)
    assert ids(consume(kafka.bootstrap(), topic, count=500)) == list(range(1, 501))
    dropped = outboxx.metrics()["outboxx_log_lines_dropped_total"]
    assert dropped > 0

    assert set(read_available(read)) == {ord("#")}
    outboxx.signal(signal.SIGTERM)  # its next words, now that there is room
    assert outboxx.wait_exit() == 0
    text = read_available(read).decode()
    assert int(re.search(r"dropped (\d+) log lines", text).group(1)) >= dropped
    assert "stopped" in text


def test_closed_log_pipe_does_not_end_the_process(postgres, kafka, topic, make_outboxx, pipe):
    """A log collector that dies must not take the pipeline with it."""
    postgres.execute(TABLE)
    read, write = pipe()
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], args=["--log-level", "trace"]).start(stderr=write)
    read.close()

    insert(postgres, 1, 10)

    assert ids(consume(kafka.bootstrap(), topic, count=10)) == list(range(1, 11))
    assert outboxx.stop() == 0


def test_closed_standard_output_ends_the_stdout_sink_with_its_code(postgres, make_outboxx, pipe):
    """Rows that nobody can read must not be confirmed; SIGPIPE would end the process without a word."""
    postgres.execute(TABLE)
    read, write = pipe()
    outboxx = make_outboxx(postgres, None, [stream("public.items")]).start(stdout=write)
    insert(postgres, 1, 1)
    wait_until(lambda: read_available(read), 20, "the first line")
    wait_until(lambda: outboxx.metrics()["outboxx_units_pending"] == 0, 20, "the first row is confirmed")
    read.close()
    before = postgres.current_lsn()

    insert(postgres, 2, 2)

    assert outboxx.wait_exit() == 74
    assert "could not write to standard output" in outboxx.log
    assert postgres.slot("outboxx_slot")["confirmed_flush_lsn"] < postgres.current_lsn()
    outboxx.start()
    wait_until(lambda: [event["data"]["id"] for event in ndjson(outboxx.stdout)][-1:] == [2], 20, "the row that was not read")
    assert outboxx.stop() == 0
    assert postgres.slot("outboxx_slot")["confirmed_flush_lsn"] > before


def test_stuck_reader_of_standard_output_pauses_and_loses_nothing(start_postgres, make_outboxx, pipe):
    """A blocked write would stop the status updates, and the server would end the connection after wal_sender_timeout."""
    postgres = start_postgres(settings={"wal_sender_timeout": "2s"})
    postgres.execute(TABLE)
    read, write = pipe(4096)
    outboxx = make_outboxx(postgres, None, [stream("public.items")]).start(stdout=write)
    walsender = postgres.walsender_pid()

    insert(postgres, 1, 10000)
    wait_until(lambda: outboxx.metrics()["outboxx_reading_paused"] == 1, 30, "reading is paused")
    for _ in range(8):  # each after at most half a second: longer than wal_sender_timeout together
        asked = postgres.value("select now()")
        wait_until(lambda: postgres.value("select reply_time > %s from pg_stat_replication", [asked]), 10, "a status update")
    assert outboxx.get("/healthz")[0] == 200

    received = bytearray()
    wait_until(lambda: received.extend(read_available(read)) or received.count(b"\n") >= 10000, 60, "all lines", interval=0.001)
    assert [event["data"]["id"] for event in ndjson(received.decode())] == list(range(1, 10001))
    wait_until(lambda: outboxx.metrics()["outboxx_reading_paused"] == 0, 20, "reading goes on")
    assert postgres.walsender_pid() == walsender
    assert outboxx.stop() == 0


def test_sigpipe_is_ignored(postgres, make_outboxx):
    """A client or reader that goes away at the wrong moment would end the process."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, None, [stream("public.items")]).start()

    outboxx.signal(signal.SIGPIPE)
    insert(postgres, 1, 1)

    wait_until(lambda: len(ndjson(outboxx.stdout)) == 1, 20, "the line")
    assert outboxx.stop() == 0


def test_health_stays_good_and_readiness_not_while_the_broker_is_down(postgres, start_kafka, topic, make_outboxx):
    """A restart by the orchestrator does not bring the broker back; traffic switched to us would not be served."""
    postgres.execute(TABLE)
    kafka = start_kafka()
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)]).start()
    assert outboxx.get("/healthz") == (200, "ok\n")

    kafka.kill()
    wait_until(lambda: outboxx.get("/readyz")[0] == 503, 30, "not ready")
    assert outboxx.get("/readyz")[1] == "the sink is not reachable\n"
    assert outboxx.get("/healthz") == (200, "ok\n")
    assert outboxx.metrics()["outboxx_sink_reachable"] == 0

    kafka.start()
    wait_until(lambda: outboxx.get("/readyz")[0] == 200, 60, "ready again, with nothing to send")
    assert outboxx.stop() == 0


def test_http_port_in_use_is_an_error_that_names_it(postgres, make_outboxx):
    """Two pipelines on one port would answer for each other."""
    postgres.execute(TABLE)
    first = make_outboxx(postgres, None, [stream("public.items")]).start()
    second = make_outboxx(postgres, None, [stream("public.items")],
                          config={"observability.port": first.port, "source.postgres.slot_name": "other"}).start(ready=False)

    assert second.wait_exit() == 65
    assert f"could not bind 127.0.0.1:{first.port}: address already in use" in second.log
    assert postgres.slot("other") is None
    assert first.stop() == 0


def test_f121_clients_that_never_finish_their_request_do_not_stop_health(postgres, make_outboxx, closing):
    """Slow clients that hold all connections would make the orchestrator kill a healthy process."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, None, [stream("public.items")]).start()
    for number in range(100):
        client = closing(socket.create_connection(("127.0.0.1", outboxx.port), timeout=5))
        client.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: " + b"a" * (number % 7))
    huge = closing(socket.create_connection(("127.0.0.1", outboxx.port), timeout=5))
    huge.sendall(b"GET /healthz HTTP/1.1\r\nX-Huge: " + b"a" * 20_000)

    for _ in range(10):
        assert outboxx.get("/healthz") == (200, "ok\n")
    assert huge.recv(100).startswith(b"HTTP/1.1 431 ")
    assert outboxx.metrics()["process_open_fds"] < 120
    insert(postgres, 1, 1)
    wait_until(lambda: len(ndjson(outboxx.stdout)) == 1, 20, "the line")
    assert outboxx.stop() == 0


def test_f108_few_file_descriptors_are_enough_and_http_clients_cannot_take_the_last(postgres, kafka, topic, make_outboxx, closing):
    """A listener that cannot accept must not spin, and the stream has what it needs already."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], wrapper=["prlimit", "--nofile=32"]).start()
    for _ in range(40):
        closing(socket.create_connection(("127.0.0.1", outboxx.port), timeout=5)).sendall(b"GET /healthz HTTP/1.1\r\n")
    before = outboxx.cpu_seconds()

    insert(postgres, 1, 100)
    assert ids(consume(kafka.bootstrap(), topic, count=100)) == list(range(1, 101))
    wait_until(lambda: outboxx.get("/healthz") == (200, "ok\n"), 20, "health, once the clients' time is over")
    assert outboxx.cpu_seconds() - before < 1
    assert outboxx.stop() == 0


def test_f108_too_few_file_descriptors_are_an_error_that_says_so(postgres, kafka, topic, make_outboxx):
    """Anything but a hang, or a crash without a word."""
    postgres.execute(TABLE)
    for limit in (8, 12):
        outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], wrapper=["prlimit", f"--nofile={limit}"]).start(ready=False)
        assert outboxx.wait_exit() in (65, 69, 70, 71), (limit, outboxx.log)
        assert "too many open files" in outboxx.log.lower(), (limit, outboxx.log)
    assert postgres.slot("outboxx_slot") is None


def check_drain_without_sleep(postgres, kafka, topic, make_outboxx, rows):
    postgres.execute(TABLE)
    arguments = [postgres, kafka, [stream("public.items", topic)]]
    first = make_outboxx(*arguments).start()  # makes the slot
    assert first.stop() == 0
    for start in range(1, rows, 10_000):
        insert(postgres, start, start + 9_999)
    outboxx = make_outboxx(*arguments, strace=["-f", "-e", "trace=nanosleep,clock_nanosleep,select,pselect6"]).start(deadline=60)

    messages = consume(kafka.bootstrap(), topic, count=rows, deadline=120)
    pid = outboxx.pid
    assert outboxx.stop() == 0

    assert ids(messages) == list(range(1, rows + 1))

    def trace():
        with open(outboxx.strace_path, encoding="utf-8") as file:
            return [line.split(None, 1)[1] for line in file if line.startswith(f"{pid} ")]
    wait_until(lambda: any("exited with 0" in line for line in trace()), 20, "the end of the trace")
    assert [line for line in trace() if "sleep" in line or "select" in line] == []


def test_pipeline_thread_never_sleeps_while_it_drains(postgres, kafka, topic, make_outboxx):
    """A loop that sleeps adds its pause to every message, and wakes up for nothing."""
    check_drain_without_sleep(postgres, kafka, topic, make_outboxx, 20_000)


@pytest.mark.slow
def test_pipeline_thread_never_sleeps_in_a_long_drain(postgres, kafka, topic, make_outboxx):
    """The same with back-pressure and status updates in it."""
    check_drain_without_sleep(postgres, kafka, topic, make_outboxx, 200_000)
