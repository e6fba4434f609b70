"""Kafka refuses, dies, forgets a topic or is not there: nothing is lost, nothing overtakes, and the message says what to do."""

import time

import pytest

from support import consume, free_port, stream, wait_until

TABLE = "create table items (id bigint primary key, note text)"
SMALL_LIMIT = 20_000


def insert(postgres, first, last, note="'small'"):
    """A transaction per row."""
    with postgres.connect() as connection:
        for row in range(first, last + 1):
            connection.execute(f"insert into items values ({row}, {note})")


def ids(messages):
    return [message.json["data"]["id"] for message in messages]


def without_repetitions(messages):
    """What a consumer keeps that drops every record whose id is not above the highest it has seen. For one partition."""
    kept, highest = [], b""
    for message in messages:
        if (event := message.headers["outboxx-id"]) > highest:
            kept.append(message)
            highest = event
    return kept


def check_all_arrived_in_order(messages, last, restarts):
    """Exactly once, unless the producer had to be made anew: librdkafka before 2.5 may need that after a disconnect."""
    if not restarts:
        assert ids(messages) == list(range(1, last + 1))
    assert ids(without_repetitions(messages)) == list(range(1, last + 1))


def insert_huge_row(postgres, row, size):
    """Inserts a row that does not compress; returns a position before its commit: nothing above may be confirmed."""
    with postgres.connect(autocommit=False) as connection:
        connection.execute("insert into items select %s, string_agg(md5(g::text), '') from generate_series(1, %s) g", [row, size // 32])
        position = connection.execute("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()[0]
    return int(position)


def test_f66_record_too_large_for_the_topic_stops_everything_behind_it(postgres, kafka, topic, make_outboxx):
    """A skipped record is a loss, and rows behind it that are delivered first are a reordering."""
    postgres.execute(TABLE)
    kafka.create_topic(topic, max_message_bytes=SMALL_LIMIT)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)],
                           config={"sink.kafka.properties": {"batch.size": SMALL_LIMIT}, "sink.kafka.compression": "none"}).start()
    insert(postgres, 1, 5)
    assert len(consume(kafka.bootstrap(), topic, count=5)) == 5

    bound = insert_huge_row(postgres, 6, 50_000)
    insert(postgres, 7, 10)

    assert outboxx.wait_exit() == 73
    assert postgres.slot("outboxx_slot")["confirmed_flush_lsn"] <= bound
    assert ids(consume(kafka.bootstrap(), topic)) == [1, 2, 3, 4, 5]
    error = outboxx.wait_log("too large")
    assert f"topic \"{topic}\"" in error and "max.message.bytes" in error and "code=73" in error
    assert "a record of 50" in error

    kafka.alter_topic(topic, max_message_bytes=1_000_000)
    outboxx.start()
    messages = consume(kafka.bootstrap(), topic, count=10)
    assert outboxx.stop() == 0
    assert ids(without_repetitions(messages)) == list(range(1, 11))


def test_f66_record_too_large_for_the_client_names_table_size_and_limit(postgres, kafka, topic, make_outboxx):
    """The check before sending must stop the stream too, and not skip the record."""
    postgres.execute(TABLE)
    kafka.create_topic(topic, max_message_bytes=5_000_000)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)]).start()
    insert(postgres, 1, 2)
    bound = insert_huge_row(postgres, 3, 1_200_000)
    insert(postgres, 4, 5)

    assert outboxx.wait_exit() == 73
    assert postgres.slot("outboxx_slot")["confirmed_flush_lsn"] <= bound
    error = outboxx.wait_log("message.max.bytes, 1000000")
    for part in ("INSERT on \"public.items\"", f"topic \"{topic}\"", " 1200", "hint=", "code=73"):
        assert part in error, (part, error)
    assert not set(ids(consume(kafka.bootstrap(), topic))) & {3, 4, 5}

    outboxx.configure(**{"sink.kafka.properties": {"message.max.bytes": 5_000_000}})
    outboxx.start()
    messages = consume(kafka.bootstrap(), topic, count=5)
    assert outboxx.stop() == 0
    assert ids(without_repetitions(messages)) == [1, 2, 3, 4, 5]


