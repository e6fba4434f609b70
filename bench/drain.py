"""One run over a backlog: from the start of a client until everything is where it belongs.

What is timed: total_s from exec to the last row (in the topic, by its end offsets; through the pipe; for a client that throws
away, its exit at the backlog's end). receive_s is the same from the moment when the server shows the slot in use: it leaves out
what a client does before it streams. Rates are rows by receive_s, processor time is what was used in that phase.
"""

import dataclasses
import time

import process
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from support import wait_until

DEADLINE_S = 900
LOOK_S = 0.03


@dataclasses.dataclass
class Usage:
    """What was used so far, at one moment."""

    at: float
    program: float
    walsender: float
    broker: float
    machine: float
    segments: int


class TopicEnd:
    """Calls return how many records a topic holds: one request, however many partitions there are. Close it."""

    def __init__(self, bootstrap, topic, partitions=1):
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-count", "log_level": 0})
        self._ends = [TopicPartition(topic, partition, OFFSET_END) for partition in range(partitions)]

    def __call__(self):
        return sum(found.offset for found in self._consumer.offsets_for_times(self._ends, timeout=20))

    def close(self):
        self._consumer.close()


class Drain:
    """Looks at the run every 30 ms: the cost is the same whoever is measured."""

    def __init__(self, rig, client, backlog):
        self._rig = rig
        self._client = client
        self._backlog = backlog
        self._slot = backlog.slots.pop()
        self._walsenders = {}
        self._peak_rss = 0
        self._program_cpu = 0.0
        self._streaming = None
        self._first_row = None

    def measure(self):
        """The figures of the run, as they are stored."""
        workload = self._backlog.workload
        topic = self._topic() if self._rig.kafka else None
        count = TopicEnd(self._rig.kafka.bootstrap(), topic, workload.partitions) if topic else None
        begun = time.monotonic()
        self._run = self._client.start(self._backlog, self._slot, topic)
        try:
            wait_until(lambda: self._look(count), DEADLINE_S, f"{self._client.name} has everything", LOOK_S)
            end = self._usage()
            said = self._run.finish()
        except BaseException:
            self._run.process.kill()
            raise
        if topic:
            delivered = count()
            count.close()
            self._rig.kafka.delete_topic(topic)
            if self._client.delivers and delivered != workload.rows:
                raise AssertionError(f"{self._client.name} delivered {delivered} records of {workload.rows}")
        return self._figures(begun, end, said)

    def _topic(self):
        name = self._client.topic_name(self._slot, self._backlog) if hasattr(self._client, "topic_name") else None
        return self._rig.new_topic(name, self._backlog.workload.partitions)

    def _look(self, count):
        pid, sent = self._rig.slot_state(self._slot, self._backlog.end)
        if pid and pid not in self._walsenders:
            self._walsenders[pid] = 0.0
        delivered = count() if count else 0
        self._sample()
        if self._streaming is None and pid:
            self._streaming = self._usage()
        if self._first_row is None and delivered:
            self._first_row = time.monotonic()
        return self._run.done(delivered >= self._backlog.workload.rows if self._client.delivers else None, bool(sent))

    def _sample(self):
        self._program_cpu = process.cpu_seconds(self._run.process.pid)
        self._peak_rss = max(self._peak_rss, process.peak_rss_bytes(self._run.process.pid))
        for pid in self._walsenders:
            if process.exists(pid):
                self._walsenders[pid] = process.cpu_seconds(pid)

    def _usage(self):
        self._sample()
        broker = process.cpu_seconds(self._rig.kafka.process.pid) if self._rig.kafka else 0.0
        return Usage(time.monotonic(), self._program_cpu, sum(self._walsenders.values()), broker, process.machine_busy_seconds(),
                     process.tcp_segments_sent())

    def _figures(self, begun, end, said):
        start = self._streaming or end
        cpu = {name: round(getattr(end, name) - getattr(start, name), 3) for name in ("program", "walsender", "broker", "machine")}
        receive_s = end.at - start.at
        figures = {
            "client": self._client.name,
            "rows": self._backlog.workload.rows,
            "total_s": round(end.at - begun, 3),
            "receive_s": round(receive_s, 3),
            "rate": round(self._backlog.workload.rows / receive_s) if receive_s else None,
            "cpu_s": cpu,
            "cpu_from_exec_s": end.program,
            "peak_rss_bytes": self._peak_rss,
            "segments": end.segments - start.segments,
        }
        if self._first_row is not None:
            figures["first_row_s"] = round(self._first_row - begun, 3)
        return figures | said
