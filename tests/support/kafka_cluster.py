"""Three Kafka brokers that are one cluster (KRaft), on loopback."""

import os

from confluent_kafka.admin import AdminClient

from . import wait
from .kafka import Kafka, new_uuid
from .wait import wait_until

NODES = 3
REPLICATED = {"offsets.topic.replication.factor": 3, "transaction.state.log.replication.factor": 3, "transaction.state.log.min.isr": 2,
              "default.replication.factor": 3, "min.insync.replicas": 2, "unclean.leader.election.enable": "false"}


class KafkaCluster:
    """Each node is broker and controller: one of them may be away. proxied: a port for each node, as for Kafka."""

    def __init__(self, directory, *, proxied=(None,) * NODES, properties=None):
        controllers = [wait.free_port() for _ in range(NODES)]
        cluster = new_uuid()
        self.nodes = [Kafka(os.path.join(directory, f"node-{node}"), proxied=proxied[node - 1], node=node, controllers=controllers,
                            cluster=cluster, properties={**REPLICATED, **(properties or {})}) for node in range(1, NODES + 1)]

    def start(self, deadline=90.0):
        for node in self.nodes:
            node.begin_start()
        for node in self.nodes:
            node.wait_started(deadline)
        return self

    def close(self):
        for node in self.nodes:
            node.close()

    def bootstrap(self, listener="plaintext"):
        return ",".join(node.bootstrap(listener) for node in self.nodes)

    def admin(self):
        return AdminClient({"bootstrap.servers": self.bootstrap(), "log_level": 0})

    def create_topic(self, topic, partitions=1, **config):
        self.nodes[0].create_topic(topic, partitions, replicas=NODES, **config)

    def leader(self, topic, partition=0):
        """The broker that leads the partition now, by what the others say."""
        number = self.admin().list_topics(topic, timeout=10).topics[topic].partitions[partition].leader
        return self.nodes[number - 1]

    def wait_in_sync(self, topics, deadline=60.0):
        """Until every replica of these topics is in sync again."""
        def in_sync():
            described = self.admin().list_topics(timeout=5).topics
            return all(len(partition.isrs) == NODES for topic in topics for partition in described[topic].partitions.values())
        wait_until(in_sync, deadline, "all replicas are in sync", interval=0.1)
