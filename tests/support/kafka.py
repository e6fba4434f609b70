"""A private single-node Kafka broker (KRaft) on loopback."""

import base64
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import struct
import subprocess

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

from . import wait
from .certificates import Certificates
from .wait import REPOSITORY, Ended, Unavailable, wait_until

JVM = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
LOGGING = [
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
]
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
KAFKA_4 = "4.3.1"
KAFKA_3 = "3.9.1"
# Whoever has no rule against him may do everything, so that a test writes only what it is about.
AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "allow.everyone.if.no.acl.found": "true",
}


class Kafka:
    """Starts in about a second.

    listeners: any of "plaintext" (always there), "ssl", "sasl_plaintext", "sasl_ssl"; bootstrap(listener) is the address.
    users: SASL users with their passwords, known to PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
    properties: more of server.properties, e.g. {"auto.create.topics.enable": "false"}.
    jvm: options of java; the default starts fast and stays small, which is not what a benchmark wants.
    proxied: the port of a proxy in front of the broker. It goes to bootstrap("proxied"), and clients that come in through it are
    told to stay on it; other listeners do not know of it.
    version: Kafka 4 by default; KAFKA_3 for SCRAM, with which librdkafka before 2.6.1 cannot log in to Kafka 4 (it sends the
    nonce twice in its last message, and Kafka 4 compares it strictly).
    node, controllers, cluster: for one of several brokers, see KafkaCluster.
    """

    def __init__(self, directory, *, version=KAFKA_4, listeners=(), users=None, properties=None, certificate_root=None,
                 jvm=JVM, proxied=None, node=1, controllers=(), cluster=None):
        self.directory = directory
        self.version = version
        self._home = _home(version)
        self.log_path = os.path.join(directory, "kafka.log")
        self.process = None
        self.users = dict(users or {})
        self._jvm = list(jvm)
        self._properties = dict(properties or {})
        self._proxied = proxied
        self.node = node
        self._controllers = list(controllers) or [wait.free_port()]
        self._cluster = cluster or new_uuid()
        self._ports = {name: wait.free_port() for name in ("plaintext", *listeners, *(["proxied"] if proxied else []))}
        self._ports["controller"] = self._controllers[node - 1]
        self.certificates = None
        if any("ssl" in name for name in listeners):
            self.certificates = Certificates(os.path.join(certificate_root or directory, "certificates"))
        os.makedirs(directory, exist_ok=True)
        self._format()

    # Life of the broker.

    def start(self, deadline=60.0):
        """Returns when the broker serves requests. After kill() that takes some 4 s: its old registration must time out."""
        self.begin_start()
        return self.wait_started(deadline)

    def begin_start(self):
        """Several brokers become ready only together: begin_start() them all, then wait_started()."""
        assert not self.running, "a second one would take the first's place here, and not its ports"
        self._spawn(["-Xshare:auto", f"-XX:SharedArchiveFile={_class_archive(self._home, self.version)}"])

    def wait_started(self, deadline=60.0):
        wait_until(self._serves, deadline, f"the broker is up, log {self.log_path}")
        return self

    def warm_up(self):
        """The first idempotent producer of a new broker waits half a second for its coordinator; ours waits instead."""
        self.create_topic("warm-up")
        producer = Producer({"bootstrap.servers": self.bootstrap(), "enable.idempotence": True, "log_level": 0})
        producer.produce("warm-up", b"")
        assert producer.flush(20) == 0
        self.delete_topic("warm-up")

    def stop(self, deadline=60.0):
        """An orderly stop."""
        if self.process is not None:
            wait.reap(self.process, signal.SIGTERM, deadline)
            self.process = None

    def kill(self):
        if self.process is not None:
            wait.reap(self.process, signal.SIGKILL)
            self.process = None

    def pause(self):
        """SIGSTOP: connections stay, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.kill()

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    # Use.

    def bootstrap(self, listener="plaintext"):
        return f"127.0.0.1:{self._ports[listener]}"

    def admin(self):
        return AdminClient({"bootstrap.servers": self.bootstrap()})

    def create_topic(self, topic, partitions=1, *, replicas=1, **config):
        """config: topic settings with underscores for dots, e.g. max_message_bytes=1000."""
        config = {name.replace("_", "."): str(setting) for name, setting in config.items()}
        admin = self.admin()
        _done(admin.create_topics([NewTopic(topic, partitions, replication_factor=replicas, config=config)]))
        wait_until(lambda: self._partitions(admin, topic) == partitions, 10, f"topic {topic} is there")
        return topic

    def delete_topic(self, topic):
        admin = self.admin()
        _done(admin.delete_topics([topic]))
        wait_until(lambda: topic not in admin.list_topics(timeout=5).topics, 10, f"topic {topic} is gone")

    def add_partitions(self, topic, total):
        admin = self.admin()
        _done(admin.create_partitions([NewPartitions(topic, total)]))
        wait_until(lambda: self._partitions(admin, topic) == total, 10, f"topic {topic} has {total} partitions")

    def alter_topic(self, topic, **config):
        """Sets these settings of a topic and returns its others to the broker's defaults."""
        config = {name.replace("_", "."): str(setting) for name, setting in config.items()}
        admin = self.admin()  # the futures end with an error when it goes out of scope
        _done(admin.alter_configs([ConfigResource("topic", topic, set_config=config)]))

    def limit_producers(self, bytes_per_second):
        """A quota for every client. The client library cannot ask for it: AlterClientQuotas, version 0, by hand."""
        entity = struct.pack(">i", 1) + _text("client-id") + struct.pack(">h", -1)  # null: the default of all
        operation = struct.pack(">i", 1) + _text("producer_byte_rate") + struct.pack(">d?", bytes_per_second, False)
        self._alter(49, 0, struct.pack(">i", 1) + entity + operation + struct.pack(">?", False))

    def deny(self, user, topic, operation):
        """Takes a right on a topic from a user: "all", "read", "write" or "describe". Needs properties=AUTHORIZER."""
        code = {"all": 2, "read": 3, "write": 4, "describe": 8}
        self._add_rule("*", topic, code["all"], 3)  # a topic with a rule is closed for what no rule allows
        self._add_rule(user, topic, code[operation], 2)

    def _add_rule(self, user, topic, operation, permission):
        """CreateAcls, version 1, by hand."""
        resource = struct.pack(">b", 2) + _text(topic) + struct.pack(">b", 3)  # a topic, by its literal name
        rule = _text(f"User:{user}") + _text("*") + struct.pack(">bb", operation, permission)
        self._alter(30, 1, struct.pack(">i", 1) + resource + rule)

    def _alter(self, api, version, request):
        """One request for one thing. Behind size, correlation id, throttle time and number of things the reply has the error."""
        request = struct.pack(">hhi", api, version, 1) + _text("test") + request
        host, port = self.bootstrap().split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            reply = connection.recv(4096)
        error, = struct.unpack(">h", reply[16:18])
        assert error == 0, reply

    def topics(self):
        return {name for name in self.admin().list_topics(timeout=10).topics if not name.startswith("__")}

    @property
    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    @staticmethod
    def _partitions(admin, topic):
        described = admin.list_topics(timeout=5).topics.get(topic)
        return len(described.partitions) if described and not described.error else 0

    def _spawn(self, options):
        command = ["java", *self._jvm, *options, *LOGGING, f"-Djava.io.tmpdir={self.directory}",
                   "-cp", _class_path(self._home), "kafka.Kafka", self._file()]
        log = open(self.log_path, "wb")
        self.process = wait.spawn(command, stdout=log, stderr=subprocess.STDOUT)
        log.close()

    def _serves(self):
        if "Kafka Server started" in self.log:
            return True
        if self.process.poll() is not None:
            raise Ended(f"the broker has ended:\n{wait.tail(self.log_path)}")
        return False

    def _file(self):
        return os.path.join(self.directory, "server.properties")

    def _format(self):
        self._write_properties()
        data = os.path.join(self.directory, "data")
        shutil.copytree(_formatted(self._home, self.users), data)
        with open(os.path.join(data, "meta.properties"), "w", encoding="ascii") as file:
            file.write(f"version=1\ncluster.id={self._cluster}\nnode.id={self.node}\ndirectory.id={new_uuid()}\n")

    def _write_properties(self):
        names = [name for name in self._ports if name != "controller"]
        listeners = ",".join(f"{name.upper()}://{self.bootstrap(name)}" for name in names)
        advertised = listeners.replace(f"PROXIED://{self.bootstrap('proxied')}", f"PROXIED://127.0.0.1:{self._proxied}") if self._proxied \
            else listeners
        protocols = {name: "PLAINTEXT" if name == "proxied" else name.upper() for name in names}
        properties = {
            "process.roles": "broker,controller",
            "node.id": self.node,
            "controller.quorum.voters": ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(self._controllers, 1)),
            "listeners": f"{listeners},CONTROLLER://{self.bootstrap('controller')}",
            "advertised.listeners": advertised,
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": ",".join(["CONTROLLER:PLAINTEXT", *(f"{name.upper()}:{protocol}" for name, protocol in protocols.items())]),
            "log.dirs": os.path.join(self.directory, "data"),
            "num.partitions": 1,
            "auto.create.topics.enable": "true",
            "group.initial.rebalance.delay.ms": 0,
            "broker.heartbeat.interval.ms": 500,
            "broker.session.timeout.ms": 3000,
            **{name: 1 for name in ("offsets.topic.num.partitions", "offsets.topic.replication.factor",
                                    "transaction.state.log.num.partitions", "transaction.state.log.replication.factor",
                                    "transaction.state.log.min.isr", "share.coordinator.state.topic.num.partitions",
                                    "share.coordinator.state.topic.replication.factor", "share.coordinator.state.topic.min.isr")},
            **(self._tls() if self.certificates else {}),
            **self._sasl([name for name in names if name.startswith("sasl")]),
            **self._properties,
        }
        with open(self._file(), "w", encoding="utf-8") as file:
            file.writelines(f"{name}={setting}\n" for name, setting in properties.items())

    def _tls(self):
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.certificates.pem_store(),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.certificates.ca,
        }

    def _sasl(self, names):
        properties = {"sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"} if names else {}
        module = "org.apache.kafka.common.security"
        known = " ".join(f'user_{user}="{password}"' for user, password in self.users.items())
        for name in names:
            prefix = f"listener.name.{name}"
            properties[f"{prefix}.plain.sasl.jaas.config"] = f"{module}.plain.PlainLoginModule required {known};"
            for mechanism in ("scram-sha-256", "scram-sha-512"):
                properties[f"{prefix}.{mechanism}.sasl.jaas.config"] = f"{module}.scram.ScramLoginModule required;"
        return properties


