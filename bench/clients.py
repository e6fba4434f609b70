"""What is measured: Outboxx, and the programs beside it. A client starts a process on a slot, and its run knows when it has all."""

import json
import os
import subprocess

from support import Outboxx, stream
from support import wait
from support.wait import REPOSITORY, Ended

BENCH_CLIENT = os.path.join(REPOSITORY, "build", "release", "bench_client")


class EndsByItself:
    """A started client that ends when the server says that it has sent everything."""

    def __init__(self, process, output=None):
        self.process = process
        self._output = output

    def done(self, delivered, sent):
        """delivered: whether every row is in the topic, None if there is none. sent: whether the server has sent everything."""
        code = exit_code(self.process)
        if code:
            raise Ended(f"process {self.process.args} has ended with {code}")
        return code == 0

    def finish(self):
        """Stops it; what it says about itself: wake_ups and messages, if it counts them."""
        wait.reap(self.process)
        if self._output is None:
            return {}
        with open(self._output, encoding="ascii") as file:
            return json.load(file)


class RecvlogicalClient:
    """pg_recvlogical -f /dev/null: what PostgreSQL's own program needs to throw the data away."""

    name = "pg_recvlogical"
    delivers = False

    def __init__(self, rig, host):
        self._rig = rig
        self._host = host

    def start(self, backlog, slot, topic):
        command = [self._rig.program("pg_recvlogical"), "--dbname", self._rig.postgres.conninfo(host=self._host), "--slot", slot, "--start",
                   "--no-loop", "-f", "/dev/null", "-o", "proto_version=1", "-o", f"publication_names={backlog.publication}"]
        if backlog.end:
            command += ["--endpos", backlog.end]
        return EndsByItself(wait.spawn(command, stdout=subprocess.DEVNULL))


class NaiveClient:
    """bench_client naive: a receive loop without thought."""

    name = "naive"
    delivers = False

    def __init__(self, rig, host):
        self._rig = rig
        self._host = host

    def start(self, backlog, slot, topic):
        output = os.path.join(self._rig.new_directory(), "counts.json")
        command = [BENCH_CLIENT, "naive", self._rig.postgres.conninfo(host=self._host), slot, backlog.publication,
                   backlog.end or "FFFFFFFF/FFFFFFFF"]
        with open(output, "wb") as file:
            return EndsByItself(wait.spawn(command, stdout=file), output)


class OutboxxClient:
    """The release build with the defaults of a version's configuration. reads: the slot is to be made, and its snapshot read."""

    def __init__(self, rig, host, sink, version, name="outboxx", reads=False, mode=None):
        self.name = name
        self.delivers = sink == "kafka"
        self._rig = rig
        self._host = host
        self._sink = sink
        self._version = version
        self._reads = reads
        self._mode = mode

    def start(self, backlog, slot, topic):
        workload = backlog.workload
        operations = ("read", *workload.operations) if self._reads else workload.operations
        config = {"metadata.version": self._version, "source.postgres.slot_name": slot,
                  "source.postgres.publication_name": backlog.publication, "source.postgres.publication": "existing",
                  **({"source.postgres.snapshot.mode": self._mode} if self._mode else {})}
        streams = [stream(f"{backlog.schema}.{table}", topic, name=table, operations=operations) for table in workload.streamed]
        outboxx = Outboxx(self._rig.new_directory(), self._rig.postgres.conninfo(host=self._host),
                          self._rig.kafka if self.delivers else None, streams, config=config,
                          args=[] if self._reads else ["--adopt-slot"])  # made before the load: no state record knows it
        if self._sink != "stdout":
            outboxx.start(ready=False, stdout=subprocess.DEVNULL)
            return OutboxxRun(outboxx)
        counter = wait.spawn([BENCH_CLIENT, "lines", str(workload.rows)], stdin=subprocess.PIPE)
        outboxx.start(ready=False, stdout=counter.stdin)
        counter.stdin.close()
        return OutboxxRun(outboxx, counter)


class OutboxxRun:
    """Done when Kafka or the counter has every row; with /dev/null when the server has sent everything."""

    def __init__(self, outboxx, counter=None):
        self.process = outboxx.process
        self._outboxx = outboxx
        self._counter = counter

    @property
    def outboxx(self):
        return self._outboxx

    def done(self, delivered, sent):
        if self._counter is not None and exit_code(self._counter) == 0:
            return True
        if exit_code(self.process) is not None:
            raise Ended(f"outboxx has ended with {exit_code(self.process)}\n{self._outboxx.log}")
        if self._counter is not None:
            return False
        return sent if delivered is None else delivered

    def finish(self):
        metrics = self._outboxx.metrics()
        code = self._outboxx.stop()
        if self._counter is not None:
            wait.reap(self._counter)
        elif code != 0:
            raise AssertionError(f"outboxx ended with {code}\n{self._outboxx.log}")
        return {"wake_ups": metrics["outboxx_wake_ups_total"], "messages": metrics["outboxx_received_messages_total"]}


def exit_code(process):
    """None while it runs. The process is not collected: /proc still tells what it used."""
    if process.returncode is not None:
        return process.returncode
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return ended and (ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