def test_f72_f75_broker_killed_under_load_comes_back_and_every_row_is_there_once(postgres, start_kafka, topic, make_outboxx):
    """A killed broker must cost neither a row nor the order, and must not end the process."""
    postgres.execute(TABLE)
    kafka = start_kafka()
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)]).start()
    pid = outboxx.pid
    for round_number in range(2):
        insert(postgres, round_number * 2000 + 1, round_number * 2000 + 1000)
        wait_until(lambda: outboxx.metrics()["outboxx_records_delivered_total"] > 0, 30, "the first deliveries")
        kafka.kill()
        insert(postgres, round_number * 2000 + 1001, round_number * 2000 + 2000)
        kafka.start()

    messages = consume(kafka.bootstrap(), topic, count=4000)

    restarts = outboxx.metrics()["outboxx_delivery_restarts_total"]
    assert outboxx.running and outboxx.pid == pid
    assert outboxx.stop() == 0
    check_all_arrived_in_order(messages, 4000, restarts)


def stream_through_an_outage(start_postgres, start_kafka, topic, make_outboxx, seconds):
    postgres = start_postgres(settings={"wal_sender_timeout": "2s"})
    postgres.execute(TABLE)
    kafka = start_kafka()
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], config={"sink.kafka.in_flight_bytes_max": 65536}).start()
    insert(postgres, 1, 10)
    assert len(consume(kafka.bootstrap(), topic, count=10)) == 10
    walsender = postgres.walsender_pid()

    kafka.kill()
    insert(postgres, 11, 1000)
    wait_until(lambda: outboxx.metrics()["outboxx_reading_paused"] == 1, 20, "reading is paused")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        asked = postgres.value("select now()")
        wait_until(lambda: postgres.value("select reply_time > %s from pg_stat_replication where pid = %s", [asked, walsender]), 10,
                   "a status update on the connection of before")
    kafka.start()

    messages = consume(kafka.bootstrap(), topic, count=1000)
    restarts = outboxx.metrics()["outboxx_delivery_restarts_total"]
    assert restarts or postgres.walsender_pid() == walsender
    assert outboxx.stop() == 0
    check_all_arrived_in_order(messages, 1000, restarts)


def test_f3_broker_down_longer_than_wal_sender_timeout_keeps_the_connection(start_postgres, start_kafka, topic, make_outboxx):
    """Status updates that stop while the sink is blocked make the server end the connection."""
    stream_through_an_outage(start_postgres, start_kafka, topic, make_outboxx, 6)


@pytest.mark.slow
def test_f3_broker_down_for_20_seconds_keeps_the_connection(start_postgres, start_kafka, topic, make_outboxx):
    """The same for ten times the server's timeout."""
    stream_through_an_outage(start_postgres, start_kafka, topic, make_outboxx, 20)


# How long librdkafka waits for a topic that is gone from the metadata to come back: 30 s by default.
IMPATIENT = {"sink.kafka.properties": {"topic.metadata.propagation.max.ms": 1000, "topic.metadata.refresh.interval.ms": 500}}


