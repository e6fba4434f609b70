"""The peer: Debezium on Kafka Connect standalone, from Maven Central's jars."""

import os
import shutil
import subprocess

from support import wait
from support.wait import CACHE, Ended, Unavailable, free_port

from clients import exit_code

CONNECT = "4.3.1"
DEBEZIUM = "3.6.3.Final"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
CONNECT_JARS = [f"org.apache.kafka:{name}:{CONNECT}" for name in ("connect-runtime", "connect-json", "connect-transforms")]
JVM = ["-Xms256M", "-Xmx2G", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35"]  # Kafka's own for Connect
TUNED = {
    "max.batch.size": 20000,
    "max.queue.size": 100000,
    "poll.interval.ms": 50,
    "producer.override.linger.ms": 50,
    "producer.override.batch.size": 1000000,
    "producer.override.buffer.memory": 134217728,
    "producer.override.compression.type": "lz4",
}


class DebeziumClient:
    """profile: "default" sets nothing beyond what the connector needs to run; "tuned" is TUNED. Its topic has its own name. reads:
    it creates its slot, and reads the snapshot.
    """

    delivers = True
    starts_a_jvm = True

    def __init__(self, rig, profile, reads=False):
        self.name = "debezium" if profile == "default" else "debezium tuned"
        self._rig = rig
        self._more = (TUNED if profile == "tuned" else {}) | {"snapshot.mode": "initial" if reads else "no_data"}
        self._home = fetch()

    def topic_name(self, slot, backlog):
        return f"{slot}.{backlog.schema}.{backlog.workload.streamed[0]}"

    def start(self, backlog, slot, topic):
        directory = self._rig.new_directory()
        worker = _write(os.path.join(directory, "worker.properties"), self._worker(directory))
        connector = _write(os.path.join(directory, "connector.properties"), self._connector(backlog, slot))
        log = os.path.join(directory, "connect.log")
        logging = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.log.io.debezium=info"]
        with open(log, "wb") as file:
            return DebeziumRun(wait.spawn(["java", *JVM, "-cp", os.path.join(self._home, "jars", "*"), *logging,
                                           "org.apache.kafka.connect.cli.ConnectStandalone", worker, connector],
                                          stdout=file, stderr=subprocess.STDOUT), log)

    def _worker(self, directory):
        converter = "org.apache.kafka.connect.json.JsonConverter"
        return {
            "bootstrap.servers": self._rig.kafka.bootstrap(),
            "key.converter": converter,
            "value.converter": converter,
            "key.converter.schemas.enable": "false",
            "value.converter.schemas.enable": "false",
            "offset.storage.file.filename": os.path.join(directory, "offsets"),
            "offset.flush.interval.ms": 1000,
            "plugin.path": os.path.join(self._home, "plugins"),
            "listeners": f"http://127.0.0.1:{free_port()}",
        }

    def _connector(self, backlog, slot):
        return {
            "name": "pg",
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": 1,
            "plugin.name": "pgoutput",
            "database.hostname": "127.0.0.1",
            "database.port": self._rig.postgres.port,
            "database.user": "postgres",
            "database.password": "postgres",
            "database.dbname": "postgres",
            "topic.prefix": slot,
            "slot.name": slot,
            "publication.name": backlog.publication,
            "publication.autocreate.mode": "disabled",
            **self._more,
        }


class DebeziumRun:
    """Done when every row is in the topic."""

    def __init__(self, process, log):
        self.process = process
        self._log = log

    def done(self, delivered, sent):
        if exit_code(self.process) is not None:
            raise Ended(f"Debezium has ended\n{wait.tail(self._log)}")
        return delivered

    def finish(self):
        wait.reap(self.process)
        return {}


def fetch():
    """The jars of Connect and Debezium, in the cache, once."""
    home = os.path.join(CACHE, f"debezium-{DEBEZIUM}")
    if os.path.exists(os.path.join(home, "complete")):
        return home
    if not shutil.which("mvn"):
        raise Unavailable("no Maven: run scripts/setup demo")
    print(f"fetching Debezium {DEBEZIUM} and Kafka Connect {CONNECT} from Maven Central into {home}", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    os.makedirs(os.path.join(home, "plugins"))
    pom = os.path.join(home, "pom.xml")
    with open(pom, "w", encoding="ascii") as file:
        file.write(_pom([*CONNECT_JARS, "org.slf4j:slf4j-simple:1.7.36"]))
    _maven("-f", pom, f"{PLUGIN}:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={home}/jars")
    plugin = f"io.debezium:debezium-connector-postgres:{DEBEZIUM}:tar.gz:plugin"
    _maven(f"{PLUGIN}:copy", f"-Dartifact={plugin}", f"-DoutputDirectory={home}")
    shutil.unpack_archive(os.path.join(home, f"debezium-connector-postgres-{DEBEZIUM}-plugin.tar.gz"), os.path.join(home, "plugins"))
    open(os.path.join(home, "complete"), "w", encoding="ascii").close()
    return home


def _maven(*arguments):
    subprocess.run(["mvn", "-q", "-B", *arguments], check=True, stdin=subprocess.DEVNULL)


def _pom(artifacts):
    dependencies = "".join("<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>".format(
        *artifact.split(":")) for artifact in artifacts)
    return ("<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion><groupId>outboxx</groupId>"
            "<artifactId>connect</artifactId><version>1</version><packaging>pom</packaging>"
            f"<dependencies>{dependencies}</dependencies></project>\n")


def _write(path, properties):
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{name}={text}\n" for name, text in properties.items())
    return path
