"""One snapshot of a whole table: from exec until every row is in the topic; for COPY, until psql has thrown the last one away.

The rate is of the rows behind the first look that saw some, over the time since then: it leaves out what a client does before it
reads. COPY has no topic, and what it does before is little: its rate is from exec. Processor time is of the whole run, for a
client that runs on a JVM without its start.
"""

import subprocess
import time

import process
from clients import EndsByItself
from drain import LOOK_S, TopicEnd
from support import wait, wait_until

DEADLINE_S = 3600
BACKENDS_QUERY = "select pid from pg_stat_activity where backend_type in ('client backend', 'walsender') and pid <> pg_backend_pid()"


class CopyClient:
    """psql throws the table away in COPY's binary form: one connection, what PostgreSQL alone takes."""

    name = "psql COPY"
    delivers = False

    def __init__(self, rig, host):
        self._rig = rig
        self._host = host

    def start(self, backlog, slot, topic):
        command = [self._rig.program("psql"), "--dbname", self._rig.postgres.conninfo(host=self._host), "-X", "-q", "-c",
                   f"COPY (SELECT * FROM {backlog.schema}.{backlog.workload.streamed[0]}) TO STDOUT (FORMAT binary)"]
        return EndsByItself(wait.spawn(command, stdout=subprocess.DEVNULL))


class TableRead:
    """measure() returns the figures of one client's run."""

    def __init__(self, rig, client, backlog):
        self._rig = rig
        self._client = client
        self._backlog = backlog
        self._slot = rig.new_slot_name()
        self._backends = {}
        self._peak_rss = 0
        self._first = None

    def measure(self):
        topic = self._topic() if self._client.delivers else None
        count = TopicEnd(self._rig.kafka.bootstrap(), topic) if topic else None
        before = self._used(0.0)
        self._run = self._client.start(self._backlog, self._slot, topic)
        try:
            wait_until(lambda: self._look(count, before), DEADLINE_S, f"{self._client.name} has everything", LOOK_S)
            end = self._used(process.cpu_seconds(self._run.process.pid))
            said = self._run.finish()
        except BaseException:
            self._run.process.kill()
            raise
        if topic:
            delivered = count()
            count.close()
            self._rig.kafka.delete_topic(topic)
            if delivered != self._backlog.workload.rows:
                raise AssertionError(f"{self._client.name} delivered {delivered} records of {self._backlog.workload.rows}")
            self._rig.drop_slots()
        return self._figures(before, end, said)

    def _topic(self):
        name = self._client.topic_name(self._slot, self._backlog) if hasattr(self._client, "topic_name") else None
        return self._rig.new_topic(name)

    def _look(self, count, before):
        rows = self._backlog.workload.rows
        delivered = count() if count else 0
        for (pid,) in self._rig.sql.execute(BACKENDS_QUERY).fetchall():
            self._backends[pid] = self._backends.get(pid, 0.0)
        used = self._used(process.cpu_seconds(self._run.process.pid))
        self._peak_rss = max(self._peak_rss, process.peak_rss_bytes(self._run.process.pid))
        if self._first is None and delivered:
            self._first = (used["at"], delivered, used if getattr(self._client, "starts_a_jvm", False) else before)
        return self._run.done(delivered >= rows if self._client.delivers else None, False)

    def _used(self, program):
        for pid in self._backends:
            if process.exists(pid):
                self._backends[pid] = process.cpu_seconds(pid)
        broker = process.cpu_seconds(self._rig.kafka.process.pid)
        return {"at": time.monotonic(), "program": program, "backends": sum(self._backends.values()), "broker": broker,
                "machine": process.machine_busy_seconds()}

    def _figures(self, before, end, said):
        rows = self._backlog.workload.rows
        begun, early, base = self._first or (before["at"], 0, before)
        return {
            "client": self._client.name,
            "rows": rows,
            "total_s": round(end["at"] - before["at"], 3),
            "first_row_s": round(begun - before["at"], 3),
            "rate": round((rows - early) / (end["at"] - begun)) if end["at"] > begun else None,
            "cpu_s": {name: round(end[name] - base[name], 3) for name in ("program", "backends", "broker", "machine")},
            "cpu_rows": rows - (early if base is not before else 0),
            "peak_rss_bytes": self._peak_rss,
        } | said