def test_f78_topic_deleted_while_running_is_made_anew_and_loses_nothing(postgres, kafka, topic, make_outboxx):
    """Records for a topic that is gone must wait for it or come again, not vanish with it."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], config=IMPATIENT).start()
    insert(postgres, 1, 5)
    assert len(consume(kafka.bootstrap(), topic, count=5)) == 5
    wait_until(lambda: outboxx.metrics()["outboxx_units_pending"] == 0, 20, "all is confirmed")
    confirmed = outboxx.metrics()["outboxx_flushed_lsn"]
    wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= confirmed, 20, "the slot follows")

    admin = kafka.admin()  # the future fails when it goes out of scope
    admin.delete_topics([topic])[topic].result(timeout=30)
    insert(postgres, 6, 10)

    # The old topic may still be listed for a moment.
    wait_until(lambda: set(ids(consume(kafka.bootstrap(), topic))) >= {6, 7, 8, 9, 10}, 60, "the rows in the new topic", interval=0.5)
    messages = without_repetitions(consume(kafka.bootstrap(), topic))
    assert [row for row in ids(messages) if row > 5] == [6, 7, 8, 9, 10]
    assert outboxx.stop() == 0


def test_f78_topic_deleted_for_good_is_an_error_that_keeps_the_rows(postgres, start_kafka, topic, make_outboxx):
    """Where the broker creates nothing, somebody must be told, and the slot must keep what has no place to go."""
    postgres.execute(TABLE)
    kafka = start_kafka(properties={"auto.create.topics.enable": "false"})
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], config=IMPATIENT).start()
    insert(postgres, 1, 5)
    assert len(consume(kafka.bootstrap(), topic, count=5)) == 5

    kafka.delete_topic(topic)
    insert(postgres, 6, 10)

    assert outboxx.wait_exit(90) == 73
    error = outboxx.wait_log("does not exist")
    assert f"\"{topic}\"" in error and "kafka-topics.sh" in error
    kafka.create_topic(topic)
    outboxx.start()
    messages = consume(kafka.bootstrap(), topic, count=5)
    assert outboxx.stop() == 0
    assert [row for row in ids(without_repetitions(messages)) if row > 5] == [6, 7, 8, 9, 10]


def test_f78_missing_topic_is_refused_with_the_command_that_creates_it(postgres, start_kafka, topic, make_outboxx):
    """Without the check the first rows would wait half a minute and then fail one by one."""
    postgres.execute(TABLE)
    kafka = start_kafka(properties={"auto.create.topics.enable": "false"})
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)]).start(ready=False)

    assert outboxx.wait_exit() == 73
    error = outboxx.wait_log("does not exist")
    for part in (f"topic \"{topic}\"", "kafka-topics.sh --bootstrap-server", f"--create --topic '{topic}'", "code=73"):
        assert part in error, (part, error)
    assert postgres.slot("outboxx_slot") is None  # nobody would read it, and it would fill the disk


def test_missing_topic_is_created_by_a_broker_that_does_such_things(postgres, kafka, topic, make_outboxx):
    """A first look must not need a topic made by hand."""
    postgres.execute(TABLE)
    assert topic not in kafka.topics()
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)]).start()
    insert(postgres, 1, 1)

    assert ids(consume(kafka.bootstrap(), topic, count=1)) == [1]
    assert outboxx.stop() == 0


def test_unreachable_broker_at_start_is_reported_and_leaves_no_slot(postgres, topic, make_outboxx):
    """A slot that nobody reads fills the primary's disk; an endless silent wait tells nobody anything."""
    postgres.execute(TABLE)
    brokers = f"127.0.0.1:{free_port()}"
    began = time.monotonic()
    outboxx = make_outboxx(postgres, brokers, [stream("public.items", topic)]).start(ready=False)

    assert outboxx.wait_exit() == 71
    assert time.monotonic() - began > 5
    error = outboxx.wait_log("could not reach any Kafka broker")
    assert brokers in error and "Connection refused" in error and "code=71" in error
    assert postgres.slot("outboxx_slot") is None


def test_sigterm_while_waiting_for_the_broker_ends_at_once(postgres, topic, make_outboxx):
    """A wait that cannot be interrupted makes the service manager kill the process."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, f"127.0.0.1:{free_port()}", [stream("public.items", topic)]).start(ready=False)
    outboxx.wait_log("Kafka connection failed")

    assert outboxx.stop(deadline=5) == 0


def test_tls_against_a_plaintext_port_is_explained(postgres, kafka, topic, make_outboxx):
    """Both sides only see a broken connection: without the hint nobody thinks of TLS."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], config={"sink.kafka.tls": True}).start(ready=False)

    assert outboxx.wait_exit() == 71
    error = outboxx.wait_log("could not reach any Kafka broker")
    assert "tls in [sink.kafka]" in error and "plaintext port" in error
