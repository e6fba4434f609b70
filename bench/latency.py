#!/usr/bin/python3
"""bench/latency.py BOOTSTRAP TOPIC: a consumer that times each record, from the row's created_at to its arrival here.

Prints "ready" when it reads from the topic's end. A line on the standard input, a wall clock in seconds, ends it: the rows made
after that moment are summed up in one JSON object, in milliseconds. A process of its own, so that nobody else's work delays it.
"""

import datetime
import gc
import json
import sys
import threading
import time

from confluent_kafka import Consumer, TopicPartition

FIELD = b'"created_at":"'
READ = b'"op":"READ"'  # of a snapshot: it says when the row was made, not when it was read


def main():
    bootstrap, topic = sys.argv[1:]
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-latency", "enable.auto.commit": False, "log_level": 0})
    consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
    consumer.assign([TopicPartition(topic, 0, 0)])
    asked = []
    threading.Thread(target=lambda: asked.append(float(sys.stdin.readline() or 0)), daemon=True).start()
    gc.disable()  # a collection is a pause of ours, not of what is measured
    print("ready", flush=True)
    seen = []
    while not asked:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None and READ not in message.value():
            seen.append((time.time(), created_at(message.value())))
    print(json.dumps(summary(seen, asked[0])))


def created_at(value):
    start = value.index(FIELD) + len(FIELD)
    return value[start:value.index(b'"', start)]


def summary(seen, since):
    stamps = ((arrived, _seconds(created.decode())) for arrived, created in seen)
    latencies = sorted((arrived - created) * 1000 for arrived, created in stamps if created >= since)
    return {"count": len(latencies), **{name: round(latencies[int((len(latencies) - 1) * share)], 2)
                                        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1)) if latencies}}


def _seconds(text):
    """PostgreSQL's "2026-01-02 03:04:05.6789+00" and Debezium's "2026-01-02T03:04:05.6789Z", both in UTC."""
    whole, _, fraction = text.replace("T", " ").removesuffix("Z").removesuffix("+00").partition(".")
    moment = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
    return moment.timestamp() + float(f"0.{fraction or 0}")


if __name__ == "__main__":
    main()
