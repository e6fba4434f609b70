"""What people see of a snapshot: the endpoint, the metrics, and the line at the foot of a terminal."""

import fcntl
import json
import os
import pty
import re
import struct
import termios
import threading

import pytest
from support import stream, wait_until
from support.snapshot import THROTTLE, create_table

ROWS = 20_000
CLEAR = "\r\x1b[K"
CHUNKS = {"source.postgres.snapshot.chunk_bytes": 65_536}
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO |WARN |ERROR) \w.*")
BAR = re.compile(r"snapshot +\d+\.\d%  \[#*-*\]  [\d,]+ rows  [\d,]+[kM]? rows/s  [\d.]+ MB/s  ETA (\d+:\d\d|-:--)  [012]/2 tables")


def make_tables(postgres, kafka, topic):
    """Two, the second one empty, and the streams that read them."""
    create_table(postgres, "orders", ROWS)
    create_table(postgres, "notes", 0)
    for table in ("orders", "notes"):
        kafka.create_topic(f"{topic}.{table}", 1)
    postgres.execute("analyze")
    return [stream(f"public.{table}", f"{topic}.{table}", operations=("read", "insert"), routing_key="ident") for table in ("orders", "notes")]


@pytest.fixture
def tables(postgres, kafka, topic):
    return make_tables(postgres, kafka, topic)


class Screen:
    """A terminal for standard error: fd is its side of the program, text what came so far."""

    def __init__(self, columns):
        self._own, self.fd = pty.openpty()
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._read = b""
        self._thread = threading.Thread(target=self._collect)
        self._thread.start()

    def _collect(self):
        try:
            while data := os.read(self._own, 65536):
                self._read += data
        except OSError:
            pass  # nobody has the other side any more

    @property
    def text(self):
        return self._read.decode()

    def close(self):
        os.close(self.fd)
        self._thread.join()
        os.close(self._own)

    def lines(self):
        """As they stand there: what a program cleared is gone."""
        return [line.rsplit(CLEAR, 1)[-1] for line in self.text.replace("\r\n", "\n").split("\n")]


def snapshots(outboxx):
    status, body = outboxx.get("/snapshots")
    assert status == 200
    return json.loads(body)


def test_endpoint_and_metrics_follow_a_snapshot(postgres, kafka, tables, make_outboxx):
    outboxx = make_outboxx(postgres, kafka, tables, config={**THROTTLE, **CHUNKS}).start()
    (blocks,), = postgres.query("select pg_relation_size('orders') / 8192")

    halfway = wait_until(lambda: (now := snapshots(outboxx))["percent"] > 10 and now, 30, "a tenth is read")
    assert halfway["state"] == "running"
    assert halfway["percent"] < 100
    assert halfway["eta_seconds"] is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", halfway["started"])
    assert halfway["point"] in outboxx.wait_log("snapshot started")
    assert halfway["totals"]["estimated_rows"] == ROWS
    orders = next(table for table in halfway["tables"] if table["table"] == "public.orders")
    assert orders["state"] == "reading"
    assert 0 < orders["blocks_done"] < orders["blocks"] == blocks
    assert 0 < orders["rows"] < ROWS
    metrics = outboxx.metrics()
    assert metrics["outboxx_snapshot_running"] == 1
    assert metrics["outboxx_snapshot_seconds"] > 0

    outboxx.wait_log("snapshot complete", 60)
    complete = snapshots(outboxx)
    assert (complete["state"], complete["percent"], complete["eta_seconds"]) == ("complete", 100, None)
    assert complete["totals"] | {"bytes": 0} == {"tables": 2, "tables_done": 2, "rows": ROWS, "bytes": 0, "blocks_done": blocks,
                                                 "blocks": blocks, "estimated_rows": ROWS}
    assert {table["table"]: (table["state"], table["rows"]) for table in complete["tables"]} == {
        "public.orders": ("done", ROWS), "public.notes": ("done", 0)}
    metrics = outboxx.metrics()
    assert metrics["outboxx_snapshot_running"] == 0
    assert metrics['outboxx_snapshot_rows_total{table="public.orders"}'] == ROWS
    assert metrics['outboxx_snapshot_bytes_total{table="public.orders"}'] == complete["totals"]["bytes"] > ROWS * 100
    assert metrics['outboxx_snapshot_blocks{table="public.orders"}'] == blocks
    assert metrics['outboxx_snapshot_blocks_done{table="public.orders"}'] == blocks


