"""The private servers of a benchmark, and backlogs in them: WAL that is written once and read by each run through a slot of its
own.
"""

import itertools
import os

import process
from support import Kafka, Postgres, wait_until

POSTGRES = {
    "synchronous_commit": "on",  # off: the walsender waits up to 200 ms for the WAL writer, and it is in every latency
    "shared_buffers": "1GB",
    "max_wal_size": "32GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "max_replication_slots": 500,
    "max_wal_senders": 20,
    "max_locks_per_transaction": 1024,  # to drop ten thousand tables at once
}
KAFKA = {"log.segment.delete.delay.ms": 100, "log.retention.check.interval.ms": 3_600_000}
SLOT_QUERY = """select s.active_pid, r.sent_lsn >= %s::pg_lsn from pg_replication_slots s
  left join pg_stat_replication r on r.pid = s.active_pid where s.slot_name = %s"""


class Backlog:
    """The prepared workload: its schema and publication, where its WAL ends ("X/Y"; None if it has no end), and fresh slots."""

    def __init__(self, workload, schema, publication):
        self.workload = workload
        self.schema = schema
        self.publication = publication
        self.end = None
        self.slots = []


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

    def prepare(self, workload, slots, schema="public"):
        """Writes the workload once, and flushes what that dirtied, so that no run pays for it."""
        backlog = self.create(workload, schema)
        backlog.slots += self.create_slots(slots)
        for statement in workload.load:
            self.sql.execute(statement)
        backlog.end = self.sql.execute("select pg_current_wal_insert_lsn()::text").fetchone()[0]
        self.sql.execute("checkpoint")
        os.sync()
        return backlog

    def create(self, workload, schema="public"):
        """Tables and publication, no rows. The publication comes before the slots, which must not be older."""
        self.sql.execute(f"create schema if not exists {schema}; set search_path to {schema}")
        for statement in workload.create:
            self.sql.execute(statement)
        publication = f"bench_{next(self._numbers)}"
        self.sql.execute(f"create publication {publication} for tables in schema {schema}")
        return Backlog(workload, schema, publication)

    def create_slots(self, count):
        names = [self.new_slot_name() for _ in range(count)]
        for name in names:
            self.sql.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
        return names

    def new_slot_name(self):
        """For a client that creates its slot itself."""
        return f"bench_{next(self._numbers)}"

    def drop_slots(self):
        wait_until(self._drop_slots, 30, "slots are not in use")

    def clear(self):
        """Drops slots, publications and tables: the next scenario starts from nothing."""
        self.drop_slots()
        for (name,) in self.sql.execute("select pubname from pg_publication").fetchall():
            self.sql.execute(f"drop publication {name}")
        for (name,) in self.sql.execute("select nspname from pg_namespace where nspname !~ '^(pg_|information_schema)'").fetchall():
            self.sql.execute(f"drop schema {name} cascade")

    def _drop_slots(self):
        self.sql.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active")
        return self.sql.execute("select count(*) from pg_replication_slots").fetchone()[0] == 0

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
