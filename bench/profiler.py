"""Where Outboxx spends its time in a burst: perf's samples, sorted by what the program was doing."""

import collections
import re
import subprocess

from drain import Drain
from process import thread_names
from support import wait
from support.wait import Unavailable

SAMPLES_PER_SECOND = 997
# The first stage that matches a frame, from the innermost to the outermost one; threads of librdkafka are told by their name.
STAGES = (
    ("receive", re.compile(r"PQconsumeInput|PQgetCopyData|pqReadData|pqGetCopyData3|LibpqStream::")),
    ("produce", re.compile(r"^rd_kafka_|KafkaSink::")),
    ("serialise", re.compile(r"[Ff]ormat|[Jj]son|serialize")),
    ("decode", re.compile(r"Decoder::|pgoutput|RelationCache::|ByteReader")),
    ("wait", re.compile(r"^(__)?(ppoll|poll)$|prepare_wait")),
)
ALLOCATION = re.compile(r"^(operator new|operator delete|malloc|_?int_malloc|cfree|free|_int_free|realloc|calloc|malloc_consolidate|unlink_chunk)")
KERNEL = "[kernel"
BROKER_THREAD = "rdk:broker1"  # librdkafka's connection to the node with the id 1, which the private broker has


class Profile:
    """A drain of its own: the sampling would disturb the ones that are timed."""

    def __init__(self, rig, client, backlog, path):
        self._rig = rig
        self._client = client
        self._backlog = backlog
        self._path = path

    def measure(self):
        """{"all": {stage: percent}, "user": {stage: percent}, "samples": n}"""
        figures = Drain(self._rig, Recorded(self._client, self._path), self._backlog).measure()
        script = subprocess.run(["perf", "script", "-i", self._path, "--no-inline", "-F", "comm,ip,sym,dso"], check=False,
                                capture_output=True, text=True, errors="replace")
        if script.returncode != 0:
            print(f"perf has no samples, the run of {figures['total_s']} s was too short: {script.stderr.strip()}", flush=True)
        return {**summary(list(samples(script.stdout))), "rate": figures["rate"]}


class Recorded:
    """A client under perf record. perf attaches to the threads that are there: it waits for the one that sends to Kafka."""

    def __init__(self, client, path):
        self._client = client
        self._path = path
        self._recorder = None
        self.name = client.name
        self.delivers = client.delivers

    def start(self, backlog, slot, topic):
        self._run = self._client.start(backlog, slot, topic)
        self.process = self._run.process
        return self

    def done(self, delivered, sent):
        if self._recorder is None and (not self.delivers or BROKER_THREAD in thread_names(self.process.pid)):
            self._record()
        return self._run.done(delivered, sent)

    def finish(self):
        said = self._run.finish()
        if self._recorder is not None:
            self._recorder.wait(30)  # it ends with the process
        return said

    def _record(self):
        try:
            self._recorder = wait.spawn(["perf", "record", "-q", "-F", str(SAMPLES_PER_SECOND), "--call-graph", "dwarf,4096", "-o",
                                         self._path, "-p", str(self.process.pid)], stderr=subprocess.DEVNULL)
        except FileNotFoundError as error:
            raise Unavailable("no perf: run scripts/setup bench") from error


def samples(text):
    """(thread's name, [(symbol, library), ...] from the innermost frame on) of each sample in perf script's output."""
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.strip()]
        if lines:
            yield lines[0].strip(), [_frame(line) for line in lines[1:]]


def _frame(line):
    symbol, _, library = line.strip().partition(" ")[2].rpartition(" (")
    return symbol.split("+0x")[0], library.rstrip(")")


def summary(taken):
    stages = {"all": collections.Counter(), "user": collections.Counter()}
    for thread, frames in taken:
        found = _stages(thread, frames)
        in_kernel = bool(frames) and frames[0][1].startswith(KERNEL)
        for name in found:
            stages["all"][name] += 1
            stages["user"][name] += not in_kernel
    totals = {"all": len(taken), "user": sum(1 for _, frames in taken if not (frames and frames[0][1].startswith(KERNEL)))}
    return {"samples": len(taken), **{kind: {name: round(100 * count / max(1, totals[kind]), 1) for name, count in counter.most_common()}
                                      for kind, counter in stages.items()}}


def _stages(thread, frames):
    """One stage, and "allocation in STAGE" as well if our thread is in the allocator: libpq and librdkafka allocate too."""
    if thread.startswith("rdk:"):
        return ["librdkafka's threads"]
    stage = next((name for symbol, _ in frames for name, pattern in STAGES if pattern.search(symbol)), "other")
    user = [symbol for symbol, library in frames if not library.startswith(KERNEL)]
    return [stage, f"allocation in {stage}"] if user and ALLOCATION.match(user[0]) else [stage]
