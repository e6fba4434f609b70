"""Kafka that changes under us: partitions, disks, quotas, addresses; and keys that are the same or none."""

import subprocess

from support import consume, free_port, lsn, stream, wait_until
from support.witness import check_history

TABLE = "create table items (id bigint primary key, note text)"
FRESH_METADATA = {"sink.kafka.properties": {"topic.metadata.refresh.interval.ms": 200}}


def insert(postgres, first, last, note="'small'"):
    """A transaction per row."""
    with postgres.connect() as connection:
        for row in range(first, last + 1):
            connection.execute(f"insert into items values ({row}, {note})")


def ids(messages):
    return [message.json["data"]["id"] for message in messages]


def test_f80_partitions_that_are_added_lose_nothing(postgres, start_kafka, topic, make_outboxx):
    """Keys move to other partitions, which kafka.md warns of; but no row may be missing, or come twice under another id. A record
    that reached the broker before the partition did makes the session start again, and what was in flight repeats.
    """
    kafka = start_kafka()
    postgres.execute(TABLE)
    kafka.create_topic(topic, 1)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], config=FRESH_METADATA).start()
    insert(postgres, 1, 200)
    kafka.add_partitions(topic, 6)
    last = 200

    def used():
        nonlocal last
        insert(postgres, last + 1, last + 50)
        last += 50
        return len({message.partition for message in consume(kafka.bootstrap(), topic)}) == 6
    wait_until(used, 30, "all partitions are in use", interval=0.2)

    end = postgres.current_lsn()
    wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= end, 60, "all rows are confirmed")
    messages = consume(kafka.bootstrap(), topic, count=last)
    first_of = {message.headers["outboxx-id"]: message for message in reversed(messages)}
    assert sorted(ids(first_of.values())) == list(range(1, last + 1))
    if "only a later record was acknowledged" not in outboxx.log:
        assert len(messages) == len(first_of)
        for partition in range(6):
            own = [message.headers["outboxx-id"] for message in messages if message.partition == partition]
            assert own == sorted(own)
    assert outboxx.stop() == 0


def test_f82_rows_without_a_key_keep_their_order_in_one_partition(postgres, kafka, topic, make_outboxx):
    """Records without a key go to any partition, and changes of one row overtake each other."""
    postgres.execute("create table notes (n int, customer text)", "alter table notes replica identity full")
    kafka.create_topic(topic, 6)
    outboxx = make_outboxx(postgres, kafka, [stream("notes", topic, routing_key="customer")]).start()
    postgres.execute(*(f"insert into notes values ({number})" for number in range(50)), "update notes set n = -n", "delete from notes")

    messages = consume(kafka.bootstrap(), topic, count=150)

    assert {(message.key, message.partition) for message in messages} == {(b"null", messages[0].partition)}
    found = [message.json["data"]["n"] for message in messages]
    assert found[:50] == list(range(50)) and sorted(found[50:100]) == list(range(-49, 1)) and found[50:100] == found[100:]
    assert outboxx.stop() == 0


def test_f91_broker_whose_disk_is_full_is_waited_for(postgres, start_kafka, topic, make_outboxx):
    """Records that found no room on the broker were not acknowledged: they must wait and come in order."""
    kafka = start_kafka()
    postgres.execute(TABLE)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], config={"sink.kafka.compression": "none"}).start()
    insert(postgres, 1, 10)
    assert ids(consume(kafka.bootstrap(), topic, count=10)) == list(range(1, 11))
    limit = 12_000_000  # above the size that an index file is made with
    subprocess.run(["prlimit", f"--pid={kafka.process.pid}", f"--fsize={limit}"], check=True)

    with postgres.connect(autocommit=False) as connection:
        connection.execute("insert into items select g, repeat('x', 1000) from generate_series(11, 15000) g")
        before_commit = lsn(connection.execute("select pg_current_wal_insert_lsn()::text").fetchone()[0])
    wait_until(lambda: not kafka.running, 60, "the broker gives up its disk")
    assert "File too large" in kafka.log
    assert postgres.slot("outboxx_slot")["confirmed_flush_lsn"] <= before_commit
    assert outboxx.running
    kafka.stop()
    kafka.start()

    messages = consume(kafka.bootstrap(), topic, count=15_000)
    check_history(messages, range(1, 15_001))
    assert outboxx.metrics()["outboxx_delivery_restarts_total"] or len(messages) == 15_000
    assert outboxx.stop() == 0


def test_f93_throttled_producer_pauses_and_delivers_all_once(start_postgres, start_kafka, topic, make_outboxx):
    """A broker that answers late on purpose is not down: no error, no repetition, and PostgreSQL is answered meanwhile."""
    postgres, kafka = start_postgres(settings={"wal_sender_timeout": "2s"}), start_kafka()
    postgres.execute(TABLE)
    kafka.create_topic(topic)
    kafka.limit_producers(150_000)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], config={
        "sink.kafka.compression": "none", "sink.kafka.in_flight_bytes_max": 65536,
        "sink.kafka.properties": {"batch.size": 20_000}}).start()
    walsender = postgres.walsender_pid()

    postgres.execute("insert into items select g, repeat('x', 1000) from generate_series(1, 1000) g")
    wait_until(lambda: outboxx.metrics()["outboxx_reading_paused"] == 1, 20, "reading is paused")

    messages = consume(kafka.bootstrap(), topic, count=1000)
    assert ids(messages) == list(range(1, 1001))
    assert postgres.walsender_pid() == walsender
    assert outboxx.metrics()["outboxx_produce_errors_total"] == 0
    assert outboxx.stop() == 0


def test_f95_bootstrap_list_with_dead_brokers_finds_the_living_one(postgres, kafka, topic, make_outboxx):
    """One dead address in the list must not decide whether the program starts."""
    postgres.execute(TABLE)
    brokers = ",".join([f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}", kafka.bootstrap()])
    outboxx = make_outboxx(postgres, brokers, [stream("public.items", topic)]).start()
    insert(postgres, 1, 5)

    assert ids(consume(kafka.bootstrap(), topic, count=5)) == [1, 2, 3, 4, 5]
    assert outboxx.stop() == 0


def test_f126_two_tables_of_one_topic_and_key_can_be_told_apart(postgres, kafka, topic, make_outboxx):
    """Rows of two tables with one key would be taken for one row, and one's repetition for the other's."""
    postgres.execute(TABLE, "create schema archive", "create table archive.items (id bigint primary key, note text)")
    streams = [stream("public.items", topic, name="items"), stream("archive.items", topic, name="archived")]
    outboxx = make_outboxx(postgres, kafka, streams).start()
    postgres.execute("begin; insert into items values (1, 'a'); insert into archive.items values (1, 'b'); delete from items; commit")

    messages = consume(kafka.bootstrap(), topic, count=3)

    assert [(message.key, message.json["meta"]["resource"], message.json["op"]) for message in messages] == [
        (b"1", "public.items", "INSERT"), (b"1", "archive.items", "INSERT"), (b"1", "public.items", "DELETE")]
    assert len({message.headers["outboxx-id"] for message in messages}) == 3
    assert outboxx.stop() == 0