def test_resumed_snapshot_goes_on_where_it_was(postgres, kafka, tables, make_outboxx):
    outboxx = make_outboxx(postgres, kafka, tables, config={**THROTTLE, **CHUNKS}).start()
    wait_until(lambda: snapshots(outboxx)["percent"] > 30, 30, "a third is read")
    outboxx.stop()
    outboxx.start()
    resumed = snapshots(outboxx)
    assert resumed["state"] == "running"
    assert resumed["percent"] >= 30
    assert resumed["totals"]["rows"] < ROWS / 4, "counts what this process sent"
    outboxx.wait_log("snapshot complete", 60)
    assert snapshots(outboxx)["totals"]["rows"] < ROWS
    outboxx.stop()
    outboxx.start()
    assert snapshots(outboxx)["state"] == "none"


def test_terminal_shows_one_line_below_the_log(postgres, kafka, tables, make_outboxx, closing):
    screen = closing(Screen(columns=100))
    outboxx = make_outboxx(postgres, kafka, tables, config={**THROTTLE, **CHUNKS}, env={"TERM": "xterm"})
    outboxx.start(stderr=screen.fd)
    wait_until(lambda: BAR.fullmatch(screen.lines()[-1]), 30, "the last line is the bar")
    wait_until(lambda: "snapshot complete" in screen.text, 60, "snapshot complete")
    assert outboxx.stop() == 0
    *lines, last = screen.lines()
    assert last == "", "the bar is gone"
    assert [line for line in lines if not LOG_LINE.fullmatch(line)] == []
    assert "snapshot in progress" not in screen.text
    drawn = [part for part in screen.text.split(CLEAR) if BAR.fullmatch(part)]
    assert len(drawn) >= 5
    assert len(set(drawn)) == len(drawn), "drawn only when it changed"
    assert {len(line) <= 99 for line in drawn} == {True}


def test_terminal_tells_at_once_that_nothing_moves(postgres, start_kafka, topic, make_outboxx, closing):
    kafka = start_kafka()
    screen = closing(Screen(columns=100))
    outboxx = make_outboxx(postgres, kafka, make_tables(postgres, kafka, topic), config={**THROTTLE, **CHUNKS}, env={"TERM": "xterm"})
    outboxx.start(stderr=screen.fd)
    wait_until(lambda: snapshots(outboxx)["percent"] > 5, 30, "some rows have arrived")
    kafka.pause()
    wait_until(lambda: "  0 rows/s  " in screen.lines()[-1], 8, "the rate is that of the last five seconds")
    kafka.resume()
    wait_until(lambda: "snapshot complete" in screen.text, 60, "snapshot complete")


@pytest.mark.parametrize("kind", ["json", "stdout"])
def test_terminal_without_a_line(kind, postgres, kafka, tables, make_outboxx, closing):
    """JSON is for programs; records on standard output may go to the same terminal."""
    screen = closing(Screen(columns=100))
    outboxx = make_outboxx(postgres, None if kind == "stdout" else kafka, tables, config=CHUNKS, env={"TERM": "xterm"},
                           args=["--log-format", "json"] if kind == "json" else [])
    outboxx.start(stderr=screen.fd)
    wait_until(lambda: "snapshot complete" in screen.text, 60, "snapshot complete")
    outboxx.stop()
    assert "\x1b" not in screen.text