def _text(value):
    return struct.pack(">h", len(value)) + value.encode()


def _done(futures):
    for future in futures.values():
        future.result(timeout=30)


def new_uuid():
    """Kafka's id: 16 bytes in url-safe base64, not starting with a dash."""
    return "A" + base64.urlsafe_b64encode(os.urandom(15)).decode()[:20] + "A"


def _home(version):
    directory = subprocess.run([os.path.join(REPOSITORY, "scripts", "kafka"), "directory", version], check=True, capture_output=True,
                               text=True).stdout.strip()
    if not os.path.exists(os.path.join(directory, "complete")):
        raise Unavailable(f"Kafka {version} is not in the cache: run scripts/kafka fetch {version}")
    return directory


def _class_path(home):
    return os.path.join(home, "jars", "*")


class _CacheLock:
    """Two sessions may fill an empty cache at the same time."""

    def __init__(self, home):
        self._path = os.path.join(home, "lock")

    def __enter__(self):
        self._file = open(self._path, "w", encoding="ascii")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self._file.close()


def _formatted(home, users):
    """What StorageTool writes is the same for each new node but for meta.properties, so it is made once and copied."""
    scram = [f"{mechanism}=[name={user},password={password}]" for user, password in sorted(users.items()) for mechanism in SCRAM]
    digest = hashlib.sha256("\n".join(scram).encode()).hexdigest()[:12]
    directory = os.path.join(home, f"formatted-{digest}")
    with _CacheLock(home):
        if os.path.exists(directory):
            return directory
        part = f"{directory}.part"
        shutil.rmtree(part, ignore_errors=True)
        os.makedirs(part)
        properties = os.path.join(part, "server.properties")
        with open(properties, "w", encoding="ascii") as file:
            file.write("process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:1\n"
                       "listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n"
                       f"log.dirs={part}/data\n")
        arguments = [argument for credential in scram for argument in ("--add-scram", credential)]
        command = ["java", *JVM, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", _class_path(home), "kafka.tools.StorageTool",
                   "format", "-t", new_uuid(), "-c", properties, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise RuntimeError(f"could not format Kafka's data directory:\n{result.stdout}{result.stderr}")
        os.rename(os.path.join(part, "data"), directory)
        shutil.rmtree(part)
    return directory


def _class_archive(home, version):
    """A class data archive for this JVM halves the start time. A throw-away broker writes it, once, when it stops."""
    java = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(shutil.which("java") or "java")), ".."))
    modules = os.path.join(java, "lib", "modules")
    if not os.path.exists(modules):
        raise Unavailable("no Java runtime: run scripts/setup demo")
    archive = os.path.join(home, f"classes-{os.path.basename(java)}-{int(os.stat(modules).st_mtime)}.jsa")
    if os.path.exists(archive):
        return archive
    with _CacheLock(home):
        if os.path.exists(archive):
            return archive
    directory = os.path.join(home, f"once-{os.getpid()}")
    try:
        broker = Kafka(directory, version=version)
        broker._spawn(["-Xlog:disable", f"-XX:ArchiveClassesAtExit={archive}.{os.getpid()}"])
        broker.wait_started()
        broker.stop()
        os.rename(f"{archive}.{os.getpid()}", archive)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return archive

