"""What is written down while the run goes on: the server's own history, and the topics as a consumer sees them."""

import contextlib
import datetime
import re
import threading
import time

import psycopg
from confluent_kafka import Consumer, KafkaError, TopicPartition

from support import lsn, wait_until

SLOT = "oracle"
CHANGES_PER_READ = 20000  # the server stops at the end of the transaction that passes it
READ_S = 0.02  # a record is seen at most so much later than it could have been: recovery times are measured with it
_LINE = re.compile(r"table (.*?): (INSERT|UPDATE|DELETE|TRUNCATE): (.*)", re.DOTALL)
_COMMIT = re.compile(r"COMMIT \d+ \(at (.*)\)")


class Oracle:
    """The committed transactions, from a test_decoding slot of our own. Make it before anything is written.

    It is peeked and then advanced, never read destructively: an answer that is lost with the server is asked for again.
    """

    def __init__(self, postgres, record):
        self._postgres = postgres
        self._record = record
        self.end = 0  # E(T) of the newest
        self.wanted = 0  # changes so far
        postgres.query("select pg_create_logical_replication_slot(%s, 'test_decoding')", [SLOT])

    def read(self):
        """Writes down what came since the last call; returns how many transactions that were. Fails if the server is away."""
        with self._postgres.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            rows = connection.execute("select lsn::text, xid::text::bigint, data from pg_logical_slot_peek_changes(%s, null, %s,"
                                      " 'include-xids', '1', 'skip-empty-xacts', '1', 'include-timestamp', '1')", [SLOT, CHANGES_PER_READ]).fetchall()
            read, changes = 0, []
            for position, xid, text in rows:
                if text.startswith("BEGIN "):
                    changes = []
                elif text.startswith("COMMIT "):
                    committed = datetime.datetime.fromisoformat(_COMMIT.fullmatch(text).group(1)).timestamp()
                    read += self._take(xid, lsn(position), committed, changes)
                else:
                    changes.append(_LINE.fullmatch(text).groups())
            if self.end:
                end = f"{self.end >> 32:X}/{self.end & 0xFFFFFFFF:X}"
                connection.execute("select pg_replication_slot_advance(%s, %s) where (select confirmed_flush_lsn from pg_replication_slots"
                                   " where slot_name = %s) < %s::pg_lsn", [SLOT, end, SLOT, end])
        return read

    def _take(self, xid, end, committed, changes):
        if end <= self.end:
            return 0
        self.end = end
        self.wanted += len(changes)
        self._record(xid=xid, end=end, committed=committed, changes=changes)
        return 1


class TopicReader:
    """Reads all partitions of the topics from their beginnings, all the time, in a thread of its own."""

    def __init__(self, bootstrap, topics, partitions, record):
        self._record = record
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "soak", "enable.auto.commit": False,
                                   "auto.offset.reset": "earliest", "isolation.level": "read_committed", "fetch.wait.max.ms": 100,
                                   "reconnect.backoff.max.ms": 500, "log_level": 0, "enable.partition.eof": True})
        self._assigned = [TopicPartition(topic, partition, 0) for topic in topics for partition in range(partitions)]
        self._consumer.assign(self._assigned)
        self._next = {}
        self._ended = threading.Event()
        self._failure = None
        self.events = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def caught_up(self):
        """Whether everything that the topics hold now has been written down. Fails if the reader has."""
        if self._failure:
            raise self._failure
        ends = {(each.topic, each.partition): self._consumer.get_watermark_offsets(each, timeout=10)[1] for each in self._assigned}
        return all(self._next.get(place, 0) >= end for place, end in ends.items())

    def close(self):
        self._ended.set()
        self._thread.join(30)
        self._consumer.close()

    def _run(self):
        try:
            while not self._ended.is_set():
                for message in self._consumer.consume(500, READ_S):
                    self._take(message)
        except Exception as error:
            self._failure = error

    def _take(self, message):
        error = message.error()
        place = message.topic(), message.partition()
        if error is None:
            self._next[place] = message.offset() + 1
            self.events += 1
            headers = dict(message.headers() or [])
            texts = {"id": headers.get("outboxx-id", b""), "key": message.key() or b"", "value": message.value() or b""}
            self._record(topic=place[0], partition=place[1], offset=message.offset(), appended=message.timestamp()[1],
                         arrived=round(time.time(), 4), **{name: text.decode("latin-1") for name, text in texts.items()})
        elif error.code() == KafkaError._PARTITION_EOF:
            self._next[place] = max(self._next.get(place, 0), message.offset())  # control records end it too
        elif error.fatal():
            raise AssertionError(f"the reader failed: {error}")


class Reading:
    """Calls oracle.read() again and again, in a thread, until closed. A server that is away is asked again."""

    def __init__(self, oracle, pause=0.5):
        self._oracle = oracle
        self._pause = pause
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._ended.wait(self._pause):
            with contextlib.suppress(psycopg.Error):
                self._oracle.read()

    def close(self):
        """Ends the thread, and reads what is left."""
        self._ended.set()
        self._thread.join(60)
        wait_until(lambda: self._oracle.read() == 0, 60, "the oracle has read everything")
