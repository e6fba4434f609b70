"""Readers of what the program wrote: an independent consumer for Kafka, and the lines of the stdout sink."""

import dataclasses
import json
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition


@dataclasses.dataclass
class Message:
    """A record as the consumer got it. arrived is the wall clock, in seconds, when it was handed to us."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: dict
    arrived: float

    @property
    def json(self):
        return json.loads(self.value)


class Reader:
    """Reads a topic from its beginning, all partitions. Use with `with`."""

    def __init__(self, bootstrap, topic, *, deadline=60.0, config=None):
        """Waits up to deadline for the topic to appear. config: more librdkafka options, e.g. for TLS and SASL."""
        self._consumer = _consumer(bootstrap, {"enable.partition.eof": True, **(config or {})})
        self._topic = topic
        self._partitions = _partitions(self._consumer, topic, deadline)
        self._ended = set()
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in self._partitions])

    @property
    def at_end(self):
        """Everything that the topic held when its partitions' ends were last seen has been handed out."""
        return self._ended == self._partitions

    def read(self, timeout=0.1):
        """The next message; None if none came within timeout, or the end of a partition was reached."""
        message = self._consumer.poll(timeout)
        if message is None:
            return None
        error = message.error()
        if error is None:
            self._ended.discard(message.partition())
            return _message(message)
        if error.code() == KafkaError._PARTITION_EOF:
            self._ended.add(message.partition())
        elif error.fatal() or error.code() not in _TRANSIENT:
            raise AssertionError(f"could not read \"{self._topic}\": {error}")
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._consumer.close()


def consume(bootstrap, topic, count=None, *, until_idle=0.0, deadline=60.0, config=None):
    """All messages of a topic from its beginning, in the order of each partition.

    Without count: what is there now. With count: waits until there are at least that many, and then returns all there are,
    so `len(consume(..., count=3)) == 3` sees a duplicate as well as a loss. until_idle: goes on until nothing came for so
    many seconds. Fails at the deadline with what it has. config: more librdkafka options, e.g. for TLS and SASL.
    """
    messages = []
    end = time.monotonic() + deadline
    last = time.monotonic()
    with Reader(bootstrap, topic, deadline=deadline, config=config) as reader:
        while time.monotonic() < end:
            message = reader.read()
            if message is not None:
                messages.append(message)
                last = time.monotonic()
            elif reader.at_end and len(messages) >= (count or 0) and time.monotonic() - last >= until_idle:
                return messages
    raise AssertionError(f"{len(messages)} messages in \"{topic}\" after {deadline:g} s, expected {count or 'an idle topic'}; "
                         f"the last: {messages[-1:]}")


def end_offsets(bootstrap, topic, config=None):
    """partition -> end offset; {} if there is no such topic."""
    consumer = _consumer(bootstrap, config)
    try:
        described = consumer.list_topics(topic, timeout=10).topics[topic]
        return {partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
                for partition in described.partitions}
    finally:
        consumer.close()


def ndjson(text):
    """The complete lines of the stdout sink, parsed. A line that is still being written is left out."""
    return [json.loads(line) for line in text.split("\n")[:-1] if line]


# librdkafka tries again by itself after these.
_TRANSIENT = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE}


def _consumer(bootstrap, config):
    return Consumer({"bootstrap.servers": bootstrap, "group.id": "outboxx-test", "enable.auto.commit": False,
                     "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100, "reconnect.backoff.max.ms": 500,
                     "topic.metadata.refresh.interval.ms": 1000, "log_level": 0, **(config or {})})


def _partitions(consumer, topic, deadline):
    end = time.monotonic() + deadline
    while True:
        described = consumer.list_topics(topic, timeout=deadline).topics[topic]
        if described.partitions and described.error is None:
            return set(described.partitions)
        if time.monotonic() >= end:
            raise AssertionError(f"there is no topic \"{topic}\" after {deadline:g} s: {described.error}")
        time.sleep(0.05)


def _message(message):
    return Message(message.topic(), message.partition(), message.offset(), message.key(), message.value(),
                   dict(message.headers() or []), time.time())
