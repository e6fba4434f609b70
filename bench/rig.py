"""The private servers of a benchmark, and backlogs in them: WAL that is written once and read by each run through a slot of its
own.
"""

import itertools
import os

import process
from support import Kafka, Postgres

POSTGRES = {
    "synchronous_commit": "on",  # off: the walsender waits up to 200 ms for the WAL writer, and it is in every latency
    "shared_buffers": "1GB",
    "max_wal_size": "32GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "max_replication_slots": 500,
    "max_wal_senders": 20,
}
KAFKA = {"log.segment.delete.delay.ms": 100, "log.retention.check.interval.ms": 3_600_000}
SLOT_QUERY = """select s.active_pid, r.sent_lsn >= %s::pg_lsn from pg_replication_slots s
  left join pg_stat_replication r on r.pid = s.active_pid where s.slot_name = %s"""


class Backlog:
    """The prepared workload: its publication, where its WAL ends ("X/Y"), and fresh slots."""

    def __init__(self, workload, publication, slots):
        self.workload = workload
        self.publication = publication
        self.end = None
        self._slots = slots

    def take_slot(self):
        return self._slots.pop()


class Rig:
    """PostgreSQL, Kafka unless kafka is False, and one SQL connection. Close it."""

    def __init__(self, directory, kafka=True):
        self.directory = directory
        self.postgres = Postgres(os.path.join(directory, "pg"), settings=POSTGRES).start()
        self.kafka = Kafka(os.path.join(directory, "kafka"), properties=KAFKA).start() if kafka else None
        self.sql = self.postgres.connect()
        self._numbers = itertools.count(1)

    def close(self):
        self.sql.close()
        self.postgres.close()
        if self.kafka:
            self.kafka.close()

    def prepare(self, workload, slots):
        """Writes the workload into a database that holds nothing else, and flushes what it dirtied, so that no run pays for it."""
        self.create(workload)
        backlog = Backlog(workload, self.publish(workload), self.create_slots(slots))
        for statement in workload.load:
            self.sql.execute(statement)
        backlog.end = self.sql.execute("select pg_current_wal_insert_lsn()::text").fetchone()[0]
        self.sql.execute("checkpoint")
        os.sync()
        return backlog

    def create(self, workload):
        for statement in workload.create:
            self.sql.execute(statement)

    def publish(self, workload):
        """Before the slots: a slot must not be older than the publication that it is read with."""
        name = f"bench_{next(self._numbers)}"
        self.sql.execute(f"create publication {name} for {workload.published}")
        return name

    def create_slots(self, count):
        names = [f"bench_{next(self._numbers)}" for _ in range(count)]
        for name in names:
            self.sql.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
        return names

    def clear(self):
        """Drops slots, publications and tables: the next scenario starts from nothing."""
        self.sql.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active")
        for (name,) in self.sql.execute("select pubname from pg_publication").fetchall():
            self.sql.execute(f"drop publication {name}")
        tables = [name for (name,) in self.sql.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()]
        for first in range(0, len(tables), 1000):  # each takes locks, and there is room for some thousands
            self.sql.execute(f"drop table {', '.join(tables[first:first + 1000])}")

    def slot_state(self, slot, end):
        """(walsender's process id or None, whether it has sent everything up to end)."""
        return self.sql.execute(SLOT_QUERY, [end, slot]).fetchone()

    def new_topic(self, name=None, partitions=1):
        return self.kafka.create_topic(name or f"bench-{next(self._numbers)}", partitions)

    def new_directory(self):
        path = os.path.join(self.directory, f"run-{next(self._numbers)}")
        os.mkdir(path)
        return path

    def program(self, name):
        """A program of PostgreSQL's; the one in the path may be Debian's wrapper."""
        return os.path.join(self.postgres.bin, name)

    def versions(self):
        server = self.sql.execute("show server_version").fetchone()[0]
        return {"postgresql": server, "kafka": self.kafka.version if self.kafka else None,
                "congestion_control": process.congestion_control()}
