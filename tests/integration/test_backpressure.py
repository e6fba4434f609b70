"""A sink that does not take what PostgreSQL sends: reading pauses, memory stays bounded, everything arrives once, in order."""

import os

import pytest

from support import consume, ndjson, stream, wait_until

TABLE = "create table items (id bigint primary key, note text)"
MIB = 1024 * 1024


def insert(postgres, first, last):
    postgres.execute(f"insert into items select g, repeat(md5(g::text), 10) from generate_series({first}, {last}) g")


def stream_past_a_paused_broker(start_postgres, start_kafka, topic, make_outboxx, rows):
    """Returns by how much the resident memory grew while the broker was paused."""
    postgres = start_postgres(settings={"wal_sender_timeout": "2s"})
    postgres.execute(TABLE)
    kafka = start_kafka()
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], config={"sink.kafka.in_flight_bytes_max": 65536}).start()
    insert(postgres, 1, 100)
    assert len(consume(kafka.bootstrap(), topic, count=100)) == 100
    walsender = postgres.walsender_pid()
    before = outboxx.rss_bytes()[0]

    kafka.pause()
    for first in range(101, rows + 1, 1000):
        insert(postgres, first, min(first + 999, rows))
    wait_until(lambda: outboxx.metrics()["outboxx_reading_paused"] == 1, 30, "reading is paused")
    for _ in range(8):  # longer than wal_sender_timeout together
        asked = postgres.value("select now()")
        wait_until(lambda: postgres.value("select reply_time > %s from pg_stat_replication", [asked]), 10, "a status update")
    metrics = outboxx.metrics()
    assert metrics["outboxx_reading_paused"] == 1 and metrics["outboxx_in_flight_bytes"] <= 65536
    growth = outboxx.rss_bytes()[1] - before
    kafka.resume()

    messages = consume(kafka.bootstrap(), topic, count=rows, deadline=120)
    assert [message.json["data"]["id"] for message in messages] == list(range(1, rows + 1))
    wait_until(lambda: outboxx.metrics()["outboxx_reading_paused"] == 0, 20, "reading goes on")
    assert postgres.walsender_pid() == walsender
    assert outboxx.metrics()["outboxx_delivery_restarts_total"] == 0
    assert outboxx.stop() == 0
    return growth


def test_f83_paused_broker_pauses_the_reading_and_everything_arrives_once(start_postgres, start_kafka, topic, make_outboxx):
    """A record dropped because the queue is full is lost for ever; a reader that waits for the queue gets disconnected."""
    stream_past_a_paused_broker(start_postgres, start_kafka, topic, make_outboxx, 5_000)


@pytest.mark.slow
def test_f83_paused_broker_does_not_grow_the_memory(start_postgres, start_kafka, topic, make_outboxx):
    """Rows that pile up in our memory while Kafka is away end in the out-of-memory killer."""
    growth = stream_past_a_paused_broker(start_postgres, start_kafka, topic, make_outboxx, 50_000)
    assert growth < 30 * MIB, f"{growth / MIB:.1f} MiB"


def test_slow_reader_of_standard_output_gets_every_line_once(postgres, make_outboxx, closing):
    """A sink that takes half a line at a time must tear none, and double none."""
    postgres.execute(TABLE)
    read_fd, write_fd = os.pipe()
    read, write = closing(open(read_fd, "rb", buffering=0)), closing(open(write_fd, "wb", buffering=0))
    outboxx = make_outboxx(postgres, None, [stream("public.items")]).start(stdout=write)
    os.set_blocking(read.fileno(), False)
    for first in range(1, 10_001, 1000):
        insert(postgres, first, first + 999)
    wait_until(lambda: outboxx.metrics()["outboxx_reading_paused"] == 1, 30, "reading is paused")
    received = bytearray()

    def read_a_little():
        received.extend(read.read(7001) or b"")
        return received.count(b"\n", max(0, len(received) - 7001)) and ndjson(received[-7001:].split(b"\n", 1)[1].decode())[-1:]
    wait_until(lambda: [event["data"]["id"] for event in read_a_little() or []] == [10_000], 60, "the last line", interval=0.0005)

    assert [event["data"]["id"] for event in ndjson(received.decode())] == list(range(1, 10_001))
    wait_until(lambda: outboxx.metrics()["outboxx_units_pending"] == 0, 20, "all is confirmed")
    assert outboxx.stop() == 0
