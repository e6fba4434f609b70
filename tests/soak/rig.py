"""Everything that a run consists of: both servers behind proxies, the program, the load and the witnesses."""

import concurrent.futures
import json
import os
import re
import shutil
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource

from support import Kafka, KafkaCluster, Outboxx, Postgres, WallClock, free_port, stream, wait_until

from .fault_proxy import FaultProxy, Together
from .history import Journal
from .replication_tap import ReplicationTap
from .service import Operator, Service
from .takeover import Takeover
from .witnesses import Oracle, Reading, TopicReader
from .workload import SCHEMA, TABLES, Workload, tables

PARTITIONS = 3
SECRET = "canary-5f3a9c71e0"
TOPICS = {f"soak.{table.split('.')[1]}": table for table in TABLES}
TOPIC_SETTINGS = {"message_timestamp_type": "LogAppendTime", "max_message_bytes": 10_000_000}
BUDGET = {"rss": 64 << 20, "fds": 64, "threads": 32}
DRAIN_BOUND_S = 90
LATENCY_S = 0.015  # to the broker and back: without it records are hardly ever in flight, and an early confirmation hides


class Rig:
    """Use start(), then the parts, then finish(), which leaves the whole history in directory; and always close()."""

    def __init__(self, directory, options):
        self.directory = directory
        self.options = options
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o755)
        names = ("oracle", "topic", "status", "journal", "faults", "samples", "starts")
        self.record = {name: Journal(directory, name) for name in names}
        self.server_restarts = []
        self.began = time.time()
        self._open = []

    def start(self):
        """Makes everything, the program last, and waits until it is ready."""
        self.operators = {name: Operator(name) for name in ("server", "broker", "second")}
        self.postgres = self._keep(self.operators["server"].call(self._postgres))
        self.postgres.execute(SCHEMA)
        self.kafka = self._keep(self.operators["broker"].call(self._kafka))
        self.tap = ReplicationTap(self.record["status"])
        self.postgres_proxy = self._keep(FaultProxy(self.postgres.port, self.tap))
        self.kafka_proxy = Together([self._keep(FaultProxy(_port(broker.bootstrap("proxied")), port=port, latency=LATENCY_S))
                                     for broker, port in zip(self.brokers, self._proxied)])
        for topic in TOPICS:
            self.kafka.create_topic(topic, PARTITIONS, **TOPIC_SETTINGS)
        self.reader = TopicReader(self.kafka.bootstrap(), TOPICS, PARTITIONS, self.record["topic"])
        self.oracle = Oracle(self.postgres, self.record["oracle"])
        self.clock = WallClock(self.directory)
        self.outboxx = self._outboxx("outboxx")
        self.service = Service(self.outboxx, self.directory, self.record["starts"], self.record["samples"])
        self.takeover = self._keep(Takeover(self._outboxx("outboxx-2"), self.service, self.postgres, self.record["starts"]))
        self.service.start()
        wait_until(lambda: self.outboxx.running and self.outboxx.get("/readyz")[0] == 200, 30, "the program is ready")
        self.reading = Reading(self.oracle)
        self.workload = Workload(self.postgres, self.record["journal"], self.options.seed, self.options.rate)
        self.workload.start()

    def note_server_restart(self):
        self.server_restarts.append(time.time())

    @property
    def brokers(self):
        return self.kafka.nodes if self.options.brokers > 1 else [self.kafka]

    def leader(self):
        """The broker that leads a partition of ours."""
        return self.kafka.leader(next(iter(TOPICS))) if self.options.brokers > 1 else self.kafka

    def wait_in_sync(self):
        self.kafka.wait_in_sync(TOPICS)

    def set_topics(self, **changed):
        """The settings of all topics: those that they were made with, but for these. The broker that is asked may go away."""
        settings = {name.replace("_", "."): str(setting) for name, setting in {**TOPIC_SETTINGS, **changed}.items()}
        resources = [ConfigResource("topic", topic, set_config=settings) for topic in TOPICS]

        def is_set():
            admin = self.kafka.admin()  # must live as long as its futures
            try:
                for future in admin.alter_configs(resources).values():
                    future.result(timeout=20)
            except (KafkaException, concurrent.futures.TimeoutError):
                return False
            return True
        wait_until(is_set, 120, "the settings of the topics")

    def finish(self):
        """Ends the load, waits until all of it has arrived and is confirmed, ends the program, and writes down the rest."""
        begin = time.monotonic()
        self.workload.stop()
        self.reading.close()
        self.record["oracle"].flush()
        drained = None
        try:
            wait_until(self._drained, DRAIN_BOUND_S, "everything arrived and was confirmed", interval=0.1)
            drained = round(time.monotonic() - begin, 2)
        except AssertionError as error:
            print(f"     {error}", flush=True)
        self._note_metrics()
        code = self.service.stop()
        wait_until(self.reader.caught_up, 30, "the reader has read everything")
        self.reader.close()
        facts = {"topics": TOPICS, "tables": tables(self.postgres), "drained_s": drained, "drain_bound_s": DRAIN_BOUND_S, "budget": BUDGET,
                 "secrets": [SECRET], "outputs": [*self.service.outputs, *self.takeover.outputs, self._metrics_path], "server_restarts": self.server_restarts,
                 "exactly_once": self.options.delivery == "exactly_once", "last_exit": code, "began": self.began,
                 "starts": self.service.starts, "sessions": self.tap.sessions}
        for journal in self.record.values():
            journal.close()
        with open(os.path.join(self.directory, "facts.json"), "w", encoding="utf-8") as file:
            json.dump(facts, file)

    def close(self):
        if hasattr(self, "service"):
            self.service.stop(1)
        for thing in reversed(self._open):
            thing.close()

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def _drained(self):
        slot = self.postgres.slot("outboxx_slot")
        return slot["confirmed_flush_lsn"] >= self.oracle.end and self.reader.caught_up()

    def _postgres(self):
        settings = {"wal_sender_timeout": "5s", "checkpoint_timeout": "30s", "wal_compression": "on"}
        return Postgres(os.path.join(self.directory, "pg"), self.options.pg, fsync=True, settings=settings).start()

    def _kafka(self):
        self._proxied = [free_port() for _ in range(self.options.brokers)]
        directory = os.path.join(self.directory, "kafka")
        if self.options.brokers > 1:
            return KafkaCluster(directory, proxied=self._proxied).start()
        return Kafka(directory, proxied=self._proxied[0]).start()

    def _outboxx(self, name):
        conninfo = re.sub(r"port=\d+", f"port={self.postgres_proxy.port}", self.postgres.conninfo(sslmode="disable", password=SECRET))
        config = {"pipeline.drain_timeout_ms": 10000}
        if self.options.delivery:
            config["sink.kafka.delivery"] = self.options.delivery
        streams = [stream(table, topic) for topic, table in TOPICS.items()]
        return Outboxx(os.path.join(self.directory, name), conninfo, self.kafka_proxy.address, streams, config=config,
                       env=self.clock.environment)

    def _note_metrics(self):
        self._metrics_path = os.path.join(self.directory, "metrics.txt")
        with open(self._metrics_path, "w", encoding="utf-8") as file:
            try:
                file.write(self.outboxx.get("/metrics")[1])
            except OSError as error:
                file.write(f"{error}\n")

    def _keep(self, thing):
        self._open.append(thing)
        return thing


def _port(address):
    return int(address.rpartition(":")[2])
