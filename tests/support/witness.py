"""Witnesses of the delivery promise that share nothing with the program: the server's own history, samples of what was
confirmed to it, and a client that writes on and on.
"""

import contextlib
import dataclasses
import struct
import threading
import time

import psycopg
from confluent_kafka import Consumer, TopicPartition

from .postgres import lsn


@dataclasses.dataclass(frozen=True)
class Commit:
    """A committed transaction: where its commit record starts and ends, and how many rows of it are published."""

    start: int
    end: int
    rows: int


class Commits:
    """The transactions that changed published tables, as a slot of our own reports them. Make it before they are written,
    and after the publication.
    """

    def __init__(self, postgres, publication="outboxx_publication", slot="witness"):
        self._postgres = postgres
        self._publication = publication
        self._slot = slot
        self._seen = []
        postgres.query("select pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])

    def read(self):
        """All of them so far, in commit order."""
        rows = self._postgres.query(
            "select data from pg_logical_slot_get_binary_changes(%s, null, null, 'proto_version', '1', 'publication_names', %s)",
            [self._slot, self._publication])
        changes = 0
        for (data,) in rows:
            if data[:1] in (b"I", b"U", b"D"):
                changes += 1
            elif data[:1] == b"C":  # 'C', flags, start, end, time: see protocol-logicalrep-message-formats
                start, end = struct.unpack(">QQ", data[2:18])
                self._seen.append(Commit(start, end, changes))
                changes = 0
        return list(self._seen)


@dataclasses.dataclass(frozen=True)
class Sample:
    """What the server had been told at a moment, and what the topic held a little later."""

    at: float
    confirmed: int
    walsender: int
    replied: float
    delivered: int


class SlotWatch:
    """Samples the slot some twenty times a second until the `with` block ends or the server goes away.

    delivered: a function that counts what arrived, e.g. TopicCount. It is called after the slot was read, so a position that
    covers more than that was confirmed too early, without doubt.
    """

    def __init__(self, postgres, delivered=lambda: 0, slot="outboxx_slot"):
        self.samples = []
        self._delivered = delivered
        self._slot = slot
        self._connection = postgres.connect()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def positions(self):
        """The distinct confirmed positions, in the order seen."""
        return list(dict.fromkeys(sample.confirmed for sample in self.samples))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join(30)
        self._connection.close()

    def _run(self):
        with contextlib.suppress(psycopg.OperationalError):
            while not self._ended.is_set():
                self._sample()
                self._ended.wait(0.05)

    def _sample(self):
        row = self._connection.execute(
            "select s.confirmed_flush_lsn::text, r.pid, extract(epoch from r.reply_time)::float8 from pg_replication_slots s"
            " left join pg_stat_replication r on r.pid = s.active_pid where s.slot_name = %s", [self._slot]).fetchone()
        if row:
            self.samples.append(Sample(time.monotonic(), lsn(row[0]), row[1], row[2], self._delivered()))


def confirmed_too_early(samples, commits):
    """The samples whose position lies behind the commit of a transaction that had not arrived: those up to there have more
    rows than had arrived. delivered must count from zero when the Commits are made.
    """
    return [sample for sample in samples
            if sum(commit.rows for commit in commits if commit.start < sample.confirmed) > sample.delivered]


def longest_pause(samples, value):
    """The longest time, in seconds, for which value(sample) stayed the same, the time up to the last sample included."""
    longest = 0.0
    since = samples[0]
    for sample in samples:
        longest = max(longest, sample.at - since.at)
        if value(sample) != value(since):
            since = sample
    return longest


class TopicCount:
    """Calls return how many records the partitions of a topic hold. Close it."""

    def __init__(self, bootstrap, topic, partitions=1):
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "outboxx-count", "log_level": 0})
        self._partitions = [TopicPartition(topic, partition) for partition in range(partitions)]

    def __call__(self):
        return sum(self._consumer.get_watermark_offsets(partition, timeout=20)[1] for partition in self._partitions)

    def close(self):
        self._consumer.close()


class Writer:
    """Writes transaction after transaction, numbered from first, until the `with` block ends or the server goes away.

    statement has one parameter, the number. What was committed is for the table to say: the last one may be in doubt.
    """

    def __init__(self, postgres, statement="insert into orders values (%s)", *, first=1, per_second=200):
        self.written = 0
        self._statement = statement
        self._next = first
        self._pause = 1 / per_second
        self._connection = postgres.connect()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join(30)
        self._connection.close()

    def _run(self):
        with contextlib.suppress(psycopg.OperationalError):
            while not self._ended.wait(self._pause):
                self._connection.execute(self._statement, [self._next])
                self._next += 1
                self.written += 1


def first_times(messages):
    """The messages without repetitions: in each partition, what is not above the highest outboxx-id so far is dropped."""
    highest = {}
    kept = []
    for message in messages:
        if message.headers["outboxx-id"] > highest.get(message.partition, b""):
            highest[message.partition] = message.headers["outboxx-id"]
            kept.append(message)
    return kept


def check_history(messages, expected):
    """Every row of a one-partition topic arrived, in the order expected (a list of ids), repetitions dropped as a consumer
    would; and a repetition is the same message with the same outboxx-id.
    """
    assert [message.json["data"]["id"] for message in first_times(messages)] == list(expected)
    contents = {}
    for message in messages:
        content = (message.key, message.json["data"])
        assert contents.setdefault(message.headers["outboxx-id"], content) == content
    assert len(contents) == len(list(expected))
